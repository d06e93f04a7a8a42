//! Which addresses of an element are believed (RFC 5352 sec 3.1), and who gets to see them.
//!
//! Believed is what belongs to the association that the element registers over. So an element
//! cannot send pool users to addresses that it does not use itself.

use std::net::IpAddr;

use rserpool_handlespace::UserPlace;
use rserpool_wire::{CauseCode, PoolElement, SctpTransport, Transport};
use sctp_user_core::{Peer, Scope, scope};

use crate::channel::udp_port;
use crate::reach::DEFAULT_UDP_PORT;

/// Cuts the transports of a registering element down to what is believed, and writes down what the
/// association shows.
pub(super) fn settle(
    element: &mut PoolElement,
    peer: &Peer,
    min_scope: Scope,
) -> Result<(), CauseCode> {
    let mut trusted: Vec<IpAddr> = Vec::new();
    for addr in peer.addrs.iter().map(|(addr, _)| addr.to_canonical()) {
        if is_wide_enough(addr, min_scope) && !trusted.contains(&addr) {
            trusted.push(addr);
        }
    }
    if element.user_transport.port() == Some(0) {
        return Err(CauseCode::INVALID_ADDRESSES);
    }
    let mut taken: Vec<IpAddr> = Vec::new();
    match &mut element.user_transport {
        Transport::Sctp(transport) => {
            for addr in transport.addrs.iter().map(IpAddr::to_canonical) {
                if trusted.contains(&addr) && !taken.contains(&addr) {
                    taken.push(addr);
                }
            }
            if taken.is_empty() {
                taken = translated(&trusted, peer).ok_or(CauseCode::NO_USABLE_USER_ADDRESSES)?;
            }
            transport.addrs = taken;
        }
        Transport::Tcp(_) | Transport::Udp { .. } => {
            let addrs = element.user_transport.addrs();
            if !addrs.iter().all(|addr| trusted.contains(&addr.to_canonical())) {
                return Err(CauseCode::NO_USABLE_USER_ADDRESSES);
            }
        }
        // Other implementations drop every message that contains one of these, so no pool user can
        // be given them.
        Transport::Dccp { .. } | Transport::UdpLite { .. } | Transport::Opaque(_) => {
            return Err(CauseCode::INCONSISTENT_TRANSPORT);
        }
    }
    if trusted.is_empty() || peer.port == 0 {
        return Err(CauseCode::NO_USABLE_ASAP_ADDRESSES);
    }
    element.asap_transport = Some(SctpTransport::data_only(peer.port, trusted));
    element.udp_port =
        element.udp_port.or(udp_port(peer)).filter(|port| *port != DEFAULT_UDP_PORT && *port != 0);
    Ok(())
}

/// The address of an element behind NAT. It knows its private address only, while the association
/// comes from that of the NAT box, where a UDP port may be forwarded to it. Only encapsulated
/// packets pass such boxes, and with several addresses they do not.
fn translated(trusted: &[IpAddr], peer: &Peer) -> Option<Vec<IpAddr>> {
    (udp_port(peer).is_some() && peer.addrs.len() == 1 && trusted.len() == 1)
        .then(|| trusted.to_vec())
}

/// The element as a pool user gets it that can reach it: loopback addresses of this host are of no
/// use elsewhere.
pub(super) fn present(element: &PoolElement, place: UserPlace) -> PoolElement {
    let mut shown = PoolElement { asap_transport: None, ..element.clone() };
    match &mut shown.user_transport {
        Transport::Sctp(transport) => transport
            .addrs
            .retain(|addr| place == UserPlace::ThisHost || !addr.to_canonical().is_loopback()),
        // The port belongs to the transports, and no SCTP transport is left.
        _ => shown.udp_port = None,
    }
    shown
}

/// The element as another registrar gets it, or `None` when that one cannot reach it.
pub(super) fn for_registrars(element: &PoolElement, place: UserPlace) -> Option<PoolElement> {
    let mut shown = element.clone();
    let transports = [
        match &mut shown.user_transport {
            Transport::Sctp(transport) => Some(transport),
            _ => None,
        },
        shown.asap_transport.as_mut(),
    ];
    for transport in transports.into_iter().flatten() {
        transport
            .addrs
            .retain(|addr| place == UserPlace::ThisHost || !addr.to_canonical().is_loopback());
        if transport.addrs.is_empty() {
            return None;
        }
    }
    Some(shown)
}

/// Whether an element of another registrar has an address that is of use here.
pub(super) fn has_usable(element: &PoolElement, min_scope: Scope) -> bool {
    let asap = element.asap_transport.as_ref();
    let usable = |addrs: &[IpAddr]| addrs.iter().any(|addr| is_wide_enough(*addr, min_scope));
    usable(element.user_transport.addrs())
        && asap.is_some_and(|transport| transport.port != 0 && usable(&transport.addrs))
}

/// Where the other end is; a loopback address of the association shows that it is on this host.
pub(super) fn place_of(peer: &Peer) -> UserPlace {
    match peer.addrs.iter().any(|(addr, _)| addr.to_canonical().is_loopback()) {
        true => UserPlace::ThisHost,
        false => UserPlace::Elsewhere,
    }
}

/// IPv6 link-local addresses mean nothing without an interface, which the wire format cannot name.
fn is_wide_enough(addr: IpAddr, min_scope: Scope) -> bool {
    let without_interface = matches!(addr, IpAddr::V6(v6) if v6.is_unicast_link_local());
    !without_interface && scope(addr).is_some_and(|scope| scope >= min_scope)
}
