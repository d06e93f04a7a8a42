//! Sorted policies against a model that looks at every member: the sequences are the same, whatever
//! the mixture of members and users.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
struct ModelMember {
    id: u32,
    policy: Policy,
    local: bool,
    suspect: bool,
    seq: u64,
    round: u64,
    virtual_counter: u32,
    degradation: u32,
}

impl ModelMember {
    fn key(&self) -> (u64, u64, u64) {
        let full = u64::from(u32::MAX);
        match self.policy {
            Policy::RoundRobin => (0, 0, self.seq),
            Policy::WeightedRoundRobin { .. } => {
                (self.round, self.virtual_counter.into(), self.seq)
            }
            Policy::Priority { priority } => (full - u64::from(priority), 0, self.seq),
            Policy::LeastUsed { load } => (load.into(), 0, self.seq),
            Policy::LeastUsedDegradation { load, .. } => {
                ((u64::from(load) + u64::from(self.degradation)).min(full), 0, self.seq)
            }
            Policy::PriorityLeastUsed { load, load_degradation } => {
                ((u64::from(load) + u64::from(load_degradation)).min(full), 0, self.seq)
            }
            _ => unreachable!("not a sorted policy"),
        }
    }

    fn update(&mut self) {
        match self.policy {
            Policy::WeightedRoundRobin { weight } => {
                if self.virtual_counter > 1 {
                    self.virtual_counter -= 1;
                } else {
                    self.round += 1;
                    self.virtual_counter = weight;
                }
            }
            Policy::LeastUsedDegradation { load_degradation, .. } => {
                self.degradation = self.degradation.saturating_add(load_degradation);
            }
            _ => {}
        }
    }

    fn weight(&self) -> u32 {
        match self.policy {
            Policy::WeightedRoundRobin { weight } => weight,
            _ => 0,
        }
    }
}

#[derive(Debug, Default)]
struct Model {
    members: Vec<ModelMember>,
    next_seq: u64,
}

impl Model {
    fn current_round(&self) -> u64 {
        let first =
            |suspect| self.members.iter().filter(|m| m.suspect == suspect).min_by_key(|m| m.key());
        first(false).or_else(|| first(true)).map_or(0, |member| member.round)
    }

    fn register(&mut self, id: u32, policy: Policy, local: bool) {
        if let Some(member) = self.members.iter_mut().find(|member| member.id == id) {
            member.local = local;
            if member.policy != policy || policy.is_adaptive() {
                member.policy = policy;
                member.degradation = 0;
                member.update();
            }
            return;
        }
        let (seq, round) = (self.next_seq, self.current_round());
        self.next_seq += 1;
        let mut member = ModelMember {
            id,
            policy,
            local,
            suspect: false,
            seq,
            round,
            virtual_counter: 0,
            degradation: 0,
        };
        member.virtual_counter = member.weight();
        member.update();
        self.members.push(member);
    }

    fn set_suspect(&mut self, id: u32, suspect: bool) {
        let Some(at) = self.members.iter().position(|member| member.id == id) else { return };
        let mut member = self.members.remove(at);
        if member.suspect && !suspect && member.round < self.current_round() {
            member.round = self.current_round();
            member.virtual_counter = member.weight();
        }
        member.suspect = suspect;
        self.members.push(member);
    }

    fn select(&mut self, n: usize, user: UserPlace, max_increment: usize) -> Vec<u32> {
        self.members.sort_by_key(|member| (member.suspect, member.key()));
        let reachable = |m: &&mut ModelMember| user == UserPlace::ThisHost || !m.local;
        let mut selected = Vec::new();
        for member in self.members.iter_mut().filter(reachable).take(n) {
            if selected.len() < max_increment.max(1) {
                member.seq = self.next_seq;
                self.next_seq += 1;
                member.update();
                member.update();
            }
            selected.push(member.id);
        }
        selected
    }
}

#[derive(Clone, Debug)]
enum Step {
    Register { id: u32, values: [u32; 2], local: bool },
    Remove(u32),
    SetSuspect(u32, bool),
    Select { n: usize, elsewhere: bool },
}

fn step() -> impl Strategy<Value = Step> {
    let id = || 1u32..7;
    let value = || prop_oneof![0u32..4, Just(0x4000_0000), Just(u32::MAX)];
    prop_oneof![
        4 => (id(), [value(), value()], any::<bool>())
            .prop_map(|(id, values, local)| Step::Register { id, values, local }),
        1 => id().prop_map(Step::Remove),
        2 => (id(), any::<bool>()).prop_map(|(id, suspect)| Step::SetSuspect(id, suspect)),
        8 => (0usize..6, any::<bool>())
            .prop_map(|(n, elsewhere)| Step::Select { n, elsewhere }),
    ]
}

const POLICIES: [fn([u32; 2]) -> Policy; 6] = [
    |_| Policy::RoundRobin,
    |[weight, _]| Policy::WeightedRoundRobin { weight },
    |[priority, _]| Policy::Priority { priority },
    |[load, _]| Policy::LeastUsed { load },
    |[load, load_degradation]| Policy::LeastUsedDegradation { load, load_degradation },
    |[load, load_degradation]| Policy::PriorityLeastUsed { load, load_degradation },
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn sorted_sequences_are_those_of_the_model(
        steps in prop::collection::vec(step(), 1..120),
        policy in prop::sample::select(POLICIES.as_slice()),
        max_increment in 0usize..4,
    ) {
        let mut space = Handlespace::new(Config { max_increment, ..Config::default() });
        let mut model = Model::default();
        for step in steps {
            match step {
                Step::Register { id, values, local } => {
                    let info = match local {
                        true => local_element(id, policy(values)),
                        false => element(id, policy(values)),
                    };
                    space.register(&handle("pool"), info, None, OWN).unwrap();
                    model.register(id, policy(values), local);
                }
                Step::Remove(id) => {
                    if let Some(key) = space.find(&handle("pool"), PeId(id)) {
                        space.remove(key);
                    }
                    model.members.retain(|member| member.id != id);
                    if model.members.is_empty() {
                        model.next_seq = 0;
                    }
                }
                Step::SetSuspect(id, suspect) => {
                    if let Some(key) = space.find(&handle("pool"), PeId(id)) {
                        space.set_suspect(key, suspect);
                    }
                    model.set_suspect(id, suspect);
                }
                Step::Select { n, elsewhere } => {
                    let user =
                        if elsewhere { UserPlace::Elsewhere } else { UserPlace::ThisHost };
                    prop_assert_eq!(
                        select_for(&mut space, user, n),
                        model.select(n, user, max_increment)
                    );
                }
            }
            prop_assert_eq!(space.verify(), Ok(()));
        }
    }
}
