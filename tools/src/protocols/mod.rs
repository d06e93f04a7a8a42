//! The messages of the demonstration services: bytes only.

pub mod pingpong;
