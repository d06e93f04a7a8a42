//! Properties of every packet, chunk, parameter and cause.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;

use super::model::{CauseModel, ChunkModel, ParamModel, cause, chunk, param, visible};
use super::{build, reseal};
use crate::wire::{Cause, Causes, Chunk, Packet, PacketError, Param, Params, heartbeat_info};

/// Reads everything in a packet that can be read and counts the items: chunks, parameters, causes
/// and blocks.
fn read_all(packet: &Packet) -> usize {
    let mut items = 0;
    for raw in packet.chunks() {
        items += 1;
        assert_eq!(raw.value.len() + 4, raw.whole.len());
        items += match raw.decode(packet) {
            Ok(Chunk::Init(init) | Chunk::InitAck(init)) => read_params(init.params),
            Ok(Chunk::Abort { causes, .. } | Chunk::Error { causes }) => read_causes(causes),
            Ok(Chunk::Heartbeat(tlvs) | Chunk::HeartbeatAck(tlvs)) => {
                usize::from(heartbeat_info(tlvs).is_some())
            }
            Ok(Chunk::Sack(sack)) => sack.gaps().count() + sack.dups().count(),
            Ok(Chunk::Data(data)) => {
                assert_eq!(data.payload.len() + 16, raw.whole.len());
                0
            }
            Ok(_) => 0,
            Err(error) => {
                assert!(error.needed > error.length, "{error}");
                0
            }
        };
    }
    items
}

fn read_params(params: Params<'_>) -> usize {
    let of = |param| match param {
        Param::SupportedAddressTypes(types) => types.iter().count(),
        _ => 0,
    };
    params.iter().map(|param| 1 + of(param)).sum()
}

fn read_causes(causes: Causes<'_>) -> usize {
    let of = |cause: Cause<'_>| {
        assert!(cause.info().len() <= causes.as_bytes().len());
        match cause {
            Cause::MissingMandatoryParam(missing) => missing.iter().count(),
            _ => 0,
        }
    };
    causes.iter().map(|cause| 1 + of(cause)).sum()
}

/// Bytes that look like a packet: a header, then chunk headers whose types and lengths are mostly
/// valid.
fn chunk_soup() -> impl Strategy<Value = Vec<u8>> {
    let piece =
        (prop_oneof![0..16_u8, any::<u8>()], any::<u8>(), 0..12_u16, vec(any::<u8>(), 0..40))
            .prop_map(|(kind, flags, excess, value)| {
                let [l0, l1] =
                    (4 + value.len() as u16).wrapping_add(excess).wrapping_sub(2).to_be_bytes();
                let mut piece = vec![kind, flags, l0, l1];
                piece.extend(value);
                piece
            });
    vec(piece, 1..6).prop_map(|pieces| {
        let mut packet = vec![0x13, 0x88, 0x23, 0x29, 1, 2, 3, 4, 0, 0, 0, 0];
        packet.extend(pieces.concat());
        packet
    })
}

