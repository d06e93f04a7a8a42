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
fn unknown_pools() {
    let (mut lab, _, user) = lab_with_pool(1);
    assert_eq!(lab.resolve_items(user, "nothing", Some(1)), Err(CauseCode::UNKNOWN_POOL));
}

#[test]
fn a_pool_with_weights_of_0_only_is_as_good_as_none() {
    let mut lab = Lab::new();
    let pe = lab.up(&["10.0.0.1"]);
    let weightless =
        |id| PoolElement { policy: Policy::WeightedRandom { weight: 0 }, ..element(id) };
    lab.register(pe, "pool", weightless(1)).unwrap();
    lab.register(pe, "pool", weightless(2)).unwrap();
    assert_eq!(lab.resolve_items(pe, "pool", Some(1)), Err(CauseCode::UNKNOWN_POOL));
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
