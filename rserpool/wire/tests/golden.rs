//! Messages that RSPLIB 3.5.10 sent or accepted are decoded and encoded, byte for byte. Wrong
//! messages get the right answer.

use std::net::IpAddr;

use bytes::Bytes;
use rserpool_wire::{
    AsapMessage, CauseCode, DecodeError, Deregistration, DeregistrationResponse, EncodeError,
    EndpointKeepAlive, EndpointKeepAliveAck, EndpointUnreachable, EnrpBody, EnrpMessage,
    HandleResolution, HandleResolutionResponse, HandleTableRequest, HandleTableResponse,
    HandleUpdate, Life, ListResponse, OperationError, PeId, Policy, PoolElement, PoolHandle,
    Presence, Problem, Reaction, Registration, RegistrationResponse, Resolution, SctpTransport,
    ServerAnnounce, ServerId, ServerInformation, Transport, TransportUse, UpdateAction,
};

const PING_PONG_HEX: &str = "0009001050696e67506f6e67506f6f6c";
const PING_PONG_ID: &str = "000e000851515151";
const DUAL: &str = "000100080a01000b 00020014fd000010000100000000000000000011";

fn unhex(hex: &str) -> Vec<u8> {
    let hex: Vec<u8> = hex.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    hex.chunks(2)
        .map(|b| u8::from_str_radix(std::str::from_utf8(b).unwrap(), 16).unwrap())
        .collect()
}

#[track_caller]
fn asap(hex: &str, message: AsapMessage) {
    let bytes = unhex(hex);
    assert_eq!(AsapMessage::decode(&bytes), Ok(message.clone()));
    assert_eq!(message.encode().unwrap(), bytes);
}

#[track_caller]
fn enrp(hex: &str, sender: u32, receiver: u32, body: EnrpBody) {
    let bytes = unhex(hex);
    let message = EnrpMessage { sender: ServerId(sender), receiver: ServerId(receiver), body };
    assert_eq!(EnrpMessage::decode(&bytes), Ok(message.clone()));
    assert_eq!(message.encode().unwrap(), bytes);
    assert_eq!(EnrpMessage::ids(&bytes), Some((ServerId(sender), ServerId(receiver))));
}

fn pool(name: &str) -> PoolHandle {
    PoolHandle::new(name).unwrap()
}

fn ping_pong() -> PoolHandle {
    pool("PingPongPool")
}

fn ips(addrs: &[&str]) -> Vec<IpAddr> {
    addrs.iter().map(|a| a.parse().unwrap()).collect()
}

fn dual_stack() -> Vec<IpAddr> {
    ips(&["10.1.0.11", "fd00:10:1::11"])
}

fn element() -> PoolElement {
    PoolElement {
        id: PeId(0x5151_5151),
        home: ServerId::UNDEFINED,
        life: Life(900_000),
        user_transport: Transport::Sctp(SctpTransport {
            port: 0x9e0d,
            transport_use: TransportUse::DataControl,
            addrs: dual_stack(),
        }),
        policy: Policy::LeastUsed { load: 0 },
        asap_transport: None,
        udp_port: None,
    }
}

fn server(id: u32, port: u16, addr: &str) -> ServerInformation {
    let transport = SctpTransport::data_only(port, ips(&[addr]));
    ServerInformation { id: ServerId(id), transport, udp_port: None }
}

