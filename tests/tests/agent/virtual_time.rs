//! The protocol in virtual time: every packet is the right one and is sent at the right time.

use sctp_user_core::wire::Chunk;

use crate::driver::{start, start_virtual, unhex, value};
use crate::peer::{PEER_TAG, PEER_TSN, Peer, listen};

#[test]
fn handshake_from_the_peer() {
    let mut agent = start_virtual();
    listen(&mut agent);
    agent.expect("accept id=1", "err 11");
    let mut peer = Peer::new();
    assert_eq!(peer.connect(&mut agent, 1), 2);
    agent.expect("rxpkt", "err 11");
    agent.expect("accept id=1", "err 11");
    let status = agent.ok("get id=2 opt=status");
    assert_eq!(status, "ok state=established rwnd=100000 unack=0 pend=0 in=5 out=6 frag=1452");
    agent.expect("paddrs id=2", "ok addrs=192.0.2.1:2000");
    agent.expect("laddrs id=2", "ok addrs=192.168.0.1:1000");
    agent.expect("recv id=2 max=100", "err 11");
}

#[test]
fn handshake_from_the_agent() {
    let mut agent = start_virtual();
    agent.expect("socket fam=4 type=stream", "ok id=1");
    agent.expect("bind id=1 addr=192.168.0.7:1000", "ok");
    agent.expect("connected id=1", "err 107");
    agent.expect("connect id=1 addr=192.0.2.1:2000", "err 115");
    agent.expect("connected id=1", "err 11");
    agent.expect("connect id=1 addr=192.0.2.1:2000", "err 114");
    agent.expect("soerror id=1", "ok errno=115");
    assert_eq!(value(&agent.ok("get id=1 opt=status"), "state"), "cookie_wait");
    let mut peer = Peer::new();
    let init = peer.take_chunks(&mut agent, &[1]);
    assert_eq!(
        (init.at, init.source, init.destination),
        (0, "192.168.0.7".parse().unwrap(), peer.addr)
    );
    let Chunk::Init(chunk) = &init.chunks()[0] else { panic!("an INIT") };
    assert_eq!((chunk.outbound_streams, chunk.inbound_streams), (10, 65535));
    assert_eq!(chunk.params.iter().count(), 0, "nothing to list with one address");
    peer.answer(&mut agent, &init);
    agent.expect("connected id=1", "ok");
    agent.expect("connect id=1 addr=192.0.2.1:2000", "err 106");
    agent.expect("soerror id=1", "ok errno=0");
    agent.expect("rxpkt", "err 11");
}

#[test]
fn the_same_requests_give_the_same_replies() {
    let run = || {
        let mut agent = start_virtual();
        agent.ok("socket fam=4 type=stream");
        agent.expect("connect id=1 addr=192.0.2.1:2000", "err 115");
        agent.ok("advance to=10000000");
        std::iter::from_fn(|| Some(agent.ask("rxpkt")).filter(|r| r != "err 11"))
            .collect::<Vec<_>>()
    };
    let first = run();
    assert_eq!(first.len(), 4);
    assert_eq!(first, run());
}

#[test]
fn init_is_repeated_and_given_up_at_the_times_of_the_rfc() {
    let mut agent = start_virtual();
    agent.ok("socket fam=4 type=stream");
    agent.expect("set id=1 opt=initmsg attempts=3 timeo=3000", "ok");
    agent.expect("connect id=1 addr=192.0.2.1:2000", "err 115");
    agent.expect("advance to=8999999", "ok");
    agent.expect("connected id=1", "err 11");
    agent.expect("advance to=9000000", "ok");
    agent.expect("connected id=1", "err 110");
    agent.expect("soerror id=1", "ok errno=110");
    agent.expect("soerror id=1", "ok errno=0");
    let peer = Peer::new();
    let times: Vec<u64> = (0..4).map(|_| peer.take_chunks(&mut agent, &[1]).at).collect();
    assert_eq!(times, [0, 1_000_000, 3_000_000, 6_000_000]);
    agent.expect("rxpkt", "err 11");
}

