//! Who may play: a port, because tokens are checked by what knows their secrets.

use std::net::IpAddr;

use crate::base::id::Uuid;

/// Decides on each request of a stream.
pub trait Access: Send + Sync {
    /// Whether `stream` may be played with this token (the characters after `~` in the path, as
    /// sent) by this client. True for unprotected streams, whatever the token. Called per request: must be
    /// quick.
    fn allows(&self, stream: Uuid, token: Option<&str>, client: IpAddr) -> bool;
}

/// Lets everybody play everything.
#[derive(Clone, Copy, Debug, Default)]
pub struct Open;

impl Access for Open {
    fn allows(&self, _stream: Uuid, _token: Option<&str>, _client: IpAddr) -> bool {
        true
    }
}
