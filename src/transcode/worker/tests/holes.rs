//! What a worker shows while nothing comes, and how another one takes its place.

use super::*;

fn hold(until: usize, boundary: Option<usize>, filler: Filler) -> Message {
    Message::Hold {
        until: Ticks(time_of(until)),
        boundary: boundary.map(|number| Ticks(time_of(number))),
        filler,
    }
}

#[test]
fn a_hole_shows_the_last_picture_on_the_grid_with_an_idr_at_boundaries() {
    let mut before = video(0..30, 320, 180, 30);
    stamp(&mut before.units, &[0]);
    let mut after = video(70..90, 320, 180, 30);
    stamp(&mut after.units, &[70]);
    let mut all = messages(&before.track, before.units);
    all.push(Message::Break);
    // A boundary that is named again does not open again.
    all.push(hold(35, None, Filler::Picture));
    all.push(hold(44, Some(42), Filler::Picture));
    all.push(hold(60, Some(42), Filler::Picture));
    all.push(hold(60, None, Filler::Picture));
    all.push(hold(70, None, Filler::Picture));
    all.extend(messages(&after.track, after.units));
    let rungs = vec![rung("sd", 320, 180, false), rung("vld", 160, 90, true)];
    let made = run(setup(rungs, Vec::new()), all);
    assert_eq!(made.last, Some(Message::Finished));
    assert_eq!(made.times(0), (0..90).map(time_of).collect::<Vec<_>>());
    let opened = [0, 42, 70].map(time_of);
    assert_eq!(
        (made.key_times(0), made.key_times(1)),
        (opened.to_vec(), opened.to_vec())
    );
    assert_eq!(made.times(1).len(), 45);
    let held = std::iter::repeat_n(29, 40);
    let shown: Vec<usize> = (0..30).chain(held).chain(70..90).collect();
    assert_eq!(numbers(&made, 0).0, shown);
}

#[test]
fn pictures_that_come_after_others_took_their_place_are_not_shown() {
    let mut source = video(0..60, 320, 180, 60);
    stamp(&mut source.units, &[0, 50]);
    let late = source.units.split_off(20);
    let mut all = messages(&source.track, source.units);
    all.push(hold(40, None, Filler::Picture));
    all.extend(late.into_iter().map(Message::Unit));
    let made = run(setup(vec![rung("sd", 320, 180, false)], Vec::new()), all);
    assert_eq!(made.times(0), (0..60).map(time_of).collect::<Vec<_>>());
    assert_eq!(made.key_times(0), [0, 50].map(time_of));
    let (shown, _) = numbers(&made, 0);
    // All that were sent before come first, but for those that the decoder reorders.
    let held = shown[39];
    assert!((16..20).contains(&held), "{held}");
    let whole = (0..=held).chain(std::iter::repeat_n(held, 39 - held));
    assert_eq!(shown, whole.chain(40..60).collect::<Vec<_>>());
    assert_eq!(made.counters.skipped_frames as usize, 39 - held);
}

#[test]
fn frames_of_the_ntsc_family_stay_on_their_grid() {
    let mut source = video(0..2, 160, 90, 30);
    stamp(&mut source.units, &[0]);
    let mut all = messages(&source.track, source.units);
    all.push(Message::Break);
    let until = time_of(1) + 59_940 * 3 / 2;
    all.push(Message::Hold {
        until: Ticks(until),
        boundary: None,
        filler: Filler::Picture,
    });
    let mut setup = setup(vec![rung("vld", 160, 90, false)], Vec::new());
    setup.frame_rate_millis = 59_940;
    let made = run(setup, all);
    let times = made.times(0);
    for (n, time) in times[1..].iter().enumerate() {
        // 1501.5 ticks each.
        assert_eq!(*time, time_of(1) + n as i64 * 3003 / 2);
    }
    assert!(until - times.last().unwrap() <= 1502);
}

