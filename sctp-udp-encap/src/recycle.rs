//! Memory for received batches, used again and again.
//!
//! Large allocations that come and go with every batch make the allocator return memory to the system and fault it in
//! again, which costs more than receiving. Small batches get memory of their own size, so that a message that is kept
//! for long never pins more than the batch it came in.

use bytes::{Bytes, BytesMut};

/// A few buffers whose last batches may still be in use.
#[derive(Debug, Default)]
pub(crate) struct Recycler {
    buffers: Vec<BytesMut>,
    oldest: usize,
}

impl Recycler {
    /// Gives `len` bytes as `fill` appends them.
    pub(crate) fn fill(&mut self, len: usize, fill: impl FnOnce(&mut BytesMut)) -> Bytes {
        if len < WORTH_RECYCLING {
            let mut own = BytesMut::with_capacity(len);
            fill(&mut own);
            return own.freeze();
        }
        let buffer = self.buffer(len);
        fill(buffer);
        buffer.split().freeze()
    }

    /// An empty buffer with room for `len` bytes: one that nobody reads any more, or a new one.
    fn buffer(&mut self, len: usize) -> &mut BytesMut {
        let free = self.buffers.iter_mut().position(|buffer| buffer.try_reclaim(len));
        let index = free.unwrap_or_else(|| {
            let new = BytesMut::with_capacity(len.next_power_of_two());
            if self.buffers.len() < MAX_BUFFERS {
                self.buffers.push(new);
                return self.buffers.len() - 1;
            }
            self.oldest = (self.oldest + 1) % MAX_BUFFERS;
            self.buffers[self.oldest] = new;
            self.oldest
        });
        &mut self.buffers[index]
    }
}

/// Batches smaller than this, bytes, are allocated one by one.
const WORTH_RECYCLING: usize = 32 * 1024;
/// Buffers kept; together at most this many times the largest batch.
const MAX_BUFFERS: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn take(recycler: &mut Recycler, len: usize, byte: u8) -> Bytes {
        let bytes = recycler.fill(len, |buffer| buffer.resize(len, byte));
        assert_eq!((bytes.len(), bytes[0], bytes[len - 1]), (len, byte, byte));
        bytes
    }

    #[test]
    fn memory_is_used_again_when_nobody_reads_it() {
        let mut recycler = Recycler::default();
        let first = take(&mut recycler, 100_000, 1);
        let address = first.as_ptr();
        drop(first);
        for round in 0..10 {
            assert_eq!(take(&mut recycler, 100_000 + round, 2).as_ptr(), address);
        }
    }

    #[test]
    fn what_is_still_read_is_left_alone() {
        let mut recycler = Recycler::default();
        let kept: Vec<Bytes> = (0..20).map(|n| take(&mut recycler, 40_000, n)).collect();
        for (n, bytes) in kept.iter().enumerate() {
            assert!(bytes.iter().all(|byte| usize::from(*byte) == n));
        }
        assert!(recycler.buffers.len() <= MAX_BUFFERS);
    }

    #[test]
    fn small_batches_have_their_own_memory() {
        let mut recycler = Recycler::default();
        let _small = take(&mut recycler, 100, 1);
        assert!(recycler.buffers.is_empty());
    }
}
