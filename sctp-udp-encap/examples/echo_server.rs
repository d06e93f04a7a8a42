//! An echo server: SCTP port 7, UDP port 9899 or the one named as argument (0 is any free one).

use sctp_udp_encap::{Port, UdpEncapConfig, UdpEncapLink};
use sctp_user::{Message, StackBuilder};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port = std::env::args().nth(1).map_or(Ok(Port::WellKnown), |port| port.parse().map(u16::into))?;
    let link = UdpEncapLink::bind(&UdpEncapConfig::with_port(port))?;
    println!("echo server at SCTP port 7, UDP port {}", link.port());
    let endpoint = StackBuilder::new().link(link).build()?.bind(7)?;
    endpoint.listen(16)?;
    loop {
        let association = endpoint.accept().await?;
        tokio::spawn(async move {
            while let Some(received) = association.recv_message().await? {
                association.send(Message::new(received.stream, received.ppid, received.data)).await?;
            }
            association.shutdown().await
        });
    }
}
