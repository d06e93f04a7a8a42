//! The terminal as a pipe for bytes.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Output, Stdio};

use workspace_tests::process::{PATIENCE, filter};

use crate::pool::{Pool, command};

/// Bytes that are no text, among them line feeds.
fn random_bytes(len: usize) -> Vec<u8> {
    let mut state = 1u64;
    let mut next = || {
        // A linear congruential generator (Knuth); its upper bits are random enough.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    };
    (0..len).map(|_| next()).collect()
}

fn terminal(pool: &Pool, args: &[&str], input: &[u8]) -> Output {
    let registrar = pool.registrar_option();
    let common = ["--quiet", "-asapannounce=off", &registrar];
    let mut command = command("rspterminal", &[&common, args].concat());
    filter(&mut command, input.to_vec(), PATIENCE)
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The answers among the lines of standard output, without the names of the servers.
fn answers(output: &Output, server: u32) -> Vec<u8> {
    let name = format!("from PE ${server:08x}> ").into_bytes();
    let mut answers = Vec::new();
    for line in output.stdout.split_inclusive(|byte| *byte == b'\n') {
        answers.extend_from_slice(line.strip_prefix(&name[..]).unwrap_or_default());
    }
    answers
}

#[test]
fn random_bytes_come_back_byte_for_byte() {
    let pool = Pool::start();
    let _server = pool.server(&["-echo", "-identifier=7"]);
    let mut input = random_bytes(10_000);
    for end in [None, Some(b'\n')] {
        input.extend(end);
        let output = terminal(&pool, &["--pipe"], &input);
        assert!(output.status.success(), "{}", said(&output));
        assert!(output.stdout == input, "{} bytes came back", output.stdout.len());
        assert!(said(&output).contains("Connected to PE $00000007"), "{}", said(&output));
    }
    // The last line has an end now, as all lines of the other form have.
    let output = terminal(&pool, &[], &input);
    assert!(output.status.success(), "{}", said(&output));
    let answers = answers(&output, 7);
    assert!(answers == input, "{} bytes came back", answers.len());
    assert_eq!(said(&output), "");
}

#[test]
fn a_line_may_have_any_length() {
    let pool = Pool::start();
    let _server = pool.server(&["-echo", "-identifier=7"]);
    let mut input = b"short\n".to_vec();
    input.extend(random_bytes(200_000).into_iter().filter(|byte| *byte != b'\n'));
    input.extend(b"\n\nlast\n");
    let output = terminal(&pool, &["--pipe"], &input);
    assert!(output.status.success(), "{}", said(&output));
    assert!(output.stdout == input, "{} bytes came back", output.stdout.len());
    let output = terminal(&pool, &[], &input);
    assert!(output.status.success(), "{}", said(&output));
    assert!(answers(&output, 7) == input);
}

/// All buffers on the way there and back are smaller.
#[test]
fn input_that_no_buffer_holds_comes_back() {
    let pool = Pool::start();
    let _server = pool.server(&["-echo"]);
    let input = random_bytes(8 << 20);
    let output = terminal(&pool, &["--pipe"], &input);
    assert!(output.status.success(), "{}", said(&output));
    assert!(output.stdout == input, "{} bytes came back", output.stdout.len());
}

#[test]
fn input_for_a_pool_without_servers_is_not_dropped_silently() {
    let pool = Pool::start();
    for (input, what) in [
        (&b"one\ntwo\n"[..], "2 of 2 lines were neither sent nor answered"),
        (b"\xff", "1 of 1 line was neither sent nor answered"),
        (b"", "no server was reached"),
    ] {
        let output = terminal(&pool, &["--linger=300"], input);
        assert_eq!(output.status.code(), Some(1));
        let said = said(&output);
        assert_eq!(said.lines().count(), 1, "{said}");
        for hint in [what, "within 0.3 s", "--linger=", "\"EchoPool\" has no available element"] {
            assert!(said.contains(hint), "'{hint}' is missing in: {said}");
        }
    }
}

/// The input has no end, so that the time after it never begins.
#[test]
fn endless_input_for_a_pool_without_servers_is_given_up() {
    let pool = Pool::start();
    let mut terminal =
        pool.client("rspterminal", &["--quiet", "--poolhandle=Nobody", "--pooltimeout=300"]);
    terminal.type_line("one");
    terminal.wait_for("what it waits for", |line| {
        (line.contains("\"Nobody\"") && line.contains("--pooltimeout=")).then_some(())
    });
    let ended = terminal.ended(PATIENCE);
    assert_eq!(ended.status.code(), Some(1), "{}", ended.text());
    let complaints = ended.complaints();
    assert_eq!(complaints.len(), 1, "{}", ended.text());
    assert!(
        complaints[0].contains("1 of 1 line was neither sent")
            && complaints[0].contains("--pooltimeout="),
        "{}",
        ended.text()
    );
}

#[test]
fn lines_that_a_lost_server_has_not_answered_are_counted() {
    let pool = Pool::start();
    let mut server = pool.server(&["-echo"]);
    let mut terminal = pool.client("rspterminal", &["--quiet", "--linger=2000"]);
    terminal.wait_for("a connection", |line| line.contains("Connected").then_some(()));
    server.program.signal("STOP");
    for line in ["one", "two", "three"] {
        terminal.type_line(line);
    }
    terminal.close_stdin();
    server.program.kill();
    let ended = terminal.ended(PATIENCE);
    assert_eq!(ended.status.code(), Some(1), "{}", ended.text());
    // How many of them were sent is a matter of chance.
    assert!(ended.complaints()[0].contains("3 of 3 lines were"), "{}", ended.text());
}

#[test]
fn a_terminal_whose_reader_has_gone_ends() {
    let pool = Pool::start();
    let _server = pool.server(&["-echo"]);
    let registrar = pool.registrar_option();
    for more in [&[][..], &["--pipe"]] {
        let args = [&["--quiet", "-asapannounce=off", &registrar], more].concat();
        let mut child = command("rspterminal", &args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // As `yes | rspterminal | head -1`.
        let mut stdin = child.stdin.take().unwrap();
        let yes = std::thread::spawn(move || while stdin.write_all(b"y\n").is_ok() {});
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.starts_with(if more.is_empty() { "ready" } else { "y" }), "{line}");
        yes.join().unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(141));
        assert!(!said(&output).contains("rspterminal:"), "{}", said(&output));
    }
}

/// A file system that is full, for example, is no reader that has gone.
#[cfg(target_os = "linux")]
#[test]
fn output_that_cannot_be_written_is_an_error() {
    let pool = Pool::start();
    let _server = pool.server(&["-echo"]);
    let registrar = pool.registrar_option();
    let output: Output = Command::new("sh")
        .args(["-c", "echo hello | \"$@\" >/dev/full", "sh", env!("CARGO_BIN_EXE_programs")])
        .args(["rspterminal", "--pipe", "--quiet", "-asapannounce=off", &registrar])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("standard output cannot be written"), "{}", said(&output));
}
