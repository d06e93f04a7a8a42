//! The contents of the messages of a [`Flow`]: each byte follows from the number of the message and
//! the place of the byte. `peers/peer.h` has the same in C.

use std::time::{Duration, Instant};

use crate::interop::script::Flow;

/// Message `number` of a flow: stream, payload protocol identifier and bytes.
pub(super) fn message(flow: &Flow, number: u64) -> (u16, u32, Vec<u8>) {
    let len = flow.size[(number % flow.size.len() as u64) as usize];
    ((number % u64::from(flow.streams)) as u16, ppid(flow, number), bytes(len, number as u32))
}

/// The last message of a flow that goes on for some time.
pub(super) fn end_mark(count: u64) -> Vec<u8> {
    (count as u32).to_be_bytes().to_vec()
}

fn ppid(flow: &Flow, number: u64) -> u32 {
    if flow.ppid == 0 { DEFAULT_PPID } else { flow.ppid.wrapping_add(number as u32) }
}

fn bytes(len: usize, number: u32) -> Vec<u8> {
    let start = number.wrapping_mul(0x9e37_79b1);
    let byte = |at: u32| {
        let x = start.wrapping_add(at);
        let x = (x ^ x >> 15).wrapping_mul(0x85eb_ca6b);
        (x ^ x >> 13) as u8
    };
    let mut data: Vec<u8> = (0..len as u32).map(byte).collect();
    if let (8.., Some(head)) = (len, data.first_chunk_mut()) {
        *head = number.to_be_bytes();
    }
    data
}

/// Checks arriving messages and reports the first error.
#[derive(Debug)]
pub(super) struct Check<'a> {
    flow: &'a Flow,
    /// How many ordered messages have arrived on each stream.
    next: Vec<u64>,
    /// Which unordered messages have arrived.
    seen: Vec<bool>,
    most: Option<u64>,
    got: u64,
    bytes: u64,
    told: Option<Instant>,
}

impl<'a> Check<'a> {
    pub(super) fn new(flow: &'a Flow) -> Check<'a> {
        Check {
            flow,
            next: vec![0; usize::from(flow.streams)],
            seen: if flow.unordered { vec![false; flow.n as usize] } else { Vec::new() },
            most: flow.seconds.is_none().then_some(flow.n),
            got: 0,
            bytes: 0,
            told: None,
        }
    }

    /// Whether everything has arrived.
    pub(super) fn done(&self) -> bool {
        self.most == Some(self.got)
    }

    /// Prints how much has arrived.
    pub(super) fn report(&self) {
        println!("got n={} bytes={}", self.got, self.bytes);
    }

    pub(super) fn take(
        &mut self,
        stream: u16,
        ppid_there: u32,
        unordered: bool,
        data: &[u8],
    ) -> Result<(), String> {
        // The other end has received everything and sends this word already, while one of its
        // messages on another stream may still be on its way.
        if data == WORD {
            return Ok(());
        }
        let flow = self.flow;
        if let (Some(_), Ok(count)) = (flow.seconds, <[u8; 4]>::try_from(data)) {
            self.most = Some(u32::from_be_bytes(count).into());
            return Ok(());
        }
        let number = if flow.unordered {
            let number =
                u64::from(data.first_chunk().map_or(u32::MAX, |head| u32::from_be_bytes(*head)));
            match self.seen.get_mut(number as usize) {
                Some(seen) if !*seen => *seen = true,
                _ => return Err(format!("unordered message {number} is damaged or came twice")),
            }
            number
        } else {
            let Some(next) = self.next.get_mut(usize::from(stream)) else {
                return Err(format!("a message on stream {stream}, which is not used"));
            };
            *next += 1;
            (*next - 1) * u64::from(flow.streams) + u64::from(stream)
        };
        let (right_stream, right_ppid, right) = message(flow, number);
        if data != right
            || (stream, ppid_there, unordered) != (right_stream, right_ppid, flow.unordered)
        {
            let at = data.iter().zip(&right).position(|(there, due)| there != due);
            return Err(format!(
                "message {number} of {} bytes on stream {stream}, ppid {ppid_there}, unordered \
                 {unordered}, is not that of {} bytes on stream {right_stream}, ppid {right_ppid}; \
                 the first difference is at {at:?}",
                data.len(),
                right.len()
            ));
        }
        self.got += 1;
        self.bytes += data.len() as u64;
        if self.told.is_none_or(|told| told.elapsed() > Duration::from_millis(200)) {
            println!("at n={}", self.got);
            self.told = Some(Instant::now());
        }
        Ok(())
    }
}

const DEFAULT_PPID: u32 = 53;
/// The word that an end sends until the association is lost. No message of a flow is like it.
pub(super) const WORD: &[u8] = b"anybody?";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interop::script::{Setup, Step};

    fn flow(text: &str) -> Flow {
        let (_, mut steps) = Setup::parse(&[format!("expect:{text}")]).unwrap();
        match steps.remove(0) {
            Step::Expect(flow) => flow,
            step => panic!("{step:?}"),
        }
    }

    fn give(check: &mut Check<'_>, number: u64) -> Result<(), String> {
        let (stream, ppid, data) = message(check.flow, number);
        check.take(stream, ppid, check.flow.unordered, &data)
    }

    /// The peers in C must send the same bytes.
    #[test]
    fn the_bytes_are_those_of_the_peers_in_c() {
        assert_eq!(bytes(10, 3), [0, 0, 0, 3, 0x48, 0xb1, 0x8c, 0x98, 0x95, 0x44]);
        assert_eq!(bytes(3, 0)[0], 0);
    }

    #[test]
    fn everything_in_order_is_right_and_nothing_else() {
        let flow = flow("n=9:size=1+5+100:streams=2:ppid=7");
        let mut check = Check::new(&flow);
        for number in [0, 2, 1, 4, 3, 5, 7, 6, 8] {
            assert!(!check.done());
            give(&mut check, number).unwrap();
        }
        assert!(check.done());
        for wrong in [1, 2] {
            give(&mut Check::new(&flow), wrong * 2).unwrap_err();
        }
        let (stream, ppid, data) = message(&flow, 0);
        for (stream, ppid, unordered) in
            [(1, ppid, false), (2, ppid, false), (stream, ppid + 1, false), (stream, ppid, true)]
        {
            Check::new(&flow).take(stream, ppid, unordered, &data).unwrap_err();
        }
    }

    #[test]
    fn unordered_messages_come_in_any_order_once() {
        let flow = flow("n=3:size=8+5000:unordered=1");
        let mut check = Check::new(&flow);
        for number in [2, 0] {
            give(&mut check, number).unwrap();
        }
        give(&mut check, 2).unwrap_err();
        give(&mut check, 1).unwrap();
        assert!(check.done());
        give(&mut check, 3).unwrap_err();
    }

    #[test]
    fn a_flow_for_some_time_ends_with_its_mark() {
        let flow = flow("seconds=1:size=100");
        let mut check = Check::new(&flow);
        give(&mut check, 0).unwrap();
        check.take(0, 53, false, &end_mark(2)).unwrap();
        assert!(!check.done());
        give(&mut check, 1).unwrap();
        assert!(check.done());
    }

    #[test]
    fn a_word_may_overtake_what_is_on_other_streams() {
        let flow = flow("n=4:size=10:streams=2");
        let mut check = Check::new(&flow);
        for number in 0..3 {
            give(&mut check, number).unwrap();
        }
        check.take(0, 53, false, WORD).unwrap();
        assert!(!check.done());
        give(&mut check, 3).unwrap();
        assert!(check.done());
    }
}
