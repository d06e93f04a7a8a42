//! Registration and deregistration of elements (RFC 5352 sec 3.1).

use rserpool_handlespace::{ElementKey, Misfit, OtherHome, RegisterError, RegisterRules, Timer};
use rserpool_wire::{
    AsapMessage, CauseCode, Deregistration, DeregistrationResponse, OperationError, PeId,
    PoolElement, PoolHandle, Registration, RegistrationResponse, UpdateAction,
};
use sctp_user_core::Time;

use super::budget::Request;
use super::event::{RegistrarEvent, RemovalReason};
use super::{RegistrarCore, addresses};
use crate::channel::ChannelId;
use crate::plant::{Fault, is_planted};

/// An element that registers here makes this registrar its home, whoever was that before: the one
/// before finds that out, and asks the element.
const OWN: RegisterRules =
    RegisterRules { other_home: OtherHome::TakeOver, misfit: Misfit::Refuse };
/// What another registrar tells of its own elements counts, even when it has created a pool that
/// is here already with another policy.
const COPY: RegisterRules =
    RegisterRules { other_home: OtherHome::TakeOver, misfit: Misfit::SetAside };

/// Whether another association may take an element over.
enum Claim {
    /// Nobody owns it, or the one that does.
    Free,
    /// An association that lives owns it, and is asked.
    Asked,
    /// Nobody can ask right now.
    Refused,
}

impl RegistrarCore {
    pub(super) fn on_registration(&mut self, now: Time, channel: ChannelId, request: Registration) {
        let Registration { pool, element } = request;
        let id = element.id;
        if !self.admit_request(now, channel, Request::Registration) {
            // Without an event: a flood would fill the log.
            self.stats.limited_registrations += 1;
            let error = OperationError::new(CauseCode::SECURITY);
            return self.respond_to_registration(channel, pool, id, Some(error));
        }
        match self.check_registration(channel, &pool, element) {
            Ok(element) => match self.claim_of(now, channel, &pool, &element) {
                Claim::Free => self.complete_registration(now, channel, pool, element),
                Claim::Asked => {}
                Claim::Refused => {
                    self.refuse_registration(channel, pool, id, CauseCode::NON_UNIQUE_PE_ID)
                }
            },
            Err(cause) => {
                self.remove_if_contradicted(now, channel, &pool, id, cause);
                self.refuse_registration(channel, pool, id, cause);
            }
        }
    }

    /// An element that this registrar took over says that it does not fit to its pool. Then what
    /// this registrar knows of it is wrong: somebody else told that. It would keep the element, and
    /// perhaps the whole pool, from being registered.
    fn remove_if_contradicted(
        &mut self,
        now: Time,
        channel: ChannelId,
        pool: &PoolHandle,
        id: PeId,
        cause: CauseCode,
    ) {
        let misfit = [
            CauseCode::INCONSISTENT_POLICY,
            CauseCode::WRONG_PROTOCOL,
            CauseCode::INCONSISTENT_TRANSPORT_USE,
        ];
        // What an element registered itself came over an association that it opened.
        if !misfit.contains(&cause) || channel.is_incoming() {
            return;
        }
        let known = self.space.find(pool, id).filter(|key| {
            self.space.get(*key).is_some_and(|known| known.owner() == Some(channel.as_u64()))
        });
        if let Some(key) = known {
            self.remove(now, key, RemovalReason::Contradicted);
        }
    }

