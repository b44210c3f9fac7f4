//! A coordinator with its log on a simulated disk. The world drives both as a shard does.

use crate::clock::JumpingClock;
use crate::history::check::Checks;
use crate::history::generate::Generator;
use crate::model::Model;
use crate::owner::{SimCoordinator, SimLog, SimOwner};
use crate::setup::{Opened, Setup};
use futures_util::future::LocalBoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;
use vnotch_engine::buffer::Arena;
use vnotch_engine::clock::Clock as _;
use vnotch_engine::disk::sim::SimDisk;
use vnotch_engine::error::AppendError;
use vnotch_engine::group::{EncodedRecord, GroupRecord, Request, RequestBody, Token};
use vnotch_engine::log::{JobDone, Refused};
use vnotch_engine::types::{Durability, TopicPartition};

/// Rounds without an operation of the disk after which nothing can be expected any more.
const IDLE_ROUNDS_MAX: usize = 200;

/// Remembers that a future wants to be polled again.
#[derive(Debug, Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A coordinator with its log and its clients.
pub(crate) struct World {
    pub setup: Setup,
    pub disk: SimDisk,
    pub clock: JumpingClock,
    pub log: Rc<SimLog>,
    pub(crate) arena: Rc<Arena>,
    pub coordinator: Rc<SimCoordinator>,
    jobs: FuturesUnordered<LocalBoxFuture<'static, JobDone>>,
    tasks: FuturesUnordered<LocalBoxFuture<'static, ()>>,
    /// Outcomes of appends that the coordinator has not heard yet.
    refused: Vec<(u32, AppendError)>,
    /// Batches that the log takes in one turn, and those that it has taken in this one.
    pub takes_a_turn: usize,
    taken: usize,
    /// Levels of the batches that the log has taken, by number.
    levels: BTreeMap<u32, Durability>,
    pub model: Model,
    pub checks: Checks,
    pub clients: Generator,
    /// Requests without a reply.
    pub requests: BTreeMap<Token, RequestBody>,
    /// Whether the stored state has been compared since the coordinator was made.
    is_loaded: bool,
    pub epoch: i32,
    pub boot_id: u64,
    /// Number of compactions that have raised the log's start.
    pub compactions: u64,
    pub counts: BTreeMap<String, u64>,
}

/// Returns records as a message of a failed check shows them.
pub(crate) fn readable(records: impl IntoIterator<Item = EncodedRecord>) -> Vec<GroupRecord> {
    let decoded = |it: EncodedRecord| GroupRecord::decode(&it.key, it.value.as_deref()).unwrap().unwrap();
    records.into_iter().map(decoded).collect()
}

/// Returns a coordinator that has not begun to load.
pub(crate) fn coordinator(setup: &Setup, clock: &JumpingClock, log: &Rc<SimLog>) -> Rc<SimCoordinator> {
    let name = TopicPartition { topic: Arc::from("__consumer_offsets"), partition: 0 };
    let owner = SimOwner::new(clock.clone(), Rc::clone(log));
    SimCoordinator::new(owner, name, 1, &setup.groups)
}

impl World {
    /// Returns a coordinator with an empty log.
    pub(crate) fn new(setup: Setup, seed: u64) -> Self {
        let (disk, clock) = (SimDisk::new(seed), JumpingClock::new(setup.history.start_ms));
        let Opened { log, arena } = disk.run_until(setup.open(disk.clone(), clock.clone(), (1, 1))).unwrap();
        let coordinator = coordinator(&setup, &clock, &log);
        let mut world = Self {
            model: Model::new(setup.history.config.clone()),
            checks: Checks::default(),
            clients: Generator::new(&setup.history),
            setup,
            disk,
            clock,
            log,
            arena,
            coordinator,
            jobs: FuturesUnordered::new(),
            tasks: FuturesUnordered::new(),
            refused: Vec::new(),
            takes_a_turn: usize::MAX,
            taken: 0,
            levels: BTreeMap::new(),
            requests: BTreeMap::new(),
            is_loaded: false,
            epoch: 1,
            boot_id: 1,
            compactions: 0,
            counts: BTreeMap::new(),
        };
        world.begin_to_load();
        world
    }

