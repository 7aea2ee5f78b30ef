use super::*;
use crate::hub::tap::{self, KeyUnits, Needs, Tap, Tapped};
use crate::media::codec::{avc, opus};

/// A picture of 640x360.
fn picture() -> Track {
    let record = Bytes::from_static(include_bytes!("../../../../tests/data/codec/avc_crop.avcc"));
    Track {
        config: CodecConfig::Avc(avc::Config::parse(record).unwrap()),
        timescale: Timescale::CHANNEL,
    }
}

fn new(name: &str, track: Track) -> NewRendition {
    NewRendition {
        track,
        ..rung(name)
    }
}

fn opus() -> NewRendition {
    let config = CodecConfig::Opus(opus::Config::new(2).unwrap());
    let timescale = Timescale::of(48_000);
    new("opus", Track { config, timescale })
}

fn frame(number: i64, key: bool) -> AccessUnit {
    AccessUnit {
        kind: MediaKind::Video,
        dts: Ticks(number * 3600),
        pts: Ticks(number * 3600),
        duration: Some(Ticks(3600)),
        key,
        data: Bytes::from_static(b"picture"),
    }
}

/// What a tap was told, in words, as far as it is there.
fn told(tap: &mut Tap) -> Vec<String> {
    let mut told = Vec::new();
    while let Some(event) = now(tap.recv()) {
        told.push(match event {
            None => {
                told.push("none".to_owned());
                break;
            }
            Some(tap::Event::Rendition(it)) => format!("rendition {} {}", it.id.0, it.name),
            Some(tap::Event::Track(id, _)) => format!("track {}", id.0),
            Some(tap::Event::Unit(id, unit)) => {
                let mark = if unit.key { "!" } else { "" };
                format!("{} at {}{mark}", id.0, unit.pts.0 / 3600)
            }
            Some(tap::Event::Removed(id)) => format!("removed {}", id.0),
            Some(tap::Event::Break) => "break".to_owned(),
            Some(tap::Event::End) => "end".to_owned(),
        });
    }
    told
}

/// What a future gives without waiting.
fn now<F: Future>(future: F) -> Option<F::Output> {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(future).poll(&mut context) {
        std::task::Poll::Ready(output) => Some(output),
        std::task::Poll::Pending => None,
    }
}

/// A ladder's stream with one rung of pictures.
fn with_rung() -> (Bench, RenditionId) {
    let bench = Bench::new(true);
    let id = bench.stream.add_rendition(new("sd", picture())).unwrap();
    (bench, id)
}

#[test]
fn a_tap_is_told_what_exists_and_gets_units_of_what_it_chose() {
    let bench = Bench::new(false);
    let mut publisher = bench.publisher();
    bench.play(&mut publisher, 0);
    let mut tap = bench.stream.tap(100);
    let mut other = bench.stream.tap(100);
    assert_eq!(told(&mut tap), ["rendition 0 audio"]);
    bench.play(&mut publisher, 10);
    assert_eq!(told(&mut tap), Vec::<String>::new(), "nothing is chosen");
    tap.choose(&[RenditionId(0)]);
    bench.play(&mut publisher, 20);
    assert_eq!(told(&mut tap).len(), 10);
    tap.choose(&[]);
    bench.play(&mut publisher, 30);
    assert_eq!(told(&mut tap), Vec::<String>::new());
    assert_eq!(told(&mut other), ["rendition 0 audio"]);
}

#[test]
fn sources_units_are_in_channel_time_and_rungs_units_as_they_were_pushed() {
    let (bench, rung) = with_rung();
    let mut publisher = bench.publisher();
    bench.play(&mut publisher, 0);
    let mut tap = bench.stream.tap(100);
    tap.choose(&[rung, RenditionId(1)]);
    bench.play(&mut publisher, 10);
    bench.stream.push_rendition(rung, frame(7, true));
    let mut times = Vec::new();
    while let Some(Some(event)) = now(tap.recv()) {
        if let tap::Event::Unit(id, unit) = event {
            times.push((id.0, unit.pts.0));
        }
    }
    let sound: Vec<i64> = (10..20).map(|frame| frame * 1024).collect();
    let of = |id| times.iter().filter(move |(of, _)| *of == id);
    assert_eq!(of(1).map(|(_, pts)| *pts).collect::<Vec<_>>(), sound);
    assert_eq!(of(0).collect::<Vec<_>>(), [&(0, 7 * 3600)]);
}

