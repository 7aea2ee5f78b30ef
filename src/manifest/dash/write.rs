//! The text of an MPD. Attributes and elements stand in the order of the schema (ISO/IEC 23009-1).

use std::fmt::Write;

use super::Mode;
use super::plan::{Period, Plan, Representation};
use crate::base::clock::Wall;
use crate::manifest::hls::frame_rate_millis;
use crate::manifest::text::{push_date, push_xml, push_xs_duration};
use crate::media::time::{Ticks, Timescale, rescale};
use crate::media::timeline::{Description, Rules};
use crate::media::{MediaKind, Rendition, Track};

/// A Period that ends this much before the next begins is closed by a duration of its own.
const HOLE_MICROS: i64 = 1000;

/// How often low-latency players look for the next segment while one grows, microseconds.
const LOW_LATENCY_UPDATE_MICROS: i64 = 500_000;

/// Distance from live that low-latency DASH players hold beyond the hold-back of a part, because
/// browsers hand small chunks on in batches (dash.js#2723), microseconds.
const LOW_LATENCY_RESERVE_MICROS: i64 = 1_700_000;

/// Segments between live and a player of the standard manifest.
const PRESENTATION_DELAY_SEGMENTS: i64 = 3;

/// What the root element says of the rest.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    /// When the newest listed thing became available, microseconds since the epoch.
    pub(super) newest_micros: i64,
    /// The end of what is listed, from where Periods count.
    length_micros: i64,
    /// The longest listed segment.
    longest_micros: i64,
}

impl Head {
    pub(super) fn of(description: &Description, plan: &Plan<'_>) -> Head {
        let last = plan.periods.last().expect("a plan has a period");
        Head {
            newest_micros: plan.newest_micros,
            length_micros: last.end_micros - beginning_micros(description, plan),
            longest_micros: longest_micros(plan),
        }
    }
}

/// The whole text, and where the start tag of its root element ends.
pub(super) fn manifest(
    description: &Description,
    plan: &Plan<'_>,
    head: &Head,
    mode: Mode,
    utc_timing_url: &str,
) -> (String, usize) {
    let mut out = String::with_capacity(4096);
    push_root(&mut out, description, head, mode);
    let body = out.len();
    if mode == Mode::LowLatency {
        let target = latency_micros(&description.rules) / 1000;
        // Players may speed up and slow down unheard by this much.
        push(
            &mut out,
            format_args!(
                "  <ServiceDescription id=\"0\">\n    <Latency target=\"{target}\" min=\"{}\" max=\"{}\" referenceId=\"0\"/>\n    <PlaybackRate min=\"0.96\" max=\"1.04\"/>\n  </ServiceDescription>\n",
                micros(description.rules.part_hold_back) / 1000,
                target * 2,
            ),
        );
    }
    let beginning = beginning_micros(description, plan);
    for (index, period) in plan.periods.iter().enumerate() {
        let next = plan.periods.get(index + 1);
        // A hole is stated when the next Period is known: dash.js takes a last one with a duration for the
        // end of the stream.
        let closed = match next {
            Some(next) => next.start_micros - period.end_micros > HOLE_MICROS,
            None => description.ended,
        };
        push(
            &mut out,
            format_args!("  <Period id=\"p{}\" start=\"", period.opening),
        );
        push_xs_duration(&mut out, period.start_micros - beginning);
        if closed {
            out.push_str("\" duration=\"");
            push_xs_duration(&mut out, period.end_micros - period.start_micros);
        }
        out.push_str("\">\n");
        push_sets(&mut out, period, &description.rules, mode);
        out.push_str("  </Period>\n");
    }
    if !description.rules.is_recording() {
        out.push_str("  <UTCTiming schemeIdUri=\"urn:mpeg:dash:utc:http-xsdate:2014\" value=\"");
        push_xml(&mut out, utc_timing_url);
        out.push_str("\"/>\n");
    }
    out.push_str("</MPD>\n");
    (out, body)
}

/// The text up to the end of the start tag of its root element.
pub(super) fn head(description: &Description, head: &Head, mode: Mode) -> String {
    let mut out = String::with_capacity(4096);
    push_root(&mut out, description, head, mode);
    out
}

/// What Periods count from: the stream's epoch, or the beginning of a recording.
fn beginning_micros(description: &Description, plan: &Plan<'_>) -> i64 {
    let first = plan.periods.first();
    let first = first.filter(|_| description.rules.is_recording());
    first.map_or(0, |first| first.start_micros)
}

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a string takes any text");
}

