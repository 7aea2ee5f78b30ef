//! The servers that are compared, each a process with settings and a folder of its own.

use std::fmt::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use super::{Scratch, free_port, free_udp_port, http};

/// Stream keys of [`Forebay`] begin with this; a number follows.
pub const KEY_PREFIX: &str = "BenchKey-";
/// No server takes longer to begin, and no stream to be listed.
const PATIENCE: Duration = Duration::from_secs(40);

/// The release binary of this build. Another one can be named, to compare two builds.
pub fn binary() -> PathBuf {
    std::env::var_os("BENCH_BINARY")
        .map_or_else(|| env!("CARGO_BIN_EXE_forebay").into(), PathBuf::from)
}

/// A server that ends with the value.
pub struct Process(Child);

impl Process {
    /// Returns when it listens on these TCP addresses.
    pub fn start(command: &mut Command, listens: &[SocketAddr]) -> Process {
        let log = std::env::var_os("BENCH_LOG").is_some();
        let err = if log { Stdio::inherit() } else { Stdio::null() };
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(err)
            .spawn();
        let process = Process(child.unwrap_or_else(|err| panic!("{command:?}: {err}")));
        for address in listens {
            until(&format!("listener on {address}"), || {
                TcpStream::connect(address).ok()
            });
        }
        process
    }

    pub fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Looks again and again until there is something.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begin.elapsed() < PATIENCE, "no {what} after {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Our gateway with channels `b0`, `b1`, … on the keys `BenchKey-0`, ….
pub struct Forebay {
    process: Process,
    pub http: SocketAddr,
    pub rtmp: SocketAddr,
    pub srt: SocketAddr,
    _folder: Scratch,
}

impl Forebay {
    /// `more`: settings from the environment, such as `("FOREBAY_LADDER", "off")`.
    pub fn start(channels: usize, more: &[(&str, &str)]) -> Forebay {
        let folder = Scratch::new("forebay");
        let (http, rtmp, srt) = (free_port(), free_port(), free_udp_port());
        let data = folder.path().join("data");
        let mut config = format!(
            "[listen]\nhttp = \"{http}\"\nrtmp = \"{rtmp}\"\nsrt = \"{srt}\"\n[storage]\ndata = \"{}\"\n",
            data.display()
        );
        for index in 0..channels {
            let _ = write!(
                config,
                "[[channel]]\nalias = \"b{index}\"\nkey = \"{KEY_PREFIX}{index}\"\n"
            );
        }
        let file = folder.path().join("forebay.toml");
        std::fs::write(&file, config).expect("the scratch folder can be written");
        let mut command = Command::new(binary());
        command
            .arg("serve")
            .env("FOREBAY_CONFIG", &file)
            .envs(more.iter().copied());
        let process = Process::start(&mut command, &[http, rtmp]);
        Forebay {
            process,
            http,
            rtmp,
            srt,
            _folder: folder,
        }
    }

    pub fn pid(&self) -> u32 {
        self.process.0.id()
    }

    /// The folder of a channel's stream, once its multivariant playlist is there.
    pub fn stream(&self, channel: usize) -> String {
        let path = format!("/hls/b{channel}/index.m3u8");
        until(&path, || {
            let answer = http::get(self.http, &path).ok()?;
            let place = answer.header("location")?;
            let path = &place[place.find("/hls/")?..];
            let listed = http::get(self.http, path).is_ok_and(|answer| answer.status == 200);
            listed.then(|| path.trim_end_matches("/index.m3u8").to_owned())
        })
    }

    /// Channels whose source's playlist ends with a date that is no older than this.
    pub fn fresh(&self, channels: usize, within: Duration) -> usize {
        let is_fresh = |&channel: &usize| {
            let path = format!("{}/source/index.m3u8", self.stream(channel));
            http::get(self.http, &path).is_ok_and(|answer| newest_age(&answer.text()) < within)
        };
        (0..channels).filter(is_fresh).count()
    }

    /// The sum of a figure over all channels.
    pub fn metric(&self, name: &str) -> f64 {
        let text = http::get(self.http, "/metrics")
            .expect("metrics are served")
            .text();
        let lines = text.lines().filter(|line| {
            line.strip_prefix(name)
                .is_some_and(|rest| rest.starts_with(['{', ' ']))
        });
        lines
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }
}

/// nginx with the RTMP module, one process, TS files of 2 s in memory.
pub struct NginxRtmp {
    process: Process,
    pub rtmp: SocketAddr,
    folder: Scratch,
}

impl NginxRtmp {
    pub fn start() -> NginxRtmp {
        let folder = Scratch::new("nginx-rtmp");
        let rtmp = free_port();
        let body = format!(
            "rtmp {{ access_log off; server {{ listen {rtmp}; application live {{ live on; hls on; \
             hls_path {}; hls_fragment 2s; hls_playlist_length 60s; }} }} }}",
            folder.path().display()
        );
        let process = nginx(&folder, &body, "ngx_rtmp_module.so", &[rtmp]);
        NginxRtmp {
            process,
            rtmp,
            folder,
        }
    }