    /// The element as it will be registered.
    fn check_registration(
        &self,
        channel: ChannelId,
        pool: &PoolHandle,
        mut element: PoolElement,
    ) -> Result<PoolElement, CauseCode> {
        let association =
            self.associations.get(&channel).ok_or(CauseCode::NO_USABLE_ASAP_ADDRESSES)?;
        if !rserpool_handlespace::supports(&element.policy) {
            return Err(CauseCode::UNSUPPORTED_POLICY);
        }
        if element.id.is_undefined() {
            return Err(CauseCode::INVALID_ID);
        }
        if pool.len() > self.config.max_handle_length {
            return Err(CauseCode::INVALID_POOL_HANDLE);
        }
        addresses::settle(&mut element, &association.peer, self.config.min_address_scope)?;
        element.home = self.id;
        if element.policy.distance().is_some() {
            element.policy.set_distance(association.rtt.map_or(0, |rtt| self.distance_of(rtt)));
        }
        self.check_share(channel, pool, element.id)?;
        let rules = self.rules_for(pool, element.id);
        self.space.check_registration(pool, &element, rules).map_err(|error| cause_of(&error))?;
        Ok(element)
    }

    /// Whether the element belongs to somebody else who lives (RFC 5355 sec 2.3).
    fn claim_of(
        &mut self,
        now: Time,
        channel: ChannelId,
        pool: &PoolHandle,
        element: &PoolElement,
    ) -> Claim {
        if self.config.loose_ownership {
            return Claim::Free;
        }
        let Some(key) = self.space.find(pool, element.id) else { return Claim::Free };
        let owner = self.space.get(key).and_then(|known| known.owner());
        if owner.is_none_or(|owner| owner == channel.as_u64()) {
            return Claim::Free;
        }
        match self.challenge_by_association(now, key, channel, element.clone()) {
            true => Claim::Asked,
            false => Claim::Refused,
        }
    }

    /// Registers an element that nothing speaks against.
    pub(super) fn complete_registration(
        &mut self,
        now: Time,
        channel: ChannelId,
        pool: PoolHandle,
        element: PoolElement,
    ) {
        // It may have ended while another one was asked.
        if !self.associations.contains_key(&channel) {
            return;
        }
        let id = element.id;
        match self.register(now, channel, &pool, element) {
            Ok((key, new)) => {
                let event = match new {
                    true => RegistrarEvent::Registered { pool: pool.clone(), id, channel },
                    false => RegistrarEvent::Reregistered { pool: pool.clone(), id, channel },
                };
                self.report(event);
                self.respond_to_registration(channel, pool.clone(), id, None);
                if let Some(known) = self.space.get(key)
                    && !is_planted(Fault::RegistrationNotTold)
                {
                    let info = known.info().clone();
                    self.tell_update(now, UpdateAction::AddPe, &pool, &info);
                }
                self.tell_subscribers(&pool);
            }
            Err(cause) => self.refuse_registration(channel, pool, id, cause),
        }
    }

    /// An element that was set aside before, as another registrar had taken it, may go on like
    /// that.
    fn rules_for(&self, pool: &PoolHandle, id: PeId) -> RegisterRules {
        let known = self.space.find(pool, id);
        if known.is_some_and(|key| self.space.is_set_aside(key)) { COPY } else { OWN }
    }

    /// Says whether the element is new.
    fn register(
        &mut self,
        now: Time,
        channel: ChannelId,
        pool: &PoolHandle,
        element: PoolElement,
    ) -> Result<(ElementKey, bool), CauseCode> {
        let life = element.life.duration(self.config.life_unit);
        let rules = self.rules_for(pool, element.id);
        let registration = self
            .space
            .register(pool, element, Some(channel.as_u64()), rules)
            .map_err(|error| cause_of(&error))?;
        let key = registration.key;
        self.space.set_timer(key, Timer::Life, life.map(|life| now + life));
        self.watch(channel);
        // A registration is a sign of life.
        self.schedule_keep_alive(now, key);
        match registration.new {
            true => self.stats.registrations += 1,
            false => self.stats.reregistrations += 1,
        }
        Ok((key, registration.new))
    }

    /// Takes in an element of another registrar.
    pub(super) fn register_copy(
        &mut self,
        pool: &PoolHandle,
        element: PoolElement,
    ) -> Result<ElementKey, CauseCode> {
        self.check_share_of_copies(pool, element.id, element.home)?;
        let registration = self.space.register(pool, element, None, COPY);
        Ok(registration.map_err(|error| cause_of(&error))?.key)
    }

