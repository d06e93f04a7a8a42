//! The SCTP of Linux, in a virtual machine, as the other end of all scenarios.

use netns_tests::interop::bench::{self, InVm};
use netns_tests::interop::matrix::Column;
use netns_tests::vm::HostAndVm;
use workspace_tests::gate::{self, Need};

#[test]
#[ignore = "needs namespaces: cargo test -p netns-tests -- --ignored"]
fn raw() {
    run(Column::LinuxRaw);
}

#[test]
#[ignore = "needs namespaces: cargo test -p netns-tests -- --ignored"]
fn udp() {
    run(Column::LinuxUdp);
}

fn run(column: Column) {
    if !gate::all_or_skip(&[
        Need::Program("cc"),
        Need::File("/usr/include/linux/sctp.h", "linux-libc-dev"),
    ]) {
        return;
    }
    let Some(place) = HostAndVm::open(env!("CARGO_BIN_EXE_netns-programs")) else { return };
    let peer = bench::compile("kernel_peer.c", &["-static", "-lpthread"]);
    bench::run_column(column, &InVm::new(place, &peer));
}
