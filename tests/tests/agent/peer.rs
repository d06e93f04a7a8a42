//! A scripted peer of an agent in virtual mode. It builds packets by hand and checks those that the
//! agent sends.

use std::net::IpAddr;

use bytes::Bytes;
use sctp_user_core::wire::{Chunk, DataFlags, InitFixed, Packet, PacketWriter, Param};
use sctp_user_core::{Ssn, Tsn};

use crate::driver::{Agent, hex, unhex, value};

/// The ports of the peer and of the agent.
pub(crate) const PEER_PORT: u16 = 2000;
pub(crate) const AGENT_PORT: u16 = 1000;
/// The tag and the first TSN of the peer.
pub(crate) const PEER_TAG: u32 = 0x1234_5678;
pub(crate) const PEER_TSN: u32 = 100;

/// The peer in one association.
pub(crate) struct Peer {
    pub(crate) addr: IpAddr,
    pub(crate) agent_addr: IpAddr,
    pub(crate) agent_port: u16,
    /// Source and destination UDP port; `None` without encapsulation.
    pub(crate) udp: Option<(u16, u16)>,
    /// The tag and the first TSN of the agent, once they are known.
    pub(crate) agent_tag: u32,
    pub(crate) agent_tsn: u32,
}

/// A packet that the agent has sent.
pub(crate) struct Sent {
    /// When it was sent, µs.
    pub(crate) at: u64,
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) sctp: Packet,
}

impl Peer {
    /// A peer at 192.0.2.1 for an agent at 192.168.0.1.
    pub(crate) fn new() -> Peer {
        Peer {
            addr: "192.0.2.1".parse().unwrap(),
            agent_addr: "192.168.0.1".parse().unwrap(),
            agent_port: AGENT_PORT,
            udp: None,
            agent_tag: 0,
            agent_tsn: 0,
        }
    }

