//! What idle associations cost: resident memory of each end, and how many are set up per second.
//!
//! `cargo run --release -p sctp-user-core --features bench --example core_idle [associations]`
//!
//! Without an argument it sets up 20 000 associations. Both ends are in one thread, without sockets
//! and driver. Each association has one path and default settings, and has carried no data.

use std::time::Instant;

use sctp_user_core::bench::Pair;
use sctp_user_core::{AssocConfig, Duration, Time};

/// Resident memory of this process, bytes; 0 if the system does not tell.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).unwrap_or(0) * 4096
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
fn main() {
    let arg = std::env::args().nth(1);
    let count: u32 =
        arg.map_or(20_000, |arg| arg.parse().expect("the number of associations is a number"));
    let mut pair = Pair::new(&AssocConfig::default());
    // The first association allocates buffers that all of them share.
    let mut now = Time::ZERO;
    pair.set_up(now, 0);
    let before = resident();
    let start = Instant::now();
    for n in 1..=count {
        // Time passes, so that the timers of earlier associations fire as they would in real use.
        now += Duration::from_micros(5);
        pair.set_up(now, n);
    }
    let seconds = start.elapsed().as_secs_f64();
    let ends = 2.0 * f64::from(count);
    println!(
        "{:.0} associations set up per second; {:.0} bytes of resident memory per end of an idle \
         association",
        f64::from(count) / seconds,
        (resident() - before) as f64 / ends,
    );
}
