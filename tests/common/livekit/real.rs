//! A real livekit-server on loopback, where `FOREBAY_TEST_LIVEKIT` names its binary. No package registry has one;
//! without the variable the tests of it say that they are skipped.

use std::ffi::OsString;
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::process::{Child, Command};
use tokio::time::Instant;

use super::redis::Redis;
use super::{KEY, PATIENCE, SECRET, token};

/// Names the binary.
pub const VARIABLE: &str = "FOREBAY_TEST_LIVEKIT";

/// A running server; killed with this.
pub struct RealServer {
    address: SocketAddr,
    /// Its binary and its settings.
    command: (OsString, String),
    child: Child,
    since: Instant,
    _redis: Option<Redis>,
}

impl RealServer {
    /// Starts the server that the environment names. It tells `webhooks` what happens. If none is named it is said
    /// aloud that the test is skipped: what is skipped looks like what has passed.
    pub async fn start(test: &str, webhooks: Option<&str>) -> Option<RealServer> {
        RealServer::start_with(test, webhooks, false).await
    }

    /// The same with what it needs for its egress and ingress API; there are no workers of these.
    pub async fn with_redis(test: &str) -> Option<RealServer> {
        RealServer::start_with(test, None, true).await
    }

    async fn start_with(test: &str, webhooks: Option<&str>, has_redis: bool) -> Option<RealServer> {
        let named = std::env::var_os(VARIABLE).filter(|path| !path.is_empty());
        let Some(binary) = named else {
            let line = format!("*** SKIPPED {test}: {VARIABLE} names no livekit-server binary ***");
            let _ = writeln!(std::io::stderr(), "\n{line}\n");
            return None;
        };
        // Free now: the server takes numbers only, and says nowhere which ones it took.
        let signalling = TcpListener::bind("127.0.0.1:0").expect("a port");
        let media = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let address = signalling.local_addr().expect("it has an address");
        let media_port = media.local_addr().expect("it has an address").port();
        drop((signalling, media));
        let redis = match has_redis {
            true => Some(Redis::start().await),
            false => None,
        };
        let mut config = config(address.port(), media_port, webhooks);
        if let Some(redis) = &redis {
            config["redis"] = json!({"address": redis.address().to_string()});
        }
        let command = (binary, config.to_string());
        let child = run(&command, address).await;
        Some(RealServer {
            address,
            command,
            child,
            since: Instant::now(),
            _redis: redis,
        })
    }

    /// Ends it as a crash does.
    pub async fn kill(&mut self) {
        self.child.kill().await.expect("it is our child");
    }

    /// Starts it again, where it was.
    pub async fn start_again(&mut self) {
        self.child = run(&self.command, self.address).await;
    }

    /// What `LIVEKIT_URL` would be.
    pub fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// A token that may join, with `more` laid over its video grant.
    pub fn token(&self, identity: &str, room: &str, more: &Value) -> String {
        let now = jiff::Timestamp::now().as_second();
        token::sign(SECRET, &token::joining(KEY, identity, room, now, more))
    }

    /// When it was started first.
    pub fn since(&self) -> Instant {
        self.since
    }

    /// Where it is reached over HTTP.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Runs it until it listens.
async fn run((binary, config): &(OsString, String), address: SocketAddr) -> Child {
    let mut child = Command::new(binary)
        .env("LIVEKIT_CONFIG", config)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .spawn()
        .unwrap_or_else(|error| panic!("{VARIABLE}={}: {error}", binary.display()));
    let listens = async {
        let mut again = tokio::time::interval(Duration::from_millis(20));
        while TcpStream::connect(address).is_err() {
            again.tick().await;
            let status = child.try_wait().expect("it is our child");
            assert!(status.is_none(), "{} ended: {status:?}", binary.display());
        }
    };
    let listens = tokio::time::timeout(PATIENCE, listens).await;
    listens.unwrap_or_else(|_| panic!("{} does not listen", binary.display()));
    child
}

/// Its settings, on loopback alone. They are YAML, of which JSON is a part.
fn config(port: u16, media_port: u16, webhooks: Option<&str>) -> Value {
    json!({
        "port": port,
        "bind_addresses": ["127.0.0.1"],
        "rtc": {
            "udp_port": media_port,
            // Otherwise it listens on every interface.
            "tcp_port": 0,
            "node_ip": "127.0.0.1",
            "use_external_ip": false,
            "enable_loopback_candidate": true,
            "interfaces": {"includes": ["lo"]},
            "ips": {"includes": ["127.0.0.1/32"]},
        },
        "turn": {"enabled": false},
        "keys": {KEY: SECRET},
        "webhook": {"api_key": KEY, "urls": webhooks.as_slice()},
    })
}
