//! A storage that fails for a while takes nothing from what it holds.

use std::sync::mpsc;

use super::*;

/// A file that cannot be looked at or opened, though it is there.
fn break_file(path: &Path) -> PathBuf {
    let aside = path.with_extension("aside");
    std::fs::rename(path, &aside).unwrap();
    // A link to itself: neither "not found" nor a question of rights.
    std::os::unix::fs::symlink(path, path).unwrap();
    aside
}

fn mend_file(path: &Path, aside: &Path) {
    std::fs::remove_file(path).unwrap();
    std::fs::rename(aside, path).unwrap();
}

#[tokio::test]
async fn media_that_cannot_be_looked_at_are_not_cut_off() {
    let bench = Bench::new();
    leave_ten_segments(&bench);
    let folder = bench.folder.join(id(1).to_string());
    let sizes =
        || ["source.mp4", "index"].map(|name| std::fs::metadata(folder.join(name)).unwrap().len());
    let before = sizes();
    let media = folder.join("source.mp4");
    let aside = break_file(&media);
    let library = bench.library();
    let window = Window::new(1000);
    let mut follower = follow(&library, 1, &window);
    library.settle();
    window.pass(10..11);
    assert!(!follower.round());
    mend_file(&media, &aside);
    assert_eq!(sizes(), before);
    // As soon as it can be read it goes on.
    follower.round();
    window.end();
    follower.round();
    let (video, ..) = lists(&library, 1).await;
    assert_eq!(video.segments.len(), 11);
    assert!(video.segments.iter().all(|segment| !segment.gap));
}

#[tokio::test]
async fn a_recording_whose_end_cannot_be_read_is_not_ended_anew() {
    let bench = Bench::new();
    let complete = {
        let library = bench.library();
        record(&library, 1, 5);
        library.get(id(1)).unwrap()
    };
    let end = bench.folder.join(id(1).to_string()).join("end.json");
    let aside = break_file(&end);
    let library = bench.library();
    library.settle();
    assert_eq!(library.get(id(1)), None);
    mend_file(&end, &aside);
    let library = bench.library();
    library.settle();
    assert_eq!(library.get(id(1)), Some(complete));
}

#[test]
fn a_folder_goes_only_if_there_is_surely_nothing_in_it() {
    let bench = Bench::new();
    for number in 1..=3 {
        std::fs::create_dir_all(bench.folder.join(id(number).to_string())).unwrap();
    }
    let about = bench.folder.join(id(1).to_string()).join("about.json");
    std::os::unix::fs::symlink(&about, &about).unwrap();
    let index = bench.folder.join(id(2).to_string()).join("index");
    std::os::unix::fs::symlink(&index, &index).unwrap();
    let library = bench.library();
    assert!(library.list(None, None, 10).is_empty());
    let left = (1..=3).filter(|number| bench.folder.join(id(*number).to_string()).exists());
    assert_eq!(left.collect::<Vec<u128>>(), [1, 2]);
}

/// A disk that takes its time to rename a folder, until it is told how that went.
struct Slow {
    begun: mpsc::SyncSender<()>,
    answers: Mutex<mpsc::Receiver<std::io::Result<()>>>,
}

impl Disk for Slow {
    fn free_bytes(&self, folder: &Path) -> std::io::Result<u64> {
        Local.free_bytes(folder)
    }

    fn write(&self, file: &File, at: u64, bytes: &[u8]) -> std::io::Result<()> {
        Local.write(file, at, bytes)
    }

    fn rename(&self, folder: &Path, name: &Path) -> std::io::Result<()> {
        self.begun.send(()).unwrap();
        self.answers.lock().unwrap().recv().unwrap()?;
        Local.rename(folder, name)
    }
}

#[test]
fn players_do_not_wait_for_a_deletion_and_one_that_failed_can_be_tried_again() {
    let bench = Bench::new();
    let (begun, begins) = mpsc::sync_channel(1);
    let (answer, answers) = mpsc::sync_channel(1);
    let disk = Slow {
        begun,
        answers: Mutex::new(answers),
    };
    let library = bench.library_with(bench.config(), Arc::new(disk));
    record(&library, 1, 2);
    record(&library, 2, 2);
    for (answered, outcome) in [
        (
            Err(std::io::ErrorKind::TimedOut.into()),
            Err(Refusal::Failed),
        ),
        (Ok(()), Ok(())),
    ] {
        std::thread::scope(|scope| {
            let deletion = scope.spawn(|| library.delete(id(1)));
            begins.recv().unwrap();
            // The rename hangs.
            assert!(library.timeline(id(2)).is_some());
            assert_eq!(library.list(None, None, 10).len(), 2);
            assert_eq!(library.delete(id(1)), Err(Refusal::Unknown));
            answer.send(answered).unwrap();
            assert_eq!(deletion.join().unwrap(), outcome);
        });
    }
    assert!(library.get(id(1)).is_none());
    assert!(!bench.folder.join(id(1).to_string()).exists());
}
