//! ICMP errors (RFC 9260 sec 10, RFC 6951 sec 5.5).

use super::*;
use crate::Unreachable;
use crate::event::{LossReason, PeerAddrState};

/// The start of one of our packets, as an ICMP message quotes it.
fn quote(tag: u32, rest: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend(PORT.to_be_bytes());
    out.extend(PEER_PORT.to_be_bytes());
    out.extend(tag.to_be_bytes());
    out.extend(rest);
    out
}

/// The quote of our INIT: checksum, chunk header, initiate tag.
fn quoted_init(tag: u32) -> Vec<u8> {
    let mut rest = vec![0, 0, 0, 0, chunk_type::INIT, 0, 0, 20];
    rest.extend(tag.to_be_bytes());
    quote(0, &rest)
}

fn tell(rig: &mut Rig, kind: Unreachable, quoted: &[u8]) {
    rig.stack.handle_unreachable(rig.now, path(1), kind, quoted);
    assert_silent(rig.drain());
}

#[test]
fn protocol_unreachable_with_the_peers_tag_ends_the_association() {
    let mut rig = Rig::in_state(AssocState::Established);
    tell(&mut rig, Unreachable::Protocol, &quote(PEER_TAG, &[]));
    assert_eq!(lost(&rig.events()), Some(&LossReason::ProtocolUnreachable));
}

/// A NAT box that has lost its bindings sends this error about the port that the caller had.
#[test]
fn a_caller_over_udp_has_time_to_come_back_from_another_port() {
    let mut rig = Rig::accepted(&[]);
    let refuse = |rig: &mut Rig| tell(rig, Unreachable::Protocol, &quote(PEER_TAG, &[]));
    refuse(&mut rig);
    rig.pass(Duration::from_secs(29));
    refuse(&mut rig);
    assert_eq!(rig.state(), AssocState::Established);
    // Its heartbeat makes a new binding.
    let new = PathAddr { encap: Encap::Udp { remote_port: 4444 }, ..path(1) };
    rig.send_from(new, rig.own_tag, |w| w.cookie_ack());
    rig.pass(Duration::from_secs(2));
    rig.stack.handle_unreachable(rig.now, new, Unreachable::Protocol, &quote(PEER_TAG, &[]));
    assert_eq!(rig.state(), AssocState::Established, "earlier errors do not count any more");
    rig.pass(Duration::from_secs(30));
    rig.stack.handle_unreachable(rig.now, new, Unreachable::Protocol, &quote(PEER_TAG, &[]));
    assert_eq!(
        lost(&rig.events()),
        Some(&LossReason::ProtocolUnreachable),
        "two heartbeat intervals have passed"
    );
}

#[test]
fn a_caller_on_this_host_is_not_behind_a_nat() {
    let local = |n| Some(IpAddr::from([127, 0, 0, n]));
    let from = PathAddr { local: local(1), remote: local(2).unwrap(), encap: UDP };
    let mut rig = called_from(from);
    rig.stack.handle_unreachable(rig.now, from, Unreachable::Protocol, &quote(PEER_TAG, &[]));
    assert_eq!(lost(&rig.events()), Some(&LossReason::ProtocolUnreachable));
}

/// Linux sends this error for every packet to a raw socket whose receive buffer is full.
#[test]
fn a_native_peer_that_is_heard_again_was_only_busy() {
    let from = PathAddr { encap: Encap::Native, ..path(1) };
    let mut rig = called_from(from);
    let refuse = |rig: &mut Rig| {
        rig.stack.handle_unreachable(rig.now, from, Unreachable::Protocol, &quote(PEER_TAG, &[]));
    };
    let (id, tag) = (rig.id(), rig.own_tag);
    rig.stack.send(rig.now, id, Message::new(0, 0, "nobody answers")).unwrap();
    for _ in 0..100 {
        refuse(&mut rig);
        rig.pass(Duration::from_millis(1));
    }
    rig.send_from(from, tag, |w| w.cookie_ack());
    rig.pass(Duration::from_secs(1));
    assert_eq!(rig.state(), AssocState::Established, "it was heard, although its SACK is missing");
    refuse(&mut rig);
    assert_eq!(lost(&rig.events()), Some(&LossReason::ProtocolUnreachable), "T3 has expired");
}

