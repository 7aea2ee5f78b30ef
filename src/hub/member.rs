//! How a stream and its publishers are, for those who ask: the operator's API, metrics, pages.

use std::net::SocketAddr;

use super::doctor::Finding;
use super::observer::Facts;
use super::program::Repairs;
use super::story::{Incident, State};
use crate::base::clock::Wall;
use crate::base::id::Uuid;

/// What a publisher is to its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Its units are published.
    OnAir,
    /// It sends, and would take the air.
    Standby,
    /// It is connected and sends nothing.
    Silent,
}

impl Standing {
    /// The word in answers.
    pub fn word(self) -> &'static str {
        match self {
            Standing::OnAir => "on-air",
            Standing::Standby => "standby",
            Standing::Silent => "silent",
        }
    }
}

/// One publisher session.
#[derive(Clone, Debug, PartialEq)]
pub struct MemberStatus {
    /// Number within the stream; never used twice.
    pub id: u64,
    /// `rtmp`, `srt`, …
    pub proto: &'static str,
    /// Where it comes from.
    pub peer: SocketAddr,
    /// Capabilities that it asked for, where the stream has others: those hold until it ends.
    pub ignored_capabilities: Vec<String>,
    /// Whether it has the air, silent or not.
    pub on_air: bool,
    /// What it is to the stream.
    pub standing: Standing,
    /// Why it is that, in words.
    pub reason: String,
    /// What is known of its encoder and its line.
    pub facts: Facts,
    /// What is wrong with it, worst first.
    pub findings: Vec<Finding>,
}

/// One stream with everything about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Health {
    /// Stream id.
    pub id: Uuid,
    /// Channel id.
    pub channel_id: String,
    /// Channel alias.
    pub alias: String,
    /// What it can do, unknown words included.
    pub capabilities: Vec<String>,
    /// Its tags.
    pub tags: Vec<String>,
    /// How it is.
    pub state: State,
    /// Since when.
    pub since: Wall,
    /// Its publishers, in the order in which they came.
    pub members: Vec<MemberStatus>,
    /// What happened, oldest first.
    pub history: Vec<Incident>,
    /// What was mended or lost since it began.
    pub repairs: Repairs,
}

/// Why the air was not given to a publisher.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SwitchError {
    /// The stream has no such publisher.
    #[error("the stream has no publisher {0}")]
    Unknown(u64),
    /// It has the air already.
    #[error("publisher {0} is on air already")]
    OnAir(u64),
    /// It sends nothing that could be shown.
    #[error("publisher {0} is silent")]
    Silent(u64),
    /// Nothing is shown any more.
    #[error("the stream has ended")]
    Ended,
}
