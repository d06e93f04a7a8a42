//! Notifications as the Linux kernel lays them out (`linux/sctp.h`), in the byte order of the host.

use std::net::SocketAddr;

use sctp_user_core::interface::to_socket_addr;
use sctp_user_core::socket::{AssocChange, EndReason, Notification};
use sctp_user_core::{LossReason, Message, PeerAddrState};

const SCTP_ASSOC_CHANGE: u16 = 0x8001;
const SCTP_PEER_ADDR_CHANGE: u16 = 0x8002;
const SCTP_SEND_FAILED: u16 = 0x8003;
const SCTP_REMOTE_ERROR: u16 = 0x8004;
const SCTP_SHUTDOWN_EVENT: u16 = 0x8005;
const SCTP_PARTIAL_DELIVERY_EVENT: u16 = 0x8006;
const SCTP_SENDER_DRY_EVENT: u16 = 0x8009;

const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
/// `struct sockaddr_storage`.
const SOCKADDR_STORAGE: usize = 128;

/// `sinfo_flags`.
const SCTP_UNORDERED: u16 = 1;
const SCTP_SACK_IMMEDIATELY: u16 = 8;

/// The notification as `recvmsg` would return it; `None` for kinds that the protocol does not have.
pub(crate) fn encode(notification: &Notification, assoc: u32, peer_port: u16) -> Option<Vec<u8>> {
    let event = match notification {
        Notification::AssocChange(change) => assoc_change(change, assoc),
        Notification::PeerAddrChange { addr, state } => {
            let mut event = Event::new(SCTP_PEER_ADDR_CHANGE, 0);
            event.sockaddr(to_socket_addr(*addr, peer_port));
            event.u32(addr_state(*state)?);
            event.u32(0); // spc_error
            event.u32(assoc);
            event
        }
        Notification::RemoteError { cause, info } => {
            let mut event = Event::new(SCTP_REMOTE_ERROR, 0);
            event.bytes(&cause.to_be_bytes()); // the one field in network byte order
            event.u16(0);
            event.u32(assoc);
            event.bytes(info);
            event
        }
        Notification::SendFailed { message, unsent } => send_failed(message, *unsent, assoc),
        Notification::PeerShutdown => {
            let mut event = Event::new(SCTP_SHUTDOWN_EVENT, 0);
            event.u32(assoc);
            event
        }
        Notification::PartialDeliveryAborted { stream, ssn } => {
            let mut event = Event::new(SCTP_PARTIAL_DELIVERY_EVENT, 0);
            event.u32(0); // SCTP_PARTIAL_DELIVERY_ABORTED
            event.u32(assoc);
            event.u32((*stream).into());
            event.u32((*ssn).into());
            event
        }
        Notification::SenderDry => {
            let mut event = Event::new(SCTP_SENDER_DRY_EVENT, 0);
            event.u32(assoc);
            event
        }
        _ => return None,
    };
    Some(event.finish())
}

/// `struct sctp_assoc_change`, followed by the ABORT chunk of the peer if there was one.
fn assoc_change(change: &AssocChange, assoc: u32) -> Event {
    let (state, error, streams, info) = match change {
        AssocChange::Up { outbound_streams, inbound_streams, .. } => {
            (0, 0, (*outbound_streams, *inbound_streams), Vec::new())
        }
        AssocChange::Lost(reason) => (1, sac_error(reason), (0, 0), abort_chunk(reason)),
        AssocChange::Restart { outbound_streams, inbound_streams, .. } => {
            (2, 0, (*outbound_streams, *inbound_streams), Vec::new())
        }
        AssocChange::CannotStart(reason) => (4, sac_error(reason), (0, 0), abort_chunk(reason)),
        _ => (3, 0, (0, 0), Vec::new()), // SCTP_SHUTDOWN_COMP
    };
    let mut event = Event::new(SCTP_ASSOC_CHANGE, 0);
    event.u16(state);
    event.u16(error);
    event.u16(streams.0);
    event.u16(streams.1);
    event.u32(assoc);
    event.bytes(&info);
    event
}

/// The error cause that ended an association, or 0 if there was none (a timeout).
fn sac_error(reason: &EndReason) -> u16 {
    match reason {
        EndReason::Lost(
            LossReason::PeerAbort { cause, .. } | LossReason::Refused { cause, .. },
        ) => *cause,
        EndReason::Lost(LossReason::LocalAbort) => 12,
        EndReason::Lost(LossReason::ProtocolViolation(_)) => 13,
        _ => 0,
    }
}

/// The ABORT of the peer with its first cause.
fn abort_chunk(reason: &EndReason) -> Vec<u8> {
    let EndReason::Lost(
        LossReason::PeerAbort { cause, info } | LossReason::Refused { cause, info },
    ) = reason
    else {
        return Vec::new();
    };
    let mut causes = Vec::new();
    if *cause != 0 {
        causes.extend_from_slice(&cause.to_be_bytes());
        causes.extend_from_slice(&u16::try_from(info.len() + 4).unwrap_or(u16::MAX).to_be_bytes());
        causes.extend_from_slice(info);
    }
    let mut chunk = vec![6, 0];
    chunk.extend_from_slice(&u16::try_from(causes.len() + 4).unwrap_or(u16::MAX).to_be_bytes());
    chunk.append(&mut causes);
    chunk
}