#[test]
fn a_rung_begins_for_a_tap_with_a_key_unit_whether_a_segment_opens_or_not() {
    let (bench, rung) = with_rung();
    let mut tap = bench.stream.tap(100);
    bench.stream.push_rendition(rung, frame(0, true));
    tap.choose(&[rung]);
    for number in 1..6 {
        bench
            .stream
            .push_rendition(rung, frame(number, number == 3));
    }
    assert_eq!(
        told(&mut tap),
        ["rendition 0 sd", "0 at 3!", "0 at 4", "0 at 5"]
    );
    // Chosen again, it goes on; chosen anew, it begins.
    tap.choose(&[rung]);
    bench.stream.push_rendition(rung, frame(6, false));
    tap.choose(&[]);
    bench.stream.push_rendition(rung, frame(7, false));
    tap.choose(&[rung]);
    bench.stream.push_rendition(rung, frame(8, false));
    bench.stream.push_rendition(rung, frame(9, true));
    assert_eq!(told(&mut tap), ["0 at 6", "0 at 9!"]);
    assert_eq!(tap.dropped_units(), 0, "nothing was lost to slowness");
}

#[test]
fn a_slow_tap_loses_units_up_to_a_key_unit_and_nothing_else() {
    let (bench, rung) = with_rung();
    let mut tap = bench.stream.tap(8);
    tap.choose(&[rung]);
    for number in 0..20 {
        bench
            .stream
            .push_rendition(rung, frame(number, number % 5 == 0));
    }
    bench.stream.drop_rendition("sd");
    bench.stream.add_rendition(new("ld", picture())).unwrap();
    let log = told(&mut tap);
    assert_eq!(log[..2], ["rendition 0 sd", "0 at 0!"]);
    let units = log.iter().filter(|line| line.starts_with("0 at")).count();
    assert_eq!(tap.dropped_units(), 20 - units as u64);
    bench.stream.push_rendition(RenditionId(1), frame(20, true));
    assert_eq!(told(&mut tap), ["removed 0", "rendition 1 ld"]);
}

#[test]
fn a_tap_goes_on_behind_what_it_lost_with_a_key_unit() {
    let (bench, rung) = with_rung();
    let mut tap = bench.stream.tap(8);
    tap.choose(&[rung]);
    for number in 0..12 {
        bench
            .stream
            .push_rendition(rung, frame(number, number == 0));
    }
    told(&mut tap);
    let lost = tap.dropped_units();
    assert!(lost > 0);
    for number in 12..15 {
        bench
            .stream
            .push_rendition(rung, frame(number, number == 14));
    }
    assert_eq!(told(&mut tap), ["0 at 14!"]);
    assert_eq!(tap.dropped_units(), lost + 2);
}

#[test]
fn an_end_reaches_a_tap_whose_queue_is_full_and_one_that_comes_late() {
    let (bench, rung) = with_rung();
    let mut tap = bench.stream.tap(8);
    tap.choose(&[rung]);
    for number in 0..20 {
        bench.stream.push_rendition(rung, frame(number, true));
    }
    bench.stream.drop_rendition("sd");
    bench.stream.end();
    let log = told(&mut tap);
    assert_eq!(log[log.len() - 3..], ["removed 0", "end", "none"]);
    assert_eq!(told(&mut bench.stream.tap(8)), ["end", "none"]);
}

#[test]
fn a_tap_that_is_never_read_is_cut_off_and_costs_no_more() {
    let (bench, _) = with_rung();
    let mut tap = bench.stream.tap(8);
    let id = bench.stream.add_private(opus()).unwrap();
    for _ in 0..1000 {
        bench.stream.drop_private(id);
        bench.stream.add_private(opus()).unwrap();
    }
    let log = told(&mut tap);
    assert!(log.len() < 300, "{}", log.len());
    assert!(!log.contains(&"end".to_owned()));
    assert_eq!(log.last().unwrap(), "none");
}

#[test]
fn what_is_made_for_rooms_reaches_taps_and_no_player() {
    let bench = Bench::new(false);
    let mut tap = bench.stream.tap(100);
    let id = bench.stream.add_private(opus()).unwrap();
    tap.choose(&[id]);
    let mut publisher = bench.publisher();
    bench.play(&mut publisher, 0);
    bench.stream.push_private(id, frame(0, true));
    bench.stream.drop_private(id);
    bench.stream.push_private(id, frame(1, true));
    let again = bench.stream.add_private(opus()).unwrap();
    assert_eq!(again, id, "a name keeps its id");
    let unit = format!("{} at 0!", id.0);
    let (there, gone) = (
        format!("rendition {} opus", id.0),
        format!("removed {}", id.0),
    );
    assert_eq!(
        told(&mut tap),
        [&there, "rendition 0 audio", &unit, &gone, &there]
    );
    assert_eq!(bench.log(), ["rendition audio", "0 opens 0", "listed [0]"]);
    assert_eq!(
        told(&mut bench.stream.tap(9)),
        ["rendition 0 audio", &there]
    );
    bench.stream.end();
    assert_eq!(bench.stream.add_private(opus()), None);
}

