//! Random operations with every invariant checked after each.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::{Cursor, Element, ElementKey};

#[derive(Clone, Debug)]
enum Operation {
    Register { pool: u8, info: PoolElement, owner: Option<u64>, rules: RegisterRules },
    Remove { pool: u8, id: u32 },
    RemoveOwner(u64),
    Select { pool: u8, n: usize, user: UserPlace },
    SetSuspect { pool: u8, id: u32, suspect: bool },
    SetDistance { pool: u8, id: u32, distance: u32 },
    SetHome { pool: u8, id: u32, home: u32 },
    SetTimer { pool: u8, id: u32, timer: Timer, at: Option<u64> },
    PassTime(u64),
    BeginAudit(u32),
    AbortAudit(u32),
    Sweep { home: u32, budget: usize },
    ReadPages { home: Option<u32>, page: usize, removed: usize },
}

/// The handlespace under test, and what it is compared with.
struct World {
    space: Handlespace,
    /// Milliseconds.
    now: u64,
    /// The names of the elements that the audits have not seen, by home registrar.
    unseen: BTreeMap<u32, BTreeSet<Cursor>>,
    /// Policy and use of a control channel that each pool is selected by.
    kinds: BTreeMap<PoolHandle, Kind>,
}

/// Policy number and use of a control channel.
type Kind = (u32, TransportUse);

fn kind(element: &Element) -> Kind {
    (element.info().policy.number(), element.info().user_transport.transport_use())
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
        (number(), number(), number()).prop_map(|(weight, weight_dpf, distance)| {
            Policy::WeightedRandomDpf { weight, weight_dpf, distance }
        }),
        (number(), number(), number()).prop_map(|(load, load_dpf, distance)| {
            Policy::LeastUsedDpf { load, load_dpf, distance }
        }),
        // Not supported.
        Just(Policy::PriorityLeastUsedDegradation { load: 1, load_degradation: 1 }),
    ]
}

fn element_info() -> impl Strategy<Value = PoolElement> {
    let control = prop_oneof![9 => Just(false), 1 => Just(true)];
    let values = (0u32..8, policy(), 0u32..3, any::<bool>(), control);
    values.prop_map(|(id, policy, home, local, control)| {
        let info = if local { local_element(id, policy) } else { element(id, policy) };
        let info = PoolElement { home: ServerId(home), ..info };
        match control {
            true => with_sctp(info, |t| t.transport_use = TransportUse::DataControl),
            false => info,
        }
    })
}

fn user() -> impl Strategy<Value = UserPlace> {
    prop_oneof![Just(UserPlace::ThisHost), Just(UserPlace::Elsewhere)]
}

fn rules() -> impl Strategy<Value = RegisterRules> {
    let other_home = prop_oneof![Just(OtherHome::Refuse), Just(OtherHome::TakeOver)];
    let misfit = prop_oneof![Just(Misfit::Refuse), Just(Misfit::SetAside)];
    (other_home, misfit).prop_map(|(other_home, misfit)| RegisterRules { other_home, misfit })
}

fn operation() -> impl Strategy<Value = Operation> {
    let pool = || 0u8..5;
    let id = || 0u32..8;
    let timer = prop_oneof![
        Just(Timer::Life),
        Just(Timer::KeepAliveTransmission),
        Just(Timer::KeepAliveTimeout)
    ];
    prop_oneof![
        6 => (pool(), element_info(), prop::option::of(0u64..3), rules())
            .prop_map(|(pool, info, owner, rules)| {
                Operation::Register { pool, info, owner, rules }
            }),
        2 => (pool(), id()).prop_map(|(pool, id)| Operation::Remove { pool, id }),
        1 => (0u64..3).prop_map(Operation::RemoveOwner),
        6 => (pool(), 0usize..5, user()).prop_map(|(pool, n, user)| {
            Operation::Select { pool, n, user }
        }),
        2 => (pool(), id(), any::<bool>())
            .prop_map(|(pool, id, suspect)| Operation::SetSuspect { pool, id, suspect }),
        2 => (pool(), id(), prop_oneof![0u32..4, any::<u32>()])
            .prop_map(|(pool, id, distance)| Operation::SetDistance { pool, id, distance }),
        3 => (pool(), id(), 0u32..3)
            .prop_map(|(pool, id, home)| Operation::SetHome { pool, id, home }),
        2 => (pool(), id(), timer, prop::option::of(0u64..100))
            .prop_map(|(pool, id, timer, at)| Operation::SetTimer { pool, id, timer, at }),
        1 => (0u64..20).prop_map(Operation::PassTime),
        2 => (0u32..3).prop_map(Operation::BeginAudit),
        1 => (0u32..9).prop_map(Operation::AbortAudit),
        2 => (0u32..3, 0usize..6).prop_map(|(home, budget)| Operation::Sweep { home, budget }),
        1 => (prop::option::of(0u32..3), 1usize..4, 0usize..4)
            .prop_map(|(home, page, removed)| Operation::ReadPages { home, page, removed }),
    ]
}

