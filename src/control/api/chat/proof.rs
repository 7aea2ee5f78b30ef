//! Whether who came with a credential still has it. Sockets stay open for hours, and a token ends meanwhile with
//! its time, with its user, or by the user's word; an API key with its client.

use std::sync::Arc;

use crate::base::id::Uuid;
use crate::base::secret::Secret;
use crate::control::api::{Call, Error};
use crate::store::{Application, Store};

/// What somebody came with.
pub(super) struct Proof {
    /// Whose API key.
    client: Option<Arc<Application>>,
    /// Whose token; it is one of these.
    user: Option<(Uuid, Vec<Secret>)>,
}

impl Proof {
    /// Of a call whose credentials are right.
    pub(super) async fn of(call: &mut Call) -> Result<Proof, Error> {
        let query = call.query().await?;
        let tokens = [query.text("token")?, call.bearer()];
        let tokens = || tokens.into_iter().flatten().map(Secret::new).collect();
        let caller = &call.caller;
        Ok(Proof {
            client: caller.has_key.then(|| caller.tenant.clone()),
            user: caller.user.as_ref().map(|user| (user.id, tokens())),
        })
    }

    /// Whether it still holds. A database that does not answer sends nobody away.
    pub(super) async fn is_good(&self, store: &Store) -> bool {
        let has_key = |client: &Arc<Application>| {
            let known = store.known_application(&client.id);
            known.is_some_and(|known| known.has_key_of(client))
        };
        if !self.client.as_ref().is_none_or(has_key) {
            return false;
        }
        let Some((user, tokens)) = &self.user else {
            return true;
        };
        for token in tokens {
            match store.user_of_bearer(token.expose()).await {
                Ok(Some(found)) if found.id == *user => return true,
                Ok(_) => {}
                Err(_) => return true,
            }
        }
        false
    }
}
