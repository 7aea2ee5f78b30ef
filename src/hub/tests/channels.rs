//! Members of a channel, their count, kill and close.

use super::*;

const LIVE: &str = "local#app#live";

fn words(words: &[&str]) -> Option<Vec<String>> {
    Some(words.iter().map(|word| (*word).to_owned()).collect())
}

fn all() -> Counted {
    Counted::default()
}

impl Bench {
    /// One frame of sound.
    fn beep(&self, publisher: &mut Publisher, at_ms: i64) {
        publisher.push(sound(Ticks(at_ms)));
    }

    fn count(&self) -> usize {
        self.hub.count(LIVE, &all())
    }
}

#[tokio::test]
async fn who_sends_is_a_member_with_a_session_of_its_own() {
    let bench = Bench::new();
    assert_eq!(bench.hub.members(LIVE), []);
    let mut first = bench.publish(words(&["streaming", "own-word"])).await;
    assert_eq!(
        (bench.count(), bench.hub.members(LIVE)),
        (0, vec![]),
        "it has sent nothing"
    );
    bench.clock.advance(Duration::from_millis(500));
    bench.beep(&mut first, 0);
    let appeared = bench.clock.wall();
    let members = bench.hub.members(LIVE);
    let [member] = &members[..] else {
        panic!("{members:?}")
    };
    assert!(member.session.starts_with("local#"));
    assert_eq!(&*member.screen_name, "Primary-127.0.0.1-1");
    assert_eq!(member.stream, first.stream_id());
    assert_eq!(member.capabilities, ["streaming", "own-word"]);
    assert_eq!(
        (member.audio, member.video),
        (TrackState::Enabled, TrackState::Ended)
    );
    assert_eq!(member.changed, appeared);

    let mut second = bench.publish(None).await;
    bench.clock.advance(Duration::from_millis(10));
    bench.beep(&mut second, 0);
    let both = bench.hub.members(LIVE);
    assert_eq!((both.len(), bench.count()), (2, 2));
    assert_eq!(both[0], members[0], "nothing of the first one has changed");
    assert_ne!(both[0].session, both[1].session);
    assert_eq!(&*both[1].screen_name, "Backup-127.0.0.1-2");
    assert_eq!(both[0].stream, both[1].stream);
    assert_eq!(
        bench.hub.members("live"),
        [],
        "members are asked for by channel id"
    );
    drop(first);
    assert_eq!(bench.hub.members(LIVE), both[1..]);
}

#[tokio::test]
async fn a_channel_may_name_its_publishers() {
    let bench = Bench::new();
    let mut publishers = Vec::new();
    for _ in 0..2 {
        let mut publisher = bench.publish_on("named-Studio", None).await;
        bench.beep(&mut publisher, 0);
        publishers.push(publisher);
    }
    let members = bench.hub.members("local#app#named-Studio");
    let names: Vec<&str> = members.iter().map(|it| &*it.screen_name).collect();
    assert_eq!(names, ["Studio", "Studio"]);
    assert_ne!(members[0].session, members[1].session);
}

#[tokio::test]
async fn who_sends_nothing_any_more_does_not_count_until_it_sends_again() {
    let bench = Bench::new();
    let mut publisher = bench.publish(None).await;
    bench.beep(&mut publisher, 0);
    let before = bench.hub.members(LIVE);
    bench.clock.advance(Duration::from_secs(1));
    assert_eq!(bench.count(), 1);
    bench.clock.advance(Duration::from_millis(1));
    assert_eq!((bench.count(), bench.hub.members(LIVE)), (0, vec![]));
    bench.clock.advance(Duration::from_secs(3));
    bench.beep(&mut publisher, 4_000);
    let after = bench.hub.members(LIVE);
    assert_eq!(after[0].session, before[0].session);
    assert_eq!(after[0].changed, bench.clock.wall());
}

