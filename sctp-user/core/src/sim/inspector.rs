//! Checks the packets that a stack sends, without looking into the stack, against the rules of RFC
//! 9260 that show on the wire.

use std::collections::BTreeMap;

use super::packet::IpPacket;
use crate::serial::{Ssn, Tsn};
use crate::tlv::Tlvs;
use crate::wire::{Chunk, DataChunk, Packet, SackChunk, chunk_type};

/// Watches the packets that one stack sends. It knows nothing of the stack but these packets.
#[derive(Default)]
pub(super) struct Inspector {
    /// The flows, by the ports and the verification tag that their packets carry.
    flows: BTreeMap<(u16, u16, u32), Flow>,
}

/// The packets that carry one verification tag.
#[derive(Default)]
struct Flow {
    /// The ways in which the DATA chunks so far can be read; at least one. Packets do not show to
    /// which association of the stack they belong: the stack may have begun a new one under the
    /// same tag, or the peer may have changed its tag in the middle of the setup.
    readings: Vec<Reading>,
    /// The last cumulative TSN.
    cum_tsn: Option<Tsn>,
}

/// One way to read the DATA chunks of a flow.
#[derive(Clone, Debug, Default)]
struct Reading {
    /// The lowest TSN and the newest DATA chunk.
    sent: Option<(Tsn, DataChunk)>,
    /// The next stream sequence numbers.
    ssns: BTreeMap<u16, Ssn>,
}

