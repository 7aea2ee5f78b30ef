//! What is asked of memory, without waiting.

use std::ops::Bound;
use std::sync::Arc;

use super::super::application::Application;
use super::super::channel::Channel;
use super::super::hash::hash;
use super::super::{Error, Store};
use super::Place;
use crate::base::id::Uuid;

/// Password against which that of an unknown application is compared, so that it takes as long.
const NOBODY: &str = "................................";

impl Store {
    /// The channel that a stream key opens, without waiting. As new as every change that this process has
    /// made; changes of other processes are seen about a second later. Found by the key's SHA-256, so the
    /// time it takes tells nothing about how much of a guess is right.
    pub fn known_key(&self, key: &str) -> Option<Arc<Channel>> {
        let hash = hash(key);
        self.memory.read().by_hash.get(&hash).cloned()
    }

    /// A channel by id, whoever owns it, without waiting. As new as [`Store::known_key`].
    pub fn known_id(&self, id: &str) -> Option<Arc<Channel>> {
        self.memory.read().by_id.get(id).cloned()
    }

    /// An application's channel, by id or alias, without waiting. As new as [`Store::known_key`].
    pub fn known_channel(&self, application_id: &str, id_or_alias: &str) -> Option<Arc<Channel>> {
        let known = self.memory.read();
        known.channel_of(application_id, id_or_alias).cloned()
    }

    /// The channel of an application's broadcast, without waiting. As new as [`Store::known_key`].
    pub fn known_broadcast(&self, application_id: &str, broadcast: Uuid) -> Option<Arc<Channel>> {
        let known = self.memory.read();
        let owner = known.owners.get(application_id)?;
        owner
            .broadcasts
            .get(broadcast.to_string().as_str())
            .cloned()
    }

    /// A channel by id, or the oldest of an alias, whoever owns it, for calls that need no credentials.
    /// Without waiting, as new as [`Store::known_key`].
    pub fn known_public_channel(&self, id_or_alias: &str) -> Option<Arc<Channel>> {
        self.memory.read().named(id_or_alias).next().cloned()
    }

    /// The channel that an id or an alias means among those of all applications: [`Error::Ambiguous`] when
    /// several have the alias. Without waiting, as new as [`Store::known_key`].
    pub fn known_one_channel(&self, id_or_alias: &str) -> Result<Option<Arc<Channel>>, Error> {
        let known = self.memory.read();
        let mut named = known.named(id_or_alias);
        let found = named.next().cloned();
        match named.next() {
            Some(_) => Err(Error::Ambiguous(id_or_alias.to_owned())),
            None => Ok(found),
        }
    }

    /// The next channels of an application, oldest first, after one of them; without waiting, as new as
    /// [`Store::known_key`]. `limit` bounds how long the lock is held and what an answer holds at once.
    pub fn known_channels(
        &self,
        application_id: &str,
        after: Option<&Channel>,
        limit: usize,
    ) -> Vec<Arc<Channel>> {
        let known = self.memory.read();
        let Some(owner) = known.owners.get(application_id) else {
            return Vec::new();
        };
        let from = after.map(|channel| (channel.created, channel.id.as_str().into()));
        let from = from.map_or(Bound::Unbounded, Bound::Excluded);
        let rest = owner.in_order.range::<Place, _>((from, Bound::Unbounded));
        rest.map(|(_, channel)| channel.clone())
            .take(limit)
            .collect()
    }

    /// How many channels an application has.
    pub fn known_channel_count_of(&self, application_id: &str) -> usize {
        let known = self.memory.read();
        let owner = known.owners.get(application_id);
        owner.map_or(0, |owner| owner.in_order.len())
    }

    /// The application of an SDK client with this API key, without waiting. As new as [`Store::known_key`],
    /// and found as a stream key is.
    pub fn known_client(&self, api_key: &str) -> Option<Arc<Application>> {
        let hash = hash(api_key);
        self.memory.read().clients.get(&hash).cloned()
    }

    /// An application, without waiting. As new as [`Store::known_key`].
    pub fn known_application(&self, id: &str) -> Option<Arc<Application>> {
        self.memory.read().application(id).cloned()
    }

    /// The application with these credentials, without waiting. Takes as long for a wrong id as for a
    /// wrong secret.
    pub fn authenticate(&self, id: &str, secret: &str) -> Option<Arc<Application>> {
        let found = self.known_application(id);
        let stored = found.as_ref().map_or(NOBODY, |found| found.secret.expose());
        // Of digests, so that the length of a secret does not show either.
        let matches = subtle::ConstantTimeEq::ct_eq(&hash(stored)[..], &hash(secret)[..]);
        found.filter(|_| bool::from(matches))
    }
}
