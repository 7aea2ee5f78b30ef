//! The hub's gate: who may publish, and which streams were open, by what the store knows.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::admission::Service;
use super::api::event::Playbill;
use super::token::{self, PublishGrant, Tokens};
use crate::base::id::Uuid;
use crate::hub::gate::{Gate, Pending, Record, Sign, Told};
use crate::hub::{Admission, PublishRequest, Refusal};
use crate::store::{self, Channel, Error, IngestOptions, OpenStream, Store};

/// What an encoder is told when the database is not there. It may try again.
const NO_DATABASE: &str = "the database does not answer";
/// What an encoder is told in whose place a film is on.
const NOT_CALLED: &str = "a film is on, and nobody has called for a takeover of its event";

/// Admits publishes by stream key, or by publish token in its place. Cloning shares it.
#[derive(Clone)]
pub struct StoreGate {
    store: Store,
    tokens: Tokens,
    defaults: Arc<ArcSwap<Vec<String>>>,
    admission: Option<Service>,
    /// What takes turns with films; `None`: nothing does.
    playbill: Option<Playbill>,
}

impl StoreGate {
    /// `default_capabilities` are those of a publish when neither its key nor its channel names any.
    pub fn new(store: Store, tokens: Tokens, default_capabilities: Vec<String>) -> StoreGate {
        StoreGate {
            store,
            tokens,
            defaults: Arc::new(ArcSwap::from_pointee(default_capabilities)),
            admission: None,
            playbill: None,
        }
    }

    /// The same gate, which asks `service` before it admits an encoder. What the gateway pulls itself was
    /// decided by whoever wrote the source down.
    pub fn asking(mut self, service: Option<Service>) -> StoreGate {
        self.admission = service;
        self
    }

    /// The same gate, which lets nobody publish in the place of a film unless that was called for.
    pub fn beside(mut self, playbill: Playbill) -> StoreGate {
        self.playbill = Some(playbill);
        self
    }

    /// Whether a channel is that of an event, which is not to be taken over.
    async fn refuse_uncalled(&self, channel: &Channel) -> Result<(), Refusal> {
        let stream = channel.stream_id.filter(|_| channel.is_of_broadcast());
        let Some(stream) = stream.filter(|_| self.playbill.is_some()) else {
            return Ok(());
        };
        // What another gateway was told a moment ago holds here as well.
        let event = self.store.event_of_stream(stream).await.map_err(refused)?;
        match event.is_some_and(|event| !event.takeover) {
            true => Err(Refusal::NotAllowed(NOT_CALLED.to_owned())),
            false => Ok(()),
        }
    }

    /// New default capabilities, for publishes from now on.
    pub fn set_default_capabilities(&self, words: Vec<String>) {
        self.defaults.store(Arc::new(words));
    }

    /// The admission service knows only of publishes that would be admitted without it.
    async fn look_up(&self, request: &PublishRequest) -> Result<Admission, Refusal> {
        let (channel, admission) = self.open(request).await?;
        let Some(service) = &self.admission else {
            return Ok(admission);
        };
        let asked = service.ask(request, &channel.application_id, admission);
        let admission = asked.await?;
        // That may have taken seconds, in which a key may have been replaced, or its channel deleted.
        let (now, _) = self.open(request).await?;
        let same = (&now.id, now.created) == (&channel.id, channel.created);
        same.then_some(admission).ok_or(Refusal::UnknownKey)
    }

    /// The channel that a key or a token opens, and as what. What a token names holds: its bearer may not
    /// add to it.
    async fn open(&self, request: &PublishRequest) -> Result<(Channel, Admission), Refusal> {
        let key = request.key.expose();
        let asked = request.capabilities.clone();
        let (found, capabilities, tags) = if token::is_token(key) {
            let grant = self.grant(request, key)?;
            let (owner, channel) = (&grant.application_id, &grant.channel);
            let found = self.store.channel_of(owner, channel).await;
            // Tags open streams to viewers: those of a token are its issuer's alone.
            (found, grant.capabilities.or(asked), grant.tags)
        } else {
            let found = self.store.find_channel_by_key(key).await;
            (found, asked, request.tags.clone())
        };
        let channel = found.map_err(refused)?.ok_or(Refusal::UnknownKey)?;
        self.refuse_uncalled(&channel).await?;
        let admission = self.admission(request, &channel, capabilities, tags);
        Ok((channel, admission))
    }

