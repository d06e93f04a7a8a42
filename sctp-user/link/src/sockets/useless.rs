//! Tests that useless datagrams do not stop a link from receiving useful ones.
//!
//! The reader here polls only after its waker was called, as a task does.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::sync::Notify;

use super::{Carrier, SocketLink};
use crate::{Link, RecvBatch};

/// Counts how often a link wakes its reader.
#[derive(Default)]
struct Alarm {
    rung: Notify,
    count: AtomicUsize,
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.rung.notify_one();
    }
}

struct Reader {
    link: SocketLink,
    alarm: Arc<Alarm>,
    batch: RecvBatch,
}

impl Reader {
    fn new(
        carrier: Carrier,
        sockets: impl IntoIterator<Item = (IpAddr, impl Into<Socket>)>,
    ) -> Self {
        let sockets = sockets.into_iter().map(|(addr, socket)| (addr, nonblocking(socket.into())));
        let link = SocketLink::new(carrier, sockets.collect(), 9).unwrap();
        Reader { link, alarm: Arc::default(), batch: RecvBatch::new() }
    }

    fn poll(&mut self) -> Poll<()> {
        let waker = Waker::from(Arc::clone(&self.alarm));
        let polled = self.link.poll_recv(&mut Context::from_waker(&waker), &mut self.batch);
        polled.map(|result| result.expect("the link works"))
    }

    /// Polls until the link has nothing more and no longer wakes its reader.
    async fn sleep(&mut self) {
        while self.poll().is_ready() || self.woken(Duration::from_millis(20)).await {
            assert!(self.batch.is_empty(), "{:?}", self.batch);
        }
    }

    async fn woken(&self, within: Duration) -> bool {
        tokio::time::timeout(within, self.alarm.rung.notified()).await.is_ok()
    }

    /// Receives one datagram.
    async fn recv(&mut self) -> Vec<u8> {
        while self.batch.datagrams.is_empty() {
            assert!(self.woken(Duration::from_secs(5)).await, "nobody woke the reader");
            while self.poll().is_ready() {}
        }
        self.batch.datagrams.remove(0).bytes.to_vec()
    }
}

fn nonblocking(socket: Socket) -> Socket {
    socket.set_nonblocking(true).unwrap();
    socket
}

/// An IPv4 header for `protocol` and then `bytes`, as a raw socket would receive them.
fn ipv4(protocol: u8, bytes: &[u8]) -> Vec<u8> {
    let mut packet = vec![0; 20];
    packet[0] = 0x45;
    packet[2..4].copy_from_slice(&(20 + bytes.len() as u16).to_be_bytes());
    packet[9] = protocol;
    [&packet, bytes].concat()
}

/// Sends a UDP datagram from port 0, which only a raw socket can do. `None` where that is not
/// allowed.
fn from_port_zero(to: SocketAddr) -> Option<()> {
    let SocketAddr::V4(to) = to else { return None };
    let raw = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::UDP)).ok()?;
    let mut datagram = vec![0, 0];
    datagram.extend(to.port().to_be_bytes());
    datagram.extend([0, 12, 0, 0]);
    datagram.extend(b"sctp");
    raw.send_to(&datagram, &to.into()).ok().map(drop)
}

/// Sends to the all-hosts group over the loopback interface. `None` where the system refuses.
fn to_all_hosts(socket: &Socket, port: u16) -> Option<()> {
    socket.set_multicast_if_v4(&Ipv4Addr::LOCALHOST).ok()?;
    let to = SocketAddr::from((Ipv4Addr::new(224, 0, 0, 1), port));
    socket.send_to(b"sctp", &to.into()).ok().map(drop)
}

fn raw(domain: Domain) -> Option<Socket> {
    let socket = Socket::new(domain, Type::RAW, Some(Protocol::from(132)));
    socket.inspect_err(|error| println!("this part needs raw sockets: {error}")).ok()
}

