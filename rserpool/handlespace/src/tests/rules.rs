//! What may be registered, and how indexes, timers and checksums follow.

use super::*;
use rserpool_wire::{TcpTransport, TransportProtocol};

fn refused(space: &mut Handlespace, info: PoolElement) -> RegisterError {
    let before = space.len();
    let error = space.register(&handle("pool"), info.clone(), None, OWN).unwrap_err();
    assert_eq!(space.check_registration(&handle("pool"), &info, OWN), Err(error.clone()));
    assert_eq!(space.len(), before);
    space.verify().unwrap();
    error
}

#[test]
fn identifier_0_is_refused() {
    let mut space = Handlespace::new(Config::default());
    assert_eq!(
        refused(&mut space, element(0, Policy::RoundRobin)),
        RegisterError::InvalidIdentifier
    );
}

#[test]
fn handles_over_the_limit_are_refused() {
    let mut space = Handlespace::new(Config { max_handle_length: 3, ..Config::default() });
    assert_eq!(
        refused(&mut space, element(1, Policy::RoundRobin)),
        RegisterError::HandleTooLong { length: 4, limit: 3 }
    );
    assert!(space.register(&handle("abc"), element(1, Policy::RoundRobin), None, OWN).is_ok());
}

#[test]
fn unsupported_policies_are_refused() {
    let mut space = Handlespace::new(Config::default());
    let policy = Policy::PriorityLeastUsedDegradation { load: 1, load_degradation: 1 };
    assert!(!crate::supports(&policy));
    assert_eq!(
        refused(&mut space, element(1, policy)),
        RegisterError::UnsupportedPolicy(0xb000_1003)
    );
}

#[test]
fn members_of_a_pool_agree() {
    let mut space = Handlespace::new(Config::default());
    register(&mut space, 1, Policy::RoundRobin);
    assert_eq!(
        refused(&mut space, element(2, Policy::Random)),
        RegisterError::PolicyMismatch { pool: 1, element: 3 }
    );
    // Not even the only member may change what the pool is, once it has registered.
    space.register(&handle("pool"), element(1, Policy::RoundRobin), Some(9), OWN).unwrap();
    assert!(matches!(
        refused(&mut space, element(1, Policy::Random)),
        RegisterError::PolicyMismatch { .. }
    ));

    let mut tcp = element(2, Policy::RoundRobin);
    tcp.user_transport = Transport::Tcp(TcpTransport {
        port: 80,
        transport_use: TransportUse::DataOnly,
        addr: "10.0.0.1".parse().unwrap(),
    });
    assert_eq!(
        refused(&mut space, tcp),
        RegisterError::TransportProtocolMismatch {
            pool: TransportProtocol::Sctp,
            element: TransportProtocol::Tcp
        }
    );

    let control =
        with_sctp(element(2, Policy::RoundRobin), |t| t.transport_use = TransportUse::DataControl);
    let error = refused(&mut space, control);
    assert_eq!(error, RegisterError::TransportUseMismatch { pool_has_control_channel: false });
    assert_eq!(
        error.to_string(),
        "the members of the pool do not have a control channel, but the element has one"
    );

    // Each element may have any ports and addresses.
    let other = with_sctp(element(2, Policy::RoundRobin), |t| t.port = 99);
    assert!(space.register(&handle("pool"), other, None, OWN).unwrap().new);
    // Another pool is free to differ.
    assert!(space.register(&handle("other"), element(1, Policy::Random), None, OWN).is_ok());
}

#[test]
fn a_pool_ends_with_its_last_member() {
    let mut space = Handlespace::new(Config::default());
    let key = register(&mut space, 1, Policy::RoundRobin).key;
    assert_eq!(
        space.pool(&handle("pool")).map(|pool| (pool.len(), pool.policy())),
        Some((1, Some(1)))
    );
    assert!(space.remove(key).is_some());
    assert!(space.pool(&handle("pool")).is_none() && space.is_empty());
    assert!(select(&mut space, 3).is_empty());
    // The name is free for a pool of another kind.
    register(&mut space, 1, Policy::Random);
}

#[test]
fn the_number_of_elements_is_bounded() {
    let mut space = Handlespace::new(Config { max_elements: 2, ..Config::default() });
    register(&mut space, 1, Policy::RoundRobin);
    register(&mut space, 2, Policy::RoundRobin);
    assert_eq!(refused(&mut space, element(3, Policy::RoundRobin)), RegisterError::Full(2));
    // Those inside may still renew.
    assert!(!register(&mut space, 2, Policy::RoundRobin).new);
}

