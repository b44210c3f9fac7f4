//! Sweeps of the fake system: every combination once a block, one common rate, and no trial twice after an interruption.

use super::order::Order;
use super::run::{Keeping, Measured, run_in};
use crate::result::latency::{Counting, Measure};
use crate::result::provenance::CoresUsed;
use crate::result::staging::{Staging, unfinished};
use crate::result::{Kind, LateAttempt, LatencyFigures, Point, RunResult, VerdictStatus, store};
use crate::system::System;
use crate::system::fake::{Behaviour, FakeSystem};
use crate::trial::context::{Options, RunContext};
use crate::trial::data_dir::DataDir;
use crate::trial::progress::Progress;
use crate::workload::{Many, PassKind, Study, Workload, parse_study};
use serde_json::json;
use std::cell::RefCell;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

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
phases: {warmup: 0, measure: 400ms, drain: 2s}
trials: 2
load: {mode: open, rate: 10k/s}
sweep: {batch.max_records: [1, 2]}
";
/// A delay of the generator that is far longer than a busy machine causes.
const HOLDS_UP: Duration = Duration::from_millis(200);
const HELD_UP_NS: u64 = 150_000_000;

fn study(yaml: &str) -> Study {
    parse_study(yaml, "test.yaml", &[], Many::Refused, crate::system::CAPABILITIES).unwrap()
}

/// A directory in memory, because each trial would wait for a busy disk.
fn directory() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

/// The setup of the sweeps in these tests.
struct Bench {
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
    /// Number of records before the one that delays the generator.
    late_after: u64,
    /// Whether retention deletes nothing in every second trial of the late batch size.
    is_forgetful: bool,
    /// `--keep-data`.
    keeps_data: bool,
}

impl Bench {
    fn new() -> Self {
        Self {
            dir: directory(),
            opened: RefCell::default(),
            stop_at: None,
            stop_at_late: None,
            closed_at: None,
            failing: None,
            failing_from: 0,
            late: None,
            late_after: 0,
            is_forgetful: false,
            keeps_data: false,
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
            let size = workload.batch.max_records;
            let fails = self.failing == Some(size) && opened.len() > self.failing_from;
            let fail_at = fails.then_some(0);
            let made = opened.iter().filter(|(_, other)| *other == size).count();
            let is_late = self.late.is_some_and(|(late, trials)| size == late && made <= trials);
            let holds_up = is_late.then_some((self.late_after, HOLDS_UP));
            let is_of_late = self.late.is_some_and(|(late, _)| size == late);
            if is_of_late && self.stop_at_late == Some(made) {
                stop.store(true, Ordering::SeqCst);
            }
            let forgets = self.is_forgetful && is_of_late && made.is_multiple_of(2);
            let retains_at = (!forgets).then_some(1);
            let target = FakeSystem::new(Behaviour { fail_at, holds_up, retains_at, ..Behaviour::default() });
            Ok(Box::new(target) as Box<dyn System>)
        };
        let options = Options { is_quiet: true, keep_data: self.keeps_data, ..Options::default() };
        let context = RunContext {
            study,
            options: &options,
            open: &open,
            data_dir: &data_dir,
            stop: &stop,
            measured: &AtomicBool::new(false),
            progress: &Progress::silent(),
            started: Instant::now(),
        };
        run_in(context, keeping).unwrap()
    }

