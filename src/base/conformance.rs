//! What the server finds wrong in its own playlists and manifests: `origin` looks, `control` tells.

use std::collections::{BTreeMap, VecDeque};

use super::clock::Wall;
use super::id::Uuid;

/// What was found since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conformance {
    /// Texts that were checked.
    pub samples: u64,
    /// How often each rule was broken; those that never were are left out.
    pub rules: BTreeMap<&'static str, u64>,
    /// The newest violations, oldest first: of each rule and sample the first one.
    pub newest: VecDeque<Violation>,
}

/// A rule that was broken in a text of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// When it was found.
    pub at: Wall,
    /// In which stream.
    pub stream: Uuid,
    /// In which text, such as `source/index.m3u8`.
    pub file: String,
    /// Name of the rule.
    pub rule: &'static str,
    /// The values found.
    pub detail: String,
}
