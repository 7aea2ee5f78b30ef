use tokio::sync::mpsc;

use std::time::Duration;

use super::*;
use crate::base::clock::Wall;
use crate::hub::Filler;
use crate::hub::story::Happening;
use crate::media::codec::PixelAspect;
use crate::media::{Boundary, MediaKind, Ticks, Track};
use crate::transcode::protocol::{Message, Unit};
use crate::transcode::worker::tests::{encoded_tone, stamp, time_of, video};

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
    status: Arc<Status>,
    tasks: Tasks,
}

fn start(config: Config, capabilities: &str) -> Running {
    let (events, inlet) = mpsc::channel(1000);
    let (calls, seen) = mpsc::channel(10_000);
    let (status, tasks) = (Arc::new(Status::default()), Tasks::new());
    let bridge = Bridge {
        inlet,
        outlet: Arc::new(Outside {
            calls,
            added: Mutex::new(0),
        }),
        capabilities: capabilities.split(',').map(str::to_owned).collect(),
        slate: Slate::default(),
        stand_in: None,
        config: Arc::new(config),
        tasks: tasks.clone(),
        status: status.clone(),
    };
    tasks.spawn(bridge.run());
    Running {
        events,
        calls: seen,
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

/// Times of rung 0's pictures up to the one with this number, and of those that are key units.
async fn pictures_to(running: &mut Running, last: usize) -> (Vec<i64>, Vec<i64>) {
    let (mut times, mut keys) = (Vec::new(), Vec::new());
    while times.last().is_none_or(|time| *time < time_of(last)) {
        match running.calls.recv().await.unwrap() {
            Call::Push(0, unit) => {
                times.push(unit.pts.0);
                keys.extend(unit.key.then_some(unit.pts.0));
            }
            Call::Drop(name) => panic!("{name} was dropped"),
            // One rendition, added once.
            Call::Add(name, _) => assert_eq!((name.as_str(), times.len()), ("uld", 0)),
            _ => {}
        }
    }
    (times, keys)
}

fn signal(status: &Status, name: &str) {
    let pid = status.worker_pid().unwrap().to_string();
    let mut kill = std::process::Command::new("kill");
    assert!(kill.args([name, &pid]).status().unwrap().success());
}

/// Every second picture: the rung has half the rate.
fn half_rate(numbers: std::ops::Range<usize>) -> Vec<i64> {
    numbers.step_by(2).map(time_of).collect()
}

#[tokio::test]
async fn viewers_notice_nothing_of_a_killed_worker() {
    let mut source = video(0..120, 160, 90, 30);
    stamp(&mut source.units, &[0, 30, 60, 90]);
    let mut running = start(config("auto"), "vld,multi-bitrate");
    open(&running, &source.track, false).await;
    let rest = source.units.split_off(50);
    feed(&running, source.units).await;
    let (mut times, mut keys) = pictures_to(&mut running, 40).await;
    signal(&running.status, "-9");
    feed(&running, rest).await;
    for last in [110, 118] {
        let later = pictures_to(&mut running, last).await;
        times.extend(later.0);
        keys.extend(later.1);
        if last == 110 {
            // The decoder keeps the last pictures until then.
            running.events.send(Event::End).await.unwrap();
        }
    }
    assert_eq!(running.status.restarts(), 1);
    // Not one picture is missing, and one IDR more than there are boundaries.
    assert_eq!(times, half_rate(0..120));
    let more = keys
        .iter()
        .filter(|key| ![0, 30, 60, 90].map(time_of).contains(key));
    let more: Vec<i64> = more.copied().collect();
    assert!(
        more.len() <= 1
            && more
                .iter()
                .all(|time| (time_of(41)..time_of(60)).contains(time))
    );
    running.tasks.finish().await;
}

#[tokio::test]
async fn sound_goes_on_frame_by_frame_after_a_killed_worker() {
    let (sound, mut units) = encoded_tone("opus", 48_000, 1.0);
    let mut running = start(config("auto"), "vld,streaming");
    open(&running, &sound, true).await;
    let rest = units.split_off(50);
    feed(&running, units).await;
    let mut times = Vec::new();
    let mut rest = Some(rest);
    while let Some(call) = running.calls.recv().await {
        match call {
            Call::Push(0, unit) => times.push(unit.pts.0),
            Call::Drop(name) => panic!("{name} was dropped"),
            _ => {}
        }
        if times.len() == 30
            && let Some(rest) = rest.take()
        {
            signal(&running.status, "-9");
            feed(&running, rest).await;
        }
        if times.len() == 85 {
            running.events.send(Event::End).await.unwrap();
        }
    }
    assert_eq!(running.status.restarts(), 1);
    assert!(times.len() > 90);
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] == 1024));
    running.tasks.finish().await;
}

