//! Audio in samples: durations are counted, carried times only correct the count (decision 11).

use std::collections::VecDeque;

use bytes::Bytes;

use crate::media::codec::{aac, opus};
use crate::media::{AccessUnit, CodecConfig, MediaKind, Ticks, Timescale, Track, rescale};

/// A step in carried time beyond the count that is a hole at once, in frames.
const HOLE_FRAMES: i64 = 4;
/// The longest hole that is filled with silence, in seconds. A longer one is a break of the stream.
const LONGEST_FILL_SECONDS: i64 = 1;

/// Samples of a usual Opus packet, and of the silent one: 20 ms.
const OPUS_FRAME: i64 = 960;

/// Counts the samples of one audio track in channel time.
#[derive(Debug)]
pub struct SoundClock {
    scale: Timescale,
    codec: Codec,
    /// Channel position in samples at which the next frame begins.
    next: Option<Ticks>,
    /// Where the last frame ended; kept when the position is not.
    end: Option<Ticks>,
    /// The next frame comes from another encoder or after silence: it is put at the nearest place in
    /// the count at once.
    joining: bool,
    /// Samples counted since the carried time began to disagree by more than three quarters of a
    /// frame: a whole frame less or more then leaves a quarter, so that sound stays within 20 ms.
    disagreeing: i64,
    silent_frames: u64,
    overlapping_frames: u64,
}

#[derive(Debug)]
enum Codec {
    Aac { frame: i64, silence: Option<Bytes> },
    Opus { silence: Bytes },
}

impl SoundClock {
    /// A clock for `track`, whose frames lie at or after channel time `floor`; `None` for video.
    pub fn new(track: &Track, floor: Option<Ticks>) -> Option<SoundClock> {
        let codec = match &track.config {
            CodecConfig::Aac(config) => Codec::Aac {
                frame: i64::from(config.frame_samples),
                silence: aac::silent_frame(config),
            },
            CodecConfig::Opus(config) => Codec::Opus {
                silence: opus::silent_packet(config),
            },
            CodecConfig::Avc(_) | CodecConfig::Hevc(_) | CodecConfig::Av1(_) => return None,
        };
        Some(SoundClock {
            scale: track.timescale,
            codec,
            next: None,
            end: floor.map(|floor| rescale(floor, Timescale::CHANNEL, track.timescale)),
            joining: floor.is_some(),
            disagreeing: 0,
            silent_frames: 0,
            overlapping_frames: 0,
        })
    }

    /// The next frame comes from another encoder: its place is looked for anew.
    pub fn join(&mut self) {
        self.joining = true;
        self.disagreeing = 0;
    }

    /// The same, with the count set to channel time `time` (90 kHz).
    pub fn join_at(&mut self, time: Ticks) {
        self.next = Some(rescale(time, Timescale::CHANNEL, self.scale));
        self.join();
    }

    /// Appends silence up to channel time `until` (90 kHz), in whole frames. What comes later for the
    /// time that is filled is left out.
    pub fn hold(&mut self, until: Ticks, out: &mut VecDeque<AccessUnit>) {
        let until = rescale(until, Timescale::CHANNEL, self.scale);
        let samples = self.codec.frame_samples();
        let (Some(mut position), Some(silence)) = (self.next.or(self.end), self.codec.silence())
        else {
            return;
        };
        while position + Ticks(samples) <= until {
            out.push_back(silent_unit(position, samples, silence.clone()));
            self.silent_frames += 1;
            position += Ticks(samples);
            self.next = Some(position);
            self.end = self.next;
            self.join();
        }
    }

    /// Whether silence can be made.
    pub fn has_silence(&self) -> bool {
        self.codec.silence().is_some()
    }

    /// Where the last frame ends, in channel time.
    pub fn end_channel_time(&self) -> Option<Ticks> {
        self.end
            .map(|end| rescale(end, self.scale, Timescale::CHANNEL))
    }

