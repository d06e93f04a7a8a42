//! Processor time and memory of this process.

use std::time::Duration;

/// Processor time that was used so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CpuTime {
    pub(crate) user: Duration,
    pub(crate) system: Duration,
}

impl CpuTime {
    /// The time used until now; `None` if the system does not tell.
    #[cfg(unix)]
    pub(crate) fn now() -> Option<Self> {
        use nix::sys::resource::{UsageWho, getrusage};
        use nix::sys::time::TimeVal;

        let duration = |time: TimeVal| {
            let seconds = u64::try_from(time.tv_sec()).unwrap_or(0);
            let micros = u64::try_from(time.tv_usec()).unwrap_or(0);
            Duration::from_secs(seconds) + Duration::from_micros(micros)
        };
        let usage = getrusage(UsageWho::RUSAGE_SELF).ok()?;
        Some(CpuTime { user: duration(usage.user_time()), system: duration(usage.system_time()) })
    }

    /// The time used until now; `None` if the system does not tell.
    #[cfg(not(unix))]
    pub(crate) fn now() -> Option<Self> {
        None
    }

    /// What was used since `earlier`.
    pub(crate) fn since(self, earlier: CpuTime) -> CpuTime {
        CpuTime {
            user: self.user.saturating_sub(earlier.user),
            system: self.system.saturating_sub(earlier.system),
        }
    }
}

/// Resident memory of this process, bytes; `None` if the system does not tell it as Linux does.
pub(crate) fn resident() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.split_whitespace().next()?.parse::<usize>().ok()? * 1024)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn work_costs_time() {
        let before = CpuTime::now().unwrap();
        let mut sum = 0u64;
        let spent = loop {
            sum = std::hint::black_box(
                (0..100_000).fold(sum, |a, b| a.wrapping_mul(31).wrapping_add(b)),
            );
            let spent = CpuTime::now().unwrap().since(before);
            if spent.user + spent.system > Duration::from_millis(5) {
                break spent;
            }
        };
        assert!(spent.user + spent.system < Duration::from_secs(60), "{sum}");
    }
}
