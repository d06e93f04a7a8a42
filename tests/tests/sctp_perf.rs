//! `sctp-perf` as two processes over UDP on loopback.

use std::process::Command;

use serde_json::Value;
use workspace_tests::process::{Ended, PATIENCE, Program};

#[test]
fn all_directions_transfer_and_account_for_every_byte() {
    let (_server, peer) = server(&[]);
    for (direction, flows) in [
        ("send", &["to_server"][..]),
        ("recv", &["to_client"]),
        ("both", &["to_server", "to_client"]),
    ] {
        let direction = format!("--direction={direction}");
        let result = json(&client(
            &peer,
            &[&direction, "--duration=1", "--size=10k", "--streams=5", "--json"],
        ));
        let names: Vec<&str> = result["flows"]
            .as_array()
            .unwrap()
            .iter()
            .map(|flow| flow["direction"].as_str().unwrap())
            .collect();
        assert_eq!(names, flows);
        for flow in result["flows"].as_array().unwrap() {
            assert!(flow["bits_per_second"].as_f64().unwrap() > 0.0, "{flow}");
        }
        for (sender, receiver) in [("client", "server"), ("server", "client")] {
            let (sent, received) = (&result[sender]["sent"], &result[receiver]["received"]);
            assert_eq!(sent["messages"], received["messages"], "{result}");
            assert_eq!(sent["bytes"], received["bytes"], "{result}");
            assert_eq!(sent["bytes"].as_u64().unwrap(), 10240 * sent["messages"].as_u64().unwrap());
        }
    }
}

#[test]
fn messages_larger_than_the_buffers_and_unordered_ones_arrive() {
    let (_server, peer) = server(&["--recvbuffer=64k"]);
    let args =
        ["--duration=1", "--size=1M", "--unordered", "--sendbuffer=100k", "--mtu=9000", "--json"];
    let result = json(&client(&peer, &args));
    let (sent, received) = (&result["client"]["sent"], &result["server"]["received"]);
    assert!(sent["messages"].as_u64().unwrap() > 0);
    assert_eq!(sent["bytes"], received["bytes"], "{result}");
}

#[test]
fn round_trips_are_counted_one_by_one() {
    let (_server, peer) = server(&["--segments=1"]);
    let args = [
        "--direction=pingpong",
        "--duration=1",
        "--warmup=0.2",
        "--size=64",
        "--segments=1",
        "--json",
    ];
    let result = json(&client(&peer, &args));
    let trips = &result["round_trips"];
    let (count, p50, p99) =
        (&trips["count"], trips["p50_us"].as_f64().unwrap(), trips["p99_us"].as_f64().unwrap());
    assert!(count.as_u64().unwrap() > 0, "{result}");
    assert!(0.0 < p50 && p50 <= p99, "{result}");
    assert_eq!(result["flows"].as_array().unwrap().len(), 0, "{result}");
}

#[test]
fn what_comes_before_the_test_does_not_count() {
    let (_server, peer) = server(&[]);
    let args = ["--warmup=1", "--duration=1", "--size=10k", "--batch=7", "--json"];
    let result = json(&client(&peer, &args));
    let (sent, received) = (&result["client"]["sent"], &result["server"]["received"]);
    assert!(received["bytes"].as_u64().unwrap() < sent["bytes"].as_u64().unwrap(), "{result}");
    let seconds = received["seconds"].as_f64().unwrap();
    assert!(seconds > 0.0, "{result}");
}

#[test]
fn many_associations_share_a_stack() {
    let (_server, peer) = server(&[]);
    let args = [
        "scale",
        &peer,
        "--associations=50",
        "--busy=5",
        "--churn=20",
        "--duration=3",
        "--warmup=0",
        "--json",
    ];
    let result = json(&Program::start("sctp-perf scale", &mut command(&args)).ended(2 * PATIENCE));
    assert_eq!((&result["busy"], &result["failed"]), (&5.into(), &0.into()), "{result}");
    assert!(result["came_and_went"].as_u64().unwrap() > 0, "{result}");
    let fairness = result["fairness"].as_f64().unwrap();
    assert!((0.2..=1.0).contains(&fairness), "{result}");
    assert!(result["least_bits_per_second"].as_f64().unwrap() > 0.0, "{result}");
}

#[test]
fn the_core_alone_gives_figures() {
    let alone =
        |args: &[&str]| json(&Program::start("sctp-perf", &mut command(args)).ended(PATIENCE));
    let bulk = alone(&["alone", "bulk", "--duration=0.1", "--warmup=0", "--size=1k"]);
    assert!(bulk["messages"].as_u64().unwrap() > 0, "{bulk}");
    assert_eq!(bulk["bytes"].as_u64().unwrap(), 1024 * bulk["messages"].as_u64().unwrap());
    assert!(alone(&["alone", "setup", "--duration=0"])["per_second"].as_f64().unwrap() > 0.0);
    assert!(alone(&["alone", "idle", "--count=1000"])["bytes_per_end"].as_f64().unwrap() > 0.0);
}

