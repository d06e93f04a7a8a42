//! Opening, binding, listening, accepting, connecting and peeling off.

use std::net::IpAddr;

use crate::addr::Peer;
use crate::config::AssocConfig;
use crate::stack::AssocId;
use crate::time::Time;

use super::error::{EndReason, SocketError};
use super::options::{SocketOptions, Style};
use super::record::{Assoc, Readiness, Socket};
use super::{SocketId, Sockets};

impl Sockets {
    /// Opens a socket (`socket()`).
    pub fn open(&mut self, style: Style, options: SocketOptions) -> SocketId {
        let serial = self.next_serial;
        self.next_serial += 1;
        let index = self.sockets.insert(Socket::new(serial, style, options));
        SocketId { index: u32::try_from(index).expect("fewer than 2^32 open sockets"), serial }
    }

    /// A port that [`bind`](Self::bind) would pick for 0. This is for callers that first have to
    /// ask others whether the port is free.
    ///
    /// # Errors
    /// [`SocketError::Bind`] when all are taken.
    pub fn free_port(&mut self) -> Result<u16, SocketError> {
        Ok(self.stack.free_port()?)
    }

    /// Grants ports for [`bind`](Self::bind) with port 0; see
    /// [`Stack::grant_ports`](crate::Stack::grant_ports).
    pub fn grant_ports(&mut self, ports: impl IntoIterator<Item = u16>) {
        self.stack.grant_ports(ports);
    }

    /// Takes granted ports back; see [`Stack::revoke_ports`](crate::Stack::revoke_ports).
    pub fn revoke_ports(&mut self, which: impl FnMut(u16) -> bool) {
        self.stack.revoke_ports(which);
    }

    /// As [`bind`](Self::bind) with port 0, but takes a port that [`free_port`](Self::free_port)
    /// has returned.
    ///
    /// # Errors
    /// As [`bind`](Self::bind).
    pub fn bind_drawn(
        &mut self,
        id: SocketId,
        port: u16,
        addrs: &[IpAddr],
    ) -> Result<u16, SocketError> {
        self.bind(id, port, addrs).inspect(|port| self.stack.set_automatic(*port))
    }

    /// Binds a socket to an SCTP port and to addresses (`bind`, `sctp_bindx`) and returns the port.
    /// [`Stack::bind`](crate::Stack::bind) says what port 0 means and what no, one or several
    /// addresses mean.
    ///
    /// Two sockets share a port if both have [`reuse_port`](SocketOptions::reuse_port) on. Only one
    /// socket of a port can listen at a time. A socket with this option can also take the port of
    /// another such socket that was closed while associations of it live on.
    ///
    /// # Errors
    /// [`SocketError::Bind`], or [`SocketError::Invalid`] when the socket is bound already.
    pub fn bind(&mut self, id: SocketId, port: u16, addrs: &[IpAddr]) -> Result<u16, SocketError> {
        let socket = self.open_socket(id)?;
        if socket.port.is_some() {
            return Err(SocketError::Invalid("the socket is bound already"));
        }
        let config = socket.options.config.clone();
        let may_share = socket.options.reuse_port && socket.style == Style::OneToOne;
        let port = if may_share && self.can_be_shared(port, addrs) {
            config.check()?;
            port
        } else {
            let port = if may_share && self.was_given_up(port) {
                self.stack.rebind(port, addrs, config)?;
                port
            } else {
                self.stack.bind(port, addrs, config)?
            };
            self.given_up.remove(&port);
            self.ports.insert(port, id);
            port
        };
        let socket = self.open_socket(id)?;
        socket.port = Some(port);
        socket.owns_port = true;
        socket.addrs = addrs.to_vec();
        Ok(port)
    }

    /// Replaces the addresses that a bound socket uses for future associations (`sctp_bindx`).
    ///
    /// # Errors
    /// [`SocketError::Bind`]; [`SocketError::Invalid`] when the socket is not bound by itself;
    /// [`SocketError::NotSupported`] while it has associations, whose addresses cannot change, or
    /// while it shares its port.
    pub fn set_addrs(&mut self, id: SocketId, addrs: &[IpAddr]) -> Result<(), SocketError> {
        let socket = self.open_socket(id)?;
        if !socket.members.is_empty() {
            return Err(SocketError::NotSupported(
                "the addresses of a living association cannot be changed",
            ));
        }
        let port = socket.port.filter(|_| socket.owns_port);
        let port = port.ok_or(SocketError::Invalid("the socket is not bound"))?;
        if self.shares_port(id, port).is_some() {
            return Err(SocketError::NotSupported(
                "the addresses of a port shared with other sockets cannot be changed",
            ));
        }
        self.stack.set_port_addrs(port, addrs)?;
        self.open_socket(id)?.addrs = addrs.to_vec();
        Ok(())
    }

