//! Tokens: `DIGEST` tokens of the channel API (contract, channels, section 10), the same claims as a JWT
//! ([`jwt`]), LiveKit's, and invites of co-hosts ([`invite`]).
//!
//! A `DIGEST` token is `"DIGEST:" + base64(JSON {applicationId, digest, token})`, where `token` is
//! itself JSON text and `digest` the base64 of HMAC-SHA512 over it, keyed with application id and
//! secret one after the other.

pub mod invite;
pub mod jwt;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{
    GeneralPurpose, GeneralPurposeConfig, STANDARD, URL_SAFE_NO_PAD,
};
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha512;

use crate::base::clock::{Clock, Wall};
use crate::base::id::Uuid;
use crate::base::secret::Secret;
pub use crate::livekit::token::{Grant as LivekitGrant, sign as livekit};
use crate::store::Store;

/// How every token of the digest form begins.
const PREFIX: &str = "DIGEST:";
/// Longest token that is looked at, in bytes. Real ones have 300 to 600.
const LONGEST: usize = 4096;

/// Both alphabets are read by translating to the standard one; padding may be missing.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Why a token is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It is neither a `DIGEST` token nor a JWT.
    #[error("not a token")]
    Malformed,
    /// Its application is unknown, or its digest is not this application's.
    #[error("digest does not match")]
    Digest,
    /// Its time is over.
    #[error("token has expired")]
    Expired,
    /// It was issued for something else: another kind of use, channel, stream or caller.
    #[error("token was issued for something else")]
    Scope,
}

/// What a token says. Names and order as the token services write them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Claims {
    /// Milliseconds since the Unix epoch. Zero, which is long over, where a token names none.
    #[serde(default)]
    pub expires: i64,
    /// `auth`, `stream` or `publish`; none is for viewing.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// `channelId:…`, `channelAlias:…`, or the same as `roomId:…` and `roomAlias:…`: the one channel it is
    /// good for. Anything else is a tag that the stream must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub required_tag: Option<String>,
    /// The one stream it is good for, and the forks of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin_stream_id: Option<String>,
    /// The one publisher session whose stream it is good for: viewers over HTTP have no session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// The one address it is good for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote_address: Option<String>,
    /// The one gateway address it is good for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    /// Of a publish, its capabilities; for viewing, what the stream must be able to do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub capabilities: Vec<String>,
    /// Tags put on a published stream.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub apply_tags: Vec<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    application_id: String,
    digest: String,
    token: String,
}

/// Signs claims.
pub fn create(application_id: &str, secret: &Secret, claims: &Claims) -> String {
    let token = serde_json::to_string(claims).expect("claims are JSON");
    let envelope = Envelope {
        digest: STANDARD.encode(mac(application_id, secret, &token).finalize().into_bytes()),
        application_id: application_id.to_owned(),
        token,
    };
    let json = serde_json::to_string(&envelope).expect("three texts are JSON");
    format!("{PREFIX}{}", STANDARD.encode(json))
}

/// The same token in letters that need no escaping in a path: `~{token}`.
pub fn path_form(token: &str) -> String {
    let letter = |c| match c {
        '+' | ' ' => '-',
        '/' => '_',
        other => other,
    };
    token.trim_end_matches('=').chars().map(letter).collect()
}

/// Whether a stream key is a token in its place.
pub fn is_token(key: &str) -> bool {
    key.starts_with(PREFIX) || jwt::is_jwt(key)
}

