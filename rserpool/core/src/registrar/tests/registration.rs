//! Registration, re-registration, deregistration: what is taken, what is kept, what is answered.

use super::*;
use rserpool_wire::{LifeUnit, TcpTransport};

fn addrs(list: &[&str]) -> Vec<IpAddr> {
    list.iter().map(|addr| addr.parse().unwrap()).collect()
}

fn stored(lab: &Lab, pool: &str, id: u32) -> PoolElement {
    let space = lab.core.handlespace();
    space.get(space.find(&handle(pool), PeId(id)).unwrap()).unwrap().info().clone()
}

#[test]
fn a_registration_makes_a_pool() {
    let mut lab = Lab::new();
    let pe = lab.up(&["10.0.0.1", "10.1.0.1"]);
    let request = Registration { pool: handle("pool"), element: element(5) };
    lab.message(pe, AsapMessage::Registration(request));
    let event = RegistrarEvent::Registered { pool: handle("pool"), id: PeId(5), channel: pe };
    assert!(lab.outputs.contains(&Output::Event(event)));
    match lab.reply(pe) {
        AsapMessage::RegistrationResponse(r) => {
            assert!(!r.rejected && r.error.is_none() && r.id == PeId(5))
        }
        other => panic!("{other:?}"),
    }
    let element = stored(&lab, "pool", 5);
    assert_eq!(element.home, SERVER);
    // The registrar reaches the element by the other end of the association.
    assert_eq!(
        element.asap_transport,
        Some(SctpTransport::data_only(5000, addrs(&["10.0.0.1", "10.1.0.1"])))
    );
    let stats = lab.core.stats();
    assert_eq!((stats.pools, stats.pool_elements, stats.owned_pool_elements), (1, 1, 1));
    assert_eq!((stats.registrations, stats.reregistrations, stats.associations), (1, 0, 1));
}

#[test]
fn the_checksum_of_the_own_elements_is_kept() {
    let mut lab = Lab::new();
    let pe = lab.up(&["10.0.0.1"]);
    lab.register(pe, "PingPongPool", element(0x5151_5151)).unwrap();
    lab.register(pe, "PingPongPool", element(0x5252_5252)).unwrap();
    assert_eq!(lab.core.handlespace().checksum(SERVER), 0x3db2);
    lab.down(pe);
    assert_eq!(lab.core.handlespace().checksum(SERVER), 0xffff);
}

/// It names the address that it knows; users need that of the NAT box, and the UDP port that is
/// forwarded there.
#[test]
fn an_element_behind_nat_is_known_by_the_address_of_its_association() {
    let mut lab = Lab::new();
    let private = || PoolElement { udp_port: Some(4500), ..element_at(1, &["192.168.1.2"]) };
    let natted = lab.up_from(&["198.51.100.1"], Some(33333));
    lab.register(natted, "pool", private()).unwrap();
    let known = stored(&lab, "pool", 1);
    assert_eq!(known.user_transport.addrs(), addrs(&["198.51.100.1"]));
    assert_eq!(known.udp_port, Some(4500), "the forwarded port, not the one of this association");
    // NATs do not pass SCTP without encapsulation, and an end with several addresses knows which
    // ones it has.
    for (from, udp_port) in
        [(&["198.51.100.2"][..], None), (&["198.51.100.3", "198.51.100.4"], Some(33333))]
    {
        let other = lab.up_from(from, udp_port);
        let refused = lab.register(other, "pool", PoolElement { id: PeId(2), ..private() });
        assert_eq!(refused, Err(CauseCode::NO_USABLE_USER_ADDRESSES));
    }
}

#[test]
fn only_addresses_of_the_association_are_believed() {
    let mut lab = Lab::new();
    let pe = lab.up(&["10.0.0.1", "2001:db8::1"]);
    let claims = ["10.0.0.1", "10.9.9.9", "2001:db8::1", "8.8.8.8", "10.0.0.1"];
    lab.register(pe, "pool", element_at(1, &claims)).unwrap();
    assert_eq!(stored(&lab, "pool", 1).user_transport.addrs(), addrs(&["10.0.0.1", "2001:db8::1"]));
    let refused = lab.register(pe, "pool", element_at(2, &["10.9.9.9"]));
    assert_eq!(refused, Err(CauseCode::NO_USABLE_USER_ADDRESSES));
    assert_eq!(lab.members("pool"), [1]);
    assert_eq!(lab.core.stats().refused_registrations, 1);
}

