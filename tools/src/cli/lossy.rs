//! Lines for standard output, standard error and the log file, written so that nobody waits.
//!
//! A reader may stall: a pipe that nobody empties, a terminal that is stopped, a disk that hangs.
//! So each of the three has a thread that writes. Lines wait for it in a buffer of limited size.
//! Lines that do not fit are dropped and counted, and a note in their place says how many.
//!
//! `tracing-appender` has such a thread, too. But it does not say where lines are missing, it
//! limits their number and not their size, and the demonstration would have to compile more crates.

use std::fs::File;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::screen::with_time;

/// How many bytes may wait for a reader, besides those that the thread is writing.
const BUFFER: usize = 1 << 20;

static STDOUT: OnceLock<Arc<Lossy>> = OnceLock::new();
static STDERR: OnceLock<Arc<Lossy>> = OnceLock::new();
static LOG_FILE: OnceLock<Arc<Lossy>> = OnceLock::new();

/// Standard output.
pub(super) fn stdout() -> &'static Arc<Lossy> {
    STDOUT.get_or_init(|| Lossy::start("output", io::stdout()))
}

/// Standard error.
pub(super) fn stderr() -> &'static Arc<Lossy> {
    STDERR.get_or_init(|| Lossy::start("log", io::stderr()))
}

/// The log file. Only the first call in a process takes its file.
pub(super) fn log_file(file: File) -> &'static Arc<Lossy> {
    LOG_FILE.get_or_init(|| Lossy::start("log", file))
}

/// Waits until every line is written, but no longer than `limit`.
pub(super) fn flush(limit: Duration) {
    let end = Instant::now() + limit;
    for lossy in [&STDOUT, &STDERR, &LOG_FILE].into_iter().filter_map(OnceLock::get) {
        lossy.flush(end);
    }
}

/// A writer that never makes its callers wait.
pub(super) struct Lossy {
    /// What the note about missing lines calls this output.
    what: &'static str,
    state: Mutex<State>,
    changed: Condvar,
    out: Mutex<Box<dyn Write + Send>>,
}

#[derive(Debug, Default)]
struct State {
    /// Whole lines.
    waiting: Vec<u8>,
    /// Lines that were dropped after those that wait.
    dropped: u64,
    writing: bool,
    /// The thread could not be started, so the callers write.
    threadless: bool,
}

impl State {
    fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.dropped == 0 && !self.writing
    }
}

impl Lossy {
    fn start(what: &'static str, out: impl Write + Send + 'static) -> Arc<Lossy> {
        let (state, changed) = (Mutex::default(), Condvar::new());
        let lossy = Arc::new(Lossy { what, state, changed, out: Mutex::new(Box::new(out)) });
        let writer = Arc::clone(&lossy);
        let thread = std::thread::Builder::new().name(what.to_owned());
        if thread.spawn(move || writer.run()).is_err() {
            lossy.lock().threadless = true;
        }
        lossy
    }

