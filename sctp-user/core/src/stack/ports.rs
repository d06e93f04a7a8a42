//! Bound ports, and the associations that wait there to be accepted.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use rand::RngExt;

use crate::addr::scope;
use crate::config::AssocConfig;
use crate::error::{BindError, ConfigError, NotFound};
use crate::time::Time;

use super::{AssocId, Stack};

/// A bound port.
#[derive(Debug)]
pub(super) struct Port {
    pub(super) addrs: Vec<IpAddr>,
    pub(super) config: Arc<AssocConfig>,
    /// How many living associations may wait in `waiting`; 0 when not listening.
    pub(super) backlog: usize,
    pub(super) waiting: Waiting,
    /// Associations that use the port.
    pub(super) users: usize,
    /// Given up by the user; kept until the last association is gone.
    pub(super) unbound: bool,
}

impl Port {
    /// Packets to this address of the host are for it; `None` is an address that the system did not
    /// tell.
    pub(super) fn is_bound_to(&self, local: Option<IpAddr>) -> bool {
        self.addrs.is_empty() || local.is_none_or(|local| self.addrs.contains(&local))
    }
}

/// Associations that wait to be accepted. Those that have ended can still be accepted and read, but
/// they take no place of living ones.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// All, in the order in which they came.
    all: VecDeque<AssocId>,
    /// Those of them that have ended, in the order of their end.
    ended: VecDeque<AssocId>,
}

impl Waiting {
    fn push(&mut self, id: AssocId) {
        self.all.push_back(id);
    }

    fn pop(&mut self) -> Option<AssocId> {
        let id = self.all.pop_front()?;
        // They mostly end in the order in which they came.
        if self.ended.front() == Some(&id) {
            self.ended.pop_front();
        } else {
            self.ended.retain(|e| *e != id);
        }
        Some(id)
    }

    /// One of those that wait has ended.
    pub(super) fn ended(&mut self, id: AssocId) {
        self.ended.push_back(id);
    }

    /// It does not wait any more.
    pub(super) fn remove(&mut self, id: AssocId) {
        self.all.retain(|w| *w != id);
        self.ended.retain(|e| *e != id);
    }

    fn living(&self) -> usize {
        self.all.len() - self.ended.len()
    }
}

impl Stack {
    /// Binds an SCTP port: `port` 0 picks a random free one in 49152..=65535. `addrs` empty means
    /// all addresses (and none is announced to peers unless `StackConfig::local_addresses` is set);
    /// one address pins the source; several make the port multi-homed. `config` applies to
    /// associations set up through this port.
    ///
    /// # Errors
    /// When the port is taken, an address is not unicast, or the configuration is not valid.
    pub fn bind(
        &mut self,
        port: u16,
        addrs: &[IpAddr],
        config: AssocConfig,
    ) -> Result<u16, BindError> {
        config.check()?;
        check_addrs(addrs)?;
        let port = match port {
            0 => self.free_port()?,
            taken if self.ports.contains_key(&taken) => return Err(BindError::PortInUse(taken)),
            free => free,
        };
        self.ports.insert(
            port,
            Port {
                addrs: addrs.to_vec(),
                config: Arc::new(config),
                backlog: 0,
                waiting: Waiting::default(),
                users: 0,
                unbound: false,
            },
        );
        Ok(port)
    }

    /// Binds a port again that was given up ([`unbind`](Self::unbind)) while associations of it
    /// live on. These stay as they are; `addrs` and `config` are for new ones, as with
    /// [`bind`](Self::bind).
    ///
    /// # Errors
    /// As [`bind`](Self::bind), and [`BindError::PortInUse`] also when the port was not given up.
    pub fn rebind(
        &mut self,
        port: u16,
        addrs: &[IpAddr],
        config: AssocConfig,
    ) -> Result<(), BindError> {
        config.check()?;
        check_addrs(addrs)?;
        let entry = self.ports.get_mut(&port).filter(|entry| entry.unbound);
        let entry = entry.ok_or(BindError::PortInUse(port))?;
        entry.addrs = addrs.to_vec();
        entry.config = Arc::new(config);
        entry.unbound = false;
        Ok(())
    }

