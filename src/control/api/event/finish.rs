//! The end of a run: at its time, by hand, or because it could not begin. What repeats waits for its next run then.

use super::cuts;
use super::plan::Planning;
use super::recurrence::{Rule, clash};
use crate::base::clock::{Clock, Wall};
use crate::control::api::chat::{Rooms, news};
use crate::playout::Facts;
use crate::store::{Error, Event, EventStatus, Repeat, ShowRow, Store};

/// What is needed to end a run.
pub(super) struct Finish<'a> {
    pub(super) store: &'a Store,
    pub(super) planning: &'a Planning,
    pub(super) clock: &'a Clock,
    /// Who talk about it.
    pub(super) chats: &'a Rooms,
    /// What is known of the film.
    pub(super) facts: Option<&'a Facts>,
}

/// Somebody else was faster.
struct Done;

impl Finish<'_> {
    /// Ends the run of an event that is as it was seen; `why`: it failed. Gives what has become of the event;
    /// `None` where somebody else was faster.
    pub(super) async fn finish(
        &self,
        seen: &Event,
        why: Option<&str>,
    ) -> Result<Option<Event>, Error> {
        let (status, stream) = (seen.status, seen.stream_id);
        self.end(seen).await?;
        let is_same = |event: &Event| (event.status, event.stream_id) == (status, stream);
        let change = |event: &mut Event, run: &mut ShowRow| {
            if !is_same(event) {
                return Err(Done);
            }
            finish(event, run, self.planning, why, self.clock.wall());
            Ok(())
        };
        // What was alright when it was declared stays so; a run that meets another event does not come.
        let changed = match self.store.change_event(seen.id, &clash, change).await {
            Err(Error::Overlap { title, .. }) => {
                let why = format!("its channel is taken by event {title:?} at its next time");
                let change = |event: &mut Event, run: &mut ShowRow| {
                    if !is_same(event) {
                        return Err(Done);
                    }
                    run.ended = Some(self.clock.wall());
                    fail(event, &why);
                    Ok(())
                };
                let changed = self.store.change_event(seen.id, &|_, _| false, change);
                changed.await?
            }
            changed => changed?,
        };
        let Ok((event, _)) = changed else {
            return Ok(None);
        };
        let (status, error) = (event.status.word(), event.error.as_deref());
        tracing::info!(event = %event.id, %stream, status, error, "a run of an event is over");
        news::catch_up(self.chats, self.store, seen.broadcast_id).await;
        Ok(Some(event))
    }

    /// Ends what is on, if its end is not written down yet. A second time does nothing.
    async fn end(&self, seen: &Event) -> Result<(), Error> {
        let Some(run) = self.store.show(seen.stream_id).await? else {
            return Ok(());
        };
        let segment = self.planning.segment;
        match cuts::end(&run, self.facts, segment, self.clock.wall()) {
            Some(end) => self.store.replace_future_cuts(run.stream_id, &end).await,
            None => Ok(()),
        }
    }
}

/// Makes an event one whose run is over: completed, or failed, or waiting for the next run.
fn finish(event: &mut Event, run: &mut ShowRow, planning: &Planning, why: Option<&str>, now: Wall) {
    run.ended = Some(now);
    match why {
        Some(why) => fail(event, why),
        None => {
            event.status = EventStatus::Completed;
            event.error = None;
            event.takeover = false;
        }
    }
    if matches!(event.repeat, Repeat::None | Repeat::UntilEnd) {
        return;
    }
    let rule = Rule::of(event);
    // A run that was started or ended by hand before its time does not come again at its time.
    let next = rule.not_over_at(now);
    let next = next.filter(|slot| slot.starts > event.starts);
    let Some(slot) = next.or_else(|| rule.after(event.starts)) else {
        return;
    };
    (event.starts, event.ends) = (slot.starts, slot.ends);
    event.status = EventStatus::Scheduled;
    event.playback_started = None;
    event.broadcast_id = None;
    let (asset, looping) = (event.asset_id, event.is_looping());
    *run = planning.show(event.id, asset, slot, looping, now);
}

fn fail(event: &mut Event, why: &str) {
    event.status = EventStatus::Error;
    event.error = Some(why.to_owned());
    event.takeover = false;
}
