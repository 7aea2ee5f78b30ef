//! `ladders.toml`: rungs, named ladders and encoders as data.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{
    AudioCodec, AudioFacts, AudioRung, Choice, MAX_SIDE, MIN_SIDE, Plan, Rung, VideoFacts, peak_bps,
};
use crate::hub::Placed;
use crate::hub::tap::Needs;
use crate::transcode::Error;
use crate::transcode::encoder::Template;

/// `ladders.toml`, checked.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Book {
    /// Quality word of a stream that names none.
    pub default_quality: String,
    /// Rate buffer of the video encoders, milliseconds.
    pub vbv_ms: u32,
    /// Bounds of the `auto` ladder.
    pub auto: Auto,
    /// Cost model.
    pub cost: Cost,
    /// All rungs.
    #[serde(rename = "rung")]
    pub rungs: Vec<Entry>,
    /// All audio encodings, default first.
    pub audio: Vec<AudioEntry>,
    /// What is made for rooms.
    pub room: Room,
    /// Named ladders.
    #[serde(default)]
    pub ladders: BTreeMap<String, Vec<String>>,
    /// Encoders in order of preference.
    #[serde(rename = "encoder")]
    pub encoders: Vec<Template>,
}

/// Bounds of the `auto` ladder.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Auto {
    /// Share of the cores that a worker may be estimated to use.
    pub budget_share: f64,
    /// Share of the cores that the rung in the source's place may be estimated to use, with the
    /// decoder; beyond it a smaller one takes the place.
    pub top_share: f64,
    /// Machines with fewer cores count as small.
    pub small_machine_cores: usize,
    /// Most video rungs on a small machine.
    pub small_machine_rungs: usize,
}

/// What work is estimated to cost, in cores.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cost {
    /// Decoding, per million pixels a second.
    pub decode_per_mpx: f64,
    /// Scaling and encoding, per million pixels a second.
    pub encode_per_mpx: f64,
    /// One AAC encoder.
    pub audio: f64,
}

/// One `[[rung]]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Quality word and folder name.
    pub name: String,
    /// Shorter side, pixels.
    pub lines: u32,
    /// Bit rate, kbit/s.
    pub kbps: u32,
    /// H.264 profile.
    pub profile: String,
    /// Source rate from which every second frame is left out, frames per second.
    #[serde(default)]
    pub half_rate_from_fps: Option<u32>,
    /// Rank in `auto`, lowest first.
    pub value: u32,
    /// Whether it is taken only by name.
    #[serde(default)]
    pub variant: bool,
}

/// One `[[audio]]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AudioEntry {
    /// Folder name.
    pub name: String,
    /// Bit rate, kbit/s.
    pub kbps: u32,
    /// Capability without which it is not made.
    #[serde(default)]
    pub word: Option<String>,
}

/// The `[room]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Room {
    /// Shorter side of the picture at most, pixels.
    pub lines: u32,
    /// Bit rate of that, kbit/s.
    pub kbps: u32,
    /// H.264 profile.
    pub profile: String,
    /// Bit rate of the sound, kbit/s.
    pub opus_kbps: u32,
}

/// Name of the picture that is made for rooms.
pub const ROOM_PICTURE: &str = "room";
/// Name of the sound that is made for rooms.
pub const ROOM_SOUND: &str = "opus";

impl Book {
    /// The book that is part of the binary.
    pub fn built_in() -> Book {
        Book::parse(include_str!("../../../pipelines/ladders.toml"))
            .expect("the built-in ladders file is tested")
    }

