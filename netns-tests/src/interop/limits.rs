//! What peers are known not to do. A scenario that fails and is not listed here fails its test; one that is listed and passes does so, too.

use crate::interop::matrix::Column;
use crate::interop::scenario::Side;

/// A known limit of a peer.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// The peer, over one link or all.
    pub columns: &'static [Column],
    /// Keys of the scenarios.
    pub scenarios: &'static [&'static str],
    /// Only when this end calls.
    pub caller: Option<Side>,
    /// Only over IPv6 or only over IPv4.
    pub v6: Option<bool>,
    /// What the peer does or does not: a sentence for the matrix.
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
}

/// All of them.
pub const LIMITS: &[Limit] = &[
    Limit {
        columns: &[Column::UsrsctpRaw],
        scenarios: &["cut"],
        caller: None,
        v6: Some(false),
        reason: "usrsctp sends IPv4 packets into one network with its address of the other one, and providers drop such packets.",
    },
    Limit {
        columns: &[Column::ProtoUdp],
        scenarios: &["ppid"],
        caller: None,
        v6: None,
        reason: "sctp-proto knows the identifiers of WebRTC and turns all others into 58.",
    },
    Limit {
        columns: &[Column::ProtoUdp],
        scenarios: &["shutdown-theirs"],
        caller: None,
        v6: None,
        reason: "The SHUTDOWN of sctp-proto acknowledges a TSN that was never sent, which ends the association.",
    },
    Limit {
        columns: &[Column::ProtoUdp],
        scenarios: &["abort-theirs"],
        caller: None,
        v6: None,
        reason: "sctp-proto closes associations without an ABORT.",
    },
    Limit {
        columns: &[Column::ProtoUdp],
        scenarios: &["restart-ours", "restart-theirs", "reborn-ours", "reborn-theirs"],
        caller: None,
        v6: None,
        reason: "sctp-proto knows no restarts; to packets of an association that it does not know it answers nothing, and such answers of others it does not understand.",
    },
    Limit {
        columns: &[Column::ProtoUdp],
        scenarios: &["cut"],
        caller: None,
        v6: None,
        reason: "sctp-proto has one address.",
    },
    Limit {
        columns: &[Column::ProtoUdp],
        scenarios: &["slow-theirs"],
        caller: None,
        v6: None,
        reason: "sctp-proto forgets what was not read when the association ends.",
    },
    Limit {
        columns: &[Column::ProtoUdp],
        scenarios: &["extensions-on", "extensions-off"],
        caller: None,
        v6: None,
        reason: "sctp-proto has no switches for its extensions.",
    },
];
