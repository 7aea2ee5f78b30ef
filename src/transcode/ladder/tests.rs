use super::*;

mod file;

fn words(text: &str) -> Vec<String> {
    text.split(',').map(str::to_owned).collect()
}

struct Case<'a> {
    choice: &'a str,
    capabilities: &'a str,
    video: Option<(u32, u32, u32)>,
    passthrough: bool,
    cores: usize,
}

const HD: &str = "hd,multi-bitrate,streaming";

fn plan(case: &Case<'_>) -> Plan {
    Book::built_in().decide(&Request {
        choice: &Choice::from_setting(case.choice),
        capabilities: &words(case.capabilities),
        video: case.video.map(|(width, height, fps)| VideoFacts {
            width,
            height,
            frame_rate_millis: fps * 1000,
        }),
        audio: None,
        avc: true,
        passthrough: case.passthrough,
        cores: case.cores,
    })
}

/// `name:WxH@kbps` of every rung, with `/2` behind those of half the rate.
fn shape(plan: &Plan) -> String {
    let rungs = plan.video.iter().map(|rung| {
        let half = if rung.half_rate { "/2" } else { "" };
        let (name, width, height, kbps) = (&rung.name, rung.width, rung.height, rung.kbps);
        format!("{name}:{width}x{height}@{kbps}{half}")
    });
    rungs.collect::<Vec<_>>().join(" ")
}

fn auto(capabilities: &str, video: (u32, u32, u32), passthrough: bool, cores: usize) -> String {
    shape(&plan(&Case {
        choice: "auto",
        capabilities,
        video: Some(video),
        passthrough,
        cores,
    }))
}

#[test]
fn auto_takes_what_the_machine_can_pay_for() {
    let source = (1280, 720, 30);
    for (passthrough, cores, expected) in [
        // The source is listed: only smaller rungs, three at most below four cores.
        (true, 2, "sd:854x480@830 ld:640x360@520 vld:426x240@350/2"),
        (true, 3, "sd:854x480@830 ld:640x360@520 vld:426x240@350/2"),
        (
            true,
            8,
            "sd:854x480@830 ld:640x360@520 vld:426x240@350/2 uld:256x144@80/2",
        ),
        // It is not: the top rung has its place and counts.
        (false, 2, "hd:1280x720@1600 sd:854x480@830 ld:640x360@520"),
        (
            false,
            4,
            "hd:1280x720@1600 sd:854x480@830 ld:640x360@520 vld:426x240@350/2 uld:256x144@80/2",
        ),
    ] {
        assert_eq!(
            auto(HD, source, passthrough, cores),
            expected,
            "{passthrough} {cores}"
        );
    }
}

#[test]
fn what_is_too_dear_is_passed_over_for_what_is_not() {
    let source = (1920, 1080, 60);
    // Two cores: no room for sd at 60 fps, but for vld at 30.
    assert_eq!(
        auto(HD, source, true, 2),
        "hd:1280x720@1600 ld:640x360@520/2 vld:426x240@350/2"
    );
    // The top rung has to be, and eats everything.
    assert_eq!(
        auto("fhd,multi-bitrate", source, false, 2),
        "fhd:1920x1080@3000"
    );
}

#[test]
fn the_sources_place_is_always_taken_if_by_something_smaller() {
    // One core does not encode 1080p60 in real time; 720p30 and its kin it does.
    let source = (1920, 1080, 60);
    let fhd = "fhd,multi-bitrate";
    assert_eq!(auto(fhd, source, false, 1), "hd:1280x720@1600");
    assert_eq!(auto(fhd, (3840, 2160, 60), false, 1), "uld:256x144@80/2");
    let named = |choice| {
        shape(&plan(&Case {
            choice,
            capabilities: "uld,multi-bitrate",
            video: Some(source),
            passthrough: false,
            cores: 1,
        }))
    };
    // The ladder has nothing as small as the quality word.
    assert_eq!(named("three"), "uld:256x144@80/2");
}

