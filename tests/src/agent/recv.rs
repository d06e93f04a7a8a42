//! `recv`: messages and notifications, in pieces that fit the buffer of the caller.

use std::net::SocketAddr;

use bytes::Bytes;
use sctp_user_core::AssocId;
use sctp_user_core::interface::to_socket_addr;
use sctp_user_core::socket::{Incoming, SocketId};

use super::Reply;
use super::calls::{Agent, show};
use super::errno::Errno;
use super::request::{Request, to_hex};
use super::uapi;

/// The part of a message or notification that the caller has not received yet.
pub(super) struct Rest {
    /// `sid= ssn= ppid= tsn= cumtsn=`.
    info: String,
    unordered: bool,
    notification: bool,
    /// Whether its last byte ends the message.
    end_of_record: bool,
    from: Option<SocketAddr>,
    data: Bytes,
}

const NO_INFO: &str = "sid=0 ssn=0 ppid=0 tsn=0 cumtsn=0";

impl Agent {
    pub(super) fn recv(&mut self, r: &Request<'_>) -> Reply {
        let max: usize = r.number("max")?.unwrap_or(usize::MAX);
        let open = self.find(r)?;
        let (id, rest) = (open.id, open.rest.take());
        let mut rest = match rest {
            Some(rest) => rest,
            None => match self.next(id)? {
                Some(rest) => rest,
                None => return Ok(format!("len=0 {NO_INFO} flags= from= data=")),
            },
        };
        let data = rest.data.split_to(max.min(rest.data.len()));
        let complete = rest.data.is_empty();
        let reply = rest.reply(&data, complete && rest.end_of_record);
        self.find(r)?.rest = (!complete).then_some(rest);
        Ok(reply)
    }

    /// The next message or notification; `None` at the end of the association.
    fn next(&mut self, id: SocketId) -> Result<Option<Rest>, Errno> {
        loop {
            // A C caller learns of a restart only by the notification (RFC 6458 sec 6.1.1).
            self.sockets.take_restart(id);
            let received = self.sockets.try_recv(self.now, id).map_err(|e| Errno::of(&e))?;
            let Some((assoc, incoming)) = received else { return Ok(None) };
            if let Some(rest) = self.rest(assoc, incoming) {
                return Ok(Some(rest));
            }
        }
    }

    fn rest(&mut self, assoc: AssocId, incoming: Incoming) -> Option<Rest> {
        let number = self.number_of(assoc);
        let peer = self.peer_of(assoc);
        Some(match incoming {
            Incoming::Message(m) => Rest {
                info: format!(
                    "sid={} ssn={} ppid={} tsn={} cumtsn={}",
                    m.stream, m.ssn, m.ppid, m.tsn, m.cumtsn
                ),
                unordered: m.unordered,
                notification: false,
                end_of_record: m.end_of_record,
                from: peer.map(|peer| to_socket_addr(m.from.remote, peer.port())),
                data: m.data,
            },
            Incoming::Notification(notification) => {
                let port = peer.map_or(0, |peer| peer.port());
                Rest {
                    info: NO_INFO.to_owned(),
                    unordered: false,
                    notification: true,
                    end_of_record: true,
                    from: peer,
                    data: uapi::encode(&notification, number, port)?.into(),
                }
            }
        })
    }
}

impl Rest {
    fn reply(&self, data: &[u8], end_of_record: bool) -> String {
        let flags =
            [(end_of_record, "eor"), (self.unordered, "unord"), (self.notification, "notif")];
        let flags: Vec<&str> =
            flags.into_iter().filter(|(on, _)| *on).map(|(_, name)| name).collect();
        format!(
            "len={} {} flags={} from={} data={}",
            data.len(),
            self.info,
            flags.join(","),
            show(self.from),
            to_hex(data)
        )
    }
}
