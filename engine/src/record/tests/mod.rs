//! Tests of the format's properties. `golden` compares with docs/format.md, `kafka` with another implementation.

mod builder;
mod corruption;
mod golden;
mod kafka;
mod round_trip;

use proptest::prelude::*;

use super::{BatchBuilder, EncodedBatch, HeaderRef, Record, RecordRef};

/// A record that owns its parts.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Owned {
    timestamp_ms: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Owned {
    /// Calls `use_it` with `self` as a [`RecordRef`]. The headers of the reference lie in a local vector.
    fn lend<T>(&self, use_it: impl FnOnce(&RecordRef<'_>) -> T) -> T {
        let headers: Vec<_> =
            self.headers.iter().map(|(key, value)| HeaderRef { key, value: value.as_deref() }).collect();
        use_it(&RecordRef {
            timestamp_ms: self.timestamp_ms,
            key: self.key.as_deref(),
            value: self.value.as_deref(),
            headers: &headers,
        })
    }

    fn of(record: Record<'_>) -> Self {
        let headers = record.headers.map(|header| {
            let header = header.unwrap();
            (header.key.to_owned(), header.value.map(<[u8]>::to_vec))
        });
        Self {
            timestamp_ms: record.timestamp_ms,
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
            headers: headers.collect(),
        }
    }
}

/// Empty and small byte strings, and ones whose length is near a limit: its varint takes one, two or three bytes.
fn blob() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => prop::collection::vec(any::<u8>(), 0..8),
        3 => prop::collection::vec(any::<u8>(), 60..70),
        1 => (8180_usize..8200).prop_map(|len| vec![0xA5; len]),
    ]
}

/// Timestamps near now, and at the ends of the range, where deltas wrap around.
fn timestamp() -> impl Strategy<Value = i64> {
    prop_oneof![8 => 1_700_000_000_000_i64..1_700_000_100_000, 1 => any::<i64>(), 1 => Just(i64::MIN), 1 => Just(i64::MAX)]
}

fn record() -> impl Strategy<Value = Owned> {
    let headers = prop::collection::vec((".{0,6}", prop::option::of(blob())), 0..4);
    (timestamp(), prop::option::of(blob()), prop::option::of(blob()), headers)
        .prop_map(|(timestamp_ms, key, value, headers)| Owned { timestamp_ms, key, value, headers })
}

fn records() -> impl Strategy<Value = Vec<Owned>> {
    prop::collection::vec(record(), 1..80)
}

/// A few records without large values, for tests that look at every bit.
fn few_small_records() -> impl Strategy<Value = Vec<Owned>> {
    prop::collection::vec(record(), 1..4).prop_filter("small", |records| {
        let bytes: usize = records
            .iter()
            .map(|record| record.lend(|record| BatchBuilder::new().encoded_bytes_with(record)))
            .sum();
        bytes < 600
    })
}

fn encode(records: &[Owned]) -> EncodedBatch {
    let mut builder = BatchBuilder::new();
    for record in records {
        record.lend(|record| builder.push(record)).unwrap();
    }
    builder.finish()
}
