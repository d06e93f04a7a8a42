use super::*;
use crate::serial::Ssn;

fn chunk(tsn: u32, stream: u16, ssn: u16, bits: &str, data: &[u8]) -> DataChunk {
    DataChunk {
        tsn: Tsn(tsn),
        stream,
        id: MessageId::Ssn(Ssn(ssn)),
        ppid: 9,
        flags: DataFlags {
            begin: bits.contains('B'),
            end: bits.contains('E'),
            unordered: bits.contains('U'),
            immediate: false,
        },
        payload: Bytes::copy_from_slice(data),
    }
}

fn insert(r: &mut Reassembly, c: DataChunk) {
    r.insert(c, PathId(0)).unwrap();
}

fn read(r: &mut Reassembly) -> Vec<(u16, u16, Vec<u8>, bool)> {
    std::iter::from_fn(|| r.pop())
        .map(|m| (m.stream, m.id.ssn().0, m.data.to_vec(), m.end_of_record))
        .collect()
}

#[test]
fn whole_messages_in_order() {
    let mut r = Reassembly::new(Tsn(u32::MAX));
    insert(&mut r, chunk(u32::MAX, 0, 0, "BE", b"a"));
    insert(&mut r, chunk(0, 1, 0, "BE", b"b"));
    insert(&mut r, chunk(1, 0, 1, "BE", b"c"));
    assert_eq!(read(&mut r).len(), 3);
    assert_eq!(r.held(), 0);
    assert!(r.slots.is_empty());
}

#[test]
fn fragments_in_any_order() {
    for order in [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2], [2, 0, 3, 1]] {
        let mut r = Reassembly::new(Tsn(10));
        let bits = ["B", "", "", "E"];
        for i in order {
            insert(&mut r, chunk(10 + i, 5, 0, bits[i as usize], &[i as u8]));
        }
        assert_eq!(read(&mut r), [(5, 0, vec![0, 1, 2, 3], true)], "{order:?}");
        assert_eq!(r.held(), 0);
        assert!(r.slots.is_empty());
    }
}

#[test]
fn order_within_a_stream_and_none_across() {
    let mut r = Reassembly::new(Tsn(1));
    insert(&mut r, chunk(2, 0, 1, "BE", b"second"));
    insert(&mut r, chunk(4, 0, 2, "BE", b"third"));
    insert(&mut r, chunk(3, 1, 0, "BE", b"other"));
    insert(&mut r, chunk(5, 0, 77, "BEU", b"unordered"));
    let got: Vec<_> = read(&mut r).into_iter().map(|m| m.2).collect();
    assert_eq!(got, [b"other".to_vec(), b"unordered".to_vec()]);
    insert(&mut r, chunk(1, 0, 0, "BE", b"first"));
    let got: Vec<_> = read(&mut r).into_iter().map(|m| m.2).collect();
    assert_eq!(got, [b"first".to_vec(), b"second".to_vec(), b"third".to_vec()]);
    assert_eq!(r.held(), 0);
}

/// A peer that uses a number twice loses a message, and the message takes no memory.
#[test]
fn a_number_used_twice_leaves_no_memory_in_use() {
    let mut r = Reassembly::new(Tsn(1));
    insert(&mut r, chunk(2, 3, 1, "BE", b"one"));
    insert(&mut r, chunk(3, 3, 1, "BE", b"another one"));
    insert(&mut r, chunk(1, 3, 0, "BE", b"zero"));
    let read = read(&mut r);
    assert_eq!((read.len(), &read[0].2[..]), (2, &b"zero"[..]));
    assert_eq!(r.held(), 0);
    assert!(r.streams[&3].early.is_empty());
}

/// A slice keeps in memory the whole batch that it came in.
#[test]
fn a_backlog_keeps_only_few_received_batches_in_memory() {
    let batch = Bytes::from(vec![7; 100_000]);
    let within = |data: &Bytes| batch.as_ptr_range().contains(&data.as_ptr());
    let count = BACKLOG as u32 + 10;
    let mut r = Reassembly::new(Tsn(1));
    for n in 0..count {
        insert(
            &mut r,
            DataChunk { payload: batch.slice(..1000), ..chunk(1 + n, 0, n as u16, "BE", b"") },
        );
    }
    let pinned = std::iter::from_fn(|| r.pop()).filter(|m| within(&m.data)).count();
    assert_eq!(pinned, BACKLOG);
    for n in 0..count {
        let bits = if n == 0 { "B" } else { "" };
        insert(
            &mut r,
            DataChunk { payload: batch.slice(..1000), ..chunk(101 + n, 0, 0, bits, b"") },
        );
    }
    let held =
        r.slots.iter().filter(|slot| matches!(slot, Slot::Held(f) if within(&f.payload))).count();
    assert!((1..=BACKLOG).contains(&held), "{held}");
    // A message that waits for its order has memory of its own.
    insert(&mut r, DataChunk { payload: batch.slice(..1000), ..chunk(300, 1, 5, "BE", b"") });
    assert!(!within(&r.streams[&1].early[&5].data));
}

