//! The options of sockets, and the calls that change settings of their associations.

use core::time::Duration;
use std::net::IpAddr;

use crate::addr::Encap;
use crate::config::{AssocConfig, PathParams};
use crate::stack::AssocId;
use crate::time::Time;

use super::error::SocketError;
use super::notification::{Notification, Subscriptions};
use super::send_defaults::SendDefaults;
use super::{SocketId, Sockets};

/// The two socket styles of RFC 6458.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// SOCK_STREAM: a listener, or a socket with one association (RFC 6458 sec 4).
    OneToOne,
    /// SOCK_SEQPACKET: one socket with many associations (RFC 6458 sec 3).
    OneToMany,
}

/// SO_LINGER: what happens when a one-to-one socket is closed (RFC 6458 sec 8.1.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Linger {
    /// The graceful shutdown begins and goes on without the socket.
    #[default]
    Graceful,
    /// An ABORT is sent (SO_LINGER on, 0 seconds).
    Abort,
}

/// How far a one-to-many socket mixes the messages of different associations (RFC 6458 sec 8.1.20).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Interleave {
    /// While a reader gets a message in parts, nothing else comes in between.
    None,
    /// Messages of other associations may come between the parts, but nothing of the same
    /// association.
    #[default]
    Associations,
}

/// Options of one socket. An accepted or peeled-off socket inherits those of its parent.
#[derive(Clone, Debug, Default)]
pub struct SocketOptions {
    /// The notifications that the reader gets. Default none.
    pub subscriptions: Subscriptions,
    /// What happens when the socket is closed. Default graceful. Unread messages make it an ABORT
    /// in any case.
    pub linger: Linger,
    /// SCTP_AUTOCLOSE, for one-to-many sockets only: an association is shut down gracefully after
    /// this long without user data in either direction. Default `None`, which means never.
    pub autoclose: Option<Duration>,
    /// SCTP_FRAGMENT_INTERLEAVE. Default [`Interleave::Associations`].
    pub interleave: Interleave,
    /// SCTP_REUSE_PORT, for one-to-one sockets only. Sockets that have this option on can share a
    /// port if they are bound to the same addresses (RFC 6458 sec 8.1.27). And when such a socket
    /// is closed while associations of it live on, another can bind its port again. Set it before
    /// binding. Default off.
    pub reuse_port: bool,
    /// SCTP_DEFAULT_SNDINFO. Default stream 0, PPID 0, ordered.
    pub send: SendDefaults,
    /// Settings of future associations of the socket.
    pub config: AssocConfig,
}

impl Sockets {
    /// The options of a socket.
    pub fn options(&self, id: SocketId) -> Option<&SocketOptions> {
        self.socket(id).map(|s| &s.options)
    }

    /// Chooses the notifications of a socket. This holds for its living associations, too, even for
    /// those that had a choice of their own (SCTP_ALL_ASSOC).
    ///
    /// # Errors
    /// [`SocketError::BadSocket`].
    pub fn set_subscriptions(
        &mut self,
        id: SocketId,
        subscriptions: Subscriptions,
    ) -> Result<(), SocketError> {
        let had =
            std::mem::replace(&mut self.open_socket(id)?.options.subscriptions, subscriptions);
        for assoc in self.assocs_of(id) {
            let own = self.assocs.get_mut(&assoc).and_then(|a| a.subscriptions.take());
            if !own.unwrap_or(had).sender_dry {
                self.notify_if_dry(assoc, subscriptions);
            }
        }
        Ok(())
    }

    /// Chooses the notifications of one association in place of those of its socket (SCTP_EVENT
    /// with an association identifier).
    ///
    /// # Errors
    /// [`SocketError::BadSocket`], [`SocketError::NotConnected`].
    pub fn set_assoc_subscriptions(
        &mut self,
        id: SocketId,
        assoc: AssocId,
        subscriptions: Subscriptions,
    ) -> Result<(), SocketError> {
        let had = self.assoc_subscriptions(id, assoc)?;
        self.member(id, assoc)?.subscriptions = Some(subscriptions);
        if !had.sender_dry {
            self.notify_if_dry(assoc, subscriptions);
        }
        Ok(())
    }

