//! One rendition's units become parts and segments. Pure: units in, cuts out.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::base::clock::Wall;
use crate::format::fmp4;
use crate::media::time::wall_time;
use crate::media::timeline::{Init, Part, Rules, Segment};
use crate::media::{AccessUnit, Boundary, MediaKind, Ticks, Timescale, Track, rescale};

/// Samples in one part. A part of the longest length allowed (1 s) at 1000 fps stays below; it bounds
/// what an encoder with broken times can pile up.
const MAX_PART_SAMPLES: usize = 1024;

/// What follows connects to the media before it when that ends at most this far away (90 kHz): a frame
/// at 25 per second. Audio frames do not end at boundaries.
const NEARBY: Ticks = Ticks(3600);
/// How far decode times may fall behind while a hole is shared out (90 kHz): the longest hole that the
/// program closes without a break. Slower pictures than that cannot be cut into parts at all.
const LONGEST_DEBT: Ticks = Ticks(90_000);
/// Parts below this share of the target are for exceptions only, percent (RFC 8216bis §4.4.4.9).
const LEAST_PART_PERCENT: i64 = 85;

/// What comes out, in order.
#[derive(Clone, Debug)]
pub enum Cut {
    /// A segment begins; it has no parts yet. A gap never gets one.
    Open(Segment),
    /// A part of the growing segment.
    Part(Part),
    /// The open segment or gap is complete.
    Close {
        /// Where the next one begins, or where it ended itself.
        end: Ticks,
    },
}

/// The segment that has begun and not ended.
#[derive(Clone, Copy, Debug)]
struct Open {
    start: Ticks,
    gap: bool,
}

/// Cuts one rendition.
///
/// # Holes
///
/// The durations of all segments, gaps included, add up to the distance of their dates, because players
/// find their place by adding them. So a segment whose media end early is declared up to the boundary at
/// which the next one begins. Its parts then add up to less.
///
/// A short hole in a picture's times is closed by the program without a boundary: the decode time of
/// the unit after it connects, its presentation time does not. One sample of that length would make a
/// part longer than PART-TARGET, and a hole in decode times a hole in the players' buffers. So the
/// length is shared out: decode times fall behind at the hole, and each following sample lasts as long
/// as its part allows until they have caught up. Presentation times stay as they are. When the unit
/// after the hole opens a segment, that segment begins where the unit is shown, and its first sample
/// takes up the whole length: a player that adds samples finds no hole, one that adds parts no excess.
#[derive(Debug)]
pub struct Segmenter {
    kind: MediaKind,
    /// Of everything that comes out, whatever configurations follow.
    scale: Timescale,
    /// Of the units that come in.
    carried_scale: Timescale,
    epoch: Wall,
    part_target: Ticks,
    /// No segment is declared longer than this for the sake of a hole.
    longest: Ticks,
    longest_debt: Ticks,
    nearby: Ticks,
    init: Arc<Init>,
    /// Takes the place of `init` with the next discontinuity.
    next_init: Option<Arc<Init>>,
    open: Option<Open>,
    samples: Vec<fmp4::Sample>,
    /// Decode time of the part's first sample.
    part_decode: Ticks,
    part_start: Ticks,
    part_duration: Ticks,
    part_independent: bool,
    next_part: u64,
    /// The last unit, while its duration is not known.
    pending: Option<AccessUnit>,
    last_duration: Ticks,
    /// Where the last sample ends; `None` when what follows does not connect.
    end: Option<Ticks>,
    cuts: VecDeque<Cut>,
}

impl Segmenter {
    /// A rendition whose playlists obey `rules` and whose parts are numbered from `first_part`.
    pub fn new(track: &Track, rules: &Rules, first_part: u64) -> Result<Segmenter, fmp4::Error> {
        let scale = track.timescale;
        Ok(Segmenter {
            kind: track.kind(),
            scale,
            carried_scale: scale,
            epoch: rules.epoch,
            part_target: Ticks::from_duration(rules.part_target, scale),
            longest: rescale(
                Ticks(i64::from(rules.target_duration_s)),
                Timescale::of(1),
                scale,
            ),
            longest_debt: rescale(LONGEST_DEBT, Timescale::CHANNEL, scale),
            nearby: rescale(NEARBY, Timescale::CHANNEL, scale),
            init: Arc::new(init(track.clone())?),
            next_init: None,
            open: None,
            samples: Vec::new(),
            part_decode: Ticks::ZERO,
            part_start: Ticks::ZERO,
            part_duration: Ticks::ZERO,
            part_independent: false,
            next_part: first_part,
            pending: None,
            last_duration: rescale(Ticks(3000), Timescale::CHANNEL, scale),
            end: None,
            cuts: VecDeque::new(),
        })
    }

