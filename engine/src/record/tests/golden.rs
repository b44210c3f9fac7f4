//! Tests that the bytes of docs/format.md are the bytes written and read.

use super::super::{BatchBuilder, ProducerFields, RecordBatch, stamp, verify_crc};
use super::Owned;
use crate::golden::documented_bytes;

fn golden_records() -> [Owned; 3] {
    let record = |timestamp_ms, key: Option<&str>, value: Option<&str>| Owned {
        timestamp_ms,
        key: key.map(|key| key.as_bytes().to_vec()),
        value: value.map(|value| value.as_bytes().to_vec()),
        headers: Vec::new(),
    };
    let mut with_headers = record(1_700_000_000_100, None, Some("water"));
    with_headers.headers = vec![("unit".into(), Some(b"l/s".to_vec())), ("é".into(), None)];
    [
        record(1_700_000_000_000, Some("weir"), Some("42")),
        with_headers,
        record(1_699_999_999_999, Some("weir"), None),
    ]
}

#[test]
fn a_record_batch_is_the_documents() {
    let mut builder = BatchBuilder::new();
    builder.set_producer(ProducerFields { id: 4000, epoch: 2, base_sequence: 50 });
    for record in golden_records() {
        record.lend(|record| builder.push(record)).unwrap();
    }
    let mut bytes = builder.finish().bytes;
    stamp(&mut bytes, 1000, 7);
    let golden = documented_bytes("## RecordBatch v2");
    assert_eq!(bytes, golden, "written: {bytes:02x?}");

    assert_eq!(verify_crc(&golden), Ok(()));
    let batch = RecordBatch::parse(&golden).unwrap();
    let records: Vec<_> = batch.records().map(|record| Owned::of(record.unwrap())).collect();
    assert_eq!(records, golden_records());
    assert_eq!(batch.header().next_offset(), 1003);
    let second_opinion = kafka_protocol::records::RecordBatchDecoder::decode(&mut bytes::Bytes::from(golden));
    assert_eq!(second_opinion.unwrap().records.len(), 3);
}

/// The CRC's check value, from the catalogue of parametrised CRC algorithms (CRC-32/ISCSI).
#[test]
fn the_crc_is_castagnolis() {
    assert_eq!(crc_fast::crc32_iscsi(b"123456789"), 0xE306_9283);
}
