//! Who takes part in a life, and how they start.

use std::collections::BTreeSet;

use rand::RngExt;
use rserpool_wire::{Life as WireLife, PeId, Policy, ServerId, TransportUse};
use sctp_user_core::Duration;

use super::{Element, Kind, POOLS, Scope, User, handle};
use crate::asap::{AsapConfig, AsapCore, OwnElement};
use crate::channel::Protocol;
use crate::reach::Reach;
use crate::registrar::{EnrpConfig, Local, RegistrarConfig, RegistrarCore};
use crate::session::SessionOptions;
use crate::sim::client::Client;
use crate::sim::machine::Machine;
use crate::sim::net::HostId;
use crate::sim::server::{SERVICE_PORT, Server};
use crate::sim::stranger::{Knowledge, Stranger};

/// SCTP port of elements and users for ASAP.
const PORT: u16 = 5000;
const REACH: Reach = Reach { native: false, udp: true };

impl Scope<'_> {
    fn seed(&mut self) -> [u8; 32] {
        let mut seed = [0; 32];
        self.rng().fill(&mut seed);
        seed
    }

    pub(super) fn start_registrar(&mut self, index: usize) {
        let (host, id) = (self.registrars[index].host, self.registrars[index].id);
        let mut peers = Vec::new();
        if !self.multicast {
            for other in &self.registrars {
                if other.host != host {
                    peers.push(self.world.peer(other.host, 9901));
                }
            }
        }
        let mut enrp = EnrpConfig { peers, ..EnrpConfig::default() };
        if !self.multicast {
            enrp.announce = None;
        }
        let mut config = RegistrarConfig {
            server_id: Some(ServerId(id)),
            announce: None,
            enrp: Some(if self.realtime { enrp.realtime() } else { enrp }),
            ..RegistrarConfig::default()
        };
        if self.realtime {
            config.keep_alive_interval = Duration::from_millis(500);
            config.keep_alive_timeout = Duration::from_millis(500);
        }
        let enrp_addrs = vec![self.world.addr(host)];
        let local = Local { reach: REACH, enrp_port: 9901, enrp_addrs, ..Local::default() };
        let seed = self.seed();
        let core = RegistrarCore::new(config, local, seed, self.world.now);
        let core = core.expect("the settings are right");
        self.world.start(host, Machine::Registrar(Box::new(core)));
    }

    pub(super) fn add_element(&mut self) {
        let host = self.world.add_host(&[(PORT, Protocol::Asap), (SERVICE_PORT, Protocol::Asap)]);
        let pool = POOLS[self.below(POOLS.len())];
        let id = self.new_id();
        // Some know one registrar only.
        let all: Vec<usize> = (0..self.registrars.len()).collect();
        let registrars = match self.chance(0.3) {
            true => vec![self.below(all.len())],
            false => all,
        };
        let forgetful = false;
        self.elements.push(Element { host, pool, id, registrars, stopped_until: None, forgetful });
        self.start_element(self.elements.len() - 1);
    }

    pub(super) fn start_element(&mut self, index: usize) {
        let forgetful = self.chance(0.05);
        let element = &mut self.elements[index];
        element.forgetful = forgetful;
        let (host, id, pool) = (element.host, element.id, element.pool);
        let known = element.registrars.clone();
        let mut core = self.asap_core(&known);
        // A registration that lasts hides nothing that should have been told.
        let long = Duration::from_secs(1_000_000);
        let (life, interval) = match self.below(10) {
            _ if forgetful => (WireLife(20_000), long),
            0 | 1 => (WireLife(90_000), Duration::from_secs(30)),
            _ => (WireLife(7_200_000), Duration::from_secs(2400)),
        };
        if forgetful {
            self.count(Kind::ElementForgetful);
        }
        let own = OwnElement {
            pool: handle(pool),
            id: PeId(id),
            policy: Policy::RoundRobin,
            port: SERVICE_PORT,
            addrs: Vec::new(),
            transport_use: TransportUse::DataControl,
            udp_port: None,
            life,
            interval,
        };
        core.register(self.world.now, own);
        self.world.start(host, Machine::Server(Box::new(Server::new(core))));
    }

    pub(super) fn add_user(&mut self) {
        let host = self.world.add_host(&[]);
        let pool = POOLS[self.below(POOLS.len())];
        self.users.push(User { host, pool, open: BTreeSet::new(), stopped_until: None });
        self.start_user(self.users.len() - 1);
    }

    pub(super) fn start_user(&mut self, index: usize) {
        let (host, pool) = (self.users[index].host, self.users[index].pool);
        self.users[index].open.clear();
        let known: Vec<usize> = (0..self.registrars.len()).collect();
        let core = self.asap_core(&known);
        let reply_timeout = self.chance(0.5).then_some(Duration::from_secs(4));
        let options = SessionOptions { reply_timeout, ..SessionOptions::default() };
        let client = Client::new(self.world.now, core, handle(pool), options);
        self.world.start(host, Machine::Client(Box::new(client)));
    }

    /// Somebody who has heard of everybody.
    pub(super) fn add_stranger(&mut self) {
        let enrp_port = 9901;
        let host = self.world.add_host(&[(enrp_port, Protocol::Enrp)]);
        let registrars = self.registrars.iter().map(|registrar| {
            let at = |port| self.world.peer(registrar.host, port);
            (ServerId(registrar.id), at(3863), at(9901))
        });
        let elements = self.elements.iter().map(|element| {
            let peer = self.world.peer(element.host, PORT);
            (handle(element.pool), PeId(element.id), peer)
        });
        let known = Knowledge {
            registrars: registrars.collect(),
            elements: elements.collect(),
            pools: POOLS.iter().map(|pool| handle(pool)).collect(),
        };
        let (seed, addr) = (self.seed(), self.world.addr(host));
        let stranger = Stranger::new(self.world.now, addr, enrp_port, known, seed);
        self.world.start(host, Machine::Stranger(Box::new(stranger)));
        self.strangers.push(host);
    }

    fn asap_core(&mut self, known: &[usize]) -> AsapCore {
        let hosts: Vec<HostId> = known.iter().map(|index| self.registrars[*index].host).collect();
        let registrars = hosts.into_iter().map(|host| self.world.peer(host, 3863)).collect();
        let config = AsapConfig::with_registrars(registrars);
        let seed = self.seed();
        AsapCore::new(self.world.now, config, REACH, seed)
    }
}
