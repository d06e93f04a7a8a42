//! Sending and receiving during a test; the same at both ends.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use bytes::{Bytes, BytesMut};
use sctp_user::{Association, Message, SendOptions};

use super::protocol::{CONTROL_PPID, Control, Order, Received, Report, Sent};
use super::usage::CpuTime;

/// One end of a test.
pub(crate) struct Transfer {
    association: Association,
    cpu: Option<CpuTime>,
}

/// What [`Transfer::receive`] ended with.
pub(crate) struct Arrived {
    pub(crate) received: Received,
    /// The peer's report, where one was waited for.
    pub(crate) report: Option<Report>,
}

/// What is to be received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Expect {
    pub(crate) data: bool,
    pub(crate) report: bool,
}

impl Transfer {
    /// Starts counting processor time.
    pub(crate) fn new(association: Association) -> Self {
        Transfer { association, cpu: CpuTime::now() }
    }

    /// Sends data for the ordered time, and how much it was.
    pub(crate) async fn send(&self, order: &Order) -> anyhow::Result<Sent> {
        let data = Bytes::from(vec![0x5a; order.size]);
        let options = SendOptions { unordered: order.unordered, ..SendOptions::default() };
        let open = self.association.status().map_or(1, |status| status.outbound_streams);
        let streams = order.streams.min(open).max(1);
        let end = Instant::now() + Duration::from_millis(order.duration_ms);
        let mut sent = Sent::default();
        let mut stream = 0;
        // A look at the clock for every message would be a good part of the cost of a short one.
        while !sent.messages.is_multiple_of(CLOCK_EVERY) || Instant::now() < end {
            self.association
                .send(Message { stream, ppid: 0, data: data.clone(), options })
                .await
                .context("sending failed")?;
            sent.messages += 1;
            sent.bytes += order.size as u64;
            stream = (stream + 1) % streams;
        }
        self.control(&Control::Sent(sent)).await?;
        Ok(sent)
    }

    /// Receives until everything expected is there.
    pub(crate) async fn receive(&self, expect: Expect) -> anyhow::Result<Arrived> {
        let mut counter = Counter::default();
        let mut announced = None;
        let mut report = None;
        let mut control = BytesMut::new();
        loop {
            let complete = announced.is_some_and(|sent: Sent| counter.received.messages >= sent.messages);
            if (complete || !expect.data) && (report.is_some() || !expect.report) {
                break;
            }
            let Some(part) = self.association.recv_message().await.context("receiving failed")? else {
                bail!("the peer has shut down in the middle of the test");
            };
            if part.ppid != CONTROL_PPID {
                counter.add(part.data.len(), part.end_of_record);
                continue;
            }
            if control.len() + part.data.len() > MAX_CONTROL {
                bail!("the peer sent a control message that is too long");
            }
            control.extend_from_slice(&part.data);
            if part.end_of_record {
                match decode(&control.split())? {
                    Control::Sent(sent) => announced = Some(sent),
                    Control::Report(theirs) => report = Some(theirs),
                    Control::Order(_) => bail!("the peer ordered a test in the middle of one"),
                }
            }
        }
        if let Some(sent) = announced
            && counter.received.bytes != sent.bytes
        {
            bail!("{} bytes arrived where {} were sent", counter.received.bytes, sent.bytes);
        }
        Ok(Arrived { received: counter.finish(), report })
    }

    /// Sends a control message.
    pub(crate) async fn control(&self, control: &Control) -> anyhow::Result<()> {
        let text = serde_json::to_vec(control)?;
        self.association.send(Message::new(0, CONTROL_PPID, text)).await.context("sending failed")?;
        Ok(())
    }

    /// The figures of this end.
    pub(crate) fn report(&self, sent: Sent, received: Received) -> Report {
        let stats = self.association.stats();
        let cpu = CpuTime::now().zip(self.cpu).map(|(now, start)| now.since(start));
        Report {
            sent,
            received,
            packets_sent: stats.packets_sent,
            packets_received: stats.packets_received,
            chunks_sent: stats.data_chunks_sent,
            chunks_retransmitted: stats.data_chunks_retransmitted,
            fast_retransmits: stats.fast_retransmits,
            t3_expiries: stats.t3_expiries,
            chunks_received: stats.data_chunks_received,
            duplicates_received: stats.duplicates_received,
            sacks_sent: stats.sacks_sent,
            cpu_user_s: cpu.map(|cpu| cpu.user.as_secs_f64()),
            cpu_system_s: cpu.map(|cpu| cpu.system.as_secs_f64()),
        }
    }
}

/// Reads a control message.
///
/// # Errors
/// When it is none.
pub(crate) fn decode(text: &[u8]) -> anyhow::Result<Control> {
    serde_json::from_slice(text).context("the peer sent a control message that cannot be understood")
}

/// Counts what arrives, message by message, also where a message comes in parts.
#[derive(Default)]
struct Counter {
    received: Received,
    first: Option<Instant>,
}

impl Counter {
    fn add(&mut self, len: usize, end_of_record: bool) {
        self.received.bytes += len as u64;
        if end_of_record {
            self.received.messages += 1;
        }
        self.first.get_or_insert_with(Instant::now);
    }

    fn finish(self) -> Received {
        let seconds = self.first.map_or(0.0, |first| first.elapsed().as_secs_f64());
        Received { seconds, ..self.received }
    }
}

/// Messages between two looks at the clock.
const CLOCK_EVERY: u64 = 16;

/// Far more than any control message has.
const MAX_CONTROL: usize = 64 * 1024;
