//! An independent look at what a stack sends: the rules of RFC 9260 that show on the wire.

use std::collections::BTreeMap;

use super::packet::IpPacket;
use crate::serial::{Ssn, Tsn};
use crate::wire::{Chunk, DataChunk, Packet, SackChunk, chunk_type};

/// Watches the packets that one stack sends. It knows nothing of the stack but the packets.
#[derive(Default)]
pub(super) struct Inspector {
    /// By the ports and the verification tag that the packets carry.
    flows: BTreeMap<(u16, u16, u32), Flow>,
}

/// One direction of an association.
#[derive(Default)]
struct Flow {
    /// The newest DATA chunk.
    newest: Option<DataChunk>,
    /// The next stream sequence numbers.
    ssns: BTreeMap<u16, Ssn>,
    /// The last cumulative TSN.
    cum_tsn: Option<Tsn>,
    /// A COOKIE ACK was sent after the newest DATA chunk: this may be another association, whose
    /// peer kept its tag when it had to begin its setup again.
    may_be_new: bool,
}

impl Inspector {
    /// Looks at the next packet.
    ///
    /// # Errors
    /// A sentence that names the rule it breaks.
    pub(super) fn look(&mut self, packet: &IpPacket) -> Result<(), String> {
        let sctp = packet.packet().ok_or("a packet with a wrong checksum or header")?;
        if packet.udp.is_some_and(|u| u.src == 0 || u.dst == 0) {
            return Err("a UDP port is 0".into());
        }
        check_layout(&sctp, packet.may_fragment)?;
        for raw in sctp.chunks() {
            let kind = raw.kind;
            let chunk = raw
                .decode(&sctp)
                .map_err(|e| format!("a chunk of type {kind} that does not decode: {e}"))?;
            let flow =
                self.flows.entry((sctp.src_port(), sctp.dst_port(), sctp.vtag())).or_default();
            match chunk {
                Chunk::Data(data) => flow.data(data)?,
                Chunk::Sack(sack) => flow.sack(&sack)?,
                Chunk::CookieAck => flow.cookie_ack(),
                Chunk::Unknown { kind: chunk_type::PAD, .. } => {}
                Chunk::Unknown { kind, .. } => {
                    return Err(format!("a chunk of unknown type {kind}"));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// What must hold within one packet (RFC 9260 sec 3, 5.1, 6.10, 8.5.1, 9.2).
fn check_layout(packet: &Packet, may_fragment: bool) -> Result<(), String> {
    let kinds: Vec<u8> = packet.chunks().map(|c| c.kind).collect();
    let has = |kind| kinds.contains(&kind);
    let count = |kind| kinds.iter().filter(|k| **k == kind).count();
    if !packet.len().is_multiple_of(4) {
        return Err("a packet whose last chunk is not padded".into());
    }
    let chunk_bytes: usize = packet.chunks().map(|c| c.whole.len().next_multiple_of(4)).sum();
    if chunk_bytes + 12 != packet.len() {
        return Err("a packet with bytes behind its chunks".into());
    }
    for alone in [chunk_type::INIT, chunk_type::INIT_ACK, chunk_type::SHUTDOWN_COMPLETE] {
        if has(alone) && kinds.len() > 1 {
            return Err(format!("a chunk of type {alone} that is not alone"));
        }
    }
    let padded = kinds == [chunk_type::HEARTBEAT, chunk_type::PAD]
        || (may_fragment && kinds == [chunk_type::PAD, chunk_type::DATA]);
    if has(chunk_type::PAD) && !padded {
        return Err("PAD beside anything but a HEARTBEAT, or a chunk in fragments".into());
    }
    if (packet.vtag() == 0) != has(chunk_type::INIT) {
        return Err("the verification tag is 0 if and only if there is an INIT".into());
    }
    for first in [chunk_type::COOKIE_ECHO, chunk_type::COOKIE_ACK] {
        if has(first) && kinds[0] != first {
            return Err(format!("a chunk of type {first} that is not the first"));
        }
    }
    let is_control = |k: &u8| *k != chunk_type::DATA;
    if kinds.iter().rposition(is_control) > kinds.iter().position(|k| *k == chunk_type::DATA)
        && has(chunk_type::DATA)
    {
        return Err("a control chunk behind a DATA chunk".into());
    }
    if has(chunk_type::DATA)
        && [chunk_type::ABORT, chunk_type::SHUTDOWN, chunk_type::SHUTDOWN_ACK].into_iter().any(has)
    {
        return Err("DATA in one packet with ABORT, SHUTDOWN or SHUTDOWN ACK".into());
    }
    if has(chunk_type::ABORT) && kinds.last() != Some(&chunk_type::ABORT) {
        return Err("a chunk behind an ABORT".into());
    }
    if count(chunk_type::SACK) > 1 {
        return Err("two SACKs in one packet".into());
    }
    let mut last: Option<Tsn> = None;
    for raw in packet.chunks() {
        if let Ok(Chunk::Data(data)) = raw.decode(packet) {
            if last.is_some_and(|last| !last.precedes(data.tsn)) {
                return Err("TSNs that do not increase within a packet".into());
            }
            last = Some(data.tsn);
        }
    }
    Ok(())
}

impl Flow {
    /// New TSNs follow each other, fragments belong together, SSNs count (RFC 9260 sec 6.5, 6.6,
    /// 6.9).
    fn data(&mut self, data: DataChunk) -> Result<(), String> {
        if data.payload.is_empty() {
            return Err("a DATA chunk without data".into());
        }
        if let Some(newest) = &self.newest {
            if data.tsn.at_or_before(newest.tsn) {
                return Ok(());
            }
            if data.tsn != newest.tsn.next() && self.may_be_new {
                *self = Flow { cum_tsn: self.cum_tsn, ..Flow::default() };
                return self.data(data);
            }
            if data.tsn != newest.tsn.next() {
                return Err(format!("TSN {} follows {}", data.tsn, newest.tsn));
            }
            let key = |d: &DataChunk| (d.stream, d.id, d.ppid, d.flags.unordered);
            if newest.flags.end != data.flags.begin {
                return Err(format!(
                    "TSN {}: a message begins within another or without end of the last",
                    data.tsn
                ));
            }
            if !data.flags.begin && !data.flags.unordered && key(newest) != key(&data) {
                return Err(format!("TSN {}: a fragment unlike the one before", data.tsn));
            }
        }
        if data.flags.begin && !data.flags.unordered {
            if let Some(expected) = self.ssns.get(&data.stream)
                && *expected != data.id.ssn()
            {
                return Err(format!(
                    "stream {}: SSN {} where {expected} is next",
                    data.stream,
                    data.id.ssn()
                ));
            }
            self.ssns.insert(data.stream, data.id.ssn().next());
        }
        self.newest = Some(data);
        self.may_be_new = false;
        Ok(())
    }

    fn cookie_ack(&mut self) {
        self.may_be_new = true;
        self.cum_tsn = None;
    }

    /// The cumulative TSN never goes back, gaps are sorted and apart (RFC 9260 sec 3.3.4, 6.2.1).
    fn sack(&mut self, sack: &SackChunk<'_>) -> Result<(), String> {
        if self.cum_tsn.is_some_and(|last| sack.cum_tsn.precedes(last)) {
            return Err(format!("the cumulative TSN goes back to {}", sack.cum_tsn));
        }
        self.cum_tsn = Some(sack.cum_tsn);
        let mut last = 0;
        for (start, end) in sack.gaps() {
            if start < 2 || start > end || u32::from(start) <= last + 1 {
                return Err(format!("a gap block {start}..{end} after {last}"));
            }
            last = u32::from(end);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::wire::{DataFlags, PacketWriter};

    fn packet(write: impl FnOnce(&mut PacketWriter<'_>)) -> IpPacket {
        let mut bytes = Vec::new();
        let mut writer = PacketWriter::new(&mut bytes, 1500, 1, 2, 7);
        write(&mut writer);
        writer.finish();
        IpPacket::native(
            "10.0.0.1".parse().unwrap(),
            "10.0.0.2".parse().unwrap(),
            Bytes::from(bytes),
        )
    }

    fn data(w: &mut PacketWriter<'_>, tsn: u32, ssn: u16, begin: bool, end: bool) {
        w.data(Tsn(tsn), 0, Ssn(ssn), 0, DataFlags { begin, end, ..DataFlags::default() }, b"x");
    }

    fn look_all(packets: &[IpPacket]) -> Result<(), String> {
        let mut inspector = Inspector::default();
        packets.iter().try_for_each(|p| inspector.look(p))
    }

    #[test]
    fn good_traffic_passes() {
        let sack = |cum, gaps: &'static [(u16, u16)]| {
            packet(move |w| w.sack(Tsn(cum), 1000, gaps.iter().copied(), &[]))
        };
        let good = [
            packet(|w| data(w, u32::MAX, 0, true, true)),
            packet(|w| {
                data(w, 0, 1, true, false);
                data(w, 1, 1, false, true);
            }),
            packet(|w| data(w, u32::MAX, 0, true, true)),
            packet(|w| data(w, 2, 2, true, true)),
            sack(5, &[]),
            sack(5, &[(2, 3), (5, 5)]),
            sack(9, &[]),
            // An association begun again under the same tag.
            packet(|w| {
                w.cookie_ack();
                data(w, 500, 0, true, true);
            }),
            sack(3, &[]),
        ];
        assert_eq!(look_all(&good), Ok(()));
    }

    #[test]
    fn every_rule_has_a_packet_that_breaks_it() {
        let fails = |packets: &[IpPacket], what: &str| {
            let error = look_all(packets).unwrap_err();
            assert!(error.contains(what), "{error}");
        };
        let mut broken = packet(|w| w.cookie_ack());
        broken.edit(|bytes| bytes[13] ^= 1);
        fails(&[broken], "checksum");
        let mut partial = packet(|w| w.cookie_ack());
        partial.edit(|bytes| bytes[15] = 3);
        partial.fix_crc();
        fails(&[partial], "checksum or header");
        fails(
            &[packet(|w| {
                w.init(
                    false,
                    &crate::wire::InitFixed {
                        initiate_tag: 1,
                        a_rwnd: 2000,
                        outbound_streams: 1,
                        inbound_streams: 1,
                        initial_tsn: Tsn(1),
                    },
                    |_| {},
                )
            })],
            "tag is 0",
        );
        let two = packet(|w| {
            w.cookie_ack();
            w.shutdown_complete(false);
        });
        fails(&[two], "not alone");
        let late = packet(|w| {
            w.heartbeat(b"x");
            w.cookie_ack();
        });
        fails(&[late], "not the first");
        let behind = packet(|w| {
            data(w, 1, 0, true, true);
            w.heartbeat(b"x");
        });
        fails(&[behind], "behind a DATA");
        let mixed = packet(|w| {
            w.shutdown_ack();
            data(w, 1, 0, true, true);
        });
        fails(&[mixed], "DATA in one packet with");
        fails(
            &[packet(|w| data(w, 1, 0, true, true)), packet(|w| data(w, 3, 1, true, true))],
            "TSN 3 follows 1",
        );
        fails(
            &[packet(|w| data(w, 1, 0, true, true)), packet(|w| data(w, 2, 3, true, true))],
            "SSN 3 where 1",
        );
        fails(
            &[packet(|w| data(w, 1, 0, true, false)), packet(|w| data(w, 2, 1, true, true))],
            "begins within",
        );
        fails(
            &[packet(|w| data(w, 1, 0, true, false)), packet(|w| data(w, 2, 1, false, true))],
            "unlike",
        );
        let sack = |cum, gap| packet(move |w| w.sack(Tsn(cum), 1000, [gap].into_iter(), &[]));
        fails(&[sack(5, (2, 2)), sack(4, (2, 2))], "goes back");
        fails(&[sack(5, (1, 2))], "gap block 1..2");
    }
}
