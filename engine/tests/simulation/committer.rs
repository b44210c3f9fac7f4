//! Several logs of one disk and the shard's committer: the writes that a shared flush covers, and those that it must not.

use crate::fleet::dir_of;
use crate::model::{Model, batch};
use crate::rig::{ARENA_BYTES, Settings, SimLog, Ticket, Woken, context, limit_descriptors, open_in};
use futures_util::future::LocalBoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use std::io::ErrorKind;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use vnotch_engine::buffer::Arena;
use vnotch_engine::clock::ManualClock;
use vnotch_engine::disk::sim::{SimDisk, SimFile};
use vnotch_engine::disk::{Disk as _, DiskFile as _, OpenMode};
use vnotch_engine::log::{Epochs, Fetched};
use vnotch_engine::shard::{Committer, WriteStats};
use vnotch_engine::types::{Commit, Durability, IoMode, Preallocate};

const SEGMENT: u64 = 1 << 20;

pub(crate) fn settings() -> Settings {
    Settings {
        durability: Durability::Synced,
        preallocate: Preallocate::Recycle,
        retention_bytes: Some(2 * SEGMENT),
        ..Settings::default()
    }
}

/// The logs of one shard with their committer, driven without the shard.
pub(crate) struct Fleet {
    pub(crate) settings: Settings,
    pub(crate) disk: SimDisk,
    clock: ManualClock,
    pub(crate) logs: Vec<Rc<SimLog>>,
    pub(crate) models: Vec<Model>,
    pub(crate) epoch: i32,
    pub(crate) commit: Commit,
    committer: Committer<SimFile>,
    tasks: FuturesUnordered<LocalBoxFuture<'static, ()>>,
    /// Number of jobs that were started, by log.
    started: Vec<usize>,
}

impl Fleet {
    pub(crate) fn new(settings: Settings, count: usize, commit: Commit) -> Self {
        let disk = SimDisk::new(count as u64);
        Self::with(settings, disk, vec![Model::default(); count], (1, commit))
    }

    pub(crate) fn with(
        settings: Settings,
        disk: SimDisk,
        models: Vec<Model>,
        (epoch, commit): (i32, Commit),
    ) -> Self {
        let clock = ManualClock::new(1_000);
        limit_descriptors(&settings, &disk);
        let context = context(&settings, &disk, &clock, u64::from(epoch.unsigned_abs()));
        let open = |number| {
            // The logs share files. They do not share memory, so that each log's cache is as large as its settings say.
            let arena = Rc::new(Arena::new(ARENA_BYTES).unwrap());
            let mut context = context.clone();
            context.arena = arena;
            let dir = dir_of(&disk, number);
            let epochs = Epochs { current: epoch, synced_after: 0 };
            disk.run_until(open_in(dir, context, &settings, epochs)).unwrap()
        };
        let logs = (0..models.len()).map(open).collect();
        let (committer, tasks) = (Committer::new(commit), FuturesUnordered::new());
        let started = vec![0; models.len()];
        Self { settings, disk, clock, logs, models, epoch, commit, committer, tasks, started }
    }

    pub(crate) fn append(&mut self, log: usize, bytes: Vec<u8>) {
        let model = &mut self.models[log];
        let ticket = Ticket { number: model.batches().len(), level: Durability::Synced };
        // A roll may have to come first.
        let mut idle_turns = 0;
        while self.logs[log].append(&bytes, None, Ticket { ..ticket }).is_err() {
            assert!(self.logs[log].failed().is_none() && idle_turns < 3, "the log takes nothing");
            self.turn();
            idle_turns = if self.disk.step() { 0 } else { idle_turns + 1 };
        }
        self.models[log].appended(bytes, self.epoch);
    }

    /// Does what a shard does between two polls of its ring.
    pub(crate) fn turn(&mut self) {
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let context = &mut Context::from_waker(&waker);
        let mut has_moved = true;
        while has_moved {
            has_moved = false;
            while let Some((log, done)) = self.committer.poll_done(context) {
                self.logs[log].job_done(done);
                has_moved = true;
            }
            has_moved |= self.start_jobs();
            for log in &self.logs {
                let wants = log.wants();
                if wants.reopen {
                    self.tasks.push(Box::pin(Rc::clone(log).reopen()));
                }
                if wants.roll {
                    self.tasks.push(Box::pin(Rc::clone(log).roll()));
                }
                if wants.seal {
                    self.tasks.push(Box::pin(Rc::clone(log).seal()));
                }
                if wants.retain {
                    self.tasks.push(Box::pin(Rc::clone(log).retain()));
                }
                if wants.spare {
                    self.tasks.push(Box::pin(Rc::clone(log).prepare_spare()));
                }
            }
            self.committer.submit(context);
            while let Poll::Ready(Some(())) = self.tasks.poll_next_unpin(context) {
                has_moved = true;
            }
            has_moved |= woken.take();
        }
        for (log, model) in self.logs.iter().zip(&mut self.models) {
            let mut acks = Vec::new();
            log.take_acks(&mut acks);
            for (ticket, outcome) in acks {
                match outcome {
                    Ok(base_offset) => model.acked(ticket.number, base_offset, ticket.level),
                    Err(error) => assert!(log.failed().is_some(), "a valid batch is not acked: {error}"),
                }
            }
        }
    }

