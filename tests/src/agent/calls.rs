//! The calls that a sockets program makes. They are the same in both modes.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use sctp_user_core::socket::{
    How, Interleave, Linger, SocketError, SocketId, SocketOptions, Sockets, Style, Target,
};
use sctp_user_core::{AssocConfig, AssocId, Encap, Message, Peer, SendOptions, StackConfig, Time};

use sctp_user_core::interface::to_socket_addr;

use super::Reply;
use super::errno::Errno;
use super::recv::Rest;
use super::request::{Request, join};

/// The sockets, and their numbers in the protocol.
pub(crate) struct Agent {
    pub(crate) sockets: Sockets,
    pub(crate) now: Time,
    encap: Encap,
    /// The life of cookies if the user has not set one.
    cookie_life: Duration,
    /// The settings of new sockets.
    defaults: AssocConfig,
    pub(super) open: BTreeMap<u32, Open>,
    next_socket: u32,
    assocs: BTreeMap<AssocId, u32>,
    next_assoc: u32,
    /// The addresses that ports are bound to. They are kept here because associations outlive their
    /// sockets.
    bound: BTreeMap<u16, Vec<IpAddr>>,
}

/// An open socket.
pub(super) struct Open {
    pub(super) id: SocketId,
    v6: bool,
    pub(super) style: Style,
    /// The rest of a message that did not fit into the buffer of the last `recv`.
    pub(super) rest: Option<Rest>,
    /// These three are options that are kept as they were set, so that `get` can return them.
    pub(super) linger: (bool, u32),
    pub(super) recvrcvinfo: bool,
    pub(super) data_io: bool,
}

impl Agent {
    /// An agent without sockets. It reaches peers by `encap`.
    pub(crate) fn new(
        stack: StackConfig,
        defaults: AssocConfig,
        encap: Encap,
        seed: [u8; 32],
    ) -> Self {
        Agent {
            cookie_life: stack.cookie_life,
            sockets: Sockets::new(stack, seed),
            now: Time::ZERO,
            encap,
            defaults,
            open: BTreeMap::new(),
            next_socket: 1,
            assocs: BTreeMap::new(),
            // 0, 1 and 2 stand for future, current and all associations (RFC 6458 sec 7.2).
            next_assoc: 3,
            bound: BTreeMap::new(),
        }
    }

    /// Handles a request that has the same meaning in both modes.
    pub(crate) fn request(&mut self, r: &Request<'_>) -> Reply {
        let reply = match r.verb {
            "socket" => self.socket(r),
            "bind" => self.bind(r),
            "bindx" => self.bindx(r),
            "listen" => self.listen(r),
            "accept" => self.accept(r),
            "connect" => self.connect(r),
            "connected" => self.connected(r),
            "send" => self.send(r),
            "recv" => self.recv(r),
            "shutdown" => self.shutdown(r),
            "close" => self.close(r),
            "soerror" => self.soerror(r),
            "laddrs" => self.laddrs(r),
            "paddrs" => self.paddrs(r),
            "peeloff" => self.peeloff(r),
            "set" => self.set(r),
            "get" => self.get(r),
            _ => Err(Errno::EOPNOTSUPP),
        };
        // No task waits for sockets here, so none has to be woken.
        while self.sockets.poll_ready().is_some() {}
        reply
    }

    fn socket(&mut self, r: &Request<'_>) -> Reply {
        let v6 = match r.need("fam")? {
            "4" => false,
            "6" => true,
            _ => return Err(Errno::EINVAL),
        };
        let style = match r.need("type")? {
            "stream" => Style::OneToOne,
            "seqpacket" => Style::OneToMany,
            _ => return Err(Errno::EINVAL),
        };
        // As on Linux, parts of different messages are not mixed by default.
        let interleave = Interleave::None;
        let options =
            SocketOptions { config: self.defaults.clone(), interleave, ..SocketOptions::default() };
        let id = self.sockets.open(style, options);
        let open = Open {
            id,
            v6,
            style,
            rest: None,
            linger: (false, 0),
            recvrcvinfo: false,
            data_io: false,
        };
        Ok(self.enter(open))
    }

    /// Gives a socket a number and returns the reply with it.
    fn enter(&mut self, open: Open) -> String {
        let name = self.next_socket;
        self.next_socket += 1;
        self.open.insert(name, open);
        format!("id={name}")
    }

    /// The same for a socket that takes over the family and the options of its parent.
    fn enter_child(&mut self, parent: u32, id: SocketId) -> Result<String, Errno> {
        let parent = self.open.get(&parent).ok_or(Errno::EBADF)?;
        let open = Open {
            id,
            v6: parent.v6,
            style: Style::OneToOne,
            rest: None,
            linger: parent.linger,
            recvrcvinfo: parent.recvrcvinfo,
            data_io: parent.data_io,
        };
        Ok(self.enter(open))
    }

