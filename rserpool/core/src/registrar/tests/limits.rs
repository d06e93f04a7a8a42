//! Shares: nobody locks the others out.

use super::*;

/// Registers one element again and again, until that is refused.
fn registrations_until_refused(lab: &mut Lab, channel: ChannelId, most: usize) -> usize {
    let outcomes = (0..most).map(|_| lab.register(channel, "pool", element(channel_id(channel))));
    let outcomes: Vec<_> = outcomes.take_while(Result::is_ok).collect();
    outcomes.len()
}

/// An identifier of an element that is different for each association.
fn channel_id(channel: ChannelId) -> u32 {
    channel.as_u64() as u32 + 1000
}

/// Everybody is at the address that elements of the tests have.
fn rates(registrations: f64) -> Rates {
    Rates { registrations: Some(registrations), ..Rates::UNLIMITED }
}

#[test]
fn an_address_has_so_many_registrations_a_second() {
    let mut lab = Lab::with(|c| c.address_rates = rates(10.0));
    let (one, other) = (lab.up(&["10.0.0.1"]), lab.up(&["10.0.0.1"]));
    // A burst of 5 s, whatever the associations are.
    assert_eq!(registrations_until_refused(&mut lab, one, 30), 30);
    assert_eq!(registrations_until_refused(&mut lab, other, 100), 20);
    let refused = lab.register(one, "pool", element(channel_id(one)));
    assert_eq!(refused, Err(CauseCode::SECURITY));
    let request = Deregistration { pool: handle("pool"), id: PeId(channel_id(one)) };
    lab.message(one, AsapMessage::Deregistration(request));
    match lab.reply(one) {
        AsapMessage::DeregistrationResponse(m) => assert!(m.rejected && m.error.is_some()),
        other => panic!("{other:?}"),
    }
    assert_eq!(lab.members("pool").len(), 2, "what it has it keeps");
    assert_eq!(lab.core.stats().limited_registrations, 3);
    // Other addresses are not concerned.
    let far = lab.up(&["10.0.0.2"]);
    lab.register(far, "pool", element_at(7, &["10.0.0.2"])).unwrap();
    // Whoever keeps to the rate is never refused.
    for _ in 0..100 {
        lab.now += ms(100);
        assert_eq!(registrations_until_refused(&mut lab, one, 1), 1);
    }
}

#[test]
fn an_address_has_so_many_resolutions_and_reports_a_second() {
    let mut lab = Lab::with(|c| {
        let (resolutions, reports) = (Some(20.0), Some(4.0));
        c.address_rates = Rates { resolutions, reports, ..Rates::UNLIMITED };
    });
    let pe = lab.up(&["10.0.0.1"]);
    lab.register(pe, "pool", element(1)).unwrap();
    let users: Vec<ChannelId> = (0..10).map(|_| lab.up(&["10.0.0.9"])).collect();
    let mut answers = Vec::new();
    for n in 0..150 {
        answers.push(lab.resolve_items(users[n % 10], "pool", None));
        lab.report_unreachable(users[n % 10], "pool", 1);
        lab.sent();
    }
    let refused = answers.iter().filter(|a| **a == Err(CauseCode::SECURITY)).count();
    assert_eq!(refused, 50);
    let stats = lab.core.stats();
    assert_eq!((stats.limited_resolutions, stats.limited_reports), (50, 130));
    // Resolutions of others are answered.
    assert_eq!(lab.resolve(pe, "pool", None), [1]);
}

#[test]
fn whoever_asks_for_many_long_answers_gets_short_ones() {
    let mut lab = Lab::with(|c| {
        c.address_rates = Rates { elements: Some(40.0), ..Rates::UNLIMITED };
    });
    let pe = lab.up(&["10.0.0.1"]);
    for id in 1..=50 {
        lab.register(pe, "pool", element(id)).unwrap();
    }
    let (user, other) = (lab.up(&["10.0.0.9"]), lab.up(&["10.0.0.8"]));
    let lengths = |lab: &mut Lab, user| -> Vec<usize> {
        (0..8).map(|_| lab.resolve(user, "pool", Some(128)).len()).collect()
    };
    // 200 at once beyond the 3 of each answer.
    assert_eq!(lengths(&mut lab, user), [50, 50, 50, 50, 15, 3, 3, 3]);
    // Those who ask for little notice nothing, and others have their own share.
    assert_eq!(lab.resolve(user, "pool", None).len(), 3);
    assert_eq!(lab.resolve(user, "pool", Some(1)).len(), 1);
    assert_eq!(lab.resolve(other, "pool", Some(40)).len(), 40);
    lab.now += ms(1000);
    assert_eq!(lab.resolve(user, "pool", Some(128)).len(), 43);
}

