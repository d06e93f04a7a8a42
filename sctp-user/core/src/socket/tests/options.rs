//! Settings of paths, and the addresses of sockets.

use super::*;
use crate::config::{AssocConfig, PathParams};

/// The settings of the path to `addr` of a one-to-one socket.
fn params(end: &mut Sockets, socket: SocketId, addr: IpAddr) -> PathParams {
    let assoc = end.assocs_of(socket)[0];
    end.path_params(socket, assoc, addr).unwrap()
}

#[test]
fn a_path_has_settings_of_its_own() {
    let (mut pair, _, client, _) = Pair::connected(SocketOptions::default());
    let assoc = pair.a.assocs_of(client)[0];
    let given = params(&mut pair.a, client, B);
    assert_eq!(given, PathParams::of(&AssocConfig::default()));

    let own = PathParams { hb_interval: Duration::from_secs(7), max_retrans: 2, ..given };
    pair.a.set_path_params(pair.now, client, assoc, B, own).unwrap();
    assert_eq!(params(&mut pair.a, client, B), own);
    // A change for the whole association reaches the path. The rest stays as it was.
    let config = AssocConfig { hb_enabled: false, ..AssocConfig::default() };
    pair.a.set_assoc_config(pair.now, client, assoc, config).unwrap();
    assert_eq!(params(&mut pair.a, client, B), PathParams { hb_enabled: false, ..own });

    let (a, missing) = (&mut pair.a, Err(SocketError::NoSuchAddress(A)));
    assert_eq!(a.path_params(client, assoc, A).map(drop), missing);
    assert_eq!(a.set_path_params(pair.now, client, assoc, A, own), missing);
    assert_eq!(a.set_path_encap(pair.now, client, assoc, A, Encap::Native), missing);
    assert_eq!(a.set_primary(pair.now, client, assoc, A), missing);
    assert_eq!(a.request_heartbeat(pair.now, client, assoc, A), missing);
    for wrong in [
        PathParams { ip_mtu: Some(511), ..own },
        PathParams { hb_interval: Duration::from_secs(50 * 86_400), ..own },
    ] {
        let refused = pair.a.set_path_params(pair.now, client, assoc, B, wrong);
        assert!(matches!(refused, Err(SocketError::Config(_))));
        assert_eq!(params(&mut pair.a, client, B).ip_mtu, None);
    }
}

#[test]
fn the_heartbeat_interval_of_a_path_counts_from_now() {
    let (mut pair, _, client, _) = Pair::connected(SocketOptions::default());
    let assoc = pair.a.assocs_of(client)[0];
    let sent = |pair: &Pair| pair.a.stack().assoc_stats(assoc).unwrap().packets_sent;
    let before = sent(&pair);
    let short =
        PathParams { hb_interval: Duration::from_secs(2), ..params(&mut pair.a, client, B) };
    pair.a.set_path_params(pair.now, client, assoc, B, short).unwrap();
    // Interval plus RTO with jitter: 2.5 to 3.5 s.
    pair.run(2_400);
    assert_eq!(sent(&pair), before);
    pair.run(1_200);
    assert_eq!(sent(&pair), before + 1);
    let off = PathParams { hb_enabled: false, ..short };
    pair.a.set_path_params(pair.now, client, assoc, B, off).unwrap();
    let before = sent(&pair);
    pair.run(25_000); // the peer would probe after 30.5 s at the earliest
    assert_eq!(sent(&pair), before);
}

#[test]
fn a_fixed_mtu_ignores_icmp_until_it_is_lifted() {
    let (mut pair, _, client, _) = Pair::connected(SocketOptions::default());
    let assoc = pair.a.assocs_of(client)[0];
    let pmtu = |pair: &Pair| pair.a.stack().paths(assoc)[0].pmtu;
    let free = params(&mut pair.a, client, B);
    pair.a
        .set_path_params(pair.now, client, assoc, B, PathParams { ip_mtu: Some(1001), ..free })
        .unwrap();
    assert_eq!(pmtu(&pair), 980);
    let status = pair.a.stack().status(assoc).unwrap();
    let mut quoted = Vec::new();
    for port in [status.local_port, status.peer_port] {
        quoted.extend_from_slice(&port.to_be_bytes());
    }
    quoted.extend_from_slice(&status.peer_tag.to_be_bytes());
    let path = pair.a.stack().paths(assoc)[0].addr;
    pair.a.handle_unreachable(pair.now, path, Unreachable::PacketTooBig { ip_mtu: 600 }, &quoted);
    assert_eq!(pmtu(&pair), 980);
    pair.a.set_path_params(pair.now, client, assoc, B, free).unwrap();
    assert_eq!(pmtu(&pair), 1480);
    pair.a.handle_unreachable(pair.now, path, Unreachable::PacketTooBig { ip_mtu: 600 }, &quoted);
    assert_eq!(pmtu(&pair), 580);
}

#[test]
fn addresses_change_only_without_associations() {
    let (mut pair, listener, client, server) = Pair::connected(SocketOptions::default());
    pair.b.set_addrs(listener, &[B]).unwrap();
    assert_eq!(pair.b.local_addrs(listener), [B]);
    assert!(matches!(pair.b.set_addrs(server, &[B]), Err(SocketError::NotSupported(_))));
    assert!(matches!(pair.a.set_addrs(client, &[A]), Err(SocketError::NotSupported(_))));
    let wrong = pair.b.set_addrs(listener, &[IpAddr::from([224, 0, 0, 1])]);
    assert!(matches!(wrong, Err(SocketError::Bind(_))));
    assert_eq!(pair.b.local_addrs(listener), [B]);
    let unbound = pair.a.open(Style::OneToOne, SocketOptions::default());
    assert!(matches!(pair.a.set_addrs(unbound, &[A]), Err(SocketError::Invalid(_))));
}
