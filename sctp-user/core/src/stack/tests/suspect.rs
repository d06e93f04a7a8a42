//! How long ICMP errors must continue before they are believed, and the user's suspicion that the
//! peer is dead.

use super::icmp::{called_with, native, refuse, with_two_paths};
use super::*;
use crate::event::LossReason;

const HEARTBEAT: u8 = chunk_type::HEARTBEAT;
const MS: Duration = Duration::from_millis(1);

/// Associations that the peer has set up over UDP and directly over IP, where one ICMP error is no
/// proof.
fn both(test: impl Fn(Rig, PathAddr)) {
    both_with(&AssocConfig::default(), test);
}

fn both_with(config: &AssocConfig, test: impl Fn(Rig, PathAddr)) {
    for from in [path(1), native(1)] {
        let mut rig = called_with(config.clone(), from);
        rig.events();
        test(rig, from);
    }
}

fn suspect(rig: &mut Rig, patience: Duration) -> Vec<Sent> {
    rig.stack.suspect(rig.now, rig.id(), patience).unwrap();
    rig.drain()
}

/// The time until the next heartbeat, and its packet.
fn next_heartbeat(rig: &mut Rig) -> (Duration, Sent) {
    let start = rig.now;
    let sent = loop {
        let mut sent = rig.next_timer();
        sent.retain(|sent| sent.kinds() == [HEARTBEAT]);
        if let Some(sent) = sent.pop() {
            break sent;
        }
    };
    (rig.now.since(start), sent)
}

#[track_caller]
fn assert_lost(rig: &mut Rig) {
    assert_eq!(lost(&rig.events()), Some(&LossReason::ProtocolUnreachable));
    assert_eq!(rig.state(), AssocState::Closed);
}

#[track_caller]
fn assert_lives(rig: &mut Rig) {
    assert_eq!(rig.state(), AssocState::Established);
    assert_eq!(rig.events(), []);
}

#[test]
fn a_suspicion_sends_a_heartbeat_and_believes_its_refusal() {
    both(|mut rig, from| {
        rig.pass(2000 * MS);
        assert_eq!(one(suspect(&mut rig, Duration::ZERO)).kinds(), [HEARTBEAT]);
        rig.pass(MS);
        assert_silent(refuse(&mut rig, from));
        assert_lost(&mut rig);
    });
}

#[test]
fn with_patience_a_second_heartbeat_must_be_refused_too() {
    both(|mut rig, from| {
        rig.pass(2000 * MS);
        suspect(&mut rig, 20 * MS);
        for _ in 0..5 {
            assert_silent(refuse(&mut rig, from));
        }
        assert_lives(&mut rig);
        let (wait, sent) = next_heartbeat(&mut rig);
        assert_eq!(wait, 20 * MS);
        assert_eq!(sent.path.remote, from.remote);
        assert_lives(&mut rig);
        refuse(&mut rig, from);
        assert_lost(&mut rig);
    });
}

#[test]
fn a_suspicion_after_the_refusal_acts_at_once() {
    both(|mut rig, from| {
        let id = rig.id();
        rig.stack.send(rig.now, id, Message::new(0, 0, "nobody is there")).unwrap();
        rig.drain();
        refuse(&mut rig, from);
        rig.pass(30 * MS);
        assert_lives(&mut rig);
        rig.stack.suspect(rig.now, id, 20 * MS).unwrap();
        let mut events = rig.events();
        events.retain(|event| !matches!(event, Event::SendFailed { .. }));
        assert_eq!(events, [Event::Lost(LossReason::ProtocolUnreachable)]);
    });
}

#[test]
fn a_suspicion_shortly_after_the_refusal_asks_again() {
    both(|mut rig, from| {
        rig.pass(2000 * MS);
        refuse(&mut rig, from);
        rig.pass(5 * MS);
        assert_silent(suspect(&mut rig, 20 * MS));
        assert_eq!(next_heartbeat(&mut rig).0, 15 * MS);
        refuse(&mut rig, from);
        assert_lost(&mut rig);
    });
}

#[test]
fn a_peer_that_is_heard_is_not_suspected_any_more() {
    both(|mut rig, from| {
        rig.pass(2000 * MS);
        let tlvs = one(suspect(&mut rig, 20 * MS)).heartbeat();
        refuse(&mut rig, from);
        let tag = rig.own_tag;
        rig.send_from(from, tag, |w| w.heartbeat_ack(&tlvs));
        // Neither the error before nor the suspicion counts.
        rig.pass(25 * MS);
        refuse(&mut rig, from);
        rig.pass(25 * MS);
        refuse(&mut rig, from);
        assert_lives(&mut rig);
    });
}

#[test]
fn errors_without_the_tag_count_for_nothing_in_spite_of_a_suspicion() {
    both(|mut rig, from| {
        rig.pass(2000 * MS);
        suspect(&mut rig, Duration::ZERO);
        let own = rig.own_tag;
        for tag in [0, own, PEER_TAG ^ 1] {
            let mut quoted = Vec::new();
            quoted.extend(PORT.to_be_bytes());
            quoted.extend(PEER_PORT.to_be_bytes());
            quoted.extend(tag.to_be_bytes());
            rig.stack.handle_unreachable(rig.now, from, crate::Unreachable::Protocol, &quoted);
        }
        assert_lives(&mut rig);
    });
}

