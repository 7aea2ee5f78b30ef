//! A fork's timeline: its source's, until the fork ends alone. Then what players were told so far is all
//! there is, with an end, while the source goes on.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use tokio::sync::watch;

use crate::media::timeline::{
    Description, Found, Progress, Report, Resource, Segment, Snapshot, Timeline, Wait,
};

/// Sizes of segments that ended forks hold: by where their source lies in memory, rendition and number.
pub(super) type Kept = HashMap<(usize, Arc<str>, u64), usize>;

/// See the module.
pub(super) struct Fence {
    source: Arc<dyn Timeline>,
    /// Read-locked while the source is asked, so that nobody is told anything past the end. Locked before
    /// what the source locks.
    frozen: RwLock<Option<Frozen>>,
    /// Whether `frozen` is set.
    closed: watch::Sender<bool>,
}

/// What was there when the fork ended.
struct Frozen {
    description: Option<Arc<Description>>,
    renditions: HashMap<Arc<str>, (Arc<Snapshot>, Progress)>,
}

impl Fence {
    pub(super) fn new(source: Arc<dyn Timeline>) -> Arc<Fence> {
        Arc::new(Fence {
            source,
            frozen: RwLock::new(None),
            closed: watch::channel(false).0,
        })
    }

    /// Ends the fork: nothing is added, and those who wait are told.
    pub(super) fn close(&self) {
        let mut frozen = self.frozen.write().unwrap_or_else(PoisonError::into_inner);
        frozen.get_or_insert_with(|| Frozen::new(&*self.source));
        drop(frozen);
        self.closed.send_replace(true);
    }

