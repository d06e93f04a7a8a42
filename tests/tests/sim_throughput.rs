//! How much of a link's rate bulk transfers use, and how they share it (RFC 9260 sec 7).

use std::time::Duration;

use bytes::Bytes;
use sctp_user_core::sim::{App, Cx, Host, Link, NodeId, Sim};
use sctp_user_core::{AssocConfig, AssocId, Event, Message, SegmentLimits, SendOptions};

/// Sends without end on all its associations, reads everything and counts the bytes.
#[derive(Default)]
struct Bulk {
    sender: bool,
    received: Vec<(AssocId, usize)>,
}

impl Bulk {
    fn pump(cx: &mut Cx<'_>, id: AssocId) {
        let data = Bytes::from_static(&[0; 10_000]);
        let message = Message { stream: 0, ppid: 0, data, options: SendOptions::default() };
        while cx.stack.send(cx.now, id, message.clone()).is_ok() {}
    }
}

impl App for Bulk {
    fn event(&mut self, cx: &mut Cx<'_>, id: AssocId, event: &Event) {
        match event {
            Event::Up { .. } | Event::Writable if self.sender => Bulk::pump(cx, id),
            Event::Up { .. } => self.received.push((id, 0)),
            Event::Readable => {
                let (_, count) =
                    self.received.iter_mut().find(|(i, _)| *i == id).expect("it is up");
                while let Some(message) = cx.stack.recv(cx.now, id) {
                    *count += message.data.len();
                }
            }
            Event::Lost(reason) => panic!("lost: {reason:?}"),
            _ => {}
        }
    }
}

struct Path {
    bits_per_second: u64,
    rtt: Duration,
    loss: f64,
    /// Length of the queue, as a share of the bandwidth-delay product.
    queue: f64,
}

/// The goodput of each of `flows` associations over a bottleneck, as a share of its rate. It is
/// measured over `time`, after a warm-up of the same length.
fn goodput(path: &Path, flows: usize, time: Duration) -> Vec<f64> {
    let mut sim = Sim::new(1);
    sim.net.log_limit = 100;
    // Other tests check the invariants. Here that would take most of the time.
    sim.verify = false;
    let bdp = path.bits_per_second as f64 / 8.0 * path.rtt.as_secs_f64();
    let queue = ((bdp * path.queue) as usize).max(10 * 1500);
    let ends = ["10.0.0.1", "10.0.0.2"].map(|a| a.parse().unwrap());
    let link = Link::new()
        .rate(path.bits_per_second, queue)
        .loss(path.loss)
        .delay(path.rtt / 2, Duration::ZERO);
    sim.net.set_links(ends[0], ends[1], link);
    let mut host = |addr, sender| -> NodeId<Host<Bulk>> {
        let id = sim.host(&[addr], Bulk { sender, ..Bulk::default() });
        let buffer = ((bdp * (1.0 + path.queue) * 4.0) as usize).max(1 << 20);
        sim[id].config = AssocConfig {
            send_buffer: buffer,
            recv_buffer: buffer,
            ip_mtu_udp: 1500,
            ..AssocConfig::default()
        };
        sim[id].use_udp(9899);
        sim[id].set_segment_limits(SegmentLimits { native: 1, udp: 10 });
        id
    };
    let (a, b) = (host("10.0.0.1", true), host("10.0.0.2", false));
    let peer = sim.with(b, |h, _| h.listen(5001));
    for _ in 0..flows {
        sim.with(a, |h, now| h.connect(now, &peer));
    }
    sim.run_for(time);
    let before: Vec<usize> = sim[b].app.received.iter().map(|(_, n)| *n).collect();
    assert_eq!(before.len(), flows);
    sim.run_for(time);
    let share = |(i, (_, n)): (usize, &(AssocId, usize))| {
        (n - before[i]) as f64 * 8.0 / time.as_secs_f64() / path.bits_per_second as f64
    };
    sim[b].app.received.iter().enumerate().map(share).collect()
}

#[test]
fn a_single_transfer_fills_a_clean_link() {
    for bits_per_second in [1_000_000, 10_000_000, 30_000_000] {
        for rtt in [2, 40, 150] {
            for queue in [1.0, 2.0] {
                let path =
                    Path { bits_per_second, rtt: Duration::from_millis(rtt), loss: 0.0, queue };
                let share = goodput(&path, 1, Duration::from_secs(30))[0];
                println!("{bits_per_second} bit/s, RTT {rtt} ms, queue {queue} BDP: {share:.3}");
                // The headers alone take 4 %.
                assert!(
                    (0.85..=0.97).contains(&share),
                    "{bits_per_second} bit/s, {rtt} ms, {queue}: {share:.3}"
                );
            }
        }
    }
}

/// With a random loss p, the rate is about MSS / RTT * 1.22 / sqrt(p), as for TCP. Much less would
/// mean that retransmission does not work, and much more that losses do not reduce the rate.
#[test]
fn random_loss_gives_the_rate_that_the_model_of_reno_predicts() {
    for (rtt, loss) in [(20, 0.01), (40, 0.003), (40, 0.01), (100, 0.001)] {
        let seconds = f64::from(rtt) / 1000.0;
        let model = 1444.0 * 8.0 / seconds * 1.22 / f64::sqrt(loss);
        let path = Path {
            bits_per_second: 100_000_000,
            rtt: Duration::from_millis(rtt as u64),
            loss,
            queue: 1.0,
        };
        let rate = goodput(&path, 1, Duration::from_secs(60))[0] * 100_000_000.0;
        println!("RTT {rtt} ms, loss {loss}: {rate:.0} bit/s, {:.2} of the model", rate / model);
        assert!(
            (0.4..1.5).contains(&(rate / model)),
            "RTT {rtt} ms, loss {loss}: {rate} of {model}"
        );
    }
}

#[test]
fn four_transfers_share_a_link() {
    let path =
        Path { bits_per_second: 10_000_000, rtt: Duration::from_millis(40), loss: 0.0, queue: 1.0 };
    let shares = goodput(&path, 4, Duration::from_secs(60));
    let sum: f64 = shares.iter().sum();
    let fairness = sum * sum / (4.0 * shares.iter().map(|s| s * s).sum::<f64>());
    println!("{shares:.3?}, Jain's index {fairness:.3}");
    assert!(sum > 0.85, "{shares:?}");
    assert!(fairness > 0.8, "{shares:?}");
}
