//! Bound ports, and the associations that wait there to be accepted.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::ops::RangeInclusive;
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
    /// How many living associations may wait in `waiting`. 0 when not listening.
    pub(super) backlog: usize,
    pub(super) waiting: Waiting,
    /// Associations that use the port.
    pub(super) users: usize,
    /// The user has given it up. It is kept until its last association is gone.
    pub(super) unbound: bool,
    /// Nobody asked for this port in particular, so an association may move to another one.
    pub(super) automatic: bool,
}

impl Port {
    /// Whether packets to this address of the host are for the port. `None` means that the system
    /// did not tell the address.
    pub(super) fn is_bound_to(&self, local: Option<IpAddr>) -> bool {
        self.addrs.is_empty() || local.is_none_or(|local| self.addrs.contains(&local))
    }
}

/// Associations that wait to be accepted. Those that have ended can still be accepted and read, but
/// they do not take the places of living ones.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// All of them, in the order in which they came.
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

    /// Notes that a waiting association has ended.
    pub(super) fn ended(&mut self, id: AssocId) {
        self.ended.push_back(id);
    }

    /// Removes an association that does not wait any more.
    pub(super) fn remove(&mut self, id: AssocId) {
        self.all.retain(|w| *w != id);
        self.ended.retain(|e| *e != id);
    }

    fn living(&self) -> usize {
        self.all.len() - self.ended.len()
    }
}

impl Stack {
    /// Binds an SCTP port and returns it. `config` applies to associations set up through this
    /// port.
    ///
    /// `port` 0 picks a free one: first from those that were [granted](Self::grant_ports), else a
    /// random one in 1024..=65535 (RFC 6056 sec 3.2) that IANA has not registered for SCTP. If the
    /// peer refuses an association because of such a port, the association is tried again from
    /// others, at most 8 times.
    ///
    /// Empty `addrs` means all addresses; peers are then told none unless
    /// `StackConfig::local_addresses` is set. One address pins the source. Several make the port
    /// multi-homed.
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
        let automatic = port == 0;
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
                automatic,
            },
        );
        Ok(port)
    }

    /// Grants ports that nobody else on the host uses. [`bind`](Self::bind) with port 0 takes these
    /// first, in this order. It takes each of them once; to have a port used again, grant it again.
    /// Ports registered for SCTP are left out.
    pub fn grant_ports(&mut self, ports: impl IntoIterator<Item = u16>) {
        self.granted.extend(ports.into_iter().filter(|&port| is_automatic(port)));
    }

    /// Takes back those [granted](Self::grant_ports) ports for which `which` is true.
    pub fn revoke_ports(&mut self, mut which: impl FnMut(u16) -> bool) {
        self.granted.retain(|port| !which(*port));
    }

    /// The ports that were granted and not used yet.
    pub fn granted_ports(&self) -> impl ExactSizeIterator<Item = u16> + '_ {
        self.granted.iter().copied()
    }

    /// Binds a port again that was given up ([`unbind`](Self::unbind)) while associations of it
    /// live on. Those stay as they are. `addrs` and `config` apply to new ones, as with
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

    /// Accepts new associations on a bound port. At most `backlog` of them wait for
    /// [`accept`](Self::accept); 0 stops listening. When the backlog is full, INITs get an ABORT
    /// "out of resource". Associations that end before they are accepted do not count. The oldest
    /// of them are dropped when a new one needs the place.
    ///
    /// # Errors
    /// When the port is not bound.
    pub fn listen(&mut self, port: u16, backlog: usize) -> Result<(), NotFound> {
        let port = self.ports.get_mut(&port).filter(|p| !p.unbound).ok_or(NotFound)?;
        port.backlog = backlog;
        Ok(())
    }

    /// Takes the next incoming association of a port. It may have ended already.
    pub fn accept(&mut self, port: u16) -> Option<AssocId> {
        let id = self.ports.get_mut(&port)?.waiting.pop()?;
        if let Some(entry) = self.table.get_mut(id) {
            entry.waiting = false;
        }
        Some(id)
    }

    /// Gives the port up. Its associations live on, except that those never accepted are aborted.
    /// The port is free for [`rebind`](Self::rebind) at once, and for [`bind`](Self::bind) when its
    /// last association is gone.
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

    /// How many SCTP ports are in use: bound, or given up while associations live on.
    pub fn ports_in_use(&self) -> usize {
        self.ports.len()
    }

    /// Whether the SCTP port is in use: bound, or given up while associations live on.
    pub fn is_in_use(&self, port: u16) -> bool {
        self.ports.contains_key(&port)
    }

    /// Records that nobody asked for this bound port in particular: it was drawn.
    pub(crate) fn set_automatic(&mut self, port: u16) {
        if let Some(entry) = self.ports.get_mut(&port) {
            entry.automatic = true;
        }
    }

    pub(super) fn drop_unused_port(&mut self, port: u16) {
        if self.ports.get(&port).is_some_and(|p| p.unbound && p.users == 0) {
            self.ports.remove(&port);
        }
    }

    pub(crate) fn free_port(&mut self) -> Result<u16, BindError> {
        while let Some(port) = self.granted.pop_front() {
            if !self.ports.contains_key(&port) {
                return Ok(port);
            }
        }
        // Random, so that clients behind one NAT address rarely meet (RFC 6951 sec 5.1).
        let is_free = |port: &u16| is_automatic(*port) && !self.ports.contains_key(port);
        let drawn = (0..64).map(|_| self.rng.random()).find(is_free);
        if let Some(port) = drawn {
            return Ok(port);
        }
        let middle = self.rng.random_range(AUTOMATIC);
        let is_free = |port: &u16| is_automatic(*port) && !self.ports.contains_key(port);
        (middle..=*AUTOMATIC.end())
            .chain(*AUTOMATIC.start()..middle)
            .find(is_free)
            .ok_or(BindError::NoPort)
    }

    /// Moves an association to another port because the peer refuses the present one. The new port
    /// is free again when the association is gone.
    pub(super) fn move_to_other_port(&mut self, now: Time, id: AssocId) {
        let port = self.free_port().ok();
        let Some(entry) = self.table.get_mut(id) else { return };
        let old = entry.assoc.local_port;
        if let Some(port) = port
            && let Some(from) = self.ports.get_mut(&old)
        {
            from.users -= 1;
            let to = Port {
                addrs: from.addrs.clone(),
                config: Arc::clone(&from.config),
                backlog: 0,
                waiting: Waiting::default(),
                users: 1,
                unbound: true,
                automatic: true,
            };
            self.ports.insert(port, to);
        }
        entry.assoc.start_over_from(now, port.unwrap_or(old));
        self.drop_unused_port(old);
    }

    /// Whether a port has a place for one more incoming association. An association that has ended
    /// and was never accepted can make room.
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

    /// Queues an association that has come in, so that it can be accepted.
    pub(super) fn queue_for_accept(&mut self, port: u16, id: AssocId) {
        if let Some(port) = self.ports.get_mut(&port)
            && let Some(entry) = self.table.get_mut(id)
        {
            entry.waiting = true;
            port.waiting.push(id);
        }
    }
}

