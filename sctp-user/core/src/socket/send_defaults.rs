//! How a message is sent when its sender chooses nothing (RFC 6458 sec 8.1.31).

use bytes::Bytes;

use crate::addr::{Message, SendOptions};
use crate::stack::AssocId;

use super::error::SocketError;
use super::{SocketId, Sockets};

/// SCTP_DEFAULT_SNDINFO: the stream, PPID and options of messages that [`message`](Self::message)
/// makes. Default: stream 0, PPID 0, ordered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SendDefaults {
    /// Outgoing stream.
    pub stream: u16,
    /// Payload protocol identifier, the number on the wire in host order.
    pub ppid: u32,
    /// How to send.
    pub options: SendOptions,
}

impl SendDefaults {
    /// A message with these values.
    pub fn message(&self, data: impl Into<Bytes>) -> Message {
        Message { stream: self.stream, ppid: self.ppid, data: data.into(), options: self.options }
    }
}

impl Sockets {
    /// The defaults for messages over an association or, for `None`, over future associations.
    ///
    /// # Errors
    /// [`SocketError::BadSocket`], [`SocketError::NotConnected`].
    pub fn send_defaults(
        &mut self,
        id: SocketId,
        assoc: Option<AssocId>,
    ) -> Result<SendDefaults, SocketError> {
        let own = match assoc {
            Some(assoc) => self.member(id, assoc)?.send_defaults,
            None => None,
        };
        Ok(own.unwrap_or(self.open_socket(id)?.options.send))
    }

    /// Chooses the defaults for messages over an association or, for `None`, over all associations
    /// that have none of their own. This does not check that the stream exists; sending does.
    ///
    /// # Errors
    /// [`SocketError::BadSocket`], [`SocketError::NotConnected`].
    pub fn set_send_defaults(
        &mut self,
        id: SocketId,
        assoc: Option<AssocId>,
        defaults: SendDefaults,
    ) -> Result<(), SocketError> {
        match assoc {
            Some(assoc) => self.member(id, assoc)?.send_defaults = Some(defaults),
            None => self.open_socket(id)?.options.send = defaults,
        }
        Ok(())
    }
}
