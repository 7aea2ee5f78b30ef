//! The ladders file, and what follows from it beside the ladder itself.

use super::*;
use crate::hub::tap::Needs;

#[test]
fn a_ladders_file_that_contradicts_itself_is_refused() {
    let text = include_str!("../../../../pipelines/ladders.toml");
    assert!(Book::parse(text).is_ok());
    for (from, to) in [
        ("default_quality = \"hd\"", "default_quality = \"best\""),
        ("name = \"vld\"", "name = \"ld\""),
        ("name = \"vld\"", "name = \"../x\""),
        ("lines = 240", "lines = 0"),
        ("[\"hd\", \"sd\", \"ld\"]", "[\"hd\", \"4k\"]"),
        ("vbv_ms = 600", "vbv_msec = 600"),
        ("opus_kbps = 96", "opus_kbps = 1000"),
        ("kbps = 2000", "kbps = 0"),
    ] {
        let broken = text.replacen(from, to, 1);
        assert_ne!(broken, text);
        assert!(Book::parse(&broken).is_err(), "{to}");
    }
}

#[test]
fn what_stands_in_for_a_listed_source_has_its_form() {
    let stand_in = |capabilities, video, passthrough| {
        let plan = plan(&Case {
            choice: "auto",
            capabilities,
            video: Some(video),
            passthrough,
            cores: 4,
        });
        plan.stand_in
            .map(|rung| (rung.name.clone(), rung.width, rung.height, rung.kbps))
    };
    let source = |width, height, kbps| Some(("source".to_owned(), width, height, kbps));
    for (video, expected) in [
        ((1280, 720, 30), source(1280, 720, 1600)),
        // At any rate, whatever the quality word.
        ((1920, 1080, 60), source(1920, 1080, 3000)),
        ((2560, 1440, 30), source(2560, 1440, 4619)),
        ((608, 1080, 30), source(608, 1080, 1242)),
    ] {
        assert_eq!(stand_in(HD, video, true), expected);
    }
    // Nothing to stand in for.
    assert_eq!(stand_in(HD, (1280, 720, 30), false), None);
    let cut = "hd,multi-bitrate,aspect-ratio=9x16";
    assert_eq!(stand_in(cut, (1280, 720, 30), true), None);
    assert_eq!(stand_in("hd,streaming", (1280, 720, 30), true), None);
}

#[test]
fn the_least_valuable_rung_goes_first_and_the_last_one_stays() {
    let book = Book::built_in();
    let mut rungs = words("source,hd,sd,ld,vld,uld");
    let mut gone = Vec::new();
    while let Some(name) = book.least_valuable(&rungs) {
        rungs.retain(|rung| *rung != name);
        gone.push(name);
    }
    assert_eq!(gone, ["uld", "vld", "sd", "hd", "ld"]);
}

#[test]
fn capabilities_that_change_no_encoding_ask_for_the_same() {
    let book = Book::built_in();
    let words = |text: &str| -> Vec<String> { text.split(',').map(str::to_owned).collect() };
    let same = |choice: &Choice, one: &str, other: &str| {
        book.asks_for_the_same(choice, &words(one), &words(other))
    };
    let base = "hd,multi-bitrate,streaming";
    for (other, expected) in [
        (
            "hd,multi-bitrate,streaming,token-auth,on-demand,own-word",
            true,
        ),
        ("multi-bitrate,streaming", true),
        ("hd,multi-bitrate,streaming,sd", true),
        ("hd,multi-bitrate,streaming,fhd", false),
        ("hd,multi-bitrate,streaming,aspect-ratio=9x16", false),
        ("hd,multi-bitrate,streaming,audio-only", false),
        ("hd,streaming", false),
    ] {
        assert_eq!(same(&Choice::Auto, base, other), expected, "{other}");
        assert!(same(&Choice::Off, base, other), "nothing is encoded");
    }
    assert!(same(
        &Choice::Auto,
        "streaming",
        "fhd,aspect-ratio=9x16,streaming"
    ));
}

#[test]
fn rooms_get_what_they_need_of_what_there_is() {
    let book = Book::built_in();
    let made = |(opus, picture): (bool, bool), video: Option<(u32, u32, u32)>, sound: bool| {
        let video = video.map(|(width, height, fps)| VideoFacts {
            width,
            height,
            frame_rate_millis: fps * 1000,
        });
        let audio = sound.then_some(AudioFacts {
            aac: true,
            sample_rate: 44_100,
            channels: 2,
        });
        let plan = book.plan_of_rooms(Needs { opus, picture }, video, audio);
        assert!(plan.crop.is_none() && plan.stand_in.is_none());
        let sounds = plan.audio.iter();
        let sounds = sounds.map(|rung| format!("{}@{}", rung.name, rung.sample_rate));
        format!("{} {}", shape(&plan), sounds.collect::<String>())
    };
    let hd = Some((1280, 720, 30));
    for (needs, video, sound, expected) in [
        ((true, true), hd, true, "room:1280x720@2000 opus@48000"),
        ((true, false), hd, true, " opus@48000"),
        ((false, true), hd, true, "room:1280x720@2000 "),
        ((true, true), None, true, " opus@48000"),
        ((true, true), hd, false, "room:1280x720@2000 "),
        ((false, false), hd, true, " "),
        // Smaller ones keep their size, larger ones do not, and all their frames.
        (
            (false, true),
            Some((640, 360, 25)),
            true,
            "room:640x360@707 ",
        ),
        (
            (false, true),
            Some((1920, 1080, 60)),
            true,
            "room:1280x720@2000 ",
        ),
        (
            (false, true),
            Some((1080, 1920, 30)),
            true,
            "room:720x1280@2000 ",
        ),
        ((false, true), Some((16, 16, 30)), true, " "),
    ] {
        assert_eq!(made(needs, video, sound), expected, "{needs:?} {video:?}");
    }
}
