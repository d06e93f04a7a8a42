//! Dozens of associations run for any length of time over networks that lose packets, while ends,
//! paths and NAT bindings fail at random. On associations that were not killed, nothing is lost,
//! duplicated or out of order. Processes that stay to the end do not grow.
//!
//! `ENDURANCE_SECONDS` is the duration, 120 by default. `ENDURANCE_SEED` repeats the sequence of
//! events of an earlier run.

use std::time::{Duration, Instant};

use netns_tests::link::Link;
use netns_tests::nat::Nat;
use netns_tests::net::{Host, Net, Running};
use netns_tests::soak::{NAME, Status, WRONG};
use netns_tests::topology::{TwoNetworks, Versions};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use workspace_tests::gate;
use workspace_tests::process::PATIENCE;

#[test]
#[ignore = "needs namespaces: cargo test -p netns-tests -- --ignored"]
fn ends_paths_and_bindings_die_at_random() {
    let Some(net) = Net::open(PROGRAMS) else { return };
    let seconds = number("ENDURANCE_SECONDS").unwrap_or(120);
    let seed = number("ENDURANCE_SEED").unwrap_or_else(|| rand::random_range(0..1_000_000));
    gate::say(&format!("endurance: ENDURANCE_SECONDS={seconds} ENDURANCE_SEED={seed}"));
    let place = Place::new(net);
    let mut soak = Soak::start(&place, seed);
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let begin = Instant::now();
    let (warm, end) = (Duration::from_secs(seconds) / 4, Duration::from_secs(seconds));
    let (mut events, mut before, mut judged) = (Events::default(), None, Instant::now());
    while begin.elapsed() < end {
        events.one(&place, &mut soak, &mut rng);
        soak.check();
        if before.is_none() && begin.elapsed() >= warm {
            before = Some(soak.statuses());
        }
        if judged.elapsed() > JUDGE_EVERY {
            place.networks.net.judge_so_far();
            judged = Instant::now();
        }
    }
    gate::say(&format!("endurance: {events:?}"));
    place.heal();
    soak.finish(&before.expect("a status of every process while it works"), seconds);
}

