//! Sends its arguments, from the third on, to the echo server at an IP address and UDP port: `echo_client 127.0.0.1 9899 hello world`.

use sctp_udp_encap::{UdpEncapConfig, UdpEncapLink};
use sctp_user::{Encap, Message, Peer, StackBuilder};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let addr = args.next().ok_or("the first argument must be the server's IP address")?.parse()?;
    let remote_port = args.next().ok_or("the second argument must be the server's UDP port")?.parse()?;
    let link = UdpEncapLink::bind(&UdpEncapConfig::default())?;
    let stack = StackBuilder::new().link(link).build()?;
    let association = stack.connect(&Peer::new(addr, Encap::Udp { remote_port }, 7)).await?;
    for text in args {
        association.send(Message::new(0, 0, text)).await?;
        let reply = association.recv_message().await?.ok_or("the server has shut down")?;
        println!("{}", String::from_utf8_lossy(&reply.data));
    }
    association.shutdown().await?;
    Ok(())
}
