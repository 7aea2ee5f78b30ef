//! Publishers over SRT: ffmpeg, `srt-live-transmit`, GStreamer. One that says wrong things is in `raw`.

pub mod raw;

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::gateway::signal;
use super::http::percent_encoded;
use super::media::{enhanced_ffmpeg, words};
use super::server::PATIENCE;

/// Payload of a packet: seven packets of a transport stream.
pub const PAYLOAD_BYTES: usize = 1316;

/// Whom a program calls, and what it says.
#[derive(Clone, Debug)]
pub struct Call {
    pub to: SocketAddr,
    pub stream_id: String,
    pub passphrase: Option<String>,
    /// AES key length that the caller asks for, bytes; 0 leaves it to the program.
    pub key_bytes: u8,
    pub latency_ms: u32,
    /// Options of the URL beyond these, each with its `&`.
    pub more: &'static str,
}

impl Call {
    pub fn new(to: SocketAddr, stream_id: &str) -> Call {
        Call {
            to,
            stream_id: stream_id.to_owned(),
            passphrase: None,
            key_bytes: 0,
            latency_ms: 120,
            more: "",
        }
    }

    pub fn passphrase(mut self, passphrase: &str, key_bytes: u8) -> Call {
        (self.passphrase, self.key_bytes) = (Some(passphrase.to_owned()), key_bytes);
        self
    }

    pub fn latency_ms(mut self, latency_ms: u32) -> Call {
        self.latency_ms = latency_ms;
        self
    }

    pub fn more(mut self, more: &'static str) -> Call {
        self.more = more;
        self
    }

    fn url(&self, latency: u32, encode: fn(&str) -> String) -> String {
        let mut url = format!(
            "srt://{}?mode=caller&latency={latency}&streamid={}{}",
            self.to,
            encode(&self.stream_id),
            self.more
        );
        if let Some(passphrase) = &self.passphrase {
            url.push_str(&format!("&passphrase={passphrase}"));
        }
        if self.key_bytes > 0 {
            url.push_str(&format!("&pbkeylen={}", self.key_bytes));
        }
        url
    }

    /// As ffmpeg takes it: latency in microseconds, the rest percent-encoded. It waits at its end until
    /// all is acknowledged.
    pub fn ffmpeg_url(&self) -> String {
        let url = self.url(self.latency_ms * 1000, percent_encoded);
        url + "&pkt_size=1316&linger=2"
    }

    /// Publishes a file at the pace of its clock; `program` is an ffmpeg.
    pub fn ffmpeg(&self, program: &str, file: &Path, options: &str) -> Sender {
        let mut command = Command::new(program);
        command
            .args(["-v", "warning", "-nostdin", "-re", "-i"])
            .arg(file)
            .args(["-c", "copy", "-f", "mpegts"])
            .args(words(options))
            .arg(self.ffmpeg_url())
            .stdout(Stdio::null());
        Sender::start(vec![command])
    }

    /// Debian's ffmpeg.
    pub fn ffmpeg_5(&self, file: &Path) -> Sender {
        self.ffmpeg("ffmpeg", file, "")
    }

    /// The newer one.
    pub fn ffmpeg_9(&self, file: &Path) -> Sender {
        self.ffmpeg(&enhanced_ffmpeg(), file, "")
    }

    /// `srt-live-transmit`, fed by ffmpeg at the pace of the clock.
    pub fn transmit(&self, file: &Path) -> Sender {
        let feeder = feeder(file, "");
        let mut transmit = Command::new("srt-live-transmit");
        let url = self.url(self.latency_ms, str::to_owned);
        transmit
            .args(["-a", "no", "-chunk", "1316", "file://con", &url])
            .stdout(Stdio::null());
        Sender::start(vec![feeder, transmit])
    }

