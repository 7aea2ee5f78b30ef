use std::future::Future;

use bytes::Bytes;

use super::*;
use crate::media::codec::{aac, avc, opus};
use crate::media::{CodecConfig, Ticks, Timescale};

const EPOCH: Wall = Wall(1_790_000_000_000_000);
const PICTURE: RenditionId = RenditionId(0);
const SOUND: RenditionId = RenditionId(1);

fn screen() -> Screen {
    let clock = Clock::simulated(EPOCH);
    Screen::new(Uuid::from_u128(7), "channel", EPOCH, &clock)
}

fn track(record: &'static [u8]) -> Track {
    Track {
        config: CodecConfig::Avc(avc::Config::parse(Bytes::from_static(record)).unwrap()),
        timescale: Timescale::CHANNEL,
    }
}

fn rendition(id: RenditionId, name: &str, track: Track) -> Arc<Rendition> {
    Arc::new(Rendition {
        id,
        name: name.into(),
        track: Arc::new(track),
        peak_bps: 0,
        average_bps: 0,
        frame_rate_millis: 0,
        source: false,
    })
}

fn picture() -> Arc<Rendition> {
    let record = include_bytes!("../../../tests/data/codec/avc_crop.avcc");
    rendition(PICTURE, "hd", track(record))
}

fn sound() -> Arc<Rendition> {
    let config = aac::Config::parse(Bytes::from_static(&[0x11, 0x90])).unwrap();
    let timescale = Timescale::of(48_000);
    let config = CodecConfig::Aac(config);
    rendition(SOUND, "audio", Track { config, timescale })
}

fn unit(kind: MediaKind, time: i64, key: bool) -> AccessUnit {
    AccessUnit {
        kind,
        dts: Ticks(time),
        pts: Ticks(time),
        duration: None,
        key,
        data: Bytes::from_static(b"unit"),
    }
}

/// What a future gives without waiting.
fn now<F: Future>(future: F) -> Option<F::Output> {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(future).poll(&mut context) {
        std::task::Poll::Ready(output) => Some(output),
        std::task::Poll::Pending => None,
    }
}

/// What a tap was told, in words.
fn told(tap: &mut Tap) -> Vec<String> {
    let mut told = Vec::new();
    while let Some(Some(event)) = now(tap.recv()) {
        told.push(match event {
            Event::Rendition(it) => format!("rendition {}", it.name),
            Event::Track(id, _) => format!("track {}", id.0),
            Event::Unit(id, unit) => format!("{} at {}", id.0, unit.dts.0),
            Event::Removed(id) => format!("removed {}", id.0),
            Event::Break => "break".to_owned(),
            Event::End => "end".to_owned(),
        });
    }
    told
}

#[test]
fn a_tap_is_told_what_is_shown_and_gets_units_from_a_key_unit_on() {
    let screen = screen();
    screen.show(picture());
    let mut tap = screen.tap(100);
    screen.show(sound());
    tap.choose(&[PICTURE]);
    for (time, key) in [(0, false), (3600, true), (7200, false)] {
        screen.push(PICTURE, unit(MediaKind::Video, time, key));
        screen.push(SOUND, unit(MediaKind::Audio, time, true));
    }
    screen.cut();
    assert_eq!(
        told(&mut tap),
        [
            "rendition hd",
            "rendition audio",
            "0 at 3600",
            "0 at 7200",
            "break"
        ]
    );
}

#[test]
fn another_configuration_is_told_once_and_to_those_who_come_later() {
    let screen = screen();
    screen.show(picture());
    let mut tap = screen.tap(100);
    let other = Arc::new(track(include_bytes!(
        "../../../tests/data/codec/avc_openh264.avcc"
    )));
    screen.set_track(PICTURE, &picture().track);
    screen.set_track(PICTURE, &other);
    screen.set_track(PICTURE, &other);
    assert_eq!(told(&mut tap), ["rendition hd", "track 0"]);
    assert_eq!(told(&mut screen.tap(100)), ["rendition hd", "track 0"]);
}

#[test]
fn the_sound_is_there_for_who_encodes_it_and_what_is_made_of_it_for_taps() {
    let screen = screen();
    screen.show(picture());
    screen.show(sound());
    let (mut tap, needs) = (screen.tap(100), screen.needs());
    tap.need(Needs {
        opus: true,
        picture: false,
    });
    assert!(needs.borrow().opus);
    let mut encoder = screen.subscribe(100);
    screen.push(PICTURE, unit(MediaKind::Video, 0, true));
    screen.push(SOUND, unit(MediaKind::Audio, 1024, true));
    let event = now(encoder.recv()).flatten();
    assert!(matches!(event, Some(SourceEvent::Track(track)) if track.kind() == MediaKind::Audio));
    let event = now(encoder.recv()).flatten();
    assert!(matches!(event, Some(SourceEvent::Unit { unit, .. }) if unit.dts == Ticks(1024)));
    let id = screen
        .add_private(NewRendition {
            name: "opus".into(),
            track: Track {
                config: CodecConfig::Opus(opus::Config::new(2).unwrap()),
                timescale: Timescale::of(48_000),
            },
            peak_bps: 0,
            average_bps: 0,
            frame_rate_millis: 0,
        })
        .unwrap();
    tap.choose(&[id]);
    screen.push_private(id, unit(MediaKind::Audio, 960, true));
    screen.drop_private(id);
    let private = [
        "rendition opus".to_owned(),
        format!("{} at 960", id.0),
        format!("removed {}", id.0),
    ];
    assert_eq!(told(&mut tap)[2..], private);
}

#[test]
fn the_end_is_told_to_all_and_nothing_follows() {
    let screen = screen();
    screen.show(sound());
    let (mut tap, mut encoder) = (screen.tap(100), screen.subscribe(100));
    screen.end();
    screen.push(SOUND, unit(MediaKind::Audio, 0, true));
    assert!(screen.is_ended());
    assert_eq!(told(&mut tap), ["rendition audio", "end"]);
    assert_eq!(told(&mut screen.tap(100)), ["end"]);
    now(encoder.recv());
    assert!(matches!(now(encoder.recv()), Some(Some(SourceEvent::End))));
    let mut late = screen.subscribe(100);
    now(late.recv());
    assert!(matches!(now(late.recv()), Some(Some(SourceEvent::End))));
    assert!(screen.add_private(new_like(&sound())).is_none());
}

fn new_like(rendition: &Rendition) -> NewRendition {
    NewRendition {
        name: rendition.name.clone(),
        track: (*rendition.track).clone(),
        peak_bps: 0,
        average_bps: 0,
        frame_rate_millis: 0,
    }
}
