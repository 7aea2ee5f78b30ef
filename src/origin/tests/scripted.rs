//! The second implementation of [`Timeline`]: parts come when the test says so.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::thread::ThreadId;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;

use crate::base::clock::Wall;
use crate::base::id::Uuid;
use crate::hub::gate::Pending;
use crate::media::codec::{aac, avc};
use crate::media::timeline::{
    Description, Found, Init, Part, Progress, Report, Resource, Rules, Segment, Snapshot, Timeline,
    Wait,
};
use crate::media::{CodecConfig, Rendition, RenditionId, Ticks, Timescale, Track};
use crate::origin::Streams;

/// Media sequence of the first segment.
pub(crate) const FIRST: u64 = 100;

pub(crate) struct Scripted {
    state: Mutex<State>,
    bell: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    description: Option<Arc<Description>>,
    renditions: BTreeMap<&'static str, Content>,
    rendered: u64,
    /// Where the last snapshot was asked for.
    rendered_on: Option<ThreadId>,
    is_recording: bool,
}

struct Content {
    rendition: Arc<Rendition>,
    init: Arc<Init>,
    version: u64,
    segments: Vec<Segment>,
    next_part: u64,
    now: Ticks,
    ended: bool,
}

pub(crate) fn rules() -> Rules {
    Rules {
        epoch: Wall(1_700_000_000_000_000),
        target_duration_s: 3,
        part_target: Duration::from_micros(213_400),
        part_hold_back: Duration::from_micros(640_200),
        hold_back: Duration::from_secs(9),
        can_skip_until: Duration::from_secs(18),
        segment_target: Duration::from_secs(2),
        window: Duration::from_secs(180),
        independent_segments: true,
    }
}

fn video() -> Rendition {
    rendition(
        0,
        "source",
        CodecConfig::Avc(avc::Config {
            record: Bytes::new(),
            width: 1280,
            height: 720,
            frame_rate_millis: Some(25_000),
            nal_length_size: 4,
            profile: 100,
            compatibility: 0,
            level: 31,
            chroma_format: 1,
            bit_depth: 8,
            interlaced: false,
            pixel_aspect: None,
            colour: None,
            max_reorder_frames: None,
        }),
        90_000,
    )
}

fn audio() -> Rendition {
    rendition(
        1,
        "audio",
        CodecConfig::Aac(aac::Config {
            record: Bytes::new(),
            sample_rate: 48_000,
            channels: 2,
            frame_samples: 1024,
            object_type: 2,
            core_sample_rate: 48_000,
            channel_configuration: 2,
        }),
        48_000,
    )
}

fn rendition(id: u8, name: &str, config: CodecConfig, scale: u32) -> Rendition {
    Rendition {
        id: RenditionId(id),
        name: name.into(),
        track: Arc::new(Track {
            config,
            timescale: Timescale::of(scale),
        }),
        peak_bps: 2_500_000,
        average_bps: 2_000_000,
        frame_rate_millis: 25_000,
        source: true,
    }
}

