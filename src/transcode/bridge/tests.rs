use tokio::sync::mpsc;

use std::time::Duration;

use super::*;
use crate::base::clock::Wall;
use crate::hub::Filler;
use crate::hub::story::Happening;
use crate::hub::tap::Demand;
use crate::media::codec::PixelAspect;
use crate::media::{Boundary, MediaKind, Ticks, Track};
use crate::transcode::protocol::{Message, Unit};
use crate::transcode::worker::tests::sound::{encoded_tone, onset_of};
use crate::transcode::worker::tests::{stamp, time_of, video};

mod history;
mod replaced;
mod rooms;

/// This test is the worker process of the others: they run this very program with its name.
#[test]
fn be_the_worker() {
    if std::env::args().any(|argument| argument == "--include-ignored") {
        crate::transcode::run_worker().unwrap();
    }
}

fn config(choice: &str) -> Config {
    let mut config = Config::new(Choice::from_setting(choice), Clock::system()).unwrap();
    let name = module_path!().split_once("::").unwrap().1;
    config.cores = 64;
    config.arguments = ["--exact", "--nocapture", "--include-ignored"]
        .map(str::to_owned)
        .to_vec();
    config.arguments.push(format!("{name}::be_the_worker"));
    config
}

#[derive(Debug)]
enum Call {
    Plan(Vec<String>, bool),
    Add(String, Track),
    Push(u8, AccessUnit),
    Drop(String),
    Thumbnail,
}

struct Outside {
    calls: mpsc::Sender<Call>,
    added: Mutex<u8>,
}

impl Outside {
    fn say(&self, call: Call) {
        self.calls.try_send(call).unwrap();
    }
}

impl Outlet for Outside {
    fn plan(&self, names: Vec<Arc<str>>, keeps_source: bool) {
        self.say(Call::Plan(
            names.iter().map(|name| (**name).to_owned()).collect(),
            keeps_source,
        ));
    }
    fn add_rendition(&self, new: NewRendition) -> Option<RenditionId> {
        assert!(new.peak_bps > new.average_bps);
        self.say(Call::Add((*new.name).to_owned(), new.track));
        let mut added = lock(&self.added);
        *added += 1;
        Some(RenditionId(*added - 1))
    }
    fn push_rendition(&self, id: RenditionId, unit: AccessUnit) {
        self.say(Call::Push(id.0, unit));
    }
    fn note(&self, _what: &Happening) {}
    fn drop_rendition(&self, name: &str) {
        self.say(Call::Drop(name.to_owned()));
    }
    fn set_thumbnail(&self, jpeg: Bytes) {
        assert!(jpeg.starts_with(&[0xff, 0xd8]));
        self.say(Call::Thumbnail);
    }
}

impl Inlet for mpsc::Receiver<Event> {
    fn recv(&mut self) -> impl Future<Output = Option<Event>> + Send {
        mpsc::Receiver::recv(self)
    }
    fn dropped_units(&self) -> u64 {
        0
    }
}

struct Running {
    events: mpsc::Sender<Event>,
    calls: mpsc::Receiver<Call>,
    demand: Demand,
    status: Arc<Status>,
    tasks: Tasks,
}

fn start(config: Config, capabilities: &str) -> Running {
    let (events, inlet) = mpsc::channel(1000);
    let (calls, seen) = mpsc::channel(10_000);
    let (status, tasks) = (Arc::new(Status::default()), Tasks::new());
    let demand = Demand::default();
    let bridge = Bridge {
        inlet,
        outlet: Arc::new(Outside {
            calls,
            added: Mutex::new(0),
        }),
        capabilities: capabilities.split(',').map(str::to_owned).collect(),
        placed: None,
        rooms: None,
        key_units: demand.follow(Clock::system()),
        slate: Some(Slate::default()),
        stand_in: None,
        config: Arc::new(config),
        tasks: tasks.clone(),
        status: status.clone(),
    };
    tasks.spawn(bridge.run());
    Running {
        events,
        calls: seen,
        demand,
        status,
        tasks,
    }
}

