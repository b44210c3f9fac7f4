//! Judges how far a trial and a point can be trusted (docs/methodology.md). Every limit is a constant here, with its
//! reason.

pub(super) mod drift;
mod errors;

use crate::measure::events::CLOCK_STEP;
use crate::measure::finished::TrialRun;
use crate::num;
use crate::quantity;
use crate::result::latency::percentile::sign;
use crate::result::verdict::{Reasons, Sentence};
use crate::result::{
    Bound, IntegrityFigures, LatencyFigures, OF_CEILING_MAX, Point, SeriesRow, Trial, VerdictFlag,
    VerdictStatus,
};
use crate::workload::{Histogram, LatencyBound, LoadMode, Pass, PassKind, Profile, Slo, Statistic};
use drift::Drift;

/// Largest share of its time that a load thread may be busy. A busier one may have no time left to generate load.
pub(super) const LOAD_BUSY_MAX: f64 = 0.95;
/// Smallest share of the offered records that must be acked. With a smaller one, the load asked for more than the
/// system can do.
const ACHIEVED_MIN: f64 = 0.99;
/// Largest factor between two slices of one ceiling. With a larger one, a ratio to this ceiling is doubtful.
const CEILING_SPREAD_MAX: f64 = 1.5;
/// Largest share of stolen CPU time on the cores that were used. A larger share shows in any p99.
const STEAL_SHARE_MAX: f64 = 0.02;
/// Largest time for which a quota may stop threads, as a share of the window. A longer one shows in any p99.
const THROTTLED_SHARE_MAX: f64 = 0.005;
/// Largest number of the used cores that others may keep busy. The kernel's own threads (journal, completions of direct I/O)
/// use less: 0.23 were seen under small synced writes.
const OTHERS_CORES_MAX: f64 = 0.35;
/// Largest difference between the rates of the two halves of a window, as a share of the larger rate. If it is larger,
/// the window is not one steady state.
const DRIFT_MAX: f64 = 0.1;
/// Smallest number of rows in a window whose halves are compared.
const DRIFT_ROWS_MIN: usize = 20;

/// Largest number of defects of a log that a reason quotes.
const DEFECTS_NAMED_MAX: usize = 2;

/// A step for a reader whose generator is too slow.
const SLOW_GENERATOR: &str = "close other programs, lower the rate (`-r`), or give the load more cores \
                              (`--set engine.cores.load=[…]`)";
/// The same where the system is not in this process, so that no cores are chosen for it.
const SLOW_GENERATOR_ELSEWHERE: &str =
    "close other programs, lower the rate (`-r`), or use a machine with more cores";

/// Whether the system of a trial ran on shards of this process.
fn has_shards(trial: &Trial) -> bool {
    !trial.per_shard.is_empty()
}

/// Returns the step for a reader whose generator was too slow in these trials.
fn slow_generator<'a>(mut trials: impl Iterator<Item = &'a Trial>) -> &'static str {
    if trials.any(has_shards) { SLOW_GENERATOR } else { SLOW_GENERATOR_ELSEWHERE }
}

/// Returns the reasons for the verdict on one trial.
pub fn of_trial(pass: &Pass, run: &TrialRun, trial: &Trial) -> Reasons {
    let mut verdict = Reasons::default();
    if trial.integrity.failed() {
        judge_integrity(&trial.integrity, run.defects.as_deref().unwrap_or_default(), &mut verdict);
    }
    if let Some(error) = &run.error {
        verdict.lower(VerdictStatus::Errors, error.clone());
    }
    errors::judge_errors(trial, &mut verdict);
    if run.observed.interrupted {
        let measured = format!("interrupted {:.1} s after the measured window opened", trial.window_s);
        verdict.lower(VerdictStatus::Interrupted, measured);
    }
    if let Some(missed) = &run.observed.missed {
        verdict.lower(VerdictStatus::RequirementMissed, missed.clone());
        return verdict;
    }
    if trial.backlog.is_none() {
        judge_load(pass, run, trial, &mut verdict);
    }
    judge_censored(trial, &mut verdict);
    judge_machine(trial, &mut verdict);
    for step in run.observed.events.iter().filter(|event| event.kind == CLOCK_STEP) {
        let step = step.detail.as_deref().unwrap_or("the wall clock was set");
        verdict.remark(format!("{step}: retention by age and the timestamps of records go by it"));
    }
    judge_window(pass.kind, &run.observed.series.rows, trial, &mut verdict);
    verdict
}

