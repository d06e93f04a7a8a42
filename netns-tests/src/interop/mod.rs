//! Our stack and independent ones, as both ends of the same scenarios.
//!
//! Every end, ours and others, is a program with the same command line: a [set-up](script::Setup)
//! and a script of steps. Ends in C are in `peers/`; [`ours`] and [`proto`] are programs of this
//! package. The [list of scenarios](scenario::SCENARIOS) says what both ends do, a [`mod@bench`] is
//! where they run, [`limits`] lists what a peer is known not to do, and [`matrix`] keeps the
//! results.

pub mod bench;
mod case;
pub mod content;
mod cut;
mod extensions;
pub mod limits;
pub mod matrix;
pub mod ours;
pub mod proto;
pub mod scenario;
pub mod script;