fn event(unit: Unit) -> Event {
    let boundary = unit.boundary.map(|time| Boundary {
        sequence: 0,
        time,
        discontinuity: false,
        discontinuity_sequence: 0,
        independent: unit.key,
    });
    let unit = AccessUnit {
        kind: unit.kind,
        dts: unit.dts,
        pts: unit.pts,
        duration: None,
        key: unit.key,
        data: unit.data,
    };
    Event::Unit { unit, boundary }
}

async fn feed(running: &Running, units: impl IntoIterator<Item = Unit>) {
    for unit in units {
        running.events.send(event(unit)).await.unwrap();
    }
}

async fn open(running: &Running, track: &Track, passthrough: bool) {
    let track = Event::Track(Arc::new(track.clone()));
    running.events.send(track).await.unwrap();
    let settled = Event::Settled { passthrough };
    running.events.send(settled).await.unwrap();
}

#[tokio::test]
async fn a_stream_gets_its_planned_rungs_whole() {
    let mut source = video(0..60, 640, 360, 30);
    stamp(&mut source.units, &[0, 30]);
    let (sound, sound_units) = encoded_tone("opus", 48_000, 1.0);
    let mut running = start(config("auto"), "ld,multi-bitrate");
    let audio = Event::Track(Arc::new(sound));
    running.events.send(audio).await.unwrap();
    // The first units come before the decision: they are not lost.
    let track = Event::Track(Arc::new(source.track.clone()));
    running.events.send(track).await.unwrap();
    let rest = source.units.split_off(20);
    feed(&running, source.units).await;
    let settled = Event::Settled { passthrough: false };
    running.events.send(settled).await.unwrap();
    feed(&running, rest).await;
    feed(&running, sound_units).await;
    running.events.send(Event::End).await.unwrap();

    let mut names = Vec::new();
    let mut units: Vec<Vec<AccessUnit>> = Vec::new();
    let (mut planned, mut thumbnails) = (Vec::new(), 0);
    while let Some(call) = running.calls.recv().await {
        match call {
            Call::Plan(plan, _) => planned = plan,
            Call::Add(name, track) => {
                assert_eq!(track.kind() == MediaKind::Audio, name == "ahi");
                names.push(name);
                units.push(Vec::new());
            }
            Call::Push(id, unit) => units[usize::from(id)].push(unit),
            Call::Drop(name) => panic!("{name} was dropped"),
            Call::Thumbnail => thumbnails += 1,
        }
    }
    assert_eq!(planned, ["ld", "vld", "uld", "ahi"]);
    let top = names.iter().position(|name| name == "ld").unwrap();
    let times: Vec<i64> = units[top].iter().map(|unit| unit.pts.0).collect();
    assert_eq!(times, (0..60).map(time_of).collect::<Vec<_>>());
    assert!(units[top].iter().all(|unit| unit.dts == unit.pts));
    let audio = names.iter().position(|name| name == "ahi").unwrap();
    assert!(
        units[audio]
            .iter()
            .all(|unit| unit.kind == MediaKind::Audio)
    );
    assert!(units[audio].len() > 90);
    assert!(thumbnails > 0);
    let shown = running.status.rungs();
    assert_eq!(shown[0].units, 60);
    assert!(shown[0].lag_p95 >= shown[0].lag_median && shown[0].lag_median.is_some());
    assert_eq!(running.status.restarts(), 0);
    running.tasks.finish().await;
}