#[test]
fn loopback_works_by_default() {
    let mut lab = Lab::new();
    let pe = lab.up(&["127.0.0.1"]);
    lab.register(pe, "pool", element_at(1, &["127.0.0.1"])).unwrap();
    let v6 = lab.up(&["::1"]);
    lab.register(v6, "pool", element_at(2, &["::1"])).unwrap();
    assert_eq!(lab.members("pool"), [1, 2]);
}

#[test]
fn the_scope_filter_can_be_narrowed() {
    let mut lab = Lab::with(|c| c.min_address_scope = sctp_user_core::Scope::Private);
    let pe = lab.up(&["127.0.0.1"]);
    let refused = lab.register(pe, "pool", element_at(1, &["127.0.0.1"]));
    assert_eq!(refused, Err(CauseCode::NO_USABLE_USER_ADDRESSES));
    let pe = lab.up(&["127.0.0.1", "169.254.1.1", "10.0.0.1"]);
    lab.register(pe, "pool", element_at(1, &["127.0.0.1", "169.254.1.1", "10.0.0.1"])).unwrap();
    let element = stored(&lab, "pool", 1);
    assert_eq!(element.user_transport.addrs(), addrs(&["10.0.0.1"]));
    assert_eq!(element.asap_transport.unwrap().addrs, addrs(&["10.0.0.1"]));
}

#[test]
fn addresses_that_mean_nothing_elsewhere_are_refused() {
    let mut lab = Lab::new();
    for addr in ["fe80::1", "224.0.0.1", "0.0.0.0", "::"] {
        let pe = lab.up(&[addr]);
        let refused = lab.register(pe, "pool", element_at(1, &[addr]));
        assert_eq!(refused, Err(CauseCode::NO_USABLE_USER_ADDRESSES), "{addr}");
    }
}

#[test]
fn mapped_addresses_are_their_ipv4_selves() {
    let mut lab = Lab::new();
    let pe = lab.up(&["::ffff:10.0.0.1"]);
    lab.register(pe, "pool", element_at(1, &["10.0.0.1"])).unwrap();
    assert_eq!(stored(&lab, "pool", 1).user_transport.addrs(), addrs(&["10.0.0.1"]));
}

#[test]
fn other_transports_must_be_at_an_address_of_the_association_too() {
    let mut lab = Lab::new();
    let pe = lab.up(&["10.0.0.1"]);
    let addr = "10.0.0.2".parse().unwrap();
    let tcp = TcpTransport { port: 80, transport_use: TransportUse::DataOnly, addr };
    for user_transport in [Transport::Tcp(tcp), Transport::Udp { port: 53, addr }] {
        let element = PoolElement { user_transport, ..element(1) };
        let refused = lab.register(pe, "pool", element);
        assert_eq!(refused, Err(CauseCode::NO_USABLE_USER_ADDRESSES));
    }
}

#[test]
fn a_policy_that_cannot_be_selected_by_gets_an_error_message() {
    let mut lab = Lab::new();
    let pe = lab.up(&["10.0.0.1"]);
    let policy = Policy::PriorityLeastUsedDegradation { load: 0, load_degradation: 0 };
    let element = PoolElement { policy, ..element(1) };
    lab.message(pe, AsapMessage::Registration(Registration { pool: handle("pool"), element }));
    assert_eq!(error_code(lab.reply(pe)), CauseCode::UNSUPPORTED_POLICY);
    assert!(lab.members("pool").is_empty());
}

#[test]
fn the_number_of_elements_is_limited() {
    let mut lab = Lab::with(|c| c.max_elements = 2);
    let pe = lab.up(&["10.0.0.1"]);
    lab.register(pe, "a", element(1)).unwrap();
    lab.register(pe, "b", element(1)).unwrap();
    assert_eq!(lab.register(pe, "c", element(1)), Err(CauseCode::LACK_OF_RESOURCES));
    lab.register(pe, "b", element(1)).unwrap();
}

