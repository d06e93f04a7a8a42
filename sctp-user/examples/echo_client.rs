//! Sends one message to `echo_server` and prints what comes back.

use sctp_user::{Error, Message, StackBuilder};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let stack = StackBuilder::udp(0)?.build()?;
    let association = stack.connect("localhost:7").await?;
    association.send(Message::new(0, 0, "hello")).await?;
    if let Some(message) = association.recv_message().await? {
        println!("{}", String::from_utf8_lossy(&message.data));
    }
    association.shutdown().await?;
    stack.shutdown().await;
    Ok(())
}
