//! Films of a few made-up bytes a frame, laid down by the real writer, and shows of them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::base::clock::{Clock, Wall};
use crate::base::id::Uuid;
use crate::format::fmp4::Sample;
use crate::media::codec::{aac, avc};
use crate::media::timeline::{Blob, Found, Resource, Rules, Timeline};
use crate::media::{CodecConfig, Rendition, RenditionId, Ticks, Timescale, Track};
use crate::playout::asset::{Layout, MAX_UNROLLED, SLATE, Writer};
use crate::playout::schedule::{Plan, cuts_for};
use crate::playout::{After, Config, Grid, Show, Stage};

/// 2026-11-22T04:00:00Z.
pub(super) const EPOCH: Wall = Wall(1_795_320_000_000_000);
pub(super) const SEGMENT: Duration = Duration::from_secs(2);
pub(super) const ASSET: Uuid = Uuid::from_u128(7);
pub(super) const STREAM: Uuid = Uuid::from_u128(8);
const SOUND: Timescale = Timescale::of(48_000);

pub(super) fn rules() -> Rules {
    Rules {
        epoch: EPOCH,
        target_duration_s: 3,
        part_target: Duration::from_micros(213_400),
        part_hold_back: Duration::from_micros(940_200),
        hold_back: Duration::from_secs(9),
        can_skip_until: Duration::from_secs(18),
        segment_target: SEGMENT,
        window: Duration::from_secs(30),
        independent_segments: true,
    }
}

pub(super) fn rendition(name: &str, config: CodecConfig, timescale: Timescale) -> Rendition {
    Rendition {
        id: RenditionId(0),
        name: name.into(),
        track: Arc::new(Track { config, timescale }),
        peak_bps: 100_000,
        average_bps: 50_000,
        frame_rate_millis: 0,
        source: false,
    }
}

pub(super) fn picture(name: &str, fps: u32, record: &'static [u8]) -> Rendition {
    let config = avc::Config::parse(Bytes::from_static(record)).unwrap();
    Rendition {
        frame_rate_millis: fps * 1000,
        ..rendition(name, CodecConfig::Avc(config), Timescale::CHANNEL)
    }
}

pub(super) fn sound(name: &str) -> Rendition {
    let config = aac::Config::new_lc(48_000, 2).unwrap();
    rendition(name, CodecConfig::Aac(config), SOUND)
}

/// A film to be laid down.
#[derive(Clone, Copy, Debug)]
pub(super) struct Film {
    pub(super) fps: u32,
    pub(super) frames: u64,
    pub(super) video: bool,
    /// Segments after which the preparation stops.
    pub(super) stops: u64,
}

impl Film {
    pub(super) fn new(fps: u32, frames: u64) -> Film {
        let (video, stops) = (true, u64::MAX);
        Film {
            fps,
            frames,
            video,
            stops,
        }
    }

    /// Loops after which frames of sound begin where loops do.
    pub(super) fn unrolled(&self) -> u32 {
        let samples = self.frames * 48_000 / u64::from(self.fps);
        (1..=MAX_UNROLLED)
            .find(|count| (u64::from(*count) * samples).is_multiple_of(1024))
            .expect("a frame rate of films")
    }

    /// Lays it down, or goes on with it.
    pub(super) fn write(&self, folder: &Path) {
        let layout = Layout::of(self.fps, 2).unwrap();
        let mut writer = Writer::open(folder, layout).unwrap();
        let grid = Grid::new(self.fps, layout.segment_frames, Some(self.frames)).unwrap();
        let records: [(&str, &[u8]); 2] = [
            (
                "hd",
                include_bytes!("../../../tests/data/codec/avc_crop.avcc"),
            ),
            (
                "sd",
                include_bytes!("../../../tests/data/codec/avc_openh264.avcc"),
            ),
        ];
        let mut slots = Vec::new();
        for (name, record) in records.into_iter().filter(|_| self.video) {
            slots.push(writer.declare(&picture(name, self.fps, record)).unwrap());
        }
        let count = grid.segments().unwrap();
        let frame = i64::from(Timescale::CHANNEL.get() / self.fps);
        let audio = writer.declare(&sound("audio")).unwrap();
        for number in (0..count).take_while(|number| *number < self.stops) {
            for slot in &slots {
                let cell = grid.cell(number);
                let first = cell.start.0 / frame;
                let frames = (first..cell.end.0 / frame).map(|number| Sample {
                    duration: u32::try_from(frame).unwrap(),
                    composition_offset: 0,
                    key: number == first,
                    data: Bytes::from(format!("picture {number}")),
                });
                let frames: Vec<Sample> = frames.collect();
                writer.append(*slot, number, cell.start, &frames).unwrap();
            }
        }
        let unrolled = self.unrolled();
        for number in (0..count * u64::from(unrolled)).take_while(|number| *number < self.stops) {
            let cell = grid.cell(number);
            let frame_at = |time: Ticks| (time.0 * 48_000 / 90_000 + 1023).div_euclid(1024);
            let first = frame_at(cell.start);
            let frames = (first..frame_at(cell.end)).map(|number| Sample {
                duration: 1024,
                composition_offset: 0,
                key: true,
                data: Bytes::from(format!("sound {number}")),
            });
            let frames: Vec<Sample> = frames.collect();
            writer
                .append(audio, number, Ticks(first * 1024), &frames)
                .unwrap();
        }
        if self.stops == u64::MAX {
            writer.finish(self.frames, unrolled).unwrap();
        }
    }
}

