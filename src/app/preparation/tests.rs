//! The queue with a shell in the place of the child that makes films.

use std::sync::Arc;

use super::*;
use crate::base::clock::Wall;
use crate::base::secret::Secret;
use crate::films::{NewUpload, Probe};
use crate::media::codec::aac;
use crate::media::{CodecConfig, Rendition, RenditionId, Timescale, Track};
use crate::playout::asset::{Layout, Writer};
use crate::store::{
    After, AssetKind, AssetState, NewAsset, NewEvent, Received, Repeat, ShowRow, User,
};

const NOW: Wall = Wall(1_790_000_000_000_000);

struct Bench {
    folder: PathBuf,
    clock: Clock,
    store: Store,
    films: Films,
    owner: Uuid,
    tasks: Tasks,
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn settings(folder: &std::path::Path, clock: &Clock) -> films::Config {
    films::Config {
        folder: folder.join(FOLDER),
        max_bytes: 1000,
        probe: Probe::new("/bin/sh".into(), ["-c", ""]),
        clock: clock.clone(),
    }
}

async fn bench() -> Bench {
    let folder = std::env::temp_dir().join(format!("forebay-queue-{}", Uuid::new_v4()));
    let clock = Clock::simulated(NOW);
    let store = Store::open(&folder, clock.clone()).await.unwrap();
    let secret = Secret::new("application-secret");
    store.ensure_application("app", &secret).await.unwrap();
    let owner = store
        .create_user(&User::named("app", "jane"))
        .await
        .unwrap()
        .id;
    let films = Films::open(settings(&folder, &clock));
    Bench {
        folder,
        store,
        films: films.unwrap(),
        owner,
        tasks: Tasks::new(),
        clock,
    }
}

impl Bench {
    /// An asset that waits, of an event that begins in so many seconds.
    async fn asset(&self, after_s: i64) -> Uuid {
        let event = Uuid::new_v4();
        let starts = NOW.plus_micros(after_s * 1_000_000);
        let new = NewEvent {
            application_id: "app",
            user_id: self.owner,
            channel_id: None,
            title: "Premiere",
            description: None,
            starts,
            ends: None,
            time_zone: "UTC",
            repeat: Repeat::None,
            repeat_until_end: false,
            show: ShowRow {
                stream_id: Uuid::new_v4(),
                event_id: event,
                asset_id: None,
                epoch: starts,
                starts,
                ends: None,
                looping: false,
                after: After::End,
                ended: None,
                cuts: Vec::new(),
            },
        };
        self.store.create_event(&new, &|_, _| false).await.unwrap();
        let upload = NewUpload {
            event,
            user: self.owner,
            tenant: "app".to_owned(),
            name: "film".to_owned(),
            length: 4,
            metadata: String::new(),
        };
        let mut incoming = self.films.begin(upload).await.unwrap();
        incoming.write(b"film").await.unwrap();
        incoming.seal().await.unwrap();
        let id = incoming.upload().id;
        let placed = incoming.place().await.unwrap();
        let name = "film";
        let asset = NewAsset {
            id,
            event_id: event,
            name,
            bytes: 4,
        };
        self.store.create_asset(&asset).await.unwrap();
        let received = Received {
            kind: AssetKind::Video,
            bytes: 4,
            sha256: "",
            duration_us: None,
        };
        self.store.asset_received(id, &received).await.unwrap();
        placed.keep();
        id
    }

    fn queue(&self, script: &str) -> Queue {
        Queue {
            store: self.store.clone(),
            films: self.films.clone(),
            program: "/bin/sh".into(),
            arguments: vec!["-c".to_owned(), script.to_owned()],
            clock: self.clock.clone(),
            elsewhere: HashSet::new(),
        }
    }

    async fn state(&self, id: Uuid) -> Asset {
        self.store.asset(id).await.unwrap().unwrap()
    }

