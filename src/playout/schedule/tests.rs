use super::*;
use crate::base::id::Uuid;

const SEGMENT: Duration = Duration::from_secs(2);
/// 2026-11-22T04:00:01.25Z: no whole second.
const NOW: Wall = Wall(1_795_320_001_250_000);

fn after(seconds: i64) -> Wall {
    NOW.plus_micros(seconds * 1_000_000)
}

fn show(plan: &Plan, looping: bool) -> Show {
    let epoch = epoch(NOW, plan, SEGMENT);
    Show {
        stream: Uuid::from_u128(1),
        asset: Uuid::from_u128(2),
        epoch,
        looping,
        after: After::Slate,
        cuts: cuts_for(epoch, plan, SEGMENT).into(),
    }
}

fn facts(frames: Option<u64>) -> Facts {
    Facts {
        fps: 30,
        segment_frames: 60,
        part_frames: 6,
        frames,
        unrolled: 1,
        segments: 4,
        renditions: Vec::new(),
    }
}

#[test]
fn an_epoch_is_a_whole_second_and_whole_segments_before_the_start() {
    for ahead in [0, 1, 2, 7, 3600, 86_401] {
        let plan = Plan {
            starts: after(ahead),
            ends: None,
            before: true,
        };
        let show = show(&plan, false);
        assert_eq!(show.epoch.0 % 1_000_000, 0);
        assert!(show.epoch <= NOW || ahead == 0);
        let film = show.cuts.iter().find(|cut| cut.kind == Kind::Film).unwrap();
        assert_eq!(
            film.at.0 % (2 * SECOND),
            0,
            "the slate's last segment is whole"
        );
        let segments = u64::try_from(film.at.0 / (2 * SECOND)).unwrap();
        assert_eq!(film.sequence, show.cuts[0].sequence + segments);
        assert_eq!(film.discontinuity, u64::from(film.at > Ticks::ZERO));
        let first = u64::try_from(show.epoch.unix_millis() / 1000).unwrap();
        assert_eq!(show.cuts[0].sequence, first);
    }
}

#[test]
fn a_start_that_moves_keeps_what_has_passed_and_an_end_may_come_earlier() {
    let plan = Plan {
        starts: after(60),
        ends: Some(after(120)),
        before: true,
    };
    let mut show = show(&plan, true);
    let later = Plan {
        starts: after(91),
        ends: Some(after(100)),
        before: true,
    };
    let rows = replace(&show, &later, None, SEGMENT, after(10));
    assert_eq!(
        rows.iter().map(|row| row.kind).collect::<Vec<_>>(),
        [Kind::Film, Kind::End]
    );
    assert_eq!(rows[0].discontinuity, 1);
    show.cuts = [&show.cuts[..1], &rows].concat().into();
    // The film is on: only its end can move.
    let facts = facts(Some(219));
    let earlier = Plan {
        ends: Some(after(95)),
        starts: after(200),
        before: true,
    };
    let rows = replace(&show, &earlier, Some(&facts), SEGMENT, after(93));
    assert_eq!(rows.len(), 1);
    assert_eq!(
        (rows[0].kind, rows[0].at),
        (Kind::End, channel_time(after(95), show.epoch))
    );
    let at_once = Plan {
        ends: Some(after(0)),
        ..earlier
    };
    let rows = replace(&show, &at_once, Some(&facts), SEGMENT, after(93));
    assert_eq!(
        rows[0].at,
        channel_time(after(93), show.epoch) + ticks(LEAD)
    );
    let end = end_now(&show, Some(&facts), SEGMENT, after(93)).unwrap();
    assert_eq!(end.at, rows[0].at);
}

#[test]
fn a_takeover_begins_and_ends_on_the_grid_with_the_films_numbers() {
    let plan = Plan {
        starts: after(10),
        ends: None,
        before: true,
    };
    let mut show = show(&plan, true);
    let film = show.cuts[1];
    let facts = facts(Some(219));
    let grid = facts.grid().unwrap();
    assert_eq!(give_back(&show, &facts, SEGMENT, after(30)), None);
    let live = take_over(&show, &facts, SEGMENT, after(30)).unwrap();
    let number = grid.number_at(live.at - film.anchor);
    assert_eq!(grid.cell(number).start, live.at - film.anchor);
    assert_eq!(
        (live.sequence, live.discontinuity),
        (film.sequence + number, 2)
    );
    assert!(live.at >= channel_time(after(30), show.epoch) + ticks(LEAD));
    show.cuts = [&show.cuts[..], &[live]].concat().into();
    assert_eq!(take_over(&show, &facts, SEGMENT, after(40)), None);
    let back = give_back(&show, &facts, SEGMENT, after(60)).unwrap();
    let number = grid.number_at(back.at - film.anchor);
    assert_eq!((back.kind, back.anchor), (Kind::Film, film.anchor));
    assert_eq!(
        (back.sequence, back.discontinuity),
        (film.sequence + number, 3)
    );
    // The position goes on meanwhile.
    show.cuts = [&show.cuts[..], &[back]].concat().into();
    let at = after(75);
    let into = (channel_time(at, show.epoch) - film.anchor).0 % 657_000;
    assert_eq!(
        position(&show, Some(&facts), at).seconds,
        Ticks(into).seconds(Timescale::CHANNEL)
    );
}

#[test]
fn what_returns_where_the_film_is_over_is_what_follows_it() {
    let plan = Plan {
        starts: after(10),
        ends: None,
        before: false,
    };
    let mut show = show(&plan, false);
    assert_eq!(show.cuts.len(), 1);
    let facts = facts(Some(219));
    let live = take_over(&show, &facts, SEGMENT, after(12)).unwrap();
    show.cuts = [&show.cuts[..], &[live]].concat().into();
    let back = give_back(&show, &facts, SEGMENT, after(40)).unwrap();
    assert_eq!((back.kind, back.anchor), (Kind::Slate, back.at));
}

#[test]
fn a_position_stays_where_the_show_ended() {
    let plan = Plan {
        starts: after(10),
        ends: Some(after(20)),
        before: true,
    };
    let show = show(&plan, true);
    let facts = facts(Some(219));
    let at = |seconds| position(&show, Some(&facts), after(seconds));
    // It begins with a whole second, 10.75 s from now, and a turn has 7.3 s.
    assert!((at(19).seconds - 0.95).abs() < 1e-9 && at(19).playing);
    for seconds in [20, 21, 4000] {
        let at = at(seconds);
        assert!((at.seconds - 1.95).abs() < 1e-9, "{at:?}");
        assert_eq!((at.ended, at.loop_index), (true, 1));
    }
}