#[test]
fn registration() {
    let dual = "000100080a01000b 00020014fd000010000100000000000000000011";
    asap(
        &format!(
            "01000054 {PING_PONG_HEX} 000a0040 51515151 00000000 000dbba0 00040024 9e0d 0001 \
             {dual} 0008000c4000000100000000"
        ),
        AsapMessage::Registration(Registration { pool: ping_pong(), element: element() }),
    );
    asap(
        &format!("0300001c {PING_PONG_HEX} {PING_PONG_ID}"),
        AsapMessage::RegistrationResponse(RegistrationResponse {
            rejected: false,
            pool: ping_pong(),
            id: PeId(0x5151_5151),
            error: None,
        }),
    );
    asap(
        "03010020 00090009706f6f6c31000000 000e000800000103 000c0008 100a0004",
        AsapMessage::RegistrationResponse(RegistrationResponse {
            rejected: true,
            pool: pool("pool1"),
            id: PeId(0x103),
            error: Some(OperationError::new(CauseCode::WRONG_PROTOCOL)),
        }),
    );
    asap(
        &format!("0200001c {PING_PONG_HEX} {PING_PONG_ID}"),
        AsapMessage::Deregistration(Deregistration { pool: ping_pong(), id: PeId(0x5151_5151) }),
    );
    asap(
        &format!("0400001c {PING_PONG_HEX} {PING_PONG_ID}"),
        AsapMessage::DeregistrationResponse(DeregistrationResponse {
            rejected: false,
            pool: ping_pong(),
            id: PeId(0x5151_5151),
            error: None,
        }),
    );
}

#[test]
fn handle_resolution() {
    asap(
        &format!("0500001c {PING_PONG_HEX} 803f000800000001"),
        AsapMessage::HandleResolution(HandleResolution {
            subscribe: false,
            pool: ping_pong(),
            items: Some(1),
        }),
    );
    asap(
        "06000040 00090009706f6f6c31000000 0008000800000001 000a0028 00000101 11111111 00015f90
         00040010 1388 0000 000100080a010015 0008000800000001",
        AsapMessage::HandleResolutionResponse(HandleResolutionResponse {
            accept_updates: false,
            pool: pool("pool1"),
            resolution: Resolution::Elements {
                policy: Some(Policy::RoundRobin),
                elements: vec![PoolElement {
                    id: PeId(0x101),
                    home: ServerId(0x1111_1111),
                    life: Life(90_000),
                    user_transport: Transport::Sctp(SctpTransport::data_only(
                        5000,
                        ips(&["10.1.0.21"]),
                    )),
                    policy: Policy::RoundRobin,
                    asap_transport: None,
                    udp_port: None,
                }],
            },
        }),
    );
    asap(
        "06000018 0009000a6e6f706f6f6c0000 000c0008 00090004",
        AsapMessage::HandleResolutionResponse(HandleResolutionResponse {
            accept_updates: false,
            pool: pool("nopool"),
            resolution: Resolution::Error(OperationError::new(CauseCode::UNKNOWN_POOL)),
        }),
    );
}

#[test]
fn keep_alive_reports_announces() {
    for (flags, home) in [("00", false), ("01", true)] {
        asap(
            &format!("07{flags}0020 11111111 {PING_PONG_HEX} {PING_PONG_ID}"),
            AsapMessage::EndpointKeepAlive(EndpointKeepAlive {
                home,
                server: ServerId(0x1111_1111),
                pool: ping_pong(),
                id: Some(PeId(0x5151_5151)),
            }),
        );
    }
    // As in RFC 5352, without the element.
    asap(
        &format!("07000018 11111111 {PING_PONG_HEX}"),
        AsapMessage::EndpointKeepAlive(EndpointKeepAlive {
            home: false,
            server: ServerId(0x1111_1111),
            pool: ping_pong(),
            id: None,
        }),
    );
    asap(
        &format!("0800001c {PING_PONG_HEX} {PING_PONG_ID}"),
        AsapMessage::EndpointKeepAliveAck(EndpointKeepAliveAck {
            pool: ping_pong(),
            id: PeId(0x5151_5151),
        }),
    );
    asap(
        "09000018 00090009706f6f6c33000000 000e000800000106",
        AsapMessage::EndpointUnreachable(EndpointUnreachable {
            pool: pool("pool3"),
            id: PeId(0x106),
        }),
    );
    asap(
        "0a000008 11111111",
        AsapMessage::ServerAnnounce(ServerAnnounce {
            server: ServerId(0x1111_1111),
            transports: Vec::new(),
            udp_port: None,
        }),
    );
}