/// Checks signature and time, not the scope. Returns application id and claims.
pub fn verify(
    token: &str,
    secret_of: impl FnOnce(&str) -> Option<Secret>,
    now: Wall,
) -> Result<(String, Claims), Error> {
    if token.len() > LONGEST {
        return Err(Error::Malformed);
    }
    let Some(body) = token.strip_prefix(PREFIX) else {
        return jwt::verify(token, secret_of, now);
    };
    let letter = |c| match c {
        // A plus that was not escaped in a query arrives as a blank.
        '-' | ' ' => '+',
        '_' => '/',
        other => other,
    };
    let body: String = body.chars().map(letter).collect();
    let json = LENIENT.decode(body).map_err(|_| Error::Malformed)?;
    let envelope: Envelope = serde_json::from_slice(&json).map_err(|_| Error::Malformed)?;
    let digest = LENIENT.decode(&envelope.digest);
    let digest = digest.map_err(|_| Error::Malformed)?;
    let secret = secret_of(&envelope.application_id);
    // Whether there is such an application is not to be told by the time that the answer takes.
    let key = secret.clone().unwrap_or_else(|| Secret::new(""));
    // Compares in constant time.
    mac(&envelope.application_id, &key, &envelope.token)
        .verify_slice(&digest)
        .map_err(|_| Error::Digest)?;
    secret.ok_or(Error::Digest)?;
    let claims: Claims = serde_json::from_str(&envelope.token).map_err(|_| Error::Malformed)?;
    if claims.expires <= now.unix_millis() {
        return Err(Error::Expired);
    }
    Ok((envelope.application_id, claims))
}

fn mac(application_id: &str, secret: &Secret, token: &str) -> Hmac<Sha512> {
    let key = format!("{application_id}{}", secret.expose());
    let mut mac = <Hmac<Sha512> as KeyInit>::new_from_slice(key.as_bytes())
        .expect("HMAC takes keys of any length");
    mac.update(token.as_bytes());
    mac
}

/// What a viewer wants to see.
#[derive(Clone, Copy)]
pub struct Target<'a> {
    /// Stream on air; `None` while there is none.
    pub stream_id: Option<Uuid>,
    /// The stream whose publishers it shows: of a fork its source, else the same.
    pub origin_id: Option<Uuid>,
    /// `{region}#{application}#{alias}`.
    pub channel_id: &'a str,
    /// Channel alias.
    pub alias: &'a str,
    /// What the stream can do.
    pub capabilities: &'a [String],
    /// Tags of the stream.
    pub tags: &'a [String],
    /// Whether a publisher session of this id feeds it now. Asked only by tokens that name one.
    pub has_session: &'a dyn Fn(&str) -> bool,
    /// Who asks, where it is known.
    pub peer: Option<IpAddr>,
}

impl Target<'_> {
    fn owner(&self) -> &str {
        self.channel_id.split('#').nth(1).unwrap_or_default()
    }

    /// Everything that a token limits itself to must be so: a limit that is not checked is none.
    fn fits(&self, claims: &Claims) -> bool {
        let tag = claims.required_tag.as_deref();
        let stream = claims.origin_stream_id.as_deref();
        let session = claims.session_id.as_deref();
        let address = claims.remote_address.as_deref();
        let mut capabilities = claims.capabilities.iter();
        matches!(claims.kind.as_deref(), None | Some("stream"))
            && tag.is_none_or(|tag| self.has_tag(tag))
            && stream.is_none_or(|id| self.is_stream(id))
            && session.is_none_or(|id| (self.has_session)(id))
            && address.is_none_or(|address| is_address(address, self.peer))
            && capabilities.all(|word| self.capabilities.contains(word))
            // There is nothing to compare it with.
            && claims.uri.is_none()
    }

    fn has_tag(&self, tag: &str) -> bool {
        match channel_tag(tag) {
            Some(Channel::Id(id)) => id == self.channel_id,
            Some(Channel::Alias(alias)) => alias == self.alias,
            None => self.tags.iter().any(|have| have == tag),
        }
    }

    fn is_stream(&self, id: &str) -> bool {
        let id = Uuid::parse_str(id).ok();
        id.is_some() && (id == self.stream_id || id == self.origin_id)
    }
}

