//! sctp-proto over UDP.

use crate::options::Options;
use crate::proto::Proto;
use crate::udp_loop;

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    udp_loop::run(options, |server| Proto::new(options, server))
}
