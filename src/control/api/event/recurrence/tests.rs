use proptest::prelude::*;

use super::*;
use crate::base::id::Uuid;
use crate::store::EventStatus;

fn wall(text: &str) -> Wall {
    Wall(text.parse::<Timestamp>().unwrap().as_microsecond())
}

fn event(starts: &str, ends: Option<&str>, zone: &str, repeat: Repeat) -> Event {
    let starts = wall(starts);
    let ends = ends.map(wall);
    Event {
        id: Uuid::new_v4(),
        application_id: "app".to_owned(),
        user_id: Uuid::new_v4(),
        channel_id: None,
        title: "Film".to_owned(),
        description: None,
        starts,
        ends,
        first: starts,
        length_us: ends.map(|ends| ends.micros_since(starts)),
        time_zone: zone.to_owned(),
        repeat,
        repeat_until_end: false,
        status: EventStatus::Scheduled,
        error: None,
        asset_id: None,
        stream_id: Uuid::new_v4(),
        broadcast_id: None,
        playback_started: None,
        takeover: false,
        created: Wall(0),
        updated: Wall(0),
        revision: 0,
    }
}

/// Starts of the first runs.
fn starts(event: &Event, count: usize) -> Vec<String> {
    let rule = Rule::of(event);
    let mut at = event.first.plus_micros(-1);
    let mut all = Vec::new();
    while let Some(slot) = rule.after(at).filter(|_| all.len() < count) {
        at = slot.starts;
        all.push(timestamp(at).unwrap().to_string());
    }
    all
}

#[test]
fn an_event_without_repeats_comes_once() {
    for repeat in [Repeat::None, Repeat::UntilEnd] {
        let once = event("2026-03-28T19:00:00Z", None, "UTC", repeat);
        assert_eq!(starts(&once, 3), ["2026-03-28T19:00:00Z"]);
    }
}

#[test]
fn a_daily_event_is_at_the_same_time_by_the_clock_on_the_wall() {
    // Clocks go forward on 29 March and back on 25 October.
    let spring = event("2026-03-28T19:00:00Z", None, "Europe/Berlin", Repeat::Daily);
    let expected = [
        "2026-03-28T19:00:00Z",
        "2026-03-29T18:00:00Z",
        "2026-03-30T18:00:00Z",
    ];
    assert_eq!(starts(&spring, 3), expected);
    let autumn = event("2026-10-24T18:00:00Z", None, "Europe/Berlin", Repeat::Daily);
    let expected = [
        "2026-10-24T18:00:00Z",
        "2026-10-25T19:00:00Z",
        "2026-10-26T19:00:00Z",
    ];
    assert_eq!(starts(&autumn, 3), expected);
    let nowhere = event("2026-03-28T19:00:00Z", None, "UTC", Repeat::Daily);
    assert_eq!(starts(&nowhere, 2)[1], "2026-03-29T19:00:00Z");
}

#[test]
fn a_time_that_the_clock_leaves_out_is_later_and_of_one_shown_twice_the_first_counts() {
    // 02:30, which is 03:30 on the night in which 02:00 to 03:00 is left out.
    let spring = event("2026-03-28T01:30:00Z", None, "Europe/Berlin", Repeat::Daily);
    let expected = [
        "2026-03-28T01:30:00Z",
        "2026-03-29T01:30:00Z",
        "2026-03-30T00:30:00Z",
    ];
    assert_eq!(starts(&spring, 3), expected);
    let autumn = event("2026-10-24T00:30:00Z", None, "Europe/Berlin", Repeat::Daily);
    let expected = [
        "2026-10-24T00:30:00Z",
        "2026-10-25T00:30:00Z",
        "2026-10-26T01:30:00Z",
    ];
    assert_eq!(starts(&autumn, 3), expected);
    // A whole day was left out: it has no run of its own.
    let samoa = event("2011-12-29T20:00:00Z", None, "Pacific/Apia", Repeat::Daily);
    let expected = [
        "2011-12-29T20:00:00Z",
        "2011-12-30T20:00:00Z",
        "2011-12-31T20:00:00Z",
    ];
    assert_eq!(starts(&samoa, 3), expected);
}

#[test]
fn a_monthly_event_on_the_31st_is_on_the_last_day_of_shorter_months() {
    let monthly = event("2027-12-31T12:00:00Z", None, "UTC", Repeat::Monthly);
    let days: Vec<String> = starts(&monthly, 6)
        .iter()
        .map(|start| start[..10].to_owned())
        .collect();
    let expected = [
        "2027-12-31",
        "2028-01-31",
        "2028-02-29",
        "2028-03-31",
        "2028-04-30",
        "2028-05-31",
    ];
    assert_eq!(days, expected);
}

