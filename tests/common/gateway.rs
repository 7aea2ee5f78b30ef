//! The program itself, as a child process with a folder of its own and ports of the system's choice.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::process::{Child, Command};

use super::http::{self, Answer};
use super::server::PATIENCE;

/// Settings, as the environment has them.
pub type Settings<'a> = [(&'a str, &'a str)];

/// The program: `SOAK_BINARY` names another build than the one that was made with the tests.
fn program() -> PathBuf {
    let Some(named) = std::env::var_os("SOAK_BINARY") else {
        return PathBuf::from(env!("CARGO_BIN_EXE_forebay"));
    };
    std::fs::canonicalize(named).expect("SOAK_BINARY names a program")
}

/// Working folder of one test's processes. The data folder is `data` in it. Goes with the test.
pub struct Folder {
    path: PathBuf,
    starts: AtomicU32,
}

impl Folder {
    pub fn new() -> Folder {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("gateway-{}-{number}", std::process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&path).expect("the build folder can be written");
        Folder {
            path,
            starts: AtomicU32::new(0),
        }
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Writes a file; its path as text.
    pub fn write(&self, name: &str, text: &str) -> String {
        let path = self.file(name);
        std::fs::write(&path, text).expect("the folder can be written");
        path.display().to_string()
    }

    pub fn data(&self) -> PathBuf {
        self.file("data")
    }

    /// What the gateway has made for itself at its first start.
    pub fn credential(&self, name: &str) -> String {
        let text = std::fs::read_to_string(self.data().join("credentials.toml"));
        let text = text.expect("a first start keeps credentials");
        let root: toml::Table = text.parse().expect("TOML");
        root[name].as_str().expect("text").to_owned()
    }

    /// The program with nothing but these settings, ports of the system's choice and no ladder.
    pub fn command(&self, arguments: &[&str], settings: &Settings<'_>) -> Command {
        let mut command = Command::new(program());
        command
            .args(arguments)
            .current_dir(&self.path)
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .env("HOME", &self.path)
            .env("FOREBAY_HTTP", "127.0.0.1:0")
            .env("FOREBAY_RTMP", "127.0.0.1:0")
            .env("FOREBAY_SRT", "127.0.0.1:0")
            .env("FOREBAY_LADDER", "off")
            .envs(settings.iter().copied())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// Runs a command to its end.
    pub async fn run(&self, arguments: &[&str], settings: &Settings<'_>) -> Output {
        let output = self.command(arguments, settings).output();
        let output = tokio::time::timeout(PATIENCE, output).await;
        let output = output.unwrap_or_else(|_| panic!("{arguments:?} does not end"));
        output.expect("the program is there")
    }

    /// The same, which must end well; what it printed.
    pub async fn print(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments, &[]).await;
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).expect("text")
    }

    /// Starts the gateway and waits until it is up.
    pub async fn serve(&self, settings: &Settings<'_>) -> Gateway {
        let number = self.starts.fetch_add(1, Ordering::Relaxed);
        let (out, log) = (format!("{number}.out"), format!("{number}.log"));
        let (out, log) = (self.file(&out), self.file(&log));
        let child = self
            .command(&["serve"], settings)
            .stdout(File::create(&out).expect("the folder can be written"))
            .stderr(File::create(&log).expect("the folder can be written"))
            .spawn();
        let mut gateway = Gateway {
            child: child.expect("the program starts"),
            out,
            log,
        };
        let up = async {
            let mut again = tokio::time::interval(Duration::from_millis(10));
            while !gateway.banner().contains("  Watch ") {
                again.tick().await;
                let status = gateway.child.try_wait().expect("it is our child");
                assert!(status.is_none(), "{status:?}: {}", gateway.log());
            }
        };
        let up = tokio::time::timeout(PATIENCE, up).await;
        assert!(up.is_ok(), "not up: {}", gateway.log());
        gateway
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

/// A running gateway; killed with the test.
pub struct Gateway {
    child: Child,
    out: PathBuf,
    log: PathBuf,
}

impl Gateway {
    /// Standard output so far.
    pub fn banner(&self) -> String {
        std::fs::read_to_string(&self.out).expect("it is text")
    }

    /// Standard error so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).expect("it is text")
    }

    /// The address in the banner's line of this name.
    fn told(&self, name: &str) -> SocketAddr {
        let banner = self.banner();
        let line = banner
            .lines()
            .find(|line| line.trim_start().starts_with(name));
        let address = line.and_then(|line| line.split("://").nth(1)?.split(['/', '?']).next());
        let address = address.unwrap_or_else(|| panic!("no {name} in {banner}"));
        address.parse().expect("an address")
    }

    pub fn http(&self) -> SocketAddr {
        self.told("Watch")
    }

    pub fn console(&self) -> SocketAddr {
        self.told("Console")
    }

    pub fn rtmp(&self) -> SocketAddr {
        self.told("RTMP URL")
    }

    pub fn srt(&self) -> SocketAddr {
        self.told("SRT URL")
    }

    /// Resident memory, bytes.
    pub fn memory_bytes(&self) -> u64 {
        let id = self.child.id().expect("it runs");
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        kilobytes.expect("a size") * 1024
    }

    /// What it has had of processors so far, in ticks of which Linux has a hundred a second.
    pub fn processor_ticks(&self) -> u64 {
        let id = self.child.id().expect("it runs");
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).expect("it runs");
        // proc(5): utime and stime are 14 and 15; the name, which is 2, ends with the last bracket.
        let (_, fields) = stat.rsplit_once(')').expect("a name");
        let ticks = fields.split_whitespace().skip(11).take(2);
        ticks
            .map(|field| field.parse::<u64>().expect("a number"))
            .sum()
    }

