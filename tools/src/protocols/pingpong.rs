//! The ping-pong demonstration protocol: the server counts its replies, and the cookie of the
//! session contains the count.
//!
//! ```text
//! Ping    1 u8 | flags u8 | length u16 | message number u64 | data
//! Pong    2 u8 | flags u8 | length u16 | message number u64 | reply number u64 | data of the Ping
//! cookie  "<PP-TD1>" | next reply number u64
//! ```
//!
//! Messages have the PPID [`PING_PONG`](rserpool_wire::numbers::ppid::PING_PONG); the cookie is
//! inside [`AsapMessage::Cookie`](rserpool_wire::AsapMessage::Cookie).

use bytes::Bytes;
use sctp_user_core::tlv::{Reader, Writer};
use thiserror::Error;

/// A message of the ping-pong protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PingPongMessage {
    /// From the pool user.
    Ping(Ping),
    /// From the pool element.
    Pong(Pong),
}

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ping {
    /// Number of the message, from 1.
    pub number: u64,
    /// Any bytes, which the Pong repeats.
    pub data: Bytes,
}

/// A reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pong {
    /// Number of the Ping.
    pub number: u64,
    /// Number of the reply in this session, from 1. It continues after a failover.
    pub reply: u64,
    /// Data of the Ping.
    pub data: Bytes,
}

/// A message is not valid, or too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PingPongError {
    /// It is too short, or its length field is wrong.
    #[error("the ping-pong message is truncated or its length field is wrong")]
    Length,
    /// It is neither a Ping nor a Pong.
    #[error("unknown ping-pong message type {0}")]
    UnknownType(u8),
    /// It is too long: length fields have 16 bits.
    #[error("the ping-pong message would have {0} bytes, at most 65535 fit")]
    TooLong(usize),
}

const PING: u8 = 1;
const PONG: u8 = 2;
const COOKIE_MAGIC: &[u8; 8] = b"<PP-TD1>";

impl PingPongMessage {
    /// The bytes of the message, without padding.
    ///
    /// # Errors
    /// When the data is too long.
    pub fn encode(&self) -> Result<Bytes, PingPongError> {
        let (kind, number, reply, data) = match self {
            PingPongMessage::Ping(m) => (PING, m.number, None, &m.data),
            PingPongMessage::Pong(m) => (PONG, m.number, Some(m.reply), &m.data),
        };
        let len = 4 + 8 + if reply.is_some() { 8 } else { 0 } + data.len();
        let field = u16::try_from(len).map_err(|_| PingPongError::TooLong(len))?;
        let mut buf = Vec::with_capacity(len);
        let mut w = Writer::new(&mut buf);
        w.u8(kind);
        w.u8(0);
        w.u16(field);
        w.u64(number);
        if let Some(reply) = reply {
            w.u64(reply);
        }
        w.bytes(data);
        Ok(buf.into())
    }

    /// Decodes one SCTP user message.
    ///
    /// # Errors
    /// When it is not a valid ping-pong message.
    pub fn decode(bytes: &[u8]) -> Result<Self, PingPongError> {
        let truncated = |_| PingPongError::Length;
        let mut r = Reader::new(bytes);
        let kind = r.u8().map_err(truncated)?;
        let _flags = r.u8().map_err(truncated)?;
        let field = r.u16().map_err(truncated)?;
        if usize::from(field) != bytes.len() {
            return Err(PingPongError::Length);
        }
        let number = r.u64().map_err(truncated)?;
        match kind {
            PING => {
                Ok(PingPongMessage::Ping(Ping { number, data: Bytes::copy_from_slice(r.rest()) }))
            }
            PONG => {
                let reply = r.u64().map_err(truncated)?;
                let data = Bytes::copy_from_slice(r.rest());
                Ok(PingPongMessage::Pong(Pong { number, reply, data }))
            }
            other => Err(PingPongError::UnknownType(other)),
        }
    }
}

/// The cookie of a ping-pong session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PingPongCookie {
    /// Number of the next reply.
    pub next_reply: u64,
}

impl PingPongCookie {
    /// The value of the cookie, 16 bytes.
    pub fn encode(self) -> Bytes {
        let mut buf = COOKIE_MAGIC.to_vec();
        buf.extend_from_slice(&self.next_reply.to_be_bytes());
        buf.into()
    }

    /// Decodes the value of a cookie; `None` if it belongs to another protocol.
    pub fn decode(cookie: &[u8]) -> Option<Self> {
        let number = cookie.strip_prefix(COOKIE_MAGIC)?;
        Some(PingPongCookie { next_reply: u64::from_be_bytes(number.try_into().ok()?) })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn round_trip(number: u64, reply: u64, data in proptest::collection::vec(any::<u8>(), 0..100)) {
            let data = Bytes::from(data);
            let ping = PingPongMessage::Ping(Ping { number, data: data.clone() });
            let pong = PingPongMessage::Pong(Pong { number, reply, data });
            for message in [ping, pong] {
                prop_assert_eq!(PingPongMessage::decode(&message.encode().unwrap()), Ok(message));
            }
            let cookie = PingPongCookie { next_reply: reply };
            prop_assert_eq!(PingPongCookie::decode(&cookie.encode()), Some(cookie));
        }

        #[test]
        fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(message) = PingPongMessage::decode(&bytes) {
                prop_assert_eq!(PingPongMessage::decode(&message.encode().unwrap()), Ok(message));
            }
            let _ = PingPongCookie::decode(&bytes);
        }
    }

    #[test]
    fn wire_form() {
        let ping = PingPongMessage::Ping(Ping { number: 1, data: Bytes::from_static(b"Na") });
        assert_eq!(
            &ping.encode().unwrap()[..],
            [&[1, 0, 0, 14, 0, 0, 0, 0, 0, 0, 0, 1][..], b"Na"].concat()
        );
        let pong =
            PingPongMessage::Pong(Pong { number: 1, reply: 2, data: Bytes::from_static(b"x") });
        let bytes = pong.encode().unwrap();
        assert_eq!(
            &bytes[..],
            [&[2, 0, 0, 21][..], &1u64.to_be_bytes(), &2u64.to_be_bytes(), b"x"].concat()
        );
        for m in [ping, pong] {
            assert_eq!(PingPongMessage::decode(&m.encode().unwrap()), Ok(m));
        }
    }

    #[test]
    fn hostile_input() {
        use PingPongError::{Length, TooLong, UnknownType};
        assert_eq!(PingPongMessage::decode(&[]), Err(Length));
        assert_eq!(PingPongMessage::decode(&[1, 0, 0, 4]), Err(Length));
        assert_eq!(PingPongMessage::decode(&[2, 0, 0, 12, 0, 0, 0, 0, 0, 0, 0, 1]), Err(Length));
        assert_eq!(
            PingPongMessage::decode(&[9, 0, 0, 12, 0, 0, 0, 0, 0, 0, 0, 1]),
            Err(UnknownType(9))
        );
        let ping = PingPongMessage::Ping(Ping { number: 1, data: vec![0; 65536].into() });
        assert_eq!(ping.encode(), Err(TooLong(65548)));
    }

    #[test]
    fn cookie() {
        let c = PingPongCookie { next_reply: 2 };
        assert_eq!(&c.encode()[..], b"<PP-TD1>\0\0\0\0\0\0\0\x02");
        assert_eq!(PingPongCookie::decode(&c.encode()), Some(c));
        assert_eq!(PingPongCookie::decode(b"<PP-TD1>"), None);
        assert_eq!(PingPongCookie::decode(b"<FG-TD1>\0\0\0\0\0\0\0\x02"), None);
    }
}
