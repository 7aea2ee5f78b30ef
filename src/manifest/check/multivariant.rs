//! Rules of a multivariant playlist and of the media playlists below it, taken together.

use super::{Findings, Violation};
use crate::manifest::parse::{Attributes, Media, Multivariant};

/// Audio begins with its first frame at or after the boundary: one frame of AAC at 22.05 kHz.
const AUDIO_START_S: f64 = 0.0475;

/// Media playlists read one after another may differ by this many segments at their ends.
const REPORT_SEGMENTS: u64 = 2;

/// Bit rate of the variant that should stand first.
const DEFAULT_VARIANT_BPS: u64 = 2_000_000;

/// Checks a multivariant playlist with the media playlists that its URIs name, read at about the same
/// time. Rules M1-M5, D2, L9.
pub fn check_multivariant(text: &str, media: &[(&str, &str)]) -> Vec<Violation> {
    let playlist = match Multivariant::parse(text) {
        Ok(playlist) => playlist,
        Err(error) => return Findings::unreadable(&error),
    };
    let mut found = Findings::default();
    for (inf, uri) in &playlist.variants {
        check_variant(&playlist, inf, uri, &mut found);
    }
    for group in &playlist.media {
        let complete = group.get("LANGUAGE").is_some() && group.get("NAME").is_some();
        found.rule("M2", complete || group.get("TYPE") == Some("VIDEO"), || {
            format!(
                "EXT-X-MEDIA without LANGUAGE or NAME: {:?}",
                group.get("URI")
            )
        });
    }
    check_order(&playlist, &mut found);
    let parsed = parse(media, &mut found);
    let independent = playlist.independent_segments
        || !parsed.is_empty() && parsed.iter().all(|(_, media)| media.independent_segments);
    found.rule("M3", independent, || {
        "no EXT-X-INDEPENDENT-SEGMENTS".to_owned()
    });
    check_all(&parsed, &mut found);
    found.0
}

/// Checks that the media playlists of one stream, read at about the same time, agree with each other:
/// each segment number has the same date and discontinuities in all of them, gaps included. Each comes
/// with its URI as the reports in the others name it. Rules M4, D2, L9.
pub fn check_renditions(media: &[(&str, &str)]) -> Vec<Violation> {
    let mut found = Findings::default();
    let parsed = parse(media, &mut found);
    check_all(&parsed, &mut found);
    found.0
}

fn parse<'a>(media: &[(&'a str, &str)], found: &mut Findings) -> Vec<(&'a str, Media)> {
    let mut parsed = Vec::new();
    for (uri, text) in media {
        match Media::parse(text) {
            Ok(media) => parsed.push((*uri, media)),
            Err(error) => found.rule("syntax", false, || format!("{uri}: {error}")),
        }
    }
    parsed
}

fn check_all(parsed: &[(&str, Media)], found: &mut Findings) {
    for (at, (uri, one)) in parsed.iter().enumerate() {
        if let Some((other_uri, other)) = parsed.get(at + 1) {
            check_pair(&format!("{uri} and {other_uri}"), one, other, found);
        }
        for (other_uri, other) in parsed.iter().filter(|(other, _)| other != uri) {
            check_report(uri, one, other_uri, other, found);
        }
    }
}

