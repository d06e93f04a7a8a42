//! HEARTBEAT probing of one path (RFC 9260 sec 8.3) and address confirmation by nonce (sec 5.4).

use crate::time::Time;

/// Length of our Heartbeat Info: nonce, path number, number of the try, size of a probe packet.
pub(crate) const INFO_LEN: usize = 12;

/// Length of our HEARTBEAT chunk: chunk header, parameter header, info.
pub(crate) const HEARTBEAT_LEN: usize = 8 + INFO_LEN;

/// State of the heartbeat of one path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Heartbeat {
    /// No heartbeats.
    #[default]
    Off,
    /// The next one is due at this time if the path is idle then. `late` is one that was not
    /// answered in time, and still may be.
    Idle { next: Time, late: Option<Try> },
    /// To be sent as soon as possible.
    Due { late: Option<Try> },
    /// Sent, waiting for the answer until the deadline. `overtaken` says that another timeout has
    /// counted for the association since.
    Waiting { this: Try, sent: Time, deadline: Time, overtaken: bool },
}

/// A heartbeat. One that is sent because the last was not answered in time has the nonce of that
/// one: an answer to either proves that the path works, also where a round trip takes longer than
/// RTO.Max. The number says which of them was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Try {
    /// In bytes, which need no alignment: it is kept for every path.
    nonce: [u8; 8],
    pub(crate) number: u8,
}

impl Try {
    /// The first one with this nonce.
    pub(crate) fn first(nonce: u64) -> Self {
        Try { nonce: nonce.to_be_bytes(), number: 0 }
    }

    /// The one after this, which was not answered in time.
    pub(crate) fn next(self) -> Self {
        Try { number: self.number.wrapping_add(1), ..self }
    }

    pub(crate) fn nonce(self) -> u64 {
        u64::from_be_bytes(self.nonce)
    }
}

impl Heartbeat {
    /// To be sent as soon as possible, and nothing else is on its way.
    pub(crate) const DUE: Heartbeat = Heartbeat::Due { late: None };

    /// When something must be done.
    pub(crate) fn deadline(&self) -> Option<Time> {
        match *self {
            Heartbeat::Off | Heartbeat::Due { .. } => None,
            Heartbeat::Idle { next, .. } => Some(next),
            Heartbeat::Waiting { deadline, .. } => Some(deadline),
        }
    }

    /// To be sent as soon as possible.
    pub(crate) fn is_due(&self) -> bool {
        matches!(self, Heartbeat::Due { .. })
    }

    /// The one whose answer counts.
    pub(crate) fn expected(&self) -> Option<Try> {
        match *self {
            Heartbeat::Off => None,
            Heartbeat::Idle { late, .. } | Heartbeat::Due { late } => late,
            Heartbeat::Waiting { this, .. } => Some(this),
        }
    }

    /// The time of the next one becomes `next`, if none is due or on its way.
    pub(crate) fn put_off(&mut self, to: Time) {
        if let Heartbeat::Idle { next, .. } = self {
            *next = to;
        }
    }

    /// It is to be sent now.
    pub(crate) fn make_due(&mut self) {
        *self = Heartbeat::Due { late: self.expected() };
    }
}

/// What an info field says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Info {
    /// What nobody else can know.
    pub(crate) nonce: u64,
    /// The path it belongs to.
    pub(crate) path: u8,
    /// [`Try::number`].
    pub(crate) number: u8,
    /// Bytes of the SCTP packet that probes the path MTU; 0 for an ordinary heartbeat.
    pub(crate) probe: u16,
}

/// The info field.
pub(crate) fn info(Info { nonce, path, number, probe }: Info) -> [u8; INFO_LEN] {
    let mut out = [0; INFO_LEN];
    out[..8].copy_from_slice(&nonce.to_be_bytes());
    out[8] = path;
    out[9] = number;
    out[10..].copy_from_slice(&probe.to_be_bytes());
    out
}

/// Reads an info field that we made.
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
