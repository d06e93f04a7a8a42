//! What can go wrong when the user calls the core.

use thiserror::Error;

use crate::interface::Shown;

/// A configuration value is out of range. The text says which one and what is allowed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct ConfigError(pub &'static str);

/// Why a port could not be bound.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BindError {
    /// The SCTP port is already in use in this stack.
    #[error("SCTP port {0} is already in use")]
    PortInUse(u16),
    /// No free port is left.
    #[error("no free SCTP port is left")]
    NoPort,
    /// The address cannot be bound.
    #[error("{} is not a unicast address", Shown(*.0))]
    Address(std::net::IpAddr),
    /// The configuration is not valid.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

/// Why an association could not be started.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The local port is not bound.
    #[error("the local SCTP port is not bound")]
    NotBound,
    /// There is an association between these two ports and addresses.
    #[error("there already is an association with this peer on this port")]
    AlreadyConnected,
    /// The peer has no usable address, or port 0.
    #[error("the peer has no usable address or its SCTP port is 0")]
    NoAddress,
    /// The stack has as many associations as [`StackConfig`](crate::StackConfig) allows.
    #[error("the limit of associations of this stack is reached")]
    TooMany,
    /// The configuration is not valid.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

/// Why a message was refused. It was not queued.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SendError {
    /// The association does not exist, or not any more.
    #[error("the association does not exist (any more)")]
    NotFound,
    /// One of the two sides has begun a shutdown, so no more data is taken.
    #[error("the association is shutting down")]
    ShuttingDown,
    /// The send buffer is full. [`Event::Writable`](crate::Event::Writable) says when to try again.
    #[error("the send buffer is full")]
    WouldBlock,
    /// The stream number is not below the number of outbound streams.
    #[error("stream {stream} does not exist: the association has {streams} outbound streams")]
    InvalidStream {
        /// What was asked for.
        stream: u16,
        /// Outbound streams of the association.
        streams: u16,
    },
    /// The message is larger than `max_message_size`.
    #[error("the message is larger than the maximum message size")]
    TooLarge,
    /// The message does not fit one chunk, and
    /// [`disable_fragments`](crate::AssocConfig::disable_fragments) is on.
    #[error(
        "the message does not fit one chunk of {most} bytes, and fragmentation is switched off"
    )]
    NeedsFragments {
        /// User bytes that fit one chunk at present.
        most: usize,
    },
    /// A part of a message differs from the part before it in PPID or order.
    #[error("the parts of one message must agree in PPID and order")]
    PartsDiffer,
    /// The peer has restarted since the last part of this message was given, so the message must be
    /// begun again. Reported once.
    #[error("the peer restarted in the middle of the message, which must be begun again")]
    CutOff,
    /// The message is for an address that the peer does not have or that is not confirmed.
    #[error("{} is no confirmed address of the peer", Shown(*.0))]
    NoSuchAddress(std::net::IpAddr),
    /// SCTP cannot carry an empty message (RFC 9260 sec 3.3.1).
    #[error("SCTP cannot carry an empty message")]
    Empty,
}

/// The association handle does not name a live association.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the association does not exist (any more)")]
pub struct NotFound;
