//! Cut logs that grow, and what looking for changes costs.

use super::super::database::query_of;
use super::super::show::{CUTS_SINCE, MAX_CUTS, SHOWS_SINCE};
use super::events::{cut, made, uploaded};
use super::*;

pub(super) async fn encoders_that_come_and_go_for_ever_are_refused_and_sent_off(bench: Bench) {
    let store = bench.store().await;
    let ann = user(&store, "app", "ann").await;
    let event = made(&bench, &store, &ann, "film", 60).await;
    let at = |number: usize, kind| cut(100 + i64::try_from(number).unwrap(), kind);
    let many: Vec<CutRow> = (0..MAX_CUTS)
        .map(|number| at(number, CutKind::Film))
        .collect();
    store
        .replace_future_cuts(event.stream_id, &many)
        .await
        .unwrap();
    let one_more = store
        .add_cut(event.stream_id, at(MAX_CUTS, CutKind::Live))
        .await;
    assert_eq!(one_more.unwrap_err().kind(), Kind::Capacity);
    for (number, kind) in [(0, CutKind::Film), (1, CutKind::End)] {
        let back = at(MAX_CUTS + number, kind);
        store.add_cut(event.stream_id, back).await.unwrap();
    }
}

pub(super) async fn files_of_other_events_do_not_hold_a_file(bench: Bench) {
    let store = bench.store().await;
    let ann = user(&store, "app", "ann").await;
    let one = made(&bench, &store, &ann, "one", 60).await;
    let other = made(&bench, &store, &ann, "other", 60).await;
    let (first, _) = uploaded(&store, &one).await;
    let (kept, unused) = uploaded(&store, &other).await;
    assert!(unused.is_empty());
    let (second, unused) = uploaded(&store, &one).await;
    assert_eq!(unused, [first.id]);
    for used in [&kept, &second] {
        let refused = store.delete_asset(used.id).await.unwrap_err();
        assert!(matches!(refused, Error::State { .. }), "{refused}");
    }
}

pub(super) async fn one_gateway_at_a_time_sends_a_show_on(bench: Bench) {
    let (store, other) = (bench.store().await, bench.store_of("other").await);
    let ann = user(&store, "app", "ann").await;
    let show = made(&bench, &store, &ann, "film", 60).await.stream_id;
    assert!(!store.claim_show(Uuid::new_v4(), false).await.unwrap());
    assert!(store.claim_show(show, false).await.unwrap());
    assert!(!other.claim_show(show, false).await.unwrap());
    // As long as it is heard of.
    for _ in 0..4 {
        bench.clock.advance(Duration::from_secs(4));
        assert!(store.claim_show(show, false).await.unwrap());
        assert!(!other.claim_show(show, false).await.unwrap());
    }
    bench.clock.advance(Duration::from_secs(11));
    assert!(other.claim_show(show, false).await.unwrap());
    assert!(!store.claim_show(show, false).await.unwrap());
    // Whoever has the encoder comes first, before all who have none; whoever has nothing gives nothing away.
    assert!(store.claim_show(show, true).await.unwrap());
    assert!(!other.claim_show(show, true).await.unwrap());
    assert!(!other.claim_show(show, false).await.unwrap());
    other.release_show(show).await.unwrap();
    assert!(!other.claim_show(show, false).await.unwrap());
    store.release_show(show).await.unwrap();
    assert!(other.claim_show(show, false).await.unwrap());
}

/// A look at what has changed reads that, and not the cuts of every show there is.
#[tokio::test]
async fn what_changed_is_found_by_indexes() {
    let bench = Bench::sqlite();
    let store = bench.store().await;
    for statement in [SHOWS_SINCE, CUTS_SINCE] {
        let plan = query_of(format!("EXPLAIN QUERY PLAN {statement}")).bind(0_i64);
        let rows = store.database.fetch_all(plan).await.unwrap();
        let steps: Vec<String> = rows.iter().map(|row| row.get("detail").unwrap()).collect();
        assert!(steps[0].contains("events_by_revision"), "{steps:?}");
        assert!(
            !steps.iter().any(|step| step.starts_with("SCAN")),
            "{steps:?}"
        );
    }
}
