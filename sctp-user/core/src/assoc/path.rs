//! One path: a destination address with everything RFC 9260 keeps per destination.

use std::net::IpAddr;

use crate::addr::{Encap, PathAddr, Transmit};
use crate::assoc::cc::{CongestionControl, Rfc9260};
use crate::assoc::heartbeat::Heartbeat;
use crate::assoc::pmtud::{Pmtud, Sizes};
use crate::assoc::rto::Rto;
use crate::config::{AssocConfig, PathParams};
use crate::serial::Tsn;
use crate::stats::{PathState, PathStats};
use crate::time::{Duration, Time, earlier};
use crate::wire::{COMMON_HEADER, DATA_HEADER};

/// Index of a path in its association. A slot is never reused while anything names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PathId(pub(crate) u8);

impl PathId {
    /// As an index.
    pub(crate) fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// Everything kept per destination address.
#[derive(Debug)]
pub(crate) struct Path {
    addr: PathAddr,
    /// IP MTUs to start with for native and UDP-encapsulated packets, and the largest to search
    /// for.
    ip_mtu: (u16, u16),
    /// What the own interface is known to take, bytes; 0 while that has not mattered.
    interface_mtu: u16,
    pub(crate) state: PathState,
    /// Heartbeat, failure threshold and fixed MTU as the user wants them.
    pub(crate) params: PathParams,
    /// Consecutive errors (RFC 9260 sec 8.2).
    pub(crate) error_count: u32,
    /// Largest SCTP packet (common header, chunks, padding), and the probes for it.
    pub(crate) pmtud: Pmtud,
    /// The largest packet with DATA sent with DF since everything was acknowledged or T3 expired.
    pub(crate) largest_sent: usize,
    /// Bytes in flight: chunks with header and padding, sent, not acknowledged, not marked for
    /// retransmission.
    pub(crate) flight: u32,
    /// Chunks marked for retransmission to this path.
    pub(crate) lost: u32,
    pub(crate) cc: CongestionControl,
    pub(crate) rto: Rto,
    /// T3-rtx.
    pub(crate) t3: Option<Time>,
    pub(crate) heartbeat: Heartbeat,
    /// When something that gives an RTT (new DATA, HEARTBEAT, INIT, COOKIE ECHO) was last sent
    /// here.
    pub(crate) last_used: Time,
    /// Idle time up to here, the last sending of DATA at least, has been taken into account by the
    /// congestion control.
    decayed_until: Time,
    /// The chunk whose acknowledgement gives the next RTT sample; at most one per round trip.
    pub(crate) rtt_tsn: Option<Tsn>,
    /// Bytes of new DATA that may still be sent in this opportunity (Max.Burst packets of full
    /// size, RFC 9260 sec 6.1 D); one packet may exceed them.
    pub(crate) burst: u32,
    /// cwnd was fully used when sending stopped last; only then it may grow (RFC 9260 sec 7.2.1).
    pub(crate) cwnd_used: bool,
    /// T3 expired and nothing was acknowledged since: one packet may be in flight (RFC 9260 sec
    /// 7.2.3).
    pub(crate) one_packet: bool,
    /// One packet of retransmissions may leave whatever cwnd says (RFC 9260 sec 6.3.3 E3, 7.2.4).
    pub(crate) retransmit_now: bool,
    /// When ICMP first said that there is no SCTP at the other end of a confirmed path; nothing
    /// came from there since.
    pub(crate) refused_since: Option<Time>,
    /// A SACK has come since T3 was started: expiries then are no sign of a dead peer while its
    /// window is closed.
    pub(crate) sack_since_t3: bool,
    /// Another timeout has counted for the association since T3 was started.
    pub(crate) t3_overtaken: bool,
    pub(crate) stats: PathStats,
}

impl Path {
    /// A path that has carried nothing yet.
    pub(crate) fn new(addr: PathAddr, state: PathState, config: &AssocConfig, now: Time) -> Self {
        let ip_mtu = ip_mtus(config);
        let pmtud = Pmtud::new(sizes(addr, ip_mtu, config.pmtud));
        let pmdcs = pmdcs(pmtud.plpmtu());
        let cc = Rfc9260::new(pmdcs, addr.remote.is_ipv6(), config.abc_l);
        Path {
            addr,
            ip_mtu,
            interface_mtu: 0,
            state,
            params: PathParams::of(config),
            error_count: 0,
            pmtud,
            largest_sent: 0,
            flight: 0,
            lost: 0,
            cc: CongestionControl::Rfc9260(cc),
            rto: Rto::new(config),
            t3: None,
            heartbeat: Heartbeat::default(),
            last_used: now,
            decayed_until: now,
            rtt_tsn: None,
            burst: burst_limit(config, pmdcs),
            cwnd_used: false,
            one_packet: false,
            retransmit_now: false,
            refused_since: None,
            sack_since_t3: false,
            t3_overtaken: false,
            stats: PathStats::default(),
        }
    }