    /// Adds what the fork holds and its source has let go of. Forks of one source hold the same segments.
    pub(super) fn keep(&self, kept: &mut Kept) {
        let frozen = self.frozen();
        let source = Arc::as_ptr(&self.source).cast::<()>().addr();
        for (name, (snapshot, _)) in frozen.iter().flat_map(|frozen| &frozen.renditions) {
            let media = snapshot.segments.iter().filter(|segment| !segment.gap);
            for segment in media {
                let resource = Resource::Segment(segment.sequence);
                if !matches!(self.source.find(name, resource), Found::Missing) {
                    // It lets go of the oldest first.
                    break;
                }
                let size = kept
                    .entry((source, name.clone(), segment.sequence))
                    .or_default();
                *size = segment.size().max(*size);
            }
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        *self.closed.borrow()
    }

    fn frozen(&self) -> RwLockReadGuard<'_, Option<Frozen>> {
        self.frozen.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Frozen {
    fn new(source: &dyn Timeline) -> Frozen {
        let described = source.description();
        let mut renditions = HashMap::new();
        if let Some(description) = &described {
            for rendition in description.video.iter().chain(&description.audio) {
                if let Some(snapshot) = source.snapshot(&rendition.name) {
                    renditions.insert(rendition.name.clone(), end(&snapshot));
                }
            }
        }
        let reports: Vec<Report> = description_order(described.as_deref(), &renditions);
        for (name, (snapshot, _)) in &mut renditions {
            let others = reports.iter().filter(|report| report.name != *name);
            Arc::make_mut(snapshot).reports = others.cloned().collect();
        }
        let description = described.map(|description| {
            Arc::new(Description {
                version: description.version + 1,
                ended: true,
                ..(*description).clone()
            })
        });
        Frozen {
            description,
            renditions,
        }
    }

    fn find(&self, source: &dyn Timeline, rendition: &str, resource: Resource<'_>) -> Found {
        let Some((snapshot, _)) = self.renditions.get(rendition) else {
            return Found::Missing;
        };
        let segments = &snapshot.segments;
        let first = segments.first().map(|segment| segment.sequence);
        let bytes = |segment: &Segment| {
            segment
                .parts
                .iter()
                .map(|part| part.bytes.clone())
                .collect()
        };
        match resource {
            Resource::Init(name) => {
                let mut inits = segments.iter().map(|segment| &segment.init);
                match inits.find(|init| init.name == name) {
                    Some(init) => Found::Whole(vec![init.bytes.clone()]),
                    None => source.find(rendition, resource),
                }
            }
            Resource::Segment(sequence) if first.is_some_and(|first| sequence >= first) => {
                let found = segments.iter().find(|segment| segment.sequence == sequence);
                let found = found.filter(|segment| !segment.gap);
                found.map_or(Found::Missing, |segment| Found::Whole(bytes(segment)))
            }
            Resource::Part(number) if number >= snapshot.next_part => Found::Missing,
            Resource::Part(number) => {
                let mut parts = segments.iter().flat_map(|segment| &segment.parts);
                let found = parts.find(|part| part.number == number && !part.bytes.is_empty());
                match found {
                    Some(part) => Found::Whole(vec![part.bytes.clone()]),
                    None => source.find(rendition, resource),
                }
            }
            // What has left the playlist already.
            Resource::Segment(_) => source.find(rendition, resource),
        }
    }
}

/// A rendition's state as its last one: what grows is complete as it is. What has no media yet is left
/// out.
fn end(snapshot: &Snapshot) -> (Arc<Snapshot>, Progress) {
    let version = snapshot.version + 1;
    let mut segments = snapshot.segments.clone();
    if let Some(last) = segments.pop_if(|segment| !segment.complete)
        && !last.parts.is_empty()
        && !last.gap
    {
        segments.push(Arc::new(Segment {
            complete: true,
            ..(*last).clone()
        }));
    }
    let last = segments.last();
    let progress = Progress {
        version,
        last_sequence: last.map_or(0, |last| last.sequence),
        last_complete: true,
        last_parts: last.map_or(0, |last| {
            u32::try_from(last.parts.len()).unwrap_or(u32::MAX)
        }),
        next_part: snapshot.next_part,
        begun: segments.iter().any(|segment| !segment.gap),
        ended: true,
    };
    let snapshot = Snapshot {
        version,
        segments,
        ended: true,
        ..snapshot.clone()
    };
    (Arc::new(snapshot), progress)
}

/// How far each rendition has got, in the description's order.
fn description_order(
    description: Option<&Description>,
    renditions: &HashMap<Arc<str>, (Arc<Snapshot>, Progress)>,
) -> Vec<Report> {
    let listed = description.map(|description| description.video.iter().chain(&description.audio));
    let report = |name: &Arc<str>| {
        let (_, progress) = renditions.get(name)?;
        Some(Report {
            name: name.clone(),
            last_sequence: progress.last_sequence,
            last_part: progress.last_parts.checked_sub(1),
        })
    };
    let listed = listed.into_iter().flatten();
    listed
        .filter_map(|rendition| report(&rendition.name))
        .collect()
}

impl Timeline for Fence {
    fn description(&self) -> Option<Arc<Description>> {
        match &*self.frozen() {
            Some(frozen) => frozen.description.clone(),
            None => self.source.description(),
        }
    }

    fn snapshot(&self, rendition: &str) -> Option<Arc<Snapshot>> {
        match &*self.frozen() {
            Some(frozen) => Some(frozen.renditions.get(rendition)?.0.clone()),
            None => self.source.snapshot(rendition),
        }
    }

    fn progress(&self, rendition: &str) -> Option<Progress> {
        match &*self.frozen() {
            Some(frozen) => Some(frozen.renditions.get(rendition)?.1),
            None => self.source.progress(rendition),
        }
    }

    fn find(&self, rendition: &str, resource: Resource<'_>) -> Found {
        match &*self.frozen() {
            Some(frozen) => frozen.find(&*self.source, rendition, resource),
            None => self.source.find(rendition, resource),
        }
    }

    fn changed<'a>(&'a self, rendition: &'a str, seen: u64) -> Wait<'a> {
        let mut closed = self.closed.subscribe();
        if let Some(frozen) = &*self.frozen() {
            let last = match frozen.renditions.get(rendition) {
                Some((_, progress)) => progress.version,
                None => frozen.description.as_ref().map_or(0, |it| it.version),
            };
            return Box::pin(async move {
                // Nothing follows: only the fork's going is a change.
                if last == seen {
                    while closed.changed().await.is_ok() {}
                }
            });
        }
        Box::pin(async move {
            tokio::select! {
                () = self.source.changed(rendition, seen) => {}
                // An error means that the fork is gone: that is a change, too.
                _ = closed.wait_for(|closed| *closed) => {}
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use bytes::Bytes;

    use super::*;
    use crate::base::clock::Wall;
    use crate::media::codec::aac;
    use crate::media::timeline::{Init, Part, Rules};
    use crate::media::{CodecConfig, Rendition, RenditionId, Ticks, Timescale, Track};

    /// Bytes of each segment.
    const SIZE: usize = 100;

    /// One rendition, with the segments that a window has.
    struct Source(Mutex<Vec<Arc<Segment>>>);

    impl Source {
        fn slide(&self, to: std::ops::Range<u64>) {
            *self.0.lock().unwrap() = to.map(segment).collect();
        }
    }

    fn track() -> Arc<Track> {
        Arc::new(Track {
            config: CodecConfig::Aac(aac::Config::new_lc(48_000, 2).unwrap()),
            timescale: Timescale::MILLIS,
        })
    }

    fn rendition() -> Arc<Rendition> {
        Arc::new(Rendition {
            id: RenditionId(0),
            name: "audio".into(),
            track: track(),
            peak_bps: 0,
            average_bps: 0,
            frame_rate_millis: 0,
            source: true,
        })
    }

    fn segment(sequence: u64) -> Arc<Segment> {
        let part = Part {
            number: sequence,
            start: Ticks::ZERO,
            duration: Ticks(1000),
            independent: true,
            bytes: Bytes::from(vec![0; SIZE]),
        };
        Arc::new(Segment {
            sequence,
            start: Ticks::ZERO,
            duration: Ticks(1000),
            discontinuity: false,
            discontinuity_sequence: 0,
            gap: false,
            independent: true,
            complete: true,
            init: Arc::new(Init {
                name: "init-0.mp4".to_owned(),
                bytes: Bytes::new(),
                track: track(),
            }),
            parts: vec![Arc::new(part)],
            program_date_time: Wall(0),
        })
    }

    fn rules() -> Rules {
        Rules {
            epoch: Wall(0),
            target_duration_s: 2,
            part_target: std::time::Duration::ZERO,
            part_hold_back: std::time::Duration::ZERO,
            hold_back: std::time::Duration::ZERO,
            can_skip_until: std::time::Duration::ZERO,
            segment_target: std::time::Duration::ZERO,
            window: std::time::Duration::ZERO,
            independent_segments: false,
        }
    }

    impl Timeline for Source {
        fn description(&self) -> Option<Arc<Description>> {
            Some(Arc::new(Description {
                version: 1,
                rules: rules(),
                video: Vec::new(),
                audio: vec![rendition()],
                leaving: Vec::new(),
                ended: false,
            }))
        }
        fn snapshot(&self, _rendition: &str) -> Option<Arc<Snapshot>> {
            let segments = self.0.lock().unwrap().clone();
            Some(Arc::new(Snapshot {
                version: 1,
                rendition: rendition(),
                rules: rules(),
                next_part: segments.last().map_or(0, |last| last.sequence + 1),
                segments,
                reports: Vec::new(),
                ended: false,
                stopped: false,
                scheduled: None,
            }))
        }
        fn progress(&self, _rendition: &str) -> Option<Progress> {
            None
        }
        fn find(&self, _rendition: &str, resource: Resource<'_>) -> Found {
            let segments = self.0.lock().unwrap();
            let is = |it: &&Arc<Segment>| resource == Resource::Segment(it.sequence);
            let found = segments.iter().find(is);
            found.map_or(Found::Missing, |_| Found::Whole(Vec::new()))
        }
        fn changed<'a>(&'a self, _rendition: &'a str, _seen: u64) -> Wait<'a> {
            Box::pin(std::future::pending())
        }
    }

    #[test]
    fn what_only_ended_forks_hold_is_counted_once_and_until_they_are_gone() {
        let source = Arc::new(Source(Mutex::default()));
        source.slide(0..10);
        let fences = [0, 1, 2].map(|_| Fence::new(source.clone()));
        let kept = |fences: &[Arc<Fence>]| {
            let mut kept = Kept::new();
            fences.iter().for_each(|fence| fence.keep(&mut kept));
            kept.values().sum::<usize>() / SIZE
        };
        fences[0].close();
        fences[1].close();
        assert_eq!(kept(&fences), 0, "the source holds it all");
        source.slide(4..14);
        fences[2].close();
        assert_eq!(kept(&fences), 4);
        source.slide(12..22);
        assert_eq!(kept(&fences), 12, "0 to 9 of two, 4 to 11 of one");
        assert_eq!(kept(&fences[2..]), 8);
        assert_eq!(kept(&[]), 0);
        let other = Arc::new(Source(Mutex::default()));
        other.slide(0..10);
        let elsewhere = Fence::new(other.clone());
        elsewhere.close();
        other.slide(20..30);
        assert_eq!(kept(&[fences[2].clone(), elsewhere]), 18);
    }
}