#[tokio::test]
async fn a_track_that_stays_away_is_disabled_since_it_does() {
    let bench = Bench::new();
    let mut publisher = bench.publish(None).await;
    publisher.announce(Announcement {
        video: Some(true),
        audio: Some(true),
        ..Announcement::default()
    });
    let states = || {
        let members = bench.hub.members(LIVE);
        (members[0].audio, members[0].video, members[0].changed)
    };
    bench.beep(&mut publisher, 0);
    let start = bench.clock.wall();
    let enabled = TrackState::Enabled;
    assert_eq!(states(), (enabled, enabled, start), "pictures may come yet");
    let picture = |publisher: &mut Publisher, at_ms| {
        publisher.push(AccessUnit {
            kind: MediaKind::Video,
            dts: Ticks(at_ms),
            pts: Ticks(at_ms),
            duration: None,
            key: true,
            data: Bytes::from_static(b"picture"),
        });
    };
    picture(&mut publisher, 0);
    for second in 1..=4 {
        bench.clock.advance(Duration::from_secs(1));
        bench.beep(&mut publisher, second * 1000);
    }
    let gone = start.plus_micros(2_000_000);
    assert_eq!(states(), (enabled, TrackState::Disabled, gone));
    picture(&mut publisher, 4_000);
    assert_eq!(states(), (enabled, enabled, bench.clock.wall()));
}

#[tokio::test]
async fn a_count_is_of_those_asked_for() {
    let bench = Bench::new();
    let mut first = bench.publish(None).await;
    let mut second = bench.publish(None).await;
    bench.beep(&mut first, 0);
    bench.beep(&mut second, 0);
    for (with_streams, with_screen_name, expected) in [
        (None, None, 2),
        (Some(0), None, 2),
        (Some(1), None, 2),
        (Some(2), None, 0),
        (None, Some("Backup-127.0.0.1-2"), 1),
        (Some(2), Some("Backup-127.0.0.1-2"), 0),
        (None, Some("nobody"), 0),
    ] {
        let counted = Counted {
            with_streams,
            with_screen_name: with_screen_name.map(str::to_owned),
        };
        assert_eq!(bench.hub.count(LIVE, &counted), expected, "{counted:?}");
    }
    assert_eq!(bench.hub.count("local#app#other", &all()), 0);
}

#[tokio::test]
async fn a_kill_ends_stream_and_sessions_and_the_key_is_refused_for_a_while() {
    let mut bench = Bench::new();
    let mut publisher = bench.publish(words(&["streaming"])).await;
    bench.play(&mut publisher, 3).await;
    let (id, before) = (publisher.stream_id(), bench.hub.members(LIVE));
    let killed = bench.hub.kill(LIVE, "the show\nis over", false).await;
    assert_eq!((killed, before.len()), (before, 1));
    let reason = publisher.evicted().await;
    assert_eq!(reason, "the show is over", "one line, as it was said");
    assert_eq!(
        (bench.count(), bench.newest("live"), bench.hub.list().len()),
        (0, None, 0)
    );
    assert!(bench.hub.stream(id).unwrap().is_ended());
    assert!(bench.hub.timeline(id).is_some(), "players read the end");
    assert_eq!(*bench.memory.records(), [], "and no restart takes it up");
    let story = bench.hub.health(id).unwrap().history;
    assert!(story.iter().any(|incident| incident.kind == "killed"));

    let refused = Err(Refusal::NotAllowed(String::new()));
    let kind = |result: Result<String, Refusal>| {
        result.map_err(|refusal| match refusal {
            Refusal::NotAllowed(_) => Refusal::NotAllowed(String::new()),
            other => other,
        })
    };
    let publish = || async {
        let publisher = bench.hub.publish(request("live", None)).await;
        publisher.map(|publisher| publisher.stream_id().to_string())
    };
    assert_eq!(kind(bench.hub.preview(&request("live", None))), refused);
    assert_eq!(kind(publish().await), refused);
    assert!(bench.hub.preview(&request("other", None)).is_ok());
    bench.clock.advance(HOLD_OFF);
    assert!(bench.hub.preview(&request("live", None)).is_ok());
    assert_ne!(publish().await.unwrap(), id.to_string());
    assert_eq!(bench.hub.kill("local#app#nobody", "", false).await, []);
    bench.start_anew(Duration::from_secs(1)).await;
    assert_ne!(bench.newest("live"), Some(id));
}

