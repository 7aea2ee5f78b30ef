//! Rooms that LiveKit's own egress sends to a channel, as encoders do: over RTMP, with the key of the broadcast.
//! In: what is to be sent. Out: egresses and how they are, by the server's list and its webhooks. Not here: the
//! gateway's own listener in a room (`ingest/livekit`), which needs no egress.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use livekit_protocol as lk;
use lk::egress_info::Request;
use lk::start_egress_request::Source as NewSource;
use serde::Deserialize;

use super::service::{DEADLINE, Grant, sentence};
use super::webhook::integer;
use super::{Server, Unwell};
use crate::base::clock::Wall;
use crate::base::id::Uuid;
use crate::base::secret::Secret;

/// The server waits for its workers for 22 s before it says that there is none.
const START_DEADLINE: Duration = Duration::from_secs(30);
/// Egresses that are remembered by webhooks.
const MAX_KNOWN: usize = 1024;
/// Egresses that are being started: each waits for the server for up to half a minute.
const MAX_STARTING: usize = 32;
/// Egresses of a room that are shown, newest first.
pub(in crate::control) const MAX_SHOWN: usize = 50;
/// Seconds between key pictures: as long as segments are by default.
const KEY_INTERVAL_S: f64 = 2.0;
/// Longest identity and layout that are read of a webhook.
const MAX_WORD: usize = 256;

/// What is sent of a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::control) enum Source {
    /// One participant's camera and microphone.
    Participant(String),
    /// All of them, laid out in this way.
    Room(String),
}

/// How an egress is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::control) enum Status {
    Starting,
    Active,
    Ending,
    Complete,
    Failed,
    Aborted,
    LimitReached,
}

impl Status {
    /// As it is shown.
    pub(in crate::control) fn word(self) -> &'static str {
        match self {
            Status::Starting => "starting",
            Status::Active => "active",
            Status::Ending => "ending",
            Status::Complete => "complete",
            Status::Failed => "failed",
            Status::Aborted => "aborted",
            Status::LimitReached => "limit_reached",
        }
    }

    /// Whether it may send.
    pub(in crate::control) fn is_on(self) -> bool {
        matches!(self, Status::Starting | Status::Active | Status::Ending)
    }

    fn of(status: lk::EgressStatus) -> Status {
        match status {
            lk::EgressStatus::EgressStarting => Status::Starting,
            lk::EgressStatus::EgressActive => Status::Active,
            lk::EgressStatus::EgressEnding => Status::Ending,
            lk::EgressStatus::EgressComplete => Status::Complete,
            lk::EgressStatus::EgressFailed => Status::Failed,
            lk::EgressStatus::EgressAborted => Status::Aborted,
            lk::EgressStatus::EgressLimitReached => Status::LimitReached,
        }
    }
}

/// An egress. Where it sends to is nowhere in it: there the key stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::control) struct Egress {
    pub(in crate::control) id: String,
    pub(in crate::control) room: String,
    /// `None`: it sends something else.
    pub(in crate::control) source: Option<Source>,
    pub(in crate::control) status: Status,
    pub(in crate::control) started: Option<Wall>,
    pub(in crate::control) ended: Option<Wall>,
    /// Connections that it had to make again.
    pub(in crate::control) retries: u32,
    pub(in crate::control) error: Option<String>,
}