#[test]
fn a_setting_that_names_no_ladder_is_refused_with_those_that_exist() {
    for text in ["auto", "off", "three", "full", "streaming"] {
        assert!(crate::transcode::check_setting(text).is_ok(), "{text}");
    }
    let error = crate::transcode::check_setting("thre").unwrap_err();
    assert_eq!(
        error.to_string(),
        "ladder \"thre\" does not exist; known: auto, off, full, streaming, three"
    );
    assert_eq!(error.kind(), crate::base::Kind::Invalid);
}

#[test]
fn the_quality_word_bounds_what_is_transcoded() {
    for (words, expected) in [
        (
            "sd,multi-bitrate",
            "sd:854x480@830 ld:640x360@520 vld:426x240@350/2 uld:256x144@80/2",
        ),
        (
            "multi-bitrate",
            "hd:1280x720@1600 sd:854x480@830 ld:640x360@520 vld:426x240@350/2 uld:256x144@80/2",
        ),
        ("vvld,multi-bitrate", "vvld:256x144@192/2"),
        (
            "xhd,multi-bitrate",
            "xhd:1920x1080@5500 hd:1280x720@1600 sd:854x480@830 ld:640x360@520 vld:426x240@350/2 uld:256x144@80/2",
        ),
        (
            "uhd,multi-bitrate",
            "uhd:1920x1080@8500 hd:1280x720@1600 sd:854x480@830 ld:640x360@520 vld:426x240@350/2 uld:256x144@80/2",
        ),
        // Two quality words: the better one. Unknown words change nothing.
        (
            "sd,fhd,multi-bitrate,whatever",
            "fhd:1920x1080@3000 hd:1280x720@1600 sd:854x480@830 ld:640x360@520 vld:426x240@350/2 uld:256x144@80/2",
        ),
    ] {
        assert_eq!(
            auto(words, (1920, 1080, 30), false, 64),
            expected,
            "{words}"
        );
    }
}

#[test]
fn every_quality_word_is_a_top_rung() {
    // The table of the contract, channels, section 10: lines and rate.
    for (word, lines, kbps) in [
        ("uld", 144, 80),
        ("vvld", 144, 192),
        ("vld", 240, 350),
        ("ld", 360, 520),
        ("sd", 480, 830),
        ("hd", 720, 1600),
        ("fhd", 1080, 3000),
        ("xhd", 1080, 5500),
        ("uhd", 1080, 8500),
    ] {
        let case = |capabilities, passthrough| Case {
            choice: "auto",
            capabilities,
            video: Some((3840, 2160, 30)),
            passthrough,
            cores: 64,
        };
        let capabilities = format!("{word},multi-bitrate,unheard-of");
        let bounded = plan(&case(&capabilities, false));
        let top = &bounded.video[0];
        assert_eq!((&*top.name, top.height, top.kbps), (word, lines, kbps));
        // A listed source is on top of it, whatever the word.
        let beside = plan(&case(&capabilities, true));
        assert_eq!(beside.video, bounded.video);
        assert!(!beside.replaces_source);
        // The word alone asks for nothing.
        assert!(plan(&case(word, false)).is_empty());
    }
}

#[test]
fn a_source_that_is_not_the_preferred_codec_is_replaced_by_its_rung() {
    let decide = |capabilities: &str, avc, height: u32| {
        Book::built_in().decide(&Request {
            choice: &Choice::Auto,
            capabilities: &words(capabilities),
            video: Some(VideoFacts {
                width: height * 16 / 9,
                height,
                frame_rate_millis: 30_000,
            }),
            audio: None,
            avc,
            passthrough: true,
            cores: 64,
        })
    };
    let wanted = "hd,multi-bitrate,prefer-h264";
    let replaced = decide(wanted, false, 720);
    assert!(replaced.replaces_source);
    assert_eq!(replaced.stand_in, None);
    assert_eq!(replaced.video[0].name, "hd");
    let listed = decide(HD, false, 720);
    assert!(!listed.replaces_source);
    assert_eq!(listed.video[0].name, "sd");
    assert_eq!(decide(wanted, true, 720), decide(HD, true, 720));
    // Without a rung in its place it stays.
    assert!(!decide(wanted, false, 16).replaces_source);
    assert!(!decide("prefer-h264", false, 720).replaces_source);
}

