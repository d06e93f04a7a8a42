//! One socket for all clients: a one-to-many server that prints what happens to its associations,
//! and at their end the figures of their paths.
//!
//! Two clients run in the same process. The server stops when both have left.

use sctp_user::{Error, Incoming, Message, Notification, StackBuilder, Subscriptions};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let stack = StackBuilder::udp(0)?.build()?;
    let server = stack.bind_one_to_many(5001)?;
    server.listen(16)?;
    server.subscribe(Subscriptions { assoc_change: true, shutdown: true, ..Subscriptions::NONE });
    let udp_port = stack.local_udp_port().expect("the stack has a link in UDP");
    let clients = tokio::spawn(async move {
        let peer = format!("127.0.0.1:5001/udp:{udp_port}");
        tokio::try_join!(client(&peer, "first"), client(&peer, "second"))
    });

    let mut left = 0;
    while left < 2 {
        // One call serves all associations; each message says which one it came from.
        let (id, incoming) = server.recv().await?;
        match incoming {
            Incoming::Message(request) => {
                server.send(id, Message::new(request.stream, request.ppid, request.data)).await?;
            }
            Incoming::Notification(what) => {
                println!("association {id}: {what}");
                if what == Notification::PeerShutdown {
                    left += 1;
                    for path in server.paths(id) {
                        let received = path.stats.packets_received;
                        println!("  path to {}: {received} packets received", path.addr.remote);
                    }
                }
            }
        }
    }
    clients.await.expect("the clients do not panic")?;
    stack.shutdown().await;
    Ok(())
}

/// Calls, asks three times and leaves.
async fn client(peer: &str, name: &str) -> Result<(), Error> {
    let stack = StackBuilder::udp(0)?.build()?;
    let association = stack.connect(peer).await?;
    for number in 1..=3 {
        association.send(Message::new(0, 0, format!("{name} client, request {number}"))).await?;
        association.recv_message().await?;
    }
    association.shutdown().await
}

#[test]
fn the_example_runs() {
    main().unwrap();
}
