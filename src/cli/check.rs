//! `forebay check`: whether this machine can run the gateway as it is configured.

use std::fmt::Write as _;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::Path;

use super::commands;
use crate::base::clock::Wall;
use crate::base::destination;
use crate::base::source::Source;
use crate::config::Config;
use crate::control::livekit::Unwell;
use crate::control::try_write;
use crate::ingest::srt;
use crate::store;

/// What SRT asks for a port, bytes. Debian gives 208 KiB: 40 ms of ten encoders at 2.5 Mb/s.
const GOOD_UDP_BUFFER_BYTES: u64 = 8 * 1024 * 1024;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// As it should be.
    Good,
    /// The gateway runs, with less than it could.
    Warning,
    /// The gateway cannot run like this.
    Failed,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// What was found, as a phrase.
    pub what: String,
    /// How to mend it; `None` when there is nothing to mend.
    pub mend: Option<String>,
}

impl Finding {
    /// All is well.
    pub fn good(what: impl Into<String>) -> Finding {
        Finding {
            level: Level::Good,
            what: what.into(),
            mend: None,
        }
    }

    /// Something is missing that the gateway can do without.
    pub fn warning(what: impl Into<String>, mend: impl Into<String>) -> Finding {
        Finding {
            level: Level::Warning,
            what: what.into(),
            mend: Some(mend.into()),
        }
    }

    /// Something must be mended.
    pub fn failed(what: impl Into<String>, mend: impl Into<String>) -> Finding {
        Finding {
            level: Level::Failed,
            what: what.into(),
            mend: Some(mend.into()),
        }
    }
}

/// Looks at ports, disk, certificates and the warnings of the configuration. Binds each port for a
/// moment. What other modules find is appended by the caller.
pub fn findings(config: &Config, warnings: &[String]) -> Vec<Finding> {
    let mut findings = vec![Finding::good(format!(
        "configuration: segments of {:?}, parts of {:?} (PART-TARGET {:?}), window of {:?}",
        config.media.segment,
        config.media.part,
        config.media.part_target(),
        config.media.window
    ))];
    let mend = "remove the setting, or correct its name";
    findings.extend(warnings.iter().map(|text| Finding::warning(text, mend)));
    let listen = &config.listen;
    for (name, addresses) in [
        ("FOREBAY_HTTP", &listen.http),
        ("FOREBAY_CONTROL", &listen.control),
        ("FOREBAY_RTMP", &listen.rtmp),
        ("FOREBAY_RTMPS", &listen.rtmps),
    ] {
        let bound = |address: &SocketAddr| TcpListener::bind(address).map(drop);
        findings.extend(addresses.iter().map(|at| port(name, *at, bound(at))));
    }
    if !listen.srt.is_empty() {
        let bound = |address: &SocketAddr| UdpSocket::bind(address).map(drop);
        let ports = listen.srt.iter();
        findings.extend(ports.map(|at| port("FOREBAY_SRT", *at, bound(at))));
        findings.push(Finding::good(format!("libsrt {}", srt::library_version())));
        findings.extend(udp_buffer(Path::new("/proc/sys/net/core/rmem_max")));
    }
    findings.push(folder(&config.storage.data));
    let pem = [
        ("FOREBAY_TLS_CERT", &listen.tls_cert, "CERTIFICATE"),
        ("FOREBAY_TLS_KEY", &listen.tls_key, "PRIVATE KEY"),
    ];
    for (name, path, block) in pem {
        findings.extend(path.as_ref().map(|path| pem_file(name, path, block)));
    }
    let slates = config.channels.iter();
    let slates = slates.filter_map(|channel| Some((&channel.alias, channel.slate.as_ref()?)));
    findings.extend(slates.map(|(alias, path)| slate(alias, path)));
    let sources = config.channels.iter();
    let sources = sources.filter_map(|channel| Some((&channel.alias, channel.source.as_ref()?)));
    let private = config.publish.may_pull_from();
    findings.extend(sources.map(|(alias, uri)| {
        let place = (uri.host.as_str(), uri.port);
        source(alias, uri, destination::blocking(place, &private))
    }));
    findings
}

