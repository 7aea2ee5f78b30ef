//! Publishes to a server that speaks the dialogue of our own ingest.

use std::net::SocketAddr;

use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::*;
use crate::base::clock::Wall;
use crate::base::push::Push;
use crate::base::shutdown::Tasks;
use crate::format::flv::{self, Tag};
use crate::forward::status::About;
use crate::ingest::rtmp::session as server;
use crate::media::codec::{aac, avc};
use crate::media::{CodecConfig, Rendition, Ticks, Timescale, Track};

/// What a tap would say.
struct Script(mpsc::Receiver<tap::Event>);

impl Units for Script {
    async fn recv(&mut self) -> Option<tap::Event> {
        self.0.recv().await
    }

    fn choose(&mut self, _ids: &[RenditionId]) {}

    fn dropped_units(&self) -> u64 {
        0
    }
}

fn told() -> Told {
    let about = About {
        id: "stream/one".to_owned(),
        kind: "rtmp",
        channel_id: "local#app#live".to_owned(),
        stream_id: "stream".to_owned(),
        destination: "rtmp://h/app".to_owned(),
    };
    Told::new(about, &Clock::simulated(Wall(0)))
}

fn restream(address: SocketAddr, private: &str) -> Restream {
    let url = format!("rtmp://{address}/app");
    let Ok(Push::Rtmp(target)) = Push::parse("rtmp", &url, Some("the-key")) else {
        panic!("no destination");
    };
    let networks = private
        .split_whitespace()
        .map(|network| network.parse().unwrap());
    let private = Private {
        networks: networks.collect(),
        setting: "FOREBAY_FORWARD_PRIVATE",
    };
    let config = Config {
        private,
        tls: None,
        clock: Clock::system(),
    };
    Restream::new(target, config)
}

fn renditions() -> [tap::Event; 2] {
    let record = include_bytes!("../../../tests/data/codec/avc_crop.avcc").as_slice();
    let video = CodecConfig::Avc(avc::Config::parse(Bytes::from_static(record)).unwrap());
    let audio = CodecConfig::Aac(aac::Config::new_lc(48_000, 2).unwrap());
    [(0, video, 90_000), (1, audio, 48_000)].map(|(id, config, rate)| {
        tap::Event::Rendition(Arc::new(Rendition {
            id: RenditionId(id),
            name: "source".into(),
            track: Arc::new(Track {
                config,
                timescale: Timescale::of(rate),
            }),
            peak_bps: 1,
            average_bps: 1,
            frame_rate_millis: 25_000,
            source: true,
        }))
    })
}

fn unit(id: u8, dts: i64, pts: i64, key: bool, data: &str) -> tap::Event {
    let unit = AccessUnit {
        kind: [MediaKind::Video, MediaKind::Audio][usize::from(id)],
        dts: Ticks(dts),
        pts: Ticks(pts),
        duration: None,
        key,
        data: Bytes::copy_from_slice(data.as_bytes()),
    };
    tap::Event::Unit(RenditionId(id), unit)
}

/// A frame as a server reads it: kind, time, composition time, key, payload.
type Frame = (MediaKind, u32, i32, bool, String);

/// Takes one publish, or refuses it; what came of media, and how it ended.
async fn serve(listener: TcpListener, accepts: bool) -> (Vec<MediaKind>, Vec<Frame>, bool) {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut session = server::Session::new();
    let mut buffer = BytesMut::new();
    let (mut configs, mut frames, mut finished) = (Vec::new(), Vec::new(), false);
    loop {
        while let Some(event) = session.poll_event(&mut buffer).unwrap() {
            match event {
                server::Event::Publish { application, name } => {
                    assert_eq!((&*application, &*name), ("app", "the-key"));
                    match accepts {
                        true => session.accept(),
                        false => session.refuse("NetStream.Publish.BadName", "the-key is taken"),
                    }
                }
                server::Event::Media {
                    kind,
                    timestamp_ms,
                    body,
                } => {
                    let tag = match kind {
                        MediaKind::Video => flv::parse_video(&body),
                        MediaKind::Audio => flv::parse_audio(&body),
                    };
                    match tag.unwrap() {
                        Tag::Config { .. } => configs.push(kind),
                        Tag::Frame {
                            key_hint,
                            composition_time_ms,
                            data,
                            ..
                        } => {
                            let data = String::from_utf8(data.to_vec()).unwrap();
                            frames.push((kind, timestamp_ms, composition_time_ms, key_hint, data));
                        }
                        other => panic!("{other:?}"),
                    }
                }
                server::Event::Finished => finished = true,
                _ => {}
            }
        }
        let output = session.take_output();
        // Whoever was refused may be gone.
        let _ = stream.write_all(&output).await;
        if stream.read_buf(&mut buffer).await.unwrap_or(0) == 0 {
            return (configs, frames, finished);
        }
    }
}

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

