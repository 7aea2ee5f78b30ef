//! Picture and sound in step. In: units as they come, each with its media time. Out: the same, in their order
//! within picture and sound, with what is ahead held back so that a moment is seen and heard together. Pure: no clock.
//!
//! Of a moment one comes later than the other: sound by its way through an encoder of its own and by the length of
//! its frames, a picture that is made for rooms by more than that. Sender reports say what belongs together, but in a
//! room of LiveKit's defaults (without `sync_streams`) viewers play each track as it arrives; in others they let some
//! 30 ms pass before they act.

use std::collections::VecDeque;
use std::time::Duration;

/// By how much the sound of a moment leaves before its picture: a viewer who plays each as it arrives keeps sound that
/// much longer (libwebrtc: two or three frames of 20 ms, a picture 10 to 15 ms).
const SOUND_FIRST_MICROS: i64 = 30_000;
/// What is ahead is held back by so much at most: who watches a room wants it now.
const LONGEST_MICROS: i64 = 150_000;
/// Units of each by which it is known how late they come: half a second of sound, a second of pictures.
const KNOWN_UNITS: usize = 30;
/// Units whose median it is: a key unit is later than other pictures, a frame of sound than its neighbour.
const RECENT_UNITS: usize = 64;
/// A unit further from it is of another time line, which is learnt anew.
const FAR_MICROS: i64 = 1_000_000;
/// The hold follows the difference by this part of the time that passes: nobody sees or hears it.
const SLEW: i64 = 50;
/// Units of a kind that are held; further ones push the first out. Bounds memory: 150 ms of three layers at 60 a
/// second and the sound are 35.
const HELD_UNITS: usize = 64;

/// How late the units of one kind come: arrival less media time, microseconds of no particular zero.
#[derive(Debug, Default)]
struct Lateness {
    recent: VecDeque<i64>,
    median_micros: i64,
}

impl Lateness {
    fn take(&mut self, micros: i64) {
        if (micros - self.median_micros).abs() > FAR_MICROS {
            self.recent.clear();
        }
        if self.recent.len() >= RECENT_UNITS {
            self.recent.pop_front();
        }
        self.recent.push_back(micros);
        let mut sorted: Vec<i64> = self.recent.iter().copied().collect();
        let middle = sorted.len() / 2;
        self.median_micros = *sorted.select_nth_unstable(middle).1;
    }

    fn is_known(&self) -> bool {
        self.recent.len() >= KNOWN_UNITS
    }
}

/// Holds units back. See the module.
#[derive(Debug)]
pub(super) struct InStep<T> {
    picture: Lateness,
    sound: Lateness,
    /// By how much pictures are held back; of sound, if it is negative.
    hold_micros: Option<i64>,
    moved_at: Duration,
    pictures: Held<T>,
    sounds: Held<T>,
}

/// Units of one kind that wait, each until its time.
#[derive(Debug)]
struct Held<T> {
    units: VecDeque<(Duration, T)>,
}

impl<T> Held<T> {
    fn push(&mut self, due: Duration, unit: T) {
        if self.units.len() >= HELD_UNITS
            && let Some((due, _)) = self.units.front_mut()
        {
            *due = Duration::ZERO;
        }
        // In their order, also while the hold shrinks.
        let due = self.units.back().map_or(due, |(last, _)| due.max(*last));
        self.units.push_back((due, unit));
    }

    fn due(&self) -> Option<Duration> {
        self.units.front().map(|(due, _)| *due)
    }
}

impl<T> InStep<T> {
    pub(super) fn new() -> InStep<T> {
        let none = || Held {
            units: VecDeque::new(),
        };
        InStep {
            picture: Lateness::default(),
            sound: Lateness::default(),
            hold_micros: None,
            moved_at: Duration::ZERO,
            pictures: none(),
            sounds: none(),
        }
    }

    /// Takes a unit that has come.
    pub(super) fn handle(&mut self, now: Duration, is_picture: bool, media_micros: i64, unit: T) {
        let arrived = i64::try_from(now.as_micros()).unwrap_or(i64::MAX);
        let late = arrived.saturating_sub(media_micros);
        match is_picture {
            true => self.picture.take(late),
            false => self.sound.take(late),
        }
        self.follow(now);
        let ahead = match is_picture {
            true => self.hold_micros.unwrap_or_default(),
            false => -self.hold_micros.unwrap_or_default(),
        };
        let wait = Duration::from_micros(u64::try_from(ahead).unwrap_or(0));
        self.held(is_picture).push(now + wait, unit);
    }

    /// A unit that is to go now. To be asked until there is none, whenever one was taken.
    pub(super) fn poll(&mut self, now: Duration) -> Option<T> {
        let is_picture = match (self.pictures.due(), self.sounds.due()) {
            (Some(picture), Some(sound)) => picture <= sound,
            (picture, _) => picture.is_some(),
        };
        let units = &mut self.held(is_picture).units;
        let (_, unit) = units.pop_front_if(|(due, _)| *due <= now)?;
        Some(unit)
    }

    /// When there is one.
    pub(super) fn poll_timeout(&self) -> Option<Duration> {
        let (picture, sound) = (self.pictures.due(), self.sounds.due());
        picture.into_iter().chain(sound).min()
    }

