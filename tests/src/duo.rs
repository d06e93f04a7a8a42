//! Two simulated hosts with an association between them, and handmade packets of this association.

use std::time::Duration;

use sctp_user_core::sim::{Host, IpPacket, Link, Node, NodeId, Recorder, Sim};
use sctp_user_core::wire::PacketWriter;
use sctp_user_core::{AssocConfig, AssocId, Event, StackConfig, Tsn};

/// A host that records its events.
pub type Id = NodeId<Host<Recorder>>;

/// One-way delay of the link.
pub const DELAY: Duration = Duration::from_millis(10);

/// Two hosts, native SCTP over a perfect link of 10 ms, and an association from `a` port 6000 to
/// `b` port 5001.
pub struct Duo {
    /// The simulation.
    pub sim: Sim,
    /// The caller.
    pub a: Id,
    /// The listener.
    pub b: Id,
    /// The association at `a`.
    pub to_b: AssocId,
    /// The association at `b`.
    pub to_a: AssocId,
    /// The first TSN of `a`.
    pub first_tsn_of_a: Tsn,
}

impl Duo {
    /// Makes both hosts, with one address each.
    pub fn new(config: AssocConfig) -> Self {
        Duo::with_addrs(config, &["10.1.0.1"], &["10.1.0.2"])
    }

    /// Makes both hosts, with these addresses.
    pub fn with_addrs(config: AssocConfig, a: &[&str], b: &[&str]) -> Self {
        Duo::starting_at(config, a, b, Tsn(1_000))
    }

    /// Makes both hosts, with these addresses. `first_tsn_of_a` is the first TSN that `a` uses.
    pub fn starting_at(config: AssocConfig, a: &[&str], b: &[&str], first_tsn_of_a: Tsn) -> Self {
        let mut sim = Sim::new(1);
        sim.net.set_default(Link::new().delay(DELAY, Duration::ZERO));
        let stack = |tsn| StackConfig {
            ootb_native: true,
            initial_tsn: Some(tsn),
            ..StackConfig::default()
        };
        let a = sim.host_with(stack(first_tsn_of_a.0), a, Recorder::default());
        let b = sim.host_with(stack(2_000), b, Recorder::default());
        sim[a].config = config.clone();
        sim[b].config = config;
        let peer = sim.with(b, |h, _| h.listen(5001));
        let to_b = sim.with(a, |h, now| {
            h.bind(6000);
            h.stack.connect(now, 6000, &peer, None).expect("it connects")
        });
        assert!(sim.run_until(Duration::from_secs(10), |sim| {
            sim[a].app.events.iter().any(|(_, _, e)| matches!(e, Event::Up { .. }))
        }));
        let to_a = sim[b].app.accepted[0];
        Duo { sim, a, b, to_b, to_a, first_tsn_of_a }
    }

    /// A packet as `a` might send it to `b` within the association.
    pub fn from_a(&self, write: impl FnOnce(&mut PacketWriter<'_>)) -> IpPacket {
        let tag = self.sim[self.a].stack.status(self.to_b).expect("not released").peer_tag;
        self.from_a_with_tag(tag, write)
    }

    /// A packet as `a` might send it to `b`, with any tag.
    pub fn from_a_with_tag(&self, tag: u32, write: impl FnOnce(&mut PacketWriter<'_>)) -> IpPacket {
        let mut bytes = Vec::new();
        let mut writer = PacketWriter::new(&mut bytes, 65_000, 6000, 5001, tag);
        write(&mut writer);
        writer.finish();
        IpPacket::native(self.sim[self.a].addrs()[0], self.sim[self.b].addrs()[0], bytes)
    }

    /// Delivers a packet of [`from_a`](Self::from_a) to `b`. Returns the chunk types of each packet
    /// that `b` sends in reaction.
    pub fn provoke(&mut self, write: impl FnOnce(&mut PacketWriter<'_>)) -> Vec<Vec<u8>> {
        let packet = self.from_a(write);
        self.provoke_packet(packet)
    }

    /// Delivers a packet to `b`. Returns the chunk types of each packet that `b` sends in reaction.
    pub fn provoke_packet(&mut self, packet: IpPacket) -> Vec<Vec<u8>> {
        let replies = self.sim.provoke(packet).expect("b listens");
        replies.iter().map(IpPacket::chunk_kinds).collect()
    }

    /// Whether the association at `b` is still alive.
    pub fn lives_at_b(&self) -> bool {
        !self.sim[self.b].app.ended(self.to_a)
    }
}
