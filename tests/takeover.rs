//! The owner's encoder takes the place of a scheduled film while it is watched: the real gateway with its own
//! ladder, real ffmpeg, playlists as players read them (N-12 of the broadcast contract).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use forebay::base::clock::{Clock, Wall};
use forebay::base::id::Uuid;
use forebay::base::secret::Secret;
use forebay::config::Config;
use forebay::manifest::parse::Media;
use forebay::manifest::{check, hls};
use forebay::media::Ticks;
use forebay::media::timeline::{Found, Resource, Timeline};
use forebay::playout::{After, Cut, Kind, Show};
use serde_json::{Value, json};

use crate::common::film;
use crate::common::http;
use crate::common::media::Clip;
use crate::common::server::{PATIENCE, Publishing, Server};

const ADMIN: &str = "AdminKey-0123456789abcdef";
/// Segments of the film are 2 s long.
const SEGMENT_90K: i64 = 180_000;

/// What a viewer has been told of a segment.
#[derive(Clone, Debug, PartialEq)]
struct Seen {
    discontinuity: bool,
    gap: bool,
    date: Option<Wall>,
}

/// A show with a looped film, and who watches it.
struct Watch {
    server: Server,
    stream: Uuid,
    key: String,
    show: Show,
    seen: BTreeMap<u64, Seen>,
    texts: BTreeMap<&'static str, String>,
}

async fn post(server: &Server, path: &str, head: (&str, &str), body: Value) -> Value {
    let headers = [("Content-Type", "application/json"), head];
    let answer = http::send(server.http(), "POST", path, &headers, &body.to_string()).await;
    let text = answer.text().to_owned();
    assert_eq!(answer.status, 200, "{path}: {text}");
    serde_json::from_str(&text).expect("it answers in JSON")
}

