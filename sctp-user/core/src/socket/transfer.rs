//! Sending and receiving.

use std::net::IpAddr;

use crate::addr::{Message, NextInfo, Peer, Received};
use crate::config::AssocConfig;
use crate::stack::AssocId;
use crate::time::Time;

use super::error::SocketError;
use super::notification::Incoming;
use super::options::{Interleave, Style};
use super::record::{Note, Readiness};
use super::{SocketId, Sockets};

/// Where a message goes.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Target<'a> {
    /// Over the association of a one-to-one socket.
    Only,
    /// Over this association.
    Assoc(AssocId),
    /// Over the association with this peer. If there is none, a new one is started (implicit setup,
    /// RFC 6458 sec 3.3). One-to-many sockets only.
    Peer(&'a Peer),
    /// As `Peer`, with settings for the association if a new one is started (SCTP_INIT).
    NewPeer(&'a Peer, &'a AssocConfig),
}

/// What the next [`Sockets::try_recv`] of a socket will return (SCTP_NXTINFO, RFC 6458 sec 5.3.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Next {
    /// A message, or a part of one.
    Message(NextInfo),
    /// A notification.
    Notification,
    /// [`SocketError::Restarted`].
    Restart,
}

/// The outcome of sending a message to all associations, for each of them.
pub type SendOutcomes = Vec<(AssocId, Result<(), SocketError>)>;

impl Sockets {
    /// Queues a message and returns the association that it goes over.
    ///
    /// # Errors
    /// [`SocketError::WouldBlock`] when the send buffer is full
    /// ([`Ready::writable`](super::Ready::writable) follows), [`SocketError::ShutDown`],
    /// [`SocketError::Ended`] (once, from then on `ShutDown`), [`SocketError::Message`],
    /// [`SocketError::NotConnected`], and for an implicit setup the errors of
    /// [`connect`](Self::connect).
    pub fn try_send(
        &mut self,
        now: Time,
        id: SocketId,
        to: Target<'_>,
        message: Message,
    ) -> Result<AssocId, SocketError> {
        let assoc = self.sendable(now, id, to)?;
        self.stack.send(now, assoc, message)?;
        self.sent(now, assoc);
        Ok(assoc)
    }

    /// Queues either all of these messages or none. They share packets where they fit.
    ///
    /// # Errors
    /// As [`try_send`](Self::try_send).
    pub fn try_send_unit(
        &mut self,
        now: Time,
        id: SocketId,
        to: Target<'_>,
        messages: Vec<Message>,
    ) -> Result<AssocId, SocketError> {
        let assoc = self.sendable(now, id, to)?;
        self.stack.send_unit(now, assoc, messages)?;
        self.sent(now, assoc);
        Ok(assoc)
    }

    /// As [`try_send`](Self::try_send), but the message goes to the address `via` of the peer and
    /// not over the primary path (SCTP_ADDR_OVER); see [`Stack::send_via`](crate::Stack::send_via).
    ///
    /// # Errors
    /// As [`try_send`](Self::try_send); [`SocketError::NoSuchAddress`], also when it is not
    /// confirmed.
    pub fn try_send_via(
        &mut self,
        now: Time,
        id: SocketId,
        to: Target<'_>,
        via: IpAddr,
        message: Message,
    ) -> Result<AssocId, SocketError> {
        let assoc = self.sendable(now, id, to)?;
        self.stack.send_via(now, assoc, via, message)?;
        self.sent(now, assoc);
        Ok(assoc)
    }

    /// Queues a message on every association of a one-to-many socket (SCTP_SENDALL). Each
    /// association succeeds or fails for itself. One whose send buffer is full gets
    /// [`SocketError::WouldBlock`] and does not take the message.
    ///
    /// # Errors
    /// [`SocketError::NotSupported`] for a one-to-one socket.
    pub fn try_send_to_all(
        &mut self,
        now: Time,
        id: SocketId,
        message: &Message,
    ) -> Result<SendOutcomes, SocketError> {
        if self.open_socket(id)?.style == Style::OneToOne {
            return Err(SocketError::NotSupported(
                "sending to all is for one-to-many sockets only",
            ));
        }
        let living =
            |a: &AssocId| self.assocs.get(a).is_some_and(|a| a.end.is_none() && !a.shutdown_begun);
        let all: Vec<AssocId> = self.assocs_of(id).into_iter().filter(living).collect();
        let mut send =
            |assoc| self.try_send(now, id, Target::Assoc(assoc), message.clone()).map(drop);
        Ok(all.into_iter().map(|assoc| (assoc, send(assoc))).collect())
    }

