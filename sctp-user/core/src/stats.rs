//! States and counters for the user to look at.

use core::fmt;
use core::time::Duration;
use std::net::IpAddr;

use crate::addr::PathAddr;

/// State of an association (RFC 9260 sec 4); its `Display` is the name there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum AssocState {
    Closed,
    CookieWait,
    CookieEchoed,
    Established,
    ShutdownPending,
    ShutdownSent,
    ShutdownReceived,
    ShutdownAckSent,
}

/// State of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathState {
    /// Not proven to belong to the peer yet; only probed (RFC 9260 sec 5.4).
    Unconfirmed,
    /// In use or ready to be.
    Active,
    /// RFC 7829: the path had timeouts and is used only when no path is active.
    PotentiallyFailed,
    /// Path.Max.Retrans exceeded.
    Inactive,
}

impl fmt::Display for AssocState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AssocState::Closed => "CLOSED",
            AssocState::CookieWait => "COOKIE-WAIT",
            AssocState::CookieEchoed => "COOKIE-ECHOED",
            AssocState::Established => "ESTABLISHED",
            AssocState::ShutdownPending => "SHUTDOWN-PENDING",
            AssocState::ShutdownSent => "SHUTDOWN-SENT",
            AssocState::ShutdownReceived => "SHUTDOWN-RECEIVED",
            AssocState::ShutdownAckSent => "SHUTDOWN-ACK-SENT",
        })
    }
}

impl fmt::Display for PathState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PathState::Unconfirmed => "unconfirmed",
            PathState::Active => "active",
            PathState::PotentiallyFailed => "potentially failed",
            PathState::Inactive => "inactive",
        })
    }
}

/// State of the discovery of a path's MTU (RFC 8899 sec 5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PmtudState {
    /// No probing: it is switched off, the MTU is fixed, the path is unconfirmed, or the
    /// association is not established.
    Disabled,
    /// Finding out whether packets of the size in use pass.
    Base,
    /// Trying larger ones.
    Search,
    /// The largest size that passes is in use.
    Complete,
    /// Only the smallest packets pass.
    Error,
}

/// What is known about one path (RFC 6458 SCTP_GET_PEER_ADDR_INFO).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PathStatus {
    /// Addresses and encapsulation.
    pub addr: PathAddr,
    /// State.
    pub state: PathState,
    /// True for the primary path.
    pub primary: bool,
    /// Congestion window, bytes.
    pub cwnd: u32,
    /// Slow start threshold, bytes.
    pub ssthresh: u32,
    /// Bytes in flight.
    pub flight: u32,
    /// Smoothed round-trip time, `None` before the first measurement.
    pub srtt: Option<Duration>,
    /// Retransmission timeout.
    pub rto: Duration,
    /// Largest SCTP packet, bytes.
    pub pmtu: u32,
    /// Discovery of the path MTU.
    pub pmtud: PmtudState,
    /// Consecutive errors.
    pub error_count: u32,
    /// Counters.
    pub stats: PathStats,
}

/// One line for a log: the address, the state, and what the speed of the path depends on.
impl fmt::Display for PathStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let primary = if self.primary { ", primary" } else { "" };
        write!(f, "{}: {}{primary}", self.addr, self.state)?;
        if let Some(srtt) = self.srtt {
            write!(f, ", RTT {srtt:?}")?;
        }
        write!(
            f,
            ", RTO {:?}, cwnd {}, {} bytes in flight, path MTU {}, {} errors in a row",
            self.rto, self.cwnd, self.flight, self.pmtu, self.error_count
        )
    }
}

/// Counters of a path. They begin anew when the peer restarts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PathStats {
    /// Packets sent to it.
    pub packets_sent: u64,
    /// SCTP bytes sent to it: whole packets with the common header, without UDP and IP headers.
    pub bytes_sent: u64,
    /// Packets received from it.
    pub packets_received: u64,
    /// SCTP bytes received from it.
    pub bytes_received: u64,
    /// DATA chunks sent again to it.
    pub data_chunks_retransmitted: u64,
    /// Expiries of T3-rtx.
    pub t3_expiries: u64,
    /// Heartbeats that the peer answered, without path MTU probes.
    pub heartbeats_acked: u64,
}

