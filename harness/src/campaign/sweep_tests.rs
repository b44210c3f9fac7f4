//! Sweeps of the fake system: every combination once a block, one common rate, and no trial twice after an interruption.

use super::order::Order;
use super::run::{Keeping, Measured, run_in};
use crate::device::bare_device;
use crate::result::latency::{Counting, Measure};
use crate::result::provenance::CoresUsed;
use crate::result::staging::{Staging, unfinished};
use crate::result::{Kind, LateAttempt, LatencyFigures, Point, RunResult, VerdictStatus, store};
use crate::system::System;
use crate::system::fake::{Behaviour, FakeSystem, GroupFaults};
use crate::trial::context::{Options, RunContext};
use crate::trial::data_dir::DataDir;
use crate::trial::progress::Progress;
use crate::workload::{Many, PassKind, Study, Workload, parse_study};
use serde_json::json;
use std::cell::RefCell;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

mod late;
mod resume;

const SWEEP: &str = "
name: small-sweep
message_size: 100B
ceiling: off
warm_memory: off
phases: {warmup: 0, measure: 200ms, drain: 2s}
trials: 2
late_retries: 0
load: {mode: open, rate: 2k/s}
sweep: {batch.max_records: [10, 20], durability: [written, synced]}
";

/// Two points with enough records for a p99.
const LATE: &str = "
name: late-sweep
message_size: 100B
ceiling: off
warm_memory: off
phases: {warmup: 0, measure: 800ms, drain: 2s}
trials: 2
load: {mode: open, rate: 10k/s}
sweep: {batch.max_records: [1, 2]}
";
/// A delay of the generator that is far longer than a busy machine causes.
const HOLDS_UP: Duration = Duration::from_millis(500);

pub(super) fn study(yaml: &str) -> Study {
    parse_study(yaml, "test.yaml", &[], Many::Refused, crate::system::CAPABILITIES).unwrap()
}

/// A directory in memory, because each trial would wait for a busy disk.
fn directory() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

/// The setup of the sweeps in these tests.
pub(super) struct Bench {
    dir: tempfile::TempDir,
    /// The combination of each trial, in the order they were made.
    opened: RefCell<Vec<(String, u32)>>,
    /// The run is stopped when the trial of this number has begun.
    stop_at: Option<usize>,
    /// The run is stopped when so many trials of the late batch size have begun.
    stop_at_late: Option<usize>,
    /// The system of the trial of this number cannot be opened.
    closed_at: Option<usize>,
    /// Trials of this batch size fail.
    failing: Option<u32>,
    /// Number of trials before the first failure.
    failing_from: usize,
    /// A batch size, and the number of its trials in which the generator is late.
    late: Option<(u32, usize)>,
    /// Time from the report of retention to the record that delays the generator. `None`: the first record does.
    late_after: Option<Duration>,
    /// Whether retention deletes nothing in every second trial of the late batch size.
    is_forgetful: bool,
    /// `--keep-data`.
    keeps_data: bool,
    /// Files cannot be stored in the directory of the sweep while the trials of these numbers are made.
    unstorable: Range<usize>,
    /// Faults of consumer groups.
    pub(super) group: GroupFaults,
}

impl Bench {
    pub(super) fn new() -> Self {
        Self {
            dir: directory(),
            opened: RefCell::default(),
            stop_at: None,
            stop_at_late: None,
            closed_at: None,
            failing: None,
            failing_from: 0,
            late: None,
            late_after: None,
            is_forgetful: false,
            keeps_data: false,
            unstorable: 0..0,
            group: GroupFaults::default(),
        }
    }

    fn results(&self) -> std::path::PathBuf {
        self.dir.path().join("results")
    }

    fn run(&self, study: &Study, keeping: Keeping) -> Option<Measured> {
        std::fs::create_dir_all(self.results()).unwrap();
        let data_dir = DataDir::open(Some(&self.dir.path().join("data"))).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let open = |workload: &Workload, _: &CoresUsed, _: &Path| {
            let mut opened = self.opened.borrow_mut();
            opened.push((format!("{:?}", workload.durability), workload.batch.max_records));
            if self.closed_at == Some(opened.len()) {
                anyhow::bail!("the door is closed");
            }
            if self.stop_at == Some(opened.len()) {
                stop.store(true, Ordering::SeqCst);
            }
            if self.unstorable.start == opened.len() {
                self.hide_trials(true);
            } else if self.unstorable.end == opened.len() {
                self.hide_trials(false);
            }
            let size = workload.batch.max_records;
            let fails = self.failing == Some(size) && opened.len() > self.failing_from;
            let fail_at = fails.then_some(0);
            let made = opened.iter().filter(|(_, other)| *other == size).count();
            let is_late = self.late.is_some_and(|(late, trials)| size == late && made <= trials);
            let holds_up = (is_late && self.late_after.is_none()).then_some((0, HOLDS_UP));
            let holds_up_after_retention = self.late_after.filter(|_| is_late).map(|after| (after, HOLDS_UP));
            let is_of_late = self.late.is_some_and(|(late, _)| size == late);
            if is_of_late && self.stop_at_late == Some(made) {
                stop.store(true, Ordering::SeqCst);
            }
            let forgets = self.is_forgetful && is_of_late && made.is_multiple_of(2);
            let retains_at = (!forgets).then_some(1);
            let target = FakeSystem::new(Behaviour {
                fail_at,
                holds_up,
                holds_up_after_retention,
                retains_at,
                group: self.group,
                ..Behaviour::default()
            });
            Ok(Box::new(target) as Box<dyn System>)
        };
        let options = Options { is_quiet: true, keep_data: self.keeps_data, ..Options::default() };
        let context = RunContext {
            study,
            options: &options,
            open: &open,
            unwarmed: &|_| None,
            device: &bare_device,
            data_dir: &data_dir,
            stop: &stop,
            measured: &AtomicBool::new(false),
            progress: &Progress::silent(),
            started: Instant::now(),
        };
        run_in(context, keeping).unwrap()
    }