#[test]
fn a_refused_attempt() {
    let mut agent = start_virtual();
    agent.ok("socket fam=4 type=stream");
    agent.expect("bind id=1 addr=0.0.0.0:1000", "ok");
    agent.expect("connect id=1 addr=192.0.2.1:2000", "err 115");
    let mut peer = Peer::new();
    let init = peer.take_chunks(&mut agent, &[1]);
    let Chunk::Init(chunk) = &init.chunks()[0] else { panic!("an INIT") };
    peer.agent_tag = chunk.initiate_tag;
    peer.send(&mut agent, |w| w.abort(false, |_| {}));
    agent.expect("connected id=1", "err 111");
    agent.expect("soerror id=1", "ok errno=111");
}

#[test]
fn data_in_both_directions() {
    let mut agent = start_virtual();
    listen(&mut agent);
    let mut peer = Peer::new();
    peer.connect(&mut agent, 1);
    agent.expect("advance to=50000", "ok");

    // The first DATA is acknowledged at once. The second waits for the SACK delay, and so does the
    // third, which the same SACK acknowledges.
    peer.send_data(&mut agent, 0, 3, 0, b"hello");
    let sack = peer.take_chunks(&mut agent, &[3]);
    assert_eq!((sack.at, sack.sctp.vtag()), (50_000, PEER_TAG));
    let tsn = PEER_TSN;
    agent.expect(
        "recv id=2 max=100",
        &format!(
            "ok len=5 sid=3 ssn=0 ppid=7 tsn={tsn} cumtsn={tsn} flags=eor from=192.0.2.1:2000 \
             data=68656c6c6f"
        ),
    );
    peer.send_data(&mut agent, 1, 3, 1, b"again");
    agent.expect("rxpkt", "err 11");
    agent.expect("advance to=300000", "ok");
    assert_eq!(peer.take_chunks(&mut agent, &[3]).at, 250_000);
    // If the buffer is too small, the message comes in pieces.
    let first = agent.ok("recv id=2 max=2");
    assert_eq!(
        (value(&first, "len"), value(&first, "flags"), value(&first, "data")),
        ("2", "", "6167")
    );
    let rest = agent.ok("recv id=2 max=100");
    assert_eq!(
        (value(&rest, "ssn"), value(&rest, "flags"), value(&rest, "data")),
        ("1", "eor", "61696e")
    );
    peer.send_data(&mut agent, 2, 3, 2, b"x");
    peer.send_data(&mut agent, 3, 3, 3, b"y");
    assert_eq!(peer.take_chunks(&mut agent, &[3]).at, 300_000);

    agent.expect("send id=2 sid=2 ppid=258 flags=unord,sackimm data=c0ffee", "ok len=3");
    let sent = peer.take_chunks(&mut agent, &[0]);
    let Chunk::Data(data) = &sent.chunks()[0] else { panic!("DATA") };
    assert_eq!((data.tsn.0, data.stream, data.ppid), (peer.agent_tsn, 2, 258));
    assert!(data.flags.unordered && data.flags.immediate && data.flags.begin && data.flags.end);
    assert_eq!(&data.payload[..], [0xc0, 0xff, 0xee]);
    assert_eq!(value(&agent.ok("get id=2 opt=status"), "unack"), "1");
    peer.send_sack(&mut agent, 1);
    assert_eq!(value(&agent.ok("get id=2 opt=status"), "unack"), "0");
}

