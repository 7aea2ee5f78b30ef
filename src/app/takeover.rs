//! Encoders in the place of films, wired: who publishes there is told where that is, goes on air and off again
//! with a row in the show's cut log, and is seen through the show only.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use super::rules::film_segment;
use crate::base::clock::Clock;
use crate::base::id::Uuid;
use crate::base::shutdown::Tasks;
use crate::config::Config;
use crate::hub::gate::{Gate, Pending, Record, Sign};
use crate::hub::{Admission, Hub, Placed, PublishRequest, Refusal};
use crate::media::timeline::Timeline;
use crate::playout::takeover::{self, Step};
use crate::playout::{Cut, Facts, Kind, Legs, Show, Stage};
use crate::store::{self, CutRow, Store};

/// How often encoders in the place of films are looked at: how much later than it could one goes on air.
const LOOK: Duration = Duration::from_millis(100);
/// How often it is looked for shows that wait for an encoder which is not there, as after a restart, and asked
/// whether an encoder is still called for.
const LOOK_FAR: Duration = Duration::from_secs(1);

/// What an encoder is told in whose place nothing is on.
const NOTHING_ON: &str = "there is no film now that it could take the place of";

/// What takeovers need to know. Cloning shares it.
#[derive(Clone)]
pub(super) struct Terms {
    stage: Stage,
    /// Length of segments.
    segment: Duration,
    /// After how long an encoder counts as silent.
    silence: Duration,
    clock: Clock,
}

impl Terms {
    pub(super) fn new(config: &Config, stage: &Stage, clock: &Clock) -> Terms {
        Terms {
            stage: stage.clone(),
            segment: film_segment(config),
            silence: config.publish.silence,
            clock: clock.clone(),
        }
    }

    async fn facts(&self, asset: Uuid) -> Option<Facts> {
        match self.stage.facts(asset).await {
            Ok(facts) => facts,
            Err(err) => {
                tracing::error!(%err, %asset, "a film cannot be read");
                None
            }
        }
    }

    fn place(&self, show: &Show, facts: &Facts) -> Option<Placed> {
        takeover::place(show, facts, self.segment, self.clock.wall())
    }
}

/// A gate that says of those who publish in a film's place where that is.
pub(super) struct Beside<G> {
    gate: G,
    terms: Terms,
}

impl<G: Gate> Beside<G> {
    pub(super) fn new(gate: G, terms: Terms) -> Beside<G> {
        Beside { gate, terms }
    }

    async fn placed(&self, admission: Admission) -> Result<Admission, Refusal> {
        let show = admission.lasting.and_then(|id| self.terms.stage.show(id));
        let Some(show) = show else {
            return Ok(admission);
        };
        let facts = self.terms.facts(show.asset).await;
        let placed = facts.and_then(|facts| self.terms.place(&show, &facts));
        match placed {
            Some(_) => Ok(Admission {
                placed,
                ..admission
            }),
            None => Err(Refusal::NotAllowed(NOTHING_ON.to_owned())),
        }
    }
}

impl<G: Gate> Gate for Beside<G> {
    fn preview(&self, request: &PublishRequest) -> Result<String, Refusal> {
        self.gate.preview(request)
    }

    fn admit<'a>(&'a self, request: &'a PublishRequest) -> Pending<'a, Result<Admission, Refusal>> {
        Box::pin(async move {
            let admission = self.gate.admit(request).await?;
            self.placed(admission).await
        })
    }

    fn admit_pulled<'a>(&'a self, channel_id: &'a str) -> Pending<'a, Result<Admission, Refusal>> {
        Box::pin(async move {
            let admission = self.gate.admit_pulled(channel_id).await?;
            self.placed(admission).await
        })
    }

    fn stream_opened<'a>(&'a self, record: &'a Record) -> Pending<'a, ()> {
        self.gate.stream_opened(record)
    }

    fn streams_alive<'a>(&'a self, signs: &'a [Sign]) -> Pending<'a, ()> {
        self.gate.streams_alive(signs)
    }

    fn streams_ended<'a>(&'a self, ids: &'a [Uuid]) -> Pending<'a, ()> {
        self.gate.streams_ended(ids)
    }

    fn open_streams<'a>(&'a self, region: &'a str) -> Pending<'a, Vec<Record>> {
        self.gate.open_streams(region)
    }
}

/// Streams of encoders, as shows see them.
struct OfHub(Hub);

impl Legs for OfHub {
    fn timeline(&self, stream: Uuid) -> Option<Arc<dyn Timeline>> {
        Some(self.0.placed(stream)?.1)
    }
}

/// Looks after takeovers.
pub(super) struct Takeovers {
    terms: Terms,
    hub: Hub,
    store: Store,
    /// Whether an encoder is called for, of the streams that there are; `None`: nothing could be read or written
    /// of it, and it is left alone until the next far look.
    called: HashMap<Uuid, Option<bool>>,
    /// Films that are whole.
    films: HashMap<Uuid, Arc<Facts>>,
}

