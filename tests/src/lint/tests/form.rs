//! Rules about single packets.

use super::super::packet::{
    ABORT, COOKIE_ACK, COOKIE_ECHO, ERROR, HEARTBEAT, INIT, INIT_ACK, PAD, SHUTDOWN, SHUTDOWN_ACK,
};
use super::super::rules;
use super::wire::{
    COOKIE, Fragment, LEFT, LEFT_PORT, LEFT_TAG, LEFT_TSN, RIGHT, RIGHT_PORT, RIGHT_TAG, RIGHT_TSN,
    WHOLE, chunk, cookie, data, init, init_with, ipv4, listed, parameter, sack, sctp,
};
use super::{broken, kept};

#[test]
fn ports() {
    broken(&rules::PORTS, |w| {
        w.put(LEFT, RIGHT, sctp(0, RIGHT_PORT, 1, &chunk(COOKIE_ACK, 0, b"")))
    });
    broken(&rules::PORTS, |w| {
        w.put(LEFT, RIGHT, sctp(LEFT_PORT, 0, 1, &chunk(COOKIE_ACK, 0, b"")))
    });
}

#[test]
fn whole_chunks() {
    broken(&rules::WHOLE_CHUNKS, |w| w.left(b""));
    broken(&rules::WHOLE_CHUNKS, |w| {
        w.left([chunk(SHUTDOWN_ACK, 0, b""), vec![0, 3, 0, 99]].concat())
    });
    broken(&rules::WHOLE_CHUNKS, |w| w.left([chunk(SHUTDOWN_ACK, 0, b""), vec![0, 0]].concat()));
    broken(&rules::WHOLE_CHUNKS, |w| w.left([0, 0, 0, 3]));
}

#[test]
fn length_of_4() {
    broken(&rules::LENGTH_OF_4, |w| {
        w.associate();
        let mut bytes = data(LEFT_TSN, 0, 0, WHOLE, b"123");
        bytes.truncate(bytes.len() - 1);
        w.left(bytes);
    });
    kept(|w| {
        w.associate();
        w.left(data(LEFT_TSN, 0, 0, WHOLE, b"123"));
    });
}

#[test]
fn padding() {
    broken(&rules::PADDING, |w| {
        let mut bytes = data(LEFT_TSN, 0, 0, WHOLE, b"123");
        *bytes.last_mut().unwrap() = 1;
        w.left(bytes);
    });
    broken(&rules::PADDING, |w| {
        let mut padded = parameter(0x8008, &[192]);
        *padded.last_mut().unwrap() = 1;
        w.init(&padded);
    });
    kept(|w| w.associate_with(&parameter(12, &[0, 5])));
}

#[test]
fn chunk_length() {
    broken(&rules::CHUNK_LENGTH, |w| w.left(chunk(SHUTDOWN, 0, b"")));
    broken(&rules::CHUNK_LENGTH, |w| w.left(chunk(SHUTDOWN_ACK, 0, b"1234")));
    broken(&rules::CHUNK_LENGTH, |w| w.left(chunk(COOKIE_ECHO, 0, b"")));
    broken(&rules::CHUNK_LENGTH, |w| w.left(chunk(ERROR, 0, b"")));
    broken(&rules::CHUNK_LENGTH, |w| w.left_tagged(0, chunk(INIT, 0, &[1; 12])));
    broken(&rules::CHUNK_LENGTH, |w| {
        let mut value = sack(1, 2, &[(2, 3)], &[])[4..].to_vec();
        value[9] = 2;
        w.left(chunk(3, 0, &value));
    });
}

#[test]
fn known_chunks() {
    broken(&rules::KNOWN_CHUNKS, |w| w.left(chunk(64, 3, &[1; 20])));
    broken(&rules::KNOWN_CHUNKS, |w| w.left(chunk(12, 0, &[1; 4])));
    kept(|w| {
        w.associate();
        let probe = [chunk(HEARTBEAT, 0, &parameter(1, &[5; 8])), chunk(PAD, 0, &[0; 900])];
        w.left(probe.concat());
    });
}

