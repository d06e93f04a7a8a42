//! Heartbeats, path parameters and several addresses.

use std::net::IpAddr;

use sctp_user_core::wire::{Chunk, Param};

use crate::driver::{start_virtual, unhex, value};
use crate::peer::{Peer, init, listen};
use crate::virtual_time::u16_at;

#[test]
fn heartbeats_are_answered_and_sent_on_demand() {
    let mut agent = start_virtual();
    listen(&mut agent);
    let mut peer = Peer::new();
    peer.connect(&mut agent, 1);
    peer.send(&mut agent, |w| w.heartbeat(b"whatever"));
    let ack = peer.take_chunks(&mut agent, &[5]);
    assert_eq!(ack.sctp.chunks().next().unwrap().value, [&[0, 1, 0, 12][..], b"whatever"].concat());

    agent.expect("set id=2 opt=paddrparams addr=192.0.2.1:2000 flags=hb_demand", "ok");
    let demanded = peer.take_chunks(&mut agent, &[4]);
    assert_eq!(demanded.at, 0);
    let info = demanded.sctp.chunks().next().unwrap().value.to_vec();
    agent.ok("advance to=100");
    peer.send(&mut agent, |w| w.heartbeat_ack(&info));
    // Heartbeats are off: none is sent without a request.
    agent.expect("set id=2 opt=paddrparams flags=hb_disable", "ok");
    agent.ok("advance to=200000000");
    agent.expect("rxpkt", "err 11");
}

#[test]
fn an_idle_path_is_probed_after_the_interval_and_an_rto_with_jitter() {
    let mut agent = start_virtual();
    listen(&mut agent);
    let mut peer = Peer::new();
    peer.connect(&mut agent, 1);
    agent.ok("advance to=29000000");
    agent.expect("rxpkt", "err 11");
    agent.ok("advance to=32000000");
    let at = peer.take_chunks(&mut agent, &[4]).at;
    assert!((30_500_000..=31_500_000).contains(&at), "{at}");
    // A shorter interval counts from the moment it is set.
    let mut agent = start_virtual();
    listen(&mut agent);
    let mut peer = Peer::new();
    peer.connect(&mut agent, 1);
    agent.ok("set id=2 opt=paddrparams addr=192.0.2.1:2000 hbinterval=2000");
    agent.ok("advance to=4000000");
    let at = peer.take_chunks(&mut agent, &[4]).at;
    assert!((2_500_000..=3_500_000).contains(&at), "{at}");
}

#[test]
fn a_dead_path_is_told() {
    let mut agent = start_virtual();
    listen(&mut agent);
    agent.ok("set id=1 opt=event type=addr on=1");
    agent.ok("set id=1 opt=paddrparams pathmaxrxt=1 hbinterval=600000");
    let mut peer = Peer::new();
    peer.connect(&mut agent, 1);
    agent.ok("send id=2 data=00");
    agent.ok("advance to=5000000");
    let mut states = Vec::new();
    loop {
        let reply = agent.ask("recv id=2 max=1000");
        if reply == "err 11" {
            break;
        }
        let note = unhex(value(&reply, "data"));
        assert_eq!((note.len(), u16_at(&note, 0)), (148, 0x8002));
        assert_eq!(note[10..16], [0x07, 0xd0, 192, 0, 2, 1]);
        states.push(u32::from_ne_bytes(note[136..140].try_into().unwrap()));
    }
    assert_eq!(states.last(), Some(&1), "unreachable: {states:?}");
    agent.expect(
        "get id=2 opt=paddrparams addr=192.0.2.1:2000",
        "ok hbinterval=600000 pathmaxrxt=1 pathmtu=1500 flags=hb_enable,pmtud_enable",
    );
}

#[test]
fn a_fixed_path_mtu() {
    let mut agent = start_virtual();
    listen(&mut agent);
    let mut peer = Peer::new();
    peer.connect(&mut agent, 1);
    agent.ok("set id=2 opt=paddrparams addr=192.0.2.1:2000 pathmtu=1000 flags=pmtud_disable");
    let params = agent.ok("get id=2 opt=paddrparams addr=192.0.2.1:2000");
    assert_eq!(
        (value(&params, "pathmtu"), value(&params, "flags")),
        ("1000", "hb_enable,pmtud_disable")
    );
    assert_eq!(value(&agent.ok("get id=2 opt=status"), "frag"), "952");
    agent.ok(&format!("send id=2 data={}", "ab".repeat(1000)));
    let sent = peer.take_chunks(&mut agent, &[0]);
    assert_eq!(sent.sctp.len(), 980);
    agent.ok("set id=2 opt=paddrparams addr=192.0.2.1:2000 flags=pmtud_enable");
    assert_eq!(value(&agent.ok("get id=2 opt=status"), "frag"), "1452");
}

#[test]
fn several_addresses_are_listed_and_the_peers_are_probed() {
    let mut agent = start_virtual();
    agent.expect("socket fam=4 type=stream", "ok id=1");
    agent.expect("bindx id=1 op=add addrs=192.168.0.1:1000,192.168.1.1:1000,", "ok");
    agent.expect("bindx id=1 op=add addrs=192.168.2.1:1000", "ok");
    agent.expect("bindx id=1 op=add addrs=192.168.2.1:1000", "err 98");
    agent.expect("bindx id=1 op=rem addrs=192.168.1.1:1000", "ok");
    agent.expect("bindx id=1 op=rem addrs=192.168.1.1:1000", "err 99");
    agent.expect("laddrs id=1", "ok addrs=192.168.0.1:1000,192.168.2.1:1000");
    agent.expect("connect id=1 addr=10.0.0.1:2000,10.0.1.1:2000", "err 115");
    let mut peer = Peer::new();
    peer.addr = "10.0.0.1".parse().unwrap();
    let sent = peer.take_chunks(&mut agent, &[1]);
    let chunks = sent.chunks();
    let Chunk::Init(chunk) = &chunks[0] else { panic!("an INIT") };
    let listed: Vec<IpAddr> = chunk
        .params
        .iter()
        .filter_map(|p| if let Param::Ipv4(a) = p { Some(IpAddr::from(a)) } else { None })
        .collect();
    assert_eq!(listed, ["192.168.0.1", "192.168.2.1"].map(|a| a.parse::<IpAddr>().unwrap()));
    peer.agent_addr = sent.source;
    (peer.agent_tag, peer.agent_tsn) = (chunk.initiate_tag, chunk.initial_tsn.0);
    let second = "10.0.1.1".parse().unwrap();
    let third = "10.0.2.1".parse().unwrap();
    peer.send(&mut agent, |w| {
        w.init(true, &init(), |p| {
            p.ipv4(second);
            p.ipv4(third);
            p.state_cookie(b"cookie");
        });
    });
    peer.take_chunks(&mut agent, &[10]);
    peer.send(&mut agent, |w| w.cookie_ack());
    agent.expect("paddrs id=1", "ok addrs=10.0.0.1:2000,10.0.1.1:2000,10.0.2.1:2000");
    // Only the address that the user did not give must be confirmed.
    let probe = peer.take_chunks(&mut agent, &[4]);
    assert_eq!(probe.destination, IpAddr::from(third));
}
