//! Checks on a received INIT and what the INIT ACK says (RFC 9260 sec 5.1, 3.3.2, 3.3.3).

use super::*;

fn with(change: impl FnOnce(&mut InitFixed)) -> Vec<Sent> {
    let mut fixed = fixed();
    change(&mut fixed);
    Rig::new().send(0, |w| w.init(false, &fixed, |_| {}))
}

#[test]
fn initiate_tag_0_is_dropped() {
    assert_silent(with(|f| f.initiate_tag = 0));
}

#[test]
fn no_streams_or_a_tiny_window_are_refused_with_the_initiate_tag() {
    assert_abort(with(|f| f.outbound_streams = 0), PEER_TAG, false, &[7]);
    assert_abort(with(|f| f.inbound_streams = 0), PEER_TAG, false, &[7]);
    assert_abort(with(|f| f.a_rwnd = 1499), PEER_TAG, false, &[7]);
    assert_eq!(one(with(|f| f.a_rwnd = 1500)).kinds(), [chunk_type::INIT_ACK]);
}

#[test]
fn a_bad_init_leaves_the_existing_association_alone() {
    let mut rig = Rig::in_state(AssocState::Established);
    for change in [|f: &mut InitFixed| f.outbound_streams = 0, |f: &mut InitFixed| f.a_rwnd = 0] {
        let mut fixed = fixed();
        change(&mut fixed);
        assert_abort(rig.send(0, |w| w.init(false, &fixed, |_| {})), PEER_TAG, false, &[7]);
    }
    assert_eq!(rig.state(), AssocState::Established);
    assert!(rig.events().is_empty());
}

#[test]
fn a_port_bound_to_addresses_does_not_exist_at_others() {
    let mut rig = Rig::new();
    rig.stack.unbind(rig.now, PORT);
    rig.stack.bind(PORT, &[IpAddr::from([10, 1, 1, 100])], AssocConfig::default()).unwrap();
    rig.stack.listen(PORT, 5).unwrap();
    assert_eq!(one(rig.init_from(path(1), 5, &[])).kinds(), [chunk_type::INIT_ACK]);
    let elsewhere = PathAddr { local: Some(IpAddr::from([10, 1, 1, 101])), ..path(1) };
    assert_abort(rig.init_from(elsewhere, 5, &[]), 5, false, &[]);
    let unknown = PathAddr { local: None, ..path(1) };
    assert_eq!(one(rig.init_from(unknown, 5, &[])).kinds(), [chunk_type::INIT_ACK]);
}

#[test]
fn a_host_name_is_refused() {
    let sent = one(Rig::new().init(|p| p.raw(11, b"example.org\0")));
    assert_refuses_host_name(&sent);
    // A name that does not fit into the answer: no cause is better than one that nobody can read.
    let long = [b'a'; 1200];
    assert_abort(Rig::new().init(|p| p.raw(11, &long)), PEER_TAG, false, &[]);
}

#[test]
fn an_init_without_a_listener_is_refused() {
    let mut rig = Rig::new();
    rig.stack.listen(PORT, 0).unwrap();
    assert_abort(rig.init(|_| {}), PEER_TAG, false, &[]);
    let mut rig = Rig::new();
    rig.stack.unbind(rig.now, PORT);
    assert_abort(rig.init(|_| {}), PEER_TAG, false, &[]);
}

#[test]
fn an_init_is_refused_when_the_backlog_or_the_table_is_full() {
    let mut rig = Rig::new();
    rig.stack.listen(PORT, 1).unwrap();
    let (init, _, cookie) = one(rig.init(|_| {})).init();
    rig.send(init.initiate_tag, |w| w.cookie_echo(&cookie.unwrap()));
    assert_abort(rig.init_from(path(2), 5, &[]), 5, false, &[4]);
    // Accepting makes room.
    assert!(rig.stack.accept(PORT).is_some());
    assert_eq!(one(rig.init_from(path(2), 5, &[])).kinds(), [chunk_type::INIT_ACK]);

    let mut rig = Rig::with(
        StackConfig { max_associations: 0, ..StackConfig::default() },
        AssocConfig::default(),
    );
    assert_abort(rig.init(|_| {}), PEER_TAG, false, &[4]);
}

