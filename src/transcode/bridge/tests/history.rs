//! What is remembered for a worker that has to be replaced.

use super::*;

/// Everything that a new worker is told.
fn replay(history: &mut History) -> Vec<Message> {
    let mut all = history.rewind(false);
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
        longest = longest.max(history.rewind(false).len() + replay(&mut history).len());
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
    assert!(history.rewind(false).is_empty());
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

#[test]
fn of_configurations_that_change_all_the_time_the_newest_are_remembered() {
    let mut history = History::default();
    let [one, other] = [320, 640].map(|width| video(0..1, width, 180, 1).track);
    for _ in 0..10_000 {
        for track in [&one, &other] {
            history.add(Event::Track(std::sync::Arc::new(track.clone())));
        }
        history.release_all();
    }
    assert!(replay(&mut history).len() <= 2200);
}

#[test]
fn a_worker_of_sound_alone_is_told_of_no_pictures_and_one_with_pictures_after_it_is() {
    let source = video(0..60, 64, 64, 30);
    let mut history = History::default();
    assert!(history.rewind(true).is_empty());
    history.add(Event::Track(Arc::new(source.track)));
    for unit in source.units {
        let mut sound = event(unit.clone());
        if let Event::Unit { unit, .. } = &mut sound {
            unit.kind = MediaKind::Audio;
        }
        history.add(event(unit));
        history.add(sound);
    }
    let is_picture =
        |message: &Message| matches!(message, Message::Unit(unit) if unit.kind == MediaKind::Video);
    let got: Vec<_> = std::iter::from_fn(|| history.next()).collect();
    assert_eq!((got.len(), history.has_next()), (61, false));
    assert!(!got.iter().any(is_picture));
    assert_eq!(history.backlog(), Ticks::ZERO);
    let all = replay(&mut history);
    assert_eq!(all.iter().filter(|message| is_picture(message)).count(), 60);
}
