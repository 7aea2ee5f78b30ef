//! Those who are followed, on their way into a channel that writes down what it gets.

use bytes::Bytes;
use tokio::sync::{mpsc, watch};

use super::cast::Cast;
use super::feed::Changes;
use super::*;
use crate::base::secret::Secret;
use crate::hub::PublishRequest;
use crate::ingest::recorder::{Recorder, Recording, Seen};
use crate::livekit::{Participant, RoomTrack, Source};
use crate::media::codec::testing::data;
use crate::media::codec::{avc, opus};
use crate::media::{AccessUnit, CodecConfig, MediaKind, Ticks, Timescale, Track};
use crate::rtc::IncomingId;

const MILLI: Duration = Duration::from_millis(1);

/// A room, those who are followed in it, and a channel that has this key.
struct Bench {
    room: Room,
    cast: Cast<Recording>,
    recorder: Recorder,
    seen: mpsc::Receiver<Seen>,
    evict: watch::Sender<Option<String>>,
    key: &'static str,
    now: Duration,
    clock: Clock,
}

impl Bench {
    fn new(key: &'static str) -> Bench {
        let (recorder, seen, evict) = Recorder::new();
        Bench {
            room: Room::default(),
            cast: Cast::new(Duration::from_secs(2), Arc::default(), 1),
            recorder,
            seen,
            evict,
            key,
            now: Duration::from_secs(100),
            clock: Clock::simulated(crate::base::clock::Wall(0)),
        }
    }

    fn arrange(&mut self, participant: &Participant) -> Changes {
        self.room.handle_participant(participant);
        self.cast.arrange(&mut self.room, self.now)
    }

    /// Somebody's two tracks begin to come.
    fn incoming(&mut self, of: &str, video: u32, audio: u32) {
        for (id, sid) in [(video, "camera"), (audio, "mic")] {
            let sid = format!("{of}-{sid}");
            let mut feeds = self.cast.feeds();
            assert!(feeds.any(|feed| feed.handle_incoming(IncomingId(id), &sid)));
            drop(feeds);
            let track = if sid.ends_with("mic") {
                sound()
            } else {
                picture()
            };
            let feed = self.cast.of(IncomingId(id)).unwrap();
            feed.handle_track(IncomingId(id), Arc::new(track));
        }
    }

    async fn unit(&mut self, id: u32, unit: AccessUnit) -> Option<Changes> {
        let feed = self.cast.of(IncomingId(id)).unwrap();
        if feed.handle_unit(&unit, self.now) {
            if feed.wants_session(self.now) {
                let request = PublishRequest {
                    proto: PROTO,
                    peer: "127.0.0.1:7880".parse().unwrap(),
                    key: Secret::new(self.key),
                    capabilities: None,
                    tags: Vec::new(),
                };
                use crate::ingest::port::Admit as _;
                let asked = self.recorder.admit(request).await;
                feed.open(asked, self.now);
            }
            feed.push(unit);
        }
        self.cast.advance()
    }

    /// What the channel saw, in words.
    fn seen(&mut self) -> String {
        let mut words = Vec::new();
        while let Ok(seen) = self.seen.try_recv() {
            words.push(match seen {
                Seen::Request(..) => "asked".to_owned(),
                Seen::Announced(it) => {
                    let word = |comes, word: &str| (comes == Some(true)).then(|| word.to_owned());
                    let words = [word(it.video, "picture"), word(it.audio, "sound")];
                    let words: Vec<String> = words.into_iter().flatten().collect();
                    format!("announced({})", words.join("+"))
                }
                Seen::Track(track) => format!("{:?}", track.kind()),
                Seen::Unit(unit) if unit.kind == MediaKind::Audio => "a".to_owned(),
                Seen::Unit(unit) if unit.key => "K".to_owned(),
                Seen::Unit(_) => "v".to_owned(),
                other => format!("{other:?}"),
            });
        }
        words.join(" ")
    }
}

fn picture() -> Track {
    let config = avc::Config::parse(data("avc_openh264.avcc")).unwrap();
    Track {
        config: CodecConfig::Avc(config),
        timescale: Timescale::CHANNEL,
    }
}

fn sound() -> Track {
    Track {
        config: CodecConfig::Opus(opus::Config::new(2).unwrap()),
        timescale: Timescale::new(48_000).unwrap(),
    }
}

fn unit(kind: MediaKind, key: bool) -> AccessUnit {
    AccessUnit {
        kind,
        dts: Ticks(1),
        pts: Ticks(1),
        duration: None,
        key,
        data: Bytes::from_static(b"unit"),
    }
}

fn key() -> AccessUnit {
    unit(MediaKind::Video, true)
}

