//! What is due for an event, as a function of what is stored of it and of the time. In: plain values. Out: the
//! next step. Not here: doing it, clocks, the database.
//!
//! Wherever the clock comes from, forwards, backwards or not for hours, the answer is the same: an event whose
//! slot holds the present runs, at the position that the clock says; one whose slot has passed is over. An event
//! that has begun never waits again, and what is over stays over.

use crate::base::clock::Wall;
use crate::base::lead::LEAD_US;

/// Microseconds of a second.
const SECOND: i64 = 1_000_000;

/// Whether an event has something to play.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// Nothing was uploaded, or not all of it.
    Missing,
    /// It was uploaded, and cannot be played.
    Broken,
    /// It is there. What is not prepared yet follows.
    There,
}

/// How far an event has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// It waits for its time.
    Scheduled,
    /// It plays since this whole second.
    Active(Wall),
    /// It is over.
    Over,
}

/// An event, as far as its next step needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Situation {
    pub(super) phase: Phase,
    pub(super) starts: Wall,
    /// `None`: with its film.
    pub(super) ends: Option<Wall>,
    pub(super) content: Content,
    /// Length of its film in microseconds, once all of it is prepared.
    pub(super) length_us: Option<i64>,
    pub(super) is_looping: bool,
    /// Whether its broadcast was ended by somebody.
    pub(super) is_broadcast_over: bool,
}

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It begins, as of this moment: the clock may be further.
    Start(Wall),
    /// It cannot begin; why.
    Fail(&'static str),
    /// It is over, as of this moment.
    End(Wall),
    /// Its time has passed, and nobody was there to begin it.
    Miss,
}

impl Situation {
    /// When it ends, as far as that is known.
    pub(super) fn end(&self) -> Option<Wall> {
        let film = match self.phase {
            Phase::Active(since) if !self.is_looping => {
                self.length_us.map(|length| since.plus_micros(length))
            }
            _ => None,
        };
        self.ends.or(film)
    }

    /// What is due now.
    pub(super) fn step(&self, now: Wall) -> Option<Step> {
        let end = self.end();
        match self.phase {
            Phase::Over => None,
            Phase::Active(_) if self.is_broadcast_over => Some(Step::End(now)),
            Phase::Active(_) => end.filter(|end| *end <= now).map(Step::End),
            Phase::Scheduled if now < self.starts => None,
            Phase::Scheduled if end.is_some_and(|end| end <= now) => Some(Step::Miss),
            Phase::Scheduled => Some(match self.content {
                Content::Missing => Step::Fail("there was no file to play when it was to begin"),
                Content::Broken => Step::Fail("its file cannot be played"),
                Content::There => Step::Start(self.starts),
            }),
        }
    }
}

/// When an event begins that is started by hand: at the next whole second of which all gateways learn before.
pub(super) fn by_hand(now: Wall) -> Wall {
    let earliest = now.plus_micros(LEAD_US).0;
    let past = earliest.rem_euclid(SECOND);
    Wall(earliest).plus_micros((SECOND - past) % SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3600 * SECOND;
    const T0: Wall = Wall(1_790_000_000 * SECOND);

    fn at(seconds: i64) -> Wall {
        T0.plus_micros(seconds * SECOND)
    }

    fn scheduled() -> Situation {
        Situation {
            phase: Phase::Scheduled,
            starts: T0,
            ends: Some(at(3600)),
            content: Content::There,
            length_us: Some(60 * SECOND),
            is_looping: false,
            is_broadcast_over: false,
        }
    }

    fn active() -> Situation {
        Situation {
            phase: Phase::Active(T0),
            ..scheduled()
        }
    }

    #[test]
    fn an_event_begins_at_its_time_and_not_a_microsecond_before() {
        assert_eq!(scheduled().step(T0.plus_micros(-1)), None);
        assert_eq!(scheduled().step(T0), Some(Step::Start(T0)));
    }

    #[test]
    fn a_late_start_is_as_of_its_time() {
        assert_eq!(scheduled().step(at(1800)), Some(Step::Start(T0)));
    }

    #[test]
    fn an_event_whose_slot_nobody_saw_is_missed() {
        assert_eq!(scheduled().step(at(3599)), Some(Step::Start(T0)));
        assert_eq!(scheduled().step(at(3600)), Some(Step::Miss));
        let endless = Situation {
            ends: None,
            ..scheduled()
        };
        assert_eq!(endless.step(at(86_400)), Some(Step::Start(T0)));
    }

    #[test]
    fn without_content_it_fails_at_its_time_and_says_why() {
        for content in [Content::Missing, Content::Broken] {
            let bare = Situation {
                content,
                ..scheduled()
            };
            assert_eq!(bare.step(at(-1)), None);
            assert!(matches!(bare.step(T0), Some(Step::Fail(_))), "{content:?}");
            assert_eq!(bare.step(at(3600)), Some(Step::Miss), "{content:?}");
        }
    }

    #[test]
    fn an_event_longer_than_its_film_ends_at_its_own_end() {
        assert_eq!(active().step(at(61)), None);
        assert_eq!(active().step(at(3600)), Some(Step::End(at(3600))));
    }

    #[test]
    fn an_event_shorter_than_its_film_ends_at_its_own_end() {
        let long = Situation {
            length_us: Some(2 * HOUR),
            ..active()
        };
        assert_eq!(long.step(at(3599)), None);
        assert_eq!(long.step(at(3600)), Some(Step::End(at(3600))));
    }

    #[test]
    fn without_an_end_it_ends_with_its_film_unless_that_loops() {
        let open = Situation {
            ends: None,
            ..active()
        };
        assert_eq!(open.step(at(59)), None);
        assert_eq!(open.step(at(60)), Some(Step::End(at(60))));
        let looping = Situation {
            is_looping: true,
            ..open
        };
        assert_eq!(looping.step(at(86_400)), None);
        // How long it is, nobody knows yet.
        let coming = Situation {
            length_us: None,
            ..open
        };
        assert_eq!(coming.step(at(86_400)), None);
    }

    #[test]
    fn whoever_ends_its_broadcast_ends_it() {
        let ended = Situation {
            is_broadcast_over: true,
            ..active()
        };
        assert_eq!(ended.step(at(10)), Some(Step::End(at(10))));
    }

    #[test]
    fn a_clock_set_forward_by_an_hour_starts_late_or_misses() {
        let long = Situation {
            ends: Some(at(7200)),
            ..scheduled()
        };
        assert_eq!(long.step(at(-10).plus_micros(HOUR)), Some(Step::Start(T0)));
        assert_eq!(scheduled().step(at(10).plus_micros(HOUR)), Some(Step::Miss));
        let running = active().step(at(10).plus_micros(HOUR));
        assert_eq!(running, Some(Step::End(at(3600))));
    }

    #[test]
    fn a_clock_set_back_by_an_hour_neither_stops_nor_repeats_anything() {
        let before = at(10).plus_micros(-HOUR);
        assert_eq!(active().step(before), None);
        let over = Situation {
            phase: Phase::Over,
            ..scheduled()
        };
        assert_eq!(over.step(before), None);
        assert_eq!(over.step(at(10)), None);
        assert_eq!(scheduled().step(before), None);
    }

    #[test]
    fn a_start_by_hand_is_at_the_first_whole_second_that_all_gateways_learn_of_before() {
        assert_eq!(by_hand(T0), at(2));
        let latest = at(2).plus_micros(-LEAD_US);
        assert_eq!(by_hand(latest), at(2));
        assert_eq!(by_hand(latest.plus_micros(1)), at(3));
        assert_eq!(by_hand(at(1)), at(3));
    }
}
