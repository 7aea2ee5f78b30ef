//! Events at their times: begun, ended, repeated, started by hand and taken over, by one gateway of many.

mod hands;

use std::net::SocketAddr;

use super::*;
use crate::base::clock::Wall;
use crate::base::id::Uuid;
use crate::base::lead::LEAD_US;
use crate::control::token::Tokens;
use crate::control::{Conductor, Playbill, StoreGate};
use crate::hub::gate::Gate;
use crate::hub::{PublishRequest, Refusal};
use crate::playout::Stage;
use crate::store::{AssetKind, Event, EventStatus, NewAsset, Received, Status, Store};

mod others;
mod rooms;

const SECOND: i64 = 1_000_000;
const HOUR: i64 = 3600 * SECOND;

/// Whose events they are, and an event of theirs.
struct Show {
    bench: Bench,
    person: Person,
    id: Uuid,
    conductor: Conductor,
}

fn conductor(bench: &Bench, store: &Store, playbill: &Playbill) -> Conductor {
    let planning = bench.state.setup().planning;
    let premises = ("local".to_owned(), 1000);
    let known = (playbill.clone(), store.clone());
    let others = (bench.clock.clone(), bench.state.chats().clone());
    Conductor::new(known, planning, premises, others)
}

/// What a gateway has that was started now.
fn started(bench: &Bench, store: &Store) -> (Playbill, Conductor) {
    let config = crate::playout::Config {
        folder: bench.state.setup().data.join("films"),
        rules: crate::control::tests::rules(),
    };
    let stage = Stage::new(config, bench.clock.clone());
    let playbill = Playbill::new(store.clone(), stage);
    let conductor = conductor(bench, store, &playbill);
    (playbill, conductor)
}

fn iso(wall: Wall) -> String {
    crate::base::rfc3339::Rfc3339(wall).seconds()
}

impl Show {
    /// An event of an hour that begins in a minute, with more fields.
    async fn scheduled(more: Value) -> Show {
        Show::scheduled_at(clients().await, more).await
    }

    async fn scheduled_at(bench: Bench, more: Value) -> Show {
        let person = person(&bench, "ann", "").await;
        let starts = bench.clock.wall().plus_micros(60 * SECOND);
        let mut body = json!({"title": "Film", "scheduledStartTime": iso(starts),
            "scheduledEndTime": iso(starts.plus_micros(HOUR))});
        let fields = more.as_object().unwrap().clone();
        body.as_object_mut().unwrap().extend(fields);
        let (code, made) = person.call(&bench, "POST /api/events/schedule", body).await;
        assert_eq!(code, 200, "{made}");
        let id = Uuid::parse_str(made["id"].as_str().unwrap()).unwrap();
        let setup = bench.state.setup();
        let conductor = conductor(&bench, &setup.store, &setup.playbill);
        Show {
            bench,
            person,
            id,
            conductor,
        }
    }

    /// The same with a file that came whole.
    async fn with_film(more: Value) -> Show {
        let show = Show::scheduled(more).await;
        show.upload().await;
        show
    }

    async fn upload(&self) {
        self.upload_to(self.id).await;
    }

    async fn upload_to(&self, event_id: Uuid) {
        let new = NewAsset {
            id: Uuid::new_v4(),
            event_id,
            name: "film.mp4",
            bytes: 1000,
        };
        let store = &self.bench.store;
        store.create_asset(&new).await.unwrap();
        let received = Received {
            kind: AssetKind::Video,
            bytes: 1000,
            sha256: "00",
            duration_us: Some(60 * SECOND),
        };
        store.asset_received(new.id, &received).await.unwrap();
    }

    /// Time passes, at the end of which the gateway looks.
    async fn after(&self, seconds: u64) -> Event {
        self.bench
            .clock
            .advance(std::time::Duration::from_secs(seconds));
        self.look().await
    }

    async fn look(&self) -> Event {
        self.conductor.look().await.unwrap();
        self.event().await
    }

    async fn event(&self) -> Event {
        self.bench.store.event(self.id).await.unwrap().unwrap()
    }

    async fn broadcasts(&self) -> Vec<(Uuid, Status)> {
        let all = self.bench.store.all_broadcasts(None, 100, 0).await.unwrap();
        all.iter().map(|one| (one.stream_id, one.status)).collect()
    }