    /// The notifications that are chosen for an association.
    ///
    /// # Errors
    /// [`SocketError::BadSocket`], [`SocketError::NotConnected`].
    pub fn assoc_subscriptions(
        &mut self,
        id: SocketId,
        assoc: AssocId,
    ) -> Result<Subscriptions, SocketError> {
        let own = self.member(id, assoc)?.subscriptions;
        Ok(own.unwrap_or(self.open_socket(id)?.options.subscriptions))
    }

    /// A new subscriber is notified at once if nothing is left to send (RFC 6458 sec 6.1.9).
    fn notify_if_dry(&mut self, assoc: AssocId, wanted: Subscriptions) {
        if wanted.sender_dry
            && self.stack.status(assoc).is_some_and(|s| s.send_buffered == 0)
            && self.end_reason(assoc).is_none()
        {
            self.notify(assoc, Notification::SenderDry);
        }
    }

    /// Chooses what happens when the socket is closed (SO_LINGER).
    ///
    /// # Errors
    /// [`SocketError::BadSocket`].
    pub fn set_linger(&mut self, id: SocketId, linger: Linger) -> Result<(), SocketError> {
        self.open_socket(id)?.options.linger = linger;
        Ok(())
    }

    /// Sets SCTP_AUTOCLOSE, for living associations, too. `None` or zero switches it off.
    ///
    /// # Errors
    /// [`SocketError::NotSupported`] for a one-to-one socket.
    pub fn set_autoclose(
        &mut self,
        id: SocketId,
        idle: Option<Duration>,
    ) -> Result<(), SocketError> {
        let socket = self.open_socket(id)?;
        if socket.style == Style::OneToOne {
            return Err(SocketError::NotSupported("autoclose is for one-to-many sockets only"));
        }
        socket.options.autoclose = idle.filter(|d| !d.is_zero());
        self.watch_members(id);
        Ok(())
    }

    /// Sets SCTP_FRAGMENT_INTERLEAVE.
    ///
    /// # Errors
    /// [`SocketError::BadSocket`].
    pub fn set_interleave(
        &mut self,
        id: SocketId,
        interleave: Interleave,
    ) -> Result<(), SocketError> {
        self.open_socket(id)?.options.interleave = interleave;
        Ok(())
    }

    /// Changes the settings of future associations of a socket (SCTP_FUTURE_ASSOC).
    ///
    /// # Errors
    /// [`SocketError::Config`], and then nothing changes.
    pub fn set_config(&mut self, id: SocketId, config: AssocConfig) -> Result<(), SocketError> {
        config.check()?;
        let socket = self.open_socket(id)?;
        socket.options.config = config.clone();
        let port = socket.port.filter(|_| socket.owns_port);
        if let Some(port) = port.filter(|port| self.ports.get(port) == Some(&id)) {
            self.stack.set_port_config(port, config)?;
        }
        Ok(())
    }

    /// The settings of a living association.
    ///
    /// # Errors
    /// [`SocketError::NotConnected`].
    pub fn assoc_config(
        &mut self,
        now: Time,
        id: SocketId,
        assoc: AssocId,
    ) -> Result<AssocConfig, SocketError> {
        self.member(id, assoc)?;
        let mut config = None;
        self.stack.configure(now, assoc, |c| config = Some(c.clone()))??;
        config.ok_or(SocketError::NotConnected)
    }

    /// Replaces the settings of a living association; see
    /// [`Stack::configure`](crate::Stack::configure) for what may change.
    ///
    /// # Errors
    /// [`SocketError::NotConnected`]; [`SocketError::Config`], and then nothing changes.
    pub fn set_assoc_config(
        &mut self,
        now: Time,
        id: SocketId,
        assoc: AssocId,
        config: AssocConfig,
    ) -> Result<(), SocketError> {
        self.member(id, assoc)?;
        self.stack.configure(now, assoc, |c| *c = config)??;
        self.handle_events(now);
        Ok(())
    }