fn check_variant(playlist: &Multivariant, inf: &Attributes, uri: &str, found: &mut Findings) {
    let codecs = inf.get("CODECS").unwrap_or_default();
    let named = !codecs.is_empty() && codecs.split(',').all(|codec| !codec.is_empty());
    found.rule("M1", named, || format!("{uri}: CODECS {codecs:?}"));
    let is_video = |codec: &str| {
        ["avc", "hvc", "hev", "av01"]
            .iter()
            .any(|prefix| codec.starts_with(prefix))
    };
    let video = codecs.split(',').any(is_video);
    if video {
        for name in ["RESOLUTION", "FRAME-RATE"] {
            found.rule("M1", inf.get(name).is_some(), || {
                format!("{uri}: no {name}")
            });
        }
    }
    let peak = inf.number::<u64>("BANDWIDTH");
    let average = inf.number::<u64>("AVERAGE-BANDWIDTH");
    found.rule("M1", average.is_some() && peak >= average, || {
        format!("{uri}: BANDWIDTH {peak:?}, AVERAGE-BANDWIDTH {average:?}")
    });
    if let Some(group) = inf.get("AUDIO") {
        let exists = playlist
            .media
            .iter()
            .any(|media| media.get("GROUP-ID") == Some(group));
        found.rule("M2", exists, || format!("{uri}: no audio group {group:?}"));
        let audio = codecs.split(',').any(|codec| !is_video(codec));
        found.rule("M1", audio, || {
            format!("{uri}: no audio codec in {codecs:?}")
        });
    }
}

fn check_order(playlist: &Multivariant, found: &mut Findings) {
    let rates: Vec<u64> = playlist
        .variants
        .iter()
        .filter(|(inf, _)| inf.get("RESOLUTION").is_some())
        .filter_map(|(inf, _)| inf.number("AVERAGE-BANDWIDTH"))
        .collect();
    let best = rates
        .iter()
        .map(|rate| rate.abs_diff(DEFAULT_VARIANT_BPS))
        .min();
    let first = rates.first().map(|rate| rate.abs_diff(DEFAULT_VARIANT_BPS));
    found.rule("M5", first == best, || {
        format!("averages {rates:?}: the first is not the one nearest to 2 Mbit/s")
    });
}

/// Two media playlists of one stream, which may have been read at slightly different times.
fn check_pair(names: &str, one: &Media, other: &Media, found: &mut Findings) {
    found.rule("M4", one.target_duration == other.target_duration, || {
        format!("{names}: target durations differ")
    });
    let control =
        one.server_control == other.server_control && one.part_target == other.part_target;
    found.rule("M4", control, || {
        format!("{names}: SERVER-CONTROL or PART-TARGET differ")
    });
    let mut discontinuities = one.discontinuity_sequence.unwrap_or(0);
    for (number, segment) in one.numbered() {
        discontinuities += u64::from(segment.discontinuity);
        let mut theirs = other.discontinuity_sequence.unwrap_or(0);
        let twin = other.numbered().find(|(at, segment)| {
            theirs += u64::from(segment.discontinuity);
            *at == number
        });
        let Some((_, twin)) = twin else { continue };
        found.rule("D2", segment.discontinuity == twin.discontinuity, || {
            format!("{names}: discontinuity at {number} in one only")
        });
        found.rule("M4", discontinuities == theirs, || {
            format!("{names}: discontinuity number {discontinuities} and {theirs} at {number}")
        });
        let consistent = match (segment.date, twin.date) {
            (Some(a), Some(b)) => (a.micros_since(b) as f64 / 1e6).abs() <= AUDIO_START_S,
            (a, b) => a.is_some() == b.is_some(),
        };
        found.rule("M4", consistent, || {
            format!(
                "{names}: dates of {number}: {:?} and {:?}",
                segment.date, twin.date
            )
        });
    }
}

/// The report on another playlist must be there and tell about how far that one is.
fn check_report(uri: &str, one: &Media, other_uri: &str, other: &Media, found: &mut Findings) {
    if one.part_target.is_none() {
        return;
    }
    let report = one.reports.iter().find(|report| {
        report
            .get("URI")
            .is_some_and(|uri| uri.ends_with(other_uri))
    });
    let last = other
        .first_sequence()
        .saturating_add((other.segments.len() as u64).saturating_sub(1));
    let told = report.and_then(|report| report.number::<u64>("LAST-MSN"));
    let right = told.is_some_and(|told| told.abs_diff(last) <= REPORT_SEGMENTS);
    found.rule("L9", right, || {
        format!("{uri} reports {told:?} of {other_uri}, whose last is {last}")
    });
}
