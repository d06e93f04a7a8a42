//! All paths of an association: which one sends next, failover, and lookup by address.

use std::net::IpAddr;

use crate::assoc::path::{Path, PathId};
use crate::stats::PathState;
use crate::time::{Time, earlier};

/// The paths of an association. Never empty once the association exists.
#[derive(Debug, Default)]
pub(crate) struct PathSet {
    paths: Vec<Path>,
    primary: u8,
}

impl PathSet {
    /// Adds a path unless there already is one to its address. There can be at most 255.
    pub(crate) fn add(&mut self, path: Path) -> Option<PathId> {
        if self.paths.len() >= 255 || self.find(path.remote()).is_some() {
            return None;
        }
        // Most associations have one path, and a path is large, so do not allocate room for more.
        self.paths.reserve_exact(1);
        self.paths.push(path);
        u8::try_from(self.paths.len() - 1).ok().map(PathId)
    }

    /// The path to an address of the peer.
    pub(crate) fn find(&self, remote: IpAddr) -> Option<PathId> {
        let i = self.paths.iter().position(|p| p.remote() == remote)?;
        u8::try_from(i).ok().map(PathId)
    }

    /// The path with this id. Ids come from this set and slots stay, so the index is valid.
    pub(crate) fn get(&self, id: PathId) -> &Path {
        &self.paths[id.index()]
    }

    /// The path with this id, which may be older than the last [`retain`](Self::retain).
    pub(crate) fn try_get(&self, id: PathId) -> Option<&Path> {
        self.paths.get(id.index())
    }

    /// Like [`get`](Self::get).
    pub(crate) fn get_mut(&mut self, id: PathId) -> &mut Path {
        &mut self.paths[id.index()]
    }

    /// Number of paths.
    pub(crate) fn len(&self) -> usize {
        self.paths.len()
    }

    /// All ids.
    pub(crate) fn ids(&self) -> impl Iterator<Item = PathId> + use<> {
        (0..u8::try_from(self.paths.len()).unwrap_or(u8::MAX)).map(PathId)
    }

    /// All paths.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Path> {
        self.paths.iter()
    }

    /// All paths, mutable.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Path> {
        self.paths.iter_mut()
    }

    /// The primary path.
    pub(crate) fn primary(&self) -> PathId {
        PathId(self.primary)
    }

    /// Makes a path the primary one.
    pub(crate) fn set_primary(&mut self, id: PathId) {
        self.primary = id.0;
    }

    /// Keeps only the paths for which `keep` is true. Use it only while nothing refers to paths by
    /// id: during setup and restart.
    pub(crate) fn retain(&mut self, keep: impl Fn(&Path) -> bool) {
        let primary = self.get(self.primary()).remote();
        self.paths.retain(keep);
        self.primary = self.find(primary).map_or(0, |id| id.0);
    }

    /// The path for new DATA (RFC 9260 sec 6.4): the primary path if it is active, else another
    /// active path, else the path with the fewest errors. An unconfirmed path is used only if there
    /// is nothing else.
    pub(crate) fn data_path(&self) -> PathId {
        let primary = self.primary();
        if self.get(primary).state == PathState::Active {
            return primary;
        }
        self.best_except(None).unwrap_or(primary)
    }

    /// The path for retransmitting what timed out on `failed`: another active path or, if there is
    /// none, the least bad one.
    pub(crate) fn alternate(&self, failed: PathId) -> PathId {
        match self.best_except(Some(failed)) {
            Some(other) if self.rank(other) <= self.rank(failed) || self.is_active(other) => other,
            _ => failed,
        }
    }

    fn is_active(&self, id: PathId) -> bool {
        self.get(id).state == PathState::Active
    }

    /// The lower the better: first by state, then by consecutive errors. Dormant paths are ranked,
    /// too (RFC 7829 sec 3).
    fn rank(&self, id: PathId) -> (u8, u32) {
        let path = self.get(id);
        let state = match path.state {
            PathState::Active => 0,
            PathState::PotentiallyFailed => 1,
            PathState::Inactive => 2,
            PathState::Unconfirmed => 3,
        };
        (state, path.error_count)
    }

    /// The next active path in turn after `id`, or `id` itself if there is no other.
    pub(crate) fn next_active(&self, id: PathId) -> PathId {
        let (upto, after): (Vec<_>, Vec<_>) = self.ids().partition(|i| i.0 <= id.0);
        let active = |i: &PathId| self.get(*i).state == PathState::Active;
        after.into_iter().chain(upto).find(active).unwrap_or(id)
    }

    fn best_except(&self, except: Option<PathId>) -> Option<PathId> {
        self.ids()
            .filter(|&id| Some(id) != except && self.get(id).is_confirmed())
            .min_by_key(|&id| (self.rank(id), id != self.primary()))
    }

    /// The smallest PMTU of all paths. Fragments are made to fit it.
    pub(crate) fn min_pmtu(&self) -> usize {
        self.paths.iter().map(Path::pmtu).min().unwrap_or(576)
    }

    /// The earliest deadline of all paths.
    pub(crate) fn deadline(&self) -> Option<Time> {
        self.paths.iter().map(Path::deadline).fold(None, earlier)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addr::{Encap, PathAddr};
    use crate::config::AssocConfig;

    fn set(states: &[PathState]) -> PathSet {
        let mut set = PathSet::default();
        for (i, &state) in states.iter().enumerate() {
            let remote = IpAddr::from([10, 0, 0, i as u8 + 1]);
            let addr = PathAddr { local: None, remote, encap: Encap::Native };
            set.add(Path::new(addr, state, &AssocConfig::default(), Time::ZERO)).unwrap();
        }
        set
    }

    #[test]
    fn data_goes_to_the_primary_while_it_is_active() {
        use PathState::*;
        assert_eq!(set(&[Active, Active]).data_path(), PathId(0));
        assert_eq!(set(&[Inactive, Active]).data_path(), PathId(1));
        assert_eq!(set(&[Inactive, Unconfirmed]).data_path(), PathId(0));
        assert_eq!(set(&[Inactive, PotentiallyFailed, Inactive]).data_path(), PathId(1));
    }

    #[test]
    fn alternates_are_active_or_the_same() {
        use PathState::*;
        assert_eq!(set(&[Active, Active]).alternate(PathId(0)), PathId(1));
        assert_eq!(set(&[Active, Inactive]).alternate(PathId(0)), PathId(0));
        assert_eq!(set(&[Active]).alternate(PathId(0)), PathId(0));
    }

    #[test]
    fn an_address_is_added_once() {
        let mut s = set(&[PathState::Active]);
        let addr = s.get(PathId(0)).addr();
        assert!(
            s.add(Path::new(addr, PathState::Active, &AssocConfig::default(), Time::ZERO))
                .is_none()
        );
        assert_eq!(s.len(), 1);
    }
}
