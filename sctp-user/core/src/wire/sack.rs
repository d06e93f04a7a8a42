//! SACK (RFC 9260 sec 3.3.4).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +---------------+---------------+-------------------------------+
//! |   type = 3    |   flags = 0   |     length = 16 + 4N + 4M     |
//! +---------------+---------------+-------------------------------+
//! |                  cumulative TSN acknowledged                  |
//! +---------------------------------------------------------------+
//! |                            a_rwnd                             |
//! +-------------------------------+-------------------------------+
//! |     number of gap blocks N    |    number of duplicates M     |
//! +-------------------------------+-------------------------------+
//! |  gap start, offset from cum   |   gap end, offset from cum    |  N times
//! +-------------------------------+-------------------------------+
//! |                         duplicate TSN                         |  M times
//! +---------------------------------------------------------------+
//! ```

use super::chunk::{ChunkError, RawChunk, chunk_type};
use super::packet::PacketWriter;
use crate::serial::Tsn;

/// Bytes of a SACK without gap blocks and duplicates, chunk header included.
pub const SACK_HEADER: usize = 16;

/// A SACK chunk. Both lists are read from the packet when they are iterated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SackChunk<'a> {
    /// All TSNs up to this one have arrived.
    pub cum_tsn: Tsn,
    /// Receive window the peer advertises, in bytes.
    pub a_rwnd: u32,
    gaps: &'a [[u8; 4]],
    dups: &'a [[u8; 4]],
}

impl<'a> SackChunk<'a> {
    #[inline]
    pub(super) fn parse(chunk: &RawChunk<'a>) -> Result<Self, ChunkError> {
        let Some((&[c0, c1, c2, c3, w0, w1, w2, w3, n0, n1, m0, m1], rest)) = chunk.value.split_first_chunk()
        else {
            return Err(chunk.too_short(SACK_HEADER));
        };
        let gap_count = usize::from(u16::from_be_bytes([n0, n1]));
        let dup_count = usize::from(u16::from_be_bytes([m0, m1]));
        let (blocks, _) = rest.as_chunks();
        // The counts are the peer's claim: they are held against the length before anything is read.
        let Some(blocks) = blocks.get(..gap_count + dup_count) else {
            return Err(chunk.too_short(SACK_HEADER + 4 * (gap_count + dup_count)));
        };
        let (gaps, dups) = blocks.split_at_checked(gap_count).unwrap_or_default();
        Ok(Self {
            cum_tsn: Tsn(u32::from_be_bytes([c0, c1, c2, c3])),
            a_rwnd: u32::from_be_bytes([w0, w1, w2, w3]),
            gaps,
            dups,
        })
    }

    /// The gap blocks as they came: start and end, both included, as offsets from the cumulative TSN. Nothing says
    /// that they are sorted or that start does not exceed end; the receiver checks.
    #[inline]
    pub fn gaps(&self) -> impl DoubleEndedIterator<Item = (u16, u16)> + ExactSizeIterator + Clone + use<'a> {
        self.gaps.iter().map(|&[s0, s1, e0, e1]| (u16::from_be_bytes([s0, s1]), u16::from_be_bytes([e0, e1])))
    }

    /// Number of gap blocks.
    #[inline]
    pub const fn gap_count(&self) -> usize {
        self.gaps.len()
    }

    /// The TSNs that arrived more than once since the last SACK.
    #[inline]
    pub fn dups(&self) -> impl DoubleEndedIterator<Item = Tsn> + ExactSizeIterator + Clone + use<'a> {
        self.dups.iter().map(|&tsn| Tsn(u32::from_be_bytes(tsn)))
    }

    /// Number of duplicate TSNs.
    #[inline]
    pub const fn dup_count(&self) -> usize {
        self.dups.len()
    }
}

impl PacketWriter<'_> {
    /// A SACK with as many gap blocks (in the order given, lowest first), then duplicates, as fit. Nothing is
    /// written when [`room`](Self::room) is less than [`SACK_HEADER`].
    #[inline]
    pub fn sack(&mut self, cum: Tsn, a_rwnd: u32, gaps: impl Iterator<Item = (u16, u16)>, dups: &[Tsn]) {
        // A chunk length has 16 bits, whatever the packet would hold.
        const MOST_BLOCKS: usize = (u16::MAX as usize - SACK_HEADER) / 4;
        let Some(space) = self.room().checked_sub(SACK_HEADER) else {
            return;
        };
        let blocks = (space / 4).min(MOST_BLOCKS);
        let mark = self.begin(chunk_type::SACK, 0);
        self.writer.u32(cum.0);
        self.writer.u32(a_rwnd);
        let counts_at = self.writer.len();
        self.writer.u32(0);
        let mut gap_count: u16 = 0;
        for (start, end) in gaps.take(blocks) {
            self.writer.u32(u32::from(start) << 16 | u32::from(end));
            gap_count += 1;
        }
        let dups = dups.get(..blocks - usize::from(gap_count)).unwrap_or(dups);
        for tsn in dups {
            self.writer.u32(tsn.0);
        }
        let [n0, n1] = gap_count.to_be_bytes();
        let [m0, m1] = (dups.len() as u16).to_be_bytes();
        if let Some(counts) = self.writer.written().get_mut(counts_at..counts_at + 4) {
            counts.copy_from_slice(&[n0, n1, m0, m1]);
        }
        self.writer.end_tlv(mark);
    }
}
