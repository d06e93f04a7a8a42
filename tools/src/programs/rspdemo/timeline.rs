//! The time line: one line per event and, on a terminal, a status line below.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use super::screen::Screen;
use crate::cli::say;

/// Prints the demo.
#[derive(Debug)]
pub(crate) struct Timeline {
    start: Instant,
    /// The terminal with the status line; `None` if the output is no terminal.
    screen: Option<Screen>,
    colour: bool,
}

/// Colours of lines (ANSI numbers).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Colour {
    /// Ordinary steps.
    Plain,
    /// Less important ones.
    Dim,
    /// Something good.
    Green,
    /// Something broken.
    Red,
    /// Work in progress.
    Yellow,
    /// Servers, by their place.
    Server(usize),
}

impl Colour {
    fn code(self) -> &'static str {
        match self {
            Colour::Plain => "0",
            Colour::Dim => "2",
            Colour::Green => "1;32",
            Colour::Red => "1;31",
            Colour::Yellow => "33",
            Colour::Server(n) => ["36", "35", "34"][n % 3],
        }
    }
}

impl Timeline {
    /// Time 0 is now. With `plain` there are no colours and no status line, even on a terminal.
    /// With NO_COLOR there are no colours.
    pub(crate) fn new(plain: bool) -> Self {
        let terminal = std::io::stdout().is_terminal() && !plain;
        let colour = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let screen = terminal.then(Screen::start);
        Timeline { start: Instant::now(), screen, colour }
    }

    /// The time since the start.
    pub(crate) fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// Whether there is a status line, which shows what happens between the events.
    pub(crate) fn has_status(&self) -> bool {
        self.screen.is_some()
    }

    /// Prints a line with the present time, and with whom it is about.
    pub(crate) fn event(&self, colour: Colour, who: &str, what: &str) {
        self.event_at(self.now(), colour, who, what);
    }

    /// Prints a line with an earlier time.
    pub(crate) fn event_at(&self, time: Duration, colour: Colour, who: &str, what: &str) {
        let time = time.as_secs_f64();
        let who = self.paint(colour, &format!("{who:<11}"));
        let what = match colour {
            Colour::Server(_) => what.to_owned(),
            _ => self.paint(colour, what),
        };
        self.line(&format!("{time:8.3} s  {who}  {what}"));
    }

    /// Prints a line as it is.
    pub(crate) fn line(&self, text: &str) {
        match &self.screen {
            Some(screen) => screen.line(text),
            None => say(text),
        }
    }

    /// Changes the status line.
    pub(crate) fn status(&self, text: String) {
        if let Some(screen) = &self.screen {
            screen.status(text);
        }
    }

    /// Removes the status line.
    pub(crate) fn end_status(&mut self) {
        if let Some(screen) = self.screen.take() {
            screen.end();
        }
    }

    /// `text` in a colour, if there are colours.
    pub(crate) fn paint(&self, colour: Colour, text: &str) -> String {
        match (self.colour, colour) {
            (false, _) | (_, Colour::Plain) => text.to_owned(),
            (true, colour) => format!("\x1b[{}m{text}\x1b[0m", colour.code()),
        }
    }
}
