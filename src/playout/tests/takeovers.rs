//! Encoders in the place of the film, seen through the show: their streams come from the real packager.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;

use super::lists::Witness;
use super::sample::{
    ASSET, EPOCH, Film, SEGMENT, Set, bytes, fragments, picture, rules, show, sound,
};
use crate::hub::boundary::{Cursor, Ledger};
use crate::hub::{Outlet, Placed};
use crate::media::timeline::{Found, Resource, Timeline};
use crate::media::{
    AccessUnit, Boundary, MediaKind, Rendition, RenditionId, Ticks, Timescale, rescale,
};
use crate::package::Live;
use crate::playout::takeover::{self, Leg, Step};
use crate::playout::{After, Cut, Facts, Kind, Legs, PARTS_PER_SEGMENT, Show};

/// How late an encoder's pictures and sound are out, milliseconds.
const LATE_MS: [i64; 2] = [430, 260];
/// What the encoder's first sound is off the grid of the film's, samples.
const ODD: i64 = 377;

/// What an encoder makes of its source, packaged like every live stream.
struct Encoder {
    live: Arc<Live>,
    outlet: Box<dyn Outlet>,
    placed: Placed,
    ledger: Ledger,
    lanes: Vec<Lane>,
    /// Where the next segment begins.
    next: Ticks,
}

struct Lane {
    id: RenditionId,
    kind: MediaKind,
    cursor: Cursor,
    /// Time of the next unit, in its timescale.
    at: Ticks,
}

impl Encoder {
    /// One that sends from `from_ms` on.
    fn start(placed: Placed, facts: &Facts, from_ms: i64) -> Encoder {
        let live = Live::new(rules(), EPOCH.plus_micros(from_ms * 1000));
        let mut outlet = live.outlet();
        let mut lanes = Vec::new();
        let from = Ticks(from_ms * 90);
        for (index, rendition) in facts.renditions.iter().enumerate() {
            let id = RenditionId(u8::try_from(index).unwrap());
            let own = match rendition.kind() {
                // Another encoder than the film's.
                MediaKind::Video => picture(
                    &rendition.name,
                    30,
                    include_bytes!("../../../tests/data/codec/avc_422.avcc"),
                ),
                MediaKind::Audio => sound(&rendition.name),
            };
            let own = Rendition { id, ..own };
            let at = match rendition.kind() {
                MediaKind::Video => {
                    placed.grid.grid.anchor
                        + Ticks((from.0 - placed.grid.grid.anchor.0) / 3000 * 3000)
                }
                MediaKind::Audio => {
                    rescale(from, Timescale::CHANNEL, Timescale::of(48_000)) + Ticks(ODD)
                }
            };
            outlet.handle_rendition(&Arc::new(own));
            lanes.push(Lane {
                id,
                kind: rendition.kind(),
                cursor: Cursor::default(),
                at,
            });
        }
        let ids: Vec<RenditionId> = lanes.iter().map(|lane| lane.id).collect();
        outlet.handle_listed(&ids);
        let next = placed.grid.grid.at_or_after(from);
        Encoder {
            live,
            outlet,
            placed,
            ledger: Ledger::default(),
            lanes,
            next,
        }
    }

    /// Gives out what is out by a time.
    fn feed(&mut self, now_ms: i64) {
        while self.next <= Ticks(now_ms * 90) {
            self.ledger.push(Boundary {
                sequence: self.placed.grid.sequence_at(self.next),
                time: self.next,
                discontinuity: false,
                discontinuity_sequence: 0,
                independent: true,
            });
            self.next = self.placed.grid.grid.after(self.next);
        }
        for lane in &mut self.lanes {
            let (scale, step, late) = match lane.kind {
                MediaKind::Video => (Timescale::CHANNEL, 3000, LATE_MS[0]),
                MediaKind::Audio => (Timescale::of(48_000), 1024, LATE_MS[1]),
            };
            let until = rescale(Ticks((now_ms - late) * 90), Timescale::CHANNEL, scale);
            while lane.at <= until {
                let time = rescale(lane.at, scale, Timescale::CHANNEL);
                let key = lane.kind == MediaKind::Audio || self.placed.grid.grid.is_boundary(time);
                let unit = AccessUnit {
                    kind: lane.kind,
                    dts: lane.at,
                    pts: lane.at,
                    duration: (lane.kind == MediaKind::Audio).then_some(Ticks(step)),
                    key,
                    data: Bytes::from_static(&[0, 0, 0, 2, 0x65, 0x88]),
                };
                let opened = lane.cursor.open(&self.ledger, &unit, scale, Ticks::ZERO);
                if lane.cursor.is_open() {
                    self.outlet.handle_unit(lane.id, unit, &opened);
                }
                lane.at += Ticks(step);
            }
        }
    }

