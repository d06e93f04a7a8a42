//! Keeps account of the demo: which numbers were sent and answered, and what followed each kill.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::programs::pingpongclient::ClientEvent;

/// The longest allowed time of a failover, from the kill to the next Pong.
const FAILOVER_LIMIT: Duration = Duration::from_secs(1);
/// The longest allowed time of a takeover, from the kill of the registrar until its server is
/// registered with another one.
const TAKEOVER_LIMIT: Duration = Duration::from_secs(1);

/// Everything that decides about success. Times count from the start of the demo.
#[derive(Debug)]
pub(crate) struct Ledger {
    failover_limit: Duration,
    takeover_limit: Duration,
    sent: BTreeSet<u64>,
    sent_again: u64,
    /// How many Pongs the user got for each message number.
    pongs: BTreeMap<u64, u64>,
    /// How many Pongs carried each reply number, from all pool elements together.
    replies: BTreeMap<u64, u64>,
    dropped: u64,
    serving: Option<u32>,
    kills: Vec<Kill>,
    takeover: Option<Takeover>,
}

/// What followed when the registrar of the servers was killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Takeover {
    /// When it was killed.
    at: Duration,
    /// When its server was registered with another registrar.
    done: Option<Duration>,
}

impl Takeover {
    /// The time from the kill to the registration with another registrar.
    pub(crate) fn time(&self) -> Option<Duration> {
        self.done.map(|done| done.saturating_sub(self.at))
    }
}

/// A killed pool element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kill {
    /// When.
    pub(crate) at: Duration,
    /// Its identifier.
    pub(crate) pe: u32,
    /// The Pings that were unanswered at that moment.
    pub(crate) in_flight: Vec<u64>,
    /// The first Pong of another pool element after the kill.
    pub(crate) next_pong: Option<NextPong>,
}

/// The Pong that ended a failover.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NextPong {
    /// When.
    pub(crate) at: Duration,
    /// Its number.
    pub(crate) number: u64,
    /// Its reply number.
    pub(crate) reply: u64,
    /// The pool element that sent it.
    pub(crate) pe: u32,
}

impl Kill {
    /// The time from the kill to the next Pong.
    pub(crate) fn failover(&self) -> Option<Duration> {
        self.next_pong.map(|pong| pong.at.saturating_sub(self.at))
    }
}

impl Ledger {
    /// Empty accounts. Failovers may take `patience` times longer than promised.
    pub(crate) fn new(patience: u32) -> Ledger {
        Ledger {
            failover_limit: FAILOVER_LIMIT * patience,
            takeover_limit: TAKEOVER_LIMIT * patience,
            sent: BTreeSet::new(),
            sent_again: 0,
            pongs: BTreeMap::new(),
            replies: BTreeMap::new(),
            dropped: 0,
            serving: None,
            kills: Vec::new(),
            takeover: None,
        }
    }

    /// Whether a failover may take this long.
    pub(crate) fn is_in_time(&self, failover: Duration) -> bool {
        failover < self.failover_limit
    }

    /// Takes an event of the client. Returns the failover that this event completed.
    pub(crate) fn event(&mut self, at: Duration, event: &ClientEvent) -> Option<&Kill> {
        match *event {
            ClientEvent::Session { pe, .. } => self.serving = Some(pe),
            ClientEvent::Lost { .. } => self.serving = None,
            ClientEvent::Sent { number, again } => {
                self.sent.insert(number);
                self.sent_again += u64::from(again);
            }
            ClientEvent::Pong { number, reply, pe, .. } => {
                *self.pongs.entry(number).or_default() += 1;
                *self.replies.entry(reply).or_default() += 1;
                let kill = self
                    .kills
                    .last_mut()
                    .filter(|kill| kill.next_pong.is_none() && kill.pe != pe)?;
                kill.next_pong = Some(NextPong { at, number, reply, pe });
                return self.kills.last();
            }
            ClientEvent::Dropped { .. } => self.dropped += 1,
            ClientEvent::Note { .. } | ClientEvent::Finished { .. } => {}
        }
        None
    }