#[tokio::test]
async fn a_worker_that_hangs_is_replaced() {
    let mut source = video(0..150, 160, 90, 30);
    stamp(&mut source.units, &[0, 30, 60, 90, 120]);
    let clock = Clock::simulated(Wall(0));
    let config = Config {
        clock: clock.clone(),
        ..config("auto")
    };
    let mut running = start(config, "vld,multi-bitrate");
    open(&running, &source.track, false).await;
    let rest = source.units.split_off(50);
    feed(&running, source.units).await;
    let (mut times, _) = pictures_to(&mut running, 40).await;
    signal(&running.status, "-STOP");
    feed(&running, rest).await;
    let mut look = tokio::time::interval(Duration::from_millis(10));
    while running.status.restarts() == 0 {
        look.tick().await;
        clock.advance(Duration::from_millis(100));
    }
    times.extend(pictures_to(&mut running, 140).await.0);
    running.events.send(Event::End).await.unwrap();
    times.extend(pictures_to(&mut running, 148).await.0);
    assert_eq!(times, half_rate(0..150));
    running.tasks.finish().await;
}

#[tokio::test]
async fn a_worker_that_is_killed_in_a_hole_goes_on_in_it() {
    let mut source = video(0..30, 160, 90, 30);
    stamp(&mut source.units, &[0]);
    let mut running = start(config("auto"), "vld,multi-bitrate");
    open(&running, &source.track, false).await;
    feed(&running, source.units).await;
    running.events.send(Event::Break).await.unwrap();
    let hold = async |running: &Running, until: usize| {
        let hold = hold_event(until, until.is_multiple_of(60).then_some(until - 3));
        running.events.send(hold).await.unwrap();
    };
    for until in (33..303).step_by(3) {
        hold(&running, until).await;
    }
    let (mut times, _) = pictures_to(&mut running, 290).await;
    signal(&running.status, "-9");
    for until in (303..603).step_by(3) {
        hold(&running, until).await;
    }
    times.extend(pictures_to(&mut running, 596).await.0);
    assert_eq!(running.status.restarts(), 1);
    let steps: Vec<i64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    // Shorter only where a boundary comes after an odd number of pictures.
    assert!(
        steps.iter().all(|step| [3000, 6000].contains(step)),
        "{steps:?}"
    );
    running.tasks.finish().await;
}

#[tokio::test]
async fn a_source_that_can_be_listed_no_longer_is_made_by_the_worker() {
    for (width, height, rungs) in [
        (640, 360, &["vld", "uld"][..]),
        // Nothing was made up to then.
        (160, 90, &[]),
    ] {
        let mut source = video(0..120, width, height, 30);
        stamp(&mut source.units, &[0, 30, 60, 90]);
        let mut running = start(config("auto"), "hd,multi-bitrate");
        open(&running, &source.track, true).await;
        let mut rest = Some(source.units.split_off(50));
        feed(&running, source.units).await;
        let mut made: Vec<(String, Vec<i64>)> = Vec::new();
        loop {
            let far = made
                .iter()
                .any(|(_, times)| times.last() > Some(&time_of(40)));
            if (far || rungs.is_empty())
                && let Some(rest) = rest.take()
            {
                let leaves = Event::Settled { passthrough: false };
                running.events.send(leaves).await.unwrap();
                feed(&running, rest).await;
                running.events.send(Event::End).await.unwrap();
            }
            match running.calls.recv().await {
                None => break,
                Some(Call::Add(name, track)) => {
                    if name == "source" {
                        let size = (width as u32, height as u32);
                        assert_eq!(track.resolution(), Some(size));
                    }
                    made.push((name, Vec::new()));
                }
                Some(Call::Push(id, unit)) => made[usize::from(id)].1.push(unit.pts.0),
                Some(Call::Drop(name)) => panic!("{name} was dropped"),
                Some(_) => {}
            }
        }
        let times = |name: &str| {
            let found = made.iter().find(|(other, _)| other == name);
            found.unwrap().1.clone()
        };
        assert_eq!(made.len(), rungs.len() + 1);
        for rung in rungs {
            assert_eq!(times(rung), half_rate(0..120), "{rung}");
        }
        let source = times("source");
        assert!([0, 30, 60].map(time_of).contains(&source[0]));
        let whole = (0..120).map(time_of).filter(|time| *time >= source[0]);
        assert_eq!(source, whole.collect::<Vec<_>>());
        assert_eq!(running.status.restarts(), 0);
        running.tasks.finish().await;
    }
}

