use bytes::Bytes;

use super::*;
use crate::media::codec::testing::data;
use crate::media::codec::{aac, avc};
use crate::media::{CodecConfig, nal};

fn video_track() -> Track {
    Track {
        config: CodecConfig::Avc(avc::Config::parse(data("avc_crop.avcc")).unwrap()),
        timescale: Timescale::MILLIS,
    }
}

fn audio_track() -> Track {
    Track {
        config: CodecConfig::Aac(aac::Config::new_lc(48_000, 2).unwrap()),
        timescale: Timescale::MILLIS,
    }
}

/// A P slice of this length in all.
fn slice(bytes: usize) -> Bytes {
    nal::from_units([&vec![0x41; bytes - 4][..]].into_iter()).unwrap()
}

fn picture(dts_ms: i64, pts_ms: i64, key: bool, data: &Bytes) -> AccessUnit {
    AccessUnit {
        kind: MediaKind::Video,
        dts: Ticks(dts_ms),
        pts: Ticks(pts_ms),
        duration: None,
        key,
        data: data.clone(),
    }
}

fn sound(time_ms: i64) -> AccessUnit {
    AccessUnit {
        kind: MediaKind::Audio,
        key: true,
        ..picture(time_ms, time_ms, true, &Bytes::from_static(b"sound"))
    }
}

fn millis(millis: i64) -> Duration {
    Duration::from_millis(millis.unsigned_abs())
}

/// What a number of a picture stands for, milliseconds.
type OfPicture = fn(i64) -> i64;

/// An encoder of pictures: 30 a second of 10 kB, a key unit every two seconds, unless a test says
/// otherwise. The server's clock reads 100 s when its first picture comes.
struct Encoder {
    observer: Observer,
    payload: Bytes,
    pictures: i64,
    time_ms: OfPicture,
    /// Presentation minus decode time.
    offset_ms: OfPicture,
    lag_ms: OfPicture,
    key_every: i64,
}

impl Encoder {
    fn new() -> Encoder {
        let mut observer = Observer::default();
        observer.handle_track(&video_track());
        Encoder {
            observer,
            payload: slice(10_000),
            pictures: 0,
            time_ms: |n| n * 1000 / 30,
            offset_ms: |_| 0,
            lag_ms: |_| 0,
            key_every: 60,
        }
    }

    fn now(&self) -> Duration {
        let newest = self.pictures - 1;
        millis(100_000 + (self.time_ms)(newest) + (self.lag_ms)(newest))
    }

    fn send(&mut self, pictures: i64) -> Facts {
        for _ in 0..pictures {
            let n = self.pictures;
            self.pictures += 1;
            let dts = (self.time_ms)(n);
            let key = n % self.key_every == 0;
            let unit = picture(dts, dts + (self.offset_ms)(n), key, &self.payload);
            self.observer.handle_unit(self.now(), &unit);
        }
        self.facts()
    }

    fn facts(&self) -> Facts {
        self.observer.facts(self.now())
    }
}

fn near(value: f64, expected: f64, within: f64) -> bool {
    (value - expected).abs() <= within
}

#[test]
fn nothing_is_known_before_the_first_unit() {
    let observer = Observer::default();
    assert_eq!(observer.facts(millis(60_000)), Facts::default());
}

#[test]
fn rates_are_those_of_the_last_seconds() {
    let mut encoder = Encoder::new();
    let facts = encoder.send(30);
    assert!(near(facts.frame_rate, 30.0, 1.5), "{facts:?}");
    let facts = encoder.send(300);
    assert!(near(facts.frame_rate, 30.0, 0.3), "{facts:?}");
    assert!(near(facts.bitrate_bps, 2_400_000.0, 24_000.0), "{facts:?}");
    let later = encoder.now() + Duration::from_secs(2);
    let half = encoder.observer.facts(later);
    assert!(near(half.frame_rate, 15.0, 2.0), "{half:?}");
    let later = encoder.now() + Duration::from_secs(5);
    assert_eq!(encoder.observer.facts(later).bitrate_bps, 0.0);
}

/// The rate as operators see it.
fn shown(facts: &Facts) -> String {
    format!("{:.2}", facts.frame_rate)
}

#[test]
fn a_constant_frame_rate_is_told_to_the_hundredth_from_times_in_whole_milliseconds() {
    let rates: [(&str, OfPicture); 9] = [
        ("15.00", |n| n * 1000 / 15),
        ("23.98", |n| n * 1001 / 24),
        ("24.00", |n| n * 1000 / 24),
        ("25.00", |n| n * 40),
        ("29.97", |n| n * 1001 / 30),
        ("30.00", |n| n * 1000 / 30),
        ("50.00", |n| n * 20),
        ("59.94", |n| n * 1001 / 60),
        ("60.00", |n| n * 1000 / 60),
    ];
    // Punctual, with jitter, in bursts of half a second, and late by more and more.
    let lags: [OfPicture; 4] = [|_| 0, |n| n * 37 % 200, |n| 500 - n % 15 * 33, |n| n * 3];
    for (expected, time_ms) in rates {
        for lag_ms in lags {
            let mut encoder = Encoder::new();
            (encoder.time_ms, encoder.lag_ms) = (time_ms, lag_ms);
            // I P B B P B B.
            encoder.offset_ms = |n| if n % 3 == 1 { 100 } else { 0 };
            encoder.send(200);
            for _ in 0..200 {
                assert_eq!(shown(&encoder.send(1)), expected);
            }
        }
    }
}

