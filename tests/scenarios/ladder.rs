//! What the transcoder makes of an encoder's picture.

use std::path::Path;
use std::process::Command;

use forebay::manifest::parse::{Media, Multivariant, Part};

use super::{Stage, beside};
use crate::common::media::{Clip, beeps, flashes, lip_offsets, pictures};

const LADDER: (&str, &str) = ("FOREBAY_LADDER", "auto");

/// Name, width and height of each video rendition of a multivariant playlist.
pub(super) fn renditions(text: &str) -> Vec<(String, u32, u32)> {
    let parsed = Multivariant::parse(text).expect("a playlist");
    let variants = parsed.variants.iter().filter_map(|(attributes, uri)| {
        let (width, height) = attributes.get("RESOLUTION")?.split_once('x')?;
        let name = uri.split('/').next()?.to_owned();
        Some((name, width.parse().ok()?, height.parse().ok()?))
    });
    let mut renditions: Vec<_> = variants.collect();
    renditions.sort();
    renditions.dedup();
    renditions
}

/// M-2, with a ladder.
#[tokio::test(flavor = "multi_thread")]
async fn the_quality_word_is_the_top_of_the_ladder_below_the_source() {
    let stage = Stage::set(&[LADDER]).await;
    let clip = Clip::h264(900, 30);
    let mut rungs = Vec::new();
    for (alias, words) in [
        ("many", &["vld", "multi-bitrate", "streaming"][..]),
        ("one", &["vld", "streaming"]),
    ] {
        let channel = stage.channel(alias, words).await;
        let encoder = stage.rtmp(&channel, &clip);
        let location = stage.location(&channel).await;
        let listed = renditions(&stage.multivariant(&location).await);
        for (name, ..) in &listed {
            stage.segments(&location, name, 1).await;
        }
        let source = ("source".to_owned(), 640, 360);
        assert!(listed.contains(&source), "{listed:?}");
        let made = listed.into_iter().filter(|rung| *rung != source);
        rungs.push(made.collect::<Vec<_>>());
        encoder.kill();
    }
    assert!(
        rungs[0].contains(&("vld".to_owned(), 426, 240)),
        "{rungs:?}"
    );
    assert!(rungs[0].iter().all(|rung| rung.2 <= 240), "{rungs:?}");
    assert!(rungs[1].is_empty(), "{rungs:?}");
    stage.gateway.stop().await;
}

/// M-4.
#[tokio::test(flavor = "multi_thread")]
async fn a_channels_aspect_ratio_holds_over_rtmp_and_not_over_srt() {
    let stage = Stage::set(&[LADDER]).await;
    let words = ["aspect-ratio=9x16", "multi-bitrate", "streaming"];
    for (alias, portrait) in [("rtmp", true), ("srt", false)] {
        let channel = stage.channel(alias, &words).await;
        let (mut rtmp, mut srt) = (None, None);
        if portrait {
            rtmp = Some(stage.rtmp(&channel, &Clip::long("flv")));
        } else {
            srt = Some(stage.srt(&channel, &Clip::long("ts")));
        }
        let location = stage.location(&channel).await;
        let listed = renditions(&stage.multivariant(&location).await);
        assert!(!listed.is_empty());
        for (name, width, height) in &listed {
            assert_eq!(height > width, portrait, "{alias}: {listed:?}");
            stage.segments(&location, name, 1).await;
        }
        drop((rtmp, srt));
    }
    stage.gateway.stop().await;
}

/// What ffprobe says of a file's picture, word by word.
fn probe(file: &Path, entries: &str) -> Vec<String> {
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-select_streams", "v:0", "-show_entries"])
        .args([entries, "-of", "default=noprint_wrappers=1:nokey=1"])
        .arg(file)
        .output()
        .expect("ffprobe is there");
    let text = String::from_utf8(output.stdout).expect("text");
    text.lines().map(str::to_owned).collect()
}

/// The profile that the ladder's file gives a rung, as ffprobe names it.
fn profile(rung: &str) -> &'static str {
    let text = include_str!("../../pipelines/ladders.toml");
    let table: toml::Table = text.parse().expect("TOML");
    let rungs = table["rung"].as_array().expect("rungs");
    let found = rungs
        .iter()
        .find(|entry| entry["name"].as_str() == Some(rung));
    let found = found.unwrap_or_else(|| panic!("{rung} is none of the ladder's"));
    match found["profile"].as_str() {
        Some("constrained-baseline") => "Constrained Baseline",
        Some("high") => "High",
        other => panic!("{other:?}"),
    }
}

/// Length of the media that a playlist lists.
fn listed_seconds(media: &Media) -> f64 {
    let segments = media.segments.iter().filter(|segment| !segment.gap);
    let length = |parts: &[Part]| -> f64 {
        let there = parts.iter().filter(|part| !part.gap);
        there.map(|part| part.duration).sum()
    };
    let lengths = segments.map(|segment| match segment.uri.is_empty() {
        true => length(&segment.parts),
        false => segment.duration,
    });
    lengths.sum()
}

