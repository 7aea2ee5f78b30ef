//! What players read of a stream with holes in it: random sequences of media, gaps, changes and breaks
//! go into a timeline, and after every fifth of a second all its playlists and manifests are checked,
//! each against the one before it and against the others.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use bytes::Bytes;
use forebay::base::clock::Wall;
use forebay::manifest::check::{
    Violation, check_hls_against_mpd, check_media_playlist, check_mpd, check_renditions,
};
use forebay::manifest::dash::{self, Mode, Periods};
use forebay::manifest::hls;
use forebay::media::codec::{aac, avc};
use forebay::media::timeline::{Found, Resource, Rules, Timeline};
use forebay::media::{
    AccessUnit, Boundary, CodecConfig, MediaKind, Rendition, RenditionId, Ticks, Timescale, Track,
    rescale,
};
use forebay::package::Live;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

mod script;

use script::{Call, Script};

const SECOND: i64 = 90_000;
const SEGMENT: i64 = 2 * SECOND;
/// At 30 per second.
const FRAME: i64 = 3000;
/// Playlists are read this often.
const TICK: i64 = SECOND / 5;
const SOUND: Timescale = Timescale::of(48_000);
/// A rung's pictures come this much after the source's.
const RUNG_LAG: i64 = SECOND * 3 / 10;

const SOURCE: RenditionId = RenditionId(0);
const AUDIO: RenditionId = RenditionId(1);
const RUNG: RenditionId = RenditionId(2);
const NAMES: [&str; 3] = ["source", "audio", "sd"];

/// What the next segment is like.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// Two seconds of everything.
    Media,
    /// The source stops after so many frames; the rest and the next segment are missing.
    SourceStops { frames: i64 },
    /// The source has nothing.
    SourceGap,
    /// Nobody has anything for so many milliseconds.
    Gap { millis: i64 },
    /// The source's pictures are missing from a frame on, for so many; the hole is closed. When it lasts
    /// until the end of the segment, the next one opens with the picture that returns.
    ShortHole { from: i64, frames: i64 },
    /// The rung has nothing.
    RungGap,
    /// A new publisher after so many milliseconds, with a picture of this width.
    Change { millis: i64, width: u32 },
}

fn steps() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => Just(Step::Media),
        1 => (1_i64..59).prop_map(|frames| Step::SourceStops { frames }),
        1 => Just(Step::SourceGap),
        1 => Just(Step::RungGap),
        2 => (300_i64..2000).prop_map(|millis| Step::Gap { millis }),
        // With a change behind it, it stays below the second that is closed without a gap.
        2 => (1_i64..59, 1_i64..22).prop_map(|(from, frames)| Step::ShortHole { from, frames }),
        1 => (0_i64..900, 0_u32..3).prop_map(|(millis, width)| Step::Change {
            millis,
            width: 640 + 320 * width
        }),
    ]
}

fn rules() -> Rules {
    Rules {
        epoch: Wall(1_795_320_000_000_000),
        target_duration_s: 3,
        part_target: Duration::from_micros(213_400),
        part_hold_back: Duration::from_micros(940_200),
        hold_back: Duration::from_secs(9),
        can_skip_until: Duration::from_secs(18),
        segment_target: Duration::from_secs(2),
        window: Duration::from_secs(20),
        independent_segments: true,
    }
}

fn picture_track(width: u32) -> Track {
    // AVCDecoderConfigurationRecord of High profile, level 3.1, without parameter sets.
    let record = Bytes::from_static(&[1, 0x64, 0, 0x1f, 0xff, 0xe0, 0]);
    Track {
        config: CodecConfig::Avc(avc::Config {
            record,
            width,
            height: 720,
            frame_rate_millis: Some(30_000),
            nal_length_size: 4,
            profile: 100,
            compatibility: 0,
            level: 31,
            chroma_format: 1,
            bit_depth: 8,
            interlaced: false,
            pixel_aspect: None,
            colour: None,
            max_reorder_frames: None,
        }),
        timescale: Timescale::CHANNEL,
    }
}

fn rendition(id: RenditionId, track: Track) -> Arc<Rendition> {
    let video = track.resolution().is_some();
    Arc::new(Rendition {
        id,
        name: NAMES[usize::from(id.0)].into(),
        track: Arc::new(track),
        peak_bps: if id == RUNG { 1_000_000 } else { 0 },
        average_bps: if id == RUNG { 900_000 } else { 0 },
        frame_rate_millis: if video { 30_000 } else { 0 },
        source: id != RUNG,
    })
}

fn unit(kind: MediaKind, dts: i64, pts: i64, duration: Option<Ticks>, key: bool) -> AccessUnit {
    AccessUnit {
        kind,
        dts: Ticks(dts),
        pts: Ticks(pts),
        duration,
        key,
        data: Bytes::from_static(b"a picture or a frame of sound"),
    }
}

