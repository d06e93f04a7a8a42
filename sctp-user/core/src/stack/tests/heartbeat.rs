//! Heartbeats, confirmation of addresses, error counts (RFC 9260 sec 5.4, 8.1-8.3).

use super::*;
use crate::config::PathParams;
use crate::event::{LossReason, PeerAddrState};
use AssocState::*;

const HEARTBEAT: u8 = chunk_type::HEARTBEAT;

fn change(n: u8, state: PeerAddrState) -> Event {
    Event::PeerAddrChange { addr: addr(n), state }
}

/// The time until the next heartbeat, and its packet.
fn next_heartbeat(rig: &mut Rig) -> (Duration, Sent) {
    let start = rig.now;
    let sent = loop {
        let sent = rig.next_timer();
        if !sent.is_empty() {
            break one(sent);
        }
    };
    assert_eq!(sent.kinds(), [HEARTBEAT]);
    (rig.now.since(start), sent)
}

#[test]
fn asking_often_for_heartbeats_keeps_no_dead_path_alive() {
    let mut rig = Rig::in_state(AssocState::Established);
    for _ in 0..100 {
        rig.stack.request_heartbeat(rig.now, rig.id(), addr(1)).unwrap();
        rig.pass(Duration::from_millis(200));
    }
    assert!(rig.stack.paths(rig.id())[0].error_count > 2, "{:?}", rig.stack.paths(rig.id()));
}

#[test]
fn an_idle_path_is_probed_after_interval_and_rto_with_jitter() {
    let mut waits = Vec::new();
    let mut rig = Rig::in_state(Established);
    for _ in 0..20 {
        let (wait, sent) = next_heartbeat(&mut rig);
        // Over UDP the interval is 15 s. The RTO of 1 s, changed by up to half of it at random, is
        // added.
        assert!((15_500..16_501).contains(&wait.as_millis()), "{wait:?}");
        waits.push(wait);
        let tlvs = sent.heartbeat();
        assert_silent(rig.send(rig.own_tag, |w| w.heartbeat_ack(&tlvs)));
    }
    waits.dedup();
    assert!(waits.len() > 15, "the waits vary");
    assert!(rig.events().iter().all(|e| !matches!(e, Event::PeerAddrChange { .. })));
}

#[test]
fn data_serves_as_a_probe() {
    let mut rig = Rig::in_state(Established);
    for n in 0..20 {
        rig.send_data(b"x");
        let tsn = rig.own_tsn.plus(n);
        rig.send(rig.own_tag, |w| sack(w, tsn));
        assert_silent(rig.pass(Duration::from_secs(10)));
    }
}

#[test]
fn every_tlv_of_a_heartbeat_comes_back_to_its_source() {
    let mut rig = Rig::accepted(&[2]);
    rig.pass(Duration::from_millis(10));
    let mut tlvs = vec![0, 1, 0, 9, 1, 2, 3, 4, 5, 0, 0, 0];
    tlvs.extend([0x80, 0x33, 0, 4]);
    let sent = one(rig.send_from(path(2), rig.own_tag, |w| w.raw_chunk(HEARTBEAT, 0, &tlvs)));
    assert_eq!((sent.kinds(), sent.path.remote), (vec![chunk_type::HEARTBEAT_ACK], addr(2)));
    assert_eq!(sent.chunk(chunk_type::HEARTBEAT_ACK).value, tlvs);
}

#[test]
fn nothing_larger_than_the_path_is_echoed() {
    let mut rig = Rig::in_state(Established);
    assert_silent(rig.send(rig.own_tag, |w| w.heartbeat(&[7; 2000])));
    // It can still send afterwards.
    assert_eq!(one(rig.send_data(b"x")).kinds(), [chunk_type::DATA]);
}

#[test]
fn an_answer_that_no_longer_fits_blocks_nothing() {
    let mut rig = Rig::in_state(Established);
    let native = PathAddr { encap: Encap::Native, ..path(1) };
    let packet = |rig: &Rig, len: usize| {
        let mut out = Vec::new();
        let mut w = PacketWriter::new(&mut out, 2000, PEER_PORT, PORT, rig.own_tag);
        w.heartbeat(&vec![1; len]);
        w.finish();
        Packet::check(out.into()).unwrap()
    };
    // The answer fits a native packet. Before it leaves, the path becomes narrower.
    for (from, len) in [(native, 1400), (path(1), 10)] {
        let packet = packet(&rig, len);
        rig.stack.handle_datagram(Datagram { at: rig.now, from, ecn: None, packet });
    }
    assert_eq!(one(rig.drain()).kinds(), [chunk_type::HEARTBEAT_ACK]);
    assert_eq!(one(rig.send_data(b"x")).kinds(), [chunk_type::DATA]);
}

