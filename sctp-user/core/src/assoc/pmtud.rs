//! Path MTU discovery for one path with probe packets (RFC 8899). This type decides what to probe
//! and when, and what follows from an answer, a loss, an ICMP message or repeated timeouts of large
//! packets. It does no I/O. All sizes are sizes of SCTP packets.

use crate::addr::Encap;
use crate::stats::PmtudState;
use crate::time::{Duration, Time};

/// How many probes of one size must be lost before the size counts as too large (RFC 8899 sec
/// 5.1.2). Also how many timeouts of large packets in a row raise the suspicion of a black hole.
const MAX_PROBES: u32 = 3;
/// The shortest time to wait for the answer to a probe (RFC 8899 sec 5.1.1). Also the time before
/// the first probe, so that short associations need none.
const PROBE_TIMER: Duration = Duration::from_secs(1);
/// Time between probes of the base size while only the smallest size passes.
const ERROR_TIMER: Duration = Duration::from_secs(15);
/// How long a result below the maximum stays before larger sizes are tried again.
const RAISE_TIMER: Duration = Duration::from_secs(600);
/// BASE_PLPMTU: a size that passes practically every path.
const BASE: usize = 1200;
/// IP MTUs that links and tunnels have.
const COMMON_IP_MTUS: [usize; 13] =
    [1280, 1400, 1420, 1440, 1452, 1460, 1472, 1480, 1492, 1500, 2002, 4352, 8166];

/// The bounds of the search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sizes {
    /// MIN_PLPMTU.
    pub(crate) min: usize,
    /// The size in use before anything is known.
    pub(crate) start: usize,
    /// MAX_PLPMTU.
    pub(crate) max: usize,
    /// Bytes of IP and UDP headers.
    pub(crate) overhead: usize,
}

impl Sizes {
    /// The bounds for IP packets of `start` to `max` bytes.
    pub(crate) fn new(ipv6: bool, encap: Encap, start: usize, max: usize) -> Self {
        let ip_header = if ipv6 { 40 } else { 20 };
        // UDP encapsulation takes 8 more bytes (RFC 6951 sec 5.6).
        let udp_header = if encap == Encap::Native { 0 } else { 8 };
        let overhead = ip_header + udp_header;
        // What every host of the address family must accept; for IPv4 there is only a rule for
        // reassembled packets.
        let least = if ipv6 { 1280 } else { 576 };
        let size = |ip: usize| ip.saturating_sub(overhead) & !3;
        let start = size(start);
        Sizes { min: size(least).min(start), start, max: size(max).max(start), overhead }
    }

    /// The size of the SCTP packet that fills an IP packet of this size.
    fn of_ip(&self, ip_mtu: usize) -> usize {
        ip_mtu.saturating_sub(self.overhead) & !3
    }

    fn base(&self) -> usize {
        BASE.clamp(self.min, self.start)
    }
}

/// What happens about the next probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Probe {
    /// There will be none.
    None,
    /// Probe at this time.
    At(Time),
    /// Probe when the path works again.
    Parked,
    /// A probe is to be sent now.
    Due { size: usize, check: bool },
    /// A probe is under way. `check` says that it tests whether smaller packets than the current
    /// ones pass.
    Sent { size: usize, check: bool, deadline: Time },
}

/// The state machine of the discovery.
#[derive(Clone, Debug)]
pub(crate) struct Pmtud {
    sizes: Sizes,
    plpmtu: usize,
    state: PmtudState,
    probe: Probe,
    /// The nonce in the probes, and the largest size that was probed with it (0 if none was). An
    /// answer counts however late it comes, unless something has happened since that says more.
    nonce: u64,
    probed: u32,
    /// How many probes of the current size were lost.
    lost_probes: u32,
    /// Sizes from this one on do not pass.
    ceiling: usize,
    /// A size that a router has named. It is tried next.
    hint: Option<usize>,
    /// How many T3 expiries in a row have lost a large packet.
    timeouts: u32,
    /// The size of the largest packet that the last of these expiries lost.
    timed_out_size: u32,
}

