//! Pool member selection policies: what a member is worth, in which order members come and how that
//! changes.
//!
//! Two families exist. *Sorted* policies keep the members ordered by a key and take them from the
//! front; *drawn* policies give each member a value and draw at random in proportion to it. A rule
//! of this module is the only place that knows how one policy differs from another.

pub(crate) mod values;

use std::collections::BTreeMap;

use rand::Rng;
use rserpool_wire::Policy;

use crate::arena::ElementKey;
use values::ValueTree;

/// Whether a handlespace can select by this policy.
pub fn supports(policy: &Policy) -> bool {
    Params::of(policy).is_some()
}

/// The policies that can be selected by (RFC 5356 and the policy drafts).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    RoundRobin,
    WeightedRoundRobin,
    Random,
    WeightedRandom,
    Priority,
    LeastUsed,
    LeastUsedDegradation,
    PriorityLeastUsed,
    RandomizedLeastUsed,
}

/// The policy information of one member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Params {
    pub(crate) rule: Rule,
    /// Weight or priority.
    weight: u32,
    /// Fraction of 0xffffffff.
    load: u32,
    /// Fraction of 0xffffffff.
    load_degradation: u32,
    /// The values follow the state of the element (RFC 5356: bit 30 of the number).
    adaptive: bool,
}

impl Params {
    /// `None` for a policy that this handlespace does not select by.
    pub(crate) fn of(policy: &Policy) -> Option<Self> {
        let adaptive = policy.is_adaptive();
        let params = |rule, weight, load, load_degradation| {
            Some(Params { rule, weight, load, load_degradation, adaptive })
        };
        match *policy {
            Policy::RoundRobin => params(Rule::RoundRobin, 0, 0, 0),
            Policy::WeightedRoundRobin { weight } => params(Rule::WeightedRoundRobin, weight, 0, 0),
            Policy::Random => params(Rule::Random, 0, 0, 0),
            Policy::WeightedRandom { weight } => params(Rule::WeightedRandom, weight, 0, 0),
            Policy::Priority { priority } => params(Rule::Priority, priority, 0, 0),
            Policy::LeastUsed { load } => params(Rule::LeastUsed, 0, load, 0),
            Policy::LeastUsedDegradation { load, load_degradation } => {
                params(Rule::LeastUsedDegradation, 0, load, load_degradation)
            }
            Policy::PriorityLeastUsed { load, load_degradation } => {
                params(Rule::PriorityLeastUsed, 0, load, load_degradation)
            }
            Policy::RandomizedLeastUsed { load } => params(Rule::RandomizedLeastUsed, 0, load, 0),
            _ => None,
        }
    }

    /// Interval length under a drawn policy, `None` under a sorted one.
    fn value(&self) -> Option<u32> {
        match self.rule {
            Rule::Random => Some(1),
            Rule::WeightedRandom => Some(self.weight),
            // Even a fully loaded member keeps a chance: somebody has to be chosen when all are.
            Rule::RandomizedLeastUsed => Some((u32::MAX - self.load).max(1)),
            _ => None,
        }
    }
}

/// What selection remembers about one member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    /// Position among equals: refreshed on each use, so equals take turns. 64 bits never wrap.
    seq: u64,
    /// Weighted round robin: the round this member is in.
    round: u64,
    /// Weighted round robin: how often it may still be used in this round.
    virtual_counter: u32,
    /// Least used with degradation: load assumed since the last (re-)registration, saturating.
    degradation: u32,
    /// How often it was used.
    pub(crate) selections: u64,
    /// Place in the value tree, under a drawn policy.
    slot: u32,
}

impl State {
    /// The sort key; ascending, unique by `seq`.
    fn key(&self, params: &Params) -> Key {
        match params.rule {
            Rule::WeightedRoundRobin => Key(self.round, u64::from(self.virtual_counter), self.seq),
            Rule::Priority => Key(u64::from(u32::MAX - params.weight), self.seq, 0),
            Rule::LeastUsed => Key(u64::from(params.load), self.seq, 0),
            Rule::LeastUsedDegradation => {
                Key(params.load.saturating_add(self.degradation).into(), self.seq, 0)
            }
            Rule::PriorityLeastUsed => {
                Key(params.load.saturating_add(params.load_degradation).into(), self.seq, 0)
            }
            Rule::RoundRobin | Rule::Random | Rule::WeightedRandom | Rule::RandomizedLeastUsed => {
                Key(self.seq, 0, 0)
            }
        }
    }

