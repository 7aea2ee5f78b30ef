//! The one stream of a broadcast's channel.

use super::*;

fn streaming() -> Option<Vec<String>> {
    Some(vec!["streaming".to_owned()])
}

#[tokio::test]
async fn a_lasting_stream_outlives_any_pause_and_goes_on_under_its_id() {
    let bench = Bench::new();
    let mut publisher = bench.publish_on("lasting", streaming()).await;
    assert_eq!(bench.newest("lasting"), Some(LASTING));
    bench.play(&mut publisher, 5).await;
    drop(publisher);
    for _ in 0..24 {
        bench.clock.advance(Duration::from_secs(3600));
        bench.hub.tidy().await;
    }
    assert_eq!(bench.newest("lasting"), Some(LASTING));
    let last = *bench.opened().last().unwrap();
    let mut publisher = bench.publish_on("lasting", streaming()).await;
    bench.play(&mut publisher, 5).await;
    assert_eq!(bench.newest("lasting"), Some(LASTING));
    let next = *bench.opened().last().unwrap();
    assert!(next.sequence > last.sequence, "{next:?} after {last:?}");
    assert!(next.discontinuity_sequence > last.discontinuity_sequence);
    assert_eq!(bench.memory.records().len(), 1);
}

#[tokio::test]
async fn a_lasting_stream_is_taken_up_however_long_the_restart_took() {
    let mut bench = Bench::new();
    let mut publisher = bench.publish_on("lasting", streaming()).await;
    bench.play(&mut publisher, 5).await;
    let mut last = *bench.opened().last().unwrap();
    for day in 1..4 {
        bench.start_anew(Duration::from_secs(day * 86_400)).await;
        bench.hub.tidy().await;
        assert_eq!(bench.newest("lasting"), Some(LASTING), "day {day}");
        let mut publisher = bench.publish_on("lasting", streaming()).await;
        bench.play(&mut publisher, 5).await;
        let first = bench.opened()[0];
        assert!(first.sequence > last.sequence, "{first:?} after {last:?}");
        assert!(first.discontinuity_sequence > last.discontinuity_sequence);
        last = *bench.opened().last().unwrap();
    }
}

#[tokio::test]
async fn a_lasting_stream_that_nobody_fed_outlives_starts_in_a_row() {
    let mut bench = Bench::new();
    let mut publisher = bench.publish_on("lasting", streaming()).await;
    bench.play(&mut publisher, 5).await;
    drop(publisher);
    for _ in 0..3 {
        bench.hub.tidy().await;
        bench.stop().await;
        bench.start_anew(Duration::from_secs(7200)).await;
        assert_eq!(bench.newest("lasting"), Some(LASTING));
    }
}

#[tokio::test]
async fn what_is_finished_ends_for_its_players_and_is_forgotten_later() {
    let bench = Bench::new();
    let mut publisher = bench.publish_on("lasting", streaming()).await;
    bench.play(&mut publisher, 5).await;
    let stream = bench.hub.stream(LASTING).unwrap();
    bench
        .hub
        .finish("local#app#lasting", "the broadcast is over");
    assert!(stream.is_ended());
    assert_eq!(publisher.evicted().await, "the broadcast is over");
    assert_eq!(bench.newest("lasting"), None);
    assert!(
        bench.hub.timeline(LASTING).is_some(),
        "players read the end"
    );
    bench.memory.emptied().await;
    bench.clock.advance(Duration::from_secs(120));
    bench.hub.tidy().await;
    assert!(bench.hub.timeline(LASTING).is_none());
}
