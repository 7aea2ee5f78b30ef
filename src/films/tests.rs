//! Films as they come, break off, are gone on with, looked into, placed and swept.

use super::*;

/// A folder, and films in it.
struct Bench {
    folder: PathBuf,
    clock: Clock,
    films: Films,
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

const NOW: Wall = Wall(1_790_000_000_000_000);

/// What is said of a video of ten seconds.
const VIDEO: &str =
    r#"printf '{"accepted":true,"found":"x","container":"mp4","video":{},"duration":10.5}'"#;

fn config(folder: &Path, clock: &Clock, script: &str) -> Config {
    Config {
        folder: folder.to_owned(),
        max_bytes: 1000,
        probe: Probe::new("/bin/sh".into(), ["-c", script]),
        clock: clock.clone(),
    }
}

fn bench() -> Bench {
    bench_with(VIDEO)
}

fn bench_with(script: &str) -> Bench {
    let folder = std::env::temp_dir().join(format!("forebay-films-{}", Uuid::new_v4()));
    let clock = Clock::simulated(NOW);
    let films = Films::leaving(config(&folder, &clock, script), 0).unwrap();
    Bench {
        folder,
        clock,
        films,
    }
}

impl Bench {
    /// Another process on the same folder.
    fn again(&self) -> Films {
        Films::leaving(config(&self.folder, &self.clock, VIDEO), 0).unwrap()
    }

    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.folder).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.collect()
    }
}

fn upload(event: u128, user: u128, length: u64) -> NewUpload {
    NewUpload {
        event: Uuid::from_u128(event),
        user: Uuid::from_u128(user),
        tenant: "app".to_owned(),
        name: "film.mp4".to_owned(),
        length,
        metadata: "filename ZmlsbS5tcDQ=".to_owned(),
    }
}

fn sum(bytes: &[u8]) -> [u8; 32] {
    use sha2::{Digest, Sha256};
    Sha256::digest(bytes).into()
}

#[tokio::test]
async fn a_file_is_counted_summed_up_looked_into_and_placed() {
    let bench = bench();
    let mut incoming = bench.films.begin(upload(1, 1, 1000)).await.unwrap();
    incoming.write(b"abc").await.unwrap();
    incoming.write(b"def").await.unwrap();
    let sealed = incoming.seal().await.unwrap();
    assert_eq!((sealed.bytes, sealed.sha256), (6, sum(b"abcdef")));
    let found = incoming.probe().await.unwrap();
    assert_eq!(found.medium, Medium::Video);
    assert_eq!(found.duration, Some(Duration::from_millis(10_500)));
    let id = incoming.upload().id;
    let placed = incoming.place().await.unwrap();
    // Until it is known it is swept by nobody, and shown to nobody.
    assert!(bench.films.sweep().await.unwrap().is_empty());
    assert!(bench.again().sweep().await.unwrap().is_empty());
    placed.keep();
    assert_eq!(bench.films.sweep().await.unwrap(), [id]);
    let kept = std::fs::read(bench.films.folder(id).join(ORIGINAL)).unwrap();
    assert_eq!(kept, b"abcdef");
    assert!(bench.films.has(id).await);
    bench.films.remove(id).await.unwrap();
    bench.films.remove(id).await.unwrap();
    assert!(bench.names().is_empty());
}

#[tokio::test]
async fn what_breaks_off_or_is_not_known_in_the_end_leaves_nothing() {
    let bench = bench();
    let mut incoming = bench.films.begin(upload(1, 1, 1000)).await.unwrap();
    incoming.write(b"abc").await.unwrap();
    drop(incoming);
    assert!(bench.names().is_empty());
    let mut incoming = bench.films.begin(upload(1, 1, 1000)).await.unwrap();
    incoming.write(b"abc").await.unwrap();
    incoming.seal().await.unwrap();
    drop(incoming.place().await.unwrap());
    assert!(bench.names().is_empty());
    // The place is free again, and a limit is one byte less than too much.
    let mut incoming = bench.films.begin(upload(1, 1, 1000)).await.unwrap();
    incoming.write(&[0; 1000]).await.unwrap();
    let refused = incoming.write(&[0]).await;
    assert!(matches!(refused, Err(Error::TooLarge(1000))), "{refused:?}");
    let refused = bench.films.begin(upload(2, 1, 1001)).await.map(drop);
    assert!(matches!(refused, Err(Error::TooLarge(1000))), "{refused:?}");
}

