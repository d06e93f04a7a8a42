//! Packets out of the blue (RFC 9260 sec 8.4).

use super::*;
use crate::config::Ootb;

const TAG: u32 = 0x1357_9bdf;

fn rig() -> Rig {
    Rig::in_state(AssocState::Closed)
}

#[test]
fn addresses_that_are_not_unicast_get_no_answer() {
    for bad in ["224.0.0.1", "255.255.255.255", "0.0.0.0", "ff02::1", "::"] {
        let mut rig = rig();
        let remote = PathAddr { remote: bad.parse().unwrap(), ..path(1) };
        let local = PathAddr { local: Some(bad.parse().unwrap()), ..path(1) };
        for from in [remote, local] {
            assert_silent(rig.send_from(from, TAG, |w| data(w, PEER_TSN)));
            assert_silent(rig.send_from(from, 0, |w| w.init(false, &fixed(), |_| {})));
        }
    }
}

#[test]
fn an_abort_anywhere_gets_no_answer() {
    assert_silent(rig().send(TAG, |w| w.abort(false, |_| {})));
    assert_silent(rig().send(TAG, |w| {
        w.shutdown_ack();
        w.abort(true, |_| {});
    }));
}

#[test]
fn shutdown_ack_gets_shutdown_complete_with_the_reflected_tag() {
    assert_complete(rig().send(TAG, |w| w.shutdown_ack()), TAG, true);
    assert_complete(
        rig().send(TAG, |w| {
            sack(w, Tsn(1));
            w.shutdown_ack();
        }),
        TAG,
        true,
    );
}

#[test]
fn shutdown_complete_cookie_ack_and_stale_cookie_get_no_answer() {
    assert_silent(rig().send(TAG, |w| w.shutdown_complete(false)));
    assert_silent(rig().send(TAG, |w| w.shutdown_complete(true)));
    assert_silent(rig().send(TAG, |w| w.cookie_ack()));
    assert_silent(rig().send(TAG, |w| w.error(|c| c.stale_cookie(1))));
}

#[test]
fn everything_else_gets_an_abort_with_the_reflected_tag() {
    assert_abort(rig().send(TAG, |w| data(w, PEER_TSN)), TAG, true, &[]);
    assert_abort(rig().send(TAG, |w| sack(w, PEER_TSN)), TAG, true, &[]);
    assert_abort(rig().send(TAG, |w| w.heartbeat(b"x")), TAG, true, &[]);
    assert_abort(rig().send(TAG, |w| w.shutdown(PEER_TSN)), TAG, true, &[]);
    assert_abort(rig().send(TAG, |w| w.error(|c| c.out_of_resource())), TAG, true, &[]);
    assert_abort(rig().send(TAG, |w| w.init(true, &fixed(), |_| {})), TAG, true, &[]);
    assert_abort(rig().send(TAG, |w| w.raw_chunk(0xc1, 0, b"?")), TAG, true, &[]);
}

#[test]
fn the_reply_goes_back_the_way_the_packet_came() {
    let from = PathAddr { encap: Encap::Udp { remote_port: 1234 }, ..path(3) };
    let sent = one(rig().send_from(from, TAG, |w| data(w, PEER_TSN)));
    assert_eq!(sent.path, from);
    assert_eq!((sent.packet.src_port(), sent.packet.dst_port()), (PORT, PEER_PORT));
}

#[test]
fn replies_are_rate_limited() {
    let config = StackConfig { ootb_rate: 10, ..StackConfig::default() };
    let mut rig = Rig::with(config, AssocConfig::default());
    let replies = (0..100).filter(|_| !rig.send(TAG, |w| data(w, PEER_TSN)).is_empty()).count();
    assert_eq!(replies, 10);
    rig.pass(Duration::from_secs(1));
    assert_abort(rig.send(TAG, |w| data(w, PEER_TSN)), TAG, true, &[]);
}

#[test]
fn native_packets_for_ports_of_others_get_no_answer() {
    let native = PathAddr { encap: Encap::Native, ..path(1) };
    let to = packet_to;
    let mut rig = Rig::new();
    assert_silent(rig.receive(native, to(PORT + 1, TAG, |w| data(w, PEER_TSN))));
    assert_silent(rig.receive(native, to(PORT + 1, 0, |w| w.init(false, &fixed(), |_| {}))));
    // Packets for our ports are answered: a peer in SHUTDOWN-ACK-SENT waits for it.
    assert_complete(rig.receive(native, to(PORT, TAG, |w| w.shutdown_ack())), TAG, true);

    let config = StackConfig { ootb_native: true, ..StackConfig::default() };
    let mut rig = Rig::with(config, AssocConfig::default());
    assert_abort(rig.receive(native, to(PORT + 1, TAG, |w| data(w, PEER_TSN))), TAG, true, &[]);
}

