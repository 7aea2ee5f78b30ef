//! Where a host is that somebody else named, and whether the gateway may go there: what channels pull, and
//! webhooks. A name is looked up for each attempt, and what was checked is what is connected to: a name that
//! says something else a moment later changes nothing.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::time::Duration;

use tokio::sync::{Semaphore, oneshot};

use super::network::{Class, Network};

/// A name that is not found within this is not found. Twice what a resolver gives its first server.
const LOOKUP_DEADLINE: Duration = Duration::from_secs(10);
/// Addresses of one name that are tried, in the order of the resolver. Bounds an attempt: 4 connects.
const MAX_ADDRESSES: usize = 4;

/// Look-ups of the process at a time, each on a thread. Further ones wait for their turn, within the same
/// deadline: channels with names of servers that do not answer may be made and deleted by the thousand.
const MAX_LOOK_UPS: usize = 32;

/// Places of look-ups. The resolver is the system's, so they are the process's.
static LOOK_UPS: Semaphore = Semaphore::const_new(MAX_LOOK_UPS);

/// Why there is no address to connect to.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The name is not known, or no server answers.
    #[error("the host was not found: {0}")]
    NotFound(#[from] io::Error),
    /// The resolver says nothing.
    #[error("the host was not found within {LOOKUP_DEADLINE:?}")]
    Timeout,
    /// There are addresses, and none of them may be used.
    #[error("{address} is a {class} address, which {setting} does not name")]
    NotAllowed {
        /// The first one.
        address: IpAddr,
        /// What it is.
        class: Class,
        /// Where it would be allowed.
        setting: &'static str,
    },
}

/// Where the gateway may go besides the internet.
#[derive(Clone, Debug)]
pub struct Private {
    /// Networks of the setting.
    pub networks: Vec<Network>,
    /// The setting's name, for sentences.
    pub setting: &'static str,
}

/// Looks names up.
pub trait Resolve: Send + 'static {
    /// The addresses of a name.
    fn look_up(
        &mut self,
        host: &str,
        port: u16,
    ) -> impl Future<Output = io::Result<Vec<SocketAddr>>> + Send;
}

/// Addresses to connect to, each of them checked.
pub async fn addresses(
    (host, port): (&str, u16),
    private: &Private,
    resolver: &mut impl Resolve,
) -> Result<Vec<SocketAddr>, Error> {
    let found = match host.parse::<IpAddr>() {
        Ok(address) => vec![SocketAddr::new(address, port)],
        Err(_) => {
            let answer = resolver.look_up(host, port);
            let answer = tokio::time::timeout(LOOKUP_DEADLINE, answer).await;
            answer.map_err(|_| Error::Timeout)??
        }
    };
    checked(found, private)
}

/// The same for `forebay check`, which may block.
pub fn blocking((host, port): (&str, u16), private: &Private) -> Result<Vec<SocketAddr>, Error> {
    let (answer, found) = std::sync::mpsc::sync_channel(1);
    look_up_in_thread(host, port, move |found| {
        let _ = answer.send(found);
    })?;
    let found = found.recv_timeout(LOOKUP_DEADLINE);
    checked(found.map_err(|_| Error::Timeout)??, private)
}

/// The address that a host is written as, if it is no name, when the gateway may not go there.
pub fn refused(host: &str, private: &Private) -> Option<Error> {
    let address = SocketAddr::new(host.parse().ok()?, 0);
    checked(vec![address], private).err()
}

fn checked(found: Vec<SocketAddr>, private: &Private) -> Result<Vec<SocketAddr>, Error> {
    let Some(first) = found.first().map(SocketAddr::ip) else {
        return Err(io::Error::from(io::ErrorKind::NotFound).into());
    };
    let allowed = found
        .into_iter()
        .filter(|address| is_allowed(address.ip(), &private.networks))
        .map(|address| SocketAddr::new(address.ip().to_canonical(), address.port()))
        .take(MAX_ADDRESSES)
        .collect::<Vec<_>>();
    if allowed.is_empty() {
        return Err(Error::NotAllowed {
            address: first,
            class: Class::of(first),
            setting: private.setting,
        });
    }
    Ok(allowed)
}

