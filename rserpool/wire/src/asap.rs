//! The fourteen ASAP messages (RFC 5352 sec 2.2).

use bytes::Bytes;
use sctp_user_core::tlv::Writer;

use crate::cause::OperationError;
use crate::element::PoolElement;
use crate::error::{DecodeError, EncodeError};
use crate::id::{PeId, PoolHandle, ServerId};
use crate::message::{self, Frame, bit};
use crate::numbers::{asap_type, param};
use crate::params::{
    Params, pe_id, pool_handle, put_pe_id, put_pool_handle, put_u32, put_udp_port, u32_of, udp_port,
};
use crate::policy::Policy;
use crate::transport::Transport;

/// An ASAP message: PPID 11 over SCTP, or a [`ServerAnnounce`] as UDP datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AsapMessage {
    /// An element joins a pool, or renews or changes its registration.
    Registration(Registration),
    /// An element leaves its pool.
    Deregistration(Deregistration),
    /// Answer to a registration.
    RegistrationResponse(RegistrationResponse),
    /// Answer to a deregistration.
    DeregistrationResponse(DeregistrationResponse),
    /// A pool user asks for elements of a pool.
    HandleResolution(HandleResolution),
    /// Answer to a handle resolution.
    HandleResolutionResponse(HandleResolutionResponse),
    /// A registrar probes an element.
    EndpointKeepAlive(EndpointKeepAlive),
    /// The element lives.
    EndpointKeepAliveAck(EndpointKeepAliveAck),
    /// A pool user could not reach an element. There is no response.
    EndpointUnreachable(EndpointUnreachable),
    /// A registrar makes itself known by multicast.
    ServerAnnounce(ServerAnnounce),
    /// A pool element gives the state of a session to the pool user, which keeps it. At least one
    /// byte.
    Cookie(Bytes),
    /// The pool user gives the newest cookie to the next element after a failover.
    CookieEcho(Bytes),
    /// An element names the elements to fail over to.
    BusinessCard(BusinessCard),
    /// A message was wrong. Nobody answers this one.
    Error(OperationError),
}

impl AsapMessage {
    /// The bytes of the message, a multiple of 4.
    ///
    /// # Errors
    /// When it cannot be encoded: it is too long, or has an SCTP transport without address or an
    /// empty cookie.
    pub fn encode(&self) -> Result<Bytes, EncodeError> {
        use asap_type as t;
        match self {
            AsapMessage::Registration(m) => message::encode(t::REGISTRATION, 0, |w| m.encode(w)),
            AsapMessage::Deregistration(m) => {
                message::encode(t::DEREGISTRATION, 0, |w| m.encode(w))
            }
            AsapMessage::RegistrationResponse(m) => {
                message::encode(t::REGISTRATION_RESPONSE, bit(m.rejected, REJECT), |w| m.encode(w))
            }
            AsapMessage::DeregistrationResponse(m) => {
                message::encode(t::DEREGISTRATION_RESPONSE, bit(m.rejected, REJECT), |w| {
                    m.encode(w)
                })
            }
            AsapMessage::HandleResolution(m) => {
                message::encode(t::HANDLE_RESOLUTION, bit(m.subscribe, SUBSCRIBE), |w| m.encode(w))
            }
            AsapMessage::HandleResolutionResponse(m) => {
                let flags = bit(m.accept_updates, ACCEPT_UPDATES);
                message::encode(t::HANDLE_RESOLUTION_RESPONSE, flags, |w| m.encode(w))
            }
            AsapMessage::EndpointKeepAlive(m) => {
                message::encode(t::ENDPOINT_KEEP_ALIVE, bit(m.home, HOME), |w| m.encode(w))
            }
            AsapMessage::EndpointKeepAliveAck(m) => {
                message::encode(t::ENDPOINT_KEEP_ALIVE_ACK, 0, |w| m.encode(w))
            }
            AsapMessage::EndpointUnreachable(m) => {
                message::encode(t::ENDPOINT_UNREACHABLE, 0, |w| m.encode(w))
            }
            AsapMessage::ServerAnnounce(m) => {
                message::encode(t::SERVER_ANNOUNCE, 0, |w| m.encode(w))
            }
            AsapMessage::Cookie(cookie) => message::encode(t::COOKIE, 0, |w| put_cookie(w, cookie)),
            AsapMessage::CookieEcho(cookie) => {
                message::encode(t::COOKIE_ECHO, 0, |w| put_cookie(w, cookie))
            }
            AsapMessage::BusinessCard(m) => message::encode(t::BUSINESS_CARD, 0, |w| m.encode(w)),
            AsapMessage::Error(error) => message::encode(t::ERROR, 0, |w| {
                error.encode(w);
                Ok(())
            }),
        }
    }

