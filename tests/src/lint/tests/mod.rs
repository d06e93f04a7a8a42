//! For every rule, a small conversation breaks it, and another one almost breaks it but keeps it.

mod capture;
mod closing;
mod data;
mod form;
mod handshake;
mod paths;
mod sack;
mod wire;

use std::collections::BTreeSet;

use super::rules::{self, Rule, Unless};
use wire::Wire;

/// Checks that the conversation breaks the rule.
#[track_caller]
fn broken(rule: &Rule, talk: impl FnOnce(&mut Wire)) {
    let mut wire = Wire::default();
    talk(&mut wire);
    let findings = wire.findings();
    assert!(findings.iter().any(|finding| finding.rule == rule), "{}: {findings:?}", rule.name);
}

/// Checks that the conversation breaks no rule.
#[track_caller]
fn kept(talk: impl FnOnce(&mut Wire)) {
    let mut wire = Wire::default();
    talk(&mut wire);
    let findings = wire.findings();
    assert!(findings.is_empty(), "{findings:?}");
}

#[test]
fn rules_have_names_of_their_own_and_tests() {
    let names: BTreeSet<&str> = rules::ALL.iter().map(|rule| rule.name).collect();
    assert_eq!(names.len(), rules::ALL.len());
    let tests = [
        include_str!("form.rs"),
        include_str!("handshake.rs"),
        include_str!("data.rs"),
        include_str!("sack.rs"),
        include_str!("paths.rs"),
        include_str!("closing.rs"),
    ]
    .concat();
    for rule in rules::ALL {
        let constant = rule.name.replace('-', "_").to_uppercase();
        assert!(
            tests.contains(&format!("broken(&rules::{constant},")),
            "no test breaks {}",
            rule.name
        );
        assert!(rule.says.ends_with('.') && !rule.section.is_empty(), "{}", rule.name);
    }
}

#[test]
fn exceptions_are_used_and_have_reasons() {
    for unless in Unless::ALL {
        assert!(rules::ALL.iter().any(|rule| rule.unless.contains(&unless)), "{unless:?}");
        assert!(unless.reason().len() > 40, "{unless:?}");
    }
}

/// A conversation with several faults that only complete and undisturbed captures at the sender
/// prove.
#[test]
fn exceptions_silence_their_rules() {
    let faulty = |wire: &mut Wire| {
        wire.associate();
        wire.left(wire::data(105, 0, 0, wire::WHOLE, b"a hole before"));
        wire.right(wire::sack(107, 10_000, &[], &[]));
        wire.right(wire::sack(99, 10_000, &[], &[]));
    };
    let broken = |change: fn(&mut Wire)| {
        let mut wire = Wire::default();
        faulty(&mut wire);
        change(&mut wire);
        wire.findings().iter().map(|finding| finding.rule.name).collect::<BTreeSet<_>>()
    };
    let hole = rules::TSNS_CONSECUTIVE.name;
    let (unsent, back) = (rules::SACK_SENT.name, rules::SACK_FORWARD.name);
    assert_eq!(broken(|_| ()), BTreeSet::from([hole, unsent, back]));
    assert_eq!(broken(|w| w.options.complete = false), BTreeSet::from([back]));
    assert_eq!(broken(|w| w.options.from = w.frames[0].time), BTreeSet::from([hole, unsent, back]));
    assert_eq!(broken(|w| w.options.from = w.frames[0].time + 1), BTreeSet::from([back]));
    assert_eq!(broken(|w| w.options.disturbed = true), BTreeSet::from([unsent, back]));
    assert_eq!(broken(|w| w.near.clear()), BTreeSet::from([unsent, back]));
    assert_eq!(broken(|w| w.dropped = 1), BTreeSet::from([back]));
    // A capture at the sender has the right order, whatever happens later on the way.
    assert_eq!(broken(|w| w.options.reordered = true), BTreeSet::from([hole, unsent, back]));
    let both = |w: &mut Wire| {
        w.options.reordered = true;
        w.near.clear();
    };
    assert_eq!(broken(both), BTreeSet::from([unsent]));
}