#[test]
fn output_for_people_and_for_spreadsheets() {
    let (mut server, peer) = server(&["--once"]);
    let ended = client(&peer, &["--duration=1", "--csv"]);
    let [header, line] = &ended.lines[..] else { panic!("{}", ended.text()) };
    assert!(header.starts_with("direction,message_bytes,"), "{header}");
    assert!(line.starts_with("to_server,65536,1,false,"), "{line}");
    assert_eq!(header.split(',').count(), line.split(',').count());
    let ended = server.ended(PATIENCE);
    assert!(ended.status.success(), "{}", ended.text());

    let (_server, peer) = self::server(&["--threads=2"]);
    let text = client(&peer, &["--duration=1", "--threads=2"]).text();
    for word in ["bit/s", "packets out", "processor time", "cwnd"] {
        assert!(text.contains(word), "no '{word}' in:\n{text}");
    }
}

#[test]
fn mistakes_get_one_sentence() {
    let complaint = |args: &[&str]| {
        let ended = Program::start("sctp-perf", &mut command(args)).ended(PATIENCE);
        assert_eq!(ended.complaints().len(), 1, "{}", ended.text());
        (ended.status.code().unwrap(), ended.complaints()[0].to_owned())
    };
    let (status, text) = complaint(&["serve"]);
    assert_eq!(status, 2);
    assert!(text.contains("'server' or 'client'"), "{text}");
    let (status, text) = complaint(&["client", "127.0.0.1", "--size=0"]);
    assert_eq!(status, 2);
    assert!(text.contains("--size") && text.contains("such as 1400"), "{text}");
    let (status, text) = complaint(&["compare", "--only=nonsense"]);
    assert_eq!(status, 2);
    assert!(text.contains("the rows are bulk16k, "), "{text}");
    // Nobody listens at this port, and ICMP says so at once.
    let closed = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (status, text) = complaint(&["client", &format!("127.0.0.1:5201/udp:{closed}")]);
    assert_eq!(status, 1);
    assert!(text.contains("cannot connect to 127.0.0.1:5201"), "{text}");
    // Somebody is there, but nobody listens at this SCTP port.
    let (_server, peer) = server(&[]);
    let (_, udp) = peer.rsplit_once(':').unwrap();
    let (status, text) = complaint(&["client", &format!("127.0.0.1:1/udp:{udp}")]);
    assert_eq!(status, 1);
    assert!(
        text.contains(&format!("cannot connect to 127.0.0.1:1/udp:{udp}: the peer refused")),
        "{text}"
    );
    // An IPv4 address leads to no IPv6 address; that is told at once.
    let (status, text) = complaint(&["client", "[::1]:5201", "--own=127.0.0.1"]);
    assert_eq!(status, 1);
    assert!(text.contains("no route"), "{text}");
    let (status, text) = complaint(&["client", "nobody.invalid"]);
    assert_eq!(status, 1);
    assert!(text.contains("'nobody.invalid'"), "{text}");
}

/// A server takes the ports at which clients look, and where these are taken, it says what clients
/// have to say.
#[test]
fn server_and_client_find_each_other_without_options() {
    if let Err(error) = std::net::UdpSocket::bind("0.0.0.0:9899") {
        eprintln!("not tested: UDP port 9899 is taken on this host: {error}");
        return;
    }
    let start = || Program::start("sctp-perf server", &mut command(&["server"]));
    let mut first = start();
    let ready = first.ready();
    assert_eq!((ready.get("sctp"), ready.udp()), (Some("5201"), Some(9899)));
    assert!(first.said().iter().all(|line| !line.starts_with("(stderr)")), "{:?}", first.said());
    for peer in ["127.0.0.1", "localhost", ready.get("server").unwrap()] {
        let text = client(peer, &["--duration=1"]).text();
        assert!(text.contains("bit/s") && text.contains("own ports  SCTP "), "{text}");
    }

    let mut second = start();
    let told = second.wait_for_complaint("that the port is taken", |line| {
        line.contains("UDP port 9899 is taken").then(|| line.to_owned())
    });
    let ready = second.ready();
    let (_, peer) = told.rsplit_once("sctp-perf client ").unwrap_or_else(|| panic!("{told}"));
    assert_eq!(Some(peer), ready.get("server"));
    assert!(peer.ends_with(&format!("/udp:{}", ready.udp().unwrap())), "{told}");
    client(peer, &["--duration=1"]);
}

/// A server on free ports, and the address by which clients reach it.
fn server(args: &[&str]) -> (Program, String) {
    let args = [&["server", "--port=0", "--encap-port=0"], args].concat();
    let mut server = Program::start("sctp-perf server", &mut command(&args));
    let ready = server.ready();
    let peer = format!("127.0.0.1:{}/udp:{}", ready.get("sctp").unwrap(), ready.udp().unwrap());
    (server, peer)
}

fn client(peer: &str, args: &[&str]) -> Ended {
    let args = [&["client", peer], args].concat();
    let ended = Program::start("sctp-perf client", &mut command(&args)).ended(2 * PATIENCE);
    assert!(ended.status.success(), "{}", ended.text());
    ended
}

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_programs"));
    command.arg("sctp-perf").args(args);
    command
}

fn json(ended: &Ended) -> Value {
    serde_json::from_str(&ended.text()).unwrap_or_else(|error| panic!("{error}:\n{}", ended.text()))
}
