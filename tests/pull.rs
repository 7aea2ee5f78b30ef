//! Channels whose media the gateway fetches: far sides are real programs that listen on loopback, which
//! the setting allows here.

use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use forebay::base::id::Uuid;
use forebay::base::secret::Secret;
use forebay::base::source::Source;
use forebay::config::Channel;
use forebay::manifest::parse::Media;

use crate::common::gateway::Folder;
use crate::common::http;
use crate::common::media::{Clip, pictures};
use crate::common::server::{PATIENCE, Publishing, Server};
use crate::common::srt::feeder;

const PASSPHRASE: &str = "PassphraseOfTheFarSide";
const STREAM_ID: &str = "#!::r=StreamIdOfTheFarSide,m=request";
const ALIAS: &str = "remote";
const KEY: &str = "KeyOfThePulledChannel";

/// Programs that serve a stream, the first one feeding the next; ended with the test.
struct FarSide(Vec<Child>);

impl FarSide {
    /// ffmpeg, which takes one caller, sends the file from its beginning at the pace of its clock, and
    /// goes.
    fn ffmpeg(port: u16, file: &Path, options: &str) -> FarSide {
        let url = format!("srt://127.0.0.1:{port}?mode=listener&pkt_size=1316{options}");
        let child = Command::new("ffmpeg")
            .args(["-v", "error", "-nostdin", "-re", "-i"])
            .arg(file)
            .args(["-c", "copy", "-f", "mpegts", &url])
            .stdin(Stdio::null())
            .spawn();
        FarSide(vec![child.expect("ffmpeg is installed")])
    }