#[test]
fn cookies_and_errors() {
    let cookie = Bytes::from_static(b"<PP-TD1>\0\0\0\0\0\0\0\x02");
    asap(
        "0b000018 000d0014 3c50502d5444313e 0000000000000002",
        AsapMessage::Cookie(cookie.clone()),
    );
    asap("0c000018 000d0014 3c50502d5444313e 0000000000000002", AsapMessage::CookieEcho(cookie));
    let info = unhex("4077000861626364");
    let error = OperationError::with_info(CauseCode::UNRECOGNIZED_PARAMETER, &info);
    asap("0e000014 000c0010 0001000c 4077000861626364", AsapMessage::Error(error));
}

#[test]
fn presence_and_lists() {
    enrp(
        "0101002c 11111111 aaaa0001 000f0006ffff0000 000b0018 11111111 00040010 26ad 0000 \
         000100080a010001",
        0x1111_1111,
        0xaaaa_0001,
        EnrpBody::Presence(Presence {
            reply_required: true,
            checksum: Some(0xffff),
            info: Some(server(0x1111_1111, 9901, "10.1.0.1")),
        }),
    );
    enrp("0500000c 22222222 11111111", 0x2222_2222, 0x1111_1111, EnrpBody::ListRequest);
    enrp(
        "06000024 11111111 aaaa0001 000b0018aaaa0001 00040010 1b59 0000 000100080a010015",
        0x1111_1111,
        0xaaaa_0001,
        EnrpBody::ListResponse(ListResponse {
            rejected: false,
            servers: vec![server(0xaaaa_0001, 7001, "10.1.0.21")],
        }),
    );
}

#[test]
fn handle_tables() {
    enrp(
        "0201000c 33333333 22222222",
        0x3333_3333,
        0x2222_2222,
        EnrpBody::HandleTableRequest(HandleTableRequest { own_children_only: true }),
    );
    for (flags, rejected, more) in [("01", true, false), ("00", false, false), ("02", false, true)]
    {
        enrp(
            &format!("03{flags}000c 11111111 aaaa0001"),
            0x1111_1111,
            0xaaaa_0001,
            EnrpBody::HandleTableResponse(HandleTableResponse {
                rejected,
                more,
                pools: Vec::new(),
            }),
        );
    }
    enrp(
        &format!(
            "04000084 11111111 22222222 0000 0000 {PING_PONG_HEX} 000a0064 51515151 11111111
             00015f90 00040024 9066 0001 {DUAL} 0008000c4000000100000000 00040024 c2de 0000 {DUAL}"
        ),
        0x1111_1111,
        0x2222_2222,
        EnrpBody::HandleUpdate(HandleUpdate {
            takeover_suggested: false,
            action: UpdateAction::AddPe,
            pool: ping_pong(),
            element: PoolElement {
                home: ServerId(0x1111_1111),
                life: Life(90_000),
                user_transport: Transport::Sctp(SctpTransport {
                    port: 0x9066,
                    transport_use: TransportUse::DataControl,
                    addrs: dual_stack(),
                }),
                asap_transport: Some(SctpTransport::data_only(0xc2de, dual_stack())),
                ..element()
            },
        }),
    );
}

#[test]
fn takeover() {
    let target = ServerId(0x1111_1111);
    enrp(
        "07000010 33333333 11111111 11111111",
        0x3333_3333,
        0x1111_1111,
        EnrpBody::InitTakeover(target),
    );
    enrp(
        "08000010 33333333 22222222 11111111",
        0x3333_3333,
        0x2222_2222,
        EnrpBody::InitTakeoverAck(target),
    );
    enrp(
        "09000010 33333333 22222222 11111111",
        0x3333_3333,
        0x2222_2222,
        EnrpBody::TakeoverServer(target),
    );
    enrp(
        "0a000014 aaaa0001 11111111 000c0008 f0060004",
        0xaaaa_0001,
        0x1111_1111,
        EnrpBody::Error(OperationError::new(CauseCode::INVALID_ASAP_TRANSPORT)),
    );
}

