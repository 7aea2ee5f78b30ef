use super::*;
use crate::hub::observer::{Keys, Lane, Presence};
use crate::media::codec::testing::data;
use crate::media::codec::{aac, av1, avc, hevc};
use crate::media::{CodecConfig, Timescale, Track};

fn track(file: &str) -> Option<Track> {
    let record = data(file);
    let config = match file.rsplit_once('.').unwrap().1 {
        "avcc" => CodecConfig::Avc(avc::Config::parse(record).unwrap()),
        "hvcc" => CodecConfig::Hevc(hevc::Config::parse(record).unwrap()),
        "av1c" => CodecConfig::Av1(av1::Config::parse(record).unwrap()),
        _ => CodecConfig::Aac(aac::Config::parse(record).unwrap()),
    };
    let timescale = Timescale::MILLIS;
    Some(Track { config, timescale })
}

fn lane(file: &str) -> Lane {
    Lane {
        presence: Presence::Present,
        track: track(file),
    }
}

/// An encoder with nothing wrong.
fn good() -> Facts {
    Facts {
        watched_seconds: 60.0,
        bitrate_bps: 4_000_000.0,
        frame_rate: 30.0,
        keys: keys(2.0, 2.0),
        video: lane("avc_crop.avcc"),
        audio: lane("aac_2.asc"),
        ..Facts::default()
    }
}

fn keys(shortest_seconds: f64, longest_seconds: f64) -> Keys {
    Keys {
        last_seconds: Some(longest_seconds),
        shortest_seconds,
        longest_seconds,
        open_intra: 0,
    }
}

fn around() -> Surroundings {
    Surroundings {
        on_air: true,
        segment_target: Duration::from_secs(2),
        longest_segment: Duration::from_secs(10),
        silence: Duration::from_secs(1),
        ..Surroundings::default()
    }
}

fn apply(facts: &Facts, around: &Surroundings) -> Vec<Finding> {
    rules::apply(facts, around, &Recent::default())
}

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

#[test]
fn a_good_encoder_hears_nothing() {
    assert_eq!(apply(&good(), &around()), []);
}

