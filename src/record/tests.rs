//! Recordings of a window that the test moves, on a disk that it fills.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;

use super::disk::Local;
use super::follow::Follower;
use super::*;
use crate::base::clock::{Clock, Wall};
use crate::base::id::Uuid;
use crate::base::shutdown::Tasks;
use crate::format::fmp4::{self, Fragment, Sample};
use crate::manifest::check::{check_media_playlist, check_mpd, check_renditions};
use crate::manifest::parse::Media;
use crate::manifest::{dash, hls};
use crate::media::codec::{aac, avc};
use crate::media::time::{rescale, wall_time};
use crate::media::timeline::{
    Blob, Description, Found, Init, Part, Progress, Resource, Rules, Segment, Snapshot, Timeline,
    Wait,
};
use crate::media::{CodecConfig, MediaKind, Rendition, RenditionId, Ticks, Timescale, Track};

mod failures;
mod forks;
mod indexes;
mod keeping;
mod library;
mod movies;
mod restarts;
mod room;

const EPOCH: Wall = Wall(1_795_320_000_000_000);

/// AVCDecoderConfigurationRecord of an encoder: High, 160x90.
const AVC_RECORD: &[u8] = &[
    0x01, 0x64, 0x00, 0x0b, 0xff, 0xe1, 0x00, 0x19, 0x67, 0x64, 0x00, 0x0b, 0xac, 0xd9, 0x42, 0x8d,
    0xf9, 0x30, 0x11, 0x00, 0x00, 0x03, 0x00, 0x01, 0x00, 0x00, 0x03, 0x00, 0x32, 0x0f, 0x14, 0x29,
    0x96, 0x01, 0x00, 0x04, 0x68, 0xef, 0xbc, 0xb0, 0xfd, 0xf8, 0xf8, 0x00,
];

fn picture_track() -> Track {
    let config = avc::Config::parse(Bytes::from_static(AVC_RECORD)).unwrap();
    Track {
        config: CodecConfig::Avc(config),
        timescale: Timescale::CHANNEL,
    }
}

/// The same pictures with other parameter sets, as far as anybody can tell.
fn other_picture_track() -> Track {
    let mut record = AVC_RECORD.to_vec();
    *record.get_mut(38).unwrap() ^= 0x01;
    let config = avc::Config::parse(Bytes::from(record)).unwrap();
    Track {
        config: CodecConfig::Avc(config),
        timescale: Timescale::CHANNEL,
    }
}

fn sound_track() -> Track {
    Track {
        config: CodecConfig::Aac(aac::Config::new_lc(48_000, 2).unwrap()),
        timescale: Timescale::of(48_000),
    }
}

fn rules() -> Rules {
    Rules {
        epoch: EPOCH,
        target_duration_s: 3,
        part_target: Duration::from_millis(200),
        part_hold_back: Duration::from_millis(600),
        hold_back: Duration::from_secs(9),
        can_skip_until: Duration::from_secs(18),
        segment_target: Duration::from_secs(2),
        window: Duration::from_secs(60),
        independent_segments: true,
    }
}

/// A live window that the test moves.
struct Window {
    most: usize,
    renditions: Mutex<BTreeMap<&'static str, Row>>,
    ended: AtomicBool,
}

struct Row {
    rendition: Arc<Rendition>,
    init: Arc<Init>,
    segments: Vec<Arc<Segment>>,
    discontinuities: u64,
}

fn init(track: Track) -> Arc<Init> {
    let bytes = fmp4::init(&track).unwrap();
    Arc::new(Init {
        name: fmp4::init_name(&bytes),
        bytes,
        track: Arc::new(track),
    })
}

impl Window {
    /// A picture and a sound rendition; `most` segments stay.
    fn new(most: usize) -> Arc<Window> {
        let tracks = [("source", picture_track()), ("audio", sound_track())];
        let rows = tracks.into_iter().zip(0..).map(|((name, track), id)| {
            let rendition = Arc::new(Rendition {
                id: RenditionId(id),
                name: name.into(),
                track: Arc::new(track.clone()),
                peak_bps: 100_000,
                average_bps: 90_000,
                frame_rate_millis: 0,
                source: true,
            });
            let row = Row {
                rendition,
                init: init(track),
                segments: Vec::new(),
                discontinuities: 0,
            };
            (name, row)
        });
        Arc::new(Window {
            most,
            renditions: Mutex::new(rows.collect()),
            ended: AtomicBool::new(false),
        })
    }

