//! Decides which lines to read and send, which are answered, and when the terminal has waited long
//! enough. It does no I/O, and time is an argument.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::input::Piece;

/// How many pieces may wait for a server. Then no input is read.
const MAX_WAITING: usize = 64;
/// How long the terminal listens after the last answer, because a service may send several answers
/// to a line.
const SETTLE: Duration = Duration::from_millis(200);
/// The greatest length of [`Course::unanswered`].
const MAX_RUNS: usize = 4096;

/// Why the terminal ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    /// No more answers are expected.
    Done,
    /// The time for answers is over.
    Linger,
    /// The time to find a server is over.
    NoServer,
    /// The user wants it.
    Asked,
}

/// See the module documentation.
#[derive(Debug)]
pub(super) struct Course {
    linger: Duration,
    pool_timeout: Option<Duration>,
    input_ended: bool,
    /// What was not sent yet.
    waiting: VecDeque<Piece>,
    /// The beginning of the present line was lost with its server, so the rest is dropped.
    skipping: bool,
    /// The unanswered messages, in order: so many messages that end a line, or that do not.
    unanswered: VecDeque<(bool, u64)>,
    /// How many lines were read.
    lines: u64,
    /// How many lines were lost with their server.
    lost: u64,
    /// Since when there has been no server.
    alone_since: Option<Instant>,
    /// Whether there was a server at some time.
    met_server: bool,
    /// The time of the last progress, from which the wait for answers counts.
    progress: Instant,
}

impl Course {
    /// Begins at `now`, without a server. A `pool_timeout` of `None` is for ever.
    pub(super) fn new(now: Instant, linger: Duration, pool_timeout: Option<Duration>) -> Self {
        Course {
            linger,
            pool_timeout,
            input_ended: false,
            waiting: VecDeque::new(),
            skipping: false,
            unanswered: VecDeque::new(),
            lines: 0,
            lost: 0,
            alone_since: Some(now),
            met_server: false,
            progress: now,
        }
    }

    /// Whether more input is wanted.
    pub(super) fn wants_input(&self) -> bool {
        !self.input_ended && self.waiting.len() < MAX_WAITING
    }

    pub(super) fn read(&mut self, piece: Piece) {
        if piece.last {
            self.lines += 1;
        }
        if self.skipping {
            self.skipping = !piece.last;
        } else {
            self.waiting.push_back(piece);
        }
    }

    pub(super) fn input_ended(&mut self, now: Instant) {
        self.input_ended = true;
        self.progress = now;
    }

    /// What to send next. Call [`Course::sent`] afterwards.
    pub(super) fn next_to_send(&self) -> Option<Bytes> {
        self.waiting.front().map(|piece| piece.data.clone())
    }

    pub(super) fn sent(&mut self, now: Instant) {
        let Some(piece) = self.waiting.pop_front() else { return };
        self.progress = now;
        // A service that never answers must not use up memory. From here on, a long line may count
        // as several.
        let full = self.unanswered.len() >= MAX_RUNS;
        match self.unanswered.back_mut() {
            Some((last, n)) if *last == piece.last || full => *n += 1,
            _ => self.unanswered.push_back((piece.last, 1)),
        }
    }

    pub(super) fn connected(&mut self) {
        self.alone_since = None;
        self.met_server = true;
    }

    /// The server is gone, and everything that it has not answered is lost. Returns how many lines
    /// that are.
    pub(super) fn lost_server(&mut self, now: Instant) -> u64 {
        self.alone_since.get_or_insert(now);
        let begun = self.unanswered.back().is_some_and(|(last, _)| !last);
        let mut lines: u64 =
            self.unanswered.drain(..).filter(|(last, _)| *last).map(|(_, n)| n).sum();
        if begun {
            lines += 1;
            self.skipping = true;
            while self.skipping
                && let Some(piece) = self.waiting.pop_front()
            {
                self.skipping = !piece.last;
            }
        }
        self.lost += lines;
        // A server that comes and goes without taking a line is no progress.
        if lines > 0 {
            self.progress = now;
        }
        lines
    }

    /// A message arrived. It counts as the answer to the oldest unanswered message.
    pub(super) fn answered(&mut self, now: Instant) {
        self.progress = now;
        if let Some((_, n)) = self.unanswered.front_mut() {
            *n -= 1;
            if *n == 0 {
                self.unanswered.pop_front();
            }
        }
    }

