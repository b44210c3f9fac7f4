//! The pairs of a comparison that were measured, as plain values.

use crate::result::provenance::{Build, SystemIdentity};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How often a pair is measured again, at most, because a trial was late or invalid. Then the pair is set aside.
pub(crate) const REPEATS_MAX: usize = 3;

/// A side of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Side {
    /// The side that the other one is compared with.
    A,
    /// The side whose change is asked for.
    B,
}

/// The end of a trial.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum TrialEnd {
    /// The trial has figures that count.
    Usable(Values),
    /// The harness or the machine made the figures, and not the system. The reason, in words.
    Unusable(String),
    /// The trial failed.
    Failed(Fault),
}

/// The figures of a trial that are compared.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Values {
    /// The declared metric.
    pub(crate) primary: f64,
    /// Every figure of the trial, by its path in the summary of a result.
    pub(crate) figures: BTreeMap<String, f64>,
    /// The build that measured, if it says so in a form that this one knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) build: Option<Box<Build>>,
    /// The system that was measured, if its result says so in a form that this build knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) system: Option<Box<SystemIdentity>>,
}

/// The failure of a trial, with the reason in words.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Fault {
    /// The system, the machine or the process failed.
    Errors(String),
    /// Records were lost, repeated, reordered or corrupted.
    Integrity(String),
}

/// The outcome of a pair.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Closed {
    /// Both trials have figures.
    Counted {
        /// Figures of side A.
        a: Values,
        /// Figures of side B.
        b: Values,
    },
    /// A trial failed. The pair has no figures.
    Failed {
        /// The side that failed.
        side: Side,
        /// The failure.
        fault: Fault,
    },
    /// A trial of every attempt was late or invalid. The last reason, in words.
    SetAside(String),
}

/// A pair that needs no more trials.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Pair {
    /// The side that was measured first in the last attempt.
    pub(crate) first: Side,
    /// Why each earlier attempt does not count, in words.
    pub(crate) repeats: Vec<String>,
    /// The outcome.
    pub(crate) end: Closed,
    /// Time that all attempts of one session took, s.
    pub(crate) seconds: f64,
}

/// A pair that is being measured.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct OpenPair {
    /// Why each earlier attempt does not count, in words.
    pub(crate) repeats: Vec<String>,
    /// The first trial of this attempt: its side and its figures.
    pub(crate) first: Option<(Side, Values)>,
}

/// The pairs of a series.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Pairs {
    /// Pairs that need no more trials, in the order in which they were measured.
    pub(crate) closed: Vec<Pair>,
    /// The next pair.
    pub(crate) open: OpenPair,
}

impl Side {
    /// Both sides.
    pub(crate) const BOTH: [Self; 2] = [Self::A, Self::B];

    /// The letter that names the side.
    pub(crate) const fn letter(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::B => "B",
        }
    }
}

impl Fault {
    /// The reason in words.
    pub(crate) fn reason(&self) -> &str {
        match self {
            Self::Errors(reason) | Self::Integrity(reason) => reason,
        }
    }
}

impl Pairs {
    /// Enters a trial of the next pair. Returns whether this closes the pair.
    pub(crate) fn enter(&mut self, side: Side, end: TrialEnd) -> bool {
        let OpenPair { mut repeats, first } = std::mem::take(&mut self.open);
        let begun_with = first.as_ref().map_or(side, |(side, _)| *side);
        let end = match (end, first) {
            (TrialEnd::Failed(fault), _) => Closed::Failed { side, fault },
            (TrialEnd::Unusable(reason), _) if repeats.len() < REPEATS_MAX => {
                repeats.push(format!("{}: {reason}", side.letter()));
                self.open.repeats = repeats;
                return false;
            }
            (TrialEnd::Unusable(reason), _) => Closed::SetAside(format!("{}: {reason}", side.letter())),
            (TrialEnd::Usable(values), None) => {
                self.open = OpenPair { repeats, first: Some((side, values)) };
                return false;
            }
            (TrialEnd::Usable(b), Some((Side::A, a))) => Closed::Counted { a, b },
            (TrialEnd::Usable(a), Some((Side::B, b))) => Closed::Counted { a, b },
        };
        self.closed.push(Pair { first: begun_with, repeats, end, seconds: 0.0 });
        true
    }

    /// The declared metric of each counted pair: A's value and B's.
    pub(crate) fn values(&self) -> Vec<(f64, f64)> {
        self.counted().map(|(a, b)| (a.primary, b.primary)).collect()
    }

    /// The figures of each counted pair: A's and B's.
    pub(crate) fn counted(&self) -> impl Iterator<Item = (&Values, &Values)> {
        self.closed.iter().filter_map(|pair| match &pair.end {
            Closed::Counted { a, b } => Some((a, b)),
            Closed::Failed { .. } | Closed::SetAside(_) => None,
        })
    }

    /// The number of pairs that need no more trials and have no figures.
    pub(crate) fn lost(&self) -> usize {
        self.closed.len() - self.counted().count()
    }
}
