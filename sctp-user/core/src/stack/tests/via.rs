//! Messages for a certain address of the peer (SCTP_ADDR_OVER), and the settings of the path there.

use super::*;
use crate::error::{ConfigError, SendError};

/// An association with two confirmed addresses of the peer. The first is the primary.
fn two_paths() -> Rig {
    let mut rig = Rig::accepted(&[2]);
    let tlvs = one(rig.pass(Duration::from_millis(10))).heartbeat();
    rig.send_from(path(2), rig.own_tag, |w| w.heartbeat_ack(&tlvs));
    assert_eq!(rig.path_state(2), PathState::Active);
    rig
}

fn via(rig: &mut Rig, n: u8) -> Result<(), SendError> {
    rig.stack.send_via(rig.now, rig.id(), addr(n), Message::new(0, 0, "via"))
}

#[test]
fn a_message_leaves_to_the_address_it_is_for_and_others_by_the_primary_path() {
    let mut rig = two_paths();
    rig.stack.send(rig.now, rig.id(), Message::new(0, 0, "a")).unwrap();
    via(&mut rig, 2).unwrap();
    via(&mut rig, 2).unwrap();
    rig.stack.send(rig.now, rig.id(), Message::new(0, 0, "d")).unwrap();
    let sent: Vec<_> = rig.drain().iter().map(|s| (s.path.remote, s.kinds().len())).collect();
    assert_eq!(sent, [(addr(1), 1), (addr(2), 2), (addr(1), 1)]);
}

#[test]
fn the_address_must_be_confirmed() {
    let mut rig = Rig::accepted(&[2]);
    assert_eq!(via(&mut rig, 2), Err(SendError::NoSuchAddress(addr(2))));
    assert_eq!(via(&mut rig, 3), Err(SendError::NoSuchAddress(addr(3))));
    assert_eq!(via(&mut rig, 1), Ok(()));
}

#[test]
fn retransmissions_and_messages_for_a_failed_path_take_another() {
    let mut rig = two_paths();
    via(&mut rig, 2).unwrap();
    assert_eq!(one(rig.drain()).path.remote, addr(2));
    let again = rig.next_timer();
    let data: Vec<_> = again.iter().filter(|s| s.kinds().contains(&chunk_type::DATA)).collect();
    assert_eq!(data.iter().map(|s| s.path.remote).collect::<Vec<_>>(), [addr(1)]);
    assert_eq!(rig.path_state(2), PathState::PotentiallyFailed);
    let cum = rig.own_tsn;
    rig.send(rig.own_tag, |w| sack(w, cum));
    via(&mut rig, 2).unwrap();
    let data = rig.drain().into_iter().filter(|s| s.kinds().contains(&chunk_type::DATA)).collect();
    assert_eq!(one(data).path.remote, addr(1));
}

#[test]
fn the_encapsulation_of_a_path_can_be_changed() {
    let mut rig = two_paths();
    let id = rig.id();
    let four = Encap::Udp { remote_port: 4444 };
    rig.stack.set_path_encap(rig.now, id, addr(2), four).unwrap().unwrap();
    via(&mut rig, 2).unwrap();
    assert_eq!(one(rig.drain()).path.encap, four);
    assert_eq!(one(rig.send_data(b"x")).path.encap, UDP, "the other path stays");
    let zero = Encap::Udp { remote_port: 0 };
    let refused = rig.stack.set_path_encap(rig.now, id, addr(2), zero).unwrap();
    assert_eq!(refused, Err(ConfigError("the UDP port of the peer must not be 0")));
    assert!(rig.stack.set_path_encap(rig.now, id, addr(3), four).is_err());
    // The peer's own packets change it back.
    rig.send_from(path(2), rig.own_tag, |w| w.heartbeat(b"x"));
    assert_eq!(rig.stack.paths(id)[1].addr.encap, UDP);
}

#[test]
fn thresholds_of_a_path() {
    let mut rig = two_paths();
    let id = rig.id();
    let given = rig.stack.path_params(id, addr(1)).unwrap();
    let late = crate::PathParams { pf_max_retrans: Some(1), ..given };
    rig.stack.set_path_params(rig.now, id, addr(1), late).unwrap().unwrap();
    rig.send_data(b"x");
    rig.next_timer();
    assert_eq!(rig.path_state(1), PathState::Active, "one timeout is not enough on this path");

    let mut rig = two_paths();
    let switch = crate::PathParams { primary_switchover_max_retrans: Some(0), ..given };
    rig.stack.set_path_params(rig.now, rig.id(), addr(1), switch).unwrap().unwrap();
    rig.send_data(b"x");
    rig.next_timer();
    assert_eq!(rig.path_state(1), PathState::PotentiallyFailed);
    assert_eq!(rig.stack.status(rig.id()).unwrap().primary, Some(addr(2)));
    let wrong = crate::PathParams { pf_max_retrans: Some(2), ..switch };
    assert!(rig.stack.set_path_params(rig.now, rig.id(), addr(1), wrong).unwrap().is_err());
}

#[test]
fn packets_carry_code_point_and_flow_label_of_their_path() {
    let mut rig = two_paths();
    let given = rig.stack.path_params(rig.id(), addr(2)).unwrap();
    assert_eq!(given.dscp, 0);
    let marked = crate::PathParams { dscp: 46, flow_label: 0x1_2345, ..given };
    rig.stack.set_path_params(rig.now, rig.id(), addr(2), marked).unwrap().unwrap();
    for wrong in [
        crate::PathParams { dscp: 64, ..given },
        crate::PathParams { flow_label: 0x10_0000, ..given },
    ] {
        assert!(rig.stack.set_path_params(rig.now, rig.id(), addr(2), wrong).unwrap().is_err());
    }
    rig.stack.send(rig.now, rig.id(), Message::new(0, 0, "a")).unwrap();
    via(&mut rig, 2).unwrap();
    let mut buf = Vec::new();
    let sent: Vec<_> =
        std::iter::from_fn(|| rig.stack.poll_transmit(rig.now, SegmentLimits::ONE, &mut buf))
            .collect();
    let marks: Vec<_> = sent.iter().map(|t| (t.path.remote, t.dscp, t.flow_label)).collect();
    assert_eq!(marks, [(addr(1), 0, 0), (addr(2), 46, 0x1_2345)]);
}
