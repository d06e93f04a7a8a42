//! The ten ENRP messages (RFC 5353 sec 2).

use bytes::Bytes;
use sctp_user_core::tlv::Writer;

use crate::asap::elements;
use crate::cause::OperationError;
use crate::element::{PoolElement, ServerInformation};
use crate::error::{DecodeError, EncodeError};
use crate::id::{PoolHandle, ServerId};
use crate::message::{self, Frame, bit};
use crate::numbers::{enrp_type, param};
use crate::params::{Params, checksum, handle_of, pool_handle, put_checksum, put_pool_handle};

/// An ENRP message: PPID 12 over SCTP, or a [`Presence`] as UDP datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnrpMessage {
    /// The registrar that sends it.
    pub sender: ServerId,
    /// The registrar that it is for; undefined means the whole group.
    pub receiver: ServerId,
    /// What it says.
    pub body: EnrpBody,
}

/// What an ENRP message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EnrpBody {
    /// The sender lives.
    Presence(Presence),
    /// Ask for the handlespace.
    HandleTableRequest(HandleTableRequest),
    /// A part of the handlespace.
    HandleTableResponse(HandleTableResponse),
    /// An element came, changed or went.
    HandleUpdate(HandleUpdate),
    /// Ask for the known registrars.
    ListRequest,
    /// The known registrars.
    ListResponse(ListResponse),
    /// The sender wants to take over the elements of this registrar.
    InitTakeover(ServerId),
    /// The sender agrees with the takeover of this registrar.
    InitTakeoverAck(ServerId),
    /// The sender has taken over this registrar.
    TakeoverServer(ServerId),
    /// A message was wrong. Nobody answers this one.
    Error(OperationError),
}

impl EnrpMessage {
    /// The bytes of the message, a multiple of 4.
    ///
    /// # Errors
    /// When it cannot be encoded: it is too long, or has an SCTP transport without address.
    pub fn encode(&self) -> Result<Bytes, EncodeError> {
        let (kind, flags) = self.body.kind_and_flags();
        message::encode(kind, flags, |w| {
            w.u32(self.sender.0);
            w.u32(self.receiver.0);
            self.body.encode(w)
        })
    }

    /// Decodes one SCTP user message or UDP datagram.
    ///
    /// # Errors
    /// When it is no valid ENRP message. The error says what to tell the sender, and
    /// [`EnrpMessage::ids`] says who that is.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        Self::decode_inner(bytes)
            .map_err(|e| message::never_answer_errors(e, bytes, enrp_type::ERROR))
    }

    fn decode_inner(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut frame = Frame::split(bytes)?;
        if !(enrp_type::PRESENCE..=enrp_type::ERROR).contains(&frame.kind) {
            return Err(frame.unknown());
        }
        let mut word = || frame.body.u32().map_err(|_| message::truncated());
        let (sender, receiver) = (ServerId(word()?), ServerId(word()?));
        let body = EnrpBody::decode(&mut frame)?;
        Ok(EnrpMessage { sender, receiver, body })
    }

    /// Sender and receiver of a message, even if it cannot be decoded. Like RSPLIB, an answer to a
    /// wrong message repeats both without swapping them.
    pub fn ids(bytes: &[u8]) -> Option<(ServerId, ServerId)> {
        let (_, rest) = bytes.split_first_chunk::<4>()?;
        let (sender, rest) = rest.split_first_chunk()?;
        let receiver = rest.first_chunk()?;
        Some((ServerId(u32::from_be_bytes(*sender)), ServerId(u32::from_be_bytes(*receiver))))
    }
}

const REPLY_REQUIRED: u8 = 0x01;
const OWN_CHILDREN_ONLY: u8 = 0x01;
const REJECT: u8 = 0x01;
const MORE: u8 = 0x02;
const TAKEOVER_SUGGESTED: u8 = 0x01;

