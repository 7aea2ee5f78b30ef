//! Events, their runs and cuts, their files.

use super::super::database::query;
use super::*;

mod assets;
mod runs;

pub(super) use assets::*;
pub(super) use runs::*;

const SECOND: i64 = 1_000_000;
const HOUR: i64 = 3600 * SECOND;

fn never(_: &Event, _: &Event) -> bool {
    false
}

/// Times that overlap.
fn overlap(one: &Event, other: &Event) -> bool {
    let end = |event: &Event| event.ends.unwrap_or(event.starts);
    one.starts < end(other) && other.starts < end(one)
}

pub(super) fn cut(at_s: i64, kind: CutKind) -> CutRow {
    CutRow {
        at_90k: at_s * 90_000,
        sequence: 1000 + at_s.unsigned_abs(),
        discontinuity: at_s.unsigned_abs(),
        kind,
        anchor_90k: at_s * 90_000,
    }
}

/// An event of an hour that begins so many seconds from now, on a stream that begins now.
fn film<'a>(bench: &Bench, owner: &'a User, title: &'a str, in_s: i64) -> NewEvent<'a> {
    let now = bench.clock.wall();
    let starts = now.plus_micros(in_s * SECOND);
    let ends = Some(starts.plus_micros(HOUR));
    NewEvent {
        application_id: &owner.application_id,
        user_id: owner.id,
        channel_id: None,
        title,
        description: None,
        starts,
        ends,
        time_zone: "UTC",
        repeat: Repeat::None,
        repeat_until_end: false,
        show: ShowRow {
            stream_id: Uuid::new_v4(),
            event_id: Uuid::new_v4(),
            asset_id: None,
            epoch: now,
            starts,
            ends,
            looping: false,
            after: After::Slate,
            ended: None,
            cuts: vec![
                cut(0, CutKind::Slate),
                cut(in_s, CutKind::Film),
                cut(in_s + 3600, CutKind::End),
            ],
        },
    }
}

pub(super) async fn made(
    bench: &Bench,
    store: &Store,
    owner: &User,
    title: &str,
    in_s: i64,
) -> Event {
    let new = film(bench, owner, title, in_s);
    store.create_event(&new, &never).await.unwrap()
}

async fn rows(store: &Store, table: &str) -> i64 {
    let count = match table {
        "events" => "SELECT COUNT(*) AS rows FROM events",
        "shows" => "SELECT COUNT(*) AS rows FROM shows",
        "cuts" => "SELECT COUNT(*) AS rows FROM cuts",
        _ => "SELECT COUNT(*) AS rows FROM assets",
    };
    let row = store.database.fetch_optional(query(count)).await;
    row.unwrap().unwrap().get("rows").unwrap()
}

/// A file of an event that came whole.
pub(super) async fn uploaded(store: &Store, event: &Event) -> (Asset, Vec<Uuid>) {
    let id = Uuid::new_v4();
    let new = NewAsset {
        id,
        event_id: event.id,
        name: "film.mp4",
        bytes: 7,
    };
    let asset = store.create_asset(&new).await.unwrap();
    assert_eq!(asset.state, AssetState::Uploading);
    let received = Received {
        kind: AssetKind::Video,
        bytes: 5 << 30,
        sha256: "00ff",
        duration_us: None,
    };
    store.asset_received(id, &received).await.unwrap()
}

