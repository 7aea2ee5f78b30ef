//! Scheduled events as their owners and everybody see them.

use std::time::Duration;

use super::*;
use crate::base::id::Uuid;
use crate::base::lead::LEAD_US;
use crate::store::{AssetKind, CutKind, EventStatus, NewAsset, NewBroadcast, Received, Status};

mod changes;

const SCHEDULE: &str = "POST /api/events/schedule";

/// Of the bench's clock, which says 2026-09-21T14:13:20Z.
fn film(more: Value) -> Value {
    let mut body = json!({
        "title": "Film",
        "scheduledStartTime": "2026-09-21T15:00:00Z",
        "scheduledEndTime": "2026-09-21T16:00:00Z",
    });
    for (key, value) in more.as_object().unwrap() {
        body[key] = value.clone();
    }
    body
}

async fn scheduled(bench: &Bench, owner: &Person, more: Value) -> Value {
    let (code, event) = owner.call(bench, SCHEDULE, film(more)).await;
    assert_eq!(code, 200, "{event}");
    event
}

fn path(method: &str, event: &Value) -> String {
    format!("{method} /api/events/{}", event["id"].as_str().unwrap())
}

fn id(event: &Value, name: &str) -> Uuid {
    Uuid::parse_str(event[name].as_str().unwrap()).unwrap()
}

/// What the conductor does when a run begins.
async fn start(bench: &Bench, event: &Value) -> Uuid {
    let new = NewBroadcast {
        stream_id: Some(id(event, "streamId")),
        ..NewBroadcast::titled("app", "Film")
    };
    let broadcast = bench.store.create_broadcast(&new, 9).await.unwrap().id;
    let begin = |event: &mut crate::store::Event, _: &mut crate::store::ShowRow| {
        event.status = EventStatus::Active;
        event.playback_started = Some(event.starts);
        event.broadcast_id = Some(broadcast);
        Ok::<(), ()>(())
    };
    let never = |_: &crate::store::Event, _: &crate::store::Event| false;
    let begun = bench.store.change_event(id(event, "id"), &never, begin);
    begun.await.unwrap().unwrap();
    bench.state.setup().playbill.look().await.unwrap();
    broadcast
}

/// Cuts of an event's run: seconds since the bench's start, and what is on.
async fn cuts(bench: &Bench, event: &Value) -> Vec<(f64, CutKind)> {
    let show = bench
        .store
        .show(id(event, "streamId"))
        .await
        .unwrap()
        .unwrap();
    let since = show.epoch.micros_since(crate::control::tests::NOW) as f64 / 1e6;
    let cuts = show.cuts.iter();
    cuts.map(|cut| (since + cut.at_90k as f64 / 90_000.0, cut.kind))
        .collect()
}

