//! Commands that only touch store and credentials. Each returns the text to print.

use std::fmt::Write as _;

use super::{Application, ChannelToken, Key, Token};
use crate::base::clock::Clock;
use crate::base::id::random_key;
use crate::base::secret::Secret;
use crate::config::{Config, DEFAULT_ALIAS};
use crate::control::token::{Claims, LivekitGrant, create, livekit, path_form};
use crate::credentials;
use crate::store::{self, Channel, Declaration, Declared, NewChannel, Store};

/// Characters of a generated application secret: 190 bits.
const SECRET_CHARACTERS: usize = 32;

/// Why a command did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store refused.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The credentials file cannot be used.
    #[error(transparent)]
    Credentials(#[from] credentials::Error),
    /// There is no such channel.
    #[error("there is no channel {0}")]
    NoChannel(String),
    /// The key is in the configuration file.
    #[error("the stream key of {0} is in the configuration file: change it there")]
    DeclaredKey(String),
    /// It would come back at the next start.
    #[error("{0} is the first application (FOREBAY_APPLICATION_ID) and cannot be removed")]
    FirstApplication(String),
    /// LiveKit's credentials are not set.
    #[error("LIVEKIT_API_KEY and LIVEKIT_API_SECRET are not set")]
    NoLivekit,
    /// The token could not be signed.
    #[error("token could not be signed: {0}")]
    Signing(#[from] jsonwebtoken::errors::Error),
}

/// Opens the database of the settings: PostgreSQL where a URL names it, else SQLite in the data folder.
pub async fn open(config: &Config, clock: Clock) -> Result<Store, store::Error> {
    match &config.storage.database_url {
        Some(url) => Store::connect(url, clock).await,
        None => Store::open(&config.storage.data, clock).await,
    }
}

/// Brings the store in line with settings and credentials: first application, default channel,
/// declared channels. At every start, before listeners open.
pub async fn prepare(
    store: &Store,
    config: &Config,
    credentials: &credentials::Credentials,
) -> Result<(Channel, Declared), Error> {
    let identity = &config.identity;
    let application_id = &identity.application_id;
    store
        .ensure_application(application_id, &credentials.application_secret)
        .await?;
    let channel = NewChannel {
        region: &identity.region,
        application_id,
        alias: DEFAULT_ALIAS,
        name: "Live",
        key: Some(&credentials.stream_key),
        capabilities: None,
    };
    let channel = store.ensure_default_channel(&channel).await?;
    let declarations: Vec<Declaration<'_>> = config
        .channels
        .iter()
        .map(|channel| Declaration {
            alias: &channel.alias,
            name: &channel.name,
            key: channel.key.as_ref(),
            capabilities: channel.capabilities.as_deref(),
        })
        .collect();
    let declared = store
        .declare_channels(
            &identity.region,
            application_id,
            &declarations,
            config.limits.max_channels,
        )
        .await?;
    Ok((channel, declared))
}

/// `forebay application …`
pub async fn application(
    store: &Store,
    config: &Config,
    command: &Application,
) -> Result<String, Error> {
    match command {
        Application::Add { id } => {
            let secret = Secret::new(random_key(SECRET_CHARACTERS));
            store.add_application(id, &secret).await?;
            Ok(format!(
                "Application {id}\nSecret      {}\nThe secret is shown this once.\n",
                secret.expose()
            ))
        }
        Application::List => {
            let mut text = String::new();
            for application in store.applications().await? {
                let _ = writeln!(text, "{}", application.id);
            }
            Ok(text)
        }
        Application::Remove { id } => {
            if *id == config.identity.application_id {
                return Err(Error::FirstApplication(id.clone()));
            }
            store.remove_application(id).await?;
            Ok(format!("Application {id} and its channels are removed.\n"))
        }
    }
}

/// `forebay key …`
pub async fn key(store: &Store, config: &Config, command: &Key) -> Result<String, Error> {
    let Key::Rotate { channel } = command;
    let channel = find(store, channel).await?;
    let identity = &config.identity;
    let first = |alias: &str| channel.id == identity.channel_id(alias);
    let is_default = first(DEFAULT_ALIAS);
    if is_default && identity.stream_key.is_some() {
        return Err(credentials::Error::Configured.into());
    }
    let mut declared = config.channels.iter();
    if declared.any(|declared| declared.key.is_some() && first(&declared.alias)) {
        return Err(Error::DeclaredKey(channel.id));
    }
    let key = store.rotate_key(&channel.id).await?;
    if is_default {
        credentials::keep_stream_key(&config.storage.data, identity, &key)?;
    }
    Ok(format!("{}\n", key.expose()))
}

/// `forebay token …`
pub async fn token(
    store: &Store,
    config: &Config,
    clock: &Clock,
    command: &Token,
) -> Result<String, Error> {
    match command {
        Token::Playback(wanted) => {
            let claims = Claims::default();
            channel_token(store, clock, wanted, claims).await
        }
        Token::Publish {
            channel,
            capabilities,
        } => {
            let claims = Claims {
                kind: Some("publish".to_owned()),
                capabilities: capabilities.clone(),
                ..Claims::default()
            };
            channel_token(store, clock, channel, claims).await
        }
        Token::Livekit {
            room,
            identity,
            name,
            publish,
            expires,
        } => {
            let credentials = &config.livekit;
            let (Some(key), Some(secret)) = (&credentials.api_key, &credentials.api_secret) else {
                return Err(Error::NoLivekit);
            };
            let grant = LivekitGrant {
                room,
                identity,
                name: name.as_deref(),
                can_publish: *publish,
                can_subscribe: true,
                valid_for: *expires,
            };
            Ok(livekit(key, secret, clock.wall(), &grant)? + "\n")
        }
    }
}

/// Printed in the form that needs no escaping, neither in a path nor in a query.
async fn channel_token(
    store: &Store,
    clock: &Clock,
    wanted: &ChannelToken,
    mut claims: Claims,
) -> Result<String, Error> {
    let channel = find(store, &wanted.channel).await?;
    let applications = store.applications().await?;
    let owner = applications
        .into_iter()
        .find(|application| application.id == channel.application_id)
        .ok_or_else(|| store::Error::Missing(format!("application {}", channel.application_id)))?;
    let valid_ms = i64::try_from(wanted.expires.as_millis()).unwrap_or(i64::MAX);
    claims.expires = clock.wall().unix_millis().saturating_add(valid_ms);
    claims.required_tag = Some(format!("channelId:{}", channel.id));
    let token = create(&owner.id, &owner.secret, &claims);
    Ok(path_form(&token) + "\n")
}

async fn find(store: &Store, channel: &str) -> Result<Channel, Error> {
    let found = store.find_channel(channel).await?;
    found.ok_or_else(|| Error::NoChannel(channel.to_owned()))
}

#[cfg(test)]
mod tests;
