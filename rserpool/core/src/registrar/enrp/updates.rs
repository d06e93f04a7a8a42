//! Single changes of the handlespace, told to others and heard from them (RFC 5353 sec 2.4, 3.4).

use rserpool_handlespace::{Element, Timer, UserPlace};
use rserpool_wire::{
    CauseCode, EnrpBody, HandleUpdate, OperationError, PoolElement, PoolHandle, ServerId,
    UpdateAction,
};
use sctp_user_core::{Duration, Time};

use crate::channel::ChannelId;
use crate::registrar::event::{RegistrarEvent, RemovalReason};
use crate::registrar::{RegistrarCore, addresses};

/// Who tells of an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// The registrar that it is said to belong to.
    Home(ServerId),
    /// Our mentor, who tells of the elements of all.
    Mentor(ServerId),
}

impl RegistrarCore {
    // Telling.

    /// Tells all registrars of one of our elements.
    pub(in crate::registrar) fn tell_update(
        &mut self,
        now: Time,
        action: UpdateAction,
        pool: &PoolHandle,
        element: &PoolElement,
    ) {
        if self.enrp.peers.is_empty() {
            return;
        }
        for id in self.enrp.living() {
            self.tell_update_to(now, id, action, pool, element, false);
        }
        if action == UpdateAction::AddPe {
            self.suggest_takeover(now, pool, element);
        }
    }

    fn tell_update_to(
        &mut self,
        now: Time,
        id: ServerId,
        action: UpdateAction,
        pool: &PoolHandle,
        element: &PoolElement,
        takeover_suggested: bool,
    ) {
        let channel = self.enrp.peers.get(&id).and_then(|peer| peer.channel);
        let place = channel.map_or(UserPlace::Elsewhere, |channel| self.place_of_channel(channel));
        let Some(element) = addresses::for_registrars(element, place) else { return };
        let update = HandleUpdate { takeover_suggested, action, pool: pool.clone(), element };
        self.stats.handle_updates_sent += 1;
        self.send_enrp(now, id, EnrpBody::HandleUpdate(update));
    }

    /// Elements spread over the registrars by a metric that all agree on: the server ID xor the PE
    /// ID. The registrar with the largest one is suggested to become the home.
    fn suggest_takeover(&mut self, now: Time, pool: &PoolHandle, element: &PoolElement) {
        if !self.enrp_config().is_some_and(|config| config.takeover_suggestion) {
            return;
        }
        let metric = |server: ServerId| server.0 ^ element.id.0;
        let best = self.enrp.living().into_iter().max_by_key(|id| metric(*id));
        if let Some(best) = best.filter(|best| metric(*best) > metric(self.id)) {
            self.tell_update_to(now, best, UpdateAction::AddPe, pool, element, true);
        }
    }

    // Hearing.

    pub(super) fn on_handle_update(
        &mut self,
        now: Time,
        channel: ChannelId,
        from: ServerId,
        update: HandleUpdate,
    ) {
        let HandleUpdate { takeover_suggested, action, pool, element } = update;
        self.stats.handle_updates_received += 1;
        match action {
            UpdateAction::AddPe => {
                if element.home.is_undefined() {
                    return self.refuse_update(channel, from, CauseCode::INVALID_PARAMETER_VALUE);
                }
                if element.asap_transport.is_none() {
                    return self.refuse_update(channel, from, CauseCode::INVALID_ASAP_TRANSPORT);
                }
                let id = element.id;
                match self.learn(now, Source::Home(from), &pool, element, true) {
                    Ok(()) if takeover_suggested => {
                        let follows = self.enrp_config().is_some_and(|c| c.takeover_suggestion);
                        if let Some(key) = self.space.find(&pool, id).filter(|_| follows) {
                            self.claim(now, key);
                        }
                    }
                    Ok(()) => {}
                    Err(cause) => self.refuse_update(channel, from, cause),
                }
            }
            UpdateAction::DelPe => {
                // Only its home can say that an element is gone.
                let key = self.space.find(&pool, element.id).filter(|key| {
                    self.space.get(*key).is_some_and(|known| known.info().home == from)
                });
                if let Some(element) = key.and_then(|key| self.space.remove(key)) {
                    self.on_copy_removed(&element);
                }
            }
            UpdateAction::Other(_) => self.stats.ignored_messages += 1,
        }
    }

