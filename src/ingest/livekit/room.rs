//! Who is followed in a room. In: participants and what they publish, as the server tells. Out: whose camera
//! and whose microphone the channel gets.
//!
//! Pure. A room has one host at a time: the first publisher who showed a picture. When it leaves, another
//! publisher takes its place, else a co-host, and when it is back, it has its place again. Viewers, and what
//! the gateway itself publishes there, are nobody's host.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::livekit::{Participant, RoomTrack, Source, is_own};
use crate::media::MediaKind;

/// Those who may publish are kept, and no more of them: a session has one host and three co-hosts (contract,
/// broadcasts, B-33), and a name in a room costs nothing to make up.
const MAX_CANDIDATES: usize = 64;
/// Tracks of one of them. LiveKit's clients publish a camera, a microphone, a screen and its sound.
const MAX_TRACKS: usize = 16;
/// Longest metadata in which a role is looked for, bytes. That of our tokens has 24.
const MAX_METADATA_BYTES: usize = 4096;

/// A track that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    /// `TR_…`.
    pub(super) sid: String,
    /// Whether anything is to be expected of it now.
    pub(super) muted: bool,
}

/// Who is followed, and what is taken of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Followed {
    /// `PA_…`.
    pub(super) participant: String,
    pub(super) identity: String,
    pub(super) video: Option<Wanted>,
    pub(super) audio: Option<Wanted>,
}

/// What a participant is for, the more important one first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Role {
    Publisher,
    CoHost,
}

#[derive(Debug)]
struct Candidate {
    role: Role,
    joined_ms: i64,
    identity: String,
    tracks: Vec<RoomTrack>,
}

/// A room as far as it matters here.
#[derive(Debug, Default)]
pub(super) struct Room {
    /// By session: who comes back may overlap with its last visit.
    candidates: BTreeMap<String, Candidate>,
    /// Identity of the host, once there is one.
    host: Option<String>,
}

impl Room {
    /// Somebody is there, has left, or what it publishes has changed.
    pub(super) fn handle_participant(&mut self, participant: &Participant) {
        let counts = participant.is_here && !is_own(&participant.identity);
        let role = role(&participant.metadata).filter(|_| counts);
        let Some(role) = role else {
            // It may have had a role before.
            self.candidates.remove(&participant.sid);
            return;
        };
        let known = self.candidates.contains_key(&participant.sid);
        if !known && self.candidates.len() >= MAX_CANDIDATES {
            return;
        }
        let candidate = Candidate {
            role,
            joined_ms: participant.joined_at_ms,
            identity: participant.identity.clone(),
            tracks: participant
                .tracks
                .iter()
                .take(MAX_TRACKS)
                .cloned()
                .collect(),
        };
        self.candidates.insert(participant.sid.clone(), candidate);
    }

    /// We are in the room anew: who is there now will be told, and the host is who it was.
    pub(super) fn handle_rejoin(&mut self) {
        self.candidates.clear();
    }

    /// Whether somebody is in the room who could be followed if it published something of use.
    pub(super) fn has_candidates(&self) -> bool {
        !self.candidates.is_empty()
    }

    /// Who is followed now; `None`: nobody publishes anything that can be passed on.
    pub(super) fn follow(&mut self) -> Option<Followed> {
        let host = self.host.as_deref();
        let offers = self.candidates.iter().filter_map(|(sid, candidate)| {
            let followed = candidate.offer(sid)?;
            let at = (
                host != Some(followed.identity.as_str()),
                candidate.role,
                followed.video.is_none(),
                candidate.joined_ms,
            );
            Some((at, candidate.role, followed))
        });
        let (_, role, followed) = offers.min_by(|one, other| one.0.cmp(&other.0))?;
        if self.host.is_none() && role == Role::Publisher && followed.video.is_some() {
            self.host = Some(followed.identity.clone());
        }
        Some(followed)
    }

    /// What somebody offers now who need not be the one to follow.
    pub(super) fn offer_of(&self, participant: &str) -> Option<Followed> {
        self.candidates.get(participant)?.offer(participant)
    }

    /// Whose picture is not passed on, and what it is instead of H.264; `None`: there is nothing to mend.
    pub(super) fn obstacle(&self) -> Option<(&str, &str)> {
        self.candidates.values().find_map(|candidate| {
            let of_camera = |track: &&RoomTrack| CAMERAS.contains(&place(track));
            let mut pictures = candidate.tracks.iter().filter(of_camera);
            if pictures.clone().any(is_usable) {
                return None;
            }
            Some((candidate.identity.as_str(), pictures.next()?.mime.as_str()))
        })
    }
}

/// What a track is for: of what it is, and whether it is a picture or a sound.
type Place = (Source, MediaKind);

/// Where the picture is taken from, the better one first: of programs, and by WHIP, nothing may be said.
const CAMERAS: [Place; 2] = [
    (Source::Camera, MediaKind::Video),
    (Source::Unknown, MediaKind::Video),
];
/// Where the sound is taken from.
const MICROPHONES: [Place; 2] = [
    (Source::Microphone, MediaKind::Audio),
    (Source::Unknown, MediaKind::Audio),
];

impl Candidate {
    /// What there is to be had of it.
    fn offer(&self, sid: &str) -> Option<Followed> {
        let best = |places: [Place; 2]| {
            let of = |wanted: &Place| {
                let mut tracks = self.tracks.iter();
                tracks.find(|track| place(track) == *wanted && is_usable(track))
            };
            let found = places.iter().find_map(of)?;
            Some(Wanted {
                sid: found.sid.clone(),
                muted: found.muted,
            })
        };
        let (video, audio) = (best(CAMERAS), best(MICROPHONES));
        (video.is_some() || audio.is_some()).then(|| Followed {
            participant: sid.to_owned(),
            identity: self.identity.clone(),
            video,
            audio,
        })
    }
}

fn place(track: &RoomTrack) -> Place {
    (track.source, track.kind)
}

/// Whether a track can be passed on. RED (RFC 2198) is Opus with repeats, which the server takes off for those
/// who do not ask for it.
fn is_usable(track: &RoomTrack) -> bool {
    let taken: &[&str] = match track.kind {
        MediaKind::Video => &["video/h264"],
        MediaKind::Audio => &["audio/opus", "audio/red"],
    };
    track.mime.is_empty() || taken.contains(&track.mime.as_str())
}

/// The role that a token of the API gives (contract, broadcasts, section 5).
fn role(metadata: &str) -> Option<Role> {
    #[derive(Deserialize)]
    struct Metadata<'a> {
        #[serde(borrow)]
        role: std::borrow::Cow<'a, str>,
    }
    if metadata.len() > MAX_METADATA_BYTES {
        return None;
    }
    let metadata: Metadata<'_> = serde_json::from_str(metadata).ok()?;
    match &*metadata.role {
        "publisher" => Some(Role::Publisher),
        "co_host" => Some(Role::CoHost),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
