//! Webhooks, and what they are to be told.

use super::super::delivery::{KEPT, MAX_PENDING};
use super::*;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A webhook of application "app" for these events.
async fn webhook(store: &Store, events: &[&str]) -> Webhook {
    webhook_of(store, "app", events).await.unwrap()
}

async fn webhook_of(store: &Store, owner: &str, events: &[&str]) -> Result<Webhook, Error> {
    let events: Vec<String> = events.iter().map(|event| (*event).to_owned()).collect();
    let new = NewWebhook {
        application_id: owner,
        url: "https://receiver.example/hook",
        description: "of a test",
        events: &events,
        secret: &Secret::new(SECRET),
        active: true,
    };
    store.create_webhook(&new).await
}

async fn broadcast(store: &Store, limit: u64) -> Result<Broadcast, Error> {
    let new = NewBroadcast::titled("app", "a \"title\"");
    store.create_broadcast(&new, limit).await
}

/// Things happen to application "app".
async fn happen(store: &Store, names: &[&'static str]) {
    for name in names {
        let event = Notice {
            application_id: "app".to_owned(),
            name,
            data: "{\"n\":1}".to_owned(),
        };
        store.tell_webhooks(&event).await.unwrap();
    }
}

/// Events of a webhook, oldest first.
async fn told(store: &Store, webhook: &Webhook) -> Vec<String> {
    let deliveries = store.deliveries_of(webhook.id, 2000).await.unwrap();
    let events = deliveries.into_iter().rev();
    events.map(|delivery| delivery.event).collect()
}

async fn lease(store: &Store, webhook: &Webhook) -> Option<Attempt> {
    store.lease_delivery(webhook.id).await.unwrap()
}

fn arrived() -> Attempted {
    Attempted {
        code: Some(204),
        error: None,
        next: Next::Delivered,
    }
}

fn failed(next: Next) -> Attempted {
    Attempted {
        code: Some(500),
        error: Some("it answered 500".to_owned()),
        next,
    }
}

pub(super) async fn webhooks_are_their_applications_and_no_more_than_ten(bench: Bench) {
    let store = bench.store().await;
    let secret = Secret::new("other-secret");
    store.ensure_application("other", &secret).await.unwrap();
    let made = webhook(&store, &["broadcast.active"]).await;
    assert_eq!(made.secret.expose(), SECRET);
    assert_eq!(store.webhook("app", made.id).await.unwrap(), made);
    let missing = |error| matches!(error, Error::Missing { .. });
    assert!(missing(store.webhook("other", made.id).await.unwrap_err()));
    let update = WebhookUpdate {
        url: Some("http://a.example/".to_owned()),
        events: Some(Vec::new()),
        ..WebhookUpdate::default()
    };
    let foreign = store.update_webhook("other", made.id, &update).await;
    assert!(missing(foreign.unwrap_err()));
    let foreign = store.remove_webhook("other", made.id).await;
    assert!(missing(foreign.unwrap_err()));
    let changed = store.update_webhook("app", made.id, &update).await.unwrap();
    assert_eq!(
        (changed.url.as_str(), changed.events.len()),
        ("http://a.example/", 0)
    );
    assert_eq!(changed.description, made.description);
    let until = bench.clock.wall().plus_micros(5);
    let new = Secret::new("whsec_bmV3");
    let rotate = store.rotate_webhook_secret("app", made.id, &new, until);
    let rotated = rotate.await.unwrap();
    assert_eq!(rotated.secret, new);
    assert_eq!(rotated.old_secret, Some((Secret::new(SECRET), until)));
    for _ in 1..MAX_WEBHOOKS {
        webhook(&store, &[]).await;
    }
    let one_more = webhook_of(&store, "app", &[]).await;
    assert!(matches!(one_more, Err(Error::Full { limit: 10, .. })));
    webhook_of(&store, "other", &[]).await.unwrap();
    let nobody = webhook_of(&store, "nobody", &[]).await;
    assert!(missing(nobody.unwrap_err()));
    let all = store.webhooks_of("app").await.unwrap();
    assert_eq!(all.len(), 10);
    assert!(all.iter().any(|it| it.id == made.id));
    happen(&store, &["ping"]).await;
    store.remove_webhook("app", made.id).await.unwrap();
    assert_eq!(store.deliveries_of(made.id, 9).await.unwrap(), []);
    store.remove_application("app").await.unwrap();
    assert_eq!(store.webhooks_of("app").await.unwrap(), []);
}

pub(super) async fn what_becomes_of_a_broadcast_is_queued_with_the_change(bench: Bench) {
    let store = bench.store().await;
    let all = webhook(&store, &[]).await;
    let some = webhook(&store, &["broadcast.completed", "broadcast.error"]).await;
    let off = webhook(&store, &[]).await;
    let update = WebhookUpdate {
        active: Some(false),
        ..WebhookUpdate::default()
    };
    store.update_webhook("app", off.id, &update).await.unwrap();
    let one = broadcast(&store, 9).await.unwrap();
    assert!(
        broadcast(&store, 1).await.is_err(),
        "nothing is queued of it"
    );
    become_(&store, one.id, Status::Created).await;
    become_(&store, one.id, Status::Active).await;
    become_(&store, one.id, Status::Active).await;
    become_(&store, one.id, Status::Completed).await;
    let two = broadcast(&store, 9).await.unwrap();
    become_(&store, two.id, Status::Active).await;
    bench.clock.advance(Duration::from_secs(100));
    let silence = Silence {
        active: bench.clock.wall(),
        anonymous: bench.clock.wall(),
    };
    let ended = store.end_silent_broadcasts("local", silence).await.unwrap();
    assert_eq!(ended.len(), 1);
    let expected = [
        "broadcast.created",
        "broadcast.active",
        "broadcast.completed",
        "broadcast.created",
        "broadcast.active",
        "broadcast.error",
    ];
    assert_eq!(told(&store, &all).await, expected);
    assert_eq!(told(&store, &some).await, [expected[2], expected[5]]);
    assert_eq!(told(&store, &off).await, [""; 0]);
    let oldest = store.deliveries_of(all.id, 6).await.unwrap().pop().unwrap();
    let data: serde_json::Value = serde_json::from_str(&oldest.data).unwrap();
    let id = one.id.to_string();
    let expected = serde_json::json!({"broadcastId": id, "alias": id, "shortId": "r1",
        "streamId": one.stream_id.to_string(), "channelId": format!("local#app#{id}"),
        "title": "a \"title\"", "status": "created"});
    assert_eq!(data, expected);
    assert!(oldest.id.starts_with("msg_"));
}

pub(super) async fn one_gateway_at_a_time_sends_to_a_webhook_oldest_first(bench: Bench) {
    let (one, two) = (bench.store_of("one").await, bench.store_of("two").await);
    let hook = webhook(&one, &[]).await;
    happen(&one, &["a", "b"]).await;
    assert_eq!(two.due_webhooks(false, 9).await.unwrap(), [hook.id]);
    let first = lease(&one, &hook).await.unwrap();
    assert_eq!(first.delivery.event, "a");
    assert!(two.due_webhooks(false, 9).await.unwrap().is_empty());
    assert_eq!(lease(&two, &hook).await, None);
    one.finish_attempt(&first, &arrived()).await.unwrap();
    let second = lease(&two, &hook).await.unwrap();
    assert_eq!(second.delivery.event, "b");
    // It was killed: another one takes it up, and what it says later does not count.
    bench.clock.advance(Duration::from_secs(31));
    let again = lease(&one, &hook).await.unwrap();
    assert_eq!(again.delivery, second.delivery);
    let gone = Next::Off("it answered 410".to_owned());
    two.finish_attempt(&second, &failed(gone)).await.unwrap();
    one.finish_attempt(&again, &arrived()).await.unwrap();
    let deliveries = two.deliveries_of(hook.id, 9).await.unwrap();
    assert!(
        deliveries
            .iter()
            .all(|it| it.delivered.is_some() && it.attempts == 1)
    );
    assert!(two.webhook("app", hook.id).await.unwrap().active);
    assert_eq!(lease(&two, &hook).await, None);
    let tally = one.webhook_tally();
    assert_eq!((tally.arrived, tally.failed, tally.dropped), (2, 0, 0));
    // Leases of a run that was killed are not waited for by the next one of the same gateway.
    happen(&one, &["c", "d"]).await;
    let interrupted = lease(&one, &hook).await.unwrap();
    two.release_own_leases().await.unwrap();
    assert_eq!(lease(&two, &hook).await, None);
    one.release_own_leases().await.unwrap();
    let again = lease(&two, &hook).await.unwrap();
    assert_eq!(again.delivery, interrupted.delivery);
    two.release_attempt(&again).await.unwrap();
    let again = lease(&two, &hook).await.unwrap();
    assert_eq!((again.delivery.attempts, &*again.delivery.event), (0, "c"));
}

pub(super) async fn what_failed_waits_and_the_others_go_on(bench: Bench) {
    let store = bench.store().await;
    let hook = webhook(&store, &[]).await;
    happen(&store, &["a", "b", "c"]).await;
    let at = bench.clock.wall().plus_micros(5_000_000);
    let attempt = lease(&store, &hook).await.unwrap();
    let again = failed(Next::Again(at));
    store.finish_attempt(&attempt, &again).await.unwrap();
    assert!(store.due_webhooks(false, 9).await.unwrap().is_empty());
    assert_eq!(store.due_webhooks(true, 9).await.unwrap(), [hook.id]);
    let attempt = lease(&store, &hook).await.unwrap();
    assert_eq!(attempt.delivery.event, "b");
    let since = Some(bench.clock.wall());
    assert_eq!(attempt.webhook.failing_since, since);
    bench.clock.advance(Duration::from_secs(1));
    let again = failed(Next::GivenUp);
    store.finish_attempt(&attempt, &again).await.unwrap();
    let shown = store.webhook("app", hook.id).await.unwrap();
    assert_eq!((shown.failing_since, shown.failures), (since, 2));
    bench.clock.advance(Duration::from_secs(4));
    let attempt = lease(&store, &hook).await.unwrap();
    assert_eq!(
        (&*attempt.delivery.event, attempt.delivery.attempts),
        ("a", 1)
    );
    store.finish_attempt(&attempt, &arrived()).await.unwrap();
    let shown = store.webhook("app", hook.id).await.unwrap();
    assert_eq!((shown.failing_since, shown.failures), (None, 0));
    let attempt = lease(&store, &hook).await.unwrap();
    assert_eq!(attempt.delivery.event, "c");
    let off = failed(Next::Off("it answered 410".to_owned()));
    happen(&store, &["d"]).await;
    store.finish_attempt(&attempt, &off).await.unwrap();
    let shown = store.webhook("app", hook.id).await.unwrap();
    assert_eq!(shown.off_reason.as_deref(), Some("it answered 410"));
    assert!(!shown.active && lease(&store, &hook).await.is_none());
    let deliveries = store.deliveries_of(hook.id, 9).await.unwrap();
    assert!(deliveries.iter().all(|it| it.next.is_none()));
    let errors: Vec<_> = deliveries.iter().map(|it| it.error.as_deref()).collect();
    let switched_off = Some("the webhook was switched off");
    let failed = Some("it answered 500");
    assert_eq!(errors, [switched_off, failed, failed, None]);
    let update = WebhookUpdate {
        active: Some(true),
        ..WebhookUpdate::default()
    };
    let on = store.update_webhook("app", hook.id, &update).await.unwrap();
    assert_eq!(
        (on.off_reason, on.failing_since, on.failures),
        (None, None, 0)
    );
    assert_eq!(lease(&store, &hook).await, None, "what was pending is over");
}

pub(super) async fn too_many_pending_deliveries_drop_the_newest(bench: Bench) {
    let store = bench.store().await;
    let hook = webhook(&store, &[]).await;
    let most = usize::try_from(MAX_PENDING).unwrap();
    for _ in 0..most / 100 {
        happen(&store, &["a"; 100]).await;
    }
    happen(&store, &["b", "c"]).await;
    assert_eq!(store.webhook_tally().dropped, 2);
    assert_eq!(told(&store, &hook).await, vec!["a"; most]);
    let ping = store.ping_webhook("app", hook.id).await;
    assert!(matches!(ping, Err(Error::Full { limit: 1000, .. })));
    let attempt = lease(&store, &hook).await.unwrap();
    assert_eq!(attempt.delivery.sequence, 1);
    store.finish_attempt(&attempt, &arrived()).await.unwrap();
    let ping = store.ping_webhook("app", hook.id).await.unwrap();
    assert_eq!((&*ping.event, ping.sequence), ("ping", MAX_PENDING + 1));
}

pub(super) async fn deliveries_that_are_over_are_deleted_after_a_week(bench: Bench) {
    let store = bench.store().await;
    let hook = webhook(&store, &[]).await;
    happen(&store, &["a", "b"]).await;
    let attempt = lease(&store, &hook).await.unwrap();
    store.finish_attempt(&attempt, &arrived()).await.unwrap();
    assert_eq!(store.sweep_deliveries().await.unwrap(), 0);
    bench.clock.advance(KEPT);
    assert_eq!(store.sweep_deliveries().await.unwrap(), 1);
    assert_eq!(told(&store, &hook).await, ["b"], "it is still to be sent");
}
