//! What only a database in a file has.

use std::path::Path;

use sha2::Digest;

use super::bench::Folder;
use super::*;

async fn open(folder: &Folder) -> Store {
    let clock = Clock::simulated(Wall(1));
    Store::open(&folder.0, clock).await.unwrap()
}

#[cfg(unix)]
#[tokio::test]
async fn the_database_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    let store = open(&folder).await;
    store.ping().await.unwrap();
    let mut files = 0;
    for entry in std::fs::read_dir(&folder.0).unwrap() {
        let mode = entry.unwrap().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        files += 1;
    }
    assert!(files >= 2, "the database and its log");
}

#[tokio::test]
async fn a_closed_database_is_an_error_and_no_hang() {
    let folder = Folder::new();
    let store = open(&folder).await;
    store.close().await;
    let error = store.find_channel_by_key("x").await.unwrap_err();
    assert_eq!(error.kind(), Kind::Internal);
    assert!(store.ping().await.is_err());
}

#[tokio::test]
async fn writers_wait_for_each_other() {
    let folder = Folder::new();
    let first = open(&folder).await;
    let secret = Secret::new("application-secret");
    first.ensure_application("app", &secret).await.unwrap();
    // As another process does, such as `forebay key rotate` beside a running gateway.
    let second = open(&folder).await;
    let keys: Vec<Secret> = (0..4)
        .map(|n| Secret::new(format!("key-number-{n}")))
        .collect();
    let write = async |store: &Store, n: usize| {
        let channel = default_channel(&keys[n]);
        store.ensure_default_channel(&channel).await
    };
    let (a, b, c, d) = tokio::join!(
        write(&first, 0),
        write(&second, 1),
        write(&first, 2),
        write(&second, 3)
    );
    for written in [a, b, c, d] {
        assert_eq!(written.unwrap().id, "local#app#live");
    }
    assert_eq!(bench::stored(&first).await.len(), 1);
}

/// SHA-384 of each migration that was ever used: databases that have them are refused when one is edited.
const SHIPPED: [(&str, &str); 4] = [
    (
        "0001_initial.sql",
        "16164eac40f0b98818a20682571c467e1fbb1aa67456af42b0244d85c95b4141a1233d2ac243a87a7f1667fcfbeb61b0",
    ),
    (
        "0002_resumable_streams.sql",
        "fb40d1e796f758e40e742280801c209570cd8149e6f7b6c7e50c7e069ed42a9a94fedb6d12d9a6003db1adc8fa7ffd1e",
    ),
    (
        "0003_revision_of_keys.sql",
        "60f289b33f81365653dc9579f1d5e932b65465fcec339f66e997493fec79f4fa00f32c5a1f82921a7aa2447cd338a1e6",
    ),
    (
        "0004_channel_api.sql",
        "623fe732108385f417c603f248615fe113233032bafd86177fe9112c90e59abf624451eeddd11544c71fd227117be008",
    ),
];

fn migration(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store/migrations/sqlite");
    folder.join(name)
}

#[test]
fn migrations_that_were_used_are_never_edited() {
    for (name, known) in SHIPPED {
        let text = std::fs::read(migration(name)).unwrap();
        let digest = sha2::Sha384::digest(text);
        let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(digest, known, "{name}");
    }
}

#[tokio::test]
async fn a_database_of_an_earlier_version_goes_on() {
    for version in 1..SHIPPED.len() {
        let folder = Folder::new();
        let old = folder.0.join("old");
        std::fs::create_dir_all(&old).unwrap();
        for (name, _) in &SHIPPED[..version] {
            std::fs::copy(migration(name), old.join(name)).unwrap();
        }
        let file = folder.0.join(FILE);
        let options = sqlx::sqlite::SqliteConnectOptions::new();
        let options = options.filename(&file).create_if_missing(true);
        let mut connection = sqlx::ConnectOptions::connect(&options).await.unwrap();
        let migrator = sqlx::migrate::Migrator::new(old.as_path()).await.unwrap();
        migrator.run(&mut connection).await.unwrap();
        let rows = "INSERT INTO applications (id, secret, created_us) VALUES ('app', 'a-secret', 7);
             INSERT INTO channels (id, application_id, alias, name, stream_key, key_hash,
                 capabilities, declared, created_us, updated_us)
             VALUES ('local#app#live', 'app', 'live', 'Live', 'a-key',
                 x'8d3a9ea7f0cc8dbe0d1aee6b4dbe1a6a1c1a2a2b1e7b4c1f2a7a2c0000000000', '[\"hd\"]', 1, 8, 9);";
        sqlx::raw_sql(rows).execute(&mut connection).await.unwrap();
        sqlx::Connection::close(connection).await.unwrap();

        let store = open(&folder).await;
        assert!(store.authenticate("app", "a-secret").is_some());
        let live = store.known_channel("app", "live").unwrap();
        assert_eq!((live.key.expose(), live.declared), ("a-key", true));
        assert_eq!(live.capabilities.as_deref(), Some(&["hd".to_owned()][..]));
        assert_eq!(
            (live.created, live.updated, &live.ingest),
            (Wall(8), Wall(9), &None)
        );
        let made = store.create_channel(&creation("new"), 9).await.unwrap();
        store.close().await;
        let store = open(&folder).await;
        assert_eq!(store.known_channels("app", None, 9), [made, live]);
    }
}