#[test]
fn re_registration_refreshes_life_policy_and_owner() {
    let mut lab = Lab::with(|c| c.loose_ownership = true);
    let old = lab.up(&["10.0.0.1"]);
    let with_load =
        |load| PoolElement { policy: Policy::LeastUsed { load }, life: Life(4000), ..element(1) };
    lab.register(old, "pool", with_load(1)).unwrap();
    lab.pass(ms(3000));
    let new = lab.up(&["10.0.0.1", "10.0.0.2"]);
    let moved =
        PoolElement { user_transport: element_at(1, &["10.0.0.2"]).user_transport, ..with_load(2) };
    lab.register(new, "pool", moved).unwrap();
    let now = stored(&lab, "pool", 1);
    assert_eq!(now.policy, Policy::LeastUsed { load: 2 });
    assert_eq!(now.user_transport.addrs(), addrs(&["10.0.0.2"]));
    // The association it came by first means nothing to it any more.
    lab.down(old);
    lab.pass(ms(3000));
    assert_eq!(lab.members("pool"), [1]);
    lab.pass(ms(1001));
    assert!(lab.members("pool").is_empty());
    let stats = lab.core.stats();
    assert_eq!((stats.registrations, stats.reregistrations, stats.removals), (1, 1, 1));
}

#[test]
fn the_registration_life_ends() {
    let mut lab = Lab::with(|c| c.keep_alive_interval = ms(300_000));
    let pe = lab.up(&["10.0.0.1"]);
    lab.register(pe, "pool", PoolElement { life: Life(1500), ..element(1) }).unwrap();
    lab.register(pe, "pool", PoolElement { life: Life::INFINITE, ..element(2) }).unwrap();
    lab.pass(ms(1499));
    assert_eq!(lab.members("pool"), [1, 2]);
    lab.pass(ms(1));
    assert_eq!(lab.members("pool"), [2]);
    let gone = RegistrarEvent::Removed {
        pool: handle("pool"),
        id: PeId(1),
        reason: RemovalReason::LifeExpired,
    };
    assert_eq!(lab.events(), [gone]);
    lab.pass(ms(299_000 - 1500));
    assert_eq!(lab.members("pool"), [2]);
}

#[test]
fn lives_can_be_in_seconds() {
    let mut lab = Lab::with(|c| {
        c.life_unit = LifeUnit::Seconds;
        c.keep_alive_interval = ms(300_000);
    });
    let pe = lab.up(&["10.0.0.1"]);
    lab.register(pe, "pool", PoolElement { life: Life(2), ..element(1) }).unwrap();
    lab.pass(ms(1999));
    assert_eq!(lab.members("pool"), [1]);
    lab.pass(ms(1));
    assert!(lab.members("pool").is_empty());
}

#[test]
fn deregistration_always_succeeds() {
    let mut lab = Lab::new();
    let pe = lab.up(&["10.0.0.1"]);
    lab.register(pe, "pool", element(1)).unwrap();
    lab.register(pe, "pool", element(2)).unwrap();
    lab.deregister(pe, "pool", 1);
    assert_eq!(lab.members("pool"), [2]);
    // An unknown element, an unknown pool.
    lab.deregister(pe, "pool", 1);
    lab.deregister(pe, "nothing", 7);
    lab.deregister(pe, "pool", 2);
    assert_eq!(lab.core.stats().pools, 0);
    assert_eq!((lab.core.stats().deregistrations, lab.core.stats().removals), (4, 0));
}

#[test]
fn the_end_of_an_association_takes_its_elements_along() {
    let mut lab = Lab::new();
    let a = lab.up(&["10.0.0.1"]);
    let b = lab.up(&["10.0.0.1"]);
    lab.register(a, "pool", element(1)).unwrap();
    lab.register(a, "other", element(2)).unwrap();
    lab.register(b, "pool", element(3)).unwrap();
    lab.events();
    lab.down(a);
    let removed = |pool, id| {
        let reason = RemovalReason::AssociationLost;
        RegistrarEvent::Removed { pool: handle(pool), id: PeId(id), reason }
    };
    assert_eq!(lab.events(), [removed("pool", 1), removed("other", 2)]);
    assert_eq!(lab.members("pool"), [3]);
    assert_eq!(lab.core.stats().associations, 1);
}