    pub fn pid(&self) -> u32 {
        self.process.0.id()
    }

    /// Playlists of streams that were written within this time.
    pub fn fresh(&self, within: Duration) -> usize {
        fresh_playlists(self.folder.path(), within)
    }
}

/// Playlists in a folder that were written within this time.
pub fn fresh_playlists(folder: &Path, within: Duration) -> usize {
    let files = std::fs::read_dir(folder).into_iter().flatten();
    let fresh = |file: std::fs::DirEntry| {
        let is_playlist = file.path().extension().is_some_and(|end| end == "m3u8");
        let age = file.metadata().ok()?.modified().ok()?.elapsed().ok()?;
        (is_playlist && age < within).then_some(())
    };
    files.flatten().filter_map(fresh).count()
}

/// How long ago the newest date of a media playlist was; a day when it has none.
fn newest_age(playlist: &str) -> Duration {
    const DAY: f64 = 86_400.0;
    let dates = playlist
        .lines()
        .filter_map(|line| line.strip_prefix("#EXT-X-PROGRAM-DATE-TIME:"));
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .expect("after 1970")
        .as_secs_f64();
    let age = dates.filter_map(seconds_of_day).next_back().map(|newest| {
        let age = (now.rem_euclid(DAY) - newest).rem_euclid(DAY);
        // A date that is a little ahead is not a day old.
        if age > DAY - 1.0 { 0.0 } else { age }
    });
    Duration::from_secs_f64(age.unwrap_or(DAY))
}

/// `2026-11-22T04:43:27.120Z` to seconds since midnight.
fn seconds_of_day(date: &str) -> Option<f64> {
    let mut fields = date.split_once('T')?.1.trim_end_matches('Z').split(':');
    let mut next = || fields.next()?.parse::<f64>().ok();
    Some(next()? * 3600.0 + next()? * 60.0 + next()?)
}

/// A file's name, bytes and headers.
pub type File<'a> = (&'a str, &'a [u8], Vec<(String, String)>);

/// nginx as a server of files, one process, sendfile.
pub struct NginxFiles {
    process: Process,
    pub http: SocketAddr,
    folder: Scratch,
}

impl NginxFiles {
    /// Files of these names and bytes, each with these headers beside those that nginx makes.
    pub fn start(files: &[File<'_>]) -> NginxFiles {
        let folder = Scratch::new("nginx-files");
        let root = folder.path().join("root");
        std::fs::create_dir_all(&root).expect("the scratch folder can be written");
        let http = free_port();
        let mut locations = String::new();
        for (name, bytes, headers) in files {
            std::fs::write(root.join(name), bytes).expect("the scratch folder can be written");
            let own = [
                "content-type",
                "content-length",
                "date",
                "server",
                "connection",
                "etag",
            ];
            let _ = write!(locations, "location = /{name} {{ types {{ }} ");
            for (key, value) in headers {
                if key.eq_ignore_ascii_case("content-type") {
                    let _ = write!(locations, "default_type \"{value}\"; ");
                } else if !own.iter().any(|name| key.eq_ignore_ascii_case(name)) {
                    let value = value.replace('"', "\\\"");
                    let _ = write!(locations, "add_header {key} \"{value}\"; ");
                }
            }
            locations.push_str("} ");
        }
        let body = format!(
            "http {{ access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000; \
             open_file_cache max=100; server {{ listen {http}; root {}; {locations} }} }}",
            root.display()
        );
        let process = nginx(&folder, &body, "", &[http]);
        NginxFiles {
            process,
            http,
            folder,
        }
    }

    pub fn pid(&self) -> u32 {
        self.process.0.id()
    }

    /// Where its files lie.
    pub fn folder(&self) -> PathBuf {
        self.folder.path().join("root")
    }
}

fn nginx(folder: &Scratch, body: &str, module: &str, listens: &[SocketAddr]) -> Process {
    let here = folder.path().display();
    let module = match module {
        "" => String::new(),
        module => format!("load_module /usr/lib/nginx/modules/{module};"),
    };
    let config = format!(
        "{module} daemon off; master_process off; worker_processes 1; pid {here}/nginx.pid; \
         error_log {here}/error.log; events {{ worker_connections 4096; }} {body}"
    );
    let file = folder.path().join("nginx.conf");
    std::fs::write(&file, config).expect("the scratch folder can be written");
    let program = ["/usr/sbin/nginx", "/usr/bin/nginx"];
    let program = program
        .iter()
        .find(|path| std::path::Path::new(path).is_file());
    let mut command = Command::new(program.unwrap_or(&"nginx"));
    command
        .arg("-e")
        .arg(folder.path().join("error.log"))
        .arg("-c")
        .arg(&file);
    Process::start(&mut command, listens)
}