impl Takeovers {
    pub(super) fn new(terms: Terms, hub: Hub, store: Store) -> Takeovers {
        terms.stage.live(Arc::new(OfHub(hub.clone())));
        Takeovers {
            terms,
            hub,
            store,
            called: HashMap::new(),
            films: HashMap::new(),
        }
    }

    /// Looks until the tasks are stopped.
    pub(super) async fn run(mut self, tasks: Tasks) {
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut far = Duration::ZERO;
        loop {
            tokio::select! {
                () = tasks.stopped() => return,
                _ = look.tick() => {}
            }
            let now = self.terms.clock.monotonic();
            let is_far = now >= far;
            if is_far {
                far = now + LOOK_FAR;
            }
            self.look(is_far).await;
        }
    }

    async fn look(&mut self, far: bool) {
        let mut streams = self.hub.all_placed();
        if far {
            let known: HashSet<Uuid> = streams.iter().copied().collect();
            let stage = &self.terms.stage;
            let waits = |id: &Uuid| stage.show(*id).is_some_and(|show| waits_for_encoder(&show));
            let others = stage.ids().into_iter().filter(|id| !known.contains(id));
            streams.extend(others.filter(waits));
            self.called.clear();
            if streams.is_empty() {
                self.films.clear();
            }
        }
        for stream in streams {
            self.look_after(stream).await;
        }
    }

    async fn look_after(&mut self, id: Uuid) {
        let Some(show) = self.terms.stage.show(id) else {
            // What it took the place of is gone.
            self.hub.end_placed(id, "the film is off");
            return;
        };
        let Some(facts) = self.facts(show.asset).await else {
            return;
        };
        let Some(called) = self.called(id).await else {
            return;
        };
        let leg = self.hub.placed(id).map(|(stream, timeline)| {
            let placed = self.terms.place(&show, &facts);
            if let Some(placed) = placed
                .as_ref()
                .filter(|placed| stream.lies_as(Some(placed)))
            {
                stream.place(placed.grid);
            }
            takeover::leg(&stream, &*timeline, placed.as_ref())
        });
        let now = self.terms.clock.wall();
        let terms = (called, self.terms.silence);
        match takeover::step(&show, &facts, self.terms.segment, terms, leg.as_ref(), now) {
            Step::Wait => {}
            Step::Cut(cut) => self.write(&show, cut).await,
            Step::Finish(why) => {
                tracing::info!(stream = %id, why, "the encoder in a film's place is let go");
                self.hub.end_placed(id, why);
            }
        }
    }

    /// Writes a row, and has it played here at once: others read it within a second.
    async fn write(&mut self, show: &Show, cut: Cut) {
        match self.store.add_cut(show.stream, CutRow::from(&cut)).await {
            // A show of which the store knows nothing is played by who put it on.
            Ok(()) | Err(store::Error::Missing { .. }) => {}
            Err(err @ store::Error::Full { .. }) => {
                tracing::warn!(%err, stream = %show.stream, "no encoder goes on air there any more");
                self.hub
                    .end_placed(show.stream, "encoders have come and gone too often");
                return;
            }
            Err(err) => {
                // Somebody else changed the schedule meanwhile; what is to be done now is another thing.
                tracing::warn!(%err, stream = %show.stream, "a cut could not be written");
                self.called.insert(show.stream, None);
                return;
            }
        }
        // What was changed while it was written stays changed.
        let Some(show) = self.terms.stage.show(show.stream) else {
            return;
        };
        if show.cuts.iter().any(|other| other.at == cut.at) {
            return;
        }
        let mut cuts = show.cuts.to_vec();
        let place = cuts.partition_point(|other| other.at < cut.at);
        cuts.insert(place, cut);
        tracing::info!(stream = %show.stream, kind = ?cut.kind, sequence = cut.sequence, "cut");
        self.terms.stage.put(Show {
            cuts: cuts.into(),
            ..(*show).clone()
        });
    }

    async fn facts(&mut self, asset: Uuid) -> Option<Arc<Facts>> {
        if let Some(known) = self.films.get(&asset) {
            return Some(known.clone());
        }
        let facts = Arc::new(self.terms.facts(asset).await?);
        if facts.frames.is_some() {
            self.films.insert(asset, facts.clone());
        }
        Some(facts)
    }

    /// Whether an encoder is called for; `None` where that cannot be told now.
    async fn called(&mut self, stream: Uuid) -> Option<bool> {
        if let Some(called) = self.called.get(&stream) {
            return *called;
        }
        let called = match self.store.event_of_stream(stream).await {
            Ok(event) => Some(event.is_none_or(|event| event.takeover)),
            Err(err) => {
                tracing::error!(%err, %stream, "an event cannot be read");
                None
            }
        };
        self.called.insert(stream, called);
        called
    }
}

/// Whether an encoder is on by the cut log, with nothing but the end to come.
fn waits_for_encoder(show: &Show) -> bool {
    let last = show.cuts.iter().rfind(|cut| cut.kind != Kind::End);
    last.is_some_and(|cut| cut.kind == Kind::Live)
}