pub(super) async fn an_event_is_read_as_it_was_made_with_its_first_run(bench: Bench) {
    let store = bench.store().await;
    let ann = user(&store, "app", "ann").await;
    let new = NewEvent {
        channel_id: Some("local#app#live"),
        description: Some("'; DROP TABLE events; --"),
        time_zone: "Europe/Berlin",
        repeat: Repeat::Monthly,
        repeat_until_end: true,
        ..film(&bench, &ann, "Zoë's film", 60)
    };
    let event = store.create_event(&new, &never).await.unwrap();
    assert_eq!(event.status, EventStatus::Scheduled);
    assert_eq!((event.first, event.length_us), (new.starts, Some(HOUR)));
    assert!(!event.is_looping(), "only with until_end");
    // As another process has it.
    let store = bench.store().await;
    assert_eq!(store.event(event.id).await.unwrap(), Some(event.clone()));
    let show = store.show(event.stream_id).await.unwrap();
    assert_eq!(show, Some(new.show));
    // Its owner must be there, and of its tenant.
    let other = User::named("app", "nobody");
    let refused = store
        .create_event(&film(&bench, &other, "x", 1), &never)
        .await;
    assert_eq!(refused.unwrap_err().kind(), Kind::NotFound);
    let elsewhere = NewEvent {
        application_id: "other",
        ..film(&bench, &ann, "x", 1)
    };
    let refused = store.create_event(&elsewhere, &never).await;
    assert_eq!(refused.unwrap_err().kind(), Kind::NotFound);
    assert_eq!(store.event(Uuid::new_v4()).await.unwrap(), None);
}

pub(super) async fn events_are_listed_by_their_start_and_status(bench: Bench) {
    let store = bench.store().await;
    let secret = Secret::new("application-secret");
    store.ensure_application("other", &secret).await.unwrap();
    let ann = user(&store, "app", "ann").await;
    let bob = user(&store, "other", "bob").await;
    made(&bench, &store, &ann, "third", 300).await;
    made(&bench, &store, &ann, "first", 100).await;
    made(&bench, &store, &bob, "second", 200).await;
    let second = made(&bench, &store, &ann, "second", 200).await;
    let start = |event: &mut Event, _: &mut ShowRow| {
        event.status = EventStatus::Active;
        Ok::<(), ()>(())
    };
    let changed = store.change_event(second.id, &never, start).await.unwrap();
    let titles = async |tenant, status, limit, offset| {
        let events = store.events(tenant, status, limit, offset).await.unwrap();
        let titles: Vec<String> = events.into_iter().map(|event| event.title).collect();
        titles
    };
    let app = Some("app");
    assert_eq!(titles(app, None, 9, 0).await, ["first", "second", "third"]);
    assert_eq!(titles(app, None, 1, 1).await, ["second"]);
    assert_eq!(titles(app, None, 9, 3).await, [""; 0]);
    let scheduled = Some(EventStatus::Scheduled);
    assert_eq!(titles(app, scheduled, 9, 0).await, ["first", "third"]);
    assert_eq!(
        titles(None, None, 9, 0).await,
        ["first", "second", "second", "third"]
    );
    assert_eq!(
        titles(None, Some(EventStatus::Active), 9, 0).await,
        ["second"]
    );
    assert_eq!(changed.unwrap().0.status, EventStatus::Active);
}

pub(super) async fn of_two_events_for_one_channel_and_time_exactly_one_is_made(bench: Bench) {
    // Two processes.
    let (store, other) = (bench.store().await, bench.store_of("other").await);
    let ann = user(&store, "app", "ann").await;
    let on = |title, in_s| NewEvent {
        channel_id: Some("local#app#live"),
        ..film(&bench, &ann, title, in_s)
    };
    for round in 0..8 {
        let (one, two) = (on("one", round * 7200 + 60), on("two", round * 7200 + 90));
        let made = tokio::join!(
            store.create_event(&one, &overlap),
            other.create_event(&two, &overlap)
        );
        let (won, lost) = match made {
            (Ok(won), Err(lost)) | (Err(lost), Ok(won)) => (won, lost),
            both => panic!("{both:?}"),
        };
        assert_eq!(lost.kind(), Kind::Invalid);
        let Error::Overlap { title, id } = lost else {
            panic!("{lost:?}");
        };
        assert_eq!((title, id), (won.title, won.id));
    }
    assert_eq!(rows(&store, "events").await, 8);
    assert_eq!(rows(&store, "shows").await, 8);
    // Other channels and no channel are free, and what is over is in nobody's way.
    let free = film(&bench, &ann, "free", 60);
    store.create_event(&free, &overlap).await.unwrap();
    let all = store.events(Some("app"), None, 9, 0).await.unwrap();
    let first = all.iter().find(|event| event.channel_id.is_some()).unwrap();
    let over = |event: &mut Event, _: &mut ShowRow| {
        event.status = EventStatus::Completed;
        Ok::<(), ()>(())
    };
    let over = store.change_event(first.id, &overlap, over).await;
    over.unwrap().unwrap();
    let again = store
        .create_event(&on("again", 60), &overlap)
        .await
        .unwrap();
    // A change is refused as a new one is.
    let late = store.create_event(&on("late", 900_000), &overlap).await;
    let move_it = |event: &mut Event, _: &mut ShowRow| {
        (event.starts, event.ends) = (again.starts, again.ends);
        Ok::<(), ()>(())
    };
    let late = late.unwrap();
    let refused = store.change_event(late.id, &overlap, move_it).await;
    assert!(matches!(refused, Err(Error::Overlap { id, .. }) if id == again.id));
    assert_eq!(store.event(late.id).await.unwrap(), Some(late));
}

