//! usrsctp as the other end of all scenarios.

use netns_tests::foreign::Implementation;
use netns_tests::interop::bench::{self, Namespaces};
use netns_tests::interop::matrix::Column;
use netns_tests::net::Net;
use workspace_tests::gate::{self, Need};

#[test]
#[ignore = "needs namespaces: cargo test -p netns-tests -- --ignored"]
fn raw() {
    run(Column::UsrsctpRaw);
}

#[test]
#[ignore = "needs namespaces: cargo test -p netns-tests -- --ignored"]
fn udp() {
    run(Column::UsrsctpUdp);
}

fn run(column: Column) {
    if !gate::all_or_skip(&[
        Need::Program("cc"),
        Need::File("/usr/include/usrsctp.h", "libusrsctp-dev"),
    ]) {
        return;
    }
    let Some(net) = Net::open(env!("CARGO_BIN_EXE_netns-programs")) else { return };
    let peer = bench::compile("usrsctp_peer.c", &["-lusrsctp", "-lpthread"]);
    let peer = vec![peer.to_string_lossy().into_owned()];
    bench::run_column(column, &Namespaces::new(net, peer, Implementation::Usrsctp));
}
