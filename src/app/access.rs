//! Who may play what. In: a stream id and the token of a request. Out: whether it is served.

use crate::base::id::Uuid;
use crate::control::token::Tokens;
use crate::hub::Hub;
use crate::origin;

/// Capability that asks players for a token.
const TOKEN_AUTH: &str = "token-auth";

/// Protected streams are opened by a token of their channel.
pub(super) struct TokenAccess {
    pub(super) hub: Hub,
    pub(super) tokens: Tokens,
}

impl origin::Access for TokenAccess {
    fn allows(&self, stream: Uuid, token: Option<&str>) -> bool {
        let Some(admission) = self.hub.admission(stream) else {
            return false;
        };
        if !admission.capabilities.iter().any(|word| word == TOKEN_AUTH) {
            return true;
        }
        token.is_some_and(|token| {
            self.tokens
                .allows(stream, &admission.channel_id, &admission.alias, token)
        })
    }
}

/// The operators' own address plays nothing.
pub(super) struct NoPlayback;

impl origin::Access for NoPlayback {
    fn allows(&self, _stream: Uuid, _token: Option<&str>) -> bool {
        false
    }
}
