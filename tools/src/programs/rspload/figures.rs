//! What is measured: latencies, what happened how often, memory.

use std::collections::BTreeMap;
use std::time::Duration;

use rserpool_wire::CauseCode;
use serde::Serialize;

/// How many latencies are recorded; later ones are only counted.
const MOST: usize = 1 << 22;

/// How long answers took.
#[derive(Clone, Debug, Default)]
pub(super) struct Latencies {
    micros: Vec<u32>,
    count: u64,
}

impl Latencies {
    pub(super) fn add(&mut self, time: Duration) {
        self.count += 1;
        if self.micros.len() < MOST {
            self.micros.push(time.as_micros().try_into().unwrap_or(u32::MAX));
        }
    }

    pub(super) fn merge(&mut self, other: Latencies) {
        self.count += other.count;
        let room = MOST - self.micros.len();
        self.micros.extend(other.micros.into_iter().take(room));
    }

    pub(super) fn summary(mut self, seconds: f64) -> Summary {
        self.micros.sort_unstable();
        let quantile = |q: f64| {
            let index = (self.micros.len().saturating_sub(1) as f64 * q).round() as usize;
            self.micros.get(index).copied().unwrap_or_default()
        };
        Summary {
            count: self.count,
            per_second: self.count as f64 / seconds,
            median_us: quantile(0.5),
            p99_us: quantile(0.99),
            p999_us: quantile(0.999),
            worst_us: quantile(1.0),
        }
    }
}

/// What many answers took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(super) struct Summary {
    pub(super) count: u64,
    pub(super) per_second: f64,
    pub(super) median_us: u32,
    pub(super) p99_us: u32,
    pub(super) p999_us: u32,
    pub(super) worst_us: u32,
}

/// How often what happened.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Counts {
    /// Associations that were set up.
    pub(super) opened: u64,
    /// Associations that could not be set up.
    pub(super) not_opened: u64,
    /// Associations that the registrar ended.
    pub(super) ended: u64,
    /// Messages sent.
    pub(super) sent: u64,
    /// Requests that were answered as wanted.
    pub(super) accepted: u64,
    /// Requests that were refused, by cause.
    pub(super) refused: BTreeMap<String, u64>,
}

impl Counts {
    pub(super) fn refuse(&mut self, cause: Option<CauseCode>) {
        let cause = cause.map_or_else(|| "no cause".to_owned(), |cause| cause.to_string());
        *self.refused.entry(cause).or_default() += 1;
    }

    pub(super) fn merge(&mut self, other: Counts) {
        self.opened += other.opened;
        self.not_opened += other.not_opened;
        self.ended += other.ended;
        self.sent += other.sent;
        self.accepted += other.accepted;
        for (cause, count) in other.refused {
            *self.refused.entry(cause).or_default() += count;
        }
    }

    /// The refusals in words.
    pub(super) fn refusals(&self) -> String {
        let all: Vec<String> =
            self.refused.iter().map(|(cause, count)| format!("{count} {cause}")).collect();
        if all.is_empty() {
            "none refused".to_owned()
        } else {
            format!("refused: {}", all.join(", "))
        }
    }
}

/// Resident memory of a process, bytes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Memory {
    pub(super) first: u64,
    pub(super) most: u64,
    pub(super) last: u64,
}

impl Memory {
    /// Watches a process for so long. `None` when there is no such process, or no /proc.
    pub(super) async fn watch(pid: u32, end: tokio::time::Instant) -> Option<Memory> {
        let first = resident(pid)?;
        let mut memory = Memory { first, most: first, last: first };
        while tokio::time::Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(50)).await;
            let Some(now) = resident(pid) else { break };
            memory.most = memory.most.max(now);
            memory.last = now;
        }
        Some(memory)
    }
}

/// What the system says in `/proc/PID/status`.
fn resident(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    resident_in(&status)
}

fn resident_in(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles() {
        let mut latencies = Latencies::default();
        for micros in (1..=1000).rev() {
            latencies.add(Duration::from_micros(micros));
        }
        let mut more = Latencies::default();
        more.add(Duration::from_secs(10_000));
        latencies.merge(more);
        let summary = latencies.summary(2.0);
        assert_eq!((summary.count, summary.per_second), (1001, 500.5));
        assert_eq!((summary.median_us, summary.p99_us), (501, 991));
        assert_eq!((summary.p999_us, summary.worst_us), (1000, u32::MAX));
        assert_eq!(Latencies::default().summary(1.0), Summary::default());
    }

    #[test]
    fn refusals_by_cause() {
        let mut counts = Counts::default();
        assert_eq!(counts.refusals(), "none refused");
        counts.refuse(Some(CauseCode::SECURITY));
        counts.refuse(Some(CauseCode::SECURITY));
        let mut more = Counts::default();
        more.refuse(None);
        counts.merge(more);
        let text = counts.refusals();
        assert_eq!(text, "refused: 1 no cause, 2 rejected for security reasons (0xa)");
    }

    #[test]
    fn memory_as_linux_tells_it() {
        let status = "Name:\tx\nVmHWM:\t   99 kB\nVmRSS:\t    12 kB\n";
        assert_eq!(resident_in(status), Some(12 * 1024));
        assert_eq!(resident_in("Name:\tx\n"), None);
    }
}
