//! The pools in the layout of RSPLIB's `hsdump`, for scripts that read that.
//!
//! That program shows more than it can learn, and so does this one: registrars do not tell each
//! other everything. For what they do not tell, both show the values of a new element.

use std::net::IpAddr;
use std::time::UNIX_EPOCH;

use rserpool_handlespace::PeChecksum;
use rserpool_wire::{
    PeId, Policy, PoolElement, PoolHandle, SctpTransport, ServerId, ServerInformation, Transport,
    TransportUse,
};

use super::peer::{Part, Pools, Told};

/// The number of the first element of a pool in the order of selection.
const FIRST_SEQUENCE: u32 = 0xffff_fff0;

/// All lines.
pub(super) fn lines(told: &Told) -> Vec<String> {
    let Told { own, list, pools, parts, .. } = told;
    let mut lines = Vec::new();
    if let Some(own) = list.iter().find(|peer| peer.id == own.id) {
        // The list of the registrar also names the program that asks.
        lines.push(format!(
            "Failed to add peer {} upd=0 chsum=$0000ffff flags=[new][dynamic][fromPeer]",
            own.id
        ));
        lines.push(format!("        addrs: {} to peer list", sctp(&own.transport)));
    }
    for Part { pools, elements, all_pools, all_elements } in parts {
        lines.push(format!(
            "Got {pools} pools, {elements} PEs => \
             now having {all_pools} pools, {all_elements} PEs"
        ));
    }
    peer_list(&mut lines, told);
    let count: usize = pools.values().map(|elements| elements.len()).sum();
    lines.push(format!(
        "Handlespace[home={}]: ({} Pools, {count} PoolElements, 0 Owned)",
        own.id,
        pools.len()
    ));
    lines.push(format!(
        "-- Checksums: Handlespace={}, Ownership={}",
        checksum_of(pools, |_| true),
        checksum_of(pools, |element| element.home == own.id)
    ));
    for (title, mark) in [("Index", "idx"), ("Selection", "sel")] {
        lines.push(format!("*-- {title}:"));
        for (handle, elements) in pools {
            pool_head(&mut lines, handle, elements.values().next(), elements.len());
            lines.push(format!(" +-- {title}:"));
            for (index, element) in elements.values().enumerate() {
                element_lines(&mut lines, mark, index, handle, element);
            }
        }
    }
    lines.push("*-- Ownership:".to_owned());
    let all = pools.iter().flat_map(|(handle, elements)| {
        elements.values().map(move |element| (element.home, element.id, handle))
    });
    let mut owned: Vec<(ServerId, PeId, &PoolHandle)> = all.collect();
    owned.sort();
    lines.extend(owned.into_iter().map(|(home, id, handle)| {
        format!("   - {home} -> \"{handle}\" / {id} flags=[new][updated]")
    }));
    lines
}

fn peer_list(lines: &mut Vec<String>, told: &Told) {
    let count = told.peers().count();
    lines.push(format!("PeerList of {} ({count} peers)", told.own.id));
    lines.push(" +-- Peers by Index:".to_owned());
    let mut peers: Vec<&ServerInformation> = told.peers().collect();
    peers.sort_by_key(|peer| peer.id);
    for (index, peer) in peers.into_iter().enumerate() {
        let heard = told.heard.duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
        lines.push(format!(
            "   - idx:#{:04}: {} upd={heard} chsum={} flags=[new][dynamic][fromPeer]",
            index + 1,
            peer.id,
            checksum_of(&told.pools, |element| element.home == peer.id)
        ));
        lines.push(format!("        addrs: {}", sctp(&peer.transport)));
    }
    lines.push(" +-- Peers by Timer:".to_owned());
}

fn pool_head(
    lines: &mut Vec<String>,
    handle: &PoolHandle,
    first: Option<&PoolElement>,
    count: usize,
) {
    let Some(first) = first else { return };
    let (policy, transport) = (first.policy.name(), &first.user_transport);
    let control = match transport.transport_use() {
        TransportUse::DataControl => "yes",
        _ => "no",
    };
    let protocol = protocol(transport);
    lines.push(format!(
        " +-- Pool \"{handle}\", Policy \"{policy}\", Protocol {protocol}, CtrlCh={control}: \
         ({count} nodes)"
    ));
}

