//! Turns the stack's events into notifications, readiness and pending errors.

use crate::event::{Event, LossReason};
use crate::features::Features;
use crate::stack::AssocId;
use crate::time::Time;

use super::error::EndReason;
use super::notification::{AssocChange, Notification};
use super::options::Style;
use super::record::{Assoc, Readiness};
use super::{SocketId, Sockets};

impl Sockets {
    /// Handles all events that the stack has queued. Every call that may cause events calls this at
    /// its end.
    pub(super) fn handle_events(&mut self, now: Time) {
        while let Some((id, event)) = self.stack.poll_event() {
            self.on_event(now, id, event);
        }
    }

    fn on_event(&mut self, now: Time, id: AssocId, event: Event) {
        if !self.assocs.contains(&id) && !self.add_incoming(now, id, &event) {
            return; // released, or gone before anybody could know it
        }
        match event {
            Event::Up { outbound_streams, inbound_streams, .. } => {
                let Some(assoc) = self.assocs.get_mut(&id) else { return };
                assoc.up = true;
                assoc.idle_since = now;
                let accepted = assoc.accepted;
                let features = self.features(id);
                let change = AssocChange::Up { outbound_streams, inbound_streams, features };
                self.notify(id, Notification::AssocChange(change));
                if accepted {
                    self.mark_ready(
                        id,
                        Readiness { connected: true, writable: true, ..Readiness::default() },
                    );
                } else {
                    self.mark_ready(id, Readiness { acceptable: true, ..Readiness::default() });
                }
                self.watch_idle(id);
            }
            Event::Restart { outbound_streams, inbound_streams, before } => {
                let Some(assoc) = self.assocs.get_mut(&id) else { return };
                assoc.peer_shutdown = false; // the old process had begun it
                assoc.restarts += 1;
                let at = assoc.delivered + before as u64;
                // If nobody has accepted the association yet and nothing from the old process can
                // be read, its later reader has nothing to do with the old process and needs no
                // mark.
                let marked = (assoc.accepted || before > 0) && !assoc.discard;
                if marked {
                    assoc.notes.mark_restart(at);
                    self.queue_read(id);
                }
                let features = self.features(id);
                let change = AssocChange::Restart { outbound_streams, inbound_streams, features };
                let told = self.notify_at(id, Some(at), Notification::AssocChange(change));
                if marked
                    && told
                    && let Some(assoc) = self.assocs.get_mut(&id)
                {
                    assoc.notes.restart_is_told();
                }
                self.mark_ready(
                    id,
                    Readiness { readable: marked, writable: true, ..Readiness::default() },
                );
            }
            Event::Lost(reason) => self.end(id, EndReason::Lost(reason)),
            Event::ShutdownComplete => self.end(id, EndReason::Graceful),
            Event::PeerShutdown => {
                if let Some(assoc) = self.assocs.get_mut(&id) {
                    assoc.peer_shutdown = true;
                }
                self.notify(id, Notification::PeerShutdown);
                self.mark_ready(
                    id,
                    Readiness { readable: true, writable: true, ..Readiness::default() },
                );
            }
            Event::PeerAddrChange { addr, state } => {
                self.notify(id, Notification::PeerAddrChange { addr, state });
            }
            Event::RemoteError { cause, info } => {
                self.notify(id, Notification::RemoteError { cause, info })
            }
            Event::SendFailed { message, unsent } => {
                self.notify(id, Notification::SendFailed { message, unsent });
            }
            Event::SenderDry => self.notify(id, Notification::SenderDry),
            Event::PartialDeliveryAborted { stream, ssn, before } => {
                let Some(assoc) = self.assocs.get_mut(&id) else { return };
                let at = assoc.delivered + before as u64;
                assoc.cut_off_at(at);
                let aborted = Notification::PartialDeliveryAborted { stream, ssn };
                self.notify_at(id, Some(at), aborted);
            }
            Event::Readable => self.on_readable(now, id),
            Event::Writable => {
                self.mark_ready(id, Readiness { writable: true, ..Readiness::default() })
            }
        }
    }

    /// Makes a record for a new incoming association. False when the event does not announce one.
    fn add_incoming(&mut self, now: Time, id: AssocId, event: &Event) -> bool {
        if !matches!(event, Event::Up { incoming: true, .. }) {
            return false;
        }
        let Some(port) = self.stack.status(id).map(|status| status.local_port) else {
            return false;
        };
        let Some(owner) = self.ports.get(&port).copied() else { return false };
        let Some(style) = self.socket(owner).map(|s| s.style) else { return false };
        self.assocs.insert(id, Assoc::new(owner, false, now));
        if style == Style::OneToMany {
            self.take_incoming(now, port, owner);
        }
        true
    }

    /// Makes every association that waits on `port` a member of the socket `owner`.
    pub(super) fn take_incoming(&mut self, now: Time, port: u16, owner: SocketId) {
        while let Some(id) = self.stack.accept(port) {
            if !self.assocs.contains(&id) {
                self.assocs.insert(id, Assoc::new(owner, true, now));
            }
            if let Some(assoc) = self.assocs.get_mut(&id) {
                assoc.accepted = true;
            }
            if let Some(socket) = self.socket_mut(owner) {
                socket.members.insert(id);
            }
            self.queue_read(id);
        }
    }

