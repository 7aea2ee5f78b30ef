//! The sound of the ladder.

use super::*;

/// Two seconds of stereo with a tone from `beep` on, for a tenth of a second; samples at `rate`.
fn tone(rate: usize, beep: f64) -> Vec<gst::Buffer> {
    gst::init().unwrap();
    let samples = (0..2 * rate).flat_map(|n| {
        let time = n as f64 / rate as f64 - beep;
        let level = if (0.0..0.1).contains(&time) {
            (time * 1000.0 * std::f64::consts::TAU).sin() as f32 * 0.8
        } else {
            0.0
        };
        [level, level].map(f32::to_le_bytes).concat()
    });
    let bytes: Vec<u8> = samples.collect();
    let mut buffer = gst::Buffer::from_slice(bytes);
    buffer.get_mut().unwrap().set_pts(gst::ClockTime::ZERO);
    vec![buffer]
}

pub(in crate::transcode) fn encoded_tone(
    codec: &str,
    rate: usize,
    beep: f64,
) -> (Track, Vec<Unit>) {
    let raw = format!("audio/x-raw,format=F32LE,layout=interleaved,rate={rate},channels=2");
    let chain = match codec {
        "aac" => "audioconvert ! avenc_aac bitrate=128000",
        _ => "audioconvert ! opusenc bitrate=128000",
    };
    let (caps, samples) = through(&raw, chain, tone(rate, beep));
    // What each encoder puts before the sound: see `Grid` and RFC 7845 §4.2.
    let (frame, delay) = if codec == "aac" {
        (1024, 1024)
    } else {
        (960, 312)
    };
    let config = if codec == "aac" {
        CodecConfig::Aac(aac::Config::parse(record(&caps)).unwrap())
    } else {
        CodecConfig::Opus(opus::Config::new(2).unwrap())
    };
    let scale = Timescale::of(rate as u32);
    let start = rescale(Ticks(START), Timescale::CHANNEL, scale).0;
    let units = samples.iter().enumerate().map(|(n, sample)| Unit {
        kind: MediaKind::Audio,
        key: true,
        dts: Ticks(start + n as i64 * frame - delay),
        pts: Ticks(start + n as i64 * frame - delay),
        boundary: None,
        data: payload(sample),
    });
    let units = units.collect();
    let track = Track {
        config,
        timescale: scale,
    };
    (track, units)
}

/// Seconds after `START` at which the decoded sound of an encoding gets loud.
fn onset(made: &Made, index: u8) -> f64 {
    let units = made.units[&index].iter();
    let units: Vec<(Ticks, Bytes)> = units.map(|(_, pts, data)| (*pts, data.clone())).collect();
    onset_of(&made.tracks[&index][0], &units) - START as f64 / 90_000.0
}

/// Channel time in seconds at which decoded sound gets loud. Opus is decoded as a room does: from the
/// first packet on, nothing of it skipped.
pub(in crate::transcode) fn onset_of(track: &Track, units: &[(Ticks, Bytes)]) -> f64 {
    let (caps, decoder) = match &track.config {
        CodecConfig::Aac(config) => {
            let hex: String = config.record.iter().map(|b| format!("{b:02x}")).collect();
            let rate = config.sample_rate;
            let caps = format!(
                "audio/mpeg,mpegversion=4,stream-format=raw,framed=true,rate={rate},channels=2,\
                 codec_data=(buffer){hex}"
            );
            (caps, "avdec_aac")
        }
        CodecConfig::Opus(_) => (
            "audio/x-opus,rate=48000,channels=2,channel-mapping-family=0".to_owned(),
            "opusdec",
        ),
        _ => panic!("no sound"),
    };
    let rate = f64::from(track.sample_rate().unwrap());
    let input = units
        .iter()
        .map(|(_, data)| gst::Buffer::from_slice(data.clone()));
    let chain = format!("{decoder} ! audioconvert ! audio/x-raw,format=F32LE,layout=interleaved");
    let (_, samples) = through(&caps, &chain, input.collect());
    let sound: Vec<u8> = samples.iter().flat_map(|s| payload(s).to_vec()).collect();
    let loud = sound
        .chunks_exact(8)
        .position(|frame| f32::from_le_bytes(frame[..4].try_into().unwrap()).abs() > 0.2);
    (units[0].0.0 as f64 + loud.unwrap() as f64) / rate
}