/// No data waits for an answer, but a heartbeat does.
#[test]
fn an_idle_native_peer_is_gone_when_a_refused_heartbeat_stays_unanswered() {
    let from = PathAddr { encap: Encap::Native, ..path(1) };
    let mut rig = called_from(from);
    while !rig.next_timer().iter().any(|sent| sent.kinds().contains(&chunk_type::HEARTBEAT)) {}
    rig.stack.handle_unreachable(rig.now, from, Unreachable::Protocol, &quote(PEER_TAG, &[]));
    assert_eq!(rig.state(), AssocState::Established);
    rig.pass(Duration::from_secs(2));
    assert_eq!(lost(&rig.events()), Some(&LossReason::ProtocolUnreachable));
}

/// An association that was set up by a peer at `from`.
fn called_from(from: PathAddr) -> Rig {
    called_with(AssocConfig::default(), from)
}

/// The same with a configuration.
pub(super) fn called_with(config: AssocConfig, from: PathAddr) -> Rig {
    let mut rig = Rig::with(StackConfig::default(), config);
    let ack = one(rig.init_from(from, PEER_TAG, &[]));
    let (fixed, _, cookie) = ack.init();
    rig.own_tag = fixed.initiate_tag;
    rig.send_from(from, fixed.initiate_tag, |w| w.cookie_echo(&cookie.unwrap()));
    rig.id = rig.stack.accept(PORT);
    rig
}

/// The way to address number `n`, directly over IP.
pub(super) fn native(n: u8) -> PathAddr {
    PathAddr { encap: Encap::Native, ..path(n) }
}

/// An ICMP message says that there is no SCTP at the other end of a path.
pub(super) fn refuse(rig: &mut Rig, to: PathAddr) -> Vec<Sent> {
    rig.stack.handle_unreachable(rig.now, to, Unreachable::Protocol, &quote(PEER_TAG, &[]));
    rig.drain()
}

/// An established association with the peer at addresses 1 and 2. Address 2 is not confirmed.
fn with_second_address(called: bool, to: fn(u8) -> PathAddr) -> Rig {
    let mut rig = Rig::new();
    let tag = if called {
        let ack = one(rig.init_from(to(1), PEER_TAG, &[2]));
        let (fixed, _, cookie) = ack.init();
        rig.send_from(to(1), fixed.initiate_tag, |w| w.cookie_echo(&cookie.unwrap()));
        rig.id = rig.stack.accept(PORT);
        fixed.initiate_tag
    } else {
        let addrs = vec![(addr(1), to(1).encap)];
        let peer = Peer { addrs, port: PEER_PORT };
        rig.id = Some(rig.stack.connect(rig.now, PORT, &peer, None).unwrap());
        let tag = one(rig.drain()).init().0.initiate_tag;
        rig.send_from(to(1), tag, |w| {
            w.init(true, &fixed(), |p| {
                p.state_cookie(b"cookie");
                p.address(addr(2));
            });
        });
        rig.send_from(to(1), tag, |w| w.cookie_ack());
        tag
    };
    rig.own_tag = tag;
    rig.events();
    assert_eq!(rig.path_state(2), PathState::Unconfirmed);
    rig
}

/// The same with both addresses confirmed.
pub(super) fn with_two_paths(called: bool, to: fn(u8) -> PathAddr) -> Rig {
    let mut rig = with_second_address(called, to);
    let mut sent = rig.drain();
    while rig.path_state(2) == PathState::Unconfirmed {
        for probe in sent.iter().filter(|s| s.kinds() == [chunk_type::HEARTBEAT]) {
            let tlvs = probe.heartbeat();
            rig.send_from(probe.path, rig.own_tag, |w| w.heartbeat_ack(&tlvs));
        }
        sent = rig.next_timer();
    }
    rig.events();
    rig
}

/// A container bridge of the peer has an address that some host here has, too. This host answers
/// and has no SCTP.
#[test]
fn errors_about_an_unconfirmed_address_count_for_nothing() {
    for (called, to) in [(false, path as fn(u8) -> PathAddr), (true, path), (false, native)] {
        let mut rig = with_second_address(called, to);
        let too_big = Unreachable::PacketTooBig { ip_mtu: 600 };
        for _ in 0..1000 {
            refuse(&mut rig, to(2));
            rig.stack.handle_unreachable(rig.now, to(2), too_big, &quote(PEER_TAG, &[]));
            for probe in rig.pass(Duration::from_millis(100)) {
                let tlvs = probe.heartbeat();
                if probe.path.remote == addr(1) {
                    rig.send_from(to(1), rig.own_tag, |w| w.heartbeat_ack(&tlvs));
                }
            }
        }
        assert_eq!(rig.state(), AssocState::Established, "called: {called}");
        assert_eq!(rig.path_state(2), PathState::Unconfirmed);
        assert_eq!(rig.stack.paths(rig.id())[1].pmtu, rig.stack.paths(rig.id())[0].pmtu);
        assert_eq!(rig.events(), []);
    }
}

