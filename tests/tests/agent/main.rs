//! `sctp-agent` as outside testers see it: a process that is driven by lines, in virtual and in
//! real time.

mod driver;
mod options;
mod paths;
mod peer;
mod real_time;
mod virtual_time;
