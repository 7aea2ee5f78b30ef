//! SRT in both directions: callers of our ports, and the sources of channels, which we call. In: settings
//! and bound ports. Out: running tasks.

use anyhow::Context;

use crate::base::shutdown::Tasks;
use crate::config::Config;
use crate::hub::Hub;
use crate::ingest::{pull, srt};

/// Serves the ports and pulls every declared source, until `ingest` is stopped.
pub(super) fn start(
    config: &Config,
    listeners: srt::Listeners,
    srt_config: srt::Config,
    hub: Hub,
    ingest: &Tasks,
) -> anyhow::Result<()> {
    let jobs = jobs(config);
    let listeners = match jobs.is_empty() {
        true => listeners,
        false => listeners.for_calls().context("cannot pull")?,
    };
    let Some(server) = srt::Server::new(listeners, hub, srt_config, ingest.clone()) else {
        return Ok(());
    };
    let dialer = server.dialer();
    ingest.spawn(server.run());
    for job in jobs {
        let pull_config = pull::Config {
            private: config.publish.pull_private.clone(),
            srt_latency: config.listen.srt_latency,
        };
        let mut seed = [0; 8];
        // Without random numbers all channels call at once: a pity, not an error.
        let _ = getrandom::fill(&mut seed);
        let seed = u64::from_ne_bytes(seed);
        ingest.spawn(pull::run(
            job,
            pull_config,
            dialer.clone(),
            seed,
            ingest.clone(),
        ));
    }
    Ok(())
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
