//! A user of a simulated host that sends planned messages and collects those that arrive.

use std::collections::VecDeque;

use bytes::Bytes;
use rand::{Rng, RngExt};
use sctp_user_core::sim::{App, Cx, SimRng};
use sctp_user_core::{AssocId, Event, Message, Received, SendError, SendOptions, Time};

/// Sends its planned messages on one association as fast as the send buffer takes them, and reads
/// those that arrive.
pub struct Traffic {
    /// The messages that have not been sent yet.
    pub plan: VecDeque<Message>,
    /// All messages that were ever planned, in order.
    pub planned: Vec<Message>,
    /// Complete messages, in the order of their arrival.
    pub received: Vec<Received>,
    /// Events, except for Readable and Writable.
    pub events: Vec<(Time, Event)>,
    /// Whether messages are read as they arrive. On by default.
    pub reading: bool,
    /// The association: the one given to [`Traffic::use_assoc`], or the first accepted one.
    pub id: Option<AssocId>,
    begun: Option<Received>,
    unread: bool,
}

impl Traffic {
    /// A user with this plan.
    pub fn new(plan: Vec<Message>) -> Self {
        Traffic {
            plan: plan.iter().cloned().collect(),
            planned: plan,
            received: Vec::new(),
            events: Vec::new(),
            reading: true,
            id: None,
            begun: None,
            unread: false,
        }
    }

    /// Uses this association, and sends at once what fits into the send buffer.
    pub fn use_assoc(&mut self, cx: &mut Cx<'_>, id: AssocId) {
        self.id = Some(id);
        self.pump(cx);
    }

    /// Adds to the plan.
    pub fn send(&mut self, cx: &mut Cx<'_>, messages: impl IntoIterator<Item = Message>) {
        for message in messages {
            self.plan.push_back(message.clone());
            self.planned.push(message);
        }
        self.pump(cx);
    }

    /// Starts or stops reading.
    pub fn set_reading(&mut self, cx: &mut Cx<'_>, reading: bool) {
        self.reading = reading;
        if reading && std::mem::take(&mut self.unread) {
            self.read(cx);
        }
    }

    /// The event that ended the association.
    pub fn end(&self) -> Option<&Event> {
        self.events
            .iter()
            .map(|(_, e)| e)
            .find(|e| matches!(e, Event::ShutdownComplete | Event::Lost(_)))
    }

    /// Checks that everything in `sender` was received: each message once and byte for byte, and
    /// the ordered messages of each stream in order.
    pub fn assert_received_all_of(&self, sender: &[Message]) {
        assert!(self.begun.is_none(), "a message was delivered in part only");
        let streams =
            sender.iter().map(|m| m.stream).chain(self.received.iter().map(|r| r.stream)).max();
        for stream in 0..=streams.unwrap_or(0) {
            let sent: Vec<_> =
                sender.iter().filter(|m| m.stream == stream && !m.options.unordered).collect();
            let got: Vec<_> =
                self.received.iter().filter(|r| r.stream == stream && !r.unordered).collect();
            for (n, (sent, got)) in sent.iter().zip(&got).enumerate() {
                assert_eq!(got.ssn, n as u16, "stream {stream}, message {n}");
                assert_same(sent, got);
            }
            assert_eq!(got.len(), sent.len(), "number of ordered messages on stream {stream}");
        }
        let mut sent: Vec<_> = sender.iter().filter(|m| m.options.unordered).collect();
        let mut got: Vec<_> = self.received.iter().filter(|r| r.unordered).collect();
        sent.sort_by_key(|m| m.ppid);
        got.sort_by_key(|r| r.ppid);
        assert_eq!(got.len(), sent.len(), "number of unordered messages");
        sent.iter().zip(&got).for_each(|(sent, got)| assert_same(sent, got));
    }

    fn pump(&mut self, cx: &mut Cx<'_>) {
        let Some(id) = self.id else { return };
        while let Some(message) = self.plan.front() {
            match cx.stack.send(cx.now, id, message.clone()) {
                Ok(()) => drop(self.plan.pop_front()),
                Err(SendError::WouldBlock) => break,
                Err(error) => panic!("send at {}: {error}", cx.now),
            }
        }
    }

    fn read(&mut self, cx: &mut Cx<'_>) {
        let Some(id) = self.id else { return };
        while let Some(part) = cx.stack.recv(cx.now, id) {
            let message = match self.begun.take() {
                None => part,
                Some(mut head) => {
                    let key = |r: &Received| (r.stream, r.ssn, r.ppid, r.unordered);
                    assert_eq!(
                        key(&part),
                        key(&head),
                        "a part of another message within a message"
                    );
                    head.data = [&head.data[..], &part.data[..]].concat().into();
                    head.end_of_record = part.end_of_record;
                    head.cumtsn = part.cumtsn;
                    head
                }
            };
            if message.end_of_record {
                self.received.push(message);
            } else {
                self.begun = Some(message);
            }
        }
    }
}

impl App for Traffic {
    fn event(&mut self, cx: &mut Cx<'_>, id: AssocId, event: &Event) {
        if let Event::Up { incoming: true, .. } = event {
            let port = cx.stack.status(id).expect("the association exists").local_port;
            assert_eq!(cx.stack.accept(port), Some(id));
            self.id.get_or_insert(id);
        }
        if self.id != Some(id) {
            return;
        }
        match event {
            Event::Readable if self.reading => self.read(cx),
            Event::Readable => self.unread = true,
            Event::Writable => self.pump(cx),
            event => {
                self.events.push((cx.now, event.clone()));
                if let Event::Up { .. } = event {
                    self.pump(cx);
                }
            }
        }
    }
}

/// The first PPID of test messages. Wireshark has no dissector for it and those that follow.
pub const FIRST_PPID: u32 = 0x4000_0000;

/// A message of this length with random contents. Its PPID is `FIRST_PPID` plus `number`.
pub fn message(rng: &mut SimRng, number: u32, stream: u16, unordered: bool, len: usize) -> Message {
    let mut data = vec![0; len];
    rng.fill_bytes(&mut data);
    let options = SendOptions { unordered, ..SendOptions::default() };
    Message { stream, ppid: FIRST_PPID + number, data: Bytes::from(data), options }
}

/// Messages of all sizes from 1 byte to 64 KiB, most of them small, with `bytes` bytes in total.
/// They use all of `streams` streams.
pub fn plan(rng: &mut SimRng, streams: u16, unordered: f64, bytes: usize) -> Vec<Message> {
    let mut messages = Vec::new();
    let mut left = bytes;
    while left > 0 {
        let longest = match rng.random_range(0..20) {
            0..8 => 20,
            8..14 => 300,
            14..17 => 1_500,
            17..19 => 9_000,
            _ => 65_536,
        };
        let len = rng.random_range(1..=longest).min(left);
        left -= len;
        let stream = rng.random_range(0..streams);
        let unordered = rng.random_bool(unordered);
        messages.push(message(rng, messages.len() as u32, stream, unordered, len));
    }
    messages
}

fn assert_same(sent: &Message, got: &Received) {
    assert_eq!((got.stream, got.ppid, got.data.len()), (sent.stream, sent.ppid, sent.data.len()));
    if got.data != sent.data {
        let at = got.data.iter().zip(&sent.data).position(|(a, b)| a != b);
        panic!("message {} on stream {} differs from byte {at:?} on", sent.ppid, sent.stream);
    }
}