fn audio_rung(name: &str, kbps: u32, sample_rate: u32) -> AudioRung {
    AudioRung {
        name: name.to_owned(),
        kbps,
        sample_rate,
        channels: 2,
        codec: AudioCodec::Aac,
    }
}

#[test]
fn opus_becomes_aac_in_sync() {
    let (track, units) = encoded_tone("opus", 48_000, 1.0);
    let rungs = vec![
        audio_rung("ahi", 128, 48_000),
        audio_rung("alo", 64, 48_000),
    ];
    let made = run(setup(Vec::new(), rungs), messages(&track, units));
    assert_eq!(made.last, Some(Message::Finished));
    for index in [0, 1] {
        assert_eq!(made.tracks[&index][0].codec_string(), "mp4a.40.2");
        let at = onset(&made, index);
        assert!((at - 1.0).abs() < 0.005, "encoding {index}: beep at {at} s");
        let times = made.times(index);
        assert!(times.windows(2).all(|pair| pair[1] - pair[0] == 1024));
    }
}

#[test]
fn aac_becomes_opus_in_sync() {
    for rate in [48_000, 44_100] {
        let (track, units) = encoded_tone("aac", rate, 1.0);
        let opus = AudioRung {
            codec: AudioCodec::Opus,
            ..audio_rung("opus", 96, 48_000)
        };
        let made = run(setup(Vec::new(), vec![opus]), messages(&track, units));
        assert_eq!(made.last, Some(Message::Finished));
        let made_track = &made.tracks[&0][0];
        assert_eq!(made_track.codec_string(), "opus");
        assert_eq!(made_track.timescale, Timescale::of(48_000));
        let at = onset(&made, 0);
        assert!((at - 1.0).abs() < 0.003, "{rate}: beep at {at} s");
        let times = made.times(0);
        assert!(times.windows(2).all(|pair| pair[1] - pair[0] == 960));
        for (_, _, packet) in &made.units[&0] {
            assert_eq!(opus::packet_samples(packet), Ok(960));
        }
    }
}

#[test]
fn odd_sample_rates_become_48_khz_in_sync() {
    let (track, units) = encoded_tone("aac", 32_000, 0.7);
    let made = run(
        setup(Vec::new(), vec![audio_rung("ahi", 128, 48_000)]),
        messages(&track, units),
    );
    let at = onset(&made, 0);
    assert!((at - 0.7).abs() < 0.005, "beep at {at} s");
}

#[test]
fn a_hole_in_the_sound_does_not_move_what_follows() {
    let (track, mut units) = encoded_tone("aac", 48_000, 1.5);
    units.drain(20..45);
    let made = run(
        setup(Vec::new(), vec![audio_rung("ahi", 128, 48_000)]),
        messages(&track, units),
    );
    let at = onset(&made, 0);
    assert!((at - 1.5).abs() < 0.005, "beep at {at} s");
    assert_eq!(made.counters.silence_samples, 25 * 1024);
}

#[test]
fn sound_and_picture_keep_their_places() {
    let mut source = video(0..60, 160, 90, 30);
    stamp(&mut source.units, &[0, 30]);
    let (audio_track, audio_units) = encoded_tone("opus", 48_000, 1.0);
    let rungs = vec![rung("vld", 160, 90, false)];
    let setup = setup(rungs, vec![audio_rung("ahi", 128, 48_000)]);
    let mut all = messages(&source.track, Vec::new());
    all.push(Message::Track(Box::new(audio_track)));
    let mut units = source.units;
    units.extend(audio_units);
    units.sort_by_key(|unit| match unit.kind {
        MediaKind::Video => rescale(unit.dts, Timescale::CHANNEL, Timescale::NANOS),
        MediaKind::Audio => rescale(unit.dts, Timescale::of(48_000), Timescale::NANOS),
    });
    all.extend(units.into_iter().map(Message::Unit));
    let made = run(setup, all);
    assert_eq!(numbers(&made, 0).0, (0..60).collect::<Vec<_>>());
    assert_eq!(made.times(0)[30] - START, 90_000);
    let at = onset(&made, 1);
    assert!((at - 1.0).abs() < 0.005, "beep at {at} s");
}

// ---- the process -------------------------------------------------------------------------------
