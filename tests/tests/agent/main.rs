//! `sctp-agent` as testers outside see it: a process that is controlled by lines of text, in
//! virtual time and in real time.

mod driver;
mod options;
mod paths;
mod peer;
mod real_time;
mod virtual_time;
