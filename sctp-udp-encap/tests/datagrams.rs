//! Sends datagrams over real loopback sockets: both families, batches, addresses.

mod common;

use common::*;
use sctp_user_core::{Ecn, Encap, Transmit};
use sctp_user_link::Link;

#[tokio::test]
async fn exchange_over_both_families() {
    for addr in ["127.0.0.1", "::1"] {
        let (mut a, mut b) = (link(&[addr]), link(&[addr]));
        send(&mut a, &single(path(None, addr, b.port()), 5), b"hello").await.unwrap();
        let (got, errors) = recv(&mut b, 1).await;
        assert_eq!(got[0].bytes, b"hello"[..]);
        assert_eq!(got[0].from.remote, ip(addr));
        assert_eq!(got[0].from.local, Some(ip(addr)));
        assert_eq!(got[0].from.encap, Encap::Udp { remote_port: a.port() });
        assert!(errors.is_empty());

        send(&mut b, &single(got[0].from, 6), b"answer").await.unwrap();
        let (back, _) = recv(&mut a, 1).await;
        assert_eq!(back[0].bytes, b"answer"[..]);
        assert_eq!(back[0].from.encap, Encap::Udp { remote_port: b.port() });
    }
}

#[tokio::test]
async fn one_wildcard_link_serves_both_families_on_one_port() {
    let mut server = link(&["0.0.0.0", "::"]);
    assert_eq!(server.local_udp_port(), Some(server.port()));
    for addr in ["127.0.0.1", "::1"] {
        let mut client = link(&[addr]);
        send(&mut client, &single(path(None, addr, server.port()), 2), b"hi").await.unwrap();
        let (got, _) = recv(&mut server, 1).await;
        assert_eq!((got[0].from.remote, got[0].from.local), (ip(addr), Some(ip(addr))));
    }
}

#[tokio::test]
async fn a_wildcard_link_sends_from_the_given_source_and_sees_the_destination() {
    let mut a = link(&["0.0.0.0", "::"]);
    let mut b = link(&["0.0.0.0"]);
    send(&mut a, &single(path(Some("127.0.0.2"), "127.0.0.3", b.port()), 3), b"abc").await.unwrap();
    let (got, _) = recv(&mut b, 1).await;
    assert_eq!(got[0].from.remote, ip("127.0.0.2"));
    assert_eq!(got[0].from.local, Some(ip("127.0.0.3")));
    // An answer on the same path comes from the address to which the packet was sent.
    send(&mut b, &single(got[0].from, 3), b"def").await.unwrap();
    let (back, _) = recv(&mut a, 1).await;
    assert_eq!((back[0].from.remote, back[0].from.local), (ip("127.0.0.3"), Some(ip("127.0.0.2"))));
}

#[tokio::test]
async fn sockets_of_a_link_share_the_port_and_the_source_picks_the_socket() {
    let mut a = link(&["127.0.0.1", "127.0.0.2"]);
    let mut b = link(&["127.0.0.1"]);
    for source in ["127.0.0.1", "127.0.0.2"] {
        send(&mut a, &single(path(Some(source), "127.0.0.1", b.port()), 1), b"x").await.unwrap();
        let (got, _) = recv(&mut b, 1).await;
        assert_eq!(got[0].from.remote, ip(source));
        assert_eq!(got[0].from.encap, Encap::Udp { remote_port: a.port() });
    }
    assert_eq!(a.local_addrs(), [ip("127.0.0.1"), ip("127.0.0.2")]);
}

/// The host has an address in each of two networks. Packets for a network must come from the
/// address in that network.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_source_is_the_address_in_the_network_of_the_destination() {
    let mut a = link(&["127.0.1.1", "127.0.2.1"]);
    for network in [1, 2, 1] {
        let to = format!("127.0.{network}.2");
        let mut b = link(&[&to]);
        send(&mut a, &single(path(None, &to, b.port()), 1), b"x").await.unwrap();
        let (got, _) = recv(&mut b, 1).await;
        assert_eq!(got[0].from.remote, ip(&format!("127.0.{network}.1")));
    }
}

