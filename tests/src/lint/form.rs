//! Rules about single packets.

use super::events::Seen;
use super::packet::{
    ABORT, AUTH, COOKIE_ACK, COOKIE_ECHO, Chunk, DATA, ERROR, HEARTBEAT, HEARTBEAT_ACK, INIT,
    INIT_ACK, PAD, SACK, SHUTDOWN, SHUTDOWN_ACK, SHUTDOWN_COMPLETE, be16, be32, name,
};
use super::{Judge, parameters, rules};

/// Judges a packet by itself.
pub(super) fn judge(judge: &mut Judge<'_>, seen: &Seen) {
    envelope(judge, seen);
    for chunk in seen.packet.chunks() {
        single(judge, seen, chunk);
        parameters::judge(judge, seen, chunk);
    }
    arrangement(judge, seen);
}

/// Judges the packet as a whole.
fn envelope(judge: &mut Judge<'_>, seen: &Seen) {
    let packet = &seen.packet;
    let (from, to) = (packet.src_port, packet.dst_port);
    judge.fault_if(from == 0 || to == 0, &rules::PORTS, seen, || {
        format!("the ports are {from} and {to}")
    });
    judge.fault_if(packet.first().is_none(), &rules::WHOLE_CHUNKS, seen, || {
        "there is no chunk".to_owned()
    });
    let rest = packet.rest();
    judge.fault_if(packet.first().is_some() && rest > 0, &rules::WHOLE_CHUNKS, seen, || {
        format!("{rest} bytes at the end are no chunk")
    });
    let len = packet.len();
    judge.fault_if(!len.is_multiple_of(4), &rules::LENGTH_OF_4, seen, || {
        format!("it has {len} bytes")
    });
    let (ip_len, mtu) = (seen.ip_len, judge.options.mtu);
    judge.fault_if(ip_len > mtu && !seen.dst.is_loopback(), &rules::MTU, seen, || {
        format!("an IP packet of {ip_len} bytes, where {mtu} are allowed")
    });
    let data = packet.chunks().filter(|chunk| chunk.kind == DATA).count();
    judge.fault_if(seen.fragmented && data > 1, &rules::OVERSIZE_ALONE, seen, || {
        format!("{data} DATA chunks in a packet that was fragmented")
    });
}

/// Judges a chunk by itself.
fn single(judge: &mut Judge<'_>, seen: &Seen, chunk: Chunk<'_>) {
    let (kind, flags, length) = (chunk.kind, chunk.flags, chunk.value.len() + 4);
    if chunk.padding.iter().any(|byte| *byte != 0) {
        judge.fault(
            &rules::PADDING,
            seen,
            format!("{} is padded with {:02x?}", name(kind), chunk.padding),
        );
    }
    let known = kind <= SHUTDOWN_COMPLETE && kind != 12 && kind != 13 || kind == PAD;
    judge.fault_if(!known, &rules::KNOWN_CHUNKS, seen, || name(kind));
    let allowed = match kind {
        DATA => 0x0f,
        ABORT | SHUTDOWN_COMPLETE => 0x01,
        _ if known => 0,
        _ => 0xff,
    };
    judge.fault_if(flags & !allowed != 0, &rules::RESERVED_FLAGS, seen, || {
        format!("{} has flags {flags:#04x}", name(kind))
    });
    let right = match kind {
        DATA => length >= 16,
        INIT | INIT_ACK => length >= 20,
        SACK => {
            let count = |at| be16(chunk.value, at).map_or(0, usize::from);
            length == 16 + 4 * (count(8) + count(10))
        }
        HEARTBEAT | HEARTBEAT_ACK | ERROR => length >= 8,
        SHUTDOWN => length == 8,
        SHUTDOWN_ACK | COOKIE_ACK | SHUTDOWN_COMPLETE => length == 4,
        COOKIE_ECHO => length > 4,
        _ => true,
    };
    judge.fault_if(!right, &rules::CHUNK_LENGTH, seen, || {
        format!("{} of {length} bytes", name(kind))
    });
    judge.fault_if(kind == DATA && length == 16, &rules::DATA_NOT_EMPTY, seen, || {
        "empty DATA".to_owned()
    });
    if (kind == INIT || kind == INIT_ACK) && right {
        fixed_part(judge, seen, chunk);
    }
}