#[test]
fn reserved_flags() {
    broken(&rules::RESERVED_FLAGS, |w| w.left(data(LEFT_TSN, 0, 0, 0x10 | WHOLE, b"x")));
    broken(&rules::RESERVED_FLAGS, |w| w.left(chunk(SHUTDOWN_ACK, 1, b"")));
    broken(&rules::RESERVED_FLAGS, |w| w.left(chunk(ABORT, 2, b"")));
    kept(|w| {
        w.associate();
        w.left(data(LEFT_TSN, 0, 0, 0x08 | 0x04 | WHOLE, b"x"));
    });
}

#[test]
fn control_first() {
    let beat = chunk(HEARTBEAT, 0, &parameter(1, &[5; 8]));
    broken(&rules::CONTROL_FIRST, |w| {
        w.left([data(LEFT_TSN, 0, 0, WHOLE, b"x"), beat.clone()].concat())
    });
    kept(|w| {
        w.associate();
        w.left([beat.clone(), data(LEFT_TSN, 0, 0, WHOLE, b"x")].concat());
    });
}

#[test]
fn alone() {
    broken(&rules::ALONE, |w| {
        w.left_tagged(0, [init(INIT, LEFT_TAG, LEFT_TSN, &[]), chunk(PAD, 0, b"")].concat());
    });
    broken(&rules::ALONE, |w| {
        w.right([init(INIT_ACK, RIGHT_TAG, RIGHT_TSN, &cookie()), chunk(PAD, 0, b"")].concat());
    });
    broken(&rules::ALONE, |w| w.left([chunk(PAD, 0, b""), chunk(14, 0, b"")].concat()));
}

#[test]
fn cookie_first() {
    let beat = chunk(HEARTBEAT, 0, &parameter(1, &[5; 8]));
    broken(&rules::COOKIE_FIRST, |w| {
        w.left([beat.clone(), chunk(COOKIE_ECHO, 0, COOKIE)].concat())
    });
    broken(&rules::COOKIE_FIRST, |w| w.right([beat.clone(), chunk(COOKIE_ACK, 0, b"")].concat()));
    kept(|w| {
        w.init(&[]);
        w.init_ack();
        w.left([chunk(COOKIE_ECHO, 0, COOKIE), data(LEFT_TSN, 0, 0, WHOLE, b"x")].concat());
        w.right([chunk(COOKIE_ACK, 0, b""), sack(LEFT_TSN, 9000, &[], &[]), beat.clone()].concat());
    });
}

#[test]
fn abort_last() {
    broken(&rules::ABORT_LAST, |w| w.left([chunk(ABORT, 0, b""), chunk(PAD, 0, b"")].concat()));
    broken(&rules::ABORT_LAST, |w| {
        w.left([data(1, 0, 0, WHOLE, b"x"), chunk(ABORT, 0, b"")].concat())
    });
    kept(|w| {
        w.associate();
        w.left([chunk(PAD, 0, b""), chunk(ABORT, 0, &parameter(12, b"reason")[..10])].concat());
    });
}

#[test]
fn no_data_with_shutdown() {
    broken(&rules::NO_DATA_WITH_SHUTDOWN, |w| {
        w.left([chunk(SHUTDOWN, 0, &[0; 4]), data(1, 0, 0, WHOLE, b"x")].concat());
    });
}

#[test]
fn one_sack() {
    broken(&rules::ONE_SACK, |w| w.left([sack(1, 2, &[], &[]), sack(1, 2, &[], &[])].concat()));
}

#[test]
fn parameters() {
    broken(&rules::PARAMETERS, |w| w.init(&[0x80, 8, 0, 9, 1]));
    broken(&rules::PARAMETERS, |w| w.init(&parameter(5, &[10, 0, 0])));
    broken(&rules::PARAMETERS, |w| w.left(chunk(ERROR, 0, &parameter(1, &[0, 0])[..6])));
    let missing_two = parameter(2, &[0, 0, 0, 2, 0, 7]);
    broken(&rules::PARAMETERS, |w| w.left(chunk(ABORT, 0, &missing_two[..10])));
    kept(|w| {
        w.associate();
        w.left(chunk(ABORT, 0, &parameter(2, &[0, 0, 0, 1, 0, 7])[..10]));
    });
}

#[test]
fn final_padding() {
    for kind in [ERROR, ABORT] {
        broken(&rules::FINAL_PADDING, |w| w.left(chunk(kind, 0, &parameter(13, b"what?"))));
    }
}