#[tokio::test]
async fn what_is_on_air_of_a_channel_is_found_by_its_id_alone() {
    let bench = Bench::new();
    let mut publisher = bench.publish(words(&["streaming"])).await;
    bench.play(&mut publisher, 3).await;
    assert_eq!(bench.hub.newest(LIVE), Some(publisher.stream_id()));
    assert_eq!(bench.hub.newest("live"), None, "which is an alias");
}

#[tokio::test]
async fn a_kill_that_keeps_streams_leaves_encoder_and_players_alone() {
    let mut bench = Bench::new();
    let mut publisher = bench.publish(words(&["streaming"])).await;
    bench.play(&mut publisher, 3).await;
    let id = publisher.stream_id();
    assert_eq!(bench.hub.kill(LIVE, "moved", true).await.len(), 1);
    assert_eq!(
        (bench.count(), bench.newest("live"), bench.hub.list().len()),
        (0, None, 0)
    );
    let segments = bench.opened().len();
    bench.play(&mut publisher, 10).await;
    assert!(bench.opened().len() > segments, "its media go on");
    assert!(!bench.hub.stream(id).unwrap().is_ended());
    assert!(bench.hub.timeline(id).is_some());
    assert_eq!((bench.count(), bench.newest("live")), (0, None));
    assert_eq!(bench.hub.health(id).unwrap().members.len(), 1);

    // The key is good at once, for another stream.
    let mut next = bench.publish(words(&["streaming"])).await;
    assert_ne!(next.stream_id(), id);
    bench.play(&mut next, 2).await;
    assert_eq!(
        (bench.count(), bench.newest("live")),
        (1, Some(next.stream_id()))
    );
    let recorded: Vec<Uuid> = bench.memory.records().iter().map(|kept| kept.id).collect();
    assert_eq!(recorded, [next.stream_id()]);

    drop(publisher);
    bench.hub.tidy().await;
    assert!(
        bench.hub.stream(id).unwrap().is_ended(),
        "nobody can come back to it"
    );
    bench.start_anew(Duration::from_secs(1)).await;
    assert_eq!(bench.newest("live"), Some(next.stream_id()));
    assert!(bench.hub.stream(id).is_none());
}

#[tokio::test]
async fn what_a_kill_kept_ends_with_the_next_one_that_does_not() {
    let bench = Bench::new();
    let mut kept = bench.publish(words(&["streaming"])).await;
    bench.play(&mut kept, 3).await;
    bench.hub.kill(LIVE, "", true).await;
    assert_eq!(bench.hub.kill(LIVE, "", true).await, []);
    assert!(!bench.hub.stream(kept.stream_id()).unwrap().is_ended());
    let gone = bench.hub.kill(LIVE, "enough", false).await;
    assert_eq!(gone, [], "it is no member any more");
    assert!(bench.hub.stream(kept.stream_id()).unwrap().is_ended());
    assert_eq!(kept.evicted().await, "enough");
}

#[tokio::test]
async fn nothing_of_a_deleted_channel_is_found() {
    let bench = Bench::new();
    let mut kept = bench.publish(words(&["streaming"])).await;
    bench.play(&mut kept, 3).await;
    bench.hub.kill(LIVE, "", true).await;
    let mut publisher = bench.publish(words(&["streaming"])).await;
    bench.play(&mut publisher, 3).await;
    let ids = [kept.stream_id(), publisher.stream_id()];
    assert_eq!(bench.hub.close(LIVE).len(), 1);
    assert_eq!((bench.count(), bench.newest("live")), (0, None));
    for id in ids {
        assert!(bench.hub.timeline(id).is_none() && bench.hub.health(id).is_none());
    }
    assert_eq!(kept.evicted().await, "the channel was deleted");
    assert_eq!(publisher.evicted().await, "the channel was deleted");
    bench.memory.emptied().await;
}

