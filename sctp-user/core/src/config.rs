//! All settings, each with its unit, default and RFC section.

use core::time::Duration;

use crate::error::ConfigError;

/// Settings of a whole [`Stack`](crate::Stack).
#[derive(Clone, Debug)]
pub struct StackConfig {
    /// How many associations may exist at the same time. Once there are as many, INITs are answered
    /// with ABORT "out of resource". Default 100 000.
    pub max_associations: usize,
    /// How long a State Cookie is valid (Valid.Cookie.Life, RFC 9260 sec 16). Default 60 s.
    pub cookie_life: Duration,
    /// How often the key that seals cookies changes. Values below twice `cookie_life` are raised to
    /// that. The previous key stays valid for as long as its cookies live. Default 1 h.
    pub cookie_key_life: Duration,
    /// INIT ACKs per second to all peers together: a token bucket with one second of burst. A
    /// second bucket of the same size limits the ABORTs that refuse an INIT. Default 10 000.
    pub init_ack_rate: u32,
    /// Replies per second to out-of-the-blue packets (RFC 9260 sec 8.4): a token bucket. Default
    /// 100.
    pub ootb_rate: u32,
    /// Which out-of-the-blue packets, and which INITs that nobody listens for, get an answer.
    /// Default [`Ootb::Abort`].
    pub ootb: Ootb,
    /// With [`Ootb::Abort`], also answer packets that came natively in IP for a port that is not
    /// bound here. Off by default: every stack on the host and its kernel see such packets, so an
    /// ABORT from this stack would kill the associations of others.
    pub ootb_native: bool,
    /// How long a verification tag is not used again after its association has ended. Default 60 s.
    pub tag_reuse_guard: Duration,
    /// Local addresses that wildcard-bound ports announce to peers of a fitting scope. Default
    /// empty: a wildcard bind announces none, which is the only right choice behind a NAT (RFC 6951
    /// sec 5.1).
    pub local_addresses: Vec<std::net::IpAddr>,
    /// Tell peers with the same address and SCTP port apart by their UDP ports. Several clients
    /// behind one NAT may look like this. In RFC 6951 sec 5.2 the UDP port is no part of an
    /// association, so this is off by default; then the INIT of the second client gets an ABORT.
    /// When it is on, a client that restarts with another UDP port counts as a new client, and its
    /// old association ends by its timers.
    pub nat_port_key: bool,
    /// For tests of wrap-around: the initial TSN of every association. Default `None`: random.
    #[doc(hidden)]
    pub initial_tsn: Option<u32>,
}

impl Default for StackConfig {
    fn default() -> Self {
        StackConfig {
            max_associations: 100_000,
            cookie_life: Duration::from_secs(60),
            cookie_key_life: Duration::from_secs(3600),
            init_ack_rate: 10_000,
            ootb_rate: 100,
            ootb: Ootb::Abort,
            ootb_native: false,
            tag_reuse_guard: Duration::from_secs(60),
            local_addresses: Vec::new(),
            nat_port_key: false,
            initial_tsn: None,
        }
    }
}

/// Which packets that belong to no association get an answer: packets out of the blue (RFC 9260 sec
/// 8.4), and INITs where nobody listens (sec 5.1). Packets of an association that is being set up,
/// or that ended a short while ago, are always answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ootb {
    /// Answers every packet that comes in UDP, as RFC 9260 demands, so the sender learns at once
    /// that nobody is here. Answers packets that come natively only if they are for a port that is
    /// bound here ([`StackConfig::ootb_native`]).
    #[default]
    Abort,
    /// Answers only packets for a port that is bound here, in UDP as well.
    OwnPorts,
    /// Answers nothing. For replicas behind one address, which may get packets of each other's
    /// associations and must not end these. Senders learn only by their timeouts that nobody is
    /// here.
    Silent,
}

