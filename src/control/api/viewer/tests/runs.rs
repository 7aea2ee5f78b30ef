//! Pages of scheduled events, before there is a broadcast and after.

use std::time::Duration;

use super::*;
use crate::base::clock::Wall;
use crate::store::{
    After, AssetKind, CutKind, CutRow, Event, EventStatus, NewAsset, NewEvent, Received, Repeat,
    ShowRow,
};

const SECOND: Duration = Duration::from_secs(1);

/// So many seconds after a point of time.
fn after(wall: Wall, seconds: i64) -> Wall {
    Wall(wall.0 + seconds * 1_000_000)
}

fn show(event_id: Uuid, starts: Wall, asset_id: Option<Uuid>) -> ShowRow {
    let cut = |at_90k, kind| CutRow {
        at_90k,
        sequence: 1000 + u64::from(at_90k != 0),
        discontinuity: u64::from(at_90k != 0),
        kind,
        anchor_90k: at_90k,
    };
    // The slate a minute before.
    let epoch = after(starts, -60);
    ShowRow {
        stream_id: Uuid::new_v4(),
        event_id,
        asset_id,
        epoch,
        starts,
        ends: Some(after(starts, 100)),
        looping: false,
        after: After::End,
        ended: None,
        cuts: vec![
            cut(0, CutKind::Slate),
            cut(60 * 90_000, CutKind::Film),
            cut(160 * 90_000, CutKind::End),
        ],
    }
}

/// A daily event of two minutes from now.
async fn scheduled(bench: &Bench) -> Event {
    let user = bench.store.create_user(&User::named("app", "ann")).await;
    let starts = after(bench.clock.wall(), 120);
    let show = show(Uuid::new_v4(), starts, None);
    let new = NewEvent {
        application_id: "app",
        user_id: user.unwrap().id,
        channel_id: None,
        title: "A <b>film</b>",
        description: Some("In\nblack and white"),
        starts,
        ends: show.ends,
        time_zone: "UTC",
        repeat: Repeat::Daily,
        repeat_until_end: false,
        show,
    };
    let made = bench.store.create_event(&new, &|_, _| false).await;
    made.unwrap()
}

/// Its film, as far as it is prepared.
async fn upload(bench: &Bench, event: &Event) -> Uuid {
    let id = Uuid::new_v4();
    let new = NewAsset {
        id,
        event_id: event.id,
        name: "film.mp4",
        bytes: 9,
    };
    bench.store.create_asset(&new).await.unwrap();
    let received = Received {
        kind: AssetKind::Video,
        bytes: 9,
        sha256: "0",
        duration_us: Some(90_000_000),
    };
    bench.store.asset_received(id, &received).await.unwrap();
    id
}

