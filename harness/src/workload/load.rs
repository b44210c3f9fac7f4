//! How records are offered: as fast as acks allow, a number of batches in flight, or at a rate of its own.
//!
//! A message that begins with a key in backticks is shown at that key (`decode`).

use super::profile::{Burst, Profile, Ramp, Sine, Step};
use super::units::{Bytes, Rate};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The load of one pass.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "LoadKeys", into = "LoadKeys")]
pub struct Load {
    /// Encoded bytes handed over and not yet acked, all producers together; bounds every mode.
    pub in_flight_bytes: Bytes,
    /// What paces the producers.
    pub mode: LoadMode,
}

/// What paces the producers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum LoadMode {
    /// As fast as acks allow within `in_flight_bytes`.
    Max,
    /// Each producer keeps this many batches in flight.
    Closed {
        /// Batches a producer.
        in_flight: u32,
    },
    /// Records become due at a rate, whether or not earlier ones were acked.
    Open {
        /// All producers together.
        rate: Rate,
        /// How due times are spaced.
        arrival: Arrival,
        /// How the rate changes over the measured window.
        profile: Profile,
    },
}

/// How the due times of an open load are spaced.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arrival {
    /// Evenly.
    #[default]
    Constant,
    /// As independent arrivals are.
    Poisson,
}

/// One point of a run: its load, and the name of it in results.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pass {
    /// Its name.
    pub kind: PassKind,
    /// Its load; an open one may still carry a [`Rate::Share`], to be resolved by what the pass before it reached.
    pub load: Load,
}

/// The kind of a pass, as results name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PassKind {
    /// As fast as acks allow.
    Max,
    /// A fixed number of batches in flight.
    Closed,
    /// At a rate of its own.
    Open,
}

impl Load {
    /// The same bound on what is in flight, as fast as acks allow.
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
    /// The kind of pass this mode makes.
    pub const fn kind(self) -> PassKind {
        match self {
            Self::Max => PassKind::Max,
            Self::Closed { .. } => PassKind::Closed,
            Self::Open { .. } => PassKind::Open,
        }
    }

    /// The highest rate of an open load ÷ its `rate`; 1 for what has no rate.
    pub fn peak(self) -> f64 {
        match self {
            Self::Open { profile, .. } => profile.peak(),
            Self::Max | Self::Closed { .. } => 1.0,
        }
    }

    /// The rate of an open load.
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

/// `load` as it stands in a file: flat, so that a key of another mode can be told from an unknown one.
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
    /// The profile and its parameters; those of another one are refused.
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
                rate: keys.rate.ok_or("`mode` open needs a `rate`, such as `200k/s` or `50%`")?,
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
