//! Conclusions of a sweep in plain sentences: which setting is best, and whether the difference is larger than the
//! noise.

use super::{Combination, Metric, RESPONSE_P99, Sweep, is_sound};
use crate::num;
use crate::quantity;
use crate::report::facts::{median_text, range_text};
use crate::result::Figure;
use crate::stats::{self, Comparison, NOISE_BAND, Standing};

/// The most combinations that a sentence names. More of them are counted.
const NAMED_MAX: usize = 3;

/// The better end of a metric.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Good {
    High,
    Low,
}

/// Returns sentences on throughput and, if there was an open load, on its p99; then on the limits of the comparison.
pub(in crate::report) fn sentences(sweep: &Sweep<'_>) -> Vec<String> {
    let mut sentences = Vec::new();
    let has_loaded = sweep.combinations.iter().any(|it| it.loaded.is_some());
    if has_loaded {
        let what = if sweep.is_catch_up() { "the fastest to catch up" } else { "the highest throughput" };
        sentences.extend(sentence(sweep, sweep.throughput(), Good::High, what, quantity::bytes_per_s));
    }
    if sweep.has_open() {
        let what = format!("the lowest p99 response {}", sweep.rate_words());
        let p99 = sentence(sweep, RESPONSE_P99, Good::Low, &what, |ns| quantity::ns(num::u64_of(ns)));
        sentences.push(p99.unwrap_or_else(|| {
            "No p99 response can be compared: that needs at least 1000 acks in every trial of a valid point; use a longer \
             window."
                .to_owned()
        }));
    }
    let censored = sweep.combinations.iter().filter(|it| it.is_censored(RESPONSE_P99));
    let censored: Vec<String> = censored.map(|it| sweep.name(it)).collect();
    if !censored.is_empty() {
        let names = listed(&censored);
        sentences.push(format!("Not ranked by p99, because records were never acked: {names}."));
    }
    if sweep.settings.iter().any(|setting| setting.key == "durability") {
        sentences.push(
            "An ack does not promise the same at every durability: the faster setting may promise less."
                .to_owned(),
        );
    }
    sentences.extend(left_out(sweep));
    sentences
}

