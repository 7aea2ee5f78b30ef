//! Which indexes are in memory, and how often they are read.

use std::io::Write;

use super::*;

/// Whether the index of a recording is in memory.
fn is_held(library: &Library, number: u128) -> bool {
    let vod = library.timeline(id(number)).unwrap();
    vod.description().is_some()
}

#[tokio::test]
async fn indexes_that_were_not_used_for_the_longest_time_are_forgotten_and_come_back() {
    let bench = Bench::new();
    let library = bench.library();
    for number in 0..20 {
        record(&library, number, 2);
    }
    let description = || library.timeline(id(0)).unwrap().description();
    lists(&library, 0).await;
    let first = description().unwrap();
    for number in 1..20 {
        lists(&library, number).await;
        // Somebody watches the first one all the time.
        assert!(fetch(&library, 0, Resource::Segment(1)).await.is_some());
    }
    let held: Vec<u128> = (0..20)
        .filter(|number| is_held(&library, *number))
        .collect();
    let expected: Vec<u128> = [0].into_iter().chain(5..20).collect();
    assert_eq!(held, expected);
    assert!(Arc::ptr_eq(&first, &description().unwrap()), "read once");
    assert!(fetch(&library, 1, Resource::Segment(1)).await.is_some());
    lists(&library, 2).await;
}

#[tokio::test]
async fn an_index_that_many_ask_for_at_once_is_read_once_even_if_the_first_of_them_leaves() {
    let bench = Bench::new();
    let library = bench.library();
    record(&library, 1, 100);
    // A pipe is read once: whoever came second would wait for ever.
    let path = bench.folder.join(id(1).to_string()).join("index");
    let index = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let kind = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, &path, kind, 0o600.into(), 0).unwrap();
    let vod = library.timeline(id(1)).unwrap();
    let tasks = Tasks::new();
    let viewer = || {
        let vod = vod.clone();
        tasks.spawn(async move { vod.changed("", 0).await })
    };
    let first = viewer();
    let opening = tokio::task::spawn_blocking(|| File::options().write(true).open(path));
    let mut pipe = opening.await.unwrap().unwrap();
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    let others: Vec<_> = (0..100).map(|_| viewer()).collect();
    tokio::task::yield_now().await;
    pipe.write_all(&index).unwrap();
    drop(pipe);
    for other in others {
        other.await.unwrap();
    }
    assert_eq!(vod.snapshot("source").unwrap().segments.len(), 100);
}
