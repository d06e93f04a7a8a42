//! Odd and hostile input: a defined reaction to everything.

use proptest::prelude::*;

use super::*;

#[test]
fn messages_that_are_not_for_registrars_are_ignored() {
    let mut lab = Lab::new();
    let pe = lab.up(&["10.0.0.1"]);
    lab.message(pe, AsapMessage::Cookie(Bytes::from_static(b"x")));
    lab.message(pe, AsapMessage::CookieEcho(Bytes::from_static(b"x")));
    lab.message(pe, AsapMessage::Error(OperationError::new(CauseCode::UNSPECIFIED)));
    // A broken error message is not answered either.
    lab.bytes(pe, ppid::ASAP, &[0x0e, 0, 0, 9, 1, 2, 3, 4]);
    assert!(lab.sent().is_empty());
}

#[test]
fn what_a_peer_sends_neither_steers_a_terminal_nor_fills_a_log() {
    let mut lab = Lab::new();
    let pe = lab.up(&["10.0.0.1"]);
    let handle = b"\x1b[2J\r\n\xff\"".repeat(7_500);
    // The handle of a good message is stretched by hand: the type itself does not allow it.
    let request = Registration { pool: self::handle("p"), element: element(1) };
    let good = AsapMessage::Registration(request).encode().unwrap();
    let length = (handle.len() as u16 + 4).to_be_bytes();
    let mut data = [&[1, 0, 0, 0, 0, 9], &length[..], &handle, &good[12..]].concat();
    let total = (data.len() as u16).to_be_bytes();
    data[2..4].copy_from_slice(&total);
    lab.bytes(pe, ppid::ASAP, &data);
    data[0] = 0x1b;
    lab.bytes(pe, ppid::ASAP, &data);
    let events: Vec<String> = lab.events().iter().map(ToString::to_string).collect();
    let [refused, invalid] = events.as_slice() else { panic!("{events:?}") };
    assert!(refused.starts_with("refused to register $00000001 in pool \\u{1b}[2J"), "{refused}");
    assert!(invalid.ends_with("unknown message type 0x1b"), "{invalid}");
    for event in events {
        assert!(event.len() < 250 && !event.contains(char::is_control), "{event}");
    }
}

#[test]
fn invalid_messages_are_reported_as_their_kind_demands() {
    let mut lab = Lab::new();
    let pe = lab.up(&["10.0.0.1"]);
    // A parameter type with the bits 01 has to be reported with the parameter.
    lab.bytes(
        pe,
        ppid::ASAP,
        &[
            5, 0, 0, 24, 0x40, 0x77, 0, 8, 0x61, 0x62, 0x63, 0x64, 0, 9, 0, 8, 1, 2, 3, 4, 0, 9, 0,
            4,
        ],
    );
    match lab.reply(pe) {
        AsapMessage::Error(error) => {
            assert_eq!(error.code(), CauseCode::UNRECOGNIZED_PARAMETER);
            assert_eq!(error.causes[0].info[..], [0x40, 0x77, 0, 8, 0x61, 0x62, 0x63, 0x64]);
        }
        other => panic!("{other:?}"),
    }
    // One with the bits 00 makes the whole message vanish.
    lab.bytes(pe, ppid::ASAP, &[5, 0, 0, 16, 0, 0x77, 0, 4, 0, 9, 0, 8, 1, 2, 3, 4]);
    assert!(lab.sent().is_empty());
    // A length that does not fit.
    lab.bytes(pe, ppid::ASAP, &[5, 0, 0xff, 0xff, 0, 9, 0, 8, 1, 2, 3, 4]);
    assert_eq!(error_code(lab.reply(pe)), CauseCode::INVALID_MESSAGE);
    // Nothing at all.
    lab.bytes(pe, ppid::ASAP, &[]);
    assert!(lab.sent().is_empty());
    assert_eq!(lab.core.stats().invalid_messages, 4);
}

#[test]
fn unknown_associations_are_ignored() {
    let mut lab = Lab::new();
    let nobody = ChannelId::incoming(99);
    let request = Registration { pool: handle("pool"), element: element(1) };
    lab.message(nobody, AsapMessage::Registration(request));
    lab.bytes(nobody, ppid::ENRP, &[]);
    lab.handle(Input::PeerChanged { channel: nobody, peer: peer(&[], None) });
    lab.down(nobody);
    assert!(lab.outputs.is_empty() && lab.core.handlespace().is_empty());
}

#[test]
fn whoever_does_not_read_is_aborted() {
    let mut lab = Lab::new();
    let pe = lab.up(&["10.0.0.1"]);
    lab.register(pe, "pool", element(1)).unwrap();
    lab.handle(Input::Congested { channel: pe });
    lab.handle(Input::Congested { channel: pe });
    assert_eq!(lab.aborted(), [pe]);
    assert!(lab.members("pool").is_empty());
    assert_eq!(lab.core.stats().aborts, 1);
}

#[test]
fn an_association_without_addresses_or_port_can_register_nothing() {
    let mut lab = Lab::new();
    let bare = lab.up(&[]);
    assert_eq!(lab.register(bare, "pool", element(1)), Err(CauseCode::NO_USABLE_USER_ADDRESSES));
    let peer = Peer { port: 0, ..peer(&["10.0.0.1"], None) };
    lab.handle(Input::PeerChanged { channel: bare, peer });
    assert_eq!(lab.register(bare, "pool", element(1)), Err(CauseCode::NO_USABLE_ASAP_ADDRESSES));
}

