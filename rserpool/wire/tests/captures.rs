//! Decodes every ASAP and ENRP message in our captures of RSPLIB 3.4.4 and 3.5.10. Encoding the
//! result gives the same bytes, or this file says why not.
//!
//! Each file in `fixtures/` holds the distinct messages of one capture, one per line: `A` or `E`
//! (ASAP or ENRP) and the bytes in hex. A message that occurs in several captures is only in the
//! first file.

use std::fs;
use std::path::Path;

use rserpool_wire::{AsapMessage, EnrpMessage, Problem};

/// Messages that are not encoded as the same bytes, and why. None of them came from RSPLIB: the
/// captures also contain what test peers sent.
const EXCEPTIONS: &[(&str, Expected, &str)] = &[
    (
        "0600004c00090008736b697080990008616263640008000800000001000a0028000007010000007700015f90\
         0004001013880001000100080a01000b00080008000000018099000861626364",
        Expected::Encodes(
            "0600003c00090008736b69700008000800000001000a0028000007010000007700015f90\
             0004001013880001000100080a01000b0008000800000001",
        ),
        "a test peer put in parameters of the unknown type 0x8099, which are to be skipped",
    ),
    (
        "4100000800000001",
        Expected::Fails(Problem::UnknownMessage(0x41)),
        "a test peer sent an unknown message type",
    ),
];

#[derive(Debug, PartialEq)]
enum Expected {
    /// It can be decoded, but is encoded as these bytes.
    Encodes(&'static str),
    /// It cannot be decoded.
    Fails(Problem),
}

#[test]
fn every_captured_message_survives_a_round_trip() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let mut files: Vec<_> = fs::read_dir(&dir).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    let (mut count, mut exceptions, mut wrong) = (0, 0, Vec::new());
    for file in files.iter().filter(|f| f.extension().is_some_and(|e| e == "hex")) {
        for (number, line) in fs::read_to_string(file).unwrap().lines().enumerate() {
            let (kind, hex) = line.split_once(' ').unwrap();
            let bytes = unhex(hex);
            count += 1;
            let again = match kind {
                "A" => AsapMessage::decode(&bytes).map(|m| m.encode().unwrap()),
                "E" => EnrpMessage::decode(&bytes).map(|m| m.encode().unwrap()),
                other => panic!("{}: unknown kind {other}", file.display()),
            };
            let expected = EXCEPTIONS.iter().find(|e| e.0 == hex).map(|e| &e.1);
            exceptions += usize::from(expected.is_some());
            let fine = match (&again, expected) {
                (Ok(again), None) => **again == *bytes,
                (Ok(again), Some(Expected::Encodes(hex))) => **again == *unhex(hex),
                (Err(e), Some(Expected::Fails(problem))) => e.problem == *problem,
                _ => false,
            };
            if !fine {
                let name = file.file_name().unwrap().to_string_lossy();
                let again = again.map(|b| b.iter().map(|b| format!("{b:02x}")).collect::<String>());
                wrong.push(format!("{name}:{}\n  {line}\n  {again:?}", number + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {count} are wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(count > 1500, "only {count} messages found");
    assert_eq!(exceptions, EXCEPTIONS.len(), "an exception is not in any capture");
}

fn unhex(hex: &str) -> Vec<u8> {
    assert!(hex.is_ascii() && hex.len().is_multiple_of(2), "{hex}");
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
}
