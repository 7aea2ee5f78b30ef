//! Access tokens of LiveKit: JWTs signed with HS256 and the API secret, issuer the API key. Times in them are
//! whole numbers: LiveKit takes others too, clients of the broadcast API do not (contract, broadcasts,
//! section 5).

use std::time::Duration;

use jsonwebtoken::errors::Error;
use serde::Serialize;

use crate::base::clock::Wall;
use crate::base::secret::Secret;

/// Time in which the token of a request is good: for clocks that differ by some minutes.
const REQUEST_VALID_S: i64 = 600;

/// What a participant's token allows.
#[derive(Clone, Debug)]
pub struct Grant<'a> {
    /// Room to join.
    pub room: &'a str,
    /// Identity of the participant, unique in the room.
    pub identity: &'a str,
    /// Name for people.
    pub name: Option<&'a str>,
    /// What other participants read of it, a JSON text.
    pub metadata: Option<&'a str>,
    /// Whether the participant may send media.
    pub can_publish: bool,
    /// Whether the participant may receive media.
    pub can_subscribe: bool,
    /// Whether the participant may send messages; `None`: if it may send media.
    pub can_publish_data: Option<bool>,
    /// Participants of the room, if the token is what makes it.
    pub max_participants: Option<u32>,
    /// How long the token opens the room.
    pub valid_for: Duration,
}

/// What a request of LiveKit's own API needs: what is not set is not allowed. Names as LiveKit writes them
/// (`VideoGrant` of its protocol).
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Service<'a> {
    /// Makes and deletes rooms.
    #[serde(skip_serializing_if = "is_false")]
    pub room_create: bool,
    /// Lists rooms.
    #[serde(skip_serializing_if = "is_false")]
    pub room_list: bool,
    /// Looks after `room`: its participants, its tracks.
    #[serde(skip_serializing_if = "is_false")]
    pub room_admin: bool,
    /// Egress.
    #[serde(skip_serializing_if = "is_false")]
    pub room_record: bool,
    /// Ingress.
    #[serde(skip_serializing_if = "is_false")]
    pub ingress_admin: bool,
    /// The room that `room_admin` is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub room: Option<&'a str>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes it so")]
fn is_false(value: &bool) -> bool {
    !value
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Video<'a> {
    room_join: bool,
    room: &'a str,
    can_publish: bool,
    can_subscribe: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    can_publish_data: Option<bool>,
    #[serde(skip_serializing_if = "is_false")]
    hidden: bool,
}

/// LiveKit's `RoomConfiguration`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Room {
    max_participants: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Claims<'a> {
    exp: i64,
    iat: i64,
    iss: &'a str,
    nbf: i64,
    sub: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a str>,
    video: Video<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    room_config: Option<Room>,
}

/// A participant's token, subject the identity.
pub fn sign(
    api_key: &str,
    api_secret: &Secret,
    now: Wall,
    grant: &Grant<'_>,
) -> Result<String, Error> {
    sign_as(api_key, api_secret, now, grant, false)
}

/// The same; others do not see who is `hidden`.
pub(super) fn sign_as(
    api_key: &str,
    api_secret: &Secret,
    now: Wall,
    grant: &Grant<'_>,
    hidden: bool,
) -> Result<String, Error> {
    let now = now.unix_seconds();
    let valid_s = i64::try_from(grant.valid_for.as_secs()).unwrap_or(i64::MAX);
    let max_participants = grant.max_participants;
    let claims = Claims {
        exp: now.saturating_add(valid_s),
        iat: now,
        iss: api_key,
        nbf: now,
        sub: grant.identity,
        name: grant.name,
        metadata: grant.metadata,
        video: Video {
            room_join: true,
            room: grant.room,
            can_publish: grant.can_publish,
            can_subscribe: grant.can_subscribe,
            can_publish_data: grant.can_publish_data,
            hidden,
        },
        room_config: max_participants.map(|max_participants| Room { max_participants }),
    };
    encode(api_secret, &claims)
}

/// The token of one request of LiveKit's own API, good for some minutes.
pub fn sign_request(
    api_key: &str,
    api_secret: &Secret,
    now: Wall,
    service: &Service<'_>,
) -> Result<String, Error> {
    #[derive(Serialize)]
    struct Claims<'a> {
        iss: &'a str,
        nbf: i64,
        exp: i64,
        video: &'a Service<'a>,
    }
    let now = now.unix_seconds();
    let claims = Claims {
        iss: api_key,
        nbf: now.saturating_sub(REQUEST_VALID_S),
        exp: now.saturating_add(REQUEST_VALID_S),
        video: service,
    };
    encode(api_secret, &claims)
}

fn encode(api_secret: &Secret, claims: &impl Serialize) -> Result<String, Error> {
    let header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256);
    let key = jsonwebtoken::EncodingKey::from_secret(api_secret.expose().as_bytes());
    jsonwebtoken::encode(&header, claims, &key)
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    const NOW: Wall = Wall(1_790_000_000_000_000);

    fn claims(token: &str) -> serde_json::Value {
        let payload = token.split('.').nth(1).unwrap();
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
    }

    #[test]
    fn who_is_hidden_says_so_and_others_say_nothing_of_it() {
        let grant = Grant {
            room: "stage",
            identity: "forebay-listener",
            name: None,
            metadata: None,
            can_publish: false,
            can_subscribe: true,
            can_publish_data: Some(false),
            max_participants: None,
            valid_for: Duration::from_secs(60),
        };
        let secret = Secret::new("secret");
        let of = |hidden| claims(&sign_as("devkey", &secret, NOW, &grant, hidden).unwrap());
        assert_eq!(of(true)["video"]["hidden"], true);
        assert!(of(false)["video"].get("hidden").is_none());
    }

    #[test]
    fn the_token_of_a_request_allows_what_it_is_for_and_nothing_else() {
        let service = Service {
            room_admin: true,
            room: Some("stage"),
            ..Service::default()
        };
        let token = sign_request("devkey", &Secret::new("secret"), NOW, &service).unwrap();
        let expected = serde_json::json!({ "iss": "devkey", "nbf": 1_789_999_400, "exp": 1_790_000_600,
            "video": { "roomAdmin": true, "room": "stage" } });
        assert_eq!(claims(&token), expected);
    }
}