impl Pmtud {
    /// Not started yet. The PMTU is `sizes.start`.
    pub(crate) fn new(sizes: Sizes) -> Self {
        Pmtud {
            sizes,
            plpmtu: sizes.start,
            state: PmtudState::Disabled,
            probe: Probe::None,
            nonce: 0,
            probed: 0,
            lost_probes: 0,
            ceiling: usize::MAX,
            hint: None,
            timeouts: 0,
            timed_out_size: 0,
        }
    }

    /// The largest SCTP packet to use for data.
    pub(crate) fn plpmtu(&self) -> usize {
        self.plpmtu
    }

    /// A size that passes practically every path (BASE_PLPMTU), if it may be used.
    pub(crate) fn base(&self) -> usize {
        self.sizes.base().min(self.plpmtu)
    }

    /// A size that passes every path (MIN_PLPMTU).
    pub(crate) fn least(&self) -> usize {
        self.sizes.min.min(self.plpmtu)
    }

    /// The state.
    pub(crate) fn state(&self) -> PmtudState {
        self.state
    }

    /// The path is confirmed. Starts probing, unless it has started already.
    pub(crate) fn start(&mut self, now: Time) {
        if self.state != PmtudState::Disabled {
            return;
        }
        self.ceiling = self.sizes.max + 1;
        if self.plpmtu < self.sizes.max {
            self.enter_state(PmtudState::Base, now + PROBE_TIMER);
        } else {
            // There is nothing to search for. Only black holes are noticed.
            self.complete(now);
        }
    }

    /// Stops probing. The PMTU stays.
    pub(crate) fn stop(&mut self) {
        self.state = PmtudState::Disabled;
        self.probe = Probe::None;
        self.timeouts = 0;
    }

    /// The encapsulation has changed, and the bounds with it. If only the UDP port changed
    /// (`same_kind`), the PMTU stays until probes say otherwise. If not, everything begins anew.
    pub(crate) fn restart(&mut self, sizes: Sizes, same_kind: bool) {
        let running = self.state != PmtudState::Disabled;
        let plpmtu = if same_kind { self.plpmtu } else { sizes.start };
        *self = Pmtud { plpmtu, ..Pmtud::new(sizes) };
        if running {
            self.ceiling = sizes.max + 1;
            self.enter_state(PmtudState::Base, Time::ZERO);
        }
    }

    /// When something must be done next.
    pub(crate) fn deadline(&self) -> Option<Time> {
        match self.probe {
            Probe::At(at) => Some(at),
            Probe::Sent { deadline, .. } => Some(deadline),
            Probe::None | Probe::Parked | Probe::Due { .. } => None,
        }
    }

    /// The size of the probe that is to be sent now.
    pub(crate) fn due(&self) -> Option<usize> {
        match self.probe {
            Probe::Due { size, .. } => Some(size),
            _ => None,
        }
    }

    /// The nonce of the probes whose answers count. `None` when a new nonce must be drawn.
    pub(crate) fn nonce(&self) -> Option<u64> {
        (self.probed > 0).then_some(self.nonce)
    }

    /// The due probe has been sent. `rto` is the RTO of the path.
    pub(crate) fn on_sent(&mut self, nonce: u64, now: Time, rto: Duration) {
        if let Probe::Due { size, check } = self.probe {
            self.nonce = nonce;
            self.probed = self.probed.max(as_u32(size));
            // A path that was never measured may be slower than its RTO.
            let wait = (rto * 2).max(PROBE_TIMER);
            self.probe = Probe::Sent { size, check, deadline: now + wait };
        }
    }

    /// From now on, answers to earlier probes prove nothing.
    fn forget_probes(&mut self) {
        self.probed = 0;
    }

