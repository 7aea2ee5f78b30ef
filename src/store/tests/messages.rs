//! Messages: numbers, ranges, filters, expiry.

use super::super::database::{query, query_of};
use super::super::message::MOST;
use super::*;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

pub(super) fn text(message: &str) -> NewMessage {
    NewMessage {
        session_id: "api".to_owned(),
        screen_name: "Zoë".to_owned(),
        role: "Moderator".to_owned(),
        from_updated_ms: 1_580_913_727_128,
        mime_type: "text/plain".to_owned(),
        message: message.to_owned(),
        tags: vec!["my-tag".to_owned(), "\"quoted\" \u{0}".to_owned()],
    }
}

fn range(limit: usize) -> MessageRange<'static> {
    MessageRange {
        limit,
        before: None,
        after: None,
        mime_types: &[],
    }
}

async fn send(store: &Store, channel: &Channel, count: usize) -> Vec<Message> {
    let mut sent = Vec::new();
    for number in 0..count {
        let message = store.send_message(channel, text(&number.to_string())).await;
        sent.push(message.unwrap());
    }
    sent
}

pub(super) async fn a_message_is_numbered_in_its_channel_and_read_as_it_was_sent(bench: Bench) {
    let store = bench.store().await;
    let a = store.create_channel(&creation("a"), 9).await.unwrap();
    let b = store.create_channel(&creation("b"), 9).await.unwrap();
    let sent = send(&store, &a, 2).await;
    let other = send(&store, &b, 1).await;
    assert!(
        sent[0].id.starts_with("local#room|app#a."),
        "{}",
        sent[0].id
    );
    assert!(sent[0].id.ends_with("|0000000001"), "{}", sent[0].id);
    assert!(sent[1].id.ends_with("|0000000002"));
    assert!(other[0].id.ends_with("|0000000001"));
    assert_eq!(sent[0].content, text("0"));
    assert_eq!(sent[0].sent, bench.clock.wall());
    let page = store.messages(&a, &range(100)).await.unwrap();
    assert_eq!(page.messages, sent);
    assert!(!page.has_more_before && !page.has_more_after);
    // As another process and the next run see it.
    let page = bench.store().await.messages(&b, &range(100)).await.unwrap();
    assert_eq!(page.messages, other);
}

pub(super) async fn ranges_take_the_end_that_was_asked_for_and_say_what_is_outside(bench: Bench) {
    let store = bench.store().await;
    let channel = store.create_channel(&creation("a"), 9).await.unwrap();
    let none = store.messages(&channel, &range(3)).await.unwrap();
    assert_eq!(none.messages, []);
    assert!(!none.has_more_before && !none.has_more_after);
    let sent = send(&store, &channel, 9).await;
    let id = |number: usize| Some(sent[number].id.as_str());
    let all = range(100);
    // Bounds, limit; first and past the last of the answer; what is outside.
    let cases = [
        (None, None, 3, 6..9, (true, false)),
        (None, None, 9, 0..9, (false, false)),
        (None, id(5), 3, 2..5, (true, true)),
        (None, id(2), 3, 0..2, (false, true)),
        (id(5), None, 2, 6..8, (true, true)),
        (id(5), None, 9, 6..9, (true, false)),
        (id(2), id(7), 3, 3..6, (true, true)),
        (id(2), id(7), 9, 3..7, (true, true)),
        // Nothing in the range: each bound itself is outside.
        (id(8), None, 9, 0..0, (true, false)),
        (None, id(0), 9, 0..0, (false, true)),
        (id(3), id(4), 9, 0..0, (true, true)),
        (id(4), id(3), 9, 0..0, (true, true)),
    ];
    for (after, before, limit, wanted, more) in cases {
        let range = MessageRange {
            limit,
            before,
            after,
            ..all
        };
        let page = store.messages(&channel, &range).await.unwrap();
        assert_eq!(page.messages, sent[wanted], "{range:?}");
        let said = (page.has_more_before, page.has_more_after);
        assert_eq!(said, more, "{range:?}");
    }
}

