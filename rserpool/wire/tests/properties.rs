//! Decoding never panics, whatever the bytes are, and it gives back what was encoded.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bytes::Bytes;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use rserpool_wire::{
    AsapMessage, BusinessCard, Cause, CauseCode, Deregistration, DeregistrationResponse,
    EndpointKeepAlive, EndpointKeepAliveAck, EndpointUnreachable, EnrpBody, EnrpMessage,
    HandleResolution, HandleResolutionResponse, HandleTableRequest, HandleTableResponse,
    HandleUpdate, Life, ListResponse, OperationError, PeId, Policy, PoolElement, PoolEntry,
    PoolHandle, Presence, Reaction, Registration, RegistrationResponse, Resolution, SctpTransport,
    ServerAnnounce, ServerId, ServerInformation, TcpTransport, Transport, TransportUse,
    UpdateAction,
};

fn bytes(range: std::ops::Range<usize>) -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), range).prop_map(Bytes::from)
}

fn pool() -> impl Strategy<Value = PoolHandle> {
    vec(any::<u8>(), 1..=32).prop_map(|h| PoolHandle::new(h).unwrap())
}

fn ip() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<u32>().prop_map(|a| IpAddr::V4(Ipv4Addr::from_bits(a))),
        // IPv4-mapped addresses travel as IPv4.
        any::<u128>().prop_map(|a| IpAddr::V6(Ipv6Addr::from_bits(a)).to_canonical()),
    ]
}

fn transport_use() -> impl Strategy<Value = TransportUse> {
    prop_oneof![0u16..3, any::<u16>()].prop_map(TransportUse::from_u16)
}

fn sctp() -> impl Strategy<Value = SctpTransport> {
    (any::<u16>(), transport_use(), vec(ip(), 1..5))
        .prop_map(|(port, transport_use, addrs)| SctpTransport { port, transport_use, addrs })
}

fn transport() -> impl Strategy<Value = Transport> {
    let port = any::<u16>;
    prop_oneof![
        sctp().prop_map(Transport::Sctp),
        (port(), any::<u32>(), ip()).prop_map(|(port, service_code, addr)| Transport::Dccp {
            port,
            service_code,
            addr
        }),
        (port(), transport_use(), ip()).prop_map(|(port, transport_use, addr)| Transport::Tcp(
            TcpTransport { port, transport_use, addr }
        )),
        (port(), ip()).prop_map(|(port, addr)| Transport::Udp { port, addr }),
        (port(), ip()).prop_map(|(port, addr)| Transport::UdpLite { port, addr }),
        bytes(0..20).prop_map(Transport::Opaque),
    ]
}

/// All known numbers, and unknown ones.
fn policy() -> impl Strategy<Value = Policy> {
    let v = any::<u32>;
    prop_oneof![
        Just(Policy::RoundRobin),
        Just(Policy::Random),
        v().prop_map(|weight| Policy::WeightedRoundRobin { weight }),
        v().prop_map(|weight| Policy::WeightedRandom { weight }),
        v().prop_map(|priority| Policy::Priority { priority }),
        v().prop_map(|load| Policy::LeastUsed { load }),
        v().prop_map(|load| Policy::RandomizedLeastUsed { load }),
        (v(), v(), 0..6).prop_map(|(load, load_degradation, kind)| match kind {
            0 => Policy::LeastUsedDegradation { load, load_degradation },
            1 => Policy::PriorityLeastUsed { load, load_degradation },
            2 => Policy::RandomizedPriorityLeastUsed { load, load_degradation },
            3 => Policy::RandomizedLeastUsedDegradation { load, load_degradation },
            4 => Policy::PriorityLeastUsedDegradation { load, load_degradation },
            _ => Policy::RandomizedPriorityLeastUsedDegradation { load, load_degradation },
        }),
        (v(), v(), v()).prop_map(|(weight, weight_dpf, distance)| Policy::WeightedRandomDpf {
            weight,
            weight_dpf,
            distance
        }),
        (v(), v(), v()).prop_map(|(load, load_dpf, distance)| Policy::LeastUsedDpf {
            load,
            load_dpf,
            distance
        }),
        (v(), v(), v(), v()).prop_map(|(load, load_degradation, load_dpf, distance)| {
            Policy::LeastUsedDegradationDpf { load, load_degradation, load_dpf, distance }
        }),
        (0xb000_2004u32.., bytes(0..12))
            .prop_map(|(number, fields)| Policy::Unknown { number, fields }),
    ]
}

