//! The cost of encoding, decoding and checking batches of 64 KiB, for each record.
#![allow(missing_docs, reason = "criterion's macros make undocumented items")]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use vnotch_engine::record::{BatchBuilder, EncodedBatch, RecordBatch, RecordRef, verify_crc};

const BATCH_BYTES: usize = 64 * 1024;
const VALUE_BYTES: [usize; 2] = [100, 1024];

/// Fills a batch as a producer does: checks before each record whether it still fits.
fn fill(builder: &mut BatchBuilder, value: &[u8], spare: Vec<u8>) -> EncodedBatch {
    let mut timestamp_ms = 1_700_000_000_000;
    loop {
        let record = RecordRef { timestamp_ms, value: Some(value), ..RecordRef::default() };
        if builder.would_exceed(&record, BATCH_BYTES) {
            return builder.finish_with(spare);
        }
        builder.push(&record).expect("a batch of 64 KiB fits the format");
        timestamp_ms += i64::from(builder.count().is_multiple_of(16));
    }
}

fn encode(c: &mut Criterion) {
    let mut group = c.benchmark_group("batch_encode");
    for value_bytes in VALUE_BYTES {
        let value = vec![0x5A; value_bytes];
        let mut builder = BatchBuilder::with_capacity(BATCH_BYTES);
        let mut spare = fill(&mut builder, &value, Vec::with_capacity(BATCH_BYTES));
        group.throughput(Throughput::Elements(u64::from(spare.count)));
        group.bench_function(BenchmarkId::from_parameter(value_bytes), |bencher| {
            bencher.iter(|| {
                let buffer = std::mem::take(&mut spare.bytes);
                spare = fill(&mut builder, black_box(&value), buffer);
            });
        });
    }
    group.finish();
}

fn decode(c: &mut Criterion) {
    let mut group = c.benchmark_group("batch_decode");
    for value_bytes in VALUE_BYTES {
        let batch = fill(&mut BatchBuilder::new(), &vec![0x5A; value_bytes], Vec::new());
        group.throughput(Throughput::Elements(u64::from(batch.count)));
        group.bench_function(BenchmarkId::from_parameter(value_bytes), |bencher| {
            bencher.iter(|| {
                let read = RecordBatch::parse(black_box(&batch.bytes)).expect("it was just built");
                for record in read.records() {
                    black_box(record.expect("it was just built").value);
                }
            });
        });
    }
    group.finish();
}

fn crc(c: &mut Criterion) {
    let batch = fill(&mut BatchBuilder::new(), &[0x5A; 100], Vec::new());
    let mut group = c.benchmark_group("batch_crc");
    group.throughput(Throughput::Bytes(batch.bytes.len() as u64));
    group.bench_function("64KiB", |bencher| bencher.iter(|| verify_crc(black_box(&batch.bytes))));
    group.finish();
}

criterion_group!(benches, encode, decode, crc);
criterion_main!(benches);
