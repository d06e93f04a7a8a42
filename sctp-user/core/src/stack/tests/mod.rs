//! The rules of an association's life. A stack in virtual time gets packets made by hand, and its
//! answers are decoded. Each test is named after its rule.

mod addresses;
mod closed;
mod collision;
mod cookie;
mod encap;
mod hard_cases;
mod heartbeat;
mod icmp;
mod init;
mod init_ack;
mod late;
mod limits;
mod link_local;
mod nat_port_key;
mod no_route;
mod ootb;
mod other_ports;
mod shutdown;
mod states;
mod suspect;
mod tags;
mod via;
mod wakeup;

use std::net::IpAddr;

use bytes::Bytes;

use super::{AssocId, Stack};
use crate::addr::{Datagram, Encap, Message, PathAddr, Peer, SegmentLimits};
use crate::config::{AssocConfig, StackConfig};
use crate::event::Event;
use crate::serial::{Ssn, Tsn};
use crate::stats::{AssocState, PathState};
use crate::time::{Duration, Time};
use crate::wire::{
    Cause, Chunk, DataFlags, InitFixed, Packet, PacketWriter, Param, ParamWriter, RawChunk,
    chunk_type,
};

/// SCTP port of the stack under test.
const PORT: u16 = 5000;
/// SCTP port of the peer played by the test.
const PEER_PORT: u16 = 6000;
/// Verification tag and first TSN of the peer.
const PEER_TAG: u32 = 0x0a0b_0c0d;
const PEER_TSN: Tsn = Tsn(0xffff_fffe);
/// UDP port of the peer.
const UDP: Encap = Encap::Udp { remote_port: 9899 };

/// Address number `n` of the peer.
fn addr(n: u8) -> IpAddr {
    IpAddr::from([10, 1, 1, n])
}

/// The path to address number `n` of the peer.
fn path(n: u8) -> PathAddr {
    PathAddr { local: Some(IpAddr::from([10, 1, 1, 100])), remote: addr(n), encap: UDP }
}

/// What the peer says in its INIT and INIT ACK.
fn fixed() -> InitFixed {
    InitFixed {
        initiate_tag: PEER_TAG,
        a_rwnd: 100_000,
        outbound_streams: 7,
        inbound_streams: 9,
        initial_tsn: PEER_TSN,
    }
}

/// A packet of the stack.
#[derive(Debug)]
struct Sent {
    path: PathAddr,
    packet: Packet,
    may_fragment: bool,
}

impl Sent {
    /// The types of its chunks.
    fn kinds(&self) -> Vec<u8> {
        self.packet.chunks().map(|c| c.kind).collect()
    }

    fn chunk(&self, kind: u8) -> RawChunk<'_> {
        self.packet
            .chunks()
            .find(|c| c.kind == kind)
            .unwrap_or_else(|| panic!("no chunk {kind} in {self:?}"))
    }

    fn decoded(&self, kind: u8) -> Chunk<'_> {
        self.chunk(kind).decode(&self.packet).expect("a well-formed chunk")
    }

    /// Codes of the causes in its ABORT or ERROR.
    fn causes(&self) -> Vec<u16> {
        let chunks = self.packet.chunks().filter_map(|c| match c.decode(&self.packet) {
            Ok(Chunk::Abort { causes, .. } | Chunk::Error { causes }) => {
                Some(causes.iter().map(|c| c.code()).collect::<Vec<_>>())
            }
            _ => None,
        });
        chunks.flatten().collect()
    }

    /// Fixed part, listed addresses and cookie of its INIT or INIT ACK.
    fn init(&self) -> (InitFixed, Vec<IpAddr>, Option<Vec<u8>>) {
        let first = self.packet.chunks().next().expect("a chunk");
        let (Chunk::Init(init) | Chunk::InitAck(init)) =
            first.decode(&self.packet).expect("well-formed")
        else {
            panic!("no INIT or INIT ACK: {self:?}")
        };
        let mut addrs = Vec::new();
        let mut cookie = None;
        for param in init.params.iter() {
            match param {
                Param::Ipv4(a) => addrs.push(a.into()),
                Param::Ipv6(a) => addrs.push(a.into()),
                Param::StateCookie(c) => cookie = Some(c.to_vec()),
                _ => {}
            }
        }
        (init.fixed(), addrs, cookie)
    }

    /// TLVs of its HEARTBEAT.
    fn heartbeat(&self) -> Vec<u8> {
        self.chunk(chunk_type::HEARTBEAT).value.to_vec()
    }
}

/// The only packet of a list.
#[track_caller]
fn one(sent: Vec<Sent>) -> Sent {
    assert_eq!(sent.len(), 1, "{sent:?}");
    sent.into_iter().next().expect("one packet")
}

/// Asserts that there is exactly one packet with nothing but an ABORT, with this tag, T bit and
/// these causes.
#[track_caller]
fn assert_abort(sent: Vec<Sent>, vtag: u32, reflected: bool, causes: &[u16]) {
    let sent = one(sent);
    assert_eq!(sent.kinds(), [chunk_type::ABORT]);
    assert_eq!(sent.packet.vtag(), vtag);
    assert_eq!(sent.chunk(chunk_type::ABORT).flags, u8::from(reflected));
    assert_eq!(sent.causes(), causes);
}