    /// The pool element that the client's session is with.
    pub(crate) fn serving(&self) -> Option<u32> {
        self.serving
    }

    /// The Pings without a Pong so far.
    pub(crate) fn in_flight(&self) -> Vec<u64> {
        if self.in_flight_count() == 0 {
            return Vec::new();
        }
        self.sent.iter().filter(|number| !self.pongs.contains_key(number)).copied().collect()
    }

    /// How many Pings have no Pong so far.
    pub(crate) fn in_flight_count(&self) -> usize {
        self.sent.len().saturating_sub(self.pongs.len())
    }

    /// Notes that a pool element was killed now.
    pub(crate) fn killed(&mut self, at: Duration, pe: u32) -> &Kill {
        let kill = Kill { at, pe, in_flight: self.in_flight(), next_pong: None };
        self.kills.push(kill);
        &self.kills[self.kills.len() - 1]
    }

    /// Notes that the registrar was killed now.
    pub(crate) fn registrar_killed(&mut self, at: Duration) {
        self.takeover = Some(Takeover { at, done: None });
    }

    /// Notes that a server has registered again. Returns the time since the kill if this completed
    /// the takeover.
    pub(crate) fn registered_again(&mut self, at: Duration) -> Option<Duration> {
        let takeover = self.takeover.as_mut().filter(|takeover| takeover.done.is_none())?;
        takeover.done = Some(at);
        takeover.time()
    }

    /// What followed the kill of the registrar, if it was killed.
    pub(crate) fn takeover(&self) -> Option<Takeover> {
        self.takeover
    }

    /// Whether a takeover may take this long.
    pub(crate) fn is_takeover_in_time(&self, takeover: Duration) -> bool {
        takeover < self.takeover_limit
    }

    /// All kills so far.
    pub(crate) fn kills(&self) -> &[Kill] {
        &self.kills
    }

    /// How many numbers were used.
    pub(crate) fn sent(&self) -> usize {
        self.sent.len()
    }

    /// How many Pings were sent a second time.
    pub(crate) fn sent_again(&self) -> u64 {
        self.sent_again
    }

    /// How many numbers have a Pong.
    pub(crate) fn answered(&self) -> usize {
        self.pongs.len()
    }

    /// The numbers without a Pong.
    pub(crate) fn lost(&self) -> Vec<u64> {
        self.in_flight()
    }

    /// How many Pongs the user got beyond the first of each number.
    pub(crate) fn doubled(&self) -> u64 {
        self.pongs.values().map(|n| n - 1).sum()
    }

    /// How many second Pongs the client dropped.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// The reply numbers that several Pongs carried. This may happen once per kill: the cookie
    /// after the last reply may be lost with the element.
    pub(crate) fn repeated_replies(&self) -> Vec<u64> {
        self.replies.iter().filter(|(_, n)| **n > 1).map(|(reply, _)| *reply).collect()
    }

