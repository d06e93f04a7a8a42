//! HEARTBEAT probing of one path (RFC 9260 sec 8.3) and address confirmation by nonce (sec 5.4).

use crate::time::Time;

/// Length of our Heartbeat Info: nonce, path number, a zero byte, size of a probe packet.
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

/// What an info field says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Info {
    /// What nobody else can know.
    pub(crate) nonce: u64,
    /// The path it belongs to.
    pub(crate) path: u8,
    /// Bytes of the SCTP packet that probes the path MTU; 0 for an ordinary heartbeat.
    pub(crate) probe: u16,
}

/// The info field.
pub(crate) fn info(Info { nonce, path, probe }: Info) -> [u8; INFO_LEN] {
    let mut out = [0; INFO_LEN];
    out[..8].copy_from_slice(&nonce.to_be_bytes());
    out[8] = path;
    out[10..].copy_from_slice(&probe.to_be_bytes());
    out
}

/// Reads an info field that we made.
pub(crate) fn parse_info(info: &[u8]) -> Option<Info> {
    let info: &[u8; INFO_LEN] = info.try_into().ok()?;
    let (nonce, rest) = info.split_first_chunk::<8>()?;
    let &[path, 0, size_high, size_low] = rest else { return None };
    Some(Info {
        nonce: u64::from_be_bytes(*nonce),
        path,
        probe: u16::from_be_bytes([size_high, size_low]),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn info_round_trip() {
        for probe in [0, 1472] {
            let given = Info { nonce: 0x0123_4567_89ab_cdef, path: 7, probe };
            assert_eq!(parse_info(&info(given)), Some(given));
        }
        let mut odd = info(Info { nonce: 1, path: 2, probe: 3 });
        odd[9] = 1;
        assert_eq!(parse_info(&odd), None);
        assert_eq!(parse_info(&[0; 11]), None);
        assert_eq!(parse_info(&[0; 13]), None);
    }
}
