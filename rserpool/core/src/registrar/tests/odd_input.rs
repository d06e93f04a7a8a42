//! Odd input, row by row, and what a registrar does with it. RSPLIB crashes at some of it, stays
//! silent, or believes anybody; there is a defined reaction here.

use rserpool_wire::{EnrpMessage, TcpTransport};

use super::*;

/// How our reaction compares with that of RSPLIB's registrar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// The same.
    Same,
    /// RSPLIB does not answer, or says less.
    Answered,
    /// RSPLIB crashes.
    Survives,
    /// RSPLIB believes what it cannot know.
    Checked,
    /// RSPLIB refuses what does no harm.
    Accepted,
}
use Verdict::{Accepted, Answered, Checked, Same, Survives};

/// Some odd input.
struct Row {
    input: &'static str,
    /// What RSPLIB's registrar does.
    rsplib: &'static str,
    verdict: Verdict,
    /// What ours does, in the words of [`told`].
    ours: &'static [&'static str],
    /// Gives the input. Element 1 of the pool "pool" is there before.
    run: fn(&mut Lab, Actors),
}

/// Those who are there when the input comes.
#[derive(Clone, Copy)]
struct Actors {
    /// Owns element 1 of "pool" at 10.0.0.1, SCTP port 7, control channel, round robin; directly
    /// in IP.
    pe: ChannelId,
    /// Somebody else, at 10.0.0.9.
    user: ChannelId,
}

