//! Names of sockets.

use sctp_user_core::AssocId;
use sctp_user_core::socket::SocketId;

mod sealed {
    pub trait Sealed {}
}

/// What names a socket of a stack.
pub trait Handle: sealed::Sealed + Copy {
    /// The socket, as [`Ready`](super::Ready) and [`Sockets`](super::Sockets) name it.
    fn socket(self) -> SocketId;
}

/// A bound SCTP port, on which associations are accepted and from which they are started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    pub(super) socket: SocketId,
    pub(super) port: u16,
}

impl Endpoint {
    /// The SCTP port.
    pub fn port(self) -> u16 {
        self.port
    }
}

/// An association with a socket of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Association {
    pub(super) socket: SocketId,
    pub(super) assoc: AssocId,
    pub(super) local_port: u16,
    pub(super) peer_port: u16,
}

impl Association {
    /// Names the association in its stack; never used again for another one.
    pub fn id(self) -> AssocId {
        self.assoc
    }

    /// Own SCTP port.
    pub fn local_port(self) -> u16 {
        self.local_port
    }

    /// SCTP port of the peer.
    pub fn peer_port(self) -> u16 {
        self.peer_port
    }
}

/// A bound SCTP port with all of its associations (RFC 6458 sec 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OneToMany {
    pub(super) socket: SocketId,
    pub(super) port: u16,
}

impl OneToMany {
    /// The SCTP port.
    pub fn port(self) -> u16 {
        self.port
    }
}

macro_rules! handle {
    ($($name:ty),*) => {$(
        impl sealed::Sealed for $name {}
        impl Handle for $name {
            fn socket(self) -> SocketId {
                self.socket
            }
        }
    )*};
}

handle!(Endpoint, Association, OneToMany);