/// Judges the fixed part of INIT and INIT ACK.
fn fixed_part(judge: &mut Judge<'_>, seen: &Seen, chunk: Chunk<'_>) {
    let what = name(chunk.kind);
    let (tag, window) = (be32(chunk.value, 0).unwrap_or(0), be32(chunk.value, 4).unwrap_or(0));
    let (outbound, inbound) =
        (be16(chunk.value, 8).unwrap_or(0), be16(chunk.value, 10).unwrap_or(0));
    judge.fault_if(tag == 0, &rules::INITIATE_TAG, seen, || what.clone());
    judge.fault_if(window < 1500, &rules::INIT_WINDOW, seen, || {
        format!("{what} offers {window} bytes")
    });
    judge.fault_if(outbound == 0 || inbound == 0, &rules::INIT_STREAMS, seen, || {
        format!("{what} has {outbound} outbound and {inbound} inbound streams")
    });
}

/// Judges which chunks share the packet, and their order.
fn arrangement(judge: &mut Judge<'_>, seen: &Seen) {
    let packet = &seen.packet;
    let kinds: Vec<u8> = packet.chunks().map(|chunk| chunk.kind).collect();
    let Some(first) = kinds.first().copied() else { return };
    let only_init = kinds == [INIT];
    judge.fault_if(
        (packet.tag == 0) != only_init && (packet.tag == 0 || first == INIT),
        &rules::ZERO_TAG,
        seen,
        || format!("the tag of a packet with {} is {:#x}", name(first), packet.tag),
    );
    for kind in [INIT, INIT_ACK, SHUTDOWN_COMPLETE] {
        let bad = kinds.len() > 1 && kinds.contains(&kind);
        judge.fault_if(bad, &rules::ALONE, seen, || format!("{} and other chunks", name(kind)));
    }
    for kind in [COOKIE_ECHO, COOKIE_ACK] {
        let at = kinds.iter().position(|k| *k == kind);
        let bad = at.is_some_and(|at| kinds[..at].iter().any(|before| *before != AUTH));
        judge.fault_if(bad, &rules::COOKIE_FIRST, seen, || {
            format!("{} stands before {}", name(first), name(kind))
        });
    }
    let data = kinds.iter().position(|kind| *kind == DATA);
    if let Some(control) = data.and_then(|at| kinds[at..].iter().find(|kind| **kind != DATA)) {
        judge.fault(&rules::CONTROL_FIRST, seen, format!("{} behind DATA", name(*control)));
    }
    let abort = kinds.iter().position(|kind| *kind == ABORT);
    judge.fault_if(
        abort.is_some_and(|at| at + 1 < kinds.len() || data.is_some()),
        &rules::ABORT_LAST,
        seen,
        || "ABORT with DATA, or before other chunks".to_owned(),
    );
    let closing = kinds.iter().find(|kind| [SHUTDOWN, SHUTDOWN_ACK].contains(kind));
    if let (Some(closing), Some(_)) = (closing, data) {
        judge.fault(&rules::NO_DATA_WITH_SHUTDOWN, seen, format!("DATA with {}", name(*closing)));
    }
    let sacks = kinds.iter().filter(|kind| **kind == SACK).count();
    judge.fault_if(sacks > 1, &rules::ONE_SACK, seen, || format!("{sacks} SACKs"));
    let tsns: Vec<u32> =
        packet.chunks().filter(|c| c.kind == DATA).filter_map(|c| be32(c.value, 0)).collect();
    let ordered = tsns.windows(2).all(|pair| super::packet::ahead(pair[0], pair[1]) > 0);
    judge.fault_if(!ordered, &rules::TSNS_IN_PACKET, seen, || format!("TSNs {tsns:?}"));
    for chunk in packet.chunks().filter(|chunk| chunk.kind == SACK) {
        super::sack::form(judge, seen, chunk.value);
    }
}