/// Settings of an association. It takes them from the bound port at setup; most may change later.
#[derive(Clone, Debug)]
pub struct AssocConfig {
    /// RTO.Initial (RFC 9260 sec 16). Default 1 s.
    pub rto_initial: Duration,
    /// RTO.Min. Default 1 s.
    pub rto_min: Duration,
    /// RTO.Max. Default 60 s.
    pub rto_max: Duration,
    /// Max.Init.Retransmits: retransmissions of INIT and of COOKIE ECHO before giving up. Default
    /// 8.
    pub max_init_retransmits: u32,
    /// Upper bound of the T1-init timer (RFC 6458 sinit_max_init_timeo); `None` means `rto_max`.
    pub max_init_timeout: Option<Duration>,
    /// Association.Max.Retrans: with more consecutive timeouts than this over all paths, the
    /// association is lost. Default 10.
    pub assoc_max_retrans: u32,
    /// Path.Max.Retrans: with more consecutive timeouts than this, a path is inactive. Default 5.
    pub path_max_retrans: u32,
    /// PFMR of RFC 7829: with more consecutive timeouts than this, a path is potentially failed. It
    /// then carries no data while another path is active, and is probed every RTO. Default
    /// `Some(0)`: after the first timeout. `None` switches it off. Not used while an association
    /// has only one path.
    pub pf_max_retrans: Option<u32>,
    /// Tell the user of potentially failed paths
    /// ([`PeerAddrState::PotentiallyFailed`](crate::PeerAddrState)). Default off.
    pub expose_potentially_failed: bool,
    /// PSMR of RFC 7829 sec 5: with more consecutive timeouts than this on the primary path,
    /// another active path becomes the primary one for good. Default `None`: data returns to the
    /// primary path when it works again.
    pub primary_switchover_max_retrans: Option<u32>,
    /// HB.interval: an idle path is probed every RTO plus this, with jitter (RFC 9260 sec 8.3).
    /// Default 30 s.
    pub hb_interval: Duration,
    /// HB.interval for UDP-encapsulated paths, to keep NAT bindings alive. The smaller of this and
    /// `hb_interval` applies there. Default 15 s.
    pub hb_interval_udp: Duration,
    /// Send heartbeats at all. Default on.
    pub hb_enabled: bool,
    /// How long ICMP errors must say that there is no SCTP at an address of the peer, while nothing
    /// arrives from there, before that is believed (RFC 9260 sec 10). It matters where one error is
    /// no proof. In UDP, that is an association that the peer has set up from another host: a NAT
    /// that has lost its binding says the same, until the peer's next packet makes a new one.
    /// Directly in IP, a host says the same while the receive buffer of a raw socket is full. After
    /// the first error and this time, a heartbeat asks again; a second error counts. Default
    /// `None`: in UDP, twice the interval of heartbeats, and the peer's next packet comes earlier;
    /// directly in IP, a timeout decides.
    pub refusal_patience: Option<Duration>,
    /// SACK.Delay, 0..500 ms (RFC 9260 sec 6.2). Default 200 ms.
    pub sack_delay: Duration,
    /// A SACK is sent at the latest after this many packets with DATA; 1 switches the delay off.
    /// Default 2.
    pub sack_frequency: u32,
    /// Max.Burst: packets per sending opportunity, 0 for no limit (RFC 9260 sec 6.1 D). Default 4.
    pub max_burst: u32,
    /// How many PMDCS slow start may add to cwnd for one SACK (L of RFC 9260 sec 7.2.1). Default 1.
    pub abc_l: u32,
    /// Outbound streams to ask for, 1..=65535. Default 10.
    pub out_streams: u16,
    /// Inbound streams to allow, 1..=65535. Default 65535; they cost memory only when used.
    pub max_in_streams: u16,
    /// How many bytes of user data may be queued or unacknowledged. Default 256 KiB. A larger
    /// message is taken when the buffer is empty. If everything else waits for the next part of a
    /// message, that part is taken even when the buffer is full; so with messages in parts, up to
    /// twice as much may be held. The worst case of memory use is this plus about 100 bytes for
    /// each chunk.
    pub send_buffer: usize,
    /// Receive buffer, announced as a_rwnd: bytes of user data held for reassembly, for reordering
    /// or until the user reads them. At least 4096. Default 256 KiB. Every chunk counts as at least
    /// 32 bytes, so the worst case of memory use is about four times this.
    pub recv_buffer: usize,
    /// Largest user message to send, bytes. Default 16 MiB.
    pub max_message_size: usize,
    /// When this many bytes of an incomplete message have arrived, it is given to the user in parts
    /// (RFC 6458 SCTP_PARTIAL_DELIVERY_POINT). The same happens when the receive buffer is short.
    /// Default `None`: half of `recv_buffer`.
    pub partial_delivery_point: Option<usize>,
    /// Send small packets at once (SCTP_NODELAY). Default on: messages are written whole, so the
    /// Nagle algorithm rarely helps. RFC 6458 sockets default to off; the socket option changes it.
    pub nodelay: bool,
    /// MTU of the IP layer on native paths, bytes. Default 1500.
    pub ip_mtu: usize,
    /// MTU of the IP layer on UDP-encapsulated paths, bytes. Default 1280, which passes every IPv6
    /// path and practically every tunnel; RFC 6951 sec 5.6 advises not to rely on ICMP. With
    /// `pmtud` this is where the search starts, and `ip_mtu` is the largest MTU it tries.
    pub ip_mtu_udp: usize,
    /// Discover the MTU of each path with probe packets (RFC 8899). UDP-encapsulated paths are
    /// probed from `ip_mtu_udp` up to `ip_mtu`, beginning 1 s after the path is confirmed. All
    /// paths are probed when packets of the size in use do not arrive any more. Default on. ICMP
    /// messages count in any case.
    pub pmtud: bool,
    /// T5-shutdown-guard: how long a shutdown may take. It also limits how long, before that, a
    /// peer may keep its window closed to the data that is still to be delivered. `None` means 5
    /// times `rto_max`.
    pub shutdown_guard: Option<Duration>,
    /// How long a shutdown may go without progress once its socket is closed. After that, the
    /// association is aborted and its port is free again. Progress means that the peer acknowledges
    /// data or that the shutdown takes its next step. Default 100 s, the time after which Linux
    /// gives up a closed TCP connection (tcp_orphan_retries). With `None`, only the limits of
    /// retransmissions and `shutdown_guard` apply.
    pub close_timeout: Option<Duration>,
    /// Returned with every received message (SCTP_CONTEXT). Default 0.
    pub context: u32,
    /// How many addresses of the peer an association keeps; it ignores any beyond. Default 32.
    pub max_peer_addresses: usize,
    /// Most user bytes in one DATA chunk, at least 4 (SCTP_MAXSEG). Default `None`: the path MTU
    /// alone decides.
    pub max_segment: Option<usize>,
    /// How long cookies of this port are valid (SCTP_ASSOCINFO). Default `None`:
    /// [`StackConfig::cookie_life`]. A cookie that lives more than twice as long as that may become
    /// invalid earlier, when its key is dropped.
    pub cookie_life: Option<Duration>,
    /// Refuse a message that does not fit one chunk on every path, instead of cutting it into
    /// several chunks (SCTP_DISABLE_FRAGMENTS, RFC 6458 sec 8.1.11). The error is
    /// [`SendError::NeedsFragments`](crate::SendError). What counts is the path MTU at the time
    /// when the message is queued. Default off.
    pub disable_fragments: bool,
    /// Differentiated Services code point of the packets of the association, 0 to 63 (SPP_DSCP).
    /// Packets sent without the association's state do not have it: INIT ACK, and the last ABORT or
    /// SHUTDOWN COMPLETE. Default 0.
    pub dscp: u8,
    /// IPv6 flow label of the same packets, at most 0xfffff (SPP_IPV6_FLOWLABEL). Default 0: the
    /// operating system chooses one for each flow.
    pub flow_label: u32,
    /// Which of our addresses INIT and INIT ACK list. Default [`Announce::Auto`].
    pub announce: Announce,
}

