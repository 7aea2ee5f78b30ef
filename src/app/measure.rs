//! Figures for `/metrics` and lists, read from everybody when they are asked for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use crate::base::id::Uuid;
use crate::control::{
    Conformance, Connections, LinkStats, ListenerStats, Measured, Measurements, Probes, RungStats,
    StreamStats, Violation,
};
use crate::hub::{Hub, Line, Stream};
use crate::ingest::rtmp;
use crate::origin::{self, Origin};
use crate::package::Live;
use crate::transcode;

/// Knows where every figure is read.
pub(super) struct Figures {
    hub: OnceLock<Hub>,
    origin: OnceLock<Arc<Origin>>,
    /// Protocols that listen, with what their listeners count.
    listeners: Mutex<Vec<(&'static str, Arc<rtmp::Stats>)>>,
    /// Per stream: its timeline and its ladder, as long as the hub keeps them.
    streams: Mutex<HashMap<Uuid, Watched>>,
}

#[derive(Default)]
struct Watched {
    timeline: Weak<Live>,
    ladder: Option<Arc<transcode::bridge::Status>>,
}

impl Figures {
    pub(super) fn new() -> Figures {
        Figures {
            hub: OnceLock::new(),
            origin: OnceLock::new(),
            listeners: Mutex::default(),
            streams: Mutex::default(),
        }
    }

    pub(super) fn watch(&self, hub: Hub) {
        let _ = self.hub.set(hub);
    }

    pub(super) fn watch_origin(&self, origin: Arc<Origin>) {
        let _ = self.origin.set(origin);
    }

    /// Counts the listeners of an ingest protocol in. Once for each.
    pub(super) fn watch_listener(&self, proto: &'static str, stats: Arc<rtmp::Stats>) {
        self.listeners().push((proto, stats));
    }

    pub(super) fn watch_timeline(&self, stream: Uuid, live: Arc<Live>) {
        let mut streams = self.lock();
        // Streams that the hub forgot have no timeline any more.
        streams.retain(|_, watched| watched.timeline.strong_count() > 0);
        streams.entry(stream).or_default().timeline = Arc::downgrade(&live);
    }

    pub(super) fn watch_ladder(&self, stream: Uuid, status: Arc<transcode::bridge::Status>) {
        self.lock().entry(stream).or_default().ladder = Some(status);
    }

    /// Bytes of media that all streams hold in memory.
    pub(super) fn media_bytes(&self) -> u64 {
        let streams = self.lock();
        let timelines = streams
            .values()
            .filter_map(|watched| watched.timeline.upgrade());
        timelines
            .flat_map(|live| live.held())
            .map(|held| held.bytes as u64)
            .sum()
    }

    fn listeners(&self) -> MutexGuard<'_, Vec<(&'static str, Arc<rtmp::Stats>)>> {
        let listeners = self.listeners.lock();
        listeners.unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, Watched>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ladder(&self, stream: Uuid) -> Option<Arc<transcode::bridge::Status>> {
        self.lock().get(&stream)?.ladder.clone()
    }

    fn stream(&self, stream: &Stream) -> StreamStats {
        let stats = stream.stats();
        let repairs = stats.repairs;
        let mut figures = StreamStats {
            channel: stream.admission().channel_id.clone(),
            proto: stats.proto,
            publishers: stats.members as u64,
            on_air: (stats.members - stats.standby - stats.silent) as u64,
            standby: stats.standby as u64,
            silent: stats.silent as u64,
            switches: stats.counts.switches,
            holes: stats.counts.holes,
            hole_seconds: stats.counts.hole_seconds,
            stalls: stats.stalls,
            stall_seconds: stats.stall_seconds,
            ingest_bytes: stats.ingest_bytes,
            ingest_units: stats.video_units + stats.audio_units,
            ingest_bits_per_second: stats.ingest_bps,
            frames_per_second: stats.frame_rate,
            dropped_units: repairs.dropped_units + repairs.overlapping_frames,
            repaired_units: repairs.time_jumps + repairs.silent_frames + repairs.long_gops,
            drift_seconds: stats.drift_seconds,
            ..StreamStats::default()
        };
        figures.links = stream.lines().into_iter().map(link).collect();
        if let Some(origin) = self.origin.get() {
            figures.viewers = u64::from(origin.viewers(stream.id()));
            if let Some(served) = origin.stream_stats(stream.id()) {
                figures.requests = served.requests;
                figures.sent_bytes = served.bytes;
            }
        }
        let watched = self.lock().get(&stream.id()).map(|w| w.timeline.clone());
        let held = watched.and_then(|timeline| Some(timeline.upgrade()?.held()));
        for held in held.into_iter().flatten() {
            figures.window_seconds = figures.window_seconds.max(held.window_seconds);
            figures.window_bytes += held.window_bytes as u64;
            figures.retained_bytes += held.bytes as u64;
        }
        figures.rungs = self.rungs(stream.id());
        if let Some(ladder) = self.ladder(stream.id()) {
            let shed = ladder.rungs().iter().filter(|rung| rung.shed).count();
            figures.shed_rungs = shed as u64;
            figures.worker_restarts = ladder.restarts();
        }
        figures
    }
}

impl Measurements for Figures {
    fn measure(&self) -> Measured {
        let Some(hub) = self.hub.get() else {
            return Measured::default();
        };
        let streams = hub.all().iter().map(|stream| self.stream(stream)).collect();
        let mut connections = Vec::new();
        if let Some(origin) = self.origin.get() {
            connections.push(Connections {
                proto: "http",
                open: origin.stats().connections,
            });
        }
        let listening = self.listeners();
        connections.extend(listening.iter().map(|(proto, stats)| Connections {
            proto,
            open: stats.publishing(),
        }));
        let listeners = listening.iter();
        let listeners = listeners.map(|(proto, stats)| listener(proto, stats));
        Measured {
            streams,
            connections,
            listeners: listeners.collect(),
        }
    }

