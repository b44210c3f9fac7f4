//! The reasons that records which failed give for a verdict.

use crate::result::verdict::{Reasons, Sentence};
use crate::result::{ErrorFigures, Trial, VerdictStatus};

/// Adds a reason for the records of a trial that failed, with the number of each kind, and what else is not known then.
pub(super) fn judge_errors(trial: &Trial, verdict: &mut Reasons) {
    let errors = &trial.errors;
    let Some(first) = errors.iter().min_by(|one, other| one.first_s.total_cmp(&other.first_s)) else {
        return;
    };
    let total = errors.iter().map(|error| error.records).sum();
    let mut sentence = Sentence::default().count(total).words(" records failed and were not acked: ");
    for (index, ErrorFigures { kind, records, .. }) in errors.iter().enumerate() {
        let comma = if index == 0 { "" } else { ", " };
        sentence = sentence.words(comma).count(*records).words(format!(" {}", kind.words()));
    }
    sentence = if first.first_s < 0.0 {
        sentence.words("; the first failed before the measured window")
    } else {
        sentence.words("; the first failed ").seconds(first.first_s).words(" into the measured window")
    };
    if let Some(undrained) = trial.integrity.undrained.filter(|undrained| *undrained > 0) {
        sentence = sentence
            .words("; of the acked records ")
            .count(undrained)
            .words(" were not read back before the drain ended, so they may be lost");
    }
    if trial.failure.is_some() {
        // The error that ended the trial is the reason. The counts stand beside it.
        verdict.remark(sentence);
    } else {
        verdict.lower(VerdictStatus::Errors, sentence);
    }
    for error in errors {
        verdict.remark(format!("an example of those that {}: {}", error.kind.words(), error.example));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::{ErrorKind, IntegrityFigures};

    #[test]
    fn the_reason_counts_each_kind_and_says_what_may_be_lost() {
        let error = |kind, records, first_s| ErrorFigures {
            kind,
            records,
            first_s,
            last_s: 9.0,
            example: "the client's words".to_owned(),
        };
        let errors =
            vec![error(ErrorKind::TimedOut, 1200, 3.25), error(ErrorKind::NotEnoughReplicas, 7, 4.0)];
        let integrity = IntegrityFigures { undrained: Some(30), ..IntegrityFigures::default() };
        let trial = Trial { errors, integrity, ..Trial::default() };
        let mut reasons = Reasons::default();
        judge_errors(&trial, &mut reasons);
        let verdict = reasons.verdict();
        assert_eq!(verdict.status, VerdictStatus::Errors);
        assert_eq!(
            verdict.reasons[0],
            "1207 records failed and were not acked: 1200 timed out, 7 had too few in-sync replicas; the first failed 3.2 s \
             into the measured window; of the acked records 30 were not read back before the drain ended, so they may be lost"
        );
        assert_eq!(verdict.reasons[1], "an example of those that timed out: the client's words");
    }

    #[test]
    fn a_trial_without_errors_gets_no_reason() {
        let mut reasons = Reasons::default();
        judge_errors(&Trial::default(), &mut reasons);
        assert_eq!(reasons.status(), VerdictStatus::Valid);
        assert!(reasons.verdict().reasons.is_empty());
    }
}
