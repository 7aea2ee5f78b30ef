//! Whether there is room for another publisher: in the process, and on its channel.

use std::sync::{Arc, TryLockError};

use super::fence::{Fence, Kept};
use super::{Hub, PublishRequest, Refusal, Stream};

impl Hub {
    /// What [`Hub::publish`] will answer, as far as that is known without waiting: the channel id.
    pub fn preview(&self, request: &PublishRequest) -> Result<String, Refusal> {
        let channel = self.inner.gate.preview(request)?;
        // Of a stream that is at work nobody is counted: the publish itself counts them all.
        let counted = self.sessions(|stream| stream.try_member_count().unwrap_or(0));
        self.check_limits(counted)?;
        let now = self.inner.clock.monotonic();
        self.inner.barrier.check_hold(&channel, now)?;
        self.check_channel(&channel)?;
        Ok(channel)
    }

    pub(super) fn check_capacity(&self) -> Result<(), Refusal> {
        self.check_limits(self.publisher_count())
    }

    fn check_limits(&self, publishers: usize) -> Result<(), Refusal> {
        let most = self.inner.config.max_publishers;
        if publishers >= most {
            return Err(Refusal::Full(format!("{most} publishers")));
        }
        self.check_memory()
    }

    /// Whether there is memory for more media.
    pub(super) fn check_memory(&self) -> Result<(), Refusal> {
        let held = (self.inner.media_bytes)();
        if held >= self.inner.config.max_media_bytes {
            let megabytes = held / 1_000_000;
            return Err(Refusal::Full(format!("{megabytes} MB of media in memory")));
        }
        Ok(())
    }

    /// Bytes of media that forks hold since they ended, and that their sources hold no more. What a source
    /// holds is counted with its timeline, however many forks share it.
    pub fn ended_fork_bytes(&self) -> usize {
        let fences: Vec<Arc<Fence>> = {
            let streams = self.streams();
            let ended = streams.iter().filter(|(_, entry)| !entry.lives());
            let forks = ended.filter_map(|(_, entry)| entry.fork.as_ref());
            forks.filter_map(|fork| fork.fence.clone()).collect()
        };
        let mut kept = Kept::new();
        fences.iter().for_each(|fence| fence.keep(&mut kept));
        kept.values().sum()
    }

    pub(super) fn publisher_count(&self) -> usize {
        self.sessions(Stream::member_count)
    }

    /// Publisher sessions of all streams. A fork has none of its own.
    fn sessions(&self, members: impl Fn(&Stream) -> usize) -> usize {
        let own: Vec<Arc<Stream>> = {
            let streams = self.streams();
            let own = streams.iter().filter(|(_, entry)| entry.fork.is_none());
            own.map(|(_, entry)| entry.stream.clone()).collect()
        };
        own.iter().map(|stream| members(stream)).sum()
    }

    /// Whether the channel's running stream would take another publisher. A stream that is being opened
    /// holds this lock for a while: nobody is refused for that, the publish itself will tell.
    fn check_channel(&self, channel_id: &str) -> Result<(), Refusal> {
        let id = match self.inner.channels.try_lock() {
            Ok(channels) => channels.get(channel_id).copied(),
            Err(TryLockError::Poisoned(channels)) => channels.into_inner().get(channel_id).copied(),
            Err(TryLockError::WouldBlock) => None,
        };
        let stream = id.and_then(|id| self.stream(id));
        stream.map_or(Ok(()), |stream| stream.check_room())
    }
}