    /// Decodes one SCTP user message or UDP datagram.
    ///
    /// # Errors
    /// When it is no valid ASAP message. The error says what to tell the sender.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        Self::decode_inner(bytes)
            .map_err(|e| message::never_answer_errors(e, bytes, asap_type::ERROR))
    }

    fn decode_inner(bytes: &[u8]) -> Result<Self, DecodeError> {
        use asap_type as t;
        let mut frame = Frame::split(bytes)?;
        let flags = frame.flags;
        let server = match frame.kind {
            t::ENDPOINT_KEEP_ALIVE | t::SERVER_ANNOUNCE => {
                ServerId(frame.body.u32().map_err(|_| message::truncated())?)
            }
            _ => ServerId::UNDEFINED,
        };
        let mut params = Params::new(frame.body.rest());
        let p = &mut params;
        let message = match frame.kind {
            t::REGISTRATION => AsapMessage::Registration(Registration::decode(p)?),
            t::DEREGISTRATION => AsapMessage::Deregistration(Deregistration::decode(p)?),
            t::REGISTRATION_RESPONSE => {
                AsapMessage::RegistrationResponse(RegistrationResponse::decode(flags, p)?)
            }
            t::DEREGISTRATION_RESPONSE => {
                AsapMessage::DeregistrationResponse(DeregistrationResponse::decode(flags, p)?)
            }
            t::HANDLE_RESOLUTION => {
                AsapMessage::HandleResolution(HandleResolution::decode(flags, p)?)
            }
            t::HANDLE_RESOLUTION_RESPONSE => {
                AsapMessage::HandleResolutionResponse(HandleResolutionResponse::decode(flags, p)?)
            }
            t::ENDPOINT_KEEP_ALIVE => {
                AsapMessage::EndpointKeepAlive(EndpointKeepAlive::decode(flags, server, p)?)
            }
            t::ENDPOINT_KEEP_ALIVE_ACK => {
                AsapMessage::EndpointKeepAliveAck(EndpointKeepAliveAck::decode(p)?)
            }
            t::ENDPOINT_UNREACHABLE => {
                AsapMessage::EndpointUnreachable(EndpointUnreachable::decode(p)?)
            }
            t::SERVER_ANNOUNCE => AsapMessage::ServerAnnounce(ServerAnnounce::decode(server, p)?),
            t::COOKIE => AsapMessage::Cookie(cookie(p)?),
            t::COOKIE_ECHO => AsapMessage::CookieEcho(cookie(p)?),
            t::BUSINESS_CARD => AsapMessage::BusinessCard(BusinessCard::decode(p)?),
            t::ERROR => AsapMessage::Error(OperationError::decode(
                p.require(param::OPERATION_ERROR)?.value,
            )?),
            _ => return Err(frame.unknown()),
        };
        params.finish()?;
        Ok(message)
    }
}

const REJECT: u8 = 0x01;
const SUBSCRIBE: u8 = 0x01;
const ACCEPT_UPDATES: u8 = 0x01;
const HOME: u8 = 0x01;

/// ASAP_REGISTRATION (sec 2.2.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// The pool.
    pub pool: PoolHandle,
    /// The element.
    pub element: PoolElement,
}

impl Registration {
    fn encode(&self, w: &mut Writer<'_>) -> Result<(), EncodeError> {
        put_pool_handle(w, &self.pool);
        self.element.encode(w)
    }

    fn decode(p: &mut Params<'_>) -> Result<Self, DecodeError> {
        Ok(Registration {
            pool: pool_handle(p)?,
            element: PoolElement::decode(&p.require(param::POOL_ELEMENT)?)?,
        })
    }
}

/// A message that names a pool and an element, with nothing else.
macro_rules! pool_and_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name {
            /// The pool.
            pub pool: PoolHandle,
            /// The element.
            pub id: PeId,
        }

        impl $name {
            fn encode(&self, w: &mut Writer<'_>) -> Result<(), EncodeError> {
                put_pool_handle(w, &self.pool);
                put_pe_id(w, self.id);
                Ok(())
            }

            fn decode(p: &mut Params<'_>) -> Result<Self, DecodeError> {
                Ok($name { pool: pool_handle(p)?, id: pe_id(p)? })
            }
        }
    };
}

