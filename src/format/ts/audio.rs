//! One audio stream. In: bytes of PES packets with their times. Out: frames, each with a time that is
//! counted in samples from the last time that was sent.

use std::collections::VecDeque;

use bytes::Bytes;
use smallvec::SmallVec;

use super::Event;
use super::adts::Adts;
use super::latm::Latm;
use super::opus::Opus;
use super::program::Out;
use super::stamps::{Stamps, Time};
use crate::media::{AccessUnit, CodecConfig, MediaKind, Ticks, Timescale, Track};

/// Bytes of which no frame is found. The longest frame is one of LATM with 8 KiB; the frame after it
/// must be seen too, and a PES packet may bring 64 KiB at once.
const WAITING_BYTES_LIMIT: usize = 128 * 1024;
/// Frames after a loss that wait for the next time sent. More than a PES packet of 64 KiB holds of any
/// usual encoder; the oldest goes first.
const HELD_FRAMES_LIMIT: usize = 256;

/// What was found at the beginning of some bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// More bytes are needed to tell.
    More,
    /// So many bytes that are no frame.
    Garbage(usize),
    /// So many bytes of a frame that cannot be used.
    Malformed(usize),
    /// So many bytes of frames before their configuration.
    Unready(usize),
    /// Frames.
    Frames(Frames),
}

/// Frames that stand together in the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frames {
    /// Bytes that they take in the stream.
    pub(super) size: usize,
    /// When it differs from the one before.
    pub(super) config: Option<CodecConfig>,
    /// In each frame, at `rate`.
    pub(super) samples: u32,
    pub(super) rate: u32,
    pub(super) data: SmallVec<[Bytes; 1]>,
}

/// How frames stand in the stream.
#[derive(Debug)]
pub(super) enum Framing {
    Adts(Adts),
    Latm(Latm),
    Opus(Opus),
}

impl Framing {
    fn read(&mut self, data: &[u8], last: bool) -> Read {
        match self {
            Framing::Adts(adts) => adts.read(data, last),
            Framing::Latm(latm) => latm.read(data, last),
            Framing::Opus(opus) => opus.read(data),
        }
    }

    /// Whether a frame can be found anywhere in the bytes. The prefix of an Opus packet is too short
    /// for that, and muxers begin a PES packet with each.
    fn has_sync(&self) -> bool {
        match self {
            Framing::Adts(_) | Framing::Latm(_) => true,
            Framing::Opus(_) => false,
        }
    }

    fn lose(&mut self) {
        if let Framing::Latm(latm) = self {
            latm.lose();
        }
    }
}

/// One audio stream.
#[derive(Debug)]
pub(super) struct Audio {
    framing: Framing,
    /// Bytes that are not read yet.
    waiting: Vec<u8>,
    stamps: Stamps,
    clock: Option<Clock>,
    /// Frames whose time is not known, since bytes before them are missing; all of one length.
    held: VecDeque<Bytes>,
    /// Whether the last bytes were no frame, which is counted once.
    astray: bool,
}

/// Counts time in samples.
#[derive(Clone, Copy, Debug)]
struct Clock {
    /// The last time that was sent.
    base: Time,
    /// Samples since.
    samples: u64,
    rate: u32,
}

impl Clock {
    fn now(&self) -> Time {
        self.base.plus(ticks(self.samples, self.rate))
    }
}

/// Samples in 90 kHz, to the nearest tick.
fn ticks(samples: u64, rate: u32) -> i64 {
    let rate = u64::from(rate.max(1));
    let ticks = (u128::from(samples) * 90_000 + u128::from(rate / 2)) / u128::from(rate);
    i64::try_from(ticks).unwrap_or(i64::MAX)
}

impl Audio {
    pub(super) fn new(framing: Framing) -> Audio {
        Audio {
            framing,
            waiting: Vec::new(),
            stamps: Stamps::default(),
            clock: None,
            held: VecDeque::new(),
            astray: false,
        }
    }

    /// Whether the rest of a damaged PES packet is of use.
    pub(super) fn reads_on(&self) -> bool {
        self.framing.has_sync()
    }