    /// Adds addresses to those of a bound socket (`sctp_bindx` with SCTP_BINDX_ADD_ADDR). Addresses
    /// that it has already are not added again.
    ///
    /// # Errors
    /// As [`set_addrs`](Self::set_addrs); [`SocketError::Invalid`] when the socket is bound to all
    /// addresses.
    pub fn add_addrs(&mut self, id: SocketId, addrs: &[IpAddr]) -> Result<(), SocketError> {
        let mut all = self.open_socket(id)?.addrs.clone();
        if all.is_empty() {
            return Err(SocketError::Invalid(
                "the socket is not bound to particular addresses, so none can be added",
            ));
        }
        for addr in addrs {
            if !all.contains(addr) {
                all.push(*addr);
            }
        }
        self.set_addrs(id, &all)
    }

    /// Removes addresses from those of a bound socket (`sctp_bindx` with SCTP_BINDX_REM_ADDR).
    ///
    /// # Errors
    /// As [`set_addrs`](Self::set_addrs); [`SocketError::Invalid`] when the socket does not have
    /// one of the addresses, or has no others.
    pub fn remove_addrs(&mut self, id: SocketId, addrs: &[IpAddr]) -> Result<(), SocketError> {
        let mut rest = self.open_socket(id)?.addrs.clone();
        if addrs.iter().any(|addr| !rest.contains(addr)) {
            return Err(SocketError::Invalid("the socket is not bound to this address"));
        }
        rest.retain(|addr| !addrs.contains(addr));
        if rest.is_empty() {
            return Err(SocketError::Invalid("the last address of a socket cannot be removed"));
        }
        self.set_addrs(id, &rest)
    }

    /// Accepts incoming associations (`listen`) and binds a free port first if the socket is not
    /// bound. A one-to-one socket hands the associations out by [`accept`](Self::accept), and at
    /// most `backlog` of them wait for that. A one-to-many socket takes them as its own. A
    /// `backlog` of 0 stops listening: what waits can still be accepted, and after that
    /// [`accept`](Self::accept) fails.
    ///
    /// # Errors
    /// [`SocketError::Bind`], also when the socket shares its port with another one that listens;
    /// [`SocketError::Invalid`] for a one-to-one socket with an association.
    pub fn listen(&mut self, id: SocketId, backlog: usize) -> Result<(), SocketError> {
        let socket = self.open_socket(id)?;
        if socket.style == Style::OneToOne && !socket.members.is_empty() {
            return Err(SocketError::Invalid(
                "a one-to-one socket with an association cannot listen",
            ));
        }
        let port = self.own_port(id)?;
        self.lead_port(id, port)?;
        self.stack.listen(port, backlog)?;
        self.open_socket(id)?.listening = backlog > 0;
        if backlog == 0 {
            // Tasks that wait for an association learn that none will come.
            self.mark_socket_ready(id, Readiness { acceptable: true, ..Readiness::default() });
        }
        Ok(())
    }

    /// Takes the next incoming association of a listening one-to-one socket into a new socket,
    /// which inherits the options. The association may have ended already; what it has left can be
    /// read.
    ///
    /// # Errors
    /// [`SocketError::WouldBlock`] when none waits; [`SocketError::Invalid`] when none waits and
    /// the socket does not listen (any more); [`SocketError::NotSupported`] for a one-to-many
    /// socket, which accepts by itself.
    pub fn accept(&mut self, now: Time, id: SocketId) -> Result<SocketId, SocketError> {
        let socket = self.open_socket(id)?;
        if socket.style == Style::OneToMany {
            return Err(SocketError::NotSupported(
                "a one-to-many socket accepts by itself; to take a single association out of it, \
                 peel it off",
            ));
        }
        let none = if socket.listening {
            SocketError::WouldBlock
        } else {
            SocketError::Invalid("the socket does not listen")
        };
        let leads = socket.port.filter(|port| self.ports.get(port) == Some(&id));
        let assoc = leads.and_then(|port| self.stack.accept(port)).ok_or(none)?;
        if !self.assocs.contains(&assoc) {
            self.assocs.insert(assoc, Assoc::new(id, false, now));
        }
        let new = self.open_on_same_port(id)?;
        self.move_assoc(assoc, new);
        Ok(new)
    }