    /// Writes `lines`, which end with a line feed, later and as a whole, or drops them.
    pub(super) fn push(&self, lines: &[u8]) {
        let mut state = self.lock();
        // After a line is dropped, all lines are dropped until the note about them is written.
        if state.dropped > 0 || state.waiting.len() + lines.len() > BUFFER {
            state.dropped += 1;
        } else {
            state.waiting.extend_from_slice(lines);
        }
        if state.threadless {
            return self.write(state);
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Waits until every line is written, or until `end`. False when lines are left.
    pub(super) fn flush(&self, end: Instant) -> bool {
        let left = end.saturating_duration_since(Instant::now());
        let wait = self.changed.wait_timeout_while(self.lock(), left, |state| !state.is_idle());
        wait.unwrap_or_else(PoisonError::into_inner).0.is_idle()
    }

    fn run(&self) {
        loop {
            let wait = self.changed.wait_while(self.lock(), |state| state.is_idle());
            self.write(wait.unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// Writes what waits.
    fn write(&self, mut state: MutexGuard<'_, State>) {
        let mut text = std::mem::take(&mut state.waiting);
        let dropped = std::mem::take(&mut state.dropped);
        state.writing = true;
        drop(state);
        if dropped > 0 {
            let what = self.what;
            let lines = match dropped {
                1 => format!("1 line of the {what} was"),
                n => format!("{n} lines of the {what} were"),
            };
            let note = format!("{lines} dropped, because the reader was too slow");
            text.extend_from_slice(with_time(&note).as_bytes());
            text.push(b'\n');
        }
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        // A reader that has gone away is ignored: SIGPIPE ends the program.
        let _ = out.write_all(&text).and_then(|()| out.flush());
        drop(out);
        self.lock().writing = false;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// For `tracing`, which writes each record with one call.
pub(super) struct Record(pub(super) Arc<Lossy>);

impl Write for Record {
    fn write(&mut self, record: &[u8]) -> io::Result<usize> {
        self.0.push(record);
        Ok(record.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, Sender, channel};

    /// Takes one call of `write` for each permit, and shows what it took.
    struct Slow(Receiver<()>, Sender<Vec<u8>>);

    impl Write for Slow {
        fn write(&mut self, data: &[u8]) -> io::Result<usize> {
            self.0.recv().map_err(|_| io::ErrorKind::BrokenPipe)?;
            self.1.send(data.to_vec()).map_err(|_| io::ErrorKind::BrokenPipe)?;
            Ok(data.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn slow() -> (Arc<Lossy>, Sender<()>, Receiver<Vec<u8>>) {
        let ((permits, permitted), (tx, written)) = (channel(), channel());
        (Lossy::start("log", Slow(permitted, tx)), permits, written)
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(10)
    }

    fn later() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    #[test]
    fn lines_that_do_not_fit_are_counted_where_they_are_missing() {
        let (lossy, permits, written) = slow();
        lossy.push(b"first\n");
        // The thread is writing it, and stalls.
        while !lossy.lock().writing {
            std::thread::yield_now();
        }
        let line = [&[b'x'; 1023][..], b"\n"].concat();
        for _ in 0..BUFFER / line.len() {
            lossy.push(&line);
        }
        for _ in 0..3 {
            lossy.push(&line);
        }
        // It would fit if it were not behind lines that are dropped.
        lossy.push(b"");
        assert!(!lossy.flush(soon()), "nobody reads");
        for _ in 0..2 {
            permits.send(()).unwrap();
        }
        assert!(lossy.flush(later()));
        assert_eq!(written.recv().unwrap(), b"first\n");
        let text = String::from_utf8(written.recv().unwrap()).unwrap();
        let note = text.lines().last().unwrap();
        assert!(note.contains(": 4 lines of the log were dropped"), "{note}");
        assert_eq!(text.lines().count(), BUFFER / line.len() + 1);
        permits.send(()).unwrap();
        lossy.push(b"afterwards\n");
        assert!(lossy.flush(later()));
        assert_eq!(written.recv().unwrap(), b"afterwards\n");
    }

    #[test]
    fn a_line_longer_than_the_buffer_is_dropped() {
        let (lossy, permits, written) = slow();
        permits.send(()).unwrap();
        lossy.push(&vec![b'x'; BUFFER + 1]);
        assert!(lossy.flush(later()));
        let text = String::from_utf8(written.recv().unwrap()).unwrap();
        assert!(text.contains(": 1 line of the log was dropped"), "{text}");
    }

    #[test]
    fn without_a_thread_lines_are_written_at_once() {
        let ((permits, permitted), (tx, written)) = (channel(), channel());
        permits.send(()).unwrap();
        let state = State { threadless: true, ..State::default() };
        let lossy = Lossy {
            what: "log",
            state: Mutex::new(state),
            changed: Condvar::new(),
            out: Mutex::new(Box::new(Slow(permitted, tx))),
        };
        lossy.push(b"line\n");
        assert_eq!(written.try_recv().unwrap(), b"line\n");
    }

    #[test]
    fn a_reader_that_has_gone_away_stops_nobody() {
        let (lossy, permits, _) = slow();
        drop(permits);
        for _ in 0..3 {
            lossy.push(b"line\n");
            assert!(lossy.flush(later()));
        }
    }
}
