//! The known limits of peers. A test fails when a scenario fails without a limit listed here. It
//! also fails when a scenario passes in spite of a listed limit, or fails in another way.

use crate::interop::matrix::Column;
use crate::interop::scenario::Side;

/// A known limit of a peer.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// The peer, over one link or all.
    pub columns: &'static [Column],
    /// Keys of the scenarios.
    pub scenarios: &'static [&'static str],
    /// If given, the limit holds only when this end calls.
    pub caller: Option<Side>,
    /// If given, the limit holds only over IPv6 (true) or only over IPv4 (false).
    pub v6: Option<bool>,
    /// One of these texts must be in the failure message or in the last lines of the ends.
    /// Otherwise the failure is not this limit.
    pub symptoms: &'static [&'static str],
    /// What the peer does wrong or cannot do: a sentence for the matrix.
    pub reason: &'static str,
}

impl Limit {
    /// The limit that holds for a variant of a scenario, if there is one.
    pub fn of(column: Column, scenario: &str, caller: Side, v6: bool) -> Option<&'static Limit> {
        LIMITS.iter().find(|limit| {
            limit.columns.contains(&column)
                && limit.scenarios.contains(&scenario)
                && limit.caller.is_none_or(|side| side == caller)
                && limit.v6.is_none_or(|only| only == v6)
        })
    }

    /// Whether this limit explains a failure.
    pub fn is_cause_of(&self, error: &str) -> bool {
        !error.contains("panicked at")
            && self.symptoms.iter().any(|symptom| error.contains(symptom))
    }
}

/// All of them.
pub const LIMITS: &[Limit] = &[
    Limit {
        columns: &[Column::UsrsctpRaw],
        scenarios: &["cut"],
        caller: None,
        v6: Some(false),
        symptoms: &["at the beginning: network 0 carries"],
        reason: "usrsctp sends IPv4 packets into one network with its address in the other one, \
                 and providers drop such packets.",
    },
    proto(
        &["ppid"],
        &["ppid 58, unordered false, is not that of 10 bytes"],
        "sctp-proto knows the identifiers of WebRTC and turns all others into 58.",
    ),
    proto(
        &["shutdown-theirs", "restart-theirs"],
        &["acknowledgement of a TSN that was never sent", "Theirs did not say 'done'"],
        "The SHUTDOWN of sctp-proto acknowledges one of its own TSNs. If this stack has not sent \
         that TSN, it ends the association; otherwise sctp-proto does not end after its SHUTDOWN \
         COMPLETE.",
    ),
    proto(
        &["abort-theirs"],
        // The peer's last words: it has come to its end, but sent no ABORT.
        &["aborted; done"],
        "sctp-proto closes associations without an ABORT.",
    ),
    proto(
        &["restart-ours"],
        &["wrong: the association is lost: aborted by peer (Restarted)"],
        RESTARTS,
    ),
    proto(
        &["reborn-ours"],
        &["Theirs did not say 'done' within 6s. Ours said at last: ready; up;"],
        RESTARTS,
    ),
    proto(
        &["reborn-theirs"],
        &["Ours did not say 'done' within 6s. Theirs said at last: ready; up;"],
        RESTARTS,
    ),
    proto(
        &["cut"],
        &["Theirs did not say 'up'", "Ours did not say 'up'"],
        "sctp-proto has one address.",
    ),
    proto(
        &["slow-theirs"],
        // Our end's last words: it noticed nothing wrong.
        &["graceful; done"],
        "sctp-proto forgets what was not read when the association ends.",
    ),
    proto(
        &["extensions-on", "extensions-off"],
        &["wrong: its extensions cannot be switched"],
        "sctp-proto has no switches for its extensions.",
    ),
];

const RESTARTS: &str = "sctp-proto does not support restarts. It does not answer packets of an \
                        association that it does not know, and it does not understand such \
                        answers from others.";

const fn proto(
    scenarios: &'static [&'static str],
    symptoms: &'static [&'static str],
    reason: &'static str,
) -> Limit {
    Limit { columns: &[Column::ProtoUdp], scenarios, caller: None, v6: None, symptoms, reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_failure_is_no_limit() {
        let limit = Limit::of(Column::ProtoUdp, "ppid", Side::Ours, true).unwrap();
        let known =
            "message 0 of 10 bytes on stream 0, ppid 58, unordered false, is not that of 10 bytes";
        assert!(limit.is_cause_of(known));
        assert!(!limit.is_cause_of("Ours did not say 'done' within 4s"));
        assert!(
            !limit
                .is_cause_of(&format!("{known}. Ours said at last: thread 'main' panicked at src"))
        );
        for limit in LIMITS {
            assert!(
                !limit.symptoms.is_empty()
                    && limit.symptoms.iter().all(|symptom| symptom.len() > 12)
            );
        }
    }
}
