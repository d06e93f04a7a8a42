//! What gets through network address translators, and what does not.
//!
//! The "internet" here has addresses of the documentation networks. So the stack sees the same as
//! in the real one: its own addresses are private, and those of the peer are global.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use netns_tests::link::Link;
use netns_tests::nat::Nat;
use netns_tests::net::{Host, Net, Running};
use netns_tests::pool;
use netns_tests::traffic::{self, Event};
use workspace_tests::process::PATIENCE;

#[test]
#[ignore = "needs namespaces: cargo test -p netns-tests -- --ignored"]
fn a_client_behind_a_nat() {
    let Some(home) = Home::open(1) else { return };
    home.nat.changes_ports();
    let servers = servers(&home.net, &home.server, &[]);
    for (kind, mut server) in ["bulk", "ask"].into_iter().zip(servers) {
        let mut client = client(&home, 0, kind, &["--messages", "300"]);
        assert_eq!(ended(&mut client), Ok(300), "{kind}");
        assert_eq!(traffic::received(&mut server, 1), [300], "{kind}");
    }
    assert!(home.nat.bindings().iter().any(|binding| binding.contains("dport=9899")));
}

#[test]
#[ignore = "needs namespaces: cargo test -p netns-tests -- --ignored"]
fn a_client_behind_two_nats() {
    let Some((net, client, server, nats)) = behind_two_nats() else { return };
    nats.iter().for_each(Nat::changes_ports);
    let servers = servers(&net, &server, &[]);
    for (kind, mut server) in ["bulk", "ask"].into_iter().zip(servers) {
        let mut client = start(&net, &client, kind, "udp=0", &["--messages", "300"]);
        assert_eq!(ended(&mut client), Ok(300), "{kind}");
        assert_eq!(traffic::received(&mut server, 1), [300], "{kind}");
    }
}

/// A client behind two NATs, those of a home and of its provider, and a server in the internet.
fn behind_two_nats() -> Option<(Net, Host, Host, [Nat; 2])> {
    let net = Net::open(PROGRAMS)?;
    let (client, home, provider, server) =
        (net.host("client"), net.router("home"), net.router("provider"), net.host("server"));
    net.link(&client, "192.168.1.2/24", &home, "192.168.1.1/24");
    // The network of a carrier-grade NAT (RFC 6598).
    let middle = net.link(&home, "100.64.0.2/24", &provider, "100.64.0.1/24");
    let outside = net.link(&provider, "198.51.100.1/24", &server, SERVER_PREFIX);
    client.default_route("192.168.1.1");
    home.default_route("100.64.0.1");
    let nats = [net.nat(&home, &middle), net.nat(&provider, &outside)];
    Some((net, client, server, nats))
}

/// To the server, the clients have the same address and SCTP port; only their UDP ports differ.
#[test]
#[ignore = "needs namespaces: cargo test -p netns-tests -- --ignored"]
fn two_clients_with_equal_ports_behind_one_nat() {
    let Some(home) = Home::open(2) else { return };
    let [_, mut server] = servers(&home.net, &home.server, &[]);
    let mut first = client(&home, 0, "ask", &["--port", "5000"]);
    begun(&mut first);
    let mut second = client(&home, 1, "ask", &["--port", "5000", "--messages", "10"]);
    let refused = ended(&mut second).unwrap_err();
    assert!(refused.contains("refused the association"), "{refused}");
    // With an SCTP port of its own, the other client is accepted. The first one has not noticed
    // anything.
    let mut other = client(&home, 1, "ask", &["--messages", "100"]);
    assert_eq!(ended(&mut other), Ok(100));
    first.close_stdin();
    let messages = ended(&mut first).expect("a good end");
    assert!(messages > 50, "only {messages} messages");
    let mut sent = [100, messages];
    sent.sort_unstable();
    assert_eq!(traffic::received(&mut server, 2), sent);
}

