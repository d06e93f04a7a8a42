//! Several registrars as processes: one dies or stands still, and another one takes its pools over.

use workspace_tests::process::{Ended, PATIENCE, Program};
use workspace_tests::scope::{Element, Loopback, Programs, Registrar, Scope as Processes, expect};

use crate::pool::{echo, id_after, program, run};

type Scope = Processes<Loopback>;

fn scope_of(count: usize, options: &[&str]) -> Scope {
    let programs = Programs::Binary(env!("CARGO_BIN_EXE_programs").into());
    Scope::start(Loopback(programs), count, options)
}

/// An echo server that knows the registrar at this place only.
fn echo_server(scope: &Scope, place: usize, more: &[&str]) -> Element<Box<Program>> {
    scope.element(0, &[place], &[&["-echo"], more].concat())
}

/// A terminal that knows the registrars at these places, connected with a server.
fn connected(scope: &Scope, places: &[usize], more: &[&str]) -> (Box<Program>, u32) {
    let more = [&["-pooltimeout=0"], more].concat();
    let mut terminal = scope.user("rspterminal", places, &more);
    let id = terminal.wait_for("a connection", |line| id_after(line, "Connected to PE "));
    (terminal, id)
}

fn says(terminal: &mut Program, text: &str) -> u32 {
    terminal.type_line(text);
    let (id, answer) = terminal.wait_for("the echo", echo);
    assert_eq!(answer, text);
    id
}

#[test]
fn a_killed_registrar_is_taken_over_and_nobody_notices() {
    for count in [2, 3] {
        let mut scope = scope_of(count, &[]);
        let last = count - 1;
        // The server knows the registrar that dies only.
        let mut server = echo_server(&scope, last, &[]);
        let everywhere: Vec<usize> = (0..count).collect();
        let (mut terminal, serving) = connected(&scope, &everywhere, &[]);
        assert_eq!(serving, server.id);
        scope.registrars[last].program.kill();
        let successor = scope.successor(last, 0);
        let home = &mut scope.registrars[successor];
        expect(&mut home.program, &format!("re-registered ${:08x}", server.id));
        // The session does not depend on a registrar.
        assert_eq!(says(&mut terminal, "still there?"), server.id);
        // A server that comes afterwards is found by the session when it needs another one.
        let late = echo_server(&scope, successor, &[]);
        server.program.kill();
        let next = terminal
            .wait_for("the failover", |line| id_after(line, "FAILOVER #1 ... connected to PE "));
        assert_eq!(next, late.id);
        assert_eq!(says(&mut terminal, "and now?"), late.id);
        // And a new user finds it at each registrar that is left.
        for place in 0..last {
            let (mut terminal, _) = connected(&scope, &[place], &[]);
            assert_eq!(says(&mut terminal, "hello"), late.id);
        }
    }
}

#[test]
fn a_registrar_that_ends_in_order_is_taken_over_as_well() {
    let mut scope = scope_of(2, &[]);
    let server = echo_server(&scope, 1, &[]);
    scope.registrars[1].program.signal("TERM");
    assert!(scope.registrars[1].program.ended(PATIENCE).status.success());
    assert_eq!(scope.successor(1, 0), 0);
    let home = &mut scope.registrars[0];
    expect(&mut home.program, &format!("registered ${:08x}", server.id));
    let (mut terminal, _) = connected(&scope, &[0], &[]);
    assert_eq!(says(&mut terminal, "hello"), server.id);
}

#[test]
fn a_registrar_that_stands_still_is_taken_over_and_joins_in_again() {
    for count in [2, 3] {
        let mut scope = scope_of(count, &["--profile=realtime"]);
        let last = count - 1;
        let server = echo_server(&scope, last, &[]);
        let everywhere: Vec<usize> = (0..count).collect();
        let (mut terminal, _) = connected(&scope, &everywhere, &[]);
        scope.registrars[last].program.signal("STOP");
        let successor = scope.successor(last, 0);
        let home = &mut scope.registrars[successor];
        expect(&mut home.program, &format!("re-registered ${:08x}", server.id));
        assert_eq!(says(&mut terminal, "still there?"), server.id);
        // It goes on, and has missed everything.
        let stopped = scope.registrars[last].id;
        scope.registrars[last].program.signal("CONT");
        for place in 0..last {
            let program = &mut scope.registrars[place].program;
            expect(program, &format!("found registrar ${stopped:08x}"));
        }
        // The pools are the same everywhere again, old elements and new ones.
        let (mut terminal, _) = connected(&scope, &[last], &[]);
        assert_eq!(says(&mut terminal, "still there?"), server.id);
        let pool = "-poolhandle=NewPool";
        let new = echo_server(&scope, last, &[pool]);
        for place in 0..count {
            let (mut terminal, id) = connected(&scope, &[place], &[pool]);
            assert_eq!(id, new.id);
            assert_eq!(says(&mut terminal, "hello"), new.id);
        }
    }
}

