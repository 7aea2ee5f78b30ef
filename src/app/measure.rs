//! Figures for `/metrics` and lists, read from everybody when they are asked for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use crate::base::id::Uuid;
use crate::control::{
    Conformance, Connections, Measured, Measurements, Probes, RungStats, StreamStats, Violation,
};
use crate::hub::{Hub, Stream};
use crate::ingest;
use crate::origin::{self, Origin};
use crate::package::Live;
use crate::transcode;

/// Knows where every figure is read.
pub(super) struct Figures {
    hub: OnceLock<Hub>,
    origin: OnceLock<Arc<Origin>>,
    rtmp: OnceLock<Arc<ingest::Stats>>,
    srt: OnceLock<Arc<ingest::Stats>>,
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
            rtmp: OnceLock::new(),
            srt: OnceLock::new(),
            streams: Mutex::default(),
        }
    }

    pub(super) fn watch(&self, hub: Hub) {
        let _ = self.hub.set(hub);
    }

    pub(super) fn watch_origin(&self, origin: Arc<Origin>) {
        let _ = self.origin.set(origin);
    }

    pub(super) fn watch_rtmp(&self, stats: Arc<ingest::Stats>) {
        let _ = self.rtmp.set(stats);
    }

    pub(super) fn watch_srt(&self, stats: Arc<ingest::Stats>) {
        let _ = self.srt.set(stats);
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
        for (proto, stats) in [("rtmp", &self.rtmp), ("srt", &self.srt)] {
            let stats = stats.get();
            connections.extend(stats.map(|stats| Connections {
                proto,
                open: stats.publishing(),
            }));
        }
        Measured {
            streams,
            connections,
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