    fn bind(&mut self, r: &Request<'_>) -> Reply {
        let open = self.find(r)?;
        let (id, v6) = (open.id, open.v6);
        let addr = r.addr("addr")?;
        let addrs = bindable(v6, &[addr.ip()])?;
        self.bind_to(id, addr.port(), &addrs)
    }

    fn bind_to(&mut self, id: SocketId, port: u16, addrs: &[IpAddr]) -> Reply {
        let port = self.sockets.bind(id, port, addrs).map_err(|e| Errno::of(&e))?;
        self.bound.insert(port, addrs.to_vec());
        Ok(String::new())
    }

    fn bindx(&mut self, r: &Request<'_>) -> Reply {
        let open = self.find(r)?;
        let (id, v6) = (open.id, open.v6);
        let (addrs, port) = r.addrs("addrs")?;
        let addrs = bindable(v6, &addrs)?;
        let add = match r.need("op")? {
            "add" => true,
            "rem" => false,
            _ => return Err(Errno::EINVAL),
        };
        let Some(bound_port) = self.sockets.local_port(id) else {
            return if add { self.bind_to(id, port, &addrs) } else { Err(Errno::EINVAL) };
        };
        let had = self.sockets.local_addrs(id);
        if (port != 0 && port != bound_port) || addrs.is_empty() || had.is_empty() {
            return Err(Errno::EINVAL); // a socket bound to everything has nothing to add or remove
        }
        let mut now = had;
        if add {
            if addrs.iter().any(|a| now.contains(a)) {
                return Err(Errno::EADDRINUSE);
            }
            now.extend(addrs);
        } else {
            if addrs.iter().any(|a| !now.contains(a)) {
                return Err(Errno::EADDRNOTAVAIL);
            }
            now.retain(|a| !addrs.contains(a));
            if now.is_empty() {
                return Err(Errno::EINVAL);
            }
        }
        self.sockets.set_addrs(id, &now).map_err(|e| Errno::of(&e))?;
        self.bound.insert(bound_port, now);
        Ok(String::new())
    }

    fn listen(&mut self, r: &Request<'_>) -> Reply {
        let id = self.find(r)?.id;
        self.sockets.listen(id, r.need_number("backlog")?).map_err(|e| Errno::of(&e))?;
        Ok(String::new())
    }

    fn accept(&mut self, r: &Request<'_>) -> Reply {
        let name = r.need_number("id")?;
        let id = self.find(r)?.id;
        let new = self.sockets.accept(self.now, id).map_err(|e| Errno::of(&e))?;
        let peer = self.sockets.assocs_of(new).first().and_then(|assoc| self.peer_of(*assoc));
        let text = self.enter_child(name, new)?;
        Ok(format!("{text} peer={}", show(peer)))
    }

    fn connect(&mut self, r: &Request<'_>) -> Reply {
        let open = self.find(r)?;
        let (id, v6) = (open.id, open.v6);
        let (addrs, port) = r.addrs("addr")?;
        let peer = self.peer(v6, addrs, port)?;
        match self.sockets.connect(self.now, id, &peer) {
            Ok(_) => Err(Errno::EINPROGRESS),
            Err(SocketError::AlreadyConnected)
                if self.sockets.connect_result(id) == Err(SocketError::InProgress) =>
            {
                Err(Errno::EALREADY)
            }
            Err(error) => Err(Errno::of(&error)),
        }
    }

    fn peer(&self, v6: bool, addrs: Vec<IpAddr>, port: u16) -> Result<Peer, Errno> {
        if !v6 && addrs.iter().any(IpAddr::is_ipv6) {
            return Err(Errno::EINVAL);
        }
        Ok(Peer { addrs: addrs.into_iter().map(|ip| (ip, self.encap)).collect(), port })
    }

    fn connected(&mut self, r: &Request<'_>) -> Reply {
        let id = self.find(r)?.id;
        match self.sockets.connect_result(id) {
            Ok(()) => Ok(String::new()),
            Err(SocketError::InProgress) => Err(Errno::EAGAIN),
            Err(error) => Err(Errno::of(&error)),
        }
    }

