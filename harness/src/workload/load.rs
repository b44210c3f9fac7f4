//! The load: records are offered as fast as acks allow, with a number of batches in flight, or at a rate.
//!
//! An error message that begins with a key in backticks is shown at that key (see `decode`).

pub mod profile;

use super::units::{Bytes, Rate};
use profile::{Burst, Profile, Ramp, Sine, Step};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The load of one pass.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "LoadKeys", into = "LoadKeys")]
pub struct Load {
    /// The most encoded bytes that are handed over and not yet acked, all producers together. This bounds every mode.
    pub in_flight_bytes: Bytes,
    /// The pacing of the producers.
    pub mode: LoadMode,
}

/// The pacing of the producers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum LoadMode {
    /// Records are offered as fast as acks allow within `in_flight_bytes`.
    Max,
    /// Each producer keeps this many batches in flight.
    Closed {
        /// Number of batches per producer.
        in_flight: u32,
    },
    /// Records become due at a rate, whether or not earlier ones were acked.
    Open {
        /// Rate of all producers together.
        rate: Rate,
        /// Spacing of the due times.
        arrival: Arrival,
        /// How the rate changes over the measured window.
        profile: Profile,
    },
}

/// The spacing of an open load's due times.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arrival {
    /// Due times are evenly spaced.
    #[default]
    Constant,
    /// Due times are spaced like independent arrivals.
    Poisson,
}

/// One pass of a run: its load, and the name of the load in results.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pass {
    /// Name of the pass in results.
    pub kind: PassKind,
    /// Load of the pass. An open load may still hold a [`Rate::Share`]; it is resolved with the rate that the pass
    /// before reached.
    pub load: Load,
}

/// The kind of a pass, as results name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PassKind {
    /// As fast as acks allow.
    Max,
    /// With a fixed number of batches in flight.
    Closed,
    /// At a given rate.
    Open,
}

impl Load {
    /// Returns the same bound on bytes in flight with [`LoadMode::Max`]: as fast as acks allow.
    #[must_use]
    pub const fn at_max(self) -> Self {
        Self { mode: LoadMode::Max, ..self }
    }
}

impl fmt::Display for PassKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Max => "max",
            Self::Closed => "closed",
            Self::Open => "open",
        })
    }
}

impl fmt::Display for Pass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.load.mode {
            LoadMode::Max => self.kind.fmt(f),
            LoadMode::Closed { in_flight } => write!(f, "closed with {in_flight} in flight"),
            LoadMode::Open { rate, arrival, profile } => {
                let of_that = if matches!(rate, Rate::Share(_)) { " of that" } else { "" };
                let poisson = if arrival == Arrival::Poisson { ", poisson" } else { "" };
                write!(f, "open at {rate}{of_that}{poisson}")?;
                if profile == Profile::Constant { Ok(()) } else { write!(f, ", {}", profile.name()) }
            }
        }
    }
}

impl LoadMode {
    /// Returns the kind of pass that this mode makes.
    pub const fn kind(self) -> PassKind {
        match self {
            Self::Max => PassKind::Max,
            Self::Closed { .. } => PassKind::Closed,
            Self::Open { .. } => PassKind::Open,
        }
    }

    /// Returns the highest rate of an open load ÷ its `rate`; 1 for a mode without a rate.
    pub fn peak(self) -> f64 {
        match self {
            Self::Open { profile, .. } => profile.peak(),
            Self::Max | Self::Closed { .. } => 1.0,
        }
    }

    /// Returns the rate of an open load.
    pub const fn rate(self) -> Option<Rate> {
        match self {
            Self::Open { rate, .. } => Some(rate),
            Self::Max | Self::Closed { .. } => None,
        }
    }
}

impl Default for Load {
    fn default() -> Self {
        Self { in_flight_bytes: Bytes::mib(32), mode: LoadMode::Max }
    }
}

/// `load` as a file writes it. All modes share one flat struct, so that a key of another mode can be told from an
/// unknown one.
#[derive(Clone, Copy, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct LoadKeys {
    mode: Mode,
    #[serde(skip_serializing_if = "Option::is_none")]
    in_flight_bytes: Option<Bytes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    in_flight: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rate: Option<Rate>,
    #[serde(skip_serializing_if = "Option::is_none")]
    arrival: Option<Arrival>,
    #[serde(skip_serializing_if = "Option::is_none")]
    profile: Option<ProfileName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ramp: Option<Ramp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<Step>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sine: Option<Sine>,
    #[serde(skip_serializing_if = "Option::is_none")]
    burst: Option<Burst>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ProfileName {
    #[default]
    Constant,
    Ramp,
    Step,
    Sine,
    Burst,
}