    fn begin(&self, study: &Study) -> Option<Measured> {
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
fn an_interrupted_sweep_keeps_what_it_has_and_is_gone_on_with_where_it_stopped() {
    let (mut bench, study) = (Bench::new(), study(SWEEP));
    bench.stop_at = Some(4);
    let first = bench.begin(&study).unwrap();
    assert!(!first.is_whole);
    let begun = first.recording.result;
    assert_eq!(begun.verdict.status, VerdictStatus::Interrupted);
    assert_eq!(bench.opened().len(), 4);
    drop(first.staging);
    bench.stop_at = None;
    let second = bench.resume(&study);
    assert!(second.is_whole);
    // The fourth trial was cut short before or in its window. It alone is made again.
    let order = expected(&study, 42);
    assert_eq!(bench.opened()[..4], order[..4]);
    assert_eq!(bench.opened()[4..], order[3..]);
    let result = second.recording.result;
    assert_eq!(trials(&result), [2; 4]);
    assert_ne!(result.verdict.status, VerdictStatus::Interrupted);
    assert_eq!(result.provenance.started_at, begun.provenance.started_at);
    assert_eq!(result.provenance.resumed_at.len(), 1);
    assert!(result.elapsed_s > begun.elapsed_s);
    let before: Vec<_> =
        begun.points.iter().flat_map(|point| &point.trials).filter(|t| t.window_s > 0.19).collect();
    let after: Vec<_> = result.points.iter().flat_map(|point| &point.trials).collect();
    assert!(
        before.len() >= 3 && before.iter().all(|trial| after.contains(trial)),
        "they are the same trials"
    );
    let first_of_second = after.iter().map(|trial| trial.window_start_s).fold(0.0, f64::max);
    assert!(first_of_second > begun.elapsed_s, "time goes on");
}

#[test]
fn an_interruption_between_two_trials_is_one_too() {
    let (mut bench, study) = (Bench::new(), study(&SWEEP.replace("warmup: 0", "warmup: 600ms")));
    bench.stop_at = Some(2);
    let measured = bench.begin(&study).unwrap();
    assert!(!measured.is_whole);
    let result = measured.recording.result;
    assert_eq!(trials(&result), [1], "the second was cut before its window opened");
    assert_eq!(result.verdict.status, VerdictStatus::Interrupted);
    assert!(
        result.verdict.reasons.iter().any(|reason| reason.contains("1 of 8 trials")),
        "{:?}",
        result.verdict
    );
}

#[test]
fn a_sweep_that_was_killed_has_lost_no_more_than_the_trial_under_way() {
    let (mut bench, study) = (Bench::new(), study(SWEEP));
    bench.stop_at = Some(3);
    drop(bench.begin(&study).unwrap());
    // A kill while a trial is kept leaves half of its files, and one file under a temporary name.
    let [(dir, _)] = &unfinished(&bench.results()).unwrap()[..] else { panic!("one") };
    std::fs::write(dir.join("trials/000002.hlog"), "half").unwrap();
    std::fs::write(dir.join("trials/.unfinished-x"), "half").unwrap();
    bench.stop_at = None;
    let result = bench.resume(&study).recording.result;
    assert_eq!(trials(&result), [2; 4]);
    assert_eq!(bench.opened().len(), 3 + 6);
}

#[test]
fn a_sweep_that_was_stopped_before_anything_was_measured_leaves_nothing() {
    let (mut bench, study) = (Bench::new(), study(&SWEEP.replace("warmup: 0", "warmup: 5s")));
    bench.stop_at = Some(1);
    assert!(bench.begin(&study).is_none());
    assert_eq!(std::fs::read_dir(bench.results()).unwrap().count(), 0);
}

#[test]
fn a_combination_that_fails_is_given_up_and_the_others_go_on() {
    let (mut bench, study) = (Bench::new(), study(SWEEP));
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

/// How often a generator that was held up was late, in the attempts of each trial of a point.
fn held_up(result: &RunResult, point: usize) -> Vec<usize> {
    let is_held_up = |attempt: &&LateAttempt| attempt.pacing_lag_p99.is_some_and(|ns| ns > HELD_UP_NS);
    let trials = result.points[point].trials.iter();
    trials.map(|trial| trial.late_attempts.iter().filter(is_held_up).count()).collect()
}

#[test]
fn a_trial_whose_generator_was_late_is_made_again_at_the_end_of_its_block() {
    let (mut bench, study) = (Bench::new(), study(LATE));
    bench.late = Some((2, 1));
    let measured = bench.begin(&study).unwrap();
    assert!(measured.is_whole);
    let order = expected(&study, 42);
    assert_eq!(bench.opened()[..2], order[..2]);
    assert!(bench.opened()[2..4].contains(&("Written".into(), 2)), "{:?}", bench.opened());
    let result = &measured.recording.result;
    assert_eq!(trials(result), [2, 2]);
    assert_eq!((held_up(result, 0), held_up(result, 1)), (vec![0, 0], vec![1, 0]));
    let retried = &result.points[1].trials[0];
    assert!(retried.late_attempts[0].window_start_s < retried.window_start_s);
    assert!(retried.latency_ns.pacing_lag.as_ref().unwrap().p99.unwrap() < HELD_UP_NS);
    let next_block = result.points.iter().map(|point| &point.trials[1]);
    assert!(next_block.into_iter().all(|trial| trial.window_start_s > retried.window_start_s));
    let response = "latency_ns.response.p99";
    let (figure, first) = (result.points[1].figure(response), result.points[1].first_figure(response));
    assert!(first.unwrap().max > figure.unwrap().max, "the first attempt waited for the generator");
    assert!(result.points[1].late_share() >= 0.5);
    let said = |reason: &String| reason.contains("measured again, as the generator was late");
    assert!(result.points[1].verdict.reasons.iter().any(said), "{:?}", result.points[1].verdict);
    // The record over time is that of the later attempt too.
    let record = measured.recording.trials.iter().find(|record| (record.point, record.trial) == (1, 0));
    let achieved: u64 = record.unwrap().series.iter().map(|row| row.achieved).sum();
    assert_eq!(achieved, retried.produce.records);
    // A process that is killed now, before the result is written, has lost nothing.
    drop(measured.staging);
    let opened = bench.opened().len();
    let resumed = bench.resume(&study).recording.result;
    assert_eq!(held_up(&resumed, 1), [1, 0]);
    assert_eq!(resumed.points[1].trials[0].window_start_s.to_bits(), retried.window_start_s.to_bits());
    assert_eq!(bench.opened().len(), opened, "every late trial has had its other chance");
}

#[test]
fn a_generator_that_stays_late_is_given_as_many_chances_as_the_workload_allows() {
    let (mut bench, study) = (Bench::new(), study(&format!("{LATE}late_retries: 2")));
    bench.late = Some((1, usize::MAX));
    let result = bench.begin(&study).unwrap().recording.result;
    assert_eq!(held_up(&result, 0), [2, 2]);
    assert_eq!(result.points[0].verdict.status, VerdictStatus::Invalid);
    assert_eq!(trials(&result), [2, 2]);
}

#[test]
fn a_late_trial_stands_when_another_attempt_at_it_is_interrupted() {
    let (mut bench, study) = (Bench::new(), study(LATE));
    let before;
    (bench.late, bench.stop_at_late) = (Some((2, usize::MAX)), Some(4));
    let measured = bench.begin(&study).unwrap();
    assert!(!measured.is_whole, "what was late was not made again");
    let result = measured.recording.result;
    assert_eq!(trials(&result), [2, 2]);
    assert_eq!(held_up(&result, 1), [1, 0]);
    assert_eq!(result.points[1].verdict.status, VerdictStatus::Invalid);
    assert_eq!(result.verdict.status, VerdictStatus::Interrupted);
    assert!(result.verdict.reasons[0].contains("were measured again, as the generator was late"));
    drop(measured.staging);
    (bench.stop_at_late, before) = (None, bench.opened().len());
    let resumed = bench.resume(&study);
    assert!(resumed.is_whole);
    assert_eq!(held_up(&resumed.recording.result, 1), [1, 1]);
    assert_eq!(bench.opened()[before..].iter().filter(|(_, size)| *size == 2).count(), 1);
}

#[test]
fn a_late_trial_stands_when_retention_is_not_reached_in_another_attempt_at_it() {
    let yaml = LATE.replace("warmup: 0", "warmup: 100ms")
        + "require: [retention_reached]\nlog: {segment_bytes: 1MiB, retention_bytes: 1MiB}";
    let (mut bench, study) = (Bench::new(), study(&yaml));
    // The window opens some 300 ms after the load has begun.
    (bench.late, bench.late_after, bench.is_forgetful) = (Some((2, usize::MAX)), 4000, true);
    let measured = bench.begin(&study).unwrap();
    assert!(measured.is_whole, "nobody interrupted it");
    let of_late = bench.opened().into_iter().filter(|(_, size)| *size == 2).count();
    assert_eq!(of_late, 4, "each was tried once more: {:?}", bench.opened());
    let result = measured.recording.result;
    assert_eq!((trials(&result), held_up(&result, 1)), (vec![2, 2], vec![0, 0]));
    assert_eq!(result.points[1].verdict.status, VerdictStatus::Invalid);
    assert_eq!(result.verdict.status, VerdictStatus::Invalid, "{:?}", result.verdict);
}

#[test]
fn what_keeps_its_data_is_not_measured_again() {
    let (mut bench, study) = (Bench::new(), study(LATE));
    (bench.late, bench.keeps_data) = (Some((1, usize::MAX)), true);
    let measured = bench.begin(&study).unwrap();
    assert!(measured.is_whole);
    assert_eq!(measured.recording.result.points[0].verdict.status, VerdictStatus::Invalid);
    assert_eq!(bench.opened().len(), 4);
}

#[test]
fn what_fails_at_the_common_rate_does_not_change_it() {
    let yaml =
        SWEEP.replace("rate: 2k/s", "rate: 25%, in_flight_bytes: 64KiB").replace("[10, 20]", "[1, 50]");
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
fn a_sweep_is_not_gone_on_with_under_other_stalls() {
    let (mut bench, study) = (Bench::new(), study(SWEEP));
    bench.stop_at = Some(2);
    drop(bench.begin(&study).unwrap());
    let [(dir, manifest)] = &unfinished(&bench.results()).unwrap()[..] else { panic!("one") };
    let mut manifest = manifest.clone();
    manifest.injected =
        vec!["stall:shard0:1s@2s".parse::<crate::trial::inject::Injection>().unwrap().to_string()];
    std::fs::write(dir.join("sweep.json"), serde_json::to_vec(&manifest).unwrap()).unwrap();
    let data_dir = DataDir::open(Some(&bench.dir.path().join("data"))).unwrap();
    let keeping = Keeping::In(Box::new(Staging::open(dir).unwrap()));
    let open = |_: &Workload, _: &CoresUsed, _: &Path| anyhow::bail!("nothing is measured");
    let context = RunContext {
        study: &study,
        options: &Options { is_quiet: true, ..Options::default() },
        open: &open,
        data_dir: &data_dir,
        stop: &Arc::default(),
        measured: &AtomicBool::new(false),
        progress: &Progress::silent(),
        started: Instant::now(),
    };
    let error = run_in(context, keeping).unwrap_err().to_string();
    assert!(error.contains("with `--inject stall:shard0:1s@2s`, and this is no `--inject`"), "{error}");
}

#[test]
fn percentiles_can_be_computed_again_from_the_files_of_a_sweep_that_was_resumed() {
    let (mut bench, study) = (Bench::new(), study(LATE));
    bench.stop_at = Some(2);
    drop(bench.begin(&study).unwrap());
    bench.stop_at = None;
    let measured = bench.resume(&study);
    let dir = store::write(&bench.results(), &measured.recording, &[]).unwrap();
    let back = store::load(&dir).unwrap();
    let mut percentiles = 0;
    for (index, point) in back.result.points.iter().enumerate() {
        for (number, trial) in point.trials.iter().enumerate() {
            assert!(trial.clock_zero_unix_ms.unwrap() > 0);
            let histograms = &back.trial(index, number).unwrap().histograms;
            for measure in Measure::ALL {
                let Some((_, figures)) =
                    trial.latency_ns.named().into_iter().find(|it| it.0 == measure.name())
                else {
                    panic!("every measure has a name")
                };
                let Some(figures) = figures else { continue };
                let count = |counting| histograms.histogram(measure, counting).map_or(0, |it| it.len());
                let acks = histograms.histogram(measure.acks(), Counting::Distinct);
                assert_eq!(count(Counting::Records), figures.count);
                assert_eq!(Some(acks.map_or(0, |it| it.len())), figures.distinct);
                let (names, quantiles): (Vec<_>, Vec<_>) =
                    LatencyFigures::QUANTILES.into_iter().filter(|(name, _)| *name != "max").unzip();
                let written: Vec<_> = names.into_iter().map(|name| figures.at(name)).collect();
                let computed = histograms.at_quantiles(measure, &quantiles, figures.censored_from);
                // Producers know how long end-to-end latencies waited for the generator, and consumers do not.
                if measure != Measure::EndToEnd {
                    assert_eq!(computed, written, "{index}.{number} {}", measure.name());
                }
                percentiles += computed.iter().flatten().count();
            }
        }
    }
    assert!(percentiles > 0);
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

#[test]
fn two_processes_do_not_go_on_with_one_sweep() {
    let (mut bench, study) = (Bench::new(), study(SWEEP));
    bench.stop_at = Some(2);
    let measured = bench.begin(&study).unwrap();
    let staging = measured.staging.unwrap();
    let error = Staging::open(staging.dir()).unwrap_err().to_string();
    assert!(error.contains("another process"), "{error}");
}
