//! Encoders made of arithmetic: what they send has real configuration records and the times of RTMP,
//! and in its payload the true time at which it was filmed.

use std::collections::VecDeque;
use std::path::Path;

use bytes::{BufMut, Bytes, BytesMut};

use forebay::hub::{Announcement, Publisher};
use forebay::media::codec::{aac, avc};
use forebay::media::{AccessUnit, CodecConfig, MediaKind, Ticks, Timescale, Track};

/// First bytes of a payload that states its time; what the gateway puts in has others.
const MARK: &[u8] = b"filmed at";

/// What an encoder sends.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    pub picture: Option<Picture>,
    pub sound: Option<Sound>,
}

#[derive(Clone, Copy, Debug)]
pub struct Picture {
    /// A golden configuration record.
    pub record: &'static str,
    /// Frames per second, numerator and denominator.
    pub rate: (i64, i64),
    /// Frames from one key unit to the next.
    pub key_interval: i64,
    /// Whether two B-frames stand before each P-frame.
    pub b_frames: bool,
}

#[derive(Clone, Copy, Debug)]
pub struct Sound {
    pub rate: u32,
    pub channels: u8,
}

/// 1280x720.
pub const SMALL: &str = "avc_openh264.avcc";
/// 1920x1080.
pub const LARGE: &str = "avc_crop.avcc";

pub const PICTURE: Picture = Picture {
    record: SMALL,
    rate: (30, 1),
    key_interval: 30,
    b_frames: false,
};
pub const SOUND: Sound = Sound {
    rate: 48_000,
    channels: 2,
};
/// 30 pictures a second, a key unit each second, and sound.
pub const USUAL: Settings = Settings {
    picture: Some(PICTURE),
    sound: Some(SOUND),
};

impl Settings {
    pub const fn with_picture(self, picture: Picture) -> Settings {
        Settings {
            picture: Some(picture),
            ..self
        }
    }

    pub const fn with_sound(self, sound: Sound) -> Settings {
        Settings {
            sound: Some(sound),
            ..self
        }
    }
}

