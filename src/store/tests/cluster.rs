//! A PostgreSQL server that lives as long as the test: a new cluster in a folder of its own, as a user
//! that is not root, on a port that nobody else has.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Child;

use super::super::database::{MIGRATING, query, query_of};
use super::bench::{Bench, Folder};
use super::*;

/// The behaviour tests use them as well.
#[path = "../../../tests/common/postgres/programs.rs"]
mod programs;

/// How often a port is looked for: somebody may take it before the server does.
const ATTEMPTS: usize = 5;

pub(super) struct Cluster {
    server: Child,
    /// Declared after the server: it is removed when nobody writes to it.
    folder: Folder,
    port: u16,
}

impl Cluster {
    /// Makes a cluster and starts it. Connections over TCP may use TLS.
    pub(super) fn start() -> Cluster {
        let folder = Folder::new();
        std::fs::create_dir(&folder.0).unwrap();
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        std::fs::write(folder.0.join("cert.pem"), made.cert.pem()).unwrap();
        let key = folder.0.join("key.pem");
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
        programs::hand_over(&[&folder.0, &key]);
        programs::make_cluster(&folder.0);
        let mut log = String::new();
        for _ in 0..ATTEMPTS {
            let port = free_port();
            match serve(&folder.0, port) {
                Ok(server) => {
                    return Cluster {
                        server,
                        folder,
                        port,
                    };
                }
                Err(text) => log = text,
            }
        }
        panic!("PostgreSQL does not start: {log}");
    }

    /// A new database, of the rights that a gateway needs.
    pub(super) async fn database(&self) -> String {
        let name = format!("forebay_{}", Uuid::new_v4().simple());
        let all = self.url("postgres", "");
        let options: sqlx::postgres::PgConnectOptions = all.expose().parse().unwrap();
        let mut connection = sqlx::ConnectOptions::connect(&options).await.unwrap();
        let create = sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"));
        sqlx::raw_sql(create)
            .execute(&mut connection)
            .await
            .unwrap();
        sqlx::Connection::close(connection).await.unwrap();
        name
    }

    pub(super) async fn bench(&self) -> Bench {
        Bench::postgres(self.url(&self.database().await, ""))
    }

    /// Address of a database, over the server's socket.
    pub(super) fn url(&self, database: &str, parameters: &str) -> Secret {
        let (folder, port) = (self.folder.0.display(), self.port);
        Secret::new(format!(
            "postgres://forebay@localhost:{port}/{database}?host={folder}{parameters}"
        ))
    }

    /// The same over TCP.
    pub(super) fn tcp_url(&self, database: &str, parameters: &str) -> Secret {
        let port = self.port;
        Secret::new(format!(
            "postgres://forebay:not-asked-for@localhost:{port}/{database}?{parameters}"
        ))
    }

    /// The certificate of its TLS, PEM.
    pub(super) fn certificate(&self) -> PathBuf {
        self.folder.0.join("cert.pem")
    }

