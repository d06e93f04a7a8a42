//! Tests of the socket semantics, with two ends connected back to back in virtual time.

mod cut_off;
mod ending;
mod one_stream;
mod options;
mod restart;
mod reuse;
mod sending;
mod setup;
mod transfer;

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr};

use bytes::Bytes;

use super::record::{Note, Notes};
use super::*;
use crate::addr::{Encap, Message, Peer, Received};
use crate::event::PeerAddrState;
use crate::time::Duration;
use crate::wire::Packet;

const A: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
const B: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));
const DELAY: Duration = Duration::from_millis(5);

/// Two stacks joined by a wire without loss and with a delay of 5 ms.
struct Pair {
    a: Sockets,
    b: Sockets,
    now: Time,
    wire: VecDeque<(Time, IpAddr, Bytes)>,
    /// Packets to this address are lost.
    cut: Option<IpAddr>,
    /// Packets for which this returns true are lost.
    loses: Option<fn(&Packet) -> bool>,
}

impl Pair {
    fn new() -> Self {
        Pair {
            a: Sockets::new(StackConfig::default(), [1; 32]),
            b: Sockets::new(StackConfig::default(), [2; 32]),
            now: Time::ZERO,
            wire: VecDeque::new(),
            cut: None,
            loses: None,
        }
    }

    /// Lets time pass, with everything that happens in it.
    fn run(&mut self, millis: u64) {
        let end = self.now + Duration::from_millis(millis);
        loop {
            self.transmit();
            let next = [
                self.wire.front().map(|(at, ..)| *at),
                self.a.poll_timeout(),
                self.b.poll_timeout(),
            ];
            let Some(next) = next.into_iter().flatten().min().filter(|at| *at <= end) else {
                break;
            };
            self.now = self.now.max(next);
            while self.wire.front().is_some_and(|(at, ..)| *at <= self.now) {
                let Some((_, to, bytes)) = self.wire.pop_front() else { break };
                self.deliver(to, bytes);
            }
            for end in [&mut self.a, &mut self.b] {
                if end.poll_timeout().is_some_and(|at| at <= self.now) {
                    end.handle_timeout(self.now);
                }
            }
        }
        self.now = end;
        self.transmit();
        self.a.stack().verify().unwrap();
        self.b.stack().verify().unwrap();
    }

    fn transmit(&mut self) {
        for (end, to) in [(&mut self.a, B), (&mut self.b, A)] {
            let mut buf = Vec::new();
            while let Some(transmit) = end.poll_transmit(self.now, SegmentLimits::ONE, &mut buf) {
                assert_eq!(transmit.path.remote, to);
                assert_eq!(transmit.len, buf.len());
                self.wire.push_back((self.now + DELAY, to, Bytes::from(std::mem::take(&mut buf))));
            }
        }
    }

    fn deliver(&mut self, to: IpAddr, bytes: Bytes) {
        if self.cut == Some(to) {
            return;
        }
        let remote = if to == A { B } else { A };
        let from = PathAddr { local: Some(to), remote, encap: Encap::Native };
        let packet = Packet::check(bytes).unwrap();
        if self.loses.is_some_and(|loses| loses(&packet)) {
            return;
        }
        let end = if to == A { &mut self.a } else { &mut self.b };
        end.handle_datagram(Datagram { at: self.now, from, ecn: None, packet });
    }

    /// A listener on B and a connected pair of one-to-one sockets. Returns the listener, the client
    /// and the server.
    fn connected(options: SocketOptions) -> (Pair, SocketId, SocketId, SocketId) {
        let mut pair = Pair::new();
        let listener = pair.b.open(Style::OneToOne, options.clone());
        pair.b.bind(listener, 7, &[]).unwrap();
        pair.b.listen(listener, 5).unwrap();
        let client = pair.a.open(Style::OneToOne, options);
        pair.a.connect(pair.now, client, &peer_b(7)).unwrap();
        pair.run(100);
        let server = pair.b.accept(pair.now, listener).unwrap();
        (pair, listener, client, server)
    }
}

