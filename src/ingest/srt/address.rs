//! Addresses as C has them: `struct sockaddr_in` and `sockaddr_in6` of Linux, byte by byte.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// `AF_INET` of Linux.
const FAMILY_V4: u16 = 2;
/// `AF_INET6` of Linux.
const FAMILY_V6: u16 = 10;
/// `sizeof(struct sockaddr_in)`: family, port, address, eight bytes of nothing.
const V4_BYTES: usize = 16;
/// `sizeof(struct sockaddr_in6)`: family, port, flow, address, scope.
pub(super) const MAX_BYTES: usize = 28;

/// Room for either, aligned as C wants it.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Address(pub(super) [u8; MAX_BYTES]);

impl Address {
    /// The address and its length in bytes.
    pub(super) fn new(address: SocketAddr) -> (Address, usize) {
        let mut bytes = [0; MAX_BYTES];
        bytes[2..4].copy_from_slice(&address.port().to_be_bytes());
        let (family, length) = match address {
            SocketAddr::V4(v4) => {
                bytes[4..8].copy_from_slice(&v4.ip().octets());
                (FAMILY_V4, V4_BYTES)
            }
            SocketAddr::V6(v6) => {
                bytes[8..24].copy_from_slice(&v6.ip().octets());
                bytes[24..28].copy_from_slice(&v6.scope_id().to_ne_bytes());
                (FAMILY_V6, MAX_BYTES)
            }
        };
        bytes[..2].copy_from_slice(&family.to_ne_bytes());
        (Address(bytes), length)
    }

    /// Bytes that an address has which begins with these two.
    pub(super) fn length(family: [u8; 2]) -> usize {
        match u16::from_ne_bytes(family) {
            FAMILY_V4 => V4_BYTES,
            FAMILY_V6 => MAX_BYTES,
            _ => 0,
        }
    }

    /// What it says; the unspecified address when it is of another family.
    pub(super) fn get(&self) -> SocketAddr {
        let bytes = &self.0;
        let port = u16::from_be_bytes([bytes[2], bytes[3]]);
        let part = |at: usize| [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
        match u16::from_ne_bytes([bytes[0], bytes[1]]) {
            FAMILY_V4 => SocketAddrV4::new(Ipv4Addr::from(part(4)), port).into(),
            FAMILY_V6 => {
                let mut ip = [0; 16];
                ip.copy_from_slice(&bytes[8..24]);
                let scope = u32::from_ne_bytes(part(24));
                SocketAddrV6::new(Ipv6Addr::from(ip), port, 0, scope).into()
            }
            _ => SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0).into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_back_as_they_went() {
        for text in [
            "192.0.2.7:9000",
            "[2001:db8::1]:1",
            "[fe80::1%3]:65535",
            "0.0.0.0:0",
        ] {
            let address: SocketAddr = text.parse().unwrap();
            let (raw, length) = Address::new(address);
            assert_eq!(raw.get(), address);
            assert_eq!(Address::length([raw.0[0], raw.0[1]]), length);
        }
        assert_eq!(Address::default().get().port(), 0);
        assert_eq!(Address::length([0, 0]), 0);
    }
}
