//! Tests of the handlespace as a whole, by topic.

mod audits;
mod classes;
mod distances;
mod kinds;
mod lists;
mod model;
mod random_operations;
mod rules;
mod sequences;
mod statistics;

use rserpool_wire::{
    Life, PeId, Policy, PoolElement, PoolHandle, SctpTransport, ServerId, Transport, TransportUse,
};
use sctp_user_core::Time;

use crate::{
    Config, Handlespace, Misfit, OtherHome, RegisterError, RegisterRules, Registration, Timer,
    UserPlace,
};

/// As for an element that registers itself.
const OWN: RegisterRules =
    RegisterRules { other_home: OtherHome::TakeOver, misfit: Misfit::Refuse };

/// As for a copy from another registrar.
const COPY: RegisterRules =
    RegisterRules { other_home: OtherHome::Refuse, misfit: Misfit::SetAside };

fn handle(name: &str) -> PoolHandle {
    PoolHandle::new(name).unwrap()
}

/// An SCTP element without control channel, home registrar 1.
fn element(id: u32, policy: Policy) -> PoolElement {
    PoolElement {
        id: PeId(id),
        home: ServerId(1),
        life: Life(90_000),
        user_transport: Transport::Sctp(SctpTransport {
            port: 7,
            transport_use: TransportUse::DataOnly,
            addrs: vec!["10.0.0.1".parse().unwrap()],
        }),
        policy,
        asap_transport: None,
        udp_port: None,
    }
}

fn with_sctp(mut info: PoolElement, change: impl FnOnce(&mut SctpTransport)) -> PoolElement {
    if let Transport::Sctp(transport) = &mut info.user_transport {
        change(transport);
    }
    info
}

/// One that only users on this host can reach.
fn local_element(id: u32, policy: Policy) -> PoolElement {
    let loopback = ["127.0.0.1", "::1", "::ffff:127.0.0.9"].map(|addr| addr.parse().unwrap());
    with_sctp(element(id, policy), |transport| transport.addrs = loopback.into())
}

/// Registers in the pool "pool".
fn register(space: &mut Handlespace, id: u32, policy: Policy) -> Registration {
    let registration = space.register(&handle("pool"), element(id, policy), None, OWN).unwrap();
    space.verify().unwrap();
    registration
}

/// Resolves "pool" for a user on this host, returns identifiers.
fn select(space: &mut Handlespace, n: usize) -> Vec<u32> {
    select_for(space, UserPlace::ThisHost, n)
}

/// Resolves "pool", returns identifiers.
fn select_for(space: &mut Handlespace, user: UserPlace, n: usize) -> Vec<u32> {
    let keys = space.select_for(user, &handle("pool"), n);
    keys.into_iter().map(|key| space.get(key).unwrap().info().id.0).collect()
}
