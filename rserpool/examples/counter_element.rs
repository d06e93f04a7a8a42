//! A pool element that counts the requests of each session. The count travels in a cookie, so that
//! another element goes on counting when this one dies.
//!
//!     counter_element [REGISTRAR]
//!
//! REGISTRAR is the address of a registrar and its UDP port; 127.0.0.1:9899 if it is left out.

use rserpool::{AsapConfig, ElementIncoming, ElementOptions, ElementSession};
use rserpool::{Error, Outgoing, PoolElement, UserMessage};
use sctp_user::{Peer, StackBuilder};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let registrar = std::env::args().nth(1).unwrap_or("127.0.0.1:9899".into());
    let mut options = ElementOptions::new("CounterPool".parse()?);
    options.asap = AsapConfig::with_registrars(vec![Peer::udp(registrar.parse()?, 3863)]);
    let stack = StackBuilder::udp(0)?.build()?;
    let element = PoolElement::register(&stack, options)?;
    element.registered().await?;
    println!("{} is in the pool", element.id());
    loop {
        tokio::spawn(serve(element.accept().await?));
    }
}

/// Serves one session to its end.
async fn serve(mut session: ElementSession) -> Result<(), Error> {
    let mut count = 0u64;
    while let Some(incoming) = session.recv().await? {
        match incoming {
            // Another element has died. This is the state that it has left with the client.
            ElementIncoming::CookieEcho(cookie) => {
                count = cookie.as_ref().try_into().map_or(0, u64::from_be_bytes);
            }
            // The client is a new process, which begins a new session.
            ElementIncoming::Restarted => count = 0,
            ElementIncoming::Message(request) => {
                count += 1;
                let reply = UserMessage::new(request.ppid, format!("request {count}"));
                let cookie = count.to_be_bytes().to_vec().into();
                // As one unit: no failure can come between the reply and its cookie.
                session.send_unit(vec![Outgoing::Data(reply), Outgoing::Cookie(cookie)]).await?;
            }
        }
    }
    session.shutdown().await
}