    fn refuse_update(&mut self, channel: ChannelId, from: ServerId, cause: CauseCode) {
        self.send_enrp_error(channel, (from, self.id), OperationError::new(cause));
    }

    /// Takes an element in that another registrar tells of.
    pub(super) fn learn(
        &mut self,
        now: Time,
        source: Source,
        pool: &PoolHandle,
        mut element: PoolElement,
        by_update: bool,
    ) -> Result<(), CauseCode> {
        let told_by = match source {
            Source::Home(id) | Source::Mentor(id) => id,
        };
        // Everybody speaks for its own elements; only a mentor for those of others, of which none
        // is ours.
        let may = match source {
            Source::Home(id) => element.home == id,
            Source::Mentor(_) => element.home != self.id,
        };
        if !may || !self.acceptable(&element) {
            return Err(CauseCode::INVALID_PARAMETER_VALUE);
        }
        if pool.len() > self.config.max_handle_length {
            return Err(CauseCode::INVALID_POOL_HANDLE);
        }
        self.add_distance(told_by, &mut element);
        let known = self.space.find(pool, element.id);
        let home = known.and_then(|key| self.space.get(key)).map(|known| known.info().home);
        if let Some(key) = known {
            if home == Some(self.id) {
                self.on_rival_claim(now, key, told_by, element, by_update);
                return Ok(());
            }
            // What the home itself said counts more.
            if matches!(source, Source::Mentor(_)) {
                return Ok(());
            }
        }
        if matches!(source, Source::Home(_)) {
            let other_home = home.filter(|home| *home != told_by);
            if !self.believes_claim(now, (pool, element.id), told_by, other_home) {
                self.stats.ignored_messages += 1;
                return Ok(());
            }
        }
        let life = element.life.duration(self.config.life_unit);
        let registered = self.register_copy(pool, element);
        if registered == Err(CauseCode::LACK_OF_RESOURCES) {
            self.on_copy_not_held(now, told_by);
        }
        let key = registered?;
        if by_update {
            // The element has just registered with its home, so it lives.
            self.space.set_suspect(key, false);
        }
        self.space.set_timer(key, Timer::Life, life.map(|life| now + life));
        self.space.set_timer(key, Timer::KeepAliveTransmission, None);
        self.space.set_timer(key, Timer::KeepAliveTimeout, None);
        self.tell_subscribers(pool);
        Ok(())
    }

    /// A user of ours is as far from the element as the element is from its home and that one is
    /// from us.
    fn add_distance(&self, told_by: ServerId, element: &mut PoolElement) {
        let channel = self.enrp.peers.get(&told_by).and_then(|peer| peer.channel);
        let rtt = channel.and_then(|channel| self.associations.get(&channel)?.rtt);
        if let (Some(distance), Some(rtt)) = (element.policy.distance(), rtt) {
            let between = self.distance_of(rtt);
            element.policy.set_distance(distance.saturating_add(between));
        }
    }

    /// Half a round-trip time in milliseconds, rounded to the configured step.
    pub(in crate::registrar) fn distance_of(&self, rtt: Duration) -> u32 {
        let step = self.config.distance_step.as_millis().max(1);
        let half = rtt.as_millis() / 2;
        u32::try_from((half + step / 2) / step * step).unwrap_or(u32::MAX)
    }

    /// A copy of another registrar's element is gone.
    pub(in crate::registrar) fn on_copy_removed(&mut self, element: &Element) {
        let (pool, id) = (element.handle().clone(), element.info().id);
        self.tell_subscribers(&pool);
        self.report(RegistrarEvent::Removed { pool, id, reason: RemovalReason::ToldByHome });
    }
}