/// Asserts that the packet refuses the host name `example.org` and quotes its parameter.
#[track_caller]
fn assert_refuses_host_name(sent: &Sent) {
    assert_eq!(sent.packet.vtag(), PEER_TAG);
    let want = b"\x06\0\0\x18\0\x05\0\x14\0\x0b\0\x10example.org\0";
    assert_eq!(sent.chunk(chunk_type::ABORT).whole, want);
}

/// Asserts that there is exactly one packet with nothing but a SHUTDOWN COMPLETE, with this tag and
/// T bit.
#[track_caller]
fn assert_complete(sent: Vec<Sent>, vtag: u32, reflected: bool) {
    let sent = one(sent);
    assert_eq!(sent.kinds(), [chunk_type::SHUTDOWN_COMPLETE]);
    assert_eq!(sent.packet.vtag(), vtag);
    assert_eq!(sent.chunk(chunk_type::SHUTDOWN_COMPLETE).flags, u8::from(reflected));
}

/// Asserts that nothing was sent.
#[track_caller]
fn assert_silent(sent: Vec<Sent>) {
    assert!(sent.is_empty(), "{sent:?}");
}

/// The stack under test.
struct Rig {
    stack: Stack,
    now: Time,
    /// The association under test, once there is one.
    id: Option<AssocId>,
    /// Tag and first TSN of the stack in it.
    own_tag: u32,
    own_tsn: Tsn,
}

impl Rig {
    /// A stack that listens on [`PORT`].
    fn new() -> Self {
        Self::with(StackConfig::default(), AssocConfig::default())
    }

    fn with(stack: StackConfig, config: AssocConfig) -> Self {
        // The tests look at timers and packets one by one, so probes of the path MTU must not come
        // between them.
        let config = AssocConfig { pmtud: false, ..config };
        let mut stack = Stack::new(stack, [7; 32]);
        stack.bind(PORT, &[], config).unwrap();
        stack.listen(PORT, 8).unwrap();
        Rig { stack, now: Time::from_millis(1000), id: None, own_tag: 0, own_tsn: Tsn(0) }
    }

    /// An association in `state`. If data can be outstanding in this state, one chunk of ours with
    /// the TSN `own_tsn` is.
    fn in_state(state: AssocState) -> Self {
        use AssocState::*;
        let mut rig = Rig::new();
        if state == Closed {
            return rig;
        }
        rig.connect(&[1]);
        if state == CookieWait {
            return rig;
        }
        rig.init_ack(|_| {});
        if state == CookieEchoed {
            return rig;
        }
        rig.send(rig.own_tag, |w| w.cookie_ack());
        if matches!(state, ShutdownPending | ShutdownReceived) {
            rig.send_data(b"outstanding");
        }
        if matches!(state, ShutdownPending | ShutdownSent) {
            rig.stack.shutdown(rig.now, rig.id()).unwrap();
        }
        if matches!(state, ShutdownReceived | ShutdownAckSent) {
            let cum = rig.own_tsn.minus(1);
            rig.send(rig.own_tag, |w| w.shutdown(cum));
        }
        rig.drain();
        rig.events();
        assert_eq!(rig.state(), state);
        rig
    }

    /// An established association that the peer started from address 1 and that was accepted. The
    /// INIT lists the addresses `listed`.
    fn accepted(listed: &[u8]) -> Self {
        let mut rig = Rig::new();
        rig.accept(listed);
        rig
    }

    fn accept(&mut self, listed: &[u8]) {
        let sent = self.init(|p| listed.iter().for_each(|&n| p.address(addr(n))));
        let (init, _, cookie) = one(sent).init();
        (self.own_tag, self.own_tsn) = (init.initiate_tag, init.initial_tsn);
        let sent = self.send(self.own_tag, |w| w.cookie_echo(&cookie.unwrap()));
        assert_eq!(one(sent).kinds(), [chunk_type::COOKIE_ACK]);
        self.id = self.stack.accept(PORT);
        self.events();
        assert_eq!(self.state(), AssocState::Established);
    }

    /// Starts an association with these addresses of the peer and returns the INIT.
    fn connect(&mut self, to: &[u8]) -> Sent {
        let peer = Peer { addrs: to.iter().map(|&n| (addr(n), UDP)).collect(), port: PEER_PORT };
        self.id = Some(self.stack.connect(self.now, PORT, &peer, None).unwrap());
        let sent = one(self.drain());
        let (init, ..) = sent.init();
        (self.own_tag, self.own_tsn) = (init.initiate_tag, init.initial_tsn);
        sent
    }