    /// Reads and checks a ladders file.
    pub fn parse(text: &str) -> Result<Book, Error> {
        let book: Book =
            toml::from_str(text).map_err(|error| Error::LaddersSyntax(error.to_string()))?;
        let bad = |what, name: &str, problem: &str| Error::LaddersContent {
            what,
            name: name.to_owned(),
            problem: problem.to_owned(),
        };
        for (at, rung) in book.rungs.iter().enumerate() {
            if rung.lines < MIN_SIDE || rung.lines > MAX_SIDE || rung.kbps == 0 {
                return Err(bad("rung", &rung.name, "has no sane size or rate"));
            }
            let is_folder = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            if rung.name.is_empty() || !rung.name.chars().all(is_folder) {
                return Err(bad("rung", &rung.name, "is not a folder name"));
            }
            if book.rungs[..at].iter().any(|other| other.name == rung.name) {
                return Err(bad("rung", &rung.name, "stands twice"));
            }
        }
        let room = &book.room;
        if room.lines < MIN_SIDE || room.kbps == 0 || !(6..=510).contains(&room.opus_kbps) {
            return Err(bad("room", "", "has no sane size or rate"));
        }
        if book.entry(&book.default_quality).is_none() {
            return Err(bad("default_quality", &book.default_quality, "is no rung"));
        }
        for (name, rungs) in &book.ladders {
            if let Some(rung) = rungs.iter().find(|rung| book.entry(rung).is_none()) {
                let problem = format!("names the unknown rung {rung:?}");
                return Err(bad("ladder", name, &problem));
            }
        }
        if book.audio.iter().all(|entry| entry.word.is_some()) {
            return Err(bad(
                "audio",
                "",
                "has nothing for streams without capabilities",
            ));
        }
        Ok(book)
    }

    /// Whether a setting means something here: an error names the ladders that there are.
    pub fn check(&self, choice: &Choice) -> Result<(), Error> {
        match choice {
            Choice::Named(name) if !self.ladders.contains_key(name) => Err(Error::UnknownLadder {
                name: name.clone(),
                known: self.ladders.keys().cloned().collect::<Vec<_>>().join(", "),
            }),
            Choice::Auto | Choice::Off | Choice::Named(_) => Ok(()),
        }
    }

    /// The renditions of what a stream takes the place of, and nothing of its source beside them. What they
    /// are worth is the book's to say, where it knows them: those that exist say what they came to.
    pub fn plan_of(&self, placed: &Placed) -> Plan {
        let video = placed.video.iter().map(|picture| {
            let entry = self.entry(&picture.name);
            let kbps = entry.map_or(picture.kbps, |entry| entry.kbps);
            Rung {
                name: picture.name.to_string(),
                width: picture.width,
                height: picture.height,
                kbps,
                peak_bps: peak_bps(kbps, self.vbv_ms),
                profile: entry.map_or("main".to_owned(), |entry| entry.profile.clone()),
                frame_rate_millis: placed.frame_rate_millis,
                half_rate: false,
            }
        });
        let audio = placed.audio.iter().map(|sound| {
            let entry = self.audio.iter().find(|entry| *entry.name == *sound.name);
            AudioRung {
                name: sound.name.to_string(),
                kbps: entry.map_or(sound.kbps, |entry| entry.kbps),
                sample_rate: sound.sample_rate,
                channels: sound.channels,
                codec: AudioCodec::Aac,
            }
        });
        Plan {
            video: video.collect(),
            audio: audio.collect(),
            replaces_source: true,
            ..Plan::default()
        }
    }

    /// What rooms need of a source, as far as there is something to make it of.
    pub fn plan_of_rooms(
        &self,
        needs: Needs,
        video: Option<VideoFacts>,
        audio: Option<AudioFacts>,
    ) -> Plan {
        let large = |picture: &VideoFacts| picture.width.min(picture.height) >= MIN_SIDE;
        let entry = Entry {
            name: ROOM_PICTURE.to_owned(),
            lines: self.room.lines,
            kbps: self.room.kbps,
            profile: self.room.profile.clone(),
            half_rate_from_fps: None,
            value: 0,
            variant: true,
        };
        let video = video.filter(|picture| needs.picture && large(picture));
        let audio = audio.filter(|_| needs.opus);
        Plan {
            video: video.map(|it| self.rung(&entry, &it)).into_iter().collect(),
            audio: Vec::from_iter(audio.map(|_| AudioRung {
                name: ROOM_SOUND.to_owned(),
                kbps: self.room.opus_kbps,
                sample_rate: 48_000,
                channels: 2,
                codec: AudioCodec::Opus,
            })),
            ..Plan::default()
        }
    }

    pub(super) fn entry(&self, name: &str) -> Option<&Entry> {
        self.rungs.iter().find(|rung| rung.name == name)
    }
}