#[tokio::test]
async fn a_key_unit_that_somebody_wants_is_made_by_the_worker() {
    let mut source = video(0..120, 160, 90, 30);
    stamp(&mut source.units, &[0, 60]);
    let mut running = start(config("auto"), "vvld,multi-bitrate");
    open(&running, &source.track, false).await;
    let rest = source.units.split_off(40);
    feed(&running, source.units).await;
    let (mut keys, mut times, mut rest) = (Vec::new(), Vec::new(), Some(rest));
    while let Some(call) = running.calls.recv().await {
        let Call::Push(0, unit) = call else { continue };
        if let Some(rest) = rest.take() {
            running.demand.want(RenditionId(9));
            running.demand.want(RenditionId(0));
            tokio::task::yield_now().await;
            feed(&running, rest).await;
            running.events.send(Event::End).await.unwrap();
        }
        keys.extend(unit.key.then_some(unit.pts.0));
        times.push(unit.pts.0);
    }
    assert_eq!(keys.len(), 3, "{keys:?}");
    assert_eq!((keys[0], keys[2].max(keys[1])), (time_of(0), keys[2]));
    assert!(keys.contains(&time_of(60)));
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] == 6000));
    running.tasks.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_never_works_is_given_up() {
    let mut config = config("auto");
    config.executable = PathBuf::from("/bin/false");
    let mut running = start(config, "hd,multi-bitrate");
    let source = video(0..2, 640, 360, 30);
    open(&running, &source.track, true).await;
    let mut dropped = Vec::new();
    let mut plans = Vec::new();
    while let Some(call) = running.calls.recv().await {
        match call {
            Call::Plan(names, _) => plans.push(names),
            Call::Drop(name) => dropped.push(name),
            other => panic!("{other:?}"),
        }
    }
    // In the end there is no ladder, so that the source is listed in any case.
    assert_eq!(plans, [vec!["vld", "uld"], vec![]]);
    assert_eq!(dropped, ["vld", "uld"]);
    running.tasks.finish().await;
}

#[tokio::test]
async fn a_ladder_that_the_stream_cuts_off_is_dropped_and_not_left_dangling() {
    let mut source = video(0..40, 160, 90, 30);
    stamp(&mut source.units, &[0, 30]);
    let mut running = start(config("auto"), "uld,multi-bitrate");
    open(&running, &source.track, false).await;
    feed(&running, source.units).await;
    let (events, _inlet) = mpsc::channel(1);
    let mut cut = Some(std::mem::replace(&mut running.events, events));
    let (mut dropped, mut plans) = (Vec::new(), Vec::new());
    while let Some(call) = running.calls.recv().await {
        match call {
            Call::Plan(names, _) => plans.push(names),
            Call::Drop(name) => dropped.push(name),
            // In the middle of it, without an end.
            _ => drop(cut.take()),
        }
    }
    assert_eq!(plans, [vec!["uld"], vec![]]);
    assert_eq!(dropped, ["uld"]);
    running.tasks.finish().await;
}

