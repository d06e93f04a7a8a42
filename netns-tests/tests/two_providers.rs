//! A pool in which registrar, pool elements and pool user each have two providers. `pool_gaps`
//! measures how long the user waits.

use std::time::{Duration, Instant};

use netns_tests::net::{Net, Running};
use netns_tests::pool::{self, Providers};
use rsp_tools::programs::pingpongclient::ClientEvent;
use workspace_tests::process::PATIENCE;

#[test]
#[ignore = "needs namespaces: cargo test -p netns-tests -- --ignored"]
fn over_ipv4_in_udp() {
    a_pool_loses_providers(["10.1.0.N/24", "10.2.0.N/24"], "udp");
}

#[test]
#[ignore = "needs namespaces: cargo test -p netns-tests -- --ignored"]
fn over_ipv6_in_udp() {
    a_pool_loses_providers(["fd01::N/64", "fd02::N/64"], "udp");
}

#[test]
#[ignore = "needs namespaces: cargo test -p netns-tests -- --ignored"]
fn over_ipv4_and_ipv6_directly_in_ip() {
    a_pool_loses_providers(["10.1.0.N/24", "fd02::N/64"], "raw");
}

fn a_pool_loses_providers(addrs: [&str; 2], link: &str) {
    let Some(net) = Net::open(PROGRAMS) else { return };
    let place = Providers::new(net, addrs);
    let link = format!("-link={link}");
    let more = [link.as_str()];
    let (_registrar, option) = place.start_registrar(&more);
    let (first, mut serving) = place.start_element(0, &option, &more);
    // The timeout is long, so that SCTP changes the path before the session changes the server.
    let mut user = place.start_user(TIMEOUT, &option, &more);
    let mut waits = Waits::default();
    assert_eq!(waits.pongs(&mut user, 20), first);

    // The user silently loses its first provider.
    place.links[3][0].silence();
    assert_eq!(waits.pongs(&mut user, 100), first, "the same server by another path");
    let one = std::mem::take(&mut waits);

    // Everybody loses the first provider, while another element registers.
    place.links.iter().for_each(|host| host[0].silence());
    let (second, _element) = place.start_element(1, &option, &more);
    assert_eq!(waits.pongs(&mut user, 20), first);
    let all = std::mem::take(&mut waits);

    // The server dies. The user and the registrar reach the other one through the second provider.
    serving.kill();
    let death = Instant::now();
    assert_eq!(pool::pongs_of_another(&mut user, Some(first), 1), second);
    let death = death.elapsed();
    assert_eq!(waits.pongs(&mut user, 20), second);
    waits = Waits::default();

    // The first provider works again. When everybody has noticed that, which answered heartbeats
    // show, the second one is cut.
    let since = [&place.user, &place.elements[1]].map(|host| (host, place.packets(host, 0)));
    place.links.iter().for_each(|host| host[0].heal());
    for (host, before) in since {
        let limit = Instant::now() + PATIENCE;
        while place
            .packets(host, 0)
            .iter()
            .zip(before)
            .any(|(now, before)| *now < before + HEARTBEATS)
        {
            assert!(
                Instant::now() < limit,
                "{} does not use its first provider again",
                host.role()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    place
        .links
        .iter()
        .zip([&place.registrar, &place.elements[0], &place.elements[1], &place.user])
        .for_each(|(links, host)| links[1].cut_at(host));
    assert_eq!(waits.pongs(&mut user, 100), second);
    let back = std::mem::take(&mut waits);
    println!(
        "{}: longest waits for a Pong: {:.0?} without the user's first provider, {:.0?} without \
         everybody's first one, {:.0?} without everybody's second one, {death:.0?} when the \
         server died",
        place.net.name(),
        one.longest,
        all.longest,
        back.longest
    );
    // After one timeout of 1 s, each end leaves a dead path, and after 2.4 s a busy server is known
    // to be dead. All timeouts that a path may have would take a minute; the user's reply timeout
    // is 20 s.
    for wait in [one.longest, all.longest, death, back.longest] {
        assert!(wait < Duration::from_secs(6), "{wait:?}");
    }
    user.signal("INT");
    let lines = user.finished(Duration::from_secs(10));
    let finished = lines.iter().find_map(|line| match ClientEvent::from_json(line) {
        Some(ClientEvent::Finished { sent, answered }) => Some((sent, answered)),
        _ => None,
    });
    assert!(
        finished.is_some_and(|(sent, answered)| sent == answered && sent > 200),
        "{finished:?}"
    );
}

/// How long Pongs took.
#[derive(Debug, Default)]
struct Waits {
    longest: Duration,
}

impl Waits {
    /// Waits for `count` Pongs and returns the identifier of the element that sent the last one.
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

/// How long a server may take to answer before the user leaves it, ms.
const TIMEOUT: u32 = 20_000;
/// When this many packets have been received and sent, a heartbeat and its answer are among them,
/// even if the others belong to ARP or neighbour discovery.
const HEARTBEATS: u64 = 4;
const PROGRAMS: &str = env!("CARGO_BIN_EXE_netns-programs");
