//! Streams that the next run of the server takes up, or does not.

use super::*;

#[tokio::test]
async fn a_stream_goes_on_after_a_kill() {
    for seconds in [1, 3, 30, 600] {
        let mut bench = Bench::new();
        let words = Some(vec!["streaming".to_owned(), "token-auth".to_owned()]);
        let mut publisher = bench.publish(words).await;
        bench.play(&mut publisher, seconds).await;
        let before = bench.opened();
        let last = *before.last().unwrap();
        let id = bench.newest("live").unwrap();
        let epoch = bench.hub.stream(id).unwrap().epoch();
        bench.start_anew(Duration::from_millis(500)).await;

        assert_eq!(bench.newest("live"), Some(id), "players find it at once");
        let listing = &bench.hub.list()[0];
        assert!(listing.protected && listing.playable && !listing.on_air);
        assert!(bench.hub.timeline(id).unwrap().description().is_none());

        bench.clock.advance(Duration::from_secs(2));
        let mut publisher = bench.publish(None).await;
        bench.play(&mut publisher, 5).await;
        assert_eq!(bench.newest("live"), Some(id));
        assert_eq!(bench.hub.stream(id).unwrap().epoch(), epoch);
        assert_eq!(bench.on_air(), [true]);
        let (missing, first) = (bench.missing()[0], bench.opened()[0]);
        assert!(missing.sequence > last.sequence, "{missing:?} {last:?}");
        let ahead = missing.sequence - last.sequence;
        assert!(ahead <= 13, "{ahead} segments are left out");
        assert!(missing.discontinuity_sequence >= last.discontinuity_sequence);
        assert!(!missing.discontinuity && first.discontinuity);
        assert_eq!(
            first.discontinuity_sequence,
            missing.discontinuity_sequence + 1
        );
        let end = last.time + Ticks(180_000);
        assert!(missing.time <= end, "players have nothing after {end:?}");
        assert!(first.time > end, "{first:?} after {last:?}");
    }
}

#[tokio::test]
async fn numbers_go_on_without_a_hole_after_a_stop() {
    let mut bench = Bench::new();
    let mut publisher = bench.publish(None).await;
    bench.play(&mut publisher, 20).await;
    drop(publisher);
    bench.stop().await;
    let last = *bench.opened().last().unwrap();
    bench.start_anew(Duration::from_secs(1)).await;
    let mut publisher = bench.publish(None).await;
    bench.play(&mut publisher, 5).await;
    let (missing, first) = (bench.missing(), bench.opened()[0]);
    let [missing] = missing[..] else {
        panic!("one gap of a second: {missing:?}")
    };
    assert_eq!(missing.sequence, last.sequence + 1);
    assert_eq!(missing.discontinuity_sequence, last.discontinuity_sequence);
    assert_eq!(first.sequence, last.sequence + 2);
    assert_eq!(
        first.discontinuity_sequence,
        last.discontinuity_sequence + 1
    );

    // The second run ends without a goodbye, before anything was recorded by the clock.
    let last = *bench.opened().last().unwrap();
    bench.start_anew(Duration::ZERO).await;
    let mut publisher = bench.publish(None).await;
    bench.play(&mut publisher, 1).await;
    assert!(bench.opened()[0].sequence > last.sequence);
}

#[tokio::test]
async fn a_kill_right_after_the_return_takes_nothing_back() {
    let mut bench = Bench::new();
    let mut publisher = bench.publish(None).await;
    bench.play(&mut publisher, 20).await;
    drop(publisher);
    bench.stop().await;
    let mut last = *bench.opened().last().unwrap();
    for _ in 0..5 {
        bench.start_anew(Duration::ZERO).await;
        let mut publisher = bench.publish(None).await;
        bench.play(&mut publisher, 1).await;
        let first = bench.opened()[0];
        assert!(first.sequence > last.sequence, "{first:?} after {last:?}");
        assert!(first.discontinuity_sequence > last.discontinuity_sequence);
        last = *bench.opened().last().unwrap();
    }
}

#[tokio::test]
async fn a_stream_to_which_nobody_comes_back_is_over() {
    let mut bench = Bench::new();
    let mut publisher = bench.publish(Some(vec!["streaming".to_owned()])).await;
    bench.play(&mut publisher, 5).await;
    let id = bench.newest("live").unwrap();
    bench.start_anew(Duration::from_secs(20)).await;
    bench.clock.advance(Duration::from_secs(29));
    bench.hub.tidy().await;
    assert_eq!(bench.newest("live"), Some(id));
    bench.clock.advance(Duration::from_secs(1));
    bench.hub.tidy().await;
    assert_eq!(bench.newest("live"), None);
    assert!(bench.hub.timeline(id).is_none(), "nothing is left to play");
    bench.memory.emptied().await;
    let _publisher = bench.publish(None).await;
    assert_ne!(bench.newest("live"), Some(id));
}

#[tokio::test]
async fn starts_in_a_row_do_not_keep_a_stream_alive() {
    let mut bench = Bench::new();
    let mut publisher = bench.publish(None).await;
    bench.play(&mut publisher, 5).await;
    let id = bench.newest("live");
    bench.start_anew(Duration::from_secs(20)).await;
    bench.hub.tidy().await;
    bench.stop().await;
    bench.start_anew(Duration::from_secs(20)).await;
    assert_eq!(bench.newest("live"), id);
    bench.start_anew(Duration::from_secs(20)).await;
    assert_eq!(bench.newest("live"), None);
    assert_eq!(*bench.memory.records(), []);
}

#[tokio::test]
async fn an_ended_stream_is_not_taken_up_and_of_several_only_the_newest() {
    let mut bench = Bench::new();
    let mut publisher = bench.publish(None).await;
    bench.play(&mut publisher, 5).await;
    drop(publisher);
    bench.clock.advance(Duration::from_secs(30));
    bench.hub.tidy().await;
    bench.memory.emptied().await;

    let _publisher = bench.publish(None).await;
    let newest = bench.newest("live");
    // As if the end of the one before had not been recorded.
    let mut stale = bench.memory.records()[0].clone();
    stale.id = Uuid::nil();
    stale.sign.told = Told::default();
    bench.memory.records().insert(0, stale);
    bench.start_anew(Duration::from_secs(1)).await;
    assert_eq!(bench.newest("live"), newest);
    assert_eq!(bench.hub.all().len(), 1);
    assert_eq!(bench.memory.records().len(), 1);
}
