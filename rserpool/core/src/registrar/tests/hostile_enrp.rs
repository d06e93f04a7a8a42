//! Whatever other registrars say, in whatever order: the handlespace stays whole, time goes on, and
//! what this registrar owns stays its own as long as the element answers.

use proptest::prelude::*;
use rserpool_wire::{
    EnrpBody, EnrpMessage, HandleTableRequest, HandleTableResponse, HandleUpdate, ListResponse,
    PoolEntry, Presence, ServerInformation, UpdateAction,
};

use super::*;

/// Something that a registrar may say, or that happens to it.
#[derive(Clone, Debug)]
enum Step {
    Up(u8),
    Down(u8),
    /// Over an association, with this sender.
    Say(u8, u32, EnrpBody),
    Bytes(u8, Vec<u8>),
    Datagram(u32),
    /// The element of ours registers, or answers what it is asked.
    Element,
    Pass(u16),
}

fn server() -> impl Strategy<Value = ServerId> {
    // Ours, smaller and larger ones.
    prop_oneof![
        Just(SERVER),
        (1u32..5).prop_map(ServerId),
        (0xf000_0000u32..0xf000_0003).prop_map(ServerId)
    ]
}

fn information() -> impl Strategy<Value = ServerInformation> {
    (server(), 1u8..5, prop_oneof![Just(5000u16), Just(9901)]).prop_map(|(id, last, port)| {
        let transport = SctpTransport::data_only(port, vec![[10, 0, 0, last].into()]);
        ServerInformation { id, transport, udp_port: None }
    })
}

fn member() -> impl Strategy<Value = PoolElement> {
    let policy = prop_oneof![
        3 => Just(Policy::RoundRobin),
        1 => Just(Policy::WeightedRandom { weight: 3 }),
        1 => Just(Policy::Unknown { number: 0xb000_7777, fields: Bytes::new() }),
    ];
    let life = prop_oneof![Just(Life::INFINITE), (0u32..5000).prop_map(Life)];
    let id = prop_oneof![3 => 1u32..5, 1 => Just(77)];
    (id, server(), policy, life, any::<bool>(), 1u8..5).prop_map(
        |(id, home, policy, life, reachable, last)| PoolElement {
            home,
            policy,
            life,
            asap_transport: reachable
                .then(|| SctpTransport::data_only(5000, vec![[10, 0, 1, last].into()])),
            ..element_at(id, &["10.0.1.1"])
        },
    )
}

fn body() -> impl Strategy<Value = EnrpBody> {
    let pool = || prop_oneof![Just(handle("pool")), Just(handle("other"))];
    prop_oneof![
        6 => (any::<bool>(), proptest::option::of(any::<u16>()), proptest::option::of(information()))
            .prop_map(|(reply_required, checksum, info)| {
                EnrpBody::Presence(Presence { reply_required, checksum, info })
            }),
        2 => any::<bool>().prop_map(|own_children_only| {
            EnrpBody::HandleTableRequest(HandleTableRequest { own_children_only })
        }),
        4 => (any::<bool>(), any::<bool>(), pool(), prop::collection::vec(member(), 0..4)).prop_map(
            |(rejected, more, pool, elements)| {
                let pools = vec![PoolEntry { pool, elements }];
                EnrpBody::HandleTableResponse(HandleTableResponse { rejected, more, pools })
            }
        ),
        6 => (any::<bool>(), 0u16..3, pool(), member()).prop_map(
            |(takeover_suggested, action, pool, element)| {
                let action = UpdateAction::from_u16(action);
                EnrpBody::HandleUpdate(HandleUpdate { takeover_suggested, action, pool, element })
            }
        ),
        1 => Just(EnrpBody::ListRequest),
        1 => prop::collection::vec(information(), 0..4)
            .prop_map(|servers| EnrpBody::ListResponse(ListResponse { rejected: false, servers })),
        2 => server().prop_map(EnrpBody::InitTakeover),
        2 => server().prop_map(EnrpBody::InitTakeoverAck),
        2 => server().prop_map(EnrpBody::TakeoverServer),
        1 => Just(EnrpBody::Error(OperationError::new(CauseCode::UNSPECIFIED))),
    ]
}

/// Somebody speaks for itself, as far as that goes.
fn honest(who: u8, mut body: EnrpBody) -> Step {
    let id = ServerId([2, 4, 0xf000_0000, 0xf000_0001][usize::from(who) - 1]);
    let own = |element: &mut PoolElement| element.home = id;
    match &mut body {
        EnrpBody::Presence(presence) => {
            let transport = SctpTransport::data_only(5000, vec![[10, 0, 0, who].into()]);
            presence.info = Some(ServerInformation { id, transport, udp_port: None });
        }
        EnrpBody::HandleUpdate(update) => own(&mut update.element),
        EnrpBody::HandleTableResponse(response) => {
            response.pools.iter_mut().flat_map(|pool| &mut pool.elements).for_each(own);
        }
        _ => {}
    }
    Step::Say(who, id.0, body)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (1u8..5).prop_map(Step::Up),
        1 => (1u8..5).prop_map(Step::Down),
        3 => (1u8..5, server(), body()).prop_map(|(who, id, body)| Step::Say(who, id.0, body)),
        12 => (1u8..5, body()).prop_map(|(who, body)| honest(who, body)),
        1 => (1u8..5, prop::collection::vec(any::<u8>(), 0..40))
            .prop_map(|(who, bytes)| Step::Bytes(who, bytes)),
        1 => server().prop_map(|id| Step::Datagram(id.0)),
        2 => Just(Step::Element),
        3 => (0u16..6000).prop_map(Step::Pass),
    ]
}

