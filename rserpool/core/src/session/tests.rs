//! The session core in virtual time: failover, cookies, timeouts.

mod cards;

use std::net::IpAddr;

use rserpool_wire::{Life, Policy, PoolHandle, SctpTransport, ServerId};

use super::*;

struct Bench {
    core: SessionCore,
    now: Time,
}

fn pool() -> PoolHandle {
    PoolHandle::new("pool").unwrap()
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn element(id: u32) -> PoolElement {
    let addrs: Vec<IpAddr> = vec![[10, 0, 0, 1].into()];
    PoolElement {
        id: PeId(id),
        home: ServerId(1),
        life: Life(90_000),
        user_transport: Transport::Sctp(SctpTransport {
            port: 7,
            transport_use: TransportUse::DataControl,
            addrs,
        }),
        policy: Policy::RoundRobin,
        asap_transport: None,
        udp_port: None,
    }
}

fn lost() -> EndReason {
    EndReason::Lost(LossReason::ProtocolUnreachable)
}

fn cookie(value: &'static [u8]) -> UserMessage {
    let message = AsapMessage::Cookie(Bytes::from_static(value)).encode().unwrap();
    UserMessage::new(ppid::ASAP, message)
}

fn echo(value: &'static [u8]) -> Output {
    Output::Send(AsapMessage::CookieEcho(Bytes::from_static(value)).encode().unwrap())
}

fn done(element: u32, cookie_echoed: bool, number: u64) -> Output {
    Output::Event(SessionEvent::FailoverDone { element: PeId(element), cookie_echoed, number })
}

fn needed(cause: FailoverCause) -> Output {
    Output::Event(SessionEvent::FailoverNeeded(cause))
}

fn problem(problem: FailoverProblem) -> Output {
    Output::Event(SessionEvent::FailoverProblem(problem))
}

impl Bench {
    fn new(options: SessionOptions) -> Self {
        Bench { core: SessionCore::new(pool(), options), now: Time::from_millis(10) }
    }

    fn outputs(&mut self) -> Vec<Output> {
        std::iter::from_fn(|| self.core.poll_output()).collect()
    }

    /// Lets time pass, serving all timeouts on the way.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.core.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.core.handle_timeout(self.now);
        }
        self.now = end;
    }

    /// The only output: a resolution of so many items.
    #[track_caller]
    fn resolves(&mut self, wanted: u32) -> Attempt {
        match self.outputs()[..] {
            [Output::Resolve { attempt, items, .. }] if items == wanted => attempt,
            ref other => panic!("{other:?}"),
        }
    }

    fn resolved(&mut self, attempt: Attempt, elements: &[u32]) {
        let elements = elements.iter().map(|id| element(*id)).collect();
        self.core.handle_resolved(self.now, attempt, Ok(elements));
    }

    /// The only output: connecting with this element.
    #[track_caller]
    fn connects(&mut self, wanted: u32) -> Attempt {
        match &self.outputs()[..] {
            [Output::Connect { attempt, element }] if element.id == PeId(wanted) => *attempt,
            other => panic!("{other:?}"),
        }
    }

    /// A session that is connected with element 1 and has nothing more to do.
    fn connected(options: SessionOptions) -> Self {
        let mut bench = Bench::new(options);
        let attempt = bench.resolves(1);
        bench.resolved(attempt, &[1]);
        let attempt = bench.connects(1);
        bench.core.handle_connected(bench.now, attempt);
        assert_eq!(bench.outputs(), [Output::Ready { element: PeId(1) }, done(1, false, 0)]);
        bench.pass(ms(1000));
        bench
    }

    /// The resolution behind other outputs, which are returned too.
    #[track_caller]
    fn then_resolves(&mut self, wanted: u32) -> (Vec<Output>, Attempt) {
        let mut outputs = self.outputs();
        match outputs.pop() {
            Some(Output::Resolve { attempt, items, .. }) if items == wanted => (outputs, attempt),
            other => panic!("{outputs:?} {other:?}"),
        }
    }
}

