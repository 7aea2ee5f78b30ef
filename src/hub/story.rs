//! What happened to a stream, in sentences, and the word for how it is now. Pure and bounded. Not here:
//! what is wrong with an encoder (`doctor`).

use std::collections::VecDeque;
use std::time::Duration;

use super::subscriber::Filler;
use crate::base::clock::Wall;

/// Incidents kept: an encoder that drops every minute is seen for half an hour.
const KEPT: usize = 100;
/// Changes of the encoder this soon after one another, µs, are one story: some encoders alternate their
/// headers for hours.
const SAME_CHANGE_MICROS: i64 = 1_000_000;
/// Changes that are told one by one before that: picture and sound may both change.
const TOLD_ALONE: u32 = 2;

/// How a stream is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// Nobody is on air, and nothing stands in for it.
    #[default]
    Waiting,
    /// A publisher is on air.
    OnAir,
    /// The publisher on air is connected and sends nothing.
    Silent,
    /// Viewers see what stands in for missing media.
    Hole(Cover),
    /// It is over.
    Ended,
}

impl State {
    /// The word in answers.
    pub fn word(self) -> &'static str {
        match self {
            State::Waiting => "waiting",
            State::OnAir => "on-air",
            State::Silent => "silent",
            State::Hole(_) => "hole",
            State::Ended => "ended",
        }
    }
}

/// What stands in for missing media.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cover {
    /// The last picture.
    Freeze,
    /// The channel's slate.
    Slate,
    /// Nothing: the playlists say so.
    Gap,
}

impl From<Filler> for Cover {
    fn from(filler: Filler) -> Cover {
        match filler {
            Filler::Picture => Cover::Freeze,
            Filler::Slate => Cover::Slate,
        }
    }
}

impl Cover {
    /// The word in answers.
    pub fn word(self) -> &'static str {
        match self {
            Cover::Freeze => "freeze",
            Cover::Slate => "slate",
            Cover::Gap => "gap",
        }
    }
}

/// Why the air went from one publisher to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// An operator said so.
    ByHand,
    /// The one before sent nothing for this long.
    Silent(Duration),
    /// The one before went away.
    Left,
}

impl Cause {
    /// As the end of a sentence about the publisher that took the air.
    pub fn text(self) -> String {
        match self {
            Cause::ByHand => "switched by hand".to_owned(),
            Cause::Silent(quiet) => {
                format!("the one before was silent for {:.1} s", quiet.as_secs_f64())
            }
            Cause::Left => "the one before went away".to_owned(),
        }
    }
}

/// Something worth remembering. `who` names a publisher, such as `publisher 1 (rtmp, OBS 30.2)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happening {
    /// The stream began.
    Opened,
    /// The stream of an earlier run of the server is taken up again.
    Resumed,
    /// A publisher came while another one is on air.
    StandingBy {
        /// The publisher.
        who: String,
    },
    /// A publisher took the air of a stream that had nobody before.
    OnAir {
        /// The publisher.
        who: String,
    },
    /// The publisher on air sends nothing.
    Silent {
        /// The publisher.
        who: String,
        /// For how long.
        quiet: Duration,
    },
    /// A publisher went away.
    Lost {
        /// The publisher.
        who: String,
        /// Whether it was on air.
        on_air: bool,
    },
    /// Media come again after a pause, from the same publisher or a new one.
    Returned {
        /// The publisher.
        who: String,
        /// How long nothing came.
        away: Duration,
    },
    /// The air went from one publisher to another.
    Switched {
        /// Who has it now.
        who: String,
        /// Why.
        cause: Cause,
    },
    /// The encoder changed codec, picture size, frame rate or audio layout.
    Changed {
        /// From what to what.
        what: String,
    },
    /// Something stands in for missing media from now on, or something else than before.
    HoleBegan {
        /// What.
        cover: Cover,
    },
    /// Media follow again; what was missing is stated for good.
    HoleEnded {
        /// Where it begins.
        from: Wall,
        /// Where it ends.
        to: Wall,
    },
    /// The transcoding process died and another one took its place.
    WorkerRestarted {
        /// Why, as the log says it.
        why: String,
    },
    /// A rung is no longer made, because the machine is too slow.
    RungShed {
        /// Its name.
        rung: String,
    },
    /// The stream is over.
    Ended,
}

