//! The rules of the doctor: each looks at the facts and says its sentence, or nothing.

use super::{Finding, Recent, Severity, Surroundings, line};
use crate::hub::observer::{Facts, Presence};
use crate::media::CodecConfig;

/// A publisher is watched for this long before it is said that a track is not there, seconds.
const SETTLED: f64 = 3.0;
/// A key interval may pass the segment target by this, and vary by it, seconds: rounding, and a frame.
const KEY_SLACK: f64 = 0.1;
/// A lag that stands this long says that the line carries too little, seconds.
const STANDING_LAG: f64 = 1.0;
/// A smaller one does when it grows: seconds, and seconds per second.
const GROWING_LAG: (f64, f64) = (0.4, 0.03);
/// What the bit rate should be of what the line carries.
const HEADROOM: f64 = 0.75;
/// A clock that is off by more than a usual crystal, parts per million.
const DRIFT_PPM: f64 = 100.0;
/// Pauses within a minute that are worth a sentence.
const STALLS: u64 = 2;
/// Intra pictures in a row that are no key units before the GOP is called open.
const OPEN_PICTURES: u32 = 2;

pub(super) struct Case<'a> {
    pub(super) facts: &'a Facts,
    pub(super) around: &'a Surroundings,
    pub(super) recent: &'a Recent,
}

/// How bad it is, what was found, and what to do.
pub(super) type Said = Option<(Severity, String, String)>;

/// The finding's code, and what looks for it.
type Rule = (&'static str, fn(&Case<'_>) -> Said);

const RULES: [Rule; 20] = [
    ("silent", silent),
    ("srt-encryption", line::encryption),
    ("unsteady", unsteady),
    ("srt-latency", line::latency),
    ("srt-latency-short", line::short_latency),
    ("srt-loss", line::loss),
    ("bit-rate", bit_rate),
    ("key-interval", key_interval),
    ("key-interval-variable", key_interval_variable),
    ("open-gop", open_gop),
    ("b-frames", b_frames),
    ("variable-frame-rate", variable_frame_rate),
    ("sample-rate", sample_rate),
    ("audio-missing", audio_missing),
    ("video-missing", video_missing),
    ("clock-drift", clock_drift),
    ("mended", mended),
    ("interlaced", interlaced),
    ("profile", profile),
    ("codec", codec),
];

/// How many of them hold for a silent publisher: nothing is known of its media.
const RULES_IN_SILENCE: usize = 2;

/// Everything that is so.
pub(super) fn apply(facts: &Facts, around: &Surroundings, recent: &Recent) -> Vec<Finding> {
    let case = Case {
        facts,
        around,
        recent,
    };
    let known = if is_silent(facts, around) {
        &RULES[..RULES_IN_SILENCE]
    } else {
        &RULES[..]
    };
    let said = |(code, rule): &Rule| {
        let (severity, text, remedy) = rule(&case)?;
        Some(Finding {
            code,
            severity,
            text,
            remedy,
        })
    };
    known.iter().filter_map(said).collect()
}

pub(super) fn is_silent(facts: &Facts, around: &Surroundings) -> bool {
    facts.quiet_seconds > around.silence.as_secs_f64()
}

pub(super) fn say(severity: Severity, text: String, remedy: &str) -> Said {
    Some((severity, text, remedy.to_owned()))
}

fn silent(case: &Case<'_>) -> Said {
    if !is_silent(case.facts, case.around) {
        return None;
    }
    let quiet = case.facts.quiet_seconds;
    say(
        Severity::Error,
        format!("The encoder is connected but has sent nothing for {quiet:.1} s."),
        "See whether Docks > Stats shows a bit rate; otherwise stop and start the stream. Settings > \
         Advanced > Automatically Reconnect: on",
    )
}

fn unsteady(case: &Case<'_>) -> Said {
    let recent = case.recent;
    if recent.stalls < STALLS {
        return None;
    }
    say(
        Severity::Warning,
        format!(
            "The stream paused {} times within the last minute, {:.1} s in all.",
            recent.stalls, recent.stall_seconds
        ),
        "Use a cable in place of Wi-Fi. Settings > Advanced > Network > Dynamically change bitrate to \
         manage congestion: on",
    )
}

fn bit_rate(case: &Case<'_>) -> Said {
    let facts = case.facts;
    let (lag, trend) = (facts.standing_lag_seconds, facts.lag_trend);
    let grows = trend > GROWING_LAG.1;
    if lag <= STANDING_LAG && !(grows && lag > GROWING_LAG.0) {
        return None;
    }
    let growing = if grows {
        format!(", and each second {trend:.2} s later")
    } else {
        String::new()
    };
    let advised = (facts.bitrate_bps * HEADROOM / 100_000.0).round() * 100.0;
    say(
        Severity::Error,
        format!(
            "The stream comes {lag:.1} s late{growing}: its bit rate is above what the line carries, \
             which is {:.1} Mbit/s now.",
            facts.bitrate_bps / 1e6
        ),
        &format!("Settings > Output > Streaming > Bitrate: {advised:.0} Kbps or less"),
    )
}

