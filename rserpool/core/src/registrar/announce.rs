//! Making the registrar known by multicast (RFC 5352 sec 3.2).

use rand::RngExt;
use rserpool_wire::{AsapMessage, ServerAnnounce};
use sctp_user_core::Time;

use super::{Output, RegistrarCore};
use crate::channel::Protocol;
use crate::reach::DEFAULT_UDP_PORT;

/// The cycle of announces. It does not grow with the number of registrars, unlike the one of the
/// RFC: RSPLIB users forget a registrar after 5 s of silence.
#[derive(Debug)]
pub(super) struct Announcer {
    next: Option<Time>,
}

impl Announcer {
    /// `first` is the time of the first announce, `None` for no announces at all.
    pub(super) fn new(first: Option<Time>) -> Self {
        Announcer { next: first }
    }

    pub(super) fn next(&self) -> Option<Time> {
        self.next
    }
}

impl RegistrarCore {
    /// Announces this registrar to elements and users, once it knows the handlespace.
    pub(super) fn announce_if_due(&mut self, now: Time) {
        if self.announcer.next.is_none_or(|next| next > now) {
            return;
        }
        // 12.5 % to both sides, so that registrars started together do not stay in step.
        let wait = self.config.announce_cycle.mul_f64(self.rng.random_range(0.875..=1.125));
        self.announcer.next = Some(now + wait);
        if !self.enrp.is_running() {
            return;
        }
        let announce = ServerAnnounce {
            server: self.id,
            transports: self.local.transports.clone(),
            udp_port: self.local.udp_port.filter(|port| *port != DEFAULT_UDP_PORT && *port != 0),
        };
        match AsapMessage::ServerAnnounce(announce).encode() {
            Ok(data) => {
                self.stats.announces += 1;
                self.outputs.push_back(Output::Multicast { protocol: Protocol::Asap, data });
            }
            Err(error) => {
                tracing::warn!(%error, "the announce cannot be encoded, no more are sent");
                self.announcer.next = None;
            }
        }
    }
}