    fn state(&self, silent: Option<Duration>) -> Leg {
        Leg {
            fits: true,
            silent,
            ready: takeover::ready(&*self.live, &self.placed),
        }
    }
}

/// The port to the streams of encoders.
#[derive(Default)]
struct Wings(Mutex<Option<Arc<Live>>>);

impl Legs for Wings {
    fn timeline(&self, _: uuid::Uuid) -> Option<Arc<dyn Timeline>> {
        let live = self.0.lock().unwrap().clone()?;
        Some(live)
    }
}

/// A show with its viewers and its encoder.
pub(super) struct Stand {
    pub(super) set: Set,
    facts: Facts,
    show: Show,
    timeline: Arc<dyn Timeline>,
    witness: Witness,
    wings: Arc<Wings>,
    encoder: Option<Encoder>,
    /// Since when nothing came of the encoder; `None` when it has gone.
    silent: Option<Duration>,
    /// Parts that were announced and have not come, by rendition.
    hinted: BTreeMap<&'static str, u64>,
    pub(super) cuts: Vec<Cut>,
    /// Whether all is held to the rules.
    looks: bool,
}

impl Stand {
    pub(super) async fn new(show: Show) -> Stand {
        let set = Set::new(Film::new(30, 219));
        set.at(9_000);
        let wings = Arc::new(Wings::default());
        set.stage.live(wings.clone());
        let timeline = set.put(show.clone()).await;
        Stand {
            facts: set.stage.facts(ASSET).await.unwrap().unwrap(),
            set,
            show,
            witness: Witness::new(timeline.clone()),
            timeline,
            wings,
            encoder: None,
            silent: None,
            hinted: BTreeMap::new(),
            cuts: Vec::new(),
            looks: true,
        }
    }

    pub(super) fn connect(&mut self, now_ms: i64) {
        let now = EPOCH.plus_micros(now_ms * 1000);
        let placed = takeover::place(&self.show, &self.facts, SEGMENT, now).expect("a film is on");
        let encoder = Encoder::start(placed, &self.facts, now_ms);
        *self.wings.0.lock().unwrap() = Some(encoder.live.clone());
        self.encoder = Some(encoder);
        self.silent = Some(Duration::ZERO);
    }

    /// What happens every 50 ms of a span, with an encoder whose stream goes on where `feeds`.
    pub(super) fn run(&mut self, from_ms: i64, to_ms: i64, feeds: bool) {
        for now_ms in (from_ms..to_ms).step_by(50) {
            self.set.at(now_ms);
            if let Some(encoder) = self.encoder.as_mut().filter(|_| feeds) {
                encoder.feed(now_ms);
            }
            let leg = self
                .encoder
                .as_ref()
                .map(|encoder| encoder.state(self.silent));
            let terms = (true, Duration::from_secs(5));
            let now = EPOCH.plus_micros(now_ms * 1000);
            let step = takeover::step(&self.show, &self.facts, SEGMENT, terms, leg.as_ref(), now);
            if let Step::Cut(cut) = step {
                let mut cuts = self.show.cuts.to_vec();
                cuts.insert(cuts.partition_point(|other| other.at < cut.at), cut);
                self.show.cuts = cuts.into();
                self.set.stage.put(self.show.clone());
                self.cuts.push(cut);
            }
            if self.looks {
                self.witness.look();
                self.keeps_its_word();
            }
        }
    }

