//! tshark as a referee: what an independent dissector says about captured SCTP.

use std::path::Path;
use std::process::Command;

use crate::gate;

/// Says that SCTP may be on any UDP port. Use it where nothing else was captured.
pub const EVERY_UDP_PORT: &str = "1-65535";

/// The packets of a capture that match `filter`, one line each. `udp_ports` are those of SCTP over
/// UDP, each a port or a range with a hyphen. ICMP messages are left out, because they quote only
/// the beginning of a packet.
///
/// # Panics
/// When tshark fails.
pub fn list(file: &Path, udp_ports: &[&str], filter: &str) -> Vec<String> {
    let filter = format!("({filter}) && !icmp && !icmpv6");
    run(file, udp_ports, &["-Y", &filter])
}

/// Everything that is wrong with the SCTP packets of a capture, one sentence each: a CRC32c that
/// tshark did not find right, malformed packets, and errors that its dissectors report.
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
    // Look only at SCTP and at malformed packets. Leave out multicast, which carries announces
    // directly in UDP.
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
    // There is one status for the packet itself, which comes first, and one for each packet that an
    // error chunk quotes.
    if checksum.split(';').next() != Some(GOOD) {
        return bad(&format!("its CRC32c is not right (status '{checksum}'): {message}"));
    }
    if severity.split(';').any(|severity| severity == EXPERT_ERROR) {
        return bad(&format!("an error: {message}"));
    }
    None
}

/// The values of these fields in the packets of a capture that match `filter`. Values that a packet
/// has several of are separated by commas.
///
/// # Errors
/// When tshark fails, as it does where a capture ends within a packet because it still goes on.
pub fn fields(
    file: &Path,
    udp_ports: &[&str],
    filter: &str,
    fields: &[&str],
) -> Result<Vec<Vec<String>>, String> {
    let filter = format!("({filter}) && !icmp && !icmpv6");
    let mut args = vec!["-Y", &filter, "-T", "fields", "-E", "separator=|"];
    args.extend(fields.iter().flat_map(|field| ["-e", field]));
    let lines = try_run(file, udp_ports, &args)?;
    Ok(lines.iter().map(|line| line.split('|').map(str::to_owned).collect()).collect())
}

fn run(file: &Path, udp_ports: &[&str], args: &[&str]) -> Vec<String> {
    try_run(file, udp_ports, args).unwrap_or_else(|error| panic!("tshark: {error}"))
}

fn try_run(file: &Path, udp_ports: &[&str], args: &[&str]) -> Result<Vec<String>, String> {
    let mut tshark = Command::new(gate::find("tshark").unwrap_or_else(|| "tshark".into()));
    tshark.arg("-r").arg(file).args(["-o", "sctp.checksum:CRC 32c"]);
    // Otherwise tshark takes messages with arbitrary bytes for a radio protocol.
    tshark.args(["--disable-heuristic", "nbap_sctp"]);
    for port in udp_ports {
        tshark.args(["-d", &format!("udp.port=={port},sctp")]);
    }
    let output =
        tshark.args(args).output().unwrap_or_else(|error| panic!("tshark cannot be run: {error}"));
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
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
            "a checksum that was not checked is not right"
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