#[tokio::test]
async fn an_event_is_shown_as_it_was_scheduled() {
    let bench = bench(|_| {}).await;
    let ann = person(&bench, "ann", "+12125550147").await;
    let event = scheduled(
        &bench,
        &ann,
        json!({
            "scheduledStartTime": "2026-09-21T17:00:00.750+02:00",
            "description": "A film", "repeatMode": "daily", "repeatUntilEnd": true,
            "timeZone": "europe/berlin", "unknown": {"x": 1},
        }),
    )
    .await;
    let stream = event["streamId"].as_str().unwrap();
    let expected = json!({
        "id": event["id"], "title": "Film", "description": "A film",
        "scheduledStartTime": "2026-09-21T15:00:00Z", "scheduledEndTime": "2026-09-21T16:00:00Z",
        "timeZone": "Europe/Berlin", "repeatMode": "daily", "repeatUntilEnd": true,
        "status": "scheduled", "userId": ann.id, "streamId": stream,
        "hlsUrl": format!("http://media.example:8080/hls/{stream}/index.m3u8"),
        "dashUrl": format!("http://media.example:8080/dash/{stream}/manifest.mpd"),
        "watchUrl": format!("http://media.example:8080/streams/{stream}/watch"),
        "currentPlaybackPosition": 0.0, "live": false,
        "createdAt": "2026-09-21T14:13:20Z", "updatedAt": "2026-09-21T14:13:20Z",
    });
    assert_eq!(event, expected);
    // To everybody.
    for headers in [&[][..], &[ann.token.as_str()]] {
        let (code, shown) = call(&bench, &path("GET", &event), headers, "").await;
        assert_eq!((code, shown), (200, expected.clone()));
    }
    let expected = [(2800.0, CutKind::Film), (6400.0, CutKind::End)];
    assert_eq!(cuts(&bench, &event).await[1..], expected);
    assert_eq!(cuts(&bench, &event).await[0].1, CutKind::Slate);
    // What nobody has said is not there, but for what clients count on.
    let body = json!({"title": "Film", "scheduledStartTime": "2026-09-22T00:00:00Z"});
    let (code, event) = ann.call(&bench, SCHEDULE, body).await;
    assert_eq!(code, 200, "{event}");
    assert_eq!(event["description"], Value::Null);
    assert_eq!(event["scheduledEndTime"], Value::Null);
    assert_eq!(
        (&event["repeatMode"], &event["repeatUntilEnd"]),
        (&json!("none"), &json!(false))
    );
    assert_eq!(
        (&event["timeZone"], event.get("file")),
        (&json!("UTC"), None)
    );
    assert!(event.get("broadcastId").is_none() && event.get("channelId").is_none());
}

#[tokio::test]
async fn the_file_of_an_event_is_shown_with_it() {
    let bench = bench(|_| {}).await;
    let ann = person(&bench, "ann", "+12125550147").await;
    let event = scheduled(
        &bench,
        &ann,
        json!({"repeatMode": "until_end", "repeatUntilEnd": true}),
    )
    .await;
    let asset = NewAsset {
        id: Uuid::new_v4(),
        event_id: id(&event, "id"),
        name: "A.MOV",
        bytes: 0,
    };
    bench.store.create_asset(&asset).await.unwrap();
    let received = Received {
        kind: AssetKind::Video,
        bytes: 12,
        sha256: "00ff",
        duration_us: Some(7_300_000),
    };
    let received = bench.store.asset_received(asset.id, &received).await;
    received.unwrap();
    let (_, shown) = call(&bench, &path("GET", &event), &[], "").await;
    let file = json!({"name": "A.MOV", "kind": "video", "bytes": 12, "sha256": "00ff",
        "state": "uploaded", "progress": 0, "duration": 7.3});
    assert_eq!(shown["file"], file);
    assert_eq!(shown["contentUrl"], shown["hlsUrl"]);
    assert_eq!(shown["contentMimeType"], "video/quicktime");
    assert_eq!(shown["contentFilename"], "A.MOV");
    assert_eq!(
        (&shown["contentSizeBytes"], &shown["contentDuration"]),
        (&json!(12), &json!(7.3))
    );
    start(&bench, &event).await;
    bench.clock.advance(Duration::from_secs(2800 + 10));
    let (_, shown) = call(&bench, &path("GET", &event), &[], "").await;
    assert_eq!(
        (&shown["status"], &shown["playbackStartedAt"]),
        (&json!("active"), &event["scheduledStartTime"])
    );
    // How long a film is, is known when it is prepared.
    assert_eq!(shown["currentPlaybackPosition"], 10.0);
    let (_, sync) = call(&bench, &format!("{}/sync", path("GET", &event)), &[], "").await;
    assert_eq!(sync["currentPosition"], 10.0);
}

