//! The socket below a link: one that the tokio runtime watches, or one that its owner waits for.

use std::io;
use std::net::{SocketAddr, UdpSocket as PlainSocket};
use std::sync::Arc;

use quinn_udp::{RecvMeta, UdpSockRef};
use socket2::SockRef;
use tokio::net::UdpSocket;

/// A socket. Both kinds serve raw sockets as well: they are system calls that know no protocol.
pub(super) enum Io {
    /// Watched by the runtime, which says when there is something to do.
    Watched(Arc<UdpSocket>),
    /// Used directly. Whoever polls the link waits for the socket by themselves.
    Plain(PlainSocket),
}

impl Io {
    /// For send and receive calls.
    pub(super) fn udp(&self) -> UdpSockRef<'_> {
        match self {
            Io::Watched(socket) => (&**socket).into(),
            Io::Plain(socket) => socket.into(),
        }
    }

    /// For options.
    pub(super) fn sock(&self) -> SockRef<'_> {
        match self {
            Io::Watched(socket) => (&**socket).into(),
            Io::Plain(socket) => socket.into(),
        }
    }

    /// Receives one datagram, which waits where calls on the socket do. Nothing is told but where
    /// it came from.
    pub(super) fn recv_from(&self, buffer: &mut [u8]) -> io::Result<RecvMeta> {
        let (len, from) = match self {
            Io::Watched(socket) => socket.try_recv_from(buffer)?,
            Io::Plain(socket) => socket.recv_from(buffer)?,
        };
        let mut meta = RecvMeta::default();
        (meta.addr, meta.len, meta.stride) = (from, len, len);
        Ok(meta)
    }

    /// One datagram with nothing but its destination, which waits where calls on the socket do.
    pub(super) fn send_to(&self, bytes: &[u8], to: SocketAddr) -> io::Result<()> {
        match self {
            Io::Watched(socket) => SockRef::from(&**socket).send_to(bytes, &to.into()).map(drop),
            Io::Plain(socket) => socket.send_to(bytes, to).map(drop),
        }
    }
}

#[cfg(unix)]
mod fds {
    use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

    use super::Io;

    impl AsFd for Io {
        fn as_fd(&self) -> BorrowedFd<'_> {
            match self {
                Io::Watched(socket) => socket.as_fd(),
                Io::Plain(socket) => socket.as_fd(),
            }
        }
    }

    impl AsRawFd for Io {
        fn as_raw_fd(&self) -> RawFd {
            self.as_fd().as_raw_fd()
        }
    }
}