    pub(crate) fn count(&mut self, name: &str) {
        *self.counts.entry(name.to_owned()).or_default() += 1;
    }

    pub(crate) fn owner(&self) -> &SimOwner {
        self.coordinator.owner()
    }

    /// Replaces the log and the coordinator. All that was under way is gone.
    pub(crate) fn replace(&mut self, disk: SimDisk, Opened { log, arena }: Opened) {
        self.compactions += self.owner().deletions.get();
        (self.disk, self.log, self.arena) = (disk, log, arena);
        self.coordinator = coordinator(&self.setup, &self.clock, &self.log);
        self.jobs = FuturesUnordered::new();
        self.tasks = FuturesUnordered::new();
        self.refused.clear();
        self.levels.clear();
        self.is_loaded = false;
    }

    /// Replaces the coordinator, and keeps the log open. Nothing may be under way.
    pub(crate) fn replace_coordinator(&mut self) {
        self.compactions += self.owner().deletions.get();
        self.coordinator = coordinator(&self.setup, &self.clock, &self.log);
        self.levels.clear();
        self.model.coordinator_replaced();
        self.is_loaded = false;
    }

    /// Begins to read the stored groups.
    pub(crate) fn begin_to_load(&mut self) {
        self.tasks.push(Box::pin(Rc::clone(&self.coordinator).load()));
    }

    /// Runs work of the coordinator in the background.
    pub(crate) fn spawn(&mut self, work: LocalBoxFuture<'static, ()>) {
        self.tasks.push(work);
        self.turn();
    }

    /// Sends a request.
    pub(crate) fn send(&mut self, request: Request) {
        self.checks.request(&request);
        self.requests.insert(request.token, request.body.clone());
        self.coordinator.handle(request);
        self.hear();
        self.turn();
    }

    /// Completes up to `count` operations of the disk, with a turn after each.
    pub(crate) fn steps(&mut self, count: usize) {
        for _ in 0..count {
            if !self.disk.step() {
                break;
            }
            self.clock.advance(Duration::from_millis(1));
            self.turn();
        }
    }

    /// Lets time pass.
    pub(crate) fn advance(&mut self, ms: u64) {
        self.clock.advance(Duration::from_millis(ms));
        self.turn();
    }

    /// Runs until nothing is left to do, or until all waits for space.
    pub(crate) fn run_to_idle(&mut self) {
        let mut idle_rounds = 0;
        while idle_rounds < IDLE_ROUNDS_MAX {
            self.turn();
            if self.disk.outstanding() > 0 {
                self.steps(1);
                idle_rounds = 0;
            } else if self.owner().turns.are_awaited() || !self.owner().waiting.borrow().is_empty() {
                idle_rounds += 1;
            } else {
                break;
            }
        }
        let may_wait =
            self.log.failed().is_some() || self.log.no_space().is_some() || self.log.retry_due().is_some();
        assert!(may_wait || idle_rounds < IDLE_ROUNDS_MAX, "the coordinator waits for nothing");
        assert!(may_wait || self.owner().waiting.borrow().is_empty(), "appends are not taken");
        assert!(may_wait || self.tasks.is_empty(), "a task waits for nothing");
    }

    /// Does what a shard does between two polls of its ring.
    pub(crate) fn turn(&mut self) {
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let context = &mut Context::from_waker(&waker);
        self.owner().turns.begin();
        self.taken = 0;
        self.log.retry();
        self.log.look_at_age();
        self.tick();
        self.coordinator.compact();
        let mut has_moved = true;
        while has_moved {
            has_moved = self.pass_acks() | self.put_waiting();
            while let Poll::Ready(Some(done)) = self.jobs.poll_next_unpin(context) {
                self.log.job_done(done);
                has_moved = true;
            }
            while let Some(job) = self.log.next_job() {
                self.jobs.push(Box::pin(job.run()));
                has_moved = true;
            }
            self.begin_wanted();
            self.tasks.extend(self.coordinator.owner().spawned.take());
            while let Poll::Ready(Some(())) = self.tasks.poll_next_unpin(context) {
                has_moved = true;
            }
            self.hear();
            self.notice_loaded();
            self.arena.wake_reads();
            has_moved |= woken.0.swap(false, Ordering::Relaxed) || !self.owner().spawned.borrow().is_empty();
        }
    }

