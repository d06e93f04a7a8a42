//! Wires with delay, jitter, reordering, duplication and loss. A program forwards between two TAP
//! devices, so that kernels without netem can have them, too.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ffi::OsString;
use std::io;
use std::os::fd::AsRawFd as _;
use std::process::ExitCode;
use std::sync::{Barrier, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use clap::Parser;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use rsp_tools::cli::Ready;
use smoltcp::phy::{Device as _, Medium, RxToken as _, TunTapInterface, TxToken as _};

use crate::link::Link;
use crate::net::{Host, Net, Running};

/// Name of the program.
pub const NAME: &str = "wire";

/// What a wire does to the frames in each direction. It forwards while its program runs.
#[derive(Clone, Debug, Parser)]
pub struct Model {
    /// Time that every frame takes, ms.
    #[arg(long, default_value_t = 0)]
    pub delay: u64,
    /// Further random delay of at most this time, which keeps the order of the frames, ms.
    #[arg(long, default_value_t = 0)]
    pub jitter: u64,
    /// Percentage of the frames that are delayed so that others overtake them.
    #[arg(long, default_value_t = 0)]
    pub reorder: u32,
    /// How much longer these are delayed, ms.
    #[arg(long, default_value_t = 5)]
    pub late: u64,
    /// Percentage of the frames that are duplicated.
    #[arg(long, default_value_t = 0)]
    pub duplicate: u32,
    /// Percentage of the frames that are lost.
    #[arg(long, default_value_t = 0)]
    pub loss: u32,
    /// Seed of the random numbers.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

impl Default for Model {
    fn default() -> Self {
        Model { delay: 0, jitter: 0, reorder: 0, late: 5, duplicate: 0, loss: 0, seed: 1 }
    }
}

impl Net {
    /// Makes a link like [`Net::link`] that goes through a forwarder. To cut it, call
    /// [`Link::silence`] or kill the program.
    ///
    /// # Panics
    /// When the system refuses.
    pub fn wire(
        &self,
        left: &Host,
        left_addrs: &str,
        right: &Host,
        right_addrs: &str,
        model: &Model,
    ) -> (Link, Running) {
        let between = self.host("wire");
        if model.reorder > 0 || model.duplicate > 0 {
            self.reorders();
        }
        if model.loss > 0 {
            self.disturb();
        }
        let mut args = vec![NAME.to_owned()];
        let numbers = [
            ("delay", model.delay),
            ("jitter", model.jitter),
            ("reorder", model.reorder.into()),
            ("late", model.late),
            ("duplicate", model.duplicate.into()),
            ("loss", model.loss.into()),
            ("seed", model.seed),
        ];
        args.extend(numbers.map(|(name, value)| format!("--{name}={value}")));
        println!("wire: {}", args.join(" "));
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let mut program = self.start(&between, &args);
        program.ready();
        // The program that holds the devices open keeps them when they move to other namespaces.
        let ends = [left.end(left_addrs), right.end(right_addrs)];
        for (end, tap) in ends.iter().zip(TAPS) {
            let (name, there) = (end.interface.as_str(), end.host.namespace().name());
            between.namespace().ip(&["link", "set", tap, "name", name, "netns", there]);
        }
        let link = self.adopt(ends);
        program.type_line("go");
        (link, program)
    }
}

#[derive(Debug, Parser)]
struct Options {
    #[command(flatten)]
    model: Model,
}

/// The program: makes the devices, prints a ready line, and forwards after a line of input.
pub fn run(args: Vec<OsString>) -> ExitCode {
    let options = match Options::try_parse_from(args) {
        Ok(options) => options,
        Err(error) => error.exit(),
    };
    match forward(&options.model) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the wire is broken: {error}");
            ExitCode::FAILURE
        }
    }
}

fn forward(model: &Model) -> io::Result<()> {
    let mut left = TunTapInterface::new(TAPS[0], Medium::Ethernet)?;
    // Frames to the left device, and to the right one.
    let directions =
        [0, 1].map(|i| Mutex::new(Direction::new(Model { seed: model.seed + i, ..model.clone() })));
    let started = Barrier::new(2);
    std::thread::scope(|scope| {
        let other = scope.spawn(|| {
            // A device must stay in the thread that made it.
            let right = TunTapInterface::new(TAPS[1], Medium::Ethernet);
            started.wait();
            started.wait();
            carry(&mut right?, &directions[1], &directions[0])
        });
        started.wait();
        Ready::new(NAME).print();
        // Wait until the devices are up: before that, they take no frames.
        io::stdin().read_line(&mut String::new())?;
        started.wait();
        carry(&mut left, &directions[0], &directions[1])?;
        other.join().unwrap_or_else(|_| Err(io::Error::other("a thread panicked")))
    })
}

