//! Sends one message to `echo_server` and prints what comes back.

use sctp_user::link::udp::{Port, UdpEncapConfig, UdpEncapLink};
use sctp_user::{Encap, Message, Peer, StackBuilder};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let link = UdpEncapLink::bind(&UdpEncapConfig::with_port(Port::Any))?;
    let stack = StackBuilder::new().link(link).build()?;
    let server = Peer::new([127, 0, 0, 1].into(), Encap::Udp { remote_port: 9899 }, 7);
    let association = stack.connect(&server).await?;
    association.send(Message::new(0, 0, "hello")).await?;
    if let Some(message) = association.recv_message().await? {
        println!("{}", String::from_utf8_lossy(&message.data));
    }
    association.shutdown().await?;
    stack.shutdown().await;
    Ok(())
}
