//! How publishes end, and what encoders are told.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use super::super::publisher::{Status, chunks};
use super::*;

#[tokio::test]
async fn a_close_or_a_reset_without_goodbye_is_a_lost_connection() {
    let mut server = Server::new();
    let address = server.listen(None).await;
    for reset in [false, true] {
        let mut encoder = RtmpPublisher::connect(address).await.unwrap();
        encoder.publish("live", "KEY").await.unwrap();
        assert!(matches!(server.seen().await, Seen::Request(..)));
        match reset {
            true => encoder.reset(),
            false => encoder.close().await.unwrap(),
        }
        assert_eq!(server.seen().await, Seen::Lost);
    }
    server.context.tasks.finish().await;
    assert_eq!(server.stats.lost_total.get(), 2);
}

#[tokio::test(start_paused = true)]
async fn each_refusal_has_its_status_and_none_has_the_key() {
    for (name, code, word) in [
        ("SECRETwrong", "NetStream.Publish.BadName", "no channel"),
        ("LATER", "NetStream.Publish.Denied", "noon"),
        ("FULL", "NetStream.Publish.Denied", "500 publishers"),
        (
            "DARK",
            "NetStream.Publish.Denied",
            "cannot be decided now: no database",
        ),
        ("HANG", "NetStream.Publish.Denied", "does not answer"),
        ("", "NetStream.Publish.BadName", "no stream key"),
        (";tags=a", "NetStream.Publish.BadName", "no stream key"),
    ] {
        let server = Server::new();
        let mut encoder = server.publisher().await;
        let status = encoder.publish("live", name).await.unwrap_err();
        assert_eq!(
            (status.level.as_str(), status.code.as_str()),
            ("error", code)
        );
        assert!(status.description.contains(word), "{status:?}");
        assert!(!status.description.contains("SECRET"));
        assert_eq!(
            encoder.closed().await,
            [0; 0],
            "closed, and nothing more was said"
        );
    }
}

/// The status that an accepted publisher gets after it did something, and that it is then closed.
async fn refused_after(encoder: &mut RtmpPublisher<DuplexStream>) -> Status {
    let status = encoder.status().await.unwrap();
    assert_eq!(status.level, "error");
    assert_eq!(encoder.closed().await, [0; 0]);
    status
}

#[tokio::test(start_paused = true)]
async fn what_is_not_supported_is_named_and_ends_the_publish() {
    for (type_id, body, word) in [
        (8, &b"\x2f\x00\x00"[..], "MP3"),
        (9, b"\x90vp09\x01", "vp09"),
        (9, b"\x96\x00av01\x01\x81", "multitrack"),
        (9, b"\x17\x00\x00\x00\x00\x01", "AVC"),
    ] {
        let mut server = Server::new();
        let mut encoder = server.publishing().await;
        encoder.send_message(4, type_id, 1, 0, body).await.unwrap();
        let status = refused_after(&mut encoder).await;
        assert_eq!(status.code, "NetStream.Publish.Rejected");
        let description = status.description.to_lowercase();
        assert!(description.contains(&word.to_lowercase()), "{status:?}");
        assert_eq!(server.seen().await, Seen::Lost);
        assert_eq!(server.stats.rejected_total.get(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_second_publish_ends_the_first_and_a_play_is_refused() {
    let mut server = Server::new();
    let mut encoder = server.publishing().await;
    encoder.ask_to_publish("OTHER").await.unwrap();
    let status = refused_after(&mut encoder).await;
    assert_eq!(status.code, "NetStream.Publish.BadName");
    assert!(!status.description.contains("OTHER"));
    assert_eq!(server.seen().await, Seen::Lost);

    let mut player = server.publisher().await;
    player.connect_application("live", &[]).await.unwrap();
    player.create_stream(2.0).await.unwrap();
    let arguments = [amf::null(), amf::text("KEY")];
    player
        .send_command(1, "play", 3.0, &arguments)
        .await
        .unwrap();
    assert_eq!(
        refused_after(&mut player).await.code,
        "NetStream.Play.Failed"
    );
}

#[tokio::test(start_paused = true)]
async fn who_does_not_publish_in_time_is_closed_however_it_spends_the_time() {
    let server = Server::new();
    let start = Instant::now();
    // Nothing at all.
    let mut idle = server.pipe(1 << 16);
    assert_eq!(idle.read(&mut [0; 10]).await.unwrap(), 0);
    assert_eq!(start.elapsed().as_secs(), 10);
    // A byte now and then.
    let start = Instant::now();
    let mut slow = server.pipe(1 << 16);
    let mut sent = 0;
    while slow.write_all(&[3]).await.is_ok() {
        sent += 1;
        tokio::time::sleep(Duration::from_millis(1500)).await;
    }
    assert_eq!((sent, start.elapsed().as_millis()), (7, 10_500));
    // A handshake and a connect.
    let start = Instant::now();
    let mut waiting = server.publisher().await;
    waiting.connect_application("live", &[]).await.unwrap();
    waiting.closed().await;
    assert_eq!(start.elapsed().as_secs(), 10);
    assert_eq!(server.stats.unpublished_total.get(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_publish_without_whole_units_is_silent_after_the_publish_timeout() {
    let mut server = Server::new();
    for trickle in [false, true] {
        let mut encoder = server.publishing().await;
        let start = Instant::now();
        encoder
            .send_audio(0, &synthetic::aac_config())
            .await
            .unwrap();
        if trickle {
            let frame = synthetic::aac_frame(100_000);
            for piece in chunks(4, 8, 1, 0, &frame, 128).iter().take(9) {
                encoder.send_raw(piece).await.unwrap();
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
        let status = refused_after(&mut encoder).await;
        assert_eq!(status.code, "NetStream.Publish.Idle");
        let seconds = start.elapsed().as_secs();
        assert!((10..=11).contains(&seconds), "{seconds}");
        assert!(matches!(server.seen().await, Seen::Track(_)));
        assert_eq!(server.seen().await, Seen::Lost);
    }
    assert_eq!(server.stats.silent_total.get(), 2);
}

#[tokio::test(start_paused = true)]
async fn units_that_come_now_and_then_keep_a_publish_alive() {
    let mut server = Server::new();
    let mut encoder = server.sounding().await;
    for second in 1..8 {
        tokio::time::sleep(Duration::from_secs(9)).await;
        encoder
            .send_audio(second * 9000, &synthetic::aac_frame(10))
            .await
            .unwrap();
        assert_eq!(server.unit().await.dts, Ticks(i64::from(second) * 9000));
    }
}

#[tokio::test(start_paused = true)]
async fn an_evicted_publisher_is_told_and_closed_and_so_is_one_at_shutdown() {
    let mut server = Server::new();
    let mut encoder = server.publishing().await;
    server
        .evict
        .send_replace(Some("a takeover by somebody".to_owned()));
    let status = refused_after(&mut encoder).await;
    assert_eq!(status.code, "NetStream.Publish.Denied");
    assert!(
        !status.description.contains("somebody"),
        "the reason is for the log"
    );
    assert_eq!(server.seen().await, Seen::Lost);

    let mut server = Server::new();
    let mut encoder = server.publishing().await;
    let mut idle = server.publisher().await;
    server.context.tasks.stop();
    refused_after(&mut encoder).await;
    idle.closed().await;
    server.context.tasks.finish().await;
    assert_eq!(server.seen().await, Seen::Lost);
}