    fn begin_wanted(&mut self) {
        let (wants, log) = (self.log.wants(), &self.log);
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
        if wants.cut {
            self.tasks.push(Box::pin(Rc::clone(log).cut()));
        }
        if wants.spare {
            self.tasks.push(Box::pin(Rc::clone(log).prepare_spare()));
        }
    }

    fn tick(&mut self) {
        let now = self.clock.now();
        if self.owner().timer.get().is_some_and(|at| at <= now) {
            self.owner().timer.set(None);
            self.coordinator.tick();
            self.hear();
        }
    }

    fn put_waiting(&mut self) -> bool {
        let mut has_moved = false;
        loop {
            let end = self.log.log_end_offset();
            if end < self.model.next_offset() {
                assert!(self.log.no_space().is_some(), "records are cut off, and the disk is not full");
                self.model.cut(end);
            }
            assert_eq!(end, self.model.next_offset(), "the end of the log");
            if self.taken == self.takes_a_turn {
                break;
            }
            let Some(next) = self.coordinator.owner().waiting.borrow_mut().pop_front() else { break };
            let number = next.number;
            match self.log.append(&next.batch, next.level, number) {
                Ok(()) => {
                    self.levels.insert(number, next.level.unwrap_or(self.setup.topic.durability));
                    self.model.appended(&next.batch, number);
                    self.taken += 1;
                }
                Err(Refused::NotNow(_)) => {
                    self.coordinator.owner().waiting.borrow_mut().push_front(next);
                    break;
                }
                Err(Refused::NoMemory(_)) => {
                    self.coordinator.owner().waiting.borrow_mut().push_front(next);
                    self.log.shed_memory();
                    break;
                }
                Err(Refused::Failed(_, error)) => self.refused.push((number, error)),
            }
            has_moved = true;
        }
        has_moved
    }

    /// Passes the outcomes of appends to the coordinator.
    pub(crate) fn pass_acks(&mut self) -> bool {
        let mut acks = Vec::new();
        self.log.take_acks(&mut acks);
        acks.extend(self.refused.drain(..).map(|(number, error)| (number, Err(error))));
        let has_moved = !acks.is_empty();
        for (number, outcome) in acks {
            match &outcome {
                Ok(base_offset) => {
                    let level = self.levels.remove(&number).expect("the batch was appended");
                    let records = self.model.acked(number, *base_offset, level);
                    records.iter().for_each(|record| self.checks.record(record));
                }
                Err(error) => self.note_failure(number, error),
            }
            self.coordinator.acked(number, outcome);
            self.hear();
        }
        if has_moved {
            self.coordinator.compact();
        }
        has_moved
    }

    fn note_failure(&mut self, number: u32, error: &AppendError) {
        let name = match error {
            AppendError::NoSpace(_) | AppendError::TooManyOpenFiles(_) => {
                self.model.refused(number);
                "append: no space"
            }
            AppendError::TooLarge { .. } | AppendError::Invalid(_) => "append: too large",
            // Nobody knows what is on the disk. The next open decides.
            AppendError::StorageFailed(_) => "append: the storage failed",
            error => panic!("an append fails: {error}"),
        };
        self.count(name);
    }

    /// Checks the replies that have left, and lets the clients hear them.
    pub(crate) fn hear(&mut self) {
        let is_serving = self.coordinator.look(|groups| groups.is_serving());
        for reply in self.coordinator.owner().replies.take() {
            let request = self.requests.remove(&reply.token).expect("a reply answers a request, once");
            if is_serving {
                self.coordinator.look(|groups| self.checks.replies(std::slice::from_ref(&reply), groups));
                self.check_reply(&request, &reply.body);
            } else {
                self.checks.early_reply(&reply);
            }
            self.clients.hear_reply(&request, &reply);
        }
    }

    /// Compares the groups with what was stored, when they have just been read.
    fn notice_loaded(&mut self) {
        if !self.is_loaded && self.coordinator.look(|groups| groups.is_serving()) {
            self.is_loaded = true;
            self.check_stored();
        }
    }
}
