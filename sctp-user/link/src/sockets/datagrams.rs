//! Turning received buffers into datagrams.

use std::net::IpAddr;

use bytes::BytesMut;
use quinn_udp::{EcnCodepoint, RecvMeta};
use sctp_user_core::interface::{from_socket_addr, interface, on_interface};
use sctp_user_core::{Ecn, Encap, PathAddr};

use super::Carrier;
#[cfg(feature = "raw")]
use super::{ipv4, os};
use crate::RecvDatagram;

/// Copies received buffers into one allocation and splits it into datagrams. When they are small in
/// all, the allocation is the one of `pool`, which they share with later datagrams.
pub(super) fn append<'a>(
    carrier: Carrier,
    bound: IpAddr,
    received: impl Iterator<Item = (&'a [u8], &'a RecvMeta)> + Clone,
    pool: &mut BytesMut,
    datagrams: &mut Vec<RecvDatagram>,
) {
    let useful = received.filter_map(|(buffer, meta)| {
        let bytes = buffer.get(..meta.len).unwrap_or(buffer);
        let bytes = match carrier {
            #[cfg(feature = "raw")]
            Carrier::Ip if meta.addr.is_ipv4() => ipv4::payload(bytes, os::IPV4_LENGTHS)?,
            #[cfg(not(feature = "raw"))]
            Carrier::Ip => return None,
            _ => bytes,
        };
        Some((bytes, path(carrier, bound, meta)?, meta))
    });
    let len: usize = useful.clone().map(|(bytes, ..)| bytes.len()).sum();
    let mut large = BytesMut::new();
    let target = if len <= SMALL { pool } else { &mut large };
    if target.capacity() < len {
        // This reuses the old allocation if nobody holds a part of it any more.
        target.reserve(if len <= SMALL { POOL } else { len });
    }
    for (bytes, ..) in useful.clone() {
        target.extend_from_slice(bytes);
    }
    let mut all = target.split().freeze();
    for (bytes, from, meta) in useful {
        let mut buffer = all.split_to(bytes.len());
        let ecn = meta.ecn.map(from_codepoint);
        while !buffer.is_empty() {
            // A stride of 0 would make this loop endless.
            let stride =
                if meta.stride == 0 { buffer.len() } else { meta.stride.min(buffer.len()) };
            datagrams.push(RecvDatagram { from, ecn, bytes: buffer.split_to(stride) });
        }
    }
}

/// The path on which a datagram came; `None` if SCTP cannot answer it.
fn path(carrier: Carrier, bound: IpAddr, meta: &RecvMeta) -> Option<PathAddr> {
    if has_interface(meta.addr.ip()) {
        return None;
    }
    let remote = from_socket_addr(meta.addr);
    let arrived_by = match interface(remote) {
        0 => meta.interface_index.unwrap_or(0),
        index => index,
    };
    let told = meta.dst_ip.map(|local| on_interface(local, arrived_by));
    let local = told.or((!bound.is_unspecified()).then_some(bound));
    let group = match local {
        Some(IpAddr::V4(v4)) => v4.is_multicast() || v4.is_broadcast(),
        Some(IpAddr::V6(v6)) => v6.is_multicast(),
        None => false,
    };
    let encap = match (carrier, meta.addr.port()) {
        (Carrier::Udp, 0) => return None,
        (Carrier::Udp, remote_port) => Encap::Udp { remote_port },
        (Carrier::Ip, _) => Encap::Native,
    };
    (!group).then_some(PathAddr { local, remote, encap })
}

/// Whether the bytes in which the stack stores the interface are not zero in a received source
/// address. No host has such an address (RFC 4291 sec 2.5.6).
fn has_interface(source: IpAddr) -> bool {
    interface(source) != 0
}

fn from_codepoint(codepoint: EcnCodepoint) -> Ecn {
    match codepoint {
        EcnCodepoint::Ect0 => Ecn::Ect0,
        EcnCodepoint::Ect1 => Ecn::Ect1,
        EcnCodepoint::Ce => Ecn::Ce,
    }
}

/// The code point to send for `ecn`.
pub(super) fn to_codepoint(ecn: Ecn) -> EcnCodepoint {
    match ecn {
        Ecn::Ect0 => EcnCodepoint::Ect0,
        Ecn::Ect1 => EcnCodepoint::Ect1,
        Ecn::Ce => EcnCodepoint::Ce,
    }
}

