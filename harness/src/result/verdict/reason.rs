//! The reasons for a verdict with their amounts, so that alike reasons of several trials become one sentence with a range.

use super::{Verdict, VerdictFlag, VerdictStatus};
use crate::{num, quantity};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A sentence of words and amounts.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Sentence(Vec<Part>);

/// A part of a sentence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Part {
    Words(String),
    Amount(Amount),
}

/// A quantity, or the range of a quantity over several trials.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Amount {
    unit: Unit,
    low: f64,
    high: f64,
}

/// The kind of a quantity, which says how it is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Unit {
    /// A share, printed in percent.
    Share,
    /// A latency, ns.
    Latency,
    /// A time of seconds.
    Seconds,
    /// A rate of records.
    Rate,
    /// A rate of bytes.
    ByteRate,
    /// A mean number of cores.
    Cores,
    /// A number of things.
    Count,
}

/// One reason for a verdict.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reason {
    /// The status that the reason asks for; `valid` if it asks for none.
    pub status: VerdictStatus,
    /// The flag that the reason raises.
    pub flag: Option<VerdictFlag>,
    sentence: Sentence,
    /// A step that the reader can take.
    advice: Option<String>,
    /// Trials that gave the reason, and all trials that were judged. Both are 0 for a reason that is not of single trials.
    trials: (u64, u64),
}

/// The reasons for the verdict on a trial or on a point.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Reasons(Vec<Reason>);

impl Sentence {
    /// Adds words.
    #[must_use]
    pub fn words(mut self, words: impl Into<String>) -> Self {
        self.0.push(Part::Words(words.into()));
        self
    }

    /// Adds a share, 0 to 1.
    #[must_use]
    pub fn share(self, share: f64) -> Self {
        self.amount(Unit::Share, share)
    }

    /// Adds a latency in ns.
    #[must_use]
    pub fn latency(self, ns: u64) -> Self {
        self.amount(Unit::Latency, num::f64_of(ns))
    }

    /// Adds a time in seconds.
    #[must_use]
    pub fn seconds(self, seconds: f64) -> Self {
        self.amount(Unit::Seconds, seconds)
    }

    /// Adds a rate in records a second.
    #[must_use]
    pub fn rate(self, records_per_s: f64) -> Self {
        self.amount(Unit::Rate, records_per_s)
    }

    /// Adds a rate in bytes a second.
    #[must_use]
    pub fn byte_rate(self, bytes_per_s: f64) -> Self {
        self.amount(Unit::ByteRate, bytes_per_s)
    }

    /// Adds a mean number of cores.
    #[must_use]
    pub fn cores(self, cores: f64) -> Self {
        self.amount(Unit::Cores, cores)
    }

    /// Adds a number of things.
    #[must_use]
    pub fn count(self, count: u64) -> Self {
        self.amount(Unit::Count, num::f64_of(count))
    }

    fn amount(mut self, unit: Unit, value: f64) -> Self {
        self.0.push(Part::Amount(Amount { unit, low: value, high: value }));
        self
    }

    /// Whether both sentences have the same words, and amounts of the same kinds between them.
    fn is_alike(&self, other: &Self) -> bool {
        let is_alike = |pair: (&Part, &Part)| match pair {
            (Part::Words(one), Part::Words(other)) => one == other,
            (Part::Amount(one), Part::Amount(other)) => one.unit == other.unit,
            _ => false,
        };
        self.0.len() == other.0.len() && self.0.iter().zip(&other.0).all(is_alike)
    }

    /// Widens each amount so that it covers that of an alike sentence.
    fn cover(&mut self, other: &Self) {
        for pair in self.0.iter_mut().zip(&other.0) {
            if let (Part::Amount(one), Part::Amount(other)) = pair {
                (one.low, one.high) = (one.low.min(other.low), one.high.max(other.high));
            }
        }
    }
}