    /// Segments of two seconds in two parts, in all renditions.
    fn pass(&self, sequences: std::ops::Range<u64>) {
        for sequence in sequences {
            for row in self.renditions.lock().unwrap().values_mut() {
                row.add(sequence, false, self.most);
            }
        }
    }

    /// The picture has another configuration from this segment on.
    fn change(&self, sequence: u64) {
        let mut rows = self.renditions.lock().unwrap();
        rows.get_mut("source").unwrap().init = init(other_picture_track());
        for row in rows.values_mut() {
            row.add(sequence, true, self.most);
        }
    }

    fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}

impl Row {
    fn add(&mut self, sequence: u64, discontinuity: bool, most: usize) {
        let scale = self.rendition.track.timescale;
        let ticks = |seconds: u64| Ticks(i64::try_from(seconds).unwrap() * i64::from(scale.get()));
        self.discontinuities += u64::from(discontinuity);
        let parts = [0, 1].map(|half| {
            let start = ticks(sequence * 2 + half);
            let samples = [0, 1, 2, 3].map(|sample: u8| Sample {
                duration: scale.get() / 4,
                composition_offset: 0,
                key: half == 0 && sample == 0,
                data: Bytes::from(vec![sample + 1; 100 + usize::from(sample)]),
            });
            Arc::new(Part {
                number: sequence * 2 + half,
                start,
                duration: ticks(1),
                independent: half == 0,
                bytes: fmp4::write(&Fragment {
                    sequence: 1,
                    base_decode_time: start.0.unsigned_abs(),
                    samples: &samples,
                    captured: None,
                }),
            })
        });
        self.segments.push(Arc::new(Segment {
            sequence,
            start: ticks(sequence * 2),
            duration: ticks(2),
            discontinuity,
            discontinuity_sequence: self.discontinuities,
            gap: false,
            independent: true,
            complete: true,
            init: self.init.clone(),
            parts: parts.to_vec(),
            program_date_time: wall_time(ticks(sequence * 2), scale, EPOCH),
        }));
        let gone = self.segments.len().saturating_sub(most);
        self.segments.drain(..gone);
    }
}

impl Timeline for Window {
    fn description(&self) -> Option<Arc<Description>> {
        let rows = self.renditions.lock().unwrap();
        let of = |kind| {
            let rows = rows.values().map(|row| row.rendition.clone());
            rows.filter(|rendition| rendition.kind() == kind).collect()
        };
        Some(Arc::new(Description {
            version: 1,
            rules: rules(),
            video: of(MediaKind::Video),
            audio: of(MediaKind::Audio),
            leaving: Vec::new(),
            ended: false,
        }))
    }

    fn snapshot(&self, rendition: &str) -> Option<Arc<Snapshot>> {
        let rows = self.renditions.lock().unwrap();
        let row = rows.get(rendition)?;
        Some(Arc::new(Snapshot {
            version: 1,
            rendition: row.rendition.clone(),
            rules: rules(),
            segments: row.segments.clone(),
            next_part: 0,
            reports: Vec::new(),
            ended: false,
            stopped: false,
            scheduled: None,
        }))
    }

    fn progress(&self, _: &str) -> Option<Progress> {
        None
    }

    fn find(&self, _: &str, _: Resource<'_>) -> Found {
        Found::Missing
    }

    fn changed<'a>(&'a self, _: &'a str, _: u64) -> Wait<'a> {
        Box::pin(std::future::pending())
    }
}

/// A disk that holds so many bytes.
struct Small {
    room: AtomicU64,
    /// What it says of its room, if not the truth.
    says: AtomicU64,
    /// By how much that rises with each recording that is deleted.
    frees: AtomicU64,
}

impl Small {
    fn new(room: u64) -> Arc<Small> {
        Arc::new(Small {
            room: AtomicU64::new(room),
            says: AtomicU64::new(u64::MAX),
            frees: AtomicU64::new(0),
        })
    }
}

impl Disk for Small {
    fn free_bytes(&self, _: &Path) -> std::io::Result<u64> {
        let room = self.room.load(Ordering::Relaxed);
        Ok(self.says.load(Ordering::Relaxed).min(room.max(1)))
    }

