//! What can be relied on beyond Linux: single packets, and no errors on the sockets themselves.
//!
//! Where they need privileges anyhow, links read the ICMP messages from a raw socket of its own.

use std::io::{self, IoSliceMut};
use std::net::IpAddr;
use std::sync::Arc;
use std::task::Context;
use std::time::Duration;

use quinn_udp::{RecvMeta, UdpSocketState};
use tokio::net::UdpSocket;

use super::errors::{Drained, ErrorReady};
use super::icmp::IcmpSocket;
use super::io::Io;
use super::{Carrier, ipv4};
use crate::IcmpError;

/// Packets that one receive call may take.
pub(super) const RECV_BATCH: usize = 1;
/// macOS and NetBSD give the length in host order and without the header, FreeBSD since version 11
/// as it was sent.
pub(super) const IPV4_LENGTHS: ipv4::Lengths = ipv4::Lengths::Unknown;

/// There is no segmentation offload.
pub(super) fn max_segments(_: &UdpSocketState) -> usize {
    1
}

/// Sends without the mark: there is no safe way to set it for one packet that all of these systems
/// have.
pub(super) fn send_marked(
    socket: &Io,
    state: &UdpSocketState,
    transmit: &quinn_udp::Transmit<'_>,
    _dscp: u8,
) -> io::Result<()> {
    state.try_send(socket.udp(), transmit)
}

/// Nobody tells how many packets found no room.
pub(super) fn overflows<T>(_: &T) -> u64 {
    0
}

/// There are no error queues.
pub(super) fn enable_errors(_: &Io, _v6: bool) -> io::Result<()> {
    Ok(())
}

/// The flow labels are the system's.
pub(super) fn enable_flow_labels(_: &Io) {}

/// ICMP messages about packets of a raw link. UDP does without: it needs no privileges, and these
/// sockets do.
pub(super) struct OtherErrors(Vec<IcmpSocket>);

impl OtherErrors {
    /// Opens a socket for each IP version among the own addresses, if the system allows.
    pub(super) fn open(carrier: Carrier, addrs: &[IpAddr]) -> Self {
        let open = |v6| {
            let opened = addrs
                .iter()
                .any(|addr| addr.is_ipv6() == v6)
                .then(|| IcmpSocket::open(v6))
                .transpose();
            opened.unwrap_or_else(|error| {
                tracing::debug!(%error, v6, "no icmp errors will be heard");
                None
            })
        };
        match carrier {
            Carrier::Udp => OtherErrors(Vec::new()),
            Carrier::Ip => OtherErrors([false, true].into_iter().filter_map(open).collect()),
        }
    }

    /// For links that no runtime watches.
    pub(super) fn none() -> Self {
        OtherErrors(Vec::new())
    }

    /// Appends what has arrived.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, errors: &mut Vec<IcmpError>) {
        for socket in &mut self.0 {
            socket.poll(cx, errors);
        }
    }
}

/// Everything that sockets are made to tell is of use.
pub(super) fn spare(_: &Io, _: IpAddr) {}

/// Whether [`recv_one`] can wait.
pub(super) const CAN_WAIT: bool = false;
/// How long it would.
pub(super) const RECV_WAIT: Duration = Duration::from_millis(1);

/// There is none.
pub(super) fn set_offload(_: &Io, _on: bool) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Nothing is kept between calls.
#[derive(Default)]
pub(super) struct Control(());

/// Receives one datagram into `buffer`.
pub(super) fn recv_one(
    socket: &Io,
    state: &UdpSocketState,
    buffer: &mut [u8],
    _: &mut Control,
    _wait: bool,
) -> io::Result<RecvMeta> {
    let mut metas = [RecvMeta::default()];
    state.recv(socket.udp(), &mut [IoSliceMut::new(buffer)], &mut metas)?;
    Ok(metas[0])
}

/// Never completes.
pub(super) fn wait(_: &Arc<UdpSocket>) -> ErrorReady {
    Box::pin(std::future::pending())
}

pub(super) fn on_ready(_: &UdpSocket, _: Carrier, _: IpAddr, _: impl FnMut(IcmpError)) {}

pub(super) fn drain(_: &Io, _: Carrier, _: IpAddr, _: impl FnMut(IcmpError)) -> Drained {
    Drained::default()
}
