//! Whatever encoders, networks and operators do, some things hold. Random stories from a seed, and the
//! properties that every one of them has.

use bytes::Bytes;

use super::*;
use crate::hub::boundary::OnLoss;
use crate::media::codec::{aac, avc};
use crate::media::{CodecConfig, Ticks, rescale};

const EPOCH: Wall = Wall(1_700_000_000_000_000);
/// How finely time passes.
const STEP_MS: i64 = 10;
/// The program hears of time this often, at least.
const TICK_MS: i64 = 50;
/// How long a story is.
const STORY_MS: i64 = 120_000;
/// No unit lies further before the clock than this: a burst after the longest stall may be taken for
/// the present, and what follows in it lies ahead by as much.
const FURTHEST_AHEAD: Ticks = Ticks(17 * 90_000);
/// When nothing has happened for some time, the newest unit is this near to the clock.
const LIVE: Ticks = Ticks(3 * 90_000 / 2);
/// How long a story is left alone before that is asked.
const CALM_MS: i64 = 12_000;

/// 320x180 constrained baseline, from x264.
const AVCC: &[u8] = &[
    0x01, 0x42, 0xc0, 0x0d, 0xff, 0xe1, 0x00, 0x19, 0x67, 0x42, 0xc0, 0x0d, 0xd9, 0x01, 0x41, 0x9f,
    0x9f, 0x01, 0x10, 0x00, 0x00, 0x03, 0x00, 0x10, 0x00, 0x00, 0x03, 0x03, 0xc0, 0xf1, 0x42, 0xa4,
    0x80, 0x01, 0x00, 0x04, 0x68, 0xcb, 0x8c, 0xb2,
];

/// Numbers from a seed (xorshift64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: i64) -> i64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        i64::try_from(self.0 >> 2).unwrap() % limit
    }

    fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[usize::try_from(self.below(choices.len() as i64)).unwrap()]
    }
}

/// An encoder as the story has it now.
#[derive(Clone, Copy, Debug)]
struct Encoder {
    /// What its clock shows less the story's time, milliseconds.
    base: i64,
    fps: i64,
    key_interval: i64,
    pictures: i64,
    sounds: i64,
    sound_rate: u32,
}

/// One rendition of the source, as it was delivered.
#[derive(Debug, Default)]
struct Track {
    end: Option<Ticks>,
    last: Option<Boundary>,
}

struct Story {
    seed: u64,
    dice: Dice,
    program: Program,
    now: i64,
    encoder: Option<Encoder>,
    /// Nothing comes through until then; what is made meanwhile comes then, or never.
    stalled_until: i64,
    keeps_stalled: bool,
    waiting: Vec<AccessUnit>,
    records: u8,
    calm_since: i64,
    boundaries: Option<Boundary>,
    held: Ticks,
    video: Track,
    audio: Track,
    audio_scale: Timescale,
    newest: Option<Ticks>,
}

impl Story {
    fn new(seed: u64, ladder: bool, on_loss: OnLoss) -> Story {
        let settings = Settings {
            segment_target: Ticks(180_000),
            longest_segment: Ticks(90_000 * if ladder { 3 } else { 10 }),
            ladder,
            on_loss,
        };
        Story {
            seed,
            dice: Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
            program: Program::new(settings, EPOCH, EPOCH, None),
            now: 0,
            encoder: None,
            stalled_until: 0,
            keeps_stalled: false,
            waiting: Vec::new(),
            records: 0,
            calm_since: 0,
            boundaries: None,
            held: Ticks::ZERO,
            video: Track::default(),
            audio: Track::default(),
            audio_scale: Timescale::of(48_000),
            newest: None,
        }
    }

    fn wall(&self) -> Wall {
        EPOCH.plus_micros(self.now * 1000)
    }

    fn play(mut self) {
        self.begin_session();
        while self.now < STORY_MS {
            self.now += STEP_MS;
            // The first seconds are calm, and so are stretches between the troubles.
            if self.now > 5_000 && self.now % 40_000 < 25_000 && self.dice.below(150) == 0 {
                self.trouble();
            }
            self.send();
            if self.now % TICK_MS == 0 {
                self.program.handle_tick(self.wall());
            }
            self.drain();
            self.assert_live();
        }
    }

