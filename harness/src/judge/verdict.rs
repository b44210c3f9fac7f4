//! Judges how far a trial and a point can be trusted (docs/methodology.md). Every limit is a constant here, with its
//! reason.

use crate::measure::events::CLOCK_STEP;
use crate::measure::finished::TrialRun;
use crate::num;
use crate::quantity;
use crate::result::latency::percentile::sign;
use crate::result::verdict::AS_MEANT;
use crate::result::{Bound, LatencyFigures, Point, SeriesRow, Trial, Verdict, VerdictFlag, VerdictStatus};
use crate::workload::{Histogram, LatencyBound, PassKind, Placement, Slo, Statistic};

/// Largest share of its time that a load thread may be busy. A busier one may have no time left to generate load.
const LOAD_BUSY_MAX: f64 = 0.95;
/// Smallest share of the offered records that must be acked. With a smaller one, the load asked for more than the
/// system can do.
const ACHIEVED_MIN: f64 = 0.99;
/// Largest factor between two slices of one ceiling. With a larger one, a ratio to this ceiling is doubtful.
const CEILING_SPREAD_MAX: f64 = 1.5;
/// Least end of the interval of a share of the ceiling, above which the ceiling is too low. Below it the difference may
/// be the noise between a trial and its slices.
const OF_CEILING_MAX: f64 = 1.05;
/// Largest share of stolen CPU time. A larger share shows in any p99.
const STEAL_SHARE_MAX: f64 = 0.02;
/// Largest time for which a quota may stop threads, as a share of the window. A longer one shows in any p99.
const THROTTLED_SHARE_MAX: f64 = 0.005;
/// Largest number of cores that others may keep busy. The kernel's own threads (journal, completions of direct I/O) use
/// less: 0.23 were seen under small synced writes.
const OTHERS_CORES_MAX: f64 = 0.5;
/// Largest difference between the rates of the two halves of a window, as a share of the larger rate. If it is larger,
/// the window is not one steady state.
const DRIFT_MAX: f64 = 0.1;
/// Smallest number of rows in a window whose halves are compared.
const DRIFT_ROWS_MIN: usize = 20;
/// Shortest window in seconds. A shorter one holds too few flushes, rolls and hiccups of the machine to be
/// representative.
const WINDOW_S_MIN: f64 = 5.0;

/// Largest number of defects of a log that a reason quotes.
const DEFECTS_NAMED_MAX: usize = 2;

