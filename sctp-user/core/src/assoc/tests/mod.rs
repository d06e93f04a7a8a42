//! Tests of the rules of the data path with hand-made packets in virtual time.
//!
//! A [`TestEnd`] is an established association whose peer is the test, which sees every packet and
//! sends whatever it likes. TSNs are written as in the RFC's examples: 1 is the first TSN of an
//! association, 0 is the cumulative TSN before it.

mod acknowledging;
mod congestion;
mod hard_cases;
mod receiving;
mod sending;
mod window;

use std::net::IpAddr;

use bytes::Bytes;

use crate::addr::{Datagram, Encap, Message, PathAddr, Peer, SegmentLimits, Transmit};
use crate::config::{AssocConfig, StackConfig};
use crate::event::Event;
use crate::serial::{Ssn, Tsn};
use crate::stack::{AssocId, Stack};
use crate::stats::{PathStats, PathStatus};
use crate::time::{Duration, Time};
use crate::wire::{Chunk, DataChunk, DataFlags, Packet, PacketWriter};

/// The TSN before the first one of both ends. TSNs wrap around in every test.
const BASE: u32 = u32::MAX - 2;

/// User bytes of a full packet.
const FULL: usize = 1452;

const PORT: u16 = 7;

fn addr(host: u8) -> PathAddr {
    let ip = |n| IpAddr::from([10, 0, 0, n]);
    PathAddr { local: Some(ip(host)), remote: ip(3 - host), encap: Encap::Native }
}

fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// One end of an association.
struct TestEnd {
    stack: Stack,
    id: AssocId,
    now: Time,
    local_tag: u32,
    limits: SegmentLimits,
    events: Vec<Event>,
    /// Everything that `poll` has returned.
    transmits: Vec<Transmit>,
}

/// A SACK made by hand.
struct Sack {
    cum: u32,
    rwnd: u32,
    gaps: Vec<(u16, u16)>,
}

fn sack(cum: u32) -> Sack {
    Sack { cum, rwnd: 1_000_000, gaps: Vec::new() }
}

impl Sack {
    fn gaps(mut self, gaps: &[(u16, u16)]) -> Self {
        self.gaps = gaps.to_vec();
        self
    }

    fn rwnd(mut self, rwnd: u32) -> Self {
        self.rwnd = rwnd;
        self
    }
}

impl TestEnd {
    fn new(config: AssocConfig) -> Self {
        TestEnd::pair(config, AssocConfig { recv_buffer: 1_000_000, ..AssocConfig::default() }).0
    }

    /// Both ends of an association that is half a second old. Nothing is in flight, and the only
    /// measured round-trip times are 0.
    fn pair(config: AssocConfig, other: AssocConfig) -> (Self, Self) {
        let end = |seed: u8| {
            let config =
                StackConfig { initial_tsn: Some(BASE.wrapping_add(1)), ..StackConfig::default() };
            Stack::new(config, [seed; 32])
        };
        let (mut a, mut b) = (end(1), end(2));
        a.bind(PORT, &[], config).unwrap();
        b.bind(PORT, &[], other).unwrap();
        b.listen(PORT, 1).unwrap();
        let id = a
            .connect(Time::ZERO, PORT, &Peer::new(addr(1).remote, Encap::Native, PORT), None)
            .unwrap();
        let test_end = |stack: Stack, id| TestEnd {
            local_tag: stack.status(id).unwrap().local_tag,
            stack,
            id,
            now: Time::ZERO,
            limits: SegmentLimits::ONE,
            events: Vec::new(),
            transmits: Vec::new(),
        };
        let carry = |from: &mut Stack, to: &mut Stack, host| {
            let mut buf = Vec::new();
            while from.poll_transmit(Time::ZERO, SegmentLimits::ONE, &mut buf).is_some() {
                let packet = Packet::check(std::mem::take(&mut buf).into()).unwrap();
                to.handle_datagram(Datagram {
                    at: Time::ZERO,
                    from: addr(host),
                    ecn: None,
                    packet,
                });
            }
        };
        for _ in 0..3 {
            carry(&mut a, &mut b, 2);
            carry(&mut b, &mut a, 1);
        }
        let accepted = b.accept(PORT).unwrap();
        let (mut a, mut b) = (test_end(a, id), test_end(b, accepted));
        for end in [&mut a, &mut b] {
            assert!(end.poll().is_empty());
            end.events.clear();
            end.wait(millis(500));
        }
        (a, b)
    }

    /// Everything that is to be sent now.
    fn poll(&mut self) -> Vec<Packet> {
        let mut packets = Vec::new();
        let mut buf = Vec::new();
        while let Some(transmit) = self.stack.poll_transmit(self.now, self.limits, &mut buf) {
            assert_eq!(transmit.len, buf.len());
            let size = transmit.segment_size.unwrap_or(transmit.len);
            packets.extend(
                buf.chunks(size).map(|p| Packet::check(Bytes::copy_from_slice(p)).unwrap()),
            );
            buf.clear();
            self.transmits.push(transmit);
        }
        self.stack.verify().unwrap();
        while let Some((_, event)) = self.stack.poll_event() {
            self.events.push(event);
        }
        packets
    }

