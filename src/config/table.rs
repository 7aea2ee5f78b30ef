//! The table of settings.

use std::time::Duration;

use super::event;
use super::forward;
use super::livekit;
use super::recording;
use super::setting::{Field, Setting, Unit, later, secret, setting, span, url};
use super::value;
use super::webhook;

const HTTP_URL: &str = "an address such as https://live.example.org, without a slash at the end";
pub(super) const COUNT: &str = "a whole number";
/// SRT API, "SRTO_PASSPHRASE".
pub(super) const PASSPHRASE: &str = "10 to 79 printable characters";

/// All settings, in the order of the example file.
pub(crate) static SETTINGS: &[Setting] = &[
    setting(
        "FOREBAY_HTTP",
        ("listen", "http"),
        Field::Addresses {
            at: |c| &mut c.listen.http,
        },
        "",
        "Playback, APIs, console and metrics.",
    ),
    setting(
        "FOREBAY_CONTROL",
        ("listen", "control"),
        Field::Addresses {
            at: |c| &mut c.listen.control,
        },
        "\"127.0.0.1:8081\"",
        "A second HTTP address: console, metrics, API description and the channel API move there, \
         but for its manifests; its publishers/count is at both. Without it, /metrics needs the \
         admin key unless the caller is loopback.",
    ),
    setting(
        "FOREBAY_RTMP",
        ("listen", "rtmp"),
        Field::Addresses {
            at: |c| &mut c.listen.rtmp,
        },
        "",
        "RTMP ingest. Empty: off.",
    ),
    setting(
        "FOREBAY_RTMPS",
        ("listen", "rtmps"),
        Field::Addresses {
            at: |c| &mut c.listen.rtmps,
        },
        "\"0.0.0.0:1936\"",
        "RTMP over TLS. Needs the certificate and key below.",
    ),
    setting(
        "FOREBAY_TLS_CERT",
        ("listen", "tls_cert"),
        Field::OptionalPath {
            at: |c| &mut c.listen.tls_cert,
        },
        "\"/etc/forebay/fullchain.pem\"",
        "Certificate chain, PEM. With the key it turns on HTTPS and HTTP/2.",
    )
    .reloadable(),
    setting(
        "FOREBAY_TLS_KEY",
        ("listen", "tls_key"),
        Field::OptionalPath {
            at: |c| &mut c.listen.tls_key,
        },
        "\"/etc/forebay/privkey.pem\"",
        "Private key of the certificate, PEM.",
    )
    .reloadable(),
    setting(
        "FOREBAY_SRT",
        ("listen", "srt"),
        Field::Addresses {
            at: |c| &mut c.listen.srt,
        },
        "",
        "SRT ingest, UDP. Empty: off.",
    ),
    setting(
        "FOREBAY_SRT_LATENCY_MS",
        ("listen", "srt_latency"),
        span(
            Unit::Millis,
            Duration::from_millis(20),
            Duration::from_secs(8),
            |c| &mut c.listen.srt_latency,
        ),
        "",
        "Time that SRT has to get a lost packet again: four round trips of the line are a good measure. \
         An encoder that asks for more gets it, up to 8 s.",
    ),
    setting(
        "FOREBAY_SRT_PASSPHRASE",
        ("listen", "srt_passphrase"),
        Field::Secret {
            check: value::is_passphrase,
            accepts: PASSPHRASE,
            at: |c| &mut c.listen.srt_passphrase,
        },
        "\"…\"",
        "What SRT encoders must encrypt with, AES-128 to AES-256 as they choose. Without it they must \
         not encrypt.",
    ),
    setting(
        "FOREBAY_DATA",
        ("storage", "data"),
        Field::Path {
            at: |c| &mut c.storage.data,
        },
        "",
        "Folder of the embedded database, the generated credentials and the recordings.",
    ),
    setting(
        "FOREBAY_DATABASE_URL",
        ("storage", "database_url"),
        Field::Secret {
            check: value::is_database_url,
            accepts: "postgres://user:password@host:port/database?sslmode=…",
            at: |c| &mut c.storage.database_url,
        },
        "\"postgres://forebay:…@localhost/forebay?sslmode=verify-full\"",
        "PostgreSQL in place of the embedded database. sslmode is disable, allow, prefer, require, \
         verify-ca or verify-full; sslrootcert names a certificate to trust.",
    ),
    setting(
        "FOREBAY_STORAGE_URL",
        ("storage", "storage_url"),
        later(|text| text.contains("://"), "s3://…"),
        "",
        "Object store.",
    ),
    setting(
        "FOREBAY_REGION",
        ("identity", "region"),
        Field::Text {
            check: value::is_name,
            accepts: "1 to 64 letters, digits, dots, hyphens or underscores",
            at: |c| &mut c.identity.region,
        },
        "",
        "First part of channel ids. Gateways that share a database have one each.",
    ),
    setting(
        "FOREBAY_APPLICATION_ID",
        ("identity", "application_id"),
        Field::Text {
            check: value::is_name,
            accepts: "1 to 64 letters, digits, dots, hyphens or underscores",
            at: |c| &mut c.identity.application_id,
        },
        "",
        "First application, the user of the channel API.",
    ),
    setting(
        "FOREBAY_APPLICATION_SECRET",
        ("identity", "application_secret"),
        secret(|c| &mut c.identity.application_secret),
        "\"…\"",
        "Its secret. Random when not set, and kept in the data folder.",
    ),
    setting(
        "FOREBAY_ADMIN_KEY",
        ("identity", "admin_key"),
        secret(|c| &mut c.identity.admin_key),
        "\"…\"",
        "Key of operators (X-Admin-Key or bearer). Random when not set.",
    ),
    setting(
        "FOREBAY_STREAM_KEY",
        ("identity", "stream_key"),
        secret(|c| &mut c.identity.stream_key),
        "\"…\"",
        "Stream key of the default channel, alias live. Random when not set.",
    ),
    setting(
        "FOREBAY_PUBLIC_URL",
        ("urls", "public_url"),
        url(value::is_http_url, HTTP_URL, |c| &mut c.urls.public_url),
        "\"https://live.example.org\"",
        "Base of handed-out URLs. Taken from the request when not set.",
    ),
    setting(
        "FOREBAY_TRUSTED_PROXIES",
        ("urls", "trusted_proxies"),
        Field::Networks {
            at: |c| &mut c.urls.trusted_proxies,
        },
        "[\"10.0.0.0/8\", \"::1\"]",
        "Proxies whose forwarded headers count.",
    )
    .reloadable(),
    setting(
        "INGEST_RTMP",
        ("urls", "ingest_rtmp"),
        url(
            value::is_rtmp_url,
            "an address such as rtmp://live.example.org/ingest",
            |c| &mut c.urls.ingest_rtmp,
        ),
        "\"rtmp://live.example.org/ingest\"",
        "Published RTMP address. Derived when not set.",
    ),
    setting(
        "PLAYBACK_HLS_BASE",
        ("urls", "playback_hls_base"),
        url(value::is_http_url, HTTP_URL, |c| {
            &mut c.urls.playback_hls_base
        }),
        "\"https://cdn.example.org/hls\"",
        "Published base of HLS URLs, in front of /{streamId}/index.m3u8. Derived when not set.",
    ),
    setting(
        "PLAYBACK_DASH_BASE",
        ("urls", "playback_dash_base"),
        url(value::is_http_url, HTTP_URL, |c| {
            &mut c.urls.playback_dash_base
        }),
        "\"https://cdn.example.org/dash\"",
        "Published base of DASH URLs, in front of /{streamId}/manifest.mpd. Derived when not set.",
    ),
    setting(
        "FOREBAY_SEGMENT_SECONDS",
        ("media", "segment"),
        span(
            Unit::Seconds,
            Duration::from_secs(1),
            Duration::from_secs(10),
            |c| &mut c.media.segment,
        ),
        "",
        "Segment target.",
    ),
    setting(
        "FOREBAY_PART_MS",
        ("media", "part"),
        span(
            Unit::Millis,
            Duration::from_millis(100),
            Duration::from_secs(1),
            |c| &mut c.media.part,
        ),
        "",
        "Part length wanted. PART-TARGET is the next length that suits all usual frame rates: \
         0.2134 s for 200ms.",
    ),
    setting(
        "FOREBAY_WINDOW_SECONDS",
        ("media", "window"),
        span(
            Unit::Seconds,
            Duration::from_secs(12),
            Duration::from_secs(3600),
            |c| &mut c.media.window,
        ),
        "",
        "Length of the live window, at least six target durations.",
    ),
    setting(
        "FOREBAY_DEFAULT_CAPABILITIES",
        ("media", "default_capabilities"),
        Field::Words {
            check: value::is_capability,
            accepts: "words such as hd, multi-bitrate, streaming, token-auth, aspect-ratio=9x16",
            at: |c| &mut c.media.default_capabilities,
        },
        "",
        "Capabilities of a publish when neither its key nor its channel names any.",
    )
    .reloadable(),
    setting(
        "FOREBAY_LADDER",
        ("media", "ladder"),
        Field::Text {
            check: value::is_name,
            accepts: "auto, off, or a ladder's name in pipelines/ladders.toml",
            at: |c| &mut c.media.ladder,
        },
        "",
        "auto, off (source only), or a ladder's name in pipelines/ladders.toml.",
    )
    .reloadable(),
    setting(
        "FOREBAY_RECONNECT_SECONDS",
        ("publish", "reconnect"),
        span(
            Unit::Seconds,
            Duration::from_secs(1),
            Duration::from_secs(3600),
            |c| &mut c.publish.reconnect,
        ),
        "",
        "A stream ends this long after its last publisher; one that returns earlier goes on in it.",
    ),
    setting(
        "FOREBAY_SILENCE_MS",
        ("publish", "silence"),
        span(
            Unit::Millis,
            Duration::from_millis(200),
            Duration::from_secs(60),
            |c| &mut c.publish.silence,
        ),
        "",
        "A publisher that sends nothing for this long is off the air.",
    ),
    setting(
        "FOREBAY_PUBLISH_TIMEOUT_SECONDS",
        ("publish", "publish_timeout"),
        span(
            Unit::Seconds,
            Duration::from_secs(1),
            Duration::from_secs(600),
            |c| &mut c.publish.publish_timeout,
        ),
        "",
        "A publisher that sends nothing for this long is disconnected.",
    ),
    setting(
        "FOREBAY_KILL_HOLDOFF_SECONDS",
        ("publish", "kill_holdoff"),
        span(
            Unit::Seconds,
            Duration::ZERO,
            Duration::from_secs(3600),
            |c| &mut c.publish.kill_holdoff,
        ),
        "",
        "A channel's key is refused for this long after its publishers were ended by a kill or a fork.",
    ),
    setting(
        "FOREBAY_ON_LOSS",
        ("publish", "on_loss"),
        Field::Text {
            check: |text| ["slate", "freeze", "gap"].contains(&text),
            accepts: "slate, freeze or gap",
            at: |c| &mut c.publish.on_loss,
        },
        "",
        "What the ladder shows while no media comes: the last picture and after two seconds the \
         channel's slate, the last picture only, or a stated gap, as without a ladder.",
    ),
    setting(
        "FOREBAY_PULL_PRIVATE",
        ("publish", "pull_private"),
        Field::Networks {
            at: |c| &mut c.publish.pull_private,
        },
        "[\"10.0.0.0/8\", \"127.0.0.1\"]",
        "Networks besides the internet from which channels may pull (source below).",
    ),
    setting(
        "FOREBAY_ADMISSION_URL",
        ("publish", "admission_url"),
        Field::Secret {
            check: value::is_service_url,
            accepts: "an address such as https://admission.example.org/publish",
            at: |c| &mut c.publish.admission_url,
        },
        "\"https://admission.example.org/publish\"",
        "Service that is asked, by POST with a JSON body, before a publish is accepted: 2xx accepts it, \
         and anything else refuses it. It has 2 s. User and password in the address are sent as Basic \
         authorization.",
    ),
    setting(
        "FOREBAY_ADMISSION_ON_FAILURE",
        ("publish", "admission_on_failure"),
        Field::Text {
            check: |text| ["refuse", "allow"].contains(&text),
            accepts: "refuse or allow",
            at: |c| &mut c.publish.admission_on_failure,
        },
        "",
        "What a publish is while that service cannot be reached, is too slow or answers 5xx.",
    ),
    setting(
        "FOREBAY_OPEN_REGISTRATION",
        ("publish", "open_registration"),
        Field::Flag {
            at: |c| &mut c.publish.open_registration,
        },
        "",
        "Whether SDK clients may be registered without the admin key.",
    ),
    setting(
        "FOREBAY_ANONYMOUS_BROADCASTS",
        ("publish", "anonymous_broadcasts"),
        Field::Flag {
            at: |c| &mut c.publish.anonymous_broadcasts,
        },
        "",
        "Whether broadcasts may be made without credentials: 10 per address and hour, 20 open in all, no rung \
         above sd, ended after an hour without media.",
    ),
    webhook::PRIVATE,
    forward::PRIVATE,
    recording::DAYS,
    recording::MIN_FREE,
    recording::ON_FULL,
    event::BEFORE,
    event::AFTER,
    event::MAX_BYTES,
    event::PREPARATIONS,
    setting(
        "FOREBAY_MAX_CHANNELS",
        ("limits", "max_channels"),
        Field::Count {
            min: 1,
            max: 10_000_000,
            at: |c| &mut c.limits.max_channels,
        },
        COUNT,
        "Channels that may exist. Past it no channel is added.",
    )
    .reloadable(),
    setting(
        "FOREBAY_MAX_PUBLISHERS",
        ("limits", "max_publishers"),
        Field::Count {
            min: 1,
            max: 100_000,
            at: |c| &mut c.limits.max_publishers,
        },
        COUNT,
        "Publisher sessions at once. Past it a publish is refused.",
    )
    .reloadable(),
    setting(
        "FOREBAY_MAX_MEMORY_MB",
        ("limits", "max_memory"),
        Field::Megabytes {
            min: 64,
            max: 16_777_216,
            at: |c| &mut c.limits.max_memory,
        },
        "\"2048MB\"",
        "Media held in memory (MB of 2^20 bytes). Past it new streams are refused. Half of the \
         machine when not set.",
    )
    .reloadable(),
    livekit::URL,
    livekit::API_KEY,
    livekit::API_SECRET,
    livekit::TOKEN_PREFIX,
    livekit::FORWARD,
    setting(
        "RUST_LOG",
        ("log", "rust_log"),
        Field::Text {
            check: value::is_log_filter,
            accepts: "levels and targets such as info,forebay::ingest=debug",
            at: |c| &mut c.log.rust_log,
        },
        "",
        "What is logged: error, warn, info, debug, trace, also by target.",
    ),
    setting(
        "FOREBAY_LOG_FORMAT",
        ("log", "log_format"),
        Field::Text {
            check: |text| ["text", "json"].contains(&text),
            accepts: "text or json",
            at: |c| &mut c.log.log_format,
        },
        "",
        "text for people, json for machines.",
    ),
];
