//! Tests of the builder: the sizes that it reports, and the reuse of its buffer.

use proptest::prelude::*;

use super::super::{
    BATCH_BYTES_MAX, BATCH_HEADER_BYTES, BatchBuilder, BatchHeader, ProducerFields, RecordRef, RecordTooLarge,
};
use super::records;

fn value_of(value: &[u8]) -> RecordRef<'_> {
    RecordRef { timestamp_ms: 7, value: Some(value), ..RecordRef::default() }
}

proptest! {
    #[test]
    fn sizes_are_known_beforehand(records in records()) {
        let mut builder = BatchBuilder::new();
        let mut max_timestamp_ms = None;
        for (count, record) in (1..).zip(&records) {
            record.lend(|record| {
                let foretold = builder.encoded_bytes_with(record);
                prop_assert!(builder.would_exceed(record, foretold - 1) && !builder.would_exceed(record, foretold));
                builder.push(record).unwrap();
                prop_assert_eq!(builder.len_bytes(), foretold);
                Ok(())
            })?;
            max_timestamp_ms = max_timestamp_ms.max(Some(record.timestamp_ms));
            prop_assert_eq!((builder.count(), builder.max_timestamp_ms()), (count, max_timestamp_ms));
        }
        let length = builder.len_bytes();
        prop_assert_eq!(builder.finish().bytes.len(), length);
    }

    #[test]
    fn a_used_builder_is_as_good_as_a_new_one(before in records(), records in records()) {
        let mut used = BatchBuilder::with_capacity(1 << 16);
        let push_all = |builder: &mut BatchBuilder, records: &[super::Owned]| {
            for record in records {
                record.lend(|record| builder.push(record)).unwrap();
            }
        };
        push_all(&mut used, &before);
        let first = used.finish_with(vec![0xEE; 500]);
        prop_assert_eq!(&first, &super::encode(&before));
        push_all(&mut used, &before);
        used.reset();
        prop_assert!(used.is_empty());
        prop_assert_eq!((used.len_bytes(), used.max_timestamp_ms()), (BATCH_HEADER_BYTES, None));
        push_all(&mut used, &records);
        prop_assert_eq!(used.finish(), super::encode(&records));
    }
}

#[test]
fn a_buffer_that_comes_back_is_used_again() {
    let mut builder = BatchBuilder::with_capacity(4096);
    let mut spare = Vec::with_capacity(8192);
    let mut places = Vec::new();
    for _ in 0..4 {
        builder.push(&value_of(&[1; 1000])).unwrap();
        let batch = builder.finish_with(spare);
        places.push((batch.bytes.as_ptr(), batch.bytes.capacity()));
        spare = batch.bytes;
    }
    assert_eq!((places[0], places[1]), (places[2], places[3]), "two buffers take turns");
    assert_ne!(places[0], places[1]);
}

#[test]
fn producer_fields_stay_until_set_again() {
    let mut builder = BatchBuilder::new();
    let fields = ProducerFields { id: 77, epoch: 3, base_sequence: 12 };
    builder.set_producer(fields);
    for _ in 0..2 {
        builder.push(&value_of(b"v")).unwrap();
        let header = BatchHeader::parse(&builder.finish().bytes).unwrap();
        assert_eq!((header.producer_id, header.producer_epoch, header.base_sequence), (77, 3, 12));
        assert_eq!((header.base_offset, header.partition_leader_epoch), (0, -1));
    }
}

#[test]
fn what_does_not_fit_the_format_is_refused_and_changes_nothing() {
    let huge = vec![0; BATCH_BYTES_MAX]; // zeroed pages that nobody touches
    let mut builder = BatchBuilder::new();
    builder.push(&value_of(b"before")).unwrap();
    let length = builder.len_bytes();
    let Err(RecordTooLarge { batch_bytes }) = builder.push(&value_of(&huge)) else {
        panic!("2 GiB were taken")
    };
    assert!(batch_bytes > BATCH_BYTES_MAX);
    assert!(builder.would_exceed(&value_of(&huge), BATCH_BYTES_MAX));
    assert_eq!((builder.len_bytes(), builder.count()), (length, 1));
}

#[test]
#[should_panic(expected = "without records")]
fn finishing_nothing_is_our_bug() {
    BatchBuilder::new().finish();
}
