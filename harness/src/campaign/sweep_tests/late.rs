//! Trials whose generator was late are measured again, at the end of their block.

use super::*;

const HELD_UP_NS: u64 = 400_000_000;

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
    let said = |reason: &String| reason.contains("measured again, because the load generator was late");
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
    assert!(result.verdict.reasons[0].contains("were measured again, because the load generator was late"));
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
    // The window opens some 200 ms after the report of retention, and lasts 800 ms.
    let late_after = Some(Duration::from_millis(350));
    (bench.late, bench.late_after, bench.is_forgetful) = (Some((2, usize::MAX)), late_after, true);
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