impl EnrpBody {
    fn kind_and_flags(&self) -> (u8, u8) {
        use enrp_type as t;
        match self {
            EnrpBody::Presence(m) => (t::PRESENCE, bit(m.reply_required, REPLY_REQUIRED)),
            EnrpBody::HandleTableRequest(m) => {
                (t::HANDLE_TABLE_REQUEST, bit(m.own_children_only, OWN_CHILDREN_ONLY))
            }
            EnrpBody::HandleTableResponse(m) => {
                (t::HANDLE_TABLE_RESPONSE, bit(m.rejected, REJECT) | bit(m.more, MORE))
            }
            EnrpBody::HandleUpdate(m) => {
                (t::HANDLE_UPDATE, bit(m.takeover_suggested, TAKEOVER_SUGGESTED))
            }
            EnrpBody::ListRequest => (t::LIST_REQUEST, 0),
            EnrpBody::ListResponse(m) => (t::LIST_RESPONSE, bit(m.rejected, REJECT)),
            EnrpBody::InitTakeover(_) => (t::INIT_TAKEOVER, 0),
            EnrpBody::InitTakeoverAck(_) => (t::INIT_TAKEOVER_ACK, 0),
            EnrpBody::TakeoverServer(_) => (t::TAKEOVER_SERVER, 0),
            EnrpBody::Error(_) => (t::ERROR, 0),
        }
    }

    fn encode(&self, w: &mut Writer<'_>) -> Result<(), EncodeError> {
        match self {
            EnrpBody::Presence(m) => m.encode(w),
            EnrpBody::HandleTableRequest(_) | EnrpBody::ListRequest => Ok(()),
            EnrpBody::HandleTableResponse(m) => m.encode(w),
            EnrpBody::HandleUpdate(m) => m.encode(w),
            EnrpBody::ListResponse(m) => m.encode(w),
            EnrpBody::InitTakeover(target)
            | EnrpBody::InitTakeoverAck(target)
            | EnrpBody::TakeoverServer(target) => {
                w.u32(target.0);
                Ok(())
            }
            EnrpBody::Error(error) => {
                error.encode(w);
                Ok(())
            }
        }
    }

    fn decode(frame: &mut Frame<'_>) -> Result<Self, DecodeError> {
        use enrp_type as t;
        let flags = frame.flags;
        let (target, action) = match frame.kind {
            t::INIT_TAKEOVER | t::INIT_TAKEOVER_ACK | t::TAKEOVER_SERVER => {
                (ServerId(frame.body.u32().map_err(|_| message::truncated())?), 0)
            }
            t::HANDLE_UPDATE => {
                let word = frame.body.u32().map_err(|_| message::truncated())?;
                // The lower half is reserved.
                (ServerId::UNDEFINED, (word >> 16) as u16)
            }
            _ => (ServerId::UNDEFINED, 0),
        };
        let mut params = Params::new(frame.body.rest());
        let p = &mut params;
        let body = match frame.kind {
            t::PRESENCE => EnrpBody::Presence(Presence::decode(flags, p)?),
            t::HANDLE_TABLE_REQUEST => EnrpBody::HandleTableRequest(HandleTableRequest {
                own_children_only: flags & OWN_CHILDREN_ONLY != 0,
            }),
            t::HANDLE_TABLE_RESPONSE => {
                EnrpBody::HandleTableResponse(HandleTableResponse::decode(flags, p)?)
            }
            t::HANDLE_UPDATE => EnrpBody::HandleUpdate(HandleUpdate::decode(flags, action, p)?),
            t::LIST_REQUEST => EnrpBody::ListRequest,
            t::LIST_RESPONSE => EnrpBody::ListResponse(ListResponse::decode(flags, p)?),
            t::INIT_TAKEOVER => EnrpBody::InitTakeover(target),
            t::INIT_TAKEOVER_ACK => EnrpBody::InitTakeoverAck(target),
            t::TAKEOVER_SERVER => EnrpBody::TakeoverServer(target),
            t::ERROR => {
                EnrpBody::Error(OperationError::decode(p.require(param::OPERATION_ERROR)?.value)?)
            }
            _ => return Err(frame.unknown()),
        };
        params.finish()?;
        Ok(body)
    }
}

/// ENRP_PRESENCE (sec 2.1). RSPLIB needs both parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presence {
    /// R flag: the receiver should answer with its own presence.
    pub reply_required: bool,
    /// Checksum of the elements that the sender owns.
    pub checksum: Option<u16>,
    /// Where the sender can be reached.
    pub info: Option<ServerInformation>,
}

impl Presence {
    fn encode(&self, w: &mut Writer<'_>) -> Result<(), EncodeError> {
        if let Some(checksum) = self.checksum {
            put_checksum(w, checksum);
        }
        self.info.iter().try_for_each(|info| info.encode(w))
    }

