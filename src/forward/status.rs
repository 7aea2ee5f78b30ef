//! What is told of forwards: by those who carry, to whoever asks.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;

use super::{Again, Ended};
use crate::base::clock::{Clock, Wall};

/// What a forward does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// There is nothing to send yet.
    Waiting,
    /// On its way to the destination.
    Connecting,
    /// The destination takes what comes.
    Live,
    /// It failed, and will try again.
    Retrying,
    /// It was refused: somebody has to change something. It tries again all the same, seldom.
    Refused,
    /// The stream is over.
    Over,
}

impl State {
    /// Those of a forward that is not over.
    pub const ONGOING: [State; 5] = [
        State::Waiting,
        State::Connecting,
        State::Live,
        State::Retrying,
        State::Refused,
    ];

    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            State::Waiting => "waiting",
            State::Connecting => "connecting",
            State::Live => "live",
            State::Retrying => "retrying",
            State::Refused => "refused",
            State::Over => "over",
        }
    }
}

/// One of the encodings that are sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LayerStatus {
    /// Rendition it comes from.
    pub rendition: String,
    /// Pixels; zero for sound.
    pub width: u32,
    /// Pixels; zero for sound.
    pub height: u32,
}

/// Facts about a forward. Times are Unix milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Its name among the forwards of this gateway.
    pub id: String,
    /// Kind of destination: `livekit`, `whip`, …
    pub kind: &'static str,
    /// Channel that is forwarded.
    pub channel_id: String,
    /// Stream that is forwarded.
    pub stream_id: String,
    /// Where it goes, without a secret in it.
    pub destination: String,
    /// What it does.
    pub state: State,
    /// Since when.
    pub since: i64,
    /// Why it is interrupted, or was last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it tries again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_attempt: Option<i64>,
    /// What an operator should know of what is sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Attempts so far.
    pub attempts: u64,
    /// How many of them ended badly.
    pub failures: u64,
    /// How often it was live.
    pub connected: u64,
    /// Packets (or messages) sent.
    pub packets: u64,
    /// Bytes of media sent.
    pub bytes: u64,
    /// Packets sent once more because they were asked for.
    pub packets_repeated: u64,
    /// Requests for key units.
    pub key_units_wanted: u64,
    /// Units dropped since it was too slow.
    pub dropped_units: u64,
    /// Round trip to the destination, milliseconds; zero while unknown.
    pub round_trip_ms: u64,
    /// What is sent.
    pub layers: Vec<LayerStatus>,
}

/// What was counted in the attempt that goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Packets (or messages) sent.
    pub packets: u64,
    /// Bytes of media sent.
    pub bytes: u64,
    /// Packets sent once more because they were asked for.
    pub packets_repeated: u64,
    /// Requests for key units.
    pub key_units_wanted: u64,
    /// Units dropped.
    pub dropped_units: u64,
    /// Round trip; zero while unknown.
    pub round_trip: Duration,
}

/// Whom a forward brings what, and where.
#[derive(Clone, Debug)]
pub struct About {
    /// Name among the forwards of this gateway.
    pub id: String,
    /// Kind of destination.
    pub kind: &'static str,
    /// Channel id.
    pub channel_id: String,
    /// Stream id.
    pub stream_id: String,
    /// Where it goes, without a secret in it.
    pub destination: String,
}

/// The handle by which a forward tells how it fares. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Told(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    clock: Clock,
    facts: Mutex<Facts>,
}

#[derive(Debug)]
struct Facts {
    status: Status,
    /// Monotonic time at which the attempt became live.
    live_since: Option<Duration>,
    /// How long the attempt was live that ended.
    lasted: Option<Duration>,
    /// Counts of the attempts before.
    before: Counted,
    /// Counts of this one.
    now: Counted,
}

