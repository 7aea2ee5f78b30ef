//! Recordings as one file.

use super::*;

#[tokio::test]
async fn a_changed_configuration_is_a_discontinuity_and_another_part_of_the_movie() {
    let bench = Bench::new();
    let library = bench.library();
    let window = Window::new(1000);
    let mut follower = follow(&library, 1, &window);
    window.pass(0..3);
    window.change(3);
    window.pass(4..8);
    window.end();
    follower.round();
    let (video, audio, mpd) = lists(&library, 1).await;
    assert!(video.segments[3].discontinuity && audio.segments[3].discontinuity);
    assert_ne!(video.segments[3].map, video.segments[0].map);
    assert_eq!(mpd.matches("<Period ").count(), 2, "{mpd}");
    let mut boxes = Vec::new();
    for part in [1, 2] {
        let movie = library.movie(id(1), None, part).await.unwrap().unwrap();
        assert_eq!(movie.parts, 2);
        let bytes = read(&movie).await;
        // What is read from anywhere is the same file.
        for from in (0..movie.size()).step_by(97) {
            let piece = movie.read(from).await.unwrap();
            let at = usize::try_from(from).unwrap();
            assert_eq!(piece, bytes[at..at + piece.len()]);
        }
        boxes.push(bytes.windows(4).filter(|kind| kind == b"moof").count());
    }
    // Two fragments a segment, two tracks.
    assert_eq!(boxes, [12, 20]);
    assert!(library.movie(id(1), None, 3).await.unwrap().is_none());
    assert!(library.movie(id(1), None, 0).await.unwrap().is_none());
    assert!(
        library
            .movie(id(1), Some("none"), 1)
            .await
            .unwrap()
            .is_none()
    );
    let sound = library
        .movie(id(1), Some("audio"), 1)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(sound.parts, 1);
}