#[test]
fn the_newest_cookie_is_echoed_before_anything_else() {
    let mut bench = Bench::connected(SessionOptions::default());
    bench.core.handle_message(cookie(b"one"));
    bench.core.handle_message(cookie(b"two"));
    assert_eq!(bench.outputs(), []);
    assert_eq!(bench.core.cookie().unwrap(), "two");
    bench.core.handle_ended(bench.now, lost());
    let (outputs, attempt) = bench.then_resolves(2);
    let cause = FailoverCause::Ended(lost());
    assert_eq!(outputs, [Output::NotReady, Output::Report(PeId(1)), needed(cause)]);
    // The element that was lost is not tried again, whatever the registrar says.
    bench.resolved(attempt, &[1, 2]);
    let attempt = bench.connects(2);
    bench.core.handle_connected(bench.now, attempt);
    let ready = Output::Ready { element: PeId(2) };
    assert_eq!(bench.outputs(), [echo(b"two"), ready, done(2, true, 1)]);
    // The cookie is kept for the next failover, as the new element may die before it sends one.
    bench.core.handle_ended(bench.now, lost());
    let (_, attempt) = bench.then_resolves(2);
    bench.resolved(attempt, &[3]);
    let attempt = bench.connects(3);
    bench.core.handle_connected(bench.now, attempt);
    let ready = Output::Ready { element: PeId(3) };
    assert_eq!(bench.outputs(), [echo(b"two"), ready, done(3, true, 2)]);
}

#[test]
fn elements_that_cannot_be_connected_are_reported_and_passed_over() {
    let mut bench = Bench::connected(SessionOptions::default());
    bench.core.handle_ended(bench.now, lost());
    let (_, attempt) = bench.then_resolves(2);
    bench.resolved(attempt, &[2]);
    let attempt = bench.connects(2);
    let failure = ConnectFailure::Ended(lost());
    bench.core.handle_connect_failed(bench.now, attempt, failure.clone());
    let (outputs, attempt) = bench.then_resolves(3);
    let unreachable = problem(FailoverProblem::Connect { element: PeId(2), failure });
    assert_eq!(outputs, [Output::Report(PeId(2)), unreachable]);
    // A late answer to an old question changes nothing.
    let old = attempt;
    bench.resolved(attempt, &[1, 2]);
    bench.resolved(old, &[9]);
    assert_eq!(bench.outputs(), [], "all of them have failed");
    // After a pause everybody gets another chance.
    bench.pass(ms(249));
    assert_eq!(bench.outputs(), []);
    bench.pass(ms(1));
    let attempt = bench.resolves(1);
    bench.resolved(attempt, &[1]);
    let attempt = bench.connects(1);
    bench.core.handle_connected(bench.now, attempt);
    assert!(bench.outputs().contains(&done(1, false, 1)));
}

#[test]
fn the_connect_timeout() {
    let mut bench = Bench::new(SessionOptions::default());
    let attempt = bench.resolves(1);
    bench.resolved(attempt, &[1]);
    let attempt = bench.connects(1);
    bench.pass(ms(4999));
    assert_eq!(bench.outputs(), []);
    bench.pass(ms(1));
    let (outputs, _) = bench.then_resolves(2);
    let failure = ConnectFailure::TimedOut;
    let unreachable = problem(FailoverProblem::Connect { element: PeId(1), failure });
    assert_eq!(outputs, [Output::Cancel, Output::Report(PeId(1)), unreachable]);
    // Too late.
    bench.core.handle_connected(bench.now, attempt);
    assert_eq!(bench.outputs(), []);
}

#[test]
fn resolution_is_repeated_and_the_problem_told_once() {
    let mut bench = Bench::new(SessionOptions::default());
    let pool = pool();
    for round in 0..4 {
        let attempt = bench.resolves(1);
        bench.core.handle_resolved(bench.now, attempt, Err(RequestError::NoElement(pool.clone())));
        let told = problem(FailoverProblem::Resolution(RequestError::NoElement(pool.clone())));
        let expected = if round == 0 { vec![told] } else { Vec::new() };
        assert_eq!(bench.outputs(), expected);
        bench.pass(ms(250));
    }
    let attempt = bench.resolves(1);
    bench.core.handle_resolved(bench.now, attempt, Err(RequestError::NoRegistrar));
    assert_eq!(bench.outputs(), [problem(FailoverProblem::Resolution(RequestError::NoRegistrar))]);
}

