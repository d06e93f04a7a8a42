//! The scripted agent: a line protocol that drives the stack from outside like a sockets program
//! and, in virtual mode, also owns its clock and its wire. `docs/testing.md` tells how to use it.
//!
//! It is an adapter between lines of text and [`Sockets`](sctp_user_core::socket::Sockets) and has
//! no opinion on SCTP.

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

/// What a request is answered with: the text behind `ok`, or the number behind `err`.
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

/// `SUT_UDP_PORT`: local and remote port of RFC 6951; absent or empty for protocol 132 in IP.
fn udp_port() -> Result<Option<u16>, String> {
    match std::env::var("SUT_UDP_PORT") {
        Ok(text) if !text.is_empty() => match text.parse() {
            Ok(port) if port != 0 => Ok(Some(port)),
            _ => Err(format!("SUT_UDP_PORT is {text:?} and must be a UDP port from 1 to 65535")),
        },
        _ => Ok(None),
    }
}
