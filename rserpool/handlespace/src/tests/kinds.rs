//! Members of several kinds in one pool: some fit, the others are set aside.

use super::*;
use crate::ElementKey;
use rserpool_wire::TcpTransport;

const HERE: ServerId = ServerId(1);
const THERE: ServerId = ServerId(2);

fn copy_of(id: u32, policy: Policy) -> PoolElement {
    PoolElement { home: THERE, ..element(id, policy) }
}

fn over_tcp(id: u32, policy: Policy) -> PoolElement {
    let tcp = TcpTransport {
        port: 80,
        transport_use: TransportUse::DataOnly,
        addr: "10.0.0.1".parse().unwrap(),
    };
    PoolElement { user_transport: Transport::Tcp(tcp), ..copy_of(id, policy) }
}

fn with_control_channel(id: u32, policy: Policy) -> PoolElement {
    with_sctp(copy_of(id, policy), |transport| transport.transport_use = TransportUse::DataControl)
}

fn unsupported(id: u32) -> PoolElement {
    copy_of(id, Policy::PriorityLeastUsedDegradation { load: 0, load_degradation: 0 })
}

fn add_copy(space: &mut Handlespace, info: PoolElement) -> ElementKey {
    let key = space.register(&handle("pool"), info, None, COPY).unwrap().key;
    space.verify().unwrap();
    key
}

fn remove(space: &mut Handlespace, id: u32) {
    let key = space.find(&handle("pool"), PeId(id)).unwrap();
    space.remove(key);
    space.verify().unwrap();
}

/// Identifiers of the members that are set aside.
fn set_aside(space: &Handlespace) -> Vec<u32> {
    let members = space.pool(&handle("pool")).unwrap().members();
    members.filter(|(_, key)| space.is_set_aside(*key)).map(|(id, _)| id.0).collect()
}

fn policy(space: &Handlespace) -> Option<u32> {
    space.pool(&handle("pool")).unwrap().policy()
}

#[test]
fn misfits_are_members_that_nobody_is_given() {
    let mut space = Handlespace::new(Config::default());
    register(&mut space, 5, Policy::RoundRobin);
    add_copy(&mut space, copy_of(1, Policy::Random));
    add_copy(&mut space, over_tcp(2, Policy::RoundRobin));
    add_copy(&mut space, with_control_channel(3, Policy::RoundRobin));
    add_copy(&mut space, unsupported(4));
    let fitting = add_copy(&mut space, copy_of(6, Policy::RoundRobin));
    assert_eq!(set_aside(&space), [1, 2, 3, 4]);
    assert_eq!((policy(&space), space.is_set_aside(fitting)), (Some(1), false));
    for _ in 0..5 {
        let mut ids = select(&mut space, 99);
        ids.sort_unstable();
        assert_eq!(ids, [5, 6]);
    }

    // Everything else counts them.
    assert_eq!((space.len(), space.pool(&handle("pool")).unwrap().len()), (6, 6));
    assert_eq!((space.elements_after(None).count(), space.count_of_home(THERE)), (6, 5));
    assert_eq!(space.elements_of_home(THERE).count(), 5);
    let all = space.checksum(THERE);
    let key = space.find(&handle("pool"), PeId(4)).unwrap();
    space.set_timer(key, Timer::Life, Some(Time::from_millis(7)));
    assert_eq!(space.purge_expired(Time::from_millis(7)), 1);
    assert_ne!(space.checksum(THERE), all);
    space.set_home(fitting, HERE);
    space.verify().unwrap();
}

#[test]
fn the_member_with_the_smallest_identifier_decides_what_comes_next() {
    let mut space = Handlespace::new(Config::default());
    let own = register(&mut space, 9, Policy::RoundRobin).key;
    for info in [
        copy_of(7, Policy::Priority { priority: 1 }),
        copy_of(8, Policy::LeastUsed { load: 1 }),
        unsupported(1),
        copy_of(3, Policy::LeastUsed { load: 2 }),
        over_tcp(4, Policy::LeastUsed { load: 0 }),
        copy_of(5, Policy::LeastUsed { load: 0 }),
    ] {
        add_copy(&mut space, info);
    }
    assert_eq!(set_aside(&space), [1, 3, 4, 5, 7, 8]);
    space.remove(own);
    space.verify().unwrap();
    assert_eq!((policy(&space), set_aside(&space)), (Some(0x4000_0001), vec![1, 4, 7]));
    assert_eq!(select(&mut space, 99), [5, 8, 3]);
    assert_eq!(select(&mut space, 99), [5, 8, 3]);

    // From now on the new kind decides what fits.
    assert_eq!(
        space.register(&handle("pool"), element(9, Policy::RoundRobin), None, OWN),
        Err(RegisterError::PolicyMismatch { pool: 0x4000_0001, element: 1 })
    );
    add_copy(&mut space, copy_of(9, Policy::RoundRobin));
    for id in [3, 5, 8] {
        remove(&mut space, id);
    }
    // The TCP element of the same policy has the smallest identifier now.
    assert_eq!((policy(&space), set_aside(&space)), (Some(0x4000_0001), vec![1, 7, 9]));
    assert_eq!(select(&mut space, 99), [4]);
    remove(&mut space, 4);
    assert_eq!((policy(&space), set_aside(&space)), (Some(5), vec![1, 9]));
    remove(&mut space, 7);
    assert_eq!((policy(&space), set_aside(&space)), (Some(1), vec![1]));
    remove(&mut space, 9);
    assert_eq!((policy(&space), set_aside(&space)), (None, vec![1]));
    assert_eq!(select(&mut space, 99), [0; 0]);
}

