//! Which pictures open segments. Pure.

use std::collections::VecDeque;

/// Boundaries that may be waiting for their picture, and pictures remembered for the encoders. A
/// minute of segments; more would mean that no picture comes out at all.
const LIMIT: usize = 64;

/// Boundaries on their way from the reader, by the decoder, to each encoder. Times are nanoseconds
/// of the worker's pipelines.
#[derive(Debug, Default)]
pub(in crate::transcode) struct Marks {
    stamped: VecDeque<u64>,
    opened: VecDeque<u64>,
    /// The newest boundary that was opened: a hold may name its boundary again.
    passed: Option<u64>,
}

impl Marks {
    /// A unit with this boundary time is about to be decoded, or a hold with it to be shown.
    pub(in crate::transcode) fn stamp(&mut self, time: u64) {
        if self.passed.is_some_and(|passed| time <= passed) {
            return;
        }
        let at = self.stamped.partition_point(|other| *other < time);
        if self.stamped.get(at) != Some(&time) {
            self.stamped.insert(at, time);
        }
        if self.stamped.len() > LIMIT {
            self.stamped.pop_front();
        }
    }

    /// Whether the decoded picture at `time` opens a segment: it is the first at or after a
    /// boundary. Asked once per picture, in presentation order.
    pub(super) fn open(&mut self, time: u64) -> bool {
        let passed = self.stamped.partition_point(|other| *other <= time);
        if passed == 0 {
            return false;
        }
        self.passed = self.stamped.drain(..passed).next_back();
        self.opened.push_back(time);
        if self.opened.len() > LIMIT {
            self.opened.pop_front();
        }
        true
    }

    /// The earliest boundary that waits for its picture.
    pub(super) fn earliest(&self) -> Option<u64> {
        self.stamped.front().copied()
    }

    /// Whether the picture at `time` was found to open a segment.
    pub(super) fn opens(&self, time: u64) -> bool {
        self.opened.iter().rev().any(|opened| *opened == time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_picture_at_or_after_a_boundary_opens_it_once() {
        let mut marks = Marks::default();
        marks.stamp(200);
        marks.stamp(100);
        marks.stamp(100);
        let opened: Vec<u64> = [60, 90, 110, 130, 200, 230]
            .into_iter()
            .filter(|time| marks.open(*time))
            .collect();
        assert_eq!(opened, [110, 200]);
        assert!(marks.opens(110) && marks.opens(200) && !marks.opens(230));
    }

    #[test]
    fn a_boundary_that_is_named_again_does_not_open_again() {
        let mut marks = Marks::default();
        marks.stamp(100);
        assert!(marks.open(110));
        marks.stamp(100);
        assert!(!marks.open(120));
        marks.stamp(130);
        assert_eq!(marks.earliest(), Some(130));
        assert!(marks.open(130));
    }

    #[test]
    fn boundaries_without_pictures_are_bounded() {
        let mut marks = Marks::default();
        for time in 0..10_000 {
            marks.stamp(time);
        }
        assert_eq!(marks.stamped.len(), LIMIT);
        assert!(marks.open(20_000) && !marks.open(20_001));
    }
}