/// Sequences of structures whose lengths are mostly valid, for parameters and causes.
fn tlv_soup() -> impl Strategy<Value = Vec<u8>> {
    let kind = prop_oneof![0..20_u16, 0x8000..0x8010_u16, any::<u16>()];
    let piece = (kind, 0..12_u16, vec(any::<u8>(), 0..24)).prop_map(|(kind, excess, value)| {
        let mut piece = kind.to_be_bytes().to_vec();
        piece.extend((4 + value.len() as u16).wrapping_add(excess).wrapping_sub(2).to_be_bytes());
        piece.extend(value);
        piece
    });
    vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_bytes_are_checked_without_panic(bytes in vec(any::<u8>(), 0..200)) {
        if let Ok(packet) = Packet::check(Bytes::from(bytes.clone())) {
            read_all(&packet);
        }
        if let Ok(packet) = Packet::check(reseal(bytes)) {
            prop_assert!(read_all(&packet) <= packet.len());
        }
    }

    #[test]
    fn any_chunks_are_read_without_panic(packet in chunk_soup()) {
        match Packet::check(reseal(packet)) {
            Ok(packet) => prop_assert!(read_all(&packet) <= packet.len()),
            Err(error) => prop_assert_eq!(error, PacketError::NoChunk),
        }
    }

    #[test]
    fn any_parameters_and_causes_are_read_without_panic(
        bytes in prop_oneof![tlv_soup(), vec(any::<u8>(), 0..100)],
    ) {
        prop_assert!(read_params(Params::new(&bytes)) <= bytes.len());
        prop_assert!(read_causes(Causes::new(&bytes)) <= bytes.len());
        prop_assert!(heartbeat_info(&bytes).is_none_or(|info| info.len() + 4 <= bytes.len()));
    }

    #[test]
    fn written_chunks_are_read_back(chunks in vec(chunk(), 1..6)) {
        let packet = build(|w| chunks.iter().for_each(|chunk| chunk.write(w)));
        prop_assert_eq!(packet.len() % 4, 0);
        let read: Vec<_> = packet
            .chunks()
            .map(|raw| ChunkModel::of(raw.decode(&packet).expect("our own chunk")))
            .collect();
        let want: Vec<_> = chunks.into_iter().map(ChunkModel::visible).collect();
        prop_assert_eq!(read, want);
    }

    #[test]
    fn written_parameters_are_read_back(params in vec(param(), 0..8)) {
        let fixed = crate::wire::InitFixed {
            initiate_tag: 1,
            a_rwnd: 1500,
            outbound_streams: 1,
            inbound_streams: 1,
            initial_tsn: crate::Tsn(0),
        };
        let packet =
            build(|w| w.init(true, &fixed, |p| params.iter().for_each(|param| param.write(p))));
        let Chunk::InitAck(init) = super::only(&packet) else { panic!("not an INIT ACK") };
        let read: Vec<_> = init.params.iter().map(ParamModel::of).collect();
        prop_assert_eq!(read, visible(&params));
    }

    #[test]
    fn written_causes_are_read_back(causes in vec(cause(), 0..8), reflected in any::<bool>()) {
        let packet =
            build(|w| w.abort(reflected, |c| causes.iter().for_each(|cause| cause.write(c))));
        let Chunk::Abort { causes: read, reflected: t } = super::only(&packet) else {
            panic!("not an ABORT")
        };
        prop_assert_eq!(t, reflected);
        // Causes written again from code and information alone give the same bytes.
        let again = build(|w| {
            w.abort(reflected, |c| read.iter().for_each(|cause| c.raw(cause.code(), cause.info())))
        });
        prop_assert_eq!(again.bytes(), packet.bytes());
        let read: Vec<_> = read.iter().map(CauseModel::of).collect();
        prop_assert_eq!(read, causes);
    }

    /// A CRC of 32 bits detects every change within 32 neighbouring bits.
    #[test]
    fn the_checksum_detects_a_changed_word(
        chunks in vec(chunk(), 1..4),
        word in any::<prop::sample::Index>(),
        change in 1..=u32::MAX,
    ) {
        let packet = build(|w| chunks.iter().for_each(|chunk| chunk.write(w)));
        let mut bytes = packet.bytes().to_vec();
        let at = 4 * word.index(bytes.len() / 4);
        for (byte, change) in bytes[at..].iter_mut().zip(change.to_be_bytes()) {
            *byte ^= change;
        }
        prop_assert_eq!(Packet::check(bytes.into()).unwrap_err(), PacketError::Checksum);
    }

    /// Even wrong bytes with a correct checksum have a result.
    #[test]
    fn changed_and_sealed_packets_are_read_without_panic(
        chunks in vec(chunk(), 1..4),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let packet = build(|w| chunks.iter().for_each(|chunk| chunk.write(w)));
        let mut bytes = packet.bytes().to_vec();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        bytes.truncate(cut.index(bytes.len() * 2).max(1));
        if let Ok(packet) = Packet::check(reseal(bytes)) {
            prop_assert!(read_all(&packet) <= packet.len());
        }
    }
}