#[test]
fn a_run_is_as_long_as_the_first_and_over_when_the_next_one_begins() {
    let daily = event(
        "2026-03-27T19:00:00Z",
        Some("2026-03-28T19:00:00Z"),
        "Europe/Berlin",
        Repeat::Daily,
    );
    let rule = Rule::of(&daily);
    let short = rule.after(daily.starts).unwrap();
    // That day has 23 hours.
    assert_eq!(short.ends, Some(wall("2026-03-29T18:00:00Z")));
    let film = event("2026-03-27T19:00:00Z", None, "UTC", Repeat::Weekly);
    let next = Rule::of(&film).after(film.starts).unwrap();
    assert_eq!(next.ends, Some(wall("2026-04-10T19:00:00Z")));
}

#[test]
fn after_a_pause_the_run_is_found_that_is_on_or_comes_next() {
    let daily = event(
        "2026-01-01T10:00:00Z",
        Some("2026-01-01T12:00:00Z"),
        "UTC",
        Repeat::Daily,
    );
    let rule = Rule::of(&daily);
    let found = |time: &str| rule.not_over_at(wall(time)).unwrap().starts;
    assert_eq!(found("2030-05-05T11:59:59Z"), wall("2030-05-05T10:00:00Z"));
    assert_eq!(found("2030-05-05T12:00:00Z"), wall("2030-05-06T10:00:00Z"));
    assert_eq!(found("2000-05-05T12:00:00Z"), daily.first);
}

#[test]
fn there_is_no_run_beyond_the_year_9999() {
    let last = event("9999-12-29T10:00:00Z", None, "UTC", Repeat::Daily);
    assert_eq!(starts(&last, 9).len(), 2);
    assert_eq!(Rule::of(&last).after(Wall(i64::MAX)), None);
    let old = event("1970-01-01T00:00:00Z", None, "UTC", Repeat::Monthly);
    assert_eq!(
        Rule::of(&old)
            .after(wall("9998-12-31T23:59:59Z"))
            .unwrap()
            .starts,
        wall("9999-01-01T00:00:00Z")
    );
}

#[test]
fn zones_are_iana_names() {
    for name in ["UTC", "Europe/Berlin", "america/new_york", "Asia/Kathmandu"] {
        assert!(zone(name).is_some(), "{name}");
    }
    for name in ["", "Mars/Olympus", "+02:00", "../../etc/passwd", "CEST5000"] {
        assert!(zone(name).is_none(), "{name}");
    }
}

#[test]
fn events_that_touch_do_not_clash_and_those_that_meet_much_later_do() {
    let noon = event(
        "2026-06-01T12:00:00Z",
        Some("2026-06-01T13:00:00Z"),
        "UTC",
        Repeat::Daily,
    );
    let clashes = |starts: &str, ends: &str, zone: &str, repeat| {
        let other = event(starts, Some(ends), zone, repeat);
        assert_eq!(
            clash(&noon, &other),
            clash(&other, &noon),
            "{starts} {ends}"
        );
        clash(&noon, &other)
    };
    let once = Repeat::None;
    assert!(!clashes(
        "2026-06-01T13:00:00Z",
        "2026-06-01T14:00:00Z",
        "UTC",
        once
    ));
    assert!(!clashes(
        "2026-05-31T11:00:00Z",
        "2026-06-01T12:00:00Z",
        "UTC",
        once
    ));
    assert!(!clashes(
        "2026-05-31T12:30:00Z",
        "2026-05-31T12:40:00Z",
        "UTC",
        once
    ));
    assert!(clashes(
        "2036-07-08T12:59:59Z",
        "2036-07-08T14:00:00Z",
        "UTC",
        once
    ));
    assert!(!clashes(
        "2036-07-08T13:00:00Z",
        "2036-07-09T12:00:00Z",
        "UTC",
        once
    ));
    // An hour later in summer, at the same time from the night of the change on.
    let berlin = "Europe/Berlin";
    assert!(!clashes(
        "2026-06-01T13:00:00Z",
        "2026-06-01T14:00:00Z",
        "UTC",
        Repeat::Daily
    ));
    assert!(clashes(
        "2026-06-01T11:00:00Z",
        "2026-06-01T12:00:00Z",
        berlin,
        Repeat::Daily
    ));
    assert!(clashes(
        "2026-06-06T11:00:00Z",
        "2026-06-06T12:00:00Z",
        berlin,
        Repeat::Weekly
    ));
    assert!(!clashes(
        "2026-06-01T13:00:00Z",
        "2026-06-01T14:00:00Z",
        berlin,
        Repeat::Monthly
    ));
}

fn repeats() -> impl Strategy<Value = Repeat> {
    prop_oneof![
        Just(Repeat::None),
        Just(Repeat::Daily),
        Just(Repeat::Weekly),
        Just(Repeat::Monthly),
    ]
}

