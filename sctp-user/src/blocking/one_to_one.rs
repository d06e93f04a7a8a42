//! The one-to-one style: endpoints and associations.

use bytes::Bytes;
use sctp_user_core::socket::{EndReason, Incoming, SocketError, Sockets, Style, Target};
use sctp_user_core::{Message, Received, Time};

use super::handles::{Association, Endpoint, Handle};
use super::stack::Stack;
use crate::error::Error;
use crate::options::BindOptions;

impl Stack {
    /// Binds an SCTP port: `stack.bind(7)`, or with other options in [`BindOptions`].
    ///
    /// # Errors
    /// When the port is in use, either by this stack ([`Error::Bind`]) or, with a raw link, by
    /// another process on the host ([`Error::PortInUse`]). When an address cannot be bound, because
    /// no link has it ([`Error::NotOfALink`]), because the host does not have it
    /// ([`Error::NotLocal`]), or because it is not unicast ([`Error::Bind`]). When the
    /// configuration is not valid ([`Error::Config`]).
    pub fn bind(&mut self, options: impl Into<BindOptions>) -> Result<Endpoint, Error> {
        let (socket, port) = self.bind_socket(Style::OneToOne, options.into())?;
        Ok(Endpoint { socket, port })
    }

    /// Waits for the next incoming association.
    ///
    /// # Errors
    /// [`Error::TimedOut`], [`Error::Stopped`], and [`Error::Invalid`] when the endpoint does not
    /// listen.
    pub fn accept(&mut self, endpoint: Endpoint) -> Result<Association, Error> {
        self.check_running()?;
        let accept = |sockets: &mut Sockets, now: Time| {
            let socket = sockets.accept(now, endpoint.socket)?;
            let assoc = sockets.assocs_of(socket).first().copied().ok_or(Error::NoAssociation)?;
            let peer_port = sockets.stack().status(assoc).map_or(0, |status| status.peer_port);
            Ok(Association { socket, assoc, local_port: endpoint.port, peer_port })
        };
        self.engine.wait(self.timeout, accept)
    }

    /// Sends a message: waits until the send buffer has room, queues the message and sends what may
    /// be sent now. `Ok` does not mean that the message was delivered.
    ///
    /// # Errors
    /// [`Error::Ended`], [`Error::ShuttingDown`], [`Error::Message`], [`Error::Stopped`], and
    /// [`Error::TimedOut`] when there was no room. The message is then not sent.
    pub fn send(&mut self, association: Association, message: Message) -> Result<(), Error> {
        self.send_many(association, std::iter::once(message)).map_err(|(_, why)| why)
    }

    /// Sends messages one after the other, as many at a time as the send buffer has room for. Small
    /// messages share packets, which they do not if [`send`](Self::send) is called in a loop.
    ///
    /// # Errors
    /// As [`send`](Self::send), with the number of messages that were sent before the error.
    pub fn send_many(
        &mut self,
        association: Association,
        messages: impl IntoIterator<Item = Message>,
    ) -> Result<(), (usize, Error)> {
        self.engine.now();
        self.engine.answered();
        self.engine.keep_up();
        let mut sent = 0;
        let mut messages = messages.into_iter();
        let mut next = messages.next();
        let send = |sockets: &mut Sockets, now: Time| {
            while let Some(message) = next.take() {
                // Cloning a message is cheap: the bytes are shared.
                let result =
                    sockets.try_send(now, association.socket, Target::Only, message.clone());
                if let Err(why) = result {
                    next = Some(message);
                    return Err(send_error(sockets, association, why));
                }
                sent += 1;
                next = messages.next();
            }
            Ok(())
        };
        self.engine.wait(self.timeout, send).map_err(|why| (sent, why))
    }

