//! How long a pool user waits for its server when one of two providers fails and every host has
//! both. These tests measure time, so they run one after the other, and nothing else may run at the
//! same time. With the RFC's parameters, where a few ms do not matter, each has two pools at once.

use std::time::{Duration, Instant};

use netns_tests::gaps;
use netns_tests::link::Link;
use netns_tests::net::{Net, Running};
use netns_tests::pool::Providers;
use rsp_tools::programs::pingpongclient::ClientEvent;

#[test]
#[ignore = "needs namespaces: cargo test -p netns-tests -- --ignored"]
fn rfc_silent() {
    measure(&CARRIERS, Fault::Silent, &RFC);
}

#[test]
#[ignore = "needs namespaces: cargo test -p netns-tests -- --ignored"]
fn rfc_down() {
    measure(&CARRIERS, Fault::Down, &RFC);
}

#[test]
#[ignore = "needs namespaces: cargo test -p netns-tests -- --ignored"]
fn realtime_silent() {
    CARRIERS.chunks(1).for_each(|carrier| measure(carrier, Fault::Silent, &REALTIME));
}

#[test]
#[ignore = "needs namespaces: cargo test -p netns-tests -- --ignored"]
fn realtime_down() {
    CARRIERS.chunks(1).for_each(|carrier| measure(carrier, Fault::Down, &REALTIME));
}

/// The link that carries SCTP, and the addresses of host N at both providers.
type Carrier = (&'static str, [&'static str; 2]);

const CARRIERS: [Carrier; 2] =
    [("raw", ["10.1.0.N/24", "fd02::N/64"]), ("udp", ["10.1.0.N/24", "10.2.0.N/24"])];

/// Protocol parameters, and the limits that are promised for them.
struct Profile {
    name: &'static str,
    /// The longest wait of the user, ms.
    bound: f64,
    /// How soon the provider must be in use again when it works again.
    back: Duration,
}

const RFC: Profile = Profile { name: "rfc", bound: 2500.0, back: Duration::from_secs(20) };

const REALTIME: Profile = Profile { name: "realtime", bound: 300.0, back: Duration::from_secs(10) };

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// Packets are dropped, and nobody is told.
    Silent,
    /// One of these goes down, in turn: the interface of the user, that of its server, and all
    /// ports of the provider.
    Down,
}

