//! Shows on their way out, in the running gateway: each that is wanted somewhere is read onto a screen by one
//! gateway of a database, and by the one where the encoder in its film's place is, if there is one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::MissedTickBehavior;

use crate::base::clock::Clock;
use crate::base::id::Uuid;
use crate::base::shutdown::Tasks;
use crate::control::{Playbill, Showing};
use crate::hub::tap::Tapped as _;
use crate::hub::{Hub, Screen};
use crate::playout;
use crate::store::Store;
use crate::transcode;

/// How often a gateway says that it has a show, or asks whether it may have it.
const LOOK: Duration = Duration::from_secs(2);

/// Screens of this gateway. Cloning shares them.
#[derive(Clone)]
pub(super) struct Screens(Arc<Inner>);

struct Inner {
    playbill: Playbill,
    hub: Hub,
    store: Store,
    transcoder: Arc<transcode::Config>,
    clock: Clock,
    /// Shows that are wanted.
    places: Mutex<HashMap<Uuid, Place>>,
    /// There is a new one.
    asked: Notify,
}

/// A show that is wanted somewhere.
#[derive(Default)]
struct Place {
    /// Whether it is this gateway that sends it on.
    is_ours: bool,
    open: Option<Open>,
}

struct Open {
    screen: Arc<Screen>,
    tasks: Tasks,
}

impl Drop for Open {
    fn drop(&mut self) {
        // Those who tap it say goodbye when they are told.
        self.screen.end();
        self.tasks.stop();
    }
}

impl Screens {
    /// None yet. `transcoder`: for what rooms need beside a film's own renditions.
    pub(super) fn new(
        playbill: &Playbill,
        hub: &Hub,
        store: &Store,
        transcoder: &Arc<transcode::Config>,
        clock: &Clock,
    ) -> Screens {
        Screens(Arc::new(Inner {
            playbill: playbill.clone(),
            hub: hub.clone(),
            store: store.clone(),
            transcoder: transcoder.clone(),
            clock: clock.clone(),
            places: Mutex::default(),
            asked: Notify::new(),
        }))
    }

    /// Shows that are on.
    pub(super) fn showing(&self) -> Vec<Showing> {
        self.0.playbill.showing()
    }

    /// The screen of a show, which is wanted from now on; `None` while it is not this gateway that sends it on.
    pub(super) fn open(&self, showing: &Showing, tasks: &Tasks) -> Option<Arc<Screen>> {
        let mut places = self.places();
        let place = places.entry(showing.stream).or_insert_with(|| {
            self.0.asked.notify_one();
            Place::default()
        });
        if !place.is_ours {
            return None;
        }
        if place.open.is_none() {
            place.open = Some(self.show(showing, tasks)?);
        }
        let screen = place.open.as_ref().map(|open| open.screen.clone());
        // One that was shown to its end stays: nothing follows.
        screen.filter(|screen| !screen.is_ended())
    }

    /// Nothing but these is wanted any more.
    pub(super) fn close_others(&self, wanted: &[Uuid]) {
        self.places().retain(|stream, _| wanted.contains(stream));
    }

    fn show(&self, showing: &Showing, tasks: &Tasks) -> Option<Open> {
        let inner = &self.0;
        let timeline = inner.playbill.stage().timeline(showing.stream)?;
        let (id, channel_id) = (showing.stream, &showing.channel_id);
        let screen = Arc::new(Screen::new(id, channel_id, showing.epoch, &inner.clock));
        let tasks = tasks.child();
        transcode::attach_rooms(screen.clone(), inner.transcoder.clone(), &tasks);
        let clock = inner.clock.clone();
        tasks.spawn(playout::project(
            timeline,
            screen.clone(),
            clock,
            tasks.clone(),
        ));
        tracing::info!(stream = %id, channel = channel_id, "a show is sent on");
        Some(Open { screen, tasks })
    }

    /// Says whose the shows are that are wanted, until the tasks are stopped.
    pub(super) async fn keep(self, tasks: Tasks) {
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut held = Vec::new();
        loop {
            tokio::select! {
                () = tasks.stopped() => break,
                _ = look.tick() => {}
                () = self.0.asked.notified() => {}
            }
            let wanted: Vec<Uuid> = self.places().keys().copied().collect();
            self.release(
                held.extract_if(.., |stream| !wanted.contains(stream))
                    .collect(),
            )
            .await;
            for stream in wanted {
                let is_ours = self.claim(stream).await;
                if is_ours && !held.contains(&stream) {
                    held.push(stream);
                }
            }
        }
        self.places().clear();
        self.release(held).await;
    }

    /// Whether this gateway sends a show on. A database that does not answer changes nothing.
    async fn claim(&self, stream: Uuid) -> bool {
        let inner = &self.0;
        let has_encoder = inner.hub.placed(stream).is_some();
        let claimed = inner.store.claim_show(stream, has_encoder).await;
        let mut places = self.places();
        let Some(place) = places.get_mut(&stream) else {
            return claimed.unwrap_or(false);
        };
        match claimed {
            Ok(is_ours) => place.is_ours = is_ours,
            Err(err) => tracing::warn!(%err, %stream, "whose a show is cannot be told now"),
        }
        if !place.is_ours && place.open.take().is_some() {
            tracing::info!(%stream, "another gateway sends the show on");
        }
        place.is_ours
    }

    async fn release(&self, streams: Vec<Uuid>) {
        for stream in streams {
            if let Err(err) = self.0.store.release_show(stream).await {
                tracing::debug!(%err, %stream, "a show was not given away");
            }
        }
    }

    fn places(&self) -> MutexGuard<'_, HashMap<Uuid, Place>> {
        self.0.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