    /// srt-live-transmit, fed by ffmpeg: it sends what is on now, whoever calls.
    fn transmit(port: u16, file: &Path, options: &str) -> FarSide {
        let mut feeder = feeder(file, "-stream_loop -1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("ffmpeg is installed");
        let media = feeder.stdout.take().expect("piped");
        let url = format!("srt://127.0.0.1:{port}?mode=listener{options}");
        let transmit = Command::new("srt-live-transmit")
            .args(["-a", "yes", "-chunk", "1316", "file://con", &url])
            .stdin(Stdio::from(media))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        FarSide(vec![
            feeder,
            transmit.expect("srt-live-transmit is installed"),
        ])
    }
}

impl Drop for FarSide {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A port that nobody listens on: the programs of far sides cannot tell which one they were given.
fn free_port() -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback has ports");
    socket.local_addr().expect("it is bound").port()
}

fn channel(source: &str) -> Channel {
    Channel {
        alias: ALIAS.to_owned(),
        name: ALIAS.to_owned(),
        key: Some(Secret::new(KEY)),
        capabilities: None,
        slate: None,
        srt_passphrase: None,
        source: Some(Source::parse(source).expect("a source")),
        pushes: Vec::new(),
    }
}

/// A gateway that may pull from loopback, and does.
async fn pulling(source: &str) -> Server {
    Server::start(|config| {
        config.media.ladder = "off".to_owned();
        config.channels = vec![channel(source)];
        config.publish.pull_private = vec!["127.0.0.0/8".parse().expect("a network")];
    })
    .await
}

async fn stream_of(server: &Server) -> Uuid {
    let found = || server.app.on_air(ALIAS);
    server.until("a stream", found).await
}

/// Waits until the source rendition lists `count` complete segments.
async fn segments(server: &Server, stream: Uuid, count: usize) {
    let timeline = server.app.hub.timeline(stream).expect("a living stream");
    let enough = || {
        let snapshot = timeline.snapshot("source")?;
        let complete = snapshot.segments.iter().filter(|segment| segment.complete);
        (complete.count() >= count).then_some(())
    };
    server.until(&format!("{count} segments"), enough).await;
}

/// What the source rendition lists, as a file that decoders can read.
async fn download(server: &Server, stream: Uuid, folder: &Folder) -> PathBuf {
    let get = async |name: &str| {
        let answer = server.get(&format!("/hls/{stream}/source/{name}")).await;
        assert_eq!(answer.status, 200, "{name}");
        answer.body
    };
    let playlist = String::from_utf8(get("index.m3u8").await).expect("text");
    let playlist = Media::parse(&playlist).expect("a playlist");
    let mut bytes = Vec::new();
    for segment in &playlist.segments {
        let parts = segment.parts.iter().map(|part| &part.uri);
        let uris: Vec<&String> = match segment.uri.is_empty() {
            true => parts.collect(),
            false => vec![&segment.uri],
        };
        for uri in segment.map.iter().chain(uris) {
            bytes.extend(get(uri).await);
        }
    }
    let file = folder.file("source.mp4");
    std::fs::write(&file, bytes).expect("the folder can be written");
    file
}

#[tokio::test(flavor = "multi_thread")]
async fn every_frame_of_a_source_comes_out() {
    let port = free_port();
    let server = pulling(&format!("srt://127.0.0.1:{port}?latency=200")).await;
    let _far_side = FarSide::ffmpeg(port, &Clip::h264(150, 30).file(), "");
    let stream = stream_of(&server).await;
    segments(&server, stream, 2).await;
    let living = server.app.hub.stream(stream).expect("a living stream");
    let gone = || (living.member_count() == 0).then_some(());
    server.until("end of the source", gone).await;
    let folder = Folder::new();
    let file = download(&server, stream, &folder).await;
    let numbers: Vec<u32> = pictures(&file)
        .iter()
        .map(|picture| picture.number.expect("readable"))
        .collect();
    assert!(numbers.len() >= 148, "{} frames", numbers.len());
    let first = numbers[0];
    assert!(
        numbers
            .iter()
            .zip(first..)
            .all(|(number, expected)| *number == expected),
        "{numbers:?}"
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encrypted_source_is_pulled_and_an_encoder_stands_beside_it() {
    let port = free_port();
    let clip = Clip::h264(300, 30).file();
    let _far_side = FarSide::transmit(
        port,
        &clip,
        &format!("&passphrase={PASSPHRASE}&pbkeylen=32"),
    );
    let stream_id = STREAM_ID.replace('#', "%23");
    let server = pulling(&format!(
        "srt://127.0.0.1:{port}?passphrase={PASSPHRASE}&pbkeylen=32&streamid={stream_id}"
    ))
    .await;
    let stream = stream_of(&server).await;
    segments(&server, stream, 2).await;
    let living = server.app.hub.stream(stream).expect("a living stream");
    let link = living.health().members[0]
        .facts
        .link
        .expect("SRT measures its line");
    assert!(link.encrypted && link.packets > 0, "{link:?}");
    assert_eq!(link.latency, Duration::from_millis(120));

    let url = format!("rtmp://{}/live/{KEY}", server.rtmp());
    let _encoder = Publishing::start("ffmpeg", &clip, "-re", &url);
    let both = || (living.member_count() == 2).then_some(());
    server.until("an encoder beside the source", both).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_comes_back_goes_on_in_the_same_stream() {
    let port = free_port();
    let clip = Clip::h264(300, 30).file();
    let server = pulling(&format!("srt://localhost:{port}")).await;
    let far_side = FarSide::ffmpeg(port, &clip, "");
    let stream = stream_of(&server).await;
    segments(&server, stream, 1).await;
    drop(far_side);
    let living = server.app.hub.stream(stream).expect("a living stream");
    let gone = || (living.member_count() == 0).then_some(());
    server.until("loss of the source", gone).await;
    let _far_side = FarSide::ffmpeg(port, &clip, "");
    segments(&server, stream, 3).await;
    assert_eq!(server.app.on_air(ALIAS), Some(stream));
    server.stop().await;
}

/// The configuration file of a channel with this source.
fn file(source: &str) -> String {
    format!("[listen]\nsrt = \"\"\n[[channel]]\nalias = \"{ALIAS}\"\nsource = \"{source}\"\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_to_this_machine_or_its_networks_unless_the_setting_allows_it() {
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let port = socket.local_addr().unwrap().port();
    for host in [
        "127.0.0.1",
        "localhost",
        "[::ffff:127.0.0.1]",
        "0",
        "2130706433",
    ] {
        let folder = Folder::new();
        let config = folder.write("forebay.toml", &file(&format!("srt://{host}:{port}")));
        let settings = [("FOREBAY_CONFIG", &*config)];
        let gateway = folder.serve(&settings).await;
        let refused = async || {
            let log = gateway.log();
            log.contains("which FOREBAY_PULL_PRIVATE does not name")
                .then_some(())
        };
        gateway.until("refusal", refused).await;
        gateway.stop().await;
        let mut buffer = [0];
        let received = socket.try_recv(&mut buffer);
        assert!(received.is_err(), "{host}: {received:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_far_side_that_refuses_is_asked_again_and_the_log_holds_reasons_but_no_credentials() {
    let port = free_port();
    let clip = Clip::h264(300, 30).file();
    let _far_side = FarSide::transmit(port, &clip, "&passphrase=AnotherPassphrase");
    let folder = Folder::new();
    let stream_id = STREAM_ID.replace('#', "%23");
    let source = format!("srt://127.0.0.1:{port}?passphrase={PASSPHRASE}&streamid={stream_id}");
    let config = folder.write("forebay.toml", &file(&source));
    let settings = [
        ("FOREBAY_CONFIG", &*config),
        ("FOREBAY_PULL_PRIVATE", "127.0.0.1"),
        ("RUST_LOG", "trace"),
    ];
    let gateway = folder.serve(&settings).await;
    let told = |after: usize| {
        let gateway = &gateway;
        async move || {
            let log = gateway.log();
            let lines = log.lines().filter(|line| line.contains("source is away"));
            let lines: Vec<&str> = lines.collect();
            let first = lines
                .iter()
                .position(|line| line.contains("Incorrect passphrase"))?;
            (lines.len() > first + after).then_some(())
        }
    };
    gateway
        .until("a refusal and one more attempt", told(1))
        .await;
    let log = gateway.stop().await;
    assert!(log.contains(&format!("srt://127.0.0.1:{port}")), "{log}");
    for secret in [PASSPHRASE, STREAM_ID, "StreamIdOfTheFarSide"] {
        assert!(!log.contains(secret), "{log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_whose_source_never_answers_stops_in_good_order() {
    let silent = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let folder = Folder::new();
    let config = folder.write("forebay.toml", &file(&format!("srt://127.0.0.1:{port}")));
    let settings = [
        ("FOREBAY_CONFIG", &*config),
        ("FOREBAY_PULL_PRIVATE", "127.0.0.1"),
    ];
    let gateway = folder.serve(&settings).await;
    let asked = tokio::time::timeout(PATIENCE, silent.recv(&mut [0; 1500])).await;
    asked.expect("it calls").unwrap();
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_is_none_ends_the_start_with_2_and_without_its_credentials() {
    for (source, told) in [
        (
            "srt://h:9000?mode=listener",
            "srt://h:9000?mode=listener, accepted is mode=caller",
        ),
        (
            "srt://h:9000?passphrase=tell",
            "passphrase=(hidden), accepted is 10 to 79 characters",
        ),
        (
            "srt://tell@h:9000",
            "is (hidden), accepted is srt://host:port",
        ),
    ] {
        let folder = Folder::new();
        let config = folder.write("forebay.toml", &file(source));
        let output = folder.run(&["serve"], &[("FOREBAY_CONFIG", &config)]).await;
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains(told) && !text.contains("tell"), "{text}");
        assert!(text.contains("channel.source"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_made_with_a_source_is_pulled_until_it_is_deleted() {
    let port = free_port();
    let clip = Clip {
        width: 320,
        height: 180,
        ..Clip::h264(60, 30)
    };
    let _far = FarSide::transmit(port, &clip.file(), "");
    let server = Server::start(|config| {
        config.media.ladder = "off".to_owned();
        config.publish.pull_private = vec!["127.0.0.0/8".parse().expect("a network")];
    })
    .await;
    let secret = server.app.credentials.application_secret.expose();
    let credentials = base64::Engine::encode(
        &base64::engine::general_purpose::STANDARD,
        format!("forebay:{secret}"),
    );
    let authorization = format!("Basic {credentials}");
    let headers = [("Authorization", authorization.as_str())];
    let call = async |method: &str, path: &str, body: &str| {
        http::send(server.http(), method, path, &headers, body).await
    };
    let body = serde_json::json!({"channel": {
        "alias": ALIAS, "name": ALIAS, "description": "", "options": [],
        "ingestOptions": {"sourceUri": format!("srt://127.0.0.1:{port}")}}});
    let made = call("PUT", "/pcast/channel", &body.to_string()).await;
    assert_eq!(made.status, 200, "{}", made.text());
    let stream = stream_of(&server).await;
    segments(&server, stream, 1).await;
    let gone = call("DELETE", &format!("/pcast/channel/{ALIAS}"), "").await;
    assert_eq!(gone.status, 200, "{}", gone.text());
    assert!(server.app.on_air(ALIAS).is_none());
    let nothing = || server.app.hub.all().is_empty().then_some(());
    server.until("an end of the stream", nothing).await;
    server.stop().await;
}
