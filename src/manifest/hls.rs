//! HLS playlists. The multivariant one is rare and written by `m3u8-rs`; the media playlist is made
//! anew for every part of every rendition, and so is written straight into one string.
//!
//! RFC 8216bis (draft-pantos-hls-rfc8216bis) is meant by every section number below.

use std::sync::Arc;

use m3u8_rs::{AlternativeMedia, AlternativeMediaType, MasterPlaylist, Resolution, VariantStream};

use super::text::{
    push_date, push_seconds, push_short_seconds, push_u64, ten_micros, ten_micros_up,
};
use crate::media::time::{Ticks, Timescale};
use crate::media::timeline::{Description, Rules, Segment, Snapshot};
use crate::media::{Rendition, Track};

/// Group of the shared audio rendition.
const AUDIO_GROUP: &str = "audio";

/// Mean bit rate of the variant that stands first and with which players begin (APL 1.32).
const DEFAULT_VARIANT_BPS: u64 = 2_000_000;

/// Audio renditions that are offered as variants of their own beside the video: for listeners, and
/// for links too thin for any picture (APL 9.21).
const AUDIO_ONLY_NAMES: [&str; 2] = ["ahi", "alo"];

/// Delta updates are offered for windows longer than this, seconds (APL 14.4).
const DELTA_WINDOW_S: u64 = 120;

/// Parts are listed for segments that begin within this many target durations of the end. Counted
/// from the segment's beginning, so that no listed part is older (§6.2.2; strict parsers refuse).
const PART_TARGET_DURATIONS: u64 = 3;

/// A request for a delta update: the value of `_HLS_skip`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skip {
    /// `YES`: older segments.
    Yes,
    /// `v2`: older segments and date ranges. There are no date ranges here, so it is the same.
    V2,
}

/// The multivariant playlist. `uri_suffix` is appended to every URI, such as a query string; it must
/// not contain `"` or line ends. Variants are best first, except that the one nearest to the default
/// bit rate leads.
pub fn multivariant(description: &Description, uri_suffix: &str) -> String {
    let uri = |rendition: &Rendition| format!("{}/index.m3u8{uri_suffix}", rendition.name);
    let stays = |rendition: &&Arc<Rendition>| !description.leaving.contains(&rendition.id);
    let video: Vec<_> = description.video.iter().filter(stays).collect();
    let audio: Vec<_> = description.audio.iter().filter(stays).collect();
    let mut playlist = MasterPlaylist {
        // EXT-X-MAP in the media playlists needs 6 (§8); players expect no less here.
        version: Some(6),
        independent_segments: description.rules.independent_segments,
        ..MasterPlaylist::default()
    };
    let shared = audio.first().filter(|_| !video.is_empty());
    if let Some(audio) = shared {
        playlist.alternatives.push(AlternativeMedia {
            media_type: AlternativeMediaType::Audio,
            uri: Some(uri(audio)),
            group_id: AUDIO_GROUP.to_owned(),
            language: Some("und".to_owned()),
            name: "Audio".to_owned(),
            default: true,
            autoselect: true,
            channels: audio.track.channels().map(|channels| channels.to_string()),
            ..AlternativeMedia::default()
        });
    }
    for video in &video {
        playlist.variants.push(VariantStream {
            audio: shared.map(|_| AUDIO_GROUP.to_owned()),
            ..variant(video, shared.map(|audio| &***audio), uri(video))
        });
    }
    let distance = |variant: &VariantStream| {
        let average = variant.average_bandwidth.unwrap_or(variant.bandwidth);
        average.abs_diff(DEFAULT_VARIANT_BPS)
    };
    let first = (0..playlist.variants.len()).min_by_key(|at| distance(&playlist.variants[*at]));
    if let Some(first) = first {
        playlist.variants[..=first].rotate_right(1);
    }
    for audio in &audio {
        if shared.is_none() || AUDIO_ONLY_NAMES.contains(&&*audio.name) {
            playlist.variants.push(variant(audio, None, uri(audio)));
        }
    }
    let mut out = Vec::with_capacity(1024);
    playlist
        .write_to(&mut out)
        .expect("writing to memory does not fail");
    String::from_utf8(out).expect("a playlist made of strings is UTF-8")
}