#[test]
#[ignore = "needs namespaces: cargo test -p netns-tests -- --ignored"]
fn equal_ports_are_told_apart_by_udp_ports_on_demand() {
    let Some(home) = Home::open(2) else { return };
    home.nat.changes_ports();
    let [_, mut server] = servers(&home.net, &home.server, &["--nat-port-key"]);
    let mut clients = [0, 1].map(|n| client(&home, n, "ask", &["--port", "5000"]));
    clients.iter_mut().for_each(begun);
    std::thread::sleep(Duration::from_millis(500));
    let mut sent = clients.map(|mut client| {
        client.close_stdin();
        ended(&mut client).expect("a good end")
    });
    assert!(sent.iter().all(|messages| *messages > 10), "only {sent:?} messages");
    sent.sort_unstable();
    assert_eq!(traffic::received(&mut server, 2), sent);
}

/// Afterwards the client has another UDP port. The NAT silently drops packets to the old one, for
/// which it has no binding.
#[test]
#[ignore = "needs namespaces: cargo test -p netns-tests -- --ignored"]
fn a_nat_forgets_its_table() {
    let Some(home) = Home::open(1) else { return };
    home.nat.drops_strangers();
    forget_in_the_middle(&home);
}

/// The same with a NAT that answers packets without a binding by ICMP errors, which do not mean
/// that the client is gone.
#[test]
#[ignore = "needs namespaces: cargo test -p netns-tests -- --ignored"]
fn a_nat_forgets_its_table_and_complains() {
    let Some(home) = Home::open(1) else { return };
    forget_in_the_middle(&home);
}

fn forget_in_the_middle(home: &Home) {
    home.nat.changes_ports();
    home.inside[0].limit(8000, 60);
    let servers = servers(&home.net, &home.server, &[]);
    // A client that waits for an answer makes a new binding only when it sends its next heartbeat,
    // so the profile decides how long it waits.
    let mut clients = [("bulk", "rfc"), ("ask", "realtime")]
        .map(|(kind, profile)| client(home, 0, kind, &["--window", "32768", "--profile", profile]));
    clients.iter_mut().for_each(begun);
    let before = ports(home);
    assert_eq!(before.len(), clients.len(), "the ports of the clients: {before:?}");
    for _ in 0..5 {
        std::thread::sleep(Duration::from_millis(300));
        home.nat.forgets();
    }
    // A client gets a new port as soon as it sends something.
    let limit = Instant::now() + PATIENCE;
    let all_new =
        |now: &[String]| now.len() == before.len() && now.iter().all(|port| !before.contains(port));
    while !all_new(&ports(home)) {
        assert!(Instant::now() < limit, "the clients had {before:?} and have {:?}", ports(home));
        std::thread::sleep(Duration::from_millis(50));
    }
    for ((client, mut server), least) in clients.iter_mut().zip(servers).zip([100, 5]) {
        client.close_stdin();
        let messages = ended(client).expect("a good end");
        assert!(messages >= least, "only {messages} messages");
        assert_eq!(traffic::received(&mut server, 1), [messages]);
        let lines = [client.said(), server.said()].concat();
        let longest = lines.iter().filter_map(|line| match Event::parse(line) {
            Some(Event::End { longest_ms, .. }) => Some(longest_ms),
            _ => None,
        });
        let longest = longest.fold(0.0, f64::max);
        println!("{}: the longest wait was {longest:.0} ms", home.net.name());
        // The NAT kept forgetting its bindings for 1.5 s. A server that does not follow its client
        // to the new port waits for ever; a client that needs the RFC's heartbeat waits for 15 s.
        assert!(longest > 0.0 && longest < 10_000.0, "somebody waited {longest} ms");
    }
}

/// The UDP ports that the NAT uses for the first client towards the server.
fn ports(home: &Home) -> Vec<String> {
    // Packets from the server to a forgotten port may have made entries, too, but in those the
    // server is the source.
    let begun_by_client = format!("src={} dst={SERVER} ", client_addr(0));
    let answered = |line: &String| {
        line.rsplit("dport=").next().map(|port| port.split(' ').next().unwrap_or("").to_owned())
    };
    home.nat
        .bindings()
        .iter()
        .filter(|line| line.contains(&begun_by_client))
        .filter_map(answered)
        .collect()
}

