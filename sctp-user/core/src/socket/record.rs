//! What this module keeps for each socket and each association.

use std::collections::{BTreeSet, VecDeque};
use std::net::IpAddr;

use crate::stack::AssocId;
use crate::time::Time;

use super::error::{EndReason, SocketError};
use super::notification::{Notification, Subscriptions};
use super::options::{SocketOptions, Style};
use super::send_defaults::SendDefaults;
use super::{Ready, SocketId};

/// An open socket.
pub(super) struct Socket {
    pub(super) serial: u64,
    pub(super) style: Style,
    pub(super) options: SocketOptions,
    /// The SCTP port, when bound.
    pub(super) port: Option<u16>,
    /// Whether closing this socket gives the port up. Accepted and peeled-off sockets only share
    /// the port.
    pub(super) owns_port: bool,
    pub(super) addrs: Vec<IpAddr>,
    pub(super) listening: bool,
    /// Its associations. A [`Style::OneToOne`] socket has at most one, except for a listener while
    /// everything is being shut down.
    pub(super) members: BTreeSet<AssocId>,
    /// The reading queue: associations that may have something to read. They take turns. Entries
    /// are deleted lazily: an entry counts only if its association still
    /// [`reads_from`](Assoc::reads_from) this socket.
    pub(super) to_read: VecDeque<AssocId>,
    /// SO_ERROR of a one-to-one socket.
    pub(super) error: Option<EndReason>,
    pub(super) readiness: Readiness,
}

impl Socket {
    pub(super) fn new(serial: u64, style: Style, options: SocketOptions) -> Self {
        Socket {
            serial,
            style,
            options,
            port: None,
            owns_port: false,
            addrs: Vec::new(),
            listening: false,
            members: BTreeSet::new(),
            to_read: VecDeque::new(),
            error: None,
            readiness: Readiness::default(),
        }
    }
}

/// What has become possible since [`Sockets::poll_ready`](super::Sockets::poll_ready) last named
/// the socket.
#[derive(Clone, Copy, Default)]
pub(super) struct Readiness {
    pub(super) readable: bool,
    pub(super) writable: bool,
    pub(super) acceptable: bool,
    pub(super) connected: bool,
    pub(super) ended: bool,
}

impl Readiness {
    pub(super) fn is_empty(self) -> bool {
        !(self.readable || self.writable || self.acceptable || self.connected || self.ended)
    }

    pub(super) fn take(&mut self, socket: SocketId) -> Ready {
        let Readiness { readable, writable, acceptable, connected, ended } = std::mem::take(self);
        Ready { socket, readable, writable, acceptable, connected, ended }
    }
}

/// An association as its socket sees it.
pub(super) struct Assoc {
    /// The socket it belongs to. This is the listening socket until the association is accepted.
    pub(super) socket: SocketId,
    pub(super) accepted: bool,
    /// The notifications chosen for this association alone. `None`: those of its socket.
    pub(super) subscriptions: Option<Subscriptions>,
    /// Defaults for sending over this association alone. `None`: those of its socket.
    pub(super) send_defaults: Option<SendDefaults>,
    /// It has come up.
    pub(super) up: bool,
    pub(super) end: Option<EndReason>,
    /// This side began the shutdown.
    pub(super) shutdown_begun: bool,
    /// The peer began the shutdown: nothing more will come.
    pub(super) peer_shutdown: bool,
    /// The stack may have messages.
    pub(super) readable: bool,
    /// The reader has got a part of a message, and what it gets next is the next part.
    pub(super) partial: bool,
    /// The number of the part after which its message breaks off, counted as in
    /// [`delivered`](Self::delivered).
    cut_off: Option<u64>,
    /// The user does not read any more (SHUT_RD).
    pub(super) discard: bool,
    /// It stands in `to_read` of its socket.
    pub(super) queued: bool,
    /// It is not forgotten when its end has been read.
    pub(super) kept: bool,
    /// How many messages (and parts) the reader has got so far.
    pub(super) delivered: u64,
    pub(super) notes: Notes,
    /// Restarts of the peer so far.
    pub(super) restarts: u64,
    /// When user data last moved, for SCTP_AUTOCLOSE.
    pub(super) idle_since: Time,
    /// How many DATA chunks had been received when autoclose last looked.
    pub(super) chunks_seen: u64,
    /// Its place in the autoclose queue.
    pub(super) autoclose_at: Option<Time>,
}