#[test]
fn elements_without_sctp_are_of_no_use() {
    let mut bench = Bench::new(SessionOptions::default());
    let attempt = bench.resolves(1);
    let udp = Transport::Udp { port: 7, addr: [10, 0, 0, 1].into() };
    let elements = vec![PoolElement { user_transport: udp, ..element(1) }];
    bench.core.handle_resolved(bench.now, attempt, Ok(elements));
    assert_eq!(bench.outputs(), []);
    assert!(bench.core.poll_timeout().is_some());
}

#[test]
fn an_element_that_closes_is_not_reported_and_may_serve_again() {
    let mut bench = Bench::connected(SessionOptions::default());
    bench.core.handle_ended(bench.now, EndReason::Graceful);
    let (outputs, attempt) = bench.then_resolves(1);
    assert_eq!(outputs, [Output::NotReady, needed(FailoverCause::Ended(EndReason::Graceful))]);
    bench.resolved(attempt, &[1]);
    let attempt = bench.connects(1);
    bench.core.handle_connected(bench.now, attempt);
    bench.outputs();
    // When it closes at once, the next connection waits a little.
    bench.core.handle_ended(bench.now, EndReason::Graceful);
    assert_eq!(
        bench.outputs(),
        [Output::NotReady, needed(FailoverCause::Ended(EndReason::Graceful))]
    );
    bench.pass(ms(250));
    bench.resolves(1);
}

/// It lives, but the cookie has to be the first that its new process hears.
#[test]
fn an_element_that_restarts_gets_a_new_association_with_the_cookie() {
    let mut bench = Bench::connected(SessionOptions::default());
    let cookie = AsapMessage::Cookie(Bytes::from_static(b"state")).encode().unwrap();
    bench.core.handle_message(UserMessage::new(ppid::ASAP, cookie));
    bench.core.handle_restarted(bench.now);
    let (outputs, attempt) = bench.then_resolves(1);
    let abort = Output::Abort { reason: "the pool element has restarted" };
    assert_eq!(outputs, [abort, Output::NotReady, needed(FailoverCause::Restarted)]);
    bench.resolved(attempt, &[1]);
    let attempt = bench.connects(1);
    bench.core.handle_connected(bench.now, attempt);
    let echo = AsapMessage::CookieEcho(Bytes::from_static(b"state")).encode().unwrap();
    assert_eq!(bench.outputs()[0], Output::Send(echo));
}

#[test]
fn an_element_that_aborts_is_not_reported_but_avoided() {
    let mut bench = Bench::connected(SessionOptions::default());
    let reason = EndReason::Lost(LossReason::PeerAbort { cause: 12, info: Bytes::new() });
    bench.core.handle_ended(bench.now, reason.clone());
    let (outputs, attempt) = bench.then_resolves(2);
    assert_eq!(outputs, [Output::NotReady, needed(FailoverCause::Ended(reason))]);
    bench.resolved(attempt, &[1, 2]);
    bench.connects(2);
}

#[test]
fn reports_can_be_switched_off() {
    let options = SessionOptions { report_unreachable: false, ..SessionOptions::default() };
    let mut bench = Bench::connected(options);
    bench.core.handle_ended(bench.now, lost());
    let (outputs, _) = bench.then_resolves(2);
    assert_eq!(outputs, [Output::NotReady, needed(FailoverCause::Ended(lost()))]);
}

#[test]
fn the_reply_timeout() {
    let options = SessionOptions { reply_timeout: Some(ms(500)), ..SessionOptions::default() };
    let mut bench = Bench::connected(options);
    // Nothing was sent, nothing is awaited.
    bench.pass(ms(10_000));
    assert_eq!(bench.outputs(), []);
    bench.core.handle_sent(bench.now);
    bench.pass(ms(400));
    // More data does not prolong the time; anything that comes ends it.
    bench.core.handle_sent(bench.now);
    bench.core.handle_message(cookie(b"c"));
    bench.pass(ms(400));
    assert_eq!(bench.outputs(), []);
    bench.core.handle_sent(bench.now);
    bench.pass(ms(300));
    bench.core.handle_sent(bench.now);
    bench.pass(ms(199));
    assert_eq!(bench.outputs(), []);
    bench.pass(ms(1));
    let (outputs, _) = bench.then_resolves(2);
    assert_eq!(
        outputs,
        [
            Output::Abort { reason: "no reply" },
            Output::NotReady,
            Output::Report(PeId(1)),
            needed(FailoverCause::ReplyTimeout)
        ]
    );
}

