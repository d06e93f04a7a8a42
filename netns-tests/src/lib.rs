//! Tests on real Linux network namespaces: real links, real addresses, several "hosts" on one
//! machine.
//!
//! A [`Net`](net::Net) is a bench: [hosts](net::Host), [links](link::Link) between them, switches,
//! routers and [NATs](nat::Nat). Every link is captured, and tshark and a lint judge every capture
//! at the end. Captures and logs of a failed test are kept. The bench runs `ip`, `nft` and similar
//! programs inside namespaces, by `ip netns exec`: no process changes its own namespace, and the
//! machine's own interfaces stay as they are. Without root the tests say so and are skipped; with
//! `CI=true` they fail instead.
//!
//! ```no_run
//! use netns_tests::net::Net;
//!
//! # let programs = "netns-programs";
//! let Some(net) = Net::open(programs) else { return };
//! let (client, server) = (net.host("client"), net.host("server"));
//! let first = net.link(&client, "10.1.0.1/24 fd01::1/64", &server, "10.1.0.2/24 fd01::2/64");
//! let _second = net.link(&client, "10.2.0.1/24 fd02::1/64", &server, "10.2.0.2/24 fd02::2/64");
//! let mut echo = net.start(&server, &["echo-server", "raw", "7"]);
//! echo.ready();
//! first.silence();
//! ```

pub mod capture;
pub mod echo;
pub mod failover;
pub mod foreign;
pub mod gaps;
pub mod interop;
mod judge;
pub mod link;
pub mod nat;
pub mod net;
pub mod netns;
pub mod open;
pub mod pool;
pub mod rsplib;
pub mod scope;
pub mod sections;
pub mod soak;
pub mod topology;
pub mod traffic;
pub mod vm;
#[cfg(target_os = "linux")]
pub mod wire;