fn element_lines(
    lines: &mut Vec<String>,
    mark: &str,
    index: usize,
    handle: &PoolHandle,
    element: &PoolElement,
) {
    let sequence = FIRST_SEQUENCE.wrapping_add(u32::try_from(index).unwrap_or(0));
    lines.push(format!("   - {mark}:#{:04}: {} flags=[new][updated]", index + 1, element.id));
    let mut sum = PeChecksum::EMPTY;
    sum.add(handle, element.id);
    lines.push(format!(
        "     chsum={} home={} life={}ms ur=0 ",
        checksum(sum),
        element.home,
        element.life.0
    ));
    lines.push(format!("     {}", policy(&element.policy)));
    // Only the registrar knows how often an element was selected. Without a weight, RSPLIB divides
    // 0 by 0.
    let share = if Values::of(&element.policy).weight == 0 { "-nan" } else { "0.000000" };
    lines.push(format!("     seq={sequence} val=0 rd=0 vrt=0 deg=$0 {{sel=0 s/w={share}}}"));
    lines.push(format!("     userT: {}", user_transport(&element.user_transport)));
    if let Some(transport) = &element.asap_transport {
        lines.push(format!("     regT:  {}", sctp(transport)));
    }
}

/// The values of a policy, 0 where it has none.
#[derive(Default)]
struct Values {
    weight: u32,
    load: u32,
    degradation: u32,
    load_dpf: u32,
    weight_dpf: u32,
    distance: u32,
}

impl Values {
    fn of(policy: &Policy) -> Values {
        let none = Values::default();
        match *policy {
            Policy::WeightedRoundRobin { weight } | Policy::WeightedRandom { weight } => {
                Values { weight, ..none }
            }
            // RSPLIB keeps a priority where other policies have a weight.
            Policy::Priority { priority } => Values { weight: priority, ..none },
            Policy::LeastUsed { load } | Policy::RandomizedLeastUsed { load } => {
                Values { load, ..none }
            }
            Policy::LeastUsedDegradation { load, load_degradation: degradation }
            | Policy::PriorityLeastUsed { load, load_degradation: degradation }
            | Policy::RandomizedPriorityLeastUsed { load, load_degradation: degradation }
            | Policy::RandomizedLeastUsedDegradation { load, load_degradation: degradation }
            | Policy::PriorityLeastUsedDegradation { load, load_degradation: degradation }
            | Policy::RandomizedPriorityLeastUsedDegradation {
                load,
                load_degradation: degradation,
            } => Values { load, degradation, ..none },
            Policy::WeightedRandomDpf { weight, weight_dpf, distance } => {
                Values { weight, weight_dpf, distance, ..none }
            }
            Policy::LeastUsedDpf { load, load_dpf, distance } => {
                Values { load, load_dpf, distance, ..none }
            }
            Policy::LeastUsedDegradationDpf {
                load,
                load_degradation: degradation,
                load_dpf,
                distance,
            } => Values { load, degradation, load_dpf, distance, ..none },
            Policy::RoundRobin | Policy::Random | Policy::Unknown { .. } => none,
        }
    }
}

fn policy(policy: &Policy) -> String {
    let Values { weight, load, degradation, load_dpf, weight_dpf, distance } = Values::of(policy);
    let percent = |value: u32| format!("{:.3}%(${value:08x})", share(value) * 100.0);
    let factor = |value: u32| format!("{:.6}(${value:08x})", share(value));
    format!(
        "t=${:02x} [w={weight} l={} ldeg={} ldpf={} wdpf={} dist={distance}]",
        policy.number(),
        percent(load),
        percent(degradation),
        factor(load_dpf),
        factor(weight_dpf)
    )
}

/// A fraction of 0xffffffff.
fn share(value: u32) -> f64 {
    f64::from(value) / f64::from(u32::MAX)
}

fn protocol(transport: &Transport) -> String {
    format!("{:?}", transport.protocol()).to_uppercase()
}

fn user_transport(transport: &Transport) -> String {
    match transport {
        Transport::Sctp(sctp_transport) => {
            let control = match sctp_transport.transport_use {
                TransportUse::DataControl => "+CtrlCh",
                _ => "",
            };
            format!("{}{control}", sctp(sctp_transport))
        }
        other => place(other.addrs(), other.port().unwrap_or(0), &protocol(other)),
    }
}

fn sctp(transport: &SctpTransport) -> String {
    place(&transport.addrs, transport.port, "SCTP")
}

fn place(addrs: &[IpAddr], port: u16, protocol: &str) -> String {
    let addrs: Vec<String> = addrs.iter().map(IpAddr::to_string).collect();
    format!("{{{}}} {port}/{protocol}", addrs.join(", "))
}

