//! sctp-proto, an independent implementation, as the other end: in both roles, over the simulated
//! network.
//!
//! sctp-proto has one path and draws its own random numbers, so a seed does not repeat a run
//! exactly. Its endpoint forgets an association as soon as a shutdown begins, but the node below
//! keeps the association until it is over.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::{Rng, RngExt};
use sctp_proto::{
    Association, AssociationHandle, ClientConfig, DatagramEvent, Endpoint, EndpointConfig, Payload,
    PayloadProtocolIdentifier, ServerConfig, StreamEvent, TransportConfig,
};
use sctp_user_core::sim::{
    Host, IpPacket, Link, Node, NodeId, Sim, SimRng, Verdict, for_each_seed,
};
use sctp_user_core::wire::{Chunk, RawChunk, chunk_type};
use sctp_user_core::{Encap, Event, Message, Peer, SendOptions, StackConfig, Time};
use workspace_tests::traffic::Traffic;

const OURS: &str = "10.1.0.1";
const THEIRS: &str = "10.1.0.2";
const UDP_PORT: u16 = 9899;
/// sctp-proto's default.
const SCTP_PORT: u16 = 5000;
/// The payload protocol that sctp-proto calls "binary".
const BINARY: u32 = 53;

/// An endpoint of sctp-proto with at most one association.
struct Proto {
    addr: [IpAddr; 1],
    /// The instant that corresponds to virtual time zero.
    epoch: Instant,
    endpoint: Endpoint,
    association: Option<(AssociationHandle, Association)>,
    sending: Vec<IpPacket>,
    /// The messages to send once connected: stream, whether unordered, data.
    plan: Vec<(u16, bool, Vec<u8>)>,
    connected: bool,
    lost: bool,
    received: Vec<(u16, Vec<u8>)>,
}

impl Proto {
    fn new(plan: Vec<(u16, bool, Vec<u8>)>) -> Self {
        let endpoint =
            Endpoint::new(Arc::new(EndpointConfig::new()), Some(Arc::new(ServerConfig::new())));
        Proto {
            addr: [THEIRS.parse().unwrap()],
            epoch: Instant::now(),
            endpoint,
            association: None,
            sending: Vec::new(),
            plan,
            connected: false,
            lost: false,
            received: Vec::new(),
        }
    }

    fn connect(&mut self, remote: SocketAddr) {
        let mut config = ClientConfig::new();
        let transport =
            TransportConfig::default().with_local_port(SCTP_PORT).with_remote_port(SCTP_PORT);
        config.transport = Arc::new(transport);
        self.association = Some(self.endpoint.connect(config, remote).unwrap());
    }

    fn shutdown(&mut self) {
        self.association.as_mut().unwrap().1.shutdown().unwrap();
    }

    fn is_closed(&self) -> bool {
        self.association.as_ref().is_some_and(|(_, a)| a.is_closed())
    }

    fn instant(&self, now: Time) -> Instant {
        self.epoch + Duration::from_nanos(now.as_nanos())
    }

    fn collect(&mut self, transmit: sctp_proto::Transmit) {
        let Payload::RawEncode(packets) = transmit.payload else { return };
        for bytes in packets {
            let remote = (transmit.remote.ip(), transmit.remote.port());
            self.sending.insert(0, IpPacket::udp((self.addr[0], UDP_PORT), remote, bytes));
        }
    }
}

impl Node for Proto {
    fn addrs(&self) -> &[IpAddr] {
        &self.addr
    }

    fn listens(&self, packet: &IpPacket) -> bool {
        packet.udp.is_some_and(|u| u.dst == UDP_PORT)
    }

    fn handle_packet(&mut self, now: Time, packet: IpPacket) {
        let remote = SocketAddr::new(packet.src, packet.udp.unwrap().src);
        match self.endpoint.handle(self.instant(now), remote, Some(packet.dst), None, packet.sctp) {
            Some((handle, DatagramEvent::NewAssociation(association))) => {
                self.association.get_or_insert((handle, association));
            }
            Some((_, DatagramEvent::AssociationEvent(event))) => {
                self.association.as_mut().unwrap().1.handle_event(event);
            }
            None => {}
        }
    }

    fn handle_timeout(&mut self, now: Time) {
        let now = self.instant(now);
        if let Some((_, association)) = &mut self.association {
            association.handle_timeout(now);
        }
    }

    fn poll_timeout(&mut self) -> Option<Time> {
        let at = self.association.as_ref()?.1.poll_timeout()?;
        // sctp-proto fires a timer only after its time, not at it, so wait a little longer.
        let nanos = at.saturating_duration_since(self.epoch).as_nanos() as u64 + 1;
        Some(Time::from_nanos(nanos))
    }

    fn poll_transmit(&mut self, now: Time) -> Option<IpPacket> {
        let instant = self.instant(now);
        while let Some(transmit) = self.endpoint.poll_transmit() {
            self.collect(transmit);
        }
        while self.sending.is_empty()
            && let Some((_, association)) = &mut self.association
            && let Some(transmit) = association.poll_transmit(instant)
        {
            self.collect(transmit);
        }
        self.sending.pop()
    }