#[test]
fn pictures_that_an_encoder_drops_count_and_a_hole_or_a_jump_does_not() {
    let mut encoder = Encoder::new();
    encoder.time_ms = |n| (n + n / 5) * 1000 / 30;
    assert!(near(encoder.send(300).frame_rate, 25.0, 0.2));
    // By how much the encoder's times move on, and by how much time does.
    for (carried, waited) in [(3_000, 3_000), (60_000, 0), (-5_000, 0)] {
        let mut encoder = Encoder::new();
        encoder.send(300);
        let mut now = encoder.now();
        for n in 300..315 {
            let time = n * 1000 / 30 + carried;
            let unit = picture(time, time, false, &encoder.payload);
            now = millis(100_000 + n * 1000 / 30 + waited);
            encoder.observer.handle_unit(now, &unit);
        }
        let facts = encoder.observer.facts(now);
        assert!(near(facts.frame_rate, 30.0, 0.05), "{facts:?}");
    }
}

#[test]
fn the_key_interval_is_measured_in_media_time() {
    let mut encoder = Encoder::new();
    assert_eq!(encoder.send(60).keys.last_seconds, None);
    let keys = encoder.send(61).keys;
    assert_eq!(keys.last_seconds, Some(2.0));
    assert_eq!((keys.shortest_seconds, keys.longest_seconds), (2.0, 2.0));
    // The running interval counts as soon as it is the longest.
    encoder.key_every = 1_000_000;
    let keys = encoder.send(239).keys;
    assert_eq!(keys.last_seconds, Some(2.0));
    assert!(near(keys.longest_seconds, 8.0, 0.04), "{keys:?}");
}

#[test]
fn intra_pictures_that_are_no_key_units_are_counted_up_to_the_next() {
    let mut encoder = Encoder::new();
    encoder.send(61);
    let time = (encoder.time_ms)(61);
    let open = picture(time, time, false, &data("avc_recovery.au"));
    encoder.observer.handle_unit(encoder.now(), &open);
    assert_eq!(encoder.facts().keys.open_intra, 1);
    encoder.pictures = 62;
    assert_eq!(encoder.send(60).keys.open_intra, 0);
}

#[test]
fn b_frames_are_seen_by_their_order_and_not_by_their_offset() {
    // Decoded I P B B P B B, shown I B B P B B P: a P is shown two pictures after the B's behind it.
    let reordered: OfPicture = |n| match n % 3 {
        1 => 100,
        _ => 0,
    };
    let constant: OfPicture = |_| 66;
    for (offset, expected) in [(reordered, 2), (constant, 0)] {
        let mut encoder = Encoder::new();
        encoder.offset_ms = offset;
        assert_eq!(encoder.send(100).b_frames, expected);
    }
}

#[test]
fn a_variable_rate_is_told_from_dropped_pictures_and_from_rounding() {
    let constant: OfPicture = |n| n * 1000 / 60;
    let dropped: OfPicture = |n| (n + n / 5) * 1000 / 30;
    let variable: OfPicture = |n| n * 33 + [0, 14, 2, 9, 21][usize::try_from(n % 5).unwrap()];
    for (time_ms, is_variable) in [(constant, false), (dropped, false), (variable, true)] {
        let mut encoder = Encoder::new();
        encoder.time_ms = time_ms;
        let rate = encoder.send(200).variable_rate;
        assert_eq!(rate.is_some(), is_variable, "{rate:?}");
        if let Some((slowest, fastest)) = rate {
            assert!(slowest < 25.0 && fastest > 40.0, "{rate:?}");
        }
    }
}

#[test]
fn a_line_that_carries_too_little_shows_as_a_lag_that_stands_and_grows() {
    let mut encoder = Encoder::new();
    let facts = encoder.send(600);
    assert_eq!((facts.lag_seconds, facts.lag_trend), (0.0, 0.0));
    // From second 20 on, each second of media takes 1.1 s.
    encoder.lag_ms = |n| (n - 600) * 100 / 30;
    let facts = encoder.send(600);
    assert!(near(facts.lag_seconds, 2.0, 0.05), "{facts:?}");
    assert!(near(facts.standing_lag_seconds, 1.55, 0.15), "{facts:?}");
    assert!(near(facts.lag_trend, 0.1, 0.02), "{facts:?}");
    assert_eq!(facts.drift_ppm, None);
}