impl Happening {
    /// A word that never changes its meaning.
    pub fn kind(&self) -> &'static str {
        match self {
            Happening::Opened => "opened",
            Happening::Resumed => "resumed",
            Happening::StandingBy { .. } => "standing-by",
            Happening::OnAir { .. } => "on-air",
            Happening::Silent { .. } => "silent",
            Happening::Lost { .. } => "lost",
            Happening::Returned { .. } => "returned",
            Happening::Switched { .. } => "switched",
            Happening::Changed { .. } => "changed",
            Happening::HoleBegan { .. } => "hole-began",
            Happening::HoleEnded { .. } => "hole-ended",
            Happening::WorkerRestarted { .. } => "worker-restarted",
            Happening::RungShed { .. } => "rung-shed",
            Happening::Ended => "ended",
        }
    }

    fn text(&self) -> String {
        match self {
            Happening::Opened => "The stream began.".to_owned(),
            Happening::Resumed => "The stream goes on after a restart of the server.".to_owned(),
            Happening::StandingBy { who } => format!("{who} stands by."),
            Happening::OnAir { who } => format!("{who} is on air as the first one."),
            Happening::Silent { who, quiet } => {
                let quiet = quiet.as_secs_f64();
                format!("{who} is connected but has sent nothing for {quiet:.1} s.")
            }
            Happening::Lost { who, on_air: true } => format!("{who} went away while on air."),
            Happening::Lost { who, on_air: false } => format!("{who} no longer stands by."),
            Happening::Returned { who, away } => {
                format!(
                    "{who} is on air after {:.1} s without media.",
                    away.as_secs_f64()
                )
            }
            Happening::Switched { who, cause } => {
                format!("{who} took the air: {}.", cause.text())
            }
            Happening::Changed { what } => format!("The encoder changed: {what}."),
            Happening::HoleBegan { cover } => {
                let shown = match cover {
                    Cover::Freeze => "viewers see the last picture",
                    Cover::Slate => "viewers see the slate",
                    Cover::Gap => "the playlists state a gap",
                };
                format!("Nothing comes: {shown}.")
            }
            Happening::HoleEnded { from, to } => format!(
                "A hole of {:.1} s is stated, from {} to {}.",
                seconds_between(*from, *to),
                time_of_day(*from),
                time_of_day(*to)
            ),
            Happening::WorkerRestarted { why } => {
                format!("The transcoder was started again: {why}.")
            }
            Happening::RungShed { rung } => {
                format!("The rung {rung} is no longer made: the machine is too slow for it.")
            }
            Happening::Ended => "The stream ended.".to_owned(),
        }
    }
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incident {
    /// When.
    pub at: Wall,
    /// What: a word that never changes its meaning.
    pub kind: &'static str,
    /// What, in a sentence.
    pub text: String,
}

/// What happened how often, since the stream began.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counts {
    /// Times that the air went from one publisher to another.
    pub switches: u64,
    /// Holes.
    pub holes: u64,
    /// Length of all holes that ended, seconds.
    pub hole_seconds: f64,
}

/// The history of one stream.
#[derive(Clone, Debug, Default)]
pub struct Story {
    state: State,
    since: Wall,
    counts: Counts,
    incidents: VecDeque<Incident>,
    /// When the encoder changed last, and how often, each time soon after the time before.
    changes: (Wall, u32),
}

impl Story {
    /// Takes what happened at `at`, and gives it back in words, unless it is but one more of the same. An
    /// ended stream's story is closed.
    pub fn note(&mut self, at: Wall, what: &Happening) -> Option<&Incident> {
        if self.state == State::Ended {
            return None;
        }
        self.count(what);
        if self.is_one_more_change(at, what) {
            return None;
        }
        let state = self.next_state(what);
        if state != self.state || self.incidents.is_empty() {
            self.state = state;
            self.since = at;
        }
        if self.incidents.len() == KEPT {
            self.incidents.pop_front();
        }
        self.incidents.push_back(Incident {
            at,
            kind: what.kind(),
            text: what.text(),
        });
        self.incidents.back()
    }

