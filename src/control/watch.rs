//! What follows when channels come and go, whoever made or deleted them: this process, a command beside it,
//! or another gateway on the same database. In: the store's word. Out: sources are pulled or not, and what
//! a deleted channel has on air ends.

use std::sync::Arc;

use super::{Live, Sources};
use crate::base::id::region_of;
use crate::base::source::Source;
use crate::store::{Channel, Watcher};

/// Keeps what is on air and what is pulled in line with the channels that there are.
pub struct Watch {
    /// Whose sources are pulled: what other gateways on the same database pull is called once.
    pub region: String,
    /// Streams that live now.
    pub live: Arc<dyn Live>,
    /// What pulls sources of channels.
    pub sources: Arc<dyn Sources>,
}

impl Watcher for Watch {
    fn handle_new(&self, channel: &Channel) {
        // Settings say what is pulled for the channels that they declare.
        let is_ours = !channel.declared && region_of(&channel.id) == self.region;
        let options = channel.ingest.as_ref().filter(|_| is_ours);
        let Some(uri) = options.and_then(|options| options.source_uri.as_ref()) else {
            return;
        };
        // It was read when the channel was made; another version may have accepted more.
        match Source::parse(uri.expose()) {
            Ok(source) => self.sources.start(&channel.id, source),
            Err(err) => tracing::warn!(channel = channel.id, %err, "source is not pulled"),
        }
    }

    fn handle_gone(&self, channel: &Channel) {
        self.sources.stop(&channel.id);
        if channel.is_of_broadcast() {
            self.live.finish(&channel.id, "the broadcast is over");
        } else {
            self.live.close(&channel.id);
        }
        tracing::info!(channel = channel.id, "channel deleted");
    }
}