#[test]
fn hard_case_37_heartbeat_ack_with_a_wrong_nonce_path_or_unsolicited_has_no_effect() {
    let mut rig = Rig::accepted(&[2, 3]);
    let first = one(rig.pass(Duration::from_millis(1)));
    assert_eq!((first.kinds(), first.path.remote), (vec![HEARTBEAT], addr(2)));
    let good = first.heartbeat();
    let timer = rig.stack.poll_timeout();
    for i in 4..good.len() {
        let mut bad = good.clone();
        bad[i] ^= 1;
        if i >= 13 {
            continue; // spare bytes behind nonce and path
        }
        assert_silent(rig.send(rig.own_tag, |w| w.heartbeat_ack(&bad)));
    }
    assert_silent(rig.send(rig.own_tag, |w| w.heartbeat_ack(&[])));
    assert_silent(rig.send(rig.own_tag, |w| w.heartbeat_ack(&good[..good.len() - 1])));
    assert_eq!(
        (rig.path_state(2), rig.path_state(3)),
        (PathState::Unconfirmed, PathState::Unconfirmed)
    );
    assert_eq!(rig.stack.poll_timeout(), timer);
    assert!(rig.events().is_empty());
    // The right one counts from any address of the peer, but only once.
    rig.send_from(path(3), rig.own_tag, |w| w.heartbeat_ack(&good));
    assert_eq!(rig.events(), [change(2, PeerAddrState::Confirmed)]);
    rig.send(rig.own_tag, |w| w.heartbeat_ack(&good));
    assert!(rig.events().is_empty());
    assert_eq!((rig.path_state(2), rig.path_state(3)), (PathState::Active, PathState::Unconfirmed));
}

#[test]
fn unconfirmed_addresses_are_probed_one_per_rto_and_then_at_the_usual_rate() {
    let config = AssocConfig { path_max_retrans: 2, ..AssocConfig::default() };
    let mut rig = Rig::with(StackConfig::default(), config);
    rig.accept(&[2, 3, 4]);
    let mut times: Vec<(u64, IpAddr)> = Vec::new();
    let start = rig.now;
    while rig.now.since(start) < Duration::from_secs(60) {
        for sent in rig.next_timer() {
            if sent.path.remote == addr(1) {
                // This one is answered to keep the association alive.
                let tlvs = sent.heartbeat();
                rig.send(rig.own_tag, |w| w.heartbeat_ack(&tlvs));
                continue;
            }
            assert_eq!(
                sent.kinds(),
                [HEARTBEAT],
                "nothing but probes goes to {}",
                sent.path.remote
            );
            times.push((rig.now.since(start).as_millis() as u64, sent.path.remote));
        }
    }
    for pair in times.windows(2).take(8) {
        assert!(pair[1].0 - pair[0].0 >= 1000, "two probes within an RTO: {times:?}");
    }
    for n in 2..=4 {
        let own: Vec<u64> = times.iter().filter(|t| t.1 == addr(n)).map(|t| t.0).collect();
        // Three quick probes (Path.Max.Retrans + 1), then one per interval.
        assert!(own.len() >= 4 && own[3] - own[2] >= 15_000, "{own:?}");
        assert_eq!(rig.path_state(n), PathState::Unconfirmed);
    }
    assert_eq!(rig.state(), Established);
    assert!(rig.events().is_empty(), "their errors do not count for the association");
}

#[test]
fn hard_case_38_no_data_goes_to_an_unconfirmed_address_even_when_the_primary_dies() {
    let mut rig = Rig::accepted(&[2]);
    rig.stack.send(rig.now, rig.id(), Message::new(0, 0, &b"x"[..])).unwrap();
    let mut confirmed = false;
    for _ in 0..200 {
        if rig.path_state(1) == PathState::Inactive {
            break;
        }
        for sent in rig.next_timer() {
            assert!(sent.path.remote == addr(1) || sent.kinds() == [HEARTBEAT], "{sent:?}");
        }
    }
    assert_eq!(
        (rig.path_state(1), rig.path_state(2)),
        (PathState::Inactive, PathState::Unconfirmed)
    );
    // Once it is confirmed, data goes there.
    for _ in 0..50 {
        for sent in rig.next_timer() {
            if sent.path.remote == addr(2) && sent.kinds() == [HEARTBEAT] && !confirmed {
                confirmed = true;
                let tlvs = sent.heartbeat();
                rig.send_from(path(2), rig.own_tag, |w| w.heartbeat_ack(&tlvs));
            } else if confirmed
                && sent.path.remote == addr(2)
                && sent.kinds().contains(&chunk_type::DATA)
            {
                return;
            }
        }
    }
    panic!("no failover, confirmed {confirmed}");
}

