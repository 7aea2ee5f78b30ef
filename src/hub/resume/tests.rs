use super::*;
use crate::hub::Admission;
use crate::hub::boundary::OnLoss;
use crate::hub::gate::Told;
use crate::hub::program::Program;

const ALIVE: Wall = Wall(1_790_000_000_000_000);
const RECONNECT: Duration = Duration::from_secs(30);

fn settings() -> Settings {
    Settings {
        segment_target: Ticks(180_000),
        longest_segment: Ticks(900_000),
        ladder: false,
        on_loss: OnLoss::Slate,
    }
}

fn sign(next_sequence: u64, discontinuities: u64) -> Sign {
    Sign {
        id: Uuid::nil(),
        alive: ALIVE,
        told: Told {
            next_sequence,
            discontinuities,
            end_90k: 324_000_000,
        },
        is_final: false,
    }
}

fn record(sign: Sign) -> Record {
    Record {
        id: Uuid::nil(),
        epoch: Wall(ALIVE.0 - 3_600_000_000),
        admission: Admission {
            channel_id: "local#app#live".to_owned(),
            alias: "live".to_owned(),
            name: "Live".to_owned(),
            capabilities: Vec::new(),
            tags: Vec::new(),
            screen_name: None,
            lasting: None,
            placed: None,
        },
        segment_target_90k: 180_000,
        longest_segment_90k: 900_000,
        sign,
    }
}

fn after(seconds: i64) -> Wall {
    ALIVE.plus_micros(seconds * 1_000_000)
}

fn resumed(record: &Record, now: Wall) -> Option<Told> {
    let beginning = beginning(record, &settings(), now, RECONNECT)?;
    assert_eq!(beginning.epoch, record.epoch, "media time goes on");
    assert!(beginning.resumed.is_some(), "it opens with a discontinuity");
    let program = Program::new(
        settings(),
        beginning.epoch,
        beginning.now,
        beginning.resumed,
    );
    Some(program.told())
}

#[test]
fn numbers_go_on_where_a_stop_left_them() {
    let stopped = Sign {
        is_final: true,
        ..sign(1_795_000_017, 3)
    };
    let told = resumed(&record(stopped), after(4)).unwrap();
    assert_eq!(told, stopped.told);
}

#[test]
fn numbers_never_fall_behind_what_may_have_been_told_before_a_kill() {
    let known = sign(1_795_000_017, 3);
    for silent_s in 0..50 {
        let told = resumed(&record(known), after(silent_s)).unwrap();
        // A segment is half a target long at least, and discontinuities are recorded within a second.
        let shortest_s = 1;
        let at_most = known.told.next_sequence + silent_s.unsigned_abs() / shortest_s;
        assert!(told.next_sequence > at_most, "{silent_s} s: {told:?}");
        assert!(told.discontinuities > known.told.discontinuities);
        assert!(told.discontinuities < 20, "hls.js counts up to the number");
    }
}

#[test]
fn a_stream_is_taken_up_as_long_as_its_players_may_wait() {
    let record = record(sign(7, 0));
    assert!(resumed(&record, after(0)).is_some());
    assert!(resumed(&record, after(49)).is_some());
    assert!(resumed(&record, after(50)).is_none());
}

#[test]
fn a_clock_that_was_set_back_begins_a_new_stream() {
    assert!(resumed(&record(sign(7, 0)), after(-1)).is_none());
}

#[test]
fn promises_of_the_playlists_are_kept() {
    for change in [
        |record: &mut Record| record.segment_target_90k = 360_000,
        |record: &mut Record| record.longest_segment_90k = 270_000,
    ] {
        let mut record = record(sign(7, 0));
        change(&mut record);
        assert!(resumed(&record, after(1)).is_none());
    }
}

/// Signs that are due over a while, as `second: discontinuities`.
fn over_time(signs: &mut Signs, quarters: &[(u64, bool)]) -> Vec<String> {
    let mut given = Vec::new();
    for (quarter, (discontinuities, published)) in (0_u64..).zip(quarters) {
        let now = Duration::from_millis(quarter * 250);
        let living = vec![(sign(7, *discontinuities), *published)];
        for sign in signs.due(now, || living).unwrap_or_default() {
            let at = now.as_secs_f64();
            given.push(format!("{at}: {}", sign.told.discontinuities));
        }
    }
    given
}

#[test]
fn a_published_stream_gives_a_sign_every_five_seconds() {
    let mut signs = Signs::default();
    assert!(signs.handle_publish(&sign(7, 0)));
    let given = over_time(&mut signs, &[(0, true); 48]);
    assert_eq!(given, ["0: 0", "5: 0", "10: 0"]);
    assert!(!signs.handle_publish(&sign(7, 0)), "not the first publish");
}

#[test]
fn a_discontinuity_and_a_publisher_s_leave_are_recorded_within_a_second() {
    let mut signs = Signs::default();
    signs.handle_publish(&sign(7, 0));
    let quarters = [
        [(0, true); 5],
        [(1, true); 5],
        [(2, true); 5],
        [(2, false); 5],
    ];
    let given = over_time(&mut signs, &quarters.concat());
    assert_eq!(given, ["0: 0", "2: 1", "3: 2", "4: 2"]);
}

#[test]
fn a_stream_that_nobody_published_in_this_run_gives_no_sign() {
    let mut signs = Signs::default();
    let resumed = [(3, false); 24];
    assert_eq!(over_time(&mut signs, &resumed), [""; 0]);
    assert_eq!(signs.last(vec![(sign(7, 3), false)]), []);
}

#[test]
fn the_last_sign_is_final() {
    let mut signs = Signs::default();
    signs.handle_publish(&sign(7, 0));
    let last = signs.last(vec![(sign(9, 1), false)]);
    let final_sign = Sign {
        is_final: true,
        ..sign(9, 1)
    };
    assert_eq!(last, [final_sign]);
}

#[test]
fn a_record_that_cannot_be_true_is_not_taken_up() {
    let mut known = record(sign(1_795_000_017, 3));
    assert!(resumed(&known, after(1)).is_some());
    for end in [i64::MIN, -(1 << 40), 1 << 40, i64::MAX] {
        known.sign.told.end_90k = end;
        assert!(resumed(&known, after(1)).is_none(), "{end}");
    }
    for epoch in [i64::MIN, 0, i64::MAX] {
        let mut known = record(sign(1_795_000_017, 3));
        known.epoch = Wall(epoch);
        assert!(resumed(&known, after(1)).is_none(), "{epoch}");
    }
    for alive in [i64::MIN, i64::MAX] {
        let mut known = record(sign(u64::MAX, u64::MAX));
        known.sign.alive = Wall(alive);
        assert!(resumed(&known, after(1)).is_none(), "{alive}");
    }
    assert!(resumed(&record(sign(u64::MAX, u64::MAX)), after(1)).is_some());
}
