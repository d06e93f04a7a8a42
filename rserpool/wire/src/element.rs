//! Pool element and server information parameters (RFC 5354 sec 3.9, 3.11).

use sctp_user_core::tlv::{Reader, Tlv, Writer};
use std::time::Duration;

use crate::error::{DecodeError, EncodeError};
use crate::id::{PeId, ServerId};
use crate::numbers::param;
use crate::params::{Params, put_udp_port, udp_port};
use crate::policy::Policy;
use crate::transport::{SctpTransport, Transport};

/// Registration life as it is on the wire. RFC 5354 counts seconds (signed, -1 is infinite); RSPLIB
/// and Wireshark count milliseconds. The value 0xffffffff is infinite for both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Life(pub u32);

/// The unit of a [`Life`]. All members of an operational scope must use the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LifeUnit {
    /// Milliseconds, as in RSPLIB.
    #[default]
    Milliseconds,
    /// Seconds, as in RFC 5354.
    Seconds,
}

impl Life {
    /// A life without end.
    pub const INFINITE: Life = Life(u32::MAX);

    /// Encodes a duration; `None` means infinite. A duration that does not fit becomes the longest
    /// finite life.
    pub fn new(life: Option<Duration>, unit: LifeUnit) -> Self {
        let Some(life) = life else { return Life::INFINITE };
        match unit {
            LifeUnit::Milliseconds => {
                Life(u32::try_from(life.as_millis()).unwrap_or(u32::MAX - 1).min(u32::MAX - 1))
            }
            LifeUnit::Seconds => {
                Life(u32::try_from(life.as_secs()).unwrap_or(u32::MAX).min(i32::MAX as u32))
            }
        }
    }

    /// Decodes the duration; `None` means infinite, and so does every negative number of seconds.
    pub fn duration(self, unit: LifeUnit) -> Option<Duration> {
        match unit {
            _ if self == Life::INFINITE => None,
            LifeUnit::Milliseconds => Some(Duration::from_millis(u64::from(self.0))),
            LifeUnit::Seconds if self.0 > i32::MAX as u32 => None,
            LifeUnit::Seconds => Some(Duration::from_secs(u64::from(self.0))),
        }
    }
}

/// A pool element: its identifier, where it can be reached, and how it is selected.
///
/// ```text
/// PE ID u32 | home server u32 | registration life u32 | user transport | policy |
///     [ASAP transport] | [UDP port]
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolElement {
    /// Identifier, unique in the pool.
    pub id: PeId,
    /// Home registrar. Undefined in ASAP messages that the element sends, but never in ENRP.
    pub home: ServerId,
    /// How long the registration is valid without renewal.
    pub life: Life,
    /// Where pool users reach the service.
    pub user_transport: Transport,
    /// Selection policy with its values.
    pub policy: Policy,
    /// Where registrars reach the element; only in ENRP messages.
    pub asap_transport: Option<SctpTransport>,
    /// UDP encapsulation port (RFC 6951) of the user and ASAP transports, if it is not 9899. Never
    /// `Some(0)`.
    pub udp_port: Option<u16>,
}

impl PoolElement {
    pub(crate) fn encode(&self, w: &mut Writer<'_>) -> Result<(), EncodeError> {
        let mark = w.begin_tlv(param::POOL_ELEMENT);
        w.u32(self.id.0);
        w.u32(self.home.0);
        w.u32(self.life.0);
        self.user_transport.encode(w)?;
        self.policy.encode(w);
        if let Some(t) = &self.asap_transport {
            t.encode(w)?;
        }
        put_udp_port(w, self.udp_port);
        w.end_tlv(mark);
        Ok(())
    }

    pub(crate) fn decode(tlv: &Tlv<'_>) -> Result<Self, DecodeError> {
        let mut r = Reader::new(tlv.value);
        let (Ok(id), Ok(home), Ok(life)) = (r.u32(), r.u32(), r.u32()) else {
            return Err(DecodeError::length(tlv.kind, tlv.whole));
        };
        let mut p = Params::new(r.rest());
        let user_transport =
            Transport::decode(&p.require_if(param::SCTP_TRANSPORT, Transport::is_kind)?)?;
        let policy = Policy::decode(&p.require(param::POLICY)?)?;
        let asap_transport =
            p.take(param::SCTP_TRANSPORT)?.map(|t| SctpTransport::decode(&t)).transpose()?;
        let udp_port = udp_port(&mut p)?;
        p.finish()?;
        Ok(PoolElement {
            id: PeId(id),
            home: ServerId(home),
            life: Life(life),
            user_transport,
            policy,
            asap_transport,
            udp_port,
        })
    }
}

/// Where a registrar can be reached by other registrars.
///
/// ```text
/// server ID u32 | SCTP transport | [UDP port]
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerInformation {
    /// The registrar.
    pub id: ServerId,
    /// Its ENRP port and addresses.
    pub transport: SctpTransport,
    /// UDP encapsulation port (RFC 6951) of the transport, if it is not 9899. Never `Some(0)`.
    pub udp_port: Option<u16>,
}

impl ServerInformation {
    pub(crate) fn encode(&self, w: &mut Writer<'_>) -> Result<(), EncodeError> {
        let mark = w.begin_tlv(param::SERVER_INFORMATION);
        w.u32(self.id.0);
        self.transport.encode(w)?;
        put_udp_port(w, self.udp_port);
        w.end_tlv(mark);
        Ok(())
    }

    pub(crate) fn decode(tlv: &Tlv<'_>) -> Result<Self, DecodeError> {
        let mut r = Reader::new(tlv.value);
        let Ok(id) = r.u32() else { return Err(DecodeError::length(tlv.kind, tlv.whole)) };
        let mut p = Params::new(r.rest());
        let transport = SctpTransport::decode(&p.require(param::SCTP_TRANSPORT)?)?;
        let udp_port = udp_port(&mut p)?;
        p.finish()?;
        Ok(ServerInformation { id: ServerId(id), transport, udp_port })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn life_in_both_units() {
        let s90 = Some(Duration::from_secs(90));
        assert_eq!(Life::new(s90, LifeUnit::Milliseconds), Life(90_000));
        assert_eq!(Life::new(s90, LifeUnit::Seconds), Life(90));
        assert_eq!(Life(90_000).duration(LifeUnit::Milliseconds), s90);
        assert_eq!(Life::INFINITE.duration(LifeUnit::Milliseconds), None);
        assert_eq!(Life(0x8000_0000).duration(LifeUnit::Seconds), None);
        assert_eq!(Life::new(Some(Duration::MAX), LifeUnit::Milliseconds), Life(u32::MAX - 1));
        assert_eq!(Life::new(Some(Duration::MAX), LifeUnit::Seconds), Life(i32::MAX as u32));
    }
}