#[test]
fn forced_failover() {
    for report in [false, true] {
        let mut bench = Bench::connected(SessionOptions::default());
        bench.core.force_failover(bench.now, report);
        let (outputs, _) = bench.then_resolves(2);
        let mut expected = vec![Output::Abort { reason: "failover" }];
        expected.extend(report.then_some(Output::Report(PeId(1))));
        expected.extend([Output::NotReady, needed(FailoverCause::Forced)]);
        assert_eq!(outputs, expected);
        // Once is enough.
        bench.core.force_failover(bench.now, true);
        assert_eq!(bench.outputs(), []);
    }
}

#[test]
fn failover_by_hand() {
    let options = SessionOptions { auto_failover: false, ..SessionOptions::default() };
    let mut bench = Bench::connected(options.clone());
    bench.core.handle_ended(bench.now, lost());
    let cause = FailoverCause::Ended(lost());
    assert_eq!(bench.outputs(), [Output::NotReady, Output::Report(PeId(1)), needed(cause)]);
    bench.pass(ms(60_000));
    assert_eq!(bench.outputs(), []);
    bench.core.force_failover(bench.now, false);
    bench.resolves(2);
    // Without a loss before.
    let mut bench = Bench::connected(options);
    bench.core.force_failover(bench.now, false);
    let (outputs, _) = bench.then_resolves(2);
    assert!(outputs.contains(&needed(FailoverCause::Forced)));
}

#[test]
fn data_and_control_messages() {
    let mut bench = Bench::connected(SessionOptions::default());
    let data = UserMessage::new(33, &b"pong"[..]);
    bench.core.handle_message(data.clone());
    assert_eq!(bench.outputs(), [Output::Event(SessionEvent::Message(data))]);
    // Neither nonsense nor what is not for pool users does any harm.
    let echo = AsapMessage::CookieEcho(Bytes::from_static(b"x")).encode().unwrap();
    for control in [echo, Bytes::from_static(b"nonsense"), Bytes::new()] {
        bench.core.handle_message(UserMessage::new(ppid::ASAP, control));
        assert_eq!(bench.outputs(), []);
    }
    assert_eq!(bench.core.cookie(), None);
}

#[test]
fn without_control_channel_everything_is_data() {
    let mut bench = Bench::connected(SessionOptions::default());
    bench.core.handle_message(cookie(b"c"));
    bench.core.handle_ended(bench.now, lost());
    let (_, attempt) = bench.then_resolves(2);
    let mut plain = element(2);
    plain.user_transport = Transport::Sctp(SctpTransport::data_only(7, vec![[10, 0, 0, 2].into()]));
    bench.core.handle_resolved(bench.now, attempt, Ok(vec![plain]));
    let attempt = bench.connects(2);
    bench.core.handle_connected(bench.now, attempt);
    assert_eq!(bench.outputs(), [Output::Ready { element: PeId(2) }, done(2, false, 1)]);
    bench.core.handle_message(cookie(b"d"));
    assert_eq!(bench.outputs(), [Output::Event(SessionEvent::Message(cookie(b"d")))]);
    assert_eq!(bench.core.cookie().unwrap(), "c");
}

#[test]
fn a_message_that_is_too_long_ends_the_association() {
    let mut bench = Bench::connected(SessionOptions::default());
    bench.core.handle_too_long(bench.now);
    let (outputs, _) = bench.then_resolves(2);
    assert_eq!(outputs[0], Output::Abort { reason: "message too long" });
    assert!(outputs.contains(&needed(FailoverCause::MessageTooLong)));
}