/// Names the folder to the writer that is killed.
const VICTIM: &str = "FOREBAY_TEST_STORE_VICTIM";

/// What the test below runs as another process; without its folder there is nothing to do.
#[tokio::test]
async fn a_writer_that_will_be_killed() {
    use std::io::Write;
    let Some(folder) = std::env::var_os(VICTIM) else {
        return;
    };
    let clock = Clock::simulated(Wall(1));
    let store = Store::open(Path::new(&folder), clock).await.unwrap();
    let secret = Secret::new("application-secret");
    store.ensure_application("app", &secret).await.unwrap();
    let shared = creation("shared");
    let shared = store.create_channel(&shared, u64::MAX).await.unwrap();
    for number in 0.. {
        let alias = format!("channel-{number}");
        let made = store.create_channel(&creation(&alias), u64::MAX).await;
        let key = made.unwrap().key.fingerprint();
        let message = store.send_message(&shared, messages::text(&alias)).await;
        let id = message.unwrap().id;
        if number % 3 == 0 {
            store
                .delete_channel(&format!("local#app#{alias}"))
                .await
                .unwrap();
        }
        // Not by the harness, which would keep it to itself.
        writeln!(std::io::stdout(), "done {number} {key} {id}").unwrap();
    }
}

#[tokio::test]
async fn nothing_that_was_answered_is_lost_when_the_process_is_killed() {
    use std::io::{BufRead, BufReader};
    let folder = Folder::new();
    let name = "store::tests::file::a_writer_that_will_be_killed";
    let mut victim = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(VICTIM, &folder.0)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(victim.stdout.take().unwrap()).lines();
    let mut answered = Vec::new();
    while let Some(Ok(line)) = lines.next() {
        let mut words = line.split(' ');
        if words.next() != Some("done") {
            continue;
        }
        let (number, key, id) = (words.next(), words.next(), words.next());
        let Some(id) = id.filter(|id| id.contains('|')) else {
            // Cut off in the middle.
            break;
        };
        let number: usize = number.unwrap().parse().unwrap();
        answered.push((number, key.unwrap().to_owned(), id.to_owned()));
        if answered.len() == 40 {
            // SIGKILL; what was answered before is still in the pipe.
            victim.kill().unwrap();
        }
    }
    victim.wait().unwrap();
    assert!(answered.len() >= 40);
    let store = open(&folder).await;
    let shared = store.known_channel("app", "shared").unwrap();
    let range = MessageRange {
        limit: usize::MAX,
        before: None,
        after: None,
        mime_types: &[],
    };
    let messages = store.messages(&shared, &range).await.unwrap().messages;
    for (number, key, id) in &answered {
        let alias = format!("channel-{number}");
        let known = store.known_channel("app", &alias);
        let known = known.map(|channel| channel.key.fingerprint());
        let wanted = (number % 3 != 0).then(|| key.clone());
        assert_eq!(known, wanted, "{alias}");
        assert_eq!(messages[*number].id, *id);
        assert_eq!(messages[*number].content.message, alias);
    }
}

#[tokio::test]
async fn a_data_folder_keeps_the_id_of_its_gateway() {
    let (one, other) = (Folder::new(), Folder::new());
    let node = open(&one).await.node;
    assert_eq!(open(&one).await.node, node);
    assert_ne!(open(&other).await.node, node);
    // The machine went down in the middle of the first start.
    std::fs::write(one.0.join("node"), &node.as_bytes()[..7]).unwrap();
    let made = open(&one).await.node;
    assert_ne!(made, node);
    assert_eq!(open(&one).await.node, made);
}