    /// The terminal has waited this long for the reader of its output. That time does not count.
    pub(super) fn reader_took(&mut self, time: Duration) {
        self.progress += time;
        self.alone_since = self.alone_since.map(|since| since + time);
    }

    /// When to end if nothing happens until then, and why.
    pub(super) fn end(&self) -> Option<(Instant, Over)> {
        let alone = self.alone_since.zip(self.pool_timeout);
        let alone =
            alone.and_then(|(since, limit)| Some((since.checked_add(limit)?, Over::NoServer)));
        let after_input = self.input_ended.then(|| {
            if self.met_server && self.waiting.is_empty() && self.unanswered.is_empty() {
                (self.progress + SETTLE.min(self.linger), Over::Done)
            } else {
                (self.progress + self.linger, Over::Linger)
            }
        });
        [after_input, alone].into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    /// Why the program has failed, in a sentence for the user; `None` if all is well. `problem` is
    /// why there is no server, if there is none.
    pub(super) fn verdict(&self, over: Over, problem: Option<&str>) -> Option<String> {
        let ends = |(last, n): &(bool, u64)| if *last { *n } else { 0 };
        let sent: u64 = self.unanswered.iter().map(ends).sum();
        let unsent = self.waiting.iter().filter(|piece| piece.last).count() as u64;
        let missing = self.lost + sent + unsent;
        let was = |n| if n == 1 { "was" } else { "were" };
        let what = match (missing, over) {
            (0, Over::Linger | Over::NoServer) => "no server was reached".to_owned(),
            (0, Over::Done | Over::Asked) => return None,
            (n, _) => {
                let how = match unsent {
                    0 => "not answered".to_owned(),
                    all if all == n => "neither sent nor answered".to_owned(),
                    some => format!("not answered, {some} of them not sent,"),
                };
                let lines = if self.lines == 1 { "line" } else { "lines" };
                format!("{n} of {} {lines} {} {how}", self.lines, was(n))
            }
        };
        let why = match over {
            Over::Done => "; a server was lost before it answered".to_owned(),
            Over::Linger => format!(
                " within {} s after the end of the input (--linger=)",
                self.linger.as_secs_f64()
            ),
            Over::NoServer => {
                let limit = self.pool_timeout.unwrap_or_default().as_secs_f64();
                format!("; there was no server for {limit} s (--pooltimeout=)")
            }
            Over::Asked => String::new(),
        };
        let problem = problem.filter(|_| self.alone_since.is_some() && over != Over::Done);
        Some(what + &why + &problem.map_or_else(String::new, |problem| format!(": {problem}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const S: Duration = Duration::from_secs(1);

    fn line(text: &'static str) -> Piece {
        Piece { data: Bytes::from_static(text.as_bytes()), last: true }
    }

    fn part(text: &'static str) -> Piece {
        Piece { last: false, ..line(text) }
    }

    /// A course that has read `input`, and when it began.
    fn course(input: impl IntoIterator<Item = Piece>) -> (Course, Instant) {
        let begin = Instant::now();
        let mut course = Course::new(begin, 5 * S, Some(15 * S));
        input.into_iter().for_each(|piece| course.read(piece));
        (course, begin)
    }

    fn send_all(course: &mut Course, now: Instant) {
        while course.next_to_send().is_some() {
            course.sent(now);
        }
    }

    #[test]
    fn answered_lines_end_it_soon_after_the_input() {
        let (mut course, t) = course([line("a"), line("b")]);
        course.connected();
        assert_eq!(course.end(), None, "the input is open");
        send_all(&mut course, t);
        course.answered(t);
        course.input_ended(t + S);
        assert_eq!(course.end(), Some((t + 6 * S, Over::Linger)));
        course.answered(t + 3 * S);
        assert_eq!(course.end(), Some((t + 3 * S + SETTLE, Over::Done)));
        assert_eq!(course.verdict(Over::Done, None), None);
    }

    #[test]
    fn missing_answers_are_waited_for_and_counted() {
        let (mut course, t) = course([line("a"), line("b"), line("c")]);
        course.connected();
        send_all(&mut course, t);
        course.input_ended(t);
        course.answered(t + 2 * S);
        assert_eq!(course.end(), Some((t + 7 * S, Over::Linger)), "from the last answer on");
        // The time for the reader of the output does not count.
        course.reader_took(S);
        assert_eq!(course.end(), Some((t + 8 * S, Over::Linger)));
        let verdict = course.verdict(Over::Linger, Some("never mind")).unwrap();
        assert_eq!(
            verdict,
            "2 of 3 lines were not answered within 5 s after the end of the input (--linger=)"
        );
    }

    #[test]
    fn an_empty_pool_is_waited_for() {
        let (mut course, t) = course([line("a")]);
        assert_eq!(course.end(), Some((t + 15 * S, Over::NoServer)));
        let verdict = course.verdict(Over::NoServer, Some("the pool is empty")).unwrap();
        assert_eq!(
            verdict,
            "1 of 1 line was neither sent nor answered; there was no server for 15 s \
             (--pooltimeout=): the pool is empty"
        );
        course.input_ended(t + S);
        assert_eq!(course.end(), Some((t + 6 * S, Over::Linger)));
        let verdict = course.verdict(Over::Linger, Some("the pool is empty")).unwrap();
        assert!(verdict.ends_with("(--linger=): the pool is empty"), "{verdict}");
        // No overflow.
        course.pool_timeout = Some(Duration::MAX);
        assert_eq!(course.end(), Some((t + 6 * S, Over::Linger)));
    }

    #[test]
    fn without_any_line_a_server_is_waited_for_all_the_same() {
        let (mut course, t) = course([]);
        course.input_ended(t);
        assert_eq!(course.end(), Some((t + 5 * S, Over::Linger)));
        let verdict = course.verdict(Over::Linger, None).unwrap();
        assert!(verdict.starts_with("no server was reached within 5 s"), "{verdict}");
        course.connected();
        assert_eq!(course.end(), Some((t + SETTLE, Over::Done)));
        assert_eq!(course.verdict(Over::Done, None), None);
    }

    #[test]
    fn a_lost_server_takes_its_lines_with_it() {
        let (mut course, t) = course([line("a"), line("b"), line("c")]);
        course.connected();
        course.sent(t);
        course.sent(t);
        course.answered(t);
        assert_eq!(course.lost_server(t + S), 1);
        assert_eq!(course.end(), Some((t + 16 * S, Over::NoServer)));
        course.connected();
        assert_eq!(course.next_to_send().unwrap(), "c");
        course.sent(t + 2 * S);
        course.answered(t + 2 * S);
        course.input_ended(t + 2 * S);
        assert_eq!(course.end(), Some((t + 2 * S + SETTLE, Over::Done)));
        let verdict = course.verdict(Over::Done, None).unwrap();
        assert_eq!(verdict, "1 of 3 lines was not answered; a server was lost before it answered");
    }

    #[test]
    fn of_a_line_whose_beginning_is_lost_nothing_more_is_sent() {
        let (mut course, t) = course([line("a"), part("b1"), part("b2")]);
        course.connected();
        course.sent(t);
        course.sent(t);
        assert_eq!(course.lost_server(t), 2);
        assert_eq!(course.next_to_send(), None);
        course.read(part("b3"));
        course.read(line("b4"));
        course.read(line("c"));
        assert_eq!(course.next_to_send().unwrap(), "c");
        // An answered line is not lost.
        let (mut course, t) = self::course([part("a1"), line("a2")]);
        course.connected();
        course.sent(t);
        course.answered(t);
        assert_eq!(course.lost_server(t), 0);
        assert_eq!(course.next_to_send().unwrap(), "a2");
    }

    #[test]
    fn input_waits_for_a_server_and_a_silent_service_costs_no_memory() {
        let (mut course, t) = course([]);
        let mut read = 0u64;
        while course.wants_input() {
            course.read(line("x"));
            read += 1;
        }
        assert_eq!(read, MAX_WAITING as u64);
        course.connected();
        for _ in 0..5 * MAX_RUNS {
            course.read(part("x"));
            course.read(line("y"));
            send_all(&mut course, t);
        }
        assert!(course.unanswered.len() <= MAX_RUNS);
        let sent: u64 = course.unanswered.iter().map(|(_, n)| n).sum();
        for _ in 0..sent + 1 {
            course.answered(t);
        }
        course.input_ended(t);
        assert_eq!(course.end(), Some((t + SETTLE, Over::Done)));
        course.linger = 7 * MS;
        assert_eq!(course.end(), Some((t + 7 * MS, Over::Done)), "never longer than --linger=");
    }
}
