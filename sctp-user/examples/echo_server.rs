//! Sends every message back: SCTP port 7 in UDP port 9899. `echo_client` talks to it.

use sctp_user::{Error, Message, StackBuilder};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let stack = StackBuilder::udp(9899)?.build()?;
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
