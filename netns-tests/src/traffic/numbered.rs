//! Messages that carry their number and a hash of their contents.

use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use sctp_user::Message;
use sha2::{Digest as _, Sha256};

/// Makes the messages of a sender. A message holds its stream, its number within the stream, bytes
/// that follow from these, and a SHA-256 of all that.
#[derive(Debug)]
pub(crate) struct Numbered {
    size: usize,
    next: Vec<u64>,
    count: u64,
}

impl Numbered {
    pub(crate) fn new(size: usize, streams: u16) -> Numbered {
        Numbered {
            size: size.max(HEADER + HASH),
            next: vec![0; usize::from(streams.max(1))],
            count: 0,
        }
    }

    pub(crate) fn next_message(&mut self) -> Message {
        let stream = (self.count % self.next.len() as u64) as u16;
        let number = &mut self.next[usize::from(stream)];
        let message = Message::new(stream, PPID, encode(stream, *number, self.size));
        *number += 1;
        self.count += 1;
        message
    }
}

/// Checks the messages of a receiver.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    next: Vec<u64>,
    /// Correct messages so far.
    pub(crate) messages: u64,
    /// Bytes in these messages.
    pub(crate) bytes: u64,
}

impl Reader {
    /// Checks the next message of a stream.
    ///
    /// # Errors
    /// When it is not the expected one, with a sentence about it.
    pub(crate) fn check(&mut self, stream: u16, data: &[u8]) -> Result<(), String> {
        let Some((named, number)) = decode(data) else {
            return Err(format!("a message of {} bytes on stream {stream} is damaged", data.len()));
        };
        if named != stream {
            return Err(format!("a message for stream {named} came on stream {stream}"));
        }
        let index = usize::from(stream);
        if self.next.len() <= index {
            self.next.resize(index + 1, 0);
        }
        let due = self.next[index];
        if number != due {
            let what = if number < due { "came twice or late" } else { "came early" };
            return Err(format!("stream {stream}: message {number} {what}, {due} was due"));
        }
        self.next[index] += 1;
        self.messages += 1;
        self.bytes += data.len() as u64;
        Ok(())
    }
}

fn encode(stream: u16, number: u64, size: usize) -> Vec<u8> {
    let mut data = Vec::with_capacity(size);
    data.extend(stream.to_be_bytes());
    data.extend(number.to_be_bytes());
    data.resize(size - HASH, 0);
    ChaCha8Rng::seed_from_u64(number << 16 | u64::from(stream)).fill_bytes(&mut data[HEADER..]);
    let hash = Sha256::digest(&data);
    data.extend(hash);
    data
}

fn decode(data: &[u8]) -> Option<(u16, u64)> {
    let (text, hash) = data.split_at_checked(data.len().checked_sub(HASH)?)?;
    let (stream, rest) = text.split_first_chunk()?;
    let (number, _) = rest.split_first_chunk()?;
    (Sha256::digest(text)[..] == *hash)
        .then(|| (u16::from_be_bytes(*stream), u64::from_be_bytes(*number)))
}

const HEADER: usize = 10;
const HASH: usize = 32;
const PPID: u32 = 0x6e65_746e;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_that_are_not_due_are_noticed() {
        let message = |stream, number| encode(stream, number, 100);
        let mut reader = Reader::default();
        reader.check(0, &message(0, 0)).unwrap();
        reader.check(3, &message(3, 0)).unwrap();
        reader.check(0, &message(0, 1)).unwrap();
        assert!(reader.check(0, &message(0, 1)).unwrap_err().contains("twice"));
        assert!(reader.check(0, &message(0, 3)).unwrap_err().contains("early"));
        assert!(reader.check(1, &message(0, 2)).unwrap_err().contains("for stream 0"));
        let mut damaged = message(0, 2);
        damaged[50] ^= 1;
        assert!(reader.check(0, &damaged).unwrap_err().contains("damaged"));
        assert!(reader.check(0, &[1, 2, 3]).unwrap_err().contains("damaged"));
        assert_eq!((reader.messages, reader.bytes), (3, 300));
    }

    #[test]
    fn messages_go_round_the_streams() {
        let mut numbered = Numbered::new(1, 3);
        let messages: Vec<Message> = (0..7).map(|_| numbered.next_message()).collect();
        assert_eq!(messages.iter().map(|m| m.stream).collect::<Vec<_>>(), [0, 1, 2, 0, 1, 2, 0]);
        let mut reader = Reader::default();
        for message in &messages {
            reader.check(message.stream, &message.data).unwrap();
        }
        assert_eq!(reader.messages, 7);
    }
}