pool_and_id! {
    /// ASAP_DEREGISTRATION (sec 2.2.2).
    Deregistration
}
pool_and_id! {
    /// ASAP_ENDPOINT_KEEP_ALIVE_ACK (sec 2.2.8).
    EndpointKeepAliveAck
}
pool_and_id! {
    /// ASAP_ENDPOINT_UNREACHABLE (sec 2.2.9).
    EndpointUnreachable
}

/// The answer to a registration or deregistration.
macro_rules! response {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name {
            /// R flag: the request was refused.
            pub rejected: bool,
            /// The pool.
            pub pool: PoolHandle,
            /// The element.
            pub id: PeId,
            /// Why it was refused.
            pub error: Option<OperationError>,
        }

        impl $name {
            fn encode(&self, w: &mut Writer<'_>) -> Result<(), EncodeError> {
                put_pool_handle(w, &self.pool);
                put_pe_id(w, self.id);
                if let Some(error) = &self.error {
                    error.encode(w);
                }
                Ok(())
            }

            fn decode(flags: u8, p: &mut Params<'_>) -> Result<Self, DecodeError> {
                Ok($name {
                    rejected: flags & REJECT != 0,
                    pool: pool_handle(p)?,
                    id: pe_id(p)?,
                    error: p
                        .take(param::OPERATION_ERROR)?
                        .map(|tlv| OperationError::decode(tlv.value))
                        .transpose()?,
                })
            }
        }
    };
}

response! {
    /// ASAP_REGISTRATION_RESPONSE (sec 2.2.3).
    RegistrationResponse
}
response! {
    /// ASAP_DEREGISTRATION_RESPONSE (sec 2.2.4).
    DeregistrationResponse
}

/// ASAP_HANDLE_RESOLUTION (sec 2.2.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandleResolution {
    /// S flag: send updates of the pool from now on. RSPLIB ignores it.
    pub subscribe: bool,
    /// The pool.
    pub pool: PoolHandle,
    /// How many elements are wanted (handle resolution option). If this is absent or 0, the
    /// registrar decides; 0xffffffff means as many as possible.
    pub items: Option<u32>,
}

impl HandleResolution {
    fn encode(&self, w: &mut Writer<'_>) -> Result<(), EncodeError> {
        put_pool_handle(w, &self.pool);
        if let Some(items) = self.items {
            put_u32(w, param::HANDLE_RESOLUTION_OPTION, items);
        }
        Ok(())
    }

    fn decode(flags: u8, p: &mut Params<'_>) -> Result<Self, DecodeError> {
        Ok(HandleResolution {
            subscribe: flags & SUBSCRIBE != 0,
            pool: pool_handle(p)?,
            items: p.take(param::HANDLE_RESOLUTION_OPTION)?.map(|tlv| u32_of(&tlv)).transpose()?,
        })
    }
}

/// ASAP_HANDLE_RESOLUTION_RESPONSE (sec 2.2.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandleResolutionResponse {
    /// A flag: updates of the pool will follow. RSPLIB ignores it.
    pub accept_updates: bool,
    /// The pool.
    pub pool: PoolHandle,
    /// The result.
    pub resolution: Resolution,
}

/// Result of a handle resolution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// Elements of the pool.
    Elements {
        /// Policy of the pool. If it is absent, the RFC says round robin, but RSPLIB refuses the
        /// response. So always send the policy of the first element.
        policy: Option<Policy>,
        /// The elements, in the order of selection.
        elements: Vec<PoolElement>,
    },
    /// Why there are none.
    Error(OperationError),
}

impl HandleResolutionResponse {
    fn encode(&self, w: &mut Writer<'_>) -> Result<(), EncodeError> {
        put_pool_handle(w, &self.pool);
        match &self.resolution {
            Resolution::Elements { policy, elements } => {
                if let Some(policy) = policy {
                    policy.encode(w);
                }
                elements.iter().try_for_each(|e| e.encode(w))
            }
            Resolution::Error(error) => {
                error.encode(w);
                Ok(())
            }
        }
    }

