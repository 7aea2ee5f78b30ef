//! Recordings in the running gateway: which streams are kept, where players find them afterwards.

use std::net::IpAddr;
use std::sync::Arc;

use anyhow::Context;
use bytes::Bytes;

use crate::base::clock::Clock;
use crate::base::id::Uuid;
use crate::base::shutdown::Tasks;
use crate::config::Config;
use crate::control::Playbill;
use crate::control::token::{Target, Tokens};
use crate::hub::gate::Pending;
use crate::hub::{Hub, Shown};
use crate::media::timeline::Timeline;
use crate::origin;
use crate::record::{self, Library, disk};
use crate::store::{Channel, Named, Store};

/// Capability of streams that are kept.
const ON_DEMAND: &str = "on-demand";
/// Capability of streams that are played with a token only.
const TOKEN_AUTH: &str = "token-auth";
/// Folder of recordings below the data folder.
const FOLDER: &str = "recordings";

/// All recordings, and who keeps them.
#[derive(Clone, Debug)]
pub(super) struct Recordings {
    pub(super) library: Library,
    /// Stops when everything that was published is packaged, not before.
    tasks: Tasks,
}

impl Recordings {
    /// Looks through what earlier runs kept.
    pub(super) async fn open(
        config: &Config,
        clock: &Clock,
        tasks: &Tasks,
    ) -> anyhow::Result<Recordings> {
        let settings = record::Config {
            folder: config.storage.data.join(FOLDER),
            keep: config.record.keep(),
            least_free_bytes: config.record.min_free_bytes(),
            make_room: config.record.on_full == "oldest",
        };
        let clock = clock.clone();
        let opening = tokio::task::spawn_blocking(move || {
            Library::open(settings, Arc::new(disk::Local), clock)
        });
        let library = opening.await?.context("cannot open the recordings")?;
        Ok(Recordings {
            library,
            tasks: tasks.clone(),
        })
    }

    /// Keeps those streams and forks of a hub that ask for it.
    pub(super) fn keep(&self, hub: &Hub) {
        let Recordings { library, tasks } = self.clone();
        hub.keep_with(Box::new(move |shown: Shown| {
            let words = &shown.admission.capabilities;
            if words.iter().any(|word| word == ON_DEMAND) {
                library.follow(shown, &tasks);
            }
        }));
    }

    /// Closes what nobody goes on with, and looks after the rest. Called when the hub has taken up the
    /// streams of the last run.
    pub(super) async fn settle(&self) -> anyhow::Result<()> {
        let library = self.library.clone();
        tokio::task::spawn_blocking(move || library.settle()).await?;
        let run = self.library.clone().run(self.tasks.clone());
        self.tasks.spawn(run);
        Ok(())
    }

    /// Films of events, streams that live, and recordings of those that do not.
    pub(super) fn streams(
        &self,
        playbill: &Playbill,
        hub: &Hub,
        store: &Store,
    ) -> Arc<dyn origin::Streams> {
        Arc::new(Playable {
            playbill: playbill.clone(),
            hub: hub.clone(),
            store: store.clone(),
            library: self.library.clone(),
        })
    }

    /// Recordings of protected streams are opened by the same tokens; living streams by `living`.
    pub(super) fn access(
        &self,
        (playbill, hub): (&Playbill, &Hub),
        tokens: &Tokens,
        living: Arc<dyn origin::Access>,
    ) -> Arc<dyn origin::Access> {
        Arc::new(Access {
            playbill: playbill.clone(),
            hub: hub.clone(),
            library: self.library.clone(),
            tokens: tokens.clone(),
            living,
        })
    }
}

struct Playable {
    playbill: Playbill,
    hub: Hub,
    store: Store,
    library: Library,
}

impl Playable {
    /// The stream of a channel: of the event that is on in its place, of its own film, or its newest.
    fn on_air(&self, channel: &Channel) -> Option<Uuid> {
        let event = self.playbill.on_channel(&channel.id);
        let film = channel
            .stream_id
            .filter(|stream| self.playbill.has(*stream));
        event.or(film).or_else(|| self.hub.newest(&channel.id))
    }
}

impl origin::Streams for Playable {
    fn timeline(&self, id: Uuid) -> Option<Arc<dyn Timeline>> {
        // An encoder that takes over is seen through the show.
        if let Some(show) = self.playbill.stage().timeline(id) {
            return Some(show);
        }
        // As long as the hub knows a stream its players see one playlist only.
        match self.hub.timeline(id) {
            Some(timeline) => Some(timeline),
            None => self.library.timeline(id),
        }
    }

    /// As universal manifests do: of several applications' channels of one alias the oldest, whichever of
    /// them are on air.
    fn find<'a>(&'a self, name: &'a str) -> Pending<'a, Option<Uuid>> {
        Box::pin(async move {
            let event = Uuid::parse_str(name).ok();
            if let Some(stream) = event.and_then(|event| self.playbill.stream_of(event)) {
                return Some(stream);
            }
            match self.store.find_stream(name).await {
                Ok(Some(Named::Channel(channel))) => self.on_air(&channel),
                Ok(Some(Named::Broadcast(stream))) => Some(stream),
                Ok(None) => None,
                Err(err) => {
                    tracing::error!(%err, "a stream could not be looked up by its name");
                    None
                }
            }
        })
    }

    fn ids(&self) -> Vec<Uuid> {
        let shows = self.playbill.stage().ids().into_iter();
        let living = origin::Streams::ids(&self.hub).into_iter();
        shows
            .chain(living.filter(|id| !self.playbill.has(*id)))
            .collect()
    }

    fn thumbnail(&self, id: Uuid) -> Option<Bytes> {
        origin::Streams::thumbnail(&self.hub, id)
    }
}

struct Access {
    playbill: Playbill,
    hub: Hub,
    library: Library,
    tokens: Tokens,
    living: Arc<dyn origin::Access>,
}

impl origin::Access for Access {
    fn allows(&self, stream: Uuid, token: Option<&str>, client: IpAddr) -> bool {
        // What events show is for everybody, also while an encoder is on.
        if self.playbill.has(stream) {
            return true;
        }
        if self.hub.admission(stream).is_some() {
            return self.living.allows(stream, token, client);
        }
        let Some(recording) = self.library.get(stream) else {
            return false;
        };
        let about = &recording.about;
        if !about.has_capability(TOKEN_AUTH) {
            return true;
        }
        let target = Target {
            stream_id: Some(stream),
            origin_id: Some(stream),
            channel_id: &about.channel_id,
            alias: &about.alias,
            capabilities: &about.capabilities,
            tags: &about.tags,
            // Nobody feeds it any more.
            has_session: &|_| false,
            peer: Some(client),
        };
        token.is_some_and(|token| self.tokens.playback(token, &target).is_ok())
    }
}
