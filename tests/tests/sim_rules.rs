//! Rules of RFC 9260 for single packets, tested from outside, by the answers of a living
//! association.

use std::time::Duration;

use sctp_user_core::sim::{IpPacket, Verdict};
use sctp_user_core::wire::{
    Cause, Chunk, DataFlags, InitFixed, PacketWriter, Param, cause_code, chunk_type, param_type,
};
use sctp_user_core::{
    AssocConfig, AssocState, Event, LossReason, PathStats, PeerAddrState, Ssn, Tsn,
};
use workspace_tests::duo::{DELAY, Duo};

use chunk_type::{
    ABORT, COOKIE_ACK, COOKIE_ECHO, DATA, ERROR, HEARTBEAT, HEARTBEAT_ACK, INIT, INIT_ACK, SACK,
    SHUTDOWN_ACK,
};

const SEC: Duration = Duration::from_secs(1);
const WHOLE: DataFlags = DataFlags { begin: true, end: true, unordered: false, immediate: false };

fn duo() -> Duo {
    Duo::new(AssocConfig::default())
}

/// Writes a whole message for stream 0. `n` counts the messages from 0.
fn data(w: &mut PacketWriter<'_>, n: u32) {
    w.data(Tsn(1_000 + n), 0, Ssn(n as u16), 0, WHOLE, b"data");
}

