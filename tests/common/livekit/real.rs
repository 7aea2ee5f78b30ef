//! A real livekit-server on loopback, where `FOREBAY_TEST_LIVEKIT` names its binary. No package registry has one;
//! without the variable the tests of it say that they are skipped.

use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::process::{Child, Command};

use super::{KEY, PATIENCE, SECRET, token};

/// Names the binary.
pub const VARIABLE: &str = "FOREBAY_TEST_LIVEKIT";

/// A running server; killed with this.
pub struct RealServer {
    address: SocketAddr,
    child: Child,
}

impl RealServer {
    /// Starts the server that the environment names, if it names one.
    pub async fn start() -> Option<RealServer> {
        let binary = std::env::var_os(VARIABLE).filter(|path| !path.is_empty())?;
        // Free now: the server takes numbers only, and says nowhere which ones it took.
        let signalling = TcpListener::bind("127.0.0.1:0").expect("a port");
        let media = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let address = signalling.local_addr().expect("it has an address");
        let media_port = media.local_addr().expect("it has an address").port();
        drop((signalling, media));
        let child = Command::new(&binary)
            .env("LIVEKIT_CONFIG", config(address.port(), media_port))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("{VARIABLE}={binary:?}: {error}"));
        let mut server = RealServer { address, child };
        let listens = async {
            let mut again = tokio::time::interval(Duration::from_millis(20));
            while TcpStream::connect(address).is_err() {
                again.tick().await;
                let status = server.child.try_wait().expect("it is our child");
                assert!(status.is_none(), "{binary:?} ended: {status:?}");
            }
        };
        let listens = tokio::time::timeout(PATIENCE, listens).await;
        listens.unwrap_or_else(|_| panic!("{binary:?} does not listen"));
        Some(server)
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

    /// Ends it.
    pub async fn stop(mut self) {
        self.child.kill().await.expect("it is our child");
    }
}

/// Its settings, on loopback alone. They are YAML, of which JSON is a part.
fn config(port: u16, media_port: u16) -> String {
    let config = json!({
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
    });
    config.to_string()
}