#[test]
fn in_total_those_that_ask_for_little_have_a_part_of_their_own() {
    let mut lab = Lab::with(|c| {
        c.address_rates = rates(100.0);
        c.total_rates = rates(150.0);
    });
    // Two greedy addresses: 750 come at once, half of it for whoever has had enough.
    let greedy: Vec<ChannelId> = (1..=2)
        .map(|n| {
            let addr = format!("10.0.0.{n}");
            let channel = lab.up(&[&addr]);
            let id = channel_id(channel);
            lab.register(channel, "pool", element_at(id, &[&addr])).unwrap();
            let request =
                || Registration { pool: handle("pool"), element: element_at(id, &[&addr]) };
            for _ in 0..1000 {
                lab.message(channel, AsapMessage::Registration(request()));
            }
            lab.outputs.clear();
            channel
        })
        .collect();
    let served = lab.core.stats().registrations + lab.core.stats().reregistrations;
    // The first one took 375 of 500, and the second one the first half of its own.
    assert_eq!(served, 375 + 251);
    let refused = |lab: &mut Lab, n: u8, channel| {
        lab.register(channel, "pool", element_at(channel_id(channel), &[&format!("10.0.0.{n}")]))
    };
    assert_eq!(refused(&mut lab, 1, greedy[0]), Err(CauseCode::SECURITY));
    assert_eq!(refused(&mut lab, 2, greedy[1]), Err(CauseCode::SECURITY));
    for n in 3..100 {
        let channel = lab.up(&[&format!("10.0.0.{n}")]);
        assert_eq!(refused(&mut lab, n, channel), Ok(()), "{n}");
    }
}

#[test]
fn a_new_association_does_not_begin_anew() {
    let mut lab = Lab::with(|c| {
        c.address_rates = rates(10.0);
        c.max_associations = 3;
    });
    for _ in 0..10 {
        let pe = lab.up(&["10.0.0.1"]);
        registrations_until_refused(&mut lab, pe, 7);
        lab.down(pe);
    }
    assert_eq!(lab.core.stats().limited_registrations, 3, "7 times 7, and then one");
    assert_eq!(lab.core.addresses.len(), 1);
    // Where nobody is any more, nothing is remembered after a while, and little before.
    for n in 2..100 {
        let addr = format!("10.0.0.{n}");
        let pe = lab.up(&[&addr]);
        lab.register(pe, "pool", element_at(5, &[&addr])).unwrap();
        lab.down(pe);
        assert!(lab.core.addresses.len() <= 4);
    }
    lab.now += ms(5001);
    lab.up(&["10.0.1.1"]);
    assert_eq!(lab.core.addresses.len(), 1);
}

#[test]
fn addresses_that_ask_for_nothing_are_forgotten_at_once() {
    let mut lab = Lab::new();
    for n in 0..200 {
        let user = lab.up(&[&format!("10.0.0.{n}")]);
        lab.down(user);
    }
    assert_eq!(lab.core.addresses.len(), 0);
}

/// All elements that one association may have come back at once when their registrar was gone, and
/// nobody is refused for that.
#[test]
fn the_defaults_let_a_whole_host_come_back_at_once() {
    let mut lab = Lab::new();
    let most = lab.core.config.max_elements_per_association as u32;
    let pe = lab.up(&["127.0.0.1"]);
    for id in 1..=most {
        let request =
            Registration { pool: handle("pool"), element: element_at(id, &["127.0.0.1"]) };
        let data = AsapMessage::Registration(request).encode().unwrap();
        lab.core.handle(lab.now, Input::Message { channel: pe, ppid: ppid::ASAP, data: &data });
        while lab.core.poll_output().is_some() {}
    }
    assert_eq!(lab.core.handlespace().len(), most as usize);
    assert_eq!(lab.core.stats().limited_registrations, 0);
}

