//! A fork's timeline: its source's, until the fork ends alone. Then what players were told so far is all
//! there is, with an end, while the source goes on.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use tokio::sync::watch;

use crate::media::timeline::{
    Description, Found, Progress, Report, Resource, Segment, Snapshot, Timeline, Wait,
};

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