#[test]
fn ssn_wraps() {
    let mut r = Reassembly::new(Tsn(0));
    for i in 0..65_540u32 {
        insert(&mut r, chunk(i, 0, i as u16, "BE", b"x"));
        assert_eq!(read(&mut r).len(), 1);
    }
}

#[test]
fn inconsistent_fragments_are_found_in_any_order() {
    let cases: [(&str, u16, &str, u16); 6] = [
        ("B", 0, "BE", 0),
        ("B", 0, "E", 1),
        ("B", 0, "EU", 0),
        ("BE", 0, "E", 0),
        ("B", 0, "B", 0),
        ("BE", 0, "", 0),
    ];
    for (first, s1, second, s2) in cases {
        let (a, b) = (chunk(11, s1, 0, first, b"a"), chunk(12, s2, 0, second, b"b"));
        let mut r = Reassembly::new(Tsn(10));
        insert(&mut r, a.clone());
        assert!(r.insert(b.clone(), PathId(0)).is_err(), "{first} {second}");
        let mut r = Reassembly::new(Tsn(10));
        insert(&mut r, b);
        assert!(r.insert(a, PathId(0)).is_err(), "{second} before {first}");
    }
    let mut r = Reassembly::new(Tsn(10));
    insert(&mut r, chunk(10, 0, 0, "BE", b"a"));
    assert!(r.insert(chunk(11, 0, 1, "E", b"b"), PathId(0)).is_err());
}

#[test]
fn partial_delivery_blocks_others_and_ends() {
    let mut r = Reassembly::new(Tsn(1));
    insert(&mut r, chunk(1, 0, 0, "B", b"ab"));
    insert(&mut r, chunk(2, 0, 0, "", b"cd"));
    assert!(r.deliver_partially());
    insert(&mut r, chunk(4, 1, 0, "BE", b"other"));
    assert_eq!(read(&mut r), [(0, 0, b"abcd".to_vec(), false)]);
    insert(&mut r, chunk(3, 0, 0, "E", b"ef"));
    assert_eq!(read(&mut r), [(0, 0, b"ef".to_vec(), true), (1, 0, b"other".to_vec(), true)]);
    insert(&mut r, chunk(5, 0, 1, "BE", b"next"));
    assert_eq!(read(&mut r), [(0, 1, b"next".to_vec(), true)]);
    assert_eq!(r.held(), 0);
}

#[test]
fn the_length_of_the_run_at_the_front_counts_user_bytes() {
    let lens = [100, 1, 7, 3, 2];
    for order in [[0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [2, 4, 0, 3, 1]] {
        let mut r = Reassembly::new(Tsn(1));
        for i in order {
            let bits = if i == 0 { "B" } else { "" };
            insert(&mut r, chunk(1 + i as u32, 0, 0, bits, &[0; 100][..lens[i]]));
        }
        assert_eq!(r.front_run_len(), 113, "{order:?}");
        assert_eq!(r.evict_highest(Tsn(1)), Some(Tsn(5)));
        assert_eq!(r.front_run_len(), 111, "{order:?}");
    }
    let mut r = Reassembly::new(Tsn(1));
    insert(&mut r, chunk(1, 0, 0, "B", b"ab"));
    insert(&mut r, chunk(3, 0, 0, "", b"efgh"));
    assert_eq!(r.front_run_len(), 2, "bytes after a gap do not count");
}

#[test]
fn partial_delivery_waits_for_the_order_of_the_stream() {
    let mut r = Reassembly::new(Tsn(1));
    insert(&mut r, chunk(1, 0, 1, "B", b"ab"));
    assert!(!r.deliver_partially());
    let mut r = Reassembly::new(Tsn(1));
    insert(&mut r, chunk(2, 0, 0, "B", b"ab"));
    assert!(!r.deliver_partially(), "TSN 1 is missing");
}

#[test]
fn eviction_takes_the_highest_fragment_and_shortens_its_run() {
    let mut r = Reassembly::new(Tsn(1));
    for tsn in 3..=6 {
        insert(&mut r, chunk(tsn, 0, 0, if tsn == 3 { "B" } else { "" }, b"0123"));
    }
    assert_eq!(r.held(), 4 * MIN_CHARGE);
    assert_eq!(r.evict_highest(Tsn(1)), Some(Tsn(6)));
    assert_eq!(r.evict_highest(Tsn(5)), None);
    assert_eq!(r.held(), 3 * MIN_CHARGE);
    insert(&mut r, chunk(6, 0, 0, "E", b"4567"));
    insert(&mut r, chunk(1, 1, 0, "BE", b"x"));
    insert(&mut r, chunk(2, 1, 1, "BE", b"y"));
    assert_eq!(read(&mut r)[0].2.len(), 16);
    assert_eq!(r.held(), 0);
}