#[tokio::test]
async fn a_udp_link_still_receives_after_useless_datagrams() {
    for any in [Ipv4Addr::UNSPECIFIED.into(), IpAddr::from(Ipv6Addr::UNSPECIFIED)] {
        let Ok(socket) = UdpSocket::bind((any, 0)) else { continue };
        let host = if any.is_ipv4() { "127.0.0.1" } else { "::1" }.parse::<IpAddr>().unwrap();
        let to = SocketAddr::new(host, socket.local_addr().unwrap().port());
        let mut reader = Reader::new(Carrier::Udp, [(any, socket)]);
        let sender = UdpSocket::bind((host, 0)).unwrap();
        let empty = || sender.send_to(b"", to).map(drop).ok();
        let to_group = || {
            let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).ok()?;
            to.is_ipv4().then(|| to_all_hosts(&socket, to.port()))?
        };
        let kinds: [(&str, &dyn Fn() -> Option<()>); 3] =
            [("empty", &empty), ("from port 0", &|| from_port_zero(to)), ("to a group", &to_group)];
        for (kind, send) in kinds {
            reader.sleep().await;
            if send().is_none() {
                println!("not tried over {host}: {kind}");
                continue;
            }
            // Poll here already: otherwise the second datagram could hide that the first one went
            // unnoticed.
            if reader.woken(Duration::from_secs(1)).await {
                assert!(reader.poll().is_pending(), "{kind}: {:?}", reader.batch);
            }
            sender.send_to(kind.as_bytes(), to).unwrap();
            assert_eq!(reader.recv().await, kind.as_bytes());
        }
    }
}

/// Needs the right to open raw sockets. Tolerates SCTP packets that other tests send on this host.
#[tokio::test]
async fn a_link_of_raw_sockets_still_receives_after_useless_packets() {
    let v4: (IpAddr, IpAddr) = (Ipv4Addr::UNSPECIFIED.into(), [127, 0, 77, 1].into());
    let v6: (IpAddr, IpAddr) = (Ipv6Addr::UNSPECIFIED.into(), Ipv6Addr::LOCALHOST.into());
    for (any, host) in [v4, v6] {
        let domain = if any.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
        let (Some(socket), Some(sender)) = (raw(domain), raw(domain)) else { continue };
        let to = SocketAddr::new(host, 0);
        let mut reader = Reader::new(Carrier::Ip, [(any, socket)]);
        let empty = || sender.send_to(b"", &to.into()).map(drop).ok();
        let to_group = || match domain {
            Domain::IPV4 => to_all_hosts(&sender, 0),
            _ => {
                let all = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
                let to = std::net::SocketAddrV6::new(all, 0, 0, 1);
                sender.send_to(b"sctp", &SocketAddr::from(to).into()).map(drop).ok()
            }
        };
        let kinds: [(&str, &dyn Fn() -> Option<()>); 2] =
            [("empty", &empty), ("to a group", &to_group)];
        for (kind, send) in kinds {
            while reader.poll().is_ready() || reader.woken(Duration::from_millis(20)).await {
                reader.batch.clear();
            }
            if send().is_none() {
                println!("not tried over {host}: {kind}");
                continue;
            }
            if reader.woken(Duration::from_secs(1)).await {
                let _ = reader.poll();
            }
            sender.send_to(kind.as_bytes(), &to.into()).unwrap();
            while reader.recv().await != kind.as_bytes() {}
        }
    }
}

#[tokio::test]
async fn a_raw_link_over_a_udp_socket_still_receives_after_useless_packets() {
    let host = IpAddr::from(Ipv4Addr::LOCALHOST);
    let socket = UdpSocket::bind((host, 0)).unwrap();
    let to = socket.local_addr().unwrap();
    // The link reads from a UDP socket, which needs no privileges, what a raw socket would receive.
    let mut reader = Reader::new(Carrier::Ip, [(host, socket)]);
    let sender = UdpSocket::bind((host, 0)).unwrap();
    for useless in [&b""[..], b"a part of a header", &ipv4(17, b"udp"), &ipv4(132, b"")] {
        reader.sleep().await;
        sender.send_to(useless, to).unwrap();
        assert!(reader.woken(Duration::from_secs(5)).await);
        assert!(reader.poll().is_pending(), "{:?}", reader.batch);
        sender.send_to(&ipv4(132, b"sctp"), to).unwrap();
        assert_eq!(reader.recv().await, b"sctp");
    }
}

