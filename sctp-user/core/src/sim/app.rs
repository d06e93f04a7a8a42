//! The scripts of hosts.

use crate::addr::Received;
use crate::event::Event;
use crate::stack::{AssocId, Stack};
use crate::time::Time;

/// What a script works with.
pub struct Cx<'a> {
    /// The virtual time.
    pub now: Time,
    /// The stack of the host.
    pub stack: &'a mut Stack,
}

/// The user of a [`Host`](super::Host)'s stack. Any `FnMut(&mut Cx, AssocId, &Event)` is an `App`.
pub trait App: 'static {
    /// Takes an event.
    fn event(&mut self, cx: &mut Cx<'_>, id: AssocId, event: &Event);

    /// When the host must call [`timeout`](Self::timeout).
    fn poll_timeout(&self) -> Option<Time> {
        None
    }

    /// The host calls this when the time of [`poll_timeout`](Self::poll_timeout) has come.
    fn timeout(&mut self, cx: &mut Cx<'_>) {
        let _ = cx;
    }
}

impl<F: FnMut(&mut Cx<'_>, AssocId, &Event) + 'static> App for F {
    fn event(&mut self, cx: &mut Cx<'_>, id: AssocId, event: &Event) {
        self(cx, id, event);
    }
}

/// Accepts every association, records every event and, unless told not to, reads every message.
#[derive(Debug)]
pub struct Recorder {
    /// Whether to read messages as they come. Default on.
    pub reading: bool,
    /// All events.
    pub events: Vec<(Time, AssocId, Event)>,
    /// The associations that peers started, in the order in which they came.
    pub accepted: Vec<AssocId>,
    /// All messages (or parts of messages) read.
    pub received: Vec<(AssocId, Received)>,
    /// When each entry of `received` was read.
    pub times: Vec<Time>,
}

impl Default for Recorder {
    fn default() -> Self {
        Recorder {
            reading: true,
            events: Vec::new(),
            accepted: Vec::new(),
            received: Vec::new(),
            times: Vec::new(),
        }
    }
}

impl Recorder {
    /// True if this event has come for `id`.
    pub fn saw(&self, id: AssocId, event: &Event) -> bool {
        self.events.iter().any(|(_, i, e)| *i == id && e == event)
    }

    /// True if the association has ended, gracefully or not.
    pub fn ended(&self, id: AssocId) -> bool {
        self.events
            .iter()
            .any(|(_, i, e)| *i == id && matches!(e, Event::Lost(_) | Event::ShutdownComplete))
    }

    /// Reads everything that waits, even while `reading` is off.
    pub fn read_all(&mut self, cx: &mut Cx<'_>, id: AssocId) {
        while let Some(message) = cx.stack.recv(cx.now, id) {
            self.received.push((id, message));
            self.times.push(cx.now);
        }
    }
}

impl App for Recorder {
    fn event(&mut self, cx: &mut Cx<'_>, id: AssocId, event: &Event) {
        self.events.push((cx.now, id, event.clone()));
        match event {
            Event::Up { incoming: true, .. } => {
                if let Some(status) = cx.stack.status(id) {
                    self.accepted.extend(cx.stack.accept(status.local_port));
                }
            }
            Event::Readable if self.reading => self.read_all(cx, id),
            _ => {}
        }
    }
}
