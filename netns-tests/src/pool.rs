//! Pools on a bench: servers, and clients that count their Pongs.

use std::time::Duration;

use rsp_tools::programs::pingpongclient::ClientEvent;

use crate::net::{Host, Net, Running};

/// Starts a pool element and waits until it is registered; gives its identifier.
///
/// # Panics
/// When it is not.
pub fn server(net: &Net, host: &Host, args: &[&str]) -> (u32, Running) {
    let mut server = net.start(host, &[&["rspserver", "-quiet"], args].concat());
    let ready = server.ready();
    let id = ready.get("id").and_then(|id| id.strip_prefix("0x")).expect("the identifier");
    (u32::from_str_radix(id, 16).expect("a hexadecimal identifier"), server)
}

/// Waits for so many Pongs of one pool element that is not `than`, and says which.
///
/// # Panics
/// When they do not come.
pub fn pongs_of_another(client: &mut Running, than: Option<u32>, mut count: u32) -> u32 {
    client.wait_for("enough pongs", |line| match ClientEvent::from_json(line) {
        Some(ClientEvent::Pong { pe, .. }) if Some(pe) != than => {
            count -= 1;
            (count == 0).then_some(pe)
        }
        _ => None,
    })
}

/// Ends the client, which then has all its Pongs.
///
/// # Panics
/// When it has not.
pub fn finish(mut client: Running) {
    client.signal("INT");
    client.finished(Duration::from_secs(10));
}