/// Large packets do not get through, and no ICMP message says so.
#[test]
#[ignore = "needs namespaces: cargo test -p netns-tests -- --ignored"]
fn a_nat_blocks_icmp_in_front_of_a_small_mtu() {
    let Some(net) = Net::open(PROGRAMS) else { return };
    let (client, home, far, server) =
        (net.host("client"), net.router("home"), net.router("far"), net.host("server"));
    net.link(&client, "192.168.1.2/24", &home, "192.168.1.1/24");
    let outside = net.link(&home, "203.0.113.1/24", &far, "203.0.113.2/24");
    net.link(&far, "198.51.100.1/24", &server, SERVER_PREFIX);
    outside.mtu(1280);
    client.default_route("192.168.1.1");
    home.default_route("203.0.113.2");
    server.default_route("198.51.100.1");
    let nat = net.nat(&home, &outside);
    nat.blocks_icmp();
    // The router on the other side sends no ICMP either.
    far.namespace().nft(
        "table inet quiet { chain output { type filter hook output priority 0; meta l4proto icmp \
         drop; }; }",
    );
    let servers = servers(&net, &server, &[]);
    for (kind, mut server) in ["bulk", "ask"].into_iter().zip(servers) {
        let mut client = start(&net, &client, kind, "udp=0", &["--messages", "200"]);
        begun(&mut client);
        let begin = Instant::now();
        assert_eq!(ended(&mut client), Ok(200), "{kind}");
        assert_eq!(traffic::received(&mut server, 1), [200], "{kind}");
        assert!(begin.elapsed() < Duration::from_secs(10), "{kind}: {:?}", begin.elapsed());
    }
}

#[test]
#[ignore = "needs namespaces: cargo test -p netns-tests -- --ignored"]
fn a_pool_user_behind_a_nat() {
    let Some(home) = Home::open(1) else { return };
    home.nat.changes_ports();
    home.nat.drops_strangers();
    let (net, server) = (&home.net, &home.server);
    let option = registrar(net, server);
    let mut elements: Vec<(u32, Running)> = (0..2)
        .map(|_| {
            pool::server(net, server, &["-pingpong", &format!("-local={SERVER}:0"), &option.1])
        })
        .collect();
    let mut user = net.start(&home.clients[0], &user(&option.1));
    let first = pool::pongs_of_another(&mut user, None, 20);
    let (_, serving) =
        elements.iter_mut().find(|(id, _)| *id == first).expect("one of the elements");
    serving.kill();
    pool::pongs_of_another(&mut user, Some(first), 20);
    // The session and the association with the registrar get new bindings in their middle.
    home.nat.forgets();
    pool::pongs_of_another(&mut user, Some(first), 20);
    pool::finish(user);
}

/// The element knows only its private address. Users elsewhere need the address of the NAT and the
/// UDP port that it forwards.
#[test]
#[ignore = "needs namespaces: cargo test -p netns-tests -- --ignored"]
fn a_pool_element_behind_a_forwarded_port() {
    let Some(home) = Home::open(1) else { return };
    home.nat.drops_strangers();
    let (net, element_host) = (&home.net, &home.clients[0]);
    home.nat.forwards_udp(9900, client_addr(0), 4321);
    let option = registrar(net, &home.server);
    let address = format!("-local={}:0", client_addr(0));
    let args = ["-pingpong", &address, "-encap-port=4321", "-announce-udp-port=9900", &option.1];
    let (id, _element) = pool::server(net, element_host, &args);
    let mut user = net.start(&home.server, &user(&option.1));
    assert_eq!(pool::pongs_of_another(&mut user, None, 20), id);
    pool::finish(user);
}