impl Server {
    /// Has a room sent to an RTMP address, which holds a key.
    pub(in crate::control) async fn start_egress(
        &self,
        room: &str,
        source: &Source,
        to: &Secret,
        now: Wall,
    ) -> Result<Egress, Unwell> {
        let output = lk::StreamOutput {
            protocol: lk::StreamProtocol::Rtmp as i32,
            urls: vec![to.expose().to_owned()],
        };
        // LiveKit's own preset has 4 s between key pictures.
        let encoding = lk::EncodingOptions {
            width: 1280,
            height: 720,
            framerate: 30,
            audio_codec: lk::AudioCodec::Aac as i32,
            audio_bitrate: 128,
            audio_frequency: 48_000,
            video_codec: lk::VideoCodec::H264Main as i32,
            video_bitrate: 3000,
            key_frame_interval: KEY_INTERVAL_S,
            ..lk::EncodingOptions::default()
        };
        let times = (START_DEADLINE, now);
        let started: lk::EgressInfo = match source {
            Source::Participant(identity) => {
                let new = lk::ParticipantEgressRequest {
                    room_name: room.to_owned(),
                    identity: identity.clone(),
                    stream_outputs: vec![output],
                    options: Some(lk::participant_egress_request::Options::Advanced(encoding)),
                    ..lk::ParticipantEgressRequest::default()
                };
                let name = ("Egress", "StartParticipantEgress");
                self.twirp(name, &Grant::RECORD, &new, times).await?
            }
            Source::Room(layout) => {
                let new = lk::RoomCompositeEgressRequest {
                    room_name: room.to_owned(),
                    layout: layout.clone(),
                    stream_outputs: vec![output],
                    options: Some(lk::room_composite_egress_request::Options::Advanced(
                        encoding,
                    )),
                    ..lk::RoomCompositeEgressRequest::default()
                };
                let name = ("Egress", "StartRoomCompositeEgress");
                self.twirp(name, &Grant::RECORD, &new, times).await?
            }
        };
        Ok(Egress::from(started))
    }

    /// Egresses of a room, newest first.
    pub(in crate::control) async fn egresses(
        &self,
        room: &str,
        now: Wall,
    ) -> Result<Vec<Egress>, Unwell> {
        let of = lk::ListEgressRequest {
            room_name: room.to_owned(),
            ..lk::ListEgressRequest::default()
        };
        let name = ("Egress", "ListEgress");
        let listed: lk::ListEgressResponse = self
            .twirp(name, &Grant::RECORD, &of, (DEADLINE, now))
            .await?;
        let of_room = |egress: &Egress| egress.room == room;
        let listed = listed.items.into_iter().map(Egress::from);
        let mut listed: Vec<Egress> = listed.filter(of_room).collect();
        listed.sort_by_key(|egress| std::cmp::Reverse(egress.started));
        listed.truncate(MAX_SHOWN);
        Ok(listed)
    }

    /// Ends an egress.
    pub(in crate::control) async fn stop_egress(
        &self,
        id: &str,
        now: Wall,
    ) -> Result<Egress, Unwell> {
        let which = lk::StopEgressRequest {
            egress_id: id.to_owned(),
        };
        let name = ("Egress", "StopEgress");
        let stopped: lk::EgressInfo = self
            .twirp(name, &Grant::RECORD, &which, (DEADLINE, now))
            .await?;
        Ok(Egress::from(stopped))
    }
}

/// Nanoseconds since the Unix epoch; zero is no time.
fn time(nanos: i64) -> Option<Wall> {
    (nanos > 0).then_some(Wall(nanos / 1000))
}

fn error(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| sentence(text))
}

impl From<lk::EgressInfo> for Egress {
    fn from(info: lk::EgressInfo) -> Egress {
        let status = Status::of(info.status());
        let source = match info.request {
            Some(Request::Participant(of)) => Some(Source::Participant(of.identity)),
            Some(Request::RoomComposite(of)) => Some(Source::Room(of.layout)),
            Some(Request::Egress(of)) => match of.source {
                Some(NewSource::Media(_)) | Some(NewSource::Web(_)) | None => None,
                Some(NewSource::Template(of)) => Some(Source::Room(of.layout)),
            },
            _ => None,
        };
        Egress {
            id: info.egress_id,
            room: info.room_name,
            source,
            status,
            started: time(info.started_at),
            ended: time(info.ended_at),
            retries: info
                .stream_results
                .iter()
                .map(|one| one.retries)
                .max()
                .unwrap_or(0),
            error: error(&info.error),
        }
    }
}

