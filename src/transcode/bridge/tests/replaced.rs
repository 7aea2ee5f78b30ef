//! Workers that die, hang or are too slow, and what viewers notice of it.

use super::*;

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

pub(super) fn signal(status: &Status, name: &str) {
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
        placed: None,
        rooms: None,
        key_units: Demand::default().follow(Clock::system()),
        slate: Some(Slate::default()),
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
