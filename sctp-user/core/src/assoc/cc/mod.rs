//! Congestion control of one destination address.

mod rfc9260;

pub(crate) use rfc9260::Rfc9260;

/// What a SACK says about one path.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct AckInfo {
    /// Bytes newly acknowledged on this path, cumulatively or by gap blocks. Counted in chunks with
    /// header and padding.
    pub(crate) newly_acked: u32,
    /// cwnd was fully used before the SACK.
    pub(crate) fully_used: bool,
    /// Nothing is in flight or marked lost on this path any more.
    pub(crate) all_acked: bool,
    /// The association is in fast recovery.
    pub(crate) in_fast_recovery: bool,
}

/// What every algorithm must do. All sizes are in bytes.
trait Algorithm {
    fn cwnd(&self) -> u32;
    fn ssthresh(&self) -> u32;
    fn set_pmdcs(&mut self, pmdcs: u32);
    fn on_ack(&mut self, ack: AckInfo);
    fn on_fast_retransmit(&mut self);
    fn on_timeout(&mut self);
    fn on_idle(&mut self);
}

/// The algorithm in use. It is an enum, so that the association needs no type parameter.
#[derive(Clone, Debug)]
pub(crate) enum CongestionControl {
    /// RFC 9260 sec 7.2.
    Rfc9260(Rfc9260),
}

impl CongestionControl {
    fn algorithm(&self) -> &dyn Algorithm {
        match self {
            CongestionControl::Rfc9260(a) => a,
        }
    }

    fn algorithm_mut(&mut self) -> &mut dyn Algorithm {
        match self {
            CongestionControl::Rfc9260(a) => a,
        }
    }

    /// Congestion window.
    pub(crate) fn cwnd(&self) -> u32 {
        self.algorithm().cwnd()
    }

    /// Slow start threshold.
    pub(crate) fn ssthresh(&self) -> u32 {
        self.algorithm().ssthresh()
    }

    /// The size of the largest DATA chunk on the path has changed.
    pub(crate) fn set_pmdcs(&mut self, pmdcs: u32) {
        self.algorithm_mut().set_pmdcs(pmdcs);
    }

    /// A SACK has arrived. Called before any reaction to losses that it reports.
    pub(crate) fn on_ack(&mut self, ack: AckInfo) {
        self.algorithm_mut().on_ack(ack);
    }

    /// The association enters fast recovery because of a loss on this path.
    pub(crate) fn on_fast_retransmit(&mut self) {
        self.algorithm_mut().on_fast_retransmit();
    }

    /// T3-rtx expired.
    pub(crate) fn on_timeout(&mut self) {
        self.algorithm_mut().on_timeout();
    }

    /// One RTO has passed without sending.
    pub(crate) fn on_idle(&mut self) {
        self.algorithm_mut().on_idle();
    }
}