/// Up to this many bytes, a batch of datagrams shares an allocation with the next ones.
const SMALL: usize = 2048;
/// The size of that allocation, in bytes. A user who keeps one of its datagrams keeps all of it in
/// memory.
const POOL: usize = 8192;

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(addr: &str, len: usize, stride: usize) -> RecvMeta {
        let mut meta = RecvMeta::default();
        meta.addr = addr.parse().unwrap();
        meta.len = len;
        meta.stride = stride;
        meta.dst_ip = Some("127.0.0.1".parse().unwrap());
        meta
    }

    fn split(received: &[(&[u8], RecvMeta)]) -> Vec<RecvDatagram> {
        let mut datagrams = Vec::new();
        append(
            Carrier::Udp,
            "0.0.0.0".parse().unwrap(),
            received.iter().map(|(bytes, meta)| (*bytes, meta)),
            &mut BytesMut::new(),
            &mut datagrams,
        );
        datagrams
    }

    #[test]
    fn joined_datagrams_with_a_short_last_one() {
        let got = split(&[
            (b"aaabbbcc????", meta("127.0.0.1:7", 8, 3)),
            (b"d???", meta("127.0.0.2:8", 1, 1)),
        ]);
        let bytes: Vec<&[u8]> = got.iter().map(|d| &d.bytes[..]).collect();
        assert_eq!(bytes, [b"aaa".as_slice(), b"bbb", b"cc", b"d"]);
        assert_eq!(got[3].from.remote, "127.0.0.2".parse::<IpAddr>().unwrap());
        assert_eq!(got[3].from.encap, Encap::Udp { remote_port: 8 });
    }

    #[test]
    fn one_allocation_for_the_batch() {
        let got =
            split(&[(b"aaabbb", meta("127.0.0.1:7", 6, 3)), (b"cc", meta("127.0.0.1:7", 2, 2))]);
        let start = got[0].bytes.as_ptr() as usize;
        assert_eq!(got[1].bytes.as_ptr() as usize, start + 3);
        assert_eq!(got[2].bytes.as_ptr() as usize, start + 6);
    }

    #[test]
    fn useless_datagrams_are_dropped() {
        assert_eq!(split(&[(b"", meta("127.0.0.1:7", 0, 0))]), []);
        assert_eq!(split(&[(b"x", meta("127.0.0.1:0", 1, 1))]), []);
        let mut multicast = meta("127.0.0.1:7", 1, 1);
        multicast.dst_ip = Some("224.0.0.1".parse().unwrap());
        assert_eq!(split(&[(b"x", multicast)]), []);
    }

    #[test]
    fn odd_lengths_from_the_system_do_not_panic() {
        assert_eq!(split(&[(b"abc", meta("127.0.0.1:7", 9, 0))])[0].bytes, b"abc"[..]);
        assert_eq!(split(&[(b"abc", meta("127.0.0.1:7", 2, 9))])[0].bytes, b"ab"[..]);
    }

    #[test]
    fn raw_packets_lose_their_ipv4_header_and_nothing_else() {
        let mut header = [0; 20];
        header[0] = 0x45;
        header[3] = 24;
        header[9] = 132;
        let good = [&header[..], b"sctp, and whatever was in the buffer"].concat();
        let (v4, v6) = (meta("127.0.0.2:0", 24, 24), meta("[::1]:0", 4, 4));
        let mut bad = good.clone();
        bad[0] = 0x4f;
        let mut got = Vec::new();
        let received = [(&good[..], &v4), (&bad[..], &v4), (&b"v6.."[..], &v6), (&good[..], &v4)];
        append(
            Carrier::Ip,
            "0.0.0.0".parse().unwrap(),
            received.into_iter(),
            &mut BytesMut::new(),
            &mut got,
        );
        let bytes: Vec<&[u8]> = got.iter().map(|d| &d.bytes[..]).collect();
        assert_eq!(bytes, [b"sctp".as_slice(), b"v6..", b"sctp"]);
        assert!(got.iter().all(|d| d.from.encap == Encap::Native));
        assert_eq!(got[0].from.remote, "127.0.0.2".parse::<IpAddr>().unwrap());
    }
}