/// Whether the gateway may go to this address: the internet always, groups and nobody never, the rest
/// if a network of the settings holds it. Link-local addresses want a network that is link-local itself:
/// clouds hand out a machine's credentials there, and who allows `0.0.0.0/0` did not mean those.
fn is_allowed(address: IpAddr, private: &[Network]) -> bool {
    let mut networks = private.iter();
    match Class::of(address) {
        Class::Global => true,
        Class::Multicast | Class::Unspecified => false,
        Class::LinkLocal => networks
            .any(|network| network.contains(address) && network.is_within(&link_local(address))),
        Class::Private | Class::Loopback | Class::Reserved => {
            networks.any(|network| network.contains(address))
        }
    }
}

/// The link-local network of an address's family.
fn link_local(address: IpAddr) -> Network {
    match address.to_canonical() {
        IpAddr::V4(_) => Network::LINK_LOCAL_V4,
        IpAddr::V6(_) => Network::LINK_LOCAL_V6,
    }
}

/// Asks the system's resolver. It has no deadline and cannot be interrupted, so it has a thread of its own:
/// the end of the process waits for blocking tasks of the runtime, but not for this.
fn look_up_in_thread(
    host: &str,
    port: u16,
    answer: impl FnOnce(io::Result<Vec<SocketAddr>>) + Send + 'static,
) -> io::Result<()> {
    let host = host.to_owned();
    let thread = std::thread::Builder::new().name("resolver".to_owned());
    thread.spawn(move || {
        let found = (host.as_str(), port).to_socket_addrs();
        answer(found.map(Iterator::collect));
    })?;
    Ok(())
}

/// The system's resolver, one look-up at a time: who gave up on one and comes again waits for it.
#[derive(Debug, Default)]
pub struct System {
    pending: Option<oneshot::Receiver<io::Result<Vec<SocketAddr>>>>,
}

