//! `forebay check`: whether this machine can run the gateway as it is configured.

use std::fmt::Write as _;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use crate::config::Config;
use crate::control::try_write;
use crate::store;

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
        findings.extend(addresses.iter().map(|address| port(name, *address)));
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

fn port(name: &str, address: SocketAddr) -> Finding {
    let Err(error) = TcpListener::bind(address) else {
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
        }];
        let warning = "FOREBAY_SRT has no effect in this version".to_owned();
        let found = findings(&config, &[warning]);
        let levels: Vec<Level> = found.iter().map(|finding| finding.level).collect();
        use Level::{Failed, Good, Warning};
        assert_eq!(levels, [Good, Warning, Good, Failed, Good, Failed, Warning]);
        let (text, runs) = report(&found);
        assert!(!runs);
        assert!(text.contains("set FOREBAY_RTMP to another port"), "{text}");
    }
}
