//! Many associations on one stack, and its limits.

use std::time::Duration;

use rand::RngExt;
use sctp_user_core::sim::{App, Cx, Host, Link, NodeId, Recorder, Sim, for_each_seed};
use sctp_user_core::{AssocConfig, AssocId, Event, LossReason, Message, StackConfig};

const SEC: Duration = Duration::from_secs(1);

/// Sends every message back, and never shuts down.
#[derive(Default)]
struct Echo {
    up: usize,
    ended: usize,
    waiting: Vec<(AssocId, Message)>,
}

impl App for Echo {
    fn event(&mut self, cx: &mut Cx<'_>, id: AssocId, event: &Event) {
        match event {
            Event::Up { .. } => {
                self.up += 1;
                assert_eq!(cx.stack.accept(5001), Some(id));
            }
            Event::Readable => {
                while let Some(m) = cx.stack.recv(cx.now, id) {
                    let back = Message {
                        stream: m.stream,
                        ppid: m.ppid,
                        data: m.data,
                        options: Default::default(),
                    };
                    if cx.stack.send(cx.now, id, back.clone()).is_err() {
                        self.waiting.push((id, back));
                    }
                }
            }
            Event::ShutdownComplete | Event::Lost(_) => {
                self.ended += 1;
                cx.stack.release(cx.now, id);
            }
            _ => {}
        }
    }
}

#[test]
fn three_hundred_clients_of_one_server() {
    for_each_seed(0..10, |seed| {
        let mut sim = Sim::new(seed);
        sim.net.log_limit = 100;
        sim.net
            .set_default(Link::new().delay(10 * MS, 20 * MS).loss(0.05).duplicate(0.02, 50 * MS));
        // The backlog has room for all clients, and the stack may answer all that end.
        let stack = StackConfig { ootb_rate: 1_000, ..StackConfig::default() };
        let server = sim.host_with(stack, &["10.0.0.1"], Echo::default());
        sim[server].use_udp(9899);
        let peer = sim.with(server, |h, _| h.listen(5001));
        let clients: Vec<(NodeId<Host<Recorder>>, AssocId)> = (0..300_u32)
            .map(|n| {
                let addr = format!("10.1.{}.{}", n / 100, n % 100 + 1);
                let client = sim.host(&[&addr], Recorder::default());
                sim[client].use_udp(9899);
                let id = sim.with(client, |h, now| h.connect(now, &peer));
                for k in 0..10 {
                    let text = format!("{k} of client {n}");
                    sim.with(client, |h, now| h.send(now, id, k % 4, text).unwrap());
                }
                sim.run_for(MS);
                (client, id)
            })
            .collect();
        let all = |sim: &mut Sim| clients.iter().all(|(c, _)| sim[*c].app.received.len() == 10);
        assert!(sim.run_until(300 * SEC, all));
        for (n, (client, _)) in clients.iter().enumerate() {
            let mut texts: Vec<_> = sim[*client]
                .app
                .received
                .iter()
                .map(|(_, r)| String::from_utf8(r.data.to_vec()).unwrap())
                .collect();
            texts.sort();
            assert!(
                texts.iter().enumerate().all(|(k, text)| *text == format!("{k} of client {n}")),
                "{texts:?}"
            );
        }
        assert_eq!(sim[server].stack.stats().associations, 300);
        for &(client, id) in &clients {
            // About half of them end gracefully, and the others by an ABORT.
            let graceful = sim.net.rng().random();
            sim.with(client, |h, now| {
                if graceful {
                    h.stack.shutdown(now, id).unwrap();
                } else {
                    h.stack.abort(now, id, "off".into()).unwrap();
                }
            });
        }
        assert!(
            sim.run_until(300 * SEC, |sim| sim[server].app.ended >= 280),
            "{}",
            sim[server].app.ended
        );
        // If an ABORT was lost, unanswered heartbeats show that the client is gone.
        assert!(
            sim.run_until(3_600 * SEC, |sim| sim[server].app.ended == 300),
            "{}",
            sim[server].app.ended
        );
        assert_eq!(sim[server].stack.stats().associations, 0);
        assert!(sim[server].app.waiting.is_empty());
        assert!(sim.run_until_idle(3_600 * SEC));
    });
}

const MS: Duration = Duration::from_millis(1);

/// The backlog of a listener that accepts nothing fills up. Further callers are then refused at
/// once, rather than left waiting.
#[test]
fn a_full_backlog_refuses() {
    let mut sim = Sim::new(1);
    let server = sim.host(&["10.0.0.1"], |_: &mut Cx<'_>, _: AssocId, _: &Event| {});
    sim[server].use_udp(9899);
    sim.with(server, |h, _| {
        h.bind(5001);
        h.stack.listen(5001, 3).unwrap();
    });
    let peer = sim[server].peer(5001);
    let mut outcomes = Vec::new();
    for n in 1..=5 {
        let client = sim.host(&[&format!("10.0.1.{n}")], Recorder::default());
        sim[client].use_udp(9899);
        sim.with(client, |h, now| h.connect(now, &peer));
        sim.run_for(SEC);
        outcomes.push(sim[client].app.events[0].2.clone());
    }
    assert!(outcomes[..3].iter().all(|e| matches!(e, Event::Up { .. })), "{outcomes:?}");
    let refused = |e: &Event| matches!(e, Event::Lost(LossReason::Refused { cause: 4, .. }));
    assert!(outcomes[3..].iter().all(refused), "{outcomes:?}");
    // Accepting one association makes room for another.
    sim.with(server, |h, _| assert!(h.stack.accept(5001).is_some()));
    let late = sim.host(&["10.0.2.1"], Recorder::default());
    sim[late].use_udp(9899);
    sim.with(late, |h, now| h.connect(now, &peer));
    sim.run_for(SEC);
    assert!(matches!(sim[late].app.events[0].2, Event::Up { .. }));
}

/// A call to a port where nobody listens fails at once. A call to an address that no host has fails
/// after all retransmissions.
#[test]
fn calls_to_nobody() {
    let mut sim = Sim::new(1);
    let silent = sim.host(&["10.0.0.1"], Recorder::default());
    sim[silent].use_udp(9899);
    let caller = sim.host(&["10.0.0.2"], Recorder::default());
    sim[caller].use_udp(9899);
    sim[caller].config = AssocConfig { max_init_retransmits: 3, ..AssocConfig::default() };
    let peer = sim[silent].peer(5001);
    let id = sim.with(caller, |h, now| h.connect(now, &peer));
    sim.run_for(MS);
    let last = |sim: &Sim| sim[caller].app.events.last().unwrap().clone();
    assert!(matches!(last(&sim).2, Event::Lost(LossReason::Refused { .. })), "{:?}", last(&sim));
    assert!(sim[caller].app.ended(id));

    let mut nobody = peer;
    nobody.addrs[0].0 = "10.0.0.9".parse().unwrap();
    let begin = sim.now();
    let id = sim.with(caller, |h, now| h.connect(now, &nobody));
    assert!(sim.run_until(60 * SEC, |sim| sim[caller].app.ended(id)));
    assert_eq!(last(&sim).2, Event::Lost(LossReason::SetupTimeout));
    assert_eq!(sim.now() - begin, 15 * SEC, "1 + 2 + 4 + 8 s");
}
