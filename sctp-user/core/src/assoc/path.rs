//! One path: a destination address and everything that RFC 9260 keeps for it.

use std::net::IpAddr;

use crate::addr::{Encap, PathAddr, Transmit};
use crate::assoc::cc::{CongestionControl, Rfc9260};
use crate::assoc::heartbeat::Heartbeat;
use crate::assoc::pmtud::{Pmtud, Sizes};
use crate::assoc::refusal::Refusal;
use crate::assoc::rto::Rto;
use crate::config::{AssocConfig, PathParams};
use crate::serial::Tsn;
use crate::stats::{PathState, PathStats};
use crate::time::{Duration, Time, earlier};
use crate::wire::{COMMON_HEADER, DATA_HEADER};

/// Index of a path in its association. A slot is never reused while anything refers to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PathId(pub(crate) u8);

impl PathId {
    /// The id as an index.
    pub(crate) fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// Everything that is kept for one destination address.
#[derive(Debug)]
pub(crate) struct Path {
    addr: PathAddr,
    /// The IP MTUs to start with, first for native packets, then for UDP-encapsulated ones. The
    /// first is also the largest to search for.
    ip_mtu: (u16, u16),
    /// The MTU of our interface, bytes. 0 as long as it is not known.
    interface_mtu: u16,
    pub(crate) state: PathState,
    /// Heartbeats, failure thresholds and fixed MTU as the user wants them.
    pub(crate) params: PathParams,
    /// Consecutive errors (RFC 9260 sec 8.2).
    pub(crate) error_count: u32,
    /// Largest SCTP packet (common header, chunks, padding), and the probing for it.
    pub(crate) pmtud: Pmtud,
    /// The largest packet with DATA that was sent with DF since everything was acknowledged or T3
    /// expired.
    pub(crate) largest_sent: usize,
    /// Bytes in flight: chunks, with header and padding, that were sent and are neither
    /// acknowledged nor marked for retransmission.
    pub(crate) flight: u32,
    /// How many chunks are marked for retransmission to this path.
    pub(crate) lost: u32,
    pub(crate) cc: CongestionControl,
    pub(crate) rto: Rto,
    /// T3-rtx.
    pub(crate) t3: Option<Time>,
    pub(crate) heartbeat: Heartbeat,
    /// When anything that can give an RTT was last sent here: new DATA, HEARTBEAT, INIT or COOKIE
    /// ECHO.
    pub(crate) last_used: Time,
    /// The congestion control has taken idle time into account up to here. Never before the last
    /// sending of DATA.
    decayed_until: Time,
    /// The chunk whose acknowledgement will give the next RTT sample. There is at most one per
    /// round trip.
    pub(crate) rtt_tsn: Option<Tsn>,
    /// Bytes of new DATA that may still be sent in this opportunity: Max.Burst packets of full size
    /// (RFC 9260 sec 6.1 D). The last packet may exceed them.
    pub(crate) burst: u32,
    /// cwnd was fully used when sending last stopped. Only then may it grow (RFC 9260 sec 7.2.1).
    pub(crate) cwnd_used: bool,
    /// T3 expired and nothing has been acknowledged since. Only one packet may be in flight (RFC
    /// 9260 sec 7.2.3).
    pub(crate) one_packet: bool,
    /// One packet of retransmissions may be sent, whatever cwnd says (RFC 9260 sec 6.3.3 E3,
    /// 7.2.4).
    pub(crate) retransmit_now: bool,
    /// Whether ICMP says that there is no SCTP at the other end, once the path is confirmed.
    pub(crate) refusal: Refusal,
    /// A SACK has arrived since T3 was started. If T3 expires then while the peer's window is
    /// closed, that is no sign of a dead peer.
    pub(crate) sack_since_t3: bool,
    /// Since T3 was started, another timeout has counted as an error of the association.
    pub(crate) t3_error_counted: bool,
    pub(crate) stats: PathStats,
}

impl Path {
    /// A path that has not been used yet.
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
            refusal: Refusal::None,
            sack_since_t3: false,
            t3_error_counted: false,
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

