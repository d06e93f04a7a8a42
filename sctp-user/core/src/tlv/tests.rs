use proptest::prelude::*;

use super::*;

#[test]
fn reads_big_endian_and_takes_nothing_when_short() {
    let mut r = Reader::new(&[1, 0, 2, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 4, 9, 8, 7]);
    assert_eq!(r.u8(), Ok(1));
    assert_eq!(r.u16(), Ok(2));
    assert_eq!(r.u32(), Ok(3));
    assert_eq!(r.u64(), Ok(4));
    assert_eq!(r.u32(), Err(Truncated));
    assert_eq!(r.bytes(4), Err(Truncated));
    assert_eq!(r.remaining(), 3);
    assert_eq!(r.array(), Ok([9]));
    let mut sub = r.sub(1).unwrap();
    assert_eq!((sub.u8(), sub.u8()), (Ok(8), Err(Truncated)));
    assert_eq!(r.rest(), [7]);
    assert!(r.is_empty());
    assert!(r.rest().is_empty());
}

#[test]
fn tlv_errors_name_what_is_wrong() {
    let error = |bytes| Reader::new(bytes).tlv().unwrap_err();
    assert_eq!(error(&[0, 1, 0]), TlvError::Truncated);
    assert_eq!(error(&[0, 1, 0, 3]), TlvError::LengthTooSmall { kind: 1, length: 3 });
    assert_eq!(
        error(&[0x80, 1, 0, 6, 0]),
        TlvError::LengthTooLarge { kind: 0x8001, length: 6, remaining: 5 }
    );
    assert_eq!(
        error(&[0x80, 1, 0, 6, 0]).to_string(),
        "length 6 of type 0x8001 reaches beyond the 5 bytes left"
    );
}

#[test]
fn a_failed_read_does_not_move_the_position() {
    let mut r = Reader::new(&[0, 1, 0, 3]);
    let first = r.tlv();
    assert_eq!(r.tlv(), first);
    assert_eq!(r.remaining(), 4);
    assert_eq!(Tlvs::new(&[0, 1, 0, 3]).count(), 0);
}

#[test]
fn last_padding_may_be_missing() {
    for bytes in
        [&b"\0\x01\0\x05a\0\0\0\0\x02\0\x05b"[..], b"\0\x01\0\x05a\xff\xff\xff\0\x02\0\x05b\0\0\0"]
    {
        let tlvs: Vec<_> = Tlvs::new(bytes).collect();
        assert_eq!(tlvs[0], Tlv { kind: 1, value: b"a", whole: b"\0\x01\0\x05a" });
        assert_eq!(tlvs[1], Tlv { kind: 2, value: b"b", whole: b"\0\x02\0\x05b" });
        assert_eq!(tlvs.len(), 2);
    }
}

#[test]
fn alignment_counts_from_the_start_of_the_writer() {
    let mut out = vec![0xee];
    let mut w = Writer::new(&mut out);
    assert!(w.is_empty());
    w.u8(1);
    w.pad4();
    w.pad4();
    assert_eq!(w.len(), 4);
    w.tlv(7, b"abcde");
    assert_eq!(w.len(), 16);
    assert_eq!(out, b"\xee\x01\0\0\0\0\x07\0\x09abcde\0\0\0");
}

#[test]
fn nested_structures_count_inner_padding() {
    let mut out = Vec::new();
    let mut w = Writer::new(&mut out);
    let outer = w.begin_tlv(1);
    w.tlv(2, b"x");
    let last = w.begin_tlv(3);
    w.u8(b'y');
    w.end_tlv_unpadded(last);
    w.end_tlv(outer);
    assert_eq!(out, b"\0\x01\0\x11\0\x02\0\x05x\0\0\0\0\x03\0\x05y\0\0\0");
}

#[test]
fn value_beyond_the_length_field_is_cut() {
    let mut out = Vec::new();
    Writer::new(&mut out).tlv(1, &[9; 70_000]);
    assert_eq!(out.len(), 65_536);
    assert_eq!(Reader::new(&out).tlv().unwrap().unwrap().value.len(), 65_531);
}

#[test]
fn two_high_bits() {
    use UnknownAction::{Skip, SkipReport, Stop, StopReport};
    for (top, action) in [(0x00, Stop), (0x40, StopReport), (0x80, Skip), (0xc0, SkipReport)] {
        for kind in top..=top + 0x3f {
            assert_eq!(UnknownAction::of_chunk(kind), action);
            assert_eq!(UnknownAction::of_param(u16::from(kind) << 8 | 0xff), action);
        }
    }
    assert!(Stop.stops() && StopReport.stops() && !Skip.stops() && !SkipReport.stops());
    assert!(!Stop.reports() && StopReport.reports() && !Skip.reports() && SkipReport.reports());
}

#[test]
fn padded_rounds_up() {
    assert_eq!([0, 1, 3, 4, 5].map(padded), [0, 4, 4, 4, 8]);
    assert_eq!(padded(usize::MAX) % 4, 0);
}

proptest! {
    #[test]
    fn any_bytes_end_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut reader = Reader::new(&bytes);
        let mut left = reader.remaining();
        while let Ok(Some(tlv)) = reader.tlv() {
            prop_assert_eq!(&tlv.whole[4..], tlv.value);
            prop_assert!(
                reader.remaining() + tlv.whole.len() <= left,
                "each step takes at least what it returns"
            );
            left = reader.remaining();
        }
        prop_assert!(Tlvs::new(&bytes).count() <= bytes.len() / 4);
    }

    #[test]
    fn what_is_written_is_read(
        tlvs in prop::collection::vec(
            (any::<u16>(), prop::collection::vec(any::<u8>(), 0..40)),
            0..10,
        ),
        before in 0_usize..5,
    ) {
        let mut out = vec![0xee; before];
        let mut writer = Writer::new(&mut out);
        for (kind, value) in &tlvs {
            writer.tlv(*kind, value);
        }
        prop_assert_eq!(writer.len() % 4, 0);
        let read: Vec<_> = Tlvs::new(&out[before..]).map(|t| (t.kind, t.value.to_vec())).collect();
        prop_assert_eq!(read, tlvs);
    }
}
