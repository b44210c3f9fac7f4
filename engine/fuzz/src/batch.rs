//! Decodes record batches, as they come from files and from other writers.
//!
//! Input: one byte that selects the repair ([`Repair::from_bits`]), then batches.

use super::fixture;
use super::repair::{self, Repair};
use vnotch_engine::record::{
    BatchBuilder, BatchHeader, Compression, HeaderRef, Record, RecordBatch, RecordRef, TimestampType,
    batches, stamp, verify_crc,
};

/// Decodes everything in the input.
///
/// # Panics
/// Decoding panics, offsets are out of order, a stamp changes more than it should, or records that are encoded again
/// decode differently.
pub fn check(input: &[u8]) {
    let Some((flags, bytes)) = input.split_first() else { return };
    let mut bytes = bytes.to_vec();
    repair::batches(&mut bytes, 1000, Repair::from_bits(*flags));
    let mut decoded = batches(&bytes);
    let mut taken = 0;
    for batch in decoded.by_ref().map_while(Result::ok) {
        taken += batch.bytes().len();
        check_batch(&batch);
    }
    assert!(taken + decoded.rest().len() <= bytes.len(), "the rest is part of the input");
}

fn check_batch(batch: &RecordBatch<'_>) {
    let header = batch.header();
    assert_eq!(header.total_bytes(), batch.bytes().len());
    assert!(header.base_offset <= header.last_offset() && header.last_offset() < header.next_offset());
    check_stamp(batch);
    let mut records = Vec::new();
    let mut next_offset = header.base_offset;
    for record in batch.records() {
        let Ok(record) = record else { return };
        assert!(
            (next_offset..=header.last_offset()).contains(&record.offset),
            "offsets increase up to the last"
        );
        next_offset = record.offset + 1;
        if record.headers.clone().any(|header| header.is_err()) {
            return;
        }
        records.push(record);
    }
    assert_eq!(records.len(), usize::try_from(header.record_count).expect("a u32 fits"), "all or an error");
    let is_plain =
        header.compression() == Compression::None && header.timestamp_type() == TimestampType::Create;
    if is_plain && header.is_dense() && !records.is_empty() {
        check_encoding(header.base_offset, &records);
    }
}

/// Asserts that a stamp sets offset and epoch, and changes nothing that the checksum covers.
fn check_stamp(batch: &RecordBatch<'_>) {
    let mut stamped = batch.bytes().to_vec();
    stamp(&mut stamped, 77, 5);
    match BatchHeader::parse(&stamped) {
        Ok(header) => {
            assert_eq!((header.base_offset, header.partition_leader_epoch), (77, 5));
            assert_eq!(header.crc, batch.header().crc);
            assert_eq!(verify_crc(&stamped).is_ok(), batch.verify_crc().is_ok());
        }
        Err(error) => panic!("a batch that was stamped with a small offset does not parse: {error}"),
    }
}

/// Asserts that records that are encoded again decode to the same records.
fn check_encoding(base_offset: i64, records: &[Record<'_>]) {
    let mut builder = BatchBuilder::new();
    for record in records {
        let headers = record.headers.clone().map(|header| header.expect("it was decoded before"));
        let headers: Vec<HeaderRef<'_>> = headers.collect();
        let again = RecordRef {
            timestamp_ms: record.timestamp_ms,
            key: record.key,
            value: record.value,
            headers: &headers,
        };
        builder.push(&again).expect("it is no larger than it was");
    }
    let mut encoded = builder.finish().bytes;
    stamp(&mut encoded, base_offset, 0);
    let batch = RecordBatch::parse(&encoded).expect("the builder makes valid batches");
    batch.verify_crc().expect("the builder makes valid checksums");
    let parts = |record: &Record<'_>| {
        let headers = record.headers.clone().map(|header| {
            let header = header.expect("it was decoded before");
            (header.key.to_owned(), header.value.map(<[u8]>::to_vec))
        });
        (
            record.offset,
            record.timestamp_ms,
            record.key.map(<[u8]>::to_vec),
            record.value.map(<[u8]>::to_vec),
            headers.collect::<Vec<_>>(),
        )
    };
    let again = batch.records().map(|record| record.expect("the builder makes valid records"));
    assert!(again.map(|record| parts(&record)).eq(records.iter().map(parts)), "the records are the same");
}

/// Returns the documented batch, one whose records have no values, two in a row, and one that no repair changes.
pub fn seeds() -> Vec<Vec<u8>> {
    let documented = fixture::documented_bytes("## RecordBatch v2");
    let pair = [fixture::batch(1000, 2, 5, 1), fixture::batch(1002, 1, 300, 1)].concat();
    let with = |flags: u8, bytes: &[u8]| [&[flags], bytes].concat();
    vec![with(2, &documented), with(0, &documented), with(1, &pair), with(2, &fixture::batch(1000, 1, 0, -1))]
}
