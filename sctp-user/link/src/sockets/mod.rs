//! What links over sockets of the operating system have in common, for the raw IP link of
//! `sctp-user` and the UDP link of `sctp-udp-encap`: batches, source addresses, DF, ECN, and errors that come back from
//! the network.
//!
//! [`SocketLink`] is the whole link but for opening its sockets. Where systems differ there is one
//! module per kind of system with the same functions: `linux` (error queues, batches, offload) and
//! `portable` (what macOS and the BSDs have in common). `--cfg portable` takes the second on Linux,
//! too, so that it can be run and not only compiled.

// What is for blocking calls alone, which are there on Unix.
#![cfg_attr(not(unix), allow(dead_code))]

#[cfg(feature = "raw")]
mod cut;
#[cfg(not(feature = "raw"))]
#[path = "uncut.rs"]
mod cut;
mod datagrams;
mod errors;
mod fragment;
#[cfg(any(test, portable, not(any(target_os = "linux", target_os = "android"))))]
#[cfg_attr(test, allow(dead_code))]
mod icmp;
mod io;
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

/// The first address that is listed twice, or beside the wildcard of its family: no two sockets of
/// a link can be bound so.
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