    /// Stops the server with all of its connections.
    pub(super) fn stop(&mut self) {
        programs::quit(&mut self.server);
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A port that nobody listens on now.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// Starts the server; what it said when it ends at once.
fn serve(folder: &Path, port: u16) -> Result<Child, String> {
    let file = |name: &str| folder.join(name).display().to_string();
    let settings = [
        "listen_addresses=127.0.0.1".to_owned(),
        "ssl=on".to_owned(),
        format!("ssl_cert_file={}", file("cert.pem")),
        format!("ssl_key_file={}", file("key.pem")),
    ];
    programs::serve(folder, port, &settings)
}

#[tokio::test]
async fn postgresql_is_reached_over_tls_as_the_url_says() {
    let cluster = Cluster::start();
    let database = cluster.database().await;
    let clock = Clock::simulated(Wall(1));
    let root = cluster.certificate();
    let verified = format!("sslmode=verify-full&sslrootcert={}", root.display());
    for (parameters, is_encrypted) in [
        ("sslmode=disable", false),
        ("sslmode=require", true),
        (verified.as_str(), true),
    ] {
        let url = cluster.tcp_url(&database, parameters);
        let store = Store::connect(&url, &cluster.folder.0, clock.clone())
            .await
            .unwrap();
        let select = query("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()");
        let row = store.database.fetch_optional(select).await.unwrap();
        assert_eq!(row.unwrap().get::<bool>("ssl").unwrap(), is_encrypted);
        store.close().await;
    }
    // A certificate that nobody vouches for.
    let url = cluster.tcp_url(&database, "sslmode=verify-full");
    let error = Store::connect(&url, &cluster.folder.0, clock)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("certificate"), "{error}");
}

#[tokio::test]
async fn no_error_about_the_database_shows_its_password() {
    let mut cluster = Cluster::start();
    let clock = Clock::simulated(Wall(1));
    let there = cluster.tcp_url("nowhere", "");
    let mut urls = vec![
        there.expose().to_owned(),
        cluster
            .tcp_url("postgres", "pasword=not-asked-for")
            .expose()
            .to_owned(),
        cluster
            .tcp_url("postgres", "sslmode=not-asked-for-this")
            .expose()
            .to_owned(),
        "postgres://u:not-asked-for@[::1/x".to_owned(),
        "postgres://u:not-asked-for@localhost:99999/x".to_owned(),
        "postgres://u:not-asked-for/x@/y".to_owned(),
        "not-asked-for".to_owned(),
    ];
    for stopped in [false, true] {
        for url in &urls {
            let url = Secret::new(url.as_str());
            let error = Store::connect(&url, &cluster.folder.0, clock.clone())
                .await
                .unwrap_err();
            for text in [error.to_string(), format!("{error:?}")] {
                let hides = !text.contains("not-asked-for") || text.contains("not-asked-for-this");
                assert!(hides, "{text}");
            }
        }
        if !stopped {
            cluster.stop();
            urls.truncate(1);
        }
    }
}

#[tokio::test]
async fn without_postgresql_calls_end_and_go_on_when_it_is_back() {
    let mut cluster = Cluster::start();
    let bench = cluster.bench().await;
    let store = bench.store().await;
    let channel = store.create_channel(&creation("a"), 9).await.unwrap();
    cluster.stop();
    assert!(store.ping().await.is_err());
    assert!(store.create_channel(&creation("b"), 9).await.is_err());
    assert!(store.refresh().await.is_err());
    assert_eq!(store.known_channel("app", "a").as_ref(), Some(&channel));
    assert_eq!(store.known_channel("app", "b"), None);
    // What was answered is there when the server is back, and nobody has to start anew.
    cluster.server = serve(&cluster.folder.0, cluster.port).unwrap();
    store.create_channel(&creation("b"), 9).await.unwrap();
    let stored = store.channel(&channel.id).await.unwrap();
    assert_eq!(stored.as_ref(), Some(&*channel));
    assert!(store.known_channel("app", "b").is_some());
}

#[tokio::test]
async fn a_server_says_who_it_is_and_what_its_user_may() {
    let cluster = Cluster::start();
    let database = cluster.database().await;
    let url = cluster.url(&database, "");
    let server = probe(&url).await.unwrap();
    assert!(server.is_new_enough && server.may_create, "{server:?}");
    assert_eq!(server.user, "forebay");
    // It has changed nothing.
    let store = Store::connect(&url, &cluster.folder.0, Clock::simulated(Wall(1)))
        .await
        .unwrap();
    let guest = query("CREATE ROLE guest LOGIN");
    store.database.execute(guest).await.unwrap();
    let url = Secret::new(url.expose().replace("//forebay@", "//guest@"));
    let server = probe(&url).await.unwrap();
    assert_eq!((server.user.as_str(), server.may_create), ("guest", false));
}

#[tokio::test]
async fn tables_are_the_same_in_both_databases() {
    /// Table and column, and whether it is always there; index, its columns and whether it is unique.
    type Shape = (Vec<(String, String, bool)>, Vec<(String, String, bool)>);
    async fn shape(store: &Store, columns: &str, indexes: &str) -> Shape {
        let rows = async |select: &str| {
            let rows = store.database.fetch_all(query_of(select.to_owned())).await;
            let mut rows: Vec<(String, String, bool)> = rows
                .unwrap()
                .iter()
                .map(|row| {
                    let (a, b) = (row.get("a").unwrap(), row.get("b").unwrap());
                    (a, b, row.get("c").unwrap())
                })
                .collect();
            rows.sort();
            rows
        };
        (rows(columns).await, rows(indexes).await)
    }
    let cluster = Cluster::start();
    let postgres = cluster.bench().await.store().await;
    let sqlite = Bench::sqlite();
    let sqlite = sqlite.store().await;
    let ours = shape(
        &sqlite,
        "SELECT tables.name AS a, columns.name AS b, columns.\"notnull\" = 1 AS c
         FROM sqlite_schema AS tables, pragma_table_info(tables.name) AS columns
         WHERE tables.type = 'table' AND tables.name NOT LIKE '\\_sqlx%' ESCAPE '\\'
             AND tables.name NOT LIKE 'sqlite%'",
        // By what they say: those of constraints have names of their own in each database.
        "SELECT tables.name AS a, (SELECT group_concat(columns.name) FROM
                 (SELECT name FROM pragma_index_info(indexes.name) ORDER BY seqno) AS columns)
             || COALESCE(' where' || substr(schema.sql, instr(schema.sql, ' WHERE ') + 6), '') AS b,
             indexes.\"unique\" = 1 AS c
         FROM sqlite_schema AS tables, pragma_index_list(tables.name) AS indexes
         LEFT JOIN sqlite_schema AS schema ON schema.name = indexes.name AND indexes.partial = 1
         WHERE tables.type = 'table' AND tables.name NOT LIKE '\\_sqlx%' ESCAPE '\\'",
    );
    let ours = ours.await;
    let theirs = shape(
        &postgres,
        "SELECT CAST(table_name AS TEXT) AS a, CAST(column_name AS TEXT) AS b,
             is_nullable = 'NO' AS c
         FROM information_schema.columns
         WHERE table_schema = 'public' AND table_name NOT LIKE '\\_sqlx%'",
        "SELECT CAST(tables.relname AS TEXT) AS a,
             (SELECT string_agg(attname, ',' ORDER BY place) FROM
                 unnest(CAST(indkey AS SMALLINT[])) WITH ORDINALITY AS keys (number, place)
                 JOIN pg_attribute ON attrelid = indrelid AND attnum = number)
             || COALESCE(' where ' || trim(both '()' from pg_get_expr(indpred, indrelid)), '') AS b,
             indisunique AS c
         FROM pg_index JOIN pg_class AS tables ON tables.oid = indrelid
         JOIN pg_namespace ON pg_namespace.oid = relnamespace
         WHERE nspname = 'public' AND relname NOT LIKE '\\_sqlx%'",
    );
    let theirs = theirs.await;
    assert!(ours.0.len() > 40 && ours.1.len() > 10, "{ours:?}");
    assert_eq!(ours, theirs);
}

