//! What a run finds that an earlier one left.

use super::*;

#[tokio::test]
async fn after_a_kill_a_recording_is_what_its_index_says() {
    let bench = Bench::new();
    leave_ten_segments(&bench);
    let folder = bench.folder.join(id(1).to_string());
    let index = std::fs::read(folder.join("index")).unwrap();
    let media = std::fs::read(folder.join("source.mp4")).unwrap();
    let sound = std::fs::metadata(folder.join("audio.mp4")).unwrap().len();
    // Killed at any byte of the index, in front of any byte of the media.
    for cut in [0, 7, 100, index.len() / 2, index.len() - 1, index.len()] {
        for lost in [0, 1, media.len() / 2, media.len()] {
            let mut torn = index[..cut].to_vec();
            torn.extend(vec![0xa5; cut % 13]);
            std::fs::write(folder.join("index"), torn).unwrap();
            std::fs::write(folder.join("source.mp4"), &media[..media.len() - lost]).unwrap();
            let _ = std::fs::remove_file(folder.join("end.json"));
            let library = bench.library();
            library.settle();
            let Some(summary) = library.get(id(1)) else {
                panic!("cut at {cut}: the recording is gone")
            };
            assert!(matches!(summary.outcome, Outcome::Cut(_)), "{summary:?}");
            let vod = library.timeline(id(1)).unwrap();
            vod.changed("", 0).await;
            if let Some(snapshot) = vod.snapshot("source") {
                let text = hls::media(&snapshot, None);
                assert_eq!(check_media_playlist(&text, None), [], "{text}");
                for segment in snapshot.segments.iter().filter(|segment| !segment.gap) {
                    let kept = fetch(&library, 1, Resource::Segment(segment.sequence)).await;
                    assert!(
                        kept.is_some_and(|bytes| media.windows(bytes.len()).any(|w| w == bytes))
                    );
                }
            } else {
                assert!(
                    cut < index.len() / 2 || lost > 1,
                    "cut at {cut}, {lost} lost"
                );
            }
        }
    }
    assert_eq!(
        sound,
        std::fs::metadata(folder.join("audio.mp4")).unwrap().len()
    );
}

#[tokio::test]
async fn a_stream_that_goes_on_after_a_kill_goes_on_in_its_recording() {
    let bench = Bench::new();
    let window = Window::new(1000);
    {
        let library = bench.library();
        let mut follower = follow(&library, 1, &window);
        window.pass(0..5);
        follower.round();
    }
    // Half of a record, and media that nobody knows of.
    let folder = bench.folder.join(id(1).to_string());
    for name in ["index", "source.mp4"] {
        let mut bytes = std::fs::read(folder.join(name)).unwrap();
        bytes.extend([0, 0, 0, 40, 1, 2, 3]);
        std::fs::write(folder.join(name), bytes).unwrap();
    }
    let library = bench.library();
    let window = Window::new(1000);
    window.pass(7..7);
    let mut follower = follow(&library, 1, &window);
    library.settle();
    assert!(library.get(id(1)).unwrap().ended.is_none(), "it goes on");
    for row in window.renditions.lock().unwrap().values_mut() {
        row.add(8, true, 1000);
    }
    window.pass(9..12);
    follower.round();
    window.end();
    follower.round();
    assert_eq!(library.get(id(1)).unwrap().outcome, Outcome::Complete);
    let (video, ..) = lists(&library, 1).await;
    assert_eq!(video.segments.len(), 12);
    assert!(video.segments[5..8].iter().all(|segment| segment.gap));
    assert!(video.segments[8].discontinuity);
    for sequence in [0, 4, 8, 11] {
        let kept = fetch(&library, 1, Resource::Segment(sequence))
            .await
            .unwrap();
        assert_eq!(&kept[4..8], b"moof", "segment {sequence}");
    }
}

#[test]
fn a_deletion_that_was_interrupted_is_finished_at_the_next_start() {
    let bench = Bench::new();
    let left = bench.folder.join(format!(".deleted-{}", id(1)));
    std::fs::create_dir_all(&left).unwrap();
    std::fs::write(left.join("source.mp4"), b"media").unwrap();
    let library = bench.library();
    assert!(!left.exists());
    assert!(library.list(None, None, 10).is_empty());
}
