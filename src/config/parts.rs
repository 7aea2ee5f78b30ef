//! Which PART-TARGET goes with a wanted part length.

use std::time::Duration;

/// Nanoseconds per frame of the usual rates: 24, 25, 29.97, 30, 50, 59.94 and 60 pictures per
/// second, and 1024 samples of AAC at 44.1 and 48 kHz.
const FRAMES_NS: [u64; 9] = [
    41_666_667, 40_000_000, 33_366_667, 33_333_334, 20_000_000, 16_683_334, 16_666_667, 23_219_955,
    AAC_48K_NS,
];

/// 1024 samples at 48 kHz, rounded up.
const AAC_48K_NS: u64 = 21_333_334;

/// Playlists state PART-TARGET in steps of 0.1 ms.
const STEP_NS: u64 = 100_000;

/// The PART-TARGET for parts of about `part`: the smallest one, not below `part`, at which every
/// usual frame rate has a whole number of frames between 85 % of it and all of it (RFC 8216bis
/// §4.4.4.9 wants parts of at least 85 %). It is then rounded up to whole AAC frames of 48 kHz where
/// that is as legal, so that audio parts are as full as video parts: 200 ms becomes 213.4 ms.
pub fn part_target(part: Duration) -> Duration {
    let wanted_ns = u64::try_from(part.as_nanos()).unwrap_or(u64::MAX / 4);
    let first = wanted_ns.div_ceil(STEP_NS) * STEP_NS;
    // Twice the length holds twice the frames with twice the tolerance: the search ends below it.
    let smallest_ns = (first..=first.saturating_mul(2))
        .step_by(usize::try_from(STEP_NS).expect("a small constant"))
        .find(|target| is_legal(*target))
        .unwrap_or(first);
    let full_ns = (smallest_ns.div_ceil(AAC_48K_NS) * AAC_48K_NS).div_ceil(STEP_NS) * STEP_NS;
    Duration::from_nanos(if is_legal(full_ns) {
        full_ns
    } else {
        smallest_ns
    })
}

/// Whether every usual frame rate has a whole number of frames that makes a legal part.
fn is_legal(target_ns: u64) -> bool {
    FRAMES_NS.iter().all(|frame_ns| {
        let count = target_ns / frame_ns;
        count > 0 && count * frame_ns * 100 >= target_ns * 85
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn part_targets_of_usual_lengths() {
        let table = [
            (100, 1335),
            (133, 1335),
            (150, 1707),
            (200, 2134),
            (213, 2134),
            (250, 2561),
            (333, 3414),
            (500, 5121),
            (1000, 10027),
        ];
        for (part_ms, target) in table {
            let got = part_target(Duration::from_millis(part_ms));
            assert_eq!(got.as_micros(), target * 100, "part of {part_ms} ms");
        }
    }

    #[test]
    fn the_default_holds_the_counts_that_the_design_names() {
        let target_ns = 213_400_000;
        let counts = FRAMES_NS.map(|frame_ns| target_ns / frame_ns);
        assert_eq!(counts, [5, 5, 6, 6, 10, 12, 12, 9, 10]);
    }

    #[test]
    fn every_allowed_length_gets_a_legal_target_close_above_it() {
        for part_ms in 100..=1000 {
            let target = part_target(Duration::from_millis(part_ms));
            let target_ns = u64::try_from(target.as_nanos()).unwrap();
            assert!(is_legal(target_ns), "part of {part_ms} ms: {target:?}");
            assert!(target >= Duration::from_millis(part_ms));
            assert!(target <= Duration::from_millis(part_ms).mul_f64(1.36));
        }
    }
}
