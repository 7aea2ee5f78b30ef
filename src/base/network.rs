//! Ranges of IP addresses, and what the number of an address says of the place it names.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A range of addresses: `10.0.0.0/8`, `::1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

/// Text that is not a network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not an address or a network such as 10.0.0.0/8")]
pub struct NotANetwork(String);

impl Network {
    /// RFC 3927.
    pub const LINK_LOCAL_V4: Network = Network::v4(169, 254, 0, 16);
    /// RFC 4291 §2.5.6.
    pub const LINK_LOCAL_V6: Network = Network::v6(0xfe80, 0, 0, 10);

    /// Whether `address` lies in this network. IPv4-mapped IPv6 addresses count as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(ours), IpAddr::V4(other)) => {
                let differing = u32::from(ours) ^ u32::from(other);
                differing.leading_zeros() >= u32::from(self.prefix)
            }
            (IpAddr::V6(ours), IpAddr::V6(other)) => {
                let differing = u128::from(ours) ^ u128::from(other);
                differing.leading_zeros() >= u32::from(self.prefix)
            }
            _ => false,
        }
    }

    /// Whether all of this network lies in `other`.
    pub fn is_within(&self, other: &Network) -> bool {
        self.prefix >= other.prefix && other.contains(self.address)
    }

    const fn v4(a: u8, b: u8, c: u8, prefix: u8) -> Network {
        Network {
            address: IpAddr::V4(Ipv4Addr::new(a, b, c, 0)),
            prefix,
        }
    }

    const fn v6(a: u16, b: u16, c: u16, prefix: u8) -> Network {
        Network {
            address: IpAddr::V6(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0)),
            prefix,
        }
    }
}

impl FromStr for Network {
    type Err = NotANetwork;

    fn from_str(text: &str) -> Result<Network, NotANetwork> {
        let refused = || NotANetwork(text.to_owned());
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| refused())?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            Some(prefix) => prefix.parse().map_err(|_| refused())?,
            None => longest,
        };
        if prefix > longest {
            return Err(refused());
        }
        Ok(Network { address, prefix })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// What counts as one address where callers are counted: of IPv6 the upper 64 bits, since whoever has one
/// has them all; an IPv4-mapped one is the IPv4 one.
pub fn site(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
    }
}

/// What kind of place an address names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// A host of the internet, as far as its number tells.
    Global,
    /// A network of somebody's own: RFC 1918, shared address space, unique local addresses.
    Private,
    /// This machine.
    Loopback,
    /// The wire that this machine is on; clouds answer questions about the machine there.
    LinkLocal,
    /// A group of hosts.
    Multicast,
    /// No host, which the kernel takes for this machine.
    Unspecified,
    /// Examples, tunnels, protocols' own, not assigned.
    Reserved,
}

/// IANA IPv4 Special-Purpose Address Registry (RFC 6890); what is not in it is global.
const CLASSES_V4: [(Network, Class); 15] = [
    (Network::v4(0, 0, 0, 8), Class::Unspecified),
    (Network::v4(10, 0, 0, 8), Class::Private),
    (Network::v4(100, 64, 0, 10), Class::Private), // RFC 6598, carriers' translators
    (Network::v4(127, 0, 0, 8), Class::Loopback),
    (Network::LINK_LOCAL_V4, Class::LinkLocal),
    (Network::v4(172, 16, 0, 12), Class::Private),
    (Network::v4(192, 0, 0, 24), Class::Reserved),
    (Network::v4(192, 0, 2, 24), Class::Reserved), // RFC 5737, examples
    (Network::v4(192, 88, 99, 24), Class::Reserved), // RFC 7526, 6to4 relays
    (Network::v4(192, 168, 0, 16), Class::Private),
    (Network::v4(198, 18, 0, 15), Class::Private), // RFC 2544, laboratories
    (Network::v4(198, 51, 100, 24), Class::Reserved),
    (Network::v4(203, 0, 113, 24), Class::Reserved),
    (Network::v4(224, 0, 0, 4), Class::Multicast),
    (Network::v4(240, 0, 0, 4), Class::Reserved),
];

/// IANA IPv6 Special-Purpose Address Registry, first match. Only 2000::/3 is assigned (RFC 4291 §2.4);
/// [`Class::of`] handles what lies outside of it, and addresses with an IPv4 address in them.
const CLASSES_V6: [(Network, Class); 9] = [
    (Network::LINK_LOCAL_V6, Class::LinkLocal),
    (Network::v6(0xfec0, 0, 0, 10), Class::Private), // RFC 3879, site-local
    (Network::v6(0xfc00, 0, 0, 7), Class::Private),
    (Network::v6(0xff00, 0, 0, 8), Class::Multicast),
    (Network::v6(0x64, 0xff9b, 1, 48), Class::Private), // RFC 8215, a site's own NAT64
    (Network::v6(0x2001, 0, 0, 23), Class::Reserved),   // RFC 2928, Teredo among them
    (Network::v6(0x2001, 0xdb8, 0, 32), Class::Reserved), // RFC 3849, examples
    (Network::v6(0x3fff, 0, 0, 20), Class::Reserved),   // RFC 9637, examples
    (Network::v6(0x2000, 0, 0, 3), Class::Global),
];

