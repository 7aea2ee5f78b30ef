//! The credentials of a first start: made once, kept in the data folder, overridden by settings.
//! In: settings and the folder. Out: what to use, and the lines to print at start.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::base::id::random_key;
use crate::base::secret::Secret;
use crate::config::Identity;
use crate::store::random_stream_key;

/// File name below the data folder.
const FILE: &str = "credentials.toml";
/// Characters of application secret and admin key: 190 bits.
const SECRET_CHARACTERS: usize = 32;

/// Why the credentials cannot be read or kept.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read or written.
    #[error("cannot use {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not what was written. Its text is not quoted: it holds secrets.
    #[error("{0} is damaged: restore it, or remove it to get new credentials")]
    Damaged(PathBuf),
    /// The stream key is a setting, so it is not ours to change.
    #[error("the stream key of the default channel is set by FOREBAY_STREAM_KEY: change it there")]
    Configured,
}

/// What is kept. A credential that a setting gives is not in it.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    application_secret: Option<String>,
    admin_key: Option<String>,
    stream_key: Option<String>,
}

/// The credentials in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// Password of the first application.
    pub application_secret: Secret,
    /// Key of operators.
    pub admin_key: Secret,
    /// Stream key of the default channel.
    pub stream_key: Secret,
    /// Whether the application secret was made by this start, to be shown once.
    pub new_application_secret: bool,
    /// Whether the admin key was made by this start, to be shown once.
    pub new_admin_key: bool,
}

impl Credentials {
    /// Takes settings first, then the kept file; what neither has is made and kept.
    pub fn load_or_make(data: &Path, identity: &Identity) -> Result<Credentials, Error> {
        let path = data.join(FILE);
        let mut kept = read(&path)?;
        let mut changed = false;
        let mut pick = |set: &Option<Secret>, kept: &mut Option<String>, make: fn() -> Secret| {
            if let Some(secret) = set {
                return (secret.clone(), false);
            }
            if let Some(text) = kept {
                return (Secret::new(text.as_str()), false);
            }
            let made = make();
            *kept = Some(made.expose().to_owned());
            changed = true;
            (made, true)
        };
        let (application_secret, new_application_secret) = pick(
            &identity.application_secret,
            &mut kept.application_secret,
            random_secret,
        );
        let (admin_key, new_admin_key) =
            pick(&identity.admin_key, &mut kept.admin_key, random_secret);
        let (stream_key, _) = pick(
            &identity.stream_key,
            &mut kept.stream_key,
            random_stream_key,
        );
        if changed {
            write(&path, &kept)?;
        }
        Ok(Credentials {
            application_secret,
            admin_key,
            stream_key,
            new_application_secret,
            new_admin_key,
        })
    }
}

/// Keeps a new stream key of the default channel, so that the next start uses it too.
pub fn keep_stream_key(data: &Path, identity: &Identity, key: &Secret) -> Result<(), Error> {
    if identity.stream_key.is_some() {
        return Err(Error::Configured);
    }
    let path = data.join(FILE);
    let mut kept = read(&path)?;
    kept.stream_key = Some(key.expose().to_owned());
    write(&path, &kept)
}

fn random_secret() -> Secret {
    Secret::new(random_key(SECRET_CHARACTERS))
}

fn read(path: &Path) -> Result<Kept, Error> {
    match std::fs::read_to_string(path) {
        Ok(text) => toml::from_str(&text).map_err(|_| Error::Damaged(path.to_owned())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Kept::default()),
        Err(source) => Err(Error::File {
            path: path.to_owned(),
            source,
        }),
    }
}

/// Writes beside and renames, so that a crash leaves the old file or the new one.
fn write(path: &Path, kept: &Kept) -> Result<(), Error> {
    let body = toml::to_string(kept).expect("three optional texts are TOML");
    let text = format!(
        "# Made by Forebay at its first start. Whoever reads this file can publish and operate.\n{body}"
    );
    let failed = |source| Error::File {
        path: path.to_owned(),
        source,
    };
    let beside = path.with_extension(format!("{}.new", random_key(8)));
    let parent = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(parent).map_err(failed)?;
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(&beside).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&beside, path)
    });
    if written.is_err() {
        // The rest of a full disk's attempt; the error that counts is the first one.
        let _ = std::fs::remove_file(&beside);
    }
    written.map_err(failed)
}

/// What the lines at start are made of.
#[derive(Clone, Debug)]
pub struct Banner<'a> {
    /// Base of HTTP addresses, without a slash at the end: `http://127.0.0.1:8080`.
    pub http: &'a str,
    /// Base of the operator addresses when `FOREBAY_CONTROL` is set, else the same.
    pub console: &'a str,
    /// RTMP address with application name: `rtmp://127.0.0.1:1935/ingest`; `None` when off.
    pub rtmp: Option<&'a str>,
    /// SRT host and port: `127.0.0.1:9000`; `None` when off.
    pub srt: Option<&'a str>,
    /// First application.
    pub application_id: &'a str,
    /// Whether standard output is a terminal. Anywhere else no credential is printed.
    pub is_terminal: bool,
}

