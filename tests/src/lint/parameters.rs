//! Rules about parameters and error causes.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::events::Seen;
use super::packet::{ABORT, Chunk, ERROR, HEARTBEAT, INIT, INIT_ACK, Tlv, name, tlvs};
use super::{Judge, rules};

pub(super) const HEARTBEAT_INFO: u16 = 1;
pub(super) const IPV4: u16 = 5;
pub(super) const IPV6: u16 = 6;
pub(super) const STATE_COOKIE: u16 = 7;
pub(super) const COOKIE_PRESERVATIVE: u16 = 9;
const UNRECOGNIZED: u16 = 8;
const HOST_NAME: u16 = 11;
const ADDRESS_TYPES: u16 = 12;
/// The two upper bits of an unknown type: whether it is reported, and whether the parameters after
/// it are read.
const REPORT: u16 = 0x4000;
const SKIP: u16 = 0x8000;
/// The most bytes of reports that an INIT ACK must hold. With more, it could be much larger than
/// the INIT.
const REPORTED: usize = 128;

/// Judges the parameters of a chunk.
pub(super) fn judge(judge: &mut Judge<'_>, seen: &Seen, chunk: Chunk<'_>) {
    let kind = chunk.kind;
    let area = match kind {
        INIT | INIT_ACK => chunk.value.get(16..).unwrap_or_default(),
        HEARTBEAT | ERROR | ABORT => chunk.value,
        _ => return,
    };
    let (tlvs, whole) = tlvs(area);
    judge.fault_if(!whole, &rules::PARAMETERS, seen, || {
        format!("{} has bytes after the last parameter or cause", name(kind))
    });
    let counted = tlvs.last().is_some_and(|tlv| !tlv.padding.is_empty());
    judge.fault_if(counted && matches!(kind, ERROR | ABORT), &rules::FINAL_PADDING, seen, || {
        format!("the length {} of {}", area.len() + 4, name(kind))
    });
    for tlv in &tlvs {
        let (number, length) = (tlv.kind, tlv.value.len() + 4);
        let right =
            if kind == ERROR || kind == ABORT { cause_fits(tlv) } else { parameter_fits(tlv) };
        judge.fault_if(!right, &rules::PARAMETERS, seen, || {
            format!("type {number:#06x} with {length} bytes in {}", name(kind))
        });
        let padded = tlv.padding.iter().any(|byte| *byte != 0);
        judge.fault_if(padded, &rules::PADDING, seen, || {
            format!("type {number:#06x} in {} is padded with {:02x?}", name(kind), tlv.padding)
        });
    }
    match kind {
        HEARTBEAT => {
            let right =
                matches!(tlvs[..], [Tlv { kind: HEARTBEAT_INFO, value, .. }] if value.len() >= 8);
            judge.fault_if(!right, &rules::HEARTBEAT_INFO, seen, || {
                let sizes: Vec<_> = tlvs.iter().map(|tlv| (tlv.kind, tlv.value.len())).collect();
                format!("types and lengths {sizes:?}")
            });
        }
        INIT | INIT_ACK => {
            let cookies = tlvs.iter().filter(|tlv| tlv.kind == STATE_COOKIE).count();
            let due = usize::from(kind == INIT_ACK);
            judge.fault_if(cookies != due, &rules::ONE_COOKIE, seen, || {
                format!("{} with {cookies} State Cookies", name(kind))
            });
            addresses(judge, seen, &tlvs);
            let strange: Vec<_> =
                unknown(kind, &tlvs).map(|tlv| format!("{:#06x}", tlv.kind)).collect();
            judge.fault_if(!strange.is_empty(), &rules::KNOWN_PARAMETERS, seen, || {
                format!("{} with {}", name(kind), strange.join(", "))
            });
        }
        _ => {}
    }
}

/// The parameters of an INIT or INIT ACK that RFC 9260 does not have in this chunk.
pub(super) fn unknown<'a, 'b>(kind: u8, tlvs: &'a [Tlv<'b>]) -> impl Iterator<Item = &'a Tlv<'b>> {
    tlvs.iter().filter(move |tlv| match tlv.kind {
        IPV4 | IPV6 | HOST_NAME | ADDRESS_TYPES => false,
        COOKIE_PRESERVATIVE => kind != INIT,
        STATE_COOKIE | UNRECOGNIZED => kind != INIT_ACK,
        _ => true,
    })
}

