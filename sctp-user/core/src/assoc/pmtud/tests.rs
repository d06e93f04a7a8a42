use super::*;
use PmtudState::*;

const UDP: Encap = Encap::Udp { remote_port: 9899 };
const SEC: Duration = Duration::from_secs(1);

/// Discovery on a path that carries packets of up to `passes` bytes, with a clock of its own.
struct Rig {
    pmtud: Pmtud,
    now: Time,
    passes: usize,
    probed: Vec<usize>,
}

impl Rig {
    fn new(ipv6: bool, encap: Encap, start: usize, max: usize, passes: usize) -> Self {
        let mut pmtud = Pmtud::new(Sizes::new(ipv6, encap, start, max));
        pmtud.start(Time::ZERO);
        Rig { pmtud, now: Time::ZERO, passes, probed: Vec::new() }
    }

    fn udp(passes: usize) -> Self {
        Self::new(false, UDP, 1280, 1500, passes)
    }

    /// Lets the next timer expire if that happens within `limit`. Answers probes that pass.
    fn step(&mut self, limit: Duration) -> bool {
        if self.pmtud.due().is_none() {
            let Some(at) = self.pmtud.deadline().filter(|at| *at <= self.now + limit) else {
                return false;
            };
            self.now = self.now.max(at);
            self.pmtud.on_timer(self.now, true);
        }
        if let Some(size) = self.pmtud.due() {
            let nonce = self.pmtud.nonce().unwrap_or(self.probed.len() as u64);
            self.probed.push(size);
            self.pmtud.on_sent(nonce, self.now, SEC);
            if size <= self.passes {
                assert!(!self.pmtud.on_ack(nonce + 1, size, self.now), "the nonce is wrong");
                assert!(!self.pmtud.on_ack(nonce, 10_000, self.now), "this size was never probed");
                assert!(self.pmtud.on_ack(nonce, size, self.now));
                assert!(
                    !self.pmtud.on_ack(nonce, size, self.now),
                    "the second answer changes nothing"
                );
            }
        }
        true
    }

    /// Runs until nothing happens for as long as `limit`.
    fn run_until_quiet(&mut self, limit: Duration) {
        for _ in 0..1000 {
            if !self.step(limit) {
                return;
            }
        }
        panic!("the discovery never ends: {:?}", self.pmtud);
    }

    fn found(&self) -> (PmtudState, usize) {
        (self.pmtud.state(), self.pmtud.plpmtu())
    }
}

#[test]
fn sizes_of_families_and_encapsulations() {
    for (ipv6, encap, expected) in [
        (false, Encap::Native, (556, 1480, 1480, 1200)),
        (true, Encap::Native, (1240, 1460, 1460, 1240)),
        (false, UDP, (548, 1252, 1472, 1200)),
        (true, UDP, (1232, 1232, 1452, 1232)),
    ] {
        let start = if encap == UDP { 1280 } else { 1500 };
        let s = Sizes::new(ipv6, encap, start, 1500);
        assert_eq!((s.min, s.start, s.max, s.base()), expected, "{ipv6} {encap:?}");
    }
    // A maximum below the minimum of the address family is obeyed.
    let s = Sizes::new(true, UDP, 576, 576);
    assert_eq!((s.min, s.start, s.max, s.base()), (528, 528, 528, 528));
}

#[test]
fn nothing_happens_before_the_start_and_nothing_is_searched_at_the_maximum() {
    let pmtud = Pmtud::new(Sizes::new(false, UDP, 1280, 1500));
    assert_eq!(
        (pmtud.state(), pmtud.plpmtu(), pmtud.deadline(), pmtud.due()),
        (Disabled, 1252, None, None)
    );
    let rig = Rig::new(false, Encap::Native, 1500, 1500, 1480);
    assert_eq!((rig.found(), rig.pmtud.deadline()), ((Complete, 1480), None));
}

#[test]
fn the_maximum_is_found_with_two_probes() {
    let mut rig = Rig::udp(1472);
    assert_eq!(rig.pmtud.deadline(), Some(Time::ZERO + PROBE_TIMER));
    rig.run_until_quiet(RAISE_TIMER);
    assert_eq!(rig.found(), (Complete, 1472));
    assert_eq!(rig.probed, [1252, 1472]);
    assert_eq!((rig.now, rig.pmtud.deadline()), (Time::ZERO + PROBE_TIMER, None));
}

