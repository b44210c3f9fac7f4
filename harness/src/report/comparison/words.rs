//! The sentences of a comparison.

use crate::num;
use crate::quantity;
use crate::result::comparison::{Comparison, Conclusion, Effect, Method, PAIRS_LIMIT, Unit};
use crate::result::{Interval, VerdictStatus};

/// A ratio from which on it is said as a multiple, and not as a percentage.
const MULTIPLE_MIN: f64 = 2.0;

/// Returns the first line: what changed, by how much, with the interval, and the verdict.
pub(in crate::report) fn headline(comparison: &Comparison) -> String {
    let change = change(comparison);
    let metric = &comparison.metric.name;
    let Some(effect) = &comparison.effect else {
        let why = match comparison.verdict.status {
            VerdictStatus::Valid => "no pair counts".to_owned(),
            _ => comparison.verdict.to_string(),
        };
        return format!("{change}: no answer, {why}");
    };
    let by = difference(effect.ratio);
    let interval = match effect.interval {
        Some(interval) => format!(" (95 % interval: {})", range(interval)),
        None => String::new(),
    };
    format!("{change}: {metric} is {by}{interval}: {}", verdict(comparison, effect))
}

/// Returns the conclusion in words: `WORSE`, `no difference that matters`.
pub(in crate::report) fn verdict(comparison: &Comparison, effect: &Effect) -> String {
    if let Some(calibration) = &comparison.calibration {
        return if calibration.is_at_fault {
            "THE SET-UP IS AT FAULT: it prefers one side".to_owned()
        } else {
            "the sides are the same, as they must be".to_owned()
        };
    }
    match effect.conclusion {
        Conclusion::Better => "better".to_owned(),
        Conclusion::Worse => "WORSE".to_owned(),
        Conclusion::NoDifference | Conclusion::CannotTell => effect.conclusion.words().to_owned(),
    }
}

/// Returns what was changed: `durability=synced instead of durability=written`.
pub(in crate::report) fn change(comparison: &Comparison) -> String {
    let (a, b) = (&comparison.a.label, &comparison.b.label);
    match (comparison.is_calibration, a == b) {
        (true, _) => format!("{a} against itself"),
        (false, true) => format!("{b}, measured as A and as B"),
        (false, false) => format!("{b} instead of {a}"),
    }
}

/// Returns how far a ratio lies from 1: `12.3 % lower`, `2.31 times as high`.
pub(in crate::report) fn difference(ratio: f64) -> String {
    if ratio >= MULTIPLE_MIN {
        return format!("{ratio:.2} times as high");
    }
    let share = quantity::percent((ratio - 1.0).abs());
    match ratio {
        _ if share == "0 %" => "the same".to_owned(),
        ratio if ratio < 1.0 => format!("{share} lower"),
        _ => format!("{share} higher"),
    }
}

/// Returns an interval: `11.0 % to 13.5 % lower`, `0.40 % lower to 1.00 % higher`.
pub(in crate::report) fn range(interval: Interval) -> String {
    let (near, far) =
        if interval.high < 1.0 { (interval.high, interval.low) } else { (interval.low, interval.high) };
    let (near, far) = (difference(near), difference(far));
    if near == far {
        return near;
    }
    match (near.rsplit_once("% "), far.rsplit_once("% ")) {
        (Some((number, side)), Some((_, other))) if side == other => format!("{number}% to {far}"),
        _ => format!("{near} to {far}"),
    }
}

