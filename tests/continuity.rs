//! Nothing an encoder does makes a viewer reload: the promise as a table of what encoders, networks and
//! clocks do, and of what viewers see meanwhile. On a simulated clock, through the real hub and the
//! real packagers.
//!
//! Each run is watched as players watch: every 200 ms all playlists and manifests are made and checked
//! against the conformance rules and against the ones before (P1-P5, P8-P10, D1-D5, S1-S7, L1-L9), and
//! nothing that was listed may change. At the end [`watch::Watch::assert_agreement`] asks that sequence
//! numbers neither fall nor skip, that every rendition has the same segments at the same times, that
//! times meet without hole or overlap, and that DASH tells the times of HLS (X1).
//!
//! | item | where |
//! |---|---|
//! | X3, P2, D1-D3, S1, S7 | [`absence`] |
//! | decision 9, holes | [`absence`] |
//! | decision 10, several encoders on a key | [`members`] |
//! | decisions 3 and 15, other settings | [`changes`] |
//! | S5, X5, decision 11 | [`clocks`] |
//! | ends of broadcasts: contract, broadcasts, section 4.2 | [`endings`] |
//! | forks: contract, channels, section 7 | [`forks`] |
//! | P2 over a day, memory | [`long_run`] |

mod absence;
mod bench;
mod changes;
mod clocks;
mod encoder;
mod endings;
mod forks;
mod long_run;
mod members;
mod watch;
mod worker;

use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};

use bench::Bench;

/// How old the end of a rendition is when media flow: a part, a frame, and what a decoder holds.
const LIVE_EDGE_MS: i64 = 400;

/// At the end of a test: nobody was torn off, and everything is at the live edge.
#[track_caller]
fn assert_well(mut bench: Bench) {
    assert_eq!(bench.streams().len(), 1);
    let lip_sync = bench.lip_sync_ms();
    assert!(lip_sync <= 20, "sound is {lip_sync} ms off");
    for (name, age) in bench.ages() {
        assert!(age <= LIVE_EDGE_MS, "{name} is {age} ms old");
    }
    bench.watch().assert_agreement();
}

/// Runs a test for every line of its table, and names the lines that fail.
#[track_caller]
fn each<T: Debug + Copy>(table: &[T], test: impl Fn(T)) {
    let failed: Vec<String> = table
        .iter()
        .filter(|line| catch_unwind(AssertUnwindSafe(|| test(**line))).is_err())
        .map(|line| format!("{line:?}"))
        .collect();
    assert!(failed.is_empty(), "failed: {failed:#?}");
}