    /// The update that goes with every use and with every insertion.
    fn update(&mut self, params: &Params) {
        match params.rule {
            Rule::WeightedRoundRobin if self.virtual_counter > 1 => self.virtual_counter -= 1,
            Rule::WeightedRoundRobin => {
                self.round += 1;
                self.virtual_counter = params.weight;
            }
            Rule::LeastUsedDegradation => {
                self.degradation = self.degradation.saturating_add(params.load_degradation);
            }
            _ => {}
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key(u64, u64, u64);

/// One member as the selection sees it: borrowed from the element for the time of an operation.
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
    Sorted(BTreeMap<Key, (ElementKey, u64)>),
    Drawn(ValueTree),
}

impl Selection {
    pub(crate) fn new(params: &Params) -> Self {
        let order = match params.value() {
            None => Order::Sorted(BTreeMap::new()),
            Some(_) => Order::Drawn(ValueTree::default()),
        };
        Selection { order, next_seq: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        match &self.order {
            Order::Sorted(members) => members.len(),
            Order::Drawn(tree) => tree.len(),
        }
    }

    /// First registration: behind all equals, in the current round.
    pub(crate) fn insert(&mut self, member: Member<'_>) {
        *member.state = State {
            seq: self.take_seq(),
            round: match &self.order {
                Order::Sorted(members) => {
                    members.first_key_value().map_or(0, |(_, (_, round))| *round)
                }
                Order::Drawn(_) => 0,
            },
            virtual_counter: member.params.weight,
            ..State::default()
        };
        self.link(member);
    }

    pub(crate) fn remove(&mut self, member: Member<'_>) {
        match &mut self.order {
            Order::Sorted(members) => {
                members.remove(&member.state.key(member.params));
            }
            Order::Drawn(tree) => tree.remove(member.state.slot),
        }
    }

    /// Re-registration with possibly other policy information. The position of a non-adaptive
    /// member that says the same as before does not change.
    pub(crate) fn change(&mut self, member: Member<'_>, new: &Params) {
        if member.params == new && !new.adaptive {
            return;
        }
        let Member { key, params, state } = member;
        self.remove(Member { key, params, state });
        state.degradation = 0;
        self.link(Member { key, params: new, state });
    }

    /// The first `n` acceptable members in order. Those that count as used have to be given to
    /// [`Selection::touch`] afterwards.
    pub(crate) fn select(
        &mut self,
        n: usize,
        rng: &mut impl Rng,
        mut acceptable: impl FnMut(ElementKey) -> bool,
    ) -> Vec<ElementKey> {
        match &mut self.order {
            Order::Sorted(members) => members
                .values()
                .map(|(member, _)| *member)
                .filter(|member| acceptable(*member))
                .take(n)
                .collect(),
            Order::Drawn(tree) => tree.draw(n, rng, acceptable),
        }
    }

    /// Whether every selected member counts as used; otherwise only the first "max increment" ones
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
        // Once for the use here and once more in `link`: users of the reference implementation see
        // both steps.
        state.update(params);
        self.link(Member { key, params, state });
    }

    /// Checks that exactly the given members are held, each under its present key or value.
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
                    members.get(&state.key(params)) == Some(&(key, state.round))
                }
                Order::Drawn(tree) => {
                    tree.at(state.slot) == params.value().map(|value| (key, value))
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
            Order::Drawn(tree) => tree.verify(),
        }
    }

    fn link(&mut self, member: Member<'_>) {
        let Member { key, params, state } = member;
        state.update(params);
        match &mut self.order {
            Order::Sorted(members) => {
                members.insert(state.key(params), (key, state.round));
            }
            Order::Drawn(tree) => state.slot = tree.insert(key, params.value().unwrap_or(0)),
        }
    }

    fn take_seq(&mut self) -> u64 {
        let seq = self.next_seq;
        self.next_seq += 1;
        seq
    }
}