pub(super) async fn an_event_and_its_run_change_together_or_not_at_all(bench: Bench) {
    let store = bench.store().await;
    let ann = user(&store, "app", "ann").await;
    let event = made(&bench, &store, &ann, "film", 60).await;
    bench.clock.advance(Duration::from_secs(1));
    let broadcast = Uuid::new_v4();
    let start = |event: &mut Event, show: &mut ShowRow| {
        event.status = EventStatus::Active;
        event.broadcast_id = Some(broadcast);
        event.playback_started = Some(event.starts);
        event.takeover = true;
        show.cuts[1] = cut(70, CutKind::Film);
        show.looping = true;
        Ok::<(), ()>(())
    };
    let changed = store.change_event(event.id, &never, start).await;
    let (changed, show) = changed.unwrap().unwrap();
    assert_eq!(changed.broadcast_id, Some(broadcast));
    assert!(changed.revision > event.revision && changed.updated > event.updated);
    let store = bench.store().await;
    assert_eq!(store.event(event.id).await.unwrap(), Some(changed));
    assert_eq!(
        store.show(event.stream_id).await.unwrap(),
        Some(show.clone())
    );
    assert_eq!((show.cuts[1], show.looping), (cut(70, CutKind::Film), true));
    // What is refused by its caller changes nothing, nor does what cannot be.
    let refuse = |event: &mut Event, show: &mut ShowRow| {
        event.title = "other".to_owned();
        show.cuts.clear();
        Err("no")
    };
    let refused = store.change_event(event.id, &never, refuse).await;
    assert_eq!(refused.unwrap(), Err("no"));
    let damage = |event: &mut Event, show: &mut ShowRow| {
        event.title = "other".to_owned();
        show.cuts.remove(0);
        Ok::<(), ()>(())
    };
    let refused = store.change_event(event.id, &never, damage).await;
    assert!(matches!(refused, Err(Error::Cut { at_90k: 0, .. })));
    assert_eq!(store.event(event.id).await.unwrap().unwrap().title, "film");
    assert_eq!(store.show(event.stream_id).await.unwrap(), Some(show));
    let nobody = store.change_event(Uuid::new_v4(), &never, |_, _| Ok::<(), ()>(()));
    assert_eq!(nobody.await.unwrap_err().kind(), Kind::NotFound);
}

