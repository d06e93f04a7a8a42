//! What strangers and hostile peers cannot get: memory, traffic or a crash (RFC 9260 sec 11, RFC
//! 5062).

use proptest::prelude::*;

use super::*;

fn bytes_of(sent: &[Sent]) -> usize {
    sent.iter().map(|s| s.packet.len()).sum()
}

#[test]
fn the_init_ack_is_at_most_three_times_the_init() {
    let own: Vec<IpAddr> = (0..60).map(|n| IpAddr::from([203, 0, 113, n])).collect();
    let config = StackConfig { local_addresses: own, ..StackConfig::default() };
    for (params, size) in [(0, 0), (1, 0), (30, 0), (1, 100), (20, 1), (60, 1)] {
        let mut rig = Rig::with(config.clone(), AssocConfig::default());
        let mut out = Vec::new();
        let mut w = PacketWriter::new(&mut out, 65_000, PEER_PORT, PORT, 0);
        w.init(false, &fixed(), |p| {
            (0..params).for_each(|n| p.raw(0xc100 + n, &vec![0; size]));
        });
        w.finish();
        let len = out.len();
        let sent = rig.receive(path(1), out);
        assert_eq!(sent.len(), 1);
        assert!(bytes_of(&sent) <= 3 * len.max(100), "{} for {len}", bytes_of(&sent));
    }
}

#[test]
fn the_refusal_of_new_addresses_is_no_larger_than_the_init() {
    let mut rig = Rig::in_state(AssocState::Established);
    for listed in [&[2][..], &[2, 3, 4, 5, 6]] {
        let sent = rig.init_from(path(1), 5, listed);
        assert!(bytes_of(&sent) <= 32 + 8 * listed.len());
    }
    // To name an IPv6 source takes more room than its INIT has.
    let mut rig = Rig::new();
    let mut out = Vec::new();
    let mut w = PacketWriter::new(&mut out, 1000, PEER_PORT, PORT, 0);
    let fixed = InitFixed { initiate_tag: 5, ..fixed() };
    w.init(false, &fixed, |p| p.address(addr(1)));
    w.finish();
    rig.accept(&[]);
    let from = PathAddr { local: None, remote: "2001:db8::7".parse().unwrap(), encap: UDP };
    let len = out.len();
    let sent = rig.receive(from, out);
    assert_eq!(sent[0].causes(), [11]);
    assert!(bytes_of(&sent) <= len, "{} for {len}", bytes_of(&sent));
}

#[test]
fn inits_are_rate_limited() {
    let config = StackConfig { init_ack_rate: 5, ..StackConfig::default() };
    let mut rig = Rig::with(config, AssocConfig::default());
    let answered = (1..50).filter(|&n| !rig.init_from(path(n), 5, &[]).is_empty()).count();
    assert_eq!(answered, 5);
    assert_eq!(rig.stack.stats().rate_limited, 44);
}

#[test]
fn refused_inits_use_up_no_answers_of_listening_ports() {
    let config = StackConfig { init_ack_rate: 5, ..StackConfig::default() };
    let mut rig = Rig::with(config, AssocConfig::default());
    rig.stack.listen(PORT, 0).unwrap();
    let refused = (1..50).filter(|&n| !rig.init_from(path(n), 5, &[]).is_empty()).count();
    assert_eq!(refused, 5);
    rig.stack.listen(PORT, 5).unwrap();
    assert_eq!(one(rig.init_from(path(1), 5, &[])).kinds(), [chunk_type::INIT_ACK]);
}

#[test]
fn unknown_chunks_are_skipped_and_reported_as_their_bits_say_once_per_packet() {
    for (kind, reported, goes_on) in
        [(0x3e, false, false), (0x7e, true, false), (0xbe, false, true), (0xfe, true, true)]
    {
        let mut rig = Rig::in_state(AssocState::Established);
        let sent = rig.send(rig.own_tag, |w| {
            w.raw_chunk(kind, 0, b"?");
            w.raw_chunk(kind, 0, b"?");
            data(w, PEER_TSN);
        });
        let kinds: Vec<u8> = sent.iter().flat_map(Sent::kinds).collect();
        let causes: Vec<u16> = sent.iter().flat_map(Sent::causes).collect();
        assert_eq!(causes.len(), usize::from(reported), "{kind:#x}");
        if reported {
            // Neither the length of the cause nor that of its chunk counts the final padding.
            let error = [9, 0, 0, 13, 0, 6, 0, 9, kind, 0, 0, 5, b'?'];
            assert_eq!(sent[0].chunk(chunk_type::ERROR).whole, error);
        }
        assert_eq!(kinds.contains(&chunk_type::SACK), goes_on, "{kind:#x}");
    }
}

