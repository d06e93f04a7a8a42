//! The messages of client and server besides data.
//!
//! Control messages are JSON, ordered, on stream 0, and have another PPID than data. The client
//! sends an [`Order`]. Each sender ends with [`Control::Sent`], which says how many messages the
//! receiver should have, on all streams. At the end, the server sends its [`Report`].

use serde::{Deserialize, Serialize};

use super::options::Direction;

/// PPID of control messages ("perf"); data messages have 0.
pub(crate) const CONTROL_PPID: u32 = 0x7065_7266;
/// Largest message, bytes.
pub(crate) const MAX_MESSAGE: usize = 16 << 20;
/// The greatest number of streams.
pub(crate) const MAX_STREAMS: u16 = 1024;
/// The greatest number of messages that are handed to the stack at once.
pub(crate) const MAX_BATCH: u16 = 1024;
/// Longest test, ms.
const MAX_DURATION_MS: u64 = 86_400_000;

/// A control message.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Control {
    /// Client to server: the test.
    Order(Order),
    /// Sender to receiver: that was all.
    Sent(Sent),
    /// Server to client: how it went.
    Report(Report),
}

/// The test to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) direction: Direction,
    /// Bytes of each message.
    pub(crate) size: usize,
    /// The time that counts.
    pub(crate) duration_ms: u64,
    /// The time before that, which does not count.
    #[serde(default)]
    pub(crate) warmup_ms: u64,
    /// Messages that one call of a sender hands to the stack.
    pub(crate) batch: u16,
    pub(crate) streams: u16,
    pub(crate) unordered: bool,
}

impl Order {
    /// Checks an order from the network.
    ///
    /// # Errors
    /// Says what is out of bounds.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        if !(1..=MAX_MESSAGE).contains(&self.size) {
            return Err("the message size is out of bounds");
        }
        if !(1..=MAX_STREAMS).contains(&self.streams) {
            return Err("the number of streams is out of bounds");
        }
        if !(1..=MAX_DURATION_MS).contains(&self.duration_ms) {
            return Err("the duration is out of bounds");
        }
        if self.warmup_ms > MAX_DURATION_MS {
            return Err("the time before the test is out of bounds");
        }
        if !(1..=MAX_BATCH).contains(&self.batch) {
            return Err("the number of messages handed over at once is out of bounds");
        }
        Ok(())
    }
}

/// What one end sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sent {
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
}

/// What one end received.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Received {
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
    /// The time from the first message, or from the end of the warm-up, to the last message.
    pub(crate) seconds: f64,
}

/// Round-trip times of single messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct RoundTrips {
    pub(crate) count: usize,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
}

/// How a test went at one end.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) sent: Sent,
    pub(crate) received: Received,
    pub(crate) packets_sent: u64,
    pub(crate) packets_received: u64,
    pub(crate) chunks_sent: u64,
    pub(crate) chunks_retransmitted: u64,
    pub(crate) fast_retransmits: u64,
    pub(crate) t3_expiries: u64,
    pub(crate) chunks_received: u64,
    pub(crate) duplicates_received: u64,
    pub(crate) sacks_sent: u64,
    /// Processor time of the whole process during the test, in user mode and in the kernel. Absent
    /// if it is unknown.
    pub(crate) cpu_user_s: Option<f64>,
    pub(crate) cpu_system_s: Option<f64>,
    /// How many packets were lost during the test because a socket buffer of the process was full.
    #[serde(default)]
    pub(crate) socket_overflows: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDER: Order = Order {
        direction: Direction::Both,
        size: 1000,
        duration_ms: 5000,
        warmup_ms: 500,
        batch: 1,
        streams: 3,
        unordered: true,
    };

    #[test]
    fn control_messages_come_back_as_they_were() {
        let text = serde_json::to_string(&Control::Order(ORDER)).unwrap();
        let Control::Order(order) = serde_json::from_str(&text).unwrap() else { panic!("{text}") };
        assert_eq!(order, ORDER);
        order.check().unwrap();
    }

    #[test]
    fn orders_out_of_bounds_are_refused() {
        assert!(Order { size: 0, ..ORDER }.check().is_err());
        assert!(Order { size: MAX_MESSAGE + 1, ..ORDER }.check().is_err());
        assert!(Order { streams: 0, ..ORDER }.check().is_err());
        assert!(Order { streams: MAX_STREAMS + 1, ..ORDER }.check().is_err());
        assert!(Order { duration_ms: 0, ..ORDER }.check().is_err());
        assert!(Order { duration_ms: u64::MAX, ..ORDER }.check().is_err());
        assert!(Order { warmup_ms: u64::MAX, ..ORDER }.check().is_err());
        assert!(Order { batch: 0, ..ORDER }.check().is_err());
        assert!(Order { batch: MAX_BATCH + 1, ..ORDER }.check().is_err());
    }
}