#[test]
fn one_association_cannot_fill_the_table() {
    let mut lab = Lab::with(|c| {
        c.max_elements = 100;
        c.max_elements_per_association = 95;
    });
    let (greedy, modest) = (lab.up(&["10.0.0.1"]), lab.up(&["10.0.0.1"]));
    let refused = (1..=200)
        .map(|id| lab.register(greedy, "pool", element(id)))
        .filter(|outcome| *outcome == Err(CauseCode::LACK_OF_RESOURCES));
    assert_eq!(refused.count(), 110, "from nine tenths on there is no more for it");
    assert_eq!(lab.register(modest, "pool", element(201)), Ok(()));
    // What it has it keeps.
    assert_eq!(lab.register(greedy, "pool", element(1)), Ok(()));
    // And room that it gives back is room.
    lab.down(greedy);
    assert_eq!(lab.register(modest, "pool", element(202)), Ok(()));
}

#[test]
fn pools_are_bounded() {
    let mut lab = Lab::with(|c| c.max_pools = 2);
    let pe = lab.up(&["10.0.0.1"]);
    lab.register(pe, "one", element(1)).unwrap();
    lab.register(pe, "two", element(2)).unwrap();
    assert_eq!(lab.register(pe, "three", element(3)), Err(CauseCode::LACK_OF_RESOURCES));
    lab.register(pe, "two", element(3)).unwrap();
}

#[test]
fn an_address_has_so_many_associations() {
    let mut lab = Lab::with(|c| c.max_associations_per_address = 3);
    let all: Vec<ChannelId> = (0..3).map(|_| lab.up(&["10.0.0.1"])).collect();
    let surplus = lab.up(&["10.0.0.1"]);
    assert_eq!(lab.aborted(), [surplus]);
    lab.up(&["10.0.0.2"]);
    lab.down(all[0]);
    lab.outputs.clear();
    lab.up(&["10.0.0.1"]);
    assert!(lab.aborted().is_empty());
    assert_eq!(lab.core.stats().refused_associations, 1);
}

#[test]
fn the_association_that_was_idle_for_longest_makes_room() {
    let mut lab = Lab::with(|c| c.max_associations = 3);
    let element_of = lab.up(&["10.0.0.1"]);
    lab.register(element_of, "pool", element(1)).unwrap();
    lab.pass(ms(10));
    let idle = lab.up(&["10.0.0.2"]);
    lab.pass(ms(10));
    let busy = lab.up(&["10.0.0.3"]);
    lab.outputs.clear();
    let new = lab.up(&["10.0.0.4"]);
    assert_eq!(lab.aborted(), [idle]);
    assert_eq!(lab.core.stats().associations, 3);
    assert!(lab.core.associations.contains_key(&busy) && lab.core.associations.contains_key(&new));
    assert_eq!(lab.members("pool"), [1]);
    // When all are needed, the new one is refused.
    for (channel, id) in [(busy, 2), (new, 3)] {
        lab.register(channel, "pool", element(id)).unwrap();
    }
    let surplus = lab.up(&["10.0.0.5"]);
    assert_eq!(lab.aborted(), [surplus]);
}

/// With the settings as they are: 100,000 associations that nobody uses take no room from honest
/// ones, nor from elements whose associations are older than all of them.
#[test]
fn a_hundred_thousand_idle_associations_lock_nobody_out() {
    let mut lab = Lab::new();
    let elements: Vec<ChannelId> = (0..200)
        .map(|n| {
            let channel = lab.up(&[&format!("10.0.{}.{}", n / 200, n % 200)]);
            let request = Registration { pool: handle("pool"), element: element(n + 1) };
            let data = AsapMessage::Registration(request).encode().unwrap();
            lab.core.handle(lab.now, Input::Message { channel, ppid: ppid::ASAP, data: &data });
            channel
        })
        .collect();
    lab.pass(ms(10));
    for n in 0..100_000 {
        let channel = ChannelId::incoming(1_000_000 + n);
        let peer = peer(&[&format!("10.1.{}.{}", n / 200 % 200, n % 200)], Some(9899));
        let (protocol, local) = (Protocol::Asap, Vec::new());
        lab.core.handle(lab.now, Input::Up { channel, protocol, peer, local, local_port: 3863 });
        while lab.core.poll_output().is_some() {}
    }
    let most = lab.core.config.max_associations;
    assert_eq!(lab.core.associations.len(), most);
    for n in 0..100 {
        lab.outputs.clear();
        let honest = lab.up(&[&format!("10.2.0.{n}")]);
        assert!(!lab.aborted().contains(&honest), "number {n}");
    }
    assert!(elements.iter().all(|channel| lab.core.associations.contains_key(channel)));
    assert_eq!(lab.members("pool").len(), 200);
}
