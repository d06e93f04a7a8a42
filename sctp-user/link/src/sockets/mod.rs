//! The parts that all links over sockets of the operating system share. The raw IP link of
//! `sctp-user` and the UDP link of `sctp-udp-encap` are made of them. They handle batches, source
//! addresses, DF, ECN, and errors that come back from the network.
//!
//! [`SocketLink`] does everything except opening its sockets. Where systems differ, there are two
//! modules with the same functions: `linux` (error queues, batches, offload) and `portable` (what
//! macOS and the BSDs have in common). `--cfg portable` selects the second one on Linux as well, so
//! that it can be tested there.

// Blocking calls exist only on Unix; other systems do not use the code for them.
#![cfg_attr(not(unix), allow(dead_code))]

#[cfg(feature = "raw")]
mod cut;
#[cfg(not(feature = "raw"))]
#[path = "uncut.rs"]
mod cut;
mod datagrams;
mod errors;
mod fragment;
#[cfg(all(
    feature = "raw",
    any(test, portable, not(any(target_os = "linux", target_os = "android")))
))]
#[cfg_attr(test, allow(dead_code))]
mod icmp;
mod io;
#[cfg(feature = "raw")]
mod ipv4;
mod set;
mod socket;
mod source;
#[cfg(test)]
mod useless;

#[cfg(all(any(target_os = "linux", target_os = "android"), not(portable)))]
#[path = "linux.rs"]
mod os;
#[cfg(any(not(any(target_os = "linux", target_os = "android")), portable))]
#[path = "portable.rs"]
mod os;

use std::net::IpAddr;

pub use set::{Carrier, SocketLink};

/// The first address that is listed twice, or together with the wildcard address of its family. Two
/// sockets of a link cannot be bound like that.
pub fn overlap(addrs: &[IpAddr]) -> Option<IpAddr> {
    let covers = |other: IpAddr, addr: IpAddr| {
        other == addr || (other.is_unspecified() && other.is_ipv4() == addr.is_ipv4())
    };
    let others = |index: usize| addrs.iter().enumerate().filter(move |(at, _)| *at != index);
    addrs
        .iter()
        .enumerate()
        .find(|(index, addr)| others(*index).any(|(_, other)| covers(*other, **addr)))
        .map(|(_, addr)| *addr)
}