    /// The deadline has passed. `healthy` says that the path shows no errors. Otherwise losses
    /// prove nothing.
    pub(crate) fn on_timer(&mut self, now: Time, healthy: bool) {
        match self.probe {
            Probe::At(at) if at <= now => self.next_probe(now, healthy),
            Probe::Sent { check, deadline, .. } if deadline <= now => {
                if check || !healthy {
                    self.probe = Probe::Parked;
                    return;
                }
                self.lost_probes += 1;
                if self.lost_probes >= MAX_PROBES {
                    self.on_size_lost(now);
                } else if self.state == PmtudState::Error {
                    self.probe = Probe::At(now + ERROR_TIMER);
                } else {
                    self.next_probe(now, healthy);
                }
            }
            _ => {}
        }
    }

    /// The path works, perhaps after it had shown errors.
    pub(crate) fn on_path_works(&mut self, now: Time) {
        if self.probe == Probe::Parked {
            // If there is no result yet, continue. If there is, wait.
            match self.state {
                PmtudState::Complete => self.complete(now),
                _ => self.probe = Probe::At(now),
            }
        }
    }

    /// HEARTBEAT ACK with the nonce and the size of a probe. True when it changes something.
    pub(crate) fn on_ack(&mut self, nonce: u64, size: usize, now: Time) -> bool {
        if self.state == PmtudState::Disabled
            || self.nonce() != Some(nonce)
            || as_u32(size) > self.probed
        {
            return false;
        }
        if self.timeouts >= MAX_PROBES {
            self.fall_to(size, now);
            return true;
        }
        if matches!(self.probe, Probe::Sent { check: true, size: sent, .. } if sent == size) {
            // Large packets have passed since the check was sent.
            self.probe = Probe::Parked;
            return true;
        }
        let proves_more = match self.state {
            PmtudState::Base => size >= self.plpmtu,
            PmtudState::Error => size >= self.sizes.base(),
            _ => size > self.plpmtu,
        };
        if !proves_more {
            return false;
        }
        self.plpmtu = size;
        if size >= self.ceiling {
            // The answer was late. Answers to larger probes may be late, too.
            self.ceiling = self.sizes.max + 1;
        }
        if self.plpmtu >= self.sizes.max {
            self.complete(now);
        } else {
            // Let the timer send it, so that the next probe is no reaction to a received packet.
            self.enter_state(PmtudState::Search, now);
        }
        true
    }

    /// ICMP says that only IP packets of `ip_mtu` bytes pass. This may lower the PMTU or set the
    /// size to probe next, but never raises anything (RFC 8899 sec 4.6.2). It is not believed for
    /// longer than a search takes. True when the PMTU became smaller.
    pub(crate) fn on_packet_too_big(&mut self, ip_mtu: usize, now: Time) -> bool {
        let size = self.sizes.of_ip(ip_mtu);
        if size < self.sizes.min {
            // No path of this address family is that narrow (IPv6: RFC 8201 sec 4).
            return false;
        }
        if size < self.plpmtu {
            self.plpmtu = size;
            self.timeouts = 0;
            self.forget_probes();
            if self.state == PmtudState::Disabled {
                return true;
            }
            self.ceiling = self.sizes.max + 1;
            if size < self.sizes.base() {
                self.enter_state(PmtudState::Error, now + ERROR_TIMER);
            } else {
                self.plpmtu = self.sizes.base();
                self.hint = Some(size);
                self.enter_state(PmtudState::Search, now);
            }
            return true;
        }
        if let Probe::Sent { size: probed, check: false, .. } = self.probe
            && size < probed
            && self.state == PmtudState::Search
        {
            self.ceiling = self.ceiling.min(size + 4);
            self.hint = (size > self.plpmtu).then_some(size);
            self.lost_probes = 0;
            self.probe = Probe::At(now);
        }
        false
    }

    /// T3 expired and lost packets of up to `largest` bytes. After a few such timeouts in a row,
    /// probes find out whether smaller packets pass.
    pub(crate) fn on_timeout(&mut self, largest: usize) {
        if self.state == PmtudState::Disabled || largest <= self.sizes.min {
            return;
        }
        self.timeouts += 1;
        self.timed_out_size = as_u32(largest);
        if self.timeouts == MAX_PROBES {
            self.forget_probes();
        }
        if self.timeouts >= MAX_PROBES {
            // Probe the base size and the minimum in turn, if they are smaller than what is lost.
            let odd = (self.timeouts - MAX_PROBES).is_multiple_of(2);
            let size = if odd { self.smaller() } else { self.sizes.min };
            self.probe = Probe::Due { size, check: true };
        }
    }