/// `struct sctp_send_failed` with its `struct sctp_sndrcvinfo`.
fn send_failed(message: &Message, unsent: bool, assoc: u32) -> Event {
    let mut event = Event::new(SCTP_SEND_FAILED, u16::from(!unsent));
    event.u32(0); // ssf_error
    let options = &message.options;
    let flags = if options.unordered { SCTP_UNORDERED } else { 0 }
        | if options.sack_immediately { SCTP_SACK_IMMEDIATELY } else { 0 };
    event.u16(message.stream);
    event.u16(0); // sinfo_ssn
    event.u16(flags);
    event.u16(0); // padding
    event.bytes(&message.ppid.to_be_bytes()); // opaque to the kernel: as on the wire
    event.u32(options.context);
    let lifetime = options.lifetime.map_or(0, |d| u32::try_from(d.as_millis()).unwrap_or(u32::MAX));
    event.u32(lifetime);
    event.u32(0); // sinfo_tsn
    event.u32(0); // sinfo_cumtsn
    event.u32(assoc);
    event.u32(assoc); // ssf_assoc_id
    event.bytes(&message.data);
    event
}

fn addr_state(state: PeerAddrState) -> Option<u32> {
    Some(match state {
        PeerAddrState::Available => 0,
        PeerAddrState::Unreachable => 1,
        PeerAddrState::Removed => 2,
        PeerAddrState::Added => 3,
        PeerAddrState::MadePrimary => 4,
        PeerAddrState::Confirmed => 5,
        PeerAddrState::PotentiallyFailed => 6,
        _ => return None,
    })
}

/// A notification that is being written: type, flags, length, and the fields after them.
struct Event(Vec<u8>);

impl Event {
    fn new(kind: u16, flags: u16) -> Self {
        let mut event = Event(Vec::new());
        event.u16(kind);
        event.u16(flags);
        event.u32(0); // the length, once it is known
        event
    }

    fn u16(&mut self, value: u16) {
        self.bytes(&value.to_ne_bytes());
    }

    fn u32(&mut self, value: u32) {
        self.bytes(&value.to_ne_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn sockaddr(&mut self, addr: SocketAddr) {
        let end = self.0.len() + SOCKADDR_STORAGE;
        match addr {
            SocketAddr::V4(addr) => {
                self.u16(AF_INET);
                self.bytes(&addr.port().to_be_bytes());
                self.bytes(&addr.ip().octets());
            }
            SocketAddr::V6(addr) => {
                self.u16(AF_INET6);
                self.bytes(&addr.port().to_be_bytes());
                self.u32(0); // sin6_flowinfo
                self.bytes(&addr.ip().octets());
                self.u32(addr.scope_id());
            }
        }
        self.0.resize(end, 0);
    }

    fn finish(mut self) -> Vec<u8> {
        let length = u32::try_from(self.0.len()).unwrap_or(u32::MAX).to_ne_bytes();
        if let Some(field) = self.0.get_mut(4..8) {
            field.copy_from_slice(&length);
        }
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use sctp_user_core::Features;

    fn at16(bytes: &[u8], at: usize) -> u16 {
        u16::from_ne_bytes(bytes[at..at + 2].try_into().unwrap())
    }

    fn at32(bytes: &[u8], at: usize) -> u32 {
        u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap())
    }

    #[test]
    fn lengths_and_fields() {
        let up = Notification::AssocChange(AssocChange::Up {
            outbound_streams: 10,
            inbound_streams: 7,
            features: Features::default(),
        });
        let b = encode(&up, 3, 5).unwrap();
        assert_eq!((b.len(), at16(&b, 0), at32(&b, 4)), (20, 0x8001, 20));
        assert_eq!((at16(&b, 8), at16(&b, 12), at16(&b, 14), at32(&b, 16)), (0, 10, 7, 3));

        let addr = Notification::PeerAddrChange {
            addr: "192.0.2.1".parse().unwrap(),
            state: PeerAddrState::Confirmed,
        };
        let b = encode(&addr, 3, 0x1234).unwrap();
        assert_eq!((b.len(), at16(&b, 0), at16(&b, 8)), (148, 0x8002, 2));
        assert_eq!(b[10..16], [0x12, 0x34, 192, 0, 2, 1]);
        assert_eq!((at32(&b, 136), at32(&b, 144)), (5, 3));

        let message = Message::new(2, 0x0102_0304, &b"abc"[..]);
        let b = encode(&Notification::SendFailed { message, unsent: false }, 9, 5).unwrap();
        assert_eq!((b.len(), at16(&b, 0), at16(&b, 2), at16(&b, 12)), (51, 0x8003, 1, 2));
        assert_eq!((&b[20..24], at32(&b, 40), at32(&b, 44)), (&[1, 2, 3, 4][..], 9, 9));
        assert_eq!(&b[48..], b"abc");

        let b = encode(
            &Notification::RemoteError { cause: 6, info: Bytes::from_static(b"info") },
            3,
            5,
        );
        let b = b.unwrap();
        assert_eq!((b.len(), &b[8..10], at32(&b, 12)), (20, &[0, 6][..], 3));

        assert_eq!(encode(&Notification::PeerShutdown, 3, 5).unwrap().len(), 12);
        let b = encode(&Notification::PartialDeliveryAborted { stream: 4, ssn: 6 }, 3, 5).unwrap();
        assert_eq!((b.len(), at32(&b, 12), at32(&b, 16), at32(&b, 20)), (24, 3, 4, 6));
    }

    #[test]
    fn the_abort_chunk_of_the_peer_follows() {
        let reason =
            EndReason::Lost(LossReason::PeerAbort { cause: 12, info: Bytes::from_static(b"bye") });
        let b = encode(&Notification::AssocChange(AssocChange::Lost(reason)), 3, 5).unwrap();
        assert_eq!((at16(&b, 8), at16(&b, 10), at32(&b, 4) as usize), (1, 12, b.len()));
        assert_eq!(b[20..], [6, 0, 0, 11, 0, 12, 0, 7, b'b', b'y', b'e']);
    }
}