    /// What the next [`try_recv`](Self::try_recv) will return, and from which association. `None`
    /// when it would block or report an end.
    pub fn next_info(&self, id: SocketId) -> Option<(AssocId, Next)> {
        let socket = self.socket(id)?;
        for &assoc in &socket.to_read {
            let Some(record) = self.assocs.get(&assoc).filter(|a| a.reads_from(id)) else {
                continue;
            };
            let message = if record.readable { self.stack.next_info(assoc) } else { None };
            match record.next_note(socket.style, message.is_none()) {
                Some(Note::Notification(_)) => return Some((assoc, Next::Notification)),
                Some(Note::Restart { .. }) => return Some((assoc, Next::Restart)),
                None => {}
            }
            if let Some(info) = message {
                return Some((assoc, Next::Message(info)));
            }
            if record.partial && socket.options.interleave == Interleave::None {
                return None;
            }
        }
        None
    }

    /// Takes the next message or notification, with the association it belongs to. `Ok(None)` is
    /// the end of the association of a one-to-one socket: the peer has shut down (or this side, for
    /// reading), and everything has been read. If the reader has subscribed to the notification of
    /// the end, that comes first.
    ///
    /// # Errors
    /// - [`SocketError::WouldBlock`] ([`Ready::readable`](super::Ready::readable) follows).
    /// - [`SocketError::Restarted`] between what the old and what the new process of the peer of a
    ///   one-to-one socket has sent. [`AssocChange::Restart`](super::AssocChange::Restart) takes
    ///   its place if the reader has subscribed to it. A one-to-many socket has only that
    ///   notification.
    /// - [`SocketError::Ended`] once when a one-to-one socket has lost its association, and
    ///   `Ok(None)` from then on.
    /// - [`SocketError::NotConnected`].
    pub fn try_recv(
        &mut self,
        now: Time,
        id: SocketId,
    ) -> Result<Option<(AssocId, Incoming)>, SocketError> {
        let (style, interleave) = {
            let socket = self.open_socket(id)?;
            (socket.style, socket.options.interleave)
        };
        while let Some(assoc) = self.open_socket(id)?.to_read.front().copied() {
            if !self.assocs.get(&assoc).is_some_and(|a| a.reads_from(id)) {
                self.open_socket(id)?.to_read.pop_front();
                continue;
            }
            let given = self.next_incoming(now, assoc, style)?;
            let partial = self.assocs.get(&assoc).is_some_and(|a| a.partial);
            let stay = partial && interleave == Interleave::None;
            if let Some(incoming) = given {
                if style == Style::OneToMany && !stay {
                    self.open_socket(id)?.to_read.rotate_left(1);
                }
                return Ok(Some((assoc, incoming)));
            }
            if stay && style == Style::OneToMany {
                return Err(SocketError::WouldBlock);
            }
            self.open_socket(id)?.to_read.pop_front();
            if let Some(record) = self.assocs.get_mut(&assoc) {
                record.queued = false;
                if style == Style::OneToMany && record.end.is_some() && !record.kept {
                    self.forget(now, assoc);
                }
            }
        }
        if style == Style::OneToMany {
            return Err(SocketError::WouldBlock);
        }
        let socket = self.open_socket(id)?;
        let Some(assoc) = socket.members.first().copied() else {
            return Err(SocketError::NotConnected);
        };
        if let Some(reason) = socket.error.take() {
            return Err(SocketError::Ended(reason));
        }
        // A reader that has subscribed to the notification of the end gets that first.
        let own = self.assocs.get(&assoc).and_then(|a| a.subscriptions);
        let end_is_told = own.unwrap_or(self.open_socket(id)?.options.subscriptions).assoc_change;
        match self.assocs.get(&assoc) {
            Some(a) if a.end.is_some() || a.discard || (a.peer_shutdown && !end_is_told) => {
                Ok(None)
            }
            _ => Err(SocketError::WouldBlock),
        }
    }