#[test]
fn a_break_reaches_taps() {
    let bench = Bench::new(false);
    let mut publisher = bench.publisher();
    bench.play(&mut publisher, 0);
    let mut tap = bench.stream.tap(100);
    drop(publisher);
    assert_eq!(told(&mut tap), ["rendition 0 audio", "break"]);
}

#[test]
fn needs_are_those_of_all_taps_that_live() {
    let bench = Bench::new(false);
    let (one, two) = (bench.stream.tap(8), bench.stream.tap(8));
    let mut needs = bench.stream.needs();
    let opus = Needs {
        opus: true,
        picture: false,
    };
    let both = Needs {
        picture: true,
        ..opus
    };
    one.need(opus);
    two.need(both);
    assert_eq!(*needs.borrow_and_update(), both);
    two.need(opus);
    assert_eq!(*needs.borrow_and_update(), opus);
    drop(one);
    assert!(!needs.has_changed().unwrap(), "the other one needs it, too");
    drop(two);
    assert_eq!(*needs.borrow_and_update(), Needs::default());
}

/// Whom a key unit is to be made of by now.
fn due(key_units: &mut KeyUnits) -> Vec<u8> {
    let mut due = Vec::new();
    while let Some(Some(id)) = now(key_units.recv()) {
        due.push(id.0);
    }
    due
}

#[tokio::test]
async fn key_units_on_demand_come_once_a_second_and_no_wish_is_lost() {
    let bench = Bench::new(true);
    let tap = bench.stream.tap(8);
    tap.want_key_unit(RenditionId(9));
    let mut key_units = bench.stream.key_units();
    assert_eq!(due(&mut key_units), [0_u8; 0], "it was before");
    let (one, two) = (RenditionId(1), RenditionId(2));
    for _ in 0..50 {
        tap.want_key_unit(one);
    }
    assert_eq!(due(&mut key_units), [1]);
    bench.clock.advance(Duration::from_millis(400));
    tap.want_key_unit(one);
    tap.want_key_unit(two);
    assert_eq!(due(&mut key_units), [2]);
    bench.clock.advance(Duration::from_millis(599));
    tap.want_key_unit(one);
    assert_eq!(due(&mut key_units), [0_u8; 0]);
    bench.clock.advance(Duration::from_millis(1));
    assert_eq!(due(&mut key_units), [1], "what came between is served once");
    bench.clock.advance(Duration::from_secs(5));
    assert_eq!(due(&mut key_units), [0_u8; 0]);
}

#[tokio::test]
async fn a_wish_for_a_key_unit_wakes_who_waits_when_its_second_is_over() {
    let bench = Bench::new(true);
    let tap = bench.stream.tap(8);
    let mut key_units = bench.stream.key_units();
    tap.want_key_unit(RenditionId(1));
    assert_eq!(key_units.recv().await, Some(RenditionId(1)));
    tap.want_key_unit(RenditionId(1));
    bench.clock.advance(Duration::from_millis(999));
    let (clock, served) = (bench.clock.clone(), key_units.recv());
    let (_, served) = tokio::join!(async { clock.advance(Duration::from_millis(1)) }, served);
    assert_eq!(served, Some(RenditionId(1)));
}

#[test]
fn a_key_unit_on_demand_opens_no_segment() {
    let opened = |wanted: &[i64]| {
        let (bench, rung) = with_rung();
        bench.stream.plan(vec!["sd".into()], true);
        let mut publisher = bench.publisher();
        for turn in 0..60 {
            bench.play(&mut publisher, turn * 10);
        }
        bench.log();
        // A boundary every 94 frames of sound, and with the next picture an IDR.
        let mut due = 0;
        for number in 0..300 {
            let boundary = number * 3600 >= due;
            due += if boundary { 180_480 } else { 0 };
            let key = boundary || wanted.contains(&number);
            bench.stream.push_rendition(rung, frame(number, key));
        }
        bench.log()
    };
    let plain = opened(&[]);
    assert!(plain.len() > 3, "{plain:?}");
    assert_eq!(opened(&[7, 33, 50, 52, 120, 148, 149]), plain);
}