    /// Makes the path to `addr` the primary one (SCTP_PRIMARY_ADDR).
    ///
    /// # Errors
    /// [`SocketError::NotConnected`]; [`SocketError::NoSuchAddress`], also when it is not
    /// confirmed.
    pub fn set_primary(
        &mut self,
        now: Time,
        id: SocketId,
        assoc: AssocId,
        addr: IpAddr,
    ) -> Result<(), SocketError> {
        self.living_member(id, assoc)?;
        self.stack.set_primary(now, assoc, addr).map_err(|_| no_such(addr))?;
        self.handle_events(now);
        Ok(())
    }

    /// Sends a heartbeat to `addr` at once (SPP_HB_DEMAND).
    ///
    /// # Errors
    /// [`SocketError::NotConnected`], [`SocketError::NoSuchAddress`].
    pub fn request_heartbeat(
        &mut self,
        now: Time,
        id: SocketId,
        assoc: AssocId,
        addr: IpAddr,
    ) -> Result<(), SocketError> {
        self.living_member(id, assoc)?;
        self.stack.request_heartbeat(now, assoc, addr).map_err(|_| no_such(addr))?;
        self.handle_events(now);
        Ok(())
    }

    /// Has ICMP errors believed that have continued for `patience`, until a packet arrives from the
    /// peer, and asks for them by heartbeats; see [`Stack::suspect`](crate::Stack::suspect).
    ///
    /// # Errors
    /// [`SocketError::NotConnected`].
    pub fn suspect(
        &mut self,
        now: Time,
        id: SocketId,
        assoc: AssocId,
        patience: Duration,
    ) -> Result<(), SocketError> {
        self.living_member(id, assoc)?;
        self.stack.suspect(now, assoc, patience).map_err(|_| SocketError::NotConnected)?;
        self.handle_events(now);
        Ok(())
    }

    /// Changes how packets travel to `addr` (SCTP_REMOTE_UDP_ENCAPS_PORT); see
    /// [`Stack::set_path_encap`](crate::Stack::set_path_encap).
    ///
    /// # Errors
    /// [`SocketError::NotConnected`], [`SocketError::NoSuchAddress`]; [`SocketError::Config`] for
    /// UDP port 0.
    pub fn set_path_encap(
        &mut self,
        now: Time,
        id: SocketId,
        assoc: AssocId,
        addr: IpAddr,
        encap: Encap,
    ) -> Result<(), SocketError> {
        self.living_member(id, assoc)?;
        self.stack.set_path_encap(now, assoc, addr, encap).map_err(|_| no_such(addr))??;
        Ok(())
    }

    /// The settings of the path to `addr` (SCTP_PEER_ADDR_PARAMS).
    ///
    /// # Errors
    /// [`SocketError::NotConnected`], [`SocketError::NoSuchAddress`].
    pub fn path_params(
        &mut self,
        id: SocketId,
        assoc: AssocId,
        addr: IpAddr,
    ) -> Result<PathParams, SocketError> {
        self.member(id, assoc)?;
        self.stack.path_params(assoc, addr).map_err(|_| no_such(addr))
    }

    /// Changes the settings of the path to `addr`.
    ///
    /// # Errors
    /// [`SocketError::NotConnected`], [`SocketError::NoSuchAddress`], [`SocketError::Config`].
    pub fn set_path_params(
        &mut self,
        now: Time,
        id: SocketId,
        assoc: AssocId,
        addr: IpAddr,
        params: PathParams,
    ) -> Result<(), SocketError> {
        self.living_member(id, assoc)?;
        self.stack.set_path_params(now, assoc, addr, params).map_err(|_| no_such(addr))??;
        self.handle_events(now);
        Ok(())
    }

    /// Fails for an association that has ended.
    fn living_member(&mut self, id: SocketId, assoc: AssocId) -> Result<(), SocketError> {
        let ended = self.member(id, assoc)?.end.is_some();
        if ended { Err(SocketError::NotConnected) } else { Ok(()) }
    }
}

fn no_such(addr: IpAddr) -> SocketError {
    SocketError::NoSuchAddress(addr)
}
