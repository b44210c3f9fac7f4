//! Tests that batches are read as they were written, in place.

use proptest::prelude::*;

use super::super::{
    BATCH_HEADER_BYTES, BatchHeader, Compression, RecordBatch, TimestampType, batches, peek_total_bytes,
    stamp, verify_crc,
};
use super::{Owned, encode, few_small_records, records};

proptest! {
    #[test]
    fn records_come_back_with_their_offsets(
        records in records(), base_offset in 0_i64..=i64::MAX - 100, leader_epoch: i32,
    ) {
        let mut batch = encode(&records);
        stamp(&mut batch.bytes, base_offset, leader_epoch);
        let read = RecordBatch::parse(&batch.bytes).unwrap();
        read.verify_crc().unwrap();

        let header = read.header();
        prop_assert_eq!(header.base_offset, base_offset);
        prop_assert_eq!(header.partition_leader_epoch, leader_epoch);
        prop_assert_eq!(header.record_count as usize, records.len());
        prop_assert_eq!(header.record_count, batch.count);
        prop_assert_eq!(header.total_bytes(), batch.bytes.len());
        prop_assert_eq!(header.max_timestamp_ms, records.iter().map(|r| r.timestamp_ms).max().unwrap());
        prop_assert_eq!(header.max_timestamp_ms, batch.max_timestamp_ms);
        prop_assert_eq!((header.producer_id, header.producer_epoch, header.base_sequence), (-1, -1, -1));
        prop_assert!(header.is_dense() && !header.is_control() && !header.is_transactional());

        let mut next_offset = base_offset;
        let mut read_records = Vec::new();
        for record in read.records() {
            let record = record.unwrap();
            prop_assert_eq!(record.offset, next_offset);
            next_offset += 1;
            read_records.push(Owned::of(record));
        }
        prop_assert_eq!(next_offset, header.next_offset());
        prop_assert_eq!(read_records, records);
    }

    #[test]
    fn what_is_read_lies_in_the_callers_slice(records in records()) {
        let bytes = encode(&records).bytes;
        let range = bytes.as_ptr_range();
        let inside = |part: &[u8]| range.contains(&part.as_ptr()) || part.is_empty();
        for record in RecordBatch::parse(&bytes).unwrap().records() {
            let record = record.unwrap();
            prop_assert!(record.key.is_none_or(inside) && record.value.is_none_or(inside));
            for header in record.headers {
                let header = header.unwrap();
                prop_assert!(inside(header.key.as_bytes()) && header.value.is_none_or(inside));
            }
        }
    }

    #[test]
    fn batches_stop_cleanly_at_a_partial_tail(
        all in prop::collection::vec(few_small_records(), 0..4), cut: prop::sample::Index,
    ) {
        let encoded: Vec<_> = all.iter().map(|records| encode(records).bytes).collect();
        let whole = encoded.concat();
        let end = cut.index(whole.len() + 1);
        let mut walk = batches(&whole[..end]);
        let mut position = 0;
        for expected in &encoded {
            if position + expected.len() > end {
                break;
            }
            prop_assert_eq!(peek_total_bytes(&whole[position..]), Ok(expected.len()));
            prop_assert_eq!(walk.next().unwrap().unwrap().bytes(), &expected[..]);
            position += expected.len();
        }
        prop_assert!(walk.next().is_none());
        prop_assert_eq!(walk.rest(), &whole[position..end]);
    }

    #[test]
    fn header_fields_come_back(
        base_offset in 0_i64..i64::MAX - 10, bits in 0_i16..128, leader_epoch: i32, crc: u32,
        times: [i64; 2], producer: (i64, i16, i32),
    ) {
        prop_assume!(bits & 7 < 5);
        let mut bytes = encode(&[Owned { timestamp_ms: 0, key: None, value: None, headers: Vec::new() }]).bytes;
        bytes[21..23].copy_from_slice(&bits.to_be_bytes());
        let attributes = BatchHeader::parse(&bytes).unwrap().attributes;
        let header = BatchHeader {
            base_offset, batch_length: 56, partition_leader_epoch: leader_epoch, crc, attributes,
            last_offset_delta: 9, base_timestamp_ms: times[0], max_timestamp_ms: times[1],
            producer_id: producer.0, producer_epoch: producer.1, base_sequence: producer.2, record_count: 1,
        };
        let written = header.to_bytes();
        prop_assert_eq!(&written[21..23], &bits.to_be_bytes()[..]);
        prop_assert_eq!(BatchHeader::parse(&written), Ok(header));
        prop_assert_eq!(header.last_offset(), base_offset + 9);
        prop_assert!(!header.is_dense());
    }
}

#[test]
fn stamping_leaves_the_crc_true() {
    let mut bytes =
        encode(&[Owned { timestamp_ms: 5, key: None, value: Some(vec![7; 100]), headers: Vec::new() }]).bytes;
    let before = bytes.clone();
    stamp(&mut bytes, 0x0102_0304_0506_0708, 0x1112_1314);
    assert_eq!(bytes[0..8], [1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(bytes[12..16], [0x11, 0x12, 0x13, 0x14]);
    assert_eq!((&bytes[8..12], &bytes[16..]), (&before[8..12], &before[16..]), "nothing else is touched");
    assert_eq!(verify_crc(&bytes), Ok(()));
    assert_eq!(verify_crc(&[&bytes[..], b"and what follows"].concat()), Ok(()));
}

#[test]
#[should_panic(expected = "which are no batch")]
fn stamping_less_than_a_header_is_our_bug() {
    stamp(&mut [0; BATCH_HEADER_BYTES - 1], 0, 0);
}

#[test]
fn log_append_time_is_every_records_timestamp() {
    let record = |timestamp_ms| Owned { timestamp_ms, key: None, value: None, headers: Vec::new() };
    let mut bytes = encode(&[record(10), record(30), record(20)]).bytes;
    bytes[22] |= 1 << 3;
    let batch = RecordBatch::parse(&bytes).unwrap();
    assert_eq!(batch.header().timestamp_type(), TimestampType::LogAppend);
    let timestamps: Vec<_> = batch.records().map(|record| record.unwrap().timestamp_ms).collect();
    assert_eq!(timestamps, [30, 30, 30]);
}

#[test]
fn a_batch_that_compaction_emptied_is_a_batch() {
    let header = BatchHeader {
        batch_length: 49,
        last_offset_delta: 5,
        record_count: 0,
        ..BatchHeader::parse(
            &encode(&[Owned { timestamp_ms: 0, key: None, value: None, headers: Vec::new() }]).bytes,
        )
        .unwrap()
    };
    let bytes = header.to_bytes();
    let batch = RecordBatch::parse(&bytes).unwrap();
    assert_eq!((batch.header().next_offset(), batch.header().compression()), (6, Compression::None));
    assert!(batch.records().next().is_none());
}