/// Which of our addresses INIT and INIT ACK list (RFC 9260 sec 5.1.2). There is a choice only where
/// a port is bound to several addresses, or to all of them and [`StackConfig::local_addresses`] is
/// set. The peer knows and uses exactly the listed addresses and the one that the packet came from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Announce {
    /// Lists no address of narrower scope than the peer's. Lists none at all from behind a NAT,
    /// that is, when our address is private and the peer's is not (RFC 6951 sec 5.1).
    #[default]
    Auto,
    /// Lists all, even private ones to peers with global addresses. Link-local and loopback
    /// addresses are listed only where they mean something.
    All,
    /// Lists none.
    None,
}

/// Settings of one path (SCTP_PEER_ADDR_PARAMS, RFC 6458 sec 8.1.12). A new path takes them from
/// [`AssocConfig`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathParams {
    /// Probe the path while it is idle.
    pub hb_enabled: bool,
    /// HB.interval of the path. Over UDP, [`AssocConfig::hb_interval_udp`] applies if it is
    /// smaller.
    pub hb_interval: Duration,
    /// Path.Max.Retrans of the path.
    pub max_retrans: u32,
    /// PFMR of the path (SCTP_PEER_ADDR_THLDS, RFC 7829 sec 7.2). With `None` the path is never
    /// potentially failed.
    pub pf_max_retrans: Option<u32>,
    /// PSMR of the path, used while it is the primary one (SCTP_PEER_ADDR_THLDS_V2, RFC 7829 sec
    /// 7.2). Not below `pf_max_retrans`. With `None` the path stays primary.
    pub primary_switchover_max_retrans: Option<u32>,
    /// A fixed MTU of the IP layer, 512 to 65535 bytes, which replaces whatever is found out about
    /// the path. Default `None`.
    pub ip_mtu: Option<u16>,
    /// Probe for the MTU of the path ([`AssocConfig::pmtud`]). A fixed `ip_mtu` stops the probing,
    /// too.
    pub pmtud: bool,
    /// Differentiated Services code point of the packets of the path, 0 to 63 (SPP_DSCP).
    pub dscp: u8,
    /// IPv6 flow label of the packets of the path, at most 0xfffff; 0 leaves it to the operating
    /// system (SPP_IPV6_FLOWLABEL).
    pub flow_label: u32,
}

