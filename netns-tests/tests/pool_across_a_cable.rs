//! A pool on one host, its user on another, UDP encapsulation on the cable between them.

use std::process::Command;
use std::time::{Duration, Instant};

use netns_tests::topology::{Host, Pair};
use rsp_tools::programs::pingpongclient::ClientEvent;
use workspace_tests::gate::{self, Need};
use workspace_tests::process::Program;

#[test]
fn a_session_survives_its_server_across_a_cable() {
    if gate::all_or_skip(&NEEDS) {
        // The kernel of the killed server's host answers by ICMP, so this does not wait for a timeout.
        let failover = failover_across(&Pair::new());
        assert!(failover < Duration::from_millis(500), "the failover took {failover:?}");
    }
}

#[test]
fn without_icmp_the_reply_timeout_notices() {
    if gate::all_or_skip(&NEEDS) && gate::all_or_skip(&[Need::Program("nft")]) {
        let pair = Pair::new();
        pair.right.drop_icmp();
        let failover = failover_across(&pair);
        // The default of --replytimeout= is 700 ms.
        assert!(failover > Duration::from_millis(500), "{failover:?}: was ICMP really dropped?");
        assert!(failover < Duration::from_secs(1), "the failover took {failover:?}");
    }
}

/// Registrar and two servers at the left, a client at the right: kills the server that serves and measures the time to the next Pong.
fn failover_across(pair: &Pair) -> Duration {
    let (left, right) = (&pair.left, &pair.right);
    let mut registrar =
        program(left, "rspregistrar", &[&format!("-asap={}:0", left.addr), "-asapannounce=off", "-quiet"]);
    let ready = registrar.ready();
    assert_eq!(ready.udp(), Some(9899), "a registrar takes the well-known port");
    // No suffix: UDP port 9899.
    let option = format!("-registrar={}", ready.get("asap").unwrap());
    let local = format!("-local={}:0", left.addr);
    let mut servers: Vec<(u32, Program)> =
        (0..2).map(|_| server(left, &["-pingpong", &local, &option])).collect();

    let args = ["--events", "--interval=20", "--quiet", "-asapannounce=off", &option];
    let mut client = program(right, "pingpongclient", &args);
    let first = pongs_of_another(&mut client, None, 10);
    let (_, serving) = servers.iter_mut().find(|(id, _)| *id == first).expect("one of the servers answered");
    serving.kill();
    let killed = Instant::now();
    let second = pongs_of_another(&mut client, Some(first), 1);
    let failover = killed.elapsed();
    assert_ne!(second, first);
    finish(client);
    failover
}

#[test]
fn the_registrar_is_found_by_its_announces() {
    if !gate::all_or_skip(&NEEDS) {
        return;
    }
    let pair = Pair::new();
    let (left, right) = (&pair.left, &pair.right);
    for host in [left, right] {
        host.namespace.ip(&["route", "add", "default", "dev", netns_tests::topology::INTERFACE]);
    }
    let asap = format!("-asap={}:3863", left.addr);
    let mut registrar = program(left, "rspregistrar", &[&asap, "-serverannouncecycle=100", "-quiet"]);
    registrar.ready();
    let (id, _server) = server(left, &["-pingpong", &format!("-local={}:0", left.addr)]);
    let mut client = program(right, "pingpongclient", &["--events", "--interval=20", "--quiet"]);
    assert_eq!(pongs_of_another(&mut client, None, 1), id);
    finish(client);
}

const NEEDS: [Need; 3] = [Need::Linux, Need::Root, Need::Program("ip")];

fn program(host: &Host, name: &str, args: &[&str]) -> Program {
    let mut command: Command = host.namespace.command(env!("CARGO_BIN_EXE_netns-programs"));
    Program::start(name, command.arg(name).args(args))
}

fn server(host: &Host, args: &[&str]) -> (u32, Program) {
    let mut server = program(host, "rspserver", &[&["-quiet"], args].concat());
    let ready = server.ready();
    let id = ready.get("id").and_then(|id| id.strip_prefix("0x")).expect("the identifier");
    (u32::from_str_radix(id, 16).expect("a hexadecimal identifier"), server)
}

/// Waits for so many Pongs of one pool element that is not `than`, and says which.
fn pongs_of_another(client: &mut Program, than: Option<u32>, mut count: u32) -> u32 {
    client.wait_for("enough pongs", |line| match ClientEvent::from_json(line) {
        Some(ClientEvent::Pong { pe, .. }) if Some(pe) != than => {
            count -= 1;
            (count == 0).then_some(pe)
        }
        _ => None,
    })
}

/// Ends the client, which then has all its Pongs.
fn finish(mut client: Program) {
    client.signal("INT");
    let ended = client.ended(Duration::from_secs(10));
    assert!(ended.status.success(), "{}", ended.text());
}
