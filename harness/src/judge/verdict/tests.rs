//! Objectives against percentiles that are bounds, and the flags of a trial.

use super::*;
use crate::result::latency::percentile::Percentile;
use crate::result::{
    BacklogFigures, CeilingFigures, Figure, Interval, LatencyFigures, LatencySet, Offered, Resources, Verdict,
};
use crate::stats;
use crate::workload::{Durability, TimeSpan, keys, parse};
use std::time::Duration;

const MS: u64 = 1_000_000;

/// A trial with one value of `response` p99, in ms, and of `own`.
fn trial(response_ms: u64, bound: Option<Bound>, own_ms: u64) -> Trial {
    let figures = |ms: u64, bound| {
        let mut figures = LatencyFigures { count: 1000, ..LatencyFigures::default() };
        figures.set("p99", Some(Percentile { ns: ms * MS, bound }));
        Some(figures)
    };
    let own = figures(own_ms, bound.filter(|bound| *bound == Bound::Lower));
    let latency_ns = LatencySet { response: figures(response_ms, bound), own, ..LatencySet::default() };
    Trial { latency_ns, ..Trial::default() }
}

fn point(trials: Vec<Trial>) -> Point {
    Point {
        settings: Default::default(),
        workload: 0,
        pass: PassKind::Open,
        target: "fake".into(),
        system: None,
        durability: Durability::Written,
        io: None,
        poll: None,
        verdict: Verdict::default(),
        summary: stats::summarise(&trials),
        first_attempts: Default::default(),
        trials,
    }
}

fn judged(trials: Vec<Trial>, limit_ms: u64) -> Verdict {
    let point = point(trials);
    let limit = TimeSpan(Duration::from_millis(limit_ms));
    let bound = LatencyBound {
        key: "response_p99",
        histogram: Histogram::Response,
        statistic: Statistic::P99,
        limit,
    };
    let mut verdict = Reasons::default();
    judge_slo(&Slo { latencies: vec![bound], min_achieved: None }, &point, &mut verdict);
    verdict.verdict()
}

#[test]
fn an_objective_is_missed_by_the_systems_own_time_and_not_by_that_of_the_generator() {
    let upper = Some(Bound::Upper);
    let status = |trial: Trial| judged(vec![trial], 10).status;
    assert_eq!(status(trial(9, None, 9)), VerdictStatus::Valid);
    assert_eq!(
        status(trial(9, upper, 5)),
        VerdictStatus::Valid,
        "it holds all the more without the generator"
    );
    assert_eq!(status(trial(12, None, 11)), VerdictStatus::SloMissed);
    assert_eq!(status(trial(20, upper, 11)), VerdictStatus::SloMissed, "also where the generator was late");
    assert_eq!(status(trial(20, upper, 9)), VerdictStatus::Invalid, "only the response exceeds it");
    assert_eq!(status(trial(11, None, 9)), VerdictStatus::Invalid);
}

#[test]
fn every_objective_compares_its_own_figure_with_its_own_bound() {
    let keys = keys().into_iter().filter(|key| key.starts_with("slo.") && key != "slo.min_achieved");
    let keys: Vec<String> = keys.map(|key| key.trim_start_matches("slo.").to_owned()).collect();
    assert_eq!(keys.len(), 5 * 7, "five latencies and seven statistics");
    for key in &keys {
        let judged = |limit: &str| {
            let yaml = format!("load: {{mode: open, rate: 1k/s}}\nslo: {{{key}: {limit}}}");
            let workload = parse(&yaml, "test.yaml", &[]).unwrap();
            let bound = workload.slo.latencies[0];
            // Only this figure is known, so no other one can be judged in its place.
            let mut figures = LatencyFigures { count: 1000, ..LatencyFigures::default() };
            let found = Some(Percentile { ns: 10 * MS, bound: None });
            figures.set(statistic_name(bound.statistic), found);
            let mut trial = Trial::default();
            let latencies = &mut trial.latency_ns;
            let place = match bound.histogram {
                Histogram::PacingLag => &mut latencies.pacing_lag,
                Histogram::Blocked => &mut latencies.blocked,
                Histogram::Service => &mut latencies.service,
                Histogram::Response => &mut latencies.response,
                Histogram::EndToEnd => &mut latencies.end_to_end,
            };
            *place = Some(figures);
            let mut verdict = Reasons::default();
            judge_slo(&workload.slo, &point(vec![trial]), &mut verdict);
            verdict.verdict().status
        };
        assert_eq!(judged("20ms"), VerdictStatus::Valid, "{key}");
        assert_eq!(judged("5ms"), VerdictStatus::SloMissed, "{key}");
    }
}