impl PathParams {
    /// The settings of a new path in an association with this configuration.
    pub fn of(config: &AssocConfig) -> Self {
        PathParams {
            hb_enabled: config.hb_enabled,
            hb_interval: config.hb_interval,
            max_retrans: config.path_max_retrans,
            pf_max_retrans: config.pf_max_retrans,
            primary_switchover_max_retrans: config.primary_switchover_max_retrans,
            ip_mtu: None,
            pmtud: config.pmtud,
            dscp: config.dscp,
            flow_label: config.flow_label,
        }
    }

    /// Checks that the values are in range and fit together.
    ///
    /// # Errors
    /// Names the first value that is wrong, and what it may be.
    pub fn check(&self) -> Result<(), ConfigError> {
        let fail = |what| Err(ConfigError(what));
        if self.ip_mtu.is_some_and(|mtu| mtu < 512) {
            return fail("a fixed path MTU must be 512 to 65535 bytes");
        }
        if self.hb_interval > Duration::from_millis(u32::MAX.into()) {
            return fail("HB.interval must be at most 49 days");
        }
        if self.dscp > 63 {
            return fail(DSCP_RANGE);
        }
        if self.flow_label > 0xf_ffff {
            return fail(FLOW_LABEL_RANGE);
        }
        if self
            .primary_switchover_max_retrans
            .is_some_and(|psmr| psmr < self.pf_max_retrans.unwrap_or(self.max_retrans))
        {
            return fail(PSMR_BELOW_PFMR);
        }
        Ok(())
    }
}

impl Default for AssocConfig {
    fn default() -> Self {
        AssocConfig {
            rto_initial: Duration::from_secs(1),
            rto_min: Duration::from_secs(1),
            rto_max: Duration::from_secs(60),
            max_init_retransmits: 8,
            max_init_timeout: None,
            assoc_max_retrans: 10,
            path_max_retrans: 5,
            pf_max_retrans: Some(0),
            expose_potentially_failed: false,
            primary_switchover_max_retrans: None,
            hb_interval: Duration::from_secs(30),
            hb_interval_udp: Duration::from_secs(15),
            hb_enabled: true,
            refusal_patience: None,
            sack_delay: Duration::from_millis(200),
            sack_frequency: 2,
            max_burst: 4,
            abc_l: 1,
            out_streams: 10,
            max_in_streams: 65535,
            send_buffer: 256 * 1024,
            recv_buffer: 256 * 1024,
            max_message_size: 16 * 1024 * 1024,
            partial_delivery_point: None,
            nodelay: true,
            ip_mtu: 1500,
            ip_mtu_udp: 1280,
            pmtud: true,
            shutdown_guard: None,
            close_timeout: Some(Duration::from_secs(100)),
            context: 0,
            max_peer_addresses: 32,
            max_segment: None,
            cookie_life: None,
            disable_fragments: false,
            dscp: 0,
            flow_label: 0,
            announce: Announce::Auto,
        }
    }
}

