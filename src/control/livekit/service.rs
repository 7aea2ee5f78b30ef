//! Calls of the server's own API (Twirp, https://twitchtv.github.io/twirp/docs/spec_v7.html: protobuf by POST). In:
//! messages of LiveKit's protocol. Out: answers, or why there is none. Not here: what is done with them.
//!
//! Nothing is tried twice here: who asks knows whether it is worth it.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use livekit_protocol as lk;
use prost::Message;
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;

use super::{OWN_PARTICIPANTS, Server};
use crate::base::clock::Wall;
use crate::control::outbound::{self, Target};

/// From a question to the end of its answer: the server's own calls to other nodes time out after 3 s.
pub(super) const DEADLINE: Duration = Duration::from_secs(5);
/// Time in which the token of a question is good: for a clock that goes wrong by some minutes.
const ASKING_S: i64 = 600;
/// Longest answer, in bytes: ten thousand rooms have a third of it.
const MAX_ANSWER: usize = 8 << 20;
/// Longest refusal that is read, in bytes.
const MAX_REFUSAL: usize = 4096;
/// Longest sentence of the server that is repeated, in characters.
const MAX_SENTENCE: usize = 200;
const PROTOBUF: HeaderValue = HeaderValue::from_static("application/protobuf");

/// Why the server is of no use now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unwell {
    /// There was no answer.
    #[error("the LiveKit server cannot be reached: {0}")]
    Unreachable(String),
    /// It has other credentials.
    #[error("the LiveKit server refuses the API key or its secret")]
    Credentials,
    /// Something answers that has no such service, or cannot serve.
    #[error("what answers at LIVEKIT_URL says {0} to a request of LiveKit's API")]
    Code(u16),
    /// The server knows the question and says no.
    #[error("the LiveKit server says {code}: {message}")]
    Refused {
        /// A word of Twirp's.
        code: String,
        /// What the server says about it.
        message: String,
    },
    /// Its answer cannot be read.
    #[error("the LiveKit server answers what cannot be read")]
    Unreadable,
}

impl Unwell {
    /// Whether what was asked about is not there.
    pub(in crate::control) fn is_missing(&self) -> bool {
        matches!(self, Unwell::Refused { code, .. } if code == "not_found")
    }
}

/// What the token of a question allows (LiveKit, "VideoGrant").
#[derive(Serialize, Default)]
#[serde(rename_all = "camelCase")]
pub(super) struct Grant<'a> {
    #[serde(skip_serializing_if = "is_false")]
    room_list: bool,
    #[serde(skip_serializing_if = "is_false")]
    room_create: bool,
    #[serde(skip_serializing_if = "is_false")]
    room_record: bool,
    #[serde(skip_serializing_if = "is_false")]
    room_admin: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    room: Option<&'a str>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
fn is_false(flag: &bool) -> bool {
    !flag
}

impl Grant<'_> {
    /// Lists rooms.
    pub(super) const LIST: Grant<'static> = Grant {
        room_list: true,
        room_create: false,
        room_record: false,
        room_admin: false,
        room: None,
    };
    /// Makes and deletes rooms.
    const CREATE: Grant<'static> = Grant {
        room_create: true,
        room_list: false,
        ..Grant::LIST
    };
    /// Sends rooms elsewhere.
    pub(super) const RECORD: Grant<'static> = Grant {
        room_record: true,
        room_list: false,
        ..Grant::LIST
    };

    /// Decides about who is in one room.
    fn admin(room: &str) -> Grant<'_> {
        Grant {
            room_admin: true,
            room: Some(room),
            ..Grant::default()
        }
    }
}

/// A refusal of Twirp's.
#[derive(Deserialize)]
struct Refusal {
    code: String,
    #[serde(default)]
    msg: String,
}

impl Server {
    /// Rooms that there are.
    pub(in crate::control) async fn rooms(&self, now: Wall) -> Result<Vec<lk::Room>, Unwell> {
        let all = lk::ListRoomsRequest::default();
        let times = (DEADLINE, now);
        let answer: lk::ListRoomsResponse = self
            .room_service("ListRooms", &Grant::LIST, &all, times)
            .await?;
        Ok(answer.rooms)
    }

