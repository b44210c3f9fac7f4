//! How far a trial and a point can be trusted (docs/methodology.md). Every limit is a constant here, with its reason.

use crate::measure::finished::TrialRun;
use crate::num;
use crate::quantity;
use crate::result::verdict::AS_MEANT;
use crate::result::{Point, SeriesRow, Trial, Verdict, VerdictFlag, VerdictStatus};
use crate::workload::{Histogram, PassKind, Placement, Slo, Statistic};

/// An open load whose generator is later than this at p99 measures its generator, unless the response is so much longer
/// ([`PACING_SHARE_MAX`]) that it hardly matters.
const PACING_LAG_NS_MAX: u64 = 1_000_000;
const PACING_SHARE_MAX: f64 = 0.1;
/// A load thread that is busier than this has nothing left to generate with.
const LOAD_BUSY_MAX: f64 = 0.95;
/// An open load that achieves less has asked for more than there is.
const ACHIEVED_MIN: f64 = 0.99;
/// Slices of one ceiling that differ by more than this factor make a ratio to them doubtful.
const CEILING_SPREAD_MAX: f64 = 1.5;
/// More stolen time than this shows in any p99.
const STEAL_SHARE_MAX: f64 = 0.02;
/// The kernel's own threads (journal, completions of direct I/O) keep less of a core busy than this: 0.23 were seen under small synced writes.
const OTHERS_CORES_MAX: f64 = 0.5;
/// The halves of a window that differ by more than this are not one steady state.
const DRIFT_MAX: f64 = 0.1;
/// Fewer rows than this have no halves to compare.
const DRIFT_ROWS_MIN: usize = 20;
/// A shorter window holds too few flushes, rolls and hiccups of the machine to stand for more than itself.
const WINDOW_S_MIN: f64 = 5.0;

/// The verdict on one trial.
pub fn of_trial(pass: PassKind, run: &TrialRun, trial: &Trial) -> Verdict {
    let mut verdict = Verdict::default();
    if trial.integrity.failed() {
        let found = &trial.integrity;
        let count = |count: Option<u64>| count.unwrap_or(0);
        verdict.lower(
            VerdictStatus::IntegrityFailed,
            format!(
                "{} records missing, {} repeated, {} out of order, {} corrupt",
                count(found.gaps),
                count(found.duplicates),
                count(found.reorders),
                count(found.corruptions)
            ),
        );
    }
    if let Some(error) = &run.error {
        verdict.lower(VerdictStatus::Errors, error.clone());
    }
    if run.watched.interrupted {
        let measured = format!("interrupted after {:.1} s of the window", trial.window_s);
        verdict.lower(VerdictStatus::Interrupted, measured);
    }
    if let Some(missed) = &run.watched.missed {
        verdict.lower(VerdictStatus::RequirementMissed, missed.clone());
        return verdict;
    }
    if trial.backlog.is_none() {
        judge_load(pass, run, trial, &mut verdict);
    }
    judge_machine(trial, &mut verdict);
    judge_window(pass, &run.watched.series.rows, trial, &mut verdict);
    verdict
}

/// Whether nothing is wrong with a trial but that its generator was late, which another attempt may mend.
pub fn is_late(verdict: &Verdict, trial: &Trial) -> bool {
    verdict.status == VerdictStatus::Invalid && trial.backlog.is_none() && lateness(trial).is_some()
}

/// What a reader of a point's figures should know of the attempts that are not in them.
pub fn remark_retries(trials: &[Trial], verdict: &mut Verdict) {
    let attempts = trials.iter().flat_map(|trial| &trial.late_attempts);
    let Some(latest) = attempts.filter_map(|attempt| attempt.pacing_lag_p99).max() else { return };
    let count = trials.iter().filter(|trial| !trial.late_attempts.is_empty()).count();
    let latest = quantity::ns(latest);
    let again = if count == 1 { "1 trial was".to_owned() } else { format!("{count} trials were") };
    verdict
        .reason(format!("{again} measured again, as the generator was late (pacing lag p99 up to {latest})"));
}

