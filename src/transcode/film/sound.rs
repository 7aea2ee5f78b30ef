//! A film's sound as samples in a file without a name: read from any place, round the loop as often as
//! needed. Samples are 16 bits at 48 kHz.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

use gstreamer as gst;
use gstreamer::prelude::*;

use super::Error;
use super::frames::time_of;
use super::grid::SAMPLE_RATE;
use super::guard::Pulse;
use super::survey::LONGEST_H;
use crate::transcode::worker::elements;
use crate::transcode::worker::graph::bytes_of;

/// From coded units to samples. More than two channels become two.
pub(super) const CHAIN: &str = "decodebin name=in ! audioconvert ! audioresample ! \
    audio/x-raw,format=S16LE,layout=interleaved,rate=48000,channels=[1,2] ! \
    appsink name=out sync=false async=false max-buffers=2";
/// Difference between counted and stated time that is put right, samples: 32 ms. Less is rounding.
const TOLERANCE: u64 = 1536;
/// Bytes of a sample of one channel.
const BYTES: u64 = 2;
/// Samples that are read or retimed at once.
const PIECE: usize = 4800;
/// The rate that 48 kHz is taken for when a film runs a thousandth faster.
const FASTER_RATE: u32 = 48_048;

/// See the module.
#[derive(Debug)]
pub(super) struct Sound {
    file: File,
    channels: u64,
    /// Samples before the film's zero.
    skipped: u64,
    /// First sample that was heard, and the end of the last; from the file's beginning on.
    first: u64,
    end: u64,
}

