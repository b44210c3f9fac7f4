//! The verdict on a measurement: whether its figures can be trusted, and why.

use crate::exit::ExitStatus;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;

/// The reason for `target_saturated` under `max`. Saturation is the purpose of `max`, so it tells the reader nothing new.
pub const AS_MEANT: &str = "the target was given all it takes, as `max` means to";

/// A status, flags, and the reasons for both in words.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Verdict {
    /// The worst status that applies.
    pub status: VerdictStatus,
    /// Limits to the meaning of the figures.
    pub flags: BTreeSet<VerdictFlag>,
    /// One sentence, with figures, for each reason. The reason for the status comes first.
    pub reasons: Vec<String>,
}

/// The status of a measurement, in order from best to worst. The worst that applies is the greatest.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum VerdictStatus {
    /// The figures can be trusted.
    #[default]
    Valid,
    /// The harness limited the figures, and not the target.
    Invalid,
    /// A requirement (`require`) was not met when the measured window opened.
    RequirementMissed,
    /// An SLO was missed.
    SloMissed,
    /// Ctrl-C or a termination signal ended the measurement early.
    Interrupted,
    /// The target failed.
    Errors,
    /// Records were lost, repeated, reordered or corrupted.
    IntegrityFailed,
}

/// A limit to the meaning of the figures that does not make them invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum VerdictFlag {
    /// The ceiling of the device varied widely between slices.
    NoisyDisk,
    /// The hypervisor took CPU time, or other processes were busy.
    NoisyCpu,
    /// The figures still changed during the window.
    NotSteady,
    /// The load generator was late or saturated.
    GeneratorLimited,
    /// The target could not take more records. This is a finding about the target and not an error.
    TargetSaturated,
    /// Some records were never acked. Their latency is only known to be at least their age.
    Censored,
    /// The window is too short for the percentiles that were asked for.
    Short,
    /// The ceiling is lower than what the target reached, so it is no ceiling.
    CeilingLow,
}

impl Verdict {
    /// Lowers the status to `status` if that is worse. Adds the reason in any case.
    pub fn lower(&mut self, status: VerdictStatus, reason: impl Into<String>) {
        let reason = reason.into();
        if status > self.status {
            self.status = status;
            self.reasons.retain(|other| *other != reason);
            self.reasons.insert(0, reason);
        } else {
            self.reason(reason);
        }
    }

    /// Adds a flag and its reason.
    pub fn flag(&mut self, flag: VerdictFlag, reason: impl Into<String>) {
        self.flags.insert(flag);
        self.reason(reason.into());
    }

    /// Merges another verdict into this one: the worse status, all flags, and each reason once.
    pub fn absorb(&mut self, other: &Self) {
        self.flags.extend(&other.flags);
        let mut others = other.reasons.clone();
        if other.status > self.status {
            self.status = other.status;
            std::mem::swap(&mut self.reasons, &mut others);
        }
        for reason in others {
            self.reason(reason);
        }
    }

    /// Adds a sentence that a reader should know, unless it is there already. Status and flags do not change.
    pub fn reason(&mut self, reason: String) {
        if !self.reasons.contains(&reason) {
            self.reasons.push(reason);
        }
    }
}

impl VerdictStatus {
    /// Name of the status in results.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::SloMissed => "slo_missed",
            Self::RequirementMissed => "requirement_missed",
            Self::Invalid => "invalid",
            Self::Interrupted => "interrupted",
            Self::Errors => "errors",
            Self::IntegrityFailed => "integrity_failed",
        }
    }

    /// The status in words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::SloMissed => "SLO missed",
            Self::RequirementMissed => "requirement missed",
            Self::Invalid => "INVALID",
            Self::Interrupted => "interrupted",
            Self::Errors => "ERRORS",
            Self::IntegrityFailed => "INTEGRITY FAILED",
        }
    }

    /// Exit status of a run with this verdict.
    pub const fn exit_status(self) -> ExitStatus {
        match self {
            Self::Valid => ExitStatus::Ok,
            Self::SloMissed | Self::RequirementMissed => ExitStatus::SloMissed,
            Self::Invalid => ExitStatus::Invalid,
            Self::Interrupted => ExitStatus::Interrupted,
            Self::Errors => ExitStatus::Runtime,
            Self::IntegrityFailed => ExitStatus::Integrity,
        }
    }
}

impl VerdictFlag {
    /// Name of the flag in results.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoisyDisk => "noisy_disk",
            Self::NoisyCpu => "noisy_cpu",
            Self::NotSteady => "not_steady",
            Self::GeneratorLimited => "generator_limited",
            Self::TargetSaturated => "target_saturated",
            Self::Censored => "censored",
            Self::Short => "short",
            Self::CeilingLow => "ceiling_low",
        }
    }

    /// The flag in words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::NoisyDisk => "noisy disk",
            Self::NoisyCpu => "noisy CPU",
            Self::NotSteady => "not steady",
            Self::GeneratorLimited => "limited by the generator",
            Self::TargetSaturated => "target saturated",
            Self::Censored => "some never acked",
            Self::Short => "short",
            Self::CeilingLow => "ceiling too low",
        }
    }
}

impl fmt::Display for Verdict {
    /// Writes the status in words, then the flags: `valid (noisy disk, short)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.status.words())?;
        let flags: Vec<_> = self.flags.iter().map(|flag| flag.words()).collect();
        if flags.is_empty() { Ok(()) } else { write!(f, " ({})", flags.join(", ")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_that_holds_wins_and_nothing_is_said_twice() {
        let mut whole = Verdict::default();
        let mut part = Verdict::default();
        part.lower(VerdictStatus::SloMissed, "response p99 12 ms > 10 ms");
        part.flag(VerdictFlag::Short, "5 s");
        whole.lower(VerdictStatus::Invalid, "late");
        whole.absorb(&part);
        whole.absorb(&part);
        assert_eq!(whole.status, VerdictStatus::SloMissed, "also when the generator was late");
        assert_eq!(whole.reasons, ["response p99 12 ms > 10 ms", "5 s", "late"]);
        assert_eq!(whole.to_string(), "SLO missed (short)");
    }

    #[test]
    fn what_the_status_is_due_to_is_said_first() {
        let mut verdict = Verdict::default();
        verdict.flag(VerdictFlag::Short, "5 s");
        verdict.flag(VerdictFlag::GeneratorLimited, "late");
        verdict.lower(VerdictStatus::Invalid, "late");
        assert_eq!(verdict.reasons, ["late", "5 s"]);
        let mut whole = Verdict::default();
        whole.flag(VerdictFlag::NoisyCpu, "2 cores");
        whole.flag(VerdictFlag::Short, "5 s");
        whole.absorb(&verdict);
        assert_eq!(whole.reasons, ["late", "5 s", "2 cores"]);
        verdict.absorb(&whole);
        assert_eq!((verdict.status, &verdict.reasons), (VerdictStatus::Invalid, &whole.reasons));
    }

    #[test]
    fn names_are_those_of_the_result() {
        for status in [VerdictStatus::Valid, VerdictStatus::SloMissed, VerdictStatus::IntegrityFailed] {
            assert_eq!(serde_json::to_value(status).unwrap(), status.name());
        }
        for flag in [VerdictFlag::NoisyDisk, VerdictFlag::NotSteady, VerdictFlag::GeneratorLimited] {
            assert_eq!(serde_json::to_value(flag).unwrap(), flag.name());
        }
    }
}
