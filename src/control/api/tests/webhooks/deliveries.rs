//! What reaches the receivers of webhooks, when, and signed by whom.

use super::*;

#[tokio::test]
async fn a_tenants_broadcasts_are_told_in_order_and_signed() {
    let bench = clients().await;
    let mut receiver = Receiver::start(&[YES]).await;
    let webhook = made(&bench, &receiver.url).await;
    let sender = Sender::start(&bench, &bench.store, here());
    let broadcast = bench.broadcast("a \"title\"").await;
    become_(&bench, &broadcast, "active").await;
    become_(&bench, &broadcast, "completed").await;
    let first = receiver.next().await;
    assert!(
        first.head.starts_with("POST /hook?a=b HTTP/1.1\r\n"),
        "{}",
        first.head
    );
    assert_eq!(first.header("content-type"), "application/json");
    let now = bench.clock.wall().unix_seconds().to_string();
    assert_eq!(first.header("webhook-timestamp"), now);
    assert!(first.is_signed_with(webhook["secret"].as_str().unwrap()));
    assert!(!first.is_signed_with("whsec_AAAA"));
    let body = first.json();
    assert_eq!(body["id"], first.header("webhook-id"));
    assert_eq!(body["timestamp"], "2026-09-21T14:13:20Z");
    assert_eq!(body["data"]["broadcastId"], broadcast["id"]);
    assert_eq!(body["data"]["title"], "a \"title\"");
    let key = broadcast["streamKey"].as_str().unwrap();
    assert!(!first.body.contains(key), "no key is told");
    assert_eq!(first.event(), "broadcast.created");
    let expected = ["broadcast.active", "broadcast.completed"];
    assert_eq!(receiver.events(2).await, expected);
    // Another tenant's are not.
    let body = json!({"title": "two"});
    assert_eq!(
        bench
            .api("POST", "/api/broadcasts", &OTHER_KEY, body)
            .await
            .0,
        200
    );
    let sent = ping(&bench, &webhook).await;
    assert_eq!(
        (&sent["event"], &sent["status"]),
        (&json!("ping"), &json!("pending"))
    );
    let came = receiver.next().await;
    assert_eq!(
        (came.event(), &came.json()["id"]),
        ("ping".to_owned(), &sent["id"])
    );
    newest(&bench, &webhook, |it| it.delivered.is_some()).await;
    let (_, deliveries) = bench
        .api("GET", &path(&webhook, "/deliveries"), &KEY, "")
        .await;
    assert_eq!(deliveries.as_array().unwrap().len(), 4);
    assert_eq!(
        (
            &deliveries[0]["status"],
            &deliveries[0]["responseCode"],
            &deliveries[0]["attempts"]
        ),
        (&json!("delivered"), &json!(204), &json!(1))
    );
    sender.stop().await;
}

#[tokio::test]
async fn for_a_day_after_its_rotation_the_old_secret_signs_as_well() {
    let bench = clients().await;
    let mut receiver = Receiver::start(&[YES]).await;
    let webhook = made(&bench, &receiver.url).await;
    let old = webhook["secret"].as_str().unwrap();
    let (code, rotated) = bench
        .api("POST", &path(&webhook, "/secret"), &KEY, "")
        .await;
    assert_eq!(code, 200);
    assert_eq!(rotated["oldSecretUntil"], "2026-09-22T14:13:20Z");
    let new = rotated["secret"].as_str().unwrap();
    let sender = Sender::start(&bench, &bench.store, here());
    for (passed_s, old_signs) in [(0, true), (24 * 3600, false)] {
        bench.clock.advance(Duration::from_secs(passed_s));
        ping(&bench, &webhook).await;
        let came = receiver.next().await;
        assert!(came.is_signed_with(new));
        assert_eq!(came.is_signed_with(old), old_signs);
        newest(&bench, &webhook, |it| it.delivered.is_some()).await;
    }
    sender.stop().await;
}