#[test]
fn an_objective_that_never_acked_records_exceed_is_missed_and_otherwise_unknown() {
    let lower = Some(Bound::Lower);
    let missed = judged(vec![trial(5200, lower, 5200)], 1000);
    assert_eq!(missed.status, VerdictStatus::SloMissed);
    assert_eq!(missed.reasons, ["response_p99 is ≥ 5.20 s, but the SLO allows at most 1.00 s"]);
    let unknown = judged(vec![trial(5200, lower, 5200)], 6000);
    assert_eq!(unknown.status, VerdictStatus::Invalid);
    assert!(unknown.reasons[0].contains("the drain was too short to tell"), "{unknown:?}");
    let one_of_three = vec![trial(1, None, 1), trial(2, None, 2), trial(5200, lower, 5200)];
    assert_eq!(judged(one_of_three, 1000).status, VerdictStatus::Valid, "its rank does not matter");
}

#[test]
fn records_that_were_never_acked_are_flagged_with_their_share() {
    let mut trial = trial(5200, Some(Bound::Lower), 5200);
    let response = trial.latency_ns.response.as_mut().unwrap();
    (response.censored, response.censored_from) = (200, Some(5000 * MS));
    let mut verdict = Reasons::default();
    judge_censored(&trial, &mut verdict);
    let verdict = verdict.verdict();
    assert!(verdict.flags.contains(&VerdictFlag::Censored));
    assert!(verdict.reasons[0].starts_with("20.0 % of the records (200) were never acked"), "{verdict:?}");
}

#[test]
fn a_late_generator_is_named_with_what_the_system_needed_itself() {
    let mut trial = trial(20, Some(Bound::Upper), 9);
    assert_eq!(lateness(&trial), None, "the figures say whether the trial is late");
    trial.late_percentile = Some("p99".to_owned());
    let said = lateness(&trial).unwrap();
    assert_eq!(
        said.to_string(),
        "the load generator was late: response p99 is at most 20.0 ms, and 9.00 ms without the wait for the generator"
    );
}

#[test]
fn a_window_is_short_if_its_p99_is_not_known_however_long_it_is() {
    let flags = |p99: Option<u64>, window_s: f64| {
        let mut trial = Trial { window_s, ..Trial::default() };
        trial.latency_ns.service = Some(LatencyFigures { count: 1000, p99, ..LatencyFigures::default() });
        let mut verdict = Reasons::default();
        judge_window(PassKind::Closed, &[], &trial, &mut verdict);
        verdict.verdict().flags
    };
    assert!(flags(Some(MS), 1.0).is_empty());
    assert!(flags(None, 60.0).contains(&VerdictFlag::Short));
}

#[test]
fn others_on_the_cores_in_use_are_flagged_with_a_next_step() {
    let judged = |resources| {
        let mut verdict = Reasons::default();
        judge_machine(&Trial { window_s: 10.0, resources, ..Trial::default() }, &mut verdict);
        verdict.verdict()
    };
    let quiet = Resources { steal_share: Some(0.02), others_cores: Some(0.3), ..Resources::default() };
    assert_eq!(judged(quiet), Verdict::default());
    let stolen = judged(Resources { steal_share: Some(0.5), ..Resources::default() });
    assert_eq!(stolen.flags, [VerdictFlag::NoisyCpu].into());
    assert!(stolen.reasons[0].contains("50.0 % of the time of the cores in use"), "{stolen:?}");
    let shared = judged(Resources { others_cores: Some(0.4), ..Resources::default() });
    assert_eq!(shared.flags, [VerdictFlag::NoisyCpu].into());
    assert!(shared.reasons[0].contains("0.4 cores of those in use busy; close other programs"), "{shared:?}");
}