impl Assoc {
    pub(super) fn new(socket: SocketId, accepted: bool, now: Time) -> Self {
        Assoc {
            socket,
            accepted,
            subscriptions: None,
            send_defaults: None,
            up: false,
            end: None,
            shutdown_begun: false,
            peer_shutdown: false,
            readable: false,
            partial: false,
            cut_off: None,
            discard: false,
            queued: false,
            kept: false,
            delivered: 0,
            notes: Notes::default(),
            restarts: 0,
            idle_since: now,
            chunks_seen: 0,
            autoclose_at: None,
        }
    }

    /// It stands in the reading queue of this socket.
    pub(super) fn reads_from(&self, socket: SocketId) -> bool {
        self.queued && self.socket == socket
    }

    /// The message whose part has the number `at` breaks off after that part.
    pub(super) fn cut_off_at(&mut self, at: u64) {
        self.cut_off = Some(at);
        self.partial &= self.delivered < at;
    }

    /// The reader gets a message or a part of one.
    pub(super) fn count_delivery(&mut self, end_of_record: bool) {
        self.delivered += 1;
        self.partial = !end_of_record && self.cut_off != Some(self.delivered);
    }

    /// The reader gets a message or part out of turn: `before` others, which wait, come before it.
    pub(super) fn count_early_delivery(&mut self, before: u64, end_of_record: bool) {
        if before == 0 {
            return self.count_delivery(end_of_record);
        }
        let place = self.delivered + before;
        self.notes.make_way(place);
        self.cut_off = match self.cut_off {
            Some(at) if at <= place => Some(at + 1),
            Some(at) if at == place + 1 => None,
            other => other,
        };
        self.delivered += 1;
    }

    /// What the reader gets before the next message. `drained` says that no message waits. Nothing
    /// comes between the parts of a message.
    pub(super) fn next_note(&self, style: Style, drained: bool) -> Option<&Note> {
        if self.partial {
            return None;
        }
        self.notes.due(self.delivered, drained).find(|note| !self.skips(style, note))
    }

    /// Takes what [`next_note`](Self::next_note) shows. A restart comes as an error.
    pub(super) fn take_note(
        &mut self,
        style: Style,
        drained: bool,
    ) -> Result<Option<Notification>, SocketError> {
        while !self.partial && self.notes.due(self.delivered, drained).next().is_some() {
            match self.notes.pop() {
                Some(note) if self.skips(style, &note) => {}
                Some(Note::Notification(notification)) => return Ok(Some(notification)),
                Some(Note::Restart { .. }) => return Err(SocketError::Restarted),
                None => break,
            }
        }
        Ok(None)
    }

    /// The reader learns of a restart once. If it has subscribed to the notification, that is
    /// enough. A one-to-many socket has only the notification (RFC 6458 sec 6.1.1).
    fn skips(&self, style: Style, note: &Note) -> bool {
        match note {
            Note::Notification(_) => false,
            Note::Restart { told } => *told || self.discard || style == Style::OneToMany,
        }
    }
}

/// Notifications and restarts that wait to be read, with their places among the messages. The queue
/// is bounded because a peer can cause many.
#[derive(Default)]
pub(super) struct Notes {
    queue: VecDeque<PlacedNote>,
    /// Bytes of failed messages in the queue.
    failed_bytes: usize,
    /// [`Notification::Stopped`] stands in the queue. Until it is read, nothing more is queued.
    stopped: bool,
    /// Marks of restarts that were read so far.
    restarts_read: u64,
}

struct PlacedNote {
    /// The reader gets it after this many messages of the association, or when no message waits.
    after: u64,
    note: Note,
}