#[tokio::test]
async fn a_publish_that_is_being_admitted_does_not_reach_a_channel_that_is_closed() {
    let bench = Bench::new();
    for opens_before in [false, true] {
        let before = match opens_before {
            true => Some(bench.publish(None).await),
            false => None,
        };
        let (admit, waits) = oneshot::channel();
        *bench.admits.lock().unwrap() = Some(waits);
        let mut publish = std::pin::pin!(bench.hub.publish(request("live", None)));
        let polled = std::future::poll_fn(|context| {
            std::task::Poll::Ready(publish.as_mut().poll(context).is_pending())
        });
        assert!(polled.await, "it waits for the gate");
        bench.hub.close(LIVE);
        admit.send(()).unwrap();
        assert_eq!(publish.await.err(), Some(Refusal::UnknownKey));
        assert_eq!(bench.newest("live"), None);
        bench.memory.emptied().await;
        drop(before);
    }
    // Made anew, it is another one.
    let _publisher = bench.publish(None).await;
    assert!(bench.newest("live").is_some());
}

#[tokio::test]
async fn a_publish_that_is_being_admitted_holds_nobody_up_and_does_not_outlive_a_kill() {
    let bench = Bench::new();
    let (admit, waits) = oneshot::channel();
    *bench.admits.lock().unwrap() = Some(waits);
    let mut slow = std::pin::pin!(bench.hub.publish(request("live", None)));
    let polled = std::future::poll_fn(|context| {
        std::task::Poll::Ready(slow.as_mut().poll(context).is_pending())
    });
    assert!(polled.await, "it waits for the gate");
    let mut beside = bench.publish(None).await;
    let _other = bench.publish_on("other", None).await;
    bench.play(&mut beside, 1).await;
    // Streams that are kept keep their encoders: nobody was sent away.
    assert_eq!(bench.hub.kill(LIVE, "", true).await.len(), 1);
    let mut again = bench.publish(None).await;
    bench.play(&mut again, 1).await;
    assert_eq!(bench.hub.kill(LIVE, "", false).await.len(), 1);
    // However short the key is refused after it.
    bench.clock.advance(HOLD_OFF);
    admit.send(()).unwrap();
    let refused = slow.await.err();
    assert!(
        matches!(refused, Some(Refusal::NotAllowed(_))),
        "{refused:?}"
    );
    assert_eq!(bench.newest("live"), None);
    // Who comes after it is on air.
    let next = bench.publish(None).await;
    assert_eq!(bench.newest("live"), Some(next.stream_id()));
}

#[test]
fn whatever_the_order_of_publishes_and_closes_nothing_of_a_closed_channel_stays() {
    on_four_threads(async {
        let bench = Bench::new();
        for _ in 0..200 {
            let publishing: Vec<_> = (0..4)
                .map(|_| {
                    let hub = bench.hub.clone();
                    bench
                        .hub
                        .inner
                        .tasks
                        .spawn(async move { hub.publish(request("live", None)).await })
                })
                .collect();
            bench.hub.close(LIVE);
            let mut publishers = Vec::new();
            for publish in publishing {
                publishers.extend(publish.await.unwrap().ok());
            }
            // Who came after the close has opened a stream, the others have none.
            let living = bench.newest("live");
            let ended = |id: Uuid| bench.hub.stream(id).is_none_or(|stream| stream.is_ended());
            for publisher in &publishers {
                let id = publisher.stream_id();
                assert!(ended(id) || living == Some(id));
            }
            bench.hub.close(LIVE);
            assert_eq!(bench.newest("live"), None);
            assert!(bench.hub.ids().is_empty());
            drop(publishers);
        }
        bench.memory.emptied().await;
    });
}
