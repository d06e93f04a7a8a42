//! The selection structure of one pool: its members in order, or by value, and by class.
//!
//! Some members cannot be given to some users, and suspects come last. So each class of members has
//! a structure of its own. A selection merges the classes that it may give as if they were one, and
//! never looks at a member that it does not return.

use std::collections::BTreeMap;

use rand::Rng;

use super::values::{self, ValueTree};
use super::{Key, Params, Rule, State};
use crate::arena::ElementKey;

/// Where the pool user is that a selection is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserPlace {
    /// On the host of this handlespace: it can use every element.
    ThisHost,
    /// On another host: elements with nothing but loopback addresses are out of its reach.
    Elsewhere,
}

/// Who may be given a member, and when.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Class {
    /// It may be dead. It is given only when there are not enough others.
    pub(crate) suspect: bool,
    /// Only users on this host can reach it.
    pub(crate) this_host_only: bool,
}

/// One member as the selection sees it, borrowed from the element during an operation.
pub(crate) struct Member<'a> {
    pub(crate) key: ElementKey,
    pub(crate) params: &'a Params,
    pub(crate) state: &'a mut State,
}

/// The selection structure of one pool.
#[derive(Debug)]
pub(crate) struct Selection {
    order: Order,
    next_seq: u64,
}

#[derive(Debug)]
enum Order {
    /// In the order of the policy.
    Sorted(ByClass<BTreeMap<Key, ElementKey>>),
    Drawn(ByClass<ValueTree>),
}

/// Members by class. Nearly always there is only one class.
#[derive(Debug)]
struct ByClass<T>(Vec<(Class, T)>);

impl<T: Default> ByClass<T> {
    fn get(&self, class: Class) -> Option<&T> {
        self.0.iter().find(|(of, _)| *of == class).map(|(_, members)| members)
    }

    fn get_mut(&mut self, class: Class) -> Option<&mut T> {
        self.0.iter_mut().find(|(of, _)| *of == class).map(|(_, members)| members)
    }

    fn insert_with(&mut self, class: Class, insert: impl FnOnce(&mut T)) {
        match self.get_mut(class) {
            Some(members) => insert(members),
            None => {
                let mut members = T::default();
                insert(&mut members);
                self.0.reserve_exact(1);
                self.0.push((class, members));
            }
        }
    }
}

