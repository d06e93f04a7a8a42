//! Verification tags, and which association gets a packet (RFC 9260 sec 8.5, 8.5.1).

use super::*;
use crate::event::LossReason;

const WRONG: u32 = 0x5555_5555;

#[test]
fn hard_case_11_an_init_with_a_tag_is_dropped() {
    let mut rig = Rig::new();
    assert_silent(rig.send(1, |w| w.init(false, &fixed(), |_| {})));
}

#[test]
fn an_init_that_is_not_alone_is_dropped() {
    let mut rig = Rig::new();
    assert_silent(rig.send(0, |w| {
        w.init(false, &fixed(), |_| {});
        w.cookie_ack();
    }));
}

#[test]
fn tag_0_without_a_lone_init_is_dropped() {
    for state in [AssocState::Closed, AssocState::Established, AssocState::ShutdownAckSent] {
        let mut rig = Rig::in_state(state);
        assert_silent(rig.send(0, |w| data(w, PEER_TSN)));
        assert_silent(rig.send(0, |w| w.shutdown_ack()));
        assert_silent(rig.send(0, |w| w.cookie_echo(&[0; 100])));
    }
}

#[test]
fn a_wrong_tag_is_dropped_and_changes_nothing() {
    let mut rig = Rig::in_state(AssocState::Established);
    let before = rig.stack.paths(rig.id());
    let other_port = PathAddr { encap: Encap::Udp { remote_port: 1 }, ..path(1) };
    for tag in [WRONG, PEER_TAG, rig.own_tag ^ 1] {
        assert_silent(rig.send_from(other_port, tag, |w| data(w, PEER_TSN)));
        assert_silent(rig.send_from(other_port, tag, |w| w.shutdown(Tsn(0))));
        assert_silent(rig.send_from(other_port, tag, |w| w.heartbeat(b"x")));
        assert_silent(rig.send_from(other_port, tag, |w| w.shutdown_ack()));
    }
    assert_eq!(rig.state(), AssocState::Established);
    assert_eq!(rig.stack.paths(rig.id()), before);
    assert!(rig.events().is_empty());
}

#[test]
fn hard_case_34_a_malformed_chunk_with_a_wrong_tag_gets_no_error() {
    // If it were answered with an ABORT, anybody who can forge the addresses could end the
    // association.
    let mut rig = Rig::in_state(AssocState::Established);
    for chunk in [0u8, 3, 7, 0x41, 0xc1] {
        assert_silent(rig.send(WRONG, |w| w.raw_chunk(chunk, 0, &[1])));
    }
    // DATA without user data is a violation only for the true peer.
    assert_silent(rig.send(WRONG, |w| w.raw_chunk(0, 3, &[0; 12])));
    assert_eq!(rig.state(), AssocState::Established);
    rig.send(rig.own_tag, |w| w.raw_chunk(0, 3, &[0; 12]));
    assert_eq!(rig.state(), AssocState::Closed);
}

#[test]
fn abort_with_own_tag_or_reflected_with_the_peers() {
    for (tag_is_own, reflected, ends) in
        [(true, false, true), (true, true, false), (false, false, false), (false, true, true)]
    {
        let mut rig = Rig::in_state(AssocState::Established);
        let tag = if tag_is_own { rig.own_tag } else { PEER_TAG };
        assert_silent(rig.send(tag, |w| w.abort(reflected, |_| {})));
        let state = if ends { AssocState::Closed } else { AssocState::Established };
        assert_eq!(rig.state(), state, "own tag {tag_is_own}, T {reflected}");
        assert_eq!(lost(&rig.events()).is_some(), ends);
    }
}

