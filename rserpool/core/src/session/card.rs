//! The business card of a session: the elements that an element wants its user to go to when it is
//! gone itself (RFC 5352 sec 2.2.13).

use std::net::IpAddr;

use rserpool_wire::{PeId, PoolElement, SctpTransport, Transport};

/// Elements of a card that are remembered.
const MAX_NAMED: usize = 16;

/// The newest card, without the elements that have failed since.
#[derive(Debug, Default)]
pub(super) struct Card {
    elements: Vec<PoolElement>,
}

impl Card {
    /// Replaces the card by one that came from an element at `from`. Only elements over SCTP count,
    /// and addresses of this host only when the card comes from this host: nobody elsewhere knows
    /// what they lead to.
    pub(super) fn replace(&mut self, elements: Vec<PoolElement>, from: &[IpAddr]) {
        let from_here = from.iter().any(|addr| addr.to_canonical().is_loopback());
        self.elements.clear();
        for mut element in elements {
            let Transport::Sctp(SctpTransport { addrs, port, .. }) = &mut element.user_transport
            else {
                continue;
            };
            addrs.retain(|addr| from_here || !addr.to_canonical().is_loopback());
            let usable = *port != 0 && !addrs.is_empty() && !element.id.is_undefined();
            if usable && self.elements.len() < MAX_NAMED {
                self.elements.push(element);
            }
        }
    }

    pub(super) fn elements(&self) -> &[PoolElement] {
        &self.elements
    }

    /// The first element that is not to be avoided.
    pub(super) fn first(&self, avoided: &[PeId]) -> Option<&PoolElement> {
        self.elements.iter().find(|element| !avoided.contains(&element.id))
    }

    /// An element has failed. It is not taken from this card any more, as it would delay each
    /// failover.
    pub(super) fn strike(&mut self, id: PeId) {
        self.elements.retain(|element| element.id != id);
    }
}
