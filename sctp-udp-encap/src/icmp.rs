//! Errors that come back from the network.
//!
//! On Linux a socket with IP_RECVERR (IPV6_RECVERR) keeps an error queue: each entry holds the ICMP type and code, the
//! destination of the packet that caused it with its UDP port, and the head of that packet's UDP payload, which is the
//! SCTP common header and more. Other systems tell an unconnected socket next to nothing, so there is nothing to read.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Waker;

use sctp_user::link::IcmpError;
use tokio::net::UdpSocket;

/// Errors read from a queue while sending, waiting for the next receive call.
#[derive(Debug, Default)]
pub(crate) struct PendingErrors {
    queue: VecDeque<IcmpError>,
    reader: Option<Waker>,
}

impl PendingErrors {
    /// Adds an error and wakes the reader. Beyond a bound the newest ones are dropped: they are hints.
    pub(crate) fn push(&mut self, error: IcmpError) {
        if self.queue.len() < MAX_PENDING {
            self.queue.push_back(error);
        }
        if let Some(waker) = self.reader.take() {
            waker.wake();
        }
    }

    /// Moves everything into `errors`, and wakes `waker` when more arrives.
    pub(crate) fn take(&mut self, errors: &mut Vec<IcmpError>, waker: &Waker) {
        errors.extend(self.queue.drain(..));
        if self.reader.as_ref().is_none_or(|old| !old.will_wake(waker)) {
            self.reader = Some(waker.clone());
        }
    }
}

/// What [`drain`] found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Drained {
    /// Entries of any origin.
    pub(crate) entries: usize,
    /// Entries caused by ICMP messages. Each of them can have made one send or receive call fail.
    pub(crate) from_network: usize,
    /// The MTU in the latest entry made by the own host because a packet was too big for its interface.
    pub(crate) local_mtu: Option<u16>,
}

/// Completes when the system reports an error on a socket.
pub(crate) type ErrorReady = Pin<Box<dyn Future<Output = ()> + Send>>;

const MAX_PENDING: usize = 256;

#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) use linux::{drain, on_ready, wait};
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) use others::{drain, on_ready, wait};

#[cfg(any(target_os = "linux", target_os = "android"))]
mod linux {
    use std::io::{self, IoSliceMut};
    use std::net::IpAddr;
    use std::os::fd::AsRawFd;

    use bytes::Bytes;
    use nix::cmsg_space;
    use nix::errno::Errno;
    use nix::libc;
    use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg};
    use sctp_user_core::{Encap, PathAddr, Unreachable};
    use tokio::io::Interest;

    use super::*;

    /// A future for the next error event of `socket`. Plain read readiness does not tell: an error alone makes a socket
    /// neither readable nor quiet.
    pub(crate) fn wait(socket: &Arc<UdpSocket>) -> ErrorReady {
        let socket = Arc::clone(socket);
        Box::pin(async move {
            if socket.ready(Interest::ERROR).await.is_err() {
                // The runtime is going away; nobody will be woken any more.
                std::future::pending::<()>().await;
            }
        })
    }

    /// Reads the error queue after [`wait`] completed, and makes the next error event a new one.
    pub(crate) fn on_ready(socket: &UdpSocket, report: impl FnMut(IcmpError)) {
        // "Would block" clears the readiness; a queue that was too long to be emptied stays ready.
        let _ = socket.try_io(Interest::ERROR, || match drain(socket, report).entries {
            MAX_PER_DRAIN => Ok(()),
            _ => io::Result::Err(io::ErrorKind::WouldBlock.into()),
        });
    }

    /// Reads the error queue until it is empty, or a good part of it.
    pub(crate) fn drain(socket: &UdpSocket, mut report: impl FnMut(IcmpError)) -> Drained {
        let mut drained = Drained::default();
        // On the heap, where it is aligned for the headers in it.
        let mut control = cmsg_space!(
            libc::sock_extended_err,
            libc::sockaddr_in6,
            libc::in6_pktinfo,
            libc::timespec,
            [i32; 4]
        );
        for _ in 0..MAX_PER_DRAIN {
            let mut quote = [0; MAX_QUOTE];
            let mut parts = [IoSliceMut::new(&mut quote)];
            let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
            let message =
                match recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut parts, Some(&mut control), flags) {
                    Ok(message) => message,
                    Err(Errno::EINTR) => continue,
                    Err(_) => break,
                };
            let mut entry = Entry { to: message.address, ..Entry::default() };
            for control in message.cmsgs().into_iter().flatten() {
                match control {
                    ControlMessageOwned::Ipv4RecvErr(error, _)
                    | ControlMessageOwned::Ipv6RecvErr(error, _) => {
                        entry.error = Some(error);
                    }
                    // The destination of the ICMP message, so the source of the packet it is about.
                    ControlMessageOwned::Ipv4PacketInfo(info) => {
                        entry.local = Some(IpAddr::from(info.ipi_addr.s_addr.to_ne_bytes()));
                    }
                    ControlMessageOwned::Ipv6PacketInfo(info) => {
                        entry.local = Some(IpAddr::from(info.ipi6_addr.s6_addr));
                    }
                    _ => {}
                }
            }
            let len = message.bytes;
            drained.entries += 1;
            match entry.origin() {
                Origin::Network => drained.from_network += 1,
                Origin::OwnHost { mtu } => drained.local_mtu = mtu.or(drained.local_mtu),
                Origin::Other => {}
            }
            if let Some((to, kind)) = entry.interpret() {
                let quoted = Bytes::copy_from_slice(quote.get(..len).unwrap_or_default());
                tracing::debug!(?to, ?kind, quoted = quoted.len(), "icmp error");
                report(IcmpError { to, kind, quoted });
            }
        }
        drained
    }

    /// One entry of the error queue.
    #[derive(Default)]
    struct Entry {
        error: Option<libc::sock_extended_err>,
        to: Option<SockaddrStorage>,
        local: Option<IpAddr>,
    }

    enum Origin {
        Network,
        OwnHost { mtu: Option<u16> },
        Other,
    }

    impl Entry {
        fn origin(&self) -> Origin {
            match self.error {
                Some(e)
                    if e.ee_origin == libc::SO_EE_ORIGIN_ICMP || e.ee_origin == libc::SO_EE_ORIGIN_ICMP6 =>
                {
                    Origin::Network
                }
                Some(e) if e.ee_origin == libc::SO_EE_ORIGIN_LOCAL => {
                    let too_big = e.ee_errno == libc::EMSGSIZE as u32;
                    Origin::OwnHost { mtu: too_big.then(|| mtu(e.ee_info)) }
                }
                _ => Origin::Other,
            }
        }

        fn interpret(&self) -> Option<(PathAddr, Unreachable)> {
            let error = self.error?;
            let kind = super::kind(
                error.ee_origin == libc::SO_EE_ORIGIN_ICMP6,
                error.ee_type,
                error.ee_code,
                error.ee_info,
            );
            let Origin::Network = self.origin() else { return None };
            let to = self.to?;
            let (remote, remote_port) = if let Some(v4) = to.as_sockaddr_in() {
                (IpAddr::V4(v4.ip()), v4.port())
            } else {
                let v6 = to.as_sockaddr_in6()?;
                (IpAddr::V6(v6.ip()), v6.port())
            };
            let local = self.local.filter(|local| !local.is_unspecified());
            Some((PathAddr { local, remote, encap: Encap::Udp { remote_port } }, kind?))
        }
    }

    fn mtu(info: u32) -> u16 {
        u16::try_from(info).unwrap_or(u16::MAX)
    }

    /// More than the SCTP common header and the INIT chunk that a believable quote must show.
    const MAX_QUOTE: usize = 128;
    /// Bounds the work of one call.
    const MAX_PER_DRAIN: usize = 256;
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod others {
    use super::*;

    pub(crate) fn wait(_: &Arc<UdpSocket>) -> ErrorReady {
        Box::pin(std::future::pending())
    }

    pub(crate) fn on_ready(_: &UdpSocket, _: impl FnMut(IcmpError)) {}

    pub(crate) fn drain(_: &UdpSocket, _: impl FnMut(IcmpError)) -> Drained {
        Drained::default()
    }
}

