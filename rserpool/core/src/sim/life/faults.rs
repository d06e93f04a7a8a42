//! What goes wrong in a life.

use rand::RngExt;
use sctp_user_core::Duration;

use super::{Kind, POOLS, Scope, handle};
use crate::sim::net::HostId;

impl Scope<'_> {
    pub(super) fn fault(&mut self) {
        match self.below(22) {
            0 | 1 => self.end_registrar(Kind::RegistrarKilled),
            2 => self.end_registrar(Kind::RegistrarSilent),
            3 => self.end_registrar(Kind::RegistrarQuit),
            4 | 5 => self.restart_registrar(),
            6 => self.stop_registrar(),
            7 => self.cut(false),
            8 => self.cut(true),
            9 => self.partition(),
            10 => self.end_element(Kind::ElementKilled),
            11 => self.end_element(Kind::ElementSilent),
            12 | 13 => self.restart_element(),
            14 => self.stop_element(),
            15 => self.slow_down(),
            16 => self.lose_packets(),
            17 => self.stop_user(),
            18 => self.restart_user(),
            19 => self.let_stranger_in(),
            _ => self.ask(),
        }
    }

    fn end_registrar(&mut self, kind: Kind) {
        let index = self.below(self.registrars.len());
        let host = self.registrars[index].host;
        if self.world.registrar(host).is_none() {
            return;
        }
        self.count(kind);
        match kind {
            Kind::RegistrarQuit => self.world.quit(host),
            kind => self.world.kill(host, kind == Kind::RegistrarSilent),
        }
        self.registrars[index].stopped_until = None;
    }

    fn restart_registrar(&mut self) {
        let index = self.below(self.registrars.len());
        let host = self.registrars[index].host;
        if self.world.registrar(host).is_some() {
            self.world.kill(host, false);
            self.registrars[index].stopped_until = None;
            let pause = Duration::from_millis(self.rng().random_range(0..4000));
            let _ = self.pass(pause);
        }
        if self.chance(0.5) {
            self.count(Kind::RegistrarSameId);
        } else if self.registrars.len() > 1 && self.chance(0.1) {
            self.count(Kind::DuplicateId);
            let other = (index + 1) % self.registrars.len();
            self.registrars[index].id = self.registrars[other].id;
        } else {
            self.count(Kind::RegistrarOtherId);
            self.registrars[index].id = self.new_id();
        }
        self.start_registrar(index);
    }

    fn stop_registrar(&mut self) {
        let index = self.below(self.registrars.len());
        let host = self.registrars[index].host;
        if self.world.registrar(host).is_none() || self.registrars[index].stopped_until.is_some() {
            return;
        }
        self.count(Kind::RegistrarStopped);
        self.world.stop(host);
        let pause = Duration::from_millis(self.rng().random_range(100..15_000));
        self.registrars[index].stopped_until = Some(self.world.now + pause);
    }

    fn stop_element(&mut self) {
        if self.elements.is_empty() {
            return;
        }
        let index = self.below(self.elements.len());
        let host = self.elements[index].host;
        if !self.world.is_alive(host) || self.elements[index].stopped_until.is_some() {
            return;
        }
        self.count(Kind::ElementStopped);
        self.world.stop(host);
        let pause = Duration::from_millis(self.rng().random_range(100..15_000));
        self.elements[index].stopped_until = Some(self.world.now + pause);
    }

    fn any_host(&mut self) -> HostId {
        let hosts: Vec<HostId> = self.world.hosts().collect();
        let registrars = self.registrars.len();
        // Mostly registrars.
        let most = if self.chance(0.7) { registrars } else { hosts.len() };
        hosts[self.below(most)]
    }

    fn cut(&mut self, one_way: bool) {
        let (a, b) = (self.any_host(), self.any_host());
        if a == b {
            return;
        }
        self.count(if one_way { Kind::OneWayCut } else { Kind::Cut });
        match one_way {
            true => self.world.net.cut_one_way(a, b),
            false => self.world.net.cut(a, b),
        }
        self.world.net_changed();
    }

    /// Every host falls to one of two sides.
    fn partition(&mut self) {
        self.count(Kind::Partition);
        let hosts: Vec<HostId> = self.world.hosts().collect();
        let sides: Vec<bool> = hosts.iter().map(|_| self.chance(0.5)).collect();
        // Some partitions divide registrars only.
        let most = if self.chance(0.5) { self.registrars.len() } else { hosts.len() };
        for (a, left) in hosts.iter().zip(&sides).take(most) {
            for (b, right) in hosts.iter().zip(&sides).take(most) {
                if left != right {
                    self.world.net.cut(*a, *b);
                }
            }
        }
        self.world.net_changed();
    }

    pub(super) fn heal(&mut self) {
        self.world.net.heal_all();
        self.world.net_changed();
    }

    fn end_element(&mut self, kind: Kind) {
        if self.elements.is_empty() {
            return;
        }
        let index = self.below(self.elements.len());
        let host = self.elements[index].host;
        if self.world.is_alive(host) {
            self.count(kind);
            self.world.kill(host, kind == Kind::ElementSilent);
            self.elements[index].stopped_until = None;
        }
    }

    fn restart_element(&mut self) {
        if self.elements.is_empty() {
            return;
        }
        let index = self.below(self.elements.len());
        let host = self.elements[index].host;
        self.count(Kind::ElementRestarted);
        if self.world.is_alive(host) {
            self.world.kill(host, false);
            self.elements[index].stopped_until = None;
        }
        if self.chance(0.5) {
            self.elements[index].id = self.new_id();
        }
        self.start_element(index);
    }

    fn slow_down(&mut self) {
        self.count(Kind::Slow);
        let (host, more) = (self.any_host(), self.rng().random_range(10..1000));
        self.world.net.slow_down(host, Duration::from_millis(more));
    }

    fn lose_packets(&mut self) {
        self.count(Kind::Lossy);
        let (host, part) = (self.any_host(), self.rng().random_range(0.02..0.4));
        self.world.net.lose(host, part);
    }

    fn stop_user(&mut self) {
        if self.users.is_empty() {
            return;
        }
        let index = self.below(self.users.len());
        let host = self.users[index].host;
        if self.users[index].stopped_until.is_some() {
            return;
        }
        self.count(Kind::UserStopped);
        self.world.stop(host);
        let pause = Duration::from_millis(self.rng().random_range(100..15_000));
        self.users[index].stopped_until = Some(self.world.now + pause);
    }

    fn restart_user(&mut self) {
        if self.users.is_empty() {
            return;
        }
        self.count(Kind::UserRestarted);
        let index = self.below(self.users.len());
        let (host, silently) = (self.users[index].host, self.chance(0.5));
        self.world.kill(host, silently);
        self.users[index].stopped_until = None;
        self.start_user(index);
    }

    fn let_stranger_in(&mut self) {
        if self.strangers.len() < 2 {
            self.count(Kind::Stranger);
            self.add_stranger();
        }
    }

    /// A user asks for a pool.
    fn ask(&mut self) {
        if self.users.is_empty() {
            return;
        }
        let index = self.below(self.users.len());
        let host = self.users[index].host;
        let pool = handle(POOLS[self.below(POOLS.len())]);
        let asked = self.world.with_client(host, |client, now| client.resolve(now, &pool));
        self.users[index].open.extend(asked);
    }

    /// No more faults; every registrar runs, and so do most elements.
    pub(super) fn repair(&mut self) {
        self.heal();
        for host in self.strangers.clone() {
            let silently = self.chance(0.5);
            self.world.kill(host, silently);
        }
        for index in 0..self.registrars.len() {
            let host = self.registrars[index].host;
            if self.registrars[index].stopped_until.take().is_some() {
                self.world.go_on(host);
            }
            // No two with one identifier any more.
            let id = self.registrars[index].id;
            let twice = self.registrars.iter().filter(|other| other.id == id).count() > 1;
            if twice {
                if self.world.registrar(host).is_some() {
                    self.world.kill(host, false);
                }
                self.registrars[index].id = self.new_id();
            }
            if self.world.registrar(host).is_none() {
                self.start_registrar(index);
            }
        }
        for index in 0..self.elements.len() {
            if self.elements[index].stopped_until.take().is_some() {
                self.world.go_on(self.elements[index].host);
            }
        }
        for index in 0..self.users.len() {
            if self.users[index].stopped_until.take().is_some() {
                self.world.go_on(self.users[index].host);
            }
        }
        self.ask();
    }
}