impl Inspector {
    /// Looks at the next packet.
    ///
    /// # Errors
    /// A sentence that names the rule that the packet breaks.
    pub(super) fn check(&mut self, packet: &IpPacket) -> Result<(), String> {
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
            // Only these chunks make a flow, because replies to packets out of the blue have any
            // tag.
            let key = (sctp.src_port(), sctp.dst_port(), sctp.vtag());
            match chunk {
                Chunk::Data(data) => self.flow(key).data(data)?,
                Chunk::Sack(sack) => self.flow(key).sack(&sack)?,
                Chunk::CookieAck => self.flow(key).cookie_ack(),
                Chunk::Unknown { kind: chunk_type::PAD, .. } => {}
                Chunk::Unknown { kind, .. } => {
                    return Err(format!("a chunk of unknown type {kind}"));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn flow(&mut self, key: (u16, u16, u32)) -> &mut Flow {
        if !self.flows.contains_key(&key) {
            // This is either a new association, or one whose peer has another tag now: when setups
            // collide, our TSNs stay (RFC 9260 sec 5.2.4 B), and chunks that went with a COOKIE
            // ECHO under the old tag go again under the new one.
            let same_ports = self.flows.iter().filter(|(k, _)| (k.0, k.1) == (key.0, key.1));
            let older = same_ports.flat_map(|(_, flow)| &flow.readings);
            let mut readings = vec![Reading::default()];
            readings.extend(older.filter(|reading| reading.sent.is_some()).cloned());
            self.flows.insert(key, Flow { readings, cum_tsn: None });
        }
        self.flows.get_mut(&key).expect("it was there or is now")
    }
}

/// Checks what must hold within one packet (RFC 9260 sec 3, 5.1, 6.10, 8.5.1, 9.2).
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
    for chunk in packet.chunks() {
        let fixed = match chunk.kind {
            chunk_type::INIT | chunk_type::INIT_ACK => 16,
            chunk_type::HEARTBEAT | chunk_type::ERROR | chunk_type::ABORT => 0,
            _ => continue,
        };
        let area = chunk.value.get(fixed..).unwrap_or_default();
        let mut rest = area;
        for tlv in Tlvs::new(area) {
            rest = rest.get(tlv.whole.len().next_multiple_of(4)..).unwrap_or_default();
            if rest.is_empty() && !area.ends_with(tlv.whole) {
                return Err("a chunk length that counts the final padding".into());
            }
        }
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
    /// The chunk must fit at least one reading of what came before. The readings that it does not
    /// fit are dropped.
    fn data(&mut self, data: DataChunk) -> Result<(), String> {
        let mut broken = None;
        self.readings.retain_mut(|reading| match reading.data(&data) {
            Ok(()) => true,
            Err(rule) => {
                broken = Some(rule);
                false
            }
        });
        match broken {
            Some(rule) if self.readings.is_empty() => Err(rule),
            _ => Ok(()),
        }
    }

    /// A COOKIE ACK may begin another association with the same tag, if the peer kept its tag when
    /// it had to begin its setup again.
    fn cookie_ack(&mut self) {
        if self.readings.iter().all(|reading| reading.sent.is_some()) {
            self.readings.push(Reading::default());
        }
        self.cum_tsn = None;
    }

    /// Checks that the cumulative TSN never goes back and that gap blocks are sorted and apart from
    /// each other (RFC 9260 sec 3.3.4, 6.2.1).
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

impl Reading {
    /// Checks that new TSNs follow each other, that fragments belong together and that SSNs count
    /// up (RFC 9260 sec 6.5, 6.6, 6.9).
    fn data(&mut self, data: &DataChunk) -> Result<(), String> {
        if data.payload.is_empty() {
            return Err("a DATA chunk without data".into());
        }
        let mut lowest = data.tsn;
        if let Some((first, newest)) = &self.sent {
            if first.at_or_before(data.tsn) && data.tsn.at_or_before(newest.tsn) {
                return Ok(());
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
            if !data.flags.begin && !data.flags.unordered && key(newest) != key(data) {
                return Err(format!("TSN {}: a fragment unlike the one before", data.tsn));
            }
            lowest = *first;
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
        self.sent = Some((lowest, data.clone()));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::wire::{DataFlags, PacketWriter};

    fn packet(write: impl FnOnce(&mut PacketWriter<'_>)) -> IpPacket {
        tagged(7, write)
    }

    fn data(w: &mut PacketWriter<'_>, tsn: u32, ssn: u16, begin: bool, end: bool) {
        w.data(Tsn(tsn), 0, Ssn(ssn), 0, DataFlags { begin, end, ..DataFlags::default() }, b"x");
    }

    fn look_all(packets: &[IpPacket]) -> Result<(), String> {
        let mut inspector = Inspector::default();
        packets.iter().try_for_each(|p| inspector.check(p))
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
            // A new association under the same tag.
            packet(|w| {
                w.cookie_ack();
                data(w, 500, 0, true, true);
            }),
            sack(3, &[]),
        ];
        assert_eq!(look_all(&good), Ok(()));
    }

    fn tagged(tag: u32, write: impl FnOnce(&mut PacketWriter<'_>)) -> IpPacket {
        let mut bytes = Vec::new();
        let mut writer = PacketWriter::new(&mut bytes, 1500, 1, 2, tag);
        write(&mut writer);
        writer.finish();
        let [from, to] = ["10.0.0.1", "10.0.0.2"].map(|addr| addr.parse().unwrap());
        IpPacket::native(from, to, Bytes::from(bytes))
    }

    /// The peer takes another tag while both setups collide. A chunk that is sent again may leave
    /// later than a new one.
    #[test]
    fn a_peer_that_changes_its_tag_keeps_our_tsns() {
        let before = || tagged(7, |w| (9..12).for_each(|n| data(w, n, n as u16, true, true)));
        let again = tagged(8, |w| data(w, 9, 9, true, true));
        let new = tagged(8, |w| data(w, 12, 12, true, true));
        let rest = tagged(8, |w| data(w, 10, 10, true, true));
        assert_eq!(look_all(&[before(), again.clone(), new, rest]), Ok(()));
        let hole = tagged(8, |w| data(w, 13, 13, true, true));
        assert!(look_all(&[before(), again, hole]).unwrap_err().contains("TSN 13 follows"));
    }

    /// A new association may begin with the TSNs of the last one, under the tag that the peer has
    /// kept. Its messages are different ones.
    #[test]
    fn a_new_association_may_use_the_tsns_of_the_last_one() {
        let before = packet(|w| {
            data(w, 4, 0, true, true);
            data(w, 5, 1, true, false);
        });
        let new = packet(|w| {
            w.cookie_ack();
            data(w, 4, 0, true, false);
            data(w, 5, 0, false, true);
            data(w, 6, 1, true, true);
        });
        assert_eq!(look_all(&[before, new]), Ok(()));
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
        let counted = b"\0\x0d\0\x05x\0\0\0";
        fails(&[packet(|w| w.raw_chunk(chunk_type::ABORT, 0, counted))], "the final padding");
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
