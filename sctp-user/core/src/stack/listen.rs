//! The accepting side, which keeps no state until a valid cookie comes back, and the handling of
//! INIT and COOKIE ECHO for existing associations (RFC 9260 sec 5.1, 5.2).

use std::net::IpAddr;
use std::sync::Arc;

use crate::addr::{Datagram, PathAddr};
use crate::assoc::{Agreed, Association, PeerInit, announced};
use crate::config::AssocConfig;
use crate::features::Features;
use crate::interface::without_interface;
use crate::stats::AssocState;
use crate::time::Duration;
use crate::tlv::{TLV_HEADER, Tlvs};
use crate::wire::{
    CHUNK_HEADER, COMMON_HEADER, CauseWriter, Chunks, INIT_HEADER, InitChunk, InitFixed,
};

use super::cookie::Cookie;
use super::receive::tag_fits_t_bit;
use super::{AssocId, Stack};

/// What an INIT ACK will say about us.
struct Answer {
    local_tag: u32,
    local_tsn: crate::serial::Tsn,
    ties: (u32, u32),
    config: Arc<AssocConfig>,
    local_addrs: Vec<IpAddr>,
}

impl Stack {
    /// Handles a lone INIT with tag 0. True when it was answered.
    pub(super) fn on_init(&mut self, d: &Datagram, init: &InitChunk<'_>) -> bool {
        self.stats.inits_received += 1;
        if init.initiate_tag == 0 {
            return false;
        }
        let local_port = d.packet.dst_port();
        let port = self.ports.get(&local_port);
        // A port that is bound to certain addresses does not exist at others.
        let here = port.filter(|p| p.is_bound_to(d.from.local));
        let listens = here.is_some_and(|p| p.backlog > 0);
        let refuses = listens || self.answers_strangers(d, here.is_some());
        let broken = init.outbound_streams == 0 || init.inbound_streams == 0 || init.a_rwnd < 1500;
        if broken {
            return refuses && self.refuse(d, init, |c| c.invalid_mandatory_param());
        }
        let max = port.map_or(32, |p| p.config.max_peer_addresses);
        let bound = port.map(|p| p.addrs.as_slice()).filter(|addrs| !addrs.is_empty());
        let bound = bound.unwrap_or(&self.config.local_addresses);
        let is_own = self.own.among_listed(d.from.remote, bound, d.from.local);
        let peer = PeerInit::read(init, d.from.remote, max, is_own);
        self.own.add_left_out(peer.own_addresses);
        if let Some(param) = &peer.host_name {
            return refuses && self.refuse(d, init, |c| c.unresolvable_address(param));
        }
        if let Some(id) = self.find_existing(d, &peer.addresses) {
            return self.on_init_for(id, d, init, &peer);
        }
        let Some(port) = self.ports.get(&local_port).filter(|_| listens) else {
            return refuses && self.refuse(d, init, |_| {});
        };
        if !self.has_room(port) {
            return self.refuse(d, init, |c| c.out_of_resource());
        }
        let config = Arc::clone(&port.config);
        let bound = port.addrs.clone();
        let answer = Answer {
            local_tag: self.draw_tag(d.at, local_port),
            local_tsn: self.draw_tsn(),
            ties: (0, 0),
            config,
            local_addrs: self.addrs_to_announce(&bound),
        };
        self.answer_init(d, init, &peer, &answer, d.from)
    }

    /// The association that the sender of a packet has on these ports. It is found by the source
    /// address of the packet or by any address that its chunk lists. (RFC 5061 sec 4.2.5 finds an
    /// ASCONF from a new address in the same way.)
    fn find_existing(&self, d: &Datagram, listed: &[IpAddr]) -> Option<AssocId> {
        let ports = (d.packet.src_port(), d.packet.dst_port());
        std::iter::once(&d.from.remote)
            .chain(listed)
            .find_map(|&addr| self.by_pair(addr, d.from.encap, ports))
    }

