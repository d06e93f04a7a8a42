//! A pool in which everybody has two providers: registrar, pool elements and pool user.

use std::time::Duration;

use netns_tests::link::Link;
use netns_tests::net::{Host, Net, Running};
use netns_tests::pool;
use rsp_tools::programs::pingpongclient::ClientEvent;

/// Two switches, one for each provider, and hosts with an address at each.
struct Providers {
    registrar: Host,
    elements: [Host; 2],
    user: Host,
    /// The links of each host to both providers, in this order.
    links: [[Link; 2]; 4],
    net: Net,
}

impl Providers {
    /// `addrs` are the addresses of host N, one for each provider, with prefix lengths.
    fn open(addrs: [&str; 2]) -> Option<Providers> {
        let net = Net::open(PROGRAMS)?;
        let switches = ["provider-a", "provider-b"].map(|role| net.switch(role));
        let hosts = ["registrar", "element1", "element2", "user"].map(|role| net.host(role));
        let links = std::array::from_fn(|n| {
            let place = (n + 1).to_string();
            let plug = |provider: usize| {
                net.link(&hosts[n], &addrs[provider].replace('N', &place), &switches[provider], "")
            };
            [plug(0), plug(1)]
        });
        let [registrar, element1, element2, user] = hosts;
        Some(Providers { registrar, elements: [element1, element2], user, links, net })
    }

    /// The addresses of host N as an option takes them, the first one with this port.
    fn list(&self, number: usize, host: &Host, port: Option<u16>) -> String {
        let [a, b] = [0, 1].map(|provider| self.links[number][provider].addrs(host)[0]);
        match port {
            Some(port) => format!("{},{b}", std::net::SocketAddr::new(a, port)),
            None => format!("{a},{b}"),
        }
    }

    fn element(&self, number: usize, registrar: &str, link: &str) -> (u32, Running) {
        let host = &self.elements[number];
        let local = format!("-local={}", self.list(number + 1, host, Some(0)));
        pool::server(&self.net, host, &["-pingpong", &local, registrar, link])
    }
}

#[test]
fn over_ipv4_in_udp() {
    a_pool_loses_providers(["10.1.0.N/24", "10.2.0.N/24"], "udp");
}

#[test]
fn over_ipv6_in_udp() {
    a_pool_loses_providers(["fd01::N/64", "fd02::N/64"], "udp");
}

#[test]
fn over_ipv4_and_ipv6_directly_in_ip() {
    a_pool_loses_providers(["10.1.0.N/24", "fd02::N/64"], "raw");
}

fn a_pool_loses_providers(addrs: [&str; 2], link: &str) {
    let Some(place) = Providers::open(addrs) else { return };
    let link = format!("-link={link}");
    let net = &place.net;
    let asap = format!("-asap={}", place.list(0, &place.registrar, Some(3863)));
    let args = ["rspregistrar", &asap, "-asapannounce=off", "-quiet", &link];
    let mut registrar = net.start(&place.registrar, &args);
    registrar.ready();
    let option = format!("-registrar={}", place.list(0, &place.registrar, Some(3863)));
    let (first, mut serving) = place.element(0, &option, &link);
    let local = format!("-local={}", place.list(3, &place.user, None));
    // SCTP has time to change the path before the session changes the server.
    let args = [
        "pingpongclient",
        "--events",
        "--interval=20",
        "--replytimeout=5000",
        "--quiet",
        "-asapannounce=off",
        &option,
        &local,
        &link,
    ];
    let mut user = net.start(&place.user, &args);
    let mut waits = Waits::default();
    assert_eq!(waits.pongs(&mut user, 20), first);

    // The user loses its first provider without a word.
    place.links[3][0].silence();
    assert_eq!(waits.pongs(&mut user, 100), first, "the same server by another path");
    let one = std::mem::take(&mut waits);

    // So does everybody, while another element wants to join.
    place.links.iter().for_each(|host| host[0].silence());
    let (second, _element) = place.element(1, &option, &link);
    assert_eq!(waits.pongs(&mut user, 20), first);
    let all = std::mem::take(&mut waits);

    // The server dies; the user and the registrar reach the other one by the provider that is left.
    serving.kill();
    let before = waits.longest;
    assert_eq!(pool::pongs_of_another(&mut user, Some(first), 20), second);
    assert_eq!(before, Duration::ZERO);

    // The first provider is back, the second one is cut.
    place.links.iter().for_each(|host| host[0].heal());
    std::thread::sleep(Duration::from_millis(2500));
    place
        .links
        .iter()
        .zip([&place.registrar, &place.elements[0], &place.elements[1], &place.user])
        .for_each(|(links, host)| links[1].cut_at(host));
    assert_eq!(waits.pongs(&mut user, 100), second);
    let back = std::mem::take(&mut waits);
    println!(
        "{}: longest waits for a Pong: {:.0?} without the user's provider, {:.0?} without it for all, {:.0?} the other way round",
        net.name(),
        one.longest,
        all.longest,
        back.longest
    );
    for wait in [one, all, back] {
        assert!(wait.longest < Duration::from_millis(2500), "{:?}", wait.longest);
    }
    user.signal("INT");
    let lines = user.finished(Duration::from_secs(10));
    let finished = lines.iter().find_map(|line| match ClientEvent::from_json(line) {
        Some(ClientEvent::Finished { sent, answered }) => Some((sent, answered)),
        _ => None,
    });
    assert!(finished.is_some_and(|(sent, answered)| sent == answered && sent > 200), "{finished:?}");
}

/// How long Pongs took.
#[derive(Debug, Default)]
struct Waits {
    longest: Duration,
}

impl Waits {
    /// Waits for so many Pongs and says from whom the last one is.
    fn pongs(&mut self, user: &mut Running, mut count: u32) -> u32 {
        user.wait_for("enough pongs", |line| match ClientEvent::from_json(line) {
            Some(ClientEvent::Pong { pe, rtt_us, .. }) => {
                self.longest = self.longest.max(Duration::from_micros(rtt_us));
                count -= 1;
                (count == 0).then_some(pe)
            }
            _ => None,
        })
    }
}

const PROGRAMS: &str = env!("CARGO_BIN_EXE_netns-programs");
