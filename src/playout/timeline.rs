//! The timeline of one show.

mod unread;
mod watched;

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use super::Show;
use super::leg::Leg;
use super::stage::Inner;
use crate::base::clock::Wall;
use crate::base::id::Uuid;
use crate::media::timeline::{Description, Found, Progress, Resource, Snapshot, Timeline, Wait};
use unread::Unread;
use watched::Watched;

/// Who waits looks again after this, whatever is announced: clocks are set, and films are prepared.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Timers are late rather than early by this, so that who wakes finds what was waited for.
const LATE: Duration = Duration::from_millis(1);
/// What players read of a show. Cloning shares it.
#[derive(Clone)]
pub(super) struct Playing(Arc<Kept>);

struct Kept {
    stage: Weak<Inner>,
    stream: Uuid,
    show: Mutex<Arc<Show>>,
    put: tokio::sync::watch::Sender<()>,
    /// While somebody plays.
    watched: Mutex<Option<Box<Watched>>>,
}

impl Playing {
    pub(super) fn new(stage: Weak<Inner>, show: Show) -> Playing {
        Playing(Arc::new(Kept {
            stage,
            stream: show.stream,
            show: Mutex::new(Arc::new(show)),
            put: tokio::sync::watch::channel(()).0,
            watched: Mutex::default(),
        }))
    }

    pub(super) fn id(&self) -> Uuid {
        self.0.stream
    }

    pub(super) fn show(&self) -> Arc<Show> {
        self.0.show()
    }

    /// Another cut log. Those who wait look at once.
    pub(super) fn put(&self, show: Show) {
        let mut known = self.0.show.lock().unwrap_or_else(PoisonError::into_inner);
        if **known == show {
            return;
        }
        *known = Arc::new(show);
        drop(known);
        self.0.put.send_replace(());
    }

    /// A resource; `None` when the index is not in memory.
    fn look_up(&self, rendition: &str, resource: Resource<'_>) -> Option<Found> {
        self.0.look(true, |watched, now, leg| {
            let found = watched.find(rendition, resource, now, leg);
            Some(found.unwrap_or(Found::Missing))
        })
    }

    /// Those who wait look at once.
    pub(super) fn wake(&self) {
        self.0.put.send_replace(());
    }
}

impl Kept {
    fn show(&self) -> Arc<Show> {
        self.show
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Box<Watched>>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the show as it is now; `None` when its index is not in memory. `used` says that somebody plays.
    fn look<T>(
        &self,
        used: bool,
        act: impl FnOnce(&mut Watched, Wall, Option<Leg<'_>>) -> Option<T>,
    ) -> Option<T> {
        let stage = self.stage.upgrade()?;
        let show = self.show();
        let uptime = stage.clock.monotonic();
        let loaded = match used {
            true => stage.shelf.take(show.asset, uptime),
            false => stage.shelf.peek(show.asset, uptime),
        };
        let Some(loaded) = loaded else {
            *self.lock() = None;
            return None;
        };
        if stage.shelf.is_due(&loaded, uptime) {
            stage.read_aside(show.asset);
        }
        let now = stage.clock.wall();
        let leg = stage.leg(show.stream);
        let mut watched = self.lock();
        let same = watched.as_ref().is_some_and(|known| {
            Arc::ptr_eq(&known.show, &show) && Arc::ptr_eq(&known.loaded, &loaded)
        });
        if !same {
            let before = watched.take();
            *watched = Some(Box::new(Watched::new(&stage, show, loaded, before)?));
        }
        let watched = watched.as_mut()?;
        watched.latest = watched.latest.max(now);
        let now = watched.latest;
        let legs = watched.legs(leg, now);
        act(watched, now, Leg::of(&legs))
    }

    /// Has the index in memory.
    async fn load(&self) -> io::Result<()> {
        let stage = self.stage.upgrade().ok_or(io::ErrorKind::NotFound)?;
        let show = self.show();
        let uptime = stage.clock.monotonic();
        match stage.shelf.take(show.asset, uptime) {
            // All who wait for a film that is still being prepared come here with each part.
            Some(loaded) if !loaded.is_stale(uptime) => Ok(()),
            Some(_) | None => stage.load(show.asset).await,
        }
    }
}

impl Timeline for Playing {
    fn description(&self) -> Option<Arc<Description>> {
        self.0
            .look(false, |watched, now, leg| watched.describe(now, leg))
    }

    fn snapshot(&self, rendition: &str) -> Option<Arc<Snapshot>> {
        self.0.look(false, |watched, now, leg| {
            let rung = watched.rung(rendition, now, leg)?;
            Some(rung.snapshot.clone())
        })
    }

    fn progress(&self, rendition: &str) -> Option<Progress> {
        self.0.look(false, |watched, now, leg| {
            let rung = watched.rung(rendition, now, leg)?;
            Some(rung.progress)
        })
    }

    fn find(&self, rendition: &str, resource: Resource<'_>) -> Found {
        match self.look_up(rendition, resource) {
            Some(found) => found,
            None => Found::Stored(Arc::new(Unread::new(self, rendition, resource))),
        }
    }

    fn changed<'a>(&'a self, rendition: &'a str, seen: u64) -> Wait<'a> {
        Box::pin(async move {
            let mut put = self.0.put.subscribe();
            loop {
                put.mark_unchanged();
                if let Err(err) = self.0.load().await {
                    tracing::debug!(%err, stream = %self.0.stream, "a show's media cannot be read");
                }
                let stage = self.0.stage.upgrade();
                let Some(stage) = stage else { return };
                let leg = stage.leg(self.0.stream);
                let looked = self.0.look(true, |watched, now, leg| {
                    let next = watched.rung(rendition, now, leg).map(|rung| {
                        let next = rung.next.map(|next| next.micros_since(now));
                        (rung.progress.version, next, rung.leg)
                    });
                    Some(next.unwrap_or_else(|| {
                        let version = watched
                            .describe(now, leg)
                            .map_or(0, |description| description.version);
                        (version, None, None)
                    }))
                });
                drop(stage);
                let (version, next, leg_seen) = looked.unwrap_or((0, None, None));
                if version != seen {
                    return;
                }
                let next = next
                    .map(|micros| Duration::from_micros(u64::try_from(micros).unwrap_or(0)) + LATE);
                let sleep = tokio::time::sleep(next.unwrap_or(LOOK_AGAIN).min(LOOK_AGAIN));
                let leg_changed = async {
                    match (leg, leg_seen) {
                        (Some(leg), Some(seen)) => leg.changed(rendition, seen).await,
                        _ => std::future::pending().await,
                    }
                };
                tokio::select! {
                    () = sleep => {}
                    () = leg_changed => {}
                    changed = put.changed() => if changed.is_err() { return },
                }
            }
        })
    }
}