    /// The promises that were not kept, in sentences. Empty means success.
    pub(crate) fn complaints(&self, kills_wanted: usize) -> Vec<String> {
        let mut complaints = Vec::new();
        let lost = self.lost();
        if self.sent.is_empty() {
            complaints.push("no ping was sent".to_owned());
        }
        if !lost.is_empty() {
            complaints.push(format!(
                "{} pings have no pong, the first is #{}",
                lost.len(),
                lost[0]
            ));
        }
        if self.doubled() > 0 {
            complaints.push(format!("{} pongs were given to the user twice", self.doubled()));
        }
        if self.kills.len() != kills_wanted {
            complaints.push(format!(
                "{} servers were killed instead of {kills_wanted}",
                self.kills.len()
            ));
        }
        for (i, kill) in self.kills.iter().enumerate() {
            let n = i + 1;
            if kill.in_flight.is_empty() {
                complaints.push(format!("kill {n} found no ping in flight"));
            }
            match kill.failover() {
                None => complaints.push(format!("no pong came after kill {n}")),
                Some(time) if !self.is_in_time(time) => {
                    complaints.push(format!("failover {n} took {} ms", time.as_millis()));
                }
                Some(_) => {}
            }
        }
        match self.takeover.map(|takeover| takeover.time()) {
            None => complaints.push("the registrar was not killed".to_owned()),
            Some(None) => complaints.push("nobody took over the killed registrar".to_owned()),
            Some(Some(time)) if !self.is_takeover_in_time(time) => {
                complaints.push(format!("the takeover took {} ms", time.as_millis()));
            }
            Some(Some(_)) => {}
        }
        complaints
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn sent(number: u64) -> ClientEvent {
        ClientEvent::Sent { number, again: false }
    }

    fn pong(number: u64, reply: u64, pe: u32) -> ClientEvent {
        ClientEvent::Pong { number, reply, pe, rtt_us: 1 }
    }

    /// Three pings: PE 1 is killed after the first Pong, and PE 2 answers the rest.
    fn one_failover(next_pong_at: Duration) -> Ledger {
        let mut ledger = Ledger::new(1);
        ledger.event(MS, &ClientEvent::Session { pe: 1, resumed: false });
        for n in 1..=3 {
            ledger.event(MS, &sent(n));
        }
        assert_eq!(ledger.event(2 * MS, &pong(1, 1, 1)), None);
        assert_eq!(ledger.serving(), Some(1));
        assert_eq!(ledger.killed(10 * MS, 1).in_flight, [2, 3]);
        // It was in the pipe when the element was killed, so this is no failover yet.
        assert_eq!(ledger.event(11 * MS, &pong(2, 2, 1)), None);
        ledger.event(12 * MS, &ClientEvent::Lost { pe: Some(1), why: String::new() });
        assert_eq!(ledger.serving(), None);
        ledger.event(13 * MS, &ClientEvent::Session { pe: 2, resumed: true });
        ledger.event(13 * MS, &ClientEvent::Sent { number: 3, again: true });
        let done = ledger.event(next_pong_at, &pong(3, 2, 2)).cloned().unwrap();
        assert_eq!(done.failover(), Some(next_pong_at - 10 * MS));
        assert_eq!(ledger.registered_again(MS), None, "the registrar lives");
        ledger.registrar_killed(10 * MS);
        assert_eq!(ledger.registered_again(next_pong_at), Some(next_pong_at - 10 * MS));
        assert_eq!(ledger.registered_again(next_pong_at + MS), None, "it was complete");
        ledger
    }

    #[test]
    fn a_good_run_has_no_complaints() {
        let ledger = one_failover(60 * MS);
        assert_eq!(ledger.complaints(1), Vec::<String>::new());
        assert_eq!((ledger.sent(), ledger.sent_again(), ledger.answered()), (3, 1, 3));
        assert_eq!((ledger.doubled(), ledger.dropped(), ledger.lost()), (0, 0, vec![]));
        assert_eq!(ledger.repeated_replies(), [2]);
    }

    #[test]
    fn everything_broken_is_named() {
        let slow = one_failover(1010 * MS);
        let complaints = slow.complaints(1);
        assert!(complaints[0].contains("failover 1 took 1000 ms"), "{complaints:?}");
        assert!(complaints[1].contains("takeover took 1000 ms"), "{complaints:?}");
        // With patience there is no complaint.
        let Ledger { failover_limit, takeover_limit, .. } = Ledger::new(2);
        let patient = Ledger { failover_limit, takeover_limit, ..slow };
        assert_eq!(patient.complaints(1), Vec::<String>::new());
        let mut bad = one_failover(60 * MS);
        bad.event(MS, &sent(4));
        bad.event(MS, &pong(1, 3, 2));
        bad.killed(MS, 2);
        bad.registrar_killed(MS);
        let text = bad.complaints(3).join("\n");
        for part in ["#4", "twice", "instead of 3", "no pong came after kill 2", "nobody took over"]
        {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!Ledger::new(1).complaints(0).is_empty());
    }
}