#[test]
fn heartbeat_info() {
    broken(&rules::HEARTBEAT_INFO, |w| w.left(chunk(HEARTBEAT, 0, &parameter(2, &[5; 8]))));
    broken(&rules::HEARTBEAT_INFO, |w| w.left(chunk(HEARTBEAT, 0, &parameter(1, &[5; 4]))));
    broken(&rules::HEARTBEAT_INFO, |w| {
        w.left(chunk(HEARTBEAT, 0, &parameter(1, &[5; 8]).repeat(2)))
    });
}

#[test]
fn mtu() {
    let sized = |bytes: usize| chunk(PAD, 0, &vec![0; bytes - 20 - 12 - 4]);
    broken(&rules::MTU, |w| w.left(sized(1504)));
    kept(|w| {
        w.associate();
        w.left(sized(1500));
    });
}

#[test]
fn oversize_alone() {
    let fragmented = |w: &mut super::Wire, chunks: &[Vec<u8>]| {
        w.associate();
        let packet = sctp(LEFT_PORT, RIGHT_PORT, RIGHT_TAG, &chunks.concat());
        for (from, to) in [(0, 800), (800, packet.len())] {
            let fragment = Fragment { offset: from as u16, more: to < packet.len(), allowed: true };
            w.put_ip(ipv4(LEFT, RIGHT, 132, fragment, &packet[from..to]));
        }
    };
    let (first, second) =
        (data(LEFT_TSN, 0, 0, WHOLE, &[1; 900]), data(LEFT_TSN + 1, 0, 1, WHOLE, &[2; 900]));
    broken(&rules::OVERSIZE_ALONE, |w| fragmented(w, &[first.clone(), second]));
    kept(|w| fragmented(w, &[chunk(PAD, 0, &[0; 900]), first]));
}

#[test]
fn fixed_parts_of_init() {
    let odd = |tag, window, streams| init_with(INIT, tag, window, streams, LEFT_TSN, &[]);
    broken(&rules::INITIATE_TAG, |w| w.left_tagged(0, odd(0, 9000, (1, 1))));
    broken(&rules::INIT_WINDOW, |w| w.left_tagged(0, odd(1, 1499, (1, 1))));
    broken(&rules::INIT_STREAMS, |w| w.left_tagged(0, odd(1, 9000, (0, 1))));
    broken(&rules::INIT_STREAMS, |w| w.left_tagged(0, odd(1, 9000, (1, 0))));
    kept(|w| w.left_tagged(0, odd(1, 1500, (1, 1))));
}

#[test]
fn zero_tag() {
    broken(&rules::ZERO_TAG, |w| w.left_tagged(5, init(INIT, LEFT_TAG, LEFT_TSN, &[])));
    broken(&rules::ZERO_TAG, |w| w.left_tagged(0, chunk(ABORT, 0, b"")));
}

#[test]
fn one_cookie() {
    broken(&rules::ONE_COOKIE, |w| w.init(&cookie()));
    broken(&rules::ONE_COOKIE, |w| w.right(init(INIT_ACK, RIGHT_TAG, RIGHT_TSN, &[])));
    broken(&rules::ONE_COOKIE, |w| {
        w.right(init(INIT_ACK, RIGHT_TAG, RIGHT_TSN, &cookie().repeat(2)))
    });
}

#[test]
fn listed_addresses() {
    for bad in [[127, 0, 0, 1], [224, 0, 0, 1], [0, 0, 0, 0], [255, 255, 255, 255], [0, 1, 2, 3]] {
        broken(&rules::LISTED_ADDRESSES, |w| w.init(&listed(&[bad.into()])));
    }
    let mapped = LEFT.to_ipv6_mapped().octets();
    broken(&rules::LISTED_ADDRESSES, |w| w.init(&parameter(6, &mapped)));
    broken(&rules::LISTED_ADDRESSES, |w| w.init(&listed(&[LEFT, LEFT])));
    broken(&rules::LISTED_ADDRESSES, |w| w.init(&parameter(11, b"example")));
    kept(|w| w.init(&listed(&[LEFT, RIGHT])));
    kept(|w| {
        let loopback = [127, 0, 0, 1].into();
        let packet =
            sctp(LEFT_PORT, RIGHT_PORT, 0, &init(INIT, LEFT_TAG, LEFT_TSN, &listed(&[loopback])));
        w.put(loopback, loopback, packet);
    });
}
