//! Rooms that become channels, wired. In: settings, and where somebody publishes. Out: a running listener for
//! each such room.

use std::sync::Arc;

use super::measure::Figures;
use super::pulls::Pulls;
use crate::base::clock::Clock;
use crate::base::lanes::Lanes;
use crate::base::shutdown::Tasks;
use crate::base::source::Source;
use crate::config::Config;
use crate::control::{self, Room};
use crate::hub::Hub;
use crate::ingest::livekit::{self, Listeners};
use crate::livekit::Server;

/// Roles of those whose media the channel gets (contract, broadcasts, section 5).
const ROLES: [&str; 2] = ["publisher", "co_host"];

/// Listeners in rooms; none without a LiveKit server.
pub(super) struct Rooms(Option<Listeners>);

impl Rooms {
    /// Nobody is listened to yet. Listeners run on the lanes and end with `ingest`.
    pub(super) fn new(
        server: Option<Server>,
        config: &Config,
        hub: &Hub,
        figures: &Figures,
        lanes: Lanes,
        clock: &Clock,
        ingest: &Tasks,
    ) -> Rooms {
        let Some(server) = server else {
            return Rooms(None);
        };
        let settings = livekit::Config {
            server,
            publish_timeout: config.publish.publish_timeout,
            key_interval: config.media.segment,
            lanes,
            stats: Arc::default(),
            clock: clock.clone(),
        };
        figures.watch_listener("livekit", settings.stats.clone());
        Rooms(Some(Listeners::new(settings, hub.clone(), ingest.clone())))
    }

    /// A channel is gone: nobody listens to its room any more.
    pub(super) fn stop(&self, channel_id: &str) {
        if let Some(listeners) = &self.0 {
            listeners.stop(channel_id);
        }
    }
}

impl control::Rooms for Rooms {
    fn handle_room(&self, room: &Room) {
        let Some(listeners) = &self.0 else {
            return;
        };
        let has_role = |role: &Option<String>| {
            let role = role.as_deref();
            role.is_some_and(|role| ROLES.contains(&role))
        };
        let mut publishers = room.publishers.iter();
        let is_published = publishers.any(|one| has_role(&one.role));
        listeners.handle_room(&room.channel_id, &room.stream.to_string(), is_published);
    }
}

/// What channels get from elsewhere: sources that are pulled, and rooms.
pub(super) struct Feeds {
    /// Sources.
    pub(super) pulls: Pulls,
    /// Rooms.
    pub(super) rooms: Arc<Rooms>,
}

impl control::Sources for Feeds {
    fn start(&self, channel_id: &str, source: Source) {
        self.pulls.start(channel_id, source);
    }

    fn stop(&self, channel_id: &str) {
        self.pulls.stop(channel_id);
        self.rooms.stop(channel_id);
    }
}
