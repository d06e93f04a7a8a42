//! What is known of a path whose other end may have no SCTP any more, as ICMP says.

use crate::time::{Duration, Time};

/// What ICMP, and the user, have said since a packet arrived by the path last. A packet from there
/// sets it back to `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Nothing.
    #[default]
    None,
    /// The user suspects that the peer is dead.
    Suspected(Patience),
    /// ICMP has said that there is no SCTP at the other end, for the first time at `at`. The user
    /// may have had a suspicion before or after.
    Since { at: Time, suspected: Option<Patience> },
}

/// How long errors must continue before they are believed, in milliseconds. Two bytes, because it
/// is kept for every path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Patience(u16);

impl Patience {
    /// The time in whole milliseconds, at most 65 s.
    pub(crate) fn new(time: Duration) -> Self {
        Patience(u16::try_from(time.as_millis()).unwrap_or(u16::MAX))
    }

    pub(crate) fn get(self) -> Duration {
        Duration::from_millis(self.0.into())
    }
}

impl Refusal {
    /// ICMP says that there is no SCTP at the other end.
    pub(crate) fn on_error(&mut self, now: Time) {
        match *self {
            Refusal::None => *self = Refusal::Since { at: now, suspected: None },
            Refusal::Suspected(patience) => {
                *self = Refusal::Since { at: now, suspected: Some(patience) };
            }
            Refusal::Since { .. } => {}
        }
    }

    /// The user suspects that the peer is dead. Of several suspicions, the least patient counts.
    pub(crate) fn suspect(&mut self, patience: Patience) {
        let least = self.suspected().map_or(patience, |known| known.min(patience));
        *self = match *self {
            Refusal::None | Refusal::Suspected(_) => Refusal::Suspected(least),
            Refusal::Since { at, .. } => Refusal::Since { at, suspected: Some(least) },
        };
    }

    /// The patience of a suspicion.
    pub(crate) fn suspected(self) -> Option<Patience> {
        match self {
            Refusal::None => None,
            Refusal::Suspected(patience) => Some(patience),
            Refusal::Since { suspected, .. } => suspected,
        }
    }

    /// When ICMP first said that there is no SCTP.
    pub(crate) fn since(self) -> Option<Time> {
        match self {
            Refusal::Since { at, .. } => Some(at),
            Refusal::None | Refusal::Suspected(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_as_small_as_a_time_that_may_be_missing() {
        assert_eq!(size_of::<Refusal>(), size_of::<Option<Time>>());
    }

    #[test]
    fn the_first_error_and_the_least_patience_count() {
        let patience = |ms| Patience::new(Duration::from_millis(ms));
        let mut refusal = Refusal::None;
        refusal.suspect(patience(500));
        refusal.suspect(patience(100_000));
        refusal.on_error(Time::from_millis(1));
        refusal.on_error(Time::from_millis(2));
        assert_eq!(refusal.since(), Some(Time::from_millis(1)));
        assert_eq!(refusal.suspected(), Some(patience(500)));
        refusal.suspect(patience(20));
        refusal.suspect(patience(30));
        assert_eq!(refusal.suspected().map(Patience::get), Some(Duration::from_millis(20)));
        assert_eq!(refusal.since(), Some(Time::from_millis(1)));
    }
}
