//! One history: what happens to a coordinator, chosen by a seed.

use crate::owner::LIVING_TOPIC_ID;
use crate::requests::Distortion;
use crate::restart::{Fate, Restart};
use crate::setup::Setup;
use crate::world::World;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::rc::Rc;
use std::time::Duration;
use vnotch_engine::clock::Clock as _;
use vnotch_engine::disk::sim::{Effect, Fault};
use vnotch_engine::error::DiskOp;

/// Events of a history.
const EVENTS: usize = 220;

/// Time after which each request of a coordinator that can write is answered, ms. A member that has just joined is kept for
/// five minutes.
const ANSWERED_WITHIN_MS: u64 = 600_000;

const OPS: [DiskOp; 9] = [
    DiskOp::Open,
    DiskOp::Create,
    DiskOp::Read,
    DiskOp::Write,
    DiskOp::Sync,
    DiskOp::Allocate,
    DiskOp::Truncate,
    DiskOp::Remove,
    DiskOp::SyncDir,
];

/// Plays the history of a seed. Returns the counts of what was seen.
pub(crate) fn play(seed: u64) -> BTreeMap<String, u64> {
    let mut play = Play::new(seed);
    for _ in 0..EVENTS {
        play.event();
        play.world.check_state();
    }
    play.end()
}

struct Play {
    world: World,
    random: SmallRng,
    /// One operation of the disk in so many is followed by an end of a copy.
    looks_one_in: u32,
    /// A fault was injected since the last open.
    is_faulty: bool,
}

impl Play {
    fn new(seed: u64) -> Self {
        let mut random = SmallRng::seed_from_u64(seed ^ 0x9_1A7);
        // In one history of eight, copies end in both ways after each operation.
        let looks_one_in = if random.random_range(0..8) == 0 { 1 } else { 40 };
        let mut world = World::new(Setup::of(seed), seed);
        if random.random_range(0..4) == 0 {
            world.takes_a_turn = 1;
        }
        Self { world, random, looks_one_in, is_faulty: false }
    }

    fn one_in(&mut self, n: u32) -> bool {
        self.random.random_range(0..n) == 0
    }

    fn event(&mut self) {
        let is_broken = self.world.log.failed().is_some() || self.world.coordinator.damage().is_some();
        if is_broken && self.one_in(4) || self.world.coordinator.damage().is_some() {
            assert!(self.is_faulty, "a disk without faults damages a log");
            self.world.count("restart after a failure");
            return self.restart();
        }
        match self.random.random_range(0..1_000) {
            0..640 => self.request(),
            640..740 => self.pass_time(),
            740..872 => {
                let count = self.random.random_range(1..12);
                self.steps(count);
            }
            872..896 => self.world.run_to_idle(),
            896..906 => {
                let by_ms = self.random.random_range(-100_000..100_000);
                self.world.clock.jump(by_ms);
                self.world.count("the time of day jumps");
            }
            906..922 => self.inject(),
            922..928 => {
                let after = self.random.random_range(0..20);
                self.world.disk.fill_up(after);
                self.world.count("the disk becomes full");
            }
            928..954 => self.make_room(),
            954..966 => self.forget_topic(),
            966..994 => self.restart(),
            _ => self.close(),
        }
    }

    fn request(&mut self) {
        let Some(mut request) = self.world.clients.next_request() else { return self.pass_time() };
        let limit = self.world.setup.groups.offset_metadata_max_bytes;
        if self.one_in(24) {
            request.distort(&mut self.random);
        } else if limit > 1_000 && self.one_in(2) {
            request.fill_metadata(limit - 100);
        }
        if self.one_in(8) {
            request.repeat_protocol();
        }
        if self.one_in(6) {
            // Half of these consumers have read an earlier topic of the same name.
            let id = if self.one_in(2) { LIVING_TOPIC_ID } else { LIVING_TOPIC_ID + 1 };
            request.read_topics_with(id);
        }
        self.world.send(request);
        let count = self.random.random_range(0..4);
        self.steps(count);
    }

    /// Completes operations of the disk. A copy of the disk may be made and recovered after each.
    fn steps(&mut self, count: usize) {
        for _ in 0..count {
            if self.world.disk.outstanding() > 0 && self.random.random_range(0..self.looks_one_in) == 0 {
                let seed = self.random.random();
                self.world.check_end(Fate::Kill, seed);
                self.world.check_end(Fate::PowerLoss, seed);
            }
            self.world.steps(1);
        }
    }

