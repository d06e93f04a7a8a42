//! Two clients behind a NAT box that loses its bindings in the middle of their associations.
//!
//! Clients, NAT box and server run in this process, over UDP on 127.0.0.1. The exit status is 0
//! when the server kept both clients apart, followed them to their new ports, and no message was
//! lost, doubled or out of order; and when clients with equal SCTP ports fared as `nat_port_key`
//! says.

use std::collections::HashMap;
use std::error::Error;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sctp_user::link::Link;
use sctp_user::link::udp::{Port, UdpEncapConfig, UdpEncapLink};
use sctp_user::{AssocConfig, Association, Encap, Message, Peer, Stack, StackBuilder, StackConfig};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

const LOOPBACK: Ipv4Addr = Ipv4Addr::LOCALHOST;

#[tokio::test]
async fn a_server_follows_clients_behind_a_nat_box() -> Result<(), Box<dyn Error>> {
    changing_ports().await?;
    for nat_port_key in [false, true] {
        let lived = equal_ports(nat_port_key).await?;
        println!(
            "of two clients with the same SCTP port {lived} got an association, nat_port_key being \
             {nat_port_key}"
        );
        if lived != if nat_port_key { 2 } else { 1 } {
            return Err("nat_port_key does not do what it says".into());
        }
    }
    Ok(())
}

