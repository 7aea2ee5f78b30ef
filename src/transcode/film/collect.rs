//! From encoders to a reel: units become segments, which are handed on when all renditions have them.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use super::grid::{AAC_FRAME, Grid};
use super::{Error, Reel};
use crate::format::fmp4::Sample;
use crate::media::{Rendition, RenditionId, Ticks, Track};
use crate::transcode::protocol::Setup;

/// One rendition.
#[derive(Debug, Default)]
struct Lane {
    track: Option<Track>,
    slot: Option<usize>,
    /// Units of the segment that is open, with their times in the rendition's timescale.
    open: Vec<(u64, bool, Bytes)>,
    number: u64,
    closed: VecDeque<(u64, Ticks, Vec<Sample>)>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Collect<'a> {
    grid: Grid,
    setup: &'a Setup,
    lanes: Vec<Lane>,
    /// First segment that is not handed on.
    next: u64,
}

impl Collect<'_> {
    /// Begins with a segment.
    pub(super) fn new(grid: Grid, setup: &Setup, next: u64) -> Collect<'_> {
        let count = setup.video.len() + setup.audio.len();
        Collect {
            grid,
            setup,
            lanes: std::iter::repeat_with(Lane::default).take(count).collect(),
            next,
        }
    }

    pub(super) fn next(&self) -> u64 {
        self.next
    }

    pub(super) fn handle_track(&mut self, index: usize, track: Track) -> Result<(), Error> {
        let lane = self.lane(index)?;
        if lane.track.as_ref().is_some_and(|known| *known != track) {
            return Err(Error::Encode(
                "an encoder changed its configuration".to_owned(),
            ));
        }
        lane.track = Some(track);
        Ok(())
    }

    /// Takes a unit. Those of the time before the first segment, and behind the end, are left out.
    pub(super) fn handle_unit(
        &mut self,
        index: usize,
        pts: Ticks,
        key: bool,
        data: Bytes,
    ) -> Result<(), Error> {
        let Ok(pts) = u64::try_from(pts.0) else {
            return Ok(());
        };
        let (grid, first) = (self.grid, self.next);
        let number = if index < self.setup.video.len() {
            grid.segment_of(pts / grid.frame_ticks())
        } else if pts / AAC_FRAME < grid.aac_frames() {
            grid.segment_of(pts / grid.frame_samples())
        } else {
            return Ok(());
        };
        let lane = self.lane(index)?;
        if lane.open.is_empty() && number < first {
            return Ok(());
        }
        if number != lane.number {
            self.close(index, Some(pts))?;
        }
        let lane = self.lane(index)?;
        lane.number = number;
        lane.open.push((pts, key, data));
        Ok(())
    }

    /// Nothing more comes.
    pub(super) fn finish(&mut self) -> Result<(), Error> {
        (0..self.lanes.len()).try_for_each(|index| self.close(index, None))
    }

    /// Closes a rendition's segment; `next` is the time of the unit that follows it.
    fn close(&mut self, index: usize, next: Option<u64>) -> Result<(), Error> {
        let (grid, video) = (self.grid, index < self.setup.video.len());
        let lane = self.lane(index)?;
        let units = std::mem::take(&mut lane.open);
        let Some((start, key, _)) = units.first() else {
            return Ok(());
        };
        if !key {
            return Err(Error::Encode(
                "a segment begins without a key unit".to_owned(),
            ));
        }
        let start = *start;
        let end = if video {
            let end = grid.start(lane.number + 1) * grid.frame_ticks();
            if next.is_some_and(|next| next != end)
                || start != grid.start(lane.number) * grid.frame_ticks()
            {
                return Err(Error::Encode("a picture is not on the grid".to_owned()));
            }
            end
        } else {
            start + AAC_FRAME * units.len() as u64
        };
        let ends: Vec<u64> = units
            .iter()
            .skip(1)
            .map(|(pts, ..)| *pts)
            .chain([end])
            .collect();
        let samples = units
            .into_iter()
            .zip(ends)
            .map(|((pts, key, data), end)| Sample {
                duration: u32::try_from(end.saturating_sub(pts)).unwrap_or(u32::MAX),
                composition_offset: 0,
                key,
                data,
            });
        let samples = samples.collect();
        let start = Ticks(i64::try_from(start).unwrap_or(i64::MAX));
        lane.closed.push_back((lane.number, start, samples));
        Ok(())
    }

    /// Hands on one segment that all renditions have. True when there was one.
    pub(super) fn hand_on(&mut self, reel: &mut dyn Reel) -> Result<bool, Error> {
        let (number, videos) = (self.next, self.setup.video.len());
        let wanted = |index: usize| index >= videos || number < self.grid.segments();
        let mut lanes = self.lanes.iter().enumerate();
        let has = |(index, lane): (usize, &Lane)| !wanted(index) || !lane.closed.is_empty();
        if number >= self.grid.segments() && self.setup.audio.is_empty() || !lanes.all(has) {
            return Ok(false);
        }
        // All slots are there before any has a segment: they have the order of the ladder.
        for index in 0..self.lanes.len() {
            if let (true, None) = (wanted(index), self.lanes[index].slot) {
                let rendition = self.rendition(index)?;
                self.lanes[index].slot = Some(reel.declare(&rendition).map_err(Error::Keep)?);
            }
        }
        for lane in &mut self.lanes {
            let Some((is, start, samples)) = lane.closed.pop_front() else {
                continue;
            };
            if is != number {
                return Err(Error::Encode(format!("segment {number} is missing")));
            }
            let slot = lane.slot.expect("declared above");
            let kept = reel.append(slot, number, start, &samples);
            kept.map_err(Error::Keep)?;
        }
        self.next += 1;
        Ok(true)
    }

    fn rendition(&self, index: usize) -> Result<Rendition, Error> {
        let track = self.lanes[index].track.clone();
        let track = track.ok_or_else(|| Error::Encode("units without a track".to_owned()))?;
        let id = RenditionId(u8::try_from(index).unwrap_or(u8::MAX));
        let bps = |kbps: u32| kbps.saturating_mul(1000);
        Ok(match self.setup.video.get(index) {
            Some(rung) => Rendition {
                id,
                name: Arc::from(rung.name.as_str()),
                track: Arc::new(track),
                peak_bps: rung.peak_bps,
                average_bps: bps(rung.kbps),
                frame_rate_millis: rung.frame_rate_millis,
                source: false,
            },
            None => {
                let rung = &self.setup.audio[index - self.setup.video.len()];
                Rendition {
                    id,
                    name: Arc::from(rung.name.as_str()),
                    track: Arc::new(track),
                    // The AAC encoder wanders around its rate; the container adds a few bytes to each frame.
                    peak_bps: bps(rung.kbps) / 4 * 5,
                    average_bps: bps(rung.kbps),
                    frame_rate_millis: 0,
                    source: false,
                }
            }
        })
    }

    fn lane(&mut self, index: usize) -> Result<&mut Lane, Error> {
        let lane = self.lanes.get_mut(index);
        lane.ok_or_else(|| Error::Encode(format!("there is no encoding {index}")))
    }
}
