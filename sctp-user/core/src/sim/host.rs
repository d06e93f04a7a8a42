//! A node made of a stack and a script.

use core::time::Duration;
use std::collections::VecDeque;
use std::net::IpAddr;

use bytes::Bytes;

use super::app::{App, Cx};
use super::inspector::Inspector;
use super::node::{IcmpError, Node};
use super::packet::{IpPacket, UdpPorts};
use crate::addr::{Datagram, Encap, Message, PathAddr, Peer, SegmentLimits, SendOptions};
use crate::config::{AssocConfig, StackConfig};
use crate::error::SendError;
use crate::stack::{AssocId, Stack};
use crate::time::Time;

/// A [`Stack`] with addresses and a script.
pub struct Host<A> {
    /// The stack.
    pub stack: Stack,
    /// The script.
    pub app: A,
    /// Configuration of ports bound by [`listen`](Self::listen) and [`connect`](Self::connect).
    pub config: AssocConfig,
    /// How many packets with a wrong checksum were dropped.
    pub bad_packets: u64,
    addrs: Vec<IpAddr>,
    udp_port: Option<u16>,
    native: bool,
    limits: SegmentLimits,
    coalesce: Duration,
    held: Vec<Datagram>,
    sending: VecDeque<IpPacket>,
    buf: Vec<u8>,
    inspector: Inspector,
    violation: Option<String>,
}

impl<A: App> Host<A> {
    /// A host that speaks native SCTP only. Its stack gets its randomness from `seed`.
    ///
    /// # Panics
    /// When there is no address.
    pub fn new(config: StackConfig, seed: [u8; 32], addrs: &[IpAddr], app: A) -> Self {
        assert!(!addrs.is_empty(), "a host needs an address");
        Host {
            stack: Stack::new(config, seed),
            app,
            config: AssocConfig::default(),
            bad_packets: 0,
            addrs: addrs.to_vec(),
            udp_port: None,
            native: true,
            limits: SegmentLimits::ONE,
            coalesce: Duration::ZERO,
            held: Vec::new(),
            sending: VecDeque::new(),
            buf: Vec::new(),
            inspector: Inspector::default(),
            violation: None,
        }
    }

    /// Opens a UDP port for encapsulated SCTP and closes the raw socket.
    pub fn use_udp(&mut self, port: u16) {
        self.udp_port = Some(port);
        self.native = false;
    }

    /// Opens a UDP port and keeps the raw socket.
    pub fn use_both(&mut self, port: u16) {
        self.udp_port = Some(port);
        self.native = true;
    }

    /// How many packets the stack may return at once (GSO). Default 1.
    pub fn set_segment_limits(&mut self, limits: SegmentLimits) {
        self.limits = limits;
    }

    /// Collects packets that arrive within this time and hands them to the stack as one batch.
    /// Default zero: each packet is a batch of its own.
    pub fn set_coalescing(&mut self, within: Duration) {
        self.coalesce = within;
    }

    /// The first address.
    pub fn addr(&self) -> IpAddr {
        self.addrs[0]
    }

    /// How other hosts reach a port of this host at its first address.
    pub fn peer(&self, port: u16) -> Peer {
        let encap = match self.udp_port {
            Some(remote_port) => Encap::Udp { remote_port },
            None => Encap::Native,
        };
        Peer::new(self.addr(), encap, port)
    }

    /// Binds a port, accepts associations on it and says how to reach it. A host with several
    /// addresses announces them all.
    ///
    /// # Panics
    /// When the port cannot be bound.
    pub fn listen(&mut self, port: u16) -> Peer {
        self.bind(port);
        self.stack.listen(port, 16).expect("the port was just bound");
        self.peer(port)
    }

    /// Binds a port (0: any) and returns its number.
    ///
    /// # Panics
    /// When the port cannot be bound.
    pub fn bind(&mut self, port: u16) -> u16 {
        let addrs: &[IpAddr] = if self.addrs.len() > 1 { &self.addrs } else { &[] };
        self.stack.bind(port, addrs, self.config.clone()).expect("the port can be bound")
    }

    /// Starts an association from a new port.
    ///
    /// # Panics
    /// When the stack refuses.
    pub fn connect(&mut self, now: Time, peer: &Peer) -> AssocId {
        let port = self.bind(0);
        self.stack.connect(now, port, peer, None).expect("the stack connects")
    }

    /// Queues a message with default options.
    ///
    /// # Errors
    /// As [`Stack::send`].
    pub fn send(
        &mut self,
        now: Time,
        id: AssocId,
        stream: u16,
        data: impl AsRef<[u8]>,
    ) -> Result<(), SendError> {
        let data = Bytes::copy_from_slice(data.as_ref());
        self.stack.send(now, id, Message { stream, ppid: 0, data, options: SendOptions::default() })
    }