    /// Starts an association (`connect`, `sctp_connectx`) and binds a free port first if the socket
    /// is not bound. [`Ready::connected`](super::Ready::connected) and
    /// [`connect_result`](Self::connect_result) tell the outcome or, on a one-to-many socket,
    /// notifications do. Messages may be sent at once. A one-to-one socket may try again after a
    /// failed attempt.
    ///
    /// # Errors
    /// [`SocketError::AlreadyConnected`], [`SocketError::Connect`], [`SocketError::Bind`];
    /// [`SocketError::Invalid`] for a listening one-to-one socket.
    pub fn connect(
        &mut self,
        now: Time,
        id: SocketId,
        peer: &Peer,
    ) -> Result<AssocId, SocketError> {
        self.connect_with(now, id, peer, None)
    }

    /// As [`connect`](Self::connect), with settings for this association in place of those of the
    /// socket.
    ///
    /// # Errors
    /// As [`connect`](Self::connect), and [`SocketError::Config`].
    pub fn connect_with(
        &mut self,
        now: Time,
        id: SocketId,
        peer: &Peer,
        config: Option<AssocConfig>,
    ) -> Result<AssocId, SocketError> {
        if let Some(config) = &config {
            config.check()?;
        }
        let socket = self.open_socket(id)?;
        if socket.style == Style::OneToOne {
            if socket.listening {
                return Err(SocketError::Invalid("a listening one-to-one socket cannot connect"));
            }
            if let Some(old) = socket.members.first().copied() {
                if self.assocs.get(&old).is_some_and(|a| a.up || a.end.is_none()) {
                    return Err(SocketError::AlreadyConnected);
                }
                self.forget(now, old);
                self.open_socket(id)?.error = None;
            }
        }
        let port = self.own_port(id)?;
        let config = self.config_of_connect(id, config)?;
        let assoc = self.stack.connect(now, port, peer, config)?;
        self.assocs.insert(assoc, Assoc::new(id, true, now));
        self.open_socket(id)?.members.insert(assoc);
        self.handle_events(now);
        Ok(assoc)
    }

    /// Starts an association in a new one-to-one socket that shares the port of `id`, even if `id`
    /// is listening. This is connecting and peeling off in one call, for servers that also start
    /// associations from their port.
    ///
    /// # Errors
    /// [`SocketError::Connect`], [`SocketError::Bind`], [`SocketError::Config`].
    pub fn connect_from(
        &mut self,
        now: Time,
        id: SocketId,
        peer: &Peer,
        config: Option<AssocConfig>,
    ) -> Result<SocketId, SocketError> {
        if let Some(config) = &config {
            config.check()?;
        }
        let port = self.own_port(id)?;
        let config = self.config_of_connect(id, config)?;
        let assoc = self.stack.connect(now, port, peer, config)?;
        let new = self.open_on_same_port(id)?;
        self.assocs.insert(assoc, Assoc::new(new, true, now));
        self.open_socket(new)?.members.insert(assoc);
        self.handle_events(now);
        Ok(new)
    }

    /// How the attempt of a one-to-one socket to connect went. `Ok` once the association is up.
    ///
    /// # Errors
    /// [`SocketError::InProgress`] while the attempt goes on, [`SocketError::Ended`] when it
    /// failed, [`SocketError::NotConnected`] when there was none.
    pub fn connect_result(&self, id: SocketId) -> Result<(), SocketError> {
        let socket = self.socket(id).ok_or(SocketError::BadSocket)?;
        let assoc = socket.members.first().ok_or(SocketError::NotConnected)?;
        self.setup_result(id, *assoc)
    }