impl Credentials {
    /// The lines to print once the listeners are bound. The watch page follows the channel alias.
    pub fn banner(&self, banner: &Banner<'_>) -> String {
        let mut text = String::from("Forebay is up.\n");
        let mut line = |name: &str, value: &str| {
            let _ = writeln!(text, "  {name:<19} {value}");
        };
        line("Console", &format!("{}/", banner.console));
        if let Some(rtmp) = banner.rtmp {
            line("RTMP URL", rtmp);
        }
        if banner.is_terminal && banner.rtmp.or(banner.srt).is_some() {
            line("Stream key", self.stream_key.expose());
        }
        if let Some(srt) = banner.srt {
            let key = match banner.is_terminal {
                true => self.stream_key.expose(),
                false => "STREAM_KEY",
            };
            line("SRT URL", &format!("srt://{srt}?streamid={key}"));
        }
        line("Watch", &format!("{}/live", banner.http));
        if !banner.is_terminal {
            return text;
        }
        if self.new_admin_key {
            line("Admin key", self.admin_key.expose());
        }
        if self.new_application_secret {
            line("Application", banner.application_id);
            line("Application secret", self.application_secret.expose());
        }
        if self.new_admin_key || self.new_application_secret {
            text.push_str("  The admin key and the application secret are shown this once.\n");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::id::Uuid;

    struct Folder(PathBuf);

    impl Folder {
        fn new() -> Folder {
            Folder(std::env::temp_dir().join(format!("forebay-keys-{}", Uuid::new_v4())))
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn the_second_start_has_the_first_ones_credentials_and_shows_less() {
        let folder = Folder::new();
        let identity = Identity::default();
        let first = Credentials::load_or_make(&folder.0, &identity).unwrap();
        let second = Credentials::load_or_make(&folder.0, &identity).unwrap();
        assert!(first.new_admin_key && first.new_application_secret);
        assert!(!second.new_admin_key && !second.new_application_secret);
        assert_eq!(first.stream_key, second.stream_key);
        assert_eq!(first.admin_key, second.admin_key);
        assert_eq!(first.application_secret, second.application_secret);
        assert_eq!(first.stream_key.expose().len(), 96);

        let names = std::fs::read_dir(&folder.0).unwrap();
        let names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, [FILE]);
    }

    #[test]
    fn the_file_is_for_its_owner_only() {
        use std::os::unix::fs::PermissionsExt;
        let folder = Folder::new();
        Credentials::load_or_make(&folder.0, &Identity::default()).unwrap();
        let file = std::fs::metadata(folder.0.join(FILE)).unwrap();
        assert_eq!(file.permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_setting_wins_and_is_not_kept() {
        let folder = Folder::new();
        let identity = Identity {
            admin_key: Some(Secret::new("from-the-settings")),
            ..Identity::default()
        };
        let with = Credentials::load_or_make(&folder.0, &identity).unwrap();
        assert!(with.admin_key.matches("from-the-settings") && !with.new_admin_key);
        let text = std::fs::read_to_string(folder.0.join(FILE)).unwrap();
        assert!(!text.contains("from-the-settings"));
        let without = Credentials::load_or_make(&folder.0, &Identity::default()).unwrap();
        assert!(without.new_admin_key);
        assert_eq!(without.stream_key, with.stream_key);
    }

    #[test]
    fn a_damaged_file_is_an_error_without_its_text() {
        let folder = Folder::new();
        std::fs::create_dir_all(&folder.0).unwrap();
        std::fs::write(folder.0.join(FILE), "admin_key = \"half-a-sec").unwrap();
        let error = Credentials::load_or_make(&folder.0, &Identity::default()).unwrap_err();
        assert!(matches!(error, Error::Damaged(_)));
        assert!(!error.to_string().contains("half-a-sec"));
    }

    #[test]
    fn a_rotated_stream_key_is_kept_unless_it_is_a_setting() {
        let folder = Folder::new();
        let mut identity = Identity::default();
        let before = Credentials::load_or_make(&folder.0, &identity).unwrap();
        let key = random_stream_key();
        keep_stream_key(&folder.0, &identity, &key).unwrap();
        let after = Credentials::load_or_make(&folder.0, &identity).unwrap();
        assert_eq!(after.stream_key, key);
        assert_eq!(after.admin_key, before.admin_key);
        identity.stream_key = Some(key.clone());
        let error = keep_stream_key(&folder.0, &identity, &key).unwrap_err();
        assert!(matches!(error, Error::Configured));
    }

    #[test]
    fn only_a_terminal_sees_credentials_and_the_admin_key_only_once() {
        let folder = Folder::new();
        let first = Credentials::load_or_make(&folder.0, &Identity::default()).unwrap();
        let mut banner = Banner {
            http: "http://127.0.0.1:8080",
            console: "http://127.0.0.1:8080",
            rtmp: Some("rtmp://127.0.0.1:1935/ingest"),
            srt: Some("127.0.0.1:9000"),
            application_id: "forebay",
            is_terminal: true,
        };
        let shown = first.banner(&banner);
        for secret in [
            &first.stream_key,
            &first.admin_key,
            &first.application_secret,
        ] {
            assert!(shown.contains(secret.expose()));
        }
        let second = Credentials::load_or_make(&folder.0, &Identity::default()).unwrap();
        let shown = second.banner(&banner);
        let srt = format!(
            "srt://127.0.0.1:9000?streamid={}",
            second.stream_key.expose()
        );
        assert!(shown.contains(&srt));
        assert!(!shown.contains(second.admin_key.expose()));
        banner.is_terminal = false;
        let shown = first.banner(&banner);
        for secret in [
            &first.stream_key,
            &first.admin_key,
            &first.application_secret,
        ] {
            assert!(!shown.contains(secret.expose()));
        }
        assert!(shown.contains("rtmp://127.0.0.1:1935/ingest"));
        assert!(shown.contains("http://127.0.0.1:8080/live"));
    }
}
