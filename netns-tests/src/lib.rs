//! Tests on real Linux network namespaces: real links, real addresses, several "hosts" on one machine.
//!
//! Everything is done by running `ip`, inside namespaces by `ip netns exec`; no process changes its own namespace. Without root
//! the tests say so and are skipped; with `CI=true` they fail instead.

pub mod echo;
pub mod netns;
pub mod topology;