/// Serves one device for ever: reads its frames for the other device, and writes those that are
/// due.
fn carry(
    device: &mut TunTapInterface,
    incoming: &Mutex<Direction>,
    outgoing: &Mutex<Direction>,
) -> io::Result<()> {
    let never = smoltcp::time::Instant::ZERO;
    loop {
        // A frame from the other thread may be due at any time, so wait only for a moment.
        smoltcp::phy::wait(device.as_raw_fd(), Some(smoltcp::time::Duration::from_micros(TICK)))?;
        let now = Instant::now();
        while let Some((frame, _)) = device.receive(never) {
            frame.consume(|frame| lock(outgoing).take(now, frame));
        }
        while let Some(frame) = lock(incoming).give(Instant::now()) {
            if let Some(token) = device.transmit(never) {
                token.consume(frame.len(), |buffer| buffer.copy_from_slice(&frame));
            }
        }
    }
}

fn lock(direction: &Mutex<Direction>) -> MutexGuard<'_, Direction> {
    direction.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Frames on their way to one device.
#[derive(Debug)]
struct Direction {
    model: Model,
    rng: ChaCha8Rng,
    /// Ordered by the time they are due, then by arrival.
    frames: BinaryHeap<Reverse<(Instant, u64, Vec<u8>)>>,
    /// When the last frame that keeps its place in the order is due.
    last: Option<Instant>,
    count: u64,
}

impl Direction {
    fn new(model: Model) -> Direction {
        let rng = ChaCha8Rng::seed_from_u64(model.seed);
        Direction { model, rng, frames: BinaryHeap::new(), last: None, count: 0 }
    }

    fn take(&mut self, now: Instant, frame: &[u8]) {
        let copies = if self.happens(self.model.duplicate) { 2 } else { 1 };
        for _ in 0..copies {
            if self.frames.len() < MOST && !self.happens(self.model.loss) {
                let due = self.schedule(now);
                self.count += 1;
                self.frames.push(Reverse((due, self.count, frame.to_vec())));
            }
        }
    }

    fn schedule(&mut self, now: Instant) -> Instant {
        let jitter = self.rng.random_range(0..=self.model.jitter * 1000);
        let due = now + Duration::from_millis(self.model.delay) + Duration::from_micros(jitter);
        if self.happens(self.model.reorder) {
            return due + Duration::from_millis(self.model.late);
        }
        let due = self.last.map_or(due, |last| due.max(last));
        self.last = Some(due);
        due
    }

    /// The next frame that is due.
    fn give(&mut self, now: Instant) -> Option<Vec<u8>> {
        self.frames.peek().filter(|Reverse((due, ..))| *due <= now)?;
        self.frames.pop().map(|Reverse((_, _, frame))| frame)
    }

    fn happens(&mut self, percent: u32) -> bool {
        percent > 0 && self.rng.random_range(0..100) < percent
    }
}

const TAPS: [&str; 2] = ["tap-left", "tap-right"];
/// How often a device is checked while no frame comes, µs.
const TICK: u64 = 500;
/// The most frames on their way in one direction; further ones are lost.
const MOST: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn through(model: Model, frames: u8) -> Vec<u8> {
        let mut direction = Direction::new(model);
        let start = Instant::now();
        for number in 0..frames {
            direction.take(start + Duration::from_micros(number.into()), &[number]);
        }
        let end = start + Duration::from_secs(1);
        std::iter::from_fn(|| direction.give(end)).map(|frame| frame[0]).collect()
    }

    #[test]
    fn jitter_alone_keeps_the_order() {
        let all: Vec<u8> = (0..100).collect();
        assert_eq!(through(Model { delay: 5, jitter: 20, ..Model::default() }, 100), all);
    }

    #[test]
    fn frames_come_late_twice_or_never() {
        let all: Vec<u8> = (0..100).collect();
        let late = through(Model { reorder: 10, ..Model::default() }, 100);
        assert_ne!(late, all);
        let mut sorted = late.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, all);
        assert!(
            (105..150).contains(&through(Model { duplicate: 20, ..Model::default() }, 100).len())
        );
        assert!((50..95).contains(&through(Model { loss: 20, ..Model::default() }, 100).len()));
    }

    #[test]
    fn nothing_comes_before_its_time() {
        let mut direction = Direction::new(Model { delay: 10, ..Model::default() });
        let start = Instant::now();
        direction.take(start, &[1]);
        assert_eq!(direction.give(start + Duration::from_millis(9)), None);
        assert_eq!(direction.give(start + Duration::from_millis(10)), Some(vec![1]));
    }
}