    fn run_app(&mut self, _: Time) -> bool {
        let Some((_, association)) = &mut self.association else { return false };
        let mut any = false;
        while let Some(event) = association.poll() {
            any = true;
            match event {
                sctp_proto::Event::Connected => {
                    self.connected = true;
                    for (id, unordered, data) in self.plan.drain(..) {
                        let binary = PayloadProtocolIdentifier::Binary;
                        let mut stream = match association.stream(id) {
                            Ok(stream) => stream,
                            Err(_) => association.open_stream(id, binary).unwrap(),
                        };
                        stream
                            .set_reliability_params(
                                unordered,
                                sctp_proto::ReliabilityType::Reliable,
                                0,
                            )
                            .unwrap();
                        assert_eq!(stream.write_with_ppi(&data, binary).unwrap(), data.len());
                    }
                }
                sctp_proto::Event::AssociationLost { .. }
                | sctp_proto::Event::HandshakeFailed { .. } => {
                    self.lost = true;
                }
                sctp_proto::Event::Stream(StreamEvent::Readable { id }) => {
                    let mut stream = association.stream(id).unwrap();
                    while let Some(message) = stream.read_sctp().unwrap() {
                        let mut data = vec![0; message.len()];
                        message.read(&mut data).unwrap();
                        self.received.push((id, data));
                    }
                }
                _ => {}
            }
        }
        any
    }
}

/// Messages of 1 byte to 20 KB on three streams; stream 2 is unordered.
fn plan(rng: &mut SimRng) -> Vec<(u16, bool, Vec<u8>)> {
    let count = rng.random_range(1..80);
    (0..count)
        .map(|_| {
            let stream = rng.random_range(0..3);
            let longest = if rng.random_bool(0.2) { 20_000 } else { 1_000 };
            let mut data = vec![0; rng.random_range(1..=longest)];
            rng.fill_bytes(&mut data);
            (stream, stream == 2, data)
        })
        .collect()
}

fn sorted_streams(messages: impl Iterator<Item = (u16, Vec<u8>)>) -> [Vec<Vec<u8>>; 3] {
    let mut streams = [vec![], vec![], vec![]];
    messages.for_each(|(stream, data)| streams[usize::from(stream)].push(data));
    streams[2].sort();
    streams
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Side {
    Ours,
    Theirs,
}

/// Corrects the SHUTDOWN of sctp-proto. It holds one of sctp-proto's own TSNs where the cumulative
/// TSN of the peer belongs, and other stacks answer that with an ABORT. This function puts in the
/// TSN of the last DATA that we sent.
fn repair_shutdowns(sim: &mut Sim) {
    let ours: IpAddr = OURS.parse().unwrap();
    let tsns = sim.net.sent().filter(|(_, p)| p.src == ours).flat_map(|(_, p)| {
        let packet = p.packet().unwrap();
        let tsn = |raw: RawChunk<'_>| match raw.decode(&packet) {
            Ok(Chunk::Data(data)) => Some(data.tsn),
            _ => None,
        };
        packet.chunks().filter_map(tsn).collect::<Vec<_>>()
    });
    let last = tsns.reduce(|a, b| if a.precedes(b) { b } else { a }).expect("data was sent");
    sim.net.tap(move |_, packet| {
        if packet.src != ours && packet.chunk_kinds().first() == Some(&chunk_type::SHUTDOWN) {
            packet.edit(|bytes| bytes[16..20].copy_from_slice(&last.0.to_be_bytes()));
            packet.fix_crc();
        }
        Verdict::Pass
    });
}

