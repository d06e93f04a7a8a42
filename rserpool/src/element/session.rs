//! Sessions on the side of the pool element.

use bytes::Bytes;
use rserpool_core::UserMessage;
use rserpool_net::Assembler;
use rserpool_wire::numbers::ppid;
use rserpool_wire::{AsapMessage, PoolElement, PoolHandle};
use sctp_user::Association;
use tracing::debug;

use crate::error::Error;
use crate::message::{Outgoing, user_message};

/// A session with a pool user, on the side of the pool element. It ends by
/// [`ElementSession::shutdown`] or [`ElementSession::abort`]; dropping it aborts.
#[derive(Debug)]
pub struct ElementSession {
    association: Association,
    pool: PoolHandle,
    assembler: Assembler,
    max_message_size: usize,
    /// Messages with the PPID of ASAP belong to the control channel.
    control: bool,
    /// Something has been received, so it is too late for an echo.
    begun: bool,
}

/// What a pool user sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ElementIncoming {
    /// Application data.
    Message(UserMessage),
    /// After a failover: the newest cookie of the session, from this or another element, to
    /// continue from. It comes before all data of the session.
    CookieEcho(Bytes),
    /// The pool user's process has started anew and come back over the same association. The
    /// session before is over, and another one begins, perhaps with a cookie. Nobody waits for
    /// replies to the one before.
    Restarted,
}

impl ElementSession {
    pub(super) fn new(
        association: Association,
        pool: PoolHandle,
        control: bool,
        max_message_size: usize,
    ) -> Self {
        let assembler = Assembler::new(max_message_size);
        ElementSession { association, pool, assembler, max_message_size, control, begun: false }
    }

    /// Waits for the next message; `Ok(None)` when the pool user has ended the session.
    /// Cancel-safe.
    ///
    /// # Errors
    /// [`Error::Sctp`] when the association was lost, [`Error::MessageTooLong`] (the session is
    /// aborted then).
    pub async fn recv(&mut self) -> Result<Option<ElementIncoming>, Error> {
        loop {
            let received = match self.association.recv_message().await {
                Ok(Some(received)) => received,
                Ok(None) => return Ok(None),
                Err(sctp_user::Error::Restarted) => {
                    self.assembler.clear();
                    self.begun = false;
                    return Ok(Some(ElementIncoming::Restarted));
                }
                Err(error) => return Err(error.into()),
            };
            match self.assembler.push(received) {
                Ok(None) => {}
                Ok(Some(message)) if self.control && message.ppid == ppid::ASAP => {
                    if let Some(cookie) = self.echo(&message.data) {
                        return Ok(Some(ElementIncoming::CookieEcho(cookie)));
                    }
                }
                Ok(Some(message)) => {
                    self.begun = true;
                    return Ok(Some(ElementIncoming::Message(message)));
                }
                Err(_) => {
                    self.association.abort("message too long");
                    return Err(Error::MessageTooLong(self.max_message_size));
                }
            }
        }
    }

    /// The cookie of an echo that comes first. Everything else that a pool user says on the control
    /// channel is ignored.
    fn echo(&mut self, bytes: &[u8]) -> Option<Bytes> {
        match AsapMessage::decode(bytes) {
            Ok(AsapMessage::CookieEcho(cookie)) if !self.begun => {
                self.begun = true;
                Some(cookie)
            }
            Ok(_) => {
                debug!("a pool user sent a control message that is not the first echo");
                None
            }
            Err(error) => {
                debug!(%error, "undecodable control message of a pool user");
                None
            }
        }
    }

    /// Sends a message; waits while the send buffer is full. Cancel-safe: a dropped future has sent
    /// nothing.
    ///
    /// # Errors
    /// [`Error::Sctp`] when the session has ended or the message cannot be sent, [`Error::Invalid`]
    /// with the PPID of ASAP.
    pub async fn send(&self, message: UserMessage) -> Result<(), Error> {
        Ok(self.association.send(user_message(message)?).await?)
    }

    /// Gives the pool user a cookie, which replaces the one before. Cancel-safe: a dropped future
    /// has sent nothing.
    ///
    /// # Errors
    /// As [`ElementSession::send`], and [`Error::Encode`].
    pub async fn send_cookie(&self, cookie: impl Into<Bytes>) -> Result<(), Error> {
        self.send_unit(vec![Outgoing::Cookie(cookie.into())]).await
    }

    /// Gives the pool user a business card: the elements that it is to go to when this one is gone,
    /// in this order (RFC 5352 sec 2.2.13). It replaces the card before; an empty one takes it
    /// back. A user of this package tries at most 16 of them, each once, before it asks its
    /// registrar. Users of RSPLIB ignore cards. [`PoolUser::resolve`](crate::PoolUser::resolve)
    /// gives elements as they are needed here. Cancel-safe: a dropped future has sent nothing.
    ///
    /// # Errors
    /// As [`ElementSession::send_cookie`].
    pub async fn send_business_card(&self, elements: Vec<PoolElement>) -> Result<(), Error> {
        self.send_unit(vec![Outgoing::BusinessCard(elements)]).await
    }

    /// Sends several messages as one unit: all or none are queued, and they share packets where
    /// they fit. A reply and the cookie that covers it belong together, so that no failure can come
    /// between them. Cancel-safe: a dropped future has sent nothing.
    ///
    /// # Errors
    /// As [`ElementSession::send_cookie`].
    pub async fn send_unit(&self, unit: Vec<Outgoing>) -> Result<(), Error> {
        let unit = unit.into_iter().map(|part| part.into_sctp(&self.pool));
        let unit = unit.collect::<Result<_, _>>()?;
        Ok(self.association.send_unit(unit).await?)
    }

    /// The association below, for its addresses and statistics.
    pub fn association(&self) -> &Association {
        &self.association
    }

    /// Ends the session gracefully and waits until everything queued is delivered. What the pool
    /// user still sends is dropped. Dropping the future does not stop the shutdown.
    ///
    /// # Errors
    /// [`Error::Sctp`] when the association was lost before.
    pub async fn shutdown(self) -> Result<(), Error> {
        self.association.start_shutdown();
        self.association.stop_receiving();
        Ok(self.association.shutdown().await?)
    }

    /// Ends the session at once. The pool user fails over.
    pub fn abort(self, reason: impl Into<Bytes>) {
        self.association.abort(reason);
    }
}
