//! This host has no way to an address of the peer.

use super::*;
use crate::event::LossReason;
use crate::stack::NoRoute;
use crate::{Unreachable, stats::PathState::Active};

/// A link could not send this packet, and reports that together with the beginning of the packet.
fn refuse(rig: &mut Rig, sent: &Sent, why: NoRoute) -> Vec<Sent> {
    let quoted = sent.packet.bytes().slice(..32.min(sent.packet.len()));
    rig.stack.handle_unreachable(rig.now, sent.path, Unreachable::NoRoute(why), &quoted);
    rig.drain()
}

#[test]
fn connecting_fails_at_once() {
    for why in [NoRoute::Network, NoRoute::Host] {
        let mut rig = Rig::new();
        let init = rig.connect(&[1]);
        assert_silent(refuse(&mut rig, &init, why));
        assert_eq!(rig.events(), [Event::Lost(LossReason::NoRoute(why))]);
        assert_eq!(rig.stack.poll_timeout(), None);
    }
}

#[test]
fn connecting_goes_on_while_there_is_a_way_to_one_of_the_addresses() {
    let mut rig = Rig::new();
    let first = rig.connect(&[1, 2, 3]);
    let second = one(refuse(&mut rig, &first, NoRoute::Network));
    assert_eq!((second.kinds(), second.path.remote), (vec![chunk_type::INIT], addr(2)));
    // The first one does not count twice.
    assert_silent(refuse(&mut rig, &first, NoRoute::Network));
    let third = one(refuse(&mut rig, &second, NoRoute::Host));
    assert_eq!(third.path.remote, addr(3));
    assert_eq!(rig.state(), AssocState::CookieWait);
    // The only address with a way is tried again and again.
    assert!(rig.pass(Duration::from_secs(20)).iter().all(|sent| sent.path.remote == addr(3)));
    assert_silent(refuse(&mut rig, &third, NoRoute::Host));
    assert_eq!(lost(&rig.events()), Some(&LossReason::NoRoute(NoRoute::Host)));
}

#[test]
fn only_our_own_init_counts() {
    let mut rig = Rig::new();
    let init = rig.connect(&[1]);
    let mut quoted = init.packet.bytes().to_vec();
    quoted[16] ^= 1; // its initiate tag
    let kind = Unreachable::NoRoute(NoRoute::Network);
    rig.stack.handle_unreachable(rig.now, init.path, kind, &quoted);
    assert_eq!(rig.state(), AssocState::CookieWait);
}

/// Routes vanish and come back with a cable or a DHCP lease.
#[test]
fn an_association_survives_a_route_that_is_missing_for_a_while() {
    let mut rig = Rig::in_state(AssocState::Established);
    let mut sent = rig.send_data(b"into the void");
    for _ in 0..8 {
        sent = refuse_all(&mut rig, sent);
    }
    assert_eq!(rig.state(), AssocState::Established);
    let cum = rig.own_tsn;
    rig.send(rig.own_tag, |w| sack(w, cum));
    assert_eq!(rig.path_state(1), Active);
    assert_eq!(lost(&rig.events()), None);
}

/// Refuses everything, and returns what T3 sends next.
fn refuse_all(rig: &mut Rig, sent: Vec<Sent>) -> Vec<Sent> {
    for packet in &sent {
        assert_silent(refuse(rig, packet, NoRoute::Network));
    }
    loop {
        let sent = rig.next_timer();
        if !sent.is_empty() {
            return sent;
        }
    }
}
