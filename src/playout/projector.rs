//! A show for those who take units instead of files. In: its timeline, as players read it. Out: units on a
//! [`Screen`], each as long after its time as the slowest of them needs, so that they come evenly and picture
//! and sound of one moment come together.
//!
//! What viewers of the playlists see next is what comes here next, an encoder in the film's place included.
//! Nothing of before the beginning is read: who taps begins with the next key unit.

mod pace;

use std::collections::HashSet;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::sync::mpsc;
use tokio::time::sleep;

use self::pace::Pace;
use crate::base::clock::Clock;
use crate::base::shutdown::Tasks;
use crate::format::fmp4;
use crate::hub::Screen;
use crate::hub::tap::Tapped as _;
use crate::media::time::wall_time;
use crate::media::timeline::{Found, Part, Resource, Segment, Timeline};
use crate::media::{AccessUnit, MediaKind, Rendition, RenditionId, Ticks, Timescale, Track};

/// How long it is waited where nobody says when there is more.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Parts that wait to be shown: two seconds. Those that come on top are left out.
const MAX_BEHIND: usize = 10;
/// Bytes of a part. Those of films are of a fifth of a second.
const MAX_PART_BYTES: u64 = 16 << 20;
/// Pictures that are further apart than this do not build on each other: less than half a frame of any film.
const SMALLEST_HOLE: Duration = Duration::from_millis(8);
/// Media that are further apart than this do not connect, which is told.
const LARGEST_HOLE: Duration = Duration::from_secs(1);

/// Shows a timeline on a screen until it ends or the tasks are stopped; the screen is ended then.
pub async fn project(timeline: Arc<dyn Timeline>, screen: Arc<Screen>, clock: Clock, tasks: Tasks) {
    let projector = Arc::new(Projector {
        timeline,
        screen,
        clock,
        pace: Mutex::default(),
    });
    tokio::select! {
        () = projector.clone().follow(&tasks) => {}
        () = tasks.stopped() => {}
    }
    projector.screen.end();
}

/// See the module.
struct Projector {
    timeline: Arc<dyn Timeline>,
    screen: Arc<Screen>,
    clock: Clock,
    /// Of all renditions alike.
    pace: Mutex<Pace>,
}

/// A part, and the segment that it is of.
type Listed = (Arc<Segment>, Arc<Part>);

/// How far a rendition is shown.
struct Reel {
    id: RenditionId,
    name: Arc<str>,
    kind: MediaKind,
    /// The configuration of the unit before.
    track: Arc<Track>,
    /// Where the unit before ends.
    end: Option<Ticks>,
    /// Units were left out: pictures follow from the next key unit on.
    waits_for_key: bool,
}

impl Projector {
    /// Shows every rendition that there is, or that there comes to be, in a task each.
    async fn follow(self: Arc<Self>, tasks: &Tasks) {
        let readers = tasks.child();
        let mut reading = Vec::new();
        let mut known = HashSet::new();
        loop {
            let description = self.timeline.description();
            let version = description.as_ref().map_or(0, |it| it.version);
            if let Some(description) = &description {
                for declared in description.video.iter().chain(&description.audio) {
                    let Ok(number) = u8::try_from(known.len()) else {
                        break;
                    };
                    if !known.insert(declared.name.clone()) {
                        continue;
                    }
                    // Slate and film may number theirs otherwise.
                    let id = RenditionId(number);
                    let own = Rendition {
                        id,
                        ..(**declared).clone()
                    };
                    let reel = Reel::of(&own);
                    self.screen.show(Arc::new(own));
                    reading.push(readers.spawn(self.clone().read(reel, readers.clone())));
                }
                if description.ended {
                    break;
                }
            }
            // Of a rendition that does not exist the description is waited for.
            self.timeline.changed("", version).await;
        }
        for reader in reading {
            let _ = reader.await;
        }
    }

    /// Shows a rendition to its end.
    async fn read(self: Arc<Self>, reel: Reel, tasks: Tasks) {
        let (listed, parts) = mpsc::channel(MAX_BEHIND);
        let name = reel.name.clone();
        let both = async { tokio::join!(self.list(&name, listed), self.show(reel, parts)) };
        tokio::select! {
            _ = both => {}
            () = tasks.stopped() => {}
        }
    }