/// A player of everything: remembers what it read.
#[derive(Default)]
struct Reader {
    playlists: BTreeMap<&'static str, String>,
    manifests: [(String, Periods); 2],
}

fn assert_kept(violations: &[Violation], before: &str, text: &str) {
    assert!(
        violations.is_empty(),
        "{violations:#?}\n{text}\nbefore it:\n{before}"
    );
}

impl Reader {
    fn read(&mut self, live: &Live) {
        let mut together = Vec::new();
        for name in NAMES {
            let Some(snapshot) = live.snapshot(name) else {
                continue;
            };
            let text = hls::media(&snapshot, None);
            let before = self.playlists.insert(name, text.clone());
            let found = check_media_playlist(&text, before.as_deref());
            assert_kept(&found, &before.unwrap_or_default(), &text);
            together.push((format!("{name}/index.m3u8"), text));
        }
        let together: Vec<(&str, &str)> = together
            .iter()
            .map(|(name, text)| (&**name, &**text))
            .collect();
        if together.len() == NAMES.len() {
            assert_kept(&check_renditions(&together), "", "");
        }
        self.read_manifests(live);
    }

    fn read_manifests(&mut self, live: &Live) {
        let description = live.description().unwrap();
        let listed = description.video.iter().chain(&description.audio);
        let snapshots: Option<Vec<_>> = listed.map(|listed| live.snapshot(&listed.name)).collect();
        let Some(snapshots) = snapshots else { return };
        for (mode, at) in [(Mode::Standard, 0), (Mode::LowLatency, 1)] {
            let (before, periods) = &mut self.manifests[at];
            let Some(text) = dash::mpd(&description, &snapshots, mode, periods, "/time") else {
                continue;
            };
            let earlier = Some(before.as_str()).filter(|before| !before.is_empty());
            assert_kept(&check_mpd(&text, earlier), before, &text);
            for (name, playlist) in &self.playlists {
                let listed = text.contains(&format!("<Representation id=\"{name}\""));
                let found = check_hls_against_mpd(&text, name, playlist);
                // A segment that only one of them lists yet proves nothing.
                let common = found.iter().all(|found| !found.detail.ends_with("in both"));
                assert!(
                    !listed || !common || found.is_empty(),
                    "{found:#?}\n{text}\n{playlist}"
                );
            }
            *before = text;
        }
    }
}

/// Plays a script into a timeline, read all the way. The rung joins at a time.
fn play(script: Script, rung_from: i64) -> (Arc<Live>, Reader) {
    let live = Live::new(rules(), rules().epoch);
    let mut outlet = live.outlet();
    let sound = Track {
        config: CodecConfig::Aac(aac::Config::new_lc(48_000, 2).unwrap()),
        timescale: SOUND,
    };
    outlet.handle_rendition(&rendition(SOURCE, picture_track(1280)));
    outlet.handle_rendition(&rendition(AUDIO, sound));
    outlet.handle_listed(&[SOURCE, AUDIO]);
    let mut joined = false;
    let mut calls = script.calls;
    calls.sort_by_key(|(at, _)| *at);
    let mut reader = Reader::default();
    let mut next_look = i64::MIN;
    for (at, call) in calls {
        if at >= next_look {
            reader.read(&live);
            next_look = at + TICK;
        }
        if !joined && at >= rung_from {
            joined = true;
            outlet.handle_rendition(&rendition(RUNG, picture_track(854)));
            outlet.handle_listed(&[SOURCE, RUNG, AUDIO]);
        }
        match call {
            Call::Unit(RUNG, ..) | Call::Gap(RUNG, _) if !joined => {}
            Call::Unit(id, unit, opened) => outlet.handle_unit(id, unit, &opened),
            Call::Gap(id, boundary) => outlet.handle_gap(id, &boundary),
            Call::Track(width) => outlet.handle_track(SOURCE, &Arc::new(picture_track(width))),
            Call::Break => outlet.handle_break(),
        }
    }
    reader.read(&live);
    (live, reader)
}

proptest! {
    // The same stories in every run: what they find is mended before it is committed.
    #![proptest_config(ProptestConfig {
        cases: 8,
        rng_seed: RngSeed::Fixed(9),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn whatever_happens_players_read_what_the_rules_allow(
        steps in prop::collection::vec(steps(), 4..16),
        promised: bool,
        rung_from in prop_oneof![Just(0), 0..20 * SECOND],
    ) {
        let mut script = Script::new(promised, None);
        script.step(Step::Media);
        steps.into_iter().for_each(|step| script.step(step));
        play(script, rung_from);
    }
}

/// The media playlist without the lines of older segments.
fn tail<'a>(reader: &'a Reader, name: &str, lines: usize) -> Vec<&'a str> {
    let all: Vec<&str> = reader.playlists[name].lines().collect();
    all[all.len().saturating_sub(lines)..].to_vec()
}