#[test]
fn a_t_bit_that_does_not_fit_its_tag_drops_the_whole_packet() {
    let ends: [fn(&mut PacketWriter<'_>, bool); 2] =
        [|w, t| w.abort(t, |_| {}), |w, t| w.shutdown_complete(t)];
    for end in ends {
        let mut rig = Rig::in_state(AssocState::Established);
        let (own, peer) = (rig.own_tag, PEER_TAG);
        assert_silent(rig.send(own, |w| {
            data(w, PEER_TSN);
            end(w, true);
        }));
        assert_silent(rig.send(own, |w| {
            w.heartbeat(b"x");
            end(w, true);
            end(w, false);
        }));
        assert_silent(rig.send(peer, |w| {
            end(w, false);
            end(w, true);
        }));
        assert_eq!(rig.state(), AssocState::Established);
        assert!(rig.events().is_empty());
        assert!(rig.stack.recv(rig.now, rig.id()).is_none());

        let mut rig = Rig::in_state(AssocState::CookieEchoed);
        assert_silent(rig.send(rig.own_tag, |w| {
            w.cookie_ack();
            end(w, true);
        }));
        assert_eq!(rig.state(), AssocState::CookieEchoed);

        let mut rig = Rig::new();
        let (offer, _, cookie) = one(rig.init(|_| {})).init();
        assert_silent(rig.send(offer.initiate_tag, |w| {
            w.cookie_echo(&cookie.unwrap());
            end(w, true);
        }));
        assert_eq!(rig.stack.stats().associations, 0);
    }
}

#[test]
fn an_abort_behind_other_chunks_is_found() {
    let mut rig = Rig::in_state(AssocState::Established);
    rig.send(PEER_TAG, |w| {
        w.error(|c| c.protocol_violation(b""));
        w.abort(true, |c| c.user_abort(b"bye"));
    });
    let want = LossReason::PeerAbort { cause: 12, info: Bytes::from_static(b"bye") };
    assert_eq!(lost(&rig.events()), Some(&want));
}

#[test]
fn a_reflected_abort_means_nothing_in_cookie_wait() {
    let mut rig = Rig::in_state(AssocState::CookieWait);
    for tag in [0x1234, rig.own_tag] {
        assert_silent(rig.send(tag, |w| w.abort(true, |_| {})));
        assert_eq!(rig.state(), AssocState::CookieWait);
    }
    // A refusal has our tag and no T bit.
    assert_silent(rig.send(rig.own_tag, |w| w.abort(false, |_| {})));
    assert_eq!(rig.state(), AssocState::Closed);
}

#[test]
fn shutdown_complete_only_in_shutdown_ack_sent() {
    for (tag_is_own, reflected, ends) in
        [(true, false, true), (true, true, false), (false, false, false), (false, true, true)]
    {
        let mut rig = Rig::in_state(AssocState::ShutdownAckSent);
        let tag = if tag_is_own { rig.own_tag } else { PEER_TAG };
        assert_silent(rig.send(tag, |w| w.shutdown_complete(reflected)));
        assert_eq!(rig.state() == AssocState::Closed, ends, "own tag {tag_is_own}, T {reflected}");
        assert_eq!(rig.events().contains(&Event::ShutdownComplete), ends);
    }
    let mut rig = Rig::in_state(AssocState::ShutdownSent);
    assert_silent(rig.send(rig.own_tag, |w| w.shutdown_complete(false)));
    assert_eq!(rig.state(), AssocState::ShutdownSent);
}

#[test]
fn shutdown_ack_before_established_is_out_of_the_blue_whatever_its_tag() {
    for state in [AssocState::CookieWait, AssocState::CookieEchoed] {
        let mut rig = Rig::in_state(state);
        for tag in [rig.own_tag, 0x7777] {
            assert_complete(rig.send(tag, |w| w.shutdown_ack()), tag, true);
            assert_eq!(rig.state(), state);
        }
    }
}

#[test]
fn a_tag_is_not_given_out_again_at_once() {
    let mut rig = Rig::accepted(&[]);
    let tag = rig.own_tag;
    rig.send(tag, |w| w.abort(false, |_| {}));
    assert!(rig.stack.recent_tags.contains(tag));
    rig.pass(Duration::from_secs(61));
    rig.stack.recent_tags.expire(rig.now);
    assert!(!rig.stack.recent_tags.contains(tag));
}

#[test]
fn all_packets_carry_the_peers_tag() {
    let mut rig = Rig::in_state(AssocState::Established);
    assert_eq!(one(rig.send_data(b"x")).packet.vtag(), PEER_TAG);
    assert_eq!(one(rig.data(PEER_TSN)).packet.vtag(), PEER_TAG);
    rig.stack.abort(rig.now, rig.id(), Bytes::new()).unwrap();
    assert_abort(rig.drain(), PEER_TAG, false, &[12]);
}

#[test]
fn a_second_init_ack_from_another_address_is_discarded() {
    let mut rig = Rig::in_state(AssocState::Established);
    let init_ack = |w: &mut PacketWriter<'_>| w.init(true, &fixed(), |p| p.state_cookie(b"c"));
    // The peer would take an ABORT with this tag for one of its association.
    assert_silent(rig.send_from(path(9), rig.own_tag, init_ack));
    assert_eq!(rig.state(), AssocState::Established);
    let unknown = rig.own_tag ^ 1;
    assert_abort(rig.send_from(path(9), unknown, init_ack), unknown, true, &[]);
}

#[test]
fn other_addresses_and_ports_are_out_of_the_blue() {
    let mut rig = Rig::in_state(AssocState::Established);
    let tag = rig.own_tag;
    assert_abort(rig.send_from(path(9), tag, |w| data(w, PEER_TSN)), tag, true, &[]);
    let mut out = Vec::new();
    let mut w = PacketWriter::new(&mut out, 1000, PEER_PORT + 1, PORT, tag);
    data(&mut w, PEER_TSN);
    w.finish();
    assert_abort(rig.receive(path(1), out), tag, true, &[]);
    assert_eq!(rig.state(), AssocState::Established);
    assert!(rig.events().is_empty());
}