enum Channel<'a> {
    Id(&'a str),
    Alias(&'a str),
}

/// The channel that a required tag names. A room is a channel (contract, channels, C-12). Publishers choose
/// their tags, so these forms are never looked for among them.
fn channel_tag(tag: &str) -> Option<Channel<'_>> {
    match tag.split_once(':')? {
        ("channelId" | "roomId", id) => Some(Channel::Id(id)),
        ("channelAlias" | "roomAlias", alias) => Some(Channel::Alias(alias)),
        _ => None,
    }
}

fn is_address(address: &str, peer: Option<IpAddr>) -> bool {
    let address = address.parse::<IpAddr>().ok();
    let address = address.map(|address| address.to_canonical());
    address.is_some() && address == peer.map(|peer| peer.to_canonical())
}

/// What a publish token allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishGrant {
    /// Owner of the channel.
    pub application_id: String,
    /// Channel id or alias.
    pub channel: String,
    /// `None` when it names none.
    pub capabilities: Option<Vec<String>>,
    /// Tags of the stream.
    pub tags: Vec<String>,
}

/// Gives an application's secret, without waiting.
type SecretOf = dyn Fn(&str) -> Option<Secret> + Send + Sync;

/// Checks tokens against the applications' secrets as the store knows them in memory: playback never
/// waits for the database. Cloning shares them.
#[derive(Clone)]
pub struct Tokens {
    secret_of: Arc<SecretOf>,
    clock: Clock,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").finish_non_exhaustive()
    }
}

impl Tokens {
    /// Those of the store's applications.
    pub fn new(store: Store, clock: Clock) -> Tokens {
        let secret_of = move |id: &str| Some(store.known_application(id)?.secret.clone());
        Tokens::with(secret_of, clock)
    }

    fn with(
        secret_of: impl Fn(&str) -> Option<Secret> + Send + Sync + 'static,
        clock: Clock,
    ) -> Tokens {
        Tokens {
            secret_of: Arc::new(secret_of),
            clock,
        }
    }

    /// Checks a token for viewing.
    pub fn playback(&self, token: &str, target: &Target<'_>) -> Result<(), Error> {
        let (application_id, claims) = self.verify(token)?;
        let fits = target.owner() == application_id && target.fits(&claims);
        fits.then_some(()).ok_or(Error::Scope)
    }

    /// Checks a token that stands in for a stream key.
    pub fn publish(&self, token: &str, peer: IpAddr) -> Result<PublishGrant, Error> {
        let (application_id, claims) = self.verify(token)?;
        let channel = match claims.required_tag.as_deref().and_then(channel_tag) {
            Some(Channel::Id(channel) | Channel::Alias(channel)) => channel.to_owned(),
            None => return Err(Error::Scope),
        };
        let address = claims.remote_address.as_deref();
        let address_fits = address.is_none_or(|address| is_address(address, Some(peer)));
        let unbound = claims.session_id.is_none()
            && claims.uri.is_none()
            && claims.origin_stream_id.is_none();
        if claims.kind.as_deref() != Some("publish") || !address_fits || !unbound {
            return Err(Error::Scope);
        }
        let named = !claims.capabilities.is_empty();
        Ok(PublishGrant {
            application_id,
            channel,
            capabilities: named.then_some(claims.capabilities),
            tags: claims.apply_tags,
        })
    }

    fn verify(&self, token: &str) -> Result<(String, Claims), Error> {
        verify(token, |id| (self.secret_of)(id), self.clock.wall())
    }
}

/// What a parser of tokens must survive: any text from a URL.
pub fn fuzz_token(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let secret = |_: &str| Some(Secret::new("secret"));
    let _ = verify(&text, secret, Wall(0));
    let body = STANDARD.encode(bytes);
    let _ = verify(&format!("{PREFIX}{body}"), secret, Wall(0));
    let body = URL_SAFE_NO_PAD.encode(bytes);
    let _ = verify(&format!("{}.{body}.{body}", jwt::HEADER), secret, Wall(0));
}

#[cfg(test)]
mod tests;
