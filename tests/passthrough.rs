//! From an encoder to players without a ladder: nothing is lost, nothing is moved.

use crate::common::media::{Clip, beeps, pictures};
use crate::common::server::Server;

#[tokio::test(flavor = "multi_thread")]
async fn every_frame_comes_out_in_order_and_sound_stays_with_the_picture() {
    let server = Server::passthrough().await;
    let publishing = server.publish(&Clip::h264(300, 60).file(), "");
    server.segments("source", 4).await;
    publishing.finish().await.unwrap();
    server.segments("audio", 4).await;
    let video = server.download("source").await;
    let audio = server.download("audio").await;
    let seen = pictures(&video);
    let numbers: Vec<u32> = seen
        .iter()
        .map(|picture| picture.number.expect("readable"))
        .collect();
    assert!(numbers.len() >= 240, "{} frames", numbers.len());
    assert!(
        numbers
            .iter()
            .zip(0..)
            .all(|(number, expected)| *number == expected),
        "{numbers:?}"
    );
    let flashes = seen
        .windows(2)
        .filter(|pair| !pair[0].lit && pair[1].lit)
        .map(|pair| pair[1].time);
    let beeps = beeps(&audio);
    for flash in flashes {
        let nearest = beeps
            .iter()
            .map(|beep| (beep - flash).abs())
            .fold(f64::MAX, f64::min);
        assert!(nearest < 0.045, "flash at {flash}, beeps at {beeps:?}");
    }
    server.stop().await;
}
