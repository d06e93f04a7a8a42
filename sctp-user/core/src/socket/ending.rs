//! Shutting down, aborting and closing.

use bytes::Bytes;

use crate::stack::AssocId;
use crate::time::Time;

use super::error::{EndReason, SocketError};
use super::options::{Linger, Style};
use super::record::Readiness;
use super::{SocketId, Sockets};

/// Which directions `shutdown()` closes (RFC 6458 sec 4.1.7). SCTP has no half-closed state:
/// closing the sending direction begins the shutdown of the whole association. What the peer still
/// has to send can be read meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// SHUT_RD: whatever arrives is dropped. The peer learns nothing of it.
    Read,
    /// SHUT_WR: the graceful shutdown begins.
    Write,
    /// SHUT_RDWR: both.
    Both,
}

impl Sockets {
    /// Shuts down the association of a one-to-one socket (`shutdown()`).
    ///
    /// # Errors
    /// [`SocketError::NotConnected`]; [`SocketError::NotSupported`] for a one-to-many socket, whose
    /// associations are shut down one by one.
    pub fn shutdown(&mut self, now: Time, id: SocketId, how: How) -> Result<(), SocketError> {
        let socket = self.open_socket(id)?;
        if socket.style == Style::OneToMany {
            return Err(SocketError::NotSupported(
                "only single associations of a one-to-many socket can be shut down",
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
            self.mark_ready(assoc, Readiness { readable: true, ..Readiness::default() });
        }
        if matches!(how, How::Write | How::Both) {
            self.begin_shutdown(now, assoc);
        }
        self.handle_events(now);
        Ok(())
    }

    /// Begins the graceful shutdown of one association (SCTP_EOF). What is queued is still sent.
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
        self.handle_events(now);
        Ok(())
    }

    /// Ends one association with an ABORT that carries `reason` (SCTP_ABORT). A one-to-many socket
    /// keeps the association until everything unread has been read.
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
            self.handle_events(now);
        }
        Ok(())
    }

    /// Closes a socket (`close()`). Its associations are shut down gracefully in the background. An
    /// association is aborted instead if something of it was not read or if [`Linger::Abort`] is
    /// set. If the socket is bound to a port, it gives the port up. Associations that nobody has
    /// accepted yet are aborted. Associations that were accepted from the socket or peeled off live
    /// on in sockets of their own.
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

    /// Closes a socket whose user has gone without closing it. Associations that neither side is
    /// shutting down are aborted; the others finish in the background. The rest is as with
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
                // If the user has sent a message only in part, this aborts.
                self.stack.shutdown(now, assoc)
            } else {
                self.stack.abort(now, assoc, Bytes::new())
            };
        }
        self.remove_socket(now, id)
    }

    /// Takes the pending error of a one-to-one socket (SO_ERROR): how it lost its association,
    /// unless a call has returned that already.
    pub fn take_error(&mut self, id: SocketId) -> Option<EndReason> {
        self.socket_mut(id)?.error.take()
    }

    /// Begins the shutdown of a living association. A second call does nothing.
    pub(super) fn begin_shutdown(&mut self, now: Time, id: AssocId) {
        if let Some(assoc) = self.assocs.get_mut(&id)
            && assoc.end.is_none()
            && !assoc.shutdown_begun
        {
            assoc.shutdown_begun = true;
            let _ = self.stack.shutdown(now, id);
            self.mark_ready(id, Readiness { writable: true, ..Readiness::default() });
        }
    }

    /// Forgets a socket and its associations. Gives up its port if it has one.
    fn remove_socket(&mut self, now: Time, id: SocketId) -> Result<(), SocketError> {
        for assoc in self.assocs_of(id) {
            self.forget(now, assoc);
        }
        let socket = self.open_socket(id)?;
        if let Some(port) = socket.port.filter(|_| socket.owns_port) {
            self.leave_port(now, id, port);
        }
        self.sockets.remove(id.index as usize);
        self.handle_events(now);
        Ok(())
    }

    /// Drops the record of an association. The stack forgets the association as soon as it has
    /// ended.
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