#[test]
fn an_encoder_that_begins_with_a_burst_is_not_called_late_ever_after() {
    let mut encoder = Encoder::new();
    // The first second comes at once, then nothing until its end.
    encoder.lag_ms = |n| if n < 30 { -n * 1000 / 30 } else { 0 };
    let facts = encoder.send(30 * 600);
    assert_eq!(facts.lag_seconds, 0.0);
    assert_eq!(facts.drift_ppm, Some(0.0));
}

#[test]
fn jitter_is_no_standing_lag() {
    let mut encoder = Encoder::new();
    encoder.lag_ms = |n| n * 37 % 200;
    let facts = encoder.send(900);
    assert!(facts.standing_lag_seconds < 0.02, "{facts:?}");
    assert!(facts.lag_trend.abs() < 0.02, "{facts:?}");
}

#[test]
fn pauses_are_counted_also_the_one_that_goes_on() {
    let mut encoder = Encoder::new();
    encoder.send(90);
    encoder.time_ms = |n| n * 1000 / 30 + 3_000;
    let facts = encoder.send(90);
    assert_eq!(facts.stalls, 1);
    assert!(near(facts.stall_seconds, 3.03, 0.01), "{facts:?}");
    assert_eq!(facts.time_jumps, 0, "the clock agrees with the hole");
    let facts = encoder
        .observer
        .facts(encoder.now() + Duration::from_secs(1));
    assert_eq!((facts.stalls, facts.quiet_seconds), (2, 1.0));
}

#[test]
fn a_jump_of_the_encoders_times_is_counted_and_is_no_lag() {
    for jump in [-50_000, 50_000] {
        let mut encoder = Encoder::new();
        encoder.send(90);
        let mut later = 0;
        for n in 90..180 {
            let time = n * 1000 / 30;
            let carried = 200_000 + time + jump;
            let unit = picture(carried, carried, false, &slice(100));
            later = 100_000 + time + 40;
            encoder.observer.handle_unit(millis(later), &unit);
        }
        let facts = encoder.observer.facts(millis(later));
        assert_eq!(facts.time_jumps, 1);
        assert!(facts.lag_seconds.abs() < 0.05, "{facts:?}");
    }
}

#[test]
fn a_slow_clock_is_known_after_some_minutes_and_is_no_lag() {
    let mut encoder = Encoder::new();
    // 80 ppm: 80 µs a second, or 2.4 ms per 900 pictures.
    encoder.lag_ms = |n| n * 8 / 3000;
    let facts = encoder.send(30 * 120);
    assert_eq!(facts.drift_ppm, None);
    let facts = encoder.send(30 * 900);
    let ppm = facts.drift_ppm.unwrap();
    assert!(near(ppm, 80.0, 10.0), "{ppm}");
    assert!(facts.lag_seconds < 0.01, "{facts:?}");
}

#[test]
fn a_track_is_missing_when_it_was_promised_and_does_not_come() {
    let mut encoder = Encoder::new();
    encoder.send(30);
    assert_eq!(encoder.facts().audio.presence, Presence::Absent);
    let announce = |audio| Announcement {
        video: Some(true),
        audio,
        encoder: Some("obs-output module".to_owned()),
        ..Announcement::default()
    };
    encoder.observer.handle_announcement(&announce(Some(false)));
    assert_eq!(encoder.facts().audio.presence, Presence::Denied);
    encoder.observer.handle_announcement(&announce(Some(true)));
    assert_eq!(encoder.facts().audio.presence, Presence::Absent, "so far");
    let facts = encoder.send(61);
    assert_eq!(facts.audio.presence, Presence::Missing(3.0));
    assert_eq!(facts.encoder.as_deref(), Some("obs-output module"));

    encoder.observer.handle_track(&audio_track());
    encoder.observer.handle_unit(encoder.now(), &sound(3_000));
    let facts = encoder.facts();
    assert_eq!(facts.audio.presence, Presence::Present);
    assert_eq!(facts.audio.track, Some(audio_track()));
    let facts = encoder.send(90);
    assert_eq!(facts.audio.presence, Presence::Missing(3.0), "lost");
    assert_eq!(facts.video.presence, Presence::Present);
}

#[test]
fn sound_alone_tells_the_lag() {
    let mut observer = Observer::default();
    observer.handle_track(&audio_track());
    for n in 0..500 {
        let lag = if n < 400 { 0 } else { 700 };
        observer.handle_unit(millis(5_000 + n * 20 + lag), &sound(n * 20));
    }
    let facts = observer.facts(millis(5_000 + 499 * 20 + 700));
    assert!(near(facts.lag_seconds, 0.7, 0.01), "{facts:?}");
    assert_eq!(facts.frame_rate, 0.0);
}