/// Makes the first provider fail five times, and restores it each time.
fn measure(carriers: &[Carrier], fault: Fault, profile: &Profile) {
    let _alone = gaps::alone();
    let Some(net) = Net::open(PROGRAMS) else { return };
    let start = |(link, addrs): &Carrier| {
        let place = Providers::new(Net::named(PROGRAMS, &format!("{} {link}", net.name())), *addrs);
        Case::start(link, place, profile)
    };
    let mut cases: Vec<Case> = carriers.iter().map(start).collect();
    for round in 0..gaps::ROUNDS {
        for case in &cases {
            case.place.wait_for_pings(0, profile.back);
        }
        std::thread::sleep(CALM);
        for case in &mut cases {
            case.kill(fault, round);
        }
        let end = Instant::now() + Duration::from_secs_f64(profile.bound / 1e3) + MORE;
        loop {
            let go_on = cases.iter_mut().map(Case::goes_on).collect::<Vec<bool>>();
            if !go_on.contains(&false) || Instant::now() > end {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        for case in &mut cases {
            case.revive(fault);
        }
    }
    let (mut bad, mut kept) = (Vec::new(), Vec::new());
    for case in cases {
        let name = case.name;
        let (waits, place) = case.end();
        let what = format!("pool gap: {} {fault:?} {name}", profile.name);
        bad.extend(gaps::judge(&what, waits, profile.bound, ""));
        // Keep the captures, in case the test fails.
        kept.push(place);
    }
    assert!(bad.is_empty(), "the median must be below {} ms: {bad:?}", profile.bound);
}

/// A pool and the measurements of its user.
struct Case {
    name: &'static str,
    place: Providers,
    user: Running,
    _pool: [Running; 3],
    /// Lines of the user that belong to earlier rounds.
    seen: usize,
    /// The number of the last ping before the fault was complete.
    ping: u64,
    waits: Vec<f64>,
}

impl Case {
    /// Starts the pool. The user gets a session with the first element, through the first provider.
    fn start(link: &'static str, place: Providers, profile: &Profile) -> Case {
        let options = [format!("--link={link}"), format!("--profile={}", profile.name)];
        let options = options.each_ref().map(String::as_str);
        let (registrar, option) = place.start_registrar(&options);
        let (_, first) = place.start_element(0, &option, &options);
        // With such a long timeout, the user does not change its server before the test fails.
        let mut user = place.start_user(60_000, &option, &options);
        user.wait_for("a pong", |line| match ClientEvent::from_json(line) {
            Some(ClientEvent::Pong { .. }) => Some(()),
            _ => None,
        });
        let (_, second) = place.start_element(1, &option, &options);
        let pool = [registrar, first, second];
        Case { name: link, place, user, _pool: pool, seen: 0, ping: 0, waits: Vec::new() }
    }

    fn kill(&mut self, fault: Fault, round: usize) {
        self.seen = self.user.said().len();
        let (place, [_, element, _, user]) = (&self.place, &self.place.links);
        match fault {
            // Silence the user's link first, because the pings pass there.
            Fault::Silent => [&user[0]].into_iter().chain(place.of(0)).for_each(Link::silence),
            Fault::Down => match round % 3 {
                0 => user[0].cut_at(&place.user),
                1 => element[0].cut_at(&place.elements[0]),
                _ => [&user[0]]
                    .into_iter()
                    .chain(place.of(0))
                    .for_each(|link| link.cut_at(&place.switches[0])),
            },
        }
        let last =
            self.user.said().iter().rev().find_map(|line| match ClientEvent::from_json(line) {
                Some(ClientEvent::Sent { number, .. }) => Some(number),
                _ => None,
            });
        self.ping = last.expect("pings");
        self.waits.push(f64::INFINITY);
    }

    /// Whether pings that were sent after the fault have been answered. Then the longest wait is
    /// noted: the user goes on pinging, so the time from a ping to its Pong is how late that Pong
    /// is.
    fn goes_on(&mut self) -> bool {
        let (mut longest, mut done, enough) = (0, false, self.ping + 5);
        for event in self.events() {
            match event {
                ClientEvent::Pong { number, rtt_us, .. } => {
                    longest = longest.max(rtt_us);
                    done |= number >= enough;
                }
                ClientEvent::Lost { why, .. } => panic!("the user left its server: {why}"),
                _ => {}
            }
        }
        if let (Some(wait), true) = (self.waits.last_mut(), done) {
            *wait = longest as f64 / 1e3;
        }
        done
    }

    /// The events that the user has printed since the fault.
    fn events(&mut self) -> Vec<ClientEvent> {
        let seen = self.seen;
        self.user.said()[seen..].iter().filter_map(|line| ClientEvent::from_json(line)).collect()
    }

    fn revive(&self, fault: Fault) {
        match fault {
            Fault::Silent => self.place.of(0).for_each(Link::heal),
            Fault::Down => self.place.of(0).for_each(Link::mend),
        }
    }

    /// Ends the user and checks that it has received all its Pongs, in one session.
    fn end(mut self) -> (Vec<f64>, Providers) {
        self.user.signal("INT");
        let lines = self.user.finished(Duration::from_secs(10));
        let events: Vec<ClientEvent> =
            lines.iter().filter_map(|line| ClientEvent::from_json(line)).collect();
        let sessions = events.iter().filter(|event| matches!(event, ClientEvent::Session { .. }));
        assert_eq!(sessions.count(), 1, "sessions of the user");
        let finished = events.iter().find_map(|event| match event {
            ClientEvent::Finished { sent, answered } => Some((*sent, *answered)),
            _ => None,
        });
        assert!(
            finished.is_some_and(|(sent, answered)| sent == answered && sent > 100),
            "{finished:?}"
        );
        (self.waits, self.place)
    }
}

/// Time without faults before each fault.
const CALM: Duration = Duration::from_millis(300);
/// How much longer than the allowed time a round waits.
const MORE: Duration = Duration::from_secs(3);
const PROGRAMS: &str = env!("CARGO_BIN_EXE_netns-programs");
