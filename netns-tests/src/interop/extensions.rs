//! The extensions that the INITs of Linux offer, depending on the settings of its kernel.

use std::net::IpAddr;

use workspace_tests::lint::Offered;

/// A switch of the kernel, and what an INIT offers when the switch is on.
struct Switch {
    /// Its name in `extensions=`.
    name: &'static str,
    parameters: &'static [u16],
    chunks: &'static [u8],
}

/// Supported Extensions (RFC 5061, 4.2.7).
const EXTENSIONS: u16 = 0x8008;
/// Random, Chunk List and Requested HMAC Algorithm (RFC 4895, 3).
const RANDOM: u16 = 0x8002;
const CHUNKS: u16 = 0x8003;
const HMACS: u16 = 0x8004;
/// Forward-TSN-Supported (RFC 3758, 3.1).
const FORWARD_TSN: u16 = 0xc000;
/// ECN Capable (RFC 4960, appendix A).
const ECN: u16 = 0x8000;

const SWITCHES: [Switch; 6] = [
    // ASCONF and ASCONF-ACK.
    Switch { name: "addip", parameters: &[EXTENSIONS], chunks: &[0xc1, 0x80] },
    Switch { name: "auth", parameters: &[EXTENSIONS, RANDOM, CHUNKS, HMACS], chunks: &[0x0f] },
    Switch { name: "reconf", parameters: &[EXTENSIONS], chunks: &[0x82] },
    // I-DATA.
    Switch { name: "intl", parameters: &[EXTENSIONS], chunks: &[0x40] },
    Switch { name: "prsctp", parameters: &[FORWARD_TSN], chunks: &[] },
    Switch { name: "ecn", parameters: &[ECN], chunks: &[] },
];

/// What an INIT from this address and port offers. `which` is `on` or `off` for all switches, or
/// the name of the only one that is on.
pub(super) fn offer(which: &str, from: IpAddr, port: u16) -> Offered {
    let on = SWITCHES.iter().filter(|switch| which == "on" || which == switch.name);
    let parameters = on.clone().flat_map(|switch| switch.parameters).copied().collect();
    let chunks = on.flat_map(|switch| switch.chunks).copied().collect();
    Offered { from, port, parameters, chunks }
}
