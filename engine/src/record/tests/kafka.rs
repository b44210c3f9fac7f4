//! Tests against the kafka-protocol crate, in both directions.

use bytes::{Bytes, BytesMut};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records as kafka;
use proptest::prelude::*;

use super::super::{BatchError, Compression, RecordBatch, batches, stamp};
use super::{Owned, encode, records};

const CODECS: [(kafka::Compression, Compression); 5] = [
    (kafka::Compression::None, Compression::None),
    (kafka::Compression::Gzip, Compression::Gzip),
    (kafka::Compression::Snappy, Compression::Snappy),
    (kafka::Compression::Lz4, Compression::Lz4),
    (kafka::Compression::Zstd, Compression::Zstd),
];

/// Records that both crates can encode. The other crate adds deltas without wrapping, and keeps headers in a map.
fn common_records() -> impl Strategy<Value = Vec<Owned>> {
    records().prop_map(|mut records| {
        for record in &mut records {
            record.timestamp_ms = record.timestamp_ms.clamp(-1, 1 << 50);
            let mut seen = std::collections::HashSet::new();
            record.headers.retain(|(key, _)| seen.insert(key.clone()));
        }
        records
    })
}

fn to_kafka(records: &[Owned], base_offset: i64) -> Vec<kafka::Record> {
    let header = |(key, value): &(String, Option<Vec<u8>>)| {
        (StrBytes::from_string(key.clone()), value.clone().map(Bytes::from))
    };
    let record = |(place, record): (i32, &Owned)| kafka::Record {
        transactional: false,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: 9,
        producer_id: 4000,
        producer_epoch: 2,
        timestamp_type: kafka::TimestampType::Creation,
        offset: base_offset + i64::from(place),
        sequence: 50 + place,
        timestamp: record.timestamp_ms,
        key: record.key.clone().map(Bytes::from),
        value: record.value.clone().map(Bytes::from),
        headers: record.headers.iter().map(header).collect(),
    };
    (0..).zip(records).map(record).collect()
}

fn of_kafka(record: &kafka::Record) -> Owned {
    let header =
        |(key, value): (&StrBytes, &Option<Bytes>)| (key.to_string(), value.as_deref().map(<[u8]>::to_vec));
    Owned {
        timestamp_ms: record.timestamp,
        key: record.key.as_deref().map(<[u8]>::to_vec),
        value: record.value.as_deref().map(<[u8]>::to_vec),
        headers: record.headers.iter().map(header).collect(),
    }
}

fn encode_kafka(records: &[Owned], base_offset: i64, compression: kafka::Compression) -> BytesMut {
    let mut bytes = BytesMut::new();
    let options = kafka::RecordEncodeOptions { version: 2, compression };
    kafka::RecordBatchEncoder::encode(&mut bytes, &to_kafka(records, base_offset), &options).unwrap();
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_other_crate_reads_what_this_one_writes(records in common_records(), base_offset in 0_i64..1 << 60) {
        let mut batch = encode(&records).bytes;
        stamp(&mut batch, base_offset, 9);
        let read = kafka::RecordBatchDecoder::decode(&mut Bytes::from(batch)).unwrap();
        prop_assert_eq!(read.compression, kafka::Compression::None);
        prop_assert_eq!(read.records.iter().map(of_kafka).collect::<Vec<_>>(), records);
        for (place, record) in (0..).zip(&read.records) {
            prop_assert_eq!(record.offset, base_offset + place);
            prop_assert_eq!(record.partition_leader_epoch, 9);
            prop_assert_eq!((record.producer_id, record.producer_epoch), (-1, -1));
        }
    }

    #[test]
    fn this_crate_reads_what_the_other_one_writes(records in common_records(), base_offset in 0_i64..1 << 60) {
        let bytes = encode_kafka(&records, base_offset, kafka::Compression::None);
        let batch = RecordBatch::parse(&bytes).unwrap();
        batch.verify_crc().unwrap();
        let header = batch.header();
        prop_assert_eq!((header.base_offset, header.partition_leader_epoch), (base_offset, 9));
        prop_assert_eq!((header.producer_id, header.producer_epoch, header.base_sequence), (4000, 2, 50));
        prop_assert!(header.is_dense());
        let read: Vec<_> = batch.records().map(|record| Owned::of(record.unwrap())).collect();
        prop_assert_eq!(read, records);
    }

    #[test]
    fn compressed_batches_pass_through_verbatim(records in common_records(), base_offset in 0_i64..1 << 60) {
        let mut fetched = BytesMut::new();
        for (codec, _) in CODECS {
            let mut batch = encode_kafka(&records, 0, codec);
            stamp(&mut batch, base_offset, 9);
            fetched.extend_from_slice(&batch);
        }
        let walked: Vec<_> = batches(&fetched).map(Result::unwrap).collect();
        prop_assert_eq!(walked.len(), CODECS.len());
        for (batch, (kafka_codec, codec)) in walked.iter().zip(CODECS) {
            batch.verify_crc().unwrap();
            let header = batch.header();
            prop_assert_eq!(header.compression(), codec);
            prop_assert_eq!(header.record_count as usize, records.len());
            prop_assert_eq!(header.max_timestamp_ms, records.iter().map(|r| r.timestamp_ms).max().unwrap());
            if codec != Compression::None {
                prop_assert_eq!(batch.records().next().unwrap().unwrap_err(), BatchError::Compressed(codec));
            }
            let read = kafka::RecordBatchDecoder::decode(&mut Bytes::copy_from_slice(batch.bytes())).unwrap();
            prop_assert_eq!(read.compression, kafka_codec);
            prop_assert_eq!(read.records.iter().map(of_kafka).collect::<Vec<_>>(), records.clone());
            prop_assert_eq!(read.records[0].offset, base_offset);
        }
    }
}
