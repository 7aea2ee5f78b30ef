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
    assert_eq!(library.parts(id(1)).await.unwrap(), Some(2));
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

#[tokio::test]
async fn another_part_of_the_movie_begins_after_twelve_hours() {
    let bench = Bench::new();
    let library = bench.library();
    let window = Window::new(1000);
    let mut follower = follow(&library, 1, &window);
    // To the end of the twelfth hour, and one more.
    window.pass(0..2);
    window.pass(21_599..21_601);
    window.end();
    follower.round();
    assert_eq!(library.parts(id(1)).await.unwrap(), Some(2));
    let last = library.movie(id(1), None, 2).await.unwrap().unwrap();
    let bytes = read(&last).await;
    let moofs = bytes.windows(4).filter(|kind| kind == b"moof").count();
    assert_eq!(moofs, 4, "a segment of both tracks");
}

#[tokio::test]
async fn the_header_of_a_movie_is_made_once_and_the_file_is_the_same_again() {
    let bench = Bench::new();
    let library = bench.library();
    record(&library, 1, 10);
    let first = library.movie(id(1), None, 1).await.unwrap().unwrap();
    let kept = bench.folder.join(id(1).to_string()).join("source-1.moov");
    let header = std::fs::read(&kept).unwrap();
    let bytes = read(&first).await;
    assert_eq!(bytes[..header.len()], header);
    let again = library.movie(id(1), None, 1).await.unwrap().unwrap();
    assert_eq!(read(&again).await, bytes);
    // Where it cannot be kept it is made again.
    std::fs::remove_file(&kept).unwrap();
    std::fs::create_dir(kept.with_extension("moov.new")).unwrap();
    let made = library.movie(id(1), None, 1).await.unwrap().unwrap();
    assert_eq!(read(&made).await, bytes);
    assert!(!kept.exists());
}

#[tokio::test]
async fn a_damaged_segment_is_an_error_of_the_download() {
    let bench = Bench::new();
    let library = bench.library();
    record(&library, 1, 10);
    let media = bench.folder.join(id(1).to_string()).join("source.mp4");
    let mut bytes = std::fs::read(&media).unwrap();
    let at = bytes.windows(4).position(|kind| kind == b"moof").unwrap();
    for size in [0_u32, 3, u32::MAX] {
        bytes[at - 4..at].copy_from_slice(&size.to_be_bytes());
        std::fs::write(&media, &bytes).unwrap();
        assert!(library.movie(id(1), None, 1).await.is_err());
    }
}
