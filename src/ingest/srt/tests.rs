//! Whole connections over loopback, with callers of the same library. The hub is a recorder.

use std::collections::HashMap;
use std::net::SocketAddr;

use tokio::net::UdpSocket;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{interval, timeout};

use super::*;
use crate::format::ts::{Demuxer, Event};
use crate::ingest::recorder::{Recorder, Seen};
use socket::Socket;

/// A hanging test fails; nothing here takes a fraction of it.
const PATIENCE: Duration = Duration::from_secs(20);
/// Packets of 188 bytes that fit into one of SRT.
const PAYLOAD_BYTES: usize = 7 * 188;
/// Made by `tests/data/ts/make.sh`.
const MEDIA: &[u8] = include_bytes!("../../../tests/data/ts/avc-aac.ts");

struct Server {
    library: Library,
    addresses: Vec<SocketAddr>,
    stats: Arc<Stats>,
    seen: mpsc::Receiver<Seen>,
    evict: watch::Sender<Option<String>>,
    tasks: Tasks,
    run: JoinHandle<()>,
}

impl Server {
    fn start(config: Config) -> Server {
        Server::listen(config, &["127.0.0.1:0".parse().unwrap()])
    }

    fn listen(config: Config, addresses: &[SocketAddr]) -> Server {
        let listeners = Listeners::bind(addresses, Duration::from_millis(120)).unwrap();
        let (recorder, seen, evict) = Recorder::new();
        let tasks = Tasks::new();
        Server {
            library: Library::start().unwrap(),
            addresses: listeners.addresses().to_vec(),
            stats: config.stats.clone(),
            seen,
            evict,
            run: tasks.spawn(serve(listeners, recorder, config, tasks.clone())),
            tasks,
        }
    }

    fn caller(&self, stream_id: &str, options: Options) -> Socket {
        let options = Options {
            stream_id: Some(stream_id.to_owned()).filter(|id| !id.is_empty()),
            ..options
        };
        Socket::connect(&self.library, self.addresses[0], &options).unwrap()
    }

    /// A caller that is let in, or the code it is refused with.
    async fn call(&self, stream_id: &str, options: Options) -> Result<Socket, i32> {
        let socket = self.caller(stream_id, options);
        until(|| socket.is_connected() || !socket.is_alive()).await;
        match socket.is_connected() {
            true => Ok(socket),
            false => Err(socket.reject_reason().0),
        }
    }

    async fn next(&mut self) -> Seen {
        let seen = timeout(PATIENCE, self.seen.recv()).await;
        seen.expect("something happens").expect("the server runs")
    }

    /// What happens next, apart from measurements of the line and what the transport stream announces.
    async fn next_event(&mut self) -> Seen {
        loop {
            let seen = self.next().await;
            if !matches!(seen, Seen::Link(_) | Seen::Announced(_)) {
                return seen;
            }
        }
    }

    async fn stop(self) {
        self.tasks.finish().await;
        self.run.await.unwrap();
    }
}

async fn until(condition: impl Fn() -> bool) {
    let wait = async {
        let mut ticks = interval(Duration::from_millis(2));
        while !condition() {
            ticks.tick().await;
        }
    };
    timeout(PATIENCE, wait).await.expect("it comes about");
}

fn with_passphrase(text: &str, key_bytes: i32) -> Options {
    Options {
        passphrase: Some(Secret::new(text)),
        key_bytes,
        ..Options::default()
    }
}

#[tokio::test]
async fn refusals_reach_the_caller_before_it_is_connected() {
    let server = Server::start(Config::default());
    for (stream_id, code) in [
        ("", 1404),
        ("OTHER", 1404),
        ("publish:OTHER", 1404),
        ("#!::m=publish", 1404),
        ("LATER", 1403),
        ("#!::r=FULL,m=publish", 1402),
        ("DARK", 1503),
        ("#!::r=KEY,m=request", 1405),
        ("read:KEY", 1405),
        ("PANIC", 1500),
    ] {
        let refused = server.call(stream_id, Options::default()).await;
        assert_eq!(refused.err(), Some(code), "{stream_id}");
    }
    assert_eq!(server.stats.refused_total.get(), 9);
    assert_eq!(server.stats.connections_total.get(), 0);
    server.stop().await;
}

