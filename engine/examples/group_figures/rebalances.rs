//! Rebalances of a group of 8 members over 64 partitions: a lost member, a clean leave, and a rolling restart.

use crate::{Figures, PARTITIONS, open};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::Scope;
use std::time::{Duration, Instant};
use vnotch_engine::client::{
    AutoOffsetReset, ConsumerConfig, GroupConsumer, GroupConsumerConfig, GroupEvent, ProducerConfig,
    Subscribe,
};
use vnotch_engine::engine::Engine;
use vnotch_engine::group::Assignor;
use vnotch_engine::record::RecordRef;
use vnotch_engine::types::Durability;

const MEMBERS: usize = 8;
const SESSION_TIMEOUT: Duration = Duration::from_secs(2);
const HEARTBEAT_INTERVAL: Duration = Duration::from_millis(30);

/// Longest time from the session timeout until the others have the partitions of a lost member.
const LOST_MAX: Duration = Duration::from_secs(1);
/// Longest time from a clean leave until the others have the partitions.
const LEFT_MAX: Duration = Duration::from_millis(100);
/// Longest gap of a partition that stays, beyond that of the run without restarts.
const GAP_MAX: Duration = Duration::from_millis(50);

/// Time between two rounds of records, one for each partition.
const RECORD_EVERY: Duration = Duration::from_millis(5);

/// Time of the run without restarts, and of the run with one restart after the other.
const CALM: Duration = Duration::from_secs(8);
const BETWEEN_RESTARTS: Duration = Duration::from_millis(500);

/// The last reader of a partition, and the longest time between two records that the same member read one after the other.
#[derive(Default)]
struct Reading {
    /// Life of the member, from 1; a member that restarts has another.
    life: AtomicUsize,
    at_ns: AtomicU64,
    gap_ns: AtomicU64,
}

/// The facts that the threads share.
struct Board {
    begun: Instant,
    partitions: Vec<Reading>,
    /// Number of partitions by member.
    owned: Vec<AtomicUsize>,
    lives: AtomicUsize,
    has_ended: AtomicBool,
}

/// A command to a member's thread.
enum Command {
    /// The member is dropped: it says nothing more.
    Die,
    /// The member leaves.
    Leave,
    /// The member leaves, and another one joins in its place.
    Restart,
}

impl Board {
    fn new() -> Self {
        Self {
            begun: Instant::now(),
            partitions: (0..PARTITIONS).map(|_| Reading::default()).collect(),
            owned: (0..MEMBERS).map(|_| AtomicUsize::new(0)).collect(),
            lives: AtomicUsize::new(0),
            has_ended: AtomicBool::new(false),
        }
    }

    /// Notes that a member has read from a partition.
    fn read(&self, partition: u32, life: usize) {
        let now_ns = u64::try_from(self.begun.elapsed().as_nanos()).unwrap();
        let reading = &self.partitions[partition as usize];
        let before_ns = reading.at_ns.swap(now_ns, Ordering::Relaxed);
        if reading.life.swap(life, Ordering::Relaxed) == life {
            reading.gap_ns.fetch_max(now_ns.saturating_sub(before_ns), Ordering::Relaxed);
        }
    }

    /// Returns the longest gap since the last call.
    fn take_gap(&self) -> Duration {
        let gaps = self.partitions.iter().map(|reading| reading.gap_ns.swap(0, Ordering::Relaxed));
        Duration::from_nanos(gaps.max().unwrap_or(0))
    }

    /// Waits until these members have all partitions, and returns the time that this took.
    fn wait_until_owned(&self, members: &[usize]) -> Duration {
        let begun = Instant::now();
        let count = |member: &usize| self.owned[*member].load(Ordering::Relaxed);
        while members.iter().map(count).sum::<usize>() != PARTITIONS as usize {
            assert!(begun.elapsed() < Duration::from_secs(60), "the group does not settle");
            std::thread::sleep(Duration::from_micros(200));
        }
        begun.elapsed()
    }
}

pub(super) fn measure(dir: &Path, figures: &mut Figures) {
    for assignor in [Assignor::Range, Assignor::CooperativeSticky] {
        let (lost, left) = lose_and_leave(dir, assignor);
        let after = lost.saturating_sub(SESSION_TIMEOUT);
        figures.judge(
            &format!("{assignor:?}: a lost member's partitions had new owners {after:.0?} after its session timeout"),
            after <= LOST_MAX,
            "1 s",
        );
        figures.judge(
            &format!("{assignor:?}: after a clean leave all partitions had owners in {left:.1?}"),
            left <= LEFT_MAX,
            "100 ms",
        );
    }
    let (calm, restarts) = rolling_restart(dir);
    Figures::note(&format!("longest gap of a partition without restarts: {calm:.1?}"));
    figures.judge(
        &format!(
            "rolling restart of {MEMBERS} members: longest gap of a partition that stays: {restarts:.1?}"
        ),
        restarts <= calm + GAP_MAX,
        "50 ms beyond that without restarts",
    );
}

