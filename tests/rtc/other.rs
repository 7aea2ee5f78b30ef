//! Our engine against another one: what it reads of us, and what we read of it.

use std::collections::{BTreeMap, HashMap};
use std::time::SystemTime;

use str0m::format::Codec;
use str0m::media::{
    Direction, KeyframeRequestKind, MediaData, MediaKind as Kind, MediaTime, Mid, Rid,
};

use super::far::{Far, TICK};
use super::*;

/// Our engine and the other.
struct Mixed {
    ours: Box<dyn Peer>,
    far: Box<Far>,
    told: Vec<Event>,
    data: Vec<MediaData>,
    connected: bool,
}

impl Mixed {
    async fn step(&mut self) {
        let next = async {
            tokio::select! {
                event = self.ours.next() => Ok(event.expect("nobody closed the connection")),
                event = self.far.next() => Err(event),
            }
        };
        let event = tokio::time::timeout(WAIT, next).await;
        match event.expect("something happens") {
            Ok(Event::Candidate(candidate)) => self.far.add_candidate(&candidate.candidate),
            Ok(event) => self.told.push(event),
            Err(str0m::Event::MediaData(data)) => self.data.push(data),
            Err(str0m::Event::Connected) => self.connected = true,
            Err(_) => {}
        }
    }

    async fn until(&mut self, done: impl Fn(&Mixed) -> bool) {
        while !done(self) {
            self.step().await;
        }
    }

    async fn connect(&mut self) {
        self.until(|mixed| {
            let ours = mixed
                .told
                .iter()
                .any(|event| matches!(event, Event::Connected));
            ours && mixed.connected
        })
        .await;
    }

    /// Goes on for a while.
    async fn pause(&mut self, pause: Duration) {
        let pause = tokio::time::sleep(pause);
        tokio::pin!(pause);
        loop {
            tokio::select! {
                () = &mut pause => break,
                () = self.step() => {}
            }
        }
    }
}

async fn we_offer(tracks: &[Outgoing]) -> Mixed {
    let (mut ours, mut far) = (open().await, Box::new(Far::new().await));
    let offer = ours.offer(tracks).await.unwrap();
    let answer = far.answer(&offer);
    ours.accept(&answer).await.unwrap();
    let mut mixed = Mixed {
        ours,
        far,
        told: Vec::new(),
        data: Vec::new(),
        connected: false,
    };
    mixed.connect().await;
    mixed
}

/// As the other engine hands pictures out.
fn annexb(unit: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for nal in forebay::media::nal::units(unit) {
        out.extend([0, 0, 0, 1]);
        out.extend(nal.unwrap());
    }
    out
}

fn epoch() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000)
}

