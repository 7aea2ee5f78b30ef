//! Figures of forwards, by the kind of their destinations: where each one goes is said by lists, not by labels.

use std::fmt;

use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use super::family;

/// All forwards to one kind of destination. Totals count since the gateway's start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ForwardStats {
    /// `livekit`, `whip`, `rtmp`, …
    pub kind: &'static str,
    /// How many there are in each state: the word for it, and the count.
    pub states: Vec<(&'static str, u64)>,
    /// Attempts to reach a destination.
    pub attempts: u64,
    /// Attempts that failed, at once or after a while.
    pub failures: u64,
    /// Packets or messages sent.
    pub packets: u64,
    /// Bytes sent.
    pub bytes: u64,
    /// Packets sent once more because they were asked for.
    pub repeated_packets: u64,
    /// Key units that destinations asked for.
    pub wanted_key_units: u64,
    /// Units dropped because a destination was too slow.
    pub dropped_units: u64,
}

type Counter = fn(&ForwardStats) -> u64;

const COUNTERS: [(&str, &str, Counter); 7] = [
    (
        "forebay_forward_attempts",
        "Attempts to reach a destination",
        |forwards| forwards.attempts,
    ),
    (
        "forebay_forward_failures",
        "Attempts to reach a destination that failed, at once or after a while",
        |forwards| forwards.failures,
    ),
    (
        "forebay_forward_packets",
        "Packets or messages sent to destinations",
        |forwards| forwards.packets,
    ),
    (
        "forebay_forward_bytes",
        "Bytes sent to destinations",
        |forwards| forwards.bytes,
    ),
    (
        "forebay_forward_repeated_packets",
        "Packets sent once more because a destination asked for them",
        |forwards| forwards.repeated_packets,
    ),
    (
        "forebay_forward_wanted_key_units",
        "Key units that destinations asked for",
        |forwards| forwards.wanted_key_units,
    ),
    (
        "forebay_forward_dropped_units",
        "Units dropped because a destination was too slow",
        |forwards| forwards.dropped_units,
    ),
];

/// Writes them.
pub(super) fn encode(
    encoder: &mut DescriptorEncoder<'_>,
    forwards: &[ForwardStats],
) -> fmt::Result {
    let kind = |forwards: &ForwardStats| ("kind", forwards.kind.to_owned());
    let states = forwards.iter().flat_map(|forwards| {
        let states = forwards.states.iter();
        states.map(move |(state, count)| {
            let labels = vec![kind(forwards), ("state", (*state).to_owned())];
            (labels, ConstGauge::new(*count))
        })
    });
    let name = (
        "forebay_forwards",
        "Streams on their way to a destination, by their state",
    );
    family(encoder, name, states)?;
    for (name, help, read) in COUNTERS {
        let values = forwards.iter().map(|forwards| {
            let labels = vec![kind(forwards)];
            (labels, ConstCounter::new(read(forwards)))
        });
        family(encoder, (name, help), values)?;
    }
    Ok(())
}
