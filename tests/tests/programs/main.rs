//! The programs as processes, end to end over UDP on loopback.

mod load;
mod pipes;
mod pool;
mod scope;
mod stalls;
mod terminal;
mod waits;

use std::time::Duration;

use rsp_tools::cli::ReadyLine;
use rsp_tools::programs::pingpongclient::ClientEvent;
use workspace_tests::crowd;
use workspace_tests::process::{Ended, PATIENCE, Program};

use pool::{Pool, echo, id_after, program, run};

#[test]
fn the_terminal_reports_a_killed_server_and_goes_on_with_another() {
    let pool = Pool::start();
    let mut servers = [pool.server(&["-echo"]), pool.server(&["-echo"])];
    let mut terminal = pool.client("rspterminal", &["-quiet"]);
    let connected = terminal.wait_for("a connection", |line| id_after(line, "Connected to PE "));
    terminal.type_line("grüß dich");
    let (id, text) = terminal.wait_for("the echo", echo);
    assert_eq!((id, text.as_str()), (connected, "grüß dich"));

    let serving =
        servers.iter_mut().find(|server| server.id == id).expect("one of the servers answered");
    serving.program.kill();
    // Nobody types, so the terminal must notice the loss by itself. (Tests in virtual time check
    // how soon it does.)
    let lost = terminal.wait_for("the loss", |line| id_after(line, "Lost PE "));
    assert_eq!(lost, id);
    let next = terminal
        .wait_for("the failover", |line| id_after(line, "FAILOVER #1 ... connected to PE "));
    assert_ne!(next, id);
    terminal.type_line("still there?");
    assert_eq!(
        terminal.wait_for("the echo of the other server", echo),
        (next, "still there?".to_owned())
    );

    terminal.close_stdin();
    let ended = terminal.ended(PATIENCE);
    assert!(ended.status.success(), "{}", ended.text());
}

#[test]
fn input_that_ends_at_once_is_answered_before_the_terminal_leaves() {
    let pool = Pool::start();
    let _server = pool.server(&["-echo"]);
    let mut terminal = pool.client("rspterminal", &["--quiet", "--draintimeout=3000"]);
    terminal.type_line("one");
    terminal.type_line("");
    terminal.type_line("three");
    terminal.close_stdin();
    let ended = terminal.ended(PATIENCE);
    assert!(ended.status.success(), "{}", ended.text());
    let texts: Vec<String> =
        ended.lines.iter().filter_map(|line| echo(line)).map(|(_, text)| text).collect();
    assert_eq!(texts, ["one", "", "three"], "{}", ended.text());
}

#[test]
fn every_ping_is_answered_once_although_servers_abort_their_sessions() {
    let pool = Pool::start();
    // Each server gives up after 10 replies, so 40 pings need several failovers.
    let args = ["-pingpong", "-pppfailureafter=10"];
    let _servers = [pool.server(&args), pool.server(&args)];
    let mut client =
        pool.client("pingpongclient", &["--events", "--interval=5", "--count=40", "--quiet"]);
    let ended = client.ended(PATIENCE);
    assert!(ended.status.success(), "{}", ended.text());
    let events: Vec<ClientEvent> =
        ended.lines.iter().filter_map(|line| ClientEvent::from_json(line)).collect();
    let mut numbers = Vec::new();
    let mut replies = Vec::new();
    for event in &events {
        if let ClientEvent::Pong { number, reply, .. } = event {
            numbers.push(*number);
            replies.push(*reply);
        }
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=40).collect::<Vec<u64>>());
    let failovers = events
        .iter()
        .filter(|event| matches!(event, ClientEvent::Lost { pe: Some(_), .. }))
        .count();
    assert!(failovers >= 3, "{failovers} failovers");
    let resumed = events
        .iter()
        .filter(|event| matches!(event, ClientEvent::Session { resumed: true, .. }))
        .count();
    assert!(resumed >= 3, "{resumed} sessions were resumed by a cookie");
    // The number of replies went on from server to server and was never reset.
    assert!(replies.windows(2).all(|pair| pair[0] <= pair[1]), "{replies:?}");
    assert_eq!(events.last(), Some(&ClientEvent::Finished { sent: 40, answered: 40 }));
}

