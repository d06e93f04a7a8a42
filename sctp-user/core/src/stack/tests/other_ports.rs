//! Ports that the stack chooses itself: which ones there are, and that another one is tried when
//! the peer refuses one.

use std::collections::BTreeSet;

use super::*;
use crate::event::LossReason;

/// A stack that connects from a port of its own choice, which is the first that it was granted.
fn calls_from(granted: &[u16]) -> (Rig, Sent) {
    let mut rig = Rig::new();
    rig.stack.grant_ports(granted.iter().copied());
    let port = rig.stack.bind(0, &[], AssocConfig::default()).unwrap();
    let peer = Peer { addrs: vec![(addr(1), UDP)], port: PEER_PORT };
    rig.id = Some(rig.stack.connect(rig.now, port, &peer, None).unwrap());
    let init = one(rig.drain());
    rig.own_tag = init.init().0.initiate_tag;
    (rig, init)
}

/// The peer sends a packet to this port.
fn send_to(rig: &mut Rig, port: u16, write: impl FnOnce(&mut PacketWriter<'_>)) -> Vec<Sent> {
    let mut out = Vec::new();
    let mut writer = PacketWriter::new(&mut out, 65_000, PEER_PORT, port, rig.own_tag);
    write(&mut writer);
    writer.finish();
    rig.receive(path(1), out)
}

fn refuse(rig: &mut Rig, port: u16, cause: u16) -> Vec<Sent> {
    send_to(rig, port, |w| {
        w.abort(false, |c| {
            if cause != 0 {
                c.raw(cause, &[0; 4]);
            }
        });
    })
}

fn local_port(rig: &Rig) -> u16 {
    rig.stack.status(rig.id()).unwrap().local_port
}

#[test]
fn a_refused_port_is_replaced_and_the_setup_goes_on_from_the_next() {
    for cause in [0, 11, 14] {
        let (mut rig, init) = calls_from(&[2000, 2001]);
        assert_eq!(init.packet.src_port(), 2000);
        rig.stack.send(rig.now, rig.id(), Message::new(0, 0, "queued")).unwrap();
        let sent = one(refuse(&mut rig, 2000, cause));
        assert_eq!((sent.kinds(), sent.packet.src_port()), (vec![chunk_type::INIT], 2001));
        assert!(rig.events().is_empty());
        let sent = one(send_to(&mut rig, 2001, |w| {
            w.init(true, &fixed(), |p| p.state_cookie(b"cookie"));
        }));
        assert_eq!(sent.kinds(), [chunk_type::COOKIE_ECHO, chunk_type::DATA]);
        send_to(&mut rig, 2001, |w| w.cookie_ack());
        assert!(matches!(rig.events()[..], [Event::Up { incoming: false, .. }]));
        assert_eq!((rig.state(), local_port(&rig)), (AssocState::Established, 2001));
        // Packets still under way to the old port are not for the association.
        refuse(&mut rig, 2000, cause);
        assert_eq!(rig.state(), AssocState::Established);
        // The port is free when the association is gone.
        assert!(rig.stack.is_in_use(2001));
        let id = rig.id();
        rig.stack.abort(rig.now, id, Bytes::new()).unwrap();
        rig.stack.release(rig.now, id);
        assert!(!rig.stack.is_in_use(2001) && rig.stack.is_in_use(2000));
    }
}

#[test]
fn at_most_eight_others_are_tried_and_then_the_refusal_is_reported() {
    for cause in [0, 14] {
        let ports: Vec<u16> = (2000..2020).collect();
        let (mut rig, _) = calls_from(&ports);
        for port in 2000..2008 {
            assert_eq!(one(refuse(&mut rig, port, cause)).packet.src_port(), port + 1);
        }
        assert_silent(refuse(&mut rig, 2008, cause));
        let events = rig.events();
        let Some(LossReason::Refused { cause: told, .. }) = lost(&events) else {
            panic!("{events:?}")
        };
        assert_eq!(*told, cause);
    }
}

/// It may also mean that nobody listens, and then the user who waits wants to know.
#[test]
fn a_refusal_without_a_cause_is_believed_after_rto_initial() {
    for (cause, tries_on) in [(0, false), (14, true)] {
        let (mut rig, _) = calls_from(&[2000, 2001, 2002]);
        rig.pass(Duration::from_millis(600));
        assert_eq!(one(refuse(&mut rig, 2000, cause)).packet.src_port(), 2001);
        rig.pass(Duration::from_millis(600));
        assert_eq!(refuse(&mut rig, 2001, cause).len(), usize::from(tries_on));
        assert_eq!(lost(&rig.events()).is_none(), tries_on);
    }
}

#[test]
fn other_refusals_and_those_of_chosen_ports_are_reported_at_once() {
    let (mut rig, _) = calls_from(&[2000, 2001]);
    assert_silent(refuse(&mut rig, 2000, 4));
    assert!(lost(&rig.events()).is_some());
    for cause in [0, 11, 14] {
        let mut rig = Rig::new();
        rig.connect(&[1]);
        assert_silent(refuse(&mut rig, PORT, cause));
        assert!(lost(&rig.events()).is_some());
    }
}

/// Two processes at one address each got a cookie for the same port. The second learns at once that
/// the first was faster. It tries again from another port, with the data that it had sent.
#[test]
fn a_cookie_of_another_process_with_the_same_port_is_refused() {
    let port = |remote_port| PathAddr { encap: Encap::Udp { remote_port }, ..path(1) };
    let mut rig = Rig::new();
    let offers = [(4001, 11), (4002, 12)].map(|(udp, tag)| {
        let (init, _, cookie) = one(rig.init_from(port(udp), tag, &[])).init();
        (port(udp), tag, init.initiate_tag, cookie.unwrap())
    });
    let [first, second] = offers.map(|(from, tag, own, cookie)| {
        (tag, rig.send_from(from, own, |w| w.cookie_echo(&cookie)))
    });
    assert_eq!(one(first.1).kinds(), [chunk_type::COOKIE_ACK]);
    assert_abort(second.1, second.0, false, &[14]);

    let (mut rig, _) = calls_from(&[2000, 2001]);
    rig.stack.send(rig.now, rig.id(), Message::new(0, 0, "sent")).unwrap();
    let init_ack = |w: &mut PacketWriter<'_>| w.init(true, &fixed(), |p| p.state_cookie(b"cookie"));
    let sent = one(send_to(&mut rig, 2000, init_ack));
    assert_eq!(sent.kinds(), [chunk_type::COOKIE_ECHO, chunk_type::DATA]);
    assert_eq!(one(refuse(&mut rig, 2000, 14)).kinds(), [chunk_type::INIT]);
    let sent = one(send_to(&mut rig, 2001, init_ack));
    assert_eq!(sent.kinds(), [chunk_type::COOKIE_ECHO, chunk_type::DATA]);
}

#[test]
fn clients_get_all_ports_but_well_known_and_registered_ones() {
    let mut rig = Rig::new();
    let mut ports = BTreeSet::new();
    while let Ok(port) = rig.stack.bind(0, &[], AssocConfig::default()) {
        assert!(ports.insert(port));
    }
    assert!(ports.len() > 64_000, "{}", ports.len());
    assert!(*ports.first().unwrap() >= 1024);
    // ASAP, Diameter, S1AP and NGAP are not taken from their servers.
    assert!([3863, 3868, 36412, 38412].iter().all(|port| !ports.contains(port)));
    // Low and high ports are drawn alike, and not one after the other.
    let mut rig = Rig::with(StackConfig::default(), AssocConfig::default());
    let drawn: Vec<u16> =
        (0..100).map(|_| rig.stack.bind(0, &[], AssocConfig::default()).unwrap()).collect();
    assert!(drawn.iter().any(|p| *p < 20_000) && drawn.iter().any(|p| *p > 50_000));
    assert!(drawn.windows(2).filter(|w| w[0].abs_diff(w[1]) < 100).count() < 10);
}

#[test]
fn granted_ports_come_first_and_in_their_order() {
    let mut rig = Rig::new();
    rig.stack.bind(2001, &[], AssocConfig::default()).unwrap();
    // One of them is taken already, and one is registered.
    rig.stack.grant_ports([2000, 2001, 3863, 2002]);
    assert_eq!(rig.stack.granted_ports().len(), 3);
    let mut bind = || rig.stack.bind(0, &[], AssocConfig::default()).unwrap();
    assert_eq!([bind(), bind()], [2000, 2002]);
    bind();
    assert_eq!(rig.stack.granted_ports().len(), 0);
}
