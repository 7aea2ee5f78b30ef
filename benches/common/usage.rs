//! CPU time and memory of processes, from /proc. CPU is user and system time of all threads, never
//! wall-clock time, so that a busy machine costs accuracy and not the meaning.

use std::fs;
use std::path::{Path, PathBuf};

/// Kernel clock ticks a second in /proc/PID/stat: 100 on every Linux that is in use (`getconf CLK_TCK`).
const TICKS_PER_SECOND: f64 = 100.0;

/// CPU seconds of the living threads of a process, to the nanosecond.
pub fn cpu_seconds(pid: u32) -> f64 {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return f64::NAN;
    };
    let of_thread = |thread: fs::DirEntry| {
        let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<f64>().ok()
    };
    threads.flatten().filter_map(of_thread).sum::<f64>() / 1e9
}

/// CPU seconds of a process, its living descendants, and the descendants it has waited for.
pub fn tree_cpu_seconds(pid: u32) -> f64 {
    let own: f64 = stat(&pid.to_string()).map_or(0.0, |fields| fields.iter().sum());
    own + children(pid).into_iter().map(tree_cpu_seconds).sum::<f64>()
}

/// CPU seconds of the children that this process has waited for, theirs included.
pub fn waited_cpu_seconds() -> f64 {
    stat("self").map_or(f64::NAN, |fields| fields[2] + fields[3])
}

/// utime, stime, cutime, cstime (proc(5)), seconds.
fn stat(process: &str) -> Option<[f64; 4]> {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The second field is the program's name in parentheses, which may hold blanks.
    let (_, rest) = text.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split(' ').collect();
    let seconds = |index: usize| Some(fields.get(index)?.parse::<f64>().ok()? / TICKS_PER_SECOND);
    Some([seconds(11)?, seconds(12)?, seconds(13)?, seconds(14)?])
}

/// Living children of all threads.
pub fn children(pid: u32) -> Vec<u32> {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return Vec::new();
    };
    let lists = threads
        .flatten()
        .filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    lists
        .flat_map(|list| {
            list.split_whitespace()
                .filter_map(|id| id.parse().ok())
                .collect::<Vec<u32>>()
        })
        .collect()
}

/// Times that the living threads of a process have gone to sleep of their own accord, which is how often
/// they were woken.
pub fn sleeps(pid: u32) -> f64 {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return f64::NAN;
    };
    let of_thread =
        |thread: fs::DirEntry| field(&thread.path().join("status"), "voluntary_ctxt_switches:");
    threads.flatten().filter_map(of_thread).sum()
}

/// Living threads.
pub fn threads(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count)
}

/// Bytes that a process has written, to files and to nowhere alike.
pub fn written_bytes(pid: u32) -> f64 {
    field(&of_process(pid, "io"), "wchar:").unwrap_or(f64::NAN)
}

/// Resident memory, MB of 10^6 bytes.
pub fn rss_mb(pid: u32) -> f64 {
    memory_mb(pid, "VmRSS:")
}

/// The most that was ever resident, MB of 10^6 bytes.
pub fn peak_rss_mb(pid: u32) -> f64 {
    memory_mb(pid, "VmHWM:")
}

fn memory_mb(pid: u32, name: &str) -> f64 {
    let kib = field(&of_process(pid, "status"), name);
    kib.map_or(f64::NAN, |kib| kib * 1024.0 / 1e6)
}

fn of_process(pid: u32, file: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/{file}"))
}

/// The number behind a name in a file of lines such as `VmRSS:  1234 kB`, its unit left out.
fn field(file: &Path, name: &str) -> Option<f64> {
    let text = fs::read_to_string(file).ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix(name))?;
    value.split_whitespace().next()?.parse().ok()
}

/// Runnable processes over the last minute: how busy the machine is with other things.
pub fn load_average() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or("?").to_owned()
}