#[test]
fn the_sixth_miss_makes_a_path_inactive_and_the_eleventh_the_association() {
    let mut rig = Rig::in_state(Established);
    let mut unreachable = None;
    let mut count = 0;
    while rig.state() != Closed {
        count += rig.next_timer().iter().filter(|s| s.kinds() == [HEARTBEAT]).count();
        let events = rig.events();
        if events.contains(&change(1, PeerAddrState::Unreachable)) {
            assert_eq!(unreachable, None, "it is reported only once");
            unreachable = Some(count);
        }
        if rig.state() == Closed {
            assert_eq!(lost(&events), Some(&LossReason::Unreachable));
        }
        assert!(count < 100);
    }
    assert_eq!((unreachable, count), (Some(6), 11));
}

#[test]
fn misses_on_another_path_do_not_count_for_the_association() {
    let mut rig = Rig::new();
    rig.connect(&[1, 2]);
    rig.init_ack(|p| p.address(addr(2)));
    rig.send(rig.own_tag, |w| w.cookie_ack());
    rig.events();
    // Without heartbeats on the data path, no answer there clears the count.
    let params = rig.stack.path_params(rig.id(), addr(1)).unwrap();
    let params = PathParams { hb_enabled: false, ..params };
    rig.stack.set_path_params(rig.now, rig.id(), addr(1), params).unwrap().unwrap();
    let mut lost_probes = 0;
    while lost_probes < 20 {
        for sent in rig.next_timer() {
            assert_eq!((sent.kinds(), sent.path.remote), (vec![HEARTBEAT], addr(2)));
            lost_probes += 1;
        }
    }
    assert_eq!((rig.path_state(1), rig.path_state(2)), (PathState::Active, PathState::Inactive));
    assert_eq!(rig.events(), [change(2, PeerAddrState::Unreachable)]);
    // An answer brings it back.
    let mut answered = false;
    while !answered {
        for sent in rig.next_timer() {
            let tlvs = sent.heartbeat();
            rig.send_from(sent.path, rig.own_tag, |w| w.heartbeat_ack(&tlvs));
            answered |= sent.path.remote == addr(2);
        }
    }
    assert_eq!(rig.events(), [change(2, PeerAddrState::Available)]);
}

#[test]
fn a_miss_doubles_the_rto_and_an_answer_clears_the_counts() {
    let mut rig = Rig::in_state(Established);
    next_heartbeat(&mut rig);
    assert_silent(rig.next_timer());
    let path = &rig.stack.paths(rig.id())[0];
    assert_eq!((path.error_count, path.rto), (1, Duration::from_secs(2)));
    let (_, sent) = next_heartbeat(&mut rig);
    let tlvs = sent.heartbeat();
    rig.pass(Duration::from_millis(40));
    rig.send(rig.own_tag, |w| w.heartbeat_ack(&tlvs));
    let path = &rig.stack.paths(rig.id())[0];
    assert_eq!((path.error_count, path.rto), (0, Duration::from_secs(1)));
}

#[test]
fn received_data_does_not_clear_the_error_count() {
    let mut rig = Rig::in_state(Established);
    next_heartbeat(&mut rig);
    assert_silent(rig.next_timer());
    rig.data(PEER_TSN);
    assert_eq!(rig.stack.paths(rig.id())[0].error_count, 1);
}

#[test]
fn heartbeats_come_on_demand_and_can_be_switched_off() {
    let config = AssocConfig { hb_enabled: false, ..AssocConfig::default() };
    let mut rig = Rig::with(StackConfig::default(), config);
    rig.accept(&[]);
    assert_silent(rig.pass(Duration::from_secs(1000)));
    rig.stack.request_heartbeat(rig.now, rig.id(), addr(1)).unwrap();
    let sent = one(rig.drain());
    assert_eq!(sent.kinds(), [HEARTBEAT]);
    let tlvs = sent.heartbeat();
    rig.send(rig.own_tag, |w| w.heartbeat_ack(&tlvs));
    assert_silent(rig.pass(Duration::from_secs(1000)));
    // Switching heartbeats on takes effect at once, not after the next answer.
    rig.stack.configure(rig.now, rig.id(), |c| c.hb_enabled = true).unwrap().unwrap();
    let (wait, sent) = next_heartbeat(&mut rig);
    assert!(wait < Duration::from_secs(17));
    let tlvs = sent.heartbeat();
    rig.send(rig.own_tag, |w| w.heartbeat_ack(&tlvs));
    rig.stack.configure(rig.now, rig.id(), |c| c.hb_enabled = false).unwrap().unwrap();
    assert_silent(rig.pass(Duration::from_secs(1000)));
}
