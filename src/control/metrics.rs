//! `/metrics`: figures of streams and process, read when they are asked for.

mod forward;
mod link;
mod listener;
mod webhook;

use std::fmt;
use std::sync::Arc;

use axum::extract::{Request, State as Extract};
use axum::response::{IntoResponse, Response};
use http::header;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use super::{Error, State, auth, process};
use crate::base::clock::Clock;
use crate::base::conformance::Conformance;
use crate::base::id::Uuid;
use crate::store::Store;
pub use forward::ForwardStats;
pub use link::LinkStats;
pub use listener::ListenerStats;

/// Where figures come from. Called once per scrape: cheap reads, no waiting.
pub trait Measurements: Send + Sync {
    /// All figures.
    fn measure(&self) -> Measured;

    /// Viewers of one stream.
    fn viewers(&self, stream_id: Uuid) -> u64;

    /// The ladder of one stream.
    fn rungs(&self, stream_id: Uuid) -> Vec<RungStats>;

    /// What the server found in its own playlists and manifests.
    fn conformance(&self) -> Conformance;
}

/// One reading.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Measured {
    /// One entry per channel that has a stream.
    pub streams: Vec<StreamStats>,
    /// Open connections by protocol.
    pub connections: Vec<Connections>,
    /// One entry per ingest protocol that listens.
    pub listeners: Vec<ListenerStats>,
    /// One entry per kind of destination that something was sent to.
    pub forwards: Vec<ForwardStats>,
}

/// Open connections of one protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connections {
    /// `http`, `rtmp`, …
    pub proto: &'static str,
    /// How many.
    pub open: u64,
}

/// Figures of one stream. Totals count from its beginning.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StreamStats {
    /// Channel id.
    pub channel: String,
    /// Protocol of the publisher on air; empty without one.
    pub proto: &'static str,
    /// Publisher sessions.
    pub publishers: u64,
    /// How many of them are on air and send: none or one.
    pub on_air: u64,
    /// How many of them send and are not on air.
    pub standby: u64,
    /// How many of them send nothing.
    pub silent: u64,
    /// Times that the air went from one publisher to another.
    pub switches: u64,
    /// Holes that something stood in for.
    pub holes: u64,
    /// Length of all holes that ended, seconds.
    pub hole_seconds: f64,
    /// Pauses of publishers, of more than half a second.
    pub stalls: u64,
    /// Their sum, seconds.
    pub stall_seconds: f64,
    /// Transcoders that were started again.
    pub worker_restarts: u64,
    /// Media bytes received.
    pub ingest_bytes: u64,
    /// Access units received.
    pub ingest_units: u64,
    /// Bit rate of the last seconds, bits per second.
    pub ingest_bits_per_second: f64,
    /// Pictures per second of the last seconds.
    pub frames_per_second: f64,
    /// Units thrown away.
    pub dropped_units: u64,
    /// Units whose times were mended.
    pub repaired_units: u64,
    /// How far the encoder's clock is from ours, seconds.
    pub drift_seconds: f64,
    /// Length of the live window, seconds.
    pub window_seconds: f64,
    /// Media bytes in the live window.
    pub window_bytes: u64,
    /// Media bytes held, those of removed segments included.
    pub retained_bytes: u64,
    /// Viewers.
    pub viewers: u64,
    /// Requests answered.
    pub requests: u64,
    /// Bytes sent to viewers.
    pub sent_bytes: u64,
    /// Rungs of the ladder.
    pub rungs: Vec<RungStats>,
    /// Lines of publishers whose transport measures them.
    pub links: Vec<LinkStats>,
    /// Rungs that were given up because the worker was too slow.
    pub shed_rungs: u64,
}

/// Figures of one rung.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RungStats {
    /// Name of the rendition.
    pub rung: String,
    /// How long after the source its units come, seconds.
    pub lag_seconds: f64,
    /// Media seconds made per second; below 1 it falls behind.
    pub speed_ratio: f64,
    /// Units made.
    pub units: u64,
}

enum Read {
    Counter(fn(&StreamStats) -> u64),
    Seconds(fn(&StreamStats) -> f64),
    Gauge(fn(&StreamStats) -> u64),
    Float(fn(&StreamStats) -> f64),
}