fn checksum_of(pools: &Pools, counts: impl Fn(&PoolElement) -> bool) -> String {
    let mut sum = PeChecksum::EMPTY;
    for (handle, elements) in pools {
        elements.values().filter(|e| counts(e)).for_each(|e| sum.add(handle, e.id));
    }
    checksum(sum)
}

/// RSPLIB prints the two bytes in the order of its machine. On most machines that is the reverse of
/// their order on the wire.
fn checksum(sum: PeChecksum) -> String {
    format!("${:08x}", sum.value().swap_bytes())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rserpool_wire::Life;

    use super::*;

    fn addrs(text: &str) -> Vec<IpAddr> {
        text.split(' ').map(|addr| addr.parse().unwrap()).collect()
    }

    fn server(id: u32, port: u16, at: &str) -> ServerInformation {
        let transport = SctpTransport::data_only(port, addrs(at));
        ServerInformation { id: ServerId(id), transport, udp_port: None }
    }

    /// An element with round robin and a life of 90 s.
    fn element(id: u32, home: u32, at: &str, ports: [u16; 2]) -> PoolElement {
        PoolElement {
            id: PeId(id),
            home: ServerId(home),
            life: Life(90_000),
            user_transport: Transport::Sctp(SctpTransport {
                port: ports[0],
                transport_use: TransportUse::DataControl,
                addrs: addrs(at),
            }),
            policy: Policy::RoundRobin,
            asap_transport: Some(SctpTransport::data_only(ports[1], addrs(at))),
            udp_port: None,
        }
    }

    fn told(own: u32, list: Vec<ServerInformation>, pools: &[(&str, Vec<PoolElement>)]) -> Told {
        let pools: Pools = pools
            .iter()
            .map(|(handle, elements)| {
                let elements = elements.iter().map(|e| (e.id, e.clone())).collect();
                (PoolHandle::new(handle).unwrap(), elements)
            })
            .collect();
        let count = pools.values().map(|elements| elements.len()).sum();
        let part = Part {
            pools: pools.len(),
            elements: count,
            all_pools: pools.len(),
            all_elements: count,
        };
        Told {
            own: list.iter().find(|server| server.id == ServerId(own)).unwrap().clone(),
            registrar: server(0x3ba0_1d3e, 9901, "10.88.0.11"),
            list,
            pools,
            parts: vec![part],
            heard: UNIX_EPOCH + Duration::from_micros(1_795_159_197_308_419),
        }
    }

    /// What RSPLIB's program showed in a captured run. The line that begins with `t=` is the same
    /// for each element, so it stands here once.
    #[test]
    fn the_lines_are_those_of_rsplib() {
        let rest = "t=$01 [w=0 l=0.000%($00000000) ldeg=0.000%($00000000) \
                    ldpf=0.000000($00000000) wdpf=0.000000($00000000) dist=0]";
        let told_one = told(
            0xe234_9a36,
            vec![server(0xe234_9a36, 36381, "10.88.0.41 fd88::41")],
            &[(
                "PingPongPool",
                vec![
                    element(0x3d53_c598, 0x3ba0_1d3e, "10.88.0.21 fd88::21", [39723, 56787]),
                    element(0xbc9a_857d, 0x3ba0_1d3e, "10.88.0.22 fd88::22", [49279, 38067]),
                ],
            )],
        );
        // Lines of this file do not end with a blank.
        let blank = " ";
        let part = |title: &str, mark: &str| {
            format!(
                "*-- {title}:
 +-- Pool \"PingPongPool\", Policy \"RoundRobin\", Protocol SCTP, CtrlCh=yes: (2 nodes)
 +-- {title}:
   - {mark}:#0001: $3d53c598 flags=[new][updated]
     chsum=$000090bf home=$3ba01d3e life=90000ms ur=0{blank}
     {rest}
     seq=4294967280 val=0 rd=0 vrt=0 deg=$0 {{sel=0 s/w=-nan}}
     userT: {{10.88.0.21, fd88::21}} 39723/SCTP+CtrlCh
     regT:  {{10.88.0.21, fd88::21}} 56787/SCTP
   - {mark}:#0002: $bc9a857d flags=[new][updated]
     chsum=$00006480 home=$3ba01d3e life=90000ms ur=0{blank}
     {rest}
     seq=4294967281 val=0 rd=0 vrt=0 deg=$0 {{sel=0 s/w=-nan}}
     userT: {{10.88.0.22, fd88::22}} 49279/SCTP+CtrlCh
     regT:  {{10.88.0.22, fd88::22}} 38067/SCTP
"
            )
        };
        let want = format!(
            "Failed to add peer $e2349a36 upd=0 chsum=$0000ffff flags=[new][dynamic][fromPeer]
        addrs: {{10.88.0.41, fd88::41}} 36381/SCTP to peer list
Got 1 pools, 2 PEs => now having 1 pools, 2 PEs
PeerList of $e2349a36 (0 peers)
 +-- Peers by Index:
 +-- Peers by Timer:
Handlespace[home=$e2349a36]: (1 Pools, 2 PoolElements, 0 Owned)
-- Checksums: Handlespace=$0000f53f, Ownership=$0000ffff
{}{}*-- Ownership:
   - $3ba01d3e -> \"PingPongPool\" / $3d53c598 flags=[new][updated]
   - $3ba01d3e -> \"PingPongPool\" / $bc9a857d flags=[new][updated]
",
            part("Index", "idx"),
            part("Selection", "sel")
        );
        assert_eq!(lines(&told_one).join("\n") + "\n", want);
    }

    #[test]
    fn registrars_and_owners_are_those_of_rsplib() {
        let own = server(0xc0ba_1773, 40827, "10.88.0.41 fd88::41");
        let peer = server(0xfe82_6de9, 9901, "10.88.0.13");
        let echo = element(0x2272_8d68, 0xa8d8_668b, "10.88.0.21 fd88::21", [43781, 53673]);
        let ping = element(0xeb39_8b9d, 0xfe82_6de9, "10.88.0.22 fd88::22", [33099, 35247]);
        let pools = [("PingPongPool", vec![ping]), ("EchoPool", vec![echo])];
        let lines = lines(&told(0xc0ba_1773, vec![own, peer], &pools));
        assert_eq!(
            lines[2..10],
            [
                "Got 2 pools, 2 PEs => now having 2 pools, 2 PEs",
                "PeerList of $c0ba1773 (1 peers)",
                " +-- Peers by Index:",
                "   - idx:#0001: $fe826de9 upd=1795159197308419 chsum=$0000a54b \
                 flags=[new][dynamic][fromPeer]",
                "        addrs: {10.88.0.13} 9901/SCTP",
                " +-- Peers by Timer:",
                "Handlespace[home=$c0ba1773]: (2 Pools, 2 PoolElements, 0 Owned)",
                "-- Checksums: Handlespace=$00001c2e, Ownership=$0000ffff",
            ]
        );
        let pools: Vec<&String> = lines.iter().filter(|l| l.starts_with(" +-- Pool ")).collect();
        assert!(pools[0].contains("EchoPool") && pools[1].contains("PingPongPool"));
        assert_eq!(
            lines[lines.len() - 3..],
            [
                "*-- Ownership:",
                "   - $a8d8668b -> \"EchoPool\" / $22728d68 flags=[new][updated]",
                "   - $fe826de9 -> \"PingPongPool\" / $eb398b9d flags=[new][updated]",
            ]
        );
        // Elements of one home stand in the order of their identifiers, whatever their pools.
        let own = server(1, 5, "10.88.0.41");
        let echo = element(0xf591_9b26, 0xca5b_bf8c, "10.88.0.21", [49886, 34847]);
        let ping = element(0xde7f_4898, 0xca5b_bf8c, "10.88.0.22", [33290, 35548]);
        let pools = [("EchoPool", vec![echo]), ("PingPongPool", vec![ping])];
        let lines = super::lines(&told(1, vec![own], &pools));
        assert!(lines[lines.len() - 2].contains("PingPongPool"));
        assert!(lines.contains(&"-- Checksums: Handlespace=$0000fd9c, Ownership=$0000ffff".into()));
    }

    /// No captured run has shown these, so this is only a guess at RSPLIB's lines.
    #[test]
    fn policies_with_values_and_other_transports() {
        let degrading = Policy::LeastUsedDegradation { load: 0x8000_0000, load_degradation: 1 };
        assert_eq!(
            policy(&degrading),
            "t=$40000002 [w=0 l=50.000%($80000000) ldeg=0.000%($00000001) \
             ldpf=0.000000($00000000) wdpf=0.000000($00000000) dist=0]"
        );
        let near = Policy::WeightedRandomDpf { weight: 7, weight_dpf: u32::MAX, distance: 20 };
        assert!(policy(&near).contains("wdpf=1.000000($ffffffff) dist=20]"));
        let tcp = Transport::Udp { port: 7, addr: "192.0.2.1".parse().unwrap() };
        assert_eq!(user_transport(&tcp), "{192.0.2.1} 7/UDP");
    }
}
