//! Slow start, congestion avoidance, fast recovery and idle decay of RFC 9260 sec 7.2.

use super::{AckInfo, Algorithm};

/// Congestion control state of one destination address.
#[derive(Clone, Debug)]
pub(crate) struct Rfc9260 {
    cwnd: u32,
    ssthresh: u32,
    partial_bytes_acked: u32,
    pmdcs: u32,
    abc_l: u32,
    idle: bool,
}

impl Rfc9260 {
    /// `pmdcs` is the size of the largest DATA chunk on the path. `ipv6` decides the initial window
    /// (RFC 9260 sec 7.2.1).
    pub(crate) fn new(pmdcs: u32, ipv6: bool, abc_l: u32) -> Self {
        let cap = if ipv6 { 4344 } else { 4404 };
        let cwnd = (4 * pmdcs).min((2 * pmdcs).max(cap));
        Rfc9260 { cwnd, ssthresh: u32::MAX, partial_bytes_acked: 0, pmdcs, abc_l, idle: false }
    }

    fn lowered_ssthresh(&self) -> u32 {
        (self.cwnd / 2).max(4 * self.pmdcs)
    }
}

impl Algorithm for Rfc9260 {
    fn cwnd(&self) -> u32 {
        self.cwnd
    }

    fn ssthresh(&self) -> u32 {
        self.ssthresh
    }

    fn set_pmdcs(&mut self, pmdcs: u32) {
        self.pmdcs = pmdcs;
    }

    fn on_ack(&mut self, ack: AckInfo) {
        if ack.newly_acked > 0 {
            self.idle = false;
            if self.cwnd <= self.ssthresh {
                // Slow start. The cumulative TSN need not advance; RFC 9260 changed this from RFC
                // 4960.
                if ack.fully_used && !ack.in_fast_recovery {
                    let step = ack.newly_acked.min(self.abc_l.saturating_mul(self.pmdcs));
                    self.cwnd = self.cwnd.saturating_add(step);
                }
            } else {
                self.partial_bytes_acked = self.partial_bytes_acked.saturating_add(ack.newly_acked);
                if self.partial_bytes_acked >= self.cwnd {
                    if ack.fully_used {
                        self.partial_bytes_acked -= self.cwnd;
                        self.cwnd = self.cwnd.saturating_add(self.pmdcs);
                    } else {
                        self.partial_bytes_acked = self.cwnd;
                    }
                }
            }
        }
        if ack.all_acked {
            self.partial_bytes_acked = 0;
        }
    }

    fn on_fast_retransmit(&mut self) {
        self.ssthresh = self.lowered_ssthresh();
        self.cwnd = self.ssthresh;
        self.partial_bytes_acked = 0;
    }

    fn on_timeout(&mut self) {
        self.ssthresh = self.lowered_ssthresh();
        self.cwnd = self.pmdcs;
        self.partial_bytes_acked = 0;
    }

    fn on_idle(&mut self) {
        if !self.idle {
            self.ssthresh = self.cwnd;
            self.idle = true;
        }
        self.cwnd = (self.cwnd / 2).max(4 * self.pmdcs).min(self.cwnd);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ack(newly_acked: u32) -> AckInfo {
        AckInfo { newly_acked, fully_used: true, ..AckInfo::default() }
    }

    #[test]
    fn initial_window_and_first_growth() {
        let mut c = Rfc9260::new(1468, false, 1);
        assert_eq!(c.cwnd(), 4404);
        c.on_ack(ack(4404));
        assert_eq!(c.cwnd(), 5872);
        assert_eq!(Rfc9260::new(1448, true, 1).cwnd(), 4344);
    }

    #[test]
    fn no_growth_when_the_window_was_not_used_or_in_recovery() {
        let mut c = Rfc9260::new(1468, false, 1);
        c.on_ack(AckInfo { fully_used: false, ..ack(1468) });
        assert_eq!(c.cwnd(), 4404);
        c.on_ack(AckInfo { in_fast_recovery: true, ..ack(4404) });
        assert_eq!(c.cwnd(), 4404);
    }

    #[test]
    fn congestion_avoidance_adds_one_chunk_per_window() {
        let mut c = Rfc9260::new(1000, false, 1);
        for _ in 0..20 {
            c.on_ack(ack(c.cwnd()));
        }
        c.on_fast_retransmit();
        let w = c.cwnd();
        assert_eq!(w, c.ssthresh());
        c.on_ack(ack(1));
        // With cwnd == ssthresh it is still slow start, which adds what was acknowledged.
        assert_eq!(c.cwnd(), w + 1);
        let w = c.cwnd();
        c.on_ack(ack(w / 2));
        assert_eq!(c.cwnd(), w);
        c.on_ack(ack(w - w / 2));
        assert_eq!(c.cwnd(), w + 1000);
    }

    #[test]
    fn timeout_and_idle() {
        let mut c = Rfc9260::new(1000, false, 1);
        for _ in 0..30 {
            c.on_ack(ack(c.cwnd()));
        }
        let w = c.cwnd();
        c.on_idle();
        assert_eq!((c.cwnd(), c.ssthresh()), ((w / 2).max(4000), w));
        c.on_timeout();
        assert_eq!(c.cwnd(), 1000);
        // Idle time never raises the window.
        c.on_idle();
        assert_eq!(c.cwnd(), 1000);
    }
}