impl From<&str> for Sentence {
    fn from(words: &str) -> Self {
        Self::default().words(words)
    }
}

impl From<String> for Sentence {
    fn from(words: String) -> Self {
        Self::default().words(words)
    }
}

impl fmt::Display for Sentence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|part| match part {
            Part::Words(words) => f.write_str(words),
            Part::Amount(amount) => amount.fmt(f),
        })
    }
}

impl fmt::Display for Amount {
    /// Writes the value, or the range with its unit once: `2.10–4.30 %`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (low, high) = (self.unit.text(self.low), self.unit.text(self.high));
        if low == high {
            return f.write_str(&low);
        }
        match (low.rsplit_once(' '), high.rsplit_once(' ')) {
            (Some((number, unit)), Some((_, other))) if unit == other => write!(f, "{number}–{high}"),
            _ => write!(f, "{low}–{high}"),
        }
    }
}

impl Unit {
    fn text(self, value: f64) -> String {
        match self {
            Self::Share => quantity::percent(value),
            Self::Latency => quantity::ns(num::u64_of(value)),
            Self::Seconds => format!("{value:.1} s"),
            Self::Rate => quantity::per_s(value),
            Self::ByteRate => quantity::bytes_per_s(value),
            Self::Cores => format!("{value:.1} cores"),
            Self::Count => num::u64_of(value).to_string(),
        }
    }
}

impl Reason {
    /// Adds a step that the reader can take.
    pub fn advise(&mut self, advice: impl Into<String>) {
        self.advice = Some(advice.into());
    }

    /// The weight of a reason: greater for one that changes more of what a reader may conclude.
    fn weight(&self) -> (VerdictStatus, u8, f64) {
        let flag = match self.flag {
            None => 0,
            Some(VerdictFlag::Short) => 1,
            Some(VerdictFlag::CeilingLow) => 2,
            Some(VerdictFlag::NoisyDisk) => 3,
            Some(VerdictFlag::NoisyCpu) => 4,
            Some(VerdictFlag::NotSteady) => 5,
            Some(VerdictFlag::TargetFellBehind) => 6,
            Some(VerdictFlag::GeneratorLimited) => 7,
            Some(VerdictFlag::Censored) => 8,
        };
        let (seen, all) = self.trials;
        (self.status, flag, num::f64_of(seen) / num::f64_of(all.max(1)))
    }

    fn is_alike(&self, other: &Self) -> bool {
        (self.status, self.flag, &self.advice) == (other.status, other.flag, &other.advice)
            && self.sentence.is_alike(&other.sentence)
    }

    /// Takes in an alike reason of other trials.
    fn join(&mut self, other: &Self) {
        self.sentence.cover(&other.sentence);
        self.trials = (self.trials.0 + other.trials.0, self.trials.1 + other.trials.1);
    }

    /// Returns the reason with words before it that say where it holds.
    fn placed(&self, place: &str) -> String {
        let (seen, all) = self.trials;
        let trials = if seen < all { format!(" ({seen} of {all} trials)") } else { String::new() };
        let advice = self.advice.as_ref().map(|advice| format!("; {advice}")).unwrap_or_default();
        format!("{place}{}{trials}{advice}", self.sentence)
    }
}

impl Reasons {
    /// Adds a reason for a status.
    pub fn lower(&mut self, status: VerdictStatus, sentence: impl Into<Sentence>) -> &mut Reason {
        self.push(status, None, sentence.into())
    }

    /// Adds a flag with its reason.
    pub fn flag(&mut self, flag: VerdictFlag, sentence: impl Into<Sentence>) -> &mut Reason {
        self.push(VerdictStatus::Valid, Some(flag), sentence.into())
    }

    /// Adds a flag whose reason also makes the measurement invalid.
    pub fn invalidate(&mut self, flag: VerdictFlag, sentence: impl Into<Sentence>) -> &mut Reason {
        self.push(VerdictStatus::Invalid, Some(flag), sentence.into())
    }

