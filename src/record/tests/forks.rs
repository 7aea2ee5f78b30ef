//! Recordings that begin in the middle of a stream.

use super::*;

#[tokio::test]
async fn what_was_in_the_window_before_a_recording_began_is_not_its() {
    let bench = Bench::new();
    let library = bench.library();
    let window = Window::new(1000);
    window.pass(0..30);
    let mut follower = follow(&library, 1, &window);
    follower.round();
    window.pass(30..35);
    follower.round();
    window.end();
    follower.round();
    let (video, audio, _) = lists(&library, 1).await;
    assert_eq!((video.first_sequence(), audio.first_sequence()), (30, 30));
    assert_eq!(video.segments.len(), 5);
    let summary = library.get(id(1)).unwrap();
    assert_eq!((summary.missed, summary.outcome), (0, Outcome::Complete));
}