/// Adds the reasons why records count as lost, damaged or read by two owners.
fn judge_integrity(found: &IntegrityFigures, defects: &[String], verdict: &mut Reasons) {
    let count = |count: Option<u64>| count.unwrap_or(0);
    if count(found.skipped) > 0 {
        let skipped = Sentence::default().count(count(found.skipped)).words(
            " acked records skipped: their group committed or read on past them, and no member read them",
        );
        verdict.lower(VerdictStatus::IntegrityFailed, skipped);
    }
    if count(found.double_owned) > 0 {
        let double = Sentence::default().count(count(found.double_owned)).words(
            " records double-owned: two members read them while both owned the partition in one generation",
        );
        verdict.lower(VerdictStatus::IntegrityFailed, double);
    }
    let others = [found.gaps, found.duplicates, found.reorders, found.corruptions, found.defects];
    if others.into_iter().map(count).sum::<u64>() == 0 {
        return;
    }
    let defects: String =
        defects.iter().take(DEFECTS_NAMED_MAX).map(|defect| format!("; {defect}")).collect();
    let sentence = Sentence::default().count(count(found.gaps)).words(" acked records missing, ");
    let sentence = sentence.count(count(found.duplicates)).words(" repeated, ");
    let sentence = sentence.count(count(found.reorders)).words(" out of order, ");
    let sentence = sentence.count(count(found.corruptions)).words(format!(" corrupt{defects}"));
    verdict.lower(VerdictStatus::IntegrityFailed, sentence);
}

/// Returns whether the only fault of a trial is that its load generator was late. Another attempt may then succeed.
pub fn is_late(verdict: &Reasons, trial: &Trial) -> bool {
    verdict.status() == VerdictStatus::Invalid && trial.late_percentile.is_some()
}

/// Adds reasons that tell the reader of a point about the late attempts that are not in its figures.
pub fn remark_late(trials: &[Trial], verdict: &mut Reasons) {
    let all = trials.len();
    let attempts = trials.iter().flat_map(|trial| &trial.late_attempts);
    if let Some(latest) = attempts.filter_map(|attempt| attempt.pacing_lag_p99).max() {
        let count = trials.iter().filter(|trial| !trial.late_attempts.is_empty()).count();
        let latest = quantity::ns(latest);
        let were = if count == 1 { "was" } else { "were" };
        verdict.remark(format!(
            "{count} of {all} trials {were} measured again, because the load generator was late (pacing lag p99 up to \
             {latest}): the figures leave out the late attempts"
        ));
    }
    let late = trials.iter().filter(|trial| trial.is_late).count();
    if late > 0 && late < all {
        let were = if late == 1 { "was" } else { "were" };
        let left_out = format!(
            "{late} of {all} trials {were} left out of the figures, because the load generator was late in every attempt"
        );
        verdict.remark(left_out).advise(slow_generator(trials.iter()));
    }
}

fn judge_load(pass: &Pass, run: &TrialRun, trial: &Trial, verdict: &mut Reasons) {
    let busy = trial.resources.load_busy.unwrap_or(0.0);
    match pass.load.mode {
        LoadMode::Open { profile, .. } => {
            let achieved = trial.offered.map_or(1.0, |offered| offered.achieved);
            if let Some(late) = lateness(trial) {
                verdict
                    .invalidate(VerdictFlag::GeneratorLimited, late)
                    .advise(slow_generator(std::iter::once(trial)));
            } else if achieved < ACHIEVED_MIN && busy > LOAD_BUSY_MAX {
                let advice = slow_generator(std::iter::once(trial));
                verdict.invalidate(VerdictFlag::GeneratorLimited, saturated(busy)).advise(advice);
            } else if achieved < ACHIEVED_MIN {
                verdict
                    .flag(VerdictFlag::TargetFellBehind, behind(trial, achieved))
                    .advise("offer less (`-r`), or allow more (`--set load.in_flight_bytes=…`)");
            } else if profile == Profile::Constant && trial.stall.is_none() {
                judge_latency_drift(run, trial, verdict);
            }
        }
        LoadMode::Max if busy > LOAD_BUSY_MAX => {
            let advice = if has_shards(trial) {
                "give the load more cores (`--set engine.cores.load=[…]`), or send larger records"
            } else {
                "add load threads (`--set kafka.load_threads=2`), or send larger records"
            };
            verdict.flag(VerdictFlag::GeneratorLimited, saturated(busy)).advise(advice);
        }
        LoadMode::Max | LoadMode::Closed { .. } => {}
    }
}

