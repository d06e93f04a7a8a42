//! Userland SCTP for tokio.

pub mod link;