/// Returns the verdict on one trial.
pub fn of_trial(pass: PassKind, run: &TrialRun, trial: &Trial) -> Verdict {
    let mut verdict = Verdict::default();
    if trial.integrity.failed() {
        let found = &trial.integrity;
        let count = |count: Option<u64>| count.unwrap_or(0);
        let defects = run.defects.iter().flatten();
        let defects: String = defects.take(DEFECTS_NAMED_MAX).map(|defect| format!("; {defect}")).collect();
        verdict.lower(
            VerdictStatus::IntegrityFailed,
            format!(
                "{} acked records missing, {} repeated, {} out of order, {} corrupt{defects}",
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
        let measured = format!("interrupted {:.1} s after the measured window opened", trial.window_s);
        verdict.lower(VerdictStatus::Interrupted, measured);
    }
    if let Some(missed) = &run.watched.missed {
        verdict.lower(VerdictStatus::RequirementMissed, missed.clone());
        return verdict;
    }
    if trial.backlog.is_none() {
        judge_load(pass, run, trial, &mut verdict);
    }
    judge_censored(trial, &mut verdict);
    judge_machine(trial, &mut verdict);
    for step in run.watched.events.iter().filter(|event| event.kind == CLOCK_STEP) {
        let step = step.detail.as_deref().unwrap_or("the wall clock was set");
        verdict.reason(format!("{step}: retention by age and the timestamps of records go by it"));
    }
    judge_window(pass, &run.watched.series.rows, trial, &mut verdict);
    verdict
}

/// Returns whether the only fault of a trial is that its load generator was late. Another attempt may then succeed.
pub fn is_late(verdict: &Verdict, trial: &Trial) -> bool {
    verdict.status == VerdictStatus::Invalid && trial.late_percentile.is_some()
}

/// Adds reasons that tell the reader of a point about the late attempts that are not in its figures.
pub fn remark_late(trials: &[Trial], verdict: &mut Verdict) {
    let all = trials.len();
    let attempts = trials.iter().flat_map(|trial| &trial.late_attempts);
    if let Some(latest) = attempts.filter_map(|attempt| attempt.pacing_lag_p99).max() {
        let count = trials.iter().filter(|trial| !trial.late_attempts.is_empty()).count();
        let latest = quantity::ns(latest);
        verdict.reason(format!(
            "{count} of {all} trials were measured again, as the generator was late (pacing lag p99 up to {latest}): the figures leave \
             out the late attempts"
        ));
    }
    let late = trials.iter().filter(|trial| trial.is_late).count();
    if late > 0 && late < all {
        verdict.reason(format!(
            "{late} of {all} trials were left out of the figures, as the generator was late in every attempt"
        ));
    }
}

fn judge_load(pass: PassKind, run: &TrialRun, trial: &Trial, verdict: &mut Verdict) {
    let busy = load_busy(run, trial);
    match pass {
        PassKind::Open => {
            let achieved = trial.offered.map_or(1.0, |offered| offered.achieved);
            if let Some(late) = lateness(trial) {
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
                        "only {percent} of the offered records were acked in time, so latencies include the wait in a \
                         growing queue"
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
    format!(
        "a load thread was busy {} of the time: it, not the system, may limit the rate",
        quantity::percent(busy)
    )
}

/// Returns the share of the window in which the busiest load thread had something to do. Each thread has clients of its own,
/// so one that is saturated limits the load, however idle the others are.
fn load_busy(run: &TrialRun, trial: &Trial) -> f64 {
    if run.placement == Placement::Colocated {
        // Colocated load shares the shard's thread. The time that it used on the busiest shard counts, but not its wait
        // for a turn.
        let most_ns = run.watched.shards.iter().map(|shard| shard.colocated_ns).max().unwrap_or(0);
        return if trial.window_s > 0.0 { num::f64_of(most_ns) * 1e-9 / trial.window_s } else { 0.0 };
    }
    let least_ns = run.harvest.idle_ns.iter().min().copied().unwrap_or(0);
    if trial.window_s > 0.0 { 1.0 - num::f64_of(least_ns) * 1e-9 / trial.window_s } else { 0.0 }
}

/// Returns a sentence on the lateness of the generator, if it makes the trial invalid.
fn lateness(trial: &Trial) -> Option<String> {
    let name = trial.late_percentile.as_deref()?;
    let at = |figures: &Option<LatencyFigures>| figures.as_ref().and_then(|figures| figures.at(name));
    let response_ns = at(&trial.latency_ns.response)?.ns;
    let own = at(&trial.latency_ns.own).map_or_else(|| "unknown".to_owned(), |own| quantity::ns(own.ns));
    Some(format!(
        "the generator was late: response {} is ≤ {}, and {own} without the wait for the generator",
        name.replace('_', "."),
        quantity::ns(response_ns)
    ))
}

/// Flags records that were never acked.
fn judge_censored(trial: &Trial, verdict: &mut Verdict) {
    let latencies = &trial.latency_ns;
    let headline = latencies.response.as_ref().or(latencies.service.as_ref());
    let Some(figures) = headline.filter(|figures| figures.censored > 0) else { return };
    let least = figures.censored_from.map(|age_ns| format!(", {} or more", quantity::ns(age_ns)));
    verdict.flag(
        VerdictFlag::Censored,
        format!(
            "{} of the records ({}) were never acked: they count with their age at the end of the drain{}",
            quantity::percent(figures.censored_share()),
            figures.censored,
            least.unwrap_or_default()
        ),
    );
}

fn judge_machine(trial: &Trial, verdict: &mut Verdict) {
    // Where a backlog is read, reads matter.
    let slices = match trial.backlog {
        Some(_) => &trial.ceiling.read_slices_bytes_per_s,
        None => &trial.ceiling.write_slices_bytes_per_s,
    };
    let least = slices.iter().copied().fold(f64::INFINITY, f64::min);
    let most = slices.iter().copied().fold(0.0, f64::max);
    if slices.len() > 1 && most > least * CEILING_SPREAD_MAX {
        let (least, most) = (quantity::bytes_per_s(least), quantity::bytes_per_s(most));
        let kind = if trial.backlog.is_some() { "reads" } else { "writes" };
        let spread = format!(
            "the speed of the disk without the system varied from {least} to {most} of {kind} before and after one trial"
        );
        verdict.flag(VerdictFlag::NoisyDisk, spread);
    }
    if let Some(steal) = trial.resources.steal_share.filter(|steal| *steal > STEAL_SHARE_MAX) {
        let stolen =
            format!("the hypervisor gave {} of the CPU time to other guests", quantity::percent(steal));
        verdict.flag(VerdictFlag::NoisyCpu, stolen);
    }
    let throttled_s = trial.resources.throttled_s.unwrap_or(0.0);
    if throttled_s > THROTTLED_SHARE_MAX * trial.window_s {
        let stopped = format!(
            "the CPU quota of the control group stopped threads for {throttled_s:.2} s of the window"
        );
        verdict.flag(VerdictFlag::NoisyCpu, stopped);
    }
    if let Some(others) = trial.resources.others_cores.filter(|others| *others > OTHERS_CORES_MAX) {
        let taken = format!("other processes and kernel threads kept {others:.1} cores busy");
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
            let drift = format!(
                "the rate was not steady: records were {what} at {first} in the window's first half and at {second} in \
                 its second"
            );
            verdict.flag(VerdictFlag::NotSteady, drift);
        }
    }
    let headline = trial.latency_ns.response.as_ref().or(trial.latency_ns.service.as_ref());
    let is_drained = trial.backlog.as_ref().is_some_and(|backlog| backlog.is_drained);
    if is_drained {
        // The window ended when the backlog was consumed, so it is as long as the work.
    } else if trial.window_s < WINDOW_S_MIN {
        let short = format!(
            "the window is only {:.1} s long: under {WINDOW_S_MIN:.0} s, its figures may not be representative",
            trial.window_s
        );
        verdict.flag(VerdictFlag::Short, short);
    } else if headline.is_some_and(|figures| figures.count > 0 && figures.p99.is_none()) {
        verdict.flag(VerdictFlag::Short, "too few acks to tell p99: fewer than ten took longer");
    }
}

/// Flags a ceiling that the trials of a point exceeded, from as many trials on as an interval needs.
pub fn judge_ceiling(point: &Point, verdict: &mut Verdict) {
    for (path, kind) in [("of_ceiling.write", "writes"), ("of_ceiling.read", "reads")] {
        let interval = point.figure(path).and_then(|figure| figure.interval);
        if let Some(it) = interval.filter(|it| it.low > OF_CEILING_MAX) {
            let (low, high) = (quantity::percent(it.low), quantity::percent(it.high));
            verdict.flag(
                VerdictFlag::CeilingLow,
                format!("{kind} reached {low} to {high} of the ceiling beside them, so that is no ceiling"),
            );
        }
    }
}

/// Compares a point's medians with the objectives (SLO) of its workload.
pub fn judge_slo(slo: &Slo, point: &Point, verdict: &mut Verdict) {
    for bound in &slo.latencies {
        judge_latency(bound, point, verdict);
    }
    if let Some(least) = slo.min_achieved {
        let achieved = point.figure("offered.achieved").map_or(0.0, |figure| figure.median);
        if achieved < least.0 {
            let (achieved, least) = (quantity::percent(achieved), quantity::percent(least.0));
            let missed = format!(
                "min_achieved is {achieved} of the offered records, but the SLO requires at least {least}"
            );
            verdict.lower(VerdictStatus::SloMissed, missed);
        }
    }
}

/// Compares one median with its objective. Time in which records waited for the generator misses no objective.
fn judge_latency(bound: &LatencyBound, point: &Point, verdict: &mut Verdict) {
    let statistic = statistic_name(bound.statistic);
    let median_of = |name: &str| point.figure(&format!("latency_ns.{name}.{statistic}"));
    let (key, limit_ns) = (bound.key, num::ns_of(bound.limit.0));
    let limit = quantity::ns(limit_ns);
    let Some(found) = median_of(histogram_name(bound.histogram)) else {
        // A value that is not known must not pass as an objective that was met.
        let unknown = format!("{key} is not known: in some trial, fewer than ten acks took longer");
        return verdict.lower(VerdictStatus::Invalid, unknown);
    };
    let found_ns = num::u64_of(found.median);
    let text = format!("{}{}", sign(found.bound), quantity::ns(found_ns));
    let own = median_of("own").filter(|_| bound.histogram == Histogram::Response);
    let own_ns = own.map(|own| num::u64_of(own.median));
    let is_missed = match found.bound {
        Some(Bound::Lower) => found_ns > limit_ns,
        Some(Bound::Upper) => own_ns.is_some_and(|own_ns| own_ns > limit_ns),
        None => own_ns.unwrap_or(found_ns) > limit_ns,
    };
    if is_missed {
        let missed = format!("{key} is {text}, but the SLO allows at most {limit}");
        verdict.lower(VerdictStatus::SloMissed, missed);
    } else if found.bound == Some(Bound::Lower) {
        let unknown = format!("{key} is {text}, and the SLO allows {limit}: the drain was too short to tell");
        verdict.lower(VerdictStatus::Invalid, unknown);
    } else if found_ns > limit_ns {
        let unknown = format!(
            "{key} is {text}, but without the wait for the generator it is {}: whether it exceeds {limit} cannot be told",
            own_ns.map_or_else(|| "unknown".to_owned(), quantity::ns)
        );
        verdict.lower(VerdictStatus::Invalid, unknown);
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

/// Returns the name of a statistic in results.
pub(super) const fn statistic_name(statistic: Statistic) -> &'static str {
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

#[cfg(test)]
mod tests;