    fn begin_session(&mut self) {
        let encoder = Encoder {
            base: self.dice.below(1 << 32) - self.now,
            fps: self.dice.one_of(&[25, 30, 50]),
            key_interval: self.dice.one_of(&[25, 30, 60, 120]),
            pictures: 0,
            sounds: 0,
            sound_rate: self.dice.one_of(&[48_000, 48_000, 44_100]),
        };
        self.program.handle_announcement(Announcement {
            video: Some(true),
            audio: Some(true),
            frame_rate_millis: u32::try_from(encoder.fps * 1000).ok(),
            encoder: None,
        });
        self.encoder = Some(Encoder {
            pictures: self.now * encoder.fps / 1000 + 1,
            sounds: self.now * i64::from(encoder.sound_rate) / 1_024_000 + 1,
            ..encoder
        });
        self.configure();
    }

    fn configure(&mut self) {
        let Some(encoder) = self.encoder else {
            return;
        };
        let mut config = avc::Config::parse(Bytes::from_static(AVCC)).expect("golden record");
        let mut record = AVCC.to_vec();
        record.push(self.records);
        config.record = Bytes::from(record);
        self.program.handle_track(crate::media::Track {
            config: CodecConfig::Avc(config),
            timescale: Timescale::MILLIS,
        });
        let config = aac::Config::new_lc(encoder.sound_rate, 2).expect("a usual configuration");
        self.program.handle_track(crate::media::Track {
            config: CodecConfig::Aac(config),
            timescale: Timescale::MILLIS,
        });
    }

    /// An encoder's clock that is set while nothing comes through says nothing of how long that was:
    /// a story has the one or the other.
    fn has_stalls(&self) -> bool {
        self.seed % 2 == 1
    }

    fn trouble(&mut self) {
        self.calm_since = self.now;
        let length = self
            .dice
            .one_of(&[30, 200, 700, 1_500, 4_000, 9_000, 16_000]);
        match self.dice.below(8) {
            0 | 1 if self.encoder.is_some() => {
                self.program.handle_break();
                self.encoder = None;
                self.stalled_until = self.now + length;
                self.waiting.clear();
            }
            2 if self.has_stalls() => {
                self.stalled_until = self.now + length;
                self.keeps_stalled = true;
            }
            3 if self.has_stalls() => {
                self.stalled_until = self.now + length;
                self.keeps_stalled = false;
            }
            4 if !self.has_stalls() => {
                let jump = self
                    .dice
                    .one_of(&[-3_600_000, -5_000, -200, 40, 86_400_000]);
                if let Some(encoder) = &mut self.encoder {
                    encoder.base += jump;
                }
            }
            5 => {
                self.records += 1;
                self.configure();
            }
            7 if self.encoder.is_some() => {
                // A backup takes over, on a line of its own.
                self.program.handle_break();
                self.waiting.clear();
                self.stalled_until = self.now;
                self.begin_session();
            }
            _ => {}
        }
    }

    fn send(&mut self) {
        if self.encoder.is_none() && self.now >= self.stalled_until {
            self.begin_session();
        }
        let stalled = self.now < self.stalled_until;
        while let Some(unit) = self.next_unit() {
            if !stalled || self.keeps_stalled {
                self.waiting.push(unit);
            }
        }
        if !stalled {
            let wall = self.wall();
            for unit in std::mem::take(&mut self.waiting) {
                self.program.handle_unit(wall, unit);
            }
        }
    }

    fn next_unit(&mut self) -> Option<AccessUnit> {
        let now = self.now;
        let encoder = self.encoder.as_mut()?;
        let picture = encoder.pictures * 1000 / encoder.fps;
        let sound = encoder.sounds * 1_024_000 / i64::from(encoder.sound_rate);
        let is_video = picture <= sound;
        let time = picture.min(sound);
        if time > now {
            return None;
        }
        let key = !is_video || encoder.pictures % encoder.key_interval == 0;
        if is_video {
            encoder.pictures += 1;
        } else {
            encoder.sounds += 1;
        }
        let carried = Ticks(encoder.base + time);
        Some(AccessUnit {
            kind: if is_video {
                MediaKind::Video
            } else {
                MediaKind::Audio
            },
            dts: carried,
            pts: carried,
            duration: None,
            key,
            data: Bytes::from_static(&[0, 0, 0, 2, 0x41, 0x9a]),
        })
    }