    /// GStreamer's `srtsink`, at the pace of the stream's clock.
    pub fn gstreamer(&self, file: &Path) -> Sender {
        let mut command = Command::new("gst-launch-1.0");
        command
            .args(["-q", "filesrc"])
            .arg(format!("location={}", file.display()))
            .args(words(
                "blocksize=1316 ! tsparse set-timestamps=true ! srtsink",
            ))
            .arg(format!("uri=srt://{}?mode=caller", self.to))
            .arg(format!("streamid=\"{}\"", self.stream_id))
            .arg(format!("latency={}", self.latency_ms));
        if let Some(passphrase) = &self.passphrase {
            command.arg(format!("passphrase=\"{passphrase}\""));
            command.arg(format!("pbkeylen={}", self.key_bytes));
        }
        command.stdout(Stdio::null());
        Sender::start(vec![command])
    }
}

/// An ffmpeg that writes a file as a transport stream to its standard output, at the pace of the clock.
pub fn feeder(file: &Path, options: &str) -> Command {
    let mut command = Command::new("ffmpeg");
    command
        .args(["-v", "error", "-nostdin", "-re"])
        .args(words(options))
        .arg("-i")
        .arg(file)
        .args(words("-c copy -f mpegts -flush_packets 1 pipe:1"));
    command
}

/// Programs that publish, the first one feeding the next; ended with the test.
pub struct Sender(Vec<Child>);

impl Sender {
    /// Starts programs whose standard outputs go into the next one. What the last one says is read at
    /// its end.
    pub fn start(commands: Vec<Command>) -> Sender {
        let mut children: Vec<Child> = Vec::new();
        let count = commands.len();
        for (index, mut command) in commands.into_iter().enumerate() {
            let before = children.last_mut().and_then(|child| child.stdout.take());
            command.stdin(before.map_or_else(Stdio::null, Stdio::from));
            if index + 1 < count {
                command.stdout(Stdio::piped()).stderr(Stdio::null());
            } else {
                command.stderr(Stdio::piped());
            }
            let child = command.spawn();
            children.push(child.unwrap_or_else(|err| panic!("{command:?}: {err}")));
        }
        Sender(children)
    }

    /// Sends the last program, which is the one that calls, a signal by its name.
    pub fn signal(&self, name: &str) {
        let caller = self.0.last().expect("there is one");
        assert!(signal(&caller.id().to_string(), name), "it runs");
    }

    /// Whether the last program has ended.
    pub fn is_over(&mut self) -> bool {
        let caller = self.0.last_mut().expect("there is one");
        caller.try_wait().expect("it is our child").is_some()
    }

    /// Waits until the last program ends: whether well, and what it said. One that is fed does not end
    /// with its input, so it is interrupted when it has taken all of it.
    pub async fn ended(mut self) -> (bool, String) {
        let feeding = async {
            let mut again = tokio::time::interval(Duration::from_millis(100));
            let mut before = None;
            let is_over = |child: &mut Child| child.try_wait().expect("it is our child").is_some();
            while let [feeder, .., caller] = &mut self.0[..] {
                again.tick().await;
                let taken = taken_bytes(caller.id());
                if is_over(caller) || (is_over(feeder) && taken == before) {
                    break;
                }
                before = taken;
            }
        };
        let fed = tokio::time::timeout(PATIENCE, feeding).await;
        fed.expect("the feeder ends");
        if self.0.len() > 1 {
            let caller = self.0.last().expect("there is one");
            signal(&caller.id().to_string(), "INT");
        }
        let waiting = tokio::task::spawn_blocking(move || {
            let caller = self.0.last_mut().expect("there is one");
            let mut text = Vec::new();
            if let Some(mut stderr) = caller.stderr.take() {
                let _ = std::io::Read::read_to_end(&mut stderr, &mut text);
            }
            let status = caller.wait().expect("it was started");
            (
                status.success(),
                String::from_utf8_lossy(&text).into_owned(),
            )
        });
        let ended = tokio::time::timeout(PATIENCE, waiting).await;
        ended.expect("the caller ends").expect("no panic")
    }

    /// Takes it away without a goodbye.
    pub fn kill(self) {
        drop(self);
    }
}

/// What a process has read, bytes.
fn taken_bytes(process: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{process}/io")).ok()?;
    let mut lines = text.lines();
    lines.find_map(|line| line.strip_prefix("rchar: ")?.parse().ok())
}

impl Drop for Sender {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
