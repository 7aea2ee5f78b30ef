//! Settings. In: environment, file, defaults, in this order of precedence. Out: one checked
//! [`Config`]. Not here: what the settings do, and the random credentials of a first start.
//!
//! One table, [`SETTINGS`], says of every setting how it is called, what it accepts and what it
//! means: reading, the example file and `--help` all come from it.

mod event;
mod file;
mod forward;
mod livekit;
mod model;
pub mod parts;
mod recording;
mod setting;
mod table;
#[cfg(test)]
mod tests;
mod text;
mod value;
mod webhook;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use crate::base::network::Network;
pub use model::{
    Channel, Config, Event, Forward, Identity, Limits, Listen, Livekit, Log, Media, Publish,
    Storage, Urls, Webhooks,
};
#[cfg(test)]
pub(crate) use setting::Field;
pub(crate) use table::SETTINGS;
pub use text::{example, help};
pub(crate) use value::{is_name, parse_span};

/// Why the settings cannot be used. The process ends with exit code 2.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A value is outside of what the setting accepts.
    #[error("{setting} is {value}, accepted is {accepted}")]
    Value {
        /// Environment name, or key, section, file and line.
        setting: String,
        /// As it was given; `(hidden)` for secrets.
        value: String,
        /// The accepted range, in words.
        accepted: String,
    },
    /// The file has a key that no setting has.
    #[error("unknown key {key} in {path} line {line}{hint}")]
    UnknownKey {
        /// The key with its section.
        key: String,
        /// The file.
        path: String,
        /// Line, from 1.
        line: usize,
        /// The nearest known key, as a half-sentence, or nothing.
        hint: String,
    },
    /// The file is not TOML.
    #[error("{path} line {line}: {message}")]
    Syntax {
        /// The file.
        path: String,
        /// Line, from 1.
        line: usize,
        /// What the TOML parser says.
        message: String,
    },
    /// A file named by a setting cannot be read.
    #[error("cannot read {path} ({setting}): {source}")]
    Read {
        /// The setting that names it.
        setting: String,
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// Settings that do not go together.
    #[error("{0}")]
    Conflict(String),
}

/// Where settings come from. Nothing else is read.
pub struct Sources<'a> {
    /// Environment variables, of which those that are settings count.
    pub env: &'a [(String, String)],
    /// Path (for messages) and text of the configuration file.
    pub file: Option<(&'a str, &'a str)>,
    /// Reads the files that `…_FILE` settings name.
    pub read: &'a dyn Fn(&Path) -> std::io::Result<String>,
}

/// Checked settings, and what should be said about them at start.
#[derive(Debug)]
pub struct Loaded {
    /// The settings.
    pub config: Config,
    /// One sentence each, for the log.
    pub warnings: Vec<String>,
}

/// What a reload would change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Environment names of changed settings that take effect at once.
    pub reloadable: Vec<&'static str>,
    /// Environment names (and `channel`) of changed settings that need a restart.
    pub restart: Vec<&'static str>,
}

impl Config {
    /// Reads and checks all settings.
    pub fn load(sources: &Sources<'_>) -> Result<Loaded, Error> {
        let mut config = Config::default();
        let mut warnings = Vec::new();
        let text = sources.file.map_or("", |(_, text)| text);
        let path = sources.file.map_or("", |(path, _)| path);
        let root = file::parse(path, text)?;
        let file = file::File::read(path, text, &root)?;
        let env = |name: &str| {
            let mut entries = sources.env.iter();
            entries.find(|(key, _)| key == name).map(|(_, v)| &**v)
        };
        for setting in SETTINGS {
            value::Reader {
                sources,
                file: &file,
                env: &env,
                warnings: &mut warnings,
            }
            .apply(setting, &mut config)?;
        }
        config.channels = file.channels(sources.read)?;
        warn_of_unknown(sources.env, &mut warnings);
        config.check()?;
        Ok(Loaded { config, warnings })
    }