#[test]
fn a_server_registers_again_with_a_restarted_registrar() {
    let mut pool = Pool::start();
    // The next re-registration cycle would be in 30 s.
    let mut server = pool.server(&["-echo"]);
    pool.registrar.kill();
    server
        .program
        .wait_for("the loss of the registrar", |line| line.contains("egistrar").then_some(()));
    let ports = [format!("-asap={}", pool.asap), format!("--encap-port={}", pool.udp)];
    pool.registrar = program(
        "rspregistrar",
        &["-asapannounce=off", "-enrp=off", "-quiet", &ports[0], &ports[1]],
    );
    pool.registrar.ready();
    let mut terminal = pool.client("rspterminal", &["-quiet"]);
    terminal.type_line("back again");
    assert_eq!(terminal.wait_for("the echo", echo), (server.id, "back again".to_owned()));
}

#[test]
fn names_stand_for_addresses_and_ready_lines_for_options() {
    let args = ["-asap=localhost:0", "--encap-port=0", "-asapannounce=off", "-enrp=off", "-quiet"];
    let mut registrar = program("rspregistrar", &args);
    let ready = registrar.ready();
    // All addresses of the name, and the UDP port: what other programs take.
    let told = ready.get("registrar").expect("how it is reached").to_owned();
    assert!(told.contains("127.0.0.1") && told.contains("/udp:"), "{told}");
    assert_eq!(told.split('/').next(), ready.get("asap"));
    let named =
        format!("-registrar=localhost:{}/udp:{}", number(&ready, "sctp"), number(&ready, "udp"));
    let pasted = format!("-registrar={told}");
    let local = ["-local=localhost:0", "-local=*:0"];
    for (registrar, local) in [&named, &pasted].into_iter().zip(local) {
        let mut server =
            program("rspserver", &["-echo", "-asapannounce=off", "-quiet", local, registrar]);
        let ready = server.ready();
        assert!(number(&ready, "sctp") > 0 && number(&ready, "udp") > 0);
        let port = format!(":{}", number(&ready, "sctp"));
        assert!(ready.get("local").is_some_and(|local| local.contains(&port)), "{ready:?}");
        let mut terminal =
            program("rspterminal", &["-asapannounce=off", "-quiet", "-local=localhost", registrar]);
        let ready = terminal.ready();
        assert!(number(&ready, "sctp") > 0 && number(&ready, "udp") > 0);
        terminal.type_line("by name");
        assert_eq!(terminal.wait_for("the echo", echo).1, "by name");
    }
}

/// A port in a ready line.
fn number(ready: &ReadyLine, key: &str) -> u16 {
    ready
        .get(key)
        .and_then(|value| value.parse().ok())
        .unwrap_or_else(|| panic!("{key}: {ready:?}"))
}

#[test]
fn a_signal_ends_every_program_in_order() {
    let mut pool = Pool::start();
    let mut server = pool.server(&["-pingpong"]);
    let mut client = pool.client("pingpongclient", &["--events", "--interval=10", "--quiet"]);
    client.wait_for("a pong", |line| {
        matches!(ClientEvent::from_json(line), Some(ClientEvent::Pong { .. })).then_some(())
    });
    client.signal("INT");
    let ended = client.ended(PATIENCE);
    assert!(ended.status.success(), "{}", ended.text());
    let last = ended.lines.iter().filter_map(|line| ClientEvent::from_json(line)).next_back();
    assert!(
        matches!(
            last,
            Some(ClientEvent::Finished { sent, answered }) if sent == answered && sent > 0
        ),
        "{}",
        ended.text()
    );
    server.program.signal("TERM");
    assert!(server.program.ended(PATIENCE).status.success());
    pool.registrar.signal("TERM");
    assert!(pool.registrar.ended(PATIENCE).status.success());
}

#[test]
fn a_server_leaves_its_pool_when_it_ends() {
    let mut pool = Pool::start_with(&["--events"]);
    let mut server = pool.server(&["-echo", "-identifier=0x1234"]);
    assert_eq!(server.id, 0x1234);
    server.program.signal("INT");
    assert!(server.program.ended(PATIENCE).status.success());
    pool.registrar.wait_for("the deregistration", |line| {
        (line.contains("removed") && line.contains("deregistered")).then_some(())
    });
}