/// The types and values of the parameters that an answer to an INIT must report. Assumes that the
/// answering end knows only the parameters of RFC 9260.
pub(super) fn to_report(tlvs: &[Tlv<'_>]) -> Vec<(u16, Vec<u8>)> {
    let mut due = Vec::new();
    for tlv in unknown(INIT, tlvs) {
        if tlv.kind & REPORT != 0 {
            due.push((tlv.kind, tlv.value.to_vec()));
        }
        if tlv.kind & SKIP == 0 {
            break;
        }
    }
    due
}

/// Judges the reports in an INIT ACK with these parameters. `to_report` are those of the INIT that
/// ask for a report.
pub(super) fn reports(
    judge: &mut Judge<'_>,
    seen: &Seen,
    asked: &[(u16, Vec<u8>)],
    answer: &[Tlv<'_>],
) {
    let reports = answer.iter().filter(|tlv| tlv.kind == UNRECOGNIZED);
    let reported: Vec<(u16, Vec<u8>)> = reports
        .flat_map(|tlv| tlvs(tlv.value).0)
        .map(|tlv| (tlv.kind, tlv.value.to_vec()))
        .collect();
    let kinds = |parameters: &[(u16, Vec<u8>)]| {
        parameters.iter().map(|(kind, _)| format!("{kind:#06x}")).collect::<Vec<_>>().join(", ")
    };
    let (right, wrong): (Vec<_>, Vec<_>) =
        reported.into_iter().partition(|one| asked.contains(one));
    judge.fault_if(!wrong.is_empty(), &rules::REPORTED_PARAMETERS, seen, || {
        format!(
            "it reports {}, which the INIT does not have or does not want reported",
            kinds(&wrong)
        )
    });
    // The end knows the parameters that it offers itself.
    let known = |kind: u16| answer.iter().any(|tlv| tlv.kind == kind);
    let due: Vec<_> = asked.iter().filter(|(kind, _)| !known(*kind)).cloned().collect();
    let size: usize = due.iter().map(|(_, value)| (value.len() + 4).next_multiple_of(4)).sum();
    let bad = if size > REPORTED { right.len() > due.len() } else { right != due };
    judge.fault_if(bad, &rules::REPORTED_PARAMETERS, seen, || {
        format!("it reports [{}] and should report [{}]", kinds(&right), kinds(&due))
    });
}

fn parameter_fits(tlv: &Tlv<'_>) -> bool {
    match tlv.kind {
        IPV4 | COOKIE_PRESERVATIVE => tlv.value.len() == 4,
        IPV6 => tlv.value.len() == 16,
        STATE_COOKIE => !tlv.value.is_empty(),
        ADDRESS_TYPES => !tlv.value.is_empty() && tlv.value.len().is_multiple_of(2),
        _ => true,
    }
}

fn cause_fits(tlv: &Tlv<'_>) -> bool {
    let length = tlv.value.len();
    match tlv.kind {
        // Invalid stream, stale cookie, no user data.
        1 | 3 | 9 => length == 4,
        2 => {
            length >= 4 && length == 4 + 2 * super::packet::be32(tlv.value, 0).unwrap_or(0) as usize
        }
        // Out of resource, invalid mandatory parameter, cookie while shutting down.
        4 | 7 | 10 => length == 0,
        // An address, a chunk, parameters, addresses.
        5 | 6 | 8 | 11 => length >= 4,
        _ => true,
    }
}

fn addresses(judge: &mut Judge<'_>, seen: &Seen, tlvs: &[Tlv<'_>]) {
    let mut known = BTreeSet::new();
    let on_loopback = seen.src.is_loopback() || seen.dst.is_loopback();
    for addr in listed(tlvs) {
        let bad = match addr {
            _ if addr.is_unspecified() || addr.is_multicast() => true,
            _ if addr.is_loopback() => !on_loopback,
            IpAddr::V4(addr) => addr.is_broadcast() || addr.octets()[0] == 0,
            IpAddr::V6(addr) => addr.to_ipv4_mapped().is_some(),
        };
        judge.fault_if(bad, &rules::LISTED_ADDRESSES, seen, || format!("it lists {addr}"));
        judge.fault_if(!known.insert(addr), &rules::LISTED_ADDRESSES, seen, || {
            format!("it lists {addr} twice")
        });
    }
    let named = tlvs.iter().any(|tlv| tlv.kind == HOST_NAME);
    judge.fault_if(named, &rules::LISTED_ADDRESSES, seen, || "it holds a host name".to_owned());
}

/// The addresses in these parameters.
pub(super) fn listed<'a>(tlvs: &'a [Tlv<'_>]) -> impl Iterator<Item = IpAddr> + 'a {
    tlvs.iter().filter_map(|tlv| match tlv.kind {
        IPV4 => Some(Ipv4Addr::from(*tlv.value.first_chunk::<4>()?).into()),
        IPV6 => Some(Ipv6Addr::from(*tlv.value.first_chunk::<16>()?).into()),
        _ => None,
    })
}
