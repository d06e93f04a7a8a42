//! A pool user of `counter_element`: asks again and again, whichever element answers.
//!
//!     counter_user [REGISTRAR [REQUESTS]]
//!
//! REGISTRAR is the address of a registrar and its UDP port; 127.0.0.1:9899 if it is left out.
//! REQUESTS is how often to ask, 20 if it is left out, five times a second.

use std::time::Duration;

use rserpool::{AsapConfig, PoolUser, SessionEvent, SessionOptions, UserMessage, UserOptions};
use sctp_user::{Peer, StackBuilder};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let registrar = args.next().unwrap_or("127.0.0.1:9899".into());
    let requests: u64 = args.next().map_or(Ok(20), |requests| requests.parse())?;
    let asap = AsapConfig::with_registrars(vec![Peer::udp(registrar.parse()?, 3863)]);
    let stack = StackBuilder::udp(0)?.build()?;
    let user = PoolUser::new(&stack, UserOptions { asap })?;
    let mut session = user.open("CounterPool".parse()?, SessionOptions::default())?;

    let mut answered = 0;
    while answered < requests {
        match session.recv().await? {
            SessionEvent::Message(reply) => {
                println!("{}", String::from_utf8_lossy(&reply.data));
                answered += 1;
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            // Connected, for the first time or after a failure. What the last element has not
            // answered is asked again.
            SessionEvent::FailoverDone { element, .. } => println!("connected with {element}"),
            SessionEvent::FailoverProblem(problem) => {
                println!("still looking: {problem}");
                continue;
            }
            _ => continue,
        }
        // Nothing is lost when this fails: the session then finds another element.
        let _ = session.send(UserMessage::new(0, "count")).await;
    }
    session.close().await?;
    stack.shutdown().await;
    Ok(())
}