    async fn call(&self, verb: &str) -> Answer {
        let what = format!("POST /api/events/{}/{verb}", self.id);
        self.person.call(&self.bench, &what, "").await
    }

    async fn sync(&self) -> Value {
        let path = format!("/api/events/{}/sync", self.id);
        let (code, answer) = self.bench.api("GET", &path, &NOBODY, "").await;
        assert_eq!(code, 200, "{answer}");
        answer
    }
}

#[tokio::test]
async fn an_event_begins_at_its_time_with_a_broadcast_on_its_stream_and_ends_with_it() {
    let show = Show::with_film(json!({"description": "of a test"})).await;
    let event = show.after(59).await;
    assert_eq!(event.status, EventStatus::Scheduled);
    assert_eq!(show.broadcasts().await, []);
    let sync = show.sync().await;
    assert_eq!(sync["playbackStartedAt"], Value::Null);
    assert_eq!(
        (&sync["isPlaying"], &sync["currentPosition"]),
        (&json!(false), &json!(0.0))
    );
    let event = show.after(1).await;
    assert_eq!(event.status, EventStatus::Active);
    assert_eq!(event.playback_started, Some(event.starts));
    let on = show.broadcasts().await;
    assert_eq!(on, [(event.stream_id, Status::Active)]);
    let (_, live) = show.bench.api("GET", "/api/broadcasts", &NOBODY, "").await;
    assert_eq!(live[0]["streamId"], event.stream_id.to_string());
    assert_eq!(
        (&live[0]["title"], &live[0]["status"]),
        (&json!("Film"), &json!("active"))
    );
    // Neither heartbeats nor media, for a long time.
    let event = show.after(3599).await;
    let silence = crate::store::Silence {
        active: show.bench.clock.wall(),
        anonymous: show.bench.clock.wall(),
    };
    let ended = show
        .bench
        .store
        .end_silent_broadcasts("local", silence)
        .await;
    assert_eq!(
        (event.status, ended.unwrap()),
        (EventStatus::Active, vec![])
    );
    let event = show.after(1).await;
    assert_eq!(event.status, EventStatus::Completed);
    assert_eq!(
        show.broadcasts().await,
        [(event.stream_id, Status::Completed)]
    );
    assert_eq!(show.look().await, event);
}

#[tokio::test]
async fn positions_are_those_of_the_clock_also_after_a_late_start() {
    let show = Show::with_film(json!({})).await;
    // The gateway was away when it began.
    let event = show.after(60 + 100).await;
    assert_eq!(event.playback_started, Some(event.starts));
    let sync = show.sync().await;
    assert_eq!(sync["currentPosition"], json!(100.0), "{sync}");
    assert_eq!(sync["currentPosition"], sync["currentPlaybackPosition"]);
    assert_eq!(sync["playbackStartedAt"], json!(iso(event.starts)));
    assert_eq!(sync["initialPosition"], json!(0.0));
    assert!(sync["serverTime"].as_str().unwrap().ends_with(".000Z"));
    // Another process, which was started in the middle of it.
    let store = show.bench.another().await;
    let (playbill, conductor) = started(&show.bench, &store);
    conductor.look().await.unwrap();
    let entry = playbill.of_event(show.id).unwrap();
    show.bench
        .clock
        .advance(std::time::Duration::from_millis(2500));
    let position = playbill.position(&entry, show.bench.clock.wall());
    assert!((position.seconds - 102.5).abs() < 1e-6, "{position:?}");
    assert!(position.playing);
    assert_eq!(show.broadcasts().await.len(), 1);
}

#[tokio::test]
async fn an_event_that_nobody_was_there_for_is_over_or_waits_for_its_next_run() {
    let once = Show::with_film(json!({})).await;
    let event = once.after(60 + 3600).await;
    assert_eq!((event.status, event.error), (EventStatus::Completed, None));
    assert_eq!(once.broadcasts().await, []);
    let daily = Show::with_film(json!({"repeatMode": "daily"})).await;
    let before = daily.event().await;
    let event = daily.after(60 + 2 * 86_400 + 3600).await;
    assert_eq!(event.status, EventStatus::Scheduled);
    assert_eq!(event.starts, before.starts.plus_micros(3 * 24 * HOUR));
    assert_ne!(event.stream_id, before.stream_id);
    assert_eq!(daily.broadcasts().await, []);
    // In the middle of a run it runs.
    let event = daily.after(86_400 - 1800).await;
    assert_eq!(event.status, EventStatus::Active);
    assert_eq!(event.playback_started, Some(event.starts));
}