    /// Sends several messages as one unit: all are queued at once or, with an error, none. They
    /// share packets where they fit. Waits until the send buffer has room for all.
    /// [`send_many`](Self::send_many) sends them one after the other.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_unit(
        &mut self,
        association: Association,
        messages: Vec<Message>,
    ) -> Result<(), Error> {
        self.engine.now();
        self.engine.answered();
        self.engine.keep_up();
        let send = |sockets: &mut Sockets, now: Time| {
            let sent =
                sockets.try_send_unit(now, association.socket, Target::Only, messages.clone());
            sent.map(drop).map_err(|why| send_error(sockets, association, why))
        };
        self.engine.wait(self.timeout, send)
    }

    /// Waits for the next message or subscribed notification. `Ok(None)` means that the association
    /// has ended gracefully and everything was read.
    ///
    /// # Errors
    /// [`Error::Ended`] when the association was lost and everything received was read;
    /// [`Error::TimedOut`]; [`Error::Stopped`]. [`Error::Restarted`] once after the peer has
    /// restarted: after everything that its old process sent, and before anything that the new one
    /// sends. If [`AssocChange::Restart`](crate::AssocChange::Restart) is subscribed, this
    /// notification comes instead of the error.
    pub fn recv(&mut self, association: Association) -> Result<Option<Incoming>, Error> {
        if let Some(rest) = self.take_rest(association) {
            return Ok(Some(Incoming::Message(rest)));
        }
        self.engine.wait(self.timeout, |sockets, now| try_recv(sockets, now, association))
    }

    /// Like [`recv`](Self::recv), but skips notifications.
    ///
    /// # Errors
    /// As [`recv`](Self::recv), but [`Error::Restarted`] comes even if notifications are
    /// subscribed.
    pub fn recv_message(&mut self, association: Association) -> Result<Option<Received>, Error> {
        if let Some(rest) = self.take_rest(association) {
            return Ok(Some(rest));
        }
        let recv = |sockets: &mut Sockets, now: Time| {
            loop {
                if sockets.take_restart(association.socket) {
                    return Err(Error::Restarted);
                }
                match try_recv(sockets, now, association)? {
                    Some(Incoming::Message(received)) => return Ok(Some(received)),
                    Some(Incoming::Notification(_)) => {}
                    None => return Ok(None),
                }
            }
        };
        self.engine.wait(self.timeout, recv)
    }

    /// Like [`recv_message`](Self::recv_message), but writes the data into `buffer`. Returns the
    /// number of bytes written and the message with empty data. A message larger than `buffer`
    /// comes in parts, and only the last one has [`end_of_record`](Received::end_of_record) set.
    /// While there is a part left, [`ready`](Self::ready) reports the socket again.
    ///
    /// # Errors
    /// As [`recv_message`](Self::recv_message), and [`Error::Invalid`] for an empty buffer.
    pub fn recv_into(
        &mut self,
        association: Association,
        buffer: &mut [u8],
    ) -> Result<Option<(usize, Received)>, Error> {
        if buffer.is_empty() {
            return Err(Error::Invalid(
                "a buffer to receive into needs room for at least one byte",
            ));
        }
        let Some(mut received) = self.recv_message(association)? else { return Ok(None) };
        let data = std::mem::take(&mut received.data);
        let len = data.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..len), data.get(..len)) {
            to.copy_from_slice(from);
        }
        if len < data.len() {
            self.rest.push((
                association.assoc,
                Received { data: data.slice(len..), ..received.clone() },
            ));
            // The next call of `ready` then reports the rest.
            self.engine.sockets.still_readable(association.socket);
            received.end_of_record = false;
        }
        Ok(Some((len, received)))
    }

    fn take_rest(&mut self, association: Association) -> Option<Received> {
        let at = self.rest.iter().position(|(assoc, _)| *assoc == association.assoc)?;
        Some(self.rest.swap_remove(at).1)
    }

    /// Shuts down gracefully: delivers everything that is queued, ends the association, and waits
    /// until it has ended. Messages that the peer sends in the meantime can still be read with
    /// [`recv`](Self::recv).
    ///
    /// # Errors
    /// [`Error::Ended`] when the association was lost before the shutdown was complete,
    /// [`Error::TimedOut`], [`Error::Stopped`].
    pub fn shutdown(&mut self, association: Association) -> Result<(), Error> {
        self.start_shutdown(association);
        match self.ended(association)? {
            EndReason::Graceful => Ok(()),
            reason => Err(reason.into()),
        }
    }

    /// Begins the graceful shutdown and does not wait for its end. Does nothing if the shutdown has
    /// begun already or the association has ended.
    pub fn start_shutdown(&mut self, association: Association) {
        self.with(|sockets, now| {
            let _ = sockets.shutdown_assoc(now, association.socket, association.assoc);
        });
    }

    /// Ends the association with an ABORT that carries `reason`. Queued messages are lost.
    pub fn abort(&mut self, association: Association, reason: impl Into<Bytes>) {
        self.with(|sockets, now| {
            let _ =
                sockets.abort_assoc(now, association.socket(), association.assoc, reason.into());
        });
    }

    /// Waits until the association has ended, for whatever reason, and returns that reason.
    ///
    /// # Errors
    /// [`Error::TimedOut`], [`Error::Stopped`], and [`Error::NoAssociation`] when the handle was
    /// closed.
    pub fn ended(&mut self, association: Association) -> Result<EndReason, Error> {
        self.engine.wait(self.timeout, |sockets, _| {
            if sockets.assocs_of(association.socket).is_empty() {
                return Err(Error::NoAssociation);
            }
            sockets.end_reason(association.assoc).cloned().ok_or(Error::WouldBlock)
        })
    }
}

/// The socket reports a lost association only once. This API reports it every time.
fn try_recv(
    sockets: &mut Sockets,
    now: Time,
    association: Association,
) -> Result<Option<Incoming>, Error> {
    match (sockets.try_recv(now, association.socket)?, sockets.end_reason(association.assoc)) {
        (None, Some(reason @ EndReason::Lost(_))) => Err(reason.clone().into()),
        (given, _) => Ok(given.map(|(_, incoming)| incoming)),
    }
}

/// The socket reports a lost association only once. This API reports it every time.
fn send_error(sockets: &Sockets, association: Association, why: SocketError) -> Error {
    match (why, sockets.end_reason(association.assoc)) {
        (SocketError::ShutDown, Some(reason)) => reason.clone().into(),
        (why, _) => why.into(),
    }
}
