//! Tests of the socket semantics, two ends back to back in virtual time.
