//! A PostgreSQL server that lives as long as the test: a new cluster in a folder of its own, as a user
//! that is not root, on a port that nobody else has.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Child;

use super::super::database::query;
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
        let store = Store::connect(&url, clock.clone()).await.unwrap();
        let select = query("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()");
        let row = store.database.fetch_optional(select).await.unwrap();
        assert_eq!(row.unwrap().get::<bool>("ssl").unwrap(), is_encrypted);
        store.close().await;
    }
    // A certificate that nobody vouches for.
    let url = cluster.tcp_url(&database, "sslmode=verify-full");
    let error = Store::connect(&url, clock).await.unwrap_err();
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
            let error = Store::connect(&url, clock.clone()).await.unwrap_err();
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
    let store = Store::connect(&url, Clock::simulated(Wall(1)))
        .await
        .unwrap();
    let guest = query("CREATE ROLE guest LOGIN");
    store.database.execute(guest).await.unwrap();
    let url = Secret::new(url.expose().replace("//forebay@", "//guest@"));
    let server = probe(&url).await.unwrap();
    assert_eq!((server.user.as_str(), server.may_create), ("guest", false));
}
