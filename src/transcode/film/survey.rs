//! Once through a file without decoding its pictures: when each of them is shown, what the first one looks
//! like, and all of the sound.

use gstreamer as gst;

use super::frames::{Frames, time_of};
use super::guard::Pulse;
use super::read::{Came, Chains, Reading};
use super::sound::{self, Sound};
use super::{Error, Order, probe, rate};
use crate::transcode::protocol::Colour;

/// Longest film, hours. Bounds disk space, 384 KB for each second of sound and as much again, and time.
pub(super) const LONGEST_H: u64 = 8;
/// Most pictures: those of the longest film at 120 frames per second. Bounds memory, 8 bytes each.
const MOST_PICTURES: usize = 120 * 3600 * LONGEST_H as usize;
/// Coded units of the video: only their times are wanted.
const TIMES: &str = "identity name=in ! appsink name=out sync=false async=false max-buffers=4";
/// What may be missing at the end of a file that says how long it is, nanoseconds: tracks differ.
const SLACK: u64 = 1_500_000_000;

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Survey {
    pub(super) video: Option<Video>,
    pub(super) sound: Option<Sound>,
}

/// The pictures of a file.
#[derive(Debug)]
pub(super) struct Video {
    /// When each is shown, nanoseconds, rising.
    pub(super) times: Vec<u64>,
    /// When the last one is over.
    pub(super) end: u64,
    /// Pixels, as it is shown: upright, with square pixels.
    pub(super) size: (u32, u32),
    pub(super) colour: Colour,
}

pub(super) fn survey(order: &Order, pulse: &Pulse) -> Result<Survey, Error> {
    let container = probe::acceptable(&order.original)?;
    let chains = Chains {
        video: Some(TIMES),
        audio: Some(sound::CHAIN),
    };
    let mut reading = Reading::open(&order.original, chains)?;
    let (mut times, mut end, mut sound) = (Vec::new(), 0, None);
    loop {
        let came = reading.next();
        pulse.beat();
        match came {
            Came::Video(sample) => {
                let Some(time) = time_of(&sample) else {
                    continue;
                };
                if times.len() == MOST_PICTURES || time > LONGEST_H * 3600 * 1_000_000_000 {
                    return Err(Error::Long(LONGEST_H));
                }
                times.push(time);
                let duration = sample.buffer().and_then(gst::BufferRef::duration);
                end = end.max(time + duration.map_or(0, gst::ClockTime::nseconds));
            }
            Came::Audio(sample) => Sound::take(&mut sound, &order.scratch, &sample)?,
            Came::Failed(text) => return Err(Error::Decode(text)),
            Came::End => break,
        }
    }
    times.sort_unstable();
    times.dedup();
    let heard = sound.as_ref().map_or(0, |sound: &Sound| sound.span().1);
    let found = times.last().copied().unwrap_or(0).max(end).max(heard);
    // Those that state a length and not an estimate.
    let states = matches!(container, "mp4" | "mov" | "m4a");
    let stated = reading.stated_ns().filter(|_| states).unwrap_or(0);
    if found + SLACK < stated {
        return Err(Error::BrokenOff {
            found_s: found as f64 / 1e9,
            stated_s: stated as f64 / 1e9,
        });
    }
    drop(reading);
    let video = match times.last() {
        Some(last) => Some(look(order, pulse, *last, times, end)?),
        None => None,
    };
    let sound = sound.filter(|sound| sound.span().1 > sound.span().0);
    if video.is_none() && sound.is_none() {
        return Err(Error::Empty);
    }
    Ok(Survey { video, sound })
}

/// Looks at the first picture.
fn look(
    order: &Order,
    pulse: &Pulse,
    last: u64,
    times: Vec<u64>,
    end: u64,
) -> Result<Video, Error> {
    let first = Frames::open(&order.original, last, pulse)?.before(0)?;
    let unknown = || Error::Decode("its pictures have no size".to_owned());
    let fields = first
        .caps()
        .and_then(|caps| caps.structure(0))
        .ok_or_else(unknown)?;
    let number = |name| {
        fields
            .get::<i32>(name)
            .ok()
            .and_then(|n| u32::try_from(n).ok())
    };
    let (Some(width), Some(height)) = (number("width"), number("height")) else {
        return Err(unknown());
    };
    let pixel = fields.get::<gst::Fraction>("pixel-aspect-ratio");
    let pixel = pixel.map_or((1, 1), |pixel| {
        (
            pixel.numer().unsigned_abs(),
            pixel.denom().unsigned_abs().max(1),
        )
    });
    // Wide pixels become more of them; high ones fewer, so that no line is made up.
    let across = u64::from(width) * u64::from(pixel.0) / u64::from(pixel.1);
    let across = u32::try_from(across).unwrap_or(u32::MAX).clamp(1, 8192);
    let text = |name| fields.get::<String>(name).ok();
    let colour = Colour {
        colorimetry: text("colorimetry").unwrap_or_else(|| "bt709".to_owned()),
        chroma_site: text("chroma-site"),
    };
    let interval = rate::last_interval(&times).unwrap_or(1e9 / 25.0) as u64;
    let usual = last + interval;
    // A last duration that is nothing like the others is believed: a still picture may stand for long.
    let far = end > last + 2 * interval;
    Ok(Video {
        times,
        end: if far { end } else { usual },
        size: (across, height),
        colour,
    })
}

impl Survey {
    /// When the film begins, nanoseconds of the file: with its first picture, unless sound comes well
    /// before it.
    pub(super) fn origin(&self) -> u64 {
        let seen = self
            .video
            .as_ref()
            .and_then(|video| video.times.first().copied());
        let heard = self.sound.as_ref().map(|sound| sound.span().0);
        match (seen, heard) {
            (Some(seen), Some(heard)) if heard + HALF < seen => heard,
            (Some(seen), _) => seen,
            (None, heard) => heard.unwrap_or(0),
        }
    }

    /// When it ends: with its last picture, unless sound goes on well behind it.
    pub(super) fn end(&self) -> u64 {
        let seen = self.video.as_ref().map(|video| video.end);
        let heard = self.sound.as_ref().map(|sound| sound.span().1);
        match (seen, heard) {
            (Some(seen), Some(heard)) if heard > seen + HALF => heard,
            (Some(seen), _) => seen,
            (None, heard) => heard.unwrap_or(0),
        }
    }
}

/// Sound that goes beyond the pictures by less, nanoseconds, is cut: encoders leave some at both ends.
const HALF: u64 = 500_000_000;