    /// How the stream is.
    pub fn state(&self) -> State {
        self.state
    }

    /// Since when.
    pub fn since(&self) -> Wall {
        self.since
    }

    /// What happened how often.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// The newest incidents, oldest first.
    pub fn incidents(&self) -> impl Iterator<Item = &Incident> {
        self.incidents.iter()
    }

    fn next_state(&self, what: &Happening) -> State {
        match what {
            Happening::Opened | Happening::Resumed => State::Waiting,
            Happening::OnAir { .. }
            | Happening::Returned { .. }
            | Happening::Switched { .. }
            | Happening::HoleEnded { .. } => State::OnAir,
            Happening::HoleBegan { cover } => State::Hole(*cover),
            // What viewers see counts for more than why.
            Happening::Silent { .. } if self.state == State::OnAir => State::Silent,
            Happening::Lost { on_air: true, .. }
                if matches!(self.state, State::OnAir | State::Silent) =>
            {
                State::Waiting
            }
            Happening::Ended => State::Ended,
            _ => self.state,
        }
    }

    /// Whether this is one of many changes in a row; it is then told of with the last one.
    fn is_one_more_change(&mut self, at: Wall, what: &Happening) -> bool {
        let Happening::Changed { what } = what else {
            return false;
        };
        let (last, count) = self.changes;
        // A clock that was set back begins a new row.
        let soon = (0..SAME_CHANGE_MICROS).contains(&at.micros_since(last));
        let count = if soon { count.saturating_add(1) } else { 1 };
        self.changes = (at, count);
        let same = self.incidents.back_mut();
        let same = same.filter(|last| count > TOLD_ALONE && last.kind == "changed");
        let Some(incident) = same else { return false };
        incident.text = format!("The encoder changed {count} times in a row, at last: {what}.");
        true
    }

    fn count(&mut self, what: &Happening) {
        let counts = &mut self.counts;
        match what {
            Happening::Switched { .. } => counts.switches += 1,
            // From the last picture to the slate it is still the same hole.
            Happening::HoleBegan { .. } if !matches!(self.state, State::Hole(_)) => {
                counts.holes += 1;
            }
            Happening::HoleEnded { from, to } => {
                counts.hole_seconds += seconds_between(*from, *to);
            }
            _ => {}
        }
    }
}

fn seconds_between(from: Wall, to: Wall) -> f64 {
    to.micros_since(from) as f64 / 1e6
}