    /// Hands over what is listed from now on, as it is.
    async fn list(&self, name: &str, listed: mpsc::Sender<Listed>) {
        let (mut seen, mut next) = (0, None);
        loop {
            self.timeline.changed(name, seen).await;
            let Some(snapshot) = self.timeline.snapshot(name) else {
                if self.timeline.description().is_some_and(|it| it.ended) {
                    return;
                }
                sleep(LOOK_AGAIN).await;
                continue;
            };
            seen = snapshot.version;
            let first = *next.get_or_insert(snapshot.next_part);
            for segment in snapshot.segments.iter().filter(|segment| !segment.gap) {
                for part in segment.parts.iter().filter(|part| part.number >= first) {
                    let time = wall_time(part.start, snapshot.timescale(), self.screen.epoch());
                    self.pace().observe(self.clock.wall(), time);
                    // What there is no room for is missed; what follows goes on at now.
                    if listed.try_send((segment.clone(), part.clone())).is_err() {
                        tracing::debug!(name, part = part.number, "a part of a show is left out");
                    }
                    next = Some(part.number + 1);
                }
            }
            if snapshot.ended {
                return;
            }
        }
    }

    async fn show(&self, mut reel: Reel, mut parts: mpsc::Receiver<Listed>) {
        while let Some((segment, part)) = parts.recv().await {
            self.show_part(&mut reel, &segment, &part).await;
        }
    }

    /// Shows a part, each unit at its time.
    async fn show_part(&self, reel: &mut Reel, segment: &Segment, part: &Part) {
        let read = self.fetch(&reel.name, part.number).await;
        let samples = match &read {
            Ok(bytes) => fmp4::samples(bytes),
            Err(err) => {
                tracing::debug!(%err, part = part.number, "a part of a show cannot be read");
                None
            }
        };
        let Some(samples) = samples else {
            reel.waits_for_key = true;
            return;
        };
        let track = &segment.init.track;
        if *track != reel.track {
            reel.track = track.clone();
            self.screen.set_track(reel.id, track);
        }
        let scale = track.timescale;
        let Some((first, _)) = samples.first() else {
            return;
        };
        let epoch = self.screen.epoch();
        if reel.begin(*first, scale) {
            self.screen.cut();
        }
        for (decoded, sample) in samples {
            let due = self.pace().due(wall_time(decoded, scale, epoch));
            let wait = due.micros_since(self.clock.wall());
            if let Ok(wait @ 1..) = u64::try_from(wait) {
                sleep(Duration::from_micros(wait)).await;
            }
            let unit = reel.unit(decoded, sample);
            if let Some(unit) = unit {
                self.screen.push(reel.id, unit);
            }
        }
    }

    /// The bytes of a part.
    async fn fetch(&self, rendition: &str, number: u64) -> io::Result<Bytes> {
        let gone = || io::Error::from(io::ErrorKind::NotFound);
        let stored = match self.timeline.find(rendition, Resource::Part(number)) {
            Found::Whole(pieces) => return Ok(Bytes::from(pieces.concat())),
            Found::Stored(stored) => stored,
            _ => return Err(gone()),
        };
        let blob = stored.open().await?.ok_or_else(gone)?;
        let size = blob.size();
        if size > MAX_PART_BYTES {
            return Err(io::Error::other("it is larger than any part"));
        }
        let mut bytes = BytesMut::new();
        while (bytes.len() as u64) < size {
            let piece = blob.read(bytes.len() as u64).await?;
            if piece.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes.freeze())
    }

    fn pace(&self) -> std::sync::MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reel {
    fn of(rendition: &Rendition) -> Reel {
        Reel {
            id: rendition.id,
            name: rendition.name.clone(),
            kind: rendition.kind(),
            track: rendition.track.clone(),
            end: None,
            waits_for_key: true,
        }
    }

    /// Media begin here. Whether so much is missing before that it has to be told.
    fn begin(&mut self, begin: Ticks, scale: Timescale) -> bool {
        let longer_than = |hole: Duration| {
            let hole = Ticks::from_duration(hole, scale);
            self.end.is_some_and(|end| (begin - end).abs() > hole)
        };
        let is_torn = longer_than(LARGEST_HOLE);
        self.waits_for_key |= longer_than(SMALLEST_HOLE);
        is_torn
    }

    /// A sample as a unit, unless it cannot be decoded.
    fn unit(&mut self, decoded: Ticks, sample: fmp4::Sample) -> Option<AccessUnit> {
        let duration = Ticks(sample.duration.into());
        self.end = Some(decoded + duration);
        let key = self.kind == MediaKind::Audio || sample.key;
        if self.waits_for_key && !key {
            return None;
        }
        self.waits_for_key = false;
        Some(AccessUnit {
            kind: self.kind,
            dts: decoded,
            pts: decoded + Ticks(sample.composition_offset.into()),
            duration: Some(duration),
            key,
            data: sample.data,
        })
    }
}