#[tokio::test]
async fn without_a_file_an_event_fails_with_a_sentence_and_one_that_repeats_waits() {
    let once = Show::scheduled(json!({})).await;
    let event = once.after(60).await;
    assert_eq!(event.status, EventStatus::Error);
    assert!(event.error.unwrap().contains("no file"));
    let daily = Show::scheduled(json!({"repeatMode": "daily"})).await;
    let event = daily.after(60).await;
    assert_eq!(event.status, EventStatus::Scheduled);
    assert!(event.error.unwrap().contains("no file"));
    daily.upload().await;
    let event = daily.after(86_400).await;
    assert_eq!((event.status, event.error), (EventStatus::Active, None));
    // What failed can still be started while its slot lasts.
    once.upload().await;
    let (code, started) = once.call("start-video").await;
    assert_eq!(
        (code, &started["status"]),
        (200, &json!("active")),
        "{started}"
    );
    assert_ne!(once.event().await.stream_id, event.stream_id);
}

#[tokio::test]
async fn a_run_after_a_night_without_an_hour_is_at_the_time_of_the_wall_clock() {
    // 2026-10-24, 02:30 in Berlin; the night after, the clock is set back at 03:00.
    let first = Wall(1_792_801_800 * SECOND);
    let show = Show::with_film(
        json!({"scheduledStartTime": iso(first), "timeZone": "Europe/Berlin",
        "scheduledEndTime": iso(first.plus_micros(HOUR / 2)), "repeatMode": "daily"}),
    )
    .await;
    let wait = first.micros_since(show.bench.clock.wall()) / SECOND;
    let event = show.after(wait.unsigned_abs()).await;
    assert_eq!(event.status, EventStatus::Active);
    let event = show.after(1800).await;
    assert_eq!(event.status, EventStatus::Scheduled);
    // The first of the two times that are 02:30.
    assert_eq!(event.starts, first.plus_micros(24 * HOUR));
    show.after(86_400 - 1800).await;
    let event = show.after(1800).await;
    assert_eq!(event.starts, first.plus_micros(49 * HOUR));
    assert_eq!(event.ends, Some(event.starts.plus_micros(HOUR / 2)));
}

#[tokio::test]
async fn a_clock_that_is_set_by_an_hour_stops_nothing_and_begins_nothing_twice() {
    let show = Show::with_film(json!({})).await;
    let on = show.after(70).await;
    let clock = &show.bench.clock;
    clock.step_wall(clock.wall().plus_micros(-HOUR));
    assert_eq!(show.look().await.status, EventStatus::Active);
    let sync = show.sync().await;
    assert_eq!(
        (&sync["isPlaying"], &sync["currentPosition"]),
        (&json!(false), &json!(0.0))
    );
    clock.step_wall(clock.wall().plus_micros(HOUR + 60 * SECOND));
    assert_eq!(show.sync().await["currentPosition"], json!(70.0));
    clock.step_wall(clock.wall().plus_micros(HOUR));
    assert_eq!(show.look().await.status, EventStatus::Completed);
    clock.step_wall(clock.wall().plus_micros(-HOUR));
    assert_eq!(show.look().await.status, EventStatus::Completed);
    assert_eq!(show.broadcasts().await, [(on.stream_id, Status::Completed)]);
}

#[tokio::test]
async fn of_two_gateways_one_begins_and_one_ends_a_run() {
    let show = Show::with_film(json!({"repeatMode": "daily"})).await;
    let store = show.bench.another().await;
    let (_, other) = started(&show.bench, &store);
    for seconds in [60, 3600] {
        show.bench
            .clock
            .advance(std::time::Duration::from_secs(seconds));
        let (one, two) = tokio::join!(show.conductor.look(), other.look());
        one.unwrap();
        two.unwrap();
    }
    assert_eq!(show.broadcasts().await.len(), 1);
    let event = show.event().await;
    assert_eq!(event.status, EventStatus::Scheduled);
    let shows = show.bench.store.shows_since(0).await.unwrap().unwrap();
    assert_eq!(shows.streams.len(), 2);
}