#[test]
fn re_registration_replaces_everything_but_the_place() {
    let mut space = Handlespace::new(Config::default());
    let first = register(&mut space, 1, Policy::RoundRobin);
    space.set_timer(first.key, Timer::KeepAliveTimeout, Some(Time::from_millis(5)));
    let mut info = with_sctp(element(1, Policy::RoundRobin), |t| t.port = 4711);
    info.home = ServerId(2);
    info.life = Life(1);
    let again = space.register(&handle("pool"), info.clone(), Some(9), OWN).unwrap();
    space.verify().unwrap();
    assert_eq!((again.new, again.key), (false, first.key));
    let element = space.get(again.key).unwrap();
    assert_eq!((element.info(), element.owner()), (&info, Some(9)));
    assert_eq!(element.deadline(Timer::KeepAliveTimeout), Some(Time::from_millis(5)));
    assert_eq!((space.count_of_home(ServerId(1)), space.count_of_home(ServerId(2))), (0, 1));
}

#[test]
fn another_home_is_taken_over_only_by_permission() {
    let mut space = Handlespace::new(Config::default());
    let key = register(&mut space, 1, Policy::RoundRobin).key;
    let info = PoolElement { home: ServerId(2), life: Life(1), ..element(1, Policy::RoundRobin) };
    let refuse = RegisterRules::default();
    let error = space.register(&handle("pool"), info.clone(), Some(9), refuse).unwrap_err();
    assert_eq!(error, RegisterError::OtherHome { home: ServerId(1) });
    assert_eq!(error.to_string(), "the element belongs to registrar $00000001");
    assert_eq!(space.check_registration(&handle("pool"), &info, refuse), Err(error));
    let kept = space.get(key).unwrap();
    assert_eq!((kept.info(), kept.owner()), (&element(1, Policy::RoundRobin), None));

    // Its own home may renew it, a takeover may move it, and then the other one may renew it.
    let same = element(1, Policy::RoundRobin);
    assert!(!space.register(&handle("pool"), same, None, refuse).unwrap().new);
    space.set_home(key, ServerId(2));
    assert!(space.register(&handle("pool"), info.clone(), Some(9), refuse).is_ok());
    let back = element(1, Policy::RoundRobin);
    assert_eq!(space.check_registration(&handle("pool"), &back, OWN), Ok(()));
    assert_eq!(space.register(&handle("pool"), back.clone(), None, OWN).unwrap().key, key);
    assert_eq!(space.get(key).map(|element| element.info()), Some(&back));
    space.verify().unwrap();
}

/// What others tell of an element cannot keep it from registering.
#[test]
fn an_element_contradicts_hearsay() {
    let mut space = Handlespace::new(Config::default());
    let pool = handle("pool");
    let [one, liar] = [Policy::RoundRobin, Policy::Random].map(|policy| element(1, policy));
    space.register(&pool, liar.clone(), None, COPY).unwrap();
    // For another one the pool has its policy.
    let refused = space.register(&pool, element(2, Policy::RoundRobin), Some(9), OWN);
    assert!(matches!(refused, Err(RegisterError::PolicyMismatch { .. })), "{refused:?}");
    let key = space.register(&pool, one.clone(), Some(9), OWN).unwrap().key;
    assert!(space.get(key).unwrap().is_registered());
    assert_eq!(space.pool(&pool).unwrap().policy(), Some(one.policy.number()));
    // Now it is bound by what it said itself, until another association leads to it.
    assert!(space.check_registration(&pool, &liar, OWN).is_err());
    space.set_owner(key, Some(10));
    assert!(!space.get(key).unwrap().is_registered());
    assert!(space.check_registration(&pool, &liar, OWN).is_ok());
    // A second member of that kind confirms it.
    space.register(&pool, element(2, Policy::RoundRobin), None, COPY).unwrap();
    assert!(space.check_registration(&pool, &liar, OWN).is_err());
    space.verify().unwrap();
}

#[test]
fn checksums_per_home() {
    let mut space = Handlespace::new(Config::default());
    let mut add = |name: &str, id, home| {
        let mut info = element(id, Policy::RoundRobin);
        info.home = ServerId(home);
        space.register(&handle(name), info, None, OWN).unwrap().key
    };
    let moved = add("PingPongPool", 0x5151_5151, 1);
    add("PingPongPool", 0x5252_5252, 2);
    add("EchoPool", 0x51, 3);
    add("pool1", 0x101, 4);
    assert_eq!([2, 3, 4, 5].map(|id| space.checksum(ServerId(id)))[1..], [0x9200, 0xee22, 0xffff]);
    space.set_home(moved, ServerId(2));
    assert_eq!(space.checksum(ServerId(2)), 0x3db2);
    assert_eq!(space.checksum(ServerId(1)), 0xffff);
    assert_eq!(space.elements_of_home(ServerId(2)).count(), 2);
    space.remove(moved);
    assert_ne!(space.checksum(ServerId(2)), 0x3db2);
    space.verify().unwrap();
}

