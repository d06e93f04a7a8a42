//! The ready line: one line on stdout that tells scripts, tests and the demo which ports a program
//! has.
//!
//! `ready PROGRAM key=value key=value ...`; values contain no spaces.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::time::{Duration, Instant};

use super::{lossy, screen};

/// How long a program waits for its ready line to be written.
const PATIENCE: Duration = Duration::from_millis(100);

/// Builds and prints the ready line.
#[derive(Debug)]
pub struct Ready {
    line: String,
}

impl Ready {
    /// Starts the line of `program`.
    pub fn new(program: &str) -> Self {
        Ready { line: format!("ready {program}") }
    }

    /// Appends `key=value`; spaces in the value become underscores.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Display) -> Self {
        let value = value.to_string().replace(char::is_whitespace, "_");
        self.line.push_str(&format!(" {key}={value}"));
        self
    }

    /// As [`with`](Self::with), but appends nothing if there is no value.
    #[must_use]
    pub fn with_known(self, key: &str, value: Option<impl Display>) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }

    /// The line.
    pub fn as_str(&self) -> &str {
        &self.line
    }

    /// Prints the line, which a reader on a pipe sees at once. If the reader stalls, this waits for
    /// up to 100 ms; a reader that has gone away is ignored.
    pub fn print(self) {
        screen::say(&self.line);
        lossy::stdout().flush(Instant::now() + PATIENCE);
    }
}

/// A ready line that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadyLine {
    /// Name of the program.
    pub program: String,
    fields: BTreeMap<String, String>,
}

impl ReadyLine {
    /// Reads a line; `None` if it is no ready line.
    pub fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        if words.next() != Some("ready") {
            return None;
        }
        let program = words.next()?.to_owned();
        let fields = words.map(|word| {
            word.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()))
        });
        Some(ReadyLine { program, fields: fields.collect::<Option<_>>()? })
    }

    /// The value of a field.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.fields.get(key).map(String::as_str)
    }

    /// The UDP port of the program's stack.
    pub fn udp(&self) -> Option<u16> {
        self.get("udp")?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_can_be_read() {
        let line = Ready::new("rspserver").with("udp", 40000).with("pool", "My Pool").line;
        let ready = ReadyLine::parse(&line).unwrap();
        assert_eq!(
            (ready.program.as_str(), ready.udp(), ready.get("pool")),
            ("rspserver", Some(40000), Some("My_Pool"))
        );
        assert_eq!(ready.get("id"), None);
    }

    #[test]
    fn other_lines_are_not_ready_lines() {
        for line in ["", "ready", "already rspserver udp=1", "ready rspserver udp"] {
            assert_eq!(ReadyLine::parse(line), None, "{line:?}");
        }
    }
}