fn key_remedy(case: &Case<'_>) -> String {
    let target = case.around.segment_target.as_secs_f64();
    format!("Settings > Output > Streaming > Keyframe Interval: {target:.0} s")
}

fn key_interval(case: &Case<'_>) -> Said {
    let target = case.around.segment_target.as_secs_f64();
    let limit = case.around.longest_segment.as_secs_f64();
    let longest = case.facts.keys.longest_seconds;
    // Beside a ladder the source is offered as long as its segments are not too long for the playlists.
    let fits = if case.around.ladder { limit } else { target };
    if longest <= fits + KEY_SLACK || is_open(case) {
        return None;
    }
    let (severity, effect) = if case.around.ladder {
        let effect = "so the source cannot be offered as it is and is encoded once more";
        (Severity::Warning, effect.to_owned())
    } else if longest <= limit {
        let effect = "so viewers start more slowly and are further behind";
        (Severity::Warning, effect.to_owned())
    } else {
        let effect = format!("so segments of {limit:.0} s begin without one and some players fail");
        (Severity::Error, effect)
    };
    say(
        severity,
        format!(
            "Key pictures are up to {longest:.1} s apart where {target:.1} s are wanted, {effect}."
        ),
        &key_remedy(case),
    )
}

fn key_interval_variable(case: &Case<'_>) -> Said {
    let target = case.around.segment_target.as_secs_f64();
    let keys = case.facts.keys;
    let (shortest, longest) = (keys.shortest_seconds, keys.longest_seconds);
    let varies = shortest > 0.0 && longest - shortest > KEY_SLACK;
    if !varies || longest > target + KEY_SLACK {
        return None;
    }
    say(
        Severity::Info,
        format!(
            "The distance of key pictures varies between {shortest:.1} and {longest:.1} s, so segments \
             are of unequal length."
        ),
        &format!(
            "{}, and with x264 Settings > Output > Streaming > x264 Options: scenecut=0",
            key_remedy(case)
        ),
    )
}

fn is_open(case: &Case<'_>) -> bool {
    case.facts.keys.open_intra >= OPEN_PICTURES
}

fn open_gop(case: &Case<'_>) -> Said {
    let keys = case.facts.keys;
    if !is_open(case) {
        return None;
    }
    say(
        Severity::Error,
        format!(
            "The last {} intra pictures are no IDR pictures (open GOP), and none came for {:.1} s: \
             viewers can begin at IDR pictures only.",
            keys.open_intra, keys.longest_seconds
        ),
        &format!(
            "{}, and with x264 Settings > Output > Streaming > x264 Options: open-gop=0",
            key_remedy(case)
        ),
    )
}

fn b_frames(case: &Case<'_>) -> Said {
    let count = case.facts.b_frames;
    if count == 0 || !case.around.webrtc {
        return None;
    }
    say(
        Severity::Info,
        format!(
            "The video has up to {count} B-frames in a row, which WebRTC does not carry: it is encoded \
             once more for rooms, which costs processor time and some of the picture."
        ),
        "Settings > Output > Streaming > Max B-frames: 0 (x264: x264 Options: bframes=0)",
    )
}

fn variable_frame_rate(case: &Case<'_>) -> Said {
    let (slowest, fastest) = case.facts.variable_rate?;
    say(
        Severity::Warning,
        format!(
            "The frame rate is not constant, it varies between {slowest:.0} and {fastest:.0} pictures \
             per second: motion is uneven."
        ),
        "Settings > Video > Common FPS Values: 30 or 60 (ffmpeg: -fps_mode cfr)",
    )
}

fn sample_rate(case: &Case<'_>) -> Said {
    let track = case.facts.audio.track.as_ref()?;
    let rate = track.sample_rate().filter(|rate| *rate != 48_000)?;
    say(
        Severity::Info,
        format!(
            "The sound has {} kHz; WebRTC and most devices work with 48 kHz and resample it.",
            f64::from(rate) / 1000.0
        ),
        "Settings > Audio > General > Sample Rate: 48 kHz",
    )
}