#[tokio::test]
async fn events_are_listed_by_their_start_to_everybody_and_of_a_tenant_to_its_own() {
    let bench = bench(|_| {}).await;
    let ann = person(&bench, "ann", "+12125550147").await;
    let key = tenant(&bench, "other").await;
    let bob = person_of(&bench, &[&key], "bob", "+12125550148").await;
    for (owner, title, hour) in [
        (&ann, "third", 22),
        (&ann, "first", 20),
        (&bob, "second", 21),
    ] {
        let start = format!("2026-09-21T{hour}:00:00Z");
        scheduled(
            &bench,
            owner,
            json!({"title": title, "scheduledStartTime": start, "scheduledEndTime": "2026-09-22T10:00:00Z"}),
        )
        .await;
    }
    let titles = async |query: &str, headers: &[&str]| {
        let (code, events) = call(&bench, &format!("GET /api/events{query}"), headers, "").await;
        assert_eq!(code, 200, "{events}");
        let titles = events.as_array().unwrap().iter();
        let titles: Vec<String> = titles
            .map(|event| event["title"].as_str().unwrap().to_owned())
            .collect();
        titles
    };
    assert_eq!(titles("", &[]).await, ["first", "second", "third"]);
    assert_eq!(titles("?limit=1&offset=1", &[]).await, ["second"]);
    assert_eq!(
        titles("?status=scheduled", &[&ann.token]).await,
        ["first", "third"]
    );
    assert_eq!(titles("", &[&key]).await, ["second"]);
    assert_eq!(titles("?status=active", &[]).await, [""; 0]);
    assert_eq!(titles("", &["x-admin-key: admin-key"]).await.len(), 3);
    for (query, field) in [
        ("status=later", "status"),
        ("limit=0", "limit"),
        ("offset=-1", "offset"),
    ] {
        let (code, refusal) = call(&bench, &format!("GET /api/events?{query}"), &[], "").await;
        assert_eq!(code, 400);
        assert!(
            refusal["reason"].as_str().unwrap().contains(field),
            "{refusal}"
        );
    }
    let (code, _) = call(&bench, "GET /api/events?limit=201", &[], "").await;
    assert_eq!(code, 413);
}

#[tokio::test]
async fn only_its_owner_changes_an_event() {
    let bench = bench(|_| {}).await;
    let ann = person(&bench, "ann", "+12125550147").await;
    let eve = person(&bench, "eve", "+12125550148").await;
    let key = tenant(&bench, "other").await;
    let bob = person_of(&bench, &[&key], "bob", "+12125550149").await;
    let event = scheduled(&bench, &ann, json!({})).await;
    for method in ["PUT", "PATCH", "DELETE"] {
        let what = path(method, &event);
        // Before anything is said about the body.
        for (who, expected) in [(None, 401), (Some(&eve), 403), (Some(&bob), 404)] {
            let headers: Vec<&str> = who.iter().map(|who| who.token.as_str()).collect();
            for body in [r#"{"title":"Mine"}"#, "{"] {
                let (code, answer) = call(&bench, &what, &headers, body).await;
                assert_eq!(code, expected, "{what} {answer}");
            }
        }
        for unknown in [
            Uuid::new_v4().to_string(),
            "r5".to_owned(),
            "schedule".to_owned(),
        ] {
            let what = format!("{method} /api/events/{unknown}");
            let (code, answer) = ann.call(&bench, &what, "{}").await;
            assert!([404, 405].contains(&code), "{what} {answer}");
        }
    }
    let (code, _) = call(&bench, SCHEDULE, &["x-api-key: pk_other"], film(json!({}))).await;
    assert_eq!(code, 401);
    let (_, shown) = call(&bench, &path("GET", &event), &[], "").await;
    assert_eq!(shown, event);
}

