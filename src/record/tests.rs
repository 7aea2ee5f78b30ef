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
}

impl Small {
    fn new(room: u64) -> Arc<Small> {
        Arc::new(Small {
            room: AtomicU64::new(room),
            says: AtomicU64::new(u64::MAX),
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

async fn read(blob: &dyn Blob) -> Vec<u8> {
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < blob.size() {
        let piece = blob.read(bytes.len() as u64).await.unwrap();
        assert!(!piece.is_empty());
        bytes.extend(piece);
    }
    bytes
}

#[tokio::test]
async fn segments_are_kept_byte_by_byte_and_listed_from_the_first_to_the_last() {
    let bench = Bench::new();
    let library = bench.library();
    let window = Window::new(1000);
    let mut follower = follow(&library, 1, &window);
    for sequence in 0..20 {
        window.pass(sequence..sequence + 1);
        follower.round();
    }
    assert!(library.timeline(id(1)).is_none(), "it is being made");
    assert_eq!(library.delete(id(1)), Err(Refusal::Busy));
    let live = window.snapshot("source").unwrap();
    window.end();
    assert!(follower.round());
    let (video, audio, mpd) = lists(&library, 1).await;
    assert_eq!((video.segments.len(), audio.segments.len()), (20, 20));
    assert!(mpd.contains("mediaPresentationDuration=\"PT40S\""), "{mpd}");
    for segment in &live.segments {
        let kept = fetch(&library, 1, Resource::Segment(segment.sequence)).await;
        let bytes: Vec<u8> = segment
            .parts
            .iter()
            .flat_map(|p| p.bytes.to_vec())
            .collect();
        assert_eq!(kept.unwrap(), bytes);
    }
    let init = &live.segments[0].init;
    let kept = fetch(&library, 1, Resource::Init(&init.name)).await;
    assert_eq!(kept.unwrap(), init.bytes);
    let summary = library.get(id(1)).unwrap();
    assert_eq!(summary.outcome, Outcome::Complete);
    assert_eq!(summary.duration, Duration::from_secs(40));
    let on_disk: u64 = ["source.mp4", "audio.mp4", "index"]
        .map(|name| bench.folder.join(id(1).to_string()).join(name))
        .map(|path| std::fs::metadata(path).unwrap().len())
        .iter()
        .sum();
    assert_eq!(summary.bytes, on_disk);
    // The next start finds it as it is.
    assert_eq!(bench.library().get(id(1)), Some(summary));
}

#[tokio::test]
async fn what_left_the_window_before_it_was_written_is_a_stated_gap() {
    let bench = Bench::new();
    let library = bench.library();
    let window = Window::new(5);
    let mut follower = follow(&library, 1, &window);
    window.pass(100..105);
    follower.round();
    // The disk hangs for forty seconds.
    window.pass(105..125);
    follower.round();
    window.end();
    follower.round();
    let (video, ..) = lists(&library, 1).await;
    assert_eq!(video.first_sequence(), 100);
    assert_eq!(video.segments.len(), 25);
    let gaps: Vec<u64> = video
        .numbered()
        .filter(|(_, segment)| segment.gap)
        .map(|(number, _)| number)
        .collect();
    assert_eq!(gaps, (105..120).collect::<Vec<u64>>());
    assert_eq!(library.get(id(1)).unwrap().missed, 30);
    assert_eq!(fetch(&library, 1, Resource::Segment(110)).await, None);
}

#[tokio::test]
async fn a_rendition_that_joins_late_is_a_gap_before_and_takes_nothing_from_the_others() {
    let bench = Bench::new();
    let library = bench.library();
    let window = Window::new(1000);
    let sound = window.renditions.lock().unwrap().remove("audio").unwrap();
    let mut follower = follow(&library, 1, &window);
    window.pass(0..5);
    follower.round();
    window.renditions.lock().unwrap().insert("audio", sound);
    window.pass(5..10);
    window.end();
    follower.round();
    let (video, audio, mpd) = lists(&library, 1).await;
    assert_eq!((video.segments.len(), audio.segments.len()), (10, 10));
    assert!(audio.segments[..5].iter().all(|segment| segment.gap));
    assert!(mpd.contains("mediaPresentationDuration=\"PT20S\""), "{mpd}");
}

#[tokio::test]
async fn a_changed_configuration_is_a_discontinuity_and_another_part_of_the_movie() {
    let bench = Bench::new();
    let library = bench.library();
    let window = Window::new(1000);
    let mut follower = follow(&library, 1, &window);
    window.pass(0..3);
    window.change(3);
    window.pass(4..8);
    window.end();
    follower.round();
    let (video, audio, mpd) = lists(&library, 1).await;
    assert!(video.segments[3].discontinuity && audio.segments[3].discontinuity);
    assert_ne!(video.segments[3].map, video.segments[0].map);
    assert_eq!(mpd.matches("<Period ").count(), 2, "{mpd}");
    let mut boxes = Vec::new();
    for part in [1, 2] {
        let movie = library.movie(id(1), None, part).await.unwrap().unwrap();
        assert_eq!(movie.parts, 2);
        let bytes = read(&movie).await;
        // What is read from anywhere is the same file.
        for from in (0..movie.size()).step_by(97) {
            let piece = movie.read(from).await.unwrap();
            let at = usize::try_from(from).unwrap();
            assert_eq!(piece, bytes[at..at + piece.len()]);
        }
        boxes.push(bytes.windows(4).filter(|kind| kind == b"moof").count());
    }
    // Two fragments a segment, two tracks.
    assert_eq!(boxes, [12, 20]);
    assert_eq!(library.parts(id(1)).await.unwrap(), Some(2));
    assert!(library.movie(id(1), None, 3).await.unwrap().is_none());
    assert!(library.movie(id(1), None, 0).await.unwrap().is_none());
    assert!(
        library
            .movie(id(1), Some("none"), 1)
            .await
            .unwrap()
            .is_none()
    );
    let sound = library
        .movie(id(1), Some("audio"), 1)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(sound.parts, 1);
}

#[tokio::test]
async fn another_part_of_the_movie_begins_after_twelve_hours() {
    let bench = Bench::new();
    let library = bench.library();
    let window = Window::new(1000);
    let mut follower = follow(&library, 1, &window);
    // To the end of the twelfth hour, and one more.
    window.pass(0..2);
    window.pass(21_599..21_601);
    window.end();
    follower.round();
    assert_eq!(library.parts(id(1)).await.unwrap(), Some(2));
    let last = library.movie(id(1), None, 2).await.unwrap().unwrap();
    let bytes = read(&last).await;
    let moofs = bytes.windows(4).filter(|kind| kind == b"moof").count();
    assert_eq!(moofs, 4, "a segment of both tracks");
}

#[tokio::test]
async fn the_header_of_a_movie_is_made_once_and_the_file_is_the_same_again() {
    let bench = Bench::new();
    let library = bench.library();
    record(&library, 1, 10);
    let first = library.movie(id(1), None, 1).await.unwrap().unwrap();
    let kept = bench.folder.join(id(1).to_string()).join("source-1.moov");
    let header = std::fs::read(&kept).unwrap();
    let bytes = read(&first).await;
    assert_eq!(bytes[..header.len()], header);
    let again = library.movie(id(1), None, 1).await.unwrap().unwrap();
    assert_eq!(read(&again).await, bytes);
    // Where it cannot be kept it is made again.
    std::fs::remove_file(&kept).unwrap();
    std::fs::create_dir(kept.with_extension("moov.new")).unwrap();
    let made = library.movie(id(1), None, 1).await.unwrap().unwrap();
    assert_eq!(read(&made).await, bytes);
    assert!(!kept.exists());
}

#[tokio::test]
async fn a_damaged_segment_is_an_error_of_the_download() {
    let bench = Bench::new();
    let library = bench.library();
    record(&library, 1, 10);
    let media = bench.folder.join(id(1).to_string()).join("source.mp4");
    let mut bytes = std::fs::read(&media).unwrap();
    let at = bytes.windows(4).position(|kind| kind == b"moof").unwrap();
    for size in [0_u32, 3, u32::MAX] {
        bytes[at - 4..at].copy_from_slice(&size.to_be_bytes());
        std::fs::write(&media, &bytes).unwrap();
        assert!(library.movie(id(1), None, 1).await.is_err());
    }
}

#[tokio::test]
async fn after_a_kill_a_recording_is_what_its_index_says() {
    let bench = Bench::new();
    {
        let library = bench.library();
        let window = Window::new(1000);
        let mut follower = follow(&library, 1, &window);
        window.pass(0..10);
        follower.round();
    }
    let folder = bench.folder.join(id(1).to_string());
    let index = std::fs::read(folder.join("index")).unwrap();
    let media = std::fs::read(folder.join("source.mp4")).unwrap();
    let sound = std::fs::metadata(folder.join("audio.mp4")).unwrap().len();
    // Killed at any byte of the index, in front of any byte of the media.
    for cut in [0, 7, 100, index.len() / 2, index.len() - 1, index.len()] {
        for lost in [0, 1, media.len() / 2, media.len()] {
            let mut torn = index[..cut].to_vec();
            torn.extend(vec![0xa5; cut % 13]);
            std::fs::write(folder.join("index"), torn).unwrap();
            std::fs::write(folder.join("source.mp4"), &media[..media.len() - lost]).unwrap();
            let _ = std::fs::remove_file(folder.join("end.json"));
            let library = bench.library();
            library.settle();
            let Some(summary) = library.get(id(1)) else {
                panic!("cut at {cut}: the recording is gone")
            };
            assert!(matches!(summary.outcome, Outcome::Cut(_)), "{summary:?}");
            let vod = library.timeline(id(1)).unwrap();
            vod.changed("", 0).await;
            if let Some(snapshot) = vod.snapshot("source") {
                let text = hls::media(&snapshot, None);
                assert_eq!(check_media_playlist(&text, None), [], "{text}");
                for segment in snapshot.segments.iter().filter(|segment| !segment.gap) {
                    let kept = fetch(&library, 1, Resource::Segment(segment.sequence)).await;
                    assert!(
                        kept.is_some_and(|bytes| media.windows(bytes.len()).any(|w| w == bytes))
                    );
                }
            } else {
                assert!(
                    cut < index.len() / 2 || lost > 1,
                    "cut at {cut}, {lost} lost"
                );
            }
        }
    }
    assert_eq!(
        sound,
        std::fs::metadata(folder.join("audio.mp4")).unwrap().len()
    );
}

#[tokio::test]
async fn a_stream_that_goes_on_after_a_kill_goes_on_in_its_recording() {
    let bench = Bench::new();
    let window = Window::new(1000);
    {
        let library = bench.library();
        let mut follower = follow(&library, 1, &window);
        window.pass(0..5);
        follower.round();
    }
    // Half of a record, and media that nobody knows of.
    let folder = bench.folder.join(id(1).to_string());
    for name in ["index", "source.mp4"] {
        let mut bytes = std::fs::read(folder.join(name)).unwrap();
        bytes.extend([0, 0, 0, 40, 1, 2, 3]);
        std::fs::write(folder.join(name), bytes).unwrap();
    }
    let library = bench.library();
    let window = Window::new(1000);
    window.pass(7..7);
    let mut follower = follow(&library, 1, &window);
    library.settle();
    assert!(library.get(id(1)).unwrap().ended.is_none(), "it goes on");
    for row in window.renditions.lock().unwrap().values_mut() {
        row.add(8, true, 1000);
    }
    window.pass(9..12);
    follower.round();
    window.end();
    follower.round();
    assert_eq!(library.get(id(1)).unwrap().outcome, Outcome::Complete);
    let (video, ..) = lists(&library, 1).await;
    assert_eq!(video.segments.len(), 12);
    assert!(video.segments[5..8].iter().all(|segment| segment.gap));
    assert!(video.segments[8].discontinuity);
    for sequence in [0, 4, 8, 11] {
        let kept = fetch(&library, 1, Resource::Segment(sequence))
            .await
            .unwrap();
        assert_eq!(&kept[4..8], b"moof", "segment {sequence}");
    }
}

#[tokio::test]
async fn a_full_disk_stops_the_recording_and_room_lets_it_go_on() {
    let bench = Bench::new();
    let disk = Small::new(20_000);
    let library = bench.library_with(bench.config(), disk.clone());
    let window = Window::new(1000);
    let mut follower = follow(&library, 1, &window);
    window.pass(0..30);
    assert!(!follower.round(), "the stream goes on");
    let paused = library.get(id(1)).unwrap();
    assert_eq!(paused.outcome, Outcome::Paused("disk full".to_owned()));
    disk.room.store(1 << 20, Ordering::Relaxed);
    window.pass(30..40);
    follower.round();
    assert_eq!(library.get(id(1)).unwrap().outcome, Outcome::Recording);
    window.end();
    follower.round();
    let (video, audio, _) = lists(&library, 1).await;
    assert_eq!((video.segments.len(), audio.segments.len()), (40, 40));
    assert!(video.segments.iter().all(|segment| !segment.gap));
    for sequence in 0..40 {
        let kept = fetch(&library, 1, Resource::Segment(sequence))
            .await
            .unwrap();
        assert_eq!(&kept[4..8], b"moof", "segment {sequence}");
    }
}

#[tokio::test]
async fn a_recording_whose_stream_ends_on_a_full_disk_says_so_and_plays() {
    let bench = Bench::new();
    let disk = Small::new(1 << 20);
    let config = Config {
        least_free_bytes: 10_000,
        ..bench.config()
    };
    let library = bench.library_with(config, disk.clone());
    let window = Window::new(1000);
    let mut follower = follow(&library, 1, &window);
    window.pass(0..5);
    follower.round();
    disk.says.store(9_999, Ordering::Relaxed);
    window.pass(5..10);
    follower.round();
    window.end();
    assert!(follower.round());
    let summary = library.get(id(1)).unwrap();
    let reason = summary.outcome.reason().unwrap();
    assert_eq!(reason, "disk full: 9999 bytes free, 10000 are to stay so");
    assert_eq!(summary.outcome.word(), "cut");
    let (video, ..) = lists(&library, 1).await;
    assert_eq!(video.segments.len(), 5);
}

#[tokio::test]
async fn the_oldest_complete_recordings_make_room_only_where_that_is_set() {
    for make_room in [false, true] {
        let bench = Bench::new();
        let disk = Small::new(1 << 20);
        let config = Config {
            least_free_bytes: 10_000,
            make_room,
            ..bench.config()
        };
        let library = bench.library_with(config, disk.clone());
        for number in [1, 2] {
            record(&library, number, 3);
            bench.clock.advance(Duration::from_secs(60));
        }
        let window = Window::new(1000);
        let mut follower = follow(&library, 3, &window);
        window.pass(0..3);
        follower.round();
        disk.says.store(5_000, Ordering::Relaxed);
        window.pass(3..6);
        follower.round();
        let left: Vec<Uuid> = library
            .list(None, None, 10)
            .iter()
            .map(|summary| summary.about.id)
            .collect();
        match make_room {
            // Deleting does not help here, but what is being made is never deleted.
            true => assert_eq!(left, [id(3)]),
            false => assert_eq!(left, [id(3), id(2), id(1)]),
        }
    }
}

#[tokio::test]
async fn recordings_are_deleted_after_so_many_days() {
    let bench = Bench::new();
    let config = Config {
        keep: Some(Duration::from_secs(3 * 86_400)),
        ..bench.config()
    };
    let library = bench.library_with(config, Arc::new(Local));
    record(&library, 1, 2);
    bench.clock.advance(Duration::from_secs(2 * 86_400));
    record(&library, 2, 2);
    library.sweep();
    assert_eq!(library.list(None, None, 10).len(), 2);
    bench.clock.advance(Duration::from_secs(86_401));
    library.sweep();
    let left = library.list(None, None, 10);
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].about.id, id(2));
    assert!(!bench.folder.join(id(1).to_string()).exists());
}

#[tokio::test]
async fn who_reads_a_recording_that_is_deleted_reads_to_the_end() {
    let bench = Bench::new();
    let library = bench.library();
    record(&library, 1, 50);
    let movie = library.movie(id(1), None, 1).await.unwrap().unwrap();
    let whole = read(&movie).await;
    let vod = library.timeline(id(1)).unwrap();
    let Found::Stored(stored) = vod.find("source", Resource::Segment(3)) else {
        panic!("it is stored");
    };
    let segment = stored.open().await.unwrap().unwrap();
    library.delete(id(1)).unwrap();
    assert_eq!(read(&movie).await, whole);
    assert_eq!(read(&*segment).await.len() as u64, segment.size());
    assert!(stored.open().await.unwrap().is_none(), "nobody comes after");
    assert!(library.timeline(id(1)).is_none());
    assert_eq!(library.delete(id(1)), Err(Refusal::Unknown));
    assert_eq!(std::fs::read_dir(&bench.folder).unwrap().count(), 0);
}

#[test]
fn a_deletion_that_was_interrupted_is_finished_at_the_next_start() {
    let bench = Bench::new();
    let left = bench.folder.join(format!(".deleted-{}", id(1)));
    std::fs::create_dir_all(&left).unwrap();
    std::fs::write(left.join("source.mp4"), b"media").unwrap();
    let library = bench.library();
    assert!(!left.exists());
    assert!(library.list(None, None, 10).is_empty());
}

#[tokio::test]
async fn a_list_goes_on_where_the_last_page_ended() {
    let bench = Bench::new();
    let library = bench.library();
    for number in 1..=5 {
        record(&library, number, 1);
        bench.clock.advance(Duration::from_secs(1));
    }
    let ids = |page: Vec<Summary>| -> Vec<Uuid> { page.iter().map(|s| s.about.id).collect() };
    let first = ids(library.list(None, None, 2));
    assert_eq!(first, [id(5), id(4)]);
    assert_eq!(
        ids(library.list(None, first.last().copied(), 2)),
        [id(3), id(2)]
    );
    assert_eq!(library.list(Some("local#app#other"), None, 2), []);
}

#[tokio::test]
async fn indexes_of_many_recordings_are_not_all_held_and_come_back() {
    let bench = Bench::new();
    let library = bench.library();
    for number in 0..20 {
        record(&library, number, 2);
    }
    for number in 0..20 {
        lists(&library, number).await;
    }
    let held = (0..20).filter(|number| {
        let vod = library.timeline(id(*number)).unwrap();
        vod.description().is_some()
    });
    assert_eq!(held.count(), 16);
    assert!(fetch(&library, 0, Resource::Segment(1)).await.is_some());
    lists(&library, 1).await;
}

#[tokio::test]
async fn twelve_hours_are_listed_whole() {
    let bench = Bench::new();
    let library = bench.library();
    let window = Window::new(10);
    let mut follower = follow(&library, 1, &window);
    for minute in 0..12 * 60 {
        let first = minute * 30;
        for ten in 0..3 {
            window.pass(first + ten * 10..first + ten * 10 + 10);
            follower.round();
        }
    }
    window.end();
    follower.round();
    let (video, audio, mpd) = lists(&library, 1).await;
    assert_eq!(
        (video.segments.len(), audio.segments.len()),
        (21_600, 21_600)
    );
    assert!(
        mpd.contains("mediaPresentationDuration=\"PT43200S\""),
        "{mpd}"
    );
    assert!(mpd.len() < 10_000, "equal segments are one entry");
    let movie = library.movie(id(1), None, 1).await.unwrap().unwrap();
    assert_eq!(movie.parts, 1);
    let last = movie.read(movie.size() - 1).await.unwrap();
    assert_eq!(last.len(), 1);
    let scale = Timescale::of(48_000);
    assert_eq!(
        rescale(Ticks(48_000), scale, Timescale::MILLIS),
        Ticks(1000)
    );
}

/// A database that can be down.
#[derive(Default)]
struct Rows {
    rows: Mutex<BTreeMap<Uuid, Summary>>,
    down: AtomicBool,
}

impl Catalog for Rows {
    fn changed<'a>(&'a self, summary: &'a Summary) -> Pending<'a> {
        let down = self.down.load(Ordering::Relaxed);
        if !down {
            let mut rows = self.rows.lock().unwrap();
            rows.insert(summary.about.id, summary.clone());
        }
        Box::pin(std::future::ready(!down))
    }

    fn deleted(&self, id: Uuid) -> Pending<'_> {
        self.rows.lock().unwrap().remove(&id);
        Box::pin(std::future::ready(true))
    }
}

#[tokio::test]
async fn rows_follow_what_is_in_the_folder() {
    let bench = Bench::new();
    let library = bench.library();
    let rows = Rows::default();
    let window = Window::new(1000);
    let mut follower = follow(&library, 1, &window);
    window.pass(0..5);
    follower.round();
    library.tell(&rows).await;
    let outcome = |rows: &Rows, number| {
        let rows = rows.rows.lock().unwrap();
        rows.get(&id(number)).map(|row| row.outcome.clone())
    };
    assert_eq!(outcome(&rows, 1), Some(Outcome::Recording));
    window.end();
    follower.round();
    library.tell(&rows).await;
    assert_eq!(outcome(&rows, 1), Some(Outcome::Complete));
    assert_eq!(
        rows.rows.lock().unwrap()[&id(1)],
        library.get(id(1)).unwrap()
    );
    // A database that was lost is written anew at the next start.
    let library = bench.library();
    let rows = Rows::default();
    library.tell(&rows).await;
    assert_eq!(outcome(&rows, 1), Some(Outcome::Complete));
    library.delete(id(1)).unwrap();
    library.tell(&rows).await;
    assert_eq!(outcome(&rows, 1), None);
}

#[tokio::test(start_paused = true)]
async fn a_row_that_could_not_be_written_is_written_a_minute_later() {
    let bench = Bench::new();
    let library = bench.library();
    let rows = Arc::new(Rows::default());
    let tasks = crate::base::shutdown::Tasks::new();
    rows.down.store(true, Ordering::Relaxed);
    record(&library, 1, 2);
    tasks.spawn(library.clone().run(rows.clone(), tasks.clone()));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(rows.rows.lock().unwrap().is_empty());
    rows.down.store(false, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(rows.rows.lock().unwrap().len(), 1);
    tasks.finish().await;
}
