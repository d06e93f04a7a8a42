//! Several clients with equal SCTP ports behind one NAT address, with the stack option
//! `nat_port_key` off and on.

use std::time::Duration;

use sctp_user_core::sim::{Host, Link, Nat, NodeId, Recorder, Sim, for_each_seed};
use sctp_user_core::{AssocId, Event, LossReason, Peer, StackConfig, Time};

type Id = NodeId<Host<Recorder>>;

const MS: Duration = Duration::from_millis(1);
const SEC: Duration = Duration::from_secs(1);
const INSIDE: [&str; 2] = ["192.168.1.1", "192.168.1.2"];

fn ip(text: &str) -> std::net::IpAddr {
    text.parse().unwrap()
}

fn texts(sim: &Sim, host: Id, id: AssocId) -> Vec<String> {
    let of_id = sim[host].app.received.iter().filter(|(i, _)| *i == id);
    of_id.map(|(_, r)| String::from_utf8_lossy(&r.data).into_owned()).collect()
}

/// Connects from SCTP port 6000, which every client uses.
fn connect(host: &mut Host<Recorder>, now: Time, peer: &Peer) -> AssocId {
    host.bind(6000);
    host.stack.connect(now, 6000, peer, None).unwrap()
}

struct Setting {
    sim: Sim,
    nat: usize,
    clients: [Id; 2],
    server: Id,
    peer: Peer,
}

/// Two clients behind one address, and a server that listens.
fn setting(seed: u64, nat_port_key: bool, link: Link) -> Setting {
    let mut sim = Sim::new(seed);
    sim.net.set_default(link);
    let nat = sim.net.add_nat(Nat::new(INSIDE.map(ip), ip("198.51.100.1")));
    let config = StackConfig { nat_port_key, ..StackConfig::default() };
    let server = sim.host_with(config, &["203.0.113.9"], Recorder::default());
    let clients = INSIDE.map(|addr| sim.host(&[addr], Recorder::default()));
    for host in [server, clients[0], clients[1]] {
        sim[host].use_udp(9899);
    }
    let peer = sim.with(server, |h, _| h.listen(5001));
    Setting { sim, nat, clients, server, peer }
}

#[test]
fn without_the_option_the_init_of_the_second_client_gets_an_abort() {
    let Setting { mut sim, clients, server, peer, .. } =
        setting(1, false, Link::new().delay(10 * MS, 5 * MS));
    let ids = clients.map(|client| {
        let id = sim.with(client, |h, now| connect(h, now, &peer));
        sim.run_for(SEC);
        id
    });
    assert_eq!(sim[server].app.accepted.len(), 1);
    // Cause 14: the server knows these addresses and ports with another UDP port.
    let refused = |e: &Event| matches!(e, Event::Lost(LossReason::Refused { cause: 14, .. }));
    let events = &sim[clients[1]].app.events;
    assert!(events.iter().any(|(_, id, e)| *id == ids[1] && refused(e)), "{events:?}");
    sim.with(clients[0], |h, now| h.send(now, ids[0], 0, "still there").unwrap());
    sim.run_for(SEC);
    assert_eq!(texts(&sim, server, sim[server].app.accepted[0]), ["still there"]);
}

#[test]
fn with_the_option_both_live_through_loss_and_new_udp_ports_and_end_apart() {
    for_each_seed(0..40, |seed| {
        let link = Link::new().delay(10 * MS, 5 * MS).loss(0.1).duplicate(0.05, 30 * MS);
        let Setting { mut sim, nat, clients, server, peer } = setting(seed, true, link);
        let ids = clients.map(|client| sim.with(client, |h, now| connect(h, now, &peer)));
        assert!(sim.run_until(60 * SEC, |sim| sim[server].app.accepted.len() == 2));
        let mut expected = [Vec::new(), Vec::new()];
        for round in 0..3 {
            for n in 0..2 {
                let text = format!("{n} in round {round}");
                sim.with(clients[n], |h, now| h.send(now, ids[n], 0, &text).unwrap());
                expected[n].push(text);
            }
            let all = |sim: &mut Sim| sim[server].app.received.len() == 2 * (round + 1);
            assert!(sim.run_until(120 * SEC, all), "round {round}");
            sim.net.nats[nat].rebind();
        }
        // Either of the two may have come up first.
        let accepted = sim[server].app.accepted.clone();
        let mut seen = [texts(&sim, server, accepted[0]), texts(&sim, server, accepted[1])];
        seen.sort();
        assert_eq!(seen, expected);
        assert_eq!(accepted.len(), 2, "a new UDP port makes no new association");

        let first = accepted[usize::from(texts(&sim, server, accepted[0]) != expected[0])];
        let second = accepted[usize::from(first == accepted[0])];
        sim.with(clients[0], |h, now| h.stack.abort(now, ids[0], "over".into()).unwrap());
        sim.run_for(SEC);
        sim.with(server, |h, now| h.send(now, second, 0, "and you?").unwrap());
        let answered = |sim: &mut Sim| texts(sim, clients[1], ids[1]) == ["and you?"];
        assert!(sim.run_until(60 * SEC, answered));
        assert!(!sim[server].app.ended(second));
    });
}

#[test]
fn with_the_option_a_restart_is_that_of_the_client_with_the_same_udp_port() {
    for_each_seed(0..20, |seed| {
        let Setting { mut sim, clients, server, peer, .. } =
            setting(seed, true, Link::new().delay(10 * MS, 5 * MS).loss(0.05));
        let mut at_server = Vec::new();
        for (n, client) in clients.into_iter().enumerate() {
            sim.with(client, |h, now| connect(h, now, &peer));
            assert!(sim.run_until(60 * SEC, |sim| sim[server].app.accepted.len() == n + 1));
            at_server.push(sim[server].app.accepted[n]);
        }
        let seed = sim.stack_seed();
        let mut fresh =
            Host::new(StackConfig::default(), seed, &[ip(INSIDE[1])], Recorder::default());
        fresh.use_udp(9899);
        sim.replace(clients[1], fresh);
        let again = sim.with(clients[1], |h, now| connect(h, now, &peer));
        let restarted = |sim: &Sim, id| {
            let events = &sim[server].app.events;
            events.iter().any(|(_, i, e)| *i == id && matches!(e, Event::Restart { .. }))
        };
        assert!(sim.run_until(60 * SEC, |sim| restarted(sim, at_server[1])));
        assert!(!restarted(&sim, at_server[0]));
        assert_eq!(sim[server].app.accepted.len(), 2);
        sim.with(clients[1], |h, now| h.send(now, again, 0, "back").unwrap());
        let back = |sim: &mut Sim| texts(sim, server, at_server[1]) == ["back"];
        assert!(sim.run_until(60 * SEC, back));
    });
}