#[tokio::test]
async fn an_upload_goes_on_where_it_was_kept_after_a_crash_and_not_behind() {
    let bench = bench();
    let made = bench.films.create(upload(1, 1, 6)).await.unwrap();
    let id = made.upload.id;
    let mut incoming = bench.films.resume(id, 0).await.unwrap();
    incoming.write(b"abc").await.unwrap();
    incoming.keep().await.unwrap();
    incoming.write(b"xy").await.unwrap();
    let twice = bench.films.resume(id, 3).await.map(drop);
    assert!(matches!(twice, Err(Error::Locked)), "{twice:?}");
    assert!(matches!(bench.films.cancel(id).await, Err(Error::Locked)));
    drop(incoming);
    let films = bench.again();
    assert_eq!(films.upload(id).unwrap().offset, 3);
    assert_eq!(films.upload(id).unwrap().upload, made.upload);
    let elsewhere = films.resume(id, 5).await.map(drop);
    assert!(matches!(elsewhere, Err(Error::Offset(3))), "{elsewhere:?}");
    let mut incoming = films.resume(id, 3).await.unwrap();
    incoming.write(b"def").await.unwrap();
    let sealed = incoming.seal().await.unwrap();
    assert_eq!((sealed.bytes, sealed.sha256), (6, sum(b"abcdef")));
    let placed = incoming.place().await.unwrap();
    placed.keep();
    assert!(matches!(films.upload(id), Err(Error::Missing)));
    let kept = std::fs::read(films.folder(id).join(ORIGINAL)).unwrap();
    assert_eq!(kept, b"abcdef");
}

#[tokio::test]
async fn a_start_removes_what_a_crash_left_and_nothing_that_somebody_writes() {
    let bench = bench();
    let plain = bench.films.begin(upload(1, 1, 6)).await.unwrap();
    let crashed = bench.films.begin(upload(2, 1, 6)).await.unwrap();
    let crashed_folder = bench.films.coming_folder(crashed.upload().id);
    let copy = bench
        .folder
        .join("coming-00000000-0000-4000-8000-000000000000");
    std::fs::create_dir(&copy).unwrap();
    std::fs::write(copy.join(ORIGINAL), b"abc").unwrap();
    std::fs::write(copy.join("upload.json"), b"{").unwrap();
    drop(crashed);
    let made = bench.films.create(upload(3, 1, 6)).await.unwrap();
    assert!(!crashed_folder.exists());
    let films = bench.again();
    assert!(!copy.exists());
    assert!(bench.films.coming_folder(plain.upload().id).exists());
    assert!(films.upload(made.upload.id).is_ok());
    assert!(films.upload(plain.upload().id).is_err());
}

#[tokio::test]
async fn an_upload_is_over_after_a_day() {
    let bench = bench();
    let id = bench.films.create(upload(1, 1, 6)).await.unwrap().upload.id;
    bench.clock.advance(LIFETIME - Duration::from_secs(1));
    bench.films.sweep().await.unwrap();
    assert!(bench.films.upload(id).is_ok());
    bench.clock.advance(Duration::from_secs(1));
    assert!(matches!(bench.films.upload(id), Err(Error::Expired)));
    let late = bench.films.resume(id, 0).await.map(drop);
    assert!(matches!(late, Err(Error::Expired)), "{late:?}");
    bench.films.sweep().await.unwrap();
    assert!(matches!(bench.films.upload(id), Err(Error::Missing)));
    assert!(bench.names().is_empty());
}

