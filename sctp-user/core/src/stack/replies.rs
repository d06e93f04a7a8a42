//! Packets that belong to no living association: INIT ACK, ABORT, SHUTDOWN COMPLETE and the like.

use std::collections::VecDeque;

use crate::addr::{PathAddr, Transmit};
use crate::wire::PacketWriter;

/// How many replies wait at most. More are dropped, as the network might do.
const MAX_WAITING: usize = 1024;

/// The size of the largest packet here in bytes, chosen so that it passes every path.
const LIMIT: usize = 1200;

#[derive(Debug)]
struct Reply {
    to: PathAddr,
    bytes: Vec<u8>,
}

/// The queue of packets that belong to no living association.
#[derive(Debug, Default)]
pub(crate) struct Replies {
    waiting: VecDeque<Reply>,
    /// Buffers of packets sent, to be used again.
    spare: Vec<Vec<u8>>,
}

impl Replies {
    /// Queues a packet to a stranger, from port `ports.0` to port `ports.1`. Drops it when too many
    /// wait.
    pub(crate) fn push(
        &mut self,
        to: PathAddr,
        ports: (u16, u16),
        tag: u32,
        write: impl FnOnce(&mut PacketWriter<'_>),
    ) {
        if self.waiting.len() < MAX_WAITING {
            self.push_last(to, ports, tag, write);
        }
    }

    /// Queues the last packet of an association, an ABORT or a SHUTDOWN COMPLETE. It is never
    /// dropped here: there is at most one for each association, and strangers must not be able to
    /// suppress it.
    pub(crate) fn push_last(
        &mut self,
        to: PathAddr,
        ports: (u16, u16),
        tag: u32,
        write: impl FnOnce(&mut PacketWriter<'_>),
    ) {
        let mut bytes = self.spare.pop().unwrap_or_default();
        bytes.clear();
        let mut writer = PacketWriter::new(&mut bytes, LIMIT, ports.0, ports.1, tag);
        write(&mut writer);
        writer.finish();
        self.waiting.push_back(Reply { to, bytes });
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Appends the next packet to `buf`.
    pub(crate) fn poll_transmit(&mut self, buf: &mut Vec<u8>) -> Option<Transmit> {
        let reply = self.waiting.pop_front()?;
        buf.extend_from_slice(&reply.bytes);
        let len = reply.bytes.len();
        if self.spare.len() < 32 {
            self.spare.push(reply.bytes);
        }
        Some(Transmit {
            path: reply.to,
            ecn: None,
            dscp: 0,
            flow_label: 0,
            len,
            segment_size: None,
            may_fragment: true,
        })
    }
}