impl Watch {
    async fn new() -> Watch {
        Watch::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut Config)) -> Watch {
        let server = Server::start(|config| {
            config.identity.admin_key = Some(Secret::new(ADMIN));
            // A busy machine may keep an encoder waiting, which is no reason to send it away.
            config.publish.silence = Duration::from_secs(5);
            change(config);
        })
        .await;
        let body = json!({"name": "App", "contactEmail": "app@example.org", "agreeTerms": true});
        let client = post(
            &server,
            "/api/admin/sdk-clients",
            ("X-Admin-Key", ADMIN),
            body,
        )
        .await;
        let api_key = client["apiKey"].as_str().expect("a key");
        let made = post(
            &server,
            "/api/broadcasts",
            ("X-API-Key", api_key),
            json!({"title": "Film"}),
        )
        .await;
        let stream = made["streamId"].as_str().expect("a stream");
        let stream = Uuid::parse_str(stream).expect("an id");
        let asset = Uuid::new_v4();
        film::lay_down(&server.data().join("films").join(asset.to_string()));
        // It has been on for half a minute.
        let epoch = Wall((Clock::system().wall().unix_seconds() - 30) * 1_000_000);
        let film = Cut {
            at: Ticks(0),
            sequence: 5_000,
            discontinuity: 0,
            kind: Kind::Film,
            anchor: Ticks(0),
        };
        let show = Show {
            stream,
            asset,
            epoch,
            looping: true,
            after: After::End,
            cuts: vec![film].into(),
        };
        server.app.stage.put(show.clone());
        // Whoever comes first has it read.
        let timeline = server.app.stage.timeline(stream).expect("it was put on");
        timeline.changed("", 0).await;
        Watch {
            key: made["streamKey"].as_str().expect("a key").to_owned(),
            server,
            stream,
            show,
            seen: BTreeMap::new(),
            texts: BTreeMap::new(),
        }
    }

    /// Another size, another rate, key units that fit nothing.
    fn publish(&self) -> Publishing {
        self.publish_as(&Clip::small("25", 1000).size(640, 360))
    }

    fn publish_as(&self, clip: &Clip) -> Publishing {
        let url = format!("rtmp://{}/ingest/{}", self.server.rtmp(), self.key);
        Publishing::start("ffmpeg", &clip.file(), "-re", &url)
    }

    fn timeline(&self) -> Arc<dyn Timeline> {
        self.server
            .app
            .stage
            .timeline(self.stream)
            .expect("it is on")
    }

    fn cuts(&self) -> Vec<Cut> {
        let show = self.server.app.stage.show(self.stream);
        show.expect("it is on").cuts[1..].to_vec()
    }

    /// Reads the playlists as a player does that reloads them, and holds them to the rules and to what they
    /// said before.
    async fn look(&mut self) {
        let timeline = self.timeline();
        for name in ["sd", "audio"] {
            let snapshot = timeline.snapshot(name).expect("it is on");
            let text = hls::media(&snapshot, None);
            let before = self.texts.get(name).map(String::as_str);
            let broken = check::check_media_playlist(&text, before);
            assert_eq!(broken, [], "{name}\nbefore {before:?}\n{text}");
            let media = Media::parse(&text).expect("a playlist");
            assert!(!media.ended);
            if name == "sd" {
                for (number, segment) in (media.media_sequence..).zip(&media.segments) {
                    let seen = Seen {
                        discontinuity: segment.discontinuity,
                        gap: segment.gap,
                        date: segment.date,
                    };
                    let known = self.seen.entry(number).or_insert_with(|| seen.clone());
                    assert_eq!(*known, seen, "{number} is what it was");
                }
            }
            self.texts.insert(name, text);
        }
    }

    /// Looks until so many cuts were written.
    async fn until_cut(&mut self, count: usize) -> Cut {
        let mut again = tokio::time::interval(Duration::from_millis(200));
        for _ in 0..300 {
            again.tick().await;
            self.look().await;
            if let Some(cut) = self.cuts().get(count - 1) {
                return *cut;
            }
        }
        panic!("no cut {count}: {:?}", self.cuts());
    }

    /// Waits as players do for the first part after a cut, by the number that every hint had; and that it is
    /// served.
    async fn passes(&mut self, cut: Cut) {
        let timeline = self.timeline();
        let part = cut.sequence * 64;
        let comes = async {
            loop {
                let progress = timeline.progress("sd").expect("it is on");
                if progress.contains(cut.sequence, Some(0)) {
                    return;
                }
                timeline.changed("sd", progress.version).await;
            }
        };
        let came = tokio::time::timeout(PATIENCE, comes).await;
        assert!(came.is_ok(), "{part} does not come");
        let found = timeline.find("sd", Resource::Part(part));
        assert!(
            matches!(found, Found::Whole(_) | Found::Stored(_)),
            "{part}: {found:?}"
        );
        let mut again = tokio::time::interval(Duration::from_millis(200));
        for _ in 0..25 {
            again.tick().await;
            self.look().await;
        }
    }

    /// Every segment that was ever listed follows the one before, lies where the film's would, and begins
    /// something else at the cuts only.
    fn assert_one_timeline(&self) {
        let cuts = self.cuts();
        let mut last = None;
        for (number, seen) in &self.seen {
            assert!(
                last.is_none_or(|last| last + 1 == *number),
                "{:?}",
                self.seen
            );
            last = Some(*number);
            let at_cut = cuts.iter().any(|cut| cut.sequence == *number);
            assert_eq!(seen.discontinuity, at_cut, "{number}: {cuts:?}");
            assert!(!seen.gap, "{number} is there");
            let start_us = (*number as i64 - 5_000) * SEGMENT_90K * 100 / 9;
            let off = seen
                .date
                .expect("it has a date")
                .micros_since(self.show.epoch)
                - start_us;
            assert!(off.abs() < 40_000, "{number} is off by {off} µs");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encoder_takes_over_is_killed_gives_way_to_the_film_and_takes_over_again() {
    let mut watch = Watch::new().await;
    watch.look().await;
    let encoder = watch.publish();
    let live = watch.until_cut(1).await;
    assert_eq!((live.kind, live.discontinuity), (Kind::Live, 1));
    watch.passes(live).await;
    encoder.kill();
    let back = watch.until_cut(2).await;
    assert_eq!((back.kind, back.anchor), (Kind::Film, Ticks(0)));
    watch.passes(back).await;
    // It comes back as another one.
    let again = watch.publish_as(&Clip::small("30", 1000).size(480, 270));
    let live = watch.until_cut(3).await;
    assert_eq!((live.kind, live.discontinuity), (Kind::Live, 3));
    watch.passes(live).await;
    watch.assert_one_timeline();
    again.kill();
    watch.server.stop().await;
}

/// An encoder goes on air when all of the film's renditions are made of what it sends.
async fn changes_nothing(clip: Clip) {
    let mut watch = Watch::new().await;
    let encoder = watch.publish_as(&clip);
    let mut again = tokio::time::interval(Duration::from_millis(200));
    for _ in 0..40 {
        again.tick().await;
        watch.look().await;
    }
    assert!(watch.cuts().is_empty(), "{:?}", watch.cuts());
    watch.assert_one_timeline();
    encoder.kill();
    watch.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encoder_that_sends_sound_alone_changes_nothing() {
    changes_nothing(Clip::small("25", 250).blind()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encoder_without_sound_changes_nothing_where_the_film_has_sound() {
    changes_nothing(Clip::small("25", 250).mute()).await;
}

/// What its playlists promise of parts holds for the film and for the encoder.
#[tokio::test(flavor = "multi_thread")]
async fn an_encoder_has_the_film_s_parts_whatever_other_streams_have() {
    let half = |config: &mut Config| config.media.part = Duration::from_millis(500);
    let mut watch = Watch::with(half).await;
    watch.look().await;
    let encoder = watch.publish();
    let live = watch.until_cut(1).await;
    watch.passes(live).await;
    for name in ["sd", "audio"] {
        let text = &watch.texts[name];
        assert!(text.contains("PART-TARGET=0.2134\n"), "{text}");
    }
    watch.assert_one_timeline();
    encoder.kill();
    watch.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encoder_is_refused_where_nothing_is_on_any_more() {
    let watch = Watch::new().await;
    let end = Cut {
        at: Ticks(10 * SEGMENT_90K / 2),
        sequence: 5_005,
        discontinuity: 1,
        kind: Kind::End,
        anchor: Ticks(10 * SEGMENT_90K / 2),
    };
    let cuts = vec![watch.show.cuts[0], end].into();
    watch.server.app.stage.put(Show {
        cuts,
        ..watch.show.clone()
    });
    let refused = watch.publish().finish().await;
    assert!(refused.is_err(), "it may publish");
    assert_eq!(watch.cuts(), [end]);
    watch.server.stop().await;
}
