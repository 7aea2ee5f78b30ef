//! What players and packagers see of one stream, and what must hold of it at any moment.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use forebay::base::clock::Wall;
use forebay::hub::{Outlet, Stream};
use forebay::manifest::check::{
    Violation, check_hls_against_mpd, check_media_playlist, check_mpd, check_multivariant,
};
use forebay::manifest::dash::{self, Mode, Periods};
use forebay::manifest::hls;
use forebay::manifest::parse::Media;
use forebay::media::time::rescale;
use forebay::media::timeline::{Segment, Snapshot, Timeline};
use forebay::media::{
    AccessUnit, Boundary, MediaKind, Rendition, RenditionId, Ticks, Timescale, Track,
};
use forebay::package::Live;

use super::encoder::{Film, film};
use super::worker::Worker;

/// Segments of sound and of pictures begin within a frame of sound or two of pictures.
const FRAME_MICROS: i64 = 70_000;

/// A stream as the opener made it.
pub struct Opened {
    pub stream: Arc<Stream>,
    pub live: Arc<Live>,
    pub record: Arc<Mutex<Record>>,
    pub worker: Option<Worker>,
}

/// What was delivered to packagers.
#[derive(Default)]
pub struct Record {
    tracks: Vec<Delivered>,
    /// The newest unit of each kind, and how far its channel time is from its true time.
    newest: BTreeMap<MediaKind, (i64, Film)>,
    /// The newest picture, or sound where there is none, that an encoder sent.
    pub newest_film: Option<Film>,
    /// The largest difference between sound and picture.
    pub worst_lip_sync_micros: i64,
    /// What must not be. Told later: a panic under the stream's lock would end the process.
    broken: Vec<String>,
}

struct Delivered {
    scale: Timescale,
    end: Option<Ticks>,
    last: Option<Boundary>,
}

/// The end of the stream at which a test looks on.
pub struct Recorder(pub Arc<Mutex<Record>>);

impl Outlet for Recorder {
    fn handle_rendition(&mut self, rendition: &Arc<Rendition>) {
        self.0.lock().unwrap().tracks.push(Delivered {
            scale: rendition.track.timescale,
            end: None,
            last: None,
        });
    }
    fn handle_track(&mut self, id: RenditionId, track: &Arc<Track>) {
        let record = &mut *self.0.lock().unwrap();
        let delivered = &mut record.tracks[usize::from(id.0)];
        delivered.end = delivered
            .end
            .map(|end| rescale(end, delivered.scale, track.timescale));
        delivered.scale = track.timescale;
    }
    fn handle_unit(&mut self, id: RenditionId, unit: AccessUnit, boundaries: &[Boundary]) {
        let record = &mut *self.0.lock().unwrap();
        let delivered = &mut record.tracks[usize::from(id.0)];
        for boundary in boundaries {
            record.broken.extend(delivered.open(id, boundary));
        }
        // One tick of rounding where the sampling rate has changed.
        let end = delivered.end.unwrap_or(unit.dts);
        if unit.dts + Ticks(1) < end {
            record.broken.push(format!(
                "rendition {}: decode time {} lies before the end of the last unit, {}",
                id.0, unit.dts.0, end.0
            ));
        }
        delivered.end = Some(unit.dts + unit.duration.unwrap_or(Ticks(1)));
        let scale = delivered.scale;
        if id.0 < 2
            && let Some(film) = film(&unit.data)
        {
            record.compare(&unit, film, scale);
        }
    }
    fn handle_gap(&mut self, id: RenditionId, boundary: &Boundary) {
        let record = &mut *self.0.lock().unwrap();
        let broken = record.tracks[usize::from(id.0)].open(id, boundary);
        record.broken.extend(broken);
    }
    fn handle_removed(&mut self, _id: RenditionId) {}
    fn handle_listed(&mut self, _ids: &[RenditionId]) {}
    fn handle_break(&mut self) {}
    fn handle_end(&mut self) {}
}

impl Delivered {
    /// Takes the next boundary, and says what is wrong with it.
    fn open(&mut self, id: RenditionId, boundary: &Boundary) -> Option<String> {
        let last = self.last.replace(*boundary)?;
        let number = last.discontinuity_sequence + u64::from(boundary.discontinuity);
        let right = boundary.sequence == last.sequence + 1
            && boundary.time > last.time
            && boundary.discontinuity_sequence == number;
        (!right).then(|| format!("rendition {}: {boundary:?} follows {last:?}", id.0))
    }
}

impl Record {
    /// What was wrong since the last call.
    pub fn take_broken(&mut self) -> Vec<String> {
        std::mem::take(&mut self.broken)
    }

