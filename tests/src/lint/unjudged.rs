//! Packets that captures hold, or should hold, but that the lint cannot judge. It must mention
//! them, or it would seem to approve of packets that it has not seen.

use std::collections::{BTreeMap, BTreeSet};

/// Why packets were not judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Unjudged {
    /// The capture missed them, according to its own statistics.
    Missed,
    /// The file ends in the middle of one.
    FileCut,
    /// They hold SCTP, but the capture has only their first bytes.
    PacketCut,
    /// They are from an interface with headers that the lint does not know.
    Interface,
    /// Some of their fragments are missing.
    Fragments,
    /// They are SCTP directly in IP with a wrong checksum. They may be damaged, or the interface
    /// may still have to segment them and to fill in the checksums.
    Checksum,
    /// They are UDP datagrams between ports that carry SCTP, but hold neither an SCTP packet nor
    /// several of the same length.
    Datagram,
}

impl Unjudged {
    /// The words for them that follow their number.
    pub const fn what(self) -> &'static str {
        match self {
            Unjudged::Missed => "packets that the capture missed",
            Unjudged::FileCut => "packets cut off at the end of a file",
            Unjudged::PacketCut => "packets of which the capture holds only the beginning",
            Unjudged::Interface => "packets of interfaces of an unknown kind",
            Unjudged::Fragments => "packets of which fragments are missing",
            Unjudged::Checksum => "packets of SCTP directly in IP with a wrong checksum",
            Unjudged::Datagram => {
                "UDP datagrams between ports of SCTP that are not SCTP packets and cannot be split \
                 into any"
            }
        }
    }
}

/// The packets that could not be judged so far.
#[derive(Debug, Default)]
pub(super) struct Doubts {
    counts: BTreeMap<Unjudged, u64>,
    /// Pairs of UDP ports between which SCTP was seen, the lower one first.
    sctp: BTreeSet<[u16; 2]>,
    /// Packets that may have been SCTP, by the UDP ports that they went between.
    perhaps: BTreeMap<[u16; 2], BTreeMap<Unjudged, u64>>,
}

impl Doubts {
    pub(super) fn note(&mut self, why: Unjudged, count: u64) {
        if count > 0 {
            *self.counts.entry(why).or_default() += count;
        }
    }

    /// Notes a packet that counts only if these ports carry SCTP, which later packets may show.
    pub(super) fn note_if_sctp(&mut self, why: Unjudged, ports: (u16, u16)) {
        *self.perhaps.entry(pair(ports)).or_default().entry(why).or_default() += 1;
    }

    /// Notes that SCTP was seen between these ports.
    pub(super) fn carries_sctp(&mut self, ports: (u16, u16)) {
        self.sctp.insert(pair(ports));
    }

    /// How many packets were not judged, by reason.
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

/// The UDP port of SCTP (RFC 6951, 6).
const SCTP_PORT: u16 = 9899;