fn zones() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        Just("UTC"),
        Just("Europe/Berlin"),
        Just("America/New_York"),
        Just("America/St_Johns"),
        Just("Australia/Lord_Howe"),
        Just("Pacific/Apia"),
        Just("Africa/Casablanca"),
    ]
}

const SECOND: i64 = 1_000_000;
/// From 2010 on, when a zone skipped a day, for forty years.
const FIRST: std::ops::Range<i64> = 1_262_304_000..2_524_608_000;

fn any_event() -> impl Strategy<Value = Event> {
    (FIRST, 60_i64..86_400, zones(), repeats()).prop_map(|(starts, length, zone, repeat)| {
        let mut any = event("2026-01-01T00:00:00Z", None, zone, repeat);
        any.starts = Wall(starts * SECOND);
        any.first = any.starts;
        any.length_us = Some(length * SECOND);
        any.ends = Some(any.starts.plus_micros(length * SECOND));
        any
    })
}

/// Starts of all runs up to a time, one after the other and without a guess.
fn all_starts(event: &Event, until: Wall) -> Vec<Wall> {
    let zone = zone(&event.time_zone).unwrap();
    let first = zone.to_datetime(timestamp(event.first).unwrap());
    let mut all = vec![event.first];
    for number in 1_i64.. {
        let step = match event.repeat {
            Repeat::Daily => Span::new().days(number),
            Repeat::Weekly => Span::new().weeks(number),
            Repeat::Monthly => Span::new().months(number),
            Repeat::None | Repeat::UntilEnd => break,
        };
        let at = zone.to_ambiguous_timestamp(first.checked_add(step).unwrap());
        let at = Wall(at.compatible().unwrap().as_microsecond());
        if at > until {
            break;
        }
        all.push(at);
    }
    all.dedup();
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn the_next_run_is_the_first_after_a_time(event in any_event(), later in 0_i64..1000 * 86_400) {
        let time = event.first.plus_micros(later * SECOND - 1);
        let until = time.plus_micros(40 * DAY_US);
        let expected = all_starts(&event, until).into_iter().find(|at| *at > time);
        let found = Rule::of(&event).after(time).map(|slot| slot.starts);
        prop_assert_eq!(found, expected);
        // From one run to the next nothing is left out, whichever way one goes.
        if let Some(next) = found {
            prop_assert_eq!(Rule::of(&event).after(next.plus_micros(-1)).map(|slot| slot.starts), found);
        }
    }

    #[test]
    fn a_run_that_is_on_is_found(event in any_event(), later in 0_i64..1000 * 86_400) {
        let time = event.first.plus_micros(later * SECOND);
        let rule = Rule::of(&event);
        let length = event.length_us.unwrap();
        let all = all_starts(&event, time.plus_micros(40 * DAY_US));
        let expected = all.iter().enumerate().find(|(at, start)| {
            let next = all.get(at + 1);
            let end = start.plus_micros(length);
            next.map_or(end, |next| end.min(*next)) > time
        });
        let found = rule.not_over_at(time).map(|slot| slot.starts);
        prop_assert_eq!(found, expected.map(|(_, start)| *start));
    }

    #[test]
    fn events_clash_as_all_their_runs_do(
        one in any_event(),
        other in any_event(),
        apart in -100_i64 * 86_400..100 * 86_400,
    ) {
        let mut other = other;
        other.starts = one.starts.plus_micros(apart * SECOND);
        other.first = other.starts;
        other.ends = Some(other.starts.plus_micros(other.length_us.unwrap()));
        let horizon = one.starts.max(other.starts).plus_micros(HORIZON_US);
        let runs = |event: &Event| -> Vec<(Wall, Wall)> {
            let all = all_starts(event, horizon.plus_micros(40 * DAY_US));
            let end = |at: usize| all.get(at + 1).copied();
            all.iter().enumerate().map(|(at, start)| {
                let declared = start.plus_micros(event.length_us.unwrap());
                (*start, end(at).map_or(declared, |next| next.min(declared)))
            }).collect()
        };
        let (ones, others) = (runs(&one), runs(&other));
        let meet = |far: Wall| ones.iter().any(|(start, end)| {
            let place = others.partition_point(|(_, other)| other <= start);
            others.get(place).is_some_and(|(other, _)| other < end && other.max(start) <= &far)
        });
        let found = clash(&one, &other);
        prop_assert_eq!(found, clash(&other, &one));
        // Just behind the horizon either answer is right.
        if found == meet(horizon) || found == meet(horizon.plus_micros(32 * DAY_US)) {
            return Ok(());
        }
        prop_assert!(false, "clash says {}", found);
    }
}