#[tokio::test]
async fn an_event_has_one_upload_and_a_new_one_takes_the_place_of_one_that_waits() {
    let bench = bench();
    let first = bench.films.create(upload(1, 1, 6)).await.unwrap();
    let second = bench.films.create(upload(1, 1, 6)).await.unwrap();
    assert!(bench.films.upload(first.upload.id).is_err());
    let id = second.upload.id;
    assert_eq!(bench.names(), [format!("{COMING}{id}")]);
    let _incoming = bench.films.resume(id, 0).await.unwrap();
    let third = bench.films.begin(upload(1, 1, 6)).await.map(drop);
    assert!(matches!(third, Err(Error::Taken)), "{third:?}");
    bench.films.begin(upload(2, 1, 6)).await.unwrap();
}

#[tokio::test]
async fn uploads_of_a_user_and_bytes_of_a_tenant_are_bounded() {
    let bench = bench();
    for event in 0..MAX_UPLOADS_OF_USER as u128 {
        bench.films.create(upload(event, 1, 6)).await.unwrap();
    }
    let more = bench.films.create(upload(99, 1, 6)).await.map(drop);
    assert!(matches!(more, Err(Error::TooMany)), "{more:?}");
    bench.films.create(upload(99, 2, 6)).await.unwrap();
    let mut config = config(&bench.folder, &bench.clock, VIDEO);
    config.max_bytes = MAX_BYTES_OF_TENANT;
    let films = Films::leaving(config, 0).unwrap();
    let all = upload(100, 3, MAX_BYTES_OF_TENANT);
    let more = films.create(all.clone()).await.map(drop);
    assert!(matches!(more, Err(Error::Quota)), "{more:?}");
    let other = NewUpload {
        tenant: "other".to_owned(),
        ..all
    };
    films.create(other).await.unwrap();
}

#[tokio::test]
async fn a_full_disk_ends_a_file_while_it_comes() {
    let bench = bench();
    let mut config = config(&bench.folder, &bench.clock, VIDEO);
    config.max_bytes = 1 << 30;
    let full = Films::leaving(config, u64::MAX).unwrap();
    let refused = full.begin(upload(1, 1, 6)).await.map(drop);
    assert!(matches!(refused, Err(Error::Full)), "{refused:?}");
    assert!(bench.names().is_empty());
}

#[tokio::test]
async fn what_cannot_be_shown_is_said_with_what_was_found() {
    for (script, expected) in [
        (
            r#"printf '{"accepted":false,"found":"a \\u0007PNG picture"}'"#,
            "the file is a PNG picture; MP4",
        ),
        ("exit 1", "the file is something that cannot be read"),
        ("kill -SEGV $$", "the file is something that cannot be read"),
        ("echo nonsense", "the file is something that cannot be read"),
        ("yes", "the file is something that cannot be read"),
    ] {
        let bench = bench_with(script);
        let incoming = bench.films.begin(upload(1, 1, 6)).await.unwrap();
        let refused = incoming.probe().await.unwrap_err();
        assert!(matches!(refused, Error::Unsupported(_)), "{refused:?}");
        assert!(refused.to_string().starts_with(expected), "{refused}");
    }
    let bench = bench_with(r#"printf '{"accepted":true,"found":"x","video":null}'"#);
    let incoming = bench.films.begin(upload(1, 1, 6)).await.unwrap();
    let found = incoming.probe().await.unwrap();
    assert_eq!((found.medium, found.duration), (Medium::Audio, None));
}

#[tokio::test(start_paused = true)]
async fn a_child_that_hangs_is_given_up() {
    let bench = bench_with("exec sleep 1000");
    let incoming = bench.films.begin(upload(1, 1, 6)).await.unwrap();
    let refused = incoming.probe().await.unwrap_err();
    assert!(refused.to_string().contains("in time"), "{refused}");
}
