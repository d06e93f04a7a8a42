//! Path MTU discovery by probe packets (RFC 8899) of one path, as a value: what to probe and when,
//! what an answer, a loss, an ICMP message or repeated timeouts of large packets say. All sizes are
//! those of SCTP packets.

use crate::addr::Encap;
use crate::stats::PmtudState;
use crate::time::{Duration, Time};

/// Probes of one size before it counts as too large (RFC 8899 sec 5.1.2), and timeouts in a row of
/// large packets that raise the suspicion of a black hole.
const MAX_PROBES: u32 = 3;
/// The least time to wait for the answer to a probe (RFC 8899 sec 5.1.1), and before the first one:
/// associations that end sooner do without.
const PROBE_TIMER: Duration = Duration::from_secs(1);
/// Between probes of the base size while only the least size passes.
const ERROR_TIMER: Duration = Duration::from_secs(15);
/// How long a result below the maximum stands before larger sizes are tried again.
const RAISE_TIMER: Duration = Duration::from_secs(600);
/// BASE_PLPMTU: what practically every path carries.
const BASE: usize = 1200;
/// IP MTUs that links and tunnels have.
const COMMON_IP_MTUS: [usize; 13] =
    [1280, 1400, 1420, 1440, 1452, 1460, 1472, 1480, 1492, 1500, 2002, 4352, 8166];

/// The bounds of the search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sizes {
    /// MIN_PLPMTU.
    pub(crate) min: usize,
    /// In use before anything is known.
    pub(crate) start: usize,
    /// MAX_PLPMTU.
    pub(crate) max: usize,
    /// Bytes of IP and UDP headers.
    pub(crate) overhead: usize,
}

impl Sizes {
    /// For IP packets of `start` to `max` bytes.
    pub(crate) fn new(ipv6: bool, encap: Encap, start: usize, max: usize) -> Self {
        let ip_header = if ipv6 { 40 } else { 20 };
        // UDP encapsulation takes its share of 8 bytes (RFC 6951 sec 5.6).
        let udp_header = if encap == Encap::Native { 0 } else { 8 };
        let overhead = ip_header + udp_header;
        // What every host of the family must take, as far as there is a rule.
        let least = if ipv6 { 1280 } else { 576 };
        let size = |ip: usize| ip.saturating_sub(overhead) & !3;
        let start = size(start);
        Sizes { min: size(least).min(start), start, max: size(max).max(start), overhead }
    }

    /// The SCTP packet that fills an IP packet.
    fn of_ip(&self, ip_mtu: usize) -> usize {
        ip_mtu.saturating_sub(self.overhead) & !3
    }

    fn base(&self) -> usize {
        BASE.clamp(self.min, self.start)
    }
}

/// What is done about the next probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Probe {
    /// Nothing.
    None,
    /// Wait until then.
    At(Time),
    /// Wait until the path works again.
    Parked,
    /// To be sent.
    Due { size: usize, check: bool },
    /// On its way. `check` says that it is to find out whether smaller packets than the current
    /// ones pass.
    Sent { size: usize, check: bool, deadline: Time },
}

/// The state machine.
#[derive(Clone, Debug)]
pub(crate) struct Pmtud {
    sizes: Sizes,
    plpmtu: usize,
    state: PmtudState,
    probe: Probe,
    /// What answers have to bring back, and the largest size that was probed with it; 0 while
    /// nothing was. An answer counts however late it comes, until what happened meanwhile says
    /// more than it.
    nonce: u64,
    probed: u32,
    /// Probes of the current size that were lost.
    lost_probes: u32,
    /// Sizes from here on do not pass.
    ceiling: usize,
    /// A size that a router has named: the next one to try.
    hint: Option<usize>,
    /// T3 expiries in a row that lost a large packet.
    timeouts: u32,
    /// The size of the largest packet that the last of them lost.
    timed_out: u32,
}