    /// From the log, in its text form.
    pub fn rtmps(&self) -> SocketAddr {
        let log = self.log();
        let line = log.lines().find(|line| line.contains("FOREBAY_RTMPS"));
        let address = line.and_then(|line| line.split("address=").nth(1));
        address
            .expect("it listens")
            .trim()
            .parse()
            .expect("an address")
    }

    pub async fn get(&self, path: &str) -> Answer {
        http::get(self.http(), path).await
    }

    /// The default channel's stream, once it is listed.
    pub async fn stream_id(&self) -> String {
        self.until("a stream", async || {
            let answer = self.get("/hls/live/index.m3u8").await;
            let location = answer.header("location")?;
            Some(location.split('/').nth(2)?.to_owned())
        })
        .await
    }

    /// Asks again and again, until there is an answer.
    pub async fn until<T>(&self, what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
        let asking = async {
            let mut again = tokio::time::interval(Duration::from_millis(20));
            loop {
                again.tick().await;
                if let Some(answer) = ask().await {
                    return answer;
                }
            }
        };
        let outcome = tokio::time::timeout(PATIENCE, asking).await;
        outcome.unwrap_or_else(|_| panic!("no {what} after {PATIENCE:?}: {}", self.log()))
    }

    /// Sends a signal by its name, such as `TERM`.
    pub async fn signal(&self, name: &str) {
        let id = self.child.id().expect("it runs").to_string();
        assert!(signal(&id, name), "the gateway takes {name}");
    }

    /// Its process.
    pub fn id(&self) -> String {
        self.child.id().expect("it runs").to_string()
    }

    /// Processes that it has started and that still run.
    pub fn children(&self) -> Vec<String> {
        children(self.child.id().expect("it runs"))
    }

    /// Takes it away without a goodbye.
    pub async fn kill(mut self) {
        self.child.kill().await.expect("it is our child");
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().expect("it is our child").is_none()
    }

    /// Waits for the end; the exit code.
    pub async fn ended(&mut self, within: Duration) -> Option<i32> {
        let status = tokio::time::timeout(within, self.child.wait()).await;
        let status = status.unwrap_or_else(|_| panic!("runs after {within:?}: {}", self.log()));
        status.expect("it is our child").code()
    }

    /// SIGTERM, and a good end.
    pub async fn stop(mut self) -> String {
        self.signal("TERM").await;
        assert_eq!(self.ended(PATIENCE).await, Some(0), "{}", self.log());
        self.log()
    }
}

/// Sends a signal to a process that the test has started; whether it was there.
pub fn signal(id: &str, name: &str) -> bool {
    let kill = std::process::Command::new("kill")
        .args(["-s", name, id])
        .status();
    kill.expect("kill is there").success()
}

/// Processes that this one has started and that still run.
pub fn children(process: u32) -> Vec<String> {
    // Each thread has its own.
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).expect("it runs");
    let lists =
        tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("children")).ok());
    let lists: Vec<String> = lists.collect();
    let ids = lists.iter().flat_map(|list| list.split_whitespace());
    ids.map(str::to_owned).collect()
}
