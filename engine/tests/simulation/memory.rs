//! Many logs on one arena that is too small for all of them at once. Its memory goes to the logs that use it.

use crate::model::{Model, batch};
use crate::rig::{Settings, SimLog, Ticket, context, open_in};
use std::collections::VecDeque;
use std::path::PathBuf;
use std::rc::Rc;
use vnotch_engine::buffer::{Arena, SharedBytes};
use vnotch_engine::clock::ManualClock;
use vnotch_engine::disk::sim::SimDisk;
use vnotch_engine::log::{Epochs, Fetched, Refused};
use vnotch_engine::types::Durability;

const BATCH_BYTES: usize = 60 << 10;

fn settings() -> Settings {
    Settings { durability: Durability::Synced, write_bytes_max: 1 << 20, ..Settings::default() }
}

/// Logs that share an arena. The clock does not advance, so nothing here can wait for a timer.
struct Crowd {
    disk: SimDisk,
    arena: Rc<Arena>,
    logs: Vec<Rc<SimLog>>,
    models: Vec<Model>,
    /// Logs that may hold memory, least recently appended first.
    holders: VecDeque<usize>,
    /// Number of times that a log was asked to give memory back.
    sheds: usize,
}

impl Crowd {
    fn new(count: usize, arena_bytes: usize) -> Self {
        let (disk, clock) = (SimDisk::new(7), ManualClock::new(1_000));
        let arena = Rc::new(Arena::new(arena_bytes).unwrap());
        let mut shared = context(&settings(), &disk, &clock, 1);
        shared.arena = Rc::clone(&arena);
        let open = |number| {
            let shared = shared.clone();
            let dir = PathBuf::from(format!("/t-{number}"));
            let epochs = Epochs { current: 1, synced_after: 0 };
            disk.run_until(open_in(dir, shared, &settings(), epochs)).unwrap()
        };
        let logs = (0..count).map(open).collect();
        let models = vec![Model::default(); count];
        Self { disk, arena, logs, models, holders: VecDeque::new(), sheds: 0 }
    }

    /// Appends one batch. If there is no memory, other logs give theirs back.
    fn append(&mut self, log: usize, bytes: Vec<u8>) {
        loop {
            let ticket = Ticket { number: self.models[log].batches().len(), level: Durability::Synced };
            match self.logs[log].append(&bytes, None, ticket) {
                Ok(()) => break,
                Err(Refused::NotNow(_)) => self.write_all(log),
                Err(Refused::NoMemory(_)) => {
                    let oldest = self.holders.pop_front().expect("memory that no log holds can be used");
                    self.logs[oldest].shed_memory();
                    self.sheds += 1;
                }
                Err(Refused::Failed(_, error)) => panic!("a valid batch is refused: {error}"),
            }
        }
        self.models[log].appended(bytes, 1);
        self.holders.retain(|holder| *holder != log);
        self.holders.push_back(log);
    }

    /// Writes and syncs a log to its end, and does its background work.
    fn write_all(&mut self, number: usize) {
        let log = &self.logs[number];
        loop {
            while let Some(job) = log.next_job() {
                log.job_done(self.disk.run_until(job.run()));
            }
            let wants = log.wants();
            if wants.roll {
                self.disk.run_until(Rc::clone(log).roll());
            } else if wants.seal {
                self.disk.run_until(Rc::clone(log).seal());
            } else if wants.spare {
                self.disk.run_until(Rc::clone(log).prepare_spare());
            } else {
                break;
            }
        }
        let mut acks = Vec::new();
        log.take_acks(&mut acks);
        for (ticket, outcome) in acks {
            self.models[number].acked(ticket.number, outcome.unwrap(), ticket.level);
        }
    }

    /// Reads the last batch of a log.
    fn read_last(&self, log: usize) -> Vec<SharedBytes> {
        let (end, last) = (self.logs[log].high_watermark(), self.models[log].batches().last().unwrap());
        let offset = end - 1;
        assert_eq!(last.next_offset, end, "everything is synced");
        let pieces = match self.logs[log].fetch(offset, 1).unwrap() {
            Fetched::Batches(pieces) => pieces,
            Fetched::OnDisk => {
                self.disk.run_until(Rc::clone(&self.logs[log]).fetch_from_disk(offset, 1)).unwrap()
            }
            Fetched::Nothing => panic!("there is a batch below the high watermark"),
        };
        self.models[log].check(offset, &pieces, end);
        pieces
    }
}

#[test]
fn logs_that_take_turns_need_no_more_memory_than_there_is() {
    let mut crowd = Crowd::new(300, 16 << 20);
    for round in 0..4 {
        for log in 0..crowd.logs.len() {
            crowd.append(log, batch(round * 1_000 + log as u64, 3, BATCH_BYTES));
            crowd.write_all(log);
            assert!(!crowd.read_last(log).is_empty());
        }
    }
    // The memory of one log is enough for the next.
    assert!(crowd.sheds <= 4 * crowd.logs.len(), "{} logs gave memory back", crowd.sheds);
    for (log, model) in crowd.logs.iter().zip(&crowd.models) {
        assert_eq!(log.log_end_offset(), model.next_offset());
    }
}

#[test]
fn a_log_that_gave_its_memory_back_goes_on_in_the_middle_of_a_block() {
    let mut crowd = Crowd::new(1, 16 << 20);
    for number in 0..40 {
        crowd.append(0, batch(number, 2, 1_000 + 37 * number as usize));
        crowd.write_all(0);
        crowd.logs[0].shed_memory();
        assert_eq!(crowd.arena.usage().used_bytes, 0, "an idle log holds memory");
        crowd.read_last(0);
        crowd.logs[0].shed_memory();
    }
    let mut offset = 0;
    while offset < crowd.logs[0].high_watermark() {
        let read = Rc::clone(&crowd.logs[0]).fetch_from_disk(offset, 1 << 20);
        let pieces = crowd.disk.run_until(read).unwrap();
        offset = crowd.models[0].check(offset, &pieces, crowd.logs[0].high_watermark());
    }
    let after = crowd.disk.crash(3);
    let epochs = Epochs { current: 2, synced_after: 0 };
    let context = context(&settings(), &after, &ManualClock::new(2_000), 2);
    let log = after.run_until(open_in(PathBuf::from("/t-0"), context, &settings(), epochs)).unwrap();
    assert_eq!(log.log_end_offset(), crowd.models[0].next_offset(), "a power loss takes synced batches");
}

#[test]
fn batches_that_are_not_written_stay_whatever_is_given_back() {
    let mut crowd = Crowd::new(1, 16 << 20);
    crowd.append(0, batch(1, 2, 5_000));
    crowd.logs[0].shed_memory();
    crowd.append(0, batch(2, 2, 5_000));
    let job = crowd.logs[0].next_job().unwrap();
    crowd.logs[0].shed_memory();
    crowd.logs[0].job_done(crowd.disk.run_until(job.run()));
    crowd.write_all(0);
    assert_eq!(crowd.logs[0].high_watermark(), crowd.models[0].next_offset());
    crowd.read_last(0);
}
