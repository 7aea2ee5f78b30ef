//! Audio in samples: durations are counted, carried times only correct the count (decision 11).

use std::collections::VecDeque;

use bytes::Bytes;

use crate::media::codec::{aac, opus};
use crate::media::{AccessUnit, CodecConfig, MediaKind, Ticks, Timescale, Track, rescale};

/// A step in carried time beyond the count that is a hole at once, in frames.
const HOLE_FRAMES: i64 = 4;
/// The longest hole that is filled with silence, in seconds. A longer one is a break of the stream.
const LONGEST_FILL_SECONDS: i64 = 1;

/// Counts the samples of one audio track in channel time.
#[derive(Debug)]
pub struct SoundClock {
    scale: Timescale,
    codec: Codec,
    /// Channel position in samples at which the next frame begins.
    next: Option<Ticks>,
    /// Where the last frame ended; kept when the position is not.
    end: Option<Ticks>,
    /// Samples counted since the carried time began to disagree by more than 1.5 frames.
    disagreeing: i64,
    silent_frames: u64,
    overlapping_frames: u64,
}

#[derive(Debug)]
enum Codec {
    Aac { frame: i64, silence: Option<Bytes> },
    Opus,
}

impl SoundClock {
    /// A clock for `track`; `None` for video.
    pub fn new(track: &Track) -> Option<SoundClock> {
        let codec = match &track.config {
            CodecConfig::Aac(config) => Codec::Aac {
                frame: i64::from(config.frame_samples),
                silence: aac::silent_frame(config),
            },
            CodecConfig::Opus(_) => Codec::Opus,
            CodecConfig::Avc(_) | CodecConfig::Hevc(_) | CodecConfig::Av1(_) => return None,
        };
        Some(SoundClock {
            scale: track.timescale,
            codec,
            next: None,
            end: None,
            disagreeing: 0,
            silent_frames: 0,
            overlapping_frames: 0,
        })
    }

    /// Whether a position is known.
    pub fn is_anchored(&self) -> bool {
        self.next.is_some()
    }

    /// The next frame gives the position anew.
    pub fn unanchor(&mut self) {
        self.next = None;
        self.disagreeing = 0;
    }

    /// Where the last frame ends, in channel time.
    pub fn end_channel_time(&self) -> Option<Ticks> {
        self.end
            .map(|end| rescale(end, self.scale, Timescale::CHANNEL))
    }

    /// Length of a usual frame in channel time.
    pub fn frame_channel_time(&self) -> Ticks {
        let samples = match self.codec {
            Codec::Aac { frame, .. } => frame,
            Codec::Opus => 960,
        };
        rescale(Ticks(samples), self.scale, Timescale::CHANNEL)
    }

    /// Silent frames put in and overlapping ones left out so far.
    pub fn repairs(&self) -> (u64, u64) {
        (self.silent_frames, self.overlapping_frames)
    }

    /// Takes a frame carried at channel time `time` (90 kHz) and appends what is to be played: silence
    /// where frames are missing, the frame itself unless it overlaps what was appended.
    pub fn handle(&mut self, time: Ticks, unit: AccessUnit, out: &mut VecDeque<AccessUnit>) {
        let carried = rescale(time, Timescale::CHANNEL, self.scale);
        let samples = self.samples(&unit.data);
        let expected = *self.next.get_or_insert(carried);
        let ahead = (carried - expected).0;
        if ahead.abs() * 2 > samples * 3 {
            self.disagreeing += samples;
        } else {
            self.disagreeing = 0;
        }
        let hole = ahead > HOLE_FRAMES * samples;
        if hole || self.disagreeing >= i64::from(self.scale.get()) {
            self.disagreeing = 0;
            if ahead > 0 {
                self.fill(ahead, samples, out);
            } else {
                // What overlaps is left out, frame by frame, until the count is right again.
                self.overlapping_frames += 1;
                self.disagreeing = i64::from(self.scale.get());
                return;
            }
        }
        let start = self.next.expect("set above");
        self.next = Some(start + Ticks(samples));
        self.end = self.next;
        out.push_back(AccessUnit {
            dts: start,
            pts: start,
            duration: Some(Ticks(samples)),
            key: true,
            ..unit
        });
    }

    fn fill(&mut self, ahead: i64, samples: i64, out: &mut VecDeque<AccessUnit>) {
        let start = self.next.expect("anchored before it disagrees");
        let fillable = ahead <= i64::from(self.scale.get()) * LONGEST_FILL_SECONDS + samples;
        let silence = match &self.codec {
            Codec::Aac {
                silence: Some(silence),
                ..
            } if fillable => silence.clone(),
            _ => {
                self.next = Some(start + Ticks(ahead));
                return;
            }
        };
        let mut position = start;
        // To the nearest frame: what is left over stays below the threshold of disagreement.
        for _ in 0..(ahead + samples / 2) / samples {
            self.silent_frames += 1;
            out.push_back(AccessUnit {
                kind: MediaKind::Audio,
                dts: position,
                pts: position,
                duration: Some(Ticks(samples)),
                key: true,
                data: silence.clone(),
            });
            position += Ticks(samples);
        }
        self.next = Some(position);
    }

    fn samples(&self, packet: &[u8]) -> i64 {
        match &self.codec {
            Codec::Aac { frame, .. } => *frame,
            // A packet that cannot be read lasts the usual 20 ms: decoders conceal it for as long.
            Codec::Opus => opus::packet_samples(packet).map_or(960, i64::from),
        }
    }
}
