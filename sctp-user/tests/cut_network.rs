//! Two hosts, two networks between them, and one of these is cut while messages flow: what
//! multi-homing does and what a program sees of it.
//!
//! Both ends run in this process, with addresses in 127.0.1.0/24 and 127.0.2.0/24, which Linux has
//! without being told. The exit status is 0 when every message arrived once and in order, with a
//! gap of less than a second, and data returned to the first network when it worked again.

#![cfg(target_os = "linux")]

use std::error::Error;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use sctp_user::link::udp::{Port, UdpEncapConfig, UdpEncapLink};
use sctp_user::link::{Link, RecvBatch};
use sctp_user::{
    AssocConfig, Association, BindOptions, Encap, Incoming, Message, Notification, PathAddr,
    PathState, Peer, Stack, StackBuilder, Subscriptions, Transmit,
};

const HERE: [IpAddr; 2] = [address(1, 1), address(2, 1)];
const THERE: [IpAddr; 2] = [address(1, 2), address(2, 2)];

/// Address of a host in a network.
const fn address(network: u8, host: u8) -> IpAddr {
    IpAddr::V4(std::net::Ipv4Addr::new(127, 0, network, host))
}

#[tokio::test]
async fn messages_go_on_when_a_network_is_cut() -> Result<(), Box<dyn Error>> {
    let first_is_cut = Arc::new(AtomicBool::new(false));
    let (client, _) = stack(&HERE, &first_is_cut)?;
    let (server, udp_port) = stack(&THERE, &first_is_cut)?;

    let endpoint =
        server.bind(BindOptions { port: 5001, addrs: THERE.to_vec(), ..BindOptions::default() })?;
    endpoint.listen(1)?;
    let arrivals = tokio::spawn(async move { receive(endpoint.accept().await?).await });

    let endpoint = client.bind(BindOptions {
        addrs: HERE.to_vec(),
        subscriptions: Subscriptions { peer_addr_change: true, ..Subscriptions::NONE },
        ..BindOptions::default()
    })?;
    // The first address is the primary path.
    let there = THERE.map(|addr| (addr, Encap::Udp { remote_port: udp_port }));
    let association = endpoint.connect(&Peer { addrs: there.to_vec(), port: 5001 }).await?;
    tokio::spawn(tell_changes(association.clone()));

    let mut sent = 0;
    send_for(Duration::from_millis(500), &association, &mut sent).await?;
    println!("network 1 is cut");
    first_is_cut.store(true, Ordering::Relaxed);
    send_for(Duration::from_secs(1), &association, &mut sent).await?;
    let left = state(&association, THERE[0]) != Some(PathState::Active);
    println!("network 1 works again");
    first_is_cut.store(false, Ordering::Relaxed);
    let deadline = Instant::now() + Duration::from_secs(10);
    while state(&association, THERE[0]) != Some(PathState::Active) && Instant::now() < deadline {
        send_for(Duration::from_millis(100), &association, &mut sent).await?;
    }
    send_for(Duration::from_millis(300), &association, &mut sent).await?;
    let primary = association.primary_path().map(|path| path.addr.remote);
    let returned =
        primary == Some(THERE[0]) && state(&association, THERE[0]) == Some(PathState::Active);
    association.shutdown().await?;

    let arrivals = arrivals.await??;
    let numbers: Vec<u32> = arrivals.iter().map(|(_, number)| *number).collect();
    let gap = arrivals.windows(2).map(|pair| pair[1].0 - pair[0].0).max().unwrap_or_default();
    println!(
        "{} of {sent} messages arrived, the longest gap was {} ms",
        numbers.len(),
        gap.as_millis()
    );
    client.shutdown().await;
    server.shutdown().await;

    if !numbers.into_iter().eq(0..sent) {
        return Err("messages were lost, doubled or out of order".into());
    }
    if gap >= Duration::from_secs(1) {
        return Err("the dead path was not left within a second".into());
    }
    if !left || !returned {
        return Err("the paths did not change as the networks did".into());
    }
    Ok(())
}

/// A stack with these addresses, on a UDP port that the system chooses.
fn stack(addrs: &[IpAddr], first_is_cut: &Arc<AtomicBool>) -> Result<(Stack, u16), Box<dyn Error>> {
    let link = UdpEncapLink::bind(&UdpEncapConfig::with_addrs(addrs.iter().copied(), Port::Any))?;
    let udp_port = link.local_udp_port().ok_or("the link has a UDP port")?;
    let config = AssocConfig { expose_potentially_failed: true, ..AssocConfig::realtime() };
    let link = Cables { link, first_is_cut: Arc::clone(first_is_cut) };
    Ok((StackBuilder::new().link(link).assoc_config(config).build()?, udp_port))
}

/// One message every 10 ms.
async fn send_for(
    time: Duration,
    to: &Association,
    sent: &mut u32,
) -> Result<(), sctp_user::Error> {
    let end = Instant::now() + time;
    while Instant::now() < end {
        to.send(Message::new(0, 0, sent.to_be_bytes().to_vec())).await?;
        *sent += 1;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

/// When which message came.
async fn receive(from: Association) -> Result<Vec<(Instant, u32)>, sctp_user::Error> {
    let mut arrivals = Vec::new();
    while let Some(message) = from.recv_message().await? {
        let number = message.data[..].try_into().map_or(u32::MAX, u32::from_be_bytes);
        arrivals.push((Instant::now(), number));
    }
    Ok(arrivals)
}

/// Prints how the states of the paths change.
async fn tell_changes(association: Association) {
    let start = Instant::now();
    while let Ok(Some(incoming)) = association.recv().await {
        if let Incoming::Notification(Notification::PeerAddrChange { addr, state }) = incoming {
            println!("after {:4} ms: {addr} is {state:?}", start.elapsed().as_millis());
        }
    }
}

fn state(association: &Association, addr: IpAddr) -> Option<PathState> {
    association.paths().into_iter().find(|path| path.addr.remote == addr).map(|path| path.state)
}

/// A link whose cable to network 1 can be pulled: what comes from there or goes there is lost.
struct Cables {
    link: UdpEncapLink,
    first_is_cut: Arc<AtomicBool>,
}

impl Cables {
    fn is_cut(&self, path: &PathAddr) -> bool {
        let in_first = |addr: IpAddr| addr == HERE[0] || addr == THERE[0];
        let touches = in_first(path.remote) || path.local.is_some_and(in_first);
        touches && self.first_is_cut.load(Ordering::Relaxed)
    }
}

impl Link for Cables {
    fn handles(&self, encap: Encap) -> bool {
        self.link.handles(encap)
    }

    fn max_segments(&self) -> usize {
        self.link.max_segments()
    }

    fn ip_mtu(&self) -> usize {
        self.link.ip_mtu()
    }

    fn local_udp_port(&self) -> Option<u16> {
        self.link.local_udp_port()
    }

    fn local_addrs(&self) -> Vec<IpAddr> {
        self.link.local_addrs()
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>, batch: &mut RecvBatch) -> Poll<io::Result<()>> {
        loop {
            let Poll::Ready(result) = self.link.poll_recv(cx, batch) else { return Poll::Pending };
            result?;
            batch.datagrams.retain(|datagram| !self.is_cut(&datagram.from));
            if !batch.is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    }

    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        transmit: &Transmit,
        bytes: &[u8],
    ) -> Poll<io::Result<()>> {
        if self.is_cut(&transmit.path) {
            return Poll::Ready(Ok(()));
        }
        self.link.poll_send(cx, transmit, bytes)
    }
}