impl Scripted {
    pub(crate) fn new() -> Arc<Scripted> {
        Arc::new(Scripted {
            state: Mutex::default(),
            bell: watch::channel(0).0,
        })
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.state.lock().unwrap());
        self.bell.send_modify(|rings| *rings += 1);
        result
    }

    /// Decides the multivariant playlist: video and audio.
    pub(crate) fn describe(&self) {
        self.change(|state| {
            state.description = Some(Arc::new(Description {
                version: 1,
                rules: rules(),
                video: vec![Arc::new(video())],
                audio: vec![Arc::new(audio())],
                leaving: Vec::new(),
                ended: false,
            }));
        });
    }

    /// Adds 200 ms to the growing segment of a rendition, or begins one.
    pub(crate) fn part(&self, name: &'static str, bytes: impl Into<Bytes>) {
        let bytes = bytes.into();
        self.change(|state| {
            let rendition = if name == "audio" { audio() } else { video() };
            let content = state.renditions.entry(name).or_insert_with(|| Content {
                init: Arc::new(Init {
                    name: format!("init-{name}.mp4"),
                    bytes: format!("init of {name}").into(),
                    track: rendition.track.clone(),
                }),
                rendition: Arc::new(rendition),
                version: 0,
                segments: Vec::new(),
                next_part: 0,
                now: Ticks::ZERO,
                ended: false,
            });
            content.add(bytes);
        });
    }

    /// Completes the growing segment of a rendition.
    pub(crate) fn cut(&self, name: &'static str) {
        self.change(|state| {
            let content = state.renditions.get_mut(name).unwrap();
            content.segments.last_mut().unwrap().complete = true;
            content.version += 1;
        });
    }

    /// Ten parts, each named after its number, and a cut.
    pub(crate) fn segment(&self, name: &'static str) {
        for _ in 0..10 {
            let number = self.progress(name).map_or(0, |progress| progress.next_part);
            self.part(name, format!("[{name} {number}]"));
        }
        self.cut(name);
    }

    /// Drops the oldest segment.
    pub(crate) fn slide(&self, name: &'static str) {
        self.change(|state| {
            let content = state.renditions.get_mut(name).unwrap();
            content.segments.remove(0);
            content.version += 1;
        });
    }

    pub(crate) fn end(&self) {
        self.change(|state| {
            for content in state.renditions.values_mut() {
                content.ended = true;
                content.version += 1;
            }
            if let Some(description) = &state.description {
                let mut description = Description::clone(description);
                description.ended = true;
                description.version += 1;
                state.description = Some(Arc::new(description));
            }
        });
    }

    /// Makes a recording of it, as which it has ended.
    pub(crate) fn keep(&self) {
        self.end();
        self.change(|state| {
            state.is_recording = true;
            let description = Description::clone(state.description.as_ref().unwrap());
            state.description = Some(Arc::new(Description {
                rules: state.rules(),
                ..description
            }));
        });
    }

    /// As if it had never been described.
    pub(crate) fn forget(&self) {
        self.change(|state| state.description = None);
    }

    /// Where the last snapshot was asked for.
    pub(crate) fn rendered_on(&self) -> Option<ThreadId> {
        self.state.lock().unwrap().rendered_on
    }

    /// How many snapshots were asked for.
    pub(crate) fn rendered(&self) -> u64 {
        self.state.lock().unwrap().rendered
    }
}

impl State {
    fn rules(&self) -> Rules {
        let part_target = match self.is_recording {
            true => Duration::ZERO,
            false => rules().part_target,
        };
        Rules {
            part_target,
            ..rules()
        }
    }
}

impl Content {
    fn add(&mut self, bytes: Bytes) {
        let scale = self.rendition.track.timescale;
        let duration = Ticks(i64::from(scale.get()) / 5);
        if self.segments.last().is_none_or(|last| last.complete) {
            let sequence = self.segments.last().map_or(FIRST, |last| last.sequence + 1);
            let wall = crate::media::time::wall_time(self.now, scale, rules().epoch);
            self.segments.push(Segment {
                sequence,
                start: self.now,
                duration: Ticks::ZERO,
                discontinuity: false,
                discontinuity_sequence: 0,
                gap: false,
                independent: true,
                complete: false,
                init: self.init.clone(),
                parts: Vec::new(),
                program_date_time: wall,
            });
        }
        let segment = self.segments.last_mut().unwrap();
        segment.parts.push(Arc::new(Part {
            number: self.next_part,
            start: self.now,
            duration,
            independent: segment.parts.is_empty(),
            bytes,
        }));
        segment.duration += duration;
        self.now += duration;
        self.next_part += 1;
        self.version += 1;
    }

    fn progress(&self) -> Progress {
        let last = self.segments.last().unwrap();
        Progress {
            version: self.version,
            last_sequence: last.sequence,
            last_complete: last.complete,
            last_parts: u32::try_from(last.parts.len()).unwrap(),
            next_part: self.next_part,
            begun: self
                .segments
                .iter()
                .any(|segment| segment.complete && !segment.gap),
            ended: self.ended,
        }
    }
}

impl Timeline for Scripted {
    fn description(&self) -> Option<Arc<Description>> {
        self.state.lock().unwrap().description.clone()
    }