#[tokio::test]
async fn every_unit_arrives_with_its_times_pictures_out_of_order_too() {
    let (listener, address) = listener().await;
    let tasks = Tasks::new();
    let server = tasks.spawn(serve(listener, true));
    let (script, events) = mpsc::channel(100);
    let epoch = 90_000 * 5_000;
    for event in renditions() {
        script.send(event).await.unwrap();
    }
    let sound =
        |ms: i64, data: &str| unit(1, 48 * (5_000_000 + ms), 48 * (5_000_000 + ms), true, data);
    let shown = |ms: i64, later: i64, key: bool, data: &str| {
        unit(0, epoch + 90 * ms, epoch + 90 * (ms + later), key, data)
    };
    for event in [sound(-20, "early"), shown(0, 80, true, "I"), sound(1, "a")] {
        script.send(event).await.unwrap();
    }
    let all = [
        shown(40, 160, false, "P"),
        shown(80, 40, false, "B"),
        sound(22, "b"),
        shown(120, 0, false, "b"),
        // A hole, and what comes after it.
        shown(9_120, 80, true, "I2"),
        sound(9_100, "c"),
        tap::Event::End,
    ];
    let told = told();
    let mut restream = restream(address, "127.0.0.1");
    let mut script_end = Script(events);
    let run = restream.run(&mut script_end, &told);
    let feed = async {
        while told.status().state != crate::forward::State::Live {
            tokio::task::yield_now().await;
        }
        for event in all {
            script.send(event).await.unwrap();
        }
    };
    let (run, ()) = tokio::join!(run, feed);
    run.unwrap();
    let (configs, frames, finished) = server.await.unwrap();
    assert_eq!(configs, [MediaKind::Video, MediaKind::Audio]);
    let video = |at, later, key, data: &str| (MediaKind::Video, at, later, key, data.to_owned());
    let audio = |at, data: &str| (MediaKind::Audio, at, 0, true, data.to_owned());
    assert_eq!(
        frames,
        [
            video(0, 80, true, "I"),
            audio(1, "a"),
            video(40, 160, false, "P"),
            video(80, 40, false, "B"),
            audio(22, "b"),
            video(120, 0, false, "b"),
            video(9_120, 80, true, "I2"),
            audio(9_100, "c"),
        ]
    );
    assert!(finished, "it said goodbye");
    let status = told.status();
    assert_eq!((status.packets, status.connected), (8, 1));
    assert!(status.bytes > 200, "{}", status.bytes);
}

#[tokio::test]
async fn what_came_while_the_connection_was_made_is_left_out_up_to_the_newest_key_unit() {
    let (listener, address) = listener().await;
    let tasks = Tasks::new();
    let server = tasks.spawn(serve(listener, true));
    let (script, events) = mpsc::channel(100);
    for event in renditions() {
        script.send(event).await.unwrap();
    }
    for event in [
        unit(0, 0, 0, true, "old"),
        unit(1, 0, 0, true, "old"),
        unit(0, 3_600, 3_600, false, "old"),
        unit(0, 7_200, 7_200, true, "new"),
        unit(1, 3_840, 3_840, true, "sound"),
        tap::Event::End,
    ] {
        script.send(event).await.unwrap();
    }
    let told = told();
    let mut restream = restream(address, "127.0.0.1");
    restream.run(&mut Script(events), &told).await.unwrap();
    let (_, frames, finished) = server.await.unwrap();
    let data: Vec<&str> = frames.iter().map(|frame| &*frame.4).collect();
    assert_eq!((data, finished), (vec!["new", "sound"], true));
}