fn judge_load(pass: PassKind, run: &TrialRun, trial: &Trial, verdict: &mut Verdict) {
    let busy = load_busy(run, trial);
    let is_late = lateness(trial);
    match pass {
        PassKind::Open => {
            let achieved = trial.offered.map_or(1.0, |offered| offered.achieved);
            if let Some(p99_ns) = is_late {
                let late = format!("the generator was late: pacing lag p99 {}", quantity::ns(p99_ns));
                verdict.flag(VerdictFlag::GeneratorLimited, late.clone());
                verdict.lower(VerdictStatus::Invalid, late);
            } else if achieved < ACHIEVED_MIN && busy > LOAD_BUSY_MAX {
                let saturated = saturated(busy);
                verdict.flag(VerdictFlag::GeneratorLimited, saturated.clone());
                verdict.lower(VerdictStatus::Invalid, saturated);
            } else if achieved < ACHIEVED_MIN {
                let percent = quantity::percent(achieved);
                verdict.flag(
                    VerdictFlag::TargetSaturated,
                    format!(
                        "only {percent} of the offered rate was acked in time: latencies measure the queue"
                    ),
                );
            }
        }
        PassKind::Max if busy > LOAD_BUSY_MAX => {
            verdict.flag(VerdictFlag::GeneratorLimited, saturated(busy));
        }
        PassKind::Max => {
            verdict.flag(VerdictFlag::TargetSaturated, AS_MEANT);
        }
        PassKind::Closed => {}
    }
}

fn saturated(busy: f64) -> String {
    format!("the load threads were busy {} of the time", quantity::percent(busy))
}

/// Share of the window that the load threads had something to do.
fn load_busy(run: &TrialRun, trial: &Trial) -> f64 {
    if run.placement == Placement::Colocated {
        // It shares its thread: what it took of the busiest shard's counts, and not that it waited for a turn.
        let most_ns = run.watched.shards.iter().map(|shard| shard.colocated_ns).max().unwrap_or(0);
        return if trial.window_s > 0.0 { num::f64_of(most_ns) * 1e-9 / trial.window_s } else { 0.0 };
    }
    let threads = num::f64_of(num::count(run.load_threads));
    let idle_s = num::f64_of(run.watched.series.window.idle_ns) * 1e-9;
    if trial.window_s > 0.0 { 1.0 - idle_s / (trial.window_s * threads) } else { 0.0 }
}

/// The generator's p99 lateness, if it is too much to be left out of account.
fn lateness(trial: &Trial) -> Option<u64> {
    let p99_ns = trial.latency_ns.pacing_lag.as_ref()?.p99?;
    let response_ns = trial.latency_ns.response.as_ref().and_then(|figures| figures.p99).unwrap_or(0);
    let bearable = num::u64_of(num::f64_of(response_ns) * PACING_SHARE_MAX).max(PACING_LAG_NS_MAX);
    (p99_ns > bearable).then_some(p99_ns)
}

fn judge_machine(trial: &Trial, verdict: &mut Verdict) {
    let slices = &trial.ceiling.write_slices_bytes_per_s;
    let least = slices.iter().copied().fold(f64::INFINITY, f64::min);
    let most = slices.iter().copied().fold(0.0, f64::max);
    if slices.len() > 1 && most > least * CEILING_SPREAD_MAX {
        let (least, most) = (quantity::bytes_per_s(least), quantity::bytes_per_s(most));
        let spread = format!("the bare disk did {least} to {most} around one trial");
        verdict.flag(VerdictFlag::NoisyDisk, spread);
    }
    if let Some(steal) = trial.resources.steal_share.filter(|steal| *steal > STEAL_SHARE_MAX) {
        let stolen = format!("the hypervisor gave {} of the CPU time to others", quantity::percent(steal));
        verdict.flag(VerdictFlag::NoisyCpu, stolen);
    }
    if let Some(others) = trial.resources.others_cores.filter(|others| *others > OTHERS_CORES_MAX) {
        let taken = format!("other processes kept {others:.1} cores busy");
        verdict.flag(VerdictFlag::NoisyCpu, taken);
    }
}

