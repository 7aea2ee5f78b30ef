//! Which time belongs to which access unit of one stream.

use std::collections::VecDeque;

/// Times that wait for a unit. A PES packet may end before a unit begins in it; real streams have one
/// or two waiting. The oldest goes first.
const STAMPS_LIMIT: usize = 16;

/// Presentation and decode time, 90 kHz without wraps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Time {
    pub(super) pts: i64,
    pub(super) dts: i64,
}

impl Time {
    /// Later by `ticks`.
    pub(super) fn plus(self, ticks: i64) -> Time {
        Time {
            pts: self.pts.saturating_add(ticks),
            dts: self.dts.saturating_add(ticks),
        }
    }
}

/// The times of PES packets, by where their payload begins in a buffer of the stream's bytes.
///
/// A time belongs to the first access unit that begins in the payload (ISO/IEC 13818-1 §2.4.3.7,
/// `presentation_time_stamp`).
#[derive(Debug, Default)]
pub(super) struct Stamps {
    waiting: VecDeque<(usize, Time)>,
}

impl Stamps {
    /// A payload begins at `at`, which is not before the last one.
    pub(super) fn put(&mut self, at: usize, time: Time) {
        if self.waiting.len() == STAMPS_LIMIT {
            self.waiting.pop_front();
        }
        self.waiting.push_back((at, time));
    }

    /// The time of a unit that begins at `at`, if a payload began since the unit before.
    pub(super) fn take(&mut self, at: usize) -> Option<Time> {
        let mut found = None;
        while let Some((_, time)) = self.waiting.pop_front_if(|(begin, _)| *begin <= at) {
            found = Some(time);
        }
        found
    }

    /// The first `count` bytes have left the buffer.
    pub(super) fn shift(&mut self, count: usize) {
        for (at, _) in &mut self.waiting {
            *at = at.saturating_sub(count);
        }
    }

    /// All bytes are forgotten.
    pub(super) fn clear(&mut self) {
        self.waiting.clear();
    }
}