/// What an ICMP message means to SCTP (RFC 9260 sec 10, RFC 6951 sec 5.5); `None` for those that mean nothing.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn kind(v6: bool, icmp_type: u8, code: u8, info: u32) -> Option<sctp_user_core::Unreachable> {
    use sctp_user_core::Unreachable;

    let too_big = || Unreachable::PacketTooBig { ip_mtu: u16::try_from(info).unwrap_or(u16::MAX) };
    match (v6, icmp_type, code) {
        // Destination unreachable: protocol, port. Nobody is at the UDP port, so nobody speaks SCTP there.
        (false, 3, 2 | 3) => Some(Unreachable::Protocol),
        // Fragmentation needed. Routers older than RFC 1191 name no MTU, which teaches nothing.
        (false, 3, 4) => (info != 0).then(too_big),
        (false, 3, _) => Some(Unreachable::Destination),
        // Destination unreachable: port.
        (true, 1, 4) => Some(Unreachable::Protocol),
        (true, 1, _) => Some(Unreachable::Destination),
        (true, 2, _) => (info != 0).then(too_big),
        // Parameter problem: unrecognized next header.
        (true, 4, 1) => Some(Unreachable::Protocol),
        _ => None,
    }
}

#[cfg(all(test, any(target_os = "linux", target_os = "android")))]
mod tests {
    use sctp_user_core::Unreachable;

    use super::*;

    #[test]
    fn meaning_of_icmp_types() {
        assert_eq!(kind(false, 3, 3, 0), Some(Unreachable::Protocol));
        assert_eq!(kind(false, 3, 2, 0), Some(Unreachable::Protocol));
        assert_eq!(kind(false, 3, 1, 0), Some(Unreachable::Destination));
        assert_eq!(kind(false, 3, 13, 0), Some(Unreachable::Destination));
        assert_eq!(kind(false, 3, 4, 1400), Some(Unreachable::PacketTooBig { ip_mtu: 1400 }));
        assert_eq!(kind(false, 3, 4, 0), None);
        assert_eq!(kind(false, 11, 0, 0), None, "time exceeded");
        assert_eq!(kind(true, 1, 4, 0), Some(Unreachable::Protocol));
        assert_eq!(kind(true, 1, 0, 0), Some(Unreachable::Destination));
        assert_eq!(kind(true, 2, 0, 1280), Some(Unreachable::PacketTooBig { ip_mtu: 1280 }));
        assert_eq!(kind(true, 2, 0, 1 << 20), Some(Unreachable::PacketTooBig { ip_mtu: u16::MAX }));
        assert_eq!(kind(true, 4, 1, 0), Some(Unreachable::Protocol));
        assert_eq!(kind(true, 4, 0, 0), None);
        assert_eq!(kind(true, 3, 0, 0), None, "time exceeded");
    }
}