    /// Handles an INIT whose sender has an association already (RFC 9260 sec 5.2.1, 5.2.2).
    fn on_init_for(
        &mut self,
        id: AssocId,
        d: &Datagram,
        init: &InitChunk<'_>,
        peer: &PeerInit,
    ) -> bool {
        use AssocState::*;
        let Some(entry) = self.table.get(id) else { return false };
        let assoc = &entry.assoc;
        let state = assoc.state();
        let path = assoc.path_of(d.from.remote);
        // In COOKIE-WAIT the answer must go to an address that the user named (RFC 9260 sec 5.2.1).
        // That is the source or else an address that the INIT lists.
        let to = match (state, path) {
            (CookieWait, None) => {
                let Some(named) = peer.addresses.iter().find_map(|&a| assoc.path_of(a)) else {
                    return false;
                };
                assoc.path_addr(named)
            }
            _ => d.from,
        };
        // This is a late duplicate of the INIT that began the association. Whatever is wrong with
        // it does not matter any more, and an ABORT for it would carry the right tag.
        let late = init.initiate_tag == assoc.peer_tag();
        // The tag of an INIT proves nothing, so an INIT must not change the encapsulation (RFC 6951
        // sec 5.4).
        if state != CookieWait && path.is_some_and(|p| assoc.path_addr(p).encap != d.from.encap) {
            let known = path.map_or(d.from.encap, |p| assoc.path_addr(p).encap);
            return !late && self.refuse(d, init, |c| c.new_encapsulation(known, d.from.encap));
        }
        // Listed addresses that we cannot reach do not count as new: they never became part of the
        // association.
        let listed = peer.addresses.iter().copied().filter(|&a| a != d.from.remote);
        let mut added: Vec<IpAddr> = std::iter::once(d.from.remote)
            .chain(listed.filter(|&a| assoc.can_reach(d.from, a)))
            .filter(|&a| assoc.path_of(a).is_none())
            .collect();
        let config = Arc::clone(&assoc.config);
        let local_addrs = assoc.local_addrs().to_vec();
        let (local_tag, local_tsn) = match state {
            CookieWait | CookieEchoed => (assoc.local_tag(), assoc.initial_tsn()),
            ShutdownAckSent => {
                self.with(d.at, id, |assoc, _| assoc.resend_shutdown_ack());
                return true;
            }
            _ => (0, assoc.initial_tsn()),
        };
        let ties = if state == CookieWait { (0, 0) } else { assoc.tie_tags() };
        if state != CookieWait && !added.is_empty() {
            if late {
                return false;
            }
            // The ABORT names only as many addresses as keep it no larger than the INIT.
            let mut room = d.packet.len().saturating_sub(COMMON_HEADER + CHUNK_HEADER + TLV_HEADER);
            added.retain(|a| {
                let len = if a.is_ipv4() { 8 } else { 20 };
                let fits = len <= room;
                room -= if fits { len } else { 0 };
                fits
            });
            let added = added.into_iter().map(without_interface);
            return self.refuse(d, init, |c| c.restart_with_new_addresses(added));
        }
        let answer = if local_tag == 0 {
            let tag = self.draw_tag(d.at, d.packet.dst_port());
            Answer { local_tag: tag, local_tsn: self.draw_tsn(), ties, config, local_addrs }
        } else {
            Answer { local_tag, local_tsn, ties, config, local_addrs }
        };
        self.answer_init(d, init, peer, &answer, to)
    }