#[test]
fn lost_data_is_repeated_with_backoff_until_the_association_is_given_up() {
    let mut agent = start_virtual();
    listen(&mut agent);
    agent.expect("set id=1 opt=associnfo maxrxt=3", "ok");
    agent.expect("set id=1 opt=paddrparams hbinterval=600000", "ok");
    agent.expect("set id=1 opt=event type=assoc on=1", "ok");
    let mut peer = Peer::new();
    peer.connect(&mut agent, 1);
    agent.ok("recv id=2 max=100"); // the notification that it is up
    agent.expect("advance to=1000", "ok");
    agent.expect("send id=2 data=00", "ok len=1");
    agent.expect("advance to=60000000", "ok");
    let sent: Vec<_> = (0..4).map(|_| peer.take(&mut agent)).collect();
    assert!(sent.iter().all(|s| s.kinds() == [0]));
    let times: Vec<u64> = sent.iter().map(|s| s.at).collect();
    assert_eq!(times, [1_000, 1_001_000, 3_001_000, 7_001_000]);
    // After the fourth expiry there is one ABORT.
    assert_eq!(peer.take_chunks(&mut agent, &[6]).at, 15_001_000);
    agent.expect("rxpkt", "err 11");
    let lost = agent.ok("recv id=2 max=100");
    let note = unhex(value(&lost, "data"));
    assert_eq!(
        (value(&lost, "flags"), u16_at(&note, 0), u16_at(&note, 8)),
        ("eor,notif", 0x8001, 1)
    );
    agent.expect("recv id=2 max=100", "err 110");
    assert!(agent.ok("recv id=2 max=100").starts_with("ok len=0 "));
    assert_eq!(value(&agent.ok("get id=2 opt=status"), "state"), "closed");
}

#[test]
fn nagle_waits_for_the_acknowledgement_unless_it_is_switched_off() {
    let mut agent = start_virtual();
    listen(&mut agent);
    let mut peer = Peer::new();
    peer.connect(&mut agent, 1);
    agent.expect("get id=2 opt=nodelay", "ok on=0");
    agent.expect("send id=2 data=01", "ok len=1");
    agent.expect("send id=2 data=02", "ok len=1");
    agent.expect("send id=2 data=03", "ok len=1");
    peer.take_chunks(&mut agent, &[0]);
    agent.expect("rxpkt", "err 11");
    peer.send_sack(&mut agent, 1);
    peer.take_chunks(&mut agent, &[0, 0]);
    agent.expect("set id=2 opt=nodelay on=1", "ok");
    agent.expect("send id=2 data=04", "ok len=1");
    peer.take_chunks(&mut agent, &[0]);
    // The last fragment of a long message is not held back.
    agent.expect("set id=2 opt=nodelay on=0", "ok");
    peer.send_sack(&mut agent, 4);
    agent.expect(&format!("send id=2 data={}", "ab".repeat(2000)), "ok len=2000");
    peer.take_chunks(&mut agent, &[0]);
    peer.take_chunks(&mut agent, &[0]);
}

#[test]
fn shutdown_by_the_agent() {
    let mut agent = start_virtual();
    listen(&mut agent);
    let mut peer = Peer::new();
    peer.connect(&mut agent, 1);
    agent.expect("send id=2 data=aa flags=eof", "ok len=1");
    peer.take_chunks(&mut agent, &[0]);
    assert_eq!(value(&agent.ok("get id=2 opt=status"), "state"), "shutdown_pending");
    agent.expect("send id=2 data=bb", "err 32");
    peer.send_sack(&mut agent, 1);
    peer.take_chunks(&mut agent, &[7]);
    assert_eq!(value(&agent.ok("get id=2 opt=status"), "state"), "shutdown_sent");
    agent.expect("advance to=1000000", "ok");
    assert_eq!(peer.take_chunks(&mut agent, &[7]).at, 1_000_000);
    peer.send(&mut agent, |w| w.shutdown_ack());
    peer.take_chunks(&mut agent, &[14]);
    assert!(agent.ok("recv id=2 max=100").starts_with("ok len=0 "));
    assert_eq!(value(&agent.ok("get id=2 opt=status"), "state"), "closed");
    agent.expect("close id=2", "ok");
    agent.expect("close id=2", "err 9");
}

