//! Sources of channels, pulled. In: settings, and what makes calls. Out: a running task for each.

use crate::base::clock::Clock;
use crate::base::lanes::Lanes;
use crate::base::shutdown::Tasks;
use crate::config::Config;
use crate::ingest::{pull, srt};

/// What the settings want pulled.
pub(super) fn jobs(config: &Config) -> Vec<pull::Job> {
    let declared = config.channels.iter().filter_map(|channel| {
        Some(pull::Job {
            channel_id: config.identity.channel_id(&channel.alias),
            source: channel.source.clone()?,
        })
    });
    declared.collect()
}

/// Pulls until `ingest` is stopped.
pub(super) fn start(
    jobs: Vec<pull::Job>,
    config: &Config,
    dialer: &srt::Dialer,
    lanes: &Lanes,
    clock: &Clock,
    ingest: &Tasks,
) {
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
}
