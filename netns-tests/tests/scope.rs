//! Several registrars on hosts of their own. One dies, stands still, or is cut off; elements and
//! users live through it. Nothing goes to multicast groups, and an element whose registrar fails
//! knows no other one.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use netns_tests::net::{Net, Running};
use netns_tests::pool;
use netns_tests::scope::{Hosts, addr};
use rsp_tools::programs::pingpongclient::ClientEvent;
use workspace_tests::process::PATIENCE;
use workspace_tests::scope::{Element, Role, Scope, expect};

#[test]
#[ignore = "needs namespaces: cargo test -p netns-tests -- --ignored"]
fn a_killed_registrar_is_taken_over() {
    everywhere(|life| {
        life.scope.registrars[life.fails].program.kill();
        life.is_taken_over();
        // A new one on the same host is told everything.
        life.scope.restart(life.fails);
    });
}

#[test]
#[ignore = "needs namespaces: cargo test -p netns-tests -- --ignored"]
fn a_stopped_registrar_is_taken_over_and_joins_in_again() {
    everywhere(|life| {
        // It acknowledges nothing meanwhile.
        life.scope.site.net.disturb();
        life.scope.registrars[life.fails].program.signal("STOP");
        life.is_taken_over();
        life.scope.registrars[life.fails].program.signal("CONT");
    });
}

#[test]
#[ignore = "needs namespaces: cargo test -p netns-tests -- --ignored"]
fn a_registrar_that_is_cut_off_is_taken_over_and_joins_in_again() {
    everywhere(|life| {
        life.scope.site.links[life.fails].silence();
        life.is_taken_over();
        life.scope.site.links[life.fails].heal();
    });
}

#[test]
#[ignore = "needs namespaces: cargo test -p netns-tests -- --ignored"]
fn a_registrar_whose_network_comes_and_goes_loses_nobody() {
    everywhere(|life| {
        let hosts = &life.scope.site;
        // Shorter and longer than what makes a registrar count as dead.
        for (down, up) in [(300, 300), (1500, 100), (6000, 700), (700, 300)] {
            hosts.links[life.fails].cut_at(&hosts.registrars[life.fails]);
            std::thread::sleep(Duration::from_millis(down));
            hosts.links[life.fails].mend();
            std::thread::sleep(Duration::from_millis(up));
        }
    });
}

/// The registrars that docs/registrars.md starts on one computer.
#[test]
#[ignore = "needs namespaces: cargo test -p netns-tests -- --ignored"]
fn registrars_on_one_computer_find_each_other_as_documented() {
    let text = include_str!("../../docs/registrars.md").replace("\\\n", " ");
    let blocks = text.split("\n\n").filter(|block| block.contains("    rspregistrar -asap=127."));
    let mut sizes = Vec::new();
    for block in blocks {
        let Some(net) = Net::open(PROGRAMS) else { return };
        let net = Net::named(PROGRAMS, &format!("{} {}", net.name(), sizes.len()));
        let host = net.host("host");
        let (mut registrars, mut others) = (Vec::new(), Vec::new());
        for line in block.lines() {
            let args: Vec<&str> = line.split_whitespace().collect();
            let mut program = net.start(&host, &args);
            // An element is registered when it is ready.
            let ready = program.ready();
            match args[0] {
                "rspregistrar" => {
                    let id = ready.get("id").and_then(|id| id.strip_prefix("0x"));
                    registrars.push((id.expect("the identifier").to_owned(), program));
                }
                _ => others.push(program),
            }
        }
        let ids: Vec<String> = registrars.iter().map(|(id, _)| id.clone()).collect();
        for (own, program) in &mut registrars {
            let mut missing: BTreeSet<&String> = ids.iter().filter(|id| *id != own).collect();
            program.wait_for("all other registrars", |line| {
                missing.retain(|id| !line.contains(&format!("found registrar ${id}")));
                missing.is_empty().then_some(())
            });
        }
        sizes.push(ids.len());
    }
    assert_eq!(sizes, [3, 2], "the document starts other scopes than this test knows");
}

/// Three registrars directly in IP, and five in UDP. `fault` makes the last one fail, and heals it.
fn everywhere(fault: impl Fn(&mut Life)) {
    for (count, link) in [(3, "raw"), (5, "udp")] {
        let Some(net) = Net::open(PROGRAMS) else { return };
        let net = Net::named(PROGRAMS, &format!("{} {count} {link}", net.name()));
        let mut life = Life::begin(net, count, link);
        fault(&mut life);
        life.end();
    }
}

/// A scope with two elements and a user that pings one of them.
struct Life {
    scope: Scope<Hosts>,
    /// The place of the registrar that fails.
    fails: usize,
    /// The first one knows only the registrar that fails, the second one another one.
    elements: Vec<Element<Running>>,
    user: Running,
}

