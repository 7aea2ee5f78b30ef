//! Media that the gateway fetches itself. In: the source of a channel. Out: the same as from an encoder:
//! tracks and access units, pushed into the hub. Not here: how a URI is written (`base::source`), what an
//! SRT connection carries (`ingest::srt`).
//!
//! THE list of kinds is [`Protocol`]: one file each, which says how to get one session of media from an
//! address. Everything before and after is the same for all of them and is here: when to try again
//! (`base::backoff`), what the log says (`report`); where the host is and whether the gateway may go there is
//! decided in `base::destination`. A source is pulled as long as it is declared; what comes is a publisher like any other, beside
//! encoders with the channel's key.

mod report;
mod srt;

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use tracing::Instrument;

use crate::base::backoff::Backoff;
use crate::base::clock::Clock;
use crate::base::destination::{self, Private, Resolve, System};
use crate::base::shutdown::Tasks;
use crate::base::source::{Protocol, Source};
use crate::ingest::srt::Dialer;
use report::Report;
use srt::Srt;

/// A channel that is pulled.
#[derive(Clone, Debug)]
pub struct Job {
    /// Channel id: `{region}#{application}#{alias}`.
    pub channel_id: String,
    /// Where its media are.
    pub source: Source,
}

/// What all sources have in common.
#[derive(Clone, Debug)]
pub struct Config {
    /// What may be pulled from besides the internet (`FOREBAY_PULL_PRIVATE`).
    pub private: Private,
    /// SRT latency of a source that names none (`FOREBAY_SRT_LATENCY_MS`).
    pub srt_latency: Duration,
    /// How long visits last is read there.
    pub clock: Clock,
}

/// A far side that sends media and hangs up before this is called as one that sends none: it would be
/// called each second, and be told of each time.
const STEADY: Duration = Duration::from_secs(5);

/// Pause after the first failure, at most: a far side that restarts is there again within seconds.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Longest pause. A far side that comes back is on air within a third of the default reconnect window, and
/// one that is away costs a handshake in ten seconds.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Pulls a channel's source until the tasks are stopped. `seed`: of the pauses, so that channels differ.
pub async fn run(job: Job, config: Config, dialer: Dialer, seed: u64, tasks: Tasks) {
    let span = tracing::info_span!("pull", channel = job.channel_id, source = %job.source);
    let fetch = match &job.source.protocol {
        Protocol::Srt(options) => {
            Srt::new(dialer, options, config.srt_latency, job.channel_id.clone())
        }
    };
    pull(job.source, config, fetch, System::default(), seed, tasks)
        .instrument(span)
        .await;
}

/// How one visit to a far side ended.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Visit {
    /// Whether any media came, so that another address need not be tried.
    delivered: bool,
    /// Why it ended, for the log.
    reason: String,
}

/// A way to get media from an address: connects, publishes what comes, and returns when that is over.
/// Dropping the visit ends it.
trait Fetch: Send {
    fn visit(&mut self, address: SocketAddr) -> impl Future<Output = Visit> + Send;
}

/// Pulls a source until the tasks are stopped.
async fn pull(
    source: Source,
    config: Config,
    mut fetch: impl Fetch,
    mut resolver: impl Resolve,
    seed: u64,
    tasks: Tasks,
) {
    let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE, seed);
    let mut report = Report::default();
    let attempts = async {
        loop {
            let since = config.clock.monotonic();
            let visit = attempt(&source, &config.private, &mut fetch, &mut resolver).await;
            if tasks.is_stopped() {
                return;
            }
            let lasted = config.clock.monotonic().saturating_sub(since);
            if visit.delivered && lasted >= STEADY {
                backoff.reset();
                report.handle_media();
            }
            let pause = backoff.pause();
            if !report.handle_failure(&visit.reason) {
                tracing::debug!(reason = visit.reason, ?pause, "source is away");
            }
            tokio::time::sleep(pause).await;
        }
    };
    tokio::select! {
        // First, so that a visit that ends itself at a stop does.
        biased;
        () = attempts => {}
        () = tasks.stopped() => {}
    }
}

/// Visits the source's addresses, one after another, until one of them has media.
async fn attempt(
    source: &Source,
    private: &Private,
    fetch: &mut impl Fetch,
    resolver: &mut impl Resolve,
) -> Visit {
    let place = (source.host.as_str(), source.port);
    let addresses = match destination::addresses(place, private, resolver).await {
        Ok(addresses) => addresses,
        Err(error) => {
            return Visit {
                delivered: false,
                reason: error.to_string(),
            };
        }
    };
    let mut last = None;
    for address in addresses {
        // One span for each, since what is recorded in a span stays in it.
        let span = tracing::info_span!(
            "ingest",
            proto = source.protocol.name(),
            session = crate::ingest::next_session(),
            peer = %address,
            stream = tracing::field::Empty,
        );
        let visit = fetch.visit(address).instrument(span).await;
        if visit.delivered {
            return visit;
        }
        last = Some(visit);
    }
    last.expect("a host that was found has an address")
}

#[cfg(test)]
mod tests;
