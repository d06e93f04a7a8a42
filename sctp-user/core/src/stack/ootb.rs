//! Packets out of the blue: no association is known for them (RFC 9260 sec 8.4).

use crate::addr::{Datagram, Encap};
use crate::config::Ootb;
use crate::wire::{Cause, Chunk, chunk_type};

use super::Stack;
use super::receive::contains;

impl Stack {
    /// Whether what belongs to no association is answered by this stack.
    pub(super) fn answers_strangers(&self, d: &Datagram, bound: bool) -> bool {
        match self.config.ootb {
            // Natively, other stacks of the host and the kernel see the same packets, which may
            // well be theirs.
            Ootb::Abort => bound || d.from.encap != Encap::Native || self.config.ootb_native,
            Ootb::OwnPorts => bound,
            Ootb::Silent => false,
        }
    }

    /// Answers or drops a packet that belongs to no association, or to an old one of a peer that we
    /// are calling (`called`); the rules stand in the order of the RFC.
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
        // The answer to an INIT that was sent again to another address, which turned out to be none
        // of the association meanwhile: to be discarded (RFC 9260 sec 5.2.3). The peer would
        // believe an ABORT with the tag it knows.
        let overtaken = contains(packet, chunk_type::INIT_ACK)
            && self.demux.by_tag(packet.vtag(), packet.dst_port()).is_some();
        let ended = self.recent_tags.ended_gracefully(d.at, packet.vtag());
        let bound = self.ports.contains_key(&packet.dst_port());
        let ours = called || ended.is_some();
        let silent = !ours && !self.answers_strangers(d, bound);
        // After a graceful shutdown everything was acknowledged on both sides. What comes right
        // behind the SHUTDOWN ACK was overtaken by it.
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