    /// Takes what waits; its id.
    async fn take(&self, queue: &mut Queue) -> Option<Uuid> {
        let elsewhere: Vec<Uuid> = queue.elsewhere.iter().copied().collect();
        let asset = self.store.claim_asset(LEASE, &elsewhere).await.unwrap()?;
        queue.take(&asset, &self.tasks).await.unwrap();
        Some(asset.id)
    }
}

#[tokio::test]
async fn the_film_of_the_event_that_begins_soonest_is_made_first() {
    let bench = bench().await;
    let (late, soon) = (bench.asset(200).await, bench.asset(100).await);
    let mut queue = bench.queue("exit 1");
    assert_eq!(bench.take(&mut queue).await, Some(soon));
    assert_eq!(bench.take(&mut queue).await, Some(late));
    assert_eq!(bench.take(&mut queue).await, None);
}

#[tokio::test]
async fn a_child_that_fails_twice_has_the_last_word() {
    let bench = bench().await;
    let id = bench.asset(100).await;
    let script = r#"echo x >> "$0/tries"; echo "the picture is too large" >&2; exit 1"#;
    let mut queue = bench.queue(script);
    bench.take(&mut queue).await.unwrap();
    let asset = bench.state(id).await;
    assert_eq!(asset.state, AssetState::Failed);
    assert_eq!(asset.error.as_deref(), Some("the picture is too large"));
    let tries = std::fs::read_to_string(bench.films.folder(id).join("tries"));
    assert_eq!(tries.unwrap(), "x\nx\n");
    // One that says nothing is spoken for, and one that lies is found out.
    for (script, why) in [
        (
            "kill -KILL $$",
            "what prepares it ended with signal: 9 (SIGKILL)",
        ),
        ("echo 100", "it ended before the film was whole"),
    ] {
        let id = bench.asset(100).await;
        bench.take(&mut bench.queue(script)).await.unwrap();
        assert_eq!(bench.state(id).await.error.as_deref(), Some(why));
    }
}

#[tokio::test]
async fn progress_is_told_while_it_grows() {
    let bench = bench().await;
    let id = bench.asset(100).await;
    let waits = r#"echo 40.5; while [ ! -e "$0/go" ]; do sleep 0.02; done; exit 1"#;
    let mut queue = bench.queue(waits);
    let told = async {
        while bench.state(id).await.progress != 40 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(bench.state(id).await.state, AssetState::Preparing);
        std::fs::write(bench.films.folder(id).join("go"), "").unwrap();
    };
    tokio::join!(bench.take(&mut queue), told);
}

#[tokio::test]
async fn a_film_that_is_whole_is_prepared_and_as_long_as_it_was_made() {
    let bench = bench().await;
    let id = bench.asset(100).await;
    let layout = Layout::of(25, 2).unwrap();
    let mut writer = Writer::open(&bench.films.folder(id), layout).unwrap();
    let config = aac::Config::new_lc(48_000, 2).unwrap();
    let sound = Rendition {
        id: RenditionId(0),
        name: "audio".into(),
        track: Arc::new(Track {
            config: CodecConfig::Aac(config),
            timescale: Timescale::of(48_000),
        }),
        peak_bps: 128_000,
        average_bps: 128_000,
        frame_rate_millis: 0,
        source: false,
    };
    writer.declare(&sound).unwrap();
    writer.finish(50, 1).unwrap();
    bench.take(&mut bench.queue("exit 0")).await.unwrap();
    let asset = bench.state(id).await;
    assert_eq!((asset.state, asset.progress), (AssetState::Prepared, 100));
    assert_eq!(asset.duration_us, Some(2_000_000));
}

#[tokio::test]
async fn a_stop_ends_the_child_and_the_next_run_goes_on() {
    let bench = bench().await;
    let id = bench.asset(100).await;
    let script = r#"echo $$ > "$0/child"; exec sleep 1000"#;
    let queue = bench.queue(script);
    bench.tasks.spawn(queue.run(bench.tasks.clone()));
    let pid = bench.films.folder(id).join("child");
    while !std::fs::read_to_string(&pid).is_ok_and(|text| text.ends_with('\n')) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let child = std::fs::read_to_string(&pid).unwrap();
    let process = PathBuf::from("/proc").join(child.trim());
    assert!(process.exists());
    bench.tasks.finish().await;
    assert!(!process.exists());
    assert_eq!(bench.state(id).await.state, AssetState::Uploaded);
}

#[tokio::test]
async fn a_start_goes_on_with_what_a_killed_run_had() {
    let bench = bench().await;
    let id = bench.asset(100).await;
    bench.store.claim_asset(LEASE, &[]).await.unwrap().unwrap();
    let mut queue = bench.queue(r#"echo "$1" >&2; exit 1"#);
    assert_eq!(bench.take(&mut queue).await, None);
    bench.store.release_assets().await.unwrap();
    assert_eq!(bench.take(&mut queue).await, Some(id));
    // What stands on the slate is handed over.
    let said = bench.state(id).await.error;
    assert_eq!(said.as_deref(), Some("--title=Premiere"));
}

#[tokio::test]
async fn nobody_begins_beside_a_child_whose_gateway_was_killed() {
    let bench = bench().await;
    let id = bench.asset(100).await;
    let orphan = locked(&bench.films.original(id)).unwrap();
    let mut queue = bench.queue(r#"echo x > "$0/began"; exit 1"#);
    assert_eq!(bench.take(&mut queue).await, Some(id));
    assert_eq!(bench.state(id).await.state, AssetState::Uploaded);
    assert!(!bench.films.folder(id).join("began").exists());
    drop(orphan);
    bench.take(&mut queue).await.unwrap();
    assert!(bench.films.folder(id).join("began").exists());
}

#[tokio::test]
async fn a_film_that_fills_the_disk_is_given_up_and_leaves_its_room_to_others() {
    let bench = bench().await;
    let id = bench.asset(100).await;
    let crowded = Films::leaving(settings(&bench.folder, &bench.clock), u64::MAX).unwrap();
    // By the shell alone: what it had started would outlive it.
    let script = r#"echo x > "$0/slate/index"; echo x > "$0/index"; exec sleep 1000"#;
    let mut queue = Queue {
        films: crowded,
        ..bench.queue(script)
    };
    let folder = bench.films.folder(id);
    std::fs::write(folder.join("720p.mp4"), "made before").unwrap();
    std::fs::create_dir(folder.join("slate")).unwrap();
    bench.take(&mut queue).await.unwrap();
    let asset = bench.state(id).await;
    assert_eq!(asset.state, AssetState::Failed);
    assert_eq!(asset.error.as_deref(), Some(NO_ROOM));
    let left = std::fs::read_dir(&folder).unwrap();
    let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["original"]);
}

#[tokio::test]
async fn what_another_gateway_has_waits_for_it() {
    let bench = bench().await;
    let (theirs, ours) = (bench.asset(100).await, bench.asset(200).await);
    bench.films.remove(theirs).await.unwrap();
    let mut queue = bench.queue("exit 1");
    assert_eq!(bench.take(&mut queue).await, Some(theirs));
    assert_eq!(bench.take(&mut queue).await, Some(ours));
    assert_eq!(bench.take(&mut queue).await, None);
    assert_eq!(bench.state(theirs).await.state, AssetState::Uploaded);
}

#[tokio::test]
async fn a_film_whose_event_is_deleted_is_not_made_to_its_end() {
    let bench = bench().await;
    let id = bench.asset(100).await;
    let event = bench.state(id).await.event_id;
    let mut queue = bench.queue("exec sleep 1000");
    let asset = bench.store.claim_asset(LEASE, &[]).await.unwrap().unwrap();
    bench.store.delete_event(event).await.unwrap();
    queue.take(&asset, &bench.tasks).await.unwrap();
}

#[tokio::test]
async fn lines_are_bounded_and_the_last_needs_no_end() {
    let said = [b"12\n".as_slice(), &[b'x'; 5000], b"\nlast"].concat();
    let mut lines = Lines::new(said.as_slice());
    assert_eq!(lines.next().await.as_deref(), Some("12"));
    assert_eq!(lines.next().await.unwrap().len(), MAX_LINE_BYTES);
    assert_eq!(lines.next().await.as_deref(), Some("last"));
    assert_eq!(lines.next().await, None);
}

#[test]
fn a_child_that_says_nothing_new_stands_still_and_signs_are_given_all_the_same() {
    let clock = Clock::simulated(NOW);
    let mut told = Told::new(7, clock.clone());
    assert_eq!(told.news(), Some(7));
    assert_eq!(told.news(), None);
    for (line, percent) in [("12.9 %", 12), ("nonsense", 12), ("13", 13), ("400", 99)] {
        told.hear(line);
        assert_eq!(told.percent, percent, "{line}");
    }
    assert_eq!(told.news(), Some(99));
    clock.advance(SIGN);
    assert_eq!(told.news(), Some(99));
    clock.advance(STILL - SIGN - Duration::from_millis(1));
    told.hear("400");
    assert!(!told.is_still());
    clock.advance(Duration::from_millis(1));
    assert!(told.is_still());
    told.hear("401");
    assert!(!told.is_still());
}