    fn pass_time(&mut self) {
        let ms = match self.random.random_range(0..12) {
            0..6 => self.random.random_range(1..400),
            6..9 => self.random.random_range(400..2_000),
            9..11 => self.random.random_range(2_000..8_000),
            _ => self.random.random_range(8_000..50_000),
        };
        self.world.advance(ms);
    }

    fn inject(&mut self) {
        let kind =
            *[ErrorKind::Other, ErrorKind::Other, ErrorKind::StorageFull].choose(&mut self.random).unwrap();
        let fault = self.fault(kind);
        self.world.disk.inject(fault);
        self.is_faulty = true;
    }

    fn fault(&mut self, kind: ErrorKind) -> Fault {
        let operations_before = self.random.random_range(0..6);
        let op = *OPS.choose(&mut self.random).unwrap();
        Fault { op, operations_before, effect: Effect::Fails(kind) }
    }

    fn make_room(&mut self) {
        self.world.disk.make_room();
        // The first attempt cuts what was not written, the second makes a segment.
        for _ in 0..2 {
            self.world.advance(100);
            self.world.run_to_idle();
        }
    }

    fn forget_topic(&mut self) {
        let topic = (*["t0", "t1", "t2"].choose(&mut self.random).unwrap()).to_owned();
        let work = Rc::clone(&self.world.coordinator).forget_topic(topic);
        self.world.spawn(Box::pin(async move {
            work.await;
        }));
        self.world.count("a topic is deleted");
    }

    fn fate(&mut self) -> Fate {
        *[Fate::Kill, Fate::PowerLoss].choose(&mut self.random).unwrap()
    }

    fn restart(&mut self) {
        let count = [0, 0, 0, 1, 2].choose(&mut self.random).copied().unwrap();
        let interruptions = (0..count).map(|_| (self.fate(), self.random.random_range(0..30))).collect();
        let fault = self.one_in(4).then(|| self.fault(ErrorKind::Other));
        self.is_faulty = fault.is_some();
        let restart = Restart { fate: self.fate(), seed: self.random.random(), interruptions, fault };
        self.world.restart(&restart);
    }

    fn close(&mut self) {
        self.world.close();
        self.restart();
    }

    /// Lets all that waits be answered, closes the log, and reads it once more.
    fn end(mut self) -> BTreeMap<String, u64> {
        self.world.disk.clear_faults();
        self.make_room();
        if self.world.log.failed().is_some() || self.world.coordinator.damage().is_some() {
            let seed = self.random.random();
            self.world.restart(&Restart::simple(Fate::Kill, seed));
        }
        self.world.run_to_idle();
        self.wait_for_replies();
        self.world.check_state();
        self.world.close();
        let restart = Restart::simple(self.fate(), self.random.random());
        self.world.restart(&restart);
        self.world.run_to_idle();
        assert!(self.world.coordinator.look(|groups| groups.is_serving()), "groups are served after an open");
        self.world.check_state();
        self.counts()
    }

    /// Lets time pass from timer to timer. All clients are silent, so all sessions end.
    fn wait_for_replies(&mut self) {
        let until = self.world.clock.now() + Duration::from_millis(ANSWERED_WITHIN_MS);
        while !self.world.requests.is_empty() {
            let now = self.world.clock.now();
            assert!(now < until, "no reply within ten minutes: {:?}", self.world.requests);
            let timer = self.world.owner().timer.get().map_or(now, |at| at.max(now));
            let ms = u64::try_from((timer - now).as_millis()).unwrap().clamp(1, ANSWERED_WITHIN_MS);
            self.world.advance(ms);
            self.world.run_to_idle();
        }
    }

    fn counts(mut self) -> BTreeMap<String, u64> {
        let mut counts = std::mem::take(&mut self.world.counts);
        let mut add = |name: &str, count: u64| *counts.entry(name.to_owned()).or_default() += count;
        for (name, count) in &self.world.checks.counts {
            add(name, *count);
        }
        for (name, count) in self.world.disk.fault_counts() {
            add(&format!("fault: {name}"), count);
        }
        add("compactions", self.world.compactions);
        add("batches of a live state", self.world.model.repetitions);
        counts
    }
}
