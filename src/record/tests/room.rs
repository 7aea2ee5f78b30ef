//! What happens when there is no room, and who goes.

use super::*;

/// A library that makes room, on a disk that says how much there is.
fn crowded(bench: &Bench, make_room: bool) -> (Library, Arc<Small>) {
    let disk = Small::new(1 << 30);
    let config = Config {
        least_free_bytes: 10_000,
        make_room,
        ..bench.config()
    };
    (bench.library_with(config, disk.clone()), disk)
}

fn left(library: &Library) -> Vec<Uuid> {
    let left = library.list(None, None, 100);
    left.iter().map(|summary| summary.about.id).collect()
}

#[tokio::test]
async fn a_full_disk_stops_the_recording_and_room_lets_it_go_on() {
    let bench = Bench::new();
    let disk = Small::new(20_000);
    let library = bench.library_with(bench.config(), disk.clone());
    let window = Window::new(1000);
    let mut follower = follow(&library, 1, &window);
    window.pass(0..30);
    assert!(!follower.round(), "the stream goes on");
    let paused = library.get(id(1)).unwrap();
    assert_eq!(paused.outcome, Outcome::Paused("disk full".to_owned()));
    disk.room.store(1 << 20, Ordering::Relaxed);
    window.pass(30..40);
    follower.round();
    assert_eq!(library.get(id(1)).unwrap().outcome, Outcome::Recording);
    window.end();
    follower.round();
    let (video, audio, _) = lists(&library, 1).await;
    assert_eq!((video.segments.len(), audio.segments.len()), (40, 40));
    assert!(video.segments.iter().all(|segment| !segment.gap));
    for sequence in 0..40 {
        let kept = fetch(&library, 1, Resource::Segment(sequence))
            .await
            .unwrap();
        assert_eq!(&kept[4..8], b"moof", "segment {sequence}");
    }
}

#[tokio::test]
async fn a_recording_whose_stream_ends_on_a_full_disk_says_so_and_plays() {
    let bench = Bench::new();
    let disk = Small::new(1 << 20);
    let config = Config {
        least_free_bytes: 10_000,
        ..bench.config()
    };
    let library = bench.library_with(config, disk.clone());
    let window = Window::new(1000);
    let mut follower = follow(&library, 1, &window);
    window.pass(0..5);
    follower.round();
    disk.says.store(9_999, Ordering::Relaxed);
    window.pass(5..10);
    follower.round();
    window.end();
    assert!(follower.round());
    let summary = library.get(id(1)).unwrap();
    let reason = summary.outcome.reason().unwrap();
    assert_eq!(reason, "disk full: 9999 bytes free, 10000 are to stay so");
    assert_eq!(summary.outcome.word(), "cut");
    let (video, ..) = lists(&library, 1).await;
    assert_eq!(video.segments.len(), 5);
}

#[test]
fn the_oldest_complete_recordings_make_room_only_where_that_is_set() {
    for make_room in [false, true] {
        let bench = Bench::new();
        let (library, disk) = crowded(&bench, make_room);
        for number in [1, 2, 3] {
            record(&library, number, 3);
            bench.clock.advance(Duration::from_secs(60));
        }
        let window = Window::new(1000);
        let mut follower = follow(&library, 4, &window);
        window.pass(0..3);
        follower.round();
        let bytes = library.get(id(1)).unwrap().bytes;
        // Two of them have what is missing to a quarter more than what is to stay free.
        disk.says.store(12_500 - bytes - 1, Ordering::Relaxed);
        window.pass(3..6);
        follower.round();
        match make_room {
            true => assert_eq!(left(&library), [id(4), id(3)]),
            false => assert_eq!(left(&library), [id(4), id(3), id(2), id(1)]),
        }
    }
}

#[test]
fn deleting_stops_at_what_is_missing_where_the_disk_says_late_that_it_is_free() {
    let bench = Bench::new();
    let (library, disk) = crowded(&bench, true);
    for number in 1..=5 {
        record(&library, number, 3);
        bench.clock.advance(Duration::from_secs(60));
    }
    let window = Window::new(1000);
    let mut follower = follow(&library, 6, &window);
    let bytes = library.get(id(1)).unwrap().bytes;
    disk.says.store(12_500 - bytes, Ordering::Relaxed);
    for sequence in 0..29 {
        window.pass(sequence..sequence + 1);
        follower.round();
        bench.clock.advance(Duration::from_secs(1));
        assert_eq!(left(&library).len(), 4, "after {sequence} s");
    }
    // By now it is certain that something else has filled it.
    bench.clock.advance(Duration::from_secs(1));
    follower.round();
    assert_eq!(left(&library).len(), 3);
    disk.says.store(12_500, Ordering::Relaxed);
    bench.clock.advance(Duration::from_secs(60));
    follower.round();
    assert_eq!(left(&library), [id(6), id(5), id(4), id(3)]);
}

#[test]
fn many_recorders_make_room_once() {
    let bench = Bench::new();
    let (library, disk) = crowded(&bench, true);
    for number in 1..=20 {
        record(&library, number, 3);
        bench.clock.advance(Duration::from_secs(60));
    }
    let bytes = library.get(id(1)).unwrap().bytes;
    disk.says.store(12_500 - bytes, Ordering::Relaxed);
    std::thread::scope(|scope| {
        for number in 21..=30 {
            let library = &library;
            scope.spawn(move || {
                let window = Window::new(1000);
                let mut follower = follow(library, number, &window);
                window.pass(0..3);
                follower.round();
            });
        }
    });
    let complete = library.list(None, None, 100).into_iter();
    let complete = complete.filter(|summary| summary.outcome == Outcome::Complete);
    assert_eq!(complete.count(), 19);
}

#[test]
fn where_room_is_free_at_once_more_is_made_as_soon_as_it_is_needed() {
    let bench = Bench::new();
    let (library, disk) = crowded(&bench, true);
    for number in 1..=3 {
        record(&library, number, 3);
        bench.clock.advance(Duration::from_secs(60));
    }
    let bytes = library.get(id(1)).unwrap().bytes;
    disk.frees.store(bytes, Ordering::Relaxed);
    let window = Window::new(1000);
    let mut follower = follow(&library, 4, &window);
    for left_over in [2, 1] {
        disk.says.store(12_500 - bytes, Ordering::Relaxed);
        follower.round();
        assert_eq!(
            left(&library).len(),
            left_over + 1,
            "with the one that is made"
        );
        assert_eq!(library.get(id(4)).unwrap().outcome, Outcome::Recording);
    }
}