/// Returns a share without needless digits: `2 %`, `0.5 %`.
pub(in crate::report) fn share(share: f64) -> String {
    let text = format!("{:.2}", share * 100.0);
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

/// Returns a value in its unit.
pub(in crate::report) fn value(value: f64, unit: Unit) -> String {
    match unit {
        Unit::RecordsPerS => {
            format!("{} records", quantity::per_s(value)).replace("/s records", " records/s")
        }
        Unit::BytesPerS => quantity::bytes_per_s(value),
        Unit::Ns => quantity::ns(num::u64_of(value)),
        Unit::S => format!("{value:.3} s"),
        Unit::Bytes => quantity::bytes(num::u64_of(value)),
        Unit::CpuSPerGib => format!("{value:.3} s/GiB"),
        Unit::Number if value != 0.0 && value.abs() < 0.1 => format!("{value:.6}"),
        Unit::Number => format!("{value:.3}"),
    }
}

/// Returns how far to trust the answer: sentences on the least difference, the pairs that are needed, and the noise.
pub(in crate::report) fn trust(comparison: &Comparison) -> Vec<String> {
    let mut sentences = Vec::new();
    let Some(effect) = &comparison.effect else { return sentences };
    let (pairs, each) = match comparison.method {
        Method::Interleaved => ("pairs", ""),
        Method::Stored => ("trials", " on each side"),
    };
    let band = share(comparison.band);
    if effect.interval.is_none() {
        sentences.push(match comparison.method {
            Method::Interleaved => {
                format!("Pairs that count: {}. An interval needs at least 6.", effect.pairs)
            }
            Method::Stored => format!(
                "There are {} trials of A and {} of B. An interval needs 4 of each, or more of one.",
                comparison.a.values.len(),
                comparison.b.values.len()
            ),
        });
        return sentences;
    }
    if let Some(calibration) = &comparison.calibration {
        sentences.push(format!("The ratio of a pair spreads by {} here.", share(calibration.spread)));
        if let Some(needed) = calibration.pairs_needed {
            sentences.push(needs(&band, needed, "pairs", Some("--pairs")));
        }
        if calibration.is_at_fault {
            sentences.push(
                "Both sides are the same, and the interval excludes 1. Noise does that once in 20 calibrations. Repeat it: if it \
                 happens again, the set-up prefers one side."
                    .to_owned(),
            );
        }
        return sentences;
    }
    if let Some(least) = effect.least_difference {
        sentences.push(format!(
            "{} {pairs}{each} with this noise find a difference of {} or more in 19 of 20 comparisons.",
            effect.pairs,
            share(least)
        ));
    }
    if let Some(needed) = effect.pairs_needed.filter(|_| effect.conclusion == Conclusion::CannotTell) {
        let option = (comparison.method == Method::Interleaved).then_some("--pairs");
        sentences.push(needs(&band, needed, &format!("{pairs}{each}"), option));
    }
    sentences
}

/// The sentences below an answer, by their weight.
pub(in crate::report) struct Below {
    /// How far to trust the answer, or why there is none. These stand in the open.
    pub(in crate::report) open: Vec<String>,
    /// Reasons for the verdict, and notes. A page folds them.
    pub(in crate::report) folded: Vec<String>,
}

/// Returns the sentences below an answer.
pub(in crate::report) fn below(comparison: &Comparison) -> Below {
    let (mut reasons, notes) = (comparison.verdict.reasons.iter().cloned(), comparison.notes.iter().cloned());
    // Without an answer, nothing says more than the first reason.
    let why = if comparison.effect.is_none() { reasons.next() } else { None };
    let mut open: Vec<String> = why.into_iter().chain(trust(comparison)).collect();
    let mut folded: Vec<String> = reasons.collect();
    match comparison.method {
        // The notes say that the sides were not measured turn by turn, and what else may differ between them.
        Method::Stored => open.extend(notes),
        Method::Interleaved => folded.extend(notes),
    }
    Below { open, folded }
}

/// Says how many pairs or trials a band needs, and how to get them: with an option, if there is one and it takes so many.
fn needs(band: &str, needed: u32, what: &str, option: Option<&str>) -> String {
    match option {
        Some(_) if needed > PAIRS_LIMIT => format!(
            "The band of {band} needs {needed} {what}, and a comparison takes {PAIRS_LIMIT} at most: choose a wider `--band`, or a \
             longer window (`--set phases.measure=…`)."
        ),
        Some(option) => format!("The band of {band} needs {needed} {what} (`{option} {needed}`)."),
        None => format!("The band of {band} needs {needed} {what}."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(low: f64, high: f64) -> String {
        range(Interval { low, high, confidence: 0.95 })
    }

    #[test]
    fn no_advice_names_more_pairs_than_a_comparison_takes() {
        let said = |needed, option| needs("2 %", needed, "pairs", option);
        assert_eq!(said(39, Some("--pairs")), "The band of 2 % needs 39 pairs (`--pairs 39`).");
        assert_eq!(said(39, None), "The band of 2 % needs 39 pairs.");
        let many = said(3500, Some("--pairs"));
        assert!(many.contains("takes 1000 at most") && !many.contains("--pairs"), "{many}");
    }

    #[test]
    fn ratios_and_intervals_are_differences_in_words() {
        assert_eq!(
            [0.877, 1.0, 1.05, 2.314].map(difference),
            ["12.3 % lower", "the same", "5.00 % higher", "2.31 times as high"]
        );
        assert_eq!(of(0.865, 0.89), "11.0 % to 13.5 % lower");
        assert_eq!(of(0.996, 1.01), "0.40 % lower to 1.00 % higher");
        assert_eq!(of(1.5, 2.5), "50.0 % higher to 2.50 times as high");
        assert_eq!([of(1.0, 1.0), of(1.1, 1.1)], ["the same", "10.0 % higher"]);
        assert_eq!([0.02, 0.005, 0.1234].map(share), ["2 %", "0.5 %", "12.34 %"]);
    }

    #[test]
    fn values_have_their_units() {
        assert_eq!(value(123_456.0, Unit::RecordsPerS), "123 k records/s");
        assert_eq!(value(850.0, Unit::RecordsPerS), "850 records/s");
        assert_eq!(value(1500.0, Unit::Ns), "1.50 µs");
        assert_eq!(value(0.000_12, Unit::Number), "0.000120");
        assert_eq!(value(1.5, Unit::CpuSPerGib), "1.500 s/GiB");
    }
}
