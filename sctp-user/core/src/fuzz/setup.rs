//! Fuzzes INIT and INIT ACK with any parameters, and COOKIE ECHO with any cookie.

use std::time::Duration;

use super::input::Input;
use super::packet::sealed;
use crate::sim::{Host, IpPacket, NodeId, Recorder, Sim};
use crate::tlv::Tlvs;
use crate::wire::{Chunk, PacketWriter, chunk_type};
use crate::{AssocId, AssocState, Encap, Peer, StackConfig};

const OURS: &str = "198.18.0.1";
const PEER: &str = "198.18.0.2";
const PORT: u16 = 5000;
const PEER_PORT: u16 = 6000;
const PEER_TAG: u32 = 0x0102_0304;

struct Rig {
    sim: Sim,
    host: NodeId<Host<Recorder>>,
    /// Associations that the host has set up towards the peer.
    called: Vec<AssocId>,
}

impl Rig {
    fn new() -> Self {
        let mut sim = Sim::new(1);
        sim.last_words = false;
        sim.net.log_limit = 1;
        let stack = StackConfig { ootb_native: true, ..StackConfig::default() };
        let host = sim.host_with(stack, &[OURS, "2001:db8::1"], Recorder::default());
        // The address in a cookie may be native or UDP-encapsulated.
        sim[host].use_both(9899);
        sim.with(host, |h, _| h.listen(PORT));
        Rig { sim, host, called: Vec::new() }
    }

    /// The host begins an association with the peer.
    fn call(&mut self) -> AssocId {
        let peer = Peer::new(PEER.parse().expect("an address"), Encap::Native, PEER_PORT);
        let id = self.sim.with(self.host, |h, now| h.stack.connect(now, PORT, &peer, None));
        self.called.push(id.expect("a connection"));
        self.called[0]
    }

    /// Sends one chunk and returns what the stack answers at once.
    fn send(&mut self, vtag: u32, kind: u8, value: &[u8]) -> Vec<IpPacket> {
        let mut out = Vec::new();
        let mut writer = PacketWriter::new(&mut out, 65_000, PEER_PORT, PORT, vtag);
        writer.raw_chunk(kind, 0, value);
        writer.finish();
        let (src, dst) = (PEER.parse().expect("an address"), OURS.parse().expect("an address"));
        self.sim.provoke(IpPacket::native(src, dst, sealed(&out))).expect("the host listens")
    }

    /// Time passes, then every association is aborted. Nothing may be left.
    fn end(mut self) {
        self.sim.run_for(Duration::from_secs(2));
        let (app, host) = (&self.sim[self.host].app, self.host);
        let mut ids = [&app.accepted[..], &self.called].concat();
        ids.extend(app.events.iter().map(|(_, id, _)| *id));
        ids.sort();
        ids.dedup();
        self.sim.with(host, |h, now| {
            for id in ids {
                if h.stack.status(id).is_some_and(|s| s.state != AssocState::Closed) {
                    h.stack.abort(now, id, "enough".into()).expect("it is open");
                }
                h.stack.release(now, id);
            }
            assert_eq!(h.stack.stats().associations, 0, "associations left");
        });
        assert!(self.sim.run_until_idle(Duration::from_secs(1)), "timers left");
    }
}

/// The value of an INIT: sixteen bytes of the fixed part, then parameters. A tag of 0 is replaced
/// by a valid one.
fn init_value(data: &[u8]) -> Vec<u8> {
    let mut value = data.to_vec();
    value.truncate(4_000);
    value.resize(value.len().max(16), 0);
    if value[..4] == [0; 4] {
        value[..4].copy_from_slice(&PEER_TAG.to_be_bytes());
    }
    value
}

/// Sends an INIT to a listener and echoes the cookie of its answer; then sends an INIT ACK to a
/// caller.
pub(super) fn init(data: &[u8]) {
    let value = init_value(data);
    let mut rig = Rig::new();
    let replies = rig.send(0, chunk_type::INIT, &value);
    assert!(replies.len() <= 1, "one INIT got {} answers", replies.len());
    if let Some(reply) = replies.first() {
        let packet = reply.packet().expect("a valid packet");
        let request = 16 + value.len();
        assert_eq!(packet.vtag().to_be_bytes(), value[..4], "the answer has the initiate tag");
        match packet.chunks().next().expect("a chunk").decode(&packet).expect("our own chunk") {
            Chunk::InitAck(answer) => {
                assert!(
                    packet.len() <= 3 * request.max(100),
                    "{} bytes for {request}",
                    packet.len()
                );
                let cookie = Tlvs::new(answer.params.as_bytes())
                    .find(|tlv| tlv.kind == 7)
                    .expect("a cookie");
                rig.send(answer.initiate_tag, chunk_type::COOKIE_ECHO, cookie.value);
                assert_eq!(
                    rig.sim[rig.host].app.accepted.len(),
                    1,
                    "the stack accepts its own cookie"
                );
            }
            Chunk::Abort { .. } => {
                assert!(packet.len() <= request, "{} bytes for {request}", packet.len())
            }
            other => panic!("an INIT was answered with {other:?}"),
        }
    }
    rig.end();

    let mut rig = Rig::new();
    let id = rig.call();
    rig.sim.with(rig.host, |h, now| h.send(now, id, 0, b"early").expect("room"));
    let tag = rig.sim[rig.host].stack.status(id).expect("it lives").local_tag;
    rig.send(tag, chunk_type::INIT_ACK, &value);
    rig.send(tag, chunk_type::COOKIE_ACK, &[]);
    rig.end();
}

/// A cookie of any bytes is refused. A cookie with any contents but a correct seal, which nobody
/// else can make, breaks nothing.
pub(super) fn cookie(data: &[u8]) {
    let mut input = Input::new(data);
    let how = input.u8();
    let bytes = input.rest();
    let mut rig = Rig::new();
    let replies = rig.send(PEER_TAG, chunk_type::COOKIE_ECHO, bytes);
    assert!(replies.is_empty(), "a forged cookie was answered");
    let stats = rig.sim[rig.host].stack.stats();
    assert_eq!(
        (stats.associations, stats.cookies_accepted),
        (0, 0),
        "a forged cookie was accepted"
    );

    // The body begins after the number of the key. Make ports and tag match the packet.
    let mut body = bytes.to_vec();
    body.truncate(2_000);
    if how & 1 != 0 && body.len() >= 24 {
        body[12..14].copy_from_slice(&PORT.to_be_bytes());
        body[14..16].copy_from_slice(&PEER_PORT.to_be_bytes());
        body[16..20].copy_from_slice(&PEER_TAG.to_be_bytes());
        // This stack makes no cookie for an INIT whose tag is 0.
        body[20] |= 1;
    }
    if how & 2 != 0 {
        // The host is already setting up an association with the same peer.
        rig.call();
    }
    let cookie = rig.sim[rig.host].stack.seal_anything(&body);
    rig.send(PEER_TAG, chunk_type::COOKIE_ECHO, &cookie);
    rig.send(PEER_TAG, chunk_type::COOKIE_ECHO, &cookie);
    rig.send(PEER_TAG, chunk_type::SHUTDOWN_ACK, &[]);
    rig.end();
}
