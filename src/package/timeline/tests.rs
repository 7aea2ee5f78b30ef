use bytes::Bytes;

use super::*;
use crate::media::{Ticks, Timescale, rescale};
use crate::package::sample::{SOUND as SCALE, audio_track, boundary, rules, sound, video_track};

/// What parts are numbered from.
const NOW: Wall = Wall(1_790_000_000_000_000);

struct Bench {
    live: Arc<Live>,
    outlet: Box<dyn Outlet>,
    frame: i64,
}

const AUDIO: RenditionId = RenditionId(0);

impl Bench {
    fn new() -> Bench {
        let live = Live::new(rules(), NOW);
        let mut outlet = live.outlet();
        outlet.handle_rendition(&Arc::new(Rendition {
            id: AUDIO,
            name: "audio".into(),
            track: Arc::new(audio_track()),
            peak_bps: 0,
            average_bps: 0,
            frame_rate_millis: 0,
            source: true,
        }));
        Bench {
            live,
            outlet,
            frame: 0,
        }
    }

    /// Segments of 90 frames, 1.92 s.
    fn play(&mut self, frames: i64) {
        for _ in 0..frames {
            let dts = Ticks(self.frame * 1024);
            let time = rescale(dts, SCALE, Timescale::CHANNEL);
            let sequence = 100 + self.frame.unsigned_abs() / 90;
            let opened = if self.frame % 90 == 0 {
                vec![boundary(sequence, time.0)]
            } else {
                vec![]
            };
            let unit = AccessUnit {
                data: Bytes::from(vec![0_u8; 300]),
                ..sound(dts.0, Some(1024))
            };
            self.outlet.handle_unit(AUDIO, unit, &opened);
            self.frame += 1;
        }
    }
}

fn whole(found: Found) -> Vec<u8> {
    match found {
        Found::Whole(pieces) => pieces.concat(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_segment_is_its_parts_byte_for_byte() {
    let mut bench = Bench::new();
    bench.play(100);
    let snapshot = bench.live.snapshot("audio").unwrap();
    let segment = &snapshot.segments[0];
    assert!(segment.complete);
    let parts = segment
        .parts
        .iter()
        .map(|part| whole(bench.live.find("audio", Resource::Part(part.number))));
    let joined: Vec<u8> = parts.flatten().collect();
    assert_eq!(
        whole(
            bench
                .live
                .find("audio", Resource::Segment(segment.sequence))
        ),
        joined
    );
}

#[test]
fn the_window_slides_and_removed_segments_stay_as_long_again() {
    let mut bench = Bench::new();
    bench.play(90 * 60);
    let snapshot = bench.live.snapshot("audio").unwrap();
    let first = snapshot.segments[0].sequence;
    let listed: f64 = snapshot
        .segments
        .iter()
        .map(|segment| segment.duration.seconds(SCALE))
        .sum();
    assert!((20.0..24.0).contains(&listed), "{listed} s listed");
    assert!(
        snapshot
            .segments
            .windows(2)
            .all(|pair| pair[1].sequence == pair[0].sequence + 1)
    );
    whole(bench.live.find("audio", Resource::Segment(first - 1)));
    whole(bench.live.find("audio", Resource::Segment(first - 10)));
    assert!(matches!(
        bench.live.find("audio", Resource::Segment(first - 20)),
        Found::Missing
    ));
    let held = bench.live.held();
    assert!(
        held[0].bytes < 90 * 340 * 30,
        "{} bytes held",
        held[0].bytes
    );
}

#[test]
fn the_next_part_and_the_next_segment_are_announced() {
    let mut bench = Bench::new();
    bench.play(95);
    let progress = bench.live.progress("audio").unwrap();
    assert!(matches!(
        bench.live.find("audio", Resource::Part(progress.next_part)),
        Found::Announced
    ));
    assert!(matches!(
        bench
            .live
            .find("audio", Resource::Part(progress.next_part + 1)),
        Found::Missing
    ));
    assert!(matches!(
        bench.live.find("audio", Resource::Segment(102)),
        Found::Announced
    ));
    assert!(matches!(
        bench.live.find("audio", Resource::Segment(103)),
        Found::Missing
    ));
    bench.play(20);
    assert!(matches!(
        bench.live.find("audio", Resource::Segment(101)),
        Found::Growing(_)
    ));
}

#[test]
fn nobody_waits_in_a_gap_where_rungs_go_on() {
    let mut bench = Bench::new();
    bench.play(90);
    bench.outlet.handle_gap(AUDIO, &boundary(101, 172_800));
    let next = bench.live.progress("audio").unwrap().next_part;
    let find = |bench: &Bench| bench.live.find("audio", Resource::Part(next));
    assert!(
        matches!(find(&bench), Found::Announced),
        "there is nothing else"
    );
    bench.outlet.handle_rendition(&Arc::new(Rendition {
        id: RenditionId(1),
        name: "ld".into(),
        track: Arc::new(video_track(640)),
        peak_bps: 0,
        average_bps: 0,
        frame_rate_millis: 0,
        source: false,
    }));
    assert!(matches!(find(&bench), Found::Missing));
}

#[tokio::test]
async fn who_waits_is_woken_by_the_next_part() {
    let mut bench = Bench::new();
    bench.play(95);
    let live = bench.live.clone();
    let seen = live.progress("audio").unwrap();
    assert!(!seen.contains(101, Some(0)));
    let waiting = tokio::task::spawn_blocking(move || {
        tokio::runtime::Handle::current().block_on(live.changed("audio", seen.version));
        live.progress("audio").unwrap()
    });
    bench.play(5);
    assert!(waiting.await.unwrap().contains(101, Some(0)));
}

#[test]
fn the_declared_peak_is_never_below_a_listed_segments_rate() {
    let mut bench = Bench::new();
    bench.play(10);
    bench.outlet.handle_listed(&[AUDIO]);
    bench.play(400);
    let declared = bench.live.description().unwrap().audio[0].peak_bps;
    for segment in bench
        .live
        .snapshot("audio")
        .unwrap()
        .segments
        .iter()
        .filter(|segment| segment.complete)
    {
        let rate = segment.size() as f64 * 8.0 / segment.duration.seconds(SCALE);
        assert!(rate <= f64::from(declared), "{rate} above {declared}");
    }
}

#[test]
fn the_end_completes_the_last_segment_and_announces_nothing() {
    let mut bench = Bench::new();
    bench.play(100);
    bench.outlet.handle_listed(&[AUDIO]);
    bench.outlet.handle_end();
    let snapshot = bench.live.snapshot("audio").unwrap();
    assert!(snapshot.ended && snapshot.segments.iter().all(|segment| segment.complete));
    assert!(bench.live.description().unwrap().ended);
    assert!(matches!(
        bench.live.find("audio", Resource::Part(snapshot.next_part)),
        Found::Missing
    ));
}

#[tokio::test]
async fn who_waits_for_the_running_segment_sees_that_the_process_stops() {
    let mut bench = Bench::new();
    bench.play(100);
    let live = bench.live.clone();
    let seen = live.progress("audio").unwrap().version;
    let waiting = live.changed("audio", seen);
    let stopping = async { bench.outlet.handle_stop() };
    tokio::join!(waiting, stopping);
    let snapshot = live.snapshot("audio").unwrap();
    assert!(snapshot.stopped && !snapshot.ended);
    assert!(snapshot.segments.iter().all(|segment| segment.complete));
}
