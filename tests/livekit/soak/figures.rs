//! What came of a stage: figures as a table, and promises that were kept or not.

use serde_json::Value;

use super::camera::RATE;
use crate::common::livekit::LivekitServer;
use crate::common::livekit::clients::{Client, median};
use crate::common::livekit::real::RealServer;
use crate::common::livekit::record::{Layer, Unit};
use crate::livekit::world::World;
use livekit_protocol::TrackType;

/// Promises of a stage, judged at its end.
#[derive(Default)]
pub struct Promises {
    broken: Vec<String>,
}

impl Promises {
    pub fn of(stage: &str) -> Promises {
        say(&format!("\n== rooms: {stage}"));
        Promises::default()
    }

    /// Says whether it was kept.
    pub fn add(&mut self, promise: &str, is_kept: bool) {
        let how = if is_kept { "kept  " } else { "BROKEN" };
        say(&format!("{how} {promise}"));
        if !is_kept {
            self.broken.push(promise.to_owned());
        }
    }

    /// Fails if one was broken.
    pub fn judge(self) {
        assert!(self.broken.is_empty(), "broken: {:#?}", self.broken);
    }
}

/// Prints rows as a Markdown table: a name and a value in each cell, the same names in every row.
pub fn table(rows: &[Vec<(&str, String)>]) {
    let line = |cells: Vec<&str>| format!("| {} |", cells.join(" | "));
    if let Some(first) = rows.first() {
        say(&line(first.iter().map(|(name, _)| *name).collect()));
        say(&line(first.iter().map(|_| "--").collect()));
    }
    for row in rows {
        say(&line(row.iter().map(|(_, text)| text.as_str()).collect()));
    }
}

#[expect(clippy::print_stdout, reason = "figures of a run")]
pub fn say(text: &str) {
    println!("{text}");
}

/// The value below which that share of them is.
pub fn share_of(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = (sorted.len() as f64 * share) as usize;
    let at = at.min(sorted.len().saturating_sub(1));
    *sorted.get(at).unwrap_or(&f64::NAN)
}

/// What a viewer went through in some time.
#[derive(Debug, Default)]
pub struct Watched {
    /// Pictures that it decoded, of those that the server had meanwhile.
    pub decoded: u64,
    pub published: u64,
    pub freezes: u64,
    pub plis: u64,
    pub nacks: u64,
    /// From the camera's clock to the decoded picture, ms.
    pub ages: Vec<f64>,
    pub unread: u64,
    /// How much later sound was than its picture, ms.
    pub lips: Vec<f64>,
    pub buffer_ms: f64,
}

impl Watched {
    pub fn share(&self) -> f64 {
        self.decoded as f64 / self.published.max(1) as f64
    }

    pub fn row(&self, who: &'static str) -> Vec<(&'static str, String)> {
        let ms = |value: f64| match value.is_nan() {
            true => "–".to_owned(),
            false => format!("{value:.0}"),
        };
        vec![
            ("viewer", who.to_owned()),
            ("decoded", format!("{}/{}", self.decoded, self.published)),
            ("%", format!("{:.2}", 100.0 * self.share())),
            ("freezes", self.freezes.to_string()),
            ("PLI", self.plis.to_string()),
            ("NACK", self.nacks.to_string()),
            ("glass to glass ms", ms(median(&self.ages))),
            ("p95", ms(share_of(&self.ages, 0.95))),
            ("longest", ms(share_of(&self.ages, 1.0))),
            ("unread", self.unread.to_string()),
            ("sound after picture ms", ms(median(&self.lips))),
            ("least", ms(share_of(&self.lips, 0.0))),
            ("most", ms(share_of(&self.lips, 1.0))),
            ("buffer ms", ms(self.buffer_ms)),
        ]
    }
}

/// What a LiveKit server has had of the gateway in a room.
pub trait Had {
    /// Pictures.
    fn published(&self, room: &str) -> u64;

    /// How much later sound comes than the picture of the same moment, ms: the median, and the nineteen of twenty.
    fn lag_of_sound(&self, room: &str) -> Option<(f64, f64)>;
}

impl Had for LivekitServer {
    fn published(&self, room: &str) -> u64 {
        let track = self.track(room, "forebay", TrackType::Video);
        track.map_or(0, |track| {
            let frames = track.layers.iter().map(|layer| layer.frames);
            frames.max().unwrap_or(0)
        })
    }

    fn lag_of_sound(&self, room: &str) -> Option<(f64, f64)> {
        let track = |kind| self.track(room, "forebay", kind);
        let (picture, sound) = (track(TrackType::Video)?, track(TrackType::Audio)?);
        let (picture, sound) = (picture.layer(""), sound.layer(""));
        let since = picture.first_arrival?;
        let delays = |layer: &Layer| -> Vec<f64> {
            let delay = |unit: &Unit| {
                let arrived = unit.arrived.checked_duration_since(since)?;
                Some(1000.0 * (arrived.as_secs_f64() - layer.clock_at(unit.rtp_time)?))
            };
            layer.units.iter().filter_map(delay).collect()
        };
        let (picture, sound) = (delays(picture), delays(sound));
        let base = median(&picture);
        Some((median(&sound) - base, share_of(&sound, 0.95) - base))
    }
}

impl Had for RealServer {
    /// It does not tell: as many as a camera films meanwhile.
    fn published(&self, _: &str) -> u64 {
        (f64::from(RATE) * self.since().elapsed().as_secs_f64()) as u64
    }

    fn lag_of_sound(&self, _: &str) -> Option<(f64, f64)> {
        None
    }
}

/// Pictures that the room's server has had of the gateway.
pub fn published<S: Had>(world: &World<S>) -> u64 {
    world.livekit.published(&world.room)
}

/// Listens to a viewer of the gateway's picture for some time, from one look at its figures to the last.
pub async fn watch<S: Had>(
    world: &World<S>,
    viewer: &mut Client,
    time: std::time::Duration,
) -> Watched {
    let is_picture = |said: &Value| said["kind"] == "video" && said["identity"] == "forebay";
    let begin = viewer.until("stats", is_picture).await;
    let (published_at_first, said_before) = (published(world), viewer.said.len());
    viewer.listen(time).await;
    let end = viewer.until("stats", is_picture).await;
    let more = |name: &str| {
        let count = |said: &Value| said[name].as_u64().unwrap_or_default();
        count(&end).saturating_sub(count(&begin))
    };
    let said = &viewer.said[said_before..];
    let stats = || said.iter().filter(|said| said["event"] == "stats");
    let pictures = || stats().filter(|said| is_picture(said));
    let ages = pictures().filter_map(|said| said["ages"].as_array());
    let mut lips = Client::lip_offsets_in(said, "forebay");
    lips.iter_mut().for_each(|offset| *offset *= 1000.0);
    Watched {
        decoded: more("decoded"),
        published: published(world) - published_at_first,
        freezes: more("freezes"),
        plis: more("plis"),
        nacks: more("nacks"),
        ages: ages.flatten().filter_map(Value::as_f64).collect(),
        unread: pictures().filter_map(|said| said["unread"].as_u64()).sum(),
        lips,
        buffer_ms: end["buffer_ms"].as_f64().unwrap_or(f64::NAN),
    }
}
