//! Cheap answers: deadlines that may be reported too early, and associations that have nothing to
//! send.

use super::*;

#[test]
fn a_wakeup_may_be_early_and_is_never_late() {
    let mut rig = Rig::in_state(AssocState::Established);
    let mut cum = rig.own_tsn.minus(1);
    let mut early = 0;
    for n in 0..200u64 {
        rig.send_data(b"ping");
        // T3 is in the queue now and stops with the acknowledgement.
        assert!(rig.stack.poll_wakeup().is_some());
        let step = Duration::from_millis(7 * (n % 40));
        rig.now += step;
        cum = cum.next();
        rig.send(rig.own_tag, |w| sack(w, cum));
        let wakeup = rig.stack.poll_wakeup().expect("heartbeats are on");
        let timeout = rig.stack.poll_timeout().expect("heartbeats are on");
        assert!(wakeup <= timeout);
        early += u32::from(wakeup < timeout);
        if wakeup <= rig.now && timeout > rig.now {
            rig.stack.handle_timeout(rig.now);
            assert_silent(rig.drain());
        }
        assert_eq!(
            rig.stack.poll_wakeup(),
            Some(timeout),
            "poll_timeout has corrected the deadline"
        );
        rig.pass(Duration::ZERO);
    }
    assert!(early > 100, "T3 moves with every message, but only {early} wakeups are early");
}

#[test]
fn an_idle_association_saves_up_no_burst() {
    let flight = |round_trips: u32| {
        let config = AssocConfig { max_burst: 1, ..AssocConfig::default() };
        let mut rig = Rig::with(StackConfig::default(), config);
        rig.connect(&[1]);
        rig.init_ack(|_| {});
        rig.send(rig.own_tag, |w| w.cookie_ack());
        let mut cum = rig.own_tsn.minus(1);
        for _ in 0..round_trips {
            assert_eq!(rig.send_data(&[1; 1000]).len(), 1);
            cum = cum.next();
            assert_silent(rig.send(rig.own_tag, |w| sack(w, cum)));
        }
        rig.send_data(&[2; 20_000]).len()
    };
    assert!(flight(0) < 3, "one packet, or two if the first is not full");
    assert_eq!(flight(20), flight(0));
}

/// A deadline that has moved, or whose association has ended, stays in the queue for a while.
#[test]
fn deadlines_that_nobody_waits_for_do_not_pile_up() {
    // Each message sets T3, which comes before the heartbeat, and each acknowledgement stops it.
    let mut rig = Rig::in_state(AssocState::Established);
    let hour = Duration::from_secs(3600);
    rig.stack
        .configure(rig.now, rig.id(), |c| {
            c.hb_interval = hour;
            c.hb_interval_udp = hour;
        })
        .unwrap()
        .unwrap();
    for n in 0..1000 {
        rig.send_data(b"x");
        let tsn = rig.own_tsn.plus(n);
        rig.send(rig.own_tag, |w| sack(w, tsn));
        rig.pass(Duration::from_millis(1100));
        assert!(rig.stack.table.deadlines_held() < 100, "{}", rig.stack.table.deadlines_held());
    }
    assert_eq!(rig.state(), AssocState::Established);

    let mut rig = Rig::new();
    for _ in 0..1000 {
        rig.connect(&[1]);
        rig.stack.poll_timeout();
        rig.stack.abort(rig.now, rig.id(), Bytes::new()).unwrap();
        rig.stack.release(rig.now, rig.id());
        assert!(rig.stack.table.deadlines_held() < 100);
    }
}
