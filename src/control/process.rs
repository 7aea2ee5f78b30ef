//! What the kernel knows of this process.

/// Clock ticks per second in `/proc`: fixed in the kernel's interface to programs.
const TICKS_PER_SECOND: f64 = 100.0;

/// Memory and processor time of this process.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Usage {
    /// Resident memory, bytes.
    pub(super) resident_bytes: u64,
    /// Processor time so far, user and system, seconds.
    pub(super) cpu_seconds: f64,
}

/// Reads `/proc`; `None` where there is none.
pub(super) fn usage() -> Option<Usage> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    parse(&status, &stat)
}

fn parse(status: &str, stat: &str) -> Option<Usage> {
    let resident = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = resident.trim().strip_suffix("kB")?.trim().parse().ok()?;
    // proc(5): the name in parentheses may hold blanks; utime and stime are fields 14 and 15.
    let (_, fields) = stat.rsplit_once(')')?;
    let ticks = |index: usize| fields.split_whitespace().nth(index)?.parse::<f64>().ok();
    Some(Usage {
        resident_bytes: kilobytes.checked_mul(1024)?,
        cpu_seconds: (ticks(11)? + ticks(12)?) / TICKS_PER_SECOND,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_is_read_from_proc_even_when_the_name_has_blanks_and_parentheses() {
        let status = "Name:\tfore bay\nVmPeak:\t  9 kB\nVmRSS:\t   1234 kB\nThreads:\t3\n";
        let stat = "7 (fore) bay) S 1 7 7 0 -1 4194560 1 2 3 4 150 50 5 6 20 0 3 0 9 8 7";
        assert_eq!(
            parse(status, stat),
            Some(Usage {
                resident_bytes: 1234 * 1024,
                cpu_seconds: 2.0,
            })
        );
        assert_eq!(parse("", stat), None);
        assert_eq!(parse(status, "7 (x"), None);
    }

    #[test]
    fn this_process_has_memory() {
        let usage = usage().unwrap();
        assert!(usage.resident_bytes > 1 << 20);
    }
}
