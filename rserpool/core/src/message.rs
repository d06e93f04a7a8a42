//! Messages of sessions.

use bytes::Bytes;

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
}