#[test]
fn nothing_is_scaled_up_and_a_size_between_two_rungs_keeps_its_own() {
    assert_eq!(
        auto(HD, (1066, 600, 25), false, 64),
        "hd:1066x600@1217 sd:852x480@830 ld:640x360@520 vld:426x240@350 uld:256x144@80"
    );
    assert_eq!(
        auto(HD, (320, 180, 25), false, 64),
        "vld:320x180@227 uld:256x144@80"
    );
    assert_eq!(auto(HD, (320, 180, 25), true, 64), "uld:256x144@80");
    assert_eq!(auto(HD, (160, 90, 25), true, 64), "");
    assert_eq!(auto(HD, (2, 2, 25), false, 64), "");
}

#[test]
fn sides_are_even_and_portrait_stands_upright() {
    assert_eq!(
        auto(HD, (720, 1280, 30), true, 64),
        "sd:480x854@830 ld:360x640@520 vld:240x426@350/2 uld:144x256@80/2"
    );
    let odd = plan(&Case {
        choice: "auto",
        capabilities: HD,
        video: Some((1279, 719, 30)),
        passthrough: false,
        cores: 64,
    });
    assert_eq!((odd.video[0].width, odd.video[0].height), (1278, 718));
    assert!(
        odd.video
            .iter()
            .all(|rung| rung.width % 2 == 0 && rung.height % 2 == 0)
    );
    let wide = auto(HD, (4096, 64, 30), false, 64);
    assert_eq!(wide, "uld:4096x64@24/2");
}

#[test]
fn rates_are_halved_on_the_lowest_rungs_from_30_fps_up() {
    let halved = |fps_millis: u32| {
        let book = Book::built_in();
        let plan = book.decide(&Request {
            avc: true,
            choice: &Choice::Auto,
            capabilities: &words(HD),
            video: Some(VideoFacts {
                width: 1280,
                height: 720,
                frame_rate_millis: fps_millis,
            }),
            audio: None,
            passthrough: true,
            cores: 64,
        });
        let halved = plan.video.into_iter().filter(|rung| rung.half_rate);
        halved
            .map(|rung| (rung.name, rung.frame_rate_millis))
            .collect::<Vec<_>>()
    };
    assert_eq!(halved(25_000), []);
    let named = |list: &[(&str, u32)]| {
        let list = list.iter().map(|(name, rate)| ((*name).to_owned(), *rate));
        list.collect::<Vec<_>>()
    };
    assert_eq!(halved(29_970), named(&[("vld", 14_985), ("uld", 14_985)]));
    assert_eq!(
        halved(59_940),
        named(&[("ld", 29_970), ("vld", 29_970), ("uld", 29_970)])
    );
}

#[test]
fn another_aspect_ratio_is_cut_out_and_takes_the_sources_place() {
    let case = |capabilities, video| Case {
        choice: "auto",
        capabilities,
        video: Some(video),
        passthrough: true,
        cores: 64,
    };
    let cut = plan(&case("aspect-ratio=9x16,hd,multi-bitrate", (1280, 720, 30)));
    assert_eq!(
        cut.crop,
        Some(Aspect {
            width: 9,
            height: 16
        })
    );
    assert!(cut.replaces_source);
    assert_eq!(
        shape(&cut),
        "sd:404x720@641 ld:360x642@520 vld:240x428@350/2 uld:144x256@80/2"
    );
    let same = plan(&case("aspect-ratio=16x9,hd,multi-bitrate", (1280, 720, 30)));
    assert_eq!(same.crop, None);
    assert!(!same.replaces_source);
    assert_eq!(same.video[0].name, "sd");
    // Without a ladder nothing is cut.
    let alone = plan(&case("aspect-ratio=9x16,hd", (1280, 720, 30)));
    assert_eq!((alone.crop, alone.replaces_source), (None, false));
    for nonsense in [
        "aspect-ratio=0x9,multi-bitrate",
        "aspect-ratio=9:16,multi-bitrate",
    ] {
        assert_eq!(plan(&case(nonsense, (1280, 720, 30))).crop, None);
    }
    assert_eq!(
        Aspect {
            width: 4,
            height: 3
        }
        .crop(1280, 720),
        (960, 720)
    );
    assert_eq!(
        Aspect {
            width: 21,
            height: 9
        }
        .crop(1280, 720),
        (1280, 548)
    );
}

