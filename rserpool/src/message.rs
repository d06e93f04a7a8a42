//! Messages of sessions, as SCTP carries them.

use bytes::Bytes;
use rserpool_core::UserMessage;
use rserpool_wire::numbers::ppid;
use rserpool_wire::{AsapMessage, BusinessCard, PoolElement, PoolHandle};
use sctp_user::Message;

use crate::error::Error;

/// Part of a unit that a pool element sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outgoing {
    /// Application data.
    Data(UserMessage),
    /// A cookie: the state of the session, which the pool user hands to the next element after a
    /// failover.
    Cookie(Bytes),
    /// A business card: the elements that the pool user is to go to when this one is gone, in this
    /// order (RFC 5352 sec 2.2.13).
    BusinessCard(Vec<PoolElement>),
}

impl Outgoing {
    /// For a session of an element of `pool`.
    pub(crate) fn into_sctp(self, pool: &PoolHandle) -> Result<Message, Error> {
        match self {
            Outgoing::Data(message) => user_message(message),
            Outgoing::Cookie(cookie) => {
                Ok(Message::new(0, ppid::ASAP, AsapMessage::Cookie(cookie).encode()?))
            }
            Outgoing::BusinessCard(elements) => {
                let card = BusinessCard { pool: pool.clone(), elements };
                Ok(Message::new(0, ppid::ASAP, AsapMessage::BusinessCard(card).encode()?))
            }
        }
    }
}

/// A message of the application, which may be anything but a message of ASAP.
pub(crate) fn user_message(message: UserMessage) -> Result<Message, Error> {
    if message.ppid == ppid::ASAP {
        return Err(Error::Invalid(
            "PPID 11 belongs to the control channel; application data needs another one",
        ));
    }
    Ok(Message::new(message.stream, message.ppid, message.data))
}