impl Sound {
    /// An empty one in `folder`, for samples of so many channels.
    fn new(folder: &Path, channels: u64) -> Result<Sound, Error> {
        let path = folder.join("sound");
        let failed = |error: std::io::Error| Error::Machine(format!("room for the sound: {error}"));
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true);
        let file = options.open(&path).map_err(failed)?;
        std::fs::remove_file(&path).map_err(failed)?;
        Ok(Sound {
            file,
            channels,
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
        let nanos = |samples: u64| samples * 1_000_000 / u64::from(SAMPLE_RATE / 1000);
        (nanos(self.first.min(self.end)), nanos(self.end))
    }

    /// Takes the next decoded sound, which makes a new one when there was none.
    pub(super) fn take(
        sound: &mut Option<Sound>,
        folder: &Path,
        sample: &gst::Sample,
    ) -> Result<(), Error> {
        let channels = channels_of(sample);
        let (Some(time), Some(data)) = (time_of(sample), sample.buffer_owned().and_then(bytes_of))
        else {
            return Ok(());
        };
        let sound = match sound {
            Some(sound) => sound,
            None => sound.insert(Sound::new(folder, channels)?),
        };
        let samples = data.len() as u64 / (BYTES * channels);
        let longest = LONGEST_H * 3600 * u64::from(SAMPLE_RATE);
        let stated = samples_of(time);
        let begun = sound.first != u64::MAX;
        let counts = begun && stated.abs_diff(sound.end) <= TOLERANCE;
        let at = if counts { sound.end } else { stated };
        // What was heard already is left out.
        let skipped = sound.end.saturating_sub(at).min(samples);
        if at + samples > longest {
            return Err(Error::Long(LONGEST_H));
        }
        if skipped < samples {
            sound.first = sound.first.min(at);
            let from = usize::try_from(skipped * BYTES * channels).unwrap_or(usize::MAX);
            sound.write(at + skipped, &data[from..], channels)?;
            sound.end = at + samples;
        }
        Ok(())
    }

    /// Writes samples, in the number of channels that the first ones had.
    fn write(&self, at: u64, data: &[u8], channels: u64) -> Result<(), Error> {
        let pairs = data.chunks_exact(2 * BYTES as usize);
        let data = match (channels, self.channels) {
            (2, 1) => &pairs
                .flat_map(|pair| [pair[0], pair[1]])
                .collect::<Vec<u8>>(),
            (1, 2) => {
                let each = data.chunks_exact(BYTES as usize);
                &each
                    .flat_map(|one| [one[0], one[1], one[0], one[1]])
                    .collect::<Vec<u8>>()
            }
            _ => data,
        };
        let at = at * BYTES * self.channels;
        let written = self.file.write_all_at(data, at);
        written.map_err(|error| Error::Machine(format!("keep the sound: {error}")))
    }

    /// Has the film begin at a sample of this sound.
    pub(super) fn begin_at(&mut self, sample: u64) {
        self.skipped = sample;
    }

    /// Samples of the film from one on, interleaved; silence behind the end.
    pub(super) fn read(&self, from: u64, out: &mut Vec<f32>, samples: u64) -> Result<(), Error> {
        let from = from + self.skipped;
        let there = self.end.saturating_sub(from).min(samples);
        let bytes = usize::try_from(there * self.channels * BYTES).unwrap_or(0);
        let mut data = vec![0_u8; bytes];
        let read = self
            .file
            .read_exact_at(&mut data, from * self.channels * BYTES);
        read.map_err(|error| Error::Machine(format!("read the sound: {error}")))?;
        let values = data.chunks_exact(BYTES as usize);
        out.extend(
            values.map(|value| f32::from(i16::from_le_bytes([value[0], value[1]])) / 32768.0),
        );
        let silent = usize::try_from((samples - there) * self.channels).unwrap_or(0);
        out.resize(out.len() + silent, 0.0);
        Ok(())
    }

    /// The same from the film's zero on, a thousandth faster and higher.
    pub(super) fn retimed(&self, folder: &Path, pulse: &Pulse) -> Result<Sound, Error> {
        let failed = |error: crate::transcode::Error| Error::Machine(error.to_string());
        let channels = self.channels;
        let form = format!("audio/x-raw,format=S16LE,layout=interleaved,channels={channels}");
        let text = format!(
            "appsrc name=in format=time block=true max-bytes=0 max-buffers=4 \
             caps={form},rate={FASTER_RATE} ! audioresample ! {form},rate={SAMPLE_RATE} ! \
             appsink name=out sync=false async=false max-buffers=4"
        );
        let pipeline = elements::parse(&text).map_err(failed)?;
        let source = elements::source(&pipeline, "in");
        let sink = elements::sink(&pipeline, "out");
        elements::play(&pipeline).map_err(failed)?;
        let mut made = Sound::new(folder, channels)?;
        made.first = 0;
        let (from, until) = (self.skipped, self.end);
        let file = self.file.try_clone();
        let file = file.map_err(|error| Error::Machine(format!("read the sound: {error}")))?;
        let feed = std::thread::Builder::new()
            .name("retime".to_owned())
            .spawn(move || {
                let mut at = from;
                while at < until {
                    let samples = (until - at).min(PIECE as u64);
                    let mut data =
                        vec![0; usize::try_from(samples * BYTES * channels).unwrap_or(0)];
                    if file
                        .read_exact_at(&mut data, at * BYTES * channels)
                        .is_err()
                    {
                        break;
                    }
                    let mut buffer = gst::Buffer::from_mut_slice(data);
                    let nanos = (at - from) * 1_000_000_000 / u64::from(FASTER_RATE);
                    let fields = buffer.get_mut().expect("a new buffer has one owner");
                    fields.set_pts(gst::ClockTime::from_nseconds(nanos));
                    if source.push_buffer(buffer).is_err() {
                        break;
                    }
                    at += samples;
                }
                let _ = source.end_of_stream();
            });
        feed.map_err(|error| Error::Machine(format!("thread: {error}")))?;
        while let Ok(sample) = sink.pull_sample() {
            pulse.beat();
            let Some(data) = sample.buffer_owned().and_then(bytes_of) else {
                continue;
            };
            made.write(made.end, &data, channels)?;
            made.end += data.len() as u64 / (BYTES * channels);
        }
        let _ = pipeline.set_state(gst::State::Null);
        Ok(made)
    }
}

/// A time in nanoseconds, to the nearest sample. Times beyond all measure are as good as 833 days.
pub(super) fn samples_of(nanos: u64) -> u64 {
    (nanos.min(1 << 56) * 6 + 62_500) / 125_000
}

fn channels_of(sample: &gst::Sample) -> u64 {
    let fields = sample.caps().and_then(|caps| caps.structure(0));
    let channels = fields.and_then(|fields| fields.get::<i32>("channels").ok());
    if channels == Some(1) { 1 } else { 2 }
}
