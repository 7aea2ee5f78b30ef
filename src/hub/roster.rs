//! Who publishes to a channel, as the channel API shows it. In: a channel id. Out: its members, or how
//! many there are. Cheap: a look-up by channel, and the locks of that channel's streams only.

use std::sync::Arc;

use super::Hub;
use super::gate::Admission;
use crate::base::clock::Wall;
use crate::base::id::Uuid;

/// Whether a track of a publisher comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrackState {
    /// It comes, or was configured a moment ago.
    Enabled,
    /// It was configured, and does not come now.
    Disabled,
    /// It never came and was never configured.
    Ended,
}

impl TrackState {
    /// The word in answers.
    pub fn word(self) -> &'static str {
        match self {
            TrackState::Enabled => "TrackEnabled",
            TrackState::Disabled => "TrackDisabled",
            TrackState::Ended => "TrackEnded",
        }
    }
}

/// A publisher session that sends, on one stream of a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelMember {
    /// Session id: `{region}#{22 base62}`. The same in every fork.
    pub session: Arc<str>,
    /// Screen name.
    pub screen_name: Arc<str>,
    /// The stream that carries it on this channel: what players play.
    pub stream: Uuid,
    /// What that stream can do on this channel.
    pub capabilities: Vec<String>,
    /// Tags of that stream on this channel.
    pub tags: Vec<String>,
    /// Whether sound comes.
    pub audio: TrackState,
    /// Whether pictures come.
    pub video: TrackState,
    /// When it appeared, or one of its tracks changed.
    pub changed: Wall,
}

/// A publisher session that is connected, whether or not it sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attendee {
    /// Session id, as of [`ChannelMember`].
    pub session: Arc<str>,
    /// Screen name.
    pub screen_name: Arc<str>,
    /// `rtmp`, `srt`, …
    pub proto: &'static str,
    /// Whether it has sent, and stopped doing so.
    pub lost: bool,
}

/// Which publishers count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Streams that a publisher must have; `None` is one, zero is any number.
    pub with_streams: Option<u64>,
    /// Only those of this screen name.
    pub with_screen_name: Option<String>,
}

/// Streams that a publisher has on a channel. A session is bound to a channel once: by its own stream, or
/// by the newest fork of it.
const STREAMS_PER_MEMBER: u64 = 1;

/// A session as its own stream knows it.
pub(super) struct Session {
    pub(super) session: Arc<str>,
    pub(super) screen_name: Arc<str>,
    pub(super) audio: TrackState,
    pub(super) video: TrackState,
    pub(super) changed: Wall,
}

impl Session {
    /// The session as a member of a channel, through a stream of that channel.
    pub(super) fn on(self, stream: Uuid, admission: &Admission) -> ChannelMember {
        ChannelMember {
            session: self.session,
            screen_name: self.screen_name,
            stream,
            capabilities: admission.capabilities.clone(),
            tags: admission.tags.clone(),
            audio: self.audio,
            video: self.video,
            changed: self.changed,
        }
    }
}

impl Hub {
    /// Publishers that send to a channel, those of forks into it included; in the order in which streams
    /// were bound to the channel, and on each in the order in which they came. One that sent nothing for
    /// `FOREBAY_SILENCE_MS` is none, whether or not its connection stands; when it sends again, it is back
    /// under the same session id.
    pub fn members(&self, channel_id: &str) -> Vec<ChannelMember> {
        let bound = self.streams().bound_to(channel_id);
        bound.iter().flat_map(|bound| bound.members()).collect()
    }

    /// Who is connected to a stream, in the order in which they came. A fork has nobody: they are at its source.
    pub fn attendance(&self, id: Uuid) -> Vec<Attendee> {
        let origin = self.streams().get(id).map(|entry| entry.origin.clone());
        let own = origin.filter(|origin| origin.id() == id);
        own.map_or_else(Vec::new, |stream| stream.attendees())
    }

    /// How many publishers send to a channel, of those that `counted` names.
    pub fn count(&self, channel_id: &str, counted: &Counted) -> usize {
        if counted.with_streams.unwrap_or(1) > STREAMS_PER_MEMBER {
            return 0;
        }
        let name = counted.with_screen_name.as_deref();
        let origins = self.streams().origins_of(channel_id);
        let counts = origins.iter().map(|origin| origin.sending(name));
        counts.sum()
    }
}
