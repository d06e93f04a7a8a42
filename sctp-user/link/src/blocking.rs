//! Links for stacks without a runtime.

use std::io;
use std::net::{IpAddr, UdpSocket};

use sctp_user_core::interface::from_socket_addr;
use socket2::Socket;

use crate::Link as _;
use crate::sockets::{Carrier, SocketLink};

/// What carries the packets of a stack that runs inside its calls (`blocking::Stack` of
/// `sctp-user`). The links for UDP and for raw IP have a function `open_blocking` that makes one.
pub struct BlockingLink {
    inner: SocketLink,
}

impl BlockingLink {
    /// A link over sockets that are bound to these addresses, all UDP or all raw as `carrier` says,
    /// to the UDP port `port` (0 for raw ones).
    ///
    /// With a single socket in a stack, a waiting call waits for it in the receive call itself, so
    /// that a message takes one system call less.
    ///
    /// # Errors
    /// The address whose socket lacks something that the link needs, with what the system said.
    pub fn new(
        carrier: Carrier,
        sockets: Vec<(IpAddr, Socket)>,
        port: u16,
    ) -> Result<Self, (IpAddr, io::Error)> {
        Ok(BlockingLink { inner: SocketLink::plain(carrier, sockets, port)? })
    }

    /// A link over one bound UDP socket.
    ///
    /// # Errors
    /// When the socket lacks something that the link needs.
    pub fn udp(socket: UdpSocket) -> io::Result<Self> {
        let bound = socket.local_addr()?;
        let sockets = vec![(from_socket_addr(bound), socket.into())];
        Self::new(Carrier::Udp, sockets, bound.port()).map_err(|(_, error)| error)
    }

    /// The sockets, for the stack.
    pub fn into_sockets(self) -> SocketLink {
        self.inner
    }

    /// The own UDP port of a link that encapsulates in UDP; `None` for other links.
    pub fn local_udp_port(&self) -> Option<u16> {
        self.inner.local_udp_port()
    }

    /// The addresses this link sends from and receives on; unspecified ones stand for all of the
    /// host.
    pub fn local_addrs(&self) -> Vec<IpAddr> {
        self.inner.local_addrs()
    }
}
