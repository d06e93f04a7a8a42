//! Handle resolution: numbers of items, addresses shown, limits.

use super::*;

fn lab_with_pool(n: u32) -> (Lab, ChannelId, ChannelId) {
    let mut lab = Lab::new();
    let pe = lab.up(&["10.0.0.1"]);
    for id in 1..=n {
        lab.register(pe, "pool", element(id)).unwrap();
    }
    let user = lab.up(&["10.0.0.9"]);
    (lab, pe, user)
}

#[test]
fn the_registrar_chooses_the_number_unless_the_user_does() {
    let (mut lab, _, user) = lab_with_pool(6);
    assert_eq!(lab.resolve(user, "pool", None), [1, 2, 3]);
    assert_eq!(lab.resolve(user, "pool", Some(0)), [2, 3, 4]);
    assert_eq!(lab.resolve(user, "pool", Some(1)), [3]);
    assert_eq!(lab.resolve(user, "pool", Some(10)), [4, 5, 6, 1, 2, 3]);
    assert_eq!(lab.resolve(user, "pool", Some(u32::MAX)), [5, 6, 1, 2, 3, 4]);
    assert_eq!(lab.core.stats().handle_resolutions, 5);
}

#[test]
fn never_more_than_128() {
    let (mut lab, _, user) = lab_with_pool(200);
    assert_eq!(lab.resolve(user, "pool", Some(u32::MAX)).len(), 128);
}

#[test]
fn the_maximum_increment_is_configurable() {
    let mut lab = Lab::with(|c| c.max_increment = 2);
    let pe = lab.up(&["10.0.0.1"]);
    for id in 1..=5 {
        lab.register(pe, "pool", element(id)).unwrap();
    }
    assert_eq!(lab.resolve(pe, "pool", Some(3)), [1, 2, 3]);
    assert_eq!(lab.resolve(pe, "pool", Some(3)), [3, 4, 5]);
}

#[test]
fn elements_are_shown_without_their_asap_transport() {
    let (mut lab, _, user) = lab_with_pool(1);
    let found = lab.resolve_items(user, "pool", None).unwrap();
    assert_eq!(found, [PoolElement { home: SERVER, ..element(1) }]);
}

#[test]
fn loopback_addresses_are_for_users_on_this_host() {
    let mut lab = Lab::new();
    let near = lab.up(&["127.0.0.1"]);
    let far = lab.up(&["10.0.0.9"]);
    let both = lab.up(&["127.0.0.1", "10.0.0.1"]);
    lab.register(near, "pool", element_at(1, &["127.0.0.1"])).unwrap();
    lab.register(both, "pool", element_at(2, &["127.0.0.1", "10.0.0.1"])).unwrap();
    lab.register(near, "near", element_at(3, &["127.0.0.1"])).unwrap();

    let shown = lab.resolve_items(near, "pool", None).unwrap();
    let all: Vec<IpAddr> = vec!["127.0.0.1".parse().unwrap(), "10.0.0.1".parse().unwrap()];
    assert_eq!(shown.len(), 2);
    assert!(shown.iter().any(|element| element.user_transport.addrs() == all));
    for _ in 0..4 {
        let shown = lab.resolve_items(far, "pool", Some(1)).unwrap();
        assert_eq!((shown[0].id, shown[0].user_transport.addrs()), (PeId(2), &all[1..]));
    }
    assert_eq!(lab.resolve_items(far, "near", None), Err(CauseCode::UNKNOWN_POOL));
}

