//! Registrars that are dead, and who takes over their elements.

use rserpool_handlespace::PeChecksum;
use rserpool_wire::{
    EnrpBody, HandleUpdate, ListResponse, Presence, ServerInformation, UpdateAction,
};

use super::enrp::{REACH, Scope, asap_attempts, asap_up, asked_for_tables, meet, say};
use super::*;
use crate::asap::AsapEvent;

#[test]
fn a_killed_registrar_is_taken_over_by_the_smallest_identifier() {
    for registrars in [2, 3, 5] {
        let mut scope = Scope::new(registrars);
        // The last one dies; its elements know nobody else.
        let last = registrars - 1;
        let elements = [scope.element(21, last), scope.element(22, last)];
        scope.until(1000, |scope| scope.table(0).len() == 2);
        scope.world.kill(scope.registrars[last], false);
        let took = scope.until(3000, |scope| scope.all_know(&[(21, 1), (22, 1)]));
        assert!(took < 1000, "{registrars} registrars: {took} ms");
        // The elements obey, and their users find them.
        scope.pass(2000);
        for host in elements {
            let events = scope.element_events(host);
            assert!(
                events.iter().any(|event| matches!(event, AsapEvent::NewHome(_))),
                "{events:?}"
            );
        }
        let owned = scope.core(0).handlespace();
        assert!(
            owned.elements_of_home(ServerId(1)).all(|key| owned
                .get(key)
                .unwrap()
                .owner()
                .is_some())
        );
        scope.pass(60_000);
        assert!(scope.all_know(&[(21, 1), (22, 1)]), "{:?}", scope.tables());
        let won =
            scope.events(0).iter().filter(|e| matches!(e, RegistrarEvent::TookOver { .. })).count();
        assert_eq!(won, 1);
    }
}

#[test]
fn a_registrar_that_is_silent_is_taken_over_within_six_seconds() {
    for registrars in [2, 3] {
        let mut scope = Scope::new(registrars);
        let last = registrars - 1;
        let element = scope.element(21, last);
        scope.until(1000, |scope| scope.table(0).len() == 1);
        let silent = scope.registrars[last];
        for other in 0..last {
            scope.world.net.cut(silent, scope.registrars[other]);
        }
        scope.world.net.cut(silent, element);
        let took = scope.until(10_000, |scope| {
            (0..registrars - 1).all(|index| scope.table(index) == [(21, 1)])
        });
        assert!(took < 6000, "{registrars} registrars: {took} ms");
    }
}

#[test]
fn the_larger_identifier_wins_where_the_rfc_rules() {
    let mut scope = Scope::with(3, |config| {
        config.enrp.as_mut().unwrap().takeover_rule = TakeoverRule::LargerId;
    });
    scope.element(21, 0);
    scope.until(1000, |scope| scope.table(1).len() == 1);
    scope.world.kill(scope.registrars[0], false);
    scope.until(3000, |scope| scope.all_know(&[(21, 3)]));
}

#[test]
fn a_registrar_that_restarts_with_the_same_identifier_takes_its_elements_back() {
    let mut scope = Scope::new(3);
    scope.element(21, 2);
    scope.until(1000, |scope| scope.table(0).len() == 1);
    scope.world.kill(scope.registrars[2], false);
    scope.start(2, 3, |_| {});
    scope.until(60_000, |scope| {
        let tables = scope.tables();
        tables.iter().all(|table| *table == tables[0]) && tables[0].len() == 1
    });
    scope.pass(40_000);
    let tables = scope.tables();
    assert!(tables.iter().all(|table| table.len() == 1 && *table == tables[0]), "{tables:?}");
}

