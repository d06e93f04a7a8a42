//! A pool element: it stays registered, and answers pool users.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use rserpool_wire::AsapMessage;
use rserpool_wire::numbers::ppid;
use sctp_user_core::Time;

use crate::asap::{AsapCore, AsapEvent};
use crate::channel::{ChannelId, Core, Input, Output};

/// SCTP port of the service.
pub(super) const SERVICE_PORT: u16 = 7;

/// A pool element whose service counts the messages of each session. Its answer to a message is the
/// message, with the count behind it; before each answer goes a cookie with the count.
#[derive(Debug)]
pub struct Server {
    asap: AsapCore,
    /// The count of each session.
    sessions: BTreeMap<ChannelId, u64>,
    outputs: VecDeque<Output<AsapEvent>>,
}

impl Server {
    /// An element whose registration `asap` keeps.
    pub fn new(asap: AsapCore) -> Self {
        Server { asap, sessions: BTreeMap::new(), outputs: VecDeque::new() }
    }

    fn on_session_message(&mut self, channel: ChannelId, protocol: u32, data: &[u8]) {
        let Some(count) = self.sessions.get_mut(&channel) else { return };
        if protocol == ppid::ASAP {
            if let Ok(AsapMessage::CookieEcho(cookie)) = AsapMessage::decode(data)
                && let Ok(cookie) = <[u8; 8]>::try_from(&*cookie)
            {
                *count = u64::from_be_bytes(cookie);
            }
            return;
        }
        *count += 1;
        let count = count.to_be_bytes();
        if let Ok(cookie) = AsapMessage::Cookie(Bytes::copy_from_slice(&count)).encode() {
            self.outputs.push_back(Output::Send { channel, ppid: ppid::ASAP, data: cookie });
        }
        let data = [data, &count].concat().into();
        self.outputs.push_back(Output::Send { channel, ppid: protocol, data });
    }
}

impl Core for Server {
    type Event = AsapEvent;

    fn handle(&mut self, now: Time, input: Input<'_>) {
        match &input {
            Input::Up { channel, local_port: SERVICE_PORT, .. } => {
                self.sessions.insert(*channel, 0);
            }
            Input::Message { channel, ppid, data } if self.sessions.contains_key(channel) => {
                self.on_session_message(*channel, *ppid, data);
            }
            Input::Down { channel } if self.sessions.remove(channel).is_some() => {}
            _ => self.asap.handle(now, input),
        }
    }

    fn poll_output(&mut self) -> Option<Output<AsapEvent>> {
        self.outputs.pop_front().or_else(|| self.asap.poll_output())
    }

    fn poll_timeout(&self) -> Option<Time> {
        self.asap.poll_timeout()
    }
}
