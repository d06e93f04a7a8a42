//! A pool element is killed on a host of its own, whose kernel answers by ICMP. Its registrar
//! believes that soon, whether a user reports the element or nobody misses it.

use std::time::{Duration, Instant};

use netns_tests::net::{Net, Running};
use netns_tests::pool;
use netns_tests::scope::{Hosts, addr};
use workspace_tests::scope::{Role, Site};

/// Keep-alives are far away, and an unanswered one would be waited for even longer.
#[test]
#[ignore = "needs namespaces: cargo test -p netns-tests -- --ignored"]
fn a_reported_element_is_removed_at_once() {
    everywhere(60_000, |pool| {
        let mut user = pool.client(Role::User(0), &["pingpongclient", "--events"]);
        let serving = pool::pongs_of_another(&mut user, None, 10);
        let dies = pool.elements.iter().position(|(id, _)| *id == serving);
        let (id, mut program) = pool.elements.remove(dies.expect("one of the elements"));
        program.kill();
        pool.is_removed(id, Duration::from_secs(15));
        pool::pongs_of_another(&mut user, Some(serving), 10);
    });
}

/// Heartbeats find it out, and a second one makes sure.
#[test]
#[ignore = "needs namespaces: cargo test -p netns-tests -- --ignored"]
fn an_element_that_nobody_misses_is_removed_too() {
    everywhere(6000, |pool| {
        let (id, mut program) = pool.elements.remove(0);
        program.kill();
        pool.is_removed(id, Duration::from_secs(20));
    });
}

/// A registrar with this time between keep-alives, and two elements, in UDP and directly in IP.
fn everywhere(keep_alives: u32, test: impl Fn(&mut Pool)) {
    for link in ["udp", "raw"] {
        let Some(net) = Net::open(PROGRAMS) else { return };
        let net = Net::named(PROGRAMS, &format!("{} {link}", net.name()));
        let mut pool = Pool::start(net, link, keep_alives);
        test(&mut pool);
        // The other one lives on.
        let (id, _) = pool.elements[0];
        let removed = format!("removed ${id:08x}");
        std::thread::sleep(Duration::from_secs(2));
        let said = pool.registrar.said();
        assert!(said.iter().all(|line| !line.contains(&removed)), "{said:?}");
    }
}

struct Pool {
    hosts: Hosts,
    link: String,
    registrar: Running,
    elements: Vec<(u32, Running)>,
}

impl Pool {
    fn start(net: Net, link: &str, keep_alives: u32) -> Pool {
        let hosts = Hosts::new(net, 1, 2);
        let link = format!("--link={link}");
        let args = [
            "rspregistrar",
            &format!("-asap={}:3863", addr(Role::Registrar(0))),
            "-asapannounce=off",
            "-enrp=off",
            "--events",
            "-quiet",
            &format!("-endpointkeepalivetransmissioninterval={keep_alives}"),
            "-endpointkeepalivetimeoutinterval=60000",
            &link,
        ];
        let mut registrar = hosts.start(Role::Registrar(0), &args);
        registrar.ready();
        let mut pool = Pool { hosts, link, registrar, elements: Vec::new() };
        for host in 0..2 {
            let local = format!("-local={}:0", addr(Role::Element(host)));
            let args = ["rspserver", "-pingpong", &local];
            let mut element = pool.client(Role::Element(host), &args);
            let ready = element.ready();
            let id = ready.get("id").and_then(|id| id.strip_prefix("0x")).expect("the identifier");
            let id = u32::from_str_radix(id, 16).expect("a hexadecimal identifier");
            pool.elements.push((id, element));
        }
        pool
    }

    fn client(&self, role: Role, args: &[&str]) -> Running {
        let registrar = format!("-registrar={}:3863", addr(Role::Registrar(0)));
        let more = ["-asapannounce=off", "-quiet", &registrar, &self.link];
        self.hosts.start(role, &[args, &more].concat())
    }

    /// Checks that the registrar removes the element in time, because its association has ended.
    fn is_removed(&mut self, id: u32, most: Duration) {
        let (start, words) = (Instant::now(), format!("removed ${id:08x}"));
        let line = self.registrar.wait_for("the end of the element", |line| {
            line.contains(&words).then(|| line.to_owned())
        });
        let took = start.elapsed();
        assert!(line.contains("its association"), "{line}");
        assert!(took < most, "after {took:?}: {line}");
    }
}

const PROGRAMS: &str = env!("CARGO_BIN_EXE_netns-programs");
