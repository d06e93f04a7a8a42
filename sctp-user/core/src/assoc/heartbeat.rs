//! HEARTBEAT probing of one path (RFC 9260 sec 8.3) and address confirmation by nonce (sec 5.4).

use crate::time::Time;

/// Length of our Heartbeat Info: nonce and path number.
pub(crate) const INFO_LEN: usize = 12;

/// Length of our HEARTBEAT chunk: chunk header, parameter header, info.
pub(crate) const HEARTBEAT_LEN: usize = 8 + INFO_LEN;

/// State of the heartbeat of one path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Heartbeat {
    /// No heartbeats.
    #[default]
    Off,
    /// The next one is due at this time if the path is idle then.
    Idle { next: Time },
    /// To be sent as soon as possible.
    Due,
    /// Sent, waiting for the answer until the deadline.
    Waiting { nonce: u64, sent: Time, deadline: Time },
}

impl Heartbeat {
    /// When something must be done.
    pub(crate) fn deadline(&self) -> Option<Time> {
        match *self {
            Heartbeat::Off | Heartbeat::Due => None,
            Heartbeat::Idle { next } => Some(next),
            Heartbeat::Waiting { deadline, .. } => Some(deadline),
        }
    }
}

/// The info field: a nonce nobody else can know and the path it belongs to.
pub(crate) fn info(nonce: u64, path: u8) -> [u8; INFO_LEN] {
    let mut out = [0; INFO_LEN];
    out[..8].copy_from_slice(&nonce.to_be_bytes());
    out[8] = path;
    out
}

/// Nonce and path of an info field that we made.
pub(crate) fn parse_info(info: &[u8]) -> Option<(u64, u8)> {
    let info: &[u8; INFO_LEN] = info.try_into().ok()?;
    let (nonce, rest) = info.split_first_chunk::<8>()?;
    Some((u64::from_be_bytes(*nonce), rest[0]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn info_round_trip() {
        assert_eq!(parse_info(&info(0x0123_4567_89ab_cdef, 7)), Some((0x0123_4567_89ab_cdef, 7)));
        assert_eq!(parse_info(&[0; 11]), None);
        assert_eq!(parse_info(&[0; 13]), None);
    }
}
