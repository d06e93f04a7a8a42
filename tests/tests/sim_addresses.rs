//! Which addresses an association uses: only those that the peer knows.

use std::net::IpAddr;
use std::time::Duration;

use sctp_user_core::sim::{Host, Link, NodeId, Recorder, Sim};
use sctp_user_core::{AssocConfig, AssocId, PathState};

type Id = NodeId<Host<Recorder>>;

const SEC: Duration = Duration::from_secs(1);

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Connects a dual-stack host that lists no addresses with one that lists both its addresses.
fn meet(silent_connects: bool) -> (Sim, Id, Id, AssocId, AssocId) {
    let mut sim = Sim::new(1);
    sim.net.set_default(Link::new().delay(Duration::from_millis(5), Duration::ZERO));
    let silent = sim.host(&["10.1.0.1", "fd00::1"], Recorder::default());
    let open = sim.host(&["10.1.0.2", "fd00::2"], Recorder::default());
    for id in [silent, open] {
        sim[id].use_udp(9899);
    }
    // A host that is bound to the wildcard lists no addresses (RFC 6951 sec 5.1).
    sim[silent].stack.bind(6000, &[], AssocConfig::default()).unwrap();
    sim[open].stack.bind(5001, &[ip("10.1.0.2"), ip("fd00::2")], AssocConfig::default()).unwrap();
    let (from, to, port, to_port) =
        if silent_connects { (silent, open, 6000, 5001) } else { (open, silent, 5001, 6000) };
    sim[to].stack.listen(to_port, 1).unwrap();
    let mut peer = sim[to].peer(to_port);
    peer.addrs.retain(|(addr, _)| addr.is_ipv4());
    let id = sim.with(from, |h, now| h.stack.connect(now, port, &peer, None).unwrap());
    assert!(sim.run_until(60 * SEC, |sim| !sim[to].app.accepted.is_empty()));
    let other = sim[to].app.accepted[0];
    if silent_connects { (sim, silent, open, id, other) } else { (sim, silent, open, other, id) }
}

#[test]
fn an_end_that_announces_nothing_stays_with_the_address_the_peer_knows() {
    for silent_connects in [true, false] {
        let (mut sim, silent, open, at_silent, at_open) = meet(silent_connects);
        sim.run_for(300 * SEC);
        for (host, id) in [(silent, at_silent), (open, at_open)] {
            assert!(
                !sim[host].app.ended(id),
                "probing an address of the other family must not end it"
            );
        }
        let paths = sim[silent].stack.paths(at_silent);
        let remotes: Vec<IpAddr> = paths.iter().map(|p| p.addr.remote).collect();
        assert_eq!(
            remotes,
            [ip("10.1.0.2")],
            "there is no source for the IPv6 address that the peer would know"
        );
        assert_eq!(paths[0].addr.local, Some(ip("10.1.0.1")));
        assert_eq!(paths[0].state, PathState::Active);
        assert_eq!(sim[open].stack.paths(at_open).len(), 1);
    }
}
