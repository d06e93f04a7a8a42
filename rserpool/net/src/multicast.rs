//! Sends announces from the UDP port that equals the SCTP port, with one socket per interface.
//!
//! RSPLIB's pool users and elements take the source address and port of an announce as the SCTP
//! address and port of the registrar, whatever the announce says.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use sctp_user::{on_interface, to_socket_addr};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::time::Instant;

use crate::interfaces::{Interface, interfaces};

/// How often the list of interfaces is read again.
const REFRESH: Duration = Duration::from_secs(10);

/// Where announces go out, and how.
#[derive(Debug)]
pub struct Multicast {
    group: SocketAddr,
    ttl: u8,
    /// UDP port to send from.
    port: u16,
    /// Send only by the interfaces with these addresses; by all if there are none.
    only: Vec<IpAddr>,
    sockets: Vec<(Source, Socket)>,
    refreshed: Option<Instant>,
    /// No interface could send the last announce.
    failing: bool,
}

/// The interface to send by, and the source address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    V4(Ipv4Addr),
    V6 { index: u32, addr: Ipv6Addr },
}

impl Multicast {
    /// Sends to `group` from UDP port `port`, with this TTL or hop limit. Uses the interfaces that
    /// have the addresses `only`, or all interfaces if there are none.
    pub fn new(group: SocketAddr, ttl: u8, port: u16, only: Vec<IpAddr>) -> Self {
        Multicast { group, ttl, port, only, sockets: Vec::new(), refreshed: None, failing: false }
    }

    /// Sends a datagram by every interface. If all of them fail, a warning is logged, once until
    /// one works again: peers that know the address by their configuration need no announces.
    pub(crate) fn send(&mut self, datagram: &[u8]) {
        let mut error = self.refresh().err();
        let mut sent = false;
        for (_, socket) in &self.sockets {
            match socket.send_to(datagram, &self.group.into()) {
                Ok(_) => sent = true,
                Err(e) => error = Some(e),
            }
        }
        if !sent && !self.failing {
            let error = error
                .unwrap_or_else(|| io::Error::other("no interface is up that passes multicast"));
            tracing::warn!(
                group = %self.group,
                %error,
                "announces cannot be sent; name this registrar to the others"
            );
        } else if sent && self.failing {
            tracing::info!(group = %self.group, "announces are sent again");
        }
        self.failing = !sent;
    }

    /// Opens a socket for each new interface, and closes those of interfaces that are gone. Returns
    /// the last error of opening one.
    fn refresh(&mut self) -> io::Result<()> {
        if self.refreshed.is_some_and(|at| at.elapsed() < REFRESH) && !self.sockets.is_empty() {
            return Ok(());
        }
        self.refreshed = Some(Instant::now());
        let wanted = self.sources(&interfaces());
        self.sockets.retain(|(source, _)| wanted.contains(source));
        let mut result = Ok(());
        for source in wanted {
            if self.sockets.iter().all(|(have, _)| *have != source) {
                match self.open(source) {
                    Ok(socket) => self.sockets.push((source, socket)),
                    Err(error) => result = Err(error),
                }
            }
        }
        result
    }

    /// The loopback interface is used only if there is no other: programs on this host also receive
    /// what leaves by another interface.
    fn sources(&self, interfaces: &[Interface]) -> Vec<Source> {
        let of = |loopback: bool| -> Vec<Source> {
            interfaces
                .iter()
                .filter(|interface| interface.loopback == loopback)
                .filter_map(|interface| self.source_on(interface))
                .collect()
        };
        let outside = of(false);
        if outside.is_empty() { of(true) } else { outside }
    }

    fn source_on(&self, interface: &Interface) -> Option<Source> {
        let allowed = |addr: IpAddr| self.only.is_empty() || self.only.contains(&addr);
        match self.group {
            SocketAddr::V4(_) => interface
                .v4
                .iter()
                .find(|addr| allowed((**addr).into()))
                .map(|addr| Source::V4(*addr)),
            SocketAddr::V6(_) => {
                let addr = if self.only.is_empty() {
                    // The operating system chooses an address that fits the scope of the group.
                    interface.v6.first().map(|_| Ipv6Addr::UNSPECIFIED)
                } else {
                    let own = |addr: &&Ipv6Addr| on_interface((**addr).into(), interface.index);
                    interface.v6.iter().find(|addr| allowed(own(addr))).copied()
                };
                addr.map(|addr| Source::V6 { index: interface.index, addr })
            }
        }
    }