    fn send(&mut self, r: &Request<'_>) -> Reply {
        let open = self.find(r)?;
        let (id, v6, style) = (open.id, open.v6, open.style);
        let (mut eof, mut abort, mut options) = (false, false, SendOptions::default());
        for flag in r.list("flags") {
            match flag {
                "unord" => options.unordered = true,
                "sackimm" => options.sack_immediately = true,
                "eof" => eof = true,
                "abort" => abort = true,
                _ => return Err(Errno::EINVAL),
            }
        }
        match r.get("pr").unwrap_or("none") {
            "none" => {}
            "ttl" => options.lifetime = Some(Duration::from_millis(r.need_number("val")?)),
            "rtx" | "prio" => return Err(Errno::EOPNOTSUPP),
            _ => return Err(Errno::EINVAL),
        }
        options.context = r.number_or_zero("ctx")?;
        let data = Bytes::from(r.hex("data")?);
        let (stream, ppid, len) = (r.number_or_zero("sid")?, r.number_or_zero("ppid")?, data.len());
        let to = match r.get("to") {
            Some(_) => {
                let addr = r.addr("to")?;
                Some(self.peer(v6, vec![addr.ip()], addr.port())?)
            }
            None => None,
        };
        let existing = self.addressed(r, id, to.as_ref())?;
        let done = format!("len={len}");
        if abort || (eof && data.is_empty()) {
            let assoc = existing.ok_or(Errno::ENOTCONN)?;
            let ended = if abort {
                self.sockets.abort_assoc(self.now, id, assoc, data)
            } else {
                self.sockets.shutdown_assoc(self.now, id, assoc)
            };
            return ended.map(|()| done).map_err(|e| Errno::of(&e));
        }
        let target = match (existing, &to) {
            (Some(assoc), _) => Target::Assoc(assoc),
            (None, Some(peer)) if style == Style::OneToMany => Target::Peer(peer),
            (None, Some(peer)) => {
                // Sending sets the association up on a one-to-one socket, too.
                self.sockets.connect(self.now, id, peer).map_err(|e| Errno::of(&e))?;
                Target::Only
            }
            (None, None) => return Err(Errno::ENOTCONN),
        };
        let message = Message { stream, ppid, data, options };
        let assoc =
            self.sockets.try_send(self.now, id, target, message).map_err(|e| Errno::of(&e))?;
        if eof {
            self.sockets.shutdown_assoc(self.now, id, assoc).map_err(|e| Errno::of(&e))?;
        }
        Ok(done)
    }

    /// The association that a request is about: named by number (`assoc`), by an address of the
    /// peer, or the only one.
    fn addressed(
        &self,
        r: &Request<'_>,
        id: SocketId,
        to: Option<&Peer>,
    ) -> Result<Option<AssocId>, Errno> {
        let members = self.sockets.assocs_of(id);
        if let Some(number) = r.number::<u32>("assoc")? {
            let named = members.into_iter().find(|a| self.assocs.get(a) == Some(&number));
            return named.map(Some).ok_or(Errno::EINVAL);
        }
        let Some(open) = self.open.values().find(|o| o.id == id) else { return Ok(None) };
        let Some(peer) = to.filter(|_| open.style == Style::OneToMany) else {
            return Ok(members.first().copied().filter(|_| open.style == Style::OneToOne));
        };
        Ok(peer.addrs.first().and_then(|(ip, _)| self.assoc_with(id, *ip, peer.port)))
    }

    /// The living association of a socket with the peer that has this address.
    pub(super) fn assoc_with(&self, id: SocketId, ip: IpAddr, port: u16) -> Option<AssocId> {
        let stack = self.sockets.stack();
        self.sockets.assocs_of(id).into_iter().find(|assoc| {
            self.sockets.end_reason(*assoc).is_none()
                && stack.status(*assoc).is_some_and(|s| s.peer_port == port)
                && stack.paths(*assoc).iter().any(|p| p.addr.remote == ip)
        })
    }

    /// The association that an option of a socket is about if the request names none: that of a
    /// one-to-one socket, or the only (or first) one of a one-to-many socket.
    pub(super) fn assoc_for_option(
        &self,
        r: &Request<'_>,
        id: SocketId,
    ) -> Result<Option<AssocId>, Errno> {
        match r.get("assoc") {
            Some(_) => self.addressed(r, id, None),
            None => Ok(self.sockets.assocs_of(id).first().copied()),
        }
    }

    fn shutdown(&mut self, r: &Request<'_>) -> Reply {
        let id = self.find(r)?.id;
        let how = match r.need_number::<u8>("how")? {
            0 => How::Read,
            1 => How::Write,
            2 => How::Both,
            _ => return Err(Errno::EINVAL),
        };
        self.sockets.shutdown(self.now, id, how).map_err(|e| Errno::of(&e))?;
        Ok(String::new())
    }

    fn close(&mut self, r: &Request<'_>) -> Reply {
        let name: u32 = r.need_number("id")?;
        let open = self.open.remove(&name).ok_or(Errno::EBADF)?;
        if open.rest.is_some() {
            // Half a message is unread, but the sockets below regard it as read.
            let _ = self.sockets.set_linger(open.id, Linger::Abort);
        }
        self.sockets.close(self.now, open.id).map_err(|e| Errno::of(&e))?;
        Ok(String::new())
    }

