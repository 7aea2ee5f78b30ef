//! Broadcasts that nobody keeps alive end (contract, broadcasts, section 4.3). In: what is on air, and the
//! clock. Out: signs of life in the store, and broadcasts that turn to `error`.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use crate::base::clock::{Clock, Wall};
use crate::base::shutdown::Tasks;
use crate::control::Live;
use crate::store::{Error, Silence, Store};

/// How often signs of life are looked for.
const LOOK: Duration = Duration::from_secs(5);
/// Without a heartbeat and without media for so long, an active broadcast is over: three heartbeats.
const ACTIVE: Duration = Duration::from_secs(90);
/// Without media for so long, an anonymous broadcast is over.
const ANONYMOUS: Duration = Duration::from_secs(3600);

/// Looks after the broadcasts of a region.
pub struct Lifecycle {
    store: Store,
    live: Arc<dyn Live>,
    region: String,
    clock: Clock,
    /// Monotonic time: nobody could give a sign to a gateway that was not there.
    began: Duration,
}

impl Lifecycle {
    /// Begins now.
    pub fn new(store: Store, live: Arc<dyn Live>, region: String, clock: Clock) -> Lifecycle {
        Lifecycle {
            began: clock.monotonic(),
            store,
            live,
            region,
            clock,
        }
    }

    /// Looks after them until the tasks are stopped.
    pub async fn run(self, tasks: Tasks) {
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = tasks.stopped() => return,
                _ = look.tick() => {}
            }
            // To its end: a change that is half applied would be read again by all.
            if let Err(err) = self.look().await {
                tracing::error!(%err, "broadcasts could not be looked after");
            }
        }
    }

    /// Looks once.
    pub(super) async fn look(&self) -> Result<(), Error> {
        let is_of_broadcast = |id: &str| {
            let channel = self.store.known_id(id);
            channel.is_some_and(|channel| channel.is_of_broadcast())
        };
        let listed = self.live.list().into_iter();
        let fed = listed.filter(|listed| listed.on_air && is_of_broadcast(&listed.channel_id));
        let fed: Vec<String> = fed.map(|listed| listed.channel_id).collect();
        if !fed.is_empty() {
            self.store.broadcasts_fed(&fed).await?;
        }
        if self.clock.monotonic().saturating_sub(self.began) < ACTIVE {
            return Ok(());
        }
        let silence = Silence {
            active: self.before(ACTIVE),
            anonymous: self.before(ANONYMOUS),
        };
        let ended = self.store.end_silent_broadcasts(&self.region, silence);
        for broadcast in ended.await? {
            tracing::info!(broadcast = %broadcast.id, "broadcast ended: it gave no sign of life");
        }
        Ok(())
    }

    fn before(&self, span: Duration) -> Wall {
        let micros = i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
        self.clock.wall().plus_micros(-micros)
    }
}
