//! An encoder that a test holds in its hand: the tags of a clip, lap after lap, over the RTMP publisher.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::media::Clip;
use super::rtmp::{RtmpPublisher, Status, flv_tags};
use super::server::{KEY, PATIENCE, Server};

/// An encoder whose publish was accepted.
#[derive(Debug)]
pub struct Encoder<S = TcpStream> {
    pub publisher: RtmpPublisher<S>,
    key: String,
    tags: Vec<(u8, u32, Vec<u8>)>,
    lap_ms: u32,
    /// Where the next lap begins.
    pub time_ms: u32,
}

impl Encoder {
    /// Publishes with `key`, options included, at `address`; the refusal as the error.
    pub async fn start(address: SocketAddr, key: &str) -> Result<Encoder, Status> {
        let publisher = RtmpPublisher::connect(address).await;
        Encoder::over(publisher.expect("the gateway shakes hands"), key).await
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Encoder<S> {
    /// The same over a connection that is there.
    pub async fn over(mut publisher: RtmpPublisher<S>, key: &str) -> Result<Encoder<S>, Status> {
        publisher.publish("ingest", key).await?;
        publisher.set_chunk_size(4096).await.expect("it listens");
        let clip = Clip {
            width: 320,
            height: 180,
            ..Clip::h264(60, 30)
        };
        let file = std::fs::read(clip.file()).expect("the clip is there");
        Ok(Encoder {
            publisher,
            key: key.to_owned(),
            tags: flv_tags(&file),
            lap_ms: 2000,
            time_ms: 0,
        })
    }

    /// Two seconds of picture and sound, as fast as they are taken.
    pub async fn lap(&mut self) -> io::Result<()> {
        for (kind, time, body) in &self.tags {
            let (csid, time) = (if *kind == 9 { 6 } else { 4 }, self.time_ms + time);
            let id = self.publisher.stream_id;
            self.publisher
                .send_message(csid, *kind, id, time, body)
                .await?;
        }
        self.time_ms += self.lap_ms;
        Ok(())
    }

    /// Laps until `found` finds something.
    pub async fn until<T>(&mut self, what: &str, mut found: impl FnMut() -> Option<T>) -> T {
        let feeding = async {
            let mut again = tokio::time::interval(std::time::Duration::from_millis(50));
            loop {
                self.lap().await.expect("a good publisher is listened to");
                again.tick().await;
                if let Some(found) = found() {
                    return found;
                }
            }
        };
        let outcome = tokio::time::timeout(PATIENCE, feeding).await;
        outcome.unwrap_or_else(|_| panic!("no {what} after {PATIENCE:?}"))
    }

    /// Says goodbye, and closes after the answer as encoders do.
    pub async fn finish(mut self) {
        let key = self.key.clone();
        self.publisher.unpublish(&key).await.expect("it listens");
        let answered = tokio::time::timeout(PATIENCE, async {
            let answer = self.publisher.answer_named("onStatus").await;
            answer.expect("a goodbye has an answer");
        });
        answered.await.expect("a goodbye is answered in time");
    }
}

impl Server {
    /// Number of the newest complete segment of the default channel's source that holds media.
    pub fn newest_segment(&self) -> Option<u64> {
        let id = self.app.on_air("live")?;
        let snapshot = self.app.hub.timeline(id)?.snapshot("source")?;
        let complete = snapshot.segments.iter().filter(|s| s.complete && !s.gap);
        complete.map(|segment| segment.sequence).max()
    }

    /// A good publisher is taken, and what it sends is served.
    pub async fn still_works(&self) {
        let before = self.newest_segment();
        let encoder = Encoder::start(self.rtmp(), KEY).await;
        let mut encoder = encoder.expect("a good publisher is accepted");
        let newest = encoder
            .until("new segment", || {
                self.newest_segment().filter(|n| Some(*n) > before)
            })
            .await;
        let base = format!("/hls/{}/source", self.stream_id().await);
        let playlist = self.get(&format!("{base}/index.m3u8")).await;
        assert_eq!(playlist.status, 200, "{}", playlist.text());
        assert!(playlist.text().contains(&format!("{newest}.m4s")));
        let segment = self.get(&format!("{base}/{newest}.m4s")).await;
        assert_eq!(segment.status, 200);
        assert!(segment.body.windows(4).any(|name| name == b"moof"));
        encoder.finish().await;
    }
}
