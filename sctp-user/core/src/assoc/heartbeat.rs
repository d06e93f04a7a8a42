//! The heartbeat of one path (RFC 9260 sec 8.3), and the nonce that confirms its address (sec 5.4).

use crate::time::Time;

/// Length of our Heartbeat Info: nonce, path number, number of the try, size of an MTU probe.
pub(crate) const INFO_LEN: usize = 12;

/// Length of our HEARTBEAT chunk: chunk header, parameter header, info.
pub(crate) const HEARTBEAT_LEN: usize = 8 + INFO_LEN;

/// State of the heartbeat of one path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Heartbeat {
    /// No heartbeats are sent.
    #[default]
    Off,
    /// The next one is due at this time if the path is idle then. `late` is an earlier one that was
    /// not answered in time but still may be.
    Idle { next: Time, late: Option<Try> },
    /// One is to be sent as soon as possible.
    Due { late: Option<Try> },
    /// One was sent, and its answer is awaited until the deadline. `error_counted` says that
    /// another timeout has counted as an error of the association since then.
    Waiting { this: Try, sent: Time, deadline: Time, error_counted: bool },
}

/// Identifies a heartbeat. If a heartbeat is not answered in time, the next one has the same nonce.
/// So an answer to either proves that the path works, even if a round trip takes longer than
/// RTO.Max. The number tells which one was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Try {
    /// A byte array, because it needs no alignment; it is kept for every path.
    nonce: [u8; 8],
    pub(crate) number: u8,
}

impl Try {
    /// The first heartbeat with this nonce.
    pub(crate) fn first(nonce: u64) -> Self {
        Try { nonce: nonce.to_be_bytes(), number: 0 }
    }

    /// The next heartbeat, after this one was not answered in time.
    pub(crate) fn next(self) -> Self {
        Try { number: self.number.wrapping_add(1), ..self }
    }

    pub(crate) fn nonce(self) -> u64 {
        u64::from_be_bytes(self.nonce)
    }
}

impl Heartbeat {
    /// A heartbeat is to be sent as soon as possible, and no other is under way.
    pub(crate) const DUE: Heartbeat = Heartbeat::Due { late: None };

    /// When the heartbeat needs attention next.
    pub(crate) fn deadline(&self) -> Option<Time> {
        match *self {
            Heartbeat::Off | Heartbeat::Due { .. } => None,
            Heartbeat::Idle { next, .. } => Some(next),
            Heartbeat::Waiting { deadline, .. } => Some(deadline),
        }
    }

    /// True when a heartbeat is to be sent as soon as possible.
    pub(crate) fn is_due(&self) -> bool {
        matches!(self, Heartbeat::Due { .. })
    }

    /// The heartbeat whose answer counts.
    pub(crate) fn expected(&self) -> Option<Try> {
        match *self {
            Heartbeat::Off => None,
            Heartbeat::Idle { late, .. } | Heartbeat::Due { late } => late,
            Heartbeat::Waiting { this, .. } => Some(this),
        }
    }

    /// Sets the time of the next heartbeat, unless one is due or under way.
    pub(crate) fn put_off(&mut self, to: Time) {
        if let Heartbeat::Idle { next, .. } = self {
            *next = to;
        }
    }

    /// The next heartbeat is due at this time already, unless one is due before, or is under way
    /// and will have been answered or lost before. A heartbeat under way may still be answered.
    pub(crate) fn bring_forward(&mut self, to: Time) {
        match *self {
            Heartbeat::Off => *self = Heartbeat::Idle { next: to, late: None },
            Heartbeat::Idle { next, late } => {
                *self = Heartbeat::Idle { next: next.min(to), late };
            }
            Heartbeat::Waiting { this, deadline, .. } if deadline > to => {
                *self = Heartbeat::Idle { next: to, late: Some(this) };
            }
            Heartbeat::Waiting { .. } | Heartbeat::Due { .. } => {}
        }
    }

    /// A heartbeat is to be sent now.
    pub(crate) fn make_due(&mut self) {
        *self = Heartbeat::Due { late: self.expected() };
    }
}

/// The contents of an info field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Info {
    /// A number that nobody else can know.
    pub(crate) nonce: u64,
    /// The path that the heartbeat was sent on.
    pub(crate) path: u8,
    /// [`Try::number`].
    pub(crate) number: u8,
    /// Size in bytes of the SCTP packet that probes the path MTU. 0 for an ordinary heartbeat.
    pub(crate) probe: u16,
}

/// Encodes an info field.
pub(crate) fn info(Info { nonce, path, number, probe }: Info) -> [u8; INFO_LEN] {
    let mut out = [0; INFO_LEN];
    out[..8].copy_from_slice(&nonce.to_be_bytes());
    out[8] = path;
    out[9] = number;
    out[10..].copy_from_slice(&probe.to_be_bytes());
    out
}

/// Decodes an info field that we made.
pub(crate) fn parse_info(info: &[u8]) -> Option<Info> {
    let info: &[u8; INFO_LEN] = info.try_into().ok()?;
    let (nonce, rest) = info.split_first_chunk::<8>()?;
    let &[path, number, size_high, size_low] = rest else { return None };
    Some(Info {
        nonce: u64::from_be_bytes(*nonce),
        path,
        number,
        probe: u16::from_be_bytes([size_high, size_low]),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn info_round_trip() {
        for probe in [0, 1472] {
            let given = Info { nonce: 0x0123_4567_89ab_cdef, path: 7, number: 3, probe };
            assert_eq!(parse_info(&info(given)), Some(given));
        }
        assert_eq!(parse_info(&[0; 11]), None);
        assert_eq!(parse_info(&[0; 13]), None);
    }
}
