//! What encoders send, in all its variety: every picture comes out once and in order, at its own time,
//! with its sound beside it, and the playlists keep the rules.
//!
//! Files are published as fast as they go, except where the point is what happens while time passes.

use std::path::{Path, PathBuf};

use forebay::manifest::check::{Violation, check_media_playlist, check_multivariant};
use forebay::manifest::parse::Media;

use crate::common::gateway::children;
use crate::common::media::{
    Clip, Seen, beeps, enhanced_ffmpeg, flashes, lip_offsets, pictures, rate_value, sound_seconds,
};
use crate::common::rtmp::{RtmpPublisher, flv_tags};
use crate::common::server::{KEY, Publishing, Server};

mod ladder;

/// H.264 as it comes without low-latency tuning: three B-frames, a pyramid of references.
const B_FRAMES: &str = "-c:v libx264 -preset veryfast -pix_fmt yuv420p -crf 24 -bf 3 -b_strategy 0 \
                        -g 60 -keyint_min 60 -sc_threshold 0";
/// How far sound and picture may move against one another, seconds.
const LIP_TOLERANCE: f64 = 0.020;

/// A message of an RTMP publish: type, milliseconds, body.
type Tag = (u8, u32, Vec<u8>);

/// What is expected of one publish.
pub(crate) struct Expected<'a> {
    clip: &'a Clip,
    /// The file that was published.
    source: &'a Path,
    /// Rules that the input makes impossible to keep, each named where it is used.
    pub(crate) excused: &'a [&'a str],
    /// How far a picture may lie from its time, seconds; `None` where it is the exact frame grid.
    pub(crate) tolerance: Option<f64>,
}

impl<'a> Expected<'a> {
    pub(crate) fn of(clip: &'a Clip, source: &'a Path) -> Expected<'a> {
        Expected {
            clip,
            source,
            excused: &[],
            tolerance: None,
        }
    }
}

/// Publishes a clip and checks all of it.
async fn comes_through(clip: &Clip) {
    let source = clip.file();
    let server = Server::passthrough().await;
    let publishing = server.publish(&source, "");
    publishing.finish().await.unwrap();
    everything_came(&server, &Expected::of(clip, &source)).await;
    server.stop().await;
}

pub(crate) async fn everything_came(server: &Server, expected: &Expected<'_>) {
    server.published().await;
    let clip = expected.clip;
    rules_are_kept(server, expected).await;
    let mut lit = Vec::new();
    let mut lit_at_source = Vec::new();
    if clip.video.is_some() {
        let seen = pictures(&server.download("source").await);
        all_in_order(clip, &seen);
        let before = pictures(expected.source);
        cadence_is_kept(clip, &seen, &before, expected.tolerance);
        lit = flashes(&seen);
        lit_at_source = flashes(&before);
    }
    if clip.audio.is_some() {
        let sound = server.download("audio").await;
        let (came, sent) = (sound_seconds(&sound), sound_seconds(expected.source));
        assert!(
            (came - sent).abs() < 0.1,
            "{clip:?}: {came} s of sound out of {sent}"
        );
        if clip.video.is_some() {
            let now = lip_offsets(&lit, &beeps(&sound));
            let before = lip_offsets(&lit_at_source, &beeps(expected.source));
            together(clip, &now, &before);
        }
    }
}

async fn rules_are_kept(server: &Server, expected: &Expected<'_>) {
    let multivariant = server.playlist("index.m3u8").await;
    let mut names = Vec::new();
    if expected.clip.video.is_some() {
        names.push("source/index.m3u8");
    }
    if expected.clip.audio.is_some() {
        names.push("audio/index.m3u8");
    }
    let mut playlists = Vec::new();
    for name in &names {
        playlists.push(server.playlist(name).await);
    }
    let pairs: Vec<(&str, &str)> = names
        .iter()
        .zip(&playlists)
        .map(|(name, text)| (*name, text.as_str()))
        .collect();
    let mut broken = check_multivariant(&multivariant, &pairs);
    for text in &playlists {
        broken.extend(check_media_playlist(text, None));
    }
    broken.retain(|violation| !excused(violation, expected.excused));
    assert!(
        broken.is_empty(),
        "{:?}: {broken:#?}\n{multivariant}\n{}",
        expected.clip,
        playlists.join("\n")
    );
}

