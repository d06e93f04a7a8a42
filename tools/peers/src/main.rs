//! One end, or both in one thread, of the transports that `sctp-perf compare` measures beside the
//! stack.
//!
//! `sctp-perf-peers TRANSPORT MODE [key=value...]`. Transports: `udp-gso`, `udp`, `tcp`, `quinn`,
//! `sctp-proto`, `dcsctp`. Modes:
//! - `server`: prints `ready port=N` (and what else a client needs), receives, prints its figures
//!   as JSON; with `task=pingpong` it sends back what it gets until it is killed.
//! - `client`: takes what the server's ready line says as arguments, sends, prints its figures as
//!   JSON.
//! - `core`: both ends in one thread without sockets. `setup`: associations set up per second.
//!   `idle`: memory of idle ones.
//!
//! Keys: `size` (bytes of a message), `warmup` and `seconds` (s), `task` (`bulk` or `pingpong`),
//! `count` (associations of `idle`).

mod dcsctp_peer;
mod measure;
mod options;
mod proto;
mod proto_udp;
mod quic;
mod tcp;
mod udp;
mod udp_loop;

use anyhow::bail;
use options::{Mode, Options};

fn main() -> anyhow::Result<()> {
    let options = Options::parse(std::env::args().skip(1))?;
    // Not where memory itself is measured.
    if options.mode != Mode::Idle {
        keep_freed_memory();
    }
    match (options.transport.as_str(), options.mode) {
        ("udp-gso", Mode::Server | Mode::Client) => udp::run(&options, udp::GSO_SEGMENTS),
        ("udp", Mode::Server | Mode::Client) => udp::run(&options, 1),
        ("tcp", Mode::Server | Mode::Client) => block_on(tcp::run(&options)),
        ("quinn", Mode::Server | Mode::Client) => block_on(quic::run(&options)),
        ("sctp-proto", Mode::Server | Mode::Client) => proto_udp::run(&options),
        ("sctp-proto", Mode::Core) => proto::core(&options),
        ("sctp-proto", Mode::Setup) => proto::setup(&options),
        ("sctp-proto", Mode::Idle) => proto::idle(&options),
        ("dcsctp", Mode::Server | Mode::Client) => dcsctp_peer::run(&options),
        ("dcsctp", Mode::Core) => dcsctp_peer::core(&options),
        ("dcsctp", Mode::Setup) => dcsctp_peer::setup(&options),
        ("dcsctp", Mode::Idle) => dcsctp_peer::idle(&options),
        (transport, mode) => bail!("there is no transport '{transport}' with mode {mode:?}"),
    }
}

/// Makes glibc keep freed memory, as `sctp-perf` does: its limit for that grows when a large block
/// is freed (mallopt(3), M_MMAP_THRESHOLD). The memory is never touched.
fn keep_freed_memory() {
    drop(std::hint::black_box(Vec::<u8>::with_capacity((32 << 20) - 8192)));
}

/// Everything runs in one thread, as the ends of the stack do.
fn block_on(task: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(task)
}