#[test]
fn shutdown_by_the_peer() {
    let mut agent = start_virtual();
    listen(&mut agent);
    let mut peer = Peer::new();
    peer.connect(&mut agent, 1);
    peer.send(&mut agent, |w| w.shutdown(sctp_user_core::Tsn(peer.agent_tsn.wrapping_sub(1))));
    peer.take_chunks(&mut agent, &[8]);
    assert_eq!(value(&agent.ok("get id=2 opt=status"), "state"), "shutdown_ack_sent");
    peer.send(&mut agent, |w| w.shutdown_complete(false));
    assert!(agent.ok("recv id=2 max=1").starts_with("ok len=0 "));
    agent.expect("send id=2 data=00", "err 32");
}

#[test]
fn closing_is_graceful_or_an_abort() {
    for (prepare, expected) in [
        (&[][..], 7),
        (&["set id=2 opt=linger on=1 secs=0"][..], 6),
        (&["set id=2 opt=linger on=1 secs=5"][..], 7),
        (&["recv id=2 max=1"][..], 6), // half of a message is left
    ] {
        let mut agent = start_virtual();
        listen(&mut agent);
        let mut peer = Peer::new();
        peer.connect(&mut agent, 1);
        peer.send_data(&mut agent, 0, 0, 0, b"ab");
        peer.take_chunks(&mut agent, &[3]);
        if expected == 7 {
            agent.ok("recv id=2 max=100");
        }
        for request in prepare {
            agent.ok(request);
        }
        agent.expect("close id=2", "ok");
        assert_eq!(peer.take(&mut agent).kinds(), [expected], "{prepare:?}");
    }
    // Unread data alone makes it an ABORT.
    let mut agent = start_virtual();
    listen(&mut agent);
    let mut peer = Peer::new();
    peer.connect(&mut agent, 1);
    peer.send_data(&mut agent, 0, 0, 0, b"ab");
    peer.take_chunks(&mut agent, &[3]);
    agent.expect("close id=2", "ok");
    peer.take_chunks(&mut agent, &[6]);
}

#[test]
fn aborts_carry_a_reason_and_are_told() {
    let mut agent = start_virtual();
    listen(&mut agent);
    agent.expect("set id=1 opt=event type=assoc on=1", "ok");
    let mut peer = Peer::new();
    peer.connect(&mut agent, 1);
    let up = unhex(value(&agent.ok("recv id=2 max=100"), "data"));
    assert_eq!((up.len(), u16_at(&up, 8), u16_at(&up, 12), u16_at(&up, 14)), (20, 0, 6, 5));
    agent.expect("send id=2 flags=abort data=627965", "ok len=3");
    let sent = peer.take_chunks(&mut agent, &[6]);
    let Chunk::Abort { causes, .. } = &sent.chunks()[0] else { panic!("an ABORT") };
    let cause = causes.iter().next().unwrap();
    assert_eq!((cause.code(), cause.info()), (12, &b"bye"[..]));

    let mut peer = Peer::new();
    peer.handshake(&mut agent);
    agent.expect("accept id=1", "ok id=3 peer=192.0.2.1:2000");
    peer.send(&mut agent, |w| w.abort(false, |c| c.user_abort(b"no")));
    agent.ok("recv id=3 max=100"); // up
    let lost = unhex(value(&agent.ok("recv id=3 max=100"), "data"));
    assert_eq!((u16_at(&lost, 0), u16_at(&lost, 8), u16_at(&lost, 10)), (0x8001, 1, 12));
    assert_eq!(lost[20..], [6, 0, 0, 10, 0, 12, 0, 6, b'n', b'o']);
    agent.expect("soerror id=3", "ok errno=104");
    assert!(agent.ok("recv id=3 max=1").starts_with("ok len=0 "));
}