    /// Starts the jobs that the committer has room for. Returns whether there were any.
    fn start_jobs(&mut self) -> bool {
        let before: usize = self.started.iter().sum();
        for (number, log) in self.logs.iter().enumerate() {
            let started = &mut self.started[number];
            while self.committer.start_some(number, || log.next_job().inspect(|_| *started += 1)) {}
        }
        let (logs, started) = (&self.logs, &mut self.started);
        self.committer.start_queued(|number| logs[number].next_job().inspect(|_| started[number] += 1));
        self.started.iter().sum::<usize>() > before
    }

    pub(crate) fn step(&mut self) -> bool {
        self.turn();
        let has_stepped = self.disk.step();
        self.clock.advance(Duration::from_millis(1));
        self.turn();
        has_stepped
    }

    pub(crate) fn run_to_idle(&mut self) {
        while self.step() {}
        assert!(self.logs.iter().all(|log| log.is_idle()), "nothing is outstanding, and yet a log waits");
    }

    /// Appends until every log overwrites extents that were written before.
    pub(crate) fn fill_first_segments(&mut self) {
        for number in 0..6 {
            for log in 0..self.logs.len() {
                self.append(log, batch(number, 3, 250_000));
            }
            self.run_to_idle();
        }
    }

    /// Appends one batch of about 4 KiB to each log.
    pub(crate) fn round(&mut self, seed: u64) {
        for log in 0..self.logs.len() {
            self.append(log, batch(seed + log as u64, 3, 4_000 + log * 100));
        }
    }

    pub(crate) fn stats(&self) -> WriteStats {
        self.committer.stats().clone()
    }

    /// Checks that all logs would keep their promises after a power loss at this moment.
    pub(crate) fn check_after_power_loss(&self, seed: u64) {
        self.reopened(self.disk.crash(seed));
    }

    /// Checks that every log holds the batches of its model.
    pub(crate) fn check_all(&self) {
        self.logs.iter().zip(&self.models).for_each(|(log, model)| self.check_log(log, model));
    }

    fn check_log(&self, log: &Rc<SimLog>, model: &Model) {
        let (mut offset, end) = (log.log_start_offset(), log.high_watermark());
        while offset < end {
            let pieces = match log.fetch(offset, 700_000).unwrap() {
                Fetched::Batches(pieces) => pieces,
                Fetched::OnDisk => {
                    self.disk.run_until(Rc::clone(log).fetch_from_disk(offset, 700_000)).unwrap()
                }
                Fetched::Nothing => panic!("there is more below the end"),
            };
            offset = model.check(offset, &pieces, end);
        }
    }
}

/// Returns the number of flushes for a round of one small batch on each log.
fn flushes_of_a_round(count: usize, settings: Settings, commit: Commit) -> u64 {
    let mut fleet = Fleet::new(settings, count, commit);
    fleet.fill_first_segments();
    let before = fleet.stats();
    fleet.round(100);
    fleet.run_to_idle();
    let after = fleet.stats();
    assert_eq!(after.count - before.count, count as u64, "one write each");
    after.syncs - before.syncs
}

#[test]
fn many_share_a_flush_and_few_have_their_own() {
    assert_eq!(flushes_of_a_round(8, settings(), Commit::Auto), 1);
    assert_eq!(flushes_of_a_round(2, settings(), Commit::Auto), 2);
    assert_eq!(flushes_of_a_round(2, settings(), Commit::Shared), 1);
    assert_eq!(flushes_of_a_round(8, settings(), Commit::Each), 8);
}

#[test]
fn what_does_not_overwrite_past_the_cache_is_synced_by_itself() {
    let fallocated = Settings { preallocate: Preallocate::Fallocate, ..settings() };
    assert_eq!(flushes_of_a_round(8, fallocated, Commit::Shared), 8);
    let buffered = Settings { io: IoMode::Buffered, ..settings() };
    assert_eq!(flushes_of_a_round(8, buffered, Commit::Shared), 8);
}

