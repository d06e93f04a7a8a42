//! What one association, one address, one other registrar, and all together may take up.

use std::net::IpAddr;

use rserpool_wire::{CauseCode, PeId, PoolHandle, ServerId};
use sctp_user_core::{Duration, Peer, Time};

use super::{Output, RegistrarCore};
use crate::channel::ChannelId;

/// Associations that are looked at to find one that can give way to a new one.
const LOOKED_AT: usize = 1000;
/// So much later than now counts one that is needed as used, so that it comes after all others.
const BEHIND: Duration = Duration::from_millis(1);
/// From this share of all elements on, an association that has many gets no more.
const PRESSURE: f64 = 0.9;
/// The part of all elements that one association may have then.
const FAIR_SHARE: usize = 1000;
/// The part of all elements that is kept free of what other registrars bring.
const RESERVE: usize = 4;
/// The part of the rest that one of them may have when there is little room.
const FAIR_SHARE_OF_COPIES: usize = 100;
/// For each registrar that may be known, so many may own elements: those that are known, those that
/// died lately, and those that others know.
const HOMES: usize = 3;

impl RegistrarCore {
    /// Whether there is room for an association that came in; it is refused otherwise. One that
    /// nobody uses makes room where all are used up. Gives the address that it counts for: the one
    /// that the handshake has verified.
    pub(super) fn admit(
        &mut self,
        now: Time,
        channel: ChannelId,
        peer: &Peer,
    ) -> Result<Option<IpAddr>, ()> {
        let addr = peer.addrs.first().map(|(addr, _)| addr.to_canonical());
        let of_address = addr.map_or(0, |addr| self.addresses.incoming(addr));
        // Those that were opened here are bounded elsewhere.
        let incoming = channel.is_incoming();
        let problem = if incoming && of_address >= self.config.max_associations_per_address {
            "too many associations from this address"
        } else if incoming
            && self.associations.len() >= self.config.max_associations
            && !self.make_room(now)
        {
            "too many associations"
        } else {
            if let Some(addr) = addr {
                self.addresses.enter(now, addr, incoming);
            }
            return Ok(addr);
        };
        self.stats.refused_associations += 1;
        self.outputs.push_back(Output::Abort { channel, reason: problem });
        Err(())
    }

    /// Ends an association that is idle for long and that no element and no registrar needs.
    fn make_room(&mut self, now: Time) -> bool {
        for _ in 0..LOOKED_AT {
            let Some(channel) = self.idle.oldest() else { return false };
            let needed =
                self.space.count_of_owner(channel.as_u64()) > 0 || self.is_with_registrar(channel);
            // Those that are needed do not stand in the way of the next search.
            let used = if needed { Some(now + BEHIND) } else { self.used_since(channel) };
            let Some(used) = used else {
                self.drop_channel(channel, "others need the room");
                return true;
            };
            self.put_off(used, channel);
        }
        false
    }

    /// Whether one more element may be registered over an association.
    pub(super) fn check_share(
        &self,
        channel: ChannelId,
        pool: &PoolHandle,
        id: PeId,
    ) -> Result<(), CauseCode> {
        if self.space.find(pool, id).is_some() {
            return Ok(());
        }
        let (own, all) = (self.space.count_of_owner(channel.as_u64()), self.space.len());
        let most = self.config.max_elements;
        let is_tight = all as f64 >= most as f64 * PRESSURE;
        let is_much = own >= (most / FAIR_SHARE).max(1);
        if own >= self.config.max_elements_per_association || (is_tight && is_much) {
            return Err(CauseCode::LACK_OF_RESOURCES);
        }
        // What others bring does not count.
        if self.space.is_home_in(self.id, pool) {
            return Ok(());
        }
        let (pools, most) = (self.space.pool_count_of_home(self.id), self.config.max_pools);
        let is_tight = pools as f64 >= most as f64 * PRESSURE;
        let is_much = own >= (most / FAIR_SHARE).max(1);
        if pools >= most || (is_tight && is_much) {
            return Err(CauseCode::LACK_OF_RESOURCES);
        }
        Ok(())
    }

    /// Whether an element may be held as a copy that belongs to another registrar.
    pub(super) fn check_share_of_copies(
        &self,
        pool: &PoolHandle,
        id: PeId,
        home: ServerId,
    ) -> Result<(), CauseCode> {
        let (space, config) = (&self.space, &self.config);
        let known = space.find(pool, id).and_then(|key| space.get(key));
        if known.is_some_and(|known| known.info().home == home) {
            return Ok(());
        }
        let own = space.count_of_home(home);
        let in_new_pool = !space.is_home_in(home, pool);
        let of_registrar = own < config.max_elements_per_registrar
            && (!in_new_pool || space.pool_count_of_home(home) < config.max_pools_per_registrar);
        let of_homes = own > 0 || self.knows(home) || space.home_count() < HOMES * self.max_peers();
        // Elements that were taken over and have not answered count as copies.
        let copies = space.len() - space.owned_count();
        let most = config.max_elements - config.max_elements / RESERVE;
        let is_tight = copies as f64 >= most as f64 * PRESSURE;
        let is_much = own >= (most / FAIR_SHARE_OF_COPIES).max(1);
        let of_all = known.is_some() || (copies < most && !(is_tight && is_much));
        match of_registrar && of_homes && of_all {
            true => Ok(()),
            false => Err(CauseCode::LACK_OF_RESOURCES),
        }
    }
}