#[test]
fn a_stream_taken_up_again_opens_with_a_discontinuity_players_have_not_seen() {
    let mut script = Script::new(true, Some(7));
    script.media(true, 0..60, true);
    script.step(Step::Media);
    let (_, reader) = play(script, 0);
    for name in NAMES {
        let text = &reader.playlists[name];
        assert!(text.contains("#EXT-X-DISCONTINUITY-SEQUENCE:7\n"), "{text}");
        let tag = text.find("#EXT-X-DISCONTINUITY\n").unwrap();
        assert!(tag < text.find("#EXT-X-MAP").unwrap(), "{text}");
    }
    for (text, _) in &reader.manifests {
        // Counted from the epoch, but not from the stream's own beginning, which is long gone.
        assert!(
            text.contains("availabilityStartTime=\"2026-11-22T04:00:00.000Z\""),
            "{text}"
        );
        assert!(
            text.contains("<Period id=\"p100\" start=\"PT10S\">"),
            "{text}"
        );
    }
}

#[test]
fn a_playlist_that_ends_with_a_gap_hints_at_what_comes_after_it() {
    let mut script = Script::new(true, None);
    script.step(Step::Media);
    script.step(Step::SourceStops { frames: 30 });
    script.step(Step::SourceGap);
    let (live, reader) = play(script, 0);
    let next = live.progress("source").unwrap().next_part;
    let mut lines = tail(&reader, "source", 20);
    lines.retain(|line| !line.ends_with("URI=\"gap102.m4s\",GAP=YES"));
    assert_eq!(
        lines[lines.len() - 7..][..5],
        [
            "#EXT-X-PROGRAM-DATE-TIME:2026-11-22T04:00:14.000Z",
            "#EXT-X-GAP",
            "#EXTINF:2.00000,",
            "102.m4s",
            &format!("#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"p{next}.m4s\""),
        ]
    );
    let rung = tail(&reader, "sd", 2)[0];
    assert_eq!(
        rung,
        "#EXT-X-RENDITION-REPORT:URI=\"../source/index.m3u8\",LAST-MSN=102"
    );
}

#[test]
fn manifests_follow_the_rungs_while_the_source_is_out_and_take_it_back() {
    let mut script = Script::new(true, None);
    (0..3).for_each(|_| script.step(Step::Media));
    script.step(Step::SourceStops { frames: 30 });
    let mut out = Script::new(true, None);
    (0..3).for_each(|_| out.step(Step::Media));
    out.step(Step::SourceStops { frames: 30 });
    // Half a segment into the second one without a source.
    out.step(Step::SourceGap);
    let half = out.time - SECOND;
    out.calls.retain(|(at, _)| *at < half);
    let (_, reader) = play(out, 0);
    let [(standard, _), (low_latency, _)] = &reader.manifests;
    let last = |text: &str| text.rsplit("<Period ").next().unwrap().to_owned();
    assert!(!last(standard).contains("id=\"source\""), "{standard}");
    // Its half segment is left out where the rung has all of it, and stays where it was told.
    assert!(last(standard).contains("p103") && last(low_latency).contains("p104"));
    let running = last(low_latency);
    assert!(running.contains("id=\"sd\"") && !running.contains("id=\"source\""));
    assert!(
        running.contains("<S t=\"1620000\" d=\"180000\" r=\"1\"/>"),
        "{low_latency}"
    );
    (0..2).for_each(|_| script.step(Step::Media));
    let (_, reader) = play(script, 0);
    for (text, _) in &reader.manifests {
        assert!(last(text).contains("id=\"source\""), "{text}");
    }
}

#[test]
fn a_rendition_that_is_removed_is_gone_from_everywhere() {
    let mut script = Script::new(true, None);
    (0..3).for_each(|_| script.step(Step::Media));
    let (live, _) = play(script, 0);
    let part = live.progress("sd").unwrap().next_part - 1;
    let mut woken = std::pin::pin!(live.changed("sd", live.progress("sd").unwrap().version));
    let mut context = Context::from_waker(Waker::noop());
    assert!(woken.as_mut().poll(&mut context).is_pending());
    live.outlet().handle_removed(RUNG);
    assert!(
        woken.as_mut().poll(&mut context).is_ready(),
        "who waits is let go"
    );
    assert!(live.snapshot("sd").is_none() && live.progress("sd").is_none());
    for resource in [Resource::Part(part), Resource::Segment(100)] {
        assert!(matches!(live.find("sd", resource), Found::Missing));
    }
    let names: Vec<_> = live
        .description()
        .unwrap()
        .video
        .iter()
        .map(|r| r.name.clone())
        .collect();
    assert_eq!(names, ["source".into()]);
    let reports = &live.snapshot("source").unwrap().reports;
    assert!(reports.iter().all(|report| *report.name == *"audio"));
}
