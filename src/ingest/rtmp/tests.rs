//! Whole connections: over loopback where sockets matter, else over a pipe in memory with simulated
//! time. The hub is a recorder.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::publisher::{RtmpPublisher, Status, amf, chunks, synthetic};
use super::*;
use crate::hub::{Announcement, Link, PublishRequest, Refusal};
use crate::ingest::port::Sink;
use crate::media::{AccessUnit, MediaKind, Ticks, Track};

/// What the recorder saw.
#[derive(Clone, Debug, PartialEq)]
enum Seen {
    Request(String, Option<Vec<String>>, Vec<String>, &'static str),
    Announced(Announcement),
    Track(Track),
    Unit(AccessUnit),
    Finished,
    Lost,
}

/// A hub that accepts the key `KEY`, refuses `LATER` and `FULL`, never answers `HANG`, and knows no
/// other.
#[derive(Clone, Debug)]
struct Recorder {
    seen: mpsc::Sender<Seen>,
    evict: watch::Receiver<Option<String>>,
}

#[derive(Debug)]
struct Recording {
    recorder: Recorder,
    finished: bool,
}

impl Admit for Recorder {
    type Sink = Recording;

    fn preview(&self, _request: &PublishRequest) -> Result<String, Refusal> {
        unreachable!("RTMP asks when it may wait")
    }

    async fn admit(&self, request: PublishRequest) -> Result<Recording, Refusal> {
        let key = request.key.expose().to_owned();
        self.see(Seen::Request(
            key.clone(),
            request.capabilities,
            request.tags,
            request.proto,
        ));
        match key.as_str() {
            "KEY" => Ok(Recording {
                recorder: self.clone(),
                finished: false,
            }),
            "LATER" => Err(Refusal::NotAllowed("the event begins at noon".to_owned())),
            "FULL" => Err(Refusal::Full("500 publishers".to_owned())),
            "DARK" => Err(Refusal::Undecided("no database".to_owned())),
            "HANG" => std::future::pending().await,
            _ => Err(Refusal::UnknownKey),
        }
    }
}

impl Recorder {
    fn see(&self, seen: Seen) {
        self.seen.try_send(seen).expect("the test reads in time");
    }
}

impl Sink for Recording {
    fn stream(&self) -> String {
        "stream".to_owned()
    }

    fn announce(&mut self, announcement: Announcement) {
        self.recorder.see(Seen::Announced(announcement));
    }

    fn report_link(&mut self, _link: Link) {
        unreachable!("TCP measures no line")
    }

    fn set_track(&mut self, track: Track) {
        self.recorder.see(Seen::Track(track));
    }

    fn push(&mut self, unit: AccessUnit) {
        self.recorder.see(Seen::Unit(unit));
    }

    fn evicted(&self) -> impl Future<Output = String> + Send + use<> {
        let mut evict = self.recorder.evict.clone();
        async move {
            let evicted = evict.wait_for(Option::is_some).await;
            evicted.unwrap().clone().unwrap()
        }
    }

    fn finish(mut self) {
        self.finished = true;
        self.recorder.see(Seen::Finished);
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        if !self.finished {
            self.recorder.see(Seen::Lost);
        }
    }
}

struct Server {
    context: Context<Recorder>,
    seen: mpsc::Receiver<Seen>,
    evict: watch::Sender<Option<String>>,
    stats: Arc<Stats>,
}

impl Server {
    fn new() -> Server {
        let (sender, seen) = mpsc::channel(10_000);
        let (evict, evicted) = watch::channel(None);
        let config = Config::default();
        Server {
            stats: config.stats.clone(),
            seen,
            evict,
            context: Context {
                admit: Recorder {
                    seen: sender,
                    evict: evicted,
                },
                tls: None,
                config,
                lobby: Lobby::default(),
                tasks: Tasks::new(),
            },
        }
    }

    /// A connection over a pipe that holds `size` bytes per direction.
    fn pipe(&self, size: usize) -> DuplexStream {
        let (ours, theirs) = duplex(size);
        let peer = SocketAddr::from(([192, 0, 2, 1], 5000));
        let seat = self.context.lobby.enter(peer.ip()).unwrap();
        let connection = Connection::new(theirs, peer, "rtmp", self.context.clone());
        self.context
            .tasks
            .spawn(connection.run(seat, WAITING_DEADLINE));
        ours
    }