    fn viewers(&self, stream: Uuid) -> u64 {
        self.origin
            .get()
            .map_or(0, |origin| u64::from(origin.viewers(stream)))
    }

    fn rungs(&self, stream: Uuid) -> Vec<RungStats> {
        let ladder = self.ladder(stream);
        let rungs = ladder.map(|ladder| ladder.rungs()).unwrap_or_default();
        let figures = |rung: transcode::bridge::RungStatus| RungStats {
            rung: rung.name,
            lag_seconds: rung.lag_p95.unwrap_or_default().as_secs_f64(),
            speed_ratio: rung.speed.unwrap_or(0.0),
            units: rung.units,
        };
        let made = rungs.into_iter().filter(|rung| !rung.shed);
        made.map(figures).collect()
    }

    fn conformance(&self) -> Conformance {
        let found = self.origin.get().map(|origin| origin.conformance());
        found.map(conformance).unwrap_or_default()
    }
}

/// What the origin found, in the words of control.
fn conformance(found: origin::Conformance) -> Conformance {
    let violation = |found: origin::Violation| Violation {
        at: found.at,
        stream: found.stream,
        file: found.file,
        rule: found.rule,
        detail: found.detail,
    };
    Conformance {
        samples: found.samples,
        rules: found.rules.into_iter().collect(),
        newest: found.newest.into_iter().map(violation).collect(),
    }
}

impl Probes for Figures {
    fn listeners(&self) -> Result<(), String> {
        // Every listener is bound before anything is served; the origin is set last.
        self.origin
            .get()
            .map(|_| ())
            .ok_or_else(|| "the gateway is starting".to_owned())
    }
}

/// What a protocol's listeners count, in the words of control.
fn listener(proto: &'static str, stats: &rtmp::Stats) -> ListenerStats {
    let publishes = [
        ("unpublished", &stats.unpublished_total),
        ("refused", &stats.refused_total),
        ("accepted", &stats.accepted_total),
        ("finished", &stats.finished_total),
        ("lost", &stats.lost_total),
        ("silent", &stats.silent_total),
        ("evicted", &stats.evicted_total),
        ("rejected", &stats.rejected_total),
    ];
    ListenerStats {
        proto,
        connections: stats.connections_total.get(),
        received_bytes: stats.received_bytes_total.get(),
        publishes: publishes
            .iter()
            .map(|(event, counter)| (*event, counter.get()))
            .collect(),
        dropped_units: stats.dropped_units_total.get(),
    }
}

/// A publisher's line, in the words of control.
fn link(line: Line) -> LinkStats {
    let link = line.link;
    LinkStats {
        place: line.place,
        proto: line.proto,
        rtt_seconds: link.rtt.as_secs_f64(),
        latency_seconds: link.latency.as_secs_f64(),
        buffer_seconds: link.buffer.as_secs_f64(),
        packets: link.packets,
        lost_packets: link.lost_packets,
        retransmitted_packets: link.retransmitted_packets,
        dropped_packets: link.dropped_packets,
        undecrypted_packets: link.undecrypted_packets,
    }
}
