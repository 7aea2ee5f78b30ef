//! SRT in both directions: callers of our ports, and the sources of channels, which we call. In: settings
//! and bound ports. Out: running tasks.

use std::sync::Arc;

use anyhow::Context;

use crate::base::clock::Clock;
use crate::base::lanes::Lanes;
use crate::base::shutdown::Tasks;
use crate::config::Config;
use crate::hub::Hub;
use crate::ingest::{Stats, pull, srt};

/// Serves the ports and pulls every declared source, until `ingest` is stopped. Gives back where it counts.
pub(super) fn start(
    config: &Config,
    listeners: srt::Listeners,
    lanes: Lanes,
    hub: Hub,
    clock: &Clock,
    ingest: &Tasks,
) -> anyhow::Result<Arc<Stats>> {
    let srt_config = srt_config(config, lanes.clone());
    let stats = srt_config.stats.clone();
    let jobs = jobs(config);
    let listeners = match jobs.is_empty() {
        true => listeners,
        false => listeners.for_calls().context("cannot pull")?,
    };
    let Some(server) = srt::Server::new(listeners, hub, srt_config, ingest.clone()) else {
        return Ok(stats);
    };
    let dialer = server.dialer();
    ingest.spawn(server.run());
    for job in jobs {
        let pull_config = pull::Config {
            private: config.publish.pull_private.clone(),
            srt_latency: config.listen.srt_latency,
            clock: clock.clone(),
        };
        let mut seed = [0; 8];
        // Without random numbers all channels call at once: a pity, not an error.
        let _ = getrandom::fill(&mut seed);
        let seed = u64::from_ne_bytes(seed);
        let run = pull::run(job, pull_config, dialer.clone(), seed, ingest.clone());
        lanes.spawn(ingest, run);
    }
    Ok(stats)
}

/// What listeners and calls have in common.
fn srt_config(config: &Config, lanes: Lanes) -> srt::Config {
    let passphrases = config.channels.iter().filter_map(|channel| {
        let id = config.identity.channel_id(&channel.alias);
        Some((id, channel.srt_passphrase.clone()?))
    });
    srt::Config {
        publish_timeout: config.publish.publish_timeout,
        passphrase: config.listen.srt_passphrase.clone(),
        channel_passphrases: passphrases.collect(),
        lanes,
        ..srt::Config::default()
    }
}

fn jobs(config: &Config) -> Vec<pull::Job> {
    let declared = config.channels.iter().filter_map(|channel| {
        Some(pull::Job {
            channel_id: config.identity.channel_id(&channel.alias),
            source: channel.source.clone()?,
        })
    });
    declared.collect()
}
