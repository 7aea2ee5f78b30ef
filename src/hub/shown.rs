//! What is shown under one stream id, for whoever keeps it: a stream, or a fork over another one's timeline.

use std::fmt;
use std::sync::Arc;

use super::fence::Fence;
use super::index::Entry;
use super::{Admission, Stream};
use crate::base::clock::Wall;
use crate::base::id::Uuid;
use crate::media::timeline::Timeline;

/// See the module.
pub struct Shown {
    /// Stream id: of a fork, its own.
    pub id: Uuid,
    /// For whom: of a fork, the destination, with the fork's capabilities.
    pub admission: Arc<Admission>,
    /// What players read.
    pub timeline: Arc<dyn Timeline>,
    stream: Arc<Stream>,
    fence: Option<Arc<Fence>>,
}

/// Told of everything that is shown.
pub type Keeper = dyn Fn(Shown) + Send + Sync;

impl Shown {
    pub(super) fn new(id: Uuid, entry: &Entry) -> Shown {
        let fork = entry.fork.as_ref();
        Shown {
            id,
            admission: entry.admission.clone(),
            timeline: entry.timeline.clone(),
            stream: entry.stream.clone(),
            fence: fork.and_then(|fork| fork.fence.clone()),
        }
    }

    /// Wall-clock point of media time zero.
    pub fn epoch(&self) -> Wall {
        self.stream.epoch()
    }

    /// Whether nothing will be added: the stream has ended, or the fork alone.
    pub fn is_ended(&self) -> bool {
        self.stream.is_ended() || self.fence.as_ref().is_some_and(|fence| fence.is_closed())
    }
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shown")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
