//! Long random histories, one after the other. A test run has a few of them; `scripts/simulate` runs as many as fit the
//! given time.
//!
//! A seed decides everything about its history, so the seed of a failed history is enough to repeat it.

use crate::faults::{Misbehaviour, breach, failure};
use crate::rig::{Fate, Restart, Rig, Settings};
use crate::{Event, KINDS, alter, append, apply, catalog, fleet, level, restart, tally};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};
use vnotch_engine::types::IoMode;

/// Histories of a normal test run: about 20 s of one core.
const HISTORIES: u64 = 60;

/// Least number of operations in one history.
const OPERATIONS_MIN: usize = 200;

/// A history that takes longer than this counts as a hang.
const HANGS_AFTER: Duration = Duration::from_secs(300);

/// Time between two reports.
const REPORT_EVERY: Duration = Duration::from_secs(300);

/// Options of a run, from environment variables. `scripts/simulate` sets them.
struct Options {
    time: Option<Duration>,
    seed: u64,
    jobs: u64,
    replay: Option<u64>,
}

impl Options {
    fn of_environment() -> Self {
        let number = |name: &str| {
            let value = std::env::var(name).ok()?;
            Some(value.parse::<u64>().unwrap_or_else(|error| panic!("{name}={value}: {error}")))
        };
        let time = number("VNOTCH_SIMULATE_FOR").map(Duration::from_secs);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        // A normal test run has the same histories each time. A long run begins with another seed each time.
        let first = if time.is_some() { now.as_secs() << 20 } else { 1 };
        Self {
            time,
            seed: number("VNOTCH_SIMULATE_SEED").unwrap_or(first),
            jobs: number("VNOTCH_SIMULATE_JOBS").unwrap_or(1).max(1),
            replay: number("VNOTCH_SIMULATE_REPLAY"),
        }
    }
}

/// State of a run, shared by its threads.
struct Shared {
    begun: Instant,
    next_seed: AtomicU64,
    has_failed: AtomicBool,
    histories: AtomicU64,
    operations: AtomicU64,
    jobs: Vec<Job>,
}

/// The history that a thread runs now.
#[derive(Default)]
struct Job {
    seed: AtomicU64,
    /// Start of the history, ms since the run began; 0 before the first history.
    since_ms: AtomicU64,
}

#[test]
fn long_histories_keep_their_promises() {
    let options = Options::of_environment();
    if let Some(seed) = options.replay {
        run(seed);
        return;
    }
    let shared = Arc::new(Shared {
        begun: Instant::now(),
        next_seed: AtomicU64::new(options.seed),
        has_failed: AtomicBool::new(false),
        histories: AtomicU64::new(0),
        operations: AtomicU64::new(0),
        jobs: (0..options.jobs).map(|_| Job::default()).collect(),
    });
    let time = options.time;
    let last_seed = if time.is_some() { u64::MAX } else { options.seed + HISTORIES };
    let works = |number: usize, shared: Arc<Shared>| {
        std::thread::spawn(move || {
            while !shared.has_failed.load(Ordering::Relaxed)
                && time.is_none_or(|time| shared.begun.elapsed() < time)
            {
                let seed = shared.next_seed.fetch_add(1, Ordering::Relaxed);
                if seed >= last_seed {
                    break;
                }
                run_as(&shared.jobs[number], &shared, seed);
            }
        })
    };
    let threads: Vec<_> = (0..shared.jobs.len()).map(|number| works(number, Arc::clone(&shared))).collect();
    let mut reported = Instant::now();
    while threads.iter().any(|thread| !thread.is_finished()) {
        std::thread::sleep(Duration::from_millis(50));
        shared.stop_at_hang();
        if reported.elapsed() >= REPORT_EVERY {
            reported = Instant::now();
            shared.report();
        }
    }
    shared.report();
    assert!(!shared.has_failed.load(Ordering::Relaxed), "a history failed");
    let rare = tally::rare(&tally::all(), shared.histories.load(Ordering::Relaxed));
    assert!(rare.is_empty(), "met too rarely: {rare:#?}");
}

/// Runs the history of a seed. If it fails, prints how to repeat it.
fn run_as(job: &Job, shared: &Shared, seed: u64) {
    let since_ms = shared.begun.elapsed().as_millis() as u64;
    job.seed.store(seed, Ordering::Relaxed);
    job.since_ms.store(since_ms, Ordering::Relaxed);
    match catch_unwind(AssertUnwindSafe(|| run(seed))) {
        Ok(operations) => {
            shared.histories.fetch_add(1, Ordering::Relaxed);
            shared.operations.fetch_add(operations as u64, Ordering::Relaxed);
        }
        Err(_) => {
            shared.has_failed.store(true, Ordering::Relaxed);
            eprintln!("seed {seed} fails; repeat it with: scripts/simulate --replay {seed}");
        }
    }
}

