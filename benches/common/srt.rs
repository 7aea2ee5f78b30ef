//! SRT callers, all in one process, and the servers that take them beside ours.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::server::{Process, fresh_playlists, until};
use super::{Scratch, clip, free_port, free_udp_port, usage};

/// Milliseconds; what libsrt has by default, and here every server and every caller.
pub const LATENCY_MS: u32 = 120;
/// Bytes of transport stream in a packet, as every encoder sends them: seven packets of 188.
const PAYLOAD_BYTES: u32 = 1316;
/// Seconds over which the beginnings are spread, so that callers do not march in step. ffmpeg sends the
/// first packet at once and the rest when it is due: from a second on, that would be a silence.
const SPREAD_SECONDS: f64 = 0.9;

/// Callers that send the clip again and again in real time, in one ffmpeg, so that sending costs the
/// machine little and the same whoever receives. Ended with the value.
pub struct Callers(Child);

impl Callers {
    /// To addresses such as `srt://127.0.0.1:9000?streamid=key`; returns at once.
    pub fn start(addresses: &[String]) -> Callers {
        let clip = clip::live();
        let step = SPREAD_SECONDS / addresses.len().max(1) as f64;
        let mut command = Command::new("ffmpeg");
        command.args(["-v", "error", "-nostdin"]);
        for index in 0..addresses.len() {
            let offset = format!("{:.3}", step * index as f64);
            command.args(["-re", "-stream_loop", "-1", "-itsoffset", &offset, "-i"]);
            command.arg(&clip);
        }
        for (index, address) in addresses.iter().enumerate() {
            let join = if address.contains('?') { '&' } else { '?' };
            let latency_us = LATENCY_MS * 1000;
            command
                .args(["-map", &index.to_string(), "-c", "copy", "-f", "mpegts"])
                .arg(format!(
                    "{address}{join}pkt_size={PAYLOAD_BYTES}&latency={latency_us}"
                ));
        }
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("ffmpeg is installed");
        Callers(child)
    }

    /// Whether none of them was cut off: ffmpeg ends with the first that is.
    pub fn all_connected(&mut self) -> bool {
        matches!(self.0.try_wait(), Ok(None))
    }
}

impl Drop for Callers {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A server with what the bench wants to know of it.
pub trait Peer {
    /// Where callers send to, one each.
    fn addresses(&self) -> Vec<String>;
    /// Its processes.
    fn pids(&self) -> Vec<u32>;
    /// Streams that it keeps up with.
    fn fresh(&self, within: Duration) -> usize;
}

/// Processes that each listen for one caller, and where.
struct Listeners(Vec<(Process, SocketAddr)>);

impl Listeners {
    /// `start` takes the index and the address of each; returns when all of them listen.
    fn start(count: usize, start: impl Fn(usize, SocketAddr) -> Process) -> Listeners {
        let start = |index| {
            let address = free_udp_port();
            (start(index, address), address)
        };
        let processes: Vec<_> = (0..count).map(start).collect();
        for (_, address) in &processes {
            until_bound(*address);
        }
        Listeners(processes)
    }

    fn addresses(&self) -> Vec<String> {
        let address = |(_, address): &(Process, SocketAddr)| format!("srt://{address}");
        self.0.iter().map(address).collect()
    }

    fn pids(&self) -> Vec<u32> {
        self.0.iter().map(|(one, _)| one.pid()).collect()
    }
}

/// libsrt alone: for each caller an `srt-live-transmit` that throws away what it receives.
pub struct Transmit {
    listeners: Listeners,
}

impl Transmit {
    pub fn start(count: usize) -> Transmit {
        let start = |_, address| {
            let mut command = Command::new("srt-live-transmit");
            command.arg("-q").arg(format!(
                "srt://{address}?mode=listener&latency={LATENCY_MS}"
            ));
            // Standard output, which is nowhere.
            command.arg("file://con");
            Process::start(&mut command, &[])
        };
        Transmit {
            listeners: Listeners::start(count, start),
        }
    }
}

impl Peer for Transmit {
    fn addresses(&self) -> Vec<String> {
        self.listeners.addresses()
    }

    fn pids(&self) -> Vec<u32> {
        self.listeners.pids()
    }

