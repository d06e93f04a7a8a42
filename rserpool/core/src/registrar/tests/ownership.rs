//! Who may speak for an element.

use super::*;

/// Two associations; the first one has registered an element.
fn lab() -> (Lab, ChannelId, ChannelId) {
    let mut lab = Lab::new();
    let (owner, other) = (lab.up(&["10.0.0.1"]), lab.up(&["10.0.0.1"]));
    lab.register(owner, "pool", element(1)).unwrap();
    (lab, owner, other)
}

fn claim(lab: &mut Lab, channel: ChannelId) {
    let request = Registration { pool: handle("pool"), element: element(1) };
    lab.message(channel, AsapMessage::Registration(request));
}

/// The owner of the element was asked, and nobody was told anything.
#[track_caller]
fn asked(lab: &mut Lab, owner: ChannelId) {
    match lab.reply(owner) {
        AsapMessage::EndpointKeepAlive(m) => assert_eq!((m.home, m.id), (true, Some(PeId(1)))),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn answer(lab: &mut Lab, channel: ChannelId) -> Option<CauseCode> {
    match lab.reply(channel) {
        AsapMessage::RegistrationResponse(m) => m.error.map(|error| error.code()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_element_that_answers_stays_with_its_association() {
    let (mut lab, owner, other) = lab();
    claim(&mut lab, other);
    asked(&mut lab, owner);
    lab.pass(ms(900));
    lab.ack(owner, "pool", 1);
    assert_eq!(answer(&mut lab, other), Some(CauseCode::NON_UNIQUE_PE_ID));
    // The one that claimed it has no say.
    lab.down(other);
    assert_eq!(lab.members("pool"), [1]);
}

/// An element must not be dropped without a word: it would believe that it is registered.
#[test]
fn a_claim_that_is_given_up_costs_a_slow_element_nothing() {
    let (mut lab, owner, other) = lab();
    claim(&mut lab, other);
    asked(&mut lab, owner);
    lab.down(other);
    lab.pass(ms(1500));
    assert_eq!(lab.members("pool"), [1]);
    lab.ack(owner, "pool", 1);
    lab.pass(ms(4900));
    assert_eq!(lab.members("pool"), [1]);
    // One that never answers loses its association, too, and hears of it by that.
    claim_and_leave(&mut lab);
    lab.pass(ms(5000));
    assert_eq!((lab.members("pool"), lab.aborted()), (vec![], vec![owner]));
}

fn claim_and_leave(lab: &mut Lab) {
    let other = lab.up(&["10.0.0.1"]);
    claim(lab, other);
    lab.down(other);
}

#[test]
fn an_element_that_does_not_answer_for_a_second_goes_to_the_one_that_claims_it() {
    let (mut lab, owner, other) = lab();
    claim(&mut lab, other);
    asked(&mut lab, owner);
    lab.pass(ms(999));
    assert_eq!(lab.members("pool"), [1]);
    // Nobody but the owner can answer for it.
    lab.ack(other, "pool", 1);
    assert!(lab.sent().is_empty());
    lab.pass(ms(1));
    assert_eq!(lab.aborted(), [owner]);
    assert_eq!(answer(&mut lab, other), None);
    lab.down(other);
    assert!(lab.members("pool").is_empty());
}

#[test]
fn the_end_of_the_owner_decides_at_once() {
    let (mut lab, owner, other) = lab();
    claim(&mut lab, other);
    asked(&mut lab, owner);
    lab.down(owner);
    assert_eq!(answer(&mut lab, other), None);
    assert_eq!(lab.members("pool"), [1]);
    // Both are gone: so is the element.
    let (mut lab, owner, other) = self::lab();
    claim(&mut lab, other);
    asked(&mut lab, owner);
    lab.down(other);
    lab.down(owner);
    assert!(lab.members("pool").is_empty());
}

#[test]
fn one_claim_at_a_time() {
    let (mut lab, owner, other) = lab();
    let third = lab.up(&["10.0.0.1"]);
    claim(&mut lab, other);
    asked(&mut lab, owner);
    claim(&mut lab, third);
    assert_eq!(answer(&mut lab, third), Some(CauseCode::NON_UNIQUE_PE_ID));
}

#[test]
fn everybody_is_believed_when_that_is_wanted() {
    let mut lab = Lab::with(|c| c.loose_ownership = true);
    let (owner, other) = (lab.up(&["10.0.0.1"]), lab.up(&["10.0.0.1"]));
    lab.register(owner, "pool", element(1)).unwrap();
    lab.register(other, "pool", element(1)).unwrap();
    lab.down(owner);
    assert_eq!(lab.members("pool"), [1]);
    let third = lab.up(&["10.0.0.1"]);
    lab.deregister(third, "pool", 1);
    assert!(lab.members("pool").is_empty());
}
