//! The wire formats of RFC 9260: packets, chunks, parameters and error causes.
//!
//! Decoding borrows from the packet and copies nothing; the payload of a DATA chunk is a
//! [`Bytes`](bytes::Bytes) slice of the packet. Every input has a result. Something unknown comes
//! out as `Unknown`, with the action that its type asks for. Something broken ends the iteration or
//! comes out as a malformed item. Writers append to the caller's vector.

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
