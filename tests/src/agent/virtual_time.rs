//! Virtual mode: the tester controls the clock and the wire.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use sctp_user_core::wire::Packet;
use sctp_user_core::{AssocConfig, Datagram, Encap, SegmentLimits, StackConfig, Time};

use super::Reply;
use super::calls::{Agent, Source};
use super::errno::Errno;
use super::ip::{self, Arrival};
use super::request::{Request, to_hex};

/// The agent with a clock that stands still between requests, and a wire that is a queue.
pub(super) struct Virtual {
    agent: Agent,
    udp_port: Option<u16>,
    /// Packets that were sent but not fetched yet, with the time of sending.
    wire: VecDeque<(Time, Vec<u8>)>,
    buf: Vec<u8>,
}

/// The MTU of the IP layer, with and without UDP.
const IP_MTU: usize = 1500;
/// The source address of packets if no endpoint is bound to an address of the family.
const ANY_IPV4: Ipv4Addr = Ipv4Addr::new(192, 168, 0, 1);
const ANY_IPV6: Ipv6Addr = Ipv6Addr::new(0xfd3d, 0xfa7b, 0xd17d, 0, 0, 0, 0, 1);
/// A fixed seed: the same requests always get the same replies.
const SEED: [u8; 32] = *b"sctp-agent always draws the same";

impl Virtual {
    /// An agent at time 0. `udp_port` is the local and remote port of RFC 6951.
    pub(super) fn new(udp_port: Option<u16>) -> Self {
        let encap = udp_port.map_or(Encap::Native, |remote_port| Encap::Udp { remote_port });
        let defaults = AssocConfig { ip_mtu: IP_MTU, ip_mtu_udp: IP_MTU, ..socket_defaults() };
        let agent = Agent::new(stack_config(), defaults, encap, SEED);
        Virtual { agent, udp_port, wire: VecDeque::new(), buf: Vec::new() }
    }

    /// Answers one line.
    pub(super) fn request(&mut self, line: &str) -> Reply {
        let r = Request::parse(line)?;
        match r.verb {
            // Nothing is ever left undone between requests.
            "barrier" => Ok(String::new()),
            "advance" => self.advance(&r),
            "inject" => self.inject(&r),
            "rxpkt" => self.rxpkt(),
            _ => {
                let reply = self.agent.request(&r);
                self.settle();
                reply
            }
        }
    }

    /// Advances the clock. Every timer fires at its own time, and the packets that it causes leave
    /// at that time.
    fn advance(&mut self, r: &Request<'_>) -> Reply {
        let to = Time::from_micros(r.need_number("to")?);
        if to < self.agent.now {
            return Err(Errno::EINVAL);
        }
        while let Some(at) = self.agent.sockets.poll_timeout().filter(|at| *at <= to) {
            self.agent.now = at.max(self.agent.now);
            self.settle();
        }
        self.agent.now = to;
        Ok(String::new())
    }

    /// Fires the timers that are due and sends the packets that are ready, until nothing more
    /// happens at this time.
    fn settle(&mut self) {
        self.transmit();
        while self.agent.sockets.poll_timeout().is_some_and(|at| at <= self.agent.now) {
            self.agent.sockets.handle_timeout(self.agent.now);
            self.transmit();
        }
    }

    fn inject(&mut self, r: &Request<'_>) -> Reply {
        r.need("data")?;
        let at = self.agent.now;
        match ip::parse(&r.hex("data")?, self.udp_port) {
            Some(Arrival::Sctp { from, ecn, bytes }) => {
                if let Ok(packet) = Packet::check(bytes) {
                    self.agent.sockets.handle_datagram(Datagram { at, from, ecn, packet });
                }
            }
            Some(Arrival::Icmp { to, kind, quoted }) => {
                self.agent.sockets.handle_unreachable(at, to, kind, &quoted);
            }
            None => {}
        }
        self.settle();
        Ok(String::new())
    }

    fn rxpkt(&mut self) -> Reply {
        let (at, packet) = self.wire.pop_front().ok_or(Errno::EAGAIN)?;
        Ok(format!("t={} len={} data={}", at.as_micros(), packet.len(), to_hex(&packet)))
    }

    /// Puts all packets that the stack wants to send on the wire.
    fn transmit(&mut self) {
        let now = self.agent.now;
        loop {
            self.buf.clear();
            let Some(transmit) =
                self.agent.sockets.poll_transmit(now, SegmentLimits::ONE, &mut self.buf)
            else {
                break;
            };
            let Some(source) = transmit.path.local.or_else(|| self.source(transmit.path.remote))
            else {
                continue;
            };
            let udp_port = self.udp_port.unwrap_or_default();
            self.wire.extend(
                ip::build(&transmit, source, &self.buf, udp_port).map(|packet| (now, packet)),
            );
        }
        while self.agent.sockets.poll_ready().is_some() {}
    }

    /// The source address that a routing table would give; `None` if there is no route to `remote`.
    fn source(&self, remote: IpAddr) -> Option<IpAddr> {
        let port = self.buf.first_chunk::<2>().map_or(0, |port| u16::from_be_bytes(*port));
        match (self.agent.source_for(port, remote), remote) {
            (Source::Address(addr), _) => Some(addr),
            (Source::None, _) => None,
            (Source::Any, IpAddr::V4(ip)) if ip.is_loopback() => Some(Ipv4Addr::LOCALHOST.into()),
            (Source::Any, IpAddr::V6(ip)) if ip.is_loopback() => Some(Ipv6Addr::LOCALHOST.into()),
            (Source::Any, IpAddr::V4(_)) => Some(ANY_IPV4.into()),
            (Source::Any, IpAddr::V6(_)) => Some(ANY_IPV6.into()),
        }
    }
}

/// The stack is the only one on its host, so it answers packets out of the blue. The rate is high
/// because testers send many of them.
pub(super) fn stack_config() -> StackConfig {
    StackConfig { ootb_native: true, ootb_rate: 10_000, ..StackConfig::default() }
}

/// Sockets start as on Linux (Nagle on), with the protocol parameters of RFC 9260.
pub(super) fn socket_defaults() -> AssocConfig {
    // There is no NAT here, so heartbeats need not be more frequent over UDP than over IP.
    let never = Duration::from_millis(u32::MAX.into());
    // As on Linux, the association of a closed socket may last as long as RFC 9260 allows.
    AssocConfig {
        nodelay: false,
        hb_interval_udp: never,
        close_timeout: None,
        ..AssocConfig::default()
    }
}