    /// What was announced is announced still, or has come.
    fn keeps_its_word(&mut self) {
        for name in ["hd", "sd", "audio"] {
            let Some(progress) = self
                .timeline
                .progress(name)
                .filter(|progress| progress.begun)
            else {
                continue;
            };
            if progress.ended {
                continue;
            }
            let next = progress.next_part;
            if let Some(hinted) = self
                .hinted
                .insert(name, next)
                .filter(|hinted| *hinted != next)
            {
                let found = self.timeline.find(name, Resource::Part(hinted));
                assert!(
                    matches!(found, Found::Whole(_) | Found::Stored(_)),
                    "{name}: {hinted} was announced before {next} was: {found:?}"
                );
            }
            let found = self.timeline.find(name, Resource::Part(next));
            assert!(
                matches!(found, Found::Announced),
                "{name} {next}: {found:?}"
            );
        }
    }

    /// Kinds and numbers of the segments of a rendition in the window, without holes.
    fn kinds(&self, name: &str) -> Vec<(u64, bool, bool)> {
        let snapshot = self.timeline.snapshot(name).unwrap();
        let segments = snapshot.segments.windows(2);
        for pair in segments {
            assert_eq!(pair[0].sequence + 1, pair[1].sequence);
            let step = pair[1].discontinuity_sequence - pair[0].discontinuity_sequence;
            assert_eq!(step, u64::from(pair[1].discontinuity));
        }
        let segments = snapshot.segments.iter();
        segments
            .map(|segment| (segment.sequence, segment.discontinuity, segment.gap))
            .collect()
    }
}

#[tokio::test]
async fn an_encoder_takes_over_and_the_film_returns_with_one_discontinuity_each_and_no_word_broken()
{
    let mut stand = Stand::new(show(4, None, true, After::Slate)).await;
    stand.run(9_000, 15_050, true);
    stand.connect(15_050);
    stand.run(15_050, 33_000, true);
    // It goes; what its stream holds in its place is on up to the film's return.
    stand.silent = None;
    stand.run(33_000, 45_000, true);
    let [live, back] = stand.cuts[..] else {
        panic!("{:?}", stand.cuts);
    };
    assert_eq!((live.kind, back.kind), (Kind::Live, Kind::Film));
    assert!(live.at < Ticks(22_000 * 90) && back.at < Ticks(36_000 * 90));
    for name in ["hd", "sd", "audio"] {
        let kinds = stand.kinds(name);
        let breaks: Vec<u64> = kinds
            .iter()
            .filter(|kind| kind.1)
            .map(|kind| kind.0)
            .collect();
        assert_eq!(breaks, [live.sequence, back.sequence], "{name}: {kinds:?}");
        assert!(kinds.iter().all(|kind| !kind.2), "{name}: {kinds:?}");
    }
    // Segments are where the film's would have been, and the film is where the clock is.
    let grid = stand.facts.grid().unwrap();
    let film = stand.show.cuts[1];
    let snapshot = stand.timeline.snapshot("hd").unwrap();
    for segment in &snapshot.segments {
        let cell = grid.cell(segment.sequence - film.sequence);
        assert_eq!(segment.start, film.at + cell.start, "{}", segment.sequence);
        if segment.complete {
            assert_eq!(
                segment.duration,
                cell.end - cell.start,
                "{}",
                segment.sequence
            );
        }
        let found = bytes(&*stand.timeline, "hd", Resource::Segment(segment.sequence)).await;
        let found = fragments(&found);
        assert_eq!(i64::try_from(found[0].time).unwrap(), segment.start.0);
        let is_live = (live.sequence..back.sequence).contains(&segment.sequence);
        let of_film = found[0].payload.starts_with(b"picture");
        assert_eq!(of_film, !is_live, "{}", segment.sequence);
        for (index, part) in segment.parts.iter().enumerate() {
            assert_eq!(
                part.number,
                segment.sequence * PARTS_PER_SEGMENT + index as u64
            );
        }
    }
}