    fn compare(&mut self, unit: &AccessUnit, film: Film, scale: Timescale) {
        let offset = rescale(unit.pts, scale, Timescale::MICROS).0 - film.at;
        self.newest.insert(unit.kind, (offset, film));
        self.newest_film = Some(film);
        let other = match unit.kind {
            MediaKind::Video => MediaKind::Audio,
            MediaKind::Audio => MediaKind::Video,
        };
        if let Some((beside, other)) = self.newest.get(&other)
            && film.by == other.by
            && (film.at - other.at).abs() < 100_000
        {
            self.worst_lip_sync_micros = self.worst_lip_sync_micros.max((offset - beside).abs());
        }
    }
}

/// What is known of a segment once it was listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Wall clock, microseconds.
    pub begins: i64,
    /// The same of its end, of what is listed so far.
    pub ends: i64,
    pub discontinuity: bool,
    pub number: u64,
    pub gap: bool,
    pub init: String,
}

/// Looks on one stream as players of all its renditions do.
#[derive(Default)]
pub struct Watch {
    playlists: BTreeMap<String, String>,
    manifests: [(Option<String>, Periods); 2],
    pub segments: BTreeMap<String, BTreeMap<u64, Listed>>,
    /// How far the end of each rendition was behind the clock at worst, milliseconds.
    worst_age_ms: BTreeMap<String, i64>,
    /// The same, how far before it.
    worst_lead_ms: BTreeMap<String, i64>,
    /// Renditions that get no media any more.
    leaving: Vec<String>,
    pub ended: bool,
}

impl Watch {
    /// Reads everything anew at wall time `now`.
    pub fn look(&mut self, live: &dyn Timeline, now: Wall) {
        let Some(description) = live.description() else {
            return;
        };
        self.ended = description.ended;
        let listed: Vec<_> = description.video.iter().chain(&description.audio).collect();
        let snapshots: Vec<Arc<Snapshot>> = listed
            .iter()
            .filter_map(|rendition| live.snapshot(&rendition.name))
            .collect();
        for snapshot in &snapshots {
            self.look_at_playlist(snapshot, now);
        }
        for (index, mode) in [Mode::Standard, Mode::LowLatency].into_iter().enumerate() {
            let (previous, periods) = &mut self.manifests[index];
            let text = dash::mpd(&description, &snapshots, mode, periods, "/time");
            let Some(text) = text.filter(|text| previous.as_ref() != Some(text)) else {
                continue;
            };
            let broken = check_mpd(&text, previous.as_deref());
            refuse(&broken, &text, previous.as_deref());
            *previous = Some(text);
        }
        let text = hls::multivariant(&description, "");
        let leaving = |listed: &&&Arc<Rendition>| description.leaving.contains(&listed.id);
        let leaving = listed.iter().filter(leaving);
        self.leaving = leaving.map(|listed| listed.name.to_string()).collect();
        let media = self.playlists.iter();
        let media = media.filter(|(name, _)| !self.leaving.contains(name));
        let media: Vec<_> = media
            .map(|(name, text)| (format!("{name}/index.m3u8"), text.as_str()))
            .collect();
        let media: Vec<_> = media.iter().map(|(uri, text)| (&**uri, *text)).collect();
        if !media.is_empty() {
            refuse(&check_multivariant(&text, &media), &text, None);
        }
    }

    fn look_at_playlist(&mut self, snapshot: &Snapshot, now: Wall) {
        let name = snapshot.rendition.name.to_string();
        let text = hls::media(snapshot, None);
        let previous = self.playlists.get(&name);
        if previous != Some(&text) {
            let broken = check_media_playlist(&text, previous.map(String::as_str));
            refuse(&broken, &text, previous.map(String::as_str));
            self.playlists.insert(name.clone(), text);
        }
        let seen = self.segments.entry(name.clone()).or_default();
        for segment in &snapshot.segments {
            let facts = facts(segment, snapshot.timescale());
            if let Some(known) = seen.insert(segment.sequence, facts.clone()) {
                let grown = Listed {
                    ends: known.ends,
                    ..facts
                };
                assert_eq!(known, grown, "{name} {} has changed", segment.sequence);
            }
        }
        if let Some((_, last)) = seen.last_key_value().filter(|_| !snapshot.ended) {
            let age = (now.0 - last.ends).div_euclid(1000);
            let worst = self.worst_age_ms.entry(name.clone()).or_insert(age);
            *worst = age.max(*worst);
            let lead = self.worst_lead_ms.entry(name).or_insert(-age);
            *lead = (-age).max(*lead);
        }
    }

    /// How far the end of a rendition is behind the clock, milliseconds.
    pub fn age_ms(&self, name: &str, now: Wall) -> i64 {
        let (_, last) = self.segments[name].last_key_value().unwrap();
        (now.0 - last.ends).div_euclid(1000)
    }

