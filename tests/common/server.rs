//! A gateway in the test's own process, on ports of the system's choice, with a data folder of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use forebay::app::App;
use forebay::base::clock::Clock;
use forebay::base::id::Uuid;
use forebay::base::secret::Secret;
use forebay::config::Config;
use forebay::manifest::parse::Media;
use forebay::media::timeline::Timeline;

use super::http::{self, Answer};

/// Stream key of the default channel in tests.
pub const KEY: &str = "TestKey0123456789abcdef";
/// Nothing that a test waits for takes longer.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A running gateway. Its data folder goes with it.
pub struct Server {
    pub app: App,
    data: PathBuf,
}

impl Server {
    /// Default settings, with the ladder off.
    pub async fn passthrough() -> Server {
        Server::start(|config| config.media.ladder = "off".to_owned()).await
    }

    /// Default settings, changed.
    pub async fn start(change: impl FnOnce(&mut Config)) -> Server {
        Server::start_with(Clock::system(), change).await
    }

    /// The same with a clock of the test's own.
    pub async fn start_with(clock: Clock, change: impl FnOnce(&mut Config)) -> Server {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("server-{}-{number}", std::process::id());
        let data = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut config = Config::default();
        config.listen.http = vec![any_port];
        config.listen.rtmp = vec![any_port];
        config.listen.srt = vec![any_port];
        config.storage.data.clone_from(&data);
        config.identity.stream_key = Some(Secret::new(KEY));
        change(&mut config);
        let worker = PathBuf::from(env!("CARGO_BIN_EXE_forebay"));
        let app = App::start(config, clock, worker)
            .await
            .expect("the gateway starts");
        Server { app, data }
    }

    /// The data folder, for another process beside the gateway.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Address of playback.
    pub fn http(&self) -> SocketAddr {
        self.app.http[0]
    }

    /// Address of ingest.
    pub fn rtmp(&self) -> SocketAddr {
        self.app.rtmp[0]
    }

    /// Address of SRT.
    pub fn srt(&self) -> SocketAddr {
        self.app.srt[0]
    }

    /// Where an encoder publishes into the default channel; `options` follow the key.
    pub fn publish_url(&self, options: &str) -> String {
        format!("rtmp://{}/ingest/{KEY}{options}", self.rtmp())
    }

    /// Publishes a file with ffmpeg: as fast as it goes, or at the pace of its clock with `-re` among
    /// the options.
    pub fn publish(&self, file: &Path, options: &str) -> Publishing {
        Publishing::start("ffmpeg", file, options, &self.publish_url(""))
    }

    /// `GET path`.
    pub async fn get(&self, path: &str) -> Answer {
        http::get(self.http(), path).await
    }

    /// The default channel's stream, once somebody publishes.
    pub async fn stream_id(&self) -> Uuid {
        self.until("a stream", || self.app.on_air("live")).await
    }

    /// What the stream's players read.
    pub async fn timeline(&self) -> std::sync::Arc<dyn Timeline> {
        let id = self.stream_id().await;
        self.app.hub.timeline(id).expect("a stream has a timeline")
    }

    /// Waits until `found` finds something. Looks again whenever a little time has passed: for states
    /// that nobody announces.
    pub async fn until<T>(&self, what: &str, mut found: impl FnMut() -> Option<T>) -> T {
        let looking = async {
            let mut again = tokio::time::interval(Duration::from_millis(10));
            loop {
                again.tick().await;
                if let Some(found) = found() {
                    return found;
                }
            }
        };
        let outcome = tokio::time::timeout(PATIENCE, looking).await;
        outcome.unwrap_or_else(|_| panic!("no {what} after {PATIENCE:?}"))
    }

    /// Waits until a rendition lists `count` complete segments.
    pub async fn segments(&self, rendition: &str, count: usize) {
        let timeline = self.timeline().await;
        let enough = || {
            let snapshot = timeline.snapshot(rendition)?;
            let complete = snapshot
                .segments
                .iter()
                .filter(|segment| segment.complete)
                .count();
            (complete >= count).then_some(())
        };
        self.until(&format!("{count} segments of {rendition}"), enough)
            .await;
    }

    /// The default channel's stream.
    pub async fn stream(&self) -> Arc<forebay::hub::Stream> {
        let id = self.stream_id().await;
        self.app.hub.stream(id).expect("a stream that was found")
    }