    async fn publisher(&self) -> RtmpPublisher<DuplexStream> {
        RtmpPublisher::over(self.pipe(1 << 20)).await.unwrap()
    }

    /// An accepted publish of `KEY`, and its request taken off the record.
    async fn publishing(&mut self) -> RtmpPublisher<DuplexStream> {
        let mut publisher = self.publisher().await;
        publisher.publish("live", "KEY").await.unwrap();
        assert!(matches!(self.seen().await, Seen::Request(..)));
        publisher
    }

    async fn listen(&self, tls: Option<Tls>) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let Context {
            admit,
            config,
            tasks,
            ..
        } = self.context.clone();
        let served = serve(listener, tls, admit, config, tasks.clone());
        tasks.spawn(served);
        address
    }

    async fn seen(&mut self) -> Seen {
        self.seen.recv().await.unwrap()
    }

    async fn unit(&mut self) -> AccessUnit {
        match self.seen().await {
            Seen::Unit(unit) => unit,
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_publish_over_tcp_becomes_announcement_tracks_and_units_and_ends_with_a_goodbye() {
    let mut server = Server::new();
    let address = server.listen(None).await;
    let mut encoder = RtmpPublisher::connect(address).await.unwrap();
    let name = "KEY;capabilities=hd,multi-bitrate;tags=a,b";
    encoder.publish("any/application?x=y", name).await.unwrap();
    let words = |text: &str| text.split(',').map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(
        server.seen().await,
        Seen::Request(
            "KEY".to_owned(),
            Some(words("hd,multi-bitrate")),
            words("a,b"),
            "rtmp"
        )
    );
    let metadata = [
        ("framerate", amf::number(30.0)),
        ("videocodecid", amf::number(7.0)),
    ];
    for _ in 0..2 {
        encoder.send_metadata(&metadata).await.unwrap();
    }
    encoder
        .send_video(0, &synthetic::avc_config())
        .await
        .unwrap();
    encoder
        .send_audio(0, &synthetic::aac_config())
        .await
        .unwrap();
    encoder.set_chunk_size(4096).await.unwrap();
    let video = synthetic::avc_frame(true, 80, 200_000);
    let audio = synthetic::aac_frame(9000);
    encoder
        .send_interleaved(&[(6, 9, 40, &video), (4, 8, 23, &audio)])
        .await
        .unwrap();
    assert!(
        matches!(server.seen().await, Seen::Announced(a) if a.frame_rate_millis == Some(30_000))
    );
    assert!(
        matches!(server.seen().await, Seen::Track(track) if track.resolution() == Some((160, 90)))
    );
    assert!(
        matches!(server.seen().await, Seen::Track(track) if track.sample_rate() == Some(44_100))
    );
    let unit = server.unit().await;
    assert_eq!(
        (unit.kind, unit.dts, unit.data.len()),
        (MediaKind::Audio, Ticks(23), 9000)
    );
    let unit = server.unit().await;
    assert_eq!(
        (unit.dts, unit.pts, unit.key),
        (Ticks(40), Ticks(120), true)
    );
    assert_eq!(unit.data, video[5..]);
    encoder.unpublish("KEY").await.unwrap();
    assert_eq!(
        encoder.status().await.unwrap().code,
        "NetStream.Unpublish.Success"
    );
    assert_eq!(server.seen().await, Seen::Finished);
    drop(encoder);
    server.context.tasks.finish().await;
    let counts = (
        server.stats.accepted_total.get(),
        server.stats.finished_total.get(),
    );
    assert_eq!(counts, (1, 1));
    assert!(server.stats.received_bytes_total.get() > 209_000);
}

#[tokio::test(start_paused = true)]
async fn the_order_of_obs_is_understood() {
    let mut server = Server::new();
    let mut obs = server.publisher().await;
    // Its chunk size before connect; then everything on one chunk stream.
    obs.set_chunk_size(4096).await.unwrap();
    obs.publish("ingest", "KEY").await.unwrap();
    assert!(matches!(server.seen().await, Seen::Request(..)));
    let frame = synthetic::avc_frame(true, 66, 30_000);
    let metadata = [
        amf::text("@setDataFrame"),
        amf::text("onMetaData"),
        amf::object(&[("encoder", amf::text("obs-output module"))]),
    ];
    for (type_id, time, body) in [
        (18, 0, metadata.concat()),
        (8, 0, synthetic::aac_config()),
        (9, 0, synthetic::avc_config()),
        (8, 0, synthetic::aac_frame(200)),
        (9, 0, frame.clone()),
    ] {
        obs.send_message(4, type_id, 1, time, &body).await.unwrap();
    }
    assert!(matches!(server.seen().await, Seen::Announced(a) if a.encoder.is_some()));
    assert!(matches!(server.seen().await, Seen::Track(track) if track.kind() == MediaKind::Audio));
    assert!(matches!(server.seen().await, Seen::Track(track) if track.kind() == MediaKind::Video));
    assert_eq!(server.unit().await.data.len(), 200);
    let unit = server.unit().await;
    assert_eq!((unit.dts, unit.pts), (Ticks(0), Ticks(66)));
    assert_eq!(unit.data, frame[5..]);
}

#[tokio::test]
async fn a_close_or_a_reset_without_goodbye_is_a_lost_connection() {
    let mut server = Server::new();
    let address = server.listen(None).await;
    for reset in [false, true] {
        let mut encoder = RtmpPublisher::connect(address).await.unwrap();
        encoder.publish("live", "KEY").await.unwrap();
        assert!(matches!(server.seen().await, Seen::Request(..)));
        match reset {
            true => encoder.reset(),
            false => encoder.close().await.unwrap(),
        }
        assert_eq!(server.seen().await, Seen::Lost);
    }
    server.context.tasks.finish().await;
    assert_eq!(server.stats.lost_total.get(), 2);
}

#[tokio::test(start_paused = true)]
async fn each_refusal_has_its_status_and_none_has_the_key() {
    for (name, code, word) in [
        ("SECRETwrong", "NetStream.Publish.BadName", "no channel"),
        ("LATER", "NetStream.Publish.Denied", "noon"),
        ("FULL", "NetStream.Publish.Denied", "500 publishers"),
        (
            "DARK",
            "NetStream.Publish.Denied",
            "cannot be decided now: no database",
        ),
        ("HANG", "NetStream.Publish.Denied", "does not answer"),
        ("", "NetStream.Publish.BadName", "no stream key"),
        (";tags=a", "NetStream.Publish.BadName", "no stream key"),
    ] {
        let server = Server::new();
        let mut encoder = server.publisher().await;
        let status = encoder.publish("live", name).await.unwrap_err();
        assert_eq!(
            (status.level.as_str(), status.code.as_str()),
            ("error", code)
        );
        assert!(status.description.contains(word), "{status:?}");
        assert!(!status.description.contains("SECRET"));
        assert_eq!(
            encoder.closed().await,
            [0; 0],
            "closed, and nothing more was said"
        );
    }
}

/// The status that an accepted publisher gets after it did something, and that it is then closed.
async fn refused_after(encoder: &mut RtmpPublisher<DuplexStream>) -> Status {
    let status = encoder.status().await.unwrap();
    assert_eq!(status.level, "error");
    assert_eq!(encoder.closed().await, [0; 0]);
    status
}

#[tokio::test(start_paused = true)]
async fn what_is_not_supported_is_named_and_ends_the_publish() {
    for (type_id, body, word) in [
        (8, &b"\x2f\x00\x00"[..], "MP3"),
        (9, b"\x90vp09\x01", "vp09"),
        (9, b"\x96\x00av01\x01\x81", "multitrack"),
        (9, b"\x17\x00\x00\x00\x00\x01", "AVC"),
    ] {
        let mut server = Server::new();
        let mut encoder = server.publishing().await;
        encoder.send_message(4, type_id, 1, 0, body).await.unwrap();
        let status = refused_after(&mut encoder).await;
        assert_eq!(status.code, "NetStream.Publish.Rejected");
        let description = status.description.to_lowercase();
        assert!(description.contains(&word.to_lowercase()), "{status:?}");
        assert_eq!(server.seen().await, Seen::Lost);
        assert_eq!(server.stats.rejected_total.get(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_second_publish_ends_the_first_and_a_play_is_refused() {
    let mut server = Server::new();
    let mut encoder = server.publishing().await;
    encoder.ask_to_publish("OTHER").await.unwrap();
    let status = refused_after(&mut encoder).await;
    assert_eq!(status.code, "NetStream.Publish.BadName");
    assert!(!status.description.contains("OTHER"));
    assert_eq!(server.seen().await, Seen::Lost);

    let mut player = server.publisher().await;
    player.connect_application("live", &[]).await.unwrap();
    player.create_stream(2.0).await.unwrap();
    let arguments = [amf::null(), amf::text("KEY")];
    player
        .send_command(1, "play", 3.0, &arguments)
        .await
        .unwrap();
    assert_eq!(
        refused_after(&mut player).await.code,
        "NetStream.Play.Failed"
    );
}

#[tokio::test(start_paused = true)]
async fn who_does_not_publish_in_time_is_closed_however_it_spends_the_time() {
    let server = Server::new();
    let start = Instant::now();
    // Nothing at all.
    let mut idle = server.pipe(1 << 16);
    assert_eq!(idle.read(&mut [0; 10]).await.unwrap(), 0);
    assert_eq!(start.elapsed().as_secs(), 10);
    // A byte now and then.
    let start = Instant::now();
    let mut slow = server.pipe(1 << 16);
    let mut sent = 0;
    while slow.write_all(&[3]).await.is_ok() {
        sent += 1;
        tokio::time::sleep(Duration::from_millis(1500)).await;
    }
    assert_eq!((sent, start.elapsed().as_millis()), (7, 10_500));
    // A handshake and a connect.
    let start = Instant::now();
    let mut waiting = server.publisher().await;
    waiting.connect_application("live", &[]).await.unwrap();
    waiting.closed().await;
    assert_eq!(start.elapsed().as_secs(), 10);
    assert_eq!(server.stats.unpublished_total.get(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_publish_without_whole_units_is_silent_after_the_publish_timeout() {
    let mut server = Server::new();
    for trickle in [false, true] {
        let mut encoder = server.publishing().await;
        let start = Instant::now();
        encoder
            .send_audio(0, &synthetic::aac_config())
            .await
            .unwrap();
        if trickle {
            let frame = synthetic::aac_frame(100_000);
            for piece in chunks(4, 8, 1, 0, &frame, 128).iter().take(9) {
                encoder.send_raw(piece).await.unwrap();
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
        let status = refused_after(&mut encoder).await;
        assert_eq!(status.code, "NetStream.Publish.Idle");
        let seconds = start.elapsed().as_secs();
        assert!((10..=11).contains(&seconds), "{seconds}");
        assert!(matches!(server.seen().await, Seen::Track(_)));
        assert_eq!(server.seen().await, Seen::Lost);
    }
    assert_eq!(server.stats.silent_total.get(), 2);
}

#[tokio::test(start_paused = true)]
async fn units_that_come_now_and_then_keep_a_publish_alive() {
    let mut server = Server::new();
    let mut encoder = server.publishing().await;
    encoder
        .send_audio(0, &synthetic::aac_config())
        .await
        .unwrap();
    assert!(matches!(server.seen().await, Seen::Track(_)));
    for second in 1..8 {
        tokio::time::sleep(Duration::from_secs(9)).await;
        encoder
            .send_audio(second * 9000, &synthetic::aac_frame(10))
            .await
            .unwrap();
        assert_eq!(server.unit().await.dts, Ticks(i64::from(second) * 9000));
    }
}

#[tokio::test(start_paused = true)]
async fn a_publisher_that_never_reads_cannot_hold_its_task() {
    let mut server = Server::new();
    // The pipe takes the handshake and some answers, then it is full.
    let mut encoder = RtmpPublisher::over(server.pipe(4096)).await.unwrap();
    encoder.publish("live", "KEY").await.unwrap();
    assert!(matches!(server.seen().await, Seen::Request(..)));
    let ping = chunks(2, 4, 0, 0, &[0, 6, 0, 0, 0, 0], 128).concat();
    let start = Instant::now();
    while encoder.send_raw(&ping.repeat(20)).await.is_ok() {}
    assert_eq!(server.seen().await, Seen::Lost);
    assert_eq!(start.elapsed().as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn an_evicted_publisher_is_told_and_closed_and_so_is_one_at_shutdown() {
    let mut server = Server::new();
    let mut encoder = server.publishing().await;
    server
        .evict
        .send_replace(Some("a takeover by somebody".to_owned()));
    let status = refused_after(&mut encoder).await;
    assert_eq!(status.code, "NetStream.Publish.Denied");
    assert!(
        !status.description.contains("somebody"),
        "the reason is for the log"
    );
    assert_eq!(server.seen().await, Seen::Lost);

    let mut server = Server::new();
    let mut encoder = server.publishing().await;
    let mut idle = server.publisher().await;
    server.context.tasks.stop();
    refused_after(&mut encoder).await;
    idle.closed().await;
    server.context.tasks.finish().await;
    assert_eq!(server.seen().await, Seen::Lost);
}

#[tokio::test]
async fn a_hundred_connections_that_lie_there_do_not_keep_a_publisher_out() {
    let mut server = Server::new();
    let address = server.listen(None).await;
    let mut idle = Vec::new();
    for n in 0..100 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        if n % 2 == 0 {
            stream.write_all(&[3, 0, 0]).await.unwrap();
        }
        idle.push(stream);
    }
    let mut encoder = RtmpPublisher::connect(address).await.unwrap();
    encoder.publish("live", "KEY").await.unwrap();
    assert!(matches!(server.seen().await, Seen::Request(..)));
    // The oldest ones gave way.
    assert_eq!(
        idle[0].read_to_end(&mut Vec::new()).await.unwrap_or(0),
        1537
    );
    drop((encoder, idle));
    server.context.tasks.finish().await;
}

#[tokio::test(start_paused = true)]
async fn hostile_bytes_end_their_own_connection_only() {
    let mut server = Server::new();
    let mut good = server.publishing().await;
    good.send_audio(0, &synthetic::aac_config()).await.unwrap();
    assert!(matches!(server.seen().await, Seen::Track(_)));

    // A connect nested 10,000 deep, over chunks.
    let mut bomb = [amf::text("connect"), amf::number(1.0)].concat();
    bomb.extend([3, 0, 1, b'a'].repeat(10_000));
    let mut evil = server.publisher().await;
    evil.send_message(3, 20, 0, 0, &bomb).await.unwrap();
    evil.closed().await;

    // After the publish: a length beyond the limit, chunk streams without end, chunk size zero,
    // metadata that nest (which cost nothing but themselves).
    let too_long = [
        &[6, 0, 0, 0, 0xff, 0xff, 0xff, 9, 1, 0, 0, 0][..],
        &[0; 100],
    ]
    .concat();
    let mut streams = Vec::new();
    for csid in 3..30 {
        streams.extend(chunks(csid, 8, 1, 0, &[0xaf], 128).concat());
    }
    let zero = chunks(2, 1, 0, 0, &[0; 4], 128).concat();
    for bytes in [too_long, streams, zero, vec![0xff; 5000]] {
        let mut evil = server.publishing().await;
        evil.send_raw(&bytes).await.unwrap();
        evil.closed().await;
        assert_eq!(server.seen().await, Seen::Lost);
    }
    let mut odd = server.publishing().await;
    let nested = [amf::text("onMetaData"), [3, 0, 1, b'a'].repeat(9000)].concat();
    odd.send_message(4, 18, 1, 0, &nested).await.unwrap();
    odd.unpublish("KEY").await.unwrap();
    assert_eq!(server.seen().await, Seen::Finished);

    good.send_audio(23, &synthetic::aac_frame(10))
        .await
        .unwrap();
    assert_eq!(server.unit().await.dts, Ticks(23));
}

#[tokio::test(start_paused = true)]
async fn time_runs_on_over_2_to_the_32() {
    let mut server = Server::new();
    let mut encoder = server.publishing().await;
    encoder
        .send_audio(0, &synthetic::aac_config())
        .await
        .unwrap();
    assert!(matches!(server.seen().await, Seen::Track(_)));
    for step in -3..4_i64 {
        let time = (1 << 32) + step * 20;
        let raw = u32::try_from(time & 0xffff_ffff).unwrap();
        encoder
            .send_audio(raw, &synthetic::aac_frame(300))
            .await
            .unwrap();
        assert_eq!(server.unit().await.dts, Ticks(time));
    }
}

#[tokio::test(start_paused = true)]
async fn an_aggregate_message_is_its_tags_with_the_messages_time() {
    let mut server = Server::new();
    let mut encoder = server.publishing().await;
    encoder
        .send_audio(0, &synthetic::aac_config())
        .await
        .unwrap();
    let mut run = Vec::new();
    for time in [100_u8, 123] {
        let body = synthetic::aac_frame(5);
        run.extend([8, 0, 0, 7, 0, 0, time, 0, 0, 0, 0]);
        run.extend(body);
        run.extend([0, 0, 0, 18]);
    }
    encoder.send_message(4, 22, 1, 5000, &run).await.unwrap();
    assert!(matches!(server.seen().await, Seen::Track(_)));
    assert_eq!(server.unit().await.dts, Ticks(5000));
    assert_eq!(server.unit().await.dts, Ticks(5023));
}

/// A certificate for `localhost` and the two ends' configurations.
fn tls() -> (rustls::ServerConfig, rustls::ClientConfig) {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = made.cert.der().clone();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let server = rustls::ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate).unwrap();
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    (server, client)
}

async fn connect_tls(
    address: SocketAddr,
    client: &rustls::ClientConfig,
) -> io::Result<RtmpPublisher<tokio_rustls::client::TlsStream<TcpStream>>> {
    let connector = tokio_rustls::TlsConnector::from(Arc::new(client.clone()));
    let stream = TcpStream::connect(address).await?;
    let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
    RtmpPublisher::over(connector.connect(name, stream).await?).await
}

#[tokio::test]
async fn rtmps_publishes_and_a_new_certificate_holds_for_the_next_connection() {
    let mut server = Server::new();
    let (first, first_client) = tls();
    let (second, second_client) = tls();
    let current: Tls = Arc::new(ArcSwap::from_pointee(first));
    let address = server.listen(Some(current.clone())).await;
    let mut encoder = connect_tls(address, &first_client).await.unwrap();
    encoder.publish("live", "KEY").await.unwrap();
    assert!(matches!(
        server.seen().await,
        Seen::Request(_, _, _, "rtmps")
    ));
    current.store(Arc::new(second));
    assert!(connect_tls(address, &first_client).await.is_err());
    assert!(connect_tls(address, &second_client).await.is_ok());
    encoder
        .send_audio(0, &synthetic::aac_config())
        .await
        .unwrap();
    assert!(matches!(server.seen().await, Seen::Track(_)));
    // Somebody who speaks plain RTMP to this port.
    assert!(RtmpPublisher::connect(address).await.is_err());
    drop(encoder);
    server.context.tasks.finish().await;
}

/// The seeds of a fuzz target, and random changes of them, always the same ones.
fn fuzz_from_seeds(folder: &str, rounds: usize, target: fn(&[u8])) {
    let folder = format!("{}/tests/data/fuzz/{folder}", env!("CARGO_MANIFEST_DIR"));
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    let seeds: Vec<_> = paths
        .iter()
        .map(|path| std::fs::read(path).unwrap())
        .collect();
    seeds.iter().for_each(|seed| target(seed));
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % u64::try_from(below.max(1)).unwrap()).unwrap()
    };
    for round in 0..rounds {
        let mut bytes = seeds[round % seeds.len()].clone();
        for _ in 0..=random(8) {
            let at = random(bytes.len());
            match random(4) {
                0 => bytes.truncate(at),
                1 if !bytes.is_empty() => bytes[at] = [0, 1, 0x7f, 0xff][random(4)],
                2 => bytes.insert(at, u8::try_from(random(256)).unwrap()),
                _ if !bytes.is_empty() => bytes[at] ^= 1 << random(8),
                _ => {}
            }
        }
        target(&bytes);
    }
}

#[test]
fn no_change_of_real_bytes_makes_a_parser_panic() {
    // `make soak` asks for a million.
    let inputs = std::env::var("FOREBAY_FUZZ_INPUTS").map_or(20_000, |text| text.parse().unwrap());
    fuzz_from_seeds("chunks", inputs, fuzz::fuzz_rtmp_chunks);
    fuzz_from_seeds("session", inputs, fuzz::fuzz_rtmp_session);
    fuzz_from_seeds("flv", inputs, fuzz::fuzz_flv_tags);
    fuzz_from_seeds("amf0", inputs, fuzz::fuzz_amf0);
}
