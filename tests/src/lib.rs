//! Fixtures of the whole-system tests.

pub mod agent;
pub mod campaign;
pub mod crowd;
pub mod duo;
pub mod gate;
pub mod hostile;
pub mod lint;
pub mod process;
pub mod scope;
pub mod traffic;
pub mod tshark;
