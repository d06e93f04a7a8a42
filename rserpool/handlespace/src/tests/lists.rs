//! Lists that are read in pages while pools change.

use super::*;
use crate::Cursor;

fn add(space: &mut Handlespace, pool: &str, id: u32, home: u32) {
    let info = PoolElement { home: ServerId(home), ..element(id, Policy::RoundRobin) };
    space.register(&handle(pool), info, None, OWN).unwrap();
}

fn cursor(pool: &str, id: u32) -> Cursor {
    (handle(pool), PeId(id))
}

/// Names of elements, written like `pool/1`.
fn names(space: &Handlespace, keys: impl Iterator<Item = crate::ElementKey>) -> Vec<String> {
    keys.map(|key| space.get(key).unwrap())
        .map(|element| format!("{}/{}", element.handle(), element.info().id.0))
        .collect()
}

fn behind(space: &Handlespace, pool: &str, id: u32) -> Vec<String> {
    names(space, space.elements_after(Some(&cursor(pool, id))))
}

fn of_home_behind(space: &Handlespace, home: u32, pool: &str, id: u32) -> Vec<String> {
    names(space, space.elements_of_home_after(ServerId(home), Some(&cursor(pool, id))))
}

fn some_pools() -> Handlespace {
    let mut space = Handlespace::new(Config::default());
    for (pool, id, home) in
        [("bb", 2, 1), ("bb", 1, 2), ("ccc", 9, 1), ("a", 7, 2), ("a", u32::MAX, 1), ("ba", 3, 1)]
    {
        add(&mut space, pool, id, home);
    }
    space
}

#[test]
fn all_elements_come_in_the_order_of_their_names() {
    let space = some_pools();
    let all = ["a/7", "a/4294967295", "ba/3", "bb/1", "bb/2", "ccc/9"];
    assert_eq!(names(&space, space.elements_after(None)), all);
    assert_eq!(behind(&space, "a", 7), all[1..]);
    assert_eq!(behind(&space, "a", u32::MAX), all[2..]);
    assert_eq!(behind(&space, "bb", 1), all[4..]);
    assert_eq!(behind(&space, "ccc", 9), all[6..]);
}

#[test]
fn a_cursor_need_not_name_an_element() {
    let space = some_pools();
    // No such element, no such pool, before and behind everything.
    assert_eq!(behind(&space, "a", 8)[0], "a/4294967295");
    assert_eq!(behind(&space, "b", 5)[0], "ba/3");
    assert_eq!(behind(&space, "0", 1).len(), 6);
    assert!(behind(&space, "dddd", 1).is_empty());
    assert_eq!(of_home_behind(&space, 1, "b", 5), ["ba/3", "bb/2", "ccc/9"]);
    assert!(of_home_behind(&space, 1, "dddd", 1).is_empty());
    assert!(of_home_behind(&space, 3, "a", 1).is_empty());
}

#[test]
fn the_elements_of_one_home() {
    let space = some_pools();
    assert_eq!(names(&space, space.elements_of_home(ServerId(2))), ["a/7", "bb/1"]);
    let all = ["a/4294967295", "ba/3", "bb/2", "ccc/9"];
    assert_eq!(names(&space, space.elements_of_home_after(ServerId(1), None)), all);
    assert_eq!(of_home_behind(&space, 1, "a", u32::MAX), all[1..]);
    assert_eq!(of_home_behind(&space, 1, "ccc", 9), all[4..]);
}

/// One table in pages of three; everything that one may do happens between the pages.
#[test]
fn pages_do_not_lose_what_stays_there() {
    let mut space = Handlespace::new(Config::default());
    for id in 1..=9 {
        for pool in ["x", "yy", "zz"] {
            add(&mut space, pool, id * 10, 1);
        }
    }
    let mut seen = Vec::new();
    let mut at: Option<Cursor> = None;
    for page in 0..20 {
        let keys: Vec<_> = space.elements_after(at.as_ref()).take(3).collect();
        let Some(last) = keys.last().and_then(|key| space.get(*key)) else { break };
        at = Some((last.handle().clone(), last.info().id));
        seen.extend(names(&space, keys.iter().copied()));
        match page {
            // The element at the cursor goes, one before it and one behind it come.
            0 => {
                space.remove(keys[2]);
                add(&mut space, "x", 5, 1);
                add(&mut space, "x", 35, 1);
            }
            // The whole pool of the cursor goes.
            1 => {
                let pool = space.pool(&handle("x")).unwrap();
                let all: Vec<_> = pool.members().map(|(_, key)| key).collect();
                all.into_iter().for_each(|key| drop(space.remove(key)));
            }
            _ => {}
        }
        space.verify().unwrap();
    }
    let mut expected: Vec<String> =
        ["x/10", "x/20", "x/30", "x/35", "x/40", "x/50"].map(String::from).into();
    for pool in ["yy", "zz"] {
        expected.extend((1..=9).map(|id| format!("{pool}/{}", id * 10)));
    }
    assert_eq!(seen, expected);
}
