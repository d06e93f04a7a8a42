//! Options: a value that was set can be read, and has its effect.

use crate::driver::{start_virtual, value};
use crate::peer::{Peer, listen};

#[test]
fn defaults_are_those_of_the_rfc_and_of_linux() {
    let mut agent = start_virtual();
    agent.ok("socket fam=4 type=stream");
    for (option, expected) in [
        ("rtoinfo", "initial=1000 max=60000 min=1000"),
        ("associnfo", "maxrxt=10 cookie_life=60000"),
        ("initmsg", "os=10 is=65535 attempts=8 timeo=60000"),
        ("nodelay", "on=0"),
        ("recvrcvinfo", "on=0"),
        ("linger", "on=0 secs=0"),
        ("delayed_sack", "delay=200 freq=2"),
        ("maxseg", "value=0"),
        ("fragment_interleave", "value=0"),
        ("interleaving", "value=0"),
        ("enable_stream_reset", "value=0"),
        ("paddrparams", "hbinterval=30000 pathmaxrxt=5 pathmtu=0 flags=hb_enable,pmtud_enable"),
        ("event type=assoc", "type=assoc on=0"),
        ("status", "state=closed rwnd=0 unack=0 pend=0 in=0 out=0 frag=0"),
    ] {
        agent.expect(&format!("get id=1 opt={option}"), &format!("ok {expected}"));
    }
}

#[test]
fn what_is_set_can_be_read_and_zero_changes_nothing() {
    let mut agent = start_virtual();
    agent.ok("socket fam=4 type=stream");
    for (option, set, expected) in [
        ("rtoinfo", "initial=500 max=2000 min=100", "initial=500 max=2000 min=100"),
        ("rtoinfo", "initial=0 max=3000 min=0", "initial=500 max=3000 min=100"),
        ("associnfo", "maxrxt=4 cookie_life=5000", "maxrxt=4 cookie_life=5000"),
        ("initmsg", "os=3 is=4 attempts=2 timeo=700", "os=3 is=4 attempts=2 timeo=700"),
        ("initmsg", "os=5", "os=5 is=4 attempts=2 timeo=700"),
        ("nodelay", "on=1", "on=1"),
        ("event type=data_io", "on=1", "type=data_io on=1"),
        ("event type=addr", "on=1", "type=addr on=1"),
        ("recvrcvinfo", "on=1", "on=1"),
        ("linger", "on=1 secs=3", "on=1 secs=3"),
        ("delayed_sack", "delay=300 freq=4", "delay=300 freq=4"),
        ("delayed_sack", "delay=0 freq=1", "delay=0 freq=1"),
        ("delayed_sack", "delay=100 freq=0", "delay=100 freq=2"),
        ("maxseg", "value=100", "value=100"),
        ("fragment_interleave", "value=1", "value=1"),
        ("fragment_interleave", "value=0", "value=0"),
        (
            "paddrparams",
            "hbinterval=700 pathmaxrxt=2 flags=hb_disable,pmtud_enable",
            "hbinterval=700 pathmaxrxt=2 pathmtu=0 flags=hb_disable,pmtud_enable",
        ),
        (
            "paddrparams",
            "flags=pmtud_disable",
            "hbinterval=700 pathmaxrxt=2 pathmtu=0 flags=hb_disable,pmtud_disable",
        ),
        (
            "paddrparams",
            "flags=pmtud_enable",
            "hbinterval=700 pathmaxrxt=2 pathmtu=0 flags=hb_disable,pmtud_enable",
        ),
    ] {
        agent.expect(&format!("set id=1 opt={option} {set}"), "ok");
        agent.expect(&format!("get id=1 opt={option}"), &format!("ok {expected}"));
    }
    for bad in [
        "rtoinfo min=5000",
        "delayed_sack delay=501",
        "nodelay on=2",
        "maxseg",
        "event type=colour on=1",
        "paddrparams flags=hb_enable,hb_disable",
        "paddrparams pathmtu=500 flags=pmtud_disable",
        "paddrparams addr=192.0.2.1:2000 hbinterval=5",
        "linger secs=1",
    ] {
        agent.expect(&format!("set id=1 opt={bad}"), "err 22");
    }
    agent.expect("get id=1 opt=delayed_sack", "ok delay=100 freq=2");
}

