//! Standard input, cut into messages.

use std::io::{self, BufRead, Read};

use bytes::Bytes;
use tokio::sync::mpsc;

/// The longest message that RSPLIB's servers accept, bytes.
pub(super) const MAX_MESSAGE: usize = 65_536;

/// A line with its line feed, or a part of a long one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// Never empty.
    pub(super) data: Bytes,
    /// Whether the line ends with it.
    pub(super) last: bool,
}

/// Reads standard input in a thread of its own, because a runtime cannot end while it reads. It
/// reads at most one piece ahead.
pub(super) fn read() -> mpsc::Receiver<io::Result<Piece>> {
    let (tx, rx) = mpsc::channel(1);
    std::thread::spawn(move || {
        let mut input = io::stdin().lock();
        while let Some(piece) = next_piece(&mut input).transpose() {
            let failed = piece.is_err();
            if tx.blocking_send(piece).is_err() || failed {
                return;
            }
        }
    });
    rx
}

/// The next piece; `None` at the end of the input.
fn next_piece(input: &mut impl BufRead) -> io::Result<Option<Piece>> {
    let mut data = Vec::new();
    input.take(MAX_MESSAGE as u64).read_until(b'\n', &mut data)?;
    if data.is_empty() {
        return Ok(None);
    }
    // A short piece without a line feed is the end of the input.
    let last = data.ends_with(b"\n") || data.len() < MAX_MESSAGE || input.fill_buf()?.is_empty();
    Ok(Some(Piece { data: data.into(), last }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(mut input: &[u8]) -> Vec<Piece> {
        std::iter::from_fn(|| next_piece(&mut input).unwrap()).collect()
    }

    #[test]
    fn lines_are_bytes() {
        let input = b"one\n\n\xff\0\r\nno end";
        let lines: Vec<Vec<u8>> = pieces(input).iter().map(|piece| piece.data.to_vec()).collect();
        assert_eq!(lines, [&b"one\n"[..], b"\n", b"\xff\0\r\n", b"no end"]);
        assert!(pieces(input).iter().all(|piece| piece.last));
        assert_eq!(pieces(b""), []);
    }

    #[test]
    fn long_lines_are_cut() {
        for (len, feed, parts) in [
            (MAX_MESSAGE - 1, true, 1),
            (MAX_MESSAGE, false, 1),
            (MAX_MESSAGE, true, 2),
            (MAX_MESSAGE + 1, false, 2),
            (200_000, true, 4),
        ] {
            let mut input = vec![b'x'; len];
            input.extend(feed.then_some(b'\n'));
            let found = pieces(&input);
            assert_eq!(found.len(), parts, "{len}");
            let last: Vec<bool> = found.iter().map(|piece| piece.last).collect();
            assert_eq!(last, (1..=parts).map(|n| n == parts).collect::<Vec<_>>(), "{len}");
            let joined: Vec<u8> = found.iter().flat_map(|piece| piece.data.to_vec()).collect();
            assert!(joined == input, "{len}");
        }
    }
}