/// A folder that goes with its test.
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new() -> Folder {
        let folder = std::env::temp_dir().join(format!("forebay-playout-{}", Uuid::new_v4()));
        std::fs::create_dir_all(&folder).unwrap();
        Folder(folder)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A stage on a folder of its own, with a film and a slate.
pub(super) struct Set {
    pub(super) folder: Folder,
    pub(super) clock: Clock,
    pub(super) stage: Stage,
}

impl Set {
    pub(super) fn new(film: Film) -> Set {
        let folder = Folder::new();
        let asset = folder.path().join(ASSET.to_string());
        film.write(&asset);
        // Four segments, 375 frames of sound.
        let slate = Film {
            frames: u64::from(film.fps) * 8,
            stops: u64::MAX,
            ..film
        };
        slate.write(&asset.join(SLATE));
        let clock = Clock::simulated(EPOCH);
        let stage = stage(folder.path(), &clock);
        Set {
            folder,
            clock,
            stage,
        }
    }

    pub(super) fn asset(&self) -> PathBuf {
        self.folder.path().join(ASSET.to_string())
    }

    /// So many milliseconds after the epoch.
    pub(super) fn at(&self, millis: i64) {
        self.clock.step_wall(EPOCH.plus_micros(millis * 1000));
    }

    /// Puts the show on, and reads its index as the first viewer would have it.
    pub(super) async fn put(&self, show: Show) -> Arc<dyn Timeline> {
        self.stage.put(show);
        let timeline = self.stage.timeline(STREAM).unwrap();
        timeline.changed("", 0).await;
        timeline
    }
}

pub(super) fn stage(folder: &Path, clock: &Clock) -> Stage {
    let config = Config {
        folder: folder.to_owned(),
        rules: rules(),
    };
    Stage::new(config, clock.clone())
}

/// A show whose film begins so many seconds after the epoch.
pub(super) fn show(starts_s: i64, ends_s: Option<i64>, looping: bool, after: After) -> Show {
    let plan = Plan {
        starts: EPOCH.plus_micros(starts_s * 1_000_000),
        ends: ends_s.map(|ends| EPOCH.plus_micros(ends * 1_000_000)),
        before: true,
    };
    Show {
        stream: STREAM,
        asset: ASSET,
        epoch: EPOCH,
        looping,
        after,
        cuts: cuts_for(EPOCH, &plan, SEGMENT).into(),
    }
}

/// The bytes of a resource that is there.
pub(super) async fn bytes(
    timeline: &dyn Timeline,
    rendition: &str,
    resource: Resource<'_>,
) -> Bytes {
    match timeline.find(rendition, resource) {
        Found::Whole(pieces) => pieces.concat().into(),
        Found::Stored(stored) | Found::GrowingStored(stored) => {
            let blob = stored.open().await.unwrap().expect("it exists");
            read(&*blob).await
        }
        other => panic!("{rendition} {resource:?}: {other:?}"),
    }
}

pub(super) async fn read(blob: &dyn Blob) -> Bytes {
    let mut all = Vec::new();
    while (all.len() as u64) < blob.size() {
        all.extend_from_slice(&blob.read(all.len() as u64).await.unwrap());
    }
    all.into()
}

/// A fragment as it was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fragment {
    pub(super) number: u32,
    pub(super) time: u64,
    pub(super) duration: u64,
    pub(super) payload: Bytes,
}

/// Takes media apart.
pub(super) fn fragments(mut bytes: &[u8]) -> Vec<Fragment> {
    use mp4_atom::{Decode, Moof};
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let size = |bytes: &[u8]| {
            usize::try_from(u32::from_be_bytes(bytes[..4].try_into().unwrap())).unwrap()
        };
        let (moof, rest) = bytes.split_at(size(bytes));
        let (mdat, rest) = rest.split_at(size(rest));
        let parsed = Moof::decode(&mut &moof[..]).unwrap();
        let traf = &parsed.traf[0];
        let default = traf.tfhd.default_sample_duration;
        let entries = traf.trun.iter().flat_map(|run| &run.samples);
        let durations = entries.map(|entry| u64::from(entry.duration.or(default).unwrap()));
        found.push(Fragment {
            number: parsed.mfhd.sequence_number,
            time: traf.tfdt.as_ref().unwrap().base_media_decode_time,
            duration: durations.sum(),
            payload: Bytes::copy_from_slice(&mdat[8..]),
        });
        bytes = rest;
    }
    found
}
