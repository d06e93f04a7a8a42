//! Captures of links.

use std::path::{Path, PathBuf};
use std::time::Duration;

use workspace_tests::gate;
use workspace_tests::process::{PATIENCE, Program};

use crate::netns::Namespace;

/// A dumpcap process that writes the packets of one interface to a file.
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
    /// Starts to write the packets of `interface` to `file`.
    pub(crate) fn start(namespace: &Namespace, interface: &str, file: &Path) -> Capture {
        let dumpcap = gate::find("dumpcap").unwrap_or_else(|| "dumpcap".into());
        let mut command = namespace.command(&dumpcap.to_string_lossy());
        command.args(["-q", "-i", interface, "-f", FILTER, "-B", "16", "-w"]).arg(file);
        let (interface, file) = (interface.to_owned(), file.to_owned());
        Capture { interface, file, state: State::Starting(Program::start("dumpcap", &mut command)) }
    }

    /// Where the packets are written.
    pub(crate) fn file(&self) -> &Path {
        &self.file
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

    /// Starts a new capture after the old one has ended. It replaces the file of the old one.
    pub(crate) fn again(&mut self, namespace: &Namespace) {
        // If the file cannot be removed, dumpcap overwrites it.
        let _ = std::fs::remove_file(&self.file);
        *self = Capture::start(namespace, &self.interface, &self.file);
    }

    /// Ends the capture. The file is complete afterwards, unless dumpcap ended before, for example
    /// because the disk is full: then standard error shows what dumpcap said.
    pub(crate) fn end(&mut self) -> PathBuf {
        if let State::Starting(mut program) | State::Running(mut program) =
            std::mem::replace(&mut self.state, State::Ended)
        {
            // A test that is unwinding must not panic again here, whatever dumpcap did.
            if let Err(error) = stop(&mut program, &self.file) {
                gate::say(&error);
            }
        }
        self.file.clone()
    }
}

fn stop(dumpcap: &mut Program, file: &Path) -> Result<(), String> {
    if dumpcap.try_ended(Duration::ZERO).is_some() {
        let said = dumpcap.ended(Duration::ZERO).text();
        return Err(format!("dumpcap stopped writing {} too early:\n{said}", file.display()));
    }
    if dumpcap.try_signal("INT") {
        dumpcap.try_ended(PATIENCE);
    }
    Ok(())
}

/// How long to wait before a capture is ended: dumpcap fetches packets from the kernel every
/// 250 ms, and those that it has not fetched when it ends are missing from the file.
pub(crate) const DELAY: Duration = Duration::from_millis(300);

const FILTER: &str = "sctp or udp or icmp or icmp6";

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_dumpcap_that_ends_by_itself_is_reported_with_its_reason() {
        let full = "echo there is no space left >&2; exit 1";
        let mut dumpcap = Program::start("dumpcap", Command::new("sh").args(["-c", full]));
        dumpcap.try_ended(PATIENCE);
        assert_eq!(
            stop(&mut dumpcap, Path::new("a.pcapng")).unwrap_err(),
            "dumpcap stopped writing a.pcapng too early:\n(stderr) there is no space left"
        );
        let mut dumpcap = Program::start("dumpcap", Command::new("sleep").arg("1000"));
        assert_eq!(stop(&mut dumpcap, Path::new("a.pcapng")), Ok(()));
        assert!(dumpcap.try_ended(Duration::ZERO).is_some());
    }
}
