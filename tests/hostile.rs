//! What peers do that no encoder should: the connection that does it ends, with the protocol's own
//! refusal where there is one, and the server goes on to take a good publisher and to serve it.

mod api;
mod http;

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpSocket, TcpStream};

use crate::common::encoder::Encoder;
use crate::common::media::{Clip, pictures};
use crate::common::noise::noise;
use crate::common::rtmp::{RtmpPublisher, Status, amf, flv_tags, synthetic};
use crate::common::server::{KEY, PATIENCE, Server};

/// More than the connections before publish that the server keeps, in all and per address.
const CROWD: usize = 300;

async fn soon<T>(what: &str, task: impl Future<Output = T>) -> T {
    let outcome = tokio::time::timeout(PATIENCE, task).await;
    outcome.unwrap_or_else(|_| panic!("{what}: not after {PATIENCE:?}"))
}

async fn shaken(server: &Server) -> RtmpPublisher {
    RtmpPublisher::connect(server.rtmp()).await.unwrap()
}

async fn publishing(server: &Server) -> RtmpPublisher {
    let mut publisher = shaken(server).await;
    publisher.publish("ingest", KEY).await.unwrap();
    publisher
}

/// Waits for a refusal of this code and the close behind it; everything that was said.
async fn refused(publisher: &mut RtmpPublisher, code: &str) -> Status {
    let status = soon("a refusal", publisher.status()).await.unwrap();
    assert_eq!((&*status.level, &*status.code), ("error", code));
    soon("a close", publisher.closed()).await;
    status
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_rtmp_is_closed() {
    let server = Server::passthrough().await;
    let http = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec();
    let mut hello = vec![0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
    hello.extend(noise(1, 512));
    let mut encrypted = vec![6];
    encrypted.extend(noise(2, 1536));
    let wrong = [http, hello, encrypted, vec![0; 4096], vec![0xff; 100_000]];
    for bytes in wrong {
        // No half-close: the server ends it by itself.
        let mut stream = TcpStream::connect(server.rtmp()).await.unwrap();
        let _ = stream.write_all(&bytes).await;
        let mut answer = Vec::new();
        let _ = soon("a close", stream.read_to_end(&mut answer)).await;
    }
    for seed in 0..16 {
        let mut bytes = noise(seed, 8192);
        // Every second one passes for a handshake at first.
        bytes[0] = if seed % 2 == 0 { 3 } else { bytes[0] };
        let stream = TcpStream::connect(server.rtmp()).await.unwrap();
        let (mut read, mut write) = stream.into_split();
        let _ = write.write_all(&bytes).await;
        let _ = write.shutdown().await;
        let mut answer = Vec::new();
        let _ = soon("a close", read.read_to_end(&mut answer)).await;
    }
    server.still_works().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn chunks_and_commands_beyond_bounds_end_the_connection() {
    let server = Server::passthrough().await;
    let connect = |values: Vec<u8>| [amf::text("connect"), amf::number(1.0), values].concat();
    let nested = connect([&[3, 0, 1, b'a'][..]; 10_000].concat());
    let arrays = connect([&[10, 0, 0, 0, 1][..]; 10_000].concat());
    let long = connect(amf::text(&"x".repeat(60_000)).repeat(8));
    for body in [nested, arrays, long, b"\x02\xff\xffconnect".to_vec()] {
        let mut publisher = shaken(&server).await;
        let _ = publisher.send_message(3, 20, 0, 0, &body).await;
        soon("a close", publisher.closed()).await;
    }
    // Each begins a message that never ends.
    let many = (2..64)
        .flat_map(|csid| [&[csid, 0, 0, 0, 0, 0x40, 0, 9, 1, 0, 0, 0][..], &[0; 128]].concat());
    let oversized = [3, 0, 0, 0, 0xff, 0xff, 0xff, 20, 0, 0, 0, 0];
    let headless = [0xc3; 600];
    let no_chunk_size = [2, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0, 0, 0, 0, 0];
    let raw = [
        many.collect(),
        oversized.to_vec(),
        headless.to_vec(),
        no_chunk_size.to_vec(),
    ];
    for bytes in raw
        .into_iter()
        .chain((0..16).map(|seed| noise(seed, 70_000)))
    {
        let mut publisher = shaken(&server).await;
        let _ = publisher.send_raw(&bytes).await;
        let _ = publisher.stream.shutdown().await;
        soon("a close", publisher.closed()).await;
    }
    let mut publisher = shaken(&server).await;
    publisher
        .send_command(0, "createStream", 1.0, &[amf::null()])
        .await
        .unwrap();
    soon("a close", publisher.closed()).await;
    // With the right key it is no better.
    let mut publisher = publishing(&server).await;
    publisher
        .send_raw(&[6, 0, 0, 0, 0x50, 0, 0, 9, 1, 0, 0, 0, 0x17])
        .await
        .unwrap();
    soon("a close", publisher.closed()).await;
    server.still_works().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_that_only_connects_keeps_nobody_out() {
    let server = Server::passthrough().await;
    let mut on_air = Encoder::start(server.rtmp(), KEY).await.unwrap();
    let mut crowd = Vec::new();
    for number in 0..CROWD {
        let mut stream = TcpStream::connect(server.rtmp()).await.unwrap();
        if number % 2 == 0 {
            let _ = stream.write_all(&[3; 1 + 1536]).await;
        }
        crowd.push(stream);
    }
    let newest = || server.newest_segment();
    on_air.until("segment", newest).await;
    on_air.finish().await;
    server.still_works().await;
    drop(crowd);
    server.stop().await;
}

/// Lets one byte through at a time.
struct Trickle(TcpStream);

impl AsyncRead for Trickle {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Trickle {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, &bytes[..bytes.len().min(1)])
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_may_send_one_byte_at_a_time() {
    let server = Server::passthrough().await;
    let stream = TcpStream::connect(server.rtmp()).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let publisher = async {
        let mut publisher = RtmpPublisher::over(Trickle(stream)).await.unwrap();
        publisher.publish("ingest", KEY).await.unwrap();
        publisher
            .send_video(0, &synthetic::avc_config())
            .await
            .unwrap();
        for frame in 0..90 {
            let body = synthetic::avc_frame(frame % 30 == 0, 0, 300);
            publisher.send_video(frame * 40, &body).await.unwrap();
        }
        publisher
    };
    let mut publisher = soon("a slow publish", publisher).await;
    publisher.unpublish(KEY).await.unwrap();
    server.segments("source", 1).await;
    server.still_works().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn interleaved_chunks_come_out_as_they_were_meant() {
    let server = Server::passthrough().await;
    let mut publisher = publishing(&server).await;
    let file = std::fs::read(Clip::h264(180, 30).file()).unwrap();
    let (video, audio): (Vec<_>, Vec<_>) = flv_tags(&file)
        .into_iter()
        .filter(|(kind, _, _)| *kind != 18)
        .partition(|(kind, _, _)| *kind == 9);
    let mut audio = audio.iter().peekable();
    for (_, time, body) in &video {
        let mut messages = vec![(6, 9, *time, &body[..])];
        // All sound that is due, on a chunk stream each.
        let mut csid = 8;
        while let Some((_, at, body)) = audio.next_if(|(_, at, _)| at <= time) {
            if csid < 12 {
                messages.push((csid, 8, *at, &body[..]));
                csid += 1;
            }
        }
        publisher.send_interleaved(&messages).await.unwrap();
    }
    publisher.unpublish(KEY).await.unwrap();
    server.segments("source", 2).await;
    let seen = pictures(&server.download("source").await);
    let numbers: Vec<u32> = seen
        .iter()
        .map(|seen| seen.number.expect("readable"))
        .collect();
    assert!(numbers.len() >= 120, "{} pictures", numbers.len());
    assert!(
        numbers.iter().copied().eq(0..numbers.len() as u32),
        "{numbers:?}"
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_key_is_refused_without_being_repeated() {
    let server = Server::passthrough().await;
    let wrong = "WrongKey-f2b1c5d49a73";
    let long = format!("{wrong}{}", "x".repeat(20_000));
    let names = [
        wrong.to_owned(),
        format!("{wrong};capabilities=hd,streaming;tags=a"),
        format!("{wrong}?capabilities=hd"),
        format!("{KEY}{wrong}"),
        format!("DIGEST:{wrong}"),
        format!("../{wrong}/%00"),
        long,
        String::new(),
    ];
    for name in names {
        let mut publisher = shaken(&server).await;
        let status = publisher.publish("ingest", &name).await.unwrap_err();
        assert_eq!(status.level, "error");
        let known = ["NetStream.Publish.BadName", "NetStream.Publish.Denied"];
        assert!(known.contains(&&*status.code), "{status:?}");
        let rest = soon("a close", publisher.closed()).await;
        let said = format!("{status:?}{}", String::from_utf8_lossy(&rest));
        assert!(!said.contains(wrong) && !said.contains(KEY), "{said}");
    }
    assert!(server.app.hub.all().is_empty(), "no stream was opened");
    server.still_works().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_offered_is_refused_by_its_own_code() {
    let server = Server::passthrough().await;
    let mut publisher = publishing(&server).await;
    publisher.ask_to_publish(KEY).await.unwrap();
    refused(&mut publisher, "NetStream.Publish.BadName").await;

    let mut publisher = shaken(&server).await;
    publisher.connect_application("live", &[]).await.unwrap();
    publisher.create_stream(2.0).await.unwrap();
    let arguments = [amf::null(), amf::text(KEY)];
    let id = publisher.stream_id;
    publisher
        .send_command(id, "play", 3.0, &arguments)
        .await
        .unwrap();
    let status = refused(&mut publisher, "NetStream.Play.Failed").await;
    assert!(!status.description.contains(KEY));

    let multitrack_video = [&[0x96, 0x10][..], b"avc1", &[0, 0, 0, 9], &[0; 9]].concat();
    let multitrack_audio = [&[0x95, 0x10][..], b"mp4a", &[0, 0, 0, 2], &[0x12, 0x10]].concat();
    for (kind, body, named) in [
        (8, vec![0x2f, 0xff, 0xfb, 0x90, 0x64], "MP3"),
        (8, vec![0xb2, 0, 0, 0], "Speex"),
        (9, vec![0x14, 0, 0, 0], "VP6"),
        (9, [&[0x90][..], b"vp09", &[0; 12]].concat(), "vp09"),
        (9, multitrack_video, "multitrack"),
        (8, multitrack_audio, "multitrack"),
    ] {
        let mut publisher = publishing(&server).await;
        let id = publisher.stream_id;
        publisher.send_message(4, kind, id, 0, &body).await.unwrap();
        let status = refused(&mut publisher, "NetStream.Publish.Rejected").await;
        assert!(status.description.contains(named), "{status:?}");
    }
    server.still_works().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_media_costs_only_itself() {
    let server = Server::passthrough().await;
    let mut encoder = Encoder::start(server.rtmp(), KEY).await.unwrap();
    let publisher = &mut encoder.publisher;
    let id = publisher.stream_id;
    let nested = [
        amf::text("onMetaData"),
        [&[3, 0, 1, b'a'][..]; 20_000].concat(),
    ]
    .concat();
    // The same below the size that is read: objects under empty names.
    let short = [amf::text("onMetaData"), [&[3, 0, 0][..]; 20_000].concat()].concat();
    for body in [&nested, &short] {
        for kind in [18, 15] {
            publisher.send_message(4, kind, id, 0, body).await.unwrap();
        }
    }
    for seed in 0..200 {
        let mut body = noise(seed, 40);
        // A length that goes beyond the tag, a run of tags that is none, types that nobody defined.
        body[..2].copy_from_slice(&[0x27, 1]);
        publisher.send_video(0, &body).await.unwrap();
        publisher.send_message(4, 22, id, 0, &body).await.unwrap();
        let kind = 30 + (seed % 100) as u8;
        publisher.send_message(4, kind, id, 0, &body).await.unwrap();
        publisher.send_audio(0, &[0xaf, 1]).await.unwrap();
        publisher.send_audio(0, &[]).await.unwrap();
    }
    encoder.until("segment", || server.newest_segment()).await;
    encoder.finish().await;
    server.still_works().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_never_reads_is_cut_off_but_may_publish() {
    let server = Server::passthrough().await;
    let mut encoder = Encoder::start(server.rtmp(), KEY).await.unwrap();
    for _ in 0..50 {
        encoder.lap().await.unwrap();
    }
    encoder.until("segment", || server.newest_segment()).await;
    encoder.finish().await;

    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let stream = socket.connect(server.rtmp()).await.unwrap();
    let mut publisher = RtmpPublisher::over(stream).await.unwrap();
    publisher.publish("ingest", KEY).await.unwrap();
    // §7.1.7: ping requests, each of which wants an answer.
    let ping = [2, 0, 0, 0, 0, 0, 6, 4, 0, 0, 0, 0, 0, 6, 0, 0, 0, 1].repeat(100);
    soon("a cut", async {
        while publisher.send_raw(&ping).await.is_ok() {}
    })
    .await;
    server.still_works().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_goes_silent_is_told_and_disconnected() {
    let server = Server::start(|config| {
        config.media.ladder = "off".to_owned();
        config.publish.publish_timeout = Duration::from_secs(1);
    })
    .await;
    let mut never_sent = publishing(&server).await;
    let mut encoder = Encoder::start(server.rtmp(), KEY).await.unwrap();
    encoder.lap().await.unwrap();
    // Words are no media.
    let pings = async {
        let ping = [2, 0, 0, 0, 0, 0, 6, 4, 0, 0, 0, 0, 0, 6, 0, 0, 0, 1];
        let mut again = tokio::time::interval(Duration::from_millis(100));
        while never_sent.send_raw(&ping).await.is_ok() {
            again.tick().await;
        }
    };
    let told = async {
        refused(&mut encoder.publisher, "NetStream.Publish.Idle").await;
    };
    let both = Box::pin(async { tokio::join!(pings, told) });
    soon("the end of both", both).await;
    server.still_works().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_in_the_middle_of_a_frame_is_a_lost_publisher_and_no_more() {
    let server = Server::passthrough().await;
    for cut in [1, 5, 100, 3000] {
        let mut encoder = Encoder::start(server.rtmp(), KEY).await.unwrap();
        encoder.lap().await.unwrap();
        let body = synthetic::avc_frame(true, 0, 8000);
        let id = encoder.publisher.stream_id;
        let chunk = crate::common::rtmp::chunks(6, 9, id, encoder.time_ms, &body, 4096).concat();
        encoder.publisher.send_raw(&chunk[..cut]).await.unwrap();
        encoder.publisher.reset();
    }
    let stream = server.app.hub.stream(server.stream_id().await).unwrap();
    let gone = || (stream.member_count() == 0).then_some(());
    server.until("end of the sessions", gone).await;
    server.still_works().await;
    assert_eq!(server.stream_id().await, stream.id(), "the stream went on");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fifth_encoder_on_a_key_is_denied_until_one_leaves() {
    let server = Server::passthrough().await;
    let mut four = Vec::new();
    for _ in 0..4 {
        four.push(Encoder::start(server.rtmp(), KEY).await.unwrap());
    }
    let mut fifth = shaken(&server).await;
    let status = fifth.publish("ingest", KEY).await.unwrap_err();
    assert_eq!(status.code, "NetStream.Publish.Denied");
    soon("a close", fifth.closed()).await;
    let first = four.remove(0);
    first.finish().await;
    let stream = server.app.hub.stream(server.stream_id().await).unwrap();
    let left = || (stream.member_count() == 3).then_some(());
    server.until("free place", left).await;
    let mut late = Encoder::start(server.rtmp(), KEY).await.unwrap();
    late.lap().await.unwrap();
    late.finish().await;
    for encoder in four {
        encoder.finish().await;
    }
    server.still_works().await;
    server.stop().await;
}
