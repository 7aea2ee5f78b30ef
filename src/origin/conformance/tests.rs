use super::*;
use crate::base::clock::Wall;
use crate::hub::gate::Pending;
use crate::origin::tests::scripted::{OneStream, Scripted};

/// Streams in the order of their ids, and a sampler that looks at them.
struct Rig {
    registry: Registry,
    clock: Clock,
    timelines: Vec<Arc<Scripted>>,
    sampler: Sampler,
    found: Mutex<Conformance>,
}

/// Several streams.
struct Many(Vec<OneStream>);

impl crate::origin::Streams for Many {
    fn timeline(&self, id: Uuid) -> Option<Arc<dyn crate::media::timeline::Timeline>> {
        self.0.iter().find_map(|stream| stream.timeline(id))
    }

    fn find<'a>(&'a self, _name: &'a str) -> Pending<'a, Option<Uuid>> {
        Box::pin(std::future::ready(None))
    }

    fn ids(&self) -> Vec<Uuid> {
        self.0
            .iter()
            .rev()
            .flat_map(|stream| stream.ids())
            .collect()
    }

    fn thumbnail(&self, _id: Uuid) -> Option<Bytes> {
        None
    }
}

fn id(number: usize) -> Uuid {
    Uuid::from_u128(number as u128)
}

impl Rig {
    /// Streams with six whole segments and two parts of the seventh.
    fn new(streams: usize) -> Rig {
        let clock = Clock::simulated(Wall(1_790_000_000_000_000));
        let timelines: Vec<Arc<Scripted>> = (0..streams).map(|_| Scripted::new()).collect();
        let many = timelines.iter().enumerate().map(|(number, timeline)| {
            for name in ["source", "audio"] {
                (0..6).for_each(|_| timeline.segment(name));
                (0..2).for_each(|_| timeline.part(name, "part"));
            }
            timeline.describe();
            OneStream {
                id: id(number),
                timeline: Mutex::new(Some(timeline.clone())),
            }
        });
        let many = Arc::new(Many(many.collect()));
        Rig {
            registry: Registry::new(many, clock.clone()),
            clock,
            timelines,
            sampler: Sampler::default(),
            found: Mutex::default(),
        }
    }

    /// A sample a second; each stream and text that was looked at.
    fn sample(&mut self, seconds: u32) -> Vec<(Uuid, String)> {
        let mut seen = Vec::new();
        for _ in 0..seconds {
            self.sampler
                .sample(&self.registry, &self.clock, &self.found);
            if let Some(newest) = self.sampler.previous.last() {
                seen.push((newest.stream, newest.target.file()));
            }
            self.clock.advance(Duration::from_secs(1));
        }
        seen
    }

    fn found(&self) -> Conformance {
        self.found.lock().unwrap().clone()
    }

    fn rules(&self) -> Vec<(&'static str, u64)> {
        self.found().rules.into_iter().collect()
    }
}

#[test]
fn every_text_of_every_stream_has_its_turn_twice_at_first_so_that_changes_are_seen() {
    let mut rig = Rig::new(2);
    let texts = [
        "index.m3u8",
        "manifest.mpd",
        "manifest.mpd",
        "ll.mpd",
        "ll.mpd",
        "source/index.m3u8",
        "source/index.m3u8",
        "audio/index.m3u8",
        "audio/index.m3u8",
    ];
    let round = |number| texts.map(|text| (id(number), text.to_owned()));
    let mut expected = round(0).to_vec();
    expected.extend(round(1));
    assert_eq!(rig.sample(18), expected);
    let again = rig.sample(2);
    let file = |file: &str| (id(0), file.to_owned());
    assert_eq!(again, [file("index.m3u8"), file("manifest.mpd")]);
    assert_eq!(
        rig.sample(1),
        [file("ll.mpd")],
        "what is known needs one look"
    );
}

#[test]
fn a_good_stream_breaks_no_rule_while_it_goes_on() {
    let mut rig = Rig::new(1);
    for part in 2..32 {
        for name in ["source", "audio"] {
            rig.timelines[0].part(name, "part");
            if part % 10 == 9 {
                rig.timelines[0].cut(name);
            }
        }
        rig.sample(1);
    }
    assert_eq!(rig.found().newest, []);
    assert_eq!(rig.found().samples, 30);
}

#[test]
fn a_change_that_is_not_allowed_is_found_and_counted() {
    let mut rig = Rig::new(1);
    rig.sample(9);
    assert_eq!(rig.rules(), []);
    // Two segments are left of the three target durations that must stay.
    for name in ["source", "audio"] {
        rig.timelines[0].cut(name);
        (0..5).for_each(|_| rig.timelines[0].slide(name));
    }
    rig.sample(5);
    assert_eq!(rig.rules(), [("P3", 2)]);
    let newest = rig.found().newest;
    let files: Vec<&str> = newest.iter().map(|found| &*found.file).collect();
    assert_eq!(files, ["source/index.m3u8", "audio/index.m3u8"]);
    assert!(newest[0].detail.contains("9 needed"), "{newest:?}");
    assert_eq!(newest[0].stream, id(0));
}

#[test]
fn a_rule_that_many_segments_break_is_counted_for_each_and_told_once() {
    let mut rig = Rig::new(1);
    // All that follows is two seconds ahead of the sound.
    (0..10).for_each(|_| rig.timelines[0].part("source", "part"));
    for name in ["source", "audio"] {
        rig.timelines[0].cut(name);
        (0..3).for_each(|_| rig.timelines[0].segment(name));
    }
    rig.sample(1);
    let found = rig.found();
    assert!(found.rules["M4"] > 1, "{found:?}");
    let told = found.newest.iter().filter(|found| found.rule == "M4");
    assert_eq!(told.count(), 1);
}

#[test]
fn a_rule_is_logged_once_a_minute_for_each_stream_and_the_newest_are_kept() {
    let mut rig = Rig::new(1);
    let broken = check::Violation {
        rule: "P5",
        detail: "ä".repeat(DETAIL_CHARS * 2),
    };
    let mut logged = 0;
    for _ in 0..130 {
        rig.sample(1);
        let before = rig.sampler.logged.len();
        let target = Target::Multivariant;
        let told = rig.sampler.tell(id(0), &target, broken.clone(), &rig.clock);
        add(&mut rig.found.lock().unwrap(), &["P5"], vec![told]);
        logged += rig.sampler.logged.len() - before;
    }
    assert_eq!(logged, 3);
    let newest = rig.found().newest;
    assert_eq!(newest.len(), NEWEST);
    assert_eq!(newest[0].detail.chars().count(), DETAIL_CHARS);
}

#[test]
fn what_is_remembered_is_bounded_with_many_streams() {
    let mut rig = Rig::new(20);
    rig.sample(400);
    assert!(rig.sampler.previous.len() <= 31);
    assert_eq!(rig.found().samples, 400);
}

#[test]
fn streams_without_anything_are_passed_over() {
    let mut rig = Rig::new(0);
    assert_eq!(rig.sample(3), []);
    assert_eq!(rig.found(), Conformance::default());
}
