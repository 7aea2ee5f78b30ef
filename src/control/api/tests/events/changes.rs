//! Events that are changed: before, while they are on, and after.

use super::*;

#[tokio::test]
async fn a_scheduled_event_is_planned_anew() {
    let bench = bench(|_| {}).await;
    let ann = person(&bench, "ann", "+12125550147").await;
    let event = scheduled(&bench, &ann, json!({"description": "A"})).await;
    bench.clock.advance(Duration::from_secs(100));
    let change =
        json!({"scheduledStartTime": "2026-09-21T14:23:20Z", "title": "B", "repeatMode": null});
    let (code, changed) = ann.call(&bench, &path("PUT", &event), change).await;
    assert_eq!(code, 200, "{changed}");
    let expected = (
        "B",
        "A",
        "2026-09-21T14:23:20Z",
        "2026-09-21T16:00:00Z",
        "2026-09-21T14:15:00Z",
    );
    let of = |name: &str| changed[name].as_str().unwrap();
    let found = (
        of("title"),
        of("description"),
        of("scheduledStartTime"),
        of("scheduledEndTime"),
        of("updatedAt"),
    );
    assert_eq!(found, expected);
    // The same stream, from the same time on.
    assert_eq!(changed["streamId"], event["streamId"]);
    let planned = cuts(&bench, &event).await;
    assert_eq!(
        planned[1..],
        [(600.0, CutKind::Film), (6400.0, CutKind::End)]
    );
    let show = bench
        .store
        .show(id(&event, "streamId"))
        .await
        .unwrap()
        .unwrap();
    assert!(!show.looping);
    let change = json!({"repeatMode": "until_end", "repeatUntilEnd": true});
    let (code, _) = ann.call(&bench, &path("PATCH", &event), change).await;
    assert_eq!(code, 200);
    let show = bench
        .store
        .show(id(&event, "streamId"))
        .await
        .unwrap()
        .unwrap();
    assert!(show.looping);
    assert_eq!(show.cuts.len(), 3);
}

#[tokio::test]
async fn an_event_that_is_on_keeps_its_start_and_may_end_at_another_time() {
    let bench = bench(|_| {}).await;
    let ann = person(&bench, "ann", "+12125550147").await;
    let event = scheduled(&bench, &ann, json!({"repeatMode": "daily"})).await;
    start(&bench, &event).await;
    // A minute of the film has passed.
    bench.clock.advance(Duration::from_secs(2860));
    let what = path("PATCH", &event);
    let stream = id(&event, "streamId");
    let before = bench.store.show(stream).await.unwrap().unwrap();
    let change = json!({"title": "New", "description": "too",
        "scheduledStartTime": event["scheduledStartTime"]});
    let (code, changed) = ann.call(&bench, &what, change).await;
    assert_eq!(
        (code, &changed["title"], &changed["status"]),
        (200, &json!("New"), &json!("active"))
    );
    let later = json!({"scheduledStartTime": "2026-09-21T15:30:00Z"});
    let (code, _) = ann.call(&bench, &what, later).await;
    assert_eq!(code, 409);
    let backwards = json!({"scheduledEndTime": "2026-09-21T15:00:00Z"});
    let (code, _) = ann.call(&bench, &what, backwards).await;
    assert_eq!(code, 400);
    assert_eq!(
        bench.store.show(stream).await.unwrap(),
        Some(before.clone())
    );
    let longer = json!({"scheduledEndTime": "2026-09-21T17:00:00Z"});
    let (code, changed) = ann.call(&bench, &what, &longer).await;
    assert_eq!(
        (code, &changed["scheduledEndTime"]),
        (200, &longer["scheduledEndTime"])
    );
    let planned = cuts(&bench, &event).await;
    assert_eq!(
        planned[1..],
        [(2800.0, CutKind::Film), (10_000.0, CutKind::End)]
    );
    let after = bench.store.show(stream).await.unwrap().unwrap();
    assert_eq!(after.cuts[..2], before.cuts[..2], "what was seen stays");
    // Repeats are those of the next run.
    let weekly = json!({"repeatMode": "weekly", "timeZone": "Asia/Tokyo"});
    let (code, _) = ann.call(&bench, &what, weekly).await;
    assert_eq!(code, 200);
    let stored = bench.store.event(id(&event, "id")).await.unwrap().unwrap();
    assert_eq!(
        (stored.first, stored.length_us),
        (stored.starts, Some(7_200_000_000))
    );
    let stays = bench.store.show(stream).await.unwrap().unwrap();
    assert_eq!(stays, after);
    // An end that has passed is as soon as may be.
    let now = json!({"scheduledEndTime": "2026-09-21T15:00:30Z"});
    let (code, changed) = ann.call(&bench, &what, &now).await;
    assert_eq!(code, 200, "{changed}");
    let planned = cuts(&bench, &event).await;
    assert_eq!(
        planned[1..],
        [(2800.0, CutKind::Film), (2861.5, CutKind::End)]
    );
    let stored = bench.store.event(id(&event, "id")).await.unwrap().unwrap();
    assert_eq!(stored.ends, Some(bench.clock.wall().plus_micros(LEAD_US)));
    assert_eq!(stored.length_us, Some(7_200_000_000), "of the next run");
}

