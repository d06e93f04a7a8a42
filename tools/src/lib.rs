//! The RSerPool programs as a library: each program's `main` is a function of [`programs`].
//!
//! A binary of this package is three lines around such a function. The same functions serve the
//! multi-call binaries of the test packages, and `rspdemo` starts its children by running its own
//! executable again.
//!
//! [`cli`] holds what the programs share: option parsing in both notations, addresses with their
//! UDP encapsulation, policies, logging, signals and the ready line. [`protocols`] holds the messages
//! of the demonstration services.

#![forbid(unsafe_code)]

pub mod cli;
pub mod programs;
pub mod protocols;