/// A grey value per row of the upper left corner, and the brightest value of all.
fn tones(made: &Made, at: usize) -> (u8, u8) {
    let CodecConfig::Avc(config) = &made.tracks[&0][0].config else {
        panic!("not H.264");
    };
    let (luma, width, _) = &decoded(config, &made.units[&0])[at];
    (luma[8 * width + 8], *luma.iter().max().unwrap())
}

/// One second of pictures, a hole with a slate, and the configurations of the worker around it.
fn run_slate(image: Option<std::path::PathBuf>, crop: Option<Aspect>) -> Made {
    let mut before = video(0..30, 320, 180, 30);
    stamp(&mut before.units, &[0]);
    let mut after = video(90..100, 320, 180, 30);
    stamp(&mut after.units, &[90]);
    let mut all = messages(&before.track, before.units);
    all.push(Message::Break);
    all.push(hold(40, None, Filler::Picture));
    all.push(hold(90, Some(60), Filler::Slate));
    all.extend(messages(&after.track, after.units));
    let mut setup = setup(vec![rung("sd", 320, 180, false)], Vec::new());
    setup.slate.as_mut().unwrap().image = image;
    if let Some(aspect) = crop {
        setup.crop = Some(aspect);
        // Less than what is cut off the source.
        (setup.video[0].width, setup.video[0].height) = (96, 96);
    }
    let made = run(setup, all);
    assert_eq!(made.last, Some(Message::Finished));
    assert_eq!(made.times(0), (0..100).map(time_of).collect::<Vec<_>>());
    assert_eq!(made.key_times(0), [0, 60, 90].map(time_of));
    // Nothing of the encoder's configuration changes.
    assert_eq!(made.tracks[&0].len(), 1);
    made
}

#[test]
fn a_long_hole_shows_a_dark_slate_with_bright_words() {
    for crop in [
        None,
        Some(Aspect {
            width: 1,
            height: 1,
        }),
    ] {
        let made = run_slate(None, crop);
        assert_eq!(made.warnings, [""; 0]);
        let (corner, brightest) = tones(&made, 80);
        assert!((20..50).contains(&corner), "the ground is {corner}");
        assert!(brightest > 150, "no words on it: {brightest}");
        if crop.is_none() {
            // What comes after it is the source again.
            assert_eq!(numbers(&made, 0).0[90..], (90..100).collect::<Vec<_>>());
        }
    }
}

#[test]
fn a_channels_own_image_is_its_slate() {
    gst::init().unwrap();
    let folder = std::env::temp_dir();
    let id = crate::base::id::Uuid::new_v4();
    // Square, so that it gets borders at the sides.
    let white = gst::Buffer::from_slice(vec![0xff_u8; 64 * 64 * 4]);
    let caps = "video/x-raw,format=RGBA,width=64,height=64,framerate=30/1";
    for (chain, name) in [("pngenc", "png"), ("videoconvert ! jpegenc", "jpg")] {
        let (_, samples) = through(caps, chain, vec![white.copy()]);
        let path = folder.join(format!("forebay-slate-{id}.{name}"));
        std::fs::write(&path, payload(&samples[0])).unwrap();
        let made = run_slate(Some(path.clone()), None);
        std::fs::remove_file(path).unwrap();
        assert_eq!(made.warnings, [""; 0], "{name}");
        let (corner, brightest) = tones(&made, 80);
        assert!(
            corner < 30 && brightest > 220,
            "{name}: {corner} {brightest}"
        );
    }
    for content in [&b"GIF89a"[..], b"\x89PNG no more", b""] {
        let path = folder.join(format!("forebay-slate-{id}"));
        std::fs::write(&path, content).unwrap();
        let made = run_slate(Some(path.clone()), None);
        std::fs::remove_file(path).unwrap();
        assert_eq!(made.warnings.len(), 1, "{:?}", made.warnings);
        assert!(made.warnings[0].contains("slate image"));
        assert!((20..50).contains(&tones(&made, 80).0));
    }
}

