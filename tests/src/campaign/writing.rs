//! Messages that are handed over in parts.

use sctp_user_core::sim::Cx;
use sctp_user_core::{AssocId, AssocState, SendError, Time};

use super::ledger::Ledger;
use super::scenario::Planned;

/// A message of which the stack has at least the first part.
pub(super) struct Writing {
    planned: Planned,
    flow: usize,
    /// Its number in the flow.
    number: usize,
    /// How many parts the stack has.
    given: usize,
    next_at: Time,
}

impl Writing {
    pub(super) fn new(planned: Planned, flow: usize, number: usize, now: Time) -> Self {
        let next_at = now + planned.pause;
        Writing { planned, flow, number, given: 1, next_at }
    }

    pub(super) fn stream(&self) -> u16 {
        self.planned.stream
    }

    pub(super) fn flow(&self) -> usize {
        self.flow
    }

    /// Whether the stack still has the parts that it was given. A user may begin a message before
    /// the association is up. If the peer then allows fewer streams, the stack gives it back.
    pub(super) fn can_go_on(&self, streams: u16) -> bool {
        self.planned.stream < streams
    }

    /// When the next part is due.
    pub(super) fn next_at(&self) -> Time {
        self.next_at
    }

    pub(super) fn is_complete(&self) -> bool {
        self.given == self.planned.parts
    }

    /// Hands over the next part if it is due, and returns whether the stack took it. Returns `None`
    /// if the message cannot be continued.
    pub(super) fn go_on(
        &mut self,
        cx: &mut Cx<'_>,
        id: AssocId,
        ledger: &mut Ledger,
    ) -> Option<bool> {
        if self.next_at > cx.now {
            return Some(false);
        }
        let part = ledger.part(self.flow, self.number, self.given, &self.planned);
        let result = cx.stack.send(cx.now, id, part);
        match result {
            Ok(()) => {
                ledger.part_accepted(self.flow, self.number);
                self.given += 1;
                self.next_at = cx.now + self.planned.pause;
                Some(true)
            }
            Err(SendError::WouldBlock) => Some(false),
            Err(SendError::CutOff) => {
                // The peer has restarted.
                ledger.flows[self.flow].broken = true;
                None
            }
            // There are fewer streams than the user expected.
            Err(SendError::InvalidStream { streams, .. }) if !self.can_go_on(streams) => None,
            Err(SendError::ShuttingDown | SendError::NotFound) => {
                if let Some(status) = cx.stack.status(id) {
                    assert!(
                        status.state != AssocState::ShutdownReceived
                            || !self.can_go_on(status.outbound_streams),
                        "what was begun can be finished"
                    );
                }
                None
            }
            Err(error) => panic!("the next part of a message: {error}"),
        }
    }
}
