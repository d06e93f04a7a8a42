//! Sending requests to the home registrar, and what becomes of those that fail.

use rserpool_wire::numbers::ppid;
use rserpool_wire::{
    AsapMessage, CauseCode, Deregistration, EndpointUnreachable, HandleResolution, OperationError,
    Registration,
};
use sctp_user_core::Time;

use super::home::Home;
use super::requests::{Kind, Question, Request};
use super::subscriptions::ALL;
use super::{AsapCore, AsapEvent, Output, RequestError};

impl AsapCore {
    /// When the next registration is due.
    pub(super) fn next_registration(&self) -> Option<Time> {
        let waiting = self.elements.iter().filter(|(key, _)| !self.requests.registers(key));
        waiting.map(|(_, registered)| registered.due).min()
    }

    /// Registers the elements that are due, and sends whatever waits.
    pub(super) fn renew(&mut self, now: Time) {
        if matches!(self.home, Home::Up(_)) {
            for (key, registered) in &self.elements {
                if registered.due <= now && !self.requests.registers(key) {
                    self.requests.push(Kind::Register(key.clone()), None);
                }
            }
        }
        self.ask_for_subscriptions(now);
        self.send(now);
    }

    /// Sends all requests that wait, if there is a registrar.
    pub(super) fn send(&mut self, now: Time) {
        let Home::Up(up) = &mut self.home else { return };
        let (channel, local) = (up.channel, up.local.clone());
        up.asked |= !self.requests.is_empty();
        while let Some(request) = self.requests.first_unsent() {
            let message = match &request.kind {
                Kind::Register(key) => match self.elements.get_mut(key) {
                    Some(registered) => {
                        registered.sent(now);
                        let element = registered.element.to_wire(&local);
                        AsapMessage::Registration(Registration { pool: key.0.clone(), element })
                    }
                    None => {
                        self.requests.take_first_unsent();
                        continue;
                    }
                },
                Kind::Deregister((pool, id), _) => {
                    AsapMessage::Deregistration(Deregistration { pool: pool.clone(), id: *id })
                }
                Kind::Resolve(Question { pool, items, stale, .. }) => {
                    // To fill the cache, the registrar gives as many as it likes.
                    let items = (stale.is_zero() && *items != 0).then_some(*items);
                    AsapMessage::HandleResolution(HandleResolution {
                        subscribe: false,
                        pool: pool.clone(),
                        items,
                    })
                }
                Kind::Subscribe(pool) => AsapMessage::HandleResolution(HandleResolution {
                    subscribe: true,
                    pool: pool.clone(),
                    items: Some(ALL),
                }),
                Kind::Report((pool, id)) => AsapMessage::EndpointUnreachable(EndpointUnreachable {
                    pool: pool.clone(),
                    id: *id,
                }),
            };
            match message.encode() {
                Ok(data) => {
                    if matches!(request.kind, Kind::Report(_)) {
                        self.requests.take_first_unsent();
                    } else {
                        self.requests.sent_first_unsent(now + self.config.response_timeout);
                    }
                    self.outputs.push_back(Output::Send { channel, ppid: ppid::ASAP, data });
                }
                Err(error) => {
                    if let Some(request) = self.requests.take_first_unsent() {
                        self.fail(now, request, error.into());
                    }
                }
            }
        }
    }

    /// Tells whoever asked that a request failed.
    pub(super) fn fail(&mut self, now: Time, request: Request, error: RequestError) {
        match request.kind {
            Kind::Resolve(question) => self.answer(question, Err(error)),
            Kind::Deregister(_, id) => {
                self.tell(AsapEvent::Deregistered { request: id, result: Err(error) });
            }
            Kind::Register(key) => {
                let Some(registered) = self.elements.get_mut(&key) else { return };
                let error = match error {
                    RequestError::Rejected(error) => error,
                    RequestError::Encode(_) => OperationError::new(CauseCode::INVALID_ADDRESSES),
                    _ => return registered.answered(),
                };
                if registered.refused(now, &error) {
                    self.tell(AsapEvent::Rejected { id: key.1, error });
                }
            }
            Kind::Subscribe(pool) => self.subscriptions.ask_later(now, &pool),
            Kind::Report(_) => {}
        }
    }
}
