//! Shares: nobody locks the others out.

use super::*;

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
