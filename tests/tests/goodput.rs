//! The goodput of one association over paths with loss and delay, as a table. The table is kept in
//! a file, so that any change for better or worse is visible as a difference in text.
//! `UPDATE_GOODPUT=1 cargo test --test goodput` rewrites the file.
//!
//! The simulated network has a rate limit with a queue of one bandwidth-delay product (at least 32
//! packets), half of the round-trip time in each direction, and random loss of packets with data.
//! The sender always has messages of 16 KiB to send. The buffers hold 16 MiB, so that only loss
//! recovery and congestion control limit the rate. Packets have 1452 bytes. The figure is user data
//! per second in the last 8 of 10 s.

#[path = "goodput/peer.rs"]
mod peer;

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::time::Duration;

use sctp_user_core::sim::{App, Cx, Link, Sim};
use sctp_user_core::{AssocConfig, AssocId, Encap, Event, Message, Peer, StackConfig};

/// The share of packets from the sender to the receiver that are lost.
const LOSS: [f64; 3] = [0.001, 0.01, 0.05];
/// Round-trip times, ms.
const ROUND_TRIP: [u64; 3] = [10, 50, 200];
/// Rates of the network, bit/s.
const RATE: [u64; 3] = [10_000_000, 100_000_000, 1_000_000_000];

/// SCTP port of the receiver.
const PORT: u16 = 5001;
const UDP_PORT: u16 = 9899;
const BUFFER: usize = 16 << 20;
const MESSAGE: usize = 16 * 1024;
const TOTAL: Duration = Duration::from_secs(10);
const SETTLE: Duration = Duration::from_secs(2);
const SEED: u64 = 1;

/// A network with this loss, round-trip time and rate.
fn network(loss: f64, round_trip: u64, rate: u64) -> Sim {
    let mut sim = Sim::new(SEED);
    sim.verify = false;
    let one_way = Duration::from_millis(round_trip) / 2;
    let product = (rate / 8 * round_trip / 1000) as usize;
    let queue = product.max(32 * 1500);
    // The MTU is large because some packets of sctp-proto, those with long SACKs, are too large.
    let way = || Link::new().mtu(65_000).rate(rate, queue).delay(one_way, Duration::ZERO);
    sim.net.set_default(way());
    let addr = |n| Ipv4Addr::new(10, 1, 0, n).into();
    sim.net.set_link(addr(1), addr(2), way().loss(loss));
    sim
}

/// Reads everything, and counts the bytes.
#[derive(Default)]
struct Sink {
    bytes: u64,
}

impl App for Sink {
    fn event(&mut self, cx: &mut Cx<'_>, id: AssocId, event: &Event) {
        if matches!(event, Event::Up { .. }) {
            cx.stack.accept(PORT);
        }
        while let Some(message) = cx.stack.recv(cx.now, id) {
            self.bytes += message.data.len() as u64;
        }
    }
}

/// Keeps the send buffer full.
fn source(cx: &mut Cx<'_>, id: AssocId, event: &Event) {
    if matches!(event, Event::Up { .. } | Event::Writable) {
        let message = Message::new(0, 0, vec![7; MESSAGE]);
        while cx.stack.send(cx.now, id, message.clone()).is_ok() {}
    }
}

/// The goodput of this stack, bit/s.
fn ours(loss: f64, round_trip: u64, rate: u64) -> u64 {
    let mut sim = network(loss, round_trip, rate);
    let config = AssocConfig {
        ip_mtu: 1480,
        ip_mtu_udp: 1480,
        send_buffer: BUFFER,
        recv_buffer: BUFFER,
        ..AssocConfig::default()
    };
    let a = sim.host_with(StackConfig::default(), &["10.1.0.1"], source);
    let b = sim.host_with(StackConfig::default(), &["10.1.0.2"], Sink::default());
    sim[a].use_udp(UDP_PORT);
    sim[b].use_udp(UDP_PORT);
    sim[a].config = config.clone();
    sim[b].config = config;
    sim.with(b, |host, _| host.listen(PORT));
    let peer =
        Peer::new(Ipv4Addr::new(10, 1, 0, 2).into(), Encap::Udp { remote_port: UDP_PORT }, PORT);
    sim.with(a, |host, now| host.connect(now, &peer));
    sim.run_for(SETTLE);
    let before = sim[b].app.bytes;
    sim.run_for(TOTAL - SETTLE);
    (sim[b].app.bytes - before) * 8 / (TOTAL - SETTLE).as_secs()
}

/// A table in Mbit/s, with a row for each loss and round-trip time and a column for each rate.
fn table(title: &str, goodput: impl Fn(f64, u64, u64) -> u64) -> String {
    let mut text = format!("{title}\n\n   loss  round trip");
    for rate in RATE {
        let _ = write!(text, "  {:>6} Mbit/s", rate / 1_000_000);
    }
    text.push('\n');
    for loss in LOSS {
        for round_trip in ROUND_TRIP {
            let _ = write!(text, "{:>5} %  {round_trip:>7} ms", loss * 100.0);
            for rate in RATE {
                let _ = write!(text, "  {:>13.2}", goodput(loss, round_trip, rate) as f64 / 1e6);
            }
            text.push('\n');
        }
    }
    text
}

#[test]
fn goodput_is_what_the_table_says() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/goodput/table.txt");
    let now = table("Goodput of one association, Mbit/s", ours);
    if std::env::var_os("UPDATE_GOODPUT").is_some() {
        std::fs::write(file, &now).expect("the table can be written");
    }
    let known = std::fs::read_to_string(file).expect("the table is there");
    assert!(
        known == now,
        "the table was\n\n{known}\nand is now\n\n{now}\nUPDATE_GOODPUT=1 keeps the new one"
    );
}

/// The same table for sctp-proto, for comparison. It differs from run to run, because sctp-proto
/// draws its own random numbers. `cargo test --test goodput -- --ignored --nocapture` prints it;
/// `tests/goodput/sctp-proto.txt` has the result of one run.
#[test]
#[ignore = "a measurement of another stack"]
fn goodput_of_sctp_proto() {
    println!(
        "{}",
        table("Goodput of one association of sctp-proto, Mbit/s", |loss, round_trip, rate| {
            peer::goodput(network(loss, round_trip, rate), MESSAGE, BUFFER, SETTLE, TOTAL)
        })
    );
}