/// Looks at PostgreSQL, if the settings name one; changes nothing there.
pub async fn database(config: &Config) -> Option<Finding> {
    let url = config.storage.database_url.as_ref()?;
    let name = "FOREBAY_DATABASE_URL";
    Some(match store::probe(url).await {
        Ok(server) if !server.is_new_enough => Finding::failed(
            format!("{name}: PostgreSQL {} is too old", server.version),
            format!("use PostgreSQL {} or newer", store::OLDEST_POSTGRESQL),
        ),
        Ok(server) if !server.may_create => Finding::failed(
            format!("{name}: {} may not create tables", server.user),
            format!("GRANT CREATE ON SCHEMA public TO {};", server.user),
        ),
        Ok(server) => Finding::good(format!("{name}: PostgreSQL {} answers", server.version)),
        Err(error) => Finding::failed(
            format!("{name}: {error}"),
            "start the server, or correct address, user, password or sslmode in the URL",
        ),
    })
}

/// Asks the LiveKit server, if the settings name one. The gateway runs without it.
pub async fn livekit(config: &Config, now: Wall) -> Option<Finding> {
    let url = config.livekit.url.as_ref()?;
    let warning = |what: &dyn std::fmt::Display, mend: &str| {
        Some(Finding::warning(
            format!("LIVEKIT_URL: {url}: {what}"),
            mend,
        ))
    };
    let server = match commands::livekit_server(config) {
        Ok(Some(server)) => server,
        Ok(None) => {
            let mend = "set LIVEKIT_API_KEY and LIVEKIT_API_SECRET to a pair that the server has";
            return warning(&"it is not used without credentials", mend);
        }
        Err(error) => {
            let what = format!("LIVEKIT_URL: {url}: {error}");
            let mend = "correct the address, or install ca-certificates";
            return Some(Finding::failed(what, mend));
        }
    };
    match server.ask(now).await {
        Ok(()) => Some(Finding::good(format!(
            "LIVEKIT_URL: {url} answers and takes the credentials"
        ))),
        Err(error @ Unwell::Credentials) => warning(
            &error,
            "set LIVEKIT_API_KEY and LIVEKIT_API_SECRET to a pair in the server's `keys`, or set its clock",
        ),
        Err(error @ Unwell::Unreachable(_)) => warning(
            &error,
            "start the LiveKit server, or correct host, port or scheme (wss behind TLS, else ws)",
        ),
        Err(error) => warning(
            &error,
            "correct the address: it is that of the server's HTTP port, 7880 by default",
        ),
    }
}

fn port(name: &str, address: SocketAddr, bound: std::io::Result<()>) -> Finding {
    let Err(error) = bound else {
        return Finding::good(format!("{name}: {address} is free"));
    };
    let mend = match error.kind() {
        ErrorKind::AddrInUse => {
            format!("stop what listens there (a running gateway?), or set {name} to another port")
        }
        ErrorKind::PermissionDenied => {
            format!("set {name} to a port above 1023, or grant CAP_NET_BIND_SERVICE")
        }
        ErrorKind::AddrNotAvailable => {
            format!("set {name} to an address of this machine, or to 0.0.0.0")
        }
        _ => format!("set {name} to another address"),
    };
    Finding::failed(format!("{name}: {address} cannot be bound: {error}"), mend)
}

/// Where the system gives a port little memory, packets are lost when the machine is busy for a moment.
fn udp_buffer(limit: &Path) -> Option<Finding> {
    let limit_bytes: u64 = std::fs::read_to_string(limit).ok()?.trim().parse().ok()?;
    (limit_bytes < GOOD_UDP_BUFFER_BYTES).then(|| {
        Finding::warning(
            format!("receive buffers of SRT ports are limited to {limit_bytes} bytes"),
            format!(
                "for more than a few SRT encoders: sysctl net.core.rmem_max={GOOD_UDP_BUFFER_BYTES}"
            ),
        )
    })
}

/// A folder that is not there yet is made at the first start, so its parent must be writable.
fn folder(data: &Path) -> Finding {
    let existing = data.ancestors().find(|path| path.is_dir());
    // The parent of a relative path with one part is the empty path, which means here.
    let existing = existing.unwrap_or(Path::new("."));
    match try_write(existing) {
        Ok(()) => Finding::good(format!("FOREBAY_DATA: {} is writable", data.display())),
        Err(error) => Finding::failed(
            format!("FOREBAY_DATA: {} is not writable: {error}", data.display()),
            "free space or grant rights there, or set FOREBAY_DATA to another folder",
        ),
    }
}

