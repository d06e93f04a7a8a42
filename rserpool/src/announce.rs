//! The socket on which announces of registrars are heard.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use rserpool_wire::{AsapMessage, ServerAnnounce};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;

use crate::config::AnnounceConfig;
use crate::error::Error;

#[derive(Debug)]
pub(crate) struct Listener {
    socket: UdpSocket,
    buf: Vec<u8>,
}

impl Listener {
    /// Binds the port, shared with others, and joins the group.
    pub(crate) fn open(config: &AnnounceConfig) -> Result<Self, Error> {
        let fail = |e: io::Error| Error::Announce { group: config.group, reason: e.to_string() };
        let socket = join(config).map_err(fail)?;
        let socket = UdpSocket::from_std(socket.into()).map_err(fail)?;
        // Announces have 8 bytes and perhaps some addresses; what is longer than this does not
        // decode.
        Ok(Listener { socket, buf: vec![0; 4096] })
    }

    /// Waits for the next announce. Cancel-safe.
    pub(crate) async fn recv(&mut self) -> (SocketAddr, ServerAnnounce) {
        loop {
            match self.socket.recv_from(&mut self.buf).await {
                Ok((len, from)) => {
                    let bytes = self.buf.get(..len).unwrap_or_default();
                    if let Ok(AsapMessage::ServerAnnounce(announce)) = AsapMessage::decode(bytes) {
                        return (from, announce);
                    }
                }
                // Some systems report errors of other traffic here; they do not concern us.
                Err(_) => tokio::task::yield_now().await,
            }
        }
    }
}

fn join(config: &AnnounceConfig) -> io::Result<Socket> {
    let group = config.group;
    let socket = Socket::new(Domain::for_address(group), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_address(true)?;
    #[cfg(all(unix, not(any(target_os = "solaris", target_os = "illumos"))))]
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    // Bound to the group, a Unix socket gets nothing else; Windows wants the wildcard.
    let bind = if cfg!(unix) {
        group
    } else {
        let any: IpAddr =
            if group.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { [0u16; 8].into() };
        SocketAddr::new(any, group.port())
    };
    socket.bind(&bind.into())?;
    let results: Vec<io::Result<()>> = match group.ip() {
        IpAddr::V4(group) => config
            .interfaces
            .iter()
            .filter_map(|i| match i {
                IpAddr::V4(interface) => Some(socket.join_multicast_v4(&group, interface)),
                IpAddr::V6(_) => None,
            })
            .collect(),
        IpAddr::V6(group) => {
            config.interface_indexes.iter().map(|i| socket.join_multicast_v6(&group, *i)).collect()
        }
    };
    if results.iter().any(Result::is_ok) {
        return Ok(socket);
    }
    let none =
        || io::Error::new(io::ErrorKind::InvalidInput, "no interface to join it on is given");
    Err(results.into_iter().find_map(Result::err).unwrap_or_else(none))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rserpool_wire::ServerId;
    use std::net::UdpSocket as StdSocket;

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn announces_are_heard_and_nonsense_is_not() {
        let port = StdSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let group = SocketAddr::from(([239, 0, 0, 50], port));
        let interfaces = vec![Ipv4Addr::LOCALHOST.into()];
        let config = AnnounceConfig { group, interfaces, ..AnnounceConfig::default() };
        // Several processes of a host may listen.
        let mut listeners = [Listener::open(&config).unwrap(), Listener::open(&config).unwrap()];
        let sender = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP)).unwrap();
        sender.set_multicast_if_v4(&Ipv4Addr::LOCALHOST).unwrap();
        sender.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        let source = sender.local_addr().unwrap().as_socket().unwrap();
        let announce =
            ServerAnnounce { server: ServerId(7), transports: Vec::new(), udp_port: Some(9) };
        let bytes = AsapMessage::ServerAnnounce(announce.clone()).encode().unwrap();
        for datagram in [&b"nonsense"[..], &[], &bytes] {
            sender.send_to(datagram, &group.into()).unwrap();
        }
        for listener in &mut listeners {
            assert_eq!(listener.recv().await, (source, announce.clone()));
        }
    }

    #[tokio::test]
    async fn a_group_that_cannot_be_joined_is_an_error() {
        let config = AnnounceConfig { interfaces: Vec::new(), ..AnnounceConfig::default() };
        let error = Listener::open(&config).unwrap_err().to_string();
        assert_eq!(
            error,
            "cannot listen for registrar announces on 239.0.0.50:3863: no interface to join it on \
             is given"
        );
    }
}
