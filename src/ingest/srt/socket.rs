//! Sockets with their options. In: what a connection is to be like. Out: a socket that receives.

use std::ffi::c_int;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::ffi::{Error, Handle, Id, Library, MAX_PAYLOAD_BYTES, Received};
use super::port;
use crate::base::secret::Secret;
use crate::hub::Link;

// srt.h of 1.5.1: SRT_SOCKOPT, SRT_KM_STATE.
const SRTO_SNDSYN: c_int = 1;
const SRTO_RCVSYN: c_int = 2;
const SRTO_FC: c_int = 4;
const SRTO_RCVBUF: c_int = 6;
const SRTO_UDP_RCVBUF: c_int = 9;
const SRTO_RCVDATA: c_int = 20;
const SRTO_PASSPHRASE: c_int = 26;
const SRTO_PBKEYLEN: c_int = 27;
const SRTO_CONNTIMEO: c_int = 36;
const SRTO_RCVKMSTATE: c_int = 41;
const SRTO_RCVLATENCY: c_int = 43;
const SRTO_PEERLATENCY: c_int = 44;
const SRTO_STREAMID: c_int = 46;
const SRTO_PAYLOADSIZE: c_int = 49;
const SRTO_PEERIDLETIMEO: c_int = 55;
const SRT_KM_S_SECURED: c_int = 2;

/// Packets that a receiver holds at most: 23 MB, which is 8 s at 20 Mb/s. libsrt takes the memory when
/// packets come, apart from 16 bytes for each.
const BUFFER_PACKETS: c_int = 16 * 1024;
/// MTU without IP and UDP headers, bytes: how libsrt counts a packet of its receive buffer.
const PACKET_BYTES: c_int = 1500 - 28;
/// Receive buffer asked of the system for a port, bytes: a tenth of a second of 100 callers at 5 Mb/s.
/// The system gives `net.core.rmem_max` at most.
const UDP_BUFFER_BYTES: c_int = 8 * 1024 * 1024;
/// A peer of which nothing arrives for this long is gone; SRT sends something each second. The hub takes
/// it off the air long before.
pub(super) const PEER_IDLE: Duration = Duration::from_secs(5);

/// What a connection is to be like.
#[derive(Clone, Debug)]
pub(super) struct Options {
    /// Time to get lost packets again. The larger value of the two sides counts.
    pub(super) latency: Duration,
    /// How long [`Socket::connect`] tries.
    pub(super) connect_timeout: Duration,
    /// What both sides encrypt with; `None`: in the clear.
    pub(super) passphrase: Option<Secret>,
    /// Length of the key in bytes: 16, 24, 32, or 0 for what the peer takes.
    pub(super) key_bytes: c_int,
    /// What a caller asks for, at most 512 bytes.
    pub(super) stream_id: Option<String>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            latency: Duration::from_millis(120),
            connect_timeout: Duration::from_secs(3),
            passphrase: None,
            key_bytes: 0,
            stream_id: None,
        }
    }
}

/// A connection or one that is being made. Closed when it is dropped.
#[derive(Debug)]
pub(super) struct Socket(Handle);

impl Socket {
    /// Begins a connection. [`Socket::is_connected`] tells when it stands, [`Socket::is_alive`] when it
    /// never will, then [`Socket::reject_reason`] why.
    pub(super) fn connect(
        library: &Library,
        peer: SocketAddr,
        options: &Options,
    ) -> io::Result<Socket> {
        let handle = handle(library, options).map_err(|error| error.io())?;
        let port = port::open_for(peer)?;
        let connected = handle.acquire(port).and_then(|()| handle.connect(peer));
        connected.map_err(|error| error.io())?;
        Ok(Socket(handle))
    }

    /// A caller that a listener accepted.
    pub(super) fn accepted(handle: Handle) -> Socket {
        Socket(handle)
    }

    pub(super) fn id(&self) -> Id {
        self.0.id()
    }

    /// Whether the connection stands.
    pub(super) fn is_connected(&self) -> bool {
        self.id().is_connected()
    }

    /// Whether the connection stands or is being made.
    pub(super) fn is_alive(&self) -> bool {
        self.id().is_alive()
    }

    /// Why a connection did not come about: libsrt's number or the peer's, with the text.
    pub(super) fn reject_reason(&self) -> (i32, String) {
        self.id().reject_reason()
    }

