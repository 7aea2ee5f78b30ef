//! Somebody sends all that a machine can to the sockets of a room's connection, which live on the thread of
//! publishers: what is published goes on.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::camera::{Camera, Film};
use super::figures::{Promises, published, say, table};
use super::playlist::{self, NEXT_SEGMENT};
use super::{World, seconds};

const FILM: Film = Film {
    width: 640,
    height: 360,
    video: "-preset ultrafast -tune zerolatency -g 60 -keyint_min 60 -b:v 800k",
};
/// What the gateway may hold more than before.
const GROWTH_BYTES: u64 = 64 << 20;
/// From the flood's end to pictures in the room.
const BACK: Duration = Duration::from_secs(15);

/// UDP sockets of a process, where they are reached from this machine.
fn sockets(process: &str) -> Vec<SocketAddr> {
    let files = std::fs::read_dir(format!("/proc/{process}/fd")).expect("it runs");
    let links = files
        .flatten()
        .filter_map(|file| std::fs::read_link(file.path()).ok());
    let links: Vec<String> = links.map(|link| link.display().to_string()).collect();
    let table = std::fs::read_to_string("/proc/net/udp").expect("a table");
    let rows = table
        .lines()
        .skip(1)
        .map(|row| row.split_whitespace().collect::<Vec<_>>());
    let own = rows.filter(|row| {
        let inode = row.get(9).copied().unwrap_or_default();
        links
            .iter()
            .any(|link| *link == format!("socket:[{inode}]"))
    });
    let reached = |row: Vec<&str>| {
        let (address, port) = row.get(1)?.split_once(':')?;
        let bits = u32::from_str_radix(address, 16).ok()?;
        let address = Ipv4Addr::from(bits.to_ne_bytes());
        let address = if address.is_unspecified() {
            Ipv4Addr::LOCALHOST
        } else {
            address
        };
        Some((address, u16::from_str_radix(port, 16).ok()?).into())
    };
    own.filter_map(reached).collect()
}

/// Sends to each in turn, as fast as it can, until it is dropped.
struct Flood {
    goes_on: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
}

impl Flood {
    fn start(targets: Vec<SocketAddr>) -> Flood {
        let flood = Flood {
            goes_on: Arc::new(AtomicBool::new(true)),
            sent: Arc::default(),
        };
        let (goes_on, sent) = (Arc::clone(&flood.goes_on), Arc::clone(&flood.sent));
        std::thread::spawn(move || {
            let socket = UdpSocket::bind("0.0.0.0:0").expect("a port");
            let mut datagram = [0x5a_u8; 1200];
            // RFC 7983 §7: what the first byte says it is. STUN, DTLS, RTP.
            for first in [0_u8, 22, 0x80].into_iter().cycle() {
                if !goes_on.load(Ordering::Relaxed) {
                    return;
                }
                datagram[0] = first;
                for target in &targets {
                    if socket.send_to(&datagram, target).is_ok() {
                        sent.fetch_add(1, Ordering::Relaxed);
                    }
                }
            }
        });
        flood
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.goes_on.store(false, Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "minutes: make soak"]
async fn nobody_who_plays_sees_that_the_sockets_of_a_room_are_flooded() {
    let mut promises = Promises::of("a room's sockets are flooded");
    let world = World::new().await;
    let camera = Camera::start(&world, &FILM);
    let shown = || published(&world);
    world
        .livekit
        .until("a picture", |_| (shown() > 30).then_some(()))
        .await;
    playlist::has_segments(&world).await;
    let srt = world.gateway.srt();
    let mut targets = sockets(&world.gateway.id());
    targets.retain(|target| target.port() != srt.port());
    assert!(!targets.is_empty(), "the room's connection has a socket");
    let (memory, before) = (world.gateway.memory_bytes(), shown());
    let ticks = world.gateway.processor_ticks();
    let flood = Flood::start(targets.clone());
    let until = Instant::now() + seconds();
    let read = playlist::read(world.gateway.http(), world.room.clone(), until).await;
    let sent = flood.sent.load(Ordering::Relaxed);
    // A connection that broke begins anew.
    let during = shown().saturating_sub(before);
    let processor = world.gateway.processor_ticks() - ticks;
    drop(flood);
    let grown = world.gateway.memory_bytes().saturating_sub(memory);
    let (ended, at_end) = (Instant::now(), shown());
    let goes_on = |_: &_| (shown() > at_end + 30 || shown() < at_end && shown() > 30).then_some(());
    let back = tokio::time::timeout(BACK, world.livekit.until("a picture", goes_on)).await;
    let (first, last) = read.ends();
    let time = seconds().as_secs();
    table(&[vec![
        ("sockets", targets.len().to_string()),
        ("datagrams a second", (sent / time).to_string()),
        ("segments", format!("{first}..={last}")),
        (
            "longest wait for the next ms",
            read.longest_wait.as_millis().to_string(),
        ),
        ("pictures in the room", format!("{during}/{}", 30 * time)),
        (
            "second of pictures after ms",
            ended.elapsed().as_millis().to_string(),
        ),
        ("gateway, % of a core", (processor / time).to_string()),
        ("MiB more", (grown >> 20).to_string()),
    ]]);
    if !read.faults.is_empty() {
        say(&format!("{:#?}", read.faults));
    }
    // Which it does not take for the picture alone.
    promises.add(
        "the flood arrives: a tenth of a core goes to it",
        processor > 10 * time,
    );
    promises.add(
        "the playlist runs on, every number once, no gap, no discontinuity",
        read.faults.is_empty() && last > first + time / 3,
    );
    promises.add("no segment is late", read.longest_wait < NEXT_SEGMENT);
    promises.add("the gateway does not grow", grown < GROWTH_BYTES);
    promises.add("the room has its picture afterwards", back.is_ok());
    drop(camera);
    world.gateway.stop().await;
    promises.judge();
}
