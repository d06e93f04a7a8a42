//! Congestion control of one destination address.

mod rfc9260;

pub(crate) use rfc9260::Rfc9260;

/// What a SACK says about one path.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct AckInfo {
    /// Bytes (chunks with header and padding) newly acknowledged on this path, cumulatively or by
    /// gap blocks.
    pub(crate) newly_acked: u32,
    /// The window was fully used before the SACK.
    pub(crate) fully_used: bool,
    /// Nothing is in flight or marked lost on this path any more.
    pub(crate) all_acked: bool,
    /// The association is in fast recovery.
    pub(crate) in_fast_recovery: bool,
}

/// What every algorithm does; all sizes are bytes.
trait Algorithm {
    fn cwnd(&self) -> u32;
    fn ssthresh(&self) -> u32;
    fn set_pmdcs(&mut self, pmdcs: u32);
    fn on_ack(&mut self, ack: AckInfo);
    fn on_fast_retransmit(&mut self);
    fn on_timeout(&mut self);
    fn on_idle(&mut self);
}

/// The algorithm in use. An enum, so that no type parameter leaks into the association.
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

    /// The largest DATA chunk of the path changed.
    pub(crate) fn set_pmdcs(&mut self, pmdcs: u32) {
        self.algorithm_mut().set_pmdcs(pmdcs);
    }

    /// A SACK arrived; called before any loss reaction to the same SACK.
    pub(crate) fn on_ack(&mut self, ack: AckInfo) {
        self.algorithm_mut().on_ack(ack);
    }

    /// The association enters fast recovery because of loss on this path.
    pub(crate) fn on_fast_retransmit(&mut self) {
        self.algorithm_mut().on_fast_retransmit();
    }

    /// T3-rtx expired.
    pub(crate) fn on_timeout(&mut self) {
        self.algorithm_mut().on_timeout();
    }

    /// One RTO passed without sending.
    pub(crate) fn on_idle(&mut self) {
        self.algorithm_mut().on_idle();
    }
}