/// In the test above, a new caller rarely draws the SCTP ports of a killed one. Here it has the
/// same seed, so it does, and the server's associations go on with the new process.
#[test]
#[ignore = "needs namespaces: cargo test -p netns-tests -- --ignored"]
fn a_caller_with_the_ports_of_a_killed_one_restarts_its_associations() {
    let Some(net) = Net::open(PROGRAMS) else { return };
    let place = Place::new(net);
    place.heal();
    let (mut server, _) = place.serve_two("raw", VICTIMS, &HARSH);
    let mut until = |what: &str, holds: &dyn Fn(&Status) -> bool| {
        let begin = Instant::now();
        loop {
            let status = status(&mut server);
            if holds(&status) {
                return status;
            }
            assert!(begin.elapsed() < PATIENCE, "{what}: {status:?}, {:?}", server.said());
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    let mut victim = Soak::victim(&place, LONG_LIVES);
    let before = until("associations", &|s| s.associations == 4 && s.messages >= 8);
    victim.kill();
    let _next = Soak::victim(&place, LONG_LIVES);
    until("all go on", &|s| s.restarted == 4 && s.messages >= before.messages + 40);
    let wrong: Vec<&String> = server.said().iter().filter(|line| line.starts_with(WRONG)).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}

/// A seed with which the first four associations have more than 60 messages each.
const LONG_LIVES: u64 = 197;

/// How often each kind of event has happened.
#[derive(Debug, Default)]
struct Events {
    cut: u32,
    silent: u32,
    one_way: u32,
    forgotten: u32,
    callers_killed: u32,
    servers_killed: u32,
}

impl Events {
    /// Makes one random event happen and waits until it is over.
    fn one(&mut self, place: &Place, soak: &mut Soak, rng: &mut ChaCha8Rng) {
        let cable = &place.networks.cables[rng.random_range(0..2)];
        let ends = [&place.networks.left, &place.networks.right];
        let end = ends[rng.random_range(0..2)];
        let outage = Duration::from_millis(rng.random_range(200..3000));
        match rng.random_range(0..10) {
            0 | 1 => {
                cable.cut_at(end);
                std::thread::sleep(outage);
                cable.mend();
                self.cut += 1;
            }
            2 | 3 => {
                cable.silence();
                std::thread::sleep(outage);
                cable.heal();
                cable.lose(LOSS);
                self.silent += 1;
            }
            4 => {
                cable.silence_towards(end);
                std::thread::sleep(outage);
                cable.heal();
                cable.lose(LOSS);
                self.one_way += 1;
            }
            5 | 6 => {
                place.nat.forgets();
                self.forgotten += 1;
            }
            7 | 8 => {
                let victim = rng.random_range(0..soak.victims.len());
                soak.victims[victim] = Soak::victim(place, rng.random_range(0..1 << 32));
                self.callers_killed += 1;
            }
            _ => {
                soak.killed_server.kill();
                soak.killed_server = Soak::killed_server(place);
                self.servers_killed += 1;
            }
        }
        std::thread::sleep(Duration::from_millis(rng.random_range(0..1000)));
    }
}

/// Two networks between two hosts, and a third host behind a NAT.
struct Place {
    home: Host,
    nat: Nat,
    outside: Link,
    networks: TwoNetworks,
}

impl Place {
    fn new(net: Net) -> Place {
        let networks = TwoNetworks::new(net, Versions::Mixed);
        let net = &networks.net;
        let (home, router) = (net.host("home"), net.router("router"));
        net.link(&home, "192.168.1.2/24", &router, "192.168.1.1/24");
        let outside =
            net.link(&router, "198.51.100.1/24", &networks.right, &format!("{BEYOND_NAT}/24"));
        home.default_route("192.168.1.1");
        let nat = net.nat(&router, &outside);
        nat.changes_ports();
        nat.drops_strangers();
        networks.cables.iter().for_each(|cable| cable.lose(LOSS));
        outside.lose(LOSS);
        Place { home, nat, outside, networks }
    }

    fn heal(&self) {
        for link in [&self.networks.cables[0], &self.networks.cables[1], &self.outside] {
            link.mend();
            link.heal();
        }
    }

    fn start(&self, host: &Host, args: &[&str]) -> Running {
        let mut program = self.networks.net.start(host, &[&[NAME], args].concat());
        program.ready();
        program
    }

    fn serve(&self, link: &str, port: u16, more: &[&str]) -> Running {
        let port = port.to_string();
        self.start(
            &self.networks.right,
            &[&["serve", "--link", link, "--port", &port], more].concat(),
        )
    }

    /// Starts a server on both networks. Returns it with the address list that its callers need.
    fn serve_two(&self, kind: &str, port: u16, more: &[&str]) -> (Running, String) {
        let link = format!("{kind}:{}", self.networks.addrs(&self.networks.right));
        let suffix = if kind == "raw" { "/native" } else { "/udp:9899" };
        (self.serve(&link, port, more), self.networks.peer(&self.networks.right, port, suffix))
    }

    fn call(&self, kind: &str, peer: &str, associations: u32, seed: u64, more: &[&str]) -> Running {
        let (host, link) = if kind == "home" {
            (&self.home, "udp=0".to_owned())
        } else {
            (&self.networks.left, format!("{kind}:{}", self.networks.addrs(&self.networks.left)))
        };
        let (associations, seed) = (associations.to_string(), seed.to_string());
        let args = [
            "call",
            "--link",
            &link,
            "--peer",
            peer,
            "--associations",
            &associations,
            "--seed",
            &seed,
        ];
        self.start(host, &[&args, more].concat())
    }
}

/// A server and a caller that both run to the end.
struct Pair {
    name: &'static str,
    server: Running,
    caller: Running,
}

/// All processes.
struct Soak {
    pairs: Vec<Pair>,
    /// Runs to the end, unlike its callers.
    patient_server: Running,
    victims: Vec<Running>,
    /// Is killed now and then, unlike its caller.
    killed_server: Running,
    patient_caller: Running,
}

impl Soak {
    fn start(place: &Place, seed: u64) -> Soak {
        let (server, peer) = place.serve_two("raw", 7, &[]);
        let raw = Pair { name: "raw", server, caller: place.call("raw", &peer, 12, seed, &[]) };
        let (server, peer) = place.serve_two("udp=9899", 8, &[]);
        let udp =
            Pair { name: "udp", server, caller: place.call("udp=0", &peer, 8, seed + 1, &[]) };
        // This server is tolerant: when an ABORT and the NAT binding are both lost, it notices the
        // end of the association only by its timers.
        let server = place.serve(&format!("udp=9899:{BEYOND_NAT}"), 9, &["--tolerant"]);
        let peer = format!("{BEYOND_NAT}:9/udp:9899");
        let nat = Pair { name: "nat", server, caller: place.call("home", &peer, 8, seed + 2, &[]) };
        let (patient_server, _) = place.serve_two("raw", VICTIMS, &HARSH);
        let killed_server = Soak::killed_server(place);
        let peer = place.networks.peer(&place.networks.right, KILLED, "/native");
        let patient_caller = place.call("raw", &peer, 4, seed + 3, &HARSH);
        let victims = (0..2).map(|n| Soak::victim(place, seed + 4 + n)).collect();
        Soak { pairs: vec![raw, udp, nat], patient_server, victims, killed_server, patient_caller }
    }

    fn victim(place: &Place, seed: u64) -> Running {
        let peer = place.networks.peer(&place.networks.right, VICTIMS, "/native");
        place.call("raw", &peer, 4, seed, &HARSH)
    }

    fn killed_server(place: &Place) -> Running {
        place.serve_two("raw", KILLED, &HARSH).0
    }

    /// The programs that run to the end, with their names.
    fn lasting(&mut self) -> Vec<(String, &mut Running)> {
        let pairs = self.pairs.iter_mut().flat_map(|pair| {
            let name = pair.name;
            [
                (format!("{name} server"), &mut pair.server),
                (format!("{name} caller"), &mut pair.caller),
            ]
        });
        let others = [
            ("server of victims".to_owned(), &mut self.patient_server),
            ("caller of the killed".to_owned(), &mut self.patient_caller),
        ];
        pairs.chain(others).collect()
    }

    /// Checks that no program has reported an error.
    fn check(&mut self) {
        for (name, program) in self.lasting() {
            let wrong: Vec<&String> =
                program.said().iter().filter(|line| line.starts_with(WRONG)).collect();
            assert!(wrong.is_empty(), "{name}: {wrong:?}");
        }
    }

    fn statuses(&mut self) -> Vec<Status> {
        self.lasting().into_iter().map(|(_, program)| status(program)).collect()
    }

    /// Ends all associations and compares the status of each process with that of `before`.
    fn finish(&mut self, before: &[Status], seconds: u64) {
        self.victims.clear();
        for pair in &mut self.pairs {
            pair.caller.type_line("drain");
        }
        self.patient_caller.type_line("drain");
        for (name, program) in
            self.lasting().into_iter().filter(|(name, _)| name.contains("caller"))
        {
            let drained = program.wait_at_most(LONG, Status::parse);
            assert!(
                drained.is_some(),
                "{name} does not end its associations: {:?}",
                program.said()
            );
        }
        let begin = Instant::now();
        for (name, program) in self.lasting() {
            while status(program).associations > 0 {
                assert!(begin.elapsed() < LONG, "{name} keeps associations: {:?}", status(program));
                std::thread::sleep(Duration::from_millis(100));
            }
        }
        self.check();
        let mut after = self.statuses();
        // A program opens a socket for a moment to list the interfaces, so a count may be one too
        // high. What was leaked stays.
        let begin = Instant::now();
        while after.iter().zip(before).any(|(after, before)| after.files > before.files)
            && begin.elapsed() < LONG
        {
            std::thread::sleep(Duration::from_millis(500));
            after = self.statuses();
        }
        let mut bad = Vec::new();
        for (((name, _), before), after) in self.lasting().iter().zip(before).zip(&after) {
            gate::say(&format!("endurance: {name}: {before:?}\n    in the end {after:?}"));
            if after.files > before.files {
                bad.push(format!("{name}: {} open files, {} before", after.files, before.files));
            }
            if after.memory > before.memory + MEMORY_SLACK {
                bad.push(format!(
                    "{name}: {} KiB resident, {} before",
                    after.memory, before.memory
                ));
            }
        }
        for (pair, ends) in self.pairs.iter().zip(after.chunks(2)) {
            let (server, caller) = (&ends[0], &ends[1]);
            let unexplained = if pair.name == "nat" {
                server.aborted + server.lost > caller.aborted
            } else {
                server.lost > 0
            };
            let few = caller.graceful < seconds / 10 || caller.messages < seconds * 5;
            // If its first packets are lost, an association may be aborted before the server has
            // seen it. So the server's numbers may be smaller.
            let missing = server.graceful < caller.graceful || server.messages < caller.messages;
            if caller.lost > 0
                || unexplained
                || few
                || missing
                || server.graceful > caller.graceful + caller.aborted
            {
                bad.push(format!("{}: {server:?} and {caller:?}", pair.name));
            }
        }
        assert!(bad.is_empty(), "{}", bad.join("\n"));
    }
}

fn status(program: &mut Running) -> Status {
    program.type_line("status");
    program.wait_for("a status", Status::parse)
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} must be a number, not '{text}'")))
}

/// Options of programs whose other end is killed.
const HARSH: [&str; 2] = ["--realtime", "--tolerant"];
/// SCTP ports of two servers.
const VICTIMS: u16 = 10;
const KILLED: u16 = 11;
/// The address of the servers on the other side of the NAT.
const BEYOND_NAT: &str = "198.51.100.9";
/// The percentage of packets lost in each direction.
const LOSS: u32 = 3;
/// How many KiB a process may grow from the first quarter, when all associations are alive, to the
/// end, when none is. This allows for the heaps of threads that were idle before, and for holes in
/// heaps. A leak of one kilobyte for each association would exceed it after a few minutes.
const MEMORY_SLACK: u64 = 2048;
/// How long associations may take to end: eleven timeouts and heartbeats of 5 s each take less.
const LONG: Duration = Duration::from_secs(180);
/// How often the captures are judged and begun again, so that they stay small enough for tshark.
const JUDGE_EVERY: Duration = Duration::from_secs(150);
const PROGRAMS: &str = env!("CARGO_BIN_EXE_netns-programs");