fn judge_window(pass: PassKind, rows: &[SeriesRow], trial: &Trial, verdict: &mut Verdict) {
    let window: Vec<&SeriesRow> = rows.iter().filter(|row| row.t_s > -1e-9).collect();
    if pass != PassKind::Open && window.len() >= DRIFT_ROWS_MIN {
        let (first, second) = window.split_at(window.len() / 2);
        let rate = |half: &[&SeriesRow]| {
            let length_s: f64 = half.iter().map(|row| row.interval_s).sum();
            let done = |row: &&SeriesRow| if trial.backlog.is_some() { row.consumed } else { row.achieved };
            num::f64_of(half.iter().map(done).sum()) / length_s
        };
        let (first, second) = (rate(first), rate(second));
        if (second - first).abs() > DRIFT_MAX * first.max(second) {
            let (first, second) = (quantity::per_s(first), quantity::per_s(second));
            let what = if trial.backlog.is_some() { "consumed" } else { "acked" };
            let drift = format!("records {what}: {first} in the window's first half, {second} in its second");
            verdict.flag(VerdictFlag::NotSteady, drift);
        }
    }
    let headline = trial.latency_ns.response.as_ref().or(trial.latency_ns.service.as_ref());
    let is_drained = trial.backlog.as_ref().is_some_and(|backlog| backlog.is_drained);
    if is_drained {
        // The window is as long as that took, and no shorter than what there was to do.
    } else if trial.window_s < WINDOW_S_MIN {
        verdict.flag(VerdictFlag::Short, format!("the window is only {:.1} s long", trial.window_s));
    } else if headline.is_some_and(|figures| figures.count > 0 && figures.p99.is_none()) {
        verdict.flag(VerdictFlag::Short, "fewer than ten acks lie beyond p99");
    }
}

/// Holds a point's medians against the objectives of its workload.
pub fn judge_slo(slo: &Slo, point: &Point, verdict: &mut Verdict) {
    for bound in &slo.latencies {
        let path =
            format!("latency_ns.{}.{}", histogram_name(bound.histogram), statistic_name(bound.statistic));
        let limit_ns = num::ns_of(bound.limit.0);
        match point.figure(&path).map(|figure| num::u64_of(figure.median)) {
            Some(found_ns) if found_ns > limit_ns => {
                let (found, limit) = (quantity::ns(found_ns), quantity::ns(limit_ns));
                verdict.lower(
                    VerdictStatus::SloMissed,
                    format!("{}: {found}, and the SLO is {limit}", bound.key),
                );
            }
            Some(_) => {}
            // What cannot be told must not pass for held.
            None => verdict.lower(
                VerdictStatus::Invalid,
                format!("{} cannot be told: too few acks lie beyond it in some trial", bound.key),
            ),
        }
    }
    if let Some(least) = slo.min_achieved {
        let achieved = point.figure("offered.achieved").map_or(0.0, |figure| figure.median);
        if achieved < least.0 {
            let (achieved, least) = (quantity::percent(achieved), quantity::percent(least.0));
            let missed = format!("min_achieved: {achieved}, and the SLO is {least}");
            verdict.lower(VerdictStatus::SloMissed, missed);
        }
    }
}

const fn histogram_name(histogram: Histogram) -> &'static str {
    match histogram {
        Histogram::PacingLag => "pacing_lag",
        Histogram::Blocked => "blocked",
        Histogram::Service => "service",
        Histogram::Response => "response",
        Histogram::EndToEnd => "end_to_end",
    }
}

const fn statistic_name(statistic: Statistic) -> &'static str {
    match statistic {
        Statistic::P50 => "p50",
        Statistic::P90 => "p90",
        Statistic::P95 => "p95",
        Statistic::P99 => "p99",
        Statistic::P999 => "p99_9",
        Statistic::P9999 => "p99_99",
        Statistic::Max => "max",
    }
}