pub(super) async fn a_cut_that_viewers_may_have_seen_stays_as_it_is(bench: Bench) {
    let store = bench.store().await;
    let ann = user(&store, "app", "ann").await;
    let event = made(&bench, &store, &ann, "film", 60).await;
    let stream = event.stream_id;
    bench.clock.advance(Duration::from_secs(100));
    let kinds = async || -> Vec<(i64, CutKind)> {
        let show = store.show(stream).await.unwrap().unwrap();
        let cuts = show.cuts.iter();
        cuts.map(|cut| (cut.at_90k / 90, cut.kind)).collect()
    };
    // Decided a second and a half before, and written a moment later.
    let at = |ms: i64| CutRow {
        at_90k: ms * 90,
        ..cut(100, CutKind::Live)
    };
    for late in [99_000, 100_000, 101_249] {
        let refused = store.add_cut(stream, at(late)).await.unwrap_err();
        assert!(matches!(refused, Error::Cut { at_90k, .. } if at_90k == late * 90));
    }
    store.add_cut(stream, at(101_500)).await.unwrap();
    let taken = store.add_cut(stream, at(101_500)).await;
    assert!(matches!(taken, Err(Error::Cut { .. })));
    let expected = [
        (0, CutKind::Slate),
        (60_000, CutKind::Film),
        (101_500, CutKind::Live),
        (3_660_000, CutKind::End),
    ];
    assert_eq!(kinds().await, expected);
    // What is to come is replaced, all of it.
    let ends = [cut(200, CutKind::Film), cut(300, CutKind::End)];
    store.replace_future_cuts(stream, &ends).await.unwrap();
    let expected = [
        (0, CutKind::Slate),
        (60_000, CutKind::Film),
        (200_000, CutKind::Film),
        (300_000, CutKind::End),
    ];
    assert_eq!(kinds().await, expected);
    bench.clock.advance(Duration::from_secs(150));
    store.replace_future_cuts(stream, &[]).await.unwrap();
    assert_eq!(kinds().await, expected[..3]);
    for wrong in [
        vec![cut(240, CutKind::End)],
        vec![cut(300, CutKind::End), cut(300, CutKind::Film)],
        vec![cut(400, CutKind::End), cut(300, CutKind::Film)],
    ] {
        let refused = store.replace_future_cuts(stream, &wrong).await;
        assert!(matches!(refused, Err(Error::Cut { .. })), "{wrong:?}");
    }
    assert_eq!(kinds().await, expected[..3]);
    let nobody = store.add_cut(Uuid::new_v4(), cut(900, CutKind::End)).await;
    assert_eq!(nobody.unwrap_err().kind(), Kind::NotFound);
}

pub(super) async fn nodes_read_what_changed_since_their_last_look(bench: Bench) {
    let (store, node) = (bench.store().await, bench.store_of("other").await);
    let ann = user(&store, "app", "ann").await;
    let one = made(&bench, &store, &ann, "one", 60).await;
    let two = made(&bench, &store, &ann, "two", 90).await;
    let all = node.shows_since(0).await.unwrap().unwrap();
    assert_eq!((all.changed.len(), all.streams.len()), (2, 2));
    let run = all.changed.iter().find(|run| run.event == one).unwrap();
    assert_eq!(run.show.cuts.len(), 3);
    assert_eq!(node.shows_since(all.revision).await.unwrap(), None);
    // What is not about them is no change.
    user(&store, "app", "bob").await;
    ensured(&store, &Secret::new("a-key")).await;
    assert_eq!(node.shows_since(all.revision).await.unwrap(), None);
    let titles = |shows: &Shows| -> Vec<String> {
        let titles = shows.changed.iter();
        titles.map(|run| run.event.title.clone()).collect()
    };
    store
        .add_cut(two.stream_id, cut(80, CutKind::Live))
        .await
        .unwrap();
    let next = node.shows_since(all.revision).await.unwrap().unwrap();
    assert_eq!(
        (titles(&next), next.streams.len()),
        (vec!["two".to_owned()], 2)
    );
    assert_eq!(next.changed[0].show.cuts.len(), 4);
    let (asset, _) = uploaded(&store, &one).await;
    let last = node.shows_since(next.revision).await.unwrap().unwrap();
    assert_eq!(titles(&last), ["one"]);
    assert_eq!(last.changed[0].show.asset_id, Some(asset.id));
    // What is gone is not among the streams any more, whichever way it went.
    store.delete_event(one.id).await.unwrap();
    let gone = node.shows_since(last.revision).await.unwrap().unwrap();
    assert_eq!(
        (gone.changed.len(), &*gone.streams),
        (0, &[two.stream_id][..])
    );
    store.delete_user(ann.id).await.unwrap();
    let none = node.shows_since(gone.revision).await.unwrap().unwrap();
    assert_eq!((none.changed.len(), none.streams.len()), (0, 0));
    // A database that was set back is read as a whole.
    let bob = store.users("app", 1, 0).await.unwrap().remove(0);
    made(&bench, &store, &bob, "three", 60).await;
    let back = node.shows_since(none.revision + 1000).await.unwrap();
    assert_eq!(titles(&back.unwrap()), ["three"]);
}

