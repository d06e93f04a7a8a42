//! Registrars that say to be the home of elements of others, and that others are dead.

use rserpool_wire::{
    EnrpBody, EnrpMessage, HandleTableResponse, HandleUpdate, PoolEntry, UpdateAction,
};

use super::enrp::{REACH, asap_attempts, asap_up, asked_for_tables, meet, meet_at, say};
use super::*;

fn lab() -> Lab {
    let mut lab = Lab::with(|config| config.enrp = Some(EnrpConfig::with_peers(Vec::new())));
    lab.core.local.reach = REACH;
    lab
}

/// Element 1 of "pool" as the registrar `home` tells of it.
fn told_by(home: u32) -> PoolElement {
    let asap_transport = Some(SctpTransport::data_only(5000, vec![[10, 0, 0, 1].into()]));
    PoolElement { home: ServerId(home), asap_transport, ..element(1) }
}

fn update(lab: &mut Lab, channel: ChannelId, from: u32, action: UpdateAction) {
    let (takeover_suggested, pool, element) = (false, handle("pool"), told_by(from));
    let update = HandleUpdate { takeover_suggested, action, pool, element };
    say(lab, channel, from, EnrpBody::HandleUpdate(update));
}

fn home(lab: &Lab) -> Option<u32> {
    let space = lab.core.handlespace();
    let key = space.find(&handle("pool"), PeId(1))?;
    Some(space.get(key)?.info().home.0)
}

/// How often `channel` was told that the element is ours, and what else happened.
fn told(lab: &mut Lab, channel: ChannelId) -> (usize, Vec<RegistrarEvent>) {
    let (mut told, mut events) = (0, Vec::new());
    for output in std::mem::take(&mut lab.outputs) {
        match output {
            Output::Send { channel: to, ppid: ppid::ENRP, data } if to == channel => {
                if let EnrpBody::HandleUpdate(m) = EnrpMessage::decode(&data).unwrap().body {
                    assert_eq!((m.action, m.element.home), (UpdateAction::AddPe, SERVER));
                    told += 1;
                }
            }
            Output::Event(event) => events.push(event),
            _ => {}
        }
    }
    (told, events)
}

/// The element ends the association with us if it believes another registrar. As long as it does
/// not, and answers, nobody gets it, however often somebody says to be its home.
#[test]
fn nobody_gets_an_element_that_has_registered_here_and_answers() {
    for rival in [2, 0xf000_0000] {
        let mut lab = lab();
        let pe = lab.up(&["10.0.0.1"]);
        lab.register(pe, "pool", element(1)).unwrap();
        let other = meet_at(&mut lab, ChannelId::incoming(77), rival, 77);
        lab.outputs.clear();
        for _ in 0..20 {
            update(&mut lab, other, rival, UpdateAction::AddPe);
            lab.ack(pe, "pool", 1);
            assert_eq!(home(&lab), Some(SERVER.0));
            lab.pass(ms(500));
        }
        let (told, events) = told(&mut lab, other);
        assert_eq!(told, 3);
        let disputes = events.iter().filter(|e| matches!(e, RegistrarEvent::Disputed { .. }));
        assert_eq!(disputes.count(), 1);
        // One that has left belongs to whoever says so.
        lab.down(pe);
        update(&mut lab, other, rival, UpdateAction::AddPe);
        assert_eq!(home(&lab), Some(rival));
    }
}

/// An element of a dead registrar that we have taken over. It answers, but does not register. Gives
/// the association with it as well.
fn adopted() -> (Lab, ChannelId) {
    let mut lab = lab();
    let dead = meet(&mut lab, 9);
    update(&mut lab, dead, 9, UpdateAction::AddPe);
    lab.down(dead);
    lab.outputs.clear();
    lab.pass(ms(1600));
    let contacts = asap_attempts(&mut lab);
    let channel = *contacts.last().unwrap();
    asap_up(&mut lab, channel, "10.0.0.1");
    lab.ack(channel, "pool", 1);
    assert_eq!(home(&lab), Some(SERVER.0));
    (lab, channel)
}

#[test]
fn of_two_that_an_element_answers_the_smaller_identifier_keeps_it() {
    // The smaller one insists once, so that we know that it has asked, too.
    let (mut lab, pe) = adopted();
    let smaller = meet(&mut lab, 2);
    for expected in [SERVER.0, 2] {
        update(&mut lab, smaller, 2, UpdateAction::AddPe);
        lab.ack(pe, "pool", 1);
        assert_eq!(home(&lab), Some(expected));
    }
    // The larger one is told three times. When it goes on, it must have the better reason.
    let (mut lab, pe) = adopted();
    let larger = meet_at(&mut lab, ChannelId::incoming(77), 0xf000_0000, 77);
    for expected in [SERVER.0, SERVER.0, SERVER.0, 0xf000_0000] {
        update(&mut lab, larger, 0xf000_0000, UpdateAction::AddPe);
        lab.ack(pe, "pool", 1);
        assert_eq!(home(&lab), Some(expected));
    }
    // As soon as the element registers, nobody gets it any more.
    let (mut lab, pe) = adopted();
    let smaller = meet(&mut lab, 2);
    let registration = Registration { pool: handle("pool"), element: element(1) };
    lab.message(pe, AsapMessage::Registration(registration));
    for _ in 0..5 {
        update(&mut lab, smaller, 2, UpdateAction::AddPe);
        lab.ack(pe, "pool", 1);
        assert_eq!(home(&lab), Some(SERVER.0));
    }
}