    /// The peer acknowledged a packet of at least `size` bytes. With `drained`, it acknowledged
    /// everything.
    pub(crate) fn on_data_acked(&mut self, size: usize, drained: bool) {
        if self.timeouts > 0 && (drained || (size > self.smaller() && size <= self.plpmtu)) {
            self.timeouts = 0;
        }
    }

    /// A small packet was answered. True when this reveals a black hole, because several large ones
    /// were lost before.
    pub(crate) fn on_small_acked(&mut self, now: Time) -> bool {
        if self.timeouts < MAX_PROBES {
            return false;
        }
        self.fall_to(self.smaller(), now);
        true
    }

    /// The size to try below the one that timed out.
    fn smaller(&self) -> usize {
        if self.timed_out_size > as_u32(self.sizes.base()) {
            self.sizes.base()
        } else {
            self.sizes.min
        }
    }

    /// A black hole was found: uses a smaller size, and searches for larger ones again.
    fn fall_to(&mut self, size: usize, now: Time) {
        self.timeouts = 0;
        self.forget_probes();
        self.plpmtu = self.plpmtu.min(size);
        self.ceiling = self.sizes.max + 1;
        if self.plpmtu < self.sizes.base() {
            self.enter_state(PmtudState::Error, now);
        } else {
            self.enter_state(PmtudState::Base, now);
        }
    }

    fn enter_state(&mut self, state: PmtudState, at: Time) {
        self.state = state;
        self.lost_probes = 0;
        self.probe = Probe::At(at);
    }

    fn complete(&mut self, now: Time) {
        self.state = PmtudState::Complete;
        self.lost_probes = 0;
        self.hint = None;
        self.probe =
            if self.plpmtu < self.sizes.max { Probe::At(now + RAISE_TIMER) } else { Probe::None };
    }

    fn next_probe(&mut self, now: Time, healthy: bool) {
        if !healthy {
            self.probe = Probe::Parked;
            return;
        }
        if self.state == PmtudState::Complete {
            self.state = PmtudState::Search;
            self.ceiling = self.sizes.max + 1;
        }
        let size = match self.state {
            PmtudState::Base => Some(self.plpmtu),
            PmtudState::Error => Some(self.sizes.base()),
            _ => self.candidate(),
        };
        match size {
            Some(size) => self.probe = Probe::Due { size, check: false },
            None => self.complete(now),
        }
    }

    /// MAX_PROBES probes of one size were lost.
    fn on_size_lost(&mut self, now: Time) {
        match self.state {
            PmtudState::Search => {
                self.ceiling = self.candidate().unwrap_or(self.ceiling);
                self.hint = None;
                self.enter_state(PmtudState::Search, now);
            }
            PmtudState::Base if self.plpmtu > self.sizes.base() => {
                self.plpmtu = self.sizes.base();
                self.enter_state(PmtudState::Base, now);
            }
            PmtudState::Base => {
                self.plpmtu = self.sizes.min;
                self.enter_state(PmtudState::Error, now + ERROR_TIMER);
            }
            _ => self.enter_state(PmtudState::Error, now + ERROR_TIMER),
        }
    }

    /// The next size to search for: the one that a router named; else the maximum, which passes
    /// most paths; else the middle one of the common sizes that are left.
    fn candidate(&self) -> Option<usize> {
        let open = |size: usize| size > self.plpmtu && size < self.ceiling;
        if let Some(hint) = self.hint.filter(|&size| open(size)) {
            return Some(hint);
        }
        if open(self.sizes.max) {
            return Some(self.sizes.max);
        }
        let sizes =
            || COMMON_IP_MTUS.iter().map(|&ip| self.sizes.of_ip(ip)).filter(|&size| open(size));
        sizes().nth(sizes().count() / 2)
    }
}

fn as_u32(size: usize) -> u32 {
    u32::try_from(size).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