impl LoadKeys {
    /// Returns the profile with its parameters. Parameters of another profile are refused.
    fn profile(&self) -> Result<Profile, &'static str> {
        let name = self.profile.unwrap_or_default();
        let strays = [
            (self.ramp.is_some(), ProfileName::Ramp, "`ramp` belongs to `profile: ramp` only"),
            (self.step.is_some(), ProfileName::Step, "`step` belongs to `profile: step` only"),
            (self.sine.is_some(), ProfileName::Sine, "`sine` belongs to `profile: sine` only"),
            (self.burst.is_some(), ProfileName::Burst, "`burst` belongs to `profile: burst` only"),
        ];
        if let Some((.., message)) = strays.into_iter().find(|(is_set, own, _)| *is_set && *own != name) {
            return Err(message);
        }
        Ok(match name {
            ProfileName::Constant => Profile::Constant,
            ProfileName::Ramp => Profile::Ramp(self.ramp.unwrap_or_default()),
            ProfileName::Step => Profile::Step(self.step.unwrap_or_default()),
            ProfileName::Sine => Profile::Sine(self.sine.unwrap_or_default()),
            ProfileName::Burst => Profile::Burst(self.burst.unwrap_or_default()),
        })
    }

    fn with_profile(self, profile: Profile) -> Self {
        let (name, keys) = match profile {
            Profile::Constant => (ProfileName::Constant, self),
            Profile::Ramp(ramp) => (ProfileName::Ramp, Self { ramp: Some(ramp), ..self }),
            Profile::Step(step) => (ProfileName::Step, Self { step: Some(step), ..self }),
            Profile::Sine(sine) => (ProfileName::Sine, Self { sine: Some(sine), ..self }),
            Profile::Burst(burst) => (ProfileName::Burst, Self { burst: Some(burst), ..self }),
        };
        Self { profile: Some(name), ..keys }
    }
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Mode {
    #[default]
    Max,
    Closed,
    Open,
}

impl TryFrom<LoadKeys> for Load {
    type Error = &'static str;

    fn try_from(keys: LoadKeys) -> Result<Self, Self::Error> {
        if keys.mode != Mode::Open {
            if keys.rate.is_some() {
                return Err("`rate` belongs to `mode: open` only");
            }
            if keys.arrival.is_some() {
                return Err("`arrival` belongs to `mode: open` only");
            }
            if keys.profile.is_some() {
                return Err("`profile` belongs to `mode: open` only");
            }
        }
        let profile = keys.profile()?;
        if keys.mode != Mode::Open && profile != Profile::Constant {
            return Err("`profile` belongs to `mode: open` only");
        }
        if keys.mode != Mode::Closed && keys.in_flight.is_some() {
            return Err("`in_flight` belongs to `mode: closed` only; `in_flight_bytes` bounds every mode");
        }
        let mode = match keys.mode {
            Mode::Max => LoadMode::Max,
            Mode::Closed => LoadMode::Closed { in_flight: keys.in_flight.unwrap_or(1) },
            Mode::Open => LoadMode::Open {
                rate: keys.rate.ok_or("`mode`: `open` needs a `rate`, such as `200k/s` or `50%`")?,
                arrival: keys.arrival.unwrap_or_default(),
                profile,
            },
        };
        Ok(Self { in_flight_bytes: keys.in_flight_bytes.unwrap_or(Self::default().in_flight_bytes), mode })
    }
}

impl From<Load> for LoadKeys {
    fn from(load: Load) -> Self {
        let keys = Self { in_flight_bytes: Some(load.in_flight_bytes), ..Self::default() };
        match load.mode {
            LoadMode::Max => keys,
            LoadMode::Closed { in_flight } => Self { mode: Mode::Closed, in_flight: Some(in_flight), ..keys },
            LoadMode::Open { rate, arrival, profile } => Self {
                mode: Mode::Open,
                rate: Some(rate),
                arrival: Some(arrival),
                ..keys.with_profile(profile)
            },
        }
    }
}
