//! SCTP directly in IP: protocol 132 over IPv4 and IPv6 through raw sockets.
//!
//! A raw socket needs privileges (CAP_NET_RAW on Linux, root elsewhere), and every one of them sees
//! all SCTP packets of the host. Several stacks get along as long as none answers for the others:
//! out-of-the-blue replies are off for native packets
//! ([`StackConfig::ootb_native`](crate::StackConfig::ootb_native)), and stacks claim the SCTP ports
//! they bind, so that a second one gets an error instead of half of the packets. With the kernel's
//! own SCTP there is no such agreement, see [`RawLink::kernel_sctp`].

mod bind;
mod config;
mod kernel;
mod link;

pub use bind::RawBindError;
pub use config::RawConfig;
pub use kernel::KernelSctp;
pub use link::RawLink;