fn handle_of(pool: u8) -> PoolHandle {
    handle(&format!("pool-{pool}"))
}

fn name(element: &Element) -> Cursor {
    (element.handle().clone(), element.info().id)
}

/// Every audit has seen the element.
fn saw(unseen: &mut BTreeMap<u32, BTreeSet<Cursor>>, element: &Element) {
    for names in unseen.values_mut() {
        names.remove(&name(element));
    }
}

fn apply(world: &mut World, operation: Operation) -> Result<(), TestCaseError> {
    let World { space, now, unseen, kinds } = world;
    let is_one_change = !matches!(
        operation,
        Operation::RemoveOwner(_)
            | Operation::PassTime(_)
            | Operation::Sweep { .. }
            | Operation::ReadPages { .. }
    );
    match operation {
        Operation::Register { pool, info, owner, rules } => {
            let before = space.find(&handle_of(pool), info.id);
            let home_before = before.and_then(|key| space.get(key)).map(|e| e.info().home);
            let may = space.check_registration(&handle_of(pool), &info, rules);
            let did = space.register(&handle_of(pool), info.clone(), owner, rules);
            prop_assert_eq!(&may, &did.clone().map(drop));
            let moves = home_before.is_some_and(|home| home != info.home);
            match did {
                Ok(registration) => {
                    prop_assert!(!moves || rules.other_home == OtherHome::TakeOver);
                    prop_assert_eq!(registration.new, before.is_none());
                    let element = space.get(registration.key).unwrap();
                    prop_assert_eq!((element.info(), element.owner()), (&info, owner));
                    saw(unseen, element);
                }
                Err(RegisterError::OtherHome { home }) => {
                    prop_assert!(moves && rules.other_home == OtherHome::Refuse);
                    prop_assert_eq!(Some(home), home_before);
                }
                Err(_) => {}
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
        Operation::Select { pool, n, user } => select_checked(space, &handle_of(pool), n, user)?,
        Operation::SetSuspect { pool, id, suspect } => {
            if let Some(key) = space.find(&handle_of(pool), PeId(id)) {
                space.set_suspect(key, suspect);
                prop_assert_eq!(space.get(key).unwrap().is_suspect(), suspect);
            }
        }
        Operation::SetDistance { pool, id, distance } => {
            if let Some(key) = space.find(&handle_of(pool), PeId(id)) {
                let mut policy = space.get(key).unwrap().info().policy.clone();
                policy.set_distance(distance);
                space.set_distance(key, distance);
                prop_assert_eq!(&space.get(key).unwrap().info().policy, &policy);
            }
        }
        Operation::SetHome { pool, id, home } => {
            if let Some(key) = space.find(&handle_of(pool), PeId(id)) {
                let element = space.get(key).unwrap();
                if element.info().home != ServerId(home) {
                    saw(unseen, element);
                }
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
        Operation::BeginAudit(home) => {
            space.begin_audit(ServerId(home));
            let of_home = space.elements_of_home(ServerId(home));
            let names = of_home.map(|key| name(space.get(key).unwrap())).collect();
            unseen.insert(home, names);
        }
        Operation::AbortAudit(home) => {
            space.abort_audit(ServerId(home));
            unseen.remove(&home);
        }
        Operation::Sweep { home, budget } => {
            prop_assert_eq!(space.is_audited(ServerId(home)), unseen.contains_key(&home));
            let swept = space.sweep(ServerId(home), budget);
            prop_assert!(swept.removed.len() <= budget);
            let mut none = BTreeSet::new();
            let unseen_of_home = unseen.get_mut(&home).unwrap_or(&mut none);
            for element in &swept.removed {
                prop_assert!(unseen_of_home.remove(&name(element)));
            }
            if swept.finished {
                prop_assert!(unseen_of_home.is_empty());
                unseen.remove(&home);
            }
        }
        Operation::ReadPages { home, page, removed } => read_pages(space, home, page, removed)?,
    }
    // Elements may have gone or moved away.
    for (home, names) in unseen {
        names.retain(|(handle, id)| {
            let element = space.find(handle, *id).and_then(|key| space.get(key));
            element.is_some_and(|element| element.info().home == ServerId(*home))
        });
    }
    check_kinds(space, kinds, is_one_change)
}

/// Compares who is set aside with a look at all members. When several elements have gone one after
/// the other, any kind can be the one that came next.
fn check_kinds(
    space: &Handlespace,
    kinds: &mut BTreeMap<PoolHandle, Kind>,
    is_one_change: bool,
) -> Result<(), TestCaseError> {
    kinds.retain(|handle, _| space.pool(handle).is_some());
    for (handle, pool) in space.pools() {
        let members = || pool.members().map(|(_, key)| (key, space.get(key).unwrap()));
        let can_fit = |element: &Element| crate::supports(&element.info().policy);
        let old = kinds.remove(handle);
        let keeps = members().any(|(_, e)| can_fit(e) && Some(kind(e)) == old);
        let may_come_next =
            |(key, _): &(ElementKey, &Element)| is_one_change || !space.is_set_aside(*key);
        let next = members().filter(may_come_next).find(|(_, e)| can_fit(e));
        let now = if keeps { old } else { next.map(|(_, e)| kind(e)) };
        prop_assert_eq!(pool.policy(), now.map(|(policy, _)| policy));
        for (key, element) in members() {
            let fits = can_fit(element) && Some(kind(element)) == now;
            prop_assert_eq!(space.is_set_aside(key), !fits);
        }
        kinds.extend(now.map(|now| (handle.clone(), now)));
    }
    Ok(())
}

fn has_weight(policy: &Policy) -> bool {
    match *policy {
        Policy::WeightedRandom { weight } => weight != 0,
        Policy::WeightedRandomDpf { weight, weight_dpf, distance } => {
            let product = u128::from(weight) * u128::from(weight_dpf) * u128::from(distance);
            // The weight and the penalty, both twice and times 0xffffffff.
            let weight_left = 2 * u128::from(u32::MAX) * u128::from(weight);
            // Nothing is left when the penalty rounds to the weight.
            weight_left.abs_diff(2 * product) > u128::from(u32::MAX)
        }
        _ => true,
    }
}

/// Selects, and checks that the answer has what it must have and nothing else.
fn select_checked(
    space: &mut Handlespace,
    pool: &PoolHandle,
    n: usize,
    user: UserPlace,
) -> Result<(), TestCaseError> {
    let is_choice = |element: &Element| {
        (user == UserPlace::ThisHost || !element.is_this_host_only())
            && has_weight(&element.info().policy)
    };
    let choice: Vec<(bool, ElementKey)> = space
        .pool(pool)
        .into_iter()
        .flat_map(|pool| pool.members())
        .filter_map(|(_, key)| Some((space.get(key)?, key)))
        .filter(|(element, key)| is_choice(element) && !space.is_set_aside(*key))
        .map(|(element, key)| (element.is_suspect(), key))
        .collect();
    let selected = space.select_for(user, pool, n);
    prop_assert_eq!(selected.len(), n.min(choice.len()));
    let distinct: BTreeSet<ElementKey> = selected.iter().copied().collect();
    prop_assert_eq!(distinct.len(), selected.len());
    prop_assert!(selected.iter().all(|key| choice.iter().any(|(_, other)| other == key)));
    let suspects = |key: &&ElementKey| space.get(**key).unwrap().is_suspect();
    let trusted = choice.iter().filter(|(suspect, _)| !suspect).count();
    prop_assert_eq!(
        selected.iter().skip_while(|key| !suspects(key)).filter(|key| !suspects(key)).count(),
        0
    );
    prop_assert_eq!(
        selected.iter().filter(suspects).count(),
        selected.len().saturating_sub(trusted)
    );
    Ok(())
}

/// Reads a whole list in pages. While that goes on, removes one element after each page, `removed`
/// times: the last one that has been read and is still there.
fn read_pages(
    space: &mut Handlespace,
    home: Option<u32>,
    page: usize,
    mut removed: usize,
) -> Result<(), TestCaseError> {
    let next_page = |space: &Handlespace, cursor: Option<&Cursor>| -> Vec<Cursor> {
        let names = |keys: &mut dyn Iterator<Item = ElementKey>| {
            keys.map(|key| name(space.get(key).unwrap())).take(page).collect()
        };
        match home {
            Some(home) => names(&mut space.elements_of_home_after(ServerId(home), cursor)),
            None => names(&mut space.elements_after(cursor)),
        }
    };
    let all = space.pools().flat_map(|(_, pool)| pool.members()).map(|(_, key)| key);
    let expected: Vec<Cursor> = all
        .map(|key| space.get(key).unwrap())
        .filter(|element| home.is_none_or(|home| element.info().home == ServerId(home)))
        .map(name)
        .collect();
    let mut read = Vec::new();
    while read.len() <= expected.len() {
        let names = next_page(space, read.last());
        if names.is_empty() {
            break;
        }
        read.extend(names);
        let gone = read.iter().rev().find_map(|(handle, id)| space.find(handle, *id));
        if let (Some(key), 1..) = (gone, removed) {
            space.remove(key);
            removed -= 1;
        }
    }
    prop_assert_eq!(read, expected);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn invariants_hold(
        operations in prop::collection::vec(operation(), 1..150),
        max_increment in 0usize..4,
    ) {
        let config = Config { max_increment, max_elements: 40, ..Config::default() };
        let mut world = World {
            space: Handlespace::new(config),
            now: 0,
            unseen: BTreeMap::new(),
            kinds: BTreeMap::new(),
        };
        for operation in operations {
            apply(&mut world, operation)?;
            prop_assert_eq!(world.space.verify(), Ok(()));
        }
    }
}