    fn snapshot(&self, rendition: &str) -> Option<Arc<Snapshot>> {
        let mut state = self.state.lock().unwrap();
        state.rendered += 1;
        state.rendered_on = Some(std::thread::current().id());
        let others = state
            .renditions
            .iter()
            .filter(|(name, _)| **name != rendition);
        let reports = others.map(|(name, content)| {
            let progress = content.progress();
            Report {
                name: (*name).into(),
                last_sequence: progress.last_sequence,
                last_part: progress.last_parts.checked_sub(1),
            }
        });
        let reports = reports.collect();
        let content = state.renditions.get(rendition)?;
        Some(Arc::new(Snapshot {
            version: content.version,
            rendition: content.rendition.clone(),
            rules: state.rules(),
            segments: content.segments.iter().cloned().map(Arc::new).collect(),
            next_part: content.next_part,
            reports,
            ended: content.ended,
            stopped: false,
            scheduled: None,
        }))
    }

    fn progress(&self, rendition: &str) -> Option<Progress> {
        let state = self.state.lock().unwrap();
        state.renditions.get(rendition).map(Content::progress)
    }

    fn find(&self, rendition: &str, resource: Resource<'_>) -> Found {
        let state = self.state.lock().unwrap();
        let Some(content) = state.renditions.get(rendition) else {
            return Found::Missing;
        };
        let bytes = |segment: &Segment| -> Vec<Bytes> {
            segment
                .parts
                .iter()
                .map(|part| part.bytes.clone())
                .collect()
        };
        match resource {
            Resource::Init(name) if name == content.init.name => {
                Found::Whole(vec![content.init.bytes.clone()])
            }
            Resource::Init(_) => Found::Missing,
            Resource::Segment(sequence) => {
                let mut segments = content.segments.iter();
                match segments.find(|segment| segment.sequence == sequence) {
                    Some(segment) if segment.complete => Found::Whole(bytes(segment)),
                    Some(segment) => Found::Growing(bytes(segment)),
                    None if content.ended => Found::Missing,
                    None if sequence == content.progress().last_sequence + 1 => Found::Announced,
                    None => Found::Missing,
                }
            }
            Resource::Part(number) => {
                let mut parts = content.segments.iter().flat_map(|segment| &segment.parts);
                match parts.find(|part| part.number == number) {
                    Some(part) => Found::Whole(vec![part.bytes.clone()]),
                    None if number == content.next_part && !content.ended => Found::Announced,
                    None => Found::Missing,
                }
            }
        }
    }

    fn changed<'a>(&'a self, rendition: &'a str, seen: u64) -> Wait<'a> {
        Box::pin(async move {
            let mut bell = self.bell.subscribe();
            let changed = |_: &u64| {
                let state = self.state.lock().unwrap();
                let version = match state.renditions.get(rendition) {
                    Some(content) => content.version,
                    None => state.description.as_ref().map_or(0, |known| known.version),
                };
                version != seen
            };
            let _ = bell.wait_for(changed).await;
        })
    }
}

/// Id of its broadcast.
pub(crate) const BROADCAST: &str = "0f8fad5b-d9cb-469f-a165-70867728950e";

/// One stream under an id, the alias `live`, and the ids of a broadcast.
pub(crate) struct OneStream {
    pub(crate) id: Uuid,
    pub(crate) timeline: Mutex<Option<Arc<Scripted>>>,
}

impl Streams for OneStream {
    fn timeline(&self, id: Uuid) -> Option<Arc<dyn Timeline>> {
        let timeline = self.timeline.lock().unwrap().clone()?;
        (id == self.id).then_some(timeline as Arc<dyn Timeline>)
    }

    fn find<'a>(&'a self, name: &'a str) -> Pending<'a, Option<Uuid>> {
        let is_known = ["live", "eu#app#live", "r5", BROADCAST].contains(&name)
            || Uuid::try_parse(name) == Ok(self.id);
        Box::pin(std::future::ready(is_known.then_some(self.id)))
    }

    fn ids(&self) -> Vec<Uuid> {
        vec![self.id]
    }

    fn thumbnail(&self, id: Uuid) -> Option<Bytes> {
        (id == self.id).then(|| Bytes::from_static(b"a jpeg"))
    }
}