fn time_of_day(at: Wall) -> String {
    let second = at.unix_seconds().rem_euclid(86_400);
    let (hour, minute) = (second / 3600, second / 60 % 60);
    format!("{hour:02}:{minute:02}:{:02} UTC", second % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-22T04:00:00Z.
    const START: Wall = Wall(1_795_320_000_000_000);

    fn second(second: i64) -> Wall {
        START.plus_micros(second * 1_000_000)
    }

    fn who() -> String {
        "publisher 1 (rtmp, OBS 30.2)".to_owned()
    }

    fn story(happenings: &[Happening]) -> Story {
        let mut story = Story::default();
        for (at, what) in (0..).zip(happenings) {
            story.note(second(at), what);
        }
        story
    }

    fn away() -> Happening {
        let away = Duration::from_millis(4_250);
        Happening::Returned { who: who(), away }
    }

    fn lost(on_air: bool) -> Happening {
        Happening::Lost { who: who(), on_air }
    }

    fn silent() -> Happening {
        let quiet = Duration::from_millis(1_050);
        Happening::Silent { who: who(), quiet }
    }

    fn hole(cover: Cover) -> Happening {
        Happening::HoleBegan { cover }
    }

    #[test]
    fn the_state_follows_what_viewers_see() {
        let on_air = Happening::OnAir { who: who() };
        let by_hand = Happening::Switched {
            who: who(),
            cause: Cause::ByHand,
        };
        let rows = [
            (Happening::Opened, State::Waiting),
            (on_air, State::OnAir),
            (Happening::StandingBy { who: who() }, State::OnAir),
            (lost(false), State::OnAir),
            (silent(), State::Silent),
            (hole(Cover::Freeze), State::Hole(Cover::Freeze)),
            (silent(), State::Hole(Cover::Freeze)),
            (hole(Cover::Slate), State::Hole(Cover::Slate)),
            (lost(true), State::Hole(Cover::Slate)),
            (away(), State::OnAir),
            (lost(true), State::Waiting),
            (silent(), State::Waiting),
            (by_hand, State::OnAir),
            (Happening::Ended, State::Ended),
            (away(), State::Ended),
        ];
        let mut story = Story::default();
        for (at, (what, expected)) in (0..).zip(&rows) {
            story.note(second(at), what);
            assert_eq!(story.state(), *expected, "after {at}, {what:?}");
        }
        assert_eq!(story.since(), second(13));
        let last = story.incidents().last().unwrap();
        assert_eq!(last.kind, "ended", "an ended story is closed");
    }

    #[test]
    fn each_incident_is_a_sentence_with_its_numbers() {
        let rows = [
            (
                silent(),
                "publisher 1 (rtmp, OBS 30.2) is connected but has sent nothing for 1.1 s.",
            ),
            (
                lost(true),
                "publisher 1 (rtmp, OBS 30.2) went away while on air.",
            ),
            (
                away(),
                "publisher 1 (rtmp, OBS 30.2) is on air after 4.2 s without media.",
            ),
            (
                Happening::Switched {
                    who: who(),
                    cause: Cause::Silent(Duration::from_millis(1_200)),
                },
                "publisher 1 (rtmp, OBS 30.2) took the air: the one before was silent for 1.2 s.",
            ),
            (
                Happening::HoleEnded {
                    from: second(59),
                    to: second(69),
                },
                "A hole of 10.0 s is stated, from 04:00:59 UTC to 04:01:09 UTC.",
            ),
            (
                Happening::RungShed {
                    rung: "hd".to_owned(),
                },
                "The rung hd is no longer made: the machine is too slow for it.",
            ),
        ];
        for (what, text) in rows {
            let story = story(&[what]);
            assert_eq!(story.incidents().next().unwrap().text, text);
        }
    }

    #[test]
    fn an_encoder_that_alternates_is_told_of_once() {
        let mut story = Story::default();
        let changed = |turn: i64| Happening::Changed {
            what: format!("header {}", turn % 2),
        };
        let mut told = 0;
        for turn in 0..5_000 {
            told += usize::from(story.note(Wall(turn * 33_000), &changed(turn)).is_some());
        }
        assert_eq!((told, story.incidents().count()), (2, 2));
        let last = story.incidents().last().unwrap();
        assert!(last.text.contains("5000 times"), "{}", last.text);
        assert!(last.text.contains("header 1"), "{}", last.text);
        let later = Wall(5_000 * 33_000 + 2_000_000);
        assert!(story.note(later, &changed(0)).is_some());
    }

    #[test]
    fn holes_and_switches_are_counted() {
        let story = story(&[
            hole(Cover::Freeze),
            hole(Cover::Slate),
            Happening::HoleEnded {
                from: second(0),
                to: second(12),
            },
            Happening::Switched {
                who: who(),
                cause: Cause::Left,
            },
            hole(Cover::Gap),
        ]);
        let counts = Counts {
            switches: 1,
            holes: 2,
            hole_seconds: 12.0,
        };
        assert_eq!(story.counts(), counts);
    }

    #[test]
    fn the_oldest_incidents_give_way() {
        let many: Vec<Happening> = (0..KEPT + 5).map(|_| silent()).collect();
        let story = story(&many);
        assert_eq!(story.incidents().count(), KEPT);
        assert_eq!(story.incidents().next().unwrap().at, second(5));
    }
}
