//! Assigned numbers: payload protocol identifiers, ports, multicast groups, parameter and message
//! types.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// SCTP payload protocol identifiers, host order.
pub mod ppid {
    /// ASAP (IANA).
    pub const ASAP: u32 = 11;
    /// ENRP (IANA).
    pub const ENRP: u32 = 12;
    /// Fractal generator demonstration.
    pub const FRACTAL_GENERATOR: u32 = 32;
    /// Ping-pong demonstration.
    pub const PING_PONG: u32 = 33;
    /// CalcApp demonstration.
    pub const CALC_APP: u32 = 34;
    /// Scripting service.
    pub const SCRIPTING: u32 = 35;
    /// Echo service.
    pub const ECHO: u32 = 38;
    /// Discard service.
    pub const DISCARD: u32 = 39;
    /// Daytime service.
    pub const DAYTIME: u32 = 40;
    /// Character generator service.
    pub const CHARGEN: u32 = 41;
}

/// SCTP and UDP ports (IANA, except the last).
pub mod port {
    /// ASAP over SCTP, TCP and UDP.
    pub const ASAP: u16 = 3863;
    /// ASAP with TLS over SCTP and TCP.
    pub const ASAP_TLS: u16 = 3864;
    /// ENRP over SCTP and UDP.
    pub const ENRP: u16 = 9901;
    /// ENRP with TLS over SCTP.
    pub const ENRP_TLS: u16 = 9902;
    /// Component status reports over UDP (RSPLIB).
    pub const CSP: u16 = 2960;
}

/// ASAP announce group that RSPLIB uses by default, UDP port [`port::ASAP`].
pub const ASAP_ANNOUNCE_GROUP: IpAddr = IpAddr::V4(Ipv4Addr::new(239, 0, 0, 50));
/// ENRP announce group that RSPLIB uses by default, UDP port [`port::ENRP`].
pub const ENRP_ANNOUNCE_GROUP: IpAddr = IpAddr::V4(Ipv4Addr::new(239, 0, 0, 51));
/// ASAP announce group assigned by IANA for IPv4.
pub const ASAP_ANNOUNCE_GROUP_IANA: IpAddr = IpAddr::V4(Ipv4Addr::new(224, 0, 1, 185));
/// ASAP announce group assigned by IANA for IPv6, here with site-local scope (FF05::133).
pub const ASAP_ANNOUNCE_GROUP_IANA_V6: IpAddr =
    IpAddr::V6(Ipv6Addr::new(0xff05, 0, 0, 0, 0, 0, 0, 0x133));
/// TTL of multicast announces.
pub const ANNOUNCE_TTL: u32 = 30;

/// Parameter types (RFC 5354 sec 3).
pub mod param {
    /// IPv4 address.
    pub const IPV4: u16 = 0x0001;
    /// IPv6 address.
    pub const IPV6: u16 = 0x0002;
    /// DCCP transport.
    pub const DCCP_TRANSPORT: u16 = 0x0003;
    /// SCTP transport.
    pub const SCTP_TRANSPORT: u16 = 0x0004;
    /// TCP transport.
    pub const TCP_TRANSPORT: u16 = 0x0005;
    /// UDP transport.
    pub const UDP_TRANSPORT: u16 = 0x0006;
    /// UDP-Lite transport.
    pub const UDP_LITE_TRANSPORT: u16 = 0x0007;
    /// Pool member selection policy.
    pub const POLICY: u16 = 0x0008;
    /// Pool handle.
    pub const POOL_HANDLE: u16 = 0x0009;
    /// Pool element.
    pub const POOL_ELEMENT: u16 = 0x000a;
    /// Server information.
    pub const SERVER_INFORMATION: u16 = 0x000b;
    /// Operation error.
    pub const OPERATION_ERROR: u16 = 0x000c;
    /// Cookie.
    pub const COOKIE: u16 = 0x000d;
    /// Pool element identifier.
    pub const PE_IDENTIFIER: u16 = 0x000e;
    /// Pool element checksum.
    pub const PE_CHECKSUM: u16 = 0x000f;
    /// Opaque transport.
    pub const OPAQUE_TRANSPORT: u16 = 0x0010;
    /// Handle resolution option: wanted number of elements (draft-dreibholz-rserpool-asap-hropt).
    pub const HANDLE_RESOLUTION_OPTION: u16 = 0x803f;
    /// UDP encapsulation port of the addresses before it. This is our own parameter. It is
    /// optional: because of the high bits `10`, others skip it.
    pub const UDP_PORT: u16 = 0xa6ab;