#[test]
fn suspecting_all_the_time_sends_one_heartbeat_per_rto_and_no_other() {
    both(|mut rig, from| {
        rig.pass(2000 * MS);
        // As long as it answers.
        let mut heartbeats = 0;
        for _ in 0..10_000 {
            for sent in suspect(&mut rig, Duration::ZERO).into_iter().chain(rig.pass(MS)) {
                assert_eq!(sent.kinds(), [HEARTBEAT]);
                let (tlvs, tag) = (sent.heartbeat(), rig.own_tag);
                rig.send_from(from, tag, |w| w.heartbeat_ack(&tlvs));
                heartbeats += 1;
            }
        }
        assert!((9..=11).contains(&heartbeats), "{heartbeats} in 10 s, with an RTO of 1 s");
        // And when it does not answer any more, timeouts end it as ever.
        let mut heartbeats = 0;
        while rig.state() == AssocState::Established {
            let id = rig.id();
            let _ = rig.stack.suspect(rig.now, id, Duration::ZERO);
            heartbeats += rig.pass(100 * MS).iter().filter(|s| s.kinds() == [HEARTBEAT]).count();
        }
        assert!((8..=13).contains(&heartbeats), "{heartbeats}");
    });
}

#[test]
fn what_is_about_to_be_sent_makes_the_heartbeat_superfluous() {
    both(|mut rig, from| {
        rig.pass(2000 * MS);
        let id = rig.id();
        rig.stack.send(rig.now, id, Message::new(0, 0, "are you there?")).unwrap();
        assert_eq!(one(suspect(&mut rig, 20 * MS)).kinds(), [chunk_type::DATA]);
        refuse(&mut rig, from);
        assert_eq!(next_heartbeat(&mut rig).0, 20 * MS);
        refuse(&mut rig, from);
        assert_eq!(rig.state(), AssocState::Closed);
    });
}

#[test]
fn a_suspicion_concerns_all_paths_and_each_may_fail_alone() {
    for to in [path as fn(u8) -> PathAddr, native] {
        let mut rig = with_two_paths(true, to);
        // Until neither path has been used for longer than an RTO.
        let mut unused = Duration::ZERO;
        while unused < 3000 * MS {
            unused += 100 * MS;
            for probe in rig.pass(100 * MS) {
                let tlvs = probe.heartbeat();
                rig.send_from(probe.path, rig.own_tag, |w| w.heartbeat_ack(&tlvs));
                unused = Duration::ZERO;
            }
        }
        let mut probed: Vec<IpAddr> =
            suspect(&mut rig, 20 * MS).iter().map(|sent| sent.path.remote).collect();
        probed.sort();
        assert_eq!(probed, [addr(1), addr(2)]);
        let refuse_for = |rig: &mut Rig, addresses: &[u8]| {
            addresses.iter().for_each(|n| drop(refuse(rig, to(*n))));
            rig.pass(25 * MS);
            addresses.iter().for_each(|n| drop(refuse(rig, to(*n))));
        };
        refuse_for(&mut rig, &[1]);
        assert_eq!(rig.path_state(1), PathState::Inactive);
        assert_eq!((rig.state(), rig.path_state(2)), (AssocState::Established, PathState::Active));
        refuse_for(&mut rig, &[2]);
        assert_eq!(lost(&rig.events()), Some(&LossReason::ProtocolUnreachable));
    }
}

/// No call is needed, and a heartbeat of the usual interval finds out.
#[test]
fn with_a_patience_of_the_association_every_refusal_is_asked_about_again() {
    let config = AssocConfig {
        hb_interval: 2500 * MS,
        refusal_patience: Some(500 * MS),
        ..AssocConfig::default()
    };
    both_with(&config, |mut rig, from| {
        let (wait, _) = next_heartbeat(&mut rig);
        assert!((3000..4001).contains(&wait.as_millis()), "{wait:?}");
        refuse(&mut rig, from);
        let (wait, again) = next_heartbeat(&mut rig);
        assert_eq!(wait, 500 * MS);
        // It lives, and is asked again only after the interval.
        let (tlvs, tag) = (again.heartbeat(), rig.own_tag);
        rig.send_from(from, tag, |w| w.heartbeat_ack(&tlvs));
        assert!(next_heartbeat(&mut rig).0 >= 3000 * MS);
        refuse(&mut rig, from);
        rig.pass(500 * MS);
        assert_lives(&mut rig);
        refuse(&mut rig, from);
        assert_lost(&mut rig);
    });
}

/// A heartbeat that was refused is not answered. Its timeout must not be put off by the patience.
#[test]
fn a_patience_longer_than_the_rto_delays_no_timeout() {
    let config = AssocConfig { refusal_patience: Some(5000 * MS), ..AssocConfig::realtime() };
    let mut rig = called_with(config.clone(), native(1));
    next_heartbeat(&mut rig);
    refuse(&mut rig, native(1));
    rig.pass(100 * MS);
    assert_lost(&mut rig);
    // In UDP, the usual two intervals of heartbeats are shorter than this patience.
    let mut rig = called_with(config, path(1));
    rig.events();
    next_heartbeat(&mut rig);
    for _ in 0..10 {
        refuse(&mut rig, path(1));
        assert_lives(&mut rig);
        rig.pass(19 * MS);
    }
    rig.pass(10 * MS);
    refuse(&mut rig, path(1));
    assert_lost(&mut rig);
}

#[test]
fn without_an_association_that_is_up_there_is_nothing_to_suspect() {
    for state in [AssocState::CookieWait, AssocState::ShutdownSent] {
        let mut rig = Rig::in_state(state);
        assert_silent(suspect(&mut rig, Duration::ZERO));
        assert_eq!(rig.state(), state);
    }
    let mut rig = Rig::in_state(AssocState::Established);
    let id = rig.id();
    rig.stack.abort(rig.now, id, Bytes::new()).unwrap();
    rig.stack.release(rig.now, id);
    rig.drain();
    assert!(rig.stack.suspect(rig.now, id, Duration::ZERO).is_err());
}