    /// Waits until nobody publishes any more and all that was sent is packaged and listed.
    pub async fn published(&self) {
        let stream = self.stream().await;
        self.until("end of the publish", || {
            (stream.member_count() == 0).then_some(())
        })
        .await;
        let timeline = self.timeline().await;
        self.until("multivariant playlist", || timeline.description())
            .await;
    }

    /// A playlist of the default channel's stream: `index.m3u8`, `source/index.m3u8`.
    pub async fn playlist(&self, path: &str) -> String {
        let id = self.stream_id().await;
        let answer = self.get(&format!("/hls/{id}/{path}")).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.text().to_owned()
    }

    /// Everything a rendition lists, initialisation and the parts of the growing segment included,
    /// fetched over HTTP into a file that players and decoders can read.
    pub async fn download(&self, rendition: &str) -> PathBuf {
        let mut runs = self.download_runs(rendition).await;
        assert_eq!(runs.len(), 1, "{rendition} has one configuration");
        runs.remove(0)
    }

    /// The same for a rendition whose configuration changes: a file for each run of segments that
    /// need the same initialisation.
    pub async fn download_runs(&self, rendition: &str) -> Vec<PathBuf> {
        let id = self.stream_id().await;
        let text = self.playlist(&format!("{rendition}/index.m3u8")).await;
        let playlist = Media::parse(&text).expect("a playlist");
        let mut runs: Vec<Vec<u8>> = Vec::new();
        for segment in playlist.segments.iter().filter(|segment| !segment.gap) {
            let parts = segment.parts.iter().map(|part| &part.uri);
            let uris: Vec<&String> = match segment.uri.is_empty() {
                true => parts.collect(),
                false => vec![&segment.uri],
            };
            if segment.map.is_some() {
                runs.push(Vec::new());
            }
            for uri in segment.map.iter().chain(uris) {
                let answer = self.get(&format!("/hls/{id}/{rendition}/{uri}")).await;
                assert_eq!(answer.status, 200, "{rendition}/{uri}");
                let run = runs.last_mut().expect("a map before the first segment");
                run.extend(answer.body);
            }
        }
        let mut files = Vec::new();
        for (index, bytes) in runs.iter().enumerate() {
            let file = self.data.join(format!("{rendition}-{index}.mp4"));
            std::fs::write(&file, bytes).expect("the data folder can be written");
            files.push(file);
        }
        files
    }

    /// Stops the gateway the way SIGTERM does.
    pub async fn stop(self) {
        self.app.stop().await;
        let _ = std::fs::remove_dir_all(&self.data);
    }
}

/// An encoder that runs beside the test; ended with it.
pub struct Publishing(Child);

impl Publishing {
    /// `program` is an ffmpeg; input options and output options are the same for copied streams.
    pub fn start(program: &str, file: &Path, options: &str, url: &str) -> Publishing {
        let child = Command::new(program)
            .args(["-v", "error", "-nostdin"])
            .args(options.split_whitespace())
            .arg("-i")
            .arg(file)
            .args([
                "-c",
                "copy",
                "-f",
                "flv",
                "-flvflags",
                "no_duration_filesize",
            ])
            .arg(url)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        Publishing(child.unwrap_or_else(|err| panic!("{program}: {err}")))
    }

    /// Waits until the file is published. Returns what the encoder complained of.
    pub async fn finish(self) -> Result<(), String> {
        let waiting = tokio::task::spawn_blocking(move || {
            let mut this = self;
            let stderr = this.0.stderr.take();
            let status = this.0.wait().expect("the encoder was started");
            let mut text = String::new();
            if let Some(mut stderr) = stderr {
                let _ = std::io::Read::read_to_string(&mut stderr, &mut text);
            }
            if status.success() { Ok(()) } else { Err(text) }
        });
        tokio::time::timeout(PATIENCE, waiting)
            .await
            .expect("the encoder ends")
            .expect("no panic")
    }

    /// Sends the encoder a signal by its name.
    pub fn signal(&self, name: &str) {
        let sent = super::gateway::signal(&self.0.id().to_string(), name);
        assert!(sent, "it runs");
    }

    /// Whether the encoder has ended.
    pub fn is_over(&mut self) -> bool {
        self.0.try_wait().expect("it is our child").is_some()
    }

    /// Takes the encoder away without a goodbye.
    pub fn kill(mut self) {
        let _ = self.0.kill();
    }
}

impl Drop for Publishing {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
