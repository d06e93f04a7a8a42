//! The SCTP stack of a program, as its options want it.

use std::net::IpAddr;

use anyhow::{Context, bail};
use sctp_udp_encap::{Port, UdpEncapConfig, UdpEncapLink};
use sctp_user::{Stack, StackBuilder};

use crate::cli::{LinkKind, LinkOptions};

/// Opens the links and starts the stack. `addrs` are the own addresses, none for all of the host; `port` is the UDP port where
/// `--encap-port=` says nothing.
///
/// # Errors
/// A sentence for the user.
pub(crate) fn open(options: &LinkOptions, addrs: &[IpAddr], port: Port) -> anyhow::Result<Stack> {
    match options.link {
        LinkKind::Udp => {}
        LinkKind::Raw | LinkKind::Both => {
            bail!("SCTP directly in IP is not supported yet; --link=udp carries it in UDP")
        }
    }
    let port = options.encap_port.map_or(port, Port::from);
    let config = match addrs {
        [] => UdpEncapConfig::with_port(port),
        addrs => {
            let mut unique: Vec<IpAddr> = Vec::new();
            for addr in addrs {
                if !unique.contains(addr) {
                    unique.push(*addr);
                }
            }
            UdpEncapConfig::with_addrs(unique, port)
        }
    };
    let link = UdpEncapLink::bind(&config)?;
    StackBuilder::new().link(link).build().context("the SCTP stack cannot be started")
}
