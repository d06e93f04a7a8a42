//! Keep-alives and unreachable reports.

use super::*;

fn keep_alive(id: u32) -> AsapMessage {
    AsapMessage::EndpointKeepAlive(EndpointKeepAlive {
        home: false,
        server: SERVER,
        pool: handle("pool"),
        id: Some(PeId(id)),
    })
}

fn lab_with_element() -> (Lab, ChannelId) {
    let mut lab = Lab::new();
    let pe = lab.up(&["10.0.0.1"]);
    lab.register(pe, "pool", element(1)).unwrap();
    (lab, pe)
}

#[test]
fn elements_are_probed_and_live_on_when_they_answer() {
    let (mut lab, pe) = lab_with_element();
    for _ in 0..10 {
        lab.pass(ms(4999));
        assert!(lab.sent().is_empty());
        lab.pass(ms(1));
        assert_eq!(lab.sent(), [(pe, keep_alive(1))]);
        lab.pass(ms(2000));
        lab.ack(pe, "pool", 1);
    }
    assert_eq!(lab.members("pool"), [1]);
    let stats = lab.core.stats();
    assert_eq!((stats.endpoint_keep_alives, stats.endpoint_keep_alive_acks), (10, 10));
}

#[test]
fn an_element_that_does_not_answer_is_removed_and_its_association_aborted() {
    let (mut lab, pe) = lab_with_element();
    lab.register(pe, "other", element(2)).unwrap();
    lab.pass(ms(9999));
    assert_eq!((lab.members("pool"), lab.members("other")), (vec![1], vec![2]));
    lab.sent();
    lab.pass(ms(1));
    assert_eq!(lab.aborted(), [pe]);
    let removed =
        |pool, id, reason| RegistrarEvent::Removed { pool: handle(pool), id: PeId(id), reason };
    let events = lab.events();
    assert!(events.contains(&removed("pool", 1, RemovalReason::KeepAliveTimeout)), "{events:?}");
    assert!(events.contains(&removed("other", 2, RemovalReason::AssociationLost)), "{events:?}");
    assert_eq!(
        (lab.core.stats().pools, lab.core.stats().associations, lab.core.stats().aborts),
        (0, 0, 1)
    );
    // The driver reports the end of what was aborted; late messages may come, too.
    lab.down(pe);
    lab.ack(pe, "pool", 1);
    assert!(lab.outputs.is_empty() && lab.core.poll_timeout().is_none());
}

#[test]
fn a_re_registration_is_a_sign_of_life() {
    let (mut lab, pe) = lab_with_element();
    for _ in 0..4 {
        // Just before the answer to the keep-alive would be overdue.
        lab.pass(ms(9999));
        assert_eq!(lab.sent(), [(pe, keep_alive(1))]);
        lab.register(pe, "pool", element(1)).unwrap();
    }
    assert_eq!(lab.members("pool"), [1]);
}

#[test]
fn intervals_are_configurable() {
    let mut lab = Lab::with(|c| {
        c.keep_alive_interval = ms(300);
        c.keep_alive_timeout = ms(200);
    });
    let pe = lab.up(&["10.0.0.1"]);
    lab.register(pe, "pool", element(1)).unwrap();
    lab.pass(ms(300));
    assert_eq!(lab.sent().len(), 1);
    lab.pass(ms(199));
    assert_eq!(lab.members("pool"), [1]);
    lab.pass(ms(1));
    assert!(lab.members("pool").is_empty());
}

#[test]
fn keep_alives_can_be_without_the_element() {
    let mut lab = Lab::with(|c| c.keep_alive_names_element = false);
    let pe = lab.up(&["10.0.0.1"]);
    lab.register(pe, "pool", element(1)).unwrap();
    lab.pass(ms(5000));
    match lab.reply(pe) {
        AsapMessage::EndpointKeepAlive(m) => assert_eq!((m.id, m.pool), (None, handle("pool"))),
        other => panic!("{other:?}"),
    }
}

#[test]
fn acks_for_nobody_are_ignored() {
    let (mut lab, pe) = lab_with_element();
    lab.ack(pe, "pool", 99);
    lab.ack(pe, "nothing", 1);
    assert!(lab.outputs.is_empty());
}

#[test]
fn a_report_has_the_element_probed_at_once() {
    let (mut lab, pe) = lab_with_element();
    let user = lab.up(&["10.0.0.9"]);
    lab.pass(ms(1000));
    lab.report_unreachable(user, "pool", 1);
    assert_eq!(lab.sent(), [(pe, keep_alive(1))]);
    // A second report does not probe again while the first probe is out.
    lab.pass(ms(1000));
    lab.report_unreachable(user, "pool", 1);
    assert!(lab.sent().is_empty());
    lab.pass(ms(3999));
    assert_eq!(lab.members("pool"), [1]);
    lab.pass(ms(1));
    assert!(lab.members("pool").is_empty());
    assert_eq!(lab.aborted(), [pe]);
}

