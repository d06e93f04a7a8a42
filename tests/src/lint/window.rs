//! Rules about how much data may be in flight.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::data::Sent;
use super::events::Seen;
use super::{Judge, rules};

/// The room that the receiver of a flow has announced, as a position in the bytes of the flow. The
/// furthest position counts, because it is not known which announcements have reached the sender.
#[derive(Debug, Default)]
pub(super) struct Window {
    /// The position up to which the receiver has allowed the sender to send.
    edge: u64,
    /// The largest window so far, for acknowledgements without one.
    widest: u64,
    /// How many bytes come before each offset, up to the first hole.
    before: Vec<u64>,
    /// Whether something was acknowledged that was not captured.
    lost: bool,
    /// Whether the first flight is over: something was acknowledged, or was sent again after its
    /// timer had expired.
    acknowledged: bool,
    /// How many bytes were sent to each address before the first acknowledgement, with the chunk
    /// headers.
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

    /// Judges and notes new DATA.
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

    /// Notes an acknowledgement; `gaps` are offsets.
    pub(super) fn acknowledge(&mut self, cum: i64, gaps: &[(i64, i64)], window: Option<u32>) {
        self.acknowledged = true;
        let window = window.map_or(self.widest, u64::from);
        self.widest = self.widest.max(window);
        // Chunks that are missing before the last gap block may be marked for retransmission. Then
        // they are not outstanding.
        let last = gaps.iter().map(|(_, end)| *end).fold(cum, i64::max);
        match usize::try_from(last + 1).ok().and_then(|at| self.before.get(at)) {
            Some(before) => self.edge = self.edge.max(before + window),
            None => self.lost = true,
        }
    }

    /// Notes that something was sent again. A timer may have expired, and then nothing is
    /// outstanding any more.
    pub(super) fn sent_again(&mut self) {
        self.acknowledged = true;
        let sent = self.before.last().copied().unwrap_or(0);
        self.edge = self.edge.max(sent + self.widest);
    }
}

/// The most bytes before the first acknowledgement: the initial congestion window, and the chunk
/// that may exceed it.
fn largest_burst(mtu: usize) -> u64 {
    // IPv4 without UDP has the largest chunks.
    let chunk = (mtu.saturating_sub(20 + 12) / 4 * 4) as u64;
    (4 * chunk).min((2 * chunk).max(4404)) + chunk - 1
}
