//! Real publishers: every access unit of theirs arrives, the last one included, encrypted or not.
//!
//! They send at the pace of their clip, so all of a test's publishers send side by side, each to a gateway
//! of its own.

use std::path::Path;

use forebay::base::secret::Secret;

use crate::common::media::{Clip, beeps, flashes, lip_offsets, pictures, sound_seconds};
use crate::common::server::{KEY, Server};
use crate::common::srt::raw::RawCaller;
use crate::common::srt::{Call, PAYLOAD_BYTES, Sender};
use crate::inputs::{Expected, everything_came};

const PASSPHRASE: &str = "a-passphrase-of-SRT";

/// A publish, and what HLS shall say of it.
struct Case {
    name: &'static str,
    clip: Clip,
    publish: fn(&Call, &Path) -> Sender,
    /// AES key length, bytes; 0 is in the clear.
    key_bytes: u8,
    codecs: &'static [&'static str],
    /// Whether the program ends before all of its last packets are on the wire, as was seen there.
    drops_tail: bool,
}

/// Pictures and seconds of sound that such a program may keep: what its multiplexer and libsrt hold.
const TAIL: (usize, f64) = (15, 0.6);
const AVC_AAC: &[&str] = &["avc1.", "mp4a.40.2"];

/// A transport stream of 5 s: by then there are two segments.
fn clip() -> Clip {
    Clip {
        container: "ts",
        ..Clip::small("30", 150)
    }
}

async fn server(key_bytes: u8) -> Server {
    Server::start(|config| {
        config.media.ladder = "off".to_owned();
        if key_bytes > 0 {
            config.listen.srt_passphrase = Some(Secret::new(PASSPHRASE));
        }
    })
    .await
}

async fn all_arrive(cases: &[Case]) {
    let mut running = Vec::new();
    for case in cases {
        let source = case.clip.file();
        let server = server(case.key_bytes).await;
        let mut call = Call::new(server.srt(), KEY);
        if case.key_bytes > 0 {
            call = call.passphrase(PASSPHRASE, case.key_bytes);
        }
        let sender = (case.publish)(&call, &source);
        running.push((case, source, server, sender));
    }
    for (case, source, server, sender) in running {
        let (_, said) = sender.ended().await;
        assert!(!said.contains("rror"), "{}: {said}", case.name);
        super::show(&format!("{} has ended", case.name));
        match case.drops_tail {
            false => everything_came(&server, &Expected::of(&case.clip, &source)).await,
            true => all_but_the_tail_came(&server, case, &source).await,
        }
        let multivariant = server.playlist("index.m3u8").await;
        for codec in case.codecs {
            assert!(
                multivariant.contains(codec),
                "{}: {multivariant}",
                case.name
            );
        }
        if case.clip.video.is_some() {
            let wanted = "RESOLUTION=320x180";
            assert!(
                multivariant.contains(wanted),
                "{}: {multivariant}",
                case.name
            );
        }
        let id = server.stream_id().await;
        for manifest in ["manifest.mpd", "ll.mpd"] {
            let answer = server.get(&format!("/dash/{id}/{manifest}")).await;
            assert_eq!(answer.status, 200, "{}: {}", case.name, answer.text());
            for codec in case.codecs {
                assert!(answer.text().contains(codec), "{}", answer.text());
            }
        }
        server.stop().await;
    }
}

fn case(name: &'static str, publish: fn(&Call, &Path) -> Sender, key_bytes: u8) -> Case {
    Case {
        name,
        clip: clip(),
        publish,
        key_bytes,
        codecs: AVC_AAC,
        drops_tail: false,
    }
}

/// The same for a program that ends too early.
fn hasty(case: Case) -> Case {
    Case {
        drops_tail: true,
        ..case
    }
}