/// A variant of one rendition and, with it, the audio it is played with.
fn variant(rendition: &Rendition, audio: Option<&Rendition>, uri: String) -> VariantStream {
    let sum = |of: fn(&Rendition) -> u32| {
        u64::from(of(rendition)) + audio.map_or(0, |audio| u64::from(of(audio)))
    };
    let codecs: Vec<String> = [Some(rendition), audio]
        .into_iter()
        .flatten()
        .map(|rendition| rendition.track.codec_string())
        .collect();
    VariantStream {
        uri,
        bandwidth: sum(|rendition| rendition.peak_bps),
        average_bandwidth: Some(sum(|rendition| rendition.average_bps)),
        codecs: Some(codecs.join(",")),
        resolution: rendition
            .track
            .resolution()
            .map(|(width, height)| Resolution {
                width: u64::from(width),
                height: u64::from(height),
            }),
        frame_rate: frame_rate_millis(rendition, &rendition.track)
            .map(|millis| f64::from(millis) / 1000.0),
        ..VariantStream::default()
    }
}

/// Frames per second x 1000 as measured, else as the codec configuration says.
pub(crate) fn frame_rate_millis(rendition: &Rendition, track: &Track) -> Option<u32> {
    Some(rendition.frame_rate_millis)
        .filter(|millis| *millis > 0)
        .or_else(|| track.frame_rate_millis())
}

/// Whether delta updates are offered under these rules.
pub fn offers_delta(rules: &Rules) -> bool {
    rules.window.as_secs() > DELTA_WINDOW_S && !rules.is_recording()
}

/// The media playlist of one rendition; a delta update when one is asked for, offered, and leaves
/// something out.
pub fn media(snapshot: &Snapshot, skip: Option<Skip>) -> String {
    let segments = listed(snapshot);
    let skipped = match skip {
        Some(Skip::Yes | Skip::V2) if offers_delta(&snapshot.rules) => skippable(snapshot),
        _ => 0,
    };
    // Header and reports, then a segment's three to four lines, then a part's one.
    let mut out = String::with_capacity(1024 + 160 * segments.len());
    push_header(&mut out, snapshot);
    if skipped > 0 {
        out.push_str("#EXT-X-SKIP:SKIPPED-SEGMENTS=");
        push_u64(&mut out, skipped as u64);
        out.push('\n');
    }
    let edge = match snapshot.rules.is_recording() {
        true => Ticks(i64::MAX),
        false => parts_from(snapshot),
    };
    let part_target = Ticks::from_duration(snapshot.rules.part_target, snapshot.timescale());
    let mut init = skipped.checked_sub(1).map(|last| &*segments[last].init);
    for segment in &segments[skipped..] {
        if segment.discontinuity {
            out.push_str("#EXT-X-DISCONTINUITY\n");
        }
        if init.is_none_or(|init| init.name != segment.init.name) {
            out.push_str("#EXT-X-MAP:URI=\"");
            out.push_str(&segment.init.name);
            out.push_str("\"\n");
            init = Some(&segment.init);
        }
        push_segment(
            &mut out,
            segment,
            snapshot.timescale(),
            segment.start >= edge,
            part_target,
        );
    }
    push_tail(&mut out, snapshot);
    out
}

/// The segments to list: a growing one only when it has a part, because tags that belong to no
/// segment and no part would be taken for the next one's.
fn listed(snapshot: &Snapshot) -> &[std::sync::Arc<Segment>] {
    match snapshot.segments.split_last() {
        Some((last, older)) if !last.complete && last.parts.is_empty() => older,
        _ => &snapshot.segments,
    }
}

fn push_header(out: &mut String, snapshot: &Snapshot) {
    let rules = &snapshot.rules;
    // EXT-X-MAP needs version 6, EXT-X-SKIP 9 (§8). A playlist that offers delta updates says 9 in
    // its full form too, so that merging one in changes no tag.
    out.push_str(if offers_delta(rules) {
        "#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-TARGETDURATION:"
    } else {
        "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:"
    });
    push_u64(out, u64::from(rules.target_duration_s));
    if rules.is_recording() {
        out.push_str("\n#EXT-X-PLAYLIST-TYPE:VOD");
    } else {
        push_delivery(out, rules);
    }
    let (sequence, discontinuities) = snapshot.segments.first().map_or((0, 0), |first| {
        let own = u64::from(first.discontinuity);
        (
            first.sequence,
            first.discontinuity_sequence.saturating_sub(own),
        )
    });
    out.push_str("\n#EXT-X-MEDIA-SEQUENCE:");
    push_u64(out, sequence);
    out.push_str("\n#EXT-X-DISCONTINUITY-SEQUENCE:");
    push_u64(out, discontinuities);
    out.push('\n');
    if rules.independent_segments {
        out.push_str("#EXT-X-INDEPENDENT-SEGMENTS\n");
    }
}

