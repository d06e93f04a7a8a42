//! Programs whose output nobody reads for a while go on with their work.
#![cfg(unix)]

use std::io::{BufRead, BufReader, Read, Write, pipe};
use std::net::UdpSocket;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rsp_tools::programs::pingpongclient::ClientEvent;
use workspace_tests::process::{PATIENCE, Program};

use crate::pool::{Pool, command, program};

/// Everything that can be told.
const TALKATIVE: &str = "-loglevel=9";

/// Where nothing more can be written, and what reads it.
fn stalled() -> (Stdio, UnixStream) {
    let (mut writer, reader) = UnixStream::pair().unwrap();
    writer.set_nonblocking(true).unwrap();
    while writer.write(&[b'.'; 4096]).is_ok() {}
    writer.set_nonblocking(false).unwrap();
    (OwnedFd::from(writer).into(), reader)
}

/// A program whose standard output and error stall.
struct Stalled {
    child: Child,
    out: UnixStream,
    _err: UnixStream,
}

impl Stalled {
    fn start(mut command: Command) -> Stalled {
        let ((stdout, out), (stderr, err)) = (stalled(), stalled());
        let child = command.stdin(Stdio::piped()).stdout(stdout).stderr(stderr).spawn().unwrap();
        Stalled { child, out, _err: err }
    }

    /// Reads standard output until all these texts are there.
    fn read_until(&mut self, texts: &[&str]) {
        self.out.set_read_timeout(Some(PATIENCE)).unwrap();
        let (mut read, mut buffer) = (String::new(), [0; 65_536]);
        let end = Instant::now() + PATIENCE;
        while !texts.iter().all(|text| read.contains(text)) {
            let length = self.out.read(&mut buffer).unwrap_or(0);
            let said = read.trim_start_matches('.');
            assert!(length > 0 && Instant::now() < end, "{texts:?} in:\n{said}");
            read.push_str(&String::from_utf8_lossy(&buffer[..length]));
        }
    }
}

impl Drop for Stalled {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A client gets all its pongs from the pool at a registrar.
fn the_pool_answers(registrar: &str) {
    let args = [registrar, "-asapannounce=off", "-quiet", "--count=5", "--interval=5"];
    let ended = program("pingpongclient", &args).ended(PATIENCE);
    assert!(ended.status.success(), "{}", ended.text());
}

#[test]
fn a_registrar_whose_output_stalls_serves_its_pools() {
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let encap = format!("--encap-port={udp}");
    let alone = ["-asap=127.0.0.1:3863", "-asapannounce=off", "-enrp=off"];
    let args = [&alone[..], &["--events", TALKATIVE, &encap]].concat();
    let mut registrar = Stalled::start(command("rspregistrar", &args));
    let at = format!("-registrar=127.0.0.1:3863/udp:{udp}");
    let args = ["-pingpong", "-local=127.0.0.1:0", "-asapannounce=off", "-quiet", &at];
    let mut server = program("rspserver", &args);
    server.ready();
    the_pool_answers(&at);
    // What was told meanwhile is not lost.
    registrar.read_until(&["ready rspregistrar ", ": registered $"]);
}

#[test]
fn a_server_whose_output_stalls_serves_its_sessions() {
    let pool = Pool::start();
    let at = pool.registrar_option();
    let args = ["-pingpong", "-local=127.0.0.1:0", "-asapannounce=off", TALKATIVE, &at];
    let mut server = Stalled::start(command("rspserver", &args));
    the_pool_answers(&at);
    server.read_until(&["ready rspserver "]);
}

#[test]
fn a_terminal_whose_messages_nobody_reads_is_a_filter_all_the_same() {
    let pool = Pool::start();
    let _server = pool.server(&["-echo"]);
    let (stderr, _reader) = stalled();
    let args = ["--pipe", "-asapannounce=off", TALKATIVE, &pool.registrar_option()];
    let mut command = command("rspterminal", &args);
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(stderr);
    let mut terminal = command.spawn().unwrap();
    terminal.stdin.take().unwrap().write_all(b"one\ntwo\n").unwrap();
    let end = Instant::now() + PATIENCE;
    let status = loop {
        match terminal.try_wait().unwrap() {
            Some(status) => break status,
            None if Instant::now() < end => std::thread::sleep(Duration::from_millis(5)),
            None => {
                terminal.kill().unwrap();
                panic!("it does not end");
            }
        }
    };
    assert!(status.success());
    let mut answers = String::new();
    terminal.stdout.take().unwrap().read_to_string(&mut answers).unwrap();
    assert_eq!(answers, "one\ntwo\n");
}

/// Nothing of a client's output may be lost, so it waits for its reader. Its associations do not: a
/// server that asks every 100 ms whether the client is there gets its answers.
#[test]
fn a_client_whose_reader_stalls_keeps_its_session() {
    let pool = Pool::start();
    let mut server = pool.server(&["-pingpong", "--profile=realtime", "-loglevel=4"]);
    let (reader, writer) = pipe().unwrap();
    let args = ["--events", "--interval=1", "-asapannounce=off", &pool.registrar_option()];
    let mut command = command("pingpongclient", &args);
    let mut client = command.stdin(Stdio::null()).stdout(writer).spawn().unwrap();
    drop(command);
    let mut lines = BufReader::new(reader).lines().map_while(Result::ok);
    let mut events = lines.by_ref().filter_map(|line| ClientEvent::from_json(&line));
    assert!(events.any(|event| matches!(event, ClientEvent::Pong { .. })));
    // The pipe is full after half a second.
    std::thread::sleep(Duration::from_secs(4));
    let lost =
        |server: &mut Program| server.said().iter().any(|line| line.contains("session ends"));
    assert!(!lost(&mut server.program), "{:?}", server.program.said());
    let mut pongs = 0;
    let begin = Instant::now();
    while pongs < 2000 {
        assert!(begin.elapsed() < PATIENCE, "{pongs} pongs");
        match events.next().expect("another event") {
            ClientEvent::Pong { .. } => pongs += 1,
            ClientEvent::Sent { again: false, .. } => {}
            other => panic!("{other:?}"),
        }
    }
    let pid = client.id().to_string();
    assert!(Command::new("kill").args(["-s", "INT", &pid]).status().unwrap().success());
    let last = events.last();
    assert!(
        matches!(last, Some(ClientEvent::Finished { sent, answered }) if sent == answered),
        "{last:?}"
    );
    assert!(client.wait().unwrap().success());
}
