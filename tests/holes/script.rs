//! Steps become calls of an outlet.

use super::*;

/// Something that the hub tells a timeline.
pub(super) enum Call {
    Unit(RenditionId, AccessUnit, Vec<Boundary>),
    Gap(RenditionId, Boundary),
    Track(u32),
    Break,
}

/// Makes the calls of a stream step by step, each with the time at which it comes.
pub(super) struct Script {
    pub(super) calls: Vec<(i64, Call)>,
    /// Whether durations are told with the pictures.
    pub(super) promised: bool,
    pub(super) time: i64,
    pub(super) sequence: u64,
    pub(super) discontinuities: u64,
    /// Where the source's decode times end, when the next picture connects to it.
    pub(super) decode_end: Option<i64>,
    pub(super) source_gone: bool,
    pub(super) width: u32,
}

impl Script {
    pub(super) fn new(promised: bool, resumed: Option<u64>) -> Script {
        Script {
            calls: Vec::new(),
            promised,
            time: 10 * SECOND,
            sequence: 100,
            discontinuities: resumed.unwrap_or(0),
            decode_end: None,
            source_gone: false,
            width: 1280,
        }
    }

    pub(super) fn boundary(&mut self, discontinuity: bool) -> Boundary {
        self.sequence += 1;
        self.discontinuities += u64::from(discontinuity);
        Boundary {
            sequence: self.sequence - 1,
            time: Ticks(self.time),
            discontinuity,
            discontinuity_sequence: self.discontinuities,
            independent: true,
        }
    }

    pub(super) fn step(&mut self, step: Step) {
        // A source that comes back brings a discontinuity for everybody.
        let returns = self.source_gone && !matches!(step, Step::SourceGap);
        match step {
            Step::Media => self.media(returns, 0..60, true),
            Step::SourceStops { frames } => {
                self.media(returns, 0..frames, true);
                self.source_gap();
            }
            Step::SourceGap => self.source_gap(),
            Step::RungGap => self.media(returns, 0..60, false),
            Step::Gap { millis } => {
                let boundary = self.boundary(false);
                for id in [SOURCE, AUDIO, RUNG] {
                    self.calls.push((self.time, Call::Gap(id, boundary)));
                }
                self.time += millis * 90;
                self.source_gone = true;
            }
            Step::ShortHole { from, frames } => {
                self.media(returns, (0..from).chain(from + frames..60), true);
            }
            Step::Change { millis, width } => {
                self.calls.push((self.time, Call::Break));
                self.time += millis * 90;
                self.width = width;
                self.calls.push((self.time, Call::Track(width)));
                self.media(true, 0..60, true);
            }
        }
    }

    /// A segment of two seconds with these of the source's frames, and with the rung's or not.
    pub(super) fn media(
        &mut self,
        discontinuity: bool,
        frames: impl IntoIterator<Item = i64>,
        rung: bool,
    ) {
        let boundary = self.boundary(discontinuity);
        if discontinuity {
            self.decode_end = None;
        }
        let mut opened = vec![boundary];
        for index in frames {
            let pts = self.time + index * FRAME;
            let key = !opened.is_empty();
            let dts = if self.promised {
                self.decode_end.unwrap_or(pts)
            } else {
                pts
            };
            let end = pts + FRAME;
            self.decode_end = Some(end);
            let duration = self.promised.then_some(Ticks(end - dts));
            let unit = unit(MediaKind::Video, dts, pts, duration, key);
            self.calls
                .push((pts, Call::Unit(SOURCE, unit, std::mem::take(&mut opened))));
        }
        self.source_gone = false;
        self.others(boundary, rung);
    }

    pub(super) fn source_gap(&mut self) {
        let boundary = self.boundary(false);
        self.calls.push((self.time, Call::Gap(SOURCE, boundary)));
        self.source_gone = true;
        self.others(boundary, true);
    }

    /// The rung's pictures, if it has any, and the sound of two seconds.
    pub(super) fn others(&mut self, boundary: Boundary, rung: bool) {
        if !rung {
            self.calls
                .push((self.time + RUNG_LAG, Call::Gap(RUNG, boundary)));
        }
        for index in 0..if rung { 60 } else { 0 } {
            let pts = self.time + index * FRAME;
            let unit = unit(MediaKind::Video, pts, pts, Some(Ticks(FRAME)), index == 0);
            let opened = if index == 0 { vec![boundary] } else { vec![] };
            self.calls
                .push((pts + RUNG_LAG, Call::Unit(RUNG, unit, opened)));
        }
        let frame_at = |time| {
            rescale(Ticks(time), Timescale::CHANNEL, SOUND)
                .0
                .div_euclid(1024)
                + 1
        };
        let mut opened = vec![boundary];
        for frame in frame_at(self.time - 1)..frame_at(self.time + SEGMENT - 1) {
            let dts = frame * 1024;
            let unit = unit(MediaKind::Audio, dts, dts, Some(Ticks(1024)), true);
            let at = rescale(Ticks(dts), SOUND, Timescale::CHANNEL).0;
            self.calls
                .push((at, Call::Unit(AUDIO, unit, std::mem::take(&mut opened))));
        }
        self.time += SEGMENT;
    }
}
