//! Ends a coordinator by a kill, a power loss or a close, opens its log again, and checks what is left.

use crate::owner::SimCoordinator;
use crate::setup::Opened;
use crate::world::{World, coordinator, readable};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use vnotch_engine::disk::sim::{Fault, SimDisk};
use vnotch_engine::types::Durability;

/// Steps after which a coordinator that loads counts as stuck.
const LOAD_STEPS_MAX: usize = 100_000;

/// The way in which a process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fate {
    Kill,
    PowerLoss,
}

impl Fate {
    /// Returns the disk that is found afterwards.
    fn of(self, disk: &SimDisk, seed: u64) -> SimDisk {
        let left = match self {
            Self::Kill => disk.kill(seed),
            Self::PowerLoss => disk.crash(seed),
        };
        left.evict();
        left.make_room();
        left
    }

    /// Returns the lowest level of durability that survives this end.
    const fn survives(self) -> Durability {
        match self {
            Self::Kill => Durability::Written,
            Self::PowerLoss => Durability::Synced,
        }
    }
}

/// An end of a coordinator, and the next open, which may be interrupted.
#[derive(Debug, Clone)]
pub(crate) struct Restart {
    pub fate: Fate,
    pub seed: u64,
    /// Attempts to open that end early: the way in which each ends, and the steps of the disk that it gets.
    pub interruptions: Vec<(Fate, usize)>,
    /// A fault that the next open may run into.
    pub fault: Option<Fault>,
}

impl Restart {
    pub(crate) const fn simple(fate: Fate, seed: u64) -> Self {
        Self { fate, seed, interruptions: Vec::new(), fault: None }
    }
}

impl World {
    /// Ends the coordinator, and begins the next one. Whoever waits gets no reply.
    pub(crate) fn restart(&mut self, restart: &Restart) {
        let (mut worst, seed) = (restart.fate, restart.seed);
        let mut disk = self.end_as(worst, &self.disk.clone(), seed);
        for (fate, steps) in restart.interruptions.iter().copied() {
            self.open_for(&disk, steps);
            disk = self.end_as(fate, &disk, seed);
            worst = worst.max(fate);
        }
        if let Some(fault) = restart.fault {
            disk.inject(fault);
        }
        let (disk, opened) = self.open_twice(disk, restart);
        let expected = self.model.expected(opened.log.log_end_offset(), worst.survives());
        let is_acked_lost = expected.is_acked_lost;
        let left = self.model.reopened(expected);
        self.checks.restarted(&left, is_acked_lost);
        self.requests.clear();
        if is_acked_lost {
            self.count("restart: acked records are lost");
            self.clients.begin_anew();
        } else {
            self.clients.lose_coordinator();
        }
        self.replace(disk, opened);
        self.begin_to_load();
    }

    fn end_as(&mut self, fate: Fate, disk: &SimDisk, seed: u64) -> SimDisk {
        self.epoch += 1;
        self.boot_id += u64::from(fate == Fate::PowerLoss);
        self.count(if fate == Fate::Kill { "end: kill" } else { "end: power loss" });
        fate.of(disk, seed)
    }

    /// Opens the log. After a fault of the disk, opens it again without one.
    fn open_twice(&mut self, disk: SimDisk, restart: &Restart) -> (SimDisk, Opened) {
        let (setup, clock) = (self.setup.clone(), self.clock.clone());
        let first = disk.run_until(setup.open(disk.clone(), clock.clone(), (self.epoch, self.boot_id)));
        let cause = match first {
            Ok(opened) if opened.log.damage().is_none() => return (disk, opened),
            Ok(_) => "a file cannot be read".to_owned(),
            Err(error) => error.to_string(),
        };
        assert!(restart.fault.is_some(), "a log without faults does not open: {cause}");
        self.count("open: the disk failed");
        while disk.step() {}
        let disk = self.end_as(Fate::Kill, &disk, restart.seed);
        let opened = disk.run_until(setup.open(disk.clone(), clock, (self.epoch, self.boot_id))).unwrap();
        assert!(opened.log.damage().is_none(), "a log is damaged by a failed open");
        (disk, opened)
    }

    /// Gives an attempt to open some steps of the disk.
    fn open_for(&self, disk: &SimDisk, steps: usize) {
        let mut open = pin!(self.setup.open(disk.clone(), self.clock.clone(), (self.epoch, self.boot_id)));
        let context = &mut Context::from_waker(Waker::noop());
        for _ in 0..=steps {
            match open.as_mut().poll(context) {
                Poll::Pending => assert!(disk.step(), "an open waits for nothing"),
                Poll::Ready(opened) => return drop(opened.unwrap()),
            }
        }
    }

    /// Checks what a coordinator finds if the process ends now. This one lives on.
    pub(crate) fn check_end(&mut self, fate: Fate, seed: u64) {
        let disk = fate.of(&self.disk, seed);
        let epochs = (self.epoch + 1, self.boot_id + u64::from(fate == Fate::PowerLoss));
        let opened = disk.run_until(self.setup.open(disk.clone(), self.clock.clone(), epochs)).unwrap();
        assert!(opened.log.damage().is_none(), "a log without faults is damaged");
        let expected = self.model.expected(opened.log.log_end_offset(), fate.survives());
        let coordinator = coordinator(&self.setup, &self.clock, &opened.log);
        load(&coordinator, &disk);
        let end = opened.log.log_end_offset();
        assert_eq!(
            readable(coordinator.stored()),
            readable(expected.groups.snapshot()),
            "the state after an end by {fate:?}, from {} to {end}",
            opened.log.log_start_offset(),
        );
        self.count("ends at an operation of the disk");
    }

    /// Closes the log, and gives the coordinator up. All that waits is answered.
    pub(crate) fn close(&mut self) {
        self.owner().is_closing.set(true);
        self.run_to_idle();
        self.owner().refuses_appends.set(true);
        self.run_to_idle();
        let closed = self.disk.run_until(Rc::clone(&self.log).close());
        if self.log.log_end_offset() < self.model.next_offset() {
            self.model.cut(self.log.log_end_offset());
        }
        self.pass_acks();
        self.coordinator.end();
        self.hear();
        self.owner().has_ended.set(true);
        assert!(self.requests.is_empty(), "requests without a reply: {:?}", self.requests);
        self.checks.end(&[]);
        if closed.is_ok() {
            self.model.closed();
            self.count("end: close");
        }
    }
}

/// Lets a coordinator read its log.
fn load(coordinator: &Rc<SimCoordinator>, disk: &SimDisk) {
    let mut load = pin!(Rc::clone(coordinator).load());
    let context = &mut Context::from_waker(Waker::noop());
    for _ in 0..LOAD_STEPS_MAX {
        if load.as_mut().poll(context).is_ready() {
            assert!(coordinator.damage().is_none(), "stored groups are damaged");
            return;
        }
        coordinator.owner().turns.begin();
        disk.step();
    }
    panic!("a coordinator does not end to load");
}