#[tokio::test]
async fn what_fails_is_sent_again_and_what_came_meanwhile_is_not_held_up() {
    let bench = clients().await;
    let redirect =
        "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n";
    let mut receiver = Receiver::start(&[NO, YES, redirect, "nonsense\r\n\r\n", YES]).await;
    let webhook = made(&bench, &receiver.url).await;
    let sender = Sender::start(&bench, &bench.store, here());
    ping(&bench, &webhook).await;
    let first = receiver.next().await;
    let failed = newest(&bench, &webhook, |it| it.attempts == 1).await;
    assert_eq!(
        (failed.code, failed.error.as_deref()),
        (Some(500), Some("it answered 500"))
    );
    let pause = failed.next.unwrap().micros_since(bench.clock.wall());
    assert!((4_000_000..=6_000_000).contains(&pause), "{pause}");
    bench.broadcast("meanwhile").await;
    assert_eq!(receiver.next().await.event(), "broadcast.created");
    newest(&bench, &webhook, |it| it.delivered.is_some()).await;
    let told = |attempts| {
        let bench = &bench;
        let webhook = id(&webhook);
        async move {
            loop {
                let both = bench.store.deliveries_of(webhook, 2).await.unwrap();
                if both[1].attempts == attempts {
                    return both[1].clone();
                }
            }
        }
    };
    for (attempts, why) in [
        (2, "it answered 302, and redirects are not followed"),
        (3, "it did not answer in HTTP: "),
    ] {
        bench.clock.advance(Duration::from_secs(30));
        let again = receiver.next().await;
        assert_eq!(again.header("webhook-id"), first.header("webhook-id"));
        assert_eq!(again.body, first.body);
        assert!(again.is_signed_with(webhook["secret"].as_str().unwrap()));
        let failed = tokio::time::timeout(PATIENCE, told(attempts))
            .await
            .unwrap();
        assert!(
            failed.error.as_ref().unwrap().starts_with(why),
            "{failed:?}"
        );
    }
    bench.clock.advance(Duration::from_secs(120));
    assert_eq!(
        receiver.next().await.header("webhook-id"),
        first.header("webhook-id")
    );
    let arrived = tokio::time::timeout(PATIENCE, told(4)).await.unwrap();
    assert!(arrived.delivered.is_some() && arrived.error.is_none());
    sender.stop().await;
}

#[tokio::test]
async fn a_receiver_that_is_gone_is_switched_off_and_its_owner_sees_why() {
    let bench = clients().await;
    let gone = "HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n";
    let mut receiver = Receiver::start(&[gone, YES]).await;
    let webhook = made(&bench, &receiver.url).await;
    ping(&bench, &webhook).await;
    ping(&bench, &webhook).await;
    let sender = Sender::start(&bench, &bench.store, here());
    receiver.next().await;
    newest(&bench, &webhook, |it| it.next.is_none()).await;
    let (_, shown) = bench.api("GET", &path(&webhook, ""), &KEY, "").await;
    assert_eq!(
        (&shown["isActive"], &shown["disabledReason"]),
        (&json!(false), &json!("it answered 410"))
    );
    bench.broadcast("not told").await;
    let on = json!({"isActive": true});
    let (_, shown) = bench.api("PATCH", &path(&webhook, ""), &KEY, on).await;
    assert_eq!(
        (&shown["disabledReason"], &shown["failingSince"]),
        (&Value::Null, &Value::Null)
    );
    let sent = ping(&bench, &webhook).await;
    assert_eq!(
        receiver.next().await.header("webhook-id"),
        sent["id"].as_str().unwrap()
    );
    sender.stop().await;
}

#[tokio::test]
async fn receivers_that_do_not_answer_hold_nobody_up_and_are_cut_off_at_a_stop() {
    let bench = clients().await;
    let mut silent = Receiver::start(&[]).await;
    let mut quick = Receiver::start(&[YES]).await;
    let mut dead = Vec::new();
    for _ in 0..9 {
        dead.push(made(&bench, &silent.url).await);
    }
    let living = made(&bench, &quick.url).await;
    let sender = Sender::start(&bench, &bench.store, here());
    bench.broadcast("one").await;
    silent.events(9).await;
    for title in ["two", "three"] {
        bench.broadcast(title).await;
    }
    assert_eq!(quick.events(3).await, ["broadcast.created"; 3]);
    newest(&bench, &living, |it| it.delivered.is_some()).await;
    sender.stop().await;
    // What was not answered is sent again by the next run, at once.
    let sender = Sender::start(&bench, &bench.store, here());
    silent.events(9).await;
    sender.stop().await;
    for webhook in &dead {
        let pending = bench.store.deliveries_of(id(webhook), 9).await.unwrap();
        assert!(
            pending
                .iter()
                .all(|it| it.attempts == 0 && it.next.is_some()),
            "{pending:?}"
        );
    }
}

#[tokio::test]
async fn of_endless_answers_only_the_beginning_is_read() {
    let bench = clients().await;
    let endless = format!("HTTP/1.1 200 OK\r\n\r\n{}", "a".repeat(5_000_000));
    let head = format!("HTTP/1.1 200 OK\r\nA: {}\r\n\r\n", "a".repeat(5_000_000));
    for (answer, code) in [(endless, Some(200)), (head, None)] {
        let mut receiver = Receiver::start(&[&answer]).await;
        let webhook = made(&bench, &receiver.url).await;
        let sender = Sender::start(&bench, &bench.store, here());
        ping(&bench, &webhook).await;
        receiver.next().await;
        let told = newest(&bench, &webhook, |it| it.attempts == 1).await;
        assert_eq!(
            (told.code, told.delivered.is_some()),
            (code, code.is_some()),
            "{told:?}"
        );
        sender.stop().await;
    }
}