    /// Adds a sentence that a reader should know. Status and flags do not change.
    pub fn remark(&mut self, sentence: impl Into<Sentence>) -> &mut Reason {
        self.push(VerdictStatus::Valid, None, sentence.into())
    }

    fn push(&mut self, status: VerdictStatus, flag: Option<VerdictFlag>, sentence: Sentence) -> &mut Reason {
        let reason = Reason { status, flag, sentence, advice: None, trials: (0, 0) };
        self.0.push(reason);
        let last = self.0.len() - 1;
        &mut self.0[last]
    }

    /// The worst status that a reason asks for.
    pub fn status(&self) -> VerdictStatus {
        self.0.iter().map(|reason| reason.status).max().unwrap_or_default()
    }

    /// Returns the same reasons without the status `invalid`, for a trial that is left out of a valid point.
    #[must_use]
    pub fn without_invalid(&self) -> Self {
        let mut reasons = self.clone();
        let invalid = reasons.0.iter_mut().filter(|reason| reason.status == VerdictStatus::Invalid);
        invalid.for_each(|reason| reason.status = VerdictStatus::Valid);
        reasons
    }

    /// Returns the reasons of several trials, alike ones joined.
    pub fn of_trials(trials: &[Self]) -> Self {
        let all = num::count(trials.len());
        let mut joined: Vec<Reason> = Vec::new();
        for trial in trials {
            let mut own: Vec<Reason> = Vec::new();
            for reason in &trial.0 {
                match own.iter_mut().find(|other| other.is_alike(reason)) {
                    Some(other) => other.join(reason),
                    None => own.push(reason.clone()),
                }
            }
            for mut reason in own {
                reason.trials = (1, 0);
                match joined.iter_mut().find(|other| other.is_alike(&reason)) {
                    Some(other) => other.join(&reason),
                    None => joined.push(reason),
                }
            }
        }
        joined.iter_mut().for_each(|reason| reason.trials.1 = all);
        Self(joined)
    }

    /// Returns the verdict that these reasons make, the weightiest reason first.
    pub fn verdict(&self) -> Verdict {
        Self::verdict_of_points(&[(String::new(), self.clone())])
    }

    /// Returns the verdict over several points, each with its name. A reason that not all points have names the one that has it,
    /// or says how many have it.
    pub fn verdict_of_points(points: &[(String, Self)]) -> Verdict {
        /// A reason with the names of the points that have it.
        struct Placed<'a> {
            reason: Reason,
            points: Vec<&'a str>,
        }
        let mut joined: Vec<Placed<'_>> = Vec::new();
        for (name, reasons) in points {
            for reason in &reasons.0 {
                match joined.iter_mut().find(|other| other.reason.is_alike(reason)) {
                    Some(other) => {
                        other.reason.join(reason);
                        other.points.push(name);
                    }
                    None => joined.push(Placed { reason: reason.clone(), points: vec![name] }),
                }
            }
        }
        let heavier = |one: &Placed<'_>, other: &Placed<'_>| {
            let ((a, b, c), (d, e, f)) = (one.reason.weight(), other.reason.weight());
            let points = other.points.len().cmp(&one.points.len());
            (d, e).cmp(&(a, b)).then(points).then(f.total_cmp(&c))
        };
        joined.sort_by(heavier);
        let mut verdict = Verdict::default();
        for Placed { mut reason, points: named } in joined {
            let place = match named[..] {
                _ if named.len() == points.len() => String::new(),
                [name] => format!("{name}: "),
                _ => {
                    // The number of points says enough.
                    reason.trials = (0, 0);
                    format!("{} of {} points: ", named.len(), points.len())
                }
            };
            verdict.status = verdict.status.max(reason.status);
            verdict.flags.extend(reason.flag);
            verdict.reason(reason.placed(&place));
        }
        verdict
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stolen(share: f64) -> Reasons {
        let mut reasons = Reasons::default();
        let sentence = Sentence::from("others took ").share(share).words(" of the time");
        reasons.flag(VerdictFlag::NoisyCpu, sentence).advise("wait for a quieter hour");
        reasons
    }

