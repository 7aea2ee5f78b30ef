//! What goes wrong between us and a LiveKit server, in words without a token in them: what LiveKit answers to a
//! token that it does not take is that very token.

use livekit_protocol::DisconnectReason;
use livekit_signaling::SignalError;

use crate::base::secret::Secret;

/// Longest text of somebody else's that goes into ours.
const LONGEST: usize = 200;

/// Why there is no session.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The settings name no server that can be called.
    #[error("it is no address such as wss://livekit.example.org")]
    Address,
    /// No token could be signed.
    #[error("no token can be signed with the API secret")]
    Signature,
    /// No connection, or it ended while joining.
    #[error("the LiveKit server cannot be reached: {0}")]
    Unreachable(String),
    /// It did not answer in time.
    #[error("the LiveKit server does not let us join within {0} s")]
    Late(u64),
    /// It has other credentials.
    #[error(
        "the LiveKit server refuses our token: API key or secret are not its own, or clocks differ"
    )]
    Token,
    /// It refuses for another reason: 404 where there is no LiveKit, or no such room and none is made.
    #[error("the LiveKit server refuses with {0}")]
    Refused(u16),
    /// It found no way to start the session: what a full room is answered with.
    #[error("the LiveKit server fails to let us in: the room is full, or its log says why")]
    Failed,
    /// The room took the connection and closed it.
    #[error("the room does not let us in: it is full, or the server stops")]
    NotLetIn,
    /// What it says is not LiveKit's protocol.
    #[error("the LiveKit server says what is none of its protocol: {0}")]
    Protocol(String),
    /// This session is over.
    #[error("the session in the room is over")]
    Over,
}

impl Error {
    /// Whether another attempt can go well soon, with nobody changing anything.
    pub fn may_return(&self) -> bool {
        match self {
            Error::Unreachable(_)
            | Error::Late(_)
            | Error::Failed
            | Error::Protocol(_)
            | Error::Over => true,
            // Answers of a proxy whose server restarts.
            Error::Refused(code) => *code >= 500 || *code == 429,
            Error::Address | Error::Signature | Error::Token | Error::NotLetIn => false,
        }
    }

    pub(super) fn of_library(err: SignalError, token: &Secret) -> Error {
        match err {
            // Bodies are left away: LiveKit's have the token in them.
            SignalError::Client(status, _) | SignalError::Server(status, _) => {
                Error::of_code(status.as_u16())
            }
            SignalError::Handshake { status } => Error::of_code(status.as_u16()),
            SignalError::TokenFormat => Error::Token,
            SignalError::UrlParse(_) => Error::Address,
            SignalError::Timeout(_) => {
                Error::Late(livekit_signaling::JOIN_RESPONSE_TIMEOUT.as_secs())
            }
            SignalError::Closed | SignalError::LeaveRequest { .. } => Error::NotLetIn,
            SignalError::Connection(text) => Error::Unreachable(scrubbed(&text, token)),
            SignalError::ProtoParse(err) => Error::Protocol(scrubbed(&err.to_string(), token)),
            other => Error::Unreachable(scrubbed(&other.to_string(), token)),
        }
    }

    fn of_code(code: u16) -> Error {
        match code {
            401 | 403 => Error::Token,
            500 => Error::Failed,
            other => Error::Refused(other),
        }
    }
}

/// A text of the library's or the network's, short, in one line and without our token.
fn scrubbed(text: &str, token: &Secret) -> String {
    let text = text.replace(token.expose(), "…");
    let line = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    line.take(LONGEST).collect()
}

/// Why a session in a room ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// The connection broke, or nothing came of it any more.
    #[error("the connection to the LiveKit server broke: {0}")]
    Lost(String),
    /// The server stops, or moves us.
    #[error("the LiveKit server stops")]
    Shutdown,
    /// Somebody else joined by our identity: another gateway with the same credentials.
    #[error("another participant joined with the same identity")]
    Duplicate,
    /// Somebody removed us.
    #[error("removed from the room")]
    Removed,
    /// The room was deleted or closed.
    #[error("the room was closed")]
    RoomClosed,
    /// Media did not get through.
    #[error("media does not get through to the LiveKit server")]
    Media,
    /// Another one.
    #[error("the LiveKit server ended the session ({0})")]
    Other(&'static str),
    /// We left.
    #[error("left")]
    Left,
}

impl Reason {
    /// Whether joining again at once is what the server expects. Where it is not, somebody wanted us out, and
    /// coming back at once is a quarrel.
    pub fn may_return(&self) -> bool {
        match self {
            Reason::Lost(_) | Reason::Shutdown | Reason::Media | Reason::Other(_) => true,
            Reason::Duplicate | Reason::Removed | Reason::RoomClosed | Reason::Left => false,
        }
    }

    pub(super) fn of(reason: DisconnectReason) -> Reason {
        match reason {
            DisconnectReason::DuplicateIdentity => Reason::Duplicate,
            DisconnectReason::ServerShutdown | DisconnectReason::Migration => Reason::Shutdown,
            DisconnectReason::ParticipantRemoved => Reason::Removed,
            DisconnectReason::RoomDeleted | DisconnectReason::RoomClosed => Reason::RoomClosed,
            DisconnectReason::MediaFailure | DisconnectReason::ConnectionTimeout => Reason::Media,
            other => Reason::Other(other.as_str_name()),
        }
    }
}
