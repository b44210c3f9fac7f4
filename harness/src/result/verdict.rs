//! The verdict on a measurement: whether its figures can be trusted, and why.

mod reason;

pub use reason::{Reason, Reasons, Sentence};

use crate::exit::ExitStatus;
use schemars::JsonSchema;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeSet;
use std::fmt;

/// The flag that schema version 1 raised under every `max`, and for open loads that were not achieved.
const TARGET_SATURATED_1: &str = "target_saturated";
/// The end of the reason that schema version 1 gave for it under `max`. It told the reader nothing new.
const AS_MEANT_1: &str = "as `max` means to";

/// A status, flags, and the reasons for both in words.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Verdict {
    /// The worst status that applies.
    pub status: VerdictStatus,
    /// Limits to the meaning of the figures.
    pub flags: BTreeSet<VerdictFlag>,
    /// One sentence, with figures, for each reason. The worst comes first.
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
    /// On the cores that were used, the hypervisor took CPU time or other processes were busy.
    NoisyCpu,
    /// Throughput, or the latency under an open load, drifted within the window.
    NotSteady,
    /// The load generator was late, or one of its threads had no time left.
    GeneratorLimited,
    /// The target did not ack an open load in time.
    TargetFellBehind,
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

    /// Returns the verdict for a column: several flags are only counted, as in `valid (3 flags)`.
    pub fn in_short(&self) -> String {
        match self.flags.len() {
            0 | 1 => self.to_string(),
            flags => format!("{} ({flags} flags)", self.status.words()),
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
    /// Every flag.
    pub const ALL: [Self; 8] = [
        Self::NoisyDisk,
        Self::NoisyCpu,
        Self::NotSteady,
        Self::GeneratorLimited,
        Self::TargetFellBehind,
        Self::Censored,
        Self::Short,
        Self::CeilingLow,
    ];

    /// Returns the flag with this name; `None` if there is no such flag.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|flag| flag.name() == name)
    }

    /// Name of the flag in results.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoisyDisk => "noisy_disk",
            Self::NoisyCpu => "noisy_cpu",
            Self::NotSteady => "not_steady",
            Self::GeneratorLimited => "generator_limited",
            Self::TargetFellBehind => "target_fell_behind",
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
            Self::GeneratorLimited => "generator late or busy",
            Self::TargetFellBehind => "target fell behind",
            Self::Censored => "some never acked",
            Self::Short => "short",
            Self::CeilingLow => "ceiling too low",
        }
    }
}

impl<'de> Deserialize<'de> for Verdict {
    /// Reads also the flag `target_saturated` of schema version 1. For an open load it means that the target fell behind. Under
    /// `max` it was raised on purpose, so it is left out.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Written {
            status: VerdictStatus,
            flags: Vec<String>,
            reasons: Vec<String>,
        }
        let Written { status, flags, mut reasons } = Written::deserialize(deserializer)?;
        let all = reasons.len();
        reasons.retain(|reason| !reason.ends_with(AS_MEANT_1));
        let was_meant = reasons.len() < all;
        let is_behind = !was_meant || reasons.iter().any(|reason| reason.contains("of the offered r"));
        let mut found = BTreeSet::new();
        for name in flags {
            if name == TARGET_SATURATED_1 {
                found.extend(is_behind.then_some(VerdictFlag::TargetFellBehind));
            } else {
                let unknown = || D::Error::custom(format!("`{name}` is no flag of a verdict"));
                found.insert(VerdictFlag::named(&name).ok_or_else(unknown)?);
            }
        }
        Ok(Self { status, flags: found, reasons })
    }
}

impl fmt::Display for Verdict {
    /// Writes the status in words, then the flags: `valid (flags: noisy disk, short)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.status.words())?;
        let flags: Vec<_> = self.flags.iter().map(|flag| flag.words()).collect();
        if flags.is_empty() { Ok(()) } else { write!(f, " (flags: {})", flags.join(", ")) }
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
        assert_eq!(whole.to_string(), "SLO missed (flags: short)");
        assert_eq!(whole.in_short(), "SLO missed (flags: short)");
        whole.flag(VerdictFlag::NoisyDisk, "30 %");
        assert_eq!(whole.in_short(), "SLO missed (2 flags)");
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
        for flag in VerdictFlag::ALL {
            assert_eq!(serde_json::to_value(flag).unwrap(), flag.name());
            assert_eq!(VerdictFlag::named(flag.name()), Some(flag));
        }
        assert_eq!(VerdictFlag::named("noisy"), None);
    }

    #[test]
    fn statuses_are_ordered_from_best_to_worst() {
        use VerdictStatus::{
            Errors, IntegrityFailed, Interrupted, Invalid, RequirementMissed, SloMissed, Valid,
        };
        let order = [Valid, Invalid, RequirementMissed, SloMissed, Interrupted, Errors, IntegrityFailed];
        assert_eq!(order.map(|status| status.exit_status() as u8), [0, 5, 3, 3, 130, 1, 6]);
        assert!(order.is_sorted_by(|a, b| a < b));
    }

    /// Reads a verdict with the flag of schema version 1.
    fn of_version_1(reasons: &[&str]) -> Verdict {
        let json = serde_json::json!({"status": "valid", "flags": ["short", "target_saturated"], "reasons": reasons});
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn the_old_flag_of_a_saturated_target_is_read_as_what_it_meant() {
        let meant = "5 of 10 points: the target was given all it takes, as `max` means to";
        let behind = "only 80 % of the offered records were acked in time, so latencies include the wait";
        let max = of_version_1(&[meant, "the window is short"]);
        assert_eq!(max.flags, [VerdictFlag::Short].into());
        assert_eq!(max.reasons, ["the window is short"]);
        let both = [VerdictFlag::Short, VerdictFlag::TargetFellBehind].into();
        assert_eq!(of_version_1(&[behind]).flags, both);
        assert_eq!(of_version_1(&[meant, behind]).flags, both);
        let unknown = serde_json::json!({"status": "valid", "flags": ["odd"], "reasons": []});
        assert!(serde_json::from_value::<Verdict>(unknown).unwrap_err().to_string().contains("`odd`"));
    }

    #[test]
    fn a_verdict_is_read_as_it_was_written() {
        let mut verdict = Verdict::default();
        verdict.lower(VerdictStatus::SloMissed, "late");
        VerdictFlag::ALL.into_iter().for_each(|flag| verdict.flag(flag, flag.words()));
        let json = serde_json::to_value(&verdict).unwrap();
        assert_eq!(serde_json::from_value::<Verdict>(json).unwrap(), verdict);
    }
}