#[test]
fn notifications_of_errors_failed_messages_and_shutdown() {
    let mut agent = start_virtual();
    listen(&mut agent);
    for kind in ["sendfail", "peererr", "shutdown", "addr", "pdapi", "data_io"] {
        agent.expect(&format!("set id=1 opt=event type={kind} on=1"), "ok");
    }
    agent.expect("get id=1 opt=event type=peererr", "ok type=peererr on=1");
    let mut peer = Peer::new();
    peer.connect(&mut agent, 1);
    peer.send(&mut agent, |w| w.error(|c| c.unrecognized_chunk(&[0x3f, 0, 0, 4])));
    let note = agent.ok("recv id=2 max=1000");
    let error = unhex(value(&note, "data"));
    assert_eq!(value(&note, "from"), "192.0.2.1:2000");
    assert_eq!(
        (u16_at(&error, 0), &error[8..10], &error[16..]),
        (0x8004, &[0, 6][..], &[0x3f, 0, 0, 4][..])
    );

    agent.expect("send id=2 sid=1 ppid=66051 ctx=77 data=abcd", "ok len=2");
    peer.take_chunks(&mut agent, &[0]);
    peer.send(&mut agent, |w| w.abort(false, |_| {}));
    let failed = unhex(value(&agent.ok("recv id=2 max=1000"), "data"));
    assert_eq!((u16_at(&failed, 0), u16_at(&failed, 2), u16_at(&failed, 12)), (0x8003, 1, 1));
    assert_eq!((&failed[20..24], &failed[48..]), (&[0, 1, 2, 3][..], &[0xab, 0xcd][..]));
    assert_eq!(u32::from_ne_bytes(failed[24..28].try_into().unwrap()), 77);

    let mut peer = Peer::new();
    peer.handshake(&mut agent);
    agent.expect("accept id=1", "ok id=3 peer=192.0.2.1:2000");
    peer.send(&mut agent, |w| w.shutdown(sctp_user_core::Tsn(peer.agent_tsn.wrapping_sub(1))));
    let shutdown = unhex(value(&agent.ok("recv id=3 max=1000"), "data"));
    assert_eq!((u16_at(&shutdown, 0), shutdown.len()), (0x8005, 12));
}

#[test]
fn out_of_the_blue_packets_are_answered() {
    let mut agent = start_virtual();
    let peer = Peer::new();
    peer.send_with(&mut agent, 99, |w| w.cookie_echo(b"what"));
    agent.expect("rxpkt", "err 11");
    peer.send_with(&mut agent, 99, |w| w.shutdown_ack());
    let sent = peer.take_chunks(&mut agent, &[14]);
    assert_eq!((sent.sctp.vtag(), sent.source), (99, peer.agent_addr));
    peer.send_with(&mut agent, 0, |w| w.init(false, &crate::peer::init(), |_| {}));
    assert_eq!(peer.take_chunks(&mut agent, &[6]).sctp.vtag(), PEER_TAG);
    // Bytes that are no packet are ignored.
    agent.expect("inject data=4500", "ok");
    agent.expect("inject data=45x0", "err 22");
    agent.expect("rxpkt", "err 11");
}

#[test]
fn over_udp_and_ipv6() {
    let mut agent = start(&[("SUT_VIRTUAL", "1"), ("SUT_UDP_PORT", "9899")]);
    agent.expect("socket fam=6 type=stream", "ok id=1");
    agent.expect("bind id=1 addr=[2001:db8::1]:1000", "ok");
    agent.expect("connect id=1 addr=[2001:db8::2]:2000", "err 115");
    let mut peer = Peer::new();
    peer.addr = "2001:db8::2".parse().unwrap();
    peer.udp = Some((9899, 9899));
    peer.accept(&mut agent);
    assert_eq!(peer.agent_addr, "2001:db8::1".parse::<std::net::IpAddr>().unwrap());
    agent.expect("connected id=1", "ok");
    agent.expect("paddrs id=1", "ok addrs=[2001:db8::2]:2000");
    assert_eq!(value(&agent.ok("get id=1 opt=status"), "frag"), "1424");
    // The peer behind a NAT gets a new port.
    peer.udp = Some((4444, 9899));
    peer.send_data(&mut agent, 0, 0, 0, b"moved");
    peer.take_chunks(&mut agent, &[3]);
}