#[tokio::test]
async fn what_is_sent_arrives_whole_the_last_unit_included() {
    let mut server = Server::start(Config::default());
    let stream_id = "#!::r=live/KEY,m=publish,capabilities=hd,aspect-ratio=9x16,tags=a";
    let caller = server.call(stream_id, Options::default()).await.unwrap();
    let words = vec!["hd".to_owned(), "aspect-ratio=9x16".to_owned()];
    let request = Seen::Request("KEY".to_owned(), Some(words), vec!["a".to_owned()], "srt");
    assert_eq!(server.next_event().await, request);
    for payload in MEDIA.chunks(PAYLOAD_BYTES) {
        caller.send(payload).unwrap();
    }
    // Everything is acknowledged before it is closed: what libsrt has not sent by then is lost.
    let size = u64::try_from(MEDIA.len()).unwrap();
    let stats = server.stats.clone();
    until(|| stats.received_bytes_total.get() == size).await;
    drop(caller);

    let mut demuxer = Demuxer::new();
    let mut expected = Vec::new();
    let mut take = |demuxer: &mut Demuxer| {
        while let Some(event) = demuxer.poll_event() {
            expected.push(match event {
                Event::Track(track) => Seen::Track(track),
                Event::Unit(unit) => Seen::Unit(unit),
                Event::Unsupported(text) => panic!("{text}"),
            });
        }
    };
    for payload in MEDIA.chunks(PAYLOAD_BYTES) {
        demuxer.push(payload);
        take(&mut demuxer);
    }
    demuxer.finish();
    take(&mut demuxer);
    expected.push(Seen::Finished);
    assert!(expected.len() > 60, "{}", expected.len());
    for expected in expected {
        assert_eq!(server.next_event().await, expected);
    }
    assert_eq!(server.stats.finished_total.get(), 1);
    assert_eq!(server.stats.publishing(), 0);
    server.stop().await;
}

#[tokio::test]
async fn a_passphrase_is_demanded_by_channel_or_server_in_every_key_length() {
    let mut server = Server::start(Config {
        passphrase: Some(Secret::new("for everybody")),
        channel_passphrases: HashMap::from([("stage".to_owned(), Secret::new("of the stage"))]),
        ..Config::default()
    });
    for (key, passphrase, key_bytes) in [
        ("KEY", "for everybody", 16),
        ("KEY", "for everybody", 24),
        ("KEY", "for everybody", 32),
        ("KEY", "for everybody", 0),
        ("STAGE", "of the stage", 32),
    ] {
        let options = with_passphrase(passphrase, key_bytes);
        let caller = server.call(key, options).await.unwrap();
        caller.send(&MEDIA[..PAYLOAD_BYTES]).unwrap();
        let link = loop {
            if let Seen::Link(link) = server.next().await {
                break link;
            }
        };
        assert!(link.encrypted && link.undecrypted_packets == 0 && link.packets == 1);
        drop(caller);
        while server.next_event().await != Seen::Finished {}
    }
    // srt.h: SRT_REJ_BADSECRET and SRT_REJ_UNSECURE.
    for (key, options, reason) in [
        ("KEY", with_passphrase("of the stage", 16), 10),
        ("STAGE", with_passphrase("for everybody", 16), 10),
        ("KEY", Options::default(), 11),
    ] {
        assert_eq!(server.call(key, options).await.err(), Some(reason));
    }
    let stats = server.stats.clone();
    until(|| stats.unpublished_total.get() == 3).await;
    server.stop().await;
}

#[tokio::test]
async fn a_caller_must_not_encrypt_where_no_passphrase_is_set() {
    let server = Server::start(Config::default());
    let refused = server
        .call("KEY", with_passphrase("for everybody", 16))
        .await;
    assert_eq!(refused.err(), Some(11));
    server.stop().await;
}

#[tokio::test]
async fn the_larger_latency_counts_up_to_a_bound() {
    let mut server = Server::start(Config::default());
    for (asked_ms, given_ms) in [(20, 120), (400, 400)] {
        let options = Options {
            latency: Duration::from_millis(asked_ms),
            ..Options::default()
        };
        let caller = server.caller("KEY", options);
        until(|| caller.is_connected()).await;
        let link = loop {
            if let Seen::Link(link) = server.next().await {
                break link;
            }
        };
        assert_eq!(link.latency, Duration::from_millis(given_ms));
        drop(caller);
        while server.next_event().await != Seen::Finished {}
    }
    let too_long = Options {
        latency: MAX_LATENCY + Duration::from_millis(1),
        ..Options::default()
    };
    let caller = server.caller("KEY", too_long);
    let stats = server.stats.clone();
    until(|| stats.refused_total.get() == 1).await;
    until(|| !caller.is_alive()).await;
    server.stop().await;
}