/// Clients as they should be, with random SCTP ports.
async fn changing_ports() -> Result<(), Box<dyn Error>> {
    let (server, server_port) = stack(StackConfig::default(), AssocConfig::default())?;
    let endpoint = server.bind(5001)?;
    endpoint.listen(2)?;
    let (nat, nat_port) = Nat::start((LOOPBACK, server_port).into()).await?;

    // Clients keep their binding alive, and tell the server of a new one, at least this often.
    let config = AssocConfig { hb_interval_udp: Duration::from_secs(5), ..AssocConfig::default() };
    let mut stacks = vec![server];
    let mut ends = Vec::new();
    for _ in 0..2 {
        let (client, _) = stack(StackConfig::default(), config.clone())?;
        // For this client the server lives at the NAT box. `connect` draws a random SCTP port.
        let peer = Peer::new(LOOPBACK.into(), Encap::Udp { remote_port: nat_port }, 5001);
        let (here, there) = tokio::join!(client.connect(&peer), endpoint.accept());
        ends.push((here?, there?));
        stacks.push(client);
    }
    let before = seen_ports(&ends);
    println!("the server sees the clients at UDP ports {before:?}");

    println!("the NAT box loses its bindings while messages flow");
    for number in 0..300 {
        for (here, there) in &ends {
            here.send(Message::new(0, 0, format!("request {number}"))).await?;
            there.send(Message::new(0, 0, format!("answer {number}"))).await?;
        }
        if number == 100 {
            nat.send(()).await?;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    for (here, there) in &ends {
        expect(there, "request", 300).await?;
        expect(here, "answer", 300).await?;
    }
    let after = seen_ports(&ends);
    println!("the server sees the clients at UDP ports {after:?}");

    println!("the NAT box loses its bindings while nothing is sent");
    nat.send(()).await?;
    let deadline = Instant::now() + Duration::from_secs(5);
    while (0..2).any(|n| seen_ports(&ends)[n] == after[n]) && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let idle = seen_ports(&ends);
    println!("heartbeats told the server of the UDP ports {idle:?}");
    for (here, there) in &ends {
        there.send(Message::new(0, 0, "late news 0")).await?;
        expect(here, "late news", 1).await?;
    }

    for (here, _) in &ends {
        here.shutdown().await?;
    }
    for stack in stacks {
        stack.shutdown().await;
    }
    for n in 0..2 {
        if before[n] == after[n] || after[n] == idle[n] {
            return Err("the server did not follow a client to its new port".into());
        }
    }
    if before[0] == before[1] || ends[0].1.peer_port() == ends[1].1.peer_port() {
        return Err("two clients behind one address cannot have the same ports".into());
    }
    Ok(())
}

/// Two clients that insist on SCTP port 6000; how many of them got an association.
async fn equal_ports(nat_port_key: bool) -> Result<usize, Box<dyn Error>> {
    let config = StackConfig { nat_port_key, ..StackConfig::default() };
    let (server, server_port) = stack(config, AssocConfig::default())?;
    let endpoint = server.bind(5001)?;
    endpoint.listen(2)?;
    let (_nat, nat_port) = Nat::start((LOOPBACK, server_port).into()).await?;
    let peer = Peer::new(LOOPBACK.into(), Encap::Udp { remote_port: nat_port }, 5001);
    let mut stacks = vec![server];
    let mut ends = Vec::new();
    for _ in 0..2 {
        let (client, _) = stack(StackConfig::default(), AssocConfig::default())?;
        // The second one is refused with an ABORT, unless its UDP port counts.
        if let Ok(here) = client.bind(6000)?.connect(&peer).await {
            ends.push((here, endpoint.accept().await?));
        }
        stacks.push(client);
    }
    for (here, there) in &ends {
        here.send(Message::new(0, 0, "request 0")).await?;
        expect(there, "request", 1).await?;
        here.shutdown().await?;
    }
    for stack in stacks {
        stack.shutdown().await;
    }
    Ok(ends.len())
}

/// A stack on a UDP port that the system chooses. It is bound to no address by name, so it
/// announces none: the peer uses the one that packets come from.
fn stack(config: StackConfig, associations: AssocConfig) -> Result<(Stack, u16), Box<dyn Error>> {
    let link = UdpEncapLink::bind(&UdpEncapConfig::with_addrs([LOOPBACK.into()], Port::Any))?;
    let udp_port = link.local_udp_port().ok_or("the link has a UDP port")?;
    Ok((
        StackBuilder::new().link(link).config(config).assoc_config(associations).build()?,
        udp_port,
    ))
}

/// Takes messages `what 0`, `what 1` and so on, exactly these.
async fn expect(association: &Association, what: &str, count: u32) -> Result<(), Box<dyn Error>> {
    for number in 0..count {
        let message =
            tokio::time::timeout(Duration::from_secs(10), association.recv_message()).await??;
        let text =
            message.map(|m| String::from_utf8_lossy(&m.data).into_owned()).unwrap_or_default();
        if text != format!("{what} {number}") {
            return Err(format!("\"{text}\" came instead of \"{what} {number}\"").into());
        }
    }
    Ok(())
}

/// The clients' UDP ports as the server sees them.
fn seen_ports(ends: &[(Association, Association)]) -> [u16; 2] {
    [0, 1].map(|n| match ends[n].1.peer_addrs()[0].encap {
        Encap::Udp { remote_port } => remote_port,
        Encap::Native => 0,
    })
}

/// A NAT box in front of one server: each client gets an outside port of its own, which it may
/// lose.
struct Nat {
    inside: Arc<UdpSocket>,
    server: SocketAddr,
    bindings: HashMap<SocketAddr, Binding>,
}

/// What a client has at the NAT box.
struct Binding {
    outside: Arc<UdpSocket>,
    back: JoinHandle<io::Result<()>>,
}

impl Drop for Binding {
    fn drop(&mut self) {
        self.back.abort();
    }
}

impl Nat {
    /// Starts it; what is sent into the channel makes it forget all bindings. The port is where
    /// clients reach it.
    async fn start(server: SocketAddr) -> io::Result<(mpsc::Sender<()>, u16)> {
        let inside = Arc::new(UdpSocket::bind((LOOPBACK, 0)).await?);
        let port = inside.local_addr()?.port();
        let (forget, forgets) = mpsc::channel(1);
        let nat = Nat { inside, server, bindings: HashMap::new() };
        tokio::spawn(nat.run(forgets));
        Ok((forget, port))
    }

    async fn run(mut self, mut forgets: mpsc::Receiver<()>) -> io::Result<()> {
        let mut old = Vec::new();
        let mut datagram = vec![0; 65_536];
        loop {
            tokio::select! {
                biased;
                // The old sockets stay open without a reader, so that no client gets a port for a
                // second time.
                forget = forgets.recv() => match forget {
                    Some(()) => old.extend(self.bindings.drain().map(|(_, binding)| {
                        binding.back.abort();
                        Arc::clone(&binding.outside)
                    })),
                    None => return Ok(()),
                },
                received = self.inside.recv_from(&mut datagram) => {
                    let (len, client) = received?;
                    if !self.bindings.contains_key(&client) {
                        let binding = self.bind(client).await?;
                        self.bindings.insert(client, binding);
                    }
                    self.bindings[&client].outside.send_to(&datagram[..len], self.server).await?;
                }
            }
        }
    }

    async fn bind(&self, client: SocketAddr) -> io::Result<Binding> {
        let outside = Arc::new(UdpSocket::bind((LOOPBACK, 0)).await?);
        let (inside, from) = (Arc::clone(&self.inside), Arc::clone(&outside));
        let back = tokio::spawn(async move {
            let mut datagram = vec![0; 65_536];
            loop {
                let (len, _) = from.recv_from(&mut datagram).await?;
                inside.send_to(&datagram[..len], client).await?;
            }
        });
        Ok(Binding { outside, back })
    }
}
