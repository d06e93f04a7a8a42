//! Hard cases and scenarios that need two ends and a network. `docs/hard-cases.md` lists them all.

use std::net::IpAddr;
use std::time::Duration;

use sctp_user_core::sim::{
    Host, IpPacket, Link, Nat, NodeId, Recorder, Sim, Verdict, for_each_seed,
};
use sctp_user_core::wire::{Chunk, InitFixed, PacketWriter, Param, chunk_type};
use sctp_user_core::{
    AssocConfig, AssocId, Encap, Event, Message, PathState, SendOptions, StackConfig, Tsn,
};
use workspace_tests::duo::Duo;
use workspace_tests::traffic::{FIRST_PPID, Traffic, message, plan};

type Id = NodeId<Host<Recorder>>;

const MS: Duration = Duration::from_millis(1);
const SEC: Duration = Duration::from_secs(1);

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// The numbers of the messages made by [`message`] that have arrived at a host, in the order of
/// their arrival.
fn numbers(sim: &Sim, host: Id) -> Vec<u32> {
    sim[host].app.received.iter().map(|(_, r)| r.ppid - FIRST_PPID).collect()
}

/// Transfer begins eight packets before the TSN wraps, and packets are lost before and after the
/// wrap.
#[test]
fn hard_case_09_loss_across_the_wrap_of_the_tsn() {
    let config = AssocConfig { sack_delay: Duration::ZERO, ..AssocConfig::default() };
    let mut duo = Duo::starting_at(config, &["10.1.0.1"], &["10.1.0.2"], Tsn(0xffff_fff8));
    let (a, b, to_b) = (duo.a, duo.b, duo.to_b);
    let mut lost = vec![Tsn(0xffff_fffd), Tsn(0xffff_ffff), Tsn(0), Tsn(2)];
    duo.sim.net.tap(move |_, packet| {
        let Some(sctp) = packet.packet() else { return Verdict::Pass };
        for raw in sctp.chunks() {
            if let Ok(Chunk::Data(data)) = raw.decode(&sctp)
                && let Some(at) = lost.iter().position(|tsn| *tsn == data.tsn)
            {
                lost.remove(at);
                return Verdict::Drop;
            }
        }
        Verdict::Pass
    });
    for n in 0..24 {
        let message = message(duo.sim.net.rng(), n, 0, false, 100);
        duo.sim.with(a, |h, now| h.stack.send(now, to_b, message).unwrap());
        duo.sim.run_for(MS);
    }
    assert!(duo.sim.run_until(20 * SEC, |sim| sim[b].app.received.len() == 24));
    duo.sim.run_for(20 * SEC);
    assert_eq!(numbers(&duo.sim, b), (0..24).collect::<Vec<_>>());
    let stats = duo.sim[a].stack.assoc_stats(to_b).unwrap();
    assert_eq!(
        (stats.data_chunks_retransmitted, stats.t3_expiries),
        (4, 0),
        "each lost chunk once, no timeout"
    );

    // Gap blocks count from the cumulative TSN, across the wrap: of the TSNs after it, only
    // 0xfffffffe, 1 and 3 have arrived.
    let mut seen = false;
    for (_, packet) in duo.sim.net.sent().filter(|(_, p)| p.src == ip("10.1.0.2")) {
        let sctp = packet.packet().unwrap();
        for raw in sctp.chunks() {
            if let Ok(Chunk::Sack(sack)) = raw.decode(&sctp) {
                let gaps: Vec<_> = sack.gaps().collect();
                assert!(gaps.iter().all(|g| 2 <= g.0 && g.0 <= g.1 && g.1 < 30), "{gaps:?}");
                seen |= sack.cum_tsn == Tsn(0xffff_fffc) && gaps == [(2, 2), (5, 5), (7, 7)];
            }
        }
    }
    assert!(seen, "no SACK reported the three gaps");
}

