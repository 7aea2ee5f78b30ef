//! The server's own WHIP endpoint, with a publisher of str0m.

use std::net::UdpSocket;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use livekit_protocol::TrackType;
use serde_json::json;
use str0m::change::SdpAnswer;
use str0m::media::{Direction, MediaKind, MediaTime, Mid};
use str0m::net::{Protocol, Receive};
use str0m::{Candidate, Event, Input, Output, Rtc};

use super::ROOM;
use crate::common::http;
use crate::common::livekit::LivekitServer;

const FPS: u32 = 25;

/// Access units of a test picture, each with its delimiter.
fn pictures() -> Vec<Vec<u8>> {
    let output = Command::new("ffmpeg")
        .args([
            "-v",
            "error",
            "-f",
            "lavfi",
            "-i",
            "testsrc=size=320x180:rate=25:duration=4",
        ])
        .args([
            "-c:v",
            "libx264",
            "-profile:v",
            "baseline",
            "-g",
            "25",
            "-x264-params",
        ])
        .args([
            "aud=1:repeat-headers=1",
            "-pix_fmt",
            "yuv420p",
            "-f",
            "h264",
            "-",
        ])
        .output()
        .expect("ffmpeg is there");
    let stream = output.stdout;
    let delimiter = [0, 0, 0, 1, 9];
    let windows = stream.windows(delimiter.len()).enumerate();
    let starts: Vec<usize> = windows
        .filter(|(_, five)| *five == delimiter)
        .map(|(at, _)| at)
        .collect();
    let ends = starts.iter().skip(1).copied().chain([stream.len()]);
    starts
        .iter()
        .zip(ends)
        .map(|(start, end)| stream[*start..end].to_vec())
        .collect()
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Sends pictures until it `is_over`, from a thread of its own.
fn send(mut rtc: Rtc, mid: Mid, socket: &UdpSocket, is_over: &AtomicBool) {
    let pictures = pictures();
    let local = socket.local_addr().expect("an address");
    let (mut begin, mut sent) = (None, 0u32);
    while !is_over.load(Ordering::Relaxed) && rtc.is_alive() {
        let deadline = loop {
            match rtc.poll_output().expect("it runs") {
                Output::Transmit(datagram) => {
                    let _ = socket.send_to(&datagram.contents, datagram.destination);
                }
                Output::Event(Event::Connected) => begin = Some(now()),
                Output::Event(_) => {}
                Output::Timeout(at) => break at,
            }
        };
        let due = begin.map(|begin| begin + Duration::from_secs(1) * sent / FPS);
        if let Some(due) = due.filter(|due| *due <= now()) {
            let writer = rtc.writer(mid).expect("it was negotiated");
            let pt = writer.payload_params().next().expect("a codec").pt();
            let time = MediaTime::from_90khz(u64::from(sent) * 90_000 / u64::from(FPS));
            let picture = pictures[sent as usize % pictures.len()].clone();
            writer.write(pt, due, time, picture).expect("it is written");
            sent += 1;
            continue;
        }
        let wait = deadline
            .min(due.unwrap_or(deadline))
            .saturating_duration_since(now());
        socket
            .set_read_timeout(Some(wait.max(Duration::from_millis(1))))
            .expect("a timeout");
        let mut bytes = [0; 2000];
        if let Ok((size, source)) = socket.recv_from(&mut bytes)
            && let Ok(contents) = bytes[..size].try_into()
        {
            let receive = Receive {
                proto: Protocol::Udp,
                source,
                destination: local,
                contents,
            };
            rtc.handle_input(Input::Receive(now(), receive))
                .expect("it is taken");
        }
        rtc.handle_input(Input::Timeout(now()))
            .expect("time passes");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_published_by_whip_is_in_the_room_until_it_is_deleted() {
    let server = LivekitServer::start();
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let mut rtc = Rtc::builder()
        .set_crypto_provider(std::sync::Arc::new(str0m::crypto::from_feature_flags()))
        .clear_codecs()
        .enable_h264(true)
        .enable_opus(true, false)
        .build(now());
    let local = socket.local_addr().expect("an address");
    rtc.add_local_candidate(Candidate::host(local, "udp").expect("a candidate"));
    let mut changes = rtc.sdp_api();
    let mid = changes.add_media(MediaKind::Video, Direction::SendOnly, None, None, None);
    let (offer, pending) = changes.apply().expect("an offer");
    let token = format!("Bearer {}", server.token("cam", ROOM, &json!({})));
    let headers = [
        ("Content-Type", "application/sdp"),
        ("Authorization", &token),
    ];
    let offer = offer.to_sdp_string();
    let refused = http::send(server.address(), "POST", "/whip/v1", &headers[..1], &offer).await;
    assert_eq!(refused.status, 401);
    let answer = http::send(server.address(), "POST", "/whip/v1", &headers, &offer).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    let location = answer.header("location").expect("a location").to_owned();
    let answer = SdpAnswer::from_sdp_string(answer.text()).expect("an answer");
    rtc.sdp_api()
        .accept_answer(pending, answer)
        .expect("it fits");
    let is_over = Arc::new(AtomicBool::new(false));
    let over = is_over.clone();
    let sending = std::thread::spawn(move || send(rtc, mid, &socket, &over));
    let track = server
        .until("50 pictures", |server| {
            let track = server.track(ROOM, "cam", TrackType::Video)?;
            (track.layer("").frames >= 50).then_some(track)
        })
        .await;
    assert_eq!(track.info.name, "synthesized-camera");
    assert_eq!(track.layer("").broken_frames, 0);
    assert_eq!(track.layer("").lost_packets, 0);
    // A line that loses: what is missing is asked for and comes again.
    server.faults(|faults| faults.loss_percent = 5);
    let enough = |server: &LivekitServer| {
        let track = server.track(ROOM, "cam", TrackType::Video)?;
        (track.layer("").frames >= 150).then_some(track)
    };
    let track = server.until("100 pictures more", enough).await;
    server.faults(|faults| faults.loss_percent = 0);
    let dropped = server.with(|state| state.context.dropped_datagrams);
    let (broken, lost) = (track.layer("").broken_frames, track.layer("").lost_packets);
    assert!(dropped > 0);
    assert_eq!((broken, lost), (0, 0), "{dropped} datagrams were dropped");
    let gone = http::request(server.address(), "DELETE", &location, &headers[1..]).await;
    assert_eq!(gone.status, 200);
    assert!(server.participants(ROOM).is_empty());
    is_over.store(true, Ordering::Relaxed);
    sending.join().expect("it ends");
}