/// What a webhook says of an egress, in the JSON form of LiveKit's protocol.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Said {
    egress_id: String,
    room_name: String,
    status: String,
    #[serde(deserialize_with = "integer")]
    started_at: i64,
    #[serde(deserialize_with = "integer")]
    ended_at: i64,
    error: String,
    participant: Option<ParticipantSaid>,
    room_composite: Option<LayoutSaid>,
    stream_results: Vec<StreamSaid>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ParticipantSaid {
    identity: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct LayoutSaid {
    layout: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct StreamSaid {
    retries: u32,
}

impl Said {
    fn egress(self) -> Option<Egress> {
        // Protobuf's JSON form leaves out what is zero.
        let status = match self.status.as_str() {
            "" => Some(lk::EgressStatus::EgressStarting),
            word => lk::EgressStatus::from_str_name(word),
        };
        let participant = self.participant.map(|of| Source::Participant(of.identity));
        let room = self.room_composite.map(|of| Source::Room(of.layout));
        let is_short = |source: &Source| match source {
            Source::Participant(word) | Source::Room(word) => word.len() <= MAX_WORD,
        };
        let is_known = !self.egress_id.is_empty() && self.egress_id.len() <= MAX_WORD;
        is_known.then_some(())?;
        Some(Egress {
            id: self.egress_id,
            room: self.room_name.chars().take(MAX_WORD).collect(),
            source: participant.or(room).filter(is_short),
            status: Status::of(status?),
            started: time(self.started_at),
            ended: time(self.ended_at),
            retries: self
                .stream_results
                .iter()
                .map(|one| one.retries)
                .max()
                .unwrap_or(0),
            error: error(&self.error),
        })
    }
}

/// Egresses as webhooks say that they are: for when the server cannot be asked, and for the log. By id, with the
/// time of what was heard last.
#[derive(Debug, Default)]
pub(in crate::control) struct Known {
    heard: Mutex<HashMap<String, (i64, Egress)>>,
    /// Rooms of which one is being started.
    starting: Arc<Mutex<HashSet<Uuid>>>,
}

/// Held while an egress of a room is being started.
pub(in crate::control) struct Starting(Arc<Mutex<HashSet<Uuid>>>, Uuid);

impl Drop for Starting {
    fn drop(&mut self) {
        let mut starting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        starting.remove(&self.1);
    }
}

impl Known {
    /// Notes that an egress of a room is being started; `None` if one is, or too many are.
    pub(in crate::control) fn starting(&self, stream: Uuid) -> Option<Starting> {
        let mut starting = self.starting.lock().unwrap_or_else(PoisonError::into_inner);
        let is_free = starting.len() < MAX_STARTING && starting.insert(stream);
        is_free.then(|| Starting(self.starting.clone(), stream))
    }

    /// Notes what was heard at a time, in seconds. What is older than what is known is no news.
    pub(super) fn hear(&self, said: Said, at: i64) {
        let Some(egress) = said.egress() else {
            return;
        };
        let mut known = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let before = known.get(&egress.id);
        let is_late = before.is_some_and(|(known_at, known)| {
            *known_at > at || (*known_at == at && !known.status.is_on() && egress.status.is_on())
        });
        if is_late {
            return;
        }
        let is_new = before.is_none_or(|(_, known)| known.status != egress.status);
        if before.is_none() && known.len() >= MAX_KNOWN {
            let oldest = known.iter().min_by_key(|(_, (at, _))| *at);
            if let Some(oldest) = oldest.map(|(id, _)| id.clone()) {
                known.remove(&oldest);
            }
        }
        if is_new {
            let (status, room) = (egress.status.word(), &egress.room);
            let reason = egress.error.as_deref();
            tracing::info!(egress = egress.id, room, status, reason, "egress of a room");
        }
        known.insert(egress.id.clone(), (at, egress));
    }

    /// Those of a room, newest first.
    pub(in crate::control) fn of(&self, room: &str) -> Vec<Egress> {
        let known = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let of_room = known.values().filter(|(_, egress)| egress.room == room);
        let mut found: Vec<(i64, Egress)> = of_room.cloned().collect();
        found.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        found.truncate(MAX_SHOWN);
        found.into_iter().map(|(_, egress)| egress).collect()
    }
}

#[cfg(test)]
mod tests;
