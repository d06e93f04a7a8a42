//! Wire formats of RFC 9260: packets, chunks, parameters, error causes.
//!
//! Decoding borrows from the packet and copies nothing; a DATA payload is a [`Bytes`](bytes::Bytes)
//! slice of it. Every input has a result: what is unknown comes out as `Unknown` with the action
//! its type asks for, what is broken ends the iteration or comes out as a malformed item. Emission
//! appends to a vector of the caller.

mod cause;
mod checksum;
mod chunk;
mod control;
mod data;
mod init;
mod packet;
mod param;
mod sack;
#[cfg(test)]
mod tests;

pub use cause::{Cause, CauseWriter, Causes, MissingParams, cause_code};
pub use chunk::{CHUNK_HEADER, Chunk, ChunkError, Chunks, RawChunk, chunk_type};
pub use control::{SHUTDOWN_LEN, heartbeat_info};
pub use data::{DATA_HEADER, DataChunk, DataFlags, I_DATA_HEADER, MessageId};
pub use init::{INIT_HEADER, InitChunk, InitFixed};
pub use packet::{COMMON_HEADER, Packet, PacketError, PacketWriter, Reserved};
pub use param::{AddressTypes, Param, ParamWriter, Params, param_type};
pub use sack::{SACK_HEADER, SackChunk};