    /// Addresses and encapsulation.
    pub(crate) fn addr(&self) -> PathAddr {
        self.addr
    }

    /// A single packet of `len` bytes on this path.
    pub(crate) fn transmit(&self, len: usize, may_fragment: bool) -> Transmit {
        let PathParams { dscp, flow_label, .. } = self.params;
        Transmit {
            path: self.addr,
            ecn: None,
            dscp,
            flow_label,
            len,
            segment_size: None,
            may_fragment,
        }
    }

    /// The address of the peer.
    pub(crate) fn remote(&self) -> IpAddr {
        self.addr.remote
    }

    /// Largest SCTP packet.
    pub(crate) fn pmtu(&self) -> usize {
        self.pmtud.plpmtu()
    }

    /// The largest packet with COOKIE ECHO that takes DATA along, the first time and `again`.
    /// Unless the user knows the MTU, nothing has shown yet what the path carries, and the setup
    /// must not wait for packets that a router drops without a word (RFC 8899 sec 5.1.2).
    pub(crate) fn setup_limit(&self, again: bool) -> usize {
        match (self.params.ip_mtu, again) {
            (None, false) => self.pmtud.base(),
            (None, true) => self.pmtud.least(),
            (Some(_), _) => self.pmtu(),
        }
    }

    /// Largest DATA chunk with header that fits (PMDCS).
    pub(crate) fn pmdcs(&self) -> u32 {
        pmdcs(self.pmtu())
    }

    /// The peer was heard with this encapsulation; the only place that changes it (RFC 6951 sec
    /// 5.4). Call it only when checksum and verification tag of the packet were right and it was no
    /// INIT.
    pub(crate) fn set_encap(&mut self, encap: Encap) {
        if self.addr.encap != encap {
            let same_kind = (self.addr.encap == Encap::Native) == (encap == Encap::Native);
            self.addr.encap = encap;
            self.pmtud.restart(self.sizes(), same_kind);
            self.pmtu_changed();
        }
    }

    /// The own address packets of this path come to.
    pub(crate) fn set_local(&mut self, local: Option<IpAddr>) {
        if local.is_some() {
            self.addr.local = local;
        }
    }

    /// ICMP said that only packets of `ip_mtu` bytes fit: lowers the PMTU, never raises it, and is
    /// not believed below what every host of the family must take.
    pub(crate) fn on_packet_too_big(&mut self, ip_mtu: usize, now: Time) {
        if self.params.ip_mtu.is_none() && self.pmtud.on_packet_too_big(ip_mtu, now) {
            self.pmtu_changed();
        }
    }

    /// Takes settings of the user; a fixed MTU given up leaves room for what `config` assumes.
    pub(crate) fn set_params(&mut self, params: PathParams, config: &AssocConfig) {
        let had = std::mem::replace(&mut self.params, params);
        match params.ip_mtu {
            Some(fixed) => self.ip_mtu = (fixed, fixed),
            None if had.ip_mtu.is_some() => self.ip_mtu = ip_mtus(config),
            None => return,
        }
        self.pmtud = Pmtud::new(self.sizes());
        self.pmtu_changed();
    }

    fn sizes(&self) -> Sizes {
        // A fixed MTU is what the user knows of the path, not a bound for a search.
        sizes(self.addr, self.ip_mtu, self.params.pmtud && self.params.ip_mtu.is_none())
    }

    /// The least size of a packet that may exceed the PMTU. Hosts cut IPv6 packets only where their
    /// interface demands it, and no router does: a packet that the interface would take gets
    /// padding, or it would vanish behind a router that drops it in silence.
    pub(crate) fn least_fragmented(&self) -> usize {
        let Sizes { max, overhead, .. } = self.sizes();
        // What is configured may be less than the interface takes, or far more.
        let configured = usize::from(self.ip_mtu.0).max(max + overhead);
        let interface = configured.max(self.interface_mtu.into()).clamp(1500, MAX_JUMBO);
        if self.addr.remote.is_ipv6() { (interface.saturating_sub(overhead) & !3) + 4 } else { 0 }
    }

