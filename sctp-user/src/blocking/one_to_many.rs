//! The one-to-many style: one handle for many associations (RFC 6458 sec 3).

use sctp_user_core::socket::{Incoming, Sockets, Style, Target};
use sctp_user_core::{AssocId, Message, Peer, Time};

use super::handles::{Association, OneToMany};
use super::stack::Stack;
use crate::error::Error;
use crate::options::BindOptions;

impl Stack {
    /// Binds an SCTP port for the one-to-many style.
    ///
    /// # Errors
    /// As [`bind`](Self::bind).
    pub fn bind_one_to_many(
        &mut self,
        options: impl Into<BindOptions>,
    ) -> Result<OneToMany, Error> {
        let (socket, port) = self.bind_socket(Style::OneToMany, options.into())?;
        Ok(OneToMany { socket, port })
    }

    /// Sends on one association. Waits for room in its send buffer.
    ///
    /// # Errors
    /// As [`send`](Self::send), and [`Error::NoAssociation`].
    pub fn send_on(
        &mut self,
        many: OneToMany,
        association: AssocId,
        message: Message,
    ) -> Result<(), Error> {
        self.send_over(many, Target::Assoc(association), message).map(drop)
    }

    /// Sends to a peer, over the existing association with it or else over a new one (implicit
    /// setup, RFC 6458 sec 3.3).
    ///
    /// # Errors
    /// As [`send_on`](Self::send_on) and [`start_connect`](Self::start_connect).
    pub fn send_to(
        &mut self,
        many: OneToMany,
        peer: &Peer,
        message: Message,
    ) -> Result<AssocId, Error> {
        self.check_running()?;
        self.send_over(many, Target::Peer(peer), message)
    }

    /// Waits for the next message or subscribed notification of any association. Only notifications
    /// tell that an association has ended or that a peer has restarted
    /// ([`Subscriptions::assoc_change`](crate::Subscriptions::assoc_change)).
    ///
    /// # Errors
    /// [`Error::TimedOut`], [`Error::Stopped`].
    pub fn recv_from(&mut self, many: OneToMany) -> Result<(AssocId, Incoming), Error> {
        let recv = |sockets: &mut Sockets, now: Time| {
            sockets.try_recv(now, many.socket)?.ok_or(Error::NoAssociation)
        };
        self.engine.wait(self.timeout, recv)
    }

    /// All associations of a handle.
    pub fn associations(&self, many: OneToMany) -> Vec<AssocId> {
        self.engine.sockets.assocs_of(many.socket)
    }

    /// Begins the graceful shutdown of one association (SCTP_EOF). A notification tells when it has
    /// ended.
    ///
    /// # Errors
    /// [`Error::NoAssociation`].
    pub fn start_shutdown_of(
        &mut self,
        many: OneToMany,
        association: AssocId,
    ) -> Result<(), Error> {
        Ok(self.with(|sockets, now| sockets.shutdown_assoc(now, many.socket, association))?)
    }

    /// Gives one association a handle of its own (RFC 6458 sec 9.2). Unread messages go with it.
    ///
    /// # Errors
    /// [`Error::NoAssociation`].
    pub fn peel_off(
        &mut self,
        many: OneToMany,
        association: AssocId,
    ) -> Result<Association, Error> {
        let (socket, peer_port) = self.with(|sockets, _| {
            let socket = sockets.peel_off(many.socket, association)?;
            let peer_port =
                sockets.stack().status(association).map_or(0, |status| status.peer_port);
            Ok::<_, Error>((socket, peer_port))
        })?;
        Ok(Association { socket, assoc: association, local_port: many.port, peer_port })
    }

    fn send_over(
        &mut self,
        many: OneToMany,
        to: Target<'_>,
        message: Message,
    ) -> Result<AssocId, Error> {
        self.engine.now();
        self.engine.answered();
        self.engine.keep_up();
        let send = |sockets: &mut Sockets, now: Time| {
            Ok(sockets.try_send(now, many.socket, to, message.clone())?)
        };
        self.engine.wait(self.timeout, send)
    }
}