/// How a live playlist is delivered, and in which parts.
fn push_delivery(out: &mut String, rules: &Rules) {
    let part_target = ten_micros_up(rules.part_target);
    out.push_str("\n#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=");
    // Rounding must not take the hold-backs below three times the rounded targets (APL 14.3).
    push_short_seconds(
        out,
        ten_micros_up(rules.part_hold_back).max(3 * part_target),
    );
    out.push_str(",HOLD-BACK=");
    push_short_seconds(out, ten_micros_up(rules.hold_back));
    if offers_delta(rules) {
        out.push_str(",CAN-SKIP-UNTIL=");
        push_short_seconds(out, ten_micros_up(rules.can_skip_until));
    }
    out.push_str("\n#EXT-X-PART-INF:PART-TARGET=");
    push_short_seconds(out, part_target);
}

fn push_segment(
    out: &mut String,
    segment: &Segment,
    scale: Timescale,
    with_parts: bool,
    part_target: Ticks,
) {
    out.push_str("#EXT-X-PROGRAM-DATE-TIME:");
    push_date(out, segment.program_date_time);
    out.push('\n');
    if with_parts && segment.gap {
        push_gap_parts(out, segment, scale, part_target);
    } else if with_parts || !segment.complete {
        for part in &segment.parts {
            out.push_str("#EXT-X-PART:DURATION=");
            push_seconds(out, ten_micros(part.duration, scale));
            out.push_str(",URI=\"p");
            push_u64(out, part.number);
            out.push_str(".m4s\"");
            if part.independent {
                out.push_str(",INDEPENDENT=YES");
            }
            if part.bytes.is_empty() {
                out.push_str(",GAP=YES");
            }
            out.push('\n');
        }
    }
    if segment.complete {
        if segment.gap {
            out.push_str("#EXT-X-GAP\n");
        }
        out.push_str("#EXTINF:");
        push_seconds(out, ten_micros(segment.duration, scale));
        out.push_str(",\n");
        push_u64(out, segment.sequence);
        out.push_str(".m4s\n");
    }
}

/// The parts of a gap, which nobody is to load (§4.4.4.9). hls.js 1.7 needs them: it would take the
/// first part behind the gap for the one that follows its last, and never learn that there is a gap.
/// Their names are no part's, because the hinted part comes behind them.
fn push_gap_parts(out: &mut String, segment: &Segment, scale: Timescale, part_target: Ticks) {
    let mut at = Ticks::ZERO;
    while at < segment.duration {
        let duration = part_target.min(segment.duration - at);
        out.push_str("#EXT-X-PART:DURATION=");
        push_seconds(out, ten_micros(duration, scale));
        out.push_str(",URI=\"gap");
        push_u64(out, segment.sequence);
        out.push_str(".m4s\",GAP=YES\n");
        at += duration;
    }
}

fn push_tail(out: &mut String, snapshot: &Snapshot) {
    if !snapshot.ended && !snapshot.stopped {
        out.push_str("#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"p");
        push_u64(out, snapshot.next_part);
        out.push_str(".m4s\"\n");
    }
    for report in &snapshot.reports {
        out.push_str("#EXT-X-RENDITION-REPORT:URI=\"../");
        out.push_str(&report.name);
        out.push_str("/index.m3u8\",LAST-MSN=");
        push_u64(out, report.last_sequence);
        if let Some(part) = report.last_part {
            out.push_str(",LAST-PART=");
            push_u64(out, u64::from(part));
        }
        out.push('\n');
    }
    if snapshot.ended {
        out.push_str("#EXT-X-ENDLIST\n");
    }
}

/// End of the last listed segment or part.
fn end(snapshot: &Snapshot) -> Ticks {
    listed(snapshot)
        .last()
        .map_or(Ticks::ZERO, |last| last.start + last.duration)
}

/// Parts are listed of segments that start here or later.
fn parts_from(snapshot: &Snapshot) -> Ticks {
    let seconds = PART_TARGET_DURATIONS * u64::from(snapshot.rules.target_duration_s);
    let span = seconds * u64::from(snapshot.timescale().get());
    end(snapshot) - Ticks(i64::try_from(span).unwrap_or(i64::MAX))
}

/// How many segments lie wholly before the skip boundary (§4.4.3.8).
fn skippable(snapshot: &Snapshot) -> usize {
    let boundary = Ticks::from_duration(snapshot.rules.can_skip_until, snapshot.timescale());
    let from = end(snapshot) - boundary;
    listed(snapshot)
        .iter()
        .take_while(|segment| segment.complete && segment.start + segment.duration <= from)
        .count()
}

#[cfg(test)]
mod tests;