fn pem_file(name: &str, path: &Path, block: &str) -> Finding {
    let shown = path.display();
    match std::fs::read_to_string(path) {
        Ok(text) if text.contains("-----BEGIN ") && text.contains(&format!("{block}-----")) => {
            Finding::good(format!("{name}: {shown} is readable"))
        }
        Ok(_) => Finding::failed(
            format!("{name}: {shown} holds no {block}"),
            "give the PEM file",
        ),
        Err(error) => Finding::failed(
            format!("{name}: {shown} cannot be read: {error}"),
            "correct the path or grant the right to read it",
        ),
    }
}

/// Without its image a channel still has a slate: one with its name.
fn slate(alias: &str, path: &Path) -> Finding {
    let what = format!("channel {alias}: slate {}", path.display());
    match std::fs::File::open(path) {
        Ok(_) => Finding::good(format!("{what} is readable")),
        Err(error) => Finding::warning(
            format!("{what} cannot be read: {error}"),
            "correct the path or grant the right to read it",
        ),
    }
}

/// The gateway runs without it, and looks the host up again for each attempt.
fn source(
    alias: &str,
    source: &Source,
    found: Result<Vec<SocketAddr>, destination::Error>,
) -> Finding {
    let what = format!("channel {alias}: source {source}");
    match found {
        Ok(found) => {
            let found: Vec<String> = found.iter().map(|found| found.ip().to_string()).collect();
            Finding::good(format!("{what} is at {}", found.join(", ")))
        }
        Err(error @ destination::Error::NotAllowed { .. }) => Finding::warning(
            format!("{what} is not pulled: {error}"),
            "name its network in FOREBAY_PULL_PRIVATE if it may be pulled from",
        ),
        Err(error) => Finding::warning(
            format!("{what}: {error}"),
            "correct the host, or look after the name servers of this machine",
        ),
    }
}