async fn change(
    bench: &Bench,
    event: &Event,
    change: impl FnOnce(&mut Event, &mut ShowRow) + Send,
) {
    let changed = bench
        .store
        .change_event(event.id, &|_, _| false, |event, show| {
            change(event, show);
            Ok::<_, ()>(())
        });
    changed.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_page_is_there_before_the_run() {
    let bench = bench(|_| {}).await;
    let event = scheduled(&bench).await;
    for id in [event.stream_id, event.id] {
        let (code, view) = view(&bench, &id.to_string(), "").await;
        assert_eq!(code, 200, "{view}");
        assert_eq!(view["status"], "created");
        assert_eq!(view["title"], "A <b>film</b>");
        assert_eq!(view["streamId"], event.stream_id.to_string());
        assert_eq!((&view["id"], &view["chat"]), (&Value::Null, &Value::Null));
        let wanted = json!({
            "id": event.id.to_string(),
            "startsAt": "2026-09-21T14:15:20Z",
            "endsAt": "2026-09-21T14:17:00Z",
            "serverTime": "2026-09-21T14:13:20.000Z",
            "syncUrl": format!("/api/events/{}/sync", event.id),
            "targetLatency": 3.0,
        });
        assert_eq!(view["event"], wanted);
        for path in [format!("/watch/{id}"), format!("/streams/{id}/watch")] {
            let (_, page) = ask(&bench, "GET", &path, None).await;
            assert!(
                page.contains("<title>A &lt;b&gt;film&lt;/b&gt; · Forebay</title>"),
                "{page}"
            );
            let tag = format!(
                r#"<meta name="forebay-broadcast" content="{}">"#,
                event.stream_id
            );
            assert!(page.contains(&tag), "{page}");
            assert!(page.contains(r#"<meta name="description" content="In black and white">"#));
        }
    }
    let (code, _) = view(&bench, &Uuid::new_v4().to_string(), "").await;
    assert_eq!(code, 404);
}

#[tokio::test]
async fn another_tenant_has_no_page_of_it() {
    let bench = bench(|_| {}).await;
    let (key, secret) = (Secret::new("pk_app2"), Secret::new("sk"));
    let made = bench
        .store
        .register_client("app2", &key, &secret, "{}")
        .await;
    made.unwrap();
    let event = scheduled(&bench).await;
    let id = event.stream_id.to_string();
    assert_eq!(view(&bench, &id, "?token=pk_app2").await.0, 404);
    assert_eq!(view(&bench, &id, "").await.0, 200);
}

#[tokio::test]
async fn there_is_something_to_play_from_the_slate_on_once_some_of_it_is_prepared() {
    let bench = bench(|_| {}).await;
    let event = scheduled(&bench).await;
    let id = event.stream_id.to_string();
    let plays = async || view(&bench, &id, "").await.1["onAir"] == true;
    let asset = upload(&bench, &event).await;
    change(&bench, &event, |event, show| {
        event.asset_id = Some(asset);
        show.asset_id = Some(asset);
    })
    .await;
    bench.clock.advance(61 * SECOND);
    assert!(!plays().await, "nothing of it is prepared");
    bench
        .store
        .claim_asset(60 * SECOND, &[])
        .await
        .unwrap()
        .unwrap();
    bench.store.asset_prepared(asset, 90_000_000).await.unwrap();
    assert!(plays().await, "its slate");
    bench.clock.advance(60 * SECOND);
    assert!(plays().await, "its film");
    bench.clock.advance(101 * SECOND);
    assert!(!plays().await, "it is over");
}

#[tokio::test]
async fn a_run_with_a_broadcast_has_a_chat_and_one_that_is_over_names_the_next() {
    let bench = bench(|_| {}).await;
    let event = scheduled(&bench).await;
    let first = event.stream_id;
    let new = NewBroadcast {
        stream_id: Some(first),
        ..NewBroadcast::titled("app", "A film")
    };
    let broadcast = bench.store.create_broadcast(&new, 100).await.unwrap();
    turn(&bench, &broadcast, Status::Active).await;
    change(&bench, &event, |event, _| {
        event.status = EventStatus::Active
    })
    .await;
    let look = async || bench.state.setup().playbill.look().await.unwrap();
    look().await;
    for id in [first, event.id, broadcast.id] {
        let (_, view) = view(&bench, &id.to_string(), "").await;
        assert_eq!(
            (&view["status"], &view["title"]),
            (&json!("active"), &json!("A film"))
        );
        assert_eq!(view["id"], broadcast.id.to_string());
        assert_eq!(view["event"]["id"], event.id.to_string());
        assert_eq!(view["event"]["next"], Value::Null);
        assert!(view["chat"]["token"].is_string(), "{view}");
    }
    turn(&bench, &broadcast, Status::Completed).await;
    let starts = after(event.starts, 24 * 3600);
    let next = show(event.id, starts, None);
    let second = next.stream_id;
    change(&bench, &event, |event, show| {
        (event.status, event.starts) = (EventStatus::Scheduled, starts);
        *show = next;
    })
    .await;
    look().await;
    let (_, over) = view(&bench, &first.to_string(), "").await;
    assert_eq!(over["status"], "completed");
    assert_eq!(over["event"]["startsAt"], "2026-09-21T14:15:20Z");
    let wanted = json!({"streamId": second.to_string(), "startsAt": "2026-09-22T14:15:20Z"});
    assert_eq!(over["event"]["next"], wanted);
    let (_, coming) = view(&bench, &event.id.to_string(), "").await;
    assert_eq!(coming["status"], "created");
    assert_eq!(coming["streamId"], second.to_string());
    assert_eq!(coming["event"]["next"], Value::Null);
}
