//! Wire formats of RFC 9260.

/// placeholder
#[derive(Clone, Debug)]
pub struct Packet;