/// The server closes its listening socket after each association and listens again, as servers do
/// when they are reloaded.
#[test]
#[ignore = "needs namespaces: cargo test -p netns-tests -- --ignored"]
fn a_server_behind_a_forwarded_port_listens_again() {
    let Some(home) = Home::open(1) else { return };
    home.nat.forwards_udp(9900, client_addr(0), 9899);
    let mut server = serve(&home.net, &home.clients[0], "udp=9899", 8, &["--echo", "--reopen"]);
    let args = [traffic::NAME, "ask", "--link", "udp=0", "--peer", "198.51.100.1:8/udp:9900"];
    let mut clients: [Running; 3] = std::array::from_fn(|_| {
        let mut client = home.net.start(&home.server, &args);
        begun(&mut client);
        client
    });
    // The earlier associations have lived on all the time.
    clients.iter_mut().for_each(|client| client.close_stdin());
    let mut sent = clients.map(|mut client| ended(&mut client).expect("a good end"));
    sent.sort_unstable();
    assert_eq!(traffic::received(&mut server, 3), sent);
}

/// NATs in homes translate TCP and UDP, but treat protocol 132 in different ways. When it does not
/// get through, the client says what to do.
#[test]
#[ignore = "needs namespaces: cargo test -p netns-tests -- --ignored"]
fn without_encapsulation() {
    let Some(home) = Home::open(1) else { return };
    let (net, client) = (&home.net, &home.clients[0]);
    let _servers = servers(net, &home.server, &[]);
    let mut server = serve(net, &home.server, "raw", 9, &["--echo"]);
    // The packets pass with their private source, so no answer finds its way back.
    told_to_use_udp(net, client);
    // The packets are refused.
    refuses_sctp(&home.router);
    told_to_use_udp(net, client);
    home.router.namespace().nft("delete table inet only_known");
    // Behind one of the few NATs that know SCTP, it works as in UDP.
    home.nat.knows_sctp();
    assert_eq!(ask_natively(net, client), Ok(20));
    assert_eq!(traffic::received(&mut server, 1), [20]);
}

#[test]
#[ignore = "needs namespaces: cargo test -p netns-tests -- --ignored"]
fn without_encapsulation_behind_two_nats() {
    let Some((net, client, server, nats)) = behind_two_nats() else { return };
    let _server = serve(&net, &server, "raw", 9, &["--echo"]);
    told_to_use_udp(&net, &client);
    // If only the first NAT knows SCTP, answers are lost at the second one.
    nats[0].knows_sctp();
    told_to_use_udp(&net, &client);
}

/// The packets are lost, and no ICMP message says so.
#[test]
#[ignore = "needs namespaces: cargo test -p netns-tests -- --ignored"]
fn without_encapsulation_and_without_icmp() {
    let Some(home) = Home::open(1) else { return };
    let (net, client) = (&home.net, &home.clients[0]);
    home.nat.blocks_icmp();
    let _server = serve(net, &home.server, "raw", 9, &["--echo"]);
    told_to_use_udp(net, client);
    refuses_sctp(&home.router);
    told_to_use_udp(net, client);
}

/// Makes the router refuse to forward protocol 132, with an ICMP error.
fn refuses_sctp(router: &Host) {
    router.namespace().nft(
        "table inet only_known { chain forward { type filter hook forward priority 0; meta l4proto \
         sctp reject with icmpx admin-prohibited; }; }",
    );
}

/// Sends requests to the server directly in IP.
fn ask_natively(net: &Net, client: &Host) -> Result<u64, String> {
    let peer = format!("{SERVER}:9/native");
    let args = [
        traffic::NAME,
        "ask",
        "--link",
        "raw",
        "--peer",
        &peer,
        "--messages",
        "20",
        "--tries",
        "1",
    ];
    ended(&mut net.start(client, &args))
}

/// Checks that calls of the library and programs fail directly in IP, and that they suggest UDP.
fn told_to_use_udp(net: &Net, client: &Host) {
    let refused = ask_natively(net, client).unwrap_err();
    assert!(refused.contains("UDP"), "{refused}");
    println!("{}: {refused}", net.name());
    let option = format!("-registrar={SERVER}:3863/native");
    let common =
        ["-link=raw", "-asapannounce=off", "-registrarsearchtimeout=1000", "-quiet", &option];
    let start = |program: &&str| net.start(client, &[&[*program], &common[..]].concat());
    // Start all of them at once, because each waits for its timeout.
    let programs = ["rspserver", "rspterminal", "pingpongclient"];
    let mut running: Vec<Running> = programs.iter().map(start).collect();
    for (program, running) in programs.iter().zip(&mut running) {
        let ended = running.ended(Duration::from_secs(10));
        assert!(!ended.status.success(), "{program} found a registrar");
        let complaints = ended.complaints().join(" ");
        assert!(complaints.contains("try --link=udp"), "{program}: {complaints}");
    }
}