fn init(
    params: impl FnOnce(&mut sctp_user_core::wire::ParamWriter<'_>),
) -> impl FnOnce(&mut PacketWriter<'_>) {
    init_with(|_| {}, params)
}

fn init_with(
    change: impl FnOnce(&mut InitFixed),
    params: impl FnOnce(&mut sctp_user_core::wire::ParamWriter<'_>),
) -> impl FnOnce(&mut PacketWriter<'_>) {
    let mut fixed = InitFixed {
        initiate_tag: 77,
        a_rwnd: 100_000,
        outbound_streams: 5,
        inbound_streams: 5,
        initial_tsn: Tsn(5),
    };
    change(&mut fixed);
    move |w| w.init(false, &fixed, params)
}

/// The causes of the ABORT or ERROR in the only reply.
fn causes(replies: &[IpPacket]) -> Vec<(u16, Vec<u8>)> {
    assert_eq!(replies.len(), 1);
    let packet = replies[0].packet().unwrap();
    let mut out = Vec::new();
    for raw in packet.chunks() {
        if let Ok(Chunk::Abort { causes, .. } | Chunk::Error { causes }) = raw.decode(&packet) {
            out.extend(causes.iter().map(|c: Cause<'_>| (c.code(), c.info().to_vec())));
        }
    }
    out
}

#[test]
fn unknown_chunks_are_treated_as_their_two_high_bits_say() {
    let mut duo = duo();
    let mut answers = |kind: u8| {
        duo.provoke(|w| {
            w.raw_chunk(kind, 0, b"what is this");
            w.heartbeat(b"behind");
        })
    };
    assert_eq!(answers(0x3e), [[0_u8; 0]; 0], "stop");
    assert_eq!(answers(0x7e), [[ERROR]], "stop and report");
    assert_eq!(answers(0xbe), [[HEARTBEAT_ACK]], "skip");
    assert_eq!(answers(0xfe), [[HEARTBEAT_ACK, ERROR]], "skip and report");

    // The report about a large chunk stays small.
    let large = duo.from_a(|w| w.raw_chunk(0xfe, 0, &[9; 1400]));
    let replies = duo.sim.provoke(large).unwrap();
    assert!(replies[0].sctp.len() < 400, "{}", replies[0].sctp.len());
    assert_eq!(causes(&replies)[0].0, cause_code::UNRECOGNIZED_CHUNK);
    assert!(duo.lives_at_b());
}

#[test]
fn unknown_parameters_do_not_stop_the_setup() {
    let mut duo = duo();
    let packet = duo.from_a_with_tag(
        0,
        init(|p| {
            p.raw(0xfffe, b"skip, report");
            p.raw(0xbffe, b"skip");
            p.raw(0x7ffe, b"stop, report");
            p.raw(0xfffd, b"never read");
        }),
    );
    let packet = IpPacket { src: "10.1.0.9".parse().unwrap(), ..packet };
    let replies = duo.sim.provoke(packet).unwrap();
    let reply = replies[0].packet().unwrap();
    let Ok(Chunk::InitAck(ack)) = reply.chunks().next().unwrap().decode(&reply) else {
        panic!("{replies:?}")
    };
    let mut reported = Vec::new();
    for param in ack.params.iter() {
        if let Param::Unrecognized(whole) = param {
            reported.push(u16::from_be_bytes([whole[0], whole[1]]));
        }
    }
    assert_eq!(reported, [0xfffe, 0x7ffe]);
}

#[test]
fn broken_inits_are_refused_and_change_nothing() {
    let mut duo = duo();
    let mut refused = |change: fn(&mut InitFixed)| {
        let packet = duo.from_a_with_tag(0, init_with(change, |_| {}));
        let packet = IpPacket { src: "10.1.0.9".parse().unwrap(), ..packet };
        let replies = duo.sim.provoke(packet).unwrap();
        replies.first().map(|r| (r.chunk_kinds(), r.packet().unwrap().vtag()))
    };
    assert_eq!(refused(|i| i.initiate_tag = 0), None);
    assert_eq!(refused(|i| i.outbound_streams = 0), Some((vec![ABORT], 77)));
    assert_eq!(refused(|i| i.inbound_streams = 0), Some((vec![ABORT], 77)));
    assert_eq!(refused(|i| i.a_rwnd = 1499), Some((vec![ABORT], 77)));
    assert_eq!(refused(|_| {}), Some((vec![INIT_ACK], 77)));

    // An INIT that is not alone in its packet, or whose packet has a tag, gets no answer.
    let mut not_alone = duo.from_a_with_tag(0, |w| {
        init(|_| {})(w);
        w.cookie_ack();
    });
    not_alone.src = "10.1.0.9".parse().unwrap();
    assert!(duo.provoke_packet(not_alone).is_empty());
    let mut with_tag = duo.from_a_with_tag(5, init(|_| {}));
    with_tag.src = "10.1.0.9".parse().unwrap();
    assert!(duo.provoke_packet(with_tag).is_empty());
    // Host names are no longer allowed.
    let mut named =
        duo.from_a_with_tag(0, init(|p| p.raw(param_type::HOST_NAME, b"example.org\0")));
    named.src = "10.1.0.9".parse().unwrap();
    assert_eq!(duo.provoke_packet(named), [[ABORT]]);
    assert!(duo.lives_at_b());
}

#[test]
fn sacks_come_at_once_when_the_rules_say_so_and_late_otherwise() {
    let mut duo = duo();
    assert_eq!(duo.provoke(|w| data(w, 0)), [[SACK]], "the first DATA of the association");
    assert_eq!(duo.provoke(|w| data(w, 1)), [[0_u8; 0]; 0], "delayed");
    assert_eq!(duo.provoke(|w| data(w, 2)), [[SACK]], "every second packet");
    assert_eq!(duo.provoke(|w| data(w, 3)), [[0_u8; 0]; 0]);
    let sent = duo.sim.net.sent().count();
    duo.sim.run_for(Duration::from_millis(199));
    assert_eq!(duo.sim.net.sent().count(), sent, "nothing before the delay is over");
    duo.sim.run_for(Duration::from_millis(2));
    assert_eq!(duo.sim.net.sent().count(), sent + 1, "200 ms");
    let immediate = duo.provoke(|w| {
        w.data(Tsn(1_004), 0, Ssn(4), 0, DataFlags { immediate: true, ..WHOLE }, b"now");
    });
    assert_eq!(immediate, [[SACK]], "the I bit");
    assert_eq!(duo.provoke(|w| data(w, 6)), [[SACK]], "a gap opens");
    assert_eq!(duo.provoke(|w| data(w, 7)), [[SACK]], "the gap stays");
    assert_eq!(duo.provoke(|w| data(w, 5)), [[SACK]], "the gap closes");
    assert_eq!(duo.provoke(|w| data(w, 8)), [[0_u8; 0]; 0]);
    // A packet with only duplicates is acknowledged at once, and each copy is listed.
    let again = duo.from_a(|w| {
        data(w, 6);
        data(w, 7);
    });
    let replies = duo.sim.provoke(again).unwrap();
    let packet = replies[0].packet().unwrap();
    let Ok(Chunk::Sack(sack)) = packet.chunks().next().unwrap().decode(&packet) else {
        panic!("{replies:?}")
    };
    assert_eq!(sack.cum_tsn, Tsn(1_008));
    assert_eq!(sack.dups().collect::<Vec<_>>(), [Tsn(1_006), Tsn(1_007)]);
    assert_eq!(duo.sim[duo.b].app.received.len(), 9);
}

#[test]
fn acknowledging_what_was_never_sent_ends_the_association() {
    for gap in [None, Some((2, 65_535))] {
        let mut duo = duo();
        let to_a = duo.to_a;
        duo.sim.with(duo.b, |h, now| h.send(now, to_a, 0, "one").unwrap());
        let cum = if gap.is_none() { Tsn(2_001) } else { Tsn(1_999) };
        let packet = duo.from_a(|w| w.sack(cum, 10_000, gap.into_iter(), &[]));
        let replies = duo.sim.provoke(packet).unwrap();
        assert_eq!(causes(&replies)[0].0, cause_code::PROTOCOL_VIOLATION);
        let lost = |e: &Event| matches!(e, Event::Lost(LossReason::ProtocolViolation(_)));
        assert!(duo.sim[duo.b].app.events.iter().any(|(_, _, e)| lost(e)));
    }
}

#[test]
fn empty_data_ends_the_association_and_a_bad_stream_does_not() {
    let mut duo = duo();
    let bad_stream = duo.from_a(|w| w.data(Tsn(1_000), 4_711, Ssn(0), 0, WHOLE, b"x"));
    let replies = duo.sim.provoke(bad_stream).unwrap();
    assert_eq!(replies.len(), 1);
    assert_eq!(replies[0].chunk_kinds(), [ERROR, SACK], "{replies:?}");
    assert_eq!(causes(&replies), [(cause_code::INVALID_STREAM, vec![0x12, 0x67, 0, 0])]);
    assert!(duo.lives_at_b() && duo.sim[duo.b].app.received.is_empty());
    duo.provoke(|w| data(w, 1));
    assert_eq!(duo.sim[duo.b].app.received.len(), 0, "SSN 0 has not come");
    duo.provoke(|w| w.data(Tsn(1_002), 0, Ssn(0), 0, WHOLE, b"first"));
    assert_eq!(duo.sim[duo.b].app.received.len(), 2, "the TSN of the bad one leaves no gap");

    let empty = duo.from_a(|w| w.data(Tsn(1_003), 0, Ssn(2), 0, WHOLE, b""));
    let replies = duo.sim.provoke(empty).unwrap();
    assert_eq!(causes(&replies), [(cause_code::NO_USER_DATA, 1_003_u32.to_be_bytes().to_vec())]);
    assert!(!duo.lives_at_b());
}

#[test]
fn fragments_that_do_not_fit_together_end_the_association() {
    let first = |w: &mut PacketWriter<'_>| {
        w.data(
            Tsn(1_000),
            0,
            Ssn(0),
            0,
            DataFlags { begin: true, ..DataFlags::default() },
            b"head",
        );
    };
    let (begin, end) = (DataFlags { end: false, ..WHOLE }, DataFlags { begin: false, ..WHOLE });
    let seconds: [(&str, u16, u16, DataFlags); 4] = [
        ("a new message", 0, 1, begin),
        ("another stream", 1, 0, end),
        ("another SSN", 0, 1, end),
        ("another kind", 0, 0, DataFlags { unordered: true, ..end }),
    ];
    for (what, stream, ssn, flags) in seconds {
        // The fragments arrive in order, or the second one first.
        for swap in [false, true] {
            let mut duo = duo();
            let second =
                |w: &mut PacketWriter<'_>| w.data(Tsn(1_001), stream, Ssn(ssn), 0, flags, b"tail");
            let replies = if swap {
                duo.provoke(second);
                duo.provoke(first)
            } else {
                duo.provoke(first);
                duo.provoke(second)
            };
            assert_eq!(replies, [[ABORT]], "{what}, swapped: {swap}");
        }
    }
}

#[test]
fn aborts_need_the_tag_that_their_t_bit_names() {
    let ends = |reflected: bool, tag_of_peer: bool| {
        let mut duo = duo();
        let status = duo.sim[duo.b].stack.status(duo.to_a).unwrap();
        let tag = if tag_of_peer { status.peer_tag } else { status.local_tag };
        let packet = duo.from_a_with_tag(tag, |w| w.abort(reflected, |_| {}));
        assert!(duo.provoke_packet(packet).is_empty(), "an ABORT is never answered");
        !duo.lives_at_b()
    };
    assert!(ends(false, false));
    assert!(ends(true, true));
    assert!(!ends(true, false));
    assert!(!ends(false, true));
}

#[test]
fn chunks_that_mean_nothing_now_are_ignored() {
    let mut duo = duo();
    // Ignore the counters, which count every packet, whatever it does.
    let paths = |duo: &Duo| {
        let mut paths = duo.sim[duo.b].stack.paths(duo.to_a);
        paths.iter_mut().for_each(|path| path.stats = PathStats::default());
        paths
    };
    let before = paths(&duo);
    let ignored: [fn(&mut PacketWriter<'_>); 5] = [
        |w| w.cookie_ack(),
        |w| w.heartbeat_ack(&[0, 1, 0, 16, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0]),
        |w| w.shutdown_complete(false),
        |w| w.error(|c| c.stale_cookie(5)),
        |w| w.sack(Tsn(1_500), 9_999, std::iter::empty(), &[]),
    ];
    for write in ignored {
        assert!(duo.provoke(write).is_empty());
    }
    let init_ack = InitFixed {
        initiate_tag: 5,
        a_rwnd: 9_999,
        outbound_streams: 1,
        inbound_streams: 1,
        initial_tsn: Tsn(9),
    };
    assert!(duo.provoke(|w| w.init(true, &init_ack, |p| p.state_cookie(b"cookie"))).is_empty());
    assert_eq!(paths(&duo), before);
    let to_b = duo.to_b;
    duo.sim.with(duo.a, |h, now| h.send(now, to_b, 0, "all is well").unwrap());
    duo.sim.run_for(SEC);
    assert_eq!(duo.sim[duo.b].app.received.len(), 1);
}

/// RFC 9260 sec 5.2.6: a cookie that arrives too late is refused, and a new INIT asks for more
/// time.
#[test]
fn a_stale_cookie_is_refused_and_the_setup_starts_over() {
    use sctp_user_core::StackConfig;
    use sctp_user_core::sim::{Link, Recorder, Sim};

    let mut sim = Sim::new(1);
    sim.net.set_default(Link::new().delay(DELAY, Duration::ZERO));
    let stack = StackConfig { cookie_life: Duration::from_millis(50), ..StackConfig::default() };
    let a = sim.host(&["10.1.0.1"], Recorder::default());
    let b = sim.host_with(stack, &["10.1.0.2"], Recorder::default());
    let peer = sim.with(b, |h, _| h.listen(5001));
    let mut seen = 0;
    sim.net.tap(move |_, packet| {
        seen += u32::from(packet.has(COOKIE_ECHO));
        // The first COOKIE ECHO is delayed.
        if seen == 1 && packet.has(COOKIE_ECHO) {
            Verdict::Delay(Duration::from_millis(200))
        } else {
            Verdict::Pass
        }
    });
    let id = sim.with(a, |h, now| h.connect(now, &peer));
    assert!(sim.run_until(10 * SEC, |sim| !sim[b].app.accepted.is_empty()));
    sim.run_for(SEC);
    assert_eq!(sim[a].stack.status(id).unwrap().state, AssocState::Established);
    let inits: Vec<_> =
        sim.net.sent().filter(|(_, p)| p.has(INIT)).map(|(_, p)| p.clone()).collect();
    assert_eq!(inits.len(), 2);
    let packet = inits[1].packet().unwrap();
    let Ok(Chunk::Init(init)) = packet.chunks().next().unwrap().decode(&packet) else {
        panic!("{inits:?}")
    };
    assert!(
        init.params
            .iter()
            .any(|p| matches!(p, Param::CookiePreservative { millis } if millis >= 200))
    );
    assert!(sim.net.sent().any(|(_, p)| p.chunk_kinds() == [ERROR]));
}

/// RFC 9260 sec 5.4: only heartbeats are sent to an address until it is confirmed to be the peer's.
#[test]
fn hard_case_38_unconfirmed_addresses_get_nothing_but_heartbeats() {
    use sctp_user_core::StackConfig;
    use sctp_user_core::sim::{Recorder, Sim};

    let mut sim = Sim::new(1);
    let a = sim.host(&["10.1.0.1", "10.2.0.1"], Recorder::default());
    let b = sim.host_with(StackConfig::default(), &["10.1.0.2", "10.2.0.2"], Recorder::default());
    // The second path of A does not exist: B cannot confirm the address.
    let (a1, a2) = ("10.1.0.1".parse().unwrap(), "10.2.0.1".parse().unwrap());
    for from in ["10.1.0.2", "10.2.0.2"] {
        sim.net.cut_one_way(from.parse().unwrap(), a2);
    }
    let peer = sim.with(b, |h, _| h.listen(5001));
    let to_b = sim.with(a, |h, now| h.connect(now, &peer));
    sim.run_for(SEC);
    let to_a = sim[b].app.accepted[0];
    // Now the first path of A fails, too, while B has much to send.
    for from in ["10.1.0.2", "10.2.0.2"] {
        sim.net.cut_one_way(from.parse().unwrap(), a1);
    }
    for _ in 0..20 {
        sim.with(b, |h, now| h.send(now, to_a, 0, [0; 1000]).unwrap());
    }
    sim.run_for(30 * SEC);
    let to_second: Vec<_> = sim.net.sent().filter(|(_, p)| p.dst == a2).collect();
    let is_probe =
        |p: &IpPacket| p.chunk_kinds().iter().all(|k| [HEARTBEAT, HEARTBEAT_ACK].contains(k));
    assert!(to_second.len() >= 3 && to_second.iter().all(|(_, p)| is_probe(p)), "{to_second:?}");
    // The second path begins to work: it is confirmed, and then used.
    for from in ["10.1.0.2", "10.2.0.2"] {
        sim.net.heal(from.parse().unwrap(), a2);
    }
    let confirmed = Event::PeerAddrChange { addr: a2, state: PeerAddrState::Confirmed };
    // The stack may wait for the answer to the last heartbeat for up to RTO.Max (60 s). The next
    // heartbeat comes after HB.interval (30 s) and at most one and a half times RTO.Max.
    assert!(sim.run_until(181 * SEC, |sim| sim[b].app.saw(to_a, &confirmed)));
    assert!(
        sim.run_until(300 * SEC, |sim| sim[a].app.received.len() == 20),
        "{}",
        sim[a].app.received.len()
    );
    assert!(sim.net.sent().any(|(_, p)| p.dst == a2 && p.has(DATA)));
    assert!(!sim[a].app.ended(to_b));
}

/// RFC 9260 sec 9.2 and 5.2.4 A: if a peer restarts while our SHUTDOWN ACK is unanswered, it must
/// finish that shutdown first.
#[test]
fn a_restart_while_shutting_down_is_answered_with_shutdown_ack() {
    let mut duo = duo();
    let (a, b, to_b) = (duo.a, duo.b, duo.to_b);
    // The restarted peer received its cookie while the association was still established.
    let new_init = duo.from_a_with_tag(0, init(|_| {}));
    let answer = duo.sim.provoke(new_init.clone()).unwrap().remove(0).packet().unwrap();
    let Ok(Chunk::InitAck(ack)) = answer.chunks().next().unwrap().decode(&answer) else {
        panic!("{answer:?}")
    };
    let cookie = ack.params.iter().find_map(|p| match p {
        Param::StateCookie(cookie) => Some(cookie.to_vec()),
        _ => None,
    });
    let echo = duo.from_a_with_tag(ack.initiate_tag, |w| w.cookie_echo(&cookie.unwrap()));

    duo.sim.net.cut_one_way("10.1.0.2".parse().unwrap(), "10.1.0.1".parse().unwrap());
    duo.sim.with(a, |h, now| h.stack.shutdown(now, to_b).unwrap());
    duo.sim.run_for(Duration::from_millis(50));
    let state = |duo: &Duo| duo.sim[b].stack.status(duo.to_a).unwrap().state;
    assert_eq!(state(&duo), AssocState::ShutdownAckSent);
    assert_eq!(duo.provoke_packet(new_init), [[SHUTDOWN_ACK]]);
    let replies = duo.sim.provoke(echo).unwrap();
    assert_eq!(replies.len(), 1);
    assert!(replies[0].has(SHUTDOWN_ACK), "{replies:?}");
    assert_eq!(causes(&replies), [(cause_code::COOKIE_WHILE_SHUTTING_DOWN, vec![])]);
    assert_eq!(state(&duo), AssocState::ShutdownAckSent);
    // A duplicate of the first COOKIE ECHO is acknowledged as usual.
    let first_echo = duo.sim.net.sent().find(|(_, p)| p.has(COOKIE_ECHO)).unwrap().1.clone();
    assert_eq!(duo.provoke_packet(first_echo), [[COOKIE_ACK]]);
    assert_eq!(state(&duo), AssocState::ShutdownAckSent);
}