    fn drain(&mut self) {
        while let Some(output) = self.program.poll_output() {
            match output {
                Output::Track(track) if track.kind() == MediaKind::Audio => {
                    let old = std::mem::replace(&mut self.audio_scale, track.timescale);
                    let end = &mut self.audio.end;
                    *end = end.map(|end| rescale(end, old, track.timescale));
                }
                Output::Unit {
                    unit,
                    opened,
                    boundary,
                    listed,
                } => {
                    self.boundaries(boundary);
                    self.unit(&unit, &opened, listed);
                }
                Output::Hold {
                    until, boundary, ..
                } => {
                    self.boundaries(boundary);
                    assert!(until >= self.held, "{}: a hold goes back", self.seed);
                    if let Some(boundary) = boundary {
                        assert!(boundary.time >= self.held, "{}: {boundary:?}", self.seed);
                    }
                    self.held = until;
                }
                Output::Gap { boundary, missing } => {
                    let begins = |track: &mut Track, seed| track.open(&boundary, seed);
                    if missing != Missing::SourceAudio && self.program.packages_source() {
                        begins(&mut self.video, self.seed);
                    }
                    let sounds_on = matches!(missing, Missing::SourceVideo | Missing::Video);
                    if !sounds_on && self.audio.last.is_some() {
                        begins(&mut self.audio, self.seed);
                    }
                }
                _ => {}
            }
        }
    }

    /// Every boundary is the next one, later than the last.
    fn boundaries(&mut self, boundary: Option<Boundary>) {
        let Some(boundary) = boundary else {
            return;
        };
        if let Some(last) = self.boundaries.replace(boundary) {
            assert!(
                boundary.sequence > last.sequence
                    && boundary.time > last.time
                    && boundary.discontinuity_sequence >= last.discontinuity_sequence,
                "{}: {boundary:?} follows {last:?}",
                self.seed
            );
        }
    }

    fn unit(&mut self, unit: &AccessUnit, opened: &Opened, listed: bool) {
        let packages_source = self.program.packages_source();
        let (track, scale) = match unit.kind {
            MediaKind::Video => (&mut self.video, Timescale::CHANNEL),
            MediaKind::Audio => (&mut self.audio, self.audio_scale),
        };
        let time = rescale(unit.pts, scale, Timescale::CHANNEL);
        let ahead = time - Ticks(self.now * 90);
        assert!(
            ahead <= FURTHEST_AHEAD,
            "{}: {:?} is {} ms before the clock",
            self.seed,
            unit.kind,
            ahead.0 / 90
        );
        if unit.kind == MediaKind::Video {
            self.newest = self.newest.max(Some(time));
        }
        if unit.kind == MediaKind::Video && !packages_source {
            // Nobody sees the source's own rendition.
            *track = Track::default();
            return;
        }
        if !listed {
            return;
        }
        for boundary in opened {
            track.open(boundary, self.seed);
        }
        // One tick of rounding where the sampling rate has changed.
        let end = track.end.unwrap_or(unit.dts);
        assert!(
            unit.dts + Ticks(1) >= end,
            "{}: {:?} at {} overlaps what ends at {}",
            self.seed,
            unit.kind,
            unit.dts.0,
            end.0
        );
        track.end = Some(unit.dts + unit.duration.unwrap_or(Ticks(1)));
    }

    /// Left alone for some time, the stream is where the clock is.
    fn assert_live(&self) {
        let quiet = self.now - self.calm_since.max(self.stalled_until);
        let Some(newest) = self.newest.filter(|_| quiet > CALM_MS) else {
            return;
        };
        let late = Ticks(self.now * 90) - newest;
        assert!(
            late <= LIVE,
            "{}: the picture is {} ms behind the clock, {quiet} ms after the last trouble",
            self.seed,
            late.0 / 90
        );
    }
}

impl Track {
    /// Sequence numbers of a rendition neither fall nor skip, nor do discontinuity numbers.
    fn open(&mut self, boundary: &Boundary, seed: u64) {
        if let Some(last) = self.last.replace(*boundary) {
            let number = last.discontinuity_sequence + u64::from(boundary.discontinuity);
            assert!(
                boundary.sequence == last.sequence + 1
                    && boundary.time > last.time
                    && boundary.discontinuity_sequence == number,
                "{seed}: {boundary:?} follows {last:?}, {self:?}"
            );
        }
    }
}

#[test]
fn stories_without_a_ladder() {
    for seed in 1..=60 {
        Story::new(seed, false, OnLoss::Slate).play();
    }
}

#[test]
fn stories_with_a_ladder() {
    for seed in 1..=60 {
        Story::new(seed, true, OnLoss::Slate).play();
    }
}

#[test]
fn stories_with_a_ladder_that_states_gaps() {
    for seed in 1..=40 {
        Story::new(seed, true, OnLoss::Gap).play();
    }
}