/// A socket must not be forgotten because another one has nothing useful either.
#[tokio::test]
async fn every_socket_of_a_link_still_receives_after_useless_datagrams() {
    let hosts = [1, 2, 3].map(|n| IpAddr::from([127, 0, 0, n]));
    let Ok(sockets) = hosts.iter().map(|host| UdpSocket::bind((*host, 0))).collect() else {
        return println!("this system has only one loopback address");
    };
    let sockets: Vec<UdpSocket> = sockets;
    let to: Vec<SocketAddr> = sockets.iter().map(|s| s.local_addr().unwrap()).collect();
    let mut reader = Reader::new(Carrier::Udp, hosts.into_iter().zip(sockets));
    let sender = UdpSocket::bind((hosts[0], 0)).unwrap();
    for (silent, last) in [(0, 0), (1, 0), (2, 1), (2, 2)] {
        reader.sleep().await;
        sender.send_to(b"", to[silent]).unwrap();
        assert!(reader.woken(Duration::from_secs(5)).await);
        assert!(reader.poll().is_pending());
        sender.send_to(b"", to[last]).unwrap();
        sender.send_to(b"x", to[silent]).unwrap();
        assert_eq!(reader.recv().await, b"x");
    }
}

/// A link lets other tasks run during a flood of useless datagrams, and then goes on by itself.
#[tokio::test]
async fn a_flood_of_useless_datagrams_is_read_in_pieces() {
    let host = IpAddr::from(Ipv4Addr::LOCALHOST);
    let socket = UdpSocket::bind((host, 0)).unwrap();
    let to = socket.local_addr().unwrap();
    let mut reader = Reader::new(Carrier::Udp, [(host, socket)]);
    let sender = UdpSocket::bind((host, 0)).unwrap();
    reader.sleep().await;
    for _ in 0..200 {
        sender.send_to(b"", to).unwrap();
    }
    sender.send_to(b"the last one", to).unwrap();
    let before = reader.alarm.count.load(Ordering::Relaxed);
    assert_eq!(reader.recv().await, b"the last one");
    let wakes = reader.alarm.count.load(Ordering::Relaxed) - before;
    // Each poll makes up to sixteen receive calls, and each call takes at least one datagram.
    assert!((1..=16).contains(&wakes), "woken {wakes} times");
}

/// Without a runtime, the caller waits for the sockets after `Pending`, so they must be empty then.
#[cfg(unix)]
#[test]
fn a_plain_link_reads_everything_before_it_says_pending() {
    let host = IpAddr::from(Ipv4Addr::LOCALHOST);
    for good in [&b"sctp"[..], &ipv4(132, b"sctp")] {
        let carrier = if good.len() == 4 { Carrier::Udp } else { Carrier::Ip };
        let socket = UdpSocket::bind((host, 0)).unwrap();
        let to = socket.local_addr().unwrap();
        let sockets = vec![(host, nonblocking(socket.into()))];
        let mut link = SocketLink::plain(carrier, sockets, 9).unwrap();
        let sender = UdpSocket::bind((host, 0)).unwrap();
        // Fewer useless datagrams than one poll reads.
        (0..10).for_each(|_| assert_eq!(sender.send_to(b"", to).unwrap(), 0));
        sender.send_to(good, to).unwrap();
        let mut batch = RecvBatch::new();
        let mut cx = Context::from_waker(Waker::noop());
        assert!(link.poll_recv(&mut cx, &mut batch).is_ready());
        assert_eq!(batch.datagrams[0].bytes, b"sctp"[..]);
    }
}
