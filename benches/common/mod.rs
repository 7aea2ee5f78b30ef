//! What the benches share: a clip, a load of publishers in a process of their own, the servers that are
//! compared, readings of their CPU and memory, tables. Nothing here but the standard library, so that a
//! bench costs the machine as little as it can.

pub mod clip;
pub mod http;
pub mod load;
pub mod rtmp;
pub mod server;
pub mod socket;
pub mod srt;
pub mod table;
pub mod tenant;
pub mod usage;

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A port of the loopback that is free now.
pub fn free_port() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has ports");
    listener.local_addr().expect("bound")
}

/// The same for UDP.
pub fn free_udp_port() -> SocketAddr {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has ports");
    socket.local_addr().expect("bound")
}

/// A folder in memory, so that no disk is measured; removed with the value.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new(name: &str) -> Scratch {
        let memory = Path::new("/dev/shm");
        let base = if memory.is_dir() {
            memory.to_owned()
        } else {
            std::env::temp_dir()
        };
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = base.join(format!(
            "forebay-bench-{}-{name}-{number}",
            std::process::id()
        ));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).expect("a scratch folder can be made");
        Scratch(folder)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Numbers on the command line (`cargo bench --bench ingest -- 10 100`), or these.
pub fn numbers(default: &[usize]) -> Vec<usize> {
    let given: Vec<usize> = std::env::args()
        .skip(1)
        .filter_map(|word| word.parse().ok())
        .collect();
    if given.is_empty() {
        default.to_vec()
    } else {
        given
    }
}

/// Prints why a bench measures nothing here, and whether to stop.
pub fn missing(program: &str) -> bool {
    let found = std::env::var_os("PATH").is_some_and(|path| {
        std::env::split_paths(&path)
            .chain([PathBuf::from("/usr/sbin")])
            .any(|folder| folder.join(program).is_file())
    });
    if !found {
        println!("skipped: {program} is not installed (docker/install-deps.sh --bench)");
    }
    !found
}

/// The value in the middle; the lower one of two.
pub fn median(values: &mut [f64]) -> f64 {
    quantile(values, 0.5)
}

/// The value below which a share of the others lies; NaN of nothing.
pub fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    let index = (last as f64 * share).floor() as usize;
    values.get(index).copied().unwrap_or(f64::NAN)
}