#[tokio::test]
async fn a_missing_element_ends_the_ladder_at_once() {
    let mut config = config("auto");
    let book = Book {
        encoders: Vec::new(),
        ..Book::built_in()
    };
    config.book = Arc::new(book);
    let mut running = start(config, "vld,multi-bitrate");
    let mut source = video(0..10, 160, 90, 30);
    stamp(&mut source.units, &[0]);
    open(&running, &source.track, false).await;
    for unit in source.units {
        // Nobody listens once it is given up.
        let _ = running.events.send(event(unit)).await;
    }
    let mut dropped = Vec::new();
    let mut plans = Vec::new();
    while let Some(call) = running.calls.recv().await {
        match call {
            Call::Plan(names, _) => plans.push(names),
            Call::Drop(name) => dropped.push(name),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(plans, [vec!["uld"], vec![]]);
    assert_eq!(dropped, ["uld"]);
    assert_eq!(running.status.restarts(), 1);
    running.tasks.finish().await;
}

#[tokio::test]
async fn without_a_ladder_nothing_is_planned_and_nothing_runs() {
    for (choice, capabilities) in [("off", "hd,multi-bitrate"), ("auto", "hd,streaming")] {
        let mut running = start(config(choice), capabilities);
        let source = video(0..1, 640, 360, 30);
        open(&running, &source.track, true).await;
        let Some(Call::Plan(names, true)) = running.calls.recv().await else {
            panic!("no plan");
        };
        // It may have left already.
        let _ = running.events.send(Event::End).await;
        assert_eq!(names, Vec::<String>::new());
        assert!(running.calls.recv().await.is_none());
        assert_eq!(running.status.worker_pid(), None);
        running.tasks.finish().await;
    }
}

#[tokio::test]
async fn sound_that_comes_late_gets_its_encoding_when_it_needs_one() {
    for (codec, capabilities, expected) in [
        ("opus", "vld,multi-bitrate", &["uld", "ahi"][..]),
        ("aac", "vld,multi-bitrate", &["uld"]),
        // No ladder at all up to then.
        ("opus", "vld,streaming", &["ahi"]),
        ("aac", "vld,streaming", &[]),
    ] {
        let mut source = video(0..60, 160, 90, 30);
        stamp(&mut source.units, &[0, 30]);
        let (sound, sound_units) = encoded_tone(codec, 48_000, 1.0);
        let mut running = start(config("auto"), capabilities);
        open(&running, &source.track, false).await;
        let Some(Call::Plan(planned, true)) = running.calls.recv().await else {
            panic!("no plan");
        };
        assert!(!planned.iter().any(|name| name == "ahi"), "{planned:?}");
        let rest = source.units.split_off(10);
        feed(&running, source.units).await;
        let track = Event::Track(Arc::new(sound));
        running.events.send(track).await.unwrap();
        for unit in rest.into_iter().chain(sound_units) {
            // Nobody listens any more where there is nothing to make.
            let _ = running.events.send(event(unit)).await;
        }
        let _ = running.events.send(Event::End).await;
        let (mut names, mut frames) = (Vec::new(), 0);
        while let Some(call) = running.calls.recv().await {
            match call {
                Call::Add(name, _) => names.push(name),
                Call::Push(_, unit) => frames += usize::from(unit.kind == MediaKind::Audio),
                Call::Plan(..) | Call::Drop(_) => panic!("{call:?}"),
                Call::Thumbnail => {}
            }
        }
        names.sort_by_key(|name| expected.iter().position(|other| other == name));
        assert_eq!(names, expected, "{codec} {capabilities}");
        assert_eq!(frames > 90, expected.contains(&"ahi"), "{frames} frames");
        running.tasks.finish().await;
    }
}

#[tokio::test]
async fn beside_a_cut_picture_the_source_is_not_listed() {
    for (aspect, keeps) in [("9x16", false), ("16x9", true)] {
        let source = video(0..1, 640, 360, 30);
        let words = format!("ld,multi-bitrate,aspect-ratio={aspect}");
        let mut running = start(config("auto"), &words);
        open(&running, &source.track, true).await;
        let Some(Call::Plan(names, keeps_source)) = running.calls.recv().await else {
            panic!("no plan");
        };
        assert!(!names.is_empty());
        assert_eq!(keeps_source, keeps, "{aspect}");
        running.tasks.finish().await;
    }
}

#[test]
fn rungs_are_sized_in_square_pixels() {
    let mut track = video(0..1, 144, 96, 30).track;
    for (shape, expected) in [
        (None, (144, 96)),
        (Some((1, 1)), (144, 96)),
        (Some((4, 3)), (192, 96)),
        (Some((8, 9)), (128, 96)),
        (Some((1, 100)), (144, 96)),
    ] {
        let CodecConfig::Avc(config) = &mut track.config else {
            panic!("not H.264");
        };
        config.pixel_aspect = shape.map(|(horizontal, vertical)| PixelAspect {
            horizontal,
            vertical,
        });
        assert_eq!(square(&track), Some(expected), "{shape:?}");
    }
}

fn hold_event(until: usize, boundary: Option<usize>) -> Event {
    let boundary = boundary.map(|number| Boundary {
        sequence: 0,
        time: Ticks(time_of(number)),
        discontinuity: false,
        discontinuity_sequence: 0,
        independent: true,
    });
    Event::Hold {
        until: Ticks(time_of(until)),
        boundary,
        filler: Filler::Slate,
    }
}
