//! Sources of channels, pulled. In: settings, channels of the database, and what makes calls. Out: a
//! running task for each, that can be stopped.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tracing::warn;

use crate::base::clock::Clock;
use crate::base::id::region_of;
use crate::base::lanes::Lanes;
use crate::base::shutdown::Tasks;
use crate::base::source::Source;
use crate::config::Config;
use crate::control;
use crate::ingest::{pull, srt};
use crate::store::{self, Store};

/// What settings, and channels of the database that are of this gateway's region, want pulled: what other
/// gateways on the same database pull is called once.
pub(super) async fn jobs(config: &Config, store: &Store) -> Result<Vec<pull::Job>, store::Error> {
    let declared = config.channels.iter().filter_map(|channel| {
        Some(pull::Job {
            channel_id: config.identity.channel_id(&channel.alias),
            source: channel.source.clone()?,
        })
    });
    let mut jobs: Vec<pull::Job> = declared.collect();
    let region = &config.identity.region;
    for channel in store.channels().await? {
        let is_ours = !channel.declared && region_of(&channel.id) == region;
        let options = channel.ingest.filter(|_| is_ours);
        let Some(uri) = options.and_then(|options| options.source_uri) else {
            continue;
        };
        // It was read when the channel was made; another version may have accepted more.
        match Source::parse(uri.expose()) {
            Ok(source) => jobs.push(pull::Job {
                channel_id: channel.id,
                source,
            }),
            Err(err) => warn!(channel = channel.id, %err, "source is not pulled"),
        }
    }
    Ok(jobs)
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
                private: config.publish.pull_private.clone(),
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
        self.lanes.spawn(&self.ingest, run);
    }

    fn stop(&self, channel_id: &str) {
        if let Some(tasks) = self.running().remove(channel_id) {
            tasks.stop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::id::Uuid;
    use crate::base::secret::Secret;
    use crate::store::{Creation, IngestOptions, SourceUri};

    #[tokio::test]
    async fn two_gateways_on_one_database_pull_each_source_once() {
        let data = std::env::temp_dir().join(format!("forebay-pulls-{}", Uuid::new_v4()));
        let store = Store::open(&data, Clock::system()).await.unwrap();
        let secret = Secret::new("application-secret");
        store.ensure_application("app", &secret).await.unwrap();
        for (region, alias, pulled) in [
            ("local", "a", true),
            ("eu", "b", true),
            ("local", "c", false),
        ] {
            let options = IngestOptions {
                source_uri: pulled.then(|| SourceUri::new(format!("srt://{alias}.example:9000"))),
                ..IngestOptions::default()
            };
            let new = Creation {
                region,
                application_id: "app",
                alias,
                name: alias,
                description: "",
                options: &[],
                ingest: Some(&options),
            };
            store.create_channel(&new, 10).await.unwrap();
        }
        let mut pulled = Vec::new();
        for region in ["local", "eu", "local-2"] {
            let mut config = Config::default();
            config.identity.region = region.to_owned();
            // At each start of one.
            let jobs = jobs(&config, &store).await.unwrap();
            pulled.extend(jobs.into_iter().map(|job| job.channel_id));
        }
        assert_eq!(pulled, ["local#app#a", "eu#app#b"]);
        store.close().await;
        let _ = std::fs::remove_dir_all(&data);
    }
}
