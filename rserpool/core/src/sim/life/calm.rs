//! Single changes in a scope where all is well. Others must hear of them at once; the audits that
//! make up for messages that were lost are not needed.

use rserpool_wire::ServerId;
use sctp_user_core::Duration;

use super::truth::Forgetful;
use super::{Kind, Scope};
use crate::registrar::EnrpConfig;
use crate::sim::net::HostId;

impl Scope<'_> {
    /// Sometimes, something ends in a scope where all is well.
    pub(super) fn change_in_calm(&mut self) -> Result<(), String> {
        match self.below(4) {
            0 => self.remove_in_calm(),
            1 => self.take_over_in_calm(),
            _ => Ok(()),
        }
    }

    /// An element ends. All registrars hear that from its home, and nobody needs an audit.
    fn remove_in_calm(&mut self) -> Result<(), String> {
        // What was on its way when all was well arrives.
        self.pass(Duration::from_secs(5))?;
        let living: Vec<HostId> = self.living_elements();
        if living.is_empty() || self.is_well(Forgetful::Perhaps).is_err() {
            return Ok(());
        }
        self.count(Kind::CalmRemoval);
        let (before, yielded) = (self.audits(), self.yielded());
        let host = living[self.below(living.len())];
        self.world.kill(host, false);
        self.pass(Duration::from_secs(10))?;
        self.is_well(Forgetful::Perhaps)
            .map_err(|problem| format!("after an element was killed: {problem}"))?;
        // An element may move to another home while it renews its registration. Its homes before
        // and after do not hear of that at the same time.
        let moved = self.yielded() != yielded;
        match moved || self.audits() == before {
            true => Ok(()),
            false => Err(format!("the end of an element needed audits: {before:?}, then more")),
        }
    }

    /// A registrar ends for good. One of the others takes it over, and all others hear of that.
    /// They agree at once: nobody has to wait for the end of a round.
    fn take_over_in_calm(&mut self) -> Result<(), String> {
        if self.registrars.len() < 2 {
            return Ok(());
        }
        self.count(Kind::CalmTakeover);
        let index = self.below(self.registrars.len());
        let dead = ServerId(self.registrars[index].id);
        let silently = self.chance(0.3);
        self.takeovers.clear();
        self.world.kill(self.registrars[index].host, silently);
        self.registrars[index].gone = true;
        let mut config = EnrpConfig::default();
        if self.realtime {
            config = config.realtime();
        }
        // All find out that it is dead, and then need less than a round.
        let detection = config.max_time_last_heard + config.max_time_no_response * 2;
        let bound = detection + config.takeover_expiry / 2;
        self.pass(bound)?;
        let in_time = self.takeovers.iter().any(|(_, target, _)| *target == dead);
        self.until_well()?;
        let took = self.takeovers.iter().find(|(_, target, _)| *target == dead);
        // Nobody takes over a registrar without elements.
        let Some((_, _, by)) = took.copied() else { return Ok(()) };
        if !in_time {
            return Err(format!("{by} needed more than {bound:?} to take over {dead}"));
        }
        for registrar in self.registrars.iter().filter(|registrar| !registrar.gone) {
            if !self.takeovers.contains(&(registrar.host, dead, by)) {
                return Err(format!(
                    "registrar {:08x} did not hear that {by} took over {dead}",
                    registrar.id
                ));
            }
        }
        Ok(())
    }

    fn living_elements(&self) -> Vec<HostId> {
        let living = self.elements.iter().filter(|element| self.world.is_alive(element.host));
        living.filter(|element| !element.forgetful).map(|element| element.host).collect()
    }

    /// How many elements were yielded so far.
    fn yielded(&self) -> u32 {
        self.report.events.get(&Kind::Yielded).copied().unwrap_or(0)
    }

    /// How many audits each registrar has made.
    fn audits(&self) -> Vec<u64> {
        let cores = self.registrars.iter().filter_map(|r| self.world.registrar(r.host));
        cores.map(|core| core.stats().audits).collect()
    }
}
