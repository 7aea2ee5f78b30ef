//! What is wrong with an encoder or its line, in plain sentences with the way to mend it. Pure: facts
//! go in, findings come out. Not here: measuring (`observer`), logging.

mod line;
mod rules;

use std::collections::VecDeque;
use std::time::Duration;

use super::link::Link;
use super::observer::Facts;
use super::program::Repairs;

/// How long something must be so before it is told: encoders settle in their first seconds.
const APPEARS_AFTER: Duration = Duration::from_secs(3);
/// How long it must not be so before it is taken back.
const GOES_AFTER: Duration = Duration::from_secs(10);
/// Repairs and pauses of the first seconds are not told of.
const BEGINNING: Duration = Duration::from_secs(3);
/// Repairs and pauses of this time back are told of.
const RECENT: Duration = Duration::from_secs(60);
/// Least distance between two readings that are kept: bounds them to one a second.
const READING: Duration = Duration::from_secs(1);

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Viewers are served well; something could be better.
    Info,
    /// Some viewers are served badly, or all of them sometimes.
    Warning,
    /// Viewers miss something now.
    Error,
}

impl Severity {
    /// The word in answers.
    pub fn word(self) -> &'static str {
        match self {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Error => "error",
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// A word that never changes its meaning, such as `key-interval`.
    pub code: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What was found, with the number.
    pub text: String,
    /// What to do, with the menu path in OBS.
    pub remedy: String,
}

/// What matters of the stream and is no fact of one publisher.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// Whether the publisher is on air.
    pub on_air: bool,
    /// What was mended or lost since the stream began.
    pub repairs: Repairs,
    /// Whether a ladder is made.
    pub ladder: bool,
    /// How long segments are to be.
    pub segment_target: Duration,
    /// How long segments may be at most.
    pub longest_segment: Duration,
    /// Whether a picture is made beside it for those who take the stream by WebRTC, which knows no B-frames.
    pub webrtc: bool,
    /// No unit for this long: the publisher is silent.
    pub silence: Duration,
}

/// What happened within the last minute.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Recent {
    repairs: Repairs,
    stalls: u64,
    stall_seconds: f64,
    line: Line,
}

/// Packets of a line; the meanings are [`Link`]'s.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Line {
    packets: u64,
    lost: u64,
    retransmitted: u64,
    dropped: u64,
    undecrypted: u64,
}

impl Line {
    fn of(link: &Link) -> Line {
        Line {
            packets: link.packets,
            lost: link.lost_packets,
            retransmitted: link.retransmitted_packets,
            dropped: link.dropped_packets,
            undecrypted: link.undecrypted_packets,
        }
    }

    fn since(self, earlier: Line) -> Line {
        Line {
            packets: self.packets.saturating_sub(earlier.packets),
            lost: self.lost.saturating_sub(earlier.lost),
            retransmitted: self.retransmitted.saturating_sub(earlier.retransmitted),
            dropped: self.dropped.saturating_sub(earlier.dropped),
            undecrypted: self.undecrypted.saturating_sub(earlier.undecrypted),
        }
    }
}

impl Recent {
    fn since(self, earlier: Recent) -> Recent {
        let (now, then) = (self.repairs, earlier.repairs);
        Recent {
            repairs: Repairs {
                dropped_units: now.dropped_units.saturating_sub(then.dropped_units),
                time_jumps: now.time_jumps.saturating_sub(then.time_jumps),
                silent_frames: now.silent_frames.saturating_sub(then.silent_frames),
                overlapping_frames: now
                    .overlapping_frames
                    .saturating_sub(then.overlapping_frames),
                ..Repairs::default()
            },
            stalls: self.stalls.saturating_sub(earlier.stalls),
            stall_seconds: (self.stall_seconds - earlier.stall_seconds).max(0.0),
            line: self.line.since(earlier.line),
        }
    }
}

/// What a change of findings is, for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Told from now on.
    Appeared(Finding),
    /// No longer so.
    Gone(Finding),
}

#[derive(Debug)]
struct Case {
    finding: Finding,
    since: Duration,
    last: Duration,
    told: bool,
}

/// Looks after one publisher session. Findings that come and go within seconds are not told.
#[derive(Debug, Default)]
pub struct Doctor {
    cases: Vec<Case>,
    /// Totals at past moments, oldest first.
    readings: VecDeque<(Duration, Recent)>,
    was_on_air: bool,
}

impl Doctor {
    /// Looks at the facts of `now`; says what is told from now on, and what no more.
    pub fn examine(
        &mut self,
        now: Duration,
        facts: &Facts,
        surroundings: &Surroundings,
    ) -> Vec<Change> {
        let recent = self.recent(now, facts, surroundings);
        let found = rules::apply(facts, surroundings, &recent);
        if rules::is_silent(facts, surroundings) {
            // Nothing new is known of the rest.
            let told = self.cases.iter_mut().filter(|case| case.told);
            told.for_each(|case| case.last = now);
        }
        for finding in found {
            let of_code = |case: &&mut Case| case.finding.code == finding.code;
            match self.cases.iter_mut().find(of_code) {
                Some(case) => {
                    case.finding = finding;
                    case.last = now;
                }
                None => self.cases.push(Case {
                    finding,
                    since: now,
                    last: now,
                    told: false,
                }),
            }
        }
        self.judge(now)
    }

    /// What is told now, worst first.
    pub fn findings(&self) -> Vec<Finding> {
        let told = self.cases.iter().filter(|case| case.told);
        let mut findings: Vec<Finding> = told.map(|case| case.finding.clone()).collect();
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        findings
    }

    fn judge(&mut self, now: Duration) -> Vec<Change> {
        let mut changes = Vec::new();
        for case in &mut self.cases {
            let held = case.last.saturating_sub(case.since);
            if !case.told && case.last == now && held >= APPEARS_AFTER {
                case.told = true;
                changes.push(Change::Appeared(case.finding.clone()));
            }
        }
        self.cases.retain(|case| {
            let absent = now.saturating_sub(case.last);
            let stays = absent.is_zero() || case.told && absent < GOES_AFTER;
            if !stays && case.told {
                changes.push(Change::Gone(case.finding.clone()));
            }
            stays
        });
        changes
    }

    fn recent(&mut self, now: Duration, facts: &Facts, surroundings: &Surroundings) -> Recent {
        let taken = surroundings.on_air && !self.was_on_air;
        self.was_on_air = surroundings.on_air;
        if taken || facts.watched_seconds < BEGINNING.as_secs_f64() {
            // What is dropped up to the first key unit, or was mended of another publisher, is no fault.
            self.readings.clear();
        }
        let total = Recent {
            repairs: surroundings.repairs,
            stalls: facts.stalls,
            stall_seconds: facts.stall_seconds,
            line: facts.link.as_ref().map(Line::of).unwrap_or_default(),
        };
        let is_old = |(at, _): &(Duration, Recent)| now.saturating_sub(*at) > RECENT;
        while self.readings.front().is_some_and(is_old) {
            self.readings.pop_front();
        }
        let newest = self.readings.back();
        if newest.is_none_or(|(at, _)| now.saturating_sub(*at) >= READING) {
            self.readings.push_back((now, total));
        }
        let oldest = self.readings.front().map_or(total, |(_, oldest)| *oldest);
        total.since(oldest)
    }
}

#[cfg(test)]
mod tests;
