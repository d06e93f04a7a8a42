//! Starts the agent of this package.

use std::process::Command;

pub(crate) use workspace_tests::agent::process::{Agent, hex, unhex, value};

/// Starts an agent with these environment variables.
pub(crate) fn start(env: &[(&str, &str)]) -> Agent {
    Agent::start(Command::new(env!("CARGO_BIN_EXE_sctp-agent")).envs(env.iter().copied()))
}

/// Starts an agent in virtual mode without encapsulation.
pub(crate) fn start_virtual() -> Agent {
    start(&[("SUT_VIRTUAL", "1")])
}