/// The UDP port parameter is the last one in a pool element, in server information and in an
/// announce, and is nowhere else.
#[test]
fn udp_port_parameter() {
    let with_port = PoolElement { udp_port: Some(5000), ..element() };
    asap(
        &format!(
            "0100005c {PING_PONG_HEX} 000a0048 51515151 00000000 000dbba0 00040024 9e0d 0001 {DUAL}
             0008000c4000000100000000 a6ab0008 1388 0000"
        ),
        AsapMessage::Registration(Registration { pool: ping_pong(), element: with_port }),
    );
    asap(
        "0a000010 11111111 a6ab0008 1388 0000",
        AsapMessage::ServerAnnounce(ServerAnnounce {
            server: ServerId(0x1111_1111),
            transports: Vec::new(),
            udp_port: Some(5000),
        }),
    );
    enrp(
        "0600002c 11111111 aaaa0001 000b0020aaaa0001 00040010 1b59 0000 000100080a010015 a6ab0008 \
         1388 0000",
        0x1111_1111,
        0xaaaa_0001,
        EnrpBody::ListResponse(ListResponse {
            rejected: false,
            servers: vec![ServerInformation {
                udp_port: Some(5000),
                ..server(0xaaaa_0001, 7001, "10.1.0.21")
            }],
        }),
    );
    // Anywhere else it is skipped, as an implementation does that does not know it.
    let bytes = unhex(&format!("02000024 {PING_PONG_HEX} {PING_PONG_ID} a6ab0008 1388 0000"));
    let message =
        AsapMessage::Deregistration(Deregistration { pool: ping_pong(), id: PeId(0x5151_5151) });
    assert_eq!(AsapMessage::decode(&bytes), Ok(message));
    // Port 0 is no port.
    let error = AsapMessage::decode(&unhex("0a000010 11111111 a6ab0008 0000 0000")).unwrap_err();
    assert_eq!(error.problem, Problem::ParameterValue(0xa6ab));
}

#[track_caller]
fn fails(hex: &str) -> DecodeError {
    AsapMessage::decode(&unhex(hex)).unwrap_err()
}

fn report(code: CauseCode, info: &str) -> Reaction {
    Reaction::Report(OperationError::with_info(code, &unhex(info)))
}

#[test]
fn unknown_parameters() {
    let id = PING_PONG_ID;
    // 00: the message is dropped.
    let e = fails(&format!("02000024 {PING_PONG_HEX} 0077000861626364 {id}"));
    assert_eq!(
        e,
        DecodeError { problem: Problem::UnknownParameter(0x77), reaction: Reaction::Silent }
    );
    // 01: the message is dropped, and the error contains the whole parameter.
    let e = fails(&format!("02000024 {PING_PONG_HEX} 4077000861626364 {id}"));
    assert_eq!(e.reaction, report(CauseCode::UNRECOGNIZED_PARAMETER, "4077000861626364"));
    // 10 and 11: skipped without a report, also at the end and inside of other parameters.
    for kind in ["8077", "c077"] {
        let unknown = format!("{kind}000861626364");
        for body in
            [format!("{PING_PONG_HEX} {unknown} {id}"), format!("{PING_PONG_HEX} {id} {unknown}")]
        {
            assert!(AsapMessage::decode(&unhex(&format!("02000024 {body}"))).is_ok());
        }
    }
}

#[test]
fn misplaced_and_missing_parameters() {
    // A pool element without user transport: the policy comes where it is not expected.
    let e = fails(
        "01000028 00090009706f6f6c31000000 000a0018 00000101 00000000 00015f90 0008000800000001",
    );
    assert_eq!(
        e,
        DecodeError { problem: Problem::MisplacedParameter(8), reaction: Reaction::Silent }
    );
    // Nothing after the pool handle.
    let e = fails(&format!("02000014 {PING_PONG_HEX}"));
    assert_eq!(e.problem, Problem::MissingParameter(0x0e));
    assert_eq!(e.reaction, report(CauseCode::INVALID_VALUES, ""));
    // Too much after the identifier.
    let e = fails(&format!("02000024 {PING_PONG_HEX} {PING_PONG_ID} {PING_PONG_ID}"));
    assert_eq!(e.reaction, report(CauseCode::INVALID_MESSAGE, ""));
}

