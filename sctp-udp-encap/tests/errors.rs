//! ICMP errors and failing send calls, as Linux reports them.
#![cfg(all(target_os = "linux", not(portable)))]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use common::*;
use sctp_udp_encap::{Port, UdpEncapConfig, UdpEncapLink};
use sctp_user_core::{NoRoute, Transmit, Unreachable};
use sctp_user_link::{Link, RecvBatch};

/// The system answers a packet to a closed port with ICMP "port unreachable".
#[tokio::test]
async fn port_unreachable_comes_back_with_quote_and_path() {
    for addr in ["127.0.0.1", "::1"] {
        let port = closed_port(addr);
        let mut a = link(&[addr]);
        let packet: Vec<u8> = (0..100).collect();
        send(&mut a, &single(path(None, addr, port), packet.len()), &packet).await.unwrap();
        let error = recv_error(&mut a).await;
        assert_eq!(error.kind, Unreachable::Protocol);
        assert_eq!(error.to, path(Some(addr), addr, port));
        assert!(error.quoted.len() >= 12, "only {} bytes quoted", error.quoted.len());
        assert!(packet.starts_with(&error.quoted[..]), "{:?}", error.quoted);
    }
}

/// The reader is asleep when an error arrives. The error alone must wake it, and only once.
#[tokio::test]
async fn an_error_alone_wakes_the_reader() {
    let mut a = link(&["127.0.0.1", "::1"]);
    let mut batch = RecvBatch::new();
    for round in 0..10u8 {
        let addr = if round % 2 == 0 { "127.0.0.1" } else { "::1" };
        let alarm = Arc::new(Alarm::default());
        let waker = Waker::from(Arc::clone(&alarm));
        let mut reader = Context::from_waker(&waker);
        batch.clear();
        assert!(a.poll_recv(&mut reader, &mut batch).is_pending());
        let packet = [round; 12];
        send(&mut a, &single(path(None, addr, closed_port(addr)), packet.len()), &packet)
            .await
            .unwrap();
        within(alarm.rung.notified()).await;
        assert!(a.poll_recv(&mut reader, &mut batch).is_ready());
        assert_eq!(batch.errors[0].quoted, packet[..]);

        // Then nothing wakes it any more.
        batch.clear();
        assert!(a.poll_recv(&mut reader, &mut batch).is_pending());
        let count = alarm.count.load(Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(5)).await;
        assert_eq!(alarm.count.load(Ordering::Relaxed), count, "woken for nothing");
    }
}

#[derive(Default)]
struct Alarm {
    rung: tokio::sync::Notify,
    count: AtomicUsize,
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.rung.notify_one();
    }
}

/// An error that is pending on the socket makes the next send call fail. The packet of that call
/// must not be lost.
#[tokio::test]
async fn sends_after_an_error_are_not_lost() {
    let closed = closed_port("127.0.0.1");
    let mut a = link(&["127.0.0.1"]);
    let mut b = link(&["127.0.0.1"]);
    for round in 0..50u8 {
        for _ in 0..3 {
            send(&mut a, &single(path(None, "127.0.0.1", closed), 12), &[round; 12]).await.unwrap();
        }
        // Loopback normally answers at once, so the error is pending now.
        send(&mut a, &single(path(None, "127.0.0.1", b.port()), 1), &[round]).await.unwrap();
        let (got, _) = recv(&mut b, 1).await;
        assert_eq!(got[0].bytes, [round][..]);
    }
    let error = recv_error(&mut a).await;
    assert_eq!((error.kind, error.to.remote), (Unreachable::Protocol, ip("127.0.0.1")));
    assert_eq!(error.quoted, [0; 12][..], "the oldest error comes first");
}

/// Datagrams that arrive together with errors are received too.
#[tokio::test]
async fn datagrams_after_an_error_are_received() {
    let closed = closed_port("127.0.0.1");
    let mut a = link(&["127.0.0.1"]);
    let mut b = link(&["127.0.0.1"]);
    for _ in 0..20 {
        send(&mut a, &single(path(None, "127.0.0.1", closed), 12), &[1; 12]).await.unwrap();
        send(&mut b, &single(path(None, "127.0.0.1", a.port()), 2), b"ok").await.unwrap();
        let (got, errors) = recv_both(&mut a).await;
        assert_eq!(got[0].bytes, b"ok"[..]);
        assert_eq!(errors.len(), 1);
    }
}

