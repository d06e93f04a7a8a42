//! The handles of a blocking stack: names of its sockets, which can be copied.

use sctp_user_core::AssocId;
use sctp_user_core::socket::SocketId;

mod sealed {
    pub trait Sealed {}
}

/// A handle that names a socket of a stack.
pub trait Handle: sealed::Sealed + Copy {
    /// The identifier of the socket in [`Ready`](super::Ready) and [`Sockets`](super::Sockets).
    fn socket(self) -> SocketId;
}

/// A bound SCTP port. It can accept associations, and associations can be started from it.
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
    /// The identifier of the association in its stack. The stack never uses it for another one.
    pub fn id(self) -> AssocId {
        self.assoc
    }

    /// The local SCTP port.
    pub fn local_port(self) -> u16 {
        self.local_port
    }

    /// The SCTP port of the peer.
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