/// Registrars of one network find each other without being told; here the network is the loopback
/// interface.
#[test]
fn registrars_find_each_other_in_their_group() {
    let port = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let group = format!("-enrpannounce=239.0.0.51:{port}");
    let start = |identifier| {
        let args = ["-asap=127.0.0.1:0", "-enrp=127.0.0.1:0", "--encap-port=0", "--events"];
        let rest = ["-asapannounce=off", "-quiet", &group, identifier];
        let mut registrar = program("rspregistrar", &[args, rest].concat());
        registrar.ready();
        registrar
    };
    let (mut one, mut two) = (start("-identifier=1"), start("-identifier=2"));
    expect(&mut one, "found registrar $00000002");
    expect(&mut two, "found registrar $00000001");
}

/// The registrar's place as `hsdump` takes it.
fn dump(registrar: &Registrar<Box<Program>>, more: &[&str]) -> Ended {
    run("hsdump", &[&[registrar.peer.as_str()], more].concat())
}

#[test]
fn a_dump_shows_the_pools_at_every_registrar_and_disturbs_nobody() {
    let mut scope = scope_of(2, &[]);
    let (one, two) = (echo_server(&scope, 0, &[]), echo_server(&scope, 1, &["-poolhandle=Other"]));
    // At its home an element is at once; the others hear of it.
    let [first, second] = [one.id, two.id].map(|id| format!("{id:#010x}"));
    for place in 0..2 {
        let deadline = std::time::Instant::now() + PATIENCE;
        let text = loop {
            let ended = dump(&scope.registrars[place], &[]);
            assert!(ended.status.success(), "{}", ended.text());
            let text = ended.text();
            if text.contains(&first) && text.contains(&second) {
                break text;
            }
            assert!(std::time::Instant::now() < deadline, "{text}");
        };
        let other = format!("knows registrar 0x{:08x} at 127.0.0.1:", 2 - place);
        for part in [&other, "Pool \"EchoPool\", 1 pool element", "Pool \"Other\"", "RoundRobin"] {
            assert!(text.contains(part), "'{part}' is missing in:\n{text}");
        }
    }
    let json = dump(&scope.registrars[0], &["--json"]);
    let json: serde_json::Value = serde_json::from_str(&json.text()).expect("one JSON object");
    assert_eq!(json["registrar"]["id"], "0x00000001");
    assert_eq!(json["pools"][0]["elements"].as_array().map(Vec::len), Some(1));
    let lines = dump(&scope.registrars[0], &["--rsplib"]).text();
    let owned = format!("   - $00000001 -> \"EchoPool\" / ${:08x} flags=[new][updated]", one.id);
    assert!(lines.lines().any(|line| line == owned), "{lines}");
    // It was no registrar to be taken over, and nobody waits for it when one is.
    let mut watch = program("hsdump", &[&scope.registrars[0].peer, "--watch", "--interval=100"]);
    for _ in 0..2 {
        watch.wait_for("a look", |line| line.contains("Pool \"Other\"").then_some(()));
    }
    scope.registrars[1].program.kill();
    assert_eq!(scope.successor(1, 0), 0);
    watch.wait_for("the new home", |line| {
        (line.contains(&second) && line.matches("0x00000001").count() == 1).then_some(())
    });
    watch.signal("INT");
    assert!(watch.ended(PATIENCE).status.success());
    let said = scope.registrars[0].program.said().join("\n");
    assert_eq!(said.matches("want to take over").count(), 1, "{said}");
}

#[test]
fn a_dump_that_cannot_be_made_is_told_in_one_sentence() {
    let scope = scope_of(1, &[]);
    let asap = scope.registrars[0].asap.as_str();
    let nobody = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let nobody = format!("127.0.0.1:9901/udp:{nobody}");
    let (_, udp) = asap.split_once("/udp:").expect("the UDP port");
    let closed = format!("127.0.0.1:1/udp:{udp}");
    for (args, status, hint) in [
        (&[nobody.as_str()][..], 1, nobody.as_str()),
        (&[&closed], 1, "nobody listens"),
        (&[asap, "--timeout=300"], 1, "did not tell its pools"),
        (&["nobody.invalid"], 1, "'nobody.invalid'"),
        (&[], 2, "REGISTRAR"),
        (&["127.0.0.1:many"], 2, "0 to 65535"),
        (&[asap, "--json", "--rsplib"], 2, "--rsplib"),
    ] {
        let ended = run("hsdump", args);
        assert_eq!(ended.status.code(), Some(status), "{args:?}: {}", ended.text());
        let complaints = ended.complaints();
        assert_eq!(complaints.len(), 1, "{args:?}: {}", ended.text());
        assert!(complaints[0].contains(hint), "'{hint}' is missing: {}", ended.text());
    }
}