fn udp_port() -> impl Strategy<Value = Option<u16>> {
    option::of(1u16..)
}

fn element() -> impl Strategy<Value = PoolElement> {
    let ids = (any::<u32>(), any::<u32>(), any::<u32>());
    (ids, transport(), policy(), option::of(sctp()), udp_port()).prop_map(
        |((id, home, life), user_transport, policy, asap_transport, udp_port)| PoolElement {
            id: PeId(id),
            home: ServerId(home),
            life: Life(life),
            user_transport,
            policy,
            asap_transport,
            udp_port,
        },
    )
}

fn error() -> impl Strategy<Value = OperationError> {
    let cause =
        (any::<u16>(), bytes(0..20)).prop_map(|(code, info)| Cause { code: CauseCode(code), info });
    vec(cause, 0..4).prop_map(|causes| OperationError { causes })
}

fn server() -> impl Strategy<Value = ServerInformation> {
    (any::<u32>(), sctp(), udp_port()).prop_map(|(id, transport, udp_port)| ServerInformation {
        id: ServerId(id),
        transport,
        udp_port,
    })
}

fn asap() -> impl Strategy<Value = AsapMessage> {
    let id = || any::<u32>().prop_map(PeId);
    let flag = any::<bool>;
    let resolution = prop_oneof![
        (option::of(policy()), vec(element(), 0..4))
            .prop_map(|(policy, elements)| Resolution::Elements { policy, elements }),
        error().prop_map(Resolution::Error),
    ];
    prop_oneof![
        (pool(), element())
            .prop_map(|(pool, element)| AsapMessage::Registration(Registration { pool, element })),
        (pool(), id())
            .prop_map(|(pool, id)| AsapMessage::Deregistration(Deregistration { pool, id })),
        (flag(), pool(), id(), option::of(error())).prop_map(|(rejected, pool, id, error)| {
            AsapMessage::RegistrationResponse(RegistrationResponse { rejected, pool, id, error })
        }),
        (flag(), pool(), id(), option::of(error())).prop_map(|(rejected, pool, id, error)| {
            AsapMessage::DeregistrationResponse(DeregistrationResponse {
                rejected,
                pool,
                id,
                error,
            })
        }),
        (flag(), pool(), option::of(any::<u32>())).prop_map(|(subscribe, pool, items)| {
            AsapMessage::HandleResolution(HandleResolution { subscribe, pool, items })
        }),
        (flag(), pool(), resolution).prop_map(|(accept_updates, pool, resolution)| {
            AsapMessage::HandleResolutionResponse(HandleResolutionResponse {
                accept_updates,
                pool,
                resolution,
            })
        }),
        (flag(), any::<u32>(), pool(), option::of(id())).prop_map(|(home, server, pool, id)| {
            AsapMessage::EndpointKeepAlive(EndpointKeepAlive {
                home,
                server: ServerId(server),
                pool,
                id,
            })
        }),
        (pool(), id()).prop_map(|(pool, id)| AsapMessage::EndpointKeepAliveAck(
            EndpointKeepAliveAck { pool, id }
        )),
        (pool(), id()).prop_map(|(pool, id)| AsapMessage::EndpointUnreachable(
            EndpointUnreachable { pool, id }
        )),
        (any::<u32>(), vec(transport(), 0..3), udp_port()).prop_map(
            |(server, transports, udp_port)| {
                AsapMessage::ServerAnnounce(ServerAnnounce {
                    server: ServerId(server),
                    transports,
                    udp_port,
                })
            }
        ),
        bytes(1..100).prop_map(AsapMessage::Cookie),
        bytes(1..100).prop_map(AsapMessage::CookieEcho),
        (pool(), vec(element(), 0..4)).prop_map(|(pool, elements)| AsapMessage::BusinessCard(
            BusinessCard { pool, elements }
        )),
        error().prop_map(AsapMessage::Error),
    ]
}