/// The ports that port 0 can stand for: all but the well-known ones.
const AUTOMATIC: RangeInclusive<u16> = 1_024..=65_535;

/// Ports that IANA has registered for services over SCTP. A client that happened to have one would
/// be in the way of a server that starts later.
const REGISTERED: [u16; 79] = [
    1167, 1528, 1720, 2049, 2225, 2904, 2905, 2944, 2945, 3097, 3565, 3863, 3864, 3868, 4195, 4333,
    4502, 4711, 4739, 4740, 5060, 5061, 5090, 5091, 5215, 5445, 5672, 5675, 5868, 5903, 5904, 5905,
    5906, 5907, 5908, 5909, 5910, 5911, 5912, 5913, 6704, 6705, 6706, 6970, 7626, 7701, 7728, 8471,
    9082, 9084, 9899, 9900, 9901, 9902, 11235, 11997, 11998, 11999, 14001, 19999, 20000, 20049,
    25471, 29118, 29168, 29169, 30100, 36412, 36422, 36423, 36424, 36443, 36444, 36462, 37472,
    38412, 38422, 38462, 38472,
];

fn is_automatic(port: u16) -> bool {
    AUTOMATIC.contains(&port) && REGISTERED.binary_search(&port).is_err()
}

/// Checks that all addresses are unicast; no others can be bound.
pub(super) fn check_addrs(addrs: &[IpAddr]) -> Result<(), BindError> {
    match addrs.iter().find(|&&a| scope(a).is_none()) {
        Some(&bad) => Err(BindError::Address(bad)),
        None => Ok(()),
    }
}