#[tokio::test]
async fn a_refused_key_is_a_refusal_that_does_not_tell_the_key() {
    let (listener, address) = listener().await;
    let tasks = Tasks::new();
    let server = tasks.spawn(serve(listener, false));
    let (script, events) = mpsc::channel(100);
    for event in renditions() {
        script.send(event).await.unwrap();
    }
    script.send(unit(0, 0, 0, true, "I")).await.unwrap();
    script.send(unit(1, 0, 0, true, "a")).await.unwrap();
    let told = told();
    let mut restream = restream(address, "127.0.0.1");
    let error = restream.run(&mut Script(events), &told).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Denied);
    let ended = Ended::from(error);
    assert_eq!(
        (ended.reason.as_str(), ended.again),
        (
            "it refused the publish (NetStream.Publish.BadName: (key) is taken)",
            Again::Refused
        )
    );
    server.await.unwrap();
}

#[tokio::test]
async fn this_machine_is_nowhere_to_go_unless_a_setting_says_so() {
    let (_listener, address) = listener().await;
    let (script, events) = mpsc::channel(100);
    for event in renditions() {
        script.send(event).await.unwrap();
    }
    script.send(unit(0, 0, 0, true, "I")).await.unwrap();
    script.send(unit(1, 0, 0, true, "a")).await.unwrap();
    let told = told();
    let mut restream = restream(address, "10.0.0.0/8");
    let error = restream.run(&mut Script(events), &told).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "127.0.0.1 is a loopback address, which FOREBAY_FORWARD_PRIVATE does not name"
    );
    assert_eq!(Ended::from(error).again, Again::Refused);
}

#[tokio::test]
async fn nothing_is_called_before_there_is_something_to_send() {
    let (listener, address) = listener().await;
    let (script, events) = mpsc::channel(100);
    for event in renditions() {
        script.send(event).await.unwrap();
    }
    // Sound alone begins nothing where there is a picture, and a picture that needs another one neither.
    script.send(unit(1, 0, 0, true, "a")).await.unwrap();
    script.send(unit(0, 0, 0, false, "P")).await.unwrap();
    script.send(tap::Event::End).await.unwrap();
    let told = told();
    let mut restream = restream(address, "127.0.0.1");
    restream.run(&mut Script(events), &told).await.unwrap();
    assert!(listener.accept().now_or_never().is_none());
    assert_eq!(told.status().state, crate::forward::State::Waiting);
}

/// A way on which so many units came.
fn way(script: &mut Script) -> Way<'_, Script> {
    Way {
        feed: script,
        offer: Offer::default(),
        publication: Publication::default(),
        early: VecDeque::new(),
        counted: Counted::default(),
        ended: false,
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_reads_no_more_is_given_up_and_nothing_piles_up() {
    let (mut far, near) = tokio::io::duplex(1000);
    let (script, events) = mpsc::channel(8);
    let mut script_end = Script(events);
    let mut way = way(&mut script_end);
    for event in renditions() {
        way.handle(Some(event)).unwrap();
    }
    let Ok(Push::Rtmp(target)) = Push::parse("rtmp", "rtmp://h/app", Some("key")) else {
        panic!("no destination");
    };
    let session = Session::new(&target, Vec::new(), &[0; 1536]);
    let connection = Connection {
        stream: Box::new(near),
        input: BytesMut::new(),
    };
    let clock = Clock::simulated(Wall(0));
    let told = told();
    let publish = way.publish(connection, session, &clock, &told);
    let (ended, queued) = tokio::join!(publish, async {
        let mut queued = 0;
        while script
            .send(unit(
                0,
                queued * 3_600,
                queued * 3_600,
                true,
                &"x".repeat(500),
            ))
            .await
            .is_ok()
            && queued < 7
        {
            queued += 1;
        }
        queued
    });
    assert!(matches!(ended, Err(Error::Stuck)), "{ended:?}");
    assert_eq!(queued, 7);
    let mut read = vec![0; 1000];
    far.read_exact(&mut read).await.unwrap();
}
