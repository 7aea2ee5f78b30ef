//! Texts made from the table of settings: the example file, `--help`, suggestions.

use std::fmt::Write as _;

use super::Config;
use super::setting::{Field, Setting, Unit};
use super::table::SETTINGS;

const HEAD: &str = "\
# Settings of Forebay. Copy it to forebay.toml and change what you need: what you leave out keeps
# its default, which is the value shown. Lines behind a # are off by default.
# Each setting is also read from the environment, which wins over this file. There, numbers are in
# the unit that the name ends in. Secrets may be read from a file: key_file = \"path\" here,
# FOREBAY_…_FILE in the environment.
";

const CHANNELS: &str = "
# Channels beside the default one, without any API. A channel that is taken out of this file is
# deleted at the next start, and cannot be deleted otherwise. Without a key a random one is made:
# forebay key rotate prints a new one.
#
# [[channel]]
# alias = \"stage\"
# name = \"Main stage\"
# key_file = \"/etc/forebay/stage.key\"
# capabilities = [\"fhd\", \"multi-bitrate\", \"streaming\"]
# slate = \"/etc/forebay/stage.png\"  # PNG or JPEG; without one a picture with the name is drawn
# srt_passphrase_file = \"/etc/forebay/stage.passphrase\"  # in place of listen.srt_passphrase
#
# A channel may also pull its media: the gateway calls the source, for ever, and what comes is a
# publisher like any other. latency is in milliseconds; other options: streamid, passphrase (10 to 79
# characters), pbkeylen (16, 24 or 32), each percent-encoded. A source with credentials may lie in a
# file (source_file). Private and loopback addresses are pulled from only if FOREBAY_PULL_PRIVATE holds
# them, link-local ones only if it names a network of nothing else, such as 169.254.7.0/24.
#
# [[channel]]
# alias = \"remote\"
# source = \"srt://camera.example.org:9000?streamid=remote&latency=250\"
#
# A channel may be pushed to up to 16 other places while it is on air: to a server that takes RTMP or
# RTMPS (as the encoder sends it), to an endpoint that takes WHIP (LiveKit's own is
# https://livekit.example.org/whip/v1), or to a room by LiveKit's Ingress service, which plays our HLS
# and needs FOREBAY_PUBLIC_URL. Keys and tokens may lie in files (key_file, token_file); without a key
# the last part of an RTMP path is the key. Private and loopback addresses are pushed to only if
# FOREBAY_FORWARD_PRIVATE holds them.
#
# [[channel]]
# alias = \"everywhere\"
# pushes = [
#     { rtmp = \"rtmps://live.example.com/app\", key_file = \"/etc/forebay/example.key\" },
#     { whip = \"https://livekit.example.org/whip/v1\", token_file = \"/etc/forebay/whip.token\" },
#     { ingress = \"the-room\" },
# ]
";

/// Width of text in the example file and the help.
const COLUMNS: usize = 100;

/// The text of `assets/config.example.toml`.
pub fn example() -> String {
    let defaults = Config::default();
    let mut text = HEAD.to_owned();
    let mut section = "";
    for setting in available() {
        if setting.section != section {
            section = setting.section;
            let _ = write!(text, "\n[{section}]\n");
        } else {
            text.push('\n');
        }
        wrap(&mut text, "# ", setting.doc);
        let facts = format!(
            "Environment: {}. Accepts {}.",
            environment(setting),
            setting.field.accepts()
        );
        wrap(&mut text, "# ", &facts);
        let _ = match setting.field.literal(&defaults) {
            Some(literal) => writeln!(text, "{} = {literal}", setting.key),
            None => writeln!(text, "# {} = {}", setting.key, setting.example),
        };
    }
    text.push_str(CHANNELS);
    text
}

/// The settings, for the end of `--help`.
pub fn help() -> String {
    let defaults = Config::default();
    let mut text = "Settings, from the environment or from the file (key in brackets):\n\n  \
                    FOREBAY_CONFIG\n      Configuration file. Default: forebay.toml if it exists.\n"
        .to_owned();
    for setting in available() {
        let _ = writeln!(
            text,
            "\n  {} [{}.{}]",
            environment(setting),
            setting.section,
            setting.key
        );
        let default = match setting.field.literal(&defaults) {
            Some(literal) => literal,
            None if setting.doc.contains("when not set") => "not set".to_owned(),
            None => "off".to_owned(),
        };
        let facts = format!(
            "{} Default: {default}. Accepts {}.",
            setting.doc,
            setting.field.accepts()
        );
        wrap(&mut text, "      ", &facts);
    }
    text.push_str("\nA reload (SIGHUP) takes up: ");
    let reloadable = available().filter(|setting| setting.reload);
    let names: Vec<&str> = reloadable.map(|setting| setting.env).collect();
    text.push_str(&names.join(", "));
    text.push_str(". Other changes need a restart.\n");
    text
}

/// Settings that have an effect.
fn available() -> impl Iterator<Item = &'static Setting> {
    let later = |setting: &&Setting| !matches!(setting.field, Field::Later { .. });
    SETTINGS.iter().filter(later)
}

/// Name in the environment, with the unit of its number where the name does not say it all.
fn environment(setting: &Setting) -> String {
    match setting.field {
        Field::Secret { .. } => format!("{} or {}_FILE", setting.env, setting.env),
        Field::Span { unit, .. } => format!(
            "{} ({})",
            setting.env,
            match unit {
                Unit::Millis => "milliseconds",
                Unit::Seconds => "seconds",
            }
        ),
        _ => setting.env.to_owned(),
    }
}

/// Appends `words` in lines of at most [`COLUMNS`] columns that begin with `prefix`.
fn wrap(text: &mut String, prefix: &str, words: &str) {
    let mut line = prefix.to_owned();
    for word in words.split_whitespace() {
        if line.len() > prefix.len() && line.chars().count() + 1 + word.chars().count() > COLUMNS {
            text.push_str(line.trim_end());
            text.push('\n');
            line = prefix.to_owned();
        }
        if line.len() > prefix.len() {
            line.push(' ');
        }
        line.push_str(word);
    }
    text.push_str(&line);
    text.push('\n');
}

/// The known name that is nearest to a mistyped one, if any is near.
pub(super) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    // Keys are short; a longer one is not a slip of the finger and would cost quadratic time.
    if name.len() > 64 {
        return None;
    }
    let (distance, nearest) = known
        .map(|candidate| (distance(name, candidate), candidate))
        .min()?;
    (distance <= 1 + name.len() / 4).then_some(nearest)
}

/// Levenshtein distance over bytes.
fn distance(left: &str, right: &str) -> usize {
    let right = right.as_bytes();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, byte) in left.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, other) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(byte != *other);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}