    fn write(&self, file: &File, at: u64, bytes: &[u8]) -> std::io::Result<()> {
        let room = self.room.load(Ordering::Relaxed);
        let fits = usize::try_from(room).unwrap_or(usize::MAX).min(bytes.len());
        Local.write(file, at, &bytes[..fits])?;
        self.room.fetch_sub(fits as u64, Ordering::Relaxed);
        match fits == bytes.len() {
            true => Ok(()),
            false => Err(std::io::ErrorKind::StorageFull.into()),
        }
    }

    fn rename(&self, folder: &Path, name: &Path) -> std::io::Result<()> {
        let frees = self.frees.load(Ordering::Relaxed);
        self.says.fetch_add(frees, Ordering::Relaxed);
        Local.rename(folder, name)
    }
}

/// A folder that goes with the test.
struct Bench {
    folder: PathBuf,
    clock: Clock,
}

impl Bench {
    fn new() -> Bench {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("forebay-record-{}-{number}", std::process::id());
        Bench {
            folder: std::env::temp_dir().join(name),
            clock: Clock::simulated(EPOCH),
        }
    }

    fn config(&self) -> Config {
        Config {
            folder: self.folder.clone(),
            keep: None,
            least_free_bytes: 0,
            make_room: false,
        }
    }

    fn library(&self) -> Library {
        self.library_with(self.config(), Arc::new(Local))
    }

    fn library_with(&self, config: Config, disk: Arc<dyn Disk>) -> Library {
        Library::open(config, disk, self.clock.clone()).unwrap()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

fn follow(library: &Library, number: u128, window: &Arc<Window>) -> Follower {
    let about = About {
        id: id(number),
        channel_id: "local#app#live".to_owned(),
        alias: "live".to_owned(),
        name: "Live".to_owned(),
        capabilities: vec!["on-demand".to_owned()],
        tags: Vec::new(),
        epoch: EPOCH,
        target_duration_s: 0,
        segment_target: Duration::ZERO,
        started: library.now(),
    };
    let ended = window.clone();
    let ended = Box::new(move || ended.ended.load(Ordering::Relaxed));
    library.follower(about, window.clone(), ended)
}

/// A recording from its first segment to its end.
fn record(library: &Library, number: u128, segments: u64) {
    let window = Window::new(1000);
    let mut follower = follow(library, number, &window);
    window.pass(0..segments);
    assert!(!follower.round());
    window.end();
    assert!(follower.round());
}

/// What players are told of a recording: both playlists and the MPD, which keep every rule.
async fn lists(library: &Library, number: u128) -> (Media, Media, String) {
    let vod = library.timeline(id(number)).expect("it has ended");
    vod.changed("", 0).await;
    let description = vod.description().unwrap();
    let snapshots = ["source", "audio"].map(|name| vod.snapshot(name).unwrap());
    let texts = snapshots
        .each_ref()
        .map(|snapshot| hls::media(snapshot, None));
    for text in &texts {
        assert_eq!(check_media_playlist(text, None), [], "{text}");
    }
    let named = [
        ("source/index.m3u8", &*texts[0]),
        ("audio/index.m3u8", &*texts[1]),
    ];
    assert_eq!(check_renditions(&named), []);
    let mut periods = dash::Periods::default();
    let mode = dash::Mode::Standard;
    let mpd = dash::mpd(&description, &snapshots, mode, &mut periods, "/time").unwrap();
    assert_eq!(check_mpd(&mpd, None), [], "{mpd}");
    let [video, audio] = texts.map(|text| Media::parse(&text).unwrap());
    (video, audio, mpd)
}

async fn fetch(library: &Library, number: u128, resource: Resource<'_>) -> Option<Vec<u8>> {
    let vod = library.timeline(id(number))?;
    let Found::Stored(stored) = vod.find("source", resource) else {
        return None;
    };
    Some(read(&*stored.open().await.unwrap()?).await)
}

/// What a server that is killed leaves: ten segments of recording 1.
fn leave_ten_segments(bench: &Bench) {
    let library = bench.library();
    let window = Window::new(1000);
    let mut follower = follow(&library, 1, &window);
    window.pass(0..10);
    follower.round();
}

async fn read(blob: &dyn Blob) -> Vec<u8> {
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < blob.size() {
        let piece = blob.read(bytes.len() as u64).await.unwrap();
        assert!(!piece.is_empty());
        bytes.extend(piece);
    }
    bytes
}
