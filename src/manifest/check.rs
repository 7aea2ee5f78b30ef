//! In: texts of playlists and manifests. Out: which rules of RFC 8216bis, Apple's authoring
//! specification and the DASH-IF timing model they break. Not here: fetching, media bytes.
//!
//! The rules' names are those of the project's conformance list; `K` rules come from real players.

mod media;
mod mpd;
mod multivariant;
mod xml;

pub use media::{check_delta, check_media_playlist};
pub use mpd::{check_hls_against_mpd, check_mpd};
pub use multivariant::{check_multivariant, check_renditions};

/// A broken rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Name of the rule, such as `P1`; `syntax` when the text cannot be read.
    pub rule: &'static str,
    /// The values found.
    pub detail: String,
}

/// Collects violations.
#[derive(Default)]
struct Findings(Vec<Violation>);

impl Findings {
    /// Notes a violation unless the rule is kept.
    fn rule(&mut self, rule: &'static str, kept: bool, detail: impl FnOnce() -> String) {
        if !kept {
            self.0.push(Violation {
                rule,
                detail: detail(),
            });
        }
    }

    fn unreadable(what: &impl std::fmt::Display) -> Vec<Violation> {
        vec![Violation {
            rule: "syntax",
            detail: what.to_string(),
        }]
    }
}

#[cfg(test)]
mod tests;