fn excused(violation: &Violation, rules: &[&str]) -> bool {
    rules.iter().any(|excuse| match excuse.split_once(' ') {
        Some((rule, text)) => violation.rule == rule && violation.detail.contains(text),
        None => violation.rule == *excuse,
    })
}

fn all_in_order(clip: &Clip, seen: &[Seen]) {
    let mut numbers: Vec<Option<u32>> = seen.iter().map(|picture| picture.number).collect();
    // A rung goes on with the last picture when the encoder is gone.
    while numbers.len() > clip.frames && numbers.last() == Some(&numbers[clip.frames - 1]) {
        numbers.pop();
    }
    let wanted: Vec<Option<u32>> = (0..clip.frames as u32).map(Some).collect();
    let wrong = numbers
        .iter()
        .zip(&wanted)
        .find(|(came, sent)| came != sent);
    let count = (numbers.len(), wanted.len());
    assert!(numbers == wanted, "{clip:?}: {wrong:?}, {count:?} pictures");
}

/// The distance of each picture from the first is what the encoder meant.
fn cadence_is_kept(clip: &Clip, seen: &[Seen], before: &[Seen], tolerance: Option<f64>) {
    let fps = rate_value(clip.rate);
    for (index, (picture, sent)) in seen.iter().zip(before).enumerate() {
        let time = picture.time - seen[0].time;
        let (meant, tolerance) = match tolerance {
            // What the container carried, in milliseconds.
            Some(tolerance) => (sent.time - before[0].time, tolerance),
            // Microseconds of the decoder's report, and a tick of 90 kHz.
            None => (index as f64 / fps, 0.000_015),
        };
        assert!(
            (time - meant).abs() < tolerance,
            "{clip:?}: picture {index} at {time} s, meant at {meant} s"
        );
    }
}

fn together(clip: &Clip, now: &[f64], before: &[f64]) {
    assert!(!now.is_empty(), "{clip:?}: no beeps");
    assert_eq!(now.len(), before.len(), "{clip:?}: {now:?}, {before:?}");
    let apart = now.iter().zip(before).map(|(now, before)| now - before);
    for moved in apart {
        assert!(
            moved.abs() < LIP_TOLERANCE,
            "{clip:?}: flash minus beep {now:?}, in the source {before:?}"
        );
    }
}

/// Publishes messages over one connection, as fast as they go, and says goodbye.
async fn publish_tags(server: &Server, tags: &[Tag]) {
    let mut publisher = RtmpPublisher::connect(server.rtmp()).await.unwrap();
    publisher.set_chunk_size(65_536).await.unwrap();
    publisher.publish("ingest", KEY).await.unwrap();
    send(&mut publisher, tags).await;
    publisher.unpublish(KEY).await.unwrap();
    publisher.close().await.unwrap();
    server.published().await;
}

async fn send(publisher: &mut RtmpPublisher, tags: &[Tag]) {
    let stream = publisher.stream_id;
    for (kind, time, body) in tags {
        let csid = if *kind == 9 { 6 } else { 4 };
        let sent = publisher.send_message(csid, *kind, stream, *time, body);
        sent.await.unwrap();
    }
}

fn tags(file: &Path) -> Vec<Tag> {
    flv_tags(&std::fs::read(file).unwrap())
}

