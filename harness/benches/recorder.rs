//! The cost of recording for a load thread: one ack's latencies and counts.
#![allow(missing_docs, reason = "criterion's macros make undocumented items")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use crossbeam::channel;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;
use vnotch::measure::histograms::Times;
use vnotch::measure::recorder::{Channel, Counted, Recorder};
use vnotch::result::latency::Measure;
use vnotch::time::timeline::Timeline;

fn recorder() -> Recorder {
    let hour = Duration::from_secs(3600);
    let timeline = Timeline::new(Duration::ZERO, hour, hour, Duration::from_secs(1));
    let (finished, _) = channel::unbounded();
    let (_, spare) = channel::unbounded();
    Recorder::new(Arc::new(timeline), 0, Channel { finished, spare, thread: 0 })
}

/// Records a batch whose records are timed as one, as a producer does.
fn ack(recorder: &mut Recorder, times: &Times, batch: Counted) {
    recorder.completed(times, batch.records);
    recorder.acked(black_box(batch));
    recorder.ack(times);
    recorder.latency(Measure::AckPickup, times.generator_ns, batch.records);
    recorder.distinct(Measure::AckPickup, times.generator_ns);
}

fn record(c: &mut Criterion) {
    let mut group = c.benchmark_group("recorder");
    group.throughput(Throughput::Elements(1));
    let mut recorder = recorder();
    // Latencies of 10 µs to 10 ms in no order, as a run has them.
    let mut latencies = (0..1024_u64).cycle().map(|number| 100_000 + number * 7_919 % 1024 * 10_000);
    let mut next = || latencies.next().unwrap_or_default();
    group.bench_function("one_sample", |bencher| {
        bencher.iter(|| recorder.latency(Measure::Service, black_box(next()), 1));
    });
    group.bench_function("one_ack", |bencher| {
        let batch = Counted { records: 64, bytes: 65_536, encoded_bytes: 66_000 };
        bencher.iter(|| {
            let times =
                Times { intended_ns: None, generator_ns: 0, accepted_ns: 0, ended_ns: black_box(next()) };
            ack(&mut recorder, &times, batch);
        });
    });
    group.bench_function("one_ack_of_an_open_load", |bencher| {
        let batch = Counted { records: 64, bytes: 65_536, encoded_bytes: 66_000 };
        bencher.iter(|| {
            let ended_ns = black_box(next());
            let times = Times { intended_ns: Some(0), generator_ns: 20_000, accepted_ns: 20_000, ended_ns };
            ack(&mut recorder, &times, batch);
        });
    });
    group.finish();
}

criterion_group!(benches, record);
criterion_main!(benches);
