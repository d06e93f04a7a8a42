//! What the terminal writes: answers, and messages about servers.

use std::collections::VecDeque;
use std::io::{self, IsTerminal};

use bytes::{Bytes, BytesMut};
use rserpool_wire::PeId;

use super::input::MAX_MESSAGE;
use crate::cli::{complain, harmless};

/// How answers look on standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    /// Only the answers.
    Pipe,
    /// Each answer after the name of its server, with messages about servers in between.
    Lines {
        /// Whether to escape what could steer a terminal.
        harmless: bool,
    },
}

/// Formats answers and messages, and keeps them until the writer has room.
#[derive(Debug)]
pub(super) struct Output {
    style: Style,
    /// Whether the last line on standard output has no end yet.
    open_line: bool,
    waiting: VecDeque<Bytes>,
}

impl Output {
    pub(super) fn new(pipe: bool) -> Self {
        let harmless = io::stdout().is_terminal();
        Output::with(if pipe { Style::Pipe } else { Style::Lines { harmless } })
    }

    fn with(style: Style) -> Self {
        Output { style, open_line: false, waiting: VecDeque::new() }
    }

    /// Whether something waits for being written.
    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// The next thing to write.
    pub(super) fn pop(&mut self) -> Option<Bytes> {
        self.waiting.pop_front()
    }

    /// Adds a message of the program itself, without line end.
    pub(super) fn words(&mut self, words: &str) {
        if self.style == Style::Pipe {
            return complain(words);
        }
        let before = if std::mem::take(&mut self.open_line) { "\n" } else { "" };
        self.waiting.push_back(format!("{before}{words}\n").into());
    }

    /// Adds an answer of a server.
    pub(super) fn answer(&mut self, from: PeId, data: Bytes) {
        let harmless_only = match self.style {
            Style::Pipe => return self.waiting.push_back(data),
            Style::Lines { harmless } => harmless,
        };
        let mut line = BytesMut::new();
        if !self.open_line {
            line.extend_from_slice(format!("from PE ${:08x}> ", from.0).as_bytes());
        }
        let ends = data.ends_with(b"\n");
        // This is a part of a long line, which the next message continues.
        self.open_line = !ends && data.len() == MAX_MESSAGE;
        if harmless_only {
            line.extend_from_slice(harmless(&data).as_bytes());
        } else {
            line.extend_from_slice(data.strip_suffix(b"\n").unwrap_or(&data));
        }
        if !self.open_line {
            line.extend_from_slice(b"\n");
        }
        self.waiting.push_back(line.freeze());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(output: &mut Output) -> Vec<u8> {
        std::iter::from_fn(|| output.pop()).flatten().collect()
    }

    #[test]
    fn answers_are_bytes_after_the_name_of_the_server() {
        let mut output = Output::with(Style::Lines { harmless: false });
        output.answer(PeId(0x12), Bytes::from_static(b"\xff\x1b\0\n"));
        output.answer(PeId(0x12), Bytes::from_static(b"no end"));
        output.words("Lost");
        assert_eq!(
            written(&mut output),
            b"from PE $00000012> \xff\x1b\0\nfrom PE $00000012> no end\nLost\n"
        );
    }

    #[test]
    fn terminals_are_shown_harmless_text() {
        let mut output = Output::with(Style::Lines { harmless: true });
        output.answer(PeId(1), Bytes::from_static(b"\x1b[2J\n"));
        assert_eq!(written(&mut output), b"from PE $00000001> \\u{1b}[2J\n");
    }

    #[test]
    fn parts_of_a_long_line_are_put_together() {
        let mut output = Output::with(Style::Lines { harmless: false });
        let part = Bytes::from(vec![b'x'; MAX_MESSAGE]);
        output.answer(PeId(1), part.clone());
        output.answer(PeId(1), Bytes::from_static(b"end\n"));
        output.answer(PeId(1), part.clone());
        output.words("Lost");
        let expected =
            [b"from PE $00000001> ", &part[..], b"end\n", b"from PE $00000001> ", &part[..]];
        assert!(written(&mut output) == [&expected.concat()[..], b"\nLost\n"].concat());
    }

    #[test]
    fn a_filter_writes_answers_alone() {
        let mut output = Output::with(Style::Pipe);
        output.words("(on standard error)");
        output.answer(PeId(1), Bytes::from_static(b"\0no end"));
        output.answer(PeId(2), Bytes::from_static(b"\n"));
        assert_eq!(written(&mut output), b"\0no end\n");
    }
}