#[test]
fn one_path_of_several_fails_alone_and_another_takes_over_at_once() {
    let mut rig = with_two_paths(false, path);
    let change = |n, state| Event::PeerAddrChange { addr: addr(n), state };
    assert_eq!(one(rig.send_data(b"to the primary")).path.remote, addr(1));
    let again = one(refuse(&mut rig, path(1)));
    assert_eq!((again.kinds(), again.path.remote), (vec![chunk_type::DATA], addr(2)));
    assert_eq!(rig.events(), [change(1, PeerAddrState::Unreachable)]);
    assert_silent(refuse(&mut rig, path(1)));
    assert_eq!(rig.events(), [], "it is reported only once");
    // Heartbeats find out when the path works again.
    let probe = loop {
        let mut sent = rig.next_timer();
        for data in sent.iter().filter(|s| s.kinds() == [chunk_type::DATA]) {
            assert_eq!(data.path.remote, addr(2));
        }
        sent.retain(|s| s.kinds() == [chunk_type::HEARTBEAT] && s.path.remote == addr(1));
        if let Some(probe) = sent.pop() {
            break probe;
        }
    };
    rig.events();
    let tlvs = probe.heartbeat();
    rig.send(rig.own_tag, |w| w.heartbeat_ack(&tlvs));
    assert_eq!(rig.events(), [change(1, PeerAddrState::Available)]);
    // The peer is dead only when no path is left.
    refuse(&mut rig, path(2));
    assert_eq!(rig.state(), AssocState::Established);
    refuse(&mut rig, path(1));
    assert_eq!(lost(&rig.events()), Some(&LossReason::ProtocolUnreachable));
}

#[test]
fn natively_a_refused_heartbeat_fails_only_its_path() {
    let mut rig = with_two_paths(true, native);
    // The heartbeats to address 2 are refused and not answered, those to address 1 are.
    for _ in 0..1000 {
        for probe in rig.pass(Duration::from_millis(100)) {
            if probe.path.remote == addr(1) {
                let tlvs = probe.heartbeat();
                rig.send_from(native(1), rig.own_tag, |w| w.heartbeat_ack(&tlvs));
            } else {
                refuse(&mut rig, native(2));
            }
        }
    }
    assert_eq!((rig.state(), rig.path_state(1)), (AssocState::Established, PathState::Active));
    assert_eq!(rig.path_state(2), PathState::Inactive);
}

#[test]
fn during_the_setup_the_cookie_goes_to_the_next_address_with_its_data() {
    let mut rig = Rig::new();
    rig.connect(&[1, 2]);
    rig.send_data(b"early");
    let sent = one(rig.init_ack(|p| p.address(addr(2))));
    assert_eq!(sent.path.remote, addr(1));
    let sent = one(refuse(&mut rig, path(1)));
    assert_eq!(sent.kinds(), [chunk_type::COOKIE_ECHO, chunk_type::DATA]);
    assert_eq!(sent.path.remote, addr(2));
    rig.send_from(path(2), rig.own_tag, |w| w.cookie_ack());
    assert_eq!(rig.state(), AssocState::Established);
}

#[test]
fn a_shutdown_goes_on_over_another_path() {
    let mut rig = with_two_paths(false, path);
    rig.stack.shutdown(rig.now, rig.id()).unwrap();
    assert_eq!(one(rig.drain()).path.remote, addr(1));
    let again = one(refuse(&mut rig, path(1)));
    assert_eq!((again.kinds(), again.path.remote), (vec![chunk_type::SHUTDOWN], addr(2)));
    rig.send_from(path(2), rig.own_tag, |w| w.shutdown_ack());
    assert!(rig.events().contains(&Event::ShutdownComplete));
}

