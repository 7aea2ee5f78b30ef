//! Figures for `/metrics` and lists, read from everybody when they are asked for.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use crate::base::conformance::Conformance;
use crate::base::id::Uuid;
use crate::control::{
    Connections, ForwardStats, LinkStats, ListenerStats, Measured, Measurements, Probes, RungStats,
    StreamStats,
};
use crate::forward::{Board, State, Tally};
use crate::hub::{Admission, Hub, Line, Stream};
use crate::ingest;
use crate::origin::Origin;
use crate::package::Live;
use crate::transcode;

/// What stands for the protocol of forks in metrics.
const FORK: &str = "fork";

/// Knows where every figure is read.
pub(super) struct Figures {
    hub: OnceLock<Hub>,
    origin: OnceLock<Arc<Origin>>,
    forwards: OnceLock<Board>,
    /// Protocols that listen, with what their listeners count.
    listeners: Mutex<Vec<(&'static str, Arc<ingest::Stats>)>>,
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
            forwards: OnceLock::new(),
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

    pub(super) fn watch_forwards(&self, board: Board) {
        let _ = self.forwards.set(board);
    }

    /// Counts the listeners of an ingest protocol in. Once for each.
    pub(super) fn watch_listener(&self, proto: &'static str, stats: Arc<ingest::Stats>) {
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

    /// Bytes of media that all streams hold in memory: segments, those of ended forks included, what is
    /// remembered for transcoders, and what those who stand by sent lately. What is shared counts once.
    pub(super) fn media_bytes(&self) -> u64 {
        let mut bytes = 0;
        for watched in self.lock().values() {
            if let Some(live) = watched.timeline.upgrade() {
                bytes += live.held().iter().map(|held| held.bytes).sum::<usize>();
                bytes += watched.ladder.as_ref().map_or(0, |it| it.held_bytes());
            }
        }
        let streams = self.hub.get().map(Hub::all).unwrap_or_default();
        bytes += streams.iter().map(|it| it.held_bytes()).sum::<usize>();
        bytes += self.hub.get().map_or(0, Hub::ended_fork_bytes);
        bytes as u64
    }

    fn listeners(&self) -> MutexGuard<'_, Vec<(&'static str, Arc<ingest::Stats>)>> {
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
        self.add_playback(stream.id(), &mut figures);
        figures
    }

    /// Adds what is made, held and served under a stream id. What a fork shares with its source is not
    /// counted again.
    fn add_playback(&self, stream: Uuid, figures: &mut StreamStats) {
        if let Some(origin) = self.origin.get() {
            figures.viewers += u64::from(origin.viewers(stream));
            if let Some(served) = origin.stream_stats(stream) {
                figures.requests += served.requests;
                figures.sent_bytes += served.bytes;
            }
        }
        let watched = self.lock().get(&stream).map(|w| w.timeline.clone());
        let held = watched.and_then(|timeline| Some(timeline.upgrade()?.held()));
        for held in held.into_iter().flatten() {
            figures.window_seconds = figures.window_seconds.max(held.window_seconds);
            figures.window_bytes += held.window_bytes as u64;
            figures.retained_bytes += held.bytes as u64;
        }
        if let Some(ladder) = self.ladder(stream) {
            let rungs = ladder.rungs();
            figures.shed_rungs += rungs.iter().filter(|rung| rung.shed).count() as u64;
            figures.worker_restarts += ladder.restarts();
            for rung in made(rungs) {
                if figures.rungs.iter().all(|known| known.rung != rung.rung) {
                    figures.rungs.push(rung);
                }
            }
        }
    }

    /// One entry per channel that shows others' streams. What their encoders send is counted there.
    fn forks(&self, forks: &[(Uuid, Arc<Admission>)]) -> Vec<StreamStats> {
        let mut channels: BTreeMap<&str, StreamStats> = BTreeMap::new();
        for (id, admission) in forks {
            let channel = admission.channel_id.as_str();
            let figures = channels.entry(channel).or_insert_with(|| StreamStats {
                channel: channel.to_owned(),
                proto: FORK,
                ..StreamStats::default()
            });
            self.add_playback(*id, figures);
        }
        channels.into_values().collect()
    }
}

impl Measurements for Figures {
    fn measure(&self) -> Measured {
        let Some(hub) = self.hub.get() else {
            return Measured::default();
        };
        let forks = hub.forks();
        let is_fork = |stream: &Stream| forks.iter().any(|(id, _)| *id == stream.id());
        let own = hub.all().into_iter().filter(|stream| !is_fork(stream));
        let mut streams: Vec<StreamStats> = own.map(|stream| self.stream(&stream)).collect();
        streams.extend(self.forks(&forks));
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
        let forwards = self.forwards.get().map(Board::tally).unwrap_or_default();
        Measured {
            streams,
            connections,
            listeners: listeners.collect(),
            forwards: forwards.into_iter().map(forwarded).collect(),
        }
    }

    fn viewers(&self, stream: Uuid) -> u64 {
        self.origin
            .get()
            .map_or(0, |origin| u64::from(origin.viewers(stream)))
    }

    fn rungs(&self, stream: Uuid) -> Vec<RungStats> {
        let shared = self.hub.get().and_then(|hub| hub.stream(stream));
        let ladder = self.ladder(shared.map_or(stream, |shared| shared.id()));
        ladder.map_or_else(Vec::new, |ladder| made(ladder.rungs()))
    }

    fn conformance(&self) -> Conformance {
        let origin = self.origin.get();
        origin
            .map(|origin| origin.conformance())
            .unwrap_or_default()
    }
}

/// The rungs that are still made.
fn made(rungs: Vec<transcode::bridge::RungStatus>) -> Vec<RungStats> {
    let figures = |rung: transcode::bridge::RungStatus| RungStats {
        rung: rung.name,
        lag_seconds: rung.lag_p95.unwrap_or_default().as_secs_f64(),
        speed_ratio: rung.speed.unwrap_or(0.0),
        units: rung.units,
    };
    let made = rungs.into_iter().filter(|rung| !rung.shed);
    made.map(figures).collect()
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
fn listener(proto: &'static str, stats: &ingest::Stats) -> ListenerStats {
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

/// Forwards of one kind, in the words of control.
fn forwarded((kind, tally): (&'static str, Tally)) -> ForwardStats {
    let words = State::ONGOING.iter().map(|state| state.word());
    let counted = tally.counted;
    ForwardStats {
        kind,
        states: words.zip(tally.states).collect(),
        attempts: tally.attempts,
        failures: tally.failures,
        packets: counted.packets,
        bytes: counted.bytes,
        repeated_packets: counted.packets_repeated,
        wanted_key_units: counted.key_units_wanted,
        dropped_units: counted.dropped_units,
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
