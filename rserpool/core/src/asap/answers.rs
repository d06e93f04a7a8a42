//! What the home registrar answers to our requests.

use rserpool_wire::{
    AsapMessage, CauseCode, DeregistrationResponse, HandleResolutionResponse, OperationError,
    PoolElement, RegistrationResponse, Resolution,
};
use sctp_user_core::Time;

use super::home::Home;
use super::requests::{Kind, Question, Request, Subject};
use super::{AsapCore, AsapEvent, RequestError};

impl AsapCore {
    /// An answer of the home registrar, or something that it should not say.
    pub(super) fn on_answer(&mut self, now: Time, message: AsapMessage) {
        let known = match message {
            AsapMessage::RegistrationResponse(m) => self.on_registered(now, m),
            AsapMessage::DeregistrationResponse(m) => self.on_deregistered(m),
            AsapMessage::HandleResolutionResponse(m) => self.on_resolved(now, m),
            AsapMessage::Error(error) => {
                // Meant for the oldest request.
                if let Some(request) = self.requests.take_first_sent() {
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
        if !matches!(self.home, Home::Up(_)) {
            return;
        }
        self.home_is_proven();
        // A change may have waited for this answer.
        self.renew(now);
    }

    fn on_registered(&mut self, now: Time, m: RegistrationResponse) -> bool {
        let key = (m.pool, m.id);
        let subject = Subject::Registration(key.clone());
        let Some(request) = self.requests.take_sent(&subject) else { return false };
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
            && registered.accepted()
        {
            self.tell(AsapEvent::Registered { id: key.1 });
        }
        true
    }

    fn on_deregistered(&mut self, m: DeregistrationResponse) -> bool {
        let key = (m.pool, m.id);
        let request = self.requests.take_sent(&Subject::Deregistration(key));
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
        if self.on_update(now, &m) {
            return true;
        }
        let request = self.requests.take_sent(&Subject::Resolution(m.pool));
        let Some(Request { kind: Kind::Resolve(question), .. }) = request else { return false };
        match m.resolution {
            Resolution::Error(e) if e.code() == CauseCode::UNKNOWN_POOL => {
                self.ask_others(now, question);
            }
            Resolution::Error(e) => self.answer(question, Err(RequestError::Rejected(e))),
            Resolution::Elements { elements, .. } if elements.is_empty() => {
                self.ask_others(now, question);
            }
            Resolution::Elements { elements, .. } => {
                self.found_elements(now, &question.pool, &elements);
                let elements = self.select(now, &question, elements);
                self.answer(question, Ok(elements));
            }
        }
        true
    }

    /// The elements for a question, out of those that a registrar named. Where elements from the
    /// cache are good enough, those are selected by the policy of the pool.
    pub(super) fn select(
        &mut self,
        now: Time,
        question: &Question,
        elements: Vec<PoolElement>,
    ) -> Vec<PoolElement> {
        let Question { pool, items, stale, .. } = question;
        if stale.is_zero() || !self.cache.store(now, pool, &elements, *stale) {
            return elements;
        }
        let selected = self.cache.select(now, pool, *items);
        if selected.is_empty() { elements } else { selected }
    }
}