#[tokio::test]
async fn an_event_that_is_over_may_be_called_something_else() {
    let bench = bench(|_| {}).await;
    let ann = person(&bench, "ann", "+12125550147").await;
    let event = scheduled(&bench, &ann, json!({})).await;
    let over = |event: &mut crate::store::Event, _: &mut crate::store::ShowRow| {
        event.status = EventStatus::Completed;
        Ok::<(), ()>(())
    };
    let never = |_: &crate::store::Event, _: &crate::store::Event| false;
    let changed = bench.store.change_event(id(&event, "id"), &never, over);
    changed.await.unwrap().unwrap();
    let what = path("PATCH", &event);
    // With what is the same beside it, as clients send back what they read.
    let mut body = event.clone();
    body["title"] = json!("It was");
    let (code, changed) = ann.call(&bench, &what, body).await;
    assert_eq!((code, &changed["title"]), (200, &json!("It was")));
    for change in [
        json!({"scheduledStartTime": "2030-01-01T00:00:00Z", "scheduledEndTime": "2030-01-01T01:00:00Z"}),
        json!({"repeatMode": "daily"}),
    ] {
        let (code, refusal) = ann.call(&bench, &what, change).await;
        assert_eq!(code, 409, "{refusal}");
    }
}

#[tokio::test]
async fn a_deleted_event_ends_first_and_leaves_nothing() {
    let bench = bench(|_| {}).await;
    let ann = person(&bench, "ann", "+12125550147").await;
    let rows = async || {
        let rows = bench.store.every_row().await.into_iter();
        let ours = ["events ", "shows ", "cuts ", "assets "];
        rows.filter(|row| ours.iter().any(|table| row.starts_with(table)))
            .count()
    };
    let event = scheduled(&bench, &ann, json!({})).await;
    let broadcast = start(&bench, &event).await;
    assert_eq!(rows().await, 1 + 1 + 3);
    let (code, answer) = ann.call(&bench, &path("DELETE", &event), "").await;
    assert_eq!((code, answer), (200, json!({"success": true})));
    assert_eq!(rows().await, 0);
    let found = bench.store.find_broadcast(&broadcast.to_string()).await;
    let found = found.unwrap().unwrap();
    assert_eq!(found.status, Status::Completed);
    assert_eq!(bench.store.known_key(found.key.expose()), None);
    for method in ["GET", "PUT", "DELETE"] {
        let (code, _) = ann.call(&bench, &path(method, &event), "").await;
        assert_eq!(code, 404);
    }
}
