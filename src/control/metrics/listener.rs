//! Figures of the listeners of each ingest protocol.

use std::fmt;

use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::counter::ConstCounter;

use super::family;

/// What happened at a protocol's listeners since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListenerStats {
    /// `rtmp`, `srt`, …
    pub proto: &'static str,
    /// Connections taken.
    pub connections: u64,
    /// Bytes received.
    pub received_bytes: u64,
    /// How often a publish was refused, was accepted, or ended: the word for it, and the count.
    pub publishes: Vec<(&'static str, u64)>,
    /// Units thrown away as malformed.
    pub dropped_units: u64,
}

type Counter = fn(&ListenerStats) -> u64;

const COUNTERS: [(&str, &str, Counter); 3] = [
    (
        "forebay_listener_connections",
        "Connections of encoders taken",
        |listener| listener.connections,
    ),
    (
        "forebay_listener_received_bytes",
        "Bytes received from encoders",
        |listener| listener.received_bytes,
    ),
    (
        "forebay_listener_dropped_units",
        "Units of encoders thrown away as malformed",
        |listener| listener.dropped_units,
    ),
];

pub(super) fn encode(
    encoder: &mut DescriptorEncoder<'_>,
    listeners: &[ListenerStats],
) -> fmt::Result {
    let proto = |listener: &ListenerStats| ("proto", listener.proto.to_owned());
    for (name, help, read) in COUNTERS {
        let values = listeners.iter().map(|listener| {
            let labels = vec![proto(listener)];
            (labels, ConstCounter::new(read(listener)))
        });
        family(encoder, (name, help), values)?;
    }
    let publishes = listeners.iter().flat_map(|listener| {
        let events = listener.publishes.iter();
        events.map(move |(event, count)| {
            let labels = vec![proto(listener), ("event", (*event).to_owned())];
            (labels, ConstCounter::new(*count))
        })
    });
    let name = (
        "forebay_listener_publishes",
        "Publishes refused, accepted, and ended, by how they ended",
    );
    family(encoder, name, publishes)
}