impl Class {
    /// The class of an address. One that carries an IPv4 address, by mapping or by a translator on the
    /// way, has that one's class: it is where packets arrive.
    pub fn of(address: IpAddr) -> Class {
        let find = |classes: &[(Network, Class)]| {
            let mut classes = classes.iter();
            let found = classes.find(|(network, _)| network.contains(address));
            found.map(|(_, class)| *class)
        };
        match address {
            IpAddr::V4(_) => find(&CLASSES_V4).unwrap_or(Class::Global),
            IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Class::Unspecified,
            IpAddr::V6(Ipv6Addr::LOCALHOST) => Class::Loopback,
            IpAddr::V6(v6) => match embedded(v6) {
                Some(v4) => Class::of(IpAddr::V4(v4)),
                None => find(&CLASSES_V6).unwrap_or(Class::Reserved),
            },
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Class::Global => "global",
            Class::Private => "private",
            Class::Loopback => "loopback",
            Class::LinkLocal => "link-local",
            Class::Multicast => "multicast",
            Class::Unspecified => "unspecified",
            Class::Reserved => "reserved",
        })
    }
}

/// The IPv4 address at which packets to `address` arrive, or claim to.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let words = address.segments();
    let v4 = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match words {
        // RFC 4291 §2.5.5: compatible (deprecated) and mapped; RFC 2765 §2.1: translated.
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0, 0, 0, 0, 0xffff, 0, high, low] => {
            Some(v4(high, low))
        }
        // RFC 6052 §2.1: NAT64.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(v4(high, low)),
        // RFC 3056 §2: 6to4.
        [0x2002, high, low, ..] => Some(v4(high, low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_has_the_class_of_the_place_it_names() {
        use Class::{Global, LinkLocal, Loopback, Multicast, Private, Reserved, Unspecified};
        for (class, addresses) in [
            (
                Global,
                "1.1.1.1 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 \
                 128.0.0.0 169.253.255.255 169.255.0.0 172.15.255.255 172.32.0.0 192.0.1.0 \
                 192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0 223.255.255.255 \
                 2606:4700::1111 2a00:1450::1 ::ffff:8.8.8.8 64:ff9b::808:808 2002:808:808::1",
            ),
            (
                Private,
                "10.0.0.0 10.255.255.255 172.16.0.0 172.31.255.255 192.168.0.0 192.168.255.255 \
                 100.64.0.0 100.127.255.255 198.18.0.0 198.19.255.255 fc00:: fdff:ffff::1 fec0::1 \
                 64:ff9b:1::a00:1 ::ffff:10.0.0.1 ::ffff:0:10.0.0.1 ::10.0.0.1 64:ff9b::10.0.0.1 \
                 2002:a00:1:: 2002:c0a8:101::9",
            ),
            (
                Loopback,
                "127.0.0.1 127.255.255.255 ::1 ::ffff:127.0.0.1 64:ff9b::7f00:1 2002:7f00:1::1 \
                 ::127.0.0.1",
            ),
            (
                LinkLocal,
                "169.254.0.0 169.254.169.254 169.254.255.255 fe80::1 febf:ffff::1 \
                 ::ffff:169.254.169.254 64:ff9b::a9fe:a9fe 2002:a9fe:a9fe::1",
            ),
            (
                Multicast,
                "224.0.0.1 239.255.255.255 ff02::1 ::ffff:224.0.0.1",
            ),
            (Unspecified, "0.0.0.0 0.1.2.3 :: ::ffff:0.0.0.0 64:ff9b::"),
            (
                Reserved,
                "192.0.0.8 192.0.2.1 192.88.99.1 198.51.100.7 203.0.113.9 240.0.0.1 255.255.255.255 2001:db8::1 \
                 2001:0:4136:e378::1 2001:2::1 3fff::1 100::1 4000::1 5f00::1 1::1",
            ),
        ] {
            for text in addresses.split_whitespace() {
                assert_eq!(Class::of(text.parse().unwrap()), class, "{text}");
            }
        }
    }

    #[test]
    fn a_network_lies_in_one_that_holds_all_of_it() {
        let network = |text: &str| text.parse::<Network>().unwrap();
        let ours = network("169.254.0.0/16");
        assert!(network("169.254.0.0/16").is_within(&ours));
        assert!(network("169.254.7.0/24").is_within(&ours));
        assert!(!network("169.0.0.0/8").is_within(&ours));
        assert!(!network("0.0.0.0/0").is_within(&ours));
        assert!(!network("fe80::/10").is_within(&ours));
    }

    #[test]
    fn an_ipv6_network_is_one_address_and_a_mapped_address_is_the_ipv4_one() {
        let site = |text: &str| site(text.parse().unwrap());
        assert_eq!(site("2001:db8::1"), site("2001:db8::ffff:2"));
        assert_ne!(site("2001:db8::1"), site("2001:db8:0:1::1"));
        assert_eq!(site("::ffff:10.0.0.1"), site("10.0.0.1"));
    }
}