#[test]
fn many_elements_over_one_association() {
    let mut lab = Lab::with(|c| c.keep_alive_interval = ms(1000));
    let pe = lab.up(&["10.0.0.1"]);
    let pool = handle("pool");
    for id in 1..=20_000 {
        let request = Registration { pool: pool.clone(), element: element(id) };
        let data = AsapMessage::Registration(request).encode().unwrap();
        lab.core.handle(lab.now, Input::Message { channel: pe, ppid: ppid::ASAP, data: &data });
        while lab.core.poll_output().is_some() {}
    }
    lab.now += ms(1000);
    // Not all of them at once: whoever waits has its turn in between.
    let mut sent = 0;
    while lab.core.poll_timeout().is_some_and(|at| at <= lab.now) {
        lab.core.handle(lab.now, Input::Timeout);
        let slice = std::iter::from_fn(|| lab.core.poll_output()).count();
        assert!((1..=SLICE).contains(&slice));
        sent += slice;
    }
    assert_eq!(sent, 20_000);
    // They end together, and not at once either.
    lab.core.handle(lab.now, Input::Down { channel: pe });
    assert!(lab.core.handlespace().len() > 19_000);
    while lab.core.poll_timeout().is_some() {
        let before = lab.core.handlespace().len();
        lab.core.handle(lab.now, Input::Timeout);
        assert!(before - lab.core.handlespace().len() <= SLICE);
        while lab.core.poll_output().is_some() {}
    }
    assert!(lab.core.handlespace().is_empty());
}

/// What an attacker may do over a few associations.
#[derive(Clone, Debug)]
enum Step {
    Up(u8),
    Down(u8),
    Bytes(u8, u32, Vec<u8>),
    /// A valid registration with some bytes changed.
    Mutated(u8, u32, Vec<(u16, u8)>),
    Register(u8, u32),
    Resolve(u8, Option<u32>),
    Report(u8, u32),
    Ack(u8, u32),
    Deregister(u8, u32),
    Pass(u16),
}

fn step() -> impl Strategy<Value = Step> {
    let who = || 1u8..5;
    let id = || 0u32..6;
    let ppid = prop_oneof![Just(11u32), Just(12), any::<u32>()];
    prop_oneof![
        2 => who().prop_map(Step::Up),
        1 => who().prop_map(Step::Down),
        2 => (who(), ppid, prop::collection::vec(any::<u8>(), 0..60))
            .prop_map(|(who, ppid, bytes)| Step::Bytes(who, ppid, bytes)),
        3 => (who(), id(), prop::collection::vec((any::<u16>(), any::<u8>()), 1..4))
            .prop_map(|(who, id, changes)| Step::Mutated(who, id, changes)),
        4 => (who(), id()).prop_map(|(who, id)| Step::Register(who, id)),
        3 => (who(), prop::option::of(0u32..5)).prop_map(|(who, items)| Step::Resolve(who, items)),
        2 => (who(), id()).prop_map(|(who, id)| Step::Report(who, id)),
        2 => (who(), id()).prop_map(|(who, id)| Step::Ack(who, id)),
        1 => (who(), id()).prop_map(|(who, id)| Step::Deregister(who, id)),
        3 => (0u16..6000).prop_map(Step::Pass),
    ]
}

fn registration(id: u32) -> Vec<u8> {
    let request = Registration { pool: handle("pool"), element: element(id) };
    AsapMessage::Registration(request).encode().unwrap().to_vec()
}

fn apply(lab: &mut Lab, step: Step) {
    let channel = |who: u8| ChannelId::incoming(who.into());
    match step {
        Step::Up(who) => {
            lab.next_association = who.into();
            lab.up(&["10.0.0.1"]);
        }
        Step::Down(who) => lab.down(channel(who)),
        Step::Bytes(who, ppid, bytes) => lab.bytes(channel(who), ppid, &bytes),
        Step::Mutated(who, id, changes) => {
            let mut data = registration(id);
            for (at, value) in changes {
                let at = usize::from(at) % data.len();
                data[at] = value;
            }
            lab.bytes(channel(who), ppid::ASAP, &data);
        }
        Step::Register(who, id) => lab.bytes(channel(who), ppid::ASAP, &registration(id)),
        Step::Resolve(who, items) => {
            let request = HandleResolution { subscribe: false, pool: handle("pool"), items };
            lab.message(channel(who), AsapMessage::HandleResolution(request));
        }
        Step::Report(who, id) => lab.report_unreachable(channel(who), "pool", id),
        Step::Ack(who, id) => lab.ack(channel(who), "pool", id),
        Step::Deregister(who, id) => {
            let request = Deregistration { pool: handle("pool"), id: PeId(id) };
            lab.message(channel(who), AsapMessage::Deregistration(request));
        }
        Step::Pass(millis) => lab.pass(ms(millis.into())),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Every element belongs to a live association and is probed; nothing is sent to associations
    /// that are gone.
    #[test]
    fn random_life(steps in prop::collection::vec(step(), 1..120)) {
        let mut lab = Lab::new();
        for step in steps {
            // A driver never uses a name twice, but a core must not break over it.
            apply(&mut lab, step);
            let space = lab.core.handlespace();
            for key in space.elements_of_home(SERVER) {
                let element = space.get(key).unwrap();
                let owner = ChannelId::from_u64(element.owner().unwrap());
                prop_assert!(lab.core.associations.contains_key(&owner));
                let probed = element.deadline(Timer::KeepAliveTransmission).is_some();
                let awaited = element.deadline(Timer::KeepAliveTimeout).is_some();
                prop_assert!(probed != awaited);
            }
            prop_assert!(lab.core.poll_timeout().is_none_or(|next| next > lab.now));
            for output in std::mem::take(&mut lab.outputs) {
                if let Output::Send { data, .. } = output {
                    prop_assert!(AsapMessage::decode(&data).is_ok());
                }
            }
        }
    }
}