    /// Runs code as the script of the host could.
    pub fn script<R>(&mut self, now: Time, f: impl FnOnce(&mut A, &mut Cx<'_>) -> R) -> R {
        f(&mut self.app, &mut Cx { now, stack: &mut self.stack })
    }

    /// The own address to use for packets to `remote`: one of its family, and of its network if
    /// there is one.
    fn source_for(&self, remote: IpAddr) -> Option<IpAddr> {
        let near = |own: &&IpAddr| match (own, remote) {
            (IpAddr::V4(a), IpAddr::V4(b)) => a.octets()[..3] == b.octets()[..3],
            (IpAddr::V6(a), IpAddr::V6(b)) => a.octets()[..8] == b.octets()[..8],
            _ => false,
        };
        let family = |own: &&IpAddr| own.is_ipv4() == remote.is_ipv4();
        self.addrs.iter().find(near).or_else(|| self.addrs.iter().find(family)).copied()
    }

    fn hand_in_batch(&mut self) {
        for datagram in self.held.drain(..) {
            self.stack.handle_datagram(datagram);
        }
    }

    /// When the held batch must be handed in.
    fn batch_due(&self) -> Option<Time> {
        self.held.first().map(|first| first.at + self.coalesce)
    }
}

impl<A: App> Node for Host<A> {
    fn addrs(&self) -> &[IpAddr] {
        &self.addrs
    }

    fn listens(&self, packet: &IpPacket) -> bool {
        match packet.udp {
            Some(ports) => self.udp_port == Some(ports.dst),
            None => self.native,
        }
    }

    fn handle_packet(&mut self, now: Time, packet: IpPacket) {
        let Some(sctp) = packet.packet() else {
            self.bad_packets += 1;
            return;
        };
        let from = PathAddr { local: Some(packet.dst), remote: packet.src, encap: packet.encap() };
        self.held.push(Datagram { at: now, from, ecn: packet.ecn, packet: sctp });
        if self.coalesce.is_zero() {
            self.hand_in_batch();
        }
    }

    fn handle_icmp(&mut self, now: Time, error: &IcmpError) {
        let quoted = &error.quoted;
        let encap = match quoted.udp {
            Some(ports) => Encap::Udp { remote_port: ports.dst },
            None => Encap::Native,
        };
        let to = PathAddr { local: Some(quoted.src), remote: quoted.dst, encap };
        self.stack.handle_unreachable(now, to, error.kind, &quoted.sctp);
    }

    fn handle_timeout(&mut self, now: Time) {
        if self.batch_due().is_some_and(|at| at <= now) {
            self.hand_in_batch();
        }
        if self.stack.poll_timeout().is_some_and(|at| at <= now) {
            self.stack.handle_timeout(now);
        }
        if self.app.poll_timeout().is_some_and(|at| at <= now) {
            self.app.timeout(&mut Cx { now, stack: &mut self.stack });
        }
    }

    fn poll_timeout(&mut self) -> Option<Time> {
        [self.batch_due(), self.stack.poll_timeout(), self.app.poll_timeout()]
            .into_iter()
            .flatten()
            .min()
    }

    fn poll_transmit(&mut self, now: Time) -> Option<IpPacket> {
        if let Some(packet) = self.sending.pop_front() {
            return Some(packet);
        }
        self.buf.clear();
        let transmit = self.stack.poll_transmit(now, self.limits, &mut self.buf)?;
        assert_eq!(transmit.len, self.buf.len(), "the stack announces the bytes that it wrote");
        let PathAddr { local, remote, encap } = transmit.path;
        let src = local.or_else(|| self.source_for(remote)).unwrap_or_else(|| self.addr());
        let udp = match encap {
            Encap::Native => None,
            Encap::Udp { remote_port } => {
                Some(UdpPorts { src: self.udp_port.unwrap_or(0), dst: remote_port })
            }
        };
        let segment = transmit.segment_size.unwrap_or(transmit.len).max(1);
        assert!(
            transmit.len.div_ceil(segment) <= self.limits.of(encap),
            "the stack gives no more packets at once than it may"
        );
        for sctp in self.buf.chunks(segment) {
            let packet = IpPacket {
                src,
                dst: remote,
                udp,
                ecn: transmit.ecn,
                may_fragment: transmit.may_fragment,
                sctp: Bytes::copy_from_slice(sctp),
            };
            if let Err(rule) = self.inspector.check(&packet) {
                self.violation.get_or_insert(format!("the stack broke a rule: {rule}: {packet:?}"));
            }
            self.sending.push_back(packet);
        }
        self.sending.pop_front()
    }

    fn run_app(&mut self, now: Time) -> bool {
        let mut any = false;
        while let Some((id, event)) = self.stack.poll_event() {
            any = true;
            self.app.event(&mut Cx { now, stack: &mut self.stack }, id, &event);
        }
        any
    }

    /// Checks the invariants of the stack, and that all packets it has sent keep the rules of RFC
    /// 9260.
    fn verify(&self) -> Result<(), String> {
        self.violation.clone().map_or_else(|| self.stack.verify(), Err)
    }
}
