//! A pool of processes.

use std::process::Command;

use workspace_tests::process::{Ended, PATIENCE, Program};

/// A registrar on free ports, with functions that start servers and clients for it.
pub(crate) struct Pool {
    pub(crate) registrar: Program,
    pub(crate) asap: String,
    pub(crate) udp: u16,
}

pub(crate) struct Server {
    pub(crate) program: Program,
    pub(crate) id: u32,
}

impl Pool {
    pub(crate) fn start() -> Pool {
        Pool::start_with(&[])
    }

    pub(crate) fn start_with(more: &[&str]) -> Pool {
        let alone = ["-asap=127.0.0.1:0", "--encap-port=0", "-asapannounce=off", "-enrp=off"];
        let args = [&alone[..], &["-quiet"], more].concat();
        let mut registrar = program("rspregistrar", &args);
        let ready = registrar.ready();
        let asap = ready.get("asap").expect("the ASAP address").to_owned();
        Pool { registrar, asap, udp: ready.udp().expect("the UDP port") }
    }

    pub(crate) fn registrar_option(&self) -> String {
        format!("-registrar={}/udp:{}", self.asap, self.udp)
    }

    pub(crate) fn server(&self, more: &[&str]) -> Server {
        let registrar = self.registrar_option();
        let args =
            [&["-local=127.0.0.1:0", "-asapannounce=off", "-quiet", &registrar], more].concat();
        let mut program = program("rspserver", &args);
        let ready = program.ready();
        let id = ready.get("id").and_then(|id| id.strip_prefix("0x")).expect("the identifier");
        Server { program, id: u32::from_str_radix(id, 16).expect("a hexadecimal identifier") }
    }

    pub(crate) fn client(&self, name: &str, more: &[&str]) -> Program {
        let registrar = self.registrar_option();
        program(name, &[&["-asapannounce=off", &registrar], more].concat())
    }
}

pub(crate) fn program(name: &str, args: &[&str]) -> Program {
    Program::start(name, &mut command(name, args))
}

pub(crate) fn command(name: &str, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_programs"));
    command.arg(name).args(args);
    command
}

pub(crate) fn run(name: &str, args: &[&str]) -> Ended {
    program(name, args).ended(PATIENCE)
}

/// The identifier (`$hex`) that follows `before` in a line.
pub(crate) fn id_after(line: &str, before: &str) -> Option<u32> {
    let (_, rest) = line.split_once(before)?;
    u32::from_str_radix(rest.strip_prefix('$')?.get(..8)?, 16).ok()
}

/// The sender and the text of an echo in a line of the terminal.
pub(crate) fn echo(line: &str) -> Option<(u32, String)> {
    let id = id_after(line, "from PE ")?;
    Some((id, line.split_once("> ")?.1.to_owned()))
}