    /// The own interface takes IP packets of so many bytes; true when that is more than was known,
    /// and no more than padding can exceed.
    pub(crate) fn set_interface_mtu(&mut self, ip_mtu: u16) -> bool {
        let news = ip_mtu > self.interface_mtu && usize::from(ip_mtu) <= MAX_JUMBO;
        if news {
            self.interface_mtu = ip_mtu;
        }
        news
    }

    /// The PMTU may have changed: the congestion control reckons with it.
    pub(crate) fn pmtu_changed(&mut self) {
        self.cc.set_pmdcs(self.pmdcs());
    }

    /// Probes may look for the MTU.
    pub(crate) fn may_discover(&self) -> bool {
        self.is_confirmed() && self.params.pmtud && self.params.ip_mtu.is_none()
    }

    /// Back to the state of a path never used (association restart, RFC 9260 sec 5.2.4.1).
    pub(crate) fn reset(&mut self, config: &AssocConfig, now: Time) {
        let (addr, state, params) = (self.addr, self.state, self.params);
        *self = Path::new(addr, state, config, now);
        self.set_params(params, config);
    }

    /// DATA left on this path. Without `new` chunks it gives no RTT, so heartbeats go on beside it
    /// (RFC 9260 sec 8.3).
    pub(crate) fn on_data_sent(&mut self, now: Time, new: bool) {
        if new {
            self.last_used = now;
        }
        self.decayed_until = now;
    }

    /// Takes idle time into account before sending DATA (RFC 9260 sec 7.2.1: for each RTO without
    /// sending).
    pub(crate) fn decay_idle(&mut self, now: Time) {
        if self.flight > 0 {
            return;
        }
        let rto = self.rto.get().max(Duration::from_millis(1));
        let mut from = self.decayed_until;
        // Sixteen halvings bring any window to its floor.
        for _ in 0..16 {
            if now.since(from) < rto {
                break;
            }
            self.cc.on_idle();
            from += rto;
        }
        self.decayed_until = if now.since(from) < rto { from } else { now };
    }

    /// DATA may be sent to this path (nothing but probes may go to unconfirmed addresses, RFC 9260
    /// sec 5.4).
    pub(crate) fn is_confirmed(&self) -> bool {
        self.state != PathState::Unconfirmed
    }

    /// The peer was heard from an address that the user named: it is worth trying again.
    pub(crate) fn revive(&mut self) {
        if self.is_confirmed() {
            self.state = PathState::Active;
        }
    }

    /// What is about to go to an unconfirmed address has to take a HEARTBEAT along (RFC 9260 sec
    /// 5.4).
    pub(crate) fn probe_if_unconfirmed(&mut self) {
        if !self.is_confirmed() {
            self.heartbeat = Heartbeat::DUE;
        }
    }

    /// A SACK gives an opportunity to send Max.Burst packets and as many as it acknowledged: these
    /// keep the clock of the acknowledgements going however many packets the peer acknowledges with
    /// one SACK.
    pub(crate) fn grant_burst(&mut self, config: &AssocConfig, acked_bytes: u32) {
        self.burst = self.burst.max(burst_limit(config, self.pmdcs())).saturating_add(acked_bytes);
    }

    /// Nothing more can be sent for now: the opportunity is over. `blocked` says that the burst
    /// limit stopped it; then only a SACK gives another one, while otherwise what the user sends
    /// next is one.
    pub(crate) fn end_burst(&mut self, config: &AssocConfig, blocked: bool) {
        if !blocked {
            self.burst = burst_limit(config, self.pmdcs());
        }
        self.cwnd_used = !self.may_carry_more();
    }

    /// What cwnd and the rule of one packet after T3 leave room for.
    pub(crate) fn may_carry_more(&self) -> bool {
        self.flight == 0 || (self.flight < self.cc.cwnd() && !self.one_packet)
    }