pub(super) async fn the_filter_runs_after_the_range_was_chosen(bench: Bench) {
    let store = bench.store().await;
    let channel = store.create_channel(&creation("a"), 9).await.unwrap();
    for mime_type in ["a/a", "b/b", "a/a", "c/c"] {
        let content = NewMessage {
            mime_type: mime_type.to_owned(),
            ..text("")
        };
        store.send_message(&channel, content).await.unwrap();
    }
    let types = async |limit, types: &[&str]| {
        let range = MessageRange {
            mime_types: types,
            ..range(limit)
        };
        let page = store.messages(&channel, &range).await.unwrap();
        let types = page
            .messages
            .into_iter()
            .map(|message| message.content.mime_type);
        (types.collect::<Vec<_>>().join(" "), page.has_more_before)
    };
    assert_eq!(types(4, &["a/a"]).await, ("a/a a/a".to_owned(), false));
    assert_eq!(types(2, &["a/a", "b/b"]).await, ("a/a".to_owned(), true));
    assert_eq!(types(1, &["a/a"]).await, (String::new(), true));
    assert_eq!(types(4, &["A/A"]).await, (String::new(), false));
}

pub(super) async fn a_bound_that_was_never_given_out_is_refused(bench: Bench) {
    let store = bench.store().await;
    let a = store.create_channel(&creation("a"), 9).await.unwrap();
    let b = store.create_channel(&creation("b"), 9).await.unwrap();
    let foreign = send(&store, &b, 1).await.remove(0).id;
    let unknown = async |id: &str| {
        for range in [
            MessageRange {
                before: Some(id),
                ..range(9)
            },
            MessageRange {
                after: Some(id),
                ..range(9)
            },
        ] {
            let refused = store.messages(&a, &range).await;
            assert!(matches!(refused, Err(Error::UnknownMessage)), "{id}");
        }
    };
    // Before there is any message, and after.
    unknown(&foreign).await;
    let own = send(&store, &a, 1).await.remove(0).id;
    let stem = own.strip_suffix("0000000001").unwrap();
    let wrong = [
        "0000000000",
        "0000000002",
        "1",
        "-000000001",
        "+000000001",
        "000000000x",
        "",
    ];
    for end in wrong.map(|end| format!("{stem}{end}")) {
        unknown(&end).await;
    }
    let long = format!("{stem}{}", "9".repeat(100));
    for id in ["", "x", "|", "\u{0}", &foreign, &long] {
        unknown(id).await;
    }
}

pub(super) async fn the_oldest_message_goes_when_there_are_too_many(bench: Bench) {
    let store = bench.store().await;
    let channel = store.create_channel(&creation("a"), 9).await.unwrap();
    let first = send(&store, &channel, 3).await;
    // As after many more.
    let many = format!("UPDATE rooms SET sequence = {MOST}");
    store.database.execute(query_of(many)).await.unwrap();
    let last = send(&store, &channel, 2).await;
    let page = store.messages(&channel, &range(9)).await.unwrap();
    assert_eq!(page.messages, [&first[2..], &last[..]].concat());
    assert!(!page.has_more_before && !page.has_more_after);
}

pub(super) async fn purged_messages_are_counted_and_numbers_go_on(bench: Bench) {
    let store = bench.store().await;
    let a = store.create_channel(&creation("a"), 9).await.unwrap();
    let b = store.create_channel(&creation("b"), 9).await.unwrap();
    assert_eq!(store.purge_messages(&a).await.unwrap(), 0);
    let old = send(&store, &a, 3).await;
    let other = send(&store, &b, 1).await;
    assert_eq!(store.purge_messages(&a).await.unwrap(), 3);
    assert_eq!(store.purge_messages(&a).await.unwrap(), 0);
    let new = send(&store, &a, 1).await;
    assert!(new[0].id.ends_with("|0000000004"), "{}", new[0].id);
    // Who has read up to a message that is gone goes on from there.
    let after = MessageRange {
        after: Some(&old[1].id),
        ..range(9)
    };
    let page = store.messages(&a, &after).await.unwrap();
    assert_eq!(page.messages, new);
    assert!(!page.has_more_before && !page.has_more_after);
    assert_eq!(store.messages(&b, &range(9)).await.unwrap().messages, other);
}

