//! sctp-proto as the other end of all scenarios.

use netns_tests::interop::bench::{self, Namespaces};
use netns_tests::interop::matrix::Column;
use netns_tests::interop::proto;
use netns_tests::net::Net;
use workspace_tests::lint::rules;

#[test]
fn udp() {
    let programs = env!("CARGO_BIN_EXE_netns-programs");
    let Some(net) = Net::open(programs) else { return };
    // It keeps its tag when a peer that restarts is somebody new to it, and the lint cannot tell the two associations apart.
    net.allow(&rules::INITIAL_TSN);
    let peer = vec![programs.to_owned(), proto::NAME.to_owned()];
    bench::run_column(Column::ProtoUdp, &Namespaces::new(net, peer));
}