    /// Makes a room for so many people, or sets the limit of one that there is.
    pub(in crate::control) async fn create_room(
        &self,
        room: &str,
        people: Option<u32>,
        now: Wall,
    ) -> Result<(), Unwell> {
        let new = lk::CreateRoomRequest {
            name: room.to_owned(),
            max_participants: people.map_or(0, |people| people.saturating_add(OWN_PARTICIPANTS)),
            ..lk::CreateRoomRequest::default()
        };
        let times = (DEADLINE, now);
        let made: lk::Room = self
            .room_service("CreateRoom", &Grant::CREATE, &new, times)
            .await?;
        drop(made);
        Ok(())
    }

    /// Closes a room: everybody is sent away. That there is none is as good.
    pub(in crate::control) async fn delete_room(
        &self,
        room: &str,
        now: Wall,
    ) -> Result<(), Unwell> {
        let gone = lk::DeleteRoomRequest {
            room: room.to_owned(),
        };
        let times = (DEADLINE, now);
        let done =
            self.room_service::<lk::DeleteRoomResponse>("DeleteRoom", &Grant::CREATE, &gone, times);
        unless_missing(done.await.map(drop))
    }

    /// Who is in a room.
    pub(in crate::control) async fn participants(
        &self,
        room: &str,
        now: Wall,
    ) -> Result<Vec<lk::ParticipantInfo>, Unwell> {
        let of = lk::ListParticipantsRequest {
            room: room.to_owned(),
        };
        let times = (DEADLINE, now);
        let answer: lk::ListParticipantsResponse = self
            .room_service("ListParticipants", &Grant::admin(room), &of, times)
            .await?;
        Ok(answer.participants)
    }

    /// Sends somebody out of a room. Servers that can do so refuse its tokens from before `revoked` from now on.
    /// That it is not there is as good.
    pub(in crate::control) async fn remove_participant(
        &self,
        (room, identity): (&str, &str),
        revoked: Revoked,
        now: Wall,
    ) -> Result<(), Unwell> {
        let grant = Grant::admin(room);
        let who = lk::RoomParticipantIdentity {
            room: room.to_owned(),
            identity: identity.to_owned(),
            revoke_token_ts: match revoked {
                // Tokens are made to the second: one that was made in this one is gone as well.
                Revoked::Before => now.unix_seconds().saturating_add(1),
                // None is as old. Without a time the server takes one in the future.
                Revoked::Nothing => 1,
            },
        };
        let done = self.room_service::<lk::RemoveParticipantResponse>(
            "RemoveParticipant",
            &grant,
            &who,
            (DEADLINE, now),
        );
        unless_missing(done.await.map(drop))
    }

    /// Says of somebody in a room how it is called and what others read of it. That it is not there is as good.
    pub(in crate::control) async fn update_participant(
        &self,
        (room, identity): (&str, &str),
        (name, metadata): (&str, &str),
        now: Wall,
    ) -> Result<(), Unwell> {
        let grant = Grant::admin(room);
        let new = lk::UpdateParticipantRequest {
            room: room.to_owned(),
            identity: identity.to_owned(),
            metadata: metadata.to_owned(),
            name: name.to_owned(),
            ..lk::UpdateParticipantRequest::default()
        };
        let times = (DEADLINE, now);
        let done =
            self.room_service::<lk::ParticipantInfo>("UpdateParticipant", &grant, &new, times);
        unless_missing(done.await.map(drop))
    }

    pub(super) async fn room_service<A: Message + Default>(
        &self,
        method: &str,
        grant: &Grant<'_>,
        question: &impl Message,
        times: (Duration, Wall),
    ) -> Result<A, Unwell> {
        self.twirp(("RoomService", method), grant, question, times)
            .await
    }

    /// Asks a service of the server.
    pub(super) async fn twirp<A: Message + Default>(
        &self,
        (service, method): (&str, &str),
        grant: &Grant<'_>,
        question: &impl Message,
        (deadline, now): (Duration, Wall),
    ) -> Result<A, Unwell> {
        let late = |_| {
            let seconds = deadline.as_secs();
            Unwell::Unreachable(format!("no answer within {seconds} s"))
        };
        let path = format!("/twirp/livekit.{service}/{method}");
        let body = Bytes::from(question.encode_to_vec());
        let asked = tokio::time::timeout(deadline, self.post(&path, grant, body, now));
        let answer = asked.await.map_err(late)??;
        A::decode(answer).map_err(|_| Unwell::Unreadable)
    }

