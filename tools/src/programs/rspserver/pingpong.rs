//! Ping-pong: counts its replies. The cookie contains the count, so the next server continues it.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use rserpool::{ElementIncoming, ElementSession, Error, Outgoing, UserMessage};
use rserpool_wire::numbers::ppid;
use tokio::time::Instant;

use crate::protocols::pingpong::{Ping, PingPongCookie, PingPongMessage, Pong};

/// Settings of the service.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    /// How many sessions there may be at the same time.
    pub(super) max_sessions: usize,
    /// After how many replies a session is aborted; 0 is never.
    pub(super) failure_after: u64,
    /// How long each reply is delayed.
    pub(super) reply_delay: Duration,
}

/// How many replies may be delayed at the same time. Then the service reads nothing.
const MAX_THOUGHTS: usize = 1024;

/// Serves one session to its end.
///
/// # Errors
/// When the session is lost.
pub(super) async fn serve(mut session: ElementSession, settings: &Settings) -> Result<(), Error> {
    let mut counter = Counter::default();
    let mut thoughts: VecDeque<(Instant, Ping)> = VecDeque::new();
    loop {
        let due = thoughts.front().map(|(due, _)| *due);
        tokio::select! {
            biased;
            () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                let Some((_, ping)) = thoughts.pop_front() else { continue };
                let Some(unit) = counter.reply(ping) else {
                    session.abort("the pong would be too long");
                    return Ok(());
                };
                // Pong and cookie are one unit: when this server dies, a client has both or
                // neither.
                session.send_unit(unit).await?;
                if settings.failure_after > 0 && counter.sent >= settings.failure_after {
                    session.abort("failure on purpose");
                    return Ok(());
                }
            }
            incoming = session.recv(), if thoughts.len() < MAX_THOUGHTS => match incoming? {
                None => break,
                Some(ElementIncoming::CookieEcho(cookie)) => counter.restore(&cookie),
                // The client is a new process, which has asked for nothing and starts at 1.
                Some(ElementIncoming::Restarted) => {
                    counter.next_reply = Counter::default().next_reply;
                    thoughts.clear();
                }
                Some(ElementIncoming::Message(message)) => match decode(&message) {
                    Some(ping) => thoughts.push_back((Instant::now() + settings.reply_delay, ping)),
                    None => {
                        session.abort("this is not a ping");
                        return Ok(());
                    }
                },
            },
        }
    }
    session.shutdown().await
}

fn decode(message: &UserMessage) -> Option<Ping> {
    match PingPongMessage::decode(&message.data) {
        Ok(PingPongMessage::Ping(ping)) if message.ppid == ppid::PING_PONG => Some(ping),
        _ => None,
    }
}

/// The state of a session.
#[derive(Debug)]
struct Counter {
    next_reply: u64,
    /// How many replies this server has sent.
    sent: u64,
}

impl Default for Counter {
    fn default() -> Self {
        Counter { next_reply: 1, sent: 0 }
    }
}

impl Counter {
    /// Continues the count of the cookie. A cookie of another service changes nothing.
    fn restore(&mut self, cookie: &[u8]) {
        if let Some(cookie) = PingPongCookie::decode(cookie) {
            self.next_reply = cookie.next_reply;
        }
    }

    /// Pong and cookie for a ping; `None` if its data is too long for a Pong.
    fn reply(&mut self, ping: Ping) -> Option<Vec<Outgoing>> {
        let pong = Pong { number: ping.number, reply: self.next_reply, data: ping.data };
        let pong: Bytes = PingPongMessage::Pong(pong).encode().ok()?;
        self.next_reply = self.next_reply.wrapping_add(1);
        self.sent += 1;
        let cookie = PingPongCookie { next_reply: self.next_reply };
        Some(vec![
            Outgoing::Data(UserMessage::new(ppid::PING_PONG, pong)),
            Outgoing::Cookie(cookie.encode()),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ping(number: u64) -> Ping {
        Ping { number, data: Bytes::from_static(b"x") }
    }

    /// Number and reply number of the Pong, and the cookie.
    fn parts(unit: &[Outgoing]) -> (u64, u64, Bytes) {
        let [Outgoing::Data(pong), Outgoing::Cookie(cookie)] = unit else { panic!("{unit:?}") };
        assert_eq!(pong.ppid, 33);
        let Ok(PingPongMessage::Pong(pong)) = PingPongMessage::decode(&pong.data) else {
            panic!("{pong:?}")
        };
        assert_eq!(pong.data.as_ref(), b"x");
        (pong.number, pong.reply, cookie.clone())
    }

    #[test]
    fn another_server_goes_on_counting() {
        let mut first = Counter::default();
        assert_eq!(parts(&first.reply(ping(7)).unwrap()).1, 1);
        let (number, reply, cookie) = parts(&first.reply(ping(8)).unwrap());
        assert_eq!((number, reply), (8, 2));
        let mut second = Counter::default();
        second.restore(&cookie);
        let (number, reply, _) = parts(&second.reply(ping(9)).unwrap());
        assert_eq!((number, reply, second.sent), (9, 3, 1));
    }

    #[test]
    fn strange_cookies_and_pings_do_no_harm() {
        let mut counter = Counter::default();
        counter.restore(b"<FG-TD1>");
        assert_eq!(counter.next_reply, 1);
        counter.restore(&PingPongCookie { next_reply: u64::MAX }.encode());
        assert!(counter.reply(ping(1)).is_some());
        let long = Ping { number: 1, data: Bytes::from(vec![0; 65_530]) };
        assert_eq!(counter.reply(long), None);
        let not_a_ping = UserMessage::new(ppid::PING_PONG, &b"\x01"[..]);
        assert_eq!(decode(&not_a_ping), None);
        let bytes = PingPongMessage::Ping(ping(1)).encode().unwrap();
        assert_eq!(decode(&UserMessage::new(0, bytes.clone())), None);
        assert_eq!(decode(&UserMessage::new(33, bytes)), Some(ping(1)));
    }
}
