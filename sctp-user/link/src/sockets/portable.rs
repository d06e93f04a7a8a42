//! What works on systems other than Linux: single packets, and no error queues.
//!
//! Raw links need privileges anyway, so they open another raw socket and read ICMP messages from
//! it.

use std::io::{self, IoSliceMut};
use std::net::IpAddr;
use std::sync::Arc;
use std::task::Context;
use std::time::Duration;

use quinn_udp::{RecvMeta, UdpSocketState};
use tokio::net::UdpSocket;

use super::Carrier;
use super::errors::{ErrorReady, ErrorsRead};
#[cfg(feature = "raw")]
use super::icmp::IcmpSocket;
use super::io::Io;
#[cfg(feature = "raw")]
use super::ipv4;
use crate::IcmpError;

/// How many packets one receive call can take.
pub(super) const RECV_BATCH: usize = 1;
/// macOS and NetBSD give the length in host byte order and without the header. FreeBSD gives it as
/// it was sent, since version 11.
#[cfg(feature = "raw")]
pub(super) const IPV4_LENGTHS: ipv4::Lengths = ipv4::Lengths::Unknown;

/// Always 1: there is no segmentation offload.
pub(super) fn max_segments(_: &UdpSocketState) -> usize {
    1
}

/// Sends without the code point. These systems have no common, safe way to set it for one packet.
pub(super) fn send_marked(
    socket: &Io,
    state: &UdpSocketState,
    transmit: &quinn_udp::Transmit<'_>,
    _dscp: u8,
) -> io::Result<()> {
    state.try_send(socket.udp(), transmit)
}

/// Always 0: these systems do not say how many packets they dropped.
pub(super) fn overflows<T>(_: &T) -> u64 {
    0
}

/// Does nothing: there are no error queues.
pub(super) fn enable_errors(_: &Io, _v6: bool) -> io::Result<()> {
    Ok(())
}

/// Does nothing: the system chooses all flow labels.
pub(super) fn enable_flow_labels(_: &Io) {}

/// Sockets that receive the ICMP messages about packets of a raw link. A UDP link has none, because
/// UDP needs no privileges and these sockets do.
#[cfg(feature = "raw")]
pub(super) struct IcmpSockets(Vec<IcmpSocket>);

#[cfg(feature = "raw")]
impl IcmpSockets {
    /// Opens a socket for each IP version among `addrs`, if the system allows it.
    pub(super) fn open(carrier: Carrier, addrs: &[IpAddr]) -> Self {
        let open = |v6| {
            let opened = addrs
                .iter()
                .any(|addr| addr.is_ipv6() == v6)
                .then(|| IcmpSocket::open(v6))
                .transpose();
            opened.unwrap_or_else(|error| {
                tracing::debug!(%error, v6, "no ICMP errors will be received");
                None
            })
        };
        match carrier {
            Carrier::Udp => IcmpSockets(Vec::new()),
            Carrier::Ip => IcmpSockets([false, true].into_iter().filter_map(open).collect()),
        }
    }

    /// For links without a runtime.
    pub(super) fn none() -> Self {
        IcmpSockets(Vec::new())
    }

    /// Appends the errors that have arrived.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, errors: &mut Vec<IcmpError>) {
        for socket in &mut self.0 {
            socket.poll(cx, errors);
        }
    }
}

/// Without the feature `raw` there are no such sockets.
#[cfg(not(feature = "raw"))]
pub(super) struct IcmpSockets;

#[cfg(not(feature = "raw"))]
impl IcmpSockets {
    /// Opens nothing.
    pub(super) fn open(_: Carrier, _: &[IpAddr]) -> Self {
        IcmpSockets
    }

    /// For links without a runtime.
    pub(super) fn none() -> Self {
        IcmpSockets
    }

    /// Appends nothing.
    pub(super) fn poll(&mut self, _: &mut Context<'_>, _: &mut Vec<IcmpError>) {}
}

/// Does nothing: sockets report nothing that is not used.
pub(super) fn disable_unused_info(_: &Io, _: IpAddr) {}

/// Whether [`recv_one`] can wait for a datagram.
pub(super) const CAN_WAIT: bool = false;
/// How long it would wait.
pub(super) const RECV_WAIT: Duration = Duration::from_millis(1);

/// Always fails: there is no receive offload.
pub(super) fn set_offload(_: &Io, _on: bool) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Empty: these systems need no memory for control messages.
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

/// Never completes: there are no error events.
pub(super) fn error_event(_: &Arc<UdpSocket>) -> ErrorReady {
    Box::pin(std::future::pending())
}

pub(super) fn read_ready_errors(_: &UdpSocket, _: Carrier, _: IpAddr, _: impl FnMut(IcmpError)) {}

pub(super) fn read_errors(_: &Io, _: Carrier, _: IpAddr, _: impl FnMut(IcmpError)) -> ErrorsRead {
    ErrorsRead::default()
}
