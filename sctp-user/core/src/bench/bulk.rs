//! Bulk transfer through a [`Pair`].

use bytes::Bytes;

use super::pair::{PORT, Pair};
use crate::addr::Message;
use crate::config::AssocConfig;
use crate::stack::AssocId;
use crate::time::Time;

/// How many bytes one round queues at most. A sender keeps that many waiting, as programs do.
const ROUND: usize = 256 * 1024;

/// Settings for bulk transfer in packets of 1452 bytes: large buffers, no burst limit.
pub fn bulk_config() -> AssocConfig {
    AssocConfig {
        ip_mtu: 1480,
        ip_mtu_udp: 1480,
        send_buffer: 4 << 20,
        recv_buffer: 4 << 20,
        max_burst: 0,
        ..AssocConfig::default()
    }
}

/// One association that sends messages of one size from client to server.
#[derive(Debug)]
pub struct Bulk {
    /// The two stacks.
    pub pair: Pair,
    /// The association at the client.
    pub sender: AssocId,
    /// The association at the server.
    pub receiver: AssocId,
    message: Message,
    /// User bytes that the server has read.
    pub bytes: u64,
    /// Messages that the server has read.
    pub messages: u64,
    /// Packets from client to server.
    pub packets: u64,
    /// Packets with SACKs.
    pub sacks: u64,
}

impl Bulk {
    /// Sets the association up. Each message has `size` bytes, at least 1.
    ///
    /// # Panics
    /// When the configuration is not valid.
    pub fn new(config: &AssocConfig, size: usize) -> Self {
        let mut pair = Pair::new(config);
        let (sender, receiver) = pair.set_up(Time::ZERO, 0);
        debug_assert!(pair.server.accept(PORT).is_none());
        let message = Message::new(0, 0, Bytes::from(vec![7; size]));
        Bulk { pair, sender, receiver, message, bytes: 0, messages: 0, packets: 0, sacks: 0 }
    }

    /// Fills the send buffer, carries what may be sent, reads what arrived, and carries the
    /// acknowledgements back.
    pub fn round(&mut self, now: Time) {
        self.queue(now, ROUND);
        self.packets += self.pair.client_to_server(now).packets;
        self.read(now);
        self.sacks += self.pair.server_to_client(now).packets;
        self.pair.tick(now);
    }

    /// Queues messages: `most` bytes, or as many as fit the send buffer.
    pub fn queue(&mut self, now: Time, most: usize) {
        let mut queued = 0;
        while queued < most && self.pair.client.send(now, self.sender, self.message.clone()).is_ok()
        {
            queued += self.message.data.len();
        }
    }

    /// Reads everything that the server has, and returns how many bytes that were.
    pub fn read(&mut self, now: Time) -> u64 {
        let before = self.bytes;
        while let Some(message) = self.pair.server.recv(now, self.receiver) {
            self.bytes += message.data.len() as u64;
            self.messages += u64::from(message.end_of_record);
        }
        self.bytes - before
    }

    /// Sends everything that waits, until all of it is acknowledged and read.
    pub fn drain(&mut self, now: Time) {
        loop {
            let packets = self.pair.client_to_server(now).packets;
            self.read(now);
            if packets + self.pair.server_to_client(now).packets == 0 {
                break;
            }
        }
        self.pair.tick(now);
    }
}