#[test]
fn every_common_mtu_is_found_in_time_and_never_exceeded() {
    for ipv6 in [false, true] {
        for mtu in (1280..=9000).step_by(4) {
            let sizes = Sizes::new(ipv6, UDP, 1280, 9000);
            let mut rig = Rig::new(ipv6, UDP, 1280, 9000, mtu - sizes.overhead);
            rig.run_until_quiet(60 * SEC);
            let size = |ip: &usize| (ip - sizes.overhead) & !3;
            let best =
                COMMON_IP_MTUS.iter().chain([&9000]).map(size).filter(|s| *s <= rig.passes).max();
            assert_eq!(rig.found(), (Complete, best.unwrap()), "MTU {mtu}");
            assert!(rig.now.since(Time::ZERO) < 40 * SEC, "MTU {mtu} took {:?}", rig.now);
            let counts = |size| rig.probed.iter().filter(|s| **s == size).count();
            assert!(rig.probed.iter().all(|&s| counts(s) <= MAX_PROBES as usize));
        }
    }
}

#[test]
fn a_result_below_the_maximum_is_tried_again_after_ten_minutes() {
    let mut rig = Rig::udp(1400 - 28);
    rig.run_until_quiet(60 * SEC);
    assert_eq!(rig.found(), (Complete, 1372));
    assert_eq!(rig.pmtud.deadline(), Some(rig.now + RAISE_TIMER));
    rig.passes = 1472;
    rig.run_until_quiet(RAISE_TIMER);
    assert_eq!(rig.found(), (Complete, 1472));
}

#[test]
fn the_minimum_is_used_until_the_base_size_passes() {
    let mut rig = Rig::udp(1000);
    while rig.pmtud.state() != Error {
        assert!(rig.step(60 * SEC));
    }
    assert_eq!(rig.found(), (Error, 548));
    assert_eq!(rig.probed, [1252, 1252, 1252, 1200, 1200, 1200]);
    let from = rig.now;
    for _ in 0..20 {
        assert!(rig.step(ERROR_TIMER));
    }
    assert_eq!(rig.found(), (Error, 548));
    assert!(rig.now.since(from) > 60 * SEC, "there is at most one probe every 15 s");
    rig.passes = 1472;
    rig.run_until_quiet(60 * SEC);
    assert_eq!(rig.found(), (Complete, 1472));
}

#[test]
fn icmp_lowers_and_hints_and_never_raises() {
    let mut rig = Rig::udp(1372);
    rig.step(SEC);
    rig.step(SEC);
    assert_eq!(rig.probed, [1252, 1472]);
    assert!(!rig.pmtud.on_packet_too_big(9000, rig.now), "this is larger than the probe");
    assert!(rig.pmtud.due().is_none());
    assert!(!rig.pmtud.on_packet_too_big(1400, rig.now), "this is only a hint");
    assert_eq!(rig.found(), (Search, 1252));
    rig.run_until_quiet(SEC);
    assert_eq!((rig.found(), rig.probed.last()), ((Complete, 1372), Some(&1372)));
    assert_eq!(rig.probed.len(), 3, "no size above the hint is tried");
}

#[test]
fn icmp_below_the_minimum_is_ignored() {
    for (ipv6, least) in [(false, 576), (true, 1280)] {
        let mut rig = Rig::new(ipv6, Encap::Native, 1500, 1500, 9000);
        rig.run_until_quiet(SEC);
        let before = rig.found();
        for ip_mtu in [0, 68, least - 1] {
            assert!(!rig.pmtud.on_packet_too_big(ip_mtu, rig.now));
            assert_eq!((rig.found(), rig.pmtud.deadline()), (before, None));
        }
        assert!(rig.pmtud.on_packet_too_big(least, rig.now));
    }
}

#[test]
fn icmp_below_the_pmtu_begins_a_search_to_verify_it() {
    for (told, passes, found) in [
        (1400, 1380, 1380),
        // What the router said is wrong, or not true any more.
        (1400, 1480, 1480),
        (1300, 1420, 1420),
        (1400, 1260, 1260),
    ] {
        let mut rig = Rig::new(false, Encap::Native, 1500, 1500, passes);
        assert!(rig.pmtud.on_packet_too_big(told, rig.now));
        assert_eq!(rig.found(), (Search, 1200), "only the base size is safe");
        // Routers say the same about other packets that were under way.
        assert!(!rig.pmtud.on_packet_too_big(told, rig.now));
        let from = rig.now;
        rig.run_until_quiet(60 * SEC);
        assert_eq!((rig.found(), rig.probed[0]), ((Complete, found), told - 20), "{told}");
        assert!(rig.now.since(from) < 40 * SEC, "{told} took {:?}", rig.now.since(from));
    }
}

#[test]
fn icmp_below_the_base_size_is_believed_until_that_passes() {
    let mut rig = Rig::new(false, Encap::Native, 1500, 1500, 980);
    assert!(rig.pmtud.on_packet_too_big(1000, rig.now));
    for _ in 0..20 {
        assert_eq!(rig.found(), (Error, 980));
        assert!(rig.step(ERROR_TIMER));
        assert!(!rig.pmtud.on_packet_too_big(1000, rig.now));
    }
    rig.passes = 1480;
    rig.run_until_quiet(ERROR_TIMER);
    assert_eq!(rig.found(), (Complete, 1480));
}

