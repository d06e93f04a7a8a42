//! Reads sequences of parameters, with the rules for unknown and misplaced ones; and encodes and
//! decodes the small parameters.
//!
//! By RFC 5354 sec 3, the two high bits of an *unknown* type say what to do: `00` drop the message
//! silently, `01` drop it and report, `10` skip the parameter, `11` skip it and report. RSPLIB
//! never reports skipped parameters, and neither do we: on an ERROR, its clients end the
//! association with the registrar. A known parameter in the wrong place is treated like an unknown
//! one. All standard types have the bits `00`, so the message is dropped silently.

use sctp_user_core::tlv::{Reader, Tlv, UnknownAction, Writer};

use crate::cause::CauseCode;
use crate::error::{DecodeError, Problem};
use crate::id::{PeId, PoolHandle};
use crate::numbers::param;

/// A cursor over the parameters of a message or of another parameter.
pub(crate) struct Params<'a> {
    reader: Reader<'a>,
    /// A known parameter that was read, but has not been taken yet.
    pending: Option<Tlv<'a>>,
}

impl<'a> Params<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Params { reader: Reader::new(bytes), pending: None }
    }

    /// The next parameter, if it is of type `kind`. Skips the parameters before it that may be
    /// skipped.
    pub(crate) fn take(&mut self, kind: u16) -> Result<Option<Tlv<'a>>, DecodeError> {
        self.take_if(|k| k == kind)
    }

    /// As [`Params::take`], for several types.
    pub(crate) fn take_if(
        &mut self,
        wanted: impl Fn(u16) -> bool,
    ) -> Result<Option<Tlv<'a>>, DecodeError> {
        loop {
            let tlv = match self.pending.take() {
                Some(tlv) => tlv,
                None => match self.reader.tlv()? {
                    Some(tlv) => tlv,
                    None => return Ok(None),
                },
            };
            if wanted(tlv.kind) {
                return Ok(Some(tlv));
            }
            if param::is_known(tlv.kind) {
                self.pending = Some(tlv);
                return Ok(None);
            }
            skip_or_fail(&tlv)?;
        }
    }

    /// The next parameter, which must be of type `kind`.
    pub(crate) fn require(&mut self, kind: u16) -> Result<Tlv<'a>, DecodeError> {
        self.require_if(kind, |k| k == kind)
    }

    /// The next parameter, which must be of one of several types. `kind` stands for them in the
    /// error.
    pub(crate) fn require_if(
        &mut self,
        kind: u16,
        wanted: impl Fn(u16) -> bool,
    ) -> Result<Tlv<'a>, DecodeError> {
        loop {
            if let Some(tlv) = self.take_if(&wanted)? {
                return Ok(tlv);
            }
            match self.pending.take() {
                None => {
                    return Err(DecodeError::report(
                        Problem::MissingParameter(kind),
                        CauseCode::INVALID_VALUES,
                        &[],
                    ));
                }
                Some(tlv) => skip_or_fail(&tlv)?,
            }
        }
    }

    /// Checks that only parameters follow that may be skipped.
    pub(crate) fn finish(mut self) -> Result<(), DecodeError> {
        loop {
            self.take_if(|_| false)?;
            match self.pending.take() {
                None => return Ok(()),
                Some(tlv) if may_skip(tlv.kind) => {}
                // In RSPLIB's words, this is an unparsed rest.
                Some(tlv) => {
                    return Err(DecodeError::report(
                        Problem::MisplacedParameter(tlv.kind),
                        CauseCode::INVALID_MESSAGE,
                        &[],
                    ));
                }
            }
        }
    }
}

fn may_skip(kind: u16) -> bool {
    !UnknownAction::of_param(kind).stops()
}

/// Applies the rule of the two high bits to an unknown or misplaced parameter.
fn skip_or_fail(tlv: &Tlv<'_>) -> Result<(), DecodeError> {
    let problem = if param::is_known(tlv.kind) {
        Problem::MisplacedParameter(tlv.kind)
    } else {
        Problem::UnknownParameter(tlv.kind)
    };
    match UnknownAction::of_param(tlv.kind) {
        UnknownAction::Skip | UnknownAction::SkipReport => Ok(()),
        UnknownAction::Stop => Err(DecodeError::silent(problem)),
        UnknownAction::StopReport => {
            Err(DecodeError::report(problem, CauseCode::UNRECOGNIZED_PARAMETER, tlv.whole))
        }
    }
}

// Parameters that hold a single value: encode and decode of each.

pub(crate) fn put_pool_handle(w: &mut Writer<'_>, pool: &PoolHandle) {
    let mark = w.begin_tlv(param::POOL_HANDLE);
    w.bytes(pool.as_bytes());
    w.end_tlv(mark);
}

pub(crate) fn pool_handle(p: &mut Params<'_>) -> Result<PoolHandle, DecodeError> {
    handle_of(&p.require(param::POOL_HANDLE)?)
}

pub(crate) fn handle_of(tlv: &Tlv<'_>) -> Result<PoolHandle, DecodeError> {
    PoolHandle::from_wire(tlv.value).ok_or_else(|| DecodeError::length(tlv.kind, tlv.whole))
}

pub(crate) fn put_pe_id(w: &mut Writer<'_>, id: PeId) {
    put_u32(w, param::PE_IDENTIFIER, id.0);
}

pub(crate) fn pe_id(p: &mut Params<'_>) -> Result<PeId, DecodeError> {
    u32_of(&p.require(param::PE_IDENTIFIER)?).map(PeId)
}

pub(crate) fn put_u32(w: &mut Writer<'_>, kind: u16, value: u32) {
    let mark = w.begin_tlv(kind);
    w.u32(value);
    w.end_tlv(mark);
}

pub(crate) fn u32_of(tlv: &Tlv<'_>) -> Result<u32, DecodeError> {
    match tlv.value.first_chunk() {
        Some(b) if tlv.value.len() == 4 => Ok(u32::from_be_bytes(*b)),
        _ => Err(DecodeError::length(tlv.kind, tlv.whole)),
    }
}

pub(crate) fn put_checksum(w: &mut Writer<'_>, checksum: u16) {
    let mark = w.begin_tlv(param::PE_CHECKSUM);
    w.u16(checksum);
    w.end_tlv(mark);
}

pub(crate) fn checksum(p: &mut Params<'_>) -> Result<Option<u16>, DecodeError> {
    p.take(param::PE_CHECKSUM)?.map(|tlv| u16_of(&tlv)).transpose()
}

/// A 16-bit value. The length may count the two bytes of padding or not.
fn u16_of(tlv: &Tlv<'_>) -> Result<u16, DecodeError> {
    match tlv.value.first_chunk() {
        Some(b) if matches!(tlv.value.len(), 2 | 4) => Ok(u16::from_be_bytes(*b)),
        _ => Err(DecodeError::length(tlv.kind, tlv.whole)),
    }
}

pub(crate) fn put_udp_port(w: &mut Writer<'_>, port: Option<u16>) {
    if let Some(port) = port {
        let mark = w.begin_tlv(param::UDP_PORT);
        w.u16(port);
        w.u16(0);
        w.end_tlv(mark);
    }
}

/// The UDP encapsulation port, which may be the last parameter in a pool element, in server
/// information, and in an announce.
pub(crate) fn udp_port(p: &mut Params<'_>) -> Result<Option<u16>, DecodeError> {
    match p.take(param::UDP_PORT)? {
        None => Ok(None),
        Some(tlv) => match u16_of(&tlv)? {
            0 => Err(DecodeError::value(tlv.kind, tlv.whole)),
            port => Ok(Some(port)),
        },
    }
}
