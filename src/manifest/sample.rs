//! Streams made by hand for the tests of this folder.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::base::clock::Wall;
use crate::media::codec::{aac, avc};
use crate::media::rendition::{Rendition, RenditionId};
use crate::media::time::{Ticks, Timescale, rescale, wall_time};
use crate::media::timeline::{Description, Init, Part, Report, Rules, Segment, Snapshot};
use crate::media::track::{CodecConfig, Track};

/// 2026-11-22T04:00:00Z.
pub(crate) const EPOCH: Wall = Wall(1_795_320_000_000_000);

pub(crate) fn rules() -> Rules {
    Rules {
        epoch: EPOCH,
        target_duration_s: 3,
        part_target: Duration::from_micros(213_400),
        part_hold_back: Duration::from_micros(940_200),
        hold_back: Duration::from_secs(9),
        can_skip_until: Duration::from_secs(18),
        segment_target: Duration::from_secs(2),
        window: Duration::from_secs(60),
        independent_segments: true,
    }
}

pub(crate) fn video_track(width: u32, height: u32) -> Track {
    // AVCDecoderConfigurationRecord of High profile, level 3.1, without parameter sets.
    let record = Bytes::from_static(&[1, 0x64, 0, 0x1f, 0xff, 0xe0, 0]);
    Track {
        config: CodecConfig::Avc(avc::Config {
            record,
            width,
            height,
            frame_rate_millis: None,
            nal_length_size: 4,
            profile: 100,
            compatibility: 0,
            level: 31,
            chroma_format: 1,
            bit_depth: 8,
            interlaced: false,
            pixel_aspect: None,
            colour: None,
            max_reorder_frames: None,
        }),
        timescale: Timescale::CHANNEL,
    }
}

pub(crate) fn audio_track() -> Track {
    Track {
        config: CodecConfig::Aac(aac::Config {
            record: Bytes::from_static(&[0x11, 0x90]),
            sample_rate: 48_000,
            channels: 2,
            frame_samples: 1024,
            object_type: 2,
            core_sample_rate: 48_000,
            channel_configuration: 2,
        }),
        timescale: Timescale::of(48_000),
    }
}

pub(crate) fn rendition(id: u8, name: &str, track: Track, kbps: u32) -> Arc<Rendition> {
    let video = track.resolution().is_some();
    Arc::new(Rendition {
        id: RenditionId(id),
        name: name.into(),
        track: Arc::new(track),
        peak_bps: kbps * 1100,
        average_bps: kbps * 1000,
        frame_rate_millis: if video { 30_000 } else { 0 },
        source: name == "source" || name == "audio",
    })
}

pub(crate) fn ladder() -> Description {
    Description {
        version: 1,
        rules: rules(),
        video: vec![
            rendition(0, "source", video_track(1280, 720), 4000),
            rendition(2, "sd", video_track(854, 480), 1900),
            rendition(3, "ld", video_track(640, 360), 700),
        ],
        audio: vec![
            rendition(1, "audio", audio_track(), 160),
            rendition(4, "alo", audio_track(), 64),
        ],
        leaving: Vec::new(),
        ended: false,
    }
}

/// Builds one rendition's snapshot, segment by segment.
pub(crate) struct Builder {
    pub(crate) snapshot: Snapshot,
    pub(crate) init: Arc<Init>,
    pub(crate) next_sequence: u64,
    pub(crate) discontinuities: u64,
    pub(crate) time: Ticks,
}

fn init(name: &str, track: &Arc<Track>) -> Arc<Init> {
    Arc::new(Init {
        track: Arc::clone(track),
        name: name.to_owned(),
        bytes: Bytes::from_static(b"ftypmoov"),
    })
}

impl Builder {
    /// A rendition whose first segment is number 100, ten seconds after the epoch.
    pub(crate) fn new(rendition: &Arc<Rendition>) -> Builder {
        let scale = rendition.track.timescale;
        Builder {
            init: init(&format!("init-{}.mp4", rendition.name), &rendition.track),
            next_sequence: 100,
            discontinuities: 7,
            time: rescale(Ticks(10), Timescale::of(1), scale),
            snapshot: Snapshot {
                version: 1,
                rendition: Arc::clone(rendition),
                rules: rules(),
                segments: Vec::new(),
                next_part: 500,
                reports: Vec::new(),
                ended: false,
                stopped: false,
                scheduled: None,
            },
        }
    }

    pub(crate) fn millis(&self, millis: i64) -> Ticks {
        rescale(Ticks(millis), Timescale::MILLIS, self.snapshot.timescale())
    }

    /// A segment of parts of these lengths in milliseconds.
    pub(crate) fn segment(&mut self, parts_ms: &[i64]) -> &mut Segment {
        let start = self.time;
        let mut parts = Vec::new();
        for (index, millis) in parts_ms.iter().enumerate() {
            let duration = self.millis(*millis);
            parts.push(Arc::new(Part {
                number: self.snapshot.next_part,
                start: self.time,
                duration,
                independent: index == 0,
                bytes: Bytes::from_static(b"moofmdat"),
            }));
            self.snapshot.next_part += 1;
            self.time += duration;
        }
        let scale = self.snapshot.timescale();
        self.snapshot.segments.push(Arc::new(Segment {
            sequence: self.next_sequence,
            start,
            duration: self.time - start,
            discontinuity: false,
            discontinuity_sequence: self.discontinuities,
            gap: false,
            independent: true,
            complete: true,
            init: Arc::clone(&self.init),
            parts,
            program_date_time: wall_time(start, scale, self.snapshot.rules.epoch),
        }));
        self.next_sequence += 1;
        self.last()
    }

    pub(crate) fn last(&mut self) -> &mut Segment {
        let last = self.snapshot.segments.last_mut().unwrap();
        Arc::get_mut(last).unwrap()
    }

    /// Another init from here on.
    pub(crate) fn change(&mut self, name: &str) {
        self.init = init(name, &self.snapshot.rendition.track);
    }

    /// Segments of two seconds in ten parts.
    pub(crate) fn regular(&mut self, count: usize) {
        for _ in 0..count {
            self.segment(&[200; 10]);
        }
    }

    /// A segment that opens with a discontinuity, after a hole of so many milliseconds.
    pub(crate) fn discontinuity(&mut self, hole_ms: i64, parts_ms: &[i64]) {
        self.time += self.millis(hole_ms);
        self.discontinuities += 1;
        self.segment(parts_ms).discontinuity = true;
    }

    pub(crate) fn gap(&mut self, millis: i64) {
        let segment = self.segment(&[millis]);
        segment.gap = true;
        segment.parts.clear();
        // A gap takes no part's number.
        self.snapshot.next_part -= 1;
    }

    pub(crate) fn growing(&mut self, parts_ms: &[i64]) {
        self.segment(parts_ms).complete = false;
    }

    pub(crate) fn report(&mut self, name: &str, last_sequence: u64, last_part: Option<u32>) {
        self.snapshot.reports.push(Report {
            name: name.into(),
            last_sequence,
            last_part,
        });
    }
}
