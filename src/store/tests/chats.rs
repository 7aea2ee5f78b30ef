//! Chats: numbers, the end of a broadcast, expiry.

use super::super::chat::MOST;
use super::super::database::query;
use super::*;

async fn begin(store: &Store) -> Uuid {
    let new = NewBroadcast::titled("app", "Talk");
    store.create_broadcast(&new, 100).await.unwrap().id
}

async fn end(store: &Store, sql: &'static str) {
    store.database.execute(query(sql)).await.unwrap();
}

fn text(message: &str) -> NewChat {
    NewChat {
        user_id: Some("user-1".to_owned()),
        user_name: "Zoë".to_owned(),
        message: message.to_owned(),
    }
}

pub(super) async fn messages_of_a_chat_are_numbered_and_the_newest_are_read_oldest_first(
    bench: Bench,
) {
    let store = bench.store().await;
    let broadcast = begin(&store).await;
    let mut sent = Vec::new();
    for message in ["<b>a</b>", "b", "'; DROP TABLE chats; --"] {
        sent.push(store.send_chat(broadcast, text(message)).await.unwrap());
    }
    let numbers: Vec<i64> = sent.iter().map(|chat| chat.sequence).collect();
    assert_eq!(numbers, [1, 2, 3]);
    assert_eq!(sent[0].sent, bench.clock.wall());
    // As another process and the next run see it.
    let store = bench.store().await;
    let read = async |most| store.newest_chats(broadcast, most).await.unwrap();
    assert_eq!(read(9).await, sent);
    assert_eq!(read(2).await, sent[1..]);
    let other = store.newest_chats(Uuid::from_u128(6), 9).await.unwrap();
    assert_eq!(other, []);
}

pub(super) async fn a_broadcast_that_is_over_keeps_its_messages_and_takes_no_more(bench: Bench) {
    let store = bench.store().await;
    let broadcast = begin(&store).await;
    let sent = store.send_chat(broadcast, text("a")).await.unwrap();
    end(&store, "UPDATE broadcasts SET status = 'completed'").await;
    let refused = store.send_chat(broadcast, text("b")).await.unwrap_err();
    assert!(matches!(refused, Error::Missing { .. }), "{refused}");
    let unknown = store.send_chat(Uuid::from_u128(6), text("b")).await;
    assert!(matches!(unknown, Err(Error::Missing { .. })));
    assert_eq!(store.newest_chats(broadcast, 9).await.unwrap(), [sent]);
}

pub(super) async fn the_oldest_message_of_a_chat_goes_when_there_are_too_many(bench: Bench) {
    let store = bench.store().await;
    let broadcast = begin(&store).await;
    let first = store.send_chat(broadcast, text("first")).await.unwrap();
    let last = query(
        "INSERT INTO chats (broadcast_id, sequence, id, sent_us, user_name, message)
         SELECT broadcast_id, $1, id, sent_us, user_name, message FROM chats",
    );
    store.database.execute(last.bind(MOST)).await.unwrap();
    let newest = store.send_chat(broadcast, text("newest")).await.unwrap();
    assert_eq!(newest.sequence, MOST + 1);
    let kept = store.newest_chats(broadcast, 9).await.unwrap();
    let numbers: Vec<i64> = kept.iter().map(|chat| chat.sequence).collect();
    assert_eq!(numbers, [MOST, MOST + 1], "{first:?} went");
}

pub(super) async fn messages_of_a_chat_end_after_ninety_days_and_with_their_broadcast(
    bench: Bench,
) {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    let store = bench.store().await;
    let broadcast = begin(&store).await;
    let count = async || {
        let rows = store.database.fetch_all(query("SELECT id FROM chats"));
        rows.await.unwrap().len()
    };
    store.send_chat(broadcast, text("old")).await.unwrap();
    bench.clock.advance(DAY);
    let young = store.send_chat(broadcast, text("young")).await.unwrap();
    bench.clock.advance(DAY * 89);
    let seen = store.newest_chats(broadcast, 9).await.unwrap();
    assert_eq!(
        seen,
        [young],
        "what is due is not shown even before it is deleted"
    );
    assert_eq!(store.sweep_chats().await.unwrap(), 1);
    assert_eq!(count().await, 1);
    end(&store, "DELETE FROM broadcasts").await;
    assert_eq!(count().await, 0);
}

pub(super) async fn senders_to_a_chat_side_by_side_get_a_number_each(bench: Bench) {
    let store = bench.store().await;
    let broadcast = begin(&store).await;
    let other = bench.store().await;
    let send = async |store: &Store| {
        for number in 0..10 {
            let sent = store.send_chat(broadcast, text(&number.to_string())).await;
            sent.unwrap();
        }
    };
    tokio::join!(send(&store), send(&store), send(&other), send(&other));
    let all = store.newest_chats(broadcast, 99).await.unwrap();
    let numbers: Vec<i64> = all.iter().map(|chat| chat.sequence).collect();
    assert_eq!(numbers, (1..=40).collect::<Vec<_>>());
}