#[test]
fn icmp_before_the_start_lowers_the_pmtu_where_the_search_begins() {
    let mut rig = Rig::new(false, Encap::Native, 1500, 1500, 1480);
    rig.pmtud.stop();
    assert!(rig.pmtud.on_packet_too_big(1400, rig.now));
    assert_eq!(rig.found(), (Disabled, 1380));
    rig.pmtud.start(rig.now);
    rig.run_until_quiet(SEC);
    assert_eq!(rig.found(), (Complete, 1480));
}

/// Lets probes be sent and lost until the answer to the first one arrives after `delay`. Returns
/// its nonce.
fn answered_late(rig: &mut Rig, delay: Duration) -> Option<u64> {
    let from = rig.now;
    let passes = std::mem::take(&mut rig.passes);
    while rig.pmtud.deadline().is_some_and(|at| at < from + delay) {
        rig.step(delay);
    }
    rig.passes = passes;
    rig.now = from + delay;
    rig.pmtud.nonce()
}

#[test]
fn answers_count_however_late_they_come() {
    // While the same size is probed again; when the base size is in use; when that is given up,
    // too.
    for (delay, state, size) in [(6, Base, 1252), (9, Base, 1200), (20, Error, 548)] {
        let mut rig = Rig::udp(1472);
        let nonce = answered_late(&mut rig, delay * SEC).unwrap();
        assert_eq!(rig.found(), (state, size), "after {delay} s");
        assert!(rig.pmtud.on_ack(nonce, 1252, rig.now));
        assert_eq!(rig.found(), (Search, 1252));
        rig.run_until_quiet(60 * SEC);
        assert_eq!(rig.found(), (Complete, 1472));
    }
    // The same during a search, and after it.
    for delay in [2, 10, 100] {
        let mut rig = Rig::udp(1472);
        assert!(rig.step(SEC));
        let nonce = answered_late(&mut rig, delay * SEC).unwrap();
        assert_eq!(rig.pmtud.plpmtu(), 1252);
        assert!(rig.pmtud.on_ack(nonce, 1472, rig.now), "after {delay} s");
        assert_eq!(rig.found(), (Complete, 1472));
        assert!(
            !rig.pmtud.on_ack(nonce, 1400, rig.now),
            "answers to smaller probes change nothing now"
        );
    }
    // A size below the maximum passes, so the sizes in between are searched again.
    let mut rig = Rig::udp(1440);
    rig.step(SEC);
    let nonce = answered_late(&mut rig, 100 * SEC).unwrap();
    assert_eq!(rig.found(), (Complete, 1252));
    assert!(rig.pmtud.on_ack(nonce, 1412, rig.now));
    rig.run_until_quiet(60 * SEC);
    assert_eq!(rig.found(), (Complete, 1432));
}

#[test]
fn answers_to_probes_before_the_path_narrowed_prove_nothing() {
    let narrowed: [fn(&mut Rig); 2] = [
        |rig| assert!(rig.pmtud.on_packet_too_big(1280, rig.now)),
        |rig| {
            for _ in 0..MAX_PROBES {
                rig.pmtud.on_timeout(1372);
            }
            assert!(rig.pmtud.on_small_acked(rig.now));
        },
    ];
    for narrow in narrowed {
        let mut rig = Rig::udp(1372);
        rig.run_until_quiet(60 * SEC);
        assert_eq!(rig.found(), (Complete, 1372));
        let nonce = rig.pmtud.nonce().unwrap();
        narrow(&mut rig);
        let before = rig.found();
        assert!(!rig.pmtud.on_ack(nonce, 1372, rig.now));
        assert!(!rig.pmtud.on_ack(nonce, 1472, rig.now));
        assert_eq!(rig.found(), before);
    }
}

#[test]
fn a_false_hint_costs_only_probes() {
    let mut rig = Rig::udp(1272);
    rig.step(SEC);
    rig.step(SEC);
    rig.pmtud.on_packet_too_big(1492, rig.now);
    rig.run_until_quiet(60 * SEC);
    assert_eq!(rig.found(), (Complete, 1252));
    assert_eq!(rig.probed[..5], [1252, 1472, 1464, 1464, 1464]);
}

