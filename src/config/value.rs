//! From text to values, and back to TOML literals.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::de::DeValue;

use super::file::{Entry, File};
use super::setting::{Field, Setting, Unit};
use super::{Config, Error, Sources};
use crate::base::network::Network;
use crate::base::secret::Secret;

/// A value as it was given.
#[derive(Clone, Copy)]
pub(super) enum Raw<'a> {
    /// A variable: units are in its name.
    Env(&'a str),
    /// A TOML value: units are in the text.
    File(&'a DeValue<'a>),
}

impl<'a> Raw<'a> {
    fn text(self) -> Option<&'a str> {
        match self {
            Raw::Env(text) => Some(text),
            Raw::File(value) => value.as_str(),
        }
    }

    fn flag(self) -> Option<bool> {
        match self {
            Raw::Env(text) => text.parse().ok(),
            Raw::File(DeValue::Boolean(flag)) => Some(*flag),
            Raw::File(value) => value.as_str()?.parse().ok(),
        }
    }

    /// A list: commas in the environment, an array or commas in the file. Blanks are cut off.
    fn list(self) -> Option<Vec<&'a str>> {
        if let Raw::File(DeValue::Array(array)) = self {
            return array.iter().map(|item| item.get_ref().as_str()).collect();
        }
        let items = self.text()?.split(',').map(str::trim);
        Some(items.filter(|item| !item.is_empty()).collect())
    }

    fn count(self) -> Option<u64> {
        match self {
            Raw::Env(text) => text.parse().ok(),
            Raw::File(value) => whole(value),
        }
    }

    fn span(self, unit: Unit) -> Option<Duration> {
        match self {
            Raw::Env(text) => span_of(text, unit),
            Raw::File(value) => parse_span(value.as_str()?),
        }
    }

    fn megabytes(self) -> Option<u64> {
        match self {
            Raw::Env(text) => text.parse().ok(),
            Raw::File(value) => {
                let text = value.as_str()?;
                match text.strip_suffix("GB") {
                    Some(number) => number.trim().parse::<u64>().ok()?.checked_mul(1024),
                    None => text.strip_suffix("MB")?.trim().parse().ok(),
                }
            }
        }
    }
}

fn whole(value: &DeValue<'_>) -> Option<u64> {
    let number = value.as_integer()?;
    u64::from_str_radix(number.as_str(), number.radix()).ok()
}

/// A number of `unit`, decimals allowed.
fn span_of(number: &str, unit: Unit) -> Option<Duration> {
    let plain = |byte: u8| byte.is_ascii_digit() || byte == b'.';
    if number.is_empty() || !number.bytes().all(plain) {
        return None;
    }
    let value: f64 = number.parse().ok()?;
    let seconds = match unit {
        Unit::Millis => value / 1000.0,
        Unit::Seconds => value,
    };
    let exact = Duration::try_from_secs_f64(seconds).ok()?;
    Some(Duration::from_micros(
        u64::try_from((exact.as_nanos() + 500) / 1000).ok()?,
    ))
}

/// `200ms`, `2s`, `1.5s`, `5m`, `1h`.
pub(crate) fn parse_span(text: &str) -> Option<Duration> {
    let text = text.trim();
    if let Some(number) = text.strip_suffix("ms") {
        return span_of(number.trim_end(), Unit::Millis);
    }
    let (number, factor) = match text.as_bytes().last()? {
        b's' => (text.strip_suffix('s')?, 1),
        b'm' => (text.strip_suffix('m')?, 60),
        b'h' => (text.strip_suffix('h')?, 3600),
        b'd' => (text.strip_suffix('d')?, 86_400),
        _ => return None,
    };
    span_of(number.trim_end(), Unit::Seconds)?.checked_mul(factor)
}

/// The shortest text that [`parse_span`] reads as `span`.
pub(super) fn span_text(span: Duration) -> String {
    if span.subsec_nanos() == 0 {
        format!("{}s", span.as_secs())
    } else {
        format!("{}ms", span.as_secs_f64() * 1000.0)
    }
}