impl Told {
    /// Of a forward that has not begun.
    pub fn new(about: About, clock: &Clock) -> Told {
        let status = Status {
            id: about.id,
            kind: about.kind,
            channel_id: about.channel_id,
            stream_id: about.stream_id,
            destination: about.destination,
            state: State::Waiting,
            since: clock.wall().unix_millis(),
            reason: None,
            next_attempt: None,
            note: None,
            attempts: 0,
            failures: 0,
            connected: 0,
            packets: 0,
            bytes: 0,
            packets_repeated: 0,
            key_units_wanted: 0,
            dropped_units: 0,
            round_trip_ms: 0,
            layers: Vec::new(),
        };
        Told(Arc::new(Inner {
            clock: clock.clone(),
            facts: Mutex::new(Facts {
                status,
                live_since: None,
                lasted: None,
                before: Counted::default(),
                now: Counted::default(),
            }),
        }))
    }

    fn lock(&self) -> MutexGuard<'_, Facts> {
        self.0.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// By which it is timed.
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// Wall-clock time.
    pub fn now(&self) -> Wall {
        self.0.clock.wall()
    }

    /// There is nothing to send yet.
    pub fn waiting(&self) {
        self.enter(State::Waiting);
    }

    /// There is, and the destination is called.
    pub fn connecting(&self) {
        self.enter(State::Connecting);
    }

    /// The destination takes what comes.
    pub fn live(&self) {
        let now = self.0.clock.monotonic();
        self.enter(State::Live);
        let mut facts = self.lock();
        facts.live_since.get_or_insert(now);
        facts.status.connected += 1;
        facts.status.next_attempt = None;
        facts.status.reason = None;
    }

    /// What an operator should know of what is sent.
    pub fn note(&self, note: Option<String>) {
        self.lock().status.note = note;
    }

    /// What is sent.
    pub fn layers(&self, layers: Vec<LayerStatus>) {
        self.lock().status.layers = layers;
    }

    /// What was counted so far in this attempt.
    pub fn counted(&self, counted: Counted) {
        self.lock().now = counted;
    }

    /// How long the attempt was live, if it was.
    pub(super) fn live_for(&self) -> Option<Duration> {
        let now = self.0.clock.monotonic();
        let facts = self.lock();
        let live = facts.live_since.map(|since| now.saturating_sub(since));
        live.or(facts.lasted)
    }

    pub(super) fn attempt(&self) {
        let mut facts = self.lock();
        facts.before = sum(facts.before, facts.now);
        facts.now = Counted::default();
        facts.live_since = None;
        facts.lasted = None;
        facts.status.attempts += 1;
        facts.status.next_attempt = None;
    }

    /// Returns whether it is the first time that this is so since it was live, or for another reason.
    pub(super) fn failed(&self, ended: &Ended, pause: Duration) -> bool {
        let state = match ended.again {
            Again::Refused => State::Refused,
            _ => State::Retrying,
        };
        let lasted = self.live_for();
        let changed = self.enter(state);
        let micros = i64::try_from(pause.as_micros()).unwrap_or(i64::MAX);
        let next = self.now().plus_micros(micros).unix_millis();
        let mut facts = self.lock();
        facts.status.failures += 1;
        let other = facts.status.reason.as_ref() != Some(&ended.reason);
        facts.status.reason = Some(ended.reason.clone());
        facts.status.next_attempt = Some(next);
        facts.status.layers.clear();
        facts.live_since = None;
        facts.lasted = lasted;
        changed && other || lasted.is_some()
    }

    pub(super) fn over(&self) {
        self.enter(State::Over);
        let mut facts = self.lock();
        facts.status.next_attempt = None;
        facts.status.layers.clear();
    }

    fn enter(&self, state: State) -> bool {
        let now = self.now().unix_millis();
        let mut facts = self.lock();
        let changed = facts.status.state != state;
        if changed {
            facts.status.state = state;
            facts.status.since = now;
        }
        changed
    }

