//! Pool member selection policies: what a member is worth, in which order members come, and how
//! that changes.
//!
//! There are two families. *Sorted* policies order the members by a key and take them from the
//! front. *Drawn* policies give each member a value, and draw at random in proportion to it. Only
//! this module knows how one policy differs from another.

mod selection;
mod values;

use rserpool_wire::Policy;

pub use selection::UserPlace;
pub(crate) use selection::{Class, Member, Selection};

/// Whether a handlespace can select by this policy.
pub fn supports(policy: &Policy) -> bool {
    Params::of(policy).is_some()
}

/// The policies that a handlespace can select by (RFC 5356 and the policy drafts).
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
    /// Weight or priority, after the penalty for the distance.
    weight: u32,
    /// Fraction of 0xffffffff, after the penalty for the distance.
    load: u32,
    /// Fraction of 0xffffffff.
    load_degradation: u32,
    /// The values follow the state of the element (RFC 5356: bit 30 of the number).
    adaptive: bool,
}

impl Params {
    /// `None` for a policy that this handlespace cannot select by.
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
            // A distance reduces the weight or increases the load, and changes nothing else.
            Policy::WeightedRandomDpf { weight, weight_dpf, distance } => {
                params(Rule::WeightedRandom, weight_at(weight, weight_dpf, distance), 0, 0)
            }
            Policy::LeastUsedDpf { load, load_dpf, distance } => {
                params(Rule::LeastUsed, 0, load_at(load, load_dpf, distance), 0)
            }
            Policy::LeastUsedDegradationDpf { load, load_degradation, load_dpf, distance } => {
                let load = load_at(load, load_dpf, distance);
                params(Rule::LeastUsedDegradation, 0, load, load_degradation)
            }
            _ => None,
        }
    }

    /// Interval length under a drawn policy, `None` under a sorted one.
    fn value(&self) -> Option<u32> {
        match self.rule {
            Rule::Random => Some(1),
            Rule::WeightedRandom => Some(self.weight),
            // A fully loaded member keeps a chance, because all of them may be fully loaded.
            Rule::RandomizedLeastUsed => Some((u32::MAX - self.load).max(1)),
            _ => None,
        }
    }
}

/// A weight reduced by the penalty for a distance. Each millisecond costs the share `dpf` of the
/// weight, a fraction of 0xffffffff. As in RSPLIB, a weight that would be negative is 1.
fn weight_at(weight: u32, dpf: u32, distance: u32) -> u32 {
    let full = u128::from(u32::MAX);
    let product = u128::from(weight) * u128::from(distance) * u128::from(dpf);
    // Rounds to the nearest number. The divisor is odd, so there are no ties.
    let penalty = (product + full / 2) / full;
    u32::try_from(penalty).ok().and_then(|penalty| weight.checked_sub(penalty)).unwrap_or(1)
}

/// A load increased by `dpf` for each millisecond of distance.
fn load_at(load: u32, dpf: u32, distance: u32) -> u32 {
    let sum = u64::from(load) + u64::from(dpf) * u64::from(distance);
    u32::try_from(sum).unwrap_or(u32::MAX)
}

/// What selection remembers about one member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    /// Position among equals. Each use renews it, so equals take turns. 64 bits never wrap.
    seq: u64,
    /// Weighted round robin: the round this member is in.
    round: u64,
    /// Weighted round robin: how often it may still be used in this round.
    virtual_counter: u32,
    /// Least used with degradation: load assumed since the last (re-)registration, saturating.
    degradation: u32,
    /// How often it was used.
    pub(crate) selections: u64,
    /// Place in the value tree of its class, under a drawn policy.
    slot: u32,
    /// Who may be given this member, and when.
    pub(crate) class: Class,
}

impl State {
    /// The state of an element that is not in a selection yet.
    pub(crate) fn new(class: Class) -> Self {
        State { class, ..State::default() }
    }

    /// The sort key, in ascending order; `seq` makes it unique.
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

    /// What every use and every insertion change.
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
