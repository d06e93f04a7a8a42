//! Whatever happens in whatever order: every question is answered exactly once, nothing is sent
//! where nobody is, and time goes on.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// Something that happens to the core. Associations are named by their place among those that live.
#[derive(Clone, Debug)]
enum Op {
    Pass(u64),
    Up(usize),
    Down(usize),
    Incoming(u8),
    Message(usize, Vec<u8>),
    Announce(u8),
    Register(u32),
    SetLoad(u32, u32),
    Deregister(u32),
    Resolve(u32, u64),
    Report(u32),
}

fn message() -> impl Strategy<Value = Vec<u8>> {
    let id = 0u32..3;
    let elements = |ids: Vec<u32>| Resolution::Elements {
        policy: Some(Policy::RoundRobin),
        elements: ids.into_iter().map(element).collect(),
    };
    let answer = |resolution| {
        AsapMessage::HandleResolutionResponse(HandleResolutionResponse {
            accept_updates: false,
            pool: pool(),
            resolution,
        })
    };
    let valid = prop_oneof![
        4 => id.clone().prop_map(accepted),
        1 => id.clone().prop_map(|id| response(id, Some(CauseCode::NO_USABLE_USER_ADDRESSES))),
        1 => id.clone().prop_map(|id| response(id, Some(CauseCode::INCONSISTENT_POLICY))),
        3 => (any::<bool>(), proptest::option::of(id.clone()))
            .prop_map(|(home, id)| keep_alive(home, id)),
        4 => vec(id.clone(), 0..3).prop_map(move |ids| answer(elements(ids))),
        1 => Just(answer(Resolution::Error(OperationError::new(CauseCode::UNKNOWN_POOL)))),
        2 => id.prop_map(|id| AsapMessage::DeregistrationResponse(DeregistrationResponse {
            rejected: false,
            pool: pool(),
            id: PeId(id),
            error: None,
        })),
        1 => Just(AsapMessage::Error(OperationError::new(CauseCode::UNSPECIFIED))),
    ];
    prop_oneof![
        9 => valid.prop_map(|m| m.encode().unwrap().to_vec()),
        1 => vec(any::<u8>(), 0..20),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (0u64..9000).prop_map(Op::Pass),
        4 => (0usize..4).prop_map(Op::Up),
        1 => (0usize..4).prop_map(Op::Down),
        2 => (2u8..4).prop_map(Op::Incoming),
        8 => (0usize..4, message()).prop_map(|(a, m)| Op::Message(a, m)),
        1 => (1u8..9).prop_map(Op::Announce),
        1 => (0u32..3).prop_map(Op::Register),
        1 => (0u32..3, any::<u32>()).prop_map(|(id, load)| Op::SetLoad(id, load)),
        1 => (0u32..3).prop_map(Op::Deregister),
        3 => (0u32..3, prop_oneof![Just(0u64), 0u64..9000])
            .prop_map(|(n, stale)| Op::Resolve(n, stale)),
        1 => (0u32..3).prop_map(Op::Report),
    ]
}

/// What the driver knows.
#[derive(Default)]
struct World {
    /// Associations that live, true for those that are up.
    live: BTreeMap<ChannelId, bool>,
    /// Questions without an answer yet.
    open: BTreeSet<RequestId>,
}

impl World {
    fn drain(&mut self, core: &mut AsapCore) {
        let mut outputs = 0;
        while let Some(output) = core.poll_output() {
            outputs += 1;
            assert!(outputs < 10_000, "endless output");
            match output {
                Output::Connect { channel, .. } => {
                    assert!(self.live.insert(channel, false).is_none())
                }
                Output::Send { channel, data, .. } => {
                    assert_eq!(self.live.get(&channel), Some(&true), "sent where nobody is");
                    AsapMessage::decode(&data).unwrap();
                }
                Output::Abort { channel, .. } => drop(self.live.remove(&channel)),
                Output::Event(AsapEvent::Resolved { request, .. })
                | Output::Event(AsapEvent::Deregistered { request, .. }) => {
                    assert!(self.open.remove(&request), "answered twice");
                }
                Output::Event(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    fn pass(&mut self, bench: &mut Bench, time: Duration) {
        let end = bench.now + time;
        let mut timeouts = 0;
        self.drain(&mut bench.core);
        while let Some(at) = bench.core.poll_timeout().filter(|at| *at <= end) {
            timeouts += 1;
            assert!(timeouts < 10_000, "time does not go on");
            bench.now = bench.now.max(at);
            bench.handle(Input::Timeout);
            self.drain(&mut bench.core);
        }
        bench.now = end;
    }

    fn channel(&self, n: usize) -> Option<ChannelId> {
        self.live.keys().nth(n).copied()
    }
}

proptest! {
    #[test]
    fn any_course_of_events(ops in vec(op(), 0..80)) {
        let config = AsapConfig { max_request_trials: 2, ..AsapConfig::default() };
        let mut bench = Bench::with(config, &[registrar(1), registrar(2)]);
        let mut world = World::default();
        for op in ops {
            world.drain(&mut bench.core);
            let now = bench.now;
            match op {
                Op::Pass(millis) => world.pass(&mut bench, ms(millis)),
                Op::Up(n) => {
                    if let Some(channel) = world.channel(n)
                        && world.live.insert(channel, true) == Some(false)
                    {
                        bench.connected(channel);
                    }
                }
                Op::Down(n) => {
                    if let Some(channel) = world.channel(n) {
                        match world.live.remove(&channel) {
                            Some(true) => bench.down(channel),
                            _ => bench.handle(Input::Failed { channel, failure: no_route() }),
                        }
                    }
                }
                Op::Incoming(last) => {
                    let channel = bench.incoming_from(registrar(last));
                    world.live.insert(channel, true);
                }
                Op::Message(n, bytes) => {
                    if let Some(channel) = world.channel(n)
                        && world.live[&channel]
                    {
                        bench.bytes(channel, &bytes);
                    }
                }
                Op::Announce(last) => bench.announce(last),
                Op::Register(id) => bench.core.register(now, own(id, Policy::LeastUsed { load: 0 })),
                Op::SetLoad(id, load) => bench.core.set_load(now, &pool(), PeId(id), load),
                Op::Deregister(id) => {
                    world.open.insert(bench.core.deregister(now, &pool(), PeId(id)));
                }
                Op::Resolve(n, stale) => {
                    world.open.insert(bench.core.resolve(now, &pool(), n, ms(stale)));
                }
                Op::Report(id) => bench.core.report_unreachable(now, &pool(), PeId(id)),
            }
        }
        // Nobody answers any more: all questions end all the same.
        world.pass(&mut bench, ms(60_000));
        prop_assert!(world.open.is_empty(), "unanswered: {:?}", world.open);
    }
}
