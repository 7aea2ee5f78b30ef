//! What a film is made into: its grid, its renditions, and what its encoders are told. Pure but for the
//! number of cores.

use super::grid::{Grid, SAMPLE_RATE};
use super::rate::Rate;
use super::survey::Survey;
use super::{Error, Order};
use crate::transcode::ladder::{AudioFacts, Book, Choice, Request, VideoFacts};
use crate::transcode::protocol::Setup;

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) grid: Grid,
    pub(super) setup: Setup,
    /// Where in the file the film begins, nanoseconds.
    pub(super) origin: u64,
}

pub(super) fn plan(order: &Order, survey: &Survey) -> Result<Plan, Error> {
    let rate = match &survey.video {
        Some(video) => Rate::of(&video.times),
        None => Rate::of_sound(),
    };
    let origin = survey.origin();
    let frames = rate.units(survey.end().saturating_sub(origin), rate.fps);
    if frames < u64::from(rate.fps) {
        return Err(Error::Short(frames as f64 / f64::from(rate.fps)));
    }
    let grid = Grid::new(rate, order.segment_seconds, frames, survey.sound.is_some());
    let book = Book::built_in();
    let video = survey.video.as_ref().map(|video| VideoFacts {
        width: video.size.0,
        height: video.size.1,
        frame_rate_millis: rate.fps * 1000,
    });
    let audio = survey.sound.as_ref().map(|sound| AudioFacts {
        // Whatever it was, samples were made of it.
        aac: false,
        sample_rate: SAMPLE_RATE,
        channels: sound.channels(),
    });
    let mut capabilities = vec!["multi-bitrate".to_owned()];
    match video {
        Some(video) => capabilities.extend(quality(&book, &video)),
        None => capabilities.push("audio-only".to_owned()),
    }
    let choice = match &order.ladder {
        // A film has to be encoded.
        Choice::Off => &Choice::Auto,
        choice => choice,
    };
    let decided = book.decide(&Request {
        choice,
        capabilities: &capabilities,
        video,
        audio,
        avc: false,
        passthrough: false,
        cores: std::thread::available_parallelism().map_or(1, usize::from),
    });
    if let Some(video) = video.filter(|_| decided.video.is_empty()) {
        return Err(Error::Small(video.width, video.height));
    }
    let mut sound = decided.audio;
    for rung in &mut sound {
        rung.channels = audio.map_or(2, |audio| audio.channels);
    }
    let setup = Setup {
        video: decided.video,
        audio: sound,
        crop: None,
        frame_rate_millis: rate.fps * 1000,
        frames: None,
        encoders: book.encoders,
        vbv_ms: book.vbv_ms,
        thumbnail_ms: 0,
        resume: Vec::new(),
        colour: survey.video.as_ref().map(|video| video.colour.clone()),
        slate: None,
    };
    Ok(Plan {
        grid,
        setup,
        origin,
    })
}

/// The quality word of a source's own size: live, the source is listed as it is, and here there is a rung
/// in its place.
fn quality(book: &Book, video: &VideoFacts) -> Option<String> {
    let lines = video.width.min(video.height);
    let plain = || book.rungs.iter().filter(|rung| !rung.variant);
    let holds = plain().filter(|rung| rung.lines >= lines);
    let smallest = holds.min_by_key(|rung| rung.lines);
    let largest = || plain().max_by_key(|rung| rung.lines);
    smallest.or_else(largest).map(|rung| rung.name.clone())
}
