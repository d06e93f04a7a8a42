//! What a session tells its application.

use std::fmt;

use rserpool_wire::PeId;
use sctp_user_core::socket::EndReason;

use crate::asap::RequestError;
use crate::channel::ConnectFailure;
use crate::message::UserMessage;

/// What a session gives.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionEvent {
    /// Application data.
    Message(UserMessage),
    /// The element is gone. What was sent and not answered is lost, as far as the application can
    /// know.
    FailoverNeeded(FailoverCause),
    /// An attempt to find and connect another element failed; attempts go on. Repeated problems are
    /// told once.
    FailoverProblem(FailoverProblem),
    /// Connected with an element: the first one, or after a failover another one (or the same one
    /// again). If there was a cookie, it has been sent to the element before anything else can be.
    FailoverDone {
        /// The element.
        element: PeId,
        /// Whether a cookie was sent.
        cookie_echoed: bool,
        /// 0 for the first connection, then counting failovers.
        number: u64,
    },
}

/// Why a session lost its element.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FailoverCause {
    /// The association ended, for whatever reason. A graceful end means that the element closed the
    /// session.
    Ended(EndReason),
    /// Nothing came back within
    /// [`SessionOptions::reply_timeout`](crate::session::SessionOptions::reply_timeout).
    ReplyTimeout,
    /// The element's process has started anew over the same association, and knows nothing of the
    /// session.
    Restarted,
    /// The application asked for it.
    Forced,
    /// The element sent a message longer than
    /// [`SessionOptions::max_message_size`](crate::session::SessionOptions::max_message_size).
    MessageTooLong,
}

impl fmt::Display for FailoverCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FailoverCause::Ended(reason) => reason.fmt(f),
            FailoverCause::ReplyTimeout => f.write_str("the element did not answer in time"),
            FailoverCause::Restarted => f.write_str("the element has restarted"),
            FailoverCause::Forced => f.write_str("failover was asked for"),
            FailoverCause::MessageTooLong => {
                f.write_str("the element sent a message that is too long")
            }
        }
    }
}

/// Why an attempt to fail over was in vain.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FailoverProblem {
    /// The pool handle could not be resolved.
    Resolution(RequestError),
    /// The element did not accept.
    Connect {
        /// The element.
        element: PeId,
        /// Why; [`ConnectFailure::TimedOut`] when it took longer than
        /// [`SessionOptions::connect_timeout`](crate::session::SessionOptions::connect_timeout).
        failure: ConnectFailure,
    },
}

impl fmt::Display for FailoverProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FailoverProblem::Resolution(error) => error.fmt(f),
            FailoverProblem::Connect { element, failure: ConnectFailure::TimedOut } => {
                write!(f, "pool element {element} did not accept in time")
            }
            FailoverProblem::Connect { element, failure } => {
                write!(f, "pool element {element} cannot be reached: {failure}")
            }
        }
    }
}
