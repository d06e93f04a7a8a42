//! SCTP directly in IP: protocol 132 over IPv4 and IPv6, through raw sockets.
//!
//! A raw socket needs privileges (CAP_NET_RAW on Linux, root elsewhere), and every raw socket
//! receives all SCTP packets of the host. So several stacks can work on one host only if none
//! answers packets that are meant for another. Therefore stacks do not reply to out-of-the-blue
//! packets of native SCTP ([`StackConfig::ootb_native`](crate::StackConfig::ootb_native)). They
//! also claim the SCTP ports they bind, so that a second process that wants the same port gets an
//! error. The kernel's own SCTP does not follow these rules; see [`RawLink::kernel_sctp`].

mod bind;
mod config;
mod kernel;
mod link;

pub use bind::RawBindError;
pub use config::RawConfig;
pub use kernel::KernelSctp;
pub use link::RawLink;