/// Lets what the registrar wanted happen: attempts fail, and the element answers at once.
fn settle(lab: &mut Lab, pe: ChannelId) {
    for _ in 0..1000 {
        let outputs = std::mem::take(&mut lab.outputs);
        if outputs.is_empty() {
            return;
        }
        for output in outputs {
            match output {
                Output::Connect { channel, .. } => {
                    let failure = crate::channel::ConnectFailure::TimedOut;
                    lab.handle(Input::Failed { channel, failure });
                }
                Output::Send { channel, ppid, data } if channel == pe => {
                    assert_eq!(ppid, ppid::ASAP);
                    if let Ok(AsapMessage::EndpointKeepAlive(m)) = AsapMessage::decode(&data) {
                        lab.ack(pe, "pool", m.id.unwrap().0);
                    }
                }
                Output::Send { data, ppid, .. } => {
                    let valid = match ppid {
                        ppid::ENRP => EnrpMessage::decode(&data).is_ok(),
                        _ => AsapMessage::decode(&data).is_ok(),
                    };
                    assert!(valid);
                }
                _ => {}
            }
        }
    }
    panic!("it never ends");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn any_course_of_enrp(steps in prop::collection::vec(step(), 1..100)) {
        let mut lab = Lab::with(|c| {
            c.enrp = Some(EnrpConfig { max_peers: 3, ..EnrpConfig::default() });
            c.max_elements = 6;
        });
        lab.core.local.reach = crate::reach::Reach { native: false, udp: true };
        let pe = lab.up(&["10.0.0.200"]);
        let own = || Registration { pool: handle("pool"), element: element_at(77, &["10.0.0.200"]) };
        lab.message(pe, AsapMessage::Registration(own()));
        settle(&mut lab, pe);
        let channel = |who: u8| ChannelId::incoming(1000 + u64::from(who));
        for step in steps {
            match step {
                Step::Up(who) => {
                    let peer = peer(&[&format!("10.0.0.{who}")], Some(9899));
                    let (channel, protocol) = (channel(who), Protocol::Enrp);
                    // A driver never uses a name twice, but a core must not break over it.
                    let local = vec![[10, 0, 0, 100].into()];
                    lab.handle(Input::Up { channel, protocol, peer, local, local_port: 9901 });
                }
                Step::Down(who) => lab.down(channel(who)),
                Step::Say(who, sender, body) => {
                    let sender = ServerId(sender);
                    let message = EnrpMessage { sender, receiver: SERVER, body };
                    if let Ok(data) = message.encode() {
                        lab.bytes(channel(who), ppid::ENRP, &data);
                    }
                }
                Step::Bytes(who, bytes) => lab.bytes(channel(who), ppid::ENRP, &bytes),
                Step::Datagram(id) => {
                    let transport = SctpTransport::data_only(9901, vec![[10, 0, 0, 9].into()]);
                    let info = ServerInformation { id: ServerId(id), transport, udp_port: None };
                    let (reply_required, checksum) = (false, None);
                    let body =
                        EnrpBody::Presence(Presence { reply_required, checksum, info: Some(info) });
                    let (sender, receiver) = (ServerId(id), ServerId::UNDEFINED);
                    let data = EnrpMessage { sender, receiver, body }.encode().unwrap();
                    let from = ([10, 0, 0, 9], 9901).into();
                    lab.handle(Input::Datagram { protocol: Protocol::Enrp, from, data: &data });
                }
                Step::Element => lab.message(pe, AsapMessage::Registration(own())),
                Step::Pass(millis) => {
                    let end = lab.now + ms(millis.into());
                    let mut rounds = 0;
                    while let Some(next) = lab.core.poll_timeout().filter(|next| *next <= end) {
                        rounds += 1;
                        prop_assert!(rounds < 5000, "time does not go on");
                        lab.now = next.max(lab.now);
                        lab.handle(Input::Timeout);
                        settle(&mut lab, pe);
                    }
                    lab.now = end;
                }
            }
            settle(&mut lab, pe);
            prop_assert!(lab.core.stats().peers <= 3);
            let space = lab.core.handlespace();
            let key = space.find(&handle("pool"), PeId(77));
            let owner = key.and_then(|key| space.get(key)).map(|e| (e.info().home, e.owner()));
            prop_assert_eq!(owner, Some((SERVER, Some(pe.as_u64()))), "the element lives and answers");
        }
    }
}
