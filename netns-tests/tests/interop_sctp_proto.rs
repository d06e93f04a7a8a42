//! sctp-proto as the other end of all scenarios.

use netns_tests::foreign::Implementation;
use netns_tests::interop::bench::{self, Namespaces};
use netns_tests::interop::matrix::Column;
use netns_tests::interop::proto;
use netns_tests::net::Net;

#[test]
#[ignore = "needs namespaces: cargo test -p netns-tests -- --ignored"]
fn udp() {
    let programs = env!("CARGO_BIN_EXE_netns-programs");
    let Some(net) = Net::open(programs) else { return };
    let peer = vec![programs.to_owned(), proto::NAME.to_owned()];
    bench::run_column(Column::ProtoUdp, &Namespaces::new(net, peer, Implementation::SctpProto));
}
