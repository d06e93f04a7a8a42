//! Linux: error queues, batches and segmentation offload.
//!
//! A socket with IP_RECVERR (IPV6_RECVERR) keeps an error queue, be it a UDP or a raw socket. Each
//! entry holds the ICMP type and code, the destination of the packet that caused it (for UDP, with
//! the port), and the beginning of that packet's payload: the SCTP common header and more.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::task::Context;
use std::time::Duration;

use bytes::Bytes;
use nix::cmsg_space;
use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, getsockopt, recvmsg, sendmsg,
    setsockopt, sockopt,
};
use quinn_udp::{EcnCodepoint, RecvMeta, UdpSocketState};
use sctp_user_core::interface::{on_interface, without_interface};
use sctp_user_core::{Encap, NoRoute, PathAddr, Unreachable};
use tokio::io::Interest;
use tokio::net::UdpSocket;

use super::Carrier;
use super::errors::{ErrorReady, ErrorsRead, meaning};
use super::io::Io;
#[cfg(feature = "raw")]
use super::ipv4;
use crate::IcmpError;

/// How many packets one receive call can take.
pub(super) const RECV_BATCH: usize = quinn_udp::BATCH_SIZE;
/// Raw sockets get IPv4 headers as they were sent.
#[cfg(feature = "raw")]
pub(super) const IPV4_LENGTHS: ipv4::Lengths = ipv4::Lengths::Network;

/// How many UDP datagrams one send call can hold.
pub(super) fn max_segments(state: &UdpSocketState) -> usize {
    state.max_gso_segments()
}

