//! How long an application waits when the primary path fails. These tests measure time, so they run
//! one after the other, and nothing else may run at the same time. Each has six pairs of hosts at
//! work, or twelve where a few ms do not matter.

use std::time::{Duration, Instant};

use netns_tests::failover::{Carrier, Kind, QUEUE, RATE, Traffic};
use netns_tests::gaps;
use netns_tests::net::Net;
use netns_tests::topology::{TwoNetworks, Versions};

#[test]
#[ignore = "needs namespaces: cargo test -p netns-tests -- --ignored"]
fn rfc_defaults_silent() {
    measure(&[Carrier::Raw, Carrier::Udp], Fault::Silent, &RFC);
}

#[test]
#[ignore = "needs namespaces: cargo test -p netns-tests -- --ignored"]
fn rfc_defaults_down() {
    measure(&[Carrier::Raw, Carrier::Udp], Fault::Down, &RFC);
}

#[test]
#[ignore = "needs namespaces: cargo test -p netns-tests -- --ignored"]
fn realtime_raw_silent() {
    measure(&[Carrier::Raw], Fault::Silent, &REALTIME);
}

#[test]
#[ignore = "needs namespaces: cargo test -p netns-tests -- --ignored"]
fn realtime_raw_down() {
    measure(&[Carrier::Raw], Fault::Down, &REALTIME);
}

#[test]
#[ignore = "needs namespaces: cargo test -p netns-tests -- --ignored"]
fn realtime_udp_silent() {
    measure(&[Carrier::Udp], Fault::Silent, &REALTIME);
}

#[test]
#[ignore = "needs namespaces: cargo test -p netns-tests -- --ignored"]
fn realtime_udp_down() {
    measure(&[Carrier::Udp], Fault::Down, &REALTIME);
}

/// Protocol parameters, and the limits that are promised for them.
struct Profile {
    name: &'static str,
    /// The longest wait of the application, ms.
    bound: f64,
    /// How soon the primary path must be in use again when it works again.
    back: Duration,
    /// Time without faults before the next round.
    calm: Duration,
}

const RFC: Profile = Profile {
    name: "rfc",
    bound: 2500.0,
    back: Duration::from_secs(6),
    calm: Duration::from_millis(400),
};

const REALTIME: Profile = Profile {
    name: "realtime",
    bound: 300.0,
    back: Duration::from_secs(2),
    calm: Duration::from_millis(300),
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// Packets are dropped, and nobody is told.
    Silent,
    /// The cable is cut: one end is down, and the other has no carrier. The ends take turns.
    Down,
}

/// Cuts and restores the primary path five times, for bulk transfer and requests, over IPv4, over
/// IPv6, and over one network of each.
fn measure(carriers: &[Carrier], fault: Fault, profile: &Profile) {
    let _alone = gaps::alone();
    let Some(net) = Net::open(PROGRAMS) else { return };
    let mut places = Vec::new();
    for &carrier in carriers {
        for kind in [Kind::Bulk, Kind::Ask] {
            for versions in [Versions::V4, Versions::V6, Versions::Mixed] {
                let name = format!("{carrier:?} {kind:?} {versions:?}");
                let networks = TwoNetworks::new(
                    Net::named(PROGRAMS, &format!("{} {name}", net.name())),
                    versions,
                );
                networks.cables.iter().for_each(|cable| cable.limit(RATE, QUEUE));
                places.push((name, carrier, kind, networks));
            }
        }
    }
    let start = |(name, carrier, kind, networks)| {
        let traffic = Traffic::start(&networks, carrier, kind, profile.name, &[]);
        Case { name, traffic, networks, waits: Vec::new() }
    };
    let mut cases: Vec<Case> = places.into_iter().map(start).collect();
    for round in 0..gaps::ROUNDS {
        std::thread::sleep(profile.calm);
        let killed = Instant::now();
        for case in &mut cases {
            case.traffic.longest_wait();
            case.kill(fault, round);
        }
        // The path stays down until every application has messages again, or has waited too long.
        let end = Instant::now() + Duration::from_secs_f64(profile.bound / 1e3) + profile.calm;
        let mut waits = vec![0.0; cases.len()];
        while waits.contains(&0.0) && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(20));
            for (case, wait) in cases.iter_mut().zip(&mut waits) {
                *wait = case.traffic.longest_wait().max(*wait);
            }
        }
        for (case, wait) in cases.iter_mut().zip(waits) {
            case.waits.push(if wait == 0.0 { f64::INFINITY } else { wait });
            case.revive(fault);
        }
        // A dead path is probed at intervals that double. So the longer it was down, the longer it
        // takes until it is used again; and a busy machine needs a while to restore all paths.
        let limit = profile.back + 2 * killed.elapsed();
        for case in &mut cases {
            let primary = case.networks.cables[0].addrs(&case.networks.right)[0].to_string();
            case.traffic.wait_for_path(&primary, "Available", limit);
        }
    }
    let (mut bad, mut kept) = (Vec::new(), Vec::new());
    for case in cases {
        let Case { name, traffic, waits, networks } = case;
        let (longest, messages) = traffic.end(Duration::from_secs(10));
        let what = format!("gap: {} {fault:?} {name}", profile.name);
        let more = format!(", ever {longest:.0} ms, {messages} messages");
        bad.extend(gaps::judge(&what, waits, profile.bound, &more));
        // Keep the captures, in case the test fails.
        kept.push(networks);
    }
    assert!(bad.is_empty(), "the median must be below {} ms: {bad:?}", profile.bound);
}

struct Case {
    name: String,
    traffic: Traffic,
    networks: TwoNetworks,
    waits: Vec<f64>,
}

impl Case {
    fn kill(&self, fault: Fault, round: usize) {
        let primary = &self.networks.cables[0];
        match fault {
            Fault::Silent => primary.silence(),
            Fault::Down => primary.cut_at([&self.networks.left, &self.networks.right][round % 2]),
        }
    }

    fn revive(&self, fault: Fault) {
        let primary = &self.networks.cables[0];
        match fault {
            Fault::Silent => primary.heal(),
            Fault::Down => primary.mend(),
        }
    }
}

const PROGRAMS: &str = env!("CARGO_BIN_EXE_netns-programs");