#[test]
fn a_disk_that_varies_is_flagged_by_the_slices_of_what_the_trial_did() {
    let ceiling = CeilingFigures {
        write_slices_bytes_per_s: vec![1e9, 1.4e9],
        read_slices_bytes_per_s: vec![1e9, 2e9],
        ..CeilingFigures::default()
    };
    let judged = |trial: Trial| {
        let mut verdict = Reasons::default();
        judge_machine(&trial, &mut verdict);
        verdict.verdict()
    };
    let writing = Trial { window_s: 10.0, ceiling, ..Trial::default() };
    assert_eq!(judged(writing.clone()), Verdict::default(), "its reads do not matter to a trial that writes");
    let backlog = BacklogFigures {
        built_records: 1,
        built_bytes: 1,
        build_s: 1.0,
        cache: Default::default(),
        is_drained: true,
        from_disk: None,
    };
    let reading = judged(Trial { backlog: Some(backlog), ..writing });
    assert_eq!(reading.flags, [VerdictFlag::NoisyDisk].into());
    assert!(reading.reasons[0].contains("varied from 954 MiB/s to 1.86 GiB/s"), "{reading:?}");
}

#[test]
fn a_ceiling_is_too_low_only_if_the_whole_interval_says_so() {
    let point = |low: f64, path: &str| {
        let interval = Interval { low, high: 1.4, confidence: 0.95 };
        let figure = Figure {
            trials: 10,
            median: 1.2,
            min: 1.0,
            max: 1.4,
            interval: Some(interval),
            bound: None,
            min_bound: None,
            max_bound: None,
        };
        Point { summary: [(path.to_owned(), figure)].into(), ..point(vec![Trial::default(); 10]) }
    };
    let judged = |point: &Point| {
        let mut verdict = Reasons::default();
        judge_ceiling(point, &mut verdict);
        verdict.verdict()
    };
    assert_eq!(judged(&point(OF_CEILING_MAX, "of_ceiling.write")), Verdict::default());
    for (path, kind) in [("of_ceiling.write", "writes"), ("of_ceiling.read", "reads")] {
        let low = judged(&point(1.11, path));
        assert_eq!(low.flags, [VerdictFlag::CeilingLow].into());
        assert!(
            low.reasons[0].starts_with(&format!("{kind} reached 111 % to 140 % of the ceiling")),
            "{low:?}"
        );
    }
}

#[test]
fn a_target_that_fell_behind_says_by_how_many_seconds() {
    let offered = Offered { records: 10_000, records_per_s: 1000.0, achieved: 0.77 };
    let trial = Trial { window_s: 10.0, offered: Some(offered), ..Trial::default() };
    let said = behind(&trial, offered.achieved).to_string();
    assert!(said.contains("it had 2.3 s of the load left to ack (77.0 % of the offered records"), "{said}");
}

#[test]
fn skipped_and_double_owned_records_fail_a_trial_each_in_its_own_words() {
    let reasons = |found: IntegrityFigures, defects: &[String]| {
        let mut verdict = Reasons::default();
        judge_integrity(&found, defects, &mut verdict);
        let verdict = verdict.verdict();
        assert_eq!(verdict.status, VerdictStatus::IntegrityFailed);
        verdict.reasons
    };
    let clean = IntegrityFigures { gaps: Some(0), redelivered: Some(9), ..IntegrityFigures::default() };
    let skipped = reasons(IntegrityFigures { skipped: Some(3), double_owned: Some(0), ..clean }, &[]);
    assert!(skipped.len() == 1 && skipped[0].starts_with("3 acked records skipped: "), "{skipped:?}");
    let double = reasons(IntegrityFigures { skipped: Some(0), double_owned: Some(12), ..clean }, &[]);
    assert!(double.len() == 1 && double[0].starts_with("12 records double-owned: "), "{double:?}");
    let lost = IntegrityFigures { gaps: Some(2), skipped: Some(2), defects: Some(1), ..clean };
    let lost = reasons(lost, &["a defect".to_owned()]);
    assert_eq!(lost.len(), 2, "{lost:?}");
    assert_eq!(lost[1], "2 acked records missing, 0 repeated, 0 out of order, 0 corrupt; a defect");
}