    fn decode(flags: u8, p: &mut Params<'_>) -> Result<Self, DecodeError> {
        Ok(Presence {
            reply_required: flags & REPLY_REQUIRED != 0,
            checksum: checksum(p)?,
            info: p
                .take(param::SERVER_INFORMATION)?
                .map(|tlv| ServerInformation::decode(&tlv))
                .transpose()?,
        })
    }
}

/// ENRP_HANDLE_TABLE_REQUEST (sec 2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandleTableRequest {
    /// W flag: only the elements whose home is the receiver.
    pub own_children_only: bool,
}

/// ENRP_HANDLE_TABLE_RESPONSE (sec 2.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandleTableResponse {
    /// R flag: the request was refused.
    pub rejected: bool,
    /// M flag: there is more, for the next request.
    pub more: bool,
    /// Pools with some of their elements.
    pub pools: Vec<PoolEntry>,
}

/// A pool with elements in a handle table response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolEntry {
    /// The pool.
    pub pool: PoolHandle,
    /// Some of its elements.
    pub elements: Vec<PoolElement>,
}

impl HandleTableResponse {
    fn encode(&self, w: &mut Writer<'_>) -> Result<(), EncodeError> {
        self.pools.iter().try_for_each(|entry| {
            put_pool_handle(w, &entry.pool);
            entry.elements.iter().try_for_each(|e| e.encode(w))
        })
    }

    fn decode(flags: u8, p: &mut Params<'_>) -> Result<Self, DecodeError> {
        let mut pools = Vec::new();
        while let Some(tlv) = p.take(param::POOL_HANDLE)? {
            pools.push(PoolEntry { pool: handle_of(&tlv)?, elements: elements(p)? });
        }
        Ok(HandleTableResponse { rejected: flags & REJECT != 0, more: flags & MORE != 0, pools })
    }
}

/// ENRP_HANDLE_UPDATE (sec 2.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandleUpdate {
    /// T flag (draft-dreibholz-rserpool-enrp-takeover): the receiver may become the home of the
    /// element.
    pub takeover_suggested: bool,
    /// What happened.
    pub action: UpdateAction,
    /// The pool.
    pub pool: PoolHandle,
    /// The element, with its ASAP transport.
    pub element: PoolElement,
}

/// What a [`HandleUpdate`] is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpdateAction {
    /// 0: add or replace the element.
    AddPe,
    /// 1: remove the element.
    DelPe,
    /// Any other value, as it was received. Receivers ignore the message.
    Other(u16),
}

impl UpdateAction {
    /// The number on the wire.
    pub const fn to_u16(self) -> u16 {
        match self {
            UpdateAction::AddPe => 0,
            UpdateAction::DelPe => 1,
            UpdateAction::Other(n) => n,
        }
    }

    /// From the number on the wire.
    pub const fn from_u16(n: u16) -> Self {
        match n {
            0 => UpdateAction::AddPe,
            1 => UpdateAction::DelPe,
            n => UpdateAction::Other(n),
        }
    }
}

impl HandleUpdate {
    fn encode(&self, w: &mut Writer<'_>) -> Result<(), EncodeError> {
        w.u16(self.action.to_u16());
        w.u16(0);
        put_pool_handle(w, &self.pool);
        self.element.encode(w)
    }

    fn decode(flags: u8, action: u16, p: &mut Params<'_>) -> Result<Self, DecodeError> {
        Ok(HandleUpdate {
            takeover_suggested: flags & TAKEOVER_SUGGESTED != 0,
            action: UpdateAction::from_u16(action),
            pool: pool_handle(p)?,
            element: PoolElement::decode(&p.require(param::POOL_ELEMENT)?)?,
        })
    }
}

/// ENRP_LIST_RESPONSE (sec 2.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListResponse {
    /// R flag: the request was refused.
    pub rejected: bool,
    /// All registrars that the sender knows, except itself.
    pub servers: Vec<ServerInformation>,
}

impl ListResponse {
    fn encode(&self, w: &mut Writer<'_>) -> Result<(), EncodeError> {
        self.servers.iter().try_for_each(|s| s.encode(w))
    }

    fn decode(flags: u8, p: &mut Params<'_>) -> Result<Self, DecodeError> {
        let mut servers = Vec::new();
        while let Some(tlv) = p.take(param::SERVER_INFORMATION)? {
            servers.push(ServerInformation::decode(&tlv)?);
        }
        Ok(ListResponse { rejected: flags & REJECT != 0, servers })
    }
}
