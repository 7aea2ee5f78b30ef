use bytes::Bytes;

use super::*;
use crate::media::codec::{aac, avc, opus};

const SOURCE: RenditionId = RenditionId(0);
const SOUND: RenditionId = RenditionId(1);

/// A picture of this profile that says so much of reordering.
pub(crate) fn picture(width: u32, height: u32, profile: u8, reorder: Option<u32>) -> Track {
    Track {
        config: CodecConfig::Avc(avc::Config {
            record: Bytes::from_static(&[1, 0x64, 0, 0x1f, 0xff, 0xe0, 0]),
            width,
            height,
            frame_rate_millis: None,
            nal_length_size: 4,
            profile,
            compatibility: 0,
            level: 31,
            chroma_format: 1,
            bit_depth: 8,
            interlaced: false,
            pixel_aspect: None,
            colour: None,
            max_reorder_frames: reorder,
        }),
        timescale: Timescale::CHANNEL,
    }
}

pub(crate) fn sound_aac() -> Track {
    Track {
        config: CodecConfig::Aac(aac::Config {
            record: Bytes::from_static(&[0x11, 0x90]),
            sample_rate: 48_000,
            channels: 2,
            frame_samples: 1024,
            object_type: 2,
            core_sample_rate: 48_000,
            channel_configuration: 2,
        }),
        timescale: Timescale::of(48_000),
    }
}

pub(crate) fn sound_opus() -> Track {
    Track {
        config: CodecConfig::Opus(opus::Config::new(2).unwrap()),
        timescale: Timescale::of(48_000),
    }
}

fn rendition(id: u8, name: &str, track: Track) -> Event {
    Event::Rendition(Arc::new(Rendition {
        id: RenditionId(id),
        name: name.into(),
        track: Arc::new(track),
        peak_bps: 1_000_000,
        average_bps: 900_000,
        frame_rate_millis: 30_000,
        source: name == "source" || name == "audio",
    }))
}

fn unit(id: RenditionId, index: i64, shown_later: i64) -> Event {
    let dts = Ticks(index * 3000);
    Event::Unit(
        id,
        AccessUnit {
            kind: MediaKind::Video,
            dts,
            pts: dts + Ticks(shown_later),
            duration: None,
            key: index == 0,
            data: Bytes::from_static(b"picture"),
        },
    )
}

fn chooser(has_ladder: bool, events: &[Event]) -> Chooser {
    let mut chooser = Chooser::new(has_ladder, MOST_LAYERS);
    for event in events {
        chooser.handle(event);
    }
    chooser
}

fn plan(has_ladder: bool, events: &[Event]) -> Plan {
    chooser(has_ladder, events).plan(Duration::ZERO)
}

fn ids(ids: &[u8]) -> Vec<RenditionId> {
    ids.iter().copied().map(RenditionId).collect()
}

fn rung(id: u8, width: u32, height: u32) -> Event {
    rendition(
        id,
        &format!("p{height}"),
        picture(width, height, 100, Some(0)),
    )
}

#[test]
fn rungs_of_one_aspect_become_three_layers_the_lowest_first() {
    let source = rendition(0, "source", picture(1920, 1080, 100, Some(2)));
    let all = [
        source,
        rung(2, 1280, 720),
        rung(3, 854, 480),
        rung(4, 640, 360),
        rung(5, 426, 240),
        rung(6, 480, 480),
    ];
    let plan = plan(true, &all);
    // 640 is a half of 1280; the square is nobody's layer.
    assert_eq!(plan.pictures, ids(&[5, 4, 2]));
    assert_eq!(
        (plan.needs, plan.waits, plan.note),
        (Needs::default(), false, None)
    );
}

#[test]
fn two_rungs_are_two_layers_and_one_is_one() {
    let two = [rung(2, 1280, 720), rung(3, 640, 360)];
    assert_eq!(plan(true, &two).pictures, ids(&[3, 2]));
    assert_eq!(plan(true, &two[..1]).pictures, ids(&[2]));
    let mut one_layer = Chooser::new(true, 1);
    two.iter().for_each(|event| {
        one_layer.handle(event);
    });
    assert_eq!(one_layer.plan(Duration::ZERO).pictures, ids(&[2]));
}

#[test]
fn what_is_larger_than_a_room_takes_is_left_out_unless_there_is_nothing_else() {
    let large = rung(2, 3840, 2160);
    let both = [large.clone(), rung(3, 1920, 1080)];
    assert_eq!(plan(true, &both).pictures, ids(&[3]));
    assert_eq!(plan(true, &[large]).pictures, ids(&[2]));
}

#[test]
fn a_source_whose_header_rules_b_frames_out_goes_as_it_is() {
    for track in [
        picture(1280, 720, 100, Some(0)),
        picture(1280, 720, BASELINE, None),
    ] {
        let plan = plan(false, &[rendition(0, "source", track)]);
        assert_eq!(plan.pictures, [SOURCE]);
        assert!(!plan.needs.picture && plan.prove.is_none());
    }
}

#[test]
fn a_source_with_b_frames_has_a_picture_made_for_the_room_and_says_so() {
    let source = rendition(0, "source", picture(1280, 720, 100, Some(2)));
    let mut chooser = chooser(false, &[source]);
    let waits = chooser.plan(Duration::ZERO);
    assert!(waits.needs.picture && waits.waits && waits.pictures.is_empty());
    assert_eq!(waits.note, Some(HAS_B_FRAMES));
    chooser.handle(&rendition(128, "room", picture(1280, 720, 100, Some(0))));
    let plan = chooser.plan(Duration::ZERO);
    assert_eq!(plan.pictures, ids(&[128]));
    assert!(plan.needs.picture && !plan.waits);
}

