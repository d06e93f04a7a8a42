//! Random operations with every invariant checked after each.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Operation {
    Register { pool: u8, id: u32, policy: Policy, home: u32, owner: Option<u64> },
    Remove { pool: u8, id: u32 },
    RemoveOwner(u64),
    Select { pool: u8, n: usize },
    SetHome { pool: u8, id: u32, home: u32 },
    SetTimer { pool: u8, id: u32, timer: Timer, at: Option<u64> },
    PassTime(u64),
}

fn policy() -> impl Strategy<Value = Policy> {
    // Small numbers meet often, the limits overflow if anything does.
    let number = || prop_oneof![0u32..4, Just(u32::MAX), Just(u32::MAX - 1), any::<u32>()];
    prop_oneof![
        Just(Policy::RoundRobin),
        number().prop_map(|weight| Policy::WeightedRoundRobin { weight }),
        Just(Policy::Random),
        number().prop_map(|weight| Policy::WeightedRandom { weight }),
        number().prop_map(|priority| Policy::Priority { priority }),
        number().prop_map(|load| Policy::LeastUsed { load }),
        (number(), number()).prop_map(|(load, load_degradation)| Policy::LeastUsedDegradation {
            load,
            load_degradation
        }),
        (number(), number()).prop_map(|(load, load_degradation)| Policy::PriorityLeastUsed {
            load,
            load_degradation
        }),
        number().prop_map(|load| Policy::RandomizedLeastUsed { load }),
    ]
}

fn operation() -> impl Strategy<Value = Operation> {
    let pool = || 0u8..12;
    let id = || 0u32..8;
    let timer = prop_oneof![
        Just(Timer::Life),
        Just(Timer::KeepAliveTransmission),
        Just(Timer::KeepAliveTimeout)
    ];
    prop_oneof![
        6 => (pool(), id(), policy(), 0u32..3, prop::option::of(0u64..3))
            .prop_map(|(pool, id, policy, home, owner)| {
                Operation::Register { pool, id, policy, home, owner }
            }),
        2 => (pool(), id()).prop_map(|(pool, id)| Operation::Remove { pool, id }),
        1 => (0u64..3).prop_map(Operation::RemoveOwner),
        6 => (pool(), 0usize..5).prop_map(|(pool, n)| Operation::Select { pool, n }),
        1 => (pool(), id(), 0u32..3)
            .prop_map(|(pool, id, home)| Operation::SetHome { pool, id, home }),
        2 => (pool(), id(), timer, prop::option::of(0u64..100))
            .prop_map(|(pool, id, timer, at)| Operation::SetTimer { pool, id, timer, at }),
        1 => (0u64..20).prop_map(Operation::PassTime),
    ]
}

fn apply(
    space: &mut Handlespace,
    now: &mut u64,
    operation: Operation,
) -> Result<(), TestCaseError> {
    let handle_of = |pool: u8| handle(&format!("pool-{pool}"));
    match operation {
        Operation::Register { pool, id, policy, home, owner } => {
            let mut info = element(id, policy);
            info.home = ServerId(home);
            let before = space.find(&handle_of(pool), PeId(id));
            let may = space.check_registration(&handle_of(pool), &info);
            let did = space.register(&handle_of(pool), info.clone(), owner);
            prop_assert_eq!(may, did.clone().map(drop));
            if let Ok(registration) = did {
                prop_assert_eq!(registration.new, before.is_none());
                let element = space.get(registration.key).unwrap();
                prop_assert_eq!((element.info(), element.owner()), (&info, owner));
            }
        }
        Operation::Remove { pool, id } => {
            if let Some(key) = space.find(&handle_of(pool), PeId(id)) {
                prop_assert!(space.remove(key).is_some());
                prop_assert!(space.get(key).is_none() && space.remove(key).is_none());
            }
        }
        Operation::RemoveOwner(owner) => {
            while let Some(key) = space.first_of_owner(owner) {
                space.remove(key);
            }
        }
        Operation::Select { pool, n } => {
            let mut keys = space.select(&handle_of(pool), n);
            prop_assert!(keys.len() <= n);
            let found = keys.len();
            keys.sort_unstable();
            keys.dedup();
            prop_assert_eq!(found, keys.len());
            prop_assert!(keys.iter().all(|key| space.get(*key).is_some()));
        }
        Operation::SetHome { pool, id, home } => {
            if let Some(key) = space.find(&handle_of(pool), PeId(id)) {
                space.set_home(key, ServerId(home));
            }
        }
        Operation::SetTimer { pool, id, timer, at } => {
            if let Some(key) = space.find(&handle_of(pool), PeId(id)) {
                space.set_timer(key, timer, at.map(|delay| Time::from_millis(*now + delay)));
            }
        }
        Operation::PassTime(step) => {
            *now += step;
            space.purge_expired(Time::from_millis(*now));
            prop_assert!(space.next_deadline().is_none_or(|at| at > Time::from_millis(*now)));
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn invariants_hold(
        operations in prop::collection::vec(operation(), 1..150),
        max_increment in 0usize..4,
    ) {
        let mut space =
            Handlespace::new(Config { max_increment, max_elements: 40, ..Config::default() });
        let mut now = 0;
        for operation in operations {
            apply(&mut space, &mut now, operation)?;
            prop_assert_eq!(space.verify(), Ok(()));
        }
    }
}
