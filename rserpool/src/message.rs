//! Messages of sessions.

use bytes::Bytes;
use rserpool_wire::AsapMessage;
use rserpool_wire::numbers::ppid;
use sctp_user::Message;

use crate::error::Error;

/// An application message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserMessage {
    /// SCTP stream.
    pub stream: u16,
    /// Payload protocol identifier, host order; not that of ASAP (11), which belongs to the control
    /// channel.
    pub ppid: u32,
    /// The data, at least 1 byte.
    pub data: Bytes,
}

impl UserMessage {
    /// A message on stream 0.
    pub fn new(ppid: u32, data: impl Into<Bytes>) -> Self {
        UserMessage { stream: 0, ppid, data: data.into() }
    }

    pub(crate) fn into_sctp(self) -> Result<Message, Error> {
        if self.ppid == ppid::ASAP {
            return Err(Error::Invalid(
                "PPID 11 belongs to the control channel; application data needs another one",
            ));
        }
        Ok(Message::new(self.stream, self.ppid, self.data))
    }
}

/// Part of a unit that a pool element sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outgoing {
    /// Application data.
    Data(UserMessage),
    /// A cookie: the state of the session, which the pool user hands to the next element after a
    /// failover.
    Cookie(Bytes),
}

impl Outgoing {
    pub(crate) fn into_sctp(self) -> Result<Message, Error> {
        match self {
            Outgoing::Data(message) => message.into_sctp(),
            Outgoing::Cookie(cookie) => {
                Ok(Message::new(0, ppid::ASAP, AsapMessage::Cookie(cookie).encode()?))
            }
        }
    }
}