    /// What a publish token allows this caller.
    fn grant(&self, request: &PublishRequest, key: &str) -> Result<PublishGrant, Refusal> {
        let grant = self.tokens.publish(key, request.peer.ip());
        grant.map_err(|error| match error {
            token::Error::Expired | token::Error::Scope => Refusal::NotAllowed(error.to_string()),
            token::Error::Malformed | token::Error::Digest => Refusal::UnknownKey,
        })
    }

    async fn records(&self, region: &str) -> Result<Vec<Record>, Error> {
        let mut records = Vec::new();
        for stream in self.store.claim_streams(region).await? {
            // A stream goes with its channel.
            if let Some(channel) = self.store.known_id(&stream.channel_id) {
                records.push(record(stream, &channel));
            }
        }
        Ok(records)
    }

    fn admission(
        &self,
        request: &PublishRequest,
        channel: &Channel,
        capabilities: Option<Vec<String>>,
        mut tags: Vec<String>,
    ) -> Admission {
        // The channel's defaults are for RTMP publishes only (contract, channels, section 2), those of a
        // broadcast for all.
        let of_channel = request.proto.starts_with("rtmp") || channel.is_of_broadcast();
        if of_channel && tags.is_empty() {
            tags.clone_from(&channel.tags);
        }
        let stored = channel.capabilities.clone().filter(|_| of_channel);
        // What was made without credentials can do no more than that, whatever the encoder asks for.
        let capabilities = capabilities.filter(|_| !channel.is_of_broadcast() || stored.is_none());
        Admission {
            channel_id: channel.id.clone(),
            alias: channel.alias.clone(),
            name: channel.name.clone(),
            capabilities: named(capabilities)
                .or(named(stored))
                .unwrap_or_else(|| self.defaults.load().to_vec()),
            tags,
            screen_name: screen_name(channel.ingest.as_ref()),
            lasting: channel.stream_id,
            placed: None,
        }
    }
}

/// Words, if there are any: who gives an empty list names none (contract, channels, C-34).
fn named(words: Option<Vec<String>>) -> Option<Vec<String>> {
    words.filter(|words| !words.is_empty())
}

/// Name of the members, if there is one: an empty one tells nobody apart.
fn screen_name(options: Option<&IngestOptions>) -> Option<String> {
    let name = options.and_then(|options| options.screen_name.clone());
    name.filter(|name| !name.is_empty())
}

fn refused(error: Error) -> Refusal {
    tracing::error!(err = %error, "publish could not be looked up");
    Refusal::Undecided(NO_DATABASE.to_owned())
}

impl Gate for StoreGate {
    fn preview(&self, request: &PublishRequest) -> Result<String, Refusal> {
        let key = request.key.expose();
        let channel = if token::is_token(key) {
            let grant = self.grant(request, key)?;
            self.store
                .known_channel(&grant.application_id, &grant.channel)
        } else {
            self.store.known_key(key)
        };
        let channel = channel.ok_or(Refusal::UnknownKey)?;
        let playbill = self.playbill.as_ref().zip(channel.stream_id);
        let entry = playbill.and_then(|(playbill, stream)| playbill.of_stream(stream));
        match entry.is_some_and(|entry| !entry.event.takeover) {
            true => Err(Refusal::NotAllowed(NOT_CALLED.to_owned())),
            false => Ok(channel.id.clone()),
        }
    }

    fn admit<'a>(&'a self, request: &'a PublishRequest) -> Pending<'a, Result<Admission, Refusal>> {
        Box::pin(self.look_up(request))
    }