pub(super) async fn an_event_goes_with_its_user_and_leaves_no_row(bench: Bench) {
    let store = bench.store().await;
    let ann = user(&store, "app", "ann").await;
    let event = made(&bench, &store, &ann, "film", 60).await;
    let (asset, unused) = uploaded(&store, &event).await;
    assert!(unused.is_empty());
    let gone = store.delete_event(event.id).await.unwrap();
    assert_eq!(
        (gone.streams, gone.assets),
        (vec![event.stream_id], vec![asset.id])
    );
    assert_eq!(gone.event.asset_id, Some(asset.id));
    let again = store.delete_event(event.id).await.unwrap_err();
    assert_eq!(again.kind(), Kind::NotFound);
    for by in ["user", "tenant"] {
        let bob = user(&store, "app", by).await;
        let event = made(&bench, &store, &bob, "film", 60).await;
        let (asset, _) = uploaded(&store, &event).await;
        match by {
            "user" => store.delete_user(bob.id).await.unwrap(),
            _ => store.remove_application("app").await.unwrap(),
        }
        // Its folder is nobody's then.
        assert_eq!(store.asset(asset.id).await.unwrap(), None);
        for table in ["events", "shows", "cuts", "assets"] {
            assert_eq!(rows(&store, table).await, 0, "{by} {table}");
        }
    }
}

pub(super) async fn events_of_a_user_are_bounded(bench: Bench) {
    let store = bench.store().await;
    let ann = user(&store, "app", "ann").await;
    let event = made(&bench, &store, &ann, "film", 60).await;
    let copies = "INSERT INTO events (id, application_id, user_id, title, starts_us, first_us, time_zone,
             repeat, repeat_until_end, status, stream_id, takeover, created_us, updated_us, revision)
         SELECT id || $1, application_id, user_id, title, starts_us, first_us, time_zone, repeat,
             repeat_until_end, status, stream_id || $1, takeover, created_us, updated_us, revision
         FROM events ORDER BY id LIMIT $2";
    let mut there = 1;
    while there < MAX_EVENTS_OF_USER {
        let more = there.min(MAX_EVENTS_OF_USER - there);
        let copy = query(copies).bind(format!("-{there}"));
        let copy = copy.bind(i64::try_from(more).unwrap());
        there += store.database.execute(copy).await.unwrap();
    }
    let full = store
        .create_event(&film(&bench, &ann, "x", 60), &never)
        .await;
    assert_eq!(full.unwrap_err().kind(), Kind::Capacity);
    let bob = user(&store, "app", "bob").await;
    made(&bench, &store, &bob, "film", 60).await;
    store.delete_event(event.id).await.unwrap();
    made(&bench, &store, &ann, "film", 60).await;
}

pub(super) async fn events_are_found_by_their_stream_and_their_key(bench: Bench) {
    let store = bench.store().await;
    let ann = user(&store, "app", "ann").await;
    let event = made(&bench, &store, &ann, "film", 60).await;
    let new = NewBroadcast {
        stream_id: Some(event.stream_id),
        ..NewBroadcast::titled("app", "film")
    };
    let broadcast = store.create_broadcast(&new, 9).await.unwrap();
    let key = broadcast.key.expose();
    let found = store.event_of_key(key).await.unwrap();
    assert_eq!(found, Some(event.clone()));
    let found = store.event_of_stream(event.stream_id).await.unwrap();
    assert_eq!(found, Some(event));
    assert_eq!(store.event_of_key("a-key").await.unwrap(), None);
    assert_eq!(store.event_of_stream(Uuid::new_v4()).await.unwrap(), None);
    become_(&store, broadcast.id, Status::Completed).await;
    assert_eq!(store.event_of_key(key).await.unwrap(), None);
}
