//! The append path of a log on the simulated disk: 64 KiB batches of 1 KiB records, each acked as written.
//!
//! The figure includes the cost of the disk in memory: a copy of every byte, and new memory for it. So compare it only
//! with other results of this benchmark.
#![allow(missing_docs, reason = "criterion's macros make undocumented items")]

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use futures_util::StreamExt as _;
use futures_util::future::LocalBoxFuture;
use futures_util::stream::FuturesUnordered;
use std::cell::Cell;
use std::path::PathBuf;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use vnotch_engine::buffer::Arena;
use vnotch_engine::clock::ManualClock;
use vnotch_engine::config::TopicConfig;
use vnotch_engine::disk::sim::SimDisk;
use vnotch_engine::log::{Epochs, FileLimits, JobDone, Log, LogContext, LogLimits, Origin};
use vnotch_engine::record::{BatchBuilder, RecordRef};
use vnotch_engine::types::IoMode;

const BATCH_BYTES: usize = 64 << 10;
const BATCHES: usize = 256;
const ARENA_BYTES: usize = 64 << 20;

/// A log, with the state that its owner needs to drive it.
struct Owner {
    disk: SimDisk,
    log: Rc<Log<SimDisk, ManualClock, usize>>,
    jobs: FuturesUnordered<LocalBoxFuture<'static, JobDone>>,
}

impl Owner {
    fn new(arena: &Rc<Arena>) -> Self {
        let disk = SimDisk::new(1);
        let limits = LogLimits {
            io: IoMode::Direct,
            write_bytes_max: 1 << 20,
            write_depth: 8,
            boot_id: 1,
            fetch_pinned_bytes: 0,
            cache_bytes: Cell::new(ARENA_BYTES / 2),
            chunk_bytes_max: Cell::new(1 << 20),
            files: FileLimits::default(),
            filling: futures_util::lock::Mutex::new(()),
        };
        let context = LogContext::new(disk.clone(), ManualClock::new(0), Rc::clone(arena), limits);
        let epochs = Epochs { current: 1, synced_after: 0 };
        let open =
            Log::open(context, PathBuf::from("/bench-0"), TopicConfig::default(), epochs, Origin::Created);
        let log = disk.run_until(open).expect("an empty disk has no damaged log");
        let owner = Self { disk, log, jobs: FuturesUnordered::new() };
        // The first roll makes the first segment. It is not measured.
        let _ = owner.log.append(&batch(), None, 0);
        owner.disk.run_until(Rc::clone(&owner.log).roll());
        owner
    }

    /// Appends `batch` [`BATCHES`] times. Returns once all of them are acked.
    fn append_all(&mut self, batch: &[u8]) {
        let context = &mut Context::from_waker(Waker::noop());
        let (mut appended, mut acks) = (0, Vec::with_capacity(BATCHES));
        while acks.len() < BATCHES {
            if appended < BATCHES {
                self.log.append(batch, None, appended).expect("the segment and the arena have room");
                appended += 1;
            } else {
                self.disk.step();
            }
            while let Poll::Ready(Some(done)) = self.jobs.poll_next_unpin(context) {
                self.log.job_done(done);
            }
            while let Some(job) = self.log.next_job() {
                self.jobs.push(Box::pin(job.run()));
            }
            self.log.take_acks(&mut acks);
        }
    }
}

/// Returns a batch of as many records of 1 KiB as fit 64 KiB.
fn batch() -> Vec<u8> {
    let mut builder = BatchBuilder::with_capacity(BATCH_BYTES);
    let record = RecordRef { value: Some(&[0x5A; 1024]), ..RecordRef::default() };
    while !builder.would_exceed(&record, BATCH_BYTES) {
        builder.push(&record).expect("a batch of 64 KiB fits the format");
    }
    builder.finish().bytes
}

fn append(c: &mut Criterion) {
    let arena = Rc::new(Arena::new(ARENA_BYTES).expect("the machine has memory for an arena"));
    let batch = batch();
    let mut group = c.benchmark_group("append_written");
    group.throughput(Throughput::Bytes((batch.len() * BATCHES) as u64));
    group.sample_size(20);
    group.bench_function("64KiB", |bencher| {
        let setup = || Owner::new(&arena);
        bencher.iter_batched_ref(setup, |owner| owner.append_all(&batch), BatchSize::PerIteration);
    });
    group.finish();
}

criterion_group!(benches, append);
criterion_main!(benches);