    /// Answers our INIT from address 1.
    fn init_ack(&mut self, params: impl FnOnce(&mut ParamWriter<'_>)) -> Vec<Sent> {
        self.send(self.own_tag, |w| {
            w.init(true, &fixed(), |p| {
                p.state_cookie(b"cookie");
                params(p);
            });
        })
    }

    /// Sends an INIT of the peer from address 1.
    fn init(&mut self, params: impl FnOnce(&mut ParamWriter<'_>)) -> Vec<Sent> {
        self.send(0, |w| w.init(false, &fixed(), params))
    }

    /// As [`init`](Self::init), with another initiate tag and from another address.
    fn init_from(&mut self, from: PathAddr, tag: u32, listed: &[u8]) -> Vec<Sent> {
        let fixed = InitFixed { initiate_tag: tag, ..fixed() };
        self.send_from(from, 0, |w| {
            w.init(false, &fixed, |p| listed.iter().for_each(|&n| p.address(addr(n))));
        })
    }

    fn id(&self) -> AssocId {
        self.id.expect("an association")
    }

    fn state(&self) -> AssocState {
        self.stack.status(self.id()).map_or(AssocState::Closed, |s| s.state)
    }

    /// The peer sends a packet from its address 1. Returns what the stack sends at once.
    fn send(&mut self, vtag: u32, write: impl FnOnce(&mut PacketWriter<'_>)) -> Vec<Sent> {
        self.send_from(path(1), vtag, write)
    }

    fn send_from(
        &mut self,
        from: PathAddr,
        vtag: u32,
        write: impl FnOnce(&mut PacketWriter<'_>),
    ) -> Vec<Sent> {
        let mut out = Vec::new();
        let mut writer = PacketWriter::new(&mut out, 65_000, PEER_PORT, PORT, vtag);
        write(&mut writer);
        writer.finish();
        self.receive(from, out)
    }

    /// Hands in a packet. Returns what the stack sends at once.
    fn receive(&mut self, from: PathAddr, bytes: Vec<u8>) -> Vec<Sent> {
        let packet = Packet::check(Bytes::from(bytes)).expect("a packet of our own");
        self.stack.handle_datagram(Datagram { at: self.now, from, ecn: None, packet });
        self.drain()
    }

    /// The peer sends DATA. Returns what the stack sends at once.
    fn data(&mut self, tsn: Tsn) -> Vec<Sent> {
        self.send(self.own_tag, |w| data(w, tsn))
    }

    /// The stack's user sends a message.
    fn send_data(&mut self, bytes: &'static [u8]) -> Vec<Sent> {
        self.stack.send(self.now, self.id(), Message::new(0, 0, bytes)).unwrap();
        self.drain()
    }

    /// Returns everything that the stack sends now.
    fn drain(&mut self) -> Vec<Sent> {
        let mut out = Vec::new();
        loop {
            let mut buf = Vec::new();
            let Some(t) = self.stack.poll_transmit(self.now, SegmentLimits::ONE, &mut buf) else {
                break;
            };
            assert_eq!(t.len, buf.len());
            let packet = Packet::check(Bytes::from(buf)).expect("the stack sends valid packets");
            out.push(Sent { path: t.path, packet, may_fragment: t.may_fragment });
            assert!(out.len() < 1000, "the stack sends without end");
        }
        self.stack.verify().unwrap();
        out
    }

    /// Lets time pass. Returns what the stack sends meanwhile.
    fn pass(&mut self, time: Duration) -> Vec<Sent> {
        let end = self.now + time;
        let mut out = self.drain();
        while let Some(at) = self.stack.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.stack.handle_timeout(self.now);
            out.extend(self.drain());
        }
        self.now = end;
        out
    }

    /// Lets time pass up to the next timer. Returns what the stack sends then.
    fn next_timer(&mut self) -> Vec<Sent> {
        let at = self.stack.poll_timeout().expect("a timer runs");
        self.pass(at.since(self.now))
    }

    /// Takes the events for the user.
    fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.stack.poll_event()).map(|(_, event)| event).collect()
    }

    fn path_state(&self, n: u8) -> PathState {
        let paths = self.stack.paths(self.id());
        paths
            .iter()
            .find(|p| p.addr.remote == addr(n))
            .unwrap_or_else(|| panic!("no path {n}"))
            .state
    }

    /// Addresses of the peer, in the order of the paths.
    fn peer_addrs(&self) -> Vec<IpAddr> {
        self.stack.paths(self.id()).iter().map(|p| p.addr.remote).collect()
    }
}

/// Writes a whole unordered message of the peer on stream 0.
fn data(w: &mut PacketWriter<'_>, tsn: Tsn) {
    let flags = DataFlags { begin: true, end: true, unordered: true, ..DataFlags::default() };
    w.data(tsn, 0, Ssn(0), 0, flags, b"data of the peer");
}

/// Writes an acknowledgement of the peer.
fn sack(w: &mut PacketWriter<'_>, cum: Tsn) {
    w.sack(cum, 100_000, std::iter::empty(), &[]);
}

/// The reason for the loss of the association, if these events tell of it.
fn lost(events: &[Event]) -> Option<&crate::event::LossReason> {
    events.iter().find_map(|e| match e {
        Event::Lost(reason) => Some(reason),
        _ => None,
    })
}

/// How often the association came up.
fn ups(events: &[Event]) -> usize {
    events.iter().filter(|e| matches!(e, Event::Up { .. })).count()
}
