//! The first inputs for the fuzzer: messages of real programs, and courses of such messages.

use super::registrar::step;

/// An input for a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seed {
    /// Name of the target.
    pub target: &'static str,
    /// The bytes.
    pub data: Vec<u8>,
}

const ANNOUNCE: &str = "0a000008 11111111";
const REGISTRATION: &str = "01000054 0009001050696e67506f6e67506f6f6c 000a0040 51515151 00000000 \
    000dbba0 00040024 9e0d 0001 000100080a01000b 00020014fd000010000100000000000000000011 \
    0008000c4000000100000000";
const REGISTERED: &str = "0300001c 0009001050696e67506f6e67506f6f6c 000e000851515151";
const REFUSED: &str = "03010020 00090009706f6f6c31000000 000e000800000103 000c0008 100a0004";
const DEREGISTRATION: &str = "0200001c 0009001050696e67506f6e67506f6f6c 000e000851515151";
const DEREGISTERED: &str = "0400001c 0009001050696e67506f6e67506f6f6c 000e000851515151";
const RESOLUTION: &str = "0500001c 0009001050696e67506f6e67506f6f6c 803f000800000001";
/// With the bit that asks for updates.
const SUBSCRIPTION: &str = "05010014 0009001050696e67506f6e67506f6f6c";
const RESOLVED: &str = "06000040 00090009706f6f6c31000000 0008000800000001 000a0028 00000101 \
    11111111 00015f90 00040010 1388 0000 000100080a010015 0008000800000001";
const NOT_FOUND: &str = "06000018 0009000a6e6f706f6f6c0000 000c0008 00090004";
const KEEP_ALIVE: &str = "07010020 11111111 0009001050696e67506f6e67506f6f6c 000e000851515151";
const KEEP_ALIVE_ACK: &str = "0800001c 0009001050696e67506f6e67506f6f6c 000e000851515151";
const UNREACHABLE: &str = "0900001c 0009001050696e67506f6e67506f6f6c 000e000851515151";
const COOKIE: &str = "0b000018 000d0014 3c50502d5444313e 0000000000000002";
const COOKIE_ECHO: &str = "0c000018 000d0014 3c50502d5444313e 0000000000000002";
const ERROR: &str = "0e000014 000c0010 0001000c 4077000861626364";

const PRESENCE: &str = "0101002c 11111111 22222222 000f0006ffff0000 000b0018 11111111 00040010 \
    26ad 0000 000100080a010001";
const PRESENCE_OF_ANOTHER: &str = "0101002c aaaa0001 22222222 000f0006ffff0000 000b0018 aaaa0001 \
    00040010 1b59 0000 000100080a010015";
/// By multicast, of a registrar that is not known.
const PRESENCE_TO_ALL: &str = "0100002c 33333333 00000000 000f0006ffff0000 000b0018 33333333 \
    00040010 26ad 0000 000100080a010002";
const TABLE_REQUEST: &str = "0201000c 11111111 22222222";
const TABLE_REFUSED: &str = "0301000c 11111111 22222222";
const TABLE_EMPTY: &str = "0300000c 11111111 22222222";
/// One pool with one element, and more to come.
const TABLE: &str = "03020080 11111111 22222222 0009001050696e67506f6e67506f6f6c 000a0064 51515151 \
    11111111 00015f90 00040024 9066 0001 000100080a01000b 00020014fd000010000100000000000000000011 \
    0008000c4000000100000000 00040024 c2de 0000 000100080a01000b \
    00020014fd000010000100000000000000000011";
const LIST_REQUEST: &str = "0500000c 11111111 22222222";
const LIST: &str = "06000024 11111111 22222222 000b0018aaaa0001 00040010 1b59 0000 \
    000100080a010015";
const UPDATE: &str = "04000084 11111111 22222222 0000 0000 0009001050696e67506f6e67506f6f6c \
    000a0064 51515151 11111111 00015f90 00040024 9066 0001 000100080a01000b \
    00020014fd000010000100000000000000000011 0008000c4000000100000000 00040024 c2de 0000 \
    000100080a01000b 00020014fd000010000100000000000000000011";
const INIT_TAKEOVER: &str = "07000010 11111111 22222222 aaaa0001";
const INIT_TAKEOVER_ACK: &str = "08000010 11111111 22222222 aaaa0001";
const TAKEOVER_SERVER: &str = "09000010 11111111 22222222 aaaa0001";
const ENRP_ERROR: &str = "0a000014 11111111 22222222 000c0008 f0060004";

const ASAP: [&str; 16] = [
    ANNOUNCE,
    REGISTRATION,
    REGISTERED,
    REFUSED,
    DEREGISTRATION,
    DEREGISTERED,
    RESOLUTION,
    SUBSCRIPTION,
    RESOLVED,
    NOT_FOUND,
    KEEP_ALIVE,
    KEEP_ALIVE_ACK,
    UNREACHABLE,
    COOKIE,
    COOKIE_ECHO,
    ERROR,
];
const ENRP: [&str; 14] = [
    PRESENCE,
    PRESENCE_OF_ANOTHER,
    PRESENCE_TO_ALL,
    TABLE_REQUEST,
    TABLE_REFUSED,
    TABLE_EMPTY,
    TABLE,
    LIST_REQUEST,
    LIST,
    UPDATE,
    INIT_TAKEOVER,
    INIT_TAKEOVER_ACK,
    TAKEOVER_SERVER,
    ENRP_ERROR,
];

