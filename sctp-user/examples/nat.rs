//! A client behind a NAT box that gives it a new port now and then. The server finds the client at
//! each of them, and no message is lost. All three run in this process. docs/nat.md tells more.

use std::net::{Ipv4Addr, SocketAddr};

use sctp_user::{Message, StackBuilder};
use tokio::net::UdpSocket;

const ANY_PORT: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 0);

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = StackBuilder::udp(SocketAddr::from(ANY_PORT))?.build()?;
    let endpoint = server.bind(7)?;
    endpoint.listen(1)?;
    let server_port = server.local_udp_port().expect("the stack has a link in UDP");

    let inside = UdpSocket::bind(ANY_PORT).await?;
    // For the client, the server's UDP port is that of the NAT box.
    let peer = format!("127.0.0.1:7/udp:{}", inside.local_addr()?.port());
    tokio::spawn(nat_box(inside, (Ipv4Addr::LOCALHOST, server_port).into()));

    let client = StackBuilder::udp(SocketAddr::from(ANY_PORT))?.build()?;
    let (association, at_server) = tokio::try_join!(client.connect(&peer), endpoint.accept())?;
    for number in 1..=8 {
        association.send(Message::new(0, 0, format!("message {number}"))).await?;
        if let Some(message) = at_server.recv_message().await? {
            println!("{:?} from {:?}", message.data, message.from.encap);
        }
    }
    tokio::try_join!(association.shutdown(), at_server.shutdown())?;
    Ok(())
}

/// Passes datagrams on from a port of its own, and takes a new one after every fifth.
async fn nat_box(inside: UdpSocket, server: SocketAddr) -> std::io::Result<()> {
    let mut outside = UdpSocket::bind(ANY_PORT).await?;
    let (mut client, mut passed, mut request, mut reply) = (server, 0, [0; 2048], [0; 2048]);
    // A NAT box says nothing for the old port; a closed one would be told by ICMP.
    let mut silent = Vec::new();
    loop {
        tokio::select! {
            Ok((len, from)) = inside.recv_from(&mut request) => {
                (client, passed) = (from, passed + 1);
                if passed % 5 == 0 {
                    silent.push(std::mem::replace(&mut outside, UdpSocket::bind(ANY_PORT).await?));
                }
                outside.send_to(&request[..len], server).await?;
            }
            Ok((len, _)) = outside.recv_from(&mut reply) => {
                inside.send_to(&reply[..len], client).await?;
            }
        }
    }
}

#[test]
fn the_example_runs() {
    main().unwrap();
}
