//! TLV