#[tokio::test]
async fn a_name_of_a_private_address_is_not_called() {
    let bench = clients().await;
    let mut receiver = Receiver::start(&[YES]).await;
    let webhook = made(&bench, &receiver.url).await;
    ping(&bench, &webhook).await;
    let nowhere = Private {
        networks: Vec::new(),
        ..here()
    };
    let sender = Sender::start(&bench, &bench.store, nowhere);
    let failed = newest(&bench, &webhook, |it| it.attempts == 1).await;
    let error = failed.error.unwrap();
    assert!(error.ends_with("is a loopback address, which FOREBAY_WEBHOOKS_PRIVATE does not name"));
    sender.stop().await;
    assert!(receiver.came.try_recv().is_err(), "nobody came");
}

#[tokio::test]
async fn two_gateways_on_one_database_tell_everything_once_and_in_order() {
    let bench = clients().await;
    let mut receiver = Receiver::start(&[YES]).await;
    let webhook = made(&bench, &receiver.url).await;
    let other = bench.another().await;
    let senders = [&bench.store, &other].map(|store| Sender::start(&bench, store, here()));
    let mut sent = Vec::new();
    for _ in 0..30 {
        let one = ping(&bench, &webhook).await;
        sent.push(one["id"].as_str().unwrap().to_owned());
        let two = other.ping_webhook("one", id(&webhook)).await.unwrap();
        sent.push(two.id);
    }
    let mut came = Vec::new();
    for _ in &sent {
        came.push(receiver.next().await.header("webhook-id").to_owned());
    }
    assert_eq!(came, sent);
    newest(&bench, &webhook, |it| it.delivered.is_some()).await;
    for sender in senders {
        sender.stop().await;
    }
    assert!(receiver.came.try_recv().is_err(), "nothing comes twice");
    let arrived = [&bench.store, &other].map(|store| store.webhook_tally().arrived);
    assert_eq!(arrived[0] + arrived[1], 60, "{arrived:?}");
}

#[tokio::test]
async fn publishers_and_streams_are_told_of_as_they_come_and_go() {
    let bench = clients().await;
    let mut receiver = Receiver::start(&[YES]).await;
    made(&bench, &receiver.url).await;
    let broadcast = bench.broadcast("one").await;
    let sender = Sender::start(&bench, &bench.store, here());
    assert_eq!(receiver.next().await.event(), "broadcast.created");
    let (text, stream) = (broadcast["streamId"].as_str().unwrap(), &broadcast["id"]);
    let (stream_id, alias): (Uuid, &str) = (text.parse().unwrap(), stream.as_str().unwrap());
    let channel = format!("local#one#{alias}");
    let attendee = |session: &str, lost| Attendee {
        session: session.into(),
        screen_name: "camera".into(),
        proto: "srt",
        lost,
    };
    let is_there = |attendees: Vec<Attendee>| {
        bench
            .world
            .attendees
            .lock()
            .unwrap()
            .insert(stream_id, attendees);
    };
    is_there(vec![attendee("local#a", false)]);
    bench.world.listings.lock().unwrap().push(Listing {
        id: stream_id,
        channel_id: channel.clone(),
        alias: alias.to_owned(),
        name: String::new(),
        on_air: true,
        protected: false,
        playable: true,
    });
    let connected = receiver.next().await.json();
    let expected = json!({"broadcastId": alias, "streamId": text, "channelId": channel, "alias": alias,
        "publisher": {"sessionId": "local#a", "screenName": "camera", "protocol": "srt"}});
    assert_eq!(
        (&connected["type"], &connected["data"]),
        (&json!("publisher.connected"), &expected)
    );
    assert_eq!(receiver.next().await.event(), "stream.started");
    is_there(vec![attendee("local#a", true), attendee("local#b", false)]);
    assert_eq!(
        receiver.events(2).await,
        ["publisher.lost", "publisher.connected"]
    );
    is_there(vec![attendee("local#a", false)]);
    assert_eq!(
        receiver.events(2).await,
        ["publisher.connected", "publisher.disconnected"]
    );
    // The broadcast ends: its channel is gone before its stream.
    become_(&bench, &broadcast, "completed").await;
    bench.world.listings.lock().unwrap().clear();
    let mut events = receiver.events(3).await;
    events.sort();
    assert_eq!(
        events,
        [
            "broadcast.completed",
            "publisher.disconnected",
            "stream.ended"
        ]
    );
    sender.stop().await;
}