#[test]
fn an_answer_always_fits_into_a_message() {
    let mut lab = Lab::new();
    let many: Vec<String> = (0..64).map(|i| format!("2001:db8::{i:x}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let pe = lab.up(&many);
    for id in 1..=128 {
        lab.register(pe, "pool", element_at(id, &many)).unwrap();
    }
    let found = lab.resolve_items(pe, "pool", Some(128)).unwrap();
    // 64 addresses make about 1.3 kB per element.
    assert!((32..=49).contains(&found.len()), "{}", found.len());
}

#[test]
fn too_frequent_resolutions_are_refused() {
    let mut lab = Lab::with(|c| c.max_resolution_rate = Some(2.0));
    let pe = lab.up(&["10.0.0.1"]);
    lab.register(pe, "pool", element(1)).unwrap();
    let user = lab.up(&["10.0.0.9"]);
    let mut refused = 0;
    for _ in 0..100 {
        match lab.resolve_items(user, "pool", None) {
            Ok(_) => {}
            Err(cause) => {
                assert_eq!(cause, CauseCode::SECURITY);
                refused += 1;
            }
        }
    }
    assert_eq!(refused, 84);
    assert_eq!(lab.core.stats().limited_resolutions, 84);
    // Others are not concerned, and a second later two more are free.
    assert_eq!(lab.resolve(pe, "pool", None), [1]);
    lab.pass(ms(1000));
    lab.sent();
    assert_eq!(lab.resolve(user, "pool", None), [1]);
    assert_eq!(lab.resolve(user, "pool", None), [1]);
    assert_eq!(lab.resolve_items(user, "pool", None), Err(CauseCode::SECURITY));
}

/// Subscribes; says whether that was accepted.
fn subscribe(lab: &mut Lab, user: ChannelId, pool: &str) -> bool {
    let request = HandleResolution { subscribe: true, pool: handle(pool), items: None };
    lab.message(user, AsapMessage::HandleResolution(request));
    match lab.reply(user) {
        AsapMessage::HandleResolutionResponse(response) => response.accept_updates,
        other => panic!("{other:?}"),
    }
}

/// What a subscriber was told of the pool "pool" since.
fn told(lab: &mut Lab, user: ChannelId) -> Vec<Result<Vec<u32>, CauseCode>> {
    let of = |(to, message)| match message {
        AsapMessage::HandleResolutionResponse(m) if to == user => {
            assert!(m.accept_updates);
            Some(match m.resolution {
                Resolution::Elements { elements, .. } => {
                    Ok(elements.iter().map(|element| element.id.0).collect())
                }
                Resolution::Error(error) => Err(error.code()),
            })
        }
        _ => None,
    };
    lab.sent().into_iter().filter_map(of).collect()
}

#[test]
fn subscribers_hear_of_changes() {
    let mut lab = Lab::new();
    let (pe, user) = (lab.up(&["10.0.0.1"]), lab.up(&["10.0.0.9"]));
    // Before there is such a pool.
    assert!(subscribe(&mut lab, user, "pool"));
    lab.register(pe, "pool", element(1)).unwrap();
    lab.register(pe, "pool", element(2)).unwrap();
    lab.register(pe, "other", element(3)).unwrap();
    assert_eq!(told(&mut lab, user), []);
    // Both changes at once, a little later.
    lab.pass(ms(100));
    assert_eq!(told(&mut lab, user), [Ok(vec![1, 2])]);
    lab.deregister(pe, "pool", 1);
    lab.pass(ms(100));
    assert_eq!(told(&mut lab, user), [Ok(vec![2])]);
    lab.down(pe);
    lab.pass(ms(100));
    assert_eq!(told(&mut lab, user), [Err(CauseCode::UNKNOWN_POOL)]);
    assert_eq!(lab.core.stats().subscription_updates, 3);
    // An association that is gone is told nothing.
    lab.down(user);
    let pe = lab.up(&["10.0.0.1"]);
    lab.register(pe, "pool", element(1)).unwrap();
    lab.pass(ms(100));
    assert!(lab.sent().is_empty());
}

/// A change of a pool with many subscribers does not keep others waiting.
#[test]
fn subscribers_hear_of_changes_in_slices() {
    let mut lab = Lab::new();
    let (pe, others) = (lab.up(&["10.0.0.1"]), lab.up(&["10.0.0.2"]));
    let users: Vec<ChannelId> = (0..200).map(|_| lab.up(&["10.0.0.9"])).collect();
    for user in &users {
        assert!(subscribe(&mut lab, *user, "pool"));
        assert!(subscribe(&mut lab, *user, "other"));
    }
    lab.register(pe, "pool", element(1)).unwrap();
    lab.register(pe, "other", element(2)).unwrap();
    lab.now += ms(100);
    let mut heard = BTreeMap::<ChannelId, usize>::new();
    let mut slices = 0;
    while lab.core.poll_timeout().is_some_and(|at| at <= lab.now) {
        lab.handle(Input::Timeout);
        let sent = lab.sent();
        assert!(sent.len() <= 32, "{} in a row", sent.len());
        sent.iter().for_each(|(user, _)| *heard.entry(*user).or_default() += 1);
        slices += 1;
        // In between everybody is served, and subscribers may go.
        assert_eq!(lab.resolve(others, "pool", None), [1]);
        if slices == 3 {
            lab.down(users[199]);
        }
    }
    // The one that has gone hears nothing, and all others hear of both pools once.
    assert_eq!((slices, heard.len()), (13, 199));
    assert!(heard.values().all(|times| *times == 2));
}

#[test]
fn subscriptions_are_bounded() {
    let mut lab = Lab::new();
    let user = lab.up(&["10.0.0.9"]);
    for n in 0..subscription::MAX_PER_ASSOCIATION {
        assert!(subscribe(&mut lab, user, &format!("pool {n}")));
    }
    assert!(!subscribe(&mut lab, user, "one more"));
    assert!(subscribe(&mut lab, user, "pool 0"), "it has that one already");
}

#[test]
fn distances_follow_the_round_trip_time() {
    let mut lab = Lab::new();
    let pe = lab.up(&["10.0.0.1"]);
    let policy = Policy::LeastUsedDpf { load: 0, load_dpf: 1, distance: 77 };
    lab.register(pe, "pool", PoolElement { policy, ..element(1) }).unwrap();
    let distance = |lab: &Lab| {
        let space = lab.core.handlespace();
        let key = space.find(&handle("pool"), PeId(1)).unwrap();
        space.get(key).unwrap().info().policy.distance()
    };
    // The registrar measures it; what the element says does not count.
    assert_eq!(distance(&lab), Some(0));
    lab.handle(Input::Measured { channel: pe, rtt: ms(180) });
    assert_eq!(distance(&lab), Some(100));
    let policy = Policy::LeastUsedDpf { load: 0, load_dpf: 1, distance: 0 };
    lab.register(pe, "pool", PoolElement { policy, ..element(1) }).unwrap();
    assert_eq!(distance(&lab), Some(100));
    lab.handle(Input::Measured { channel: pe, rtt: ms(20) });
    assert_eq!(distance(&lab), Some(0));
}