impl AssocConfig {
    /// Settings for signalling in networks with short round trips, where a dead path must be left
    /// within 300 ms and a dead peer given up within 600 ms. RTO is 100/100/150 ms
    /// (initial/min/max), SACKs are delayed by 20 ms, Path.Max.Retrans is 3,
    /// Association.Max.Retrans is 2. HB.interval is 0, so a path is probed after one RTO without
    /// use (50 to 150 ms). Both ends must use these settings, because RTO.Min lies below the SACK
    /// delay of the RFC's defaults.
    ///
    /// With one path, it takes at most 550 ms to give up a peer that falls silent: at most 150 ms
    /// until the next packet goes to it, then timeouts of 100, 150 and 150 ms. A path whose round
    /// trip takes up to 300 ms holds all the same, because answers come before the third timeout
    /// and clear the counts. It sends many packets twice, though, because its RTO cannot follow.
    /// The stack tries to set up an association for 3 s and to shut it down for 2 s.
    pub fn realtime() -> Self {
        AssocConfig {
            rto_initial: Duration::from_millis(100),
            rto_min: Duration::from_millis(100),
            rto_max: Duration::from_millis(150),
            max_init_retransmits: 20,
            sack_delay: Duration::from_millis(20),
            hb_interval: Duration::ZERO,
            hb_interval_udp: Duration::ZERO,
            path_max_retrans: 3,
            assoc_max_retrans: 2,
            shutdown_guard: Some(Duration::from_secs(2)),
            ..AssocConfig::default()
        }
    }

    /// Checks that the values fit together (RFC 9260 sec 16).
    ///
    /// # Errors
    /// Names the first value that is wrong, and what it may be.
    pub fn check(&self) -> Result<(), ConfigError> {
        let fail = |what| Err(ConfigError(what));
        if self.rto_min.is_zero()
            || self.rto_min > self.rto_initial
            || self.rto_initial > self.rto_max
        {
            return fail("RTO values must satisfy 0 < min <= initial <= max");
        }
        // As many milliseconds as the socket options can express. Sums and multiples of this cannot
        // overflow.
        let most = Duration::from_millis(u32::MAX.into());
        if self.rto_max > most || self.hb_interval > most || self.hb_interval_udp > most {
            return fail("RTO.Max and HB.interval must be at most 49 days");
        }
        if self.refusal_patience.is_some_and(|patience| patience > most) {
            return fail("the patience with ICMP errors must be at most 49 days");
        }
        if let Some(psmr) = self.primary_switchover_max_retrans
            && psmr < self.pf_max_retrans.unwrap_or(self.path_max_retrans)
        {
            return fail(PSMR_BELOW_PFMR);
        }
        if self.sack_delay > Duration::from_millis(500) {
            return fail("the SACK delay must be 0 to 500 ms");
        }
        if self.sack_frequency == 0 {
            return fail("the SACK frequency must be at least 1");
        }
        if self.out_streams == 0 || self.max_in_streams == 0 {
            return fail("there must be at least 1 stream in each direction");
        }
        if self.recv_buffer < 4096 || self.recv_buffer > u32::MAX as usize {
            return fail("the receive buffer must be 4096 bytes to 4 GiB");
        }
        if self.send_buffer == 0 {
            return fail("the send buffer must not be 0");
        }
        if self.max_message_size == 0 {
            return fail("the maximum message size must not be 0");
        }
        if self.abc_l == 0 {
            return fail("the slow start limit L must be at least 1");
        }
        if !(576..=65535).contains(&self.ip_mtu) || !(576..=65535).contains(&self.ip_mtu_udp) {
            return fail("the IP MTU must be 576 to 65535 bytes");
        }
        if self.max_segment.is_some_and(|bytes| bytes < 4) {
            return fail("the maximum segment must be at least 4 bytes");
        }
        if self.dscp > 63 {
            return fail(DSCP_RANGE);
        }
        if self.flow_label > 0xf_ffff {
            return fail(FLOW_LABEL_RANGE);
        }
        if self.max_peer_addresses == 0 {
            return fail("at least 1 address of the peer must be allowed");
        }
        Ok(())
    }
}

const DSCP_RANGE: &str = "the DSCP must be 0 to 63";
const FLOW_LABEL_RANGE: &str = "the IPv6 flow label has 20 bits: 0 to 0xfffff";
const PSMR_BELOW_PFMR: &str =
    "the primary switchover threshold must not be below the one of potentially failed paths";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid_and_bad_values_are_named() {
        AssocConfig::default().check().unwrap();
        let bad = AssocConfig { rto_min: Duration::from_secs(2), ..AssocConfig::default() };
        assert!(bad.check().unwrap_err().to_string().contains("RTO"));
        let bad = AssocConfig { rto_max: Duration::MAX, ..AssocConfig::default() };
        assert!(bad.check().unwrap_err().to_string().contains("49 days"));
        let bad = AssocConfig { sack_delay: Duration::from_millis(501), ..AssocConfig::default() };
        assert!(bad.check().is_err());
    }
}
