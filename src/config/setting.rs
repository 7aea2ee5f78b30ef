//! What a setting is made of.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::{Config, value};
use crate::base::network::Network;
use crate::base::secret::Secret;

/// One setting.
pub(crate) struct Setting {
    /// Name in the environment.
    pub(crate) env: &'static str,
    /// Section of the file.
    pub(crate) section: &'static str,
    /// Key in the section: the environment name in lower case, prefix and unit dropped.
    pub(crate) key: &'static str,
    /// What it is and where it goes.
    pub(crate) field: Field,
    /// A TOML literal for the example file when there is no default.
    pub(crate) example: &'static str,
    /// What it does, as a sentence.
    pub(crate) doc: &'static str,
    /// Whether SIGHUP is enough for a change.
    pub(crate) reload: bool,
}

/// Unit of a duration in the environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Milliseconds.
    Millis,
    /// Seconds.
    Seconds,
}

/// Where a value of `T` lies in the configuration.
pub(super) type At<T> = fn(&mut Config) -> &mut T;

/// Form, range and place of a setting.
#[derive(Clone)]
pub(crate) enum Field {
    /// Socket addresses; none is off.
    Addresses { at: At<Vec<SocketAddr>> },
    /// A span of time, both ends included.
    Span {
        unit: Unit,
        min: Duration,
        max: Duration,
        at: At<Duration>,
    },
    /// A number, both ends included.
    Count { min: u64, max: u64, at: At<u64> },
    /// A size in MB (2^20 bytes), both ends included; kept in bytes.
    Megabytes {
        min: u64,
        max: u64,
        at: At<Option<u64>>,
    },
    /// Whether something is so.
    Flag { at: At<bool> },
    /// Words of a list.
    Words {
        check: fn(&str) -> bool,
        accepts: &'static str,
        at: At<Vec<String>>,
    },
    /// Text that has a default.
    Text {
        check: fn(&str) -> bool,
        accepts: &'static str,
        at: At<String>,
    },
    /// Text that may be missing.
    Optional {
        check: fn(&str) -> bool,
        accepts: &'static str,
        at: At<Option<String>>,
    },
    /// A folder or file that has a default.
    Path { at: At<PathBuf> },
    /// A file that may be missing.
    OptionalPath { at: At<Option<PathBuf>> },
    /// Networks.
    Networks { at: At<Vec<Network>> },
    /// A secret, also by `_FILE`.
    Secret {
        check: fn(&str) -> bool,
        accepts: &'static str,
        at: At<Option<Secret>>,
    },
    /// Belongs to a feature that this version does not have: checked, warned of, not used.
    Later {
        check: fn(&str) -> bool,
        accepts: &'static str,
    },
}

impl Setting {
    /// Marks a setting that SIGHUP takes up.
    pub(super) const fn reloadable(mut self) -> Setting {
        self.reload = true;
        self
    }
}

pub(super) const fn span(unit: Unit, min: Duration, max: Duration, at: At<Duration>) -> Field {
    Field::Span { unit, min, max, at }
}

pub(super) const fn later(check: fn(&str) -> bool, accepts: &'static str) -> Field {
    Field::Later { check, accepts }
}

pub(super) const fn secret(at: At<Option<Secret>>) -> Field {
    Field::Secret {
        check: value::is_key,
        accepts: "8 to 512 printable characters without space, slash, ;, |, ? and &",
        at,
    }
}

pub(super) const fn url(
    check: fn(&str) -> bool,
    accepts: &'static str,
    at: At<Option<String>>,
) -> Field {
    Field::Optional { check, accepts, at }
}

pub(super) const fn setting(
    env: &'static str,
    (section, key): (&'static str, &'static str),
    field: Field,
    example: &'static str,
    doc: &'static str,
) -> Setting {
    Setting {
        env,
        section,
        key,
        field,
        example,
        doc,
        reload: false,
    }
}
