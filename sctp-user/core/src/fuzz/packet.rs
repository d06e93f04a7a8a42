//! Fuzzes the reader and the writer of packets: whatever can be read from any bytes can be written,
//! and reads the same again.

use bytes::Bytes;

use crate::serial::Tsn;
use crate::tlv::Tlvs;
use crate::wire::{
    CauseWriter, Causes, Chunk, InitChunk, InitFixed, Packet, PacketWriter, Param, ParamWriter,
    heartbeat_info,
};

/// Largest input. It leaves room for headers in one chunk.
const LARGEST: usize = 60_000;

pub(super) fn run(data: &[u8]) {
    if data.len() > LARGEST {
        return;
    }
    let _ = Packet::check(Bytes::copy_from_slice(data));
    let Ok(packet) = Packet::check(sealed(data)) else { return };
    let (mut copied, mut rewritten) = (Values::new(), Values::new());
    let mut chunks = 0;
    for raw in packet.chunks() {
        chunks += 1;
        assert_eq!(raw.value.len() + 4, raw.whole.len());
        copied.push((raw.kind, raw.flags, raw.value.to_vec()));
        if let Ok(chunk) = raw.decode(&packet) {
            look_into(&chunk);
            rewritten.push((raw.kind, raw.flags, value_of(&packet, &chunk, raw.value)));
        }
    }
    // A copy made chunk by chunk is the same packet, except for padding and whatever follows the
    // last whole chunk.
    let again = write(&packet, &copied);
    assert_eq!(again.chunks().count(), chunks);
    for (one, other) in packet.chunks().zip(again.chunks()) {
        assert_eq!((one.kind, one.flags, one.value), (other.kind, other.flags, other.value));
        assert_eq!(one.decode(&packet), other.decode(&again));
    }
    // Chunks written anew from what was read are read the same.
    if rewritten.is_empty() {
        return;
    }
    let again = write(&packet, &rewritten);
    let read = packet.chunks().filter_map(|raw| raw.decode(&packet).ok());
    for (one, raw) in read.zip(again.chunks()) {
        let other = raw.decode(&again).expect("what was read can be read again");
        assert_eq!(summary(&one), summary(&other));
    }
}

/// Type, flags and value of chunks.
type Values = Vec<(u8, u8, Vec<u8>)>;

fn write(like: &Packet, chunks: &Values) -> Packet {
    let mut out = Vec::new();
    let mut writer =
        PacketWriter::new(&mut out, 2 * LARGEST, like.src_port(), like.dst_port(), like.vtag());
    for (kind, flags, value) in chunks {
        writer.raw_chunk(*kind, *flags, value);
    }
    writer.finish();
    Packet::check(out.into()).expect("our own packet")
}

/// The bytes as a packet with a correct checksum.
pub(super) fn sealed(data: &[u8]) -> Bytes {
    let mut bytes = data.to_vec();
    if let Some(field) = bytes.get_mut(8..12) {
        field.fill(0);
        let crc = crc32c::crc32c(&bytes);
        bytes[8..12].copy_from_slice(&crc.to_le_bytes());
    }
    bytes.into()
}

/// Reads everything that a chunk holds.
fn look_into(chunk: &Chunk<'_>) {
    match chunk {
        Chunk::Init(init) | Chunk::InitAck(init) => {
            for param in init.params.iter() {
                match param {
                    Param::SupportedAddressTypes(types) => {
                        let has = |family| types.iter().any(|t| t == family);
                        assert_eq!((types.ipv4(), types.ipv6()), (has(5), has(6)));
                    }
                    Param::Unknown { whole, .. } | Param::Malformed { whole, .. } => {
                        assert!(whole.len() >= 4)
                    }
                    _ => {}
                }
            }
        }
        Chunk::Abort { causes, .. } | Chunk::Error { causes } => {
            for cause in causes.iter() {
                assert!(cause.info().len() <= causes.as_bytes().len());
            }
        }
        Chunk::Heartbeat(tlvs) | Chunk::HeartbeatAck(tlvs) => {
            assert!(heartbeat_info(tlvs).is_none_or(|info| info.len() + 4 <= tlvs.len()));
        }
        Chunk::Sack(sack) => {
            assert_eq!(sack.gaps().rev().count(), sack.gap_count());
        }
        _ => {}
    }
}

/// The value of a chunk after writing it anew from what was read.
fn value_of(packet: &Packet, chunk: &Chunk<'_>, raw: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut w = PacketWriter::new(
        &mut out,
        2 * LARGEST,
        packet.src_port(),
        packet.dst_port(),
        packet.vtag(),
    );
    match chunk {
        Chunk::Data(d) => w.user_data(d.tsn, d.stream, d.id, d.ppid, d.flags, &d.payload),
        Chunk::Sack(s) => {
            let dups: Vec<Tsn> = s.dups().collect();
            w.sack(s.cum_tsn, s.a_rwnd, s.gaps(), &dups);
        }
        Chunk::Init(init) => w.init(false, &fixed(init), |p| copy_params(init, p)),
        Chunk::InitAck(init) => w.init(true, &fixed(init), |p| copy_params(init, p)),
        Chunk::Abort { reflected, causes } => w.abort(*reflected, |c| copy_causes(*causes, c)),
        Chunk::Error { causes } => w.error(|c| copy_causes(*causes, c)),
        Chunk::HeartbeatAck(tlvs) => w.heartbeat_ack(tlvs),
        Chunk::Shutdown { cum_tsn } => w.shutdown(*cum_tsn),
        Chunk::CookieEcho(cookie) => w.cookie_echo(cookie),
        _ => return raw.to_vec(),
    }
    w.finish();
    let again = Packet::check(out.into()).expect("our own packet");
    let value = again.chunks().next().expect("the chunk just written").value;
    value.to_vec()
}

fn fixed(init: &InitChunk<'_>) -> InitFixed {
    InitFixed {
        initiate_tag: init.initiate_tag,
        a_rwnd: init.a_rwnd,
        outbound_streams: init.outbound_streams,
        inbound_streams: init.inbound_streams,
        initial_tsn: init.initial_tsn,
    }
}

fn copy_params(init: &InitChunk<'_>, p: &mut ParamWriter<'_>) {
    for tlv in Tlvs::new(init.params.as_bytes()) {
        p.raw(tlv.kind, tlv.value);
    }
}

fn copy_causes(causes: Causes<'_>, c: &mut CauseWriter<'_>) {
    for cause in causes.iter() {
        c.raw(cause.code(), cause.info());
    }
}

/// What a chunk says, without the parts that readers ignore.
fn summary(chunk: &Chunk<'_>) -> String {
    match chunk {
        Chunk::Init(init) | Chunk::InitAck(init) => {
            format!("{:?} {:?}", fixed(init), init.params.iter().collect::<Vec<_>>())
        }
        Chunk::Abort { reflected, causes } => {
            format!(
                "{reflected} {:?}",
                causes.iter().map(|c| (c.code(), c.info().to_vec())).collect::<Vec<_>>()
            )
        }
        Chunk::Error { causes } => {
            format!(
                "{:?}",
                causes.iter().map(|c| (c.code(), c.info().to_vec())).collect::<Vec<_>>()
            )
        }
        other => format!("{other:?}"),
    }
}