    /// An element that another association claims lives where it is.
    pub(super) fn refuse_claim(
        &mut self,
        channel: ChannelId,
        key: ElementKey,
        element: &PoolElement,
    ) {
        let Some(pool) = self.space.get(key).map(|known| known.handle().clone()) else { return };
        self.refuse_registration(channel, pool, element.id, CauseCode::NON_UNIQUE_PE_ID);
    }

    fn refuse_registration(
        &mut self,
        channel: ChannelId,
        pool: PoolHandle,
        id: PeId,
        cause: CauseCode,
    ) {
        self.stats.refused_registrations += 1;
        self.report(RegistrarEvent::RegistrationRefused { pool: pool.clone(), id, cause });
        let error = OperationError::new(cause);
        if cause == CauseCode::UNSUPPORTED_POLICY {
            // As RSPLIB does: it finds this out while decoding.
            self.send(channel, &AsapMessage::Error(error));
        } else {
            self.respond_to_registration(channel, pool, id, Some(error));
        }
    }

    fn respond_to_registration(
        &mut self,
        channel: ChannelId,
        pool: PoolHandle,
        id: PeId,
        error: Option<OperationError>,
    ) {
        let rejected = error.is_some();
        let response = RegistrationResponse { rejected, pool, id, error };
        self.send(channel, &AsapMessage::RegistrationResponse(response));
    }

    /// An unknown element is as good as deregistered. Only the association that owns an element may
    /// deregister it, or any other one when nobody owns it.
    pub(super) fn on_deregistration(
        &mut self,
        now: Time,
        channel: ChannelId,
        request: Deregistration,
    ) {
        let Deregistration { pool, id } = request;
        if !self.admit_request(now, channel, Request::Registration) {
            self.stats.limited_registrations += 1;
            let error = OperationError::new(CauseCode::SECURITY);
            return self.respond_to_deregistration(channel, pool, id, Some(error));
        }
        let known = self.space.find(&pool, id);
        let owner = known.and_then(|key| self.space.get(key)?.owner());
        let may =
            self.config.loose_ownership || owner.is_none_or(|owner| owner == channel.as_u64());
        let error = (!may).then(|| OperationError::new(CauseCode::SECURITY));
        if may {
            self.stats.deregistrations += 1;
            if let Some(key) = known {
                self.remove(now, key, RemovalReason::Deregistered);
            }
        } else {
            self.stats.refused_deregistrations += 1;
        }
        self.respond_to_deregistration(channel, pool, id, error);
    }

    fn respond_to_deregistration(
        &mut self,
        channel: ChannelId,
        pool: PoolHandle,
        id: PeId,
        error: Option<OperationError>,
    ) {
        let rejected = error.is_some();
        let response = DeregistrationResponse { rejected, pool, id, error };
        self.send(channel, &AsapMessage::DeregistrationResponse(response));
    }
}

/// What the element is told; the codes are those of RSPLIB.
pub(super) fn cause_of(error: &RegisterError) -> CauseCode {
    match error {
        RegisterError::InvalidIdentifier => CauseCode::INVALID_ID,
        RegisterError::HandleTooLong { .. } => CauseCode::INVALID_POOL_HANDLE,
        RegisterError::UnsupportedPolicy(_) => CauseCode::UNSUPPORTED_POLICY,
        RegisterError::PolicyMismatch { .. } => CauseCode::INCONSISTENT_POLICY,
        RegisterError::TransportProtocolMismatch { .. } => CauseCode::WRONG_PROTOCOL,
        RegisterError::TransportUseMismatch { .. } => CauseCode::INCONSISTENT_TRANSPORT_USE,
        RegisterError::Full(_) => CauseCode::LACK_OF_RESOURCES,
        _ => CauseCode::UNSPECIFIED,
    }
}