    /// Sends a packet with the agent's tag.
    pub(crate) fn send(&self, agent: &mut Agent, write: impl FnOnce(&mut PacketWriter<'_>)) {
        self.send_with(agent, self.agent_tag, write);
    }

    /// Sends a packet with this tag.
    pub(crate) fn send_with(
        &self,
        agent: &mut Agent,
        tag: u32,
        write: impl FnOnce(&mut PacketWriter<'_>),
    ) {
        let mut sctp = Vec::new();
        let mut writer = PacketWriter::new(&mut sctp, 1400, PEER_PORT, self.agent_port, tag);
        write(&mut writer);
        writer.finish();
        let packet = self.ip(&sctp);
        agent.expect(&format!("inject data={}", hex(&packet)), "ok");
    }

    /// The next packet of the agent.
    #[track_caller]
    pub(crate) fn take(&self, agent: &mut Agent) -> Sent {
        let reply = agent.ok("rxpkt");
        let bytes = unhex(value(&reply, "data"));
        assert_eq!(value(&reply, "len"), bytes.len().to_string());
        let (header, source, destination): (usize, IpAddr, IpAddr) = if bytes[0] >> 4 == 4 {
            assert_eq!(checksum(&bytes[..20], 0), 0, "IPv4 header checksum");
            let addr = |at: usize| <[u8; 4]>::try_from(&bytes[at..at + 4]).unwrap().into();
            (20, addr(12), addr(16))
        } else {
            let addr = |at: usize| <[u8; 16]>::try_from(&bytes[at..at + 16]).unwrap().into();
            (40, addr(8), addr(24))
        };
        let protocol = bytes[if header == 20 { 9 } else { 6 }];
        let mut sctp = &bytes[header..];
        match self.udp {
            None => assert_eq!(protocol, 132),
            Some((own, agents)) => {
                assert_eq!(protocol, 17);
                assert_eq!(sctp[..2], agents.to_be_bytes());
                assert_eq!(sctp[2..4], own.to_be_bytes());
                sctp = &sctp[8..];
            }
        }
        let sctp = Packet::check(Bytes::copy_from_slice(sctp)).expect("a valid checksum");
        Sent { at: value(&reply, "t").parse().unwrap(), source, destination, sctp }
    }

    /// Takes the next packet and checks that it holds exactly these chunks.
    #[track_caller]
    pub(crate) fn take_chunks(&self, agent: &mut Agent, kinds: &[u8]) -> Sent {
        let sent = self.take(agent);
        assert_eq!(sent.kinds(), kinds);
        sent
    }

    /// Sets up an association that the peer starts. The agent must have a listening one-to-one
    /// socket with this `id`, bound to its address. Returns the number of the accepted socket.
    pub(crate) fn connect(&mut self, agent: &mut Agent, id: u32) -> u32 {
        self.handshake(agent);
        let accepted = agent.ok(&format!("accept id={id}"));
        assert_eq!(value(&accepted, "peer"), format!("{}:{PEER_PORT}", self.addr));
        value(&accepted, "id").parse().unwrap()
    }

    /// Plays the handshake that the peer starts, from INIT to COOKIE ACK.
    #[track_caller]
    pub(crate) fn handshake(&mut self, agent: &mut Agent) {
        self.send_with(agent, 0, |w| w.init(false, &init(), |_| {}));
        let ack = self.take_chunks(agent, &[2]);
        assert_eq!(ack.sctp.vtag(), PEER_TAG);
        let Some(Chunk::InitAck(init)) = ack.chunks().into_iter().next() else {
            panic!("an INIT ACK")
        };
        (self.agent_tag, self.agent_tsn) = (init.initiate_tag, init.initial_tsn.0);
        let cookie = cookie(init.params.iter());
        self.send(agent, |w| w.cookie_echo(&cookie));
        self.take_chunks(agent, &[11]);
    }

    /// Takes the INIT of a connecting agent and plays the handshake up to COOKIE ACK.
    #[track_caller]
    pub(crate) fn accept(&mut self, agent: &mut Agent) {
        let sent = self.take_chunks(agent, &[1]);
        self.answer(agent, &sent);
    }

    /// The same for an INIT that was taken before.
    #[track_caller]
    pub(crate) fn answer(&mut self, agent: &mut Agent, sent: &Sent) {
        assert_eq!((sent.sctp.vtag(), sent.sctp.dst_port()), (0, PEER_PORT));
        self.agent_port = sent.sctp.src_port();
        self.agent_addr = sent.source;
        let Some(Chunk::Init(chunk)) = sent.chunks().into_iter().next() else { panic!("an INIT") };
        (self.agent_tag, self.agent_tsn) = (chunk.initiate_tag, chunk.initial_tsn.0);
        self.send(agent, |w| w.init(true, &init(), |p| p.state_cookie(b"cookie")));
        let echo = self.take(agent);
        let chunks = echo.chunks();
        assert!(matches!(&chunks[0], Chunk::CookieEcho(cookie) if &cookie[..] == b"cookie"));
        self.send(agent, |w| w.cookie_ack());
    }

    /// Sends one whole message in a DATA chunk.
    pub(crate) fn send_data(
        &self,
        agent: &mut Agent,
        offset: u32,
        stream: u16,
        ssn: u16,
        data: &[u8],
    ) {
        let flags = DataFlags { begin: true, end: true, ..DataFlags::default() };
        let tsn = Tsn(PEER_TSN.wrapping_add(offset));
        self.send(agent, |w| w.data(tsn, stream, Ssn(ssn), 7, flags, data));
    }

    /// Acknowledges the first `count` TSNs of the agent.
    pub(crate) fn send_sack(&self, agent: &mut Agent, count: u32) {
        let cum = Tsn(self.agent_tsn.wrapping_add(count).wrapping_sub(1));
        self.send(agent, |w| w.sack(cum, 100_000, std::iter::empty(), &[]));
    }

    /// The IP packet in which the agent receives an SCTP packet.
    fn ip(&self, sctp: &[u8]) -> Vec<u8> {
        let mut payload = Vec::new();
        if let Some((source, destination)) = self.udp {
            payload.extend_from_slice(&source.to_be_bytes());
            payload.extend_from_slice(&destination.to_be_bytes());
            payload.extend_from_slice(&u16::try_from(8 + sctp.len()).unwrap().to_be_bytes());
            payload.extend_from_slice(&[0, 0]);
        }
        payload.extend_from_slice(sctp);
        let protocol = if self.udp.is_some() { 17 } else { 132 };
        let len = u16::try_from(payload.len()).unwrap();
        let mut packet = match (self.addr, self.agent_addr) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let mut header = vec![0x45, 2, 0, 0, 0, 1, 0, 0, 64, protocol, 0, 0];
                header[2..4].copy_from_slice(&(20 + len).to_be_bytes());
                header.extend_from_slice(&source.octets());
                header.extend_from_slice(&destination.octets());
                let sum = checksum(&header, 0);
                header[10..12].copy_from_slice(&sum.to_be_bytes());
                header
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let mut header = vec![0x60, 0, 0, 0, 0, 0, protocol, 64];
                header[4..6].copy_from_slice(&len.to_be_bytes());
                header.extend_from_slice(&source.octets());
                header.extend_from_slice(&destination.octets());
                if self.udp.is_some() {
                    let sum = checksum(
                        &payload,
                        u32::from(checksum(&header[8..], 17 + u32::from(len)) ^ 0xffff),
                    );
                    payload[6..8].copy_from_slice(&sum.to_be_bytes());
                }
                header
            }
            _ => panic!("addresses of two families"),
        };
        packet.extend_from_slice(&payload);
        packet
    }
}

impl Sent {
    pub(crate) fn chunks(&self) -> Vec<Chunk<'_>> {
        self.sctp.chunks().map(|raw| raw.decode(&self.sctp).unwrap()).collect()
    }

    pub(crate) fn kinds(&self) -> Vec<u8> {
        self.sctp.chunks().map(|raw| raw.kind).collect()
    }
}

/// The fixed part of the peer's INIT and INIT ACK.
pub(crate) fn init() -> InitFixed {
    InitFixed {
        initiate_tag: PEER_TAG,
        a_rwnd: 100_000,
        outbound_streams: 5,
        inbound_streams: 6,
        initial_tsn: Tsn(PEER_TSN),
    }
}

fn cookie<'a>(params: impl Iterator<Item = Param<'a>>) -> Vec<u8> {
    let mut cookies =
        params.filter_map(|p| if let Param::StateCookie(c) = p { Some(c.to_vec()) } else { None });
    cookies.next().expect("a State Cookie")
}

/// The Internet checksum of `bytes`, starting from the sum `seed`.
fn checksum(bytes: &[u8], seed: u32) -> u16 {
    let mut sum = seed;
    for pair in bytes.chunks(2) {
        sum += u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap()
}

/// Makes a listening one-to-one socket of the agent at its address. It gets the number 1.
pub(crate) fn listen(agent: &mut Agent) {
    agent.expect("socket fam=4 type=stream", "ok id=1");
    agent.expect("bind id=1 addr=192.168.0.1:1000", "ok");
    agent.expect("listen id=1 backlog=5", "ok");
}