fn delta() -> AccessUnit {
    unit(MediaKind::Video, false)
}

fn audio() -> AccessUnit {
    unit(MediaKind::Audio, true)
}

/// Somebody with camera and microphone.
fn person(identity: &str, role: &str) -> Participant {
    let track = |sid: &str, kind, source, mime: &str| RoomTrack {
        sid: format!("{identity}-{sid}"),
        name: String::new(),
        kind,
        source,
        mime: mime.to_owned(),
        muted: false,
        size: (640, 360),
        simulcast: false,
    };
    Participant {
        sid: format!("PA_{identity}"),
        identity: identity.to_owned(),
        name: String::new(),
        metadata: format!(r#"{{"role":"{role}"}}"#),
        is_here: true,
        joined_at_ms: 1,
        tracks: vec![
            track("camera", MediaKind::Video, Source::Camera, "video/h264"),
            track("mic", MediaKind::Audio, Source::Microphone, "audio/opus"),
        ],
    }
}

fn muted(mut participant: Participant) -> Participant {
    for track in &mut participant.tracks {
        track.muted = true;
    }
    participant
}

fn gone(mut participant: Participant) -> Participant {
    participant.is_here = false;
    participant
}

fn host() -> Participant {
    person("host", "publisher")
}

#[tokio::test]
async fn a_host_is_subscribed_and_opens_a_publish_with_its_first_unit() {
    let mut bench = Bench::new("KEY");
    let changes = bench.arrange(&host());
    assert_eq!(changes.wanted, ["host-camera", "host-mic"]);
    assert_eq!(changes.pictures, ["host-camera"]);
    bench.incoming("host", 1, 2);
    assert_eq!(bench.seen(), "", "nobody is admitted who sends nothing");
    bench.unit(2, audio()).await;
    for unit in [key(), delta()] {
        bench.unit(1, unit).await;
    }
    let expected = "asked announced(picture+sound) Video Audio a K v";
    assert_eq!(bench.seen(), expected);
    assert_eq!(bench.arrange(&host()), Changes::default(), "nothing new");
}

#[tokio::test]
async fn pictures_that_cannot_be_decoded_are_not_passed_on() {
    let mut bench = Bench::new("KEY");
    bench.arrange(&host());
    bench.incoming("host", 1, 2);
    for unit in [delta(), key(), delta()] {
        bench.unit(1, unit).await;
    }
    bench
        .cast
        .of(IncomingId(1))
        .unwrap()
        .handle_lost(IncomingId(1));
    for unit in [delta(), delta()] {
        bench.unit(1, unit).await;
    }
    bench.unit(2, audio()).await;
    bench.now += 2000 * MILLI;
    let feed = bench.cast.of(IncomingId(1)).unwrap();
    assert_eq!(feed.poll_key_unit(bench.now), Some(IncomingId(1)));
    bench.unit(1, key()).await;
    let seen = bench.seen();
    assert!(seen.ends_with("Audio K v a K"), "{seen}");
}

#[tokio::test]
async fn who_goes_stays_until_who_comes_has_a_picture() {
    let mut bench = Bench::new("KEY");
    bench.arrange(&person("co", "co_host"));
    bench.incoming("co", 1, 2);
    bench.unit(1, key()).await;
    bench.seen();
    let changes = bench.arrange(&host());
    assert_eq!(changes.wanted, ["host-camera", "host-mic"]);
    assert!(changes.unwanted.is_empty());
    bench.incoming("host", 3, 4);
    assert_eq!(bench.unit(4, audio()).await, None);
    bench.unit(1, delta()).await;
    let changes = bench.unit(3, key()).await.unwrap();
    assert_eq!(changes.unwanted, ["co-camera", "co-mic"]);
    let expected = "asked announced(picture+sound) Video Audio a v K Finished";
    assert_eq!(bench.seen(), expected);
    assert_eq!(bench.cast.on().unwrap().identity(), "host");
}

#[tokio::test]
async fn who_leaves_before_the_next_one_has_a_picture_leaves_a_hole_and_no_ghost() {
    let mut bench = Bench::new("KEY");
    bench.arrange(&person("co", "co_host"));
    bench.incoming("co", 1, 2);
    bench.unit(1, key()).await;
    bench.arrange(&host());
    bench.incoming("host", 3, 4);
    bench.seen();
    let changes = bench.arrange(&gone(person("co", "co_host")));
    assert_eq!(changes.unwanted, ["co-camera", "co-mic"]);
    assert_eq!(bench.seen(), "Finished");
    bench.unit(3, key()).await;
    assert_eq!(bench.cast.on().unwrap().identity(), "host");
    let changes = bench.arrange(&gone(host()));
    assert_eq!(changes.unwanted, ["host-camera", "host-mic"]);
    assert!(bench.seen().ends_with("K Finished"));
    assert!(bench.cast.on().is_none());
}

#[tokio::test]
async fn a_host_who_is_back_at_once_makes_the_stand_in_superfluous() {
    let mut bench = Bench::new("KEY");
    bench.arrange(&host());
    bench.incoming("host", 1, 2);
    bench.unit(1, key()).await;
    let mut without = host();
    without.tracks.clear();
    bench.room.handle_participant(&person("co", "co_host"));
    let changes = bench.arrange(&without);
    assert_eq!(changes.unwanted, ["host-camera", "host-mic"]);
    assert_eq!(changes.wanted, ["co-camera", "co-mic"]);
    let changes = bench.arrange(&host());
    assert_eq!(changes.wanted, ["host-camera", "host-mic"]);
    bench.incoming("host", 5, 6);
    let changes = bench.unit(5, key()).await.unwrap();
    assert_eq!(changes.unwanted, ["co-camera", "co-mic"]);
}

#[tokio::test]
async fn what_is_muted_is_not_waited_for_and_comes_again_when_it_is_not() {
    let mut bench = Bench::new("KEY");
    bench.arrange(&muted(host()));
    bench.now += Duration::from_secs(3600);
    assert!(!bench.cast.on().unwrap().is_starved(bench.now, MILLI));
    bench.arrange(&host());
    assert!(!bench.cast.on().unwrap().is_starved(bench.now, MILLI));
    bench.incoming("host", 1, 2);
    bench.unit(1, key()).await;
    bench.seen();
    bench.arrange(&muted(host()));
    assert_eq!(bench.seen(), "announced()");
    bench.now += Duration::from_secs(10);
    let feed = bench.cast.feeds().next().unwrap();
    feed.handle_silence(bench.now, Duration::from_secs(10));
    assert_eq!(bench.seen(), "Lost");
    bench.arrange(&host());
    bench.unit(1, key()).await;
    let expected = "asked announced(picture+sound) Video Audio K";
    assert_eq!(bench.seen(), expected);
}

#[tokio::test]
async fn what_does_not_come_although_it_is_published_is_noticed() {
    let mut bench = Bench::new("KEY");
    bench.arrange(&host());
    bench.now += 999 * MILLI;
    let limit = 1000 * MILLI;
    assert!(!bench.cast.on().unwrap().is_starved(bench.now, limit));
    bench.now += MILLI;
    assert!(bench.cast.on().unwrap().is_starved(bench.now, limit));
}

#[tokio::test]
async fn a_refused_host_is_asked_for_again_after_a_pause() {
    let mut bench = Bench::new("LATER");
    bench.arrange(&host());
    bench.incoming("host", 1, 2);
    for _ in 0..10 {
        bench.unit(1, key()).await;
    }
    assert_eq!(bench.seen(), "asked");
    assert!(!bench.cast.on().unwrap().has_begun());
    bench.now += FIRST_PAUSE;
    bench.key = "KEY";
    bench.unit(1, key()).await;
    let expected = "asked announced(picture+sound) Video Audio K";
    assert_eq!(bench.seen(), expected);
}

#[tokio::test]
async fn who_is_put_out_by_the_hub_asks_again_after_a_pause() {
    let mut bench = Bench::new("KEY");
    bench.arrange(&host());
    bench.incoming("host", 1, 2);
    bench.unit(1, key()).await;
    bench.seen();
    bench.evict.send_replace(Some("killed".to_owned()));
    bench.clock.advance(bench.now);
    bench.cast.evicted(&bench.clock).await;
    assert_eq!(bench.seen(), "Lost");
    bench.evict.send_replace(None);
    bench.unit(1, key()).await;
    assert_eq!(bench.seen(), "", "not at once");
    bench.now += FIRST_PAUSE;
    bench.unit(1, key()).await;
    assert!(bench.seen().ends_with('K'));
}

#[tokio::test]
async fn all_go_with_a_goodbye_when_listening_is_stopped() {
    let mut bench = Bench::new("KEY");
    bench.arrange(&host());
    bench.incoming("host", 1, 2);
    bench.unit(1, key()).await;
    bench.seen();
    bench.cast.finish();
    assert_eq!(bench.seen(), "Finished");
}

#[test]
fn the_server_is_where_its_address_says_or_nobody_knows() {
    let address = |url| {
        let server = Server::new(url, "key", &Secret::new("secret")).unwrap();
        address_of(&server).to_string()
    };
    assert_eq!(address("ws://192.0.2.7:7880/livekit"), "192.0.2.7:7880");
    assert_eq!(address("wss://livekit.example.org"), "0.0.0.0:0");
}