#[tokio::test]
async fn migrations_take_as_long_as_they_take() {
    use sqlx::migrate::Migrate;
    let cluster = Cluster::start();
    let database = cluster.database().await;
    // As another gateway does that rewrites large tables.
    let options: sqlx::postgres::PgConnectOptions =
        cluster.url(&database, "").expose().parse().unwrap();
    let mut other = sqlx::ConnectOptions::connect(&options).await.unwrap();
    other.lock().await.unwrap();
    let (url, folder) = (cluster.url(&database, ""), Folder::new());
    let clock = Clock::simulated(Wall(1));
    let mut opening = Box::pin(Store::connect(&url, &folder.0, clock));
    let waiting = "SELECT COUNT(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";
    loop {
        tokio::select! {
            _ = &mut opening => panic!("it did not wait"),
            waiting = sqlx::query_scalar::<_, i64>(waiting).fetch_one(&mut other) => {
                if waiting.unwrap() == 1 {
                    break;
                }
            }
        }
    }
    tokio::time::pause();
    for _ in 0..3 {
        tokio::time::advance(MIGRATING + Duration::from_secs(1)).await;
        let polled = std::future::poll_fn(|context| {
            std::task::Poll::Ready(opening.as_mut().poll(context).is_pending())
        });
        assert!(polled.await, "it goes on");
    }
    tokio::time::resume();
    other.unlock().await.unwrap();
    opening.await.unwrap().ping().await.unwrap();
}