/// RFC 6458 SCTP_STATUS.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AssocStatus {
    /// State.
    pub state: AssocState,
    /// Receiver window of the peer, bytes.
    pub peer_rwnd: u32,
    /// Receiver window that we announce at present, bytes.
    pub local_rwnd: u32,
    /// DATA chunks sent and not yet acknowledged.
    pub unacked_chunks: u32,
    /// TSNs missing below the highest one received.
    pub missing_chunks: u32,
    /// Bytes queued or unacknowledged.
    pub send_buffered: usize,
    /// Bytes received and not yet read.
    pub recv_buffered: usize,
    /// Streams we may send on.
    pub outbound_streams: u16,
    /// Streams the peer may send on.
    pub inbound_streams: u16,
    /// Largest user data in one DATA chunk.
    pub fragmentation_point: u32,
    /// Remote address of the primary path.
    pub primary: Option<IpAddr>,
    /// SCTP port of the peer.
    pub peer_port: u16,
    /// Our SCTP port.
    pub local_port: u16,
    /// Our verification tag, which the peer puts into its packets.
    pub local_tag: u32,
    /// Verification tag of the peer.
    pub peer_tag: u32,
    /// Extensions in force.
    pub features: crate::Features,
}

/// Counters of one association since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AssocStats {
    /// Packets sent.
    pub packets_sent: u64,
    /// Packets received and accepted.
    pub packets_received: u64,
    /// DATA chunks sent, retransmissions included.
    pub data_chunks_sent: u64,
    /// DATA chunks retransmitted.
    pub data_chunks_retransmitted: u64,
    /// How many of these were fast retransmits.
    pub fast_retransmits: u64,
    /// DATA chunks received, duplicates included.
    pub data_chunks_received: u64,
    /// Duplicate DATA chunks received.
    pub duplicates_received: u64,
    /// DATA chunks dropped for lack of space.
    pub data_chunks_dropped: u64,
    /// SACK chunks sent.
    pub sacks_sent: u64,
    /// SACK chunks received.
    pub sacks_received: u64,
    /// T3-rtx expiries.
    pub t3_expiries: u64,
    /// User messages taken from the user.
    pub messages_sent: u64,
    /// User messages delivered to the user.
    pub messages_received: u64,
    /// User bytes taken from the user.
    pub bytes_sent: u64,
    /// User bytes delivered to the user.
    pub bytes_received: u64,
}

/// Counters of a stack.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StackStats {
    /// Live associations.
    pub associations: usize,
    /// Packets handed in with [`Stack::handle_datagram`](crate::Stack::handle_datagram).
    pub packets_received: u64,
    /// Packets dropped without an answer, for whatever reason.
    pub packets_dropped: u64,
    /// Packets sent.
    pub packets_sent: u64,
    /// Out-of-the-blue packets seen (RFC 9260 sec 8.4).
    pub ootb_received: u64,
    /// INIT chunks received.
    pub inits_received: u64,
    /// Replies suppressed by a rate limit.
    pub rate_limited: u64,
    /// Valid State Cookies received.
    pub cookies_accepted: u64,
    /// State Cookies with a wrong seal (MAC).
    pub cookies_forged: u64,
    /// Addresses of this host that peers on other hosts listed in INIT or INIT ACK as theirs. None
    /// of them became a path.
    pub own_addresses_left_out: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Encap;

    #[test]
    fn a_path_is_shown_in_one_line() {
        let addr = PathAddr {
            local: None,
            remote: [192, 0, 2, 1].into(),
            encap: Encap::Udp { remote_port: 9899 },
        };
        let mut path = PathStatus {
            addr,
            state: PathState::PotentiallyFailed,
            primary: true,
            cwnd: 4380,
            ssthresh: 0,
            flight: 1200,
            srtt: None,
            rto: Duration::from_secs(1),
            pmtu: 1252,
            pmtud: PmtudState::Base,
            error_count: 2,
            stats: PathStats::default(),
        };
        let rest = "RTO 1s, cwnd 4380, 1200 bytes in flight, path MTU 1252, 2 errors in a row";
        let start = "192.0.2.1/udp:9899: potentially failed, primary, ";
        assert_eq!(path.to_string(), format!("{start}{rest}"));
        path.srtt = Some(Duration::from_micros(1500));
        (path.primary, path.state) = (false, PathState::Active);
        assert_eq!(path.to_string(), format!("192.0.2.1/udp:9899: active, RTT 1.5ms, {rest}"));
    }
}