#[test]
fn a_pool_can_consist_of_what_cannot_be_selected_by() {
    let mut space = Handlespace::new(Config::default());
    let odd = add_copy(&mut space, unsupported(1));
    add_copy(&mut space, unsupported(2));
    assert!(space.is_set_aside(odd));
    assert_eq!((policy(&space), set_aside(&space)), (None, vec![1, 2]));
    space.set_suspect(odd, true);
    assert!(space.get(odd).unwrap().is_suspect());
    assert_eq!(select(&mut space, 9), [0; 0]);
    // The first element that can be selected decides.
    register(&mut space, 3, Policy::Random);
    assert_eq!((policy(&space), select(&mut space, 9)), (Some(3), vec![3]));
    // An element may learn a policy that is supported, and forget it.
    add_copy(&mut space, copy_of(1, Policy::Random));
    assert_eq!(select(&mut space, 9), [3, 1]);
    assert!(space.get(odd).unwrap().is_suspect());
    add_copy(&mut space, unsupported(1));
    assert_eq!((set_aside(&space), select(&mut space, 9)), (vec![1, 2], vec![3]));
}

#[test]
fn a_copy_may_change_its_kind() {
    let mut space = Handlespace::new(Config::default());
    add_copy(&mut space, copy_of(2, Policy::RoundRobin));
    // Alone, it takes the pool along.
    add_copy(&mut space, copy_of(2, Policy::Random));
    assert_eq!((policy(&space), select(&mut space, 1)), (Some(3), vec![2]));
    // With others it is set aside and comes back.
    add_copy(&mut space, copy_of(3, Policy::Random));
    add_copy(&mut space, copy_of(2, Policy::Priority { priority: 1 }));
    assert_eq!((policy(&space), set_aside(&space)), (Some(3), vec![2]));
    add_copy(&mut space, copy_of(2, Policy::Random));
    assert_eq!(set_aside(&space), [0; 0]);

    // The last fitting one leaves while others are set aside. The smallest identifier decides,
    // whoever has it.
    add_copy(&mut space, copy_of(2, Policy::RoundRobin));
    add_copy(&mut space, copy_of(3, Policy::Priority { priority: 1 }));
    assert_eq!((policy(&space), set_aside(&space)), (Some(1), vec![3]));
    add_copy(&mut space, copy_of(4, Policy::Priority { priority: 2 }));
    add_copy(&mut space, copy_of(2, Policy::LeastUsed { load: 0 }));
    assert_eq!((policy(&space), set_aside(&space)), (Some(0x4000_0001), vec![3, 4]));
    add_copy(&mut space, copy_of(2, Policy::Priority { priority: 3 }));
    assert_eq!((policy(&space), select(&mut space, 9)), (Some(5), vec![2, 4, 3]));
}

#[test]
fn those_set_aside_keep_turns_and_suspicion() {
    let mut space = Handlespace::new(Config::default());
    register(&mut space, 9, Policy::RoundRobin);
    for id in [3, 1, 2] {
        add_copy(&mut space, copy_of(id, Policy::Priority { priority: 1 }));
    }
    let suspect = space.find(&handle("pool"), PeId(3)).unwrap();
    space.set_suspect(suspect, true);
    add_copy(&mut space, copy_of(2, Policy::Priority { priority: 2 }));
    remove(&mut space, 9);
    assert_eq!(select(&mut space, 9), [2, 1, 3]);
}

#[test]
fn a_renewal_by_rule_of_own_elements_is_refused_even_when_set_aside() {
    let mut space = Handlespace::new(Config::default());
    register(&mut space, 1, Policy::RoundRobin);
    let key = add_copy(&mut space, copy_of(2, Policy::Random));
    space.set_home(key, HERE);
    let info = element(2, Policy::Random);
    let mismatch = RegisterError::PolicyMismatch { pool: 1, element: 3 };
    assert_eq!(space.register(&handle("pool"), info.clone(), Some(7), OWN), Err(mismatch));
    let allow = RegisterRules { misfit: Misfit::SetAside, ..OWN };
    assert_eq!(space.register(&handle("pool"), info, Some(7), allow).unwrap().key, key);
    assert!(space.is_set_aside(key));
    space.verify().unwrap();
}

/// A pool of 50 000 members that are set aside, most of them for ever, changes its kind 50 000
/// times. If each change looked at each member, this would take minutes.
#[test]
fn a_large_pool_changes_its_kind_at_once() {
    const N: u32 = 50_000;
    let mut space = Handlespace::new(Config::default());
    for id in 1..=N {
        space.register(&handle("pool"), unsupported(id), None, COPY).unwrap();
    }
    for i in 0..N {
        // Two policies alternate; a new member is set aside, fits when the old one is gone, and is
        // replaced.
        let policies = [Policy::RoundRobin, Policy::Random];
        let info = copy_of(N + 1 + i, policies[i as usize % 2].clone());
        let new = space.register(&handle("pool"), info, None, COPY).unwrap().key;
        assert_eq!(space.is_set_aside(new), i > 0);
        if let Some(old) = space.find(&handle("pool"), PeId(N + i)).filter(|_| i > 0) {
            space.remove(old);
        }
        assert_eq!(space.select(&handle("pool"), 3), [new]);
    }
    space.verify().unwrap();
}
