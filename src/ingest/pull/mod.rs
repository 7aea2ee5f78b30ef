//! Media that the gateway fetches itself. In: the source of a channel. Out: the same as from an encoder:
//! tracks and access units, pushed into the hub. Not here: how a URI is written (`base::source`), what an
//! SRT connection carries (`ingest::srt`).
//!
//! THE list of kinds is [`Protocol`]: one file each, which says how to get one session of media from an
//! address. Everything before and after is the same for all of them and is here: where the host is and
//! whether the gateway may go there (`address`), when to try again (`backoff`), what the log says
//! (`report`). A source is pulled as long as it is declared; what comes is a publisher like any other, beside
//! encoders with the channel's key.

pub mod address;
mod backoff;
mod report;

use std::future::Future;
use std::net::SocketAddr;

use crate::base::network::Network;
use crate::base::shutdown::Tasks;
use crate::base::source::{Protocol, Source};
use address::Resolve;
use backoff::Backoff;
use report::Report;

/// A channel that is pulled.
#[derive(Clone, Debug)]
pub struct Job {
    /// Channel id: `{region}#{application}#{alias}`.
    pub channel_id: String,
    /// Where its media are.
    pub source: Source,
}

/// What all sources have in common.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Networks besides the internet that may be pulled from (`FOREBAY_PULL_PRIVATE`).
    pub private: Vec<Network>,
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
    job: Job,
    config: Config,
    mut fetch: impl Fetch,
    mut resolver: impl Resolve,
    seed: u64,
    tasks: Tasks,
) {
    let mut backoff = Backoff::new(seed);
    let mut report = Report::default();
    let attempts = async {
        loop {
            let visit = attempt(&job.source, &config.private, &mut fetch, &mut resolver).await;
            if visit.delivered {
                backoff.reset();
                report.handle_media();
            }
            let pause = backoff.next();
            if !report.handle_failure(&visit.reason) {
                tracing::debug!(reason = visit.reason, ?pause, "source could not be pulled");
            }
            tokio::time::sleep(pause).await;
        }
    };
    tokio::select! {
        () = tasks.stopped() => {}
        () = attempts => {}
    }
}

/// Visits the source's addresses, one after another, until one of them has media.
async fn attempt(
    source: &Source,
    private: &[Network],
    fetch: &mut impl Fetch,
    resolver: &mut impl Resolve,
) -> Visit {
    let addresses = match address::addresses(source, private, resolver).await {
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
        let visit = fetch.visit(address).await;
        if visit.delivered {
            return visit;
        }
        last = Some(visit);
    }
    last.expect("a host that was found has an address")
}

#[cfg(test)]
mod tests;
