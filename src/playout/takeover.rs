//! When the encoder of a show's owner goes on air in the place of the film, and when the film returns. Pure.
//!
//! The encoder is warmed up off air: its stream lies on the film's clock and grid ([`place`]) and makes the
//! film's renditions. It goes on air with a row in the cut log that is written before its time comes, so that
//! nobody was told of what the film would have had there.

use std::sync::Arc;
use std::time::Duration;

use super::{Cut, Facts, Kind, LEAD, Show, schedule, ticks};
use crate::base::clock::Wall;
use crate::base::lead::WRITTEN;
use crate::hub::placed::{Picture, Sound};
use crate::hub::{Placed, Stream};
use crate::media::time::channel_time;
use crate::media::timeline::Timeline;
use crate::media::{Grid, MediaKind, Numbered, Ticks, Timescale};

/// How long beyond the silence after which others may publish an encoder that sends nothing stays on air: what
/// rungs show meanwhile is the last picture, then the slate.
pub const GRACE: Duration = Duration::from_secs(2);
/// How far the slowest rendition may be behind the clock when the encoder goes on air: players at the live edge
/// have more than that in their buffers.
const LARGEST_LAG: Ticks = Ticks(2 * 90_000);
/// How long the last segments before the film's return may take to come, when nothing more comes of them.
const LAST_WORDS: Ticks = Ticks(3 * 90_000);
/// How long an encoder that went is waited for: it finds its stream as it left it, and players that are behind
/// what it had on air.
const LINGER: Ticks = Ticks(60 * 90_000);

/// What is known of the encoder's stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leg {
    /// Whether it lies where the show is: otherwise it is of another time.
    pub fits: bool,
    /// Since when nothing came of it; `None` when nobody publishes it any more.
    pub silent: Option<Duration>,
    /// Channel time up to which every rendition of the film is there; `None` while one is missing.
    pub ready: Option<Ticks>,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing now.
    Wait,
    /// This row is to be written.
    Cut(Cut),
    /// The encoder's stream is of no use any more.
    Finish(&'static str),
}

/// Where an encoder's stream has to lie to take the place of what a show has on now, or next; `None` where
/// there is nothing to take the place of.
pub fn place(show: &Show, facts: &Facts, segment: Duration, now: Wall) -> Option<Placed> {
    let time = channel_time(now, show.epoch);
    let cuts = schedule::effective(show, Some(facts));
    if cuts
        .iter()
        .any(|cut| cut.kind == Kind::End && cut.at <= time)
    {
        return None;
    }
    let plays = |cut: &&Cut| matches!(cut.kind, Kind::Film | Kind::Slate);
    let coming = cuts
        .iter()
        .find(|cut| cut.at > time && cut.kind == Kind::Film);
    let on = cuts.iter().rev().find(|cut| cut.at <= time && plays(cut));
    let cut = coming.or(on)?;
    let mut video = Vec::new();
    let mut audio = Vec::new();
    for rendition in &facts.renditions {
        let (name, kbps) = (rendition.name.clone(), rendition.average_bps / 1000);
        match rendition.kind() {
            MediaKind::Video => {
                let (width, height) = rendition.track.resolution()?;
                video.push(Picture {
                    name,
                    width,
                    height,
                    kbps,
                });
            }
            MediaKind::Audio => audio.push(Sound {
                name,
                kbps,
                sample_rate: rendition.track.sample_rate()?,
                channels: rendition.track.channels()?,
            }),
        }
    }
    Some(Placed {
        epoch: show.epoch,
        grid: Numbered::new(grid(cut, facts, segment), cut.at, cut.sequence),
        frame_rate_millis: facts.fps.saturating_mul(1000),
        video: video.into(),
        audio: audio.into(),
    })
}

/// Where the segments of a row lie.
fn grid(cut: &Cut, facts: &Facts, segment: Duration) -> Grid {
    let frame = i64::from(Timescale::CHANNEL.get() / facts.fps.max(1));
    let frames = |count: u64| Ticks(frame.saturating_mul(i64::try_from(count).unwrap_or(i64::MAX)));
    match cut.kind {
        Kind::Film | Kind::Live => Grid {
            anchor: cut.anchor,
            step: frames(facts.segment_frames.into()),
            length: facts.frames.map(frames),
        },
        Kind::Slate | Kind::End => Grid {
            anchor: cut.anchor,
            step: ticks(segment),
            length: None,
        },
    }
}