/// A packet of the peer to one of our ports.
fn packet_to(port: u16, vtag: u32, write: fn(&mut PacketWriter<'_>)) -> Vec<u8> {
    let mut out = Vec::new();
    let mut w = PacketWriter::new(&mut out, 1000, PEER_PORT, port, vtag);
    write(&mut w);
    w.finish();
    out
}

/// Replicas behind one address get packets that belong to each other's associations.
#[test]
fn a_silent_stack_answers_nothing_that_is_not_its_own() {
    type Write = fn(&mut PacketWriter<'_>);
    let strange: [(u32, Write); 5] = [
        (TAG, |w| data(w, PEER_TSN)),
        (TAG, |w| w.shutdown_ack()),
        (TAG, |w| w.raw_chunk(0xc1, 0, b"?")),
        (0, |w| w.init(false, &fixed(), |_| {})),
        (0, |w| w.init(false, &InitFixed { a_rwnd: 7, ..fixed() }, |_| {})),
    ];
    // Which of them are answered at a port that listens, at one that is only bound, and at an
    // unused one.
    let answered = |ootb, native: bool| {
        let encap = if native { Encap::Native } else { UDP };
        let from = PathAddr { encap, ..path(1) };
        let config = StackConfig { ootb, ..StackConfig::default() };
        let mut rig = Rig::with(config, AssocConfig::default());
        rig.stack.bind(PORT + 1, &[], AssocConfig::default()).unwrap();
        [PORT, PORT + 1, PORT + 2].map(|port| {
            strange.map(|(tag, write)| !rig.receive(from, packet_to(port, tag, write)).is_empty())
        })
    };
    let (all, none, inits) = ([true; 5], [false; 5], [false, false, false, true, true]);
    for native in [false, true] {
        let elsewhere = if native { none } else { all };
        assert_eq!(answered(Ootb::Abort, native), [all, all, elsewhere]);
        assert_eq!(answered(Ootb::OwnPorts, native), [all, all, none]);
        assert_eq!(answered(Ootb::Silent, native), [inits, none, none]);
    }
}

#[test]
fn a_silent_stack_finishes_its_own_associations() {
    let silent = StackConfig { ootb: Ootb::Silent, ..StackConfig::default() };
    let mut rig = Rig::with(silent, AssocConfig::default());
    rig.accept(&[]);
    let tag = rig.own_tag;
    rig.stack.shutdown(rig.now, rig.id()).unwrap();
    rig.drain();
    assert_complete(rig.send(tag, |w| w.shutdown_ack()), PEER_TAG, false);
    // The SHUTDOWN COMPLETE was lost.
    assert_complete(rig.send(tag, |w| w.shutdown_ack()), tag, true);
    // The peer still waits for the SHUTDOWN COMPLETE of an earlier association.
    rig.connect(&[1]);
    assert_complete(rig.send(TAG, |w| w.shutdown_ack()), TAG, true);
}

#[test]
fn late_packets_get_no_abort_that_could_overtake_our_shutdown_complete() {
    let mut rig = Rig::in_state(AssocState::ShutdownSent);
    let tag = rig.own_tag;
    assert_complete(rig.send(tag, |w| w.shutdown_ack()), PEER_TAG, false);
    assert_silent(rig.send(tag, |w| sack(w, PEER_TSN)));
    rig.pass(Duration::from_millis(999));
    assert_silent(rig.send(tag, |w| data(w, PEER_TSN)));
    // The SHUTDOWN COMPLETE was lost.
    assert_complete(rig.send(tag, |w| w.shutdown_ack()), tag, true);
    rig.pass(Duration::from_millis(999));
    assert_silent(rig.send(tag, |w| data(w, PEER_TSN)));
    // After an RTO it has arrived or is lost.
    rig.pass(Duration::from_millis(1));
    assert_abort(rig.send(tag, |w| data(w, PEER_TSN)), tag, true, &[]);
}

#[test]
fn late_packets_get_an_abort_when_the_peer_sent_shutdown_complete() {
    let mut rig = Rig::in_state(AssocState::ShutdownAckSent);
    let tag = rig.own_tag;
    assert_silent(rig.send(tag, |w| w.shutdown_complete(false)));
    assert_eq!(rig.state(), AssocState::Closed);
    assert_abort(rig.send(tag, |w| data(w, PEER_TSN)), tag, true, &[]);
}