/// The seeds of all targets. They are the same at every call.
pub fn seeds() -> Vec<Seed> {
    let asap = ASAP.iter().map(|hex| Seed { target: "asap", data: unhex(hex) });
    let enrp = ENRP.iter().map(|hex| Seed { target: "enrp", data: unhex(hex) });
    let courses = courses().into_iter().map(|data| Seed { target: "registrar", data });
    asap.chain(enrp).chain(courses).collect()
}

/// The other ends, by their places in the table of the target.
const ELEMENT: u8 = 0;
const USER: u8 = 1;
const REGISTRAR: u8 = 3;
const ANOTHER: u8 = 4;

fn courses() -> Vec<Vec<u8>> {
    let up = |who: u8| vec![step::UP, who];
    let down = |who: u8| vec![step::DOWN, who];
    let say = |who: u8, hex: &str| {
        let data = unhex(hex);
        [&[step::MESSAGE, who], &(data.len() as u16).to_be_bytes()[..], &data].concat()
    };
    let datagram = |hex: &str| {
        let data = unhex(hex);
        [&[step::DATAGRAM], &(data.len() as u16).to_be_bytes()[..], &data].concat()
    };
    let pass = |millis: u16| [&[step::PASS], &millis.to_be_bytes()[..]].concat();
    let registered = || [up(ELEMENT), say(ELEMENT, REGISTRATION)].concat();
    let known = || [up(REGISTRAR), say(REGISTRAR, PRESENCE)].concat();
    let ppid = |who: u8, number: u32, hex: &str| {
        let (number, data) = (number.to_be_bytes(), unhex(hex));
        let head = [&[step::OTHER_PROTOCOL, who], &number[..]].concat();
        [head, (data.len() as u16).to_be_bytes().to_vec(), data].concat()
    };
    let taken_over = [
        known(),
        [up(ANOTHER), say(ANOTHER, PRESENCE_OF_ANOTHER)].concat(),
        say(REGISTRAR, UPDATE),
        down(REGISTRAR),
        vec![step::FAIL],
        pass(3000),
        vec![step::FAIL],
        pass(3000),
        vec![step::SUCCEED, ELEMENT],
        say(ELEMENT, KEEP_ALIVE_ACK),
        pass(2000),
    ];
    vec![
        [registered(), say(ELEMENT, DEREGISTRATION)].concat(),
        [registered(), pass(2000), say(ELEMENT, KEEP_ALIVE_ACK), pass(5000)].concat(),
        [registered(), up(USER), say(USER, RESOLUTION), say(USER, UNREACHABLE)].concat(),
        [up(USER), say(USER, SUBSCRIPTION), registered(), pass(200), down(ELEMENT), pass(200)]
            .concat(),
        // Another association claims the element.
        [registered(), registered(), pass(900), pass(200), say(ELEMENT, RESOLUTION)].concat(),
        [registered(), up(USER), say(USER, DEREGISTRATION), vec![step::CONGESTED, ELEMENT]]
            .concat(),
        [registered(), vec![step::MEASURED, ELEMENT, 1, 0], vec![step::PEER_CHANGED, ELEMENT, 2]]
            .concat(),
        [registered(), ppid(ELEMENT, 12, PRESENCE), up(USER), ppid(USER, 0, RESOLUTION)].concat(),
        [known(), say(REGISTRAR, LIST_REQUEST), say(REGISTRAR, TABLE_REQUEST), pass(3000)].concat(),
        [known(), say(REGISTRAR, TABLE), say(REGISTRAR, TABLE_EMPTY), pass(6000)].concat(),
        [known(), say(REGISTRAR, UPDATE), registered(), pass(1200)].concat(),
        // Both say to be the home.
        [registered(), known(), say(REGISTRAR, UPDATE), say(ELEMENT, KEEP_ALIVE_ACK), pass(1200)]
            .concat(),
        [known(), say(REGISTRAR, LIST), vec![step::FAIL], pass(500), say(REGISTRAR, ENRP_ERROR)]
            .concat(),
        [datagram(PRESENCE_TO_ALL), vec![step::SUCCEED, 5], pass(2500)].concat(),
        [known(), up(ANOTHER), say(ANOTHER, PRESENCE_OF_ANOTHER), say(REGISTRAR, INIT_TAKEOVER)]
            .concat(),
        [
            known(),
            up(ANOTHER),
            say(ANOTHER, PRESENCE_OF_ANOTHER),
            down(ANOTHER),
            say(REGISTRAR, INIT_TAKEOVER),
            say(REGISTRAR, INIT_TAKEOVER_ACK),
            say(REGISTRAR, TAKEOVER_SERVER),
            pass(5000),
        ]
        .concat(),
        taken_over.concat(),
        [known(), say(REGISTRAR, TABLE_REFUSED), pass(65_000), known(), pass(300)].concat(),
    ]
}

fn unhex(hex: &str) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let digits: Vec<u8> = hex.bytes().filter_map(digit).collect();
    digits
        .chunks_exact(2)
        .map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit))
        .collect()
}
