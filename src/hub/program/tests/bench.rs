//! A program under test, and encoders that feed it.

use super::*;

/// A stream under test: the clock follows the media unless told otherwise.
pub(super) struct Bench {
    pub(super) program: Program,
    pub(super) now: Wall,
    pub(super) video: Vec<(AccessUnit, Vec<Boundary>)>,
    pub(super) audio: Vec<(AccessUnit, Vec<Boundary>)>,
    pub(super) breaks: usize,
    pub(super) settled: Option<bool>,
    /// Pictures that rungs decode and the source's rendition does not get.
    pub(super) decoded: Vec<AccessUnit>,
    /// What rungs were told to make up.
    pub(super) holds: Vec<(Ticks, Filler)>,
    pub(super) gaps: Vec<(Boundary, Missing)>,
    /// Every boundary, in order.
    pub(super) boundaries: Vec<Boundary>,
}

impl Bench {
    pub(super) fn new(ladder: bool) -> Bench {
        let program = Program::new(settings(ladder), EPOCH, EPOCH, None);
        Bench {
            program,
            now: EPOCH,
            video: Vec::new(),
            audio: Vec::new(),
            breaks: 0,
            settled: None,
            decoded: Vec::new(),
            holds: Vec::new(),
            gaps: Vec::new(),
            boundaries: Vec::new(),
        }
    }

    pub(super) fn with_tracks(ladder: bool) -> Bench {
        Bench::new(ladder).tracked()
    }

    /// Of a stream that an earlier run of the server left at `end_ms`.
    pub(super) fn resumed(end_ms: i64) -> Bench {
        let resumed = Resumed {
            discontinuities: 8,
            end: Ticks(end_ms * 90),
        };
        let mut bench = Bench::new(false);
        bench.program = Program::new(settings(false), EPOCH, EPOCH, Some(resumed));
        bench.tracked()
    }

    pub(super) fn tracked(mut self) -> Bench {
        let bench = &mut self;
        bench.announce(Some(true), Some(true));
        bench.program.handle_track(avc_track(AVCC));
        bench.program.handle_track(aac_track());
        self
    }

    pub(super) fn announce(&mut self, video: Option<bool>, audio: Option<bool>) {
        let frame_rate_millis = Some(30_000);
        self.program.handle_announcement(Announcement {
            video,
            audio,
            frame_rate_millis,
            encoder: None,
        });
    }

    pub(super) fn at(&mut self, ms: i64) -> &mut Bench {
        self.now = EPOCH.plus_micros(ms * 1000);
        self
    }

    pub(super) fn push(&mut self, kind: MediaKind, dts_ms: i64, cts_ms: i64, key: bool) {
        let unit = AccessUnit {
            kind,
            dts: Ticks(dts_ms),
            pts: Ticks(dts_ms + cts_ms),
            duration: None,
            key,
            data: Bytes::from_static(&[0, 0, 0, 2, 0x41, 0x9a]),
        };
        self.program.handle_unit(self.now, unit);
        self.drain();
    }

    pub(super) fn drain(&mut self) {
        while let Some(output) = self.program.poll_output() {
            match output {
                Output::Unit {
                    unit,
                    opened,
                    boundary,
                    listed,
                } => {
                    self.boundaries.extend(boundary);
                    match unit.kind {
                        MediaKind::Video if !listed => self.decoded.push(unit),
                        MediaKind::Video => self.video.push((unit, opened.to_vec())),
                        MediaKind::Audio => self.audio.push((unit, opened.to_vec())),
                    }
                }
                Output::Hold {
                    until,
                    boundary,
                    filler,
                } => {
                    self.boundaries.extend(boundary);
                    self.holds.push((until, filler));
                }
                Output::Gap { boundary, missing } => {
                    if missing == Missing::Everything {
                        self.boundaries.push(boundary);
                    }
                    self.gaps.push((boundary, missing));
                }
                Output::Break => self.breaks += 1,
                Output::Settled { passthrough } => self.settled = Some(passthrough),
                Output::Track(_) => {}
            }
        }
    }

    /// Plays `ms` of 30 fps video and 48 kHz audio whose clock begins at `base`, arriving from `start`.
    pub(super) fn play(&mut self, start: i64, base: i64, ms: i64, gop_frames: i64) {
        let mut audio = 0;
        for frame in 0..ms * 30 / 1000 {
            let time = frame * 1000 / 30;
            while audio * 1024 / 48 <= time {
                self.at(start + time)
                    .push(MediaKind::Audio, base + (audio * 64 + 1) / 3, 0, true);
                audio += 1;
            }
            self.at(start + time).push(
                MediaKind::Video,
                base + (frame * 100 + 1) / 3,
                0,
                frame % gop_frames == 0,
            );
            self.program.handle_tick(self.now);
            self.drain();
        }
    }

    /// Lets time pass without a unit.
    pub(super) fn wait(&mut self, from: i64, to: i64) {
        for ms in (from..to).step_by(50) {
            self.at(ms)
                .program
                .handle_tick(EPOCH.plus_micros(ms * 1000));
            self.drain();
        }
    }

    pub(super) fn boundaries(units: &[(AccessUnit, Vec<Boundary>)]) -> Vec<Boundary> {
        units
            .iter()
            .flat_map(|(_, opened)| opened.clone())
            .collect()
    }

    pub(super) fn assert_contiguous(&self) {
        for pair in self.video.windows(2) {
            let (first, second) = (&pair[0].0, &pair[1].0);
            assert!(
                second.dts > first.dts,
                "decode time goes back at {:?}",
                second.dts
            );
            let joined = pair[1].1.iter().any(|boundary| {
                let gap = self
                    .gaps
                    .iter()
                    .any(|gap| gap.0.sequence + 1 == boundary.sequence);
                gap || boundary.discontinuity
            });
            if let Some(duration) = first.duration.filter(|_| !joined) {
                assert_eq!(
                    first.dts + duration,
                    second.dts,
                    "promised duration at {:?}",
                    first.dts
                );
            }
        }
        for pair in self.audio.windows(2) {
            let end = pair[0].0.dts + pair[0].0.duration.expect("audio durations are counted");
            assert!(
                pair[1].0.dts >= end,
                "audio overlaps at {:?}",
                pair[1].0.dts
            );
        }
    }
}