pub(super) async fn messages_end_after_ninety_days_and_with_their_channel(bench: Bench) {
    let store = bench.store().await;
    let a = store.create_channel(&creation("a"), 9).await.unwrap();
    let b = store.create_channel(&creation("b"), 9).await.unwrap();
    send(&store, &a, 2).await;
    bench.clock.advance(DAY * 89);
    let young = send(&store, &a, 1).await;
    let lost = send(&store, &b, 4).await;
    assert_eq!(store.sweep_messages().await.unwrap(), 0);
    bench.clock.advance(DAY);
    // They are over at once; the sweep only frees their room.
    let page = store.messages(&a, &range(9)).await.unwrap();
    assert_eq!(page.messages, young);
    assert!(!page.has_more_before);
    assert_eq!(store.sweep_messages().await.unwrap(), 2);

    store.delete_channel(&b.id).await.unwrap();
    let gone = store.send_message(&b, text("late")).await.unwrap_err();
    assert_eq!(gone.kind(), Kind::NotFound);
    let again = store.create_channel(&creation("b"), 9).await.unwrap();
    assert_eq!(
        store.messages(&again, &range(9)).await.unwrap().messages,
        []
    );
    let old = MessageRange {
        after: Some(&lost[0].id),
        ..range(9)
    };
    let refused = store.messages(&again, &old).await;
    assert!(matches!(refused, Err(Error::UnknownMessage)));
    assert_eq!(store.sweep_messages().await.unwrap(), 4);
    assert_eq!(store.sweep_messages().await.unwrap(), 0);
    store.remove_application("app").await.unwrap();
    assert_eq!(store.sweep_messages().await.unwrap(), 1);
}

pub(super) async fn more_messages_than_are_deleted_at_once_are_all_deleted(bench: Bench) {
    let store = bench.store().await;
    let channel = store.create_channel(&creation("a"), 9).await.unwrap();
    let id = send(&store, &channel, 1).await.remove(0).id;
    let room = id.split(['.', '|']).nth(2).unwrap();
    let mut transaction = store.database.begin().await.unwrap();
    for (sql, past) in [("sequence + 1", 1200), ("sequence + 2000", 700)] {
        // Numbers 2 to 1201 and 2002 to 2701.
        let insert = format!(
            "INSERT INTO messages SELECT room_id, {sql} + n, sent_us, session_id, screen_name, role,
                 from_updated_ms, mime_type, message, tags FROM messages, (
                 WITH RECURSIVE numbers (n) AS (
                     SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < {past})
                 SELECT n FROM numbers) AS numbers WHERE sequence = 1"
        );
        transaction.execute(query_of(insert)).await.unwrap();
    }
    let newest = query("UPDATE rooms SET sequence = 2701 WHERE id = $1").bind(room);
    assert_eq!(transaction.execute(newest).await.unwrap(), 1);
    transaction.commit().await.unwrap();
    let purged = store.purge_messages(&channel).await.unwrap();
    assert_eq!(purged, 1 + 1200 + 700);
}

pub(super) async fn senders_side_by_side_get_a_number_each(bench: Bench) {
    let store = bench.store().await;
    let channel = store.create_channel(&creation("a"), 9).await.unwrap();
    let tasks = Tasks::new();
    let senders: Vec<_> = (0..8)
        .map(|_| {
            let (store, channel) = (store.clone(), channel.clone());
            tasks.spawn(async move { send(&store, &channel, 8).await })
        })
        .collect();
    let mut ids = Vec::new();
    for sender in senders {
        ids.extend(sender.await.unwrap().into_iter().map(|message| message.id));
    }
    ids.sort();
    let page = store.messages(&channel, &range(128)).await.unwrap();
    let kept: Vec<_> = page
        .messages
        .into_iter()
        .map(|message| message.id)
        .collect();
    assert_eq!(kept, ids);
    assert!(ids[63].ends_with("|0000000064"));
}