    /// Everything there is to know.
    pub fn status(&self) -> Status {
        let facts = self.lock();
        let all = sum(facts.before, facts.now);
        Status {
            packets: all.packets,
            bytes: all.bytes,
            packets_repeated: all.packets_repeated,
            key_units_wanted: all.key_units_wanted,
            dropped_units: all.dropped_units,
            round_trip_ms: u64::try_from(facts.now.round_trip.as_millis()).unwrap_or(u64::MAX),
            ..facts.status.clone()
        }
    }
}

fn sum(one: Counted, other: Counted) -> Counted {
    Counted {
        packets: one.packets + other.packets,
        bytes: one.bytes + other.bytes,
        packets_repeated: one.packets_repeated + other.packets_repeated,
        key_units_wanted: one.key_units_wanted + other.key_units_wanted,
        dropped_units: one.dropped_units + other.dropped_units,
        round_trip: other.round_trip,
    }
}

/// All forwards of one kind, those included that are over. Totals never go back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many are in each of [`State::ONGOING`].
    pub states: [u64; 5],
    /// Attempts.
    pub attempts: u64,
    /// Attempts that ended badly.
    pub failures: u64,
    /// What all of them counted; without a round trip.
    pub counted: Counted,
}

impl Tally {
    fn add(&mut self, status: &Status) {
        self.attempts += status.attempts;
        self.failures += status.failures;
        self.counted = sum(
            self.counted,
            Counted {
                packets: status.packets,
                bytes: status.bytes,
                packets_repeated: status.packets_repeated,
                key_units_wanted: status.key_units_wanted,
                dropped_units: status.dropped_units,
                round_trip: Duration::ZERO,
            },
        );
    }
}

/// All forwards of this gateway, by their ids. Cloning shares it. Its lock is taken before theirs.
#[derive(Clone, Debug, Default)]
pub struct Board(Arc<Mutex<Listed>>);

#[derive(Debug, Default)]
struct Listed {
    running: BTreeMap<String, Told>,
    /// What those counted, by kind, that are not on the board any more.
    gone: BTreeMap<&'static str, Tally>,
}

impl Board {
    fn lock(&self) -> MutexGuard<'_, Listed> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a forward on the board, in the place of one of the same id.
    pub fn put(&self, told: &Told) {
        let id = told.lock().status.id.clone();
        self.lock().running.insert(id, told.clone());
    }

    /// Takes a forward off, unless another one has its place. What it counted stays in the tally.
    pub fn remove(&self, told: &Told) {
        let last = told.status();
        let mut all = self.lock();
        let listed = all.running.get(&last.id);
        if listed.is_some_and(|there| Arc::ptr_eq(&there.0, &told.0)) {
            all.running.remove(&last.id);
        }
        all.gone.entry(last.kind).or_default().add(&last);
    }

    /// What all of them tell.
    pub fn list(&self) -> Vec<Status> {
        let all: Vec<Told> = self.lock().running.values().cloned().collect();
        all.iter().map(Told::status).collect()
    }

    /// What those of a stream tell.
    pub fn of_stream(&self, stream_id: &str) -> Vec<Status> {
        let all = self.list().into_iter();
        all.filter(|status| status.stream_id == stream_id).collect()
    }

    /// What those of a channel tell.
    pub fn of_channel(&self, channel_id: &str) -> Vec<Status> {
        let all = self.list().into_iter();
        all.filter(|status| status.channel_id == channel_id)
            .collect()
    }

    /// What all kinds that there were amount to.
    pub fn tally(&self) -> BTreeMap<&'static str, Tally> {
        // Under one lock: none is in both of them, or in neither.
        let all = self.lock();
        let mut tally = all.gone.clone();
        for status in all.running.values().map(Told::status) {
            let of_kind = tally.entry(status.kind).or_default();
            of_kind.add(&status);
            let at = State::ONGOING
                .iter()
                .position(|state| *state == status.state);
            if let Some(count) = at.and_then(|at| of_kind.states.get_mut(at)) {
                *count += 1;
            }
        }
        tally
    }
}