/// One end closes while both have much data queued, over a network that loses packets.
#[test]
fn hard_case_32_shutdown_while_both_ends_have_queued_data() {
    for_each_seed(0..60, |seed| {
        let mut duo = Duo::new(AssocConfig { send_buffer: 1 << 20, ..AssocConfig::default() });
        duo.sim
            .net
            .set_default(Link::new().delay(10 * MS, 5 * MS).loss(0.05).reorder(0.1, 20 * MS));
        let (a, b) = (duo.a, duo.b);
        // The closer has less or more to send than the other end.
        let counts = if seed % 2 == 0 { (3, 200) } else { (200, 50) };
        for (host, id, count) in [(a, duo.to_b, counts.0), (b, duo.to_a, counts.1)] {
            for n in 0..count {
                let message = message(duo.sim.net.rng(), n, 0, false, 1000);
                duo.sim.with(host, |h, now| h.stack.send(now, id, message).unwrap());
            }
        }
        let to_b = duo.to_b;
        duo.sim.with(a, |h, now| h.stack.shutdown(now, to_b).unwrap());
        let (to_b, to_a) = (duo.to_b, duo.to_a);
        let done = |sim: &mut Sim| sim[a].app.ended(to_b) && sim[b].app.ended(to_a);
        assert!(duo.sim.run_until(300 * SEC, done));
        assert!(duo.sim[a].app.saw(to_b, &Event::ShutdownComplete));
        assert!(duo.sim[b].app.saw(to_a, &Event::ShutdownComplete));
        assert_eq!(numbers(&duo.sim, a), (0..counts.1).collect::<Vec<_>>());
        assert_eq!(numbers(&duo.sim, b), (0..counts.0).collect::<Vec<_>>());
    });
}

/// A client behind a NAT at 198.51.100.1 and a server at 203.0.113.9, both in UDP on port 9899.
struct BehindNat {
    sim: Sim,
    nat: usize,
    client: Id,
    server: Id,
    to_server: AssocId,
    to_client: AssocId,
}

const OUTSIDE: &str = "198.51.100.1";
const SERVER: &str = "203.0.113.9";

impl BehindNat {
    /// `local_addrs` are the addresses of the client's host. The client binds those in `bound`, and
    /// its stack is told those in `announced`.
    fn new(seed: u64, local_addrs: &[&str], bound: &[&str], announced: &[&str]) -> Self {
        let mut sim = Sim::new(seed);
        sim.net.set_default(Link::new().delay(10 * MS, 5 * MS));
        let nat = sim.net.add_nat(Nat::new(local_addrs.iter().map(|a| ip(a)), ip(OUTSIDE)));
        let addresses = announced.iter().map(|a| ip(a)).collect();
        let config = StackConfig { local_addresses: addresses, ..StackConfig::default() };
        let client = sim.host_with(config, local_addrs, Recorder::default());
        let server = sim.host(&[SERVER], Recorder::default());
        sim[client].use_udp(9899);
        sim[server].use_udp(9899);
        let peer = sim.with(server, |h, _| h.listen(5001));
        let bound: Vec<IpAddr> = bound.iter().map(|a| ip(a)).collect();
        let to_server = sim.with(client, |h, now| {
            h.stack.bind(6000, &bound, AssocConfig::default()).unwrap();
            h.stack.connect(now, 6000, &peer, None).unwrap()
        });
        assert!(sim.run_until(60 * SEC, |sim| !sim[server].app.accepted.is_empty()));
        sim.run_for(SEC);
        let to_client = sim[server].app.accepted[0];
        BehindNat { sim, nat, client, server, to_server, to_client }
    }

    /// The client's UDP port as the server sees it.
    fn port(&self) -> u16 {
        let paths = self.sim[self.server].stack.paths(self.to_client);
        assert_eq!(paths.len(), 1);
        assert_eq!(paths[0].addr.remote, ip(OUTSIDE));
        match paths[0].addr.encap {
            Encap::Udp { remote_port } => remote_port,
            Encap::Native => panic!("the path is in UDP"),
        }
    }

