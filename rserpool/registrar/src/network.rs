//! The ports and multicast groups of a registrar.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rserpool_core::asap::AnnounceConfig;
use rserpool_core::channel::Protocol;
use rserpool_core::registrar::{EnrpConfig, Local, RegistrarConfig};
use rserpool_net::{Listener, Multicast, Ports, reach};
use rserpool_wire::{SctpTransport, Transport};
use sctp_user::{AssocConfig, BindOptions, Stack, interface, interfaces, without_interface};

use crate::error::StartError;

/// Associations that may wait to be accepted.
const ACCEPT_BACKLOG: usize = 1024;
/// Buffers of an association with an element or a user: messages are short, and many clients that
/// do not read, or that send without end, must not take up much.
const SEND_BUFFER: usize = 64 * 1024;
const RECV_BUFFER: usize = 32 * 1024;

/// The port for pool elements and pool users.
pub(crate) fn asap(stack: &Stack, config: &RegistrarConfig) -> Result<Ports, StartError> {
    let assoc = config.assoc.clone().unwrap_or_else(|| {
        let mut assoc = stack.assoc_config();
        assoc.sack_frequency = 1;
        assoc.send_buffer = assoc.send_buffer.min(SEND_BUFFER);
        assoc.recv_buffer = assoc.recv_buffer.min(RECV_BUFFER);
        assoc.refusal_patience = assoc.refusal_patience.or(Some(refusal_patience(config)));
        assoc
    });
    let ports = Ports::bind(stack, options(config.asap_port, &config.asap_addrs, assoc));
    let ports = ports.map_err(StartError::Endpoint)?;
    ports.listen(ACCEPT_BACKLOG).map_err(StartError::Endpoint)?;
    Ok(ports)
}

/// The port for other registrars.
pub(crate) fn enrp(stack: &Stack, config: &EnrpConfig) -> Result<Ports, StartError> {
    let assoc = config.assoc.clone().unwrap_or_else(|| enrp_profile(stack.assoc_config()));
    let ports = Ports::bind(stack, options(config.port, &config.addrs, assoc));
    let ports = ports.map_err(StartError::EnrpEndpoint)?;
    ports.listen(ACCEPT_BACKLOG).map_err(StartError::EnrpEndpoint)?;
    Ok(ports)
}

/// How long the host of an element must say that nobody is there. An element behind a NAT that has
/// lost its binding, and says the same, would not answer the next keep-alive in time, either.
fn refusal_patience(config: &RegistrarConfig) -> Duration {
    (config.keep_alive_interval / 10).min(Duration::from_millis(500))
}

fn options(port: u16, addrs: &[IpAddr], assoc: AssocConfig) -> BindOptions {
    BindOptions { port, addrs: addrs.to_vec(), config: Some(assoc), ..BindOptions::default() }
}

/// SCTP settings between registrars. A heartbeat every 400 ms shows soon that a process is gone
/// whose host still answers. RTOs of 200 ms to 1 s show soon that a host is gone.
fn enrp_profile(base: AssocConfig) -> AssocConfig {
    let heartbeat = Duration::from_millis(400);
    AssocConfig {
        sack_frequency: 1,
        rto_initial: Duration::from_millis(200),
        rto_min: Duration::from_millis(200),
        rto_max: Duration::from_secs(1),
        hb_enabled: true,
        hb_interval: heartbeat,
        hb_interval_udp: heartbeat,
        path_max_retrans: 2,
        assoc_max_retrans: 4,
        ..base
    }
}

/// What the state machine has to know about this host.
pub(crate) fn local(
    stack: &Stack,
    config: &RegistrarConfig,
    asap_port: u16,
    enrp_port: Option<u16>,
) -> Local {
    let transports = match config.asap_addrs.as_slice() {
        // A registrar on all addresses does not know which of them others reach. They take the
        // source address of the announce.
        [] => Vec::new(),
        addrs => {
            let addrs = addrs.iter().map(|addr| without_interface(*addr)).collect();
            vec![Transport::Sctp(SctpTransport::data_only(asap_port, addrs))]
        }
    };
    let bound = config.enrp.as_ref().map_or(&[][..], |enrp| &enrp.addrs);
    let enrp_addrs = match bound {
        [] => host_addresses(),
        addrs => addrs.to_vec(),
    };
    let (udp_port, reach) = (stack.local_udp_port(), reach(stack));
    Local { transports, udp_port, reach, enrp_port: enrp_port.unwrap_or(0), enrp_addrs }
}

/// The addresses of this host, those of loopback last. Link-local ones are left out: they mean
/// nothing on other hosts.
fn host_addresses() -> Vec<IpAddr> {
    let up = interfaces().into_iter().filter(|interface| interface.up);
    let mut addrs: Vec<IpAddr> = up.flat_map(|interface| interface.addrs).collect();
    addrs.retain(|addr| interface(*addr) == 0);
    addrs.sort_by_key(IpAddr::is_loopback);
    if addrs.is_empty() {
        addrs.push([127, 0, 0, 1].into());
    }
    addrs
}

/// Where announces to elements and users go.
pub(crate) fn announces(config: &RegistrarConfig, port: u16) -> Vec<(Protocol, Multicast)> {
    let multicast =
        |group| Multicast::new(group, config.announce_ttl, port, config.asap_addrs.clone());
    config.announce.map(|group| (Protocol::Asap, multicast(group))).into_iter().collect()
}

/// Where presences to other registrars go.
pub(crate) fn presences(config: &EnrpConfig, port: u16) -> Option<(Protocol, Multicast)> {
    let group = config.announce?;
    let multicast = Multicast::new(group, config.announce_ttl, port, config.addrs.clone());
    Some((Protocol::Enrp, multicast))
}

/// Where presences of other registrars are heard. Registrars that are configured need none.
pub(crate) fn listener(config: &EnrpConfig) -> Option<(Protocol, Listener)> {
    let group = config.announce?;
    match Listener::open(&membership(group, &config.addrs)) {
        Ok(listener) => Some((Protocol::Enrp, listener)),
        Err(error) => {
            tracing::warn!(%group, %error, "other registrars are not heard; name them instead");
            None
        }
    }
}

/// The interfaces that join the group: those with the addresses `only`, or all of them.
fn membership(group: SocketAddr, only: &[IpAddr]) -> AnnounceConfig {
    let defaults = AnnounceConfig { group, ..AnnounceConfig::default() };
    let usable = interfaces().into_iter().filter(|i| i.up && (i.multicast || i.loopback));
    let (mut addrs, mut indexes) = (Vec::new(), Vec::new());
    for interface in usable {
        let wanted = |addr: &&IpAddr| only.is_empty() || only.contains(addr);
        let Some(addr) = interface.addrs.iter().find(|addr| addr.is_ipv4() && wanted(addr)) else {
            continue;
        };
        addrs.push(*addr);
        indexes.push(interface.index);
    }
    if addrs.is_empty() {
        return defaults;
    }
    AnnounceConfig { interfaces: addrs, interface_indexes: indexes, ..defaults }
}
