//! UDP ports, opened here and not by libsrt, so that a filter stands before it. In: an address. Out: a
//! socket for libsrt to take over, which never hears what libsrt 1.5.1 trusts and should not.
//!
//! Each of these is one packet of a peer that is let in, costs everybody of the port, and nothing else of
//! the library tells of it before:
//!
//! - A window: libsrt makes a list of twice as many losses, of 12 bytes each, and writes all of it on the
//!   thread that receives for everybody: gigabytes and seconds.
//! - A packet size: below a hundred bytes, its answer is written behind the end of its buffer.
//! - Forward error correction: it takes memory for as many columns as the peer says. No encoder needs it
//!   here: what is lost is sent again.
//! - Key material: it is copied to a place for the longest that is allowed, however long it is.
//! - A range of packets that will not come: libsrt counts from its first to its last, and for ever if that
//!   is the largest number.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;

use socket2::{Domain, Protocol, SockFilter, Socket, Type};

/// Largest window of a peer, packets: 3 MB of libsrt's memory. Libraries say 8192 or 25600 by default;
/// ours, for 8 s at 20 Mb/s, 16384.
const MAX_WINDOW_PACKETS: u32 = 128 * 1024;
/// Packet sizes of a peer, bytes with IP and UDP headers: what every host of the internet takes (RFC 1122
/// §3.3.2), and what an IP packet can be. Libraries say 1500 by default.
const PACKET_BYTES: [u32; 2] = [576, 65_535];
/// Longest key material, bytes: two keys of 256 bits (SRT protocol, "Key Material").
const MAX_KEY_BYTES: u32 = 104;
/// Longest range of packets that will not come, packets: what a receiver holds, see `socket`.
const MAX_DROPPED_PACKETS: u32 = 16 * 1024;
/// Largest number of a packet but one; the largest one is never the last of a range.
const MAX_SEQUENCE: u32 = 0x7fff_fffe;
/// Extensions of a handshake. There are five kinds that a caller sends once each.
const MAX_EXTENSIONS: usize = 8;

/// What the filter sees before SRT's header: a UDP header.
const UDP_BYTES: u32 = 8;
/// SRT's header.
const HEADER_BYTES: u32 = 16;
/// Behind both.
const BODY: u32 = UDP_BYTES + HEADER_BYTES;
// First halves of the first words of control packets (SRT protocol, "Control Packets"): a handshake, a
// message drop request, and a user-defined one, which carries key material.
const HANDSHAKE: u32 = 0x8000;
const DROP_REQUEST: u32 = 0x8007;
const USER_DEFINED: u32 = 0xffff;
// SRT protocol, "Handshake": where size and window of a peer are, and the extensions begin; and their
// types for key material, asked and answered, and for a packet filter.
const SIZE_AT: u32 = BODY + 12;
const WINDOW_AT: u32 = BODY + 16;
const EXTENSIONS_AT: u32 = BODY + 48;
const KEY_REQUEST: u32 = 3;
const KEY_RESPONSE: u32 = 4;
const PACKET_FILTER: u32 = 7;

// linux/bpf_common.h: what a filter's instructions are made of. A is what is loaded, X an index.
const LOAD_HALF_AT: u16 = 0x28;
const LOAD_WORD_AT: u16 = 0x20;
const LOAD_HALF_AT_X: u16 = 0x48;
const LOAD_LENGTH: u16 = 0x80;
const SET_X: u16 = 0x01;
const MOVE_TO_X: u16 = 0x07;
const ADD: u16 = 0x04;
const ADD_X: u16 = 0x0c;
const SUBTRACT_X: u16 = 0x1c;
const SHIFT_LEFT: u16 = 0x64;
const IF_EQUAL: u16 = 0x15;
const IF_ABOVE: u16 = 0x25;
const IF_ABOVE_X: u16 = 0x2d;
const IF_AT_LEAST: u16 = 0x35;
const RETURN: u16 = 0x06;

