//! Rules about addresses, HEARTBEATs, UDP ports and path MTUs.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::events::Seen;
use super::flows::{Flows, Key};
use super::packet::{COOKIE_ACK, DATA, HEARTBEAT, SACK, SHUTDOWN, SHUTDOWN_ACK, name};
use super::{Judge, rules};

/// The source and the destination of a HEARTBEAT.
#[derive(Debug, Default)]
pub(super) struct Beat {
    sources: BTreeSet<IpAddr>,
    destinations: BTreeSet<IpAddr>,
}

/// Judges the source and the destination of a packet.
pub(super) fn addresses(flows: &mut Flows, judge: &mut Judge<'_>, seen: &Seen, key: Key) {
    let (src, dst) = (seen.src, seen.dst);
    if let (Some(own), Some(peer)) = (flows.offer_of_sender(key), flows.offers.get(&key)) {
        let told = own.listed.contains(&src) || own.sources.contains(&src);
        judge.fault_if(!told, &rules::OWN_ADDRESS, seen, || {
            format!("the peer was not told of {src}")
        });
        // The user may have given an address that the peer did not list.
        let known = peer.listed.contains(&dst)
            || peer.sources.contains(&dst)
            || own.destinations.contains(&dst);
        judge.fault_if(!known, &rules::PEER_ADDRESS, seen, || {
            format!("the peer did not list {dst}")
        });
    }
    let port = seen.udp.map(|(from, _)| from);
    if flows.other(key).is_some() {
        let before = *flows.flow(key).view(seen).udp_port.get_or_insert(port);
        judge.fault_if(before != port, &rules::UDP_SOURCE_PORT, seen, || {
            format!("the UDP port was {before:?} and is {port:?}")
        });
    }
    let late = |m: &&super::events::TooBig| {
        m.time + 2_000_000 < seen.time && seen.time < m.time + 600_000_000
    };
    let messages =
        flows.too_big.iter().filter(|m| m.sender == src && m.destination == dst).filter(late);
    let smallest = messages.map(|message| message.mtu).min();
    let whole = seen.dont_fragment && !seen.fragmented && !seen.packet.is_probe();
    judge.fault_if(
        whole && smallest.is_some_and(|mtu| seen.ip_len > mtu),
        &rules::TOO_BIG,
        seen,
        || format!("{} bytes, although ICMP said {}", seen.ip_len, smallest.unwrap_or(0)),
    );
}

/// Judges packets to addresses that are not confirmed. Only the end that was called is judged,
/// because captures do not show which addresses the user gave to the other end.
pub(super) fn unconfirmed(flows: &mut Flows, judge: &mut Judge<'_>, seen: &Seen, key: Key) {
    let (Some(own), Some(flow)) = (flows.offer_of_sender(key), flows.flows.get(&key)) else {
        return;
    };
    let destination = (key.from, key.to, seen.dst);
    let proven = own.destinations.contains(&seen.dst) || flow.confirmed.contains(&seen.dst);
    if own.by_init || proven {
        flows.proven.insert(destination);
        return;
    }
    if flows.proven.contains(&destination) {
        return;
    }
    let packet = &seen.packet;
    let bad = packet.chunks().map(|chunk| chunk.kind).find(|kind| match *kind {
        DATA | SACK | SHUTDOWN | SHUTDOWN_ACK => true,
        COOKIE_ACK => !packet.has(HEARTBEAT),
        _ => false,
    });
    if let Some(kind) = bad {
        judge.fault(&rules::UNCONFIRMED, seen, format!("{} to {}", name(kind), seen.dst));
    }
}

/// Notes a HEARTBEAT.
pub(super) fn heartbeat(flows: &mut Flows, seen: &Seen, key: Key, value: &[u8]) {
    let beat = flows.flow(key).beats.entry(value.to_vec()).or_default();
    beat.sources.insert(seen.src);
    beat.destinations.insert(seen.dst);
}

/// Judges a HEARTBEAT ACK.
pub(super) fn heartbeat_ack(
    flows: &mut Flows,
    judge: &mut Judge<'_>,
    seen: &Seen,
    key: Key,
    value: &[u8],
) {
    let Some(other) = flows.other(key) else { return };
    let flow = flows.flow(other);
    let Some(beat) = flow.beats.get(value) else {
        judge.fault(
            &rules::HEARTBEAT_ECHO,
            seen,
            format!("no HEARTBEAT held these {} bytes", value.len()),
        );
        return;
    };
    judge.fault_if(
        !beat.sources.contains(&seen.dst),
        &rules::HEARTBEAT_ACK_TO_SOURCE,
        seen,
        || format!("it goes to {}", seen.dst),
    );
    flow.confirmed.extend(&beat.destinations);
}