#[test]
fn a_source_that_says_nothing_is_watched_first() {
    let source = rendition(0, "source", picture(1280, 720, 77, None));
    let mut watched = chooser(false, &[source]);
    let plan = watched.plan(Duration::ZERO);
    assert_eq!((plan.prove, plan.waits), (Some(SOURCE), true));
    for index in 0..59 {
        // Roundings of milliseconds are no B-frames.
        assert!(!watched.handle(&unit(SOURCE, index, 90 * (index % 2))));
    }
    assert!(watched.handle(&unit(SOURCE, 59, 0)));
    assert_eq!(watched.plan(Duration::ZERO).pictures, [SOURCE]);
    // A B-frame that comes later ends it, for good.
    assert!(watched.handle(&unit(SOURCE, 60, 3000)));
    for index in 61..300 {
        assert!(!watched.handle(&unit(SOURCE, index, 0)));
    }
    let plan = watched.plan(Duration::ZERO);
    assert!(plan.pictures.is_empty() && plan.needs.picture);
}

#[test]
fn a_slow_source_is_watched_for_two_seconds() {
    let source = rendition(0, "source", picture(1280, 720, 77, None));
    let mut slow = chooser(false, &[source]);
    let ticks = |index: i64| index * 30;
    assert!(!slow.handle(&unit(SOURCE, ticks(0), 0)));
    assert!(!slow.handle(&unit(SOURCE, ticks(1), 0)));
    assert!(slow.handle(&unit(SOURCE, ticks(2), 0)));
    assert_eq!(slow.plan(Duration::ZERO).pictures, [SOURCE]);
}

#[test]
fn another_configuration_is_judged_anew() {
    let source = rendition(0, "source", picture(1280, 720, 100, Some(2)));
    let mut chooser = chooser(false, &[source]);
    let plain = Arc::new(picture(1280, 720, 100, Some(0)));
    assert!(chooser.handle(&Event::Track(SOURCE, plain.clone())));
    assert!(!chooser.handle(&Event::Track(SOURCE, plain)));
    assert_eq!(chooser.plan(Duration::ZERO).pictures, [SOURCE]);
}

#[test]
fn what_browsers_do_not_decode_has_a_picture_made() {
    let mut odd = picture(1280, 720, 122, Some(0));
    if let CodecConfig::Avc(config) = &mut odd.config {
        config.bit_depth = 10;
    }
    let mut fields = picture(1280, 720, 100, Some(0));
    if let CodecConfig::Avc(config) = &mut fields.config {
        config.interlaced = true;
    }
    for track in [odd, fields] {
        let plan = plan(false, &[rendition(0, "source", track)]);
        assert!(plan.needs.picture && plan.pictures.is_empty());
        assert_eq!(plan.note, Some(IS_NO_H264));
    }
}

#[test]
fn rungs_of_a_ladder_are_waited_for_and_then_it_goes_without() {
    let source = rendition(0, "source", picture(1280, 720, 100, Some(0)));
    let mut chooser = chooser(true, &[source]);
    assert!(chooser.plan(Duration::from_secs(1)).waits);
    assert!(chooser.plan(Duration::from_secs(6)).waits);
    assert_eq!(chooser.plan(Duration::from_secs(7)).pictures, [SOURCE]);
    chooser.handle(&rung(2, 640, 360));
    let plan = chooser.plan(Duration::from_secs(8));
    assert_eq!((plan.pictures, plan.waits), (ids(&[2]), false));
    // Rungs that are shed leave the rest, and the last one the source.
    chooser.handle(&Event::Removed(RenditionId(2)));
    assert!(chooser.plan(Duration::from_secs(9)).waits);
    assert_eq!(chooser.plan(Duration::from_secs(15)).pictures, [SOURCE]);
}

#[test]
fn sound_is_the_sources_opus_or_made_or_none() {
    let made = rendition(129, "opus", sound_opus());
    let aac = rendition(1, "audio", sound_aac());
    let plan = |events: &[Event]| super::tests::plan(false, events);
    let waits = plan(std::slice::from_ref(&aac));
    assert!(waits.needs.opus && waits.waits && waits.sound.is_none());
    let both = plan(&[aac, made]);
    assert!(both.needs.opus && !both.waits);
    assert_eq!(both.sound, Some(RenditionId(129)));
    let own = plan(&[rendition(1, "audio", sound_opus())]);
    assert_eq!((own.sound, own.needs), (Some(SOUND), Needs::default()));
    // More channels than browsers take by WebRTC are made into two.
    let surround = Track {
        config: CodecConfig::Opus(opus::Config::from_channel_config_code(6).unwrap()),
        timescale: Timescale::of(48_000),
    };
    let surround = rendition(1, "audio", surround);
    let waits = plan(std::slice::from_ref(&surround));
    assert!(waits.needs.opus && waits.waits && waits.sound.is_none());
    let mixed = plan(&[surround, rendition(129, "opus", sound_opus())]);
    assert_eq!(mixed.sound, Some(RenditionId(129)));
    assert!(mixed.needs.opus, "as long as it is listened to");
    assert_eq!(plan(&[]), Plan::default());
}