    /// Lets time pass and fires the timers that become due. Returns which packets were sent when.
    fn wait_log(&mut self, time: Duration) -> Vec<(Time, Packet)> {
        let end = self.now + time;
        let mut sent = Vec::new();
        while let Some(at) = self.stack.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.stack.handle_timeout(self.now);
            let now = self.now;
            sent.extend(self.poll().into_iter().map(|p| (now, p)));
        }
        self.now = end;
        sent
    }

    /// Like `wait_log`, without the times.
    fn wait(&mut self, time: Duration) -> Vec<Packet> {
        self.wait_log(time).into_iter().map(|(_, p)| p).collect()
    }

    /// Queues an ordered message.
    fn send(&mut self, len: usize) {
        self.send_message(Message::new(0, 0, vec![5; len]));
    }

    fn send_message(&mut self, message: Message) {
        self.stack.send(self.now, self.id, message).unwrap();
    }

    /// Hands in a packet of the peer without looking at its effects.
    fn receive(&mut self, build: impl FnOnce(&mut PacketWriter<'_>)) {
        let mut buf = Vec::new();
        let mut writer = PacketWriter::new(&mut buf, 60_000, PORT, PORT, self.local_tag);
        build(&mut writer);
        writer.finish();
        self.receive_packet(Packet::check(buf.into()).unwrap());
    }

    fn receive_packet(&mut self, packet: Packet) {
        // It does not matter which end this is, because both have one path.
        let remote = self.path().addr.remote;
        let from = if remote == addr(1).remote { addr(1) } else { addr(2) };
        self.stack.handle_datagram(Datagram { at: self.now, from, ecn: None, packet });
    }

    /// Hands in a SACK and returns what is sent in response.
    fn sack(&mut self, sack: Sack) -> Vec<Packet> {
        self.receive_sack(&sack);
        self.poll()
    }

    fn receive_sack(&mut self, sack: &Sack) {
        self.receive(|w| w.sack(tsn(sack.cum), sack.rwnd, sack.gaps.iter().copied(), &[]));
    }

    /// Hands in one DATA chunk on stream 0 and returns what is sent in response. `bits` are letters
    /// of B, E, U and I.
    fn data(&mut self, n: u32, ssn: u16, bits: &str, len: usize) -> Vec<Packet> {
        self.receive(|w| write_data(w, n, ssn, bits, len));
        self.poll()
    }

    fn read(&mut self) -> Option<usize> {
        self.stack.recv(self.now, self.id).map(|m| m.data.len())
    }

    /// The status without the counters, because every received packet is counted whatever it does.
    fn path(&self) -> PathStatus {
        PathStatus { stats: PathStats::default(), ..self.stack.paths(self.id).remove(0) }
    }

    fn peer_rwnd(&self) -> u32 {
        self.stack.status(self.id).unwrap().peer_rwnd
    }

    /// Fills cwnd and acknowledges everything at once, again and again, until cwnd is at least
    /// `cwnd`. Then nothing is queued or unacknowledged. Returns the last TSN.
    fn grow(&mut self, cwnd: u32) -> u32 {
        let mut last = 0;
        while self.path().cwnd < cwnd {
            // Send enough that Max.Burst does not prevent cwnd from being used.
            let cwnd = self.path().cwnd as usize;
            self.send(cwnd * cwnd / FULL / 2 + 4 * FULL);
            let mut packets = self.poll();
            while let Some(&top) = tsns(&packets).concat().last() {
                last = top;
                packets = self.sack(sack(last));
            }
        }
        assert_eq!(self.path().flight, 0);
        last
    }

    fn count(&self, wanted: impl Fn(&Event) -> bool) -> usize {
        self.events.iter().filter(|e| wanted(e)).count()
    }
}

fn tsn(n: u32) -> Tsn {
    Tsn(BASE).plus(n)
}

fn write_data(w: &mut PacketWriter<'_>, n: u32, ssn: u16, bits: &str, len: usize) {
    let has = |c| bits.contains(c);
    let flags =
        DataFlags { begin: has('B'), end: has('E'), unordered: has('U'), immediate: has('I') };
    w.data(tsn(n), 0, Ssn(ssn), 0, flags, &vec![n as u8; len]);
}

/// The DATA chunks of a packet.
fn data_of(packet: &Packet) -> Vec<DataChunk> {
    packet
        .chunks()
        .filter_map(|raw| match raw.decode(packet).unwrap() {
            Chunk::Data(data) => Some(data),
            _ => None,
        })
        .collect()
}

/// The TSNs in each packet that has DATA.
fn tsns(packets: &[Packet]) -> Vec<Vec<u32>> {
    packets
        .iter()
        .map(|p| data_of(p).iter().map(|d| d.tsn.offset_from(Tsn(BASE))).collect::<Vec<_>>())
        .filter(|tsns| !tsns.is_empty())
        .collect()
}

/// Cumulative TSN, window, gap blocks and duplicates of a SACK.
type SackSeen = (u32, u32, Vec<(u16, u16)>, Vec<u32>);

fn sacks(packets: &[Packet]) -> Vec<SackSeen> {
    let mut out = Vec::new();
    for packet in packets {
        for raw in packet.chunks() {
            if let Chunk::Sack(s) = raw.decode(packet).unwrap() {
                let number = |t: Tsn| t.offset_from(Tsn(BASE));
                out.push((
                    number(s.cum_tsn),
                    s.a_rwnd,
                    s.gaps().collect(),
                    s.dups().map(number).collect(),
                ));
            }
        }
    }
    out
}

fn has(packets: &[Packet], kind: u8) -> bool {
    packets.iter().any(|p| p.chunks().any(|c| c.kind == kind))
}