    /// Reads the process's environment and file: `flag` (`--config`), else `FOREBAY_CONFIG`, else
    /// `forebay.toml` if it exists.
    pub fn from_process(flag: Option<&Path>) -> Result<Loaded, Error> {
        let env: Vec<(String, String)> = std::env::vars_os()
            .filter_map(|(key, value)| Some((key.into_string().ok()?, value)))
            .map(|(key, value)| (key, value.to_string_lossy().into_owned()))
            .collect();
        let named = |(key, value): &(String, String)| {
            (key == "FOREBAY_CONFIG" && !value.is_empty()).then(|| PathBuf::from(value))
        };
        let named = flag
            .map(Path::to_path_buf)
            .or_else(|| env.iter().find_map(named));
        let path = named
            .clone()
            .unwrap_or_else(|| PathBuf::from("forebay.toml"));
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => Some(text),
            Err(error) if named.is_none() && error.kind() == std::io::ErrorKind::NotFound => None,
            Err(source) => {
                return Err(Error::Read {
                    setting: "FOREBAY_CONFIG".to_owned(),
                    path: path.display().to_string(),
                    source,
                });
            }
        };
        let path = path.display().to_string();
        Config::load(&Sources {
            env: &env,
            file: text.as_deref().map(|text| (&*path, text)),
            read: &|path| std::fs::read_to_string(path),
        })
    }

    /// What differs in `new`, by whether it takes effect without a restart.
    pub fn changes(&self, new: &Config) -> Changes {
        let mut changes = Changes::default();
        for setting in SETTINGS {
            if setting.field.literal(self) == setting.field.literal(new)
                && setting.field.secret(self) == setting.field.secret(new)
            {
                continue;
            }
            if setting.reload {
                changes.reloadable.push(setting.env);
            } else {
                changes.restart.push(setting.env);
            }
        }
        if self.channels != new.channels {
            changes.restart.push("channel");
        }
        changes
    }

    /// Relations between settings.
    fn check(&self) -> Result<(), Error> {
        let conflict = |text: String| Err(Error::Conflict(text));
        if self.listen.http.is_empty() {
            return conflict("FOREBAY_HTTP is empty: playback needs at least one address".into());
        }
        if self.listen.tls_cert.is_some() != self.listen.tls_key.is_some() {
            return conflict("FOREBAY_TLS_CERT and FOREBAY_TLS_KEY are needed together".into());
        }
        if !self.listen.rtmps.is_empty() && self.listen.tls_cert.is_none() {
            return conflict("FOREBAY_RTMPS needs FOREBAY_TLS_CERT and FOREBAY_TLS_KEY".into());
        }
        if self.media.part * 2 > self.media.segment {
            return conflict(format!(
                "FOREBAY_PART_MS {} is above half of FOREBAY_SEGMENT_SECONDS ({} ms)",
                self.media.part.as_millis(),
                self.media.segment.as_millis() / 2
            ));
        }
        // RFC 8216bis §6.2.2 asks for three target durations; six is what CAN-SKIP-UNTIL needs.
        let least = 6 * self.media.ladder_target_duration_s();
        if self.media.window < Duration::from_secs(least) {
            return conflict(format!(
                "FOREBAY_WINDOW_SECONDS {} is below {least}, six target durations of {} s",
                self.media.window.as_secs(),
                self.media.ladder_target_duration_s()
            ));
        }
        if self.publish.silence > self.publish.publish_timeout {
            return conflict(format!(
                "FOREBAY_SILENCE_MS {} is above FOREBAY_PUBLISH_TIMEOUT_SECONDS ({} ms)",
                self.publish.silence.as_millis(),
                self.publish.publish_timeout.as_millis()
            ));
        }
        if self.livekit.api_key.is_some() != self.livekit.api_secret.is_some() {
            return conflict("LIVEKIT_API_KEY and LIVEKIT_API_SECRET are needed together".into());
        }
        let mut seen = HashSet::new();
        for channel in &self.channels {
            if !seen.insert(&channel.alias) {
                return conflict(format!("channel {} is declared twice", channel.alias));
            }
            // Its key has a setting of its own: two sources would overwrite each other.
            if channel.alias == DEFAULT_ALIAS {
                return conflict(format!(
                    "channel {DEFAULT_ALIAS} always exists, its key is FOREBAY_STREAM_KEY"
                ));
            }
        }
        let mut keys = HashSet::new();
        let declared = self
            .channels
            .iter()
            .filter_map(|channel| channel.key.as_ref());
        for key in declared.chain(&self.identity.stream_key) {
            if !keys.insert(key) {
                return conflict(format!(
                    "two channels have the stream key with fingerprint {}",
                    key.fingerprint()
                ));
            }
        }
        Ok(())
    }
}

/// Alias of the channel that always exists.
pub const DEFAULT_ALIAS: &str = "live";

/// A mistyped variable must not pass in silence; it is no error, as other tools may share the prefix.
fn warn_of_unknown(env: &[(String, String)], warnings: &mut Vec<String>) {
    for (name, _) in env {
        let known = name == "FOREBAY_CONFIG"
            || SETTINGS.iter().any(|setting| {
                let secret = setting.field.is_secret();
                setting.env == name || (secret && name.strip_suffix("_FILE") == Some(setting.env))
            });
        if name.starts_with("FOREBAY_") && !known {
            let hint = text::nearest(name, SETTINGS.iter().map(|setting| setting.env));
            let hint = hint.map_or_else(String::new, |near| format!(", did you mean {near}?"));
            warnings.push(format!("{name} is no setting and has no effect{hint}"));
        }
    }
}
