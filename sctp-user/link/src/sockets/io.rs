//! A socket of a link. Either the tokio runtime watches it, or its owner waits for it.

use std::io;
use std::net::{SocketAddr, UdpSocket as PlainSocket};
use std::sync::Arc;

use quinn_udp::{RecvMeta, UdpSockRef};
use socket2::SockRef;
use tokio::net::UdpSocket;

/// A socket. Although the types say UDP, both kinds hold raw sockets as well: the system calls
/// below them are the same for every protocol.
pub(super) enum Io {
    /// The runtime watches it and says when there is something to do.
    Watched(Arc<UdpSocket>),
    /// Nobody watches it. The thread that polls the link also waits for the socket.
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

    /// Receives one datagram, and learns nothing about it but where it came from. Waits if the
    /// socket is in blocking mode.
    pub(super) fn recv_from(&self, buffer: &mut [u8]) -> io::Result<RecvMeta> {
        let (len, from) = match self {
            Io::Watched(socket) => socket.try_recv_from(buffer)?,
            Io::Plain(socket) => socket.recv_from(buffer)?,
        };
        let mut meta = RecvMeta::default();
        (meta.addr, meta.len, meta.stride) = (from, len, len);
        Ok(meta)
    }

    /// Sends one datagram with no options but its destination. Waits if the socket is in blocking
    /// mode.
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