#[test]
fn init_says_what_initmsg_asks_for() {
    let mut agent = start_virtual();
    agent.ok("socket fam=4 type=stream");
    agent.ok("set id=1 opt=initmsg os=3 is=4");
    agent.expect("connect id=1 addr=192.0.2.1:2000", "err 115");
    let sent = Peer::new().take_chunks(&mut agent, &[1]);
    let sctp_user_core::wire::Chunk::Init(init) = &sent.chunks()[0] else { panic!("an INIT") };
    assert_eq!((init.outbound_streams, init.inbound_streams), (3, 4));
}

#[test]
fn sack_frequency_and_delay() {
    let mut agent = start_virtual();
    listen(&mut agent);
    agent.ok("set id=1 opt=delayed_sack delay=400 freq=3");
    let mut peer = Peer::new();
    peer.connect(&mut agent, 1);
    peer.send_data(&mut agent, 0, 0, 0, b"a");
    peer.take_chunks(&mut agent, &[3]);
    for n in 1..3 {
        peer.send_data(&mut agent, n, 0, 1, b"b");
        agent.expect("rxpkt", "err 11");
    }
    peer.send_data(&mut agent, 3, 0, 3, b"c");
    peer.take_chunks(&mut agent, &[3]);
    peer.send_data(&mut agent, 4, 0, 4, b"d");
    agent.ok("advance to=1000000");
    assert_eq!(peer.take_chunks(&mut agent, &[3]).at, 400_000);
    agent.ok("set id=2 opt=delayed_sack delay=0 freq=1");
    peer.send_data(&mut agent, 5, 0, 5, b"e");
    peer.take_chunks(&mut agent, &[3]);
}

#[test]
fn maxseg_bounds_the_fragments() {
    let mut agent = start_virtual();
    listen(&mut agent);
    agent.ok("set id=1 opt=maxseg value=100");
    let mut peer = Peer::new();
    peer.connect(&mut agent, 1);
    assert_eq!(value(&agent.ok("get id=2 opt=status"), "frag"), "100");
    agent.expect(&format!("send id=2 data={}", "ab".repeat(250)), "ok len=250");
    let sent = peer.take_chunks(&mut agent, &[0, 0, 0]);
    let sizes: Vec<usize> = sent.sctp.chunks().map(|raw| raw.value.len() - 12).collect();
    assert_eq!(sizes, [100, 100, 50]);
}

#[test]
fn cookies_live_as_long_as_associnfo_says() {
    let mut agent = start_virtual();
    listen(&mut agent);
    agent.ok("set id=1 opt=associnfo cookie_life=2000");
    let mut peer = Peer::new();
    peer.send_with(&mut agent, 0, |w| w.init(false, &crate::peer::init(), |_| {}));
    let ack = peer.take_chunks(&mut agent, &[2]);
    let chunks = ack.chunks();
    let sctp_user_core::wire::Chunk::InitAck(init) = &chunks[0] else { panic!("an INIT ACK") };
    peer.agent_tag = init.initiate_tag;
    let cookie = init.params.iter().find_map(|p| match p {
        sctp_user_core::wire::Param::StateCookie(c) => Some(c.to_vec()),
        _ => None,
    });
    agent.ok("advance to=2500000");
    peer.send(&mut agent, |w| w.cookie_echo(&cookie.unwrap()));
    let stale = peer.take_chunks(&mut agent, &[9]);
    let error = stale.sctp.chunks().next().unwrap().value.to_vec();
    assert_eq!(error, [0, 3, 0, 8, 0, 7, 0xa1, 0x20]); // 500 000 us too late
}

#[test]
fn missing_chunks_are_pending() {
    let mut agent = start_virtual();
    listen(&mut agent);
    let mut peer = Peer::new();
    peer.connect(&mut agent, 1);
    peer.send_data(&mut agent, 1, 0, 1, b"b");
    peer.send_data(&mut agent, 4, 0, 4, b"e");
    assert_eq!(value(&agent.ok("get id=2 opt=status"), "pend"), "3");
}