    /// Takes the next message or part that came on `stream` over the association of a one-to-one
    /// socket, also when messages of other streams wait that came before it: those stay for the
    /// other calls, and so do all notifications. `Ok(None)` is the end, also of an association that
    /// was lost ([`end_reason`](Self::end_reason) tells).
    ///
    /// # Errors
    /// [`SocketError::WouldBlock`]; [`SocketError::Restarted`] when what follows on the stream is
    /// from another process of the peer than what was read last. That is told once if nothing else
    /// of the old process is to be read, and each time until then. [`SocketError::NotConnected`];
    /// [`SocketError::NotSupported`] for a one-to-many socket.
    pub fn try_recv_on(
        &mut self,
        now: Time,
        id: SocketId,
        stream: u16,
    ) -> Result<Option<Received>, SocketError> {
        let socket = self.open_socket(id)?;
        if socket.style == Style::OneToMany {
            return Err(SocketError::NotSupported(
                "receiving from one stream is for one-to-one sockets only",
            ));
        }
        let assoc = socket.members.first().copied().ok_or(SocketError::NotConnected)?;
        let record = self.assocs.get_mut(&assoc).ok_or(SocketError::NotConnected)?;
        if record.discard {
            return Ok(None);
        }
        let restart = record.notes.first_restart().map(|at| at.saturating_sub(record.delivered));
        let among = restart.map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(usize::MAX));
        if record.readable
            && let Some((before, received)) = self.stack.recv_on(now, assoc, stream, among)
        {
            record.count_early_delivery(before as u64, received.end_of_record);
            record.idle_since = now;
            return Ok(Some(received));
        }
        let ended = record.end.is_some() || record.peer_shutdown;
        if restart.is_some() {
            self.take_restart(id);
            return Err(SocketError::Restarted);
        }
        if ended { Ok(None) } else { Err(SocketError::WouldBlock) }
    }

    /// How often the peer of a one-to-one socket has restarted so far.
    pub fn restarts(&self, id: SocketId) -> u64 {
        let assoc = self.socket(id).and_then(|s| s.members.first());
        assoc.and_then(|a| self.assocs.get(a)).map_or(0, |a| a.restarts)
    }

    /// How often reading from a one-to-one socket has gone on from one process of its peer to the
    /// next one.
    pub fn restarts_read(&self, id: SocketId) -> u64 {
        let assoc = self.socket(id).and_then(|s| s.members.first());
        assoc.and_then(|a| self.assocs.get(a)).map_or(0, |a| a.notes.restarts_read())
    }

    /// Makes [`poll_ready`](Self::poll_ready) name a socket as readable once more. This is for
    /// callers that have taken a message and keep a part of it for the next reader.
    pub fn still_readable(&mut self, id: SocketId) {
        self.mark_socket_ready(id, Readiness { readable: true, ..Readiness::default() });
    }

    /// How many messages of an association the reader gets before what happens now.
    pub(super) fn messages_waiting(&self, id: AssocId) -> u64 {
        match self.assocs.get(&id) {
            Some(assoc) if assoc.readable => self.stack.recv_pending(id) as u64,
            // No event said that messages were there, so those that are there now came with this
            // event or after it.
            _ => 0,
        }
    }

    /// Whether the next thing to read from a one-to-one socket is a restart of its peer, even if a
    /// notification tells of it, too. This is for calls that return no notifications; see
    /// [`take_restart`](Self::take_restart).
    pub fn restart_is_next(&self, id: SocketId) -> bool {
        let Some(socket) = self.socket(id).filter(|s| s.style == Style::OneToOne) else {
            return false;
        };
        let Some(assoc) = socket.members.first() else { return false };
        let Some(record) = self.assocs.get(assoc).filter(|a| !a.partial && !a.discard) else {
            return false;
        };
        if record.notes.is_empty() {
            return false;
        }
        let drained = !record.readable || self.stack.recv_pending(*assoc) == 0;
        matches!(record.notes.due(record.delivered, drained).next(), Some(Note::Restart { .. }))
    }

    /// Whether notifications or restarts wait between the messages of a one-to-one socket. Reading
    /// adds none, so a reader of many messages need not ask before each.
    pub fn has_notes(&self, id: SocketId) -> bool {
        let assoc = self.socket(id).and_then(|s| s.members.first());
        assoc.and_then(|a| self.assocs.get(a)).is_some_and(|a| !a.notes.is_empty())
    }

    /// Takes the restart that [`restart_is_next`](Self::restart_is_next) tells of. False when there
    /// is none. The next call reads on behind it. If the reader has subscribed to the notification,
    /// that comes first.
    pub fn take_restart(&mut self, id: SocketId) -> bool {
        let is_next = self.restart_is_next(id);
        if is_next
            && let Some(assoc) = self.socket(id).and_then(|s| s.members.first().copied())
            && let Some(record) = self.assocs.get_mut(&assoc)
        {
            record.notes.pop();
        }
        is_next
    }

    fn next_incoming(
        &mut self,
        now: Time,
        id: AssocId,
        style: Style,
    ) -> Result<Option<Incoming>, SocketError> {
        let Some(assoc) = self.assocs.get_mut(&id) else { return Ok(None) };
        if let Some(notification) = assoc.take_note(style, false)? {
            return Ok(Some(Incoming::Notification(notification)));
        }
        if assoc.readable {
            if let Some(received) = self.stack.recv(now, id) {
                assoc.count_delivery(received.end_of_record);
                assoc.idle_since = now;
                return Ok(Some(Incoming::Message(received)));
            }
            assoc.readable = false;
        }
        Ok(assoc.take_note(style, true)?.map(Incoming::Notification))
    }

    /// The association that a message goes over, if it can take one.
    fn sendable(
        &mut self,
        now: Time,
        id: SocketId,
        to: Target<'_>,
    ) -> Result<AssocId, SocketError> {
        let socket = self.open_socket(id)?;
        let assoc = match to {
            Target::Only => match socket.style {
                Style::OneToOne => {
                    socket.members.first().copied().ok_or(SocketError::NotConnected)?
                }
                Style::OneToMany => {
                    return Err(SocketError::Invalid(
                        "a message on a one-to-many socket needs an association or a peer to go to",
                    ));
                }
            },
            Target::Assoc(assoc) => assoc,
            Target::Peer(peer) | Target::NewPeer(peer, _) => match (self.find_peer(id, peer), to) {
                (Some(assoc), _) => assoc,
                (None, Target::NewPeer(_, config)) => {
                    return self.connect_with(now, id, peer, Some(config.clone()));
                }
                (None, _) => return self.connect(now, id, peer),
            },
        };
        let record = self.member(id, assoc)?;
        if record.end.is_some() {
            let socket = self.open_socket(id)?;
            return Err(socket.error.take().map_or(SocketError::ShutDown, SocketError::Ended));
        }
        if record.shutdown_begun {
            return Err(SocketError::ShutDown);
        }
        Ok(assoc)
    }

    fn sent(&mut self, now: Time, id: AssocId) {
        if let Some(assoc) = self.assocs.get_mut(&id) {
            assoc.idle_since = now;
        }
        self.handle_events(now);
    }

    /// The living association of a socket with this peer.
    fn find_peer(&self, id: SocketId, peer: &Peer) -> Option<AssocId> {
        let socket = self.socket(id)?;
        let ports = (peer.port, socket.port?);
        let is_it = |assoc: &AssocId| {
            socket.members.contains(assoc)
                && self.assocs.get(assoc).is_some_and(|a| a.end.is_none())
        };
        peer.addrs
            .iter()
            .find_map(|&(addr, encap)| self.stack.all_by_pair(addr, encap, ports).find(is_it))
    }
}