    /// Sends an INIT ACK with a sealed cookie and keeps nothing.
    fn answer_init(
        &mut self,
        d: &Datagram,
        init: &InitChunk<'_>,
        peer: &PeerInit,
        answer: &Answer,
        to: PathAddr,
    ) -> bool {
        if !self.init_limit.take(d.at) {
            self.stats.rate_limited += 1;
            return false;
        }
        let config = &answer.config;
        let agreed = Agreed {
            local_tag: answer.local_tag,
            peer_tag: init.initiate_tag,
            local_tsn: answer.local_tsn,
            peer_tsn: init.initial_tsn,
            peer_rwnd: init.a_rwnd,
            out_streams: config.out_streams.min(init.inbound_streams),
            in_streams: config.max_in_streams.min(init.outbound_streams),
            features: Features::OURS.both(Features::announced_by(init)),
        };
        let life = config.cookie_life.unwrap_or(self.config.cookie_life);
        let extra = peer.preservative.unwrap_or(Duration::ZERO).min(life);
        let cookie = Cookie {
            created: d.at,
            life: life.saturating_add(extra),
            local_port: d.packet.dst_port(),
            peer_port: d.packet.src_port(),
            agreed: agreed.clone(),
            ties: answer.ties,
            source: d.from,
            addresses: peer.addresses.iter().copied().filter(|&a| a != d.from.remote).collect(),
        };
        let mut sealed = Vec::with_capacity(128);
        self.cookies.seal(&cookie, &mut sealed, &mut self.rng);

        let fixed = InitFixed {
            initiate_tag: answer.local_tag,
            a_rwnd: u32::try_from(config.recv_buffer).unwrap_or(u32::MAX),
            outbound_streams: agreed.out_streams,
            inbound_streams: config.max_in_streams,
            initial_tsn: answer.local_tsn,
        };
        // A spoofed INIT must not cause much traffic: the answer is at most three times as large,
        // counting an INIT as 100 bytes at least. Where it would be larger, the reports are left
        // out first, then our further addresses.
        let budget = 3 * d.packet.len().max(100);
        let addresses = announced(config.announce, &answer.local_addrs, d.from);
        let addresses_len: usize = addresses.iter().map(|a| if a.is_ipv4() { 8 } else { 20 }).sum();
        let base = COMMON_HEADER + INIT_HEADER + 4 + sealed.len().next_multiple_of(4);
        let with_addresses = base + addresses_len <= budget;
        let used = base + if with_addresses { addresses_len } else { 0 };
        let reports_len: usize = Tlvs::new(&peer.unrecognized)
            .map(|t| TLV_HEADER + t.whole.len().next_multiple_of(4))
            .sum();
        let with_reports = used + reports_len <= budget;
        let ports = (d.packet.dst_port(), d.packet.src_port());
        self.replies.push(to, ports, init.initiate_tag, |w| {
            w.init(true, &fixed, |params| {
                if with_addresses {
                    for &addr in &addresses {
                        params.address(addr);
                    }
                }
                params.state_cookie(&sealed);
                if with_reports {
                    for tlv in Tlvs::new(&peer.unrecognized) {
                        params.unrecognized(tlv.whole);
                    }
                }
            });
        });
        true
    }

