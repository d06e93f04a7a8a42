//! One end of an association. Its peer exists only in the packets that a bench makes.

use bytes::Bytes;

use super::bulk::Bulk;
use super::pair::{PORT, Pair};
use crate::addr::{Datagram, Message, SegmentLimits};
use crate::config::AssocConfig;
use crate::serial::{Ssn, Tsn};
use crate::stack::{AssocId, Stack};
use crate::time::Time;
use crate::wire::{DataFlags, Packet, PacketWriter};

/// The time of everything that happens, so no timer ever fires.
const NOW: Time = Time::from_millis(1);

/// User bytes of the small messages that fill the ring of outstanding chunks.
const SMALL: usize = 16;

const BUFFER: usize = 16 << 20;

/// A sender with small chunks outstanding.
#[derive(Debug)]
pub struct LoneSender {
    stack: Stack,
    id: AssocId,
    tag: u32,
    /// Highest TSN sent.
    last: u32,
    /// Highest TSN acknowledged cumulatively.
    acked: u32,
    buf: Vec<u8>,
}

impl LoneSender {
    /// A sender with `outstanding` unacknowledged chunks, 1 to 65 000.
    ///
    /// # Panics
    /// When the core does not send that many.
    pub fn new(outstanding: u32) -> Self {
        let config = AssocConfig {
            send_buffer: BUFFER,
            recv_buffer: BUFFER,
            max_burst: 0,
            // Makes cwnd grow fast.
            abc_l: 1000,
            ..AssocConfig::default()
        };
        let mut bulk = Bulk::new(&config, SMALL);
        let cwnd = outstanding * (SMALL as u32 + 16) + 1500;
        bulk.round(NOW);
        while bulk.pair.client.paths(bulk.sender)[0].cwnd < cwnd {
            bulk.round(NOW);
        }
        bulk.pair.carry_all(NOW);
        while bulk.pair.server.recv(NOW, bulk.receiver).is_some() {}
        bulk.pair.carry_all(NOW);
        bulk.pair.tick(NOW);
        let tag = bulk.pair.client.status(bulk.sender).expect("the association is up").local_tag;
        let stats = bulk.pair.client.assoc_stats(bulk.sender).expect("the association is up");
        assert_eq!(stats.data_chunks_retransmitted, 0, "no chunk was lost");
        let last = u32::try_from(stats.data_chunks_sent).expect("few chunks");
        let mut sender = LoneSender {
            stack: bulk.pair.client,
            id: bulk.sender,
            tag,
            last,
            acked: last,
            buf: Vec::new(),
        };
        sender.send(outstanding);
        sender
    }

    /// Sends `count` more small messages.
    ///
    /// # Panics
    /// When the core does not send all of them.
    pub fn send(&mut self, count: u32) {
        let message = Message::new(0, 0, Bytes::from_static(&[7; SMALL]));
        for _ in 0..count {
            self.stack.send(NOW, self.id, message.clone()).expect("the send buffer has room");
        }
        while self
            .stack
            .poll_transmit(NOW, SegmentLimits { native: 1, udp: 44 }, &mut self.buf)
            .is_some()
        {
            self.buf.clear();
        }
        while self.stack.poll_event().is_some() {}
        self.last += count;
        let status = self.stack.status(self.id).expect("the association is up");
        assert_eq!(
            status.unacked_chunks,
            self.last - self.acked,
            "cwnd, rwnd and ring have room for all chunks"
        );
    }

    /// Makes a SACK that acknowledges `more` chunks beyond those acknowledged already, and `gaps`
    /// beyond that. It is not handed in yet.
    pub fn sack(&self, more: u32, gaps: &[(u16, u16)]) -> Datagram {
        let mut bytes = Vec::new();
        let mut writer = PacketWriter::new(&mut bytes, 1472, PORT, PORT, self.tag);
        writer.sack(Tsn(self.acked + more), BUFFER as u32, gaps.iter().copied(), &[]);
        writer.finish();
        let packet = Packet::check(bytes.into()).expect("our own packet");
        Datagram { at: NOW, from: Pair::from_server(0), ecn: None, packet }
    }

    /// Hands a SACK in.
    pub fn take(&mut self, sack: Datagram) {
        self.stack.handle_datagram(sack);
    }

    /// Tells the sender that the SACKs handed in so far acknowledged `count` more chunks
    /// cumulatively.
    pub fn acknowledged(&mut self, count: u32) {
        self.acked += count;
    }
}

/// A receiver that has not received anything yet.
#[derive(Debug)]
pub struct LoneReceiver {
    stack: Stack,
    id: AssocId,
    tag: u32,
    ssn: u16,
    buf: Vec<u8>,
}

impl LoneReceiver {
    /// A receiver with 16 MiB of receive buffer.
    ///
    /// # Panics
    /// When the core refuses the configuration.
    pub fn new() -> Self {
        let config = AssocConfig { recv_buffer: BUFFER, ..AssocConfig::default() };
        let mut pair = Pair::new(&config);
        let (_, server) = pair.set_up(NOW, 0);
        let tag = pair.server.status(server).expect("the association is up").local_tag;
        LoneReceiver { stack: pair.server, id: server, tag, ssn: 0, buf: Vec::new() }
    }

    /// A packet with one unordered message of `len` bytes in one chunk with this TSN. The first TSN
    /// is 1.
    pub fn message(&self, tsn: u32, len: usize) -> Datagram {
        let flags = DataFlags { begin: true, end: true, unordered: true, immediate: false };
        self.packet(tsn, 0, flags, len)
    }

    /// The packets of one ordered message: `count` chunks of `len` bytes, with consecutive TSNs
    /// from `tsn`.
    pub fn fragments(&mut self, tsn: u32, count: u32, len: usize) -> Vec<Datagram> {
        let ssn = self.ssn;
        self.ssn = ssn.wrapping_add(1);
        let flags = |i| DataFlags {
            begin: i == 0,
            end: i + 1 == count,
            unordered: false,
            immediate: false,
        };
        (0..count).map(|i| self.packet(tsn + i, ssn, flags(i), len)).collect()
    }

    fn packet(&self, tsn: u32, ssn: u16, flags: DataFlags, len: usize) -> Datagram {
        let payload = vec![7; len];
        let mut bytes = Vec::new();
        let mut writer = PacketWriter::new(&mut bytes, 65_535, PORT, PORT, self.tag);
        writer.data(Tsn(tsn), 0, Ssn(ssn), 0, flags, &payload);
        writer.finish();
        let packet = Packet::check(bytes.into()).expect("our own packet");
        Datagram { at: NOW, from: Pair::from_client(0), ecn: None, packet }
    }

    /// Hands a packet in.
    pub fn take(&mut self, packet: Datagram) {
        self.stack.handle_datagram(packet);
    }

    /// Reads everything that can be read, and returns how many bytes that were.
    pub fn read(&mut self) -> usize {
        let mut bytes = 0;
        while let Some(message) = self.stack.recv(NOW, self.id) {
            bytes += message.data.len();
        }
        bytes
    }

    /// Polls the SACKs that are due, and drops them and all events.
    pub fn acknowledge(&mut self) {
        while self
            .stack
            .poll_transmit(NOW, SegmentLimits { native: 1, udp: 44 }, &mut self.buf)
            .is_some()
        {
            self.buf.clear();
        }
        while self.stack.poll_event().is_some() {}
    }
}

impl Default for LoneReceiver {
    fn default() -> Self {
        LoneReceiver::new()
    }
}