    /// Size limit for a packet with COOKIE ECHO and DATA; `again` for a repetition. As long as the
    /// user has not given the MTU, nothing has shown yet what size passes. The setup must not wait
    /// for packets that a router drops silently (RFC 8899 sec 5.1.2).
    pub(crate) fn setup_limit(&self, again: bool) -> usize {
        match (self.params.ip_mtu, again) {
            (None, false) => self.pmtud.base(),
            (None, true) => self.pmtud.least(),
            (Some(_), _) => self.pmtu(),
        }
    }

    /// Largest DATA chunk, with its header, that fits into a packet (PMDCS).
    pub(crate) fn pmdcs(&self) -> u32 {
        pmdcs(self.pmtu())
    }

    /// The peer sent a packet with this encapsulation. This is the only place that changes it (RFC
    /// 6951 sec 5.4). Call it only if checksum and verification tag of the packet were right and it
    /// was no INIT.
    pub(crate) fn set_encap(&mut self, encap: Encap) {
        if self.addr.encap != encap {
            let same_kind = (self.addr.encap == Encap::Native) == (encap == Encap::Native);
            self.addr.encap = encap;
            self.pmtud.restart(self.sizes(), same_kind);
            self.pmtu_changed();
        }
    }

    /// Our address that packets on this path arrive at.
    pub(crate) fn set_local(&mut self, local: Option<IpAddr>) {
        if local.is_some() {
            self.addr.local = local;
        }
    }

    /// ICMP said that only packets of `ip_mtu` bytes fit. This can lower the PMTU but never raise
    /// it. Values below what every host of the address family must accept are not believed.
    pub(crate) fn on_packet_too_big(&mut self, ip_mtu: usize, now: Time) {
        if self.params.ip_mtu.is_none() && self.pmtud.on_packet_too_big(ip_mtu, now) {
            self.pmtu_changed();
        }
    }

    /// Takes settings from the user. If these give up a fixed MTU, the MTUs of `config` apply
    /// again.
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
        // A fixed MTU is what the user knows about the path. It does not limit a search.
        sizes(self.addr, self.ip_mtu, self.params.pmtud && self.params.ip_mtu.is_none())
    }

    /// The smallest size that a packet larger than the PMTU may have. A host fragments an IPv6
    /// packet only if its own interface demands that, and routers never do. So a packet that still
    /// fits the interface gets padding; otherwise a router could drop it silently.
    pub(crate) fn least_oversize(&self) -> usize {
        let Sizes { max, overhead, .. } = self.sizes();
        // The configured MTU may be smaller than the one of the interface, or much larger.
        let configured = usize::from(self.ip_mtu.0).max(max + overhead);
        let interface = configured.max(self.interface_mtu.into()).clamp(1500, MAX_JUMBO);
        if self.addr.remote.is_ipv6() { (interface.saturating_sub(overhead) & !3) + 4 } else { 0 }
    }

    /// Our interface takes IP packets of `ip_mtu` bytes. True if that is more than was known.
    /// Values above [`MAX_JUMBO`] are ignored, because no packet is padded that far.
    pub(crate) fn set_interface_mtu(&mut self, ip_mtu: u16) -> bool {
        let is_larger = ip_mtu > self.interface_mtu && usize::from(ip_mtu) <= MAX_JUMBO;
        if is_larger {
            self.interface_mtu = ip_mtu;
        }
        is_larger
    }

    /// The PMTU may have changed, so tells the congestion control.
    pub(crate) fn pmtu_changed(&mut self) {
        self.cc.set_pmdcs(self.pmdcs());
    }

    /// True when probes may search for the MTU.
    pub(crate) fn may_discover(&self) -> bool {
        self.is_confirmed() && self.params.pmtud && self.params.ip_mtu.is_none()
    }

    /// Back to the state of an unused path (association restart, RFC 9260 sec 5.2.4.1).
    pub(crate) fn reset(&mut self, config: &AssocConfig, now: Time) {
        let (addr, state, params) = (self.addr, self.state, self.params);
        *self = Path::new(addr, state, config, now);
        self.set_params(params, config);
    }

