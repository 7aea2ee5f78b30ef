//! Lists, and who goes by age or by name.

use super::*;

#[tokio::test]
async fn recordings_are_deleted_after_so_many_days() {
    let bench = Bench::new();
    let config = Config {
        keep: Some(Duration::from_secs(3 * 86_400)),
        ..bench.config()
    };
    let library = bench.library_with(config, Arc::new(Local));
    record(&library, 1, 2);
    bench.clock.advance(Duration::from_secs(2 * 86_400));
    record(&library, 2, 2);
    library.sweep(&Tasks::new());
    assert_eq!(library.list(None, None, 10).len(), 2);
    bench.clock.advance(Duration::from_secs(86_401));
    library.sweep(&Tasks::new());
    let left = library.list(None, None, 10);
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].about.id, id(2));
    assert!(!bench.folder.join(id(1).to_string()).exists());
}

#[tokio::test]
async fn who_reads_a_recording_that_is_deleted_reads_to_the_end() {
    let bench = Bench::new();
    let library = bench.library();
    record(&library, 1, 50);
    let movie = library.movie(id(1), None, 1).await.unwrap().unwrap();
    let whole = read(&movie).await;
    let vod = library.timeline(id(1)).unwrap();
    let Found::Stored(stored) = vod.find("source", Resource::Segment(3)) else {
        panic!("it is stored");
    };
    let segment = stored.open().await.unwrap().unwrap();
    library.delete(id(1)).unwrap();
    assert_eq!(read(&movie).await, whole);
    assert_eq!(read(&*segment).await.len() as u64, segment.size());
    assert!(stored.open().await.unwrap().is_none(), "nobody comes after");
    assert!(library.timeline(id(1)).is_none());
    assert_eq!(library.delete(id(1)), Err(Refusal::Unknown));
    assert_eq!(std::fs::read_dir(&bench.folder).unwrap().count(), 0);
}

#[tokio::test]
async fn a_list_goes_on_where_the_last_page_ended() {
    let bench = Bench::new();
    let library = bench.library();
    for number in 1..=5 {
        record(&library, number, 1);
        bench.clock.advance(Duration::from_secs(1));
    }
    let ids = |page: Vec<Summary>| -> Vec<Uuid> { page.iter().map(|s| s.about.id).collect() };
    let first = ids(library.list(None, None, 2));
    assert_eq!(first, [id(5), id(4)]);
    assert_eq!(
        ids(library.list(None, first.last().copied(), 2)),
        [id(3), id(2)]
    );
    assert_eq!(library.list(Some("local#app#other"), None, 2), []);
}
