//! Whose request it is: the peer, or what a trusted proxy says of it.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use http::HeaderMap;

use crate::base::network::Network;

/// Attached to each request of the fallback router, as an extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    /// The other end of the connection.
    pub peer: SocketAddr,
    /// The client's address: the peer's, or the one that trusted proxies forward.
    pub address: IpAddr,
    /// Whether the client speaks TLS, to us or to a trusted proxy.
    pub secure: bool,
    /// Whether `X-Forwarded-Host` of this request may be believed.
    pub trusted_proxy: bool,
}

impl Client {
    /// The client of a request that came over a connection from `peer`.
    pub fn of(headers: &HeaderMap, peer: SocketAddr, secure: bool, trusted: &[Network]) -> Client {
        let direct = peer.ip().to_canonical();
        let mut client = Client {
            peer,
            address: direct,
            secure,
            trusted_proxy: is_trusted(direct, trusted),
        };
        if !client.trusted_proxy {
            return client;
        }
        // Each proxy appends whom it heard from: the last address that is not a trusted proxy is the
        // only one that nobody outside could have made up.
        let hops = headers.get_all("x-forwarded-for").iter().rev();
        let hops = hops.filter_map(|value| value.to_str().ok());
        for hop in hops.flat_map(|value| value.rsplit(',')) {
            let Some(address) = forwarded_address(hop.trim()) else {
                break;
            };
            client.address = address;
            if !is_trusted(address, trusted) {
                break;
            }
        }
        if let Some(proto) = headers.get("x-forwarded-proto") {
            client.secure = proto.as_bytes().eq_ignore_ascii_case(b"https");
        }
        client
    }
}

pub(super) fn is_trusted(address: IpAddr, trusted: &[Network]) -> bool {
    trusted.iter().any(|network| network.contains(address))
}

fn forwarded_address(text: &str) -> Option<IpAddr> {
    let address = IpAddr::from_str(text)
        .or_else(|_| SocketAddr::from_str(text).map(|socket| socket.ip()))
        .or_else(|_| IpAddr::from_str(text.trim_matches(['[', ']'])));
    address.ok().map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address_of(peer: &str, forwarded: &[&'static str]) -> String {
        let trusted = ["10.0.0.0/8".parse().unwrap(), "::1".parse().unwrap()];
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", http::HeaderValue::from_static(value));
        }
        let client = Client::of(&headers, peer.parse().unwrap(), false, &trusted);
        client.address.to_string()
    }

    #[test]
    fn forwarded_addresses_count_from_trusted_proxies_only() {
        assert_eq!(address_of("192.0.2.7:1", &["198.51.100.1"]), "192.0.2.7");
        assert_eq!(address_of("10.1.2.3:1", &["198.51.100.1"]), "198.51.100.1");
        assert_eq!(
            address_of("[::ffff:10.1.2.3]:1", &["198.51.100.1"]),
            "198.51.100.1"
        );
        assert_eq!(address_of("[::1]:1", &["[2001:db8::5]:443"]), "2001:db8::5");
    }

    #[test]
    fn what_a_client_puts_before_the_proxies_is_not_believed() {
        let chain = &["203.0.113.66, 198.51.100.1, 10.9.9.9"];
        assert_eq!(address_of("10.1.2.3:1", chain), "198.51.100.1");
        assert_eq!(
            address_of("10.1.2.3:1", &["203.0.113.66", "198.51.100.1"]),
            "198.51.100.1"
        );
        assert_eq!(
            address_of("10.1.2.3:1", &["198.51.100.1, nonsense"]),
            "10.1.2.3"
        );
    }

    #[test]
    fn networks_are_parsed_and_refused() {
        let network: Network = "192.168.0.0/23".parse().unwrap();
        assert!(network.contains("192.168.1.255".parse().unwrap()));
        assert!(!network.contains("192.168.2.0".parse().unwrap()));
        assert!(!network.contains("::1".parse().unwrap()));
        let all: Network = "0.0.0.0/0".parse().unwrap();
        assert!(all.contains("255.1.2.3".parse().unwrap()));
        for bad in ["", "10.0.0.0/33", "10.0.0/8", "::/129", "host"] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
    }
}