#[test]
fn elements_of_an_association() {
    let mut space = Handlespace::new(Config::default());
    for (id, owner) in [(1, 7), (2, 8), (3, 7)] {
        space.register(&handle("pool"), element(id, Policy::RoundRobin), Some(owner), OWN).unwrap();
    }
    assert_eq!(space.elements_of_owner(7).count(), 2);
    // In slices of one.
    while let Some(key) = space.first_of_owner(7) {
        space.remove(key);
        space.verify().unwrap();
    }
    assert_eq!((space.elements_of_owner(7).count(), space.len()), (0, 1));
    let left = space.elements_of_owner(8).next().unwrap();
    // As when the element lives and its association is gone.
    space.set_owner(left, None);
    assert_eq!((space.elements_of_owner(8).count(), space.len()), (0, 1));
    assert_eq!(space.get(left).and_then(|element| element.owner()), None);
    space.verify().unwrap();
}

#[test]
fn timers_fire_in_order_and_once() {
    let mut space = Handlespace::new(Config::default());
    let a = register(&mut space, 1, Policy::RoundRobin).key;
    let b = register(&mut space, 2, Policy::RoundRobin).key;
    let at = Time::from_millis;
    space.set_timer(a, Timer::Life, Some(at(30)));
    space.set_timer(b, Timer::KeepAliveTransmission, Some(at(10)));
    space.set_timer(a, Timer::KeepAliveTimeout, Some(at(20)));
    space.set_timer(a, Timer::KeepAliveTimeout, Some(at(25)));
    space.verify().unwrap();
    assert_eq!(space.next_deadline(), Some(at(10)));
    assert_eq!(space.pop_due(at(9)), None);
    assert_eq!(space.pop_due(at(40)), Some((b, Timer::KeepAliveTransmission)));
    assert_eq!(space.pop_due(at(40)), Some((a, Timer::KeepAliveTimeout)));
    assert_eq!(space.purge_expired(at(40)), 1);
    assert_eq!((space.len(), space.next_deadline()), (1, None));
    space.verify().unwrap();
}

#[test]
fn reports_are_counted_per_element() {
    let mut space = Handlespace::new(Config::default());
    let key = register(&mut space, 1, Policy::RoundRobin).key;
    assert_eq!((space.count_bad_report(key), space.count_bad_report(key)), (1, 2));
    register(&mut space, 1, Policy::RoundRobin);
    assert_eq!(space.get(key).map(|e| e.bad_reports()), Some(2));
    space.clear_bad_reports(key);
    assert_eq!(space.get(key).map(|e| e.bad_reports()), Some(0));
    space.remove(key);
    assert_eq!(space.count_bad_report(key), 0);
}

#[test]
fn pools_are_in_transfer_order() {
    let mut space = Handlespace::new(Config::default());
    for name in ["bb", "a", "ccc", "ba"] {
        space.register(&handle(name), element(1, Policy::RoundRobin), None, OWN).unwrap();
    }
    let names: Vec<String> = space.pools().map(|(handle, _)| handle.to_string()).collect();
    assert_eq!(names, ["a", "ba", "bb", "ccc"]);
}

/// 100 000 elements are in one pool. If any step were linear, this would take minutes.
#[test]
fn a_large_pool_stays_usable() {
    const N: u32 = 100_000;
    let policies: [fn(u32) -> Policy; 3] = [
        |_| Policy::RoundRobin,
        |id| Policy::LeastUsedDegradation { load: id, load_degradation: 1 },
        |id| Policy::WeightedRandom { weight: id },
    ];
    for policy in policies {
        let mut space = Handlespace::new(Config::default());
        for id in 1..=N {
            let key = space
                .register(&handle("pool"), element(id, policy(id)), Some(id.into()), OWN)
                .unwrap()
                .key;
            space.set_timer(key, Timer::Life, Some(Time::from_millis(id.into())));
        }
        for _ in 0..N {
            assert_eq!(space.select(&handle("pool"), 3).len(), 3);
        }
        space.verify().unwrap();
        assert_eq!(space.purge_expired(Time::from_millis(u64::from(N) / 2)), N as usize / 2);
        for id in N / 2 + 1..=N {
            while let Some(key) = space.first_of_owner(id.into()) {
                space.remove(key);
            }
        }
        assert!(space.is_empty());
        space.verify().unwrap();
    }
}