impl Resolve for System {
    async fn look_up(&mut self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let pending = match &mut self.pending {
            Some(pending) => pending,
            None => {
                let place = LOOK_UPS.acquire().await;
                let (answer, pending) = oneshot::channel();
                look_up_in_thread(host, port, move |found| {
                    // Whoever asked may be gone.
                    let _ = answer.send(found);
                    drop(place);
                })?;
                self.pending.insert(pending)
            }
        };
        let found = pending.await;
        self.pending = None;
        found.unwrap_or_else(|_| Err(io::ErrorKind::Interrupted.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Knows these addresses.
    struct Table(&'static str);

    impl Resolve for Table {
        async fn look_up(&mut self, _host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
            let addresses = self.0.split_whitespace();
            Ok(addresses
                .map(|text| SocketAddr::new(text.parse().unwrap(), port))
                .collect())
        }
    }

    fn networks(text: &str) -> Private {
        let networks = text.split_whitespace();
        Private {
            networks: networks.map(|network| network.parse().unwrap()).collect(),
            setting: "FOREBAY_PULL_PRIVATE",
        }
    }

    #[test]
    fn only_the_internet_is_gone_to_unless_a_network_is_named() {
        let cases = [
            ("", "1.1.1.1 2606:4700::1 ::ffff:1.1.1.1", true),
            (
                "",
                "127.0.0.1 ::1 10.1.2.3 192.168.1.1 172.16.0.1 100.64.0.1 169.254.169.254 fe80::1 \
                 fd00::1 0.0.0.0 :: 224.0.0.1 ff02::1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 64:ff9b::7f00:1 \
                 2002:7f00:1:: 240.0.0.1 203.0.113.1",
                false,
            ),
            ("10.0.0.0/8", "10.1.2.3 ::ffff:10.1.2.3", true),
            ("10.0.0.0/8", "11.1.2.3", true),
            (
                "10.0.0.0/8",
                "127.0.0.1 192.168.0.1 64:ff9b::a00:1 2002:a00:1::",
                false,
            ),
            ("127.0.0.0/8 ::1", "127.0.0.1 ::1 ::ffff:127.0.0.1", true),
            ("64:ff9b::/96", "64:ff9b::a00:1", true),
            // Everything is not that.
            (
                "0.0.0.0/0 ::/0",
                "10.1.2.3 127.0.0.1 fd00::1 ::1 203.0.113.1",
                true,
            ),
            (
                "0.0.0.0/0 ::/0",
                "169.254.169.254 fe80::1 ::ffff:169.254.169.254 64:ff9b::a9fe:a9fe 2002:a9fe:a9fe:: \
                 0.0.0.0 :: 224.0.0.1 ff02::1",
                false,
            ),
            (
                "169.254.0.0/16 fe80::/10",
                "169.254.7.7 fe80::1 ::ffff:169.254.7.7",
                true,
            ),
            ("169.254.7.0/24", "169.254.169.254", false),
        ];
        for (private, addresses, allowed) in cases {
            let private = networks(private);
            for address in addresses.split_whitespace() {
                let address = address.parse().unwrap();
                assert_eq!(
                    is_allowed(address, &private.networks),
                    allowed,
                    "{address} {private:?}"
                );
            }
        }
    }

    #[tokio::test]
    async fn of_a_names_addresses_only_the_allowed_ones_are_left_and_not_too_many() {
        let camera = ("camera", 9000);
        let mut mixed = Table("10.0.0.1 1.1.1.1 ::1 2606:4700::1 1.0.0.1 8.8.8.8 9.9.9.9");
        let found = addresses(camera, &networks(""), &mut mixed).await.unwrap();
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        let expected = [
            "1.1.1.1:9000",
            "[2606:4700::1]:9000",
            "1.0.0.1:9000",
            "8.8.8.8:9000",
        ];
        assert_eq!(found, expected);
        let refused = addresses(camera, &networks(""), &mut Table("10.0.0.1 ::1")).await;
        assert_eq!(
            refused.unwrap_err().to_string(),
            "10.0.0.1 is a private address, which FOREBAY_PULL_PRIVATE does not name"
        );
        let nothing = addresses(camera, &networks(""), &mut Table("")).await;
        assert!(matches!(nothing, Err(Error::NotFound(_))));
    }

    #[tokio::test]
    async fn names_and_numbers_that_mean_this_machine_are_refused_however_they_are_written() {
        for host in [
            "localhost",
            "127.0.0.1",
            "127.1",
            "2130706433",
            "0x7f.1",
            "0",
            "::1",
            "::ffff:7f00:1",
        ] {
            let none = networks("");
            let refused = addresses((host, 9000), &none, &mut System::default()).await;
            assert!(
                matches!(refused, Err(Error::NotAllowed { .. })),
                "{host}: {refused:?}"
            );
            assert!(matches!(
                blocking((host, 9000), &none),
                Err(Error::NotAllowed { .. })
            ));
        }
        let localhost = ("localhost", 9000);
        let here = networks("127.0.0.0/8 ::1");
        let found = addresses(localhost, &here, &mut System::default())
            .await
            .unwrap();
        assert!(found.iter().all(|address| address.ip().is_loopback()));
    }

    #[tokio::test]
    async fn look_ups_have_a_bound_in_all_and_wait_for_their_turn() {
        let localhost = ("localhost", 9000);
        let here = networks("127.0.0.0/8 ::1");
        let others = LOOK_UPS.acquire_many(u32::try_from(MAX_LOOK_UPS).unwrap());
        let others = others.await.unwrap();
        let mut resolver = System::default();
        tokio::time::pause();
        let refused = addresses(localhost, &here, &mut resolver).await;
        assert!(matches!(refused, Err(Error::Timeout)));
        tokio::time::resume();
        drop(others);
        assert!(addresses(localhost, &here, &mut resolver).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_resolver_that_does_not_answer_is_waited_for_in_vain_only_so_long() {
        struct Deaf;
        impl Resolve for Deaf {
            async fn look_up(&mut self, _host: &str, _port: u16) -> io::Result<Vec<SocketAddr>> {
                std::future::pending().await
            }
        }
        let camera = ("camera", 9000);
        let refused = addresses(camera, &networks(""), &mut Deaf).await;
        assert!(matches!(refused, Err(Error::Timeout)));
    }
}