    fn open(&self, source: Source) -> io::Result<Socket> {
        let (domain, local): (_, SocketAddr) = match source {
            Source::V4(addr) => (Domain::IPV4, (addr, self.port).into()),
            Source::V6 { addr, index } => {
                let addr = on_interface(addr.into(), index);
                (Domain::IPV6, to_socket_addr(addr, self.port))
            }
        };
        let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_nonblocking(true)?;
        // The sockets of all interfaces share the port, and so do all registrars on this host.
        socket.set_reuse_address(true)?;
        match source {
            Source::V4(addr) => {
                socket.set_multicast_if_v4(&addr)?;
                socket.set_multicast_ttl_v4(self.ttl.into())?;
                socket.set_multicast_loop_v4(true)?;
            }
            Source::V6 { index, .. } => {
                socket.set_only_v6(true)?;
                socket.set_multicast_if_v6(index)?;
                socket.set_multicast_hops_v6(self.ttl.into())?;
                socket.set_multicast_loop_v6(true)?;
            }
        }
        socket.bind(&local.into())?;
        Ok(socket)
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    fn interface(index: u32, loopback: bool, v4: &str) -> Interface {
        Interface {
            index,
            loopback,
            v4: vec![v4.parse().unwrap()],
            v6: vec!["fe80::1".parse().unwrap()],
        }
    }

    fn multicast(group: &str, only: &[&str]) -> Multicast {
        let only = only.iter().map(|addr| addr.parse().unwrap()).collect();
        Multicast::new(group.parse().unwrap(), 30, 3863, only)
    }

    #[test]
    fn every_interface_but_loopback() {
        let all = [
            interface(1, true, "127.0.0.1"),
            interface(2, false, "10.0.0.1"),
            interface(3, false, "10.1.0.1"),
        ];
        let v4 = |addr: &str| Source::V4(addr.parse().unwrap());
        let sources = multicast("239.0.0.50:3863", &[]).sources(&all);
        assert_eq!(sources, [v4("10.0.0.1"), v4("10.1.0.1")]);
        let sources = multicast("239.0.0.50:3863", &[]).sources(&all[..1]);
        assert_eq!(sources, [v4("127.0.0.1")]);
        let sources = multicast("239.0.0.50:3863", &["10.1.0.1"]).sources(&all);
        assert_eq!(sources, [v4("10.1.0.1")]);
        let sources = multicast("239.0.0.50:3863", &["127.0.0.1"]).sources(&all);
        assert_eq!(sources, [v4("127.0.0.1")]);
        let sources = multicast("[ff05::133]:3863", &[]).sources(&all);
        let v6 = |index| Source::V6 { index, addr: Ipv6Addr::UNSPECIFIED };
        assert_eq!(sources, [v6(2), v6(3)]);
        let mut one = multicast("[ff02::133]:3863", &[]);
        let addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
        one.only = vec![on_interface(addr.into(), 3)];
        assert_eq!(one.sources(&all), [Source::V6 { index: 3, addr }], "not the other fe80::1");
    }

    /// Only by the loopback interface, so that the test works everywhere and disturbs nobody.
    #[test]
    fn announces_arrive_from_the_wanted_port() {
        let receiver = UdpSocket::bind("0.0.0.0:0").unwrap();
        let group = Ipv4Addr::new(239, 0, 0, 50);
        receiver.join_multicast_v4(&group, &Ipv4Addr::LOCALHOST).unwrap();
        receiver.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let group = SocketAddr::new(group.into(), receiver.local_addr().unwrap().port());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let mut multicast = Multicast::new(group, 1, port, vec![Ipv4Addr::LOCALHOST.into()]);
            // A second registrar does not mind that the port is in use.
            let mut other = Multicast::new(group, 1, port, vec![Ipv4Addr::LOCALHOST.into()]);
            multicast.send(b"announce");
            other.send(b"announce");
            assert!(!multicast.failing && !other.failing);
        });
        for _ in 0..2 {
            let mut buffer = [0; 100];
            let (length, from) = receiver.recv_from(&mut buffer).unwrap();
            assert_eq!(&buffer[..length], b"announce");
            assert_eq!(from, SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port));
        }
    }

    #[tokio::test]
    async fn failing_is_remembered_and_harmless() {
        let mut multicast = multicast("239.0.0.50:3863", &["192.0.2.77"]);
        multicast.send(b"announce");
        multicast.send(b"announce");
        assert!(multicast.failing);
    }
}