    /// Another configuration, from the next discontinuity on. Sound of another sampling rate is brought
    /// to the timescale that the rendition has from its beginning, in which its playlists count.
    pub fn handle_track(&mut self, track: &Track) -> Result<(), fmp4::Error> {
        self.carried_scale = track.timescale;
        self.next_init = Some(Arc::new(init(Track {
            timescale: self.scale,
            ..track.clone()
        })?));
        Ok(())
    }

    /// The next unit and what opens with it. Without a boundary there is no place for a unit in a gap.
    pub fn handle_unit(&mut self, unit: AccessUnit, opened: &[Boundary]) {
        let unit = self.in_own_scale(unit);
        if let Some(pending) = self.pending.take() {
            let connected = opened.iter().all(|boundary| !boundary.discontinuity);
            let distance = unit.dts - pending.dts;
            let duration = if connected || distance < self.last_duration {
                distance
            } else {
                self.last_duration
            };
            self.complete(pending, duration.max(Ticks(1)));
        }
        if let Some((last, empty)) = opened.split_last() {
            for boundary in empty {
                self.handle_gap(boundary);
            }
            self.begin(last, &unit);
        }
        if self.open.is_none_or(|open| open.gap) {
            return;
        }
        match unit.duration {
            Some(duration) => self.complete(unit, duration.max(Ticks(1))),
            None => {
                self.cut_full_part();
                self.pending = Some(unit);
            }
        }
    }

    /// A segment without media begins. It lasts until the next boundary.
    pub fn handle_gap(&mut self, boundary: &Boundary) {
        self.flush();
        let time = rescale(boundary.time, Timescale::CHANNEL, self.scale);
        let start = match self.open.filter(|open| !open.gap).and(self.end) {
            Some(end) if time - end <= self.nearby => end,
            Some(end) if self.passes_longest(time) => end,
            _ => time,
        };
        let start = self.behind_gap(start);
        self.end_open(start);
        let leaps = boundary.discontinuity && time - start > self.nearby;
        let start = if leaps { time } else { start };
        self.end = None;
        self.open_segment(boundary, start, true, true);
    }

    /// Ends are rescaled, not durations, so that rounding does not add up.
    fn in_own_scale(&self, unit: AccessUnit) -> AccessUnit {
        if self.carried_scale == self.scale {
            return unit;
        }
        let own = |time| rescale(time, self.carried_scale, self.scale);
        let dts = own(unit.dts);
        AccessUnit {
            dts,
            pts: own(unit.pts),
            duration: unit.duration.map(|duration| own(unit.dts + duration) - dts),
            ..unit
        }
    }

    /// Waits no longer for the duration of the last unit: it is like the one before.
    pub fn settle(&mut self) {
        if let Some(pending) = self.pending.take() {
            self.complete(pending, self.last_duration);
        }
    }

    /// Publishes what is held back, with the durations it had so far.
    pub fn flush(&mut self) {
        self.settle();
        self.cut_part();
    }

    /// Ends the growing segment with its media; what follows needs a boundary. A gap whose end is not
    /// known is forgotten.
    pub fn close(&mut self) {
        self.flush();
        if let Some(open) = self.open {
            let end = self.end.filter(|_| !open.gap);
            self.end_open(end.unwrap_or(open.start));
        }
    }

    /// The next cut.
    pub fn poll_cut(&mut self) -> Option<Cut> {
        self.cuts.pop_front()
    }

    /// Whether the open segment would be too long if it lasted until `time`.
    fn passes_longest(&self, time: Ticks) -> bool {
        self.open
            .is_some_and(|open| time - open.start > self.longest)
    }

    /// Opens a segment with the unit that is its first.
    fn begin(&mut self, boundary: &Boundary, unit: &AccessUnit) {
        self.cut_part();
        let connected = self.decode_end(unit).filter(|_| !boundary.discontinuity);
        let start = match connected {
            Some(end) => {
                let late = unit.key && unit.pts - end > self.nearby;
                let shown = Some(unit.pts).filter(|pts| late && !self.passes_longest(*pts));
                shown.unwrap_or(end)
            }
            None => unit.dts,
        };
        let start = self.behind_gap(start);
        let in_gap = self.open.is_some_and(|open| open.gap);
        let jumps = self.passes_longest(start);
        self.end_open(self.end.filter(|_| jumps && !in_gap).unwrap_or(start));
        self.end = connected;
        let independent = self.kind == MediaKind::Audio || unit.key;
        self.open_segment(boundary, start, false, independent);
    }