const ROWS: &[Row] = &[
    Row {
        input: "an ENRP message on the ASAP port",
        rsplib: "association aborted",
        verdict: Same,
        ours: &["abort", "not found: 9"],
        run: |lab, on| {
            lab.bytes(on.pe, ppid::ENRP, &[5, 0, 0, 12, 0, 0, 0, 1, 0, 0, 0, 2]);
            resolve(lab, on.user, "pool", None);
        },
    },
    Row {
        input: "an ASAP message on the ENRP port",
        rsplib: "association aborted",
        verdict: Same,
        ours: &["abort"],
        run: |lab, _| {
            let registrar = lab.up_at(Protocol::Enrp, peer(&["10.0.0.2"], None));
            lab.bytes(registrar, ppid::ASAP, &hello());
        },
    },
    Row {
        input: "other payload protocols",
        rsplib: "ignored",
        verdict: Same,
        ours: &[],
        run: |lab, on| {
            for ppid in [0, 10, 13, ppid::PING_PONG, 0xfaee_b5d1, u32::MAX] {
                lab.bytes(on.user, ppid, b"anything");
            }
            assert_eq!(lab.core.stats().ignored_messages, 6);
        },
    },
    Row {
        input: "pool element identifier 0",
        rsplib: "refused: f000",
        verdict: Same,
        ours: &["registration refused: f000"],
        run: |lab, on| register(lab, on.pe, "pool", element(0)),
    },
    Row {
        input: "another policy than the pool has",
        rsplib: "refused: 5",
        verdict: Same,
        ours: &["registration refused: 5"],
        run: |lab, on| {
            register(lab, on.pe, "pool", PoolElement { policy: Policy::Random, ..element(2) })
        },
    },
    Row {
        input: "another transport protocol than the pool has",
        rsplib: "refused: 100a",
        verdict: Same,
        ours: &["registration refused: 100a"],
        run: |lab, on| register(lab, on.pe, "pool", with(tcp(7, TransportUse::DataControl))),
    },
    Row {
        input: "no control channel, in a pool that has them",
        rsplib: "refused: 8",
        verdict: Same,
        ours: &["registration refused: 8"],
        run: |lab, on| register(lab, on.pe, "pool", with(sctp(7, TransportUse::DataOnly))),
    },
    Row {
        input: "no address of the transport belongs to the association",
        rsplib: "refused: f008",
        verdict: Same,
        ours: &["registration refused: f008"],
        run: |lab, on| register(lab, on.pe, "pool", element_at(2, &["10.9.9.9", "8.8.8.8"])),
    },
    Row {
        input: "no address belongs to the association, which is in UDP, perhaps from behind NAT",
        rsplib: "refused: f008",
        verdict: Accepted,
        ours: &["registered", "found 2 at 10.0.0.1"],
        run: |lab, on| {
            let natted = lab.up(&["10.0.0.1"]);
            register(lab, natted, "other", element_at(2, &["192.168.1.2"]));
            resolve(lab, on.user, "other", None);
        },
    },
    Row {
        input: "some addresses belong to the association, some do not",
        rsplib: "accepted without the foreign ones",
        verdict: Same,
        ours: &["registered", "found 2 at 10.0.0.1"],
        run: |lab, on| {
            register(lab, on.pe, "other", element_at(2, &["10.9.9.9", "10.0.0.1", "8.8.8.8"]));
            resolve(lab, on.user, "other", None);
        },
    },
    Row {
        input: "port 0",
        rsplib: "refused: f005",
        verdict: Same,
        ours: &["registration refused: f005"],
        run: |lab, on| register(lab, on.pe, "pool", with(sctp(0, TransportUse::DataControl))),
    },
    Row {
        input: "only a loopback address, over an association from elsewhere",
        rsplib: "error 11, without the pool and the element",
        verdict: Answered,
        ours: &["registration refused: f008"],
        run: |lab, on| register(lab, on.pe, "pool", element_at(2, &["127.0.0.1"])),
    },
    Row {
        input: "only a loopback address, over loopback",
        rsplib: "error 11",
        verdict: Accepted,
        ours: &["registered"],
        run: |lab, _| {
            let near = lab.up(&["127.0.0.1"]);
            register(lab, near, "pool", element_at(2, &["127.0.0.1"]));
        },
    },
    Row {
        input: "a policy that nobody knows",
        rsplib: "error 100b",
        verdict: Same,
        ours: &["error 100b"],
        run: |lab, on| {
            let policy = Policy::Unknown { number: 0xb000_7777, fields: Bytes::new() };
            register(lab, on.pe, "other", PoolElement { policy, ..element(2) });
        },
    },
    Row {
        input: "the policy PriorityLeastUsedDPF",
        rsplib: "error 100b",
        verdict: Same,
        ours: &["error 100b"],
        run: |lab, on| {
            let fields = Bytes::from_static(&[0; 16]);
            let policy = Policy::Unknown { number: 0xb000_2004, fields };
            register(lab, on.pe, "other", PoolElement { policy, ..element(2) });
        },
    },
    Row {
        input: "a UDP transport",
        rsplib: "accepted",
        verdict: Same,
        ours: &["registered"],
        run: |lab, on| register(lab, on.pe, "udp", with(Transport::Udp { port: 53, addr: addr() })),
    },
    Row {
        input: "a TCP transport, also with a control channel",
        rsplib: "accepted",
        verdict: Same,
        ours: &["registered", "registered"],
        run: |lab, on| {
            register(lab, on.pe, "tcp", with(tcp(80, TransportUse::DataOnly)));
            register(lab, on.pe, "tcp with control", with(tcp(80, TransportUse::DataControl)));
        },
    },
    Row {
        input: "DCCP, UDP-Lite and opaque transports",
        rsplib: "no reply",
        verdict: Answered,
        ours: &["registration refused: 7"; 3],
        run: |lab, on| {
            let dccp = Transport::Dccp { port: 7, service_code: 1, addr: addr() };
            register(lab, on.pe, "dccp", with(dccp));
            register(lab, on.pe, "lite", with(Transport::UdpLite { port: 7, addr: addr() }));
            register(lab, on.pe, "opaque", with(Transport::Opaque(Bytes::from_static(b"any"))));
        },
    },
    Row {
        input: "a pool handle of 33 bytes",
        rsplib: "crash",
        verdict: Survives,
        ours: &["registration refused: f004", "not found: 9"],
        run: |lab, on| {
            let pool = [b'x'; 33];
            lab.bytes(on.pe, ppid::ASAP, &stretched(&pool));
            lab.bytes(on.user, ppid::ASAP, &resolution_of(&pool));
        },
    },
    Row {
        input: "a pool handle of 60,000 bytes",
        rsplib: "crash",
        verdict: Survives,
        ours: &["registration refused: f004", "not found: 9"],
        run: |lab, on| {
            let pool = [b'x'; 60_000];
            lab.bytes(on.pe, ppid::ASAP, &stretched(&pool));
            lab.bytes(on.user, ppid::ASAP, &resolution_of(&pool));
        },
    },
    Row {
        input: "a resolution of a weighted pool in which all weights are 0",
        rsplib: "crash",
        verdict: Survives,
        ours: &["registered", "registered", "not found: 9"],
        run: |lab, on| {
            for id in [2, 3] {
                let policy = Policy::WeightedRandom { weight: 0 };
                register(lab, on.pe, "weightless", PoolElement { policy, ..element(id) });
            }
            resolve(lab, on.user, "weightless", Some(1));
        },
    },
    Row {
        input: "a deregistration of an unknown element, and from an unknown pool",
        rsplib: "success",
        verdict: Same,
        ours: &["deregistered", "deregistered"],
        run: |lab, on| {
            deregister(lab, on.pe, "pool", 99);
            deregister(lab, on.user, "nothing", 1);
        },
    },
    Row {
        input: "a deregistration by another association",
        rsplib: "accepted",
        verdict: Checked,
        ours: &["deregistration refused: a", "found 1 at 10.0.0.1"],
        run: |lab, on| {
            deregister(lab, on.user, "pool", 1);
            resolve(lab, on.user, "pool", None);
        },
    },
    Row {
        input: "another association registers an element, whose owner answers",
        rsplib: "accepted, and the element belongs to the other one",
        verdict: Checked,
        ours: &["keep-alive with home bit to owner", "registration refused: 4"],
        run: |lab, on| {
            let other = lab.up(&["10.0.0.1"]);
            register(lab, other, "pool", element(1));
            lab.ack(on.pe, "pool", 1);
        },
    },
    Row {
        input: "another association registers an element, whose owner does not answer",
        rsplib: "accepted at once",
        verdict: Checked,
        ours: &["keep-alive with home bit to owner", "abort", "registered"],
        run: |lab, _| {
            let other = lab.up(&["10.0.0.1"]);
            register(lab, other, "pool", element(1));
            lab.pass(ms(1000));
        },
    },
    Row {
        input: "a resolution that asks for 0 elements",
        rsplib: "as many as without a number",
        verdict: Same,
        ours: &["found 1 at 10.0.0.1"],
        run: |lab, on| resolve(lab, on.user, "pool", Some(0)),
    },
    Row {
        input: "a resolution of an unknown pool",
        rsplib: "not found: 9",
        verdict: Same,
        ours: &["not found: 9"],
        run: |lab, on| resolve(lab, on.user, "nothing", Some(1)),
    },
    Row {
        input: "three unreachable reports about an element that answers",
        rsplib: "removed",
        verdict: Checked,
        ours: &[
            "keep-alive to owner",
            "keep-alive to owner",
            "keep-alive to owner",
            "found 1 at 10.0.0.1",
        ],
        run: |lab, on| {
            for _ in 0..3 {
                lab.report_unreachable(on.user, "pool", 1);
                lab.ack(on.pe, "pool", 1);
            }
            resolve(lab, on.user, "pool", None);
        },
    },
];