/// The text to print, and whether the gateway can run.
pub fn report(findings: &[Finding]) -> (String, bool) {
    let mut text = String::new();
    for finding in findings {
        let mark = match finding.level {
            Level::Good => "ok     ",
            Level::Warning => "warning",
            Level::Failed => "failed ",
        };
        let _ = writeln!(text, "{mark}  {}", finding.what);
        if let Some(mend) = &finding.mend {
            let _ = writeln!(text, "         mend: {mend}");
        }
    }
    let runs = findings.iter().all(|finding| finding.level < Level::Failed);
    (text, runs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::id::Uuid;

    fn config(data: &Path) -> Config {
        let mut config = Config::default();
        config.listen.http = vec![SocketAddr::from(([127, 0, 0, 1], 0))];
        config.listen.rtmp = Vec::new();
        config.listen.srt = Vec::new();
        config.storage.data = data.to_owned();
        config
    }

    #[test]
    fn a_fit_machine_passes_and_is_left_as_it_was() {
        let parent = std::env::temp_dir().join(format!("forebay-check-{}", Uuid::new_v4()));
        std::fs::create_dir(&parent).unwrap();
        let findings = findings(&config(&parent.join("not/yet")), &[]);
        let (text, runs) = report(&findings);
        assert!(runs, "{text}");
        assert!(text.contains("PART-TARGET 213.4ms"), "{text}");
        assert_eq!(std::fs::read_dir(&parent).unwrap().count(), 0);
        std::fs::remove_dir(&parent).unwrap();
    }

    #[test]
    fn a_source_that_is_not_there_or_not_allowed_is_told_without_its_options() {
        let mut config = config(&std::env::temp_dir());
        let channel = |alias: &str, source: &str| crate::config::Channel {
            alias: alias.to_owned(),
            name: alias.to_owned(),
            key: None,
            capabilities: None,
            slate: None,
            srt_passphrase: None,
            source: Some(Source::parse(source).unwrap()),
            pushes: Vec::new(),
        };
        config.channels = vec![
            channel("a", "srt://10.1.2.3:9000?passphrase=tell-no-one"),
            channel("b", "srt://localhost:9000?streamid=tell-no-one"),
        ];
        config.publish.pull_private = vec!["10.0.0.0/8".parse().unwrap()];
        let (text, runs) = report(&findings(&config, &[]));
        assert!(runs && !text.contains("tell"), "{text}");
        for part in [
            "ok       channel a: source srt://10.1.2.3:9000 is at 10.1.2.3\n",
            "warning  channel b: source srt://localhost:9000 is not pulled: ",
            "name its network in FOREBAY_PULL_PRIVATE",
        ] {
            assert!(text.contains(part), "{text}");
        }
        let nowhere = Source::parse("srt://nowhere:9000?streamid=tell-no-one").unwrap();
        let unknown = source("c", &nowhere, Err(destination::Error::Timeout));
        assert_eq!(unknown.level, Level::Warning);
        assert!(
            unknown
                .what
                .starts_with("channel c: source srt://nowhere:9000: the host was not")
        );
    }

    #[tokio::test]
    async fn a_livekit_server_is_asked_and_what_is_wrong_is_told_with_a_remedy() {
        use crate::base::secret::Secret;
        use crate::control::livekit::tests::{WELL, answering};
        let now = Wall(1_790_000_000_000_000);
        let mut config = config(&std::env::temp_dir());
        assert_eq!(livekit(&config, now).await, None);
        let well = answering(WELL).await;
        config.livekit.url = Some(well.url);
        let found = livekit(&config, now).await.unwrap();
        assert!(found.what.ends_with("it is not used without credentials"));
        config.livekit.api_key = Some("devkey".to_owned());
        config.livekit.api_secret = Some(Secret::new("tell-no-one"));
        let found = livekit(&config, now).await.unwrap();
        assert_eq!(found.level, Level::Good, "{found:?}");
        let refusing = "HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n";
        let foreign = "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n";
        for (answer, mend) in [
            (refusing, "a pair in the server's `keys`"),
            (foreign, "7880 by default"),
            ("", "start the LiveKit server"),
        ] {
            config.livekit.url = Some(answering(answer).await.url);
            let found = livekit(&config, now).await.unwrap();
            assert_eq!(found.level, Level::Warning);
            assert!(found.mend.unwrap().contains(mend), "{}", found.what);
            assert!(!found.what.contains("tell"));
        }
    }

    #[test]
    fn a_taken_udp_port_fails_and_a_small_buffer_is_a_warning() {
        let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut config = config(&std::env::temp_dir());
        config.listen.srt = vec![taken.local_addr().unwrap()];
        let (text, runs) = report(&findings(&config, &[]));
        assert!(!runs);
        assert!(text.contains("set FOREBAY_SRT to another port"), "{text}");
        assert!(text.contains("libsrt 1."), "{text}");
        let file = std::env::temp_dir().join(format!("forebay-rmem-{}", Uuid::new_v4()));
        for (limit_bytes, is_told) in [("212992\n", true), ("8388608\n", false)] {
            std::fs::write(&file, limit_bytes).unwrap();
            assert_eq!(udp_buffer(&file).is_some(), is_told);
        }
        std::fs::remove_file(&file).unwrap();
        assert_eq!(udp_buffer(&file), None);
    }

    #[test]
    fn a_taken_port_and_a_missing_certificate_fail_with_a_remedy() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut config = config(&std::env::temp_dir());
        config.listen.rtmp = vec![taken.local_addr().unwrap()];
        config.listen.tls_cert = Some("/nowhere/cert.pem".into());
        config.channels = vec![crate::config::Channel {
            alias: "stage".to_owned(),
            name: "Main stage".to_owned(),
            key: None,
            capabilities: None,
            slate: Some("/nowhere/stage.png".into()),
            srt_passphrase: None,
            source: None,
            pushes: Vec::new(),
        }];
        let warning = "FOREBAY_DATABASE_URL has no effect in this version".to_owned();
        let found = findings(&config, &[warning]);
        let levels: Vec<Level> = found.iter().map(|finding| finding.level).collect();
        use Level::{Failed, Good, Warning};
        assert_eq!(levels, [Good, Warning, Good, Failed, Good, Failed, Warning]);
        let (text, runs) = report(&found);
        assert!(!runs);
        assert!(text.contains("set FOREBAY_RTMP to another port"), "{text}");
    }
}