impl Selection {
    pub(crate) fn new(params: &Params) -> Self {
        let order = match params.value() {
            None => Order::Sorted(ByClass(Vec::new())),
            Some(_) => Order::Drawn(ByClass(Vec::new())),
        };
        Selection { order, next_seq: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        match &self.order {
            Order::Sorted(members) => members.0.iter().map(|(_, members)| members.len()).sum(),
            Order::Drawn(trees) => trees.0.iter().map(|(_, tree)| tree.len()).sum(),
        }
    }

    /// Takes a new member in: behind all equals, and in the current round. Its state says the
    /// class.
    pub(crate) fn insert(&mut self, member: Member<'_>) {
        *member.state = State {
            seq: self.take_seq(),
            round: self.current_round(member.params),
            virtual_counter: member.params.weight,
            selections: member.state.selections,
            ..State::new(member.state.class)
        };
        self.link(member);
    }

    pub(crate) fn remove(&mut self, member: Member<'_>) {
        let class = member.state.class;
        match &mut self.order {
            Order::Sorted(members) => {
                if let Some(members) = members.get_mut(class) {
                    members.remove(&member.state.key(member.params));
                }
            }
            Order::Drawn(trees) => {
                if let Some(tree) = trees.get_mut(class) {
                    tree.remove(member.state.slot);
                    if tree.len() == 0 {
                        // Frees the memory, for example after many suspects.
                        *tree = ValueTree::default();
                    }
                }
            }
        }
    }

    /// Takes the policy information of a re-registration. A non-adaptive member that says the same
    /// as before keeps its position.
    pub(crate) fn change(&mut self, member: Member<'_>, new: &Params) {
        if member.params == new && !new.adaptive {
            return;
        }
        let Member { key, params, state } = member;
        self.remove(Member { key, params, state });
        state.degradation = 0;
        self.link(Member { key, params: new, state });
    }

    /// Changes the parameters of a member that has not registered again.
    pub(crate) fn revalue(&mut self, member: Member<'_>, new: &Params) {
        let Member { key, params, state } = member;
        self.remove(Member { key, params, state });
        self.place(Member { key, params: new, state });
    }

    /// Moves a member to another class, where it keeps its position.
    pub(crate) fn set_class(&mut self, member: Member<'_>, class: Class) {
        let Member { key, params, state } = member;
        if state.class == class {
            return;
        }
        self.remove(Member { key, params, state });
        let round = self.current_round(params);
        if state.class.suspect && !class.suspect && state.round < round {
            // It does not catch up on the turns that it missed.
            state.round = round;
            state.virtual_counter = params.weight;
        }
        state.class = class;
        self.place(Member { key, params, state });
    }

    /// The first `n` members that this user can get, in order. Give those that count as used to
    /// [`Selection::touch`] afterwards.
    pub(crate) fn select(
        &mut self,
        n: usize,
        user: UserPlace,
        rng: &mut impl Rng,
    ) -> Vec<ElementKey> {
        let mut selected = Vec::new();
        for suspect in [false, true] {
            let wanted = n - selected.len();
            if wanted == 0 {
                break;
            }
            match &mut self.order {
                Order::Sorted(members) => {
                    selected.extend(in_order(members, suspect, user).take(wanted));
                }
                Order::Drawn(trees) => {
                    let is_a_choice = |class: &Class| {
                        class.suspect == suspect
                            && (user == UserPlace::ThisHost || !class.this_host_only)
                    };
                    let trees = trees.0.iter_mut().filter(|(class, _)| is_a_choice(class));
                    let mut trees: Vec<_> = trees.map(|(_, tree)| tree).collect();
                    selected.extend(values::draw(&mut trees, wanted, rng));
                }
            }
        }
        selected
    }

    /// Whether every selected member counts as used. Otherwise only the first "max increment" ones
    /// do.
    pub(crate) fn uses_all(&self) -> bool {
        matches!(self.order, Order::Drawn(_))
    }

    /// Marks a selected member as used.
    pub(crate) fn touch(&mut self, member: Member<'_>) {
        let Member { key, params, state } = member;
        state.selections += 1;
        if matches!(self.order, Order::Drawn(_)) {
            return;
        }
        self.remove(Member { key, params, state });
        state.seq = self.take_seq();
        // Here once for the use, and once more in `link`: so it is with RSPLIB.
        state.update(params);
        self.link(Member { key, params, state });
    }

    /// Checks that it holds exactly the given members, each under its present class and its present
    /// key or value.
    pub(crate) fn verify<'a>(
        &self,
        members: impl Iterator<Item = (ElementKey, &'a Params, &'a State)>,
    ) -> Result<(), String> {
        let mut count = 0;
        for (key, params, state) in members {
            count += 1;
            if state.seq >= self.next_seq {
                return Err(format!("{key:?}: sequence number {} was never given out", state.seq));
            }
            let found = match &self.order {
                Order::Sorted(members) => {
                    let place = members.get(state.class).and_then(|m| m.get(&state.key(params)));
                    params.value().is_none() && place == Some(&key)
                }
                Order::Drawn(trees) => {
                    let tree = trees.get(state.class);
                    tree.and_then(|tree| tree.at(state.slot)).is_some_and(|(member, value)| {
                        (member, Some(value)) == (key, params.value())
                    })
                }
            };
            if !found {
                return Err(format!("{key:?}: not in the selection order under its key"));
            }
        }
        if count != self.len() {
            return Err(format!("selection order holds {} members of {count}", self.len()));
        }
        match &self.order {
            Order::Sorted(_) => Ok(()),
            Order::Drawn(trees) => trees.0.iter().try_for_each(|(_, tree)| tree.verify()),
        }
    }

    /// The round of the first member. That of the first suspect counts only when all are suspects.
    fn current_round(&self, params: &Params) -> u64 {
        let (Order::Sorted(members), Rule::WeightedRoundRobin) = (&self.order, params.rule) else {
            return 0;
        };
        let first = |suspect| {
            let of_class = members.0.iter().filter(|(class, _)| class.suspect == suspect);
            of_class.filter_map(|(_, members)| members.keys().next()).min()
        };
        first(false).or_else(|| first(true)).map_or(0, |Key(round, ..)| *round)
    }

    fn link(&mut self, member: Member<'_>) {
        member.state.update(member.params);
        self.place(member);
    }

    /// Puts a member where its state says that it belongs.
    fn place(&mut self, member: Member<'_>) {
        let Member { key, params, state } = member;
        match &mut self.order {
            Order::Sorted(members) => {
                members.insert_with(state.class, |members| {
                    members.insert(state.key(params), key);
                });
            }
            Order::Drawn(trees) => {
                let value = params.value().unwrap_or(0);
                trees.insert_with(state.class, |tree| state.slot = tree.insert(key, value));
            }
        }
    }

    fn take_seq(&mut self) -> u64 {
        let seq = self.next_seq;
        self.next_seq += 1;
        seq
    }
}

/// The suspects, or the others, that a user can get, in the order of the policy.
fn in_order(
    members: &ByClass<BTreeMap<Key, ElementKey>>,
    suspect: bool,
    user: UserPlace,
) -> impl Iterator<Item = ElementKey> + '_ {
    let of_class = |this_host_only| {
        let members = members.get(Class { suspect, this_host_only });
        members.into_iter().flatten().peekable()
    };
    let mut everywhere = of_class(false);
    let mut here = (user == UserPlace::ThisHost).then(|| of_class(true));
    core::iter::from_fn(move || {
        let next_here = here.as_mut().and_then(|members| members.peek());
        let is_here_first = match (everywhere.peek(), next_here) {
            (Some((everywhere, _)), Some((here, _))) => here < everywhere,
            (_, here) => here.is_some(),
        };
        let next = if is_here_first { here.as_mut()?.next() } else { everywhere.next() };
        next.map(|(_, key)| *key)
    })
}