#[test]
fn every_row() {
    for row in ROWS {
        let mut lab = Lab::new();
        let on = Actors { pe: lab.up_from(&["10.0.0.1"], None), user: lab.up(&["10.0.0.9"]) };
        lab.register(on.pe, "pool", element(1)).unwrap();
        lab.outputs.clear();
        (row.run)(&mut lab, on);
        let ours = told(&mut lab, on);
        assert_eq!(ours, row.ours, "{}", row.input);
        // The words of the table are right, too.
        let same = row.verdict == Same;
        let silent = matches!(row.rsplib, "no reply" | "crash");
        assert!(!(same && silent), "{}: what RSPLIB does is no reaction", row.input);
        // Whatever it was: the others are served.
        let after = lab.up(&["10.0.0.30"]);
        lab.register(after, "afterwards", element_at(7, &["10.0.0.30"])).unwrap();
        assert_eq!(lab.resolve(after, "afterwards", None), [7], "{}", row.input);
    }
    for verdict in [Same, Answered, Survives, Checked, Accepted] {
        assert!(ROWS.iter().any(|row| row.verdict == verdict), "{verdict:?}");
    }
}

/// What the registrar did, in order, in the words of the table.
fn told(lab: &mut Lab, on: Actors) -> Vec<String> {
    let outputs = std::mem::take(&mut lab.outputs);
    outputs.iter().filter_map(|output| word_of(output, on)).collect()
}

