//! The configuration file: finding keys with their lines, and refusing unknown ones.

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::setting::Setting;
use super::table::PASSPHRASE;
use super::table::SETTINGS;
use super::value::{is_capability, is_key, is_name, is_passphrase, secret_of};
use super::{Channel, Error, forward, text};
use crate::base::secret::Secret;
use crate::base::source::Source;

/// Keys of a `[[channel]]`.
const CHANNEL_KEYS: [&str; 11] = [
    "alias",
    "name",
    "key",
    "key_file",
    "capabilities",
    "slate",
    "srt_passphrase",
    "srt_passphrase_file",
    "source",
    "source_file",
    "pushes",
];

/// The TOML tree of a file.
pub(super) fn parse<'a>(path: &str, text: &'a str) -> Result<DeTable<'a>, Error> {
    let table = DeTable::parse(text).map_err(|error| Error::Syntax {
        path: path.to_owned(),
        line: error.span().map_or(1, |span| line(text, span.start)),
        message: error.message().to_owned(),
    })?;
    Ok(table.into_inner())
}

/// A key with its value.
pub(super) struct Entry<'a> {
    section: &'a str,
    key: &'a str,
    /// The value.
    pub(super) value: &'a DeValue<'a>,
    key_at: usize,
    value_at: Range<usize>,
}

/// A file of which every key is known.
pub(super) struct File<'a> {
    path: &'a str,
    text: &'a str,
    entries: HashMap<(&'a str, &'a str), Entry<'a>>,
    channels: Vec<Vec<Entry<'a>>>,
}