    /// True for every type in this list.
    pub fn is_known(kind: u16) -> bool {
        matches!(kind, IPV4..=OPAQUE_TRANSPORT | HANDLE_RESOLUTION_OPTION | UDP_PORT)
    }
}

/// ASAP message types (RFC 5352 sec 2.2).
pub mod asap_type {
    /// ASAP_REGISTRATION.
    pub const REGISTRATION: u8 = 0x01;
    /// ASAP_DEREGISTRATION.
    pub const DEREGISTRATION: u8 = 0x02;
    /// ASAP_REGISTRATION_RESPONSE.
    pub const REGISTRATION_RESPONSE: u8 = 0x03;
    /// ASAP_DEREGISTRATION_RESPONSE.
    pub const DEREGISTRATION_RESPONSE: u8 = 0x04;
    /// ASAP_HANDLE_RESOLUTION.
    pub const HANDLE_RESOLUTION: u8 = 0x05;
    /// ASAP_HANDLE_RESOLUTION_RESPONSE.
    pub const HANDLE_RESOLUTION_RESPONSE: u8 = 0x06;
    /// ASAP_ENDPOINT_KEEP_ALIVE.
    pub const ENDPOINT_KEEP_ALIVE: u8 = 0x07;
    /// ASAP_ENDPOINT_KEEP_ALIVE_ACK.
    pub const ENDPOINT_KEEP_ALIVE_ACK: u8 = 0x08;
    /// ASAP_ENDPOINT_UNREACHABLE.
    pub const ENDPOINT_UNREACHABLE: u8 = 0x09;
    /// ASAP_SERVER_ANNOUNCE.
    pub const SERVER_ANNOUNCE: u8 = 0x0a;
    /// ASAP_COOKIE.
    pub const COOKIE: u8 = 0x0b;
    /// ASAP_COOKIE_ECHO.
    pub const COOKIE_ECHO: u8 = 0x0c;
    /// ASAP_BUSINESS_CARD.
    pub const BUSINESS_CARD: u8 = 0x0d;
    /// ASAP_ERROR.
    pub const ERROR: u8 = 0x0e;
}

/// ENRP message types (RFC 5353 sec 2).
pub mod enrp_type {
    /// ENRP_PRESENCE.
    pub const PRESENCE: u8 = 0x01;
    /// ENRP_HANDLE_TABLE_REQUEST.
    pub const HANDLE_TABLE_REQUEST: u8 = 0x02;
    /// ENRP_HANDLE_TABLE_RESPONSE.
    pub const HANDLE_TABLE_RESPONSE: u8 = 0x03;
    /// ENRP_HANDLE_UPDATE.
    pub const HANDLE_UPDATE: u8 = 0x04;
    /// ENRP_LIST_REQUEST.
    pub const LIST_REQUEST: u8 = 0x05;
    /// ENRP_LIST_RESPONSE.
    pub const LIST_RESPONSE: u8 = 0x06;
    /// ENRP_INIT_TAKEOVER.
    pub const INIT_TAKEOVER: u8 = 0x07;
    /// ENRP_INIT_TAKEOVER_ACK.
    pub const INIT_TAKEOVER_ACK: u8 = 0x08;
    /// ENRP_TAKEOVER_SERVER.
    pub const TAKEOVER_SERVER: u8 = 0x09;
    /// ENRP_ERROR.
    pub const ERROR: u8 = 0x0a;
}