/// Elements get their new home in slices. Meanwhile a presence of the registrar that took them over
/// counts them already, and that is no reason to ask for its table.
#[test]
fn a_takeover_in_slices_needs_no_audit() {
    let mut lab = Lab::with(|config| config.enrp = Some(EnrpConfig::with_peers(Vec::new())));
    let (winner, dead) = (meet(&mut lab, 2), meet(&mut lab, 3));
    let mut sum = PeChecksum::EMPTY;
    for id in 1..=600 {
        sum.add(&handle("pool"), PeId(id));
        let home = ServerId(3);
        let asap_transport = Some(SctpTransport::data_only(5000, vec![[10, 0, 0, 9].into()]));
        let element = PoolElement { home, asap_transport, ..element_at(id, &["10.0.0.9"]) };
        let (action, pool) = (UpdateAction::AddPe, handle("pool"));
        let update = HandleUpdate { takeover_suggested: false, action, pool, element };
        say(&mut lab, dead, 3, EnrpBody::HandleUpdate(update));
    }
    lab.down(dead);
    lab.pass(ms(1500));
    assert!(lab.events().contains(&RegistrarEvent::TakeoverBegun { target: ServerId(3) }));
    say(&mut lab, winner, 2, EnrpBody::TakeoverServer(ServerId(3)));
    let presence = |checksum| {
        let checksum = Some(checksum);
        EnrpBody::Presence(Presence { reply_required: false, checksum, info: None })
    };
    // The first slice, and the rest.
    for _ in 0..2 {
        lab.handle(Input::Timeout);
        say(&mut lab, winner, 2, presence(sum.value()));
        assert_eq!(asked_for_tables(&mut lab), []);
        assert_eq!(lab.core.stats().audits, 0);
    }
    lab.pass(ms(10));
    assert_eq!(lab.core.handlespace().count_of_home(ServerId(2)), 600);
    say(&mut lab, winner, 2, presence(sum.value()));
    assert_eq!(asked_for_tables(&mut lab), []);
    say(&mut lab, winner, 2, presence(sum.value() ^ 1));
    assert_eq!(asked_for_tables(&mut lab), [winner]);
}

/// Two registrars want to take over the same one at the same time, and a third one agrees with
/// both. It believes the one that wins, whoever asked first.
#[test]
fn whoever_asks_second_does_not_displace_the_winner() {
    for (first, second) in [(2, 3), (3, 2)] {
        let mut lab = Lab::with(|config| config.enrp = Some(EnrpConfig::with_peers(Vec::new())));
        let channels = [2, 3, 4].map(|id| meet(&mut lab, id));
        let channel = |id: u32| channels[id as usize - 2];
        let asap_transport = Some(SctpTransport::data_only(5000, vec![[10, 0, 0, 1].into()]));
        let element = PoolElement { home: ServerId(4), asap_transport, ..element(1) };
        let (action, pool) = (UpdateAction::AddPe, handle("pool"));
        let update = HandleUpdate { takeover_suggested: false, action, pool, element };
        say(&mut lab, channel(4), 4, EnrpBody::HandleUpdate(update));
        for id in [first, second] {
            say(&mut lab, channel(id), id, EnrpBody::InitTakeover(ServerId(4)));
        }
        lab.pass(ms(1400));
        for id in [2, 3] {
            say(&mut lab, channel(id), id, EnrpBody::ListRequest);
        }
        lab.pass(ms(200));
        say(&mut lab, channel(2), 2, EnrpBody::TakeoverServer(ServerId(4)));
        let taken = RegistrarEvent::TakenOverBy { target: ServerId(4), by: ServerId(2) };
        assert!(lab.events().contains(&taken), "{first} asked first");
    }
}