fn sentence(
    sweep: &Sweep<'_>,
    metric: Metric,
    good: Good,
    what: &str,
    unit: impl Fn(f64) -> String,
) -> Option<String> {
    let mut ranked: Vec<(&Combination<'_>, f64)> =
        sweep.combinations.iter().filter_map(|it| Some((it, it.sound_median(metric)?))).collect();
    ranked.sort_by(|(_, a), (_, b)| if good == Good::High { b.total_cmp(a) } else { a.total_cmp(b) });
    let (best, _) = *ranked.first()?;
    let figure = best.point(metric)?.figure(metric.path)?;
    let named = format!("{}: {what}, {}", sweep.name(best), with_range(figure, &unit));
    let trials: Vec<Vec<f64>> = ranked.iter().map(|(it, _)| it.blocks(metric)).collect();
    let first: Vec<Vec<f64>> = ranked.iter().map(|(it, _)| it.first_blocks(metric)).collect();
    let found = stats::against_each(&trials, 0, NOISE_BAND);
    let (found, doubted) = without_contradicted(found, &first);
    let others: Vec<(String, Comparison)> = ranked
        .iter()
        .zip(found)
        .skip(1)
        .filter_map(|((it, _), found)| Some((sweep.name(it), found?)))
        .collect();
    let Some((next, comparison)) = others.first() else {
        return Some(format!("{named}; there is no other to compare it with."));
    };
    let effect = format!("{}{} that of the next, {next}", times(comparison.ratio), interval(comparison));
    let verdict = match comparison.interval {
        Some(_) => by_interval(&others, comparison, good),
        None => by_range(&others, comparison),
    };
    let late = ranked.iter().any(|(it, _)| it.late_share() > 0.0);
    let late = if late { first_attempts_words(&first, doubted) } else { String::new() };
    Some(format!("{named}; {effect}. {verdict}{late}"))
}

/// Takes back a claim that the first attempts contradict: those of the late trials included, the ratio lies on the other side
/// of 1. Returns also how many claims that were.
fn without_contradicted(
    mut found: Vec<Option<Comparison>>,
    first: &[Vec<f64>],
) -> (Vec<Option<Comparison>>, usize) {
    let mut doubted = 0;
    for (comparison, other) in found.iter_mut().zip(first) {
        let Some(comparison) = comparison else { continue };
        let ratio = stats::paired_ratio(&first[0], other);
        let is_same_side = match comparison.standing {
            Standing::Above => ratio.is_some_and(|ratio| ratio > 1.0),
            Standing::Below => ratio.is_some_and(|ratio| ratio < 1.0),
            Standing::NotToldApart | Standing::RangesOverlap | Standing::RangesApart => true,
        };
        if !is_same_side {
            comparison.standing = Standing::NotToldApart;
            doubted += 1;
        }
    }
    (found, doubted)
}

/// Returns the ratio of the best to the next over first attempts, and what follows from it.
fn first_attempts_words(first: &[Vec<f64>], doubted: usize) -> String {
    let [best, next, ..] = first else { return String::new() };
    let ratio = stats::paired_ratio(best, next).map_or_else(|| "not known".to_owned(), times);
    let follows = match doubted {
        0 => String::new(),
        _ => ", so what they contradict is not claimed".to_owned(),
    };
    format!(" Over first attempts, late ones included, that ratio is {ratio}{follows}.")
}

fn with_range(figure: &Figure, unit: impl Fn(f64) -> String) -> String {
    let median = median_text(figure, &unit);
    if figure.trials == 1 {
        return median;
    }
    let (min, max) = range_text(figure, &unit);
    format!("{median} ({min} to {max})")
}

fn times(ratio: f64) -> String {
    format!("{ratio:.2} ×")
}

fn interval(comparison: &Comparison) -> String {
    comparison.interval.map_or_else(String::new, |it| format!(" ({:.2} to {:.2})", it.low, it.high))
}

/// Returns the conclusion from intervals, which exist from six trials on.
fn by_interval(others: &[(String, Comparison)], next: &Comparison, good: Good) -> String {
    let clear = if good == Good::High { Standing::Above } else { Standing::Below };
    let close = names(others, |standing| standing != clear);
    let how = format!(
        "{} paired trials, t interval of the ratio, Holm's correction for {} comparison{}, noise band {:.0} %",
        next.pairs,
        next.comparisons,
        if next.comparisons == 1 { "" } else { "s" },
        NOISE_BAND * 100.0
    );
    match (close, names(others, |standing| standing == clear)) {
        (None, _) => format!("The difference is larger than the noise ({how})."),
        (Some(close), None) => {
            format!(
                "The difference is not larger than the noise: it cannot be distinguished from {close} ({how})."
            )
        }
        (Some(close), Some(clear)) => {
            format!("It cannot be distinguished from {close}, but it differs from {clear} ({how}).")
        }
    }
}

/// Returns the conclusion from ranges, for fewer than six trials.
fn by_range(others: &[(String, Comparison)], next: &Comparison) -> String {
    let plural = if next.pairs == 1 { "trial is" } else { "trials are" };
    let few = format!(
        "{} {plural} too few for an interval (`--trials {}` gives one)",
        next.pairs,
        stats::INTERVAL_TRIALS_MIN
    );
    match names(others, |standing| standing != Standing::RangesApart) {
        None if next.pairs > 1 => format!("Its range overlaps no other, but {few}."),
        Some(close) if next.pairs > 1 => {
            format!("This difference is not reliable: its range overlaps that of {close}, and {few}.")
        }
        _ => format!("It is unknown whether this is a real difference: {few}."),
    }
}

/// Names the combinations with some standing, or counts them if they are many; `None` if there are none.
fn names(others: &[(String, Comparison)], is: impl Fn(Standing) -> bool) -> Option<String> {
    let names: Vec<&str> =
        others.iter().filter(|(_, found)| is(found.standing)).map(|(name, _)| name.as_str()).collect();
    match names.len() {
        0 => None,
        count if count == others.len() && count > 1 => Some(format!("any of the other {count}")),
        count if count > NAMED_MAX => Some(format!("{} of the other {}", count, others.len())),
        _ => Some(names.join("; ")),
    }
}

/// Names some combinations, or counts them if they are many.
fn listed(names: &[String]) -> String {
    if names.len() > NAMED_MAX { format!("{} combinations", names.len()) } else { names.join("; ") }
}

/// Returns a sentence on the combinations that could not be compared.
fn left_out(sweep: &Sweep<'_>) -> Option<String> {
    let failed: Vec<String> = sweep
        .combinations
        .iter()
        .filter_map(|it| {
            let unsound = it.points().filter(|point| !is_sound(point));
            let worst = unsound.max_by_key(|point| point.verdict.status)?;
            let load = if it.has_failed() { String::new() } else { format!(" under {}", worst.pass) };
            Some(format!("{} ({}{load})", sweep.name(it), worst.verdict.status.words()))
        })
        .collect();
    match failed.len() {
        0 => None,
        count if count > NAMED_MAX => {
            Some(format!("Left out, because they failed or are invalid: {count} combinations."))
        }
        _ => Some(format!("Left out: {}.", failed.join("; "))),
    }
}
