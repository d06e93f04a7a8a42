//! What captures hold, or should, and cannot be judged: a lint that is silent about it would praise
//! what it has not seen.

use std::collections::{BTreeMap, BTreeSet};

/// Why packets were not judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Unjudged {
    /// The capture missed them, as it says itself.
    Missed,
    /// The file ends in the middle of one.
    FileCut,
    /// The capture holds their first bytes only, of packets with SCTP.
    PacketCut,
    /// They are from an interface with headers that the lint does not know.
    Interface,
    /// Other fragments of them are missing.
    Fragments,
    /// They are SCTP directly in IP with a wrong checksum: damaged, or larger than what leaves, and
    /// to be cut and summed up by the interface.
    Checksum,
    /// They are UDP datagrams between ports that carry SCTP, and neither an SCTP packet nor several
    /// of one length.
    Datagram,
}

impl Unjudged {
    /// What is said of them, behind their number.
    pub const fn what(self) -> &'static str {
        match self {
            Unjudged::Missed => "packets that the capture missed",
            Unjudged::FileCut => "packets that a file ends in",
            Unjudged::PacketCut => "packets of which the capture holds the beginning only",
            Unjudged::Interface => "packets of interfaces of an unknown kind",
            Unjudged::Fragments => "packets of which fragments are missing",
            Unjudged::Checksum => "packets of SCTP directly in IP with a wrong checksum",
            Unjudged::Datagram => {
                "UDP datagrams between ports of SCTP that are no SCTP packets and cannot be split \
                 into some"
            }
        }
    }
}

/// What was not judged so far.
#[derive(Debug, Default)]
pub(super) struct Doubts {
    counts: BTreeMap<Unjudged, u64>,
    /// UDP ports between which SCTP was seen, the lower one first.
    sctp: BTreeSet<[u16; 2]>,
    /// What went between UDP ports and may have been SCTP, by these ports.
    perhaps: BTreeMap<[u16; 2], BTreeMap<Unjudged, u64>>,
}

impl Doubts {
    pub(super) fn note(&mut self, why: Unjudged, count: u64) {
        if count > 0 {
            *self.counts.entry(why).or_default() += count;
        }
    }

    /// A packet that counts if these ports carry SCTP, as other packets may show later.
    pub(super) fn note_if_sctp(&mut self, why: Unjudged, ports: (u16, u16)) {
        *self.perhaps.entry(pair(ports)).or_default().entry(why).or_default() += 1;
    }

    /// SCTP was seen between these ports.
    pub(super) fn carries_sctp(&mut self, ports: (u16, u16)) {
        self.sctp.insert(pair(ports));
    }

    /// All that was not judged.
    pub(super) fn counts(mut self) -> BTreeMap<Unjudged, u64> {
        for (ports, counts) in std::mem::take(&mut self.perhaps) {
            if ports.contains(&SCTP_PORT) || self.sctp.contains(&ports) {
                counts.into_iter().for_each(|(why, count)| self.note(why, count));
            }
        }
        self.counts
    }
}

fn pair((one, other): (u16, u16)) -> [u16; 2] {
    [one.min(other), one.max(other)]
}

/// Of SCTP in UDP (RFC 6951, 6).
const SCTP_PORT: u16 = 9899;
