//! The scripted agent: a program with which a tester drives the stack, like a sockets program, by
//! lines of text. In virtual mode, the tester also controls the clock and the wire.
//! `docs/testing.md` says how to use it.
//!
//! The agent only translates between lines and [`Sockets`](sctp_user_core::socket::Sockets); it
//! knows nothing about SCTP.

mod calls;
mod errno;
mod icmp;
mod ip;
mod options;
pub mod process;
mod real_time;
mod recv;
mod request;
mod uapi;
mod virtual_time;

use std::io::{self, BufRead, Write};
use std::process::ExitCode;

use errno::Errno;

/// The answer to a request: the text after `ok`, or the number after `err`.
type Reply = Result<String, Errno>;

/// Runs the agent on standard input and output until standard input ends.
pub fn run() -> ExitCode {
    let outcome = match udp_port() {
        Ok(udp_port) if std::env::var_os("SUT_VIRTUAL").is_some_and(|v| v == "1") => {
            run_virtual(udp_port).map_err(|error| error.to_string())
        }
        Ok(udp_port) => real_time::run(udp_port),
        Err(why) => Err(why),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("sctp-agent: {why}");
            ExitCode::FAILURE
        }
    }
}

fn run_virtual(udp_port: Option<u16>) -> io::Result<()> {
    let mut agent = virtual_time::Virtual::new(udp_port);
    for line in io::stdin().lock().lines() {
        answer(&agent.request(&line?))?;
    }
    Ok(())
}

/// Writes a reply line.
fn answer(reply: &Reply) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match reply {
        Ok(text) if text.is_empty() => writeln!(out, "ok"),
        Ok(text) => writeln!(out, "ok {text}"),
        Err(errno) => writeln!(out, "err {}", errno.0),
    }?;
    out.flush()
}

/// `SUT_UDP_PORT`: the local and remote port of RFC 6951. Absent or empty means SCTP directly in
/// IP.
fn udp_port() -> Result<Option<u16>, String> {
    match std::env::var("SUT_UDP_PORT") {
        Ok(text) if !text.is_empty() => match text.parse() {
            Ok(port) if port != 0 => Ok(Some(port)),
            _ => Err(format!("SUT_UDP_PORT is {text:?} and must be a UDP port from 1 to 65535")),
        },
        _ => Ok(None),
    }
}
