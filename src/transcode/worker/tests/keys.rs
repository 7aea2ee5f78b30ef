//! Key units that somebody asks for.

use super::*;

fn two_rungs() -> Setup {
    let rungs = vec![rung("sd", 320, 180, false), rung("vld", 160, 90, false)];
    setup(rungs, Vec::new())
}

/// What two rungs are made of with key units of these rungs asked for behind these pictures.
fn made_with(wishes: &[(usize, u8)]) -> Made {
    let mut source = video(0..90, 320, 180, 30);
    stamp(&mut source.units, &[0, 60]);
    let mut all = messages(&source.track, Vec::new());
    for (number, unit) in source.units.into_iter().enumerate() {
        all.push(Message::Unit(unit));
        for (_, index) in wishes.iter().filter(|(at, _)| *at == number) {
            // Only what was decoded is sure to be encoded.
            all.push(Message::Hold {
                until: Ticks(START),
                boundary: None,
                filler: Filler::Picture,
            });
            all.push(Message::KeyUnit { index: *index });
        }
    }
    run(two_rungs(), all)
}

#[test]
fn a_key_unit_is_made_of_the_rung_that_was_asked_and_soon() {
    let made = made_with(&[(20, 1), (70, 0), (75, 7)]);
    let number = |time: &i64| (*time - START) / 3000;
    let keys = |index| -> Vec<i64> { made.key_times(index).iter().map(number).collect() };
    // Pictures that the decoder puts in order are behind, and a few on their way.
    let [0, 60, late] = keys(0)[..] else {
        panic!("{:?}", keys(0));
    };
    assert!((60..=72).contains(&late), "{late}");
    let [0, early, 60] = keys(1)[..] else {
        panic!("{:?}", keys(1));
    };
    assert!((12..=22).contains(&early), "{early}");
    // What is shown is the same as ever, at the same times.
    for index in [0, 1] {
        assert_eq!(made.times(index), (0..90).map(time_of).collect::<Vec<_>>());
        assert_eq!(numbers(&made, index).0, (0..90).collect::<Vec<_>>());
    }
}

#[test]
fn boundaries_open_with_key_units_whatever_else_was_asked_for() {
    let plain = made_with(&[]);
    let wishes: Vec<(usize, u8)> = (0..90).map(|number| (number, 0)).collect();
    for made in [made_with(&wishes), made_with(&[(58, 0), (60, 1), (61, 0)])] {
        for index in [0, 1] {
            assert_eq!(made.times(index), plain.times(index));
            let keys = made.key_times(index);
            assert!([0, 60].map(time_of).iter().all(|time| keys.contains(time)));
            assert_eq!(made.tracks[&index], plain.tracks[&index]);
        }
    }
}

#[test]
fn a_key_unit_before_there_is_a_picture_is_no_trouble() {
    let mut source = video(0..10, 160, 90, 30);
    stamp(&mut source.units, &[0]);
    let mut all = vec![Message::KeyUnit { index: 0 }];
    all.extend(messages(&source.track, source.units));
    let made = run(setup(vec![rung("vld", 160, 90, false)], Vec::new()), all);
    assert_eq!(made.last, Some(Message::Finished));
    assert_eq!(made.key_times(0), [time_of(0)]);
}
