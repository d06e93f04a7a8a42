//! The fault campaign: whole lives of associations drawn from a seed, and the checks that hold in
//! all of them.
//!
//! A seed decides everything: how many addresses and paths there are, what the links do, how both
//! ends are set, who sends what and reads how fast, what fails and when, and how it all ends. Two
//! kinds of lives exist. In a *gentle* one every fault passes and nobody gives up, so all messages
//! must arrive exactly once and every association must end gracefully. In a *harsh* one limits are
//! finite, cuts may last, ends die and come back and users abort; what was delivered must then
//! still be right, and what was not must have come back to its sender.

mod actions;
mod drive;
mod ledger;
mod network;
mod runner;
mod scenario;
mod user;
mod writing;

pub use drive::{Life, live};
pub use runner::{Campaign, Failure, Summary, run};
