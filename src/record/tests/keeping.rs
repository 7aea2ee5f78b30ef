//! What is written of a stream, and how it is listed.

use super::*;

#[tokio::test]
async fn segments_are_kept_byte_by_byte_and_listed_from_the_first_to_the_last() {
    let bench = Bench::new();
    let library = bench.library();
    let window = Window::new(1000);
    let mut follower = follow(&library, 1, &window);
    for sequence in 0..20 {
        window.pass(sequence..sequence + 1);
        follower.round();
    }
    assert!(library.timeline(id(1)).is_none(), "it is being made");
    assert_eq!(library.delete(id(1)), Err(Refusal::Busy));
    let live = window.snapshot("source").unwrap();
    window.end();
    assert!(follower.round());
    let (video, audio, mpd) = lists(&library, 1).await;
    assert_eq!((video.segments.len(), audio.segments.len()), (20, 20));
    assert!(mpd.contains("mediaPresentationDuration=\"PT40S\""), "{mpd}");
    for segment in &live.segments {
        let kept = fetch(&library, 1, Resource::Segment(segment.sequence)).await;
        let bytes: Vec<u8> = segment
            .parts
            .iter()
            .flat_map(|p| p.bytes.to_vec())
            .collect();
        assert_eq!(kept.unwrap(), bytes);
    }
    let init = &live.segments[0].init;
    let kept = fetch(&library, 1, Resource::Init(&init.name)).await;
    assert_eq!(kept.unwrap(), init.bytes);
    let summary = library.get(id(1)).unwrap();
    assert_eq!(summary.outcome, Outcome::Complete);
    assert_eq!(summary.duration, Duration::from_secs(40));
    let on_disk: u64 = ["source.mp4", "audio.mp4", "index"]
        .map(|name| bench.folder.join(id(1).to_string()).join(name))
        .map(|path| std::fs::metadata(path).unwrap().len())
        .iter()
        .sum();
    assert_eq!(summary.bytes, on_disk);
    // The next start finds it as it is.
    assert_eq!(bench.library().get(id(1)), Some(summary));
}

#[tokio::test]
async fn what_left_the_window_before_it_was_written_is_a_stated_gap() {
    let bench = Bench::new();
    let library = bench.library();
    let window = Window::new(5);
    let mut follower = follow(&library, 1, &window);
    window.pass(100..105);
    follower.round();
    // The disk hangs for forty seconds.
    window.pass(105..125);
    follower.round();
    window.end();
    follower.round();
    let (video, ..) = lists(&library, 1).await;
    assert_eq!(video.first_sequence(), 100);
    assert_eq!(video.segments.len(), 25);
    let gaps: Vec<u64> = video
        .numbered()
        .filter(|(_, segment)| segment.gap)
        .map(|(number, _)| number)
        .collect();
    assert_eq!(gaps, (105..120).collect::<Vec<u64>>());
    assert_eq!(library.get(id(1)).unwrap().missed, 30);
    assert_eq!(fetch(&library, 1, Resource::Segment(110)).await, None);
}

#[tokio::test]
async fn a_rendition_that_joins_late_is_a_gap_before_and_takes_nothing_from_the_others() {
    let bench = Bench::new();
    let library = bench.library();
    let window = Window::new(1000);
    let sound = window.renditions.lock().unwrap().remove("audio").unwrap();
    let mut follower = follow(&library, 1, &window);
    window.pass(0..5);
    follower.round();
    window.renditions.lock().unwrap().insert("audio", sound);
    window.pass(5..10);
    window.end();
    follower.round();
    let (video, audio, mpd) = lists(&library, 1).await;
    assert_eq!((video.segments.len(), audio.segments.len()), (10, 10));
    assert!(audio.segments[..5].iter().all(|segment| segment.gap));
    assert!(mpd.contains("mediaPresentationDuration=\"PT20S\""), "{mpd}");
}

#[tokio::test]
async fn twelve_hours_are_listed_whole() {
    let bench = Bench::new();
    let library = bench.library();
    let window = Window::new(10);
    let mut follower = follow(&library, 1, &window);
    for minute in 0..12 * 60 {
        let first = minute * 30;
        for ten in 0..3 {
            window.pass(first + ten * 10..first + ten * 10 + 10);
            follower.round();
        }
    }
    window.end();
    follower.round();
    let (video, audio, mpd) = lists(&library, 1).await;
    assert_eq!(
        (video.segments.len(), audio.segments.len()),
        (21_600, 21_600)
    );
    assert!(
        mpd.contains("mediaPresentationDuration=\"PT43200S\""),
        "{mpd}"
    );
    assert!(mpd.len() < 10_000, "equal segments are one entry");
    let movie = library.movie(id(1), None, 1).await.unwrap().unwrap();
    assert_eq!(movie.parts, 1);
    let last = movie.read(movie.size() - 1).await.unwrap();
    assert_eq!(last.len(), 1);
    let scale = Timescale::of(48_000);
    assert_eq!(
        rescale(Ticks(48_000), scale, Timescale::MILLIS),
        Ticks(1000)
    );
}
