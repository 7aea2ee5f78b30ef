//! Runs of events: each ends the one before, and begins once.

use super::*;

pub(in crate::store::tests) async fn the_next_run_ends_the_one_before(bench: Bench) {
    let store = bench.store().await;
    let ann = user(&store, "app", "ann").await;
    let event = made(&bench, &store, &ann, "film", 60).await;
    bench.clock.advance(Duration::from_secs(4000));
    let next = ShowRow {
        event_id: event.id,
        ..film(&bench, &ann, "", 80_000).show
    };
    let rearm = |event: &mut Event, show: &mut ShowRow| {
        event.starts = next.starts;
        event.ends = next.ends;
        *show = next.clone();
        Ok::<(), ()>(())
    };
    let changed = store.change_event(event.id, &never, rearm).await;
    let (changed, show) = changed.unwrap().unwrap();
    assert_eq!((changed.stream_id, &show), (next.stream_id, &next));
    let before = store.show(event.stream_id).await.unwrap().unwrap();
    assert_eq!(before.ended, Some(bench.clock.wall()));
    // It can be seen for an hour, and both lead to the event.
    for stream in [event.stream_id, next.stream_id] {
        let found = store.event_of_stream(stream).await.unwrap().unwrap();
        assert_eq!(found, changed);
    }
    assert_eq!(store.sweep_shows().await.unwrap(), 0);
    bench.clock.advance(Duration::from_secs(3600));
    assert_eq!(store.sweep_shows().await.unwrap(), 1);
    assert_eq!(store.show(event.stream_id).await.unwrap(), None);
    assert_eq!(store.show(next.stream_id).await.unwrap(), Some(next));
    // What is over may be called something else for as long as it is there.
    let over = |event: &mut Event, show: &mut ShowRow| {
        event.status = EventStatus::Completed;
        show.ended = Some(event.updated);
        Ok::<(), ()>(())
    };
    let over = store.change_event(event.id, &never, over).await;
    over.unwrap().unwrap();
    bench.clock.advance(Duration::from_secs(7200));
    assert_eq!(store.sweep_shows().await.unwrap(), 1);
    let rename = |event: &mut Event, _: &mut ShowRow| {
        event.title = "It was".to_owned();
        Ok::<(), ()>(())
    };
    let renamed = store.change_event(event.id, &never, rename).await;
    assert_eq!(renamed.unwrap().unwrap().0.title, "It was");
    assert_eq!(rows(&store, "cuts").await, 0);
}

pub(in crate::store::tests) async fn a_run_begins_once_and_with_its_broadcast_or_not_at_all(
    bench: Bench,
) {
    let (store, other) = (bench.store().await, bench.store_of("other").await);
    let ann = user(&store, "app", "ann").await;
    let event = made(&bench, &store, &ann, "film", 60).await;
    let begin = |event: &mut Event, _: &mut ShowRow| {
        if event.status != EventStatus::Scheduled {
            return Err(());
        }
        event.status = EventStatus::Active;
        event.playback_started = Some(event.starts);
        Ok(())
    };
    let full = store.start_event(event.id, ("local", 0), &never, begin);
    assert_eq!(full.await.unwrap_err().kind(), Kind::Capacity);
    let found = store.event(event.id).await.unwrap().unwrap();
    assert_eq!(found, event, "nothing of it was kept");
    let premises = ("local", 9);
    let both = tokio::join!(
        store.start_event(event.id, premises, &never, begin),
        other.start_event(event.id, premises, &never, begin)
    );
    let (begun, show) = match (both.0.unwrap(), both.1.unwrap()) {
        (Ok(begun), Err(())) | (Err(()), Ok(begun)) => begun,
        both => panic!("{both:?}"),
    };
    assert_eq!(store.event(event.id).await.unwrap(), Some(begun.clone()));
    let id = begun.broadcast_id.unwrap().to_string();
    let broadcast = store.find_broadcast(&id).await.unwrap().unwrap();
    assert_eq!(broadcast.status, Status::Active);
    assert_eq!(broadcast.stream_id, show.stream_id);
    assert_eq!(store.all_broadcasts(None, 9, 0).await.unwrap().len(), 1);
    let found = store.event_of_key(broadcast.key.expose()).await.unwrap();
    assert_eq!(found, Some(begun));
    // Its end is that of its broadcast.
    let end = |event: &mut Event, show: &mut ShowRow| {
        event.status = EventStatus::Completed;
        show.ended = Some(event.starts);
        Ok::<(), ()>(())
    };
    let ended = other.change_event(event.id, &never, end).await.unwrap();
    assert_eq!(ended.unwrap().0.status, EventStatus::Completed);
    let broadcast = store.find_broadcast(&id).await.unwrap().unwrap();
    assert_eq!(broadcast.status, Status::Completed);
    let nobody = store.start_event(Uuid::new_v4(), premises, &never, begin);
    assert_eq!(nobody.await.unwrap_err().kind(), Kind::NotFound);
}

pub(in crate::store::tests) async fn a_start_meets_no_other_event_of_its_channel(bench: Bench) {
    let store = bench.store().await;
    let ann = user(&store, "app", "ann").await;
    let on = |in_s| NewEvent {
        channel_id: Some("local#app#hall"),
        ..film(&bench, &ann, "one", in_s)
    };
    let one = store.create_event(&on(60), &overlap).await.unwrap();
    let later = store.create_event(&on(7200), &overlap).await.unwrap();
    let begin = |event: &mut Event, _: &mut ShowRow| {
        event.status = EventStatus::Active;
        event.starts = Wall(event.starts.0 - 7000 * SECOND);
        Ok::<(), ()>(())
    };
    let refused = store.start_event(later.id, ("local", 9), &overlap, begin);
    let refused = refused.await.unwrap_err();
    assert!(
        matches!(&refused, Error::Overlap { id, .. } if *id == one.id),
        "{refused}"
    );
    assert_eq!(store.event(later.id).await.unwrap(), Some(later));
}
