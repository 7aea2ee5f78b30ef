//! Ends what a channel has on air. In: a channel id. Out: the members that were there.

use std::future::Future;

use super::roster::ChannelMember;
use super::story::Happening;
use super::{Hub, index::Index};
use crate::base::id::Uuid;

/// Characters of a reason that are kept: enough for a sentence or two.
const REASON_CHARACTERS: usize = 256;

/// What becomes of streams that leave their channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate<'a> {
    /// They end, and their publishers are told why.
    End(&'a str),
    /// They go on under their own URLs.
    Keep,
}

impl Hub {
    /// Ends what a channel has on air: its publishers' connections, its streams, and what was forked from
    /// them. Forks into it end alone, their sources go on. The key stays good, but is refused for
    /// `FOREBAY_KILL_HOLDOFF_SECONDS`; who is being admitted meanwhile is refused, too. Gives the members
    /// that were there.
    ///
    /// With `keep_streams` the channel only loses them: it has no member and nothing to play, while
    /// encoders stay connected and the streams go on under their own URLs, until nobody feeds them. The
    /// next publish opens a new stream. What was kept so ends with the next kill that does not keep it.
    ///
    /// Done at once; what is waited for is that it is written down.
    pub async fn kill(
        &self,
        channel_id: &str,
        reason: &str,
        keep_streams: bool,
    ) -> Vec<ChannelMember> {
        let reason = cleaned(reason);
        let (members, gone) = {
            let mut channels = self.channels();
            let members = self.members(channel_id);
            channels.remove(channel_id);
            if !keep_streams {
                self.hold_off(channel_id);
            }
            let fate = match keep_streams {
                true => Fate::Keep,
                false => Fate::End(&reason),
            };
            let ids = match keep_streams {
                true => self.streams().of_channel(channel_id).to_vec(),
                false => self.living_of(channel_id),
            };
            (members, self.remove(&ids, fate))
        };
        self.record_ended(gone).await;
        members
    }

    /// Ends everything of a channel that was deleted, and gives the members that were there. A publish
    /// that was being admitted meanwhile is refused, if the channel was taken from the store before this
    /// is called; after that nothing of it is found any more.
    pub fn close(&self, channel_id: &str) -> Vec<ChannelMember> {
        let members = self.finish(channel_id, "the channel was deleted");
        // What lives is of a channel that was made anew under the id.
        self.write_streams()
            .forget(|entry| entry.admission.channel_id == channel_id && !entry.lives());
        members
    }

    /// Ends everything of a channel that is over, as [`Hub::close`] does, but its playlists tell their players
    /// so until they are forgotten as all others are.
    pub fn finish(&self, channel_id: &str, reason: &str) -> Vec<ChannelMember> {
        let (members, gone) = {
            let mut channels = self.channels();
            self.inner.barrier.close(channel_id);
            let members = self.members(channel_id);
            channels.remove(channel_id);
            let all = self.living_of(channel_id);
            (members, self.remove(&all, Fate::End(reason)))
        };
        drop(self.record_ended(gone));
        members
    }

    /// Every stream of a channel that lives, with those that were taken off it and left going.
    fn living_of(&self, channel_id: &str) -> Vec<Uuid> {
        let index = self.streams();
        let of_channel = index
            .living()
            .filter(|(_, entry)| entry.admission.channel_id == channel_id);
        of_channel.map(|(id, _)| id).collect()
    }

    /// Keeps publishers that were just ended off their channel for a while. Called with the channels locked.
    pub(super) fn hold_off(&self, channel_id: &str) {
        let inner = &self.inner;
        let until = inner.clock.monotonic() + inner.config.kill_holdoff;
        inner.barrier.empty(channel_id, until);
    }

    /// Takes streams off their channels, and gives those that the next run of the server is not to take
    /// up again. Called with the channels locked, so that nobody joins meanwhile.
    pub(super) fn remove(&self, ids: &[Uuid], fate: Fate<'_>) -> Vec<Uuid> {
        match fate {
            Fate::Keep => {
                let mut index = self.write_streams();
                ids.iter().for_each(|id| index.unbind(*id));
                own(&index, ids)
            }
            Fate::End(reason) => self.end(ids, Some(reason)),
        }
    }

    /// Ends streams with everything that was forked from them, and gives those that were recorded. Called
    /// with the channels locked, so that nothing is forked meanwhile.
    pub(super) fn end(&self, ids: &[Uuid], reason: Option<&str>) -> Vec<Uuid> {
        let (family, gone) = {
            let index = self.streams();
            let mut family: Vec<Uuid> = Vec::new();
            for id in ids.iter().flat_map(|id| index.family(*id)) {
                if !family.contains(&id) {
                    family.push(id);
                }
            }
            let gone = own(&index, &family);
            let ends = |id: Uuid| {
                let entry = index.get(id)?;
                let fence = entry.fork.as_ref().map(|fork| fork.fence.clone());
                Some((id, entry.stream.clone(), fence.flatten()))
            };
            let family: Vec<_> = family.into_iter().filter_map(ends).collect();
            (family, gone)
        };
        // Sources before their forks, so that those show their last part, too.
        for (_, stream, fence) in &family {
            match fence {
                Some(fence) if !stream.is_ended() => fence.close(),
                Some(_) => {}
                None => {
                    if let Some(reason) = reason {
                        stream.note(&Happening::Killed {
                            reason: reason.to_owned(),
                        });
                        stream.evict(reason);
                    }
                    stream.end();
                }
            }
        }
        let now = self.inner.clock.monotonic();
        let mut index = self.write_streams();
        for (id, ..) in family {
            index.end(id, now);
        }
        gone
    }

    /// Writes down that streams are over, from now on. What this returns waits for it.
    pub(super) fn record_ended(&self, ids: Vec<Uuid>) -> impl Future<Output = ()> + Send + use<> {
        let gate = self.inner.gate.clone();
        let record = async move { gate.streams_ended(&ids).await };
        let recorded = self.inner.tasks.spawn(record);
        async {
            // A panic in there was logged as one.
            let _ = recorded.await;
        }
    }
}

/// Those that the store knows of: streams with publishers of their own.
fn own(index: &Index, ids: &[Uuid]) -> Vec<Uuid> {
    let recorded = |id: &&Uuid| index.get(**id).is_some_and(|entry| entry.fork.is_none());
    ids.iter().filter(recorded).copied().collect()
}

/// A reason that was sent from outside, as part of a line of text.
fn cleaned(reason: &str) -> String {
    let kept = reason.chars().take(REASON_CHARACTERS);
    let text: String = kept.map(|c| if c.is_control() { ' ' } else { c }).collect();
    match text.trim() {
        "" => "the channel's publishers were ended".to_owned(),
        text => text.to_owned(),
    }
}
