//! Other implementations on benches, and the rules of the [lint](workspace_tests::lint) that they
//! are known to break.

use workspace_tests::lint::Finding;
use workspace_tests::lint::rules::{self, Rule};

use Implementation::{Linux, SctpProto, Usrsctp};

/// Another implementation of SCTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Implementation {
    /// The kernel of the peer VM.
    Linux,
    /// usrsctp, in Debian's version.
    Usrsctp,
    /// sctp-proto.
    SctpProto,
}

impl Implementation {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Implementation::Linux => "Linux",
            Implementation::Usrsctp => "usrsctp",
            Implementation::SctpProto => "sctp-proto",
        }
    }
}

/// A rule that an implementation may break. A test fails when it breaks any other rule.
#[derive(Clone, Copy, Debug)]
pub struct Exception {
    /// The implementation.
    pub of: Implementation,
    /// The rule.
    pub rule: &'static Rule,
    /// What the implementation does, and why the test is not to blame: a sentence.
    pub reason: &'static str,
}

impl Exception {
    /// The exception that covers a finding about `of`, if there is one.
    pub fn of(of: Implementation, finding: &Finding) -> Option<&'static Exception> {
        EXCEPTIONS.iter().find(|exception| exception.of == of && exception.rule == finding.rule)
    }
}

/// All of them.
pub const EXCEPTIONS: &[Exception] = &[
    may(Linux, &rules::KNOWN_PARAMETERS, "It offers its extensions."),
    may(Usrsctp, &rules::KNOWN_PARAMETERS, "It offers its extensions."),
    may(
        Usrsctp,
        &rules::SACK_ANSWERS,
        "A SACK that it owed to a peer before the peer's restart is sent after it, with the COOKIE \
         ACK.",
    ),
    may(
        Usrsctp,
        &rules::INIT_ACK_TO_SOURCE,
        "It answers INITs over IPv4, directly in IP, with its address in another network.",
    ),
    may(
        Usrsctp,
        &rules::UNCONFIRMED,
        "Its IPv4 packets have wrong sources, so its HEARTBEATs get no answers, and it sends to \
         unconfirmed addresses.",
    ),
    may(SctpProto, &rules::KNOWN_PARAMETERS, "It offers its extensions."),
    may(SctpProto, &rules::SACK_SENT, "Its SHUTDOWN acknowledges one of its own TSNs."),
    may(SctpProto, &rules::SACK_FORWARD, "Its SHUTDOWN acknowledges one of its own TSNs."),
];

const fn may(of: Implementation, rule: &'static Rule, reason: &'static str) -> Exception {
    Exception { of, rule, reason }
}

/// The exceptions as a table in Markdown.
pub fn table() -> String {
    let mut table =
        "| implementation | rule | why it may be broken |\n| --- | --- | --- |\n".to_owned();
    for Exception { of, rule, reason } in EXCEPTIONS {
        table += &format!("| {} | `{}` | {reason} |\n", of.name(), rule.name);
    }
    table
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn finding(rule: &'static Rule) -> Finding {
        let from = Ipv4Addr::LOCALHOST.into();
        Finding { rule, capture: "test".to_owned(), packet: 1, from, what: "test".to_owned() }
    }

    #[test]
    fn exceptions_hold_for_one_implementation_and_one_rule() {
        let found = |of, rule| Exception::of(of, &finding(rule)).map(|exception| exception.of);
        assert_eq!(
            found(Implementation::SctpProto, &rules::SACK_SENT),
            Some(Implementation::SctpProto)
        );
        assert_eq!(found(Implementation::Linux, &rules::SACK_SENT), None);
        assert_eq!(found(Implementation::SctpProto, &rules::RECEIVER_TAG), None);
    }

    #[test]
    fn exceptions_are_listed_once_each_and_in_the_documents() {
        for (number, exception) in EXCEPTIONS.iter().enumerate() {
            let same = |other: &Exception| other.of == exception.of && other.rule == exception.rule;
            assert!(!EXCEPTIONS[..number].iter().any(same), "{exception:?} twice");
            assert!(
                exception.reason.len() > 20 && exception.reason.ends_with('.'),
                "{exception:?}"
            );
        }
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/testing.md");
        let text = std::fs::read_to_string(file).expect("docs/testing.md");
        let missing = table().lines().find(|line| !text.contains(line)).map(str::to_owned);
        assert!(text.contains(&table()), "docs/testing.md lacks or misplaces: {missing:?}");
    }
}
