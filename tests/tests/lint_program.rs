//! The program `sctp-lint`: its output and its exit status.

use std::path::Path;
use std::process::Command;

/// A UDP datagram over IPv4 between two ports.
fn datagram(payload: &[u8]) -> Vec<u8> {
    let length = |more: usize| ((payload.len() + more) as u16).to_be_bytes();
    let mut bytes = vec![0x45, 0];
    bytes.extend(length(28));
    bytes.extend([0, 9, 0x40, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    bytes.extend([0x9c, 0x40, 0xc3, 0x50]);
    bytes.extend(length(8));
    bytes.extend([0, 0]);
    bytes.extend(payload);
    bytes
}

/// An SCTP packet from this port with a COOKIE ACK.
fn cookie_ack(from: u16) -> Vec<u8> {
    let mut bytes = from.to_be_bytes().to_vec();
    bytes.extend([0x07, 0xd0, 0, 0, 0, 7, 0, 0, 0, 0, 11, 0, 0, 4]);
    let sum = crc32c::crc32c(&bytes);
    bytes[8..12].copy_from_slice(&sum.to_le_bytes());
    bytes
}

/// Writes a pcap file of IP packets.
fn write(file: &Path, packets: &[Vec<u8>]) {
    let mut bytes = Vec::new();
    for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_535, 101] {
        bytes.extend(word.to_le_bytes());
    }
    for packet in packets {
        for word in [0, 0, packet.len() as u32, packet.len() as u32] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend(packet);
    }
    std::fs::write(file, bytes).unwrap();
}

#[test]
fn the_exit_status_tells_what_was_found_and_whether_all_was_judged() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("some.pcap");
    let run = |packets: &[Vec<u8>]| {
        write(&file, packets);
        let mut lint = Command::new(env!("CARGO_BIN_EXE_sctp-lint"));
        let output = lint.arg(&file).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap(), String::from_utf8(said).unwrap())
    };
    let (good, bad) = (datagram(&cookie_ack(1000)), datagram(&cookie_ack(0)));
    let (split, other) = (datagram(&[cookie_ack(1000), cookie_ack(1000)].concat()), b"no SCTP");
    let (status, said) = run(&[good.clone(), split]);
    assert_eq!(status, 0, "{said}");
    assert_eq!(said, "3 packets, 0 associations, 0 DATA chunks, 0 faults\n");
    let (status, said) = run(&[good.clone(), datagram(other)]);
    assert_eq!(status, 3, "{said}");
    assert!(said.contains("0 faults; not judged: 1 UDP datagrams between ports"), "{said}");
    let (status, said) = run(&[good, bad, datagram(other)]);
    assert_eq!(status, 1, "{said}");
    assert!(said.contains("ports: ") && said.contains("1 faults; not judged: 1 "), "{said}");

    std::fs::write(&file, "no capture").unwrap();
    let mut lint = Command::new(env!("CARGO_BIN_EXE_sctp-lint"));
    assert_eq!(lint.arg(&file).output().unwrap().status.code(), Some(2));
}
