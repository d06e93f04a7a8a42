//! Which announced registrars are remembered, and which make room.

use super::super::registrars::{Gates, MAX_ANNOUNCED, RegistrarTable, Timing, Ways};
use super::*;

const GATES: Gates = Gates { any: Time::ZERO, announced: Time::ZERO };

fn now() -> Time {
    Time::from_millis(1000)
}

fn table() -> RegistrarTable {
    let (pause, max_pause) = (ms(250), ms(4000));
    RegistrarTable::new(vec![registrar(1)], Timing { validity: ms(5000), pause, max_pause })
}

fn ways(last: u8) -> Ways {
    vec![registrar(last)]
}

/// A table that the announces of registrars from 101 on have filled.
fn full() -> RegistrarTable {
    let mut table = table();
    for last in 101..=100 + u8::try_from(MAX_ANNOUNCED).unwrap() {
        table.announce(now(), &ways(last));
    }
    table
}

fn knows(table: &RegistrarTable, last: u8) -> bool {
    table.knows(now(), &registrar(last))
}

#[test]
fn announced_registrars_are_bounded_and_old_ones_stay() {
    let mut table = full();
    assert!(knows(&table, 101) && knows(&table, 164));
    table.announce(now(), &ways(200));
    assert!(!knows(&table, 200));
    // When their announces have stopped, there is room.
    let later = now() + ms(5000);
    table.announce(later, &ways(200));
    assert!(table.knows(later, &registrar(200)) && !table.knows(later, &registrar(101)));
    assert!(table.knows(later, &registrar(1)), "a configured one stays for ever");
}

#[test]
fn the_newest_one_that_could_not_be_reached_makes_room() {
    let mut table = full();
    table.failed(now(), &ways(110));
    table.failed(now(), &ways(120));
    table.announce(now(), &ways(200));
    assert!(knows(&table, 200) && knows(&table, 110) && !knows(&table, 120));
    // One that has answered before stays even if it fails now.
    table.answered(&ways(110));
    table.failed(now(), &ways(110));
    table.announce(now(), &ways(201));
    assert!(!knows(&table, 201) && knows(&table, 110));
}

#[test]
fn for_one_that_has_answered_the_newest_new_one_makes_room() {
    let mut table = full();
    table.answered(&ways(200));
    for last in [162, 163, 164] {
        (0..2).for_each(|_| table.announce(now(), &ways(last)));
    }
    table.announce(now(), &ways(200));
    assert!(knows(&table, 200) && !knows(&table, 161));
    assert!(knows(&table, 162) && knows(&table, 164), "they are announced again and again");
}

#[test]
fn trusted_registrars_come_first_and_failures_count() {
    let mut table = table();
    let mut rng = ChaCha12Rng::from_seed(SEED);
    table.answered(&ways(3));
    (2..=4).for_each(|last| table.announce(now(), &ways(last)));
    (0..2).for_each(|_| table.announce(now(), &ways(4)));
    let mut order = Vec::new();
    while let Some((next, _)) = table.next(now(), &mut rng, GATES, |ways| order.contains(ways)) {
        let next = next.clone();
        order.push(next);
    }
    order[..2].sort_by_key(|ways| ways[0].addrs[0].0);
    assert_eq!(order, [ways(1), ways(3), ways(4), ways(2)]);
    // The one that failed comes after its like.
    table.failed(now(), &ways(1));
    let later = now() + ms(250);
    let (next, traits) = table.next(later, &mut rng, GATES, |_| false).unwrap();
    assert_eq!((next, traits.trusted, traits.failed), (&ways(3), true, false));
}

#[test]
fn names_take_over_announced_registrars_and_give_up_old_ones() {
    let mut table = table();
    table.announce(now(), &ways(2));
    assert!(table.set_named(vec![registrar(2), registrar(3)]));
    assert!(!table.set_named(vec![registrar(2)]), "nothing new");
    let later = now() + ms(60_000);
    assert!(table.knows(later, &registrar(2)) && !table.knows(later, &registrar(3)));
}