    /// Puts a file in the place of the directory that holds the stored trials, or puts the directory back.
    fn hide_trials(&self, is_hidden: bool) {
        let [(dir, _)] = &unfinished(&self.results()).unwrap()[..] else { panic!("one unfinished sweep") };
        let (trials, hidden) = (dir.join("trials"), dir.join("hidden"));
        if is_hidden {
            std::fs::rename(&trials, hidden).unwrap();
            std::fs::write(trials, "").unwrap();
        } else {
            std::fs::remove_file(&trials).unwrap();
            std::fs::rename(hidden, trials).unwrap();
        }
    }

    pub(super) fn begin(&self, study: &Study) -> Option<Measured> {
        self.run(study, Keeping::Below(self.results()))
    }

    /// Resumes the only unfinished sweep.
    fn resume(&self, study: &Study) -> Measured {
        let [(dir, _)] = &unfinished(&self.results()).unwrap()[..] else { panic!("one unfinished sweep") };
        let staging = Staging::open(dir).unwrap();
        self.run(study, Keeping::In(Box::new(staging))).unwrap()
    }

    fn opened(&self) -> Vec<(String, u32)> {
        self.opened.borrow().clone()
    }
}

/// The combinations of a study in the order that its seed gives, as the bench notes them.
fn expected(study: &Study, seed: u64) -> Vec<(String, u32)> {
    let order = Order::new(seed, study.combinations.len());
    let blocks = (0..study.passes()).flat_map(|pass| (0..2).map(move |block| (pass, block)));
    let chosen =
        blocks.flat_map(|(pass, block)| order.block(pass, block)).map(|it| &study.combinations[it].workload);
    chosen.map(|workload| (format!("{:?}", workload.durability), workload.batch.max_records)).collect()
}

fn trials(result: &RunResult) -> Vec<usize> {
    result.points.iter().map(|point| point.trials.len()).collect()
}

#[test]
fn every_combination_is_a_point_and_runs_once_a_block_in_the_order_of_the_seed() {
    let (bench, study) = (Bench::new(), study(SWEEP));
    let measured = bench.begin(&study).unwrap();
    assert!(measured.is_whole);
    assert_eq!(bench.opened(), expected(&study, 42));
    let result = measured.recording.result;
    assert_eq!((result.kind, result.provenance.order_seed), (Kind::Sweep, Some(42)));
    let settings: Vec<_> = result.points.iter().map(|point| json!(point.settings)).collect();
    assert_eq!(
        settings,
        [
            json!({"batch.max_records": 10, "durability": "written"}),
            json!({"batch.max_records": 10, "durability": "synced"}),
            json!({"batch.max_records": 20, "durability": "written"}),
            json!({"batch.max_records": 20, "durability": "synced"}),
        ]
    );
    assert!(result.points.iter().all(|point| point.pass == PassKind::Open && point.trials.len() == 2));
    assert_eq!(result.workload["sweep"]["durability"], json!(["written", "synced"]));
    let durabilities: Vec<_> = result.points.iter().map(|point| json!(point.durability)).collect();
    assert_eq!(durabilities[..2], [json!("written"), json!("synced")]);
}

#[test]
fn the_trials_of_every_point_can_be_told_apart_in_all_files() {
    let (bench, study) = (Bench::new(), study(SWEEP));
    let measured = bench.begin(&study).unwrap();
    let dir = store::write(&bench.results(), &measured.recording, &[]).unwrap();
    measured.staging.unwrap().discard().unwrap();
    let back = store::load(&dir).unwrap();
    assert_eq!(back.result, measured.recording.result);
    for (point, it) in back.result.points.iter().enumerate() {
        for trial in 0..it.trials.len() {
            let record = back.trial(point, trial).unwrap();
            assert!(!record.series.is_empty() && !record.latency.is_empty(), "{point}.{trial}");
            let records: u64 = record.series.iter().map(|row| row.achieved).sum();
            assert_eq!(records, it.trials[trial].produce.records, "{point}.{trial}");
        }
    }
    assert!(unfinished(&bench.results()).unwrap().is_empty());
}