pub(super) fn is_key(text: &str) -> bool {
    (8..=512).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !b"/;|?&".contains(&byte))
}

/// Passphrases of SRT (SRT API, "SRTO_PASSPHRASE").
pub(super) fn is_passphrase(text: &str) -> bool {
    let printable = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
    (10..=79).contains(&text.len()) && text.bytes().all(printable)
}

pub(super) fn is_word(text: &str) -> bool {
    (1..=512).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

pub(crate) fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

pub(super) fn is_capability(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.=".contains(&byte))
}

fn is_url(text: &str, schemes: &[&str]) -> bool {
    let plain = text.bytes().all(|byte| byte.is_ascii_graphic());
    let host = schemes.iter().find_map(|scheme| text.strip_prefix(scheme));
    plain && host.is_some_and(|host| !host.is_empty() && !host.ends_with('/'))
}

pub(super) fn is_http_url(text: &str) -> bool {
    is_url(text, &["http://", "https://"])
}

/// Unlike a base that is put in front of paths, it may end in a slash.
pub(super) fn is_service_url(text: &str) -> bool {
    is_http_url(text.trim_end_matches('/')) && text.parse::<http::Uri>().is_ok()
}

pub(super) fn is_rtmp_url(text: &str) -> bool {
    is_url(text, &["rtmp://", "rtmps://"])
}

/// Clients of LiveKit take either pair of schemes. Everybody is told it, so it holds no credentials.
pub(super) fn is_livekit_url(text: &str) -> bool {
    let schemes = ["ws://", "wss://", "http://", "https://"];
    is_url(text.trim_end_matches('/'), &schemes)
        && !text.contains(['@', '?', '#'])
        && text.parse::<http::Uri>().is_ok()
}

/// The driver reads it once more, and says what is wrong with the rest.
pub(super) fn is_database_url(text: &str) -> bool {
    let rest = text.strip_prefix("postgres://");
    let rest = rest.or_else(|| text.strip_prefix("postgresql://"));
    rest.is_some_and(|rest| !rest.is_empty() && !rest.chars().any(char::is_whitespace))
}

pub(super) fn is_log_filter(text: &str) -> bool {
    !text.is_empty() && tracing_subscriber::EnvFilter::try_new(text).is_ok()
}

impl Field {
    /// What is accepted, in words.
    pub(crate) fn accepts(&self) -> String {
        match self {
            Field::Addresses { .. } => {
                "addresses such as 0.0.0.0:8080 or [::]:8080, separated by commas".to_owned()
            }
            Field::Span { min, max, .. } => format!("{} to {}", span_text(*min), span_text(*max)),
            Field::Count { min, max, .. } => format!("{min} to {max}"),
            Field::Megabytes { min, max, .. } => format!("{min}MB to {max}MB"),
            Field::Flag { .. } => "true or false".to_owned(),
            Field::Path { .. } | Field::OptionalPath { .. } => "a path".to_owned(),
            Field::Networks { .. } => {
                "addresses or networks such as 10.0.0.0/8, separated by commas".to_owned()
            }
            Field::Words { accepts, .. }
            | Field::Text { accepts, .. }
            | Field::Optional { accepts, .. }
            | Field::Secret { accepts, .. }
            | Field::Later { accepts, .. } => (*accepts).to_owned(),
        }
    }

    /// Whether it must not be printed.
    pub(crate) fn is_secret(&self) -> bool {
        matches!(self, Field::Secret { .. })
    }

    /// The value in `config` as a TOML literal; `None` when off, and for secrets.
    pub(crate) fn literal(&self, config: &Config) -> Option<String> {
        let mut config = config.clone();
        let list = |items: Vec<String>| {
            let quoted: Vec<String> = items.iter().map(|item| quote(item)).collect();
            (!quoted.is_empty()).then(|| format!("[{}]", quoted.join(", ")))
        };
        match self {
            Field::Addresses { at } => {
                let items: Vec<String> = at(&mut config).iter().map(ToString::to_string).collect();
                match items.as_slice() {
                    [one] => Some(quote(one)),
                    _ => list(items),
                }
            }
            Field::Span { at, .. } => Some(quote(&span_text(*at(&mut config)))),
            Field::Count { at, .. } => Some(at(&mut config).to_string()),
            Field::Megabytes { at, .. } => {
                at(&mut config).map(|bytes| quote(&format!("{}MB", bytes >> 20)))
            }
            Field::Flag { at } => Some(at(&mut config).to_string()),
            Field::Words { at, .. } => list(at(&mut config).clone()),
            Field::Text { at, .. } => Some(quote(at(&mut config))),
            Field::Optional { at, .. } => at(&mut config).as_deref().map(quote),
            Field::Path { at } => Some(quote(&at(&mut config).display().to_string())),
            Field::OptionalPath { at } => {
                let path = at(&mut config).as_ref();
                path.map(|path| quote(&path.display().to_string()))
            }
            Field::Networks { at } => {
                let text = |net: &Network| net.to_string();
                list(at(&mut config).iter().map(text).collect())
            }
            Field::Secret { .. } | Field::Later { .. } => None,
        }
    }

    /// The secret in `config`.
    pub(super) fn secret(&self, config: &Config) -> Option<Secret> {
        match self {
            Field::Secret { at, .. } => at(&mut config.clone()).clone(),
            _ => None,
        }
    }

    /// Checks a value and puts it in its place; `None` when it is not accepted.
    fn assign(&self, raw: Raw<'_>, config: &mut Config) -> Option<()> {
        match self {
            Field::Addresses { at } => {
                let parsed = raw.list()?.into_iter().map(|item| item.parse().ok());
                *at(config) = parsed.collect::<Option<Vec<SocketAddr>>>()?;
            }
            Field::Span { unit, min, max, at } => {
                let span = raw.span(*unit)?;
                *at(config) = (*min..=*max).contains(&span).then_some(span)?;
            }
            Field::Count { min, max, at } => {
                let count = raw.count()?;
                *at(config) = (*min..=*max).contains(&count).then_some(count)?;
            }
            Field::Megabytes { min, max, at } => {
                let size = raw.megabytes()?;
                *at(config) = Some((*min..=*max).contains(&size).then_some(size << 20)?);
            }
            Field::Flag { at } => *at(config) = raw.flag()?,
            Field::Words { check, at, .. } => {
                let words = raw.list()?;
                let good = words.iter().all(|word| check(word));
                *at(config) = good.then(|| words.into_iter().map(str::to_owned).collect())?;
            }
            Field::Text { check, at, .. } => {
                *at(config) = raw.text().filter(|text| check(text))?.to_owned();
            }
            Field::Optional { check, at, .. } => {
                let text = raw.text()?;
                *at(config) = (!text.is_empty()).then(|| text.to_owned());
                return (text.is_empty() || check(text)).then_some(());
            }
            Field::Path { at } => {
                let text = raw.text().filter(|text| !text.is_empty())?;
                *at(config) = PathBuf::from(text);
            }
            Field::OptionalPath { at } => {
                let text = raw.text()?;
                *at(config) = (!text.is_empty()).then(|| PathBuf::from(text));
            }
            Field::Networks { at } => {
                let parsed = raw.list()?.into_iter().map(|text| text.parse().ok());
                *at(config) = parsed.collect::<Option<Vec<Network>>>()?;
            }
            Field::Secret { check, at, .. } => {
                let text = raw.text().filter(|text| check(text))?;
                *at(config) = Some(Secret::new(text));
            }
            Field::Later { check, .. } => match raw {
                // Numbers and flags of the file are checked in their textual form.
                Raw::File(DeValue::Boolean(flag)) => check(&flag.to_string()).then_some(())?,
                Raw::File(value) if value.is_integer() => {
                    check(&whole(value)?.to_string()).then_some(())?;
                }
                raw => {
                    let text = raw.text()?;
                    (text.is_empty() || check(text)).then_some(())?;
                }
            },
        }
        Some(())
    }
}

/// A TOML basic string.
pub(super) fn quote(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Reads one setting from its sources.
pub(super) struct Reader<'a, 'b> {
    pub(super) sources: &'a Sources<'a>,
    pub(super) file: &'a File<'a>,
    pub(super) env: &'a dyn Fn(&str) -> Option<&'a str>,
    pub(super) warnings: &'b mut Vec<String>,
}

impl Reader<'_, '_> {
    pub(super) fn apply(&mut self, setting: &Setting, config: &mut Config) -> Result<(), Error> {
        let field = &setting.field;
        let name_file = format!("{}_FILE", setting.env);
        let from_file = field
            .is_secret()
            .then(|| (self.env)(&name_file))
            .flatten()
            .filter(|path| !path.is_empty());
        // An empty variable of a secret is one that is not set: compose files pass them on empty.
        let value = (self.env)(setting.env).filter(|text| !(field.is_secret() && text.is_empty()));
        match (value, from_file) {
            (Some(_), Some(_)) => {
                return Err(Error::Conflict(format!(
                    "{} and {name_file} are both set",
                    setting.env
                )));
            }
            (Some(text), None) => {
                self.warn_if_later(setting, setting.env);
                return self.assign(setting, Raw::Env(text), text, setting.env, config);
            }
            (None, Some(path)) => {
                let text = read_secret(self.sources.read, &name_file, Path::new(path))?;
                return self.assign(setting, Raw::Env(&text), "", &name_file, config);
            }
            (None, None) => {}
        }
        if let Some(entry) = self.file.entry(setting.section, setting.key) {
            let place = self.file.place(&entry);
            self.warn_if_later(setting, &place);
            let shown = self.file.shown(&entry);
            return self.assign(setting, Raw::File(entry.value), shown, &place, config);
        }
        if let Some(entry) = self.file.secret_file(setting) {
            let place = self.file.place(&entry);
            let text = secret_of(self.file, self.sources.read, &entry)?;
            return self.assign(setting, Raw::Env(&text), "", &place, config);
        }
        Ok(())
    }

    fn warn_if_later(&mut self, setting: &Setting, name: &str) {
        if matches!(setting.field, Field::Later { .. }) {
            let text = format!("{name} has no effect in this version");
            self.warnings.push(text);
        }
    }

    fn assign(
        &self,
        setting: &Setting,
        raw: Raw<'_>,
        shown: &str,
        place: &str,
        config: &mut Config,
    ) -> Result<(), Error> {
        // The passphrase is a secret too, although nothing keeps it yet.
        let hidden = setting.field.is_secret() || setting.env.ends_with("PASSPHRASE");
        let assigned = setting.field.assign(raw, config);
        assigned.ok_or_else(|| Error::Value {
            setting: place.to_owned(),
            value: if hidden { "(hidden)" } else { shown }.to_owned(),
            accepted: setting.field.accepts(),
        })
    }
}

/// Reads a file that holds a secret; line ends at its end do not count.
pub(super) fn read_secret(
    read: &dyn Fn(&Path) -> std::io::Result<String>,
    setting: &str,
    path: &Path,
) -> Result<String, Error> {
    let text = read(path).map_err(|source| Error::Read {
        setting: setting.to_owned(),
        path: path.display().to_string(),
        source,
    })?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

/// The secret in the file that a `…_file` key names.
pub(super) fn secret_of(
    file: &File<'_>,
    read: &dyn Fn(&Path) -> std::io::Result<String>,
    entry: &Entry<'_>,
) -> Result<String, Error> {
    let place = file.place(entry);
    let Some(path) = entry.value.as_str() else {
        return Err(Error::Value {
            setting: place,
            value: file.shown(entry).to_owned(),
            accepted: "a path".to_owned(),
        });
    };
    read_secret(read, &place, Path::new(path))
}
