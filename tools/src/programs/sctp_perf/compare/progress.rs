//! Tells on stderr how far a comparison is: in a status line on a terminal, or else line by line.

use std::io::IsTerminal;
use std::time::{Duration, Instant, SystemTime};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::time::MissedTickBehavior;

use crate::cli::{complain, time_of_day};

/// How often a step that takes long is mentioned without a terminal.
const STILL: Duration = Duration::from_secs(15);

/// Tells the present step, how far the comparison is, and how long it will still take.
#[derive(Debug)]
pub(crate) struct Progress {
    /// The status line; `None` if stderr is no terminal.
    status: Option<ProgressBar>,
    runs: Runs,
}

/// The runs of all contenders.
#[derive(Debug)]
struct Runs {
    total: u32,
    begun: u32,
    /// When the first run began.
    start: Option<Instant>,
    /// How long a run takes, until the first is over.
    guess: Duration,
}

impl Progress {
    /// For `total` runs, each of which will take about `guess`.
    pub(crate) fn new(total: u32, guess: Duration) -> Self {
        let status = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            if let Ok(style) = ProgressStyle::with_template("{spinner:.cyan} {wide_msg}") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        Progress { status, runs: Runs { total, begun: 0, start: None, guess } }
    }

    /// Waits for a compilation. Tells what is compiled, since when, and how long it took.
    pub(crate) async fn compiling<F: Future>(&self, what: &str, work: F) -> F::Output {
        let start = Instant::now();
        let since = time_of_day(SystemTime::now());
        let since = since.split('.').next().unwrap_or_default();
        let now = format!("compiling {what}, since {since} UTC");
        match &self.status {
            Some(status) => status.set_message(now.clone()),
            None => complain(&format!("{now}; the first time takes minutes")),
        }
        // The status line counts every second.
        let pace = if self.status.is_some() { Duration::from_secs(1) } else { STILL };
        let mut ticks = tokio::time::interval(pace);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        ticks.tick().await;
        tokio::pin!(work);
        loop {
            tokio::select! {
                biased;
                result = &mut work => {
                    self.say(&format!("compiling {what} took {} s", start.elapsed().as_secs()));
                    return result;
                }
                _ = ticks.tick() => {
                    let secs = start.elapsed().as_secs();
                    match &self.status {
                        Some(status) => status.set_message(format!("{now}: {secs} s")),
                        None => complain(&format!("still {now}: {secs} s")),
                    }
                }
            }
        }
    }

    /// The next run begins.
    pub(crate) fn run(&mut self, what: &str) {
        let left = self.runs.begin(Instant::now());
        let Runs { begun, total, .. } = self.runs;
        let text = format!("run {begun} of {total}, about {} left: {what}", in_words(left));
        match &self.status {
            Some(status) => status.set_message(text),
            None => complain(&text),
        }
    }

    /// Prints a line on stderr.
    pub(crate) fn say(&self, line: &str) {
        match &self.status {
            Some(status) => status.println(line),
            None => complain(line),
        }
    }

    /// Prints something above the status line.
    pub(crate) fn aside<T>(&self, print: impl FnOnce() -> T) -> T {
        match &self.status {
            Some(status) => status.suspend(print),
            None => print(),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(status) = &self.status {
            status.finish_and_clear();
        }
    }
}

impl Runs {
    /// Another run begins. Returns how long it and all after it will take.
    fn begin(&mut self, now: Instant) -> Duration {
        let start = *self.start.get_or_insert(now);
        let over = self.begun;
        self.begun += 1;
        let each = (now - start).checked_div(over).unwrap_or(self.guess);
        each * self.total.saturating_sub(over)
    }
}

/// Seconds, minutes or hours, rounded up.
fn in_words(time: Duration) -> String {
    match time.as_secs_f64().ceil() as u64 {
        secs @ 0..=90 => format!("{secs} s"),
        secs @ 91..=5400 => format!("{} min", secs.div_ceil(60)),
        secs => format!("{} h", secs.div_ceil(3600)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_left_follows_the_runs_that_are_over() {
        let seconds = Duration::from_secs;
        let mut runs = Runs { total: 10, begun: 0, start: None, guess: seconds(3) };
        let start = Instant::now();
        assert_eq!(runs.begin(start), seconds(30));
        // Two runs took 8 s.
        runs.begin(start + seconds(5));
        assert_eq!(runs.begin(start + seconds(8)), seconds(8 * 4));
        assert_eq!((runs.begun, runs.total), (3, 10));
        // More runs than there were to be.
        let mut none = Runs { total: 0, begun: 0, start: None, guess: seconds(3) };
        assert_eq!(none.begin(start), Duration::ZERO);
        assert_eq!(none.begin(start), Duration::ZERO);
    }

    #[test]
    fn times_in_words() {
        let words = |ms| in_words(Duration::from_millis(ms));
        assert_eq!(words(0), "0 s");
        assert_eq!(words(1_001), "2 s");
        assert_eq!(words(90_000), "90 s");
        assert_eq!(words(91_000), "2 min");
        assert_eq!(words(5_400_000), "90 min");
        assert_eq!(words(5_401_000), "2 h");
    }
}
