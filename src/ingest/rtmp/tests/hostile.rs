//! Peers that take what they can: time, places, memory.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use super::super::publisher::chunks;
use super::*;

#[tokio::test(start_paused = true)]
async fn a_publisher_that_never_reads_cannot_hold_its_task() {
    let mut server = Server::new();
    // The pipe takes the handshake and some answers, then it is full.
    let mut encoder = RtmpPublisher::over(server.pipe(4096)).await.unwrap();
    encoder.publish("live", "KEY").await.unwrap();
    assert!(matches!(server.seen().await, Seen::Request(..)));
    let ping = chunks(2, 4, 0, 0, &[0, 6, 0, 0, 0, 0], 128).concat();
    let start = Instant::now();
    while encoder.send_raw(&ping.repeat(20)).await.is_ok() {}
    assert_eq!(server.seen().await, Seen::Lost);
    assert_eq!(start.elapsed().as_secs(), 5);
}

#[tokio::test]
async fn a_hundred_connections_that_lie_there_do_not_keep_a_publisher_out() {
    let mut server = Server::new();
    let address = server.listen(None).await;
    let mut idle = Vec::new();
    for n in 0..100 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        if n % 2 == 0 {
            stream.write_all(&[3, 0, 0]).await.unwrap();
        }
        idle.push(stream);
    }
    let mut encoder = RtmpPublisher::connect(address).await.unwrap();
    encoder.publish("live", "KEY").await.unwrap();
    assert!(matches!(server.seen().await, Seen::Request(..)));
    // The oldest ones gave way.
    assert_eq!(
        idle[0].read_to_end(&mut Vec::new()).await.unwrap_or(0),
        1537
    );
    drop((encoder, idle));
    server.context.tasks.finish().await;
}

#[tokio::test(start_paused = true)]
async fn hostile_bytes_end_their_own_connection_only() {
    let mut server = Server::new();
    let mut good = server.sounding().await;

    // A connect nested 10,000 deep, over chunks.
    let mut bomb = [amf::text("connect"), amf::number(1.0)].concat();
    bomb.extend([3, 0, 1, b'a'].repeat(10_000));
    let mut evil = server.publisher().await;
    evil.send_message(3, 20, 0, 0, &bomb).await.unwrap();
    evil.closed().await;

    // After the publish: a length beyond the limit, chunk streams without end, chunk size zero,
    // metadata that nest (which cost nothing but themselves).
    let too_long = [
        &[6, 0, 0, 0, 0xff, 0xff, 0xff, 9, 1, 0, 0, 0][..],
        &[0; 100],
    ]
    .concat();
    let mut streams = Vec::new();
    for csid in 3..30 {
        streams.extend(chunks(csid, 8, 1, 0, &[0xaf], 128).concat());
    }
    let zero = chunks(2, 1, 0, 0, &[0; 4], 128).concat();
    for bytes in [too_long, streams, zero, vec![0xff; 5000]] {
        let mut evil = server.publishing().await;
        evil.send_raw(&bytes).await.unwrap();
        evil.closed().await;
        assert_eq!(server.seen().await, Seen::Lost);
    }
    let mut odd = server.publishing().await;
    let nested = [amf::text("onMetaData"), [3, 0, 1, b'a'].repeat(9000)].concat();
    odd.send_message(4, 18, 1, 0, &nested).await.unwrap();
    odd.unpublish("KEY").await.unwrap();
    assert_eq!(server.seen().await, Seen::Finished);

    good.send_audio(23, &synthetic::aac_frame(10))
        .await
        .unwrap();
    assert_eq!(server.unit().await.dts, Ticks(23));
}

/// The seeds of a fuzz target, and random changes of them, always the same ones.
fn fuzz_from_seeds(folder: &str, rounds: usize, target: fn(&[u8])) {
    let folder = format!("{}/tests/data/fuzz/{folder}", env!("CARGO_MANIFEST_DIR"));
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    let seeds: Vec<_> = paths
        .iter()
        .map(|path| std::fs::read(path).unwrap())
        .collect();
    seeds.iter().for_each(|seed| target(seed));
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % u64::try_from(below.max(1)).unwrap()).unwrap()
    };
    for round in 0..rounds {
        let mut bytes = seeds[round % seeds.len()].clone();
        for _ in 0..=random(8) {
            let at = random(bytes.len());
            match random(4) {
                0 => bytes.truncate(at),
                1 if !bytes.is_empty() => bytes[at] = [0, 1, 0x7f, 0xff][random(4)],
                2 => bytes.insert(at, u8::try_from(random(256)).unwrap()),
                _ if !bytes.is_empty() => bytes[at] ^= 1 << random(8),
                _ => {}
            }
        }
        target(&bytes);
    }
}

#[test]
fn no_change_of_real_bytes_makes_a_parser_panic() {
    // `make soak` asks for a million.
    let inputs = std::env::var("FOREBAY_FUZZ_INPUTS").map_or(20_000, |text| text.parse().unwrap());
    fuzz_from_seeds("chunks", inputs, fuzz::fuzz_rtmp_chunks);
    fuzz_from_seeds("session", inputs, fuzz::fuzz_rtmp_session);
    fuzz_from_seeds("flv", inputs, fuzz::fuzz_flv_tags);
    fuzz_from_seeds("amf0", inputs, fuzz::fuzz_amf0);
}
