//! tshark as a referee: what an independent dissector says about captured SCTP.

use std::path::Path;
use std::process::Command;

use crate::gate;

/// Any UDP port may carry SCTP: right where nothing else was captured.
pub const EVERY_UDP_PORT: &str = "1-65535";

/// The packets of a capture that `filter` shows, a line for each. `udp_ports` are those of SCTP
/// over UDP: one, or a range with a hyphen. ICMP messages quote only the head of a packet and are
/// left out.
///
/// # Panics
/// When tshark fails.
pub fn list(file: &Path, udp_ports: &[&str], filter: &str) -> Vec<String> {
    let filter = format!("({filter}) && !icmp && !icmpv6");
    run(file, udp_ports, &["-Y", &filter])
}

/// Everything that is wrong with the SCTP packets of a capture, a sentence for each: a CRC32c that
/// was not found right, malformed packets, and errors by the dissectors' experts.
///
/// # Panics
/// When tshark fails.
pub fn faults(file: &Path, udp_ports: &[&str]) -> Vec<String> {
    let fields = [
        "frame.number",
        "sctp.checksum.status",
        "_ws.expert.severity",
        "_ws.expert.message",
        "_ws.malformed",
    ];
    // What is not SCTP is not looked at, but for packets in which something is broken. Multicast
    // carries announces directly in UDP.
    let filter = "(sctp || _ws.malformed) && !icmp && !icmpv6 && !(ip.dst == 224.0.0.0/4) && \
        !(ipv6.dst == ff00::/8)";
    let mut args = vec!["-Y", filter, "-T", "fields", "-E", "separator=|", "-E", "aggregator=;"];
    args.extend(fields.iter().flat_map(|field| ["-e", field]));
    run(file, udp_ports, &args).iter().filter_map(|line| fault(line)).collect()
}

/// Judges the fields of one packet.
fn fault(line: &str) -> Option<String> {
    let mut fields = line.splitn(5, '|');
    let (number, checksum) = (fields.next()?, fields.next()?);
    let (severity, message, malformed) = (fields.next()?, fields.next()?, fields.next()?);
    let bad = |what: &str| Some(format!("packet {number}: {what}"));
    if !malformed.is_empty() {
        return bad(&format!("malformed: {message}"));
    }
    // One for each packet and one for each packet that an error chunk quotes; the first is the one
    // that counts.
    if checksum.split(';').next() != Some(GOOD) {
        return bad(&format!("its CRC32c is not right (status '{checksum}'): {message}"));
    }
    if severity.split(';').any(|severity| severity == EXPERT_ERROR) {
        return bad(&format!("an error: {message}"));
    }
    None
}

fn run(file: &Path, udp_ports: &[&str], args: &[&str]) -> Vec<String> {
    let mut tshark = Command::new(gate::find("tshark").unwrap_or_else(|| "tshark".into()));
    tshark.arg("-r").arg(file).args(["-o", "sctp.checksum:CRC 32c"]);
    // It takes messages of any bytes for a radio protocol that it knows.
    tshark.args(["--disable-heuristic", "nbap_sctp"]);
    for port in udp_ports {
        tshark.args(["-d", &format!("udp.port=={port},sctp")]);
    }
    let output =
        tshark.args(args).output().unwrap_or_else(|error| panic!("tshark cannot be run: {error}"));
    assert!(output.status.success(), "tshark: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

/// `sctp.checksum.status` of a packet whose checksum is right.
const GOOD: &str = "1";
/// `_ws.expert.severity` of errors.
const EXPERT_ERROR: &str = "8388608";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_told_from_good_packets() {
        assert_eq!(fault("1|1|||"), None);
        assert_eq!(fault("2|1|2097152|This chunk had been acked before|"), None);
        assert!(fault("3|0|8388608|Bad SCTP checksum|").unwrap().contains("CRC32c"));
        assert!(
            fault("4||||").unwrap().contains("CRC32c"),
            "a checksum that nobody looked at is not right"
        );
        assert!(
            fault("5|1|8388608|Chunk too long|")
                .unwrap()
                .contains("packet 5: an error: Chunk too long")
        );
        assert!(
            fault("6|||Malformed Packet|[Malformed Packet: SCTP]").unwrap().contains("malformed")
        );
    }
}
