//! The settings as values, with their defaults.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::parts;
use crate::base::destination::Private;
use crate::base::network::Network;
use crate::base::push::Push;
use crate::base::secret::Secret;
use crate::base::source::Source;
use crate::base::telemetry::LogFormat;

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
    /// Webhooks of applications.
    pub webhooks: Webhooks,
    /// Destinations of channels.
    pub forward: Forward,
    /// Recordings.
    pub record: Record,
    /// Scheduled events.
    pub event: Event,
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
    /// SRT ingest, UDP; empty is off.
    pub srt: Vec<SocketAddr>,
    /// Time that SRT has to get a lost packet again; a caller may ask for more.
    pub srt_latency: Duration,
    /// What SRT callers encrypt with; `None`: in the clear.
    pub srt_passphrase: Option<Secret>,
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
    /// PostgreSQL, with its password; `None` is SQLite in the folder.
    pub database_url: Option<Secret>,
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
    /// A channel's key is refused for this long after a kill, or a fork that ended its publishers.
    pub kill_holdoff: Duration,
    /// What the ladder shows in a hole: `slate`, `freeze` or `gap`.
    pub on_loss: String,
    /// Networks besides the internet from which channels may pull.
    pub pull_private: Vec<Network>,
    /// Service that is asked before a publish is accepted; its address may hold a password.
    pub admission_url: Option<Secret>,
    /// What a publish is while that service fails: `refuse` or `allow`.
    pub admission_on_failure: String,
    /// Whether SDK clients may be registered without the admin key.
    pub open_registration: bool,
    /// Whether broadcasts may be made without credentials.
    pub anonymous_broadcasts: bool,
}

/// Section `webhooks`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Webhooks {
    /// Networks besides the internet to which webhooks may go.
    pub webhooks_private: Vec<Network>,
}

/// Section `forward`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forward {
    /// Networks besides the internet to which channels may be pushed.
    pub forward_private: Vec<Network>,
}

/// Section `record`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Days after its end at which a recording is deleted; zero keeps it.
    pub days: u64,
    /// Bytes of the disk that recordings leave free; `None` is [`Record::DEFAULT_MIN_FREE`].
    pub min_free: Option<u64>,
    /// What happens below that: `stop` or `oldest`.
    pub on_full: String,
}

/// Section `event`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// What is on before an event begins: `slate` or `nothing`.
    pub before: String,
    /// What is on when its file has ended: `slate` or `end`.
    pub after: String,
    /// Bytes of an uploaded file.
    pub max_bytes: u64,
    /// Files prepared at a time.
    pub preparations: u64,
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Livekit {
    /// Address of the LiveKit server.
    pub url: Option<String>,
    /// API key of the LiveKit server.
    pub api_key: Option<String>,
    /// API secret of the LiveKit server.
    pub api_secret: Option<Secret>,
    /// Whether tokens of the API begin with `livekit_`.
    pub token_prefix: bool,
    /// Which streams are published in rooms: `broadcasts`, `all` or `off`.
    pub forward: String,
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
    /// Image shown while no media comes; `None` is a picture drawn with the name.
    pub slate: Option<PathBuf>,
    /// What its SRT callers encrypt with; `None` leaves it to the setting for all.
    pub srt_passphrase: Option<Secret>,
    /// What the gateway pulls for it.
    pub source: Option<Source>,
    /// Where the gateway pushes it.
    pub pushes: Vec<Push>,
}

impl Default for Listen {
    fn default() -> Listen {
        Listen {
            http: vec![SocketAddr::from(([0, 0, 0, 0], 8080))],
            control: Vec::new(),
            rtmp: vec![SocketAddr::from(([0, 0, 0, 0], 1935))],
            rtmps: Vec::new(),
            srt: vec![SocketAddr::from(([0, 0, 0, 0], 9000))],
            srt_latency: Duration::from_millis(120),
            srt_passphrase: None,
            tls_cert: None,
            tls_key: None,
        }
    }
}

impl Default for Storage {
    fn default() -> Storage {
        Storage {
            data: PathBuf::from("./data"),
            database_url: None,
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
            kill_holdoff: Duration::ZERO,
            on_loss: "slate".to_owned(),
            pull_private: Vec::new(),
            admission_url: None,
            admission_on_failure: "refuse".to_owned(),
            open_registration: false,
            anonymous_broadcasts: true,
        }
    }
}

impl Default for Record {
    fn default() -> Record {
        Record {
            days: 0,
            min_free: None,
            on_full: "stop".to_owned(),
        }
    }
}

impl Record {
    /// What the database, logs and the rest of the machine need to go on: 1 GiB.
    pub const DEFAULT_MIN_FREE: u64 = 1 << 30;

    /// How long recordings are kept; `None`: until somebody deletes them.
    pub fn keep(&self) -> Option<Duration> {
        (self.days > 0).then(|| Duration::from_secs(self.days.saturating_mul(86_400)))
    }

    /// Bytes of the disk that recordings leave free.
    pub fn min_free_bytes(&self) -> u64 {
        self.min_free.unwrap_or(Record::DEFAULT_MIN_FREE)
    }
}

impl Default for Event {
    fn default() -> Event {
        Event {
            before: "slate".to_owned(),
            after: "slate".to_owned(),
            max_bytes: 1 << 30,
            preparations: 1,
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

impl Default for Livekit {
    fn default() -> Livekit {
        Livekit {
            url: None,
            api_key: None,
            api_secret: None,
            token_prefix: true,
            forward: "broadcasts".to_owned(),
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

impl Publish {
    /// Where channels may pull from besides the internet.
    pub fn may_pull_from(&self) -> Private {
        Private {
            networks: self.pull_private.clone(),
            setting: "FOREBAY_PULL_PRIVATE",
        }
    }
}

impl Forward {
    /// Where channels may be pushed besides the internet.
    pub fn may_go_to(&self) -> Private {
        Private {
            networks: self.forward_private.clone(),
            setting: "FOREBAY_FORWARD_PRIVATE",
        }
    }
}

impl Webhooks {
    /// Where webhooks may go besides the internet.
    pub fn may_go_to(&self) -> Private {
        Private {
            networks: self.webhooks_private.clone(),
            setting: "FOREBAY_WEBHOOKS_PRIVATE",
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

impl Identity {
    /// Id of the first application's channel with this alias.
    pub fn channel_id(&self, alias: &str) -> String {
        format!("{}#{}#{alias}", self.region, self.application_id)
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