/// Returns a sentence on an open load that the target did not ack in time.
fn behind(trial: &Trial, achieved: f64) -> Sentence {
    Sentence::from("the target fell behind: when the window closed it had ")
        .seconds((1.0 - achieved) * trial.window_s)
        .words(" of the load left to ack (")
        .share(achieved)
        .words(
            " of the offered records were acked in time), so latencies include the wait in a growing queue",
        )
}

/// Flags a latency that is not the same early and late in the window.
fn judge_latency_drift(run: &TrialRun, trial: &Trial, verdict: &mut Reasons) {
    let Some(Drift { name, first_ns, second_ns }) = drift::of(&run.observed.series.kept, trial.window_s)
    else {
        return;
    };
    let drift = Sentence::from("the latency was not steady: its ")
        .words(name)
        .words(" (without waits for the generator) was ")
        .latency(first_ns)
        .words(" in the window's first half and ")
        .latency(second_ns)
        .words(" in its second");
    verdict
        .flag(VerdictFlag::NotSteady, drift)
        .advise("a longer `phases.warmup` or window shows where it ends");
}

fn saturated(busy: f64) -> Sentence {
    Sentence::from("a load thread had work for ")
        .share(busy)
        .words(" of the time, so the load generator may limit the rate, and not the target")
}

/// Returns a sentence on the lateness of the generator, if it makes the trial invalid.
fn lateness(trial: &Trial) -> Option<Sentence> {
    let name = trial.late_percentile.as_deref()?;
    let at = |figures: &Option<LatencyFigures>| figures.as_ref().and_then(|figures| figures.at(name));
    let response_ns = at(&trial.latency_ns.response)?.ns;
    let sentence = Sentence::from("the load generator was late: response ")
        .words(name.replace('_', "."))
        .words(" is at most ")
        .latency(response_ns);
    Some(match at(&trial.latency_ns.own) {
        Some(own) => sentence.words(", and ").latency(own.ns).words(" without the wait for the generator"),
        None => sentence.words(", and unknown without the wait for the generator"),
    })
}

/// Flags records that were never acked.
fn judge_censored(trial: &Trial, verdict: &mut Reasons) {
    let latencies = &trial.latency_ns;
    let headline = latencies.response.as_ref().or(latencies.service.as_ref());
    let Some(figures) = headline.filter(|figures| figures.censored > 0) else { return };
    let sentence = Sentence::default()
        .share(figures.censored_share())
        .words(" of the records (")
        .count(figures.censored)
        .words(") were never acked: they count with their age at the end of the drain");
    let sentence = match figures.censored_from {
        Some(age_ns) => sentence.words(", ").latency(age_ns).words(" or more"),
        None => sentence,
    };
    verdict.flag(VerdictFlag::Censored, sentence).advise("a longer `phases.drain` shows how late they are");
}

fn judge_machine(trial: &Trial, verdict: &mut Reasons) {
    // Where a backlog is read, reads matter.
    let slices = match trial.backlog {
        Some(_) => &trial.ceiling.read_slices_bytes_per_s,
        None => &trial.ceiling.write_slices_bytes_per_s,
    };
    let least = slices.iter().copied().fold(f64::INFINITY, f64::min);
    let most = slices.iter().copied().fold(0.0, f64::max);
    if slices.len() > 1 && most > least * CEILING_SPREAD_MAX {
        let kind = if trial.backlog.is_some() { "reads" } else { "writes" };
        let spread = Sentence::from("the speed of the disk without the system varied from ")
            .byte_rate(least)
            .words(" to ")
            .byte_rate(most)
            .words(format!(" of {kind} before and after one trial"));
        verdict
            .flag(VerdictFlag::NoisyDisk, spread)
            .advise("more `--trials` show how far to trust the median");
    }
    let resources = &trial.resources;
    if let Some(steal) = resources.steal_share.filter(|steal| *steal > STEAL_SHARE_MAX) {
        let stolen = Sentence::from("the hypervisor gave ")
            .share(steal)
            .words(" of the time of the cores in use to other guests");
        verdict
            .flag(VerdictFlag::NoisyCpu, stolen)
            .advise("measure at a quieter hour, or on a machine of its own");
    }
    let throttled_s = resources.throttled_s.unwrap_or(0.0);
    if throttled_s > THROTTLED_SHARE_MAX * trial.window_s {
        let stopped = Sentence::from("the CPU quota of the control group stopped threads for ")
            .seconds(throttled_s)
            .words(" of the window");
        verdict.flag(VerdictFlag::NoisyCpu, stopped).advise(match has_shards(trial) {
            true => "raise the quota, or use fewer shards",
            false => "raise the quota",
        });
    }
    if let Some(others) = resources.others_cores.filter(|others| *others > OTHERS_CORES_MAX) {
        let taken = Sentence::from("other processes and kernel threads kept ")
            .cores(others)
            .words(" of those in use busy");
        verdict.flag(VerdictFlag::NoisyCpu, taken).advise(match has_shards(trial) {
            true => "close other programs, or use other cores (`--set engine.cores.shards=[…]`)",
            false => "close other programs, or use a machine with more cores",
        });
    }
}

