//! Fills in the conclusions of a comparison from its pairs.

use super::secondary::Figures;
use super::{calibrate, effect, secondary, unpaired};
use crate::result::VerdictStatus;
use crate::result::comparison::{Comparison, Effect, PairOutcome};

/// Pairs without figures that make a series invalid, whatever its length.
const LOST_MAX: usize = 3;

/// Fills in the verdict, the effect, the secondary effects and the calibration of a comparison from its pairs. An interrupted
/// series keeps its verdict, and gets the effect of the pairs that it has.
///
/// A failed pair leaves no effect: which trials fail is not left to chance, so the others say nothing.
pub fn conclude(comparison: &mut Comparison) {
    judge(comparison);
    let counted = comparison.counted();
    let effect = effect(&counted, comparison.band, comparison.metric.more_is_better);
    conclude_with(comparison, effect);
    comparison.secondary =
        if comparison.effect.is_some() { secondary::of_pairs(&comparison.pairs) } else { Vec::new() };
    if comparison.is_calibration {
        comparison.calibration = comparison.effect.as_ref().and_then(calibrate);
    }
}

/// Fills in the effect and the secondary effects of a comparison of stored results, from the figures of each trial of A and B. The
/// verdict is that of the results, and is not changed.
pub fn conclude_stored(comparison: &mut Comparison, (a, b): (&[Figures], &[Figures])) {
    let found = unpaired(
        &comparison.a.values,
        &comparison.b.values,
        comparison.band,
        comparison.metric.more_is_better,
    );
    conclude_with(comparison, found);
    if comparison.effect.is_some() {
        comparison.secondary = secondary::of_trials(a, b);
    }
}

/// Sets the effect, if the verdict allows one, and the notes on it.
fn conclude_with(comparison: &mut Comparison, effect: Option<Effect>) {
    let is_sound = matches!(comparison.verdict.status, VerdictStatus::Valid | VerdictStatus::Interrupted);
    comparison.effect = effect.filter(|_| is_sound);
    if comparison.effect.is_some_and(|effect| effect.tests_disagree) {
        note(
            &mut comparison.notes,
            "Student's t alone would conclude otherwise: a few trials lie far from the others. The ranks decide."
                .to_owned(),
        );
    }
}

/// Adds a sentence, unless it is there already.
fn note(notes: &mut Vec<String>, sentence: String) {
    if !notes.contains(&sentence) {
        notes.push(sentence);
    }
}

/// Lowers the verdict by the outcomes of the pairs.
fn judge(comparison: &mut Comparison) {
    let mut set_aside = 0;
    for (number, pair) in (1..).zip(&comparison.pairs) {
        match &pair.outcome {
            PairOutcome::Counted => {}
            PairOutcome::Failed { reason } => {
                comparison.verdict.lower(VerdictStatus::Errors, format!("pair {number} failed: {reason}"));
            }
            PairOutcome::IntegrityFailed { reason } => {
                comparison
                    .verdict
                    .lower(VerdictStatus::IntegrityFailed, format!("pair {number} failed: {reason}"));
            }
            PairOutcome::SetAside { reason } => {
                set_aside += 1;
                note(
                    &mut comparison.notes,
                    format!(
                        "Pair {number} does not count, because each attempt was late or invalid: {reason}"
                    ),
                );
            }
        }
    }
    let pairs = comparison.pairs.len();
    if set_aside >= LOST_MAX || (set_aside > 0 && comparison.counted().is_empty()) {
        comparison.verdict.lower(
            VerdictStatus::Invalid,
            format!("{set_aside} of {pairs} pairs were late or invalid at each attempt"),
        );
    }
}
