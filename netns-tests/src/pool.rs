//! Pools on a bench: servers, and clients that count their Pongs.

use std::time::{Duration, Instant};

use rsp_tools::programs::pingpongclient::ClientEvent;
use workspace_tests::process::Program;

use crate::link::Link;
use crate::net::{Host, Net, Running};

/// Starts a pool element, waits until it is registered, and returns its identifier.
///
/// # Panics
/// When it does not register.
pub fn server(net: &Net, host: &Host, args: &[&str]) -> (u32, Running) {
    let mut server = net.start(host, &[&["rspserver", "-quiet"], args].concat());
    let ready = server.ready();
    let id = ready.get("id").and_then(|id| id.strip_prefix("0x")).expect("the identifier");
    (u32::from_str_radix(id, 16).expect("a hexadecimal identifier"), server)
}

/// Waits for `count` Pongs from a pool element other than `than`, and returns its identifier.
///
/// # Panics
/// When they do not come.
pub fn pongs_of_another(client: &mut Program, than: Option<u32>, mut count: u32) -> u32 {
    client.wait_for("enough pongs", |line| match ClientEvent::from_json(line) {
        Some(ClientEvent::Pong { pe, .. }) if Some(pe) != than => {
            count -= 1;
            (count == 0).then_some(pe)
        }
        _ => None,
    })
}

/// Ends the client and checks that it has received all its Pongs.
///
/// # Panics
/// When some are missing.
pub fn finish(mut client: Running) {
    client.signal("INT");
    client.finished(Duration::from_secs(10));
}

/// A pool in which every host has two providers: a registrar, two pool elements and a pool user,
/// each with an address at both.
#[derive(Debug)]
pub struct Providers {
    /// The host of the registrar.
    pub registrar: Host,
    /// The hosts of the pool elements.
    pub elements: [Host; 2],
    /// The host of the pool user.
    pub user: Host,
    /// The networks of the two providers.
    pub switches: [Host; 2],
    /// The links to both providers: those of the registrar, of the elements and of the user, in
    /// this order.
    pub links: [[Link; 2]; 4],
    /// The bench.
    pub net: Net,
}

impl Providers {
    /// Builds the hosts. `addrs` are patterns for the addresses at each provider, with prefix
    /// lengths, in which N stands for the number of the host.
    ///
    /// # Panics
    /// When the system refuses; so do all methods below.
    pub fn new(net: Net, addrs: [&str; 2]) -> Providers {
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
        Providers { registrar, elements: [element1, element2], user, switches, links, net }
    }

    /// Starts the registrar and returns the option by which others find it. `more` are options that
    /// all programs take; the same holds below.
    pub fn start_registrar(&self, more: &[&str]) -> (Running, String) {
        let list = list(&self.links[0], &self.registrar, Some(3863));
        let asap = format!("-asap={list}");
        let args =
            [&["rspregistrar", &asap, "-asapannounce=off", "-enrp=off", "-quiet"], more].concat();
        let mut registrar = self.net.start(&self.registrar, &args);
        registrar.ready();
        (registrar, format!("-registrar={list}"))
    }

    /// Starts one of the elements, waits until it is registered, and returns it with its
    /// identifier.
    pub fn start_element(&self, number: usize, registrar: &str, more: &[&str]) -> (u32, Running) {
        let host = &self.elements[number];
        let local = format!("-local={}", list(&self.links[number + 1], host, Some(0)));
        server(&self.net, host, &[&["-pingpong", &local, registrar], more].concat())
    }

    /// Starts the user, which sends a ping every 20 ms. It changes to another server when its
    /// server has not answered for `timeout` ms.
    pub fn start_user(&self, timeout: u32, registrar: &str, more: &[&str]) -> Running {
        let local = format!("-local={}", list(&self.links[3], &self.user, None));
        let timeout = format!("--replytimeout={timeout}");
        let args = [
            "pingpongclient",
            "--events",
            "--interval=20",
            &timeout,
            "--quiet",
            "-asapannounce=off",
            registrar,
            &local,
        ];
        self.net.start(&self.user, &[&args, more].concat())
    }

    /// The links to a provider.
    pub fn of(&self, provider: usize) -> impl Iterator<Item = &Link> {
        self.links.iter().map(move |host| &host[provider])
    }

    /// How many packets a host has received and sent through a provider.
    pub fn packets(&self, host: &Host, provider: usize) -> [u64; 2] {
        let link = self.of(provider).find(|link| link.leads_to(host));
        link.expect("a host with two providers").packets(host)
    }

    /// Waits until the user's pings and their Pongs travel through this provider.
    pub fn wait_for_pings(&self, provider: usize, limit: Duration) {
        let end = Instant::now() + limit;
        loop {
            let before = self.packets(&self.user, provider);
            std::thread::sleep(Duration::from_millis(500));
            let after = self.packets(&self.user, provider);
            let [received, sent] = [0, 1].map(|n| after[n] - before[n]);
            // 25 of each are expected; if only SACKs of pings came this way, there would be 13.
            if received.min(sent) >= 18 {
                return;
            }
            assert!(
                Instant::now() < end,
                "the user received {received} and sent {sent} packets by provider {provider} \
                 within 500 ms"
            );
        }
    }
}

/// The addresses of a host at both providers in the syntax of the options. The first one has this
/// port.
fn list(links: &[Link; 2], host: &Host, port: Option<u16>) -> String {
    let [a, b] = [0, 1].map(|provider| links[provider].addrs(host)[0]);
    match port {
        Some(port) => format!("{},{b}", std::net::SocketAddr::new(a, port)),
        None => format!("{a},{b}"),
    }
}
