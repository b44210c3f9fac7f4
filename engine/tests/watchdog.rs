//! Stuck shards, and cases that must not be taken for a stuck shard.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail by panic")]

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::task::{Context, Wake, Waker};
use std::time::{Duration, Instant};
use vnotch_engine::client::{ConsumerConfig, Producer, ProducerConfig};
use vnotch_engine::config::{EngineConfig, TopicConfig};
use vnotch_engine::engine::Engine;
use vnotch_engine::error::{AppendError, CloseError};
use vnotch_engine::record::RecordRef;

const PATIENCE: Duration = Duration::from_secs(60);

fn data_dir() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

fn config(path: &Path, shards: u32) -> EngineConfig {
    let cores = std::thread::available_parallelism().unwrap().get();
    EngineConfig {
        shards,
        cores: (0..shards as usize).map(|shard| shard % cores).collect(),
        arena_bytes: 16 << 20,
        ..EngineConfig::new(path)
    }
}

fn send(producer: &mut Producer) {
    producer.try_send(None, &RecordRef { value: Some(b"x"), ..RecordRef::default() }).unwrap();
}

/// Environment variable with the data directory of the process that the test pauses.
const PAUSED_DIR: &str = "VNOTCH_TEST_PAUSED_DIR";

#[test]
fn a_pause_of_the_whole_process_is_no_stuck_shard() {
    if let Some(dir) = std::env::var_os(PAUSED_DIR) {
        return append_until_stdin_ends(Path::new(&dir));
    }
    let dir = data_dir();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_pause_of_the_whole_process_is_no_stuck_shard", "--nocapture"])
        .env(PAUSED_DIR, dir.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let ready = lines.find(|line| line.as_ref().is_ok_and(|line| line.contains("ready")));
    assert!(ready.is_some(), "the child did not begin");
    let pid = rustix::process::Pid::from_child(&child);
    for _ in 0..3 {
        rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
        std::thread::sleep(STUCK_AFTER * 2);
        rustix::process::kill_process(pid, rustix::process::Signal::CONT).unwrap();
        std::thread::sleep(Duration::from_millis(200));
    }
    drop(child.stdin.take());
    let rest: Vec<String> = lines.map_while(Result::ok).collect();
    assert!(child.wait().unwrap().success(), "{}", rest.join("\n"));
}

/// `stuck_after` of the engine that is paused. It is longer than a busy machine lets a thread wait.
const STUCK_AFTER: Duration = Duration::from_secs(1);

fn append_until_stdin_ends(dir: &Path) {
    let engine = Engine::open(EngineConfig { stuck_after: STUCK_AFTER, ..config(dir, 4) }).unwrap();
    engine.create_topic("t", 4, TopicConfig::default()).unwrap();
    let is_ending = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for partition in 0..4 {
            let mut producer =
                engine.producer("t", ProducerConfig { linger: None, ..ProducerConfig::default() }).unwrap();
            let is_ending = &is_ending;
            scope.spawn(move || {
                while !is_ending.load(Ordering::Relaxed) {
                    let record = RecordRef { value: Some(b"x"), ..RecordRef::default() };
                    producer.try_send(Some(partition), &record).unwrap();
                    for ack in producer.wait_all() {
                        ack.result.unwrap();
                    }
                    std::thread::sleep(Duration::from_millis(1));
                }
            });
        }
        println!("ready");
        std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
        is_ending.store(true, Ordering::Relaxed);
    });
    engine.close().unwrap();
}

#[test]
fn closing_an_engine_with_a_stuck_shard_is_an_error_and_seals_the_others() {
    let dir = data_dir();
    let stuck_after = Duration::from_millis(300);
    let engine = Engine::open(EngineConfig { stuck_after, ..config(dir.path(), 2) }).unwrap();
    engine.create_topic("t", 2, TopicConfig::default()).unwrap();
    let (release, released) = mpsc::channel::<()>();
    let (begin, begun) = mpsc::channel();
    let task = engine.run_on(0, move |_| async move {
        begin.send(()).unwrap();
        let _ = released.recv_timeout(PATIENCE);
    });
    begun.recv_timeout(PATIENCE).unwrap();
    let (report, closed) = mpsc::channel();
    // This thread is not joined, as it may hang.
    std::thread::spawn(move || report.send(engine.close()));
    let closed = closed.recv_timeout(PATIENCE).expect("the close returns");
    assert!(matches!(closed, Err(CloseError::ShardStuck { shard: 0 })), "{closed:?}");
    release.send(()).unwrap();
    drop(task);
    Engine::open(config(dir.path(), 2)).unwrap().close().unwrap();
}

/// A waker that counts its wakes and panics at each.
#[derive(Default)]
struct Panicking(AtomicUsize);

impl Wake for Panicking {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
        panic!("a caller's waker panics");
    }
}

impl Panicking {
    fn wait_for(&self, wakes: usize) {
        let begun = Instant::now();
        while self.0.load(Ordering::SeqCst) < wakes {
            assert!(begun.elapsed() < PATIENCE, "the waker was not woken {wakes} times");
            std::thread::yield_now();
        }
    }
}

#[test]
fn wakers_that_panic_harm_nobody_else() {
    let dir = data_dir();
    let stuck_after = Duration::from_millis(500);
    let engine = Engine::open(EngineConfig { stuck_after, ..config(dir.path(), 1) }).unwrap();
    engine.create_topic("t", 1, TopicConfig::default()).unwrap();
    let producer = |linger| engine.producer("t", ProducerConfig { linger, ..Default::default() }).unwrap();
    let panicking = Arc::new(Panicking::default());
    let waker = Waker::from(Arc::clone(&panicking));
    let context = &mut Context::from_waker(&waker);
    let max_wait = Duration::from_secs(600);
    let mut consumer =
        engine.consumer([("t", 0, 0)], ConsumerConfig { max_wait, ..Default::default() }).unwrap();
    assert!(consumer.poll_fetch(context).is_pending());

    // The timer of lingering batches wakes the first time, then the ack does. A record wakes the consumer.
    let mut lingering = producer(Some(Duration::from_millis(20)));
    send(&mut lingering);
    assert!(lingering.poll_ack(context).is_pending());
    panicking.wait_for(1);
    let _ = lingering.poll_ack(context);
    panicking.wait_for(2);
    let mut other = producer(Some(Duration::from_millis(1)));
    send(&mut other);
    assert!(other.wait_ack().unwrap().result.is_ok());

    // The stuck shard wakes the producer.
    let mut unlucky = producer(None);
    let (release, released) = mpsc::channel::<()>();
    let task = engine.run_on(0, move |_| async move {
        let _ = released.recv_timeout(PATIENCE);
    });
    send(&mut unlucky);
    unlucky.flush();
    let before = panicking.0.load(Ordering::SeqCst);
    assert!(unlucky.poll_ack(context).is_pending());
    send(&mut other);
    let stuck = other.wait_ack().unwrap().result.unwrap_err();
    assert!(matches!(stuck, AppendError::ShardStuck { shard: 0 }), "{stuck}");
    panicking.wait_for(before + 1);
    release.send(()).unwrap();
    task.unwrap().wait().unwrap();
    let begun = Instant::now();
    loop {
        send(&mut other);
        match other.wait_ack().unwrap().result {
            Ok(_) => break,
            Err(error) => assert!(begun.elapsed() < PATIENCE, "still {error}"),
        }
    }
    engine.close().unwrap();
}