    /// How far the end of a rendition was behind the clock at worst since [`Watch::forget_ages`].
    pub fn worst_age_ms(&self, name: &str) -> i64 {
        self.worst_age_ms[name]
    }

    /// How far the end of any rendition was before the clock.
    pub fn worst_lead_ms(&self) -> i64 {
        self.worst_lead_ms.values().copied().max().unwrap_or(0)
    }

    pub fn forget_ages(&mut self) {
        self.worst_age_ms.clear();
        self.worst_lead_ms.clear();
    }

    /// Segments of a rendition that open with a discontinuity, the first of the stream aside.
    pub fn discontinuities(&self, name: &str) -> usize {
        let segments = self.segments[name].values();
        segments.filter(|segment| segment.discontinuity).count()
    }

    /// Time of a rendition that is stated as gaps, milliseconds.
    pub fn gap_ms(&self, name: &str) -> i64 {
        let gaps = self.segments[name].values().filter(|segment| segment.gap);
        gaps.map(|gap| (gap.ends - gap.begins) / 1000).sum()
    }

    /// Names of the renditions seen that go on.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let names = self.segments.keys();
        names
            .filter(|name| !self.leaving.contains(name))
            .map(String::as_str)
    }

    /// The newest playlists of renditions that go on, by name.
    pub fn playlists(&self) -> impl Iterator<Item = (&str, &str)> {
        let go_on = |(name, _): &(&String, &String)| !self.leaving.contains(name);
        let playlists = self.playlists.iter().filter(go_on);
        playlists.map(|(name, text)| (name.as_str(), text.as_str()))
    }

    /// The newest manifests of both modes.
    pub fn manifests(&self) -> impl Iterator<Item = &str> {
        self.manifests
            .iter()
            .filter_map(|(text, _)| text.as_deref())
    }

    /// What must hold of all that was listed: every rendition has the same segments at the same
    /// times, one after another without a hole or an overlap, and HLS and DASH tell the same.
    pub fn assert_agreement(&self) {
        let jumps = self.agreement();
        assert!(jumps.is_empty(), "time jumps by {jumps:?} us");
    }

    /// The same, but time may jump with a discontinuity: by so many microseconds.
    pub fn agreement(&self) -> Vec<i64> {
        let mut jumps = Vec::new();
        for (name, segments) in &self.segments {
            jumps.clear();
            let mut previous: Option<(u64, &Listed)> = None;
            for (sequence, segment) in segments {
                if let Some((before, last)) = previous {
                    assert_eq!(before + 1, *sequence, "{name} skips numbers");
                    let own = u64::from(segment.discontinuity);
                    assert_eq!(last.number + own, segment.number, "{name} {sequence}");
                    let hole = segment.begins - last.ends;
                    assert!(hole >= -20, "{name} {sequence} overlaps by {} us", -hole);
                    if hole > FRAME_MICROS && segment.discontinuity {
                        jumps.push(hole);
                    } else {
                        assert!(hole <= FRAME_MICROS, "{name}: {hole} us before {sequence}");
                    }
                }
                previous = Some((*sequence, segment));
            }
        }
        let mut pairs = self.segments.iter();
        let Some((first_name, first)) = pairs.next() else {
            panic!("nothing was listed");
        };
        for (name, segments) in pairs {
            for (sequence, segment) in segments {
                let Some(other) = first.get(sequence) else {
                    continue;
                };
                let apart = (segment.begins - other.begins).abs();
                assert!(
                    apart <= FRAME_MICROS
                        && segment.number == other.number
                        && segment.discontinuity == other.discontinuity,
                    "{sequence}: {name} {segment:?}, {first_name} {other:?}"
                );
            }
        }
        for (manifest, _) in &self.manifests {
            let manifest = manifest.as_deref().expect("an MPD was made");
            for (name, playlist) in &self.playlists {
                // What is all gap is in the playlist only.
                let segments = Media::parse(playlist).unwrap().segments;
                let told = manifest.contains(&format!("id=\"{name}\""));
                if told && segments.iter().any(|segment| !segment.gap) {
                    let broken = check_hls_against_mpd(manifest, name, playlist);
                    refuse(&broken, manifest, Some(playlist));
                }
            }
        }
        jumps
    }
}

fn facts(segment: &Segment, scale: Timescale) -> Listed {
    let begins = segment.program_date_time.0;
    Listed {
        begins,
        ends: begins + rescale(segment.duration, scale, Timescale::MICROS).0,
        discontinuity: segment.discontinuity,
        number: segment.discontinuity_sequence,
        gap: segment.gap,
        init: segment.init.name.clone(),
    }
}

#[track_caller]
fn refuse(broken: &[Violation], text: &str, previous: Option<&str>) {
    assert!(
        broken.is_empty(),
        "{broken:#?}\n{text}\nbefore it:\n{}",
        previous.unwrap_or_default()
    );
}