/// A packet that is larger than the interface allows is not sent, and the reader learns the MTU.
#[tokio::test]
async fn too_large_a_packet_is_reported_as_packet_too_big() {
    for (addr, len) in [("127.0.0.1", 65508), ("127.0.0.1", 65600), ("::1", 65528), ("::1", 65600)]
    {
        let mut a = link(&[addr]);
        let bytes = vec![3; len];
        let to = path(None, addr, 9);
        send(&mut a, &single(to, len), &bytes).await.expect("the reader gets the error");
        let report = recv_error(&mut a).await;
        // In one of these cases loopback itself sends an ICMP message, and then the report has the
        // local address too. So compare only the other parts.
        assert_eq!((report.to.remote, report.to.encap), (to.remote, to.encap));
        assert!(
            matches!(report.kind, Unreachable::PacketTooBig { ip_mtu } if ip_mtu >= 1280),
            "{report:?}"
        );
        assert!(bytes.starts_with(&report.quoted[..]) && report.quoted.len() >= 12);
    }
}

/// If there is no route, the reader learns it, and the link goes on.
#[tokio::test]
async fn no_route_is_reported_as_unreachable() {
    let mut a = link(&["0.0.0.0"]);
    let to = path(Some("127.0.0.1"), "203.0.113.1", 9);
    // From a loopback address to the outside: whether the system refuses this depends on its
    // routes.
    let refused = std::net::UdpSocket::bind("127.0.0.1:0")
        .unwrap()
        .send_to(&[5; 12], "203.0.113.1:9")
        .is_err();
    let sent = send(&mut a, &single(to, 12), &[5; 12]).await;
    if refused && sent.is_ok() {
        let report = recv_error(&mut a).await;
        assert_eq!((report.to, report.kind), (to, Unreachable::NoRoute(NoRoute::Network)));
        assert_eq!(report.quoted, [5; 12][..]);
    }
    let mut b = link(&["127.0.0.1"]);
    send(&mut a, &single(path(None, "127.0.0.1", b.port()), 1), b"x").await.unwrap();
    assert_eq!(recv(&mut b, 1).await.0.len(), 1);
}

/// When the runtime of a stack ends, nobody can wake the stack any more. It must still be able to
/// send its last packets.
#[test]
fn sending_works_without_the_runtime() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let first = runtime();
    let mut a = first.block_on(async { link(&["127.0.0.1"]) });
    drop(first);
    runtime().block_on(async {
        let mut b = link(&["127.0.0.1"]);
        let transmit = single(path(None, "127.0.0.1", b.port()), 3);
        let mut cx = Context::from_waker(Waker::noop());
        assert!(matches!(a.poll_send(&mut cx, &transmit, b"bye"), Poll::Ready(Ok(()))));
        assert_eq!(recv(&mut b, 1).await.0[0].bytes, b"bye"[..]);
    });
}

/// Packets for which the socket buffer has no room are lost, and the link counts them.
#[tokio::test]
async fn packets_dropped_by_a_full_socket_are_counted() {
    const SENT: u64 = 2000;
    let config = UdpEncapConfig {
        recv_buffer: 4096,
        ..UdpEncapConfig::with_addrs([ip("127.0.0.1")], Port::Any)
    };
    let mut full = UdpEncapLink::bind(&config).unwrap();
    let meter = full.meter().expect("links over sockets have counters");
    assert_eq!(meter().overflows, 0);
    let sender = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    for _ in 0..SENT {
        sender.send_to(&[7; 100], ("127.0.0.1", full.port())).unwrap();
    }
    let lost = meter().overflows;
    assert!((1..SENT).contains(&lost), "{lost} of {SENT}");
    let (got, _) = recv(&mut full, (SENT - lost) as usize).await;
    assert_eq!(got.len() as u64 + lost, SENT);
}

/// A large number of errors neither blocks the sender nor keeps the reader from receiving.
#[tokio::test]
async fn a_flood_of_errors_passes() {
    let closed = closed_port("127.0.0.1");
    let mut a = link(&["127.0.0.1"]);
    let mut b = link(&["127.0.0.1"]);
    let bytes = vec![9; 40 * 1000];
    let batch = Transmit {
        segment_size: Some(1000),
        ..single(path(None, "127.0.0.1", closed), bytes.len())
    };
    for _ in 0..20 {
        send(&mut a, &batch, &bytes).await.unwrap();
    }
    send(&mut b, &single(path(None, "127.0.0.1", a.port()), 2), b"ok").await.unwrap();
    let (got, errors) = recv_both(&mut a).await;
    assert_eq!(got[0].bytes, b"ok"[..]);
    assert!(errors.iter().all(|e| e.kind == Unreachable::Protocol));
}