fn shifted(tags: Vec<Tag>, by: impl Fn(u32) -> u32) -> Vec<Tag> {
    let moved = tags
        .into_iter()
        .map(|(kind, time, body)| (kind, by(time), body));
    moved.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_frame_rate_keeps_its_exact_cadence() {
    for rate in ["24", "25", "30000/1001", "30", "50", "60000/1001", "60"] {
        let frames = (rate_value(rate) * 6.5) as usize;
        comes_through(&Clip::small(rate, frames)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn b_frames_come_out_in_order() {
    comes_through(&Clip::small("30", 200).video(B_FRAMES)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_gop_is_cut_where_it_must_be_and_never_called_independent() {
    let options = format!("{B_FRAMES} -x264-params open-gop=1");
    let clip = Clip::small("30", 330).video(&options);
    let source = clip.file();
    let server = Server::passthrough().await;
    server.publish(&source, "").finish().await.unwrap();
    let expected = Expected {
        // Only the first picture is an IDR: no such promise can be made.
        excused: &["M3"],
        ..Expected::of(&clip, &source)
    };
    everything_came(&server, &expected).await;
    let text = server.playlist("source/index.m3u8").await;
    let playlist = Media::parse(&text).unwrap();
    assert_eq!(playlist.segments.len(), 2, "{text}");
    assert!(!playlist.independent_segments, "{text}");
    assert!(
        playlist.segments[1]
            .parts
            .iter()
            .all(|part| !part.independent),
        "{text}"
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn variable_frame_times_are_carried_through() {
    let clip = Clip::small("30", 180).video(
        "-vf settb=1/1000,setpts=N*33+8*mod(N*7\\,5) -vsync passthrough -enc_time_base 1:1000 \
         -c:v libx264 -preset ultrafast -tune zerolatency -pix_fmt yuv420p -crf 24 -g 60 \
         -keyint_min 60 -sc_threshold 0",
    );
    let source = clip.file();
    let server = Server::passthrough().await;
    server.publish(&source, "").finish().await.unwrap();
    let expected = Expected {
        // Frames of any length cannot fill a part to 85 %; the upper bound holds.
        excused: &["L2 below"],
        tolerance: Some(0.001_1),
        ..Expected::of(&clip, &source)
    };
    everything_came(&server, &expected).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sound_of_44100_hz_in_one_channel_keeps_its_pace() {
    comes_through(&Clip::small("30", 200).audio("-c:a aac -b:a 64k -ar 44100 -ac 1")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_portrait_picture_comes_through() {
    let clip = Clip::small("30", 180).size(360, 640);
    let source = clip.file();
    let server = Server::passthrough().await;
    server.publish(&source, "").finish().await.unwrap();
    everything_came(&server, &Expected::of(&clip, &source)).await;
    let text = server.playlist("index.m3u8").await;
    assert!(text.contains("RESOLUTION=360x640"), "{text}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_long_gop_of_default_obs_is_one_segment() {
    let clip = Clip::small("30", 300).video(
        "-c:v libx264 -preset veryfast -pix_fmt yuv420p -crf 24 -g 250 -keyint_min 25 -bf 3 \
         -sc_threshold 40",
    );
    let source = clip.file();
    let server = Server::passthrough().await;
    server.publish(&source, "").finish().await.unwrap();
    everything_came(&server, &Expected::of(&clip, &source)).await;
    let text = server.playlist("source/index.m3u8").await;
    let playlist = Media::parse(&text).unwrap();
    let first = &playlist.segments[0];
    assert!((first.duration - 250.0 / 30.0).abs() < 0.001, "{text}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sound_alone_is_a_stream() {
    let clip = Clip::small("30", 240).blind();
    let source = clip.file();
    let server = Server::passthrough().await;
    server.publish(&source, "").finish().await.unwrap();
    everything_came(&server, &Expected::of(&clip, &source)).await;
    let every =
        |beeps: Vec<f64>| -> Vec<f64> { beeps.windows(2).map(|pair| pair[1] - pair[0]).collect() };
    let came = every(beeps(&server.download("audio").await));
    assert!(came.len() >= 6, "{came:?}");
    assert!(came.iter().all(|gap| (gap - 1.0).abs() < 0.001), "{came:?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_alone_is_a_stream() {
    comes_through(&Clip::small("30", 200).mute()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sound_that_comes_three_seconds_late_falls_into_its_place() {
    let clip = Clip::small("30", 240).audio_from(3);
    let source = clip.file();
    let server = Server::passthrough().await;
    server.publish(&source, "-re").finish().await.unwrap();
    let expected = Expected {
        // The first audio segment begins with the sound, later than its picture (RFC 8216bis
        // §6.2.4 lets content differ at the ends).
        excused: &["M4 dates"],
        ..Expected::of(&clip, &source)
    };
    everything_came(&server, &expected).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jumps_of_the_encoders_clock_are_taken_out() {
    let clip = Clip::small("30", 240);
    let source = clip.file();
    // An hour forward, then back to before the beginning.
    let jumping = |time: u32| match time {
        0..3000 => time + 1_000_000,
        3000..5000 => time + 4_600_000,
        _ => time + 20_000,
    };
    let server = Server::passthrough().await;
    publish_tags(&server, &shifted(tags(&source), jumping)).await;
    let expected = Expected {
        // Two steps whose true length nobody knows to less than a millisecond, of two tracks each.
        tolerance: Some(0.004_1),
        ..Expected::of(&clip, &source)
    };
    everything_came(&server, &expected).await;
    server.stop().await;
}

/// Publishes two clips over one connection, the second where the first ends.
async fn publish_both(server: &Server, first: &Clip, second: &Clip) {
    let length = (first.frames as f64 / rate_value(first.rate) * 1000.0) as u32;
    let mut both = tags(&first.file());
    // Their order within a file that ends with sound is not that of time.
    both.extend(shifted(tags(&second.file()), |time| time + length));
    publish_tags(server, &both).await;
}

async fn both_came(server: &Server, first: &Clip, second: &Clip, audio_changes: bool) {
    let runs = server.download_runs("source").await;
    assert_eq!(runs.len(), 2, "an initialisation for each configuration");
    let seen: Vec<Vec<Seen>> = runs.iter().map(|run| pictures(run)).collect();
    all_in_order(first, &seen[0]);
    all_in_order(second, &seen[1]);
    let sent = [pictures(&first.file()), pictures(&second.file())];
    let length = first.frames as f64 / rate_value(first.rate);
    let meant = length + sent[1][0].time - sent[0][0].time;
    let step = seen[1][0].time - seen[0][0].time;
    assert!((step - meant).abs() < 0.002, "{step} s, meant {meant}");
    let text = server.playlist("source/index.m3u8").await;
    let playlist = Media::parse(&text).unwrap();
    let breaks = playlist.segments.iter().filter(|s| s.discontinuity);
    assert_eq!(breaks.count(), 1, "D1: {text}");

    let sounds = server.download_runs("audio").await;
    assert_eq!(sounds.len(), 1 + usize::from(audio_changes));
    let came: f64 = sounds.iter().map(|file| sound_seconds(file)).sum();
    let wanted = sound_seconds(&first.file()) + sound_seconds(&second.file());
    assert!(
        (came - wanted).abs() < 0.15,
        "{came} s of sound out of {wanted}"
    );
    let heard: Vec<f64> = sounds.iter().flat_map(|file| beeps(file)).collect();
    for (clip, (seen, sent)) in [first, second].into_iter().zip(seen.iter().zip(&sent)) {
        let before = lip_offsets(&flashes(sent), &beeps(&clip.file()));
        together(clip, &lip_offsets(&flashes(seen), &heard), &before);
    }
    let expected = Expected {
        clip: first,
        source: &PathBuf::new(),
        excused: &[],
        tolerance: None,
    };
    rules_are_kept(server, &expected).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_picture_size_goes_on_behind_a_discontinuity() {
    let first = Clip::small("30", 180);
    let second = Clip::small("30", 150).size(480, 270);
    let server = Server::passthrough().await;
    publish_both(&server, &first, &second).await;
    both_came(&server, &first, &second, false).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_profile_rate_and_sound_go_on_behind_a_discontinuity() {
    let first = Clip::small("30", 180);
    let second = Clip::small("25", 150)
        .video(B_FRAMES)
        .audio("-c:a aac -b:a 64k -ar 44100 -ac 1");
    let server = Server::passthrough().await;
    publish_both(&server, &first, &second).await;
    both_came(&server, &first, &second, true).await;
    server.stop().await;
}

/// Publishes with the ffmpeg that knows Enhanced RTMP, and checks all of it.
async fn comes_through_enhanced(clip: &Clip, codec: &str) {
    let source = clip.file();
    let server = Server::passthrough().await;
    let url = server.publish_url("");
    let publishing = Publishing::start(&enhanced_ffmpeg(), &source, "", &url);
    publishing.finish().await.unwrap();
    everything_came(&server, &Expected::of(clip, &source)).await;
    let text = server.playlist("index.m3u8").await;
    assert!(text.contains(codec), "{text}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hevc_comes_through() {
    let clip = Clip::small("30", 180)
        .video(
            "-c:v libx265 -preset ultrafast -pix_fmt yuv420p -crf 26 -g 60 -keyint_min 60 -bf 2 \
             -x265-params log-level=error:open-gop=0:scenecut=0",
        )
        .enhanced();
    comes_through_enhanced(&clip, "hvc1.").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn av1_comes_through() {
    let clip = Clip::small("30", 180)
        .video("-c:v libsvtav1 -preset 10 -pix_fmt yuv420p -crf 20 -g 60 -svtav1-params lp=2")
        .enhanced();
    comes_through_enhanced(&clip, "av01.").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn opus_comes_through() {
    let clip = Clip::small("30", 180)
        .audio("-c:a libopus -b:a 96k -ar 48000 -ac 2")
        .enhanced();
    comes_through_enhanced(&clip, "opus").await;
}