/// Where a filter goes on.
#[derive(Clone, Copy)]
enum Go {
    /// So many instructions further than the next one.
    Over(usize),
    /// To the end, and lets the packet by.
    Pass,
    /// To the end, and drops it.
    Drop,
}

/// The next instruction.
const ON: Go = Go::Over(0);

/// An instruction, and where it goes on if what it asks is so, and if not.
type Step = (u16, u32, Go, Go);

/// An instruction that asks nothing.
const fn step(code: u16, operand: u32) -> Step {
    (code, operand, ON, ON)
}

/// Lets by what is none of the above. Loading from behind the end of a packet drops it.
fn filter() -> Vec<SockFilter> {
    let mut steps = Vec::new();
    for (kind, checks) in [
        (HANDSHAKE, handshake()),
        (DROP_REQUEST, drop_request()),
        (USER_DEFINED, user_defined()),
    ] {
        steps.push(step(LOAD_HALF_AT, UDP_BYTES));
        steps.push((IF_EQUAL, kind, ON, Go::Over(checks.len())));
        steps.extend(checks);
    }
    let pass = steps.len();
    steps.push(step(RETURN, u32::MAX));
    steps.push(step(RETURN, 0));
    let steps = steps.into_iter().enumerate();
    let built = steps.map(|(at, (code, operand, yes, no))| {
        let offset = |go| {
            let over = match go {
                Go::Over(count) => count,
                Go::Pass => pass - at - 1,
                Go::Drop => pass - at,
            };
            u8::try_from(over).expect("the filter has fewer than 256 steps")
        };
        let [yes, no] = match code {
            IF_EQUAL | IF_ABOVE | IF_ABOVE_X | IF_AT_LEAST => [offset(yes), offset(no)],
            _ => [0, 0],
        };
        SockFilter::new(code, yes, no, operand)
    });
    built.collect()
}

/// Window, size, and the extensions one after another: type and length in words, a half each.
fn handshake() -> Vec<Step> {
    let [least, most] = PACKET_BYTES;
    let mut steps = vec![
        step(LOAD_WORD_AT, WINDOW_AT),
        (IF_ABOVE, MAX_WINDOW_PACKETS, Go::Drop, ON),
        step(LOAD_WORD_AT, SIZE_AT),
        (IF_AT_LEAST, least, ON, Go::Drop),
        (IF_ABOVE, most, Go::Drop, ON),
        step(SET_X, EXTENSIONS_AT),
    ];
    for _ in 0..MAX_EXTENSIONS {
        steps.extend([
            step(LOAD_LENGTH, 0),
            (IF_ABOVE_X, 0, ON, Go::Pass),
            step(LOAD_HALF_AT_X, 0),
            (IF_EQUAL, PACKET_FILTER, Go::Drop, ON),
            (IF_EQUAL, KEY_REQUEST, Go::Over(1), ON),
            (IF_EQUAL, KEY_RESPONSE, ON, Go::Over(2)),
            step(LOAD_HALF_AT_X, 2),
            (IF_ABOVE, MAX_KEY_BYTES / 4, Go::Drop, ON),
            step(LOAD_HALF_AT_X, 2),
            step(SHIFT_LEFT, 2),
            step(ADD, 4),
            step(ADD_X, 0),
            step(MOVE_TO_X, 0),
        ]);
    }
    steps.extend([step(LOAD_LENGTH, 0), (IF_ABOVE_X, 0, Go::Drop, Go::Pass)]);
    steps
}

/// First and last packet. A range over the wrap of numbers, one in weeks, is dropped with the others: its
/// packets are missed in vain for as long as the latency.
fn drop_request() -> Vec<Step> {
    vec![
        step(LOAD_WORD_AT, BODY),
        step(MOVE_TO_X, 0),
        step(LOAD_WORD_AT, BODY + 4),
        (IF_ABOVE, MAX_SEQUENCE, Go::Drop, ON),
        step(SUBTRACT_X, 0),
        (IF_ABOVE, MAX_DROPPED_PACKETS, Go::Drop, Go::Pass),
    ]
}