#[test]
fn one_to_many() {
    let mut agent = start_virtual();
    agent.expect("socket fam=4 type=seqpacket", "ok id=1");
    agent.expect("bind id=1 addr=192.168.0.1:1000", "ok");
    agent.expect("listen id=1 backlog=1", "ok");
    agent.expect("set id=1 opt=event type=assoc on=1", "ok");
    agent.expect("accept id=1", "err 95");
    agent.expect("shutdown id=1 how=1", "err 95");
    let mut peer = Peer::new();
    peer.handshake(&mut agent);
    let up = unhex(value(&agent.ok("recv id=1 max=100"), "data"));
    let assoc = u32::from_ne_bytes(up[16..20].try_into().unwrap());
    assert_eq!(assoc, 3);
    // Sending sets up an association.
    agent.expect("send id=1 to=192.0.2.99:2000 data=01", "ok len=1");
    assert_eq!(
        peer.take_chunks(&mut agent, &[1]).destination,
        "192.0.2.99".parse::<std::net::IpAddr>().unwrap()
    );
    agent.expect("send id=1 to=192.0.2.1:2000 data=02", "ok len=1");
    peer.take_chunks(&mut agent, &[0]);
    agent.expect("send id=1 data=03", "err 107");
    agent.expect(&format!("peeloff id=1 assoc={assoc}"), "ok id=2");
    agent.expect(&format!("peeloff id=1 assoc={assoc}"), "err 22");
    peer.send_data(&mut agent, 0, 0, 0, b"peeled");
    agent.expect("recv id=1 max=100", "err 11");
    assert_eq!(value(&agent.ok("recv id=2 max=100"), "len"), "6");
    agent.expect("send id=1 to=192.0.2.50:2000 flags=eof", "err 107");
}

#[test]
fn misuse_is_answered_with_numbers() {
    let mut agent = start_virtual();
    agent.expect("barrier", "ok");
    agent.expect("dance id=1", "err 95");
    agent.expect("", "err 95");
    agent.expect("bind id=1 addr=192.168.0.1:1000", "err 9");
    agent.expect("socket fam=5 type=stream", "err 22");
    agent.expect("socket fam=4 type=stream", "ok id=1");
    agent.expect("socket fam=4 type=stream", "ok id=2");
    agent.expect("bind id=1 addr=192.168.0.1:1000", "ok");
    agent.expect("bind id=1 addr=192.168.0.1:1001", "err 22");
    agent.expect("bind id=2 addr=192.168.0.1:1000", "err 98");
    agent.expect("bind id=2 addr=[::1]:1000", "err 22");
    agent.expect("bind id=2 addr=224.0.0.1:1001", "err 99");
    agent.expect("accept id=1", "err 22");
    agent.expect("recv id=1 max=1", "err 107");
    agent.expect("send id=1 data=00", "err 107");
    agent.expect("shutdown id=1 how=1", "err 107");
    agent.expect("paddrs id=1", "err 107");
    agent.expect("listen id=1 backlog=5", "ok");
    agent.expect("connect id=1 addr=192.0.2.1:2000", "err 22");
    agent.expect("connect id=2 addr=192.0.2.1:0", "err 22");
    agent.expect("set id=1 opt=colour value=1", "err 92");
    agent.expect("get id=1 opt=colour", "err 92");
    agent.expect("set id=1 opt=interleaving value=1", "err 92");
    agent.expect("advance to=5", "ok");
    agent.expect("advance to=4", "err 22");
    let mut peer = Peer::new();
    peer.connect(&mut agent, 1);
    agent.expect("send id=3 sid=6 data=00", "err 22");
    agent.expect("send id=3 data=", "err 22");
    agent.expect("send id=3 data=00 pr=rtx val=1", "err 95");
    agent.expect("bindx id=3 op=add addrs=192.168.0.9:1000", "err 95");
}

pub(crate) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_ne_bytes(bytes[at..at + 2].try_into().unwrap())
}
