//! SCTP_AUTOCLOSE: associations that nobody uses are shut down (RFC 6458 sec 8.1.8).

use core::time::Duration;

use crate::stack::AssocId;
use crate::time::Time;

use super::Sockets;
use super::options::Style;

impl Sockets {
    /// Queues an association for [`close_idle`](Self::close_idle) if its socket has the option set.
    pub(super) fn watch_idle(&mut self, id: AssocId) {
        let Some(idle) = self.autoclose_of(id) else { return };
        if let Some(assoc) = self.assocs.get_mut(&id)
            && assoc.autoclose_at.is_none()
            && assoc.up
            && assoc.end.is_none()
        {
            let at = assoc.idle_since + idle;
            assoc.autoclose_at = Some(at);
            self.autoclose.insert((at, id));
        }
    }

    /// Takes an association out of the queue.
    pub(super) fn unwatch_idle(&mut self, id: AssocId) {
        if let Some(at) = self.assocs.get_mut(&id).and_then(|a| a.autoclose_at.take()) {
            self.autoclose.remove(&(at, id));
        }
    }

    /// Begins the shutdown of associations that have been idle for long enough. Traffic does not
    /// move the deadline in the queue. When the deadline comes, this checks whether data has moved
    /// since, and queues the association again if so.
    pub(super) fn close_idle(&mut self, now: Time) {
        while let Some((at, id)) = self.autoclose.first().copied()
            && at <= now
        {
            self.autoclose.pop_first();
            let Some(assoc) = self.assocs.get_mut(&id) else { continue };
            assoc.autoclose_at = None;
            // While the reader lags behind, the stack gives no event for each arrival. The counters
            // show whether data has moved.
            let chunks = self.stack.assoc_stats(id).map_or(0, |s| s.data_chunks_received);
            let sending = self.stack.status(id).is_some_and(|s| s.send_buffered > 0);
            if sending || (chunks != assoc.chunks_seen && assoc.readable) {
                assoc.idle_since = now;
            }
            assoc.chunks_seen = chunks;
            let due = self.autoclose_of(id).is_some_and(|idle| self.idle_deadline(id, idle) <= now);
            if due {
                self.begin_shutdown(now, id);
            } else {
                self.watch_idle(id);
            }
        }
        self.handle_events(now);
    }

    /// Queues every association of a socket again, with the new value of the option.
    pub(super) fn watch_members(&mut self, id: super::SocketId) {
        for assoc in self.assocs_of(id) {
            self.unwatch_idle(assoc);
            self.watch_idle(assoc);
        }
    }

    fn idle_deadline(&self, id: AssocId, idle: Duration) -> Time {
        self.assocs.get(&id).map_or(Time::MAX, |a| a.idle_since + idle)
    }

    fn autoclose_of(&self, id: AssocId) -> Option<Duration> {
        let socket = self.socket(self.assocs.get(&id)?.socket)?;
        if socket.style == Style::OneToMany { socket.options.autoclose } else { None }
    }
}
