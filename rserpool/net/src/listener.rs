//! The socket that receives the datagrams to a multicast group.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::task::{Context, Poll};

use rserpool_core::asap::AnnounceConfig;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::ReadBuf;
use tokio::net::UdpSocket;

/// Receives what is sent to a multicast group.
#[derive(Debug)]
pub struct Listener {
    socket: UdpSocket,
    buf: Vec<u8>,
}

/// How many errors of the socket one poll ignores.
const MAX_ERRORS: usize = 16;

impl Listener {
    /// Binds the port, which others may share, and joins the group. Call it in a tokio runtime.
    ///
    /// # Errors
    /// When the port cannot be bound, or no interface can join the group.
    pub fn open(config: &AnnounceConfig) -> io::Result<Self> {
        let socket = UdpSocket::from_std(join(config)?.into())?;
        // An announce has 8 bytes and perhaps some addresses. Whatever is longer than this buffer
        // is cut, and cannot be decoded.
        Ok(Listener { socket, buf: vec![0; 4096] })
    }

    /// Receives the next datagram, and returns its source and length.
    pub(crate) fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<(SocketAddr, usize)> {
        for _ in 0..MAX_ERRORS {
            let mut buf = ReadBuf::new(&mut self.buf);
            match self.socket.poll_recv_from(cx, &mut buf) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(from)) => return Poll::Ready((from, buf.filled().len())),
                // Some systems report errors of other traffic here.
                Poll::Ready(Err(_)) => {}
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// The datagram that was received last, of `length` bytes.
    pub(crate) fn datagram(&self, length: usize) -> &[u8] {
        self.buf.get(..length).unwrap_or_default()
    }
}

fn join(config: &AnnounceConfig) -> io::Result<Socket> {
    let group = config.group;
    let socket = Socket::new(Domain::for_address(group), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_address(true)?;
    #[cfg(all(unix, not(any(target_os = "solaris", target_os = "illumos"))))]
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    // A Unix socket that is bound to the group receives nothing else. Windows needs the wildcard.
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
    use std::future::poll_fn;
    use std::net::UdpSocket as StdSocket;

    use super::*;

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn several_listeners_hear_every_datagram() {
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
        let datagrams = [&b"one"[..], b"", &[7; 4096]];
        for datagram in datagrams {
            sender.send_to(datagram, &group.into()).unwrap();
        }
        for listener in &mut listeners {
            for datagram in datagrams {
                let (from, length) = poll_fn(|cx| listener.poll_recv(cx)).await;
                assert_eq!((from, listener.datagram(length)), (source, datagram));
            }
        }
    }

    #[tokio::test]
    async fn a_group_that_cannot_be_joined_is_an_error() {
        let config = AnnounceConfig { interfaces: Vec::new(), ..AnnounceConfig::default() };
        let error = Listener::open(&config).unwrap_err().to_string();
        assert_eq!(error, "no interface to join it on is given");
    }
}
