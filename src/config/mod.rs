//! Settings. In: environment, file, defaults, in this order of precedence. Out: one checked
//! [`Config`]. Not here: what the settings do, and the random credentials of a first start.
//!
//! One table, [`SETTINGS`], says of every setting how it is called, what it accepts and what it
//! means: reading, the example file and `--help` all come from it.

mod file;
pub mod parts;
mod table;
#[cfg(test)]
mod tests;
mod text;
mod value;

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::base::secret::Secret;
use crate::base::telemetry::LogFormat;
pub use table::{Field, SETTINGS, Setting, Unit};
pub use text::{example, help};
pub use value::Network;

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

/// Every setting, checked. `Default` holds the defaults of `INTERFACE.md`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// Addresses and TLS.
    pub listen: Listen,
    /// Where state is kept.
    pub storage: Storage,
    /// Who this gateway is, and its credentials.
    pub identity: Identity,
    /// Published addresses.
    pub urls: Urls,
    /// Segments, parts, ladder.
    pub media: Media,
    /// Publisher sessions.
    pub publish: Publish,
    /// Bounds.
    pub limits: Limits,
    /// LiveKit server.
    pub livekit: Livekit,
    /// Logs.
    pub log: Log,
    /// Channels declared in the file.
    pub channels: Vec<Channel>,
}

/// Section `listen`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// Playback, APIs, console, metrics.
    pub http: Vec<SocketAddr>,
    /// Second HTTP address for operators; empty is off.
    pub control: Vec<SocketAddr>,
    /// RTMP ingest; empty is off.
    pub rtmp: Vec<SocketAddr>,
    /// RTMP over TLS; empty is off.
    pub rtmps: Vec<SocketAddr>,
    /// PEM certificate chain.
    pub tls_cert: Option<PathBuf>,
    /// PEM private key.
    pub tls_key: Option<PathBuf>,
}

/// Section `storage`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Storage {
    /// Folder of database and credentials.
    pub data: PathBuf,
}

/// Section `identity`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// First part of channel ids.
    pub region: String,
    /// First application.
    pub application_id: String,
    /// Its secret; `None` is random, kept in the data folder.
    pub application_secret: Option<Secret>,
    /// Key of operators; `None` is random, kept in the data folder.
    pub admin_key: Option<Secret>,
    /// Stream key of the default channel; `None` is random, kept in the data folder.
    pub stream_key: Option<Secret>,
}

/// Section `urls`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Urls {
    /// Base of handed-out URLs; `None` is taken from the request.
    pub public_url: Option<String>,
    /// Proxies whose forwarded headers count.
    pub trusted_proxies: Vec<Network>,
    /// Published RTMP address.
    pub ingest_rtmp: Option<String>,
    /// Published base of HLS, followed by `/{streamId}/index.m3u8`.
    pub playback_hls_base: Option<String>,
    /// Published base of DASH, followed by `/{streamId}/manifest.mpd`.
    pub playback_dash_base: Option<String>,
}

/// Section `media`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Media {
    /// Segment target.
    pub segment: Duration,
    /// Wanted part length; the playlists' PART-TARGET is [`Media::part_target`].
    pub part: Duration,
    /// Length of the live window.
    pub window: Duration,
    /// Capabilities of a publish that names none.
    pub default_capabilities: Vec<String>,
    /// `auto`, `off`, or a ladder's name.
    pub ladder: String,
}

/// Section `publish`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish {
    /// A stream ends this long after its last publisher.
    pub reconnect: Duration,
    /// A publisher without a unit for this long is off the air.
    pub silence: Duration,
    /// A publisher without a unit for this long is disconnected.
    pub publish_timeout: Duration,
}

/// Section `limits`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Channels that may exist.
    pub max_channels: u64,
    /// Publisher sessions at once.
    pub max_publishers: u64,
    /// Bytes of media held in memory; `None` is half of the machine.
    pub max_memory: Option<u64>,
}

/// Section `livekit`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Livekit {
    /// API key of the LiveKit server.
    pub api_key: Option<String>,
    /// API secret of the LiveKit server.
    pub api_secret: Option<Secret>,
}

/// Section `log`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// Filter in `RUST_LOG` syntax.
    pub rust_log: String,
    /// `text` or `json`.
    pub log_format: String,
}

/// A `[[channel]]` of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channel {
    /// Third part of the channel id.
    pub alias: String,
    /// Name for people; the alias when not given.
    pub name: String,
    /// Stream key; `None` is random, kept in the database.
    pub key: Option<Secret>,
    /// `None` leaves the choice to the publisher and the default.
    pub capabilities: Option<Vec<String>>,
}

impl Default for Listen {
    fn default() -> Listen {
        Listen {
            http: vec![SocketAddr::from(([0, 0, 0, 0], 8080))],
            control: Vec::new(),
            rtmp: vec![SocketAddr::from(([0, 0, 0, 0], 1935))],
            rtmps: Vec::new(),
            tls_cert: None,
            tls_key: None,
        }
    }
}

impl Default for Storage {
    fn default() -> Storage {
        Storage {
            data: PathBuf::from("./data"),
        }
    }
}

impl Default for Identity {
    fn default() -> Identity {
        Identity {
            region: "local".to_owned(),
            application_id: "forebay".to_owned(),
            application_secret: None,
            admin_key: None,
            stream_key: None,
        }
    }
}

impl Default for Media {
    fn default() -> Media {
        let words = ["hd", "multi-bitrate", "streaming"];
        Media {
            segment: Duration::from_secs(2),
            part: Duration::from_millis(200),
            window: Duration::from_secs(60),
            default_capabilities: words.map(str::to_owned).to_vec(),
            ladder: "auto".to_owned(),
        }
    }
}

impl Default for Publish {
    fn default() -> Publish {
        Publish {
            reconnect: Duration::from_secs(30),
            silence: Duration::from_millis(1000),
            publish_timeout: Duration::from_secs(10),
        }
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            max_channels: 10_000,
            max_publishers: 500,
            max_memory: None,
        }
    }
}

impl Default for Log {
    fn default() -> Log {
        Log {
            rust_log: "info".to_owned(),
            log_format: "text".to_owned(),
        }
    }
}

impl Media {
    /// PART-TARGET that goes with the wanted part length.
    pub fn part_target(&self) -> Duration {
        parts::part_target(self.part)
    }

    /// TARGETDURATION in whole seconds while the ladder is on: segment target + 0.5 s, rounded up.
    pub fn ladder_target_duration_s(&self) -> u64 {
        let millis = self.segment.as_millis() + 500;
        u64::try_from(millis.div_ceil(1000)).unwrap_or(u64::MAX)
    }
}

impl Limits {
    /// Bytes of media that may be held in memory, on a machine with `machine_bytes`.
    pub fn max_memory_bytes(&self, machine_bytes: u64) -> u64 {
        self.max_memory.unwrap_or(machine_bytes / 2)
    }
}

impl Log {
    /// The format as a type.
    pub fn format(&self) -> LogFormat {
        match self.log_format.as_str() {
            "json" => LogFormat::Json,
            _ => LogFormat::Text,
        }
    }
}

impl Urls {
    /// Whether forwarded headers of a peer count.
    pub fn trusts(&self, peer: IpAddr) -> bool {
        let holds = |network: &Network| network.contains(peer);
        self.trusted_proxies.iter().any(holds)
    }
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
