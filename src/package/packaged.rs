//! One rendition of a live stream: its segmenter, its window, its bit rates.

use std::cmp::Reverse;
use std::sync::Arc;

use tokio::sync::watch;
use tracing::error;

use super::segmenter::{Cut, Segmenter};
use super::window::Window;
use crate::media::time::rescale;
use crate::media::timeline::{Rules, Segment};
use crate::media::{Rendition, Ticks, Timescale, Track};

/// Declared peak over the one measured so far, in percent: a source's next segment may be larger.
const PEAK_HEADROOM_PERCENT: u64 = 110;

/// A rendition and what is there of it.
#[derive(Debug)]
pub(super) struct Packaged {
    pub(super) rendition: Arc<Rendition>,
    /// Its place among the others, best first: pixels of the first picture and the promised peak. It
    /// stays, as Representations keep their order while a DASH Period lasts.
    pub(super) rank: (Reverse<u64>, bool, Reverse<u32>),
    /// `None` when its configuration cannot be packaged.
    segmenter: Option<Segmenter>,
    pub(super) window: Window,
    rate: Rate,
    pub(super) changed: watch::Sender<u64>,
}

/// Bit rates of a rendition, measured over complete segments.
#[derive(Debug, Default)]
struct Rate {
    peak_bps: u64,
    bits: u64,
    micros: u64,
    declared_bps: u64,
}

impl Packaged {
    /// A rendition whose playlists obey `rules`.
    pub(super) fn new(rendition: &Arc<Rendition>, rules: &Rules, first_part: u64) -> Packaged {
        let track = &rendition.track;
        let segmenter = match Segmenter::new(track, rules, first_part) {
            Ok(segmenter) => Some(segmenter),
            Err(err) => {
                error!(rendition = &*rendition.name, %err, "rendition cannot be packaged");
                None
            }
        };
        let length = Ticks::from_duration(rules.window, track.timescale);
        let pixels = track
            .resolution()
            .map_or(0, |(width, height)| u64::from(width) * u64::from(height));
        Packaged {
            rendition: rendition.clone(),
            // The source stands in front of rungs of the same size.
            rank: (
                Reverse(pixels),
                !rendition.source,
                Reverse(rendition.peak_bps),
            ),
            segmenter,
            window: Window::new(track.timescale, length, first_part),
            rate: Rate::default(),
            changed: watch::channel(0).0,
        }
    }

    /// Another codec configuration.
    pub(super) fn handle_track(&mut self, track: &Arc<Track>) {
        // The timescale stays, since what is listed already is counted in it.
        self.rendition = Arc::new(Rendition {
            track: Arc::new(Track {
                timescale: self.rendition.track.timescale,
                ..(**track).clone()
            }),
            ..(*self.rendition).clone()
        });
        let changed = self
            .segmenter
            .as_mut()
            .map(|segmenter| segmenter.handle_track(track));
        if let Some(Err(err)) = changed {
            error!(rendition = &*self.rendition.name, %err, "rendition cannot be packaged any more");
            self.segmenter = None;
        }
    }

    /// Lets the segmenter act, moves what it cut into the window and wakes those who wait. True when
    /// the declared bit rates no longer hold.
    pub(super) fn cut(&mut self, act: impl FnOnce(&mut Segmenter)) -> bool {
        let Some(segmenter) = &mut self.segmenter else {
            return false;
        };
        act(segmenter);
        let mut news = false;
        let mut rates_broken = false;
        while let Some(cut) = segmenter.poll_cut() {
            // A segment that begins is no news before its first part; that a gap begins is.
            news |= !matches!(&cut, Cut::Open(segment) if !segment.gap);
            if let Some(segment) = self.window.handle_cut(cut) {
                let scale = self.rendition.track.timescale;
                rates_broken |= self.rate.measure(&segment, scale);
            }
        }
        if news {
            self.changed.send_replace(self.window.version());
        }
        rates_broken
    }

    /// Nothing follows.
    pub(super) fn end(&mut self) {
        self.window.end();
        self.changed.send_replace(self.window.version());
    }

    /// The rendition with the bit rates that hold so far.
    pub(super) fn declare(&mut self) -> Arc<Rendition> {
        let promised = u64::from(self.rendition.peak_bps);
        let measured = self.rate.peak_bps * PEAK_HEADROOM_PERCENT / 100;
        let guess = if promised == 0 && measured == 0 {
            self.guess_bps()
        } else {
            0
        };
        let peak = promised
            .max(measured)
            .max(guess)
            .max(self.rate.declared_bps.min(measured));
        self.rate.declared_bps = peak;
        let average = match (self.rendition.average_bps, self.rate.average_bps()) {
            (0, 0) => peak * 9 / 10,
            (promised, 0) => u64::from(promised),
            (_, measured) => measured.min(peak),
        };
        let clamp = |bps: u64| u32::try_from(bps).unwrap_or(u32::MAX);
        Arc::new(Rendition {
            peak_bps: clamp(peak),
            average_bps: clamp(average),
            ..(*self.rendition).clone()
        })
    }

    /// Before a segment is complete: from the parts so far, else from what such a picture usually takes.
    fn guess_bps(&self) -> u64 {
        let mut segments = self.window.segments();
        segments.retain(|segment| !segment.gap);
        let scale = self.rendition.track.timescale;
        let duration: Ticks = segments
            .iter()
            .fold(Ticks::ZERO, |sum, segment| sum + segment.duration);
        let bits = segments
            .iter()
            .map(|segment| segment.size() as u64 * 8)
            .sum::<u64>();
        let half_second = rescale(Ticks(45_000), Timescale::CHANNEL, scale);
        if duration >= half_second {
            return bits * u64::from(scale.get()) / duration.0.unsigned_abs() * 5 / 4;
        }
        match self.rendition.track.resolution() {
            // A tenth of a bit per pixel at 30 fps: 2.8 Mbit/s for 720p.
            Some((width, height)) => u64::from(width) * u64::from(height) * 3,
            None => 192_000,
        }
    }
}

impl Rate {
    /// Takes a complete segment. True when what was declared no longer holds, or was a guess.
    fn measure(&mut self, segment: &Segment, scale: Timescale) -> bool {
        let micros = rescale(segment.duration, scale, Timescale::MICROS)
            .0
            .unsigned_abs();
        if segment.gap || micros == 0 {
            return false;
        }
        let first = self.micros == 0;
        let bits = segment.size() as u64 * 8;
        self.bits += bits;
        self.micros += micros;
        // A segment that was cut short says nothing about the rate of whole ones: half a second is
        // the least that counts.
        if micros >= 500_000 {
            self.peak_bps = self.peak_bps.max(per_second(bits, micros) + 1);
        }
        first || self.peak_bps > self.declared_bps
    }

    fn average_bps(&self) -> u64 {
        if self.micros == 0 {
            0
        } else {
            per_second(self.bits, self.micros)
        }
    }
}

fn per_second(bits: u64, micros: u64) -> u64 {
    let rate = u128::from(bits) * 1_000_000 / u128::from(micros.max(1));
    u64::try_from(rate).unwrap_or(u64::MAX)
}