#[test]
fn what_arrives_during_a_shared_flush_forms_the_next() {
    let mut fleet = Fleet::new(settings(), 8, Commit::Auto);
    fleet.fill_first_segments();
    let before = fleet.stats().syncs;
    fleet.round(200);
    fleet.step();
    // The logs have writes in flight. These batches wait in the logs until the flush has ended, and share the next flush.
    for number in 1..4 {
        fleet.round(200 + 10 * number);
    }
    fleet.run_to_idle();
    assert_eq!(fleet.stats().syncs - before, 2);
}

#[test]
fn a_power_loss_at_every_step_loses_nothing_acked() {
    let mut fleet = Fleet::new(settings(), 5, Commit::Auto);
    fleet.fill_first_segments();
    let (mut seed, mut steps) = (0, 0);
    let before = fleet.stats();
    for round in 0..4 {
        fleet.round(300 + 10 * round);
        while fleet.step() {
            for _ in 0..2 {
                seed += 1;
                fleet.check_after_power_loss(seed);
            }
            steps += 1;
        }
    }
    let after = fleet.stats();
    assert!(steps >= 24, "{steps}");
    assert_eq!((after.count - before.count, after.syncs - before.syncs), (20, 4), "all of them shared");
}

/// Writes of the next group begin while the flush of the group before is in flight. That flush does not cover them.
#[test]
fn a_power_loss_while_groups_overlap_loses_nothing_acked() {
    let mut fleet = Fleet::new(settings(), 9, Commit::Auto);
    fleet.fill_first_segments();
    let before = fleet.stats();
    for round in 0..12_u64 {
        // A third of the logs at a time. The others are still being written or flushed.
        let logs = (round as usize % 3..9).step_by(3);
        logs.for_each(|log| fleet.append(log, batch(600 + 10 * round + log as u64, 3, 4_000)));
        let in_flight = fleet.disk.outstanding();
        fleet.turn();
        assert_eq!(fleet.disk.outstanding(), in_flight + 3, "they wait for nothing");
        let flushes = fleet.stats().syncs;
        let mut seed = 100 * round;
        while fleet.stats().syncs == flushes {
            assert!(fleet.step(), "nothing is under way, and no flush has begun");
            seed += 1;
            fleet.check_after_power_loss(seed);
        }
    }
    fleet.run_to_idle();
    let after = fleet.stats();
    assert_eq!((after.count - before.count, after.syncs - before.syncs), (36, 12), "all of them shared");
    fleet.check_after_power_loss(99);
}

#[test]
fn a_write_that_fails_latches_its_own_log_alone() {
    let mut fleet = Fleet::new(settings(), 8, Commit::Auto);
    fleet.fill_first_segments();
    let ends: Vec<i64> = fleet.logs.iter().map(|log| log.high_watermark()).collect();
    fleet.disk.fail_write(3, ErrorKind::Other);
    fleet.round(400);
    fleet.run_to_idle();
    let failed = fleet.logs.iter().filter(|log| log.failed().is_some()).count();
    assert_eq!(failed, 1);
    for (log, end) in fleet.logs.iter().zip(ends) {
        assert_eq!(log.high_watermark() > end, log.failed().is_none());
    }
    fleet.check_after_power_loss(400);
}

#[test]
fn a_flush_that_fails_latches_every_log_it_was_to_cover() {
    let mut fleet = Fleet::new(settings(), 8, Commit::Auto);
    fleet.fill_first_segments();
    let ends: Vec<i64> = fleet.logs.iter().map(|log| log.high_watermark()).collect();
    fleet.disk.fail_sync(ErrorKind::Other);
    fleet.round(500);
    fleet.run_to_idle();
    for (log, end) in fleet.logs.iter().zip(ends) {
        assert!(log.failed().is_some());
        assert_eq!(log.high_watermark(), end, "nothing of it was acked");
    }
    fleet.check_after_power_loss(500);
}

#[test]
fn a_flush_that_fails_latches_also_the_logs_whose_writes_went_on_meanwhile() {
    let mut fleet = Fleet::new(settings(), 9, Commit::Auto);
    fleet.fill_first_segments();
    let ends: Vec<i64> = fleet.logs.iter().map(|log| log.high_watermark()).collect();
    let round = |fleet: &mut Fleet, logs: std::ops::Range<usize>| {
        logs.for_each(|log| fleet.append(log, batch(700 + log as u64, 3, 4_000)));
        fleet.turn();
    };
    round(&mut fleet, 0..4);
    let flushes = fleet.stats().syncs;
    while fleet.stats().syncs == flushes {
        assert!(fleet.step(), "no flush has begun");
    }
    // These are written while the flush is in flight. If it fails, it may have dropped them from the device's cache.
    round(&mut fleet, 4..8);
    fleet.disk.fail_sync(ErrorKind::Other);
    fleet.run_to_idle();
    for (log, end) in fleet.logs.iter().zip(&ends).take(8) {
        assert!(log.failed().is_some());
        assert_eq!(log.high_watermark(), *end, "nothing of it was acked");
    }
    // A write that begins after the failure is not affected.
    round(&mut fleet, 8..9);
    fleet.run_to_idle();
    assert!(fleet.logs[8].failed().is_none() && fleet.logs[8].high_watermark() > ends[8]);
}