/// Every picture from the first to one near the end is there, and the sound beside them.
async fn all_but_the_tail_came(server: &Server, case: &Case, source: &Path) {
    server.published().await;
    let seen = pictures(&server.download("source").await);
    let numbers = seen.iter().map(|seen| seen.number);
    let wanted = (0..case.clip.frames as u32).map(Some);
    assert!(
        numbers.eq(wanted.take(seen.len())),
        "{}: {seen:?}",
        case.name
    );
    assert!(
        seen.len() + TAIL.0 >= case.clip.frames,
        "{}: {} pictures",
        case.name,
        seen.len()
    );
    let sound = server.download("audio").await;
    let (came, sent) = (sound_seconds(&sound), sound_seconds(source));
    assert!(came + TAIL.1 >= sent, "{}: {came} s of {sent}", case.name);
    let now = lip_offsets(&flashes(&seen), &beeps(&sound));
    assert!(now.len() >= 3, "{}: {now:?}", case.name);
    assert!(now.iter().all(|apart| apart.abs() < 0.045), "{now:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_unit_of_real_publishers_arrives() {
    all_arrive(&[
        case("ffmpeg 5.1", Call::ffmpeg_5, 0),
        hasty(case("ffmpeg 9", Call::ffmpeg_9, 0)),
        hasty(case("srt-live-transmit", Call::transmit, 0)),
        hasty(case("GStreamer", Call::gstreamer, 0)),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_unit_of_publishers_that_encrypt_arrives() {
    all_arrive(&[
        case("ffmpeg 5.1, AES-128", Call::ffmpeg_5, 16),
        case("ffmpeg 5.1, AES-256", Call::ffmpeg_5, 32),
        hasty(case("ffmpeg 9, AES-256", Call::ffmpeg_9, 32)),
        hasty(case("srt-live-transmit, AES-128", Call::transmit, 16)),
        hasty(case("GStreamer, AES-256", Call::gstreamer, 32)),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_codec_that_transport_streams_carry_arrives() {
    let opus = "-c:a libopus -b:a 96k -ar 48000 -ac 2";
    let hevc = "-c:v libx265 -preset ultrafast -pix_fmt yuv420p -crf 28 \
                -x265-params keyint=60:min-keyint=60:scenecut=0:bframes=0:open-gop=0:log-level=error";
    let b_frames = "-c:v libx264 -preset veryfast -pix_fmt yuv420p -crf 24 -bf 3 -b_strategy 0 \
                    -g 60 -keyint_min 60 -sc_threshold 0";
    let of = |name, clip: Clip, codecs| Case {
        clip,
        codecs,
        ..case(name, Call::ffmpeg_5, 0)
    };
    let latm = "-c:a aac -b:a 128k -ar 48000 -ac 2 -mpegts_flags latm";
    all_arrive(&[
        of("HEVC", clip().video(hevc), &["hvc1.", "mp4a.40.2"]),
        of("Opus", clip().audio(opus), &["avc1.", "opus"]),
        of("B-frames", clip().video(b_frames), AVC_AAC),
        of("sound alone", clip().blind(), &["mp4a.40.2"]),
        of(
            "44.1 kHz",
            clip().audio("-c:a aac -b:a 64k -ar 44100 -ac 1"),
            AVC_AAC,
        ),
        of("a picture alone", clip().mute(), &["avc1."]),
        of("LATM", clip().audio(latm), AVC_AAC),
    ])
    .await;
}

/// The whole clip at once and the goodbye right behind it: nothing of it is due yet.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_sent_before_the_goodbye_is_published() {
    let clip = clip();
    let source = clip.file();
    let server = server(0).await;
    let mut caller = RawCaller::new(server.srt()).await;
    caller.connect(KEY.as_bytes()).await.unwrap();
    for payload in std::fs::read(&source).unwrap().chunks(PAYLOAD_BYTES) {
        caller.data(payload).await;
    }
    caller.shutdown().await;
    everything_came(&server, &Expected::of(&clip, &source)).await;
    server.stop().await;
}
