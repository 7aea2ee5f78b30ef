//! Sources of every kind.

use super::*;

#[test]
fn a_source_that_changes_its_size_changes_no_rung() {
    let mut first = video(0..30, 320, 180, 30);
    stamp(&mut first.units, &[0]);
    // Another aspect ratio: padded at the sides.
    let mut second = video(30..60, 240, 180, 30);
    stamp(&mut second.units, &[30]);
    let mut third = video(60..90, 160, 90, 30);
    stamp(&mut third.units, &[60]);
    let rungs = vec![rung("sd", 320, 180, false), rung("vld", 160, 90, false)];
    let mut all = messages(&first.track, first.units);
    all.extend(messages(&second.track, second.units));
    all.push(Message::Break);
    all.extend(messages(&third.track, third.units));
    let made = run(setup(rungs, Vec::new()), all);
    assert_eq!(made.last, Some(Message::Finished));
    for index in [0, 1] {
        assert_eq!(made.tracks[&index].len(), 1);
        assert_eq!(made.times(index), (0..90).map(time_of).collect::<Vec<_>>());
        assert_eq!(made.key_times(index), [0, 30, 60].map(time_of));
    }
    let (read, size) = numbers(&made, 0);
    assert_eq!(size, (320, 180));
    assert_eq!(read[..30], (0..30).collect::<Vec<_>>());
    assert_eq!(read[60..], (60..90).collect::<Vec<_>>());
    let CodecConfig::Avc(config) = &made.tracks[&0][0].config else {
        panic!("not H.264");
    };
    let (luma, width, height) = &decoded(config, &made.units[&0])[45];
    let column = |x: usize| {
        (0..*height)
            .map(|y| usize::from(luma[y * width + x]))
            .sum::<usize>()
    };
    assert!(
        column(10) < 25 * height && column(310) < 25 * height,
        "no black borders"
    );
    assert!(column(160) > 40 * height, "no picture between the borders");
}

#[test]
fn hevc_and_av1_sources_get_their_rungs() {
    let pictures = || (0..30).map(|number| picture(number, 320, 180)).collect();
    let size = "width=320,height=180";
    let hevc = coded(
        0,
        pictures(),
        size,
        "x265enc speed-preset=ultrafast key-int-max=15 option-string=log-level=none ! h265parse ! \
         video/x-h265,stream-format=hvc1,alignment=au",
        |record| CodecConfig::Hevc(hevc::Config::parse(record).unwrap()),
    );
    let mut av1 = coded(
        0,
        pictures(),
        size,
        "av1enc cpu-used=8 usage-profile=realtime lag-in-frames=0 keyframe-max-dist=15 ! av1parse ! \
         video/x-av1,stream-format=obu-stream,alignment=tu",
        |first| match av1::Config::parse(first.clone()) {
            Ok(config) => CodecConfig::Av1(config),
            Err(_) => CodecConfig::Av1(av1::Config::from_temporal_unit(&first).unwrap()),
        },
    );
    // A sequence header outside of the units has to do.
    let CodecConfig::Av1(config) = &av1.track.config else {
        panic!("not AV1");
    };
    let header = config.record.slice(4..);
    let first = &mut av1.units[0].data;
    let at = first.windows(header.len()).position(|part| part == header);
    let at = at.expect("the first unit has the sequence header too");
    *first = [&first[..at], &first[at + header.len()..]].concat().into();
    for mut source in [hevc, av1] {
        stamp(&mut source.units, &[0, 15]);
        let name = source.track.codec_string();
        let rungs = vec![rung("vld", 160, 90, false)];
        let made = run(
            setup(rungs, Vec::new()),
            messages(&source.track, source.units),
        );
        assert_eq!(made.last, Some(Message::Finished), "{name}");
        let expected: Vec<i64> = (0..30).map(time_of).collect();
        assert_eq!(made.times(0), expected, "{name}");
        assert_eq!(made.key_times(0), [0, 15].map(time_of), "{name}");
        assert_eq!(numbers(&made, 0).0, (0..30).collect::<Vec<_>>(), "{name}");
    }
}

#[test]
fn interlaced_pictures_lose_their_combs_and_keep_their_times() {
    gst::init().unwrap();
    for (order, kept) in [("top-field-first", 200), ("bottom-field-first", 50)] {
        // Rows of the one field are light, those of the other dark.
        let comb = |_| {
            let mut pixels = vec![128_u8; 320 * 192 * 3 / 2];
            for (y, row) in pixels[..320 * 192].chunks_exact_mut(320).enumerate() {
                row.fill(if y % 2 == 0 { 200 } else { 50 });
            }
            gst::Buffer::from_slice(pixels)
        };
        let tff = order == "top-field-first";
        let pictures = (0..30).map(comb).map(|mut buffer: gst::Buffer| {
            let mut flags = gstreamer_video::VideoBufferFlags::INTERLACED;
            flags.set(gstreamer_video::VideoBufferFlags::TFF, tff);
            use gstreamer_video::prelude::*;
            buffer.get_mut().unwrap().set_video_flags(flags);
            buffer
        });
        let mut source = coded(
            0,
            pictures.collect(),
            &format!("width=320,height=192,interlace-mode=interleaved,field-order={order}"),
            "x264enc speed-preset=ultrafast interlaced=true bframes=2 b-adapt=false key-int-max=15 \
             bitrate=8000 option-string=scenecut=0 ! video/x-h264,stream-format=avc",
            |record| CodecConfig::Avc(avc::Config::parse(record).unwrap()),
        );
        stamp(&mut source.units, &[0, 15]);
        let rungs = vec![rung("vld", 320, 192, false)];
        let made = run(
            setup(rungs, Vec::new()),
            messages(&source.track, source.units),
        );
        assert_eq!(made.times(0), (0..30).map(time_of).collect::<Vec<_>>());
        assert_eq!(made.key_times(0), [0, 15].map(time_of));
        let CodecConfig::Avc(config) = &made.tracks[&0][0].config else {
            panic!("not H.264");
        };
        let (luma, width, height) = &decoded(config, &made.units[&0])[20];
        for y in 4..height - 4 {
            let value = i32::from(luma[y * width + 160]);
            assert!((value - kept).abs() < 30, "{order}: {value} in row {y}");
        }
    }
}

#[test]
fn a_crop_cuts_the_middle_out() {
    let mut source = video(0..10, 320, 180, 10);
    stamp(&mut source.units, &[0]);
    let mut setup = setup(vec![rung("vld", 100, 180, false)], Vec::new());
    setup.crop = Some(Aspect {
        width: 9,
        height: 16,
    });
    let made = run(setup, messages(&source.track, source.units));
    let CodecConfig::Avc(config) = &made.tracks[&0][0].config else {
        panic!("not H.264");
    };
    let frames = decoded(config, &made.units[&0]);
    assert_eq!((frames[5].1, frames[5].2), (100, 180));
    // Number 5 has its bits 0 and 2 set. The 40 pixel wide columns 2 to 5 show, around x = 160.
    let (luma, width, height) = &frames[5];
    let at = |x: usize| luma[height / 4 * width + x];
    assert!(
        at(3) > 150 && at(25) < 100 && at(60) < 100,
        "{} {}",
        at(3),
        at(25)
    );
}
