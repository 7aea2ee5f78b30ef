//! Runs that are begun and ended by hand, and who hears of it.

use std::time::Duration;

use super::*;

/// Has an event's channel be one of the tenant's.
async fn on_channel(show: &Show, event: Uuid) {
    let what = format!("PATCH /api/admin/events/{event}");
    let operator = ["x-admin-key: admin-key"];
    let body = json!({"channelId": "live"});
    let (code, changed) = call(&show.bench, &what, &operator, body).await;
    assert_eq!(
        (code, &changed["channelId"]),
        (200, &json!("local#app#live"))
    );
}

/// The end of what is on, as its stream has it.
async fn end_of(show: &Show, event: &Event) -> Wall {
    let run = show.bench.store.show(event.stream_id).await.unwrap();
    let run = run.unwrap();
    let end = run.cuts.last().unwrap();
    assert_eq!(end.kind, crate::store::CutKind::End);
    run.epoch.plus_micros(end.at_90k * 100 / 9)
}

#[tokio::test]
async fn what_was_begun_by_hand_may_end_before_the_time_it_was_declared_for() {
    let tomorrow = iso(crate::control::tests::NOW.plus_micros(24 * HOUR));
    let day_after = iso(crate::control::tests::NOW.plus_micros(25 * HOUR));
    let show = Show::with_film(
        json!({"scheduledStartTime": tomorrow, "scheduledEndTime": day_after,
        "repeatMode": "daily"}),
    )
    .await;
    assert_eq!(show.call("start-video").await.0, 200);
    let event = show.after(10).await;
    assert_eq!(event.status, EventStatus::Active);
    let change = format!("PUT /api/events/{}", show.id);
    let ends = show.bench.clock.wall().plus_micros(5 * SECOND);
    let soon = json!({"scheduledEndTime": iso(ends)});
    let (code, changed) = show.person.call(&show.bench, &change, &soon).await;
    assert_eq!(
        (code, &changed["scheduledEndTime"]),
        (200, &json!(iso(ends))),
        "{changed}"
    );
    assert_eq!(end_of(&show, &event).await, ends);
    // Before it began it cannot have ended.
    let began = json!({"scheduledEndTime": iso(event.playback_started.unwrap())});
    let (code, refused) = show.person.call(&show.bench, &change, &began).await;
    assert_eq!(code, 400, "{refused}");
    // That of tomorrow was this one; the next is as long as it was declared.
    let next = show.after(5).await;
    assert_eq!(next.status, EventStatus::Scheduled);
    assert_eq!(next.starts, event.starts.plus_micros(24 * HOUR));
    assert_eq!(next.ends, Some(next.starts.plus_micros(HOUR)));
}

#[tokio::test]
async fn nothing_begins_by_hand_while_another_event_has_the_channel() {
    let show = Show::with_film(json!({"title": "First"})).await;
    on_channel(&show, show.id).await;
    let starts = show.bench.clock.wall().plus_micros(3 * HOUR);
    let mut body = json!({"title": "Second", "scheduledStartTime": iso(starts),
        "scheduledEndTime": iso(starts.plus_micros(HOUR))});
    let schedule = "POST /api/events/schedule";
    let (code, second) = show.person.call(&show.bench, schedule, &body).await;
    assert_eq!(code, 200, "{second}");
    let id = Uuid::parse_str(second["id"].as_str().unwrap()).unwrap();
    on_channel(&show, id).await;
    show.upload_to(id).await;
    assert_eq!(show.after(60).await.status, EventStatus::Active);
    let start = format!("POST /api/events/{id}/start-video");
    let (code, refused) = show.person.call(&show.bench, &start, "").await;
    let reason = refused["reason"].as_str().unwrap();
    assert!(code == 409 && reason.contains("First"), "{code} {reason}");
    // Once it is free, the second one may, and has it from then on until its end.
    let over = format!("POST /api/admin/events/{}/end", show.id);
    let operator = ["x-admin-key: admin-key"];
    assert_eq!(call(&show.bench, &over, &operator, "").await.0, 200);
    let (code, started) = show.person.call(&show.bench, &start, "").await;
    assert_eq!(
        (code, &started["status"]),
        (200, &json!("active")),
        "{started}"
    );
    let meanwhile = show.bench.clock.wall().plus_micros(HOUR);
    body["title"] = json!("Third");
    body["scheduledStartTime"] = json!(iso(meanwhile));
    body["scheduledEndTime"] = json!(iso(meanwhile.plus_micros(60 * SECOND)));
    body["channelId"] = json!("live");
    let both = ["x-admin-key: admin-key", show.person.token.as_str()];
    let (code, refused) = call(&show.bench, schedule, &both, body).await;
    let reason = refused["reason"].as_str().unwrap();
    assert!(code == 409 && reason.contains("Second"), "{code} {reason}");
}

#[tokio::test]
async fn a_chat_hears_at_once_that_a_run_is_over_however_it_ends() {
    for how in ["time", "operator", "deletion"] {
        let show = Show::with_film(json!({})).await;
        let event = show.after(60).await;
        let broadcast = event.broadcast_id.unwrap();
        let mut seat = show.bench.state.chats().enter(broadcast, Status::Active);
        match how {
            "time" => drop(show.after(3600).await),
            "operator" => {
                let what = format!("POST /api/admin/events/{}/end", show.id);
                let operator = ["x-admin-key: admin-key"];
                assert_eq!(call(&show.bench, &what, &operator, "").await.0, 200);
            }
            _ => {
                let what = format!("DELETE /api/events/{}", show.id);
                assert_eq!(show.person.call(&show.bench, &what, "").await.0, 200);
            }
        }
        let heard = seat.heard();
        let status = json!({"type": "status", "streamId": event.stream_id.to_string(),
            "status": "completed"});
        assert_eq!(heard, [status], "{how}");
    }
}

#[tokio::test]
async fn a_change_is_known_to_a_gateway_that_looks_before_it_takes_effect() {
    let show = Show::with_film(json!({})).await;
    let elsewhere = show.bench.elsewhere().await;
    let (playbill, _) = started(&show.bench, &elsewhere);
    show.after(60).await;
    playbill.look().await.unwrap();
    let before = playbill.of_event(show.id).unwrap();
    // The latest moment at which a gateway looks anew that has just looked.
    let what = format!("POST /api/admin/events/{}/end", show.id);
    let operator = ["x-admin-key: admin-key"];
    assert_eq!(call(&show.bench, &what, &operator, "").await.0, 200);
    show.bench
        .clock
        .advance(crate::base::lead::WRITTEN + crate::base::lead::LOOK);
    let now = show.bench.clock.wall();
    assert!(
        playbill.position(&before, now).playing,
        "it plays for all until then"
    );
    playbill.look().await.unwrap();
    let end = end_of(&show, &before.event).await;
    assert_eq!(
        end.micros_since(now),
        750_000,
        "what is left for the look itself"
    );
    let known = playbill.of_stream(before.show.stream_id).unwrap();
    assert_eq!(
        known.show.cuts.last().unwrap().kind,
        crate::store::CutKind::End
    );
    assert!(known.show.cuts.last().unwrap().at_90k < before.show.cuts.last().unwrap().at_90k);
    show.bench.clock.advance(Duration::from_millis(750));
    let now = show.bench.clock.wall();
    assert!(!playbill.position(&known, now).playing);
}
