//! The handles of a blocking stack: names of its sockets, which can be copied.

use sctp_user_core::socket::{SocketId, Sockets};
use sctp_user_core::{AssocConfig, AssocId, Peer, Time};

use crate::error::Error;

/// Nobody else implements [`Handle`] and [`Port`], or needs to name these.
#[expect(unnameable_types, reason = "the traits are sealed")]
mod sealed {
    use super::*;

    pub trait Sealed {}

    /// Starts associations. `C` is the type that names them.
    pub trait Connects<C> {
        fn start(
            self,
            sockets: &mut Sockets,
            now: Time,
            peer: &Peer,
            config: Option<AssocConfig>,
        ) -> Result<C, Error>;

        /// The socket and the association that `connected` names.
        fn socket_and_assoc(self, connected: C) -> (SocketId, AssocId);

        /// The name of the association after its local port has become `local_port`.
        fn with_local_port(self, connected: C, local_port: u16) -> C;
    }
}

/// A handle that names a socket of a stack.
pub trait Handle: sealed::Sealed + Copy {
    /// The identifier of the socket in [`Ready`](super::Ready) and [`Sockets`].
    fn socket(self) -> SocketId;
}

/// A handle that is bound to an SCTP port: it can listen and start associations.
pub trait Port: Handle + sealed::Connects<<Self as Port>::Connected> {
    /// The type that names an association started from this handle.
    type Connected: Copy;
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

impl Port for Endpoint {
    type Connected = Association;
}

impl sealed::Connects<Association> for Endpoint {
    fn start(
        self,
        sockets: &mut Sockets,
        now: Time,
        peer: &Peer,
        config: Option<AssocConfig>,
    ) -> Result<Association, Error> {
        let socket = sockets.connect_from(now, self.socket, peer, config)?;
        let assoc = sockets.assocs_of(socket).first().copied().ok_or(Error::NoAssociation)?;
        Ok(Association { socket, assoc, local_port: self.port, peer_port: peer.port })
    }

    fn socket_and_assoc(self, connected: Association) -> (SocketId, AssocId) {
        (connected.socket, connected.assoc)
    }

    fn with_local_port(self, connected: Association, local_port: u16) -> Association {
        Association { local_port, ..connected }
    }
}

impl Port for OneToMany {
    type Connected = AssocId;
}

impl sealed::Connects<AssocId> for OneToMany {
    fn start(
        self,
        sockets: &mut Sockets,
        now: Time,
        peer: &Peer,
        config: Option<AssocConfig>,
    ) -> Result<AssocId, Error> {
        Ok(sockets.connect_with(now, self.socket, peer, config)?)
    }

    fn socket_and_assoc(self, connected: AssocId) -> (SocketId, AssocId) {
        (self.socket, connected)
    }

    fn with_local_port(self, connected: AssocId, _: u16) -> AssocId {
        connected
    }
}