#[tokio::test]
async fn what_cannot_be_scheduled_is_refused_with_the_name_of_the_field() {
    let bench = bench(|_| {}).await;
    let ann = person(&bench, "ann", "+12125550147").await;
    let long = "x".repeat(513);
    for (more, field) in [
        (json!({"title": null}), "title"),
        (json!({"title": "  "}), "title"),
        (json!({"title": long}), "title"),
        (json!({"title": 7}), "title"),
        (json!({"description": "x".repeat(4097)}), "description"),
        (json!({"scheduledStartTime": null}), "scheduledStartTime"),
        (
            json!({"scheduledStartTime": "tomorrow"}),
            "scheduledStartTime",
        ),
        (
            json!({"scheduledStartTime": 1_800_000_000}),
            "scheduledStartTime",
        ),
        (
            json!({"scheduledStartTime": "2026-09-21T15:00:00"}),
            "scheduledStartTime",
        ),
        (
            json!({"scheduledStartTime": "2026-02-30T15:00:00Z"}),
            "scheduledStartTime",
        ),
        (
            json!({"scheduledStartTime": "1969-12-31T23:59:59Z"}),
            "scheduledStartTime",
        ),
        (
            json!({"scheduledStartTime": "10000-01-01T00:00:00Z"}),
            "scheduledStartTime",
        ),
        (
            json!({"scheduledStartTime": "+010000-01-01T00:00:00Z"}),
            "scheduledStartTime",
        ),
        (
            json!({"scheduledEndTime": "9999-12-31T23:59:59-12:00"}),
            "scheduledEndTime",
        ),
        (
            json!({"scheduledEndTime": "2026-09-21T15:00:00Z"}),
            "scheduledEndTime",
        ),
        (
            json!({"scheduledEndTime": "2026-09-21T14:59:59Z"}),
            "scheduledEndTime",
        ),
        (json!({"repeatMode": "hourly"}), "repeatMode"),
        (json!({"repeatMode": true}), "repeatMode"),
        (json!({"repeatUntilEnd": "yes"}), "repeatUntilEnd"),
        (json!({"timeZone": "Mars/Olympus"}), "timeZone"),
        (json!({"timeZone": "../../etc/passwd"}), "timeZone"),
        (json!({"timeZone": ""}), "timeZone"),
        (
            json!({"repeatMode": "until_end", "scheduledEndTime": null}),
            "scheduledEndTime",
        ),
        (
            json!({"repeatMode": "daily", "scheduledEndTime": "2026-09-22T21:00:00Z"}),
            "scheduledEndTime",
        ),
        (
            json!({"repeatMode": "weekly", "scheduledEndTime": "2026-09-28T15:00:01Z"}),
            "scheduledEndTime",
        ),
        (
            json!({"repeatMode": "monthly", "scheduledEndTime": "2026-10-20T15:00:00Z"}),
            "scheduledEndTime",
        ),
        (
            json!({"scheduledStartTime": "2026-09-20T15:00:00Z", "scheduledEndTime": "2026-09-21T14:13:20Z"}),
            "scheduledEndTime",
        ),
    ] {
        let (code, refusal) = ann.call(&bench, SCHEDULE, film(more.clone())).await;
        assert_eq!(code, 400, "{more} {refusal}");
        let reason = refusal["reason"].as_str().unwrap();
        assert!(reason.starts_with(field), "{more}: {reason}");
        // A change to the same is refused as well.
        if more.as_object().unwrap().values().any(Value::is_null) {
            continue;
        }
        let event = scheduled(&bench, &ann, json!({})).await;
        let mut change = more.clone();
        for time in ["scheduledStartTime", "scheduledEndTime"] {
            if change.get(time).is_none() {
                change[time] = event[time].clone();
            }
        }
        let (code, refusal) = ann.call(&bench, &path("PATCH", &event), change).await;
        assert_eq!(code, 400, "{more} {refusal}");
    }
    let (code, refusal) = ann.call(&bench, SCHEDULE, "x".repeat(17 << 10)).await;
    assert_eq!(code, 413, "{refusal}");
    // The last second there is, and a start that has passed with an end that has not.
    for (start, end) in [
        ("9999-12-30T21:59:58Z", "9999-12-30T21:59:59Z"),
        ("2026-09-21T14:00:00Z", "2026-09-21T14:13:21Z"),
    ] {
        scheduled(
            &bench,
            &ann,
            json!({"scheduledStartTime": start, "scheduledEndTime": end}),
        )
        .await;
    }
}

