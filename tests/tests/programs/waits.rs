//! What programs wait for, they say, and for how long.

use workspace_tests::process::PATIENCE;

use crate::pool::{Pool, program};

/// A UDP port where nobody listens: bound and closed again.
fn free_port() -> u16 {
    std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn a_server_says_where_it_looks_for_a_registrar_and_that_it_found_one() {
    let (port, udp) = (3863, free_port());
    let place = format!("127.0.0.1:{port}/udp:{udp}");
    let option = format!("-registrar={place}");
    let args = ["-echo", "-local=127.0.0.1:0", "-asapannounce=off", "-quiet", &option];
    let mut server = program("rspserver", &args);
    server.wait_for("where it looks", |line| {
        line.contains(&format!("looking for a registrar at {place}")).then_some(())
    });
    server.wait_for("what stands in the way", |line| {
        (line.contains("cannot be reached: ") && line.contains("127.0.0.1")).then_some(())
    });
    let ports = [format!("-asap=127.0.0.1:{port}"), format!("--encap-port={udp}")];
    let mut registrar = program(
        "rspregistrar",
        &["-asapannounce=off", "-enrp=off", "-quiet", &ports[0], &ports[1]],
    );
    registrar.ready();
    server.wait_for("that it found one", |line| {
        line.contains("connected with registrar 127.0.0.1").then_some(())
    });
    server.ready();
    // And again, when that one is lost.
    registrar.kill();
    server.wait_for("the loss", |line| line.contains("lost the registrar").then_some(()));
    server.wait_for("where it looks", |line| line.contains("looking for").then_some(()));
}

/// Twice the connect timeout passes without a registrar, and the search goes on.
#[test]
fn nobody_gives_up_the_search_for_a_registrar_unless_told_to() {
    let (port, udp) = (3863, free_port());
    let registrar = format!("-registrar=127.0.0.1:{port}/udp:{udp}");
    let args = [&registrar, "-asapannounce=off", "-registrarconnecttimeout=100", "-quiet"];
    let start = |name, more: &[&str]| program(name, &[&args[..], more].concat());
    let mut server = start("rspserver", &["-pingpong", "-local=127.0.0.1:0"]);
    let client = ["-local=127.0.0.1", "-interval=50"];
    let mut pings = start("pingpongclient", &client);
    let mut terminal =
        start("rspterminal", &["-local=127.0.0.1", "-pooltimeout=0", "-poolhandle=PingPongPool"]);
    for client in [&mut pings, &mut terminal] {
        // The request for a server has failed, which takes twice the connect timeout.
        client.wait_for("that the search goes on", |line| {
            (line.contains("no registrar could be found") && line.contains("as long as it takes"))
                .then_some(())
        });
    }
    let ports = [format!("-asap=127.0.0.1:{port}"), format!("--encap-port={udp}")];
    let mut registrar = program(
        "rspregistrar",
        &["-asapannounce=off", "-enrp=off", "-quiet", &ports[0], &ports[1]],
    );
    registrar.ready();
    server.ready();
    pings.wait_for("an answer", |line| line.contains("Ack #").then_some(()));
    terminal.wait_for("a server", |line| line.contains("Connected to PE").then_some(()));
}

/// An own IPv4 address alone leads nowhere in IPv6.
#[test]
fn without_a_route_to_the_registrar_every_program_says_so() {
    let (quick, registrar) = ("-registrarsearchtimeout=600", "-registrar=[2001:db8::1]:3863");
    for (name, local) in [
        ("rspserver", "-local=127.0.0.1:0"),
        ("rspterminal", "-local=127.0.0.1"),
        ("pingpongclient", "-local=127.0.0.1"),
    ] {
        let mut program = program(name, &[local, registrar, quick, "-asapannounce=off", "-quiet"]);
        let no_route = |line: &str| {
            let told = line.contains("registrar 2001:db8::1, port 3863, ");
            (told && line.contains("this host has no route")).then_some(())
        };
        program.wait_for("that there is no route", no_route);
        let ended = program.ended(PATIENCE);
        assert_eq!(ended.status.code(), Some(1), "{}", ended.text());
        let complaints = ended.complaints();
        assert_eq!(complaints.len(), 1, "{}", ended.text());
        for hint in ["no route", "within 0.6 s", "--registrarsearchtimeout=", "--registrar="] {
            assert!(complaints[0].contains(hint), "'{hint}' is missing: {}", ended.text());
        }
    }
}

#[test]
fn pings_for_a_pool_without_servers_are_given_up() {
    let pool = Pool::start();
    let args = ["--count=3", "--quiet", "--pooltimeout=300"];
    let mut client = pool.client("pingpongclient", &args);
    client.wait_for("what it waits for", |line| {
        (line.contains("\"PingPongPool\" has no available element")
            && line.contains("giving up after 0.3 s"))
        .then_some(())
    });
    let ended = client.ended(PATIENCE);
    assert_eq!(ended.status.code(), Some(1), "{}", ended.text());
    let complaints = ended.complaints();
    assert_eq!(complaints.len(), 1, "{}", ended.text());
    for hint in ["the pool had no server for 0.3 s", "--pooltimeout=", "\"PingPongPool\""] {
        assert!(complaints[0].contains(hint), "'{hint}' is missing: {}", ended.text());
    }
}

#[test]
fn without_options_pings_are_given_up_only_where_their_number_is_known() {
    let pool = Pool::start();
    for (args, words) in [
        (&["--count=3", "--quiet"][..], "giving up after 15 s"),
        (&["--quiet"], "for as long as it takes (--pooltimeout="),
    ] {
        let mut client = pool.client("pingpongclient", args);
        client.wait_for("how long it waits", |line| line.contains(words).then_some(()));
    }
}

/// It answers each ping with itself, which is no pong.
#[test]
fn pings_for_servers_of_another_kind_are_given_up() {
    let pool = Pool::start();
    let _server = pool.server(&["-echo"]);
    let args = ["--count=3", "--quiet", "--poolhandle=EchoPool", "--interval=5"];
    let mut client = pool.client("pingpongclient", &[&args[..], &["--pooltimeout=300"]].concat());
    client.wait_for("what is strange", |line| line.contains("not a pong").then_some(()));
    let ended = client.ended(PATIENCE);
    assert_eq!(ended.status.code(), Some(1), "{}", ended.text());
    assert!(ended.complaints()[0].contains("--pooltimeout="), "{}", ended.text());
    assert!(ended.complaints()[0].contains("3 pings have no pong"), "{}", ended.text());
}
