//! Registration and deregistration of elements (RFC 5352 sec 3.1).

use rserpool_handlespace::{Misfit, OtherHome, RegisterError, RegisterRules, Timer};
use rserpool_wire::{
    AsapMessage, CauseCode, Deregistration, DeregistrationResponse, OperationError, PeId,
    PoolElement, PoolHandle, Registration, RegistrationResponse,
};
use sctp_user_core::Time;

use super::event::{RegistrarEvent, RemovalReason};
use super::{RegistrarCore, addresses};
use crate::channel::ChannelId;

impl RegistrarCore {
    pub(super) fn on_registration(&mut self, now: Time, channel: ChannelId, request: Registration) {
        let Registration { pool, element } = request;
        let id = element.id;
        match self.register(now, channel, &pool, element) {
            Ok(new) => {
                let event = match new {
                    true => RegistrarEvent::Registered { pool: pool.clone(), id, channel },
                    false => RegistrarEvent::Reregistered { pool: pool.clone(), id, channel },
                };
                self.report(event);
                self.respond_to_registration(channel, pool, id, None);
            }
            Err(cause) => {
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
        }
    }

    /// Says whether the element is new.
    fn register(
        &mut self,
        now: Time,
        channel: ChannelId,
        pool: &PoolHandle,
        mut element: PoolElement,
    ) -> Result<bool, CauseCode> {
        // No member of the association is left when it ended while its messages were still queued.
        let peer =
            &self.associations.get(&channel).ok_or(CauseCode::NO_USABLE_ASAP_ADDRESSES)?.peer;
        if !rserpool_handlespace::supports(&element.policy) {
            return Err(CauseCode::UNSUPPORTED_POLICY);
        }
        if element.id.is_undefined() {
            return Err(CauseCode::INVALID_ID);
        }
        if pool.len() > self.config.max_handle_length {
            return Err(CauseCode::INVALID_POOL_HANDLE);
        }
        addresses::settle(&mut element, peer, self.config.min_address_scope)?;
        element.home = self.id;
        let life = element.life.duration(self.config.life_unit);
        // The element itself says that this registrar is its home now.
        let rules = RegisterRules { other_home: OtherHome::TakeOver, misfit: Misfit::Refuse };
        let registration = self
            .space
            .register(pool, element, Some(channel.as_u64()), rules)
            .map_err(|error| cause_of(&error))?;
        let key = registration.key;
        self.space.set_timer(key, Timer::Life, life.map(|life| now + life));
        // A registration is a sign of life.
        self.space.set_timer(key, Timer::KeepAliveTimeout, None);
        self.space.set_timer(
            key,
            Timer::KeepAliveTransmission,
            Some(now + self.config.keep_alive_interval),
        );
        match registration.new {
            true => self.stats.registrations += 1,
            false => self.stats.reregistrations += 1,
        }
        Ok(registration.new)
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

    /// An unknown element is as good as deregistered. Any association may deregister any element:
    /// after a failover an element comes by a new one.
    pub(super) fn on_deregistration(&mut self, channel: ChannelId, request: Deregistration) {
        let Deregistration { pool, id } = request;
        self.stats.deregistrations += 1;
        if let Some(key) = self.space.find(&pool, id) {
            self.remove(key, RemovalReason::Deregistered);
        }
        let response = DeregistrationResponse { rejected: false, pool, id, error: None };
        self.send(channel, &AsapMessage::DeregistrationResponse(response));
    }
}

/// What the element is told; the codes are those of RSPLIB.
fn cause_of(error: &RegisterError) -> CauseCode {
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
