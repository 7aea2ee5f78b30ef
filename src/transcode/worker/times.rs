//! Channel time to pipeline time and back, without loss. GStreamer counts unsigned nanoseconds, and
//! the distance between two ticks of any timescale here is thousands of them.

use std::sync::OnceLock;

use crate::media::{Ticks, Timescale, rescale};

/// Pipeline time of the worker's first unit, in nanoseconds. Units of other tracks may be up to this
/// much earlier.
const LEAD: i64 = 10_000_000_000;

/// The origin of pipeline time, set by the first unit.
#[derive(Debug, Default)]
pub(in crate::transcode) struct Times(OnceLock<i64>);

impl Times {
    /// Pipeline nanoseconds of a channel time; `None` when it is too far before the first one.
    pub(in crate::transcode) fn pipeline(&self, time: Ticks, scale: Timescale) -> Option<u64> {
        let nanos = rescale(time, scale, Timescale::NANOS).0;
        let origin = self.0.get_or_init(|| nanos.saturating_sub(LEAD));
        u64::try_from(nanos.saturating_sub(*origin)).ok()
    }

    /// Channel time of pipeline nanoseconds.
    pub(super) fn channel(&self, nanos: u64, scale: Timescale) -> Ticks {
        let origin = self.0.get().copied().unwrap_or(0);
        let nanos = i64::try_from(nanos).unwrap_or(i64::MAX);
        rescale(Ticks(nanos.saturating_add(origin)), Timescale::NANOS, scale)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_come_back_exactly_however_long_the_stream_has_run() {
        for start in [-90_000, 0, 7, 90_000 * 86_400 * 365] {
            let times = Times::default();
            for n in 0..5_000 {
                let video = Ticks(start + n * 3003);
                let nanos = times.pipeline(video, Timescale::CHANNEL).unwrap();
                assert_eq!(times.channel(nanos, Timescale::CHANNEL), video);
                let scale = Timescale::of(44_100);
                let audio = Ticks(rescale(video, Timescale::CHANNEL, scale).0 + n % 7);
                let nanos = times.pipeline(audio, scale).unwrap();
                assert_eq!(times.channel(nanos, scale), audio);
            }
        }
    }

    #[test]
    fn what_is_far_before_the_first_unit_has_no_time() {
        let times = Times::default();
        assert!(times.pipeline(Ticks(0), Timescale::CHANNEL).is_some());
        assert!(
            times
                .pipeline(Ticks(-90_000 * 9), Timescale::CHANNEL)
                .is_some()
        );
        assert!(
            times
                .pipeline(Ticks(-90_000 * 11), Timescale::CHANNEL)
                .is_none()
        );
    }
}
