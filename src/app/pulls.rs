//! Sources of channels, pulled. In: settings, sources, and what makes calls. Out: a running task for each,
//! that can be stopped.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::base::clock::Clock;
use crate::base::lanes::{self, Lanes};
use crate::base::shutdown::Tasks;
use crate::base::source::Source;
use crate::config::Config;
use crate::control;
use crate::ingest::{pull, srt};

/// What settings want pulled. Sources of other channels are pulled as the channels come.
pub(super) fn jobs(config: &Config) -> Vec<pull::Job> {
    let declared = config.channels.iter().filter_map(|channel| {
        Some(pull::Job {
            channel_id: config.identity.channel_id(&channel.alias),
            source: channel.source.clone()?,
        })
    });
    declared.collect()
}

/// Sources that are pulled now, by channel id.
pub(super) struct Pulls {
    config: pull::Config,
    dialer: srt::Dialer,
    lanes: Lanes,
    ingest: Tasks,
    running: Mutex<HashMap<String, Tasks>>,
}

impl Pulls {
    /// Nothing yet. What is pulled ends with `ingest`.
    pub(super) fn new(
        config: &Config,
        dialer: srt::Dialer,
        lanes: Lanes,
        clock: &Clock,
        ingest: &Tasks,
    ) -> Pulls {
        Pulls {
            config: pull::Config {
                private: config.publish.may_pull_from(),
                srt_latency: config.listen.srt_latency,
                clock: clock.clone(),
            },
            dialer,
            lanes,
            ingest: ingest.clone(),
            running: Mutex::default(),
        }
    }

    fn running(&self) -> MutexGuard<'_, HashMap<String, Tasks>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl control::Sources for Pulls {
    fn start(&self, channel_id: &str, source: Source) {
        let mut seed = [0; 8];
        // Without random numbers all channels call at once: a pity, not an error.
        let _ = getrandom::fill(&mut seed);
        let seed = u64::from_ne_bytes(seed);
        let tasks = self.ingest.child();
        if let Some(before) = self.running().insert(channel_id.to_owned(), tasks.clone()) {
            before.stop();
        }
        let job = pull::Job {
            channel_id: channel_id.to_owned(),
            source,
        };
        let (config, dialer) = (self.config.clone(), self.dialer.clone());
        let run = pull::run(job, config, dialer, seed, tasks);
        self.lanes.spawn(&self.ingest, lanes::COPIER, run);
    }

    fn stop(&self, channel_id: &str) {
        if let Some(tasks) = self.running().remove(channel_id) {
            tasks.stop();
        }
    }
}