    /// Accepts new associations on a bound port, with at most `backlog` of them waiting in
    /// [`accept`](Self::accept); 0 stops listening. Beyond the backlog INITs get an ABORT "out of
    /// resource". Associations that end before they are accepted do not count; the oldest of them
    /// are dropped when a new one needs the place.
    ///
    /// # Errors
    /// When the port is not bound.
    pub fn listen(&mut self, port: u16, backlog: usize) -> Result<(), NotFound> {
        let port = self.ports.get_mut(&port).filter(|p| !p.unbound).ok_or(NotFound)?;
        port.backlog = backlog;
        Ok(())
    }

    /// Takes the next incoming association of a port, which may have ended.
    pub fn accept(&mut self, port: u16) -> Option<AssocId> {
        let id = self.ports.get_mut(&port)?.waiting.pop()?;
        if let Some(entry) = self.table.get_mut(id) {
            entry.waiting = false;
        }
        Some(id)
    }

    /// Gives the port up. Its associations live on; the port is free for [`bind`](Self::bind) when
    /// the last one is gone, and for [`rebind`](Self::rebind) at once. Associations never accepted
    /// are aborted.
    pub fn unbind(&mut self, now: Time, port: u16) {
        let Some(entry) = self.ports.get_mut(&port) else { return };
        entry.unbound = true;
        entry.backlog = 0;
        while let Some(id) = self.accept(port) {
            let _ = self.abort(now, id, Bytes::from_static(b"nobody accepted the association"));
            self.release(now, id);
        }
        self.drop_unused_port(port);
    }

    /// Replaces the configuration for future associations of a port.
    ///
    /// # Errors
    /// When the configuration is not valid (unknown ports are ignored).
    pub fn set_port_config(&mut self, port: u16, config: AssocConfig) -> Result<(), ConfigError> {
        config.check()?;
        if let Some(entry) = self.ports.get_mut(&port) {
            entry.config = Arc::new(config);
        }
        Ok(())
    }

    /// How many SCTP ports are in use: bound, or given up with associations that live on.
    pub fn ports_in_use(&self) -> usize {
        self.ports.len()
    }

    /// Whether the SCTP port is in use: bound, or given up with associations that live on.
    pub fn is_in_use(&self, port: u16) -> bool {
        self.ports.contains_key(&port)
    }

    pub(super) fn drop_unused_port(&mut self, port: u16) {
        if self.ports.get(&port).is_some_and(|p| p.unbound && p.users == 0) {
            self.ports.remove(&port);
        }
    }

    pub(crate) fn free_port(&mut self) -> Result<u16, BindError> {
        // Random, so that clients behind one NAT address rarely meet (RFC 6951 sec 5.1).
        for _ in 0..64 {
            let port = self.rng.random_range(49_152..=65_535);
            if !self.ports.contains_key(&port) {
                return Ok(port);
            }
        }
        (49_152..=65_535).find(|port| !self.ports.contains_key(port)).ok_or(BindError::NoPort)
    }

    /// Whether a port has a place for one more incoming association. One that has ended and was
    /// never accepted can make room.
    pub(super) fn has_room(&self, port: &Port) -> bool {
        let Waiting { ended, .. } = &port.waiting;
        port.waiting.living() < port.backlog
            && (self.table.len() < self.config.max_associations || !ended.is_empty())
    }

    /// Drops associations that have ended and were never accepted, the oldest first, until there is
    /// a place for a new one. False when there is none.
    pub(super) fn make_room(&mut self, now: Time, port: u16) -> bool {
        if !self.ports.get(&port).is_some_and(|entry| self.has_room(entry)) {
            return false;
        }
        while let Some(entry) = self.ports.get_mut(&port)
            && (entry.waiting.all.len() >= entry.backlog
                || self.table.len() >= self.config.max_associations)
            && let Some(oldest) = entry.waiting.ended.pop_front()
        {
            self.release(now, oldest);
        }
        true
    }

    /// An association has come in and waits to be accepted.
    pub(super) fn offer(&mut self, port: u16, id: AssocId) {
        if let Some(port) = self.ports.get_mut(&port)
            && let Some(entry) = self.table.get_mut(id)
        {
            entry.waiting = true;
            port.waiting.push(id);
        }
    }
}

/// Only unicast addresses can be bound.
pub(super) fn check_addrs(addrs: &[IpAddr]) -> Result<(), BindError> {
    match addrs.iter().find(|&&a| scope(a).is_none()) {
        Some(&bad) => Err(BindError::Address(bad)),
        None => Ok(()),
    }
}
