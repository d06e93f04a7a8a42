//! Shutting down, aborting and closing.

use bytes::Bytes;

use crate::stack::AssocId;
use crate::time::Time;

use super::error::{EndReason, SocketError};
use super::options::{Linger, Style};
use super::record::News;
use super::{SocketId, Sockets};

/// Which directions `shutdown()` closes (RFC 6458 sec 4.1.7). SCTP has no half-closed state:
/// closing the sending direction is the whole shutdown procedure, and what the peer still has to
/// send can be read meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// SHUT_RD: what comes is dropped. The peer learns nothing.
    Read,
    /// SHUT_WR: the graceful shutdown begins.
    Write,
    /// SHUT_RDWR: both.
    Both,
}

impl Sockets {
    /// Shuts the association of a one-to-one socket down (`shutdown()`).
    ///
    /// # Errors
    /// [`SocketError::NotConnected`]; [`SocketError::NotSupported`] for a one-to-many socket, whose
    /// associations are shut down one by one.
    pub fn shutdown(&mut self, now: Time, id: SocketId, how: How) -> Result<(), SocketError> {
        let socket = self.open_socket(id)?;
        if socket.style == Style::OneToMany {
            return Err(SocketError::NotSupported(
                "a one-to-many socket shuts its associations down one by one",
            ));
        }
        let assoc = socket.members.first().copied().ok_or(SocketError::NotConnected)?;
        if matches!(how, How::Read | How::Both) {
            if let Some(record) = self.assocs.get_mut(&assoc) {
                record.discard = true;
                record.readable = false;
                record.partial = false;
            }
            self.stack.discard(now, assoc);
            self.tell(assoc, News { readable: true, ..News::default() });
        }
        if matches!(how, How::Write | How::Both) {
            self.begin_shutdown(now, assoc);
        }
        self.settle(now);
        Ok(())
    }

    /// Begins the graceful shutdown of one association (SCTP_EOF): what is queued is still sent.
    ///
    /// # Errors
    /// [`SocketError::NotConnected`].
    pub fn shutdown_assoc(
        &mut self,
        now: Time,
        id: SocketId,
        assoc: AssocId,
    ) -> Result<(), SocketError> {
        self.member(id, assoc)?;
        self.begin_shutdown(now, assoc);
        self.settle(now);
        Ok(())
    }

    /// Ends one association with an ABORT that carries `reason` (SCTP_ABORT). On a one-to-many
    /// socket it stays, for what is unread, until that was read.
    ///
    /// # Errors
    /// [`SocketError::NotConnected`].
    pub fn abort_assoc(
        &mut self,
        now: Time,
        id: SocketId,
        assoc: AssocId,
        reason: Bytes,
    ) -> Result<(), SocketError> {
        if self.member(id, assoc)?.end.is_none() {
            self.stack.abort(now, assoc, reason)?;
            self.settle(now);
        }
        Ok(())
    }

    /// Closes a socket (`close()`). Its associations are shut down gracefully in the background, or
    /// aborted when something of them was not read or [`Linger::Abort`] is set. A bound port is
    /// given up: what was not accepted yet is aborted, associations that were accepted from it or
    /// peeled off live on in their sockets.
    ///
    /// # Errors
    /// [`SocketError::BadSocket`].
    pub fn close(&mut self, now: Time, id: SocketId) -> Result<(), SocketError> {
        let linger = self.open_socket(id)?.options.linger;
        for assoc in self.assocs_of(id) {
            if self.end_reason(assoc).is_none() {
                let unread = self.stack.recv(now, assoc).is_some();
                if unread || linger == Linger::Abort {
                    let _ = self.stack.abort(now, assoc, Bytes::new());
                } else {
                    let _ = self.stack.shutdown(now, assoc);
                }
            }
        }
        self.remove_socket(now, id)
    }

    /// Closes a socket whose user has gone without a word: associations that are not shutting down,
    /// by either side, are aborted, the others finish in the background. The rest is as with
    /// [`close`](Self::close).
    ///
    /// # Errors
    /// [`SocketError::BadSocket`].
    pub fn abandon(&mut self, now: Time, id: SocketId) -> Result<(), SocketError> {
        self.open_socket(id)?;
        for assoc in self.assocs_of(id) {
            let Some(record) =
                self.assocs.get(&assoc).filter(|a| a.end.is_none() && !a.shutdown_begun)
            else {
                continue;
            };
            let _ = if record.peer_shutdown {
                // What was begun and not finished ends it here.
                self.stack.shutdown(now, assoc)
            } else {
                self.stack.abort(now, assoc, Bytes::new())
            };
        }
        self.remove_socket(now, id)
    }

    /// Takes the pending error of a one-to-one socket (SO_ERROR): how its association was lost, if
    /// that was not told yet.
    pub fn take_error(&mut self, id: SocketId) -> Option<EndReason> {
        self.socket_mut(id)?.error.take()
    }

    /// Begins the shutdown of a living association; again does nothing.
    pub(super) fn begin_shutdown(&mut self, now: Time, id: AssocId) {
        if let Some(assoc) = self.assocs.get_mut(&id)
            && assoc.end.is_none()
            && !assoc.shutdown_begun
        {
            assoc.shutdown_begun = true;
            let _ = self.stack.shutdown(now, id);
            self.tell(id, News { writable: true, ..News::default() });
        }
    }

    /// Forgets a socket and its associations, and gives its port up if it has one.
    fn remove_socket(&mut self, now: Time, id: SocketId) -> Result<(), SocketError> {
        for assoc in self.assocs_of(id) {
            self.forget(now, assoc);
        }
        let socket = self.open_socket(id)?;
        if let Some(port) = socket.port.filter(|_| socket.owns_port) {
            self.leave_port(now, id, port);
        }
        self.sockets.remove(id.index as usize);
        self.settle(now);
        Ok(())
    }

    /// Drops the record of an association and lets the stack forget it as soon as it has ended.
    pub(super) fn forget(&mut self, now: Time, id: AssocId) {
        self.unwatch_idle(id);
        if let Some(assoc) = self.assocs.remove(&id)
            && let Some(socket) = self.socket_mut(assoc.socket)
        {
            socket.members.remove(&id);
        }
        self.stack.release(now, id);
    }
}
