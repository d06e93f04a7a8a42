//! Packets out of the blue: no association is known for them (RFC 9260 sec 8.4).

use crate::addr::{Datagram, Encap};
use crate::config::Ootb;
use crate::wire::{Cause, Chunk, chunk_type};

use super::Stack;
use super::receive::contains;

impl Stack {
    /// Whether this stack answers packets that belong to no association.
    pub(super) fn answers_strangers(&self, d: &Datagram, bound: bool) -> bool {
        match self.config.ootb {
            // Without UDP encapsulation, other stacks of the host and the kernel see the same
            // packets, which may well be theirs.
            Ootb::Abort => bound || d.from.encap != Encap::Native || self.config.ootb_native,
            Ootb::OwnPorts => bound,
            Ootb::Silent => false,
        }
    }

    /// Answers or drops a packet that belongs to no association. If `called` is set, it belongs to
    /// an old association with a peer to which we are setting up a new one. The rules stand in the
    /// order of the RFC.
    pub(super) fn on_ootb(&mut self, d: &Datagram, called: bool) -> bool {
        self.stats.ootb_received += 1;
        let packet = &d.packet;
        if contains(packet, chunk_type::ABORT) {
            return false;
        }
        let reply_complete = contains(packet, chunk_type::SHUTDOWN_ACK);
        let quiet = !reply_complete
            && (contains(packet, chunk_type::SHUTDOWN_COMPLETE)
                || contains(packet, chunk_type::COOKIE_ACK)
                || has_stale_cookie(d));
        // We sent an INIT again to another address, and meanwhile it turned out that the
        // association does not have this address. The answer from there must be discarded (RFC 9260
        // sec 5.2.3): the peer would believe an ABORT with the tag that it knows.
        let overtaken = contains(packet, chunk_type::INIT_ACK)
            && self.demux.by_tag(packet.vtag(), packet.dst_port()).is_some();
        let ended = self.recent_tags.ended_gracefully(d.at, packet.vtag());
        let bound = self.ports.contains_key(&packet.dst_port());
        let ours = called || ended.is_some();
        let silent = !ours && !self.answers_strangers(d, bound);
        // After a graceful shutdown both sides have acknowledged everything. A packet that comes
        // right after the SHUTDOWN ACK was overtaken by it and needs no answer.
        let late = !reply_complete && self.recent_tags.complete_is_under_way(d.at, packet.vtag());
        if quiet || silent || late || overtaken {
            return false;
        }
        if !self.ootb_limit.take(d.at) {
            self.stats.rate_limited += 1;
            return false;
        }
        if reply_complete {
            self.recent_tags.complete_again(d.at, packet.vtag());
        }
        let ports = (packet.dst_port(), packet.src_port());
        self.replies.push(d.from, ports, packet.vtag(), |w| {
            if reply_complete {
                w.shutdown_complete(true);
            } else {
                w.abort(true, |_| {});
            }
        });
        true
    }
}

fn has_stale_cookie(d: &Datagram) -> bool {
    d.packet.chunks().any(|raw| match raw.decode(&d.packet) {
        Ok(Chunk::Error { causes }) => {
            causes.iter().any(|c| matches!(c, Cause::StaleCookie { .. }))
        }
        _ => false,
    })
}
