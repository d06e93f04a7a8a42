//! The socket semantics of RFC 6458 without a runtime.

mod error;
mod notification;
mod options;

pub use error::{EndReason, SocketError};
pub use notification::{AssocChange, Incoming, Notification, Subscriptions};
pub use options::{Interleave, Linger, SocketOptions, Style};