#[test]
fn broken_lengths_and_values() {
    assert_eq!(fails("0200").reaction, Reaction::Silent);
    // The length field of the message is too large or too small.
    assert_eq!(
        fails("02000014 00090005 61000000").reaction,
        report(CauseCode::INVALID_MESSAGE, "")
    );
    assert_eq!(
        fails("02000004 00090005 61000000").reaction,
        report(CauseCode::INVALID_MESSAGE, "")
    );
    // A parameter with a length below 4 or beyond the end, and an empty pool handle.
    assert_eq!(fails("0200000c 00090003 61000000").reaction, report(CauseCode::INVALID_VALUES, ""));
    assert_eq!(
        fails("0200000c 00090009 61000000").reaction,
        report(CauseCode::INVALID_PARAMETER_VALUE, "")
    );
    assert_eq!(fails("02000008 00090004").reaction, report(CauseCode::INVALID_VALUES, "00090004"));
    // A policy without its weight.
    let policy = "0008000800000002";
    let e = fails(&format!(
        "01000038 00090009706f6f6c31000000 000a0028 00000101 00000000 00015f90
         00040010 1388 0000 000100080a010015 {policy}"
    ));
    assert_eq!(e.reaction, report(CauseCode::INVALID_PARAMETER_VALUE, policy));
    // A transport without address, and one with two addresses where one is allowed.
    for transport in ["00040008 1388 0000", "00060018 1388 0000 000100080a010015 000100080a010016"]
    {
        let len = unhex(transport).len();
        let e = fails(&format!(
            "0100{:04x} 00090009706f6f6c31000000 000a{:04x} 00000101 00000000 00015f90 {transport} \
             0008000800000001",
            40 + len,
            24 + len
        ));
        assert_eq!(e.reaction, report(CauseCode::INVALID_PARAMETER_VALUE, transport));
    }
}

/// The padding of the last parameter may be there or not, and the message length may count it or
/// not.
#[test]
fn padding_of_the_message() {
    let message = AsapMessage::Cookie(Bytes::from_static(b"a"));
    assert_eq!(message.encode().unwrap(), unhex("0b00000c 000d0005 61000000"));
    for hex in ["0b00000c000d000561000000", "0b000009000d000561000000", "0b000009000d000561"] {
        assert_eq!(AsapMessage::decode(&unhex(hex)), Ok(message.clone()), "{hex}");
    }
}

#[test]
fn unknown_messages_and_broken_errors() {
    assert_eq!(
        fails("1f000004"),
        DecodeError { problem: Problem::UnknownMessage(0x1f), reaction: Reaction::Silent }
    );
    assert_eq!(fails("41000004").reaction, report(CauseCode::UNRECOGNIZED_MESSAGE, "41000004"));
    assert_eq!(fails("81000004").reaction, Reaction::Silent);
    assert_eq!(fails("c1000004").reaction, Reaction::Silent);
    // An ERROR is never answered.
    assert_eq!(fails("0e000004").reaction, Reaction::Silent);
    let e = EnrpMessage::decode(&unhex("0a00000c 11111111 22222222")).unwrap_err();
    assert_eq!(e.reaction, Reaction::Silent);
    let e = EnrpMessage::decode(&unhex("0200000c 11111111 22222222 00000000")).unwrap_err();
    assert_eq!(e.reaction, report(CauseCode::INVALID_MESSAGE, ""));
}

#[test]
fn what_has_no_wire_form() {
    let long = AsapMessage::Cookie(vec![1; 65_530].into());
    assert!(matches!(long.encode(), Err(EncodeError::TooLong(_))));
    let longest = AsapMessage::Cookie(vec![1; 65_524].into());
    assert_eq!(AsapMessage::decode(&longest.encode().unwrap()), Ok(longest));
    assert_eq!(AsapMessage::Cookie(Bytes::new()).encode(), Err(EncodeError::EmptyCookie));
    let mut element = element();
    element.user_transport = Transport::Sctp(SctpTransport::data_only(7, Vec::new()));
    let message = AsapMessage::Registration(Registration { pool: ping_pong(), element });
    assert_eq!(message.encode(), Err(EncodeError::NoAddress));
}