#[test]
fn named_ladders_are_taken_whole_and_off_means_nothing() {
    let case = |choice, capabilities, passthrough| Case {
        choice,
        capabilities,
        video: Some((1280, 720, 30)),
        passthrough,
        cores: 1,
    };
    let three = "hd:1280x720@1600 sd:854x480@830 ld:640x360@520";
    assert_eq!(shape(&plan(&case("three", HD, false))), three);
    assert_eq!(
        shape(&plan(&case("three", HD, true))),
        "sd:854x480@830 ld:640x360@520"
    );
    assert_eq!(
        shape(&plan(&case("three", "ld,multi-bitrate", true))),
        "ld:640x360@520"
    );
    assert_eq!(
        shape(&plan(&case("full", "fhd,multi-bitrate", true))),
        "sd:854x480@830 ld:640x360@520 vld:426x240@350/2 vvld:256x144@192/2"
    );
    assert!(plan(&case("off", HD, false)).is_empty());
    assert!(plan(&case("no such ladder", HD, false)).is_empty());
    // Without the capability there is one rendition.
    assert!(plan(&case("auto", "hd,streaming", false)).is_empty());
}

#[test]
fn audio_is_made_where_the_sources_cannot_be_passed_through_or_audio_only_is_wanted() {
    let made = |capabilities: &str, aac, sample_rate| {
        let plan = Book::built_in().decide(&Request {
            choice: &Choice::Auto,
            capabilities: &words(capabilities),
            video: None,
            audio: Some(AudioFacts {
                aac,
                sample_rate,
                channels: 1,
            }),
            avc: true,
            passthrough: true,
            cores: 2,
        });
        let audio = plan.audio.iter();
        let text = audio.map(|rung| format!("{}@{}/{}", rung.name, rung.kbps, rung.sample_rate));
        text.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(made("streaming", true, 48_000), "");
    assert_eq!(made("streaming", true, 44_100), "");
    assert_eq!(made("streaming", false, 48_000), "ahi@128/48000");
    assert_eq!(made("streaming", true, 32_000), "ahi@128/48000");
    assert_eq!(
        made("streaming,audio-only", true, 44_100),
        "ahi@128/44100 alo@64/44100"
    );
    assert_eq!(
        made("streaming,audio-only", false, 48_000),
        "ahi@128/48000 alo@64/48000"
    );
    // High fidelity is the source's own, or the best that is made of it.
    assert_eq!(made("high-fidelity", true, 48_000), "");
    assert_eq!(made("high-fidelity", false, 48_000), "hfi@256/48000");
    assert_eq!(
        made("high-fidelity,audio-only", true, 48_000),
        "ahi@128/48000 alo@64/48000"
    );
    assert_eq!(
        made("high-fidelity,audio-only", false, 48_000),
        "hfi@256/48000 ahi@128/48000 alo@64/48000"
    );
}

#[test]
fn the_promised_peak_holds_the_mean_and_the_rate_buffer() {
    let plan = plan(&Case {
        choice: "auto",
        capabilities: HD,
        video: Some((1280, 720, 30)),
        passthrough: true,
        cores: 8,
    });
    // 830 kbit/s and 0.6 s of it in a segment of 1.5 s, plus 3 %.
    assert_eq!(plan.video[0].peak_bps, 1_196_860);
}