    fn soerror(&mut self, r: &Request<'_>) -> Reply {
        let id = self.find(r)?.id;
        let errno = match (self.sockets.connect_result(id), self.sockets.take_error(id)) {
            (Err(SocketError::InProgress), _) => Errno::EINPROGRESS.0,
            (_, Some(reason)) => Errno::of_end(&reason).0,
            (_, None) => 0,
        };
        Ok(format!("errno={errno}"))
    }

    fn laddrs(&mut self, r: &Request<'_>) -> Reply {
        let open = self.find(r)?;
        let (id, v6) = (open.id, open.v6);
        let port = self.sockets.local_port(id).unwrap_or_default();
        let mut addrs = self.sockets.local_addrs(id);
        if addrs.is_empty()
            && let Some(assoc) = self.assoc_for_option(r, id)?
        {
            for path in self.sockets.stack().paths(assoc) {
                addrs.extend(path.addr.local.filter(|a| !addrs.contains(a)));
            }
        }
        if addrs.is_empty() {
            addrs.push(if v6 {
                Ipv6Addr::UNSPECIFIED.into()
            } else {
                Ipv4Addr::UNSPECIFIED.into()
            });
        }
        Ok(format!("addrs={}", join(addrs.into_iter().map(|ip| to_socket_addr(ip, port)))))
    }

    fn paddrs(&mut self, r: &Request<'_>) -> Reply {
        let id = self.find(r)?.id;
        let assoc = self.assoc_for_option(r, id)?.ok_or(Errno::ENOTCONN)?;
        let stack = self.sockets.stack();
        let port = stack.status(assoc).ok_or(Errno::ENOTCONN)?.peer_port;
        let addrs =
            stack.paths(assoc).into_iter().map(|path| to_socket_addr(path.addr.remote, port));
        Ok(format!("addrs={}", join(addrs)))
    }

    fn peeloff(&mut self, r: &Request<'_>) -> Reply {
        let name = r.need_number("id")?;
        let id = self.find(r)?.id;
        r.need("assoc")?;
        let assoc = self.addressed(r, id, None)?.ok_or(Errno::EINVAL)?;
        let new = self.sockets.peel_off(id, assoc).map_err(|e| Errno::of(&e))?;
        self.enter_child(name, new)
    }

    /// The socket that a request names.
    pub(super) fn find(&mut self, r: &Request<'_>) -> Result<&mut Open, Errno> {
        let name = r.need_number("id")?;
        self.open.get_mut(&name).ok_or(Errno::EBADF)
    }

    /// Valid.Cookie.Life if the user has not set one.
    pub(super) fn cookie_life(&self) -> Duration {
        self.cookie_life
    }

    /// The number of an association.
    pub(super) fn number_of(&mut self, assoc: AssocId) -> u32 {
        *self.assocs.entry(assoc).or_insert_with(|| {
            self.next_assoc += 1;
            self.next_assoc - 1
        })
    }

    /// The primary address of the peer of an association.
    pub(super) fn peer_of(&self, assoc: AssocId) -> Option<SocketAddr> {
        let status = self.sockets.stack().status(assoc)?;
        Some(to_socket_addr(status.primary?, status.peer_port))
    }

    /// The source address for a packet from a port if the association has not chosen one.
    pub(crate) fn source_for(&self, port: u16, remote: IpAddr) -> Source {
        let fits = |a: &&IpAddr| a.is_ipv4() == remote.is_ipv4();
        let own = self.bound.get(&port).filter(|addrs| !addrs.is_empty());
        match own {
            Some(addrs) => addrs.iter().find(fits).map_or(Source::None, |a| Source::Address(*a)),
            None => self
                .bound
                .values()
                .flatten()
                .find(fits)
                .map_or(Source::Any, |a| Source::Address(*a)),
        }
    }
}

/// The source address that a packet may have.
pub(crate) enum Source {
    /// This address: one that the port is bound to or, if that is bound to all addresses, one that
    /// another port is bound to.
    Address(IpAddr),
    /// Any address: no port is bound to an address of this family.
    Any,
    /// The port is bound to addresses of the other family only.
    None,
}

/// The addresses to bind to. The list is empty if one of them is the wildcard.
fn bindable(v6: bool, addrs: &[IpAddr]) -> Result<Vec<IpAddr>, Errno> {
    if !v6 && addrs.iter().any(IpAddr::is_ipv6) {
        return Err(Errno::EINVAL);
    }
    let wildcard = addrs.iter().any(IpAddr::is_unspecified);
    Ok(if wildcard { Vec::new() } else { addrs.to_vec() })
}

/// An address as text; empty if there is none any more.
pub(super) fn show(addr: Option<SocketAddr>) -> String {
    addr.map(|a| a.to_string()).unwrap_or_default()
}