    fn admit_pulled<'a>(&'a self, channel_id: &'a str) -> Pending<'a, Result<Admission, Refusal>> {
        Box::pin(async move {
            let channel = self.store.channel(channel_id).await.map_err(refused)?;
            let gone = || Refusal::NotAllowed("the channel does not exist".to_owned());
            let channel = channel.ok_or_else(gone)?;
            let capabilities = named(channel.capabilities);
            Ok(Admission {
                channel_id: channel.id,
                alias: channel.alias,
                name: channel.name,
                capabilities: capabilities.unwrap_or_else(|| self.defaults.load().to_vec()),
                tags: channel.tags,
                screen_name: screen_name(channel.ingest.as_ref()),
                lasting: channel.stream_id,
                placed: None,
            })
        })
    }

    fn stream_opened<'a>(&'a self, record: &'a Record) -> Pending<'a, ()> {
        Box::pin(async move {
            let channel = &record.admission.channel_id;
            if let Err(err) = self.store.stream_opened(&stored(record)).await {
                // The stream goes on: after a restart it will have another id.
                tracing::error!(%err, channel, "stream could not be recorded");
            }
        })
    }

    fn streams_alive<'a>(&'a self, signs: &'a [Sign]) -> Pending<'a, ()> {
        Box::pin(async move {
            let signs: Vec<_> = signs.iter().map(stored_sign).collect();
            if let Err(err) = self.store.streams_alive(&signs).await {
                tracing::error!(%err, "signs of life could not be recorded");
            }
        })
    }

    fn streams_ended<'a>(&'a self, ids: &'a [Uuid]) -> Pending<'a, ()> {
        Box::pin(async move {
            if ids.is_empty() {
                return;
            }
            if let Err(err) = self.store.streams_ended(ids).await {
                tracing::error!(%err, streams = ?ids, "ends of streams could not be recorded");
            }
        })
    }

    fn open_streams<'a>(&'a self, region: &'a str) -> Pending<'a, Vec<Record>> {
        Box::pin(async move {
            self.records(region).await.unwrap_or_else(|err| {
                // Their players have to open the channels' next streams.
                tracing::error!(%err, "streams of the last run could not be read");
                Vec::new()
            })
        })
    }
}

fn stored(record: &Record) -> OpenStream {
    OpenStream {
        id: record.id,
        channel_id: record.admission.channel_id.clone(),
        epoch: record.epoch,
        capabilities: record.admission.capabilities.clone(),
        tags: record.admission.tags.clone(),
        segment_target_90k: record.segment_target_90k,
        longest_segment_90k: record.longest_segment_90k,
        sign: stored_sign(&record.sign),
    }
}

fn stored_sign(sign: &Sign) -> store::Sign {
    store::Sign {
        id: sign.id,
        alive: sign.alive,
        next_sequence: sign.told.next_sequence,
        discontinuities: sign.told.discontinuities,
        end_90k: sign.told.end_90k,
        is_final: sign.is_final,
    }
}

fn record(stream: OpenStream, channel: &Channel) -> Record {
    Record {
        id: stream.id,
        epoch: stream.epoch,
        admission: Admission {
            channel_id: channel.id.clone(),
            alias: channel.alias.clone(),
            name: channel.name.clone(),
            capabilities: stream.capabilities,
            tags: stream.tags,
            screen_name: screen_name(channel.ingest.as_ref()),
            lasting: channel.stream_id,
            placed: None,
        },
        segment_target_90k: stream.segment_target_90k,
        longest_segment_90k: stream.longest_segment_90k,
        sign: Sign {
            id: stream.id,
            alive: stream.sign.alive,
            told: Told {
                next_sequence: stream.sign.next_sequence,
                discontinuities: stream.sign.discontinuities,
                end_90k: stream.sign.end_90k,
            },
            is_final: stream.sign.is_final,
        },
    }
}
