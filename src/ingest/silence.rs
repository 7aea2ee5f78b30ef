//! How long a publish has brought no media. The only clock of a session is this ticker: nothing is timed
//! per read.

use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior, interval};

/// Silence is looked at this often per publish timeout.
const TICKS: u32 = 10;

/// The silence of a publish, which begins with it.
#[derive(Debug)]
pub(super) struct Silence {
    ticker: Interval,
    ticks: u32,
}

impl Silence {
    /// One that may last for `limit`.
    pub(super) async fn new(limit: Duration) -> Silence {
        let mut ticker = interval((limit / TICKS).max(Duration::from_millis(1)));
        ticker.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first tick comes at once.
        ticker.tick().await;
        Silence { ticker, ticks: 0 }
    }

    /// Media came: it begins anew.
    pub(super) fn handle_media(&mut self) {
        self.ticks = 0;
    }

    /// Returns when it has lasted too long. Cancel-safe.
    pub(super) async fn too_long(&mut self) {
        // After media the next tick may come at once, so one more than their number must pass.
        while self.ticks <= TICKS {
            self.ticker.tick().await;
            self.ticks += 1;
        }
    }
}