#[test]
fn a_failed_sync_of_any_file_on_the_device_latches_the_logs_whose_flush_was_still_to_come() {
    let mut fleet = Fleet::new(settings(), 9, Commit::Auto);
    fleet.fill_first_segments();
    let ends: Vec<i64> = fleet.logs.iter().map(|log| log.high_watermark()).collect();
    let path = std::path::Path::new("/another");
    let open = fleet.disk.open(path, OpenMode::CreateNew, IoMode::Buffered);
    let another = fleet.disk.run_until(open).unwrap();
    (0..4).for_each(|log| fleet.append(log, batch(700 + log as u64, 3, 4_000)));
    fleet.turn();
    // The device may have dropped from its cache what the four logs wrote. Their own flush succeeds nevertheless.
    fleet.disk.fail_sync(ErrorKind::Other);
    fleet.disk.run_until(another.sync()).unwrap_err();
    fleet.run_to_idle();
    for (log, end) in fleet.logs.iter().zip(&ends).take(4) {
        assert!(log.failed().is_some());
        assert_eq!(log.high_watermark(), *end, "nothing of it was acked");
    }
    (4..8).for_each(|log| fleet.append(log, batch(700 + log as u64, 3, 4_000)));
    fleet.run_to_idle();
    assert!(fleet.logs[4..8].iter().zip(&ends[4..]).all(|(log, end)| log.high_watermark() > *end));
}

#[test]
fn logs_that_are_written_do_not_wait_for_logs_that_come_later() {
    let mut fleet = Fleet::new(settings(), 9, Commit::Auto);
    fleet.fill_first_segments();
    let before = fleet.stats();
    for log in 0..3 {
        fleet.append(log, batch(800 + log as u64, 3, 4_000));
    }
    // After each completion another log appends, so that writes are in flight all the time.
    for log in 3..9 {
        fleet.step();
        fleet.append(log, batch(800 + log as u64, 3, 4_000));
        fleet.turn();
    }
    fleet.run_to_idle();
    assert!(fleet.logs.iter().all(|log| log.high_watermark() == log.log_end_offset()));
    assert!(fleet.stats().syncs - before.syncs >= 2, "one flush waited for all of them");
}

/// The number of the quiet log. The logs before it are busy, and together want twice the committer's room.
const QUIET: usize = 16;

/// Appends to the busy logs until each has more to write than may be in flight.
fn keep_busy(fleet: &mut Fleet) {
    for log in 0..QUIET {
        while fleet.logs[log].log_end_offset() - fleet.logs[log].high_watermark() < 9 {
            fleet.append(log, batch(log as u64, 3, 500_000));
        }
    }
    fleet.turn();
}

/// The busy logs use all the room of the committer, and have the next write ready whenever one completes.
#[test]
fn a_quiet_log_has_its_turn_beside_logs_that_always_have_a_write_ready() {
    let hot = Settings {
        durability: Durability::Written,
        segment_bytes: 64 << 20,
        write_depth: 8,
        preallocate: Preallocate::None,
        cache_bytes: 0,
        ..Settings::default()
    };
    let mut fleet = Fleet::new(hot, QUIET + 1, Commit::Each);
    for log in 0..=QUIET {
        fleet.append(log, batch(900 + log as u64, 3, 1_000));
    }
    fleet.run_to_idle();
    let mut waits = 0;
    for round in 0..12 {
        keep_busy(&mut fleet);
        while !fleet.logs[QUIET].is_idle() {
            assert!(fleet.step());
            keep_busy(&mut fleet);
        }
        fleet.append(QUIET, batch(1_000 + round, 3, 1_000));
        let before = fleet.started.clone();
        fleet.turn();
        while fleet.started[QUIET] == before[QUIET] {
            waits += 1;
            assert!(fleet.step());
            keep_busy(&mut fleet);
        }
        let most = (0..QUIET).map(|log| fleet.started[log] - before[log]).max();
        assert!(most < Some(3), "{most:?} writes of another log began before");
    }
    assert!(waits > 0, "there was room all the time");
    fleet.run_to_idle();
    assert!(fleet.logs.iter().all(|log| log.high_watermark() == log.log_end_offset()));
}