fn enrp() -> impl Strategy<Value = EnrpMessage> {
    let flag = any::<bool>;
    let id = || any::<u32>().prop_map(ServerId);
    let entry =
        (pool(), vec(element(), 0..3)).prop_map(|(pool, elements)| PoolEntry { pool, elements });
    let body = prop_oneof![
        (flag(), option::of(any::<u16>()), option::of(server())).prop_map(
            |(reply_required, checksum, info)| {
                EnrpBody::Presence(Presence { reply_required, checksum, info })
            }
        ),
        flag().prop_map(|w| EnrpBody::HandleTableRequest(HandleTableRequest {
            own_children_only: w
        })),
        (flag(), flag(), vec(entry, 0..3)).prop_map(|(rejected, more, pools)| {
            EnrpBody::HandleTableResponse(HandleTableResponse { rejected, more, pools })
        }),
        (flag(), 0u16..4, pool(), element()).prop_map(
            |(takeover_suggested, action, pool, element)| {
                let action = UpdateAction::from_u16(action);
                EnrpBody::HandleUpdate(HandleUpdate { takeover_suggested, action, pool, element })
            }
        ),
        Just(EnrpBody::ListRequest),
        (flag(), vec(server(), 0..4)).prop_map(|(rejected, servers)| EnrpBody::ListResponse(
            ListResponse { rejected, servers }
        )),
        id().prop_map(EnrpBody::InitTakeover),
        id().prop_map(EnrpBody::InitTakeoverAck),
        id().prop_map(EnrpBody::TakeoverServer),
        error().prop_map(EnrpBody::Error),
    ];
    (id(), id(), body).prop_map(|(sender, receiver, body)| EnrpMessage { sender, receiver, body })
}

/// Decodes the bytes as every kind of message. What can be decoded can be encoded, and decoding
/// that gives the same again; an error that has to be reported can be encoded.
fn decode_all(bytes: &[u8]) {
    match AsapMessage::decode(bytes) {
        Ok(message) => {
            // Encoding adds padding where it was missing, which can make the message too long.
            if let Ok(again) = message.encode() {
                assert_eq!(AsapMessage::decode(&again), Ok(message));
            }
        }
        Err(e) => {
            if let Reaction::Report(error) = e.reaction {
                AsapMessage::Error(error).encode().unwrap();
            }
        }
    }
    if let Ok(message) = EnrpMessage::decode(bytes)
        && let Ok(again) = message.encode()
    {
        assert_eq!(EnrpMessage::decode(&again), Ok(message));
    }
    let _ = EnrpMessage::ids(bytes);
}

/// Replaces some of the bytes, and cuts the end off or appends something.
fn damaged(original: Bytes) -> impl Strategy<Value = Vec<u8>> {
    let len = original.len();
    let edits = vec((0..len, any::<u8>()), 0..6);
    (edits, 0..len + 8).prop_map(move |(edits, end)| {
        let mut bytes = original.to_vec();
        for (at, value) in edits {
            bytes[at] = value;
        }
        bytes.resize(end, 0xa5);
        bytes
    })
}

proptest! {
    #[test]
    fn asap_round_trip(message in asap()) {
        let bytes = message.encode().unwrap();
        prop_assert_eq!(bytes.len() % 4, 0);
        prop_assert_eq!(AsapMessage::decode(&bytes), Ok(message));
    }

    #[test]
    fn enrp_round_trip(message in enrp()) {
        let bytes = message.encode().unwrap();
        prop_assert_eq!(bytes.len() % 4, 0);
        prop_assert_eq!(EnrpMessage::decode(&bytes), Ok(message));
    }

    #[test]
    fn any_bytes(bytes in vec(any::<u8>(), 0..300)) {
        decode_all(&bytes);
    }

    /// With a valid header and valid parameter headers, so that decoding gets further.
    #[test]
    fn plausible_bytes(
        kind in 0u8..16,
        flags: u8,
        body in vec((0u16..18, vec(any::<u8>(), 0..30)), 0..5),
        ids: bool,
    ) {
        let mut bytes = vec![kind, flags, 0, 0];
        if ids {
            bytes.extend([1, 2, 3, 4, 5, 6, 7, 8]);
        }
        for (kind, value) in body {
            bytes.extend(kind.to_be_bytes());
            bytes.extend((value.len() as u16 + 4).to_be_bytes());
            bytes.extend(&value);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
        let len = bytes.len() as u16;
        bytes[2..4].copy_from_slice(&len.to_be_bytes());
        decode_all(&bytes);
    }

    #[test]
    fn damaged_messages(
        bytes in prop_oneof![
            asap().prop_map(|m| m.encode().unwrap()),
            enrp().prop_map(|m| m.encode().unwrap()),
        ]
        .prop_flat_map(damaged),
    ) {
        decode_all(&bytes);
    }
}
