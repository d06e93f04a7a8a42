//! Opening a stack on the links that an argument names.

use std::net::IpAddr;

use rsp_tools::cli::{AddressList, EncapSuffix};
use sctp_udp_encap::{Port, UdpEncapConfig, UdpEncapLink};
use sctp_user::link::raw::{RawConfig, RawLink};
use sctp_user::{AssocConfig, Encap, Peer, Stack, StackBuilder, StackConfig, parse_address};

/// What went wrong, in a sentence.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Opens `raw`, `udp` (port 9899), `udp=PORT` (0 for a free one) or `both`. The stack's own
/// addresses may follow (`raw:10.0.0.1,fd00::1`). Returns the stack and these addresses.
///
/// # Errors
/// When an address is invalid or a link cannot be opened.
pub fn stack(
    link: &str,
    config: StackConfig,
    assoc_config: AssocConfig,
) -> Result<(Stack, Vec<IpAddr>), Failure> {
    let (kind, addrs) = link.split_once(':').unwrap_or((link, ""));
    let addrs = addrs
        .split(',')
        .filter(|a| !a.is_empty())
        .map(parse_address)
        .collect::<Result<Vec<_>, _>>()?;
    let (kind, port) = kind.split_once('=').unwrap_or((kind, "9899"));
    let mut builder = StackBuilder::new().config(config).assoc_config(assoc_config);
    if !["raw", "udp", "both"].contains(&kind) {
        return Err(format!("'{kind}' is not a link; use raw, udp, udp=PORT or both").into());
    }
    if kind != "udp" {
        let config = if addrs.is_empty() {
            RawConfig::default()
        } else {
            RawConfig::with_addrs(addrs.clone())
        };
        builder = builder.link(RawLink::open(&config)?);
    }
    if kind != "raw" {
        let mut config = UdpEncapConfig::with_port(Port::from(port.parse::<u16>()?));
        if !addrs.is_empty() {
            config.addrs = addrs.clone();
        }
        builder = builder.link(UdpEncapLink::bind(&config)?);
    }
    Ok((builder.build()?, addrs))
}

/// The peers that a list of addresses, not names, stands for. A list without a suffix stands for
/// two, which are raced: one directly in IP and one at UDP port 9899.
pub fn peers(list: &AddressList) -> Vec<Peer> {
    let ways = match list.encap {
        Some(EncapSuffix::Native) => vec![Encap::Native],
        Some(EncapSuffix::Udp(remote_port)) => vec![Encap::Udp { remote_port }],
        None => vec![Encap::Native, Encap::Udp { remote_port: 9899 }],
    };
    let peer =
        |encap| Peer { addrs: list.addrs().map(|a| (a, encap)).collect(), port: list.port_or(7) };
    ways.into_iter().map(peer).collect()
}