#[tokio::test]
async fn a_source_that_the_host_lacks_is_an_error_and_the_link_goes_on() {
    for (lost, addr) in [("192.0.2.1", "127.0.0.1"), ("2001:db8::1", "::1")] {
        let mut a = link(&["0.0.0.0", "::"]);
        let mut b = link(&[addr]);
        let segments = a.max_segments();
        let wrong = single(path(Some(lost), addr, b.port()), 1);
        let error = send(&mut a, &wrong, b"x").await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::AddrNotAvailable, "{error}");
        assert_eq!(
            error.to_string(),
            format!("the source address {lost} is not an address of this host")
        );
        assert_eq!(a.max_segments(), segments, "segmentation must not be given up for it");
        // ECN must not be given up either.
        let transmit = Transmit { ecn: Some(Ecn::Ect0), ..single(path(None, addr, b.port()), 1) };
        send(&mut a, &transmit, b"y").await.unwrap();
        assert_eq!(recv(&mut b, 1).await.0[0].ecn, Some(Ecn::Ect0));
    }

    let b = link(&["127.0.0.1"]);
    let mut bound = link(&["127.0.0.1"]);
    let other = single(path(Some("127.0.0.9"), "127.0.0.1", b.port()), 1);
    let error = send(&mut bound, &other, b"x").await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::AddrNotAvailable, "{error}");
}

#[tokio::test]
async fn a_batch_arrives_as_single_datagrams() {
    for addr in ["127.0.0.1", "::1"] {
        let (mut a, mut b) = (link(&[addr]), link(&[addr]));
        // 100 datagrams of 1400 bytes and a last one of 77. One system call cannot send that many.
        let bytes: Vec<u8> = (0..100 * 1400 + 77).map(|i| (i / 1400) as u8).collect();
        let transmit = Transmit {
            segment_size: Some(1400),
            ..single(path(None, addr, b.port()), bytes.len())
        };
        send(&mut a, &transmit, &bytes).await.unwrap();
        let (got, _) = recv(&mut b, 101).await;
        let lengths: Vec<usize> = got.iter().map(|d| d.bytes.len()).collect();
        assert_eq!(lengths, [[1400; 100].as_slice(), &[77]].concat());
        for (n, datagram) in got.iter().enumerate() {
            assert!(datagram.bytes.iter().all(|byte| usize::from(*byte) == n), "datagram {n}");
        }
    }
}

#[tokio::test]
async fn a_batch_of_one_is_a_datagram() {
    let (mut a, mut b) = (link(&["127.0.0.1"]), link(&["127.0.0.1"]));
    for segment_size in [Some(9), Some(4), None] {
        let transmit = Transmit { segment_size, ..single(path(None, "127.0.0.1", b.port()), 4) };
        send(&mut a, &transmit, b"four").await.unwrap();
        assert_eq!(recv(&mut b, 1).await.0[0].bytes, b"four"[..]);
    }
}

#[tokio::test]
async fn ecn_bits_are_sent_and_received() {
    for addr in ["127.0.0.1", "::1"] {
        let (mut a, mut b) = (link(&[addr]), link(&[addr]));
        for ecn in [None, Some(Ecn::Ect0), Some(Ecn::Ect1), Some(Ecn::Ce)] {
            let transmit = Transmit { ecn, ..single(path(None, addr, b.port()), 1) };
            send(&mut a, &transmit, b"x").await.unwrap();
            assert_eq!(recv(&mut b, 1).await.0[0].ecn, ecn);
        }
    }
}

#[tokio::test]
async fn a_packet_that_may_be_fragmented_passes() {
    for addr in ["127.0.0.1", "::1"] {
        let (mut a, mut b) = (link(&[addr]), link(&[addr]));
        let bytes = vec![7; 3000];
        let transmit =
            Transmit { may_fragment: true, ..single(path(None, addr, b.port()), bytes.len()) };
        send(&mut a, &transmit, &bytes).await.unwrap();
        assert_eq!(recv(&mut b, 1).await.0[0].bytes, bytes);
    }
}

#[tokio::test]
async fn nonsense_is_refused() {
    use std::io::ErrorKind::{AddrNotAvailable, InvalidInput, Unsupported};
    let mut a = link(&["127.0.0.1"]);
    assert!(a.handles(Encap::Udp { remote_port: 1 }) && !a.handles(Encap::Native));
    let good = single(path(None, "127.0.0.1", 9), 1);
    let mut native = good;
    native.path.encap = Encap::Native;
    let cases = [
        (native, Unsupported),
        (single(path(None, "127.0.0.1", 0), 1), InvalidInput),
        (Transmit { len: 2, ..good }, InvalidInput),
        (Transmit { segment_size: Some(0), ..good }, InvalidInput),
        (single(path(None, "::1", 9), 1), AddrNotAvailable),
    ];
    for (transmit, kind) in cases {
        assert_eq!(send(&mut a, &transmit, b"x").await.unwrap_err().kind(), kind, "{transmit:?}");
    }
    assert_eq!(send(&mut a, &single(good.path, 0), b"").await.unwrap_err().kind(), InvalidInput);
}
