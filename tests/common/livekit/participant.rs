//! One who has joined: what its token allows, its two peer connections, what it publishes and what it gets.

use std::time::Instant;

use livekit_protocol as proto;
use prost::Message as _;
use proto::signal_response::Message;
use tokio::sync::mpsc;

use super::forward::{ClockPlace, Down};
use super::peer::Peer;
use super::token::{Claims, Grant};
use super::track::Track;

/// Signal messages that a client has not taken yet. One that reads nothing loses its connection.
pub const MAX_MESSAGES: usize = 1024;

/// Which of the two peer connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Publisher,
    Subscriber,
}

/// A participant.
pub struct Participant {
    pub info: proto::ParticipantInfo,
    pub grant: Grant,
    pub auto_subscribe: bool,
    pub publisher: Peer,
    pub subscriber: Option<Peer>,
    pub tracks: Vec<Track>,
    pub downs: Vec<Down>,
    /// Where the clock of this publisher is in ours.
    pub clock: Option<ClockPlace>,
    /// A WHIP session has none.
    pub signal: Option<mpsc::Sender<Vec<u8>>>,
    /// When its signal connection was lost without a goodbye.
    pub lost: Option<Instant>,
    /// Signal messages that it sent, by their names, newest last.
    pub said: Vec<String>,
    pub errors: Vec<String>,
}

impl Participant {
    pub fn new(sid: &str, claims: &Claims, now_ms: i64, publisher: Peer) -> Participant {
        let grant = claims.video.clone().unwrap_or_default();
        let info = proto::ParticipantInfo {
            sid: sid.to_owned(),
            identity: claims.sub.clone(),
            name: claims.name.clone(),
            metadata: claims.metadata.clone(),
            attributes: claims.attributes.clone(),
            state: proto::participant_info::State::Joined as i32,
            joined_at: now_ms / 1000,
            joined_at_ms: now_ms,
            permission: Some(permission(&grant)),
            version: 1,
            ..Default::default()
        };
        Participant {
            info,
            grant,
            auto_subscribe: true,
            publisher,
            subscriber: None,
            tracks: Vec::new(),
            downs: Vec::new(),
            clock: None,
            signal: None,
            lost: None,
            said: Vec::new(),
            errors: Vec::new(),
        }
    }

    /// Its permissions as they are now.
    pub fn permission(&self) -> proto::ParticipantPermission {
        self.info.permission.clone().unwrap_or_default()
    }

    /// Whether a source may be published. Nothing said means all.
    pub fn may_publish(&self, source: i32) -> bool {
        let permission = self.permission();
        let sources = &permission.can_publish_sources;
        permission.can_publish && (sources.is_empty() || sources.contains(&source))
    }

    pub fn is_hidden(&self) -> bool {
        self.permission().hidden
    }

    /// As others see it.
    pub fn public(&self) -> proto::ParticipantInfo {
        let published = self
            .tracks
            .iter()
            .filter(|track| track.is_published && !track.is_gone);
        proto::ParticipantInfo {
            tracks: published.map(|track| track.info.clone()).collect(),
            is_publisher: self
                .tracks
                .iter()
                .any(|track| track.is_published && !track.is_gone),
            ..self.info.clone()
        }
    }

    /// Sends a signal message. One whose queue is full loses its connection.
    pub fn send(&mut self, message: Message) {
        let Some(signal) = &self.signal else { return };
        let response = proto::SignalResponse {
            message: Some(message),
        };
        if signal.try_send(response.encode_to_vec()).is_err() {
            self.signal = None;
        }
    }

    /// Says goodbye and ends the signal connection.
    pub fn leave(&mut self, reason: proto::DisconnectReason, action: proto::leave_request::Action) {
        self.send(Message::Leave(goodbye(reason, action)));
        self.signal = None;
    }

    pub fn peer(&mut self, side: Side) -> Option<&mut Peer> {
        match side {
            Side::Publisher => Some(&mut self.publisher),
            Side::Subscriber => self.subscriber.as_mut(),
        }
    }

    pub fn track(&self, sid: &str) -> Option<&Track> {
        self.tracks.iter().find(|track| track.info.sid == sid)
    }

    pub fn track_mut(&mut self, sid: &str) -> Option<&mut Track> {
        self.tracks.iter_mut().find(|track| track.info.sid == sid)
    }

    /// Whether its first connection is up: the one that its join answer called primary.
    pub fn is_connected(&self) -> bool {
        match &self.subscriber {
            Some(subscriber) => subscriber.is_connected,
            None => self.publisher.is_connected,
        }
    }
}

/// A leave message.
pub fn goodbye(
    reason: proto::DisconnectReason,
    action: proto::leave_request::Action,
) -> proto::LeaveRequest {
    proto::LeaveRequest {
        can_reconnect: action != proto::leave_request::Action::Disconnect,
        reason: reason as i32,
        action: action as i32,
        regions: None,
    }
}

/// What a grant permits; what it says nothing of is permitted.
pub fn permission(grant: &Grant) -> proto::ParticipantPermission {
    let source = |name: &String| match name.as_str() {
        "camera" => proto::TrackSource::Camera as i32,
        "microphone" => proto::TrackSource::Microphone as i32,
        "screen_share" => proto::TrackSource::ScreenShare as i32,
        "screen_share_audio" => proto::TrackSource::ScreenShareAudio as i32,
        _ => proto::TrackSource::Unknown as i32,
    };
    proto::ParticipantPermission {
        can_subscribe: grant.can_subscribe.unwrap_or(true),
        can_publish: grant.can_publish.unwrap_or(true),
        can_publish_data: grant.can_publish_data.unwrap_or(true),
        can_publish_sources: grant.can_publish_sources.iter().map(source).collect(),
        hidden: grant.hidden,
        can_update_metadata: grant.can_update_own_metadata.unwrap_or(false),
        ..Default::default()
    }
}