#[tokio::test]
async fn an_encoder_that_comes_back_takes_over_again() {
    let mut stand = Stand::new(show(4, None, true, After::Slate)).await;
    stand.connect(10_000);
    stand.run(10_000, 20_000, true);
    stand.silent = None;
    stand.run(20_000, 30_000, true);
    stand.silent = Some(Duration::ZERO);
    stand.run(30_000, 40_000, true);
    let kinds: Vec<Kind> = stand.cuts.iter().map(|cut| cut.kind).collect();
    assert_eq!(kinds, [Kind::Live, Kind::Film, Kind::Live]);
    let numbers: Vec<u64> = stand.cuts.iter().map(|cut| cut.discontinuity).collect();
    assert_eq!(numbers, [2, 3, 4]);
    let breaks = stand.kinds("audio");
    assert_eq!(breaks.iter().filter(|kind| kind.1).count(), 3, "{breaks:?}");
}

#[tokio::test]
async fn what_an_encoder_had_on_stays_when_another_one_comes_in_its_place() {
    let mut stand = Stand::new(show(4, None, true, After::Slate)).await;
    stand.connect(10_000);
    stand.run(10_000, 18_000, true);
    stand.silent = None;
    stand.run(18_000, 24_000, true);
    let [live, back] = stand.cuts[..] else {
        panic!("{:?}", stand.cuts);
    };
    let mut held = Vec::new();
    for sequence in live.sequence..back.sequence {
        let found = bytes(&*stand.timeline, "hd", Resource::Segment(sequence)).await;
        held.push((sequence, found));
    }
    assert!(held.len() > 2);
    // Its stream is let go, and the next one begins anew.
    *stand.wings.0.lock().unwrap() = None;
    stand.encoder = None;
    stand.run(24_000, 26_000, false);
    stand.connect(26_000);
    stand.run(26_000, 36_000, true);
    assert_eq!(stand.cuts.last().map(|cut| cut.kind), Some(Kind::Live));
    assert_eq!(stand.cuts.len(), 3);
    for (sequence, known) in held {
        let found = bytes(&*stand.timeline, "hd", Resource::Segment(sequence)).await;
        assert_eq!(found, known, "{sequence}");
    }
    let kinds = stand.kinds("hd");
    assert!(kinds.iter().all(|kind| !kind.2), "{kinds:?}");
}

#[tokio::test]
async fn one_whose_stream_breaks_off_gives_way_to_the_film_all_the_same() {
    let mut stand = Stand::new(show(4, None, true, After::Slate)).await;
    stand.connect(10_000);
    stand.run(10_000, 20_000, true);
    stand.silent = None;
    // Nobody can send what was announced, which the rules have no word for.
    stand.looks = false;
    stand.run(20_000, 30_000, false);
    stand.hinted.clear();
    stand.witness = Witness::new(stand.timeline.clone());
    stand.looks = true;
    stand.run(30_000, 36_000, false);
    let back = stand.cuts[1];
    assert_eq!(back.kind, Kind::Film);
    for name in ["hd", "audio"] {
        let snapshot = stand.timeline.snapshot(name).unwrap();
        let returned = snapshot
            .segments
            .iter()
            .find(|segment| segment.sequence == back.sequence);
        assert!(
            returned.is_some_and(|segment| segment.discontinuity && !segment.gap),
            "{name}"
        );
    }
}

#[tokio::test]
async fn one_that_is_on_at_the_end_is_cut_there() {
    let mut stand = Stand::new(show(4, Some(25), true, After::End)).await;
    stand.connect(10_000);
    stand.run(10_000, 24_900, true);
    stand.hinted.clear();
    for now_ms in (24_900..30_000).step_by(50) {
        stand.run(now_ms, now_ms + 50, true);
        stand.hinted.clear();
        if stand.timeline.progress("hd").unwrap().ended {
            break;
        }
    }
    let text = stand.witness.text("hd");
    assert!(text.contains("#EXT-X-ENDLIST"), "{text}");
    let snapshot = stand.timeline.snapshot("hd").unwrap();
    let last = snapshot.segments.last().unwrap();
    assert_eq!(last.start + last.duration, Ticks(25_000 * 90));
}
