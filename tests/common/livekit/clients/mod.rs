//! Clients that others wrote: LiveKit's Python library with libwebrtc, and livekit-client in Chromium. In: a
//! server's URL and a token. Out: what they say, a JSON object a line.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::PATIENCE;

/// What docker/install-deps.sh --test installs.
const PYTHON: &str = "target/tools/livekit/bin/python";
/// The same with LiveKit's API library.
const PYTHON_API: &str = "target/tools/livekit-api/bin/python";
/// Lines that are kept.
const MAX_LINES: usize = 20_000;

/// A process that says a JSON object a line and takes commands likewise; it ends with this.
pub struct Client {
    name: String,
    child: Child,
    commands: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    /// Everything that it said.
    pub said: Vec<Value>,
}

/// The Python to run clients with.
pub fn python() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(PYTHON)
}

/// The folder of this file.
fn folder() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let here = Path::new(file!());
    let here = here.parent().expect("a file is in a folder");
    // A test of another folder may include this file by its whole path.
    if here.is_absolute() {
        here.to_owned()
    } else {
        root.join(here)
    }
}

impl Client {
    /// Starts a client of LiveKit's Python library.
    pub async fn python(role: &str, url: &str, token: &str, options: &str) -> Client {
        let mut command = Command::new(python());
        command.arg(folder().join("client.py")).args([role, url]);
        command.args(options.split_whitespace());
        Client::start(role, command, token).await
    }

    /// Starts livekit-client in headless Chromium.
    pub async fn browser(url: &str, token: &str, options: &str) -> Client {
        let mut command = Command::new("node");
        command
            .arg(folder().join("../../../players/room.mjs"))
            .arg(url);
        command.args(options.split_whitespace());
        Client::start("browser", command, token).await
    }

    /// Starts LiveKit's API client, or its receiver of webhooks (`hooks`).
    pub async fn api(role: &str, url: &str, key: &str, secret: &str) -> Client {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut command = Command::new(root.join(PYTHON_API));
        command.arg(folder().join("api.py")).args([role, url]);
        Client::start(role, command, &format!("{key}:{secret}")).await
    }

    /// Calls the API; its answer, or an object with `code` and `message`.
    pub async fn call(&mut self, method: &str, request: Value) -> Value {
        self.order(method, request).await;
        let said = self.next().await.expect("an answer");
        match said["event"] == "answer" {
            true => said["value"].clone(),
            false => said,
        }
    }

    /// Starts a client whose first line of input is the token.
    pub async fn start(name: &str, mut command: Command, token: &str) -> Client {
        let child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn();
        let mut child = child.unwrap_or_else(|error| {
            panic!("{command:?}: {error}; docker/install-deps.sh --test installs it")
        });
        let mut commands = child.stdin.take().expect("it is piped");
        let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        commands
            .write_all(format!("{token}\n").as_bytes())
            .await
            .expect("it reads");
        Client {
            name: name.to_owned(),
            child,
            commands,
            lines,
            said: Vec::new(),
        }
    }

    /// Gives an order.
    pub async fn order(&mut self, what: &str, value: Value) {
        let line = format!("{}\n", json!({"do": what, "value": value}));
        let written = self.commands.write_all(line.as_bytes()).await;
        written.unwrap_or_else(|error| panic!("{} does not listen: {error}", self.name));
    }

    /// The next that it says; nothing once it has ended.
    pub async fn next(&mut self) -> Option<Value> {
        let line = tokio::time::timeout(PATIENCE, self.lines.next_line()).await;
        let line = line.unwrap_or_else(|_| {
            panic!(
                "{} says nothing for {PATIENCE:?}; before: {:#?}",
                self.name,
                self.last()
            )
        });
        let said: Value = serde_json::from_str(&line.expect("it can be read")?).expect("JSON");
        if self.said.len() < MAX_LINES {
            self.said.push(said.clone());
        }
        Some(said)
    }

    fn last(&self) -> &[Value] {
        &self.said[self.said.len().saturating_sub(12)..]
    }

    /// Waits for an event that has `fits`.
    pub async fn until(&mut self, event: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let waiting = async {
            loop {
                let said = self.next().await?;
                if said["event"] == event && fits(&said) {
                    return Some(said);
                }
            }
        };
        match tokio::time::timeout(PATIENCE, waiting).await {
            Ok(Some(said)) => said,
            outcome => {
                let ended = outcome.is_ok();
                panic!(
                    "{}: no {event} (ended: {ended}): {:#?}",
                    self.name,
                    self.last()
                )
            }
        }
    }

    /// Waits for an event of that name.
    pub async fn event(&mut self, event: &str) -> Value {
        self.until(event, |_| true).await
    }

    /// Listens for some time.
    pub async fn listen(&mut self, time: Duration) {
        let listening = async { while self.next().await.is_some() {} };
        let _ = tokio::time::timeout(time, listening).await;
    }

    /// Waits until it has decoded so many pictures of somebody; the figures then.
    pub async fn pictures(&mut self, identity: &str, count: u64) -> Value {
        let enough = |said: &Value| {
            said["kind"] == "video"
                && said["identity"] == identity
                && said["frames"].as_u64() >= Some(count)
        };
        self.until("stats", enough).await
    }

    /// How much later each beep was heard than the flash that belongs to it was seen, in seconds.
    pub fn lip_offsets(&self, identity: &str) -> Vec<f64> {
        Client::lip_offsets_in(&self.said, identity)
    }

    /// The same in a part of what was said.
    pub fn lip_offsets_in(said: &[Value], identity: &str) -> Vec<f64> {
        let times = |event: &str| -> Vec<f64> {
            let mine = |said: &&Value| said["event"] == event && said["identity"] == identity;
            said.iter()
                .filter(mine)
                .filter_map(|said| said["at"].as_f64())
                .collect()
        };
        let beeps = times("beep");
        let nearest = |flash: &f64| {
            let offsets = beeps.iter().map(|beep| beep - flash);
            offsets
                .min_by(|a, b| a.abs().total_cmp(&b.abs()))
                .filter(|offset| offset.abs() < 0.5)
        };
        times("flash").iter().filter_map(nearest).collect()
    }

    /// Says goodbye and waits for the end.
    pub async fn leave(mut self) {
        self.order("leave", Value::Null).await;
        drop(self.commands);
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        let _ = ended.unwrap_or_else(|_| panic!("{} does not end", self.name));
    }

    /// Ends it as a crash does.
    pub async fn kill(mut self) {
        let _ = self.child.kill().await;
    }
}

/// The median.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    *sorted.get(sorted.len() / 2).unwrap_or(&f64::NAN)
}
