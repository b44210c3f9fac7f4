//! Ctrl-C and SIGTERM are answered within two seconds, in every phase of a run with many partitions.

use crate::run::Bench;
use crate::support::{alone, vnotch};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// The time in which a signal is answered.
const ANSWER_MAX: Duration = Duration::from_secs(2);
/// The time in which the run ends then. Its files are removed, which takes longer on a busy disk.
const END_MAX: Duration = Duration::from_secs(5);
/// The time in which a run gets to any of its phases.
const PHASE_MAX: Duration = Duration::from_secs(60);
/// A run of many partitions, each with a directory and files that are opened, closed and removed.
const MANY: &str = "\
partitions_per_topic: 500
producers_per_topic: 2
subscriptions_per_topic: 0
message_size: 100B
engine: {shards: 1, arena_bytes: 64MiB, fetch_pinned_bytes: 4MiB}
log: {segment_bytes: 1MiB, max_message_bytes: 64KiB}
load: {mode: open, rate: 5k/s}
phases: {warmup: 1200ms, measure: 1200ms, drain: 5s}
trials: 2
late_retries: 0
warm_memory: 64MiB
";

/// A run whose standard error is read line by line.
struct Running {
    child: Child,
    lines: Receiver<String>,
}

impl Running {
    fn begin(bench: &Bench, more: &[&str]) -> Self {
        let mut command = vnotch();
        let mut child =
            bench.run(&mut command).args(more).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let (sender, lines) = channel();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Self { child, lines }
    }

    /// Waits for a line that contains `text`. Returns the time that it took.
    fn wait_for(&self, text: &str, longest: Duration) -> Duration {
        let begun = Instant::now();
        let mut seen = Vec::new();
        while let Some(left) = longest.checked_sub(begun.elapsed()) {
            match self.lines.recv_timeout(left) {
                Ok(line) if line.contains(text) => return begun.elapsed(),
                Ok(line) => seen.push(line),
                Err(_) => break,
            }
        }
        panic!("no `{text}` in {longest:?}: {seen:#?}")
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for the end. Returns the time that it took and the exit code.
    fn end(mut self) -> (Duration, Option<i32>) {
        let begun = Instant::now();
        let code = self.child.wait().unwrap().code();
        (begun.elapsed(), code)
    }
}

#[test]
fn a_signal_is_answered_within_two_seconds_in_every_phase() {
    let phases = [
        ("the best that the device can do", Signal::INT, "auto"),
        ("calibrating the ceiling", Signal::TERM, "auto"),
        ("ceiling after", Signal::TERM, "auto"),
        ("open: trial 1 of 2", Signal::INT, "off"),
        ("measuring", Signal::INT, "off"),
        ("reading the log back", Signal::TERM, "off"),
    ];
    for (phase, signal, ceiling) in phases {
        let bench = Bench::new(&format!("{MANY}ceiling: {ceiling}\n"));
        let _alone = alone();
        let run = Running::begin(&bench, &[]);
        run.wait_for(phase, PHASE_MAX);
        // The line comes right before its phase.
        std::thread::sleep(Duration::from_millis(100));
        run.signal(signal);
        let answered = run.wait_for("interrupted", PHASE_MAX);
        let (ended, code) = run.end();
        println!("{phase}: answered in {answered:?}, ended in {ended:?}");
        assert!(answered < ANSWER_MAX, "{phase}: the answer took {answered:?}");
        assert!(ended < END_MAX, "{phase}: the end took {ended:?}");
        assert_eq!(code, Some(130), "{phase}");
        assert!(!bench.path("data").exists(), "{phase}: the data is removed");
    }
}

#[test]
fn a_second_signal_ends_the_run_at_once() {
    // A shard that stands still keeps the run from ending by itself.
    let bench = Bench::new(&format!("{}ceiling: off\n", MANY.replace("measure: 1200ms", "measure: 20s")));
    let _alone = alone();
    let mut run = Running::begin(&bench, &["--inject", "stall:shard0:8s@1s"]);
    run.wait_for("measuring", PHASE_MAX);
    std::thread::sleep(Duration::from_secs(2));
    run.signal(Signal::INT);
    run.wait_for("once more to leave at once", END_MAX);
    std::thread::sleep(Duration::from_millis(500));
    assert!(run.child.try_wait().unwrap().is_none(), "the first signal alone does not end it");
    run.signal(Signal::INT);
    let (ended, code) = run.end();
    assert!(ended < ANSWER_MAX, "{ended:?}");
    assert_eq!(code, Some(130));
}
