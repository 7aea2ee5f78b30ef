//! UDP ports, opened here and not by libsrt, so that a filter stands before it. In: an address. Out: a
//! socket for libsrt to take over, which never hears a handshake with a window beyond reason.
//!
//! A peer says in its handshake how many packets it has room for. For a peer that is let in, libsrt makes a
//! list of twice as many losses, of 12 bytes each, and writes all of it on the thread that receives for
//! everybody: a single packet may cost gigabytes and seconds. Nothing else of the library tells of the
//! window before that.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;

use socket2::{Domain, Protocol, SockFilter, Socket, Type};

/// Largest window of a peer, packets: 3 MB of libsrt's memory. Libraries say 8192 or 25600 by default;
/// ours, for 8 s at 20 Mb/s, 16384.
const MAX_WINDOW_PACKETS: u32 = 128 * 1024;
/// What the filter sees before SRT's header: a UDP header.
const UDP_BYTES: u32 = 8;
/// First half of the first word of a handshake: a control packet of type 0 (SRT protocol, "Control
/// Packets").
const HANDSHAKE: u32 = 0x8000;
/// Where "Maximum Flow Window Size" is, behind 16 bytes of header (SRT protocol, "Handshake").
const WINDOW_AT: u32 = 32;

// linux/bpf_common.h: what a filter's instructions are made of.
const LOAD_HALF_AT: u16 = 0x28;
const LOAD_WORD_AT: u16 = 0x20;
const JUMP_IF_EQUAL: u16 = 0x15;
const JUMP_IF_GREATER: u16 = 0x25;
const RETURN: u16 = 0x06;

/// Lets by what is no handshake, or one with a window that is not too large. Loading from behind the end
/// of a packet drops it.
const FILTER: [SockFilter; 6] = [
    SockFilter::new(LOAD_HALF_AT, 0, 0, UDP_BYTES),
    SockFilter::new(JUMP_IF_EQUAL, 0, 2, HANDSHAKE),
    SockFilter::new(LOAD_WORD_AT, 0, 0, UDP_BYTES + WINDOW_AT),
    SockFilter::new(JUMP_IF_GREATER, 1, 0, MAX_WINDOW_PACKETS),
    SockFilter::new(RETURN, 0, 0, u32::MAX),
    SockFilter::new(RETURN, 0, 0, 0),
];

/// Takes a port. `ipv6_only`: an IPv6 address without a host part hears no IPv4.
pub(super) fn open(address: SocketAddr, ipv6_only: bool) -> io::Result<OwnedFd> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(ipv6_only)?;
    }
    // Before the port: nothing gets by in between.
    socket.attach_filter(&FILTER)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// Takes a port of the system's choice, to call this peer from.
pub(super) fn open_for(peer: SocketAddr) -> io::Result<OwnedFd> {
    let any = match peer {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    };
    open(any, false)
}
