//! Rules on the line of a publisher, for transports that measure it. What is told is of the last
//! minute: a [`Link`] counts since the session began.

use std::time::Duration;

use super::rules::{Case, Said, say};
use super::{Recent, Severity};
use crate::hub::Link;

/// Packets within the minute before shares of them are told: at 1 Mbit/s a few seconds' worth.
const LEAST_PACKETS: u64 = 500;
/// Packets too late that are worth a sentence, percent. Each one costs a piece of a picture, but one
/// in thousands may be a single bad moment of the line.
const LATE_PERCENT: f64 = 0.05;
/// From here on viewers see it all the time, percent: at 2.5 Mbit/s more than two pieces a second.
const VERY_LATE_PERCENT: f64 = 1.0;
/// Loss that is worth a sentence although it is repaired, percent. Below it the quarter of bandwidth
/// that SRT has to spare by default carries all repairs easily (SRT deployment guide).
const LOSS_PERCENT: f64 = 3.0;
/// Loss at which repairs themselves get lost often, and bursts outlast any usual latency, percent.
const HEAVY_LOSS_PERCENT: f64 = 10.0;
/// Latency in round trips that gives a lost packet a first and a second chance (SRT deployment guide:
/// 3 for lines that lose less than 1 %).
const LEAST_ROUND_TRIPS: u32 = 3;
/// Latency in round trips by loss up to so many percent (the same guide), 8 above.
const ROUND_TRIPS: [(f64, u32); 3] = [(3.0, 4), (7.0, 5), (10.0, 6)];
/// See [`ROUND_TRIPS`].
const MOST_ROUND_TRIPS: u32 = 8;
/// Proposed latencies are multiples of this: a number to type.
const LATENCY_STEP_MS: u64 = 50;
/// The highest latency that is proposed, and the highest that the listener agrees on.
const HIGHEST_LATENCY: Duration = Duration::from_secs(8);

/// A share of packets, percent.
fn percent(part: u64, whole: u64) -> f64 {
    part.min(whole) as f64 * 100.0 / whole.max(1) as f64
}

/// Of what was sent within the minute, how much came too late to be used. What could not be decrypted
/// is another matter.
fn late(recent: &Recent) -> (u64, f64) {
    let line = recent.line;
    let late = line.dropped.saturating_sub(line.undecrypted);
    (late, percent(late, line.packets + late))
}

/// Of what was sent within the minute, how much was lost at the first attempt.
fn lost(recent: &Recent) -> f64 {
    let line = recent.line;
    let arrived = line.packets.saturating_sub(line.retransmitted);
    percent(line.lost, arrived + line.lost)
}

fn is_late(recent: &Recent) -> bool {
    recent.line.packets >= LEAST_PACKETS && late(recent).1 >= LATE_PERCENT
}

/// The latency that would do, and whether it is more than there is.
fn proposed(link: &Link, recent: &Recent) -> (Duration, bool) {
    let loss = lost(recent);
    let fitting = ROUND_TRIPS.iter().find(|(most, _)| loss <= *most);
    let trips = fitting.map_or(MOST_ROUND_TRIPS, |(_, trips)| *trips);
    let more = match late(recent).1 >= VERY_LATE_PERCENT {
        true => link.latency.saturating_mul(2),
        false => link.latency.saturating_mul(3) / 2,
    };
    let wanted = link.rtt.saturating_mul(trips).max(more);
    let wanted = step_up(wanted).min(HIGHEST_LATENCY);
    (wanted, wanted > link.latency)
}

fn step_up(latency: Duration) -> Duration {
    let step = Duration::from_millis(LATENCY_STEP_MS).as_micros();
    let steps = latency.as_micros().div_ceil(step);
    let micros = u64::try_from(steps * step).unwrap_or(u64::MAX);
    Duration::from_micros(micros)
}

fn raise(latency: Duration) -> String {
    let (millis, micros) = (latency.as_millis(), latency.as_micros());
    format!(
        "Raise the latency to {millis} ms: Settings > Stream > Server: srt://…?latency={micros} (in \
         microseconds), with ffmpeg the same"
    )
}

pub(super) fn latency(case: &Case<'_>) -> Said {
    let link = case.facts.link.as_ref()?;
    if !is_late(case.recent) {
        return None;
    }
    let (count, share) = late(case.recent);
    let severity = match share >= VERY_LATE_PERCENT {
        true => Severity::Error,
        false => Severity::Warning,
    };
    let digits = if share < 0.1 { 2 } else { 1 };
    let (latency, raises) = proposed(link, case.recent);
    let remedy = match raises {
        true => raise(latency),
        false => {
            "The latency is as high as it can be. Use a cable in place of Wi-Fi, or Settings > \
                  Output > Streaming > Bitrate: less"
                .to_owned()
        }
    };
    say(
        severity,
        format!(
            "{share:.digits$} % of packets arrive too late ({count} within the last minute, latency {} \
             ms, round trip {} ms): each damages a picture or the sound.",
            link.latency.as_millis(),
            link.rtt.as_millis(),
        ),
        &remedy,
    )
}

pub(super) fn short_latency(case: &Case<'_>) -> Said {
    let link = case.facts.link.as_ref()?;
    // Packets too late are told with the same remedy.
    if link.latency >= link.rtt.saturating_mul(LEAST_ROUND_TRIPS) || is_late(case.recent) {
        return None;
    }
    let (latency, raises) = proposed(link, case.recent);
    if !raises {
        return None;
    }
    say(
        Severity::Info,
        format!(
            "The latency of {} ms is less than {LEAST_ROUND_TRIPS} round trips of {} ms, so a packet \
             that is lost can hardly be sent again in time.",
            link.latency.as_millis(),
            link.rtt.as_millis(),
        ),
        &raise(latency),
    )
}

pub(super) fn loss(case: &Case<'_>) -> Said {
    let share = lost(case.recent);
    if case.recent.line.packets < LEAST_PACKETS || share < LOSS_PERCENT {
        return None;
    }
    let severity = match share >= HEAVY_LOSS_PERCENT {
        true => Severity::Warning,
        false => Severity::Info,
    };
    let (count, _) = late(case.recent);
    let repaired = match count {
        0 => "all of them were sent again in time".to_owned(),
        count => format!("{count} were not sent again in time within the last minute"),
    };
    say(
        severity,
        format!("The line loses {share:.1} % of packets; {repaired}."),
        "Use a cable in place of Wi-Fi. Settings > Output > Streaming > Bitrate: at most three quarters \
         of what the line carries, so that what is lost can be sent again",
    )
}

pub(super) fn encryption(case: &Case<'_>) -> Said {
    let link = case.facts.link.as_ref()?;
    // Without any unit the minute never begins.
    let count = match case.facts.watched_seconds > 0.0 {
        true => case.recent.line.undecrypted,
        false => link.undecrypted_packets,
    };
    if count == 0 {
        return None;
    }
    say(
        Severity::Error,
        format!("{count} packets could not be decrypted: the passphrases are not the same."),
        "Settings > Stream > Server: srt://…?passphrase=… with the passphrase of this server, then stop \
         and start the stream",
    )
}

#[cfg(test)]
mod tests;
