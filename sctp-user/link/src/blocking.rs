//! Links for stacks that run without an async runtime.

use std::io;
use std::net::{IpAddr, UdpSocket};

use sctp_user_core::interface::from_socket_addr;
use socket2::Socket;

use crate::Link as _;
use crate::sockets::{Carrier, SocketLink};

/// Carries the packets of a blocking stack (`blocking::Stack` of `sctp-user`), which works only
/// while the application is in one of its calls. The links for UDP and for raw IP each have a
/// function `open_blocking` that makes one.
pub struct BlockingLink {
    inner: SocketLink,
}

impl BlockingLink {
    /// A link over sockets that are already bound to these addresses. They are all UDP or all raw,
    /// as `carrier` says. `port` is the UDP port they are bound to (0 for raw sockets).
    ///
    /// If the stack has only one socket, a call that waits does so inside the receive system call.
    /// That saves one system call per message.
    ///
    /// # Errors
    /// The system refused a socket option that the link needs: the address of that socket, and the
    /// system's error.
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
    /// The system refused a socket option that the link needs.
    pub fn udp(socket: UdpSocket) -> io::Result<Self> {
        let bound = socket.local_addr()?;
        let sockets = vec![(from_socket_addr(bound), socket.into())];
        Self::new(Carrier::Udp, sockets, bound.port()).map_err(|(_, error)| error)
    }

    /// Hands the sockets over to the stack.
    pub fn into_sockets(self) -> SocketLink {
        self.inner
    }

    /// The local UDP port, if this link encapsulates in UDP; `None` for other links.
    pub fn local_udp_port(&self) -> Option<u16> {
        self.inner.local_udp_port()
    }

    /// The addresses this link sends from and receives on. An unspecified one (`0.0.0.0`, `::`)
    /// stands for every address of its family that the host has.
    pub fn local_addrs(&self) -> Vec<IpAddr> {
        self.inner.local_addrs()
    }
}
