//! Fixtures of the whole-system tests.

pub mod gate;
pub mod hostile;
pub mod process;
pub mod traffic;