/// How far the time of a unit is from what reports say of it: nothing, where both are media time.
fn report_error(data: &MediaData, sent: Ticks, scale: u32) -> f64 {
    let info = data.last_sender_info.expect("a report came first");
    let since = info.ntp_time.duration_since(epoch()).unwrap().as_secs_f64();
    let after = data.time.as_seconds() - info.rtp_time.as_seconds();
    (since + after) - sent.seconds(Timescale::of(scale))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn layers_reach_another_engine_whole_with_reports_in_media_time() {
    let layers = ["h", "m", "l"];
    let tracks = [
        outgoing(MediaKind::Video, &layers),
        outgoing(MediaKind::Audio, &[]),
    ];
    let mut mixed = we_offer(&tracks).await;
    mixed.ours.set_epoch(1_700_000_000_000_000);
    let sent: Vec<_> = (0..3)
        .map(|layer| pictures(45, 90_000, 3 - layer))
        .collect();
    let spoken = sounds(70, 48_000);
    let (picture, sound) = (picture(), sound());
    for index in 0..45 {
        for (layer, units) in sent.iter().enumerate() {
            mixed.ours.send(0, layer, &picture, &units[index]).unwrap();
        }
        let from = index * 70 / 45;
        for unit in &spoken[from..(index + 1) * 70 / 45] {
            mixed.ours.send(1, 0, &sound, unit).unwrap();
        }
        mixed.pause(TICK).await;
    }
    mixed.until(|mixed| mixed.data.len() >= 3 * 45 + 70).await;
    let mut by_rid: BTreeMap<Option<String>, Vec<&MediaData>> = BTreeMap::new();
    for data in &mixed.data {
        by_rid
            .entry(data.rid.map(|rid| rid.to_string()))
            .or_default()
            .push(data);
    }
    for (layer, rid) in layers.iter().enumerate() {
        let came = &by_rid[&Some((*rid).to_owned())];
        assert_eq!(came.len(), 45, "layer {rid}");
        let first = came[0].time;
        for (unit, data) in sent[layer].iter().zip(came) {
            assert_eq!(data.data[..], annexb(&with_sets(unit))[..], "layer {rid}");
            // The report follows the first packet of a layer, which says whose it is.
            if data.last_sender_info.is_some() || unit.pts != Ticks(90_000) {
                assert!(report_error(data, unit.pts, 90_000).abs() < 0.001);
            }
            // All layers share one time base.
            assert_eq!(
                data.time.numer() - first.numer(),
                (unit.pts.0 - 90_000).unsigned_abs()
            );
        }
    }
    let firsts: Vec<u64> = layers
        .iter()
        .map(|rid| by_rid[&Some((*rid).to_owned())][0].time.numer())
        .collect();
    assert!(firsts.iter().all(|first| *first == firsts[0]), "{firsts:?}");
    let came = &by_rid[&None];
    assert_eq!(came.len(), 70);
    for (unit, data) in spoken.iter().zip(came) {
        assert_eq!(data.data[..], unit.data[..]);
        assert!(report_error(data, unit.pts, 48_000).abs() < 0.001);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_of_another_engine_name_the_layer() {
    let tracks = [outgoing(MediaKind::Video, &["h", "m", "l"])];
    let mut mixed = we_offer(&tracks).await;
    let picture = picture();
    for unit in pictures(6, 0, 1) {
        for layer in 0..3 {
            mixed.ours.send(0, layer, &picture, &unit).unwrap();
        }
        mixed.pause(TICK).await;
    }
    mixed.until(|mixed| mixed.data.len() == 18).await;
    let mid = mixed.data[0].mid;
    for (rid, layer, kind) in [
        ("l", 2, KeyframeRequestKind::Pli),
        ("h", 0, KeyframeRequestKind::Fir),
    ] {
        let mut writer = mixed.far.rtc.writer(mid).unwrap();
        writer.request_keyframe(Some(Rid::from(rid)), kind).unwrap();
        let asks = move |event: &Event| matches!(event, Event::KeyUnitWanted { outgoing: 0, layer: l } if *l == layer);
        mixed.until(|mixed| mixed.told.iter().any(asks)).await;
    }
}

/// Writes one unit of another engine.
fn write(far: &mut Far, mid: Mid, codec: Codec, time: MediaTime, data: Vec<u8>) {
    let now = far.now();
    let writer = far.rtc.writer(mid).unwrap();
    let pt = {
        let mut params = writer.payload_params();
        params
            .find(|params| params.spec().codec == codec)
            .unwrap()
            .pt()
    };
    writer.write(pt, now, time, data).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offers_of_another_engine_are_answered_again_and_again() {
    let (mut ours, mut far) = (open().await, Box::new(Far::new().await));
    let mut mids = HashMap::new();
    let offer = far.offer(|change| {
        change.add_channel("_reliable".to_owned());
        let names = (Some("PA_x|TR_v".to_owned()), Some("TR_v".to_owned()));
        mids.insert(
            "video",
            change.add_media(Kind::Video, Direction::SendOnly, names.0, names.1, None),
        );
    });
    let answer = ours.answer(&offer).await.unwrap();
    assert!(answer.contains("m=application 9"), "{answer}");
    far.accept(&answer);
    let mut mixed = Mixed {
        ours,
        far,
        told: Vec::new(),
        data: Vec::new(),
        connected: false,
    };
    mixed.connect().await;
    let h264 = Codec::H264;
    let sent = pictures(30, 0, 2);
    for unit in &sent[..15] {
        let time = MediaTime::from_90khz(unit.pts.0.unsigned_abs());
        write(
            &mut mixed.far,
            mids["video"],
            h264,
            time,
            annexb(&with_sets(unit)),
        );
        mixed.pause(TICK).await;
    }
    let units = |mixed: &Mixed, wanted: IncomingId| -> Vec<AccessUnit> {
        let unit = |event: &Event| match event {
            Event::Unit(id, unit) if *id == wanted => Some(unit.clone()),
            _ => None,
        };
        mixed.told.iter().filter_map(unit).collect()
    };
    let first = IncomingId(0);
    mixed.until(|mixed| units(mixed, first).len() == 15).await;
    // A second track joins, and later the first one ends; both while the other goes on.
    let offer = mixed.far.offer(|change| {
        let names = (Some("PA_x|TR_a".to_owned()), Some("TR_a".to_owned()));
        mids.insert(
            "audio",
            change.add_media(Kind::Audio, Direction::SendOnly, names.0, names.1, None),
        );
    });
    let answer = mixed.ours.answer(&offer).await.unwrap();
    mixed.far.accept(&answer);
    for (unit, spoken) in sent[15..].iter().zip(sounds(15, 0)) {
        let time = MediaTime::from_90khz(unit.pts.0.unsigned_abs());
        write(
            &mut mixed.far,
            mids["video"],
            h264,
            time,
            annexb(&with_sets(unit)),
        );
        let time = MediaTime::new(
            spoken.pts.0.unsigned_abs(),
            str0m::media::Frequency::FORTY_EIGHT_KHZ,
        );
        write(
            &mut mixed.far,
            mids["audio"],
            Codec::Opus,
            time,
            spoken.data.to_vec(),
        );
        mixed.pause(TICK).await;
    }
    let second = IncomingId(1);
    mixed
        .until(|mixed| units(mixed, first).len() == 30 && units(mixed, second).len() == 15)
        .await;
    for (sent, came) in sent.iter().zip(units(&mixed, first)) {
        assert_eq!((came.data, came.key), (with_sets(sent), sent.key));
    }
    let announced: Vec<_> = mixed
        .told
        .iter()
        .filter_map(|event| match event {
            Event::Incoming {
                id,
                kind,
                stream_id,
                track_id,
            } => Some((id.0, *kind, stream_id.as_str(), track_id.as_str())),
            _ => None,
        })
        .collect();
    // The other engine takes characters out of names that are no tokens (RFC 8830 §2).
    assert_eq!(
        announced,
        [
            (0, MediaKind::Video, "PA_x|TR_v", "TR_v"),
            (1, MediaKind::Audio, "PA_x|TR_a", "TR_a")
        ]
    );
    let video = mids["video"];
    let offer = mixed
        .far
        .offer(|change| change.set_direction(video, Direction::Inactive));
    let answer = mixed.ours.answer(&offer).await.unwrap();
    mixed.far.accept(&answer);
    mixed
        .until(|mixed| {
            mixed
                .told
                .iter()
                .any(|event| matches!(event, Event::Ended(IncomingId(0))))
        })
        .await;
    assert!(
        !mixed
            .told
            .iter()
            .any(|event| matches!(event, Event::Lost(_) | Event::Ended(IncomingId(1))))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_section_of_another_codec_is_refused_and_the_others_are_taken() {
    let mut far = Far::new().await;
    let offer = far.offer(|change| {
        for name in ["a", "b"] {
            let names = (Some(name.to_owned()), Some(name.to_owned()));
            change.add_media(Kind::Video, Direction::SendOnly, names.0, names.1, None);
        }
    });
    let cut = offer.rfind("m=video").unwrap();
    let offer = format!(
        "{}{}",
        &offer[..cut],
        offer[cut..].replace("H264/90000", "VP8/90000")
    );
    let mut ours = open().await;
    let answer = ours.answer(&offer).await.unwrap();
    let sections = forebay::rtc::description::sections(&answer);
    assert_eq!(sections.len(), 2);
    assert!(!sections[0].refused && sections[1].refused, "{answer}");
    let announced = loop {
        if let Some(Event::Incoming { track_id, .. }) = ours.next().await {
            break track_id;
        }
    };
    assert_eq!(announced, "a");
}
