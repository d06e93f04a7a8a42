//! Two hosts on two disjoint networks. Whatever happens to one network, nothing is lost, duplicated
//! or out of order within a stream.
//!
//! Each test has several associations, to which the same happens: bulk transfer and requests,
//! directly in IP and in UDP, over IPv4, over IPv6, and over one network of each.

use std::time::{Duration, Instant};

use netns_tests::failover::{Carrier, Kind, QUEUE, RATE, Traffic};
use netns_tests::link::Link;
use netns_tests::net::Net;
use netns_tests::topology::{TwoNetworks, Versions};

#[test]
#[ignore = "needs namespaces: cargo test -p netns-tests -- --ignored"]
fn a_cut_cable_is_mended() {
    run(&[
        (500, |n| n.cables[0].cut_at(&n.left)),
        (1500, |n| n.cables[0].mend()),
        (2500, |n| n.cables[0].cut_at(&n.right)),
        (1500, |n| n.cables[0].mend()),
        (1000, |_| ()),
    ]);
}

#[test]
#[ignore = "needs namespaces: cargo test -p netns-tests -- --ignored"]
fn one_network_after_the_other_is_silent() {
    run(&[
        (500, |n| n.cables[0].silence()),
        (1800, |n| n.cables[0].heal()),
        (200, |n| n.cables[1].silence()),
        (2500, |n| n.cables[1].heal()),
        (1000, |_| ()),
    ]);
}

#[test]
#[ignore = "needs namespaces: cargo test -p netns-tests -- --ignored"]
fn a_flapping_cable() {
    let flap: [(u64, Step); 2] =
        [(300, |n| n.cables[0].cut_at(&n.left)), (300, |n| n.cables[0].mend())];
    run(&[flap, flap, flap, flap, flap].concat());
}

#[test]
#[ignore = "needs namespaces: cargo test -p netns-tests -- --ignored"]
fn a_third_of_the_packets_is_lost() {
    run(&[(300, |n| n.cables[0].lose(30)), (6000, |n| n.cables[0].heal()), (500, |_| ())]);
}

#[test]
#[ignore = "needs namespaces: cargo test -p netns-tests -- --ignored"]
fn data_get_through_and_acknowledgements_do_not() {
    run(&[
        (500, |n| n.cables[0].silence_towards(&n.left)),
        (3000, |n| n.cables[0].heal()),
        (500, |_| ()),
    ]);
}

#[test]
#[ignore = "needs namespaces: cargo test -p netns-tests -- --ignored"]
fn acknowledgements_get_through_and_data_do_not() {
    run(&[
        (500, |n| n.cables[0].silence_towards(&n.right)),
        (3000, |n| n.cables[0].heal()),
        (500, |_| ()),
    ]);
}

#[test]
#[ignore = "needs namespaces: cargo test -p netns-tests -- --ignored"]
fn both_networks_fail_for_a_while() {
    run(&[
        (500, |n| n.cables.iter().for_each(Link::silence)),
        (1500, |n| n.cables.iter().for_each(Link::heal)),
        (3500, |_| ()),
    ]);
}

/// There are four paths, and two of them fail together.
#[test]
#[ignore = "needs namespaces: cargo test -p netns-tests -- --ignored"]
fn hosts_with_dual_stack() {
    run_over(
        &[Versions::Dual],
        &[
            (500, |n| n.cables[0].silence()),
            (3500, |n| n.cables[0].heal()),
            (2500, |n| n.cables[0].cut_at(&n.left)),
            (2500, |n| n.cables[0].mend()),
            (500, |_| ()),
        ],
    );
}

/// Something that happens to the networks.
type Step = fn(&TwoNetworks);

/// Runs the steps. Each one comes with the time to wait before it, in ms.
fn run(steps: &[(u64, Step)]) {
    run_over(&[Versions::V4, Versions::V6, Versions::Mixed], steps);
}

fn run_over(versions: &[Versions], steps: &[(u64, Step)]) {
    let Some(net) = Net::open(PROGRAMS) else { return };
    let mut places = Vec::new();
    for carrier in [Carrier::Raw, Carrier::Udp] {
        for &versions in versions {
            let name = format!("{carrier:?} {versions:?}");
            let networks =
                TwoNetworks::new(Net::named(PROGRAMS, &format!("{} {name}", net.name())), versions);
            networks.cables.iter().for_each(|cable| cable.limit(RATE, QUEUE));
            places.push((name, carrier, networks));
        }
    }
    let start = |(name, carrier, networks)| {
        let more = ["--streams", "7", "--size", "3001"];
        let traffic = [Kind::Bulk, Kind::Ask]
            .map(|kind| Traffic::start(&networks, carrier, kind, "rfc", &more));
        (name, traffic, networks)
    };
    let cases: Vec<_> = places.into_iter().map(start).collect();
    let begin = Instant::now();
    for (wait, step) in steps {
        std::thread::sleep(Duration::from_millis(*wait));
        cases.iter().for_each(|(_, _, networks)| step(networks));
    }
    // On a busy machine the steps themselves take time, so faults last longer than planned.
    // Timeouts double, so the first one after the fault may come late by twice that time.
    let planned: u64 = steps.iter().map(|(wait, _)| wait).sum();
    let late = begin.elapsed().as_secs_f64() * 1e3 - planned as f64;
    let limit = LONGEST + 2.0 * late;
    let (mut bad, mut kept) = (Vec::new(), Vec::new());
    for (name, traffic, networks) in cases {
        let [bulk, ask] = traffic.map(|traffic| traffic.end(Duration::from_secs(20)));
        println!(
            "{}: {name}: longest waits {:.0} ms (bulk, {} messages), {:.0} ms (requests, {} \
             messages)",
            net.name(),
            bulk.0,
            bulk.1,
            ask.0,
            ask.1
        );
        if bulk.0.max(ask.0) > limit {
            bad.push(format!("{name}: {:.0} and {:.0} ms", bulk.0, ask.0));
        }
        // Keep the captures, in case the test fails.
        kept.push(networks);
    }
    assert!(bad.is_empty(), "the application waited longer than {limit:.0} ms: {bad:?}");
}

/// The longest wait allowed, ms: timeouts after RTOs of 1 s and 2 s for a message, and the same for
/// its answer, with 1 s to spare. Tests run in parallel, so this is not a measurement.
const LONGEST: f64 = 7000.0;
const PROGRAMS: &str = env!("CARGO_BIN_EXE_netns-programs");