    fn features(&self, id: AssocId) -> Features {
        self.stack.status(id).map(|status| status.features).unwrap_or_default()
    }

    fn on_readable(&mut self, now: Time, id: AssocId) {
        let Some(assoc) = self.assocs.get_mut(&id) else { return };
        assoc.idle_since = now;
        assoc.readable = true;
        self.queue_read(id);
        self.mark_ready(id, Readiness { readable: true, ..Readiness::default() });
    }

    fn end(&mut self, id: AssocId, reason: EndReason) {
        let Some(assoc) = self.assocs.get_mut(&id) else { return };
        if assoc.end.is_some() {
            return;
        }
        let change = match &reason {
            EndReason::Graceful => AssocChange::ShutdownComplete,
            EndReason::Lost(_) if assoc.up => AssocChange::Lost(reason.clone()),
            EndReason::Lost(_) => AssocChange::CannotStart(reason.clone()),
        };
        assoc.end = Some(reason.clone());
        let (owner, accepted) = (assoc.socket, assoc.accepted);
        self.notify(id, Notification::AssocChange(change));
        if accepted
            && let Some(socket) = self.socket_mut(owner)
            && socket.style == Style::OneToOne
            && !matches!(reason, EndReason::Graceful | EndReason::Lost(LossReason::LocalAbort))
        {
            socket.error = Some(reason);
        }
        self.unwatch_idle(id);
        self.queue_read(id); // so that a reader finds the end
        self.mark_ready(
            id,
            Readiness {
                readable: true,
                writable: true,
                connected: true,
                ended: true,
                acceptable: false,
            },
        );
    }

    /// Queues a notification for the reader if the reader has subscribed to it.
    pub(super) fn notify(&mut self, id: AssocId, notification: Notification) {
        self.notify_at(id, None, notification);
    }

    /// As [`notify`](Self::notify), but the reader gets it after `at` messages of the association,
    /// counted from its start. `None` puts it behind the messages that are there now. False when
    /// nobody subscribed to it or too many wait already.
    fn notify_at(&mut self, id: AssocId, at: Option<u64>, notification: Notification) -> bool {
        let Some((owner, own)) = self.assocs.get(&id).map(|a| (a.socket, a.subscriptions)) else {
            return false;
        };
        let Some(options) = self.socket(owner).map(|s| &s.options) else { return false };
        if !own.unwrap_or(options.subscriptions).wants(&notification) {
            return false;
        }
        let failed_limit = (2 * options.config.send_buffer).max(FAILED_BYTES_FLOOR);
        let pending = self.messages_waiting(id);
        let Some(assoc) = self.assocs.get_mut(&id) else { return false };
        let at = at.unwrap_or(assoc.delivered + pending);
        let queued = assoc.notes.push(at, notification, failed_limit);
        self.queue_read(id);
        self.mark_ready(id, Readiness { readable: true, ..Readiness::default() });
        queued
    }

    /// Appends an association to the reading queue of its socket.
    pub(super) fn queue_read(&mut self, id: AssocId) {
        let Some(assoc) = self.assocs.get_mut(&id) else { return };
        if assoc.queued || !assoc.accepted {
            return;
        }
        let owner = assoc.socket;
        assoc.queued = true;
        let Sockets { sockets, assocs, .. } = self;
        let socket = sockets.get_mut(owner.index as usize).filter(|s| s.serial == owner.serial);
        let Some(socket) = socket else { return };
        if socket.to_read.len() >= 2 * socket.members.len() + TO_READ_SLACK {
            socket.to_read.retain(|a| assocs.get(a).is_some_and(|a| a.reads_from(owner)));
        }
        socket.to_read.push_back(id);
    }

    /// Records what has become possible for the socket of an association.
    pub(super) fn mark_ready(&mut self, id: AssocId, readiness: Readiness) {
        if let Some(owner) = self.assocs.get(&id).map(|a| a.socket) {
            self.mark_socket_ready(owner, readiness);
        }
    }

    pub(super) fn mark_socket_ready(&mut self, id: SocketId, readiness: Readiness) {
        let Some(socket) = self.socket_mut(id) else { return };
        let had = socket.readiness;
        socket.readiness = Readiness {
            readable: had.readable | readiness.readable,
            writable: had.writable | readiness.writable,
            acceptable: had.acceptable | readiness.acceptable,
            connected: had.connected | readiness.connected,
            ended: had.ended | readiness.ended,
        };
        if had.is_empty() && !socket.readiness.is_empty() {
            self.ready.push_back(id);
        }
    }
}

/// A reading queue may always hold this many entries of associations that are gone.
const TO_READ_SLACK: usize = 16;
/// This many bytes of failed messages may always wait to be read, and more when the send buffer is
/// larger.
const FAILED_BYTES_FLOOR: usize = 1 << 20;
