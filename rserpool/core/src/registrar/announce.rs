//! Making the registrar known by multicast (RFC 5352 sec 3.2).

use std::time::Duration;

use bytes::Bytes;
use rand::RngExt;
use rand_chacha::ChaCha12Rng;
use rserpool_wire::{AsapMessage, ServerAnnounce, ServerId};
use sctp_user_core::Time;

use super::Advertised;
use crate::reach::DEFAULT_UDP_PORT;

/// The cycle of announces. It does not grow with the number of registrars, unlike the one of the
/// RFC: RSPLIB users forget a registrar after 5 s of silence.
#[derive(Debug)]
pub(super) struct Announcer {
    advertised: Advertised,
    next: Option<Time>,
    rng: ChaCha12Rng,
}

impl Announcer {
    /// `first` is the time of the first announce, `None` for no announces at all.
    pub(super) fn new(advertised: Advertised, first: Option<Time>, rng: ChaCha12Rng) -> Self {
        Announcer { advertised, next: first, rng }
    }

    pub(super) fn next(&self) -> Option<Time> {
        self.next
    }

    /// The announce to send now, if it is time for one.
    pub(super) fn announce_if_due(
        &mut self,
        now: Time,
        server: ServerId,
        cycle: Duration,
    ) -> Option<Bytes> {
        self.next.filter(|next| *next <= now)?;
        // 12.5 % to both sides, so that registrars started together do not stay in step.
        self.next = Some(now + cycle.mul_f64(self.rng.random_range(0.875..=1.125)));
        let announce = ServerAnnounce {
            server,
            transports: self.advertised.transports.clone(),
            udp_port: self
                .advertised
                .udp_port
                .filter(|port| *port != DEFAULT_UDP_PORT && *port != 0),
        };
        match AsapMessage::ServerAnnounce(announce).encode() {
            Ok(datagram) => Some(datagram),
            Err(error) => {
                tracing::warn!(%error, "the announce cannot be encoded, no more are sent");
                self.next = None;
                None
            }
        }
    }
}
