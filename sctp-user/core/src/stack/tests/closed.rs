//! Associations whose sockets are closed must end: their peers may be dead, and they hold ports.

use super::*;
use crate::event::LossReason;

const LIMIT: Duration = Duration::from_secs(100);

/// An association with data outstanding (or queued during the setup) whose user is gone. Nobody
/// else uses its port.
fn closed(state: AssocState, close_timeout: Option<Duration>) -> Rig {
    let mut rig = if state == AssocState::CookieWait {
        let mut rig = Rig::in_state(state);
        rig.stack.send(rig.now, rig.id(), Message::new(0, 0, "queued")).unwrap();
        rig
    } else {
        let mut rig = Rig::in_state(AssocState::Established);
        rig.send_data(b"outstanding");
        rig
    };
    rig.stack.configure(rig.now, rig.id(), |c| c.close_timeout = close_timeout).unwrap().unwrap();
    rig.stack.shutdown(rig.now, rig.id()).unwrap();
    rig.stack.unbind(rig.now, PORT);
    rig.stack.release(rig.now, rig.id());
    rig.drain();
    rig
}

#[test]
fn a_dead_peer_gives_the_port_back() {
    for state in [AssocState::CookieWait, AssocState::ShutdownPending] {
        let mut rig = closed(state, Some(LIMIT));
        rig.pass(LIMIT - Duration::from_millis(1));
        assert!(rig.stack.is_in_use(PORT));
        let last = rig.pass(Duration::from_millis(1));
        assert!(!rig.stack.is_in_use(PORT), "{state:?}");
        let aborts = last.iter().filter(|s| s.kinds() == [chunk_type::ABORT]).count();
        assert_eq!(aborts, usize::from(state == AssocState::ShutdownPending));
        assert_eq!(lost(&rig.events()), Some(&LossReason::ShutdownGuard));
        rig.stack.bind(PORT, &[], AssocConfig::default()).unwrap();
    }
}

#[test]
fn without_the_limit_the_retransmissions_end_it() {
    let mut rig = closed(AssocState::ShutdownPending, None);
    rig.pass(Duration::from_secs(300));
    assert!(rig.stack.is_in_use(PORT));
    rig.pass(Duration::from_secs(300));
    assert_eq!(lost(&rig.events()), Some(&LossReason::Unreachable));
}

/// A slow peer gets everything, however long that takes.
#[test]
fn progress_restarts_the_limit() {
    let mut rig = Rig::in_state(AssocState::Established);
    let messages = 8;
    for _ in 0..messages {
        rig.send_data(b"outstanding");
    }
    rig.stack.shutdown(rig.now, rig.id()).unwrap();
    rig.stack.unbind(rig.now, PORT);
    rig.stack.release(rig.now, rig.id());
    for n in 0..messages {
        rig.pass(LIMIT - Duration::from_secs(1));
        let cum = rig.own_tsn.plus(n);
        rig.send(rig.own_tag, |w| sack(w, cum));
    }
    assert_eq!(lost(&rig.events()), None);
    rig.send(rig.own_tag, |w| w.shutdown_ack());
    assert!(!rig.stack.is_in_use(PORT));
}

/// A peer that answers every probe of its closed window but never opens it takes nothing.
#[test]
fn a_window_that_stays_closed_is_no_progress() {
    let mut rig = closed(AssocState::ShutdownPending, Some(LIMIT));
    let start = rig.now;
    while rig.stack.is_in_use(PORT) {
        for _ in rig.pass(Duration::from_secs(1)) {
            let cum = rig.own_tsn.minus(1);
            rig.send(rig.own_tag, |w| w.sack(cum, 0, std::iter::empty(), &[]));
        }
        assert!(rig.now.since(start) <= LIMIT);
    }
}

/// The user has not released the association, so somebody may still wait for it.
#[test]
fn a_user_who_still_waits_gets_the_full_retransmission_time() {
    let mut rig = Rig::in_state(AssocState::ShutdownPending);
    rig.pass(Duration::from_secs(300));
    assert_eq!(lost(&rig.events()), None);
}
