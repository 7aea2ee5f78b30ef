//! One rendition's units become parts and segments. Pure: units in, cuts out.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::base::clock::Wall;
use crate::format::fmp4;
use crate::media::time::wall_time;
use crate::media::timeline::{Init, Part, Segment};
use crate::media::{AccessUnit, Boundary, MediaKind, Ticks, Timescale, Track, rescale};

/// Samples in one part. A part of the longest length allowed (1 s) at 1000 fps stays below; it bounds
/// what an encoder with broken times can pile up.
const MAX_PART_SAMPLES: usize = 1024;

/// What comes out, in order.
#[derive(Clone, Debug)]
pub enum Cut {
    /// The growing segment is complete.
    Close,
    /// A segment without media: complete at once.
    Gap(Segment),
    /// A segment begins; it has no parts yet.
    Open(Segment),
    /// A part of the growing segment.
    Part(Part),
}

#[derive(Debug)]
struct Pending {
    unit: AccessUnit,
}

/// Cuts one rendition.
#[derive(Debug)]
pub struct Segmenter {
    kind: MediaKind,
    /// Of everything that comes out, whatever configurations follow.
    scale: Timescale,
    /// Of the units that come in.
    carried_scale: Timescale,
    epoch: Wall,
    part_target: Ticks,
    init: Arc<Init>,
    open: bool,
    samples: Vec<fmp4::Sample>,
    part_start: Ticks,
    part_duration: Ticks,
    part_independent: bool,
    next_part: u64,
    /// The last unit, while its duration is not known.
    pending: Option<Pending>,
    last_duration: Ticks,
    cuts: VecDeque<Cut>,
}

impl Segmenter {
    /// A rendition whose parts last at most `part_target` (90 kHz) and are numbered from `first_part`.
    pub fn new(
        track: &Track,
        epoch: Wall,
        part_target: Ticks,
        first_part: u64,
    ) -> Result<Segmenter, fmp4::Error> {
        Ok(Segmenter {
            kind: track.kind(),
            scale: track.timescale,
            carried_scale: track.timescale,
            epoch,
            part_target: rescale(part_target, Timescale::CHANNEL, track.timescale),
            init: Arc::new(init(track)?),
            open: false,
            samples: Vec::new(),
            part_start: Ticks::ZERO,
            part_duration: Ticks::ZERO,
            part_independent: false,
            next_part: first_part,
            pending: None,
            last_duration: rescale(Ticks(3000), Timescale::CHANNEL, track.timescale),
            cuts: VecDeque::new(),
        })
    }

    /// Number of the part that comes next.
    pub fn next_part(&self) -> u64 {
        self.next_part
    }

    /// Another configuration, from the next segment on. Sound of another sampling rate is brought to the
    /// timescale that the rendition has from its beginning, in which its playlists count.
    pub fn handle_track(&mut self, track: &Track) -> Result<(), fmp4::Error> {
        self.flush();
        self.carried_scale = track.timescale;
        self.init = Arc::new(init(&Track {
            timescale: self.scale,
            ..track.clone()
        })?);
        Ok(())
    }

    /// The next unit and what opens with it.
    pub fn handle_unit(&mut self, unit: AccessUnit, opened: &[Boundary]) {
        let unit = self.in_own_scale(unit);
        if let Some(pending) = self.pending.take() {
            let connected = opened.iter().all(|boundary| !boundary.discontinuity);
            let duration = if connected {
                unit.dts - pending.unit.dts
            } else {
                self.last_duration
            };
            self.complete(pending.unit, duration.max(Ticks(1)));
        }
        if let Some((last, empty)) = opened.split_last() {
            self.close();
            for (index, boundary) in empty.iter().enumerate() {
                let end = empty.get(index + 1).unwrap_or(last).time;
                self.gap(boundary, end);
            }
            self.begin(last, &unit);
        }
        if !self.open {
            return;
        }
        match unit.duration {
            Some(duration) => self.complete(unit, duration.max(Ticks(1))),
            None => {
                if self.part_duration + self.last_duration > self.part_target {
                    self.cut_part();
                }
                self.pending = Some(Pending { unit });
            }
        }
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

    /// Publishes what is held back, with the durations it had so far.
    pub fn flush(&mut self) {
        if let Some(pending) = self.pending.take() {
            self.complete(pending.unit, self.last_duration);
        }
        self.cut_part();
    }

    /// Ends the growing segment; what follows needs a boundary.
    pub fn close(&mut self) {
        self.flush();
        if std::mem::take(&mut self.open) {
            self.cuts.push_back(Cut::Close);
        }
    }

    /// The next cut.
    pub fn poll_cut(&mut self) -> Option<Cut> {
        self.cuts.pop_front()
    }

    fn begin(&mut self, boundary: &Boundary, unit: &AccessUnit) {
        self.open = true;
        self.cuts.push_back(Cut::Open(Segment {
            sequence: boundary.sequence,
            start: unit.dts,
            duration: Ticks::ZERO,
            discontinuity: boundary.discontinuity,
            discontinuity_sequence: boundary.discontinuity_sequence,
            gap: false,
            independent: self.kind == MediaKind::Audio || unit.key,
            complete: false,
            init: self.init.clone(),
            parts: Vec::new(),
            program_date_time: wall_time(unit.dts, self.scale, self.epoch),
        }));
    }

    fn gap(&mut self, boundary: &Boundary, end: Ticks) {
        let start = rescale(boundary.time, Timescale::CHANNEL, self.scale);
        let end = rescale(end, Timescale::CHANNEL, self.scale);
        self.cuts.push_back(Cut::Gap(Segment {
            sequence: boundary.sequence,
            start,
            duration: (end - start).max(Ticks(1)),
            discontinuity: boundary.discontinuity,
            discontinuity_sequence: boundary.discontinuity_sequence,
            gap: true,
            independent: true,
            complete: true,
            init: self.init.clone(),
            parts: Vec::new(),
            program_date_time: wall_time(start, self.scale, self.epoch),
        }));
    }

    /// Adds a unit whose duration is known. A part closes before the unit that would pass the target,
    /// and at once when the next unit of the same length would.
    fn complete(&mut self, unit: AccessUnit, duration: Ticks) {
        let full = self.samples.len() >= MAX_PART_SAMPLES;
        if !self.samples.is_empty() && (full || self.part_duration + duration > self.part_target) {
            self.cut_part();
        }
        if self.samples.is_empty() {
            self.part_start = unit.dts;
            self.part_independent = false;
        }
        self.part_independent |= unit.key;
        self.part_duration += duration;
        self.last_duration = duration;
        let offset = (unit.pts - unit.dts).0;
        self.samples.push(fmp4::Sample {
            duration: u32::try_from(duration.0).unwrap_or(u32::MAX),
            composition_offset: i32::try_from(offset).unwrap_or(0),
            key: unit.key,
            data: unit.data,
        });
        if self.part_duration + duration > self.part_target {
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
            base_decode_time: u64::try_from(self.part_start.0).unwrap_or(0),
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

fn init(track: &Track) -> Result<Init, fmp4::Error> {
    let bytes = fmp4::init(track)?;
    Ok(Init {
        name: fmp4::init_name(&bytes),
        bytes,
    })
}

#[cfg(test)]
mod tests;