fn micros(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

fn push_root(out: &mut String, description: &Description, head: &Head, mode: Mode) {
    let rules = &description.rules;
    let segment_target = micros(rules.segment_target);
    out.push_str(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" profiles=\"urn:mpeg:dash:profile:isoff-live:2011,urn:mpeg:dash:profile:cmaf:2019",
    );
    if mode == Mode::LowLatency {
        out.push_str(",http://www.dashif.org/guidelines/low-latency-live-v5");
    }
    if rules.is_recording() {
        push_recording(out, description, head);
        return;
    }
    out.push_str("\" type=\"dynamic\" availabilityStartTime=\"");
    push_date(out, rules.epoch);
    out.push_str("\" publishTime=\"");
    push_date(out, rules.epoch.plus_micros(head.newest_micros));
    let mut span = |name: &str, value: i64| {
        push(out, format_args!("\" {name}=\""));
        push_xs_duration(out, value);
    };
    if description.ended {
        span("mediaPresentationDuration", head.length_micros);
    } else {
        span(
            "minimumUpdatePeriod",
            match mode {
                Mode::Standard => segment_target,
                Mode::LowLatency => LOW_LATENCY_UPDATE_MICROS,
            },
        );
    }
    let delay = match mode {
        Mode::Standard => PRESENTATION_DELAY_SEGMENTS * head.longest_micros.max(segment_target),
        Mode::LowLatency => latency_micros(rules),
    };
    span("timeShiftBufferDepth", micros(rules.window));
    span("suggestedPresentationDelay", delay);
    span(
        "minBufferTime",
        match mode {
            Mode::Standard => segment_target,
            Mode::LowLatency => micros(rules.part_hold_back),
        },
    );
    // Segments are rounded to the target duration (RFC 8216bis §4.4.3.1).
    span(
        "maxSegmentDuration",
        i64::from(rules.target_duration_s) * 1_000_000 + 500_000,
    );
    out.push_str("\">\n");
}

/// The rest of the root element of a recording, of which everything is there.
fn push_recording(out: &mut String, description: &Description, head: &Head) {
    let rules = &description.rules;
    out.push_str("\" type=\"static\" mediaPresentationDuration=\"");
    push_xs_duration(out, head.length_micros);
    out.push_str("\" minBufferTime=\"");
    push_xs_duration(out, micros(rules.segment_target));
    out.push_str("\" maxSegmentDuration=\"");
    push_xs_duration(
        out,
        i64::from(rules.target_duration_s) * 1_000_000 + 500_000,
    );
    out.push_str("\">\n");
}

fn latency_micros(rules: &Rules) -> i64 {
    micros(rules.part_hold_back) + LOW_LATENCY_RESERVE_MICROS
}

/// The longest listed segment, in half seconds rounded up, so that jitter does not show.
fn longest_micros(plan: &Plan<'_>) -> i64 {
    let representations = plan.periods.iter().flat_map(|p| &p.representations);
    let spans = representations.flat_map(|representation| {
        let scale = representation.timescale();
        let spans = representation.segments.iter();
        spans.map(move |(_, span)| rescale(*span, scale, Timescale::MICROS).0)
    });
    // A twentieth of a second is below any frame's length that could make a 2 s segment 2.5 s.
    let longest = spans.max().unwrap_or(0) - 50_000;
    longest.max(0).div_euclid(500_000) * 500_000 + 500_000
}

fn push_sets(out: &mut String, period: &Period<'_>, rules: &Rules, mode: Mode) {
    for (id, kind, name) in [
        (1, MediaKind::Video, "video"),
        (2, MediaKind::Audio, "audio"),
    ] {
        let of_kind = |r: &&Representation<'_>| r.rendition.kind() == kind;
        if !period.representations.iter().any(|r| of_kind(&r)) {
            continue;
        }
        let language = match kind {
            MediaKind::Video => "",
            MediaKind::Audio => " lang=\"und\"",
        };
        let label = match kind {
            MediaKind::Video => "Video",
            MediaKind::Audio => "Audio",
        };
        push(
            out,
            format_args!(
                "    <AdaptationSet id=\"{id}\" contentType=\"{name}\"{language} mimeType=\"{name}/mp4\" segmentAlignment=\"true\" startWithSAP=\"1\">\n",
            ),
        );
        for link in period.links.iter().filter(|link| link.kind == kind) {
            let how = if link.continuous {
                "continuity"
            } else {
                "connectivity"
            };
            push(
                out,
                format_args!(
                    "      <SupplementalProperty schemeIdUri=\"urn:mpeg:dash:period-{how}:2015\" value=\"p{}\"/>\n",
                    link.period
                ),
            );
        }
        push(
            out,
            format_args!(
                "      <Label>{label}</Label>\n      <Role schemeIdUri=\"urn:mpeg:dash:role:2011\" value=\"main\"/>\n",
            ),
        );
        for (index, representation) in period.representations.iter().enumerate() {
            if of_kind(&representation) {
                push_representation(out, index, representation, period, rules, mode);
            }
        }
        out.push_str("    </AdaptationSet>\n");
    }
}

fn push_representation(
    out: &mut String,
    index: usize,
    representation: &Representation<'_>,
    period: &Period<'_>,
    rules: &Rules,
    mode: Mode,
) {
    let rendition = representation.rendition;
    let scale = representation.timescale();
    let offset = rescale(Ticks(period.start_micros), Timescale::MICROS, scale).0;
    out.push_str("      <Representation id=\"");
    push_xml(out, &rendition.name);
    push(
        out,
        format_args!("\" bandwidth=\"{}\" codecs=\"", rendition.peak_bps),
    );
    push_xml(out, &representation.init.track.codec_string());
    out.push('"');
    push_picture_and_sound(out, rendition, &representation.init.track);
    if mode == Mode::LowLatency {
        push(
            out,
            format_args!(
                "        <ProducerReferenceTime id=\"{index}\" type=\"encoder\" wallClockTime=\""
            ),
        );
        push_wall(out, rules.epoch.plus_micros(period.start_micros));
        push(out, format_args!("\" presentationTime=\"{offset}\"/>\n"));
    }
    push(
        out,
        format_args!(
            "        <SegmentTemplate timescale=\"{}\" presentationTimeOffset=\"{offset}\" startNumber=\"{}\"",
            scale.get(),
            representation.first_sequence,
        ),
    );
    if mode == Mode::LowLatency {
        push(
            out,
            format_args!(
                " availabilityTimeOffset=\"{}\" availabilityTimeComplete=\"false\"",
                availability_offset_seconds(rules)
            ),
        );
    }
    out.push_str(" initialization=\"$RepresentationID$/");
    push_xml(out, &representation.init.name);
    out.push_str("\" media=\"$RepresentationID$/$Number$.m4s\">\n          <SegmentTimeline>\n");
    push_timeline(out, &representation.segments);
    out.push_str(
        "          </SegmentTimeline>\n        </SegmentTemplate>\n      </Representation>\n",
    );
}

/// Attributes and children that only pictures or only sound have; closes the start tag.
fn push_picture_and_sound(out: &mut String, rendition: &Rendition, track: &Track) {
    if let Some((width, height)) = track.resolution() {
        push(out, format_args!(" width=\"{width}\" height=\"{height}\""));
        if let Some(millis) = frame_rate_millis(rendition, track) {
            out.push_str(" frameRate=\"");
            push_frame_rate(out, millis);
            out.push('"');
        }
        out.push_str(" sar=\"1:1\"");
    }
    if let Some(rate) = track.sample_rate() {
        push(out, format_args!(" audioSamplingRate=\"{rate}\""));
    }
    out.push_str(">\n");
    if let Some(channels) = track.channels() {
        push(
            out,
            format_args!(
                "        <AudioChannelConfiguration schemeIdUri=\"urn:mpeg:dash:23003:3:audio_channel_configuration:2011\" value=\"{channels}\"/>\n"
            ),
        );
    }
}

/// A frame rate as an integer or a fraction; the NTSC family by its true values.
fn push_frame_rate(out: &mut String, millis: u32) {
    let near_ntsc = millis.div_ceil(1000) * 1000;
    let ntsc = u64::from(near_ntsc) * 1000 / 1001;
    if millis.is_multiple_of(1000) {
        push(out, format_args!("{}", millis / 1000));
    } else if u64::from(millis).abs_diff(ntsc) <= 5 {
        push(out, format_args!("{near_ntsc}/1001"));
    } else {
        push(out, format_args!("{millis}/1000"));
    }
}

/// A segment may be asked for when its first part is there. What the hold-back allows the ladder
/// beyond three parts is the time by which a rung may be late.
fn availability_offset_seconds(rules: &Rules) -> f64 {
    let part = rules.part_target;
    let lag = rules.part_hold_back.saturating_sub(part * 3);
    rules
        .segment_target
        .saturating_sub(part)
        .saturating_sub(lag)
        .as_secs_f64()
}

/// `xs:dateTime` to the microsecond: a reference must not differ from what it is a reference of.
fn push_wall(out: &mut String, wall: Wall) {
    push_date(out, wall);
    out.pop();
    push(out, format_args!("{:03}Z", wall.0.rem_euclid(1000)));
}

fn push_timeline(out: &mut String, segments: &[(Ticks, Ticks)]) {
    let mut at = 0;
    let mut end = None;
    while let Some((start, span)) = segments.get(at) {
        let mut next = *start + *span;
        let mut repeat = 0;
        while segments.get(at + repeat + 1) == Some(&(next, *span)) {
            next += *span;
            repeat += 1;
        }
        out.push_str("            <S");
        if end != Some(*start) {
            push(out, format_args!(" t=\"{}\"", start.0));
        }
        push(out, format_args!(" d=\"{}\"", span.0));
        if repeat > 0 {
            push(out, format_args!(" r=\"{repeat}\""));
        }
        out.push_str("/>\n");
        end = Some(next);
        at += repeat + 1;
    }
}
