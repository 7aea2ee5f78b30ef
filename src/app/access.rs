//! Who may play, by what the hub knows of the stream and the tokens know of their secrets.

use std::net::IpAddr;

use crate::base::id::Uuid;
use crate::control::token::{Target, Tokens};
use crate::hub::Hub;
use crate::origin;

/// Capability of a stream that opens for token holders only.
const TOKEN_AUTH: &str = "token-auth";

/// Protected streams are opened by a token of their channel.
pub(super) struct TokenAccess {
    pub(super) hub: Hub,
    pub(super) tokens: Tokens,
}

impl origin::Access for TokenAccess {
    fn allows(&self, id: Uuid, token: Option<&str>, client: IpAddr) -> bool {
        let Some(admission) = self.hub.admission(id) else {
            return false;
        };
        if !admission.capabilities.iter().any(|word| word == TOKEN_AUTH) {
            return true;
        }
        let Some(token) = token else {
            return false;
        };
        let target = Target {
            stream_id: Some(id),
            origin_id: Some(self.hub.origin(id)),
            channel_id: &admission.channel_id,
            alias: &admission.alias,
            capabilities: &admission.capabilities,
            tags: &admission.tags,
            has_session: &|session| self.hub.has_session(id, session),
            peer: Some(client),
        };
        self.tokens.playback(token, &target).is_ok()
    }
}

/// The operators' own address plays nothing.
pub(super) struct NoPlayback;

impl origin::Access for NoPlayback {
    fn allows(&self, _stream: Uuid, _token: Option<&str>, _client: IpAddr) -> bool {
        false
    }
}