#[test]
fn losses_on_a_path_with_errors_prove_nothing() {
    let mut rig = Rig::udp(0);
    for _ in 0..10 {
        let at = rig.pmtud.deadline().unwrap();
        rig.now = rig.now.max(at);
        rig.pmtud.on_timer(rig.now, true);
        rig.pmtud.on_sent(1, rig.now, 3 * SEC);
        assert_eq!(rig.pmtud.deadline(), Some(rig.now + 6 * SEC), "twice the RTO");
        rig.pmtud.on_timer(rig.now + 6 * SEC, false);
        assert_eq!((rig.found(), rig.pmtud.deadline()), ((Base, 1252), None));
        rig.now += 6 * SEC;
        rig.pmtud.on_path_works(rig.now);
    }
}

/// A native path in use at the maximum, of which only `passes` bytes still get through.
fn black_hole(passes: usize) -> Rig {
    let mut rig = Rig::new(false, Encap::Native, 1500, 1500, passes);
    for _ in 0..2 {
        rig.pmtud.on_timeout(1480);
        assert_eq!(rig.pmtud.due(), None);
    }
    rig.pmtud.on_timeout(1480);
    rig
}

#[test]
fn a_black_hole_is_left_with_the_base_size() {
    let mut rig = black_hole(1260);
    assert_eq!(rig.pmtud.due(), Some(1200));
    assert_eq!(rig.found(), (Complete, 1480), "the check has not been answered yet");
    assert!(rig.step(SEC));
    assert_eq!(rig.found(), (Base, 1200));
    rig.run_until_quiet(60 * SEC);
    assert_eq!(rig.found(), (Complete, 1260));
}

#[test]
fn a_black_hole_for_the_base_size_is_left_with_the_minimum() {
    let mut rig = black_hole(600);
    assert!(rig.step(SEC));
    rig.pmtud.on_timeout(1480);
    assert_eq!(rig.pmtud.due(), Some(556));
    assert!(rig.step(SEC));
    assert_eq!(rig.found(), (Error, 556));
}

#[test]
fn an_answered_heartbeat_reveals_a_black_hole_too() {
    let mut rig = Rig::new(false, Encap::Native, 1500, 1500, 1480);
    rig.pmtud.on_timeout(1480);
    rig.pmtud.on_timeout(1480);
    assert!(!rig.pmtud.on_small_acked(rig.now), "two timeouts may be bad luck");
    rig.pmtud.on_timeout(1480);
    assert!(rig.pmtud.on_small_acked(rig.now));
    assert_eq!(rig.found(), (Base, 1200));
    rig.run_until_quiet(60 * SEC);
    assert_eq!(rig.found(), (Complete, 1480), "there was no black hole after all");
}

#[test]
fn timeouts_are_no_black_hole_when_small_packets_are_lost_or_large_ones_pass_between() {
    let mut rig = Rig::new(false, Encap::Native, 1500, 1500, 1480);
    for _ in 0..10 {
        rig.pmtud.on_timeout(556);
        rig.pmtud.on_timeout(100);
    }
    assert_eq!(rig.pmtud.due(), None);
    for (size, drained) in [(1480, false), (20, true)] {
        rig.pmtud.on_timeout(1480);
        rig.pmtud.on_timeout(1480);
        rig.pmtud.on_data_acked(size, drained);
        rig.pmtud.on_timeout(1480);
        assert_eq!(rig.pmtud.due(), None);
        rig.pmtud.on_data_acked(size, drained);
    }
    // Acknowledgements of small packets, and of those too large for DF, prove nothing.
    for size in [1200, 1484, 100] {
        rig.pmtud.on_timeout(1480);
        rig.pmtud.on_data_acked(size, false);
    }
    assert_eq!(rig.pmtud.due(), Some(1200));
    // The suspicion is gone before the answer arrives.
    rig.pmtud.on_sent(9, rig.now, SEC);
    rig.pmtud.on_data_acked(1480, false);
    assert!(rig.pmtud.on_ack(9, 1200, rig.now));
    assert_eq!(rig.found(), (Complete, 1480));
}

#[test]
fn a_new_encapsulation_restarts_the_search_and_a_new_port_checks_the_pmtu() {
    let mut rig = Rig::udp(1472);
    rig.run_until_quiet(SEC);
    assert_eq!(rig.found(), (Complete, 1472));
    rig.pmtud.restart(Sizes::new(false, UDP, 1280, 1500), true);
    assert_eq!(rig.found(), (Base, 1472));
    rig.passes = 1260;
    rig.run_until_quiet(60 * SEC);
    assert_eq!(rig.found(), (Complete, 1252));
    rig.pmtud.restart(Sizes::new(false, Encap::Native, 1500, 1500), false);
    assert_eq!(rig.found(), (Base, 1480));
    rig.pmtud.stop();
    rig.pmtud.restart(Sizes::new(false, UDP, 1280, 1500), false);
    assert_eq!((rig.found(), rig.pmtud.deadline()), ((Disabled, 1252), None));
}
