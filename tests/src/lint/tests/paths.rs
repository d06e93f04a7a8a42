//! Rules about addresses, HEARTBEATs, UDP ports and path MTUs.

use std::net::Ipv4Addr;

use super::super::packet::{
    COOKIE_ACK, COOKIE_ECHO, HEARTBEAT, HEARTBEAT_ACK, INIT, INIT_ACK, PAD, SHUTDOWN,
};
use super::super::rules;
use super::wire::{
    COOKIE, Fragment, LEFT, LEFT_2, LEFT_PORT, LEFT_TAG, LEFT_TSN, RIGHT, RIGHT_PORT, RIGHT_TAG,
    RIGHT_TSN, WHOLE, WINDOW, chunk, cookie, data, init, ipv4, listed, parameter, sack, sctp, udp,
};
use super::{Wire, broken, kept};

fn both() -> Vec<u8> {
    listed(&[LEFT, LEFT_2])
}

fn to_second(w: &mut Wire, chunks: &[u8]) {
    w.put(RIGHT, LEFT_2, sctp(RIGHT_PORT, LEFT_PORT, LEFT_TAG, chunks));
}

fn from(w: &mut Wire, src: Ipv4Addr, chunks: &[u8]) {
    w.put(src, RIGHT, sctp(LEFT_PORT, RIGHT_PORT, RIGHT_TAG, chunks));
}

#[test]
fn heartbeat_echo() {
    let exchange = |w: &mut Wire, sent: &[u8], answered: &[u8]| {
        w.associate();
        w.left(chunk(HEARTBEAT, 0, sent));
        w.right(chunk(HEARTBEAT_ACK, 0, answered));
    };
    let info = parameter(1, b"nonce and more");
    broken(&rules::HEARTBEAT_ECHO, |w| exchange(w, &info, &parameter(1, b"nonce and mare")));
    broken(&rules::HEARTBEAT_ECHO, |w| exchange(w, &info, &info[4..]));
    kept(|w| exchange(w, &info, &info));
}

#[test]
fn heartbeat_ack_to_source() {
    let info = parameter(1, &[5; 8]);
    broken(&rules::HEARTBEAT_ACK_TO_SOURCE, |w| {
        w.associate_with(&both());
        w.left(chunk(HEARTBEAT, 0, &info));
        to_second(w, &chunk(HEARTBEAT_ACK, 0, &info));
    });
    kept(|w| {
        w.associate_with(&both());
        from(w, LEFT_2, &chunk(HEARTBEAT, 0, &info));
        to_second(w, &chunk(HEARTBEAT_ACK, 0, &info));
    });
}

#[test]
fn unconfirmed() {
    let closing = chunk(SHUTDOWN, 0, &(LEFT_TSN - 1).to_be_bytes());
    for chunks in [data(RIGHT_TSN, 0, 0, WHOLE, b"x"), closing] {
        broken(&rules::UNCONFIRMED, |w| {
            w.associate_with(&both());
            to_second(w, &chunks);
        });
        kept(|w| {
            w.associate_with(&both());
            w.confirm();
            to_second(w, &chunks);
        });
    }
    broken(&rules::UNCONFIRMED, |w| {
        w.associate_with(&both());
        w.left(data(LEFT_TSN, 0, 0, WHOLE, b"x"));
        to_second(w, &sack(LEFT_TSN, WINDOW, &[], &[]));
    });
    let echoed = |w: &mut Wire, answer: &[u8]| {
        w.init(&both());
        w.init_ack();
        from(w, LEFT_2, &chunk(COOKIE_ECHO, 0, COOKIE));
        to_second(w, answer);
    };
    let beat = chunk(HEARTBEAT, 0, &parameter(1, &[5; 8]));
    broken(&rules::UNCONFIRMED, |w| echoed(w, &chunk(COOKIE_ACK, 0, b"")));
    kept(|w| echoed(w, &[chunk(COOKIE_ACK, 0, b""), beat].concat()));
}