/// The track of a golden record of H.264.
pub fn avc_track(record: &str, timescale: Timescale) -> Track {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/codec");
    let bytes = std::fs::read(folder.join(record)).expect("the golden record is there");
    let config = avc::Config::parse(Bytes::from(bytes)).expect("it is a record");
    Track {
        config: CodecConfig::Avc(config),
        timescale,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    /// Units go out as they are made.
    Open,
    /// Units are made and wait for the network.
    Stalled,
    /// Nothing is made.
    Frozen,
}

/// One encoder's session.
#[derive(Debug)]
pub struct Encoder {
    /// Its place among the encoders of the test.
    place: usize,
    settings: Settings,
    publisher: Option<Publisher>,
    /// Monotonic microseconds of its time zero.
    start: i64,
    /// How much faster its clock runs, parts per million.
    drift_ppm: i64,
    /// What its clock shows at its time zero, and at what it begins anew; milliseconds.
    base: i64,
    wrap: i64,
    /// The next picture in decoding order, and where it stands after the last key unit.
    picture: i64,
    after_key: i64,
    /// The next frame of sound.
    frame: i64,
    line: Line,
    waiting: VecDeque<AccessUnit>,
}

impl Encoder {
    /// An encoder that was just admitted.
    pub fn new(place: usize, mut publisher: Publisher, settings: Settings, now: i64) -> Encoder {
        let rate = settings.picture.map(|picture| picture.rate);
        publisher.announce(Announcement {
            video: Some(settings.picture.is_some()),
            audio: Some(settings.sound.is_some()),
            frame_rate_millis: rate.and_then(|(n, d)| u32::try_from(n * 1000 / d).ok()),
            encoder: None,
        });
        let mut encoder = Encoder {
            place,
            settings: Settings {
                picture: None,
                sound: None,
            },
            publisher: Some(publisher),
            start: now,
            drift_ppm: 0,
            base: 0,
            wrap: i64::MAX,
            picture: 0,
            after_key: 0,
            frame: 0,
            line: Line::Open,
            waiting: VecDeque::new(),
        };
        encoder.change(settings);
        encoder
    }

    /// Sets the clock that its units carry: what it shows at the beginning, at what it wraps to zero.
    pub fn clock_from(mut self, base_ms: i64, wrap_ms: i64) -> Encoder {
        self.base = base_ms;
        self.wrap = wrap_ms;
        self
    }

    /// Lets its clock run faster by so many parts per million.
    pub fn drifting(mut self, ppm: i64) -> Encoder {
        self.drift_ppm = ppm;
        self
    }

    /// Goes on with other settings, at a key unit.
    pub fn change(&mut self, settings: Settings) {
        let now = self.next_time();
        self.settings = settings;
        if let Some(picture) = settings.picture {
            self.send_track(avc_track(picture.record, Timescale::MILLIS));
            let (numerator, denominator) = picture.rate;
            self.picture = div_up(now * numerator, denominator * 1_000_000);
            self.after_key = 0;
        }
        if let Some(sound) = settings.sound {
            let config = aac::Config::new_lc(sound.rate, sound.channels);
            self.send_track(Track {
                config: CodecConfig::Aac(config.expect("a usual configuration")),
                timescale: Timescale::MILLIS,
            });
            self.frame = div_up(now * i64::from(sound.rate), 1024 * 1_000_000);
        }
    }

    fn send_track(&mut self, track: Track) {
        if let Some(publisher) = &mut self.publisher {
            publisher.set_track(track);
        }
    }

    /// Sets its clock forward or back, between two units.
    pub fn set_clock(&mut self, by_ms: i64) {
        self.base += by_ms;
    }

    /// What its clock has counted by now.
    pub fn clock_seconds(&self, now: i64) -> i64 {
        self.clock(now) / 1_000_000
    }

    fn clock(&self, now: i64) -> i64 {
        let elapsed = now - self.start;
        elapsed + elapsed / 1_000 * self.drift_ppm / 1_000
    }

    /// A clean goodbye.
    pub fn finish(&mut self) {
        self.publisher.take().expect("it publishes").finish();
    }

    /// The connection is cut.
    pub fn disconnect(&mut self) {
        drop(self.publisher.take());
    }

    /// The process stands still; the connection stays.
    pub fn freeze(&mut self) {
        self.line = Line::Frozen;
    }

    /// The network takes nothing; the encoder goes on.
    pub fn stall(&mut self) {
        self.line = Line::Stalled;
    }

    /// The process goes on, or what the network held back comes in one burst.
    pub fn resume(&mut self) {
        self.line = Line::Open;
    }

    pub fn is_publishing(&self) -> bool {
        self.publisher.is_some()
    }

    /// Sends what is due at monotonic time `now`, microseconds.
    pub fn poll(&mut self, now: i64) {
        let due = self.clock(now);
        while self.next_time() <= due {
            let unit = self.next_unit();
            if self.line != Line::Frozen {
                self.waiting.extend(unit);
            }
        }
        if let Some(publisher) = self.publisher.as_mut().filter(|_| self.line == Line::Open) {
            for unit in self.waiting.drain(..) {
                publisher.push(unit);
            }
        }
    }

    /// Time of the next unit to be sent, microseconds of its own clock.
    fn next_time(&self) -> i64 {
        let picture = self.settings.picture.map(|_| self.picture_time(0));
        let sound = self.settings.sound.map(|sound| self.sound_time(sound));
        picture.into_iter().chain(sound).min().unwrap_or(0)
    }

    fn picture_time(&self, later: i64) -> i64 {
        let (numerator, denominator) = self.settings.picture.map_or((1, 1), |p| p.rate);
        (self.picture + later) * denominator * 1_000_000 / numerator
    }

    fn sound_time(&self, sound: Sound) -> i64 {
        self.frame * 1024 * 1_000_000 / i64::from(sound.rate)
    }

    /// The next unit; `None` for one that a frozen encoder does not make.
    fn next_unit(&mut self) -> Option<AccessUnit> {
        let sound = self.settings.sound.map(|sound| self.sound_time(sound));
        let picture = self.settings.picture;
        match picture.filter(|_| sound.is_none_or(|sound| self.picture_time(0) <= sound)) {
            Some(picture) => self.next_picture(picture),
            None => {
                let time = sound.unwrap_or(0);
                self.frame += 1;
                Some(self.unit(MediaKind::Audio, time, time, true))
            }
        }
    }

    fn next_picture(&mut self, picture: Picture) -> Option<AccessUnit> {
        if self.line == Line::Frozen {
            self.picture += 1;
            return None;
        }
        let shown_later = if picture.b_frames {
            display(self.after_key, picture.key_interval) - self.after_key + 1
        } else {
            0
        };
        let (dts, pts) = (self.picture_time(0), self.picture_time(shown_later));
        let unit = self.unit(MediaKind::Video, dts, pts, self.after_key == 0);
        self.picture += 1;
        self.after_key = (self.after_key + 1) % picture.key_interval;
        Some(unit)
    }

    fn payload(&self, kind: MediaKind, key: bool, filmed: i64) -> Bytes {
        let mut data = BytesMut::with_capacity(32);
        if kind == MediaKind::Video {
            let length = u32::try_from(1 + MARK.len() + 9).expect("a few bytes");
            data.put_u32(length);
            // nal_unit_type 5 is an IDR slice, 1 another one (ITU-T H.264 table 7-1).
            data.put_u8(if key { 0x65 } else { 0x41 });
        }
        data.put_slice(MARK);
        data.put_u8(u8::try_from(self.place).expect("a few encoders"));
        data.put_i64(filmed);
        data.freeze()
    }

    fn unit(&self, kind: MediaKind, dts: i64, pts: i64, key: bool) -> AccessUnit {
        // Rounded as RTMP rounds: both to milliseconds.
        let carried = |micros: i64| (self.base + (micros + 500).div_euclid(1000)) % self.wrap;
        let dts = carried(dts);
        AccessUnit {
            kind,
            dts: Ticks(dts),
            pts: Ticks(dts + (carried(pts) - dts).rem_euclid(self.wrap)),
            duration: None,
            key,
            data: self.payload(kind, key, self.start + pts),
        }
    }
}

/// Where the picture at `place` in decoding order is shown: two B-frames before each P-frame.
fn display(place: i64, key_interval: i64) -> i64 {
    let group = (place - 1).div_euclid(3) * 3;
    if place == 0 || group + 3 >= key_interval {
        return place;
    }
    match place - group {
        1 => group + 3,
        n => group + n - 1,
    }
}

fn div_up(value: i64, by: i64) -> i64 {
    -(-value).div_euclid(by)
}

/// Who filmed a unit, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Film {
    /// Place of the encoder among those of the test.
    pub by: usize,
    /// Monotonic microseconds.
    pub at: i64,
}

/// What a payload tells; `None` for what no encoder sent.
pub fn film(data: &[u8]) -> Option<Film> {
    let from = data.windows(MARK.len()).position(|window| window == MARK)? + MARK.len();
    let by = usize::from(*data.get(from)?);
    let at = data.get(from + 1..from + 9)?;
    let at = i64::from_be_bytes(at.try_into().ok()?);
    Some(Film { by, at })
}
