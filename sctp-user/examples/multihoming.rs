//! Two addresses at each end, so that two networks carry one association.
//!
//! Both ends run in this process, with addresses of 127.0.1.0/24 and 127.0.2.0/24, which need no
//! set-up on Linux. docs/multihoming.md tells what happens when one of the networks dies.

use std::net::IpAddr;

use sctp_user::link::udp::{Port, UdpEncapConfig};
use sctp_user::{BindOptions, Error, Message, ShownAddress, StackBuilder};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let here: [IpAddr; 2] = [[127, 0, 1, 1].into(), [127, 0, 2, 1].into()];
    let there: [IpAddr; 2] = [[127, 0, 1, 2].into(), [127, 0, 2, 2].into()];

    // The server's link sends and receives at two addresses, and its port tells peers of them.
    let server = StackBuilder::udp(UdpEncapConfig::with_addrs(there, Port::Any))?.build()?;
    let endpoint =
        server.bind(BindOptions { port: 7, addrs: there.to_vec(), ..BindOptions::default() })?;
    endpoint.listen(1)?;
    let udp_port = server.local_udp_port().expect("the stack has a link in UDP");
    let serving = tokio::spawn(async move {
        let association = endpoint.accept().await?;
        while let Some(message) = association.recv_message().await? {
            association.send(Message::new(message.stream, message.ppid, message.data)).await?;
        }
        association.shutdown().await
    });

    // The same for the client, on any free SCTP port. One address of the server would do; with
    // both, the client can connect while the first network is down.
    let client = StackBuilder::udp(UdpEncapConfig::with_addrs(here, Port::Any))?.build()?;
    let endpoint = client.bind(BindOptions { addrs: here.to_vec(), ..BindOptions::default() })?;
    let association = endpoint.connect(format!("127.0.1.2:7,127.0.2.2/udp:{udp_port}")).await?;
    for primary in there {
        // This moves what the client sends. The server answers over its own primary path.
        association.set_primary(primary)?;
        association.send(Message::new(0, 0, "hello")).await?;
        if let Some(echo) = association.recv_message().await? {
            println!("sent to {primary}, the echo came from {}", echo.from.remote);
        }
    }
    for path in association.paths() {
        let (remote, sent) = (ShownAddress(path.addr.remote), path.stats.packets_sent);
        println!("path to {remote}: {}, {sent} packets sent", path.state);
    }
    association.shutdown().await?;
    serving.await.expect("the server does not panic")
}

#[test]
#[cfg(target_os = "linux")]
fn the_example_runs() {
    main().unwrap();
}