    fn decode(flags: u8, p: &mut Params<'_>) -> Result<Self, DecodeError> {
        let pool = pool_handle(p)?;
        let resolution = if let Some(tlv) = p.take(param::OPERATION_ERROR)? {
            Resolution::Error(OperationError::decode(tlv.value)?)
        } else {
            let policy = p.take(param::POLICY)?.map(|tlv| Policy::decode(&tlv)).transpose()?;
            Resolution::Elements { policy, elements: elements(p)? }
        };
        Ok(HandleResolutionResponse {
            accept_updates: flags & ACCEPT_UPDATES != 0,
            pool,
            resolution,
        })
    }
}

/// All pool elements that follow.
pub(crate) fn elements(p: &mut Params<'_>) -> Result<Vec<PoolElement>, DecodeError> {
    let mut elements = Vec::new();
    while let Some(tlv) = p.take(param::POOL_ELEMENT)? {
        elements.push(PoolElement::decode(&tlv)?);
    }
    Ok(elements)
}

/// ASAP_ENDPOINT_KEEP_ALIVE (sec 2.2.7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointKeepAlive {
    /// H flag: from now on, the sender is the home registrar of the element.
    pub home: bool,
    /// The sender.
    pub server: ServerId,
    /// The pool.
    pub pool: PoolHandle,
    /// The element. Without it, the message is for every element of the receiver. RSPLIB's
    /// registrars always name one.
    pub id: Option<PeId>,
}

impl EndpointKeepAlive {
    fn encode(&self, w: &mut Writer<'_>) -> Result<(), EncodeError> {
        w.u32(self.server.0);
        put_pool_handle(w, &self.pool);
        if let Some(id) = self.id {
            put_pe_id(w, id);
        }
        Ok(())
    }

    fn decode(flags: u8, server: ServerId, p: &mut Params<'_>) -> Result<Self, DecodeError> {
        Ok(EndpointKeepAlive {
            home: flags & HOME != 0,
            server,
            pool: pool_handle(p)?,
            id: p.take(param::PE_IDENTIFIER)?.map(|tlv| u32_of(&tlv).map(PeId)).transpose()?,
        })
    }
}

/// ASAP_SERVER_ANNOUNCE (sec 2.2.10).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerAnnounce {
    /// The registrar.
    pub server: ServerId,
    /// Where it can be reached. RSPLIB's registrars name nothing: the SCTP port is the UDP source
    /// port of the datagram.
    pub transports: Vec<Transport>,
    /// UDP encapsulation port (RFC 6951) of the registrar, if it is not 9899. Never `Some(0)`.
    pub udp_port: Option<u16>,
}

impl ServerAnnounce {
    fn encode(&self, w: &mut Writer<'_>) -> Result<(), EncodeError> {
        w.u32(self.server.0);
        self.transports.iter().try_for_each(|t| t.encode(w))?;
        put_udp_port(w, self.udp_port);
        Ok(())
    }

    fn decode(server: ServerId, p: &mut Params<'_>) -> Result<Self, DecodeError> {
        let mut transports = Vec::new();
        while let Some(tlv) = p.take_if(Transport::is_kind)? {
            transports.push(Transport::decode(&tlv)?);
        }
        Ok(ServerAnnounce { server, transports, udp_port: udp_port(p)? })
    }
}

/// ASAP_BUSINESS_CARD (sec 2.2.13).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BusinessCard {
    /// The pool.
    pub pool: PoolHandle,
    /// Elements to fail over to, in this order.
    pub elements: Vec<PoolElement>,
}

impl BusinessCard {
    fn encode(&self, w: &mut Writer<'_>) -> Result<(), EncodeError> {
        put_pool_handle(w, &self.pool);
        self.elements.iter().try_for_each(|e| e.encode(w))
    }

    fn decode(p: &mut Params<'_>) -> Result<Self, DecodeError> {
        Ok(BusinessCard { pool: pool_handle(p)?, elements: elements(p)? })
    }
}

fn put_cookie(w: &mut Writer<'_>, cookie: &[u8]) -> Result<(), EncodeError> {
    if cookie.is_empty() {
        return Err(EncodeError::EmptyCookie);
    }
    let mark = w.begin_tlv(param::COOKIE);
    w.bytes(cookie);
    w.end_tlv(mark);
    Ok(())
}

fn cookie(p: &mut Params<'_>) -> Result<Bytes, DecodeError> {
    let tlv = p.require(param::COOKIE)?;
    if tlv.value.is_empty() {
        return Err(DecodeError::length(tlv.kind, tlv.whole));
    }
    Ok(Bytes::copy_from_slice(tlv.value))
}