/// Clients behind the NAT of a home, and a server in the internet.
struct Home {
    clients: Vec<Host>,
    inside: Vec<Link>,
    router: Host,
    server: Host,
    nat: Nat,
    net: Net,
}

impl Home {
    fn open(clients: usize) -> Option<Home> {
        let net = Net::open(PROGRAMS)?;
        let (router, server) = (net.router("home"), net.host("server"));
        let outside = net.link(&router, "198.51.100.1/24", &server, SERVER_PREFIX);
        let clients: Vec<Host> = (0..clients).map(|n| net.host(&format!("client{n}"))).collect();
        let inside = clients
            .iter()
            .enumerate()
            .map(|(n, client)| {
                let link = net.link(
                    client,
                    &format!("{}/24", client_addr(n)),
                    &router,
                    &format!("192.168.{}.1/24", n + 1),
                );
                client.default_route(&format!("192.168.{}.1", n + 1));
                link
            })
            .collect();
        let nat = net.nat(&router, &outside);
        Some(Home { clients, inside, router, server, nat, net })
    }
}

fn client_addr(number: usize) -> IpAddr {
    IpAddr::from([192, 168, number as u8 + 1, 2])
}

fn registrar(net: &Net, host: &Host) -> (Running, String) {
    let mut registrar = net.start(
        host,
        &["rspregistrar", &format!("-asap={SERVER}:0"), "-asapannounce=off", "-enrp=off", "-quiet"],
    );
    let option = format!("-registrar={}", registrar.ready().get("asap").expect("its address"));
    (registrar, option)
}

fn user(option: &str) -> [&str; 6] {
    ["pingpongclient", "--events", "--interval=20", "--quiet", "-asapannounce=off", option]
}

/// Starts a server for bulk traffic at SCTP port 7 and one that echoes at port 8.
fn servers(net: &Net, host: &Host, more: &[&str]) -> [Running; 2] {
    let echo = [&["--echo"], more].concat();
    [serve(net, host, "udp=9899", 7, more), serve(net, host, "udp=9900", 8, &echo)]
}

fn serve(net: &Net, host: &Host, link: &str, port: u16, more: &[&str]) -> Running {
    let port = port.to_string();
    let args = [&[traffic::NAME, "serve", "--link", link, "--port", &port], more].concat();
    let mut server = net.start(host, &args);
    server.ready();
    server
}

fn client(home: &Home, number: usize, kind: &str, more: &[&str]) -> Running {
    start(&home.net, &home.clients[number], kind, "udp=0", more)
}

/// Starts a client of the server for this kind of traffic.
fn start(net: &Net, host: &Host, kind: &str, link: &str, more: &[&str]) -> Running {
    let peer = match kind {
        "bulk" => format!("{SERVER}:7/udp:9899"),
        _ => format!("{SERVER}:8/udp:9900"),
    };
    net.start(host, &[&[traffic::NAME, kind, "--link", link, "--peer", &peer], more].concat())
}

fn begun(client: &mut Running) {
    client.wait_for("that traffic flows", |line| match Event::parse(line) {
        Some(Event::Begun { .. }) => Some(()),
        _ => None,
    });
}

/// Waits for the end of a client. Returns the number of its messages, or what went wrong.
fn ended(client: &mut Running) -> Result<u64, String> {
    let ended = client.ended(Duration::from_secs(30));
    let messages = ended.lines.iter().find_map(|line| match Event::parse(line) {
        Some(Event::End { messages, .. }) => Some(messages),
        _ => None,
    });
    messages.ok_or_else(|| ended.complaints().join(" "))
}

const SERVER: &str = "198.51.100.9";
const SERVER_PREFIX: &str = "198.51.100.9/24";
const PROGRAMS: &str = env!("CARGO_BIN_EXE_netns-programs");
