//! The plan of a comparison: everything that decides what is measured and in which order. A resumed series reads it again.

use super::pairs::{Pairs, Side};
use super::side::SidePlan;
use crate::num;
use crate::result::environment::Environment;
use crate::stats::pairs::{PILOT_PAIRS, next_pairs};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

/// Time in which a trial has to end, beside the longest that its binary expects, and as a multiple of that.
const LIMIT_BESIDE: Duration = Duration::from_secs(180);
const LIMIT_TIMES: f64 = 2.0;

/// The plan of a comparison.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Plan {
    /// Name of the comparison.
    pub(crate) name: String,
    /// The question that the workload states.
    pub(crate) question: Option<String>,
    /// Side A.
    pub(crate) a: SidePlan,
    /// Side B.
    pub(crate) b: SidePlan,
    /// The workload of A with every key, as A's binary resolves it.
    pub(crate) resolved_a: Value,
    /// The workload of B with every key, as B's binary resolves it.
    pub(crate) resolved_b: Value,
    /// Expected length of a trial of A and of one of B, s.
    pub(crate) seconds: [f64; 2],
    /// The longest that a trial of A and one of B can take, s.
    pub(crate) seconds_max: [f64; 2],
    /// The declared metric: its path in the summary of a result.
    pub(crate) metric: String,
    /// The least difference that matters, as a share.
    pub(crate) band: f64,
    /// The number of pairs.
    pub(crate) length: Length,
    /// Seed of the order within the pairs.
    pub(crate) seed: u64,
    /// Whether both sides are the same on purpose.
    pub(crate) is_calibration: bool,
    /// Directory below which each trial has its data, as an absolute path. `None` for a new directory in the working directory, and
    /// in plans of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) data_dir: Option<PathBuf>,
    /// When the series began, RFC 3339.
    pub(crate) started_at: String,
    /// The command line, one entry for each word.
    pub(crate) command_line: Vec<String>,
    /// The machine when the series began.
    pub(crate) environment: Environment,
    /// The hash that names this machine.
    pub(crate) machine_id: Option<String>,
}

/// The number of pairs of a series.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Length {
    /// A fixed number.
    Pairs(usize),
    /// As many as the interval needs to reach no further than this to either side, within a limit.
    Precision {
        /// Half of the interval's width, as a share.
        half_width: f64,
        /// The most pairs.
        pairs_max: usize,
    },
}

impl Length {
    /// The number of pairs of the series, from those that were measured. A pair without figures is one of a fixed number; for a
    /// precision it needs another one in its place.
    pub(crate) fn wanted(&self, made: &Pairs) -> usize {
        match *self {
            Self::Pairs(pairs) => pairs,
            Self::Precision { half_width, pairs_max } => {
                (next_pairs(&made.values(), half_width, pairs_max) + made.lost()).min(pairs_max)
            }
        }
    }
}

impl Plan {
    /// One side.
    pub(crate) fn side(&self, side: Side) -> &SidePlan {
        match side {
            Side::A => &self.a,
            Side::B => &self.b,
        }
    }

    /// The workload of one side with every key.
    pub(crate) fn resolved(&self, side: Side) -> &Value {
        match side {
            Side::A => &self.resolved_a,
            Side::B => &self.resolved_b,
        }
    }

    /// SHA-256 of the plan as JSON, hexadecimal.
    pub(crate) fn sha256(&self) -> String {
        let json = serde_json::to_vec(self).expect("every key is a string and no number is infinite or NaN");
        Sha256::digest(json).iter().fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    }

    /// The name in the directory of the comparison.
    pub(crate) fn directory_name(&self) -> String {
        format!("{}-{}", if self.is_calibration { "calibrate" } else { "compare" }, self.name)
    }

    /// The expected length of the series after `done` pairs, s. With a precision, that of the first pairs at least.
    pub(crate) fn expected_seconds(&self, done: usize) -> f64 {
        let pairs = match self.length {
            Length::Pairs(pairs) => pairs,
            Length::Precision { .. } => PILOT_PAIRS,
        };
        num::f64_of(num::count(pairs.saturating_sub(done))) * self.pair_seconds()
    }

    /// The expected length of the whole series, s. With a precision, that of the most pairs.
    pub(crate) fn expected_seconds_max(&self) -> f64 {
        let pairs = match self.length {
            Length::Pairs(pairs) => pairs,
            Length::Precision { pairs_max, .. } => pairs_max,
        };
        num::f64_of(num::count(pairs)) * self.pair_seconds()
    }

    /// The expected length of a pair, s.
    pub(crate) fn pair_seconds(&self) -> f64 {
        self.seconds.iter().sum()
    }

    /// The time in which a trial of one side has to end.
    pub(crate) fn limit(&self, side: Side) -> Duration {
        let [a, b] = self.seconds_max;
        let longest = if side == Side::A { a } else { b };
        // A binary that estimates nonsense must not make the limit one.
        LIMIT_BESIDE + Duration::try_from_secs_f64(longest * LIMIT_TIMES).unwrap_or(LIMIT_BESIDE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pairs whose ratios lie up to `spread` beside 1.
    fn pairs(spread: f64, count: usize) -> impl Iterator<Item = (f64, f64)> {
        [-1.0, -0.5, 0.0, 0.5, 1.0].into_iter().cycle().map(move |it| (1.0, 1.0 + spread * it)).take(count)
    }

    #[test]
    fn a_width_is_looked_at_only_when_the_pairs_of_the_look_before_are_made() {
        let wanted = |values: &[(f64, f64)]| next_pairs(values, 0.01, 1000);
        assert_eq!(wanted(&[]), PILOT_PAIRS);
        let mut values: Vec<_> = pairs(0.03, PILOT_PAIRS).collect();
        let asked = wanted(&values);
        assert!((15..100).contains(&asked), "{asked}");
        // The pairs after the pilot are quiet. The interval is narrow enough long before the last of them.
        values.extend(pairs(0.0, asked - PILOT_PAIRS - 1));
        assert_eq!(wanted(&values), asked);
        values.extend(pairs(0.0, 1));
        assert_eq!(wanted(&values), asked);
        assert_eq!(next_pairs(&values, 0.01, 12), 12);
    }
}