    /// DATA was sent on this path. Without `new` chunks it gives no RTT, so heartbeats go on (RFC
    /// 9260 sec 8.3).
    pub(crate) fn on_data_sent(&mut self, now: Time, new: bool) {
        if new {
            self.last_used = now;
        }
        self.decayed_until = now;
    }

    /// Reduces cwnd for idle time before DATA is sent: once for each RTO without sending (RFC 9260
    /// sec 7.2.1).
    pub(crate) fn decay_idle(&mut self, now: Time) {
        if self.flight > 0 {
            return;
        }
        let rto = self.rto.get().max(Duration::from_millis(1));
        let mut from = self.decayed_until;
        // Sixteen halvings bring any window down to its minimum.
        for _ in 0..16 {
            if now.since(from) < rto {
                break;
            }
            self.cc.on_idle();
            from += rto;
        }
        self.decayed_until = if now.since(from) < rto { from } else { now };
    }

    /// True when DATA may be sent to this path. Only probes may go to unconfirmed addresses (RFC
    /// 9260 sec 5.4).
    pub(crate) fn is_confirmed(&self) -> bool {
        self.state != PathState::Unconfirmed
    }

    /// The peer sent from this address. If the user named it, it is worth trying again.
    pub(crate) fn revive(&mut self) {
        if self.is_confirmed() {
            self.state = PathState::Active;
        }
    }

    /// A packet is about to go to this path. If the path is unconfirmed, a HEARTBEAT must go with
    /// it (RFC 9260 sec 5.4).
    pub(crate) fn probe_if_unconfirmed(&mut self) {
        if !self.is_confirmed() {
            self.heartbeat = Heartbeat::DUE;
        }
    }

    /// A SACK gives an opportunity to send Max.Burst packets plus as many bytes as it acknowledged.
    /// The latter keep the sending going at the pace of the acknowledgements, even if the peer
    /// acknowledges many packets with one SACK.
    pub(crate) fn grant_burst(&mut self, config: &AssocConfig, acked_bytes: u32) {
        self.burst = self.burst.max(burst_limit(config, self.pmdcs())).saturating_add(acked_bytes);
    }

    /// Nothing more can be sent for now, so the opportunity is over. With `blocked`, the burst
    /// limit was the reason, and only a SACK gives a new opportunity. Otherwise the next message of
    /// the user does.
    pub(crate) fn end_burst(&mut self, config: &AssocConfig, blocked: bool) {
        if !blocked {
            self.burst = burst_limit(config, self.pmdcs());
        }
        self.cwnd_used = !self.may_carry_more();
    }

    /// True when cwnd and the rule of one packet after T3 allow more DATA.
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

/// The bounds of the PMTU. `ip_mtu` has the MTU for native paths, then the first one for
/// UDP-encapsulated paths. `search` says that probes will search for the MTU.
fn sizes(addr: PathAddr, ip_mtu: (u16, u16), search: bool) -> Sizes {
    let (native, udp) = (usize::from(ip_mtu.0), usize::from(ip_mtu.1));
    let ipv6 = addr.remote.is_ipv6();
    let start = match addr.encap {
        Encap::Udp { .. } => udp,
        // No router fragments IPv6 packets, and hosts do it only after an ICMP message, which
        // firewalls often drop. So chunks that turn out too large for the path would never arrive.
        // The search therefore begins with the size that passes everywhere (RFC 8899 sec 5.1.2).
        Encap::Native if ipv6 && search => native.min(IPV6_MIN_MTU),
        Encap::Native => native,
    };
    Sizes::new(ipv6, addr.encap, start, native.max(start))
}

/// The IP MTUs of a configuration, limited to the largest possible IP packet.
fn ip_mtus(config: &AssocConfig) -> (u16, u16) {
    let narrow = |mtu| u16::try_from(mtu).unwrap_or(u16::MAX);
    (narrow(config.ip_mtu), narrow(config.ip_mtu_udp))
}

/// The largest MTU that interfaces are known to have, apart from the loopback interface.
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
    fn the_pmtu_is_what_the_headers_leave() {
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
    fn packet_too_big_only_lowers_the_pmtu() {
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