#[test]
fn hard_case_40_a_large_unknown_chunk_is_reported_in_part() {
    let mut rig = Rig::in_state(AssocState::Established);
    let sent = one(rig.send(rig.own_tag, |w| w.raw_chunk(0xfe, 0, &[1; 1400])));
    assert_eq!((sent.kinds(), sent.causes()), (vec![chunk_type::ERROR], vec![6]));
    assert!(sent.packet.len() <= 300);
}

#[test]
fn an_error_is_never_answered_with_an_error() {
    let mut rig = Rig::in_state(AssocState::Established);
    assert_silent(rig.send(rig.own_tag, |w| w.error(|c| c.raw(0x1234, b"unknown cause"))));
    assert_eq!(
        rig.events(),
        [Event::RemoteError { cause: 0x1234, info: Bytes::from_static(b"unknown cause") }]
    );
}

#[test]
fn hard_case_40_unknown_parameters_do_not_stop_the_setup() {
    let mut rig = Rig::new();
    let sent = one(rig.init(|p| (0..50).for_each(|n| p.raw(0xc123 + n, &[9; 20]))));
    let (init, _, cookie) = sent.init();
    let sent = rig.send(init.initiate_tag, |w| w.cookie_echo(&cookie.unwrap()));
    assert_eq!(one(sent).kinds(), [chunk_type::COOKIE_ACK]);
}

#[test]
fn data_behind_a_refused_cookie_is_gone() {
    let mut rig = Rig::new();
    assert_silent(rig.send(5, |w| {
        w.cookie_echo(&[0; 120]);
        data(w, PEER_TSN);
    }));
    assert_eq!(rig.stack.table.len(), 0);
}

/// One chunk of a hostile packet.
fn hostile_chunk() -> impl Strategy<Value = (u8, u8, Vec<u8>)> {
    let kind = prop_oneof![0u8..=15, any::<u8>()];
    (kind, any::<u8>(), proptest::collection::vec(any::<u8>(), 0..60))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn no_chunks_with_the_right_tag_crash_or_loop(
        state in 0usize..8,
        packets in proptest::collection::vec(
            proptest::collection::vec(hostile_chunk(), 1..4),
            1..8,
        ),
        wait in 0u64..5000,
    ) {
        use AssocState::*;
        let states = [
            Closed,
            CookieWait,
            CookieEchoed,
            Established,
            ShutdownPending,
            ShutdownSent,
            ShutdownReceived,
            ShutdownAckSent,
        ];
        let mut rig = Rig::in_state(states[state]);
        for chunks in packets {
            let tag = if chunks[0].0 == chunk_type::INIT { 0 } else { rig.own_tag.max(1) };
            rig.send(tag, |w| {
                for (kind, flags, value) in &chunks {
                    w.raw_chunk(*kind, *flags, value);
                }
            });
            rig.pass(Duration::from_millis(wait));
            rig.events();
        }
        rig.pass(Duration::from_secs(1000));
    }

    #[test]
    fn strangers_get_no_more_than_they_send(
        chunks in proptest::collection::vec(hostile_chunk(), 1..5),
        tag in any::<u32>(),
        lone_init in any::<bool>(),
        live in any::<bool>(),
    ) {
        let mut rig =
            Rig::in_state(if live { AssocState::Established } else { AssocState::Closed });
        prop_assume!(tag != rig.own_tag && tag != PEER_TAG);
        let mut out = Vec::new();
        let mut w =
            PacketWriter::new(&mut out, 65_000, PEER_PORT, PORT, if lone_init { 0 } else { tag });
        if lone_init {
            let mut value = chunks[0].2.clone();
            value.resize(value.len().max(16), 0xff);
            w.raw_chunk(chunk_type::INIT, 0, &value);
        } else {
            for (kind, flags, value) in &chunks {
                w.raw_chunk(*kind, *flags, value);
            }
        }
        w.finish();
        let len = out.len();
        let before = rig.stack.table.len();
        let sent = rig.receive(path(1), out);
        prop_assert!(sent.len() <= 1);
        let answered_init = sent.iter().any(|s| s.kinds() == [chunk_type::INIT_ACK]);
        let limit = if answered_init { 3 * len.max(100) } else { len };
        prop_assert!(bytes_of(&sent) <= limit, "{} bytes for {len}", bytes_of(&sent));
        prop_assert_eq!(rig.stack.table.len(), before);
        prop_assert!(rig.events().is_empty());
    }
}
