//! UDP encapsulation: which packets tell us the peer's UDP port (RFC 6951 sec 5.4, 5.5).

use super::*;

fn port(remote_port: u16) -> PathAddr {
    PathAddr { encap: Encap::Udp { remote_port }, ..path(1) }
}

fn encap(rig: &Rig) -> Encap {
    rig.stack.paths(rig.id())[0].addr.encap
}

#[test]
fn a_packet_with_the_right_tag_moves_the_port() {
    let mut rig = Rig::in_state(AssocState::Established);
    let sent = one(rig.send_from(port(4000), rig.own_tag, |w| data(w, PEER_TSN)));
    assert_eq!(sent.path, port(4000));
    assert_eq!(one(rig.send_data(b"x")).path, port(4000));
    assert_eq!(one(rig.send_from(port(4001), rig.own_tag, |w| w.heartbeat(b"x"))).path, port(4001));
}

/// By then the timer has backed off, but for a port that is gone.
#[test]
fn what_went_to_the_old_port_is_sent_again_at_once() {
    let mut rig = Rig::accepted(&[]);
    rig.send_data(b"x");
    // Expiries after 1 + 2 + 4 s. The next one would come 8 s later.
    rig.pass(Duration::from_millis(7100));
    let sent = rig.send_from(port(4000), rig.own_tag, |w| w.heartbeat(b"i am here"));
    let data = sent
        .iter()
        .find(|sent| sent.kinds().contains(&chunk_type::DATA))
        .expect("it is sent again");
    assert_eq!(data.path, port(4000));
    // It is sent only once, and the timer has its usual length again.
    let own_tsn = rig.own_tsn;
    assert!(
        !rig.pass(Duration::from_millis(900))
            .iter()
            .any(|sent| sent.kinds().contains(&chunk_type::DATA))
    );
    assert!(
        rig.pass(Duration::from_millis(200))
            .iter()
            .any(|sent| sent.kinds().contains(&chunk_type::DATA))
    );
    rig.send_from(port(4000), rig.own_tag, |w| sack(w, own_tsn));
    assert_eq!(rig.state(), AssocState::Established);
}

#[test]
fn a_packet_with_a_wrong_tag_moves_no_port() {
    let mut rig = Rig::in_state(AssocState::Established);
    for tag in [rig.own_tag ^ 1, PEER_TAG] {
        assert_silent(rig.send_from(port(4000), tag, |w| data(w, PEER_TSN)));
    }
    assert_eq!(encap(&rig), UDP);
}

#[test]
fn a_reflected_tag_moves_no_port() {
    for tag in [0, PEER_TAG] {
        let mut rig = Rig::in_state(AssocState::Established);
        let tag = if tag == 0 { rig.own_tag } else { tag };
        rig.send_from(port(4000), tag, |w| w.shutdown_complete(true));
        assert_eq!(encap(&rig), UDP);
    }
}

#[test]
fn an_init_moves_no_port_and_from_another_port_it_is_refused() {
    use AssocState::*;
    for state in [
        CookieEchoed,
        Established,
        ShutdownPending,
        ShutdownSent,
        ShutdownReceived,
        ShutdownAckSent,
    ] {
        let mut rig = Rig::in_state(state);
        for other in [port(4000), PathAddr { encap: Encap::Native, ..path(1) }] {
            let sent = rig.init_from(other, 5, &[]);
            assert_eq!(sent[0].path, other);
            assert_abort(sent, 5, false, &[14]);
        }
        assert_eq!((encap(&rig), rig.state()), (UDP, state));
        assert!(rig.events().is_empty());
    }
    // In COOKIE-WAIT nothing of the peer is known yet. The answer goes where the INIT came from.
    let mut rig = Rig::in_state(CookieWait);
    let sent = one(rig.init_from(port(4000), 5, &[]));
    assert_eq!((sent.kinds(), sent.path), (vec![chunk_type::INIT_ACK], port(4000)));
    assert_eq!(encap(&rig), UDP);
}