#[test]
fn the_udp_port_is_the_announced_one_or_else_the_learnt_one() {
    let mut lab = Lab::new();
    let user = lab.up(&["10.0.0.9"]);
    let cases = [
        (Some(9899), None, None),
        (Some(4444), None, Some(4444)),
        (Some(4444), Some(5555), Some(5555)),
        (Some(4444), Some(9899), None),
        (None, None, None),
        (None, Some(5555), Some(5555)),
    ];
    for (learnt, announced, expected) in cases {
        let pe = lab.up_from(&["10.0.0.1"], learnt);
        lab.register(pe, "pool", PoolElement { udp_port: announced, ..element(1) }).unwrap();
        let found = lab.resolve_items(user, "pool", None).unwrap();
        assert_eq!(found[0].udp_port, expected, "learnt {learnt:?}, announced {announced:?}");
        lab.down(pe);
    }
}

#[test]
fn a_changed_udp_port_counts_from_the_next_registration_on() {
    let mut lab = Lab::new();
    let pe = lab.up_from(&["10.0.0.1"], Some(4444));
    lab.register(pe, "pool", element(1)).unwrap();
    let peer = peer(&["10.0.0.1"], Some(5555));
    lab.handle(Input::PeerChanged { channel: pe, peer });
    lab.register(pe, "pool", element(1)).unwrap();
    assert_eq!(stored(&lab, "pool", 1).udp_port, Some(5555));
}

/// Messages between real programs.
#[test]
fn golden_bytes() {
    let mut lab = Lab::new();
    let pe = lab.up(&["10.1.0.11", "fd00:10:1::11"]);
    let registration = hex(
        "01000054 0009001050696e67506f6e67506f6f6c 000a0040 51515151 00000000 000dbba0 00040024 \
         9e0d 0001 000100080a01000b 00020014fd000010000100000000000000000011 \
         0008000c4000000100000000",
    );
    lab.bytes(pe, ppid::ASAP, &registration);
    let sent = |lab: &mut Lab| {
        let outputs = std::mem::take(&mut lab.outputs);
        outputs
            .into_iter()
            .find_map(|o| if let Output::Send { data, .. } = o { Some(data) } else { None })
            .unwrap()
    };
    assert_eq!(sent(&mut lab), hex("0300001c 0009001050696e67506f6e67506f6f6c 000e000851515151"));
    lab.pass(ms(5000));
    assert_eq!(
        sent(&mut lab),
        hex("07000020 11111111 0009001050696e67506f6e67506f6f6c 000e000851515151")
    );
    lab.bytes(pe, ppid::ASAP, &hex("0800001c 0009001050696e67506f6e67506f6f6c 000e000851515151"));
    assert!(lab.sent().is_empty());

    let first = pe;
    let pe = lab.up(&["10.1.0.21"]);
    let element = PoolElement {
        user_transport: Transport::Sctp(SctpTransport::data_only(0x1388, addrs(&["10.1.0.21"]))),
        ..element_at(0x101, &[])
    };
    lab.register(pe, "pool1", element).unwrap();
    let user = lab.up(&["10.1.0.31"]);
    let request = HandleResolution { subscribe: false, pool: handle("pool1"), items: None };
    lab.message(user, AsapMessage::HandleResolution(request));
    let response = hex(
        "06000040 00090009706f6f6c31000000 0008000800000001 000a0028 00000101 11111111 00015f90 \
         00040010 1388 0000 000100080a010015 0008000800000001",
    );
    assert_eq!(sent(&mut lab), response);
    let request = HandleResolution { subscribe: false, pool: handle("nopool"), items: None };
    lab.message(user, AsapMessage::HandleResolution(request));
    assert_eq!(sent(&mut lab), hex("06000018 0009000a6e6f706f6f6c0000 000c0008 00090004"));
    lab.bytes(
        first,
        ppid::ASAP,
        &hex("0200001c 0009001050696e67506f6e67506f6f6c 000e000851515151"),
    );
    assert_eq!(sent(&mut lab), hex("0400001c 0009001050696e67506f6e67506f6f6c 000e000851515151"));
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}