    /// The earliest deadline of this path.
    pub(crate) fn deadline(&self) -> Option<Time> {
        earlier(earlier(self.t3, self.heartbeat.deadline()), self.pmtud.deadline())
    }
}

fn burst_limit(config: &AssocConfig, pmdcs: u32) -> u32 {
    if config.max_burst == 0 { u32::MAX } else { config.max_burst.saturating_mul(pmdcs) }
}

/// The bounds of the PMTU. `ip_mtu` is that of native paths, and of UDP-encapsulated ones to begin
/// with; `search` says that probes will look for it.
fn sizes(addr: PathAddr, ip_mtu: (u16, u16), search: bool) -> Sizes {
    let (native, udp) = (usize::from(ip_mtu.0), usize::from(ip_mtu.1));
    let ipv6 = addr.remote.is_ipv6();
    let start = match addr.encap {
        Encap::Udp { .. } => udp,
        // No router cuts IPv6 packets, and hosts do it only after an ICMP message, which firewalls
        // like to drop: chunks that turn out too large for the path would never arrive. So the
        // search begins with what passes everywhere (RFC 8899 sec 5.1.2).
        Encap::Native if ipv6 && search => native.min(IPV6_MIN_MTU),
        Encap::Native => native,
    };
    Sizes::new(ipv6, addr.encap, start, native.max(start))
}

/// The IP MTUs of a configuration, which are no larger than an IP packet can be.
fn ip_mtus(config: &AssocConfig) -> (u16, u16) {
    let narrow = |mtu| u16::try_from(mtu).unwrap_or(u16::MAX);
    (narrow(config.ip_mtu), narrow(config.ip_mtu_udp))
}

/// The largest frames that interfaces are known to have, but for the loopback one.
const MAX_JUMBO: usize = 9216;

/// Every IPv6 link carries packets of this many bytes (RFC 8200 sec 5).
const IPV6_MIN_MTU: usize = 1280;

fn pmdcs(pmtu: usize) -> u32 {
    u32::try_from((pmtu - COMMON_HEADER) & !3).unwrap_or(u32::MAX).max(DATA_HEADER as u32 + 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(remote: &str, encap: Encap) -> Path {
        let addr = PathAddr { local: None, remote: remote.parse().unwrap(), encap };
        let config = AssocConfig { ip_mtu_udp: 1500, ..AssocConfig::default() };
        Path::new(addr, PathState::Active, &config, Time::ZERO)
    }

    #[test]
    fn mtu_shares() {
        let udp = Encap::Udp { remote_port: 9899 };
        for (remote, encap, pmtu, pmdcs) in [
            ("10.0.0.1", Encap::Native, 1480, 1468),
            ("fd00::1", Encap::Native, 1240, 1228),
            ("10.0.0.1", udp, 1472, 1460),
            ("fd00::1", udp, 1452, 1440),
        ] {
            let p = path(remote, encap);
            assert_eq!((p.pmtu(), p.pmdcs()), (pmtu, pmdcs), "{remote} {encap:?}");
        }
    }

    #[test]
    fn without_a_search_the_configured_mtu_counts() {
        let addr =
            PathAddr { local: None, remote: "fd00::1".parse().unwrap(), encap: Encap::Native };
        let config = AssocConfig { pmtud: false, ..AssocConfig::default() };
        assert_eq!(Path::new(addr, PathState::Active, &config, Time::ZERO).pmtu(), 1460);
        let config = AssocConfig::default();
        let mut path = Path::new(addr, PathState::Active, &config, Time::ZERO);
        path.set_params(PathParams { ip_mtu: Some(1500), ..path.params }, &config);
        assert_eq!(path.pmtu(), 1460);
    }

    #[test]
    fn encapsulation_changes_the_mtu_by_eight() {
        let mut p = path("10.0.0.1", Encap::Native);
        p.set_encap(Encap::Udp { remote_port: 1 });
        assert_eq!(p.pmtu(), 1472);
        p.set_encap(Encap::Native);
        assert_eq!(p.pmtu(), 1480);
    }

    #[test]
    fn packet_too_big_only_lowers() {
        let mut p = path("10.0.0.1", Encap::Native);
        p.on_packet_too_big(9000, Time::ZERO);
        assert_eq!(p.pmtu(), 1480);
        p.on_packet_too_big(1000, Time::ZERO);
        assert_eq!(p.pmtu(), 980);
        p.on_packet_too_big(575, Time::ZERO);
        p.on_packet_too_big(0, Time::ZERO);
        assert_eq!(p.pmtu(), 980);
        p.on_packet_too_big(576, Time::ZERO);
        assert_eq!(p.pmtu(), 556);
    }
}