#[tokio::test]
async fn a_channel_is_of_one_event_at_a_time() {
    let bench = bench(|_| {}).await;
    let ann = person(&bench, "ann", "+12125550147").await;
    let other = tenant(&bench, "other").await;
    let bob = person_of(&bench, &[&other], "bob", "+12125550149").await;
    let operator = ["x-admin-key: admin-key", ann.token.as_str()];
    let on = |more: Value| {
        let mut body = film(json!({"channelId": "live"}));
        for (key, value) in more.as_object().unwrap() {
            body[key] = value.clone();
        }
        body
    };
    // A name that is the tenant's is not given to everybody who has signed up.
    let (code, _) = ann.call(&bench, SCHEDULE, on(json!({}))).await;
    assert_eq!(code, 403);
    let (code, refusal) = call(&bench, SCHEDULE, &[&other, &bob.token], on(json!({}))).await;
    assert_eq!(code, 400, "the channel is another tenant's: {refusal}");
    let endless = on(json!({"scheduledEndTime": null}));
    let (code, refusal) = call(&bench, SCHEDULE, &operator, endless).await;
    assert_eq!(code, 400, "{refusal}");
    let (code, first) = call(&bench, SCHEDULE, &operator, on(json!({"title": "Mine"}))).await;
    assert_eq!((code, &first["channelId"]), (200, &json!("local#app#live")));
    let daily = json!({"repeatMode": "daily", "scheduledStartTime": "2026-09-21T15:59:59Z",
        "scheduledEndTime": "2026-09-21T17:00:00Z"});
    for more in [json!({}), daily] {
        let (code, refusal) = call(&bench, SCHEDULE, &operator, on(more)).await;
        assert_eq!(code, 409);
        let reason = refusal["reason"].as_str().unwrap();
        let names = reason.contains("Mine") && reason.contains(first["id"].as_str().unwrap());
        assert!(names, "{reason}");
    }
    // Beside it, one that repeats: a year later it is in the way of who wants its time.
    let daily = json!({"repeatMode": "daily", "scheduledStartTime": "2026-09-21T16:00:00Z",
        "scheduledEndTime": "2026-09-21T17:00:00Z", "title": "Daily"});
    let (code, daily) = call(&bench, SCHEDULE, &operator, on(daily)).await;
    assert_eq!(code, 200, "{daily}");
    let later = json!({"scheduledStartTime": "2027-10-02T16:30:00Z",
        "scheduledEndTime": "2027-10-02T18:00:00Z"});
    let (code, refusal) = call(&bench, SCHEDULE, &operator, on(later)).await;
    assert_eq!(code, 409);
    assert!(
        refusal["reason"].as_str().unwrap().contains("Daily"),
        "{refusal}"
    );
    // A change that would overlap changes nothing; without a channel there is nothing in its way.
    let change = json!({"scheduledEndTime": "2026-09-21T16:30:00Z"});
    let (code, _) = ann.call(&bench, &path("PATCH", &first), &change).await;
    assert_eq!(code, 409);
    let (_, shown) = call(&bench, &path("GET", &first), &[], "").await;
    assert_eq!(shown, first);
    let (code, free) = call(
        &bench,
        &path("PATCH", &first),
        &operator,
        r#"{"channelId":""}"#,
    )
    .await;
    assert_eq!((code, free.get("channelId")), (200, None));
    let (code, _) = ann.call(&bench, &path("PATCH", &first), &change).await;
    assert_eq!(code, 200);
    let (code, refusal) = call(
        &bench,
        &path("PATCH", &first),
        &operator,
        r#"{"channelId":"live"}"#,
    )
    .await;
    assert_eq!(code, 409, "{refusal}");
}