// ---- going on where another worker ended --------------------------------------------------------

#[test]
fn each_rung_goes_on_with_an_idr_just_behind_what_was_published() {
    let mut source = video(30..80, 320, 180, 25);
    stamp(&mut source.units, &[30, 60]);
    let rungs = vec![
        rung("sd", 320, 180, false),
        rung("ld", 256, 144, false),
        rung("vld", 160, 90, false),
        rung("uld", 128, 72, true),
    ];
    let mut setup = setup(rungs, Vec::new());
    let end = |number| Some(time_of(number) + 1);
    setup.resume = vec![end(36), end(43), None, end(38)];
    let made = run(setup, messages(&source.track, source.units));
    let keys = |first| vec![time_of(first), time_of(60)];
    assert_eq!(made.times(0), (37..80).map(time_of).collect::<Vec<_>>());
    assert_eq!(made.key_times(0), keys(37));
    assert_eq!(made.times(1), (44..80).map(time_of).collect::<Vec<_>>());
    assert_eq!(made.key_times(1), keys(44));
    assert!([39, 40].map(time_of).contains(&made.times(3)[0]));
    assert_eq!(made.key_times(3)[1..], [time_of(60)]);
    // One that never gave anything begins at a boundary.
    assert_eq!(made.times(2), (60..80).map(time_of).collect::<Vec<_>>());
}

#[test]
fn a_worker_that_starts_in_a_hole_holds_on_where_another_ended() {
    let mut source = video(0..30, 320, 180, 30);
    stamp(&mut source.units, &[0]);
    let mut all = messages(&source.track, source.units);
    all.push(Message::Break);
    // A minute and a half later.
    let (boundary, until) = (2700, 2760);
    all.push(hold(until, Some(boundary), Filler::Slate));
    let mut setup = setup(vec![rung("sd", 320, 180, false)], Vec::new());
    setup.resume = vec![Some(time_of(2709) + 1)];
    setup.colour = Some(Colour {
        colorimetry: "bt709".to_owned(),
        chroma_site: None,
    });
    let made = run(setup, all);
    assert_eq!(
        made.times(0),
        (2710..until).map(time_of).collect::<Vec<_>>()
    );
    assert_eq!(made.key_times(0), [time_of(2710)]);
    // What was pinned stays pinned, and the slate is there from the first picture on.
    assert_eq!(made.colour.as_ref().unwrap().colorimetry, "bt709");
    assert!((20..50).contains(&tones(&made, 0).0));
    assert!(made.counters.frames < 60);
}

#[test]
fn a_hole_before_any_picture_shows_the_slate() {
    let rungs = vec![rung("sd", 320, 180, false)];
    let made = run(
        setup(rungs, Vec::new()),
        vec![hold(20, Some(10), Filler::Picture)],
    );
    assert_eq!(made.times(0), (10..20).map(time_of).collect::<Vec<_>>());
    assert!((20..50).contains(&tones(&made, 5).0));
}

#[test]
fn a_rung_that_is_shed_ends_and_the_others_go_on() {
    let mut source = video(0..60, 320, 180, 30);
    stamp(&mut source.units, &[0, 30]);
    let rest = source.units.split_off(30);
    let mut all = messages(&source.track, source.units);
    // Only what was decoded is sure to be encoded.
    all.push(hold(0, None, Filler::Picture));
    all.push(Message::Shed { index: 0 });
    all.extend(rest.into_iter().map(Message::Unit));
    let rungs = vec![rung("sd", 320, 180, false), rung("vld", 160, 90, false)];
    let made = run(setup(rungs, Vec::new()), all);
    // A few are on their way.
    assert!((20..=30).contains(&made.times(0).len()));
    assert_eq!(made.times(1), (0..60).map(time_of).collect::<Vec<_>>());
}

// ---- audio -------------------------------------------------------------------------------------