#[tokio::test]
async fn who_is_refused_after_all_or_ended_by_the_hub_is_closed() {
    let mut server = Server::start(Config::default());
    let caller = server.caller("SOON", Options::default());
    let stats = server.stats.clone();
    until(|| stats.refused_total.get() == 1).await;
    until(|| !caller.is_alive()).await;
    let caller = server.call("KEY", Options::default()).await.unwrap();
    while !matches!(server.next_event().await, Seen::Request(key, ..) if key == "KEY") {}
    server.evict.send_replace(Some("deleted".to_owned()));
    until(|| !caller.is_alive()).await;
    assert_eq!(server.next_event().await, Seen::Lost);
    assert_eq!(server.stats.evicted_total.get(), 1);
    server.stop().await;
}

#[tokio::test]
async fn who_sends_no_media_is_closed() {
    let mut server = Server::start(Config {
        publish_timeout: Duration::from_millis(100),
        ..Config::default()
    });
    let caller = server.call("KEY", Options::default()).await.unwrap();
    until(|| !caller.is_alive() || caller.send(&[0; 188]).is_err()).await;
    while server.next_event().await != Seen::Lost {}
    assert_eq!(server.stats.silent_total.get(), 1);
    server.stop().await;
}

#[tokio::test]
async fn every_listener_takes_callers_and_a_stop_closes_them_all() {
    let v4 = Listeners::bind(&["127.0.0.1:0".parse().unwrap()], Duration::ZERO).unwrap();
    let taken = Listeners::bind(v4.addresses(), Duration::ZERO).unwrap_err();
    assert!(taken.to_string().contains(&v4.addresses()[0].to_string()));
    let twice = Listeners::bind(&[v4.addresses()[0]; 2], Duration::ZERO);
    assert!(twice.is_err());
    drop(v4);
    let addresses = ["127.0.0.1:0", "[::1]:0", "[::]:0"].map(|text| text.parse().unwrap());
    let mut server = Server::listen(Config::default(), &addresses);
    let mut targets = server.addresses.clone();
    targets[2].set_ip("127.0.0.1".parse().unwrap());
    let mut callers = Vec::new();
    for target in targets {
        assert_ne!(target.port(), 0);
        server.addresses[0] = target;
        callers.push(server.call("KEY", Options::default()).await.unwrap());
    }
    let stats = server.stats.clone();
    until(|| stats.publishing() == 3).await;
    server.stop().await;
    for caller in callers {
        until(|| !caller.is_alive()).await;
    }
}

#[tokio::test]
async fn a_handshake_with_a_window_beyond_reason_is_not_heard() {
    let server = Server::start(Config::default());
    // Somebody else, whose connection says that the listener serves.
    let usual = server.call("KEY", Options::default()).await.unwrap();
    let caller = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    caller.connect(server.addresses[0]).await.unwrap();
    // SRT protocol, "Handshake": the first one of a caller, from the socket of this number.
    let hello = |socket: u32, window: u32| {
        let words = [0x8000_0000, 0, 0, 0, 4, 2, 7, 1500, window, 1, socket, 0];
        let mut packet: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
        packet.extend([127, 0, 0, 1].iter().chain(&[0; 12]));
        packet
    };
    let packets = [
        hello(1, u32::MAX),
        hello(2, 1 << 31),
        hello(3, 128 * 1024 + 1),
        vec![0x80],
        vec![0x80, 0, 0, 0],
        hello(4, 128 * 1024),
    ];
    for packet in packets {
        caller.send(&packet).await.unwrap();
    }
    let mut answer = [0; 256];
    let count = timeout(PATIENCE, caller.recv(&mut answer)).await.unwrap();
    assert!(count.unwrap() >= 48);
    assert_eq!(answer[12..16], 4_u32.to_be_bytes(), "who is answered first");
    assert!(usual.is_connected());
    server.stop().await;
}

#[test]
fn no_address_is_no_listener_and_no_library() {
    let listeners = Listeners::bind(&[], Duration::ZERO).unwrap();
    assert!(listeners.library.is_none() && listeners.addresses().is_empty());
    assert!(library_version().starts_with("1."));
}
