//! The RSerPool programs as a library: each program's `main` is a function of [`programs`].
//!
//! Each binary of this package only calls one of these functions. The multi-call binaries of the
//! test packages call them as well, and `rspdemo` starts its children by running its own executable
//! again.
//!
//! [`cli`] is what the programs share: options in both notations, addresses with their UDP
//! encapsulation, logging, output, signals and the ready line. [`protocols`] contains the messages
//! of the demonstration services.

#![forbid(unsafe_code)]

pub mod cli;
pub mod programs;
pub mod protocols;
