//! Captures of links.

use std::path::{Path, PathBuf};
use std::time::Duration;

use workspace_tests::gate;
use workspace_tests::process::{PATIENCE, Program};

use crate::netns::Namespace;

/// A capture by dumpcap.
#[derive(Debug)]
pub(crate) struct Capture {
    interface: String,
    file: PathBuf,
    state: State,
}

#[derive(Debug)]
enum State {
    Starting(Program),
    Running(Program),
    Ended,
}

impl Capture {
    /// Begins to write what passes `interface` to `file`.
    pub(crate) fn start(namespace: &Namespace, interface: &str, file: &Path) -> Capture {
        let dumpcap = gate::find("dumpcap").unwrap_or_else(|| "dumpcap".into());
        let mut command = namespace.command(&dumpcap.to_string_lossy());
        command.args(["-q", "-i", interface, "-f", FILTER, "-B", "16", "-w"]).arg(file);
        let (interface, file) = (interface.to_owned(), file.to_owned());
        Capture { interface, file, state: State::Starting(Program::start("dumpcap", &mut command)) }
    }

    /// Waits until packets are captured.
    pub(crate) fn running(&mut self) {
        self.state = match std::mem::replace(&mut self.state, State::Ended) {
            State::Starting(mut program) => {
                program.wait_for_complaint("that it captures", |line| {
                    line.contains("File:").then_some(())
                });
                State::Running(program)
            }
            state => state,
        };
    }

    /// Begins a new capture in place of one that has ended, whose file vanishes.
    pub(crate) fn again(&mut self, namespace: &Namespace) {
        // What cannot be removed is overwritten.
        let _ = std::fs::remove_file(&self.file);
        *self = Capture::start(namespace, &self.interface, &self.file);
    }

    /// Ends the capture; the file is complete then.
    pub(crate) fn end(&mut self) -> PathBuf {
        if let State::Starting(mut program) | State::Running(mut program) =
            std::mem::replace(&mut self.state, State::Ended)
        {
            // An unwinding test must not panic again here, whatever became of dumpcap.
            if program.try_signal("INT") {
                program.try_ended(PATIENCE);
            }
        }
        self.file.clone()
    }
}

/// dumpcap fetches packets from the kernel every 250 ms; what it has not fetched at its end is
/// missing.
pub(crate) const DELAY: Duration = Duration::from_millis(300);

const FILTER: &str = "sctp or udp or icmp or icmp6";