/// What is changed about a good encoder, and what its one finding must say.
type Row = (
    fn(&mut Facts, &mut Surroundings),
    (&'static str, Severity),
    [&'static str; 3],
);

const KEYS: &str = "Settings > Output > Streaming > Keyframe Interval: 2 s";

#[rustfmt::skip]
const ROWS: [Row; 24] = [
    (|f, _| f.keys = keys(8.3, 8.33), ("key-interval", Severity::Warning), ["up to 8.3 s apart", "further behind", KEYS]),
    (|f, _| f.keys = keys(0.0, 12.0), ("key-interval", Severity::Error), ["12.0 s", "segments of 10 s", KEYS]),
    (|f, a| { f.keys = keys(4.0, 4.0); a.ladder = true; a.longest_segment = Duration::from_secs(3); }, ("key-interval", Severity::Warning), ["4.0 s apart", "encoded once more", KEYS]),
    (|f, _| f.keys = keys(0.5, 2.0), ("key-interval-variable", Severity::Info), ["between 0.5 and 2.0 s", "unequal", "scenecut=0"]),
    (|f, _| { f.keys = keys(0.0, 30.0); f.keys.open_intra = 12; }, ("open-gop", Severity::Error), ["last 12 intra", "30.0 s", "open-gop=0"]),
    (|f, a| { f.b_frames = 2; a.webrtc = true; }, ("b-frames", Severity::Info), ["up to 2 B-frames", "encoded once more for rooms", "Settings > Output > Streaming > Max B-frames: 0"]),
    (|f, _| f.standing_lag_seconds = 1.4, ("bit-rate", Severity::Error), ["1.4 s late:", "4.0 Mbit/s", "Settings > Output > Streaming > Bitrate: 3000 Kbps"]),
    (|f, _| { f.standing_lag_seconds = 0.5; f.lag_trend = 0.08; }, ("bit-rate", Severity::Error), ["0.5 s late", "each second 0.08 s later", "Bitrate: 3000 Kbps"]),
    (|f, _| f.variable_rate = Some((18.2, 47.9)), ("variable-frame-rate", Severity::Warning), ["between 18 and 48", "uneven", "Settings > Video > Common FPS Values"]),
    (|f, _| f.audio = lane("aac_44.asc"), ("sample-rate", Severity::Info), ["44.1 kHz", "48 kHz", "Settings > Audio > General > Sample Rate: 48 kHz"]),
    (|f, _| f.audio.presence = Presence::Missing(4.2), ("audio-missing", Severity::Error), ["4.2 s", "sound", "Settings > Output > Streaming > Audio Track"]),
    (|f, _| f.audio = Lane::default(), ("audio-missing", Severity::Info), ["60 s ago", "no sound", "Settings > Audio > Global Audio Devices"]),
    (|f, _| f.video.presence = Presence::Missing(2.5), ("video-missing", Severity::Error), ["2.5 s", "pictures", "Settings > Output > Streaming > Video Encoder"]),
    (|f, _| f.drift_ppm = Some(150.0), ("clock-drift", Severity::Info), ["150 ppm too slow", "13.0 s a day", "Settings > Audio"]),
    (|f, _| f.drift_ppm = Some(-120.0), ("clock-drift", Severity::Info), ["120 ppm too fast", "10.4 s", "NTP"]),
    (|f, _| f.quiet_seconds = 1.5, ("silent", Severity::Error), ["1.5 s", "nothing", "Settings > Advanced > Automatically Reconnect"]),
    (|f, _| f.video = lane("avc_interlaced.avcc"), ("interlaced", Severity::Warning), ["720 x 576", "fields", "Deinterlacing"]),
    (|f, _| f.video = lane("avc_422.avcc"), ("profile", Severity::Warning), ["10 bits", "4:2:2", "Settings > Advanced > Video > Color Format: NV12"]),
    (|f, a| { f.video = lane("avc_422.avcc"); a.ladder = true; }, ("profile", Severity::Warning), ["avc1.7a", "ladder's renditions only", "Profile: high"]),
    (|f, _| f.video = lane("hevc_main.hvcc"), ("codec", Severity::Warning), ["HEVC (hvc1.1.", "no ladder", "Settings > Output > Streaming > Video Encoder"]),
    (|f, _| f.video = lane("hevc_main10.hvcc"), ("codec", Severity::Warning), ["HEVC (hvc1.2.", "no ladder", "multi-bitrate"]),
    (|f, _| f.video = lane("av1_svt.av1c"), ("codec", Severity::Warning), ["AV1 (av01.0", "no ladder", "multi-bitrate"]),
    (|f, _| f.video = lane("av1_aom10.av1c"), ("codec", Severity::Warning), ["AV1", "no ladder", "multi-bitrate"]),
    (|f, a| { f.keys = keys(8.0, 8.0); a.segment_target = Duration::from_secs(4); }, ("key-interval", Severity::Warning), ["8.0 s", "4.0 s are wanted", "Keyframe Interval: 4 s"]),
];

#[test]
fn each_fault_has_one_sentence_with_its_number_and_where_to_mend_it() {
    for (change, (code, severity), words) in ROWS {
        let (mut facts, mut around) = (good(), around());
        change(&mut facts, &mut around);
        let found = apply(&facts, &around);
        let [finding] = &found[..] else {
            panic!("{code}: {found:?}");
        };
        assert_eq!((finding.code, finding.severity), (code, severity));
        let all = format!("{} {}", finding.text, finding.remedy);
        for word in words {
            assert!(all.contains(word), "{word} is not in: {all}");
        }
    }
}

#[test]
fn what_harms_nobody_is_not_told() {
    let unharmful: [fn(&mut Facts, &mut Surroundings); 7] = [
        |f, _| f.b_frames = 3,
        |f, a| {
            f.video = lane("hevc_main.hvcc");
            a.ladder = true;
        },
        |f, _| f.keys = keys(1.9995, 2.0667),
        |f, _| f.drift_ppm = Some(40.0),
        |f, _| f.standing_lag_seconds = 0.5,
        |f, _| f.quiet_seconds = 0.9,
        |f, _| {
            f.audio = Lane::default();
            f.watched_seconds = 1.0;
        },
    ];
    for change in unharmful {
        let (mut facts, mut around) = (good(), around());
        change(&mut facts, &mut around);
        assert_eq!(apply(&facts, &around), []);
    }
}

#[test]
fn a_finding_is_told_after_three_seconds_and_taken_back_after_ten() {
    let mut doctor = Doctor::default();
    let bad = Facts {
        keys: keys(8.0, 8.0),
        ..good()
    };
    let mut told = Vec::new();
    for tick in 0..80_u32 {
        let at = f64::from(tick) / 4.0;
        // Bad from second 1 to 6, with a good moment within.
        let is_bad = (1.0..6.0).contains(&at) && at != 4.5;
        let facts = if is_bad { &bad } else { &good() };
        for change in doctor.examine(seconds(at), facts, &around()) {
            told.push(match change {
                Change::Appeared(finding) => (at, "appeared", finding.code),
                Change::Gone(finding) => (at, "gone", finding.code),
            });
        }
    }
    assert_eq!(
        told,
        [
            (4.0, "appeared", "key-interval"),
            (15.75, "gone", "key-interval")
        ]
    );
    assert_eq!(doctor.findings(), []);
}

#[test]
fn what_comes_and_goes_within_seconds_is_never_told() {
    let mut doctor = Doctor::default();
    let bad = Facts {
        variable_rate: Some((20.0, 40.0)),
        ..good()
    };
    for tick in 0..200_u32 {
        let facts = if tick % 10 < 8 { &bad } else { &good() };
        let changes = doctor.examine(seconds(f64::from(tick) / 4.0), facts, &around());
        assert_eq!(changes, []);
    }
}

#[test]
fn a_silent_publishers_other_findings_stay_as_they_were_worst_first() {
    let mut doctor = Doctor::default();
    let mut facts = Facts {
        audio: lane("aac_44.asc"),
        ..good()
    };
    let codes = |doctor: &Doctor| -> Vec<&str> {
        let findings = doctor.findings();
        findings.iter().map(|finding| finding.code).collect()
    };
    for second in 0..5_u32 {
        doctor.examine(seconds(f64::from(second)), &facts, &around());
    }
    assert_eq!(codes(&doctor), ["sample-rate"]);
    facts.quiet_seconds = 30.0;
    for second in 5..40_u32 {
        doctor.examine(seconds(f64::from(second)), &facts, &around());
    }
    assert_eq!(codes(&doctor), ["silent", "sample-rate"]);
}

#[test]
fn repairs_and_pauses_are_told_of_for_a_minute() {
    let mut doctor = Doctor::default();
    let mut around = around();
    let mut facts = Facts {
        stalls: 7,
        stall_seconds: 20.0,
        ..good()
    };
    around.repairs.silent_frames = 40;
    for second in 0..10_u32 {
        doctor.examine(seconds(f64::from(second)), &facts, &around);
    }
    assert_eq!(doctor.findings(), [], "what was before says nothing of now");
    around.repairs.silent_frames += 12;
    around.repairs.time_jumps += 1;
    around.repairs.dropped_units += 3;
    around.repairs.overlapping_frames += 2;
    facts.stalls += 3;
    facts.stall_seconds += 4.25;
    for second in 10..15_u32 {
        doctor.examine(seconds(f64::from(second)), &facts, &around);
    }
    let findings = doctor.findings();
    let texts: Vec<&str> = findings.iter().map(|finding| &*finding.text).collect();
    assert_eq!(
        texts,
        [
            "The stream paused 3 times within the last minute, 4.2 s in all.",
            "The stream had to be mended within the last minute (jumps of its times: 1, overlapping \
             audio frames: 2, missing audio frames: 12, units that fit nowhere: 3).",
        ]
    );
    assert!(findings[0].remedy.contains("Settings > Advanced > Network"));
    assert!(findings[1].remedy.contains("Settings > Video > Output"));
    for second in 15..90_u32 {
        doctor.examine(seconds(f64::from(second)), &facts, &around);
    }
    assert_eq!(doctor.findings(), []);
}

#[test]
fn silence_in_place_of_sound_that_never_comes_is_no_repair() {
    let mut doctor = Doctor::default();
    let mut around = around();
    let facts = Facts {
        audio: Lane::default(),
        ..good()
    };
    for second in 0..10_u32 {
        around.repairs.silent_frames += 47;
        doctor.examine(seconds(f64::from(second)), &facts, &around);
    }
    let findings = doctor.findings();
    let codes: Vec<&str> = findings.iter().map(|finding| finding.code).collect();
    assert_eq!(codes, ["audio-missing"]);
}

#[test]
fn repairs_of_the_first_seconds_and_of_another_publisher_are_not_told() {
    let mut doctor = Doctor::default();
    let mut around = around();
    for second in 0..30_u32 {
        let at = f64::from(second);
        around.on_air = !(10..20).contains(&second);
        around.repairs.dropped_units += match second {
            // Up to the first key unit, and while another one was on air.
            1 | 12 | 20 => 7,
            _ => 0,
        };
        let facts = Facts {
            watched_seconds: at,
            ..good()
        };
        assert_eq!(doctor.examine(seconds(at), &facts, &around), []);
    }
}

#[test]
fn the_past_that_is_kept_is_bounded() {
    let mut doctor = Doctor::default();
    for tick in 0..20_000_u32 {
        doctor.examine(seconds(f64::from(tick) / 20.0), &good(), &around());
    }
    assert!(doctor.readings.len() <= 62, "{}", doctor.readings.len());
}