/// What is to be done now. `called` says whether the owner may be on air, `silence` after how long an encoder
/// counts as silent.
pub fn step(
    show: &Show,
    facts: &Facts,
    segment: Duration,
    (called, silence): (bool, Duration),
    leg: Option<&Leg>,
    now: Wall,
) -> Step {
    let useless = useless(called, silence, leg);
    let time = channel_time(now, show.epoch);
    let soon = now.plus_micros(i64::try_from(WRITTEN.as_micros()).unwrap_or(0));
    let next = channel_time(soon, show.epoch) + ticks(LEAD);
    let on = schedule::on(show, Some(facts), next);
    let live = on.is_some_and(|cut| cut.kind == Kind::Live);
    match (useless, leg) {
        (Some(_), _) if live => {
            let cut = schedule::give_back(show, facts, segment, soon);
            cut.filter(|cut| is_free(show, cut))
                .map_or(Step::Wait, Step::Cut)
        }
        (Some(why), Some(leg)) if is_over(show, why, leg, time) => Step::Finish(why.text()),
        (None, Some(leg))
            if !live && leg.ready.is_some_and(|ready| ready + LARGEST_LAG >= time) =>
        {
            let cut = schedule::take_over(show, facts, segment, soon);
            let cut = cut.filter(|cut| is_free(show, cut) && !begins_later(show, cut));
            cut.map_or(Step::Wait, Step::Cut)
        }
        _ => Step::Wait,
    }
}

/// Why an encoder's stream is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    NoStream,
    GivenBack,
    Moved,
    Gone,
    Silent,
}

impl Why {
    fn text(self) -> &'static str {
        match self {
            Why::NoStream => "there is no encoder",
            Why::GivenBack => "the stream was given back to the film",
            Why::Moved => "what the encoder took the place of has moved",
            Why::Gone => "the encoder has gone",
            Why::Silent => "nothing came of the encoder any more",
        }
    }

    /// How long its stream stays after the film has returned, whatever comes of it.
    fn stay(self) -> Ticks {
        match self {
            Why::Gone | Why::Silent => LINGER,
            Why::NoStream | Why::GivenBack | Why::Moved => LAST_WORDS,
        }
    }
}

fn useless(called: bool, silence: Duration, leg: Option<&Leg>) -> Option<Why> {
    match leg {
        None => Some(Why::NoStream),
        Some(_) if !called => Some(Why::GivenBack),
        Some(leg) if !leg.fits => Some(Why::Moved),
        Some(leg) => match leg.silent {
            None => Some(Why::Gone),
            Some(since) if since >= silence + GRACE => Some(Why::Silent),
            Some(_) => None,
        },
    }
}

/// Whether no row lies at a row's time, and the show is not over by then.
fn is_free(show: &Show, cut: &Cut) -> bool {
    let taken = |other: &Cut| other.at == cut.at || other.kind == Kind::End && other.at < cut.at;
    !show.cuts.iter().any(taken)
}

/// Whether something else than the end is to come after a row.
fn begins_later(show: &Show, cut: &Cut) -> bool {
    let mut later = show.cuts.iter().filter(|other| other.at > cut.at);
    later.any(|other| other.kind != Kind::End)
}

/// Whether players have, or will never have, all of what the encoder had on air.
fn is_over(show: &Show, why: Why, leg: &Leg, time: Ticks) -> bool {
    let live = show.cuts.iter().rposition(|cut| cut.kind == Kind::Live);
    let Some(live) = live else {
        return true;
    };
    match show.cuts.get(live + 1) {
        Some(back) if back.at > time => false,
        Some(back) => {
            let there = leg.ready.is_some_and(|ready| ready >= back.at);
            there && why.stay() == LAST_WORDS || time >= back.at + why.stay()
        }
        None => false,
    }
}

/// What is known of an encoder's stream and its timeline at `now`.
pub fn leg(stream: &Stream, timeline: &dyn Timeline, placed: Option<&Placed>) -> Leg {
    Leg {
        fits: placed.is_some() && stream.lies_as(placed),
        silent: stream.silent(),
        ready: stream
            .admission()
            .placed
            .as_ref()
            .and_then(|placed| ready(timeline, placed)),
    }
}

/// Channel time up to which every rendition has media, where each has a whole segment.
pub(super) fn ready(timeline: &dyn Timeline, placed: &Placed) -> Option<Ticks> {
    let video = placed.video.iter().map(|picture| &picture.name);
    let names: Vec<&Arc<str>> = video
        .chain(placed.audio.iter().map(|sound| &sound.name))
        .collect();
    let ends = names.into_iter().map(|name| {
        let begun = timeline.progress(name)?.begun;
        let snapshot = timeline.snapshot(name).filter(|_| begun)?;
        let last = snapshot.segments.last()?;
        let end = last.start + last.duration;
        Some(crate::media::rescale(
            end,
            snapshot.timescale(),
            Timescale::CHANNEL,
        ))
    });
    ends.collect::<Option<Vec<Ticks>>>()?.into_iter().min()
}

#[cfg(test)]
mod tests;
