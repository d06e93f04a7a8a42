//! How fast the core is by itself: two stacks back to back in one thread, no sockets, no driver.
//!
//!     cargo run --release -p sctp-user-core --features bench --example core_bulk [SIZE] [SECONDS]
//!
//! This sends messages of SIZE bytes and prints how much user data arrives per second, and in how
//! many packets. The work of both ends counts, with checksums and the copies into and out of
//! datagrams.

use std::time::{Duration, Instant};

use sctp_user_core::Time;
use sctp_user_core::bench::{Bulk, bulk_config};

#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
fn run(size: usize, time: Duration) {
    let mut bulk = Bulk::new(&bulk_config(), size);
    let start = Instant::now();
    while start.elapsed() < time {
        bulk.round(Time::from_nanos(start.elapsed().as_nanos() as u64));
    }
    let seconds = start.elapsed().as_secs_f64();
    let stats = bulk.pair.client.assoc_stats(bulk.sender).expect("the association lives");
    println!(
        "{size:6} B: {:7.2} Gbit/s  {:9.0} messages/s  {:7.0} packets/s  {:6.0} SACK packets/s  {} \
         of {} chunks sent again  cwnd {}",
        bulk.bytes as f64 * 8.0 / seconds / 1e9,
        bulk.messages as f64 / seconds,
        bulk.packets as f64 / seconds,
        bulk.sacks as f64 / seconds,
        stats.data_chunks_retransmitted,
        stats.data_chunks_sent,
        bulk.pair.client.paths(bulk.sender)[0].cwnd,
    );
}

fn main() {
    let mut args = std::env::args()
        .skip(1)
        .map(|a| a.parse::<u64>().expect("message size and seconds are numbers"));
    let size = args.next();
    let time = Duration::from_secs(args.next().unwrap_or(3));
    match size {
        Some(size) => run((size as usize).max(1), time),
        None => [16 * 1024, 64, 1024, 1 << 20].into_iter().for_each(|size| run(size, time)),
    }
}