    /// Refuses an INIT with an ABORT that carries its initiate tag (RFC 9260 sec 5.1).
    fn refuse(
        &mut self,
        d: &Datagram,
        init: &InitChunk<'_>,
        causes: impl FnOnce(&mut CauseWriter<'_>),
    ) -> bool {
        if !self.refusal_limit.take(d.at) {
            self.stats.rate_limited += 1;
            return false;
        }
        let ports = (d.packet.dst_port(), d.packet.src_port());
        self.replies.push(d.from, ports, init.initiate_tag, |w| w.abort(false, causes));
        true
    }

    /// Handles a packet that begins with COOKIE ECHO (RFC 9260 sec 5.1.5, 5.2.4). `rest` are the
    /// chunks behind it.
    pub(super) fn on_cookie_echo(&mut self, d: &Datagram, bytes: &[u8], rest: Chunks<'_>) -> bool {
        let Some(cookie) = self.cookies.open(bytes, d.at) else {
            self.stats.cookies_forged += 1;
            return false;
        };
        let packet = &d.packet;
        let fits = packet.dst_port() == cookie.local_port
            && packet.src_port() == cookie.peer_port
            && packet.vtag() == cookie.agreed.local_tag
            && tag_fits_t_bit(packet, cookie.agreed.local_tag, cookie.agreed.peer_tag);
        let from_peer =
            d.from.remote == cookie.source.remote || cookie.addresses.contains(&d.from.remote);
        if !fits || !from_peer {
            return false;
        }
        let peer = (cookie.local_port, cookie.peer_port, cookie.agreed.peer_tag);
        let ended = self.recent_tags.ended_gracefully(d.at, cookie.agreed.local_tag);
        if let Some(gracefully) =
            ended.or_else(|| self.recent_tags.peer_ended_gracefully(peer, cookie.created))
        {
            // After a graceful end, the peer knows that the association is over, or our answer to
            // its SHUTDOWN ACK will tell it.
            return !gracefully && self.refuse_late(d, &cookie);
        }
        let existing = self
            .demux
            .by_tag(cookie.agreed.local_tag, cookie.local_port)
            .and_then(|i| self.table.id(i))
            .filter(|&id| self.table.get(id).is_some_and(|e| e.assoc.peer_port == cookie.peer_port))
            .or_else(|| self.find_existing(d, &cookie.addresses))
            .or_else(|| {
                // The INIT came from this address but does not list it.
                let ports = (cookie.peer_port, cookie.local_port);
                self.by_pair(cookie.source.remote, cookie.source.encap, ports)
            });
        let age = d.at.since(cookie.created);
        if age > cookie.life {
            let same = existing.and_then(|id| self.table.get(id)).is_some_and(|e| {
                e.assoc.local_tag() == cookie.agreed.local_tag
                    && e.assoc.peer_tag() == cookie.agreed.peer_tag
            });
            if !same {
                return self.refuse_stale(d, &cookie, age - cookie.life);
            }
        }
        // The UDP port of the COOKIE ECHO counts: a NAT may have changed it since the INIT.
        let moved = d.from.remote == cookie.source.remote;
        let encap = if moved { d.from.encap } else { cookie.source.encap };
        let source = PathAddr { encap, ..cookie.source };
        match existing {
            Some(id) => self.on_cookie_for(id, d, &cookie, source, rest),
            None => self.on_new_association(d, &cookie, source, rest),
        }
    }

    /// Refuses a cookie whose association has ended. A late duplicate must not bring the
    /// association back, nor the DATA behind the COOKIE ECHO. A peer that still waits for our
    /// COOKIE ACK learns that the association is over.
    fn refuse_late(&mut self, d: &Datagram, cookie: &Cookie) -> bool {
        self.refuse_cookie(d, cookie, |_| {})
    }

    fn refuse_cookie(
        &mut self,
        d: &Datagram,
        cookie: &Cookie,
        causes: impl FnOnce(&mut CauseWriter<'_>),
    ) -> bool {
        if !self.ootb_limit.take(d.at) {
            self.stats.rate_limited += 1;
            return false;
        }
        let ports = (cookie.local_port, cookie.peer_port);
        self.replies.push(d.from, ports, cookie.agreed.peer_tag, |w| w.abort(false, causes));
        true
    }

    fn refuse_stale(&mut self, d: &Datagram, cookie: &Cookie, late: Duration) -> bool {
        if !self.ootb_limit.take(d.at) {
            self.stats.rate_limited += 1;
            return false;
        }
        let micros = u32::try_from(late.as_micros()).unwrap_or(u32::MAX);
        let ports = (cookie.local_port, cookie.peer_port);
        self.replies
            .push(d.from, ports, cookie.agreed.peer_tag, |w| w.error(|c| c.stale_cookie(micros)));
        true
    }

    fn on_new_association(
        &mut self,
        d: &Datagram,
        cookie: &Cookie,
        source: PathAddr,
        rest: Chunks<'_>,
    ) -> bool {
        let room = self.make_room(d.at, cookie.local_port);
        let port = self.ports.get(&cookie.local_port).filter(|_| room);
        let Some(port) = port else {
            let ports = (cookie.local_port, cookie.peer_port);
            self.replies.push(d.from, ports, cookie.agreed.peer_tag, |w| {
                w.abort(false, |c| c.out_of_resource())
            });
            return true;
        };
        let config = Arc::clone(&port.config);
        let local_addrs = self.addrs_to_announce(&port.addrs.clone());
        let id = self.table.next_id();
        let (_, mut cx) = self.table_and_cx(d.at, id);
        let ports = (cookie.local_port, cookie.peer_port);
        let assoc = Association::from_cookie(
            ports,
            config,
            &cookie.agreed,
            source,
            &cookie.addresses,
            local_addrs,
            &mut cx,
        );
        let id = self.add_association(assoc);
        self.stats.cookies_accepted += 1;
        self.queue_for_accept(cookie.local_port, id);
        self.with(d.at, id, |assoc, cx| assoc.established(cx, true));
        self.acknowledge_cookie(id, d, rest);
        true
    }

    /// Sends a COOKIE ACK and handles the chunks that came behind the COOKIE ECHO.
    fn acknowledge_cookie(&mut self, id: AssocId, d: &Datagram, rest: Chunks<'_>) {
        self.with(d.at, id, |assoc, cx| {
            let Some(path) = assoc.path_of(d.from.remote) else { return };
            assoc.learn_encap(path, d.from.encap);
            assoc.acknowledge_cookie(path);
            assoc.handle_chunks(cx, d, path, rest);
        });
    }

    /// Handles a COOKIE ECHO whose sender has an association already: the table of RFC 9260 sec
    /// 5.2.4.
    fn on_cookie_for(
        &mut self,
        id: AssocId,
        d: &Datagram,
        cookie: &Cookie,
        source: PathAddr,
        rest: Chunks<'_>,
    ) -> bool {
        use AssocState::*;
        let Some(entry) = self.table.get(id) else { return false };
        let assoc = &entry.assoc;
        let agreed = &cookie.agreed;
        let state = assoc.state();
        let local_matches = agreed.local_tag == assoc.local_tag();
        let peer_matches = agreed.peer_tag == assoc.peer_tag();
        let ties_match = cookie.ties != (0, 0) && cookie.ties == assoc.tie_tags();
        match (local_matches, peer_matches) {
            // D: a duplicate. Either the COOKIE ACK was lost, or both ends opened at once.
            (true, true) => {
                if state == CookieEchoed {
                    self.with(d.at, id, |assoc, cx| assoc.established(cx, false));
                }
                self.acknowledge_cookie(id, d, rest);
                true
            }
            // B: both ends opened at once, and the peer drew a new tag. This is not accepted once
            // data has been exchanged: an old cookie could break a living association then.
            (true, false)
                if matches!(state, CookieWait | CookieEchoed)
                    || (state == Established && !assoc.data_exchanged()) =>
            {
                self.with(d.at, id, |assoc, cx| {
                    assoc.on_collision(cx, agreed, source, &cookie.addresses)
                });
                self.acknowledge_cookie(id, d, rest);
                true
            }
            // A: the peer restarted.
            (false, false) if ties_match => {
                if state == ShutdownAckSent {
                    // The peer must finish the old association first.
                    self.with(d.at, id, |assoc, _| assoc.refuse_restart());
                    return true;
                }
                // The addresses may have changed since the INIT was checked.
                let new = |a: &IpAddr| assoc.path_of(*a).is_none();
                let usable = cookie.addresses.iter().filter(|&&a| assoc.can_reach(source, a));
                if std::iter::once(&source.remote).chain(usable).any(new) {
                    return false;
                }
                let unwanted = entry.released || matches!(state, ShutdownPending | ShutdownSent);
                self.with(d.at, id, |assoc, cx| {
                    assoc.on_restart(cx, agreed, source, &cookie.addresses)
                });
                self.stats.cookies_accepted += 1;
                self.acknowledge_cookie(id, d, rest);
                if unwanted {
                    // The user is done with this peer, and the peer's restart does not change that.
                    self.with(d.at, id, |assoc, cx| assoc.shutdown(cx));
                }
                true
            }
            // Another process at that address has drawn the same port. The ABORT tells it at once.
            // Otherwise it would find out only when its timers give up.
            (false, false) => {
                match assoc.path_of(d.from.remote).map(|p| assoc.path_addr(p).encap) {
                    Some(known) if known != d.from.encap => {
                        self.refuse_cookie(d, cookie, |c| c.new_encapsulation(known, d.from.encap))
                    }
                    _ => false,
                }
            }
            // C: an old cookie from a handshake that was given up. All other cookies are not meant
            // for this association either.
            _ => false,
        }
    }
}