/// Drops a member and lets another one leave. Returns the times until the others have all partitions.
fn lose_and_leave(dir: &Path, assignor: Assignor) -> (Duration, Duration) {
    let engine = open(dir, &format!("members-{assignor:?}"), 1, Durability::Written);
    let board = Board::new();
    let times = std::thread::scope(|scope| {
        let members = start(scope, &engine, &board, assignor);
        let all: Vec<usize> = (0..MEMBERS).collect();
        settle(&board, &all);
        members[7].send(Command::Die).unwrap();
        let lost = board.wait_until_owned(&all[..7]);
        settle(&board, &all[..7]);
        members[6].send(Command::Leave).unwrap();
        let left = board.wait_until_owned(&all[..6]);
        board.has_ended.store(true, Ordering::Relaxed);
        (lost, left)
    });
    engine.close().unwrap();
    times
}

/// Waits until the members have all partitions, and for some time after that.
fn settle(board: &Board, members: &[usize]) {
    board.wait_until_owned(members);
    std::thread::sleep(Duration::from_secs(1));
    board.wait_until_owned(members);
}

/// Returns the longest gap of a partition without restarts, and of one that keeps its owner while members restart.
fn rolling_restart(dir: &Path) -> (Duration, Duration) {
    let engine = open(dir, "restarts", 1, Durability::Written);
    let board = Board::new();
    let gaps = std::thread::scope(|scope| {
        let members = start(scope, &engine, &board, Assignor::CooperativeSticky);
        scope.spawn(|| produce(&engine, &board));
        let all: Vec<usize> = (0..MEMBERS).collect();
        settle(&board, &all);
        board.take_gap();
        std::thread::sleep(CALM);
        let calm = board.take_gap();
        for member in &members {
            member.send(Command::Restart).unwrap();
            std::thread::sleep(BETWEEN_RESTARTS);
            board.wait_until_owned(&all);
        }
        std::thread::sleep(BETWEEN_RESTARTS);
        board.has_ended.store(true, Ordering::Relaxed);
        (calm, board.take_gap())
    });
    engine.close().unwrap();
    gaps
}

/// Starts a thread for each member. Returns the ways to command them.
fn start<'scope, 'env>(
    scope: &'scope Scope<'scope, 'env>,
    engine: &'env Engine,
    board: &'env Board,
    assignor: Assignor,
) -> Vec<Sender<Command>> {
    let start = |number: usize| {
        let (commands, received) = channel();
        scope.spawn(move || Member { engine, board, assignor, number }.run(&received));
        commands
    };
    (0..MEMBERS).map(start).collect()
}

struct Member<'a> {
    engine: &'a Engine,
    board: &'a Board,
    assignor: Assignor,
    number: usize,
}

impl Member<'_> {
    fn join(&self) -> (GroupConsumer, usize) {
        let config = GroupConsumerConfig {
            assignors: vec![self.assignor],
            auto_offset_reset: AutoOffsetReset::Earliest,
            session_timeout: SESSION_TIMEOUT,
            heartbeat_interval: HEARTBEAT_INTERVAL,
            fetch: ConsumerConfig { max_wait: Duration::from_millis(500), ..ConsumerConfig::default() },
            ..GroupConsumerConfig::new("vnotch-t-figures-group")
        };
        let consumer = self.engine.group_consumer(config, Subscribe::topics(["t"])).unwrap();
        (consumer, self.board.lives.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// Polls until a command ends the member.
    fn run(&self, commands: &Receiver<Command>) {
        let (mut consumer, mut life) = self.join();
        let owned = &self.board.owned[self.number];
        while !self.board.has_ended.load(Ordering::Relaxed) {
            match commands.try_recv() {
                Ok(Command::Die) => {
                    owned.store(0, Ordering::Relaxed);
                    return drop(consumer);
                }
                Ok(Command::Leave) => {
                    owned.store(0, Ordering::Relaxed);
                    return consumer.close().unwrap();
                }
                Ok(Command::Restart) => {
                    owned.store(0, Ordering::Relaxed);
                    consumer.close().unwrap();
                    (consumer, life) = self.join();
                }
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => {}
            }
            self.poll(&mut consumer, life);
            owned.store(consumer.assignment().len(), Ordering::Relaxed);
        }
    }

    /// Waits for an event for a few milliseconds.
    fn poll(&self, consumer: &mut GroupConsumer, life: usize) {
        let waker = std::sync::Arc::new(Unpark(std::thread::current())).into();
        match consumer.poll(&mut std::task::Context::from_waker(&waker)) {
            std::task::Poll::Ready(event) => {
                if let GroupEvent::Records(records) = event.unwrap() {
                    self.board.read(records.partition.partition, life);
                }
            }
            std::task::Poll::Pending => std::thread::park_timeout(Duration::from_millis(5)),
        }
    }
}

/// Wakes a thread that is parked.
struct Unpark(std::thread::Thread);

impl std::task::Wake for Unpark {
    fn wake(self: std::sync::Arc<Self>) {
        self.0.unpark();
    }
}

/// Appends a record to each partition again and again.
fn produce(engine: &Engine, board: &Board) {
    let mut producer =
        engine.producer("t", ProducerConfig { linger: None, ..ProducerConfig::default() }).unwrap();
    let mut due = Instant::now();
    while !board.has_ended.load(Ordering::Relaxed) {
        for partition in 0..PARTITIONS {
            let record = RecordRef { timestamp_ms: 1, value: Some(&[7; 100]), ..RecordRef::default() };
            producer.try_send(Some(partition), &record).unwrap();
        }
        assert!(producer.wait_all().into_iter().all(|ack| ack.result.is_ok()));
        due += RECORD_EVERY;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }
}