impl Shared {
    fn stop_at_hang(&self) {
        let now_ms = self.begun.elapsed().as_millis() as u64;
        for job in &self.jobs {
            let since_ms = job.since_ms.load(Ordering::Relaxed);
            if since_ms > 0 && now_ms.saturating_sub(since_ms) > HANGS_AFTER.as_millis() as u64 {
                let seed = job.seed.load(Ordering::Relaxed);
                eprintln!("seed {seed} hangs; repeat it with: scripts/simulate --replay {seed}");
                self.report();
                std::process::exit(1);
            }
        }
    }

    fn report(&self) {
        let histories = self.histories.load(Ordering::Relaxed);
        let operations = self.operations.load(Ordering::Relaxed);
        println!("{histories} histories, {operations} operations, {} s", self.begun.elapsed().as_secs());
        for (name, count) in tally::all() {
            println!("{count:>12}  {name}");
        }
    }
}

/// Returns a value of a strategy. The seed alone decides which.
fn generated<S: Strategy>(strategy: &S, seed: u64) -> S::Value {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(ProptestConfig::default(), rng);
    strategy.new_tree(&mut runner).unwrap().current()
}

/// Runs the history of a seed. Returns the number of its operations.
fn run(seed: u64) -> usize {
    match seed % 8 {
        0..=2 => log_history(seed, &event().boxed()),
        3..=5 => {
            log_history(seed, &prop_oneof![30 => event(), 1 => breach().prop_map(Event::Misbehave)].boxed())
        }
        6 => {
            let (size_and_commit, events) =
                generated(&(fleet::size_and_commit(), operations(fleet::event())), seed);
            fleet::history(seed, size_and_commit, &events);
            events.len()
        }
        _ => {
            let steps = generated(&operations(catalog::step()), seed);
            catalog::history(seed, &steps);
            steps.len()
        }
    }
}

fn operations<T: std::fmt::Debug>(each: impl Strategy<Value = T>) -> impl Strategy<Value = Vec<T>> {
    prop::collection::vec(each, OPERATIONS_MIN..OPERATIONS_MIN + 20)
}

fn settings() -> impl Strategy<Value = Settings> {
    let topic = (
        level(),
        prop::sample::select(KINDS.to_vec()),
        prop::sample::select(vec![IoMode::Direct, IoMode::Direct, IoMode::Buffered]),
        prop::sample::select(vec![1_u64 << 20, 1_500_000]),
        prop::option::weighted(0.6, 3_u64 << 20..5 << 20),
    );
    let limits = (
        prop::sample::select(vec![16_usize << 10, 64 << 10, 256 << 10]),
        1_usize..6,
        prop::sample::select(vec![0_usize, 300_000, 4 << 20]),
    );
    (topic, limits).prop_map(|(topic, limits)| {
        let (durability, preallocate, io, segment_bytes, retention_bytes) = topic;
        let (write_bytes_max, write_depth, cache_bytes) = limits;
        Settings {
            durability,
            preallocate,
            io,
            segment_bytes,
            retention_bytes,
            write_bytes_max,
            write_depth,
            cache_bytes,
            ..Settings::default()
        }
    })
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        14 => append(),
        14 => (1_usize..30).prop_map(Event::Steps),
        2 => Just(Event::RunToIdle),
        8 => (any::<u8>(), 1_usize..600_000).prop_map(|(at, bytes_max)| Event::Fetch { at, bytes_max }),
        1 => Just(Event::Release),
        1 => Just(Event::Shed),
        2 => failure().prop_map(|fault| Event::Misbehave(Misbehaviour::Fault(fault))),
        1 => (0_u64..20).prop_map(|after| Event::FillUp { after }),
        1 => (0_u64..4 << 20).prop_map(|bytes| Event::Limit { bytes }),
        2 => Just(Event::MakeRoom),
        2 => (0_u64..300).prop_map(Event::Advance),
        1 => alter(),
        1 => Just(Event::Close),
        4 => restart().prop_map(Event::Restart),
    ]
}

/// Runs a history of one log with random events. Returns the number of events.
fn log_history(seed: u64, event: &BoxedStrategy<Event>) -> usize {
    let (settings, events) = generated(&(settings(), operations(event.clone())), seed);
    let mut rig = Rig::new(settings, seed);
    for (number, event) in (0..).zip(&events) {
        if rig.log.failed().is_some() {
            let fate = [Fate::Kill, Fate::PowerLoss][(seed ^ number) as usize % 2];
            rig.restart(&Restart::simple(fate, seed ^ number));
        }
        apply(&mut rig, number * 100, event);
        if rig.trust.is_broken() && number % 16 == 0 {
            rig.restart(&Restart::simple(Fate::PowerLoss, number));
            rig.begin_again(seed ^ number);
        }
    }
    rig.disk.clear_faults();
    rig.run_to_idle();
    rig.make_room();
    rig.restart(&Restart::simple(Fate::PowerLoss, seed));
    tally::add_faults(&rig.disk);
    events.len()
}
