//! What is said in a room, in our words: LiveKit's messages stay behind this file.

use livekit_protocol as proto;
use livekit_protocol::signal_response::Message;
use serde::{Deserialize, Serialize};

use super::error::Reason;
use crate::media::MediaKind;
use crate::rtc::Candidate;

/// Participants of one message, and tracks of one participant, that are looked at. Rooms with more viewers
/// than that are none that somebody listens to.
const MAX_PARTICIPANTS: usize = 4096;
const MAX_TRACKS: usize = 64;
/// Longest session description. One of a room with a hundred tracks has 200 KB.
pub(super) const MAX_SDP: usize = 1 << 20;

/// Which of the two connections of a session is meant: LiveKit has one for each direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// What we send: we offer, the server answers.
    Publisher,
    /// What we receive: the server offers, we answer.
    Subscriber,
}

/// What happens in a session.
#[derive(Clone, Debug)]
pub enum Event {
    /// Participants that came, changed or left.
    Participants(Vec<Participant>),
    /// A track of ours stands in the room.
    Published {
        /// By which we named it.
        cid: String,
        /// By which the room names it.
        sid: String,
    },
    /// The server took a track of ours away.
    Unpublished {
        /// By which the room names it.
        sid: String,
    },
    /// The server asks that a track of ours is silent or not.
    Muted {
        /// By which the room names it.
        sid: String,
        /// Whether it is to be.
        muted: bool,
    },
    /// A track that we asked for does not come.
    NotSubscribed {
        /// By which the room names it.
        sid: String,
    },
    /// What the server sends, for the subscriber connection.
    Offer {
        /// To be said in the answer.
        id: u32,
        /// Session description.
        sdp: String,
    },
    /// The server's answer to the publisher connection's offer.
    Answer {
        /// That of the offer.
        id: u32,
        /// Session description.
        sdp: String,
    },
    /// A candidate of the server's.
    Candidate(Target, Candidate),
    /// The session is over; nothing follows.
    Left(Reason),
}

/// Somebody in a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Participant {
    /// By which the server names this visit.
    pub sid: String,
    /// By which tokens name it.
    pub identity: String,
    /// Name for people.
    pub name: String,
    /// What its token says for others to read.
    pub metadata: String,
    /// Whether it is (still) there.
    pub is_here: bool,
    /// Unix milliseconds.
    pub joined_at_ms: i64,
    /// What it sends.
    pub tracks: Vec<RoomTrack>,
}

/// Of what a track is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// A camera.
    Camera,
    /// A microphone.
    Microphone,
    /// A screen.
    Screen,
    /// The sound of a screen.
    ScreenSound,
    /// Not said.
    Unknown,
}

/// A track in a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomTrack {
    /// By which the room names it.
    pub sid: String,
    /// Name for people.
    pub name: String,
    /// Pictures or sound.
    pub kind: MediaKind,
    /// Of what it is.
    pub source: Source,
    /// Such as `video/h264`; empty while unknown.
    pub mime: String,
    /// Whether nothing is sent now.
    pub muted: bool,
    /// Pixels, as its sender says.
    pub size: (u32, u32),
    /// Whether it has layers.
    pub simulcast: bool,
}

/// One of up to three layers of a track.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Quality {
    /// A quarter of the picture's width, or what comes next to it.
    Low,
    /// A half.
    Medium,
    /// The whole.
    High,
}

impl Quality {
    /// The name (RID) by which LiveKit finds the layer in a session description.
    pub fn rid(self) -> &'static str {
        match self {
            Quality::Low => "q",
            Quality::Medium => "h",
            Quality::High => "f",
        }
    }

    fn number(self) -> i32 {
        let quality = match self {
            Quality::Low => proto::VideoQuality::Low,
            Quality::Medium => proto::VideoQuality::Medium,
            Quality::High => proto::VideoQuality::High,
        };
        quality.into()
    }
}

/// A layer that is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layer {
    /// Which.
    pub quality: Quality,
    /// Pixels.
    pub size: (u32, u32),
    /// Bits per second at most.
    pub bitrate_bps: u32,
}

/// What is published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Publication {
    /// A picture, as a camera's.
    Camera {
        /// Its track id in the session description (msid).
        cid: String,
        /// Pixels of the highest layer.
        size: (u32, u32),
        /// One or more.
        layers: Vec<Layer>,
    },
    /// A sound, as a microphone's.
    Microphone {
        /// Its track id in the session description (msid).
        cid: String,
        /// Whether it has two channels.
        stereo: bool,
    },
}

impl Publication {
    #[expect(deprecated, reason = "servers before 1.8 know no audio features")]
    pub(super) fn request(self) -> proto::AddTrackRequest {
        let common = proto::AddTrackRequest {
            // Tracks of one stream are played in step.
            stream: "camera".to_owned(),
            ..proto::AddTrackRequest::default()
        };
        match self {
            Publication::Camera { cid, size, layers } => proto::AddTrackRequest {
                name: "camera".to_owned(),
                cid,
                r#type: proto::TrackType::Video.into(),
                source: proto::TrackSource::Camera.into(),
                width: size.0,
                height: size.1,
                layers: layers
                    .iter()
                    .map(|one| layer(one, layers.len() > 1))
                    .collect(),
                ..common
            },
            Publication::Microphone { cid, stereo } => proto::AddTrackRequest {
                name: "microphone".to_owned(),
                cid,
                r#type: proto::TrackType::Audio.into(),
                source: proto::TrackSource::Microphone.into(),
                // A programme's sound has no pauses to be left out, and one copy of it is enough.
                disable_dtx: true,
                disable_red: true,
                stereo,
                audio_features: features(stereo),
                ..common
            },
        }
    }
}

