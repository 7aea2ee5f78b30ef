//! Streams and their signs of life.

use super::super::database::query_of;
use super::*;

fn sign(id: Uuid, alive: Wall) -> Sign {
    Sign {
        id,
        alive,
        next_sequence: 17,
        discontinuities: 2,
        end_90k: 90_000,
        is_final: false,
    }
}

pub(super) fn stream(channel_id: &str, id: Uuid) -> OpenStream {
    OpenStream {
        id,
        channel_id: channel_id.to_owned(),
        epoch: Wall(42),
        capabilities: vec!["streaming".to_owned(), "aspect-ratio=9x16".to_owned()],
        tags: vec!["a \"tag\"".to_owned()],
        segment_target_90k: 180_000,
        longest_segment_90k: 900_000,
        sign: sign(id, Wall(43)),
    }
}

pub(super) async fn open_streams_are_known_after_a_restart(bench: Bench) {
    let before = bench.store().await;
    let key = Secret::new("default-key");
    let channel = ensured(&before, &key).await;
    let (over, first, second) = (Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4());
    for id in [over, first, first, second] {
        let opened = before.stream_opened(&stream(&channel.id, id)).await;
        opened.unwrap();
        bench.clock.advance(Duration::from_secs(1));
    }
    before.streams_ended(&[over]).await.unwrap();
    before.close().await;
    let after = bench.store().await;
    assert_eq!(
        after.claim_streams("local").await.unwrap(),
        [stream(&channel.id, first), stream(&channel.id, second)]
    );
}

pub(super) async fn signs_of_life_replace_each_other_until_the_stream_is_over(bench: Bench) {
    let store = bench.store().await;
    let key = Secret::new("default-key");
    let channel = ensured(&store, &key).await;
    let ids: Vec<Uuid> = (0..3).map(|_| Uuid::new_v4()).collect();
    for id in &ids {
        let opened = store.stream_opened(&stream(&channel.id, *id)).await;
        opened.unwrap();
        bench.clock.advance(Duration::from_secs(1));
    }
    let later = Sign {
        next_sequence: 31,
        discontinuities: 5,
        end_90k: 180_000,
        is_final: true,
        ..sign(ids[0], Wall(99))
    };
    let unknown = sign(Uuid::new_v4(), Wall(99));
    store.streams_alive(&[later, unknown]).await.unwrap();
    store.streams_alive(&[]).await.unwrap();
    store.streams_ended(&[ids[1]]).await.unwrap();
    let over = sign(ids[1], Wall(99));
    store.streams_alive(&[over]).await.unwrap();
    let open = store.claim_streams("local").await.unwrap();
    let signs: Vec<Sign> = open.iter().map(|stream| stream.sign).collect();
    assert_eq!(signs, [later, sign(ids[2], Wall(43))]);

    // More than fit into one statement.
    let many: Vec<Sign> = (0..9000)
        .map(|_| sign(Uuid::new_v4(), Wall(1)))
        .chain([sign(ids[2], Wall(7))])
        .collect();
    store.streams_alive(&many).await.unwrap();
    let open = store.claim_streams("local").await.unwrap();
    assert_eq!(open[1].sign.alive, Wall(7));
}

pub(super) async fn a_damaged_stream_takes_no_other_with_it(bench: Bench) {
    let store = bench.store().await;
    let key = Secret::new("default-key");
    let default = default_channel(&key);
    let channel = store.ensure_default_channel(&default).await.unwrap();
    let whole = Uuid::new_v4();
    store
        .stream_opened(&stream(&channel.id, whole))
        .await
        .unwrap();
    for damage in [
        "next_sequence = -1",
        "discontinuities = -9223372036854775808",
        "tags = 'no list'",
        "id = 'no id'",
    ] {
        let id = Uuid::new_v4();
        store.stream_opened(&stream(&channel.id, id)).await.unwrap();
        let damage = format!("UPDATE streams SET {damage} WHERE id = '{id}'");
        store.database.execute(query_of(damage)).await.unwrap();
    }
    let open = store.claim_streams("local").await.unwrap();
    assert_eq!(open, [stream(&channel.id, whole)]);
}

pub(super) async fn streams_of_a_gateway_that_is_there_are_its_own(bench: Bench) {
    let (a, b) = (bench.store_of("a").await, bench.store_of("b").await);
    let channel = a.create_channel(&creation("live"), 9).await.unwrap();
    let stream = stream(&channel.id, Uuid::new_v4());
    a.stream_opened(&stream).await.unwrap();
    // Nobody publishes it for a while, so that it has no sign of its own.
    for _ in 0..6 {
        bench.clock.advance(Duration::from_secs(15));
        assert_eq!(b.claim_streams("local").await.unwrap(), []);
        a.streams_alive(&[]).await.unwrap();
    }
    // Its own next run takes it up at once.
    let next = bench.store_of("a").await;
    let claimed = next.claim_streams("local").await.unwrap();
    assert_eq!(claimed, std::slice::from_ref(&stream));
    bench.clock.advance(Duration::from_secs(19));
    assert_eq!(b.claim_streams("local").await.unwrap(), []);
    bench.clock.advance(Duration::from_secs(1));
    for elsewhere in ["eu", "loca", ""] {
        assert_eq!(b.claim_streams(elsewhere).await.unwrap(), []);
    }
    let claimed = b.claim_streams("local").await.unwrap();
    assert_eq!(claimed, std::slice::from_ref(&stream));
    // From now on it is the other one's.
    let later = sign(stream.id, Wall(99));
    a.streams_alive(&[later]).await.unwrap();
    assert_eq!(a.claim_streams("local").await.unwrap(), []);
    // Its own, wherever the channel was made.
    assert_eq!(b.claim_streams("eu").await.unwrap(), [stream]);
}

pub(super) async fn a_gateway_that_stops_gives_its_streams_away(bench: Bench) {
    let (a, b) = (bench.store_of("a").await, bench.store_of("b").await);
    let channel = a.create_channel(&creation("live"), 9).await.unwrap();
    let mut streams = [(); 2].map(|()| stream(&channel.id, Uuid::new_v4()));
    for stream in &streams {
        a.stream_opened(stream).await.unwrap();
        bench.clock.advance(Duration::from_secs(1));
    }
    streams[0].sign.is_final = true;
    a.streams_alive(&[streams[0].sign]).await.unwrap();
    assert_eq!(b.claim_streams("local").await.unwrap(), streams[..1]);
    assert_eq!(a.claim_streams("local").await.unwrap(), streams[1..]);
    // However many end at once.
    let mut ids: Vec<Uuid> = (0..5000).map(|_| Uuid::new_v4()).collect();
    ids.extend(streams.iter().map(|stream| stream.id));
    a.streams_ended(&ids).await.unwrap();
    for store in [&a, &b] {
        assert_eq!(store.claim_streams("local").await.unwrap(), []);
    }
}
