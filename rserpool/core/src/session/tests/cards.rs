//! Business cards.

use rserpool_wire::BusinessCard;

use super::*;

fn card_of(pool: &str, elements: Vec<PoolElement>) -> UserMessage {
    let pool = PoolHandle::new(pool).unwrap();
    let card = AsapMessage::BusinessCard(BusinessCard { pool, elements });
    UserMessage::new(ppid::ASAP, card.encode().unwrap())
}

fn card(ids: &[u32]) -> UserMessage {
    card_of("pool", ids.iter().map(|id| element(*id)).collect())
}

impl Bench {
    fn named(&self) -> Vec<u32> {
        self.core.business_card().iter().map(|element| element.id.0).collect()
    }

    /// The last output: connecting with this element.
    #[track_caller]
    fn then_connects(&mut self, wanted: u32) -> Attempt {
        match self.outputs().pop() {
            Some(Output::Connect { attempt, element }) if element.id == PeId(wanted) => attempt,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn the_elements_of_the_newest_card_come_first_in_their_order() {
    let mut bench = Bench::connected(SessionOptions::default());
    bench.core.handle_message(card(&[9]));
    bench.core.handle_message(card(&[5, 1, 4, 6]));
    bench.core.handle_message(cookie(b"state"));
    assert_eq!((bench.outputs(), bench.named()), (vec![], vec![5, 1, 4, 6]));
    bench.core.handle_ended(bench.now, lost());
    // Nobody is asked, and the element that was lost is left out.
    let attempt = bench.then_connects(5);
    let failure = ConnectFailure::Ended(lost());
    bench.core.handle_connect_failed(bench.now, attempt, failure.clone());
    let attempt = bench.then_connects(4);
    bench.core.handle_connected(bench.now, attempt);
    let ready = Output::Ready { element: PeId(4) };
    assert_eq!(bench.outputs(), [echo(b"state"), ready, done(4, true, 1)]);
    // The card is kept as the cookie is, without those that failed.
    assert_eq!(bench.named(), [4, 6]);
    bench.core.handle_ended(bench.now, lost());
    let attempt = bench.then_connects(6);
    bench.core.handle_connect_failed(bench.now, attempt, failure);
    // When all have failed, the registrar is asked.
    let (_, attempt) = bench.then_resolves(3);
    bench.resolved(attempt, &[4, 6, 7]);
    bench.connects(7);
}

/// An element that ends its sessions can say where to go.
#[test]
fn an_element_that_closes_hands_its_user_over() {
    let mut bench = Bench::connected(SessionOptions::default());
    bench.core.handle_message(card(&[8]));
    bench.core.handle_ended(bench.now, EndReason::Graceful);
    let attempt = bench.then_connects(8);
    bench.core.handle_connected(bench.now, attempt);
    bench.outputs();
    // One that closes at once is not connected with without end.
    bench.core.handle_ended(bench.now, EndReason::Graceful);
    assert_eq!(bench.outputs().len(), 2);
    bench.pass(ms(250));
    bench.then_connects(8);
}

/// All elements of the card are gone, and the pool is empty: the pool is asked for again and again,
/// and the card costs nothing more.
#[test]
fn elements_that_failed_are_struck_off() {
    let mut bench = Bench::connected(SessionOptions::default());
    bench.core.handle_message(card(&[5, 6]));
    bench.core.handle_ended(bench.now, lost());
    for id in [5, 6] {
        let attempt = bench.then_connects(id);
        bench.core.handle_connect_failed(bench.now, attempt, ConnectFailure::TimedOut);
    }
    let (_, mut attempt) = bench.then_resolves(4);
    for _ in 0..3 {
        let nobody = Err(RequestError::NoElement(pool()));
        bench.core.handle_resolved(bench.now, attempt, nobody);
        bench.outputs();
        bench.pass(ms(250));
        attempt = bench.resolves(1);
    }
}

#[test]
fn cards_name_few_elements_that_can_be_reached_from_here() {
    let mut bench = Bench::connected(SessionOptions::default());
    bench.core.handle_message(card(&(1..100).collect::<Vec<_>>()));
    assert_eq!(bench.named().len(), 16);
    let at = |id, addrs: &[&str], port| {
        let addrs = addrs.iter().map(|addr| addr.parse().unwrap()).collect();
        let transport = Transport::Sctp(SctpTransport::data_only(port, addrs));
        PoolElement { user_transport: transport, ..element(id) }
    };
    let udp = Transport::Udp { port: 7, addr: [10, 0, 0, 1].into() };
    let elements = vec![
        at(1, &["127.0.0.1"], 7),
        at(2, &["::1", "10.0.0.2"], 7),
        at(3, &["10.0.0.3"], 0),
        PoolElement { user_transport: udp, ..element(4) },
        at(0, &["10.0.0.5"], 7),
    ];
    bench.core.handle_message(card_of("pool", elements.clone()));
    assert_eq!(bench.named(), [2]);
    let addrs = bench.core.business_card()[0].user_transport.addrs();
    assert_eq!(addrs, ["10.0.0.2".parse::<IpAddr>().unwrap()]);
    // An element of this host speaks for this host.
    bench.core.addrs = vec![[127, 0, 0, 1].into()];
    bench.core.handle_message(card_of("pool", elements));
    assert_eq!(bench.named(), [1, 2]);
}

#[test]
fn cards_of_other_pools_and_unwanted_cards_are_ignored() {
    let mut bench = Bench::connected(SessionOptions::default());
    bench.core.handle_message(card_of("other", vec![element(5)]));
    assert_eq!(bench.named(), []);
    let options = SessionOptions { business_cards: false, ..SessionOptions::default() };
    let mut bench = Bench::connected(options);
    bench.core.handle_message(card(&[5]));
    assert_eq!(bench.named(), []);
    bench.core.handle_ended(bench.now, lost());
    bench.then_resolves(2);
}