    /// Those that have handed on anything lately.
    fn fresh(&self, within: Duration) -> usize {
        let written = || self.pids().into_iter().map(usage::written_bytes);
        let before: Vec<f64> = written().collect();
        std::thread::sleep(within / 10);
        let more = written().zip(before).filter(|(now, before)| now > before);
        more.count()
    }
}

/// ffmpeg listening, one process for each caller, TS files of 2 s in memory.
pub struct Ffmpeg {
    listeners: Listeners,
    folder: Scratch,
}

impl Ffmpeg {
    pub fn start(count: usize) -> Ffmpeg {
        let folder = Scratch::new("srt-ffmpeg");
        let start = |index, address| {
            let latency_us = LATENCY_MS * 1000;
            let mut command = Command::new("ffmpeg");
            command
                .args(["-v", "error", "-nostdin", "-i"])
                .arg(format!(
                    "srt://{address}?mode=listener&latency={latency_us}"
                ))
                .args(["-c", "copy", "-f", "hls", "-hls_time", "2"])
                .args(["-hls_list_size", "30", "-hls_flags", "delete_segments"])
                .arg(folder.path().join(format!("{index}.m3u8")));
            Process::start(&mut command, &[])
        };
        let listeners = Listeners::start(count, start);
        Ffmpeg { listeners, folder }
    }
}

impl Peer for Ffmpeg {
    fn addresses(&self) -> Vec<String> {
        self.listeners.addresses()
    }

    fn pids(&self) -> Vec<u32> {
        self.listeners.pids()
    }

    fn fresh(&self, within: Duration) -> usize {
        fresh_playlists(self.folder.path(), within)
    }
}

/// SRS, TS files of 2 s in memory.
pub struct Srs {
    process: Process,
    srt: SocketAddr,
    count: usize,
    folder: Scratch,
}

impl Srs {
    /// The binary named by `SRS`, which no package has.
    pub fn binary() -> Option<PathBuf> {
        let file = PathBuf::from(std::env::var_os("SRS")?);
        assert!(file.is_file(), "SRS={}: no such file", file.display());
        Some(file)
    }

    pub fn start(binary: &PathBuf, count: usize) -> Srs {
        let folder = Scratch::new("srs");
        let (rtmp, srt) = (free_port(), free_udp_port());
        let (here, port) = (folder.path().display(), srt.port());
        // One thread, as always; delivery by time stamps, as libsrt and SRS have it by default.
        let config = format!(
            "listen {rtmp}; max_connections 1000; daemon off; pid {here}/srs.pid;
             srs_log_tank console; srs_log_level_v2 warn; stats {{ network 0; }}
             srt_server {{ enabled on; listen {port}; latency {LATENCY_MS}; }}
             vhost __defaultVhost__ {{
               srt {{ enabled on; srt_to_rtmp on; }}
               hls {{ enabled on; hls_path {here}; hls_fragment 2; hls_window 60;
                      hls_ctx off; hls_ts_ctx off; }}
             }}"
        );
        let file = folder.path().join("srs.conf");
        fs::write(&file, config).expect("the scratch folder can be written");
        let mut command = Command::new(binary);
        command.arg("-c").arg(&file).current_dir(folder.path());
        let process = Process::start(&mut command, &[rtmp]);
        until_bound(srt);
        Srs {
            process,
            srt,
            count,
            folder,
        }
    }
}

impl Peer for Srs {
    fn addresses(&self) -> Vec<String> {
        let srt = self.srt;
        let address = |index| format!("srt://{srt}?streamid=#!::r=live/b{index},m=publish");
        (0..self.count).map(address).collect()
    }

    fn pids(&self) -> Vec<u32> {
        vec![self.process.pid()]
    }

    fn fresh(&self, within: Duration) -> usize {
        fresh_playlists(&self.folder.path().join("live"), within)
    }
}

/// Waits until some process has bound this UDP port.
pub fn until_bound(address: SocketAddr) {
    // Local addresses of proc_net_udp(5) end in the port in hex digits.
    let port = format!(":{:04X}", address.port());
    until(&format!("listener on UDP {address}"), || {
        let bound = ["/proc/net/udp", "/proc/net/udp6"].iter().any(|table| {
            let text = fs::read_to_string(table).unwrap_or_default();
            text.lines()
                .filter_map(|line| line.split_whitespace().nth(1))
                .any(|local| local.ends_with(&port))
        });
        bound.then_some(())
    });
}