    /// Takes the next packet that is due, without waiting.
    pub(super) fn receive(&self, buffer: &mut [u8; MAX_PAYLOAD_BYTES]) -> Received {
        self.0.receive(buffer)
    }

    /// Sends one packet.
    #[cfg(test)]
    pub(super) fn send(&self, payload: &[u8]) -> Result<(), Error> {
        self.0.send(payload)
    }

    /// Whether packets wait in the receiver, due or not.
    pub(super) fn has_waiting(&self) -> bool {
        self.id()
            .get(SRTO_RCVDATA)
            .is_some_and(|packets| packets > 0)
    }

    /// Latency that both sides agreed on.
    pub(super) fn latency(&self) -> Duration {
        let latency_ms = self.id().get(SRTO_RCVLATENCY).unwrap_or(0);
        Duration::from_millis(u64::from(latency_ms.unsigned_abs()))
    }

    /// What libsrt measures of the line; `None` when the connection is over.
    pub(super) fn link(&self) -> Option<Link> {
        let statistics = self.0.statistics()?;
        let count = |count: c_int| u64::from(count.max(0).unsigned_abs());
        Some(Link {
            rtt: Duration::from_secs_f64((statistics.ms_rtt / 1000.0).clamp(0.0, 3600.0)),
            latency: Duration::from_millis(count(statistics.ms_rcv_tsbpd_delay)),
            buffer: Duration::from_millis(count(statistics.ms_rcv_buf)),
            packets: statistics.pkt_recv_total.unsigned_abs(),
            lost_packets: count(statistics.pkt_rcv_loss_total),
            retransmitted_packets: count(statistics.pkt_rcv_retrans),
            dropped_packets: count(statistics.pkt_rcv_drop_total),
            undecrypted_packets: count(statistics.pkt_rcv_undecrypt_total),
            encrypted: self.id().get(SRTO_RCVKMSTATE) == Some(SRT_KM_S_SECURED),
        })
    }
}

/// Takes a port to listen on. `ipv6_only`: an IPv6 address without a host part takes no IPv4 callers.
pub(super) fn bind(
    library: &Library,
    address: SocketAddr,
    ipv6_only: bool,
    options: &Options,
) -> io::Result<Handle> {
    let port = port::open(address, ipv6_only)?;
    let bound = handle(library, options).and_then(|handle| {
        handle.acquire(port)?;
        Ok(handle)
    });
    bound.map_err(|error| error.io())
}

/// Demands a passphrase of a caller that is not let in yet.
pub(super) fn require(caller: Id, passphrase: &Secret) -> Result<(), Error> {
    caller.set_bytes(SRTO_PASSPHRASE, passphrase.expose().as_bytes())
}

/// What is not set here is libsrt's default for live streams: late packets are dropped, and a peer that
/// does not encrypt as we do is refused.
fn handle(library: &Library, options: &Options) -> Result<Handle, Error> {
    let handle = Handle::new(library)?;
    let id = handle.id();
    for (option, value) in [
        (SRTO_RCVSYN, 0),
        (SRTO_SNDSYN, 0),
        // The flow window first: the receive buffer cannot be larger.
        (SRTO_FC, BUFFER_PACKETS),
        (SRTO_RCVBUF, BUFFER_PACKETS * PACKET_BYTES),
        (SRTO_UDP_RCVBUF, UDP_BUFFER_BYTES),
        (SRTO_PAYLOADSIZE, MAX_PAYLOAD_BYTES as c_int),
        (SRTO_RCVLATENCY, millis(options.latency)),
        (SRTO_PEERLATENCY, millis(options.latency)),
        (SRTO_PEERIDLETIMEO, millis(PEER_IDLE)),
        (SRTO_CONNTIMEO, millis(options.connect_timeout)),
        (SRTO_PBKEYLEN, options.key_bytes),
    ] {
        id.set(option, value)?;
    }
    if let Some(passphrase) = &options.passphrase {
        id.set_bytes(SRTO_PASSPHRASE, passphrase.expose().as_bytes())?;
    }
    if let Some(stream_id) = &options.stream_id {
        id.set_bytes(SRTO_STREAMID, stream_id.as_bytes())?;
    }
    Ok(handle)
}

fn millis(duration: Duration) -> c_int {
    c_int::try_from(duration.as_millis()).unwrap_or(c_int::MAX)
}