/// What can stand between messages.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Note {
    Notification(Notification),
    /// The peer's old process sent what came before, and its new one sends what follows. `told`
    /// says that a notification of the restart stands here as well.
    Restart {
        told: bool,
    },
}

impl Notes {
    /// Adds a notification behind those for the same place and before those for later places.
    /// `failed_limit` bounds the bytes of messages handed back. False when there is no room.
    pub(super) fn push(
        &mut self,
        after: u64,
        notification: Notification,
        failed_limit: usize,
    ) -> bool {
        let fits = match &notification {
            // The end comes only once, so it needs no limit.
            Notification::AssocChange(change) if change.is_end() => true,
            _ if self.stopped => return false,
            Notification::SendFailed { message, .. } => {
                let bytes = message.data.len() + FAILED_OVERHEAD;
                let fits = self.failed_bytes + bytes <= failed_limit;
                self.failed_bytes += if fits { bytes } else { 0 };
                fits
            }
            _ => self.queue.len() < NOTES_LIMIT,
        };
        self.stopped |= !fits;
        let notification = if fits { notification } else { Notification::Stopped };
        self.insert(after, Note::Notification(notification));
        fits
    }

    /// Marks the place of a restart. Restarts without a message between them count as one, so that
    /// there are never more marks than waiting messages.
    pub(super) fn mark_restart(&mut self, after: u64) {
        let here = |placed: &&PlacedNote| placed.after == after;
        let marked = self.queue.iter().rev().skip_while(|placed| placed.after > after);
        if !marked.take_while(here).any(|placed| matches!(placed.note, Note::Restart { .. })) {
            self.insert(after, Note::Restart { told: false });
        }
    }

    /// Records that the notification of the last marked restart is queued, too.
    pub(super) fn restart_is_told(&mut self) {
        let last = self.queue.iter_mut().rev().find_map(|placed| match &mut placed.note {
            Note::Restart { told } => Some(told),
            Note::Notification(_) => None,
        });
        if let Some(told) = last {
            *told = true;
        }
    }

    /// How many messages have to be given until the first restart comes.
    pub(super) fn first_restart(&self) -> Option<u64> {
        let is_restart = |note: &&PlacedNote| matches!(note.note, Note::Restart { .. });
        self.queue.iter().find(is_restart).map(|note| note.after)
    }

    /// The message that had `place` others before it was given already: what comes up to there
    /// comes after one message more.
    fn make_way(&mut self, place: u64) {
        let up_to = self.queue.iter_mut().take_while(|note| note.after <= place);
        up_to.for_each(|note| note.after += 1);
    }

    fn insert(&mut self, after: u64, note: Note) {
        let place =
            self.queue.iter().rposition(|placed| placed.after <= after).map_or(0, |last| last + 1);
        self.queue.insert(place, PlacedNote { after, note });
    }

    /// What comes before the next message when the reader has got `delivered` messages. `drained`
    /// says that no message waits.
    pub(super) fn due(&self, delivered: u64, drained: bool) -> impl Iterator<Item = &Note> {
        let is_due = move |placed: &&PlacedNote| drained || placed.after <= delivered;
        self.queue.iter().take_while(is_due).map(|placed| &placed.note)
    }

    /// Takes the first of the queue.
    pub(super) fn pop(&mut self) -> Option<Note> {
        let note = self.queue.pop_front()?.note;
        match &note {
            Note::Notification(Notification::SendFailed { message, .. }) => {
                self.failed_bytes =
                    self.failed_bytes.saturating_sub(message.data.len() + FAILED_OVERHEAD);
            }
            Note::Notification(Notification::Stopped) => self.stopped = false,
            Note::Restart { .. } => self.restarts_read += 1,
            Note::Notification(_) => {}
        }
        Some(note)
    }

    /// Changes when a reader goes on from one process of the peer to the next.
    pub(super) fn restarts_read(&self) -> u64 {
        self.restarts_read
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

/// How many notifications of an association may wait, without failed messages and the end.
const NOTES_LIMIT: usize = 256;
/// Bytes that a failed message counts in addition to its data.
const FAILED_OVERHEAD: usize = 64;