    /// Delivers a packet to the server that seems to come from the client's outside address, and
    /// returns what the server sends in reaction.
    fn provoke(
        &mut self,
        port: u16,
        tag: u32,
        write: impl FnOnce(&mut PacketWriter<'_>),
    ) -> Vec<IpPacket> {
        let mut bytes = Vec::new();
        let mut writer = PacketWriter::new(&mut bytes, 1500, 6000, 5001, tag);
        write(&mut writer);
        writer.finish();
        self.sim
            .provoke(IpPacket::udp((ip(OUTSIDE), port), (ip(SERVER), 9899), bytes))
            .expect("it listens")
    }
}

/// The NAT loses its binding in the middle of a transfer in both directions, and strangers behind
/// the same address try to take over the association.
#[test]
fn hard_case_35_a_nat_moves_the_port_in_mid_transfer_and_strangers_do_not() {
    for_each_seed(0..40, |seed| {
        let mut net = BehindNat::new(seed, &["192.168.1.1"], &[], &[]);
        let first = net.port();
        let (client, server) = (net.client, net.server);
        let send = |net: &mut BehindNat, numbers: std::ops::Range<u32>| {
            for n in numbers {
                for (host, id) in [(client, net.to_server), (server, net.to_client)] {
                    let message = message(net.sim.net.rng(), n, 0, false, 1000);
                    net.sim.with(host, |h, now| h.stack.send(now, id, message).unwrap());
                }
                net.sim.run_for(MS);
            }
        };
        send(&mut net, 0..60);
        let nat = net.nat;
        net.sim.net.nats[nat].rebind();
        send(&mut net, 60..120);
        let sim = &mut net.sim;
        let all =
            |sim: &mut Sim| [client, server].iter().all(|h| sim[*h].app.received.len() == 120);
        assert!(sim.run_until(60 * SEC, all));
        let moved = net.port();
        assert_ne!(moved, first, "the first packet through the new binding moved the port");

        // Another client is behind the same address and has the same SCTP ports. Its INIT is
        // refused, and the answer goes to its own UDP port.
        let init = InitFixed {
            initiate_tag: 0x5151,
            a_rwnd: 100_000,
            outbound_streams: 1,
            inbound_streams: 1,
            initial_tsn: Tsn(1),
        };
        let replies = net.provoke(4444, 0, |w| w.init(false, &init, |_| {}));
        assert_eq!(replies.len(), 1);
        assert_eq!(replies[0].chunk_kinds(), [chunk_type::ABORT]);
        assert_eq!(replies[0].packet().unwrap().vtag(), 0x5151);
        assert_eq!(replies[0].udp.unwrap().dst, 4444);
        assert_eq!(net.port(), moved);
        // A packet with a guessed tag does not move the port and gets no answer.
        let tag = net.sim[server].stack.status(net.to_client).unwrap().local_tag;
        assert!(net.provoke(5555, tag ^ 1, |w| w.heartbeat(b"it is me")).is_empty());
        assert_eq!(net.port(), moved);

        send(&mut net, 120..130);
        net.sim.run_for(10 * SEC);
        for host in [client, server] {
            assert_eq!(numbers(&net.sim, host), (0..130).collect::<Vec<_>>());
        }
    });
}

/// The client's host has addresses that mean nothing outside of the NAT: those of a container
/// bridge and of a second network.
#[test]
fn hard_case_36_a_client_behind_nat_lists_no_addresses() {
    let local = ["192.168.1.1", "172.17.0.1", "10.0.3.1"];
    // The client is bound to the wildcard, to each of its addresses, or to the wildcard by a stack
    // that was told these addresses.
    for (bound, announced) in [(&[][..], &[][..]), (&local[..], &[]), (&[], &local[..])] {
        let mut net = BehindNat::new(1, &local, bound, announced);
        let inits: Vec<IpPacket> = net
            .sim
            .net
            .sent()
            .filter(|(_, p)| p.has(chunk_type::INIT))
            .map(|(_, p)| p.clone())
            .collect();
        assert!(!inits.is_empty());
        for packet in &inits {
            let sctp = packet.packet().unwrap();
            let Ok(Chunk::Init(init)) = sctp.chunks().next().unwrap().decode(&sctp) else {
                unreachable!()
            };
            let lists = |p: Param<'_>| matches!(p, Param::Ipv4(_) | Param::Ipv6(_));
            assert!(!init.params.iter().any(lists), "bound to {bound:?}, announcing {announced:?}");
        }
        let remotes: Vec<IpAddr> =
            net.sim[net.server].stack.paths(net.to_client).iter().map(|p| p.addr.remote).collect();
        assert_eq!(remotes, [ip(OUTSIDE)], "the server uses only the source address");
        net.sim.run_for(120 * SEC);
        let to_client = net.to_client;
        net.sim
            .with(net.server, |h, now| h.send(now, to_client, 0, "through the binding").unwrap());
        let client = net.client;
        assert!(net.sim.run_until(SEC, |sim| sim[client].app.received.len() == 1));
    }
}

/// Both ends call each other at the same moment, and one packet of the two handshakes is lost.
#[test]
fn an_init_collision_with_a_lost_packet_makes_one_association() {
    let kinds =
        [chunk_type::INIT, chunk_type::INIT_ACK, chunk_type::COOKIE_ECHO, chunk_type::COOKIE_ACK];
    for kind in kinds {
        for nth in 1..=2 {
            let mut sim = Sim::new(u64::from(kind));
            sim.net.set_default(Link::new().delay(10 * MS, Duration::ZERO));
            sim.net.drop_nth(kind, nth);
            let a = sim.host(&["10.1.0.1"], Recorder::default());
            let b = sim.host(&["10.1.0.2"], Recorder::default());
            let (at_a, at_b) = (sim[a].peer(5000), sim[b].peer(5000));
            sim.with(a, |h, _| h.bind(5000));
            sim.with(b, |h, _| h.bind(5000));
            let to_b = sim.with(a, |h, now| h.stack.connect(now, 5000, &at_b, None).unwrap());
            sim.run_for(3 * MS);
            let to_a = sim.with(b, |h, now| h.stack.connect(now, 5000, &at_a, None).unwrap());
            let ups = |sim: &Sim, host: Id| {
                sim[host]
                    .app
                    .events
                    .iter()
                    .filter(|(_, _, e)| matches!(e, Event::Up { .. }))
                    .count()
            };
            assert!(
                sim.run_until(60 * SEC, |sim| ups(sim, a) == 1 && ups(sim, b) == 1),
                "{kind}, {nth}"
            );
            sim.with(a, |h, now| h.send(now, to_b, 0, "a").unwrap());
            sim.with(b, |h, now| h.send(now, to_a, 0, "b").unwrap());
            sim.run_for(30 * SEC);
            for host in [a, b] {
                assert_eq!(sim[host].app.received.len(), 1, "chunk type {kind}, number {nth}");
                assert_eq!((ups(&sim, host), sim[host].stack.stats().associations), (1, 1));
            }
        }
    }
}

/// Unordered messages are delivered past a hole at which ordered ones wait. Each message arrives
/// once.
#[test]
fn ordered_and_unordered_messages_mix() {
    let mut duo = Duo::new(AssocConfig::default());
    let (a, b, to_b) = (duo.a, duo.b, duo.to_b);
    duo.sim.net.drop_nth(chunk_type::DATA, 1);
    for n in 0..20_u32 {
        let options = SendOptions { unordered: n % 2 == 1, ..SendOptions::default() };
        let message = Message { options, ..Message::new(0, n, n.to_string()) };
        duo.sim.with(a, |h, now| h.stack.send(now, to_b, message).unwrap());
        duo.sim.run_for(MS);
    }
    assert!(duo.sim.run_until(20 * SEC, |sim| sim[b].app.received.len() == 20));
    duo.sim.run_for(20 * SEC);
    let got: Vec<u32> = duo.sim[b].app.received.iter().map(|(_, r)| r.ppid).collect();
    let of = |odd: u32| got.iter().copied().filter(|n| n % 2 == odd).collect::<Vec<_>>();
    assert_eq!(of(0), (0..20).step_by(2).collect::<Vec<_>>(), "ordered ones keep their order");
    assert_eq!(of(1), (1..20).step_by(2).collect::<Vec<_>>(), "the network did not reorder these");
    assert!(
        got.iter().position(|n| *n == 9) < got.iter().position(|n| *n == 0),
        "{got:?}: unordered ones are not held back"
    );
}

/// There is one path of each family. Data moves from one to the other and back, and no message is
/// lost or duplicated.
#[test]
fn ipv4_and_ipv6_paths_in_one_association() {
    for_each_seed(0..20, |seed| {
        let mut sim = Sim::new(seed);
        sim.net.set_default(Link::new().delay(5 * MS, 2 * MS).loss(0.01));
        let a = sim.host(&["10.1.0.1", "fd00::1"], Recorder::default());
        let b = sim.host(&["10.1.0.2", "fd00::2"], Recorder::default());
        for host in [a, b] {
            sim[host].config = AssocConfig::realtime();
            if seed % 2 == 0 {
                sim[host].use_udp(9899);
            }
        }
        let peer = sim.with(b, |h, _| h.listen(5001));
        let to_b = sim.with(a, |h, now| h.connect(now, &peer));
        let confirmed = |sim: &mut Sim| {
            let paths = sim[a].stack.paths(to_b);
            paths.len() == 2 && paths.iter().all(|p| p.state == PathState::Active)
        };
        assert!(sim.run_until(10 * SEC, confirmed));
        sim.net.clear_log();
        let mut sent = 0;
        let mut send = |sim: &mut Sim, count: u32| {
            for _ in 0..count {
                let message = message(sim.net.rng(), sent, 0, false, 500);
                sim.with(a, |h, now| h.stack.send(now, to_b, message).unwrap());
                sent += 1;
                sim.run_for(10 * MS);
            }
        };
        let data_to = |sim: &Sim, v6: bool| {
            sim.net.sent().filter(|(_, p)| p.has(chunk_type::DATA) && p.dst.is_ipv6() == v6).count()
        };
        send(&mut sim, 30);
        assert!(data_to(&sim, false) >= 25, "IPv4 was named first");
        sim.with(a, |h, now| h.stack.set_primary(now, to_b, ip("fd00::2")).unwrap());
        sim.net.clear_log();
        send(&mut sim, 30);
        assert!(data_to(&sim, true) >= 25, "the primary is IPv6 now");
        sim.net.cut(ip("fd00::1"), ip("fd00::2"));
        send(&mut sim, 30);
        sim.net.clear_log();
        send(&mut sim, 30);
        assert!(data_to(&sim, false) >= 25 && data_to(&sim, true) == 0, "IPv6 is cut");
        sim.net.heal(ip("fd00::1"), ip("fd00::2"));
        sim.run_for(5 * SEC);
        sim.net.clear_log();
        send(&mut sim, 30);
        assert!(data_to(&sim, true) >= 25, "back on the primary");
        assert!(sim.net.sent().all(|(_, p)| p.src.is_ipv6() == p.dst.is_ipv6()));
        sim.run_for(10 * SEC);
        assert_eq!(numbers(&sim, b), (0..150).collect::<Vec<_>>());
    });
}

/// Both ends send as fast as two networks of 10 Mbit/s allow, while one network after the other is
/// cut and comes back.
#[test]
fn failover_and_fail_back_under_load_lose_and_double_nothing() {
    for_each_seed(0..16, |seed| {
        let mut sim = Sim::new(seed);
        sim.net.set_default(Link::new().rate(10_000_000, 50_000).delay(5 * MS, 2 * MS));
        let config = if seed % 2 == 0 { AssocConfig::realtime() } else { AssocConfig::default() };
        let mut host = |addrs: &[&str]| {
            let plan = plan(sim.net.rng(), 5, 0.2, 6_000_000);
            let host = sim.host(addrs, Traffic::new(plan));
            sim[host].config = config.clone();
            sim[host].use_udp(9899);
            host
        };
        let a = host(&["10.1.0.1", "10.2.0.1"]);
        let b = host(&["10.1.0.2", "10.2.0.2"]);
        let peer = sim.with(b, |h, _| h.listen(5001));
        let to_b = sim.with(a, |h, now| {
            let id = h.connect(now, &peer);
            h.script(now, |app, cx| app.use_assoc(cx, id));
            id
        });
        let cut = |sim: &mut Sim, network: u8, works: bool| {
            let host = |n: u8| IpAddr::from([10, network, 0, n]);
            if works { sim.net.heal(host(1), host(2)) } else { sim.net.cut(host(1), host(2)) }
        };
        let data_over = |sim: &Sim, network: u8| {
            let over = |p: &IpPacket| {
                p.has(chunk_type::DATA) && p.dst == IpAddr::from([10, network, 0, 2])
            };
            sim.net.sent().filter(|(_, p)| over(p)).count()
        };
        sim.run_for(300 * MS);
        cut(&mut sim, 1, false);
        sim.run_for(3 * SEC / 2);
        sim.net.clear_log();
        // Long enough for T3 to expire: if a fast retransmission is lost, too, it takes a second
        // with the RTO.Min of the RFC.
        sim.run_for(3 * SEC / 2);
        let over = [data_over(&sim, 1), data_over(&sim, 2)];
        assert!(
            over[0] == 0 && over[1] > 50,
            "packets over the networks: {over:?}, {:?}",
            sim[a].stack.paths(to_b)
        );
        cut(&mut sim, 1, true);
        // Wait until the primary path is known to work again before the other one is cut.
        let back = |sim: &mut Sim| sim[a].stack.paths(to_b)[0].state == PathState::Active;
        assert!(sim.run_until(20 * SEC, back));
        cut(&mut sim, 2, false);
        let (planned_a, planned_b) = (sim[a].app.planned.len(), sim[b].app.planned.len());
        let all = |sim: &mut Sim| {
            sim[b].app.received.len() == planned_a && sim[a].app.received.len() == planned_b
        };
        assert!(sim.run_until(120 * SEC, all));
        sim.run_for(10 * SEC);
        sim[a].app.assert_received_all_of(&sim[b].app.planned);
        sim[b].app.assert_received_all_of(&sim[a].app.planned);
        assert!(sim[a].app.end().is_none() && sim[b].app.end().is_none());
    });
}
