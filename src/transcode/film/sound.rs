//! A film's sound as samples in a file without a name: read from any place, round the loop as often as
//! needed. Samples are kept with 16 bits, at the file's own rate until it is known where the loop ends.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

use gstreamer as gst;

use super::Error;
use super::frames::time_of;
use super::grid::SAMPLE_RATE;
use super::guard::Pulse;
use super::mix::Mix;
use super::rate::Rate;
use super::resample::{Kernel, between};
use super::survey::LONGEST_H;
use crate::transcode::worker::graph::bytes_of;

/// From coded units to samples of all channels there are. Other rates come from files that lie.
pub(super) const CHAIN: &str = "decodebin name=in ! audioconvert ! audioresample ! \
    audio/x-raw,format=F32LE,layout=interleaved,rate=[4000,96000] ! \
    appsink name=out sync=false async=false max-buffers=2";
/// Difference between counted and stated time that is put right, nanoseconds. Less is rounding.
const TOLERANCE_NS: u64 = 32_000_000;
/// Bytes of a sample of one channel.
const BYTES: u64 = 2;
/// Full scale of a sample.
const FULL: f32 = 32768.0;
/// Samples that are resampled at once.
const PIECE: u64 = 4800;
/// See the module.
#[derive(Debug)]
pub(super) struct Sound {
    file: File,
    /// Samples per second.
    rate: u32,
    channels: u64,
    /// What full scale is kept as; below one where channels were mixed, whose sum may be above.
    room: f32,
    /// The loudest sample of all, in parts of full scale.
    loudest: f32,
    /// Samples before the film's zero.
    skipped: u64,
    /// First sample that was heard, and the end of the last; from the file's beginning on.
    first: u64,
    end: u64,
}

