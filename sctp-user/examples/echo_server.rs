//! Sends every message back: SCTP port 7 in UDP port 9899. `echo_client` talks to it.

use sctp_user::link::udp::{Port, UdpEncapConfig, UdpEncapLink};
use sctp_user::{Error, Message, StackBuilder};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let link = UdpEncapLink::bind(&UdpEncapConfig::with_port(Port::WellKnown))?;
    let stack = StackBuilder::new().link(link).build()?;
    let endpoint = stack.bind(7)?;
    endpoint.listen(16)?;
    loop {
        let association = endpoint.accept().await?;
        tokio::spawn(async move {
            loop {
                match association.recv_message().await {
                    Ok(Some(message)) => {
                        let echo = Message::new(message.stream, message.ppid, message.data);
                        association.send(echo).await?;
                    }
                    // The client is a new process now; an echo remembers nothing of the old one.
                    Err(Error::Restarted) => {}
                    Ok(None) => return association.shutdown().await,
                    Err(why) => return Err(why),
                }
            }
        });
    }
}
