//! Co-hosts: places, removal, the grid.

use super::super::cohost::MOST;
use super::super::database::query;
use super::*;

/// An active broadcast.
async fn begin(store: &Store) -> Uuid {
    let new = NewBroadcast::titled("app", "Talk");
    let id = store.create_broadcast(&new, 100).await.unwrap().id;
    become_(store, id, Status::Active).await;
    id
}

fn named<'a>(user_id: Option<&'a str>, user_name: &'a str) -> NewCoHost<'a> {
    NewCoHost {
        user_id,
        user_name,
        permissions: Permissions::default(),
    }
}

async fn join(store: &Store, broadcast: Uuid, user_id: Option<&str>) -> Joining {
    let new = named(user_id, "Zoë'; DROP TABLE cohosts; --");
    store.join_cohost(broadcast, &new).await.unwrap()
}

async fn joined(store: &Store, broadcast: Uuid, user_id: Option<&str>) -> CoHost {
    match join(store, broadcast, user_id).await {
        Joining::Joined(cohost) => cohost,
        refused => panic!("{refused:?}"),
    }
}

pub(super) async fn co_hosts_join_while_there_is_a_place(bench: Bench) {
    let store = bench.store().await;
    let broadcast = begin(&store).await;
    let one = joined(&store, broadcast, Some("u1")).await;
    assert_eq!((&*one.user_id, one.joined), ("u1", bench.clock.wall()));
    let two = joined(&store, broadcast, None).await;
    assert_eq!(two.user_id, two.id.to_string());
    let three = joined(&store, broadcast, None).await;
    assert_eq!(join(&store, broadcast, None).await, Joining::Full(4));
    // Who is there is there once, keeps what it may do, and may change its name.
    let permissions = Permissions {
        can_moderate_chat: true,
        ..Permissions::default()
    };
    let renamed = NewCoHost {
        permissions,
        ..named(Some("u1"), "Jo")
    };
    let again = store.join_cohost(broadcast, &renamed).await.unwrap();
    let jo = CoHost {
        user_name: "Jo".to_owned(),
        ..one.clone()
    };
    assert_eq!(again, Joining::Joined(jo.clone()));
    // As another process has it.
    let store = bench.store().await;
    let mut all = store.cohosts(broadcast).await.unwrap();
    all.sort_by_key(|cohost| cohost.id);
    let mut expected = [jo, two, three];
    expected.sort_by_key(|cohost| cohost.id);
    assert_eq!(all, expected);
    // Another broadcast has places of its own, and those of one that is not live are closed.
    let other = begin(&store).await;
    assert_eq!(store.cohosts(other).await.unwrap(), []);
    assert_eq!(store.cohost(other, one.id).await.unwrap(), None);
    become_(&store, other, Status::Completed).await;
    assert_eq!(join(&store, other, None).await, Joining::NotLive);
    let nowhere = store
        .join_cohost(Uuid::from_u128(6), &named(None, "Jo"))
        .await;
    assert!(matches!(nowhere, Err(Error::Missing { .. })));
}

pub(super) async fn a_removed_co_host_does_not_come_back_and_one_that_left_does(bench: Bench) {
    let store = bench.store().await;
    let broadcast = begin(&store).await;
    let one = joined(&store, broadcast, Some("u1")).await;
    let permissions = Permissions {
        can_remove_others: true,
        ..Permissions::default()
    };
    let changed = store.update_cohost(broadcast, one.id, "Jo", permissions);
    changed.await.unwrap();
    let read = store.cohost_of_user(broadcast, "u1").await.unwrap();
    let changed = CoHost {
        user_name: "Jo".to_owned(),
        permissions,
        ..one.clone()
    };
    assert_eq!(read, Some(changed.clone()));
    store.leave_cohost(broadcast, one.id).await.unwrap();
    assert_eq!(store.cohost(broadcast, one.id).await.unwrap(), None);

    let one = joined(&store, broadcast, Some("u1")).await;
    store.remove_cohost(broadcast, one.id).await.unwrap();
    assert_eq!(store.cohosts(broadcast).await.unwrap(), []);
    let read = store.cohost(broadcast, one.id).await.unwrap().unwrap();
    assert_eq!(read.removed, Some(bench.clock.wall()));
    assert_eq!(join(&store, broadcast, Some("u1")).await, Joining::Removed);
    // There is nothing more to do to it.
    for result in [
        store.remove_cohost(broadcast, one.id).await,
        store.leave_cohost(broadcast, one.id).await,
        store
            .update_cohost(broadcast, one.id, "Jo", permissions)
            .await,
    ] {
        assert!(matches!(result, Err(Error::Missing { .. })));
    }
    // Its place is free, and others are not it.
    for user in ["u2", "u3", "u4"] {
        joined(&store, broadcast, Some(user)).await;
    }
    assert_eq!(join(&store, broadcast, None).await, Joining::Full(4));
}