    /// How the setup of one association of a socket went, see
    /// [`connect_result`](Self::connect_result).
    ///
    /// # Errors
    /// As [`connect_result`](Self::connect_result); [`SocketError::NotConnected`] when the socket
    /// has no such association, or has none any more: see [`keep`](Self::keep).
    pub fn setup_result(&self, id: SocketId, assoc: AssocId) -> Result<(), SocketError> {
        self.socket(id).ok_or(SocketError::BadSocket)?;
        let assoc = self.assocs.get(&assoc).filter(|a| a.socket == id);
        let assoc = assoc.ok_or(SocketError::NotConnected)?;
        match &assoc.end {
            Some(reason @ EndReason::Lost(_)) => Err(SocketError::Ended(reason.clone())),
            _ if assoc.up => Ok(()),
            Some(reason) => Err(SocketError::Ended(reason.clone())),
            None => Err(SocketError::InProgress),
        }
    }

    /// Keeps what is known of an association of a one-to-many socket until `keep` is called again
    /// with `false`. Without that, an association that has ended is forgotten as soon as a reader
    /// has found its end, also when somebody else still waits for its
    /// [`setup_result`](Self::setup_result).
    ///
    /// # Errors
    /// [`SocketError::NotConnected`].
    pub fn keep(
        &mut self,
        now: Time,
        id: SocketId,
        assoc: AssocId,
        keep: bool,
    ) -> Result<(), SocketError> {
        let style = self.open_socket(id)?.style;
        let record = self.member(id, assoc)?;
        record.kept = keep;
        if !keep && style == Style::OneToMany && record.end.is_some() && !record.queued {
            self.forget(now, assoc);
        }
        Ok(())
    }

    /// Moves an association from a one-to-many socket to a new one-to-one socket, which inherits
    /// the options (`sctp_peeloff`). What is unread goes with it.
    ///
    /// # Errors
    /// [`SocketError::NotConnected`]; [`SocketError::NotSupported`] for a one-to-one socket.
    pub fn peel_off(&mut self, id: SocketId, assoc: AssocId) -> Result<SocketId, SocketError> {
        if self.open_socket(id)?.style == Style::OneToOne {
            return Err(SocketError::NotSupported(
                "only a one-to-many socket has associations to peel off",
            ));
        }
        self.member(id, assoc)?;
        let new = self.open_on_same_port(id)?;
        self.move_assoc(assoc, new);
        Ok(new)
    }

    /// The settings for an association that a socket starts. `None` means those of its port.
    fn config_of_connect(
        &mut self,
        id: SocketId,
        given: Option<AssocConfig>,
    ) -> Result<Option<AssocConfig>, SocketError> {
        // The port has the settings of its leader, which may be another socket.
        let options = &self.open_socket(id)?.options;
        Ok(given.or_else(|| options.reuse_port.then(|| options.config.clone())))
    }

    /// The port of a socket. Binds one if the socket has none.
    fn own_port(&mut self, id: SocketId) -> Result<u16, SocketError> {
        match self.open_socket(id)?.port {
            Some(port) => Ok(port),
            None => self.bind(id, 0, &[]),
        }
    }

    /// A new one-to-one socket with the port and the options of `id`.
    fn open_on_same_port(&mut self, id: SocketId) -> Result<SocketId, SocketError> {
        let parent = self.open_socket(id)?;
        let (options, port, addrs) = (parent.options.clone(), parent.port, parent.addrs.clone());
        let new = self.open(Style::OneToOne, options);
        let socket = self.open_socket(new)?;
        socket.port = port;
        socket.addrs = addrs;
        Ok(new)
    }

    /// Moves an association to another socket, with everything of it that waits to be read.
    fn move_assoc(&mut self, id: AssocId, to: SocketId) {
        self.unwatch_idle(id);
        let Some(assoc) = self.assocs.get_mut(&id) else { return };
        let from = std::mem::replace(&mut assoc.socket, to);
        assoc.accepted = true;
        assoc.queued = false;
        let end = assoc.end.clone();
        let is_ready =
            assoc.readable || !assoc.notes.is_empty() || end.is_some() || assoc.peer_shutdown;
        if let Some(socket) = self.socket_mut(from) {
            socket.members.remove(&id);
        }
        if let Some(socket) = self.socket_mut(to) {
            socket.members.insert(id);
            socket.error = end.filter(|e| !e.is_graceful());
        }
        if is_ready {
            self.queue_read(id);
            self.mark_ready(
                id,
                Readiness { readable: true, writable: true, ..Readiness::default() },
            );
        }
    }
}
