//! Rules, tracks and units for the tests of this folder.

use std::time::Duration;

use bytes::Bytes;

use crate::base::clock::Wall;
use crate::media::codec::{aac, avc};
use crate::media::timeline::Rules;
use crate::media::{AccessUnit, Boundary, CodecConfig, MediaKind, Ticks, Timescale, Track};

pub(super) const SOUND: Timescale = Timescale::of(48_000);

pub(super) fn rules() -> Rules {
    Rules {
        epoch: Wall(1_700_000_000_000_000),
        target_duration_s: 3,
        part_target: Duration::from_micros(213_400),
        part_hold_back: Duration::from_micros(640_200),
        hold_back: Duration::from_secs(9),
        can_skip_until: Duration::from_secs(18),
        segment_target: Duration::from_secs(2),
        window: Duration::from_secs(20),
        independent_segments: true,
    }
}

pub(super) fn audio_track() -> Track {
    Track {
        config: CodecConfig::Aac(aac::Config::new_lc(48_000, 2).unwrap()),
        timescale: SOUND,
    }
}

/// Tracks of different widths have different inits.
pub(super) fn video_track(width: u32) -> Track {
    Track {
        config: CodecConfig::Avc(avc::Config {
            // AVCDecoderConfigurationRecord of High profile, level 3.1, without parameter sets.
            record: Bytes::from_static(&[1, 0x64, 0, 0x1f, 0xff, 0xe0, 0]),
            width,
            height: 720,
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

/// A boundary at a 90 kHz time.
pub(super) fn boundary(sequence: u64, time: i64) -> Boundary {
    Boundary {
        sequence,
        time: Ticks(time),
        discontinuity: false,
        discontinuity_sequence: 3,
        independent: true,
    }
}

pub(super) fn sound(dts: i64, duration: Option<i64>) -> AccessUnit {
    AccessUnit {
        kind: MediaKind::Audio,
        dts: Ticks(dts),
        pts: Ticks(dts),
        duration: duration.map(Ticks),
        key: true,
        data: Bytes::from_static(b"frame"),
    }
}

pub(super) fn picture(dts: i64, pts: i64, duration: Option<i64>, key: bool) -> AccessUnit {
    AccessUnit {
        kind: MediaKind::Video,
        dts: Ticks(dts),
        pts: Ticks(pts),
        duration: duration.map(Ticks),
        key,
        data: Bytes::from_static(b"picture"),
    }
}