/// Figures per channel: name, help, value. Names end in their unit; counters get `_total`.
const PER_CHANNEL: [(&str, &str, Read); 22] = [
    (
        "forebay_publishers",
        "Publisher sessions",
        Read::Gauge(|s| s.publishers),
    ),
    (
        "forebay_switches",
        "Times that the air went from one publisher to another",
        Read::Counter(|s| s.switches),
    ),
    (
        "forebay_holes",
        "Holes in the source that something stood in for",
        Read::Counter(|s| s.holes),
    ),
    (
        "forebay_hole_seconds",
        "Length of all holes that ended",
        Read::Seconds(|s| s.hole_seconds),
    ),
    (
        "forebay_ingest_stalls",
        "Pauses of publishers, of more than half a second",
        Read::Counter(|s| s.stalls),
    ),
    (
        "forebay_ingest_stall_seconds",
        "Length of all pauses of publishers",
        Read::Seconds(|s| s.stall_seconds),
    ),
    (
        "forebay_worker_restarts",
        "Transcoders that were started again",
        Read::Counter(|s| s.worker_restarts),
    ),
    (
        "forebay_ingest_bytes",
        "Media bytes received",
        Read::Counter(|s| s.ingest_bytes),
    ),
    (
        "forebay_ingest_units",
        "Access units received",
        Read::Counter(|s| s.ingest_units),
    ),
    (
        "forebay_ingest_bits_per_second",
        "Bit rate of the last seconds",
        Read::Float(|s| s.ingest_bits_per_second),
    ),
    (
        "forebay_ingest_frames_per_second",
        "Pictures per second of the last seconds",
        Read::Float(|s| s.frames_per_second),
    ),
    (
        "forebay_dropped_units",
        "Access units thrown away",
        Read::Counter(|s| s.dropped_units),
    ),
    (
        "forebay_repaired_units",
        "Access units whose times were mended",
        Read::Counter(|s| s.repaired_units),
    ),
    (
        "forebay_drift_seconds",
        "Distance of the encoder's clock from ours",
        Read::Float(|s| s.drift_seconds),
    ),
    (
        "forebay_window_seconds",
        "Length of the live window",
        Read::Float(|s| s.window_seconds),
    ),
    (
        "forebay_window_bytes",
        "Media bytes in the live window",
        Read::Gauge(|s| s.window_bytes),
    ),
    (
        "forebay_retained_bytes",
        "Media bytes held, removed segments included",
        Read::Gauge(|s| s.retained_bytes),
    ),
    (
        "forebay_viewers",
        "Viewers of the last 30 seconds",
        Read::Gauge(|s| s.viewers),
    ),
    (
        "forebay_requests",
        "Playback requests answered",
        Read::Counter(|s| s.requests),
    ),
    (
        "forebay_sent_bytes",
        "Bytes sent to viewers",
        Read::Counter(|s| s.sent_bytes),
    ),
    (
        "forebay_rungs",
        "Rungs of the ladder",
        Read::Gauge(|s| u64::try_from(s.rungs.len()).unwrap_or(u64::MAX)),
    ),
    (
        "forebay_shed_rungs",
        "Rungs given up because the machine was too slow",
        Read::Gauge(|s| s.shed_rungs),
    ),
];

/// The registry, with its one collector.
pub(super) struct Metrics {
    registry: Registry,
}

impl Metrics {
    pub(super) fn new(source: Arc<dyn Measurements>, store: Store, clock: Clock) -> Metrics {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Scrape {
            source,
            store,
            started: clock.monotonic(),
            clock,
        }));
        Metrics { registry }
    }

    /// All figures as OpenMetrics text.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)
            .expect("writing into a string does not fail");
        text
    }
}

struct Scrape {
    source: Arc<dyn Measurements>,
    store: Store,
    clock: Clock,
    started: std::time::Duration,
}

impl fmt::Debug for Scrape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scrape")
    }
}

