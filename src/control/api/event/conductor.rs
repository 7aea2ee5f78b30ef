//! Has events begin and end at their times, on whichever gateway comes first. In: the playbill, and the clock.
//! Out: changes in the store, each of them made once (`decision.rs` says which).
//!
//! Nothing here is in the way of a picture: when a film is on is in the cut log of its show from the day on which
//! it was declared. So it does not matter how late a change comes, nor after which restart.

use tokio::time::MissedTickBehavior;

use super::cuts::film_of;
use super::decision::{Content, Phase, Situation, Step};
use super::finish::Finish;
use super::plan::Planning;
use super::playbill::{Entry, Playbill};
use super::start::{activate, content};
use crate::base::clock::{Clock, Wall};
use crate::base::lead::LOOK;
use crate::base::shutdown::Tasks;
use crate::control::State;
use crate::control::api::chat::Rooms;
use crate::media::Timescale;
use crate::playout::Facts;
use crate::store::{Error, Event, EventStatus, ShowRow, Store};

/// How many looks at the store there are for each at all events and films: those are looked at once a second.
const LOOKS: u32 = 2;

/// Conducts the events of a database, beside those of other gateways.
pub struct Conductor {
    playbill: Playbill,
    store: Store,
    planning: Planning,
    /// First part of the ids of broadcasts' channels.
    region: String,
    max_channels: u64,
    clock: Clock,
    chats: Rooms,
}

/// Another gateway, or somebody by hand, was faster.
struct Done;

impl Conductor {
    /// One for a gateway.
    pub fn of(state: &State) -> Conductor {
        let setup = state.setup();
        let known = (setup.playbill.clone(), setup.store.clone());
        let premises = (setup.region.clone(), setup.max_channels);
        let others = (setup.clock.clone(), state.chats().clone());
        Conductor::new(known, setup.planning, premises, others)
    }

    /// One beside others.
    pub(in crate::control) fn new(
        (playbill, store): (Playbill, Store),
        planning: Planning,
        (region, max_channels): (String, u64),
        (clock, chats): (Clock, Rooms),
    ) -> Conductor {
        Conductor {
            chats,
            playbill,
            store,
            planning,
            region,
            max_channels,
            clock,
        }
    }

    /// Conducts until the tasks are stopped.
    pub async fn run(self, tasks: Tasks) {
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for number in (0..LOOKS).cycle() {
            tokio::select! {
                () = tasks.stopped() => return,
                _ = look.tick() => {}
            }
            // To its end: a change that is half applied would be read again by all.
            let looked = match number {
                0 => self.look().await,
                _ => self.playbill.read_changes().await,
            };
            if let Err(err) = looked {
                tracing::error!(%err, "events could not be looked after");
            }
        }
    }

    /// Looks once.
    pub(in crate::control) async fn look(&self) -> Result<(), Error> {
        self.playbill.look().await?;
        let mut changed = false;
        for entry in self.playbill.coming() {
            match self.look_after(&entry).await {
                Ok(did) => changed |= did,
                // One that cannot be changed keeps no other from its time.
                Err(err) => {
                    tracing::error!(%err, event = %entry.event.id, "an event is kept waiting")
                }
            }
        }
        if changed {
            self.playbill.look().await?;
        }
        Ok(())
    }

    /// Does what is due for an event. Whether anything was.
    async fn look_after(&self, entry: &Entry) -> Result<bool, Error> {
        let now = self.clock.wall();
        // From memory, where it costs nothing: of content and broadcast the best is assumed.
        let facts = entry
            .show
            .asset_id
            .and_then(|asset| self.playbill.facts(asset));
        let facts = facts.as_deref();
        let known = situation(&entry.event, &entry.show, facts);
        if known.step(now).is_none() && !self.may_be_over(entry) {
            return Ok(false);
        }
        let id = entry.event.id;
        let Some(event) = self.store.event(id).await? else {
            return Ok(false);
        };
        let mut known = Situation {
            content: content(&self.store, &event).await?,
            ..situation(&event, &entry.show, facts)
        };
        if let Some(broadcast) = event.broadcast_id.filter(|_| entry.is_active()) {
            let broadcast = self.store.find_broadcast(&broadcast.to_string()).await?;
            known.is_broadcast_over = broadcast.is_none_or(|found| found.status.is_over());
        }
        match known.step(now) {
            None => Ok(false),
            Some(Step::Start(at)) => self.start(&event, at).await,
            Some(Step::Fail(why)) => self.finish(&event, facts, Some(why)).await,
            Some(Step::End(_) | Step::Miss) => self.finish(&event, facts, None).await,
        }
    }

    /// Whether the broadcast of an active event has lost its channel, as it does when it is over.
    fn may_be_over(&self, entry: &Entry) -> bool {
        let broadcast = entry.event.broadcast_id.filter(|_| entry.is_active());
        broadcast.is_some_and(|broadcast| {
            let owner = &entry.event.application_id;
            self.store.known_broadcast(owner, broadcast).is_none()
        })
    }

    async fn start(&self, event: &Event, at: Wall) -> Result<bool, Error> {
        let stream = event.stream_id;
        let change = |event: &mut Event, run: &mut ShowRow| {
            if event.status != EventStatus::Scheduled || event.stream_id != stream {
                return Err(Done);
            }
            activate(event, film_of(run).unwrap_or(at));
            Ok(())
        };
        let premises = (&*self.region, self.max_channels);
        // What was alright when it was declared stays so.
        let starting = self
            .store
            .start_event(event.id, premises, &|_, _| false, change);
        match starting.await {
            Ok(Ok((event, run))) => {
                let late_ms = self.clock.wall().micros_since(at) / 1000;
                tracing::info!(event = %event.id, stream = %run.stream_id, late_ms, "event started");
                Ok(true)
            }
            Ok(Err(Done)) => Ok(true),
            Err(Error::Full { what, limit }) => {
                let why = format!("there was no room for its broadcast: {what} limit of {limit}");
                self.finish(event, None, Some(&why)).await
            }
            Err(err) => Err(err),
        }
    }

    /// Ends a run, or what was to be one.
    async fn finish(
        &self,
        event: &Event,
        facts: Option<&Facts>,
        why: Option<&str>,
    ) -> Result<bool, Error> {
        let finish = Finish {
            store: &self.store,
            planning: &self.planning,
            clock: &self.clock,
            chats: &self.chats,
            facts,
        };
        finish.finish(event, why).await.map(|_| true)
    }
}

/// What there is to decide about, as far as it is known without asking anybody.
fn situation(event: &Event, run: &ShowRow, facts: Option<&Facts>) -> Situation {
    let period = facts.and_then(|facts| facts.grid()?.period());
    let seconds = period.map(|period| period.seconds(Timescale::CHANNEL));
    Situation {
        phase: match event.status {
            EventStatus::Scheduled => Phase::Scheduled,
            EventStatus::Active => Phase::Active(event.playback_started.unwrap_or(event.starts)),
            EventStatus::Completed | EventStatus::Error => Phase::Over,
        },
        starts: event.starts,
        ends: event.ends,
        content: Content::There,
        length_us: seconds.map(|seconds| (seconds * 1e6) as i64),
        is_looping: run.looping,
        is_broadcast_over: false,
    }
}
