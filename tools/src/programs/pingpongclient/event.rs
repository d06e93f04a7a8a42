//! The events of the ping-pong client: text for people, or a JSON object per line for programs.

use serde::{Deserialize, Serialize};

/// Something that happened in the client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum ClientEvent {
    /// A session with a pool element is up.
    Session {
        /// Its identifier.
        pe: u32,
        /// Whether it was sent a cookie, with which it continues where another one stopped.
        resumed: bool,
    },
    /// A Ping was sent.
    Sent {
        /// Message number.
        number: u64,
        /// Whether the same number was sent before, in a session that was lost.
        again: bool,
    },
    /// The first Pong for a number arrived.
    Pong {
        /// Message number.
        number: u64,
        /// The server's own count of replies.
        reply: u64,
        /// The pool element that answered.
        pe: u32,
        /// Microseconds from the time when the number was last sent to the Pong.
        rtt_us: u64,
    },
    /// A second Pong for a number arrived, and was dropped.
    Dropped {
        /// Message number.
        number: u64,
        /// The server's own count of replies.
        reply: u64,
        /// The pool element that answered.
        pe: u32,
    },
    /// The session is lost. The client looks for another pool element.
    Lost {
        /// The pool element that it was with; `None` if no session came up.
        pe: Option<u32>,
        /// Why, in a few words.
        why: String,
    },
    /// Something that does not change the session, but is worth knowing, such as news of
    /// registrars.
    Note {
        /// What, in a sentence.
        text: String,
    },
    /// The client ended its last session.
    Finished {
        /// Numbers used.
        sent: u64,
        /// Numbers answered.
        answered: u64,
    },
}

impl ClientEvent {
    /// The event as one line of JSON.
    pub fn to_json(&self) -> String {
        // serde_json cannot fail: all keys are strings, and all values integers, booleans or
        // strings.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads what [`to_json`](Self::to_json) wrote; `None` for any other line.
    pub fn from_json(line: &str) -> Option<Self> {
        serde_json::from_str(line).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_survive_the_pipe() {
        for event in [
            ClientEvent::Session { pe: 7, resumed: true },
            ClientEvent::Sent { number: u64::MAX, again: false },
            ClientEvent::Pong { number: 1, reply: 2, pe: 3, rtt_us: 4 },
            ClientEvent::Dropped { number: 1, reply: 2, pe: 3 },
            ClientEvent::Lost { pe: None, why: "line\n\"break\"".to_owned() },
            ClientEvent::Note { text: "lost the registrar".to_owned() },
            ClientEvent::Finished { sent: 2, answered: 1 },
        ] {
            let line = event.to_json();
            assert!(!line.contains('\n'));
            assert_eq!(ClientEvent::from_json(&line), Some(event));
        }
        assert_eq!(ClientEvent::from_json("ready pingpongclient udp=1"), None);
    }
}