fn peer_b(port: u16) -> Peer {
    Peer::new(B, Encap::Native, port)
}

fn text(message: &str) -> Message {
    Message::new(0, 0, Bytes::copy_from_slice(message.as_bytes()))
}

fn all() -> SocketOptions {
    SocketOptions { subscriptions: Subscriptions::ALL, ..SocketOptions::default() }
}

/// Reads everything that waits. Messages come as text, notifications as the names of their
/// variants.
fn read_all(end: &mut Sockets, now: Time, socket: SocketId) -> Vec<String> {
    let mut seen = Vec::new();
    loop {
        match end.try_recv(now, socket) {
            Ok(Some((_, Incoming::Message(Received { data, .. })))) => {
                seen.push(String::from_utf8_lossy(&data).into_owned());
            }
            Ok(Some((_, Incoming::Notification(Notification::AssocChange(change))))) => {
                let debug = format!("{change:?}");
                seen.push(format!("<{}>", debug.split([' ', '(']).next().unwrap_or_default()));
            }
            Ok(Some((_, Incoming::Notification(other)))) => {
                let debug = format!("{other:?}");
                seen.push(format!("<{}>", debug.split([' ', '(']).next().unwrap_or_default()));
            }
            Ok(None) => {
                seen.push("<end>".to_owned());
                return seen;
            }
            Err(SocketError::WouldBlock) => return seen,
            Err(why) => {
                seen.push(format!("<error: {why}>"));
            }
        }
    }
}

fn ready(end: &mut Sockets, socket: SocketId) -> Option<Ready> {
    let mut found = None;
    while let Some(ready) = end.poll_ready() {
        if ready.socket == socket {
            assert!(found.is_none(), "each socket is named only once");
            found = Some(ready);
        }
    }
    found
}

/// Takes the next notification if it is due after so many messages.
fn pop_due(notes: &mut Notes, delivered: u64) -> Option<Notification> {
    notes.due(delivered, false).next()?;
    match notes.pop()? {
        Note::Notification(notification) => Some(notification),
        Note::Restart { .. } => panic!("there was no restart"),
    }
}

#[test]
fn notifications_keep_their_place_among_messages() {
    let mut notes = Notes::default();
    notes.push(0, Notification::SenderDry, 100);
    notes.push(2, Notification::PeerShutdown, 100);
    assert_eq!(pop_due(&mut notes, 0), Some(Notification::SenderDry));
    assert_eq!(pop_due(&mut notes, 0), None);
    assert_eq!(pop_due(&mut notes, 1), None);
    assert_eq!(pop_due(&mut notes, 2), Some(Notification::PeerShutdown));
    assert!(notes.is_empty());
}

#[test]
fn unread_notifications_are_bounded_but_the_end_always_comes() {
    let mut notes = Notes::default();
    for _ in 0..10_000 {
        notes.push(
            0,
            Notification::PeerAddrChange { addr: B, state: PeerAddrState::Available },
            1000,
        );
        notes.push(0, Notification::SendFailed { message: text("some text"), unsent: true }, 1000);
    }
    notes.push(0, Notification::AssocChange(AssocChange::ShutdownComplete), 1000);
    let mut seen = Vec::new();
    while let Some(note) = pop_due(&mut notes, 0) {
        seen.push(note);
    }
    assert!(seen.len() < 300, "{}", seen.len());
    assert_eq!(seen.last(), Some(&Notification::AssocChange(AssocChange::ShutdownComplete)));
    assert_eq!(seen.iter().filter(|n| **n == Notification::Stopped).count(), 1);
    // After they have been read, there is room again.
    notes.push(0, Notification::SendFailed { message: text("some text"), unsent: true }, 1000);
    assert!(matches!(pop_due(&mut notes, 0), Some(Notification::SendFailed { .. })));
}