impl<'a> File<'a> {
    pub(super) fn read(
        path: &'a str,
        text: &'a str,
        root: &'a DeTable<'a>,
    ) -> Result<File<'a>, Error> {
        let mut file = File {
            path,
            text,
            entries: HashMap::new(),
            channels: Vec::new(),
        };
        for (section, value) in root {
            let name: &str = section.get_ref();
            match value.get_ref() {
                DeValue::Array(tables) if name == "channel" => {
                    for table in tables {
                        let channel = file.channel_entries(table)?;
                        file.channels.push(channel);
                    }
                }
                DeValue::Table(table) if SETTINGS.iter().any(|s| s.section == name) => {
                    for (key, value) in table {
                        let entry = entry(name, key, value);
                        if !is_known(name, entry.key) {
                            return Err(file.unknown(&entry));
                        }
                        file.entries.insert((name, entry.key), entry);
                    }
                }
                _ => return Err(file.unknown(&entry("", section, value))),
            }
        }
        Ok(file)
    }

    pub(super) fn entry(&self, section: &str, key: &str) -> Option<Entry<'a>> {
        let found = self.entries.get(&(section, key))?;
        Some(Entry {
            value_at: found.value_at.clone(),
            ..*found
        })
    }

    /// The `…_file` key of a secret.
    pub(super) fn secret_file(&self, setting: &Setting) -> Option<Entry<'a>> {
        let key = format!("{}_file", setting.key);
        let secret = setting.field.is_secret();
        secret.then(|| self.entry(setting.section, &key)).flatten()
    }

    /// Where an entry stands, for messages.
    pub(super) fn place(&self, entry: &Entry<'_>) -> String {
        let line = line(self.text, entry.key_at);
        format!("{} ({} line {line})", dotted(entry), self.path)
    }

    /// A value as it was written.
    pub(super) fn shown(&self, entry: &Entry<'_>) -> &'a str {
        self.text.get(entry.value_at.clone()).unwrap_or_default()
    }

    /// The declared channels.
    pub(super) fn channels(
        &self,
        read: &dyn Fn(&Path) -> std::io::Result<String>,
    ) -> Result<Vec<Channel>, Error> {
        let channels = self.channels.iter();
        channels.map(|keys| self.channel(keys, read)).collect()
    }

    fn channel(
        &self,
        entries: &[Entry<'_>],
        read: &dyn Fn(&Path) -> std::io::Result<String>,
    ) -> Result<Channel, Error> {
        let (mut alias, mut name, mut key, mut capabilities) = (None, None, None, None);
        let (mut slate, mut srt_passphrase, mut source) = (None, None, None);
        let mut pushes = Vec::new();
        for entry in entries {
            let refuse = |value: &str, accepted: &str| Error::Value {
                setting: self.place(entry),
                value: value.to_owned(),
                accepted: accepted.to_owned(),
            };
            let shown = self.shown(entry);
            let text = entry.value.as_str();
            match entry.key {
                "alias" => {
                    let accepted = "1 to 64 letters, digits, dots, hyphens or underscores";
                    let text = text.filter(|text| is_name(text));
                    alias = Some(text.ok_or_else(|| refuse(shown, accepted))?.to_owned());
                }
                "name" => {
                    let text = text.filter(|text| (1..=200).contains(&text.len()));
                    let accepted = "1 to 200 bytes of text";
                    name = Some(text.ok_or_else(|| refuse(shown, accepted))?.to_owned());
                }
                "key" | "key_file" => {
                    let text = match entry.key {
                        "key" => text.unwrap_or_default().to_owned(),
                        _ => secret_of(self, read, entry)?,
                    };
                    let accepted =
                        "8 to 512 printable characters without space, slash, ;, |, ? and &";
                    if !is_key(&text) {
                        return Err(refuse("(hidden)", accepted));
                    }
                    if key.replace(Secret::new(text)).is_some() {
                        return Err(refuse("(hidden)", "key or key_file, not both"));
                    }
                }
                "srt_passphrase" | "srt_passphrase_file" => {
                    let text = match entry.key {
                        "srt_passphrase" => text.unwrap_or_default().to_owned(),
                        _ => secret_of(self, read, entry)?,
                    };
                    if !is_passphrase(&text) {
                        return Err(refuse("(hidden)", PASSPHRASE));
                    }
                    if srt_passphrase.replace(Secret::new(text)).is_some() {
                        let accepted = "srt_passphrase or srt_passphrase_file, not both";
                        return Err(refuse("(hidden)", accepted));
                    }
                }
                "slate" => {
                    let text = text.filter(|text| !text.is_empty());
                    let accepted = "the path of a PNG or JPEG file";
                    slate = Some(text.ok_or_else(|| refuse(shown, accepted))?.into());
                }
                "source" | "source_file" => {
                    let text = match entry.key {
                        "source" => text.unwrap_or_default().to_owned(),
                        _ => secret_of(self, read, entry)?,
                    };
                    let parsed = Source::parse(&text);
                    let parsed = parsed.map_err(|error| refuse(&error.value, error.accepted))?;
                    if source.replace(parsed).is_some() {
                        return Err(refuse("(hidden)", "source or source_file, not both"));
                    }
                }
                "pushes" => pushes = forward::pushes(self, entry, read)?,
                _ => {
                    let accepted = "a list of words such as [\"hd\", \"streaming\"]";
                    let words = entry.value.as_array().and_then(|items| {
                        let words = items.iter().map(|item| item.get_ref().as_str());
                        let words = words.map(|word| word.filter(|word| is_capability(word)));
                        words
                            .map(|word| word.map(str::to_owned))
                            .collect::<Option<Vec<String>>>()
                    });
                    capabilities = Some(words.ok_or_else(|| refuse(shown, accepted))?);
                }
            }
        }
        let Some(alias) = alias else {
            return Err(Error::Conflict(format!(
                "a [[channel]] in {} has no alias",
                self.path
            )));
        };
        Ok(Channel {
            name: name.unwrap_or_else(|| alias.clone()),
            alias,
            key,
            capabilities,
            slate,
            srt_passphrase,
            source,
            pushes,
        })
    }

    fn channel_entries(&self, table: &'a Spanned<DeValue<'a>>) -> Result<Vec<Entry<'a>>, Error> {
        let Some(keys) = table.get_ref().as_table() else {
            return Err(Error::Value {
                setting: "channel".to_owned(),
                value: "not a table".to_owned(),
                accepted: "[[channel]] with keys below it".to_owned(),
            });
        };
        let mut entries = Vec::new();
        for (key, value) in keys {
            let entry = entry("channel", key, value);
            if !CHANNEL_KEYS.contains(&entry.key) {
                return Err(self.unknown(&entry));
            }
            entries.push(entry);
        }
        Ok(entries)
    }

    fn unknown(&self, entry: &Entry<'_>) -> Error {
        let key = entry.key;
        let home = SETTINGS.iter().find(|setting| setting.key == key);
        let hint = match home {
            Some(setting) => format!(", it belongs into [{}]", setting.section),
            None => {
                let near = match entry.section {
                    "channel" => text::nearest(key, CHANNEL_KEYS.into_iter()),
                    "" => {
                        let sections = SETTINGS.iter().map(|setting| setting.section);
                        text::nearest(key, sections.chain(["channel"]))
                    }
                    section => {
                        let own = SETTINGS.iter().filter(|s| s.section == section);
                        text::nearest(key, own.map(|setting| setting.key))
                    }
                };
                near.map_or_else(String::new, |near| format!(", did you mean {near}?"))
            }
        };
        Error::UnknownKey {
            key: dotted(entry),
            path: self.path.to_owned(),
            line: line(self.text, entry.key_at),
            hint,
        }
    }
}

fn entry<'a>(
    section: &'a str,
    key: &'a Spanned<std::borrow::Cow<'a, str>>,
    value: &'a Spanned<DeValue<'a>>,
) -> Entry<'a> {
    Entry {
        section,
        key: key.get_ref(),
        value: value.get_ref(),
        key_at: key.span().start,
        value_at: value.span(),
    }
}

fn dotted(entry: &Entry<'_>) -> String {
    match entry.section {
        "" => entry.key.to_owned(),
        section => format!("{section}.{}", entry.key),
    }
}

fn is_known(section: &str, key: &str) -> bool {
    let mut own = SETTINGS.iter().filter(|s| s.section == section);
    own.any(|setting| {
        setting.key == key
            || (setting.field.is_secret() && key.strip_suffix("_file") == Some(setting.key))
    })
}

/// Line of a byte offset, from 1.
fn line(text: &str, offset: usize) -> usize {
    let before = &text.as_bytes()[..offset.min(text.len())];
    1 + before.iter().filter(|byte| **byte == b'\n').count()
}
