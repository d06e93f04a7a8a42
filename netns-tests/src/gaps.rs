//! Measuring how long applications wait: one measurement at a time, judged by its median.

use std::sync::{Mutex, MutexGuard, PoisonError};

use workspace_tests::gate;

/// How often each wait is measured.
pub const ROUNDS: usize = 5;

/// Waits until no other test of this process is measuring. Other tests cannot measure until the
/// returned guard is dropped.
pub fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Prints the median of `waits` (ms) between the texts `what` and `more`. Returns a fault unless
/// the median is below `bound` (ms).
pub fn judge(what: &str, mut waits: Vec<f64>, bound: f64, more: &str) -> Option<String> {
    waits.sort_by(f64::total_cmp);
    let median = waits.get(waits.len() / 2).copied().unwrap_or(f64::INFINITY);
    gate::say(&format!("{what}: median {median:.0} ms of {waits:.0?}{more}"));
    (median >= bound).then(|| format!("{what}: {waits:.0?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_must_be_below_the_bound() {
        assert_eq!(judge("test", vec![900.0, 1.0, 2.0, 3.0, f64::INFINITY], 4.0, ""), None);
        assert!(judge("test", vec![1.0, 4.0, 900.0], 4.0, "").is_some());
        assert!(judge("nothing was measured", Vec::new(), 4.0, "").is_some());
    }
}