/// Nothing else that comes so is longer than key material.
fn user_defined() -> Vec<Step> {
    vec![
        step(LOAD_LENGTH, 0),
        (IF_ABOVE, BODY + MAX_KEY_BYTES, Go::Drop, Go::Pass),
    ]
}

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
    socket.attach_filter(&filter())?;
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

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    /// A caller's handshake with these extensions: type, and bytes.
    fn handshake(window: u32, size: u32, extensions: &[(u16, usize)]) -> Vec<u8> {
        let words = [0x8000_0000, 0, 0, 0, 5, 5, 7, size, window, u32::MAX, 1, 2];
        let mut packet: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
        packet.extend([127, 0, 0, 1].iter().chain(&[0; 12]));
        for (kind, bytes) in extensions {
            packet.extend(kind.to_be_bytes());
            packet.extend(u16::try_from(bytes / 4).unwrap().to_be_bytes());
            packet.extend(vec![9; *bytes]);
        }
        packet
    }

    /// Another control packet.
    fn control(kind: u32, body: &[u32]) -> Vec<u8> {
        let words = [0x8000_0000 | kind << 16, 0, 0, 1];
        let words = words.iter().chain(body);
        words.flat_map(|word| word.to_be_bytes()).collect()
    }

    #[test]
    fn what_libsrt_must_not_hear_does_not_come_through_and_all_else_does() {
        const USUAL: (u32, u32) = (8192, 1500);
        let with = |extensions: &[(u16, usize)]| handshake(USUAL.0, USUAL.1, extensions);
        let bad = [
            handshake(MAX_WINDOW_PACKETS + 1, USUAL.1, &[]),
            handshake(u32::MAX, USUAL.1, &[]),
            handshake(USUAL.0, 575, &[]),
            handshake(USUAL.0, 60, &[]),
            handshake(USUAL.0, 0, &[]),
            handshake(USUAL.0, u32::MAX, &[]),
            handshake(USUAL.0, 1 << 31, &[]),
            with(&[(7, 20)]),
            with(&[(1, 12), (5, 12), (7, 20)]),
            with(&[(1, 12), (3, 108)]),
            with(&[(4, 1200)]),
            with(&[(2, 0); 9]),
            with(&[(1, 12)])[..66].to_vec(),
            control(0x7fff, &[3; 27]),
            control(0x7fff, &[3; 300]),
            control(7, &[0, 0x7fff_ffff]),
            control(7, &[0, 0xffff_ffff]),
            control(7, &[0x8000_0000, 5]),
            control(7, &[10, 9]),
            control(7, &[10, 10 + MAX_DROPPED_PACKETS + 1]),
            control(7, &[10]),
        ];
        let good = [
            handshake(MAX_WINDOW_PACKETS, 576, &[]),
            with(&[(1, 12), (3, 104), (5, 512), (6, 4)]),
            with(&[(2, 12), (4, 4)]),
            with(&[(1, 12); 8]),
            control(0x7fff, &[3; 26]),
            control(1, &[0]),
            control(2, &[7; 7]),
            control(7, &[10, 10 + MAX_DROPPED_PACKETS]),
            control(7, &[0x7fff_fffe, 0x7fff_fffe]),
            // Media.
            vec![0; 1472],
            [&7_u32.to_be_bytes()[..], &[0x47; 1300]].concat(),
        ];
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let port = UdpSocket::from(open(address.parse().unwrap(), false).unwrap());
            let peer = UdpSocket::bind(address).unwrap();
            peer.connect(port.local_addr().unwrap()).unwrap();
            for packet in bad.iter().chain(&good) {
                peer.send(packet).unwrap();
            }
            for packet in &good {
                let mut heard = [0; 2000];
                let count = port.recv(&mut heard).unwrap();
                assert_eq!(heard[..count], packet[..]);
            }
        }
    }
}
