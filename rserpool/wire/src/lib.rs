//! Wire formats of Reliable Server Pooling: ASAP (RFC 5352), ENRP (RFC 5353), their common
//! parameters (RFC 5354) and member selection policies (RFC 5356).
//!
//! Messages are enums of structs that own their data. [`AsapMessage::decode`] and
//! [`EnrpMessage::decode`] take one SCTP user message or UDP datagram. A [`DecodeError`] says what
//! was wrong, and its [`Reaction`] says whether to send an ERROR message. Where RSPLIB, the
//! reference implementation, differs from the RFCs, encoding follows RSPLIB, and decoding accepts
//! both.
#![forbid(unsafe_code)]

mod asap;
mod cause;
mod element;
mod enrp;
mod error;
mod id;
mod message;
pub mod numbers;
mod params;
mod policy;
mod transport;

pub use asap::{
    AsapMessage, BusinessCard, Deregistration, DeregistrationResponse, EndpointKeepAlive,
    EndpointKeepAliveAck, EndpointUnreachable, HandleResolution, HandleResolutionResponse,
    Registration, RegistrationResponse, Resolution, ServerAnnounce,
};
pub use cause::{Cause, CauseCode, OperationError};
pub use element::{Life, LifeUnit, PoolElement, ServerInformation};
pub use enrp::{
    EnrpBody, EnrpMessage, HandleTableRequest, HandleTableResponse, HandleUpdate, ListResponse,
    PoolEntry, Presence, UpdateAction,
};
pub use error::{DecodeError, EncodeError, Problem, Reaction};
pub use id::{InvalidPoolHandle, PeId, PoolHandle, ServerId};
pub use policy::{Policy, PolicyParseError};
pub use transport::{SctpTransport, TcpTransport, Transport, TransportProtocol, TransportUse};