impl Pmtud {
    /// Not started; the PMTU is that of `sizes.start`.
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
            timed_out: 0,
        }
    }

    /// The largest SCTP packet to use for data.
    pub(crate) fn plpmtu(&self) -> usize {
        self.plpmtu
    }

    /// What practically every path carries (BASE_PLPMTU), as far as it may be used.
    pub(crate) fn base(&self) -> usize {
        self.sizes.base().min(self.plpmtu)
    }

    /// What every path carries (MIN_PLPMTU).
    pub(crate) fn least(&self) -> usize {
        self.sizes.min.min(self.plpmtu)
    }

    /// The state.
    pub(crate) fn state(&self) -> PmtudState {
        self.state
    }

    /// The path is confirmed: begins to probe, unless it has begun.
    pub(crate) fn start(&mut self, now: Time) {
        if self.state != PmtudState::Disabled {
            return;
        }
        self.ceiling = self.sizes.max + 1;
        if self.plpmtu < self.sizes.max {
            self.enter(PmtudState::Base, now + PROBE_TIMER);
        } else {
            // Nothing to look for; only black holes are noticed.
            self.complete(now);
        }
    }

    /// Stops probing; what was found stays in use.
    pub(crate) fn stop(&mut self) {
        self.state = PmtudState::Disabled;
        self.probe = Probe::None;
        self.timeouts = 0;
    }

    /// The encapsulation changed and with it the bounds. Between UDP ports (`same_kind`) the PMTU
    /// stays until probes say otherwise, else it begins anew.
    pub(crate) fn restart(&mut self, sizes: Sizes, same_kind: bool) {
        let running = self.state != PmtudState::Disabled;
        let plpmtu = if same_kind { self.plpmtu } else { sizes.start };
        *self = Pmtud { plpmtu, ..Pmtud::new(sizes) };
        if running {
            self.ceiling = sizes.max + 1;
            self.enter(PmtudState::Base, Time::ZERO);
        }
    }

    /// When something must be done.
    pub(crate) fn deadline(&self) -> Option<Time> {
        match self.probe {
            Probe::At(at) => Some(at),
            Probe::Sent { deadline, .. } => Some(deadline),
            Probe::None | Probe::Parked | Probe::Due { .. } => None,
        }
    }

    /// The probe that is to be sent now.
    pub(crate) fn due(&self) -> Option<usize> {
        match self.probe {
            Probe::Due { size, .. } => Some(size),
            _ => None,
        }
    }

    /// The nonce of the probes whose answers count; `None` when a new one has to be drawn.
    pub(crate) fn nonce(&self) -> Option<u64> {
        (self.probed > 0).then_some(self.nonce)
    }

    /// The probe that was due has left. `rto` is the one of the path.
    pub(crate) fn on_sent(&mut self, nonce: u64, now: Time, rto: Duration) {
        if let Probe::Due { size, check } = self.probe {
            self.nonce = nonce;
            self.probed = self.probed.max(as_u32(size));
            // A path that was never measured may be slower than its RTO says.
            let wait = (rto * 2).max(PROBE_TIMER);
            self.probe = Probe::Sent { size, check, deadline: now + wait };
        }
    }

    /// Answers to the probes so far prove nothing any more.
    fn forget_probes(&mut self) {
        self.probed = 0;
    }

    /// The deadline has come. `healthy` says that the path shows no errors: without that losses
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

    /// The path shows no errors (any more).
    pub(crate) fn on_path_works(&mut self, now: Time) {
        if self.probe == Probe::Parked {
            // Without a result yet it goes on, with one it waits.
            match self.state {
                PmtudState::Complete => self.complete(now),
                _ => self.probe = Probe::At(now),
            }
        }
    }

    /// A HEARTBEAT ACK with the nonce and size of a probe; true when it brings news.
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
            // Large ones have come through meanwhile.
            self.probe = Probe::Parked;
            return true;
        }
        let news = match self.state {
            PmtudState::Base => size >= self.plpmtu,
            PmtudState::Error => size >= self.sizes.base(),
            _ => size > self.plpmtu,
        };
        if !news {
            return false;
        }
        self.plpmtu = size;
        if size >= self.ceiling {
            // It came late, and so may the answers of those above it.
            self.ceiling = self.sizes.max + 1;
        }
        if self.plpmtu >= self.sizes.max {
            self.complete(now);
        } else {
            // By the timer, so that the next probe is no reaction to a received packet.
            self.enter(PmtudState::Search, now);
        }
        true
    }

    /// ICMP says that only IP packets of `ip_mtu` bytes pass: lowers the PMTU or tells the next
    /// size to probe, and never raises anything (RFC 8899 sec 4.6.2). Nothing is believed for
    /// longer than a search takes. True when the PMTU became smaller.
    pub(crate) fn on_packet_too_big(&mut self, ip_mtu: usize, now: Time) -> bool {
        let size = self.sizes.of_ip(ip_mtu);
        if size < self.sizes.min {
            // No path of the family is that narrow (IPv6: RFC 8201 sec 4).
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
                self.enter(PmtudState::Error, now + ERROR_TIMER);
            } else {
                self.plpmtu = self.sizes.base();
                self.hint = Some(size);
                self.enter(PmtudState::Search, now);
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

    /// T3 expired and lost packets of up to `largest` bytes: after a few in a row, probes find out
    /// whether smaller ones pass.
    pub(crate) fn on_timeout(&mut self, largest: usize) {
        if self.state == PmtudState::Disabled || largest <= self.sizes.min {
            return;
        }
        self.timeouts += 1;
        self.timed_out = as_u32(largest);
        if self.timeouts == MAX_PROBES {
            self.forget_probes();
        }
        if self.timeouts >= MAX_PROBES {
            // Base and minimum in turn, as long as they are smaller than what is lost.
            let odd = (self.timeouts - MAX_PROBES).is_multiple_of(2);
            let size = if odd { self.smaller() } else { self.sizes.min };
            self.probe = Probe::Due { size, check: true };
        }
    }

    /// A packet of at least `size` bytes was acknowledged, or with `drained` everything that was
    /// sent.
    pub(crate) fn on_data_acked(&mut self, size: usize, drained: bool) {
        if self.timeouts > 0 && (drained || (size > self.smaller() && size <= self.plpmtu)) {
            self.timeouts = 0;
        }
    }

    /// A small packet was answered; true when, after so many lost large ones, that reveals a black
    /// hole.
    pub(crate) fn on_small_acked(&mut self, now: Time) -> bool {
        if self.timeouts < MAX_PROBES {
            return false;
        }
        self.fall_to(self.smaller(), now);
        true
    }

    /// The size to try below what timed out.
    fn smaller(&self) -> usize {
        if self.timed_out > as_u32(self.sizes.base()) { self.sizes.base() } else { self.sizes.min }
    }

    /// Black hole: a smaller size is used, and larger ones are searched again.
    fn fall_to(&mut self, size: usize, now: Time) {
        self.timeouts = 0;
        self.forget_probes();
        self.plpmtu = self.plpmtu.min(size);
        self.ceiling = self.sizes.max + 1;
        if self.plpmtu < self.sizes.base() {
            self.enter(PmtudState::Error, now);
        } else {
            self.enter(PmtudState::Base, now);
        }
    }

    fn enter(&mut self, state: PmtudState, at: Time) {
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

    /// MAX_PROBES of one size were lost.
    fn on_size_lost(&mut self, now: Time) {
        match self.state {
            PmtudState::Search => {
                self.ceiling = self.candidate().unwrap_or(self.ceiling);
                self.hint = None;
                self.enter(PmtudState::Search, now);
            }
            PmtudState::Base if self.plpmtu > self.sizes.base() => {
                self.plpmtu = self.sizes.base();
                self.enter(PmtudState::Base, now);
            }
            PmtudState::Base => {
                self.plpmtu = self.sizes.min;
                self.enter(PmtudState::Error, now + ERROR_TIMER);
            }
            _ => self.enter(PmtudState::Error, now + ERROR_TIMER),
        }
    }

    /// The next size to search for: what a router named, else the maximum, which most paths carry,
    /// else the middle one of the common sizes that are left.
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
