//! What the gateway sends on. In: a stream, a destination. Out: the stream's renditions there, for as long as
//! the stream lives, and what became of it ([`Status`]). Not here: which streams go where (`app::forwards`),
//! how media get into packets (`rtc`).
//!
//! THE list of kinds of destinations are the folders here: each has a [`Carrier`], which makes one attempt.
//! Everything that is the same for all of them is beside them: when to try again ([`run`], the only one who
//! does), what is told of it (`status`), which renditions are sent to those who take H.264 without B-frames
//! and Opus (`layers`, `feed`), in step with one another (`step`). A forward never holds its stream up: everything is behind a
//! [`Tap`](crate::hub::tap::Tap).

pub mod feed;
pub mod ingress;
pub mod layers;
pub mod livekit;
pub mod rtmp;
pub mod status;
mod step;
pub mod whip;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use crate::base::backoff::Backoff;
use crate::base::shutdown::Tasks;
use crate::hub::tap::{Tap, Tapped};
pub use status::{Board, LayerStatus, State, Status, Tally, Told};

/// Events of a stream that wait for its forward: some three seconds of a picture with three layers and sound.
/// When it is full, units are dropped up to the next key unit.
const QUEUE_UNITS: usize = 512;
/// Pause after the first failure, at most; and, at most, while the far side is merely away: a server that
/// restarts is served again within three seconds of its return.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Longest pause, and that after a refusal.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// A destination that was live for this long has no failures behind it.
const STEADY: Duration = Duration::from_secs(10);
/// How long what an attempt needed of the stream is kept for the next one, which says itself what it needs:
/// an encoder that is started for forwards goes on meanwhile.
const HELD: Duration = Duration::from_secs(5);

/// What a goodbye may take when a forward is told to stop: it is wanted no more, or the gateway stops.
const GOODBYE_WITHIN: Duration = Duration::from_secs(3);

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Why, for people; without a secret in it.
    pub reason: String,
    /// What comes next.
    pub again: Again,
}

/// What comes after an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// Another one at once: what is sent changes, and nothing failed.
    AtOnce,
    /// Another one within a second: the far side is away, and ours.
    Soon,
    /// Another one, the later the more have failed.
    Later,
    /// Another one after the longest pause: it was refused, and somebody has to change something.
    Refused,
    /// None: the stream is over.
    Never,
}

impl Ended {
    /// The stream is over.
    pub fn over() -> Ended {
        Ended {
            reason: "the stream is over".to_owned(),
            again: Again::Never,
        }
    }

    /// A tap gives nothing any more.
    pub fn unread(stream: &dyn Tapped) -> Ended {
        match stream.is_ended() {
            true => Ended::over(),
            false => Ended::new("what the stream has to tell was not read", Again::Soon),
        }
    }

    /// Something failed.
    pub fn new(reason: impl ToString, again: Again) -> Ended {
        Ended {
            reason: reason.to_string(),
            again,
        }
    }
}

/// An attempt that takes as long as it goes well.
pub type Carrying<'a> = Pin<Box<dyn Future<Output = Ended> + Send + 'a>>;

/// A way to bring a stream to a destination.
pub trait Carrier: Send {
    /// Makes one attempt: says what it needs of `tap`, connects, says so to `told`, sends what comes, and
    /// returns when that is over. Every wait on the far side has a deadline. Dropping it ends it.
    fn carry<'a>(
        &'a mut self,
        stream: &'a dyn Tapped,
        tap: &'a mut Tap,
        told: &'a Told,
    ) -> Carrying<'a>;
}

/// Carries a stream to a destination until it is over or the tasks are stopped, which ends an attempt as the
/// stream's end does: with a goodbye. `seed`: of the pauses, so that forwards differ.
pub async fn run(
    stream: Arc<dyn Tapped>,
    mut carrier: Box<dyn Carrier>,
    told: Told,
    seed: u64,
    tasks: Tasks,
) {
    let attempts = attempts(&*stream, &mut *carrier, (&told, &tasks), seed);
    let too_late = async {
        tasks.stopped().await;
        sleep(GOODBYE_WITHIN).await;
    };
    tokio::select! {
        () = attempts => {}
        () = too_late => {}
    }
    told.over();
}

async fn attempts(
    stream: &dyn Tapped,
    carrier: &mut dyn Carrier,
    (told, tasks): (&Told, &Tasks),
    seed: u64,
) {
    let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE, seed);
    let mut before: Option<Tap> = None;
    loop {
        let mut tap = stream.tap(QUEUE_UNITS);
        tap.end_with(tasks);
        told.attempt();
        let ended = attempt(stream, carrier, (&mut tap, &mut before), told).await;
        if ended.again == Again::Never || stream.is_ended() || tasks.is_stopped() {
            return;
        }
        tap.choose(&[]);
        before = Some(tap);
        if told.live_for().is_some_and(|lasted| lasted >= STEADY) {
            backoff.reset();
        }
        let pause = match ended.again {
            Again::AtOnce | Again::Never => continue,
            Again::Soon => backoff.first(),
            Again::Later => backoff.pause(),
            Again::Refused => backoff.longest(),
        };
        let first = told.failed(&ended, pause);
        match (first, ended.again) {
            (true, Again::Refused) => tracing::warn!(reason = ended.reason, "forward is refused"),
            (true, _) => tracing::info!(reason = ended.reason, "forward is interrupted"),
            (false, _) => tracing::debug!(reason = ended.reason, ?pause, "forward failed again"),
        }
        tokio::select! {
            () = sleep(pause) => {}
            // What is told to a tap that nobody reads is little, and the end is among it.
            () = ended_of(before.as_mut()) => return,
        }
    }
}

async fn attempt(
    stream: &dyn Tapped,
    carrier: &mut dyn Carrier,
    (tap, before): (&mut Tap, &mut Option<Tap>),
    told: &Told,
) -> Ended {
    let mut carrying = carrier.carry(stream, tap, told);
    if before.is_some() {
        tokio::select! {
            ended = &mut carrying => return ended,
            () = sleep(HELD) => *before = None,
        }
    }
    carrying.await
}

/// When the stream is over.
async fn ended_of(tap: Option<&mut Tap>) {
    let Some(tap) = tap else {
        return std::future::pending().await;
    };
    while let Some(event) = tap.recv().await {
        if matches!(event, crate::hub::tap::Event::End) {
            return;
        }
    }
    // Cut off: the next attempt has a tap of its own, and finds an end if there is one.
    std::future::pending().await
}

#[cfg(test)]
pub(crate) mod tests;