/// What was told of an element is wrong, and the element itself says so after it was taken over.
/// Then the false description must not stand in its way.
#[test]
fn an_element_contradicts_what_was_told_of_it() {
    let mut lab = Lab::with(|config| config.enrp = Some(EnrpConfig::with_peers(Vec::new())));
    lab.core.local.reach = REACH;
    let liar = meet(&mut lab, 3);
    for id in [1, 2] {
        let (home, policy) = (ServerId(3), Policy::Random);
        let asap_transport = Some(SctpTransport::data_only(5000, vec![[10, 0, 0, 9].into()]));
        let told = element_at(id, &["10.0.0.9"]);
        let element = PoolElement { home, policy, asap_transport, ..told };
        let (action, pool) = (UpdateAction::AddPe, handle("pool"));
        let update = HandleUpdate { takeover_suggested: false, action, pool, element };
        say(&mut lab, liar, 3, EnrpBody::HandleUpdate(update));
    }
    lab.down(liar);
    lab.outputs.clear();
    lab.pass(ms(1600));
    // Both are at one place, so one association leads to them.
    let contacts = asap_attempts(&mut lab);
    let contact = *contacts.last().unwrap();
    asap_up(&mut lab, contact, "10.0.0.9");
    lab.outputs.clear();
    let refused = lab.register(contact, "pool", element_at(1, &["10.0.0.9"]));
    assert_eq!(refused.err(), Some(CauseCode::INCONSISTENT_POLICY));
    assert_eq!(lab.members("pool"), [2]);
    // Now nobody but the second one itself stands behind the policy of the pool.
    for id in [2, 1] {
        lab.outputs.clear();
        lab.register(contact, "pool", element_at(id, &["10.0.0.9"])).unwrap();
    }
    assert_eq!(lab.members("pool"), [1, 2]);
}

/// Somebody who only says to live agrees to nothing. It holds a takeover up for a while, and not
/// for ever. A registrar whose list says that the target lives counts as long as it says so.
#[test]
fn whoever_keeps_silent_does_not_count_for_ever() {
    for lists in [None, Some(vec![]), Some(vec![2])] {
        let mut lab = Lab::with(|config| config.enrp = Some(EnrpConfig::with_peers(Vec::new())));
        lab.core.local.reach = REACH;
        let (dead, silent) = (meet(&mut lab, 2), meet(&mut lab, 3));
        let asap_transport = Some(SctpTransport::data_only(5000, vec![[10, 0, 0, 9].into()]));
        let told = element_at(1, &["10.0.0.9"]);
        let element = PoolElement { home: ServerId(2), asap_transport, ..told };
        let (action, pool) = (UpdateAction::AddPe, handle("pool"));
        let update = HandleUpdate { takeover_suggested: false, action, pool, element };
        say(&mut lab, dead, 2, EnrpBody::HandleUpdate(update));
        lab.down(dead);
        let mut took_over = None;
        for second in 0..60 {
            lab.pass(ms(1000));
            let presence = Presence { reply_required: false, checksum: None, info: None };
            say(&mut lab, silent, 3, EnrpBody::Presence(presence));
            if let Some(ids) = &lists {
                let server = |id: &u32| ServerInformation {
                    id: ServerId(*id),
                    transport: SctpTransport::data_only(5000, vec![[10, 0, 0, 2].into()]),
                    udp_port: Some(9899),
                };
                let servers = ids.iter().map(server).collect();
                let response = ListResponse { rejected: false, servers };
                say(&mut lab, silent, 3, EnrpBody::ListResponse(response));
            }
            let won = RegistrarEvent::TookOver { target: ServerId(2), elements: 1 };
            if took_over.is_none() && lab.events().contains(&won) {
                took_over = Some(second);
            }
        }
        match lists.as_deref() {
            Some([2]) => assert_eq!(took_over, None),
            _ => assert!(took_over.is_some_and(|at| (8..15).contains(&at)), "{took_over:?}"),
        }
    }
}

/// Its last element has moved to another registrar just before it died, so nobody else asks for it.
#[test]
fn who_takes_over_a_registrar_that_died_without_elements_is_heard() {
    let mut lab = Lab::with(|config| config.enrp = Some(EnrpConfig::with_peers(Vec::new())));
    let (other, dead) = (meet(&mut lab, 2), meet(&mut lab, 3));
    lab.down(dead);
    lab.pass(ms(1600));
    assert!(lab.events().contains(&RegistrarEvent::PeerLost { server: ServerId(3) }));
    say(&mut lab, other, 2, EnrpBody::TakeoverServer(ServerId(3)));
    let taken = RegistrarEvent::TakenOverBy { target: ServerId(3), by: ServerId(2) };
    assert_eq!(lab.events(), [taken]);
}
