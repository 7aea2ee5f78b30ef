//! The hub's gate: who may publish, by what the store knows.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::token::{self, Tokens};
use crate::base::clock::Wall;
use crate::base::id::Uuid;
use crate::hub::gate::{Admitting, Gate};
use crate::hub::{Admission, PublishRequest, Refusal};
use crate::store::{Channel, Error, Store};

/// What an encoder is told when the database is not there. It may try again.
const NO_DATABASE: &str = "the database does not answer";

/// Admits publishes by stream key, or by publish token in its place. Cloning shares it.
#[derive(Clone)]
pub struct StoreGate {
    store: Store,
    tokens: Tokens,
    defaults: Arc<ArcSwap<Vec<String>>>,
}

impl StoreGate {
    /// `default_capabilities` are those of a publish when neither its key nor its channel names any.
    pub fn new(store: Store, tokens: Tokens, default_capabilities: Vec<String>) -> StoreGate {
        StoreGate {
            store,
            tokens,
            defaults: Arc::new(ArcSwap::from_pointee(default_capabilities)),
        }
    }

    /// New default capabilities, for publishes from now on.
    pub fn set_default_capabilities(&self, words: Vec<String>) {
        self.defaults.store(Arc::new(words));
    }

    async fn look_up(&self, request: &PublishRequest) -> Result<Admission, Refusal> {
        let key = request.key.expose();
        if key.starts_with(token::PREFIX) {
            return self.by_token(request, key).await;
        }
        let channel = self.store.find_channel_by_key(key).await.map_err(refused)?;
        let channel = channel.ok_or(Refusal::UnknownKey)?;
        let capabilities = request.capabilities.clone();
        Ok(self.admission(request, channel, capabilities, Vec::new()))
    }

    /// What the token names holds: its bearer may not add to it.
    async fn by_token(&self, request: &PublishRequest, key: &str) -> Result<Admission, Refusal> {
        let grant = match self.tokens.publish(key, request.peer.ip()) {
            Ok(grant) => grant,
            Err(error @ (token::Error::Expired | token::Error::Scope)) => {
                return Err(Refusal::NotAllowed(error.to_string()));
            }
            Err(token::Error::Malformed | token::Error::Digest) => {
                return Err(Refusal::UnknownKey);
            }
        };
        let channel = self
            .store
            .channel_of(&grant.application_id, &grant.channel)
            .await
            .map_err(refused)?
            .ok_or(Refusal::UnknownKey)?;
        let capabilities = grant.capabilities.or_else(|| request.capabilities.clone());
        Ok(self.admission(request, channel, capabilities, grant.tags))
    }

    fn admission(
        &self,
        request: &PublishRequest,
        channel: Channel,
        capabilities: Option<Vec<String>>,
        mut tags: Vec<String>,
    ) -> Admission {
        // The channel's defaults are for RTMP publishes only (contract, channels, section 2).
        let of_channel = request.proto.starts_with("rtmp");
        tags.extend(request.tags.iter().cloned());
        if of_channel && tags.is_empty() {
            tags = channel.tags;
        }
        let stored = channel.capabilities.filter(|_| of_channel);
        Admission {
            channel_id: channel.id,
            alias: channel.alias,
            name: channel.name,
            capabilities: capabilities
                .or(stored)
                .unwrap_or_else(|| self.defaults.load().to_vec()),
            tags,
        }
    }
}

fn refused(error: Error) -> Refusal {
    tracing::error!(err = %error, "publish could not be looked up");
    Refusal::Full(NO_DATABASE.to_owned())
}

impl Gate for StoreGate {
    fn admit<'a>(&'a self, request: &'a PublishRequest) -> Admitting<'a> {
        Box::pin(self.look_up(request))
    }

    fn stream_opened<'a>(
        &'a self,
        channel_id: &'a str,
        stream_id: Uuid,
        epoch: Wall,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        Box::pin(async move {
            let done = self.store.stream_opened(channel_id, stream_id, epoch).await;
            if let Err(err) = done {
                // The stream goes on: after a restart it will have another id.
                tracing::error!(%err, channel = channel_id, "stream could not be recorded");
            }
        })
    }

    fn stream_ended<'a>(
        &'a self,
        stream_id: Uuid,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        Box::pin(async move {
            if let Err(err) = self.store.stream_ended(stream_id).await {
                tracing::error!(%err, stream = %stream_id, "end of stream could not be recorded");
            }
        })
    }
}