/// M-16.
#[tokio::test(flavor = "multi_thread")]
async fn an_encoder_for_studios_comes_out_of_every_rung_as_players_take_it() {
    let mut clip = Clip::h264(300, 100).size(960, 540).audio_from(2).video(
        "-c:v libx264 -preset veryfast -pix_fmt yuv422p -profile:v high422 -crf 24 -bf 3 \
         -b_strategy 0 -g 100 -keyint_min 100 -sc_threshold 0",
    );
    clip.rate = "50";
    let source = clip.file();
    let sent = probe(&source, "stream=profile,pix_fmt,has_b_frames");
    assert_eq!(sent[..2], ["High 4:2:2", "2"], "{sent:?}");
    assert_eq!(sent[2], "yuv422p");

    let stage = Stage::set(&[
        LADDER,
        // On a busy machine a rung would go on without a picture that is late.
        ("FOREBAY_ON_LOSS", "gap"),
    ])
    .await;
    let words = ["sd", "multi-bitrate", "streaming"];
    let channel = stage.channel("a", &words).await;
    let encoder = stage.rtmp(&channel, &clip);
    let location = stage.location(&channel).await;
    encoder.finish().await.expect("all of it is taken");
    // On a busy machine sound and rungs may still be on their way.
    let whole = async || {
        let master = stage.multivariant(&location).await;
        let parsed = Multivariant::parse(&master).expect("a playlist");
        let sound = parsed.media.iter().find_map(|media| media.get("URI"))?;
        let sound = sound.split('/').next()?.to_owned();
        (renditions(&master).len() > 1).then_some((master, sound))
    };
    let (master, sound) = stage.gateway.until("sound beside rungs", whole).await;
    // The worker goes on for a moment after the publisher.
    let complete = async |rendition: &str, seconds: f64| {
        let path = beside(&location, &format!("{rendition}/index.m3u8"));
        let whole = async || {
            let answer = stage.gateway.get(&path).await;
            let media = Media::parse(answer.text()).ok()?;
            (listed_seconds(&media) > seconds - 0.1).then_some(media)
        };
        let media = stage.gateway.until("end", whole).await;
        stage.download(&location, rendition, &media).await
    };
    let heard = beeps(&complete(&sound, 4.0).await);
    let (sent, said) = (pictures(&source), beeps(&source));
    assert!(lip_offsets(&flashes(&sent), &said).len() >= 3, "{said:?}");
    let listed = renditions(&master);
    // No browser would decode it.
    assert!(listed.iter().all(|(name, ..)| name != "source"), "{master}");
    let mut steps = Vec::new();
    for (name, ..) in &listed {
        let file = complete(name, 6.0).await;
        let shape = probe(&file, "stream=profile,pix_fmt,has_b_frames");
        assert_eq!(shape, [profile(name), "0", "yuv420p"], "{name}");
        let kinds = probe(&file, "frame=pict_type");
        assert!(!kinds.is_empty() && kinds.iter().all(|kind| kind != "B"));
        let seen = pictures(&file);
        let numbers: Vec<u32> = seen.iter().filter_map(|picture| picture.number).collect();
        assert!(
            numbers.len() + 2 >= seen.len(),
            "{name}: pictures can be read"
        );
        // Every picture, or every second one.
        let step = numbers[1] - numbers[0];
        assert!([1, 2].contains(&step), "{name}: {numbers:?}");
        steps.push(step);
        assert!(numbers.windows(2).all(|pair| pair[1] - pair[0] == step));
        // Enough to judge it by: a busy machine ends before the last of it. That all of them come is shown
        // in `tests/inputs/ladder.rs`.
        assert!(numbers.len() as u32 * step >= 160, "{name}: {numbers:?}");
        // Every flash of what came is heard.
        let (first, last) = (numbers[0] as usize, numbers[numbers.len() - 1] as usize);
        let meant = lip_offsets(&flashes(&sent[first..=last]), &said);
        let now = lip_offsets(&flashes(&seen), &heard);
        assert_eq!(now.len(), meant.len(), "{name}: {now:?}, {meant:?}");
        // Where the first picture of a flash is left out, it is lit one picture later.
        let tolerance = 0.020 + f64::from(step - 1) / 50.0;
        for (now, meant) in now.iter().zip(&meant) {
            assert!(
                (now - meant).abs() < tolerance,
                "{name}: {now} s, {meant} s"
            );
        }
    }
    for step in [1, 2] {
        assert!(steps.contains(&step), "full rate and half of it: {master}");
    }
    stage.gateway.stop().await;
}
