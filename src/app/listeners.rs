//! Sockets to listen on. In: addresses of the settings. Out: bound listeners, and where they are.

use std::net::SocketAddr;

use anyhow::Context;
use tokio::net::TcpListener;
use tracing::info;

use crate::config::Config;
use crate::ingest::srt;

/// Listeners by setting, in its order.
pub(super) struct Listeners {
    pub(super) http: Vec<TcpListener>,
    pub(super) control: Vec<TcpListener>,
    pub(super) rtmp: Vec<TcpListener>,
    pub(super) rtmps: Vec<TcpListener>,
    pub(super) srt: srt::Listeners,
}

/// What the listeners are bound to: with port 0 in the settings, the system chose.
pub(super) struct Addresses {
    pub(super) http: Vec<SocketAddr>,
    pub(super) control: Vec<SocketAddr>,
    pub(super) rtmp: Vec<SocketAddr>,
    pub(super) rtmps: Vec<SocketAddr>,
    pub(super) srt: Vec<SocketAddr>,
}

impl Addresses {
    /// One line each.
    pub(super) fn log(&self) {
        for (setting, addresses) in [
            ("FOREBAY_HTTP", &self.http),
            ("FOREBAY_CONTROL", &self.control),
            ("FOREBAY_RTMP", &self.rtmp),
            ("FOREBAY_RTMPS", &self.rtmps),
            ("FOREBAY_SRT", &self.srt),
        ] {
            for address in addresses {
                info!(setting, %address, "listening");
            }
        }
    }
}

impl Listeners {
    /// Binds every address of the settings.
    pub(super) async fn bind(config: &Config, tls: bool) -> anyhow::Result<Listeners> {
        let listen = &config.listen;
        if !listen.rtmps.is_empty() && !tls {
            anyhow::bail!("FOREBAY_RTMPS needs FOREBAY_TLS_CERT and FOREBAY_TLS_KEY");
        }
        Ok(Listeners {
            http: bind("FOREBAY_HTTP", &listen.http).await?,
            control: bind("FOREBAY_CONTROL", &listen.control).await?,
            rtmp: bind("FOREBAY_RTMP", &listen.rtmp).await?,
            rtmps: bind("FOREBAY_RTMPS", &listen.rtmps).await?,
            srt: srt::Listeners::bind(&listen.srt, listen.srt_latency).context("FOREBAY_SRT")?,
        })
    }

    /// Where they listen.
    pub(super) fn addresses(&self) -> std::io::Result<Addresses> {
        let of = |listeners: &[TcpListener]| {
            listeners
                .iter()
                .map(TcpListener::local_addr)
                .collect::<std::io::Result<Vec<_>>>()
        };
        Ok(Addresses {
            http: of(&self.http)?,
            control: of(&self.control)?,
            rtmp: of(&self.rtmp)?,
            rtmps: of(&self.rtmps)?,
            srt: self.srt.addresses().to_vec(),
        })
    }
}

async fn bind(setting: &str, addresses: &[SocketAddr]) -> anyhow::Result<Vec<TcpListener>> {
    let mut listeners = Vec::new();
    for address in addresses {
        let bound = TcpListener::bind(address).await;
        listeners.push(bound.with_context(|| format!("{setting}: cannot listen on {address}"))?);
    }
    Ok(listeners)
}

/// An address a person on this machine can use: the unspecified one becomes loopback.
pub(super) fn reachable(address: SocketAddr) -> SocketAddr {
    let mut address = address;
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}