    /// Where the next frame is expected, in channel time: behind the last one, or where it was joined.
    pub fn next_channel_time(&self) -> Option<Ticks> {
        self.next
            .or(self.end)
            .map(|next| rescale(next, self.scale, Timescale::CHANNEL))
    }

    /// Length of a usual frame in channel time.
    pub fn frame_channel_time(&self) -> Ticks {
        rescale(
            Ticks(self.codec.frame_samples()),
            self.scale,
            Timescale::CHANNEL,
        )
    }

    /// Silent frames put in and overlapping ones left out so far.
    pub fn repairs(&self) -> (u64, u64) {
        (self.silent_frames, self.overlapping_frames)
    }

    /// Takes a frame carried at channel time `time` (90 kHz) and appends what is to be played: silence
    /// where frames are missing, the frame itself unless it overlaps what was appended.
    pub fn handle(&mut self, time: Ticks, unit: AccessUnit, out: &mut VecDeque<AccessUnit>) {
        let carried = rescale(time, Timescale::CHANNEL, self.scale);
        let samples = self.codec.packet_samples(&unit.data);
        self.next.get_or_insert(self.end.unwrap_or(carried));
        if self.joining && !self.place(carried, samples, out) {
            self.overlapping_frames += 1;
            return;
        }
        let expected = self.next.expect("set above");
        let ahead = (carried - expected).0;
        if ahead.saturating_abs().saturating_mul(4) > samples * 3 {
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
        let start = self.next.unwrap_or(expected);
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

    /// Finds the place of the first frame of an encoder: the one in the count that is nearest to its
    /// time, behind as much silence as that takes. False when it overlaps what is there.
    fn place(&mut self, carried: Ticks, samples: i64, out: &mut VecDeque<AccessUnit>) -> bool {
        let ahead = self.next.map_or(0, |next| (carried - next).0);
        if ahead.saturating_mul(2) < -samples {
            return false;
        }
        self.joining = false;
        if ahead.saturating_mul(2) > samples {
            self.fill(ahead, samples, out);
        }
        true
    }

    fn fill(&mut self, ahead: i64, samples: i64, out: &mut VecDeque<AccessUnit>) {
        let start = self.next.expect("anchored before it disagrees");
        let fillable = ahead <= i64::from(self.scale.get()) * LONGEST_FILL_SECONDS + samples;
        let Some(silence) = self.codec.silence().filter(|_| fillable) else {
            self.next = Some(start + Ticks(ahead));
            return;
        };
        let samples = self.codec.frame_samples();
        let mut position = start;
        // To the nearest frame: what is left over stays below the threshold of disagreement.
        for _ in 0..(ahead + samples / 2) / samples {
            self.silent_frames += 1;
            out.push_back(silent_unit(position, samples, silence.clone()));
            position += Ticks(samples);
        }
        self.next = Some(position);
    }
}

impl Codec {
    fn frame_samples(&self) -> i64 {
        match self {
            Codec::Aac { frame, .. } => *frame,
            Codec::Opus { .. } => OPUS_FRAME,
        }
    }

    fn silence(&self) -> Option<Bytes> {
        match self {
            Codec::Aac { silence, .. } => silence.clone(),
            Codec::Opus { silence } => Some(silence.clone()),
        }
    }

    fn packet_samples(&self, packet: &[u8]) -> i64 {
        match self {
            Codec::Aac { frame, .. } => *frame,
            // A packet that cannot be read lasts the usual 20 ms: decoders conceal it for as long.
            Codec::Opus { .. } => opus::packet_samples(packet).map_or(OPUS_FRAME, i64::from),
        }
    }
}

fn silent_unit(position: Ticks, samples: i64, data: Bytes) -> AccessUnit {
    AccessUnit {
        kind: MediaKind::Audio,
        dts: position,
        pts: position,
        duration: Some(Ticks(samples)),
        key: true,
        data,
    }
}
