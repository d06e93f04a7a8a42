//! The extensions to RFC 9260 that INITs offer.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::events::{Event, events};
use super::packet::{INIT, tlvs};
use super::unjudged::Doubts;
use super::{Capture, parameters};

/// The extensions to RFC 9260 that an INIT offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offered {
    /// Its source.
    pub from: IpAddr,
    /// Its SCTP source port.
    pub port: u16,
    /// The types of its parameters that RFC 9260 does not know.
    pub parameters: BTreeSet<u16>,
    /// The types of the chunks in Supported Extensions (RFC 5061, 4.2.7).
    pub chunks: BTreeSet<u8>,
}

/// The offers of all INITs in these captures, in the order of the packets.
pub fn offered(captures: &[Capture]) -> Vec<Offered> {
    let mut found = Vec::new();
    for event in events(captures, &mut Doubts::default()) {
        let Event::Sctp(seen) = event else { continue };
        for chunk in seen.packet.chunks().filter(|chunk| chunk.kind == INIT) {
            let tlvs = tlvs(chunk.value.get(16..).unwrap_or_default()).0;
            let unknown = || parameters::unknown(INIT, &tlvs);
            let lists = unknown().filter(|tlv| tlv.kind == SUPPORTED_EXTENSIONS);
            found.push(Offered {
                from: seen.src,
                port: seen.packet.src_port,
                parameters: unknown().map(|tlv| tlv.kind).collect(),
                chunks: lists.flat_map(|tlv| tlv.value).copied().collect(),
            });
        }
    }
    found
}

const SUPPORTED_EXTENSIONS: u16 = 0x8008;
