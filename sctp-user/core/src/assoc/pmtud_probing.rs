//! Path MTU discovery of an association: when it runs, its probe packets, and what its results
//! change (RFC 8899).

use rand::RngExt;

use super::heartbeat::{HEARTBEAT_LEN, Info, info};
use super::path::PathId;
use super::{Association, Cx};
use crate::addr::Transmit;
use crate::stats::PathState;
use crate::wire::{CHUNK_HEADER, COMMON_HEADER, chunk_type};

impl Association {
    /// Starts or stops the discovery on a path, depending on its state, the settings and the
    /// association.
    pub(super) fn update_discovery(&mut self, cx: &Cx<'_>, id: PathId) {
        let runs = self.may_probe();
        let path = self.paths.get_mut(id);
        if runs && path.may_discover() {
            path.pmtud.start(cx.now);
        } else if path.is_confirmed() {
            path.pmtud.stop();
        }
    }

    /// The deadline of a probe may have passed.
    pub(super) fn on_probe_timer(&mut self, cx: &Cx<'_>, id: PathId) {
        let path = self.paths.get_mut(id);
        if path.pmtud.deadline().is_some_and(|at| at <= cx.now) {
            let healthy = path.state == PathState::Active && path.error_count == 0;
            path.pmtud.on_timer(cx.now, healthy);
            path.pmtu_changed();
        }
    }

    /// Writes a due probe: HEARTBEAT and PAD (RFC 4820), alone in a packet of the size to try. Its
    /// loss affects neither congestion control nor error counts nor the RTO.
    pub(super) fn transmit_probe(
        &mut self,
        cx: &mut Cx<'_>,
        buf: &mut Vec<u8>,
    ) -> Option<Transmit> {
        if !self.may_probe() {
            return None;
        }
        let id = self.paths.ids().find(|&id| self.paths.get(id).pmtud.due().is_some())?;
        let size = self.paths.get(id).pmtud.due()?;
        let nonce = self.paths.get(id).pmtud.nonce().unwrap_or_else(|| cx.rng.random());
        let probe = u16::try_from(size).unwrap_or(u16::MAX);
        let mut writer = self.writer(buf, size, self.peer_tag);
        writer.heartbeat(&info(Info { nonce, path: id.0, number: 0, probe }));
        let padding = size.saturating_sub(COMMON_HEADER + HEARTBEAT_LEN + CHUNK_HEADER);
        writer.raw_chunk(chunk_type::PAD, 0, &vec![0; padding]);
        let len = writer.finish();
        let path = self.paths.get_mut(id);
        path.pmtud.on_sent(nonce, cx.now, path.rto.get());
        Some(path.transmit(len, false))
    }

    /// HEARTBEAT ACK for a probe.
    pub(super) fn on_probe_ack(&mut self, cx: &mut Cx<'_>, id: PathId, nonce: u64, size: usize) {
        let path = self.paths.get_mut(id);
        let before = path.pmtu();
        if !path.pmtud.on_ack(nonce, size, cx.now) {
            return;
        }
        self.path_works(cx, id);
        self.clear_association_errors();
        self.pmtu_found(id, before);
    }

    /// An ordinary heartbeat was answered. If large packets do not arrive at the same time, there
    /// is a black hole.
    pub(super) fn on_small_packet_acked(&mut self, cx: &Cx<'_>, id: PathId) {
        let path = self.paths.get_mut(id);
        let before = path.pmtu();
        if path.pmtud.on_small_acked(cx.now) {
            self.pmtu_found(id, before);
        }
    }

    /// The PMTU of a path may have changed. If it shrank because of a black hole, whatever is in
    /// flight is lost. It is sent again at once; chunks that are now too large go without DF.
    fn pmtu_found(&mut self, id: PathId, before: usize) {
        let path = self.paths.get_mut(id);
        path.pmtu_changed();
        if path.pmtu() >= before || (path.flight == 0 && path.lost == 0) {
            return;
        }
        path.t3 = None;
        path.largest_sent = 0;
        path.retransmit_now = true;
        let used = self.send.outstanding.window_used();
        self.send.outstanding.on_t3(id, id, &mut self.paths);
        self.send.peer_rwnd += used - self.send.outstanding.window_used();
    }
}