    async fn post(
        &self,
        path: &str,
        grant: &Grant<'_>,
        body: Bytes,
        now: Wall,
    ) -> Result<Bytes, Unwell> {
        let failed = |what: &str, err: &dyn std::fmt::Display| {
            Unwell::Unreachable(outbound::failed(what, err))
        };
        let target = Target::of(&format!("{}{path}", self.0.base));
        let target = target.map_err(|err| failed("no address", &err))?;
        let token = self.asking(grant, now);
        let token = token.map_err(|err| failed("signature", &err))?;
        let mut request = target.post(body);
        let headers = request.headers_mut();
        headers.insert(AUTHORIZATION, token);
        headers.insert(CONTENT_TYPE, PROTOBUF);
        headers.insert(ACCEPT, PROTOBUF);
        let stream = TcpStream::connect((target.host.as_str(), target.port)).await;
        let stream = stream.map_err(|err| failed("no connection", &err))?;
        let answer = target.exchange(stream, self.0.tls.as_ref(), request, read);
        let answer = answer.await;
        answer.map_err(|err| Unwell::Unreachable(err.to_string()))?
    }

    /// The header of a question: a token that does what is asked and nothing else.
    fn asking(
        &self,
        grant: &Grant<'_>,
        now: Wall,
    ) -> Result<HeaderValue, jsonwebtoken::errors::Error> {
        #[derive(Serialize)]
        struct Claims<'a> {
            iss: &'a str,
            nbf: i64,
            exp: i64,
            video: &'a Grant<'a>,
        }
        let now = now.unix_seconds();
        let claims = Claims {
            iss: &self.0.api_key,
            nbf: now.saturating_sub(ASKING_S),
            exp: now.saturating_add(ASKING_S),
            video: grant,
        };
        let header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256);
        let secret = self.0.api_secret.expose().as_bytes();
        let key = jsonwebtoken::EncodingKey::from_secret(secret);
        let token = jsonwebtoken::encode(&header, &claims, &key)?;
        let value = HeaderValue::try_from(format!("Bearer {token}"));
        let mut value = value.expect("a JWT has printable characters only");
        value.set_sensitive(true);
        Ok(value)
    }
}

/// What becomes of tokens of somebody who is sent out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::control) enum Revoked {
    /// Those that it has are good no more.
    Before,
    /// They stay good: it may come again.
    Nothing,
}

fn unless_missing(done: Result<(), Unwell>) -> Result<(), Unwell> {
    match done {
        Err(err) if err.is_missing() => Ok(()),
        done => done,
    }
}

/// Reads an answer within its limit.
async fn read(answer: Response<Incoming>) -> Result<Bytes, Unwell> {
    let code = answer.status();
    let most = if code.is_success() {
        MAX_ANSWER
    } else {
        MAX_REFUSAL
    };
    let body = Limited::new(answer.into_body(), most).collect().await;
    let body = body.map(http_body_util::Collected::to_bytes);
    match code {
        code if code.is_success() => body.map_err(|_| Unwell::Unreadable),
        // Its text repeats the token.
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(Unwell::Credentials),
        code => {
            let body = body.unwrap_or_default();
            let Ok(refusal) = serde_json::from_slice::<Refusal>(&body) else {
                return Err(Unwell::Code(code.as_u16()));
            };
            Err(match refusal.code.as_str() {
                "unauthenticated" | "permission_denied" => Unwell::Credentials,
                // No such service there.
                "bad_route" => Unwell::Code(code.as_u16()),
                _ => Unwell::Refused {
                    code: sentence(&refusal.code),
                    message: sentence(&refusal.msg),
                },
            })
        }
    }
}

/// What a server says, for people: no addresses, which may hold keys, and nothing that is no text.
pub(super) fn sentence(text: &str) -> String {
    let word = |word: &str| match word.contains("://") || word.contains("eyJ") {
        true => "[…]".to_owned(),
        false => word
            .chars()
            .filter(|letter| !letter.is_control())
            .collect::<String>(),
    };
    let words: Vec<String> = text.split_whitespace().take(60).map(word).collect();
    words.join(" ").chars().take(MAX_SENTENCE).collect()
}