    #[test]
    fn alike_reasons_of_several_trials_are_one_sentence_with_a_range() {
        let all = Reasons::of_trials(&[stolen(0.021), stolen(0.043), stolen(0.03)]);
        let verdict = all.verdict();
        assert_eq!(verdict.reasons, ["others took 2.10–4.30 % of the time; wait for a quieter hour"]);
        assert_eq!(verdict.flags, [VerdictFlag::NoisyCpu].into());
        let some = Reasons::of_trials(&[stolen(0.021), Reasons::default(), stolen(0.021)]);
        assert_eq!(
            some.verdict().reasons,
            ["others took 2.10 % of the time (2 of 3 trials); wait for a quieter hour"]
        );
    }

    #[test]
    fn a_reason_that_one_trial_gives_twice_counts_once() {
        let mut twice = stolen(0.05);
        twice.0.extend(stolen(0.03).0);
        let all = Reasons::of_trials(&[twice, Reasons::default()]);
        assert_eq!(
            all.verdict().reasons,
            ["others took 3.00–5.00 % of the time (1 of 2 trials); wait for a quieter hour"]
        );
    }

    #[test]
    fn the_worst_reason_comes_first_and_after_it_the_weightier_flags() {
        let mut reasons = Reasons::default();
        reasons.remark("a remark");
        reasons.flag(VerdictFlag::Short, "short");
        reasons.lower(VerdictStatus::Invalid, "unknown");
        reasons.flag(VerdictFlag::Censored, "never acked");
        reasons.lower(VerdictStatus::SloMissed, "missed");
        let verdict = reasons.verdict();
        assert_eq!(verdict.status, VerdictStatus::SloMissed);
        assert_eq!(verdict.reasons, ["missed", "unknown", "never acked", "short", "a remark"]);
    }

    #[test]
    fn a_reason_of_one_point_names_it_and_that_of_several_points_their_number() {
        let named = |name: &str, reasons| (name.to_owned(), reasons);
        let mut of_one = stolen(0.03);
        of_one.lower(VerdictStatus::Errors, "failed");
        let trials = |reasons| Reasons::of_trials(&[reasons, Reasons::default()]);
        let points =
            [named("a", trials(stolen(0.02))), named("b", trials(of_one)), named("c", Reasons::default())];
        let verdict = Reasons::verdict_of_points(&points);
        assert_eq!(verdict.reasons[0], "b: failed (1 of 2 trials)");
        assert_eq!(
            verdict.reasons[1],
            "2 of 3 points: others took 2.00–3.00 % of the time; wait for a quieter hour"
        );
        let passes = [named("max", trials(stolen(0.02))), named("open", trials(stolen(0.04)))];
        assert_eq!(
            Reasons::verdict_of_points(&passes).reasons,
            ["others took 2.00–4.00 % of the time (2 of 4 trials); wait for a quieter hour"]
        );
    }

    #[test]
    fn a_range_has_its_unit_once_unless_the_units_differ() {
        let range = |one: Sentence, other: &Sentence| {
            let mut sentence = one;
            assert!(sentence.is_alike(other));
            sentence.cover(other);
            sentence.to_string()
        };
        let latency = |ns| Sentence::default().latency(ns);
        assert_eq!(range(latency(20_000_000), &latency(9_000_000)), "9.00–20.0 ms");
        assert_eq!(range(latency(900_000), &latency(9_000_000)), "900 µs–9.00 ms");
        assert_eq!(range(Sentence::default().count(3), &Sentence::default().count(7)), "3–7");
        assert!(!latency(1).is_alike(&Sentence::default().count(1)));
        assert!(!Sentence::from("a").is_alike(&Sentence::from("b")));
    }
}
