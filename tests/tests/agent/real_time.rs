//! Two agents in real time, over UDP on loopback.
#![cfg(target_os = "linux")]

use std::net::{Ipv4Addr, UdpSocket};
use std::process::{Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::driver::{Agent, start, value};

/// A UDP port that is free, at this moment, on the addresses that these tests use.
fn free_port() -> u16 {
    loop {
        let probe = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = probe.local_addr().unwrap().port();
        if ["127.0.0.2", "127.0.0.3"].iter().all(|addr| UdpSocket::bind((*addr, port)).is_ok()) {
            return port;
        }
    }
}

/// Starts two agents with the same UDP port on different addresses. The second one listens on its
/// socket 1.
fn pair_at(port: u16) -> (Agent, Agent) {
    let port = port.to_string();
    let client = start(&[("SUT_UDP_PORT", &port), ("SUT_UDP_ADDRS", "127.0.0.1")]);
    let mut server = start(&[("SUT_UDP_PORT", &port), ("SUT_UDP_ADDRS", "127.0.0.2")]);
    server.expect("socket fam=4 type=stream", "ok id=1");
    server.expect("bind id=1 addr=127.0.0.2:2000", "ok");
    server.expect("listen id=1 backlog=5", "ok");
    (client, server)
}

fn pair() -> (Agent, Agent) {
    pair_at(free_port())
}

/// Sets up an association between socket 1 of the client and socket 2 of the server.
fn connected() -> (Agent, Agent) {
    let (mut client, mut server) = pair();
    client.expect("socket fam=4 type=stream", "ok id=1");
    client.expect("bind id=1 addr=127.0.0.1:1000", "ok");
    client.expect("connect id=1 addr=127.0.0.2:2000", "err 115");
    assert_eq!(client.wait("connected id=1"), "ok");
    assert_eq!(server.wait("accept id=1"), "ok id=2 peer=127.0.0.1:1000");
    (client, server)
}

#[test]
fn data_and_shutdown() {
    let (mut client, mut server) = connected();
    client.expect("send id=1 sid=3 ppid=9 data=68656c6c6f", "ok len=5");
    let message = server.wait("recv id=2 max=100");
    assert_eq!(
        (value(&message, "sid"), value(&message, "ppid"), value(&message, "data")),
        ("3", "9", "68656c6c6f")
    );
    assert_eq!(value(&message, "from"), "127.0.0.1:1000");
    server.expect("send id=2 data=21 flags=eof", "ok len=1");
    assert_eq!(value(&client.wait("recv id=1 max=100"), "data"), "21");
    assert!(client.wait("recv id=1 max=100").starts_with("ok len=0 "));
    assert!(server.wait("recv id=2 max=100").starts_with("ok len=0 "));
    assert_eq!(value(&server.ok("get id=2 opt=status"), "state"), "closed");
}

#[test]
fn abort() {
    let (mut client, mut server) = connected();
    server.expect("send id=2 flags=abort data=6e6f", "ok len=2");
    assert_eq!(client.wait("recv id=1 max=100"), "err 104");
    client.expect("soerror id=1", "ok errno=0");
}

#[test]
fn refused() {
    let (mut client, _server) = pair();
    client.expect("socket fam=4 type=stream", "ok id=1");
    client.expect("connect id=1 addr=127.0.0.2:2001", "err 115");
    assert_eq!(client.wait("connected id=1"), "err 111");
}

#[test]
fn a_barrier_takes_what_has_arrived() {
    let (mut client, mut server) = connected();
    for _ in 0..50 {
        client.expect("set id=1 opt=nodelay on=1", "ok");
        client.expect("send id=1 data=00", "ok len=1");
        // When the agent answers the next request, the packet has left.
        client.expect("barrier", "ok");
        server.expect("barrier", "ok");
        assert_eq!(value(&server.ask("recv id=2 max=100"), "len"), "1");
    }
}

/// Forwards UDP datagrams between two addresses, and drops the first one with DATA.
fn lossy_relay(socket: UdpSocket, port: u16) -> JoinHandle<usize> {
    std::thread::spawn(move || {
        let mut buffer = [0; 2048];
        let mut dropped = 0;
        socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        while let Ok((len, from)) = socket.recv_from(&mut buffer) {
            let packet = &buffer[..len];
            let to =
                if from.ip() == Ipv4Addr::new(127, 0, 0, 1) { "127.0.0.2" } else { "127.0.0.1" };
            // The byte after the common header is the type of the first chunk.
            if packet[12] == 0 && dropped == 0 {
                dropped += 1;
                continue;
            }
            socket.send_to(packet, (to, port)).unwrap();
            if packet[12] == 14 {
                break; // SHUTDOWN COMPLETE is the last packet
            }
        }
        dropped
    })
}

#[test]
fn lost_data_is_sent_again() {
    let port = free_port();
    let relay = lossy_relay(UdpSocket::bind(("127.0.0.3", port)).unwrap(), port);
    let (mut client, mut server) = pair_at(port);
    client.expect("socket fam=4 type=stream", "ok id=1");
    client.expect("set id=1 opt=rtoinfo initial=100 min=100 max=1000", "ok");
    client.expect("connect id=1 addr=127.0.0.3:2000", "err 115");
    assert_eq!(client.wait("connected id=1"), "ok");
    assert_eq!(value(&server.wait("accept id=1"), "id"), "2");
    let start = Instant::now();
    client.expect("send id=1 data=c0ffee", "ok len=3");
    assert_eq!(value(&server.wait("recv id=2 max=100"), "data"), "c0ffee");
    assert!(start.elapsed() >= Duration::from_millis(100), "only a timeout brings it back");
    client.expect("shutdown id=1 how=1", "ok");
    assert!(server.wait("recv id=2 max=100").starts_with("ok len=0 "));
    assert_eq!(relay.join().unwrap(), 1);
}

/// Raw sockets need privileges. If the test has none, the agent says so.
#[test]
fn without_privileges_raw_ip_is_refused_in_a_sentence() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sctp-agent"));
    let output = command
        .env_remove("SUT_UDP_PORT")
        .env_remove("SUT_VIRTUAL")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() || complaint.starts_with("sctp-agent: "), "{complaint}");
    let nonsense = Command::new(env!("CARGO_BIN_EXE_sctp-agent"))
        .env("SUT_UDP_PORT", "0")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(!nonsense.status.success());
    assert!(String::from_utf8(nonsense.stderr).unwrap().contains("SUT_UDP_PORT"));
}