#[test]
fn a_share_is_one_of_the_slowest_maximum_and_the_same_for_all() {
    let yaml =
        SWEEP.replace("rate: 2k/s", "rate: 25%, in_flight_bytes: 64KiB").replace("[10, 20]", "[1, 50]");
    let (bench, study) = (Bench::new(), study(&yaml));
    let result = bench.begin(&study).unwrap().recording.result;
    assert_eq!(bench.opened(), expected(&study, 42), "all of them at max, then all of them at the rate");
    let passes: Vec<_> = result.points.iter().map(|point| point.pass).collect();
    assert_eq!(passes, [PassKind::Max, PassKind::Open].repeat(4));
    assert_eq!(trials(&result), [2; 8]);
    let medians = result.points.iter().filter(|point| point.pass == PassKind::Max);
    let slowest =
        medians.map(|point| point.summary["produce.records_per_s"].median).min_by(f64::total_cmp).unwrap();
    for point in result.points.iter().filter(|point| point.pass == PassKind::Open) {
        for trial in &point.trials {
            let offered = trial.offered.unwrap().records_per_s;
            assert!((offered / (slowest * 0.25) - 1.0).abs() < 0.01, "{offered} of {slowest}");
        }
    }
}

#[test]
fn a_combination_that_fails_is_given_up_and_the_others_go_on() {
    let (mut bench, study) = (Bench::new(), study(&format!("on_error: end\n{SWEEP}")));
    bench.failing = Some(20);
    let measured = bench.begin(&study).unwrap();
    assert!(measured.is_whole);
    let result = measured.recording.result;
    assert_eq!(trials(&result), [2, 2, 1, 1]);
    assert_eq!(result.verdict.status, VerdictStatus::Errors);
    // On a busy machine the generator may be late.
    let other = result.points[0].verdict.status;
    assert!(matches!(other, VerdictStatus::Valid | VerdictStatus::Invalid), "{other:?}");
    let (failed, whole) = (&result.points[2].verdict.reasons[0], &result.verdict.reasons[0]);
    assert!(failed.contains("injected"), "{failed}");
    assert!(whole.ends_with(failed), "why it is no result comes first: {whole}");
}

#[test]
fn what_fails_at_the_common_rate_does_not_change_it() {
    let yaml = format!("on_error: end\n{SWEEP}");
    let yaml = yaml.replace("rate: 2k/s", "rate: 25%, in_flight_bytes: 64KiB").replace("[10, 20]", "[1, 50]");
    let (mut bench, study) = (Bench::new(), study(&yaml));
    // Trials with one record a batch are the slowest. They fail at the common rate. The sweep is stopped in the third of them.
    (bench.failing, bench.failing_from, bench.stop_at) = (Some(1), 8, Some(11));
    let measured = bench.begin(&study).unwrap();
    assert!(!measured.is_whole);
    drop(measured.staging);
    bench.stop_at = None;
    let result = bench.resume(&study).recording.result;
    let is_large = |point: &&Point| point.settings["batch.max_records"] == json!(50);
    let open = result.points.iter().filter(|point| point.pass == PassKind::Open);
    let (sound, failed): (Vec<_>, Vec<_>) = open.partition(is_large);
    assert!(failed.iter().all(|point| point.verdict.status == VerdictStatus::Errors));
    // A trial that fails at once has no rate.
    assert!(sound.iter().all(|point| point.trials.len() == 2));
    let rates =
        sound.iter().flat_map(|point| &point.trials).map(|trial| trial.offered.unwrap().records_per_s);
    let (low, high) = rates.fold((f64::INFINITY, 0.0_f64), |(l, h), rate| (l.min(rate), h.max(rate)));
    assert!(high / low < 1.05, "{low} to {high} records/s are not one rate");
}

#[test]
fn what_a_run_has_measured_is_its_result_when_the_next_trial_cannot_be_made() {
    let (mut bench, study) = (Bench::new(), study(&SWEEP.replace("sweep:", "sweep: {} #")));
    bench.closed_at = Some(2);
    let result = bench.begin(&study).unwrap().recording.result;
    assert_eq!(trials(&result), [1]);
    assert_eq!(result.verdict.status, VerdictStatus::Errors);
    assert_eq!(result.verdict.reasons[0], "ended early: the door is closed");
}

#[test]
fn every_point_says_which_workload_is_its_own() {
    let (bench, study) = (Bench::new(), study(&SWEEP.replace("rate: 2k/s", "rate: 50%")));
    let result = bench.begin(&study).unwrap().recording.result;
    assert_eq!((result.points.len(), result.workloads.len()), (8, 4), "two passes share a workload");
    for point in &result.points {
        let workload = result.workload_of(point);
        assert_eq!(workload["batch"]["max_records"], point.settings["batch.max_records"]);
        assert_eq!(workload["durability"], point.settings["durability"]);
    }
}
