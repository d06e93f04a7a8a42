//! The terminal with a status line below the time line.
//!
//! A terminal can be stopped (Ctrl-S), but the demo must not stop with it: it measures times. So a
//! thread draws, and what it cannot take is dropped and counted.

use std::cell::Cell;
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How many lines and changes of the status line may wait for the terminal.
const QUEUE: usize = 1024;
/// How long the terminal may take for the rest.
const END_LIMIT: Duration = Duration::from_secs(1);

/// See the module documentation.
#[derive(Debug)]
pub(crate) struct Screen {
    to_draw: SyncSender<Drawn>,
    /// Nothing comes here; it is disconnected when everything is drawn.
    drawn: Receiver<()>,
    /// How many lines were dropped since the last one that was not.
    dropped: Cell<u64>,
}

#[derive(Debug, PartialEq, Eq)]
enum Drawn {
    /// A line above the status line.
    Line(String),
    /// A new text in the status line.
    Status(String),
}

impl Screen {
    /// Starts the thread, which draws on standard output.
    pub(crate) fn start() -> Screen {
        Screen::with(QUEUE, |to_draw| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stdout());
            if let Ok(style) = ProgressStyle::with_template("{spinner:.cyan} {wide_msg}") {
                bar.set_style(style);
            }
            for drawn in to_draw {
                match drawn {
                    Drawn::Line(text) => bar.println(text),
                    Drawn::Status(text) => {
                        bar.set_message(text);
                        bar.tick();
                    }
                }
            }
            bar.finish_and_clear();
        })
    }

    fn with(queue: usize, draw: impl FnOnce(Receiver<Drawn>) + Send + 'static) -> Screen {
        let (to_draw, waiting) = sync_channel(queue);
        let (done, drawn) = channel();
        std::thread::spawn(move || {
            draw(waiting);
            drop(done);
        });
        Screen { to_draw, drawn, dropped: Cell::new(0) }
    }

    /// Prints a line.
    pub(crate) fn line(&self, text: &str) {
        let note = match self.dropped.get() {
            0 => String::new(),
            n => format!("... (lines dropped here, because the terminal was stopped: {n})\n"),
        };
        match self.to_draw.try_send(Drawn::Line(note + text)) {
            Ok(()) => self.dropped.set(0),
            Err(_) => self.dropped.set(self.dropped.get() + 1),
        }
    }

    /// Changes the status line.
    pub(crate) fn status(&self, text: String) {
        // If the terminal is stopped, nobody sees it.
        let _ = self.to_draw.try_send(Drawn::Status(text));
    }

    /// Removes the status line when everything is drawn. Waits for that, but not for more than 1 s.
    pub(crate) fn end(self) {
        drop(self.to_draw);
        let _ = self.drawn.recv_timeout(END_LIMIT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stopped_terminal_stops_nobody_and_lines_that_it_misses_are_counted() {
        let (go_on, may_go_on) = channel::<()>();
        let (seen, drawn) = channel();
        let screen = Screen::with(2, move |to_draw| {
            may_go_on.recv().unwrap();
            to_draw.iter().for_each(|one| seen.send(one).unwrap());
        });
        for line in ["one", "two", "three", "four"] {
            screen.line(line);
        }
        screen.status("status".to_owned());
        go_on.send(()).unwrap();
        let line = |text: &str| Drawn::Line(text.to_owned());
        assert_eq!([drawn.recv().unwrap(), drawn.recv().unwrap()], [line("one"), line("two")]);
        screen.line("five");
        screen.end();
        let Drawn::Line(last) = drawn.recv().unwrap() else { panic!("no line") };
        assert!(last.contains("stopped: 2)") && last.ends_with("\nfive"), "{last}");
        assert!(drawn.recv().is_err());
    }
}