#[tokio::test]
async fn a_broadcast_that_its_owner_ends_ends_the_run() {
    let show = Show::with_film(json!({"repeatMode": "weekly"})).await;
    let event = show.after(60).await;
    let broadcast = event.broadcast_id.unwrap();
    let what = format!("POST /api/broadcasts/{broadcast}/status");
    let (code, _) = show
        .person
        .call(&show.bench, &what, json!({"status": "completed"}))
        .await;
    assert_eq!(code, 200);
    let next = show.after(1).await;
    assert_eq!(next.status, EventStatus::Scheduled);
    assert_eq!(next.starts, event.starts.plus_micros(7 * 24 * HOUR));
    // Its stream is over at once, not at the end that was declared.
    let run = show
        .bench
        .store
        .show(event.stream_id)
        .await
        .unwrap()
        .unwrap();
    let end = run.cuts.last().unwrap();
    assert_eq!(end.kind, crate::store::CutKind::End);
    let at = run.epoch.plus_micros(end.at_90k * 100 / 9);
    assert!(at <= show.bench.clock.wall().plus_micros(LEAD_US));
}

#[tokio::test]
async fn a_start_by_hand_is_at_a_whole_second_and_a_second_one_changes_nothing() {
    let show = Show::scheduled(json!({})).await;
    let (code, refused) = show.call("start-video").await;
    assert_eq!(
        (code, &refused["reason"]),
        (409, &json!("no file was uploaded"))
    );
    show.upload().await;
    show.bench
        .clock
        .advance(std::time::Duration::from_millis(700));
    let now = show.bench.clock.wall();
    let (code, started) = show.call("start-video").await;
    assert_eq!(
        (code, &started["status"]),
        (200, &json!("active")),
        "{started}"
    );
    let event = show.event().await;
    let began = event.playback_started.unwrap();
    assert_eq!(began.0 % SECOND, 0);
    assert!((LEAD_US..LEAD_US + SECOND).contains(&began.micros_since(now)));
    assert_eq!(show.sync().await["isPlaying"], false);
    show.after(3).await;
    let sync = show.sync().await;
    assert_eq!(sync["isPlaying"], true, "{sync}");
    let (code, again) = show.call("start-video").await;
    assert_eq!(
        (code, &again["playbackStartedAt"]),
        (200, &started["playbackStartedAt"])
    );
    assert_eq!(show.event().await, event);
    // At the time for which it was declared nothing begins again.
    assert_eq!(show.after(60).await, event);
    let event = show.after(3600).await;
    assert_eq!(event.status, EventStatus::Completed);
    assert_eq!(show.call("start-video").await.0, 409);
}

#[tokio::test]
async fn an_encoder_may_publish_only_while_it_is_called_for() {
    let show = Show::with_film(json!({})).await;
    assert_eq!(show.call("takeover").await.0, 409);
    show.after(60).await;
    let setup = show.bench.state.setup();
    let tokens = Tokens::new(setup.store.clone(), show.bench.clock.clone());
    let gate = StoreGate::new(setup.store.clone(), tokens, Vec::new());
    let gate = gate.beside(setup.playbill.clone());
    let broadcasts = setup.store.all_broadcasts(None, 1, 0).await.unwrap();
    let request = PublishRequest {
        proto: "srt",
        peer: SocketAddr::from(([192, 0, 2, 1], 5000)),
        key: broadcasts[0].key.clone(),
        capabilities: None,
        tags: Vec::new(),
    };
    let refused = |refusal: Refusal| matches!(refusal, Refusal::NotAllowed(_));
    assert!(gate.preview(&request).is_err_and(refused));
    assert!(gate.admit(&request).await.is_err_and(refused));
    let (code, door) = show.call("takeover").await;
    assert_eq!(code, 200, "{door}");
    assert_eq!(door["streamKey"], broadcasts[0].key.expose());
    assert_eq!(door["rtmpUrl"], "rtmp://media.example/live");
    assert_eq!(door["streamId"], broadcasts[0].stream_id.to_string());
    assert!(door["srtUrl"].as_str().unwrap().starts_with("srt://"));
    gate.preview(&request).unwrap();
    let admission = gate.admit(&request).await.unwrap();
    assert_eq!(admission.lasting, Some(broadcasts[0].stream_id));
    // Given back.
    let (code, event) = show.call("start-video").await;
    assert_eq!((code, &event["live"]), (200, &json!(false)));
    assert!(gate.preview(&request).is_err_and(refused));
    assert!(gate.admit(&request).await.is_err_and(refused));
}
