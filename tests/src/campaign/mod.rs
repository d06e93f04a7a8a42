//! The fault campaign: random lives of associations, each drawn from a seed, and the checks that
//! hold in all of them. A life is everything that two ends do with each other, from the first setup
//! to the end of the last association.
//!
//! A seed decides everything: how many addresses and paths there are, what the links do, the
//! settings of both ends, who sends what and how fast it is read, what fails and when, and how the
//! associations end. There are two kinds of lives. In a *gentle* one, every fault passes and nobody
//! gives up, so all messages must arrive exactly once and every association must end gracefully. In
//! a *harsh* one, limits are finite, cuts may last, ends die and come back, and users abort. Then
//! what was delivered must still be right, and what was not delivered must have been given back to
//! its sender.

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