/// Its host may say that nobody is there, or may have said so already.
#[test]
fn a_report_has_the_association_suspected_each_time() {
    let (mut lab, pe) = lab_with_element();
    let user = lab.up(&["10.0.0.9"]);
    let suspect = Output::Suspect { channel: pe, patience: ms(20) };
    for asked in [true, false] {
        lab.outputs.clear();
        lab.report_unreachable(user, "pool", 1);
        let outputs = std::mem::take(&mut lab.outputs);
        let sends = outputs.iter().filter(|o| matches!(o, Output::Send { .. })).count();
        assert_eq!(sends, usize::from(asked), "{outputs:?}");
        assert_eq!(outputs.last(), Some(&suspect), "after the keep-alive: {outputs:?}");
        lab.pass(ms(100));
    }
    // Nobody but the registrar's own clock asks for the next ones.
    lab.ack(pe, "pool", 1);
    lab.outputs.clear();
    lab.pass(ms(5000));
    assert!(lab.outputs.iter().all(|o| !matches!(o, Output::Suspect { .. })), "{:?}", lab.outputs);
    assert_eq!(lab.sent(), [(pe, keep_alive(1))]);
}

#[test]
fn an_association_with_elements_is_watched_from_the_first_of_them_on() {
    let watched = |lab: &mut Lab| {
        let outputs = std::mem::take(&mut lab.outputs);
        let watched = outputs.into_iter().filter_map(|output| match output {
            Output::Watch { channel, interval } => Some((channel, interval)),
            _ => None,
        });
        watched.collect::<Vec<_>>()
    };
    let mut lab = Lab::with(|c| c.keep_alive_interval = ms(3000));
    let (pe, user) = (lab.up(&["10.0.0.1"]), lab.up(&["10.0.0.9"]));
    assert_eq!(watched(&mut lab), []);
    let register = |lab: &mut Lab, pool, id| {
        let message = Registration { pool: handle(pool), element: element(id) };
        lab.message(pe, AsapMessage::Registration(message));
    };
    register(&mut lab, "pool", 1);
    assert_eq!(watched(&mut lab), [(pe, ms(1500))]);
    register(&mut lab, "pool", 1);
    register(&mut lab, "other", 2);
    lab.report_unreachable(user, "pool", 1);
    assert_eq!(watched(&mut lab), []);
}

#[test]
fn three_reports_in_a_row_remove_an_element_where_everybody_is_believed() {
    let mut lab = Lab::with(|c| c.loose_ownership = true);
    let pe = lab.up(&["10.0.0.1"]);
    lab.register(pe, "pool", element(1)).unwrap();
    let user = lab.up(&["10.0.0.9"]);
    for _ in 0..2 {
        lab.report_unreachable(user, "pool", 1);
    }
    assert_eq!(lab.sent(), [(pe, keep_alive(1))]);
    assert_eq!(lab.members("pool"), [1]);
    lab.report_unreachable(user, "pool", 1);
    let gone = RegistrarEvent::Removed {
        pool: handle("pool"),
        id: PeId(1),
        reason: RemovalReason::BadReports,
    };
    assert!(lab.events().contains(&gone));
    assert!(lab.members("pool").is_empty());
    // The element itself may be fine: it keeps its association and can register again, with a clean
    // record.
    assert!(lab.aborted().is_empty());
    lab.register(pe, "pool", element(1)).unwrap();
    lab.report_unreachable(user, "pool", 1);
    assert_eq!(lab.members("pool"), [1]);
    assert_eq!(lab.core.stats().failure_reports, 4);
}

#[test]
fn one_report_can_be_enough() {
    let mut lab = Lab::with(|c| {
        c.max_bad_pe_reports = 1;
        c.loose_ownership = true;
    });
    let pe = lab.up(&["10.0.0.1"]);
    lab.register(pe, "pool", element(1)).unwrap();
    lab.report_unreachable(pe, "pool", 1);
    assert!(lab.members("pool").is_empty());
}

#[test]
fn reports_about_nobody_are_ignored() {
    let (mut lab, pe) = lab_with_element();
    lab.report_unreachable(pe, "pool", 2);
    lab.report_unreachable(pe, "nothing", 1);
    assert!(lab.outputs.is_empty());
    assert_eq!(lab.core.stats().failure_reports, 2);
}

#[test]
fn too_frequent_reports_are_ignored() {
    let mut lab = Lab::with(|c| {
        c.max_report_rate = Some(1.0);
        c.max_bad_pe_reports = 100;
    });
    let pe = lab.up(&["10.0.0.1"]);
    lab.register(pe, "pool", element(1)).unwrap();
    let user = lab.up(&["10.0.0.9"]);
    for _ in 0..1000 {
        lab.report_unreachable(user, "pool", 1);
    }
    assert_eq!(lab.members("pool"), [1]);
    assert_eq!(lab.core.stats().limited_reports, 984);
}