fn audio_missing(case: &Case<'_>) -> Said {
    let watched = case.facts.watched_seconds;
    let (severity, text) = match case.facts.audio.presence {
        Presence::Missing(seconds) => {
            let text = format!("The promised sound has not come for {seconds:.1} s.");
            (Severity::Error, text)
        }
        Presence::Absent | Presence::Denied if watched >= SETTLED => {
            let text = format!("There was no sound since the beginning, {watched:.0} s ago.");
            (Severity::Info, text)
        }
        _ => return None,
    };
    say(
        severity,
        text,
        "Settings > Output > Streaming > Audio Track: one that the mixer feeds, and Settings > Audio > \
         Global Audio Devices",
    )
}

fn video_missing(case: &Case<'_>) -> Said {
    let Presence::Missing(seconds) = case.facts.video.presence else {
        return None;
    };
    say(
        Severity::Error,
        format!("The promised pictures have not come for {seconds:.1} s."),
        "See whether Docks > Stats counts frames. Settings > Output > Streaming > Video Encoder: x264, \
         if a hardware encoder hangs",
    )
}

fn clock_drift(case: &Case<'_>) -> Said {
    let ppm = case.facts.drift_ppm.filter(|ppm| ppm.abs() > DRIFT_PPM)?;
    let way = if ppm > 0.0 { "slow" } else { "fast" };
    let daily = ppm.abs() * 86_400.0 / 1e6;
    say(
        Severity::Info,
        format!(
            "The encoder's clock runs {:.0} ppm too {way}, {daily:.1} s a day; that is taken out little \
             by little.",
            ppm.abs()
        ),
        "Keep the machine's clock in step (NTP), and let all devices run at one rate: Settings > Audio \
         > General > Sample Rate: 48 kHz",
    )
}

fn mended(case: &Case<'_>) -> Said {
    let repairs = case.recent.repairs;
    // Silence in place of a track that does not come at all is told as that.
    let silent_frames = match case.facts.audio.presence {
        Presence::Present => repairs.silent_frames,
        Presence::Absent | Presence::Denied | Presence::Missing(_) => 0,
    };
    let counts = [
        ("jumps of its times", repairs.time_jumps),
        ("overlapping audio frames", repairs.overlapping_frames),
        ("missing audio frames", silent_frames),
        ("units that fit nowhere", repairs.dropped_units),
    ];
    let counts = counts.iter().filter(|(_, count)| *count > 0);
    let counts: Vec<String> = counts
        .map(|(what, count)| format!("{what}: {count}"))
        .collect();
    if counts.is_empty() || !case.around.on_air {
        return None;
    }
    say(
        Severity::Warning,
        format!(
            "The stream had to be mended within the last minute ({}).",
            counts.join(", ")
        ),
        "Docks > Stats should count no missed or skipped frames. Otherwise give the encoder less to \
         do: Settings > Video > Output (Scaled) Resolution",
    )
}

fn interlaced(case: &Case<'_>) -> Said {
    let track = case.facts.video.track.as_ref()?;
    let CodecConfig::Avc(config) = &track.config else {
        return None;
    };
    if !config.interlaced {
        return None;
    }
    say(
        Severity::Warning,
        format!(
            "The pictures ({} x {}) may be coded as fields (interlaced), in which browsers show combs.",
            config.width, config.height
        ),
        "Sources > the capture device > Deinterlacing: Yadif 2x (ffmpeg: -vf yadif)",
    )
}

fn profile(case: &Case<'_>) -> Said {
    let track = case.facts.video.track.as_ref()?;
    if track.has_common_samples() {
        return None;
    }
    let (bits, chroma) = track.samples();
    let chroma = chroma.unwrap_or("4:2:0");
    let effect = if case.around.ladder {
        "so they have the ladder's renditions only"
    } else {
        "and no ladder is made for them"
    };
    say(
        Severity::Warning,
        format!(
            "The video has {bits} bits per sample and {chroma} colour ({}), which browsers do not play, \
             {effect}.",
            track.codec_string()
        ),
        "Settings > Advanced > Video > Color Format: NV12 (8-bit, 4:2:0, 2 planes), and Settings > \
         Output > Streaming > Profile: high",
    )
}

fn codec(case: &Case<'_>) -> Said {
    let track = case.facts.video.track.as_ref()?;
    let name = match &track.config {
        CodecConfig::Hevc(_) => "HEVC",
        CodecConfig::Av1(_) => "AV1",
        _ => return None,
    };
    if case.around.ladder {
        return None;
    }
    say(
        Severity::Warning,
        format!(
            "The video is {name} ({}) and no ladder is made: devices that cannot decode it have nothing \
             to play.",
            track.codec_string()
        ),
        "Settings > Output > Streaming > Video Encoder: an H.264 one, or publish with the capability \
         multi-bitrate",
    )
}
