//! Fuzzes an association in any state with any chunks that carry the right tag. The association may
//! end, but nothing breaks.

use std::time::Duration;

use super::input::Input;
use super::packet::sealed;
use crate::sim::{Host, IpPacket, NodeId, Recorder, Sim};
use crate::wire::PacketWriter;
use crate::{AssocConfig, AssocId, AssocState, StackConfig};

const OURS: &str = "198.18.0.1";
const PEER: &str = "198.18.0.2";
const PORT: u16 = 5000;
const PEER_PORT: u16 = 6000;
const RECV_BUFFER: usize = 8_192;
const MOST_PACKETS: usize = 64;

/// The end under test, and what is needed to send packets to it in the name of its peer.
pub(super) struct Victim {
    pub(super) sim: Sim,
    host: NodeId<Host<Recorder>>,
    id: AssocId,
    tag: u32,
    /// The next TSN, and the cumulative acknowledgement, with which the peer goes on.
    tsn: u32,
    acked: u32,
}

/// The first byte chooses the state of the association. Then each record is one packet: a byte that
/// says where it comes from and what happens before it, two bytes of length, and the bytes of its
/// chunks. TSNs in the chunks count from the next expected ones.
pub(super) fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let mut victim = Victim::new(input.u8());
    for _ in 0..MOST_PACKETS {
        if input.is_empty() {
            break;
        }
        let (how, len) = (input.u8(), usize::from(input.u16()));
        victim.prepare(how);
        victim.send(input.bytes(len.min(9_000)), how & 8 != 0);
    }
    victim.end();
}

impl Victim {
    /// An association that has exchanged a bit of data. `choice` picks its state.
    pub(super) fn new(choice: u8) -> Self {
        let mut sim = Sim::new(1);
        sim.last_words = false;
        sim.net.log_limit = 1;
        let stack = || StackConfig {
            ootb_native: true,
            initial_tsn: Some(1_000),
            ..StackConfig::default()
        };
        let host = sim.host_with(stack(), &[OURS], Recorder::default());
        let peer = sim.host_with(stack(), &[PEER], Recorder::default());
        let config = AssocConfig { recv_buffer: RECV_BUFFER, ..AssocConfig::default() };
        sim[host].config = config.clone();
        sim[peer].config = config;
        let at = sim.with(host, |h, _| h.listen(PORT));
        let theirs = sim.with(peer, |h, now| {
            h.bind(PEER_PORT);
            h.stack.connect(now, PEER_PORT, &at, None).expect("a connection")
        });
        let id = sim[host].app.accepted.first().copied().unwrap_or_else(|| {
            sim.run_for(Duration::from_millis(10));
            sim[host].app.accepted[0]
        });
        sim.with(peer, |h, now| h.send(now, theirs, 0, b"hello").expect("room"));
        sim.with(host, |h, now| h.send(now, id, 0, b"welcome").expect("room"));
        sim.run_for(Duration::from_secs(1));
        sim.kill(peer);
        let mut victim = Victim { sim, host, id, tag: 0, tsn: 1_001, acked: 1_000 };
        victim.tag = victim.sim[host].stack.status(id).expect("it lives").local_tag;
        let cum = victim.acked;
        match choice % 6 {
            0 => {}
            1 => victim.talk(10),
            2 => {
                victim.talk(1);
                victim.shut_down();
            }
            3 => victim.shut_down(),
            4 => {
                victim.talk(1);
                victim.write(|w| w.shutdown(crate::Tsn(cum)));
            }
            _ => victim.write(|w| w.shutdown(crate::Tsn(cum))),
        }
        victim.sim[host].app.reading = choice & 0x80 == 0;
        victim
    }

    /// The user sends messages of several chunks.
    fn talk(&mut self, count: u32) {
        let id = self.id;
        for n in 0..count {
            self.sim.with(self.host, |h, now| {
                let _ = h.send(now, id, (n % 10) as u16, vec![7; 900 * (n as usize % 4) + 1]);
            });
        }
    }

    fn shut_down(&mut self) {
        let id = self.id;
        // Fails if the association has ended already.
        let _ = self.sim.with(self.host, |h, now| h.stack.shutdown(now, id));
    }

    fn write(&mut self, write: impl FnOnce(&mut PacketWriter<'_>)) {
        let mut out = Vec::new();
        let mut writer = PacketWriter::new(&mut out, 9_000, PEER_PORT, PORT, self.tag);
        write(&mut writer);
        writer.finish();
        self.give(out, false);
    }

    /// What happens before a packet: time passes, or the user sends, reads or shuts down.
    pub(super) fn prepare(&mut self, how: u8) {
        let id = self.id;
        match how & 7 {
            1 => self.sim.run_for(Duration::from_millis(100)),
            2 => self.sim.run_for(Duration::from_secs(3)),
            3 => self.talk(3),
            4 => self.sim.with(self.host, |h, now| h.script(now, |app, cx| app.read_all(cx, id))),
            5 => self.shut_down(),
            _ => {}
        }
    }

    /// Sends chunks. TSNs in DATA, SACK and SHUTDOWN are relative to where the association stands.
    pub(super) fn send(&mut self, chunks: &[u8], elsewhere: bool) {
        let mut bytes = Vec::with_capacity(12 + chunks.len());
        bytes.extend_from_slice(&PEER_PORT.to_be_bytes());
        bytes.extend_from_slice(&PORT.to_be_bytes());
        bytes.extend_from_slice(&self.tag.to_be_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(chunks);
        let mut at = 12;
        while let Some(&[kind, _, l0, l1]) = bytes.get(at..at + 4).and_then(|h| h.first_chunk()) {
            let base = match kind {
                0 => self.tsn,
                3 | 7 => self.acked,
                _ => 0,
            };
            if let Some(field) =
                bytes.get_mut(at + 4..at + 8).and_then(|f| f.first_chunk_mut::<4>())
            {
                *field = u32::from_be_bytes(*field).wrapping_add(base).to_be_bytes();
            }
            at += usize::from(u16::from_be_bytes([l0, l1])).max(4).next_multiple_of(4);
        }
        self.give(bytes, elsewhere);
    }

    fn give(&mut self, bytes: Vec<u8>, elsewhere: bool) {
        let src = if elsewhere { "198.18.0.3" } else { PEER };
        let (src, dst) = (src.parse().expect("an address"), OURS.parse().expect("an address"));
        self.sim.provoke(IpPacket::native(src, dst, sealed(&bytes)));
        if let Some(status) = self.sim[self.host].stack.status(self.id) {
            assert!(
                status.recv_buffered <= RECV_BUFFER + 9_000,
                "{} bytes held",
                status.recv_buffered
            );
        }
    }

    /// Whatever happened, the association can be ended and leaves nothing behind.
    pub(super) fn end(mut self) {
        let id = self.id;
        self.sim.run_for(Duration::from_secs(5));
        for id in std::iter::once(id).chain(self.sim[self.host].app.accepted.clone()) {
            self.sim.with(self.host, |h, now| {
                if h.stack.status(id).is_some_and(|s| s.state != AssocState::Closed) {
                    h.stack.abort(now, id, "enough".into()).expect("it is open");
                }
                h.stack.release(now, id);
            });
        }
        let stack = &self.sim[self.host].stack;
        assert_eq!(stack.stats().associations, 0, "associations left");
        assert!(self.sim.run_until_idle(Duration::from_secs(1)), "timers left");
    }
}