/// Sends packets with a Differentiated Services code point. `quinn_udp` can set only the ECN bits.
pub(super) fn send_marked(
    socket: &impl AsRawFd,
    _: &UdpSocketState,
    transmit: &quinn_udp::Transmit<'_>,
    dscp: u8,
) -> io::Result<()> {
    let byte = dscp << 2 | transmit.ecn.map_or(0, |ecn| ecn as u8);
    let class = i32::from(byte);
    let segment = transmit.segment_size.filter(|size| *size < transmit.contents.len());
    let segment = segment.map(|size| u16::try_from(size).unwrap_or(u16::MAX));
    let v4 = match transmit.src_ip {
        Some(IpAddr::V4(v4)) => Some(libc::in_pktinfo {
            ipi_ifindex: 0,
            ipi_spec_dst: libc::in_addr { s_addr: u32::from_ne_bytes(v4.octets()) },
            ipi_addr: libc::in_addr { s_addr: 0 },
        }),
        _ => None,
    };
    let v6 = match transmit.src_ip {
        Some(IpAddr::V6(v6)) => Some(libc::in6_pktinfo {
            ipi6_ifindex: 0,
            ipi6_addr: libc::in6_addr { s6_addr: v6.octets() },
        }),
        _ => None,
    };
    let mark = match transmit.destination.is_ipv4() {
        true => ControlMessage::Ipv4Tos(&byte),
        false => ControlMessage::Ipv6TClass(&class),
    };
    let mut control = vec![mark];
    control.extend(segment.as_ref().map(ControlMessage::UdpGsoSegments));
    control.extend(v4.as_ref().map(ControlMessage::Ipv4PacketInfo));
    control.extend(v6.as_ref().map(ControlMessage::Ipv6PacketInfo));
    let to = SockaddrStorage::from(transmit.destination);
    let parts = [IoSlice::new(transmit.contents)];
    loop {
        match sendmsg(socket.as_raw_fd(), &parts, &control, MsgFlags::empty(), Some(&to)) {
            Ok(_) => return Ok(()),
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// How many packets the system has dropped since the socket was opened because the receive buffer
/// was full.
pub(super) fn overflows(socket: &impl AsFd) -> u64 {
    getsockopt(socket, MemoryInfo).map_or(0, |info| u64::from(info[SK_MEMINFO_DROPS]))
}

/// SO_MEMINFO, which `libc` lacks. The number is right on all architectures but SPARC and PA-RISC.
const SO_MEMINFO: libc::c_int = 55;
/// The index of the number of drops in it.
const SK_MEMINFO_DROPS: usize = libc::SK_MEMINFO_DROPS as usize;
/// How many numbers it has.
const SK_MEMINFO_VARS: usize = SK_MEMINFO_DROPS + 1;

#[derive(Clone, Copy)]
struct MemoryInfo;

nix::getsockopt_impl!(
    MemoryInfo,
    libc::SOL_SOCKET,
    SO_MEMINFO,
    [u32; SK_MEMINFO_VARS],
    sockopt::GetStruct<[u32; SK_MEMINFO_VARS]>
);

/// Makes the system keep an error queue for `socket`.
pub(super) fn enable_errors(socket: &Io, v6: bool) -> io::Result<()> {
    if v6 {
        setsockopt(socket, sockopt::Ipv6RecvErr, &true)?;
    } else {
        setsockopt(socket, sockopt::Ipv4RecvErr, &true)?;
    }
    Ok(())
}

/// Makes the system send the flow label in the destination of a packet. Where that is 0, the system
/// still chooses one itself.
pub(super) fn enable_flow_labels(socket: &impl AsFd) {
    // Without this option packets still go out, with flow labels that the system chooses.
    if let Err(error) = setsockopt(socket, SendFlowInfo, &true) {
        tracing::debug!(%error, "cannot set flow labels, so the system chooses them");
    }
}

/// IPV6_FLOWINFO_SEND: use the flow label in the destination.
#[derive(Clone, Copy)]
struct SendFlowInfo;

nix::setsockopt_impl!(
    SendFlowInfo,
    libc::IPPROTO_IPV6,
    libc::IPV6_FLOWINFO_SEND,
    bool,
    sockopt::SetBool
);

/// Does nothing: on Linux the error queues report everything.
pub(super) struct IcmpSockets;

impl IcmpSockets {
    pub(super) fn open(_: Carrier, _: &[IpAddr]) -> Self {
        IcmpSockets
    }

    /// For links without a runtime.
    pub(super) fn none() -> Self {
        IcmpSockets
    }

    pub(super) fn poll(&mut self, _: &mut Context<'_>, _: &mut Vec<IcmpError>) {}
}

/// Switches off information that comes with every received datagram and that nobody uses: the time
/// of arrival and, when the socket is bound to one address, the destination.
pub(super) fn disable_unused_info(socket: &Io, addr: IpAddr) {
    let off = |result: nix::Result<()>| {
        if let Err(error) = result {
            tracing::debug!(%error, "cannot switch off what is reported with each datagram");
        }
    };
    off(setsockopt(socket, sockopt::ReceiveTimestampns, &false));
    match addr {
        _ if addr.is_unspecified() => {}
        IpAddr::V4(_) => off(setsockopt(socket, sockopt::Ipv4PacketInfo, &false)),
        IpAddr::V6(_) => off(setsockopt(socket, sockopt::Ipv6RecvPacketInfo, &false)),
    }
}

/// Whether [`recv_one`] can wait for a datagram.
pub(super) const CAN_WAIT: bool = true;
/// The longest time that it waits. This is shorter than the delay of acknowledgements, so a pending
/// acknowledgement seldom forces the caller to wait in another way.
pub(super) const RECV_WAIT: Duration = Duration::from_millis(50);

/// Switches receive offload (UDP_GRO) on or off.
pub(super) fn set_offload(socket: &Io, on: bool) -> io::Result<()> {
    Ok(setsockopt(socket, sockopt::UdpGroSegment, &on)?)
}

/// Memory for the control messages that come with a datagram. It is on the heap because there it is
/// aligned for the headers in it.
pub(super) struct Control(Vec<u8>);

impl Default for Control {
    fn default() -> Self {
        Control(cmsg_space!(libc::in6_pktinfo, i32, i32))
    }
}

/// Receives one datagram, or several that receive offload has joined, into `buffer`. Waits for it
/// if `wait` is set and the socket is in blocking mode.
pub(super) fn recv_one(
    socket: &Io,
    _: &UdpSocketState,
    buffer: &mut [u8],
    control: &mut Control,
    wait: bool,
) -> io::Result<RecvMeta> {
    let flags = if wait { MsgFlags::empty() } else { MsgFlags::MSG_DONTWAIT };
    let mut parts = [IoSliceMut::new(buffer)];
    let message =
        recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut parts, Some(&mut control.0), flags)?;
    let mut meta = RecvMeta::default();
    meta.len = message.bytes;
    meta.stride = message.bytes;
    let from = message.address.as_ref();
    meta.addr = if let Some(v4) = from.and_then(SockaddrStorage::as_sockaddr_in) {
        (*v4).into()
    } else if let Some(v6) = from.and_then(SockaddrStorage::as_sockaddr_in6) {
        (*v6).into()
    } else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    for control in message.cmsgs().into_iter().flatten() {
        match control {
            ControlMessageOwned::Ipv4PacketInfo(info) => {
                meta.dst_ip = Some(IpAddr::from(info.ipi_addr.s_addr.to_ne_bytes()));
            }
            ControlMessageOwned::Ipv6PacketInfo(info) => {
                meta.dst_ip = Some(IpAddr::from(info.ipi6_addr.s6_addr));
                meta.interface_index = Some(index(info.ipi6_ifindex));
            }
            ControlMessageOwned::UdpGroSegments(size) => {
                meta.stride = usize::try_from(size).unwrap_or(meta.len);
            }
            ControlMessageOwned::Ipv4Tos(byte) => meta.ecn = EcnCodepoint::from_bits(byte),
            ControlMessageOwned::Ipv6TClass(class) => {
                meta.ecn = u8::try_from(class & 0xff).ok().and_then(EcnCodepoint::from_bits);
            }
            _ => {}
        }
    }
    Ok(meta)
}

/// Completes at the next error event of `socket`. Read readiness is not enough to learn of errors:
/// an error alone does not make the socket readable.
pub(super) fn error_event(socket: &Arc<UdpSocket>) -> ErrorReady {
    let socket = Arc::clone(socket);
    Box::pin(async move {
        if socket.ready(Interest::ERROR).await.is_err() {
            // The runtime is going away; nobody will be woken any more.
            std::future::pending::<()>().await;
        }
    })
}

/// Reads the error queue after [`error_event`] has completed. Resets the readiness, so that the
/// next [`error_event`] waits for a new error.
pub(super) fn read_ready_errors(
    socket: &UdpSocket,
    carrier: Carrier,
    bound: IpAddr,
    report: impl FnMut(IcmpError),
) {
    // "Would block" clears the readiness. If the queue was too long to be emptied in one go, the
    // socket stays ready.
    let _ = socket.try_io(Interest::ERROR, || {
        match read_errors(socket, carrier, bound, report).entries {
            MAX_ENTRIES_READ => Ok(()),
            _ => io::Result::Err(io::ErrorKind::WouldBlock.into()),
        }
    });
}

/// Reads the error queue of a socket that is bound to `bound`, at most `MAX_ENTRIES_READ` entries.
pub(super) fn read_errors(
    socket: &impl AsRawFd,
    carrier: Carrier,
    bound: IpAddr,
    mut report: impl FnMut(IcmpError),
) -> ErrorsRead {
    let mut read = ErrorsRead::default();
    // On the heap because there it is aligned for the headers in it.
    let mut control = cmsg_space!(
        libc::sock_extended_err,
        libc::sockaddr_in6,
        libc::in6_pktinfo,
        libc::timespec,
        [i32; 4]
    );
    for _ in 0..MAX_ENTRIES_READ {
        let mut quote = [0; MAX_QUOTE];
        let mut parts = [IoSliceMut::new(&mut quote)];
        let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
        let message = match recvmsg::<SockaddrStorage>(
            socket.as_raw_fd(),
            &mut parts,
            Some(&mut control),
            flags,
        ) {
            Ok(message) => message,
            Err(Errno::EINTR) => continue,
            Err(_) => break,
        };
        // If the socket is bound to one address, the entry does not say which address it concerns.
        let local = (!bound.is_unspecified()).then_some(bound);
        let mut entry = Entry { to: message.address, local, ..Entry::default() };
        for control in message.cmsgs().into_iter().flatten() {
            match control {
                ControlMessageOwned::Ipv4RecvErr(error, offender) => {
                    entry.error = Some(error);
                    entry.offender =
                        offender.map(|a| IpAddr::from(a.sin_addr.s_addr.to_ne_bytes()));
                }
                ControlMessageOwned::Ipv6RecvErr(error, offender) => {
                    entry.error = Some(error);
                    entry.offender = offender.map(|a| IpAddr::from(a.sin6_addr.s6_addr));
                }
                // The destination of the ICMP message, which is the source of the packet it is
                // about.
                ControlMessageOwned::Ipv4PacketInfo(info) => {
                    entry.local = Some(IpAddr::from(info.ipi_addr.s_addr.to_ne_bytes()));
                }
                ControlMessageOwned::Ipv6PacketInfo(info) => {
                    let addr = info.ipi6_addr.s6_addr.into();
                    entry.local = Some(on_interface(addr, index(info.ipi6_ifindex)));
                }
                _ => {}
            }
        }
        let len = message.bytes;
        read.entries += 1;
        match entry.origin() {
            Origin::Network => read.from_network += 1,
            Origin::OwnHost { mtu } => read.local_mtu = mtu.or(read.local_mtu),
            Origin::Other => {}
        }
        if let Some((to, kind)) = entry.interpret(carrier) {
            let quoted = Bytes::copy_from_slice(quote.get(..len).unwrap_or_default());
            tracing::debug!(?to, ?kind, quoted = quoted.len(), "icmp error");
            report(IcmpError { to, kind, quoted });
        }
    }
    read
}

/// One entry of the error queue.
#[derive(Default)]
struct Entry {
    error: Option<libc::sock_extended_err>,
    to: Option<SockaddrStorage>,
    local: Option<IpAddr>,
    /// Who sent the ICMP message.
    offender: Option<IpAddr>,
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
                if e.ee_origin == libc::SO_EE_ORIGIN_ICMP
                    || e.ee_origin == libc::SO_EE_ORIGIN_ICMP6 =>
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

    fn interpret(&self, carrier: Carrier) -> Option<(PathAddr, Unreachable)> {
        let error = self.error?;
        let kind = meaning(
            carrier,
            error.ee_origin == libc::SO_EE_ORIGIN_ICMP6,
            error.ee_type,
            error.ee_code,
            error.ee_info,
        );
        let Origin::Network = self.origin() else { return None };
        // The message comes from this host itself: it cannot find the neighbour, or its firewall
        // rejects the packet.
        let from_here = self.offender.is_some_and(|a| self.local.map(without_interface) == Some(a));
        let kind = match kind? {
            Unreachable::Destination if from_here => Unreachable::NoRoute(NoRoute::Host),
            kind => kind,
        };
        let to = self.to?;
        let (remote, remote_port) = if let Some(v4) = to.as_sockaddr_in() {
            (IpAddr::V4(v4.ip()), v4.port())
        } else {
            let v6 = to.as_sockaddr_in6()?;
            (on_interface(v6.ip().into(), v6.scope_id()), v6.port())
        };
        let local = self.local.filter(|local| !local.is_unspecified());
        let encap = match carrier {
            Carrier::Udp => Encap::Udp { remote_port },
            Carrier::Ip => Encap::Native,
        };
        Some((PathAddr { local, remote, encap }, kind))
    }
}

/// Converts an interface index, whose type differs between Linux and Android.
fn index(raw: impl TryInto<u32>) -> u32 {
    raw.try_into().unwrap_or(0)
}

fn mtu(info: u32) -> u16 {
    u16::try_from(info).unwrap_or(u16::MAX)
}

/// Enough for the SCTP common header and the INIT chunk that the core wants to see before it
/// believes an error.
const MAX_QUOTE: usize = 128;
/// Bounds the work of one call.
const MAX_ENTRIES_READ: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends two marked packets of three bytes from `addr` to itself. Returns the length and
    /// traffic class of each datagram that arrives.
    async fn loop_back(addr: IpAddr) -> io::Result<Vec<(usize, u8)>> {
        let receiver = UdpSocket::bind((addr, 0)).await?;
        let sender = UdpSocket::bind((addr, 0)).await?;
        if addr.is_ipv4() {
            setsockopt(&receiver, sockopt::IpRecvTos, &true)?;
        } else {
            setsockopt(&receiver, sockopt::Ipv6RecvTClass, &true)?;
        }
        let state = UdpSocketState::new((&sender).into())?;
        let transmit = quinn_udp::Transmit {
            destination: receiver.local_addr()?,
            ecn: Some(EcnCodepoint::Ect0),
            contents: b"abcdef",
            segment_size: (max_segments(&state) > 1).then_some(3),
            src_ip: Some(addr),
        };
        send_marked(&sender, &state, &transmit, 46)?;
        let mut got = Vec::new();
        while got.iter().map(|(len, _)| len).sum::<usize>() < 6 {
            receiver.readable().await?;
            let mut buffer = [0; 100];
            let mut parts = [IoSliceMut::new(&mut buffer)];
            let mut control = cmsg_space!([i32; 4]);
            let read = receiver.try_io(Interest::READABLE, || {
                let fd = receiver.as_raw_fd();
                let flags = MsgFlags::MSG_DONTWAIT;
                let message =
                    recvmsg::<SockaddrStorage>(fd, &mut parts, Some(&mut control), flags)?;
                let class = message.cmsgs()?.find_map(|c| match c {
                    ControlMessageOwned::Ipv4Tos(byte) => Some(byte),
                    ControlMessageOwned::Ipv6TClass(class) => u8::try_from(class).ok(),
                    _ => None,
                });
                Ok((message.bytes, class.unwrap_or(0)))
            });
            match read {
                Ok(packet) => got.push(packet),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(got)
    }

    /// IPV6_FLOWINFO: the system reports the flow label of received packets.
    #[derive(Clone, Copy)]
    struct ReceiveFlowInfo;
    nix::setsockopt_impl!(
        ReceiveFlowInfo,
        libc::IPPROTO_IPV6,
        libc::IPV6_FLOWINFO,
        bool,
        sockopt::SetBool
    );

    #[tokio::test]
    async fn packets_carry_the_flow_label_of_their_destination() {
        let Ok(receiver) = UdpSocket::bind("[::1]:0").await else { return };
        let sender = UdpSocket::bind("[::1]:0").await.unwrap();
        setsockopt(&receiver, ReceiveFlowInfo, &true).unwrap();
        let state = UdpSocketState::new((&sender).into()).unwrap();
        enable_flow_labels(&sender);
        let label = |socket: &UdpSocket| {
            let mut buffer = [0; 100];
            let mut parts = [IoSliceMut::new(&mut buffer)];
            let mut control = cmsg_space!([i32; 4]);
            let flags = MsgFlags::MSG_DONTWAIT;
            let message = recvmsg::<SockaddrStorage>(
                socket.as_raw_fd(),
                &mut parts,
                Some(&mut control),
                flags,
            )?;
            let info = message.cmsgs()?.find_map(|control| match control {
                ControlMessageOwned::Unknown(unknown) => unknown.data_bytes.first_chunk().copied(),
                _ => None,
            });
            Ok(u32::from_be_bytes(info.unwrap_or_default()) & 0xf_ffff)
        };
        let std::net::SocketAddr::V6(to) = receiver.local_addr().unwrap() else {
            unreachable!("IPv6")
        };
        for marked in [false, true] {
            let mut to = to;
            to.set_flowinfo(0x1_2345_u32.to_be());
            let transmit = quinn_udp::Transmit {
                destination: to.into(),
                ecn: None,
                contents: b"abc",
                segment_size: None,
                src_ip: None,
            };
            if marked {
                send_marked(&sender, &state, &transmit, 46).unwrap();
            } else {
                state.try_send((&sender).into(), &transmit).unwrap();
            }
            receiver.readable().await.unwrap();
            assert_eq!(receiver.try_io(Interest::READABLE, || label(&receiver)).unwrap(), 0x1_2345);
        }
    }

    #[tokio::test]
    async fn packets_carry_their_code_point_beside_ecn() {
        let class = 46 << 2 | 2;
        let got = loop_back([127, 0, 0, 1].into()).await.unwrap();
        assert!(got.iter().all(|(len, byte)| (*byte, len % 3) == (class, 0)), "{got:?}");
        // There are still hosts without IPv6.
        if let Ok(got) = loop_back(std::net::Ipv6Addr::LOCALHOST.into()).await {
            assert!(got.iter().all(|(_, byte)| *byte == class), "{got:?}");
        }
    }
}