/// Runs one association in which both ends send, and then one of them shuts down.
fn exchange(seed: u64, initiator: Side, closer: Side, loss: f64) {
    let mut sim = Sim::new(seed);
    // sctp-proto sends many packets with one control chunk each, which is not tested here.
    sim.check_replies = false;
    let delay = Duration::from_millis(10);
    let link = Link::new()
        .loss(loss)
        .delay(delay, delay)
        .duplicate(loss / 2.0, delay)
        .reorder(loss, 2 * delay);
    sim.net.set_default(link);
    let (to_them, to_us) = (plan(sim.net.rng()), plan(sim.net.rng()));
    let messages = to_them.iter().map(|(stream, unordered, data)| Message {
        stream: *stream,
        ppid: BINARY,
        data: data.clone().into(),
        options: SendOptions { unordered: *unordered, ..SendOptions::default() },
    });
    let a: NodeId<Host<Traffic>> =
        sim.host_with(StackConfig::default(), &[OURS], Traffic::new(messages.collect()));
    sim[a].use_udp(UDP_PORT);
    let b = sim.add(Proto::new(to_us.clone()));
    match initiator {
        Side::Ours => sim.with(a, |h, now| {
            let peer =
                Peer::new(THEIRS.parse().unwrap(), Encap::Udp { remote_port: UDP_PORT }, SCTP_PORT);
            let id = h.connect(now, &peer);
            h.script(now, |app, cx| app.use_assoc(cx, id));
        }),
        Side::Theirs => {
            sim.with(a, |h, _| h.listen(SCTP_PORT));
            sim.with(b, |p, _| p.connect(SocketAddr::new(OURS.parse().unwrap(), UDP_PORT)));
        }
    }
    let all = |sim: &mut Sim| {
        sim[a].app.received.len() == to_us.len() && sim[b].received.len() == to_them.len()
    };
    assert!(
        sim.run_until(Duration::from_secs(600), all),
        "{initiator:?} {closer:?}: {} of {} and {} of {}",
        sim[a].app.received.len(),
        to_us.len(),
        sim[b].received.len(),
        to_them.len()
    );
    let ours = sorted_streams(sim[a].app.received.iter().map(|r| (r.stream, r.data.to_vec())));
    let theirs = sorted_streams(sim[b].received.iter().cloned());
    let strip = |plan: &[(u16, bool, Vec<u8>)]| {
        sorted_streams(plan.iter().map(|(s, _, d)| (*s, d.clone())))
    };
    assert_eq!(ours, strip(&to_us));
    assert_eq!(theirs, strip(&to_them));
    assert!(sim[a].app.received.iter().all(|r| r.ppid == BINARY && r.unordered == (r.stream == 2)));

    // Nothing may get lost from here on: our answer to a repeated SHUTDOWN ACK has the T bit and a
    // reflected tag, which sctp-proto does not understand.
    sim.net.set_default(Link::new().delay(delay, Duration::ZERO));
    sim.run_for(Duration::from_secs(5));
    repair_shutdowns(&mut sim);
    match closer {
        Side::Ours => sim.with(a, |h, now| h.stack.shutdown(now, h.app.id.unwrap()).unwrap()),
        Side::Theirs => sim.with(b, |p, _| p.shutdown()),
    }
    // When sctp-proto has shut down, it sends SHUTDOWN COMPLETE but does not report that it is
    // closed.
    let closed = |sim: &mut Sim| {
        sim[a].app.end() == Some(&Event::ShutdownComplete)
            && (closer == Side::Theirs || sim[b].is_closed())
    };
    assert!(sim.run_until(Duration::from_secs(60), closed), "our end {:?}", sim[a].app.end());
}

#[test]
fn both_roles_over_a_good_link() {
    for_each_seed(0..40, |seed| {
        for initiator in [Side::Ours, Side::Theirs] {
            for closer in [Side::Ours, Side::Theirs] {
                exchange(seed, initiator, closer, 0.0);
            }
        }
    });
}

#[test]
fn both_roles_over_a_bad_link() {
    for_each_seed(0..40, |seed| {
        for initiator in [Side::Ours, Side::Theirs] {
            exchange(seed, initiator, Side::Ours, 0.1);
        }
    });
}

/// An ABORT of either end reaches the other.
#[test]
fn aborts_are_understood() {
    let mut sim = Sim::new(1);
    sim.check_replies = false;
    let a = sim.host(&[OURS], Traffic::new(Vec::new()));
    sim[a].use_udp(UDP_PORT);
    let b = sim.add(Proto::new(Vec::new()));
    let peer = Peer::new(THEIRS.parse().unwrap(), Encap::Udp { remote_port: UDP_PORT }, SCTP_PORT);
    let id = sim.with(a, |h, now| h.connect(now, &peer));
    assert!(sim.run_until(Duration::from_secs(10), |sim| sim[b].connected));
    sim.with(a, |h, now| h.stack.abort(now, id, "the end".into()).unwrap());
    assert!(sim.run_until(Duration::from_secs(1), |sim| sim[b].lost));
}

/// A message that the user hands over in parts arrives as one, however the parts are fragmented.
#[test]
fn messages_in_parts_are_one_message_to_others() {
    use sctp_user_core::{Message, SendOptions};

    for_each_seed(0..20, |seed| {
        let mut sim = Sim::new(seed);
        sim.net
            .set_default(Link::new().loss(0.05).delay(Duration::from_millis(10), Duration::ZERO));
        let a = sim.host(&[OURS], Traffic::new(Vec::new()));
        sim[a].use_udp(UDP_PORT);
        let b = sim.add(Proto::new(Vec::new()));
        let peer =
            Peer::new(THEIRS.parse().unwrap(), Encap::Udp { remote_port: UDP_PORT }, SCTP_PORT);
        let id = sim.with(a, |h, now| h.connect(now, &peer));
        assert!(sim.run_until(Duration::from_secs(60), |sim| sim[b].connected));
        let lens = [1usize, 100, 5_000, 3, 1_444, 2_000, 7];
        for (n, len) in lens.into_iter().enumerate() {
            let options =
                SendOptions { more_follows: n + 1 < lens.len(), ..SendOptions::default() };
            let message =
                Message { stream: 1, ppid: BINARY, data: vec![n as u8; len].into(), options };
            sim.with(a, |h, now| h.stack.send(now, id, message).unwrap());
            sim.run_for(Duration::from_millis(15));
        }
        assert!(sim.run_until(Duration::from_secs(60), |sim| !sim[b].received.is_empty()));
        let whole: Vec<u8> =
            lens.into_iter().enumerate().flat_map(|(n, len)| vec![n as u8; len]).collect();
        assert_eq!(sim[b].received, [(1, whole)]);
    });
}
