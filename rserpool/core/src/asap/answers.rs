//! What registrars say: answers to our requests, and keep-alives.

use std::net::IpAddr;

use rserpool_wire::{
    AsapMessage, CauseCode, DeregistrationResponse, EndpointKeepAlive, EndpointKeepAliveAck,
    HandleResolutionResponse, OperationError, RegistrationResponse, Resolution,
};
use sctp_user_core::Time;

use super::home::{Home, Up};
use super::requests::{ElementKey, Kind, Request};
use super::{AsapCore, AsapEvent, Output, RequestError};
use crate::channel::ChannelId;
use rserpool_wire::numbers::ppid;

impl AsapCore {
    /// An answer of the home registrar, or something that it should not say.
    pub(super) fn on_answer(&mut self, now: Time, message: AsapMessage) {
        let known = match message {
            AsapMessage::RegistrationResponse(m) => self.on_registered(now, m),
            AsapMessage::DeregistrationResponse(m) => self.on_deregistered(m),
            AsapMessage::HandleResolutionResponse(m) => self.on_resolved(now, m),
            AsapMessage::Error(error) => {
                // Meant for the oldest request.
                if let Some(request) = self.requests.take_sent(|_| true) {
                    self.fail(now, request, RequestError::Rejected(error));
                }
                true
            }
            // Nothing that concerns us.
            _ => return,
        };
        if !known {
            return self.lose(now, "answer without a request", false);
        }
        let Home::Up(up) = &mut self.home else { return };
        up.proven = true;
        self.failures = 0;
        // A change may have waited for this answer.
        self.renew(now);
    }

    fn on_registered(&mut self, now: Time, m: RegistrationResponse) -> bool {
        let key = (m.pool, m.id);
        let Some(request) =
            self.requests.take_sent(|kind| matches!(kind, Kind::Register(k) if *k == key))
        else {
            return false;
        };
        if m.rejected {
            let error = m.error.unwrap_or(OperationError { causes: Vec::new() });
            let no_address =
                [CauseCode::NO_USABLE_ASAP_ADDRESSES, CauseCode::NO_USABLE_USER_ADDRESSES];
            let reconnect = no_address.contains(&error.code());
            self.fail(now, request, RequestError::Rejected(error));
            if reconnect {
                // A new association may have other addresses.
                if let Home::Up(up) = &mut self.home {
                    up.proven = false;
                }
                self.lose(now, "no usable addresses", false);
            }
        } else if let Some(registered) = self.elements.get_mut(&key)
            && !registered.confirmed
        {
            registered.confirmed = true;
            self.tell(AsapEvent::Registered { id: key.1 });
        }
        true
    }

    fn on_deregistered(&mut self, m: DeregistrationResponse) -> bool {
        let key = (m.pool, m.id);
        let request =
            self.requests.take_sent(|kind| matches!(kind, Kind::Deregister(k, _) if *k == key));
        let Some(Request { kind: Kind::Deregister(_, request), .. }) = request else {
            return false;
        };
        let result = match m.error {
            Some(error) if m.rejected => Err(RequestError::Rejected(error)),
            None if m.rejected => {
                Err(RequestError::Rejected(OperationError { causes: Vec::new() }))
            }
            _ => Ok(()),
        };
        self.tell(AsapEvent::Deregistered { request, result });
        true
    }

    fn on_resolved(&mut self, now: Time, m: HandleResolutionResponse) -> bool {
        let request = self
            .requests
            .take_sent(|kind| matches!(kind, Kind::Resolve { pool, .. } if *pool == m.pool));
        let Some(Request { kind: Kind::Resolve { pool, items, stale, id }, .. }) = request else {
            return false;
        };
        let result = match m.resolution {
            Resolution::Error(e) if e.code() == CauseCode::UNKNOWN_POOL => {
                Err(RequestError::NoElement(pool))
            }
            Resolution::Error(e) => Err(RequestError::Rejected(e)),
            Resolution::Elements { elements, .. } if elements.is_empty() => {
                Err(RequestError::NoElement(pool))
            }
            Resolution::Elements { elements, .. } if stale.is_zero() => Ok(elements),
            Resolution::Elements { elements, .. } => {
                let kept = self.cache.store(now, &pool, &elements, stale);
                let selected = if kept { self.cache.select(now, &pool, items) } else { Vec::new() };
                Ok(if selected.is_empty() { elements } else { selected })
            }
        };
        self.tell(AsapEvent::Resolved { request: id, result });
        true
    }

    /// RFC 5352 sec 3.5, with RSPLIB's addition of the element.
    pub(super) fn on_keep_alive(
        &mut self,
        now: Time,
        channel: ChannelId,
        is_home: bool,
        m: &EndpointKeepAlive,
    ) {
        let ours: Vec<ElementKey> = match m.id {
            // All elements, whatever pool is named.
            None => self.elements.keys().cloned().collect(),
            Some(id) => {
                let key = (m.pool.clone(), id);
                self.elements.contains_key(&key).then_some(key).into_iter().collect()
            }
        };
        if ours.is_empty() {
            return;
        }
        for (pool, id) in &ours {
            let ack = EndpointKeepAliveAck { pool: pool.clone(), id: *id };
            if let Ok(data) = AsapMessage::EndpointKeepAliveAck(ack).encode() {
                self.outputs.push_back(Output::Send { channel, ppid: ppid::ASAP, data });
            }
        }
        match self.incoming.get_mut(&channel) {
            Some((local, _)) if m.home => {
                let local = std::mem::take(local);
                self.adopt(now, channel, local);
            }
            Some((_, idle)) => *idle = now + self.config.autoclose,
            None if is_home => {
                self.failures = 0;
                if let Home::Up(up) = &mut self.home {
                    up.proven = true;
                }
            }
            None => {}
        }
    }

    /// Another registrar says that it is the home of our elements now, so it is. The elements
    /// register there when they are due.
    fn adopt(&mut self, now: Time, channel: ChannelId, local: Vec<IpAddr>) {
        self.incoming.remove(&channel);
        let new = Home::Up(Up { channel, ways: None, local, asked: false, proven: true });
        match std::mem::replace(&mut self.home, new) {
            Home::Up(old) => {
                self.abort(old.channel, "another registrar is the home now");
                // Whatever was asked is asked again; registrations when they are due.
                self.requests.unsend(|request| matches!(request.kind, Kind::Register(_)));
            }
            Home::Hunting(mut hunt) => {
                for other in hunt.take_all() {
                    self.abort(other, "another registrar is the home now");
                }
            }
            Home::None | Home::Pausing { .. } => {}
        }
        self.failures = 0;
        self.tell(AsapEvent::NewHome(channel));
        self.renew(now);
    }
}
