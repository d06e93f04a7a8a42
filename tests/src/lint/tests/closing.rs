//! Rules about the end of associations.

use std::net::Ipv6Addr;

use super::super::packet::{ABORT, HEARTBEAT, SHUTDOWN, SHUTDOWN_ACK, SHUTDOWN_COMPLETE};
use super::super::rules;
use super::wire::{
    LEFT_PORT, LEFT_TSN, RIGHT_PORT, RIGHT_TAG, RIGHT_TSN, WHOLE, WINDOW, chunk, data, parameter,
    sack, sctp,
};
use super::{Wire, broken, kept};

fn shutdown() -> Vec<u8> {
    chunk(SHUTDOWN, 0, &(RIGHT_TSN - 1).to_be_bytes())
}

fn bare(kind: u8) -> Vec<u8> {
    chunk(kind, 0, b"")
}

#[test]
fn a_graceful_end() {
    kept(|w| {
        w.associate();
        w.left(data(LEFT_TSN, 0, 0, WHOLE, b"x"));
        w.right(sack(LEFT_TSN, WINDOW, &[], &[]));
        w.left(shutdown());
        w.right(bare(SHUTDOWN_ACK));
        w.left(bare(SHUTDOWN_COMPLETE));
    });
}

#[test]
fn no_data_after_shutdown() {
    broken(&rules::NO_DATA_AFTER_SHUTDOWN, |w| {
        w.associate();
        w.left(shutdown());
        w.left(data(LEFT_TSN, 0, 0, WHOLE, b"x"));
    });
    // The other end may still have data to send.
    kept(|w| {
        w.associate();
        w.left(shutdown());
        w.right(data(RIGHT_TSN, 0, 0, WHOLE, b"x"));
        w.left(chunk(SHUTDOWN, 0, &RIGHT_TSN.to_be_bytes()));
        w.right(bare(SHUTDOWN_ACK));
    });
    broken(&rules::NO_DATA_AFTER_SHUTDOWN, |w| {
        w.associate();
        w.left(shutdown());
        w.right(bare(SHUTDOWN_ACK));
        w.right(data(RIGHT_TSN, 0, 0, WHOLE, b"x"));
    });
}

#[test]
fn no_heartbeat_after_shutdown() {
    let beat = chunk(HEARTBEAT, 0, &parameter(1, &[5; 8]));
    broken(&rules::NO_HEARTBEAT_AFTER_SHUTDOWN, |w| {
        w.associate();
        w.left(shutdown());
        w.left(&beat);
    });
    kept(|w| {
        w.associate();
        w.left(&beat);
        w.left(shutdown());
        w.right(&beat);
    });
}

/// Packets from the sockets of two IP versions may overtake each other.
#[test]
fn versions_of_ip_overtake_each_other() {
    let beat = sctp(LEFT_PORT, RIGHT_PORT, RIGHT_TAG, &chunk(HEARTBEAT, 0, &parameter(1, &[5; 8])));
    let mut wire = Wire::default();
    wire.associate();
    wire.left(shutdown());
    let mut v6 = vec![0x60, 0, 0, 0];
    v6.extend((beat.len() as u16).to_be_bytes());
    v6.extend([132, 64]);
    let addrs = [1, 2].map(|number| Ipv6Addr::new(0xfd01, 0, 0, 0, 0, 0, 0, number));
    wire.near.insert(addrs[0].into());
    v6.extend(addrs.map(|addr| addr.octets()).concat());
    v6.extend(beat);
    wire.put_ip(v6);
    let findings = wire.findings();
    let late = |rule| findings.iter().any(|finding| finding.rule == rule);
    assert!(!late(&rules::NO_HEARTBEAT_AFTER_SHUTDOWN), "{findings:?}");
    assert!(late(&rules::PEER_ADDRESS), "the packet is seen: {findings:?}");
}

#[test]
fn shutdown_ack_answers() {
    broken(&rules::SHUTDOWN_ACK_ANSWERS, |w| {
        w.associate();
        w.right(bare(SHUTDOWN_ACK));
    });
}

#[test]
fn shutdown_complete_answers() {
    broken(&rules::SHUTDOWN_COMPLETE_ANSWERS, |w| {
        w.associate();
        w.left(shutdown());
        w.left(bare(SHUTDOWN_COMPLETE));
    });
    broken(&rules::SHUTDOWN_COMPLETE_ANSWERS, |w| {
        w.associate();
        w.right(data(RIGHT_TSN, 0, 0, WHOLE, b"x"));
        w.left_tagged(super::wire::LEFT_TAG, chunk(SHUTDOWN_COMPLETE, 1, b""));
    });
}

#[test]
fn silent_after_abort() {
    broken(&rules::SILENT_AFTER_ABORT, |w| {
        w.associate();
        w.left(bare(ABORT));
        w.left(data(LEFT_TSN, 0, 0, WHOLE, b"x"));
    });
    // Packets from the other end were still in flight, and are answered with the tag in them.
    kept(|w| {
        w.associate();
        w.left(bare(ABORT));
        w.right(data(RIGHT_TSN, 0, 0, WHOLE, b"x"));
        w.left_tagged(super::wire::LEFT_TAG, chunk(ABORT, 1, b""));
    });
}

#[test]
fn silent_after_complete() {
    let end = |w: &mut Wire| {
        w.associate();
        w.left(shutdown());
        w.right(bare(SHUTDOWN_ACK));
        w.left(bare(SHUTDOWN_COMPLETE));
    };
    broken(&rules::SILENT_AFTER_COMPLETE, |w| {
        end(w);
        w.left(chunk(HEARTBEAT, 0, &parameter(1, &[5; 8])));
    });
    kept(end);
}