/// The peer restarts with other tags. Addresses that were confirmed before stay confirmed.
#[test]
fn addresses_stay_proven_over_a_restart() {
    let again = |w: &mut Wire| {
        w.left_tagged(0, init(INIT, 0x4444, 900, &both()));
        let answer = init(INIT_ACK, 0x5555, 700, &cookie());
        w.put(RIGHT, LEFT, sctp(RIGHT_PORT, LEFT_PORT, 0x4444, &answer));
        w.left_tagged(0x5555, chunk(COOKIE_ECHO, 0, COOKIE));
        w.put(RIGHT, LEFT, sctp(RIGHT_PORT, LEFT_PORT, 0x4444, &chunk(COOKIE_ACK, 0, b"")));
        w.put(RIGHT, LEFT_2, sctp(RIGHT_PORT, LEFT_PORT, 0x4444, &data(700, 0, 0, WHOLE, b"x")));
    };
    kept(|w| {
        w.associate_with(&both());
        w.confirm();
        to_second(w, &data(RIGHT_TSN, 0, 0, WHOLE, b"x"));
        again(w);
    });
    broken(&rules::UNCONFIRMED, |w| {
        w.associate_with(&both());
        again(w);
    });
}

#[test]
fn own_address() {
    broken(&rules::OWN_ADDRESS, |w| {
        w.associate();
        from(w, LEFT_2, &data(LEFT_TSN, 0, 0, WHOLE, b"x"));
    });
    kept(|w| {
        w.associate_with(&both());
        from(w, LEFT_2, &data(LEFT_TSN, 0, 0, WHOLE, b"x"));
    });
}

#[test]
fn peer_address() {
    let beat = chunk(HEARTBEAT, 0, &parameter(1, &[5; 8]));
    broken(&rules::PEER_ADDRESS, |w| {
        w.associate();
        to_second(w, &beat);
    });
    kept(|w| {
        w.associate_with(&both());
        to_second(w, &beat);
    });
}

#[test]
fn udp_source_port() {
    let talk = |w: &mut Wire, ports: [Option<u16>; 2]| {
        w.associate();
        for (n, port) in ports.into_iter().enumerate() {
            let data = data(LEFT_TSN + n as u32, 0, n as u16, WHOLE, b"x");
            let packet = sctp(LEFT_PORT, RIGHT_PORT, RIGHT_TAG, &data);
            match port {
                Some(port) => {
                    w.put_ip(ipv4(LEFT, RIGHT, 17, Fragment::default(), &udp(port, 9899, &packet)));
                }
                None => w.put(LEFT, RIGHT, packet),
            }
        }
    };
    broken(&rules::UDP_SOURCE_PORT, |w| talk(w, [None, Some(4000)]));
    kept(|w| talk(w, [None, None]));
    // Behind a NAT that has forgotten its bindings, ports may change.
    kept(|w| {
        w.near.clear();
        talk(w, [None, Some(4000)]);
    });
}

#[test]
fn too_big() {
    let told = |w: &mut Wire, after: u64, chunks: &[Vec<u8>]| {
        w.associate();
        let large =
            sctp(LEFT_PORT, RIGHT_PORT, RIGHT_TAG, &data(LEFT_TSN, 0, 0, WHOLE, &[1; 1400]));
        let quoted = ipv4(LEFT, RIGHT, 132, Fragment::default(), &large);
        w.put_ip(quoted.clone());
        let mut message = vec![3, 4, 0, 0, 0, 0];
        message.extend(1300u16.to_be_bytes());
        message.extend(&quoted[..28]);
        w.put_ip(ipv4([10, 0, 0, 254].into(), LEFT, 1, Fragment::default(), &message));
        w.time += after;
        chunks.iter().for_each(|chunk| w.left(chunk));
    };
    let large = data(LEFT_TSN + 1, 0, 1, WHOLE, &[1; 1400]);
    broken(&rules::TOO_BIG, |w| told(w, 3_000_000, std::slice::from_ref(&large)));
    kept(|w| told(w, 1000, std::slice::from_ref(&large)));
    kept(|w| told(w, 3_000_000, &[data(LEFT_TSN + 1, 0, 1, WHOLE, &[1; 1200])]));
    let probe = [chunk(HEARTBEAT, 0, &parameter(1, &[5; 8])), chunk(PAD, 0, &[0; 1400])].concat();
    kept(|w| told(w, 3_000_000, &[probe]));
    // Packets that may be fragmented on the way.
    kept(|w| {
        told(w, 3_000_000, &[]);
        let fragment = Fragment { allowed: true, ..Fragment::default() };
        w.put_ip(ipv4(LEFT, RIGHT, 132, fragment, &sctp(LEFT_PORT, RIGHT_PORT, RIGHT_TAG, &large)));
    });
}
