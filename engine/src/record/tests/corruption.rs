//! Tests of bytes that were cut short, flipped or made up. They give the right kind of error, and never a panic.

use proptest::prelude::*;

use super::super::{
    BATCH_HEADER_BYTES, BatchError, BatchHeader, Compression, RecordBatch, RecordFault, batches,
    peek_total_bytes, verify_crc,
};
use super::{Owned, encode, few_small_records, records};

/// Reads everything that can be read. It only matters that this ends and does not panic.
fn read_all(bytes: &[u8]) {
    let _ = (peek_total_bytes(bytes), verify_crc(bytes));
    for batch in batches(bytes).flatten() {
        for record in batch.records().flatten() {
            record.headers.for_each(drop);
        }
    }
}

/// Returns the first error in the records of a batch, whose CRC may be wrong.
fn first_error(batch: &[u8]) -> Option<BatchError> {
    RecordBatch::parse(batch).unwrap().records().find_map(|record| match record {
        Ok(record) => record.headers.flat_map(Result::err).next(),
        Err(error) => Some(error),
    })
}

proptest! {
    #[test]
    fn every_truncation_is_caught(records in few_small_records()) {
        let bytes = encode(&records).bytes;
        for end in 0..bytes.len() {
            let cut = &bytes[..end];
            let is_short = |error| {
                matches!(error, BatchError::TooShort { available_bytes, .. } if available_bytes == end)
            };
            prop_assert!(is_short(RecordBatch::parse(cut).unwrap_err()));
            prop_assert!(is_short(verify_crc(cut).unwrap_err()));
            prop_assert!(batches(cut).next().is_none());
        }
    }

    #[test]
    fn a_truncation_that_the_length_hides_is_caught(records in few_small_records()) {
        let bytes = encode(&records).bytes;
        for end in BATCH_HEADER_BYTES..bytes.len() {
            let mut cut = bytes[..end].to_vec();
            cut[8..12].copy_from_slice(&i32::try_from(end - 12).unwrap().to_be_bytes());
            let crc_is_bad = matches!(verify_crc(&cut), Err(BatchError::BadCrc { .. }));
            prop_assert!(crc_is_bad);
            let records_are_bad = BatchHeader::parse(&cut).is_err() || first_error(&cut).is_some();
            prop_assert!(records_are_bad, "even without the CRC");
        }
    }

    #[test]
    fn every_single_bit_flip_under_the_crc_is_caught(records in few_small_records()) {
        let mut bytes = encode(&records).bytes;
        // From 17: the stored CRC itself, then all that it covers.
        for bit in 17 * 8..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            let caught = matches!(verify_crc(&bytes), Err(BatchError::BadCrc { .. }));
            prop_assert!(caught, "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        prop_assert_eq!(verify_crc(&bytes), Ok(()));
    }

    #[test]
    fn flips_of_length_and_magic_are_caught_too(records in few_small_records()) {
        let mut bytes = encode(&records).bytes;
        for bit in (8 * 8..12 * 8).chain(16 * 8..17 * 8) {
            bytes[bit / 8] ^= 1 << (bit % 8);
            let caught = BatchHeader::parse(&bytes).is_err() || verify_crc(&bytes).is_err();
            prop_assert!(caught, "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }

    #[test]
    fn garbage_never_panics(mut bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        read_all(&bytes);
        // Garbage with a right magic byte and a possible length.
        if bytes.len() >= BATCH_HEADER_BYTES {
            bytes[16] = 2;
            let batch_length = i32::try_from(bytes.len() - 12).unwrap();
            bytes[8..12].copy_from_slice(&batch_length.to_be_bytes());
            read_all(&bytes);
            bytes[22] &= !7;
            bytes[0] &= 0x7F;
            bytes[23..27].copy_from_slice(&1000_i32.to_be_bytes());
            bytes[57..61].copy_from_slice(&5_i32.to_be_bytes());
            read_all(&bytes);
        }
    }

    #[test]
    fn damaged_batches_never_panic(
        records in records(), damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = encode(&records).bytes;
        for (place, byte) in damage {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        read_all(&bytes);
    }
}

/// Returns two records, the second with a header. Every length in them fits a varint of one byte.
fn two_records() -> Vec<u8> {
    let record = |headers| Owned { timestamp_ms: 0, key: None, value: Some(b"v".to_vec()), headers };
    encode(&[record(Vec::new()), record(vec![("h".into(), Some(b"w".to_vec()))])]).bytes
}

#[test]
fn header_fields_that_no_writer_produces() {
    let patched = |at: usize, patch: &[u8]| {
        let mut bytes = two_records();
        bytes[at..at + patch.len()].copy_from_slice(patch);
        BatchHeader::parse(&bytes)
    };
    let last_offset = |offset: i64| patched(0, &offset.to_be_bytes());
    assert_eq!(patched(16, &[1]), Err(BatchError::BadMagic { magic: 1 }));
    assert_eq!(patched(8, &48_i32.to_be_bytes()), Err(BatchError::BadLength { batch_length: 48 }));
    assert_eq!(patched(8, &(-1_i32).to_be_bytes()), Err(BatchError::BadLength { batch_length: -1 }));
    assert_eq!(patched(21, &[0, 6]), Err(BatchError::BadCompression { code: 6 }));
    assert_eq!(last_offset(-1), Err(BatchError::BadOffset { base_offset: -1 }));
    assert_eq!(last_offset(i64::MAX - 1), Err(BatchError::BadOffset { base_offset: i64::MAX - 1 }));
    assert!(last_offset(i64::MAX - 2).is_ok());
    for (record_count, last_offset_delta) in
        [(-1, 1), (3, 1), (1, -1), (2, -5), (1000, 1000), (i32::MAX, i32::MAX)]
    {
        let mut bytes = two_records();
        bytes[23..27].copy_from_slice(&i32::to_be_bytes(last_offset_delta));
        bytes[57..61].copy_from_slice(&i32::to_be_bytes(record_count));
        assert_eq!(BatchHeader::parse(&bytes), Err(BatchError::BadCount { record_count, last_offset_delta }));
    }
}

#[test]
fn zeros_are_no_batch() {
    assert_eq!(batches(&[0; 4096]).next().unwrap().unwrap_err(), BatchError::BadMagic { magic: 0 });
    let mut walk = batches(&[0; 4096]);
    assert_eq!((walk.next().is_some(), walk.next().is_none(), walk.rest().len()), (true, true, 4096));
}

#[test]
fn record_faults_say_what_is_wrong() {
    // 61: length 14, attributes, timestamp delta, offset delta, key −1, value length 1, v, header count 0 …
    // 69: length 22, attributes, timestamp delta, offset delta 1, key −1, value length 1, v, header count 1, 1, h, 1, w
    let bytes = two_records();
    assert_eq!(bytes[61..], [14, 0, 0, 0, 1, 2, b'v', 0, 22, 0, 0, 2, 1, 2, b'v', 2, 2, b'h', 2, b'w']);
    let cases = [
        (61, 1, 0, RecordFault::Length),
        (61, 0, 0, RecordFault::Attributes),
        (61, 2, 0, RecordFault::TimestampDelta),
        (63, 0x80, 0, RecordFault::OffsetDelta),
        (64, 4, 0, RecordFault::OffsetDelta),
        (64, 1, 0, RecordFault::OffsetDelta),
        (65, 3, 0, RecordFault::Key),
        (66, 3, 0, RecordFault::Value),
        (66, 40, 0, RecordFault::Value),
        (66, 0, 0, RecordFault::HeaderCount),
        (68, 1, 0, RecordFault::HeaderCount),
        (69, 44, 1, RecordFault::Length),
        (72, 0, 1, RecordFault::OffsetDelta),
        (76, 0, 1, RecordFault::TrailingBytes),
        (76, 6, 1, RecordFault::HeaderCount),
        (77, 1, 1, RecordFault::HeaderKey),
        (78, 0xFF, 1, RecordFault::HeaderKey),
        (79, 3, 1, RecordFault::HeaderValue),
        (79, 6, 1, RecordFault::HeaderValue),
        (79, 0, 1, RecordFault::TrailingBytes),
    ];
    for (at, byte, index, fault) in cases {
        let mut damaged = bytes.clone();
        damaged[at] = byte;
        assert_eq!(first_error(&damaged), Some(BatchError::BadRecord { index, fault }), "byte {at} = {byte}");
    }
}

#[test]
fn bytes_after_the_last_record_are_an_error() {
    let mut bytes = two_records();
    bytes[57..61].copy_from_slice(&1_i32.to_be_bytes());
    let mut records = RecordBatch::parse(&bytes).unwrap().records();
    assert!(records.next().unwrap().is_ok());
    assert_eq!(records.next().unwrap().unwrap_err(), BatchError::TrailingBytes { bytes: 12 });
    assert!(records.next().is_none(), "after an error it ends");
}

#[test]
fn compressed_records_are_refused_by_name() {
    let mut bytes = two_records();
    bytes[22] = 3;
    let mut records = RecordBatch::parse(&bytes).unwrap().records();
    let error = records.next().unwrap().unwrap_err();
    assert_eq!(error, BatchError::Compressed(Compression::Lz4));
    assert_eq!(error.to_string(), "reading records of a lz4 batch is not supported yet");
    assert!(records.next().is_none());
}
