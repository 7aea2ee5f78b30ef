//! Redis on loopback, which keeps nothing: a LiveKit server calls its egress and ingress through it.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};

use super::PATIENCE;

/// Ends with this.
pub struct Redis {
    address: SocketAddr,
    _child: Child,
}

impl Redis {
    pub async fn start() -> Redis {
        // Free now: it takes numbers only.
        let port = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = port.local_addr().expect("it has an address");
        drop(port);
        let child = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--port", &address.port().to_string()])
            .args(["--save", "", "--appendonly", "no"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| {
                panic!("redis-server: {error}; docker/install-deps.sh --soak installs it")
            });
        let listens = async {
            let mut again = tokio::time::interval(Duration::from_millis(20));
            while TcpStream::connect(address).is_err() {
                again.tick().await;
            }
        };
        let listens = tokio::time::timeout(PATIENCE, listens).await;
        listens.expect("redis-server listens");
        Redis {
            address,
            _child: child,
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }
}
