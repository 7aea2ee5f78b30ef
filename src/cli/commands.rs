//! Commands that only touch store and credentials. Each returns the text to print.

use std::fmt::Write as _;
use std::sync::Arc;

use super::{Application, ChannelToken, Format, Key, Token};
use crate::base::clock::Clock;
use crate::base::secret::Secret;
use crate::base::shutdown::Tasks;
use crate::config::{Config, DEFAULT_ALIAS};
use crate::control::livekit::{self, Server};
use crate::control::token::{
    Claims, LivekitGrant, create, jwt, livekit as livekit_token, path_form,
};
use crate::credentials;
use crate::store::{self, Channel, Declaration, Declared, NewChannel, Store};

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
    /// It would be the old one again at the next start.
    #[error(
        "{0} is the first application: its secret is FOREBAY_APPLICATION_SECRET or in credentials.toml"
    )]
    FirstSecret(String),
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
        Some(url) => Store::connect(url, &config.storage.data, clock).await,
        None => Store::open(&config.storage.data, clock).await,
    }
}

/// The LiveKit server of the settings, if address and credentials are all there.
pub fn livekit_server(config: &Config) -> Result<Option<Server>, livekit::Error> {
    let settings = &config.livekit;
    let (Some(url), Some(api_key), Some(api_secret)) =
        (&settings.url, &settings.api_key, &settings.api_secret)
    else {
        return Ok(None);
    };
    let server = Server::new(&livekit::Settings {
        url,
        api_key,
        api_secret,
        token_prefix: settings.token_prefix,
    });
    server.map(Some)
}

/// The LiveKit server that the settings name, as rooms are joined on it. No visit outlives `tasks`.
pub fn livekit_signaller(
    config: &Config,
    tasks: &Tasks,
) -> Result<Option<crate::livekit::Server>, crate::livekit::Error> {
    let settings = &config.livekit;
    let (Some(url), Some(api_key), Some(api_secret)) =
        (&settings.url, &settings.api_key, &settings.api_secret)
    else {
        return Ok(None);
    };
    let server = crate::livekit::Server::new(url, api_key, api_secret)?;
    Ok(Some(server.ending_with(tasks)))
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
    // The kept key is for a new database. Later the channel's own holds, which may have been made anew.
    let known = store.known_channel(application_id, DEFAULT_ALIAS);
    let known = known.as_ref().map(|channel| &channel.key);
    let key = identity.stream_key.as_ref().or(known);
    let channel = NewChannel {
        region: &identity.region,
        application_id,
        alias: DEFAULT_ALIAS,
        name: "Live",
        key: key.or(Some(&credentials.stream_key)),
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

/// Does so for a store that no server has used yet. Any other one stays as its server made it: a command may
/// be called with other settings than the server's, or from a folder without its configuration file.
pub async fn prepare_new(store: &Store, config: &Config) -> Result<(), Error> {
    if store.applications().await?.is_empty() {
        let data = &config.storage.data;
        let credentials = credentials::Credentials::load_or_make(data, &config.identity)?;
        prepare(store, config, &credentials).await?;
    }
    Ok(())
}

/// `forebay application …`
pub async fn application(
    store: &Store,
    config: &Config,
    command: &Application,
) -> Result<String, Error> {
    match command {
        Application::Add { id } => {
            let secret = store::random_secret();
            store.add_application(id, &secret).await?;
            Ok(shown_once(id, &secret))
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
        Application::Rotate { id } => {
            if *id == config.identity.application_id {
                return Err(Error::FirstSecret(id.clone()));
            }
            let secret = store.rotate_secret(id).await?;
            Ok(shown_once(id, &secret))
        }
    }
}

fn shown_once(application_id: &str, secret: &Secret) -> String {
    format!(
        "Application {application_id}\nSecret      {}\nThe secret is shown this once.\n",
        secret.expose()
    )
}

/// `forebay key …`
pub async fn key(store: &Store, config: &Config, command: &Key) -> Result<String, Error> {
    let Key::Rotate { channel } = command;
    let channel = find(store, channel)?;
    check_key(config, &channel.id)?;
    let key = store.rotate_key(&channel.id).await?;
    keep_key(config, &channel.id, &key)?;
    Ok(format!("{}\n", key.expose()))
}

/// Whether a channel's key may be replaced: not one that is a setting, since it would come back.
pub fn check_key(config: &Config, channel_id: &str) -> Result<(), Error> {
    let identity = &config.identity;
    let first = |alias: &str| channel_id == identity.channel_id(alias);
    if first(DEFAULT_ALIAS) && identity.stream_key.is_some() {
        return Err(credentials::Error::Configured.into());
    }
    let mut declared = config.channels.iter();
    match declared.any(|declared| declared.key.is_some() && first(&declared.alias)) {
        true => Err(Error::DeclaredKey(channel_id.to_owned())),
        false => Ok(()),
    }
}

/// Keeps a channel's new key where the next start looks for it.
pub fn keep_key(config: &Config, channel_id: &str, key: &Secret) -> Result<(), Error> {
    let identity = &config.identity;
    if channel_id == identity.channel_id(DEFAULT_ALIAS) {
        credentials::keep_stream_key(&config.storage.data, identity, key)?;
    }
    Ok(())
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
                metadata: None,
                can_publish: *publish,
                can_subscribe: true,
                can_publish_data: None,
                max_participants: None,
                valid_for: *expires,
            };
            Ok(livekit_token(key, secret, clock.wall(), &grant)? + "\n")
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
    let channel = find(store, &wanted.channel)?;
    let applications = store.applications().await?;
    let owner = applications
        .into_iter()
        .find(|application| application.id == channel.application_id)
        .ok_or_else(|| store::Error::missing("application", &channel.application_id))?;
    let valid_ms = i64::try_from(wanted.expires.as_millis()).unwrap_or(i64::MAX);
    claims.expires = clock.wall().unix_millis().saturating_add(valid_ms);
    claims.required_tag = Some(format!("channelId:{}", channel.id));
    claims.remote_address = wanted.address.map(|address| address.to_string());
    let token = match wanted.format {
        Format::Jwt => jwt::create(&owner.id, &owner.secret, &claims)?,
        Format::Digest => path_form(&create(&owner.id, &owner.secret, &claims)),
    };
    Ok(token + "\n")
}

fn find(store: &Store, channel: &str) -> Result<Arc<Channel>, Error> {
    let found = store.known_one_channel(channel)?;
    found.ok_or_else(|| Error::NoChannel(channel.to_owned()))
}

#[cfg(test)]
mod tests;
