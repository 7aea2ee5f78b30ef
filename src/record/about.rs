//! What is known of a recording before its first segment.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::Error;
use crate::base::clock::Wall;
use crate::base::id::Uuid;
use crate::media::timeline::Rules;

/// Name of the file in the recording's folder.
const FILE: &str = "about.json";
/// Version of the folder's form.
const FORM: u32 = 1;
/// Largest file that is read: lists of words are bounded by what a publish may name.
const MAX_BYTES: u64 = 1 << 20;

/// Whose a recording is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// The stream, and the recording's own id.
    pub id: Uuid,
    /// Channel id; the channel may be gone.
    pub channel_id: String,
    /// Channel alias.
    pub alias: String,
    /// Name for people.
    pub name: String,
    /// Capabilities of the stream: a protected one stays protected.
    pub capabilities: Vec<String>,
    /// Tags of the stream.
    pub tags: Vec<String>,
    /// Wall-clock point of media time zero.
    pub epoch: Wall,
    /// EXT-X-TARGETDURATION, whole seconds.
    pub target_duration_s: u32,
    /// The segment target.
    pub segment_target: Duration,
    /// When it began.
    pub started: Wall,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    form: u32,
    id: String,
    channel_id: String,
    alias: String,
    name: String,
    capabilities: Vec<String>,
    tags: Vec<String>,
    epoch_us: i64,
    target_duration_s: u32,
    segment_target_us: u64,
    started_us: i64,
}

impl About {
    /// Whether the stream had a capability.
    pub fn has_capability(&self, word: &str) -> bool {
        self.capabilities.iter().any(|known| known == word)
    }

    /// What the recording's playlists have in common.
    pub(super) fn rules(&self) -> Rules {
        let target = Duration::from_secs(u64::from(self.target_duration_s));
        Rules {
            epoch: self.epoch,
            target_duration_s: self.target_duration_s,
            part_target: Duration::ZERO,
            part_hold_back: Duration::ZERO,
            hold_back: target * 3,
            can_skip_until: target * 6,
            segment_target: self.segment_target,
            window: target * 6,
            independent_segments: false,
        }
    }

    /// Writes the file; after a crash it is there whole or not at all.
    pub(super) fn write(&self, folder: &Path) -> Result<(), Error> {
        let written = Written {
            form: FORM,
            id: self.id.to_string(),
            channel_id: self.channel_id.clone(),
            alias: self.alias.clone(),
            name: self.name.clone(),
            capabilities: self.capabilities.clone(),
            tags: self.tags.clone(),
            epoch_us: self.epoch.0,
            target_duration_s: self.target_duration_s,
            segment_target_us: u64::try_from(self.segment_target.as_micros()).unwrap_or(u64::MAX),
            started_us: self.started.0,
        };
        save(folder, FILE, &json(&written))
    }

    /// Reads the file.
    pub(super) fn read(folder: &Path) -> Result<About, Error> {
        let written: Written = load(folder, FILE)?;
        let damaged = |why: String| Error::Damaged(format!("{}: {why}", folder.display()));
        if written.form != FORM {
            return Err(damaged(format!("form {} is not known", written.form)));
        }
        Ok(About {
            id: Uuid::parse_str(&written.id).map_err(|err| damaged(err.to_string()))?,
            channel_id: written.channel_id,
            alias: written.alias,
            name: written.name,
            capabilities: written.capabilities,
            tags: written.tags,
            epoch: Wall(written.epoch_us),
            target_duration_s: written.target_duration_s,
            segment_target: Duration::from_micros(written.segment_target_us),
            started: Wall(written.started_us),
        })
    }
}

/// How a recording ended: its presence is the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct End {
    pub(super) ended_us: i64,
    pub(super) duration_us: u64,
    pub(super) bytes: u64,
    /// Segments that could not be written in time.
    pub(super) missed: u64,
    /// Why it ended early.
    pub(super) reason: Option<String>,
}

impl End {
    const FILE: &str = "end.json";

    pub(super) fn write(&self, folder: &Path) -> Result<(), Error> {
        save(folder, End::FILE, &json(self))
    }

    /// `None` when the recording is open, or was when the process was killed.
    pub(super) fn read(folder: &Path) -> Result<Option<End>, Error> {
        match load(folder, End::FILE) {
            Err(err) if err.is_missing() => Ok(None),
            read => read.map(Some),
        }
    }
}

fn json(content: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec_pretty(content).expect("text and numbers are JSON")
}

/// Writes a file; after a crash it is there whole or not at all.
pub(super) fn save(folder: &Path, name: &str, content: &[u8]) -> Result<(), Error> {
    let (path, new) = (folder.join(name), folder.join(format!("{name}.new")));
    let save = || {
        let mut file = File::create(&new)?;
        file.write_all(content)?;
        file.sync_data()?;
        fs::rename(&new, &path)
    };
    save().map_err(Error::io(format!("cannot write {}", path.display())))
}

fn load<T: DeserializeOwned>(folder: &Path, name: &str) -> Result<T, Error> {
    let path = folder.join(name);
    let read = || {
        let mut text = Vec::new();
        let file = File::open(&path)?;
        file.take(MAX_BYTES + 1).read_to_end(&mut text)?;
        Ok(text)
    };
    let text = read().map_err(Error::io(format!("cannot read {}", path.display())))?;
    if text.len() as u64 > MAX_BYTES {
        return Err(Error::Damaged(format!("{} is too large", path.display())));
    }
    serde_json::from_slice(&text)
        .map_err(|err| Error::Damaged(format!("{}: {err}", path.display())))
}