type Labels = Vec<(&'static str, String)>;

/// One family: a name with a value per label set.
fn family<M: EncodeMetric>(
    encoder: &mut DescriptorEncoder<'_>,
    (name, help): (&str, &str),
    values: impl Iterator<Item = (Labels, M)>,
) -> fmt::Result {
    let mut values = values.peekable();
    // A family without a value says nothing.
    let Some((_, first)) = values.peek() else {
        return Ok(());
    };
    let kind = first.metric_type();
    let mut encoder = encoder.encode_descriptor(name, help, None, kind)?;
    for (labels, value) in values {
        value.encode(encoder.encode_family(&labels)?)?;
    }
    Ok(())
}

fn alone<M: EncodeMetric>(
    encoder: &mut DescriptorEncoder<'_>,
    (name, help): (&str, &str),
    value: M,
) -> fmt::Result {
    let encoder = encoder.encode_descriptor(name, help, None, value.metric_type())?;
    value.encode(encoder)
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let measured = self.source.measure();
        let encoder = &mut encoder;
        let uptime = self.clock.monotonic().saturating_sub(self.started);
        let name = ("forebay_uptime_seconds", "Time since the start");
        alone(encoder, name, ConstGauge::new(uptime.as_secs_f64()))?;
        if let Some(usage) = process::usage() {
            let name = ("process_resident_memory_bytes", "Resident memory");
            alone(encoder, name, ConstGauge::new(usage.resident_bytes))?;
            let name = ("process_cpu_seconds", "Processor time, user and system");
            alone(encoder, name, ConstCounter::new(usage.cpu_seconds))?;
        }
        let connections = measured.connections.iter().map(|connections| {
            let labels = vec![("proto", connections.proto.to_owned())];
            (labels, ConstGauge::new(connections.open))
        });
        let name = ("forebay_connections", "Open connections");
        family(encoder, name, connections)?;
        listener::encode(encoder, &measured.listeners)?;
        forward::encode(encoder, &measured.forwards)?;
        webhook::encode(encoder, self.store.webhook_tally())?;
        for (name, help, read) in &PER_CHANNEL {
            let streams = measured.streams.iter();
            let name = (*name, *help);
            match read {
                Read::Counter(read) => {
                    let counter = |s| (labels(s), ConstCounter::new(read(s)));
                    family(encoder, name, streams.map(counter))?;
                }
                Read::Seconds(read) => {
                    let counter = |s| (labels(s), ConstCounter::new(read(s)));
                    family(encoder, name, streams.map(counter))?;
                }
                Read::Gauge(read) => {
                    let gauge = |s| (labels(s), ConstGauge::new(read(s)));
                    family(encoder, name, streams.map(gauge))?;
                }
                Read::Float(read) => {
                    let gauge = |s| (labels(s), ConstGauge::new(read(s)));
                    family(encoder, name, streams.map(gauge))?;
                }
            }
        }
        members(encoder, &measured.streams)?;
        link::encode(encoder, &measured.streams)?;
        violations(encoder, &self.source.conformance())?;
        let rungs = || {
            let streams = measured.streams.iter();
            streams.flat_map(|stream| {
                stream.rungs.iter().map(|rung| {
                    let mut labels = labels(stream);
                    labels.push(("rung", escaped(&rung.rung)));
                    (labels, rung)
                })
            })
        };
        let name = (
            "forebay_rung_lag_seconds",
            "How long a rung is behind the source",
        );
        let lag = rungs().map(|(labels, rung)| (labels, ConstGauge::new(rung.lag_seconds)));
        family(encoder, name, lag)?;
        let name = ("forebay_rung_speed_ratio", "Media seconds made per second");
        let speed = rungs().map(|(labels, rung)| (labels, ConstGauge::new(rung.speed_ratio)));
        family(encoder, name, speed)?;
        let name = ("forebay_rung_units", "Access units made by a rung");
        let units = rungs().map(|(labels, rung)| (labels, ConstCounter::new(rung.units)));
        family(encoder, name, units)
    }
}

/// Publisher sessions by what they are to their stream.
fn members(encoder: &mut DescriptorEncoder<'_>, streams: &[StreamStats]) -> fmt::Result {
    let values = streams.iter().flat_map(|stream| {
        let states = [
            ("on-air", stream.on_air),
            ("standby", stream.standby),
            ("silent", stream.silent),
        ];
        states.map(|(state, count)| {
            let mut labels = labels(stream);
            labels.push(("state", state.to_owned()));
            (labels, ConstGauge::new(count))
        })
    });
    let name = ("forebay_members", "Publisher sessions by their state");
    family(encoder, name, values)
}

fn violations(encoder: &mut DescriptorEncoder<'_>, found: &Conformance) -> fmt::Result {
    let name = (
        "forebay_conformance_samples",
        "Playlists and manifests of ours that were checked",
    );
    alone(encoder, name, ConstCounter::new(found.samples))?;
    let rules = found.rules.iter().map(|(rule, count)| {
        let labels = vec![("rule", (*rule).to_owned())];
        (labels, ConstCounter::new(*count))
    });
    let name = (
        "forebay_conformance_violations",
        "Rules broken in playlists and manifests of ours",
    );
    family(encoder, name, rules)
}

fn labels(stream: &StreamStats) -> Labels {
    vec![
        ("channel", escaped(&stream.channel)),
        ("proto", stream.proto.to_owned()),
    ]
}

/// prometheus-client writes label values as they are. OpenMetrics 1.0 §5.2.2, "escaped-string".
fn escaped(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

/// Whether figures are for the caller: without an address of their own they are for the admin key and
/// for callers on this machine.
pub(super) fn may_read(state: &State, request: &Request) -> bool {
    let setup = state.setup();
    setup.own_address
        || auth::is_loopback(request.headers(), request.extensions())
        || auth::has_admin_key(request.headers(), &setup.admin_key)
}

pub(super) async fn serve(Extract(state): Extract<State>, request: Request) -> Response {
    if !may_read(&state, &request) {
        return Error::Unauthorized.into_response();
    }
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (headers, state.0.metrics.text()).into_response()
}