    /// A PES packet begins.
    pub(super) fn begin(&mut self, time: Option<Time>) {
        if let Some(time) = time {
            self.stamps.put(self.waiting.len(), time);
        }
    }

    /// Bytes follow.
    pub(super) fn push(&mut self, data: &[u8], out: &mut Out) {
        self.waiting.extend_from_slice(data);
        self.read(false, out);
        if self.waiting.len() > WAITING_BYTES_LIMIT {
            out.counts.malformed_units += 1;
            self.forget();
        }
    }

    /// Packets are missing: the frame under way is damaged, and when the next one begins is not known
    /// before a time is sent.
    pub(super) fn lose(&mut self, out: &mut Out) {
        if !self.waiting.is_empty() {
            out.counts.malformed_units += 1;
        }
        self.forget();
        self.framing.lose();
    }

    /// The stream is over.
    pub(super) fn finish(&mut self, out: &mut Out) {
        self.read(true, out);
        if !self.waiting.is_empty() {
            out.counts.malformed_units += 1;
        }
        self.forget();
    }

    fn forget(&mut self) {
        self.waiting.clear();
        self.stamps.clear();
        self.clock = None;
        self.astray = false;
    }

    fn read(&mut self, last: bool, out: &mut Out) {
        let mut at = 0;
        while at < self.waiting.len() {
            let size = match self.framing.read(&self.waiting[at..], last) {
                Read::More => break,
                Read::Garbage(size) => {
                    if !std::mem::replace(&mut self.astray, true) {
                        out.counts.malformed_units += 1;
                    }
                    size
                }
                Read::Malformed(size) => {
                    out.counts.malformed_units += 1;
                    self.pass_over(at);
                    size
                }
                Read::Unready(size) => {
                    out.counts.unready_units += 1;
                    self.pass_over(at);
                    size
                }
                Read::Frames(frames) => {
                    self.astray = false;
                    let size = frames.size;
                    let time = self.stamps.take(at);
                    self.take(frames, time, out);
                    size
                }
            };
            at += size;
        }
        let at = at.min(self.waiting.len());
        self.waiting.drain(..at);
        self.stamps.shift(at);
    }

    /// A frame at `at` is not used: how long it is nobody knows, so what follows waits for a time.
    fn pass_over(&mut self, at: usize) {
        self.stamps.take(at);
        self.clock = None;
    }

    fn take(&mut self, frames: Frames, time: Option<Time>, out: &mut Out) {
        let Frames {
            config,
            samples,
            rate,
            data,
            ..
        } = frames;
        if let Some(config) = config {
            // What is held has no time and another length.
            out.counts.malformed_units += u64::try_from(self.held.len()).unwrap_or(u64::MAX);
            self.held.clear();
            out.events.push_back(Event::Track(Track {
                config,
                timescale: Timescale::CHANNEL,
            }));
        }
        if let Some(base) = time {
            self.release(base, samples, rate, out);
            self.clock = Some(Clock {
                base,
                samples: 0,
                rate,
            });
        }
        for data in data {
            match &mut self.clock {
                Some(clock) => {
                    if clock.rate != rate {
                        *clock = Clock {
                            base: clock.now(),
                            samples: 0,
                            rate,
                        };
                    }
                    let time = clock.now();
                    clock.samples += u64::from(samples);
                    emit(time, data, out);
                }
                None => {
                    if self.held.len() == HELD_FRAMES_LIMIT {
                        self.held.pop_front();
                        out.counts.malformed_units += 1;
                    }
                    self.held.push_back(data);
                }
            }
        }
    }

    /// Hands out what was held: it ends at `end`.
    fn release(&mut self, end: Time, samples: u32, rate: u32, out: &mut Out) {
        let mut left = u64::try_from(self.held.len()).unwrap_or_default();
        for data in self.held.drain(..) {
            let before = ticks(left * u64::from(samples), rate);
            emit(end.plus(-before), data, out);
            left -= 1;
        }
    }
}

fn emit(time: Time, data: Bytes, out: &mut Out) {
    out.events.push_back(Event::Unit(AccessUnit {
        kind: MediaKind::Audio,
        dts: Ticks(time.pts),
        pts: Ticks(time.pts),
        duration: None,
        key: true,
        data,
    }));
}
