//! Verified traffic between two hosts with two networks.

use std::time::{Duration, Instant};

use crate::net::Running;
use crate::topology::TwoNetworks;
use crate::traffic::{self, Event};

/// The protocol that carries SCTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// Directly in IP.
    Raw,
    /// In UDP.
    Udp,
}

/// The kind of traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// As much as the association takes. The receiver measures how long it waits for messages.
    Bulk,
    /// Requests, one after the other. The client measures how long the echoes take.
    Ask,
}

/// An association between the two hosts, with traffic that both ends check. The client runs on the
/// left host; the primary path is in the first network.
#[derive(Debug)]
pub struct Traffic {
    kind: Kind,
    server: Running,
    client: Running,
    /// How many lines of the measuring end have been read so far.
    seen: usize,
}

impl Traffic {
    /// Starts server and client and waits until traffic flows. `profile` is `rfc` or `realtime`;
    /// `more` are further options of the sender.
    ///
    /// # Panics
    /// When no traffic flows.
    pub fn start(
        networks: &TwoNetworks,
        carrier: Carrier,
        kind: Kind,
        profile: &str,
        more: &[&str],
    ) -> Traffic {
        let (left, right) = (&networks.left, &networks.right);
        let port: u16 = if kind == Kind::Bulk { 7 } else { 8 };
        let (own, suffix) = match carrier {
            Carrier::Raw => (["raw".to_owned(), "raw".to_owned()], "/native".to_owned()),
            Carrier::Udp => (
                ["udp=0".to_owned(), format!("udp={}", 9890 + port)],
                format!("/udp:{}", 9890 + port),
            ),
        };
        let links = [
            format!("{}:{}", own[0], networks.addrs(left)),
            format!("{}:{}", own[1], networks.addrs(right)),
        ];
        let port_text = port.to_string();
        let common = ["--profile", profile, "--window", WINDOW];
        let mut args = vec![traffic::NAME, "serve", "--link", &links[1], "--port", &port_text];
        args.extend(common);
        args.extend((kind == Kind::Ask).then_some("--echo"));
        let mut server = networks.net.start(right, &args);
        server.ready();
        let peer = networks.peer(right, port, &suffix);
        let name = if kind == Kind::Bulk { "bulk" } else { "ask" };
        let mut args = vec![traffic::NAME, name, "--link", &links[0], "--peer", &peer];
        args.extend(common);
        args.extend(more);
        let mut client = networks.net.start(left, &args);
        let begun = client.wait_for("that traffic flows", |line| match Event::parse(line) {
            Some(Event::Begun { path, .. }) => Some(path),
            _ => None,
        });
        let primary = networks.cables[0].addrs(right)[0].to_string();
        assert_eq!(begun.split('/').next(), Some(primary.as_str()), "the primary path");
        Traffic { kind, server, client, seen: 0 }
    }

    /// The application's longest wait since the last call, in ms; 0 if no wait was unusually long.
    ///
    /// # Panics
    /// When an end reports an error.
    pub fn longest_wait(&mut self) -> f64 {
        let seen = self.seen;
        let measuring = if self.kind == Kind::Bulk { &mut self.server } else { &mut self.client };
        let lines = measuring.said();
        let mut longest = 0f64;
        for line in &lines[seen..] {
            match Event::parse(line) {
                Some(Event::Gap { ms, .. }) => longest = longest.max(ms),
                Some(Event::Wrong { what, .. }) => panic!("{:?}: {what}", self.kind),
                _ => {}
            }
        }
        self.seen = lines.len();
        longest
    }

    /// Waits until the client's stack reports this path in this state.
    ///
    /// # Panics
    /// When that has not happened after `limit`.
    pub fn wait_for_path(&mut self, addr: &str, state: &str, limit: Duration) {
        let end = Instant::now() + limit;
        loop {
            let last = self.client.said().iter().rev().find_map(|line| match Event::parse(line) {
                Some(Event::Path { addr: of, state }) if of == addr => Some(state),
                _ => None,
            });
            if last.as_deref() == Some(state) {
                return;
            }
            assert!(
                Instant::now() < end,
                "{addr} did not become {state} within {limit:?} but is {last:?}"
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Ends the traffic gracefully and checks that everything sent has arrived. Returns the longest
    /// wait, in ms, and the number of messages.
    ///
    /// # Panics
    /// When an end reports an error, does not end, or messages are missing.
    pub fn end(mut self, limit: Duration) -> (f64, u64) {
        self.client.close_stdin();
        let end = |line: &str| match Event::parse(line) {
            Some(event @ (Event::End { .. } | Event::Wrong { .. })) => Some(event),
            _ => None,
        };
        let sent = self.client.wait_at_most(limit, end);
        let Some(Event::End { messages: sent, longest_ms: asked, .. }) = sent else {
            panic!("{:?}: the sender ended with {sent:?}", self.kind)
        };
        self.client.finished(Duration::from_secs(5));
        let received = self.server.wait_at_most(Duration::from_secs(5), end);
        let Some(Event::End { messages: received, longest_ms: waited, .. }) = received else {
            panic!("{:?}: the receiver ended with {received:?}", self.kind)
        };
        assert_eq!(received, sent, "{:?}: messages received and sent", self.kind);
        (if self.kind == Kind::Bulk { waited } else { asked }, received)
    }
}

/// Size of the receive buffers, bytes: so small that the data in flight fits in the queue of a
/// cable at [`RATE`].
const WINDOW: &str = "32768";

/// Rate of the cables, kbit/s. It keeps the captures small.
pub const RATE: u32 = 5000;
/// Length of the cables' queues, ms. A queue holds more than a receive window.
pub const QUEUE: u32 = 60;