#[test]
fn a_wrong_tag_port_address_or_encapsulation_is_not_believed() {
    for state in [AssocState::CookieEchoed, AssocState::Established] {
        let mut rig = Rig::in_state(state);
        let own = rig.own_tag;
        for tag in [0, own, PEER_TAG ^ 1] {
            tell(&mut rig, Unreachable::Protocol, &quote(tag, &[]));
        }
        tell(&mut rig, Unreachable::Protocol, &quote(PEER_TAG, &[])[..7]);
        tell(&mut rig, Unreachable::Protocol, &[]);
        // An INIT counts only while it is unanswered.
        tell(&mut rig, Unreachable::Protocol, &quoted_init(own));
        let mut other_port = quote(PEER_TAG, &[]);
        other_port[3] ^= 1;
        tell(&mut rig, Unreachable::Protocol, &other_port);
        for to in [path(2), PathAddr { encap: Encap::Native, ..path(1) }] {
            rig.stack.handle_unreachable(rig.now, to, Unreachable::Protocol, &quote(PEER_TAG, &[]));
        }
        assert_eq!(rig.state(), state);
        assert!(rig.events().is_empty() || state == AssocState::Established);
    }
}

#[test]
fn in_cookie_wait_the_quoted_init_must_carry_our_initiate_tag() {
    let mut rig = Rig::in_state(AssocState::CookieWait);
    let own = rig.own_tag;
    tell(&mut rig, Unreachable::Protocol, &quoted_init(own ^ 1));
    tell(&mut rig, Unreachable::Protocol, &quoted_init(own)[..19]);
    assert_eq!(rig.state(), AssocState::CookieWait);
    tell(&mut rig, Unreachable::Protocol, &quoted_init(own));
    assert_eq!(lost(&rig.events()), Some(&LossReason::ProtocolUnreachable));
}

#[test]
fn in_cookie_wait_the_next_address_is_tried_at_once() {
    let mut rig = Rig::new();
    rig.connect(&[1, 2]);
    let quoted = quoted_init(rig.own_tag);
    rig.stack.handle_unreachable(rig.now, path(1), Unreachable::Protocol, &quoted);
    let sent = one(rig.drain());
    assert_eq!((sent.kinds(), sent.path.remote), (vec![chunk_type::INIT], addr(2)));
    // Address 1 is out, and T1 does not come back to it.
    assert_eq!(one(rig.next_timer()).path.remote, addr(2));
    rig.stack.handle_unreachable(rig.now, path(2), Unreachable::Protocol, &quoted);
    assert_eq!(lost(&rig.events()), Some(&LossReason::ProtocolUnreachable));
}

#[test]
fn an_address_that_answers_after_all_is_good_again() {
    let mut rig = Rig::new();
    rig.connect(&[1, 2]);
    let quoted = quoted_init(rig.own_tag);
    rig.stack.handle_unreachable(rig.now, path(1), Unreachable::Protocol, &quoted);
    rig.drain();
    let sent = one(rig.init_ack(|_| {}));
    assert_eq!(sent.path.remote, addr(1));
    assert_eq!(rig.path_state(1), PathState::Active);
}

#[test]
fn other_icmp_errors_never_end_an_association() {
    let mut rig = Rig::in_state(AssocState::Established);
    for _ in 0..100 {
        tell(&mut rig, Unreachable::Destination, &quote(PEER_TAG, &[]));
    }
    assert_eq!(rig.state(), AssocState::Established);
}

#[test]
fn packet_too_big_lowers_the_pmtu_within_reason_and_only_with_the_tag() {
    let mut rig = Rig::in_state(AssocState::Established);
    let pmtu = |rig: &Rig| rig.stack.paths(rig.id())[0].pmtu;
    let before = pmtu(&rig);
    let too_big = |ip_mtu| Unreachable::PacketTooBig { ip_mtu };
    tell(&mut rig, too_big(1000), &quote(PEER_TAG ^ 1, &[]));
    tell(&mut rig, too_big(9000), &quote(PEER_TAG, &[]));
    assert_eq!(pmtu(&rig), before);
    tell(&mut rig, too_big(1000), &quote(PEER_TAG, &[]));
    assert_eq!(pmtu(&rig), 1000 - 28);
    tell(&mut rig, too_big(575), &quote(PEER_TAG, &[]));
    tell(&mut rig, too_big(1500), &quote(PEER_TAG, &[]));
    assert_eq!(pmtu(&rig), 1000 - 28);
    tell(&mut rig, too_big(576), &quote(PEER_TAG, &[]));
    assert_eq!(pmtu(&rig), 576 - 28);
}

#[test]
fn an_icmp_error_after_the_end_has_no_effect() {
    let mut rig = Rig::in_state(AssocState::Established);
    rig.stack.abort(rig.now, rig.id(), Bytes::new()).unwrap();
    rig.drain();
    rig.events();
    tell(&mut rig, Unreachable::Protocol, &quote(PEER_TAG, &[]));
    assert!(rig.events().is_empty());
}