#[test]
fn a_nat_moves_the_port_and_a_stranger_does_not() {
    let mut rig = Rig::accepted(&[]);
    rig.send_from(port(4000), rig.own_tag, |w| data(w, PEER_TSN));
    assert_abort(rig.init_from(port(4001), 5, &[]), 5, false, &[14]);
    assert_eq!(encap(&rig), port(4000).encap);
    assert_silent(rig.send_from(port(4002), 1, |w| data(w, PEER_TSN)));
    assert_eq!(encap(&rig), port(4000).encap);
    // From the port that counts now, an INIT is a restart as usual.
    assert_eq!(one(rig.init_from(port(4000), 5, &[])).kinds(), [chunk_type::INIT_ACK]);
}

#[test]
fn packets_switch_encapsulation_off_and_on_and_the_pmtu_follows() {
    let mut rig = Rig::in_state(AssocState::Established);
    let pmtu = |rig: &Rig| rig.stack.paths(rig.id())[0].pmtu;
    let udp = pmtu(&rig);
    assert_eq!(udp, 1280 - 20 - 8);
    let native = PathAddr { encap: Encap::Native, ..path(1) };
    assert_eq!(
        one(rig.send_from(native, rig.own_tag, |w| data(w, PEER_TSN))).path.encap,
        Encap::Native
    );
    assert_eq!(pmtu(&rig), 1480);
    rig.data(PEER_TSN.plus(1));
    assert_eq!((encap(&rig), pmtu(&rig)), (UDP, udp));
}

#[test]
fn each_address_has_its_own_port() {
    let mut rig = Rig::accepted(&[2]);
    let two = PathAddr { encap: Encap::Udp { remote_port: 2222 }, ..path(2) };
    rig.send_from(two, rig.own_tag, |w| w.heartbeat(b"x"));
    let encaps: Vec<Encap> = rig.stack.paths(rig.id()).iter().map(|p| p.addr.encap).collect();
    assert_eq!(encaps, [UDP, two.encap]);
}

#[test]
fn stateless_answers_go_back_through_the_same_ports() {
    let mut rig = Rig::new();
    assert_eq!(one(rig.init_from(port(7), 5, &[])).path, port(7));
    assert_eq!(one(rig.send_from(port(8), 9, |w| data(w, PEER_TSN))).path, port(8));
}

#[test]
fn a_cookie_echo_from_another_address_does_not_move_the_port_of_the_first() {
    let mut rig = Rig::new();
    let (init, _, cookie) = one(rig.init(|p| p.address(addr(2)))).init();
    let two = PathAddr { encap: Encap::Udp { remote_port: 2222 }, ..path(2) };
    rig.send_from(two, init.initiate_tag, |w| w.cookie_echo(&cookie.unwrap()));
    rig.id = rig.stack.accept(PORT);
    let encaps: Vec<Encap> = rig.stack.paths(rig.id()).iter().map(|p| p.addr.encap).collect();
    assert_eq!(encaps, [UDP, two.encap]);
}

#[test]
fn udp_port_0_cannot_be_answered() {
    assert_silent(Rig::new().init_from(port(0), 5, &[]));
    assert_silent(Rig::new().send_from(port(0), 5, |w| data(w, PEER_TSN)));
}

#[test]
fn two_clients_behind_one_address_with_different_sctp_ports_are_two_associations() {
    let mut rig = Rig::accepted(&[]);
    let mut out = Vec::new();
    let mut w = PacketWriter::new(&mut out, 1000, PEER_PORT + 1, PORT, 0);
    w.init(false, &InitFixed { initiate_tag: 5, ..fixed() }, |_| {});
    w.finish();
    let (init, _, cookie) = one(rig.receive(port(4000), out)).init();
    let mut out = Vec::new();
    let mut w = PacketWriter::new(&mut out, 1000, PEER_PORT + 1, PORT, init.initiate_tag);
    w.cookie_echo(&cookie.unwrap());
    w.finish();
    assert_eq!(one(rig.receive(port(4000), out)).kinds(), [chunk_type::COOKIE_ACK]);
    assert_eq!(rig.stack.stats().associations, 2);
    assert_eq!(encap(&rig), UDP);
}
