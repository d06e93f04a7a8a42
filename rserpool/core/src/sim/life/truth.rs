//! When all is well, and how long it may take.

use std::collections::{BTreeMap, BTreeSet};

use rserpool_wire::{PeId, PoolHandle, ServerId};
use sctp_user_core::Duration;

use super::{BOUND, Element, Scope, User, handle};

/// Elements with their homes.
type Table = BTreeMap<(PoolHandle, PeId), ServerId>;

/// A user of a pool with a living element has had an answer within this time: longer than it takes
/// to notice that an element is silent, and to connect with another one.
const SERVED: Duration = Duration::from_secs(6);

/// Elements that do not renew their registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Forgetful {
    /// Their registrations have ended.
    Gone,
    /// They may just have been registered anew, as with another registrar.
    Perhaps,
}

impl Scope<'_> {
    /// Lets time pass until all is well, which must not take longer than the bound.
    pub(super) fn until_well(&mut self) -> Result<(), String> {
        let end = self.world.now + BOUND;
        loop {
            self.pass(Duration::from_secs(2))?;
            match self.is_well(Forgetful::Gone) {
                Ok(()) => return Ok(()),
                Err(problem) if self.world.now >= end => {
                    return Err(format!("not well after {BOUND:?}: {problem}"));
                }
                Err(_) => {}
            }
        }
    }

    /// All registrars know the same, which is what lives.
    pub(super) fn is_well(&self, forgetful: Forgetful) -> Result<(), String> {
        let living = self.elements.iter().filter(|element| self.world.is_alive(element.host));
        let (optional, expected): (Vec<_>, Vec<_>) = living.partition(|element| element.forgetful);
        let named = |elements: Vec<&Element>| -> BTreeSet<(PoolHandle, PeId)> {
            elements.into_iter().map(|e| (handle(e.pool), PeId(e.id))).collect()
        };
        let (optional, expected) = (named(optional), named(expected));
        let registrars = || self.registrars.iter().filter(|registrar| !registrar.gone);
        let homes: BTreeSet<u32> = registrars().map(|registrar| registrar.id).collect();
        let mut tables: Vec<(u32, Table)> = Vec::new();
        for registrar in registrars() {
            let core = self.world.registrar(registrar.host).ok_or("a registrar is dead")?;
            if !core.is_running() {
                return Err(format!(
                    "registrar {:08x} has not started: {}",
                    registrar.id,
                    self.world.describe(registrar.host)
                ));
            }
            let (peers, all) = (core.stats().peers, registrars().count());
            if peers + 1 != all {
                let id = registrar.id;
                return Err(format!("{id:08x} knows {peers} other registrars, of {all} in all"));
            }
            let space = core.handlespace();
            let mut table = BTreeMap::new();
            for key in space.elements_after(None) {
                let Some(element) = space.get(key) else { continue };
                let (name, home) =
                    ((element.handle().clone(), element.info().id), element.info().home);
                if home.0 == registrar.id && element.owner().is_none() {
                    return Err(format!("nobody leads to {name:?} at its home {home}"));
                }
                table.insert(name, home);
            }
            tables.push((registrar.id, table));
        }
        for (id, table) in &tables {
            for (name, home) in table {
                let may = forgetful == Forgetful::Perhaps && optional.contains(name);
                if !expected.contains(name) && !may {
                    return Err(format!("{id:08x} knows {name:?} of {home}, which is dead"));
                }
                if !homes.contains(&home.0) {
                    return Err(format!("{id:08x} knows {name:?} with the dead home {home}"));
                }
            }
            if let Some(missing) = expected.iter().find(|name| !table.contains_key(name)) {
                return Err(format!("{id:08x} does not know {missing:?}"));
            }
        }
        if let Some(((a, first), (b, other))) =
            tables.first().and_then(|one| Some((one, tables.iter().find(|t| t.1 != one.1)?)))
        {
            let differs = first.iter().find(|(name, home)| other.get(name) != Some(home));
            return Err(format!("{a:08x} and {b:08x} disagree: {differs:?}"));
        }
        if let Some(user) = self.users.iter().find(|user| !user.open.is_empty()) {
            return Err(format!("a user waits on {:?}", user.host));
        }
        self.users.iter().try_for_each(|user| self.is_served(user, &expected))
    }

    /// A user has a session with a living element of its pool, if there is one.
    fn is_served(
        &self,
        user: &User,
        expected: &BTreeSet<(PoolHandle, PeId)>,
    ) -> Result<(), String> {
        let host = user.host;
        let client = self.world.client(host).ok_or("a user is dead")?;
        if let Some(problem) = client.problem() {
            return Err(format!("the session of {host:?} saw {problem}"));
        }
        let pool = handle(user.pool);
        if !expected.iter().any(|(name, _)| *name == pool) {
            return Ok(());
        }
        let answered = client.answered();
        match answered.is_some_and(|at| self.world.now.since(at) < SERVED) {
            true => Ok(()),
            false => Err(format!(
                "the session of {host:?} with {:?} of {pool} was answered last at {answered:?}",
                client.element()
            )),
        }
    }

    /// What all registrars know in the end, and how much happened until then.
    pub(super) fn digest(&self) -> u64 {
        use std::hash::{DefaultHasher, Hash, Hasher};

        let mut hasher = DefaultHasher::new();
        self.world.steps().hash(&mut hasher);
        for registrar in &self.registrars {
            let Some(core) = self.world.registrar(registrar.host) else { continue };
            for key in core.handlespace().elements_after(None) {
                let Some(element) = core.handlespace().get(key) else { continue };
                (element.info().id.0, element.info().home.0).hash(&mut hasher);
            }
        }
        hasher.finish()
    }
}