#[tokio::test]
async fn a_rung_is_given_up_when_the_worker_is_too_slow() {
    let clock = Clock::simulated(Wall(0));
    let config = Config {
        clock: clock.clone(),
        ..config("auto")
    };
    let (_events, inlet) = mpsc::channel::<Event>(1);
    let (calls, mut seen) = mpsc::channel(100);
    let bridge = Bridge {
        inlet,
        outlet: Arc::new(Outside {
            calls,
            added: Mutex::new(0),
        }),
        capabilities: vec!["ld".to_owned(), "multi-bitrate".to_owned()],
        slate: Slate::default(),
        stand_in: None,
        config: Arc::new(config),
        tasks: Tasks::new(),
        status: Arc::new(Status::default()),
    };
    let source = video(0..3, 640, 360, 30);
    let mut history = History::default();
    history.add(Event::Track(Arc::new(source.track)));
    let mut setup = bridge.setup(&history, bridge.decide(&history, false));
    bridge.status.open(&setup);
    let mut watch = bridge.watch(&history);
    let mut orders = Vec::new();
    for second in 0..60 {
        clock.advance(Duration::from_secs(1));
        let now = clock.monotonic();
        bridge.status.note_media(Ticks(second * 90_000), false, now);
        // Half of real time: in motion, and further and further behind.
        let end = Ticks(second * 45_000);
        for rung in bridge.status.video_rungs() {
            let place = bridge.status.place(&rung).unwrap();
            if second == 0 {
                let track = history.video().unwrap().clone();
                bridge.status.set_rendition(place, RenditionId(0), track);
            }
            bridge.status.note_unit(place, end, None, now);
        }
        orders.extend(bridge.look(&mut watch, &mut history, &setup).unwrap());
    }
    // The least valuable first, never the last one.
    assert_eq!(setup.video.len(), 3);
    let shed = |index| Message::Shed { index };
    assert_eq!(orders, [shed(2), shed(1)]);
    for name in ["uld", "vld"] {
        assert!(matches!(seen.recv().await, Some(Call::Drop(dropped)) if dropped == name));
    }
    assert_eq!(bridge.status.video_rungs(), ["ld"]);
    // Another worker does not make them either.
    bridge.status.prepare(&mut setup);
    assert_eq!(setup.video.len(), 1);
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

/// Everything that a new worker is told.
fn replay(history: &mut History) -> Vec<Message> {
    let mut all = history.rewind();
    all.extend(std::iter::from_fn(|| history.next()));
    all
}

#[test]
fn the_history_goes_back_to_before_what_was_published_last() {
    let mut source = video(0..90, 64, 64, 30);
    stamp(&mut source.units, &[0, 30, 60]);
    let mut history = History::default();
    history.add(Event::Track(Arc::new(source.track.clone())));
    for unit in source.units {
        history.add(event(unit));
    }
    assert_eq!(replay(&mut history).len(), 91);
    // Not quite: other tracks may be behind.
    history.release(Ticks(time_of(31)));
    assert_eq!(replay(&mut history).len(), 91);
    history.release(Ticks(time_of(59)));
    let all = replay(&mut history);
    assert!(matches!(&all[0], Message::Track(track) if **track == source.track));
    let Message::Unit(first) = &all[1] else {
        panic!("no unit");
    };
    assert_eq!((first.key, first.pts.0), (true, time_of(30)));
    assert_eq!(all.len(), 61);
    history.release_all();
    assert_eq!(replay(&mut history).len(), 31);
    assert_eq!(history.lost_units(), 0);
    assert_eq!(history.frame_rate_millis(), 30_000);
}

#[test]
fn a_worker_gets_what_it_has_not_got_while_the_past_is_forgotten() {
    let mut source = video(0..90, 64, 64, 30);
    stamp(&mut source.units, &[0, 30, 60]);
    let mut history = History::default();
    let mut got = Vec::new();
    for (at, unit) in source.units.into_iter().enumerate() {
        history.add(event(unit));
        if at % 3 != 0 {
            got.extend(history.next());
        }
        history.release(Ticks(time_of(at) - 60_000));
    }
    got.extend(std::iter::from_fn(|| history.next()));
    assert!(!history.has_next());
    assert_eq!(got.len(), 90);
    let mut times: Vec<i64> = got
        .iter()
        .map(|message| match message {
            Message::Unit(unit) => unit.dts.0,
            other => panic!("{other:?}"),
        })
        .collect();
    assert!(times.is_sorted());
    times.dedup();
    assert_eq!(times.len(), 90);
}

#[test]
fn a_worker_that_skips_opens_the_boundary_that_it_has_not_got() {
    // A key unit every second, a boundary every two, never on a key unit.
    let mut source = video(0..300, 64, 64, 30);
    stamp(&mut source.units, &[0, 45, 105, 165, 225, 255]);
    let mut history = History::default();
    history.add(Event::Track(Arc::new(source.track)));
    for (at, unit) in source.units.into_iter().enumerate() {
        history.add(event(unit));
        if at < 40 {
            history.next();
        }
    }
    assert_eq!(history.backlog(), Ticks((300 - 40) * 3000));
    history.skip();
    assert_eq!(history.backlog(), Ticks(29 * 3000));
    let Some(Message::Unit(next)) = history.next() else {
        panic!("no unit");
    };
    assert_eq!((next.key, next.pts.0), (true, time_of(270)));
    assert_eq!(next.boundary, Some(Ticks(time_of(255))));
    assert_eq!(history.lost_units(), 270 - 39);
    // What is being fed is not skipped.
    history.skip();
    assert_eq!(history.backlog(), Ticks(28 * 3000));
}

#[test]
fn the_history_of_a_long_hole_is_a_picture_and_the_newest_holds() {
    let mut source = video(0..60, 64, 64, 30);
    stamp(&mut source.units, &[0, 30]);
    let (sound, sound_units) = encoded_tone("aac", 48_000, 1.0);
    let mut history = History::default();
    history.add(Event::Track(Arc::new(source.track)));
    history.add(Event::Track(Arc::new(sound)));
    for unit in source.units {
        history.add(event(unit));
    }
    history.add(Event::Break);
    let mut longest = 0;
    // Ten minutes.
    for until in (63..18_000).step_by(3) {
        history.add(hold_event(
            until,
            until.is_multiple_of(60).then_some(until - 3),
        ));
        for n in 0..5 {
            let mut unit = sound_units[0].clone();
            unit.pts = Ticks((time_of(until) + n * 1800) * 8 / 15);
            history.add(event(unit));
        }
        std::iter::from_fn(|| history.next()).for_each(drop);
        history.release(Ticks(time_of(until - 6)));
        longest = longest.max(history.rewind().len() + replay(&mut history).len());
    }
    assert!(longest < 300, "{longest} messages");
    let all = replay(&mut history);
    let pictures = all
        .iter()
        .filter(|message| matches!(message, Message::Unit(unit) if unit.kind == MediaKind::Video));
    assert_eq!(pictures.count(), 30);
    let holds: Vec<&Message> = all
        .iter()
        .filter(|message| matches!(message, Message::Hold { .. }))
        .collect();
    let [
        ..,
        Message::Hold {
            until, boundary, ..
        },
    ] = holds[..]
    else {
        panic!("{holds:?}");
    };
    assert!(holds.len() <= 2);
    assert_eq!(until.0, time_of(17_997));
    assert_eq!(boundary.unwrap().0, time_of(17_937));
    assert_eq!(history.lost_units(), 0);
}

#[test]
fn a_history_that_is_full_goes_on_at_a_later_key_unit() {
    let mut source = video(0..2, 64, 64, 30);
    let mut history = History::default();
    history.add(Event::Track(Arc::new(source.track)));
    let template = source.units.remove(0);
    for n in 0..10_000 {
        let mut unit = template.clone();
        unit.key = n % 1000 == 0;
        (unit.dts, unit.pts) = (Ticks(n * 3000), Ticks(n * 3000));
        history.add(event(unit));
    }
    let units = replay(&mut history).len() as u64 - 1;
    assert!((1000..2200).contains(&units), "{units}");
    assert_eq!(history.lost_units(), 10_000 - units);
    // Nobody reads: what comes after a gap is announced all the same.
    assert!(history.rewind().is_empty());
    assert!(matches!(history.next(), Some(Message::Track(_))));
    // Without any key unit there is nothing to start from.
    for n in 0..5000 {
        let mut unit = template.clone();
        unit.key = false;
        unit.dts = Ticks(n);
        history.add(event(unit));
    }
    assert_eq!(replay(&mut history).len(), 1);
}

#[test]
fn a_frame_rate_that_is_not_stated_is_counted() {
    for (ticks, expected) in [
        (3000, 30_000),
        (3003, 29_970),
        (3600, 25_000),
        (9000, 10_000),
    ] {
        let mut source = video(0..2, 64, 64, 15);
        let CodecConfig::Avc(config) = &mut source.track.config else {
            panic!("not H.264");
        };
        config.frame_rate_millis = None;
        let mut history = History::default();
        history.add(Event::Track(Arc::new(source.track)));
        for n in 0..20 {
            let mut unit = source.units[0].clone();
            unit.dts = Ticks(n * ticks);
            history.add(event(unit));
        }
        assert_eq!(history.frame_rate_millis(), expected);
    }
}