impl Sound {
    /// An empty one in `folder`.
    fn new(folder: &Path, rate: u32, channels: u64) -> Result<Sound, Error> {
        let path = folder.join("sound");
        let failed = |error: std::io::Error| Error::Machine(format!("room for the sound: {error}"));
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true);
        let file = options.open(&path).map_err(failed)?;
        std::fs::remove_file(&path).map_err(failed)?;
        Ok(Sound {
            file,
            rate,
            channels,
            room: 1.0,
            loudest: 0.0,
            skipped: 0,
            first: u64::MAX,
            end: 0,
        })
    }

    pub(super) fn channels(&self) -> u8 {
        if self.channels == 1 { 1 } else { 2 }
    }

    /// Nanoseconds from the file's beginning to the first sample, and to the end of the last.
    pub(super) fn span(&self) -> (u64, u64) {
        let nanos = |samples: u64| samples * 1_000_000_000 / u64::from(self.rate);
        (nanos(self.first.min(self.end)), nanos(self.end))
    }

    /// Takes the next decoded sound, which makes a new one when there was none.
    pub(super) fn take(
        sound: &mut Option<Sound>,
        folder: &Path,
        sample: &gst::Sample,
    ) -> Result<(), Error> {
        let form = sample.caps();
        let (mix, rate) = (form.and_then(Mix::of), form.and_then(rate_of));
        let data = sample.buffer_owned().and_then(bytes_of);
        let (Some(time), Some(data), Some(mix), Some(rate)) = (time_of(sample), data, mix, rate)
        else {
            return Ok(());
        };
        let sound = match sound {
            Some(sound) => sound,
            None => {
                let new = Sound::new(folder, rate, mix.channels())?;
                sound.insert(Sound {
                    room: mix.room(),
                    ..new
                })
            }
        };
        let mut values = Vec::new();
        mix.apply(&data, sound.channels, &mut values);
        if rate != sound.rate {
            values = sound.at_own_rate(rate, &values);
        }
        let samples = values.len() as u64 / sound.channels;
        // Decoders leave one of those that an edit list takes away: its end is a rounding before the sample's.
        let lasts = sample.buffer().and_then(gst::BufferRef::duration);
        if samples == 1 && lasts.is_some_and(|lasts| sound.samples_of(lasts.nseconds()) == 0) {
            return Ok(());
        }
        let longest = LONGEST_H * 3600 * u64::from(sound.rate);
        let stated = sound.samples_of(time);
        let begun = sound.first != u64::MAX;
        let counts = begun && stated.abs_diff(sound.end) <= sound.samples_of(TOLERANCE_NS);
        let at = if counts { sound.end } else { stated };
        // What was heard already is left out.
        let skipped = sound.end.saturating_sub(at).min(samples);
        if at + samples > longest {
            return Err(Error::Long(LONGEST_H));
        }
        if skipped < samples {
            sound.first = sound.first.min(at);
            let from = usize::try_from(skipped * sound.channels).unwrap_or(usize::MAX);
            let kept = &values[from..];
            let loudest = kept
                .iter()
                .fold(sound.loudest, |most, value| most.max(value.abs()));
            sound.loudest = loudest;
            let room = sound.room * FULL;
            // A cast keeps what is beyond the scale at its end.
            let bytes = kept
                .iter()
                .flat_map(|value| ((value * room).round() as i16).to_le_bytes());
            sound.write(at + skipped, &bytes.collect::<Vec<u8>>())?;
            sound.end = at + samples;
        }
        Ok(())
    }

    fn write(&self, at: u64, data: &[u8]) -> Result<(), Error> {
        let at = at * BYTES * self.channels;
        let written = self.file.write_all_at(data, at);
        written.map_err(|error| Error::Machine(format!("keep the sound: {error}")))
    }

    /// A time in nanoseconds, to the nearest sample. Times beyond all measure are as good as 833 days.
    fn samples_of(&self, nanos: u64) -> u64 {
        let samples = u128::from(nanos.min(1 << 56)) * u128::from(self.rate) + 500_000_000;
        u64::try_from(samples / 1_000_000_000).unwrap_or(u64::MAX)
    }

    /// Samples that have another rate than those before them, which is rare.
    fn at_own_rate(&self, rate: u32, values: &[f32]) -> Vec<f32> {
        let channels = usize::try_from(self.channels).unwrap_or(1);
        let each = apart(values, channels);
        let step = f64::from(rate) / f64::from(self.rate);
        let count = (values.len() as f64 / channels as f64 / step).round() as usize;
        let places = (0..count).map(|at| at as f64 * step);
        places
            .flat_map(|place| each.iter().map(move |one| between(one, place)))
            .collect()
    }

    /// Has the film begin at a time, nanoseconds of the file.
    pub(super) fn begin_at(&mut self, origin: u64) {
        self.skipped = self.samples_of(origin);
    }

    /// Samples of the film from one on, interleaved; silence behind the end.
    pub(super) fn read(&self, from: u64, out: &mut Vec<f32>, samples: u64) -> Result<(), Error> {
        // What was mixed and is too loud becomes quieter as a whole.
        let louder = 1.0 / (self.room * self.loudest.clamp(1.0, 1.0 / self.room));
        self.raw(from, out, samples, louder / FULL)
    }

    /// The same, as it is kept, with another scale.
    fn raw(&self, from: u64, out: &mut Vec<f32>, samples: u64, scale: f32) -> Result<(), Error> {
        let from = from + self.skipped;
        let there = self.end.saturating_sub(from).min(samples);
        let bytes = usize::try_from(there * self.channels * BYTES).unwrap_or(0);
        let mut data = vec![0_u8; bytes];
        let read = self
            .file
            .read_exact_at(&mut data, from * self.channels * BYTES);
        read.map_err(|error| Error::Machine(format!("read the sound: {error}")))?;
        let values = data.chunks_exact(BYTES as usize);
        let values = values.map(|value| f32::from(i16::from_le_bytes([value[0], value[1]])));
        out.extend(values.map(|value| value * scale));
        let silent = usize::try_from((samples - there) * self.channels).unwrap_or(0);
        out.resize(out.len() + silent, 0.0);
        Ok(())
    }

    /// A loop of the film at 48 kHz: so many samples from its zero on. Where it is made of others, its end goes on
    /// with its beginning, as it is heard.
    pub(super) fn fitted(
        self,
        folder: &Path,
        rate: Rate,
        length: u64,
        pulse: &Pulse,
    ) -> Result<Sound, Error> {
        if self.rate == SAMPLE_RATE && !rate.retimed {
            return Ok(self);
        }
        let second = rate.source_ns(u64::from(SAMPLE_RATE), SAMPLE_RATE);
        let step = second as f64 / 1e9 * f64::from(self.rate) / f64::from(SAMPLE_RATE);
        let turn = length as f64 * step;
        let kernel = Kernel::new(step);
        let reach = kernel.reach() as i64;
        let mut made = Sound {
            first: 0,
            room: self.room,
            loudest: self.loudest,
            ..Sound::new(folder, SAMPLE_RATE, self.channels)?
        };
        while made.end < length {
            pulse.beat();
            let samples = PIECE.min(length - made.end);
            let place = |sample: u64| sample as f64 * step;
            let begin = place(made.end).floor() as i64 - reach;
            let end = place(made.end + samples).ceil() as i64 + reach;
            let window = self.round(begin, end, turn)?;
            let mut data = Vec::new();
            for sample in made.end..made.end + samples {
                let place = place(sample) - begin as f64;
                for channel in &window {
                    let value = (kernel.at(channel, place) * FULL).round() as i16;
                    data.extend(value.to_le_bytes());
                }
            }
            made.write(made.end, &data)?;
            made.end += samples;
        }
        Ok(made)
    }

    /// Samples as they are kept, for each channel: from one of the film's on to before another. Before the loop
    /// stands its end, and behind it its beginning.
    fn round(&self, begin: i64, end: i64, turn: f64) -> Result<Vec<Vec<f32>>, Error> {
        let length = turn.ceil() as i64;
        let mut all = vec![Vec::new(); usize::try_from(self.channels).unwrap_or(1)];
        let (from, to) = (begin.max(0), end.min(length));
        // What lies on the other side of the seam is seldom a whole number of samples away.
        let mut beyond = |from: i64, to: i64, shift: f64| -> Result<(), Error> {
            if from >= to {
                return Ok(());
            }
            let first = (from as f64 + shift).floor().max(0.0) as i64;
            let last = ((to as f64 + shift).ceil() as i64 + 1).min(length);
            for (all, there) in all.iter_mut().zip(self.kept(first, last)?) {
                let place = |at: i64| at as f64 + shift - first as f64;
                all.extend((from..to).map(|at| between(&there, place(at))));
            }
            Ok(())
        };
        beyond(begin, to.min(0), turn)?;
        beyond(from, to, 0.0)?;
        beyond(length.max(begin), end, -turn)?;
        Ok(all)
    }

    /// Samples as they are kept, for each channel: from one of the film's on to before another. Silence behind the
    /// end.
    fn kept(&self, from: i64, to: i64) -> Result<Vec<Vec<f32>>, Error> {
        let mut values = Vec::new();
        let count = (to - from).max(0).unsigned_abs();
        self.raw(from.max(0).unsigned_abs(), &mut values, count, 1.0 / FULL)?;
        Ok(apart(&values, usize::try_from(self.channels).unwrap_or(1)))
    }
}

/// Interleaved samples of each channel on their own.
fn apart(values: &[f32], channels: usize) -> Vec<Vec<f32>> {
    let one = |channel| {
        values
            .iter()
            .skip(channel)
            .step_by(channels)
            .copied()
            .collect()
    };
    (0..channels).map(one).collect()
}

fn rate_of(caps: &gst::CapsRef) -> Option<u32> {
    let rate = caps.structure(0)?.get::<i32>("rate").ok()?;
    u32::try_from(rate).ok().filter(|rate| *rate > 0)
}
