//! Files of events.

use super::*;

pub(in crate::store::tests) async fn an_asset_is_prepared_by_one_gateway_at_a_time(bench: Bench) {
    let (store, other) = (bench.store().await, bench.store_of("other").await);
    let ann = user(&store, "app", "ann").await;
    let event = made(&bench, &store, &ann, "film", 60).await;
    let lease = Duration::from_secs(30);
    assert_eq!(store.claim_asset(lease, &[]).await.unwrap(), None);
    let (asset, _) = uploaded(&store, &event).await;
    let claims = tokio::join!(store.claim_asset(lease, &[]), other.claim_asset(lease, &[]));
    let (mine, claimed) = match (claims.0.unwrap(), claims.1.unwrap()) {
        (Some(asset), None) => (true, asset),
        (None, Some(asset)) => (false, asset),
        both => panic!("{both:?}"),
    };
    let (holder, loser) = match mine {
        true => (&store, &other),
        false => (&other, &store),
    };
    assert_eq!(
        (claimed.id, claimed.state),
        (asset.id, AssetState::Preparing)
    );
    assert_eq!(claimed.holder.as_deref(), Some(&*holder.node));
    let denied = loser.asset_progress(asset.id, 50, lease).await.unwrap_err();
    assert_eq!(denied.kind(), Kind::NotFound);
    // It is kept for as long as its holder is heard of.
    bench.clock.advance(Duration::from_secs(29));
    holder.asset_progress(asset.id, 50, lease).await.unwrap();
    bench.clock.advance(Duration::from_secs(29));
    assert_eq!(loser.claim_asset(lease, &[]).await.unwrap(), None);
    bench.clock.advance(Duration::from_secs(1));
    let taken = loser.claim_asset(lease, &[]).await.unwrap().unwrap();
    assert_eq!((taken.id, taken.progress), (asset.id, 50));
    let denied = holder.asset_prepared(asset.id, 1).await.unwrap_err();
    assert_eq!(denied.kind(), Kind::NotFound);
    // Who stops gives it back, and who is done keeps nothing.
    loser.release_asset(asset.id).await.unwrap();
    assert!(holder.claim_asset(lease, &[]).await.unwrap().is_some());
    holder.asset_prepared(asset.id, 7 * SECOND).await.unwrap();
    let done = store.asset(asset.id).await.unwrap().unwrap();
    assert_eq!((done.state, done.progress), (AssetState::Prepared, 100));
    assert_eq!((done.duration_us, done.holder), (Some(7 * SECOND), None));
    bench.clock.advance(Duration::from_secs(3600));
    assert_eq!(loser.claim_asset(lease, &[]).await.unwrap(), None);
    // What cannot be prepared is not tried again.
    let (broken, _) = uploaded(&store, &event).await;
    assert_eq!(
        store.claim_asset(lease, &[]).await.unwrap().unwrap().id,
        broken.id
    );
    store.asset_failed(broken.id, "no pictures").await.unwrap();
    let failed = store.asset(broken.id).await.unwrap().unwrap();
    assert_eq!(failed.state, AssetState::Failed);
    assert_eq!(failed.error.as_deref(), Some("no pictures"));
    assert_eq!(store.claim_asset(lease, &[]).await.unwrap(), None);
}

pub(in crate::store::tests) async fn a_new_file_plays_in_the_next_run_and_the_old_one_goes_when_nothing_shows_it(
    bench: Bench,
) {
    let store = bench.store().await;
    let ann = user(&store, "app", "ann").await;
    let event = made(&bench, &store, &ann, "film", 60).await;
    let (first, _) = uploaded(&store, &event).await;
    // Before the run, the file is replaced.
    let (second, unused) = uploaded(&store, &event).await;
    assert_eq!(unused, [first.id]);
    assert_eq!(store.asset(first.id).await.unwrap(), None);
    // Once it has begun, it goes on with what it has.
    bench.clock.advance(Duration::from_secs(61));
    let (third, unused) = uploaded(&store, &event).await;
    assert!(unused.is_empty());
    let show = store.show(event.stream_id).await.unwrap().unwrap();
    assert_eq!(show.asset_id, Some(second.id));
    let found = store.event(event.id).await.unwrap().unwrap();
    assert_eq!(found.asset_id, Some(third.id));
    let used = store.delete_asset(second.id).await.unwrap_err();
    assert!(matches!(used, Error::State { .. }));
    let assets = store.assets_of_event(event.id).await.unwrap();
    assert_eq!(assets, store.assets(&[second.id, third.id]).await.unwrap());
    let rearm = |_: &mut Event, show: &mut ShowRow| {
        show.stream_id = Uuid::new_v4();
        show.asset_id = Some(third.id);
        Ok::<(), ()>(())
    };
    let rearmed = store.change_event(event.id, &never, rearm).await;
    rearmed.unwrap().unwrap();
    assert!(store.drop_unused_assets(event.id).await.unwrap().is_empty());
    bench.clock.advance(Duration::from_secs(3601));
    store.sweep_shows().await.unwrap();
    assert_eq!(
        store.drop_unused_assets(event.id).await.unwrap(),
        [second.id]
    );
    // Uploads that nobody goes on with are found, and given up one by one.
    let began = bench.clock.wall();
    let new = NewAsset {
        id: Uuid::new_v4(),
        event_id: event.id,
        name: "slow.mp4",
        bytes: 7,
    };
    let slow = store.create_asset(&new).await.unwrap();
    assert_eq!(store.unfinished_uploads(began).await.unwrap(), []);
    let later = began.plus_micros(1);
    assert_eq!(
        store.unfinished_uploads(later).await.unwrap(),
        std::slice::from_ref(&slow)
    );
    store.delete_asset(slow.id).await.unwrap();
    assert_eq!(
        store.delete_asset(slow.id).await.unwrap_err().kind(),
        Kind::NotFound
    );
    for _ in 1..MAX_ASSETS_OF_EVENT {
        let id = Uuid::new_v4();
        store
            .create_asset(&NewAsset { id, ..new.clone() })
            .await
            .unwrap();
    }
    let full = store.create_asset(&new).await.unwrap_err();
    assert_eq!(full.kind(), Kind::Capacity);
}

pub(in crate::store::tests) async fn a_gateway_that_was_killed_gives_back_what_it_prepared(
    bench: Bench,
) {
    let (store, other) = (bench.store().await, bench.store_of("other").await);
    let ann = user(&store, "app", "ann").await;
    let lease = Duration::from_secs(30);
    let mut claimed = Vec::new();
    for (name, gateway) in [("one", &store), ("two", &other)] {
        let event = made(&bench, &store, &ann, name, 60).await;
        let (asset, _) = uploaded(&store, &event).await;
        let mine = gateway.claim_asset(lease, &[]).await.unwrap().unwrap();
        assert_eq!(mine.id, asset.id);
        gateway.asset_progress(asset.id, 40, lease).await.unwrap();
        claimed.push(asset.id);
        bench.clock.advance(Duration::from_secs(1));
    }
    // As it does when it starts.
    store.release_assets().await.unwrap();
    let assets = store.assets(&claimed).await.unwrap();
    let states: Vec<_> = assets.iter().map(|one| (one.state, one.progress)).collect();
    assert_eq!(
        states,
        [(AssetState::Uploaded, 40), (AssetState::Preparing, 40)]
    );
    assert_eq!(assets[0].holder, None);
    assert_eq!(assets[1].holder.as_deref(), Some(&*other.node));
    let again = store.claim_asset(lease, &[]).await.unwrap().unwrap();
    assert_eq!(again.id, claimed[0]);
}