#[test]
fn an_init_costs_no_state() {
    let mut rig = Rig::new();
    for n in 1..100 {
        assert_eq!(one(rig.init_from(path(n), u32::from(n), &[])).kinds(), [chunk_type::INIT_ACK]);
    }
    assert_eq!(rig.stack.table.len(), 0);
    assert_eq!(rig.stack.stats().associations, 0);
    assert_eq!(rig.stack.poll_timeout(), None);
    assert!(rig.events().is_empty());
}

#[test]
fn the_init_ack_goes_back_to_the_source_with_the_initiate_tag() {
    let from = PathAddr { encap: Encap::Udp { remote_port: 4321 }, ..path(2) };
    // Nothing goes to the listed address.
    let sent = one(Rig::new().init_from(from, 99, &[3]));
    assert_eq!(sent.kinds(), [chunk_type::INIT_ACK]);
    assert_eq!(sent.path, from);
    assert_eq!(sent.packet.vtag(), 99);
}

#[test]
fn the_init_ack_offers_no_more_streams_than_the_peer_takes() {
    let sent = one(with(|f| f.inbound_streams = 3));
    let (init, _, cookie) = sent.init();
    assert_eq!(init.outbound_streams, 3);
    assert!(init.inbound_streams >= 1);
    assert!(init.a_rwnd >= 1500);
    assert_ne!(init.initiate_tag, 0);
    assert!(cookie.is_some());
    let (init, ..) = one(with(|f| f.inbound_streams = 65_535)).init();
    assert_eq!(init.outbound_streams, AssocConfig::default().out_streams);
}

#[test]
fn streams_and_window_follow_the_init() {
    let rig = Rig::accepted(&[]);
    let status = rig.stack.status(rig.id()).unwrap();
    assert_eq!((status.outbound_streams, status.inbound_streams), (9, 7));
    // The window of the INIT counts from the first byte on. No SACK is needed.
    assert_eq!(status.peer_rwnd, 100_000);
    let mut rig = rig;
    assert_eq!(one(rig.send_data(b"first")).kinds(), [chunk_type::DATA]);
}

#[test]
fn unknown_parameters_are_skipped_and_reported_as_their_bits_say() {
    let reported = |kind: u16| {
        let sent = one(Rig::new().init(|p| {
            p.raw(kind, b"?");
            p.address(addr(7));
        }));
        let Chunk::InitAck(init) = sent.decoded(chunk_type::INIT_ACK) else { panic!("{sent:?}") };
        let reports: Vec<u16> = init
            .params
            .iter()
            .filter_map(|p| match p {
                Param::Unrecognized(whole) => Some(u16::from_be_bytes([whole[0], whole[1]])),
                _ => None,
            })
            .collect();
        reports
    };
    assert!(reported(0x3fff).is_empty());
    assert_eq!(reported(0x7fff), [0x7fff]);
    assert!(reported(0xbfff).is_empty());
    assert_eq!(reported(0xffff), [0xffff]);
}

#[test]
fn a_parameter_that_says_stop_hides_what_follows() {
    let listed = |kind: u16| {
        let mut rig = Rig::new();
        let sent = rig.init(|p| {
            p.raw(kind, b"?");
            p.address(addr(7));
        });
        let (init, _, cookie) = one(sent).init();
        rig.send(init.initiate_tag, |w| w.cookie_echo(&cookie.unwrap()));
        rig.id = rig.stack.accept(PORT);
        rig.peer_addrs().len()
    };
    assert_eq!(listed(0x3fff), 1);
    assert_eq!(listed(0x7fff), 1);
    assert_eq!(listed(0xbfff), 2);
    assert_eq!(listed(0xffff), 2);
}

#[test]
fn hard_case_11_every_init_has_tag_0_and_the_same_parameters() {
    let mut rig = Rig::new();
    let first = rig.connect(&[1]);
    let again = one(rig.next_timer());
    for sent in [&first, &again] {
        assert_eq!(sent.kinds(), [chunk_type::INIT]);
        assert_eq!(sent.packet.vtag(), 0);
    }
    assert_eq!(first.packet.bytes(), again.packet.bytes());
}