/// What the home 2 of the element answers when its table is asked for.
fn answer_table(lab: &mut Lab, channel: ChannelId) {
    let pools = vec![PoolEntry { pool: handle("pool"), elements: vec![told_by(2)] }];
    let response = HandleTableResponse { rejected: false, more: false, pools };
    say(lab, channel, 2, EnrpBody::HandleTableResponse(response));
    lab.pass(ms(1));
}

fn presence(lab: &mut Lab, channel: ChannelId) {
    let checksum = Some(0x1234);
    let presence = rserpool_wire::Presence { reply_required: false, checksum, info: None };
    say(lab, channel, 2, EnrpBody::Presence(presence));
}

/// Two registrars dispute over an element in the presence of a third one, and only the third one
/// hears what the liar says.
#[test]
fn a_home_contradicts_whoever_takes_its_elements_from_it() {
    for deletes in [0, 1, 3] {
        let mut lab = lab();
        let (real, liar) = (meet(&mut lab, 2), meet(&mut lab, 3));
        lab.pass(ms(5000));
        let real = if lab.aborted().contains(&real) { meet(&mut lab, 2) } else { real };
        let liar = if lab.aborted().contains(&liar) { meet(&mut lab, 3) } else { liar };
        update(&mut lab, real, 2, UpdateAction::AddPe);
        update(&mut lab, liar, 3, UpdateAction::AddPe);
        // It may have moved.
        assert_eq!(home(&lab), Some(3));
        for _ in 0..deletes {
            update(&mut lab, liar, 3, UpdateAction::AddPe);
            update(&mut lab, liar, 3, UpdateAction::DelPe);
            assert_eq!(home(&lab), None);
        }
        lab.outputs.clear();
        presence(&mut lab, real);
        assert_eq!(asked_for_tables(&mut lab), [real]);
        answer_table(&mut lab, real);
        assert_eq!(home(&lab), Some(2));
        // From now on it can say what it likes.
        for action in [UpdateAction::AddPe, UpdateAction::DelPe, UpdateAction::AddPe] {
            update(&mut lab, liar, 3, action);
            assert_eq!(home(&lab), Some(2));
        }
        // When the home is dead, somebody else may have it.
        lab.down(real);
        update(&mut lab, liar, 3, UpdateAction::AddPe);
        assert_eq!(home(&lab), Some(3));
    }
}

/// Nobody has a registrar taken over by saying that it is dead.
#[test]
fn a_registrar_that_lives_is_not_taken_over() {
    let mut lab = lab();
    let (victim, liar) = (meet(&mut lab, 4), meet(&mut lab, 3));
    update(&mut lab, victim, 4, UpdateAction::AddPe);
    // It was not heard for a while, as is usual between two presences.
    lab.pass(ms(2000));
    lab.outputs.clear();
    say(&mut lab, liar, 3, EnrpBody::InitTakeover(ServerId(4)));
    say(&mut lab, liar, 3, EnrpBody::TakeoverServer(ServerId(4)));
    lab.pass(ms(100));
    assert_eq!(home(&lab), Some(4));
    assert!(acknowledged(&mut lab).is_empty());
    say(&mut lab, victim, 4, EnrpBody::ListRequest);
    lab.pass(ms(3000));
    assert!(acknowledged(&mut lab).is_empty());
    // When it is silent, all who have asked get their answer.
    let second = meet(&mut lab, 2);
    for (channel, from) in [(liar, 3), (second, 2)] {
        say(&mut lab, channel, from, EnrpBody::InitTakeover(ServerId(4)));
    }
    assert!(acknowledged(&mut lab).is_empty());
    lab.pass(ms(1600));
    assert_eq!(acknowledged(&mut lab), [second, liar]);
    say(&mut lab, second, 2, EnrpBody::TakeoverServer(ServerId(4)));
    lab.pass(ms(1));
    assert_eq!(home(&lab), Some(2));
}

/// Where takeovers were agreed to.
fn acknowledged(lab: &mut Lab) -> Vec<ChannelId> {
    let ack = |output| match output {
        Output::Send { channel, ppid: ppid::ENRP, data } => {
            let body = EnrpMessage::decode(&data).unwrap().body;
            matches!(body, EnrpBody::InitTakeoverAck(_)).then_some(channel)
        }
        _ => None,
    };
    std::mem::take(&mut lab.outputs).into_iter().filter_map(ack).collect()
}
