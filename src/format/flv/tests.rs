use super::*;

fn video(bytes: &[u8]) -> Result<Tag, Error> {
    parse_video(&Bytes::copy_from_slice(bytes))
}

fn audio(bytes: &[u8]) -> Result<Tag, Error> {
    parse_audio(&Bytes::copy_from_slice(bytes))
}

fn config(codec: Codec, record: &'static [u8]) -> Tag {
    Tag::Config {
        codec,
        record: Bytes::from_static(record),
    }
}

fn frame(codec: Codec, key_hint: bool, composition_time_ms: i32, data: &'static [u8]) -> Tag {
    Tag::Frame {
        codec,
        key_hint,
        composition_time_ms,
        data: Bytes::from_static(data),
    }
}

#[test]
fn legacy_h264_is_config_frame_and_end() {
    assert_eq!(
        video(&[0x17, 0, 0, 0, 0, 1, 2]),
        Ok(config(Codec::Avc, &[1, 2]))
    );
    assert_eq!(
        video(&[0x17, 1, 0, 0, 80, 9]),
        Ok(frame(Codec::Avc, true, 80, &[9]))
    );
    assert_eq!(video(&[0x17, 2, 0, 0, 0]), Ok(Tag::End(Codec::Avc)));
}

#[test]
fn composition_time_has_a_sign() {
    for (bytes, expected) in [
        ([0xff, 0xff, 0xd8], -40),
        ([0x7f, 0xff, 0xff], 8_388_607),
        ([0x80, 0, 0], -8_388_608),
    ] {
        let [a, b, c] = bytes;
        assert_eq!(
            video(&[0x27, 1, a, b, c, 9]),
            Ok(frame(Codec::Avc, false, expected, &[9]))
        );
        assert_eq!(
            video(&[0xa1, b'h', b'v', b'c', b'1', a, b, c, 9]),
            Ok(frame(Codec::Hevc, false, expected, &[9]))
        );
    }
}

#[test]
fn legacy_aac_is_config_and_frame() {
    assert_eq!(
        audio(&[0xaf, 0, 0x12, 0x10]),
        Ok(config(Codec::Aac, &[0x12, 0x10]))
    );
    assert_eq!(audio(&[0xaf, 1, 7]), Ok(frame(Codec::Aac, true, 0, &[7])));
}

#[test]
fn enhanced_video_of_each_codec_is_read() {
    assert_eq!(video(b"\x90hvc1\x01\x02"), Ok(config(Codec::Hevc, &[1, 2])));
    assert_eq!(video(b"\x90av01\x81"), Ok(config(Codec::Av1, &[0x81])));
    assert_eq!(video(b"\x90avc1\x01"), Ok(config(Codec::Avc, &[1])));
    // CodedFrames of AV1 and CodedFramesX have no composition time.
    assert_eq!(
        video(b"\x91av01\x12\x00"),
        Ok(frame(Codec::Av1, true, 0, &[0x12, 0]))
    );
    assert_eq!(
        video(b"\xa3hvc1\x26"),
        Ok(frame(Codec::Hevc, false, 0, &[0x26]))
    );
    assert_eq!(
        video(b"\x93avc1\x65"),
        Ok(frame(Codec::Avc, true, 0, &[0x65]))
    );
    assert_eq!(video(b"\x92hvc1"), Ok(Tag::End(Codec::Hevc)));
}

#[test]
fn enhanced_audio_of_each_codec_is_read() {
    assert_eq!(
        audio(b"\x90OpusOpusHead"),
        Ok(config(Codec::Opus, b"OpusHead"))
    );
    assert_eq!(
        audio(b"\x91Opus\xfc"),
        Ok(frame(Codec::Opus, true, 0, &[0xfc]))
    );
    assert_eq!(
        audio(b"\x91mp4a\x21"),
        Ok(frame(Codec::Aac, true, 0, &[0x21]))
    );
    assert_eq!(audio(b"\x92Opus"), Ok(Tag::End(Codec::Opus)));
    assert_eq!(audio(b"\x94Opus\x01\x02"), Ok(Tag::Other));
}

#[test]
fn modifiers_are_passed_over_whatever_their_size() {
    // TimestampOffsetNano, three bytes, then CodedFramesX.
    assert_eq!(
        video(b"\xa7\x02\x00\x01\x02\x03hvc1\x09"),
        Ok(frame(Codec::Hevc, false, 0, &[9]))
    );
    // Size 256 is the escape to 16 bits.
    let mut long = vec![0x97, 0xff, 0x01, 0x00];
    long.extend([0; 257]);
    long.push(0x01);
    long.extend(*b"Opus\x05");
    assert_eq!(audio(&long), Ok(frame(Codec::Opus, true, 0, &[5])));
    assert!(matches!(
        video(b"\xa7\x09\x00"),
        Err(Error::Truncated { .. })
    ));
}

#[test]
fn multitrack_is_recognised() {
    // As ffmpeg 9 sends a second AV1 track.
    assert_eq!(
        video(b"\x96\x00av01\x01\x81"),
        Err(Error::Multitrack { kind: "video" })
    );
    assert_eq!(
        audio(b"\x95\x00mp4a\x01\x12\x10"),
        Err(Error::Multitrack { kind: "audio" })
    );
}

#[test]
fn what_changes_nothing_is_passed_over() {
    for body in [
        &b""[..],
        b"\xd4\x02\x00\x09colorInfo",
        b"\x57\x00",
        b"\xd1\x00",
        b"\x27\x01\x00\x00\x00",
        b"\x17\x00\x00\x00\x00",
    ] {
        assert_eq!(video(body), Ok(Tag::Other), "{body:?}");
    }
    for body in [&b""[..], b"\xaf\x00", b"\xaf\x01"] {
        assert_eq!(audio(body), Ok(Tag::Other), "{body:?}");
    }
}

#[test]
fn codecs_that_are_not_taken_are_named() {
    let name = |error: Result<Tag, Error>| {
        let error = error.unwrap_err();
        assert!(error.is_unsupported());
        error.to_string()
    };
    assert_eq!(name(audio(b"\x2f\x00")), "audio codec MP3 is not supported");
    assert_eq!(name(audio(b"\x72")), "audio codec G.711 is not supported");
    assert_eq!(name(audio(b"\xb2")), "audio codec Speex is not supported");
    assert_eq!(
        name(audio(b"\x90fLaC")),
        "audio codec fLaC is not supported"
    );
    assert_eq!(
        name(video(b"\x12\x00")),
        "video codec Sorenson H.263 is not supported"
    );
    assert_eq!(
        name(video(b"\x90vp09")),
        "video codec vp09 is not supported"
    );
    assert_eq!(
        name(video(b"\x90a\n\x00\xff")),
        "video codec a\\n\\x00\\xff is not supported"
    );
    assert!(name(video(b"\x1c\x00")).contains("hvc1"));
}

#[test]
fn a_broken_tag_is_an_error_but_no_reason_to_end_a_publish() {
    for body in [
        &b"\x17"[..],
        b"\x17\x01\x00",
        b"\x90hv",
        b"\x91hvc1\x00",
        b"\x17\x07\x00\x00\x00",
        b"\x95av01",
    ] {
        assert!(!video(body).unwrap_err().is_unsupported(), "{body:?}");
    }
    for body in [&b"\xaf"[..], b"\xaf\x02\x00", b"\x90", b"\x93mp4a"] {
        assert!(!audio(body).unwrap_err().is_unsupported(), "{body:?}");
    }
}