pub(super) async fn the_last_place_goes_to_one_of_many(bench: Bench) {
    let stores = [bench.store().await, bench.store().await];
    let broadcast = begin(&stores[0]).await;
    joined(&stores[0], broadcast, None).await;
    joined(&stores[0], broadcast, None).await;
    let many = (0..6).map(|number| {
        let store = stores[number % 2].clone();
        #[expect(clippy::disallowed_methods, reason = "joined below")]
        tokio::spawn(async move { join(&store, broadcast, None).await })
    });
    let mut places = 0;
    for task in many.collect::<Vec<_>>() {
        match task.await.unwrap() {
            Joining::Joined(_) => places += 1,
            other => assert_eq!(other, Joining::Full(4)),
        }
    }
    assert_eq!(places, 1);
    assert_eq!(stores[1].cohosts(broadcast).await.unwrap().len(), 3);
}

pub(super) async fn what_holds_for_hosts_is_kept(bench: Bench) {
    let store = bench.store().await;
    let broadcast = begin(&store).await;
    let default = store.multi_host(broadcast).await.unwrap();
    assert_eq!(default, MultiHost::default());
    let mut other = default.clone();
    other.grid_layout.max_hosts = 2;
    other.grid_layout.aspect_ratio = "9:16".to_owned();
    store.set_multi_host(broadcast, &other).await.unwrap();
    let read = bench.store().await.multi_host(broadcast).await.unwrap();
    assert_eq!(read, other);
    joined(&store, broadcast, Some("u1")).await;
    assert_eq!(join(&store, broadcast, None).await, Joining::Full(2));
    other.grid_layout.max_hosts = 9;
    other.is_enabled = false;
    store.set_multi_host(broadcast, &other).await.unwrap();
    assert_eq!(join(&store, broadcast, None).await, Joining::Disabled);
    joined(&store, broadcast, Some("u1")).await;
    let nowhere = store.set_multi_host(Uuid::from_u128(6), &other).await;
    assert!(matches!(nowhere, Err(Error::Missing { .. })));
    // However many there may be at once, those that are remembered have a bound.
    other.grid_layout.max_hosts = u32::MAX;
    other.is_enabled = true;
    store.set_multi_host(broadcast, &other).await.unwrap();
    let insert = query(
        "WITH RECURSIVE numbers (number) AS (
             SELECT 1 UNION ALL SELECT number + 1 FROM numbers WHERE number < $1)
         INSERT INTO cohosts (id, broadcast_id, user_id, user_name, permissions, joined_us, removed_us)
         SELECT 'id' || number, $2, 'user' || number, '', '{}', 0, 0 FROM numbers",
    );
    let insert = insert.bind(MOST - 1).bind(broadcast.to_string());
    store.database.execute(insert).await.unwrap();
    assert_eq!(join(&store, broadcast, None).await, Joining::Full(u32::MAX));
}

pub(super) async fn figures_of_hosts_have_the_highest_number_of_viewers(bench: Bench) {
    let store = bench.store().await;
    let broadcast = begin(&store).await;
    for viewers in [3, 9, 7] {
        store.report_viewers(broadcast, viewers).await.unwrap();
    }
    let one = joined(&store, broadcast, None).await;
    joined(&store, broadcast, None).await;
    store.remove_cohost(broadcast, one.id).await.unwrap();
    let figures = store.host_figures(broadcast).await.unwrap();
    let expected = HostFigures {
        cohosts: 1,
        peak_viewers: 9,
    };
    assert_eq!(figures, expected);
    let nowhere = store.host_figures(Uuid::from_u128(6)).await;
    assert!(matches!(nowhere, Err(Error::Missing { .. })));
}
