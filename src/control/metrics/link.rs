//! Figures of publishers' lines, where the transport measures them.

use std::fmt;

use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use super::{Labels, StreamStats, escaped, family};

/// The line of one publisher. Counts since its session began: they begin anew with the next one in its
/// place, as counters of a process that was started again do.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LinkStats {
    /// Which of the stream's places the publisher has. There are few, so that the number of series is
    /// bounded however often encoders come back.
    pub place: usize,
    /// Its protocol.
    pub proto: &'static str,
    /// Round trip, seconds.
    pub rtt_seconds: f64,
    /// Time that the receiver has to get a lost packet again, seconds.
    pub latency_seconds: f64,
    /// Media that wait in the receiver, seconds.
    pub buffer_seconds: f64,
    /// Packets that arrived.
    pub packets: u64,
    /// Packets that were found missing.
    pub lost_packets: u64,
    /// Packets that arrived because they were asked for again.
    pub retransmitted_packets: u64,
    /// Packets given up, because they did not arrive within the latency.
    pub dropped_packets: u64,
    /// Packets that could not be decrypted.
    pub undecrypted_packets: u64,
}

type Gauge = fn(&LinkStats) -> f64;
type Counter = fn(&LinkStats) -> u64;

const GAUGES: [(&str, &str, Gauge); 3] = [
    (
        "forebay_link_rtt_seconds",
        "Round trip of a publisher's line",
        |link| link.rtt_seconds,
    ),
    (
        "forebay_link_latency_seconds",
        "Time in which a lost packet may be sent again",
        |link| link.latency_seconds,
    ),
    (
        "forebay_link_buffer_seconds",
        "Media that wait in the receiver",
        |link| link.buffer_seconds,
    ),
];

const COUNTERS: [(&str, &str, Counter); 5] = [
    (
        "forebay_link_packets",
        "Packets that arrived, those sent again included",
        |link| link.packets,
    ),
    (
        "forebay_link_lost_packets",
        "Packets that were found missing",
        |link| link.lost_packets,
    ),
    (
        "forebay_link_retransmitted_packets",
        "Packets that arrived because they were asked for again",
        |link| link.retransmitted_packets,
    ),
    (
        "forebay_link_dropped_packets",
        "Packets given up, because they did not arrive within the latency",
        |link| link.dropped_packets,
    ),
    (
        "forebay_link_undecrypted_packets",
        "Packets that could not be decrypted",
        |link| link.undecrypted_packets,
    ),
];

pub(super) fn encode(encoder: &mut DescriptorEncoder<'_>, streams: &[StreamStats]) -> fmt::Result {
    let links = || {
        streams.iter().flat_map(|stream| {
            let links = stream.links.iter();
            links.map(|link| (labels(stream, link), link))
        })
    };
    for (name, help, read) in GAUGES {
        let values = links().map(|(labels, link)| (labels, ConstGauge::new(read(link))));
        family(encoder, (name, help), values)?;
    }
    for (name, help, read) in COUNTERS {
        let values = links().map(|(labels, link)| (labels, ConstCounter::new(read(link))));
        family(encoder, (name, help), values)?;
    }
    Ok(())
}

fn labels(stream: &StreamStats, link: &LinkStats) -> Labels {
    vec![
        ("channel", escaped(&stream.channel)),
        ("proto", link.proto.to_owned()),
        ("publisher", link.place.to_string()),
    ]
}
