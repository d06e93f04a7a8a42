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

/// A SACK chunk. Its two lists are read from the packet only when they are iterated over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SackChunk<'a> {
    /// All TSNs up to this one have arrived.
    pub cum_tsn: Tsn,
    /// Receive window that the peer advertises, in bytes.
    pub a_rwnd: u32,
    gaps: &'a [[u8; 4]],
    dups: &'a [[u8; 4]],
}

impl<'a> SackChunk<'a> {
    #[inline]
    pub(super) fn parse(chunk: &RawChunk<'a>) -> Result<Self, ChunkError> {
        let Some((&[c0, c1, c2, c3, w0, w1, w2, w3, n0, n1, m0, m1], rest)) =
            chunk.value.split_first_chunk()
        else {
            return Err(chunk.too_short(SACK_HEADER));
        };
        let gap_count = usize::from(u16::from_be_bytes([n0, n1]));
        let dup_count = usize::from(u16::from_be_bytes([m0, m1]));
        let (blocks, _) = rest.as_chunks();
        // The counts are only the peer's claim, so they are compared with the length before
        // anything is read.
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

    /// The gap blocks as they arrived: start and end, both included, as offsets from the cumulative
    /// TSN. They may be unsorted, and a start may exceed its end; the receiver checks this.
    #[inline]
    pub fn gaps(
        &self,
    ) -> impl DoubleEndedIterator<Item = (u16, u16)> + ExactSizeIterator + Clone + use<'a> {
        self.gaps
            .iter()
            .map(|&[s0, s1, e0, e1]| (u16::from_be_bytes([s0, s1]), u16::from_be_bytes([e0, e1])))
    }

    /// Number of gap blocks.
    #[inline]
    pub const fn gap_count(&self) -> usize {
        self.gaps.len()
    }

    /// The TSNs that have arrived more than once since the last SACK.
    #[inline]
    pub fn dups(
        &self,
    ) -> impl DoubleEndedIterator<Item = Tsn> + ExactSizeIterator + Clone + use<'a> {
        self.dups.iter().map(|&tsn| Tsn(u32::from_be_bytes(tsn)))
    }

    /// Number of duplicate TSNs.
    #[inline]
    pub const fn dup_count(&self) -> usize {
        self.dups.len()
    }
}

impl PacketWriter<'_> {
    /// Writes a SACK with as many gap blocks as fit, lowest first as given, then as many duplicates
    /// as fit. Writes nothing when [`room`](Self::room) is less than [`SACK_HEADER`].
    #[inline]
    pub fn sack(
        &mut self,
        cum: Tsn,
        a_rwnd: u32,
        gaps: impl Iterator<Item = (u16, u16)>,
        dups: &[Tsn],
    ) {
        // The chunk length has 16 bits, even if the packet has more room.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::tests::{build, build_within, only, unhex};
    use crate::wire::{Chunk, Packet};

    fn sack(packet: &Packet) -> SackChunk<'_> {
        let Chunk::Sack(sack) = only(packet) else { panic!("not a SACK") };
        sack
    }

    #[test]
    fn golden_packet() {
        let golden =
            unhex("232913881122334403cfd6fc03000018fffffffe000200000001000100020003fffffffe");
        let packet = Packet::check(golden.clone().into()).unwrap();
        assert_eq!(
            (packet.src_port(), packet.dst_port(), packet.vtag()),
            (9001, 5000, 0x1122_3344)
        );
        let sack = sack(&packet);
        assert_eq!((sack.cum_tsn, sack.a_rwnd), (Tsn(0xffff_fffe), 131_072));
        assert!(sack.gaps().eq([(2, 3)]));
        assert!(sack.dups().eq([Tsn(0xffff_fffe)]));
        assert_eq!((sack.gap_count(), sack.dup_count()), (1, 1));

        let mut out = Vec::new();
        let mut writer = PacketWriter::new(&mut out, 1480, 9001, 5000, 0x1122_3344);
        writer.sack(sack.cum_tsn, sack.a_rwnd, sack.gaps(), &[Tsn(0xffff_fffe)]);
        writer.finish();
        assert_eq!(out, golden);
    }

    #[test]
    fn counts_beyond_the_length_are_an_error() {
        let chunk = |gaps: u16, dups: u16, blocks: usize| {
            let mut value = vec![0; 8];
            value.extend(gaps.to_be_bytes());
            value.extend(dups.to_be_bytes());
            value.resize(12 + 4 * blocks, 0);
            build(|w| w.raw_chunk(chunk_type::SACK, 0, &value))
        };
        let error = |packet: &Packet| packet.chunks().next().unwrap().decode(packet).unwrap_err();
        assert_eq!(error(&chunk(1, 0, 0)).needed, 20);
        assert_eq!(error(&chunk(1, 1, 1)).needed, 24);
        assert_eq!(error(&chunk(u16::MAX, u16::MAX, 3)).length, 28);
        assert_eq!(error(&build(|w| w.raw_chunk(chunk_type::SACK, 0, &[0; 11]))).needed, 16);
        assert_eq!(sack(&chunk(1, 1, 2)).gap_count(), 1);
        assert_eq!(sack(&chunk(1, 1, 5)).dup_count(), 1, "bytes after the blocks are ignored");
    }

    #[test]
    fn gaps_then_duplicates_as_far_as_they_fit() {
        let gaps = [(2, 3), (5, 6), (8, 9)];
        let dups = [Tsn(1), Tsn(2), Tsn(3)];
        for (limit, fit) in [(28, 0), (31, 0), (32, 1), (40, 3), (44, 4), (52, 6), (1480, 6)] {
            let packet = build_within(limit, |w| w.sack(Tsn(9), 0, gaps.into_iter(), &dups));
            let sack = sack(&packet);
            assert!(packet.len() <= limit);
            assert!(sack.gaps().eq(gaps.into_iter().take(fit)), "limit {limit}");
            assert!(sack.dups().eq(dups.into_iter().take(fit.saturating_sub(3))), "limit {limit}");
        }
    }

    #[test]
    fn nothing_is_written_without_room() {
        let mut out = Vec::new();
        let mut writer = PacketWriter::new(&mut out, 27, 1, 2, 3);
        writer.sack(Tsn(9), 0, std::iter::empty(), &[]);
        assert!(writer.is_empty());
    }

    #[test]
    fn gap_blocks_are_limited_by_the_chunk_length() {
        let gaps = std::iter::repeat_n((2, 3), 70_000);
        let packet = build_within(1 << 20, |w| w.sack(Tsn(9), 0, gaps, &[]));
        assert_eq!(sack(&packet).gap_count(), (65_535 - 16) / 4);
    }
}