fn judge_window(pass: PassKind, rows: &[SeriesRow], trial: &Trial, verdict: &mut Reasons) {
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
            let what = if trial.backlog.is_some() { "consumed" } else { "acked" };
            let drift = Sentence::from("the rate was not steady: records were ")
                .words(what)
                .words(" at ")
                .rate(first)
                .words(" in the window's first half and at ")
                .rate(second)
                .words(" in its second");
            verdict
                .flag(VerdictFlag::NotSteady, drift)
                .advise("a longer window (`-d`) or warm-up (`-w`) shows where it settles");
        }
    }
    let headline = trial.latency_ns.response.as_ref().or(trial.latency_ns.service.as_ref());
    let is_drained = trial.backlog.as_ref().is_some_and(|backlog| backlog.is_drained);
    if is_drained {
        // The window ended when the backlog was consumed, so it is as long as the work.
    } else if headline.is_some_and(|figures| figures.count > 0 && figures.p99.is_none()) {
        let few = "p99 is not known: it needs ten acks that took longer, and there were fewer";
        verdict.flag(VerdictFlag::Short, few).advise("a longer window (`-d`) has more");
    }
}

/// Flags a ceiling that the trials of a point exceeded, from as many trials on as an interval needs.
pub fn judge_ceiling(point: &Point, verdict: &mut Reasons) {
    for (path, kind) in [("of_ceiling.write", "writes"), ("of_ceiling.read", "reads")] {
        let interval = point.figure(path).and_then(|figure| figure.interval);
        if let Some(it) = interval.filter(|it| it.low > OF_CEILING_MAX) {
            let low = Sentence::from(kind)
                .words(" reached ")
                .share(it.low)
                .words(" to ")
                .share(it.high)
                .words(" of the ceiling beside them, so that is no ceiling");
            verdict.flag(VerdictFlag::CeilingLow, low);
        }
    }
}

/// Compares a point's medians with the objectives (SLO) of its workload.
pub fn judge_slo(slo: &Slo, point: &Point, verdict: &mut Reasons) {
    for bound in &slo.latencies {
        judge_latency(bound, point, verdict);
    }
    if let Some(least) = slo.min_achieved {
        let achieved = point.figure("offered.achieved").map_or(0.0, |figure| figure.median);
        if achieved < least.0 {
            let missed = Sentence::from("only ")
                .share(achieved)
                .words(" of the offered records were acked in time, but `slo.min_achieved` asks for ")
                .share(least.0);
            verdict.lower(VerdictStatus::SloMissed, missed).advise("offer less (`-r`)");
        }
    }
}

/// Compares one median with its objective. Time in which records waited for the generator misses no objective.
fn judge_latency(bound: &LatencyBound, point: &Point, verdict: &mut Reasons) {
    let statistic = statistic_name(bound.statistic);
    let median_of = |name: &str| point.figure(&format!("latency_ns.{name}.{statistic}"));
    let (key, limit_ns) = (bound.key, num::ns_of(bound.limit.0));
    let limit = quantity::ns(limit_ns);
    let Some(found) = median_of(histogram_name(bound.histogram)) else {
        // A value that is not known must not pass as an objective that was met.
        let unknown =
            format!("{key} is not known: it needs ten acks that took longer, and some trial had fewer");
        verdict.lower(VerdictStatus::Invalid, unknown).advise("a longer window (`-d`) has more");
        return;
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
        verdict.lower(VerdictStatus::Invalid, unknown).advise("lengthen `phases.drain`");
    } else if found_ns > limit_ns {
        let unknown = format!(
            "{key} is {text}, but without the wait for the generator it is {}: whether it exceeds {limit} cannot be told",
            own_ns.map_or_else(|| "unknown".to_owned(), quantity::ns)
        );
        verdict.lower(VerdictStatus::Invalid, unknown).advise(slow_generator(point.trials.iter()));
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
