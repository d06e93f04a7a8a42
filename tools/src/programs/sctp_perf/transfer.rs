//! Sends and receives during a test, at both ends in the same way.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use bytes::{Bytes, BytesMut};
use sctp_user::{
    AssocStats, Association, Incoming, Message, Received as Part, SendOptions, ShownText,
};

use super::protocol::{CONTROL_PPID, Control, Order, Received, Report, Sent};
use super::usage::CpuTime;

/// One end of a test.
pub(crate) struct Transfer {
    association: Association,
    warmup: Duration,
    /// Processor time at the beginning, and at the end of the warm-up.
    cpu: Option<CpuTime>,
    warm_cpu: OnceLock<CpuTime>,
}

/// What [`Transfer::receive`] ended with.
pub(crate) struct Arrived {
    pub(crate) received: Received,
    /// The peer's report, if one was expected.
    pub(crate) report: Option<Report>,
}

/// What has to be received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Expect {
    pub(crate) data: bool,
    pub(crate) report: bool,
}

impl Transfer {
    /// Starts counting processor time.
    pub(crate) fn new(association: Association, order: &Order) -> Self {
        let warmup = Duration::from_millis(order.warmup_ms);
        Transfer { association, warmup, cpu: CpuTime::now(), warm_cpu: OnceLock::new() }
    }

    /// Sends data for the ordered time, and then how much it was.
    pub(crate) async fn send(&self, order: &Order) -> anyhow::Result<Sent> {
        let data = Bytes::from(vec![0x5a; order.size]);
        let options = SendOptions { unordered: order.unordered, ..SendOptions::default() };
        let open = self.association.status().map_or(1, |status| status.outbound_streams);
        let streams = order.streams.min(open).max(1);
        let begin = Instant::now();
        let length = self.warmup + Duration::from_millis(order.duration_ms);
        let mut sent = Sent::default();
        let mut stream = 0;
        let mut next = || {
            let message = Message { stream, ppid: 0, data: data.clone(), options };
            stream = (stream + 1) % streams;
            message
        };
        let calls = (CLOCK_EVERY / order.size / usize::from(order.batch)).clamp(1, 64);
        loop {
            let elapsed = begin.elapsed();
            if elapsed >= self.warmup {
                self.warmed_up();
            }
            if elapsed >= length {
                break;
            }
            for _ in 0..calls {
                let result = match order.batch {
                    1 => self.association.send(next()).await,
                    batch => self.association.send_many((0..batch).map(|_| next()).collect()).await,
                };
                result.context("sending failed")?;
                sent.messages += u64::from(order.batch);
            }
        }
        sent.bytes = sent.messages * order.size as u64;
        self.control(&Control::Sent(sent)).await?;
        Ok(sent)
    }

    /// Receives until everything that is expected is there.
    pub(crate) async fn receive(&self, expect: Expect) -> anyhow::Result<Arrived> {
        let mut counter = Counter::new(self.warmup);
        let mut announced = None;
        let mut report = None;
        let mut control = BytesMut::new();
        let mut parts = Vec::new();
        loop {
            let complete =
                announced.is_some_and(|sent: Sent| counter.total.messages >= sent.messages);
            if (complete || !expect.data) && (report.is_some() || !expect.report) {
                break;
            }
            if self
                .association
                .recv_many(&mut parts, RECV_BATCH)
                .await
                .context("receiving failed")?
                == 0
            {
                bail!("the peer has shut down in the middle of the test");
            }
            for incoming in parts.drain(..) {
                let Incoming::Message(part) = incoming else { continue };
                if part.ppid != CONTROL_PPID {
                    counter.count(&part);
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
            if counter.look_at_clock() {
                self.warmed_up();
            }
        }
        if let Some(sent) = announced
            && counter.total.bytes != sent.bytes
        {
            bail!("{} bytes arrived where {} were sent", counter.total.bytes, sent.bytes);
        }
        Ok(Arrived { received: counter.measured, report })
    }

    /// The warm-up is over.
    fn warmed_up(&self) {
        if self.warm_cpu.get().is_none()
            && let Some(now) = CpuTime::now()
        {
            self.warm_cpu.get_or_init(|| now);
        }
    }

    /// Sends a control message.
    pub(crate) async fn control(&self, control: &Control) -> anyhow::Result<()> {
        let text = serde_json::to_vec(control)?;
        self.association
            .send(Message::new(0, CONTROL_PPID, text))
            .await
            .context("sending failed")?;
        Ok(())
    }

    /// The figures of this end.
    pub(crate) fn report(&self, sent: Sent, received: Received) -> Report {
        let start = self.warm_cpu.get().copied().filter(|_| !self.warmup.is_zero()).or(self.cpu);
        report(&self.association.stats(), start, sent, received)
    }
}

/// The figures of an end that has used processor time since `start`.
pub(crate) fn report(
    stats: &AssocStats,
    start: Option<CpuTime>,
    sent: Sent,
    received: Received,
) -> Report {
    let cpu = CpuTime::now().zip(start).map(|(now, start)| now.since(start));
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
        socket_overflows: 0,
    }
}

/// Reads a control message.
///
/// # Errors
/// When it is no control message.
pub(crate) fn decode(text: &[u8]) -> anyhow::Result<Control> {
    serde_json::from_slice(text).map_err(|error| {
        // The error quotes what the peer sent.
        let error = error.to_string();
        let why = ShownText(error.as_bytes());
        anyhow!("the peer sent a control message that cannot be understood: {why}")
    })
}

/// Counts the messages that arrive, including those that come in parts.
struct Counter {
    warmup: Duration,
    /// Everything.
    total: Received,
    /// What came after the warm-up.
    measured: Received,
    /// What came after the clock was last read.
    fresh: Received,
    first: Option<Instant>,
    /// When the warm-up ended.
    start: Option<Instant>,
}

impl Counter {
    fn new(warmup: Duration) -> Self {
        let none = Received::default();
        Counter { warmup, total: none, measured: none, fresh: none, first: None, start: None }
    }

    fn count(&mut self, part: &Part) {
        self.fresh.bytes += part.data.len() as u64;
        self.fresh.messages += u64::from(part.end_of_record);
    }

    /// Adds what came after the last call to the warm-up or to what is measured. True once the
    /// warm-up is over.
    fn look_at_clock(&mut self) -> bool {
        let fresh = std::mem::take(&mut self.fresh);
        if fresh.bytes > 0 {
            self.total.bytes += fresh.bytes;
            self.total.messages += fresh.messages;
            let now = Instant::now();
            let first = *self.first.get_or_insert(now);
            // Without a warm-up, the time starts at the first message. That message counts as well.
            if self.warmup.is_zero() {
                self.start = Some(first);
            }
            match self.start {
                None if now - first >= self.warmup => self.start = Some(now),
                None => {}
                Some(start) => {
                    self.measured.bytes += fresh.bytes;
                    self.measured.messages += fresh.messages;
                    self.measured.seconds = (now - start).as_secs_f64();
                }
            }
        }
        self.start.is_some()
    }
}

/// Far more than the length of any control message.
const MAX_CONTROL: usize = 64 * 1024;
/// After how many bytes a sender reads the clock.
const CLOCK_EVERY: usize = 64 * 1024;
/// How many messages are received at once.
const RECV_BATCH: usize = 256;