fn features(stereo: bool) -> Vec<i32> {
    let stereo = stereo.then_some(proto::AudioTrackFeature::TfStereo);
    let features = [Some(proto::AudioTrackFeature::TfNoDtx), stereo];
    features.into_iter().flatten().map(i32::from).collect()
}

/// A picture of one layer has no name in the session description.
fn layer(layer: &Layer, is_named: bool) -> proto::VideoLayer {
    let rid = if is_named { layer.quality.rid() } else { "" };
    proto::VideoLayer {
        quality: layer.quality.number(),
        width: layer.size.0,
        height: layer.size.1,
        bitrate: layer.bitrate_bps,
        rid: rid.to_owned(),
        ..proto::VideoLayer::default()
    }
}

/// The members of `RTCIceCandidateInit`, as LiveKit's messages carry them.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct CandidateInit {
    #[serde(default)]
    candidate: String,
    #[serde(default)]
    sdp_mid: Option<String>,
    #[serde(default)]
    sdp_m_line_index: Option<u16>,
}

/// A candidate of ours, as a message.
pub(super) fn trickle(target: Target, candidate: Candidate) -> proto::TrickleRequest {
    let is_last = candidate.candidate.is_empty();
    let init = CandidateInit {
        candidate: candidate.candidate,
        sdp_mid: candidate.sdp_mid,
        sdp_m_line_index: candidate.sdp_m_line_index,
    };
    let target = match target {
        Target::Publisher => proto::SignalTarget::Publisher,
        Target::Subscriber => proto::SignalTarget::Subscriber,
    };
    proto::TrickleRequest {
        candidate_init: serde_json::to_string(&init).expect("two texts and a number are JSON"),
        target: target.into(),
        r#final: is_last,
    }
}

/// What a message of the server's means; `None` where it means nothing to us.
pub(super) fn read(message: Message) -> Option<Event> {
    Some(match message {
        Message::Answer(answer) => Event::Answer {
            id: answer.id,
            sdp: checked(answer.sdp)?,
        },
        Message::Offer(offer) => Event::Offer {
            id: offer.id,
            sdp: checked(offer.sdp)?,
        },
        Message::Trickle(trickle) => candidate(&trickle)?,
        Message::Update(update) => Event::Participants(participants(&update.participants)),
        Message::TrackPublished(published) => Event::Published {
            cid: published.cid,
            sid: published.track?.sid,
        },
        Message::TrackUnpublished(gone) => Event::Unpublished {
            sid: gone.track_sid,
        },
        Message::Mute(mute) => Event::Muted {
            sid: mute.sid,
            muted: mute.muted,
        },
        Message::SubscriptionResponse(response) => Event::NotSubscribed {
            sid: response.track_sid,
        },
        // A server that moves a room away asks for a new session as well.
        Message::Leave(leave) => Event::Left(Reason::of(leave.reason())),
        _ => return None,
    })
}

fn checked(sdp: String) -> Option<String> {
    (sdp.len() <= MAX_SDP).then_some(sdp)
}

fn candidate(trickle: &proto::TrickleRequest) -> Option<Event> {
    let target = match trickle.target() {
        proto::SignalTarget::Publisher => Target::Publisher,
        proto::SignalTarget::Subscriber => Target::Subscriber,
    };
    if trickle.r#final && trickle.candidate_init.is_empty() {
        return Some(Event::Candidate(target, Candidate::default()));
    }
    let init: CandidateInit = serde_json::from_str(&trickle.candidate_init).ok()?;
    let candidate = Candidate {
        candidate: init.candidate,
        sdp_mid: init.sdp_mid,
        sdp_m_line_index: init.sdp_m_line_index,
    };
    Some(Event::Candidate(target, candidate))
}

pub(super) fn participants(all: &[proto::ParticipantInfo]) -> Vec<Participant> {
    all.iter().take(MAX_PARTICIPANTS).map(participant).collect()
}

fn participant(info: &proto::ParticipantInfo) -> Participant {
    let tracks = info.tracks.iter().filter_map(track).take(MAX_TRACKS);
    Participant {
        sid: info.sid.clone(),
        identity: info.identity.clone(),
        name: info.name.clone(),
        metadata: info.metadata.clone(),
        is_here: info.state() != proto::participant_info::State::Disconnected,
        joined_at_ms: match info.joined_at_ms {
            0 => info.joined_at.saturating_mul(1000),
            millis => millis,
        },
        tracks: tracks.collect(),
    }
}

fn track(info: &proto::TrackInfo) -> Option<RoomTrack> {
    let kind = match info.r#type() {
        proto::TrackType::Audio => MediaKind::Audio,
        proto::TrackType::Video => MediaKind::Video,
        proto::TrackType::Data => return None,
    };
    let source = match info.source() {
        proto::TrackSource::Camera => Source::Camera,
        proto::TrackSource::Microphone => Source::Microphone,
        proto::TrackSource::ScreenShare => Source::Screen,
        proto::TrackSource::ScreenShareAudio => Source::ScreenSound,
        proto::TrackSource::Unknown => Source::Unknown,
    };
    Some(RoomTrack {
        sid: info.sid.clone(),
        name: info.name.clone(),
        kind,
        source,
        mime: info.mime_type.to_ascii_lowercase(),
        muted: info.muted,
        size: (info.width, info.height),
        simulcast: info.codecs.iter().any(|codec| codec.layers.len() > 1),
    })
}
