//! What a registrar knows, in the forms in which it is shown.

use std::net::IpAddr;

use rserpool_wire::{LifeUnit, PoolElement, SctpTransport, ServerInformation, Transport};
use sctp_user::ShownAddress;
use serde::Serialize;

use super::peer::Told;

/// Everything that a registrar knows.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Dump {
    registrar: Server,
    /// The other registrars that it knows.
    peers: Vec<Server>,
    pools: Vec<Pool>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct Server {
    id: String,
    endpoint: String,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct Pool {
    handle: String,
    elements: Vec<Element>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct Element {
    id: String,
    home: String,
    /// How long its registration is valid, ms; none means for ever.
    life_ms: Option<u64>,
    policy: String,
    protocol: String,
    service: String,
    /// Where registrars reach it.
    asap: Option<String>,
}

impl Dump {
    pub(super) fn new(told: &Told) -> Dump {
        let server = |info: &ServerInformation| Server {
            id: format!("{:#010x}", info.id.0),
            endpoint: sctp_endpoint(&info.transport, info.udp_port),
        };
        let pool = |(handle, elements): (&_, &std::collections::BTreeMap<_, _>)| Pool {
            handle: format!("{handle}"),
            elements: elements.values().map(Element::new).collect(),
        };
        Dump {
            registrar: server(&told.registrar),
            peers: told.peers().map(server).collect(),
            pools: told.pools.iter().map(pool).collect(),
        }
    }

    /// One JSON object.
    pub(super) fn json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Lines for people.
    pub(super) fn table(&self) -> Vec<String> {
        let mut lines = vec![format!("Registrar {}", self.registrar.shown())];
        lines.extend(self.peers.iter().map(|peer| format!("knows registrar {}", peer.shown())));
        if self.pools.is_empty() {
            lines.push("There are no pools.".to_owned());
        }
        for pool in &self.pools {
            let count = match pool.elements.len() {
                1 => "1 pool element".to_owned(),
                n => format!("{n} pool elements"),
            };
            lines.push(String::new());
            lines.push(format!("Pool \"{}\", {count}", pool.handle));
            let head = ["ELEMENT", "HOME", "LIFE", "POLICY", "SERVICE", "ASAP"].map(str::to_owned);
            let rows: Vec<[String; 6]> =
                [head].into_iter().chain(pool.elements.iter().map(Element::row)).collect();
            lines.extend(columns(&rows));
        }
        lines
    }
}

impl Server {
    fn shown(&self) -> String {
        format!("{} at {}", self.id, self.endpoint)
    }
}

impl Element {
    fn new(element: &PoolElement) -> Element {
        let life = element.life.duration(LifeUnit::Milliseconds);
        let transport = &element.user_transport;
        let service = match transport {
            Transport::Sctp(sctp) => sctp_endpoint(sctp, element.udp_port),
            other => endpoint(other.addrs(), other.port().unwrap_or(0), None),
        };
        Element {
            id: format!("{:#010x}", element.id.0),
            home: format!("{:#010x}", element.home.0),
            life_ms: life.map(|life| u64::try_from(life.as_millis()).unwrap_or(u64::MAX)),
            policy: element.policy.to_string(),
            protocol: format!("{:?}", transport.protocol()).to_uppercase(),
            service,
            asap: element.asap_transport.as_ref().map(|t| sctp_endpoint(t, element.udp_port)),
        }
    }

    fn row(&self) -> [String; 6] {
        let life = match self.life_ms {
            None => "for ever".to_owned(),
            Some(ms) => format!("{} s", ms as f64 / 1000.0),
        };
        let service = match self.protocol.as_str() {
            "SCTP" => self.service.clone(),
            other => format!("{} {other}", self.service),
        };
        let asap = self.asap.clone().unwrap_or_default();
        [self.id.clone(), self.home.clone(), life, self.policy.clone(), service, asap]
    }
}

fn sctp_endpoint(transport: &SctpTransport, udp_port: Option<u16>) -> String {
    endpoint(&transport.addrs, transport.port, udp_port)
}

/// As options take it: `ADDR:PORT{,ADDR}[/udp:N]`.
fn endpoint(addrs: &[IpAddr], port: u16, udp_port: Option<u16>) -> String {
    let addr = |addr: &IpAddr| match addr {
        IpAddr::V4(_) => addr.to_string(),
        IpAddr::V6(_) => format!("[{}]", ShownAddress(*addr)),
    };
    let mut text = String::new();
    for (i, shown) in addrs.iter().map(addr).enumerate() {
        match i {
            0 => text.push_str(&format!("{shown}:{port}")),
            _ => text.push_str(&format!(",{shown}")),
        }
    }
    if let Some(udp) = udp_port {
        text.push_str(&format!("/udp:{udp}"));
    }
    text
}

/// Rows as lines, each column as wide as its widest value.
fn columns(rows: &[[String; 6]]) -> Vec<String> {
    let width = |i: usize| rows.iter().map(|row| row[i].chars().count()).max().unwrap_or(0);
    let widths: [usize; 6] = std::array::from_fn(width);
    let line = |row: &[String; 6]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        format!("   {}", cells.collect::<Vec<_>>().join("   ")).trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use rserpool_wire::{Life, PeId, Policy, PoolHandle, ServerId, TransportUse};

    use super::*;

    fn dump() -> Dump {
        let addrs: Vec<IpAddr> = vec!["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()];
        let server = |id, udp_port| {
            let transport = SctpTransport::data_only(9901, addrs[..1].to_vec());
            ServerInformation { id: ServerId(id), transport, udp_port }
        };
        let element = PoolElement {
            id: PeId(0x1234),
            home: ServerId(7),
            life: Life(90_000),
            user_transport: Transport::Sctp(SctpTransport {
                port: 5,
                transport_use: TransportUse::DataControl,
                addrs: addrs.clone(),
            }),
            policy: Policy::RoundRobin,
            asap_transport: Some(SctpTransport::data_only(6, addrs.clone())),
            udp_port: Some(40_000),
        };
        let handle = PoolHandle::new(b"Pool\x1b").unwrap();
        Dump::new(&Told {
            own: server(9, None),
            registrar: server(7, None),
            list: vec![server(8, Some(9898)), server(9, None)],
            pools: [(handle, [(element.id, element)].into())].into(),
            parts: Vec::new(),
            heard: std::time::UNIX_EPOCH,
        })
    }

    #[test]
    fn tables_are_for_people() {
        let lines = dump().table();
        let want = [
            "Registrar 0x00000007 at 192.0.2.1:9901",
            "knows registrar 0x00000008 at 192.0.2.1:9901/udp:9898",
            "",
        ];
        assert_eq!(lines[..3], want);
        assert!(lines[3].starts_with("Pool \"Pool\\") && lines[3].ends_with("\", 1 pool element"));
        assert_eq!(lines[4].find("HOME"), lines[5].find("0x00000007"));
        assert!(lines[5].contains("192.0.2.1:5,[2001:db8::1]/udp:40000"), "{}", lines[5]);
        assert!(lines[5].contains("90 s"), "{}", lines[5]);
        assert!(lines.iter().all(|line| !line.contains('\x1b')));
        let empty = Dump { pools: Vec::new(), peers: Vec::new(), ..dump() };
        assert_eq!(empty.table()[1], "There are no pools.");
    }

    #[test]
    fn json_has_everything() {
        let json: serde_json::Value = serde_json::from_str(&dump().json()).unwrap();
        let element = &json["pools"][0]["elements"][0];
        assert_eq!(json["peers"][0]["endpoint"], "192.0.2.1:9901/udp:9898");
        assert_eq!(
            (&element["id"], &element["home"]),
            (&"0x00001234".into(), &"0x00000007".into())
        );
        assert_eq!(element["life_ms"], 90_000);
        assert_eq!(element["protocol"], "SCTP");
    }
}