fn word_of(output: &Output, on: Actors) -> Option<String> {
    let (channel, ppid, data) = match output {
        Output::Send { channel, ppid, data } => (*channel, *ppid, data),
        Output::Abort { .. } => return Some("abort".to_owned()),
        Output::Event(_) | Output::Watch { .. } | Output::Suspect { .. } => return None,
        other => return Some(format!("{other:?}")),
    };
    if ppid == ppid::ENRP {
        return Some(format!("{:?}", EnrpMessage::decode(data)));
    }
    let cause = |error: Option<OperationError>| format!("{:x}", error.unwrap().code().0);
    Some(match AsapMessage::decode(data).unwrap() {
        AsapMessage::RegistrationResponse(m) if m.rejected => {
            format!("registration refused: {}", cause(m.error))
        }
        AsapMessage::RegistrationResponse(_) => "registered".to_owned(),
        AsapMessage::DeregistrationResponse(m) if m.rejected => {
            format!("deregistration refused: {}", cause(m.error))
        }
        AsapMessage::DeregistrationResponse(_) => "deregistered".to_owned(),
        AsapMessage::HandleResolutionResponse(m) => match m.resolution {
            Resolution::Error(error) => format!("not found: {}", cause(Some(error))),
            Resolution::Elements { elements, .. } => {
                let place = |e: &PoolElement| {
                    let addrs = e.user_transport.addrs().iter().map(ToString::to_string);
                    format!("{} at {}", e.id.0, addrs.collect::<Vec<_>>().join(" "))
                };
                format!("found {}", elements.iter().map(place).collect::<Vec<_>>().join(", "))
            }
        },
        AsapMessage::EndpointKeepAlive(m) => {
            assert_eq!(channel, on.pe);
            let home = if m.home { " with home bit" } else { "" };
            format!("keep-alive{home} to owner")
        }
        AsapMessage::Error(error) => format!("error {}", cause(Some(error))),
        other => format!("{other:?}"),
    })
}

fn register(lab: &mut Lab, channel: ChannelId, pool: &str, element: PoolElement) {
    let request = Registration { pool: handle(pool), element };
    lab.message(channel, AsapMessage::Registration(request));
}

fn deregister(lab: &mut Lab, channel: ChannelId, pool: &str, id: u32) {
    let request = Deregistration { pool: handle(pool), id: PeId(id) };
    lab.message(channel, AsapMessage::Deregistration(request));
}

fn resolve(lab: &mut Lab, channel: ChannelId, pool: &str, items: Option<u32>) {
    let request = HandleResolution { subscribe: false, pool: handle(pool), items };
    lab.message(channel, AsapMessage::HandleResolution(request));
}

fn addr() -> IpAddr {
    [10, 0, 0, 1].into()
}

/// Element 2 with another transport.
fn with(user_transport: Transport) -> PoolElement {
    PoolElement { user_transport, ..element(2) }
}

fn sctp(port: u16, transport_use: TransportUse) -> Transport {
    Transport::Sctp(SctpTransport { port, transport_use, addrs: vec![addr()] })
}

fn tcp(port: u16, transport_use: TransportUse) -> Transport {
    Transport::Tcp(TcpTransport { port, transport_use, addr: addr() })
}

fn hello() -> Bytes {
    let request = HandleResolution { subscribe: false, pool: handle("pool"), items: None };
    AsapMessage::HandleResolution(request).encode().unwrap()
}

/// A registration with a pool handle that the type itself does not allow.
fn stretched(pool: &[u8]) -> Vec<u8> {
    let request = Registration { pool: handle("p"), element: element(1) };
    let good = AsapMessage::Registration(request).encode().unwrap();
    with_handle(1, pool, &good[12..])
}

/// A resolution of such a pool.
fn resolution_of(pool: &[u8]) -> Vec<u8> {
    with_handle(5, pool, &[])
}

fn with_handle(kind: u8, pool: &[u8], rest: &[u8]) -> Vec<u8> {
    let length = (pool.len() as u16 + 4).to_be_bytes();
    let mut data = [&[kind, 0, 0, 0, 0, 9], &length[..], pool].concat();
    data.resize(data.len().next_multiple_of(4), 0);
    data.extend_from_slice(rest);
    let total = (data.len() as u16).to_be_bytes();
    data[2..4].copy_from_slice(&total);
    data
}