impl Life {
    fn begin(net: Net, count: usize, link: &str) -> Life {
        let link = format!("--link={link}");
        let scope = Scope::start(Hosts::new(net, count, 3), count, &[&link]);
        let fails = count - 1;
        let elements: Vec<Element<Running>> = [fails, 0]
            .into_iter()
            .enumerate()
            .map(|(host, place)| scope.element(host, &[place], &["-pingpong"]))
            .collect();
        let all: Vec<usize> = (0..count).collect();
        let homes = scope.agree(&all, &ids(&elements)).homes;
        assert_eq!(homes[&elements[0].id], scope.registrars[fails].id);
        assert_eq!(homes[&elements[1].id], scope.registrars[0].id);
        let user = scope.user("pingpongclient", &all, &["--events", "--interval=20"]);
        let mut life = Life { scope, fails, elements, user };
        life.pings_go_on();
        life
    }

    fn pings_go_on(&mut self) -> u32 {
        pool::pongs_of_another(&mut self.user, None, 10)
    }

    /// Checks that another registrar becomes the home of the element, that it says so before the
    /// element speaks to it, and that all others know it.
    fn is_taken_over(&mut self) {
        let successor = self.scope.successor(self.fails, 0);
        let (element, home) = (self.elements[0].id, &mut self.scope.registrars[successor]);
        expect(&mut home.program, &format!("re-registered ${element:08x}"));
        let home = home.id;
        self.pings_go_on();
        let others: Vec<usize> =
            (0..self.scope.registrars.len()).filter(|place| *place != self.fails).collect();
        let homes = self.scope.agree(&others, &ids(&self.elements)).homes;
        assert_eq!(homes[&element], home, "{homes:?}");
        assert_eq!(homes[&self.elements[1].id], self.scope.registrars[0].id, "{homes:?}");

        let (hosts, home) = (&self.scope.site, addr(Role::Registrar(successor)));
        let filter = format!(
            "ip.addr == {home} && (asap.message_type == {REGISTRATION} || asap.message_type == \
             {KEEP_ALIVE})"
        );
        let fields = ["ip.src", "asap.message_type", "asap.h_bit"];
        let is = |packet: &[String], from: &str, kind: u8| {
            packet[0] == from && packet[1].split(',').any(|found| found == kind.to_string())
        };
        // The last packets come late into the file.
        let (element, end) = (addr(Role::Element(0)), Instant::now() + PATIENCE);
        let packets = loop {
            let packets = hosts.net.captured(&hosts.elements[0], &filter, &fields);
            if packets.iter().any(|packet| is(packet, &element, REGISTRATION)) {
                break packets;
            }
            assert!(Instant::now() < end, "no registration: {packets:?}");
        };
        let first = &packets[0];
        assert!(is(first, &home, KEEP_ALIVE) && first[2] == "1", "{packets:?}");
    }

    /// Checks that all registrars agree, the one that failed included, and that everybody finds
    /// what is registered with it.
    fn end(mut self) {
        let all: Vec<usize> = (0..self.scope.registrars.len()).collect();
        self.scope.agree(&all, &ids(&self.elements));
        let late = self.scope.element(2, &[self.fails], &["-pingpong"]);
        self.elements.push(late);
        let homes = self.scope.agree(&all, &ids(&self.elements)).homes;
        assert_eq!(homes[&self.elements[2].id], self.scope.registrars[self.fails].id);
        // The user had one session all the time, and finds another server when it needs one.
        let serving = self.pings_go_on();
        let sessions = self.user.said().iter().filter(|line| is_session(line)).count();
        assert_eq!(sessions, 1, "{:?}", self.user.said());
        let dead = self.elements.iter().position(|element| element.id == serving);
        self.elements.remove(dead.expect("one of the elements")).program.kill();
        pool::pongs_of_another(&mut self.user, Some(serving), 10);
        self.scope.agree(&all, &ids(&self.elements));
        self.user.signal("INT");
        let said = self.user.finished(PATIENCE);
        let finished = said.iter().find_map(|line| match ClientEvent::from_json(line) {
            Some(ClientEvent::Finished { sent, answered }) => Some((sent, answered)),
            _ => None,
        });
        assert!(finished.is_some_and(|(sent, answered)| sent == answered), "{finished:?}");
    }
}

fn ids(elements: &[Element<Running>]) -> Vec<u32> {
    elements.iter().map(|element| element.id).collect()
}

fn is_session(line: &str) -> bool {
    matches!(ClientEvent::from_json(line), Some(ClientEvent::Session { .. }))
}

const REGISTRATION: u8 = 1;
const KEEP_ALIVE: u8 = 7;
const PROGRAMS: &str = env!("CARGO_BIN_EXE_netns-programs");