    fn held(&mut self, is_picture: bool) -> &mut Held<T> {
        match is_picture {
            true => &mut self.pictures,
            false => &mut self.sounds,
        }
    }

    /// Moves the hold towards what it should be; the first one holds at once, since nobody watches yet.
    fn follow(&mut self, now: Duration) {
        let passed = now.saturating_sub(std::mem::replace(&mut self.moved_at, now));
        if !self.picture.is_known() || !self.sound.is_known() {
            return;
        }
        let wanted = self.sound.median_micros - self.picture.median_micros + SOUND_FIRST_MICROS;
        let wanted = wanted.clamp(-LONGEST_MICROS, LONGEST_MICROS);
        let step = i64::try_from(passed.as_micros()).unwrap_or(i64::MAX) / SLEW;
        let hold = self.hold_micros.get_or_insert(wanted);
        *hold += (wanted - *hold).clamp(-step, step);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1000;

    fn at(micros: i64) -> Duration {
        Duration::from_micros(micros.unsigned_abs())
    }

    /// What leaves when, of pictures and sounds of the same moments that come so late: 50 of each a second.
    fn run(
        step: &mut InStep<(bool, i64)>,
        from: i64,
        units: i64,
        late: (i64, i64),
    ) -> Vec<(bool, i64)> {
        let mut coming: Vec<(i64, bool, i64)> = (from..from + units)
            .map(|number| number * 20 * MS)
            .flat_map(|time| [(time + late.0, true, time), (time + late.1, false, time)])
            .collect();
        coming.sort_unstable();
        let mut left = Vec::new();
        for (now, is_picture, time) in coming {
            while let Some(due) = step.poll_timeout().filter(|due| *due <= at(now)) {
                let (is_picture, time) = step.poll(due).expect("one is due");
                let due = i64::try_from(due.as_micros()).unwrap();
                left.push((is_picture, due - time));
            }
            step.handle(at(now), is_picture, time, (is_picture, time));
        }
        left
    }

    fn last_of(left: &[(bool, i64)], is_picture: bool) -> i64 {
        let mut of_kind = left.iter().rev().filter(|(kind, _)| *kind == is_picture);
        of_kind.next().expect("some left").1
    }

    #[test]
    fn whichever_comes_later_sound_leaves_a_little_before_its_picture() {
        for late in [(10 * MS, 45 * MS), (90 * MS, 20 * MS)] {
            let mut step = InStep::new();
            let left = run(&mut step, 0, 100, late);
            let (picture, sound) = (last_of(&left, true), last_of(&left, false));
            let apart = picture - sound - SOUND_FIRST_MICROS;
            assert!(apart.abs() < 3 * MS, "{picture} and {sound}");
            let first = late.0.max(late.1 + SOUND_FIRST_MICROS);
            assert!((picture - first).abs() < 3 * MS, "{picture}");
        }
    }

    #[test]
    fn nothing_waits_before_it_is_known_how_late_both_are_nor_where_one_is_missing() {
        let mut step = InStep::new();
        for number in 0..200 {
            let now = at(number * 20 * MS);
            step.handle(now, true, number * 20 * MS, number);
            assert_eq!(step.poll(now), Some(number));
        }
        let mut step = InStep::new();
        let left = run(&mut step, 0, 29, (0, 40 * MS));
        assert!(
            left.iter()
                .all(|(is_picture, late)| !is_picture || *late == 0)
        );
    }

    #[test]
    fn nobody_waits_longer_than_the_bound() {
        let mut step = InStep::new();
        let left = run(&mut step, 0, 200, (0, 700 * MS));
        assert_eq!(last_of(&left, true), LONGEST_MICROS);
    }

    #[test]
    fn the_hold_moves_slowly_and_the_order_stays() {
        let mut step = InStep::new();
        run(&mut step, 0, 200, (0, 40 * MS));
        let left = run(&mut step, 200, 50, (0, 120 * MS));
        let pictures: Vec<i64> = left
            .iter()
            .filter(|left| left.0)
            .map(|left| left.1)
            .collect();
        assert!(
            pictures
                .windows(2)
                .all(|pair| (pair[1] - pair[0]).abs() <= MS),
            "{pictures:?}"
        );
        assert!(pictures.last() > pictures.first(), "{pictures:?}");
    }

    #[test]
    fn a_jump_in_time_is_learnt_anew() {
        let mut step = InStep::new();
        run(&mut step, 0, 100, (0, 40 * MS));
        // Media time stands still for two seconds.
        let left = run(&mut step, 100, 100, (2_000 * MS, 2_040 * MS));
        let apart = last_of(&left, true) - last_of(&left, false);
        assert!((apart - SOUND_FIRST_MICROS).abs() < 3 * MS, "{apart}");
    }

    #[test]
    fn what_is_held_is_bounded() {
        let mut step = InStep::new();
        run(&mut step, 0, 100, (0, 150 * MS));
        let mut out = 0;
        for number in 0..1000 {
            let now = at(3_000 * MS + number);
            step.handle(now, true, 3_000 * MS + number, (true, number));
            while step.poll(now).is_some() {
                out += 1;
            }
        }
        assert!(step.pictures.units.len() <= HELD_UNITS && out > 900);
    }
}
