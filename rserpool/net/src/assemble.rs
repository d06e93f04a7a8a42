//! Reassembles messages that SCTP delivers in parts (RFC 6458 sec 4.3.1).

use bytes::{Bytes, BytesMut};
use rserpool_core::UserMessage;
use sctp_user::Received;

/// Reassembles messages up to a given length.
#[derive(Debug)]
pub struct Assembler {
    limit: usize,
    /// What has arrived of a message, and which message it is.
    partial: Option<(Key, BytesMut)>,
}

/// Stream, order, stream sequence number.
type Key = (u16, bool, u16);

/// The message is longer than allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong;

impl Assembler {
    /// Takes messages of up to `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Assembler { limit, partial: None }
    }

    /// Drops what has arrived of a message, because the rest will not come.
    pub fn clear(&mut self) {
        self.partial = None;
    }

    /// Takes the next part, and returns the message if that completes it.
    ///
    /// # Errors
    /// When the message is longer than allowed. What has arrived of it is dropped.
    pub fn push(&mut self, part: Received) -> Result<Option<UserMessage>, TooLong> {
        let Received { stream, ssn, ppid, unordered, end_of_record, data, .. } = part;
        let key = (stream, unordered, ssn);
        // The parts of a message come one after the other. If a part of another message comes, the
        // rest of the first one never will.
        let before = self.partial.take().filter(|(k, _)| *k == key);
        let held = before.as_ref().map_or(0, |(_, b)| b.len());
        if held.saturating_add(data.len()) > self.limit {
            return Err(TooLong);
        }
        let data: Bytes = match (before, end_of_record) {
            (None, true) => data,
            (before, _) => {
                let mut whole = before.map_or_else(BytesMut::new, |(_, b)| b);
                whole.extend_from_slice(&data);
                if !end_of_record {
                    self.partial = Some((key, whole));
                    return Ok(None);
                }
                whole.freeze()
            }
        };
        Ok(Some(UserMessage { stream, ppid, data }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sctp_user::{Encap, PathAddr};

    fn part(stream: u16, ssn: u16, end_of_record: bool, data: &'static [u8]) -> Received {
        let from = PathAddr { local: None, remote: [127, 0, 0, 1].into(), encap: Encap::Native };
        let (ppid, data) = (7, Bytes::from_static(data));
        let unordered = false;
        Received {
            stream,
            ssn,
            ppid,
            tsn: 0,
            cumtsn: 0,
            context: 0,
            unordered,
            end_of_record,
            from,
            data,
        }
    }

    #[test]
    fn whole_and_partial_messages() {
        let mut a = Assembler::new(4);
        let message = |stream, data: &'static [u8]| {
            Ok(Some(UserMessage { stream, ppid: 7, data: Bytes::from_static(data) }))
        };
        assert_eq!(a.push(part(1, 0, true, b"abcd")), message(1, b"abcd"));
        assert_eq!(a.push(part(1, 1, false, b"ab")), Ok(None));
        assert_eq!(a.push(part(1, 1, false, b"c")), Ok(None));
        assert_eq!(a.push(part(1, 1, true, b"d")), message(1, b"abcd"));
        // A message that stays incomplete is dropped.
        assert_eq!(a.push(part(1, 2, false, b"ab")), Ok(None));
        assert_eq!(a.push(part(2, 0, true, b"xyz")), message(2, b"xyz"));
    }

    #[test]
    fn too_long() {
        let mut a = Assembler::new(4);
        assert_eq!(a.push(part(1, 0, true, b"abcde")), Err(TooLong));
        assert_eq!(a.push(part(1, 0, false, b"abc")), Ok(None));
        assert_eq!(a.push(part(1, 0, true, b"de")), Err(TooLong));
    }
}
