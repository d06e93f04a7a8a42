//! Two addresses at each end, so that two networks carry one association.
//!
//! Both ends run in this process, with addresses of 127.0.1.0/24 and 127.0.2.0/24, which need no
//! set-up on Linux. docs/multihoming.md tells what happens when one of the networks dies.

use std::net::IpAddr;

use sctp_user::{BindOptions, Error, Incoming, Message, PathState, StackBuilder, Subscriptions};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let here: [IpAddr; 2] = [[127, 0, 1, 1].into(), [127, 0, 2, 1].into()];
    let there: [IpAddr; 2] = [[127, 0, 1, 2].into(), [127, 0, 2, 2].into()];

    let server = StackBuilder::udp(0)?.build()?;
    let udp_port = server.local_udp_port().expect("the stack has a link in UDP");
    let endpoint =
        server.bind(BindOptions { port: 7, addrs: there.to_vec(), ..BindOptions::default() })?;
    endpoint.listen(1)?;

    let client = StackBuilder::udp(0)?.build()?;
    let peer = format!("127.0.1.2:7/udp:{udp_port}");
    let options = BindOptions { addrs: here.to_vec(), ..BindOptions::default() };
    let client_endpoint = client.bind(options)?;
    // The client needs to know one address of the server. The server tells it the other one.
    let (association, at_server) =
        tokio::try_join!(client_endpoint.connect(&peer), endpoint.accept())?;

    // A heartbeat must confirm the second path before it carries data.
    association.subscribe(Subscriptions { peer_addr_change: true, ..Subscriptions::NONE });
    while !association.paths().iter().all(|path| path.state == PathState::Active) {
        if let Some(Incoming::Notification(change)) = association.recv().await? {
            println!("{change}");
        }
    }
    for primary in there {
        association.set_primary(primary)?;
        association.send(Message::new(0, 0, "hello")).await?;
        if let Some(message) = at_server.recv_message().await? {
            println!("a message came from {}", message.from.remote);
        }
    }
    for path in association.paths() {
        let sent = path.stats.packets_sent;
        println!("path to {}: {:?}, {sent} packets sent", path.addr.remote, path.state);
    }
    tokio::try_join!(association.shutdown(), at_server.shutdown())?;
    Ok(())
}

#[test]
#[cfg(target_os = "linux")]
fn the_example_runs() {
    main().unwrap();
}