#[test]
fn two_demos_side_by_side() {
    let mut demos =
        [(); 2].map(|()| program("rspdemo", &["--plain", "--serve=500", "--patience=20"]));
    for demo in &mut demos {
        let ended = demo.ended(Duration::from_secs(300));
        assert!(ended.status.success(), "{}", ended.text());
        let value = |label: &str| {
            let line = ended.lines.iter().rfind(|line| line.trim_start().starts_with(label));
            let words =
                line.map(|line| line.trim_start().trim_start_matches(label).split_whitespace());
            words
                .and_then(|mut words| words.next())
                .unwrap_or_else(|| panic!("no {label} in {}", ended.text()))
                .to_owned()
        };
        assert_eq!(
            (value("lost").as_str(), value("doubled").as_str()),
            ("0", "0"),
            "{}",
            ended.text()
        );
        assert_eq!(value("pings"), value("pongs"), "{}", ended.text());
        for row in ["failover 1", "failover 2", "failover 3", "takeover"] {
            assert!(value(row).parse::<u32>().is_ok(), "{}", ended.text());
        }
        assert_eq!(
            ended.lines.iter().filter(|line| line.contains("SIGKILL")).count(),
            4,
            "{}",
            ended.text()
        );
    }
}

#[cfg(target_os = "linux")]
#[test]
fn no_child_outlives_a_killed_demo() {
    let mut demo = program("rspdemo", &["--plain"]);
    demo.wait_for("the ready line", rsp_tools::cli::ReadyLine::parse);
    let children = children_of(demo.id());
    assert_eq!(children.len(), 6, "two registrars, three servers, one client");
    demo.kill();
    let begin = std::time::Instant::now();
    let running = |pid: &u32| {
        std::fs::read_to_string(format!("/proc/{pid}/cmdline"))
            .is_ok_and(|line| line.contains("--run-as-program"))
    };
    while children.iter().any(running) {
        assert!(begin.elapsed() < PATIENCE, "children of a killed demo still run");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[cfg(target_os = "linux")]
fn children_of(parent: u32) -> Vec<u32> {
    let wanted = format!("PPid:\t{parent}");
    let pids = std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let is_child = |pid: &u32| {
        std::fs::read_to_string(format!("/proc/{pid}/status"))
            .is_ok_and(|text| text.lines().any(|line| line == wanted))
    };
    pids.filter(is_child).collect()
}

#[test]
fn wrong_usage_earns_one_sentence_and_status_2() {
    for (program, args, hint) in [
        ("rspserver", &["-nonsense=1"][..], "--nonsense"),
        ("rspserver", &["-echo", "-pingpong"], "--pingpong"),
        ("rspserver", &["-policy=Sometimes"], "Sometimes"),
        ("rspserver", &["-policy=WeightedRoundRobin:many"], "many"),
        ("rspserver", &["-calcapp"], "not supported"),
        ("rspserver", &["-identifier=0"], "identifier"),
        ("rspserver", &["-local=some where:1"], "some where:1"),
        ("rspregistrar", &["--peer=127.0.0.1:9901/tcp"], "/tcp"),
        ("rspregistrar", &["-enrp=127.0.0.1:9901/udp:7"], "--encap-port"),
        ("rspregistrar", &["-takeoverrule=both"], "smaller"),
        ("rspregistrar", &["-asap=127.0.0.1:3863/udp:7"], "--encap-port"),
        ("rspregistrar", &["-maxhresitems=0"], "--maxhresitems"),
        ("rspterminal", &["-registrar=127.0.0.1:3863/tcp"], "/tcp"),
        ("pingpongclient", &["-interval=soon"], "milliseconds"),
        ("rspdemo", &["surprise"], "surprise"),
        ("no-such-program", &[], "no-such-program"),
    ] {
        let ended = run(program, args);
        assert_eq!(ended.status.code(), Some(2), "{program} {args:?}: {}", ended.text());
        one_sentence(&ended, hint);
    }
}

#[test]
fn help_and_version_are_no_errors() {
    for program in
        ["rspregistrar", "rspserver", "rspterminal", "pingpongclient", "hsdump", "rspdemo"]
    {
        for option in ["--help", "-h", "-help", "--version", "-V"] {
            let ended = run(program, &[option]);
            assert!(ended.status.success(), "{program} {option}: {}", ended.text());
            assert!(
                ended.complaints().is_empty() && ended.text().contains(program),
                "{}",
                ended.text()
            );
        }
    }
}

#[test]
fn what_cannot_work_earns_one_sentence_and_status_1() {
    let pool = Pool::start();
    let taken = format!("--encap-port={}", pool.udp);
    // A UDP port where nobody listens, because it was bound and closed again.
    let nobody = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let nobody = format!("-registrar=127.0.0.1:3863/udp:{nobody}");
    let quick = "-registrarsearchtimeout=600";
    let lonely = ["-asap=127.0.0.1:0", "--encap-port=0"];
    let foreign = "192.0.2.7 is not an address of this host, which has ";
    for (program, args, hint) in [
        ("rspregistrar", &["-asap=127.0.0.1:0", &taken][..], "port"),
        ("rspserver", &["-local=127.0.0.1:0", "-asapannounce=off", &nobody, quick], "registrar"),
        ("rspterminal", &["-asapannounce=off", &nobody, quick, "-quiet"], "registrar"),
        ("pingpongclient", &["-asapannounce=off", &nobody, quick, "-quiet"], "registrar"),
        ("rspterminal", &["-asapannounce=off"], "--registrar"),
        ("rspserver", &["-asapannounce=off", "-registrar=127.0.0.1:0"], "must not be 0"),
        ("rspserver", &["--link=raw", "--encap-port=9899"], "--link=both"),
        // RFC 6761: nobody has this name.
        ("rspserver", &["-registrar=nobody.invalid:3863"], "'nobody.invalid'"),
        ("rspterminal", &["-local=nobody.invalid", "-asapannounce=off"], "'nobody.invalid'"),
        ("rspregistrar", &["-enrp=off", "-peer=127.0.0.1"], "--enrp=off"),
        ("rspregistrar", &["-peerheartbeatcycle=5000"], "--peermaxtimelastheard="),
        ("rspregistrar", &[lonely[0], lonely[1], "-peer=nobody.invalid"], "'nobody.invalid'"),
        ("rspserver", &["-local=127.0.0.1:0,192.0.2.7", "-asapannounce=off"], foreign),
        ("rspterminal", &["-local=127.0.0.1,192.0.2.7", "-asapannounce=off"], foreign),
        ("pingpongclient", &["-local=127.0.0.1,192.0.2.7", "-asapannounce=off"], foreign),
        ("rspregistrar", &["-asap=127.0.0.1:0,192.0.2.7", "-asapannounce=off"], foreign),
        ("rspregistrar", &["-logfile=/no/such/directory/log"], "/no/such/directory/log"),
    ] {
        let ended = run(program, args);
        assert_eq!(ended.status.code(), Some(1), "{program} {args:?}: {}", ended.text());
        one_sentence(&ended, hint);
    }
}

/// There are more associations than dynamic ports (49152 to 65535), all from one address to one
/// server. No process draws a port that another one has.
#[cfg(target_os = "linux")]
#[test]
fn ten_processes_have_two_thousand_associations_each_with_one_server() {
    let mut server = program(crowd::SERVER, &[]);
    let ready = server.ready();
    let udp = ready.get("udp").expect("a UDP port").to_owned();
    let mut clients: Vec<Program> =
        (0..10).map(|_| program(crowd::CLIENT, &[&udp, "2000"])).collect();
    for client in &mut clients {
        let line = client.wait_for("its associations", |line| {
            line.starts_with("connected=").then(|| line.to_owned())
        });
        let files: usize = line.rsplit_once("files=").unwrap().1.parse().unwrap();
        assert!(line.starts_with("connected=2000 refused=0 "), "{line}");
        assert!(files < 100, "{line}");
    }
    server.type_line("how many?");
    let line = server
        .wait_for("its count", |line| line.starts_with("associations=").then(|| line.to_owned()));
    assert_eq!(line, "associations=20000 restarts=0");
}

fn one_sentence(ended: &Ended, hint: &str) {
    let complaints = ended.complaints();
    assert_eq!(complaints.len(), 1, "{}", ended.text());
    assert!(complaints[0].contains(hint), "'{hint}' is missing in: {}", complaints[0]);
}