    /// A gap has a length, so that its number is not missing in the playlist.
    fn behind_gap(&self, time: Ticks) -> Ticks {
        match self.open {
            Some(open) if open.gap => time.max(open.start + Ticks(1)),
            _ => time,
        }
    }

    fn end_open(&mut self, end: Ticks) {
        if let Some(open) = self.open.take() {
            // Where a gap would last longer, the clock was set: that time did not pass.
            let passes = open.gap && end - open.start > self.longest + self.nearby;
            let end = if passes {
                open.start + self.longest
            } else {
                end
            };
            self.cuts.push_back(Cut::Close { end });
        }
    }

    fn open_segment(&mut self, boundary: &Boundary, start: Ticks, gap: bool, independent: bool) {
        // What comes before the discontinuity of a change still has the old configuration, as in
        // renditions that were not late (checklist K5).
        if (boundary.discontinuity || !gap)
            && let Some(init) = self.next_init.take()
        {
            self.init = init;
        }
        self.open = Some(Open { start, gap });
        self.cuts.push_back(Cut::Open(Segment {
            sequence: boundary.sequence,
            start,
            duration: Ticks::ZERO,
            discontinuity: boundary.discontinuity,
            discontinuity_sequence: boundary.discontinuity_sequence,
            gap,
            independent,
            complete: false,
            init: self.init.clone(),
            parts: Vec::new(),
            program_date_time: wall_time(start, self.scale, self.epoch),
        }));
    }

    /// Adds a unit whose duration is known. A part closes before the unit that would pass the target,
    /// and at once when the next unit of the same length would.
    fn complete(&mut self, unit: AccessUnit, duration: Ticks) {
        let Some(open) = self.open else {
            return;
        };
        let decode = self.decode_end(&unit).unwrap_or(unit.dts);
        let start = decode.max(open.start);
        let wanted = (unit.dts + duration).max(start + Ticks(1));
        let passes = self.part_duration + (wanted - start) > self.part_target;
        if self.samples.len() >= MAX_PART_SAMPLES || passes && !self.may_share() {
            self.cut_part();
        }
        let room = start + self.part_target - self.part_duration;
        let end = if wanted - room > self.longest_debt {
            wanted
        } else {
            wanted.min(room)
        };
        if self.samples.is_empty() {
            self.part_decode = decode;
            self.part_start = start;
            self.part_independent = false;
        }
        self.part_independent |= unit.key;
        self.part_duration += end - start;
        self.last_duration = duration.min(self.part_target);
        self.end = Some(end);
        self.samples.push(fmp4::Sample {
            duration: u32::try_from((end - decode).0).unwrap_or(u32::MAX),
            composition_offset: i32::try_from((unit.pts - decode).0).unwrap_or(0),
            key: unit.key,
            data: unit.data,
        });
        self.cut_full_part();
    }

    /// Where the unit's decode time connects to. Sound keeps its own times: it has no others to show.
    fn decode_end(&self, unit: &AccessUnit) -> Option<Ticks> {
        let near = |end: &Ticks| unit.dts - *end <= self.longest_debt;
        self.end
            .filter(near)
            .filter(|_| self.kind == MediaKind::Video)
    }

    /// Whether the next sample may be cut short to fill the part, since the part alone is too short.
    fn may_share(&self) -> bool {
        let least = self.part_target.0 * LEAST_PART_PERCENT;
        self.kind == MediaKind::Video && self.part_duration.0 * 100 < least
    }

    /// Cuts the part when the next unit, if it is like the last one, would pass the target.
    fn cut_full_part(&mut self) {
        if self.part_duration + self.last_duration > self.part_target && !self.may_share() {
            self.cut_part();
        }
    }

    fn cut_part(&mut self) {
        if self.samples.is_empty() {
            return;
        }
        let number = self.next_part;
        let bytes = fmp4::write(&fmp4::Fragment {
            // mfhd numbers wrap after 27 years of 200 ms parts.
            sequence: u32::try_from(number & u64::from(u32::MAX)).unwrap_or(0),
            base_decode_time: u64::try_from(self.part_decode.0).unwrap_or(0),
            samples: &self.samples,
            captured: None,
        });
        self.cuts.push_back(Cut::Part(Part {
            number,
            start: self.part_start,
            duration: self.part_duration,
            independent: self.part_independent,
            bytes,
        }));
        self.next_part += 1;
        self.samples.clear();
        self.part_duration = Ticks::ZERO;
    }
}

fn init(track: Track) -> Result<Init, fmp4::Error> {
    let bytes = fmp4::init(&track)?;
    Ok(Init {
        name: fmp4::init_name(&bytes),
        bytes,
        track: Arc::new(track),
    })
}

#[cfg(test)]
mod tests;
