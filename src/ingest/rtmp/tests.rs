//! Whole connections: over loopback where sockets matter, else over a pipe in memory with simulated
//! time. The hub is a recorder.

use std::net::SocketAddr;

use tokio::io::{DuplexStream, duplex};
use tokio::sync::{mpsc, watch};

use super::publisher::{RtmpPublisher, amf, synthetic};
use super::*;
use crate::ingest::recorder::{Recorder, Seen};
use crate::media::{AccessUnit, MediaKind, Ticks};

mod ends;
mod hostile;
mod tls;

struct Server {
    context: Context<Recorder>,
    seen: mpsc::Receiver<Seen>,
    evict: watch::Sender<Option<String>>,
    stats: Arc<Stats>,
}

impl Server {
    fn new() -> Server {
        let (admit, seen, evict) = Recorder::new();
        let config = Config::default();
        Server {
            stats: config.stats.clone(),
            seen,
            evict,
            context: Context {
                admit,
                tls: None,
                config,
                lobby: Lobby::default(),
                told: Arc::new(Told::new("rtmp")),
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

    /// The same, and its sound has begun.
    async fn sounding(&mut self) -> RtmpPublisher<DuplexStream> {
        let mut publisher = self.publishing().await;
        let config = synthetic::aac_config();
        publisher.send_audio(0, &config).await.unwrap();
        assert!(matches!(self.seen().await, Seen::Track(_)));
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

#[tokio::test(start_paused = true)]
async fn time_runs_on_over_2_to_the_32() {
    let mut server = Server::new();
    let mut encoder = server.sounding().await;
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
    let mut encoder = server.sounding().await;
    let mut run = Vec::new();
    for time in [100_u8, 123] {
        let body = synthetic::aac_frame(5);
        run.extend([8, 0, 0, 7, 0, 0, time, 0, 0, 0, 0]);
        run.extend(body);
        run.extend([0, 0, 0, 18]);
    }
    encoder.send_message(4, 22, 1, 5000, &run).await.unwrap();
    assert_eq!(server.unit().await.dts, Ticks(5000));
    assert_eq!(server.unit().await.dts, Ticks(5023));
}
