//! Rules about how much may be on its way.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::data::Sent;
use super::events::Seen;
use super::{Judge, rules};

/// What the receiver of a flow has room for, in bytes from the first one on. The furthest promise
/// counts: which of them the sender got is not known.
#[derive(Debug, Default)]
pub(super) struct Window {
    /// How far the receiver has allowed to send.
    edge: u64,
    /// The widest window of an acknowledgement, for those that name none.
    widest: u64,
    /// Bytes before each offset, as far as there is no hole.
    before: Vec<u64>,
    /// Something was acknowledged that was not captured.
    lost: bool,
    /// The first flight is over: something was acknowledged, or sent again after its timer had
    /// expired.
    acknowledged: bool,
    /// Bytes with their headers to each address before the first acknowledgement.
    burst: BTreeMap<IpAddr, u64>,
}

impl Window {
    pub(super) fn new(offered: u32) -> Window {
        Window {
            edge: offered.into(),
            widest: offered.into(),
            before: vec![0],
            ..Window::default()
        }
    }

    /// New DATA in a packet.
    pub(super) fn sent(&mut self, judge: &mut Judge<'_>, sent: &Sent, seen: &Seen, len: usize) {
        if !self.acknowledged {
            let burst = self.burst.entry(seen.dst).or_default();
            *burst += (len + 16).next_multiple_of(4) as u64;
            let (burst, limit) = (*burst, largest_burst(judge.options.mtu));
            judge.fault_if(burst > limit, &rules::INITIAL_BURST, seen, || {
                format!(
                    "{burst} bytes to {} before anything was acknowledged, where {limit} are \
                     allowed",
                    seen.dst
                )
            });
        }
        while let Some(record) = sent.chunks.get(&(self.before.len() as i64 - 1)) {
            let begin = self.before.last().copied().unwrap_or(0);
            let beyond = begin > self.edge && !self.lost;
            judge.fault_if(beyond, &rules::WINDOW, record.place, || {
                let tsn = sent.tsn(self.before.len() as i64 - 1);
                format!("TSN {tsn} begins {} bytes beyond the window", begin - self.edge)
            });
            self.before.push(begin + record.len as u64);
        }
    }

    /// An acknowledgement; `gaps` are offsets.
    pub(super) fn acknowledge(&mut self, cum: i64, gaps: &[(i64, i64)], window: Option<u32>) {
        self.acknowledged = true;
        let window = window.map_or(self.widest, u64::from);
        self.widest = self.widest.max(window);
        // What is missing before the last gap block may be marked for retransmission, and is not
        // outstanding then.
        let last = gaps.iter().map(|(_, end)| *end).fold(cum, i64::max);
        match usize::try_from(last + 1).ok().and_then(|at| self.before.get(at)) {
            Some(before) => self.edge = self.edge.max(before + window),
            None => self.lost = true,
        }
    }

    /// Something was sent again: perhaps a timer has expired, and nothing is outstanding any more.
    pub(super) fn sent_again(&mut self) {
        self.acknowledged = true;
        let sent = self.before.last().copied().unwrap_or(0);
        self.edge = self.edge.max(sent + self.widest);
    }
}

/// The initial congestion window, and the chunk that may exceed it.
fn largest_burst(mtu: usize) -> u64 {
    // IPv4 without UDP has the largest chunks.
    let chunk = (mtu.saturating_sub(20 + 12) / 4 * 4) as u64;
    (4 * chunk).min((2 * chunk).max(4404)) + chunk - 1
}
